//! Tests of the file worker on real files, with threads and driven: what they share.

use std::collections::VecDeque;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::time::{Instant, SystemTime};

use crossbeam_channel::{Receiver, Sender, unbounded};
use tempfile::TempDir;

use super::*;
use crate::backup::{Flaw, Syncing, counted};

mod beside;
mod lanes;
mod operations;
mod queueing;
mod surveys;

const PATIENCE: Duration = Duration::from_secs(60);
const MIB: u64 = 1 << 20;
const GIB: u64 = 1 << 30;
/// 2026-01-02T03:04:05Z
const UTC_MS: i64 = 1_767_323_045_000;

/// What the worker has done so far.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// How often each lane's thread has looked for work.
    pub turns: [u64; 2],
    pub slices: u64,
    /// In bytes.
    pub hashed: u64,
    /// The most that one slice has hashed, in bytes.
    pub largest: u64,
    /// The most syncs that one slice has made.
    pub syncs: u32,
}

/// Watches the worker from inside.
#[derive(Default)]
pub struct Seen {
    counts: Mutex<Counts>,
    changed: Condvar,
}

impl Seen {
    pub fn turn(&self, lane: Lane) {
        self.counts.lock().turns[lane as usize] += 1;
        self.changed.notify_all();
    }

    /// A slice is done; `before` is what its thread had counted when it began.
    pub fn slice(&self, before: (u64, u32)) {
        let now = counted();
        let mut counts = self.counts.lock();
        counts.slices += 1;
        counts.hashed += now.0 - before.0;
        counts.largest = counts.largest.max(now.0 - before.0);
        counts.syncs = counts.syncs.max(now.1 - before.1);
        self.changed.notify_all();
    }

