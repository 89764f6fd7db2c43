//! The settings backups of the monitored servers, as they lie on disk: `<backup_directory>/<server id>/<YYYYMMDDTHHMMSSZ>-<n>.backup`
//! with a `.json` manifest beside each. Everything that is done with these files is done here.
//!
//! A backup: [`Folder::begin`] names a temporary file, the host writes it, [`Publish`] checks, hashes and publishes it, [`Folder::retain`]
//! deletes what is in excess. A takeover: [`Find`] gives the newest good one. A start:
//! [`Folder::clean`], then [`Verify`] for each of [`Folder::list`].
//!
//! The newest is the highest `n`, never by the clock. A published backup is an archive with its manifest; what a crash leaves of any other
//! is recognised by its name. Files with any other name are foreign: never read, never touched.
//!
//! Large files are read in slices, by jobs that a file worker or `poll` steps on: each step hashes at most its budget and makes at most one
//! sync. Knows no clock (UTC is an argument), thread or lock. Called by `runtime`: what changes a folder, one call at a time and with no lock
//! held; what only reads it, beside that, and a look or a search with the checks of its server locked.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::error::Error;

mod check;
mod digest;
mod disk;
mod manifest;
mod name;
mod publish;
mod retain;
mod verify;

pub use check::{Checked, Checks, Condition, Flaw};
pub use name::Name;
pub use publish::{Publish, Published};
pub use retain::Removed;
pub use verify::{Choice, Find, Verified, Verify};

use manifest::Manifest;
use name::{Known, LAST_NUMBER};

/// What is synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Syncing {
    /// Everything.
    All,
    /// All but the archive, which the host has synced before it completed the operation (`VMSF_HOST_DRIVES`).
    Small,
    /// Nothing: for simulation.
    None,
}

impl Syncing {
    fn small(self) -> bool {
        self != Syncing::None
    }
}

/// How far a job is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Progress<T> {
    /// Step again.
    More,
    /// Another process holds a file (Windows only). Step again for up to 2 s, then give the job up with this error.
    Busy(Error),
    /// It is over.
    Done(T),
}

/// A good backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// Grows with each backup of the server.
    pub number: u64,
    /// The archive.
    pub path: PathBuf,
    /// In bytes.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// RFC 3339, UTC.
    pub time: String,
}

/// A file that was passed over, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Skipped {
    /// The number of the backup.
    pub number: u64,
    /// The file.
    pub path: PathBuf,
    /// Why.
    pub flaw: Flaw,
}

/// The backups of one server. Holds no file open; any number may be made.
#[derive(Clone, Debug)]
pub struct Folder {
    path: PathBuf,
    server: String,
    syncing: Syncing,
}

impl Folder {
    /// The folder of a server. Touches no disk.
    ///
    /// `VMSF_ERR_INVALID`, naming it, for an id that can't be a folder's name on every system, and for a path that is relative, has `..`
    /// or NUL in it, or is too long.
    pub fn new(backup_directory: &Path, server_id: &str, syncing: Syncing) -> Result<Folder, Error> {
        Ok(Folder { path: name::folder(backup_directory, server_id)?, server: server_id.to_owned(), syncing })
    }

    /// Names the file into which the host is to write the archive, for the operation with this id. Makes the folder (the backup directory
    /// itself must be there: it may be a volume that is not mounted), and removes leftovers.
    ///
    /// The file is not created, so that one that is missing or empty later is the host's doing. The same operation has the same file again:
    /// its host may go on writing after a restart. `last_number` is the highest number that the caller remembers (0: none), so that numbers
    /// grow even if somebody deletes the newest backup.
    pub fn begin(&self, operation: u64, last_number: u64) -> Result<PathBuf, Error> {
        self.make()?;
        let highest = self.highest()?.max(last_number);
        let resumed = self.written_for(operation)?.filter(|known| known.number() > highest);
        let number = highest.saturating_add(1);
        if number > LAST_NUMBER {
            return Err(disk::wrong(&self.path, "has used up all numbers of backups"));
        }
        let incoming = resumed.unwrap_or(Known::Incoming { number, operation });
        let path = self.path.join(incoming.file_name());
        self.clean(Some(&path))?;
        Ok(path)
    }

