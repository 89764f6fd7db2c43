//! The lock of the state directory: one living instance has it.
//!
//! The lock goes with the file `lock`, so the file is never removed. Where it vanished with the whole directory, and the directory is there
//! again, it is taken anew, so that two instances never write to one directory. Called by `state`.

use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use vms_failover_abi as abi;

use super::disk;
use crate::error::Error;

const NAME: &str = "lock";

/// The lock, held while this lives or until it is given back.
#[derive(Debug)]
pub struct Lock {
    directory: PathBuf,
    /// The locked file; the mutex is held to look at it or exchange it, and never while anything else is called.
    file: Mutex<Option<File>>,
}

impl Lock {
    /// Takes the lock.
    pub fn take(directory: &Path) -> Result<Lock, Error> {
        Ok(Lock { directory: directory.to_owned(), file: Mutex::new(Some(locked(directory)?)) })
    }

    /// Makes sure that the directory that is there now is locked by us: nothing may be written otherwise.
    pub fn hold(&self) -> Result<(), Error> {
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(held) = file.as_ref() else {
            let text = format!("the state directory {} was given back", self.directory.display());
            return Err(Error::new(abi::VMSF_ERR_STATE, text));
        };
        if !is_at(held, &self.directory.join(NAME))? {
            *file = Some(locked(&self.directory)?);
        }
        Ok(())
    }

    /// The open file once more, as a forked process has it.
    #[cfg(test)]
    pub fn duplicate(&self) -> File {
        self.file.lock().unwrap().as_ref().unwrap().try_clone().unwrap()
    }

    /// Lets another instance have the directory; nothing is written by this one any more.
    pub fn give_back(&self) {
        let file = self.file.lock().unwrap_or_else(PoisonError::into_inner).take();
        // Closing is not enough: a child that the host is just forking holds the same open file until it runs its own program.
        // A lock that cannot be given back ends with the last of these.
        let _ = file.map(|file| file.unlock());
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        self.give_back();
    }
}

fn locked(directory: &Path) -> Result<File, Error> {
    let path = directory.join(NAME);
    let file = lockable().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Error::io("cannot open the lock of the state directory", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::new(
            abi::VMSF_ERR_BUSY,
            format!("the state directory {} is in use by another instance", directory.display()),
        )),
        Err(TryLockError::Error(error)) => Err(Error::io("cannot lock the state directory", &path, &error)),
    }
}

#[cfg(not(windows))]
fn lockable() -> OpenOptions {
    disk::private()
}

/// Nobody may remove or rename the file while it is open, nor the directory with it.
#[cfg(windows)]
fn lockable() -> OpenOptions {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ_WRITE: u32 = 3;
    let mut options = disk::private();
    options.share_mode(FILE_SHARE_READ_WRITE);
    options
}

/// Whether the path leads to this file.
#[cfg(unix)]
fn is_at(file: &File, path: &Path) -> Result<bool, Error> {
    use std::os::unix::fs::MetadataExt;
    let broken = |error: &_| Error::io("cannot look at the lock of the state directory", path, error);
    let held = file.metadata().map_err(|error| broken(&error))?;
    let there = disk::or_missing(std::fs::metadata(path)).map_err(|error| broken(&error))?;
    Ok(there.is_some_and(|there| (there.dev(), there.ino()) == (held.dev(), held.ino())))
}

/// It does: see `lockable`.
#[cfg(not(unix))]
fn is_at(_file: &File, _path: &Path) -> Result<bool, Error> {
    Ok(true)
}
