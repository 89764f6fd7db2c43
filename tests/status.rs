//! The status through the built library: what it says in each situation, that it is what the schema describes, and how long it takes.

#[path = "support/rig.rs"]
mod rig;

use std::path::Path;
use std::time::Instant;

use jsonschema::Validator;
use rig::{Callback, KEEP_ALIVE, Rig, SECOND, abi, call, config, expect};
use serde_json::{Value, json};

/// A published schema lets keys be added; here a key that it does not describe is a fault.
fn schema(name: &str) -> Validator {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("include/schema").join(name);
    let mut schema = serde_json::from_str(&std::fs::read_to_string(path).expect("the schema")).expect("JSON");
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
fn validate(schema: &Validator, value: &Value) {
    let faults: Vec<String> =
        schema.iter_errors(value).map(|fault| format!("{}: {fault}", fault.instance_path())).collect();
    assert!(faults.is_empty(), "{faults:#?} in {value:#}");
}

fn text(rig: &Rig, server: u64) -> String {
    rig::text(|buf, cap, len| call!(status(rig.p, server, buf, cap, len))).expect("the status")
}

/// The status of all, as the schema describes it; that of one is the same with just that server.
#[track_caller]
fn status(rig: &Rig) -> Value {
    let schema = schema("status.json");
    let all: Value = serde_json::from_str(&text(rig, 0)).expect("JSON");
    validate(&schema, &all);
    for server in all["servers"].as_array().expect("a list") {
        let handle = rig.server(server["id"].as_str().expect("an id"));
        let one: Value = serde_json::from_str(&text(rig, handle)).expect("JSON");
        validate(&schema, &one);
        if rig.drives {
            let mut expected = all.clone();
            expected["servers"] = json!([server]);
            assert_eq!(one, expected);
        }
    }
    all
}

/// Polls as asked for until then; larger steps would be pauses.
fn drive(rig: &Rig, to: u64) {
    let mut next = rig.now();
    while next < to {
        let (code, asked) = rig.poll(next);
        expect(code, abi::VMSF_OK, next);
        next = asked;
    }
    expect(rig.poll(to).0, abi::VMSF_OK, to);
}

fn op(rig: &Rig, wanted: u32) -> u64 {
    let begin = rig.probe.wait("begin", |callback| matches!(callback, Callback::Begin { kind, .. } if *kind == wanted));
    match begin {
        Callback::Begin { id, .. } => id,
        other => panic!("no begin: {other:?}"),
    }
}

#[test]
fn a_fresh_instance_is_stopped_and_knows_nothing_yet() {
    let rig = Rig::new(true, &["a", "b"]);
    let fresh = status(&rig);
    assert_eq!((&fresh["state"], &fresh["mode"]), (&json!("stopped"), &json!("standby")));
    assert_eq!(fresh["taken_as_given"], json!(["cluster", "authorized", "backup"]));
    let a = &fresh["servers"][0];
    assert_eq!((&a["id"], &a["name"], &a["health"]), (&json!("a"), &json!("Recorder a"), &json!("unknown")));
    assert_eq!(a["next"], "nothing before start");
    assert_eq!(a["ready"], json!({ "ready": false, "reasons": ["not_running"] }));
    expect(rig.start(), abi::VMSF_OK, "start");
    assert_eq!(status(&rig)["servers"][0]["next"], "nothing before the first poll");
    expect(rig.poll(SECOND).0, abi::VMSF_OK, "poll");
    let running = status(&rig);
    assert_eq!(running["state"], "running");
    assert_eq!(running["servers"][1]["ready"], json!({ "ready": true, "reasons": [] }));
}

#[test]
fn a_server_that_keeps_alive_shows_its_deadline_and_what_comes_then() {
    let rig = Rig::running(true, &["a"]);
    let a = rig.server("a");
    let now = rig.now();
    rig.notify(a, abi::VMSF_NOTIFY_CONNECTED, now - 3 * SECOND);
    rig.notify(a, abi::VMSF_NOTIFY_STARTUP, now - 2 * SECOND);
    rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, now - SECOND);
    // 2026-01-01T12:00:00Z
    expect(call!(poll(rig.p, now, 1_767_268_800_000, &mut 0)), abi::VMSF_OK, "poll");
    let all = status(&rig);
    assert_eq!(all["utc"], "2026-01-01T12:00:00.000Z");
    let a = &all["servers"][0];
    assert_eq!(a["since"], json!({ "utc": "2026-01-01T11:59:59.000Z", "ns": now - SECOND }));
    let deadline = now - SECOND + KEEP_ALIVE;
    assert_eq!(a["deadline"], json!({ "utc": "2026-01-01T12:00:29.000Z", "ns": deadline, "in_ms": 29_000 }));
    assert_eq!(a["next"], "fails at 12:00:29 UTC unless a keep-alive comes; then it is taken over");
    let events = json!({ "connected": "2026-01-01T11:59:57.000Z", "startup": "2026-01-01T11:59:58.000Z",
        "keep_alive": "2026-01-01T11:59:59.000Z" });
    assert_eq!((&a["last_events"], &a["link"]), (&events, &json!("up")));
    expect(rig.edit(r#"{"set":{"automatic_takeover":false}}"#, 0).0, abi::VMSF_OK, "edit");
    rig.notify(rig.server("a"), abi::VMSF_NOTIFY_DISCONNECTED, 0);
    expect(call!(poll(rig.p, now, 1_767_268_800_000, &mut 0)), abi::VMSF_OK, "poll");
    let a = &status(&rig)["servers"][0];
    assert_eq!(a["link"], "down");
    let waits = "then it waits for an operator: automatic takeover is off";
    assert!(a["next"].as_str().is_some_and(|next| next.ends_with(waits)), "{a}");
}

#[test]
fn from_failure_to_restore_the_status_tells_the_story() {
    let mut document = config(&["a", "b"]);
    document["automatic_restore"] = true.into();
    let rig = Rig::with(true, &document);
    expect(rig.start(), abi::VMSF_OK, "start");
    expect(rig.poll(1_000 * SECOND).0, abi::VMSF_OK, "poll");
    let (a, b) = (rig.server("a"), rig.server("b"));
    rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
    rig.notify(b, abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
    drive(&rig, 1_030 * SECOND);
    let takeover = op(&rig, abi::VMSF_OP_TAKEOVER);
    expect(call!(progress(rig.p, takeover, 250, c"settings".as_ptr(), 8)), abi::VMSF_OK, "progress");
    drive(&rig, 1_031 * SECOND);
    let taking = status(&rig);
    assert_eq!(json!([taking["mode"], taking["holder"], taking["queue"]]), json!(["taking_over", "a", ["b"]]));
    let first = &taking["servers"][0];
    assert_eq!(json!([first["health"], first["reason"]]), json!(["failed", "keep_alive_timeout"]));
    assert_eq!(first["failed_at"]["ns"], 1_030 * SECOND);
    assert_eq!(first["takeover"]["operation"]["op"], takeover);
    assert_eq!(first["takeover"]["operation"]["progress"], json!({ "permille": 250, "text": "settings" }));
    let second = &taking["servers"][1];
    assert_eq!(json!([second["takeover"]["state"], second["takeover"]["place"]]), json!(["queued", 1]));
    assert_eq!(second["alarms"], json!(["not_covered"]));
    assert_eq!(
        second["next"],
        "not covered: 'a' has the slot; waits for it (place 1 of 1), unless it keeps alive again"
    );
    assert_eq!(second["ready"], json!({ "ready": false, "reasons": ["slot_busy"] }));

    expect(rig.complete(takeover, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    drive(&rig, 1_032 * SECOND);
    let taken = status(&rig);
    assert_eq!(
        (&taken["mode"], &taken["servers"][0]["takeover"]["state"]),
        (&json!("taken_over"), &json!("taken_over"))
    );
    assert_eq!(taken["servers"][0]["next"], "is restored once it has kept alive for 30 s");

    let mut second = 1_032;
    while rig.probe.count(|c| matches!(c, Callback::Begin { kind: abi::VMSF_OP_RESTORE, .. })) == 0 {
        rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
        second += 1;
        drive(&rig, second * SECOND);
        assert!(second < 1_100, "it is restored");
    }
    let restoring = status(&rig);
    assert_eq!(restoring["mode"], "restoring");
    assert_eq!(restoring["servers"][0]["takeover"]["operation"]["operation"], "restore");
    expect(rig.complete(op(&rig, abi::VMSF_OP_RESTORE), abi::VMSF_OUTCOME_FAILED), abi::VMSF_OK, "complete");
    drive(&rig, (second + 1) * SECOND);
    let failed = &status(&rig)["servers"][0];
    assert_eq!(failed["takeover"]["attempt"], 1);
    assert!(failed["takeover"]["not_before"]["in_ms"].as_u64().is_some_and(|ms| ms <= 30_000), "{failed}");
    expect(rig.stop(0), abi::VMSF_OK, "stop");
    let stopped = status(&rig);
    assert_eq!(json!([stopped["state"], stopped["mode"]]), json!(["stopped", "taken_over"]));
    assert!(stopped["servers"][0].get("deadline").is_none(), "no deadline runs");
}

#[test]
fn a_failed_attempt_a_cancelled_one_and_a_pending_configuration_are_shown() {
    let rig = Rig::running(true, &["a"]);
    let a = rig.server("a");
    rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
    drive(&rig, 1_030 * SECOND);
    expect(rig.complete(op(&rig, abi::VMSF_OP_TAKEOVER), abi::VMSF_OUTCOME_FAILED), abi::VMSF_OK, "complete");
    drive(&rig, 1_031 * SECOND);
    let again = &status(&rig)["servers"][0];
    assert_eq!(json!([again["takeover"]["state"], again["takeover"]["attempt"]]), json!(["queued", 1]));
    assert!(again["next"].as_str().is_some_and(|next| next.starts_with("the takeover is tried again at ")), "{again}");
    assert_eq!(again["alarms"], json!(["takeover_failed"]));
    expect(rig.cancel(a), abi::VMSF_OK, "cancel");
    drive(&rig, 1_032 * SECOND);
    let waits = &status(&rig)["servers"][0];
    assert_eq!(waits["waits_for_operator"], true);
    assert_eq!(waits["next"], "waits for an operator: take it over, or bring it back");
    expect(rig.edit(r#"{"add":[{"id":"c","host":"c.example"}],"remove":["a"]}"#, 0).0, abi::VMSF_OK, "edit");
    let pending = status(&rig);
    assert_eq!(pending["servers"].as_array().map(Vec::len), Some(1), "what `config` shows");
    assert_eq!((&pending["servers"][0]["id"], &pending["servers"][0]["health"]), (&json!("c"), &json!("unknown")));
}

#[test]
fn with_a_worker_the_status_knows_what_was_reported_before_it() {
    let rig = Rig::running(false, &["a"]);
    for kind in [abi::VMSF_NOTIFY_CONNECTED, abi::VMSF_NOTIFY_STARTUP, abi::VMSF_NOTIFY_KEEP_ALIVE] {
        expect(rig.notify(rig.server("a"), kind, 0), abi::VMSF_OK, "notify");
    }
    assert_eq!(status(&rig)["servers"][0]["health"], "keep_alive");
    for _ in 0..20 {
        let stamp = rig.now();
        expect(rig.notify(rig.server("a"), abi::VMSF_NOTIFY_KEEP_ALIVE, stamp), abi::VMSF_OK, "notify");
        assert_eq!(status(&rig)["servers"][0]["deadline"]["ns"], stamp + KEEP_ALIVE, "in keep_alive, too");
    }
    rig.probe.wait("keep_alive", |callback| callback.is("health", "keep_alive"));
}

#[test]
fn configurations_and_log_entries_are_what_their_schemas_describe() {
    let schema_of_configs = schema("config.json");
    for name in ["full.json", "minimal.json"] {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/config").join(name);
        let example = serde_json::from_str(&std::fs::read_to_string(path).expect("the example")).expect("JSON");
        validate(&schema_of_configs, &example);
        let rig = Rig::with(true, &example);
        validate(&schema_of_configs, &rig.config());
        expect(rig.configure(&example.to_string(), abi::VMSF_DRY_RUN).0, abi::VMSF_OK, name);
    }
    let rig = Rig::running(true, &["a"]);
    rig.notify(rig.server("a"), abi::VMSF_NOTIFY_KEEP_ALIVE, 0);
    rig.notify(rig.server("a"), abi::VMSF_NOTIFY_DISCONNECTED, 0);
    drive(&rig, 1_030 * SECOND);
    expect(rig.complete(op(&rig, abi::VMSF_OP_TAKEOVER), abi::VMSF_OUTCOME_FAILED), abi::VMSF_OK, "complete");
    drive(&rig, 1_031 * SECOND);
    expect(rig.takeover(rig.server("a")).0, abi::VMSF_OK, "takeover");
    drive(&rig, 1_032 * SECOND);
    let page = rig::text(|buf, cap, len| call!(log(rig.p, 0, 1_000, buf, cap, len))).expect("the log");
    let page: Value = serde_json::from_str(&page).expect("JSON");
    let entries = page["entries"].as_array().expect("a list");
    assert!(entries.len() >= 6, "{page:#}");
    let schema = schema("log-entry.json");
    entries.iter().for_each(|entry| validate(&schema, entry));
}

#[test]
fn the_status_of_a_thousand_servers_takes_five_milliseconds_at_most() {
    let ids: Vec<String> = (0..1_000).map(|n| format!("recorder-{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    for failed in [false, true] {
        let rig = Rig::running(true, &ids);
        for id in &ids {
            for kind in [abi::VMSF_NOTIFY_CONNECTED, abi::VMSF_NOTIFY_STARTUP, abi::VMSF_NOTIFY_KEEP_ALIVE] {
                expect(rig.notify(rig.server(id), kind, 0), abi::VMSF_OK, "notify");
            }
        }
        drive(&rig, if failed { 1_030 } else { 1_001 } * SECOND);
        let mut room = vec![0_u8; 4 << 20];
        let mut took: Vec<_> = (0..21)
            .map(|_| {
                let (mut len, began) = (0, Instant::now());
                expect(call!(status(rig.p, 0, room.as_mut_ptr().cast(), room.len(), &mut len)), abi::VMSF_OK, "status");
                began.elapsed()
            })
            .collect();
        took.sort();
        println!("1,000 servers, failed {failed}: {:?} (fastest {:?})", took[10], took[0]);
        // The fastest, since other tests run beside it; and only a release build is what ships.
        let most = if cfg!(debug_assertions) { 50 } else { 5 };
        assert!(took[0].as_millis() < most, "{took:?}");
    }
}
