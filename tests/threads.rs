//! Many threads at once, and a host that keeps the plugin waiting: only documented codes, one event at a time, none behind stop.

#[path = "support/rig.rs"]
mod rig;

use std::ptr::{null, null_mut};
use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rig::{Callback, KEEP_ALIVE, PATIENCE, Rig, SECOND, abi, call, config, expect, name, placed};

const THREADS: usize = 16;

/// Calls whatever any thread may call, until told to end; gives the codes that are not documented.
fn hammer(p: u64, servers: &[AtomicU64], seed: usize, ending: &AtomicBool) -> Vec<String> {
    use abi::*;
    let mut strange = Vec::new();
    let mut note = |member: &str, code: vmsf_result, documented: &[vmsf_result]| {
        if code != VMSF_ERR_HANDLE && !documented.contains(&code) {
            strange.push(format!("{member}: {}", name(code)));
        }
    };
    let transitions = [VMSF_NOTIFY_CONNECTED, VMSF_NOTIFY_STARTUP, VMSF_NOTIFY_SHUTDOWN_NORMAL];
    let mut round = seed;
    while !ending.load(Ordering::Relaxed) {
        let s = servers[round % servers.len()].load(Ordering::Relaxed);
        // Mostly keep-alives, as in life: every transition is an entry, and a stop delivers all that wait.
        let kind = if round.is_multiple_of(64) { transitions[round / 64 % 3] } else { VMSF_NOTIFY_KEEP_ALIVE };
        note("notify", call!(notify(p, s, kind, 0)), &[VMSF_OK, VMSF_ERR_STATE, VMSF_ERR_BUSY]);
        let mut found = 0;
        let code = call!(server(p, c"new".as_ptr(), 3, &mut found));
        if code == VMSF_OK {
            servers[0].store(found, Ordering::Relaxed);
        }
        note("server", code, &[VMSF_OK, VMSF_ERR_NOT_FOUND]);
        let (mut room, mut len) = ([0; 8], 0);
        note("config", call!(config(p, room.as_mut_ptr(), 8, &mut len)), &[VMSF_ERR_TOO_SMALL]);
        if round.is_multiple_of(16) {
            note("status", call!(status(p, s, room.as_mut_ptr(), 8, &mut len)), &[VMSF_ERR_TOO_SMALL]);
        }
        let code = call!(last_error(p, std::ptr::null_mut(), room.as_mut_ptr(), 8, &mut len));
        note("last_error", code, &[VMSF_OK, VMSF_ERR_TOO_SMALL]);
        if round.is_multiple_of(50) {
            // Each call with each server: the numbers have no factor in common.
            let (member, call, further) = CALLS[round / 50 % CALLS.len()];
            let s = servers[round / 50 / CALLS.len() % servers.len()].load(Ordering::Relaxed);
            note(member, call(p, s), &[&[VMSF_OK, VMSF_ERR_STATE, VMSF_ERR_BUSY], further].concat());
        }
        round += 1;
    }
    strange
}

/// A member that waits for the disk, and what it may give besides OK, STATE and BUSY.
type Called = (&'static str, fn(u64, u64) -> abi::vmsf_result, &'static [abi::vmsf_result]);

const CALLS: [Called; 12] = [
    ("takeover", |p, s| call!(takeover(p, s, null(), 0, null_mut())), &NEEDS),
    ("cancel", |p, s| call!(cancel(p, s, null(), 0)), &[]),
    ("authorize", |p, s| call!(authorize(p, s, null(), 0, b"x".as_ptr(), 1, null_mut())), &[]),
    ("backup", |p, s| call!(backup(p, s, null(), 0, null_mut())), &NEEDS),
    ("cluster", |p, _| call!(cluster(p, 1, null(), 0)), &[]),
    ("backup of all", |p, _| call!(backup(p, 0, null(), 0, null_mut())), &NEEDS),
    ("restore", |p, s| call!(restore(p, s, null(), 0, null_mut())), &[]),
    ("join_cluster", |p, _| call!(join_cluster(p, PLACE.as_ptr().cast(), PLACE.len(), null(), 0, null_mut())), &[]),
    ("authorize", |p, s| call!(authorize(p, s, null(), 0, b"x".as_ptr(), 1, null_mut())), &[]),
    ("backup", |p, s| call!(backup(p, s, null(), 0, null_mut())), &NEEDS),
    ("cluster", |p, _| call!(cluster(p, 0, null(), 0)), &[]),
    ("deauthorize", |p, s| call!(deauthorize(p, s, null(), 0, null_mut())), &[abi::VMSF_ERR_NOT_AUTHORIZED]),
];
const NEEDS: [abi::vmsf_result; 3] =
    [abi::VMSF_ERR_NOT_IN_CLUSTER, abi::VMSF_ERR_NOT_AUTHORIZED, abi::VMSF_ERR_NO_BACKUP];
