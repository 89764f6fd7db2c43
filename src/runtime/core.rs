//! The engine with its inbox and its outbox: what one lock guards.
//!
//! Takes in what was reported, lets time act, and numbers what comes of it. Nothing here waits, reads a clock, touches a disk or calls the
//! host; whoever delivers takes the entries out one at a time with the lock dropped. `calls` are accepted here, `kept` is what outlives it.

mod calls;
mod kept;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};

use self::calls::Pending;
pub use self::calls::{Call, Refused};
use self::kept::is_kept;
use super::errands::{Errands, Secrets};
use super::files::Done;
use super::inbox::Mailbox;
use super::servers::Servers;
use crate::config::Config;
use crate::engine::command::{Command, Input};
use crate::engine::health::{EventKind, Health};
use crate::engine::output::{Alarm, Ask, Cause, Note, Operation, OperationKind, Outcome, Output, What};
use crate::engine::policy::{Policy, ServerKey};
use crate::engine::{Engine, Ran};
use crate::log::{Entry, Limiter, Named, Subject, Verdict};
use crate::state::document::Accepted;
use crate::status::{Picture, Portrait, Rules};
use crate::time::{Mono, SECOND_NS, Span};

/// Accepted calls that wait for a poll; more are refused until it comes.
const PENDING_MAX: usize = 10_000;
/// Configurations among them: each may hold a million servers.
const CONFIGURES_MAX: usize = 16;
/// Entries that wait for a host which is kept in a callback; beyond that calls are refused, and only the worker takes in more.
const OUTBOX_MAX: usize = 100_000;

/// How far ahead the slots of the servers are looked at.
const LOOK_AHEAD: Span = Span(SECOND_NS);
/// Log numbers are reserved on disk in blocks of so many, or of so many a server if that is more: all may fail in one instant.
const SEQ_BLOCK: u64 = 10_000;
const SEQ_BLOCK_A_SERVER: u64 = 4;
/// Ids that may be given out beyond those saved: calls made inside a callback return before they are on disk. More are refused.
const ID_MARGIN: u64 = 2 * PENDING_MAX as u64;
/// While the state cannot be written, it is tried again so often.
const WRITE_RETRY: Span = Span(10 * SECOND_NS);

/// The first numbers that a life may use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbers {
    /// Ids of operations and requests.
    pub next_id: u64,
    /// Log entries.
    pub next_seq: u64,
}

/// In the order reported.
pub enum Message {
    /// One message of a server waits in its mailbox.
    Mail(Arc<Mailbox>),
    /// An accepted call.
    Call(Arc<Call>),
    /// An answer to what had been given up.
    LateAnswer(u64, Outcome),
    /// The file worker has done something.
    Files(Box<Done>),
}

/// What waits to be delivered.
pub enum Delivery {
    /// An entry for `event`.
    Entry(Arc<Entry>),
    /// An operation for `begin`, with the configuration that it was decided by.
    Begin(Box<Operation>, Option<Named>, Arc<Config>),
}

/// Engine, inbox and outbox.
pub struct Core {
    engine: Engine,
    sender: Sender<Message>,
    receiver: Receiver<Message>,
    /// Accepted and not yet taken in, oldest first.
    pending: VecDeque<Pending>,
    /// Given up operations whose late answer waits to be taken in: each is said once.
    late: BTreeSet<u64>,
    /// A keep-alive was posted in silence while its server left `keep_alive`, or a call was sent on.
    look_again: bool,
    /// A panic was caught: nothing is taken in or written after the entry that says so.
    poisoned: bool,
    servers: Arc<Servers>,
    /// While a configuration is taken in: what it brings. A key is not given to another server in the same breath.
    incoming: Option<Arc<Servers>>,
    config: Arc<Config>,
    outbox: VecDeque<Delivery>,
    limiter: Limiter,
    next_seq: u64,
    scratch: Vec<Output>,
    host_is_slow: bool,
    /// The last progress told: operation, thousandths, words.
    progress: Option<(u64, u32, String)>,
    /// Counts what has to be on disk; `saved` is how far the disk has followed.
    version: u64,
    saved: u64,
    /// Log numbers below this one are reserved on disk.
    reserved_seq: u64,
    /// Entries with numbers below this one were given to the log.
    logged_seq: u64,
    /// Ids below this one are reserved on disk.
    reserved_id: u64,
    /// The engine is deciding. Still so after it, a panic has left half a decision, which must not reach the disk.
    deciding: bool,
    /// Accepted inside a callback: said when it is on disk, with the version that holds it.
    unconfirmed: Vec<(u64, Accepted)>,
    /// The state could not be written: when it is tried again.
    write_again_at: Option<Mono>,
    /// The same for tokens alone.
    tokens_again_at: Option<Mono>,
    /// The same for taking out of the configuration what is gone.
    follow_again_at: Option<Mono>,
    /// A worker of the plugin's own turns it: timers are set anew some time before they come up, and another thread writes the state.
    has_worker: bool,
    /// The writer has been asked to write and has not come back.
    is_writing: bool,
    /// Begins whose intent is not on disk.
    unwritten: VecDeque<Unwritten>,
    /// Writes that failed.
    failed_writes: u64,
    /// The timers that come up by then are as late as what is known allows.
    looked_until: Mono,
    /// To be said when monitoring begins.
    first_words: Vec<Subject>,
    /// Servers that go when their takeover is over.
    leaving: BTreeSet<String>,
    /// What the file worker is to do.
    pub errands: Errands,
    /// Credentials and tokens that wait for the operation or the disk that they are for.
    pub secrets: Secrets,
}

