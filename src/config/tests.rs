//! What a document must be, one file per concern; here is what they share: documents, and what is expected of them.
//!
//! They go through the public face of `config` and use none of its rooms, but for the lists of keys and one bound.

use serde_json::{Value, json};

use super::{Config, Fault};

mod any;
mod document;
mod edit;
mod faults;
mod names;
mod numbers;
mod servers;
mod text;

const BACKUPS: &str = if cfg!(windows) { "C:\\vms\\backups" } else { "/vms/backups" };
const STORE: &str = if cfg!(windows) { "C:\\vms\\store" } else { "/vms/store" };

/// The smallest document, with more keys put in.
fn with(more: Value) -> Value {
    let mut document = json!({"schema": 1, "backup_directory": BACKUPS, "store_path": STORE});
    let (Value::Object(all), Value::Object(more)) = (&mut document, more) else { panic!("not objects") };
    all.extend(more);
    document
}

fn servers_of(list: Value) -> Value {
    with(json!({"monitored_servers": list}))
}

/// A document in which every optional part is there.
fn full() -> Config {
    accept(&with(json!({
        "server_communication": {"address": "10.0.0.9"},
        "client_communication": {"address": "fe80::1"},
        "open_api": {"host": "front.example"},
        "recordings_ini": {"section": "Fail over"},
        "monitored_servers": [
            {"id": "a", "host": "10.0.0.1"},
            {"id": "b", "name": "Büro \"2\"", "host": "b.example", "port": 1, "http_port": 65535, "priority": 1},
            {"id": "c", "host": "10.0.0.3"},
        ],
    })))
}

#[track_caller]
fn accept(document: &Value) -> Config {
    Config::check(document).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

#[track_caller]
fn refuse(document: &Value) -> Vec<Fault> {
    Config::check(document).expect_err("accepted")
}

#[track_caller]
fn one(faults: Vec<Fault>) -> Fault {
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().expect("one")
}

fn pointers(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.pointer.as_str()).collect()
}
