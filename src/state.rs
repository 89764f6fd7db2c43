//! What an instance keeps in its state directory: the accepted configuration, and from which numbers on ids are free.
//!
//! Every file is written whole to a temporary one, synced, renamed, and the directory synced; a reader finds the old or the new, never a
//! half. The directory is locked while an instance lives. Never called with the core's lock held. Called by `runtime`.

use std::fs::{self, File, TryLockError};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use vms_failover_abi as abi;

use crate::error::Error;

const CONFIG: &str = "config.json";
const NUMBERS: &str = "numbers.json";
const LOCK: &str = "lock";
/// How many ids and log numbers one life of an instance may use. 2^53 − 1 is the last id, so two million lives fit.
const NUMBERS_PER_LIFE: u64 = 1 << 32;
const LAST_ID: u64 = (1 << 53) - 1;
const CONFIG_MAX: u64 = 256 * 1024 * 1024;

/// How much is asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Everything is synced.
    Full,
    /// Nothing is synced: for simulation.
    None,
}

/// The state directory of one instance, locked while this lives.
#[derive(Debug)]
pub struct Store {
    directory: PathBuf,
    durability: Durability,
    lock: File,
}

/// The first numbers that this life may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Numbers {
    schema: u32,
    /// Ids of operations and requests.
    pub next_id: u64,
    /// Log entries.
    pub next_seq: u64,
}

impl Store {
    /// Opens and locks the directory, making it where it is missing.
    pub fn open(directory: &Path, durability: Durability) -> Result<Store, Error> {
        fs::create_dir_all(directory)
            .map_err(|error| Error::io("cannot create the state directory", directory, &error))?;
        let path = directory.join(LOCK);
        let lock = File::options().create(true).truncate(false).write(true).open(&path);
        let lock = lock.map_err(|error| Error::io("cannot open the lock of the state directory", &path, &error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Store { directory: directory.to_owned(), durability, lock }),
            Err(TryLockError::WouldBlock) => Err(Error::new(
                abi::VMSF_ERR_BUSY,
                format!("the state directory {} is in use by another instance", directory.display()),
            )),
            Err(TryLockError::Error(error)) => Err(Error::io("cannot lock the state directory", &path, &error)),
        }
    }

    /// Lets another instance have the directory.
    pub fn unlock(&self) {
        // A lock that cannot be given back ends with the file.
        let _ = self.lock.unlock();
    }

    /// The kept configuration, if there is one.
    pub fn config(&self) -> Result<Option<Vec<u8>>, Error> {
        self.read(CONFIG, CONFIG_MAX)
    }

    /// Keeps a configuration.
    pub fn keep_config(&self, json: &str) -> Result<(), Error> {
        self.write(CONFIG, json.as_bytes())
    }

    /// Takes the numbers of a new life, on disk before any is used.
    pub fn take_numbers(&self) -> Result<Numbers, Error> {
        let numbers = match self.read(NUMBERS, 64 * 1024)? {
            None => Numbers { schema: 1, next_id: 1, next_seq: 1 },
            Some(text) => self.parse_numbers(&text)?,
        };
        let next = Numbers {
            schema: 1,
            next_id: numbers.next_id.saturating_add(NUMBERS_PER_LIFE),
            next_seq: numbers.next_seq.saturating_add(NUMBERS_PER_LIFE),
        };
        if next.next_id > LAST_ID {
            let text =
                format!("all ids of the state directory {} are used up: give a new one", self.directory.display());
            return Err(Error::new(abi::VMSF_ERR_LIMIT, text));
        }
        self.write(NUMBERS, serde_json::to_string(&next).unwrap_or_default().as_bytes())?;
        Ok(numbers)
    }

    fn parse_numbers(&self, text: &[u8]) -> Result<Numbers, Error> {
        let damaged = |why: String| {
            let path = self.directory.join(NUMBERS);
            let text = format!("{} is damaged ({why}); put it right, or give a new state directory", path.display());
            Error::new(abi::VMSF_ERR_STATE_DAMAGED, text)
        };
        let numbers: Numbers = serde_json::from_slice(text).map_err(|error| damaged(error.to_string()))?;
        let valid = numbers.schema == 1 && numbers.next_id >= 1 && numbers.next_seq >= 1;
        if valid { Ok(numbers) } else { Err(damaged("numbers out of range".into())) }
    }

