//! Tests of the backups on real files: what they share.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::*;

// These lay symbolic links, pipes and permissions, as only Unix has them.
#[cfg(unix)]
mod checking;
#[cfg(unix)]
mod crashes;
#[cfg(unix)]
mod failures;
mod full_disk;
mod naming;
mod random;
#[cfg(unix)]
mod retention;
mod slices;

/// 2026-01-02T03:04:05Z
const UTC_MS: i64 = 1_767_323_045_000;

/// A backup directory with the folder of the server `cam-1`.
struct Place {
    root: tempfile::TempDir,
    folder: Folder,
    checks: Checks,
}

impl Place {
    fn new(syncing: Syncing) -> Place {
        let root = tempfile::tempdir().unwrap();
        let folder = Folder::new(root.path(), "cam-1", syncing).unwrap();
        Place { root, folder, checks: Checks::default() }
    }

    /// One with `count` backups, numbers 1 to `count`, archive `n` holding the text `archive n`.
    fn with(count: u64) -> Place {
        let mut place = Place::new(Syncing::None);
        for number in 1..=count {
            place.back_up(format!("archive {number}").as_bytes());
        }
        place
    }

    /// What the host wrote, ready to be published.
    fn written(&self, operation: u64, archive: &[u8]) -> PathBuf {
        let incoming = self.folder.begin(operation, 0).unwrap();
        fs::write(&incoming, archive).unwrap();
        incoming
    }

    fn back_up(&mut self, archive: &[u8]) -> Published {
        let incoming = self.written(7, archive);
        let published = finish(&mut self.folder.publish(&incoming, UTC_MS).unwrap()).unwrap();
        self.checks.note(published.name, published.checked.clone().unwrap());
        published
    }

    fn name(&self, number: u64) -> Name {
        self.folder.list().unwrap().into_iter().find(|name| name.number == number).unwrap()
    }

    fn archive(&self, number: u64) -> PathBuf {
        self.folder.archive(self.name(number))
    }

    fn manifest(&self, number: u64) -> PathBuf {
        self.folder.manifest(self.name(number))
    }

    /// The numbers of the archives, oldest first.
    fn numbers(&self) -> Vec<u64> {
        self.folder.list().unwrap().iter().rev().map(|name| name.number).collect()
    }

    fn find(&mut self) -> Choice {
        let mut find = self.folder.find();
        loop {
            match find.step(1 << 20, &mut self.checks) {
                Progress::Done(choice) => return choice.unwrap(),
                Progress::More => {}
                Progress::Busy(error) => panic!("{error}"),
            }
        }
    }

    fn newest_good(&mut self) -> Option<u64> {
        self.find().newest.map(|backup| backup.number)
    }

    /// Every file with its content, by name; links and folders with what they are.
    fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let entries = fs::read_dir(self.folder.path()).unwrap().map(|entry| entry.unwrap());
        let content = |path: &Path| match fs::symlink_metadata(path).unwrap().is_file() {
            true => fs::read(path).unwrap(),
            false => b"not a plain file".to_vec(),
        };
        entries.map(|entry| (entry.file_name().into_string().unwrap(), content(&entry.path()))).collect()
    }

    /// There are whole backups with these numbers and nothing else.
    fn assert_only(&self, numbers: &[u64]) {
        assert_eq!(self.numbers(), numbers);
        let names = self.folder.list().unwrap();
        let mut expected: Vec<_> = names.iter().flat_map(|name| [name.archive(), name.manifest()]).collect();
        expected.sort();
        assert_eq!(self.files().into_keys().collect::<Vec<_>>(), expected);
    }
}

fn finish(publish: &mut Publish) -> Result<Published, Error> {
    loop {
        match publish.step(1 << 20) {
            Progress::Done(result) => return result,
            Progress::More => {}
            Progress::Busy(error) => panic!("{error}"),
        }
    }
}

fn verify(folder: &Folder, name: Name) -> Verified {
    let mut verify = folder.verify(name);
    loop {
        if let Progress::Done(verified) = verify.step(1 << 20) {
            return verified;
        }
    }
}

/// Writes over a file as time would have passed: two writes within one tick of the file system's clock can't be told apart.
fn damage(path: &Path, content: &[u8], age_s: u64) {
    fs::write(path, content).unwrap();
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + age_s);
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}
