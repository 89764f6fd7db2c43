//! One running instance: its clock, its lock, its inbox, and the thread (or `poll`) that delivers what the engine decides.
//!
//! Data goes one way: a message is posted, taken in under the core's lock, decided by the engine, numbered, and delivered to the host with no
//! lock held, one thing at a time, in order. Only this room knows a clock, a thread, a channel or a lock. It never touches a host pointer:
//! that is behind `Host`. Called by `ffi` alone.

mod accepted;
mod calls;
pub mod clock;
pub mod configure;
mod core;
mod durable;
mod errands;
pub mod files;
mod inbox;
pub mod life_signs;
mod reading;
mod request;
pub mod secrets;
mod servers;
#[cfg(test)]
mod tests;
pub mod trace;
mod worker;

use std::any::Any;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use crossbeam_channel::Sender;
use parking_lot::{Mutex, RwLock};
use vms_failover_abi as abi;

use self::clock::{Clock, SleepWatch};
pub use self::core::Numbers;
use self::core::{Core, Delivery, Message, Now};
use self::errands::SecretOf;
use self::files::Files;
use self::inbox::Posted;
use self::life_signs::Slots;
use self::secrets::Keeper;
pub use self::servers::Performs;
use self::servers::Servers;
use self::worker::Worker;
use crate::backup::Syncing;
use crate::config::Config;
use crate::diagnostics;
use crate::engine::Ran;
use crate::engine::health::EventKind;
use crate::engine::output::{Operation, Outcome};
use crate::engine::policy::ServerKey;
use crate::error::Error;
use crate::log::store::LogStore;
use crate::log::{Entry, Named, Subject, Words};
use crate::secret::Secret;
use crate::state::Store;
use crate::state::document::Document;
use crate::state::tokens::Tokens;
use crate::time::{Mono, Span};

/// A callback longer than this is an alarm.
const HOST_SLOW: Duration = Duration::from_millis(100);
/// Threads that have done nothing yet end within this.
const END_AT_ONCE: Duration = Duration::from_secs(10);
/// Inside a callback and after a poll, work that is due at once.
const AT_ONCE: u64 = 0;

/// How long the host's code took.
fn timed(call: impl FnOnce()) -> Duration {
    let began = Instant::now();
    call();
    began.elapsed()
}

/// The host, as this room sees it. Implemented by `ffi::host`.
pub trait Host: Send + Sync {
    /// Delivers an entry.
    fn event(&self, entry: &Entry, words: &Words);
    /// Asks for an operation; wipes its secret.
    fn begin(&self, begin: Begin);
    /// Asks for an earlier poll.
    fn wake(&self, next_ns: u64);
    /// The most detailed level that the host wants to read.
    fn log_level(&self) -> log::LevelFilter;
    /// A line of the diagnostic log.
    fn log(&self, level: log::Level, target: &str, text: &str);
    /// Whether this thread is in one of the host's callbacks: it must not wait for the disk there.
    fn is_calling_back(&self) -> bool;
}

/// An operation as it is handed to the host.
#[derive(Debug)]
pub struct Begin {
    /// VMSF_OP_.
    pub kind: u32,
    /// Begun before the last stop already.
    pub resumed: bool,
    /// Failed attempts before this one.
    pub attempt: u32,
    /// Its id.
    pub id: u64,
    /// When it is given up, in ns.
    pub deadline_ns: u64,
    /// The server's handle.
    pub server: abi::vmsf_server,
    /// The request.
    pub json: String,
    /// Credentials or token; wiped when the callback has returned.
    pub secret: Option<Secret>,
}

/// What the host answers to an operation.
#[derive(Debug)]
pub struct Answer {
    /// How it ended.
    pub outcome: Outcome,
    /// What went wrong, if it did.
    pub error: Option<String>,
    /// What an `authorize` brought, or why it cannot be read.
    pub token: Result<Option<Secret>, Error>,
}

