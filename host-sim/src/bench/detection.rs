//! How long after its deadline a failure is told: the callback entered, minus the deadline, beside a bare timed wait for an instant like it. Idle,
//! and with four busy threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::measure::{now_ns, quantile};
use super::rig::{Rig, TIMEOUT_NS};
use super::{Bound, Row};
use crate::plugin::Plugin;

const HOGS: usize = 4;
/// From a keep-alive to the deadline that is watched, in ns: long enough that everybody sleeps by then.
const AHEAD_NS: u64 = 8_000_000;

struct Samples {
    plugin: Vec<f64>,
    bare: Vec<f64>,
}

/// Takes so many of each, in turn, in ms.
fn samples(plugin: &Arc<Plugin>, count: usize) -> Result<Samples> {
    let rig = Rig::start(plugin, count)?;
    let mut samples = Samples { plugin: Vec::new(), bare: Vec::new() };
    for server in &rig.servers {
        let deadline = now_ns() + AHEAD_NS;
        rig.keep_alive(*server, deadline - TIMEOUT_NS)?;
        let change = rig.change()?;
        ensure!(change.server == *server && change.json.contains("\"to\":\"failed\""), "{}", change.json);
        ensure!(change.entered_ns >= deadline, "told before its deadline: {}", change.json);
        samples.plugin.push((change.entered_ns - deadline) as f64 / 1e6);
        samples.bare.push(bare_wait());
    }
    Ok(samples)
}

/// By how much a bare wait for such a deadline is late, in ms.
fn bare_wait() -> f64 {
    let (mutex, condition) = (Mutex::new(()), Condvar::new());
    let deadline = now_ns() + AHEAD_NS;
    let mut guard = mutex.lock().unwrap_or_else(PoisonError::into_inner);
    loop {
        let left = deadline.saturating_sub(now_ns());
        if left == 0 {
            return (now_ns() - deadline) as f64 / 1e6;
        }
        let waited = condition.wait_timeout(guard, Duration::from_nanos(left));
        guard = waited.unwrap_or_else(PoisonError::into_inner).0;
    }
}

/// The rows of this group.
pub fn rows(plugin: &Arc<Plugin>, quick: bool) -> Result<Vec<Row>> {
    let mut idle = samples(plugin, if quick { 300 } else { 1_000 })?;
    let row = |what: &str, value, floor, bound| Row { what: what.to_owned(), unit: "ms", value, floor, bound };
    let mut rows = Vec::new();
    for (what, part, times) in [("median", 0.5, 1.2), ("p99", 0.99, 2.0)] {
        let (value, floor) = (quantile(&mut idle.plugin, part), quantile(&mut idle.bare, part));
        rows.push(row(
            &format!("failure told after its deadline, idle, {what}"),
            value,
            Some(floor),
            Bound::Times(times),
        ));
    }
    let what = format!("failure told after its deadline, idle, max of {}", idle.plugin.len());
    rows.push(row(&what, quantile(&mut idle.plugin, 1.0), Some(quantile(&mut idle.bare, 1.0)), Bound::Told));
    let ending = AtomicBool::new(false);
    let mut busy = std::thread::scope(|scope| {
        for _ in 0..HOGS {
            scope.spawn(|| {
                // Without a hint to the processor: what is in the way is to be in the way.
                let mut n = 0_u64;
                while !ending.load(Ordering::Relaxed) {
                    n = std::hint::black_box(n.wrapping_add(1));
                }
            });
        }
        let busy = samples(plugin, if quick { 200 } else { 500 });
        ending.store(true, Ordering::Relaxed);
        busy
    })?;
    let (value, floor) = (quantile(&mut busy.plugin, 0.5), quantile(&mut busy.bare, 0.5));
    rows.push(row("failure told after its deadline, 4 hogs, median", value, Some(floor), Bound::AtMost(0.3)));
    Ok(rows)
}
