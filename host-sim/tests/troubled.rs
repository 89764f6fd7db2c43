//! Random scenarios full of crashes, damage, backups and tokens: whatever happens, the rules that hold at any instant hold.
//!
//! The scenario's host checks on its own what it is handed: tokens, backups and their hashes. More seeds: `TROUBLED=200 cargo test -p host-sim
//! --test troubled`; one of them: `host-sim random --troubled --seed N`.

#[path = "../../tests/support/polite.rs"]
mod polite;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use host_sim::commands::trace_of;
use host_sim::plugin::Plugin;
use host_sim::random;
use host_sim::scenario::Scenario;
use host_sim::trace::{TraceLine, What, to_json_lines};

/// How many seeds, unless the environment says otherwise.
const SEEDS: u64 = 15;

fn trace(plugin: &Arc<Plugin>, scenario: &Scenario) -> Vec<TraceLine> {
    trace_of(plugin, scenario).unwrap_or_else(|failure| {
        panic!("{}: {}\nthe trace until then:\n{}", scenario.name, failure.text, to_json_lines(&failure.trace))
    })
}

/// What a line breaks, having seen all before it.
#[derive(Default)]
struct Watch {
    begun: BTreeSet<u64>,
    ended: BTreeSet<u64>,
    holder: Option<String>,
    states: BTreeMap<String, String>,
    outcome: Option<(String, String)>,
    /// Begun before the newest state was damaged; what that said of a server is not known until it moves.
    begun_before: Option<BTreeSet<u64>>,
    seen: BTreeSet<&'static str>,
}

impl Watch {
    /// What the newest state said is lost with it, and may be told again. Nothing else is, and the slot is one all the same.
    fn forget(&mut self) {
        let Watch { mut begun, begun_before, seen, .. } = std::mem::take(self);
        begun.extend(begun_before.unwrap_or_default());
        *self = Watch { begun_before: Some(begun), seen, ..Watch::default() };
    }

    fn fault(&mut self, what: &What) -> Option<String> {
        let after = self.outcome.take();
        match what {
            What::Operation { op, resumed, .. } => {
                self.seen.insert(if *resumed { "resumed" } else { "operation" });
                // One that had not been begun when its host was killed is begun by the next, for the first time.
                let again = !self.begun.insert(*op);
                (again && !resumed)
                    .then(|| format!("operation {op} is begun twice"))
                    .or_else(|| self.ended.contains(op).then(|| format!("operation {op} is begun after its end")))
            }
            What::Completed { op, operation, server, outcome } => {
                self.seen.insert("completed");
                self.outcome = (operation == "backup").then(|| (server.clone().unwrap_or_default(), outcome.clone()));
                // An authorization may be cut off between its call and its begin.
                // The first ones belong to the preparation, of which no trace tells.
                let was = |before: &BTreeSet<u64>| before.contains(op) || before.first().is_none_or(|first| op < first);
                let before = self.begun_before.as_ref().is_some_and(was);
                let begun = self.begun.contains(op) || before || outcome == "interrupted";
                let unknown = (!begun).then(|| format!("operation {op} ended and was never begun"));
                unknown.or_else(|| (!self.ended.insert(*op)).then(|| format!("operation {op} ended twice")))
            }
            What::Backup { server, result } => {
                self.seen.insert("backup");
                // A failure may have other causes; a backup that is published was asked for and done.
                let done = after == Some((server.clone(), "ok".to_owned()));
                (result == "ok" && !done).then(|| format!("{server} has a backup that the host did not make"))
            }
            What::Takeover { server, from, to, .. } => self.moved(server, from, to),
            _ => None,
        }
    }

    fn moved(&mut self, server: &str, from: &str, to: &str) -> Option<String> {
        self.seen.insert("takeover");
        let known = self.states.insert(server.to_owned(), to.to_owned());
        let before = known.unwrap_or_else(|| if self.begun_before.is_some() { from } else { "none" }.to_owned());
        if before != from {
            return Some(format!("{server} is {before} and leaves {from}"));
        }
        let holds = |state: &str| matches!(state, "taking_over" | "taken_over" | "restoring");
        if holds(from) {
            // Known already, unless it was forgotten.
            let holder = self.holder.get_or_insert_with(|| server.to_owned());
            if holder != server {
                return Some(format!("{holder} and {server} hold the slot"));
            }
        }
        let holds = holds(to);
        match self.holder.clone() {
            Some(holder) if holds && holder != server => return Some(format!("{holder} and {server} hold the slot")),
            Some(holder) if !holds && holder == server => self.holder = None,
            _ if holds => self.holder = Some(server.to_owned()),
            _ => {}
        }
        None
    }
}

fn finds_damage(what: &What) -> bool {
    matches!(what, What::Alarm { code, .. } if code == "state_damaged")
}

#[test]
fn whatever_befalls_the_host_nothing_is_doubled_and_the_slot_is_one() {
    let plugin = polite::plugin();
    let seeds = std::env::var("TROUBLED").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut seen = BTreeSet::new();
    for seed in 0..seeds {
        let scenario = random::troubled(seed);
        let trace = trace(&plugin, &scenario);
        let mut watch = Watch::default();
        for (n, line) in trace.iter().enumerate() {
            // The life that finds the damage says first what it goes on with.
            let begins_instant = n == 0 || trace[n - 1].at_ms < line.at_ms;
            if begins_instant && trace[n..].iter().take_while(|l| l.at_ms == line.at_ms).any(|l| finds_damage(&l.what))
            {
                watch.forget();
                watch.seen.insert("state_damaged");
            }
            if let Some(fault) = watch.fault(&line.what) {
                panic!("seed {seed}, at {} ms: {fault}\n{}", line.at_ms, to_json_lines(&trace));
            }
        }
        seen.append(&mut watch.seen);
    }
    assert_eq!(seen.len(), 6, "{seen:?}");
}

#[test]
fn the_same_seed_gives_twice_the_same_bytes_over_all_its_lives() {
    let plugin = polite::plugin();
    for seed in 1000..1005 {
        let scenario = random::troubled(seed);
        let run = || to_json_lines(&trace(&plugin, &scenario));
        assert_eq!(run(), run(), "host-sim random --troubled --seed {seed}");
    }
}
