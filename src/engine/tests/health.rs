//! Section 3: what messages and silence make of a server's health.

use super::{TIMEOUTS, at};
use crate::engine::health::{Effect, EventKind as E, FailReason as R, Health, Pause, Phase as P};
use crate::engine::policy::Timeouts;
use crate::time::{Mono, SECOND_NS, Span};

const ENTERED: u64 = 1000;

fn heard(events: &[(u64, E)]) -> Health {
    let mut health = Health::default();
    events.iter().for_each(|(seconds, kind)| {
        health.event(*kind, at(*seconds), &TIMEOUTS);
    });
    health
}

/// A server that entered this phase at 1000, with nothing before that could matter.
fn in_phase(phase: P) -> Health {
    match phase {
        P::Unknown => Health::default(),
        P::Connected => heard(&[(ENTERED, E::Connected)]),
        P::Started => heard(&[(ENTERED, E::Startup)]),
        P::KeepAlive => heard(&[(ENTERED, E::KeepAlive)]),
        P::NormalShutdown => heard(&[(ENTERED, E::ShutdownNormal)]),
        P::AbnormalShutdown => heard(&[(ENTERED, E::ShutdownAbnormal)]),
        P::Failed => {
            let mut health = heard(&[(ENTERED - 300, E::Connected)]);
            health.fail(at(ENTERED), &TIMEOUTS).expect("a deadline at 1000");
            health
        }
    }
}

fn deadline(health: &Health) -> Option<u64> {
    health.deadline(&TIMEOUTS).map(|Mono(ns)| ns / SECOND_NS)
}

const PHASES: [P; 7] =
    [P::Unknown, P::Connected, P::Started, P::KeepAlive, P::NormalShutdown, P::AbnormalShutdown, P::Failed];

#[test]
fn every_cell_of_the_health_table_and_the_deadline_after_it() {
    // Every event comes at 1010; the deadline is None or seconds.
    let connected = (P::Connected, Some(1310));
    let started = (P::Started, Some(1410));
    let alive = (P::KeepAlive, Some(1040));
    let normal = (P::NormalShutdown, Some(1910));
    let abnormal = (P::AbnormalShutdown, Some(1510));
    let stay = [
        (P::Unknown, None),
        (P::Connected, Some(1300)),
        (P::Started, Some(1400)),
        (P::KeepAlive, Some(1030)),
        (P::NormalShutdown, Some(1900)),
        (P::AbnormalShutdown, Some(1500)),
        (P::Failed, None),
    ];
    let table = [
        (E::Connected, [connected, stay[1], connected, connected, connected, connected, connected]),
        (E::Disconnected, stay),
        (E::Startup, [started, started, stay[2], started, started, started, started]),
        (E::KeepAlive, [alive, alive, alive, alive, stay[4], stay[5], alive]),
        (E::ShutdownNormal, [normal, normal, normal, normal, stay[4], stay[5], stay[6]]),
        (E::ShutdownAbnormal, [abnormal, abnormal, abnormal, abnormal, abnormal, stay[5], stay[6]]),
    ];
    for (event, row) in table {
        for (phase, expected) in PHASES.into_iter().zip(row) {
            let mut health = in_phase(phase);
            health.event(event, at(1010), &TIMEOUTS);
            assert_eq!((health.phase(), deadline(&health)), expected, "{event:?} in {phase:?}");
        }
    }
}

#[test]
fn a_deadline_fails_its_phase_for_its_reason_and_never_a_nanosecond_early() {
    let rows = [
        (P::Connected, 1300, R::ConnectedTimeout),
        (P::Started, 1400, R::StartedTimeout),
        (P::KeepAlive, 1030, R::KeepAliveTimeout),
        (P::NormalShutdown, 1900, R::NormalShutdownTimeout),
        (P::AbnormalShutdown, 1500, R::AbnormalShutdownTimeout),
    ];
    for (phase, end, reason) in rows {
        let mut health = in_phase(phase);
        assert_eq!(health.fail(Mono(at(end).0 - 1), &TIMEOUTS), None, "{phase:?}");
        assert_eq!(health.fail(at(end + 7), &TIMEOUTS), Some((phase, reason)));
        assert_eq!(health.failure(), Some((reason, at(end))), "the time of failure is the deadline");
        assert_eq!(health.fail(at(end + 8), &TIMEOUTS), None, "once");
    }
    assert_eq!(in_phase(P::Unknown).fail(Mono(u64::MAX), &TIMEOUTS), None);
}

