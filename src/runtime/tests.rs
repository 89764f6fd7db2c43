//! What only a test inside can bring about: a panic in the worker, a thread that stalls in the middle of `notify`, and a look at what the worker
//! goes by.

use std::cell::RefCell;
use std::fs;
use std::path::PathBuf;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use vms_failover_abi as abi;

use super::clock::Clock;
use super::configure::Rejected;
use super::core::{Call, Message};
use super::secrets::{Keeper, SecretStore};
use super::{Answer, Begin, Host, Kept, Numbers, Performs, Runtime};
use crate::config::Config;
use crate::diagnostics;
use crate::engine::Ran;
use crate::engine::command::Command;
use crate::engine::health::EventKind;
use crate::engine::output::{OperationKind, Outcome};
use crate::engine::policy::ServerKey;
use crate::error::Error;
use crate::log::store::LogStore;
use crate::log::{Entry, Words};
use crate::secret::Secret;
use crate::state::tests::steps::watched;
use crate::state::{Durability, Store};

const PATIENCE: Duration = Duration::from_secs(20);

/// A host that passes on the kinds of its events, and panics in the first.
struct Fragile {
    events: Sender<u32>,
    panics_left: AtomicUsize,
    begun: AtomicUsize,
    /// Of each begin: its operation, whether it is resumed, and whether it has a secret.
    begins: Mutex<Vec<(u64, bool, bool)>>,
    /// What it was told in its log, and whether somebody was writing the state then.
    lines: Mutex<Vec<(String, bool)>>,
    is_calling_back: AtomicBool,
    runtime: OnceLock<Weak<Runtime>>,
}

impl Host for Fragile {
    fn event(&self, _: &Entry, words: &Words) {
        let _ = self.events.send(words.kind);
        if self.panics_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("injected");
        }
    }
    fn begin(&self, begin: Begin) {
        self.begins.lock().push((begin.id, begin.resumed, begin.secret.is_some()));
        self.begun.fetch_add(1, Ordering::SeqCst);
    }
    fn wake(&self, _: u64) {}
    fn log_level(&self) -> log::LevelFilter {
        log::LevelFilter::Info
    }
    fn log(&self, _: log::Level, _: &str, text: &str) {
        let runtime = self.runtime.get().and_then(Weak::upgrade);
        self.lines.lock().push((text.to_owned(), runtime.is_some_and(|runtime| runtime.writing.is_locked())));
    }
    fn is_calling_back(&self) -> bool {
        self.is_calling_back.load(Ordering::SeqCst)
    }
}

struct Bench {
    runtime: Arc<Runtime>,
    host: Arc<Fragile>,
    events: Receiver<u32>,
    root: TempDir,
}

fn config(ids: &[&str]) -> Config {
    let servers: Vec<_> = ids.iter().map(|id| json!({ "id": id, "host": format!("{id}.example") })).collect();
    let document = json!({ "schema": 1, "backup_directory": "/b", "store_path": "/s", "monitored_servers": servers });
    Config::check(&document).unwrap()
}

fn bench(clock: Clock, panics: usize) -> Bench {
    bench_in(tempfile::tempdir().unwrap(), clock, panics, |_| {})
}

fn bench_in(root: TempDir, clock: Clock, panics: usize, change: impl FnOnce(&mut Kept)) -> Bench {
    let store = Store::open(root.path(), Durability::None).unwrap();
    let (log, opened) = LogStore::open(&root.path().join("log"), None, 1).unwrap();
    let numbers = Numbers { next_id: 1, next_seq: opened.next_seq };
    let keeper = Keeper::Files(Arc::new(store.tokens().unwrap().0));
    let mut kept = Kept { store, keeper, log, numbers, document: None, first_words: Vec::new() };
    change(&mut kept);
    let (sender, events) = unbounded();
    let host = Arc::new(Fragile {
        events: sender,
        panics_left: AtomicUsize::new(panics),
        begun: AtomicUsize::new(0),
        begins: Mutex::default(),
        lines: Mutex::default(),
        is_calling_back: AtomicBool::new(false),
        runtime: OnceLock::new(),
    });
    let performs = Performs::new(OperationKind::ALL);
    let runtime = Runtime::new(Arc::clone(&host) as _, clock, kept, config(&["a"]), performs).unwrap();
    host.runtime.set(Arc::downgrade(&runtime)).unwrap();
    Bench { runtime, host, events, root }
}

