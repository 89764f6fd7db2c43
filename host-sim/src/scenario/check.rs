//! Checks a scenario document as a whole and builds the [`Scenario`].

use std::ops::RangeInclusive;

use serde_json::{Map, Value};

use super::{Action, Call, EventKind, Exception, HostAnswers, Mishap, Scenario, Step};

/// The longest scenario: ten years.
const MAX_MS: u64 = 10 * 365 * 86_400_000;
const DEFAULT_START: &str = "2026-01-01T00:00:00Z";
const TIMES: [&str; 4] = ["at_ms", "from_ms", "every_ms", "until_ms"];
const OPERATIONS: [&str; 6] = ["takeover", "restore", "backup", "authorize", "deauthorize", "join_cluster"];

/// The one operation that is for no server.
const FOR_NO_SERVER: &str = "join_cluster";

/// Steps of the format that this version of the library has nothing for.
const LATER: [(&str, &str); 2] = [("maintenance", "maintenance"), ("drill", "drills")];
/// Calls for one server.
const CALLS: [&str; 6] = ["takeover", "restore", "cancel", "backup", "authorize", "deauthorize"];
/// Calls for no server.
const CALLS_FOR_ALL: [&str; 3] = ["backup_all", "cluster_joined", "cluster_left"];
const OTHERS: [&str; 7] = ["configure", "pause", "utc_jump", "restart", "crash", "corrupt_backup", "corrupt_state"];

/// Kinds of trace lines and their keys besides `at_ms` and `kind`.
const LINES: [(&str, &[&str]); 8] = [
    ("health", &["server", "from", "to", "reason"]),
    ("takeover", &["server", "from", "to", "reason", "actor"]),
    ("operation", &["operation", "op", "server", "resumed"]),
    ("completed", &["operation", "op", "server", "outcome"]),
    ("alarm", &["code", "server"]),
    ("refused", &["do", "server", "error"]),
    ("backup", &["server", "result"]),
    ("ready", &["server", "ready", "reasons"]),
];

type Faults = Vec<(String, String)>;

/// Gives the scenario, or every fault as pointer and text.
pub(super) fn check(document: &Value) -> Result<Scenario, Faults> {
    let mut check = Check { faults: Vec::new(), servers: all_servers(document) };
    let scenario = check.document(document);
    match scenario {
        Some(scenario) if check.faults.is_empty() => Ok(scenario),
        _ => Err(check.faults),
    }
}

/// The ids in a configuration's list of monitored servers.
pub(super) fn servers_of(config: &Value) -> Vec<String> {
    let list = config.get("monitored_servers").and_then(Value::as_array);
    let ids = list.into_iter().flatten().filter_map(|server| server.get("id")?.as_str());
    ids.map(str::to_owned).collect()
}

/// The servers that any configuration of the scenario knows.
fn all_servers(document: &Value) -> Vec<String> {
    let mut found = document.get("config").map(servers_of).unwrap_or_default();
    let steps = document.get("steps").and_then(Value::as_array);
    for id in steps.into_iter().flatten().filter_map(|step| step.get("config")).flat_map(servers_of) {
        if !found.contains(&id) {
            found.push(id);
        }
    }
    found
}

struct Check {
    faults: Faults,
    servers: Vec<String>,
}

/// An object of the document whose keys have been checked.
struct Object<'a> {
    map: &'a Map<String, Value>,
    at: String,
}

impl Object<'_> {
    fn has(&self, key: &str) -> bool {
        self.map.contains_key(key)
    }

    fn place(&self, key: &str) -> String {
        format!("{}/{}", self.at, key.replace('~', "~0").replace('/', "~1"))
    }
}

impl Check {
    fn fault(&mut self, at: &str, text: impl Into<String>) {
        self.faults.push((at.to_owned(), text.into()));
    }

    fn wrong(&mut self, at: &str, expected: &str, got: &Value) {
        let mut shown = got.to_string();
        if shown.chars().count() > 60 {
            shown = shown.chars().take(57).chain("...".chars()).collect();
        }
        self.fault(at, format!("expected {expected}, got {shown}"));
    }