/// A server whose token is gone has to be authorized again; a token of no server's is deleted.
fn reconcile(core: &mut Core, tokens: &Tokens) {
    let access = core.access();
    // Answers that were accepted and not taken in yet bring theirs along.
    let answered = core.answered();
    let wanted = access.iter().map(|(_, id, op)| (&**id, *op)).chain(answered.iter().map(|(id, op)| (&**id, *op)));
    if let Err(error) = tokens.keep_only(&wanted.collect::<Vec<_>>()) {
        // On a full disk. No operation is given one that is not its own: each is asked for by what brought it.
        log::warn!("tokens of no server's stay until the next start: {}", error.text);
    }
    for (key, id, op) in access {
        if !tokens.has(&id, op) {
            log::warn!("the token of server '{id}' is gone: authorize it again");
            core.no_token(key);
        }
    }
}

/// What an earlier life left in the state directory, and where this one writes.
pub struct Kept {
    /// The state directory.
    pub store: Store,
    /// Who keeps the tokens.
    pub keeper: Keeper,
    /// The log in it.
    pub log: LogStore,
    /// Where this life's numbers begin.
    pub numbers: Numbers,
    /// The durable state; None in a fresh directory.
    pub document: Option<Document>,
    /// To be said when monitoring begins.
    pub first_words: Vec<Subject>,
}

/// Whether an instance monitors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// It does not.
    Stopped = 0,
    /// It does.
    Running = 1,
    /// A stop is in force and has not come to its end.
    Stopping = 2,
}

/// One instance.
pub struct Runtime {
    host: Arc<dyn Host>,
    clock: Clock,
    store: Store,
    keeper: Keeper,
    files: Arc<Files>,
    /// Where keep-alives go. None with a driving host, or where too many instances have them.
    slots: Option<Slots>,
    /// What is synced of the backups.
    syncing: Syncing,
    performs: Performs,
    /// Held by whoever changes the configuration.
    configuring: Mutex<()>,
    /// Held by whoever writes the state, by way of `writing`.
    writing: Mutex<()>,
    /// None once the instance has ended.
    log: Mutex<Option<LogStore>>,
    log_fails: AtomicBool,
    tokens_fail: AtomicBool,
    life: AtomicU8,
    servers: RwLock<Arc<Servers>>,
    config: RwLock<Arc<Config>>,
    /// Started, and not polled since.
    start_due: AtomicBool,
    sender: Sender<Message>,
    core: Mutex<Core>,
    /// Held by whoever delivers: the worker, `poll`, or `stop`.
    delivering: Mutex<SleepWatch>,
    /// What `poll` said last as `next_ns`; nobody needs to be woken for later work.
    next_poll_ns: AtomicU64,
    waker: worker::Waker,
    worker: Mutex<Option<Worker>>,
    writer_waker: worker::Waker,
    writer: Mutex<Option<Worker>>,
    /// The words of the panic.
    poisoned: OnceLock<String>,
}

