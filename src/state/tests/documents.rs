//! The durable state with everything in it that it can hold: its layout, which a later version has to read, and damage to it.

use std::fs;

use super::damage::all_damages;
use super::*;
use crate::state::document::Document;

/// In the schema of today, with every kind of call, operation, alarm and run.
fn full() -> Value {
    serde_json::from_str(include_str!("../../../tests/state/schema-2/full.json")).unwrap()
}

#[test]
fn the_layout_of_the_schema_of_today_is_this_one() {
    let document: Document = serde_json::from_value(full()).unwrap();
    assert_eq!(
        serde_json::to_value(&document).unwrap(),
        full(),
        "another layout is another schema: it needs a migration"
    );
    assert_eq!(MIGRATIONS.len() + 1, 2, "the next schema has a file of its own");
}

#[test]
fn a_key_more_or_less_is_no_state_of_this_schema() {
    let read = |state: Value| serde_json::from_value::<Document>(state);
    let pointers = [
        "",
        "/accepted/0/takeover",
        "/memory",
        "/memory/servers/0",
        "/memory/servers/0/backups",
        "/memory/servers/0/backups/last",
        "/memory/servers/0/entry",
        "/memory/servers/0/alarms/0",
        "/memory/operations/0",
        "/memory/given_up/0",
        "/memory/runs/0",
        "/memory/daily",
    ];
    for pointer in pointers {
        let mut more = full();
        more.pointer_mut(pointer).unwrap()["more"] = json!(1);
        assert!(read(more).is_err(), "{pointer}");
        let object = full().pointer(pointer).unwrap().as_object().unwrap().clone();
        for key in object.keys() {
            let mut less = full();
            let place = less.pointer_mut(pointer).unwrap().as_object_mut().unwrap();
            place.insert(key.clone(), Value::Null);
            // What may be absent may be left out, too.
            if read(less.clone()).is_err() {
                less.pointer_mut(pointer).unwrap().as_object_mut().unwrap().remove(key);
                assert!(read(less).is_err(), "{pointer}/{key}");
            }
        }
    }
}

#[test]
fn damage_to_a_state_with_everything_in_it_costs_one_generation_at_most() {
    let root = tempfile::tempdir().unwrap();
    let store = Store::open(root.path(), Durability::None).unwrap();
    store.save(&full()).unwrap();
    let mut later = full();
    later["next_id"] = json!(30_000);
    store.save(&later).unwrap();
    let newest = root.path().join("state.b.json");
    let whole = fs::read(&newest).unwrap();
    // What the content is makes no difference to a hash: a sample will do.
    for bytes in all_damages(&whole).into_iter().step_by(53) {
        fs::write(&newest, &bytes).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!((loaded.generation, loaded.payload, loaded.damaged.is_some()), (1, Some(full()), true));
    }
    fs::write(&newest, &whole).unwrap();
    assert_eq!(store.load().unwrap().payload, Some(later));
}
