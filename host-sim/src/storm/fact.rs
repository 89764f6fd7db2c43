//! What a host tells of its life, one line of JSON per fact. Each is in the pipe before the host goes on, so a SIGKILL takes none back.

use serde::{Deserialize, Serialize};

/// One fact.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// `create` went well; these servers are configured.
    Started {
        /// `id@host` of each.
        servers: Vec<String>,
        /// The number of the last entry in the log.
        last_seq: u64,
    },
    /// `start` went well, or the last life is about to stop: what the status says.
    Found {
        /// Part of the cluster.
        joined: bool,
        /// The servers that can be logged in on.
        authorized: Vec<String>,
        /// The server that has the slot.
        holder: Option<String>,
        /// The servers that wait for it, in order.
        queue: Vec<String>,
    },
    /// A keep-alive message of a server is about to be reported.
    Heard {
        /// Which.
        server: String,
    },
    /// A call is about to be made.
    Calling {
        /// `takeover`, `restore`, `cancel`, `authorize`, `deauthorize`, `backup`, `backup_all`, `join_cluster`, `join`, `leave`.
        call: String,
        /// For which server; "" for none.
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
        /// `id@host` of each.
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
    Begin(Begin),
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
    /// A life cannot go on, or has seen what must not be.
    Fault {
        /// Why.
        text: String,
    },
}

/// An operation as the host was asked for it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Begin {
    /// Its id.
    pub op: u64,
    /// `takeover`, `restore`, `backup`, `authorize`, `deauthorize`, `join_cluster`.
    pub operation: String,
    /// For which server; "" for none.
    pub server: String,
    /// VMSF_OP_RESUMED.
    pub resumed: bool,
    /// Who is behind it.
    pub actor: String,
    /// What came as its secret.
    pub secret: Handed,
    /// The file that a backup is to be written to.
    pub file: Option<String>,
    /// The archive that a takeover is to be done with; that it hashes as said was looked at.
    pub archive: Option<String>,
}

/// What came as the secret of an operation. Only names: what a host is given, it tells nobody.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Handed {
    /// None.
    #[default]
    Nothing,
    /// The whole token that the host gave for this authorization of the server.
    Token(u64),
    /// The whole credentials of the call by this actor.
    Credentials(String),
    /// Something else.
    Rubbish,
}
