//! What the worker costs while all servers keep alive, one keep-alive each per 5 s: time on a processor, and wake-ups.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;

use super::measure::{now_ns, used_by};
use super::rig::{Rig, TIMEOUT_NS};
use super::{Bound, Row};
use crate::plugin::Plugin;

const WORKER: &str = "vms-failover";
/// Between two keep-alives of a server.
const PERIOD_NS: u64 = 5_000_000_000;
/// Keep-alives come in so many handfuls a period.
const HANDFULS: usize = 500;

/// Reports one keep-alive of each server per period, until so many ns are over.
fn keep_alive_for(rig: &Rig, ns: u64) -> Result<()> {
    let (began, pause) = (now_ns(), PERIOD_NS / HANDFULS as u64);
    for handful in 0.. {
        let due = began + handful * pause;
        if due >= began + ns {
            return Ok(());
        }
        std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
        for server in rig.servers.iter().skip(handful as usize % HANDFULS).step_by(HANDFULS) {
            rig.keep_alive(*server, 0)?;
        }
    }
    Ok(())
}

/// The rows of this group.
pub fn rows(plugin: &Arc<Plugin>, quick: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    let sizes: &[(usize, f64)] = if quick { &[(10_000, 0.2)] } else { &[(10_000, 0.2), (100_000, 3.0)] };
    for (size, most) in sizes {
        let rig = Rig::start(plugin, *size)?;
        // Their deadlines lie anywhere in the next timeout, as in the middle of a long run.
        let now = now_ns();
        let spread = (TIMEOUT_NS - PERIOD_NS - 4_000_000_000) / *size as u64;
        rig.revive(|place| now - place as u64 * spread)?;
        keep_alive_for(&rig, PERIOD_NS)?;
        let (before, began) = (used_by(WORKER)?, now_ns());
        keep_alive_for(&rig, if quick { 2 * PERIOD_NS } else { 4 * PERIOD_NS })?;
        let (after, seconds) = (used_by(WORKER)?, (now_ns() - began) as f64 / 1e9);
        let share = (after.cpu - before.cpu).as_secs_f64() / seconds * 100.0;
        let wake_ups = (after.wake_ups - before.wake_ups) as f64 / seconds;
        let row = |what: &str, unit, value, most| {
            let what = format!("{size} servers keep alive every 5 s: {what}");
            Row { what, unit, value, floor: None, bound: Bound::AtMost(most) }
        };
        rows.push(row("worker", "%", share, *most));
        rows.push(row("wake-ups", "/s", wake_ups, 10.0));
    }
    Ok(rows)
}
