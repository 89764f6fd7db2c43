//! Section 5: from a failure to the host running in the server's place, one story per transition.

use super::{A, B, C, Rig, policy};
use crate::engine::command::{Command, Input, Refusal};
use crate::engine::health::EventKind as E;
use crate::engine::output::{Alarm, Block, Outcome, TakeoverState as S};
use crate::engine::policy::ServerPolicy;

#[test]
fn a_failed_server_is_queued_begun_and_taken_over() {
    let mut rig = Rig::alive(1);
    rig.to(30);
    rig.answer(1, Outcome::Ok);
    assert_eq!(
        rig.said(),
        [
            "30 a keep_alive -> failed keep_alive_timeout",
            "30 a none => queued keep_alive_timeout",
            "30 a queued => taking_over keep_alive_timeout",
            "30 a begin takeover 1 attempt 0",
            "30 a completed 1 ok",
            "30 a taking_over => taken_over keep_alive_timeout",
        ]
    );
}

#[test]
fn a_failing_takeover_is_begun_again_after_30_60_and_so_on_up_to_600_seconds() {
    let mut rig = Rig::alive(1);
    rig.to(30);
    let mut now = 30;
    for (failed, delay) in [30, 60, 120, 240, 480, 600, 600].into_iter().enumerate() {
        let op = failed as u64 + 1;
        rig.said();
        rig.answer(op, Outcome::Failed);
        assert_eq!(
            rig.said(),
            [
                format!("{now} a completed {op} failed"),
                format!("{now} a alarm takeover_failed"),
                format!("{now} a taking_over => queued failed"),
            ]
        );
        rig.to(now + delay - 1);
        assert_eq!(rig.said(), [""; 0], "nothing within the {delay} s");
        now += delay;
        rig.to(now);
        assert!(rig.said().contains(&format!("{now} a begin takeover {} attempt {op}", op + 1)), "after {delay} s");
    }
    rig.answer(8, Outcome::Ok);
    assert!(rig.said().contains(&format!("{now} a ended takeover_failed")));
}

#[test]
fn without_an_answer_a_takeover_is_given_up_at_its_deadline_and_superseded_by_the_next() {
    let mut rig = Rig::alive(2);
    rig.event(B, E::Connected);
    rig.to(629);
    rig.said();
    rig.to(630);
    assert_eq!(
        rig.said(),
        [
            "630 a over 1",
            "630 a completed 1 timeout",
            "630 a alarm takeover_failed",
            "630 a taking_over => queued timeout",
            "630 b queued => taking_over connected_timeout",
            "630 b ended not_covered",
            "630 b begin takeover 2 attempt 0 undo [1]",
            "630 a alarm not_covered b",
        ]
    );
    rig.answer(2, Outcome::Failed);
    rig.to(660);
    assert_eq!(
        rig.said_of(&["begin"]),
        ["660 a begin takeover 3 attempt 1 undo [1]"],
        "a failed one undoes nothing for good, and an answered one is not superseded"
    );
    rig.answer(3, Outcome::Failed);
    assert_eq!(rig.said_of(&["begin"]), ["660 b begin takeover 4 attempt 1 undo [1]"]);
    rig.to(720);
    rig.answer(4, Outcome::Ok);
    rig.restore(B);
    rig.answer(5, Outcome::Ok);
    assert_eq!(rig.said_of(&["begin takeover"]), ["720 a begin takeover 6 attempt 2"], "undone by a success");
}

#[test]
fn an_answer_at_the_deadline_is_in_time() {
    let mut rig = Rig::alive(1);
    rig.to(30);
    rig.now = super::at(630);
    rig.take_in(Input::Command(Command::Complete { op: 1, outcome: Outcome::Ok, error: None }));
    rig.to(630);
    assert_eq!(rig.state(A), S::TakenOver);
}

