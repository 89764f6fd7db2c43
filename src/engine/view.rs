//! What a reader may know of the engine: plain copies, cheap to take, so that whoever asks holds nobody up.
//!
//! Decides nothing and changes nothing. Called by `runtime` for the status.

use super::Engine;
use super::backup::LastBackup;
use super::health::{EventKind, FailReason, Link, Phase};
use super::output::{Actor, Alarm, Block, Operation, OperationKind, TakeoverState};
use super::policy::ServerKey;
use super::restore::Stability;
use super::takeover::Unsettled;
use crate::time::Mono;

/// One server as it stands.
#[derive(Clone, Debug)]
pub struct ServerView {
    /// Its phase.
    pub phase: Phase,
    /// When that was entered; None for a server never seen.
    pub since: Option<Mono>,
    /// Why and at which deadline it failed, while it is failed.
    pub failure: Option<(FailReason, Mono)>,
    /// When it fails unless something is heard; None at rest.
    pub deadline: Option<Mono>,
    /// When each kind of message came last, in the order of [`EventKind::ALL`].
    pub heard_at: [Option<Mono>; EventKind::ALL.len()],
    /// The network connection.
    pub link: Link,
    /// Where it stands in being taken over.
    pub state: TakeoverState,
    /// Who put it there, and why in a stable word.
    pub entry: Option<(Actor, &'static str)>,
    /// Failed attempts: of the takeover, once that is done of the restore.
    pub attempt: u32,
    /// No attempt is made before this instant.
    pub not_before: Option<Mono>,
    /// It waits for an operator, or for a new failure.
    pub waits_for_operator: bool,
    /// What the host does for it.
    pub operation: Option<Operation>,
    /// The way back, while it is taken over.
    pub way_back: WayBack,
    /// What a takeover lacks.
    pub block: Option<Block>,
    /// Its newest backup is being checked, and then it has the slot.
    pub examined: bool,
    /// The failover server can log in on it.
    pub authorized: bool,
    /// There is a good backup of its settings.
    pub backup: bool,
    /// How the last one ended.
    pub last_backup: Option<LastBackup>,
    /// The alarms that stand, in a fixed order.
    pub alarms: Vec<Alarm>,
}

/// How far a taken over server is from having its role back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WayBack {
    /// It has kept alive all the time.
    NeverDown,
    /// It does not keep alive.
    Down,
    /// It keeps alive, and counts as back at this instant.
    Until(Mono),
    /// It is back.
    Reached,
}

impl Default for ServerView {
    /// A server that nothing is known of.
    fn default() -> ServerView {
        ServerView {
            phase: Phase::Unknown,
            since: None,
            failure: None,
            deadline: None,
            heard_at: [None; EventKind::ALL.len()],
            link: Link::Unknown,
            state: TakeoverState::None,
            entry: None,
            attempt: 0,
            not_before: None,
            waits_for_operator: false,
            operation: None,
            way_back: WayBack::NeverDown,
            block: None,
            examined: false,
            authorized: false,
            backup: false,
            last_backup: None,
            alarms: Vec::new(),
        }
    }
}

impl Engine {
    /// Whether monitoring runs: at rest no deadline does.
    pub fn is_running(&self) -> bool {
        self.running
    }

    /// Whether this failover server is part of the cluster.
    pub fn is_joined(&self) -> bool {
        self.joined
    }

    /// The queue, the first one first.
    pub fn queue_in_order(&self) -> Vec<ServerKey> {
        self.ranked(&Unsettled::All)
    }

    /// One server as it stands.
    pub fn view(&self, key: ServerKey) -> Option<ServerView> {
        let server = self.get(key)?;
        let (health, takeover) = (&server.health, &server.takeover);
        let done = matches!(takeover.state, TakeoverState::TakenOver | TakeoverState::Restoring);
        let (attempt, not_before) = match done {
            true => (takeover.restore_attempt, takeover.restore_not_before),
            false => (takeover.attempt, takeover.not_before),
        };
        Some(ServerView {
            phase: health.phase(),
            since: Some(health.entered_at()).filter(|at| *at > Mono(0)),
            failure: health.failure(),
            deadline: self.deadline(key).filter(|_| self.running),
            heard_at: EventKind::ALL.map(|kind| health.heard_at(kind)),
            link: health.link(),
            state: takeover.state,
            entry: takeover.entry.as_ref().map(|entry| (entry.actor.clone(), entry.reason)),
            attempt,
            not_before: not_before.filter(|_| self.running),
            waits_for_operator: takeover.hold.is_some(),
            operation: self.operation_of(key).cloned(),
            way_back: match takeover.stability {
                _ if !takeover.seen_down => WayBack::NeverDown,
                Stability::Broken => WayBack::Down,
                Stability::Until(at) => WayBack::Until(at),
                Stability::Reached => WayBack::Reached,
            },
            block: self.block(key),
            examined: self.is_examined(key),
            authorized: server.access.is_some(),
            backup: server.backups.good,
            last_backup: server.backups.last.clone(),
            alarms: server.alarms.keys().copied().collect(),
        })
    }

    /// What the host, or the file worker, does for this server now: one thing at a time.
    pub(super) fn operation_of(&self, key: ServerKey) -> Option<&Operation> {
        self.operations.values().find(|operation| operation.server == Some(key))
    }

    /// The host makes this failover server part of the cluster.
    pub fn joining(&self) -> Option<Operation> {
        self.operations.values().find(|operation| operation.kind == OperationKind::JoinCluster).cloned()
    }

    /// Whether the alarm `clock_jump` stands, which is of no server.
    pub fn clock_jumped(&self) -> bool {
        self.daily.clock_jump
    }

    /// The operation that brought the token of this server.
    pub fn access(&self, key: ServerKey) -> Option<u64> {
        self.get(key)?.access
    }
}
