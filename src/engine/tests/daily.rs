//! Backups of all servers: by hand, and once for every UTC date whatever the wall clock does.

use std::collections::BTreeMap;

use super::{A, B, C, Rig, archive, at};
use crate::engine::command::{Command, Input, Refusal};
use crate::engine::health::EventKind as E;
use crate::engine::output::{Alarm, Ask, Note, Outcome, Stage, What};
use crate::engine::policy::ServerKey;
use crate::engine::{Engine, Ran};
use crate::time::{Mono, SECOND_NS};

const HOUR_MS: i64 = 3_600_000;
const DAY_MS: i64 = 24 * HOUR_MS;
/// 2026-01-01T00:00:00Z
const NEW_YEAR_MS: i64 = 1_767_225_600_000;

/// A rig with a wall clock; backups succeed at once unless told otherwise.
struct Wall {
    rig: Rig,
    /// What it shows at monotonic 0.
    utc_ms: i64,
    fails: Vec<ServerKey>,
    /// Which servers were backed up when, and for which run.
    done: Vec<(i64, ServerKey, bool)>,
}

impl Wall {
    fn new(servers: usize, utc_ms: i64) -> Wall {
        let mut wall = Wall { rig: Rig::new(servers), utc_ms, fails: Vec::new(), done: Vec::new() };
        wall.turn();
        wall
    }

    fn utc(&self) -> i64 {
        self.utc_ms + (self.rig.now.0 / 1_000_000) as i64
    }

    /// Lets time act, and does all the work that is asked for at this instant.
    fn turn(&mut self) {
        loop {
            self.rig.engine.wall_clock_is(self.rig.now, self.utc());
            self.rig.advance(Ran::default());
            let next = self.rig.engine.operations.values().find(|op| op.kind.name() == "backup").cloned();
            let Some(op) = next else { return };
            let server = op.server.unwrap();
            let id = op.id;
            match op.stage {
                Stage::Preparing => self.rig.take_in(Input::Prepared { op: id, result: Ok("/b/in".into()) }),
                Stage::Asked => {
                    let outcome = if self.fails.contains(&server) { Outcome::Failed } else { Outcome::Ok };
                    self.rig.take_in(Input::Command(Command::Complete { op: id, outcome, error: None }));
                }
                Stage::Publishing => {
                    self.done.push((self.utc(), server, op.reason == "daily"));
                    self.rig.take_in(Input::Published { op: id, result: Ok(archive(id)) });
                }
            }
        }
    }

    fn go_to(&mut self, utc_ms: i64) {
        while self.utc() < utc_ms {
            let left = Mono(self.rig.now.0 + (utc_ms - self.utc()) as u64 * 1_000_000);
            self.rig.now = self.rig.engine.next_wake(self.rig.now).map_or(left, |wake| wake.min(left));
            self.turn();
        }
    }

    fn jump(&mut self, ms: i64) {
        self.utc_ms += ms;
        self.turn();
    }

    /// How often each date had a daily run, by the clock then.
    fn runs(&mut self) -> Vec<i64> {
        let begun = |output: &(Mono, crate::engine::output::Output)| {
            matches!(output.1.what, What::Note(Note::RunBegun { daily: true }))
        };
        let at: Vec<i64> = self.rig.out.iter().filter(|output| begun(output)).map(|(at, _)| at.0 as i64).collect();
        at
    }
}

#[test]
fn every_server_is_backed_up_at_the_time_one_after_another() {
    let mut wall = Wall::new(3, NEW_YEAR_MS);
    wall.go_to(NEW_YEAR_MS + 2 * HOUR_MS - 1);
    assert!(wall.done.is_empty());
    wall.go_to(NEW_YEAR_MS + 2 * HOUR_MS);
    let when = NEW_YEAR_MS + 2 * HOUR_MS;
    assert_eq!(wall.done, [(when, A, true), (when, B, true), (when, C, true)]);
    let said = wall.rig.said_of(&["begin", "completed"]);
    let order: Vec<&str> = said.iter().map(|line| line.split(' ').nth(1).unwrap()).collect();
    assert_eq!(order, ["a", "a", "b", "b", "c", "c"], "never two at once");
}

#[test]
fn failed_taken_over_and_unauthorized_servers_are_left_out_and_a_failed_backup_stops_nothing() {
    let mut wall = Wall::new(4, NEW_YEAR_MS + HOUR_MS);
    wall.rig.event(A, E::KeepAlive);
    wall.rig.facts(B, false, false);
    wall.fails = vec![C];
    wall.go_to(NEW_YEAR_MS + 2 * HOUR_MS);
    let who: Vec<ServerKey> = wall.done.iter().map(|(_, server, _)| *server).collect();
    assert_eq!(who, [ServerKey(3)], "a is taken over, b is not authorized, c fails");
    let ended = wall.rig.out.iter().filter_map(|(_, output)| match output.what {
        What::Note(Note::RunEnded { daily, ok, failed }) => Some((daily, ok, failed)),
        _ => None,
    });
    assert_eq!(ended.collect::<Vec<_>>(), [(true, 1, 1)]);
    assert!(wall.rig.stands(C, Alarm::BackupFailed));
}

