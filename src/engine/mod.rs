//! The engine: a deterministic function of (state, input, now). No clock, thread, lock, I/O, hash map order or float.
//!
//! The story. Each monitored server has a *health* (`health`), driven by its messages and by its silence. When it fails, its
//! *takeover state* (`takeover`) goes from none to queued, and as soon as the one *slot* is free to taking_over: the host is asked
//! to run in its place. The host's answer makes it taken_over (or queues it again, after a delay). When the server is back and stable,
//! or an operator says so, it is restoring, and with the host's answer none again; the next in the queue has the slot at the same instant.
//! Before all that the failover server is made part of the cluster and is let in by each server (`access`), and the settings that a takeover
//! uses are backed up, by hand and every day (`backup`).
//!
//! How it is driven. `runtime` hands in what was reported, in order (`take_in`), then lets time act (`advance`): health deadlines in configuration
//! order, overdue answers, restores that are due, the free slot, and last the daily backups. Both write what they decide into a list of `Output`s.
//! `next_wake` says when time acts next; a spurious `advance` does no harm.
//!
//! Invariants, held by the property tests: at most one takeover at a time; none without a failed health or an operator; no deadline
//! moved later by a repeated message; every failed server is queued, covered, blocked with a reason, or waits for an operator.

mod access;
mod alarms;
pub mod backup;
pub mod command;
pub mod health;
pub mod memory;
pub mod output;
pub mod policy;
mod restore;
mod takeover;
#[cfg(test)]
mod tests;
mod timers;
pub mod view;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use backup::{Backups, Daily, Run};
use command::{Command, Input, Refusal};
use health::{Effect, EventKind, Health, Pause, Phase};
use output::{Actor, Alarm, Archive, Ask, Block, Cause, Note, Operation, OperationKind, Outcome, Output, What, With};
use policy::{Policy, ServerKey, ServerPolicy};
use takeover::{GivenUp, Takeover, Unsettled};
use timers::Timers;

use crate::time::{Mono, SECOND_NS, Span};

/// While anything runs, a wake-up is planned at least this often: it bounds how long a pause can stay unnoticed.
const HEARTBEAT: Span = Span(SECOND_NS);

/// How the driver ran since the last `advance`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Ran {
    /// The driver was busy with the host's callbacks or its own files until then: no pause.
    pub busy_until: Mono,
    /// The system slept for so long, unseen by the monotonic clock.
    pub slept: Span,
}

/// The whole state. Cloning it gives an independent twin.
#[derive(Clone, Debug)]
pub struct Engine {
    policy: Policy,
    servers: Vec<Option<Server>>,
    joined: bool,
    /// What is decided can be written down before it is acted on.
    writable: bool,
    slot: Option<ServerKey>,
    queue: BTreeSet<ServerKey>,
    operations: BTreeMap<u64, Operation>,
    /// Decided at rest: the host is asked at the start, for the first time.
    not_begun: BTreeSet<u64>,
    given_up: VecDeque<GivenUp>,
    /// The server whose backup is being looked for, before it has the slot, and since when; and what was found, until the slot is given next.
    examined: Option<(ServerKey, Mono)>,
    found: Option<(ServerKey, Archive)>,
    /// When it is looked again whether queued servers without a backup have one.
    look_again_at: Option<Mono>,
    /// Backups of several servers, the run of now first.
    runs: VecDeque<Run>,
    daily: Daily,
    /// An instant, and the wall clock then, in ms since 1970.
    wall_clock: Option<(Mono, i64)>,
    next_id: u64,
    timers: Timers,
    /// Something that the slot or the alarms of the queue depend on has changed.
    unsettled: Unsettled,
    running: bool,
    /// The wake-up asked for last.
    planned: Option<Mono>,
}

/// One monitored server.
#[derive(Clone, Debug)]
struct Server {
    /// Place in the configuration.
    order: usize,
    priority: u32,
    health: Health,
    /// The operation that brought the token to log in with.
    access: Option<u64>,
    backups: Backups,
    /// The folder of its backups could not be read when it was looked at last.
    backups_unreadable: bool,
    takeover: Takeover,
    alarms: BTreeMap<Alarm, Cause>,
    /// When `never_seen` is due, until the first event.
    never_seen_at: Option<Mono>,
}

