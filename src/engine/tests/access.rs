//! The cluster, authorization, and what is refused without them.

use super::{A, B, OF_OLD, Rig, at};
use crate::engine::command::{Command, Input, Refusal};
use crate::engine::output::{Block, OperationKind, Outcome, TakeoverState as S, With};
use crate::engine::policy::ServerKey;
use crate::engine::{Engine, Ran};

fn eve() -> String {
    "eve".into()
}

fn authorize(server: ServerKey) -> Command {
    Command::Authorize { server, actor: eve(), request: 7 }
}

fn deauthorize(server: ServerKey) -> Command {
    Command::Deauthorize { server, actor: eve(), request: 8 }
}

fn backup(server: ServerKey) -> Command {
    Command::Backup { server, actor: eve(), request: 9 }
}

fn takeover(server: ServerKey) -> Command {
    Command::Takeover { server, actor: eve(), request: 10 }
}

#[test]
fn until_it_has_joined_the_cluster_takeovers_and_backups_are_refused_and_authorizations_are_not() {
    let mut rig = Rig::bare(1);
    let not_in_cluster = Err(Refusal::Blocked(Block::NotInCluster));
    assert_eq!(rig.accepts(&takeover(A)), not_in_cluster);
    assert_eq!(rig.accepts(&backup(A)), not_in_cluster);
    assert_eq!(rig.accepts(&Command::BackupAll { actor: eve(), request: 1 }), not_in_cluster);
    assert_eq!(rig.accepts(&authorize(A)), Ok(()));
    rig.cluster(true);
    assert_eq!(rig.said(), ["0 - cluster true"]);
    assert_eq!(rig.accepts(&takeover(A)), Err(Refusal::Blocked(Block::NotAuthorized)));
}

#[test]
fn the_same_word_on_the_membership_twice_is_said_once() {
    let mut rig = Rig::bare(1);
    rig.cluster(true);
    rig.cluster(true);
    rig.cluster(false);
    assert_eq!(rig.said(), ["0 - cluster true", "0 - cluster false"]);
}

#[test]
fn joining_is_an_operation_of_no_server_one_at_a_time_and_its_success_is_the_membership() {
    let mut rig = Rig::bare(1);
    let join = Command::JoinCluster { host: "m.example".into(), port: 443, actor: eve(), request: 5 };
    assert_eq!(rig.accepts(&join), Ok(()));
    rig.command(join.clone());
    assert_eq!(rig.accepts(&join), Err(Refusal::Running(OperationKind::JoinCluster)));
    let with = With::Management { host: "m.example".into(), port: 443 };
    assert_eq!(rig.engine.operation(1).map(|op| (op.server, op.with.clone())), Some((None, with)));
    rig.answer(1, Outcome::Failed);
    assert!(!rig.engine.is_joined());
    rig.command(join);
    rig.answer(2, Outcome::Ok);
    assert!(rig.engine.is_joined());
    let expected = [
        "0 - begin join_cluster 1 attempt 0",
        "0 - completed 1 failed",
        "0 - begin join_cluster 2 attempt 0",
        "0 - completed 2 ok",
        "0 - cluster true",
    ];
    assert_eq!(rig.said(), expected);
}

#[test]
fn an_authorization_gives_access_and_a_deauthorization_takes_it() {
    let mut rig = Rig::bare(1);
    rig.command(authorize(A));
    assert_eq!(rig.engine.access(A), None);
    rig.answer(1, Outcome::Ok);
    assert_eq!(rig.engine.access(A), Some(1), "known by the operation that brought it");
    rig.command(deauthorize(A));
    rig.answer(2, Outcome::Failed);
    assert_eq!(rig.engine.access(A), Some(1), "what could not be revoked is not forgotten");
    rig.command(deauthorize(A));
    rig.answer(3, Outcome::Ok);
    assert_eq!(rig.engine.access(A), None);
    let expected = [
        "0 a begin authorize 1 attempt 0",
        "0 a completed 1 ok",
        "0 a access true",
        "0 a begin deauthorize 2 attempt 0",
        "0 a completed 2 failed",
        "0 a begin deauthorize 3 attempt 0",
        "0 a completed 3 ok",
        "0 a access false",
    ];
    assert_eq!(rig.said(), expected);
    assert_eq!(rig.accepts(&deauthorize(A)), Err(Refusal::Blocked(Block::NotAuthorized)));
}

