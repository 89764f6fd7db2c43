//! A mass failure as the log on disk tells it: when more than 1,000 changes happen in one instant, a few entries of code `mass` list the servers, or
//! the old entries would be rotated away by lines that all say the same.
//!
//! The host still hears of each change by itself. Pure; called by `runtime` with what it is about to write.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use vms_failover_abi as abi;

use super::store::LINE_MAX;
use super::{Entry, Subject, severity_name};
use crate::engine::output::What;
use crate::time::utc;

/// More changes than this in one instant are told together.
const CHANGES_APART: usize = 1_000;
/// What a line has beside its lists.
const FRAME: usize = 1_024;

/// The lines for these entries, in order; each at most as long as a line may be.
pub fn lines(entries: &[Entry]) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    for instant in entries.chunk_by(|one, next| one.at == next.at) {
        if instant.iter().filter(|entry| is_change(entry)).count() <= CHANGES_APART {
            lines.extend(instant.iter().map(line));
            continue;
        }
        let mut mass = Mass::default();
        for entry in instant {
            if is_change(entry) {
                lines.extend(mass.add(entry));
            } else {
                lines.extend(mass.take());
                lines.push(line(entry));
            }
        }
        lines.extend(mass.take());
    }
    lines
}

fn line(entry: &Entry) -> (u64, String) {
    let (seq, line) = (entry.seq, entry.words().json);
    if line.len() <= LINE_MAX {
        return (seq, line);
    }
    let text = "an entry was too long to be kept";
    (seq, json!({ "seq": seq, "severity": "warning", "code": "too_long", "text": text }).to_string())
}

/// What thousands of servers may have in common.
fn is_change(entry: &Entry) -> bool {
    let Subject::Engine(output, _) = &entry.subject else { return false };
    let in_common =
        matches!(output.what, What::Health { .. } | What::Takeover { .. } | What::Alarm { .. } | What::AlarmEnded { .. });
    in_common && entry.server.is_some() && output.request.is_none()
}

/// Changes of one kind.
struct Kind {
    severity: u32,
    code: &'static str,
    /// The change without its servers.
    json: Value,
    servers: Vec<Value>,
}

/// Changes that follow one another.
#[derive(Default)]
struct Mass<'a> {
    first: Option<&'a Entry>,
    last: Option<&'a Entry>,
    /// By their common JSON.
    kinds: BTreeMap<String, Kind>,
    size: usize,
}

impl<'a> Mass<'a> {
    /// Adds a change; gives what there was if it has no room for it.
    fn add(&mut self, entry: &'a Entry) -> Option<(u64, String)> {
        let draft = entry.draft();
        let mut details = draft.details;
        // Of each server its own, and within the instant.
        if let Some(details) = details.as_object_mut() {
            details.remove("failed_at_ns");
        }
        let mut json = json!({ "code": draft.code, "severity": severity_name(draft.severity), "details": details });
        if let Subject::Engine(output, _) = &entry.subject
            && let Some(actor) = &output.actor
        {
            json["actor"] = actor.name().into();
        }
        let server = Value::from(entry.server.as_ref().map(|server| &*server.id));
        let (key, id) = (json.to_string(), server.to_string().len() + 1);
        let needs = id + if self.kinds.contains_key(&key) { 0 } else { key.len() + 16 };
        let full = if self.size + needs > LINE_MAX - FRAME { self.take() } else { None };
        self.size += if full.is_some() { id + key.len() + 16 } else { needs };
        self.first.get_or_insert(entry);
        self.last = Some(entry);
        let fresh = || Kind { severity: draft.severity, code: draft.code, json, servers: Vec::new() };
        self.kinds.entry(key).or_insert_with(fresh).servers.push(server);
        full
    }

