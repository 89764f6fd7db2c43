//! What is measured in a process of its own, since only a fresh one can tell: the first load of the library, its memory, its instructions.
//!
//! The benchmark starts this program again with the command `bench-part` and reads one line of JSON from it.

use std::hint::black_box;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use serde_json::json;
use vms_failover_abi as abi;

use super::decision::state_bytes;
use super::measure::{durable_write, now_ns, status_of_process};
use super::rig::{Rig, config};
use super::{BAD, OK};
use crate::plugin::{CreateOptions, Event, Host, Instance, Mode, Operation, Plugin};

/// The command of the program.
const COMMAND: &str = "bench-part";
const STOP_MS: u32 = 60_000;
/// The longest keep-alive timeout: nobody fails while memory is looked at.
const KEEP_ALIVE_S: u64 = 300;

/// Arguments of a part, given by the benchmark.
#[derive(Debug, Clone, clap::Args)]
pub struct PartArgs {
    /// The plugin library.
    #[arg(long = "library")]
    pub plugin: PathBuf,
    /// Where its files are.
    #[arg(long)]
    pub folder: PathBuf,
    /// Servers, threads, bytes or calls.
    #[arg(long, default_value_t = 0)]
    pub count: usize,
    /// Bytes of the state.
    #[arg(long, default_value_t = 0)]
    pub bytes: usize,
    /// Which part.
    #[arg(long, value_enum)]
    pub part: Part,
}

/// What a process of its own does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Part {
    /// Loads, creates, starts; stops, destroys.
    Life,
    /// Loads, spawns as many threads, ends them, and writes the state twice.
    Bare,
    /// Keeps a configuration with so many servers for `Memory`.
    Keep,
    /// All of them keep alive.
    Memory,
    /// Reports so many keep-alives.
    KeepAlives,
    /// Reads the clock and stores it so many times, beside the same rig.
    Stores,
}

/// What a part tells.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub struct Told {
    /// The library loaded, in ms.
    pub load_ms: f64,
    /// Loaded, created, started; or loaded, and threads spawned.
    pub start_ms: f64,
    /// Stopped and destroyed; or threads ended.
    pub stop_ms: f64,
    /// Writing the state.
    pub write_ms: f64,
    /// Threads that it started.
    pub threads: u64,
    /// Size of the state on disk.
    pub state_bytes: usize,
    /// Resident memory, and the most there was of it.
    pub resident_kb: u64,
    /// The most there was of it.
    pub peak_kb: u64,
}

/// Runs a part in a fresh process.
pub fn fresh(plugin: &Plugin, part: Part, folder: &Path, count: usize, bytes: usize) -> Result<Told> {
    let mut command = Command::new(std::env::current_exe()?);
    let output = arguments(&mut command, plugin, part, folder, count).arg("--bytes").arg(bytes.to_string()).output()?;
    if !output.status.success() {
        bail!("a process that measures failed: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    serde_json::from_slice(&output.stdout).context("a process that measures told nothing")
}

/// The arguments of such a process.
pub fn arguments<'a>(
    command: &'a mut Command,
    plugin: &Plugin,
    part: Part,
    folder: &Path,
    count: usize,
) -> &'a mut Command {
    let name = clap::ValueEnum::to_possible_value(&part).map(|value| value.get_name().to_owned()).unwrap_or_default();
    command.args([COMMAND, "--part", &name, "--count", &count.to_string()]);
    command.arg("--library").arg(plugin.path()).arg("--folder").arg(folder)
}

/// Runs a part; gives the exit status.
#[must_use]
pub fn run(args: &PartArgs) -> u8 {
    let told = match args.part {
        Part::Life => life(args),
        Part::Bare => bare(args),
        Part::Keep => keep(args),
        Part::Memory => memory(args),
        Part::KeepAlives => with_a_server(args, |rig| rig.keep_alive(rig.servers[0], 0)),
        Part::Stores => {
            let cell = AtomicU64::new(0);
            with_a_server(args, |_| {
                cell.store(black_box(now_ns()), Ordering::Release);
                Ok(())
            })
        }
    };
    let told = told.and_then(|told| Ok(serde_json::to_writer(io::stdout().lock(), &told)?));
    match told {
        Ok(()) => OK,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            BAD
        }
    }
}

/// A host with nothing to do.
struct Idle;

impl Host for Idle {
    fn event(&self, _: Event) {}

    fn begin(&self, _: Operation) {}
}

fn ms_since(began: u64) -> f64 {
    (now_ns() - began) as f64 / 1e6
}