#[test]
fn a_backup_without_an_answer_fails_and_the_run_goes_on() {
    let mut rig = Rig::new(2);
    rig.command(Command::BackupAll { actor: "eve".into(), request: 4 });
    rig.hand_in(Input::Prepared { op: 1, result: Ok("/b/in".into()) });
    rig.said();
    rig.to(200);
    let said = rig.said_of(&["completed", "prepare"]);
    assert_eq!(said, ["200 a completed 1 timeout", "200 b prepare 2 after 1"]);
}

#[test]
fn a_server_that_is_busy_has_its_turn_after_the_others() {
    let mut rig = Rig::new(2);
    rig.command(Command::Authorize { server: A, actor: "eve".into(), request: 3 });
    rig.command(Command::BackupAll { actor: "eve".into(), request: 4 });
    assert_eq!(rig.said_of(&["prepare"]), ["0 b prepare 2 after 1"]);
    rig.hand_in(Input::Prepared { op: 2, result: Err("no".into()) });
    assert_eq!(rig.said_of(&["prepare"]), [""; 0]);
    rig.answer(1, Outcome::Ok);
    assert_eq!(rig.said_of(&["prepare"]), ["0 a prepare 3 after 1"]);
}

#[test]
fn backing_up_all_by_hand_is_the_same_run_once_at_a_time_and_not_the_days() {
    let mut wall = Wall::new(2, NEW_YEAR_MS + HOUR_MS);
    let all = Command::BackupAll { actor: "eve".into(), request: 4 };
    wall.rig.take_in(Input::Command(all.clone()));
    assert_eq!(wall.rig.accepts(&all), Err(Refusal::BackingUpAll));
    wall.turn();
    assert_eq!(wall.rig.accepts(&all), Ok(()));
    assert_eq!(wall.done.len(), 2);
    wall.go_to(NEW_YEAR_MS + 2 * HOUR_MS);
    assert_eq!(wall.done.iter().filter(|(.., daily)| *daily).count(), 2);
}

#[test]
fn a_first_start_makes_up_for_nothing_and_a_later_one_for_the_last_date_once() {
    let mut wall = Wall::new(1, NEW_YEAR_MS + 10 * HOUR_MS);
    assert!(wall.done.is_empty());
    wall.go_to(NEW_YEAR_MS + DAY_MS + 3 * HOUR_MS);
    assert_eq!(wall.done.len(), 1);
    // The host is off for five days.
    let mut next = Engine::new(super::policy(1), 100);
    next.recall(wall.rig.engine.remember()).unwrap();
    wall.rig.engine.stop();
    wall.rig.engine = next;
    wall.utc_ms += 5 * DAY_MS;
    wall.rig.start();
    wall.turn();
    assert_eq!(wall.done.len(), 2, "caught up at the start, once for all the days");
    wall.go_to(wall.utc() + 20 * HOUR_MS);
    assert_eq!(wall.done.len(), 2);
    wall.go_to(wall.utc() + 4 * HOUR_MS);
    assert_eq!(wall.done.len(), 3);
}

#[test]
fn only_in_the_cluster_and_made_up_for_once_it_has_joined() {
    let mut wall = Wall::new(2, NEW_YEAR_MS);
    wall.rig.cluster(false);
    wall.go_to(NEW_YEAR_MS + 5 * HOUR_MS);
    assert!(wall.done.is_empty());
    wall.rig.take_in(super::joins(true));
    wall.turn();
    assert_eq!(wall.done.len(), 2);
}

#[test]
fn switched_off_there_is_none_and_what_has_begun_outlives_a_start() {
    let mut wall = Wall::new(2, NEW_YEAR_MS);
    wall.rig.configure(|policy| policy.daily_backup = false);
    wall.go_to(NEW_YEAR_MS + DAY_MS);
    assert!(wall.done.is_empty());
    let mut rig = Rig::new(2);
    rig.command(Command::BackupAll { actor: "eve".into(), request: 4 });
    rig.hand_in(Input::Prepared { op: 1, result: Ok("/b/in".into()) });
    let mut next = Engine::new(super::policy(2), 100);
    next.recall(rig.engine.remember()).unwrap();
    rig.engine = next;
    rig.said();
    rig.start();
    rig.answer(1, Outcome::Failed);
    let said = rig.said_of(&["begin", "completed", "prepare"]);
    let expected = ["0 a begin backup 1 attempt 0 resumed", "0 a completed 1 failed", "0 b prepare 100 after 1"];
    assert_eq!(said, expected);
}