const PLACE: &str = r#"{"host":"management.example"}"#;

/// Answers at once, inside `begin`: what was asked for is done, but a takeover or restore every other time.
fn answer(p: u64, callback: &Callback) {
    let Callback::Begin { kind, id, json, .. } = callback else { return };
    let moves_slot = [abi::VMSF_OP_TAKEOVER, abi::VMSF_OP_RESTORE].contains(kind);
    if *kind == abi::VMSF_OP_BACKUP {
        // Its directory may be gone, with its server.
        let _ = std::fs::write(json["file"].as_str().expect("a file"), b"settings");
    }
    let token: &[u8] = if *kind == abi::VMSF_OP_AUTHORIZE { b"token" } else { b"" };
    rig::complete_with(
        p,
        *id,
        if moves_slot && id % 2 == 0 { abi::VMSF_OUTCOME_FAILED } else { abi::VMSF_OUTCOME_OK },
        token,
    );
}

/// How often the instance is started at most.
const LIVES_MAX: usize = 200;

/// Tells the hammers to end even when the test fails, which would else wait for them for ever.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn storm(drives: bool) {
    let rig = Rig::new(drives, &["a", "b"]);
    std::fs::create_dir(rig.directory.path().join("backups")).expect("a directory");
    let (p, probe) = (rig.p, rig.probe);
    let servers = [AtomicU64::new(0), AtomicU64::new(rig.server("a")), AtomicU64::new(rig.server("b"))];
    probe.hook(move |callback| answer(p, callback));
    let (ending, ready) = (AtomicBool::new(false), Barrier::new(THREADS + 1));
    std::thread::scope(|scope| {
        let hammers: Vec<_> = (0..THREADS)
            .map(|seed| {
                let (servers, ending, ready) = (&servers, &ending, &ready);
                scope.spawn(move || {
                    ready.wait();
                    hammer(p, servers, seed, ending)
                })
            })
            .collect();
        ready.wait();
        let end = Ending(&ending);
        // A backup needs some peace, which the others leave it now and then.
        let mut is_backed_up = false;
        for round in 0..LIVES_MAX {
            if round >= 12 && is_backed_up {
                break;
            }
            is_backed_up |= live(&rig, round);
        }
        assert!(is_backed_up, "in none of {LIVES_MAX} lives");
        expect(rig.destroy(), abi::VMSF_OK, "destroy");
        drop(end);
        for hammer in hammers {
            let mut strange = hammer.join().expect("no panic");
            strange.dedup();
            assert_eq!(strange, Vec::<String>::new());
        }
    });
    assert_eq!(probe.released(), 1);
    assert!(probe.count(|callback| callback.code() == "health") > 0, "something happened");
    probe.assert_no_fault();
}

/// From a start to a stop, in which something of everything is done. Whether a backup was published.
fn live(rig: &Rig, round: usize) -> bool {
    expect(rig.start(), abi::VMSF_OK, "start");
    rig.probe.forget();
    for step in 0..4 {
        let ids: &[&str] = if (round + step).is_multiple_of(2) { &["a", "b", "new"] } else { &["a", "b"] };
        let (code, report) = rig.configure(&placed(&rig.directory, &config(ids)).to_string(), 0);
        let documented = [abi::VMSF_OK, abi::VMSF_ERR_CONFIG, abi::VMSF_ERR_BUSY].contains(&code);
        assert!(documented, "{}: {report}", name(code));
        if rig.drives {
            let now = rig.now() + SECOND;
            (0..10).for_each(|_| expect(rig.poll(now).0, abi::VMSF_OK, "poll"));
        }
    }
    for code in ["authorized", "cluster", "health"] {
        rig.wait(code, |callback| callback.code() == code);
    }
    expect(rig.stop(PATIENCE.as_millis() as u32), abi::VMSF_OK, "stop");
    rig.probe.count(|callback| callback.code() == "backup") > 0
}

#[test]
fn sixteen_threads_during_start_stop_configure_and_destroy_with_a_worker() {
    storm(false);
}

