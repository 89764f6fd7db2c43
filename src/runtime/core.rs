//! The engine with its inbox and its outbox: what one lock guards.
//!
//! Takes in what was reported, lets time act, and numbers what comes of it. Nothing here waits, reads a clock, touches a disk or calls the
//! host; whoever delivers takes the entries out one at a time with the lock dropped.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use crossbeam_channel::{Receiver, Sender, unbounded};
use vms_failover_abi as abi;

use super::accepted;
use super::errands::{Errands, Secrets};
use super::files::Done;
use super::inbox::Mailbox;
use super::servers::Servers;
use crate::config::Config;
use crate::engine::command::{Command, Input, Refusal};
use crate::engine::output::{Alarm, Ask, Cause, Note, Operation, OperationKind, Outcome, Output, What};
use crate::engine::policy::{Policy, ServerKey};
use crate::engine::{Engine, Ran};
use crate::log::{Entry, Limiter, Named, Subject, Verdict};
use crate::state::document::{Accepted, Document};
use crate::status::{Picture, Portrait, Rules};
use crate::time::{Mono, SECOND_NS, Span};

/// Accepted calls that wait for a poll; more are refused until it comes.
const PENDING_MAX: usize = 10_000;
/// Configurations among them: each may hold a million servers.
const CONFIGURES_MAX: usize = 16;
/// Entries that wait for a host which is kept in a callback; beyond that calls are refused, and only the worker takes in more.
const OUTBOX_MAX: usize = 100_000;

/// Log numbers are reserved on disk in blocks of so many.
const SEQ_BLOCK: u64 = 10_000;
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
    Files(Done),
}

/// An accepted call, with the servers and the configuration that it brings.
pub struct Call {
    command: Command,
    placement: Option<(Arc<Servers>, Arc<Config>)>,
    /// An earlier life accepted it, and the credentials that it needs went with that life.
    interrupted: bool,
}

impl Call {
    /// The operation that it answers; 0, which is none, for other calls.
    fn op(&self) -> u64 {
        if let Command::Complete { op, .. } = &self.command { *op } else { 0 }
    }
}

/// An accepted call on its way to the engine.
struct Pending {
    call: Arc<Call>,
    waits: Waits,
}

/// What an accepted call waits for. Each was accepted for what the earlier ones bring, so they take effect in that order.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Waits {
    /// For this version to be on disk.
    Disk(u64),
    /// For the host to have kept its token. That may take long: later ones go before it, and are accepted as if it had not come.
    Host,
    /// For its turn.
    Turn,
    /// It is in the inbox.
    Nothing,
}

/// What waits to be delivered.
pub enum Delivery {
    /// An entry for `event`.
    Entry(Entry),
    /// An operation for `begin`, with the configuration that it was decided by.
    Begin(Operation, Option<Named>, Arc<Config>),
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
    /// To be said when monitoring begins.
    first_words: Vec<Subject>,
    /// Servers that go when their takeover is over.
    leaving: BTreeSet<String>,
    /// What the file worker is to do.
    pub errands: Errands,
    /// Credentials and tokens that wait for the operation or the disk that they are for.
    pub secrets: Secrets,
}

