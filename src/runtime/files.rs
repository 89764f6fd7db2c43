//! The file worker: does the jobs on the backup files, and the calls that may block in a host's table of secrets, a slice at a time.
//!
//! Two lanes. *Prompt* is what somebody waits for: [`Job::Find`] before a takeover, and [`Job::Call`]. *Bulk* is all that may take its time:
//! [`Job::Survey`], [`Job::Prepare`], [`Job::Publish`], [`Job::Clean`]. With threads ([`Files::start`]) each lane has one of its own, so that
//! a large archive on the bulk lane delays no takeover; a driving host does the slices inside `poll` ([`Files::step`]).
//!
//! | within a lane | goes first | then, a few at a time, in turn |
//! |---|---|---|
//! | prompt: calls and searches alternate | a new search, which mostly needs no hashing | searches that hash |
//! | bulk: operations and surveys alternate | Prepare, Clean; looks at a server's backups | Publish; surveys that hash |
//!
//! Operations of one folder never interleave: each waits for the end of the one before, because cleaning must not run beside a publish. Searches
//! and surveys only read, so they may run beside an operation of the same folder. What a search finds is there when it ends; a publish of the
//! same server may delete it later as excess. So a takeover cancels the backup that it supersedes first, and posts its search then.
//!
//! Knows threads, locks and the real clock, but no host, no engine and no monotonic time of the instance. Never calls anything from outside (the
//! sink, a call, a log line) with a lock held, and hashes or syncs under none but the checks of one server, in a search alone. Called by
//! `runtime`, from any thread; results may come on the lanes' threads, after `cancel` or `forget` too if they were on their way, so whoever
//! takes them looks whether the operation or the handle is still his.

mod finding;
mod lanes;
mod operation;
mod place;
mod queue;
mod ring;
mod surveying;
#[cfg(test)]
mod tests;
mod walk;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use self::queue::{Queue, Taken};
use crate::backup::{Backup, Folder, Published, Skipped};
use crate::error::Error;
pub use crate::log::Named;
use crate::secret::Secret;
pub use lanes::{Enter, Panicked, Sink};

/// How long a file that another process holds is tried again.
const PATIENCE: Duration = Duration::from_secs(2);
/// The damaged backups that a [`Survey`] lists.
const DAMAGED_MAX: usize = 16;

/// Something to be done. Whose it is says the handle: handles are never given twice, so a result is never taken for another server's.
pub enum Job {
    /// Looks at all backups of a server without hashing and says what there is; then hashes whatever is not as at its last check, newest
    /// first, and says so again whenever that was news, and at the end. One that still waits takes in an equal one.
    Survey {
        /// The server.
        whose: Named,
        /// Its backups.
        folder: Folder,
        /// Hashes all of them, however they look.
        thorough: bool,
        /// Removes leftovers of attempts that were cut off first, unless an operation that is known here has the folder: that cleans itself.
        /// Only at a start.
        clean: bool,
        /// The operation of an earlier life that goes on for this server, if any: what its host has written is no leftover.
        resumed: Option<u64>,
    },
    /// Finds the newest good backup, hashing what has to be. Before a takeover. One that still waits takes in an equal one.
    Find {
        /// The server.
        whose: Named,
        /// Its backups.
        folder: Folder,
    },
    /// Names the file into which the host is to write.
    Prepare {
        /// The operation.
        op: u64,
        /// The server.
        whose: Named,
        /// Its backups.
        folder: Folder,
        /// The highest number that a backup of it is known to have had, 0 for none.
        last_number: u64,
    },
    /// Publishes what the host wrote, then deletes what is in excess. A failure leaves no file of the attempt.
    Publish {
        /// The operation.
        op: u64,
        /// The server.
        whose: Named,
        /// Its backups.
        folder: Folder,
        /// As `Prepare` named it.
        file: PathBuf,
        /// When the backup was taken.
        utc_ms: i64,
        /// How many good ones are kept.
        keep: usize,
    },
    /// Removes leftovers of attempts that were given up, but not the file of one that was prepared, or is known here otherwise, and was not
    /// cancelled. There is no result.
    Clean {
        /// The server.
        whose: Named,
        /// Its backups.
        folder: Folder,
    },
    /// Something that may block in the host, on the prompt lane. Calls are made in the order posted.
    Call {
        /// Comes back with the result.
        tag: u64,
        /// Made once, with no lock held.
        call: Box<dyn FnOnce() -> Result<Option<Secret>, Error> + Send>,
    },
}

