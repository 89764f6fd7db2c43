//! From `create` to `destroy`.

use super::Finding;
use super::read::Span;
use super::section::{CONTROL, Instance, Section, found};

/// What gives VMSF_ERR_STATE while the instance is stopped; of others that may be the server's state.
const WHILE_RUNNING: [&str; 8] =
    ["notify", "complete", "progress", "join_cluster", "authorize", "backup", "takeover", "restore"];

pub fn look(section: &Section<'_>, findings: &mut Vec<Finding>) {
    for call in section.calls().filter(|call| call.gave("ERR_HANDLE")) {
        let plugin = call.line.plugin.as_deref().unwrap_or("0");
        match section.instance_of(call) {
            None => {
                let text = format!("`{}` with {plugin}, which no `create` has given", call.name);
                found(findings, "unknown-instance", call, text);
            }
            Some(Instance { destroyed: Some(destroyed), .. }) if call.is_after(destroyed) => {
                let text = format!(
                    "`{}` on thread {}, with an instance destroyed in line {}",
                    call.name, call.thread, destroyed.at
                );
                found(findings, "call-after-destroy", call, text);
            }
            Some(_) => {}
        }
    }
    for instance in section.instances() {
        let calls = &instance.calls;
        ending(section, instance, calls, findings);
        at_the_end(section, instance, calls, findings);
        poisoned(section, instance, calls, findings);
        for call in calls.iter().filter(|call| call.gave("ERR_STATE") && WHILE_RUNNING.contains(&&*call.name)) {
            if !instance.runs_at(call.begin_ns) {
                found(findings, "call-while-stopped", call, format!("`{}` on thread {}", call.name, call.thread));
            }
        }
    }
}

fn ending(section: &Section<'_>, instance: &Instance<'_>, calls: &[&Span], findings: &mut Vec<Finding>) {
    let control: Vec<&&Span> =
        calls.iter().filter(|call| CONTROL.contains(&&*call.name) && call.line.inside.is_none()).collect();
    for (index, call) in control.iter().enumerate() {
        if call.name == "destroy" && call.gave("ERR_STATE") {
            let state = if instance.runs_at(call.begin_ns) { "it runs" } else { "it is not stopped yet" };
            found(findings, "destroy-before-stop", call, format!("`destroy` gave {}: {state}", call.result()));
        }
        if call.name == "stop" && call.gave("ERR_TIMEOUT") {
            let next = control[index + 1..].iter().find(|next| next.is_after(call));
            let what = match next {
                Some(next) if next.name == "stop" => continue,
                Some(next) => format!("the next call is `{}` (line {})", next.name, next.at),
                None if section.is_whole => "nothing follows".into(),
                None => continue,
            };
            found(findings, "stop-not-repeated", call, format!("`stop` gave {}, and {what}", call.result()));
        }
    }
}

fn at_the_end(section: &Section<'_>, instance: &Instance<'_>, calls: &[&Span], findings: &mut Vec<Finding>) {
    if !section.is_whole || instance.destroyed.is_some() {
        return;
    }
    let mut changes = calls.iter().rev().filter(|call| call.gave("OK") && matches!(&*call.name, "start" | "stop"));
    let line = section.last_line();
    let rule = match changes.next() {
        Some(start) if start.name == "start" => "not-stopped",
        _ => "not-destroyed",
    };
    let text = format!("instance {}, created in line {}", instance.plugin, instance.created.at);
    findings.push(Finding { rule, line, text });
}

fn poisoned(section: &Section<'_>, instance: &Instance<'_>, calls: &[&Span], findings: &mut Vec<Finding>) {
    let told = instance.told("event").find(|event| event.line.code.as_deref() == Some("poisoned"));
    let refused = calls.iter().copied().find(|call| call.gave("ERR_PANIC") || call.gave("ERR_POISONED"));
    let Some(first) = told.into_iter().chain(refused).min_by_key(|span| span.begin_ns) else { return };
    let is_replaced = section.instances().iter().any(|other| other.created.is_after(first));
    if section.is_whole && !(instance.destroyed.is_some() && is_replaced) {
        let what = if instance.destroyed.is_some() { "no other was created" } else { "it was not destroyed" };
        found(
            findings,
            "poisoned-not-replaced",
            first,
            format!("instance {} is poisoned, and {what}", instance.plugin),
        );
    }
}
