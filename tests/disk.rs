//! Disks that refuse and hosts that write nonsense, on the real built library with real backups: the operation fails with the path and the
//! reason, monitoring goes on, earlier backups stay, nothing is left behind, and all heals when the cause is gone.
//!
//! A full or read-only disk is a file system of a few kilobytes of its own: the test starts itself again in a child process, in which one may
//! be mounted. Where that is not possible the test says so and does nothing.

#[path = "support/lives.rs"]
mod lives;
#[path = "support/rig.rs"]
mod rig;

use std::fs;
use std::path::Path;
use std::rc::Rc;

use lives::{Away, Left, Life};
use rig::{SECOND, abi, call, complete_with, expect};
use serde_json::{Value, json};
use tempfile::TempDir;

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

/// The first life of a place, prepared, and polled at second 1,000.
fn ready(left: Left, ids: &[&str]) -> Life {
    let config = left.config(ids);
    let life = left.created(Some(&config));
    life.begin_at(1_000);
    life.prepare();
    life
}

/// Asks for a backup; gives the file that the host is to write into, if it was asked.
fn back_up(life: &Life, id: &str) -> Option<lives::Begun> {
    life.probe.forget();
    expect(life.backup(life.server(id)).0, abi::VMSF_OK, id);
    life.settle(life.now());
    life.begins().pop()
}

/// The backup of this server has failed with these words; the alarm stands, and these numbers are left, with nothing beside them.
#[track_caller]
fn assert_failed(life: &Life, id: &str, words: &[&str], left: &[u64]) {
    let status = life.status_of(id);
    let error = status["last_backup"]["error"].as_str().unwrap_or_else(|| panic!("it has not failed: {status:#}"));
    words.iter().for_each(|word| assert!(error.contains(word), "{word:?} is not in: {error}"));
    let told = life.codes("backup");
    assert_eq!(
        (&told[0]["details"]["result"], &told[0]["details"]["error"]),
        (&json!("failed"), &json!(error)),
        "{told:#?}"
    );
    assert!(status["alarms"].as_array().unwrap().contains(&json!("backup_failed")), "{status:#}");
    assert_eq!(life.backups(id), left);
}

/// The next backup is made, and the alarm ends.
#[track_caller]
fn assert_heals(life: &Life, id: &str, left: &[u64]) {
    life.backed_up(life.server(id));
    life.settle(life.now());
    assert_eq!((life.status_of(id)["alarms"].clone(), life.backups(id)), (json!([]), left.to_vec()));
}

/// A server that falls silent fails at its deadline, and is taken over with the backup of this number.
#[track_caller]
fn assert_watches(life: &Life, id: &str, used: u64) {
    let second = life.now() / SECOND;
    life.keep_alive(id);
    life.drive_to(second + 29);
    assert_eq!(life.status_of(id)["health"], "keep_alive");
    life.drive_to(second + 30);
    assert_eq!(life.status_of(id)["health"], "failed");
    let takeover = life.last_begun();
    let path = takeover.json["backup"]["path"].as_str().expect("a takeover");
    assert!(path.ends_with(&format!("-{used}.backup")), "{path}");
}

// ---- what the host may answer ----

#[test]
fn an_answer_that_is_no_archive_fails_the_backup_by_name_and_touches_nothing_else() {
    type Deed = fn(&Path, &Path);
    let deeds: [(&str, Deed); 6] = [
        ("is not there", |_, _| ()),
        ("is empty: the host wrote no archive", |file, _| fs::write(file, "").unwrap()),
        ("is a directory, not a plain file", |file, _| fs::create_dir(file).unwrap()),
        #[cfg(unix)]
        ("is a symbolic link, not a plain file", |file, other| std::os::unix::fs::symlink(other, file).unwrap()),
        #[cfg(unix)]
        ("is a symbolic link, not a plain file", |file, _| std::os::unix::fs::symlink("/nowhere", file).unwrap()),
        #[cfg(unix)]
        ("is a socket, not a plain file", |file, _| drop(std::os::unix::net::UnixListener::bind(file).unwrap())),
    ];
    let life = Life::ready(&["a", "b"]);
    let other = directory();
    let kept = other.path().join("somebody's");
    fs::write(&kept, "not the plugin's").unwrap();
    for (why, deed) in deeds {
        let begun = back_up(&life, "a").expect("a file");
        deed(&begun.file(), &kept);
        life.answer(abi::VMSF_OUTCOME_OK);
        life.settle(life.now());
        assert_failed(&life, "a", &[why, begun.file().to_str().unwrap()], &[1]);
        assert_eq!(fs::read_to_string(&kept).unwrap(), "not the plugin's");
    }
    assert_heals(&life, "a", &[1, 2]);
    assert_watches(&life, "a", 2);
}

