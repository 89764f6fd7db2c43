//! From a failure to the host running in the server's place: the queue, the one slot, attempts and what was given up.
//!
//! Never begins anything outside `settle` (which gives the free slot) and `resume` (which repeats what was begun before a stop).
//! Called by `engine` alone.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::health::{FailReason, Phase};
use super::output::{
    Actor, Alarm, Archive, Ask, Block, Cause, Note, Operation, OperationKind, Outcome, Output, Stage, TakeoverState,
    What, With,
};
use super::policy::ServerKey;
use super::restore::Stability;
use super::{Engine, Server};
use crate::time::{Mono, Span};

/// Given-up operations that are remembered; older ones are forgotten.
const GIVEN_UP_KEPT: usize = 1024;
const FIRST_RETRY_S: u32 = 30;
const LAST_RETRY_S: u32 = 600;

/// Where one server stands.
#[derive(Clone, Debug, Default)]
pub(super) struct Takeover {
    pub(super) state: TakeoverState,
    /// Who put it in the queue, from there until it is `none` again.
    pub(super) entry: Option<Entry>,
    pub(super) attempt: u32,
    pub(super) not_before: Option<Mono>,
    pub(super) hold: Option<Hold>,
    /// It was seen not keeping alive since the last change to `taking_over`.
    pub(super) seen_down: bool,
    pub(super) stability: Stability,
    pub(super) restore_attempt: u32,
    pub(super) restore_not_before: Option<Mono>,
    /// It failed after the running restore was asked for.
    pub(super) failed_since_restore: bool,
}

#[derive(Clone, Debug)]
pub(super) struct Entry {
    pub(super) actor: Actor,
    pub(super) failed_at: Mono,
    pub(super) reason: &'static str,
    pub(super) request: Option<u64>,
}

/// Why a server waits for an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Hold {
    /// Automatic takeover was off when it failed.
    NotAutomatic,
    /// Cancelled, or restored while failed: a person decided.
    Decided,
}

/// An operation that the host never answered.
#[derive(Clone, Debug)]
pub(super) struct GivenUp {
    pub(super) id: u64,
    /// None for a server that is gone.
    pub(super) server: Option<ServerKey>,
    /// A takeover whose traces the next takeover has to undo.
    pub(super) to_undo: bool,
    pub(super) answered: bool,
}

/// Whose place in the queue has to be looked at again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Unsettled {
    /// Everybody's: the slot, the cluster or the rules changed.
    All,
    /// Only theirs, so that one message costs no walk through a long queue.
    Only(BTreeSet<ServerKey>),
}

impl Default for Unsettled {
    fn default() -> Self {
        Unsettled::Only(BTreeSet::new())
    }
}

impl Unsettled {
    pub(super) fn mark(&mut self, key: ServerKey) {
        if let Unsettled::Only(keys) = self {
            keys.insert(key);
        }
    }
}

/// How long to wait before the attempt after `attempts` failed ones.
pub(super) fn retry_delay(attempts: u32) -> Span {
    let doubled = FIRST_RETRY_S.saturating_mul(1u32.checked_shl(attempts.saturating_sub(1)).unwrap_or(u32::MAX));
    Span::seconds(doubled.min(LAST_RETRY_S))
}

impl Takeover {
    /// The next instant that matters here besides the health.
    pub(super) fn waits(&self, automatic_restore: bool) -> Option<Mono> {
        match self.state {
            TakeoverState::Queued => self.not_before,
            TakeoverState::TakenOver => {
                let retry = self.restore_not_before.filter(|_| automatic_restore);
                self.stability.until().filter(|_| self.seen_down).into_iter().chain(retry).min()
            }
            _ => None,
        }
    }

    /// A failure from now on came after the restore was asked for.
    pub(super) fn restore_asked(&mut self) {
        self.failed_since_restore = false;
    }

    fn holds_slot(&self) -> bool {
        matches!(self.state, TakeoverState::TakingOver | TakeoverState::TakenOver | TakeoverState::Restoring)
    }
}

