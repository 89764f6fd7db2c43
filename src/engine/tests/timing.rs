//! Section 9 and "One instant": pauses, stops and starts, changed rules, and the order of what is due together.

use super::{A, B, Rig, at, policy};
use crate::engine::Ran;
use crate::engine::command::{Command, Input};
use crate::engine::health::EventKind as E;
use crate::engine::output::{Alarm, Note, Outcome, TakeoverState as S, What};
use crate::time::{Mono, SECOND_NS, Span};

impl Rig {
    /// The plugin runs at this second again, whatever was planned.
    fn wakes(&mut self, seconds: u64, ran: Ran) {
        self.now = at(seconds);
        self.advance(ran);
    }

    fn pauses(&self) -> Vec<u64> {
        let pause = |what: &What| match what {
            What::Note(Note::Paused(span)) => Some(span.0 / SECOND_NS),
            _ => None,
        };
        self.out.iter().filter_map(|(_, output)| pause(&output.what)).collect()
    }
}

#[test]
fn a_wake_up_within_the_tolerance_is_no_pause() {
    for (late_ns, paused) in [(0, false), (1, true)] {
        let mut rig = Rig::alive(1);
        rig.to(10);
        rig.now = Mono(at(10 + 1 + 2).0 + late_ns);
        rig.advance(Ran::default());
        assert_eq!(!rig.pauses().is_empty(), paused, "{late_ns} ns past the tolerance");
    }
}

#[test]
fn a_pause_moves_deadlines_by_the_time_not_run_and_leaves_at_least_a_keep_alive() {
    let mut rig = Rig::alive(2);
    rig.event(B, E::Connected);
    rig.to(20);
    rig.wakes(101, Ran::default());
    assert_eq!(rig.pauses(), [80], "planned at 21");
    assert_eq!(rig.deadline(A), Some(131), "30 + 80 leaves less than 30");
    assert_eq!(rig.deadline(B), Some(380));
    rig.to(130);
    assert_eq!(rig.state(A), S::None);
    rig.to(131);
    assert_eq!(rig.state(A), S::TakingOver);
}

#[test]
fn a_deadline_is_raised_once_until_the_server_s_next_message() {
    let mut rig = Rig::alive(1);
    rig.to(20);
    rig.wakes(50, Ran::default());
    assert_eq!(rig.deadline(A), Some(80));
    rig.to(70);
    rig.wakes(75, Ran::default());
    assert_eq!(rig.deadline(A), Some(84), "moved by 4, not raised again");
    rig.event(A, E::Disconnected);
    rig.wakes(80, Ran::default());
    assert_eq!(rig.deadline(A), Some(110));
}

#[test]
fn what_was_reported_is_taken_in_before_anything_is_declared() {
    let mut rig = Rig::alive(1);
    rig.to(20);
    rig.now = at(500);
    rig.take_in(Input::Event { server: A, kind: E::KeepAlive, at: at(500) });
    rig.advance(Ran::default());
    assert_eq!(rig.deadline(A), Some(530), "a deadline that began at 500 lost nothing");
    assert_eq!(rig.state(A), S::None);
}

#[test]
fn after_a_pause_the_next_keep_alive_s_deadline_is_kept_to_the_instant() {
    let mut rig = Rig::alive(1);
    rig.to(25);
    rig.now = at(500);
    rig.take_in(Input::Event { server: A, kind: E::KeepAlive, at: at(100) });
    rig.advance(Ran::default());
    rig.event(A, E::KeepAlive);
    assert_eq!(rig.deadline(A), Some(530));
    rig.to(530);
    assert_eq!(rig.said_of(&["failed"])[0], "530 a keep_alive -> failed keep_alive_timeout");
}

#[test]
fn a_message_from_before_a_pause_that_comes_after_it_fails_nobody() {
    let mut rig = Rig::alive(1);
    rig.to(20);
    rig.wakes(500, Ran::default());
    rig.hand_in(Input::Event { server: A, kind: E::KeepAlive, at: at(22) });
    assert_eq!(rig.deadline(A), Some(530));
    rig.to(529);
    assert_eq!(rig.state(A), S::None);
}

#[test]
fn time_in_the_host_s_callback_or_own_files_is_no_pause() {
    let mut rig = Rig::alive(1);
    rig.to(20);
    rig.wakes(100, Ran { busy_until: at(99), slept: Span::ZERO });
    assert_eq!((rig.pauses(), rig.state(A)), (vec![], S::TakingOver));
    let mut rig = Rig::alive(1);
    rig.to(20);
    rig.wakes(100, Ran { busy_until: at(50), slept: Span::ZERO });
    assert_eq!(rig.pauses(), [50], "only what came after it");
}