#[test]
fn an_archive_that_is_written_to_while_it_is_published_is_none() {
    let life = Life::ready(&["a"]);
    let begun = back_up(&life, "a").expect("a file");
    fs::write(begun.file(), vec![7; 3 << 20]).unwrap();
    life.answer(abi::VMSF_OUTCOME_OK);
    (0..3).for_each(|_| expect(life.poll(life.now()).0, abi::VMSF_OK, "poll"));
    fs::write(begun.file(), vec![8; (3 << 20) + 1]).unwrap();
    life.settle(life.now());
    assert_failed(&life, "a", &[begun.file().to_str().unwrap()], &[1]);
    assert_heals(&life, "a", &[1, 2]);
}

#[test]
fn a_host_that_fails_says_why_and_what_it_wrote_is_removed() {
    let life = Life::ready(&["a"]);
    let begun = back_up(&life, "a").expect("a file");
    fs::write(begun.file(), "half an arch").unwrap();
    let json = br#"{"error":"the server hung up"}"#;
    let (text, len) = (json.as_ptr().cast(), json.len());
    let code = call!(complete(life.p, begun.id, abi::VMSF_OUTCOME_FAILED, text, len, std::ptr::null(), 0));
    expect(code, abi::VMSF_OK, "complete");
    life.settle(life.now());
    assert_failed(&life, "a", &["the server hung up"], &[1]);
    assert_heals(&life, "a", &[1, 2]);
}

#[test]
fn a_token_that_is_too_long_is_refused_and_the_authorize_fails_by_that() {
    let life = Life::ready(&["a"]);
    expect(life.authorize(life.server("a"), b"x").0, abi::VMSF_OK, "authorize");
    life.settle(life.now());
    let op = life.last_begun().id;
    let longest = vec![b'x'; 4096];
    let longer = [&longest[..], b"x"].concat();
    expect(complete_with(life.p, op, abi::VMSF_OUTCOME_OK, &longer), abi::VMSF_ERR_LIMIT, "4,097 bytes");
    assert!(life.last_error().1.contains("4097"), "{:?}", life.last_error());
    life.settle(life.now());
    let completed = &life.codes("completed")[0]["details"];
    assert_eq!(completed["outcome"], "failed");
    assert!(completed["error"].as_str().unwrap().contains("4097"), "{completed}");
    expect(complete_with(life.p, op, abi::VMSF_OUTCOME_OK, b"x"), abi::VMSF_ERR_NOT_FOUND, "it is over");
    // The token that there was is still in use.
    assert_eq!(life.status_of("a")["authorized"], true);
    expect(life.authorize(life.server("a"), b"x").0, abi::VMSF_OK, "authorize");
    life.settle(life.now());
    expect(complete_with(life.p, life.last_begun().id, abi::VMSF_OUTCOME_OK, &longest), abi::VMSF_OK, "4,096 bytes");
    life.settle(life.now());
    life.take_over("a");
    life.settle(life.now());
    assert_eq!(life.last_begun().secret, longest);
    // Credentials, too.
    let life = Life::ready(&["a"]);
    expect(life.authorize(life.server("a"), &longer).0, abi::VMSF_ERR_LIMIT, "credentials");
    assert_eq!(life.status_of("a").get("operation"), None);
}