impl Server {
    /// Operators first, then importance, then the time of failure, then the place in the configuration.
    fn rank(&self) -> (bool, u32, Mono, usize) {
        let entry = self.takeover.entry.as_ref();
        let automatic = entry.is_none_or(|entry| entry.actor == Actor::Automatic);
        (automatic, self.priority, entry.map_or(Mono(0), |entry| entry.failed_at), self.order)
    }

    /// Its turn may come: an operator wants it, or it is failed; and no delay runs.
    fn ripe(&self) -> bool {
        let operator = self.takeover.entry.as_ref().is_some_and(|entry| entry.actor != Actor::Automatic);
        (operator || self.health.phase() == Phase::Failed) && self.takeover.not_before.is_none()
    }
}

impl Engine {
    /// Says what one change of the takeover state was, with who is behind it.
    pub(super) fn change(&mut self, key: ServerKey, to: TakeoverState, why: Why, out: &mut Vec<Output>) {
        let Some(server) = self.get_mut(key) else { return };
        let from = std::mem::replace(&mut server.takeover.state, to);
        let Why { reason, actor, request } = why;
        out.push(Output { server: Some(key), actor, request, what: What::Takeover { from, to, reason } });
        if to == TakeoverState::Queued {
            self.queue.insert(key);
            self.unsettled.mark(key);
        } else {
            self.queue.remove(&key);
        }
    }

    fn hold_slot(&mut self, holder: Option<ServerKey>) {
        self.slot = holder;
        self.unsettled = Unsettled::All;
    }

    /// The server has just failed, or is found failed where that has to be handled now.
    pub(super) fn failed(&mut self, key: ServerKey, out: &mut Vec<Output>) {
        let automatic = self.policy.automatic_takeover;
        let Some(server) = self.get_mut(key) else { return };
        let Some((reason, failed_at)) = server.health.failure() else { return };
        match server.takeover.state {
            TakeoverState::None => {
                // A server that waited for an operator before the start and is still silent has not failed anew.
                let known = server.takeover.hold.is_some() && reason == FailReason::NotSeenSinceStart;
                if known {
                    return;
                }
                if automatic {
                    self.enqueue_automatically(key, out);
                } else {
                    server.takeover.hold = Some(Hold::NotAutomatic);
                    self.raise(key, Alarm::TakeoverRequired, Cause::Failure(failed_at), out);
                }
            }
            TakeoverState::Restoring => server.takeover.failed_since_restore = true,
            TakeoverState::Queued => self.unsettled.mark(key),
            TakeoverState::TakingOver | TakeoverState::TakenOver => {}
        }
    }

    fn enqueue_automatically(&mut self, key: ServerKey, out: &mut Vec<Output>) {
        let Some(server) = self.get_mut(key) else { return };
        let Some((reason, failed_at)) = server.health.failure() else { return };
        let entry = Entry { actor: Actor::Automatic, failed_at, reason: reason.name(), request: None };
        self.enqueue(key, entry, out);
    }

    /// Automatic takeover was turned on: what failed before is queued, unless a person decided otherwise.
    pub(super) fn queue_if_overlooked(&mut self, key: ServerKey, out: &mut Vec<Output>) {
        let Some(server) = self.get(key) else { return };
        if server.takeover.state == TakeoverState::None && server.takeover.hold != Some(Hold::Decided) {
            self.enqueue_automatically(key, out);
        }
    }

    pub(super) fn enqueue_for_operator(
        &mut self,
        now: Mono,
        key: ServerKey,
        actor: Actor,
        request: u64,
        out: &mut Vec<Output>,
    ) {
        let Some(server) = self.get(key) else { return };
        let queued_since = server.takeover.entry.as_ref().map(|entry| entry.failed_at);
        let failed_at = server.health.failure().map(|(_, at)| at);
        let failed_at = queued_since.or(failed_at).unwrap_or(now);
        self.enqueue(key, Entry { actor, failed_at, reason: "operator", request: Some(request) }, out);
    }

