//! The director's picture of the demo: what the failover host reported, put together per server.
//!
//! Pure: reports go in, facts and deadlines come out. The deadlines are computed here a second time, from what the host heard
//! and the timeouts alone, so that the plugin's own can be held against them. It judges nothing; `summary` does.

use std::collections::HashMap;
use std::net::SocketAddrV4;
use std::path::PathBuf;

use serde_json::Value;
use vms_failover_abi as abi;

use super::cast::{CAST, Member, Pace};
use super::clock::{SECOND, SimClock};
use super::report::{Report, Stamped};
use crate::scenario::EventKind;

/// A failure as the plugin declared it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    /// The plugin's reason.
    pub reason: String,
    /// The instant of failure that the plugin gives.
    pub failed_at_ns: u64,
    /// When it had to fail, by what the host heard.
    pub due_ns: u64,
    /// When the host was told.
    pub told_ns: u64,
}

/// The process that stood in for a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StandIn {
    /// Its process id.
    pub pid: u32,
    /// Where it answers clients.
    pub address: SocketAddrV4,
    /// The backup that its settings are from.
    pub backup: PathBuf,
    /// Where it records to.
    pub store: PathBuf,
}

/// When clients got the right answer.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Clients {
    /// From the server, before it was lost.
    pub before: Option<u64>,
    /// From the stand-in.
    pub during: Option<u64>,
    /// From the server, after its return.
    pub after: Option<u64>,
}

/// One monitored server, as the failover host knows it.
#[derive(Debug, Clone)]
pub struct Machine {
    /// Who it is.
    pub member: &'static Member,
    /// When each kind of sign was heard last.
    pub heard: HashMap<EventKind, u64>,
    /// Whether the failover server was let in there.
    pub authorized: bool,
    /// Whether its settings are backed up.
    pub backed_up: bool,
    /// The plugin's word for its health.
    pub health: String,
    /// Since when.
    pub health_since_ns: u64,
    /// The plugin's word for its takeover state.
    pub takeover: String,
    /// Every failure declared.
    pub failures: Vec<Failure>,
    /// The plugin said that it waits, not covered.
    pub not_covered: bool,
    /// Each time the plugin asked for its takeover: the operation's id, and whether it went on with it after a restart.
    pub asked: Vec<(u64, bool)>,
    /// How often the plugin said that it is taken over.
    pub takeovers: u32,
    /// When the plugin asked for the takeover first.
    pub begun_ns: Option<u64>,
    /// What stood in for it.
    pub stand_in: Option<StandIn>,
    /// When it was taken over.
    pub taken_over_ns: Option<u64>,
    /// When it was alive again after that.
    pub returned_ns: Option<u64>,
    /// When it had its role back.
    pub restored_ns: Option<u64>,
    /// What clients saw.
    pub clients: Clients,
}

impl Machine {
    fn new(member: &'static Member) -> Self {
        Self {
            member,
            heard: HashMap::new(),
            authorized: false,
            backed_up: false,
            health: "unknown".to_owned(),
            health_since_ns: 0,
            takeover: "none".to_owned(),
            failures: Vec::new(),
            not_covered: false,
            asked: Vec::new(),
            takeovers: 0,
            begun_ns: None,
            stand_in: None,
            taken_over_ns: None,
            returned_ns: None,
            restored_ns: None,
            clients: Clients::default(),
        }
    }

    /// When it fails if nothing more is heard, by what the host heard and the timeouts; `None` while it cannot.
    #[must_use]
    pub fn due_ns(&self, pace: &Pace) -> Option<u64> {
        let (sign, timeout_s) = match self.health.as_str() {
            "connected" => (EventKind::Connected, pace.others_s),
            "started" => (EventKind::Startup, pace.others_s),
            "keep_alive" => (EventKind::KeepAlive, pace.keep_alive_s),
            "normal_shutdown" => (EventKind::ShutdownNormal, pace.others_s),
            "abnormal_shutdown" => (EventKind::ShutdownAbnormal, pace.others_s),
            _ => return None,
        };
        self.heard.get(&sign).map(|heard| heard + timeout_s * SECOND)
    }
}

/// Everything that the director knows.
#[derive(Debug, Clone)]
pub struct World {
    /// The common clock.
    pub clock: SimClock,
    /// The durations in force.
    pub pace: Pace,
    /// The servers, in configuration order.
    pub machines: Vec<Machine>,
    /// Who the plugin says it is, once the host is ready.
    pub plugin: Option<String>,
    /// How often the host became ready.
    pub lives: u32,
    /// How often the director killed it.
    pub kills: u32,
    /// The plugin knows that this failover server has joined the cluster.
    pub joined: bool,
    /// Whose takeovers the plugin asked for, in order.
    pub order: Vec<&'static str>,
    /// How often the plugin found that it had not run in time.
    pub pauses: u32,
    /// What went wrong at the host.
    pub faults: Vec<String>,
    /// The plugin was stopped and destroyed.
    pub stopped: bool,
}

