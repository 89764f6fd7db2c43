//! Many servers at once: all fail in one instant, and the status of all is read; and whether a keep-alive waits for that.

use std::hint::black_box;
use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::{Result, ensure};
use vms_failover_abi as abi;

use super::measure::{now_ns, quantile};
use super::notifier::Notifier;
use super::rig::{Rig, TIMEOUT_NS};
use super::{Bench, Bound, Row};

const READINGS: usize = 50;
/// A status of so many servers has a bound.
const STATUS_OF: usize = 1_000;
/// A keep-alive that takes longer while nothing takes its processor was held up.
const HELD_UP_MS: f64 = 0.1;

/// The rows of this group.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = status(bench)?;
    let (most, beside) = (bench.either(10_000, 100_000), 10_000);
    for size in [100, 1_000, 10_000, 100_000].into_iter().filter(|size| *size <= most) {
        let row = mass_failure(bench, size)?;
        if size == most {
            rows.push(row);
        }
    }
    rows.extend(beside_mass_failure(bench, beside)?);
    Ok(rows)
}

fn status(bench: &Bench) -> Result<Vec<Row>> {
    let mut rows = Vec::new();
    for size in [10, 100, STATUS_OF, 10_000] {
        let rig = Rig::start(&bench.plugin, size)?;
        rig.revive(|_| 0)?;
        let what = format!("status of {size} servers, median");
        let mut took = Vec::new();
        let readings = if size > STATUS_OF { 5 } else { READINGS };
        for reading in 0..readings {
            bench.progress.at(&what, reading, readings);
            took.push(read(&rig)?);
        }
        let median = quantile(&mut took, 0.5);
        bench.picture.borrow_mut().cost("status of all", size, median * 1e6);
        if size == STATUS_OF {
            rows.push(Row::new(what, "ms", median).bound(Bound::AtMost(5.0)));
            rows.extend(beside_status(bench, &rig)?);
        }
    }
    Ok(rows)
}

/// How long a status of all takes, in ms.
fn read(rig: &Rig) -> Result<f64> {
    let began = now_ns();
    let text = rig.caller.status(0)?;
    let took = (now_ns() - began) as f64 / 1e6;
    ensure!(text.contains(&format!("\"s{}\"", rig.servers.len() - 1)), "a server is missing");
    Ok(took)
}

/// How long a keep-alive takes while the status is read.
fn beside_status(bench: &Bench, rig: &Rig) -> Result<Vec<Row>> {
    let (caller, server, cell) = (&rig.caller, rig.servers[0], AtomicU64::new(0));
    let longest = |notifier: &Notifier| {
        let mut longest = Vec::new();
        for reading in 0..READINGS {
            bench.progress.at("longest notify while the status is read", reading, READINGS);
            let (read, call) = notifier.longest_during(|| read(rig));
            read?;
            longest.push(call);
        }
        Ok((quantile(&mut longest, 0.5), quantile(&mut longest, 1.0)))
    };
    let notify = || _ = black_box(caller.notify(server, abi::VMSF_NOTIFY_KEEP_ALIVE, 0));
    let ((value, most), slept) = Notifier::beside(notify, longest)?;
    let ((floor, floor_most), _) = Notifier::beside(|| cell.store(black_box(now_ns()), Ordering::Release), longest)?;
    let what = format!("longest notify while a status of {STATUS_OF} is read, median");
    let note =
        format!("of {READINGS} readings; the longest of all {most:.2} ms, of a clock and a store {floor_most:.2} ms");
    Ok(vec![
        Row::new(what, "ms", value).beside(floor).bound(Bound::AtMost(HELD_UP_MS)).note(note),
        Row::new("notify slept meanwhile (it waited for a lock)", "times", slept as f64).bound(Bound::AtMost(0.0)),
    ])
}

/// So long before they fail, all are known to keep alive, on any machine.
fn ahead_ns(count: usize) -> u64 {
    500_000_000 + count as u64 * 150_000
}

/// Has the first `count` servers fail in one instant, which is given when all of them keep alive.
fn all_but_fail(rig: &Rig, count: usize) -> Result<u64> {
    let deadline = now_ns() + ahead_ns(rig.servers.len());
    rig.revive(|place| if place < count { deadline - TIMEOUT_NS } else { 0 })?;
    ensure!(now_ns() < deadline, "this machine takes too long to learn of {count} servers");
    Ok(deadline)
}

/// Waits until all of them are told; gives when the last was, in ms after the deadline.
fn all_told(bench: &Bench, what: &str, rig: &Rig, count: usize, deadline: u64) -> Result<f64> {
    // Looks only now and then, so that nobody but the worker has work to do.
    rig.wait_for_changes(count, |done| bench.progress.at(what, done, count))?;
    let mut last = deadline;
    for server in rig.servers.iter().take(count) {
        let change = rig.change()?;
        ensure!(change.server == *server, "not in configuration order: {}", change.json);
        ensure!(change.entered_ns >= deadline, "told before its deadline: {}", change.json);
        last = change.entered_ns;
    }
    Ok((last - deadline) as f64 / 1e6)
}

/// From the instant at which all fail until the last is told.
fn mass_failure(bench: &Bench, count: usize) -> Result<Row> {
    let rig = Rig::start(&bench.plugin, count)?;
    let what = format!("{count} servers fail at once: the last one told");
    let deadline = all_but_fail(&rig, count)?;
    let value = all_told(bench, &what, &rig, count, deadline)?;
    bench.picture.borrow_mut().cost("all fail at once, the last one told", count, value * 1e6);
    Ok(Row::new(what, "ms", value).bound(Bound::AtMost(1_000.0)))
}

/// Whether the keep-alives of one that lives wait for all others, which fail.
fn beside_mass_failure(bench: &Bench, count: usize) -> Result<Vec<Row>> {
    let rig = Rig::start(&bench.plugin, count + 1)?;
    let deadline = all_but_fail(&rig, count)?;
    let (caller, server) = (&rig.caller, rig.servers[count]);
    let what = format!("longest notify while {count} servers fail at once");
    let notify = || _ = black_box(caller.notify(server, abi::VMSF_NOTIFY_KEEP_ALIVE, 0));
    let (longest, slept) = Notifier::beside(notify, |notifier| {
        let (told, longest) = notifier.longest_during(|| all_told(bench, &what, &rig, count, deadline));
        told.map(|_| longest)
    })?;
    Ok(vec![
        Row::new(what, "ms", longest)
            .note("with what others take of its processor: three threads work on what there is"),
        Row::new("notify slept meanwhile (it waited for a lock)", "times", slept as f64).bound(Bound::AtMost(0.0)),
    ])
}
