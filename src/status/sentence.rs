//! What happens next with one server, in a sentence for people. Says what the engine will do by the rules in force; decides nothing.

use super::{Picture, Portrait};
use crate::engine::health::Phase;
use crate::engine::output::{Block, TakeoverState};
use crate::engine::view::WayBack;
use crate::time::{Mono, utc};

const DAY_MS: i64 = 86_400_000;

/// What happens next, when, and unless what.
pub fn next(picture: &Picture<'_>, server: &Portrait<'_>) -> String {
    if picture.poisoned.is_some() {
        return "nothing: the plugin has panicked; stop, destroy and create it again".into();
    }
    if !picture.monitoring {
        let begins = if picture.state == "running" { "the first poll" } else { "start" };
        return format!("nothing before {begins}");
    }
    match server.view.state {
        TakeoverState::None => by_itself(picture, server),
        TakeoverState::Queued => queued(picture, server),
        TakeoverState::TakingOver => format!(
            "the host is taking it over; {}is tried again after a delay",
            given_up(picture, server, "without an answer the attempt ends, and ")
        ),
        TakeoverState::TakenOver => taken_over(picture, server),
        TakeoverState::Restoring => {
            format!("the host is restoring it; {}stays taken over", given_up(picture, server, "without an answer it "))
        }
    }
}

fn by_itself(picture: &Picture<'_>, server: &Portrait<'_>) -> String {
    let view = &server.view;
    if view.phase == Phase::Failed {
        return match view.block {
            Some(block) => format!("waits for an operator: bring it back; it cannot be taken over: {}", lacks(block)),
            None => "waits for an operator: take it over, or bring it back".into(),
        };
    }
    let Some(deadline) = view.deadline else { return "nothing: it was never seen; send its first message".into() };
    let unless = match view.phase {
        Phase::Connected => "its startup message comes",
        Phase::Started => "its first keep-alive comes",
        Phase::KeepAlive => "a keep-alive comes",
        Phase::NormalShutdown | Phase::AbnormalShutdown => "it restarts",
        Phase::Unknown | Phase::Failed => "something is heard of it",
    };
    format!("fails at {} unless {unless}; then {}", clock(picture, deadline), after_failure(picture, server))
}

fn after_failure(picture: &Picture<'_>, server: &Portrait<'_>) -> String {
    let view = &server.view;
    if view.phase == Phase::Unknown && view.waits_for_operator {
        return "it goes on waiting for an operator".into();
    }
    if !picture.rules.automatic_takeover {
        return "it waits for an operator: automatic takeover is off".into();
    }
    match (view.block, &picture.holder) {
        (_, Some(holder)) => format!("it is queued and not covered: '{holder}' has the slot"),
        (Some(block), None) => format!("it is queued and cannot be taken over: {}", lacks(block)),
        (None, None) if picture.queue.is_empty() => "it is taken over".into(),
        (None, None) => "it is queued for the takeover".into(),
    }
}

fn queued(picture: &Picture<'_>, server: &Portrait<'_>) -> String {
    let view = &server.view;
    let automatic = view.entry.as_ref().is_none_or(|(actor, _)| actor.name() == "automatic");
    let place = format!("place {} of {}", server.place.unwrap_or(1), picture.queue.len().max(1));
    let recovers = if automatic { ", unless it keeps alive again" } else { "" };
    if automatic && view.phase != Phase::Failed {
        let fails = view.deadline.map_or("when it fails again".into(), |at| format!("at {}", clock(picture, at)));
        return format!("keeps its place in the queue ({place}); fails {fails} unless a keep-alive comes");
    }
    if let Some(holder) = &picture.holder {
        return format!("not covered: '{holder}' has the slot; waits for it ({place}){recovers}");
    }
    if let Some(at) = view.not_before {
        return format!("the takeover is tried again at {} ({place}){recovers}", clock(picture, at));
    }
    match view.block {
        Some(block) => format!("cannot be taken over: {} ({place})", lacks(block)),
        None if view.examined => format!("is taken over as soon as its newest backup is checked ({place}){recovers}"),
        None => format!("is taken over when its turn comes ({place}){recovers}"),
    }
}

fn taken_over(picture: &Picture<'_>, server: &Portrait<'_>) -> String {
    let (view, rules) = (&server.view, picture.rules);
    let stable = rules.restore_stable_s;
    if !rules.automatic_restore {
        return match view.way_back {
            WayBack::Reached => "it is back and stable: an operator can restore it".into(),
            _ => "stays taken over until an operator restores it".into(),
        };
    }
    match (view.way_back, view.not_before) {
        (WayBack::NeverDown, _) => "stays taken over: it never went down, so an operator has to restore it".into(),
        (WayBack::Down, _) => format!("is restored once it has kept alive for {stable} s"),
        (WayBack::Until(at), retry) => {
            let at = retry.map_or(at, |retry| retry.max(at));
            format!("is restored at {} if it keeps alive until then", clock(picture, at))
        }
        (WayBack::Reached, Some(retry)) => format!("the restore is tried again at {}", clock(picture, retry)),
        (WayBack::Reached, None) => match &view.operation {
            Some(operation) => format!("is restored once the {} that runs has ended", operation.kind.name()),
            None => "is restored at once".into(),
        },
    }
}

fn given_up(picture: &Picture<'_>, server: &Portrait<'_>, what: &str) -> String {
    let deadline = server.view.operation.as_ref().map(|operation| operation.deadline);
    deadline.map_or_else(|| what.into(), |at| format!("at {} {what}", clock(picture, at)))
}

fn lacks(block: Block) -> &'static str {
    match block {
        Block::NotInCluster => "this failover server is not part of the cluster",
        Block::NotAuthorized => "it is not authorized",
        Block::NoBackup => "it has no good backup",
        Block::StateNotWritable => "the state directory cannot be written",
    }
}

/// The time of day, and the date where it is another day.
fn clock(picture: &Picture<'_>, at: Mono) -> String {
    let (now_ms, at_ms) = (picture.utc_ms, picture.utc_ms_of(at));
    let at = utc(at_ms);
    let (date, time) = at.split_once('T').unwrap_or(("", &at));
    let time = time.get(..8).unwrap_or(time);
    let same_day = now_ms.div_euclid(DAY_MS) == at_ms.div_euclid(DAY_MS);
    if same_day { format!("{time} UTC") } else { format!("{date} {time} UTC") }
}
