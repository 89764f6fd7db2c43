//! Publishing what the host has written: check, hash, sync, manifest, archive. Each step is short, and after each a crash is harmless.
//!
//! | on the disk after | is | after a crash |
//! |---|---|---|
//! | check, hash, sync | the host's file | removed by `clean`, or published by a new job |
//! | draft | and `manifest-<n>.tmp` | the same |
//! | manifest | and `<stamp>-<n>.json`, without its archive | the same |
//! | archive | `<stamp>-<n>.backup` with its `.json` | published |
//!
//! The archive's rename is the one instant at which there is a new backup. The manifest's name is synced before it, so no power loss leaves
//! an archive without a manifest.

use std::fs::File;
use std::path::{Path, PathBuf};

use vms_failover_abi as abi;

use super::check::Checked;
use super::digest::Digest;
use super::disk::{self, Fault, Stamp};
use super::manifest::Manifest;
use super::name::{Known, LAST_NUMBER, Name};
use super::{Backup, Folder, Progress, Syncing, check};
use crate::error::Error;

/// A backup that has just been published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    /// As a takeover would use it.
    pub backup: Backup,
    /// Which one.
    pub name: Name,
    /// Its first check, for [`Checks`](super::Checks). None if it was found published already: it is hashed when its turn comes.
    pub checked: Option<Checked>,
}

/// Publishes the host's file, in slices. Dropped half-way it leaves what a crash would leave.
#[derive(Debug)]
pub struct Publish {
    folder: Folder,
    incoming: PathBuf,
    reserved: u64,
    utc_ms: i64,
    hashed: u64,
    /// What this attempt has made besides, in order. A failure takes back these and nothing else.
    made: Vec<PathBuf>,
    stage: Stage,
}

#[derive(Debug)]
enum Stage {
    Check,
    Hash(Digest, Stamp),
    Sync(Source),
    Draft(Source),
    Manifest(Source),
    Archive(Source),
    Over(Result<Published, Error>),
}

/// The hashed file. Held open to the end, so that its inode number can't become another file's.
#[derive(Debug)]
struct Source {
    file: File,
    stamp: Stamp,
    name: Name,
    manifest: Manifest,
}

impl Folder {
    /// Publishes the file that [`Folder::begin`] named, as of this UTC time. A job for the same file after a crash ends as the first would
    /// have ended: with one backup.
    pub fn publish(&self, incoming: &Path, utc_ms: i64) -> Result<Publish, Error> {
        let known = incoming.file_name().and_then(|name| Known::parse(name.to_str()?));
        match known {
            Some(Known::Incoming { number, .. }) if incoming.parent() == Some(self.path()) => Ok(Publish {
                folder: self.clone(),
                incoming: incoming.to_owned(),
                reserved: number,
                utc_ms,
                hashed: 0,
                made: Vec::new(),
                stage: Stage::Check,
            }),
            _ => Err(disk::wrong(incoming, "is no name that a backup was begun with")),
        }
    }
}

impl Publish {
    /// Hashes at most `budget` bytes or makes at most one sync. Further calls after the end give the result again.
    ///
    /// A failure has removed the host's file and everything of this attempt; its text names the file and the reason.
    pub fn step(&mut self, budget: u64) -> Progress<Result<Published, Error>> {
        let over = || Err(disk::wrong(&self.incoming, "is no longer being published"));
        let stage = std::mem::replace(&mut self.stage, Stage::Over(over()));
        let (stage, busy) = match self.advance(stage, budget) {
            Ok(next) => next,
            Err(error) => (Stage::Over(Err(self.fail(error))), None),
        };
        self.stage = stage;
        if let Some(error) = busy {
            return Progress::Busy(error);
        }
        match &self.stage {
            Stage::Over(result) => Progress::Done(result.clone()),
            _ => Progress::More,
        }
    }

    /// How many bytes have been hashed.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    /// Gives the attempt up, because its operation was superseded or stayed busy too long: removes all of it, unless it is over.
    pub fn abandon(mut self) -> Result<(), Error> {
        let over = matches!(std::mem::replace(&mut self.stage, Stage::Check), Stage::Over(_));
        if over { Ok(()) } else { self.undo() }
    }

    /// The next stage, or the same and why it has to be tried again.
    fn advance(&mut self, stage: Stage, budget: u64) -> Result<(Stage, Option<Error>), Error> {
        let next = match stage {
            Stage::Check => self.check()?,
            Stage::Hash(digest, stamp) => self.hash(digest, stamp, budget)?,
            Stage::Sync(source) => {
                disk::sync_file(&source.file, &self.incoming)?;
                Stage::Draft(source)
            }
            Stage::Draft(source) => {
                let draft = self.folder.draft(source.name);
                source.manifest.write(&draft, self.folder.syncing().small())?;
                self.made.push(draft);
                Stage::Manifest(source)
            }
            Stage::Manifest(source) => match self.rename_manifest(&source) {
                Ok(()) => Stage::Archive(source),
                Err(Fault::Busy(error)) => return Ok((Stage::Manifest(source), Some(error))),
                Err(Fault::Final(error)) => return Err(error),
            },
            Stage::Archive(source) => match self.rename_archive(&source) {
                Ok(published) => Stage::Over(Ok(published)),
                Err(Fault::Busy(error)) => return Ok((Stage::Archive(source), Some(error))),
                Err(Fault::Final(error)) => return Err(error),
            },
            Stage::Over(result) => Stage::Over(result),
        };
        Ok((next, None))
    }