#[test]
fn a_panic_in_the_worker_poisons_the_instance_which_says_so_once_and_can_be_stopped() {
    // The second time the last event itself panics: it was delivered all the same, and once.
    for panics in [1, 2] {
        let Bench { runtime, host, events, root: _root } = bench(Clock::System, panics);
        runtime.start().unwrap();
        let server = runtime.server("a").unwrap();
        runtime.cluster(true, "alice".into()).unwrap();
        // Accepted or not, by then: it must not be begun.
        let _ = runtime.authorize(server, "alice".into(), Secret::copied(b"credentials").ok());
        assert_eq!(events.recv_timeout(PATIENCE), Ok(abi::VMSF_EVENT_LOG));
        let last = std::iter::from_fn(|| events.recv_timeout(PATIENCE).ok()).find(|k| *k == abi::VMSF_EVENT_POISONED);
        assert!(last.is_some());
        assert_eq!(runtime.poisoned_by(), Some("injected"));
        runtime.poison("another");
        runtime.stop(PATIENCE).unwrap();
        assert!(runtime.is_stopped());
        assert_eq!(events.try_iter().count(), 0, "nothing comes after the last event");
        assert_eq!(host.begun.load(Ordering::SeqCst), 0, "no operation is begun any more");
    }
}

#[test]
fn a_thread_that_stalls_in_notify_never_touches_the_next_tenant_of_the_slot() {
    let Bench { runtime, events, root: _root, .. } = bench(Clock::driven(), 0);
    let old = runtime.servers.read().by_id("a").unwrap().clone();
    for ids in [&[][..], &["new"]] {
        runtime.configure(config(ids).to_json().as_bytes(), false).unwrap();
    }
    let key = runtime.servers.read().by_id("new").unwrap().mailbox.key();
    assert_eq!(key, old.mailbox.key(), "the same slot");
    runtime.start().unwrap();
    runtime.poll(5, 5).unwrap();
    assert_eq!(events.try_iter().collect::<Vec<_>>(), [abi::VMSF_EVENT_LOG; 2], "the two configurations");
    // What is left of a call of `notify` that began before.
    old.mailbox.post(EventKind::Connected, crate::time::Mono(5));
    runtime.sender.send(Message::Mail(old.mailbox)).unwrap();
    runtime.poll(6, 6).unwrap();
    assert_eq!(events.try_iter().count(), 0);
    runtime.stop(PATIENCE).unwrap();
}

#[test]
fn nobody_writes_the_state_until_a_configuration_that_may_drop_servers_is_on_disk_and_in_force() {
    let Bench { runtime, root: _root, .. } = bench(Clock::driven(), 0);
    let writers = Rc::new(RefCell::new(Vec::new()));
    let (shared, watched_by) = (Arc::clone(&runtime), Rc::clone(&writers));
    // At each step of the disk somebody comes along to write: when it is his turn, all is done.
    let watch = move || {
        let runtime = Arc::clone(&shared);
        watched_by.borrow_mut().push(std::thread::spawn(move || {
            let _writing = runtime.writing();
            runtime.config().monitored_servers.len()
        }));
    };
    let (steps, result) = watched(watch, || runtime.configure(config(&[]).to_json().as_bytes(), false));
    result.unwrap();
    assert!(steps.contains(&"rename"), "{steps:?}");
    for writer in writers.take() {
        assert_eq!(writer.join().unwrap(), 0, "of {steps:?}");
    }
}

/// Lets no document of this name be written while it lives.
struct Blocked([PathBuf; 2]);

fn block(root: &TempDir, name: &str) -> Blocked {
    let blocked = ["a", "b"].map(|file| root.path().join(format!("{name}.{file}.json.tmp")));
    blocked.iter().for_each(|path| fs::create_dir(path).unwrap());
    Blocked(blocked)
}

impl Drop for Blocked {
    fn drop(&mut self) {
        self.0.iter().for_each(|path| fs::remove_dir(path).unwrap());
    }
}