#[test]
fn a_clock_set_back_by_up_to_a_day_brings_no_second_run() {
    let mut wall = Wall::new(1, NEW_YEAR_MS);
    wall.go_to(NEW_YEAR_MS + 3 * HOUR_MS);
    wall.jump(-23 * HOUR_MS);
    wall.go_to(NEW_YEAR_MS + 23 * HOUR_MS);
    assert_eq!(wall.done.len(), 1);
    assert!(!wall.rig.engine.clock_jumped());
    wall.go_to(NEW_YEAR_MS + DAY_MS + 2 * HOUR_MS);
    assert_eq!(wall.done.len(), 2);
}

#[test]
fn a_clock_set_back_by_more_than_a_day_forgets_the_date_with_an_alarm_until_the_next_run() {
    let mut wall = Wall::new(1, NEW_YEAR_MS);
    wall.jump(40 * DAY_MS);
    wall.go_to(NEW_YEAR_MS + 40 * DAY_MS + 3 * HOUR_MS);
    assert_eq!(wall.done.len(), 2, "the jump passed a date's time, and the next date's came");
    wall.rig.said();
    wall.jump(-40 * DAY_MS);
    assert_eq!(wall.rig.said(), ["10800 - alarm clock_jump"]);
    assert!(wall.rig.engine.clock_jumped());
    wall.go_to(NEW_YEAR_MS + 20 * HOUR_MS);
    assert_eq!(wall.done.len(), 2, "what is past is not made up for: it may have been run");
    wall.go_to(NEW_YEAR_MS + DAY_MS + 2 * HOUR_MS);
    assert_eq!(wall.done.len(), 3);
    assert_eq!(wall.rig.said_of(&["clock_jump"]), ["93600 - ended clock_jump"]);
}

#[test]
fn over_400_days_with_jumps_no_date_has_a_second_run_and_undisturbed_ones_have_one() {
    for seed in 0..5u64 {
        // From 2027-12-01, so that the leap day of 2028 is among them.
        let start = 1_827_619_200_000;
        let mut wall = Wall::new(1, start);
        let mut random = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut step = move || {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            random
        };
        let mut undisturbed = Vec::new();
        for _ in 0..400 {
            let begin = wall.utc();
            wall.go_to(begin + DAY_MS);
            // Small jumps either way now and then; never back by more than a day in all, which would be the alarm's case.
            if step() % 7 == 0 {
                let hours = (step() % 30) as i64 - 10;
                wall.jump(hours * HOUR_MS);
            } else {
                undisturbed.push(begin);
            }
        }
        let mut dates = BTreeMap::<i64, u32>::new();
        for (utc, ..) in &wall.done {
            *dates.entry((utc - 2 * HOUR_MS).div_euclid(DAY_MS)).or_default() += 1;
        }
        assert!(!wall.rig.engine.clock_jumped(), "seed {seed}");
        assert!(dates.values().all(|runs| *runs == 1), "seed {seed}: {dates:?}");
        assert!(dates.len() >= 340, "seed {seed}: {} dates", dates.len());
        assert_eq!(wall.runs().len(), wall.done.len());
        if seed == 0 {
            // 2028-02-29
            assert!(dates.contains_key(&21_243), "the leap day has its run");
        }
    }
}

#[test]
fn all_backups_are_hashed_again_once_a_day_whether_or_not_any_are_made() {
    let mut wall = Wall::new(2, NEW_YEAR_MS);
    wall.rig.configure(|policy| policy.daily_backup = false);
    wall.rig.out.clear();
    wall.go_to(NEW_YEAR_MS + 3 * DAY_MS);
    let thorough =
        |output: &&(Mono, crate::engine::output::Output)| output.1.what == What::Files(Ask::Survey { thorough: true });
    assert_eq!(wall.rig.out.iter().filter(thorough).count(), 6);
}

#[test]
fn while_no_deadline_runs_the_wall_clock_alone_asks_for_a_wake_up_a_minute() {
    let mut wall = Wall::new(1, NEW_YEAR_MS);
    wall.rig.to(400);
    let now = wall.rig.now;
    assert_eq!(wall.rig.engine.next_wake(now), Some(Mono(now.0 + 60 * SECOND_NS)));
    wall.go_to(NEW_YEAR_MS + 2 * HOUR_MS - 5000);
    let now = wall.rig.now;
    assert_eq!(wall.rig.engine.next_wake(now), Some(Mono(now.0 + 5 * SECOND_NS)), "never later than the run");
    assert!(now > at(0));
}
