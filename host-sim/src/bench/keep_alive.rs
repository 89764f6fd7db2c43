//! `notify(keep_alive)` of servers that keep alive: at one thread and two, and with ever more servers; beside reading the clock and a store.

use std::hint::black_box;
use std::sync::Barrier;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use fastrand::Rng;
use vms_failover_abi as abi;

use super::measure::{now_ns, quantile};
use super::rig::Rig;
use super::{Bench, Bound, Row};

/// Calls in one round.
const CALLS: usize = 200_000;
const ROUNDS: usize = 9;

/// Costs of a cache line of its own for each thread.
#[derive(Default)]
#[repr(align(128))]
struct Cell(AtomicU64);

/// As large as what the plugin keeps there of a server.
#[derive(Default)]
#[repr(align(64))]
struct Line(AtomicU64);

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

/// Costs of a call for a server at random, ns; beside those of the clock and a store at random in a table that is as large.
pub fn at_random(bench: &Bench, rig: &Rig) -> (f64, f64) {
    let (size, caller) = (rig.servers.len(), &rig.caller);
    // In an order that no prefetcher guesses, the same at each run.
    let mut order: Vec<(u64, usize)> = rig.servers.iter().copied().zip(0..).collect();
    Rng::with_seed(1).shuffle(&mut order);
    let cells: Vec<Line> = order.iter().map(|_| Line::default()).collect();
    let (mut costs, mut floors) = (Vec::new(), Vec::new());
    for n in 0..ROUNDS {
        bench.progress.at(&format!("notify(keep_alive), {size} servers in random order"), n, ROUNDS);
        // Another part of them in each round.
        let from = n * CALLS;
        costs.push(round(1, &|_, n| {
            let _ = black_box(caller.notify(order[(from + n) % size].0, abi::VMSF_NOTIFY_KEEP_ALIVE, 0));
        }));
        floors.push(round(1, &|_, n| cells[order[(from + n) % size].1].0.store(now_ns(), Ordering::Release)));
    }
    (quantile(&mut costs, 0.5), quantile(&mut floors, 0.5))
}

/// What `at_random` gave, as a row and in the picture.
pub fn row_at_random(bench: &Bench, rig: &Rig) -> Row {
    let ((value, floor), size) = (at_random(bench, rig), rig.servers.len());
    let mut picture = bench.picture.borrow_mut();
    picture.cost("notify(keep_alive)", size, value);
    picture.cost("clock and a store, at random", size, floor);
    let what = format!("notify(keep_alive), {size} servers in random order");
    Row::new(what, "ns", value).beside(floor).bound(Bound::Times(2.0))
}

/// The rows of this group.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    {
        let rig = Rig::start(&bench.plugin, 2)?;
        rig.revive(|_| 0)?;
        for threads in [1, 2] {
            let what = format!("notify(keep_alive), {threads} thread{}", if threads > 1 { "s" } else { "" });
            bench.progress.at(&what, threads, 2);
            let (caller, servers) = (&rig.caller, &rig.servers);
            let (value, floor) = beside(threads, |thread, _| {
                let _ = black_box(caller.notify(servers[thread], abi::VMSF_NOTIFY_KEEP_ALIVE, 0));
            });
            rows.push(Row::new(what, "ns", value).beside(floor).bound(Bound::Times(2.0)));
        }
    }
    let told = bench.either([1_000, 10_000], [1_000, 100_000]);
    for size in [1, 10, 100, 1_000, 10_000, 100_000].into_iter().filter(|size| *size <= told[1]) {
        let rig = Rig::start(&bench.plugin, size)?;
        rig.revive(|_| 0)?;
        let row = row_at_random(bench, &rig);
        if told.contains(&size) {
            rows.push(row);
        }
    }
    Ok(rows)
}