#[test]
fn a_configuration_does_not_drop_a_server_before_the_end_of_its_operation_is_on_disk() {
    let Bench { runtime, root, .. } = bench(Clock::driven(), 0);
    let op = authorizing(&runtime);
    runtime.complete(op, Answer { outcome: Outcome::Failed, error: None, token: Ok(None) }).unwrap();
    let blocked = block(&root, "state");
    runtime.poll(7, 7).unwrap();
    let gone = config(&[]).to_json();
    runtime.configure(gone.as_bytes(), true).unwrap();
    let Err(Rejected::Error(error)) = runtime.configure(gone.as_bytes(), false) else { panic!("accepted") };
    assert_eq!(error.code, abi::VMSF_ERR_IO);
    assert!(error.text.contains("state."), "{}", error.text);
    assert_eq!(runtime.config().monitored_servers.len(), 1);
    assert!(runtime.store.config().unwrap().json.is_none(), "nothing was kept");
    // What drops nobody need not wait.
    runtime.configure(config(&["a", "b"]).to_json().as_bytes(), false).unwrap();
    drop(blocked);
    runtime.configure(gone.as_bytes(), false).unwrap();
}

#[test]
fn a_server_that_cannot_be_taken_out_of_the_configuration_is_tried_again_now_and_then_and_not_at_every_turn() {
    let bench = bench_in(tempfile::tempdir().unwrap(), Clock::driven(), 0, |_| {});
    let mut document = bench.runtime.core.lock().snapshot().document;
    document.leaving.insert("a".into());
    let Bench { runtime, root, .. } =
        bench_in(tempfile::tempdir().unwrap(), Clock::driven(), 0, |kept| kept.document = Some(document));
    let blocked = block(&root, "config");
    runtime.start().unwrap();
    let second = |n: u64| n * 1_000_000_000;
    // How often files are touched until nothing is to be done at that instant any more.
    let tries = |n| {
        let (mut tries, mut next) = (0, second(n));
        while next == second(n) {
            let (steps, at) = watched(|| {}, || runtime.poll(second(n), 0).unwrap());
            (tries, next) = (tries + steps.len(), at);
        }
        tries
    };
    tries(1);
    assert_eq!([2, 6, 10, 11, 12, 20].map(tries), [0, 0, 0, 1, 0, 0]);
    drop(blocked);
    tries(21);
    assert!(runtime.config().monitored_servers.is_empty());
}

/// Has an authorization begun; gives its operation.
fn authorizing(runtime: &Arc<Runtime>) -> u64 {
    runtime.start().unwrap();
    runtime.poll(5, 5).unwrap();
    runtime.authorize(runtime.server("a").unwrap(), "alice".into(), Secret::copied(b"password").ok()).unwrap();
    runtime.poll(6, 6).unwrap();
    operation_of(runtime)
}

/// What `complete` does until it waits for the disk.
fn answered(runtime: &Runtime, op: u64) -> Arc<Call> {
    let call = accepted(runtime, |_| Command::Complete { op, outcome: Outcome::Ok, error: None });
    runtime.core.lock().keep_token(op, &call, Secret::copied(b"token").unwrap());
    call
}

#[test]
fn an_answer_whose_token_another_thread_could_not_write_is_refused_and_counts_for_nothing_in_the_next_life() {
    let Bench { runtime, root, host, .. } = bench(Clock::driven(), 0);
    let op = authorizing(&runtime);
    let call = answered(&runtime, op);
    let version = runtime.core.lock().version();
    let blocked = block(&root, "tokens");
    assert_eq!(runtime.write().unwrap().unwrap_err().code, abi::VMSF_ERR_IO, "the other thread");
    let document = runtime.core.lock().snapshot().document;
    let Err(error) = runtime.on_disk(&call, version) else { panic!("accepted") };
    assert_eq!((error.code, &*error.text), (abi::VMSF_ERR_IO, "the token cannot be written"));
    drop(blocked);
    // Killed before the refusal is on disk.
    drop((runtime, host));
    let Bench { runtime, root: _root, .. } = bench_in(root, Clock::driven(), 0, |kept| {
        kept.numbers.next_id = document.next_id;
        kept.document = Some(document);
    });
    runtime.start().unwrap();
    for n in 1..4 {
        runtime.poll(n, 5).unwrap();
    }
    let core = runtime.core.lock();
    assert_eq!(core.access().len(), 0);
    assert!(core.engine().operation(op).is_none());
}

#[test]
fn a_token_counts_as_written_only_when_it_is() {
    let Bench { runtime, root: _root, .. } = bench(Clock::driven(), 0);
    let op = authorizing(&runtime);
    let call = answered(&runtime, op);
    let seen = Rc::new(RefCell::new(Vec::new()));
    let (shared, seen_by, of) = (Arc::clone(&runtime), Rc::clone(&seen), Arc::clone(&call));
    let watch = move || seen_by.borrow_mut().push(shared.core.lock().lacks_token(&of));
    let (steps, written) = watched(watch, || runtime.write());
    written.unwrap().unwrap();
    // Both of the document of the tokens and of that of the state.
    assert_eq!(steps.iter().filter(|step| **step == "rename").count(), 2, "{steps:?}");
    assert!(seen.borrow().iter().all(|lacks| *lacks));
    assert!(!runtime.core.lock().lacks_token(&call));
}