#[test]
fn a_late_ok_is_an_alarm_once_and_stays_to_be_undone_a_late_failure_is_not() {
    let mut rig = Rig::alive(1);
    rig.to(640);
    rig.said();
    assert!(rig.engine.gave_up(1));
    rig.hand_in(Input::LateAnswer { op: 1, outcome: Outcome::Ok });
    rig.hand_in(Input::LateAnswer { op: 1, outcome: Outcome::Ok });
    assert!(!rig.engine.gave_up(1));
    assert_eq!(rig.said(), ["640 a alarm late_answer"]);
    rig.to(660 + 600);
    assert_eq!(rig.said_of(&["begin"]), ["660 a begin takeover 2 attempt 1 undo [1]"]);
    rig.hand_in(Input::LateAnswer { op: 2, outcome: Outcome::Failed });
    rig.to(1320);
    assert_eq!(rig.said_of(&["begin", "late"]), ["1320 a begin takeover 3 attempt 2 undo [1]"]);
}

#[test]
fn an_automatic_takeover_that_fails_while_the_server_is_back_ends_in_none() {
    let mut rig = Rig::alive(1);
    rig.to(40);
    rig.event(A, E::KeepAlive);
    rig.said();
    rig.answer(1, Outcome::Failed);
    assert_eq!(
        rig.said(),
        [
            "40 a completed 1 failed",
            "40 a alarm takeover_failed",
            "40 a taking_over => none recovered",
            "40 a ended takeover_failed",
        ]
    );
    rig.to(70);
    assert_eq!(rig.said_of(&["begin"]), ["70 a begin takeover 2 attempt 0"], "a new entry begins anew");
}

#[test]
fn an_automatic_takeover_that_fails_before_the_first_keep_alive_is_queued_again() {
    for event in [E::Connected, E::Startup] {
        let mut rig = Rig::alive(1);
        rig.to(30);
        rig.event(A, event);
        rig.answer(1, Outcome::Failed);
        assert_eq!(rig.state(A), S::Queued);
        rig.to(60);
        assert_eq!(rig.state(A), S::Queued, "not begun while it is not failed");
    }
}

#[test]
fn an_operator_s_takeover_that_fails_is_tried_again_though_the_server_is_healthy() {
    let mut rig = Rig::alive(1);
    rig.takeover(A);
    rig.answer(1, Outcome::Failed);
    rig.said();
    rig.alive_until(A, 30);
    assert_eq!(rig.said(), ["30 a queued => taking_over operator", "30 a begin takeover 2 attempt 1"]);
}

#[test]
fn a_queued_server_that_is_back_leaves_the_queue_only_with_a_keep_alive() {
    let mut rig = Rig::alive(2);
    rig.to(30);
    rig.event(B, E::Connected);
    rig.event(B, E::Startup);
    rig.event(B, E::ShutdownAbnormal);
    assert_eq!(rig.state(B), S::Queued);
    rig.said();
    rig.event(B, E::KeepAlive);
    assert_eq!(rig.said(), [""; 0], "stale");
    rig.event(B, E::Startup);
    rig.event(B, E::KeepAlive);
    assert_eq!(
        rig.said(),
        [
            "30 b abnormal_shutdown -> started",
            "30 b started -> keep_alive",
            "30 b queued => none recovered",
            "30 b ended not_covered"
        ]
    );
}

#[test]
fn an_automatic_entry_waits_until_its_server_is_failed_and_keeps_its_time_of_failure() {
    let mut rig = Rig::alive(3);
    rig.to(20);
    rig.event(C, E::KeepAlive);
    rig.to(50);
    rig.event(B, E::Connected);
    rig.answer(1, Outcome::Failed);
    assert_eq!((rig.state(B), rig.state(C)), (S::Queued, S::TakingOver), "b is not failed now");
    rig.to(350);
    rig.answer(2, Outcome::Failed);
    rig.to(350);
    // All three are failed and without a delay by now: b failed at 30, c at 50, a at 30 but before b in the configuration.
    assert_eq!(rig.state(A), S::TakingOver);
    rig.answer(3, Outcome::Failed);
    assert_eq!(rig.state(B), S::TakingOver, "not behind c, though its phase failed again only at 350");
}

