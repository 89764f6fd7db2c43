//! Random scenarios full of crashes, damage, backups and tokens: whatever happens, the rules that hold at any instant hold.
//!
//! The scenario's host checks on its own what it is handed: tokens, backups and their hashes. More seeds: `TROUBLED=200 cargo test -p host-sim
//! --test troubled`; one of them: `host-sim random --troubled --seed N`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use host_sim::commands::trace_of;
use host_sim::plugin::{self, Plugin};
use host_sim::random;
use host_sim::scenario::{Action, Mishap, Scenario};
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
    seen: BTreeSet<&'static str>,
}

impl Watch {
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
                let begun = self.begun.contains(op) || outcome == "interrupted";
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
        let before = self.states.insert(server.to_owned(), to.to_owned()).unwrap_or_else(|| "none".to_owned());
        if before != from {
            return Some(format!("{server} is {before} and leaves {from}"));
        }
        let holds = matches!(to, "taking_over" | "taken_over" | "restoring");
        match self.holder.clone() {
            Some(holder) if holds && holder != server => return Some(format!("{holder} and {server} hold the slot")),
            Some(holder) if !holds && holder == server => self.holder = None,
            _ if holds => self.holder = Some(server.to_owned()),
            _ => {}
        }
        None
    }
}

#[test]
fn whatever_befalls_the_host_nothing_is_doubled_and_the_slot_is_one() {
    let plugin = Plugin::load(&plugin::find(None).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    let seeds = std::env::var("TROUBLED").map_or(SEEDS, |seeds| seeds.parse().unwrap());
    let mut seen = BTreeSet::new();
    for seed in 0..seeds {
        let scenario = random::troubled(seed);
        // What the newest state said is lost with it, and may be told again.
        let forgets = scenario.steps.iter().any(|step| step.action == Action::Mishap(Mishap::CorruptState));
        let trace = trace(&plugin, &scenario);
        let mut watch = Watch::default();
        for line in &trace {
            if let Some(fault) = watch.fault(&line.what).filter(|_| !forgets) {
                panic!("seed {seed}, at {} ms: {fault}\n{}", line.at_ms, to_json_lines(&trace));
            }
        }
        seen.append(&mut watch.seen);
    }
    assert_eq!(seen.len(), 5, "{seen:?}");
}

#[test]
fn the_same_seed_gives_twice_the_same_bytes_over_all_its_lives() {
    let plugin = Plugin::load(&plugin::find(None).unwrap()).unwrap_or_else(|e| panic!("{e}"));
    for seed in 1000..1005 {
        let scenario = random::troubled(seed);
        let run = || to_json_lines(&trace(&plugin, &scenario));
        assert_eq!(run(), run(), "host-sim random --troubled --seed {seed}");
    }
}