/// A begin that waits until its intent is on disk.
struct Unwritten {
    /// On disk with this version.
    version: u64,
    /// Writes that had failed when it was decided.
    failed_writes: u64,
    operation: Box<Operation>,
    server: Option<Named>,
    config: Arc<Config>,
}

/// When something happens, by both clocks.
#[derive(Clone, Copy, Debug)]
pub struct Now {
    /// Monotonic.
    pub mono: Mono,
    /// In ms since 1970.
    pub utc_ms: i64,
}

impl Core {
    /// A core at rest with these servers.
    pub fn new(policy: Policy, servers: Arc<Servers>, config: Arc<Config>, numbers: Numbers) -> Core {
        let (sender, receiver) = unbounded();
        Core {
            engine: Engine::new(policy, numbers.next_id),
            sender,
            receiver,
            pending: VecDeque::new(),
            late: BTreeSet::new(),
            look_again: false,
            poisoned: false,
            servers,
            incoming: None,
            config,
            outbox: VecDeque::new(),
            limiter: Limiter::default(),
            next_seq: numbers.next_seq,
            scratch: Vec::new(),
            host_is_slow: false,
            progress: None,
            version: 1,
            saved: 0,
            reserved_seq: numbers.next_seq,
            logged_seq: numbers.next_seq,
            reserved_id: numbers.next_id,
            deciding: false,
            unconfirmed: Vec::new(),
            write_again_at: None,
            tokens_again_at: None,
            follow_again_at: None,
            has_worker: false,
            is_writing: false,
            unwritten: VecDeque::new(),
            failed_writes: 0,
            looked_until: Mono(0),
            first_words: Vec::new(),
            leaving: BTreeSet::new(),
            errands: Errands::default(),
            secrets: Secrets::default(),
        }
    }

    /// A worker of the plugin's own turns it, not a driving host, which decides when it polls and waits for the disk meanwhile.
    pub fn has_worker(&mut self) {
        self.has_worker = true;
    }

    /// Where messages go.
    pub fn sender(&self) -> Sender<Message> {
        self.sender.clone()
    }

    /// Whether something that was reported in silence must not wait for the next deadline.
    pub fn must_look_again(&self) -> bool {
        self.look_again
    }

    /// Whether so much waits to be delivered that nothing more should come of calls.
    pub fn is_full(&self) -> bool {
        self.outbox.len() >= OUTBOX_MAX
    }

    /// Whether nothing reported waits to be taken in.
    pub fn inbox_is_empty(&self) -> bool {
        self.receiver.is_empty()
    }

    /// A request id, never given before.
    pub fn new_id(&mut self) -> u64 {
        self.engine.new_id()
    }

    /// A request id that was not used after all.
    pub fn give_back_id(&mut self, id: u64) {
        self.engine.give_back_id(id);
    }

    /// Counts what has to be on disk.
    pub fn version(&self) -> u64 {
        self.version
    }

