//! What changes a folder: an operation's Prepare and Publish, and the removal of leftovers. One at a time for a folder. Called by `queue` and
//! `Files::run`, on the bulk lane.

use std::path::{Path, PathBuf};
use std::time::Instant;

use super::place::Place;
use super::walk::Walk;
use super::{Done, Next, Slice, Survey};
use crate::backup::{self, Folder, Progress, Published, Removed, Syncing};
use crate::error::Error;

/// A job that changes a folder.
pub enum Operation {
    Prepare {
        op: u64,
        place: Place,
        last_number: u64,
    },
    Publish(Box<Publishing>),
    /// All leftovers, but not the file of this operation.
    Clean {
        place: Place,
        but: Option<u64>,
    },
    Discard(Box<Discarding>),
}

impl Operation {
    pub fn place(&self) -> &Place {
        match self {
            Operation::Prepare { place, .. } | Operation::Clean { place, .. } => place,
            Operation::Publish(publishing) => &publishing.place,
            Operation::Discard(discarding) => &discarding.place,
        }
    }

    /// Whose result it brings.
    pub fn op(&self) -> Option<u64> {
        match self {
            Operation::Prepare { op, .. } => Some(*op),
            Operation::Publish(publishing) => Some(publishing.op),
            Operation::Clean { .. } | Operation::Discard(_) => None,
        }
    }

    /// The operation whose file is no leftover, of a job that cleans.
    pub fn but(&mut self) -> Option<&mut Option<u64>> {
        match self {
            Operation::Clean { but, .. } => Some(but),
            Operation::Discard(discarding) => Some(&mut discarding.but),
            Operation::Prepare { .. } | Operation::Publish(_) => None,
        }
    }

    /// Whether it reads an archive.
    pub fn is_long(&self) -> bool {
        matches!(self, Operation::Publish(_))
    }

    pub fn step(self, slice: Slice) -> (Vec<Done>, Next<Operation>) {
        match self {
            Operation::Prepare { op, place, last_number } => {
                (vec![Done::Prepared { op, result: place.folder.begin(op, last_number) }], Next::Over)
            }
            Operation::Publish(publishing) => {
                let (done, next) = publishing.step(slice);
                (done.into_iter().collect(), next.map(Operation::Publish))
            }
            Operation::Clean { place, but } => {
                clean(&place, but);
                (Vec::new(), Next::Over)
            }
            Operation::Discard(discarding) => {
                discarding.run();
                (Vec::new(), Next::Over)
            }
        }
    }

    /// What is left to be done once nobody waits for its result any more.
    pub fn cancelled(self) -> Option<Operation> {
        match self {
            Operation::Prepare { .. } => None,
            Operation::Publish(publishing) => publishing.cancelled(),
            Operation::Clean { .. } | Operation::Discard(_) => Some(self),
        }
    }

    /// What is left to be done once its server is no longer there.
    pub fn forgotten(self) -> Option<Operation> {
        match self.cancelled() {
            Some(discard @ Operation::Discard(_)) => Some(discard),
            _ => None,
        }
    }
}

/// A publish under way.
pub struct Publishing {
    pub op: u64,
    pub place: Place,
    file: PathBuf,
    utc_ms: i64,
    keep: usize,
    stage: Stage,
    busy_since: Option<Instant>,
    /// Its backup was published before: what there is is told, but not as its result.
    cancelled: bool,
}

enum Stage {
    New,
    Publish(backup::Publish),
    Retain(Published),
    Survey(Result<Published, Error>, Walk),
}

impl Publishing {
    pub fn new(op: u64, place: Place, file: PathBuf, utc_ms: i64, keep: usize) -> Publishing {
        Publishing { op, place, file, utc_ms, keep, stage: Stage::New, busy_since: None, cancelled: false }
    }

    fn step(mut self: Box<Self>, slice: Slice) -> (Option<Done>, Next<Box<Self>>) {
        let stage = std::mem::replace(&mut self.stage, Stage::New);
        self.stage = match stage {
            Stage::New => match self.place.folder.publish(&self.file, self.utc_ms) {
                Ok(publish) => Stage::Publish(publish),
                Err(error) => {
                    discard(&self.place, &self.file);
                    failed(error)
                }
            },
            Stage::Publish(publish) => return self.publish(publish, slice),
            Stage::Retain(published) => self.retain(published),
            Stage::Survey(result, mut walk) => match walk.step(&self.place) {
                Some((survey, _)) => return (Some(self.done(result, survey)), Next::Over),
                None => Stage::Survey(result, walk),
            },
        };
        (None, Next::Again(self))
    }