// ---- directories that are gone, or may not be written ----

#[test]
fn a_backup_directory_that_is_gone_fails_backups_before_and_after_the_host_was_asked() {
    let life = Life::ready(&["a", "b"]);
    let backups = life.folder("a").parent().unwrap().to_owned();
    let begun = back_up(&life, "a").expect("a file");
    fs::write(begun.file(), "settings").unwrap();
    let away = Away::take(&backups);
    life.answer(abi::VMSF_OUTCOME_OK);
    life.settle(life.now());
    let (file, folder) = (begun.file(), life.folder("a"));
    assert!(file.starts_with(&folder));
    let failed = |words: &[&str]| {
        let error = life.status_of("a")["last_backup"]["error"].as_str().unwrap().to_owned();
        words.iter().for_each(|word| assert!(error.contains(word), "{error}"));
    };
    failed(&[folder.to_str().unwrap(), "No such file or directory"]);
    assert_eq!(back_up(&life, "a"), None, "the host is not asked where nothing can be written");
    failed(&["cannot create", folder.to_str().unwrap(), "No such file or directory"]);
    assert_eq!(life.status_of("a")["alarms"], json!(["backup_failed"]));
    // Put back, all is as before; what the host had written is a leftover, which the next attempt removes.
    away.bring_back();
    assert_heals(&life, "a", &[1, 2]);
    assert_watches(&life, "a", 2);
}

#[test]
fn with_a_worker_a_backup_directory_that_is_gone_is_told_and_heals_as_well() {
    let rig = rig::Rig::ready(false, &["a"]);
    let a = rig.server("a");
    let backups = std::path::PathBuf::from(rig.config()["backup_directory"].as_str().unwrap());
    let away = backups.with_extension("away");
    fs::rename(&backups, &away).unwrap();
    expect(rig.backup(a).0, abi::VMSF_OK, "backup");
    let failed = rig.wait("failure", |callback| callback.code() == "backup");
    let rig::Callback::Event { json, .. } = failed else { unreachable!() };
    let error = json["details"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains(backups.join("a").to_str().unwrap()) && error.contains("No such file"), "{error}");
    fs::rename(&away, &backups).unwrap();
    rig.backed_up(a);
    expect(rig.takeover(a).0, abi::VMSF_OK, "takeover");
    rig.wait("takeover", |callback| matches!(callback, rig::Callback::Begin { kind: abi::VMSF_OP_TAKEOVER, .. }));
}

#[test]
fn a_file_in_the_place_of_a_folder_is_named() {
    let life = Life::ready(&["a", "b"]);
    let away = life.folder("a").with_extension("away");
    fs::rename(life.folder("a"), &away).unwrap();
    fs::write(life.folder("a"), "no folder").unwrap();
    assert_eq!(back_up(&life, "a"), None);
    let error = life.status_of("a")["last_backup"]["error"].as_str().unwrap().to_owned();
    assert!(
        error.contains(life.folder("a").to_str().unwrap()) && error.contains("is not a folder of its own"),
        "{error}"
    );
    // A takeover looks, says so, and waits.
    life.take_over("a");
    life.settle(life.now());
    let unreadable = life.codes("backups_unreadable");
    assert!(unreadable[0]["text"].as_str().unwrap().contains("is not a folder of its own"), "{unreadable:#?}");
    assert_eq!(life.status_of("a")["alarms"], json!(["takeover_blocked", "backup_failed"]));
    fs::remove_file(life.folder("a")).unwrap();
    fs::rename(&away, life.folder("a")).unwrap();
    life.drive_to(1_061);
    assert_eq!(life.last_begun().kind, abi::VMSF_OP_TAKEOVER, "it is looked at again every 60 s");
}

