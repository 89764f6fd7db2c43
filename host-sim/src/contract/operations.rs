//! What the plugin asked for and what the host answered.

use super::Finding;
use super::read::Span;
use super::section::{Section, found};

/// VMSF_OP_ of this version.
const KNOWN: std::ops::RangeInclusive<u64> = 1..=6;
const OK: u64 = 0;
const UNSUPPORTED: u64 = 2;

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    for instance in section.instances() {
        let plugin = instance.plugin;
        let calls = |name: &'static str| section.calls_of(plugin).filter(move |call| call.name == name);
        let answers: Vec<&Span> = calls("complete").collect();
        let begun: Vec<&Span> = section.callbacks_of(plugin, "begin").collect();
        let over = |event: &&Span| event.line.code.as_deref() == Some("operation_over");
        let over: Vec<&Span> = section.callbacks_of(plugin, "event").filter(over).collect();
        let told_over =
            |call: &Span| over.iter().copied().find(|over| over.line.op == call.line.op && call.is_after(over));
        for event in over.iter().filter(|event| event.line.reason.as_deref() == Some("timeout")) {
            found(findings, "operation-timed-out", event, format!("operation {}", number(event)));
        }
        for call in calls("progress") {
            if let Some(over) = told_over(call) {
                let text = format!("`progress` of operation {}, which was given up in line {}", number(call), over.at);
                found(findings, "work-after-over", call, text);
            }
        }
        for answer in &answers {
            judge(answer, &answers, &begun, told_over(answer), findings);
        }
        for asked in begun.iter().filter(|asked| !asked.line.kind.is_some_and(|kind| KNOWN.contains(&kind))) {
            let answer = answers.iter().find(|answer| answer.line.op == asked.line.op);
            let what = match answer {
                Some(answer) if answer.outcome() == Some(UNSUPPORTED) => continue,
                Some(answer) => format!("it was answered in line {} as if it were known", answer.at),
                None if section.is_whole => "it was not answered".into(),
                None => continue,
            };
            let kind = asked.line.kind.unwrap_or_default();
            found(findings, "unknown-operation", asked, format!("operation {} of kind {kind}: {what}", number(asked)));
        }
    }
}

fn number(span: &Span) -> u64 {
    span.line.op.unwrap_or_default()
}

fn judge(answer: &Span, answers: &[&Span], begun: &[&Span], over: Option<&Span>, findings: &mut Vec<Finding>) {
    let op = number(answer);
    // What counts is the last time that it was asked for: after another start it is asked for again.
    let asked = begun.iter().rev().find(|asked| asked.line.op == Some(op) && asked.begin_ns < answer.begin_ns);
    let since = asked.map_or(0, |asked| asked.begin_ns);
    let first = answers.iter().find(|other| {
        other.line.op == Some(op) && other.gave("OK") && answer.is_after(other) && other.begin_ns >= since
    });
    if let Some(first) = first {
        let text = format!("operation {op} was answered in line {}, and again: {}", first.at, answer.result());
        found(findings, "answered-twice", answer, text);
    } else if let Some(over) = over {
        if answer.outcome() == Some(OK) {
            let text = format!("operation {op} was given up in line {}, and answered with ok after that", over.at);
            found(findings, "late-ok", answer, text);
        }
    } else if asked.is_none() && answer.gave("ERR_NOT_FOUND") {
        found(findings, "answer-to-nothing", answer, format!("operation {op}"));
    }
    let is_known = asked.and_then(|asked| asked.line.kind).is_some_and(|kind| KNOWN.contains(&kind));
    if answer.outcome() == Some(UNSUPPORTED) && is_known {
        found(findings, "operation-not-named", answer, format!("operation {op}"));
    }
}
