//! What holds whatever happens: arbitrary messages, calls, answers, rules, pauses and restarts against a shadow that knows only the outputs.

mod deeds;

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use proptest::collection::vec;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use self::deeds::{Change, Op, op};
use super::{OF_OLD, archive, at, joins, policy, survey};
use crate::engine::backup::Survey;
use crate::engine::command::{Command, Input, Refusal};
use crate::engine::health::{EventKind, Phase};
use crate::engine::output::{
    Actor, Alarm, Ask, Cause, Note, Operation, OperationKind, Outcome, Output, Stage, TakeoverState as S, What,
};
use crate::engine::policy::{Policy, ServerKey};
use crate::engine::{Engine, Ran};
use crate::time::{Mono, Span};

const ALARMS: [Alarm; 11] = [
    Alarm::TakeoverRequired,
    Alarm::TakeoverBlocked,
    Alarm::NotCovered,
    Alarm::TakeoverFailed,
    Alarm::RestoreFailed,
    Alarm::RestorePossible,
    Alarm::BothAlive,
    Alarm::LateAnswer,
    Alarm::NeverSeen,
    Alarm::BackupFailed,
    Alarm::BackupDamaged,
];

#[derive(Default)]
struct Coverage(RefCell<BTreeMap<String, u32>>);

impl Coverage {
    fn mark(&self, what: impl Into<String>) {
        *self.0.borrow_mut().entry(what.into()).or_default() += 1;
    }
}

/// What can be known from the outputs alone.
struct Shadow {
    state: S,
    phase: Phase,
    standing: BTreeMap<Alarm, Cause>,
    /// When a keep-alive counted last, or what stands for it.
    anchor: Mono,
}

struct World<'a> {
    engine: Engine,
    /// Is given the same and must say the same.
    twin: Engine,
    now: Mono,
    shadows: Vec<Shadow>,
    /// Every id begun, and whether it has ended.
    begun: BTreeMap<u64, bool>,
    to_undo: BTreeSet<u64>,
    /// Prepare and publish, not answered yet: the operation, and which.
    asked: Vec<(u64, bool)>,
    backed_up: BTreeSet<ServerKey>,
    /// What the wall clock shows at the beginning of time.
    utc_ms: i64,
    /// The dates of the daily runs, each once.
    runs: BTreeSet<i64>,
    /// Pauses and lost messages give time beyond the cap.
    undisturbed: bool,
    coverage: &'a Coverage,
}

