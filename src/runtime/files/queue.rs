//! What waits, and whose turn it is. Touches no disk, waits for nothing, calls nothing from outside: what it drops it gives back, so that it is
//! dropped with no lock held. Called by `Files`, under the lock of the queue.

use std::collections::{BTreeMap, VecDeque};
use std::path::PathBuf;
use std::sync::Arc;

use super::finding::Finding;
use super::operation::{Discarding, Operation, Publishing};
use super::place::{Key, Known, Place};
use super::ring::{Ring, Ticket};
use super::surveying::{Cleaning, Hashing, Looking, Survey};
use super::{Done, Job, Lane, Named, Next, Slice};
use crate::backup::Folder;
use crate::error::Error;
use crate::secret::Secret;

/// Jobs of one kind that hold an archive open at the same time. More would only make all of them later.
const READERS_MAX: usize = 4;

/// A call into the host.
pub struct Call {
    tag: u64,
    call: Box<dyn FnOnce() -> Result<Option<Secret>, Error> + Send>,
}

/// A job, taken out of the queue for a slice.
pub enum Task {
    Call(Call),
    Find(Box<Finding>),
    Survey(Survey),
    Operation(Operation),
}

impl Task {
    pub fn step(self, slice: Slice) -> (Vec<Done>, Next<Task>) {
        match self {
            Task::Call(Call { tag, call }) => (vec![Done::Called { tag, result: call() }], Next::Over),
            Task::Find(finding) => over(finding.step(slice), Task::Find),
            Task::Survey(Survey::Looking(looking)) => over(looking.step(), Task::Survey),
            Task::Survey(Survey::Hashing(hashing)) => over(hashing.step(slice), Task::Survey),
            Task::Operation(operation) => over(operation.step(slice), Task::Operation),
        }
    }

    fn place(&self) -> Option<&Place> {
        match self {
            Task::Call(_) => None,
            Task::Find(finding) => Some(&finding.place),
            Task::Survey(Survey::Looking(looking)) => Some(&looking.place),
            Task::Survey(Survey::Hashing(hashing)) => Some(&hashing.place),
            Task::Operation(operation) => Some(operation.place()),
        }
    }

    fn op(&self) -> Option<u64> {
        if let Task::Operation(operation) = self { operation.op() } else { None }
    }

    /// What is left to be done, and what is not.
    fn given_up(self, fate: Fate) -> (Option<Task>, Option<Task>) {
        match (fate, self) {
            (Fate::GoesOn, task) => (Some(task), None),
            (Fate::Cancelled, Task::Operation(operation)) => (operation.cancelled().map(Task::Operation), None),
            (Fate::Forgotten, Task::Operation(operation)) => (operation.forgotten().map(Task::Operation), None),
            (_, task) => (None, Some(task)),
        }
    }
}

impl Done {
    /// What is still told of a job that was given up.
    fn given_up(self, fate: Fate) -> Option<Done> {
        match (fate, self) {
            (Fate::GoesOn | Fate::Ended, done) => Some(done),
            (Fate::Forgotten, _)
            | (Fate::Cancelled, Done::Prepared { .. } | Done::Published { result: Err(_), .. }) => None,
            (Fate::Cancelled, Done::Published { whose, survey, .. }) => {
                Some(Done::Surveyed { whose, survey, through: true })
            }
            (Fate::Cancelled, done) => Some(done),
        }
    }
}

fn over<T>((done, next): (Vec<Done>, Next<T>), wrap: fn(T) -> Task) -> (Vec<Done>, Next<Task>) {
    (done, next.map(wrap))
}

/// A job for a slice, and its place.
pub struct Taken {
    pub lane: Lane,
    pub ticket: Ticket,
    pub task: Task,
}

/// What is remembered of a job while a slice of it is done elsewhere.
struct UnderWay {
    place: Option<Place>,
    op: Option<u64>,
    /// The folder that an operation has.
    key: Option<Key>,
    fate: Fate,
}

/// What happens to a job under way when its slice is done.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Fate {
    GoesOn,
    /// Everything ends: what it brings is told, the rest is dropped.
    Ended,
    Cancelled,
    Forgotten,
}

/// A file that was named to the host, which may be writing it.
struct Prepared {
    op: u64,
    place: Place,
    file: PathBuf,
}

