//! The status as JSON: what the engine knew at one instant, for hosts and for people.
//!
//! Pure: made from a plain picture that `runtime` takes under its lock; written here with the lock given back. Knows no clock, file or lock.

mod sentence;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use serde::Serialize;

use crate::engine::backup;
use crate::engine::health::EventKind;
use crate::engine::output::{Alarm, Operation, TakeoverState};
use crate::engine::view::ServerView;
use crate::time::{Mono, utc};

/// Version of the document.
pub const SCHEMA: u32 = 1;
const NAME: &str = "VMS failover";

/// An instance at one instant.
#[derive(Clone, Debug)]
pub struct Picture<'a> {
    /// The instant.
    pub now: Mono,
    /// The same, in ms since 1970.
    pub utc_ms: i64,
    /// `stopped`, `running`, `stopping` or `poisoned`.
    pub state: &'static str,
    /// The words of the panic that ended its work.
    pub poisoned: Option<String>,
    /// Time acts: from a start, with VMSF_HOST_DRIVES from the first poll after it, to a stop.
    pub monitoring: bool,
    /// Backups of all servers under way: daily or by hand, and how many are left.
    pub backups_left: Option<(bool, usize)>,
    /// When the next daily backup is due, in ms since 1970.
    pub next_daily_ms: Option<i64>,
    /// The wall clock was set back by more than a day.
    pub clock_jumped: bool,
    /// What is decided can be written down.
    pub state_writable: bool,
    /// The host keeps callbacks too long.
    pub host_slow: bool,
    /// Part of the cluster.
    pub joined: bool,
    /// The host makes it part of the cluster; with thousandths done and the host's words.
    pub joining: Option<(Operation, Option<(u32, String)>)>,
    /// What it does now.
    pub mode: TakeoverState,
    /// The server that holds the slot.
    pub holder: Option<Arc<str>>,
    /// The servers that wait for it, the first one first.
    pub queue: Vec<Arc<str>>,
    /// The rules that say what happens next.
    pub rules: Rules,
    /// The servers asked for, in configuration order.
    pub servers: Vec<Portrait<'a>>,
}

/// The rules that the sentences speak of.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// A failed server is queued without being asked.
    pub automatic_takeover: bool,
    /// A returned server is restored without being asked.
    pub automatic_restore: bool,
    /// How long a returned server must keep alive, in s.
    pub restore_stable_s: u64,
}

/// One server of a picture.
#[derive(Clone, Debug)]
pub struct Portrait<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its name, for people.
    pub name: &'a str,
    /// Its place in the queue, from 1.
    pub place: Option<usize>,
    /// What the engine knows.
    pub view: ServerView,
    /// Thousandths done and the host's words.
    pub progress: Option<(u32, String)>,
}

#[derive(Serialize)]
struct Document<'a> {
    schema: u32,
    name: &'static str,
    version: &'static str,
    utc: String,
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    poisoned: Option<&'a str>,
    state_writable: bool,
    mode: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    holder: Option<&'a str>,
    queue: Vec<&'a str>,
    cluster: Cluster<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backups: Option<Backups>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_daily_backup: Option<String>,
    alarms: Vec<&'static str>,
    servers: Vec<Server<'a>>,
}

#[derive(Serialize)]
struct Cluster<'a> {
    joined: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<Running<'a>>,
}

#[derive(Serialize)]
struct Server<'a> {
    id: &'a str,
    name: &'a str,
    health: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<Past>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    failed_at: Option<Past>,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Future>,
    next: String,
    last_events: LastEvents,
    link: &'static str,
    authorized: bool,
    backup: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_backup: Option<LastBackup<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<Running<'a>>,
    takeover: Takeover<'a>,
    waits_for_operator: bool,
    alarms: Vec<&'static str>,
    ready: Ready,
}

#[derive(Serialize)]
struct Backups {
    daily: bool,
    left: usize,
}

#[derive(Serialize)]
struct LastBackup<'a> {
    utc: String,
    result: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    number: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

