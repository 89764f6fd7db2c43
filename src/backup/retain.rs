//! What is deleted, and when: leftovers of attempts that were cut off, and backups beyond those to keep. Foreign files never are.

use std::path::{Path, PathBuf};

use super::check::{self, Checks, Condition};
use super::disk;
use super::name::{Known, Name};
use super::{Flaw, Folder, Skipped};
use crate::error::Error;

/// Deletions in one call: `poll` calls this too.
const DELETIONS_MAX: usize = 64;

/// What a [`Folder::clean`] or [`Folder::retain`] did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Removed {
    /// These are gone.
    pub paths: Vec<PathBuf>,
    /// These could not be removed. The next call tries again.
    pub failed: Vec<Skipped>,
    /// There is more to remove: call again. Never set when nothing could be removed.
    pub more: bool,
}

impl Removed {
    fn remove(&mut self, number: u64, path: PathBuf) -> bool {
        match disk::remove(&path) {
            Ok(()) => self.paths.push(path),
            Err(error) => {
                self.failed.push(Skipped { number, path, flaw: Flaw::Unreadable(error.text) });
                return false;
            }
        }
        true
    }
}

impl Folder {
    /// Removes what attempts that were cut off left behind, except the file `keep`, which the host is to go on with: other temporary files,
    /// and manifests whose archive was never published, or was deleted.
    ///
    /// An archive without its manifest stays: no cut leaves one, and it may be all that is left of a server.
    /// Called at start and by [`Folder::begin`], never while a [`Publish`](super::Publish) of this folder runs.
    pub fn clean(&self, keep: Option<&Path>) -> Result<Removed, Error> {
        let known = self.known()?;
        let published: Vec<Name> = known.iter().filter_map(|known| archive(*known)).collect();
        let mut removed = Removed::default();
        for known in known {
            let leftover = match known {
                Known::Archive(_) => false,
                Known::Manifest(name) => !published.contains(&name),
                Known::Incoming { .. } | Known::Draft(_) => true,
            };
            let path = self.path().join(known.file_name());
            if leftover && keep != Some(&path) {
                removed.remove(known.number(), path);
            }
        }
        Ok(removed)
    }

    /// Keeps the newest `kept` good backups (at least one) and deletes what is then in excess, oldest first: good ones beyond these; others
    /// older than these; damaged ones beyond the newest `kept` damaged.
    ///
    /// Good is what was hashed and is as it was then. So nothing is deleted while no backup is known to be good, and never the last good
    /// one; nor the one with the highest number, from which the next is counted. At most one sync.
    pub fn retain(&self, kept: usize, checks: &mut Checks) -> Result<Removed, Error> {
        let names = self.list()?;
        checks.keep_only(&names);
        let excess = self.excess(&names, kept.max(1), checks);
        let mut removed = Removed::default();
        let mut gone = Vec::new();
        for name in excess.iter().rev().take(DELETIONS_MAX) {
            if removed.remove(name.number, self.archive(*name)) {
                checks.forget(*name);
                gone.push(*name);
            }
        }
        removed.more = !gone.is_empty() && excess.len() > DELETIONS_MAX;
        // An archive must not come back without its manifest after a power loss; the other way round, `clean` tidies up.
        if !gone.is_empty() && self.syncing().small() {
            disk::sync_folder(self.path())?;
        }
        for name in gone {
            removed.remove(name.number, self.manifest(name));
        }
        Ok(removed)
    }

    /// Newest first, as `names`.
    fn excess(&self, names: &[Name], kept: usize, checks: &Checks) -> Vec<Name> {
        let (mut good, mut damaged) = (0, 0);
        let mut excess = Vec::new();
        for name in names {
            let in_excess = match check::look(self, *name, checks) {
                Condition::Good(_) => {
                    good += 1;
                    good > kept
                }
                Condition::Flawed(Flaw::Damaged(_)) => {
                    damaged += 1;
                    good >= kept || damaged > kept
                }
                // It may be good.
                Condition::Flawed(Flaw::Unreadable(_)) | Condition::Unchecked(_) => good >= kept,
                Condition::Gone => false,
            };
            // A link or a folder with an archive's name was put there by somebody.
            if in_excess && disk::plain(&self.archive(*name)).is_ok_and(|plain| plain.is_ok()) {
                excess.push(*name);
            }
        }
        if good == 0 { Vec::new() } else { excess }
    }
}

fn archive(known: Known) -> Option<Name> {
    match known {
        Known::Archive(name) => Some(name),
        _ => None,
    }
}