/// All that waits.
#[derive(Default)]
pub struct Queue {
    /// The threads are to end. Set until the next start.
    pub ending: bool,
    /// How many threads there are.
    pub threads: usize,
    tickets: Ticket,
    /// Which kind of a lane had the last turn.
    turns: [bool; 2],
    under_way: [Option<UnderWay>; 2],
    calls: VecDeque<Call>,
    searches: Ring<u64, Box<Finding>>,
    reading: Ring<u64, Box<Finding>>,
    looks: Ring<u64, Box<Looking>>,
    hashes: Ring<u64, Box<Hashing>>,
    /// By folder, in order. An empty one has its operation under way.
    operations: BTreeMap<Key, VecDeque<Operation>>,
    short: Ring<Key, ()>,
    long: Ring<Key, ()>,
    prepared: BTreeMap<Key, Prepared>,
    known: BTreeMap<u64, (PathBuf, Arc<Known>)>,
}

impl Queue {
    /// Takes a job in; on which lane.
    pub fn post(&mut self, job: Job) -> Lane {
        match job {
            Job::Call { tag, call } => self.calls.push_back(Call { tag, call }),
            Job::Find { whose, folder } => {
                let finding = Finding::new(self.place(whose, folder));
                let ticket = self.ticket();
                self.searches.put(ticket, finding.place.whose.handle, finding);
            }
            Job::Survey { whose, folder, thorough, clean, resumed } => {
                let cleaning = clean.then_some(Cleaning { resumed });
                let looking = Looking::new(self.place(whose, folder), thorough, cleaning);
                let ticket = self.ticket();
                self.look(ticket, looking);
                return Lane::Bulk;
            }
            Job::Prepare { op, whose, folder, last_number } => {
                let place = self.place(whose, folder);
                return self.line_up(Operation::Prepare { op, place, last_number });
            }
            Job::Publish { op, whose, folder, file, utc_ms, keep } => {
                let publishing = Publishing::new(op, self.place(whose, folder), file, utc_ms, keep);
                self.prepared.retain(|_, prepared| prepared.op != op);
                return self.line_up(Operation::Publish(Box::new(publishing)));
            }
            Job::Clean { whose, folder } => {
                let place = self.place(whose, folder);
                let mut waiting = self.operations.get(&place.key()).into_iter().flatten();
                if !waiting.any(|operation| matches!(operation, Operation::Clean { .. })) {
                    return self.line_up(Operation::Clean { place, but: None });
                }
            }
        }
        Lane::Prompt
    }

    fn ticket(&mut self) -> Ticket {
        self.tickets += 1;
        self.tickets
    }

    /// Where a job for this server works. Its checks hold for one folder only.
    fn place(&mut self, whose: Named, folder: Folder) -> Place {
        let fresh = || (folder.path().to_owned(), Arc::default());
        let entry = self.known.entry(whose.handle).or_insert_with(fresh);
        if entry.0 != folder.path() {
            *entry = fresh();
        }
        Place { known: Arc::clone(&entry.1), whose, folder }
    }

    /// A later look does what an earlier one that still waits would have done.
    fn look(&mut self, ticket: Ticket, looking: Box<Looking>) {
        let handle = looking.place.whose.handle;
        if let Some(earlier) = self.looks.put(ticket, handle, looking)
            && let Some(later) = self.looks.get_mut(&handle)
        {
            later.take_in(earlier);
        }
    }

    /// Behind the operations that have the same folder.
    fn line_up(&mut self, operation: Operation) -> Lane {
        let key = operation.place().key();
        let first = !self.operations.contains_key(&key);
        self.operations.entry(key.clone()).or_default().push_back(operation);
        if first {
            self.give_turn(key);
        }
        Lane::Bulk
    }

    /// Has a folder's first operation take turns. It must not be under way.
    fn give_turn(&mut self, key: Key) {
        self.short.remove(&key);
        self.long.remove(&key);
        let Some(first) = self.operations.get(&key).and_then(VecDeque::front) else {
            self.operations.remove(&key);
            return;
        };
        let is_long = first.is_long();
        let ticket = self.ticket();
        let ring = if is_long { &mut self.long } else { &mut self.short };
        ring.put(ticket, key, ());
    }

    /// Takes out the job whose turn it is on a lane.
    pub fn take(&mut self, lane: Lane) -> Option<Taken> {
        if self.under_way[lane as usize].is_some() {
            return None;
        }
        let turn = &mut self.turns[lane as usize];
        *turn = !*turn;
        let (ticket, task) = match (lane, *turn) {
            (Lane::Prompt, true) => self.take_call().or_else(|| self.take_search()),
            (Lane::Prompt, false) => self.take_search().or_else(|| self.take_call()),
            (Lane::Bulk, true) => self.take_operation().or_else(|| self.take_survey()),
            (Lane::Bulk, false) => self.take_survey().or_else(|| self.take_operation()),
        }?;
        let place = task.place().cloned();
        let key = place.as_ref().filter(|_| matches!(task, Task::Operation(_))).map(Place::key);
        self.under_way[lane as usize] = Some(UnderWay { place, op: task.op(), key, fate: Fate::GoesOn });
        Some(Taken { lane, ticket, task })
    }