#[test]
fn an_answer_from_a_callback_is_said_to_be_accepted_when_its_token_is_on_disk_too() {
    let Bench { runtime, root, host, .. } = bench(Clock::driven(), 0);
    let op = authorizing(&runtime);
    let blocked = block(&root, "tokens");
    host.is_calling_back.store(true, Ordering::SeqCst);
    let token = Ok(Secret::copied(b"token").ok());
    runtime.complete(op, Answer { outcome: Outcome::Ok, error: None, token }).unwrap();
    host.is_calling_back.store(false, Ordering::SeqCst);
    let before = runtime.core.lock().outbox_len();
    runtime.write().unwrap().unwrap_err();
    assert_eq!(runtime.core.lock().outbox_len(), before);
    drop(blocked);
    runtime.core.lock().has_changed();
    runtime.write().unwrap().unwrap();
    assert_eq!(runtime.core.lock().outbox_len(), before + 1);
}

#[test]
fn what_is_logged_while_the_state_is_written_is_said_when_the_lock_is_given_back() {
    diagnostics::install();
    let Bench { runtime, host, root: _root, .. } = bench(Clock::driven(), 0);
    let _entered = diagnostics::enter(Arc::clone(&host) as _);
    let writing = runtime.writing();
    log::warn!("one");
    log::warn!("two");
    assert_eq!(*host.lines.lock(), []);
    drop(writing);
    assert_eq!(*host.lines.lock(), [("one".to_owned(), false), ("two".to_owned(), false)]);
    log::warn!("three");
    assert_eq!(host.lines.lock().len(), 3, "and at once again");
}

fn key_of(runtime: &Runtime) -> ServerKey {
    runtime.servers.read().by_id("a").unwrap().mailbox.key()
}

/// What runs for the server.
fn operation_of(runtime: &Runtime) -> u64 {
    let key = key_of(runtime);
    runtime.core.lock().engine().view(key).unwrap().operation.unwrap().id
}

/// A host that keeps every token.
struct Vault;

