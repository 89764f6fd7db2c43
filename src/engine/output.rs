//! What the engine decides, each as one value that says what happened or what is to be done. Plain data, no behaviour.
//!
//! Written by `engine`, performed and logged by `runtime`, in the order given: cause before effect.

use serde::{Deserialize, Serialize};

use super::health::{EventKind, FailReason, Phase};
use super::policy::ServerKey;
use crate::time::{Mono, Span};

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Output {
    /// The server it concerns; None where it concerns the plugin.
    pub server: Option<ServerKey>,
    /// Who is behind it, where somebody is.
    pub actor: Option<Actor>,
    /// The call that it follows from, where there is one.
    pub request: Option<u64>,
    /// What was decided.
    pub what: What,
}

/// Who asked for something.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Actor {
    /// The plugin itself, by its configuration.
    Automatic,
    /// A person or program, by the name given in the call.
    Operator(String),
}

impl Actor {
    /// The name in logs, traces and requests.
    pub fn name(&self) -> &str {
        match self {
            Actor::Automatic => "automatic",
            Actor::Operator(name) => name,
        }
    }
}

/// What was decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// The health changed: a message came, or a timeout ran out.
    Health {
        /// Phase before.
        from: Phase,
        /// Phase now.
        to: Phase,
        /// Why it failed, if it did.
        reason: Option<FailReason>,
        /// The deadline that ran out, if it failed.
        failed_at: Option<Mono>,
    },
    /// The takeover state changed: the slot was asked for, given, used, or given back.
    Takeover {
        /// State before.
        from: TakeoverState,
        /// State now.
        to: TakeoverState,
        /// Why, in a stable word.
        reason: &'static str,
    },
    /// The host is to begin an operation; the only output that asks for anything.
    Begin(Operation),
    /// An operation ended, by the host's answer or without one.
    Completed {
        /// Its id.
        op: u64,
        /// What it was.
        kind: OperationKind,
        /// How it ended.
        outcome: Outcome,
        /// The host's words, if it failed.
        error: Option<String>,
    },
    /// The host must stop an operation that it never answered, and undo it.
    OperationOver {
        /// Its id.
        op: u64,
        /// What it was.
        kind: OperationKind,
        /// Why it was given up, in a stable word.
        reason: &'static str,
    },
    /// A person should know.
    Alarm {
        /// Which one.
        code: Alarm,
        /// What it is about.
        cause: Cause,
    },
    /// The cause of an alarm is gone.
    AlarmEnded {
        /// Which one.
        code: Alarm,
    },
    /// Worth an entry in the log, changes nothing.
    Note(Note),
}

/// Entries that change nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A message that the phase did not need: repeated, late news of an earlier life, or nothing new.
    Unmoved {
        /// The message.
        event: EventKind,
        /// `stale`, `ignored` or `repeated`.
        why: &'static str,
        /// The phase that stays.
        phase: Phase,
    },
    /// The network connection ended; no deadline moves for that.
    Disconnected,
    /// The plugin did not run; deadlines were moved by that much.
    Paused(Span),
    /// More messages than the list holds; the server gets a normal restart's time.
    EventsLost,
    /// A server that was queued already waits for an operator now, whose call began it anew.
    Claimed,
    /// An accepted call found its work done or undone when its turn came.
    Overtaken {
        /// The call.
        call: &'static str,
    },
    /// How far the host is.
    Progress {
        /// The operation.
        op: u64,
        /// Thousandths done.
        permille: u32,
        /// The host's words.
        text: String,
    },
}

/// Where a server stands in being taken over.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TakeoverState {
    /// It runs itself, or waits for an operator.
    #[default]
    None,
    /// It waits for the slot.
    Queued,
    /// The host was asked to take it over.
    TakingOver,
    /// The failover server runs in its place.
    TakenOver,
    /// The host was asked to give it its role back.
    Restoring,
}

impl TakeoverState {
    /// The name in logs and traces.
    pub fn name(self) -> &'static str {
        match self {
            TakeoverState::None => "none",
            TakeoverState::Queued => "queued",
            TakeoverState::TakingOver => "taking_over",
            TakeoverState::TakenOver => "taken_over",
            TakeoverState::Restoring => "restoring",
        }
    }
}

/// Work that the host does for the plugin.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OperationKind {
    /// Run in the server's place.
    Takeover,
    /// Give it its role back.
    Restore,
}

impl OperationKind {
    /// The name in logs, traces and requests.
    pub fn name(self) -> &'static str {
        match self {
            OperationKind::Takeover => "takeover",
            OperationKind::Restore => "restore",
        }
    }
}

/// An operation that the host was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Never repeated.
    pub id: u64,
    /// What the host is to do.
    pub kind: OperationKind,
    /// For which server.
    pub server: ServerKey,
    /// When it is given up.
    pub deadline: Mono,
    /// Failed attempts before this one.
    pub attempt: u32,
    /// Why, in a stable word.
    pub reason: &'static str,
    /// Who asked.
    pub actor: Actor,
    /// The call behind it, if there was one.
    pub request: Option<u64>,
    /// Begun before the last stop already.
    pub resumed: bool,
    /// Takeovers that the host never answered and must undo first.
    pub supersedes: Vec<u64>,
}

/// How an operation ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Ok,
    /// The host could not.
    Failed,
    /// The host did not answer in time.
    Timeout,
}

impl Outcome {
    /// The name in logs and traces.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Timeout => "timeout",
        }
    }
}

/// The alarms of the engine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Alarm {
    /// A failed server waits for an operator.
    TakeoverRequired,
    /// A queued takeover cannot start.
    TakeoverBlocked,
    /// A queued server waits while another holds the slot.
    NotCovered,
    /// A takeover failed or was not answered.
    TakeoverFailed,
    /// A restore failed or was not answered.
    RestoreFailed,
    /// A taken over server is back; an operator may restore it.
    RestorePossible,
    /// A taken over server keeps alive: it has two owners.
    BothAlive,
    /// The host did what had been given up.
    LateAnswer,
    /// A configured server has said nothing yet.
    NeverSeen,
}

impl Alarm {
    /// The stable code.
    pub fn code(self) -> &'static str {
        match self {
            Alarm::TakeoverRequired => "takeover_required",
            Alarm::TakeoverBlocked => "takeover_blocked",
            Alarm::NotCovered => "not_covered",
            Alarm::TakeoverFailed => "takeover_failed",
            Alarm::RestoreFailed => "restore_failed",
            Alarm::RestorePossible => "restore_possible",
            Alarm::BothAlive => "both_alive",
            Alarm::LateAnswer => "late_answer",
            Alarm::NeverSeen => "never_seen",
        }
    }
}

/// What tells one occurrence of an alarm from the next.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Cause<S = ServerKey> {
    /// The state itself.
    State,
    /// The failure at this deadline.
    Failure(Mono),
    /// The server that holds the slot.
    Holder(S),
    /// What a takeover lacks.
    Block(Block),
    /// The operation with this id.
    Operation(u64),
}

/// What a takeover lacks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Block {
    /// This failover server is not part of the cluster.
    NotInCluster,
    /// The server is not authorized.
    NotAuthorized,
    /// The server has no good backup.
    NoBackup,
    /// What is decided cannot be written down.
    StateNotWritable,
}

impl Block {
    /// The stable word.
    pub fn name(self) -> &'static str {
        match self {
            Block::NotInCluster => "not_in_cluster",
            Block::NotAuthorized => "not_authorized",
            Block::NoBackup => "no_backup",
            Block::StateNotWritable => "state_not_writable",
        }
    }
}
