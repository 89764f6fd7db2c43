//! One instance from failure to restore in real time, with full lists, and driven by its host in virtual time.

#[path = "support/rig.rs"]
mod rig;

use std::sync::mpsc;

use rig::{Begun, Callback, KEEP_ALIVE, PATIENCE, Rig, SECOND, abi, config, expect};

/// What a host reads of the clock that the header promises: it may stamp with its own reading.
fn monotonic() -> u64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec as u64 * SECOND + now.tv_nsec as u64
}

fn wakes(rig: &Rig) -> usize {
    rig.probe.count(|callback| matches!(callback, Callback::Wake(_)))
}

// ---- with a worker ----

#[test]
fn a_silent_server_fails_at_its_deadline_never_early_is_taken_over_and_restored() {
    let rig = Rig::ready(false, &["a"]);
    let s = rig.server("a");
    let stamp = monotonic() - KEEP_ALIVE + SECOND / 10;
    // By the host's own reading, not what the plugin says of its clock.
    let (told, heard) = mpsc::channel();
    rig.probe.hook(move |callback| {
        if callback.is("health", "failed") {
            let _ = told.send(monotonic());
        }
    });
    expect(rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, stamp), abi::VMSF_OK, "notify");
    let failed = rig.probe.wait("failed", |callback| callback.is("health", "failed"));
    let Callback::Event { mono_ns, json, server, .. } = failed else { panic!("no event") };
    assert_eq!(json["details"]["failed_at_ns"], stamp + KEEP_ALIVE);
    let heard_at = heard.recv_timeout(PATIENCE).expect("it was heard of");
    let deadline = stamp + KEEP_ALIVE;
    assert!(deadline <= mono_ns && mono_ns <= heard_at, "{deadline} <= {mono_ns} <= {heard_at}");
    assert_eq!(server, s);
    let takeover = rig.asked_for(abi::VMSF_OP_TAKEOVER);
    expect(rig.complete(takeover.id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    expect(rig.complete(takeover.id, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "complete twice");
    rig.probe.wait("taken_over", |callback| callback.is("takeover", "taken_over"));
    expect(rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, "notify");
    expect(rig.restore(s), abi::VMSF_OK, "restore");
    let restore = rig.asked_for(abi::VMSF_OP_RESTORE);
    expect(rig.complete(restore.id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    rig.probe.wait("none", |callback| callback.is("takeover", "none"));
}

#[test]
fn the_hot_path_ends_with_its_server_and_with_the_run_and_loses_nothing_on_the_way() {
    let rig = Rig::running(false, &["a", "b"]);
    let servers = [rig.server("a"), rig.server("b")];
    let keep_alive = |at| servers.map(|s| rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, at));
    assert_eq!(keep_alive(0), [abi::VMSF_OK; 2]);
    for id in ["a", "b"] {
        let is_known = |callback: &Callback| {
            callback.is("health", "keep_alive")
                && matches!(callback, Callback::Event { json, .. } if json["server"] == id)
        };
        rig.probe.wait("keep_alive", is_known);
    }
    // In ms; told by the wall clock, so the same instant may be one ms off.
    let heard = |id: &str| {
        let at = rig.status_of(id)["last_events"]["keep_alive"].as_str().expect("an instant").to_owned();
        chrono::DateTime::parse_from_rfc3339(&at).expect("RFC 3339").timestamp_millis()
    };
    let before = heard("a");
    // By now it may go to the slots; the status shows it at once.
    std::iter::repeat_with(|| assert_eq!(keep_alive(0), [abi::VMSF_OK; 2])).take(100).for_each(drop);
    while heard("a") < before + 5 {
        assert_eq!(keep_alive(0), [abi::VMSF_OK; 2]);
    }
    let (code, report) = rig.configure(&config(&["b"]).to_string(), 0);
    assert_eq!(code, abi::VMSF_OK, "{report}");
    assert_eq!(keep_alive(0), [abi::VMSF_ERR_HANDLE, abi::VMSF_OK]);
    // A second one, to have `b` at an instant of its own, then the end of the run.
    let before = heard("b");
    let mut last = before;
    while last < before + 20 {
        assert_eq!(keep_alive(0)[1], abi::VMSF_OK);
        last = heard("b");
    }
    // One more, which nobody looks at before the stop.
    let later = rig.now() + SECOND / 20;
    while rig.now() < later {
        std::hint::spin_loop();
    }
    assert_eq!(keep_alive(0)[1], abi::VMSF_OK);
    expect(rig.stop(PATIENCE.as_millis() as u32), abi::VMSF_OK, "stop");
    assert_eq!(keep_alive(0), [abi::VMSF_ERR_HANDLE, abi::VMSF_ERR_STATE]);
    assert!(heard("b") >= last + 40, "what came before the stop was taken in");
    expect(rig.start(), abi::VMSF_OK, "start");
    assert_eq!(keep_alive(0), [abi::VMSF_ERR_HANDLE, abi::VMSF_OK]);
}

/// Posts transitions of a long time ago while the worker is kept in a callback; gives the codes.
fn flood(rig: &Rig, count: usize) -> Vec<abi::vmsf_result> {
    let held = rig.probe.hold(|callback| callback.is("health", "connected"));
    rig.notify(rig.server("b"), abi::VMSF_NOTIFY_CONNECTED, 0);
    held.wait();
    let (s, stamp) = (rig.server("a"), rig.now() - 400 * SECOND);
    let kinds = [abi::VMSF_NOTIFY_CONNECTED, abi::VMSF_NOTIFY_STARTUP];
    let codes = (0..count).map(|n| rig.notify(s, kinds[n % 2], stamp)).collect();
    held.go_on();
    codes
}

#[test]
fn eight_transitions_are_listed_and_act_as_they_were_stamped() {
    let rig = Rig::running(false, &["a", "b"]);
    assert_eq!(flood(&rig, 8), [abi::VMSF_OK; 8]);
    rig.probe.wait("failed", |callback| callback.is("health", "failed"));
    assert_eq!(rig.probe.count(|callback| callback.code() == "events_lost"), 0);
}

#[test]
fn the_ninth_transition_is_busy_said_to_be_lost_and_the_server_does_not_fail() {
    let rig = Rig::running(false, &["a", "b"]);
    let codes = flood(&rig, 11);
    assert_eq!(codes[..8], [abi::VMSF_OK; 8]);
    assert_eq!(codes[8..], [abi::VMSF_ERR_BUSY; 3]);
    rig.probe.wait("events_lost", |callback| callback.code() == "events_lost");
    // What comes after it is delivered after all that came of the flood.
    rig.notify(rig.server("b"), abi::VMSF_NOTIFY_STARTUP, 0);
    rig.probe
        .wait("b", |c| c.is("health", "started") && matches!(c, Callback::Event { json, .. } if json["server"] == "b"));
    assert_eq!(rig.probe.count(|callback| callback.code() == "events_lost"), 1);
    assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 0);
}

#[test]
fn two_instances_side_by_side_do_not_see_each_other() {
    let (one, two) = (Rig::running(false, &["a"]), Rig::running(false, &["a"]));
    expect(one.notify(one.server("a"), abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK, "notify");
    expect(two.notify(two.server("a"), abi::VMSF_NOTIFY_STARTUP, 0), abi::VMSF_OK, "notify");
    one.probe.wait("connected", |callback| callback.is("health", "connected"));
    two.probe.wait("started", |callback| callback.is("health", "started"));
    expect(two.stop(1000), abi::VMSF_OK, "stop");
    expect(two.destroy(), abi::VMSF_OK, "destroy");
    expect(one.notify(one.server("a"), abi::VMSF_NOTIFY_STARTUP, 0), abi::VMSF_OK, "notify");
    one.probe.wait("started", |callback| callback.is("health", "started"));
    assert_eq!(one.probe.count(|callback| callback.code() == "health"), 2);
    assert_eq!(two.probe.count(|callback| callback.code() == "health"), 1);
}

// ---- driven ----

#[test]
fn only_polls_move_time_and_never_back() {
    let rig = Rig::new(true, &["a"]);
    assert_eq!(rig.now(), 0);
    expect(rig.poll(5).0, abi::VMSF_ERR_STATE, "before start");
    expect(rig.start(), abi::VMSF_OK, "start");
    expect(rig.poll(0).0, abi::VMSF_ERR_INVALID, "0");
    // A start looks at the backups first, a step a poll.
    rig.settle(100 * SECOND);
    assert_eq!(rig.now(), 100 * SECOND);
    let (code, next) = rig.poll(50 * SECOND);
    expect(code, abi::VMSF_OK, "an earlier one counts as the last");
    assert_eq!(rig.now(), 100 * SECOND);
    assert!(next > 100 * SECOND, "{next}");
    rig.notify(rig.server("a"), abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
    assert_eq!(rig.probe.count(|callback| callback.code() == "health"), 0, "nothing happens outside poll");
    rig.drive_to_ns(130 * SECOND - 1);
    assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 0, "unstamped is the last poll's time");
    expect(rig.poll(130 * SECOND).0, abi::VMSF_OK, "poll");
    assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 1);
    expect(rig.stop(0), abi::VMSF_OK, "stop");
    expect(rig.poll(131 * SECOND).0, abi::VMSF_ERR_STATE, "after stop");
}

#[test]
fn an_unstamped_message_between_start_and_the_first_poll_is_of_that_poll() {
    let rig = Rig::running(true, &["a"]);
    for start in [100_000, 200_000] {
        expect(rig.stop(0), abi::VMSF_OK, "stop");
        expect(rig.start(), abi::VMSF_OK, "start");
        expect(rig.notify(rig.server("a"), abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, "notify");
        expect(rig.poll(start * SECOND).0, abi::VMSF_OK, "poll");
        assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 0, "silence was none");
    }
}

#[test]
fn later_stamps_are_cut_to_the_poll_that_takes_them_in() {
    let rig = Rig::running(true, &["a"]);
    rig.notify(rig.server("a"), abi::VMSF_NOTIFY_KEEP_ALIVE, u64::MAX);
    expect(rig.poll(1_001 * SECOND).0, abi::VMSF_OK, "poll");
    rig.drive_to_ns(1_031 * SECOND - 1);
    assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 0);
    rig.drive_to(1_031);
    assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 1);
}