#[test]
fn a_system_that_slept_moves_deadlines_by_the_time_slept() {
    let mut rig = Rig::alive(2);
    rig.event(B, E::Connected);
    rig.to(20);
    rig.wakes(21, Ran { busy_until: Mono(0), slept: Span::seconds(100) });
    assert_eq!((rig.deadline(A), rig.deadline(B)), (Some(130), Some(400)));
}

#[test]
fn a_sleep_puts_off_nothing_that_is_heard_after_it() {
    let mut rig = Rig::alive(1);
    rig.to(20);
    rig.wakes(21, Ran { busy_until: Mono(0), slept: Span::seconds(3600) });
    rig.event(A, E::KeepAlive);
    assert_eq!(rig.deadline(A), Some(51));
}

#[test]
fn a_pause_moves_the_stability_but_no_retry_and_no_operation() {
    let mut rig = Rig::taken_over(policy(1));
    rig.event(A, E::KeepAlive);
    rig.to(40);
    rig.event(A, E::KeepAlive);
    rig.wakes(91, Ran::default());
    rig.event(A, E::KeepAlive);
    rig.alive_until(A, 139);
    assert_eq!(rig.state(A), S::TakenOver, "30 + 60 + 50");
    rig.alive_until(A, 140);
    assert_eq!(rig.state(A), S::Restoring);

    let mut rig = Rig::alive(1);
    rig.to(30);
    rig.answer(1, Outcome::Failed);
    rig.wakes(60, Ran::default());
    assert_eq!(rig.said_of(&["begin"]).last().unwrap(), "60 a begin takeover 2 attempt 1");
    rig.wakes(660, Ran::default());
    assert_eq!(rig.said_of(&[" over "])[0], "660 a over 2");
}

#[test]
fn never_seen_is_said_once_at_its_instant_and_again_after_nothing() {
    let mut rig = Rig::new(2);
    rig.to(299);
    rig.event(B, E::Disconnected);
    rig.to(2000);
    assert_eq!(rig.said(), ["300 a alarm never_seen"]);
    rig.restart();
    rig.to(4000);
    assert_eq!(
        rig.said_of(&["never_seen", "-> failed"]),
        ["2300 b alarm never_seen", "2500 b unknown -> failed not_seen_since_start"]
    );
}

#[test]
fn nothing_is_declared_between_a_stop_and_a_start() {
    let mut rig = Rig::alive(1);
    rig.engine.stop();
    assert_eq!(rig.engine.next_wake(rig.now), None);
    rig.wakes(1000, Ran::default());
    assert_eq!(rig.said(), [""; 0]);
    rig.start();
    assert_eq!(rig.deadline(A), Some(1500));
}

#[test]
fn a_start_resumes_what_was_begun_under_the_same_id_with_its_whole_time() {
    let mut rig = Rig::alive(1);
    rig.to(500);
    rig.said();
    rig.restart();
    assert_eq!(rig.said(), ["500 a begin takeover 1 attempt 0 resumed"]);
    rig.to(1099);
    assert!(rig.said_of(&[" over "]).is_empty());
    rig.to(1100);
    assert_eq!(rig.said_of(&[" over "]), ["1100 a over 1"]);
    rig.to(1130);
    rig.answer(2, Outcome::Ok);
    rig.restore(A);
    rig.to(1200);
    rig.said();
    rig.restart();
    assert_eq!(rig.said(), ["1200 a begin restore 3 attempt 0 resumed"]);
    rig.to(1500);
    assert_eq!(rig.said_of(&[" over "]), ["1500 a over 3"], "a restore's time, not a takeover's");
}

#[test]
fn an_automatic_entry_waits_after_a_start_until_its_server_is_failed_again() {
    let mut rig = Rig::alive(2);
    rig.to(30);
    rig.answer(1, Outcome::Ok);
    rig.restart();
    rig.restore(A);
    rig.answer(2, Outcome::Ok);
    assert_eq!(rig.state(B), S::Queued);
    rig.to(529);
    assert_eq!(rig.state(B), S::Queued);
    rig.event(A, E::KeepAlive);
    rig.to(530);
    assert_eq!(rig.state(B), S::TakingOver);
}