/// A version of the durable state, to be written with the lock dropped.
pub struct Snapshot {
    /// What is to be written.
    pub document: Document,
    version: u64,
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
            first_words: Vec::new(),
            leaving: BTreeSet::new(),
            errands: Errands::default(),
            secrets: Secrets::default(),
        }
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
                Ok(Message::Files(done)) => self.take_done(done, now),
                Err(_) => break,
            }
        }
    }

    /// Lets time act, after one more look for life signs of the servers about to fail.
    pub fn advance(&mut self, now: Now, ran: Ran) {
        if self.poisoned {
            return;
        }
        for key in self.engine.silent(now.mono) {
            let mailbox = self.servers.by_key(key).map(|entry| Arc::clone(&entry.mailbox));
            // All that is listed: the first of it may move the deadline less than the last.
            while let Some(mailbox) = mailbox.as_ref().filter(|mailbox| !mailbox.is_empty()) {
                self.take_mail(mailbox, now);
            }
        }
        let date = self.engine.last_daily_date();
        let mut out = self.decide();
        self.engine.advance(now.mono, ran, &mut out);
        // What is counted from has to outlive this life, though nothing happens at it.
        self.version += u64::from(self.engine.last_daily_date() != date);
        self.record(out, now);
    }

    /// When time acts next.
    pub fn next_wake(&self, now: Now) -> Option<Mono> {
        self.engine.next_wake(now.mono).into_iter().chain(self.write_again_at).min()
    }

    /// Goes on from what an earlier life left; only before the first start. An error says what does not fit together.
    pub fn recall(&mut self, document: Document) -> Result<(), String> {
        let (servers, config) = (Arc::clone(&self.servers), Arc::clone(&self.config));
        let addresses: BTreeMap<&str, (&str, u16)> =
            config.monitored_servers.iter().map(|s| (s.id.as_str(), (s.host.as_str(), s.port))).collect();
        let known = |id: &String| {
            document.addresses.get(id).is_none_or(|(host, port)| addresses.get(id.as_str()) == Some(&(host, *port)))
        };
        let key = |id: &String| servers.by_id(id).map(|entry| entry.mailbox.key()).filter(|_| known(id));
        // A server that went before its token did.
        let forgotten = document.memory.access().filter(|(id, _)| key(id).is_none());
        self.secrets.unwanted.extend(forgotten.map(|(id, op)| (op, id.as_str().into())));
        self.engine.recall(document.memory.renamed(key))?;
        self.leaving = document.leaving;
        for (id, op) in document.unwanted_tokens {
            self.secrets.unwanted.insert(op, id.into());
        }
        for accepted in document.accepted {
            let Some(command) = accepted::command(accepted, &self.servers) else { continue };
            if self.needs_token_of_host(&command) {
                continue;
            }
            let interrupted = needs_credentials(&command);
            let call = Arc::new(Call { command, placement: None, interrupted });
            self.pending.push_back(Pending { call, waits: Waits::Turn });
        }
        self.send_in_order();
        Ok(())
    }

    /// An accepted answer whose token the host may not have kept: its authorization was cut off.
    fn needs_token_of_host(&self, command: &Command) -> bool {
        let Command::Complete { op, outcome: Outcome::Ok, .. } = command else { return false };
        let kind = self.engine.operation(*op).map(|operation| operation.kind);
        self.secrets.with_host && kind == Some(OperationKind::Authorize)
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

    /// The servers whose takeover is over and which a configuration has dropped meanwhile.
    pub fn gone_servers(&self) -> Vec<String> {
        let over = |id: &&String| match self.servers.by_id(id) {
            Some(entry) => self.check_drop(entry.mailbox.key()).is_ok(),
            None => true,
        };
        self.leaving.iter().filter(over).cloned().collect()
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

    /// Whether all that was decided and accepted is on disk.
    pub fn is_saved(&self) -> bool {
        self.version == self.saved
    }

    /// Whether the token that this call brings is not on disk.
    pub fn lacks_token(&self, call: &Call) -> bool {
        self.secrets.is_due(call.op())
    }

    /// Whether this call is on disk, though the write that it waited for failed: the next one may have taken it along.
    pub fn is_on_disk(&self, version: u64) -> bool {
        self.saved >= version
    }

    /// Whether a panic has left half a decision, or may have.
    pub fn is_torn(&self) -> bool {
        self.poisoned || self.deciding
    }

    /// Whether all log numbers given out are reserved on disk.
    pub fn is_all_reserved(&self) -> bool {
        self.next_seq <= self.reserved_seq
    }

    /// What waits to be delivered and was not given to the log yet.
    pub fn take_unlogged(&mut self, also_unreserved: bool) -> Vec<Entry> {
        let until = if also_unreserved { self.next_seq } else { self.reserved_seq.min(self.next_seq) };
        let fresh = self.logged_seq..until;
        let entries = self.outbox.iter().rev().filter_map(|delivery| match delivery {
            Delivery::Entry(entry) => Some(entry),
            Delivery::Begin(..) => None,
        });
        // The new ones are at the end.
        let entries = entries.skip_while(|entry| entry.seq >= until).take_while(|entry| fresh.contains(&entry.seq));
        let mut entries: Vec<Entry> = entries.cloned().collect();
        entries.reverse();
        self.logged_seq = self.logged_seq.max(until);
        entries
    }

    /// The durable state as it stands.
    pub fn snapshot(&self) -> Snapshot {
        // A configuration that waits to be taken in is on disk already: what it removes is forgotten, also if it is added again.
        let placements = || self.pending.iter().filter_map(|pending| pending.call.placement.as_ref());
        let stays = |key| placements().all(|(to, _)| to.has(key));
        let id =
            |key: &ServerKey| self.servers.by_key(*key).filter(|_| stays(*key)).map(|entry| entry.named.id.to_string());
        let memory = self.engine.remember().renamed(id);
        let unwanted = self.secrets.unwanted.iter().map(|(op, id)| (id.to_string(), *op));
        let gone = placements().flat_map(|(to, _)| self.access().into_iter().filter(|(key, ..)| !to.has(*key)));
        let gone = gone.map(|(_, id, op)| (id.to_string(), op));
        let known: BTreeSet<&str> = memory.servers().map(String::as_str).collect();
        let known = self.config.monitored_servers.iter().filter(|server| known.contains(server.id.as_str()));
        let document = Document {
            addresses: known.map(|server| (server.id.clone(), (server.host.clone(), server.port))).collect(),
            next_id: self.engine.next_free_id() + ID_MARGIN,
            reserved_seq: self.next_seq + SEQ_BLOCK,
            accepted: self.commands(|_| true).filter_map(|command| accepted::of(command, &self.servers)).collect(),
            leaving: self.leaving.clone(),
            unwanted_tokens: unwanted.chain(gone).collect(),
            memory,
        };
        Snapshot { document, version: self.version }
    }

    /// This version is on disk now.
    pub fn was_saved(&mut self, snapshot: &Snapshot, now: Now) {
        self.saved = self.saved.max(snapshot.version);
        self.reserved_seq = self.reserved_seq.max(snapshot.document.reserved_seq);
        self.reserved_id = self.reserved_id.max(snapshot.document.next_id);
        if self.write_again_at.take().is_some() {
            self.feed(Input::Writable, now);
            // Whoever was blocked by that has its turn now, whether or not a timer runs.
            self.look_again = true;
        }
        let (durable, later) = std::mem::take(&mut self.unconfirmed).into_iter().partition(|(at, _)| *at <= self.saved);
        self.unconfirmed = later;
        for (_, accepted) in durable {
            self.number(None, Subject::Accepted(accepted), now);
        }
        let saved = self.saved;
        for pending in &mut self.pending {
            pending.waits = match pending.waits {
                Waits::Disk(version) if version <= saved && !self.secrets.is_due(pending.call.op()) => Waits::Turn,
                waits => waits,
            };
        }
        self.send_in_order();
    }

    /// It could not be written. True if that is news.
    pub fn was_not_saved(&mut self, now: Now) -> bool {
        self.write_again_at.replace(now.mono + WRITE_RETRY).is_none()
    }

    /// Whether a write is worth trying: always, but for one that failed a moment ago.
    pub fn may_write(&self, now: Now) -> bool {
        self.write_again_at.is_none_or(|at| at <= now.mono)
    }

    /// The intent of this operation could not be written: the host is not asked.
    pub fn take_back(&mut self, op: u64, now: Now) {
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
                (entry.at, entry.utc_ms) = (now.mono, now.utc_ms);
            }
        }
        self.forget_errands();
        let mut out = self.decide();
        self.engine.start(now.mono, &mut out);
        self.record(out, now);
    }

    /// Monitoring ends.
    pub fn stop(&mut self) {
        self.engine.stop();
    }

    /// Accepts a call; it is taken in with the rest of the inbox once it is sent. False if it needs no place on disk.
    pub fn accept(
        &mut self,
        command: Command,
        placement: Option<(Arc<Servers>, Arc<Config>)>,
    ) -> Result<(Arc<Call>, bool), Refused> {
        if let Command::Complete { op, outcome, .. } = &command {
            if let Err(refusal) = self.check(&command) {
                if !self.engine.gave_up(*op) || !self.late.insert(*op) {
                    return Err(Refused::By(refusal));
                }
                // Never blocks: the channel has no bound of its own, the operations given up have.
                let _ = self.sender.send(Message::LateAnswer(*op, *outcome));
                return Err(Refused::Late);
            }
        } else if self.has_no_room(placement.is_some()) || command.request().is_some_and(|id| id >= self.reserved_id) {
            return Err(Refused::Full);
        } else {
            self.check(&command).map_err(Refused::By)?;
        }
        let durable = accepted::of(&command, &self.servers).is_some();
        // What a configuration removes is left out of the state from now on.
        self.version += u64::from(durable || placement.is_some());
        if let Command::Complete { op, .. } = &command {
            self.engine.awaits_answer(*op, true);
        }
        let call = Arc::new(Call { command, placement, interrupted: false });
        let waits = if durable { Waits::Disk(self.version) } else { Waits::Turn };
        self.pending.push_back(Pending { call: Arc::clone(&call), waits });
        Ok((call, durable))
    }

    /// An accepted call waits for nothing but those before it; if it still did.
    pub fn send(&mut self, call: &Arc<Call>) {
        if let Some(pending) = self.pending_mut(call).filter(|pending| pending.waits != Waits::Nothing) {
            pending.waits = Waits::Turn;
        }
        self.send_in_order();
    }

    /// An accepted call goes before those that wait still: nothing depends on their order.
    pub fn send_at_once(&mut self, call: &Arc<Call>) {
        self.pending_mut(call).into_iter().for_each(|pending| pending.waits = Waits::Nothing);
        // Also in the middle of taking in: then nobody else comes along to look. Here and below.
        self.look_again = true;
        let _ = self.sender.send(Message::Call(Arc::clone(call)));
    }

    /// Puts what waits for nothing any more behind what was reported before it.
    fn send_in_order(&mut self) {
        for pending in &mut self.pending {
            match pending.waits {
                Waits::Disk(_) => break,
                Waits::Host | Waits::Nothing => continue,
                Waits::Turn => pending.waits = Waits::Nothing,
            }
            self.look_again = true;
            // Never blocks: the channel has no bound of its own, the accepted calls have.
            let _ = self.sender.send(Message::Call(Arc::clone(&pending.call)));
        }
    }

    fn pending_mut(&mut self, call: &Arc<Call>) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| Arc::ptr_eq(&pending.call, call))
    }

    /// An accepted answer takes effect once the host has kept its token.
    pub(super) fn waits_for_host(&mut self, call: &Arc<Call>) {
        self.pending_mut(call).into_iter().for_each(|pending| pending.waits = Waits::Host);
    }

    /// An accepted call is refused after all: it could not be written.
    pub fn withdraw(&mut self, call: &Arc<Call>) {
        self.pending.retain(|pending| !Arc::ptr_eq(&pending.call, call));
        self.send_in_order();
        self.version += 1;
        if let Command::Complete { op, .. } = &call.command {
            self.engine.awaits_answer(*op, false);
            self.secrets.forget_token(*op);
        }
    }

    /// Says it when this call is on disk: its caller could not wait.
    pub fn confirm_later(&mut self, call: &Call) {
        if let Some(accepted) = accepted::of(&call.command, &self.servers) {
            self.unconfirmed.push((self.version, accepted));
        }
    }

    fn has_no_room(&self, for_configure: bool) -> bool {
        let configures = || self.pending.iter().filter(|pending| pending.call.placement.is_some()).count();
        self.is_full() || self.pending.len() >= PENDING_MAX || (for_configure && configures() >= CONFIGURES_MAX)
    }

    /// The commands of accepted calls that wait for this.
    fn commands(&self, counts: fn(Waits) -> bool) -> impl Iterator<Item = &Command> + Clone {
        let pending = self.pending.iter().filter(move |pending| counts(pending.waits));
        pending.map(|pending| &pending.call.command)
    }

    /// Whether a call would be accepted.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Complete { .. } | Command::Progress { .. } => {
                self.engine.accepts(self.commands(|_| true), command)
            }
            // It takes effect at once, before those that wait, and they after it.
            Command::Configure(_) => {
                self.engine.accepts(self.commands(|waits| waits == Waits::Nothing), command)?;
                self.engine.accepts(self.commands(|_| true), command)
            }
            _ => self.engine.accepts(self.commands(|waits| waits != Waits::Host), command),
        }
    }

    /// Whether this server may be removed or readdressed.
    pub fn check_drop(&self, server: ServerKey) -> Result<(), Refusal> {
        self.engine.accepts_drop(server, self.commands(|waits| waits == Waits::Nothing))?;
        self.engine.accepts_drop(server, self.commands(|_| true))
    }

    /// Puts another call in the place of an accepted one, and sends it.
    pub(super) fn replace(&mut self, call: &Arc<Call>, command: Command) {
        let other = Arc::new(Call { command, placement: None, interrupted: false });
        if let Some(pending) = self.pending_mut(call) {
            pending.call = Arc::clone(&other);
        }
        self.has_changed();
        self.send(&other);
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
        self.outbox.retain(|delivery| matches!(delivery, Delivery::Entry(_)));
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
        let (lost, event) = mailbox.take();
        // Posted by a thread that stalled while the server was removed: its key may be another's by now.
        if !self.is_current(mailbox) {
            return;
        }
        lost.into_iter().chain(event).for_each(|input| self.feed(input, now));
        let only = self.engine.keep_alive_only_rearms(mailbox.key());
        self.look_again |= mailbox.set_keep_alive_only_rearms(only);
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
            return self.feed(input_of(call), now);
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
            self.errands.forget.extend(old.by_key(key).map(|entry| entry.named.handle));
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
        self.outbox.push_back(Delivery::Entry(Entry { seq, at: now.mono, utc_ms: now.utc_ms, server, subject }));
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

fn needs_credentials(command: &Command) -> bool {
    matches!(command, Command::Authorize { .. } | Command::JoinCluster { .. })
}

/// Whether a later life has to know of it. The rest is seen again from what lies on the disk.
fn is_kept(what: &What) -> bool {
    match what {
        What::Note(note) => {
            matches!(note, Note::Claimed | Note::RunBegun { .. } | Note::RunEnded { .. } | Note::BackupSeen { .. })
        }
        What::Files(ask) => matches!(ask, Ask::Prepare { .. } | Ask::Publish { .. }),
        _ => true,
    }
}

/// Why a call was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By the rules.
    By(Refusal),
    /// Too much waits already.
    Full,
    /// The operation was given up; its late answer is taken in all the same.
    Late,
}

impl Refused {
    /// The result code.
    pub fn code(self) -> abi::vmsf_result {
        use crate::engine::output::Block;
        match self {
            Refused::Full | Refused::By(Refusal::Running(_) | Refusal::BackingUpAll) => abi::VMSF_ERR_BUSY,
            Refused::By(Refusal::SlotHeld(_) | Refusal::WrongState(_)) => abi::VMSF_ERR_STATE,
            Refused::By(Refusal::Blocked(Block::NotInCluster)) => abi::VMSF_ERR_NOT_IN_CLUSTER,
            Refused::By(Refusal::Blocked(Block::NotAuthorized)) => abi::VMSF_ERR_NOT_AUTHORIZED,
            Refused::By(Refusal::Blocked(Block::StateNotWritable)) => abi::VMSF_ERR_IO,
            Refused::By(Refusal::Blocked(Block::NoBackup)) => abi::VMSF_ERR_NO_BACKUP,
            Refused::Late | Refused::By(Refusal::NoSuchOperation) => abi::VMSF_ERR_NOT_FOUND,
            // Its handle was good, so the configuration that brings it has not been taken in yet.
            Refused::By(Refusal::NoSuchServer) => abi::VMSF_ERR_BUSY,
        }
    }
}