    /// Takes in what was reported until now, no more: a flood must not starve the deadlines.
    pub fn take_in(&mut self, now: Now) {
        if self.poisoned {
            return;
        }
        self.look_again = false;
        self.engine.wall_clock_is(now.mono, now.utc_ms);
        for _ in 0..self.receiver.len() {
            match self.receiver.try_recv() {
                Ok(Message::Mail(mailbox)) => self.take_mail(&mailbox, now),
                Ok(Message::Call(call)) => self.take_call(&call, now),
                Ok(Message::LateAnswer(op, outcome)) => {
                    self.version += 1;
                    self.late.remove(&op);
                    self.feed(Input::LateAnswer { op, outcome }, now);
                }
                Ok(Message::Files(done)) => self.take_done(*done, now),
                Err(_) => break,
            }
        }
    }

    /// Lets time act, after one more look for life signs of the servers about to fail.
    pub fn advance(&mut self, now: Now, ran: Ran) {
        if self.poisoned {
            return;
        }
        let is_paused = self.engine.is_paused(now.mono, ran);
        if is_paused {
            // What came before the pause must not seem to have come after it, and what comes next counts from its end, whatever its stamp.
            self.hear_out(now);
        }
        self.hear_all(self.engine.coming_up(now.mono).into_iter(), now);
        let silent = self.engine.silent(now.mono);
        silent.iter().for_each(|key| self.hear_the_last(*key, is_paused, now));
        let dates = self.engine.daily_dates();
        let mut out = self.decide();
        self.engine.advance(now.mono, ran, &mut out);
        // What is counted from has to outlive this life, though nothing happens at it.
        self.version += u64::from(self.engine.daily_dates() != dates);
        self.record(out, now);
        if !is_paused {
            silent.into_iter().for_each(|key| self.arm(key));
        }
        self.look_ahead(now);
    }

    /// Takes in what a server reported last, before its silence counts.
    fn hear_the_last(&mut self, key: ServerKey, is_paused: bool, now: Now) {
        let Some(mailbox) = self.servers.by_key(key).map(|entry| Arc::clone(&entry.mailbox)) else { return };
        // All that is listed: the first of it may move the deadline less than the last.
        while !mailbox.is_empty() {
            self.take_mail(&mailbox, now);
        }
        if is_paused || self.engine.deadline(key).is_some_and(|at| at <= now.mono) {
            // A keep-alive from now on is listed, and counts after the failure.
            let last = mailbox.disarm();
            self.heard(key, last, now);
        }
    }

    /// Takes in what is in the slots, which are closed until the next message of each server is taken in.
    pub fn hear_out(&mut self, now: Now) {
        let servers = Arc::clone(&self.servers);
        for entry in servers.in_order() {
            let last = entry.mailbox.disarm();
            self.heard(entry.mailbox.key(), last, now);
        }
    }

    /// Takes in the keep-alive that came last to the slot of a server.
    fn hear(&mut self, key: ServerKey, now: Now) {
        let Some(entry) = self.servers.by_key(key) else { return };
        if entry.mailbox.needs_another_base() {
            let last = entry.mailbox.disarm();
            self.heard(key, last, now);
            self.arm(key);
        } else {
            let newest = entry.mailbox.newest();
            self.heard(key, newest, now);
        }
    }

    fn heard(&mut self, server: ServerKey, newest: Option<Mono>, now: Now) {
        let is_known = |at: &Mono| self.engine.health(server).is_some_and(|health| health.knows_keep_alive(*at));
        if let Some(at) = newest.filter(|at| !is_known(at)) {
            self.feed(Input::Event { server, kind: EventKind::KeepAlive, at }, now);
        }
    }

    /// Keep-alives of this server go to its slot, if they can.
    fn arm(&self, key: ServerKey) {
        let last = self.engine.health(key).filter(|health| health.keep_alives_only_defer());
        if let (Some(last), Some(entry)) = (last.and_then(Health::last_event_at), self.servers.by_key(key)) {
            entry.mailbox.arm(last);
        }
    }

    /// Hears the servers whose timer comes up soon, many at once, so that the next wake-up is planned for what really happens then: without that
    /// there would be one for each server and timeout.
    fn look_ahead(&mut self, now: Now) {
        let until = now.mono + LOOK_AHEAD;
        if !self.has_worker || until < self.looked_until + Span(LOOK_AHEAD.0 / 2) {
            return;
        }
        self.hear_all(self.engine.coming_up(until).into_iter(), now);
        self.engine.plan_until(until, now.mono);
        self.looked_until = until;
    }

    /// Brings what is known of these servers up to now, for a reader.
    pub fn hear_all(&mut self, servers: impl Iterator<Item = ServerKey>, now: Now) {
        servers.for_each(|key| self.hear(key, now));
    }

