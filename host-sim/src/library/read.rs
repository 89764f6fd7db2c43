//! The events and requests of the plugin, read as far as a trace and the scenario's host need them.

use serde::Deserialize;
use vms_failover_abi as abi;

use crate::plugin::{Event, Operation};
use crate::run::Happening;
use crate::trace::What;

/// Events that a trace tells, or that end it. What the others carry is nobody's business here.
const TOLD: [u32; 7] = [
    abi::VMSF_EVENT_HEALTH,
    abi::VMSF_EVENT_TAKEOVER,
    abi::VMSF_EVENT_COMPLETED,
    abi::VMSF_EVENT_ALARM,
    abi::VMSF_EVENT_BACKUP,
    abi::VMSF_EVENT_READY,
    abi::VMSF_EVENT_POISONED,
];

/// The log entry of an event.
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
    result: Option<String>,
    ready: Option<bool>,
    #[serde(default)]
    reasons: Vec<String>,
}

/// The request of an operation.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Request {
    /// The operation's name.
    pub(super) operation: String,
    server: Option<RequestServer>,
    /// Into which the host writes the archive of a backup.
    pub(super) file: Option<String>,
    /// With which it takes the server over.
    pub(super) backup: Option<Archive>,
}

/// The backup of a takeover.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub(super) struct Archive {
    pub(super) path: String,
    pub(super) sha256: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
struct RequestServer {
    id: String,
}

impl Request {
    /// Reads the request of an operation.
    pub(super) fn of(operation: &Operation) -> Result<Self, String> {
        serde_json::from_str(&operation.json).map_err(|e| format!("the request {} is bad: {e}", operation.json))
    }

    /// The server's id, if it concerns one.
    pub(super) fn server(&self) -> Option<&str> {
        self.server.as_ref().map(|server| server.id.as_str())
    }

    /// What the runner is told of it.
    pub(super) fn happening(&self, operation: &Operation) -> Happening {
        Happening::Begin {
            op: operation.id,
            operation: self.operation.clone(),
            server: self.server().map(str::to_owned),
            resumed: operation.flags & abi::VMSF_OP_RESUMED != 0,
        }
    }
}

/// The operation that the host is to stop and undo, if the event says so.
pub(super) fn given_up(event: &Event) -> Result<Option<u64>, String> {
    if event.kind != abi::VMSF_EVENT_OPERATION_OVER {
        return Ok(None);
    }
    let op = entry(event)?.details.op;
    op.map(Some).ok_or_else(|| bad(event, "no details.op"))
}

/// The trace line of an event, if it has one.
pub(super) fn line_of(event: &Event) -> Result<Option<What>, String> {
    if !TOLD.contains(&event.kind) {
        return Ok(None);
    }
    let Entry { code, text, server, actor, details } = entry(event)?;
    let need = |value: Option<String>, key: &str| value.ok_or_else(|| bad(event, &format!("no {key}")));
    let Details { from, to, reason, op, operation, outcome, result, ready, reasons } = details;
    Ok(Some(match event.kind {
        abi::VMSF_EVENT_POISONED => return Err(format!("the plugin panicked: {text}")),
        abi::VMSF_EVENT_ALARM => What::Alarm { code, server },
        // After a start the plugin says nothing of `unknown`; a server at another address really becomes it.
        abi::VMSF_EVENT_HEALTH => What::Health {
            server: need(server, "server")?,
            from: need(from, "details.from")?,
            to: need(to, "details.to")?,
            reason,
        },
        abi::VMSF_EVENT_TAKEOVER => What::Takeover {
            server: need(server, "server")?,
            from: need(from, "details.from")?,
            to: need(to, "details.to")?,
            reason,
            actor,
        },
        abi::VMSF_EVENT_COMPLETED => What::Completed {
            op: op.ok_or_else(|| bad(event, "no details.op"))?,
            operation: need(operation, "details.operation")?,
            server,
            outcome: need(outcome, "details.outcome")?,
        },
        abi::VMSF_EVENT_BACKUP => {
            What::Backup { server: need(server, "server")?, result: need(result, "details.result")? }
        }
        abi::VMSF_EVENT_READY => {
            let ready = ready.ok_or_else(|| bad(event, "no details.ready"))?;
            What::Ready { server: need(server, "server")?, ready, reasons }
        }
        _ => return Ok(None),
    }))
}

fn entry(event: &Event) -> Result<Entry, String> {
    serde_json::from_str(&event.json).map_err(|e| bad(event, &e.to_string()))
}

fn bad(event: &Event, what: &str) -> String {
    format!("the event {} is bad: {what}", event.json)
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
    fn backups_readiness_and_operations_on_no_server_are_lines() {
        let backup = r#"{"code":"backup","server":"a","details":{"op":7,"result":"ok","number":3,"size":5}}"#;
        let expected = What::Backup { server: "a".into(), result: "ok".into() };
        assert_eq!(line(abi::VMSF_EVENT_BACKUP, backup), Ok(Some(expected)));
        let ready = r#"{"code":"ready","server":"a","details":{"ready":false,"reasons":["no_backup"]}}"#;
        let expected = What::Ready { server: "a".into(), ready: false, reasons: vec!["no_backup".into()] };
        assert_eq!(line(abi::VMSF_EVENT_READY, ready), Ok(Some(expected)));
        let joined = r#"{"code":"completed","details":{"op":7,"operation":"join_cluster","outcome":"ok"}}"#;
        assert!(matches!(line(abi::VMSF_EVENT_COMPLETED, joined), Ok(Some(What::Completed { server: None, .. }))));
    }

    #[test]
    fn what_is_given_up_is_heard_and_is_no_line() {
        let over =
            event(abi::VMSF_EVENT_OPERATION_OVER, r#"{"code":"operation_over","server":"a","details":{"op":7}}"#);
        assert_eq!((given_up(&over), line_of(&over)), (Ok(Some(7)), Ok(None)));
        assert_eq!(given_up(&event(abi::VMSF_EVENT_LOG, "{}")), Ok(None));
        assert!(
            given_up(&event(abi::VMSF_EVENT_OPERATION_OVER, r#"{"code":"x"}"#)).unwrap_err().contains("details.op")
        );
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
            (abi::VMSF_EVENT_BACKUP, r#"{"code":"backup","server":"a"}"#, "no details.result"),
            (abi::VMSF_EVENT_READY, r#"{"code":"ready","server":"a"}"#, "no details.ready"),
        ] {
            let text = line(kind, json).unwrap_err();
            assert!(text.contains(json) && text.contains(what), "{text}");
        }
        let text = line(abi::VMSF_EVENT_POISONED, r#"{"code":"poisoned","text":"boom"}"#).unwrap_err();
        assert_eq!(text, "the plugin panicked: boom");
    }
}