#[test]
fn where_the_host_revokes_nothing_the_token_is_only_forgotten() {
    let mut rules = super::policy(1);
    rules.host_revokes = false;
    let mut rig = Rig::with(rules);
    rig.said();
    rig.command(deauthorize(A));
    assert_eq!(rig.said(), ["0 a access false"]);
    assert_eq!(rig.engine.access(A), None);
}

#[test]
fn deauthorizing_is_possible_in_none_and_queued_alone() {
    let mut rig = Rig::alive(2);
    assert_eq!(rig.accepts(&deauthorize(A)), Ok(()));
    rig.to(30);
    assert_eq!((rig.state(A), rig.state(B)), (S::TakingOver, S::Queued));
    assert_eq!(rig.accepts(&deauthorize(B)), Ok(()));
    assert_eq!(rig.accepts(&deauthorize(A)), Err(Refusal::WrongState(S::TakingOver)));
    rig.answer(1, Outcome::Ok);
    assert_eq!(rig.accepts(&deauthorize(A)), Err(Refusal::WrongState(S::TakenOver)));
    rig.restore(A);
    assert_eq!(rig.accepts(&deauthorize(A)), Err(Refusal::WrongState(S::Restoring)));
}

#[test]
fn one_operation_at_a_time_for_a_server_and_beside_a_takeover_or_a_restore_none() {
    let mut rig = Rig::alive(2);
    rig.command(authorize(A));
    for second in [authorize(A), deauthorize(A), backup(A)] {
        assert_eq!(rig.accepts(&second), Err(Refusal::Running(OperationKind::Authorize)), "{second:?}");
    }
    assert_eq!(rig.accepts(&backup(B)), Ok(()), "another server has its own");
    rig.answer(1, Outcome::Ok);
    rig.to(30);
    assert_eq!(rig.state(A), S::TakingOver);
    for other in [authorize(A), backup(A)] {
        assert_eq!(rig.accepts(&other), Err(Refusal::WrongState(S::TakingOver)), "{other:?}");
    }
}

#[test]
fn a_server_in_an_operation_is_neither_removed_nor_readdressed() {
    let mut rig = Rig::alive(1);
    rig.command(backup(A));
    assert_eq!(rig.engine.accepts_drop(A, std::iter::empty()), Err(Refusal::Running(OperationKind::Backup)));
}

#[test]
fn calls_that_wait_to_be_taken_in_count_when_the_next_one_is_judged() {
    let mut rig = Rig::bare(1);
    let joined = Command::Cluster { joined: true, actor: eve(), request: 1 };
    let judge =
        |rig: &Rig, pending: &[&Command], command: &Command| rig.engine.accepts(pending.iter().copied(), command).err();
    assert_eq!(judge(&rig, &[&joined], &backup(A)), Some(Refusal::Blocked(Block::NotAuthorized)));
    assert_eq!(judge(&rig, &[&authorize(A)], &authorize(A)), Some(Refusal::Running(OperationKind::Authorize)));
    rig.command(authorize(A));
    let done = Command::Complete { op: 1, outcome: Outcome::Ok, error: None };
    assert_eq!(judge(&rig, &[&joined, &done], &backup(A)), None);
    assert_eq!(judge(&rig, &[&joined, &done], &takeover(A)), Some(Refusal::Blocked(Block::NoBackup)));
    assert_eq!(judge(&rig, &[&done], &done), Some(Refusal::NoSuchOperation));
}

