//! How long after its deadline a failure is told: the callback entered, minus the deadline, beside a bare timed wait for an instant like it. Idle,
//! and with four busy threads.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};

use super::measure::{now_ns, quantile};
use super::rig::{Rig, TIMEOUT_NS};
use super::{Bench, Bound, Row};

const HOGS: usize = 4;
/// From a keep-alive to the deadline that is watched, in ns: long enough that everybody sleeps by then.
const AHEAD_NS: u64 = 8_000_000;

struct Samples {
    plugin: Vec<f64>,
    bare: Vec<f64>,
}

/// Takes so many of each, in turn, in ms.
fn samples(bench: &Bench, what: &str, count: usize) -> Result<Samples> {
    let rig = Rig::start(&bench.plugin, count)?;
    let mut samples = Samples { plugin: Vec::new(), bare: Vec::new() };
    for (done, server) in rig.servers.iter().enumerate() {
        bench.progress.at(what, done, count);
        samples.plugin.push(overhead(&rig, *server)?);
        samples.bare.push(bare_wait());
    }
    Ok(samples)
}

/// By how much the failure of a server that was never seen is told late, in ms.
pub fn overhead(rig: &Rig, server: u64) -> Result<f64> {
    let deadline = now_ns() + AHEAD_NS;
    rig.keep_alive(server, deadline - TIMEOUT_NS)?;
    let change = rig.change()?;
    ensure!(change.server == server && change.json.contains("\"to\":\"failed\""), "{}", change.json);
    ensure!(change.entered_ns >= deadline, "told before its deadline: {}", change.json);
    Ok((change.entered_ns - deadline) as f64 / 1e6)
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
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut idle = samples(bench, "failure told after its deadline, idle", bench.either(300, 1_000))?;
    let mut rows = Vec::new();
    for (what, part, times) in [("median", 0.5, 1.2), ("p99", 0.99, 2.0)] {
        let (value, floor) = (quantile(&mut idle.plugin, part), quantile(&mut idle.bare, part));
        let what = format!("failure told after its deadline, idle, {what}");
        rows.push(Row::new(what, "ms", value).beside(floor).bound(Bound::Times(times)));
    }
    let (value, floor) = (quantile(&mut idle.plugin, 1.0), quantile(&mut idle.bare, 1.0));
    let what = format!("failure told after its deadline, idle, max of {}", idle.plugin.len());
    rows.push(Row::new(what, "ms", value).beside(floor));
    let what = "failure told after its deadline, 4 hogs, median";
    let mut busy = beside_hogs(|| samples(bench, what, bench.either(100, 500)))?;
    let (value, floor) = (quantile(&mut busy.plugin, 0.5), quantile(&mut busy.bare, 0.5));
    rows.push(Row::new(what, "ms", value).beside(floor).bound(Bound::AtMost(0.3)));
    bench.picture.borrow_mut().lateness = vec![
        ("plugin, idle", idle.plugin),
        ("bare timed wait, idle", idle.bare),
        ("plugin, 4 hogs", busy.plugin),
        ("bare timed wait, 4 hogs", busy.bare),
    ];
    Ok(rows)
}

fn beside_hogs<T>(measure: impl FnOnce() -> T) -> T {
    let ending = AtomicBool::new(false);
    std::thread::scope(|scope| {
        for _ in 0..HOGS {
            scope.spawn(|| {
                // Without a hint to the processor: what is in the way is to be in the way.
                let mut n = 0_u64;
                while !ending.load(Ordering::Relaxed) {
                    n = std::hint::black_box(n.wrapping_add(1));
                }
            });
        }
        let measured = measure();
        ending.store(true, Ordering::Relaxed);
        measured
    })
}
