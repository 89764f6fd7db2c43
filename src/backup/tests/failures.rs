//! What a host may answer instead of an archive, and what a disk may do: the attempt fails with path and reason, and leaves nothing.

use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::process::Command;

use super::*;

/// Two good backups, a third attempt that `spoil` does something to once the host has written it and before each step but the first
/// `after`; it fails with this reason, and all is as before.
fn fails(after: usize, spoil: impl Fn(&Path), reason: &str) {
    let mut place = Place::with(2);
    let before = place.files();
    let incoming = place.written(7, &[7; 3000]);
    let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
    for _ in 0..after {
        assert_eq!(publish.step(2000), Progress::More);
    }
    spoil(&incoming);
    let error = finish(&mut publish).unwrap_err();
    assert!(error.text.contains(reason), "{} does not say {reason}", error.text);
    assert!(error.text.contains(incoming.to_str().unwrap()), "{} does not say where", error.text);
    assert_eq!(publish.step(1), Progress::Done(Err(error)), "the result stays");
    assert_eq!(place.files(), before);
    assert_eq!(place.newest_good(), Some(2));
    place.back_up(b"the next one");
    place.assert_only(&[1, 2, 3]);
}

fn replace(path: &Path, by: impl Fn(&Path)) {
    fs::remove_file(path).unwrap();
    by(path);
}

#[test]
fn an_empty_archive() {
    fails(0, |path| fs::write(path, "").unwrap(), "is empty");
}

#[test]
fn an_archive_that_vanished_at_any_step() {
    // Check, two slices, draft, manifest.
    for after in 0..=5 {
        fails(after, |path| fs::remove_file(path).unwrap(), "is not there");
    }
}

#[test]
fn a_symbolic_link_at_any_step_and_its_target_stays() {
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::write(elsewhere.path(), [7; 3000]).unwrap();
    for after in 0..=5 {
        fails(after, |path| replace(path, |path| symlink(elsewhere.path(), path).unwrap()), "is a symbolic link");
    }
    assert_eq!(fs::read(elsewhere.path()).unwrap(), [7; 3000]);
    fails(0, |path| replace(path, |path| symlink("/nowhere", path).unwrap()), "is a symbolic link");
}

#[test]
fn a_directory() {
    fails(0, |path| replace(path, |path| fs::create_dir(path).unwrap()), "is a directory");
}

#[test]
fn a_directory_with_files_in_it_is_left_and_said_so() {
    let place = Place::with(1);
    let incoming = place.folder.begin(7, 0).unwrap();
    fs::create_dir(&incoming).unwrap();
    fs::write(incoming.join("precious"), "x").unwrap();
    let error = finish(&mut place.folder.publish(&incoming, UTC_MS).unwrap()).unwrap_err();
    assert!(error.text.contains("is a directory") && error.text.contains("cannot remove"), "{}", error.text);
    assert!(incoming.join("precious").exists());
    // Nor is the next attempt in its way.
    let next = place.written(8, b"archive");
    finish(&mut place.folder.publish(&next, UTC_MS).unwrap()).unwrap();
    assert_eq!(place.numbers(), [1, 2]);
}

#[test]
fn a_pipe_blocks_nothing() {
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    fails(0, |path| replace(path, pipe), "is a pipe");
    fails(3, |path| replace(path, pipe), "is a pipe");
}

#[test]
fn a_socket() {
    // The path of a socket is short, so it is bound elsewhere and moved.
    let elsewhere = tempfile::tempdir_in("/tmp").unwrap();
    let bound = elsewhere.path().join("s");
    let socket = |path: &Path| {
        let _listener = UnixListener::bind(&bound).unwrap();
        fs::rename(&bound, path).unwrap();
    };
    fails(0, |path| replace(path, socket), "is a socket");
}

#[test]
fn an_archive_that_grows_shrinks_or_is_exchanged_after_the_host_completed() {
    let changed = "was written to or exchanged";
    for after in 1..=5 {
        fails(after, |path| damage(path, &[7; 4000], 0), changed);
        fails(after, |path| damage(path, &[7; 2500], 0), changed);
        fails(after, |path| damage(path, &[8; 3000], 0), changed);
        let exchange = |path: &Path| {
            // Alike in size and time; the first is kept so that its inode number can't come again.
            let modified = fs::metadata(path).unwrap().modified().unwrap();
            let aside = path.with_extension("aside");
            fs::rename(path, &aside).unwrap();
            fs::write(path, [8; 3000]).unwrap();
            File::options().write(true).open(path).unwrap().set_modified(modified).unwrap();
            fs::remove_file(aside).unwrap();
        };
        fails(after, exchange, changed);
    }
}