impl SecretStore for Vault {
    fn store(&self, _: &str, _: &Secret) -> Result<(), Error> {
        Ok(())
    }
    fn load(&self, _: &str) -> Result<Option<Secret>, Error> {
        Ok(None)
    }
    fn remove(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn an_answer_that_waited_for_the_host_to_keep_its_token_is_taken_in_at_once_and_not_at_the_next_wake_up() {
    let Bench { runtime, root: _root, .. } =
        bench_in(tempfile::tempdir().unwrap(), Clock::driven(), 0, |kept| kept.keeper = Keeper::Host(Arc::new(Vault)));
    runtime.start().unwrap();
    runtime.poll(5, 5).unwrap();
    let server = runtime.server("a").unwrap();
    let secret = |bytes: &[u8]| Some(Secret::copied(bytes).unwrap());
    runtime.authorize(server, "operator".into(), secret(b"password")).unwrap();
    runtime.poll(5, 5).unwrap();
    let answer = Answer { outcome: Outcome::Ok, error: None, token: Ok(secret(b"token")) };
    runtime.complete(operation_of(&runtime), answer).unwrap();
    let authorized = || runtime.core.lock().access().len();
    // What the worker does in one turn, and what it goes by then.
    let turn = || {
        runtime.file_slice();
        runtime.turn(Ran::default());
        runtime.core.lock().must_look_again()
    };
    let turns = (0..20).take_while(|_| authorized() == 0 && (turn() || runtime.files.has_work())).count();
    assert!(turns < 20);
    assert_eq!(authorized(), 1, "nothing more is known to be due, and yet it is not done");
}

#[test]
fn the_last_keep_alive_is_read_again_before_a_server_is_declared_failed() {
    let second = |n: u64| n * 1_000_000_000;
    for in_time in [true, false] {
        let Bench { runtime, events, root: _root, .. } = bench(Clock::driven(), 0);
        runtime.start().unwrap();
        runtime.poll(second(1), 0).unwrap();
        let server = runtime.server("a").unwrap();
        runtime.notify(server, EventKind::KeepAlive, Some(crate::time::Mono(second(1)))).unwrap();
        for n in 1..31 {
            runtime.poll(second(n), 0).unwrap();
        }
        // What a thread has listed and not yet told of when the worker comes to the deadline.
        let entry = runtime.servers.read().by_id("a").unwrap().clone();
        if in_time {
            entry.mailbox.post(EventKind::KeepAlive, crate::time::Mono(second(30)));
        }
        runtime.poll(second(31), 0).unwrap();
        let kinds: Vec<u32> = events.try_iter().collect();
        let changes = kinds.iter().filter(|kind| **kind == abi::VMSF_EVENT_HEALTH).count();
        assert_eq!(changes, if in_time { 1 } else { 2 }, "{kinds:?}");
        runtime.stop(PATIENCE).unwrap();
    }
}

fn until(done: impl Fn() -> bool) {
    let since = Instant::now();
    while !done() {
        assert!(since.elapsed() < PATIENCE);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A host that keeps one token and gives it back when it is allowed to.
struct Slow {
    asked: Sender<()>,
    may_answer: Receiver<()>,
}

impl SecretStore for Slow {
    fn store(&self, _: &str, _: &Secret) -> Result<(), Error> {
        Ok(())
    }
    fn load(&self, _: &str) -> Result<Option<Secret>, Error> {
        self.asked.send(()).unwrap();
        self.may_answer.recv_timeout(PATIENCE).unwrap();
        Secret::copied(b"token").map(Some)
    }
    fn remove(&self, _: &str) -> Result<(), Error> {
        Ok(())
    }
}

#[test]
fn an_operation_whose_token_came_during_a_stop_is_begun_once_after_the_next_start() {
    let ((asked, was_asked), (answer, may_answer)) = (unbounded(), unbounded());
    let Bench { runtime, host, root: _root, .. } = bench_in(tempfile::tempdir().unwrap(), Clock::System, 0, |kept| {
        kept.keeper = Keeper::Host(Arc::new(Slow { asked, may_answer }));
    });
    let begun = || host.begun.load(Ordering::SeqCst);
    runtime.start().unwrap();
    let server = runtime.server("a").unwrap();
    runtime.authorize(server, "alice".into(), Secret::copied(b"password").ok()).unwrap();
    until(|| begun() == 1);
    let token = Ok(Secret::copied(b"token").ok());
    runtime.complete(operation_of(&runtime), Answer { outcome: Outcome::Ok, error: None, token }).unwrap();
    until(|| runtime.core.lock().access().len() == 1);
    runtime.deauthorize(server, "alice".into()).unwrap();
    was_asked.recv_timeout(PATIENCE).unwrap();
    let stopping = std::thread::spawn({
        let runtime = Arc::clone(&runtime);
        move || runtime.stop(PATIENCE)
    });
    until(|| runtime.worker.lock().is_none() && runtime.writer.lock().is_none());
    answer.send(()).unwrap();
    stopping.join().unwrap().unwrap();
    assert_eq!(begun(), 1);
    answer.send(()).unwrap();
    runtime.start().unwrap();
    until(|| begun() > 1);
    runtime.stop(PATIENCE).unwrap();
    let of_it: Vec<_> =
        host.begins.lock().iter().skip(1).map(|(_, resumed, has_secret)| (*resumed, *has_secret)).collect();
    assert_eq!(of_it, [(true, true)]);
}

#[test]
fn no_deadline_waits_for_a_disk_that_hangs() {
    let Bench { runtime, events, root: _root, .. } = bench(Clock::System, 0);
    runtime.configure(config(&["a", "b"]).to_json().as_bytes(), false).unwrap();
    runtime.start().unwrap();
    let hangs = runtime.writing();
    // One after the other: what the first one brings is to be written before the second one fails.
    for id in ["a", "b"] {
        let ago = runtime.now().mono.0 - 31_000_000_000;
        runtime.notify(runtime.server(id).unwrap(), EventKind::KeepAlive, Some(crate::time::Mono(ago))).unwrap();
        for change in ["it keeps alive", "it has failed"] {
            let mut told = std::iter::from_fn(|| events.recv_timeout(PATIENCE).ok());
            assert!(told.any(|kind| kind == abi::VMSF_EVENT_HEALTH), "{id}: {change}");
        }
    }
    assert!(!runtime.core.lock().is_saved());
    drop(hangs);
    runtime.stop(PATIENCE).unwrap();
    assert!(runtime.core.lock().is_saved());
}

#[test]
fn a_stop_while_the_disk_hangs_stays_in_force_and_what_was_decided_before_it_is_begun_once_in_each_life() {
    let Bench { runtime, host, root: _root, .. } = bench(Clock::System, 0);
    let begins = |from: usize| -> Vec<(bool, bool)> {
        host.begins.lock().iter().skip(from).map(|(_, resumed, has_secret)| (*resumed, *has_secret)).collect()
    };
    runtime.start().unwrap();
    let server = runtime.server("a").unwrap();
    runtime.authorize(server, "alice".into(), Secret::copied(b"password").ok()).unwrap();
    until(|| begins(0).len() == 1);
    let token = Ok(Secret::copied(b"token").ok());
    runtime.complete(operation_of(&runtime), Answer { outcome: Outcome::Ok, error: None, token }).unwrap();
    until(|| runtime.core.lock().access().len() == 1);
    let hangs = runtime.writing();
    let call =
        accepted(&runtime, |request| Command::Deauthorize { server: key_of(&runtime), actor: "alice".into(), request });
    runtime.core.lock().send(&call);
    runtime.waker.wake();
    until(|| runtime.core.lock().engine().view(key_of(&runtime)).unwrap().operation.is_some());
    // All that is said of it is said, and the writer waits for the disk.
    until(|| runtime.core.lock().outbox_len() == 0);
    let Err(error) = runtime.stop(Duration::from_millis(50)) else { panic!("stopped") };
    assert_eq!((error.code, begins(1)), (abi::VMSF_ERR_TIMEOUT, vec![]));
    assert!(runtime.start().is_err());
    drop(hangs);
    runtime.stop(PATIENCE).unwrap();
    assert_eq!(begins(1), [(false, true)], "its intent is on disk");
    runtime.start().unwrap();
    until(|| begins(2).contains(&(true, true)));
    runtime.stop(PATIENCE).unwrap();
    assert_eq!(begins(2), [(true, true)]);
}

/// A call that is accepted and waits for the disk.
fn accepted(runtime: &Runtime, command: impl FnOnce(u64) -> Command) -> Arc<Call> {
    let mut core = runtime.core.lock();
    let request = core.new_id();
    let (call, durable) = core.accept(command(request), None).unwrap();
    assert!(durable);
    call
}

#[test]
fn accepted_calls_take_effect_in_the_order_in_which_they_were_accepted() {
    let Bench { runtime, .. } = bench(Clock::driven(), 0);
    runtime.start().unwrap();
    let joins = accepted(&runtime, |request| Command::Cluster { joined: true, actor: "alice".into(), request });
    let leaves = accepted(&runtime, |request| Command::Cluster { joined: false, actor: "bob".into(), request });
    // Both are on disk; the thread of the later one is the first to go on.
    for call in [leaves, joins] {
        runtime.core.lock().send(&call);
    }
    runtime.poll(5, 5).unwrap();
    assert!(!runtime.core.lock().engine().is_joined());
    runtime.stop(PATIENCE).unwrap();
}

#[test]
fn a_server_whose_operation_has_an_answer_on_its_way_cannot_be_removed_yet() {
    let Bench { runtime, host, events, root: _root } = bench(Clock::driven(), 0);
    runtime.start().unwrap();
    runtime.poll(5, 5).unwrap();
    let server = runtime.server("a").unwrap();
    runtime.authorize(server, "alice".into(), Secret::copied(b"credentials").ok()).unwrap();
    runtime.poll(6, 6).unwrap();
    assert_eq!(host.begun.load(Ordering::SeqCst), 1);
    let (key, op) = (key_of(&runtime), operation_of(&runtime));
    accepted(&runtime, |_| Command::Complete { op, outcome: Outcome::Failed, error: None });
    let gone = config(&[]).to_json();
    let Err(Rejected::Faults(faults)) = runtime.configure(gone.as_bytes(), false) else { panic!("accepted") };
    assert!(faults[0].text.contains("in operation authorize"), "{}", faults[0].text);
    runtime.commit().unwrap();
    runtime.configure(gone.as_bytes(), false).unwrap();
    runtime.poll(7, 7).unwrap();
    assert!(runtime.core.lock().engine().view(key).is_none());
    assert!(events.try_iter().count() > 0);
    runtime.stop(PATIENCE).unwrap();
}
