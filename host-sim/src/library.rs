//! The built library as the [`Subject`] of a scenario: one instance in virtual time, with its files in a fresh temporary
//! folder that goes with it.

use std::fmt;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};
use tempfile::TempDir;
use vms_failover_abi as abi;

use crate::plugin::{CallError, CreateOptions, Event, Host, Instance, Mode, Operation, Plugin};
use crate::run::{Happening, Polled, Refusal, Subject};
use crate::scenario::{Call, EventKind, Scenario};
use crate::trace::What;

/// How long the last `stop` may take, in real time.
const STOP_MS: u32 = 10_000;
/// Paths of the configuration that lie in the temporary folder when they are relative.
const PATHS: [&str; 2] = ["backup_directory", "store_path"];

/// Why a scenario could not begin.
#[derive(Debug)]
pub enum BeginError {
    /// The plugin refuses the scenario's configuration.
    Config(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(text) => write!(f, "/config: the plugin refuses it: {text}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for BeginError {}

/// One instance of the built library, driven by the scenario's host.
pub struct LibrarySubject {
    // Before `folder`: the instance must be gone before its files go.
    instance: Instance,
    inbox: Arc<Inbox>,
    last_seq: Option<u64>,
    folder: TempDir,
}

impl fmt::Debug for LibrarySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LibrarySubject").field("instance", &self.instance).finish_non_exhaustive()
    }
}

/// What the callbacks brought since the last look.
#[derive(Default)]
struct Inbox(Mutex<Vec<Arrival>>);

enum Arrival {
    Event(Event),
    Operation(Operation),
}

impl Inbox {
    fn push(&self, arrival: Arrival) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
    }

    fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Collector(Arc<Inbox>);

impl Host for Collector {
    fn event(&self, event: Event) {
        self.0.push(Arrival::Event(event));
    }

    fn begin(&self, operation: Operation) {
        self.0.push(Arrival::Operation(operation));
    }
}

/// The log entry of an event, as far as a trace needs it.
#[derive(Deserialize)]
struct Entry {
    code: String,
    #[serde(default)]
    text: String,
    server: Option<String>,
    actor: Option<String>,
    #[serde(default)]
    details: Details,
}

#[derive(Deserialize, Default)]
struct Details {
    from: Option<String>,
    to: Option<String>,
    reason: Option<String>,
    op: Option<u64>,
    operation: Option<String>,
    outcome: Option<String>,
}

/// The request of an operation, as far as a trace needs it.
#[derive(Deserialize)]
struct Request {
    operation: String,
    server: RequestServer,
}

#[derive(Deserialize)]
struct RequestServer {
    id: String,
}

impl LibrarySubject {
    /// Creates and starts an instance with the scenario's configuration.
    ///
    /// # Errors
    /// The configuration is refused, or the plugin cannot begin.
    pub fn begin(plugin: &Arc<Plugin>, scenario: &Scenario) -> Result<Self, BeginError> {
        let other = |text: String| BeginError::Other(text);
        let folder = tempfile::Builder::new().prefix("host-sim-").tempdir();
        let folder = folder.map_err(|e| other(format!("no temporary folder: {e}")))?;
        let config = with_absolute_paths(&scenario.config, folder.path());
        let mut options = CreateOptions::new(folder.path().join("state"), Some(config));
        options.durability = Some("none".to_owned());
        let inbox = Arc::new(Inbox::default());
        let host = Box::new(Collector(inbox.clone()));
        let instance =
            Instance::create(plugin, Mode::HostDrives, &options, host).map_err(|error| match error.code {
                abi::VMSF_ERR_CONFIG => BeginError::Config(faults(&error.text)),
                _ => other(error.to_string()),
            })?;
        instance.start().map_err(|e| other(e.to_string()))?;
        Ok(Self { instance, inbox, last_seq: None, folder })
    }

    /// Stops and destroys the instance and removes its files.
    ///
    /// # Errors
    /// The plugin broke a rule at its end.
    pub fn end(mut self) -> Result<(), String> {
        self.instance.stop(STOP_MS).map_err(|e| e.to_string())?;
        let released = self.instance.destroy().map_err(|e| e.to_string())?;
        if released != 1 {
            return Err(format!("`release` was called {released} times, not once"));
        }
        self.folder.close().map_err(|e| format!("the temporary folder cannot be removed: {e}"))
    }