impl Runtime {
    /// An instance in state stopped, going on from what `kept` says.
    pub fn new(
        host: Arc<dyn Host>,
        clock: Clock,
        kept: Kept,
        config: Config,
        performs: Performs,
    ) -> Result<Arc<Runtime>, Error> {
        let Kept { store, keeper, log, numbers, document, first_words } = kept;
        let slots = matches!(clock, Clock::System).then(Slots::lease).flatten();
        let servers = Arc::new(Servers::default().placed(&config, slots.as_ref()));
        let config = Arc::new(config);
        let policy = servers::policy(&config, None, &servers, performs);
        let mut core = Core::new(policy, Arc::clone(&servers), Arc::clone(&config), numbers);
        let has_token = |id: &str, op| matches!(&keeper, Keeper::Files(tokens) if tokens.has(id, op));
        core.secrets.with_host = matches!(keeper, Keeper::Host(_));
        if matches!(clock, Clock::System) {
            core.has_worker();
        }
        first_words.into_iter().for_each(|subject| core.say_at_start(subject));
        if let Some(document) = document {
            core.recall(document, has_token).map_err(|why| {
                Error::new(
                    abi::VMSF_ERR_STATE_DAMAGED,
                    format!("the durable state contradicts itself: {why}; give a new state directory"),
                )
            })?;
        }
        if let Keeper::Files(tokens) = &keeper {
            reconcile(&mut core, tokens);
        }
        let driven = matches!(clock, Clock::Driven { .. });
        let syncing = Runtime::syncing(driven, store.is_durable());
        let runtime = Arc::new(Runtime {
            keeper,
            files: Files::new(),
            slots,
            syncing,
            performs,
            host,
            clock,
            store,
            configuring: Mutex::new(()),
            writing: Mutex::new(()),
            log: Mutex::new(Some(log)),
            log_fails: AtomicBool::new(false),
            tokens_fail: AtomicBool::new(false),
            life: AtomicU8::new(Life::Stopped as u8),
            servers: RwLock::new(servers),
            config: RwLock::new(config),
            start_due: AtomicBool::new(false),
            sender: core.sender(),
            core: Mutex::new(core),
            delivering: Mutex::new(SleepWatch::default()),
            next_poll_ns: AtomicU64::new(AT_ONCE),
            waker: worker::Waker::default(),
            worker: Mutex::new(None),
            writer_waker: worker::Waker::default(),
            writer: Mutex::new(None),
            poisoned: OnceLock::new(),
        });
        // Reserves the numbers of this life before any is used.
        runtime.commit()?;
        Ok(runtime)
    }

    /// The handle that the host knows it by.
    pub fn is_known_as(&self, plugin: abi::vmsf_plugin) {
        self.slots.iter().for_each(|slots| slots.belong_to(plugin));
    }

    /// Begins to monitor.
    pub fn start(self: &Arc<Self>) -> Result<(), Error> {
        if self.life() != Life::Stopped {
            return Err(Error::new(abi::VMSF_ERR_STATE, "start is possible only in state stopped: stop first"));
        }
        self.next_poll_ns.store(AT_ONCE, Ordering::Release);
        if self.is_driven() {
            let mut core = self.core.lock();
            // What was reported before the last stop says nothing of now.
            core.take_in(self.now());
            // Only the first poll knows what time it is.
            self.start_due.store(true, Ordering::Release);
            self.set_life(Life::Running);
        } else {
            self.start_threads()?;
            let now = self.now();
            {
                let mut core = self.core.lock();
                core.take_in(now);
                core.start(now);
                self.set_life(Life::Running);
                if !self.is_poisoned() {
                    self.slots.iter().for_each(Slots::open);
                }
            }
            self.waker.wake();
        }
        log::info!("started");
        Ok(())
    }

    /// Ends monitoring; what is queued is delivered first.
    pub fn stop(&self, timeout: Duration) -> Result<(), Error> {
        if self.is_stopped() {
            return Ok(());
        }
        {
            let mut core = self.core.lock();
            // From here on nothing new is accepted; what was, takes effect: an answered operation is not begun again at the next start.
            self.slots.iter().for_each(Slots::close);
            self.set_life(Life::Stopping);
            self.start_due.store(false, Ordering::Release);
            core.take_in(self.now());
            core.hear_out(self.now());
            core.stop();
        }
        let until = Instant::now() + timeout;
        let ended = if self.is_driven() { self.deliver_the_rest(until) } else { self.end_threads(until) };
        let ended = ended && self.end_file_worker(until);
        if !ended {
            let ms = timeout.as_millis();
            let text = format!("a callback of the host, or the disk, did not return within {ms} ms: call stop again");
            return Err(Error::new(abi::VMSF_ERR_TIMEOUT, text));
        }
        self.take_in_the_rest();
        // What the last callbacks brought; what cannot be written now is found in the log of the host.
        let _ = self.commit();
        {
            let mut core = self.core.lock();
            // Of what was brought while the threads ended, and nobody delivers any more: the next start begins it again.
            core.forget_begins();
            core.secrets.forget_all_credentials();
        }
        self.set_life(Life::Stopped);
        log::info!("stopped");
        Ok(())
    }

