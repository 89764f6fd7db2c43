//! The plain engine and the built library give the same trace: for every scenario file and for 1,000 random scenarios.
//!
//! The engine is driven here by the simplest driver there can be: a list of what was reported, taken in at each poll. So whatever inbox,
//! lock, handles, border and JSON add on the way through the C ABI is shown to change nothing. A seed that fails is replayed by the command
//! that the failure prints.

#[path = "support/polite.rs"]
mod polite;

use std::collections::{BTreeMap, VecDeque};
use std::path::Path;
use std::sync::Arc;

use host_sim::plugin::Plugin;
use host_sim::run::{Happening, Polled, Refusal as RefusalName, Subject, run};
use host_sim::scenario::{Call, EventKind as Event, Mishap, Scenario};
use host_sim::trace::{TraceLine, What as Line, to_json_lines};
use host_sim::{commands, random};
use serde_json::{Value, json};
use vms_failover::config::Config;
use vms_failover::engine::backup::Survey;
use vms_failover::engine::command::{Command, Input, Refusal};
use vms_failover::engine::health::EventKind;
use vms_failover::engine::output::{Archive, Ask, Block, Outcome, Output, What};
use vms_failover::engine::policy::{Policy, ServerKey, ServerPolicy, Timeouts};
use vms_failover::engine::{Engine, Ran};
use vms_failover::time::{Mono, Span};

const SEEDS: u64 = 1000;

/// The plain engine as the subject of a scenario.
struct PlainEngine {
    engine: Engine,
    started: bool,
    config: Config,
    /// Keys of the servers now configured; a key is never given twice.
    keys: BTreeMap<String, ServerKey>,
    names: BTreeMap<ServerKey, String>,
    /// Reported since the last poll.
    reported: Vec<Input>,
    /// The backups of each server, oldest first: number, and whether it is good.
    /// They outlive their server.
    backups: BTreeMap<String, Vec<(u64, bool)>>,
    /// What the engine wants done with files, one thing a poll.
    asks: VecDeque<(ServerKey, Ask)>,
    /// The configuration names a directory for backups that is not there. (A relative one lies in the scenario's folder.)
    no_directory: bool,
}

impl PlainEngine {
    fn new(scenario: &Scenario) -> PlainEngine {
        let config = Config::check(&absolute(&scenario.config)).expect("the scenario's configuration");
        let mut plain = PlainEngine {
            engine: Engine::new(policy(&config, None, &BTreeMap::new()), 1),
            started: false,
            config: Config { monitored_servers: Vec::new(), ..config.clone() },
            keys: BTreeMap::new(),
            names: BTreeMap::new(),
            reported: Vec::new(),
            backups: BTreeMap::new(),
            asks: VecDeque::new(),
            no_directory: false,
        };
        plain.bring_in(config);
        if scenario.prepared {
            plain.prepare();
        }
        plain.take_in(Mono(0), &mut Vec::new());
        plain
    }

    /// In the cluster, every server authorized and backed up.
    fn prepare(&mut self) {
        let joined = Command::Cluster { joined: true, actor: "host".to_owned(), request: 0 };
        self.reported.push(Input::Command(joined));
        for server in self.keys.values().copied().collect::<Vec<_>>() {
            self.backups.insert(self.names[&server].clone(), vec![(1, true)]);
            self.reported.push(Input::Token { server, by: Some(u64::from(server.0)) });
            self.reported.push(Input::Surveyed { server, survey: self.survey(server), found: false });
        }
    }

    fn survey(&self, server: ServerKey) -> Survey {
        let backups = self.backups.get(&self.names[&server]).cloned().unwrap_or_default();
        let newest = backups.iter().rfind(|(_, good)| *good).map(|(number, _)| archive(*number));
        let bad = backups.iter().filter(|(_, good)| !good);
        let damaged = bad.map(|(number, _)| (*number, "damaged".to_owned())).collect();
        Survey { newest, damaged, highest: backups.last().map_or(0, |(number, _)| *number), error: None }
    }