#[test]
fn wake_is_called_once_until_the_next_poll_and_never_for_a_repeated_keep_alive() {
    let rig = Rig::ready(true, &["a", "b"]);
    rig.settle(1_000 * SECOND);
    let (a, b) = (rig.server("a"), rig.server("b"));
    assert_eq!(wakes(&rig), 0);
    for kind in [abi::VMSF_NOTIFY_KEEP_ALIVE, abi::VMSF_NOTIFY_STARTUP, abi::VMSF_NOTIFY_KEEP_ALIVE] {
        rig.notify(a, kind, 0);
    }
    expect(rig.takeover(b).0, abi::VMSF_OK, "takeover");
    assert_eq!(wakes(&rig), 1, "once until the next poll");
    rig.settle(1_001 * SECOND);
    for second in 1_002..1_010 {
        rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
        rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
        assert_eq!(wakes(&rig), 1, "a keep-alive in keep_alive brings no work");
        expect(rig.poll(second * SECOND).0, abi::VMSF_OK, "poll");
    }
    expect(rig.restore(a), abi::VMSF_ERR_STATE, "restore");
    expect(rig.complete(1 << 50, 0), abi::VMSF_ERR_NOT_FOUND, "complete");
    assert_eq!(wakes(&rig), 1, "a refused call brings no work");
    rig.notify(a, abi::VMSF_NOTIFY_SHUTDOWN_NORMAL, 0);
    assert_eq!(wakes(&rig), 2, "and the next that brings work wakes again");
}