fn life(args: &PartArgs) -> Result<Told> {
    let state = args.folder.join("state");
    let options = CreateOptions::new(&state, Some(config(&args.folder, args.count)));
    let alone = status_of_process("Threads")?;
    let began = now_ns();
    let plugin = Plugin::load(&args.plugin)?;
    let load_ms = ms_since(began);
    let mut instance = Instance::create(&plugin, Mode::Worker, &options, Box::new(Idle))?;
    instance.start()?;
    let start_ms = ms_since(began);
    let threads = status_of_process("Threads")? - alone;
    let began = now_ns();
    instance.stop(STOP_MS)?;
    instance.destroy()?;
    let stop_ms = ms_since(began);
    Ok(Told { load_ms, start_ms, stop_ms, threads, state_bytes: state_bytes(&state)?, ..Told::default() })
}

fn bare(args: &PartArgs) -> Result<Told> {
    let began = now_ns();
    let _plugin = Plugin::load(&args.plugin)?;
    let load_ms = ms_since(began);
    let gate = Arc::new((Mutex::new(false), Condvar::new()));
    let wait = |gate: Arc<(Mutex<bool>, Condvar)>| {
        let closed = gate.0.lock().unwrap_or_else(PoisonError::into_inner);
        drop(gate.1.wait_while(closed, |open| !*open));
    };
    let threads: Vec<_> = (0..args.count)
        .map(|_| {
            let gate = Arc::clone(&gate);
            std::thread::spawn(move || wait(gate))
        })
        .collect();
    let start_ms = ms_since(began);
    // They are asleep by then, as the plugin's are.
    std::thread::sleep(Duration::from_millis(5));
    let began = now_ns();
    *gate.0.lock().unwrap_or_else(PoisonError::into_inner) = true;
    gate.1.notify_all();
    for thread in threads {
        ensure!(thread.join().is_ok(), "a thread panicked");
    }
    let stop_ms = ms_since(began);
    let writes = [durable_write(&args.folder, args.bytes)?, durable_write(&args.folder, args.bytes)?];
    Ok(Told { load_ms, start_ms, stop_ms, write_ms: (writes[0] + writes[1]) / 2.0, ..Told::default() })
}

fn keep(args: &PartArgs) -> Result<Told> {
    let mut document = config(&args.folder, args.count);
    document["timeouts"] = json!({ "keep_alive_s": KEEP_ALIVE_S });
    let plugin = Plugin::load(&args.plugin)?;
    Instance::create(&plugin, Mode::Worker, &lasting(args, Some(document)), Box::new(Idle))?.destroy()?;
    Ok(Told::default())
}

fn lasting(args: &PartArgs, config: Option<serde_json::Value>) -> CreateOptions {
    let mut options = CreateOptions::new(args.folder.join("state"), config);
    options.durability = Some("none".into());
    options
}

/// Counts those that keep alive, and keeps nothing.
struct Count(Arc<AtomicUsize>);

impl Host for Count {
    fn event(&self, event: Event) {
        if event.kind == abi::VMSF_EVENT_HEALTH {
            self.0.fetch_add(1, Ordering::AcqRel);
        }
    }

    fn begin(&self, _: Operation) {}
}

fn memory(args: &PartArgs) -> Result<Told> {
    let alone = status_of_process("Threads")?;
    let plugin = Plugin::load(&args.plugin)?;
    let counted = Arc::default();
    // The kept configuration, so that the host's own copy of it is not counted.
    let host = Box::new(Count(Arc::clone(&counted)));
    let instance = Instance::create(&plugin, Mode::Worker, &lasting(args, None), host)?;
    instance.start()?;
    let (mut last, mut seen) = (0, 0);
    while let Some(server) = instance.next_server(last)? {
        instance.notify(server, abi::VMSF_NOTIFY_KEEP_ALIVE, 0)?;
        (last, seen) = (server, seen + 1);
    }
    ensure!(seen == args.count, "{seen} servers instead of {}", args.count);
    while counted.load(Ordering::Acquire) < args.count {
        std::thread::sleep(Duration::from_millis(1));
    }
    let threads = status_of_process("Threads")? - alone;
    let (resident_kb, peak_kb) = (status_of_process("VmRSS")?, status_of_process("VmHWM")?);
    Ok(Told { threads, resident_kb, peak_kb, ..Told::default() })
}

fn with_a_server(args: &PartArgs, call: impl Fn(&Rig) -> Result<()>) -> Result<Told> {
    let plugin = Plugin::load(&args.plugin)?;
    let rig = Rig::start(&plugin, 1)?;
    rig.revive(|_| 0)?;
    for _ in 0..args.count {
        call(&rig)?;
    }
    Ok(Told::default())
}
