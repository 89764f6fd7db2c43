//! One backup at a time: its stages, its ends, and what a takeover makes of it.

use super::{A, B, Rig, archive, survey};
use crate::engine::backup::Survey;
use crate::engine::command::{Command, Input, Refusal};
use crate::engine::output::{Alarm, Block, OperationKind, Outcome, Stage, TakeoverState as S, With};
use crate::engine::policy::ServerKey;
use crate::engine::{Engine, Ran};

fn backup(server: ServerKey) -> Command {
    Command::Backup { server, actor: "eve".into(), request: 9 }
}

fn prepared(op: u64) -> Input {
    Input::Prepared { op, result: Ok(format!("/b/in-{op}")) }
}

fn published(op: u64) -> Input {
    Input::Published { op, result: Ok(archive(op)) }
}

/// In the cluster and authorized, with no backup.
fn rig() -> Rig {
    let mut rig = Rig::bare(2);
    rig.cluster(true);
    [A, B].into_iter().for_each(|key| rig.give(key, true, false));
    rig.said();
    rig
}

#[test]
fn a_backup_is_prepared_asked_of_the_host_and_published() {
    let mut rig = rig();
    rig.command(backup(A));
    assert_eq!(
        rig.accepts(&Command::Complete { op: 1, outcome: Outcome::Ok, error: None }),
        Err(Refusal::NoSuchOperation)
    );
    rig.hand_in(prepared(1));
    assert_eq!(rig.engine.operation(1).map(|op| op.with.clone()), Some(With::File("/b/in-1".into())));
    rig.answer(1, Outcome::Ok);
    assert_eq!(
        rig.accepts(&Command::Complete { op: 1, outcome: Outcome::Ok, error: None }),
        Err(Refusal::NoSuchOperation)
    );
    rig.hand_in(published(1));
    let expected = [
        "0 a prepare 1 after 0",
        "0 a begin backup 1 attempt 0",
        "0 a publish 1 /b/in-1",
        "0 a completed 1 ok",
        "0 a backup 1 ok 1",
    ];
    assert_eq!(rig.said(), expected);
    assert!(rig.engine.view(A).unwrap().backup);
    rig.command(backup(A));
    assert_eq!(rig.said(), ["0 a prepare 2 after 1"], "numbers only grow");
}

#[test]
fn the_host_has_its_whole_time_from_the_instant_that_it_is_asked() {
    let mut rig = rig();
    rig.command(backup(A));
    rig.to(90);
    rig.hand_in(prepared(1));
    rig.to(289);
    rig.said();
    rig.to(290);
    let expected = [
        "290 a over 1",
        "290 a completed 1 timeout",
        "290 a discard 1",
        "290 a backup 1 failed timeout",
        "290 a alarm backup_failed",
    ];
    assert_eq!(rig.said(), expected);
}

#[test]
fn publishing_takes_the_time_it_takes() {
    let mut rig = rig();
    rig.command(backup(A));
    rig.hand_in(prepared(1));
    rig.answer(1, Outcome::Ok);
    rig.to(5000);
    assert_eq!(rig.engine.operation(1).map(|op| op.stage), Some(Stage::Publishing));
    rig.hand_in(published(1));
    assert_eq!(rig.said_of(&["completed"]), ["5000 a completed 1 ok"]);
}

#[test]
fn a_failed_backup_is_an_alarm_that_ends_with_the_next_good_one() {
    let mut rig = rig();
    rig.command(backup(A));
    rig.hand_in(prepared(1));
    rig.command(Command::Complete { op: 1, outcome: Outcome::Failed, error: Some("no login".into()) });
    let expected =
        ["0 a completed 1 failed", "0 a discard 1", "0 a backup 1 failed no login", "0 a alarm backup_failed"];
    assert_eq!(rig.said()[2..], expected);
    let last = rig.engine.view(A).unwrap().last_backup.unwrap();
    assert_eq!((last.archive, last.error), (None, Some("no login".into())));
    rig.command(backup(A));
    rig.hand_in(Input::Prepared { op: 2, result: Err("disk full".into()) });
    let expected = ["0 a prepare 2 after 0", "0 a backup 2 failed disk full", "0 a alarm backup_failed"];
    assert_eq!(rig.said(), expected, "of what it was never asked for the host hears nothing");
    rig.command(backup(A));
    rig.hand_in(prepared(3));
    rig.answer(3, Outcome::Ok);
    rig.hand_in(Input::Published { op: 3, result: Err("is empty".into()) });
    assert_eq!(rig.said_of(&["a backup 3", "completed"]), ["0 a completed 3 failed", "0 a backup 3 failed is empty"]);
    rig.command(backup(A));
    rig.hand_in(prepared(4));
    rig.answer(4, Outcome::Ok);
    rig.hand_in(published(4));
    assert_eq!(rig.said_of(&["ended"]), ["0 a ended backup_failed"]);
}

#[test]
fn a_takeover_goes_before_a_backup_whatever_its_stage() {
    for stage in [Stage::Preparing, Stage::Asked, Stage::Publishing] {
        let mut rig = Rig::alive(1);
        rig.command(backup(A));
        if stage != Stage::Preparing {
            rig.hand_in(prepared(1));
        }
        if stage == Stage::Publishing {
            rig.answer(1, Outcome::Ok);
        }
        rig.said();
        rig.to(30);
        let said = rig.said_of(&["over", "completed", "discard", "backup 1", "taking_over", "begin"]);
        let mut expected = Vec::new();
        expected.extend((stage == Stage::Asked).then_some("30 a over 1"));
        expected.extend((stage != Stage::Preparing).then_some("30 a completed 1 superseded"));
        expected.extend([
            "30 a discard 1",
            "30 a backup 1 failed superseded",
            "30 a queued => taking_over keep_alive_timeout",
        ]);
        expected.push("30 a begin takeover 2 attempt 0");
        assert_eq!(said, expected, "{stage:?}");
        rig.hand_in(published(1));
        rig.hand_in(prepared(1));
        assert_eq!(rig.said(), [""; 0], "news of a backup that was given up changes nothing");
    }
}