#[cfg(unix)]
#[test]
fn a_folder_that_may_not_be_written_fails_the_backup_and_heals() {
    use std::os::unix::fs::PermissionsExt;
    let left = Left { state: directory(), backups: Rc::new(directory()) };
    let life = ready(left, &["a", "b"]);
    let folder = life.folder("a");
    let allow = |mode: u32| fs::set_permissions(&folder, fs::Permissions::from_mode(mode)).unwrap();
    let change = |flag: &str| {
        let run = std::process::Command::new("chattr").arg(flag).arg(&folder).output();
        run.is_ok_and(|output| output.status.success())
    };
    // Permissions do not bind root; what is immutable does.
    let forbid = || {
        allow(0o500);
        let probe = folder.join("probe");
        let bound = fs::write(&probe, "").is_err();
        let _ = fs::remove_file(&probe);
        bound || change("+i")
    };
    let begun = back_up(&life, "a").expect("a file");
    fs::write(begun.file(), "settings").unwrap();
    if !forbid() {
        return eprintln!("SKIPPED: this user may write wherever it likes: a forbidden folder was not tested");
    }
    life.answer(abi::VMSF_OUTCOME_OK);
    life.settle(life.now());
    let error = life.status_of("a")["last_backup"]["error"].as_str().unwrap_or_default().to_owned();
    let left = fs::read_dir(&folder).unwrap().count();
    let refused = |error: &str| error.contains("ermission denied") || error.contains("not permitted");
    change("-i");
    allow(0o700);
    assert!(refused(&error) && error.contains(folder.to_str().unwrap()), "{error}");
    assert_eq!(left, 3, "the host's file has to stay until the next attempt");
    assert_heals(&life, "a", &[1, 2]);
    assert_watches(&life, "a", 2);
}

// ---- file systems of a few kilobytes ----

#[cfg(target_os = "linux")]
mod small {
    use std::process::Command;

    use super::*;

    const DISK: &str = "VMSF_TEST_SMALL_DISK";
    const DONE: &str = "the small disk was tried";

    /// Runs the body in a child process, with a file system of its own.
    fn on_a_small_disk(test: &str, options: &str, body: impl FnOnce(&Path)) {
        if let Some(disk) = std::env::var_os(DISK) {
            body(Path::new(&disk));
            return println!("{DONE}");
        }
        let mount = directory();
        let program = std::env::current_exe().unwrap();
        let script = format!(
            "mount -t tmpfs -o {options} none \"$0\" || exit 77; exec \"$1\" --exact small::{test} --nocapture --test-threads 1"
        );
        let run = Command::new("unshare")
            .args(["--user", "--map-root-user", "--mount", "sh", "-c", &script])
            .args([mount.path(), program.as_path()])
            .env(DISK, mount.path())
            .output();
        let Ok(run) = run else { return eprintln!("SKIPPED: {test}: there is no unshare here") };
        let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        if run.status.code() == Some(77) || said.contains("unshare failed") || said.contains("not permitted") {
            return eprintln!("SKIPPED: {test}: no file system may be mounted here: {said}");
        }
        assert!(run.status.success() && said.contains(DONE), "{said}");
    }

    /// Takes all the room that there is.
    fn fill(disk: &Path) {
        let ballast = disk.join("ballast");
        let taken = fs::metadata(&ballast).map_or(0, |ballast| ballast.len() as usize);
        for size in [64 << 10, 4 << 10, 512, 1] {
            let mut taken = taken.max(fs::metadata(&ballast).map_or(0, |ballast| ballast.len() as usize));
            while append(&ballast, size) {
                taken += size;
                assert!(taken < 64 << 20, "it is small");
            }
        }
    }

    fn append(path: &Path, size: usize) -> bool {
        use std::io::Write;
        let mut file = fs::File::options().create(true).append(true).open(path).unwrap();
        file.write_all(&vec![1; size]).is_ok()
    }

    fn free(disk: &Path) {
        fs::remove_file(disk.join("ballast")).unwrap();
    }

    fn mount(options: &[&str], at: &Path) {
        assert!(Command::new("mount").args(options).arg(at).status().unwrap().success(), "mount {options:?}");
    }

