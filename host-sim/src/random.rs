//! Random scenarios: valid, with every kind of step that this version runs, and the same for the same seed, for ever.
//!
//! They are made to meet edges: gaps of exactly a timeout and one millisecond off, answers exactly at the deadline of their
//! operation, hosts that fail or fall silent, configurations that change under way, frozen hosts.
//!
//! A *troubled* one is the same with all that goes past a life without a disk: backups by hand and by the clock, tokens, the cluster, hosts
//! that are stopped or killed, damaged files.

use fastrand::Rng;
use serde_json::{Value, json};

use crate::scenario::{EventKind, Scenario};

/// The random scenario of a seed.
#[must_use]
pub fn scenario(seed: u64) -> Scenario {
    parsed(&format!("seed {seed}"), &document(seed))
}

fn parsed(name: &str, document: &Value) -> Scenario {
    match Scenario::parse(name, &document.to_string()) {
        Ok(scenario) => scenario,
        Err(bad) => unreachable!("a random scenario is valid: {bad}"),
    }
}

/// The same as a document.
#[must_use]
pub fn document(seed: u64) -> Value {
    Maker::new(seed).document(seed)
}

/// The troubled scenario of a seed.
#[must_use]
pub fn troubled(seed: u64) -> Scenario {
    parsed(&format!("troubled seed {seed}"), &troubled_document(seed))
}

/// The same as a document.
#[must_use]
pub fn troubled_document(seed: u64) -> Value {
    let mut maker = Maker::new(seed);
    let mut document = maker.document(seed);
    document["name"] = json!(format!("troubled scenario of seed {seed}"));
    document["start_utc"] = json!(maker.pick(&["2026-01-01T01:40:00Z", "2028-02-28T23:50:00Z"]));
    maker.trouble();
    if let Some(steps) = document["steps"].as_array_mut() {
        steps.append(&mut maker.steps);
        // Each configuration of the scenario, so that a change of it changes no more than it says.
        let configs = steps.iter_mut().filter_map(|step| step.get_mut("config"));
        let rules = maker.rules();
        configs.for_each(|config| add(config, &rules));
        add(&mut document["config"], &rules);
    }
    let host = maker.host_in_trouble();
    add(&mut document["host"], &host);
    document
}

/// Adds members to an object, and elements to its lists.
fn add(to: &mut Value, more: &Value) {
    for (key, value) in more.as_object().into_iter().flatten() {
        match (to[key].as_array_mut(), value.as_array()) {
            (Some(list), Some(more)) => list.extend(more.iter().cloned()),
            _ => to[key] = value.clone(),
        }
    }
}

struct Maker {
    rng: Rng,
    servers: Vec<String>,
    until_ms: u64,
    steps: Vec<Value>,
}

impl Maker {
    fn new(seed: u64) -> Self {
        Self { rng: Rng::with_seed(seed), servers: Vec::new(), until_ms: 0, steps: Vec::new() }
    }

    fn document(&mut self, seed: u64) -> Value {
        self.servers = (1..=self.rng.u32(2..=6)).map(|n| format!("s{n}")).collect();
        self.until_ms = self.rng.u64(20..=90) * 60_000;
        let config = self.config();
        for server in self.servers.clone() {
            self.life(&server);
        }
        self.calls();
        self.changes(&config);
        self.frozen();
        let host = self.host();
        let steps = std::mem::take(&mut self.steps);
        json!({
            "name": format!("random scenario of seed {seed}"), "prepared": true, "config": config, "host": host,
            "steps": steps, "until_ms": self.until_ms,
        })
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.rng.u32(0..100) < percent
    }

    fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.rng.usize(0..from.len())]
    }

    fn server(&mut self) -> String {
        let n = self.rng.usize(0..self.servers.len());
        self.servers[n].clone()
    }

    fn instant(&mut self) -> u64 {
        let ms = self.rng.u64(0..=self.until_ms);
        // Whole seconds make coincidences likely.
        if self.chance(70) { ms / 1000 * 1000 } else { ms }
    }

    fn config(&mut self) -> Value {
        let servers: Vec<Value> = self
            .servers
            .clone()
            .iter()
            .map(|id| json!({"id": id, "name": id, "host": format!("{id}.example"), "priority": self.pick(&[1, 50, 100, 100])}))
            .collect();
        json!({
            "schema": 1, "backup_directory": "backups", "store_path": "store",
            "automatic_takeover": self.chance(80), "automatic_restore": self.chance(60),
            "restore_stable_s": self.pick(&[0, 30, 45]),
            "takeover_timeout_s": self.pick(&[10, 30, 600, 600]), "restore_timeout_s": self.pick(&[10, 30, 600, 600]),
            "pause_tolerance_s": self.pick(&[1, 2, 10]),
            "timeouts": self.timeouts(), "monitored_servers": servers,
        })
    }

    fn timeouts(&mut self) -> Value {
        json!({
            "connected_s": self.pick(&[300, 301, 400]), "started_s": self.pick(&[300, 320]),
            "keep_alive_s": self.pick(&[30, 30, 31, 60]), "normal_shutdown_s": self.pick(&[300, 600, 900]),
            "abnormal_shutdown_s": self.pick(&[300, 310]),
        })
    }

    /// A gap near one of the timeouts, or a short one.
    fn gap(&mut self) -> u64 {
        let edge = self.pick(&[30_000, 30_000, 31_000, 60_000, 300_000, 301_000, 310_000, 600_000, 900_000]);
        match self.rng.u32(0..10) {
            0 => edge - 1,
            1 => edge + 1,
            2 => edge,
            3 => 0,
            4 => edge + self.rng.u64(0..60_000),
            _ => self.rng.u64(1..30_000),
        }
    }

    /// What one server does: stretches of keep-alives with whatever else between them.
    fn life(&mut self, server: &str) {
        let mut at = self.rng.u64(0..20) * 1000;
        if self.chance(10) {
            return;
        }
        while at < self.until_ms {
            if self.chance(40) {
                at = self.keep_alives(server, at);
            } else {
                let event = self.pick(&EventKind::ALL);
                self.steps.push(json!({"at_ms": at, "do": event.name(), "server": server}));
            }
            at += self.gap();
        }
    }

    fn keep_alives(&mut self, server: &str, from: u64) -> u64 {
        let every = self.pick(&[5_000, 10_000, 29_999, 30_000, 30_000]);
        let until = from + every * self.rng.u64(1..=40);
        self.steps
            .push(json!({"from_ms": from, "every_ms": every, "until_ms": until, "do": "keep_alive", "server": server}));
        until
    }

    fn calls(&mut self) {
        for _ in 0..self.rng.u32(0..8) {
            let (at, server) = (self.instant(), self.server());
            let call = self.pick(&["takeover", "takeover", "restore", "restore", "cancel"]);
            let mut step = json!({"at_ms": at, "do": call, "server": server});
            if self.chance(50) {
                step["actor"] = json!("alice");
            }
            self.steps.push(step);
        }
    }

    fn changes(&mut self, first: &Value) {
        for _ in 0..self.rng.u32(0..4) {
            let mut config = first.clone();
            match self.rng.u32(0..4) {
                0 => config["timeouts"] = self.timeouts(),
                1 => config["automatic_takeover"] = json!(self.chance(50)),
                2 => config["automatic_restore"] = json!(self.chance(50)),
                _ => self.change_servers(&mut config),
            }
            let at = self.instant();
            self.steps.push(json!({"at_ms": at, "do": "configure", "config": config}));
        }
    }

    fn change_servers(&mut self, config: &mut Value) {
        let Some(list) = config["monitored_servers"].as_array_mut() else { return };
        let n = self.rng.usize(0..list.len());
        match self.rng.u32(0..3) {
            0 => drop(list.remove(n)),
            1 => list[n]["host"] = json!("moved.example"),
            _ => list[n]["priority"] = json!(self.rng.u32(1..200)),
        }
    }

    fn frozen(&mut self) {
        for _ in 0..self.rng.u32(0..3) {
            let (at, lost) = (self.instant(), self.chance(50));
            // What piles up in a long pause would overflow the plugin's list of messages, so it is lost instead.
            let lengths = [500, 1_000, 2_000, 2_001, 5_000, 29_999, 30_000, 60_000, 400_000];
            let ms = self.pick(if lost { &lengths } else { &lengths[..7] });
            self.steps.push(json!({"at_ms": at, "do": "pause", "ms": ms, "lost": lost}));
        }
        if self.chance(30) {
            let (at, ms) = (self.instant(), self.pick(&[-86_400_000_i64, -1, 1, 3_600_000]));
            self.steps.push(json!({"at_ms": at, "do": "utc_jump", "ms": ms}));
        }
    }

    /// What operators do besides, and what befalls the host.
    fn trouble(&mut self) {
        let calls = ["backup", "backup", "authorize", "authorize", "deauthorize", "corrupt_backup"];
        let alone = ["backup_all", "cluster_left", "cluster_joined", "cluster_joined"];
        for _ in 0..self.rng.u32(4..16) {
            let (at, server) = (self.instant(), self.server());
            let step = if self.chance(60) {
                json!({"at_ms": at, "do": self.pick(&calls), "server": server})
            } else {
                json!({"at_ms": at, "do": self.pick(&alone), "actor": "alice"})
            };
            self.steps.push(step);
        }
        for _ in 0..self.rng.u32(1..5) {
            let (at, life) = (self.instant(), self.pick(&["crash", "crash", "restart"]));
            if self.chance(20) {
                self.steps.push(json!({"at_ms": at, "do": "corrupt_state"}));
            }
            self.steps.push(json!({"at_ms": at, "do": life}));
        }
    }

    fn rules(&mut self) -> Value {
        json!({
            "backup_time_utc": self.pick(&["00:00", "02:00", "02:10"]), "backups_kept": self.pick(&[1, 2, 7]),
            "backup_timeout_s": self.pick(&[10, 30, 600]), "operation_timeout_s": self.pick(&[10, 60]),
        })
    }

    fn host_in_trouble(&mut self) -> Value {
        let delays = [0, 0, 1, 1_000, 9_999, 10_000, 10_001, 30_000];
        let mut host = json!({"backup_ms": self.pick(&delays), "authorize_ms": self.pick(&delays)});
        for key in ["fail", "never_answer"] {
            let entries: Vec<Value> = (0..self.rng.u32(0..4))
                .map(|_| {
                    let (operation, server) = (self.pick(&["backup", "authorize", "deauthorize"]), self.server());
                    json!({"operation": operation, "server": server, "times": self.rng.u32(1..4)})
                })
                .collect();
            host[key] = Value::from(entries);
        }
        host
    }

    fn host(&mut self) -> Value {
        let delays = [0, 0, 1, 1_000, 5_000, 9_999, 10_000, 10_001, 20_000, 30_000];
        let mut host = json!({"takeover_ms": self.pick(&delays), "restore_ms": self.pick(&delays)});
        for key in ["fail", "never_answer"] {
            let entries: Vec<Value> = (0..self.rng.u32(0..4))
                .map(|_| {
                    let (operation, server) = (self.pick(&["takeover", "restore"]), self.server());
                    json!({"operation": operation, "server": server, "times": self.rng.u32(1..4)})
                })
                .collect();
            host[key] = Value::from(entries);
        }
        host
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::scenario::Action;

    #[test]
    fn the_same_seed_gives_the_same_scenario() {
        assert_eq!(document(7), document(7));
        assert_ne!(document(7), document(8));
    }

    fn kinds(scenarios: impl Iterator<Item = Scenario>) -> BTreeSet<&'static str> {
        let kind = |action: &Action| match action {
            Action::Event { event, .. } => event.name(),
            Action::Call(call) => call.name(),
            Action::Pause { lost: true, .. } => "pause, lost",
            Action::Pause { .. } => "pause",
            Action::UtcJump { .. } => "utc_jump",
            Action::Mishap(mishap) => mishap.name(),
        };
        scenarios.flat_map(|scenario| scenario.steps.into_iter().map(move |step| kind(&step.action))).collect()
    }

    #[test]
    fn a_thousand_seeds_are_valid_and_use_every_kind_of_step() {
        let scenarios =
            (0..1000).map(scenario).inspect(|one| assert!((2..=6).contains(&one.servers().len()), "{}", one.name));
        let kinds = kinds(scenarios);
        assert_eq!(kinds.len(), 6 + 4 + 2 + 1, "{kinds:?}");
    }

    #[test]
    fn troubled_seeds_are_valid_use_every_kind_of_step_and_have_several_lives() {
        let kinds = kinds((0..300).map(troubled).inspect(|one| assert!(one.has_several_lives(), "{}", one.name)));
        assert_eq!(kinds.len(), 6 + 10 + 2 + 1 + 4, "{kinds:?}");
        assert_eq!(troubled_document(7), troubled_document(7));
    }
}
