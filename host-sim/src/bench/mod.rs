//! The benchmark: what the plugin costs its host, on the built library through the C ABI, each figure beside its floor, which is measured in the
//! same run.
//!
//! Figures move from machine to machine; the ratios hold. `rig` is an instance with servers, `measure` what all rows count with, `row` a line of
//! the table, `picture` the drawing; `part` is what takes a process of its own; one file for each group of rows. Judges nothing by a time limit: a row
//! says what was measured, what it is bound to, and whether that is met.

mod cost;
mod decision;
mod detection;
mod idle;
mod instructions;
mod keep_alive;
mod lives;
mod many;
mod measure;
mod notifier;
pub mod part;
mod picture;
mod progress;
mod rig;
mod row;
mod scale;
mod simulated;

use std::cell::RefCell;
use std::fs;
use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

use self::picture::Picture;
use self::progress::Progress;
use self::row::{Bound, Row};
pub use crate::commands::{BAD, MISSED, OK};
use crate::plugin::{self, Plugin};

/// Measure what the plugin costs its host, each figure beside its floor in the same run
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  host-sim bench --quick
  host-sim bench --only keep-alives
  host-sim bench --json --svg bench.svg > bench.json

Build it with --release: a debug build says little. A row that is missed on a busy machine is worth a second run. State is
written below $TMPDIR, which should be on the disk that counts.

Exit status:
  0  every bound is met
  1  a bound is missed
  2  it could not be measured: bad command line, no plugin, no room")]
pub struct BenchArgs {
    /// Fewer servers and samples: less than a minute
    #[arg(long)]
    pub quick: bool,
    /// Measure this group of rows alone
    #[arg(long, value_name = "GROUP", value_parser = GROUPS.map(|(name, _)| name))]
    pub only: Option<String>,
    /// Print the rows as JSON
    #[arg(long)]
    pub json: bool,
    /// Draw what was measured: how late failures are told, and costs against the number of servers
    #[arg(long, value_name = "FILE")]
    pub svg: Option<PathBuf>,
    /// The plugin library [default: $VMSF_LIBRARY, else near this program]
    #[arg(long = "library", value_name = "PATH")]
    pub plugin: Option<PathBuf>,
}

/// What all groups are given.
struct Bench {
    plugin: Arc<Plugin>,
    quick: bool,
    progress: Progress,
    picture: RefCell<Picture>,
}

impl Bench {
    /// One of the two, as it was asked for.
    fn either<T>(&self, quick: T, full: T) -> T {
        if self.quick { quick } else { full }
    }
}

/// Runs all rows; gives the exit status.
#[must_use]
pub fn run(args: &BenchArgs) -> u8 {
    match bench(args) {
        Ok(status) => status,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            BAD
        }
    }
}

/// Measures one group of rows.
type Group = fn(&Bench) -> Result<Vec<Row>>;

const GROUPS: [(&str, Group); 10] = [
    ("keep-alives", keep_alive::rows),
    ("instructions", instructions::rows),
    ("detection", detection::rows),
    ("decision", decision::rows),
    ("idle", idle::rows),
    ("many", many::rows),
    ("start-stop", lives::rows),
    ("virtual-time", simulated::rows),
    ("cost", cost::rows),
    ("million", scale::rows),
];

fn bench(args: &BenchArgs) -> Result<u8> {
    let plugin = Plugin::load(&plugin::find(args.plugin.as_deref())?)?;
    let bench = Bench { plugin, quick: args.quick, progress: Progress::new(), picture: RefCell::default() };
    let mut rows = Vec::new();
    if !args.json {
        writeln!(io::stdout(), "{}", Row::head())?;
    }
    for (name, group) in GROUPS.iter().filter(|(name, _)| args.only.as_deref().is_none_or(|only| only == *name)) {
        let measured = group(&bench);
        bench.progress.clear();
        let measured = measured.with_context(|| format!("cannot measure '{name}'"))?;
        if !args.json {
            measured.iter().try_for_each(|row| writeln!(io::stdout(), "{}", row.text()))?;
        }
        rows.extend(measured);
    }
    if let Some(file) = &args.svg {
        let text = bench.picture.borrow().svg(bench.plugin.info())?;
        fs::write(file, text).with_context(|| format!("cannot write {}", file.display()))?;
    }
    let met = rows.iter().all(Row::is_met);
    if args.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&json!({ "quick": args.quick, "rows": rows }))?)?;
    }
    Ok(if met { OK } else { MISSED })
}
