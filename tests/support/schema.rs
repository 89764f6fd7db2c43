//! The schemas of include/schema/, and what they say of a document.

// Each test file uses its own part of it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};

use jsonschema::Validator;
use serde_json::Value;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("include/schema")
}

pub fn read(name: &str) -> Value {
    let text = std::fs::read_to_string(folder().join(name)).expect("the schema");
    serde_json::from_str(&text).expect("JSON")
}

/// A published schema lets keys be added; here a key that it does not describe is a fault.
pub fn schema(name: &str) -> Validator {
    let mut schema = read(name);
    close(&mut schema);
    jsonschema::validator_for(&schema).expect("a schema")
}

fn close(schema: &mut Value) {
    if schema["type"] == "object" && schema["properties"].is_object() {
        schema["additionalProperties"] = false.into();
    }
    match schema {
        Value::Object(map) => map.values_mut().for_each(close),
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

#[track_caller]
pub fn validate(schema: &Validator, value: &Value) {
    let faults: Vec<String> =
        schema.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?} in {value:#}");
}
