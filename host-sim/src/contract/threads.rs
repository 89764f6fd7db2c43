//! Who calls when, from where, on which thread.

use super::Finding;
use super::read::{Inside, Span};
use super::section::{CONTROL, Section, found};

const SLOW_NS: u64 = 10_000_000;
const BLOCKS_NS: u64 = 100_000_000;
/// A callback that is that much older than the last line has not just been begun.
const NEVER_NS: u64 = 1_000_000_000;
/// These may block.
const MAY_BLOCK: [&str; 4] = ["store", "load", "remove", "get_extension"];

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    for instance in section.instances() {
        let control =
            instance.calls.iter().copied().filter(|call| CONTROL.contains(&&*call.name) && call.line.inside.is_none());
        overlaps("control-overlap", &control.collect::<Vec<_>>(), findings);
        let polls = instance.called("poll").filter(|call| call.line.inside.is_none());
        overlaps("poll-overlap", &polls.collect::<Vec<_>>(), findings);
    }
    for call in section.calls() {
        from_inside(call, findings);
        if let Some(child) = call.line.fork {
            found(findings, "fork-child", call, format!("`{}` was called in process {child}, a fork child", call.name));
        }
    }
    for callback in section.callbacks() {
        how_long(section, callback, findings);
    }
}

/// Calls under way on two threads at once; in the order of their beginnings.
fn overlaps(rule: &'static str, calls: &[&Span], findings: &mut Vec<Finding>) {
    let mut longest: Option<&Span> = None;
    for call in calls {
        if let Some(other) = longest
            && call.thread != other.thread
            && call.begin_ns < other.end()
        {
            let (name, thread, line) = (&other.name, other.thread, other.at);
            let text = format!(
                "`{}` on thread {} while `{name}` (line {line}) runs on thread {thread}",
                call.name, call.thread
            );
            found(findings, rule, call, format!("{text}; it gave {}", call.result()));
        }
        if longest.is_none_or(|other| call.end() > other.end()) {
            longest = Some(call);
        }
    }
}

fn from_inside(call: &Span, findings: &mut Vec<Finding>) {
    let is_bound = CONTROL.contains(&&*call.name) || matches!(&*call.name, "create" | "poll");
    let (rule, place) = match call.line.inside {
        Some(Inside::Wake) => ("call-in-wake", "`wake`"),
        Some(Inside::Callback) if is_bound => ("control-in-callback", "a callback"),
        _ => return,
    };
    let text = format!("`{}` on thread {}, from inside {place}, gave {}", call.name, call.thread, call.result());
    found(findings, rule, call, text);
}

fn how_long(section: &Section<'_>, callback: &Span, findings: &mut Vec<Finding>) {
    let Some(end_ns) = callback.end_ns else {
        let age = section.last_ns().saturating_sub(callback.begin_ns);
        // In a trace that ends with the life of its process a callback may just have begun.
        if section.is_whole && age >= NEVER_NS {
            let text = format!(
                "`{}` on thread {} has not returned after {} s",
                callback.name,
                callback.thread,
                age / 1_000_000_000
            );
            found(findings, "callback-never-returned", callback, text);
        }
        return;
    };
    let took = end_ns - callback.begin_ns;
    if took <= SLOW_NS || MAY_BLOCK.contains(&&*callback.name) {
        return;
    }
    let rule = if took > BLOCKS_NS { "callback-blocks" } else { "callback-slow" };
    found(findings, rule, callback, format!("`{}` took {} ms", callback.name, took / 1_000_000));
}
