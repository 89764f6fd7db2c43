//! Calls of operators and answers of the host: whether they can be accepted, given those accepted but not yet taken in.
//!
//! A call is accepted at once and takes effect at the instant at which it is taken in (in `poll`, or right away in worker mode). Between
//! the two only other accepted calls can change what the next one finds, so they are replayed here on a small view of one server.
//! Called by `runtime`; changes nothing.

use super::health::EventKind;
use super::output::{Actor, Block, OperationKind, Outcome, TakeoverState};
use super::policy::{Policy, ServerKey};
use super::{Engine, Facts};
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
    /// What a takeover of this server needs, as it stands now.
    Facts {
        /// Which server.
        server: ServerKey,
        /// What it has.
        facts: Facts,
    },
    /// Whether this failover server is part of the cluster.
    Cluster {
        /// It is.
        joined: bool,
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
    /// The takeover lacks something.
    Blocked(Block),
    /// No such operation runs.
    NoSuchOperation,
    /// No such server.
    NoSuchServer,
}

/// What the pending calls make of one server and the slot.
struct Desk {
    state: TakeoverState,
    slot: Option<ServerKey>,
}

impl Engine {
    /// Whether `command` can be accepted after `pending`, which were accepted and not yet taken in.
    pub fn accepts<'a>(
        &self,
        pending: impl Iterator<Item = &'a Command> + Clone,
        command: &Command,
    ) -> Result<(), Refusal> {
        match command {
            Command::Takeover { server, .. } => {
                let desk = self.desk(*server, pending)?;
                if let Some(holder) = desk.slot.filter(|holder| holder != server) {
                    return Err(Refusal::SlotHeld(holder));
                }
                desk.expect(&[TakeoverState::None, TakeoverState::Queued])?;
                self.block(*server).map_or(Ok(()), |block| Err(Refusal::Blocked(block)))
            }
            Command::Restore { server, .. } => self.desk(*server, pending)?.expect(&[TakeoverState::TakenOver]),
            Command::Cancel { server, .. } => self.desk(*server, pending)?.expect(&[TakeoverState::Queued]),
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
        self.desk(server, pending)?.expect(&[TakeoverState::None, TakeoverState::Queued])
    }

    fn accepts_answer<'a>(&self, op: u64, mut pending: impl Iterator<Item = &'a Command>) -> Result<(), Refusal> {
        let answered = pending.any(|command| matches!(command, Command::Complete { op: other, .. } if *other == op));
        if answered || !self.operations.contains_key(&op) { Err(Refusal::NoSuchOperation) } else { Ok(()) }
    }

    fn desk<'a>(&self, server: ServerKey, pending: impl Iterator<Item = &'a Command>) -> Result<Desk, Refusal> {
        let record = self.get(server).ok_or(Refusal::NoSuchServer)?;
        let mut desk = Desk { state: record.takeover.state, slot: self.slot };
        pending.for_each(|command| desk.replay(server, command, self));
        Ok(desk)
    }
}

impl Desk {
    fn expect(&self, allowed: &[TakeoverState]) -> Result<(), Refusal> {
        if allowed.contains(&self.state) { Ok(()) } else { Err(Refusal::WrongState(self.state)) }
    }

    fn replay(&mut self, me: ServerKey, command: &Command, engine: &Engine) {
        match command {
            Command::Takeover { server, .. } if *server == me => self.state = TakeoverState::Queued,
            Command::Restore { server, .. } if *server == me => self.state = TakeoverState::Restoring,
            Command::Cancel { server, .. } if *server == me => self.state = TakeoverState::None,
            Command::Complete { op, outcome, .. } => {
                let Some(operation) = engine.operations.get(op) else { return };
                let (state, keeps_slot) = match (operation.kind, outcome) {
                    (OperationKind::Takeover, Outcome::Ok) => (TakeoverState::TakenOver, true),
                    (OperationKind::Takeover, _) => (TakeoverState::Queued, false),
                    (OperationKind::Restore, Outcome::Ok) => (TakeoverState::None, false),
                    (OperationKind::Restore, _) => (TakeoverState::TakenOver, true),
                };
                if !keeps_slot {
                    self.slot = None;
                }
                if operation.server == me {
                    self.state = state;
                }
            }
            _ => {}
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
            Refusal::NoSuchOperation => "no such operation runs: it was answered, or given up".into(),
            Refusal::NoSuchServer => "no such server".into(),
        }
    }
}

impl Command {
    /// The request id that what follows carries.
    pub fn request(&self) -> Option<u64> {
        match self {
            Command::Takeover { request, .. } | Command::Restore { request, .. } | Command::Cancel { request, .. } => {
                Some(*request)
            }
            _ => None,
        }
    }

    /// The actor behind the call, where there is one.
    pub(super) fn actor(&self) -> Option<Actor> {
        match self {
            Command::Takeover { actor, .. } | Command::Restore { actor, .. } | Command::Cancel { actor, .. } => {
                Some(Actor::Operator(actor.clone()))
            }
            _ => None,
        }
    }
}
