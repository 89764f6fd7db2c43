//! Section 6: from a taken over server that is back to the server in its own role.

use super::{A, B, Rig, at, policy};
use crate::engine::command::{Command, Refusal};
use crate::engine::health::EventKind as E;
use crate::engine::output::{Alarm, Outcome, TakeoverState as S};
use crate::engine::policy::Policy;

fn by_hand() -> Policy {
    Policy { automatic_restore: false, ..policy(1) }
}

#[test]
fn a_server_that_was_down_and_keeps_alive_long_enough_is_restored() {
    let mut rig = Rig::taken_over(policy(1));
    rig.to(100);
    rig.alive_until(A, 169);
    rig.alive_until(A, 170);
    rig.answer(2, Outcome::Ok);
    assert_eq!(
        rig.said(),
        [
            "110 a failed -> keep_alive",
            "170 a taken_over => restoring returned",
            "170 a begin restore 2 attempt 0",
            "170 a completed 2 ok",
            "170 a restoring => none returned",
        ]
    );
}

#[test]
fn a_break_begins_the_stability_anew() {
    let mut rig = Rig::taken_over(policy(1));
    rig.alive_until(A, 90);
    rig.event(A, E::Startup);
    rig.alive_until(A, 159);
    assert_eq!(rig.state(A), S::TakenOver, "100 + 60 is not over");
    rig.alive_until(A, 160);
    assert_eq!(rig.state(A), S::Restoring);
}

#[test]
fn a_healthy_server_taken_over_by_hand_is_not_handed_back_before_it_went_down() {
    let mut rig = Rig::alive(1);
    rig.alive_until(A, 200);
    rig.takeover(A);
    rig.answer(1, Outcome::Ok);
    rig.alive_until(A, 500);
    assert_eq!(rig.state(A), S::TakenOver);
    assert!(rig.stands(A, Alarm::BothAlive));
    rig.event(A, E::Startup);
    rig.alive_until(A, 570);
    assert_eq!(rig.state(A), S::Restoring);
}

#[test]
fn unknown_after_a_start_is_not_down_but_what_was_seen_before_is_kept() {
    for seen_down in [false, true] {
        let mut rig = Rig::alive(1);
        rig.takeover(A);
        rig.answer(1, Outcome::Ok);
        if seen_down {
            rig.event(A, E::Startup);
        }
        rig.restart();
        rig.alive_until(A, 69);
        assert_eq!(rig.state(A), S::TakenOver, "stability begins anew at a start");
        rig.alive_until(A, 500);
        assert_eq!(rig.state(A), if seen_down { S::Restoring } else { S::TakenOver });
    }
}

#[test]
fn without_automatic_restore_a_return_is_said_once() {
    let mut rig = Rig::taken_over(by_hand());
    rig.alive_until(A, 200);
    assert_eq!(rig.said(), ["40 a failed -> keep_alive", "40 a alarm both_alive", "100 a alarm restore_possible"]);
    rig.restore(A);
    rig.answer(2, Outcome::Failed);
    rig.alive_until(A, 400);
    assert_eq!(rig.said_of(&["possible"]), [""; 0], "the same return");
    rig.event(A, E::Startup);
    rig.alive_until(A, 500);
    assert_eq!(rig.said_of(&["possible"]), ["400 a ended restore_possible", "470 a alarm restore_possible"]);
}

#[test]
fn switching_automatic_restore_on_restores_who_is_back() {
    let mut rig = Rig::taken_over(by_hand());
    rig.alive_until(A, 200);
    rig.configure(|policy| policy.automatic_restore = true);
    assert_eq!(rig.state(A), S::Restoring);
    assert!(!rig.stands(A, Alarm::BothAlive));
}

#[test]
fn a_manual_restore_needs_a_completed_takeover_and_nothing_else() {
    let mut rig = Rig::alive(1);
    let restore = Command::Restore { server: A, actor: "eve".into(), request: 1 };
    let refusal = |rig: &Rig| rig.engine.accepts(std::iter::empty(), &restore).err();
    assert_eq!(refusal(&rig), Some(Refusal::WrongState(S::None)));
    rig.to(30);
    assert_eq!(refusal(&rig), Some(Refusal::WrongState(S::TakingOver)));
    rig.answer(1, Outcome::Ok);
    assert_eq!(refusal(&rig), None);
    rig.restore(A);
    assert_eq!(refusal(&rig), Some(Refusal::WrongState(S::Restoring)));
}

#[test]
fn a_server_that_was_failed_when_its_restore_was_asked_for_waits_for_an_operator() {
    let mut rig = Rig::taken_over(policy(1));
    rig.restore(A);
    rig.answer(2, Outcome::Ok);
    assert_eq!(rig.said().last().unwrap(), "30 a alarm takeover_required");
    assert_eq!((rig.state(A), rig.engine.waits_for_operator(A)), (S::None, true));
    rig.configure(|policy| policy.automatic_takeover = false);
    rig.configure(|policy| policy.automatic_takeover = true);
    assert_eq!(rig.state(A), S::None, "a person decided");
    rig.event(A, E::Connected);
    rig.to(330);
    assert_eq!(rig.state(A), S::TakingOver, "a new failure");
}

