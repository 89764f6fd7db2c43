//! `notify(keep_alive)` of servers that keep alive: at one thread and two, and with ever more servers; beside reading the clock and a store.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Barrier};

use anyhow::Result;
use fastrand::Rng;
use vms_failover_abi as abi;

use super::measure::{now_ns, quantile};
use super::rig::Rig;
use super::{Bound, Row};
use crate::plugin::Plugin;

/// Calls in one round.
const CALLS: usize = 200_000;
const ROUNDS: usize = 9;

/// Costs of a cache line of its own for each thread.
#[derive(Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

/// ns a call of the median round; plugin and floor take turns.
fn beside(threads: usize, call: impl Fn(usize, usize) + Sync) -> (f64, f64) {
    let cells: Vec<Cell> = (0..threads).map(|_| Cell::default()).collect();
    let floor = |thread: usize, _: usize| cells[thread].0.store(black_box(now_ns()), Ordering::Release);
    let (mut costs, mut floors) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        costs.push(round(threads, &call));
        floors.push(round(threads, &floor));
    }
    (quantile(&mut costs, 0.5), quantile(&mut floors, 0.5))
}

fn round(threads: usize, call: &(impl Fn(usize, usize) + Sync)) -> f64 {
    let together = Barrier::new(threads);
    let run = &|thread: usize| {
        together.wait();
        let began = now_ns();
        (0..CALLS).for_each(|n| call(thread, n));
        (now_ns() - began) as f64 / CALLS as f64
    };
    let costs: Vec<f64> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap_or(f64::NAN)).collect()
    });
    costs.iter().sum::<f64>() / costs.len() as f64
}

/// The rows of this group.
pub fn rows(plugin: &Arc<Plugin>, quick: bool) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    {
        let rig = Rig::start(plugin, 2)?;
        rig.revive(|_| 0)?;
        for threads in [1, 2] {
            let (caller, servers) = (&rig.caller, &rig.servers);
            let (value, floor) = beside(threads, |thread, _| {
                let _ = black_box(caller.notify(servers[thread], abi::VMSF_NOTIFY_KEEP_ALIVE, 0));
            });
            let what = format!("notify(keep_alive), {threads} thread{}", if threads > 1 { "s" } else { "" });
            rows.push(Row { what, unit: "ns", value, floor: Some(floor), bound: Bound::Times(2.0) });
        }
    }
    let sizes: &[usize] = if quick { &[1_000, 10_000] } else { &[1_000, 100_000] };
    for size in sizes {
        let rig = Rig::start(plugin, *size)?;
        rig.revive(|_| 0)?;
        let caller = &rig.caller;
        // In an order that no prefetcher guesses, the same at each run.
        let mut order = rig.servers.clone();
        Rng::with_seed(1).shuffle(&mut order);
        let cells: Vec<Cell> = order.iter().map(|_| Cell::default()).collect();
        let (mut costs, mut floors) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            costs.push(round(1, &|_, n| {
                let _ = black_box(caller.notify(order[n % size], abi::VMSF_NOTIFY_KEEP_ALIVE, 0));
            }));
            floors.push(round(1, &|_, n| cells[(n * 7919) % size].0.store(now_ns(), Ordering::Release)));
        }
        let (value, floor) = (quantile(&mut costs, 0.5), quantile(&mut floors, 0.5));
        let what = format!("notify(keep_alive), {size} servers in random order");
        rows.push(Row { what, unit: "ns", value, floor: Some(floor), bound: Bound::Times(2.0) });
    }
    Ok(rows)
}