#[test]
fn a_life_sign_during_a_takeover_never_aborts_it() {
    let mut rig = Rig::alive(1);
    rig.to(30);
    rig.event(A, E::KeepAlive);
    assert_eq!(rig.state(A), S::TakingOver);
    rig.answer(1, Outcome::Ok);
    assert_eq!(rig.state(A), S::TakenOver);
}

#[test]
fn a_cancelled_server_waits_for_a_person_or_a_new_failure() {
    let mut rig = Rig::alive(2);
    rig.to(30);
    rig.cancel(B);
    assert_eq!((rig.state(B), rig.engine.waits_for_operator(B)), (S::None, true));
    rig.configure(|policy| policy.automatic_takeover = false);
    rig.configure(|policy| policy.automatic_takeover = true);
    rig.event(B, E::Connected);
    assert_eq!(rig.state(B), S::None, "for this failure only");
    rig.to(330);
    assert_eq!(rig.state(B), S::Queued, "a new failure");
    rig.cancel(B);
    rig.event(B, E::KeepAlive);
    assert!(!rig.engine.waits_for_operator(B), "back");
    rig.to(360);
    assert_eq!(rig.state(B), S::Queued);
    rig.cancel(B);
    rig.restart();
    rig.to(360 + 500);
    assert_eq!((rig.state(B), rig.engine.waits_for_operator(B)), (S::None, true), "not a new failure");
}

#[test]
fn cancelling_an_operator_s_entry_of_a_healthy_server_holds_nothing() {
    let mut rig = Rig::alive(1);
    rig.takeover(A);
    rig.answer(1, Outcome::Failed);
    rig.cancel(A);
    assert!(!rig.engine.waits_for_operator(A));
    rig.restart();
    rig.to(500);
    assert_eq!(rig.state(A), S::TakingOver, "its first failure is not one that somebody decided on");
}

#[test]
fn what_the_host_is_doing_cannot_be_cancelled() {
    let mut rig = Rig::alive(1);
    rig.to(30);
    let cancel = Command::Cancel { server: A, actor: "eve".into(), request: 7 };
    assert_eq!(rig.engine.accepts(std::iter::empty(), &cancel), Err(Refusal::WrongState(S::TakingOver)));
    rig.cancel(A);
    assert_eq!(rig.state(A), S::TakingOver);
}

#[test]
fn a_removed_or_readdressed_server_leaves_the_queue_with_all_its_alarms() {
    for remove in [true, false] {
        let mut rig = Rig::alive(2);
        rig.to(30);
        rig.said();
        rig.configure(|policy| {
            policy.servers[1].readdressed = true;
            policy.servers.truncate(if remove { 1 } else { 2 });
        });
        if remove {
            assert_eq!(rig.said(), ["30 b queued => none removed", "30 b ended not_covered", "30 b access false"]);
            assert_eq!(rig.engine.takeover_state(B), None);
        } else {
            assert_eq!(
                rig.said(),
                [
                    "30 b queued => none readdressed",
                    "30 b ended not_covered",
                    "30 b access false",
                    "30 b failed -> unknown"
                ]
            );
            assert_eq!(rig.deadline(B), None, "a server never seen");
        }
    }
}

#[test]
fn a_readdressed_server_is_never_seen_by_the_timeouts_that_came_with_the_new_address() {
    let mut rig = Rig::alive(1);
    rig.configure(|policy| {
        policy.servers[0].readdressed = true;
        policy.timeouts.connected = crate::time::Span::seconds(1000);
    });
    rig.to(999);
    assert!(!rig.stands(A, Alarm::NeverSeen));
    rig.to(1000);
    assert!(rig.stands(A, Alarm::NeverSeen));
    rig.event(A, E::Disconnected);
    assert!(!rig.stands(A, Alarm::NeverSeen), "any message will do");
}