/// A result. Moved a few times and gone: the size of the largest does no harm.
#[expect(clippy::large_enum_variant)]
pub enum Done {
    /// Of a [`Job::Survey`]. Also of a [`Job::Publish`] that was cancelled when its backup was published already.
    Surveyed {
        /// The server.
        whose: Named,
        /// What there is.
        survey: Survey,
        /// Whether it is over.
        through: bool,
    },
    /// Of a [`Job::Find`]: `newest` is never unchecked.
    Found {
        /// The server.
        whose: Named,
        /// What there is.
        survey: Survey,
    },
    /// Of a [`Job::Prepare`].
    Prepared {
        /// The operation.
        op: u64,
        /// The file for the host.
        result: Result<PathBuf, Error>,
    },
    /// Of a [`Job::Publish`], once what was in excess is deleted.
    Published {
        /// The operation.
        op: u64,
        /// The server.
        whose: Named,
        /// The backup.
        result: Result<Published, Error>,
        /// What there is now.
        survey: Survey,
    },
    /// Of a [`Job::Call`].
    Called {
        /// Which.
        tag: u64,
        /// What it gave.
        result: Result<Option<Secret>, Error>,
    },
}

/// Of a secret its length alone.
impl fmt::Debug for Done {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Done::Surveyed { whose, survey, through } => {
                write!(f, "Surveyed {{ {}, through: {through}, {survey:?} }}", whose.id)
            }
            Done::Found { whose, survey } => write!(f, "Found {{ {}, {survey:?} }}", whose.id),
            Done::Prepared { op, result } => write!(f, "Prepared {{ {op}, {result:?} }}"),
            Done::Published { op, whose, result, survey } => {
                write!(f, "Published {{ {op}, {}, {result:?}, {survey:?} }}", whose.id)
            }
            Done::Called { tag, result } => {
                let length = result.as_ref().map(|loaded| loaded.as_ref().map(Secret::len));
                write!(f, "Called {{ {tag}, {length:?} }}")
            }
        }
    }
}

/// What there is of one server's backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The newest one that is good; while `unchecked` is true it has the size and manifest of a good one and was not hashed yet.
    pub newest: Option<Backup>,
    /// See `newest`.
    pub unchecked: bool,
    /// The newest of those that can't be used, newest first, at most 16: damaged, or not readable.
    pub damaged: Vec<Skipped>,
    /// Why the folder could not be looked at; then the rest says nothing. A missing folder is simply no backups.
    pub error: Option<Error>,
    /// The highest number in use, 0 for none.
    pub highest: u64,
}

/// Which lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lane {
    Prompt,
    Bulk,
}

impl Lane {
    const ALL: [Lane; 2] = [Lane::Prompt, Lane::Bulk];
}

/// What a slice may cost.
#[derive(Clone, Copy)]
struct Slice {
    bytes: u64,
    patience: Duration,
}

/// What became of a job in a slice.
enum Next<T> {
    /// It wants another.
    Again(T),
    /// It wants another, but not at once: it waits for somebody else.
    Rest(T),
    /// It is over.
    Over,
}

impl<T> Next<T> {
    fn map<U>(self, with: impl FnOnce(T) -> U) -> Next<U> {
        match self {
            Next::Again(job) => Next::Again(with(job)),
            Next::Rest(job) => Next::Rest(with(job)),
            Next::Over => Next::Over,
        }
    }
}