impl Engine {
    /// An engine at rest. Every server is taken as not authorized and without a backup, the cluster as not joined, until told otherwise.
    /// Ids are given from `first_id` on.
    pub fn new(policy: Policy, first_id: u64) -> Engine {
        let mut engine = Engine {
            policy: Policy { servers: Vec::new(), ..policy },
            servers: Vec::new(),
            joined: false,
            writable: true,
            slot: None,
            queue: BTreeSet::new(),
            operations: BTreeMap::new(),
            not_begun: BTreeSet::new(),
            given_up: VecDeque::new(),
            examined: None,
            found: None,
            look_again_at: None,
            runs: VecDeque::new(),
            daily: Daily::default(),
            wall_clock: None,
            next_id: first_id,
            timers: Timers::default(),
            unsettled: Unsettled::All,
            running: false,
            planned: None,
        };
        engine.place(policy.servers, Mono(0));
        engine
    }

    /// A number never given before: for operations and calls.
    pub fn new_id(&mut self) -> u64 {
        let id = self.next_id;
        self.next_id += 1;
        id
    }

    /// The number given last was not used after all.
    pub fn give_back_id(&mut self, id: u64) {
        if id + 1 == self.next_id {
            self.next_id = id;
        }
    }

    /// From here on ids are free.
    pub fn next_free_id(&self) -> u64 {
        self.next_id
    }

    /// The health of a server.
    pub fn health(&self, server: ServerKey) -> Option<&Health> {
        self.get(server).map(|server| &server.health)
    }

    /// The takeover state of a server.
    pub fn takeover_state(&self, server: ServerKey) -> Option<output::TakeoverState> {
        self.get(server).map(|server| server.takeover.state)
    }

    /// When this server fails unless something is heard.
    pub fn deadline(&self, server: ServerKey) -> Option<Mono> {
        self.get(server)?.health.deadline(&self.policy.timeouts)
    }

    /// Whether a keep-alive changes nothing but this server's deadline.
    pub fn keep_alive_only_rearms(&self, server: ServerKey) -> bool {
        self.get(server).is_some_and(|server| server.health.phase() == Phase::KeepAlive)
    }

    /// Which server holds the slot.
    pub fn slot(&self) -> Option<ServerKey> {
        self.slot
    }

    /// Whether this alarm stands for this server.
    pub fn stands(&self, server: ServerKey, alarm: Alarm) -> bool {
        self.get(server).is_some_and(|server| server.alarms.contains_key(&alarm))
    }

    /// Whether the server waits for an operator (or for a new failure).
    pub fn waits_for_operator(&self, server: ServerKey) -> bool {
        self.get(server).is_some_and(|server| server.takeover.hold.is_some())
    }

    /// The operation that runs under this id.
    pub fn operation(&self, op: u64) -> Option<&Operation> {
        self.operations.get(&op)
    }

    /// The rules in force.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Monitoring begins, for the first time or again. What was known of a server's health is old; what was begun goes on.
    pub fn start(&mut self, now: Mono, out: &mut Vec<Output>) {
        self.running = true;
        self.unsettled = Unsettled::All;
        self.planned = None;
        self.timers.clear();
        (self.examined, self.found, self.look_again_at) = (None, None, None);
        let mut begun = self.operations_by_server();
        self.resume(begun.remove(&None).unwrap_or_default(), now, out);
        for key in self.keys_in_order() {
            let never_seen_at = now + self.policy.timeouts.connected;
            if let Some(server) = self.get_mut(key) {
                server.health.start(now);
                server.never_seen_at = Some(never_seen_at);
            }
            let mine = begun.remove(&Some(key)).unwrap_or_default();
            let resumed = mine.iter().copied().find(|op| self.is_backup(*op));
            out.push(Output::plain(Some(key), What::Files(Ask::TidyUp { resumed })));
            self.resume(mine, now, out);
            self.delay_anew(key, now);
            self.touch(key);
        }
    }

    /// The wall clock at this instant, in ms since 1970. It may be set at any time; nothing but the daily run goes by it.
    pub fn wall_clock_is(&mut self, now: Mono, utc_ms: i64) {
        // Whatever a driving host says: what is outside the calendar is no date.
        self.wall_clock = Some((now, utc_ms.clamp(0, backup::LAST_UTC_MS)));
    }

