//! A disk that is full or read-only, on a file system of a few kilobytes of its own: in a child process, where it may be mounted.

#![cfg(target_os = "linux")]

use std::process::Command;

use super::*;

const DISK: &str = "VMSF_TEST_SMALL_DISK";

#[test]
fn a_full_or_read_only_disk_fails_the_backup_with_path_and_reason_and_heals() {
    let mount = tempfile::tempdir().unwrap();
    let program = std::env::current_exe().unwrap();
    let script = "mount -t tmpfs -o size=64k none \"$0\" || exit 77; exec \"$1\" --exact \
                  backup::tests::full_disk::on_the_small_disk --nocapture --test-threads 1";
    let run = Command::new("unshare")
        .args(["--user", "--map-root-user", "--mount", "sh", "-c", script])
        .args([mount.path(), program.as_path()])
        .env(DISK, mount.path())
        .output();
    let Ok(run) = run else { return eprintln!("skipped: no unshare here") };
    let said = format!("{}{}", String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
    if run.status.code() == Some(77) || said.contains("unshare failed") || said.contains("not permitted") {
        return eprintln!("skipped: no file system may be mounted here: {said}");
    }
    assert!(run.status.success() && said.contains("the disk was full and read-only"), "{said}");
}

/// Does nothing but where the test above has mounted a disk.
#[test]
fn on_the_small_disk() {
    let Some(disk) = std::env::var_os(DISK) else { return };
    let folder = Folder::new(Path::new(&disk), "cam-1", Syncing::All).unwrap();
    let write = |operation, bytes: usize| {
        let incoming = folder.begin(operation, 0).unwrap();
        (fs::write(&incoming, vec![7; bytes]), incoming)
    };
    let (_, first) = write(1, 100);
    finish(&mut folder.publish(&first, UTC_MS).unwrap()).unwrap();
    // The host fills the disk to the last byte; the manifest finds no room.
    let (written, second) = write(2, 1 << 20);
    assert_eq!(written.unwrap_err().kind(), std::io::ErrorKind::StorageFull);
    let error = finish(&mut folder.publish(&second, UTC_MS).unwrap()).unwrap_err();
    assert!(error.text.contains("manifest-2.tmp") && error.text.contains("No space left"), "{}", error.text);
    let names = |folder: &Folder| folder.list().unwrap().iter().map(|name| name.number).collect::<Vec<_>>();
    assert_eq!((names(&folder), fs::read_dir(folder.path()).unwrap().count()), (vec![1], 2));
    // With room again, all is well.
    let (_, third) = write(3, 100);
    finish(&mut folder.publish(&third, UTC_MS).unwrap()).unwrap();
    assert_eq!((names(&folder), fs::read_dir(folder.path()).unwrap().count()), (vec![2, 1], 4));
    // Read-only when the host has just written: even the host's file has to stay, which is said, until the next attempt.
    let remount = |how| assert!(Command::new("mount").args(["-o", how]).arg(&disk).status().unwrap().success());
    let (_, fourth) = write(4, 100);
    remount("remount,ro");
    let error = finish(&mut folder.publish(&fourth, UTC_MS).unwrap()).unwrap_err();
    assert!(error.text.contains("manifest-3.tmp") && error.text.contains("Read-only"), "{}", error.text);
    assert!(error.text.contains("cannot remove") && fourth.exists(), "{}", error.text);
    let other = Folder::new(Path::new(&disk), "cam-2", Syncing::All).unwrap();
    let error = other.begin(1, 0).unwrap_err();
    assert!(error.text.contains("cam-2") && error.text.contains("Read-only"), "{}", error.text);
    remount("remount,rw");
    folder.begin(5, 0).unwrap();
    assert_eq!((names(&folder), fs::read_dir(folder.path()).unwrap().count()), (vec![2, 1], 4));
    println!("the disk was full and read-only");
}
