//! The parts of the plugin by themselves, measured by Criterion: the slot of a server, timers, configuration, log, status and state.
//!
//! `cargo bench --bench parts`, one of them: `cargo bench --bench parts -- timers`. What they cost a host together is measured by `host-sim bench`.

use std::hint::black_box;
use std::sync::Arc;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use serde_json::{Value, json};
use vms_failover::config::Config;
use vms_failover::engine::command::Input;
use vms_failover::engine::health::{EventKind, FailReason, Phase};
use vms_failover::engine::output::{self, Output, What};
use vms_failover::engine::view::ServerView;
use vms_failover::engine::{Engine, policy as engine_policy};
use vms_failover::log::{Entry, Named, Subject};
use vms_failover::runtime::life_signs::Slot;
use vms_failover::state::{Durability, Store};
use vms_failover::status::{Picture, Portrait};
use vms_failover::time::{self, Mono, SECOND_NS, Span};

// The very files: both are the engine's own.
#[path = "../src/engine/policy.rs"]
#[expect(dead_code, reason = "the whole room of policies, for one type of it")]
mod policy;
#[path = "../src/engine/timers.rs"]
#[allow(dead_code, reason = "a benchmark needs not all of it")]
mod timers;

const UTC_MS: i64 = 1_767_268_800_000;

fn slot(criterion: &mut Criterion) {
    let slot = Slot::default();
    assert!(slot.open(7, Mono(SECOND_NS)), "a fresh slot");
    let mut at = SECOND_NS;
    criterion.bench_function("slot: a keep-alive", |bencher| {
        bencher.iter(|| {
            at += 1;
            assert!(black_box(&slot).keep_alive(7, Mono(at)));
        });
    });
}

fn timers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("timers: one comes up and is armed anew, of");
    for size in [1_000, 100_000, 1_000_000_u32] {
        let mut timers = timers::Timers::default();
        // All over a timeout of 30 s.
        let step = 30 * SECOND_NS / u64::from(size);
        (0..size).for_each(|n| timers.arm(policy::ServerKey(n), Mono(u64::from(n) * step)));
        group.bench_function(size.to_string(), |bencher| {
            bencher.iter(|| {
                let due = timers.next().expect("all are armed");
                for key in timers.take_due(due) {
                    timers.arm(key, due + Span::seconds(30));
                }
            });
        });
    }
}

fn config(criterion: &mut Criterion) {
    let server = |n: usize| json!({ "id": format!("s{n}"), "host": format!("s{n}.example") });
    let servers: Vec<Value> = (0..10_000).map(server).collect();
    let document = json!({
        "schema": 1, "backup_directory": "/backups", "store_path": "/video", "monitored_servers": servers,
    });
    let text = document.to_string();
    let mut group = criterion.benchmark_group("configuration");
    group.sample_size(20).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("10,000 servers are read and checked", |bencher| {
        bencher.iter(|| Config::parse(black_box(text.as_bytes())).map(|config| config.monitored_servers.len()));
    });
    assert!(Config::parse(text.as_bytes()).is_ok_and(|config| config.monitored_servers.len() == 10_000));
}

fn log(criterion: &mut Criterion) {
    let key = engine_policy::ServerKey(0);
    let what = What::Health {
        from: Phase::KeepAlive,
        to: Phase::Failed,
        reason: Some(FailReason::KeepAliveTimeout),
        failed_at: Some(Mono(30 * SECOND_NS)),
    };
    let output = Output { server: Some(key), actor: None, request: None, what };
    let server = Some(Named { handle: 1, id: "s0".into() });
    let entry =
        Entry { seq: 1, at: Mono(31 * SECOND_NS), utc_ms: UTC_MS, server, subject: Subject::Engine(output, None) };
    criterion.bench_function("log: a failure in words and JSON", |bencher| bencher.iter(|| black_box(&entry).words()));
}

fn status(criterion: &mut Criterion) {
    let ids: Vec<String> = (0..1_000).map(|n| format!("s{n}")).collect();
    let portrait = |id| Portrait { id, name: id, place: None, view: ServerView::default(), progress: None };
    let servers = ids.iter().map(|id| portrait(id.as_str())).collect();
    let picture = Picture { state: "running", servers, ..Picture::blank(Mono(SECOND_NS), UTC_MS) };
    criterion.bench_function("status: 1,000 servers in JSON", |bencher| bencher.iter(|| black_box(&picture).to_json()));
}

/// An engine whose servers were all seen, so that all have to be remembered.
fn engine(servers: u32) -> Engine {
    let server = |n| engine_policy::ServerPolicy { key: engine_policy::ServerKey(n), priority: 1, readdressed: false };
    let seconds = Span::seconds;
    let policy = engine_policy::Policy {
        timeouts: engine_policy::Timeouts {
            connected: seconds(60),
            started: seconds(300),
            keep_alive: seconds(30),
            normal_shutdown: seconds(300),
            abnormal_shutdown: seconds(300),
        },
        automatic_takeover: true,
        automatic_restore: true,
        takeover_timeout: seconds(600),
        restore_timeout: seconds(600),
        backup_timeout: seconds(600),
        operation_timeout: seconds(600),
        daily_backup: false,
        host_revokes: false,
        backup_time_ms: 0,
        restore_stable: seconds(60),
        pause_tolerance: seconds(2),
        servers: (0..servers).map(server).collect(),
    };
    let (mut engine, mut out) = (Engine::new(policy, 1), Vec::<output::Output>::new());
    engine.start(Mono(SECOND_NS), &mut out);
    for n in 0..servers {
        let server = engine_policy::ServerKey(n);
        let input = Input::Event { server, kind: EventKind::KeepAlive, at: Mono(SECOND_NS) };
        engine.take_in(Mono(SECOND_NS), input, &mut out);
    }
    engine
}

fn state(criterion: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a folder");
    let engine = engine(1_000);
    let names: Vec<Arc<str>> = (0..1_000).map(|n| format!("s{n}").into()).collect();
    let remembered = || engine.remember().renamed(|key| names.get(key.0 as usize).map(|name| name.to_string()));
    let mut group = criterion.benchmark_group("state: 1,000 servers are remembered and written");
    group.sample_size(20);
    for (durability, name) in [(Durability::Full, "durably"), (Durability::None, "without a sync")] {
        let store = Store::open(&folder.path().join(name), durability).expect("a state directory");
        group.bench_function(name, |bencher| bencher.iter(|| store.save(&remembered()).expect("it is written")));
    }
}

criterion_group!(parts, slot, timers, config, log, status, state);
criterion_main!(parts);
