//! What the whole log says at the end of all lives: every accepted call and every operation came to an end that fits, and numbers only grow.
//!
//! A kill may take back what was decided and told but not on disk yet: then it is decided again, perhaps otherwise. What was *accepted* counts.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::check::{Call, Checker, Operation};

/// The outcome of what a takeover goes before.
const SUPERSEDED: &str = "superseded";

/// A backup that the log says was published.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Published {
    /// By which operation.
    pub op: u64,
    /// Its SHA-256.
    pub sha256: String,
    /// Where it was put.
    pub path: String,
}

/// What the log says of the operations and calls.
#[derive(Debug, Default)]
struct Ledger {
    /// Outcome and entry of each operation that ended.
    outcomes: BTreeMap<u64, Vec<(String, u64)>>,
    /// Codes and changes that an actor is behind.
    deeds: BTreeMap<String, BTreeSet<String>>,
}

impl Checker {
    /// Every rule that the whole log is needed for.
    pub(super) fn check_log(&mut self, entries: &[Value]) {
        for (index, entry) in entries.iter().enumerate() {
            if entry["seq"] != index as u64 + 1 {
                return self.fault(format!("entry {} of the log has the number {}", index + 1, entry["seq"]));
            }
        }
        self.check_told(entries);
        let ledger = Ledger::of(entries);
        self.check_operations(&ledger);
        self.check_calls(&ledger);
        self.published = self.check_published(entries);
        let superseded =
            |(op, ends): (&u64, &Vec<(String, u64)>)| ends.iter().any(|(end, _)| end == SUPERSEDED).then_some(*op);
        self.superseded = ledger.outcomes.iter().filter_map(superseded).collect();
        self.figures.published = self.published.values().map(|all| all.len() as u64).sum();
    }

    fn check_told(&mut self, entries: &[Value]) {
        let wrong = |(seq, (_, told)): (&u64, &(u32, String))| {
            let told: Value = serde_json::from_str(told).unwrap_or_default();
            let kept = usize::try_from(seq - 1).ok().and_then(|index| entries.get(index));
            (kept != Some(&told)).then(|| format!("event {seq} is not in the log as it was told: {told}"))
        };
        let wrong: Vec<String> = self.events.iter().filter_map(wrong).collect();
        wrong.into_iter().for_each(|text| self.fault(text));
    }

    fn check_operations(&mut self, ledger: &Ledger) {
        let mut wrong = Vec::new();
        for (op, operation) in &self.operations {
            let found = ledger.outcomes.get(op).map_or(&[][..], Vec::as_slice);
            if found.is_empty() {
                wrong.push(format!("operation {op} has no end: {operation:?}"));
            }
            let unfit = found.iter().filter(|(outcome, _)| !operation.may_end(outcome));
            wrong.extend(
                unfit.map(|(outcome, seq)| format!("entry {seq}: operation {op} ended {outcome}: {operation:?}")),
            );
        }
        for op in self.access.superseded() {
            let found = ledger.outcomes.get(&op).map_or(&[][..], Vec::as_slice);
            if !found.iter().any(|(outcome, _)| outcome == SUPERSEDED) {
                wrong.push(format!("the token of {op} was not handed on, and no takeover went before it: {found:?}"));
            }
        }
        for op in &self.must_be_over {
            let found = ledger.outcomes.get(op).map_or(&[][..], Vec::as_slice);
            if self.operations.get(op).is_some_and(|operation| operation.refused)
                && !found.iter().any(|(outcome, _)| outcome == SUPERSEDED || outcome == "interrupted")
            {
                wrong.push(format!("the answer to {op} was refused though it was never given up: {found:?}"));
            }
        }
        for (op, seq) in ledger.interrupted() {
            // Where it was told is where it was decided; of what was only logged nobody knows.
            let Some((told_in, _)) = self.events.get(&seq) else { continue };
            if self.operations.get(&op).is_some_and(|operation| operation.life >= *told_in) {
                wrong.push(format!("entry {seq}: operation {op} was interrupted in the life that began it"));
            }
        }
        wrong.into_iter().for_each(|text| self.fault(text));
    }

    fn check_calls(&mut self, ledger: &Ledger) {
        let accepted = self.calls.iter().filter(|(_, call)| call.accepted);
        let lost = accepted.filter(|(actor, call)| !ledger.has_end_of(actor, call));
        let lost: Vec<String> = lost.map(|(actor, call)| ledger.lost(actor, call)).collect();
        lost.into_iter().for_each(|text| self.fault(text));
    }