#[test]
fn a_server_in_an_operation_or_taken_over_can_be_neither_removed_nor_readdressed() {
    let mut rig = Rig::alive(2);
    rig.to(30);
    for state in [S::TakingOver, S::TakenOver, S::Restoring] {
        assert_eq!(rig.state(A), state);
        let mut without = rig.engine.policy().clone();
        without.servers.remove(0);
        let refused = Err(Refusal::WrongState(state));
        assert_eq!(rig.engine.accepts(std::iter::empty(), &Command::Configure(without.clone())), refused);
        assert_eq!(rig.engine.accepts_drop(A, std::iter::empty()), refused);
        rig.command(Command::Configure(without));
        assert_eq!(rig.state(A), state, "not even if it is handed in");
        match state {
            S::TakingOver => rig.answer(1, Outcome::Ok),
            _ => rig.restore(A),
        }
    }
}

#[test]
fn the_queue_puts_operators_first_then_priority_then_failure_then_configuration() {
    // (priority, fails at, by an operator), in configuration order; then the order in which they have the slot.
    type Row = (u32, u64, bool);
    let tables: [(&str, [Row; 3], [usize; 3]); 5] = [
        ("configuration", [(100, 0, false), (100, 0, false), (100, 0, false)], [0, 1, 2]),
        ("time of failure", [(100, 9, false), (100, 6, false), (100, 3, false)], [2, 1, 0]),
        ("priority before time", [(3, 0, false), (2, 3, false), (1, 6, false)], [2, 1, 0]),
        ("an operator before all", [(1, 0, false), (2, 3, false), (100, 6, true)], [2, 0, 1]),
        ("operators among themselves", [(1, 0, false), (3, 3, true), (2, 6, true)], [2, 1, 0]),
    ];
    for (name, rows, order) in tables {
        let mut rules = policy(3);
        rules.servers.iter_mut().zip(rows).for_each(|(server, (priority, ..))| server.priority = priority);
        let mut rig = Rig::alive_with(rules);
        rig.cluster(false);
        for second in 1..10 {
            rig.to(second);
            for (server, (_, offset, _)) in [A, B, C].into_iter().zip(rows) {
                if offset >= second {
                    rig.event(server, E::KeepAlive);
                }
            }
        }
        rig.to(60);
        rig.take_in(super::joins(true));
        for (server, (.., by_operator)) in [A, B, C].into_iter().zip(rows) {
            if by_operator {
                let actor = "eve".into();
                rig.take_in(Input::Command(Command::Takeover { server, actor, request: 5 }));
            }
        }
        rig.to(60);
        for (turn, expected) in order.into_iter().enumerate() {
            assert_eq!(rig.engine.slot(), Some([A, B, C][expected]), "{name}, turn {turn}");
            rig.answer(turn as u64 + 1, Outcome::Failed);
        }
    }
}

#[test]
fn a_server_that_is_not_failed_counts_as_failing_when_an_operator_asks() {
    let mut rig = Rig::alive(3);
    rig.alive_until(B, 60);
    for server in [B, C] {
        rig.takeover(server);
    }
    // a holds the slot, so both calls are refused; only queued servers and the free slot take them.
    assert_eq!((rig.state(B), rig.state(C)), (S::None, S::Queued));
    rig.take_in(Input::Command(Command::Complete { op: 1, outcome: Outcome::Failed, error: None }));
    for server in [B, C] {
        let actor = "eve".into();
        rig.take_in(Input::Command(Command::Takeover { server, actor, request: 5 }));
    }
    rig.to(60);
    assert_eq!(rig.state(C), S::TakingOver, "failed at 30, b now");
}