    fn backups_on(disk: &Path) -> Left {
        Left { state: directory(), backups: Rc::new(tempfile::tempdir_in(disk).unwrap()) }
    }

    fn state_on(disk: &Path) -> Left {
        Left { state: tempfile::tempdir_in(disk).unwrap(), backups: Rc::new(directory()) }
    }

    #[test]
    fn a_full_backup_disk_fails_the_backup_and_heals() {
        on_a_small_disk("a_full_backup_disk_fails_the_backup_and_heals", "size=256k", |disk| {
            let life = ready(backups_on(disk), &["a", "b"]);
            // The host writes the last byte that fits, and says that all is well.
            let begun = back_up(&life, "a").expect("a file");
            fs::write(begun.file(), vec![7; 1 << 20]).unwrap_err();
            fill(disk);
            life.answer(abi::VMSF_OUTCOME_OK);
            life.settle(life.now());
            assert_failed(&life, "a", &[life.folder("a").to_str().unwrap(), "No space left"], &[1]);
            // b fails meanwhile, as it should.
            assert_watches(&life, "b", 1);
            life.answer(abi::VMSF_OUTCOME_FAILED);
            life.settle(life.now());
            // Where the host's file has gone there is room again, unless somebody takes it.
            fill(disk);
            let begun = back_up(&life, "a").expect("a file");
            fs::write(begun.file(), "settings").unwrap_err();
            life.answer(abi::VMSF_OUTCOME_FAILED);
            life.settle(life.now());
            assert_eq!(life.backups("a"), [1]);
            free(disk);
            assert_heals(&life, "a", &[1, 2]);
        });
    }

    #[test]
    fn a_backup_disk_without_room_for_a_folder_asks_nothing_of_the_host() {
        on_a_small_disk(
            "a_backup_disk_without_room_for_a_folder_asks_nothing_of_the_host",
            "size=1m,nr_inodes=12",
            |disk| {
                let left = backups_on(disk);
                let config = left.config(&["a"]);
                let life = left.created(Some(&config));
                life.begin_at(1_000);
                expect(life.cluster(true), abi::VMSF_OK, "cluster");
                life.authorized(life.server("a"));
                let mut taken =
                    (0..).map(|n| disk.join(format!("file-{n}"))).take_while(|path| fs::write(path, "").is_ok());
                let last = taken.by_ref().last().expect("a file");
                assert_eq!(back_up(&life, "a"), None);
                assert_failed(&life, "a", &["cannot create", life.folder("a").to_str().unwrap(), "No space left"], &[]);
                fs::remove_file(last).unwrap();
                (0..3).for_each(|n| fs::remove_file(disk.join(format!("file-{n}"))).unwrap());
                assert_heals(&life, "a", &[1]);
            },
        );
    }

    #[test]
    fn a_backup_disk_that_becomes_read_only_fails_the_backup_and_heals() {
        on_a_small_disk("a_backup_disk_that_becomes_read_only_fails_the_backup_and_heals", "size=256k", |disk| {
            let life = ready(backups_on(disk), &["a", "b"]);
            let begun = back_up(&life, "a").expect("a file");
            fs::write(begun.file(), "settings").unwrap();
            mount(&["-o", "remount,ro"], disk);
            life.answer(abi::VMSF_OUTCOME_OK);
            life.settle(life.now());
            let error = life.status_of("a")["last_backup"]["error"].as_str().unwrap().to_owned();
            assert!(error.contains("Read-only") && error.contains(life.folder("a").to_str().unwrap()), "{error}");
            assert!(error.contains("cannot remove"), "even the host's file has to stay, which is said: {error}");
            // Where there is a folder the host is asked: it learns by itself that it cannot write, and says so.
            let begun = back_up(&life, "a").expect("a file");
            fs::write(begun.file(), "settings").unwrap_err();
            life.answer(abi::VMSF_OUTCOME_FAILED);
            life.settle(life.now());
            assert_watches(&life, "b", 1);
            mount(&["-o", "remount,rw"], disk);
            assert_heals(&life, "a", &[1, 2]);
        });
    }

