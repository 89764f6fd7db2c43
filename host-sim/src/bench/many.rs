//! Many servers at once: all fail in one instant, and the status of all is read.

use std::sync::Arc;

use anyhow::{Result, ensure};

use super::measure::{now_ns, quantile};
use super::rig::{Rig, TIMEOUT_NS};
use super::{Bound, Row};
use crate::plugin::Plugin;

const READINGS: usize = 50;
/// A status of so many servers has a bound.
const STATUS_OF: usize = 1_000;

/// The rows of this group.
pub fn rows(plugin: &Arc<Plugin>, quick: bool) -> Result<Vec<Row>> {
    Ok(vec![status(plugin)?, mass_failure(plugin, if quick { 10_000 } else { 100_000 })?])
}

fn status(plugin: &Arc<Plugin>) -> Result<Row> {
    let rig = Rig::start(plugin, STATUS_OF)?;
    rig.revive(|_| 0)?;
    let mut took = Vec::new();
    for _ in 0..READINGS {
        let began = now_ns();
        let text = rig.caller.status(0)?;
        took.push((now_ns() - began) as f64 / 1e6);
        ensure!(text.contains("\"s999\""), "a server is missing");
    }
    let what = format!("status of {STATUS_OF} servers, median");
    Ok(Row { what, unit: "ms", value: quantile(&mut took, 0.5), floor: None, bound: Bound::AtMost(5.0) })
}

/// From the instant at which all fail until the last is told.
fn mass_failure(plugin: &Arc<Plugin>, count: usize) -> Result<Row> {
    let rig = Rig::start(plugin, count)?;
    // Long enough ahead that all are known to keep alive by then.
    let deadline = now_ns() + 20_000_000_000;
    rig.revive(|_| deadline - TIMEOUT_NS)?;
    ensure!(now_ns() < deadline, "this machine takes more than 20 s to learn of {count} servers");
    let mut last = deadline;
    for server in &rig.servers {
        let change = rig.change()?;
        ensure!(change.server == *server, "not in configuration order: {}", change.json);
        ensure!(change.entered_ns >= deadline, "told before its deadline: {}", change.json);
        last = change.entered_ns;
    }
    let what = format!("{count} servers fail at once: the last one told");
    let value = (last - deadline) as f64 / 1e6;
    Ok(Row { what, unit: "ms", value, floor: None, bound: Bound::AtMost(1_000.0) })
}
