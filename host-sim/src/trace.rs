//! The lines of a trace: what happened, one JSON object per line, `at_ms` and `kind` first, always in the same key order.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// One line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TraceLine {
    /// When, in virtual ms since the start.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// What a line tells.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum What {
    /// The health of a server changed.
    Health {
        /// The server's id.
        server: String,
        /// The phase before.
        from: String,
        /// The phase now.
        to: String,
        /// Why it failed.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
    },
    /// The takeover state of a server changed.
    Takeover {
        /// The server's id.
        server: String,
        /// The state before.
        from: String,
        /// The state now.
        to: String,
        /// Why.
        #[serde(skip_serializing_if = "Option::is_none")]
        reason: Option<String>,
        /// Who wanted it.
        #[serde(skip_serializing_if = "Option::is_none")]
        actor: Option<String>,
    },
    /// The host is asked for work.
    Operation {
        /// Its name.
        operation: String,
        /// Its number: operations are numbered from 1 in the order in which they began.
        op: u64,
        /// The server's id, if it concerns one.
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// It was begun before the last stop.
        #[serde(default, skip_serializing_if = "is_false")]
        resumed: bool,
    },
    /// An operation ended.
    Completed {
        /// Its name.
        operation: String,
        /// Its number.
        op: u64,
        /// The server's id, if it concerns one.
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// `ok`, `failed`, `timeout`, `superseded` or `interrupted`.
        outcome: String,
    },
    /// A backup was published, or came to nothing.
    Backup {
        /// The server's id.
        server: String,
        /// `ok` or `failed`.
        result: String,
    },
    /// Whether a takeover of a server would go well has changed.
    Ready {
        /// The server's id.
        server: String,
        /// It would.
        ready: bool,
        /// Why it would not, in stable words.
        reasons: Vec<String>,
    },
    /// An alarm was raised.
    Alarm {
        /// Its code.
        code: String,
        /// The server's id, if it concerns one.
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
    },
    /// A step's call gave an error.
    Refused {
        /// The step.
        #[serde(rename = "do")]
        step: String,
        /// The server's id, if the step names one.
        #[serde(skip_serializing_if = "Option::is_none")]
        server: Option<String>,
        /// The name of the result code.
        error: String,
    },
}

fn is_false(flag: &bool) -> bool {
    !flag
}

impl What {
    /// The server that the line is about, if it is about one.
    #[must_use]
    pub fn server(&self) -> Option<&str> {
        match self {
            Self::Health { server, .. }
            | Self::Takeover { server, .. }
            | Self::Backup { server, .. }
            | Self::Ready { server, .. } => Some(server),
            Self::Operation { server, .. }
            | Self::Completed { server, .. }
            | Self::Alarm { server, .. }
            | Self::Refused { server, .. } => server.as_deref(),
        }
    }
}

impl TraceLine {
    /// The line as JSON, without a line end.
    #[must_use]
    pub fn to_json(&self) -> String {
        // Texts and numbers only: there is nothing in a line that JSON cannot say.
        serde_json::to_string(self).unwrap_or_default()
    }

    /// The line's keys and values, for matching.
    #[must_use]
    pub fn to_map(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }
}

/// The whole trace as JSON Lines.
#[must_use]
pub fn to_json_lines(trace: &[TraceLine]) -> String {
    trace.iter().map(|line| line.to_json() + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(what: What) -> String {
        TraceLine { at_ms: 7, what }.to_json()
    }

    #[test]
    fn keys_come_in_one_order_and_empty_ones_not_at_all() {
        let server = || "a".to_owned();
        let health = What::Health { server: server(), from: "started".into(), to: "keep_alive".into(), reason: None };
        assert_eq!(line(health), r#"{"at_ms":7,"kind":"health","server":"a","from":"started","to":"keep_alive"}"#);
        let operation = |server, resumed| What::Operation { operation: "takeover".into(), op: 1, server, resumed };
        assert_eq!(
            line(operation(Some(server()), false)),
            r#"{"at_ms":7,"kind":"operation","operation":"takeover","op":1,"server":"a"}"#
        );
        assert!(line(operation(None, true)).ends_with(r#","op":1,"resumed":true}"#));
        let completed = What::Completed { operation: "join_cluster".into(), op: 1, server: None, outcome: "ok".into() };
        assert_eq!(
            line(completed),
            r#"{"at_ms":7,"kind":"completed","operation":"join_cluster","op":1,"outcome":"ok"}"#
        );
        let backup = What::Backup { server: server(), result: "failed".into() };
        assert_eq!(line(backup), r#"{"at_ms":7,"kind":"backup","server":"a","result":"failed"}"#);
        let ready = What::Ready { server: server(), ready: false, reasons: vec!["no_backup".into()] };
        assert_eq!(line(ready), r#"{"at_ms":7,"kind":"ready","server":"a","ready":false,"reasons":["no_backup"]}"#);
        let refused = What::Refused { step: "configure".into(), server: None, error: "VMSF_ERR_CONFIG".into() };
        assert_eq!(line(refused), r#"{"at_ms":7,"kind":"refused","do":"configure","error":"VMSF_ERR_CONFIG"}"#);
        let takeover = What::Takeover {
            server: server(),
            from: "none".into(),
            to: "queued".into(),
            reason: Some("keep_alive_timeout".into()),
            actor: Some("automatic".into()),
        };
        assert!(line(takeover).ends_with(r#""to":"queued","reason":"keep_alive_timeout","actor":"automatic"}"#));
    }

    #[test]
    fn a_trace_is_one_object_per_line() {
        let alarm = |code: &str| TraceLine { at_ms: 1, what: What::Alarm { code: code.into(), server: None } };
        let text = to_json_lines(&[alarm("x\ny"), alarm("z")]);
        assert_eq!(text.lines().count(), 2);
        assert!(text.lines().all(|line| serde_json::from_str::<Value>(line).is_ok()));
    }

    #[test]
    fn a_line_is_read_back_as_it_was() {
        let text = r#"{"at_ms":7,"kind":"operation","operation":"backup","op":3,"server":"a"}"#;
        let read: TraceLine = serde_json::from_str(text).unwrap();
        let what = What::Operation { operation: "backup".into(), op: 3, server: Some("a".into()), resumed: false };
        assert_eq!(read, TraceLine { at_ms: 7, what });
        assert_eq!(read.to_json(), text);
    }
}