    #[test]
    fn a_full_state_disk_refuses_tokens_and_nothing_else() {
        on_a_small_disk("a_full_state_disk_refuses_tokens_and_nothing_else", "size=2m", |disk| {
            let life = ready(state_on(disk), &["a", "b"]);
            life.keep_alive("b");
            expect(life.authorize(life.server("a"), b"x").0, abi::VMSF_OK, "authorize");
            life.settle(life.now());
            let op = life.last_begun().id;
            fill(disk);
            // The answer is not taken in, and may be given again.
            expect(complete_with(life.p, op, abi::VMSF_OUTCOME_OK, b"new token"), abi::VMSF_ERR_IO, "complete");
            let (_, why) = life.last_error();
            let state = life.directory.path().to_str().unwrap();
            assert!(why.contains(state) && why.contains("tokens.") && why.contains("No space left"), "{why}");
            life.settle(life.now());
            assert_eq!(life.status_of("a")["operation"]["op"], op);
            // There is room for the state: it was reserved. So a takeover is begun, and backups are made.
            life.drive_to(1_030);
            let takeover = life.last_begun();
            assert_eq!((takeover.kind, &takeover.json["server"]["id"]), (abi::VMSF_OP_TAKEOVER, &json!("b")));
            fill(disk);
            life.answer(abi::VMSF_OUTCOME_OK);
            life.settle(life.now());
            assert_eq!(life.states("b"), ["queued", "taking_over", "taken_over"]);
            life.backed_up(life.server("b"));
            free(disk);
            expect(complete_with(life.p, op, abi::VMSF_OUTCOME_OK, b"new token"), abi::VMSF_OK, "complete again");
            life.drive_to(1_041);
            // The log has caught up, and all of it outlives a kill.
            let entries = life.page(0)["entries"].as_array().unwrap().clone();
            assert!(entries.iter().enumerate().all(|(n, entry)| entry["seq"] == n + 1));
            let later = Left { state: life.left().state, backups: Rc::clone(&life.left().backups) }.going_on(None);
            assert_eq!(json!([later.status()["mode"], later.status()["holder"]]), json!(["taken_over", "b"]));
            assert_eq!(later.page(0)["entries"].as_array().unwrap()[..entries.len()], entries[..]);
        });
    }

    #[test]
    fn a_state_disk_that_becomes_read_only_blocks_takeovers_and_heals() {
        on_a_small_disk("a_state_disk_that_becomes_read_only_blocks_takeovers_and_heals", "size=2m", |disk| {
            let life = ready(state_on(disk), &["a", "b"]);
            life.keep_alive("a");
            // The directory mounted over itself, read-only: its open lock does not keep that from being done.
            let state = life.directory.path().to_owned();
            mount(&["--bind", state.to_str().unwrap()], &state);
            mount(&["-o", "remount,bind,ro"], &state);
            for code in [life.takeover(life.server("b")).0, life.backup(life.server("b")).0, life.cluster(false)] {
                expect(code, abi::VMSF_ERR_IO, "a call that has to be on disk");
                let (_, why) = life.last_error();
                assert!(why.contains(state.to_str().unwrap()) && why.contains("Read-only"), "{why}");
            }
            life.drive_to(1_040);
            let a = life.status_of("a");
            assert_eq!(
                json!([a["health"], a["alarms"]]),
                json!(["failed", ["takeover_blocked"]]),
                "monitoring goes on"
            );
            assert_eq!(a["next"], "cannot be taken over: the state directory cannot be written (place 1 of 1)");
            assert_eq!((life.begins(), &life.status()["state_writable"]), (vec![], &json!(false)));
            assert!(Command::new("umount").arg(&state).status().unwrap().success());
            life.drive_to(1_052);
            assert_eq!(life.last_begun().kind, abi::VMSF_OP_TAKEOVER, "it is tried again every 10 s");
            assert_eq!(life.status()["state_writable"], true);
        });
    }
}