    /// They do nothing before the life is a running one: a failure here leaves everything as it was.
    fn start_threads(self: &Arc<Self>) -> Result<(), Error> {
        let spawn = |name, work| {
            Worker::spawn(name, Arc::clone(self), work).map_err(|error| {
                Error::new(abi::VMSF_ERR_INTERNAL, format!("the thread {name} cannot be started: {error}"))
            })
        };
        let worker = spawn("vms-failover", Runtime::work_guarded)?;
        *self.worker.lock() = Some(worker);
        let writer = spawn("vms-failover-w", Runtime::write_guarded).map(|writer| *self.writer.lock() = Some(writer));
        let started = writer.and_then(|()| self.start_file_worker());
        if started.is_err() {
            self.end_threads(Instant::now() + END_AT_ONCE);
        }
        started
    }

    /// Ends the worker, which delivers what waits, and the writer.
    fn end_threads(&self, until: Instant) -> bool {
        end_thread(&self.worker, &self.waker, until) && end_thread(&self.writer, &self.writer_waker, until)
    }

    /// What the file worker brought last, and what that sends on: the answer to an authorization whose token the host has kept by now.
    fn take_in_the_rest(&self) {
        let mut core = self.core.lock();
        while !core.inbox_is_empty() && !self.is_poisoned() {
            core.take_in(self.now());
        }
    }

    fn start_file_worker(self: &Arc<Self>) -> Result<(), Error> {
        // They must not keep alive what they work for.
        let (done, panicked) = (Arc::downgrade(self), Arc::downgrade(self));
        let sink = move |result| {
            if let Some(runtime) = done.upgrade() {
                runtime.file_work_done(result);
            }
        };
        let panicked = move |text: String| {
            if let Some(runtime) = panicked.upgrade() {
                runtime.poison(&text);
            }
        };
        let host = Arc::clone(&self.host);
        let enter = move || Box::new(diagnostics::enter(Arc::clone(&host))) as Box<dyn Any>;
        self.files.start(Arc::new(sink), Arc::new(panicked), Arc::new(enter)).map_err(|error| {
            Error::new(abi::VMSF_ERR_INTERNAL, format!("the threads for files cannot be started: {error}"))
        })
    }

    /// What waits is dropped: the next start asks for it again.
    fn end_file_worker(&self, until: Instant) -> bool {
        if self.is_driven() {
            self.files.clear();
            return true;
        }
        self.files.end();
        self.files.ended_by(until)
    }

    fn life(&self) -> Life {
        match self.life.load(Ordering::Acquire) {
            0 => Life::Stopped,
            1 => Life::Running,
            _ => Life::Stopping,
        }
    }

    fn set_life(&self, life: Life) {
        self.life.store(life as u8, Ordering::Release);
    }

    /// Whether it is stopped.
    pub fn is_stopped(&self) -> bool {
        self.life() == Life::Stopped
    }

    /// Moves a driven clock and does what is due.
    pub fn poll(&self, now_ns: u64, utc_ms: i64) -> Result<u64, Error> {
        if !self.is_driven() {
            return Err(Error::new(
                abi::VMSF_ERR_UNSUPPORTED,
                "poll needs VMSF_HOST_DRIVES: the plugin has a worker of its own",
            ));
        }
        let busy = || Error::new(abi::VMSF_ERR_BUSY, "another poll or stop runs");
        let _delivering = self.delivering.try_lock().ok_or_else(busy)?;
        if self.life() != Life::Running {
            return Err(Error::new(abi::VMSF_ERR_STATE, "poll is possible only while running: start first"));
        }
        if now_ns == 0 {
            return Err(Error::new(abi::VMSF_ERR_INVALID, "now_ns is 0: time begins at 1"));
        }
        let mono = self.clock.drive(Mono(now_ns), utc_ms);
        // From here on a call that brings work wakes again.
        self.next_poll_ns.store(abi::VMSF_NEVER, Ordering::Release);
        self.file_slice();
        self.turn(Ran::default());
        self.deliver_what_waits();
        self.follow_the_configuration();
        self.commit_what_changed();
        let next = self.next_poll(mono);
        // A call since the poll began has found VMSF_NEVER and woken the host already: once is enough.
        let _ = self.next_poll_ns.compare_exchange(abi::VMSF_NEVER, next, Ordering::AcqRel, Ordering::Acquire);
        Ok(next)
    }

