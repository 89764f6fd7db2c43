//! The benchmark: what the plugin costs its host, on the built library through the C ABI, each figure beside its floor, which is measured in the
//! same run.
//!
//! Figures move from machine to machine; the ratios hold. `rig` is an instance with servers, `measure` what all rows count with; one file for each
//! group of rows. Judges nothing by a time limit: a row says what was measured, what it is bound to, and whether that is met.

mod detection;
mod idle;
mod keep_alive;
mod many;
mod measure;
mod rig;

use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Context, Result};
use serde_json::{Value, json};

pub use crate::commands::{BAD, MISSED, OK};
use crate::plugin::{self, Plugin};

/// Measure what the plugin costs its host, each figure beside its floor in the same run
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  host-sim bench --quick
  host-sim bench --only keep-alives
  host-sim bench --json > bench.json

Build it with --release: a debug build says little. A row that is missed on a busy machine is worth a second run.

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
    /// The plugin library [default: $VMSF_LIBRARY, else near this program]
    #[arg(long = "library", value_name = "PATH")]
    pub plugin: Option<PathBuf>,
}

/// What a figure is bound to.
#[derive(Debug, Clone, Copy)]
pub enum Bound {
    /// So many times its floor at most.
    Times(f64),
    /// So much at most.
    AtMost(f64),
    /// Nothing: it is told.
    Told,
}

/// One line of the table.
#[derive(Debug, Clone)]
pub struct Row {
    /// What was measured.
    pub what: String,
    /// `ns`, `µs`, `ms`, `%` or `/s`.
    pub unit: &'static str,
    /// What it came to.
    pub value: f64,
    /// What it cannot be less than, on this machine.
    pub floor: Option<f64>,
    /// What it is bound to.
    pub bound: Bound,
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.floor.map(|floor| self.value / floor)
    }

    fn is_met(&self) -> bool {
        match self.bound {
            Bound::Times(times) => self.ratio().is_some_and(|ratio| ratio <= times),
            Bound::AtMost(most) => self.value <= most,
            Bound::Told => true,
        }
    }

    fn text(&self) -> String {
        let number = |value: f64| if value.abs() < 10.0 { format!("{value:.2}") } else { format!("{value:.0}") };
        let with_unit = |value: f64| format!("{} {}", number(value), self.unit);
        let floor = self.floor.map_or_else(String::new, with_unit);
        let ratio = self.ratio().map_or_else(String::new, |ratio| format!("{ratio:.2} ×"));
        let bound = match self.bound {
            Bound::Times(times) => format!("{times} ×"),
            Bound::AtMost(most) => with_unit(most),
            Bound::Told => String::new(),
        };
        let verdict = match self.bound {
            Bound::Told => "",
            _ if self.is_met() => "met",
            _ => "MISSED",
        };
        format!("{:<58} {:>11} {floor:>11} {ratio:>8} {bound:>9}  {verdict}", self.what, with_unit(self.value))
    }

    fn json(&self) -> Value {
        let (times, most) = match self.bound {
            Bound::Times(times) => (Some(times), None),
            Bound::AtMost(most) => (None, Some(most)),
            Bound::Told => (None, None),
        };
        json!({
            "what": self.what, "unit": self.unit, "value": self.value, "floor": self.floor, "ratio": self.ratio(),
            "at_most_times_the_floor": times, "at_most": most, "met": self.is_met(),
        })
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
type Group = fn(&Arc<Plugin>, bool) -> Result<Vec<Row>>;

const GROUPS: [(&str, Group); 4] =
    [("keep-alives", keep_alive::rows), ("detection", detection::rows), ("idle", idle::rows), ("many", many::rows)];

fn bench(args: &BenchArgs) -> Result<u8> {
    let plugin = Plugin::load(&plugin::find(args.plugin.as_deref())?)?;
    let (mut rows, shows_progress) = (Vec::new(), io::stderr().is_terminal());
    if !args.json {
        let head = ["measured", "floor", "ratio", "bound"];
        writeln!(io::stdout(), "{:<58} {:>11} {:>11} {:>8} {:>9}", "", head[0], head[1], head[2], head[3])?;
    }
    for (name, group) in GROUPS.iter().filter(|(name, _)| args.only.as_deref().is_none_or(|only| only == *name)) {
        if shows_progress {
            write!(io::stderr(), "measuring: {name} …\r")?;
        }
        let measured = group(&plugin, args.quick).with_context(|| format!("cannot measure '{name}'"))?;
        if !args.json {
            measured.iter().try_for_each(|row| writeln!(io::stdout(), "{}", row.text()))?;
        }
        rows.extend(measured);
    }
    let met = rows.iter().all(Row::is_met);
    if args.json {
        let rows: Vec<Value> = rows.iter().map(Row::json).collect();
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&json!({ "quick": args.quick, "rows": rows }))?)?;
    }
    Ok(if met { OK } else { MISSED })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_met_by_its_ratio_or_by_its_value() {
        let row = |value, floor, bound| Row { what: "x".into(), unit: "ns", value, floor, bound };
        assert!(row(20.0, Some(10.0), Bound::Times(2.0)).is_met());
        assert!(!row(21.0, Some(10.0), Bound::Times(2.0)).is_met());
        assert!(!row(1.0, None, Bound::Times(2.0)).is_met(), "nothing to compare it with");
        assert!(row(3.0, None, Bound::AtMost(3.0)).is_met() && !row(3.1, None, Bound::AtMost(3.0)).is_met());
        let unbound = row(21.0, Some(10.0), Bound::Told);
        assert!(unbound.is_met() && !unbound.text().contains("met") && unbound.text().contains("2.10 ×"));
        let text = row(21.0, Some(10.0), Bound::Times(2.0)).text();
        assert!(text.contains("21 ns") && text.contains("2.10 ×") && text.ends_with("MISSED"), "{text}");
    }
}
