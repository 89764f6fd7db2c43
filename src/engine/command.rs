//! Calls of operators and answers of the host: whether they can be accepted, given those accepted but not yet taken in.
//!
//! A call is accepted at once and takes effect at the instant at which it is taken in (in `poll`, or right away in worker mode). Between
//! the two only other accepted calls can change what the next one finds, so they are replayed here on a small view of one server.
//! Called by `runtime`; changes nothing.

use super::Engine;
use super::backup::Survey;
use super::health::EventKind;
use super::output::{Actor, Archive, Block, Operation, OperationKind, Outcome, Stage, TakeoverState};
use super::policy::{Policy, ServerKey};
use crate::time::Mono;

/// What is handed to the engine, in the order reported.
#[derive(Clone, Debug)]
pub enum Input {
    /// A message of a monitored server.
    Event {
        /// Whose.
        server: ServerKey,
        /// What it says.
        kind: EventKind,
        /// When it came.
        at: Mono,
    },
    /// Messages of a server were lost for want of room, the newest at that instant.
    EventsLost {
        /// Whose.
        server: ServerKey,
        /// When the newest came.
        at: Mono,
    },
    /// Which token there is for this server, by the operation that brought it: said when the keeper of the tokens was asked.
    Token {
        /// Which server.
        server: ServerKey,
        /// The operation; None: there is none.
        by: Option<u64>,
    },
    /// What there is of this server's backups.
    Surveyed {
        /// Which server.
        server: ServerKey,
        /// What there is.
        survey: Survey,
        /// It answers `Ask::Find`: whatever had to be hashed was.
        found: bool,
    },
    /// The file that the host is to write into was named, or why not.
    Prepared {
        /// For this operation.
        op: u64,
        /// The file, absolute.
        result: Result<String, String>,
    },
    /// What the host wrote was published, or why not.
    Published {
        /// For this operation.
        op: u64,
        /// The backup.
        result: Result<Archive, String>,
    },
    /// A call that needs credentials, which are forgotten: it was accepted before the last stop.
    Interrupted {
        /// What it asked for.
        kind: OperationKind,
        /// Of which server.
        server: Option<ServerKey>,
        /// Who asked.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// The host cannot be asked for this operation after all.
    Unready {
        /// Which.
        op: u64,
        /// Why, in words.
        why: String,
    },
    /// The host answered an operation that had been given up.
    LateAnswer {
        /// Which.
        op: u64,
        /// How it says that it ended.
        outcome: Outcome,
    },
    /// What is decided can be written down again.
    Writable,
    /// The intent of an operation could not be written down, so the host was not asked.
    Unwritable {
        /// Which.
        op: u64,
    },
    /// An accepted call.
    Command(Command),
}

/// A call that was accepted, or is to be.
#[derive(Clone, Debug)]
pub enum Command {
    /// Take this server over by hand.
    Takeover {
        /// Which.
        server: ServerKey,
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Restore this server by hand.
    Restore {
        /// Which.
        server: ServerKey,
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Take this server out of the queue.
    Cancel {
        /// Which.
        server: ServerKey,
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Back the settings of this server up.
    Backup {
        /// Which.
        server: ServerKey,
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Back the settings of all servers up, one after another.
    BackupAll {
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Have the host log in on this server with the credentials of the call.
    Authorize {
        /// Which.
        server: ServerKey,
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Have the host revoke the token of this server, and forget it.
    Deauthorize {
        /// Which.
        server: ServerKey,
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Have the host make this failover server part of the cluster.
    JoinCluster {
        /// The management server.
        host: String,
        /// Its port.
        port: u16,
        /// Who asks.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// This failover server is part of the cluster, or no longer.
    Cluster {
        /// It is.
        joined: bool,
        /// Who says so.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// The host's answer.
    Complete {
        /// To which operation.
        op: u64,
        /// How it ended.
        outcome: Outcome,
        /// What went wrong, if it did.
        error: Option<String>,
    },
    /// The host tells how far it is.
    Progress {
        /// With which operation.
        op: u64,
        /// Thousandths done.
        permille: u32,
        /// In words.
        text: String,
    },
    /// Other rules, from now on.
    Configure(Policy),
}

/// Why a call is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// Another server holds the slot.
    SlotHeld(ServerKey),
    /// The call needs another takeover state.
    WrongState(TakeoverState),
    /// It lacks something.
    Blocked(Block),
    /// An operation of this kind is in the way.
    Running(OperationKind),
    /// All servers are being backed up already.
    BackingUpAll,
    /// No such operation runs.
    NoSuchOperation,
    /// No such server.
    NoSuchServer,
}

/// What the pending calls make of one server, the slot and the cluster.
struct Desk {
    state: TakeoverState,
    slot: Option<ServerKey>,
    joined: bool,
    authorized: bool,
    /// An operation that does not move the slot.
    running: Option<OperationKind>,
}

impl Engine {
    /// Whether `command` can be accepted after `pending`, which were accepted and not yet taken in.
    pub fn accepts<'a>(
        &self,
        mut pending: impl Iterator<Item = &'a Command> + Clone,
        command: &Command,
    ) -> Result<(), Refusal> {
        match command {
            Command::Takeover { server, .. } => {
                let desk = self.desk(*server, pending)?;
                if let Some(holder) = desk.slot.filter(|holder| holder != server) {
                    return Err(Refusal::SlotHeld(holder));
                }
                desk.expect(&[TakeoverState::None, TakeoverState::Queued])?;
                self.block_with(*server, desk.joined, desk.authorized)
                    .map_or(Ok(()), |block| Err(Refusal::Blocked(block)))
            }
            Command::Restore { server, .. } => {
                let desk = self.desk(*server, pending)?;
                desk.expect(&[TakeoverState::TakenOver])?;
                desk.may_begin()
            }
            Command::Cancel { server, .. } => self.desk(*server, pending)?.expect(&[TakeoverState::Queued]),
            // What it publishes may put in excess what the search is about to find.
            Command::Backup { server, .. } if self.is_examined(*server) => {
                Err(Refusal::WrongState(TakeoverState::Queued))
            }
            Command::Backup { server, .. } => self.desk(*server, pending)?.may_back_up(),
            Command::BackupAll { .. } => self.accepts_backup_of_all(pending),
            Command::Authorize { server, .. } => self.desk(*server, pending)?.may_begin(),
            Command::Deauthorize { server, .. } => {
                let desk = self.desk(*server, pending)?;
                desk.expect(&[TakeoverState::None, TakeoverState::Queued])?;
                desk.needs_access()?;
                desk.may_begin()
            }
            Command::JoinCluster { .. } => {
                let joins = self.operations.values().any(|operation| operation.kind == OperationKind::JoinCluster);
                let joins = joins || pending.any(|command| matches!(command, Command::JoinCluster { .. }));
                if joins { Err(Refusal::Running(OperationKind::JoinCluster)) } else { Ok(()) }
            }
            Command::Cluster { .. } => Ok(()),
            Command::Complete { op, .. } | Command::Progress { op, .. } => self.accepts_answer(*op, pending),
            Command::Configure(policy) => policy
                .servers
                .iter()
                .filter(|server| server.readdressed)
                .map(|server| server.key)
                .chain(self.keys_missing_in(policy))
                .try_for_each(|key| self.accepts_drop(key, pending.clone())),
        }
    }

    /// Whether this server may be removed or become another machine.
    pub fn accepts_drop<'a>(
        &self,
        server: ServerKey,
        pending: impl Iterator<Item = &'a Command>,
    ) -> Result<(), Refusal> {
        let desk = self.desk(server, pending)?;
        desk.expect(&[TakeoverState::None, TakeoverState::Queued])?;
        desk.may_begin()
    }

    fn accepts_backup_of_all<'a>(&self, mut pending: impl Iterator<Item = &'a Command> + Clone) -> Result<(), Refusal> {
        if !self.joined_after(pending.clone()) {
            return Err(Refusal::Blocked(Block::NotInCluster));
        }
        let again = pending.any(|command| matches!(command, Command::BackupAll { .. }));
        if again || self.runs.iter().any(|run| !run.daily) { Err(Refusal::BackingUpAll) } else { Ok(()) }
    }

    fn joined_after<'a>(&self, pending: impl Iterator<Item = &'a Command>) -> bool {
        let mut joined = self.joined;
        pending.for_each(|command| joined = self.joined_by(command).unwrap_or(joined));
        joined
    }

    /// What a call makes of the membership, if it makes something of it.
    fn joined_by(&self, command: &Command) -> Option<bool> {
        match command {
            Command::Cluster { joined, .. } => Some(*joined),
            Command::Complete { op, outcome: Outcome::Ok, .. } => {
                (self.operations.get(op)?.kind == OperationKind::JoinCluster).then_some(true)
            }
            _ => None,
        }
    }

    fn accepts_answer<'a>(&self, op: u64, mut pending: impl Iterator<Item = &'a Command>) -> Result<(), Refusal> {
        let answered = pending.any(|command| matches!(command, Command::Complete { op: other, .. } if *other == op));
        let asked = self.operations.get(&op).is_some_and(|operation| operation.stage == Stage::Asked);
        if answered || !asked { Err(Refusal::NoSuchOperation) } else { Ok(()) }
    }

    fn desk<'a>(&self, server: ServerKey, pending: impl Iterator<Item = &'a Command>) -> Result<Desk, Refusal> {
        let record = self.get(server).ok_or(Refusal::NoSuchServer)?;
        let running = self.operation_of(server).map(|operation| operation.kind).filter(|kind| !kind.moves_slot());
        let mut desk = Desk {
            state: record.takeover.state,
            slot: self.slot,
            joined: self.joined,
            authorized: record.access.is_some(),
            running,
        };
        pending.for_each(|command| desk.replay(server, command, self));
        Ok(desk)
    }
}

impl Desk {
    fn expect(&self, allowed: &[TakeoverState]) -> Result<(), Refusal> {
        if allowed.contains(&self.state) { Ok(()) } else { Err(Refusal::WrongState(self.state)) }
    }

    fn needs_access(&self) -> Result<(), Refusal> {
        if self.authorized { Ok(()) } else { Err(Refusal::Blocked(Block::NotAuthorized)) }
    }

    /// One operation at a time for a server.
    fn may_begin(&self) -> Result<(), Refusal> {
        self.expect(&[TakeoverState::None, TakeoverState::Queued, TakeoverState::TakenOver])?;
        self.running.map_or(Ok(()), |kind| Err(Refusal::Running(kind)))
    }

    fn may_back_up(&self) -> Result<(), Refusal> {
        if !self.joined {
            return Err(Refusal::Blocked(Block::NotInCluster));
        }
        self.needs_access()?;
        self.may_begin()
    }

    fn replay(&mut self, me: ServerKey, command: &Command, engine: &Engine) {
        self.joined = engine.joined_by(command).unwrap_or(self.joined);
        match command {
            Command::Takeover { server, .. } if *server == me => self.state = TakeoverState::Queued,
            Command::Restore { server, .. } if *server == me => self.state = TakeoverState::Restoring,
            Command::Cancel { server, .. } if *server == me => self.state = TakeoverState::None,
            Command::Backup { server, .. } if *server == me => self.running = Some(OperationKind::Backup),
            Command::Authorize { server, .. } if *server == me => self.running = Some(OperationKind::Authorize),
            Command::Deauthorize { server, .. } if *server == me => self.running = Some(OperationKind::Deauthorize),
            Command::Complete { op, outcome, .. } => {
                if let Some(operation) = engine.operations.get(op) {
                    self.replay_answer(me, operation, *outcome);
                }
            }
            _ => {}
        }
    }

    fn replay_answer(&mut self, me: ServerKey, operation: &Operation, outcome: Outcome) {
        let mine = operation.server == Some(me);
        let (state, keeps_slot) = match (operation.kind, outcome) {
            (OperationKind::Takeover, Outcome::Ok) => (TakeoverState::TakenOver, true),
            (OperationKind::Takeover, _) => (TakeoverState::Queued, false),
            (OperationKind::Restore, Outcome::Ok) => (TakeoverState::None, false),
            (OperationKind::Restore, _) => (TakeoverState::TakenOver, true),
            // What was written has to be published yet.
            (OperationKind::Backup, Outcome::Ok) => return,
            (kind, outcome) => {
                if mine {
                    self.running = None;
                    if outcome == Outcome::Ok && kind != OperationKind::Backup {
                        self.authorized = kind == OperationKind::Authorize;
                    }
                }
                return;
            }
        };
        if !keeps_slot {
            self.slot = None;
        }
        if mine {
            self.state = state;
        }
    }
}

impl Refusal {
    /// The words for people; `name_of` gives a server's id.
    pub fn text(&self, name_of: impl Fn(ServerKey) -> String) -> String {
        match self {
            Refusal::SlotHeld(holder) => {
                format!(
                    "the slot is held by server '{}': restore it first, or wait until it is restored",
                    name_of(*holder)
                )
            }
            Refusal::WrongState(state) => {
                format!("not possible while the server's takeover state is '{}'", state.name())
            }
            Refusal::Blocked(Block::NotInCluster) => "not part of the cluster: join it first".into(),
            Refusal::Blocked(Block::NotAuthorized) => "the server is not authorized: authorize it first".into(),
            Refusal::Blocked(Block::NoBackup) => "the server has no good backup: back it up first".into(),
            Refusal::Blocked(Block::StateNotWritable) => {
                "the state directory cannot be written: make room, or make it writable".into()
            }
            Refusal::Running(kind) => format!("another operation is in the way: {}", kind.name()),
            Refusal::BackingUpAll => "all servers are being backed up already".into(),
            Refusal::NoSuchOperation => "no such operation runs: it was answered, or given up".into(),
            Refusal::NoSuchServer => "no such server".into(),
        }
    }
}

impl Command {
    /// The request id that what follows carries.
    pub fn request(&self) -> Option<u64> {
        self.by().map(|(_, request)| request)
    }

    /// The actor behind the call, where there is one.
    pub(super) fn actor(&self) -> Option<Actor> {
        self.by().map(|(actor, _)| Actor::Operator(actor.to_owned()))
    }

    fn by(&self) -> Option<(&str, u64)> {
        match self {
            Command::Takeover { actor, request, .. }
            | Command::Restore { actor, request, .. }
            | Command::Cancel { actor, request, .. }
            | Command::Backup { actor, request, .. }
            | Command::BackupAll { actor, request }
            | Command::Authorize { actor, request, .. }
            | Command::Deauthorize { actor, request, .. }
            | Command::JoinCluster { actor, request, .. }
            | Command::Cluster { actor, request, .. } => Some((actor, *request)),
            Command::Complete { .. } | Command::Progress { .. } | Command::Configure(_) => None,
        }
    }

    /// The name of the call and the server that it concerns.
    pub(super) fn subject(&self) -> (&'static str, Option<ServerKey>) {
        match self {
            Command::Takeover { server, .. } => ("takeover", Some(*server)),
            Command::Restore { server, .. } => ("restore", Some(*server)),
            Command::Cancel { server, .. } => ("cancel", Some(*server)),
            Command::Backup { server, .. } => ("backup", Some(*server)),
            Command::BackupAll { .. } => ("backup", None),
            Command::Authorize { server, .. } => ("authorize", Some(*server)),
            Command::Deauthorize { server, .. } => ("deauthorize", Some(*server)),
            Command::JoinCluster { .. } => ("join_cluster", None),
            Command::Cluster { .. } => ("cluster", None),
            Command::Complete { .. } => ("complete", None),
            Command::Progress { .. } => ("progress", None),
            Command::Configure(_) => ("configure", None),
        }
    }
}