    /// When time acts next.
    pub fn next_wake(&self, now: Now) -> Option<Mono> {
        // While the writer is at work it is not asked again, however long the disk takes.
        let retries = if self.is_writing { [None; 3] } else { self.retries() };
        retries.into_iter().chain([self.engine.next_wake(now.mono)]).flatten().min()
    }

    /// The token of a server is not where it should be, or was meant for another operation: it has to be authorized again.
    pub fn no_token(&mut self, key: ServerKey) {
        let mut out = self.decide();
        self.engine.take_in(Mono(0), Input::Token { server: key, by: None }, &mut out);
        self.record(out, Now { mono: Mono(0), utc_ms: 0 });
    }

    /// Operations whose answer was accepted and not taken in: their server, and their id.
    pub fn answered(&self) -> Vec<(Arc<str>, u64)> {
        let answered = |call: &Arc<Call>| match &call.command {
            Command::Complete { op, .. } => {
                let server = self.engine.operation(*op)?.server?;
                Some((self.named(server)?.id, *op))
            }
            _ => None,
        };
        self.pending.iter().map(|pending| &pending.call).filter_map(answered).collect()
    }

    /// Every server that can be logged in on, with the operation that brought its token.
    pub fn access(&self) -> Vec<(ServerKey, Arc<str>, u64)> {
        let servers = Arc::clone(&self.servers);
        let access = |entry: &super::servers::Entry| {
            let key = entry.mailbox.key();
            Some((key, Arc::clone(&entry.named.id), self.engine.access(key)?))
        };
        servers.in_order().filter_map(access).collect()
    }

    /// The servers whose takeover is over and which a configuration has dropped meanwhile; none where removing them failed a moment ago.
    pub fn gone_servers(&mut self, now: Now) -> Vec<String> {
        if self.follow_again_at.is_some_and(|at| at > now.mono) {
            return Vec::new();
        }
        self.follow_again_at = None;
        self.gone().cloned().collect()
    }

    fn gone(&self) -> impl Iterator<Item = &String> {
        self.leaving.iter().filter(|id| match self.servers.by_id(id) {
            Some(entry) => self.check_drop(entry.mailbox.key()).is_ok(),
            None => true,
        })
    }

    /// What is gone could not be taken out of the configuration: when it is tried again.
    pub fn follows_later(&mut self, now: Now) {
        self.follow_again_at = Some(now.mono + WRITE_RETRY);
    }

    /// A server stays after all, or is gone.
    pub fn no_longer_leaves(&mut self, id: &str, gone: bool, now: Now) {
        if self.leaving.remove(id) {
            self.version += 1;
            if gone {
                self.number(None, Subject::ConfigFollowed(id.to_owned()), now);
            }
        }
    }

    /// Says this first when monitoring begins.
    pub fn say_at_start(&mut self, subject: Subject) {
        self.first_words.push(subject);
    }

    /// Whether the token that this call brings is not on disk.
    pub fn lacks_token(&self, call: &Call) -> bool {
        self.secrets.is_due(call.op())
    }

    /// The intent of this operation could not be written: the host is not asked.
    pub fn take_back(&mut self, op: u64, now: Now) {
        self.secrets.forget_loaded(op);
        self.feed(Input::Unwritable { op }, now);
    }

    /// Monitoring begins.
    pub fn start(&mut self, now: Now) {
        for subject in std::mem::take(&mut self.first_words) {
            self.number(None, subject, now);
        }
        // What was decided at rest, of calls that an earlier life accepted, before a driven clock was first read.
        for delivery in self.outbox.iter_mut() {
            if let Delivery::Entry(entry) = delivery
                && entry.at == Mono(0)
            {
                let entry = Arc::make_mut(entry);
                (entry.at, entry.utc_ms) = (now.mono, now.utc_ms);
            }
        }
        self.forget_errands();
        // What is in the slots is old news.
        self.servers.in_order().for_each(|entry| _ = entry.mailbox.disarm());
        self.looked_until = Mono(0);
        let mut out = self.decide();
        self.engine.start(now.mono, &mut out);
        self.record(out, now);
    }

    /// Monitoring ends.
    pub fn stop(&mut self) {
        self.engine.stop();
    }

    /// Something else has to be on disk than before.
    pub(super) fn has_changed(&mut self) {
        self.version += 1;
    }