/// An instant that has been.
#[derive(Serialize)]
struct Past {
    utc: String,
    ns: u64,
}

/// An instant to come.
#[derive(Serialize)]
struct Future {
    utc: String,
    ns: u64,
    in_ms: u64,
}

#[derive(Serialize)]
struct LastEvents {
    #[serde(skip_serializing_if = "Option::is_none")]
    connected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disconnected: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    startup: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    keep_alive: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shutdown_normal: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    shutdown_abnormal: Option<String>,
}

#[derive(Serialize)]
struct Takeover<'a> {
    state: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'a str>,
    attempt: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    place: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<Future>,
    #[serde(skip_serializing_if = "Option::is_none")]
    operation: Option<Running<'a>>,
}

#[derive(Serialize)]
struct Running<'a> {
    op: u64,
    operation: &'static str,
    actor: &'a str,
    resumed: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    deadline: Option<Future>,
    #[serde(skip_serializing_if = "Option::is_none")]
    progress: Option<Progress<'a>>,
}

#[derive(Serialize)]
struct Progress<'a> {
    permille: u32,
    text: &'a str,
}

#[derive(Serialize)]
struct Ready {
    ready: bool,
    reasons: Vec<&'static str>,
}

impl<'a> Picture<'a> {
    /// A picture on which nothing is to be seen.
    pub fn blank(now: Mono, utc_ms: i64) -> Picture<'a> {
        Picture {
            now,
            utc_ms,
            state: "stopped",
            poisoned: None,
            monitoring: false,
            backups_left: None,
            next_daily_ms: None,
            clock_jumped: false,
            state_writable: false,
            host_slow: false,
            joined: false,
            joining: None,
            mode: TakeoverState::None,
            holder: None,
            queue: Vec::new(),
            rules: Rules { automatic_takeover: false, automatic_restore: false, restore_stable_s: 0 },
            servers: Vec::new(),
        }
    }

    /// The document.
    pub fn to_json(&self) -> String {
        let document = Document {
            schema: SCHEMA,
            name: NAME,
            version: env!("CARGO_PKG_VERSION"),
            utc: utc(self.utc_ms),
            state: self.state,
            poisoned: self.poisoned.as_deref(),
            state_writable: self.state_writable,
            mode: mode(self.mode),
            holder: self.holder.as_deref(),
            queue: self.queue.iter().map(AsRef::as_ref).collect(),
            cluster: Cluster {
                joined: self.joined,
                operation: self.joining.as_ref().map(|(op, progress)| self.running(op, progress.as_ref())),
            },
            backups: self.backups_left.map(|(daily, left)| Backups { daily, left }),
            next_daily_backup: self.next_daily_ms.map(utc),
            alarms: [(self.host_slow, "host_slow"), (self.clock_jumped, Alarm::ClockJump.code())]
                .into_iter()
                .filter_map(|(stands, code)| stands.then_some(code))
                .collect(),
            servers: self.servers.iter().map(|server| self.server(server)).collect(),
        };
        serde_json::to_string(&document).expect("plain structs of text and numbers always serialise")
    }

    fn server<'b>(&self, server: &'b Portrait<'a>) -> Server<'b> {
        let view = &server.view;
        Server {
            id: server.id,
            name: server.name,
            health: view.phase.name(),
            since: view.since.map(|at| self.past(at)),
            reason: view.failure.map(|(reason, _)| reason.name()),
            failed_at: view.failure.map(|(_, at)| self.past(at)),
            deadline: view.deadline.map(|at| self.future(at)),
            next: sentence::next(self, server),
            last_events: self.last_events(view),
            link: view.link.name(),
            authorized: view.authorized,
            backup: view.backup,
            last_backup: view.last_backup.as_ref().map(last_backup),
            operation: self.running_of(server, false),
            takeover: self.takeover(server),
            waits_for_operator: view.waits_for_operator,
            alarms: view.alarms.iter().copied().map(Alarm::code).collect(),
            ready: self.ready(server),
        }
    }

    fn last_events(&self, view: &ServerView) -> LastEvents {
        let at = |kind: EventKind| view.heard_at[kind as usize].map(|at| self.utc_of(at));
        LastEvents {
            connected: at(EventKind::Connected),
            disconnected: at(EventKind::Disconnected),
            startup: at(EventKind::Startup),
            keep_alive: at(EventKind::KeepAlive),
            shutdown_normal: at(EventKind::ShutdownNormal),
            shutdown_abnormal: at(EventKind::ShutdownAbnormal),
        }
    }

    fn takeover<'b>(&self, server: &'b Portrait<'a>) -> Takeover<'b> {
        let view = &server.view;
        let entry = view.entry.as_ref();
        Takeover {
            state: view.state.name(),
            actor: entry.map(|(actor, _)| actor.name()),
            reason: entry.map(|(_, reason)| *reason),
            attempt: view.attempt,
            place: server.place,
            not_before: view.not_before.map(|at| self.future(at)),
            operation: self.running_of(server, true),
        }
    }

    fn running_of<'b>(&self, server: &'b Portrait<'a>, moves_slot: bool) -> Option<Running<'b>> {
        let operation = server.view.operation.as_ref().filter(|operation| operation.kind.moves_slot() == moves_slot)?;
        Some(self.running(operation, server.progress.as_ref()))
    }

    fn running<'b>(&self, operation: &'b Operation, progress: Option<&'b (u32, String)>) -> Running<'b> {
        let deadline = self.monitoring && operation.may_be_overdue();
        Running {
            op: operation.id,
            operation: operation.kind.name(),
            actor: operation.actor.name(),
            resumed: operation.resumed,
            deadline: deadline.then(|| self.future(operation.deadline)),
            progress: progress.map(|(permille, text)| Progress { permille: *permille, text }),
        }
    }

    /// Whether this server would be taken over at once if it failed now, and why not.
    fn ready(&self, server: &Portrait<'_>) -> Ready {
        let view = &server.view;
        let is_holder = self.holder.as_deref() == Some(server.id);
        let reasons = [
            (!self.monitoring || self.poisoned.is_some(), "not_running"),
            (!self.joined, "not_in_cluster"),
            (!view.authorized, "not_authorized"),
            (!view.backup, "no_backup"),
            (!self.state_writable, "state_not_writable"),
            (self.holder.is_some() && !is_holder, "slot_busy"),
        ];
        let reasons: Vec<_> = reasons.into_iter().filter(|(holds, _)| *holds).map(|(_, word)| word).collect();
        Ready { ready: reasons.is_empty(), reasons }
    }

    fn past(&self, at: Mono) -> Past {
        Past { utc: self.utc_of(at), ns: at.0 }
    }

    fn future(&self, at: Mono) -> Future {
        Future { utc: self.utc_of(at), ns: at.0, in_ms: (at - self.now).whole_ms() }
    }

    fn utc_of(&self, at: Mono) -> String {
        utc(self.utc_ms_of(at))
    }

    /// By the wall clock as it stands now: one that was set meanwhile moves the past, too.
    fn utc_ms_of(&self, at: Mono) -> i64 {
        let ms = |from: Mono, to: Mono| i64::try_from((to - from).whole_ms()).unwrap_or(i64::MAX);
        self.utc_ms.saturating_sub(ms(at, self.now)).saturating_add(ms(self.now, at))
    }
}

fn last_backup(last: &backup::LastBackup) -> LastBackup<'_> {
    let archive = last.archive.as_ref();
    LastBackup {
        utc: utc(last.utc_ms),
        result: if archive.is_some() { "ok" } else { "failed" },
        number: archive.map(|archive| archive.number),
        size: archive.map(|archive| archive.size),
        error: last.error.as_deref(),
    }
}

fn mode(state: TakeoverState) -> &'static str {
    match state {
        TakeoverState::None | TakeoverState::Queued => "standby",
        busy => busy.name(),
    }
}