    /// Asks with no lock held: the worker counts with its own held.
    fn wait(&self, what: &str, until: impl Fn(&Counts) -> bool) {
        loop {
            let before = *self.counts.lock();
            if until(&before) {
                return;
            }
            let mut counts = self.counts.lock();
            while *counts == before {
                assert!(!self.changed.wait_for(&mut counts, PATIENCE).timed_out(), "no {what}: {counts:?}");
            }
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Driven,
    Threads,
}

const MODES: [Mode; 2] = [Mode::Driven, Mode::Threads];

/// A worker and a backup directory.
struct Bench {
    mode: Mode,
    files: Arc<Files>,
    root: TempDir,
    sender: Sender<Done>,
    results: Receiver<Done>,
    panics: Receiver<String>,
    panicked: Sender<String>,
    aside: VecDeque<Done>,
    next_op: u64,
}

impl Bench {
    fn new(mode: Mode) -> Bench {
        Bench::with_patience(mode, super::PATIENCE)
    }

    fn with_patience(mode: Mode, patience: Duration) -> Bench {
        let ((sender, results), (panicked, panics)) = (unbounded(), unbounded());
        let files = Files::with_patience(patience);
        let root = tempfile::tempdir().unwrap();
        let bench =
            Bench { mode, files, root, sender, results, panics, panicked, aside: VecDeque::new(), next_op: 100 };
        bench.start();
        bench
    }

    fn start(&self) {
        if self.mode == Mode::Threads {
            let (sender, panicked) = (self.sender.clone(), self.panicked.clone());
            let sink = Arc::new(move |done| drop(sender.send(done)));
            let told = Arc::new(move |text| drop(panicked.send(text)));
            self.files.start(sink, told, Arc::new(|| Box::new(()))).unwrap();
        }
    }

    /// As a stop does it; what was told meanwhile is kept.
    fn stop(&self) {
        self.files.end();
        assert!(self.files.ended_by(Instant::now() + PATIENCE));
    }

    fn server(&self, id: &str) -> Server {
        Server {
            whose: Named { handle: crate::handle::new(crate::handle::Kind::Server, 1), id: id.into() },
            folder: Folder::new(self.root.path(), id, Syncing::None).unwrap(),
        }
    }

    /// The next result.
    fn next(&mut self) -> Done {
        if let Some(done) = self.aside.pop_front() {
            return done;
        }
        match self.mode {
            Mode::Threads => self.results.recv_timeout(PATIENCE).unwrap(),
            Mode::Driven => loop {
                self.aside.extend(self.files.step(MIB).expect("nothing to do, and no result"));
                if let Some(done) = self.aside.pop_front() {
                    return done;
                }
            },
        }
    }

    /// All results up to the end of what there is to do; ends the threads.
    fn rest(&mut self) -> Vec<Done> {
        if self.mode == Mode::Driven {
            while let Some(done) = self.files.step(MIB) {
                self.aside.extend(done);
            }
        } else {
            let idle = |files: &Files| {
                let queue = files.queue.lock();
                !queue.has_work() && !queue.is_under_way()
            };
            self.files.seen.wait("end", |_| idle(&self.files));
            self.stop();
        }
        self.aside.drain(..).chain(self.results.try_iter()).collect()
    }

    fn survey(&mut self, server: &Server, thorough: bool) -> Vec<Survey> {
        self.files.post(server.survey(thorough));
        let mut surveys = Vec::new();
        loop {
            match self.next() {
                Done::Surveyed { survey, through, .. } => {
                    surveys.push(survey);
                    if through {
                        return surveys;
                    }
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn find(&mut self, server: &Server) -> Survey {
        self.files.post(server.find());
        match self.next() {
            Done::Found { whose, survey } if whose.handle == server.whose.handle => survey,
            other => panic!("{other:?}"),
        }
    }

    fn prepare(&mut self, server: &Server) -> (u64, Result<PathBuf, Error>) {
        self.next_op += 1;
        let op = self.next_op;
        self.files.post(server.prepare(op));
        match self.next() {
            Done::Prepared { op: of, result } if of == op => (op, result),
            other => panic!("{other:?}"),
        }
    }

    /// Up to what the host has written.
    fn written(&mut self, server: &Server, archive: &[u8]) -> (u64, PathBuf) {
        let (op, file) = self.prepare(server);
        let file = file.unwrap();
        fs::write(&file, archive).unwrap();
        (op, file)
    }

    /// A large one, of zeroes.
    fn written_sparse(&mut self, server: &Server, bytes: u64) -> (u64, PathBuf) {
        let (op, file) = self.written(server, b"");
        File::options().write(true).open(&file).unwrap().set_len(bytes).unwrap();
        (op, file)
    }

    fn publish(&mut self, server: &Server, (op, file): (u64, PathBuf), keep: usize) -> (Result<u64, Error>, Survey) {
        self.files.post(server.publish(op, &file, keep));
        match self.next() {
            Done::Published { op: of, result, survey, .. } if of == op => {
                (result.map(|published| published.backup.number), survey)
            }
            other => panic!("{other:?}"),
        }
    }

    fn back_up(&mut self, server: &Server, archive: &[u8]) -> u64 {
        let written = self.written(server, archive);
        self.publish(server, written, 1000).0.unwrap()
    }

    /// Forgets what was checked, as a start of the process does.
    fn forget_checks(&self, server: &Server) {
        self.files.forget(server.whose.handle);
    }

    fn hashed(&self) -> u64 {
        self.files.seen.counts.lock().hashed
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        self.files.end();
        self.files.ended_by(Instant::now() + PATIENCE);
    }
}

#[derive(Clone)]
struct Server {
    whose: Named,
    folder: Folder,
}

impl Server {
    fn survey(&self, thorough: bool) -> Job {
        let Server { whose, folder } = self.clone();
        Job::Survey { whose, folder, thorough, clean: false, resumed: None }
    }

    fn survey_at_start(&self, resumed: Option<u64>) -> Job {
        let Server { whose, folder } = self.clone();
        Job::Survey { whose, folder, thorough: false, clean: true, resumed }
    }

    fn find(&self) -> Job {
        let Server { whose, folder } = self.clone();
        Job::Find { whose, folder }
    }

    fn prepare(&self, op: u64) -> Job {
        let Server { whose, folder } = self.clone();
        Job::Prepare { op, whose, folder, last_number: 0 }
    }

    fn publish(&self, op: u64, file: &Path, keep: usize) -> Job {
        let Server { whose, folder } = self.clone();
        Job::Publish { op, whose, folder, file: file.to_owned(), utc_ms: UTC_MS, keep }
    }

    fn clean(&self) -> Job {
        let Server { whose, folder } = self.clone();
        Job::Clean { whose, folder }
    }

    fn archive(&self, number: u64) -> PathBuf {
        let names = self.folder.list().unwrap();
        self.folder.archive(*names.iter().find(|name| name.number == number).unwrap())
    }

    /// The names of all files, in order.
    fn files(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.folder.path()) else { return Vec::new() };
        let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }

    /// There are whole backups with these numbers and nothing else.
    fn assert_only(&self, numbers: &[u64]) {
        let names = self.folder.list().unwrap();
        assert_eq!(names.iter().rev().map(|name| name.number).collect::<Vec<_>>(), numbers);
        let mut expected: Vec<_> = names.iter().flat_map(|name| [name.archive(), name.manifest()]).collect();
        expected.sort();
        assert_eq!(self.files(), expected);
    }
}

fn number(survey: &Survey) -> Option<u64> {
    assert_eq!(survey.error, None);
    survey.newest.as_ref().map(|backup| backup.number)
}

/// Changes a byte of a file so that its size, time and inode stay as they are.
fn flip(path: &Path) {
    let modified = fs::metadata(path).unwrap().modified().unwrap();
    let mut content = fs::read(path).unwrap();
    content[0] ^= 1;
    fs::write(path, content).unwrap();
    set_modified(path, modified);
}

/// Gives a file another time, as one that was written to has.
fn touch(path: &Path, age_s: u64) {
    set_modified(path, SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000 + age_s));
}

fn set_modified(path: &Path, at: SystemTime) {
    File::options().write(true).open(path).unwrap().set_modified(at).unwrap();
}