#[test]
fn names_that_were_not_begun_with_are_refused() {
    let place = Place::with(1);
    let elsewhere = tempfile::tempdir().unwrap();
    let paths = [
        elsewhere.path().join("incoming-2-7.tmp"),
        place.root.path().join("cam-1/../incoming-2-7.tmp"),
        place.folder.path().join("sub/incoming-2-7.tmp"),
        place.folder.path().join("archive"),
        place.archive(1),
        PathBuf::from("incoming-2-7.tmp"),
        PathBuf::from("/"),
    ];
    for path in paths {
        let error = place.folder.publish(&path, UTC_MS).unwrap_err();
        assert!(error.text.contains(path.to_str().unwrap()), "{}", error.text);
    }
    place.assert_only(&[1]);
}

#[test]
fn a_server_folder_that_is_a_link_or_a_file_is_not_used() {
    let root = tempfile::tempdir().unwrap();
    let elsewhere = Place::with(2);
    let before = elsewhere.files();
    symlink(elsewhere.folder.path(), root.path().join("cam-1")).unwrap();
    fs::write(root.path().join("cam-2"), "x").unwrap();
    for id in ["cam-1", "cam-2"] {
        let folder = Folder::new(root.path(), id, Syncing::None).unwrap();
        let Progress::Done(Err(not_found)) = folder.find().step(1, &mut Checks::default()) else { panic!() };
        let errors = [
            folder.begin(1, 0).unwrap_err(),
            folder.clean(None).unwrap_err(),
            folder.retain(1, &mut Checks::default()).unwrap_err(),
            not_found,
            finish(&mut folder.publish(&folder.path().join("incoming-1-1.tmp"), UTC_MS).unwrap()).unwrap_err(),
        ];
        for error in errors {
            assert!(error.text.contains("is not a folder of its own"), "{}", error.text);
        }
    }
    assert_eq!(elsewhere.files(), before);
}

#[test]
fn a_missing_backup_directory_is_an_error_that_heals() {
    let root = tempfile::tempdir().unwrap();
    let mount = root.path().join("volume");
    let folder = Folder::new(&mount, "cam-1", Syncing::All).unwrap();
    let error = folder.begin(1, 0).unwrap_err();
    assert!(error.text.contains(folder.path().to_str().unwrap()), "{}", error.text);
    assert!(!mount.exists(), "a volume that is not mounted is not made up");
    fs::create_dir(&mount).unwrap();
    assert!(folder.begin(1, 0).is_ok());
}

#[test]
fn a_folder_that_vanished_is_an_error() {
    let place = Place::with(1);
    let incoming = place.written(7, b"archive");
    let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
    assert_eq!(publish.step(1), Progress::More);
    fs::remove_dir_all(place.folder.path()).unwrap();
    let error = finish(&mut publish).unwrap_err();
    assert!(error.text.contains(incoming.to_str().unwrap()), "{}", error.text);
}

#[test]
fn what_stands_in_the_way_of_the_manifest_is_named_and_stays() {
    let place = Place::with(1);
    let before = place.files();
    for blocked in ["manifest-2.tmp", "20260102T030405Z-2.json"] {
        let incoming = place.written(7, b"archive");
        let path = place.folder.path().join(blocked);
        fs::create_dir(&path).unwrap();
        fs::write(path.join("precious"), "x").unwrap();
        let error = finish(&mut place.folder.publish(&incoming, UTC_MS).unwrap()).unwrap_err();
        assert!(error.text.contains(blocked), "{}", error.text);
        assert!(path.join("precious").exists());
        fs::remove_dir_all(path).unwrap();
        assert_eq!(place.files(), before);
    }
}

#[test]
fn an_archive_that_has_come_in_between_is_not_replaced() {
    let place = Place::with(1);
    let incoming = place.written(7, b"archive");
    let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
    for _ in 0..4 {
        assert_eq!(publish.step(1 << 20), Progress::More);
    }
    let theirs = place.folder.path().join("20260102T030405Z-2.backup");
    fs::write(&theirs, "theirs").unwrap();
    let error = finish(&mut publish).unwrap_err();
    assert!(error.text.contains("is already there"), "{}", error.text);
    assert_eq!(fs::read(theirs).unwrap(), b"theirs");
    assert!(!incoming.exists());
}

#[test]
fn an_abandoned_attempt_leaves_nothing_and_an_ended_one_its_backup() {
    for steps in 0..8 {
        let place = Place::with(1);
        let incoming = place.written(7, b"archive");
        let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
        let over = (0..steps).any(|_| publish.step(4) != Progress::More);
        publish.abandon().unwrap();
        place.assert_only(if over { &[1, 2] } else { &[1] });
    }
}