    /// Numbers grow and are never given twice; the same backup may be told twice.
    fn check_published(&mut self, entries: &[Value]) -> BTreeMap<String, BTreeMap<u64, Published>> {
        let mut all: BTreeMap<String, BTreeMap<u64, Published>> = BTreeMap::new();
        let good = |entry: &&Value| entry["code"] == "backup" && entry["details"]["result"] == "ok";
        for entry in entries.iter().filter(good) {
            let (details, text) = (&entry["details"], |value: &Value| value.as_str().unwrap_or_default().to_owned());
            let (op, number) = (details["op"].as_u64().unwrap_or(0), details["number"].as_u64().unwrap_or(0));
            let published = Published { op, sha256: text(&details["sha256"]), path: text(&details["path"]) };
            let known = all.entry(text(&entry["server"])).or_default();
            let newest = known.last_key_value().map_or(0, |(number, _)| *number);
            let again = known.get(&number) == Some(&published);
            if !again && (number <= newest || known.values().any(|other| other.op == op)) {
                self.fault(format!("a backup has the number {number} after {newest}: {entry}"));
            }
            known.insert(number, published);
        }
        all
    }
}

impl Operation {
    /// Whether it may have ended so, by the answers that it had.
    fn may_end(&self, outcome: &str) -> bool {
        let is_login = matches!(self.operation.as_str(), "authorize" | "join_cluster");
        let yields = matches!(self.operation.as_str(), "authorize" | "deauthorize" | "backup");
        match outcome {
            "ok" => self.answered.map_or(self.answers.contains(&true), |answer| answer || self.answers.len() > 1),
            "failed" => self.answered.map_or(self.answers.contains(&false), |answer| !answer || self.answers.len() > 1),
            SUPERSEDED => yields,
            "interrupted" => is_login && self.answered.is_none(),
            _ => false,
        }
    }
}

impl Ledger {
    fn of(entries: &[Value]) -> Self {
        let mut ledger = Self::default();
        for entry in entries {
            let (code, details) = (entry["code"].as_str().unwrap_or_default(), &entry["details"]);
            if let (Some(op), Some(outcome)) = (details["op"].as_u64(), details["outcome"].as_str()) {
                ledger.outcomes.entry(op).or_default().push((outcome.into(), entry["seq"].as_u64().unwrap_or(0)));
            }
            if let Some(actor) = entry["actor"].as_str() {
                let what = match code {
                    "takeover" => format!("takeover {}", details["to"].as_str().unwrap_or_default()),
                    "completed" => format!("completed {}", details["operation"].as_str().unwrap_or_default()),
                    code => code.to_owned(),
                };
                ledger.deeds.entry(actor.to_owned()).or_default().insert(what);
            }
        }
        ledger
    }

    fn interrupted(&self) -> Vec<(u64, u64)> {
        let all = self.outcomes.iter().flat_map(|(op, ends)| ends.iter().map(|(outcome, seq)| (*op, outcome, *seq)));
        all.filter(|(_, outcome, _)| *outcome == "interrupted").map(|(op, _, seq)| (op, seq)).collect()
    }

    /// Whether an accepted call has taken effect, or the log says why not.
    fn has_end_of(&self, actor: &str, call: &Call) -> bool {
        let ends: &[&str] = match call.call.as_str() {
            "takeover" => &["takeover queued", "claimed"],
            "restore" => &["takeover restoring"],
            "cancel" => &["takeover none"],
            "authorize" => &["completed authorize"],
            "deauthorize" => &["completed deauthorize"],
            "backup" => &["backup"],
            "backup_all" => &["backup_run_ended"],
            "join_cluster" => &["completed join_cluster"],
            // Nothing is said where nothing changes; `access` has looked at what comes of them.
            _ => return true,
        };
        let deeds = self.deeds.get(actor);
        deeds.is_some_and(|deeds| deeds.contains("overtaken") || ends.iter().any(|end| deeds.contains(*end)))
    }

    fn lost(&self, actor: &str, call: &Call) -> String {
        format!("the accepted call {call:?} of {actor} has no end in the log; of it: {:?}", self.deeds.get(actor))
    }
}
