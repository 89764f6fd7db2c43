//! What the durable state says, in the schema of today. Plain data; made and read by `runtime`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::engine::memory::Memory;
use crate::engine::output::Outcome;

/// Half of the numbers that there are (header: ids are at most 2^53 - 1). A life needs far fewer than the other half.
const NUMBER_MAX: u64 = 1 << 52;

/// The durable state of an instance; servers are named by their ids.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Ids of operations and requests are free from here on.
    pub next_id: u64,
    /// Log numbers below this one may have been given out.
    pub reserved_seq: u64,
    /// Calls that were accepted and have not taken effect yet, oldest first.
    pub accepted: Vec<Accepted>,
    /// What the engine has to know.
    pub memory: Memory<String>,
    /// Servers that the last configuration given dropped while they were taken over: they go when that is over.
    pub leaving: BTreeSet<String>,
    /// Tokens to be deleted by their keeper: the server's id, and the operation that had brought it.
    pub unwanted_tokens: Vec<(String, u64)>,
    /// Host and port of the servers in there: at another address it is another machine, of which nothing is known.
    pub addresses: BTreeMap<String, (String, u16)>,
}

impl Document {
    /// What is wrong with its numbers, if anything: what was given out must lie below them, and below what JSON's readers can count to.
    pub fn check(&self) -> Result<(), String> {
        match [("next_id", self.next_id), ("reserved_seq", self.reserved_seq)].iter().find(|(_, n)| *n > NUMBER_MAX) {
            Some((name, number)) => Err(format!("{name} is {number}, which is more than can have been given out")),
            None => Ok(()),
        }
    }
}

/// An accepted call.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Accepted {
    /// Take this server over.
    Takeover(Call),
    /// Restore this server.
    Restore(Call),
    /// Take this server out of the queue.
    Cancel(Call),
    /// Back this server up.
    Backup(Call),
    /// Back all servers up.
    BackupAll {
        /// Who asked.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// Log in on this server; the credentials are not kept.
    Authorize(Call),
    /// Revoke the token of this server.
    Deauthorize(Call),
    /// Join the cluster; the credentials are not kept.
    JoinCluster {
        /// The management server.
        host: String,
        /// Its port.
        port: u16,
        /// Who asked.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// This failover server is part of the cluster, or no longer.
    Cluster {
        /// It is.
        joined: bool,
        /// Who said so.
        actor: String,
        /// The call's id.
        request: u64,
    },
    /// The host's answer.
    Complete {
        /// To which operation.
        op: u64,
        /// How it ended.
        outcome: Outcome,
        /// What went wrong, if it did.
        error: Option<String>,
    },
}

/// Who called for what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Call {
    /// The server's id.
    pub server: String,
    /// Who asked.
    pub actor: String,
    /// The call's id.
    pub request: u64,
}