    /// The file worker: what comes of the oldest wish, or of the oldest search.
    fn work_on_files(&mut self) {
        let search = self.asks.iter().position(|(_, ask)| *ask == Ask::Find);
        let Some((server, ask)) = self.asks.remove(search.unwrap_or(0)) else { return };
        match ask {
            Ask::Find => {
                let survey = self.survey(server);
                self.reported.push(Input::Surveyed { server, survey, found: true });
            }
            Ask::Prepare { op, .. } => {
                let file = if self.no_directory { Err("no directory".to_owned()) } else { Ok(format!("/incoming-{op}")) };
                self.reported.push(Input::Prepared { op, result: file });
            }
            Ask::Publish { op, .. } => {
                let kept = self.config.backups_kept as usize;
                let backups = self.backups.entry(self.names[&server].clone()).or_default();
                let number = backups.last().map_or(0, |(number, _)| *number) + 1;
                backups.push((number, true));
                // What is older than the newest good ones to be kept goes.
                let good = backups.iter().rev().filter(|(_, good)| *good).map(|(number, _)| *number);
                let oldest = good.take(kept).last().unwrap_or(0);
                backups.retain(|(number, _)| *number >= oldest);
                self.reported.push(Input::Published { op, result: Ok(archive(number)) });
                let survey = self.survey(server);
                self.reported.push(Input::Surveyed { server, survey, found: false });
            }
            Ask::Survey { .. } | Ask::TidyUp { .. } => {
                let survey = self.survey(server);
                self.reported.push(Input::Surveyed { server, survey, found: false });
            }
            Ask::Discard { op } => self.asks.retain(|(_, ask)| {
                !matches!(ask, Ask::Prepare { op: other, .. } | Ask::Publish { op: other, .. } if *other == op)
            }),
        }
    }

    fn bring_in(&mut self, next: Config) {
        let mut keys = BTreeMap::new();
        for server in &next.monitored_servers {
            let fresh = ServerKey(self.names.len() as u32);
            let key = *self.keys.get(&server.id).unwrap_or(&fresh);
            self.names.insert(key, server.id.clone());
            keys.insert(server.id.clone(), key);
        }
        let policy = policy(&next, Some(&self.config), &keys);
        self.reported.push(Input::Command(Command::Configure(policy)));
        (self.keys, self.config) = (keys, next);
    }

    fn configure(&mut self, document: &Value) -> Result<(), RefusalName> {
        let next = Config::check(&absolute(document)).map_err(|_| "VMSF_ERR_CONFIG".to_owned())?;
        let named = Path::new(document["backup_directory"].as_str().unwrap_or_default());
        for old in &self.config.monitored_servers {
            let stays = next
                .monitored_servers
                .iter()
                .any(|new| (&new.id, &new.host, new.port) == (&old.id, &old.host, old.port));
            let accepted = self.engine.accepts_drop(self.keys[&old.id], self.calls());
            if !stays && accepted.is_err() {
                return Err("VMSF_ERR_CONFIG".to_owned());
            }
        }
        self.no_directory = named.is_absolute() && !named.exists();
        self.bring_in(next);
        Ok(())
    }

    /// The calls accepted since the last poll.
    fn calls(&self) -> impl Iterator<Item = &Command> + Clone {
        self.reported.iter().filter_map(|input| match input {
            Input::Command(command) => Some(command),
            _ => None,
        })
    }

    fn accept(&mut self, command: Command) -> Result<(), RefusalName> {
        self.engine.accepts(self.calls(), &command).map_err(|refusal| code(refusal).to_owned())?;
        self.reported.push(Input::Command(command));
        Ok(())
    }

    fn key(&self, server: &str) -> Result<ServerKey, RefusalName> {
        self.keys.get(server).copied().ok_or_else(|| "VMSF_ERR_NOT_FOUND".to_owned())
    }

