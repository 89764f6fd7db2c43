//! What a good host does with what it is told.

use std::collections::HashMap;

use super::Finding;
use super::read::Span;
use super::section::{CONTROL, Section, found};

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    if section.is_whole {
        let busy = section.calls().filter(|call| call.name == "create" && call.gave("ERR_BUSY"));
        for create in busy.filter(|busy| !section.calls().any(|call| call.name == "create" && call.is_after(busy))) {
            found(findings, "busy-ignored", create, "`create`: another instance has the state directory".into());
        }
    }
    for instance in section.instances() {
        let calls = &instance.calls;
        if section.is_whole {
            cluster(calls, findings);
            errors(calls, findings);
            repeated(calls, findings);
        }
        let living: Vec<&Span> =
            calls.iter().copied().filter(|call| !instance.destroyed.is_some_and(|end| call.is_after(end))).collect();
        handles(&living, findings);
        for call in calls.iter().filter(|call| is_wrong(call)) {
            found(findings, "bad-argument", call, format!("`{}` gave {}", call.name, call.result()));
        }
    }
}

fn cluster(calls: &[&Span], findings: &mut Vec<Finding>) {
    let started = calls.iter().find(|call| call.name == "start" && call.gave("OK"));
    let told = calls.iter().any(|call| matches!(&*call.name, "cluster" | "join_cluster"));
    if let (Some(start), false) = (started, told) {
        found(findings, "cluster-never-told", start, "neither `cluster` nor `join_cluster` was called".into());
    }
}

/// Whether it failed with a text that says more than the code.
fn has_text(call: &Span) -> bool {
    let said = !["OK", "ERR_TOO_SMALL", "ERR_BUSY", "ERR_HANDLE", "ERR_TIMEOUT"].iter().any(|code| call.gave(code));
    let ends_a_list = call.name == "next_server" && call.gave("ERR_NOT_FOUND");
    said && call.end_ns.is_some() && call.name != "notify" && !ends_a_list
}

fn errors(calls: &[&Span], findings: &mut Vec<Finding>) {
    let Some(first) = calls.iter().find(|call| has_text(call)) else { return };
    if !calls.iter().any(|call| call.name == "last_error" && call.is_after(first)) {
        let count = calls.iter().filter(|call| has_text(call)).count();
        let text = format!("{count} calls failed, the first is `{}`: {}", first.name, first.result());
        found(findings, "error-never-read", first, text);
    }
}

/// What was to be called again and was not.
fn repeated(calls: &[&Span], findings: &mut Vec<Finding>) {
    for (index, call) in calls.iter().enumerate() {
        let rule = if call.gave("ERR_TOO_SMALL") {
            "too-small-ignored"
        } else if call.gave("ERR_BUSY") && call.name != "notify" && !CONTROL.contains(&&*call.name) {
            "busy-ignored"
        } else {
            continue;
        };
        let same = |other: &&&Span| {
            other.name == call.name && other.line.server == call.line.server && other.line.op == call.line.op
        };
        let again = calls[index + 1..].iter().filter(same).any(|other| other.is_after(call));
        if !again {
            found(findings, rule, call, format!("`{}` gave {} and was not called again", call.name, call.result()));
        }
    }
}

/// Handles of servers that were refused before.
fn handles(calls: &[&Span], findings: &mut Vec<Finding>) {
    let mut refused: HashMap<&str, &Span> = HashMap::new();
    for call in calls.iter().filter(|call| call.gave("ERR_HANDLE")) {
        let Some(server) = call.line.server.as_deref() else { continue };
        let before = refused.entry(server).or_insert(call);
        if call.is_after(before) {
            let text = format!("`{}` with server {server}, which was refused in line {} already", call.name, before.at);
            found(findings, "stale-server-handle", call, text);
        }
    }
}

fn is_wrong(call: &Span) -> bool {
    let unknown_kind = call.name == "notify" && call.gave("ERR_UNSUPPORTED");
    unknown_kind || ["ERR_INVALID", "ERR_UTF8", "ERR_JSON", "ERR_LIMIT"].iter().any(|code| call.gave(code))
}
