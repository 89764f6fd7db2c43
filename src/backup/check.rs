//! What is known of each backup without reading it: its last check, and whether that still holds.

use std::collections::BTreeMap;

use super::disk::{self, Stamp};
use super::manifest::Manifest;
use super::name::Name;
use super::{Backup, Folder};

/// Why a backup is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Flaw {
    /// It is not what was published.
    Damaged(String),
    /// The system did not let it be read: this may heal, so it says nothing of the backup itself.
    Unreadable(String),
}

impl Flaw {
    /// In words.
    pub fn text(&self) -> &str {
        match self {
            Flaw::Damaged(why) | Flaw::Unreadable(why) => why,
        }
    }
}

/// The outcome of hashing one backup, with what it held for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checked {
    stamp: Stamp,
    /// The hash that it was held against. Another manifest asks for another check.
    sha256: String,
    flaw: Option<Flaw>,
}

impl Checked {
    pub(super) fn new(stamp: Stamp, sha256: &str, flaw: Option<Flaw>) -> Checked {
        Checked { stamp, sha256: sha256.to_owned(), flaw }
    }

    /// Why it is not good, if it isn't.
    pub fn flaw(&self) -> Option<&Flaw> {
        self.flaw.as_ref()
    }
}

/// The last checks of one server's backups. In memory only: a start checks anew.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks(BTreeMap<Name, Checked>);

impl Checks {
    /// Notes a check, in place of an earlier one of the same backup.
    pub fn note(&mut self, name: Name, checked: Checked) {
        self.0.insert(name, checked);
    }

    /// Forgets one backup.
    pub fn forget(&mut self, name: Name) {
        self.0.remove(&name);
    }

    /// Forgets what is no longer there. Bounds the memory to what lies on the disk.
    pub fn keep_only(&mut self, names: &[Name]) {
        self.0.retain(|name, _| names.contains(name));
    }
}

/// What a look at one backup says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// As at its last check, which was good.
    Good(Backup),
    /// Whole by its manifest, but never hashed, or changed since.
    Unchecked(Backup),
    /// Not to be used.
    Flawed(Flaw),
    /// Deleted since it was listed.
    Gone,
}

/// Looks at one backup: two `lstat` and the small manifest, no hashing.
pub fn look(folder: &Folder, name: Name, checks: &Checks) -> Condition {
    match seen(folder, name) {
        // Retention takes the archive first, so one of which only the manifest is missing was not deleted by it.
        Err(_) if disk::exists(&folder.archive(name)).is_ok_and(|exists| !exists) => Condition::Gone,
        Err(flaw) => Condition::Flawed(flaw),
        Ok((stamp, manifest)) => match checks.0.get(&name) {
            Some(checked) if checked.stamp == stamp && checked.sha256 == manifest.sha256 => match &checked.flaw {
                None => Condition::Good(folder.backup(name, manifest)),
                Some(flaw) => Condition::Flawed(flaw.clone()),
            },
            _ => Condition::Unchecked(folder.backup(name, manifest)),
        },
    }
}

/// An archive with its manifest, alike as far as can be seen without hashing.
pub(super) fn seen(folder: &Folder, name: Name) -> Result<(Stamp, Manifest), Flaw> {
    let looked = disk::plain(&folder.archive(name)).map_err(|error| Flaw::Unreadable(error.to_string()))?;
    let stamp = looked.map_err(Flaw::Damaged)?;
    let manifest = Manifest::read(&folder.manifest(name), folder.server(), name)?;
    if stamp.size != manifest.size {
        return Err(Flaw::Damaged(format!("has {} bytes, by its manifest {}", stamp.size, manifest.size)));
    }
    Ok((stamp, manifest))
}
