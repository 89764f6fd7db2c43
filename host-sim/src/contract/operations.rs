//! What the plugin asked for and what the host answered.

use std::collections::HashMap;

use super::Finding;
use super::read::Span;
use super::section::{Section, found};

/// VMSF_OP_ of this version.
const KNOWN: std::ops::RangeInclusive<u64> = 1..=6;
const OK: u64 = 0;
const UNSUPPORTED: u64 = 2;

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    for instance in section.instances() {
        let mut answers: HashMap<u64, Vec<&Span>> = HashMap::new();
        for answer in instance.called("complete") {
            answers.entry(number(answer)).or_default().push(answer);
        }
        let over = instance.told("event").filter(|event| event.line.code.as_deref() == Some("operation_over"));
        let over: HashMap<u64, &Span> = over.map(|event| (number(event), event)).collect();
        let told_over = |call: &Span| over.get(&number(call)).copied().filter(|over| call.is_after(over));
        for event in over.values().filter(|event| event.line.reason.as_deref() == Some("timeout")) {
            found(findings, "operation-timed-out", event, format!("operation {}", number(event)));
        }
        for call in instance.called("progress") {
            if let Some(over) = told_over(call) {
                let text = format!("`progress` of operation {}, which was given up in line {}", number(call), over.at);
                found(findings, "work-after-over", call, text);
            }
        }
        for answers in answers.values() {
            // The first that was accepted since it was last asked for.
            let mut accepted: Option<&Span> = None;
            for answer in answers {
                let asked = instance.asked(answer);
                accepted = accepted.filter(|first| asked.is_none_or(|asked| first.begin_ns >= asked.begin_ns));
                judge(answer, accepted, asked, told_over(answer), findings);
                accepted = accepted.or_else(|| answer.gave("OK").then_some(answer));
            }
        }
        for asked in instance.told("begin").filter(|asked| !is_known(asked)) {
            let answer = answers.get(&number(asked)).and_then(|answers| answers.first());
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

fn is_known(asked: &Span) -> bool {
    asked.line.kind.is_some_and(|kind| KNOWN.contains(&kind))
}

fn judge(answer: &Span, first: Option<&Span>, asked: Option<&Span>, over: Option<&Span>, findings: &mut Vec<Finding>) {
    let op = number(answer);
    if let Some(first) = first.filter(|first| answer.is_after(first)) {
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
    if answer.outcome() == Some(UNSUPPORTED) && asked.is_some_and(is_known) {
        found(findings, "operation-not-named", answer, format!("operation {op}"));
    }
}