    fn happening(&mut self, arrival: Arrival) -> Result<Option<Happening>, String> {
        match arrival {
            Arrival::Operation(operation) => begin_of(&operation).map(Some),
            Arrival::Event(event) => {
                let in_order = self.last_seq.is_none_or(|last| event.seq == last + 1);
                if !in_order {
                    return Err(format!("event {} came after event {:?}", event.seq, self.last_seq));
                }
                self.last_seq = Some(event.seq);
                Ok(line_of(&event)?.map(Happening::Line))
            }
        }
    }
}

/// The texts of a report of faults; what is no such report (it may be cut) stays as it is.
fn faults(report: &str) -> String {
    let parsed: Value = serde_json::from_str(report).unwrap_or_default();
    let list = parsed.get("faults").and_then(Value::as_array);
    let texts: Vec<&str> = list.into_iter().flatten().filter_map(|fault| fault.get("text")?.as_str()).collect();
    if texts.is_empty() { report.to_owned() } else { texts.join("\n  ") }
}

fn with_absolute_paths(config: &Value, folder: &Path) -> Value {
    let mut config = config.clone();
    for key in PATHS {
        let Some(path) = config.get(key).and_then(Value::as_str) else { continue };
        if Path::new(path).is_relative() && !path.is_empty() {
            config[key] = json!(folder.join(path));
        }
    }
    config
}

fn begin_of(operation: &Operation) -> Result<Happening, String> {
    let request: Request =
        serde_json::from_str(&operation.json).map_err(|e| format!("the request {} is bad: {e}", operation.json))?;
    Ok(Happening::Begin {
        op: operation.id,
        operation: request.operation,
        server: request.server.id,
        resumed: operation.flags & abi::VMSF_OP_RESUMED != 0,
    })
}

/// The trace line of an event, if it has one.
fn line_of(event: &Event) -> Result<Option<What>, String> {
    let bad = |what: &str| format!("the event {} is bad: {what}", event.json);
    let entry: Entry = serde_json::from_str(&event.json).map_err(|e| bad(&e.to_string()))?;
    let Entry { code, text, server, actor, details } = entry;
    if event.kind == abi::VMSF_EVENT_POISONED {
        return Err(format!("the plugin panicked: {text}"));
    }
    if event.kind == abi::VMSF_EVENT_ALARM {
        return Ok(Some(What::Alarm { code, server }));
    }
    if !matches!(event.kind, abi::VMSF_EVENT_HEALTH | abi::VMSF_EVENT_TAKEOVER | abi::VMSF_EVENT_COMPLETED) {
        return Ok(None);
    }
    let server = server.ok_or_else(|| bad("no server"))?;
    let need = |value: Option<String>, key: &str| value.ok_or_else(|| bad(&format!("no details.{key}")));
    let Details { from, to, reason, op, operation, outcome } = details;
    if event.kind == abi::VMSF_EVENT_COMPLETED {
        let op = op.ok_or_else(|| bad("no details.op"))?;
        let (operation, outcome) = (need(operation, "operation")?, need(outcome, "outcome")?);
        return Ok(Some(What::Completed { operation, op, server, outcome }));
    }
    let (from, to) = (need(from, "from")?, need(to, "to")?);
    if event.kind == abi::VMSF_EVENT_TAKEOVER {
        return Ok(Some(What::Takeover { server, from, to, reason, actor }));
    }
    // After a start the plugin says nothing of `unknown`; a server at another address really becomes it.
    Ok(Some(What::Health { server, from, to, reason }))
}

fn actor_json(actor: Option<&str>) -> String {
    actor.map(|actor| json!({ "actor": actor }).to_string()).unwrap_or_default()
}

impl LibrarySubject {
    fn make(&self, call: &Call) -> Result<(), CallError> {
        let instance = &self.instance;
        match call {
            Call::Takeover { server, actor } => {
                instance.takeover(instance.server(server)?, &actor_json(actor.as_deref())).map(drop)
            }
            Call::Restore { server, actor } => {
                instance.restore(instance.server(server)?, &actor_json(actor.as_deref())).map(drop)
            }
            Call::Cancel { server, actor } => instance.cancel(instance.server(server)?, &actor_json(actor.as_deref())),
            Call::Configure { config } => {
                let config = with_absolute_paths(config, self.folder.path());
                instance.configure(&config.to_string(), false).map(drop)
            }
        }
    }
}

impl Subject for LibrarySubject {
    fn notify(&mut self, at_ns: u64, server: &str, event: EventKind) -> Result<(), Refusal> {
        let handle = self.instance.server(server).map_err(|e| e.name)?;
        self.instance.notify(handle, event.number(), at_ns).map_err(|e| e.name)
    }

    fn call(&mut self, _at_ns: u64, call: &Call) -> Result<(), Refusal> {
        self.make(call).map_err(|e| e.name)
    }