    fn take_in(&mut self, now: Mono, out: &mut Vec<Output>) {
        for input in std::mem::take(&mut self.reported) {
            self.engine.take_in(now, input, out);
        }
    }

    fn happening(&self, output: Output) -> Option<Happening> {
        let server = output.server.map(|key| self.names[&key].clone());
        let named = || server.clone().expect("a server");
        let text = str::to_owned;
        Some(Happening::Line(match output.what {
            What::Health { from, to, reason, .. } => {
                let reason = reason.map(|reason| text(reason.name()));
                Line::Health { server: named(), from: text(from.name()), to: text(to.name()), reason }
            }
            What::Takeover { from, to, reason } => Line::Takeover {
                server: named(),
                from: text(from.name()),
                to: text(to.name()),
                reason: Some(text(reason)),
                actor: output.actor.map(|actor| text(actor.name())),
            },
            What::Completed { op, kind, outcome, .. } => {
                Line::Completed { operation: text(kind.name()), op, server, outcome: text(outcome.name()) }
            }
            What::Backup { result, .. } => {
                Line::Backup { server: named(), result: text(if result.is_ok() { "ok" } else { "failed" }) }
            }
            What::Alarm { code, .. } => Line::Alarm { code: text(code.code()), server },
            What::Begin(operation) => {
                return Some(Happening::Begin {
                    op: operation.id,
                    operation: text(operation.kind.name()),
                    server,
                    resumed: operation.resumed,
                });
            }
            What::OperationOver { .. } | What::AlarmEnded { .. } | What::Note(_) | What::Access { .. } => return None,
            What::Cluster { .. } | What::Files(_) => return None,
        }))
    }
}

impl Subject for PlainEngine {
    fn notify(&mut self, at_ns: u64, server: &str, event: Event) -> Result<(), RefusalName> {
        let server = self.key(server)?;
        let kind = EventKind::ALL.into_iter().find(|kind| kind.name() == event.name()).expect("an event");
        self.reported.push(Input::Event { server, kind, at: Mono(at_ns) });
        Ok(())
    }

    fn call(&mut self, _at_ns: u64, call: &Call) -> Result<(), RefusalName> {
        let by = |actor: &Option<String>| actor.clone().unwrap_or_else(|| "operator".to_owned());
        let server = call.server().map(|server| self.key(server)).transpose()?;
        let key = || server.expect("the step names a server");
        let request = self.engine.new_id();
        let command = match call {
            Call::Configure { config } => return self.configure(config),
            Call::Takeover { actor, .. } => Command::Takeover { server: key(), actor: by(actor), request },
            Call::Restore { actor, .. } => Command::Restore { server: key(), actor: by(actor), request },
            Call::Cancel { actor, .. } => Command::Cancel { server: key(), actor: by(actor), request },
            Call::Backup { actor, .. } => Command::Backup { server: key(), actor: by(actor), request },
            Call::BackupAll { actor } => Command::BackupAll { actor: by(actor), request },
            Call::Authorize { actor, .. } => Command::Authorize { server: key(), actor: by(actor), request },
            Call::Deauthorize { actor, .. } => Command::Deauthorize { server: key(), actor: by(actor), request },
            Call::Cluster { joined, actor } => Command::Cluster { joined: *joined, actor: by(actor), request },
        };
        self.accept(command)
    }

    fn complete(&mut self, _at_ns: u64, op: u64, failure: Option<&str>) -> Result<(), RefusalName> {
        let outcome = if failure.is_some() { Outcome::Failed } else { Outcome::Ok };
        let refused = self.accept(Command::Complete { op, outcome, error: failure.map(str::to_owned) });
        if refused.is_err() {
            self.reported.push(Input::LateAnswer { op, outcome });
        }
        refused
    }

