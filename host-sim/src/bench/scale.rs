//! A million servers that keep alive every 5 s: what the worker takes of a core, whether a failure is still told in time, and what a keep-alive
//! costs.

use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::Result;

use super::detection::overhead;
use super::idle::{PERIOD_NS, keep_alive_for, load, load_rows};
use super::keep_alive::row_at_random;
use super::measure::quantile;
use super::rig::{Rig, TIMEOUT_NS};
use super::{Bench, Bound, Row};

const SIZE: usize = 1_000_000;
/// Of them fail, one at a time.
const SAMPLES: usize = 60;

/// The rows of this group; none in a quick run.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    if bench.quick {
        return Ok(Vec::new());
    }
    let rig = Rig::start(&bench.plugin, SIZE)?;
    let (living, failing) = rig.servers.split_at(SIZE - SAMPLES);
    for server in living {
        rig.keep_alive(*server, 0)?;
    }
    // It takes seconds until all are told, and meanwhile those that are keep alive.
    while rig.alive() < living.len() {
        bench.progress.at("servers known to keep alive", rig.alive(), living.len());
        keep_alive_for(&rig.caller, living, PERIOD_NS, || rig.alive() == living.len())?;
    }
    keep_alive_for(&rig.caller, living, PERIOD_NS, || false)?;
    // A whole timeout, in which each of them is looked at.
    let load = load(bench, &rig, living, TIMEOUT_NS)?;
    let mut rows = load_rows(SIZE, &load, 3.0);
    let note =
        "there is no sweep: each server is looked at when its old deadline comes, once in a timeout, and armed anew";
    rows.push(Row::new("the worker's time for each of them, once in 30 s", "ns", load.ns_a_server).note(note));
    let ending = AtomicBool::new(false);
    let mut late = std::thread::scope(|scope| -> Result<Vec<f64>> {
        let caller = rig.caller.clone();
        let ended = &ending;
        let others = scope
            .spawn(move || keep_alive_for(&caller, living, 3_600 * 1_000_000_000, || ended.load(Ordering::Acquire)));
        let late: Result<Vec<f64>> = failing.iter().map(|server| overhead(&rig, *server)).collect();
        ending.store(true, Ordering::Release);
        others.join().map_err(|_| anyhow::anyhow!("the thread that reports keep-alives panicked"))??;
        late
    })?;
    let note =
        format!("p90 {:.2} ms; {SAMPLES} fail, one at a time, while the others keep alive", quantile(&mut late, 0.9));
    let what = format!("failure told after its deadline, {SIZE} servers, median");
    rows.push(Row::new(what, "ms", quantile(&mut late, 0.5)).bound(Bound::AtMost(10.0)).note(note));
    rows.push(row_at_random(bench, &rig));
    Ok(rows)
}
