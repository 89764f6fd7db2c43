//! The sentences, case by case, and instants by both clocks.

use serde_json::Value;

use super::*;
use crate::engine::health::{FailReason, Phase};
use crate::engine::output::{Actor, Block, OperationKind, Stage, With};
use crate::engine::view::WayBack;
use crate::time::SECOND_NS;

const NOW: Mono = Mono(1_000 * SECOND_NS);
/// 2026-01-01T23:59:00Z, a minute before another day.
const UTC_MS: i64 = 1_767_311_940_000;

fn picture<'a>() -> Picture<'a> {
    let rules = Rules { automatic_takeover: true, automatic_restore: true, restore_stable_s: 30 };
    let state_writable = true;
    Picture { state: "running", monitoring: true, joined: true, state_writable, rules, ..Picture::blank(NOW, UTC_MS) }
}

fn portrait<'a>(view: ServerView) -> Portrait<'a> {
    Portrait { id: "a", name: "A", place: None, view, progress: None }
}

fn alive() -> ServerView {
    let (phase, deadline) = (Phase::KeepAlive, Some(NOW + crate::time::Span::seconds(30)));
    ServerView { phase, deadline, authorized: true, backup: true, ..ServerView::default() }
}

fn says(picture: &Picture<'_>, view: ServerView, sentence: &str) {
    assert_eq!(sentence::next(picture, &portrait(view)), sentence);
}

#[test]
fn what_follows_a_failure_is_said_before_it() {
    let fails = "fails at 23:59:30 UTC unless a keep-alive comes; then ";
    says(&picture(), alive(), &format!("{fails}it is taken over"));
    let held = Picture { holder: Some("b".into()), ..picture() };
    says(&held, alive(), &format!("{fails}it is queued and not covered: 'b' has the slot"));
    let blocked = ServerView { block: Some(Block::NoBackup), ..alive() };
    says(&picture(), blocked, &format!("{fails}it is queued and cannot be taken over: it has no good backup"));
    let others = Picture { queue: vec!["b".into()], ..picture() };
    says(&others, alive(), &format!("{fails}it is queued for the takeover"));
    let tomorrow = ServerView { deadline: Some(NOW + crate::time::Span::seconds(61)), ..alive() };
    says(&picture(), tomorrow, "fails at 2026-01-02 00:00:01 UTC unless a keep-alive comes; then it is taken over");
    let known = ServerView { phase: Phase::Unknown, waits_for_operator: true, ..alive() };
    says(
        &picture(),
        known,
        "fails at 23:59:30 UTC unless something is heard of it; then it goes on waiting for an operator",
    );
    says(&picture(), ServerView::default(), "nothing: it was never seen; send its first message");
}

#[test]
fn the_queue_says_whose_turn_it_is() {
    let entry = |actor| Some((actor, "keep_alive_timeout"));
    let failure = Some((FailReason::KeepAliveTimeout, NOW));
    let state = TakeoverState::Queued;
    let phase = Phase::Failed;
    let failed = ServerView { phase, failure, deadline: None, state, entry: entry(Actor::Automatic), ..alive() };
    let unless = ", unless it keeps alive again";
    says(&picture(), failed.clone(), &format!("is taken over when its turn comes (place 1 of 1){unless}"));
    let later = ServerView { not_before: Some(NOW + crate::time::Span::seconds(30)), ..failed.clone() };
    says(&picture(), later, &format!("the takeover is tried again at 23:59:30 UTC (place 1 of 1){unless}"));
    let by_hand = ServerView { entry: entry(Actor::Operator("eve".into())), ..failed.clone() };
    says(&picture(), by_hand, "is taken over when its turn comes (place 1 of 1)");
    let blocked = ServerView { block: Some(Block::StateNotWritable), ..failed.clone() };
    says(&picture(), blocked, "cannot be taken over: the state directory cannot be written (place 1 of 1)");
    let examined = ServerView { examined: true, ..failed.clone() };
    says(&picture(), examined, &format!("is taken over as soon as its newest backup is checked (place 1 of 1){unless}"));
    let back = ServerView { phase: Phase::Started, deadline: alive().deadline, ..failed };
    says(
        &picture(),
        back,
        "keeps its place in the queue (place 1 of 1); fails at 23:59:30 UTC unless a keep-alive comes",
    );
}

#[test]
fn who_waits_for_an_operator_is_told_what_an_operator_can_do() {
    let failed = ServerView { phase: Phase::Failed, deadline: None, waits_for_operator: true, ..alive() };
    says(&picture(), failed.clone(), "waits for an operator: take it over, or bring it back");
    let blocked = ServerView { block: Some(Block::NotAuthorized), ..failed };
    says(&picture(), blocked, "waits for an operator: bring it back; it cannot be taken over: it is not authorized");
}

fn backup(stage: Stage) -> Operation {
    Operation {
        id: 7,
        kind: OperationKind::Backup,
        server: None,
        deadline: NOW + crate::time::Span::seconds(600),
        attempt: 0,
        reason: "operator",
        actor: Actor::Operator("eve".into()),
        request: Some(6),
        resumed: false,
        supersedes: Vec::new(),
        with: With::Nothing,
        stage,
        answered: false,
    }
}

#[test]
fn a_deadline_is_shown_while_the_host_may_miss_it() {
    for (stage, shown) in [(Stage::Preparing, true), (Stage::Asked, true), (Stage::Publishing, false)] {
        let view = ServerView { operation: Some(backup(stage)), ..alive() };
        let picture = Picture { servers: vec![portrait(view)], ..picture() };
        let json: Value = serde_json::from_str(&picture.to_json()).unwrap();
        let server = &json["servers"][0];
        assert_eq!((server["operation"]["op"].as_u64(), server["takeover"].get("operation")), (Some(7), None));
        assert_eq!(server["operation"].get("deadline").is_some(), shown, "{stage:?}");
    }
}

#[test]
fn the_way_back_is_said_by_the_rules() {
    let taken = |way_back, not_before| ServerView { state: TakeoverState::TakenOver, way_back, not_before, ..alive() };
    let soon = NOW + crate::time::Span::seconds(5);
    let never = "stays taken over: it never went down, so an operator has to restore it";
    says(&picture(), taken(WayBack::NeverDown, None), never);
    says(&picture(), taken(WayBack::Down, None), "is restored once it has kept alive for 30 s");
    let until = "is restored at 23:59:05 UTC if it keeps alive until then";
    says(&picture(), taken(WayBack::Until(soon), None), until);
    says(&picture(), taken(WayBack::Reached, Some(soon)), "the restore is tried again at 23:59:05 UTC");
    says(&picture(), taken(WayBack::Reached, None), "is restored at once");
    let busy = ServerView { operation: Some(backup(Stage::Asked)), ..taken(WayBack::Reached, None) };
    says(&picture(), busy, "is restored once the backup that runs has ended");
    let mut by_hand = picture();
    by_hand.rules.automatic_restore = false;
    says(&by_hand, taken(WayBack::Reached, None), "it is back and stable: an operator can restore it");
    says(&by_hand, taken(WayBack::Down, None), "stays taken over until an operator restores it");
}

#[test]
fn instants_at_the_ends_of_time_do_no_harm() {
    let view = ServerView { since: Some(Mono(1)), deadline: Some(Mono(u64::MAX)), ..alive() };
    for utc_ms in [i64::MIN, 0, i64::MAX] {
        let picture = Picture { utc_ms, servers: vec![portrait(view.clone())], ..picture() };
        let json: Value = serde_json::from_str(&picture.to_json()).unwrap();
        assert_eq!(json["servers"][0]["deadline"]["ns"], u64::MAX);
    }
}