/// The worker of one instance, with threads or without.
pub struct Files {
    queue: Mutex<Queue>,
    /// Each lane's thread waits here for a job.
    posted: [Condvar; 2],
    ended: Condvar,
    threads: Mutex<Vec<JoinHandle<()>>>,
    patience: Duration,
    #[cfg(test)]
    seen: tests::Seen,
}

impl Files {
    /// One without threads, with nothing to do.
    pub fn new() -> Arc<Files> {
        Files::with_patience(PATIENCE)
    }

    fn with_patience(patience: Duration) -> Arc<Files> {
        Arc::new(Files {
            queue: Mutex::default(),
            posted: Default::default(),
            ended: Condvar::new(),
            threads: Mutex::default(),
            patience,
            #[cfg(test)]
            seen: tests::Seen::default(),
        })
    }

    /// Takes a job in. Never waits for the disk. What waits is bounded by the servers and their operations: one survey, one search and one
    /// clean each.
    pub fn post(&self, job: Job) {
        let lane = self.queue.lock().post(job);
        self.rouse(lane);
    }

    /// Gives up the Prepare or Publish of this operation, even one whose file was prepared long ago: no result comes any more, and its file is
    /// removed. A backup that is published already stays; [`Done::Surveyed`] tells of it. False if nothing of it is known here: then its file, of
    /// an earlier life, is for a [`Job::Clean`].
    pub fn cancel(&self, op: u64) -> bool {
        let known = self.queue.lock().cancel(op);
        self.rouse(Lane::Bulk);
        known
    }

    /// Drops everything of a server that was removed or has another address: its jobs, the files of its operations, and its checks.
    pub fn forget(&self, handle: u64) {
        let dropped = self.queue.lock().forget(handle);
        drop(dropped);
        self.rouse(Lane::Bulk);
    }

    /// Drops all jobs, as [`Files::end`] does, without threads.
    pub fn clear(&self) {
        // With the lock given back: what a call carries is not known here.
        let dropped = self.queue.lock().clear();
        drop(dropped);
    }

    /// Whether a step would find something to do.
    pub fn has_work(&self) -> bool {
        self.queue.lock().has_work()
    }

    /// Does one slice on this thread, on the prompt lane if there is anything: hashes at most `budget` bytes, makes at most one small sync (with
    /// `Syncing::Small`). None if there is nothing to do. A panic of a job comes out, and the job is gone.
    pub fn step(&self, budget: u64) -> Option<Vec<Done>> {
        let taken = {
            let mut queue = self.queue.lock();
            queue.take(Lane::Prompt).or_else(|| queue.take(Lane::Bulk))
        };
        taken.map(|taken| self.run(taken, budget).0)
    }

    /// Does a slice of a job; the results, and whether the lane had better rest a little.
    fn run(&self, taken: Taken, bytes: u64) -> (Vec<Done>, bool) {
        let Taken { lane, ticket, task } = taken;
        let unwinding = Unwinding { files: self, lane };
        #[cfg(test)]
        let before = crate::backup::counted();
        let (done, next) = task.step(Slice { bytes, patience: self.patience });
        #[cfg(test)]
        self.seen.slice(before);
        std::mem::forget(unwinding);
        let rests = matches!(next, Next::Rest(_));
        let (mut done, mut dropped) = (done, Vec::new());
        self.queue.lock().settle((lane, ticket), next, &mut done, &mut dropped);
        // With the lock given back: what a job carries is not known here.
        drop(dropped);
        (done, rests)
    }

    fn rouse(&self, lane: Lane) {
        self.posted[lane as usize].notify_one();
    }
}

/// Only seen by a panic: the job is gone, its folder is free.
struct Unwinding<'a> {
    files: &'a Files,
    lane: Lane,
}

impl Drop for Unwinding<'_> {
    fn drop(&mut self) {
        self.files.queue.lock().lose(self.lane);
    }
}