    fn enqueue(&mut self, key: ServerKey, entry: Entry, out: &mut Vec<Output>) {
        let Some(server) = self.get_mut(key) else { return };
        let why = Why { reason: entry.reason, actor: Some(entry.actor.clone()), request: entry.request };
        let takeover = &mut server.takeover;
        takeover.entry = Some(entry);
        takeover.attempt = 0;
        takeover.not_before = None;
        takeover.hold = None;
        if takeover.state == TakeoverState::None {
            self.change(key, TakeoverState::Queued, why, out);
        } else {
            let Why { actor, request, .. } = why;
            out.push(Output { server: Some(key), actor, request, what: What::Note(Note::Claimed) });
        }
        self.end(key, Alarm::TakeoverRequired, out);
        self.unsettled.mark(key);
    }

    pub(super) fn cancel(&mut self, key: ServerKey, actor: Option<Actor>, request: Option<u64>, out: &mut Vec<Output>) {
        self.leave_queue(key, "cancelled", actor, request, out);
        if let Some(server) = self.get_mut(key) {
            // One that keeps alive has no failure that could wait: its next one is new, after a start too.
            server.takeover.hold = (server.health.phase() != Phase::KeepAlive).then_some(Hold::Decided);
        }
    }

    pub(super) fn leave_queue(
        &mut self,
        key: ServerKey,
        reason: &'static str,
        actor: Option<Actor>,
        request: Option<u64>,
        out: &mut Vec<Output>,
    ) {
        let Some(server) = self.get_mut(key) else { return };
        if server.takeover.state != TakeoverState::Queued {
            return;
        }
        let takeover = &mut server.takeover;
        (takeover.entry, takeover.attempt, takeover.not_before) = (None, 0, None);
        self.change(key, TakeoverState::None, Why { reason, actor, request }, out);
        for code in [Alarm::NotCovered, Alarm::TakeoverBlocked, Alarm::TakeoverFailed] {
            self.end(key, code, out);
        }
    }

    /// What a change of health means for queue, stability and owners.
    pub(super) fn health_changed(&mut self, key: ServerKey, out: &mut Vec<Output>) {
        let stable = self.policy.restore_stable;
        let Some(server) = self.get_mut(key) else { return };
        if server.health.phase() == Phase::KeepAlive {
            server.takeover.hold = None;
            server.takeover.stability = Stability::Until(server.health.entered_at() + stable);
            let automatic = server.takeover.entry.as_ref().is_some_and(|entry| entry.actor == Actor::Automatic);
            self.end(key, Alarm::TakeoverRequired, out);
            if automatic {
                self.leave_queue(key, "recovered", None, None, out);
            }
        } else {
            server.takeover.stability = Stability::Broken;
            server.takeover.seen_down |= server.takeover.holds_slot();
            self.end(key, Alarm::RestorePossible, out);
        }
        self.evaluate_both_alive(key, out);
    }

    /// Retry delays of these servers that have run out.
    pub(super) fn end_delays(&mut self, now: Mono, due: &[ServerKey]) {
        for key in due {
            let Some(server) = self.get_mut(*key) else { continue };
            if server.takeover.not_before.is_some_and(|at| at <= now) {
                server.takeover.not_before = None;
                self.unsettled.mark(*key);
            }
        }
    }

    /// Gives the free slot, and says who is not covered. Whoever is not marked was looked at before, and nothing has changed for it since.
    pub(super) fn settle(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.keep_the_examined_first();
        let unsettled = std::mem::take(&mut self.unsettled);
        let mut waiting = self.ranked(&unsettled);
        if self.slot.is_none() {
            self.give_slot(now, &waiting, out);
        }
        self.found = None;
        if self.unsettled == Unsettled::All {
            // The slot was given just now: everybody else hears of it.
            waiting = self.ranked(&Unsettled::All);
        }
        // While a backup is looked for, nobody knows yet who has the slot: the answer settles everybody's place.
        if self.slot.is_some() || self.examined.is_none() {
            for key in waiting {
                self.say_if_not_covered(key, out);
            }
        }
        self.unsettled = Unsettled::default();
    }

