//! Puts what the failover host reports into words for people and keys for programs.
//!
//! Pure: a report and the picture that it led to go in, an entry comes out. What the director does itself, it says itself.

use serde_json::Value;
use vms_failover_abi as abi;

use super::report::{Report, Stamped};
use super::timeline::{Entry, Severity, clock, duration, name};
use super::world::{Machine, World};
use crate::scenario::EventKind;

/// The entry for a report that `world` has already taken in; none for a keep-alive, of which there are too many.
#[must_use]
pub fn narrate(stamped: &Stamped, world: &World) -> Option<Entry> {
    let at_ms = world.clock.since_start_ms(stamped.at_ns);
    let entry = |kind, text: String| Entry::new(at_ms, kind, text);
    Some(match &stamped.report {
        Report::Ready { plugin, address } => {
            let text = match world.lives {
                0 | 1 => format!("has started the plugin {plugin}"),
                _ => "is back: a new process, with the plugin on the same state directory".to_owned(),
            };
            entry("ready", text).with("address", address.to_string())
        }
        Report::Heard { sign: EventKind::KeepAlive, .. } => return None,
        Report::Heard { server, sign, detail } => {
            heard(at_ms, *sign, detail.as_deref(), world.machine(server)).of(server)
        }
        Report::Event { kind, severity, seq, entry, .. } => {
            event(at_ms, *kind, *severity, entry, world).with("seq", *seq).with("code", entry["code"].clone())
        }
        Report::Asked { op, operation, server, resumed } => {
            asked(at_ms, *op, operation, *resumed).of(server).with("op", *op).with("operation", operation.as_str())
        }
        Report::StandsIn { server, pid, address, backup, store } => {
            let text = format!("a stand-in runs with the settings of {}", file_name(backup));
            entry("stands_in", text)
                .of(server)
                .with("pid", *pid)
                .with("address", address.to_string())
                .with("backup", backup.display().to_string())
                .with("store", store.display().to_string())
        }
        Report::Answered { op, operation, server, error } => answered(at_ms, operation, error.as_deref())
            .of(server)
            .with("op", *op)
            .with("operation", operation.as_str()),
        // What the plugin logs at this level it also reports as an event.
        Report::Log { text } => entry("log", text.clone()).as_(Severity::Note).quiet(),
        Report::Fault { text } => entry("fault", format!("FAULT: {text}")).as_(Severity::Alarm),
        Report::Stopped {} => entry("stopped", "the plugin was stopped and destroyed".to_owned()).as_(Severity::Note),
    })
}