    fn befall(&mut self, _at_ns: u64, mishap: &Mishap) -> Result<Vec<Happening>, String> {
        let Mishap::CorruptBackup { server } = mishap else {
            return Err("a life of the plain engine does not end".to_owned());
        };
        self.backups.get_mut(server).and_then(|backups| backups.last_mut()).ok_or("no backup")?.1 = false;
        Ok(Vec::new())
    }

    fn poll(&mut self, now_ns: u64, utc_ms: i64) -> Result<Polled, String> {
        let (now, mut out) = (Mono(now_ns), Vec::new());
        self.work_on_files();
        self.engine.wall_clock_is(now, utc_ms);
        if !std::mem::replace(&mut self.started, true) {
            self.engine.start(now, &mut out);
        }
        self.take_in(now, &mut out);
        self.engine.advance(now, Ran::default(), &mut out);
        let wishes = out.iter().filter_map(|output| match &output.what {
            What::Files(ask) => Some((output.server?, ask.clone())),
            _ => None,
        });
        self.asks.extend(wishes);
        let wake = self.engine.next_wake(now).map_or(u64::MAX, |at| at.0);
        let next_ns = if self.asks.is_empty() { wake } else { now_ns };
        Ok(Polled { next_ns, happenings: out.into_iter().filter_map(|output| self.happening(output)).collect() })
    }
}

fn code(refusal: Refusal) -> &'static str {
    match refusal {
        Refusal::SlotHeld(_) | Refusal::WrongState(_) => "VMSF_ERR_STATE",
        Refusal::Blocked(Block::NotInCluster) => "VMSF_ERR_NOT_IN_CLUSTER",
        Refusal::Blocked(Block::NotAuthorized) => "VMSF_ERR_NOT_AUTHORIZED",
        Refusal::Blocked(Block::NoBackup) => "VMSF_ERR_NO_BACKUP",
        Refusal::Blocked(Block::StateNotWritable) => "VMSF_ERR_IO",
        Refusal::Running(_) | Refusal::BackingUpAll => "VMSF_ERR_BUSY",
        Refusal::NoSuchOperation => "VMSF_ERR_NOT_FOUND",
        Refusal::NoSuchServer => "VMSF_ERR_HANDLE",
    }
}

/// The rules of a configuration, in the engine's units: written a second time, on purpose.
fn policy(config: &Config, before: Option<&Config>, keys: &BTreeMap<String, ServerKey>) -> Policy {
    let s = Span::seconds;
    let moved = |id: &str, host: &str, port: u16| {
        let old = before.and_then(|before| before.monitored_servers.iter().find(|old| old.id == id));
        old.is_some_and(|old| old.host != host || old.port != port)
    };
    let servers = config.monitored_servers.iter().filter_map(|server| {
        let readdressed = moved(&server.id, &server.host, server.port);
        Some(ServerPolicy { key: *keys.get(&server.id)?, priority: server.priority, readdressed })
    });
    Policy {
        timeouts: Timeouts {
            connected: s(config.timeouts.connected_s),
            started: s(config.timeouts.started_s),
            keep_alive: s(config.timeouts.keep_alive_s),
            normal_shutdown: s(config.timeouts.normal_shutdown_s),
            abnormal_shutdown: s(config.timeouts.abnormal_shutdown_s),
        },
        automatic_takeover: config.automatic_takeover,
        automatic_restore: config.automatic_restore,
        takeover_timeout: s(config.takeover_timeout_s),
        restore_timeout: s(config.restore_timeout_s),
        restore_stable: s(config.restore_stable_s),
        backup_timeout: s(config.backup_timeout_s),
        operation_timeout: s(config.operation_timeout_s),
        daily_backup: config.daily_backup,
        host_revokes: true,
        backup_time_ms: {
            let digits = |range: std::ops::Range<usize>| config.backup_time_utc[range].parse::<i64>().expect("HH:MM");
            (digits(0..2) * 60 + digits(3..5)) * 60_000
        },
        pause_tolerance: s(config.pause_tolerance_s),
        servers: servers.collect(),
    }
}

