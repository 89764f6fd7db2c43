//! Accepted calls as they stand in the durable state: servers by their ids there, by their keys here.
//!
//! Pure. Called by `core` when it makes and reads a document.

use super::servers::Servers;
use crate::engine::command::Command;
use crate::engine::policy::ServerKey;
use crate::state::document::{self, Accepted};

/// What of a call has to be on disk; None where nothing has to.
pub fn of(command: &Command, servers: &Servers) -> Option<Accepted> {
    let call = |server: &ServerKey, actor: &str, request: u64| {
        let server = servers.by_key(*server)?.named.id.to_string();
        Some(document::Call { server, actor: actor.to_owned(), request })
    };
    match command {
        Command::Takeover { server, actor, request } => call(server, actor, *request).map(Accepted::Takeover),
        Command::Restore { server, actor, request } => call(server, actor, *request).map(Accepted::Restore),
        Command::Cancel { server, actor, request } => call(server, actor, *request).map(Accepted::Cancel),
        Command::Backup { server, actor, request } => call(server, actor, *request).map(Accepted::Backup),
        Command::Authorize { server, actor, request } => call(server, actor, *request).map(Accepted::Authorize),
        Command::Deauthorize { server, actor, request } => call(server, actor, *request).map(Accepted::Deauthorize),
        Command::BackupAll { actor, request } => Some(Accepted::BackupAll { actor: actor.clone(), request: *request }),
        Command::JoinCluster { host, port, actor, request } => {
            let (host, port, actor, request) = (host.clone(), *port, actor.clone(), *request);
            Some(Accepted::JoinCluster { host, port, actor, request })
        }
        Command::Cluster { joined, actor, request } => {
            Some(Accepted::Cluster { joined: *joined, actor: actor.clone(), request: *request })
        }
        Command::Complete { op, outcome, error } => {
            Some(Accepted::Complete { op: *op, outcome: *outcome, error: error.clone() })
        }
        // The one moves nothing, the other is a document of its own.
        Command::Progress { .. } | Command::Configure(_) => None,
    }
}

/// The call again; None where its server is gone.
pub fn command(accepted: Accepted, servers: &Servers) -> Option<Command> {
    let key = |id: &str| servers.by_id(id).map(|entry| entry.mailbox.key());
    Some(match accepted {
        Accepted::Takeover(document::Call { server, actor, request }) => {
            Command::Takeover { server: key(&server)?, actor, request }
        }
        Accepted::Restore(document::Call { server, actor, request }) => {
            Command::Restore { server: key(&server)?, actor, request }
        }
        Accepted::Cancel(document::Call { server, actor, request }) => {
            Command::Cancel { server: key(&server)?, actor, request }
        }
        Accepted::Backup(document::Call { server, actor, request }) => {
            Command::Backup { server: key(&server)?, actor, request }
        }
        Accepted::Authorize(document::Call { server, actor, request }) => {
            Command::Authorize { server: key(&server)?, actor, request }
        }
        Accepted::Deauthorize(document::Call { server, actor, request }) => {
            Command::Deauthorize { server: key(&server)?, actor, request }
        }
        Accepted::BackupAll { actor, request } => Command::BackupAll { actor, request },
        Accepted::JoinCluster { host, port, actor, request } => Command::JoinCluster { host, port, actor, request },
        Accepted::Cluster { joined, actor, request } => Command::Cluster { joined, actor, request },
        Accepted::Complete { op, outcome, error } => Command::Complete { op, outcome, error },
    })
}
