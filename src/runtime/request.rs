//! The request of an operation, as JSON for the host. Pure: the secret that goes with it is added by whoever delivers.

use std::path::Path;

use serde_json::{Map, Value, json};
use vms_failover_abi as abi;

use super::Begin;
use crate::config::Config;
use crate::engine::output::{Operation, OperationKind, With};
use crate::log::Named;
use crate::secret::Secret;

/// Puts an operation into the words of the header.
pub fn begin(operation: &Operation, server: Option<&Named>, config: &Config, secret: Option<Secret>) -> Begin {
    Begin {
        kind: match operation.kind {
            OperationKind::Takeover => abi::VMSF_OP_TAKEOVER,
            OperationKind::Restore => abi::VMSF_OP_RESTORE,
            OperationKind::Backup => abi::VMSF_OP_BACKUP,
            OperationKind::Authorize => abi::VMSF_OP_AUTHORIZE,
            OperationKind::Deauthorize => abi::VMSF_OP_DEAUTHORIZE,
            OperationKind::JoinCluster => abi::VMSF_OP_JOIN_CLUSTER,
        },
        resumed: operation.resumed,
        attempt: operation.attempt,
        id: operation.id,
        deadline_ns: operation.deadline.0,
        server: server.map_or(0, |server| server.handle),
        json: Value::Object(request(operation, server, config)).to_string(),
        secret,
    }
}

fn request(operation: &Operation, server: Option<&Named>, config: &Config) -> Map<String, Value> {
    let mut request = Map::new();
    let mut put = |key: &str, value: Value| {
        if !value.is_null() {
            request.insert(key.to_owned(), value);
        }
    };
    put("op", operation.id.into());
    put("operation", operation.kind.name().into());
    put("actor", operation.actor.name().into());
    put("reason", operation.reason.into());
    put("attempt", operation.attempt.into());
    put("resumed", operation.resumed.into());
    put("request", operation.request.into());
    if let Some(Named { id, .. }) = server {
        put("server", json!(config.monitored_servers.iter().find(|server| server.id == **id)));
        if operation.kind.moves_slot() {
            put("store_folder", Path::new(&config.store_path).join(&**id).to_string_lossy().into());
        }
    }
    if operation.kind.moves_slot() {
        put("server_communication", json!(config.server_communication));
        put("client_communication", json!(config.client_communication));
        put("open_api", json!(config.open_api));
    }
    if operation.kind == OperationKind::Takeover {
        put("supersedes", json!(operation.supersedes));
    }
    match &operation.with {
        With::Nothing => {}
        With::Archive(archive) => put("backup", json!({ "path": archive.path, "sha256": archive.sha256 })),
        With::File(file) => put("file", file.as_str().into()),
        With::Management { host, port } => put("management_server", json!({ "host": host, "port": port })),
    }
    request
}