#[test]
fn without_an_answer_an_authorization_ends_and_a_late_one_is_an_alarm() {
    let mut rig = Rig::bare(1);
    rig.command(authorize(A));
    rig.to(50);
    rig.hand_in(Input::LateAnswer { op: 1, outcome: Outcome::Ok });
    let expected =
        ["0 a begin authorize 1 attempt 0", "50 a over 1", "50 a completed 1 timeout", "50 a alarm late_answer"];
    assert_eq!(rig.said(), expected);
    assert_eq!(rig.engine.access(A), None);
}

#[test]
fn an_answer_that_is_on_its_way_is_not_overdue() {
    let mut rig = Rig::bare(1);
    rig.command(authorize(A));
    rig.engine.awaits_answer(1, true);
    rig.to(200);
    assert_eq!(rig.said(), ["0 a begin authorize 1 attempt 0"]);
    rig.engine.awaits_answer(1, false);
    rig.advance(Ran::default());
    assert_eq!(rig.said(), ["200 a over 1", "200 a completed 1 timeout"]);
}

#[test]
fn a_start_ends_what_needs_forgotten_credentials_and_goes_on_with_the_rest() {
    let mut rig = Rig::bare(2);
    rig.cluster(true);
    rig.give(B, true, true);
    rig.command(authorize(A));
    rig.command(deauthorize(B));
    rig.command(Command::JoinCluster { host: "m".into(), port: 1, actor: eve(), request: 5 });
    rig.said();
    rig.restart();
    let expected = [
        "0 - over 3",
        "0 - completed 3 interrupted",
        "0 a over 1",
        "0 a completed 1 interrupted",
        "0 b begin deauthorize 2 attempt 0 resumed",
    ];
    assert_eq!(rig.said(), expected);
}

#[test]
fn a_removed_and_a_readdressed_server_lose_their_token() {
    for remove in [true, false] {
        let mut rig = Rig::alive(2);
        rig.configure(|policy| {
            if remove {
                policy.servers.truncate(1);
            } else {
                policy.servers[1].readdressed = true;
            }
        });
        assert!(rig.said().contains(&"0 b access false".to_owned()), "{remove}");
        assert_eq!((rig.engine.access(A), rig.engine.access(B)), (Some(OF_OLD), None));
    }
}

#[test]
fn leaving_the_cluster_touches_only_queued_entries() {
    let mut rig = Rig::alive(2);
    rig.to(30);
    rig.said();
    rig.cluster(false);
    rig.answer(1, Outcome::Ok);
    rig.restore(A);
    rig.answer(2, Outcome::Ok);
    assert_eq!(rig.state(A), S::None);
    let blocked = rig.said_of(&["blocked"]);
    assert_eq!(blocked, ["30 b alarm takeover_blocked not_in_cluster"]);
    assert_eq!(rig.state(B), S::Queued);
}

#[test]
fn what_was_told_is_known_to_the_next_life() {
    let mut rig = Rig::bare(2);
    rig.cluster(true);
    rig.command(authorize(A));
    rig.answer(1, Outcome::Ok);
    let mut next = Engine::new(super::policy(2), 100);
    next.recall(rig.engine.remember()).unwrap();
    assert!(next.is_joined());
    assert_eq!((next.access(A), next.access(B)), (Some(1), None));
}

#[test]
fn an_accepted_takeover_that_finds_the_slot_taken_keeps_its_claim_and_waits() {
    let mut rig = Rig::alive(2);
    rig.alive_until(B, 30);
    // Accepted before the failure of `a` was known, and taken in after the slot was given.
    rig.to(30);
    assert_eq!(rig.engine.slot(), Some(A));
    rig.command(takeover(B));
    assert_eq!(rig.state(B), S::Queued);
    rig.answer(1, Outcome::Ok);
    rig.restore(A);
    rig.answer(2, Outcome::Ok);
    assert_eq!(rig.engine.slot(), Some(B), "{:?}", rig.said());
    assert_eq!(rig.now, at(30), "at the same instant");
}