    fn next_poll(&self, now: Mono) -> u64 {
        let core = self.core.lock();
        if self.files.has_work() {
            return now.0;
        }
        if !core.inbox_is_empty() || core.outbox_len() > 0 || core.must_look_again() {
            return now.0;
        }
        core.next_wake(self.now()).map_or(abi::VMSF_NEVER, |at| at.0)
    }

    /// Reports an event of a server. `at` None is now. Keep-alives come here where `life_signs` does not take them.
    pub fn notify(&self, server: abi::vmsf_server, kind: EventKind, at: Option<Mono>) -> Result<(), Error> {
        let entry = self.servers.read().by_handle(server).map(|entry| Arc::clone(&entry.mailbox));
        let mailbox = entry.ok_or_else(|| Error::new(abi::VMSF_ERR_HANDLE, ""))?;
        if self.life() != Life::Running {
            return Err(Error::new(abi::VMSF_ERR_STATE, ""));
        }
        let at = at.unwrap_or_else(|| self.now_for_events());
        let posted = mailbox.post(kind, at);
        if posted == Posted::Listed {
            // Never blocks: the channel has no bound of its own, the lists have.
            let _ = self.sender.send(Message::Mail(Arc::clone(&mailbox)));
        }
        // Read after posting: see `set_keep_alive_only_rearms`.
        if kind != EventKind::KeepAlive || !mailbox.keep_alive_only_rearms() {
            self.rouse();
        }
        if posted == Posted::Full { Err(Error::new(abi::VMSF_ERR_BUSY, "")) } else { Ok(()) }
    }

    /// When an unstamped event happened. Between a start and the first poll a driven clock still shows the last run's time, so it is the
    /// first poll's, to which later stamps are cut.
    fn now_for_events(&self) -> Mono {
        if self.start_due.load(Ordering::Acquire) { Mono(u64::MAX) } else { self.clock.now() }
    }

    /// Takes in what was reported, where the time is known (with VMSF_HOST_DRIVES only the next poll knows it) and there is room for what
    /// comes of it.
    fn catch_up(&self, core: &mut Core) {
        if (!self.is_driven() || self.is_stopped()) && !core.is_full() {
            core.take_in(self.now());
        }
    }

    fn key(&self, server: abi::vmsf_server) -> Result<ServerKey, Error> {
        let entry = self.servers.read().by_handle(server).map(|entry| entry.mailbox.key());
        entry.ok_or_else(|| Error::new(abi::VMSF_ERR_HANDLE, ""))
    }

    /// Whether a handle is that of a monitored server.
    pub fn check_server(&self, server: abi::vmsf_server) -> Result<(), Error> {
        self.key(server).map(|_| ())
    }

    fn is_driven(&self) -> bool {
        matches!(self.clock, Clock::Driven { .. })
    }

    fn now(&self) -> Now {
        Now { mono: self.clock.now(), utc_ms: self.clock.utc_ms() }
    }

    /// Has somebody look at what was just reported.
    fn rouse(&self) {
        if self.life() != Life::Running {
            return;
        }
        if !self.is_driven() {
            self.waker.wake();
        } else if self.next_poll_ns.swap(AT_ONCE, Ordering::AcqRel) > self.clock.now().0 {
            self.host.wake(AT_ONCE);
        }
    }

    /// Takes in what was reported and lets time act.
    fn turn(&self, ran: Ran) {
        let mut core = self.core.lock();
        // A stop in force has taken in the last; nothing is declared after it.
        if self.life() != Life::Running {
            return;
        }
        let now = self.now();
        if self.start_due.swap(false, Ordering::AcqRel) {
            core.start(now);
        }
        core.take_in(now);
        core.advance(now, ran);
        drop(core);
        self.post_errands();
    }