    fn complete(&mut self, _at_ns: u64, op: u64, failure: Option<&str>) -> Result<(), Refusal> {
        let (outcome, json) = match failure {
            None => (abi::VMSF_OUTCOME_OK, String::new()),
            Some(error) => (abi::VMSF_OUTCOME_FAILED, json!({ "error": error }).to_string()),
        };
        self.instance.complete(op, outcome, &json, &[]).map_err(|e| e.name)
    }

    fn poll(&mut self, now_ns: u64, utc_ms: i64) -> Result<Polled, String> {
        let next_ns = self.instance.poll(now_ns, utc_ms).map_err(|e| e.to_string())?;
        let mut happenings = Vec::new();
        for arrival in self.inbox.take() {
            happenings.extend(self.happening(arrival)?);
        }
        match self.instance.host_panic() {
            Some(text) => Err(text),
            None => Ok(Polled { next_ns, happenings }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(kind: u32, json: &str) -> Event {
        Event { kind, severity: 2, seq: 1, mono_ns: 1, utc_ms: 0, server: 1, json: json.to_owned() }
    }

    fn line(kind: u32, json: &str) -> Result<Option<What>, String> {
        line_of(&event(kind, json))
    }

    #[test]
    fn health_takeover_completed_and_alarm_are_lines_the_rest_is_not() {
        let moved =
            r#"{"seq":1,"code":"x","server":"a","actor":"alice","details":{"from":"none","to":"queued","more":1}}"#;
        let health = What::Health { server: "a".into(), from: "none".into(), to: "queued".into(), reason: None };
        assert_eq!(line(abi::VMSF_EVENT_HEALTH, moved), Ok(Some(health)));
        assert!(matches!(line(abi::VMSF_EVENT_TAKEOVER, moved), Ok(Some(What::Takeover { actor: Some(_), .. }))));
        assert_eq!(
            line(abi::VMSF_EVENT_ALARM, moved),
            Ok(Some(What::Alarm { code: "x".into(), server: Some("a".into()) }))
        );
        let ended = r#"{"code":"x","server":"a","details":{"op":7,"operation":"restore","outcome":"ok"}}"#;
        assert!(matches!(line(abi::VMSF_EVENT_COMPLETED, ended), Ok(Some(What::Completed { op: 7, .. }))));
        for kind in [abi::VMSF_EVENT_LOG, abi::VMSF_EVENT_ALARM_ENDED, abi::VMSF_EVENT_PROGRESS, 4711] {
            assert_eq!(line(kind, moved), Ok(None));
        }
    }

    #[test]
    fn a_server_at_another_address_becomes_unknown_and_that_is_a_line() {
        let unknown = r#"{"code":"health","server":"a","details":{"from":"keep_alive","to":"unknown"}}"#;
        assert!(matches!(line(abi::VMSF_EVENT_HEALTH, unknown), Ok(Some(What::Health { to, .. })) if to == "unknown"));
    }

    #[test]
    fn an_event_that_breaks_its_promise_is_shown() {
        for (kind, json, what) in [
            (abi::VMSF_EVENT_HEALTH, "{", "EOF"),
            (abi::VMSF_EVENT_HEALTH, r#"{"code":"health","details":{}}"#, "no server"),
            (abi::VMSF_EVENT_HEALTH, r#"{"code":"health","server":"a","details":{"from":"x"}}"#, "no details.to"),
            (abi::VMSF_EVENT_COMPLETED, r#"{"code":"completed","server":"a"}"#, "no details.op"),
        ] {
            let text = line(kind, json).unwrap_err();
            assert!(text.contains(json) && text.contains(what), "{text}");
        }
        let text = line(abi::VMSF_EVENT_POISONED, r#"{"code":"poisoned","text":"boom"}"#).unwrap_err();
        assert_eq!(text, "the plugin panicked: boom");
    }

    #[test]
    fn relative_paths_lie_in_the_folder_and_nothing_else_is_touched() {
        let folder = std::env::temp_dir();
        let absolute = folder.join("elsewhere");
        let config = json!({"backup_directory": "b", "store_path": absolute, "name": "b"});
        let expected = json!({"backup_directory": folder.join("b"), "store_path": absolute, "name": "b"});
        assert_eq!(with_absolute_paths(&config, &folder), expected);
    }

    #[test]
    fn faults_are_told_one_a_line() {
        assert_eq!(faults(r#"{"faults":[{"text":"x"},{"text":"y"}]}"#), "x\n  y");
        assert_eq!(faults("cut off"), "cut off");
    }
}
