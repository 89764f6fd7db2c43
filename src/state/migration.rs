//! The way of older states to the schema of today, one function a step. Pure. Called by `state` when a state is loaded.

use serde_json::{Map, Value, json};

/// Schema 1 knew nothing of cluster, logins and backups: it took them as given. What it did not know has to be told or done again; what
/// runs goes on.
pub fn from_1(mut state: Value) -> Result<Value, String> {
    put(&mut state, "/memory", "joined", json!(false))?;
    put(&mut state, "/memory", "runs", json!([]))?;
    put(&mut state, "/memory", "daily", json!({ "date": null, "hashed": null, "clock_jump": false }))?;
    for server in list(&mut state, "/memory/servers")? {
        put(server, "", "access", Value::Null)?;
        put(server, "", "backups", json!({ "good": false, "highest": 0, "last": null }))?;
    }
    for operation in list(&mut state, "/memory/operations")? {
        put(operation, "", "with", json!("nothing"))?;
        put(operation, "", "stage", json!("asked"))?;
    }
    put(&mut state, "", "unwanted_tokens", json!([]))?;
    put(&mut state, "", "leaving", json!([]))?;
    Ok(state)
}

fn list<'a>(state: &'a mut Value, pointer: &str) -> Result<&'a mut Vec<Value>, String> {
    state.pointer_mut(pointer).and_then(Value::as_array_mut).ok_or_else(|| format!("{pointer} is no list"))
}

fn put(state: &mut Value, pointer: &str, key: &str, value: Value) -> Result<(), String> {
    let object: Option<&mut Map<String, Value>> = state.pointer_mut(pointer).and_then(Value::as_object_mut);
    object.ok_or_else(|| format!("{pointer} is no object"))?.insert(key.to_owned(), value);
    Ok(())
}