#[test]
fn a_manual_takeover_is_refused_by_what_it_lacks_and_by_who_holds_the_slot() {
    let mut rig = Rig::alive(2);
    let takeover = |server| Command::Takeover { server, actor: "eve".into(), request: 1 };
    let refused = |rig: &Rig, server| rig.engine.accepts(std::iter::empty(), &takeover(server)).err();
    assert_eq!(refused(&rig, A), None);
    assert_eq!(refused(&rig, C), Some(Refusal::NoSuchServer));
    rig.facts(A, true, false);
    assert_eq!(refused(&rig, A), Some(Refusal::Blocked(Block::NoBackup)));
    rig.facts(A, false, false);
    assert_eq!(refused(&rig, A), Some(Refusal::Blocked(Block::NotAuthorized)));
    rig.cluster(false);
    assert_eq!(refused(&rig, A), Some(Refusal::Blocked(Block::NotInCluster)));
    rig.cluster(true);
    rig.facts(A, true, true);
    rig.takeover(A);
    assert_eq!(refused(&rig, A), Some(Refusal::WrongState(S::TakingOver)));
    assert_eq!(refused(&rig, B), Some(Refusal::SlotHeld(A)));
}

#[test]
fn pending_calls_count_when_the_next_one_is_judged() {
    let mut rig = Rig::alive(2);
    rig.to(30);
    let failed = Command::Complete { op: 1, outcome: Outcome::Failed, error: None };
    let takeover = |server| Command::Takeover { server, actor: "eve".into(), request: 1 };
    let judge = |pending: &[&Command], command: &Command| rig.engine.accepts(pending.iter().copied(), command);
    assert_eq!(judge(&[], &takeover(B)), Err(Refusal::SlotHeld(A)));
    assert_eq!(judge(&[&failed], &takeover(B)), Ok(()));
    assert_eq!(judge(&[&failed], &failed), Err(Refusal::NoSuchOperation), "answered twice");
    let cancel = Command::Cancel { server: B, actor: "eve".into(), request: 1 };
    assert_eq!(judge(&[&cancel], &cancel), Err(Refusal::WrongState(S::None)));
}

#[test]
fn a_manual_call_on_a_queued_server_begins_at_attempt_0_at_once() {
    let mut rig = Rig::alive(1);
    rig.to(30);
    rig.answer(1, Outcome::Failed);
    rig.to(40);
    rig.said();
    rig.takeover(A);
    assert_eq!(rig.said(), ["40 a queued => taking_over operator", "40 a begin takeover 2 attempt 0"]);
}

#[test]
fn a_manual_call_on_a_healthy_server_passes_through_queued() {
    let mut rig = Rig::alive(1);
    rig.takeover(A);
    let expected =
        ["0 a none => queued operator", "0 a queued => taking_over operator", "0 a begin takeover 1 attempt 0"];
    assert_eq!(rig.said(), expected);
}

#[test]
fn a_blocked_server_says_why_once_and_leaves_the_slot_to_the_next() {
    for (block, word) in [(0, "not_authorized"), (1, "no_backup")] {
        let mut rig = Rig::alive(2);
        rig.facts(A, block != 0, block != 1);
        rig.to(30);
        assert_eq!(
            rig.said_of(&["alarm", "begin"]),
            [
                format!("30 a alarm takeover_blocked {word}"),
                "30 b begin takeover 1 attempt 0".into(),
                "30 a alarm not_covered b".into()
            ]
        );
        rig.answer(1, Outcome::Failed);
        rig.to(40);
        assert_eq!(rig.said_of(&["blocked"]), [""; 0], "once per reason");
        rig.facts(A, true, true);
        assert_eq!(
            rig.said_of(&["ended", "begin"]),
            ["40 a ended takeover_blocked", "40 a begin takeover 2 attempt 0"]
        );
    }
}