#[test]
fn a_backup_of_an_unauthorized_server_is_refused() {
    let mut rig = rig();
    rig.give(A, false, false);
    assert_eq!(rig.accepts(&backup(A)), Err(Refusal::Blocked(Block::NotAuthorized)));
    rig.command(backup(B));
    assert_eq!(rig.accepts(&backup(B)), Err(Refusal::Running(OperationKind::Backup)));
}

#[test]
fn a_takeover_waits_for_the_look_at_its_backup_and_goes_to_the_next_server_where_there_is_none() {
    let mut rig = Rig::alive(2);
    // What the engine believes of `a` is old: its backup is gone.
    rig.backed_up.retain(|key| *key != A);
    rig.to(30);
    assert_eq!((rig.state(A), rig.state(B)), (S::Queued, S::TakingOver));
    let blocked = rig.said_of(&["a alarm takeover_blocked"]);
    assert_eq!(blocked, ["30 a alarm takeover_blocked no_backup"]);
}

#[test]
fn whoever_is_first_keeps_its_turn_while_its_backup_is_looked_for() {
    let mut rig = Rig::alive(2);
    let mut out = Vec::new();
    rig.now = super::at(30);
    rig.engine.advance(rig.now, Ran { busy_until: rig.now, ..Ran::default() }, &mut out);
    assert_eq!(rig.state(A), S::Queued, "{out:?}");
    // Something else of `b` happens meanwhile.
    rig.engine.take_in(rig.now, Input::Token { server: B, by: Some(9) }, &mut out);
    rig.engine.advance(rig.now, Ran::default(), &mut out);
    assert_eq!(rig.engine.slot(), None);
    rig.hand_in(Input::Surveyed { server: A, survey: survey(Some(1)), found: true });
    assert_eq!(rig.engine.slot(), Some(A));
}

#[test]
fn a_queued_server_without_a_backup_is_looked_at_every_60_s() {
    let mut rig = Rig::alive(1);
    rig.facts(A, true, false);
    rig.to(30);
    rig.said();
    let looks = |rig: &Rig| {
        let look = |output: &&(crate::time::Mono, crate::engine::output::Output)| {
            matches!(output.1.what, crate::engine::output::What::Files(crate::engine::output::Ask::Survey { .. }))
        };
        rig.out.iter().filter(look).map(|(at, _)| at.0 / 1_000_000_000).collect::<Vec<_>>()
    };
    rig.to(300);
    assert_eq!(looks(&rig), [90, 150, 210, 270]);
    rig.facts(A, true, true);
    assert_eq!(rig.state(A), S::TakingOver);
}

#[test]
fn a_damaged_backup_is_an_alarm_until_none_is() {
    let mut rig = Rig::alive(1);
    let look = |damaged: &[u64]| {
        let damaged = damaged.iter().map(|number| (*number, "flipped".to_owned())).collect();
        Input::Surveyed { server: A, survey: Survey { damaged, ..survey(Some(1)) }, found: false }
    };
    rig.hand_in(look(&[3, 2]));
    rig.hand_in(look(&[3]));
    assert_eq!(rig.said(), ["0 a alarm backup_damaged"], "once for one cause");
    rig.hand_in(look(&[4, 3]));
    rig.hand_in(look(&[]));
    assert_eq!(rig.said(), ["0 a alarm backup_damaged", "0 a ended backup_damaged"]);
    assert!(!rig.stands(A, Alarm::BackupDamaged));
}

#[test]
fn a_folder_that_cannot_be_read_says_nothing_of_the_backups_but_a_takeover_cannot_use_it() {
    let mut rig = Rig::alive(1);
    let unreadable = Survey { error: Some("permission denied".into()), ..Survey::default() };
    rig.hand_in(Input::Surveyed { server: A, survey: unreadable.clone(), found: false });
    assert!(rig.engine.view(A).unwrap().backup);
    let mut out = Vec::new();
    rig.now = super::at(30);
    rig.engine.advance(rig.now, Ran { busy_until: rig.now, ..Ran::default() }, &mut out);
    rig.hand_in(Input::Surveyed { server: A, survey: unreadable, found: true });
    assert_eq!(rig.said_of(&["blocked"]), ["30 a alarm takeover_blocked no_backup"]);
}

#[test]
fn a_start_goes_on_with_each_stage_of_a_backup() {
    let mut rig = rig();
    rig.command(backup(A));
    rig.said();
    rig.restart();
    assert_eq!(rig.said(), ["0 a prepare 1 after 0"]);
    rig.hand_in(prepared(1));
    rig.said();
    rig.restart();
    assert_eq!(rig.said(), ["0 a begin backup 1 attempt 0 resumed"]);
    rig.answer(1, Outcome::Ok);
    rig.said();
    let mut next = Engine::new(super::policy(2), 100);
    next.recall(rig.engine.remember()).unwrap();
    rig.engine = next;
    rig.start();
    assert_eq!(rig.said(), ["0 a publish 1 /b/in-1"]);
}