fn archive(number: u64) -> Archive {
    let (path, time) = (format!("/{number}.backup"), String::new());
    Archive { number, path, size: 1, sha256: String::new(), time }
}

fn absolute(document: &Value) -> Value {
    let mut document = document.clone();
    for key in ["backup_directory", "store_path"] {
        document[key] = json!(std::env::temp_dir().join(key));
    }
    document
}

fn through_library(plugin: &Arc<Plugin>, scenario: &Scenario) -> String {
    match commands::trace_of(plugin, scenario) {
        Ok(trace) => to_json_lines(&trace),
        Err(failure) => panic!("'{}': {}\n{}", scenario.name, failure.text, to_json_lines(&failure.trace)),
    }
}

fn through_engine(scenario: &Scenario) -> Vec<TraceLine> {
    run(scenario, &mut PlainEngine::new(scenario)).unwrap_or_else(|error| panic!("'{}': {error}", scenario.name))
}

/// None if both traces are the same; else where they part.
fn difference(plugin: &Arc<Plugin>, scenario: &Scenario) -> Option<String> {
    let (library, engine) = (through_library(plugin, scenario), to_json_lines(&through_engine(scenario)));
    if library == engine {
        return None;
    }
    let same = library.lines().zip(engine.lines()).take_while(|(a, b)| a == b).count();
    let (library, engine) = (library.lines().nth(same), engine.lines().nth(same));
    Some(format!("line {}: library {}\n  engine {}", same + 1, library.unwrap_or("ends"), engine.unwrap_or("ends")))
}

#[test]
fn engine_and_library_give_the_same_trace_for_every_scenario_file() {
    let plugin = polite::plugin();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("host-sim/scenarios");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let mut compared = 0;
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let scenario = Scenario::parse(&file.display().to_string(), &text).unwrap_or_else(|bad| panic!("{bad}"));
        if scenario.has_several_lives() {
            continue;
        }
        if let Some(difference) = difference(&plugin, &scenario) {
            panic!("{}: {difference}", file.display());
        }
        compared += 1;
    }
    assert!(compared >= 65, "{compared} scenario files with one life");
}

#[test]
fn engine_and_library_give_the_same_trace_for_random_scenarios() {
    let plugin = polite::plugin();
    let seeds = match std::env::var("SEED") {
        Ok(seed) => vec![seed.parse().expect("SEED is a number")],
        Err(_) => (0..SEEDS).collect::<Vec<u64>>(),
    };
    let mut lines = BTreeMap::<&str, usize>::new();
    for seed in &seeds {
        let scenario = random::scenario(*seed);
        for line in through_engine(&scenario) {
            *lines.entry(kind(&line)).or_default() += 1;
        }
        if let Some(difference) = difference(&plugin, &scenario) {
            panic!(
                "seed {seed}: {difference}\nreplay: SEED={seed} cargo test --test simulation\nlook at it: cargo run -p host-sim -- random --seed {seed}"
            );
        }
    }
    // Scenarios in which nothing happens would agree, too.
    if seeds.len() > 1 {
        for kind in ["health", "takeover", "operation", "completed", "alarm", "refused"] {
            assert!(lines.get(kind).is_some_and(|count| *count >= 1000), "{kind}: {lines:?}");
        }
    }
}

fn kind(line: &TraceLine) -> &'static str {
    match &line.what {
        Line::Health { .. } => "health",
        Line::Takeover { .. } => "takeover",
        Line::Operation { .. } => "operation",
        Line::Completed { .. } => "completed",
        Line::Alarm { .. } => "alarm",
        Line::Refused { .. } => "refused",
        Line::Backup { .. } => "backup",
        Line::Ready { .. } => "ready",
    }
}
