//! What of the engine survives the process: plain data, with servers named by `S` (keys in here, ids on disk).
//!
//! Health does not survive, only whether a server was ever seen and how it went; delays and deadlines run anew. Made and taken back by
//! `runtime`, written by `state`.

use serde::{Deserialize, Serialize};

use super::backup::{Backups, Daily, Run};
use super::health::FailReason;
use super::output::{Actor, Alarm, Cause, Operation, OperationKind, Stage, TakeoverState, With};
use super::policy::ServerKey;
use super::takeover::{Entry, GivenUp, Hold, Takeover, Unsettled};
use super::{Engine, Server};
use crate::time::Mono;

/// All of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Memory<S> {
    joined: bool,
    servers: Vec<ServerMemory<S>>,
    operations: Vec<OperationMemory<S>>,
    given_up: Vec<GivenUpMemory<S>>,
    runs: Vec<RunMemory<S>>,
    daily: Daily,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct ServerMemory<S> {
    server: S,
    seen: bool,
    shut_down_normally: bool,
    access: Option<u64>,
    backups: Backups,
    takeover: TakeoverState,
    entry: Option<EntryMemory>,
    attempt: u32,
    hold: Option<Hold>,
    seen_down: bool,
    restore_attempt: u32,
    failed_since_restore: bool,
    alarms: Vec<AlarmMemory<S>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EntryMemory {
    actor: Actor,
    /// An order, not an instant: clocks begin anew with the machine.
    failed_at: u64,
    reason: String,
    request: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct AlarmMemory<S> {
    code: Alarm,
    cause: Cause<S>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct OperationMemory<S> {
    id: u64,
    kind: OperationKind,
    server: Option<S>,
    attempt: u32,
    reason: String,
    actor: Actor,
    request: Option<u64>,
    supersedes: Vec<u64>,
    with: With,
    stage: Stage,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RunMemory<S> {
    daily: bool,
    actor: Actor,
    request: Option<u64>,
    left: Vec<S>,
    op: Option<u64>,
    ok: u32,
    failed: u32,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct GivenUpMemory<S> {
    id: u64,
    server: Option<S>,
    to_undo: bool,
    answered: bool,
}

/// The words that an entry or operation may give as its reason, besides those of failures.
const REASONS: [&str; 4] = ["operator", "returned", "daily", "unknown"];

fn static_reason(reason: &str) -> &'static str {
    let failures = FailReason::ALL.iter().map(|reason| reason.name());
    failures.chain(REASONS).find(|known| *known == reason).unwrap_or("unknown")
}

impl<S> Memory<S> {
    /// The same with other names. Servers that have none are forgotten; what was given up for them still has to be undone.
    pub fn renamed<T>(self, name: impl Fn(&S) -> Option<T>) -> Memory<T> {
        let servers = self.servers.into_iter().filter_map(|memory| memory.renamed(&name));
        let operations = self.operations.into_iter().filter_map(|memory| memory.renamed(&name));
        let runs = self.runs.into_iter().map(|memory| {
            let RunMemory { daily, actor, request, left, op, ok, failed } = memory;
            RunMemory { daily, actor, request, left: left.iter().filter_map(&name).collect(), op, ok, failed }
        });
        let given_up = self.given_up.into_iter().map(|GivenUpMemory { id, server, to_undo, answered }| GivenUpMemory {
            id,
            server: server.as_ref().and_then(&name),
            to_undo,
            answered,
        });
        Memory {
            joined: self.joined,
            servers: servers.collect(),
            operations: operations.collect(),
            given_up: given_up.collect(),
            runs: runs.collect(),
            daily: self.daily,
        }
    }

    /// Every server that something is known of.
    pub fn servers(&self) -> impl Iterator<Item = &S> {
        self.servers.iter().map(|memory| &memory.server)
    }

    /// The servers that hold the slot or are in an operation: they cannot be dropped.
    pub fn undroppable(&self) -> impl Iterator<Item = &S> {
        let holds = |memory: &&ServerMemory<S>| !matches!(memory.takeover, TakeoverState::None | TakeoverState::Queued);
        self.servers.iter().filter(holds).map(|memory| &memory.server)
    }

    /// The servers that can be logged in on, with the operations that brought the tokens.
    pub fn access(&self) -> impl Iterator<Item = (&S, u64)> {
        self.servers.iter().filter_map(|memory| Some((&memory.server, memory.access?)))
    }
}

impl<S> OperationMemory<S> {
    fn renamed<T>(self, name: &impl Fn(&S) -> Option<T>) -> Option<OperationMemory<T>> {
        let server = match &self.server {
            Some(server) => Some(name(server)?),
            None => None,
        };
        let OperationMemory { id, kind, attempt, reason, actor, request, supersedes, with, stage, .. } = self;
        Some(OperationMemory { id, kind, server, attempt, reason, actor, request, supersedes, with, stage })
    }
}

impl<S> ServerMemory<S> {
    fn renamed<T>(self, name: &impl Fn(&S) -> Option<T>) -> Option<ServerMemory<T>> {
        let alarms = self.alarms.into_iter().map(|AlarmMemory { code, cause }| {
            let cause = match cause {
                Cause::State => Cause::State,
                Cause::Failure(at) => Cause::Failure(at),
                Cause::Holder(holder) => name(&holder).map_or(Cause::State, Cause::Holder),
                Cause::Block(block) => Cause::Block(block),
                Cause::Operation(op) => Cause::Operation(op),
                Cause::Archive(number) => Cause::Archive(number),
            };
            AlarmMemory { code, cause }
        });
        Some(ServerMemory {
            server: name(&self.server)?,
            seen: self.seen,
            shut_down_normally: self.shut_down_normally,
            access: self.access,
            backups: self.backups,
            takeover: self.takeover,
            entry: self.entry,
            attempt: self.attempt,
            hold: self.hold,
            seen_down: self.seen_down,
            restore_attempt: self.restore_attempt,
            failed_since_restore: self.failed_since_restore,
            alarms: alarms.collect(),
        })
    }
}

impl Engine {
    /// What a later life has to know.
    pub fn remember(&self) -> Memory<ServerKey> {
        let servers = self.servers.iter().enumerate().filter_map(|(index, server)| {
            let server = server.as_ref()?;
            let memory = server.remember(ServerKey(index as u32));
            memory.is_worth_it().then_some(memory)
        });
        let operations = self.operations.values().map(|operation| OperationMemory {
            id: operation.id,
            kind: operation.kind,
            server: operation.server,
            attempt: operation.attempt,
            reason: operation.reason.to_owned(),
            actor: operation.actor.clone(),
            request: operation.request,
            supersedes: operation.supersedes.clone(),
            with: operation.with.clone(),
            stage: operation.stage,
        });
        let given_up = self.given_up.iter().map(|given| GivenUpMemory {
            id: given.id,
            server: given.server,
            to_undo: given.to_undo,
            answered: given.answered,
        });
        let runs = self.runs.iter().map(|run| RunMemory {
            daily: run.daily,
            actor: run.actor.clone(),
            request: run.request,
            left: run.left.iter().copied().collect(),
            op: run.op,
            ok: run.ok,
            failed: run.failed,
        });
        Memory {
            joined: self.joined,
            servers: servers.collect(),
            operations: operations.collect(),
            given_up: given_up.collect(),
            runs: runs.collect(),
            daily: self.daily.clone(),
        }
    }

    /// Goes on from what an earlier life knew; only before the first start. An error says what does not fit together.
    pub fn recall(&mut self, memory: Memory<ServerKey>) -> Result<(), String> {
        let ranks = ranks(&memory);
        (self.joined, self.daily) = (memory.joined, memory.daily);
        for memory in memory.servers {
            let key = memory.server;
            let Some(server) = self.get_mut(key) else { continue };
            server.recall(memory, &ranks);
            let state = server.takeover.state;
            match state {
                TakeoverState::None => {}
                TakeoverState::Queued => {
                    self.queue.insert(key);
                }
                _ if self.slot.is_some() => return Err("two servers hold the one slot".into()),
                _ => self.slot = Some(key),
            }
        }
        for memory in memory.operations {
            self.recall_operation(memory)?;
        }
        self.given_up = memory
            .given_up
            .into_iter()
            .map(|given| GivenUp {
                id: given.id,
                server: given.server,
                to_undo: given.to_undo,
                answered: given.answered,
            })
            .collect();
        self.runs = memory.runs.into_iter().map(|run| self.recall_run(run)).collect();
        self.unsettled = Unsettled::All;
        self.check_slot()
    }

    fn recall_run(&self, memory: RunMemory<ServerKey>) -> Run {
        let RunMemory { daily, actor, request, left, op, ok, failed } = memory;
        // Its server may be gone.
        let op = op.filter(|op| self.operations.contains_key(op));
        Run { daily, actor, request, left: left.into(), op, ok, failed }
    }

    fn recall_operation(&mut self, memory: OperationMemory<ServerKey>) -> Result<(), String> {
        let OperationMemory { id, kind, server, attempt, reason, actor, request, supersedes, with, stage } = memory;
        let state = server.and_then(|key| self.takeover_state(key));
        let fits = match kind {
            OperationKind::Takeover => state == Some(TakeoverState::TakingOver),
            OperationKind::Restore => state == Some(TakeoverState::Restoring),
            OperationKind::JoinCluster => server.is_none(),
            // What nothing is known of but this operation is not in there.
            _ => !matches!(state, None | Some(TakeoverState::TakingOver | TakeoverState::Restoring)),
        };
        if id >= self.next_id {
            return Err(format!("operation {id} has a number that was never given out"));
        }
        if !fits || server.is_some_and(|key| self.operation_of(key).is_some()) {
            return Err(format!("operation {id} is a {} that does not fit its server", kind.name()));
        }
        let operation = Operation::new(id, kind, server, (actor, request, static_reason(&reason)));
        // Of a backup whose file was not named the host has never heard.
        let resumed = stage != Stage::Preparing;
        let operation = Operation { attempt, supersedes, with, stage, resumed, deadline: Mono(0), ..operation };
        match self.operations.insert(id, operation) {
            Some(_) => Err(format!("operation {id} is there twice")),
            None => Ok(()),
        }
    }

    /// Whoever is being taken over or restored has exactly the one operation.
    fn check_slot(&self) -> Result<(), String> {
        let state = self.slot.and_then(|holder| self.takeover_state(holder));
        let needed = usize::from(matches!(state, Some(TakeoverState::TakingOver | TakeoverState::Restoring)));
        let moving = self.operations.values().filter(|operation| operation.kind.moves_slot()).count();
        if moving == needed { Ok(()) } else { Err(format!("{moving} operations move the slot where {needed} should")) }
    }
}

/// Times of failure of earlier lives as small instants: before any of this life, in the same order.
fn ranks(memory: &Memory<ServerKey>) -> Vec<u64> {
    let entries = memory.servers.iter().filter_map(|server| server.entry.as_ref());
    let mut ranks: Vec<u64> = entries.map(|entry| entry.failed_at).collect();
    ranks.sort_unstable();
    ranks.dedup();
    ranks
}

impl Server {
    fn remember(&self, key: ServerKey) -> ServerMemory<ServerKey> {
        let (seen, shut_down_normally) = self.health.remembered();
        let takeover = &self.takeover;
        let entry = takeover.entry.as_ref().map(|entry| EntryMemory {
            actor: entry.actor.clone(),
            failed_at: entry.failed_at.0,
            reason: entry.reason.to_owned(),
            request: entry.request,
        });
        let alarms = self.alarms.iter().filter(|(code, _)| **code != Alarm::NeverSeen);
        ServerMemory {
            server: key,
            seen,
            shut_down_normally,
            access: self.access,
            backups: self.backups.clone(),
            takeover: takeover.state,
            entry,
            attempt: takeover.attempt,
            hold: takeover.hold,
            seen_down: takeover.seen_down,
            restore_attempt: takeover.restore_attempt,
            failed_since_restore: takeover.failed_since_restore,
            alarms: alarms.map(|(code, cause)| AlarmMemory { code: *code, cause: *cause }).collect(),
        }
    }

    fn recall(&mut self, memory: ServerMemory<ServerKey>, ranks: &[u64]) {
        self.health.recall(memory.seen, memory.shut_down_normally);
        (self.access, self.backups) = (memory.access, memory.backups);
        let entry = memory.entry.map(|entry| Entry {
            actor: entry.actor,
            failed_at: Mono(ranks.partition_point(|earlier| *earlier < entry.failed_at) as u64),
            reason: static_reason(&entry.reason),
            request: entry.request,
        });
        self.takeover = Takeover {
            state: memory.takeover,
            entry,
            attempt: memory.attempt,
            hold: memory.hold,
            seen_down: memory.seen_down,
            restore_attempt: memory.restore_attempt,
            failed_since_restore: memory.failed_since_restore,
            ..Takeover::default()
        };
        self.alarms = memory.alarms.into_iter().map(|AlarmMemory { code, cause }| (code, cause)).collect();
    }
}

impl ServerMemory<ServerKey> {
    /// A server never heard of and never acted on is no different from a new one.
    fn is_worth_it(&self) -> bool {
        self.seen
            || self.takeover != TakeoverState::None
            || self.hold.is_some()
            || !self.alarms.is_empty()
            || self.access.is_some()
            || self.backups != Backups::default()
    }
}