#[test]
fn retry_delays_run_anew_after_a_start() {
    let mut rig = Rig::alive(1);
    rig.takeover(A);
    rig.answer(1, Outcome::Failed);
    rig.to(20);
    rig.restart();
    rig.to(49);
    assert_eq!(rig.state(A), S::Queued);
    rig.to(50);
    assert_eq!(rig.state(A), S::TakingOver);
    rig.answer(2, Outcome::Ok);
    rig.event(A, E::Startup);
    rig.alive_until(A, 120);
    rig.answer(3, Outcome::Failed);
    rig.restart();
    rig.alive_until(A, 189);
    assert_eq!(rig.state(A), S::TakenOver);
    rig.alive_until(A, 190);
    assert_eq!(rig.state(A), S::Restoring);
}

#[test]
fn a_changed_timeout_counts_from_where_the_old_one_did_and_may_run_out_at_once() {
    let mut rig = Rig::alive(2);
    rig.event(B, E::Connected);
    rig.configure(|policy| policy.timeouts.keep_alive = Span::seconds(200));
    rig.to(100);
    assert_eq!((rig.deadline(A), rig.deadline(B)), (Some(200), Some(300)));
    rig.said();
    rig.configure(|policy| policy.timeouts.keep_alive = Span::seconds(60));
    assert_eq!(rig.said_of(&["failed"])[0], "100 a keep_alive -> failed keep_alive_timeout");
    assert_eq!(rig.engine.health(A).unwrap().failure().unwrap().1, at(60), "the real time of failure");
}

#[test]
fn a_changed_timeout_that_shortens_a_deadline_wakes_in_time() {
    let mut rig = Rig::alive_with({
        let mut rules = policy(1);
        rules.timeouts.keep_alive = Span::seconds(300);
        rules
    });
    rig.configure(|policy| policy.timeouts.keep_alive = Span::seconds(40));
    rig.to(40);
    assert_eq!(rig.said_of(&["failed"])[0], "40 a keep_alive -> failed keep_alive_timeout");
}

#[test]
fn running_operations_delays_and_stability_keep_their_times() {
    let mut rig = Rig::alive(1);
    rig.to(30);
    rig.configure(|policy| policy.takeover_timeout = Span::seconds(10));
    rig.to(629);
    assert_eq!(rig.state(A), S::TakingOver);
    rig.to(660);
    rig.answer(2, Outcome::Ok);
    rig.event(A, E::KeepAlive);
    rig.configure(|policy| policy.restore_stable = Span::seconds(10));
    rig.alive_until(A, 719);
    assert_eq!(rig.state(A), S::TakenOver);
    rig.alive_until(A, 720);
    assert_eq!(rig.state(A), S::Restoring);
}

#[test]
fn servers_of_one_instant_fail_in_configuration_order_each_with_its_queuing() {
    let mut rules = policy(2);
    rules.servers.swap(0, 1);
    let mut rig = Rig::alive_with(rules);
    rig.to(30);
    assert_eq!(
        rig.said_of(&["->", "=> queued"]),
        [
            "30 b keep_alive -> failed keep_alive_timeout",
            "30 b none => queued keep_alive_timeout",
            "30 a keep_alive -> failed keep_alive_timeout",
            "30 a none => queued keep_alive_timeout",
        ]
    );
}

#[test]
fn one_instant_is_calls_then_failures_then_overdue_answers_then_the_slot() {
    let mut rules = policy(2);
    rules.takeover_timeout = Span::seconds(10);
    let mut rig = Rig::alive_with(rules);
    rig.to(10);
    rig.event(B, E::KeepAlive);
    rig.to(39);
    rig.said();
    rig.now = at(40);
    let takeover = Command::Takeover { server: B, actor: "eve".into(), request: 1 };
    rig.take_in(Input::Event { server: A, kind: E::Disconnected, at: at(40) });
    rig.take_in(Input::Command(takeover));
    rig.advance(Ran::default());
    assert_eq!(
        rig.said(),
        [
            "40 b none => queued operator",
            "40 b keep_alive -> failed keep_alive_timeout",
            "40 a over 1",
            "40 a completed 1 timeout",
            "40 a alarm takeover_failed",
            "40 a taking_over => queued timeout",
            "40 b queued => taking_over operator",
            "40 b begin takeover 2 attempt 0 undo [1]",
            "40 a alarm not_covered b",
        ]
    );
    assert!(rig.stands(A, Alarm::NotCovered));
}

#[test]
fn an_event_at_the_deadline_is_in_time_and_a_stamp_from_the_future_counts_as_now() {
    let mut rig = Rig::alive(1);
    rig.now = at(30);
    rig.take_in(Input::Event { server: A, kind: E::KeepAlive, at: at(9000) });
    rig.advance(Ran::default());
    assert_eq!((rig.state(A), rig.deadline(A)), (S::None, Some(60)));
}