    fn object<'a>(&mut self, value: &'a Value, at: &str, keys: &[&str]) -> Option<Object<'a>> {
        let Some(map) = value.as_object() else {
            self.wrong(at, "an object", value);
            return None;
        };
        let object = Object { map, at: at.to_owned() };
        for key in map.keys().filter(|key| !keys.contains(&key.as_str())) {
            self.fault(&object.place(key), format!("unknown key; expected one of {}", keys.join(", ")));
        }
        Some(object)
    }

    fn need<'a>(&mut self, object: &Object<'a>, key: &str, expected: &str) -> Option<&'a Value> {
        let value = object.map.get(key);
        if value.is_none() {
            self.fault(&object.at, format!("`{key}` is missing; expected {expected}"));
        }
        value
    }

    fn text(&mut self, object: &Object<'_>, key: &str) -> Option<String> {
        let value = self.need(object, key, "a text")?;
        let text = value.as_str();
        if text.is_none() {
            self.wrong(&object.place(key), "a text", value);
        }
        text.map(str::to_owned)
    }

    fn optional_text(&mut self, object: &Object<'_>, key: &str) -> Option<String> {
        if object.has(key) { self.text(object, key) } else { None }
    }

    fn number(&mut self, object: &Object<'_>, key: &str, range: RangeInclusive<u64>) -> Option<u64> {
        let expected = format!("a whole number from {} to {}", range.start(), range.end());
        let value = self.need(object, key, &expected)?;
        let number = value.as_u64().filter(|n| range.contains(n));
        if number.is_none() {
            self.wrong(&object.place(key), &expected, value);
        }
        number
    }

    fn flag(&mut self, object: &Object<'_>, key: &str) -> bool {
        let Some(value) = object.map.get(key) else { return false };
        value.as_bool().unwrap_or_else(|| {
            self.wrong(&object.place(key), "true or false", value);
            false
        })
    }

    fn list<'a>(&mut self, object: &Object<'a>, key: &str) -> &'a [Value] {
        let Some(value) = object.map.get(key) else { return &[] };
        value.as_array().map(Vec::as_slice).unwrap_or_else(|| {
            self.wrong(&object.place(key), "a list", value);
            &[]
        })
    }

    fn config(&mut self, object: &Object<'_>) -> Option<Value> {
        let value = self.need(object, "config", "the plugin's configuration, an object")?;
        if !value.is_object() {
            self.wrong(&object.place("config"), "the plugin's configuration, an object", value);
            return None;
        }
        Some(value.clone())
    }

    fn server(&mut self, object: &Object<'_>) -> Option<String> {
        let id = self.text(object, "server")?;
        if !self.servers.contains(&id) {
            let known = self.servers.join(", ");
            let text = format!("no server \"{id}\" in `config.monitored_servers`; expected one of {known}");
            self.fault(&object.place("server"), text);
        }
        Some(id)
    }

    fn document(&mut self, document: &Value) -> Option<Scenario> {
        let keys = ["name", "start_utc", "config", "prepared", "host", "steps", "until_ms", "expect"];
        let top = self.object(document, "", &keys)?;
        let name = self.text(&top, "name");
        let start = self.start(&top);
        let config = self.config(&top);
        let prepared = self.flag(&top, "prepared");
        let host = self.host(&top);
        self.need(&top, "steps", "a list of steps");
        let steps = self.list(&top, "steps").iter().enumerate();
        let steps: Vec<Step> = steps.filter_map(|(n, step)| self.step(n, step)).collect();
        let until_ms = self.number(&top, "until_ms", 0..=MAX_MS);
        let lines = self.list(&top, "expect").iter().enumerate();
        let expect = lines.filter_map(|(n, line)| self.line(n, line)).collect();
        let (name, start_utc_ms, config) = (name?, start?, config?);
        Some(Scenario { name, start_utc_ms, config, prepared, host, steps, until_ms: until_ms?, expect })
    }

    fn start(&mut self, top: &Object<'_>) -> Option<i64> {
        let text = if top.has("start_utc") { self.text(top, "start_utc")? } else { DEFAULT_START.to_owned() };
        match chrono::DateTime::parse_from_rfc3339(&text) {
            Ok(utc) => Some(utc.timestamp_millis()),
            Err(_) => {
                let expected = format!("a UTC time such as {DEFAULT_START}");
                self.wrong(&top.place("start_utc"), &expected, &Value::from(text));
                None
            }
        }
    }

    fn host(&mut self, top: &Object<'_>) -> HostAnswers {
        let Some(value) = top.map.get("host") else { return HostAnswers::default() };
        let delays = ["takeover_ms", "restore_ms", "backup_ms", "authorize_ms"];
        let keys = [&delays[..], &["fail", "never_answer"]].concat();
        let Some(host) = self.object(value, "/host", &keys) else { return HostAnswers::default() };
        let named = delays.into_iter().filter(|key| host.has(key));
        let delay = |key: &str| {
            let ms = self.number(&host, key, 0..=MAX_MS)?;
            Some((key.trim_end_matches("_ms").to_owned(), ms))
        };
        let delays_ms = named.filter_map(delay).collect();
        let fail = self.exceptions(&host, "fail", &["operation", "server", "times", "error"]);
        let never_answer = self.exceptions(&host, "never_answer", &["operation", "server", "times"]);
        HostAnswers { delays_ms, fail, never_answer }
    }

    fn exceptions(&mut self, host: &Object<'_>, key: &str, keys: &[&str]) -> Vec<Exception> {
        let entries = self.list(host, key).iter().enumerate();
        entries.filter_map(|(n, entry)| self.exception(entry, &format!("/host/{key}/{n}"), keys)).collect()
    }

    fn exception(&mut self, entry: &Value, at: &str, keys: &[&str]) -> Option<Exception> {
        let for_server = entry.get("operation").is_none_or(|name| name != FOR_NO_SERVER);
        let keys: Vec<&str> = keys.iter().copied().filter(|key| for_server || *key != "server").collect();
        let entry = self.object(entry, at, &keys)?;
        let operation = self.text(&entry, "operation");
        if let Some(name) = operation.as_ref().filter(|name| !OPERATIONS.contains(&name.as_str())) {
            let expected = format!("an operation: {}", OPERATIONS.join(", "));
            self.wrong(&entry.place("operation"), &expected, &Value::from(name.as_str()));
        }
        let server = if for_server { Some(self.server(&entry)) } else { None };
        let times = if entry.has("times") { self.number(&entry, "times", 1..=u64::from(u32::MAX)) } else { Some(1) };
        let error = self.optional_text(&entry, "error").unwrap_or_else(|| "failed as the scenario says".to_owned());
        let server = match server {
            Some(named) => Some(named?),
            None => None,
        };
        Some(Exception { operation: operation?, server, times: times?, error })
    }

    fn step(&mut self, n: usize, value: &Value) -> Option<Step> {
        let at = format!("/steps/{n}");
        let name = value.get("do").and_then(Value::as_str).unwrap_or_default();
        if let Some((name, what)) = LATER.iter().find(|(later, _)| *later == name) {
            let text = format!("step {}: `{name}`: this version of the library has no {what}", n + 1);
            self.fault(&format!("{at}/do"), text);
            return None;
        }
        let own: &[&str] = match name {
            "configure" => &["config"],
            "pause" => &["ms", "lost"],
            "utc_jump" => &["ms"],
            "restart" | "crash" | "corrupt_state" => &[],
            call if CALLS.contains(&call) => &["server", "actor"],
            call if CALLS_FOR_ALL.contains(&call) => &["actor"],
            _ => &["server"],
        };
        let step = self.object(value, &at, &[&["do"], own, &TIMES[..]].concat())?;
        let times = self.times(&step);
        let action = self.action(&step);
        let (from_ms, every_ms, until_ms) = times?;
        Some(Step { from_ms, every_ms, until_ms, action: action? })
    }

    /// First time, interval (0 = once), last time.
    fn times(&mut self, step: &Object<'_>) -> Option<(u64, u64, u64)> {
        let given: Vec<&str> = TIMES.into_iter().filter(|key| step.has(key)).collect();
        if given == ["at_ms"] {
            let at = self.number(step, "at_ms", 0..=MAX_MS)?;
            return Some((at, 0, at));
        }
        if given != ["from_ms", "every_ms", "until_ms"] {
            let got = if given.is_empty() { "none".to_owned() } else { given.join(", ") };
            self.fault(
                &step.at,
                format!("expected either `at_ms`, or `from_ms`, `every_ms` and `until_ms`; got {got}"),
            );
            return None;
        }
        let from = self.number(step, "from_ms", 0..=MAX_MS)?;
        let every = self.number(step, "every_ms", 1..=MAX_MS)?;
        let until = self.number(step, "until_ms", from..=MAX_MS)?;
        Some((from, every, until))
    }

    fn action(&mut self, step: &Object<'_>) -> Option<Action> {
        let name = self.text(step, "do")?;
        if let Some(event) = EventKind::ALL.into_iter().find(|kind| kind.name() == name) {
            return Some(Action::Event { server: self.server(step)?, event });
        }
        match name.as_str() {
            "configure" => Some(Action::Call(Call::Configure { config: self.config(step)? })),
            "pause" => {
                let (ms, lost) = (self.number(step, "ms", 1..=MAX_MS), self.flag(step, "lost"));
                Some(Action::Pause { ms: ms?, lost })
            }
            "utc_jump" => self.utc_jump(step),
            "restart" => Some(Action::Mishap(Mishap::Restart)),
            "crash" => Some(Action::Mishap(Mishap::Crash)),
            "corrupt_backup" => Some(Action::Mishap(Mishap::CorruptBackup { server: self.server(step)? })),
            "corrupt_state" => Some(Action::Mishap(Mishap::CorruptState)),
            call if CALLS.contains(&call) || CALLS_FOR_ALL.contains(&call) => self.call(step, call).map(Action::Call),
            _ => {
                let events = EventKind::ALL.map(EventKind::name);
                let expected = [&events[..], &CALLS, &CALLS_FOR_ALL, &OTHERS].concat().join(", ");
                self.wrong(&step.place("do"), &format!("one of {expected}"), &Value::from(name));
                None
            }
        }
    }

    fn call(&mut self, step: &Object<'_>, name: &str) -> Option<Call> {
        let server = if CALLS.contains(&name) { self.server(step) } else { None };
        let actor = self.optional_text(step, "actor");
        Some(match name {
            "takeover" => Call::Takeover { server: server?, actor },
            "restore" => Call::Restore { server: server?, actor },
            "cancel" => Call::Cancel { server: server?, actor },
            "backup" => Call::Backup { server: server?, actor },
            "authorize" => Call::Authorize { server: server?, actor },
            "deauthorize" => Call::Deauthorize { server: server?, actor },
            "backup_all" => Call::BackupAll { actor },
            other => Call::Cluster { joined: other == "cluster_joined", actor },
        })
    }

    fn utc_jump(&mut self, step: &Object<'_>) -> Option<Action> {
        let limit = MAX_MS as i64;
        let expected = format!("a whole number from -{limit} to {limit}");
        let value = self.need(step, "ms", &expected)?;
        let ms = value.as_i64().filter(|ms| (-limit..=limit).contains(ms));
        if ms.is_none() {
            self.wrong(&step.place("ms"), &expected, value);
        }
        Some(Action::UtcJump { ms: ms? })
    }

    fn line(&mut self, n: usize, value: &Value) -> Option<Map<String, Value>> {
        let at = format!("/expect/{n}");
        let kind = value.get("kind").and_then(Value::as_str);
        let known = LINES.iter().find(|(name, _)| Some(*name) == kind);
        let kinds = LINES.map(|(name, _)| name).join(", ");
        let line = match known {
            Some((_, keys)) => self.object(value, &at, &[&["at_ms", "kind"], *keys].concat())?,
            None => {
                let any: Vec<&str> = LINES.iter().flat_map(|(_, keys)| keys.iter().copied()).collect();
                let line = self.object(value, &at, &[&["at_ms", "kind"], any.as_slice()].concat())?;
                if let Some(kind) = line.map.get("kind") {
                    self.wrong(&line.place("kind"), &format!("one of {kinds}"), kind);
                }
                line
            }
        };
        if line.map.is_empty() {
            self.fault(&at, "expected at least one key of a trace line, such as `kind`");
        }
        if line.has("at_ms") {
            self.number(&line, "at_ms", 0..=MAX_MS);
        }
        if line.has("server") {
            self.server(&line);
        }
        Some(line.map.clone())
    }
}
