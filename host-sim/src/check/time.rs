//! The plugin's clock, in both modes, and the promises of `poll` and `wake`.

use vms_failover_abi as abi;

use super::case::{Case, Check, Done};
use super::process;
use super::rig::{KEEP_ALIVE_S, Rig, SECOND};
use crate::plugin::probe::Callback;
use crate::plugin::raw::Member;

pub const CHECKS: [Check; 3] = [
    Check {
        name: "time-of-a-worker",
        why: "Rule 11: \"In worker mode all instants are the raw CLOCK_MONOTONIC in ns, so that a host may stamp with its own reading; now_ns \
              gives it.\" now_ns never goes back, lies between two readings of the host, and a stamp in the past is honoured: a server whose \
              last keep-alive is older than its timeout fails at once.",
        cure: "Read the raw monotonic clock, and count from the stamp instead of from the call.",
        limit_s: 20,
        run: worker,
    },
    Check {
        name: "time-of-a-driving-host",
        why: "Rule 11: \"With VMSF_HOST_DRIVES the plugin has no thread and only poll moves time: at least 1, never back\"; \"*next_ns is the \
              earliest instant with work; it may be too early, never too late\"; \"A spurious poll does no harm.\" A server fails at its \
              deadline, not a nanosecond before, when the host polls just when it is asked to.",
        cure: "Take time from poll alone, cut what goes back, and ask for the next poll no later than the earliest deadline.",
        limit_s: 20,
        run: driven,
    },
    Check {
        name: "wake-only-when-needed",
        why: "Rule 5 of the ABI's description and the header of wake: \"Call poll at next_ns instead of later. On the thread of the call that \
              brings the work, at most once until the next poll\"; a keep-alive of a server that keeps alive \"never causes it\".",
        cure: "Remember what was asked for last, wake for earlier work alone, and once.",
        limit_s: 20,
        run: wake,
    },
];

/// The host's own reading of the plugin's clock, where it can have one.
#[cfg(target_os = "linux")]
fn host_clock() -> Option<u64> {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    Some(u64::try_from(now.tv_sec).ok()? * SECOND + u64::try_from(now.tv_nsec).ok()?)
}

/// Elsewhere the header names a clock that this program does not read.
#[cfg(not(target_os = "linux"))]
fn host_clock() -> Option<u64> {
    None
}

fn worker(case: &Case) -> Done {
    let rig = Rig::running(case, false, &["a"])?;
    let s = rig.server("a")?;
    let mut last = 0;
    for _ in 0..1000 {
        let before = host_clock();
        let now = rig.now()?;
        case.holds(now >= last, "now_ns", "never back", format!("{now} after {last}"));
        if let (Some(before), Some(after)) = (before, host_clock()) {
            let what = "now_ns, between two readings of CLOCK_MONOTONIC";
            case.holds((before..=after).contains(&now), what, format!("{before} to {after}"), now);
        }
        last = now;
    }
    if host_clock().is_none() {
        case.note("the clock was not compared with the host's own: that is read on Linux alone");
    }
    let stamp = last - KEEP_ALIVE_S * SECOND;
    case.needs_code("notify, a stamp in the past", rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, stamp), abi::VMSF_OK)?;
    rig.wait("failed", |c| c.says("health", "to", "failed"))?;
    rig.end()
}

fn driven(case: &Case) -> Done {
    let before = process::held();
    let rig = Rig::running(case, true, &["a"])?;
    let s = rig.server("a")?;
    if let (Some(before), Some(after)) = (before, process::held()) {
        case.holds(
            after.threads == before.threads,
            "start with VMSF_HOST_DRIVES",
            "no thread",
            after.threads - before.threads,
        );
    }
    let at = rig.now()?;
    case.code("poll, an earlier instant", rig.poll(at - SECOND).0, &[abi::VMSF_OK]);
    case.holds(rig.now()? == at, "now_ns after a poll of an earlier instant", at, rig.now()?);
    case.needs_code("notify", rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK)?;
    rig.settle(at)?;
    let deadline = at + KEEP_ALIVE_S * SECOND;
    rig.drive_to(deadline - 1)?;
    let failed = |c: &Callback| c.says("health", "to", "failed");
    case.holds(rig.probe.find(failed).is_none(), "a nanosecond before the deadline", "not failed", "failed");
    for _ in 0..10 {
        case.code("a spurious poll", rig.poll(deadline - 1).0, &[abi::VMSF_OK]);
    }
    case.holds(rig.probe.find(failed).is_none(), "spurious polls", "they do no harm", "the server failed");
    let (_, next) = rig.poll(deadline - 1);
    case.holds(next <= deadline, "*next_ns before a deadline", format!("at most {deadline}"), next);
    rig.settle(deadline)?;
    case.holds(rig.probe.find(failed).is_some(), "a poll at the deadline", "failed", "not failed");
    let to = rig.well_to(Member::NowNs, 0).1.word;
    case.holds(to == Some(deadline), "now_ns", format!("{deadline}, that of the last poll"), format!("{to:?}"));
    rig.end()
}

fn wakes(rig: &Rig<'_>) -> usize {
    rig.probe.count(|c| matches!(c, Callback::Wake(_)))
}

fn wake(case: &Case) -> Done {
    let rig = Rig::running(case, true, &["a", "b"])?;
    let s = rig.server("a")?;
    let at = rig.now()?;
    case.needs_code("notify", rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK)?;
    rig.settle(at)?;
    let before = wakes(&rig);
    for _ in 0..100 {
        case.code("notify", rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), &[abi::VMSF_OK]);
    }
    case.holds(wakes(&rig) == before, "100 keep-alives of a server that keeps alive", "no wake", wakes(&rig) - before);
    rig.settle(at + SECOND)?;
    let before = wakes(&rig);
    for kind in [abi::VMSF_NOTIFY_DISCONNECTED, abi::VMSF_NOTIFY_CONNECTED, abi::VMSF_NOTIFY_STARTUP] {
        case.code("notify", rig.notify(s, kind, 0), &[abi::VMSF_OK]);
    }
    case.code("cluster", rig.well(Member::Cluster, 0), &[abi::VMSF_OK]);
    let came = wakes(&rig) - before;
    case.holds(came == 1, "four calls that bring work, without a poll between them", "one wake", came);
    let here = std::thread::current().id();
    let elsewhere =
        rig.probe.seen().iter().any(|seen| matches!(seen.callback, Callback::Wake(_)) && seen.thread != here);
    case.holds(!elsewhere, "wake", "on the thread of the call", "on another");
    rig.end()
}