#[test]
fn a_server_that_fails_during_its_restore_is_taken_over_again() {
    let mut rig = Rig::taken_over(policy(1));
    rig.alive_until(A, 100);
    rig.to(131);
    rig.said();
    rig.answer(2, Outcome::Ok);
    assert_eq!(
        rig.said(),
        [
            "131 a completed 2 ok",
            "131 a restoring => none returned",
            "131 a none => queued keep_alive_timeout",
            "131 a queued => taking_over keep_alive_timeout",
            "131 a begin takeover 3 attempt 0",
        ]
    );
}

#[test]
fn a_failure_during_a_failed_restore_is_old_for_the_next_one() {
    let mut rig = Rig::taken_over(policy(1));
    rig.alive_until(A, 100);
    rig.to(131);
    rig.answer(2, Outcome::Failed);
    rig.restore(A);
    rig.answer(3, Outcome::Ok);
    assert!(rig.engine.waits_for_operator(A));
}

#[test]
fn the_next_queued_server_has_the_slot_at_the_instant_of_the_restore() {
    let mut rig = Rig::taken_over(policy(2));
    rig.to(50);
    rig.restore(A);
    rig.said();
    rig.answer(2, Outcome::Ok);
    assert_eq!(rig.said_of(&["begin"]), ["50 b begin takeover 3 attempt 0"]);
}

#[test]
fn a_failing_restore_is_tried_again_with_the_delays_whoever_asked() {
    let mut rig = Rig::taken_over(policy(1));
    rig.alive_until(A, 100);
    rig.answer(2, Outcome::Failed);
    assert_eq!(rig.said().last().unwrap(), "100 a restoring => taken_over failed");
    rig.alive_until(A, 129);
    assert_eq!(rig.said(), [""; 0]);
    rig.alive_until(A, 130);
    assert_eq!(rig.said_of(&["begin"]), ["130 a begin restore 3 attempt 1"]);
    rig.answer(3, Outcome::Failed);
    rig.restore(A);
    assert_eq!(rig.said_of(&["begin"]), ["130 a begin restore 4 attempt 2"], "by hand without waiting");
    rig.answer(4, Outcome::Failed);
    rig.alive_until(A, 249);
    assert_eq!(rig.said_of(&["begin"]), [""; 0]);
    rig.alive_until(A, 250);
    assert_eq!(rig.said_of(&["begin"]), ["250 a begin restore 5 attempt 3"], "and without resetting");
}

#[test]
fn a_restore_without_an_answer_is_given_up_at_its_own_deadline() {
    let mut rig = Rig::taken_over(policy(1));
    rig.restore(A);
    rig.said();
    rig.to(330);
    assert_eq!(
        rig.said(),
        [
            "330 a over 2",
            "330 a completed 2 timeout",
            "330 a alarm restore_failed",
            "330 a restoring => taken_over timeout"
        ]
    );
    rig.restore(A);
    assert_eq!(rig.said_of(&["begin"]), ["330 a begin restore 3 attempt 1"], "a restore is not superseded");
}

#[test]
fn two_owners_are_said_unless_a_restore_is_only_a_matter_of_waiting() {
    let mut rig = Rig::taken_over(policy(1));
    rig.event(A, E::KeepAlive);
    assert!(!rig.stands(A, Alarm::BothAlive));
    rig.configure(|policy| policy.automatic_restore = false);
    assert!(rig.stands(A, Alarm::BothAlive));
    rig.event(A, E::ShutdownNormal);
    assert!(!rig.stands(A, Alarm::BothAlive));
    let mut healthy = Rig::alive(1);
    healthy.takeover(A);
    healthy.answer(1, Outcome::Ok);
    assert!(healthy.stands(A, Alarm::BothAlive), "a takeover that completes while the server keeps alive");
}

#[test]
fn at_one_instant_a_failure_comes_before_the_restore_and_the_slot_last() {
    let mut rules = policy(2);
    rules.restore_stable = super::TIMEOUTS.keep_alive;
    let mut rig = Rig::taken_over(rules);
    rig.event(A, E::KeepAlive);
    rig.to(60);
    assert_eq!(rig.state(A), S::TakenOver, "keep-alive deadline and stability end together: it has failed");
    assert_eq!(rig.state(B), S::Queued);
}

#[test]
fn a_restore_given_up_after_the_stability_has_passed_hands_out_no_past_instant() {
    let mut rig = Rig::taken_over(policy(1));
    rig.restore(A);
    rig.alive_until(A, 340);
    assert_eq!(rig.state(A), S::TakenOver);
    assert_eq!(rig.engine.next_wake(rig.now), Some(at(341)), "a heartbeat");
    rig.alive_until(A, 360);
    assert_eq!(rig.state(A), S::Restoring, "30 s after the failed one");
}
