//! Stamps, and the polls of a driving host.

use super::Finding;
use super::read::Span;
use super::section::{Instance, Section, found};

/// How late a poll may be.
const LATE_NS: u64 = 1_000_000_000;

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    for instance in section.instances() {
        let polls: Vec<&Span> = instance.called("poll").filter(|poll| poll.gave("OK")).collect();
        stamps(instance, &polls, findings);
        if instance.drives {
            in_time(instance, &polls, findings);
            let started = instance.called("start").find(|call| call.gave("OK"));
            if let (Some(start), true, true) = (started, polls.is_empty(), section.is_whole) {
                found(findings, "poll-late", start, "it was started and never polled".into());
            }
        }
    }
}

fn now_of(poll: &Span) -> u64 {
    poll.line.now_ns.unwrap_or_default()
}

fn stamps(instance: &Instance<'_>, polls: &[&Span], findings: &mut Vec<Finding>) {
    for call in instance.called("notify").filter(|call| call.gave("OK")) {
        let stamp = call.line.stamp_ns.unwrap_or(0);
        // A driving host's clock is what its next poll says.
        let now = match instance.drives {
            false => call.end(),
            true => match polls.get(polls.partition_point(|poll| !poll.is_after(call))) {
                Some(poll) => now_of(poll),
                None => continue,
            },
        };
        if stamp > now {
            let text = format!("stamped {stamp}, {} ms after {now}", (stamp - now) / 1_000_000);
            found(findings, "stamp-in-future", call, text);
        }
    }
}

fn in_time(instance: &Instance<'_>, polls: &[&Span], findings: &mut Vec<Finding>) {
    let wakes: Vec<&Span> = instance.told("wake").collect();
    let mut seen = 0;
    for pair in polls.windows(2) {
        let (before, now) = (now_of(pair[0]), now_of(pair[1]));
        if now < before {
            found(findings, "poll-back", pair[1], format!("now_ns {now} after {before} (line {})", pair[0].at));
        }
        let until = wakes.partition_point(|wake| wake.begin_ns < pair[1].begin_ns);
        let between = wakes[seen..until].iter().filter(|wake| wake.begin_ns > pair[0].begin_ns);
        seen = until;
        // A wake for now names no instant.
        let asked = between.filter_map(|wake| wake.line.next_ns).chain(pair[0].line.next_ns).filter(|next| *next > 0);
        // What is due already is due at the instant that was reached.
        let due = asked.min().map_or(u64::MAX, |due| due.max(before));
        if now.saturating_sub(due) > LATE_NS {
            let text = format!("at {now}, {} ms after the {due} that was asked for", (now - due) / 1_000_000);
            found(findings, "poll-late", pair[1], text);
        }
    }
}
