//! The engine's own tests: one file per concern, stories told as lines of text, time in whole seconds.

mod access;
mod backup;
mod daily;
mod health;
mod properties;
mod restore;
mod takeover;
mod timing;

use super::backup::Survey;
use super::command::{Command, Input};
use super::health::EventKind;
use super::output::{Alarm, Archive, Ask, Cause, Outcome, Output, TakeoverState, What};
use super::policy::{Policy, ServerKey, ServerPolicy, Timeouts};
use super::{Engine, Ran};
use crate::time::{Mono, SECOND_NS, Span};

const NAMES: [&str; 5] = ["a", "b", "c", "d", "e"];
const A: ServerKey = ServerKey(0);
const B: ServerKey = ServerKey(1);
const C: ServerKey = ServerKey(2);
/// The operation that brought a token of old.
const OF_OLD: u64 = 1 << 40;

/// Five different lengths, so that no mix-up stays unseen.
const TIMEOUTS: Timeouts = Timeouts {
    connected: Span::seconds(300),
    started: Span::seconds(400),
    keep_alive: Span::seconds(30),
    normal_shutdown: Span::seconds(900),
    abnormal_shutdown: Span::seconds(500),
};

fn at(seconds: u64) -> Mono {
    Mono(seconds * SECOND_NS)
}

fn policy(servers: usize) -> Policy {
    let server = |i| ServerPolicy { key: ServerKey(i), priority: 100, readdressed: false };
    Policy {
        timeouts: TIMEOUTS,
        automatic_takeover: true,
        automatic_restore: true,
        takeover_timeout: Span::seconds(600),
        restore_timeout: Span::seconds(300),
        backup_timeout: Span::seconds(200),
        operation_timeout: Span::seconds(50),
        daily_backup: true,
        host_revokes: true,
        backup_time_ms: 2 * 3_600_000,
        restore_stable: Span::seconds(60),
        pause_tolerance: Span::seconds(2),
        servers: (0..servers as u32).map(server).collect(),
    }
}

fn archive(number: u64) -> Archive {
    let (path, time) = (format!("/b/{number}.backup"), "2026-01-01T00:00:00Z".into());
    Archive { number, path, size: 7, sha256: "00".repeat(32), time }
}

/// There is this backup, or none.
fn survey(newest: Option<u64>) -> Survey {
    Survey { newest: newest.map(archive), highest: newest.unwrap_or(0), ..Survey::default() }
}

/// An engine, its clock, and what it has said since it was last asked. It answers at once when a backup is looked for.
struct Rig {
    engine: Engine,
    now: Mono,
    out: Vec<(Mono, Output)>,
    /// The servers that have a backup.
    backed_up: Vec<ServerKey>,
}

impl Rig {
    /// Started at 0, in the cluster, every server authorized and backed up.
    fn new(servers: usize) -> Rig {
        Rig::with(policy(servers))
    }

    fn with(policy: Policy) -> Rig {
        let keys: Vec<ServerKey> = policy.servers.iter().map(|server| server.key).collect();
        let mut rig = Rig { engine: Engine::new(policy, 1), now: Mono(0), out: Vec::new(), backed_up: keys.clone() };
        rig.take_in(joins(true));
        keys.into_iter().for_each(|server| rig.give(server, true, true));
        rig.out.clear();
        rig.start();
        rig
    }

    /// Started at 0, and nothing is as it should be.
    fn bare(servers: usize) -> Rig {
        let engine = Engine::new(policy(servers), 1);
        let mut rig = Rig { engine, now: Mono(0), out: Vec::new(), backed_up: Vec::new() };
        rig.start();
        rig.said();
        rig
    }

    /// With these servers keeping alive at 0.
    fn alive(servers: usize) -> Rig {
        Rig::alive_with(policy(servers))
    }

    fn alive_with(policy: Policy) -> Rig {
        let servers = policy.servers.len() as u32;
        let mut rig = Rig::with(policy);
        (0..servers).for_each(|i| rig.event(ServerKey(i), EventKind::KeepAlive));
        rig.said();
        rig
    }

    /// With `a` taken over since 30, its failure's instant.
    fn taken_over(policy: Policy) -> Rig {
        let mut rig = Rig::alive_with(policy);
        rig.to(30);
        rig.answer(1, Outcome::Ok);
        assert_eq!(rig.state(A), TakeoverState::TakenOver);
        rig.said();
        rig
    }

    fn start(&mut self) {
        let mut out = Vec::new();
        self.engine.start(self.now, &mut out);
        self.keep(out);
        self.advance(Ran::default());
    }

    fn restart(&mut self) {
        self.engine.stop();
        self.start();
    }

    fn take_in(&mut self, input: Input) {
        let mut out = Vec::new();
        self.engine.take_in(self.now, input, &mut out);
        self.keep(out);
    }

    fn advance(&mut self, ran: Ran) {
        let mut out = Vec::new();
        self.engine.advance(self.now, ran, &mut out);
        let sought = out.iter().find(|output| output.what == What::Files(Ask::Find)).and_then(|output| output.server);
        self.keep(out);
        if let Some(server) = sought {
            let survey = survey(self.backed_up.contains(&server).then_some(1));
            self.take_in(Input::Surveyed { server, survey, found: true });
            self.advance(Ran::default());
        }
    }

    fn give(&mut self, server: ServerKey, authorized: bool, backup: bool) {
        self.backed_up.retain(|key| *key != server);
        self.backed_up.extend(backup.then_some(server));
        self.take_in(Input::Token { server, by: authorized.then_some(OF_OLD + u64::from(server.0)) });
        self.take_in(Input::Surveyed { server, survey: survey(backup.then_some(1)), found: false });
    }