    /// The configuration in force.
    pub(super) fn config(&self) -> &Arc<Config> {
        &self.config
    }

    /// The servers in force.
    pub(super) fn servers(&self) -> &Servers {
        &self.servers
    }

    /// What decides.
    pub(super) fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Puts something behind what waits to be delivered.
    pub(super) fn push(&mut self, delivery: Delivery) {
        self.outbox.push_back(delivery);
    }

    /// The next thing to deliver.
    pub fn pop(&mut self) -> Option<Delivery> {
        self.outbox.pop_front()
    }

    /// How much waits to be delivered.
    pub fn outbox_len(&self) -> usize {
        self.outbox.len()
    }

    /// A callback took so long; raises or ends the alarm for it.
    pub fn callback_took(&mut self, span: Span, slow: bool, now: Now) {
        if slow != self.host_is_slow {
            self.host_is_slow = slow;
            let subject = if slow { Subject::HostSlow(span) } else { Subject::HostQuick };
            self.number(None, subject, now);
        }
    }

    /// The instance panicked: no operation is begun any more, and one last entry says so.
    pub fn poison(&mut self, why: String, now: Now) {
        self.forget_begins();
        self.number(None, Subject::Poisoned(why), now);
        self.poisoned = true;
    }

    /// What is known at this instant of the instance and of these servers, in plain copies.
    pub fn look<'a>(&self, asked: &[(&'a Named, &'a str, ServerKey)], now: Now) -> Picture<'a> {
        let (engine, policy) = (&self.engine, self.engine.policy());
        let id = |key: ServerKey| self.named(key).map(|named| named.id);
        let queue = engine.queue_in_order();
        let places: BTreeMap<ServerKey, usize> = queue.iter().enumerate().map(|(n, key)| (*key, n + 1)).collect();
        let portrait = |(named, name, key): &(&'a Named, &'a str, ServerKey)| {
            // One that a later poll brings, or takes, is not known here under this handle.
            let known = self.servers.by_key(*key).is_some_and(|entry| entry.named.handle == named.handle);
            let view = engine.view(*key).filter(|_| known).unwrap_or_default();
            let progress = view.operation.as_ref().and_then(|operation| self.progress_of(operation.id));
            Portrait { id: &named.id, name, place: places.get(key).copied().filter(|_| known), view, progress }
        };
        Picture {
            monitoring: engine.is_running(),
            backups_left: engine.backups_left(),
            next_daily_ms: engine.next_daily_ms(now.mono),
            clock_jumped: engine.clock_jumped(),
            state_writable: self.write_again_at.is_none(),
            host_slow: self.host_is_slow,
            joined: engine.is_joined(),
            joining: engine.joining().map(|operation| {
                let progress = self.progress_of(operation.id);
                (operation, progress)
            }),
            mode: engine.slot().and_then(|key| engine.takeover_state(key)).unwrap_or_default(),
            holder: engine.slot().and_then(id),
            rules: Rules {
                automatic_takeover: policy.automatic_takeover,
                automatic_restore: policy.automatic_restore,
                restore_stable_s: policy.restore_stable.whole_ms() / 1000,
            },
            servers: asked.iter().map(portrait).collect(),
            queue: queue.into_iter().filter_map(id).collect(),
            ..Picture::blank(now.mono, now.utc_ms)
        }
    }

    fn progress_of(&self, op: u64) -> Option<(u32, String)> {
        let told = self.progress.as_ref().filter(|(of, ..)| *of == op);
        told.map(|(_, permille, text)| (*permille, text.clone()))
    }

    fn take_mail(&mut self, mailbox: &Mailbox, now: Now) {
        let inputs = mailbox.take();
        // Posted by a thread that stalled while the server was removed: its key may be another's by now.
        if !self.is_current(mailbox) {
            return;
        }
        inputs.for_each(|input| self.feed(input, now));
        let only = self.engine.keep_alive_only_rearms(mailbox.key());
        self.look_again |= mailbox.set_keep_alive_only_rearms(only);
        self.arm(mailbox.key());
    }

    fn is_current(&self, mailbox: &Mailbox) -> bool {
        self.servers.by_key(mailbox.key()).is_some_and(|entry| std::ptr::eq(&*entry.mailbox, mailbox))
    }

