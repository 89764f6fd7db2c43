//! What runner and host process say to each other: a line of JSON each way, a question and its answer.

use serde::{Deserialize, Serialize};

use crate::library::Birth;
use crate::run::{Happening, Polled};
use crate::scenario::{Call, EventKind};

/// A number for what both sides are built from. A test may find a program that was built before the last change, which would speak, or
/// behave, in another way.
pub(super) const BUILD: u64 = fingerprint(&[
    include_bytes!("talk.rs"),
    include_bytes!("host.rs"),
    include_bytes!("../library.rs"),
    include_bytes!("../library/damage.rs"),
    include_bytes!("../library/life.rs"),
    include_bytes!("../library/prepare.rs"),
    include_bytes!("../library/read.rs"),
    include_bytes!("../library/work.rs"),
    include_bytes!("../plugin/callbacks.rs"),
    include_bytes!("../plugin/instance.rs"),
    include_bytes!("../run.rs"),
    include_bytes!("../scenario.rs"),
    include_bytes!("../trace.rs"),
]);

/// FNV-1a: it has to be made while compiling, and nobody is to be kept from making another file with the same.
const fn fingerprint(files: &[&[u8]]) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325_u64;
    let mut file = 0;
    while file < files.len() {
        let mut at = 0;
        while at < files[file].len() {
            hash = (hash ^ files[file][at] as u64).wrapping_mul(0x0100_0000_01b3);
            at += 1;
        }
        file += 1;
    }
    hash
}

/// What the host process is told to do.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "snake_case")]
pub(super) enum Request {
    /// Create and start the plugin; the first line of a life.
    Begin { build: u64, birth: Birth, preparation: Option<Preparation> },
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
    fn every_byte_counts_in_the_fingerprint() {
        let of = |files: [&str; 2]| fingerprint(&files.map(str::as_bytes));
        let [one, other, less] = [["ab", "c"], ["ab", "d"], ["ab", ""]].map(of);
        assert!(one != other && one != less && other != less);
        // The published value for "foobar".
        assert_eq!(fingerprint(&[b"foo", b"bar"]), 0x85944171f73967e8);
    }

    #[test]
    fn requests_come_through() {
        let call = Call::Configure { config: json!({"a": [1, {"b": null}]}) };
        let birth = Birth { folder: "/f".into(), story: "s".into(), config: None };
        for request in [
            Request::Begin { build: BUILD, birth, preparation: None },
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