    fn utc_ms(&self, now: Mono) -> Option<i64> {
        let (at, utc_ms) = self.wall_clock?;
        Some(utc_ms.saturating_add(i64::try_from((now - at).whole_ms()).unwrap_or(i64::MAX)))
    }

    /// Monitoring ends; nothing more is declared until the next start.
    pub fn stop(&mut self) {
        self.running = false;
        self.planned = None;
    }

    /// Takes in what was reported, at `now`.
    pub fn take_in(&mut self, now: Mono, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Event { server, kind, at } => self.event(now, server, kind, at, out),
            Input::EventsLost { server, at } => self.events_lost(now, server, at, out),
            Input::Token { server, by } => self.set_access(server, by, (None, None), out),
            Input::Surveyed { server, survey, found } => self.surveyed(now, server, survey, found, out),
            Input::Prepared { op, result } => self.prepared(now, op, result, out),
            Input::Published { op, result } => self.published(now, op, result, out),
            Input::Interrupted { kind, server, actor, request } => {
                self.interrupted((kind, server), (actor, request), out);
            }
            Input::Unready { op, why } => self.completed(now, op, Outcome::Failed, Some(why), out),
            Input::Writable => {
                self.writable = true;
                self.unsettled = Unsettled::All;
            }
            Input::Unwritable { op } => self.take_back(now, op, out),
            Input::LateAnswer { op, outcome } => self.late_answer(op, outcome, out),
            Input::Command(command) => self.command(now, command, out),
        }
    }

    /// Lets time act: what is due at `now`, in the order of "One instant". At rest time does not act.
    pub fn advance(&mut self, now: Mono, ran: Ran, out: &mut Vec<Output>) {
        if !self.running {
            return;
        }
        self.notice_pause(now, ran, out);
        let due = self.due(now);
        self.end_delays(now, &due);
        self.fail_the_silent(now, &due, out);
        self.give_up_the_overdue(now, out);
        self.restore_what_is_due(now, out);
        self.give_up_the_search(now, out);
        self.look_for_backups(now, out);
        self.settle(now, out);
        self.go_by_the_clock(now, out);
        self.go_on_with_runs(now, out);
        // An answer that was overdue may have armed what has been handled since: never hand out an instant of the past.
        let handled = self.due(now);
        due.into_iter().chain(handled).for_each(|key| self.touch(key));
        self.planned = self.next_wake(now);
    }

    /// The servers whose health deadline lies at or before `now`, by what is known.
    pub fn silent(&self, now: Mono) -> Vec<ServerKey> {
        let due = self.timers.due(now).into_iter();
        due.filter(|key| self.deadline(*key).is_some_and(|at| at <= now)).collect()
    }

    /// The servers whose timer comes up by then.
    pub fn coming_up(&self, until: Mono) -> Vec<ServerKey> {
        self.timers.due(until)
    }

    /// Sets the timers that come up by then anew, by what is known now. Does nothing that can be seen but make `next_wake` tell a later instant.
    pub fn plan_until(&mut self, until: Mono, now: Mono) {
        let due = self.timers.take_due(until);
        due.into_iter().for_each(|key| self.touch(key));
        self.planned = self.next_wake(now);
    }

    /// Whether `advance` would say that the plugin did not run for a while.
    pub fn is_paused(&self, now: Mono, ran: Ran) -> bool {
        self.planned.is_some() && self.pause(now, ran).whole() > Span::ZERO
    }

    fn pause(&self, now: Mono, ran: Ran) -> Pause {
        let late = self.planned.map_or(Span::ZERO, |planned| now - planned.max(ran.busy_until));
        Pause { late: if late > self.policy.pause_tolerance { late } else { Span::ZERO }, slept: ran.slept }
    }

    /// When time acts next; never later than that, while anything runs at most a heartbeat away.
    pub fn next_wake(&self, now: Mono) -> Option<Mono> {
        if !self.running {
            return None;
        }
        let overdue = self.operations.values().filter(|operation| operation.may_be_overdue());
        let overdue = overdue.map(|operation| operation.deadline).min();
        let search = self.examined.map(|(_, since)| since + backup::SEARCH_LIMIT);
        let next = self.timers.next().into_iter().chain(overdue).chain(self.look_again_at).chain(search).min();
        let next = next.map(|next| next.min(now + HEARTBEAT));
        // Nobody is declared failed by it, so a pause that it misses does no harm.
        next.into_iter().chain(self.next_by_the_clock(now)).min()
    }

    fn due(&mut self, now: Mono) -> Vec<ServerKey> {
        let mut due = self.timers.take_due(now);
        due.sort_by_key(|key| self.order(*key));
        due
    }

    fn notice_pause(&mut self, now: Mono, ran: Ran, out: &mut Vec<Output>) {
        if !self.is_paused(now, ran) {
            return;
        }
        let pause = self.pause(now, ran);
        out.push(Output::plain(None, What::Note(Note::Paused(pause.whole()))));
        let timeouts = self.policy.timeouts;
        for server in self.servers.iter_mut().flatten() {
            server.health.paused(pause, now, &timeouts);
            server.takeover.stability.moved(pause.since(server.health.entered_at(), now));
            server.never_seen_at = server.never_seen_at.map(|at| at + pause.whole());
        }
    }

    fn fail_the_silent(&mut self, now: Mono, due: &[ServerKey], out: &mut Vec<Output>) {
        let timeouts = self.policy.timeouts;
        let mut failing: Vec<(Option<Mono>, ServerKey)> =
            due.iter().map(|key| (self.deadline(*key).filter(|at| *at <= now), *key)).collect();
        // Stable: servers of one instant stay in configuration order.
        failing.sort_by_key(|(deadline, _)| deadline.unwrap_or(now));
        for (_, key) in failing {
            self.notice_never_seen(now, key, out);
            let Some(server) = self.get_mut(key) else { continue };
            let Some((from, reason)) = server.health.fail(now, &timeouts) else { continue };
            let failed_at = server.health.failure().map(|(_, at)| at);
            let what = What::Health { from, to: Phase::Failed, reason: Some(reason), failed_at };
            out.push(Output::plain(Some(key), what));
            self.health_changed(key, out);
            self.failed(key, out);
        }
    }

    fn notice_never_seen(&mut self, now: Mono, key: ServerKey, out: &mut Vec<Output>) {
        let Some(server) = self.get_mut(key) else { return };
        if server.never_seen_at.is_some_and(|at| at <= now) {
            server.never_seen_at = None;
            self.raise(key, Alarm::NeverSeen, Cause::State, out);
        }
    }

    fn event(&mut self, now: Mono, key: ServerKey, kind: EventKind, at: Mono, out: &mut Vec<Output>) {
        let timeouts = self.policy.timeouts;
        let Some(server) = self.get_mut(key) else { return };
        server.never_seen_at = None;
        let effect = server.health.event(kind, at.min(now), &timeouts);
        let phase = server.health.phase();
        self.end(key, Alarm::NeverSeen, out);
        let note = |why| What::Note(Note::Unmoved { event: kind, why, phase });
        match effect {
            Effect::Entered { from } => {
                out.push(Output::plain(Some(key), What::Health { from, to: phase, reason: None, failed_at: None }));
                self.health_changed(key, out);
            }
            // Its deadline may lie before the one that a pause had moved.
            Effect::Rearmed => {}
            Effect::Stayed if kind == EventKind::Disconnected => {
                out.push(Output::plain(Some(key), What::Note(Note::Disconnected)));
            }
            Effect::Stayed => out.push(Output::plain(Some(key), note("repeated"))),
            Effect::Stale => out.push(Output::plain(Some(key), note("stale"))),
            Effect::Ignored => out.push(Output::plain(Some(key), note("ignored"))),
        }
        self.touch(key);
    }

    fn events_lost(&mut self, now: Mono, key: ServerKey, at: Mono, out: &mut Vec<Output>) {
        let timeouts = self.policy.timeouts;
        let Some(server) = self.get_mut(key) else { return };
        server.health.messages_lost(at.min(now), &timeouts);
        out.push(Output::plain(Some(key), What::Note(Note::EventsLost)));
    }

    fn command(&mut self, now: Mono, command: Command, out: &mut Vec<Output>) {
        match self.accepts(std::iter::empty(), &command) {
            Ok(()) => {}
            // It keeps its claim and waits: it was accepted, and what is in the way now may go.
            Err(Refusal::SlotHeld(_) | Refusal::Blocked(_)) if matches!(command, Command::Takeover { .. }) => {}
            Err(_) => return self.overtaken(&command, out),
        }
        let (actor, request) = (command.actor(), command.request());
        match command {
            Command::Takeover { server, actor, request } => {
                self.enqueue_for_operator(now, server, Actor::Operator(actor), request, out);
            }
            Command::Restore { server, actor, request } => {
                self.begin_restore(now, server, Actor::Operator(actor), Some(request), out);
            }
            Command::Cancel { server, .. } => self.cancel(server, actor, request, out),
            Command::Backup { server, actor, request } => {
                self.begin_backup(now, server, (Actor::Operator(actor), Some(request), "operator"), out);
            }
            Command::BackupAll { actor, request } => self.back_up_all(actor, request, out),
            Command::Authorize { server, actor, request } => {
                let behind = (actor, request, With::Nothing);
                self.begin_access(now, OperationKind::Authorize, Some(server), behind, out);
            }
            Command::Deauthorize { server, .. } if !self.policy.host_revokes => {
                self.set_access(server, None, (actor, request), out);
            }
            Command::Deauthorize { server, actor, request } => {
                let behind = (actor, request, With::Nothing);
                self.begin_access(now, OperationKind::Deauthorize, Some(server), behind, out);
            }
            Command::JoinCluster { host, port, actor, request } => {
                let behind = (actor, request, With::Management { host, port });
                self.begin_access(now, OperationKind::JoinCluster, None, behind, out);
            }
            Command::Cluster { joined, .. } => self.cluster_is(joined, (actor, request), out),
            Command::Complete { op, outcome: Outcome::Ok, .. } if self.is_backup(op) => self.publish(op, out),
            Command::Complete { op, outcome, error } => self.completed(now, op, outcome, error, out),
            Command::Progress { op, permille, text } => {
                let server = self.operations.get(&op).and_then(|operation| operation.server);
                out.push(Output::plain(server, What::Note(Note::Progress { op, permille, text })));
            }
            Command::Configure(policy) => self.configure(now, policy, out),
        }
    }

    fn is_backup(&self, op: u64) -> bool {
        self.operations.get(&op).is_some_and(|operation| operation.kind == OperationKind::Backup)
    }

    /// What was accepted no longer fits: said, not done.
    fn overtaken(&mut self, command: &Command, out: &mut Vec<Output>) {
        let (call, server) = command.subject();
        let what = What::Note(Note::Overtaken { call });
        out.push(Output { server, actor: command.actor(), request: command.request(), what });
    }

    fn configure(&mut self, now: Mono, policy: Policy, out: &mut Vec<Output>) {
        let turned_on = policy.automatic_takeover && !self.policy.automatic_takeover;
        for key in self.keys_missing_in(&policy) {
            self.leave_queue(key, "removed", None, None, out);
            self.set_access(key, None, (None, None), out);
            self.end_all(key, out);
            self.timers.disarm(key);
            self.servers[key.index()] = None;
        }
        let servers = policy.servers.clone();
        self.policy = Policy { servers: Vec::new(), ..policy };
        for server in servers.iter().filter(|server| server.readdressed) {
            self.become_another_machine(now, server.key, out);
        }
        for server in servers.iter().filter(|server| self.get(server.key).is_none()) {
            out.push(Output::plain(Some(server.key), What::Files(Ask::Survey { thorough: false })));
        }
        self.place(servers, now);
        self.unsettled = Unsettled::All;
        for key in self.keys_in_order() {
            if turned_on {
                self.queue_if_overlooked(key, out);
            }
            self.evaluate_both_alive(key, out);
            self.touch(key);
        }
    }

    /// Host or port changed: what is known of the old machine says nothing of the new one.
    fn become_another_machine(&mut self, now: Mono, key: ServerKey, out: &mut Vec<Output>) {
        self.leave_queue(key, "readdressed", None, None, out);
        self.set_access(key, None, (None, None), out);
        let never_seen_at = now + self.policy.timeouts.connected;
        let Some(server) = self.get_mut(key) else { return };
        let from = server.health.phase();
        server.health = Health::default();
        server.takeover = Takeover::default();
        server.never_seen_at = Some(never_seen_at);
        if from != Phase::Unknown {
            let what = What::Health { from, to: Phase::Unknown, reason: None, failed_at: None };
            out.push(Output::plain(Some(key), what));
        }
        self.end_all(key, out);
    }

    fn place(&mut self, servers: Vec<ServerPolicy>, now: Mono) {
        let never_seen_at = now + self.policy.timeouts.connected;
        for (order, entry) in servers.iter().enumerate() {
            let index = entry.key.index();
            if self.servers.len() <= index {
                self.servers.resize(index + 1, None);
            }
            let server = self.servers[index].get_or_insert_with(|| Server::new(never_seen_at));
            server.order = order;
            server.priority = entry.priority;
        }
        self.policy.servers = servers;
    }

    fn keys_in_order(&self) -> Vec<ServerKey> {
        self.policy.servers.iter().map(|server| server.key).collect()
    }

    fn keys_missing_in(&self, policy: &Policy) -> impl Iterator<Item = ServerKey> + use<> {
        let stay: BTreeSet<ServerKey> = policy.servers.iter().map(|server| server.key).collect();
        let gone: Vec<_> = self.keys_in_order().into_iter().filter(|key| !stay.contains(key)).collect();
        gone.into_iter()
    }

    fn block(&self, key: ServerKey) -> Option<Block> {
        self.block_with(key, self.joined, self.get(key)?.access.is_some())
    }

    /// What a takeover lacks, where cluster and login are or will be so.
    fn block_with(&self, key: ServerKey, joined: bool, authorized: bool) -> Option<Block> {
        let good_backup = self.get(key)?.backups.good;
        if !self.writable {
            Some(Block::StateNotWritable)
        } else if !joined {
            Some(Block::NotInCluster)
        } else if !authorized {
            Some(Block::NotAuthorized)
        } else if !good_backup {
            Some(Block::NoBackup)
        } else {
            None
        }
    }

    /// Sets the timer of a server by all that it waits for.
    fn touch(&mut self, key: ServerKey) {
        let Some(server) = self.get(key) else { return };
        let deadline = server.health.deadline(&self.policy.timeouts);
        let waits = server.takeover.waits(self.policy.automatic_restore);
        if let Some(at) = deadline.into_iter().chain(waits).chain(server.never_seen_at).min() {
            self.timers.arm(key, at);
        }
    }

    fn get(&self, key: ServerKey) -> Option<&Server> {
        self.servers.get(key.index())?.as_ref()
    }

    fn get_mut(&mut self, key: ServerKey) -> Option<&mut Server> {
        self.servers.get_mut(key.index())?.as_mut()
    }

    fn order(&self, key: ServerKey) -> usize {
        self.get(key).map_or(usize::MAX, |server| server.order)
    }
}

