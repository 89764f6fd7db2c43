//! The wrapper of the C ABI against the built library, in both modes.

#[path = "../../tests/support/polite.rs"]
mod polite;

use std::sync::Mutex;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use host_sim::plugin::{CreateOptions, Event, Host, Instance, Mode, Operation};
use polite::{Checked, plugin};
use serde_json::{Value, json};
use tempfile::TempDir;
use vms_failover_abi as abi;

/// How long a callback may take to come; it is there long before.
const SOON: Duration = Duration::from_secs(30);

struct Teller(Mutex<Sender<Told>>);

#[derive(Debug)]
enum Told {
    Event(Event),
    Begin(Operation),
    Wake,
}

impl Teller {
    fn tell(&self, told: Told) {
        let _ = self.0.lock().unwrap().send(told);
    }
}

impl Host for Teller {
    fn event(&self, event: Event) {
        self.tell(Told::Event(event));
    }

    fn begin(&self, operation: Operation) {
        self.tell(Told::Begin(operation));
    }

    fn wake(&self, _next_ns: u64) {
        self.tell(Told::Wake);
    }
}

fn teller() -> (Box<dyn Host>, Receiver<Told>) {
    let (sender, receiver) = channel();
    (Box::new(Teller(Mutex::new(sender))), receiver)
}

fn options(folder: &TempDir) -> CreateOptions {
    let servers = json!([{"id": "a", "name": "A", "host": "a.example"}, {"id": "b", "name": "B", "host": "b.example"}]);
    let config = json!({
        "schema": 1, "backup_directory": folder.path().join("backups"), "store_path": folder.path().join("store"),
        "monitored_servers": servers,
    });
    CreateOptions::new(folder.path().join("state"), Some(config))
}

#[test]
fn the_plugin_says_who_it_is() {
    let plugin = plugin();
    assert_eq!(plugin.abi().0, abi::VMSF_ABI_MAJOR);
    assert!(plugin.info().to_string().starts_with(&format!("{} {} (", plugin.info().id, plugin.info().version)));
    assert_eq!(plugin.result_name(abi::VMSF_ERR_STATE), "VMSF_ERR_STATE");
    assert_eq!(plugin.result_name(4711), "VMSF_ERR_?");
    assert!(!plugin.has_extension(c"no.such/1"));
}

#[test]
fn a_worker_calls_back_and_the_instance_ends_cleanly() {
    let folder = tempfile::tempdir().unwrap();
    let (host, told) = teller();
    let mut instance = Instance::create(&plugin(), Mode::Worker, &options(&folder), host).unwrap();
    instance.start().unwrap();
    let a = instance.server("a").unwrap();
    instance.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0).unwrap();
    let seen = std::iter::from_fn(|| told.recv_timeout(SOON).ok()).find_map(|told| match told {
        Told::Event(event) if event.kind == abi::VMSF_EVENT_HEALTH => Some(event),
        _ => None,
    });
    let seen = seen.expect("a health event");
    let entry: Value = serde_json::from_str(&seen.json).unwrap();
    assert_eq!((seen.server, &entry["server"], &entry["details"]["to"]), (a, &json!("a"), &json!("keep_alive")));
    assert!(instance.now_ns().unwrap() >= seen.mono_ns);
    instance.stop(10_000).unwrap();
    assert_eq!(instance.destroy().unwrap(), 1, "`release` is called once");
    assert_eq!(instance.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0).unwrap_err().code, abi::VMSF_ERR_HANDLE);
    assert_eq!(instance.host_panic(), None);
}

