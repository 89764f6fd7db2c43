//! A search for the newest good backup, before a takeover. Only reads. Called by `Files::run`, on the prompt lane.
//!
//! Holds the checks of its server while it lists, looks and hashes. A publish notes its backup in them before it deletes older ones, so nothing
//! that a search has listed goes before it has looked at it, unless what has come instead is in its list.

use super::place::Place;
use super::walk::Walk;
use super::{DAMAGED_MAX, Done, Next, Slice, Survey};
use crate::backup::{Choice, Find, Name, Progress};
use crate::error::Error;

/// A search under way.
pub struct Finding {
    pub place: Place,
    find: Find,
    /// It is found; what is left is a look at the older ones, for the alarm that tells of damaged ones.
    walk: Option<Walk>,
}

impl Finding {
    pub fn new(place: Place) -> Box<Finding> {
        Box::new(Finding { find: place.folder.find(), place, walk: None })
    }

    /// Whether it holds an archive open, or is about to.
    pub fn reads(&self) -> bool {
        self.walk.is_none()
    }

    pub fn step(mut self: Box<Self>, slice: Slice) -> (Vec<Done>, Next<Box<Self>>) {
        if let Some(walk) = &mut self.walk {
            return match walk.step(&self.place) {
                Some((survey, _)) => self.found(survey),
                None => (Vec::new(), Next::Again(self)),
            };
        }
        let progress = self.find.step(slice.bytes, &mut self.place.known.checks.lock());
        let walk = match progress {
            Progress::More => return (Vec::new(), Next::Again(self)),
            Progress::Busy(_) => return (Vec::new(), Next::Rest(self)),
            Progress::Done(choice) => choice.and_then(|choice| self.walk_older(choice)),
        };
        match walk {
            Ok(walk) => {
                self.walk = Some(walk);
                (Vec::new(), Next::Again(self))
            }
            Err(error) => self.found(Survey { error: Some(error), ..Survey::default() }),
        }
    }

    fn found(self, survey: Survey) -> (Vec<Done>, Next<Box<Self>>) {
        (vec![Done::Found { whose: self.place.whose, survey }], Next::Over)
    }

    fn walk_older(&self, choice: Choice) -> Result<Walk, Error> {
        let names = self.place.folder.list()?;
        let highest = names.first().map_or(0, |name| name.number);
        let Choice { newest, skipped: mut damaged } = choice;
        damaged.truncate(DAMAGED_MAX);
        let path = newest.as_ref().map(|backup| &backup.path);
        let is_it = |name: &Name| path == Some(&self.place.folder.archive(*name));
        let older = names.iter().position(is_it).map_or(Vec::new(), |at| names[at + 1..].to_vec());
        Ok(Walk::on(Survey { newest, unchecked: false, damaged, error: None, highest }, older))
    }
}
