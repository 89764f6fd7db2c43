//! What the worker costs while all servers keep alive, one keep-alive each per 5 s: time on a processor, and wake-ups.

use std::time::Duration;

use anyhow::Result;
use vms_failover_abi as abi;

use super::measure::{now_ns, used_by};
use super::rig::{Rig, TIMEOUT_NS};
use super::{Bench, Bound, Row};
use crate::plugin::Caller;

/// The name of the thread that keeps time.
pub const WORKER: &str = "vms-failover";
/// Between two keep-alives of a server.
pub const PERIOD_NS: u64 = 5_000_000_000;
/// Keep-alives come in so many handfuls a period.
const HANDFULS: usize = 500;

/// Reports one keep-alive of each of the servers per period, until so many ns are over or it is told to end.
pub fn keep_alive_for(caller: &Caller, servers: &[u64], ns: u64, is_over: impl Fn() -> bool) -> Result<()> {
    let (began, pause) = (now_ns(), PERIOD_NS / HANDFULS as u64);
    for handful in 0.. {
        let due = began + handful * pause;
        if due >= began + ns || is_over() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_nanos(due.saturating_sub(now_ns())));
        for server in servers.iter().skip(handful as usize % HANDFULS).step_by(HANDFULS) {
            caller.notify(*server, abi::VMSF_NOTIFY_KEEP_ALIVE, 0)?;
        }
    }
    Ok(())
}

/// What the worker used while all these keep alive.
pub struct Load {
    /// Share of a core, in per cent.
    pub share: f64,
    /// A second.
    pub wake_ups: f64,
    /// Time on a processor for each server, in ns.
    pub ns_a_server: f64,
}

/// Measures it for so long.
pub fn load(bench: &Bench, rig: &Rig, servers: &[u64], ns: u64) -> Result<Load> {
    let (before, began, size) = (used_by(WORKER)?, now_ns(), servers.len());
    let what = format!("{size} servers keep alive, seconds");
    let so_far = || (now_ns() - began) as usize / 1_000_000_000;
    keep_alive_for(&rig.caller, servers, ns, || {
        bench.progress.at(&what, so_far(), ns as usize / 1_000_000_000);
        false
    })?;
    let (after, seconds) = (used_by(WORKER)?, (now_ns() - began) as f64 / 1e9);
    let cpu = (after.cpu - before.cpu).as_secs_f64();
    Ok(Load {
        share: cpu / seconds * 100.0,
        wake_ups: (after.wake_ups - before.wake_ups) as f64 / seconds,
        ns_a_server: cpu * 1e9 / size as f64,
    })
}

/// The rows of a load.
pub fn load_rows(size: usize, load: &Load, most: f64) -> Vec<Row> {
    let what = |what: &str| format!("{size} servers keep alive every 5 s: {what}");
    vec![
        Row::new(what("worker"), "%", load.share).bound(Bound::AtMost(most)),
        Row::new(what("wake-ups"), "/s", load.wake_ups).bound(Bound::AtMost(10.0)),
    ]
}

/// The rows of this group.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    const SIZE: usize = 10_000;
    let rig = Rig::start(&bench.plugin, SIZE)?;
    // Their deadlines lie anywhere in the next timeout, as in the middle of a long run.
    let now = now_ns();
    let spread = (TIMEOUT_NS - PERIOD_NS - 4_000_000_000) / SIZE as u64;
    rig.revive(|place| now - place as u64 * spread)?;
    keep_alive_for(&rig.caller, &rig.servers, bench.either(PERIOD_NS / 5, PERIOD_NS), || false)?;
    let load = load(bench, &rig, &rig.servers, bench.either(PERIOD_NS, 4 * PERIOD_NS))?;
    Ok(load_rows(SIZE, &load, 0.2))
}