#[test]
fn a_repeated_message_says_so() {
    let effects = [
        (P::Connected, E::Connected, Effect::Stayed),
        (P::KeepAlive, E::KeepAlive, Effect::Rearmed),
        (P::NormalShutdown, E::KeepAlive, Effect::Stale),
        (P::AbnormalShutdown, E::ShutdownNormal, Effect::Ignored),
        (P::Failed, E::ShutdownAbnormal, Effect::Ignored),
        (P::Failed, E::KeepAlive, Effect::Entered { from: P::Failed }),
    ];
    for (phase, event, effect) in effects {
        assert_eq!(in_phase(phase).event(event, at(1010), &TIMEOUTS), effect, "{event:?} in {phase:?}");
    }
}

#[test]
fn a_keep_alive_after_an_abnormal_shutdown_counts_only_later_than_the_keep_alive_time() {
    for (ns, phase) in [(0, P::AbnormalShutdown), (1, P::KeepAlive)] {
        let mut health = in_phase(P::AbnormalShutdown);
        health.event(E::KeepAlive, Mono(at(ENTERED + 30).0 + ns), &TIMEOUTS);
        assert_eq!(health.phase(), phase, "{ns} ns after the boundary");
    }
}

#[test]
fn after_a_normal_then_an_abnormal_shutdown_the_earlier_deadline_counts() {
    for (abnormal_at, end) in [(1010, 1510), (1399, 1899), (1401, 1900), (1800, 1900)] {
        let health = heard(&[(1000, E::ShutdownNormal), (abnormal_at, E::ShutdownAbnormal)]);
        assert_eq!(deadline(&health), Some(end), "abnormal at {abnormal_at}");
    }
    let mut health = heard(&[(1000, E::ShutdownNormal), (1800, E::ShutdownAbnormal)]);
    assert_eq!(health.fail(at(1900), &TIMEOUTS), Some((P::AbnormalShutdown, R::AbnormalShutdownTimeout)));
    let back = heard(&[(1000, E::ShutdownNormal), (1800, E::ShutdownAbnormal), (1850, E::Connected)]);
    assert_eq!(deadline(&back), Some(2150), "a message ends the older clock");
}

#[test]
fn changed_timeouts_move_both_deadlines_each_from_its_own_instant() {
    let health = heard(&[(1000, E::ShutdownNormal), (1800, E::ShutdownAbnormal)]);
    let longer = Timeouts { normal_shutdown: Span::seconds(3600), ..TIMEOUTS };
    assert_eq!(health.deadline(&longer), Some(at(2300)));
    let shorter = Timeouts { normal_shutdown: Span::seconds(850), ..TIMEOUTS };
    assert_eq!(health.deadline(&shorter), Some(at(1850)));
}

/// Comes back again and again without a keep-alive, every 100 s from `first` on, until it fails.
fn flaps(mut health: Health, first: u64, down: E) -> (u64, P) {
    for round in 0.. {
        let kind = [E::Connected, E::Startup, down][round as usize % 3];
        let now = at(first + round * 100);
        if let Some((from, _)) = health.fail(now, &TIMEOUTS) {
            return (health.failure().unwrap().1.0 / SECOND_NS, from);
        }
        health.event(kind, now, &TIMEOUTS);
    }
    unreachable!()
}

