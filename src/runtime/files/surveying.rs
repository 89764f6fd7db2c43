//! A survey: first a look at all backups of a server, then hashing whatever needs it. Changes nothing but leftovers, if asked. Called by `queue`
//! and `Files::run`, on the bulk lane.

use super::place::Place;
use super::walk::{ToHash, Walk};
use super::{Done, Next, Slice, operation};
use crate::backup::{Condition, Name, Progress, Verified, Verify};

/// Its first part.
pub struct Looking {
    pub place: Place,
    pub thorough: bool,
    /// What to clean first; taken when done, or when an operation has the folder.
    pub cleaning: Option<Cleaning>,
    walk: Option<Walk>,
}

/// Removes leftovers, but not the file of this operation.
pub struct Cleaning {
    pub resumed: Option<u64>,
}

/// Its second part.
pub struct Hashing {
    pub place: Place,
    left: ToHash,
    verify: Option<Verify>,
    /// What there is has to be said anew.
    walk: Option<Walk>,
    /// Nobody knows yet whether the newest one is good.
    unchecked: bool,
}

/// What comes after a slice.
pub enum Survey {
    Looking(Box<Looking>),
    Hashing(Box<Hashing>),
}

impl Looking {
    pub fn new(place: Place, thorough: bool, cleaning: Option<Cleaning>) -> Box<Looking> {
        Box::new(Looking { place, thorough, cleaning, walk: None })
    }

    /// Does what the other would have done, too.
    pub fn take_in(&mut self, other: Box<Looking>) {
        self.thorough |= other.thorough;
        self.cleaning = self.cleaning.take().or(other.cleaning);
    }

    pub fn step(mut self: Box<Self>) -> (Vec<Done>, Next<Survey>) {
        if let Some(cleaning) = self.cleaning.take() {
            operation::clean(&self.place, cleaning.resumed);
            return (Vec::new(), Next::Again(Survey::Looking(self)));
        }
        let walk = self.walk.get_or_insert_with(|| Walk::new(self.thorough));
        let Some((survey, left)) = walk.step(&self.place) else {
            return (Vec::new(), Next::Again(Survey::Looking(self)));
        };
        let (through, unchecked) = (left.is_empty(), survey.unchecked);
        let done = Done::Surveyed { whose: self.place.whose.clone(), survey, through };
        let hashing = Box::new(Hashing { place: self.place, left, verify: None, walk: None, unchecked });
        (vec![done], if through { Next::Over } else { Next::Again(Survey::Hashing(hashing)) })
    }
}

impl Hashing {
    /// Does what the other, which has just looked, would do; what is under way goes on.
    pub fn take_in(&mut self, other: Box<Hashing>) {
        let under_way = self.verify.as_ref().map(Verify::name);
        for (name, again) in other.left {
            if Some(name) != under_way {
                *self.left.entry(name).or_insert(again) |= again;
            }
        }
        self.unchecked = other.unchecked;
    }

    pub fn step(mut self: Box<Self>, slice: Slice) -> (Vec<Done>, Next<Survey>) {
        if let Some(walk) = &mut self.walk {
            if let Some((survey, _)) = walk.step(&self.place) {
                self.walk = None;
                return self.say(survey);
            }
        } else if let Some(verify) = &mut self.verify {
            if let Progress::Done(verified) = verify.step(slice.bytes) {
                let name = verify.name();
                self.verify = None;
                self.take(name, verified);
            }
        } else {
            self.begin_next();
        }
        (Vec::new(), Next::Again(Survey::Hashing(self)))
    }

    fn say(mut self: Box<Self>, survey: super::Survey) -> (Vec<Done>, Next<Survey>) {
        self.unchecked = survey.unchecked;
        // A file that vanished with its folder, or changed once more, is looked at in the next survey.
        let through = self.left.is_empty() || survey.error.is_some();
        let done = Done::Surveyed { whose: self.place.whose.clone(), survey, through };
        (vec![done], if through { Next::Over } else { Next::Again(Survey::Hashing(self)) })
    }

    /// The newest first. At the end it is said once more what there is.
    fn begin_next(&mut self) {
        let Some((name, again)) = self.left.pop_last() else {
            self.walk = Some(Walk::new(false));
            return;
        };
        // A search may have hashed it meanwhile, or retention deleted it.
        if again || matches!(self.place.look(name), Condition::Unchecked(_)) {
            self.verify = Some(self.place.folder.verify(name));
        }
    }

    fn take(&mut self, name: Name, verified: Verified) {
        let good = matches!(&verified, Verified::Checked(checked) if checked.flaw().is_none());
        if let Verified::Checked(checked) = verified {
            self.place.note(name, checked);
        }
        // What a takeover would use, and what it would not, is said at once.
        if self.unchecked || !good || self.left.is_empty() {
            self.walk = Some(Walk::new(false));
        }
    }
}
