//! A mass failure as the log on disk tells it: when more than 1,000 changes happen in one instant, a few entries of code `mass` list the servers, or
//! the old entries would be rotated away by lines that all say the same.
//!
//! The host still hears of each change by itself. Pure; called by `runtime` with what it is about to write.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;
use serde_json::{Value, json};
use vms_failover_abi as abi;

use super::store::LINE_MAX;
use super::{Draft, Entry, Line, Subject, severity_name};
use crate::engine::output::{Actor, Cause, What};
use crate::time::utc;

/// More changes than this in one instant are told together.
const CHANGES_APART: usize = 1_000;
/// What a line has beside its lists.
const FRAME: usize = 1_024;
/// More kinds of changes than this are not in one line.
const KINDS_MAX: usize = 32;

/// The lines for these entries, in order; each at most as long as a line may be.
pub fn lines(entries: &[Arc<Entry>]) -> Vec<(u64, String)> {
    let mut lines = Vec::new();
    for instant in entries.chunk_by(|one, next| one.at == next.at) {
        if instant.iter().filter(|entry| entry.server.is_some() && is_change(entry)).count() <= CHANGES_APART {
            lines.extend(instant.iter().map(|entry| line(entry)));
            continue;
        }
        let mut mass = Mass::default();
        for entry in instant {
            if let Some(server) = entry.server.as_ref().filter(|_| is_change(entry)) {
                lines.extend(mass.add(entry, &server.id));
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
    let in_common = matches!(
        output.what,
        What::Health { .. } | What::Takeover { .. } | What::Alarm { .. } | What::AlarmEnded { .. }
    );
    in_common && output.request.is_none()
}

/// Whether two changes differ in nothing but their server and the instant of its own.
fn alike(one: &Entry, other: &Entry) -> bool {
    let (Subject::Engine(one, _), Subject::Engine(other, _)) = (&one.subject, &other.subject) else { return false };
    one.actor == other.actor
        && match (&one.what, &other.what) {
            (What::Health { from, to, reason, .. }, What::Health { from: from2, to: to2, reason: reason2, .. }) => {
                (from, to, reason) == (from2, to2, reason2)
            }
            (What::Alarm { code, cause: Cause::Failure(_) }, What::Alarm { code: code2, cause: Cause::Failure(_) }) => {
                code == code2
            }
            (one, other) => one == other,
        }
}

/// Changes of one kind.
#[derive(Serialize)]
struct Kind<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Value::is_null")]
    details: Value,
    servers: Vec<&'a str>,
    severity: &'static str,
    #[serde(skip)]
    first: &'a Entry,
    #[serde(skip)]
    severity_number: u32,
}

impl<'a> Kind<'a> {
    fn new(first: &'a Entry) -> Kind<'a> {
        let Draft { severity, code, mut details, .. } = first.draft();
        // Of each server its own, and within the instant.
        if let Some(details) = details.as_object_mut() {
            details.remove("failed_at_ns");
        }
        let actor = match &first.subject {
            Subject::Engine(output, _) => output.actor.as_ref().map(Actor::name),
            _ => None,
        };
        let (name, servers) = (severity_name(severity), Vec::new());
        Kind { actor, code, details, servers, severity: name, first, severity_number: severity }
    }
}

/// Changes that follow one another.
#[derive(Default)]
struct Mass<'a> {
    first: Option<&'a Entry>,
    last: Option<&'a Entry>,
    /// Few: there are not many ways for a health or a takeover to change.
    kinds: Vec<Kind<'a>>,
    size: usize,
}

impl<'a> Mass<'a> {
    /// Adds a change; gives what there was if it has no room for it.
    fn add(&mut self, entry: &'a Entry, id: &'a str) -> Option<(u64, String)> {
        // Ids have no character that JSON writes in another way: in quotes, and with a comma.
        let mut needs = id.len() + 3;
        let place = self.kinds.iter().position(|kind| alike(kind.first, entry));
        let fresh = if place.is_none() { Some(Kind::new(entry)) } else { None };
        needs += fresh.as_ref().map_or(0, |kind| json!(kind).to_string().len());
        if self.size + needs > LINE_MAX - FRAME || (fresh.is_some() && self.kinds.len() == KINDS_MAX) {
            let full = self.take();
            // A line that is empty has room.
            self.add(entry, id);
            return full;
        }
        self.size += needs;
        self.first.get_or_insert(entry);
        self.last = Some(entry);
        self.kinds.extend(fresh);
        let place = place.unwrap_or(self.kinds.len() - 1);
        self.kinds[place].servers.push(id);
        None
    }

    /// What there is as a line, if anything.
    fn take(&mut self) -> Option<(u64, String)> {
        let Mass { first, last, kinds, .. } = std::mem::take(self);
        let (first, last) = (first?, last?);
        let mut counts = BTreeMap::<&str, usize>::new();
        for kind in &kinds {
            *counts.entry(kind.code).or_default() += kind.servers.len();
        }
        let all: usize = counts.values().sum();
        let counts: Vec<String> = counts.iter().map(|(code, count)| format!("{code} {count}")).collect();
        let severity = kinds.iter().map(|kind| kind.severity_number).max().unwrap_or(abi::VMSF_SEVERITY_INFO);
        let line = Line {
            actor: None,
            code: "mass",
            details: Some(Changes { changes: &kinds, first_seq: first.seq }),
            request: None,
            seq: last.seq,
            server: None,
            severity: severity_name(severity),
            text: &format!("{all} changes in one instant, listed by server: {}", counts.join(", ")),
            utc: &utc(last.utc_ms),
        };
        // Nothing in it can fail to be written.
        Some((last.seq, serde_json::to_string(&line).unwrap_or_default()))
    }
}

/// What stands in the details.
#[derive(Serialize)]
struct Changes<'a> {
    changes: &'a [Kind<'a>],
    /// The numbers from this one up to the entry's own are told here.
    first_seq: u64,
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::health::Phase;
    use crate::engine::output::{Note, Output};
    use crate::engine::policy::ServerKey;
    use crate::log::Named;
    use crate::time::Mono;

    fn entry(seq: u64, at: u64, id: &str, what: What) -> Arc<Entry> {
        let output = Output { server: Some(ServerKey(seq as u32)), actor: None, request: None, what };
        let server = Some(Named { handle: seq, id: Arc::from(id) });
        Arc::new(Entry { seq, at: Mono(at), utc_ms: 0, server, subject: Subject::Engine(output, None) })
    }

    fn back(seq: u64, at: u64, id: &str) -> Arc<Entry> {
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
        let mut all: Vec<Arc<Entry>> = (1..=600).map(|seq| back(seq, 5, "a")).collect();
        all.extend((601..=1_200).map(|seq| back(seq, 6, "a")));
        assert_eq!(lines(&all).len(), 1_200);
    }

    #[test]
    fn the_longest_ids_fill_lines_that_are_never_too_long_and_no_server_is_missing() {
        let id = |seq: u64| format!("{}{seq:04}", "s".repeat(60));
        let all: Vec<Arc<Entry>> = (1..=5_000).map(|seq| back(seq, 5, &id(seq))).collect();
        let mass = lines(&all);
        assert!(mass.len() > 5 && mass.iter().all(|(_, line)| line.len() <= LINE_MAX), "{}", mass.len());
        let servers = parsed(&mass)
            .iter()
            .map(|line| line["details"]["changes"][0]["servers"].as_array().unwrap().len())
            .sum::<usize>();
        assert_eq!(servers, 5_000);
        let firsts: Vec<u64> =
            parsed(&mass).iter().map(|line| line["details"]["first_seq"].as_u64().unwrap()).collect();
        let behind: Vec<u64> =
            std::iter::once(1).chain(mass.iter().map(|(seq, _)| seq + 1)).take(firsts.len()).collect();
        assert_eq!(firsts, behind, "no number is in no line");
    }

    #[test]
    fn what_is_no_change_keeps_its_place_and_its_line() {
        let mut all: Vec<Arc<Entry>> = (1..=2_000).map(|seq| back(seq, 5, "a")).collect();
        all[999] = entry(1_000, 5, "a", What::Note(Note::Disconnected));
        let lines = lines(&all);
        assert_eq!(lines.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [999, 1_000, 2_000]);
        assert_eq!(parsed(&lines)[1]["code"], "disconnected");
    }
}
