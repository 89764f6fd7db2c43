//! A life: a real host process with the plugin in worker mode that does everything at once, until it is killed.
//!
//! One thread acts: it reports messages, calls and answers at random, by the seed. Started by the storm, which reads its facts and ends
//! it; it also ends when the storm does.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use vms_failover_abi as abi;

use super::fact::Fact;
use crate::plugin::{CallError, Caller, CreateOptions, Event, Host, Instance, Mode, Operation, Plugin};

/// Older than the keep-alive timeout: a server last heard then has failed.
const LONG_AGO_NS: u64 = 31_000_000_000;
/// How long the last life gives what was accepted to take effect.
const LAST_WORDS: Duration = Duration::from_millis(500);
const PAGE: u32 = 1_000;

/// Arguments of a life, given by the storm.
#[derive(Debug, Clone, clap::Args)]
pub struct LifeArgs {
    /// The state directory.
    #[arg(long)]
    pub folder: PathBuf,
    /// What it does.
    #[arg(long)]
    pub seed: u64,
    /// The plugin library.
    #[arg(long)]
    pub library: PathBuf,
    /// The last one: calls nothing, tells the whole log, and ends.
    #[arg(long)]
    pub last: bool,
}

fn tell(fact: &Fact) {
    let mut line = serde_json::to_string(fact).unwrap_or_default();
    line.push('\n');
    // Nobody reads any more: the storm is over.
    if io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(1);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What callbacks and the acting thread share.
#[derive(Default)]
struct Shared {
    /// Begun and not answered in this life.
    open: Mutex<Vec<u64>>,
    caller: OnceLock<Caller>,
}

struct Told(Arc<Shared>);

impl Host for Told {
    fn event(&self, event: Event) {
        tell(&Fact::Event { seq: event.seq, json: event.json });
    }

    fn begin(&self, operation: Operation) {
        let request: Value = serde_json::from_str(&operation.json).unwrap_or_default();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        tell(&Fact::Begin {
            op: operation.id,
            operation: text(&request["operation"]),
            server: text(&request["server"]["id"]),
            resumed: operation.flags & abi::VMSF_OP_RESUMED != 0,
        });
        // Now and then answered in here, which promises nothing about the disk.
        if let Some(caller) = self.0.caller.get().filter(|_| operation.id.is_multiple_of(5)) {
            tell(&Fact::Answering { op: operation.id, ok: true });
            if let Err(error) = caller.complete(operation.id, abi::VMSF_OUTCOME_OK, "", &[]) {
                tell(&Fact::AnswerRefused { op: operation.id, error: error.name });
            }
        } else {
            lock(&self.0.open).push(operation.id);
        }
    }
}

fn configuration(servers: &[&str]) -> Value {
    let server = |id: &&str| json!({ "id": id, "host": format!("{id}.example") });
    json!({
        "schema": 1, "backup_directory": "/nowhere/backups", "store_path": "/nowhere/video",
        "takeover_timeout_s": 3600, "restore_timeout_s": 3600,
        "monitored_servers": servers.iter().map(server).collect::<Vec<_>>(),
    })
}

/// Runs one life.
#[must_use]
pub fn run(args: &LifeArgs) -> u8 {
    // The storm holds the other end: nobody outlives it.
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    match live(args) {
        Ok(()) => super::OK,
        Err(error) => {
            tell(&Fact::Fault { text: format!("{error:#}") });
            super::MISSED
        }
    }
}

fn live(args: &LifeArgs) -> Result<()> {
    let plugin = Plugin::load(&args.library)?;
    let shared = Arc::new(Shared::default());
    let create = |config| {
        let options = CreateOptions::new(&args.folder, config);
        Instance::create(&plugin, Mode::Worker, &options, Box::new(Told(Arc::clone(&shared))))
    };
    let mut instance = match create(None) {
        // Killed before the first configuration was kept.
        Err(error) if error.code == abi::VMSF_ERR_CONFIG => create(Some(configuration(&["a", "b", "c"])))?,
        created => created?,
    };
    let _ = shared.caller.set(instance.caller());
    let config: Value = serde_json::from_str(&instance.config()?)?;
    let servers = config["monitored_servers"].as_array().context("no servers")?;
    let servers: Vec<String> = servers.iter().filter_map(|server| server["id"].as_str().map(str::to_owned)).collect();
    tell(&Fact::Started { servers: servers.clone() });
    instance.start()?;
    if !args.last {
        act(&instance, &shared, args.seed, servers.iter().any(|id| id == "d"))?;
    }
    std::thread::sleep(LAST_WORDS);
    instance.stop(10_000)?;
    tell_log(&instance)?;
    instance.destroy()?;
    tell(&Fact::Ended {});
    Ok(())
}

/// The whole stored log.
fn tell_log(instance: &Instance) -> Result<()> {
    let mut since = 0;
    loop {
        let page: Value = serde_json::from_str(&instance.log(since, PAGE)?)?;
        let entries = page["entries"].as_array().context("a page without entries")?;
        entries.iter().for_each(|entry| tell(&Fact::Logged { json: entry.to_string() }));
        match page["next_seq"].as_u64() {
            Some(next) if !entries.is_empty() && next > since => since = next,
            _ => return Ok(()),
        }
    }
}

fn act(instance: &Instance, shared: &Shared, seed: u64, mut with_d: bool) -> Result<()> {
    let mut rng = fastrand::Rng::with_seed(seed);
    let (began, mut calls) = (Instant::now(), 0_u32);
    while began.elapsed() < Duration::from_secs(60) {
        let id = ["a", "b", "c", "d"][rng.usize(0..4)];
        let server = instance.server(id);
        match (rng.u32(0..100), server) {
            (0..50, Ok(server)) => {
                calls += 1;
                let actor = format!("{seed:x}-{calls}");
                let by = json!({ "actor": actor }).to_string();
                let call = ["takeover", "restore", "cancel"][rng.usize(0..3)];
                tell(&Fact::Calling { call: call.into(), server: id.into(), actor: actor.clone() });
                let result: Result<Option<u64>, CallError> = match call {
                    "takeover" => instance.takeover(server, &by).map(Some),
                    "restore" => instance.restore(server, &by).map(Some),
                    _ => instance.cancel(server, &by).map(|()| None),
                };
                tell(&match result {
                    Ok(request) => Fact::Accepted { actor, request },
                    Err(error) => Fact::Refused { actor, error: error.name },
                });
            }
            (50..75, _) => {
                let op = lock(&shared.open).pop();
                if let Some(op) = op {
                    answer(instance, op, rng.u32(0..3) > 0);
                }
            }
            (75..92, Ok(server)) => {
                let at = if rng.bool() { instance.now_ns()?.saturating_sub(LONG_AGO_NS).max(1) } else { 0 };
                // A list that is full says so; the newest is kept.
                let _ = instance.notify(server, abi::VMSF_NOTIFY_KEEP_ALIVE, at);
            }
            (92..97, _) => {
                with_d = !with_d;
                let ids: &[&str] = if with_d { &["a", "b", "c", "d"] } else { &["a", "b", "c"] };
                tell(&Fact::Configuring { servers: ids.iter().map(|id| (*id).to_owned()).collect() });
                let accepted = instance.configure(&configuration(ids).to_string(), false).is_ok();
                with_d ^= !accepted;
                tell(&Fact::Configured { accepted });
            }
            _ => std::thread::sleep(Duration::from_micros(rng.u64(0..2_000))),
        }
    }
    bail!("nobody killed it")
}

fn answer(instance: &Instance, op: u64, ok: bool) {
    tell(&Fact::Answering { op, ok });
    let outcome = if ok { abi::VMSF_OUTCOME_OK } else { abi::VMSF_OUTCOME_FAILED };
    tell(&match instance.complete(op, outcome, "", &[]) {
        Ok(()) => Fact::Answered { op },
        Err(error) => Fact::AnswerRefused { op, error: error.name },
    });
}