    fn check(&self) -> Result<Stage, Error> {
        self.folder.is_there()?;
        self.folder.clean(Some(&self.incoming))?;
        if let Some(published) = self.already()? {
            return Ok(Stage::Over(Ok(published)));
        }
        let (file, stamp) = disk::open_plain(&self.incoming)?;
        if stamp.size == 0 {
            return Err(disk::wrong(&self.incoming, "is empty: the host wrote no archive"));
        }
        Ok(Stage::Hash(Digest::new(file, stamp.size), stamp))
    }

    /// A crash right after the archive's rename: the host's file is gone, and the number that was meant for it is taken.
    fn already(&self) -> Result<Option<Published>, Error> {
        if disk::exists(&self.incoming)? {
            return Ok(None);
        }
        let name = self.folder.list()?.into_iter().find(|name| name.number == self.reserved);
        let published = name.and_then(|name| Some((name, check::seen(&self.folder, name).ok()?.1)));
        Ok(published.map(|(name, manifest)| Published {
            backup: self.folder.backup(name, manifest),
            name,
            checked: None,
        }))
    }

    fn hash(&mut self, mut digest: Digest, stamp: Stamp, budget: u64) -> Result<Stage, Error> {
        let before = digest.hashed();
        let at_end = digest.step(budget).map_err(|error| Error::io("cannot read", &self.incoming, &error))?;
        self.hashed += digest.hashed() - before;
        if !at_end {
            return Ok(Stage::Hash(digest, stamp));
        }
        self.unchanged(&digest.file, stamp)?;
        let number = self.reserved.max(self.folder.highest()?.saturating_add(1));
        if number > LAST_NUMBER {
            return Err(disk::wrong(self.folder.path(), "has used up all numbers of backups"));
        }
        let name = Name::new(number, self.utc_ms);
        let manifest = Manifest::new(self.folder.server(), name, stamp.size, digest.hex());
        let source = Source { file: digest.file, stamp, name, manifest };
        Ok(if self.folder.syncing() == Syncing::All { Stage::Sync(source) } else { Stage::Draft(source) })
    }

    fn rename_manifest(&mut self, source: &Source) -> Result<(), Fault> {
        let path = self.folder.manifest(source.name);
        disk::rename(&self.folder.draft(source.name), &path)?;
        self.made = vec![path];
        self.sync_folder()
    }

    fn rename_archive(&mut self, source: &Source) -> Result<Published, Fault> {
        self.unchanged(&source.file, source.stamp)?;
        let path = self.folder.archive(source.name);
        disk::rename(&self.incoming, &path)?;
        self.made.push(path.clone());
        // Whatever took the file's place between the look and the rename has its name now.
        if disk::plain(&path).ok() != Some(Ok(source.stamp)) {
            return Err(disk::wrong(&self.incoming, "was exchanged while it was published").into());
        }
        self.sync_folder()?;
        Ok(Published {
            backup: self.folder.backup(source.name, source.manifest.clone()),
            name: source.name,
            checked: Some(Checked::new(source.stamp, &source.manifest.sha256, None)),
        })
    }

    /// The host has said that it is done. If it writes on, the hash is of something else.
    fn unchanged(&self, file: &File, stamp: Stamp) -> Result<(), Error> {
        let look = |error: std::io::Error| Error::io("cannot look at", &self.incoming, &error);
        let named = disk::plain(&self.incoming).map_err(look)?.map_err(|why| disk::wrong(&self.incoming, why))?;
        let held = Stamp::of(&file.metadata().map_err(look)?);
        if held == stamp && named == stamp {
            return Ok(());
        }
        Err(disk::wrong(&self.incoming, "was written to or exchanged after the host had completed the backup"))
    }

    fn sync_folder(&self) -> Result<(), Fault> {
        if self.folder.syncing().small() { Ok(disk::sync_folder(self.folder.path())?) } else { Ok(()) }
    }

    /// Removes the attempt; what can't be removed is said too.
    fn fail(&mut self, error: Error) -> Error {
        match self.undo() {
            Ok(()) => error,
            Err(left) => Error::new(error.code, format!("{}; {}", error.text, left.text)),
        }
    }

    /// Last made, first removed: without its archive there is no backup.
    fn undo(&mut self) -> Result<(), Error> {
        let paths = self.made.drain(..).rev().chain([self.incoming.clone()]);
        let left: Vec<String> = paths.filter_map(|path| disk::remove(&path).err()).map(|error| error.text).collect();
        if left.is_empty() { Ok(()) } else { Err(Error::new(abi::VMSF_ERR_IO, left.join("; "))) }
    }
}
