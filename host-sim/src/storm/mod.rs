//! The kill storm: a real host process is killed with SIGKILL at random instants, started again each time on the same state directory, and
//! at the end nothing may be lost, doubled or damaged.
//!
//! `host` is one life, `work` what it does when the plugin asks, `last` the end of the last one; `fact` is what they tell; `check` is what has to
//! hold over all of them, with `access` and `ledger`, and `disk` what has to lie there at the end. The instants come from the seed; what exactly
//! they hit is the machine's to say, so a failure keeps its folder with all facts. One kill in three comes at any instant from the start of the
//! process on, the others in turn while a call, a reconfiguration or an operation of each `kind` goes on; that each was hit is checked, too.

mod access;
pub mod check;
mod disk;
pub mod fact;
pub mod host;
pub mod kind;
mod last;
mod ledger;
mod work;

use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Read, Write};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use fastrand::Rng;
use serde_json::json;

use self::check::Checker;
pub use self::host::LifeArgs;
use self::kind::Kind;
pub use crate::commands::{BAD, MISSED, OK};
use crate::plugin;

/// A life that is killed at any instant is killed at the latest so long after its start.
const LONGEST_LIFE: Duration = Duration::from_millis(150);
/// One that is killed while something goes on waits for that so long.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// And is killed at the latest so long after it began.
const LONGEST_AIM: Duration = Duration::from_millis(10);
/// The last life ends by itself, within this.
const LAST_LIFE: Duration = Duration::from_secs(300);
/// Progress is shown at least so often.
const SHOWN_EVERY: u32 = 50;
/// How many kills there are for each one that has to hit each kind.
const KILLS_FOR_ONE: u32 = 100;
/// `backups_kept` of the storm.
const KEPT: usize = 3;

/// Kill a real host with SIGKILL again and again, start it again each time, and check that nothing is lost
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  host-sim storm
  host-sim storm --kills 25 --seed 7

Exit status:
  0  nothing was lost, doubled, damaged or left over
  1  something was: told on standard error, and the folder is kept
  2  there is no plugin, or no process can be started")]
pub struct StormArgs {
    /// How often the host is killed
    #[arg(long, default_value_t = 500)]
    pub kills: u32,
    /// Where the random instants and deeds come from
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// Print the result as JSON
    #[arg(long)]
    pub json: bool,
    /// The plugin library [default: $VMSF_LIBRARY, else near this program]
    #[arg(long = "library", value_name = "PATH")]
    pub plugin: Option<PathBuf>,
}

/// Runs the storm; gives the exit status.
#[must_use]
pub fn run(args: &StormArgs) -> u8 {
    match storm(args) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "{error:#}");
            BAD
        }
    }
}

fn storm(args: &StormArgs) -> Result<u8> {
    let plugin = plugin::find(args.plugin.as_deref())?;
    let folder = tempfile::Builder::new().prefix("vms-failover-storm-").tempdir()?;
    fs::create_dir(folder.path().join("backups"))?;
    let mut facts = fs::File::create(folder.path().join("facts.jsonl"))?;
    let (mut rng, mut checker, began) = (Rng::with_seed(args.seed), Checker::default(), Instant::now());
    for kill in 1..=args.kills + 1 {
        let last = kill > args.kills;
        let life = LifeArgs { folder: folder.path().into(), seed: rng.u64(..), plugin: plugin.clone(), last };
        let aim = if last { Aim::at_nothing() } else { Aim::of(kill, &mut rng) };
        checker.begin_life();
        live(&life, aim, &mut Ear { checker: &mut checker, facts: &mut facts })?;
        if !checker.faults().is_empty() {
            break;
        }
        show_progress(kill.min(args.kills), args.kills, &checker);
    }
    let mut faults = checker.faults().to_vec();
    if faults.is_empty() {
        checker.end();
        faults = checker.faults().to_vec();
        faults.extend(disk::faults(folder.path(), &checker)?);
        faults.extend(not_hit(&checker, args.kills));
    }
    report(args, &checker, &faults, began.elapsed());
    if faults.is_empty() {
        return Ok(OK);
    }
    let kept = folder.keep();
    let _ = writeln!(io::stderr(), "everything, with all facts, is kept in {}", kept.display());
    Ok(MISSED)
}

/// When a life is killed.
#[derive(Debug, Clone, Copy)]
struct Aim {
    /// While this goes on; none: whatever goes on.
    kind: Option<Kind>,
    /// So long after the start, or after it was seen to go on.
    after: Duration,
    /// At the latest so long after the start.
    latest: Duration,
}

impl Aim {
    fn of(kill: u32, rng: &mut Rng) -> Self {
        // A kill before the host has told anything needs no aim.
        let kinds = &Kind::ALL[1..];
        if kill.is_multiple_of(3) {
            let after = LONGEST_LIFE.mul_f64(rng.f64());
            return Self { kind: None, after, latest: after };
        }
        let turn = (kill - kill / 3 - 1) as usize;
        let after = LONGEST_AIM.mul_f64(rng.f64());
        Self { kind: Some(kinds[turn % kinds.len()]), after, latest: LONGEST_WAIT }
    }

    fn at_nothing() -> Self {
        Self { kind: None, after: LAST_LIFE, latest: LAST_LIFE }
    }
}

