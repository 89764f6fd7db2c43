//! `host-sim demo`: the plugin's whole job, with real processes.
//!
//! A failover server and four monitored recording servers run as child processes that speak over TCP on the loopback network,
//! each machine at an address of its own. The failover host logs in at each and backs its settings up. One server crashes, one loses power, one is stopped and does not come back in time,
//! one hangs. The plugin notices each by the right timer and has them taken over, one at a time; the originals come back and have
//! their roles restored. In the middle of the last takeover the failover host is killed; a new process goes on. Clients look on before, during and after. Time runs faster than life, and the same for all.
//!
//! ```text
//! director (this process)            story, clients, screen
//!  ├─ failover host                  the plugin, through crate::plugin; hears servers at 127.0.0.10
//!  │   └─ stand-in                   a server process with a lost server's settings, at 127.0.0.20
//!  └─ supervisor, four times         reports an exit with an error, as a service manager does
//!      └─ server                     records, answers clients, sends keep-alives; at 127.0.0.11 to .14
//! ```
//!
//! | file | what |
//! |---|---|
//! | `cast` | who plays, what becomes of whom, every duration, the configuration |
//! | `director`, `stage` | the story; its processes, their news, waiting |
//! | `failover`, `takeover` | the role of the failover host; what it does when the plugin asks |
//! | `server`, `supervisor` | the other two roles |
//! | `protocol`, `http`, `report` | what servers say to the failover host, clients to servers, the failover host to the director |
//! | `recording`, `archive` | files: segments and their gaps, settings archives |
//! | `world`, `narrator`, `timeline`, `summary` | what is known; in words; on the screen; the verdict |
//! | `clock`, `process` | the common clock; children that cannot outlive the demo |
//!
//! Nothing is left behind: all files are below one temporary folder, removed at the end and after a signal, and every child is
//! killed by the system when its parent goes (so after a `kill -9` of the director only that folder is left). It runs on Linux, which has the whole of 127.0.0.0/8 and that promise.

mod archive;
mod cast;
mod clock;
mod director;
mod failover;
mod http;
mod narrator;
mod process;
mod protocol;
mod recording;
mod report;
mod server;
mod stage;
mod summary;
mod supervisor;
mod takeover;
mod timeline;
mod world;

use std::path::PathBuf;

use anyhow::{Context, Result};
use cast::{CAST, DEFAULT_PORT, FAILOVER_CLIENTS, FAILOVER_SERVERS, Pace};
use clock::SimClock;
use stage::{Inbox, Interrupted, Places, Stage};
use summary::{Summary, sum_up};
use timeline::{Entry, Screen, Severity};

/// Faster than this, two seconds of the machine's time no longer fit into the longest keep-alive timeout.
pub const MAX_SPEED: u64 = 120;
/// What to do about a port in use.
const PORT_ADVICE: &str = "choose another port with --port";
/// Exit status when the demo could not begin.
const NO_BEGIN: u8 = 2;

/// The subcommands of the demo: the one for people, and the roles that it starts.
#[derive(Debug, Clone, clap::Subcommand)]
pub enum Command {
    /// Watch the plugin take four lost servers over, with real processes, in under a minute
    #[command(after_help = HELP)]
    Demo(DemoArgs),
    /// The role of the failover host.
    #[command(hide = true)]
    DemoFailover(failover::FailoverArgs),
    /// The role of a supervisor.
    #[command(hide = true)]
    DemoSupervisor(supervisor::SupervisorArgs),
    /// The role of a recording server.
    #[command(hide = true)]
    DemoServer(server::ServerArgs),
}

const HELP: &str = "\
One server crashes, one loses power, one is stopped and does not come back in time, one hangs. Each is noticed by its timer,
taken over while the others wait, and restored when it is back. In the middle of the last takeover the failover host itself is
killed and started again. Everything is removed at the end, also after Ctrl-C.

Examples:
  host-sim demo
  host-sim demo --json > demo.jsonl
  host-sim demo --keep ./demo-files    then look at recordings, backups, state and logs there

Exit status:
  0    everything happened as it must
  1    something did not; the summary says what
  2    it could not begin: bad command line, a port in use, or no plugin
  130  ended by Ctrl-C (128 and the number of the signal)";

impl Command {
    /// Runs it; gives the exit status.
    #[must_use]
    pub fn run(&self) -> u8 {
        let (outcome, otherwise) = match self {
            Self::Demo(args) => (demo(args), NO_BEGIN),
            Self::DemoFailover(args) => (failover::run(args).map(|()| 0), 1),
            Self::DemoSupervisor(args) => (supervisor::run(args).map(|()| 0), 1),
            Self::DemoServer(args) => (server::run(args).map(|()| 0), 1),
        };
        outcome.unwrap_or_else(|e| {
            eprintln!("error: {e:#}");
            otherwise
        })
    }
}