impl Server {
    fn new(never_seen_at: Mono) -> Server {
        Server {
            order: 0,
            priority: 0,
            health: Health::default(),
            access: None,
            backups: Backups::default(),
            backups_unreadable: false,
            takeover: Takeover::default(),
            alarms: BTreeMap::new(),
            never_seen_at: Some(never_seen_at),
        }
    }
}

impl Output {
    fn plain(server: Option<ServerKey>, what: What) -> Output {
        Output { server, actor: None, request: None, what }
    }
}

impl Operation {
    fn new(id: u64, kind: OperationKind, server: Option<ServerKey>, behind: access::Behind) -> Operation {
        let (actor, request, reason) = behind;
        Operation {
            id,
            kind,
            server,
            deadline: Mono(u64::MAX),
            attempt: 0,
            reason,
            actor,
            request,
            resumed: false,
            supersedes: Vec::new(),
            with: With::Nothing,
            stage: output::Stage::Asked,
            answered: false,
        }
    }

    /// An output that follows from it.
    fn says(&self, what: What) -> Output {
        Output { server: self.server, actor: Some(self.actor.clone()), request: self.request, what }
    }

    /// Its answer is the host's to give, so its deadline counts.
    pub fn may_be_overdue(&self) -> bool {
        !self.answered && self.stage != output::Stage::Publishing
    }
}