    /// What there is as a line, if anything.
    fn take(&mut self) -> Option<(u64, String)> {
        let Mass { first, last, kinds, .. } = std::mem::take(self);
        let (first, last) = (first?, last?);
        let mut counts = BTreeMap::<&str, usize>::new();
        for kind in kinds.values() {
            *counts.entry(kind.code).or_default() += kind.servers.len();
        }
        let all: usize = counts.values().sum();
        let counts: Vec<String> = counts.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let severity = kinds.values().map(|kind| kind.severity).max().unwrap_or(abi::VMSF_SEVERITY_INFO);
        let changes = kinds.into_values().map(|Kind { mut json, servers, .. }| {
            json["servers"] = Value::Array(servers);
            json
        });
        let line = json!({
            "seq": last.seq, "utc": utc(last.utc_ms), "severity": severity_name(severity), "code": "mass",
            "text": format!("{all} changes in one instant, listed by server: {}", counts.join(", ")),
            "details": { "first_seq": first.seq, "changes": changes.collect::<Vec<Value>>() },
        });
        Some((last.seq, line.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::engine::health::Phase;
    use crate::engine::output::{Note, Output};
    use crate::engine::policy::ServerKey;
    use crate::log::Named;
    use crate::time::Mono;

    fn entry(seq: u64, at: u64, id: &str, what: What) -> Entry {
        let output = Output { server: Some(ServerKey(seq as u32)), actor: None, request: None, what };
        let server = Some(Named { handle: seq, id: Arc::from(id) });
        Entry { seq, at: Mono(at), utc_ms: 0, server, subject: Subject::Engine(output, None) }
    }

    fn back(seq: u64, at: u64, id: &str) -> Entry {
        entry(seq, at, id, What::Health { from: Phase::Failed, to: Phase::KeepAlive, reason: None, failed_at: None })
    }

    fn parsed(lines: &[(u64, String)]) -> Vec<Value> {
        lines.iter().map(|(_, line)| serde_json::from_str(line).unwrap()).collect()
    }

    #[test]
    fn a_thousand_changes_in_an_instant_are_a_line_each_and_one_more_is_one_line() {
        let all = |count: u64| (1..=count).map(|seq| back(seq, 5, &format!("s{seq}"))).collect::<Vec<_>>();
        assert_eq!(lines(&all(1_000)).len(), 1_000);
        let mass = lines(&all(1_001));
        let line = &parsed(&mass)[0];
        assert_eq!((mass.len(), mass[0].0), (1, 1_001), "it has the number of its last change");
        assert_eq!((&line["code"], &line["details"]["first_seq"]), (&json!("mass"), &json!(1)));
        let change = &line["details"]["changes"][0];
        assert_eq!((&change["code"], &change["details"]["to"]), (&json!("health"), &json!("keep_alive")));
        assert_eq!(change["servers"].as_array().unwrap().len(), 1_001);
        assert_eq!(change["servers"][1_000], "s1001");
    }

    #[test]
    fn another_instant_is_told_by_itself() {
        let mut all: Vec<Entry> = (1..=600).map(|seq| back(seq, 5, "a")).collect();
        all.extend((601..=1_200).map(|seq| back(seq, 6, "a")));
        assert_eq!(lines(&all).len(), 1_200);
    }

    #[test]
    fn the_longest_ids_fill_lines_that_are_never_too_long_and_no_server_is_missing() {
        // Each of these is six bytes as JSON.
        let id = |seq: u64| format!("{}{seq}", "\u{1}".repeat(50));
        let all: Vec<Entry> = (1..=5_000).map(|seq| back(seq, 5, &id(seq))).collect();
        let mass = lines(&all);
        assert!(mass.len() > 10 && mass.iter().all(|(_, line)| line.len() <= LINE_MAX), "{}", mass.len());
        let servers = parsed(&mass).iter().map(|line| line["details"]["changes"][0]["servers"].as_array().unwrap().len()).sum::<usize>();
        assert_eq!(servers, 5_000);
        let firsts: Vec<u64> = parsed(&mass).iter().map(|line| line["details"]["first_seq"].as_u64().unwrap()).collect();
        let behind: Vec<u64> = std::iter::once(1).chain(mass.iter().map(|(seq, _)| seq + 1)).take(firsts.len()).collect();
        assert_eq!(firsts, behind, "no number is in no line");
    }

    #[test]
    fn what_is_no_change_keeps_its_place_and_its_line() {
        let mut all: Vec<Entry> = (1..=2_000).map(|seq| back(seq, 5, "a")).collect();
        all[999] = entry(1_000, 5, "a", What::Note(Note::Disconnected));
        let lines = lines(&all);
        assert_eq!(lines.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [999, 1_000, 2_000]);
        assert_eq!(parsed(&lines)[1]["code"], "disconnected");
    }
}
