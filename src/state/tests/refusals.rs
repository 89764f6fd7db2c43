//! Disks that refuse: full, read-only, gone, forbidden. The error names path and reason, and all heals when the cause is gone.

use std::fs;
use std::io;

use serde_json::json;

use super::super::disk::retry;
use super::*;

#[test]
fn a_directory_that_is_a_file_is_named() {
    let root = tempfile::tempdir().unwrap();
    let path = root.path().join("file");
    fs::write(&path, "").unwrap();
    let error = Store::open_with(&path, Durability::None, &[]).unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_IO);
    assert!(error.text.contains(path.to_str().unwrap()), "{}", error.text);
}

/// The save fails with this path in its text.
fn refused(store: &Store, path: &Path) -> Error {
    let error = store.save(&json!({"n": 0})).unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_IO, "{}", error.text);
    assert!(error.text.contains(path.to_str().unwrap()), "{}", error.text);
    error
}

// Windows does not let go of a directory with an open file in it.
#[cfg(unix)]
#[test]
fn a_directory_that_is_gone_is_an_error_and_heals() {
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("state");
    let store = Store::open_with(&directory, Durability::Full, &[]).unwrap();
    store.save(&json!({"n": 1})).unwrap();
    // Moved away and back.
    fs::rename(&directory, root.path().join("away")).unwrap();
    refused(&store, &directory);
    fs::rename(root.path().join("away"), &directory).unwrap();
    assert_eq!(store.save(&json!({"n": 2})).unwrap(), 2);
    // Removed, and made anew: whoever comes first has it.
    fs::remove_dir_all(&directory).unwrap();
    refused(&store, &directory);
    fs::create_dir(&directory).unwrap();
    store.save(&json!({"n": 3})).unwrap();
    assert_eq!(Store::open_with(&directory, Durability::None, &[]).unwrap_err().code, abi::VMSF_ERR_BUSY);
    assert_eq!(store.load().unwrap().payload, Some(json!({"n": 3})));
    assert!(directory.join("spare.2").exists());
    fs::remove_dir_all(&directory).unwrap();
    let second = open(&directory);
    assert_eq!(store.save(&json!({"n": 4})).unwrap_err().code, abi::VMSF_ERR_BUSY);
    drop(second);
    store.save(&json!({"n": 4})).unwrap();
}

#[cfg(unix)]
#[test]
fn a_directory_that_may_not_be_written_is_an_error_and_heals() {
    use std::os::unix::fs::PermissionsExt;
    let root = saved(2);
    let store = open(root.path());
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o500)).unwrap();
    let bypassed = fs::write(root.path().join("probe"), "").is_ok();
    if bypassed {
        eprintln!("SKIPPED: permissions do not bind this user (root?): a forbidden directory was not tested");
    } else {
        refused(&store, root.path());
        assert_eq!(store.load().unwrap().generation, 2);
    }
    fs::set_permissions(root.path(), fs::Permissions::from_mode(0o700)).unwrap();
    assert_eq!(store.save(&json!({"n": 3})).unwrap(), 3);
}

#[test]
fn what_is_in_use_just_now_is_tried_again_and_what_is_broken_is_not() {
    let attempts = |passing: u32, kind: io::ErrorKind| {
        let mut calls = 0;
        let result = retry(
            5,
            |error| error.kind() == io::ErrorKind::ResourceBusy,
            || {},
            || {
                calls += 1;
                if calls > passing { Ok(()) } else { Err(io::Error::from(kind)) }
            },
        );
        (calls, result.is_ok())
    };
    assert_eq!(attempts(0, io::ErrorKind::ResourceBusy), (1, true));
    assert_eq!(attempts(4, io::ErrorKind::ResourceBusy), (5, true));
    assert_eq!(attempts(9, io::ErrorKind::ResourceBusy), (5, false));
    assert_eq!(attempts(9, io::ErrorKind::PermissionDenied), (1, false));
}

#[cfg(target_os = "linux")]
mod mounted {
    use std::path::PathBuf;
    use std::process::{Command, Stdio};

    use super::*;

    /// A small file system of its own, unmounted at the end.
    struct Mount(tempfile::TempDir);

    impl Mount {
        /// None, loudly, where this user may not mount.
        fn new() -> Option<Mount> {
            let root = tempfile::tempdir().unwrap();
            let mounted = mount(&["-t", "tmpfs", "-o", "size=1m", "none"], root.path());
            if !mounted {
                eprintln!("SKIPPED: this user cannot mount a tmpfs: a full and a read-only disk were not tested");
            }
            mounted.then_some(Mount(root))
        }

        fn state(&self) -> PathBuf {
            self.0.path().join("state")
        }

        /// Takes all the room there is, as a neighbour would.
        fn fill(&self) {
            let mut file = fs::File::options().append(true).create(true).open(self.0.path().join("neighbour")).unwrap();
            while io::Write::write(&mut file, &[7; 512]).is_ok_and(|written| written > 0) {}
        }

        fn free(&self) {
            fs::remove_file(self.0.path().join("neighbour")).unwrap();
        }
    }

    impl Drop for Mount {
        fn drop(&mut self) {
            let _ = Command::new("umount").arg(self.0.path()).status();
        }
    }

    fn mount(options: &[&str], path: &Path) -> bool {
        let command = Command::new("mount").args(options).arg(path).stderr(Stdio::null()).status();
        command.is_ok_and(|status| status.success())
    }