    /// Whoever was first still is while its backup is looked for, unless it is no candidate any more.
    fn keep_the_examined_first(&mut self) {
        let Some((key, _)) = self.examined else { return };
        let candidate = self.queue.contains(&key) && self.block(key).is_none();
        if self.slot.is_none() && candidate && self.get(key).is_some_and(Server::ripe) {
            self.unsettled.mark(key);
        } else {
            self.examined = None;
            self.unsettled = Unsettled::All;
        }
    }

    /// Those of the queue that are to be looked at, the first one first.
    pub(super) fn ranked(&self, unsettled: &Unsettled) -> Vec<ServerKey> {
        let mut waiting: Vec<ServerKey> = match unsettled {
            Unsettled::All => self.queue.iter().copied().collect(),
            Unsettled::Only(keys) => keys.iter().filter(|key| self.queue.contains(*key)).copied().collect(),
        };
        waiting.sort_by_cached_key(|key| self.get(*key).map(Server::rank));
        waiting
    }

    fn give_slot(&mut self, now: Mono, waiting: &[ServerKey], out: &mut Vec<Output>) {
        for key in waiting {
            if !self.get(*key).is_some_and(Server::ripe) {
                continue;
            }
            match self.block(*key) {
                Some(block) => self.raise(*key, Alarm::TakeoverBlocked, Cause::Block(block), out),
                None => return self.give_slot_to(now, *key, out),
            }
        }
    }

    /// Not before its backup was looked at: what was good yesterday may be gone.
    fn give_slot_to(&mut self, now: Mono, key: ServerKey, out: &mut Vec<Output>) {
        match self.found.take() {
            // The host has answered what it does for the server, and the answer is on its way here: it is waited for.
            _ if self.operation_of(key).is_some_and(|operation| operation.answered) => {}
            Some((of, archive)) if of == key => self.begin_takeover(now, key, archive, out),
            _ if self.is_examined(key) => {}
            _ => {
                self.examined = Some((key, now));
                // Before the search: what a backup publishes meanwhile may put what is found in excess, and have it deleted.
                self.supersede_for(now, key, out);
                out.push(Output::plain(Some(key), What::Files(Ask::Find)));
            }
        }
    }

    fn say_if_not_covered(&mut self, key: ServerKey, out: &mut Vec<Output>) {
        if !self.queue.contains(&key) {
            return;
        }
        if self.block(key).is_none() {
            self.end(key, Alarm::TakeoverBlocked, out);
        }
        match self.slot {
            Some(holder) => self.raise(key, Alarm::NotCovered, Cause::Holder(holder), out),
            None => self.end(key, Alarm::NotCovered, out),
        }
    }

    fn begin_takeover(&mut self, now: Mono, key: ServerKey, archive: Archive, out: &mut Vec<Output>) {
        self.supersede_for(now, key, out);
        let deadline = now + self.policy.takeover_timeout;
        let supersedes = self.given_up.iter().filter(|given| given.to_undo).map(|given| given.id).collect();
        let Some(server) = self.get_mut(key) else { return };
        let Some(Entry { actor, reason, request, .. }) = server.takeover.entry.clone() else { return };
        let phase = server.health.phase();
        server.takeover.seen_down = phase != Phase::KeepAlive && !server.health.unknown_after_start();
        let attempt = server.takeover.attempt;
        self.hold_slot(Some(key));
        let why = Why { reason, actor: Some(actor.clone()), request };
        self.change(key, TakeoverState::TakingOver, why, out);
        self.end(key, Alarm::NotCovered, out);
        self.end(key, Alarm::TakeoverBlocked, out);
        let behind = (actor, request, reason);
        let operation = Operation::new(self.new_id(), OperationKind::Takeover, Some(key), behind);
        self.begin(Operation { deadline, attempt, supersedes, with: With::Archive(archive), ..operation }, out);
    }

