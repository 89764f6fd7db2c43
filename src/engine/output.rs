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
    /// A backup ended: published, or why not.
    Backup {
        /// Its operation.
        op: u64,
        /// What was published, or what went wrong.
        result: Result<Archive, String>,
    },
    /// The failover server can log in on the server from now on, or no longer.
    Access {
        /// The operation that brought the token; None: there is none any more.
        by: Option<u64>,
        /// The operation that had brought the token before: that one is to be deleted.
        was: Option<u64>,
    },
    /// This failover server is part of the cluster from now on, or no longer.
    Cluster {
        /// It is.
        joined: bool,
    },
    /// Something is to be done with the files of the server's backups; the answer comes back as an input.
    Files(Ask),
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

/// Work on backup files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// A file for the host to write into is to be named.
    Prepare {
        /// For this operation.
        op: u64,
        /// The highest number that a backup of the server ever had.
        last_number: u64,
    },
    /// What the host wrote is to be checked, hashed and published.
    Publish {
        /// The operation that it was written for.
        op: u64,
        /// Where it is.
        file: String,
    },
    /// What this operation left is to be removed: it ended without a backup.
    Discard {
        /// The operation.
        op: u64,
    },
    /// The newest good backup is to be found, for a takeover.
    Find,
    /// What there is is to be looked at.
    Survey {
        /// Hash all of it again.
        thorough: bool,
    },
    /// A start: leftovers of what was cut off are to be removed, and what there is is to be looked at.
    TidyUp {
        /// The backup that goes on: what belongs to it is no leftover.
        resumed: Option<u64>,
    },
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
    /// Backups of several servers begin, one after another.
    RunBegun {
        /// By the clock; else by hand.
        daily: bool,
    },
    /// They have ended.
    RunEnded {
        /// By the clock; else by hand.
        daily: bool,
        /// Backups published.
        ok: u32,
        /// Backups failed.
        failed: u32,
    },
    /// There is a good backup of the server now, or none any more.
    BackupSeen {
        /// There is.
        good: bool,
    },
    /// The folder of its backups cannot be read.
    BackupsUnreadable {
        /// In words.
        why: String,
    },
    /// A backup is not what was published.
    Damaged {
        /// Which.
        number: u64,
        /// In words.
        why: String,
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
    /// Write its settings into a file.
    Backup,
    /// Log in on it and bring a token.
    Authorize,
    /// Revoke the token.
    Deauthorize,
    /// Make this failover server part of the cluster.
    JoinCluster,
}

impl OperationKind {
    /// All of them.
    pub const ALL: [OperationKind; 6] = [
        OperationKind::Takeover,
        OperationKind::Restore,
        OperationKind::Backup,
        OperationKind::Authorize,
        OperationKind::Deauthorize,
        OperationKind::JoinCluster,
    ];

    /// The name in logs, traces and requests.
    pub fn name(self) -> &'static str {
        match self {
            OperationKind::Takeover => "takeover",
            OperationKind::Restore => "restore",
            OperationKind::Backup => "backup",
            OperationKind::Authorize => "authorize",
            OperationKind::Deauthorize => "deauthorize",
            OperationKind::JoinCluster => "join_cluster",
        }
    }

    /// It moves the slot: while it runs, nothing else may be done with its server.
    pub fn moves_slot(self) -> bool {
        matches!(self, OperationKind::Takeover | OperationKind::Restore)
    }
}

/// A published backup, as a takeover uses it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    /// Grows with each backup of the server.
    pub number: u64,
    /// The file, absolute.
    pub path: String,
    /// In bytes.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
    /// RFC 3339, UTC.
    pub time: String,
}

/// What an operation is done with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum With {
    /// Nothing but its server.
    #[default]
    Nothing,
    /// A takeover: this backup.
    Archive(Archive),
    /// A backup: the host writes into this file.
    File(String),
    /// Joining the cluster: through this management server.
    Management {
        /// IP address or DNS name.
        host: String,
        /// Its port.
        port: u16,
    },
}

/// How far an operation is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Stage {
    /// A backup whose file is not named yet: the host knows nothing of it.
    Preparing,
    /// The host does it.
    #[default]
    Asked,
    /// A backup that the host has written: it is being published.
    Publishing,
}

/// An operation that the host was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operation {
    /// Never repeated.
    pub id: u64,
    /// What the host is to do.
    pub kind: OperationKind,
    /// For which server; None for the cluster.
    pub server: Option<ServerKey>,
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
    /// What it is done with.
    pub with: With,
    /// How far it is.
    pub stage: Stage,
    /// The host's answer is accepted and on its way here: it is not overdue any more.
    pub answered: bool,
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
    /// A takeover of the same server went before it.
    Superseded,
    /// The plugin was stopped, and its credentials are forgotten.
    Interrupted,
}

impl Outcome {
    /// The name in logs and traces.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Ok => "ok",
            Outcome::Failed => "failed",
            Outcome::Timeout => "timeout",
            Outcome::Superseded => "superseded",
            Outcome::Interrupted => "interrupted",
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
    /// A backup failed or was not answered.
    BackupFailed,
    /// A backup is not what was published.
    BackupDamaged,
    /// The wall clock was set back by more than a day. Of the instance, not of a server.
    ClockJump,
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
            Alarm::BackupFailed => "backup_failed",
            Alarm::BackupDamaged => "backup_damaged",
            Alarm::ClockJump => "clock_jump",
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
    /// The backup with this number.
    Archive(u64),
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
