//! Stamps, and the polls of a driving host.

use super::Finding;
use super::read::Span;
use super::section::{Instance, Section, found};

/// How late a poll may be.
const LATE_NS: u64 = 1_000_000_000;

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    for instance in section.instances() {
        let polls: Vec<&Span> = section
            .calls_of(instance.plugin)
            .filter(|call| call.name == "poll" && call.line.now_ns.is_some())
            .collect();
        stamps(section, instance, &polls, findings);
        if instance.drives {
            in_time(section, instance, &polls, findings);
        }
    }
}

fn stamps(section: &Section<'_>, instance: &Instance<'_>, polls: &[&Span], findings: &mut Vec<Finding>) {
    for call in section.calls_of(instance.plugin).filter(|call| call.name == "notify") {
        let stamp = call.line.stamp_ns.unwrap_or(0);
        // A driving host's clock is what its next poll says.
        let now = match instance.drives {
            false => Some(call.end()),
            true => polls.iter().find(|poll| poll.is_after(call)).and_then(|poll| poll.line.now_ns),
        };
        if let Some(now) = now
            && stamp > now
        {
            let text = format!("stamped {stamp}, {} ms after {now}", (stamp - now) / 1_000_000);
            found(findings, "stamp-in-future", call, text);
        }
    }
}

fn in_time(section: &Section<'_>, instance: &Instance<'_>, polls: &[&Span], findings: &mut Vec<Finding>) {
    let wakes: Vec<&Span> = section.callbacks_of(instance.plugin, "wake").collect();
    for pair in polls.windows(2) {
        let (Some(before), Some(now)) = (pair[0].line.now_ns, pair[1].line.now_ns) else { continue };
        if now < before {
            found(findings, "poll-back", pair[1], format!("now_ns {now} after {before} (line {})", pair[0].at));
        }
        let wake = wakes.iter().filter(|wake| wake.begin_ns > pair[0].begin_ns && wake.begin_ns < pair[1].begin_ns);
        // A wake for now names no instant.
        let asked = wake.filter_map(|wake| wake.line.next_ns).chain(pair[0].line.next_ns).filter(|next| *next > 0);
        // What is due already is due at the instant that was reached.
        let due = asked.min().map_or(u64::MAX, |due| due.max(before));
        if now.saturating_sub(due) > LATE_NS && pair[0].gave("OK") {
            let text = format!("at {now}, {} ms after the {due} that was asked for", (now - due) / 1_000_000);
            found(findings, "poll-late", pair[1], text);
        }
    }
    let started = section.calls_of(instance.plugin).find(|call| call.name == "start" && call.gave("OK"));
    if let (Some(start), true, true) = (started, polls.is_empty(), section.is_whole) {
        found(findings, "poll-late", start, "it was started and never polled".into());
    }
}