// ---- names and paths that lead elsewhere ----

/// Ids that name something else than one folder of their own, on this system or another.
fn bad_ids() -> Vec<String> {
    let fixed = [
        "",
        ".",
        "..",
        "../a",
        "../../etc/passwd",
        "/etc/passwd",
        "a/b",
        "a/..",
        "\\\\server\\share",
        "a\\b",
        "..\\a",
        "C:",
        "C:\\a",
        "a:b",
        "a\0b",
        "\0",
        "a\nb",
        "a b",
        " a",
        "a ",
        "a.",
        "con",
        "CON",
        "nul",
        "Nul.backup",
        "aux",
        "PRN.x.y",
        "com0",
        "COM1",
        "com9.z",
        "LPT1",
        "lpt9",
        "ä",
        "a\u{202e}b",
        "*",
        "?",
        "a|b",
        "~",
        "$HOME",
        "%TEMP%",
    ];
    let long = ["x".repeat(65), "x".repeat(4096), "../".repeat(1365), "a/".repeat(2048)];
    fixed.iter().map(|id| (*id).to_owned()).chain(long).collect()
}

/// Paths that are no absolute plain ones.
fn bad_paths() -> Vec<String> {
    let fixed = [
        "",
        ".",
        "..",
        "a",
        "a/b",
        "../a",
        "./a",
        "/a/../b",
        "/..",
        "/a/..",
        "/a\0b",
        "/a\nb",
        "~/a",
        "$HOME/a",
        "file:///a",
    ];
    let long = ["/".to_owned() + &"x".repeat(4096), "/a".to_owned() + &"/..".repeat(1365)];
    fixed.iter().map(|path| (*path).to_owned()).chain(long).collect()
}

/// The fault at this place, by its text.
#[track_caller]
fn fault(report: &str, pointer: &str) -> String {
    let report: Value = serde_json::from_str(report).expect("JSON");
    let faults = report["faults"].as_array().expect("a list");
    let at: Vec<&Value> = faults.iter().filter(|fault| fault["pointer"] == pointer).collect();
    assert_eq!(at.len(), 1, "{pointer}: {report:#}");
    at[0]["text"].as_str().expect("a text").to_owned()
}