impl World {
    /// Before anything happened.
    #[must_use]
    pub fn new(clock: SimClock, pace: Pace) -> Self {
        let machines = CAST.iter().map(Machine::new).collect();
        let (order, faults) = (Vec::new(), Vec::new());
        Self {
            clock,
            pace,
            machines,
            plugin: None,
            lives: 0,
            kills: 0,
            joined: false,
            order,
            pauses: 0,
            faults,
            stopped: false,
        }
    }

    /// The machine of a server.
    #[must_use]
    pub fn machine(&self, id: &str) -> Option<&Machine> {
        self.machines.iter().find(|machine| machine.member.id == id)
    }

    /// Takes a report in.
    pub fn take(&mut self, stamped: &Stamped) {
        let at = stamped.at_ns;
        match &stamped.report {
            Report::Ready { plugin, .. } => {
                self.plugin = Some(plugin.clone());
                self.lives += 1;
            }
            Report::Heard { server, sign, .. } => {
                self.note(server, |machine| _ = machine.heard.insert(*sign, at));
            }
            Report::Event { kind, mono_ns, entry, .. } => self.take_event(*kind, *mono_ns, at, entry),
            Report::Asked { op, operation, server, resumed } if operation == "takeover" => {
                self.take_asked(*op, server, *resumed, at);
            }
            Report::StandsIn { server, pid, address, backup, store } => {
                let stand_in = StandIn { pid: *pid, address: *address, backup: backup.clone(), store: store.clone() };
                self.note(server, |machine| machine.stand_in = Some(stand_in));
            }
            Report::Answered { server, operation, error: Some(error), .. } => {
                self.faults.push(format!("{server}: the {operation} failed: {error}"));
            }
            Report::Fault { text } => self.faults.push(text.clone()),
            Report::Stopped {} => self.stopped = true,
            Report::Asked { .. } | Report::Answered { .. } | Report::Log { .. } => {}
        }
    }

    /// Notes something of a server; nothing if it is none of the cast.
    pub fn note(&mut self, server: &str, what: impl FnOnce(&mut Machine)) {
        if let Some(machine) = self.machines.iter_mut().find(|machine| machine.member.id == server) {
            what(machine);
        }
    }

    fn take_asked(&mut self, op: u64, server: &str, resumed: bool, at: u64) {
        let mut id = None;
        self.note(server, |machine| {
            machine.asked.push((op, resumed));
            machine.begun_ns.get_or_insert(at);
            id = (!resumed).then_some(machine.member.id);
        });
        self.order.extend(id);
    }