    fn hand_in(&mut self, input: Input) {
        self.take_in(input);
        self.advance(Ran::default());
    }

    fn accepts(&self, command: &Command) -> Result<(), super::command::Refusal> {
        self.engine.accepts(std::iter::empty(), command)
    }

    fn event(&mut self, server: ServerKey, kind: EventKind) {
        self.hand_in(Input::Event { server, kind, at: self.now });
    }

    fn command(&mut self, command: Command) {
        self.hand_in(Input::Command(command));
    }

    /// Calls, as an operator does: what is refused is not handed in.
    fn takeover(&mut self, server: ServerKey) {
        let command = Command::Takeover { server, actor: "eve".into(), request: 1000 };
        if self.accepts(&command).is_ok() {
            self.command(command);
        }
    }

    fn restore(&mut self, server: ServerKey) {
        self.command(Command::Restore { server, actor: "eve".into(), request: 1001 });
    }

    fn cancel(&mut self, server: ServerKey) {
        self.command(Command::Cancel { server, actor: "eve".into(), request: 1002 });
    }

    fn answer(&mut self, op: u64, outcome: Outcome) {
        self.command(Command::Complete { op, outcome, error: None });
    }

    fn configure(&mut self, change: impl FnOnce(&mut Policy)) {
        let mut policy = self.engine.policy().clone();
        change(&mut policy);
        self.command(Command::Configure(policy));
    }

    fn facts(&mut self, server: ServerKey, authorized: bool, backup: bool) {
        self.give(server, authorized, backup);
        self.advance(Ran::default());
    }

    fn cluster(&mut self, joined: bool) {
        self.hand_in(joins(joined));
    }

    /// Lets time pass as a driver does: never later than asked for.
    fn to(&mut self, seconds: u64) {
        let end = at(seconds);
        while let Some(wake) = self.engine.next_wake(self.now).filter(|wake| *wake <= end) {
            assert!(wake > self.now, "a wake-up at {wake:?} that does not move forward");
            self.now = wake;
            self.advance(Ran::default());
        }
        self.now = end;
        self.advance(Ran::default());
    }

    /// The same, while `server` keeps alive every 10 s.
    fn alive_until(&mut self, server: ServerKey, seconds: u64) {
        while self.now < at(seconds) {
            let next = (self.now + Span::seconds(10)).min(at(seconds));
            self.to(next.0 / SECOND_NS);
            self.event(server, EventKind::KeepAlive);
        }
    }

    fn keep(&mut self, out: Vec<Output>) {
        let now = self.now;
        self.out.extend(out.into_iter().map(|output| (now, output)));
    }

    /// What was said since the last call, notes left out.
    fn said(&mut self) -> Vec<String> {
        std::mem::take(&mut self.out).iter().filter_map(|(at, output)| line(*at, output)).collect()
    }

    /// The same, only lines with one of these words.
    fn said_of(&mut self, words: &[&str]) -> Vec<String> {
        let mut said = self.said();
        said.retain(|line| words.iter().any(|word| line.contains(word)));
        said
    }

    fn state(&self, server: ServerKey) -> TakeoverState {
        self.engine.takeover_state(server).expect("a known server")
    }

    fn deadline(&self, server: ServerKey) -> Option<u64> {
        self.engine.deadline(server).map(|Mono(ns)| ns / SECOND_NS)
    }

    fn stands(&self, server: ServerKey, alarm: Alarm) -> bool {
        self.engine.stands(server, alarm)
    }
}

fn joins(joined: bool) -> Input {
    Input::Command(Command::Cluster { joined, actor: "eve".into(), request: 1003 })
}

fn line(Mono(ns): Mono, output: &Output) -> Option<String> {
    let who = output.server.map_or("-", |key| NAMES[key.index()]);
    let what = match &output.what {
        What::Health { from, to, reason, .. } => {
            let why = reason.map_or(String::new(), |reason| format!(" {}", reason.name()));
            format!("{} -> {}{why}", from.name(), to.name())
        }
        What::Takeover { from, to, reason } => format!("{} => {} {reason}", from.name(), to.name()),
        What::Begin(op) => {
            let more = if op.resumed { " resumed" } else { "" };
            let undo = if op.supersedes.is_empty() { String::new() } else { format!(" undo {:?}", op.supersedes) };
            format!("begin {} {} attempt {}{more}{undo}", op.kind.name(), op.id, op.attempt)
        }
        What::Completed { op, outcome, .. } => format!("completed {op} {}", outcome.name()),
        What::OperationOver { op, .. } => format!("over {op}"),
        What::Alarm { code, cause: Cause::Block(block) } => format!("alarm {} {}", code.code(), block.name()),
        What::Alarm { code, cause: Cause::Holder(key) } => format!("alarm {} {}", code.code(), NAMES[key.index()]),
        What::Alarm { code, .. } => format!("alarm {}", code.code()),
        What::AlarmEnded { code } => format!("ended {}", code.code()),
        What::Backup { op, result: Ok(archive) } => format!("backup {op} ok {}", archive.number),
        What::Backup { op, result: Err(why) } => format!("backup {op} failed {why}"),
        What::Access { by, .. } => format!("access {}", by.is_some()),
        What::Cluster { joined } => format!("cluster {joined}"),
        What::Files(Ask::Prepare { op, last_number }) => format!("prepare {op} after {last_number}"),
        What::Files(Ask::Publish { op, file }) => format!("publish {op} {file}"),
        What::Files(Ask::Discard { op }) => format!("discard {op}"),
        What::Files(Ask::Find | Ask::Survey { .. } | Ask::TidyUp { .. }) | What::Note(_) => return None,
    };
    Some(format!("{} {who} {what}", ns / SECOND_NS))
}