/// What is done with each line that a life tells.
struct Ear<'a> {
    checker: &'a mut Checker,
    facts: &'a mut fs::File,
}

impl Ear<'_> {
    fn take(&mut self, line: &str) -> Result<()> {
        writeln!(self.facts, "{line}")?;
        self.checker.take(serde_json::from_str(line).with_context(|| format!("no fact: {line}"))?);
        Ok(())
    }

    /// Until it is time to kill, or nobody tells any more.
    fn listen(&mut self, lines: &Receiver<String>, mut aim: Aim) -> Result<()> {
        let began = Instant::now();
        let mut seen: Option<Instant> = None;
        loop {
            if let Some(kind) = aim.kind {
                let goes_on = self.checker.in_flight().contains(&kind);
                // It was over too soon: the next one is not given so long.
                aim.after = if seen.is_some() && !goes_on { aim.after / 2 } else { aim.after };
                seen = goes_on.then(|| seen.unwrap_or_else(Instant::now));
            }
            let since = if aim.kind.is_some() { seen } else { Some(began) };
            let latest = began + aim.latest;
            let due = since.map_or(latest, |since| (since + aim.after).min(latest));
            match lines.recv_timeout(due.saturating_duration_since(Instant::now())) {
                Ok(line) => self.take(&line)?,
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

/// Starts a life, ends it (the last one ends by itself), and takes in what it tells.
fn live(life: &LifeArgs, aim: Aim, ear: &mut Ear<'_>) -> Result<()> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("storm-host").arg("--folder").arg(&life.folder).arg("--library").arg(&life.plugin);
    command.arg(format!("--seed={}", life.seed)).stdin(Stdio::piped()).stdout(Stdio::piped());
    if life.last {
        command.arg("--last");
    }
    let mut child = command.spawn().context("cannot start a host")?;
    let told = child.stdout.take().context("no standard output")?;
    let (send, lines) = mpsc::channel();
    let reader = thread::spawn(move || read(told, &send));
    let heard = ear.listen(&lines, aim);
    if life.last {
        wait(&mut child, LAST_LIFE);
    }
    // SIGKILL. One that has ended already is no error.
    let _ = child.kill();
    child.wait().context("cannot wait for a host")?;
    heard?;
    lines.iter().try_for_each(|line| ear.take(&line))?;
    if !life.last {
        ear.checker.killed();
    }
    reader.join().map_err(|_| anyhow!("the reader panicked"))
}

/// Cut lines are no facts: a host that is killed while it writes has not told it.
fn read(told: impl Read, send: &Sender<String>) {
    let mut told = BufReader::new(told);
    let mut line = String::new();
    while told.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
        let _ = send.send(line.trim_end().to_owned());
        line.clear();
    }
}

fn wait(child: &mut Child, most: Duration) {
    let until = Instant::now() + most;
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Kinds that too few kills have hit: then the storm says too little.
fn not_hit(checker: &Checker, kills: u32) -> Vec<String> {
    // A few kills may miss a kind by chance.
    let least = kills / KILLS_FOR_ONE;
    let hits = |kind: &Kind| checker.figures.hits.get(kind).copied().unwrap_or(0);
    let few = Kind::ALL.iter().filter(|kind| hits(kind) < least);
    few.map(|kind| format!("{} kills hit {}, at least {least} should", hits(kind), kind.name())).collect()
}

fn show_progress(kill: u32, kills: u32, checker: &Checker) {
    let figures = &checker.figures;
    let mut err = io::stderr().lock();
    let text = format!(
        "{kill} of {kills} kills: {} calls accepted, {} operations begun, {} begun again",
        figures.accepted, figures.begun, figures.resumed
    );
    // There is nobody left to tell when standard error is gone.
    let _ = match (err.is_terminal(), kill == kills) {
        (true, false) => write!(err, "\r{text} "),
        (true, true) => writeln!(err, "\r{text} "),
        (false, _) if kill.is_multiple_of(SHOWN_EVERY) => writeln!(err, "{text}"),
        _ => Ok(()),
    };
}

fn report(args: &StormArgs, checker: &Checker, faults: &[String], took: Duration) {
    let figures = &checker.figures;
    let text = if args.json {
        json!({ "kills": args.kills, "seed": args.seed, "seconds": took.as_secs(), "figures": figures, "faults": faults })
            .to_string()
    } else if faults.is_empty() {
        let hits: Vec<String> = figures.hits.iter().map(|(kind, hits)| format!("{} {hits}", kind.name())).collect();
        format!(
            "{} kills in {} s (seed {}): {} calls, {} answers, {} configurations accepted; {} operations begun, {} begun again; \
             {} backups published; {} tokens handed on; {} log entries.\nIn flight at the kill: {}.\n\
             Nothing lost, doubled, damaged or left over.",
            args.kills,
            took.as_secs(),
            args.seed,
            figures.accepted,
            figures.answered,
            figures.configured,
            figures.begun,
            figures.resumed,
            figures.published,
            figures.tokens,
            figures.logged,
            hits.join(", ")
        )
    } else {
        format!("FAILED (seed {}):\n  {}", args.seed, faults.join("\n  "))
    };
    let _ = writeln!(io::stdout(), "{text}");
}