    fn take_event(&mut self, kind: u32, mono_ns: u64, told_ns: u64, entry: &Value) {
        let server = entry["server"].as_str().unwrap_or_default().to_owned();
        let details = &entry["details"];
        let to = details["to"].as_str().unwrap_or_default().to_owned();
        let pace = self.pace;
        match kind {
            abi::VMSF_EVENT_HEALTH => self.note(&server, |machine| {
                if to == "failed" {
                    let reason = details["reason"].as_str().unwrap_or_default().to_owned();
                    let failed_at_ns = details["failed_at_ns"].as_u64().unwrap_or(mono_ns);
                    let due_ns = machine.due_ns(&pace).unwrap_or(0);
                    machine.failures.push(Failure { reason, failed_at_ns, due_ns, told_ns });
                }
                if to == "keep_alive" && machine.taken_over_ns.is_some() {
                    machine.returned_ns.get_or_insert(mono_ns);
                }
                (machine.health, machine.health_since_ns) = (to, mono_ns);
            }),
            abi::VMSF_EVENT_TAKEOVER => self.note(&server, |machine| {
                machine.takeovers += u32::from(to == "taken_over" && machine.takeover == "taking_over");
                match (machine.takeover.as_str(), to.as_str()) {
                    ("taking_over", "taken_over") => _ = machine.taken_over_ns.get_or_insert(told_ns),
                    ("restoring", "none") => _ = machine.restored_ns.get_or_insert(told_ns),
                    _ => {}
                }
                machine.takeover = to;
            }),
            abi::VMSF_EVENT_ALARM if entry["code"] == "not_covered" => {
                self.note(&server, |machine| machine.not_covered = true);
            }
            abi::VMSF_EVENT_COMPLETED if details["operation"] == "authorize" && details["outcome"] == "ok" => {
                self.note(&server, |machine| machine.authorized = true);
            }
            abi::VMSF_EVENT_BACKUP if details["result"] == "ok" => {
                self.note(&server, |machine| machine.backed_up = true)
            }
            _ if entry["code"] == "cluster" => self.joined = details["joined"] == true,
            _ if entry["code"] == "paused" => self.pauses += 1,
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn world() -> World {
        World::new(SimClock::starting_now(60), Pace::at(60))
    }

    fn heard(at_ns: u64, sign: EventKind) -> Stamped {
        Stamped { at_ns, report: Report::Heard { server: "arena".into(), sign, detail: None } }
    }

    fn event(at_ns: u64, kind: u32, mono_ns: u64, code: &str, details: Value) -> Stamped {
        let entry = json!({"server": "arena", "code": code, "details": details});
        Stamped { at_ns, report: Report::Event { kind, severity: 2, seq: 1, mono_ns, entry } }
    }

    fn health(at_ns: u64, from: &str, to: &str) -> Stamped {
        event(at_ns, abi::VMSF_EVENT_HEALTH, at_ns, "health", json!({"from": from, "to": to}))
    }

    #[test]
    fn a_deadline_counts_from_what_the_host_heard() {
        let mut world = world();
        let pace = world.pace;
        assert_eq!(world.machines[0].due_ns(&pace), None);
        for stamped in [
            heard(10, EventKind::Startup),
            health(11, "unknown", "started"),
            heard(20, EventKind::KeepAlive),
            health(21, "started", "keep_alive"),
            heard(30, EventKind::KeepAlive),
        ] {
            world.take(&stamped);
        }
        assert_eq!(world.machines[0].due_ns(&pace), Some(30 + pace.keep_alive_s * SECOND));
        world.take(&heard(40, EventKind::ShutdownAbnormal));
        world.take(&health(41, "keep_alive", "abnormal_shutdown"));
        assert_eq!(world.machines[0].due_ns(&pace), Some(40 + pace.others_s * SECOND));
    }

    #[test]
    fn a_failure_keeps_the_plugins_word_beside_the_deadline_computed_here() {
        let mut world = world();
        world.take(&heard(5, EventKind::KeepAlive));
        world.take(&health(6, "unknown", "keep_alive"));
        let details = json!({"from": "keep_alive", "to": "failed", "reason": "keep_alive_timeout", "failed_at_ns": 77});
        world.take(&event(90, abi::VMSF_EVENT_HEALTH, 80, "health", details));
        let due_ns = 5 + world.pace.keep_alive_s * SECOND;
        let reason = "keep_alive_timeout".to_owned();
        assert_eq!(world.machines[0].failures, [Failure { reason, failed_at_ns: 77, due_ns, told_ns: 90 }]);
        assert_eq!(world.machines[0].due_ns(&world.pace), None);
    }

    #[test]
    fn a_takeover_is_followed_to_its_end() {
        let mut world = world();
        let takeover = |at, from: &str, to: &str| {
            event(at, abi::VMSF_EVENT_TAKEOVER, at, "takeover", json!({"from": from, "to": to}))
        };
        world.take(&event(1, abi::VMSF_EVENT_ALARM, 1, "not_covered", json!({})));
        world.take(&takeover(2, "none", "queued"));
        world.take(&takeover(3, "queued", "taking_over"));
        let asked = Report::Asked { op: 1, operation: "takeover".into(), server: "arena".into(), resumed: false };
        world.take(&Stamped { at_ns: 4, report: asked });
        let again = Report::Asked { op: 1, operation: "takeover".into(), server: "arena".into(), resumed: true };
        world.take(&Stamped { at_ns: 4, report: again });
        world.take(&takeover(5, "taking_over", "taken_over"));
        world.take(&health(6, "failed", "keep_alive"));
        world.take(&takeover(7, "taken_over", "restoring"));
        world.take(&takeover(8, "restoring", "none"));
        let arena = &world.machines[0];
        assert_eq!(world.order, ["arena"]);
        assert_eq!((&arena.asked[..], arena.takeovers), (&[(1, false), (1, true)][..], 1));
        assert!(arena.not_covered);
        let instants = [arena.begun_ns, arena.taken_over_ns, arena.returned_ns, arena.restored_ns];
        assert_eq!(instants, [4, 5, 6, 8].map(Some));
    }

    #[test]
    fn reports_of_a_server_that_is_not_in_the_cast_change_nothing() {
        let mut world = world();
        let report = Report::Heard { server: "nobody".into(), sign: EventKind::Startup, detail: None };
        world.take(&Stamped { at_ns: 1, report });
        assert!(world.machines.iter().all(|machine| machine.heard.is_empty()));
    }
}