    fn read(&self, name: &str, max: u64) -> Result<Option<Vec<u8>>, Error> {
        let path = self.directory.join(name);
        let mut bytes = Vec::new();
        match File::open(&path).and_then(|file| file.take(max).read_to_end(&mut bytes)) {
            Ok(_) => Ok(Some(bytes)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::io("cannot read", &path, &error)),
        }
    }

    fn write(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.directory.join(name);
        self.replace(&path, bytes).map_err(|error| Error::io("cannot write", &path, &error))
    }

    fn replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        // Always the same name: what a killed process leaves of it is overwritten by the next, and the directory is locked.
        let new = path.with_extension("new");
        let written = create_private(&new).and_then(|mut file| {
            file.write_all(bytes)?;
            if self.durability == Durability::Full { file.sync_all() } else { Ok(()) }
        });
        written.and_then(|()| fs::rename(&new, path)).inspect_err(|_| {
            // The first error is the one to be told.
            let _ = fs::remove_file(&new);
        })?;
        if self.durability == Durability::Full {
            sync_directory(&self.directory)?;
        }
        Ok(())
    }
}

/// An empty file for this user alone.
fn create_private(path: &Path) -> io::Result<File> {
    let mut options = File::options();
    options.write(true).create(true).truncate(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(path)
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Windows has no such thing; the rename itself is written through there.
#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_in_use_is_busy_and_free_again_afterwards() {
        let root = tempfile::tempdir().unwrap();
        let first = Store::open(root.path(), Durability::None).unwrap();
        assert_eq!(Store::open(root.path(), Durability::None).unwrap_err().code, abi::VMSF_ERR_BUSY);
        drop(first);
        assert!(Store::open(root.path(), Durability::None).is_ok());
    }

    #[test]
    fn what_was_kept_comes_back_and_nothing_else_is_left() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Durability::Full).unwrap();
        assert_eq!(store.config().unwrap(), None);
        fs::write(root.path().join("config.new"), "what a killed process has left, longer than the next").unwrap();
        store.keep_config("{\"a\":1}").unwrap();
        store.keep_config("{\"a\":2}").unwrap();
        assert_eq!(store.config().unwrap().as_deref(), Some(&b"{\"a\":2}"[..]));
        let mut names: Vec<_> = fs::read_dir(root.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names, ["config.json", "lock"]);
    }

    #[test]
    fn what_cannot_be_written_leaves_nothing() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Durability::None).unwrap();
        // A folder cannot be replaced by a file.
        fs::create_dir(root.path().join(CONFIG)).unwrap();
        let error = store.keep_config("{}").unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_IO);
        assert!(error.text.contains(CONFIG), "{}", error.text);
        assert!(!root.path().join("config.new").exists());
    }

    #[test]
    fn numbers_never_repeat_in_a_directory() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Durability::None).unwrap();
        let (first, second) = (store.take_numbers().unwrap(), store.take_numbers().unwrap());
        assert!(second.next_id >= first.next_id + NUMBERS_PER_LIFE);
        assert!(second.next_seq >= first.next_seq + NUMBERS_PER_LIFE);
    }

    #[test]
    fn damaged_numbers_are_a_clear_error_and_stay_as_they_are() {
        let root = tempfile::tempdir().unwrap();
        let store = Store::open(root.path(), Durability::None).unwrap();
        for text in
            ["", "{", "{\"schema\":2,\"next_id\":1,\"next_seq\":1}", "{\"schema\":1,\"next_id\":0,\"next_seq\":1}"]
        {
            fs::write(root.path().join(NUMBERS), text).unwrap();
            let error = store.take_numbers().unwrap_err();
            assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED, "{text}");
            assert!(error.text.contains("numbers.json"), "{}", error.text);
            assert_eq!(fs::read(root.path().join(NUMBERS)).unwrap(), text.as_bytes());
        }
    }

    #[test]
    fn a_directory_that_is_a_file_is_named() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("file");
        fs::write(&path, "").unwrap();
        let error = Store::open(&path, Durability::None).unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_IO);
        assert!(error.text.contains(path.to_str().unwrap()), "{}", error.text);
    }
}