    /// Delivers what waits now and nothing that comes of it, each thing with no lock held.
    fn deliver_what_waits(&self) {
        let waiting = {
            let mut core = self.core.lock();
            core.release_begins(self.now());
            core.outbox_len()
        };
        if waiting > 0 {
            self.log_before_delivery();
        }
        for _ in 0..waiting {
            let Some(delivery) = self.core.lock().pop() else { break };
            // What the plugin itself needs, a look at the disk for one, is none of the host's time.
            let took = match delivery {
                Delivery::Entry(entry) => {
                    let words = entry.words();
                    timed(|| {
                        diagnostics::mirror(&entry, &words);
                        self.host.event(&entry, &words);
                    })
                }
                Delivery::Begin(operation, ..) if self.is_driven() && !self.is_intent_on_disk(&operation) => continue,
                Delivery::Begin(operation, named, config) => {
                    let Some(secret) = self.secret_of(&operation, named.as_ref()) else { continue };
                    let begin = request::begin(&operation, named.as_ref(), &config, secret);
                    timed(|| self.host.begin(begin))
                }
            };
            self.callback_took(took);
        }
    }

    /// None for an operation that is over or answered.
    fn secret_of(&self, operation: &Operation, server: Option<&Named>) -> Option<Option<Secret>> {
        let secret = self.core.lock().secret_of(operation, server)?;
        Some(match secret {
            SecretOf::None => None,
            SecretOf::Here(secret) => Some(secret),
            SecretOf::Token(id, by) => match &self.keeper {
                Keeper::Files(tokens) => tokens.get(&id, by),
                Keeper::Host(_) => None,
            },
        })
    }

    /// Virtual time does not say how long a callback took, so only the worker judges it. During a stop the alarm may still be raised; that it
    /// ended is said in the next run, so that a host which is slow now and then cannot keep a stop from its end.
    fn callback_took(&self, took: Duration) {
        let slow = took > HOST_SLOW;
        if !self.is_driven() && (slow || self.life() == Life::Running) {
            let span = Span(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX));
            self.core.lock().callback_took(span, slow, self.now());
        }
    }

    /// Delivers until nothing waits: a stop is in force, so only the alarm for a slow host can come of it.
    fn deliver_all(&self) {
        loop {
            // Also where nothing waits yet: begins whose intent has come to disk do from then on.
            self.deliver_what_waits();
            if self.core.lock().outbox_len() == 0 {
                return;
            }
        }
    }

    fn deliver_the_rest(&self, until: Instant) -> bool {
        let Some(_delivering) = self.delivering.try_lock_until(until) else { return false };
        self.deliver_all();
        true
    }

    /// Whether a panic has ended its work.
    pub fn is_poisoned(&self) -> bool {
        self.poisoned_by().is_some()
    }

    /// The words of the panic that has ended its work.
    pub fn poisoned_by(&self) -> Option<&str> {
        self.poisoned.get().map(String::as_str)
    }

    /// A panic was caught: nothing is begun any more, and one last event says why.
    pub fn poison(&self, why: &str) {
        let close = || self.slots.iter().for_each(Slots::close);
        close();
        if self.poisoned.set(why.to_owned()).is_ok() {
            let now = self.now();
            {
                let mut core = self.core.lock();
                // Once more: a start may have opened them meanwhile, with the lock held.
                close();
                core.poison(why.to_owned(), now);
            }
            self.rouse();
        }
    }

    /// Delivers the last event of a poisoned instance, inside `poll`.
    pub fn poll_poisoned(&self) {
        // Asked with the lock held, under which `stop` delivers: nothing is delivered behind a stop.
        let delivering = self.delivering.try_lock();
        if delivering.is_some() && self.life() == Life::Running {
            self.deliver_what_waits();
        }
    }
}

fn end_thread(thread: &Mutex<Option<Worker>>, waker: &worker::Waker, until: Instant) -> bool {
    let mut thread = thread.lock();
    let Some(running) = thread.as_ref() else { return true };
    running.end();
    waker.wake();
    if !running.ended_by(until) {
        return false;
    }
    if let Some(ended) = thread.take() {
        ended.join();
    }
    true
}