    #[test]
    fn a_full_disk_still_lets_state_be_written() {
        let Some(mount) = Mount::new() else { return };
        let store = Store::open_with(&mount.state(), Durability::Full, &[]).unwrap();
        // A payload that grows within what is reserved, and a neighbour who takes every byte before each save.
        for n in 1..=50_u64 {
            mount.fill();
            let payload = json!({ "n": n, "text": "x".repeat(n as usize * 300) });
            assert_eq!(store.save(&payload).unwrap(), n);
            assert_eq!(store.load().unwrap().payload, Some(payload));
        }
        // A restart too.
        drop(store);
        mount.fill();
        let store = Store::open_with(&mount.state(), Durability::Full, &[]).unwrap();
        assert_eq!(store.load().unwrap().generation, 50);
        store.save(&json!({"n": 51})).unwrap();
    }

    #[test]
    fn what_does_not_fit_at_all_is_an_error_and_heals() {
        let Some(mount) = Mount::new() else { return };
        let store = Store::open_with(&mount.state(), Durability::Full, &[]).unwrap();
        store.save(&json!({"n": 1})).unwrap();
        mount.fill();
        let long = "x".repeat(100_000);
        let error = store.save(&long).unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_IO);
        assert!(error.text.contains(mount.state().join("state.b.json").to_str().unwrap()), "{}", error.text);
        assert_eq!(store.load().unwrap().payload, Some(json!({"n": 1})));
        mount.free();
        assert_eq!(store.save(&long).unwrap(), 2);
        assert_eq!(files(&mount.state()).len(), 2);
    }

    #[test]
    fn a_fresh_directory_on_a_full_disk_is_refused() {
        let Some(mount) = Mount::new() else { return };
        fs::create_dir(mount.state()).unwrap();
        mount.fill();
        let error = Store::open_with(&mount.state(), Durability::Full, &[]).unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_IO);
        assert!(error.text.contains(mount.state().to_str().unwrap()), "{}", error.text);
        mount.free();
        Store::open_with(&mount.state(), Durability::Full, &[]).unwrap();
    }

    #[test]
    fn a_read_only_disk_is_an_error_and_heals() {
        let Some(mount_point) = Mount::new() else { return };
        let store = Store::open_with(&mount_point.state(), Durability::Full, &[]).unwrap();
        store.save(&json!({"n": 1})).unwrap();
        drop(store);
        // Remounting needs that nothing is open for writing, as the lock is; a second mount point of the same disk does not.
        let view = tempfile::tempdir().unwrap();
        let source = mount_point.0.path().to_str().unwrap();
        assert!(mount(&["--bind", source], view.path()) && mount(&["-o", "remount,bind,ro"], view.path()));
        let opened = Store::open_with(&view.path().join("state"), Durability::Full, &[]);
        let lock = view.path().join("state/lock");
        let unmounted = Command::new("umount").arg(view.path()).status().unwrap().success();
        let error = opened.unwrap_err();
        assert!(unmounted && error.code == abi::VMSF_ERR_IO);
        assert!(error.text.contains(lock.to_str().unwrap()) && error.text.contains("ead-only"), "{}", error.text);
        let store = Store::open_with(&mount_point.state(), Durability::Full, &[]).unwrap();
        assert_eq!(store.save(&json!({"n": 2})).unwrap(), 2);
    }

    #[test]
    fn a_token_on_a_full_or_read_only_disk_is_refused_takes_no_room_from_the_state_and_heals() {
        let Some(mount_point) = Mount::new() else { return };
        let directory = mount_point.state();
        let store = Store::open_with(&directory, Durability::Full, &[]).unwrap();
        let (tokens, _) = store.tokens().unwrap();
        let token = Arc::new(crate::secret::Secret::copied(&[7; 4096]).unwrap());
        let refused = |why: &str| {
            let error = tokens.put(&[("a", 1, &token)]).unwrap_err();
            assert_eq!(error.code, abi::VMSF_ERR_IO);
            assert!(error.text.contains(directory.to_str().unwrap()) && error.text.contains(why), "{}", error.text);
            assert!(!tokens.has("a", 1));
        };
        mount_point.fill();
        refused("o space");
        (1..=20).for_each(|n| assert_eq!(store.save(&json!({ "n": n })).unwrap(), n));
        mount_point.free();
        let path = directory.to_str().unwrap();
        assert!(mount(&["--bind", path], &directory) && mount(&["-o", "remount,bind,ro"], &directory));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| refused("ead-only")));
        assert!(Command::new("umount").arg(&directory).status().unwrap().success());
        result.unwrap();
        tokens.put(&[("a", 1, &token)]).unwrap();
        assert!(store.tokens().unwrap().0.has("a", 1));
    }

    #[test]
    fn a_disk_that_becomes_read_only_in_use_is_an_error_and_heals() {
        let Some(mount_point) = Mount::new() else { return };
        let directory = mount_point.state();
        let store = Store::open_with(&directory, Durability::Full, &[]).unwrap();
        store.save(&json!({"n": 1})).unwrap();
        // The same disk mounted over itself, read-only: the paths are the same, and so is the lock.
        let path = directory.to_str().unwrap();
        assert!(mount(&["--bind", path], &directory) && mount(&["-o", "remount,bind,ro"], &directory));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| refused(&store, &directory)));
        assert!(Command::new("umount").arg(&directory).status().unwrap().success());
        assert!(result.unwrap().text.contains("ead-only"));
        assert_eq!(store.save(&json!({"n": 2})).unwrap(), 2);
        assert_eq!(store.load().unwrap().payload, Some(json!({"n": 2})));
    }
}