#[test]
fn a_host_that_drives_is_woken_and_begins_what_it_is_asked_for() {
    let folder = tempfile::tempdir().unwrap();
    let (host, told) = teller();
    let instance = Checked::create(Mode::HostDrives, &options(&folder), host).unwrap();
    instance.start().unwrap();
    let second = 1_000_000_000;
    // Until it has nothing to do: then it has to be woken.
    while instance.poll(second, 0).unwrap() <= second {}
    let b = instance.server("b").unwrap();
    let request = instance.authorize(b, r#"{"actor":"alice"}"#, b"login").unwrap();
    instance.poll(2 * second, 1000).unwrap();
    let all: Vec<Told> = told.try_iter().collect();
    assert!(all.iter().any(|told| matches!(told, Told::Wake)), "{all:?}");
    let begun = all.into_iter().find_map(|told| if let Told::Begin(operation) = told { Some(operation) } else { None });
    let begun = begun.expect("an authorization begins");
    let json: Value = serde_json::from_str(&begun.json).unwrap();
    assert_eq!((begun.kind, begun.server, begun.attempt, begun.flags), (abi::VMSF_OP_AUTHORIZE, b, 0, 0));
    assert_eq!((&json["actor"], &json["request"]), (&json!("alice"), &json!(request)));
    instance.progress(begun.id, 500, "half").unwrap();
    instance.complete(begun.id, abi::VMSF_OUTCOME_OK, "", b"token").unwrap();
    let again = instance.complete(begun.id, abi::VMSF_OUTCOME_OK, "", &[]).unwrap_err();
    assert_eq!((again.call, again.name.as_str()), ("complete", "VMSF_ERR_NOT_FOUND"));
}

#[test]
fn texts_of_any_length_and_the_order_of_the_servers_come_through() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = options(&folder);
    let many: Vec<Value> = (0..100)
        .map(|n| json!({"id": format!("s{n}"), "name": format!("Server {n}"), "host": format!("h{n}.example")}))
        .collect();
    options.config.as_mut().unwrap()["monitored_servers"] = json!(many);
    let instance = Checked::create(Mode::HostDrives, &options, teller().0).unwrap();
    let config: Value = serde_json::from_str(&instance.config().unwrap()).unwrap();
    assert_eq!(config["monitored_servers"].as_array().unwrap().len(), 100);
    let mut ids = Vec::new();
    let mut server = 0;
    while let Some(next) = instance.next_server(server).unwrap() {
        ids.push(instance.server_id(next).unwrap());
        server = next;
    }
    assert_eq!(ids, (0..100).map(|n| format!("s{n}")).collect::<Vec<_>>());
}

#[test]
fn errors_carry_name_text_and_report() {
    let folder = tempfile::tempdir().unwrap();
    let mut bad = options(&folder);
    bad.config.as_mut().unwrap()["timeouts"] = json!({"keep_alive_s": 1});
    let error = Instance::create(&plugin(), Mode::Worker, &bad, teller().0).unwrap_err();
    assert_eq!((error.call, error.name.as_str()), ("create", "VMSF_ERR_CONFIG"));
    assert!(error.text.contains("/timeouts/keep_alive_s"), "{error}");

    let instance = Checked::create(Mode::Worker, &options(&folder), teller().0).unwrap();
    let error = instance.configure(&bad.config.unwrap().to_string(), true).unwrap_err();
    assert_eq!(error.name, "VMSF_ERR_CONFIG");
    assert!(error.report.contains("/timeouts/keep_alive_s"), "{error}");
    let a = instance.server("a").unwrap();
    let error = instance.takeover(a, "").unwrap_err();
    assert_eq!(error.name, "VMSF_ERR_STATE");
    assert!(!error.text.is_empty());
    assert_eq!(instance.last_error().unwrap(), (abi::VMSF_ERR_STATE, error.text));
    instance.edit(r#"{"remove":["b"]}"#, false).unwrap();
    assert_eq!(instance.server("b").unwrap_err().name, "VMSF_ERR_NOT_FOUND");
}

struct Panicker;

impl Host for Panicker {
    fn event(&self, _event: Event) {
        panic!("on purpose");
    }

    fn begin(&self, _operation: Operation) {}
}

#[test]
fn a_panic_of_the_host_stays_on_its_side() {
    let folder = tempfile::tempdir().unwrap();
    let instance = Instance::create(&plugin(), Mode::HostDrives, &options(&folder), Box::new(Panicker)).unwrap();
    instance.start().unwrap();
    let a = instance.server("a").unwrap();
    instance.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 5).unwrap();
    instance.poll(10, 0).unwrap();
    assert_eq!(instance.host_panic().as_deref(), Some("the host panicked in `event`: on purpose"));
    instance.poll(20, 0).unwrap();
}