    /// A takeover goes before whatever else the host does for the server.
    fn supersede_for(&mut self, now: Mono, key: ServerKey, out: &mut Vec<Output>) {
        let Some(&Operation { id, kind, stage, .. }) = self.operation_of(key) else { return };
        if stage == Stage::Asked {
            self.remember_given_up(id, Some(key), false);
            out.push(Output::plain(Some(key), What::OperationOver { op: id, kind, reason: "superseded" }));
        }
        self.completed(now, id, Outcome::Superseded, None, out);
    }

    pub(super) fn begin(&mut self, operation: Operation, out: &mut Vec<Output>) {
        self.operations.insert(operation.id, operation.clone());
        if self.running {
            out.push(operation.says(What::Begin(operation.clone())));
        } else {
            self.not_begun.insert(operation.id);
        }
    }

    /// The operations of each server; None stands for the cluster. A start looks at every server, so it sorts them once.
    pub(super) fn operations_by_server(&self) -> BTreeMap<Option<ServerKey>, Vec<u64>> {
        let mut by_server: BTreeMap<_, Vec<u64>> = BTreeMap::new();
        for operation in self.operations.values() {
            by_server.entry(operation.server).or_default().push(operation.id);
        }
        by_server
    }

    /// At a start: what was begun is begun again under the same id.
    pub(super) fn resume(&mut self, operations: Vec<u64>, now: Mono, out: &mut Vec<Output>) {
        operations.into_iter().for_each(|op| self.resume_operation(op, now, out));
    }

    /// At a start: delays run anew.
    pub(super) fn delay_anew(&mut self, key: ServerKey, now: Mono) {
        let Some(Server { takeover, .. }) = self.get_mut(key) else { return };
        takeover.stability = Stability::Broken;
        takeover.not_before = (takeover.state == TakeoverState::Queued && takeover.attempt > 0)
            .then(|| now + retry_delay(takeover.attempt));
        takeover.restore_not_before = (takeover.state == TakeoverState::TakenOver && takeover.restore_attempt > 0)
            .then(|| now + retry_delay(takeover.restore_attempt));
    }

    fn resume_operation(&mut self, op: u64, now: Mono, out: &mut Vec<Output>) {
        let fresh = self.not_begun.remove(&op);
        let last_number =
            |server: Option<ServerKey>| server.and_then(|key| self.get(key)).map_or(0, |s| s.backups.highest);
        let last_number = last_number(self.operations.get(&op).and_then(|operation| operation.server));
        let Some(kind) = self.operations.get(&op).map(|operation| operation.kind) else { return };
        let deadline = now + self.policy.for_host(kind);
        let Some(operation) = self.operations.get_mut(&op) else { return };
        operation.deadline = deadline;
        operation.answered = false;
        let what = match (operation.kind, operation.stage, &operation.with) {
            (OperationKind::Authorize | OperationKind::JoinCluster, ..) if !fresh => {
                return self.interrupt(now, op, out);
            }
            (_, Stage::Preparing, _) => What::Files(Ask::Prepare { op, last_number }),
            (_, Stage::Publishing, With::File(file)) => What::Files(Ask::Publish { op, file: file.clone() }),
            _ => {
                operation.resumed = !fresh;
                What::Begin(operation.clone())
            }
        };
        let says = operation.says(what);
        out.push(says);
    }

    /// Its credentials were forgotten at the stop.
    fn interrupt(&mut self, now: Mono, op: u64, out: &mut Vec<Output>) {
        let Some(Operation { kind, server, .. }) = self.operations.get(&op).cloned() else { return };
        self.remember_given_up(op, server, false);
        out.push(Output::plain(server, What::OperationOver { op, kind, reason: "interrupted" }));
        self.completed(now, op, Outcome::Interrupted, Some("interrupted".to_owned()), out);
    }