#[test]
fn an_operation_answered_before_the_stop_is_not_begun_again() {
    let rig = Rig::ready(true, &["a"]);
    expect(rig.takeover(rig.server("a")).0, abi::VMSF_OK, "takeover");
    rig.settle(1_001 * SECOND);
    let begin = rig.asked_for(abi::VMSF_OP_TAKEOVER);
    expect(rig.complete(begin.id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    expect(rig.stop(0), abi::VMSF_OK, "stop");
    assert_eq!(rig.probe.count(|callback| callback.is("takeover", "taken_over")), 1, "what is queued is delivered");
    expect(rig.start(), abi::VMSF_OK, "start");
    expect(rig.poll(1_002 * SECOND).0, abi::VMSF_OK, "poll");
    assert_eq!(rig.probe.count(|callback| callback.begins_a(abi::VMSF_OP_TAKEOVER)), 1);
}

#[test]
fn an_operation_without_an_answer_is_begun_again_once_under_its_id() {
    for drives in [true, false] {
        let rig = Rig::ready(drives, &["a"]);
        expect(rig.takeover(rig.server("a")).0, abi::VMSF_OK, "takeover");
        let first = rig.asked_for(abi::VMSF_OP_TAKEOVER).id;
        expect(rig.stop(10_000), abi::VMSF_OK, "stop");
        expect(rig.start(), abi::VMSF_OK, "start");
        let resumed = |c: &Callback| matches!(c, Callback::Begin { flags, .. } if *flags == abi::VMSF_OP_RESUMED);
        assert_eq!(Begun::of(rig.wait("begin", resumed)).map(|begun| begun.id), Some(first));
        expect(rig.stop(10_000), abi::VMSF_OK, "stop");
        assert_eq!(rig.probe.count(|callback| callback.begins_a(abi::VMSF_OP_TAKEOVER)), 2);
    }
}

#[test]
fn a_late_answer_is_said_once_however_often_it_is_given() {
    let rig = Rig::ready(true, &["a"]);
    expect(rig.takeover(rig.server("a")).0, abi::VMSF_OK, "takeover");
    rig.settle(1_001 * SECOND);
    let begin = rig.asked_for(abi::VMSF_OP_TAKEOVER);
    expect(rig.poll(1_601 * SECOND).0, abi::VMSF_OK, "poll");
    assert_eq!(rig.probe.count(|callback| callback.code() == "operation_over"), 1);
    for _ in 0..1000 {
        expect(rig.complete(begin.id, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "complete");
    }
    expect(rig.poll(1_602 * SECOND).0, abi::VMSF_OK, "poll");
    assert_eq!(rig.probe.count(|callback| callback.code() == "late_answer"), 1);
}

#[test]
fn calls_without_polls_are_bounded() {
    let rig = Rig::running(true, &["a"]);
    let next = config(&["a", "b"]).to_string();
    let configures = (0..1000).take_while(|_| rig.configure(&next, 0).0 == abi::VMSF_OK).count();
    assert!(configures < 1000, "each may hold a million servers");
    expect(rig.configure(&next, 0).0, abi::VMSF_ERR_BUSY, "configure");
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_BUSY, "the next poll brings b");
    expect(rig.poll(1_001 * SECOND).0, abi::VMSF_OK, "poll");
    expect(rig.configure(&next, 0).0, abi::VMSF_OK, "configure");
    expect(rig.authorize(rig.server("b"), b"x").0, abi::VMSF_OK, "authorize");
}
