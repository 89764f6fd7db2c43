//! The way of older states to the schema of today, one function a step. Pure. Called by `state` when a state is loaded.

use serde_json::{Map, Value, json};

/// Schema 1 knew nothing of cluster, logins and backups: it took them as given. What it did not know has to be told or done again; what
/// runs goes on.
pub fn from_1(mut state: Value) -> Result<Value, String> {
    put(&mut state, "/memory", "joined", json!(false))?;
    put(&mut state, "/memory", "runs", json!([]))?;
    put(&mut state, "/memory", "daily", json!({ "date": null, "hashed": null, "clock_jump": false }))?;
    for server in items(&state, "/memory/servers")? {
        put(&mut state, &server, "access", Value::Null)?;
        put(&mut state, &server, "backups", json!({ "good": false, "highest": 0, "last": null }))?;
    }
    for operation in items(&state, "/memory/operations")? {
        put(&mut state, &operation, "with", json!("nothing"))?;
        put(&mut state, &operation, "stage", json!("asked"))?;
    }
    put(&mut state, "", "unwanted_tokens", json!([]))?;
    put(&mut state, "", "leaving", json!([]))?;
    Ok(state)
}

/// The pointers to what is in a list.
fn items(state: &Value, list: &str) -> Result<Vec<String>, String> {
    let items = state.pointer(list).and_then(Value::as_array).ok_or_else(|| format!("{list} is no list"))?;
    Ok((0..items.len()).map(|place| format!("{list}/{place}")).collect())
}

fn put(state: &mut Value, pointer: &str, key: &str, value: Value) -> Result<(), String> {
    let object: Option<&mut Map<String, Value>> = state.pointer_mut(pointer).and_then(Value::as_object_mut);
    object.ok_or_else(|| format!("{pointer} is no object"))?.insert(key.to_owned(), value);
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::state::document::Document;

    /// As a version of schema 1 wrote it.
    fn of_schema_1() -> Value {
        let text = include_str!("../../tests/state/schema-1/state.a.json");
        serde_json::from_str::<Value>(text).unwrap()["state"].clone()
    }

    #[test]
    fn a_state_of_schema_1_becomes_one_of_today() {
        let document: Document = serde_json::from_value(from_1(of_schema_1()).unwrap()).unwrap();
        assert_eq!((document.next_id, document.reserved_seq, document.accepted.len()), (20_006, 10_035, 1));
        assert_eq!(document.memory.servers().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(document.memory.undroppable().collect::<Vec<_>>(), ["a"]);
        assert_eq!(
            (document.memory.access().count(), document.unwanted_tokens.len(), document.leaving.len()),
            (0, 0, 0)
        );
        // What it held is held.
        let mut old = of_schema_1();
        let new = serde_json::to_value(&document).unwrap();
        let same = |pointer: &str| assert_eq!(new.pointer(pointer), old.pointer(pointer), "{pointer}");
        let kept =
            ["/accepted", "/addresses", "/memory/given_up", "/memory/servers/0/entry", "/memory/servers/1/alarms"];
        kept.into_iter().for_each(same);
        // And is nothing of today yet.
        assert!(serde_json::from_value::<Document>(old.take()).is_err());
    }

    #[test]
    fn what_has_not_the_shape_of_schema_1_is_an_error_that_names_the_place() {
        for (broken, place) in [
            (json!(null), "/memory"),
            (json!({ "memory": [] }), "/memory"),
            (json!({ "memory": {} }), "/memory/servers"),
            (json!({ "memory": { "servers": [{}, 7], "operations": [] } }), "/memory/servers/1"),
            (json!({ "memory": { "servers": [], "operations": 1 } }), "/memory/operations"),
            (json!({ "memory": { "servers": [], "operations": [[]] } }), "/memory/operations/0"),
        ] {
            assert!(from_1(broken.clone()).unwrap_err().starts_with(place), "{broken}");
        }
    }

    /// Changes one value of a document, by its place in a walk over all of them.
    fn replace(value: &mut Value, at: &mut usize, with: &Value) {
        if *at == 0 {
            *value = with.clone();
        }
        *at = at.wrapping_sub(1);
        match value {
            Value::Array(list) => list.iter_mut().for_each(|inner| replace(inner, at, with)),
            Value::Object(map) => map.values_mut().for_each(|inner| replace(inner, at, with)),
            _ => {}
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn whatever_stands_in_it_is_migrated_or_an_error(at in 0_usize..150, kind in 0_usize..6) {
            let with = [json!(null), json!(7), json!("x"), json!([]), json!({}), json!([null])][kind].clone();
            let mut state = of_schema_1();
            replace(&mut state, &mut { at }, &with);
            if let Ok(migrated) = from_1(state) {
                let _ = serde_json::from_value::<Document>(migrated);
            }
        }
    }
}