    /// It runs no longer: said, with how it ended.
    pub(super) fn end_operation(
        &mut self,
        op: u64,
        outcome: Outcome,
        error: Option<String>,
        out: &mut Vec<Output>,
    ) -> Option<Operation> {
        let operation = self.operations.remove(&op)?;
        // Of what it was never asked for the host hears nothing.
        if operation.stage != Stage::Preparing {
            out.push(operation.says(What::Completed { op, kind: operation.kind, outcome, error }));
        }
        Some(operation)
    }

    pub(super) fn completed(
        &mut self,
        now: Mono,
        op: u64,
        outcome: Outcome,
        error: Option<String>,
        out: &mut Vec<Output>,
    ) {
        let why = error.clone().unwrap_or_else(|| outcome.name().to_owned());
        let Some(operation) = self.end_operation(op, outcome, error, out) else { return };
        let server = operation.server;
        match (operation.kind, outcome) {
            (OperationKind::Takeover, Outcome::Ok) => self.taken_over(operation, out),
            (OperationKind::Takeover, _) => self.takeover_failed(now, operation, outcome, out),
            (OperationKind::Restore, Outcome::Ok) => self.restored(operation, out),
            (OperationKind::Restore, _) => self.restore_failed(now, operation, outcome, out),
            (OperationKind::Backup, _) => self.backup_failed(now, &operation, why, out),
            (_, Outcome::Ok) => self.access_changed(&operation, out),
            (OperationKind::Authorize | OperationKind::Deauthorize | OperationKind::JoinCluster, _) => {}
        }
        if let Some(key) = server {
            self.unsettled.mark(key);
            self.touch(key);
        }
    }

    fn taken_over(&mut self, operation: Operation, out: &mut Vec<Output>) {
        let Some(key) = operation.server else { return };
        self.given_up.iter_mut().for_each(|given| given.to_undo = false);
        if let Some(Server { takeover, .. }) = self.get_mut(key) {
            takeover.attempt = 0;
            (takeover.restore_attempt, takeover.restore_not_before) = (0, None);
        }
        self.change(key, TakeoverState::TakenOver, Why::of(&operation), out);
        self.end(key, Alarm::TakeoverFailed, out);
        self.evaluate_both_alive(key, out);
    }

    fn takeover_failed(&mut self, now: Mono, operation: Operation, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(key) = operation.server else { return };
        self.hold_slot(None);
        self.raise(key, Alarm::TakeoverFailed, Cause::Operation(operation.id), out);
        let Some(server) = self.get_mut(key) else { return };
        let automatic = operation.actor == Actor::Automatic;
        let takeover = &mut server.takeover;
        if automatic && server.health.phase() == Phase::KeepAlive {
            (takeover.entry, takeover.attempt, takeover.not_before) = (None, 0, None);
            self.change(key, TakeoverState::None, Why { reason: "recovered", ..Why::of(&operation) }, out);
            self.end(key, Alarm::TakeoverFailed, out);
        } else {
            takeover.attempt += 1;
            takeover.not_before = Some(now + retry_delay(takeover.attempt));
            self.change(key, TakeoverState::Queued, Why { reason: outcome.name(), ..Why::of(&operation) }, out);
        }
    }

    fn restored(&mut self, operation: Operation, out: &mut Vec<Output>) {
        let Some(key) = operation.server else { return };
        self.hold_slot(None);
        let Some(server) = self.get_mut(key) else { return };
        let failure = server.health.failure();
        let takeover = &mut server.takeover;
        let failed_meanwhile = std::mem::take(&mut takeover.failed_since_restore);
        (takeover.entry, takeover.restore_attempt, takeover.restore_not_before) = (None, 0, None);
        takeover.hold = failure.filter(|_| !failed_meanwhile).map(|_| Hold::Decided);
        self.change(key, TakeoverState::None, Why::of(&operation), out);
        self.end(key, Alarm::RestoreFailed, out);
        self.end(key, Alarm::RestorePossible, out);
        match failure {
            Some(_) if failed_meanwhile => self.failed(key, out),
            Some((_, at)) => self.raise(key, Alarm::TakeoverRequired, Cause::Failure(at), out),
            None => {}
        }
    }

