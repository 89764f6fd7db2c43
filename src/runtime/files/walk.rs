//! A look at all backups of a folder, a few at a time: what a `Survey` says. Never hashes. Called by the jobs of `files`.

use std::collections::BTreeMap;
use std::vec::IntoIter;

use super::place::Place;
use super::{DAMAGED_MAX, Survey};
use crate::backup::{Condition, Flaw, Name, Skipped};
use crate::error::Error;

/// Backups looked at in one slice: three small reads each.
const LOOKS_MAX: usize = 32;

/// What is to be hashed; true: even if it looks as at its last check.
pub type ToHash = BTreeMap<Name, bool>;

/// A look under way.
pub struct Walk {
    thorough: bool,
    names: Option<IntoIter<Name>>,
    /// The changes as of the list of names. None: it need not be one of now.
    as_of: Option<u64>,
    survey: Survey,
    to_hash: ToHash,
}

impl Walk {
    /// At all backups; `thorough`: all of them are to be hashed.
    pub fn new(thorough: bool) -> Walk {
        Walk { thorough, names: None, as_of: None, survey: Survey::default(), to_hash: ToHash::new() }
    }

    /// At these backups alone, going on from a survey that has its newest.
    pub fn on(survey: Survey, names: Vec<Name>) -> Walk {
        Walk { thorough: false, names: Some(names.into_iter()), as_of: None, survey, to_hash: ToHash::new() }
    }

    /// Looks on; None if there is more to be looked at.
    pub fn step(&mut self, place: &Place) -> Option<(Survey, ToHash)> {
        let mut names = match self.names.take().map_or_else(|| self.list(place), Ok) {
            Ok(names) => names,
            Err(error) => return Some((Survey { error: Some(error), ..Survey::default() }, ToHash::new())),
        };
        names.by_ref().take(LOOKS_MAX).for_each(|name| self.see(name, place));
        if names.len() > 0 {
            self.names = Some(names);
            return None;
        }
        if self.as_of.is_some_and(|as_of| as_of != place.known.changes()) {
            // A backup has come or gone since they were listed.
            *self = Walk::new(self.thorough);
            return None;
        }
        Some((std::mem::take(&mut self.survey), std::mem::take(&mut self.to_hash)))
    }

    fn list(&mut self, place: &Place) -> Result<IntoIter<Name>, Error> {
        self.as_of = Some(place.known.changes());
        let names = place.folder.list()?;
        place.known.checks.lock().keep_only(&names);
        self.survey.highest = names.first().map_or(0, |name| name.number);
        Ok(names.into_iter())
    }

    fn see(&mut self, name: Name, place: &Place) {
        let (backup, unchecked, flaw) = match place.look(name) {
            Condition::Gone => return,
            Condition::Good(backup) => (Some(backup), false, None),
            Condition::Unchecked(backup) => (Some(backup), true, None),
            Condition::Flawed(flaw) => (None, false, Some(flaw)),
        };
        if self.survey.newest.is_none() && backup.is_some() {
            self.survey.newest = backup;
            self.survey.unchecked = unchecked;
        }
        // What could not be read may have healed.
        let again = self.thorough || matches!(flaw, Some(Flaw::Unreadable(_)));
        if unchecked || again {
            self.to_hash.insert(name, again);
        }
        if let Some(flaw) = flaw
            && self.survey.damaged.len() < DAMAGED_MAX
        {
            self.survey.damaged.push(Skipped { number: name.number, path: place.folder.archive(name), flaw });
        }
    }
}
