//! The request of an operation, as JSON for the host. Looks up the newest backup on disk, so it is made with no lock held.

use std::path::Path;

use serde_json::{Map, Value, json};
use vms_failover_abi as abi;

use super::Begin;
use crate::backup;
use crate::config::Config;
use crate::engine::output::{Operation, OperationKind};
use crate::log::Named;

/// Puts an operation into the words of the header.
pub fn begin(operation: &Operation, server: &Named, config: &Config) -> Begin {
    Begin {
        kind: match operation.kind {
            OperationKind::Takeover => abi::VMSF_OP_TAKEOVER,
            OperationKind::Restore => abi::VMSF_OP_RESTORE,
        },
        resumed: operation.resumed,
        attempt: operation.attempt,
        id: operation.id,
        deadline_ns: operation.deadline.0,
        server: server.handle,
        json: Value::Object(request(operation, &server.id, config)).to_string(),
        secret: None,
    }
}

fn request(operation: &Operation, id: &str, config: &Config) -> Map<String, Value> {
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
    put("server", json!(config.monitored_servers.iter().find(|server| server.id == id)));
    put("store_folder", Path::new(&config.store_path).join(id).to_string_lossy().into());
    put("server_communication", json!(config.server_communication));
    put("client_communication", json!(config.client_communication));
    put("open_api", json!(config.open_api));
    if operation.kind == OperationKind::Takeover {
        put("supersedes", json!(operation.supersedes));
        put("backup", newest_backup(config, id));
    }
    request
}

fn newest_backup(config: &Config, id: &str) -> Value {
    let Some(backup) = backup::newest(Path::new(&config.backup_directory), id) else { return Value::Null };
    // The directory is UTF-8 by the configuration, the file's name by its form.
    json!({ "path": backup.path.to_string_lossy(), "sha256": backup.sha256 })
}