    fn publish(mut self: Box<Self>, mut publish: backup::Publish, slice: Slice) -> (Option<Done>, Next<Box<Self>>) {
        let progress = publish.step(slice.bytes);
        if let Progress::Busy(error) = progress {
            let since = *self.busy_since.get_or_insert_with(Instant::now);
            if since.elapsed() < slice.patience {
                self.stage = Stage::Publish(publish);
                return (None, Next::Rest(self));
            }
            self.stage = failed(match publish.abandon() {
                Ok(()) => error,
                Err(left) => Error::new(error.code, format!("{}; {}", error.text, left.text)),
            });
            return (None, Next::Again(self));
        }
        self.busy_since = None;
        self.stage = match progress {
            Progress::Done(Ok(published)) => self.published(published),
            Progress::Done(Err(error)) => failed(error),
            Progress::More | Progress::Busy(_) => Stage::Publish(publish),
        };
        (None, Next::Again(self))
    }

    fn published(&self, published: Published) -> Stage {
        if let Some(checked) = &published.checked {
            self.place.note(published.name, checked.clone());
        }
        self.place.known.change();
        Stage::Retain(published)
    }

    /// What can't be deleted is no failure of the backup: the next one tries again.
    fn retain(&self, published: Published) -> Stage {
        if self.cancelled {
            // A takeover may be about to use one that would be in excess.
            return Stage::Survey(Ok(published), Walk::new(false));
        }
        // On a copy, so that a search need not wait for deletions and a sync.
        let mut checks = self.place.known.checks.lock().clone();
        let retained = self.place.folder.retain(self.keep, &mut checks);
        self.place.known.change();
        match retained {
            Ok(removed) => {
                warn(&self.place.folder, &removed);
                if removed.more { Stage::Retain(published) } else { Stage::Survey(Ok(published), Walk::new(false)) }
            }
            Err(error) => {
                log::warn!("{}: backups in excess stay: {}", self.place.whose.id, error.text);
                Stage::Survey(Ok(published), Walk::new(false))
            }
        }
    }

    fn done(self, result: Result<Published, Error>, survey: Survey) -> Done {
        let Publishing { op, place: Place { whose, .. }, cancelled, .. } = self;
        if cancelled {
            Done::Surveyed { whose, survey, through: true }
        } else {
            Done::Published { op, whose, result, survey }
        }
    }

    fn cancelled(mut self: Box<Self>) -> Option<Operation> {
        let publish = match std::mem::replace(&mut self.stage, Stage::New) {
            Stage::New => None,
            Stage::Publish(publish) => Some(publish),
            Stage::Survey(Err(_), _) => return None,
            published @ (Stage::Retain(_) | Stage::Survey(Ok(_), _)) => {
                self.stage = published;
                self.cancelled = true;
                return Some(Operation::Publish(self));
            }
        };
        Some(Operation::Discard(Box::new(Discarding { place: self.place, file: self.file, publish, but: None })))
    }
}

fn failed(error: Error) -> Stage {
    Stage::Survey(Err(error), Walk::new(false))
}

/// Removes the file of an attempt that was given up, and what its publish has made, in an earlier life too.
pub struct Discarding {
    pub place: Place,
    pub file: PathBuf,
    pub publish: Option<backup::Publish>,
    /// As of a clean.
    pub but: Option<u64>,
}

impl Discarding {
    fn run(self) {
        match self.publish {
            Some(publish) => abandon(&self.place, publish),
            None => discard(&self.place, &self.file),
        }
        clean(&self.place, self.but);
    }
}

/// Removes the host's file, and no other than one that a backup of this server was begun with.
fn discard(place: &Place, file: &Path) {
    let elsewhere = || {
        // The backup directory was changed while the host wrote: the file lies in the old one.
        Folder::new(file.parent()?.parent()?, &place.whose.id, Syncing::None).ok()?.publish(file, 0).ok()
    };
    if let Some(publish) = place.folder.publish(file, 0).ok().or_else(elsewhere) {
        abandon(place, publish);
    }
}

fn abandon(place: &Place, publish: backup::Publish) {
    if let Err(left) = publish.abandon() {
        log::warn!("{}: a leftover of a backup stays: {}", place.whose.id, left.text);
    }
}

/// Removes leftovers, but not the file of this operation.
pub fn clean(place: &Place, but: Option<u64>) {
    let keep = but.map_or(Ok(None), |op| place.folder.incoming(op));
    match keep.and_then(|keep| place.folder.clean(keep.as_deref())) {
        Ok(removed) => warn(&place.folder, &removed),
        Err(error) => log::warn!("{}: leftovers stay: {}", place.whose.id, error.text),
    }
}

/// One line, however many.
fn warn(folder: &Folder, removed: &Removed) {
    if let Some(first) = removed.failed.first() {
        let more = removed.failed.len() - 1;
        log::warn!("{}: {}, and {more} more: tried again", folder.path().display(), first.flaw.text());
    }
}
