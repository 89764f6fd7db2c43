//! The kill storm: a real host process is killed with SIGKILL at random instants, started again each time on the same state directory, and
//! at the end nothing may be lost, doubled or damaged.
//!
//! `host` is one life, `fact` what it tells, `check` what has to hold over all of them. The instants come from the seed; what exactly they
//! hit is the machine's to say, so a failure keeps its folder with all facts.

pub mod check;
pub mod fact;
pub mod host;

use std::fs;
use std::io::{self, BufRead, BufReader, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use serde_json::json;

use self::check::Checker;
pub use self::host::LifeArgs;
pub use crate::commands::{BAD, MISSED, OK};
use crate::plugin;

/// A life is killed at the latest so long after its start.
const LONGEST_LIFE_MS: u64 = 150;
/// The last life ends by itself, within this.
const LAST_LIFE: Duration = Duration::from_secs(60);
/// Progress is shown at least so often.
const SHOWN_EVERY: u32 = 50;

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
    #[arg(long, value_name = "PATH")]
    pub library: Option<PathBuf>,
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
    let library = plugin::find(args.library.as_deref())?;
    let folder = tempfile::Builder::new().prefix("vms-failover-storm-").tempdir()?;
    let state = folder.path().join("state");
    let mut facts = fs::File::create(folder.path().join("facts.jsonl"))?;
    let (mut rng, mut checker, began) = (fastrand::Rng::with_seed(args.seed), Checker::default(), Instant::now());
    for kill in 1..=args.kills + 1 {
        let last = kill > args.kills;
        let life = LifeArgs { folder: state.clone(), seed: rng.u64(..), library: library.clone(), last };
        let span = if last { LAST_LIFE } else { Duration::from_micros(rng.u64(0..LONGEST_LIFE_MS * 1000)) };
        let told = one_life(&life, span, last)?;
        checker.begin_life();
        for line in told {
            writeln!(facts, "{line}")?;
            checker.take(serde_json::from_str(&line).with_context(|| format!("no fact: {line}"))?);
        }
        if !checker.faults().is_empty() {
            break;
        }
        show_progress(kill.min(args.kills), args.kills, &checker);
    }
    let mut faults = checker.faults().to_vec();
    if faults.is_empty() {
        checker.end();
        faults = checker.faults().to_vec();
        faults.extend(left_over(&state)?.into_iter().map(|file| format!("{file} was left over")));
    }
    report(args, &checker, &faults, began.elapsed());
    if faults.is_empty() {
        return Ok(OK);
    }
    let kept = folder.keep();
    let _ = writeln!(io::stderr(), "the state directory and all facts are kept in {}", kept.display());
    Ok(MISSED)
}

/// Starts a life, ends it after so long (the last one ends by itself), and gives the lines that it told.
fn one_life(life: &LifeArgs, span: Duration, last: bool) -> Result<Vec<String>> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("storm-host").arg("--folder").arg(&life.folder).arg("--library").arg(&life.library);
    command.arg(format!("--seed={}", life.seed)).stdin(Stdio::piped()).stdout(Stdio::piped());
    if last {
        command.arg("--last");
    }
    let mut child = command.spawn().context("cannot start a host")?;
    let told = child.stdout.take().context("no standard output")?;
    // Cut lines are no facts: a host that is killed while it writes has not told it.
    let reader = thread::spawn(move || {
        let mut lines = Vec::new();
        let mut told = BufReader::new(told);
        let mut line = String::new();
        while told.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
            lines.push(line.trim_end().to_owned());
            line.clear();
        }
        lines
    });
    if last {
        wait(&mut child, span);
    } else {
        thread::sleep(span);
    }
    // SIGKILL. One that has ended already is no error.
    let _ = child.kill();
    child.wait().context("cannot wait for a host")?;
    reader.join().map_err(|_| anyhow!("the reader panicked"))
}

fn wait(child: &mut Child, most: Duration) {
    let until = Instant::now() + most;
    while Instant::now() < until && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(Duration::from_millis(5));
    }
}

/// Temporary files, at any depth.
fn left_over(directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(left_over(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "tmp") {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
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
        format!(
            "{} kills in {} s (seed {}): {} calls, {} answers, {} configurations accepted; {} operations begun, {} begun again; \
             {} log entries. Nothing lost, doubled, damaged or left over.",
            args.kills,
            took.as_secs(),
            args.seed,
            figures.accepted,
            figures.answered,
            figures.configured,
            figures.begun,
            figures.resumed,
            figures.logged
        )
    } else {
        format!("FAILED (seed {}):\n  {}", args.seed, faults.join("\n  "))
    };
    let _ = writeln!(io::stdout(), "{text}");
}