    fn take_call(&mut self) -> Option<(Ticket, Task)> {
        Some((0, Task::Call(self.calls.pop_front()?)))
    }

    fn take_search(&mut self) -> Option<(Ticket, Task)> {
        let (ticket, _, finding) = self.searches.take(1).or_else(|| self.reading.take(READERS_MAX))?;
        Some((ticket, Task::Find(finding)))
    }

    fn take_survey(&mut self) -> Option<(Ticket, Task)> {
        let Some((ticket, _, mut looking)) = self.looks.take(1) else {
            let (ticket, _, hashing) = self.hashes.take(READERS_MAX)?;
            return Some((ticket, Task::Survey(Survey::Hashing(hashing))));
        };
        let key = looking.place.key();
        if self.operations.contains_key(&key) || self.prepared.contains_key(&key) {
            looking.cleaning = None;
        }
        Some((ticket, Task::Survey(Survey::Looking(looking))))
    }

    fn take_operation(&mut self) -> Option<(Ticket, Task)> {
        let (ticket, key, ()) = self.short.take(1).or_else(|| self.long.take(READERS_MAX))?;
        let waiting = self.operations.get_mut(&key)?;
        let mut operation = waiting.pop_front()?;
        if let Some(but) = operation.but() {
            let prepared = self.prepared.get(&key).map(|prepared| prepared.op);
            *but = prepared.or_else(|| waiting.iter().find_map(Operation::op));
        }
        Some((ticket, Task::Operation(operation)))
    }

    /// A slice is done. Strikes out of `done` what must not be told; what is not gone on with is put into `dropped`.
    pub fn settle(&mut self, taken: (Lane, Ticket), next: Next<Task>, done: &mut Vec<Done>, dropped: &mut Vec<Task>) {
        let (lane, ticket) = taken;
        let Some(UnderWay { place, key, fate, .. }) = self.under_way[lane as usize].take() else { return };
        *done = done.drain(..).filter_map(|done| done.given_up(fate)).collect();
        if let (Fate::GoesOn, [Done::Prepared { op, result: Ok(file) }], Some(place), Some(key)) =
            (fate, &done[..], place, key.clone())
        {
            self.prepared.insert(key, Prepared { op: *op, place, file: file.clone() });
        }
        let (left, gone) = match next {
            Next::Again(task) | Next::Rest(task) => task.given_up(fate),
            Next::Over => (None, None),
        };
        dropped.extend(gone);
        match (left, key) {
            (Some(Task::Operation(operation)), Some(key)) => self.put_back(ticket, key, operation),
            (Some(Task::Find(finding)), _) => dropped.extend(self.read_on(ticket, finding).map(Task::Find)),
            (Some(Task::Survey(Survey::Looking(looking))), _) => self.look_on(ticket, looking),
            (Some(Task::Survey(Survey::Hashing(hashing))), _) => self.hash_on(ticket, hashing),
            (_, Some(key)) => self.give_turn(key),
            (_, None) => {}
        }
    }

    fn put_back(&mut self, ticket: Ticket, key: Key, operation: Operation) {
        let ring = if operation.is_long() { &mut self.long } else { &mut self.short };
        ring.put(ticket, key.clone(), ());
        self.operations.entry(key).or_default().push_front(operation);
    }

    /// Gives back the one that is not gone on with: of two searches of a folder one is enough, for what it says is of its end.
    fn read_on(&mut self, ticket: Ticket, finding: Box<Finding>) -> Option<Box<Finding>> {
        let handle = finding.place.whose.handle;
        if !finding.reads() {
            // All but said: it does not wait behind those that hash.
            let later = self.searches.get_mut(&handle).is_some();
            return if later { Some(finding) } else { self.searches.put(ticket, handle, finding) };
        }
        match self.reading.get_mut(&handle) {
            Some(earlier) if earlier.place.is_same(&finding.place) => Some(finding),
            _ => self.reading.put(ticket, handle, finding),
        }
    }

    /// One that was posted meanwhile begins anew, for both.
    fn look_on(&mut self, ticket: Ticket, looking: Box<Looking>) {
        match self.looks.get_mut(&looking.place.whose.handle) {
            Some(later) => later.take_in(looking),
            None => self.look(ticket, looking),
        }
    }