impl<'a> World<'a> {
    fn new(servers: usize, coverage: &'a Coverage) -> World<'a> {
        let engine = Engine::new(policy(servers), 1);
        let shadow = || Shadow { state: S::None, phase: Phase::Unknown, standing: BTreeMap::new(), anchor: at(0) };
        let shadows = (0..5).map(|_| shadow()).collect();
        let (begun, to_undo) = (BTreeMap::new(), BTreeSet::new());
        let twin = engine.clone();
        let mut world = World {
            engine,
            twin,
            now: at(10_000),
            shadows,
            begun,
            to_undo,
            asked: Vec::new(),
            backed_up: BTreeSet::new(),
            utc_ms: 1_767_225_600_000,
            runs: BTreeSet::new(),
            undisturbed: true,
            coverage,
        };
        world.give_all();
        world.restart();
        world
    }

    fn keys(&self) -> Vec<ServerKey> {
        self.engine.keys_in_order()
    }

    fn both(&mut self, act: impl Fn(&mut Engine, &mut Vec<Output>)) -> Vec<Output> {
        let (mut out, mut same) = (Vec::new(), Vec::new());
        act(&mut self.engine, &mut out);
        act(&mut self.twin, &mut same);
        assert_eq!(out, same, "the same input, another answer");
        assert_eq!(self.engine.next_wake(self.now), self.twin.next_wake(self.now));
        out.iter().for_each(|output| self.follow(output));
        out
    }

    fn take_in(&mut self, input: Input) -> Vec<Output> {
        let now = self.now;
        self.both(|engine, out| engine.take_in(now, input.clone(), out))
    }

    fn advance(&mut self, ran: Ran) {
        let now = self.now;
        let utc_ms = self.utc_ms + (now.0 / 1_000_000) as i64;
        self.both(|engine, _| engine.wall_clock_is(now, utc_ms));
        let out = self.both(|engine, out| engine.advance(now, ran, out));
        let sought = |output: &Output| output.server.filter(|_| output.what == What::Files(Ask::Find));
        match out.iter().find_map(sought) {
            Some(server) => {
                let survey = survey(self.backed_up.contains(&server).then_some(1));
                self.take_in(Input::Surveyed { server, survey, found: true });
                self.advance(Ran { busy_until: now, slept: Span::ZERO });
            }
            None => self.check(),
        }
    }

    fn has_backup(&mut self, server: ServerKey, backup: bool) {
        if backup {
            self.backed_up.insert(server);
        } else {
            self.backed_up.remove(&server);
        }
        self.take_in(Input::Surveyed { server, survey: survey(backup.then_some(1)), found: false });
    }

    fn answer_for_files(&mut self, well: bool) {
        if self.asked.is_empty() {
            return;
        }
        let (op, publish) = self.asked.remove(0);
        let no = || "disk full".to_owned();
        let input = match (publish, well) {
            (false, true) => Input::Prepared { op, result: Ok(format!("/b/incoming-{op}.tmp")) },
            (false, false) => Input::Prepared { op, result: Err(no()) },
            (true, true) => Input::Published { op, result: Ok(archive(op)) },
            (true, false) => Input::Published { op, result: Err(no()) },
        };
        let server = self.engine.operation(op).and_then(|operation| operation.server);
        self.take_in(input);
        if publish && well {
            self.backed_up.extend(server);
        }
    }

    /// On time, or kept by the host's callbacks: in either case no pause.
    fn advance_without_pause(&mut self) {
        self.advance(Ran { busy_until: self.now, slept: Span::ZERO });
    }

    fn next_instant(&self) -> Option<Mono> {
        let overdue = self.engine.operations.values().filter(|operation| operation.may_be_overdue());
        let overdue = overdue.map(|operation| operation.deadline);
        self.engine.timers.next().into_iter().chain(overdue).chain(self.engine.look_again_at).min()
    }

    fn run_to(&mut self, end: Mono) {
        let mut wakes = 0;
        while let Some(next) = self.next_instant().filter(|next| *next <= end) {
            self.now = next.max(self.now);
            self.advance_without_pause();
            wakes += 1;
            assert!(wakes < 2000, "spins at {:?}", self.now);
        }
        self.now = end;
        self.advance_without_pause();
    }

    fn wait(&mut self, seconds: u64) {
        self.run_to(Mono(self.now.0 + at(seconds).0));
    }

    fn restart(&mut self) {
        self.engine.stop();
        self.twin.stop();
        self.shadows.iter_mut().for_each(|shadow| shadow.phase = Phase::Unknown);
        self.asked.clear();
        let now = self.now;
        self.both(|engine, out| engine.start(now, out));
        for key in self.keys() {
            self.shadows[key.index()].anchor = now;
        }
        self.advance(Ran::default());
    }

    fn give_all(&mut self) {
        self.take_in(joins(true));
        for server in self.keys() {
            self.take_in(Input::Token { server, by: Some(OF_OLD) });
            self.has_backup(server, true);
        }
    }

    fn event(&mut self, server: ServerKey, kind: EventKind, lag: u64) {
        let before = self.engine.health(server).map(|health| (health.phase(), self.engine.deadline(server)));
        let stamp = Mono(self.now.0 - at(lag).0);
        self.take_in(Input::Event { server, kind, at: stamp });
        let (Some((from, old)), Some(health)) = (before, self.engine.health(server)) else { return };
        let (to, new) = (health.phase(), self.engine.deadline(server));
        match (from, to) {
            (Phase::KeepAlive, Phase::KeepAlive) => {}
            _ if from == to => assert_eq!(new, old, "{kind:?} in {from:?} moved a deadline"),
            (Phase::NormalShutdown, Phase::AbnormalShutdown) => assert!(new <= old, "{new:?} after {old:?}"),
            _ => {}
        }
        let proves_life = kind == EventKind::KeepAlive && to == Phase::KeepAlive;
        let begins = from != to && matches!(from, Phase::Failed | Phase::Unknown);
        if proves_life || begins {
            self.shadows[server.index()].anchor = self.now;
        }
    }

    fn call(&mut self, command: Command) {
        let accepted = self.engine.accepts(std::iter::empty(), &command);
        // One that was accepted and finds the slot held, or something lacking, when it is taken in keeps its claim.
        let claims = matches!(command, Command::Takeover { .. })
            && matches!(accepted, Err(Refusal::SlotHeld(_) | Refusal::Blocked(_)))
            && !matches!(command, Command::Takeover { server, .. } if self.engine.slot() == Some(server));
        let accepted = accepted.is_ok() || claims;
        let out = self.take_in(Input::Command(command));
        let overtaken = matches!(out[..], [Output { what: What::Note(Note::Overtaken { .. }), .. }]);
        assert_eq!(accepted, !overtaken, "{out:?}");
        if overtaken {
            self.coverage.mark("overtaken");
        }
    }

    fn configure(&mut self, change: Change) {
        let mut policy: Policy = self.engine.policy().clone();
        let last = policy.servers.len() - 1;
        match change {
            Change::AutomaticTakeover => policy.automatic_takeover ^= true,
            Change::AutomaticRestore => policy.automatic_restore ^= true,
            Change::KeepAlive(seconds) => policy.timeouts.keep_alive = Span::seconds(seconds),
            Change::Connected(seconds) => policy.timeouts.connected = Span::seconds(seconds),
            Change::Shutdown(seconds) => policy.timeouts.normal_shutdown = Span::seconds(seconds),
            Change::Priority(i, priority) => policy.servers[i as usize % (last + 1)].priority = priority,
            Change::Remove => policy.servers.truncate(last.max(1)),
            Change::Add => {
                let free = (0..5).map(ServerKey).find(|key| policy.servers.iter().all(|server| server.key != *key));
                let server = policy.servers[0];
                policy.servers.extend(free.map(|key| crate::engine::policy::ServerPolicy { key, ..server }));
            }
            Change::Readdress(i) => policy.servers[i as usize % (last + 1)].readdressed = true,
            Change::Reverse => policy.servers.reverse(),
        }
        self.call(Command::Configure(policy));
        let mut policy = self.engine.policy().clone();
        policy.servers.iter_mut().for_each(|server| server.readdressed = false);
        self.engine.policy = policy.clone();
        self.twin.policy = policy;
        for (i, shadow) in self.shadows.iter_mut().enumerate() {
            self.backed_up.retain(|key| self.engine.health(*key).is_some());
            if self.engine.health(ServerKey(i as u32)).is_none() {
                assert!(shadow.standing.is_empty() && shadow.state == S::None, "gone, but not its traces");
                shadow.phase = Phase::Unknown;
            }
        }
    }

    fn perform(&mut self, op: Op) {
        let keys = self.keys();
        let key = |i: u32| keys[i as usize % keys.len()];
        let asked = |operation: &&Operation| operation.stage == Stage::Asked;
        let running = self.engine.operations.values().find(asked).map(|operation| operation.id);
        let (actor, request) = (String::from("eve"), 5);
        match op {
            Op::Event(i, kind, lag) => self.event(key(i), kind, lag),
            Op::AliveAll => keys.iter().for_each(|key| self.event(*key, EventKind::KeepAlive, 0)),
            Op::StaysAlive(i, seconds) => {
                for _ in 0..seconds / 10 {
                    self.event(key(i), EventKind::KeepAlive, 0);
                    self.wait(10);
                }
            }
            Op::Wait(seconds) => self.wait(seconds),
            Op::WaitForWake => {
                self.now = self.engine.next_wake(self.now).map_or(self.now, |wake| wake.max(self.now));
                self.advance(Ran::default());
            }
            Op::Spurious => self.advance(Ran::default()),
            Op::Takeover(i) => self.call(Command::Takeover { server: key(i), actor, request }),
            Op::Restore(i) => {
                let server = self.engine.slot().filter(|_| i > 0).unwrap_or(key(i));
                self.call(Command::Restore { server, actor, request });
            }
            Op::Cancel(i) => {
                let queued = self.engine.queue.iter().next().copied();
                self.call(Command::Cancel { server: queued.filter(|_| i > 0).unwrap_or(key(i)), actor, request });
            }
            Op::Answer(outcome) => {
                running.into_iter().for_each(|op| self.call(Command::Complete { op, outcome, error: None }));
            }
            Op::AnswerToNobody => self.call(Command::Complete { op: 77_777, outcome: Outcome::Ok, error: None }),
            Op::Late(outcome) => self.late(outcome),
            Op::Facts(i, authorized, backup) => {
                self.take_in(Input::Token { server: key(i), by: authorized.then_some(OF_OLD) });
                self.has_backup(key(i), backup);
            }
            Op::Damaged(i, number) => {
                let damaged = vec![(number, "flipped".to_owned())];
                let survey = Survey { damaged, ..survey(self.backed_up.contains(&key(i)).then_some(1)) };
                self.take_in(Input::Surveyed { server: key(i), survey, found: false });
            }
            Op::Backup(i) => self.call(Command::Backup { server: key(i), actor, request }),
            Op::BackupAll => self.call(Command::BackupAll { actor, request }),
            Op::Authorize(i) => self.call(Command::Authorize { server: key(i), actor, request }),
            Op::Deauthorize(i) => self.call(Command::Deauthorize { server: key(i), actor, request }),
            Op::Join => self.call(Command::JoinCluster { host: "m".into(), port: 443, actor, request }),
            Op::Files(well) => self.answer_for_files(well),
            Op::Clock(hours) => self.utc_ms += hours * 3_600_000,
            Op::GiveAll => self.give_all(),
            Op::Cluster(joined) => drop(self.take_in(joins(joined))),
            Op::Lost(i) => {
                self.undisturbed = false;
                self.take_in(Input::EventsLost { server: key(i), at: self.now });
            }
            Op::Configure(change) => self.configure(change),
            Op::Restart(seconds) => {
                self.now = Mono(self.now.0 + at(seconds).0);
                self.restart();
            }
            Op::Pause(seconds) => {
                self.undisturbed = false;
                self.now = Mono(self.now.0 + at(seconds).0);
                self.advance(Ran::default());
            }
            Op::Slept(seconds) => {
                self.undisturbed = false;
                self.advance(Ran { busy_until: self.now, slept: Span::seconds(seconds as u32) });
            }
        }
        // A driver lets time act after every look at its inbox.
        self.advance_without_pause();
    }

    fn late(&mut self, outcome: Outcome) {
        let Some(op) = self.begun.keys().rev().copied().find(|op| self.engine.gave_up(*op)) else { return };
        let said = !self.take_in(Input::LateAnswer { op, outcome }).is_empty();
        assert_eq!(said, outcome == Outcome::Ok);
        if outcome == Outcome::Failed {
            self.to_undo.remove(&op);
        }
    }

    /// Each output by itself, in the order said.
    fn follow(&mut self, output: &Output) {
        let by_operator = matches!(output.actor, Some(Actor::Operator(_)));
        let Some(key) = output.server else { return self.follow_instance(output) };
        match &output.what {
            What::Health { from, to, reason, failed_at } => {
                let shadow = &mut self.shadows[key.index()];
                assert!(shadow.phase == *from && from != to, "{output:?}");
                assert!(failed_at.is_none_or(|at| at <= self.now), "failed early");
                shadow.phase = *to;
                reason.iter().for_each(|reason| self.coverage.mark(reason.name()));
            }
            What::Takeover { from, to, reason } => self.follow_change(key, *from, *to, reason, by_operator),
            What::Begin(op) => {
                let state = self.shadows[key.index()].state;
                match op.kind {
                    OperationKind::Takeover => assert_eq!(state, S::TakingOver),
                    OperationKind::Restore => assert_eq!(state, S::Restoring),
                    _ => assert!(!matches!(state, S::TakingOver | S::Restoring), "{op:?} beside a move of the slot"),
                }
                if op.resumed {
                    assert_eq!(self.begun.get(&op.id), Some(&false), "resumed, but never begun or already over");
                    self.coverage.mark("resumed");
                } else {
                    assert!(!self.begun.contains_key(&op.id), "id {} again", op.id);
                    self.begun.insert(op.id, false);
                    let undo: BTreeSet<u64> = op.supersedes.iter().copied().collect();
                    let takeover = op.kind == OperationKind::Takeover;
                    assert!(if takeover { undo == self.to_undo } else { undo.is_empty() }, "{undo:?}");
                    undo.iter().for_each(|_| self.coverage.mark("supersedes"));
                }
            }
            What::Completed { op, kind, outcome, .. } => {
                assert_eq!(self.begun.insert(*op, true), Some(false), "{op} ended twice, or never begun");
                match (kind, outcome) {
                    (OperationKind::Takeover, Outcome::Ok) => self.to_undo.clear(),
                    (OperationKind::Takeover, Outcome::Timeout) => drop(self.to_undo.insert(*op)),
                    _ => {}
                }
                self.coverage.mark(format!("{} {}", kind.name(), outcome.name()));
            }
            What::Alarm { code: Alarm::LateAnswer, .. } => self.coverage.mark("late_answer"),
            What::Alarm { code, cause } => {
                let old = self.shadows[key.index()].standing.insert(*code, *cause);
                assert_ne!(old, Some(*cause), "{code:?} said twice for one cause");
                self.coverage.mark(code.code());
            }
            What::AlarmEnded { code } => {
                assert!(self.shadows[key.index()].standing.remove(code).is_some(), "{code:?} did not stand");
            }
            What::Note(Note::EventsLost) => self.coverage.mark("events_lost"),
            What::Files(Ask::Prepare { op, .. }) => self.asked.push((*op, false)),
            What::Files(Ask::Publish { op, .. }) => self.asked.push((*op, true)),
            What::Files(Ask::Discard { op }) => self.asked.retain(|(asked, _)| asked != op),
            What::Backup { result, .. } => {
                self.coverage.mark(if result.is_ok() { "backup published" } else { "backup failed" });
            }
            What::Access { by, .. } => self.coverage.mark(if by.is_some() { "authorized" } else { "deauthorized" }),
            What::Files(_) | What::Note(_) | What::OperationOver { .. } | What::Cluster { .. } => {}
        }
    }

    /// What is said of no server.
    fn follow_instance(&mut self, output: &Output) {
        match &output.what {
            What::Note(Note::Paused(_)) => self.coverage.mark("paused"),
            What::Note(Note::RunBegun { daily: true }) => {
                let utc_ms = self.utc_ms + (self.now.0 / 1_000_000) as i64;
                let date = (utc_ms - 2 * 3_600_000).div_euclid(86_400_000);
                assert!(self.runs.insert(date), "a second run for one date");
                self.coverage.mark("daily run");
            }
            What::Note(Note::RunEnded { .. }) => self.coverage.mark("run ended"),
            // From here on dates may come again.
            What::Alarm { code: Alarm::ClockJump, .. } => {
                self.runs.clear();
                self.coverage.mark("clock_jump");
            }
            What::Begin(op) => drop(self.begun.insert(op.id, false)),
            What::Completed { op, kind, outcome, .. } => {
                self.begun.insert(*op, true);
                self.coverage.mark(format!("{} {}", kind.name(), outcome.name()));
            }
            _ => {}
        }
    }

    fn follow_change(&mut self, key: ServerKey, from: S, to: S, reason: &str, by_operator: bool) {
        let legal = [
            (S::None, S::Queued),
            (S::Queued, S::TakingOver),
            (S::Queued, S::None),
            (S::TakingOver, S::TakenOver),
            (S::TakingOver, S::Queued),
            (S::TakingOver, S::None),
            (S::TakenOver, S::Restoring),
            (S::Restoring, S::None),
            (S::Restoring, S::TakenOver),
        ];
        assert!(legal.contains(&(from, to)), "{from:?} to {to:?}");
        assert_eq!(self.shadows[key.index()].state, from);
        if to == S::TakingOver {
            let phase = self.shadows[key.index()].phase;
            assert!(by_operator || phase == Phase::Failed, "begun while {phase:?}");
            assert!(self.shadows.iter().all(|shadow| !holds(shadow.state)), "two takeovers");
        }
        self.shadows[key.index()].state = to;
        self.coverage.mark(format!("{} => {}", from.name(), to.name()));
        self.coverage.mark(reason);
    }

    /// What must hold after every advance.
    fn check(&self) {
        let holders: Vec<ServerKey> = self.keys().into_iter().filter(|key| holds(self.shadow(*key).state)).collect();
        assert_eq!(holders, Vec::from_iter(self.engine.slot()), "the slot and the states");
        let works = |key: &&ServerKey| matches!(self.shadow(**key).state, S::TakingOver | S::Restoring);
        let moving = self.engine.operations.values().filter(|operation| operation.kind.moves_slot());
        assert_eq!(moving.count(), holders.iter().filter(works).count());
        let mut busy: Vec<_> = self.engine.operations.values().map(|operation| operation.server).collect();
        busy.sort_unstable();
        assert!(busy.windows(2).all(|pair| pair[0] != pair[1]), "two operations for one server: {busy:?}");
        let stuck = self.engine.operations.values().filter(|operation| operation.stage != Stage::Asked);
        stuck.for_each(|op| assert!(self.asked.iter().any(|(asked, _)| *asked == op.id), "nobody works on {op:?}"));
        let wake = self.engine.next_wake(self.now);
        assert!(wake.is_none_or(|wake| wake > self.now), "spins");
        for key in self.keys() {
            self.check_server(key, wake);
        }
        let open: Vec<u64> = self.begun.iter().filter(|(_, ended)| !**ended).map(|(id, _)| *id).collect();
        let asked = self.engine.operations.values().filter(|operation| operation.stage != Stage::Preparing);
        assert_eq!(open, asked.map(|operation| operation.id).collect::<Vec<_>>());
    }

    fn check_server(&self, key: ServerKey, wake: Option<Mono>) {
        let (shadow, server) = (self.shadow(key), self.engine.get(key).unwrap());
        assert_eq!((shadow.state, shadow.phase), (server.takeover.state, server.health.phase()));
        for alarm in ALARMS {
            assert_eq!(shadow.standing.contains_key(&alarm), self.engine.stands(key, alarm), "{alarm:?}");
        }
        let deadline = self.engine.deadline(key);
        let waits = server.takeover.waits(self.engine.policy.automatic_restore);
        for instant in deadline.into_iter().chain(waits).chain(server.never_seen_at) {
            assert!(instant > self.now, "{key:?} overlooked at {instant:?}");
            assert!(wake.is_some_and(|wake| wake <= instant), "woken too late for {key:?}");
            assert!(self.engine.timers.next().is_some_and(|at| at <= instant), "armed too late for {key:?}");
        }
        if let Some(deadline) = deadline.filter(|_| self.undisturbed && shadow.phase != Phase::Unknown) {
            let t = &self.engine.policy.timeouts;
            let cap = t.keep_alive + t.normal_shutdown.max(t.abnormal_shutdown) + t.connected + t.started;
            assert!(deadline <= shadow.anchor + cap, "put off for ever");
        }
        let slot = self.engine.slot();
        let queued = shadow.state == S::Queued;
        assert_eq!(queued, self.engine.queue.contains(&key));
        let not_covered = shadow.standing.get(&Alarm::NotCovered).copied();
        assert_eq!(not_covered, slot.filter(|_| queued).map(Cause::Holder));
        if shadow.phase == Phase::Failed {
            let waits_for_operator = self.engine.waits_for_operator(key);
            assert!(queued || slot == Some(key) || waits_for_operator, "failed, and nobody cares");
            let block = self.engine.block(key).map(Cause::Block);
            let blocked = block.is_some() && shadow.standing.get(&Alarm::TakeoverBlocked).copied() == block;
            assert!(!queued || slot.is_some() || waits.is_some() || blocked, "queued for a free slot, and not begun");
        }
        let two_owners = shadow.state == S::TakenOver && shadow.phase == Phase::KeepAlive;
        let about_to_be_restored = self.engine.policy.automatic_restore && server.takeover.seen_down;
        if shadow.phase != Phase::Unknown {
            assert_eq!(shadow.standing.contains_key(&Alarm::BothAlive), two_owners && !about_to_be_restored);
        }
    }

    fn shadow(&self, key: ServerKey) -> &Shadow {
        &self.shadows[key.index()]
    }

    /// From here on everything works: whoever is taken over comes back for good. Nobody may be left uncovered.
    fn check_that_all_ends_well(&mut self) {
        self.give_all();
        let mut policy = self.engine.policy().clone();
        (policy.automatic_takeover, policy.automatic_restore) = (true, true);
        self.call(Command::Configure(policy));
        self.advance_without_pause();
        let mut alive = BTreeSet::new();
        for _ in 0..1000 {
            // What is under way may still take something away.
            self.give_all();
            alive.extend(self.keys().into_iter().filter(|key| self.shadow(*key).state == S::TakenOver));
            while !self.asked.is_empty() {
                self.answer_for_files(true);
            }
            let asked = self.engine.operations.values().filter(|operation| operation.stage == Stage::Asked);
            for op in asked.map(|operation| operation.id).collect::<Vec<_>>() {
                self.call(Command::Complete { op, outcome: Outcome::Ok, error: None });
            }
            alive.iter().for_each(|key| {
                if self.shadow(*key).phase == Phase::Failed || self.shadow(*key).phase == Phase::KeepAlive {
                    self.event(*key, EventKind::KeepAlive, 0);
                } else {
                    self.event(*key, EventKind::Startup, 0);
                    self.event(*key, EventKind::KeepAlive, 0);
                }
            });
            self.advance_without_pause();
            self.wait(20);
        }
        for key in self.keys() {
            let Shadow { state, phase, .. } = self.shadow(key);
            let quiet = *phase == Phase::Unknown || self.engine.waits_for_operator(key);
            // One that a person took over while it was well has never been down: only a person hands it back.
            let by_hand = *state == S::TakenOver && !self.engine.get(key).unwrap().takeover.seen_down;
            let held_up = self.keys().iter().any(|key| {
                self.shadow(*key).state == S::TakenOver && !self.engine.get(*key).unwrap().takeover.seen_down
            });
            let fine = *state == S::None && (quiet || *phase == Phase::KeepAlive);
            assert!(fine || by_hand || held_up, "{key:?} is left {state:?} and {phase:?}");
            if fine && alive.contains(&key) {
                self.coverage.mark("ended well");
            }
        }
    }
}

fn holds(state: S) -> bool {
    matches!(state, S::TakingOver | S::TakenOver | S::Restoring)
}

fn run(cases: u32, length: usize, coverage: &Coverage, end: impl Fn(&mut World<'_>)) {
    let config = Config { cases, failure_persistence: None, ..Config::default() };
    let mut runner = TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha));
    let run = runner.run(&(2..=5usize, vec(op(), 1..length)), |(servers, ops)| {
        let mut world = World::new(servers, coverage);
        ops.into_iter().for_each(|op| world.perform(op));
        end(&mut world);
        Ok(())
    });
    run.unwrap_or_else(|failure| panic!("{failure}"));
}

