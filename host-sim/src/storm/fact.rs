//! What a host tells of its life, one line of JSON per fact. Each is in the pipe before the host goes on, so a SIGKILL takes none back.

use serde::{Deserialize, Serialize};

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// `create` and `start` went well; these servers are configured.
    Started {
        /// Their ids.
        servers: Vec<String>,
    },
    /// A call is about to be made.
    Calling {
        /// `takeover`, `restore`, `cancel`.
        call: String,
        /// For which server.
        server: String,
        /// A name that no other call has.
        actor: String,
    },
    /// It was accepted: VMSF_OK.
    Accepted {
        /// Whose call.
        actor: String,
        /// The id that it got, where it gets one.
        request: Option<u64>,
    },
    /// It was refused.
    Refused {
        /// Whose call.
        actor: String,
        /// The code's name.
        error: String,
    },
    /// A configuration with these servers is about to be given.
    Configuring {
        /// Their ids.
        servers: Vec<String>,
    },
    /// It was accepted, or not.
    Configured {
        /// VMSF_OK.
        accepted: bool,
    },
    /// An operation is about to be answered.
    Answering {
        /// Which.
        op: u64,
        /// As done, or as failed.
        ok: bool,
    },
    /// The answer was accepted, outside a callback.
    Answered {
        /// Which.
        op: u64,
    },
    /// The answer was refused.
    AnswerRefused {
        /// Which.
        op: u64,
        /// The code's name.
        error: String,
    },
    /// The plugin asks for an operation.
    Begin {
        /// Its id.
        op: u64,
        /// `takeover` or `restore`.
        operation: String,
        /// For which server.
        server: String,
        /// VMSF_OP_RESUMED.
        resumed: bool,
    },
    /// The plugin tells an entry.
    Event {
        /// Its number.
        seq: u64,
        /// The entry.
        json: String,
    },
    /// The stored log holds this entry; told by the last life, which is not killed.
    Logged {
        /// The entry.
        json: String,
    },
    /// A life came to its own end, well.
    Ended {},
    /// A life cannot go on.
    Fault {
        /// Why.
        text: String,
    },
}