#[test]
fn ids_that_lead_elsewhere_are_refused_wherever_they_come_in() {
    let life = Life::ready(&["a"]);
    let before = (life.config(), life.status_of("a")["backup"].clone());
    for id in bad_ids() {
        let server = json!({ "id": id, "host": "b.example" });
        let mut config = life.config();
        config["monitored_servers"].as_array_mut().unwrap().push(server.clone());
        let (code, report) = life.configure(&config.to_string(), 0);
        expect(code, abi::VMSF_ERR_CONFIG, &id);
        assert!(fault(&report, "/monitored_servers/1/id").starts_with("/monitored_servers/1/id: "), "{report}");
        let (code, report) = life.edit(&json!({ "add": [server] }).to_string(), 0);
        expect(code, abi::VMSF_ERR_CONFIG, &id);
        fault(&report, "/monitored_servers/1/id");
        // Nor can one be changed into it, or found by it.
        for edit in [json!({ "change": [{ "id": id, "name": "x" }] }), json!({ "remove": [id] })] {
            expect(life.edit(&edit.to_string(), 0).0, abi::VMSF_ERR_CONFIG, &edit);
        }
        let mut handle = 0;
        let found = rig::name(call!(server(life.p, id.as_ptr().cast(), id.len(), &mut handle)));
        let refusals = ["VMSF_ERR_NOT_FOUND", "VMSF_ERR_LIMIT", "VMSF_ERR_UTF8"];
        assert!(refusals.contains(&&*found), "{id:?}: {found}");
        let left = Left::nothing();
        let mut config = left.config(&["a"]);
        config["monitored_servers"][0]["id"] = json!(id);
        let (code, text) = left.try_create(rig::Probe::new(), Some(&config)).unwrap_err();
        assert_eq!(code, "VMSF_ERR_CONFIG", "{id:?}");
        fault(&text, "/monitored_servers/0/id");
        assert_eq!(lives::files(left.state.path()).len(), 0, "{id:?}: nothing was made");
    }
    // Two that are one folder where case does not count.
    let (code, report) = life.edit(r#"{"add":[{"id":"A","host":"b.example"}]}"#, 0);
    expect(code, abi::VMSF_ERR_CONFIG, "A beside a");
    fault(&report, "/monitored_servers/1/id");
    assert_eq!((life.config(), life.status_of("a")["backup"].clone()), before);
    assert_eq!(life.backups("a"), [1]);
}

#[test]
fn paths_that_lead_elsewhere_are_refused_wherever_they_come_in() {
    let life = Life::ready(&["a"]);
    let before = life.config();
    for key in ["backup_directory", "store_path"] {
        let pointer = format!("/{key}");
        for path in bad_paths() {
            let mut config = life.config();
            config[key] = json!(path);
            let (code, report) = life.configure(&config.to_string(), 0);
            expect(code, abi::VMSF_ERR_CONFIG, format_args!("{key} {path:?}"));
            fault(&report, &pointer);
            let (code, report) = life.edit(&json!({ "set": { key: path } }).to_string(), 0);
            expect(code, abi::VMSF_ERR_CONFIG, format_args!("{key} {path:?}"));
            fault(&report, &pointer);
            let left = Left::nothing();
            let mut config = left.config(&["a"]);
            config[key] = json!(path);
            let (code, text) = left.try_create(rig::Probe::new(), Some(&config)).unwrap_err();
            assert_eq!(code, "VMSF_ERR_CONFIG", "{key} {path:?}");
            fault(&text, &pointer);
            assert_eq!(lives::files(left.state.path()).len(), 0, "{path:?}: nothing was made");
        }
        // Neither may lie in the other: deleting recordings must never reach the backups.
        let other = if key == "store_path" { "backup_directory" } else { "store_path" };
        for inside in ["", "/", "/below", "/./below"] {
            let path = format!("{}{inside}", life.config()[other].as_str().unwrap());
            let (code, report) = life.edit(&json!({ "set": { key: path } }).to_string(), 0);
            expect(code, abi::VMSF_ERR_CONFIG, &path);
            fault(&report, "/store_path");
        }
    }
    assert_eq!((life.config(), life.backups("a")), (before, vec![1]));
    // The state directory, too.
    for path in ["", "a", "../a", "./a"] {
        let options = json!({ "schema": 1, "state_directory": path, "config": life.config() });
        let (code, text) = rig::create(&rig::Probe::new().table(true), &options.to_string()).unwrap_err();
        assert_eq!(code, "VMSF_ERR_INVALID", "{text}");
    }
}

#[test]
fn a_path_that_is_long_enough_to_leave_no_room_for_names_fails_backups_by_name() {
    let life = Life::ready(&["a"]);
    let path = format!("/{}", ["x"; 2000].join("/"));
    expect(life.edit(&json!({ "set": { "backup_directory": path } }).to_string(), 0).0, abi::VMSF_OK, "3,999 bytes");
    life.settle(life.now());
    assert_eq!(back_up(&life, "a"), None);
    let error = life.status_of("a")["last_backup"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("cannot create"), "{error}");
    let path = format!("/{}", ["x"; 2048].join("/"));
    assert_eq!(path.len(), 4096);
    expect(life.edit(&json!({ "set": { "backup_directory": path } }).to_string(), 0).0, abi::VMSF_OK, "4,096 bytes");
    life.settle(life.now());
    assert_eq!(back_up(&life, "a"), None);
    let error = life.status_of("a")["last_backup"]["error"].as_str().unwrap().to_owned();
    assert!(error.contains("4098 bytes; with the names in it at most"), "{error}");
    life.keep_alive("a");
    life.drive_to(1_031);
    assert_eq!(life.status_of("a")["health"], "failed", "monitoring goes on");
}