#[test]
fn each_reason_of_a_block_is_said_and_each_change_looks_again() {
    let mut rig = Rig::alive(1);
    rig.cluster(false);
    rig.facts(A, false, false);
    rig.to(30);
    rig.cluster(true);
    rig.facts(A, true, false);
    rig.facts(A, true, false);
    rig.facts(A, true, true);
    assert_eq!(
        rig.said_of(&["blocked", "begin"]),
        [
            "30 a alarm takeover_blocked not_in_cluster",
            "30 a alarm takeover_blocked not_authorized",
            "30 a alarm takeover_blocked no_backup",
            "30 a ended takeover_blocked",
            "30 a begin takeover 1 attempt 0",
        ]
    );
    rig.cluster(false);
    rig.facts(A, false, false);
    rig.answer(1, Outcome::Ok);
    rig.restore(A);
    assert_eq!(rig.state(A), S::Restoring, "what has begun goes on, and a restore needs nothing");
}

#[test]
fn not_covered_names_each_holder_once() {
    let mut rig = Rig::alive(3);
    rig.to(30);
    assert_eq!(rig.said_of(&["not_covered"]), ["30 b alarm not_covered a", "30 c alarm not_covered a"]);
    rig.answer(1, Outcome::Ok);
    rig.event(A, E::Connected);
    rig.event(B, E::Connected);
    assert_eq!(rig.said_of(&["not_covered"]), [""; 0]);
    rig.restore(A);
    rig.answer(2, Outcome::Ok);
    assert_eq!(
        rig.said_of(&["not_covered"]),
        ["30 c ended not_covered", "30 b alarm not_covered c"],
        "b is not failed now"
    );
}

#[test]
fn with_automatic_takeover_off_a_failure_asks_for_an_operator() {
    let mut rules = policy(2);
    rules.automatic_takeover = false;
    let mut rig = Rig::alive_with(rules);
    rig.to(30);
    assert_eq!(
        rig.said(),
        [
            "30 a keep_alive -> failed keep_alive_timeout",
            "30 a alarm takeover_required",
            "30 b keep_alive -> failed keep_alive_timeout",
            "30 b alarm takeover_required"
        ]
    );
    rig.event(B, E::KeepAlive);
    assert_eq!(rig.said(), ["30 b failed -> keep_alive", "30 b ended takeover_required"]);
    rig.takeover(A);
    assert_eq!(rig.said_of(&["=>", "ended"])[..2], ["30 a none => queued operator", "30 a ended takeover_required"]);
}

#[test]
fn turning_automatic_takeover_on_queues_who_is_failed_turning_it_off_nobody() {
    let mut rules = policy(3);
    rules.automatic_takeover = false;
    rules.servers[1].priority = 1;
    let mut rig = Rig::alive_with(rules);
    rig.to(20);
    rig.event(C, E::KeepAlive);
    rig.to(40);
    rig.configure(|policy| policy.automatic_takeover = true);
    assert_eq!((rig.state(A), rig.state(B), rig.state(C)), (S::Queued, S::TakingOver, S::None));
    assert!(!rig.stands(A, Alarm::TakeoverRequired));
    rig.configure(|policy| policy.automatic_takeover = false);
    assert_eq!((rig.state(A), rig.state(B)), (S::Queued, S::TakingOver));
    rig.answer(1, Outcome::Failed);
    assert_eq!(rig.state(A), S::TakingOver);
}

#[test]
fn an_added_server_is_one_never_seen_and_a_moved_one_changes_its_rank() {
    let mut rig = Rig::alive(2);
    rig.cluster(false);
    rig.to(30);
    rig.configure(|policy| {
        policy.servers.swap(0, 1);
        policy.servers.push(ServerPolicy { key: C, priority: 1, readdressed: false });
    });
    assert_eq!((rig.deadline(C), rig.state(C)), (None, S::None));
    rig.cluster(true);
    assert_eq!(rig.state(B), S::TakingOver, "first in the configuration now");
    rig.to(330);
    assert_eq!(rig.said_of(&["never_seen"]), ["330 c alarm never_seen"]);
}
