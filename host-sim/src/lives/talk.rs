//! What runner and host process say to each other: a line of JSON each way, a question and its answer.

use serde::{Deserialize, Serialize};

use crate::library::Birth;
use crate::run::{Happening, Polled};
use crate::scenario::{Call, EventKind};

/// What the host process is told to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Request {
    /// Create and start the plugin; the first line of a life.
    Begin { birth: Birth, preparation: Option<Preparation> },
    /// Report an event.
    Notify { at_ns: u64, server: String, event: EventKind },
    /// Make a call.
    Call { at_ns: u64, call: Call },
    /// Answer an operation.
    Complete { at_ns: u64, op: u64, failure: Option<String> },
    /// Move time.
    Poll { now_ns: u64, utc_ms: i64 },
    /// Change a byte of the newest backup of a server.
    CorruptBackup { server: String },
    /// Stop and destroy the plugin, and end; the last line of a life that is not killed.
    End,
}

/// What a prepared scenario has behind it at time 0.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Preparation {
    pub(super) servers: Vec<String>,
    pub(super) start_utc_ms: i64,
}

/// What the host process answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reply", rename_all = "snake_case")]
pub(super) enum Reply {
    /// It is done.
    Done,
    /// The call was refused with the name of this result code.
    Refused { error: String },
    /// What a poll gave.
    Polled { polled: Polled },
    /// What was told at the end.
    Told { happenings: Vec<Happening> },
    /// The configuration is refused.
    BadConfig { text: String },
    /// The plugin broke its rules, or something is wrong with the machine.
    Broken { text: String },
}

impl Reply {
    /// What is wrong, where another answer was expected.
    pub(super) fn fault(self) -> String {
        match self {
            Self::Broken { text } | Self::BadConfig { text } => text,
            other => format!("the host process answered {other:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::trace::What;

    #[test]
    fn every_number_and_line_comes_through() {
        let begun = Happening::Begin { op: 1 << 53, operation: "join_cluster".into(), server: None, resumed: true };
        let (server, operation) = (Some("a".to_owned()), "backup".to_owned());
        let lines = [
            What::Operation { operation: operation.clone(), op: 1, server: server.clone(), resumed: false },
            What::Completed { operation, op: u64::MAX, server, outcome: "ok".into() },
            What::Alarm { code: "state_damaged".into(), server: None },
            What::Ready { server: "a".into(), ready: true, reasons: Vec::new() },
        ];
        let happenings = lines.into_iter().map(Happening::Line).chain([begun]).collect();
        let reply = Reply::Polled { polled: Polled { next_ns: u64::MAX, happenings } };
        let text = serde_json::to_string(&reply).unwrap();
        assert_eq!(serde_json::from_str::<Reply>(&text).unwrap(), reply);
    }

    #[test]
    fn requests_come_through() {
        let call = Call::Configure { config: json!({"a": [1, {"b": null}]}) };
        let birth = Birth { folder: "/f".into(), story: "s".into(), config: None };
        for request in [
            Request::Begin { birth, preparation: None },
            Request::Call { at_ns: 7, call },
            Request::Call { at_ns: 7, call: Call::Cluster { joined: true, actor: None } },
            Request::Poll { now_ns: u64::MAX, utc_ms: -1 },
            Request::End,
        ] {
            let text = serde_json::to_string(&request).unwrap();
            assert_eq!(serde_json::from_str::<Request>(&text).unwrap(), request, "{text}");
        }
    }
}
