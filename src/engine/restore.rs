//! From a taken over server that is back to the server in its own role again. Called by `engine` alone.

use super::Engine;
use super::output::{Actor, Alarm, Cause, Operation, OperationKind, Outcome, Output, TakeoverState};
use super::policy::ServerKey;
use super::takeover::{Why, retry_delay};
use crate::time::{Mono, Span};

/// Whether a server has kept alive long enough to be trusted again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Stability {
    /// It does not keep alive.
    #[default]
    Broken,
    /// It keeps alive, and counts as back at this instant.
    Until(Mono),
    /// It is back.
    Reached,
}

impl Stability {
    pub(super) fn until(self) -> Option<Mono> {
        match self {
            Stability::Until(at) => Some(at),
            _ => None,
        }
    }

    pub(super) fn moved(&mut self, pause: Span) {
        if let Stability::Until(at) = self {
            *at = *at + pause;
        }
    }
}

impl Engine {
    /// Only the holder of the slot can be taken over, so only it can be due.
    pub(super) fn restore_what_is_due(&mut self, now: Mono, out: &mut Vec<Output>) {
        let automatic = self.policy.automatic_restore;
        let Some(key) = self.slot else { return };
        let Some(server) = self.get_mut(key) else { return };
        let takeover = &mut server.takeover;
        if takeover.state != TakeoverState::TakenOver {
            return;
        }
        if takeover.stability.until().is_some_and(|at| at <= now) {
            takeover.stability = Stability::Reached;
        }
        takeover.restore_not_before = takeover.restore_not_before.filter(|at| *at > now);
        if !takeover.seen_down || takeover.stability != Stability::Reached {
            return;
        }
        if !automatic {
            self.raise(key, Alarm::RestorePossible, Cause::State, out);
        } else if takeover.restore_not_before.is_none() && self.operation_of(key).is_none() {
            self.begin_restore(now, key, Actor::Automatic, None, out);
        }
    }

    pub(super) fn begin_restore(
        &mut self,
        now: Mono,
        key: ServerKey,
        actor: Actor,
        request: Option<u64>,
        out: &mut Vec<Output>,
    ) {
        let deadline = now + self.policy.restore_timeout;
        let Some(server) = self.get_mut(key) else { return };
        server.takeover.restore_asked();
        let attempt = server.takeover.restore_attempt;
        let reason = if actor == Actor::Automatic { "returned" } else { "operator" };
        self.change(key, TakeoverState::Restoring, Why { reason, actor: Some(actor.clone()), request }, out);
        self.evaluate_both_alive(key, out);
        let behind = (actor, request, reason);
        let operation = Operation::new(self.new_id(), OperationKind::Restore, Some(key), behind);
        self.begin(Operation { deadline, attempt, ..operation }, out);
    }

    pub(super) fn restore_failed(&mut self, now: Mono, operation: Operation, outcome: Outcome, out: &mut Vec<Output>) {
        let Some(key) = operation.server else { return };
        self.raise(key, Alarm::RestoreFailed, Cause::Operation(operation.id), out);
        let Some(server) = self.get_mut(key) else { return };
        let takeover = &mut server.takeover;
        takeover.restore_attempt += 1;
        takeover.restore_not_before = Some(now + retry_delay(takeover.restore_attempt));
        self.change(key, TakeoverState::TakenOver, Why { reason: outcome.name(), ..Why::of(&operation) }, out);
        self.evaluate_both_alive(key, out);
    }
}
