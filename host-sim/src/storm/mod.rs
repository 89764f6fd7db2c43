//! The kill storm: a real host process is killed with SIGKILL at random instants, started again each time on the same state directory, and
//! at the end nothing may be lost, doubled or damaged.
//!
//! `host` is one life, `work` what it does when the plugin asks, `last` the end of the last one; `fact` is what they tell; `life` starts, kills
//! and judges them; `check` is what has to hold over all of them, with `access`, `queue` and `ledger`, and `disk` what has to lie there at the
//! end. The instants come from the seed; what exactly they hit is the machine's to say, so a failure keeps its folder with all facts. One kill
//! in three comes at any instant from the start of the process on, the others while that `kind` of work goes on that was hit least: a start, a
//! call, a reconfiguration or an operation; that each was hit is checked, too. With an even seed servers are restored automatically.

mod access;
pub mod check;
mod disk;
pub mod fact;
pub mod host;
pub mod kind;
mod last;
mod ledger;
mod life;
mod queue;
pub(crate) mod signals;
mod work;

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use fastrand::Rng;
use serde_json::json;

use self::check::{Checker, Figures};
pub use self::host::LifeArgs;
use self::kind::Kind;
use self::life::{Aim, Ear};
use self::signals::Signals;
pub use crate::commands::{BAD, MISSED, OK};
use crate::plugin::{self, Plugin};

/// Progress is shown at least so often.
const SHOWN_EVERY: u32 = 50;
/// How many kills there are for each one that has to hit each kind.
const KILLS_FOR_ONE: u32 = 100;
/// So few may miss a kind by chance.
const FEW_KILLS: u32 = 50;
/// More take longer than anybody waits.
const KILLS_MAX: i64 = 1_000_000;
/// `backups_kept` of the storm.
const KEPT: usize = 3;

/// Kill a real host with SIGKILL again and again, start it again each time, and check that nothing is lost
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  host-sim storm
  host-sim storm --kills 25 --seed 7

Exit status:
  0    nothing was lost, doubled, damaged or left over
  1    something was, or the storm could not go on: told on standard output, and the folder is kept
  2    it could not begin: bad command line, no plugin, or no process can be started
  130  ended by Ctrl-C (128 and the number of the signal); the folder is removed")]
pub struct StormArgs {
    /// How often the host is killed
    #[arg(long, default_value_t = 500, value_parser = clap::value_parser!(u32).range(1..=KILLS_MAX))]
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

impl StormArgs {
    /// Whether servers are restored automatically.
    fn restores(&self) -> bool {
        self.seed.is_multiple_of(2)
    }
}

/// Runs the storm; gives the exit status.
#[must_use]
pub fn run(args: &StormArgs) -> u8 {
    match storm(args) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            BAD
        }
    }
}

fn storm(args: &StormArgs) -> Result<u8> {
    let plugin = plugin::find(args.plugin.as_deref())?;
    // Only a look: what cannot be used is told before anything begins.
    Plugin::load(&plugin)?;
    let signals = Signals::watched().context("cannot wait for signals")?;
    let folder = tempfile::Builder::new().prefix("vms-failover-storm-").tempdir()?;
    fs::create_dir(folder.path().join("backups"))?;
    let facts = fs::File::create(folder.path().join("facts.jsonl"))?;
    let (rng, began) = (Rng::with_seed(args.seed), Instant::now());
    let checker = Checker::new(args.restores());
    let mut storm = Storm { args, plugin, folder: folder.path(), facts, signals, rng, checker };
    let before_the_last_life = storm.blow()?;
    if let Some(status) = storm.signals.status() {
        folder.close().context("files are left behind")?;
        let _ = writeln!(io::stderr(), "interrupted: the host is ended, and the files are removed");
        return Ok(status);
    }
    storm.look_at_the_end();
    report(args, &storm.checker, &before_the_last_life, began.elapsed());
    if storm.checker.faults().is_empty() {
        return Ok(OK);
    }
    let kept = folder.keep();
    let _ = writeln!(io::stderr(), "everything, with all facts, is kept in {}", kept.display());
    Ok(MISSED)
}

/// A storm under way.
struct Storm<'a> {
    args: &'a StormArgs,
    plugin: PathBuf,
    folder: &'a Path,
    facts: fs::File,
    signals: Signals,
    rng: Rng,
    checker: Checker,
}

impl Storm<'_> {
    /// One life after another, until something is wrong or a signal comes. Gives what was done before the last life.
    fn blow(&mut self) -> Result<Figures> {
        let kills = self.args.kills;
        for kill in 1..=kills {
            self.live(kill, false)?;
            if self.is_over() {
                return Ok(self.checker.figures.clone());
            }
            show_progress(kill, kills, &self.checker);
        }
        let before = self.checker.figures.clone();
        self.live(kills + 1, true)?;
        Ok(before)
    }

    fn is_over(&self) -> bool {
        self.signals.came() || !self.checker.faults().is_empty()
    }

    /// One life. Once there was one, whatever goes wrong is a fault, and the folder shows why.
    fn live(&mut self, kill: u32, last: bool) -> Result<()> {
        let life = LifeArgs {
            folder: self.folder.into(),
            seed: self.rng.u64(..),
            plugin: self.plugin.clone(),
            last,
            configured: self.checker.was_configured(),
            restores: self.args.restores(),
        };
        let aim = if last { Aim::at_nothing() } else { Aim::of(kill, &mut self.rng, &self.checker.figures.hits) };
        self.checker.begin_life();
        let lived = match life::start(&life) {
            Err(error) if kill == 1 => return Err(error),
            Err(error) => Err(error),
            Ok(child) => {
                let ear = Ear { checker: &mut self.checker, facts: &mut self.facts, signals: &self.signals };
                life::live(child, last, aim, ear)
            }
        };
        if let Err(error) = lived {
            self.checker.fault(format!("the storm cannot go on: {error:#}"));
        }
        Ok(())
    }

    /// The whole log and the disk are looked at only where nothing was wrong so far.
    fn look_at_the_end(&mut self) {
        if self.checker.faults().is_empty() {
            self.checker.end();
            let disk = disk::faults(self.folder, &self.checker);
            let disk = disk.unwrap_or_else(|error| vec![format!("the files cannot be looked at: {error:#}")]);
            let missed = not_hit(&self.checker, self.args.kills);
            disk.into_iter().chain(missed).for_each(|text| self.checker.fault(text));
        }
    }
}

/// Kinds that too few kills have hit: then the storm says too little.
fn not_hit(checker: &Checker, kills: u32) -> Vec<String> {
    let least = if kills < FEW_KILLS { 0 } else { (kills / KILLS_FOR_ONE).max(1) };
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

fn report(args: &StormArgs, checker: &Checker, before_the_last_life: &Figures, took: Duration) {
    let (figures, faults) = (&checker.figures, checker.faults());
    let text = if args.json {
        json!({
            "kills": args.kills, "seed": args.seed, "seconds": took.as_secs(), "figures": figures,
            "before_the_last_life": before_the_last_life, "faults": faults
        })
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