    fn take_call(&mut self, call: &Arc<Call>, now: Now) {
        // Nearly always the oldest: some wait for the host.
        if let Some(place) = self.pending.iter().position(|pending| Arc::ptr_eq(&pending.call, call)) {
            self.pending.remove(place);
        }
        self.version += 1;
        let Some((servers, config)) = &call.placement else {
            self.feed(input_of(call), now);
            if let Command::Complete { op, .. } = &call.command {
                self.secrets.was_answered(*op);
            }
            return;
        };
        let mut gone: Vec<ServerKey> = self.engine.policy().servers.iter().map(|server| server.key).collect();
        gone.retain(|key| servers.by_key(*key).is_none());
        let moved = self.config.backup_directory != config.backup_directory;
        self.config = Arc::clone(config);
        self.incoming = Some(Arc::clone(servers));
        self.feed(input_of(call), now);
        self.incoming = None;
        let old = std::mem::replace(&mut self.servers, Arc::clone(servers));
        let (all, removed) = (self.servers.in_order().count(), gone.len());
        let added = self.servers.in_order().filter(|entry| !old.has(entry.mailbox.key())).count();
        self.number(None, Subject::Configured { servers: all, added, removed }, now);
        for key in gone {
            self.limiter.forget(key);
            if let Some(gone) = old.by_key(key).map(|entry| entry.named.handle) {
                self.errands.forget(gone);
            }
        }
        if moved {
            let all = self.servers.in_order().map(|entry| (entry.named.clone(), Ask::Survey { thorough: false }));
            self.errands.asks.extend(all);
        }
    }

    pub(super) fn feed(&mut self, input: Input, now: Now) {
        let mut out = self.decide();
        self.engine.take_in(now.mono, input, &mut out);
        self.record(out, now);
    }

    /// Numbers what the engine decided; gives the emptied list back for the next time.
    fn record(&mut self, mut out: Vec<Output>, now: Now) {
        for output in out.drain(..) {
            self.version += u64::from(is_kept(&output.what));
            if let What::Note(Note::Progress { op, permille, text }) = &output.what {
                self.progress = Some((*op, *permille, text.clone()));
            }
            let server = output.server.and_then(|key| self.named(key));
            if let Some(server) = output.server.and_then(|key| self.servers.by_key(key)) {
                let only = output.server.is_some_and(|key| self.engine.keep_alive_only_rearms(key));
                self.look_again |= server.mailbox.set_keep_alive_only_rearms(only);
                if !only {
                    // Where something of it counts, it was taken in before this was decided.
                    server.mailbox.disarm();
                }
            }
            let output = match self.run_errand(output, server.as_ref()) {
                Some(output) => output,
                None => continue,
            };
            match self.limiter.judge(&output, now.mono) {
                Verdict::LeaveOut => continue,
                Verdict::WriteAfter(count) => self.number(server.clone(), Subject::Suppressed(count), now),
                Verdict::Write => {}
            }
            let holder = match &output.what {
                What::Alarm { code: Alarm::NotCovered, cause: Cause::Holder(holder) } => self.named(*holder),
                _ => None,
            };
            self.number(server, Subject::Engine(output, holder), now);
        }
        self.scratch = out;
        self.deciding = false;
    }

    /// An empty list for what the engine is about to decide; `record` takes it back.
    fn decide(&mut self) -> Vec<Output> {
        self.deciding = true;
        std::mem::take(&mut self.scratch)
    }

    fn number(&mut self, server: Option<Named>, subject: Subject, now: Now) {
        if self.poisoned {
            return;
        }
        let seq = self.next_seq;
        self.next_seq += 1;
        let entry = Entry { seq, at: now.mono, utc_ms: now.utc_ms, server, subject };
        self.outbox.push_back(Delivery::Entry(Arc::new(entry)));
    }

    pub(super) fn named(&self, key: ServerKey) -> Option<Named> {
        let incoming = || self.incoming.as_ref()?.by_key(key);
        self.servers.by_key(key).or_else(incoming).map(|entry| entry.named.clone())
    }
}

/// What an accepted call is for the engine.
fn input_of(call: &Call) -> Input {
    if !call.interrupted {
        return Input::Command(call.command.clone());
    }
    match call.command.clone() {
        Command::Authorize { server, actor, request } => {
            Input::Interrupted { kind: OperationKind::Authorize, server: Some(server), actor, request }
        }
        Command::JoinCluster { actor, request, .. } => {
            Input::Interrupted { kind: OperationKind::JoinCluster, server: None, actor, request }
        }
        command => Input::Command(command),
    }
}