    fn hash_on(&mut self, ticket: Ticket, hashing: Box<Hashing>) {
        let handle = hashing.place.whose.handle;
        match self.hashes.get_mut(&handle) {
            Some(earlier) if earlier.place.is_same(&hashing.place) => earlier.take_in(hashing),
            _ => drop(self.hashes.put(ticket, handle, hashing)),
        }
    }

    /// The job under way has come to a bad end; what waits behind it can go on.
    pub fn lose(&mut self, lane: Lane) {
        if let Some(UnderWay { key: Some(key), .. }) = self.under_way[lane as usize].take() {
            self.give_turn(key);
        }
    }

    /// Gives up an operation. Whether anything of it was known.
    pub fn cancel(&mut self, op: u64) -> bool {
        let waits = |operations: &VecDeque<Operation>| operations.iter().any(|operation| operation.op() == Some(op));
        let known = self.under_way.iter().flatten().any(|under_way| under_way.op == Some(op))
            || self.operations.values().any(waits)
            || self.prepared.values().any(|prepared| prepared.op == op);
        self.doom(Fate::Cancelled, |under_way| under_way.op == Some(op));
        self.revise(|operation| operation.op() == Some(op), Operation::cancelled);
        self.discard(|prepared| prepared.op == op);
        known
    }

    /// Gives up everything of a server; what there was.
    pub fn forget(&mut self, handle: u64) -> Vec<Task> {
        let is_its = |place: &Place| place.whose.handle == handle;
        self.doom(Fate::Forgotten, |under_way| under_way.place.as_ref().is_some_and(is_its));
        self.revise(|operation| is_its(operation.place()), Operation::forgotten);
        self.discard(|prepared| is_its(&prepared.place));
        self.known.remove(&handle);
        self.looks.remove(&handle);
        let searches = [self.searches.remove(&handle), self.reading.remove(&handle)];
        let hashing = self.hashes.remove(&handle).map(|hashing| Task::Survey(Survey::Hashing(hashing)));
        searches.into_iter().flatten().map(Task::Find).chain(hashing).collect()
    }

    /// Gives up everything; what there was. What is known of the backups stays.
    pub fn clear(&mut self) -> Queue {
        self.doom(Fate::Ended, |_| true);
        let under_way = std::mem::take(&mut self.under_way);
        let known = std::mem::take(&mut self.known);
        let Queue { ending, threads, tickets, .. } = *self;
        std::mem::replace(self, Queue { ending, threads, tickets, under_way, known, ..Queue::default() })
    }

    /// Decides what becomes of jobs under way. What was given up before stays so.
    fn doom(&mut self, fate: Fate, concerns: impl Fn(&UnderWay) -> bool) {
        for under_way in self.under_way.iter_mut().flatten() {
            let decides = under_way.fate == Fate::GoesOn || fate == Fate::Forgotten;
            if decides && concerns(under_way) {
                under_way.fate = fate;
            }
        }
    }

    /// Changes operations that wait, or are between two slices.
    fn revise(&mut self, concerns: impl Fn(&Operation) -> bool, change: fn(Operation) -> Option<Operation>) {
        let under_way =
            |key: &Key| self.under_way.iter().flatten().any(|under_way| under_way.key.as_ref() == Some(key));
        let mut changed = Vec::new();
        for (key, operations) in &mut self.operations {
            if operations.iter().any(&concerns) {
                let all = std::mem::take(operations).into_iter();
                let revised = |operation| if concerns(&operation) { change(operation) } else { Some(operation) };
                *operations = all.filter_map(revised).collect();
                changed.extend((!under_way(key)).then(|| key.clone()));
            }
        }
        changed.into_iter().for_each(|key| self.give_turn(key));
    }

    /// Has the files that the host may be writing for these removed.
    fn discard(&mut self, concerns: impl Fn(&Prepared) -> bool) {
        let given_up = self.prepared.iter().filter(|(_, prepared)| concerns(prepared)).map(|(key, _)| key.clone());
        for key in given_up.collect::<Vec<_>>() {
            if let Some(Prepared { place, file, .. }) = self.prepared.remove(&key) {
                self.line_up(Operation::Discard(Box::new(Discarding { place, file, publish: None, but: None })));
            }
        }
    }

    /// Whether a job is out for a slice.
    #[cfg(test)]
    pub fn is_under_way(&self) -> bool {
        self.under_way.iter().any(Option::is_some)
    }

    /// Whether anything waits.
    pub fn has_work(&self) -> bool {
        let prompt = self.calls.is_empty() && self.searches.is_empty() && self.reading.is_empty();
        let surveys = self.looks.is_empty() && self.hashes.is_empty();
        let operations = self.short.is_empty() && self.long.is_empty();
        !(prompt && surveys && operations)
    }
}