fn file_name(path: &std::path::Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

fn heard(at_ms: u64, sign: EventKind, detail: Option<&str>, machine: Option<&Machine>) -> Entry {
    let watched = machine.is_some_and(|machine| machine.health == "keep_alive");
    let (text, severity, quiet) = match sign {
        EventKind::Connected => ("connected".to_owned(), Severity::Note, true),
        EventKind::Startup => ("startup message".to_owned(), Severity::Note, true),
        EventKind::KeepAlive => ("keep-alive".to_owned(), Severity::Note, true),
        EventKind::Disconnected => {
            ("its connection is gone, which by itself proves nothing".to_owned(), Severity::Note, !watched)
        }
        EventKind::ShutdownNormal => ("says goodbye: a shutdown in good order".to_owned(), Severity::Warning, false),
        EventKind::ShutdownAbnormal => {
            let how = detail.unwrap_or("unknown");
            (format!("its supervisor reports an exit with an error ({how})"), Severity::Warning, false)
        }
    };
    let entry =
        Entry::new(at_ms, "heard", text).as_(severity).with("sign", serde_json::to_value(sign).unwrap_or_default());
    if quiet { entry.quiet() } else { entry }
}

fn asked(at_ms: u64, op: u64, operation: &str, resumed: bool) -> Entry {
    let entry = |text: String| Entry::new(at_ms, "asked", text).with("resumed", resumed);
    if resumed {
        return entry(format!("the plugin goes on with the same {operation}: it asks for operation {op} again"));
    }
    entry(format!("the plugin asks for operation {op}, {operation}")).quiet()
}

fn answered(at_ms: u64, operation: &str, error: Option<&str>) -> Entry {
    match error {
        None => Entry::new(at_ms, "answered", format!("the {operation} is done")).quiet().with("outcome", "ok"),
        Some(error) => Entry::new(at_ms, "answered", format!("the {operation} FAILED: {error}"))
            .as_(Severity::Alarm)
            .with("outcome", "failed")
            .with("error", error),
    }
}

/// An event of the plugin.
fn event(at_ms: u64, kind: u32, severity: u32, entry: &Value, world: &World) -> Entry {
    let server = entry["server"].as_str();
    let details = &entry["details"];
    let machine = server.and_then(|id| world.machine(id));
    let told = match (kind, machine) {
        (abi::VMSF_EVENT_HEALTH, Some(machine)) => health(at_ms, details, machine, world),
        (abi::VMSF_EVENT_TAKEOVER, Some(machine)) => takeover(at_ms, details, machine),
        (abi::VMSF_EVENT_ALARM, Some(machine)) if entry["code"] == "not_covered" => not_covered(at_ms, machine, world),
        (abi::VMSF_EVENT_COMPLETED, Some(_)) if details["operation"] == "authorize" && details["outcome"] == "ok" => {
            Entry::new(at_ms, "authorized", "has let the failover server in: it logged in and was given a token")
        }
        (abi::VMSF_EVENT_BACKUP, Some(_)) if details["result"] == "ok" => backed_up(at_ms, details),
        (abi::VMSF_EVENT_LOG, None) if entry["code"] == "cluster" && details["joined"] == true => {
            let told = Entry::new(at_ms, "cluster", "has joined the cluster");
            if world.lives > 1 { told.quiet() } else { told }
        }
        (abi::VMSF_EVENT_ALARM, _) => {
            Entry::new(at_ms, "alarm", format!("ALARM: {}", text(entry))).as_(Severity::Alarm)
        }
        (abi::VMSF_EVENT_ALARM_ENDED, _) => Entry::new(at_ms, "alarm_ended", text(entry)).quiet(),
        (abi::VMSF_EVENT_POISONED, _) => {
            Entry::new(at_ms, "poisoned", format!("THE PLUGIN IS POISONED: {}", text(entry))).as_(Severity::Alarm)
        }
        (abi::VMSF_EVENT_LOG, _) if severity >= abi::VMSF_SEVERITY_WARNING => {
            Entry::new(at_ms, "plugin", text(entry)).as_(Severity::Warning)
        }
        _ => Entry::new(at_ms, "plugin", text(entry)).quiet(),
    };
    match server {
        Some(id) => told.of(id),
        None => told,
    }
}

fn backed_up(at_ms: u64, details: &Value) -> Entry {
    let path = std::path::Path::new(details["path"].as_str().unwrap_or_default());
    let folder = path.parent().map(file_name).unwrap_or_default();
    Entry::new(at_ms, "backup", format!("settings backed up as {folder}/{}", file_name(path)))
        .with("path", details["path"].clone())
        .with("sha256", details["sha256"].clone())
}

fn text(entry: &Value) -> String {
    entry["text"].as_str().unwrap_or_default().to_owned()
}

fn health(at_ms: u64, details: &Value, machine: &Machine, world: &World) -> Entry {
    let (from, to) = (details["from"].as_str().unwrap_or_default(), details["to"].as_str().unwrap_or_default());
    let entry = match to {
        "failed" => failed(at_ms, machine, world),
        "keep_alive" if machine.restored_ns.is_some() => Entry::new(at_ms, "health", "is heard again").quiet(),
        "keep_alive" if machine.returned_ns.is_some() => {
            let stable = duration(world.pace.restore_stable_s * 1000);
            let text = format!("lives again; has its role back once it has been stable for {stable}");
            Entry::new(at_ms, "health", text).as_(Severity::Good)
        }
        "keep_alive" => Entry::new(at_ms, "health", "lives: the first keep-alive has come").as_(Severity::Good),
        "normal_shutdown" | "abnormal_shutdown" => {
            let due = machine.due_ns(&world.pace).map_or(0, |due| world.clock.since_start_ms(due));
            let text = format!("counts as failed at {} if it is not back", clock(due));
            Entry::new(at_ms, "health", text).as_(Severity::Warning).with("due_ms", due)
        }
        _ => Entry::new(at_ms, "health", format!("is {to}")).quiet(),
    };
    entry.with("from", from).with("to", to)
}

fn failed(at_ms: u64, machine: &Machine, world: &World) -> Entry {
    let Some(failure) = machine.failures.last() else { return Entry::new(at_ms, "health", "FAILED") };
    let late_ns = failure.told_ns.saturating_sub(failure.due_ns);
    let due_ms = world.clock.since_start_ms(failure.due_ns);
    let (keep_alive, other) = (duration(world.pace.keep_alive_s * 1000), duration(world.pace.others_s * 1000));
    let why = match failure.reason.as_str() {
        "keep_alive_timeout" => format!("no keep-alive for {keep_alive}"),
        "normal_shutdown_timeout" => format!("not back {other} after its shutdown"),
        "abnormal_shutdown_timeout" => format!("not back {other} after its error"),
        other => other.to_owned(),
    };
    let real_us = late_ns / world.clock.speed() / 1000;
    let text =
        format!("FAILED: {why} (due {}, noticed {}.{} ms later)", clock(due_ms), real_us / 1000, real_us / 100 % 10);
    Entry::new(at_ms, "health", text)
        .as_(Severity::Alarm)
        .with("reason", failure.reason.as_str())
        .with("due_ms", due_ms)
        .with("late_simulated_ms", late_ns / 1_000_000)
        .with("late_real_us", real_us)
}

fn takeover(at_ms: u64, details: &Value, machine: &Machine) -> Entry {
    let (from, to) = (details["from"].as_str().unwrap_or_default(), details["to"].as_str().unwrap_or_default());
    let entry = |text: String| Entry::new(at_ms, "takeover", text);
    let entry = match (from, to) {
        ("none", "queued") => entry("queued for takeover".to_owned()).quiet(),
        ("queued", "taking_over") => entry("is being taken over".to_owned()).as_(Severity::Warning),
        (_, "taken_over") if from == "taking_over" => {
            let place = machine.stand_in.as_ref().map_or_else(String::new, |it| {
                format!(": clients go to {}, recordings to store/{}", it.address, file_name(&it.store))
            });
            entry(format!("TAKEN OVER{place}")).as_(Severity::Good)
        }
        (_, "restoring") => entry("is given its role back".to_owned()),
        ("restoring", "none") => entry("RESTORED: it works for itself again".to_owned()).as_(Severity::Good),
        _ => entry(format!("takeover: {from} → {to}")).as_(Severity::Warning),
    };
    entry.with("from", from).with("to", to)
}

fn not_covered(at_ms: u64, machine: &Machine, world: &World) -> Entry {
    let holds = |other: &&Machine| {
        other.member.id != machine.member.id && !matches!(other.takeover.as_str(), "none" | "queued")
    };
    let holder = world.machines.iter().find(holds).map(|other| other.member.id);
    let text = match holder {
        Some(id) => format!("waits in the queue, NOT COVERED: {} has the one slot", name(Some(id))),
        None => "waits in the queue, NOT COVERED".to_owned(),
    };
    Entry::new(at_ms, "alarm", text).as_(Severity::Alarm).with("holder", holder)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::cast::Pace;
    use super::super::clock::{SECOND, SimClock};
    use super::*;

    struct Stage {
        world: World,
        start_ns: u64,
    }

    impl Stage {
        fn new() -> Self {
            let clock: SimClock = "0,60,0".parse().unwrap();
            Self { world: World::new(clock, Pace::at(60)), start_ns: 0 }
        }

        fn tell(&mut self, at_s: u64, report: Report) -> Option<Entry> {
            let stamped = Stamped { at_ns: self.start_ns + at_s * SECOND, report };
            self.world.take(&stamped);
            narrate(&stamped, &self.world)
        }

        fn heard(&mut self, at_s: u64, server: &str, sign: EventKind) -> Option<Entry> {
            self.tell(at_s, Report::Heard { server: server.into(), sign, detail: None })
        }

        fn event(&mut self, at_s: u64, kind: u32, server: &str, code: &str, details: Value) -> String {
            let entry = json!({"server": server, "code": code, "text": "its text", "details": details});
            let mono_ns = self.start_ns + at_s * SECOND;
            let report = Report::Event { kind, severity: 2, seq: 1, mono_ns, entry };
            let entry = self.tell(at_s, report).unwrap();
            format!("{}{} {}: {}", if entry.quiet { "-" } else { "" }, clock(entry.at_ms), entry.kind, entry.text)
        }
    }

    #[test]
    fn the_story_of_a_hang_in_words() {
        let mut stage = Stage::new();
        assert!(stage.heard(10, "depot", EventKind::Startup).unwrap().quiet);
        assert_eq!(stage.heard(10, "depot", EventKind::KeepAlive), None);
        let change = |from: &str, to: &str| json!({"from": from, "to": to});
        let failed = json!({"from": "keep_alive", "to": "failed", "reason": "keep_alive_timeout",
            "failed_at_ns": 130 * SECOND});
        let (health, takeover) = (abi::VMSF_EVENT_HEALTH, abi::VMSF_EVENT_TAKEOVER);
        let told = [
            stage.event(10, health, "depot", "health", change("started", "keep_alive")),
            stage.event(20, takeover, "bridge", "takeover", change("queued", "taking_over")),
            stage.event(133, health, "depot", "health", failed),
            stage.event(133, takeover, "depot", "takeover", change("none", "queued")),
            stage.event(133, abi::VMSF_EVENT_ALARM, "depot", "not_covered", json!({})),
            stage.event(198, takeover, "depot", "takeover", change("queued", "taking_over")),
            stage.event(199, takeover, "depot", "takeover", change("taking_over", "taken_over")),
            stage.event(200, health, "depot", "health", change("failed", "keep_alive")),
            stage.event(220, takeover, "depot", "takeover", change("taken_over", "restoring")),
            stage.event(221, takeover, "depot", "takeover", change("restoring", "none")),
        ];
        let golden = [
            "00:00:10 health: lives: the first keep-alive has come",
            "00:00:20 takeover: is being taken over",
            "00:02:13 health: FAILED: no keep-alive for 2 min (due 00:02:10, noticed 50.0 ms later)",
            "-00:02:13 takeover: queued for takeover",
            "00:02:13 alarm: waits in the queue, NOT COVERED: Bridge has the one slot",
            "00:03:18 takeover: is being taken over",
            "00:03:19 takeover: TAKEN OVER",
            "00:03:20 health: lives again; has its role back once it has been stable for 20 s",
            "00:03:40 takeover: is given its role back",
            "00:03:41 takeover: RESTORED: it works for itself again",
        ];
        assert_eq!(told, golden);
    }

    #[test]
    fn a_shutdown_says_when_it_becomes_a_failure() {
        let mut stage = Stage::new();
        let goodbye = stage.heard(60, "campus", EventKind::ShutdownNormal).unwrap();
        assert_eq!(
            (goodbye.text.as_str(), goodbye.severity),
            ("says goodbye: a shutdown in good order", Severity::Warning)
        );
        let change = json!({"from": "keep_alive", "to": "normal_shutdown"});
        let told = stage.event(61, abi::VMSF_EVENT_HEALTH, "campus", "health", change);
        assert_eq!(told, "00:01:01 health: counts as failed at 00:06:00 if it is not back");
    }

    #[test]
    fn what_is_not_known_is_told_in_the_plugins_own_words() {
        let mut stage = Stage::new();
        let told = stage.event(1, abi::VMSF_EVENT_ALARM, "arena", "both_alive", json!({}));
        assert_eq!(told, "00:00:01 alarm: ALARM: its text");
        assert_eq!(stage.event(1, 99, "arena", "new", json!({})), "-00:00:01 plugin: its text");
    }
}