    /// The file into which the host has begun to write for this operation, in this life or an earlier one. None if it has not begun.
    pub fn incoming(&self, operation: u64) -> Result<Option<PathBuf>, Error> {
        Ok(self.written_for(operation)?.map(|known| self.path.join(known.file_name())))
    }

    /// The published backups by their names, newest first, whatever their condition. Empty where there is no folder.
    pub fn list(&self) -> Result<Vec<Name>, Error> {
        let archive = |known| if let Known::Archive(name) = known { Some(name) } else { None };
        let mut names: Vec<Name> = self.known()?.into_iter().filter_map(archive).collect();
        names.sort_unstable_by(|a, b| b.cmp(a));
        Ok(names)
    }

    /// What a look at one backup says, without hashing it.
    pub fn look(&self, name: Name, checks: &Checks) -> Condition {
        check::look(self, name, checks)
    }

    /// Hashes one backup again.
    pub fn verify(&self, name: Name) -> Verify {
        Verify::new(self.clone(), name)
    }

    /// Finds the newest good backup, hashing what has to be.
    pub fn find(&self) -> Find {
        Find::new(self.clone())
    }

    /// The archive of a backup.
    pub fn archive(&self, name: Name) -> PathBuf {
        self.path.join(name.archive())
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn manifest(&self, name: Name) -> PathBuf {
        self.path.join(name.manifest())
    }

    fn draft(&self, name: Name) -> PathBuf {
        self.path.join(Known::Draft(name.number).file_name())
    }

    fn server(&self) -> &str {
        &self.server
    }

    fn syncing(&self) -> Syncing {
        self.syncing
    }

    fn backup(&self, name: Name, manifest: Manifest) -> Backup {
        let Manifest { size, sha256, time, .. } = manifest;
        Backup { number: name.number, path: self.archive(name), size, sha256, time }
    }

    fn written_for(&self, operation: u64) -> Result<Option<Known>, Error> {
        let its = |known: &Known| matches!(known, Known::Incoming { operation: of, .. } if *of == operation);
        Ok(self.known()?.into_iter().filter(its).max_by_key(|known| known.number()))
    }

    /// The highest number in use, 0 for none. A manifest alone doesn't count: a crash left it, and its attempt may go on.
    fn highest(&self) -> Result<u64, Error> {
        Ok(self.list()?.first().map_or(0, |name| name.number))
    }

    /// Every file of this module's. Bounded by what lies there: a foreign file costs a look at its name.
    fn known(&self) -> Result<Vec<Known>, Error> {
        let failed = |error| Error::io("cannot read", &self.path, &error);
        match fs::symlink_metadata(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(error)),
            Ok(_) => self.is_there()?,
        }
        let mut known = Vec::new();
        for entry in fs::read_dir(&self.path).map_err(failed)? {
            known.extend(entry.map_err(failed)?.file_name().to_str().and_then(Known::parse));
        }
        Ok(known)
    }

    fn is_there(&self) -> Result<(), Error> {
        let metadata =
            fs::symlink_metadata(&self.path).map_err(|error| Error::io("cannot read", &self.path, &error))?;
        // A link would lead what is deleted here into somebody else's folder.
        if metadata.is_dir() { Ok(()) } else { Err(disk::wrong(&self.path, "is not a folder of its own")) }
    }

    fn make(&self) -> Result<(), Error> {
        match fs::create_dir(&self.path) {
            Ok(()) => match self.path.parent() {
                Some(parent) if self.syncing.small() => disk::sync_folder(parent),
                _ => Ok(()),
            },
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.is_there(),
            Err(error) => Err(Error::io("cannot create", &self.path, &error)),
        }
    }
}

/// Bytes hashed and syncs made by this thread so far.
#[cfg(test)]
pub fn counted() -> (u64, u32) {
    (digest::HASHED.with(|hashed| hashed.get()), disk::SYNCS.with(|syncs| syncs.get()))
}

#[cfg(test)]
mod tests;