#[test]
fn whatever_happens_the_invariants_hold_and_every_corner_was_reached() {
    let coverage = Coverage::default();
    run(300, 120, &coverage, |_| {});
    let reached = coverage.0.into_inner();
    let corners = [
        "none => queued",
        "queued => taking_over",
        "queued => none",
        "taking_over => taken_over",
        "taking_over => queued",
        "taking_over => none",
        "taken_over => restoring",
        "restoring => none",
        "restoring => taken_over",
        "takeover timeout",
        "takeover failed",
        "restore ok",
        "restore failed",
        "restore timeout",
        "cancelled",
        "recovered",
        "removed",
        "readdressed",
        "returned",
        "operator",
        "supersedes",
        "resumed",
        "overtaken",
        "paused",
        "events_lost",
        "late_answer",
        "takeover_required",
        "takeover_blocked",
        "not_covered",
        "takeover_failed",
        "restore_failed",
        "restore_possible",
        "both_alive",
        "never_seen",
        "connected_timeout",
        "started_timeout",
        "keep_alive_timeout",
        "normal_shutdown_timeout",
        "abnormal_shutdown_timeout",
        "not_seen_since_start",
        "backup published",
        "backup failed",
        "backup timeout",
        "backup superseded",
        "authorize ok",
        "authorize failed",
        "authorize interrupted",
        "authorized",
        "deauthorize ok",
        "deauthorized",
        "join_cluster ok",
        "daily run",
        "run ended",
        "clock_jump",
        "backup_failed",
        "backup_damaged",
    ];
    for corner in corners {
        let times = reached.get(corner).copied().unwrap_or(0);
        assert!(times >= 5, "{corner} was reached {times} times: {reached:#?}");
    }
}

#[test]
fn from_any_state_every_failed_server_is_covered_in_turn_once_everything_works() {
    let coverage = Coverage::default();
    run(60, 60, &coverage, |world| world.check_that_all_ends_well());
    let times = coverage.0.into_inner().get("ended well").copied().unwrap_or(0);
    assert!(times >= 60, "only {times} servers came to be taken over and restored");
}