#[test]
fn no_messages_put_a_failure_off_for_ever() {
    let abnormal_cap = 30 + 500 + 300 + 400;
    let normal_cap = 30 + 900 + 300 + 400;
    let keeps_alive = || heard(&[(1000, E::KeepAlive)]);
    assert_eq!(flaps(keeps_alive(), 1010, E::ShutdownAbnormal).0, 1000 + abnormal_cap);
    assert_eq!(flaps(keeps_alive(), 1010, E::ShutdownNormal).0, 1000 + normal_cap);
    assert_eq!(flaps(Health::default(), 2000, E::ShutdownAbnormal).0, 2000 + abnormal_cap, "from the first event");
    assert_eq!(flaps(in_phase(P::Failed), 2000, E::ShutdownNormal).0, 2000 + normal_cap, "from the recovery");
    let stale = heard(&[(1000, E::KeepAlive), (1010, E::ShutdownNormal), (1020, E::KeepAlive)]);
    assert_eq!(flaps(stale, 1030, E::ShutdownNormal).0, 1000 + normal_cap, "a stale keep-alive proves nothing");
    let again = heard(&[(500, E::ShutdownNormal), (600, E::Startup), (1000, E::KeepAlive)]);
    assert_eq!(flaps(again, 1010, E::ShutdownAbnormal).0, 1000 + abnormal_cap, "normal, but before the keep-alive");
}

#[test]
fn the_cap_fails_the_phase_it_finds_and_leaves_one_ordinary_restart_its_time() {
    assert_eq!(flaps(heard(&[(1000, E::KeepAlive)]), 1010, E::ShutdownAbnormal).1, P::Connected);
    let restart = heard(&[(1000, E::KeepAlive), (1029, E::ShutdownNormal), (1928, E::Connected), (2227, E::Startup)]);
    assert_eq!(deadline(&restart), Some(2627), "its own deadline, not the cap");
}

#[test]
fn a_pause_moves_the_cap_too() {
    let mut health = heard(&[(1000, E::KeepAlive), (1010, E::Connected)]);
    health.paused(Pause { late: Span::seconds(50), slept: Span::ZERO }, at(1070), &TIMEOUTS);
    assert_eq!(flaps(health, 1110, E::ShutdownAbnormal).0, 1000 + 1230 + 50);
}

#[test]
fn a_stamp_before_the_last_event_counts_as_that_one() {
    let mut health = heard(&[(1000, E::Connected), (1100, E::Disconnected)]);
    health.event(E::Startup, at(900), &TIMEOUTS);
    assert_eq!((health.entered_at(), deadline(&health)), (at(1100), Some(1500)));
}

#[test]
fn lost_messages_give_a_normal_restart_s_time_and_take_none() {
    let mut health = in_phase(P::KeepAlive);
    health.messages_lost(at(1005), &TIMEOUTS);
    assert_eq!(deadline(&health), Some(1905));
    health.messages_lost(at(1001), &TIMEOUTS);
    assert_eq!(deadline(&health), Some(1905), "an older stamp shortens nothing");
    let mut health = in_phase(P::NormalShutdown);
    health.messages_lost(at(900), &TIMEOUTS);
    assert_eq!(deadline(&health), Some(1900));
}

#[test]
fn a_pause_moves_the_time_that_lost_messages_gave() {
    let mut health = in_phase(P::KeepAlive);
    health.messages_lost(at(1005), &TIMEOUTS);
    health.paused(Pause { late: Span::seconds(500), slept: Span::ZERO }, at(1600), &TIMEOUTS);
    assert_eq!(deadline(&health), Some(2405));
}

#[test]
fn after_a_start_only_a_server_seen_before_has_a_deadline() {
    let mut never = Health::default();
    never.start(at(5000));
    assert_eq!((never.phase(), deadline(&never), never.unknown_after_start()), (P::Unknown, None, false));
    for phase in PHASES.into_iter().skip(1) {
        let mut health = in_phase(phase);
        let end = 5000 + if phase == P::NormalShutdown { 900 } else { 500 };
        health.start(at(5000));
        assert_eq!((health.phase(), deadline(&health)), (P::Unknown, Some(end)), "{phase:?}");
        let mut again = health.clone();
        assert_eq!(health.fail(at(end), &TIMEOUTS), Some((P::Unknown, R::NotSeenSinceStart)));
        again.start(at(6000));
        assert_eq!(deadline(&again), Some(end + 1000), "{phase:?}, two starts");
    }
}