/// Arguments of `host-sim demo`.
#[derive(Debug, Clone, clap::Args)]
pub struct DemoArgs {
    /// How many times faster than life; at 1 the plugin's own worker keeps real time, and it takes 9 minutes
    #[arg(long, value_name = "N", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=MAX_SPEED))]
    pub speed: u64,
    /// Write JSON Lines instead: what happens, then a summary
    #[arg(long)]
    pub json: bool,
    /// The plugin library [default: $VMSF_LIBRARY, else near this program]
    #[arg(long = "library", value_name = "PATH")]
    pub plugin: Option<PathBuf>,
    /// The port of all servers, each at a loopback address of its own
    #[arg(long, default_value_t = DEFAULT_PORT, value_parser = clap::value_parser!(u16).range(1..))]
    pub port: u16,
    /// Work in this folder, which must be empty or new, and keep everything there
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
}

/// Runs the demo. Gives the exit status: 0 if everything happened, 1 if not, 128 and the signal's number if a signal ended it.
fn demo(args: &DemoArgs) -> Result<u8> {
    let plugin = crate::plugin::find(args.plugin.as_deref())?;
    // Only a look: what cannot be used is told before anything begins.
    crate::plugin::Plugin::load(&plugin)?;
    stage::check_addresses(args.port)?;
    let inbox = Inbox::new()?;
    let mut temporary = None;
    let root = match &args.keep {
        Some(folder) => stage::open_kept(folder).context("--keep")?,
        None => {
            let folder = tempfile::Builder::new().prefix("vms-failover-demo-").tempdir()?;
            temporary.insert(folder).path().to_owned()
        }
    };
    let clock = SimClock::starting_now(args.speed);
    let places = Places { root, kept: args.keep.is_some(), port: args.port, plugin };
    let mut stage = Stage::new(inbox, clock, Pace::at(args.speed), places, Screen::new(args.json))?;
    let outcome = perform(&mut stage);
    // First the processes, then the files: nobody writes there any more.
    drop(stage);
    if let Some(Err(e)) = temporary.map(tempfile::TempDir::close) {
        eprintln!("error: files are left behind: {e}");
        return Ok(1);
    }
    outcome
}

fn perform(stage: &mut Stage) -> Result<u8> {
    introduce(stage)?;
    let outcome = director::play(stage);
    stage.clear();
    let trouble = match outcome {
        Ok(()) => None,
        Err(e) => match e.downcast_ref::<Interrupted>() {
            Some(Interrupted(signal)) => return Ok(interrupted(stage, *signal)),
            None if stage.world.plugin.is_none() => return Err(why_not_ready(stage, e)),
            None => Some(format!("{e:#}")),
        },
    };
    let gaps = director::recorded_gaps(stage);
    let summary = sum_up(&stage.world, gaps, stage.clock.now_ns(), trouble);
    if let Err(e) = conclude(stage, &summary) {
        eprintln!("error: {e:#}");
        return Ok(1);
    }
    Ok(u8::from(!summary.ok))
}

/// The host's own word for why it did not become ready says more than that it has ended.
fn why_not_ready(stage: &Stage, error: anyhow::Error) -> anyhow::Error {
    match stage.world.faults.last() {
        Some(fault) => anyhow::anyhow!("the failover host did not start: {fault}"),
        None => error,
    }
}

fn introduce(stage: &mut Stage) -> Result<()> {
    let (speed, port) = (stage.clock.speed(), stage.places.port);
    let root = stage.places.root.display().to_string();
    if stage.screen.is_json() {
        let entry =
            Entry::new(0, "begin", "the demo begins").with("speed", speed).with("port", port).with("folder", root);
        return Ok(stage.screen.json(&entry)?);
    }
    let first = CAST.first().map_or(FAILOVER_SERVERS, |member| member.address);
    let last = CAST.last().map_or(FAILOVER_SERVERS, |member| member.address);
    let text = format!(
        "Four recording servers at {first} to {last}, and one failover server that hears them at\n\
         {FAILOVER_SERVERS} and answers clients at {FAILOVER_CLIENTS}; port {port}, {}.\n\
         Files in {root}\n",
        timeline::pace(speed)
    );
    Ok(stage.screen.print(&text)?)
}

fn interrupted(stage: &mut Stage, signal: i32) -> u8 {
    let text = if stage.places.kept {
        format!("interrupted: every process is ended; the files are in {}", stage.places.root.display())
    } else {
        "interrupted: every process is ended, and the files are removed".to_owned()
    };
    let entry = Entry::new(stage.now_ms(), "interrupted", text).as_(Severity::Warning).with("signal", signal);
    // Nobody may be there any more to read it.
    let _ = stage.screen.show(&entry);
    u8::try_from(128 + signal).unwrap_or(1)
}

fn conclude(stage: &mut Stage, summary: &Summary) -> Result<()> {
    if stage.screen.is_json() {
        return Ok(stage.screen.json(summary)?);
    }
    for line in summary.lines() {
        stage.screen.print(&line)?;
    }
    let (green, red) = (Severity::Good.style(), Severity::Alarm.style());
    if summary.ok {
        return Ok(stage.screen.print(&format!("{green}Everything happened as it must.{green:#}"))?);
    }
    stage.screen.print(&format!("{red}Not everything happened:{red:#}"))?;
    for line in &summary.missing {
        stage.screen.print(&format!("  {red}{line}{red:#}"))?;
    }
    Ok(())
}
