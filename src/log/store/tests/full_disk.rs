//! The log on a disk that is full, and heals.

use std::process::Command;

use super::*;

/// A file system of 1 MiB, gone with this.
struct Small(TempDir);

impl Small {
    fn mount() -> Option<Small> {
        let root = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=1m", "tmpfs"]).arg(root.path());
        let mounted = mount.output().is_ok_and(|output| output.status.success());
        mounted.then(|| Small(root))
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        // Left mounted, the directory cannot be removed either; nothing more can be done here.
        let _ = Command::new("umount").arg("-l").arg(self.0.path()).status();
    }
}

/// Every whole line in the files, and whether the newest ends with one.
fn on_disk(directory: &Path) -> (Vec<u64>, bool) {
    let firsts = files::list(directory).unwrap();
    let texts = firsts.iter().map(|first| fs::read_to_string(files::path(directory, *first)).unwrap());
    let text: String = texts.collect();
    let seqs = text.lines().filter_map(|line| Some(line::numbered(line.as_bytes())?.0)).collect();
    (seqs, text.is_empty() || text.ends_with('\n'))
}

#[test]
fn a_full_disk_is_an_error_with_its_path_and_heals() {
    let Some(small) = Small::mount() else {
        eprintln!("SKIP: a_full_disk_is_an_error_with_its_path_and_heals: no tmpfs could be mounted");
        return;
    };
    let directory = small.0.path().join("log");
    let ballast = small.0.path().join("ballast");
    let settings = Settings { recent: 2000, backlog: 1000, ..ONE };
    let (mut store, _) = LogStore::open_with(&directory, BOOT, 1, settings).unwrap();
    store.append_all(&batch(1, 10)).unwrap();
    fs::write(&ballast, vec![0; 2 << 20]).unwrap_err();
    let mut seq = 11;
    let error = loop {
        let failed = store.append_all(&batch(seq, seq + 6)).err();
        seq += 7;
        if let Some(error) = failed {
            break error;
        }
    };
    assert_eq!(error.code, abi::VMSF_ERR_IO);
    assert!(error.text.contains(directory.to_str().unwrap()), "{}", error.text);
    let (written, whole) = on_disk(&directory);
    assert!(whole, "the line begun was cut off");
    assert_eq!(written.len() + store.backlog().waiting, seq as usize - 1);
    assert!(!directory.join("boot.json").exists(), "a kill now must not repeat numbers");
    // Larger than what is left of the last page of the disk.
    let large = format!("{{\"seq\":{seq},\"text\":\"{}\"}}", "x".repeat(60_000));
    store.append(seq, &large).unwrap_err();
    fs::remove_file(&ballast).unwrap();
    store.append(seq + 1, &entry(seq + 1)).unwrap();
    assert_eq!(on_disk(&directory), ((1..=seq + 1).collect(), true));
    drop(store);
    let (store, opened) = LogStore::open_with(&directory, BOOT, RESERVED, settings).unwrap();
    assert_eq!((opened.next_seq, opened.gap, opened.damaged), (seq + 2, None, None));
    let expected = [lines(1, seq - 1), vec![large], lines(seq + 1, seq + 1)].concat();
    assert_eq!(all(&store, 1, 100), expected);
}

#[test]
fn a_log_is_opened_on_a_full_disk() {
    let Some(small) = Small::mount() else {
        eprintln!("SKIP: a_log_is_opened_on_a_full_disk: no tmpfs could be mounted");
        return;
    };
    let directory = small.0.path().join("log");
    files::make_directory(&directory).unwrap();
    fs::write(small.0.path().join("ballast"), vec![0; 2 << 20]).unwrap_err();
    let (mut store, _) = LogStore::open_with(&directory, BOOT, 1, ONE).unwrap();
    store.append(1, &entry(1)).unwrap_err();
    drop(store);
    fs::remove_file(small.0.path().join("ballast")).unwrap();
    let (_, opened) = LogStore::open_with(&directory, BOOT, RESERVED, ONE).unwrap();
    assert_eq!(opened.gap, Some((1, RESERVED - 1)), "number 1 was given out");
}
