//! What only a test inside can bring about: a panic in the worker, a thread that stalls in the middle of `notify`, and a look at what the worker
//! goes by.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use crossbeam_channel::{Receiver, Sender, unbounded};
use parking_lot::Mutex;
use serde_json::json;
use tempfile::TempDir;
use vms_failover_abi as abi;

use super::clock::Clock;
use super::configure::Rejected;
use super::core::{Call, Message};
use super::secrets::SecretStore;
use super::{Answer, Begin, Host, Kept, Numbers, Offers, Performs, Runtime};
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
    /// What it was told in its log, and whether somebody was writing the state then.
    lines: Mutex<Vec<(String, bool)>>,
    runtime: OnceLock<Weak<Runtime>>,
}

impl Host for Fragile {
    fn event(&self, _: &Entry, words: &Words) {
        let _ = self.events.send(words.kind);
        if self.panics_left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
            panic!("injected");
        }
    }
    fn begin(&self, _: Begin) {
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
        false
    }
}

struct Bench {
    runtime: Arc<Runtime>,
    host: Arc<Fragile>,
    events: Receiver<u32>,
    _root: TempDir,
}

fn config(ids: &[&str]) -> Config {
    let servers: Vec<_> = ids.iter().map(|id| json!({ "id": id, "host": format!("{id}.example") })).collect();
    let document = json!({ "schema": 1, "backup_directory": "/b", "store_path": "/s", "monitored_servers": servers });
    Config::check(&document).unwrap()
}

fn bench(clock: Clock, panics: usize) -> Bench {
    bench_with(clock, panics, None)
}

fn bench_with(clock: Clock, panics: usize, secret_store: Option<Arc<dyn SecretStore>>) -> Bench {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), Durability::None).unwrap();
    let (log, opened) = LogStore::open(&root.path().join("log"), None, 1).unwrap();
    let numbers = Numbers { next_id: 1, next_seq: opened.next_seq };
    let (tokens, _) = store.tokens().unwrap();
    let kept = Kept { store, tokens, log, numbers, document: None, first_words: Vec::new() };
    let (sender, events) = unbounded();
    let host = Arc::new(Fragile {
        events: sender,
        panics_left: AtomicUsize::new(panics),
        begun: AtomicUsize::new(0),
        lines: Mutex::default(),
        runtime: OnceLock::new(),
    });
    let offers = Offers { performs: Performs::new(OperationKind::ALL), secret_store };
    let runtime = Runtime::new(Arc::clone(&host) as _, clock, kept, config(&["a"]), offers).unwrap();
    host.runtime.set(Arc::downgrade(&runtime)).unwrap();
    Bench { runtime, host, events, _root: root }
}

#[test]
fn a_panic_in_the_worker_poisons_the_instance_which_says_so_once_and_can_be_stopped() {
    // The second time the last event itself panics: it was delivered all the same, and once.
    for panics in [1, 2] {
        let Bench { runtime, host, events, _root } = bench(Clock::System, panics);
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
    let Bench { runtime, events, _root, .. } = bench(Clock::driven(), 0);
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
fn nobody_writes_the_state_while_a_configuration_is_written_that_may_drop_servers() {
    let Bench { runtime, _root, .. } = bench(Clock::driven(), 0);
    let free = Rc::new(Cell::new(0));
    let (writers, seen) = (Arc::clone(&runtime), Rc::clone(&free));
    let watch = move || seen.set(seen.get() + usize::from(!writers.writing.is_locked()));
    let (steps, result) = watched(watch, || runtime.configure(config(&[]).to_json().as_bytes(), false));
    result.unwrap();
    assert!(steps.contains(&"rename"), "{steps:?}");
    assert_eq!(free.get(), 0, "of {steps:?}");
}

#[test]
fn what_is_logged_while_the_state_is_written_is_said_when_the_lock_is_given_back() {
    diagnostics::install();
    let Bench { runtime, host, _root, .. } = bench(Clock::driven(), 0);
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
    let Bench { runtime, _root, .. } = bench_with(Clock::driven(), 0, Some(Arc::new(Vault)));
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
        let Bench { runtime, events, _root, .. } = bench(Clock::driven(), 0);
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
    let Bench { runtime, host, events, _root } = bench(Clock::driven(), 0);
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
