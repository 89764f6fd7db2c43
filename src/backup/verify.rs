//! The jobs that read archives again: one backup ([`Verify`]), or as many as it takes to have the newest good one ([`Find`]).

use super::check::{self, Checked, Checks, Condition, Flaw};
use super::digest::Digest;
use super::disk::{self, Stamp};
use super::manifest::Manifest;
use super::name::Name;
use super::{Backup, Folder, Progress, Skipped};
use crate::error::Error;

/// Hashes one backup again, in slices.
#[derive(Debug)]
pub struct Verify {
    folder: Folder,
    name: Name,
    read: Option<(Digest, Stamp, Manifest)>,
}

/// What a [`Verify`] found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verified {
    /// To be noted in [`Checks`].
    Checked(Checked),
    /// It could not be hashed, or changed meanwhile: nothing to note. A look says why, unless it has healed.
    Not(Flaw),
}

impl Verify {
    pub(super) fn new(folder: Folder, name: Name) -> Verify {
        Verify { folder, name, read: None }
    }

    /// Which backup.
    pub fn name(&self) -> Name {
        self.name
    }

    /// Hashes at most `budget` bytes. Makes no sync and changes nothing.
    pub fn step(&mut self, budget: u64) -> Progress<Verified> {
        let at_end = match self.advance(budget) {
            Ok(at_end) => at_end,
            Err(flaw) => return Progress::Done(self.failed(flaw)),
        };
        if at_end { Progress::Done(self.result()) } else { Progress::More }
    }

    fn advance(&mut self, budget: u64) -> Result<bool, Flaw> {
        if self.read.is_none() {
            let (stamp, manifest) = check::seen(&self.folder, self.name)?;
            let (file, opened) = disk::open_plain(&self.folder.archive(self.name)).map_err(unreadable)?;
            if opened != stamp {
                return Err(Flaw::Unreadable("was exchanged while it was opened".into()));
            }
            self.read = Some((Digest::new(file, stamp.size), stamp, manifest));
        }
        let Some((digest, ..)) = &mut self.read else { return Ok(true) };
        digest.step(budget).map_err(|error| Flaw::Unreadable(format!("can't be read: {error}")))
    }

    fn result(&mut self) -> Verified {
        let Some((digest, stamp, manifest)) = self.read.take() else {
            return Verified::Not(Flaw::Unreadable("was not read".into()));
        };
        let now = check::seen(&self.folder, self.name);
        if now.is_ok_and(|(now, same)| now == stamp && same == manifest) {
            let sha256 = digest.hex();
            let flaw = || Flaw::Damaged(format!("has the SHA-256 {sha256}, by its manifest {}", manifest.sha256));
            let flaw = (sha256 != manifest.sha256).then(flaw);
            return Verified::Checked(Checked::new(stamp, &manifest.sha256, flaw));
        }
        Verified::Not(Flaw::Unreadable("changed while it was read".into()))
    }

    /// What can't be read stays noted as such until the next check, so that a takeover doesn't hang on it.
    fn failed(&mut self, flaw: Flaw) -> Verified {
        match self.read.take() {
            Some((_, stamp, manifest)) => Verified::Checked(Checked::new(stamp, &manifest.sha256, Some(flaw))),
            None => match check::seen(&self.folder, self.name) {
                Ok((stamp, manifest)) => Verified::Checked(Checked::new(stamp, &manifest.sha256, Some(flaw))),
                Err(_) => Verified::Not(flaw),
            },
        }
    }
}

fn unreadable(error: Error) -> Flaw {
    Flaw::Unreadable(error.text)
}

/// What a takeover would use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The newest one that is good, if there is one.
    pub newest: Option<Backup>,
    /// Newer ones that are not, newest first: the alarm `backup_damaged`.
    pub skipped: Vec<Skipped>,
}

/// What is known without hashing.
enum Known {
    Choice(Choice),
    /// The newest one that may be good was never hashed, or changed since: it is verified first. An older good one is not taken instead, for
    /// it may be days older.
    NeedsCheck(Name),
}

/// Finds the newest good backup, hashing in slices whatever is not as at its last check. It always ends: nothing is hashed twice.
///
/// It only reads, so it may run beside a publish and its retention: what another job has checked meanwhile is not read on. But the publish has to
/// note its check, with `checks` locked against the search, before older ones are deleted: else the search could look for what is gone in a list
/// that lacks what has come.
#[derive(Debug)]
pub struct Find {
    folder: Folder,
    /// What this job has found not to be usable, whatever a later look would say.
    given_up: Vec<(Name, Flaw)>,
    verify: Option<Verify>,
}

impl Find {
    pub(super) fn new(folder: Folder) -> Find {
        Find { folder, given_up: Vec::new(), verify: None }
    }

    /// Hashes at most `budget` bytes; notes what it found in `checks`.
    pub fn step(&mut self, budget: u64, checks: &mut Checks) -> Progress<Result<Choice, Error>> {
        let read_on = |verify: &Verify| !matches!(check::look(&self.folder, verify.name(), checks), Condition::Good(_));
        if let Some(verify) = self.verify.as_mut().filter(|verify| read_on(verify)) {
            let name = verify.name();
            let verified = match verify.step(budget) {
                Progress::Done(verified) => verified,
                Progress::More => return Progress::More,
                Progress::Busy(error) => return Progress::Busy(error),
            };
            self.take(name, verified, checks);
        }
        self.verify = None;
        match self.choose(checks) {
            Ok(Known::Choice(choice)) => Progress::Done(Ok(choice)),
            Ok(Known::NeedsCheck(name)) => {
                self.verify = Some(Verify::new(self.folder.clone(), name));
                Progress::More
            }
            Err(error) => Progress::Done(Err(error)),
        }
    }

    fn take(&mut self, name: Name, verified: Verified, checks: &mut Checks) {
        match verified {
            Verified::Checked(checked) => {
                // Also one that was good: if it needs a check once more, somebody is writing to it.
                let flaw = checked.flaw().cloned();
                let flaw = flaw.unwrap_or_else(|| Flaw::Unreadable("goes on changing".into()));
                self.given_up.push((name, flaw));
                checks.note(name, checked);
            }
            Verified::Not(flaw) => self.given_up.push((name, flaw)),
        }
    }

    fn choose(&self, checks: &Checks) -> Result<Known, Error> {
        let mut skipped = Vec::new();
        for name in self.folder.list()? {
            let earlier = || self.given_up.iter().find(|(other, _)| *other == name).map(|(_, flaw)| flaw.clone());
            let flaw = match check::look(&self.folder, name, checks) {
                Condition::Good(backup) => return Ok(Known::Choice(Choice { newest: Some(backup), skipped })),
                Condition::Flawed(flaw) => flaw,
                Condition::Gone => continue,
                Condition::Unchecked(_) => match earlier() {
                    Some(flaw) => flaw,
                    None => return Ok(Known::NeedsCheck(name)),
                },
            };
            skipped.push(Skipped { number: name.number, path: self.folder.archive(name), flaw });
        }
        Ok(Known::Choice(Choice { newest: None, skipped }))
    }
}