    /// Operations without an answer in time.
    pub(super) fn give_up_the_overdue(&mut self, now: Mono, out: &mut Vec<Output>) {
        let overdue = self.operations.values().filter(|op| op.may_be_overdue() && op.deadline <= now);
        let mut overdue: Vec<(Mono, u64)> = overdue.map(|op| (op.deadline, op.id)).collect();
        overdue.sort_unstable();
        for (_, op) in overdue {
            let Some(Operation { kind, server, stage, .. }) = self.operations.get(&op).cloned() else { continue };
            if stage == Stage::Asked {
                self.remember_given_up(op, server, kind == OperationKind::Takeover);
                out.push(Output::plain(server, What::OperationOver { op, kind, reason: "timeout" }));
            }
            self.completed(now, op, Outcome::Timeout, None, out);
        }
    }

    fn remember_given_up(&mut self, id: u64, server: Option<ServerKey>, to_undo: bool) {
        if self.given_up.len() == GIVEN_UP_KEPT {
            self.given_up.pop_front();
        }
        self.given_up.push_back(GivenUp { id, server, to_undo, answered: false });
    }

    /// The host's answer is on its way here, or is not after all.
    pub fn awaits_answer(&mut self, op: u64, answered: bool) {
        if let Some(operation) = self.operations.get_mut(&op) {
            operation.answered = answered;
        }
    }

    /// The intent could not be written down: the host was never asked, and nothing is begun until it can be.
    pub(super) fn take_back(&mut self, now: Mono, op: u64, out: &mut Vec<Output>) {
        self.writable = false;
        let Some(operation) = self.operations.remove(&op) else { return };
        let why = Why { reason: Block::StateNotWritable.name(), ..Why::of(&operation) };
        let Some(key) = operation.server.filter(|_| operation.kind.moves_slot()) else {
            return self.never_asked(now, operation, out);
        };
        if operation.kind == OperationKind::Takeover {
            self.hold_slot(None);
            self.change(key, TakeoverState::Queued, why, out);
            self.raise(key, Alarm::TakeoverBlocked, Cause::Block(Block::StateNotWritable), out);
        } else {
            self.raise(key, Alarm::RestoreFailed, Cause::Operation(op), out);
            self.change(key, TakeoverState::TakenOver, why, out);
            if let Some(Server { takeover, .. }) = self.get_mut(key) {
                takeover.restore_not_before = Some(now + retry_delay(takeover.restore_attempt.max(1)));
            }
            self.evaluate_both_alive(key, out);
        }
        self.touch(key);
    }

    fn never_asked(&mut self, now: Mono, operation: Operation, out: &mut Vec<Output>) {
        let (op, why) = (operation.id, "the state directory cannot be written".to_owned());
        self.operations.insert(op, operation);
        self.completed(now, op, Outcome::Failed, Some(why), out);
    }

    /// Whether the host's answer to this operation would be late news.
    pub fn gave_up(&self, op: u64) -> bool {
        self.given_up.iter().any(|given| given.id == op && !given.answered)
    }

    /// The host answered what had been given up.
    pub(super) fn late_answer(&mut self, op: u64, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(given) = self.given_up.iter_mut().find(|given| given.id == op && !given.answered) else { return };
        given.answered = true;
        let server = given.server;
        if outcome == Outcome::Ok {
            // Still to be undone: the host says that it did it.
            out.push(Output::plain(server, What::Alarm { code: Alarm::LateAnswer, cause: Cause::Operation(op) }));
        } else {
            given.to_undo = false;
        }
    }
}

/// What stands behind a change.
pub(super) struct Why {
    pub(super) reason: &'static str,
    pub(super) actor: Option<Actor>,
    pub(super) request: Option<u64>,
}

impl Why {
    pub(super) fn of(operation: &Operation) -> Why {
        Why { reason: operation.reason, actor: Some(operation.actor.clone()), request: operation.request }
    }
}