#[test]
fn sixteen_threads_during_start_stop_configure_and_destroy_with_polls() {
    storm(true);
}

/// Waits until the plugin's clock shows `at`. A real clock tells nobody that it has moved, so it is looked at again and again.
fn wait_for_clock(rig: &Rig, at: u64) {
    let until = Instant::now() + PATIENCE;
    while rig.now() < at {
        assert!(Instant::now() < until, "the clock stands");
        std::thread::sleep(Duration::from_millis(1));
    }
}

#[test]
fn a_host_stuck_in_a_callback_makes_stop_time_out_and_holds_nobody_else_up() {
    let rig = Rig::running(false, &["a"]);
    let s = rig.server("a");
    let held = rig.probe.hold(|callback| callback.is("health", "connected"));
    rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0);
    held.wait();
    for _ in 0..1000 {
        expect(rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, "notify does not wait");
    }
    expect(rig.stop(150), abi::VMSF_ERR_TIMEOUT, "stop");
    expect(rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_ERR_STATE, "the stop stays in force");
    expect(rig.start(), abi::VMSF_ERR_STATE, "start while stopping");
    expect(rig.destroy(), abi::VMSF_ERR_STATE, "destroy while stopping");
    expect(rig.stop(0), abi::VMSF_ERR_TIMEOUT, "stop again");
    held.go_on();
    expect(rig.stop(PATIENCE.as_millis() as u32), abi::VMSF_OK, "stop again");
    assert_eq!(rig.probe.count(|callback| callback.is("health", "keep_alive")), 1, "what was reported is delivered");
    assert_eq!(rig.probe.count(|callback| callback.code() == "host_slow"), 1, "the alarm is raised");
}

#[test]
fn a_driven_stop_times_out_while_a_poll_is_stuck_and_works_when_called_again() {
    let rig = Rig::running(true, &["a"]);
    let held = rig.probe.hold(|callback| callback.is("health", "connected"));
    rig.notify(rig.server("a"), abi::VMSF_NOTIFY_CONNECTED, 0);
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| rig.poll(1_001 * SECOND).0);
        held.wait();
        expect(rig.poll(1_002 * SECOND).0, abi::VMSF_ERR_BUSY, "an overlapping poll");
        expect(rig.stop(10), abi::VMSF_ERR_TIMEOUT, "stop");
        held.go_on();
        expect(poll.join().expect("no panic"), abi::VMSF_OK, "poll");
    });
    expect(rig.poll(1_003 * SECOND).0, abi::VMSF_ERR_STATE, "poll while stopping");
    expect(rig.stop(0), abi::VMSF_OK, "stop again");
}

/// Time enough for a busy machine to report everything; the callback is held until it is over, for longer than the tolerance.
const LEFT_S: u64 = 6;
/// No busy machine starves the worker so long.
const TOLERANCE_S: u64 = 4;

#[test]
fn what_is_reported_while_a_callback_blocks_counts_with_its_stamp() {
    let mut config = config(&["a", "silent", "b"]);
    config["pause_tolerance_s"] = TOLERANCE_S.into();
    let rig = Rig::with(false, &config);
    expect(rig.start(), abi::VMSF_OK, "start");
    let (a, silent, b) = (rig.server("a"), rig.server("silent"), rig.server("b"));
    let stamp = rig.now() - KEEP_ALIVE + LEFT_S * SECOND;
    for s in [a, silent] {
        expect(rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, stamp), abi::VMSF_OK, "notify");
    }
    rig.probe.wait("keep_alive", |c| matches!(c, Callback::Event { server, .. } if *server == silent));
    let held = rig.probe.hold(|callback| callback.is("health", "connected"));
    rig.notify(b, abi::VMSF_NOTIFY_CONNECTED, 0);
    held.wait();
    expect(rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, "notify");
    wait_for_clock(&rig, stamp + KEEP_ALIVE + 1);
    held.go_on();
    let failed = |s: u64| {
        move |c: &Callback| c.is("health", "failed") && matches!(c, Callback::Event { server, .. } if *server == s)
    };
    rig.probe.wait("the failure of the silent one", failed(silent));
    rig.probe.wait("host_slow", |callback| callback.code() == "host_slow");
    assert_eq!(rig.probe.count(failed(a)), 0, "a spoke in time");
    assert_eq!(rig.probe.count(|callback| callback.code() == "paused"), 0, "a slow host is no pause");
}
