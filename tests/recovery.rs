//! What outlives the process: one test per sentence of "Restarts, crashes, time" that a kill or a bad disk can put to the test.
//!
//! A kill is played by copying the state directory of a living, driven instance, in which nothing happens between two polls, and going on
//! from the copy: that is what kill -9 leaves. `host-sim storm` does it with real processes and real signals.

#[path = "support/rig.rs"]
mod rig;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use rig::{Callback, KEEP_ALIVE, Probe, Rig, SECOND, abi, config, create, expect};
use serde_json::{Value, json};
use tempfile::TempDir;

/// A server that was seen before a start fails so long after it.
const UNSEEN: u64 = 300;
const TAKEOVER: u64 = 600;

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = { (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name())) };
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Every file below, with its bytes.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

/// What a kill at this instant leaves.
fn left_by(rig: &Rig) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    copy(rig.directory.path(), directory.path());
    directory
}

fn try_create(directory: &TempDir, probe: &'static Probe, config: Option<&Value>) -> Result<u64, (String, String)> {
    let mut options = json!({ "schema": 1, "state_directory": directory.path(), "durability": "none" });
    if let Some(config) = config {
        options["config"] = config.clone();
    }
    create(&probe.table(true), &options.to_string())
}

/// A later life in a directory, created and not started.
fn created(directory: TempDir, config: Option<&Value>) -> Rig {
    let probe = Probe::new();
    let p = try_create(&directory, probe, config).expect("an instance");
    Rig { p, probe, directory, drives: true }
}

/// A later life, polled once at second 1: clocks begin anew with the machine.
fn going_on(directory: TempDir, config: Option<&Value>) -> Rig {
    let rig = created(directory, config);
    expect(rig.start(), abi::VMSF_OK, "start");
    expect(rig.poll(SECOND).0, abi::VMSF_OK, "poll");
    rig
}

/// Killed, and started again with what it kept.
fn killed(rig: &Rig) -> Rig {
    going_on(left_by(rig), None)
}

/// Polls as asked for until that second; larger steps would be pauses.
fn drive(rig: &Rig, second: u64) {
    let (mut next, to) = (rig.now().max(SECOND), second * SECOND);
    while next < to {
        let (code, asked) = rig.poll(next);
        expect(code, abi::VMSF_OK, next);
        next = asked;
    }
    let mut next = to;
    while next <= to {
        let (code, asked) = rig.poll(to);
        expect(code, abi::VMSF_OK, to);
        next = asked;
    }
}

fn begins(rig: &Rig) -> Vec<(u32, u32, u64, Value)> {
    let begin = |callback| match callback {
        Callback::Begin { kind, flags, id, json, .. } => Some((kind, flags, id, json)),
        _ => None,
    };
    rig.probe.seen().into_iter().filter_map(begin).collect()
}

/// The one operation begun in this life so far.
#[track_caller]
fn begun(rig: &Rig) -> (u32, u32, u64, Value) {
    let begins = begins(rig);
    assert_eq!(begins.len(), 1, "{begins:#?}");
    begins.into_iter().next().unwrap()
}

fn codes(rig: &Rig, code: &str) -> Vec<Value> {
    let event = |callback| match callback {
        Callback::Event { json, .. } if json["code"] == code => Some(json),
        _ => None,
    };
    rig.probe.seen().into_iter().filter_map(event).collect()
}

/// The takeover states that this life told of a server.
fn states(rig: &Rig, server: &str) -> Vec<String> {
    let of = codes(rig, "takeover").into_iter().filter(|entry| entry["server"] == server);
    of.map(|entry| entry["details"]["to"].as_str().unwrap().to_owned()).collect()
}

fn takeover(rig: &Rig, id: &str) -> u64 {
    let (code, request) = rig.takeover(rig.server(id));
    expect(code, abi::VMSF_OK, id);
    request
}

fn complete(rig: &Rig, outcome: u32) {
    let (.., op, _) = begins(rig).pop().expect("an operation");
    expect(rig.complete(op, outcome), abi::VMSF_OK, op);
}

/// One life in which these servers are watched and the first is taken over, by hand.
fn taken_over(ids: &[&str]) -> Rig {
    let rig = Rig::running(true, ids);
    takeover(&rig, ids[0]);
    drive(&rig, 1_001);
    complete(&rig, abi::VMSF_OUTCOME_OK);
    drive(&rig, 1_002);
    assert_eq!(states(&rig, ids[0]), ["queued", "taking_over", "taken_over"]);
    rig
}

fn keep_alive(rig: &Rig, id: &str) {
    expect(rig.notify(rig.server(id), abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, id);
}

// ---- the takeover state ----

#[test]
fn a_taken_over_server_is_taken_over_after_a_kill() {
    let rig = killed(&taken_over(&["a", "b"]));
    drive(&rig, 10);
    assert_eq!(begins(&rig), [], "nothing is begun again");
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_STATE, "the slot is held");
    expect(rig.restore(rig.server("a")), abi::VMSF_OK, "restore");
    drive(&rig, 11);
    assert_eq!(begun(&rig).0, abi::VMSF_OP_RESTORE);
    complete(&rig, abi::VMSF_OUTCOME_OK);
    drive(&rig, 12);
    assert_eq!(states(&rig, "a"), ["restoring", "none"]);
}

#[test]
fn a_takeover_without_an_answer_is_begun_again_with_its_id_and_its_whole_time() {
    let first = Rig::running(true, &["a"]);
    takeover(&first, "a");
    drive(&first, 1_500);
    let (.., id, request) = begun(&first);
    let rig = killed(&first);
    let (kind, flags, again, json) = begun(&rig);
    assert_eq!((kind, flags, again), (abi::VMSF_OP_TAKEOVER, abi::VMSF_OP_RESUMED, id));
    assert_eq!(json["resumed"], true);
    for key in ["actor", "attempt", "request", "reason", "supersedes", "server"] {
        assert_eq!(json[key], request[key], "{key}");
    }
    drive(&rig, TAKEOVER);
    assert_eq!(codes(&rig, "operation_over").len(), 0, "its whole time");
    drive(&rig, TAKEOVER + 1);
    assert_eq!(codes(&rig, "operation_over").len(), 1);
}

#[test]
fn a_restore_without_an_answer_is_begun_again_with_its_id() {
    let first = taken_over(&["a"]);
    expect(first.restore(first.server("a")), abi::VMSF_OK, "restore");
    drive(&first, 1_003);
    let (.., id, _) = begins(&first).pop().unwrap();
    let rig = killed(&killed(&first));
    let (kind, flags, again, _) = begun(&rig);
    assert_eq!((kind, flags, again), (abi::VMSF_OP_RESTORE, abi::VMSF_OP_RESUMED, id));
    complete(&rig, abi::VMSF_OUTCOME_OK);
    drive(&rig, 2);
    assert_eq!(states(&rig, "a"), ["none"]);
}

#[test]
fn an_operation_begun_again_is_not_forgotten_where_the_state_cannot_be_written() {
    let first = Rig::running(true, &["a"]);
    takeover(&first, "a");
    drive(&first, 1_001);
    let id = begun(&first).2;
    let rig = created(left_by(&first), None);
    let away = rig.directory.path().with_extension("away");
    fs::rename(rig.directory.path(), &away).unwrap();
    expect(rig.start(), abi::VMSF_OK, "start");
    drive(&rig, 5);
    assert_eq!(begun(&rig).2, id);
    assert_eq!(states(&rig, "a"), [] as [&str; 0], "it goes on being taken over");
    fs::rename(&away, rig.directory.path()).unwrap();
    drive(&rig, 20);
    complete(&rig, abi::VMSF_OUTCOME_OK);
    drive(&rig, 21);
    assert_eq!(states(&rig, "a"), ["taken_over"]);
}

// ---- accepted calls ----

#[test]
fn a_takeover_accepted_before_a_kill_is_begun_with_its_request() {
    let first = Rig::running(true, &["a"]);
    let request = takeover(&first, "a");
    let rig = killed(&first);
    let (kind, flags, _, json) = begun(&rig);
    assert_eq!((kind, flags), (abi::VMSF_OP_TAKEOVER, 0), "the host was never asked before");
    assert_eq!(json["request"], request);
    let told = codes(&rig, "takeover");
    assert!(told.iter().all(|entry| entry["utc"].as_str().unwrap().starts_with("2026-")), "{told:#?}");
}

#[test]
fn a_restore_accepted_before_a_kill_is_begun_once() {
    let first = taken_over(&["a"]);
    expect(first.restore(first.server("a")), abi::VMSF_OK, "restore");
    let rig = killed(&first);
    drive(&rig, 5);
    let (kind, flags, ..) = begun(&rig);
    assert_eq!((kind, flags), (abi::VMSF_OP_RESTORE, 0));
    drive(&rig, TAKEOVER);
    assert_eq!(codes(&rig, "operation_over").len(), 0, "it has its whole time");
}

#[test]
fn a_cancel_accepted_before_a_kill_takes_the_server_out_of_the_queue() {
    let first = taken_over(&["a", "b"]);
    keep_alive(&first, "b");
    drive(&first, 1_040);
    assert_eq!(states(&first, "b"), ["queued"]);
    expect(first.cancel(first.server("b")), abi::VMSF_OK, "cancel");
    let rig = killed(&first);
    drive(&rig, UNSEEN + 10);
    assert_eq!(states(&rig, "b"), ["none"]);
}

#[test]
fn an_operation_answered_before_a_kill_is_not_begun_again() {
    let first = Rig::running(true, &["a"]);
    takeover(&first, "a");
    drive(&first, 1_001);
    complete(&first, abi::VMSF_OUTCOME_OK);
    let rig = killed(&first);
    drive(&rig, 5);
    assert_eq!(begins(&rig), []);
    assert_eq!(states(&rig, "a"), ["taken_over"]);
}

#[test]
fn a_call_accepted_while_stopped_outlives_a_kill() {
    let first = taken_over(&["a", "b"]);
    keep_alive(&first, "b");
    drive(&first, 1_040);
    expect(first.stop(0), abi::VMSF_OK, "stop");
    expect(first.cancel(first.server("b")), abi::VMSF_OK, "cancel");
    let rig = killed(&first);
    drive(&rig, UNSEEN + 10);
    assert_eq!(states(&rig, "b"), ["none"]);
}

#[test]
fn ids_never_repeat() {
    let mut rig = Rig::running(true, &["a"]);
    let mut last = 0;
    for _ in 0..5 {
        let second = rig.now() / SECOND + 1;
        for _ in 0..3 {
            let request = takeover(&rig, "a");
            assert!(request > last, "{request} after {last}");
            // Refused calls use no ids up.
            (0..100).for_each(|_| expect(rig.restore(rig.server("a")), abi::VMSF_ERR_STATE, "restore"));
            drive(&rig, second);
            let (.., op, _) = begins(&rig).pop().unwrap();
            assert!(op > request, "{op} after {request}");
            last = last.max(op).max(request);
            complete(&rig, abi::VMSF_OUTCOME_FAILED);
            drive(&rig, second);
        }
        rig = killed(&rig);
    }
}

// ---- the queue ----

#[test]
fn the_queue_keeps_its_order_by_time_of_failure() {
    let first = taken_over(&["c", "a", "b"]);
    keep_alive(&first, "b");
    drive(&first, 1_010);
    keep_alive(&first, "a");
    drive(&first, 1_060);
    assert_eq!((states(&first, "a"), states(&first, "b")), (vec!["queued".into()], vec!["queued".into()]));
    let rig = killed(&killed(&first));
    drive(&rig, UNSEEN);
    expect(rig.restore(rig.server("c")), abi::VMSF_OK, "restore");
    drive(&rig, UNSEEN + 10);
    assert_eq!(codes(&rig, "health").len(), 2, "they are failed again");
    complete(&rig, abi::VMSF_OUTCOME_OK);
    drive(&rig, UNSEEN + 11);
    let (.., json) = begins(&rig).pop().unwrap();
    assert_eq!((&json["server"]["id"], &json["actor"]), (&json!("b"), &json!("automatic")), "it failed first");
}

#[test]
fn an_automatic_entry_is_not_begun_until_its_server_is_failed_again() {
    let first = taken_over(&["c", "a"]);
    keep_alive(&first, "a");
    drive(&first, 1_060);
    expect(first.restore(first.server("c")), abi::VMSF_OK, "restore");
    drive(&first, 1_061);
    let rig = killed(&first);
    complete(&rig, abi::VMSF_OUTCOME_OK);
    drive(&rig, UNSEEN);
    assert_eq!(begins(&rig).len(), 1, "only the restore");
    drive(&rig, UNSEEN + 1);
    assert_eq!(begins(&rig).pop().unwrap().3["server"]["id"], "a");
}

#[test]
fn an_operators_entry_keeps_actor_and_attempts_and_its_delay_runs_anew() {
    let first = Rig::running(true, &["a"]);
    let request = takeover(&first, "a");
    drive(&first, 1_001);
    complete(&first, abi::VMSF_OUTCOME_FAILED);
    drive(&first, 1_020);
    let rig = killed(&first);
    drive(&rig, 30);
    assert_eq!(begins(&rig), [], "30 s from the start on");
    drive(&rig, 31);
    let (_, flags, id, json) = begun(&rig);
    assert_eq!((flags, &json["attempt"], &json["actor"]), (0, &json!(1), &json!("operator")));
    assert_eq!(json["request"], request);
    assert_ne!(id, begun(&first).2, "another attempt has another id");
}

#[test]
fn a_server_that_waits_for_an_operator_waits_until_it_keeps_alive() {
    let first = taken_over(&["c", "a"]);
    keep_alive(&first, "a");
    drive(&first, 1_040);
    expect(first.cancel(first.server("a")), abi::VMSF_OK, "cancel");
    drive(&first, 1_041);
    let rig = killed(&first);
    drive(&rig, UNSEEN + 10);
    assert_eq!(codes(&rig, "health").len(), 1, "it is found failed, which is no new failure");
    assert_eq!(states(&rig, "a"), [] as [&str; 0]);
    keep_alive(&rig, "a");
    drive(&rig, UNSEEN + 10 + KEEP_ALIVE / SECOND);
    assert_eq!(states(&rig, "a"), ["queued"], "this one is");
}

#[test]
fn what_the_host_never_answered_is_superseded_after_a_kill() {
    let first = Rig::running(true, &["a"]);
    takeover(&first, "a");
    drive(&first, 1_001 + TAKEOVER);
    let lost = begun(&first).2;
    let rig = killed(&killed(&first));
    drive(&rig, 40);
    assert_eq!(begun(&rig).3["supersedes"], json!([lost]));
    expect(rig.complete(lost, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "complete");
    drive(&rig, 41);
    assert_eq!(codes(&rig, "late_answer").len(), 1);
    complete(&rig, abi::VMSF_OUTCOME_OK);
    drive(&rig, 42);
    assert_eq!(states(&rig, "a"), ["taking_over", "taken_over"]);
}

// ---- the log ----

fn page(rig: &Rig, since: u64) -> Value {
    let text = rig::text(|buf, cap, len| rig::call!(log(rig.p, since, 1000, buf, cap, len))).expect("a page");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn the_log_goes_on_with_its_numbers_over_kills() {
    let mut rig = taken_over(&["a"]);
    for _ in 0..3 {
        let before = page(&rig, 0);
        rig = killed(&rig);
        keep_alive(&rig, "a");
        drive(&rig, 2);
        let after = page(&rig, 0);
        let (old, new) = (before["entries"].as_array().unwrap(), after["entries"].as_array().unwrap());
        assert_eq!(new[..old.len()], old[..], "what was told stays told");
        assert!(new.len() > old.len());
        let numbers: Vec<u64> = new.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=new.len() as u64).collect::<Vec<_>>(), "no gap, no repeat");
        let second = &page(&rig, old.len() as u64 + 1)["entries"];
        assert_eq!(second.as_array().unwrap()[..], new[old.len()..]);
    }
}

// ---- damage ----

fn damage(directory: &Path, name: &str) {
    let path = directory.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
}

#[test]
fn of_a_damaged_state_file_the_previous_generation_is_used_and_an_alarm_raised() {
    let first = taken_over(&["a", "b"]);
    for file in ["state.a.json", "state.b.json"] {
        let directory = left_by(&first);
        damage(directory.path(), file);
        let rig = going_on(directory, None);
        let alarms = codes(&rig, "state_damaged");
        assert_eq!(alarms.len(), 1, "{alarms:#?}");
        assert!(alarms[0]["text"].as_str().unwrap().contains(file), "{alarms:#?}");
        expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_STATE, "a holds the slot in both generations");
        // What is damaged is written anew.
        drive(&rig, 2);
        assert_eq!(codes(&killed(&rig), "state_damaged").len(), 0);
    }
}

#[test]
fn both_generations_damaged_create_fails_and_touches_nothing() {
    let directory = left_by(&taken_over(&["a"]));
    damage(directory.path(), "state.a.json");
    damage(directory.path(), "state.b.json");
    let before = files(directory.path());
    for config in [None, Some(config(&["a"]))] {
        let (code, text) = try_create(&directory, Probe::new(), config.as_ref()).unwrap_err();
        assert_eq!(code, "VMSF_ERR_STATE_DAMAGED");
        assert!(text.contains("state.a.json") && text.contains("state.b.json"), "{text}");
        assert!(files(directory.path()) == before, "a file was changed");
    }
}

#[test]
fn a_state_directory_in_use_is_busy() {
    let rig = Rig::running(true, &["a"]);
    let options = rig::options(&rig.directory, &config(&["a"]));
    let (code, _) = create(&Probe::new().table(true), &options).unwrap_err();
    assert_eq!(code, "VMSF_ERR_BUSY");
}

#[test]
fn a_takeover_is_not_forgotten_with_a_damaged_configuration() {
    let directory = left_by(&taken_over(&["a", "b"]));
    for file in ["config.a.json", "config.b.json"] {
        fs::write(directory.path().join(file), "{").unwrap();
    }
    let (code, text) = try_create(&directory, Probe::new(), Some(&config(&["b"]))).unwrap_err();
    assert_eq!(code, "VMSF_ERR_STATE_DAMAGED", "{text}");
    assert!(text.contains("'a' at a.example:"), "{text}");
    let rig = going_on(directory, Some(&config(&["a", "b"])));
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_STATE, "a holds the slot");
}

// ---- a disk that takes nothing ----

#[test]
fn without_a_state_directory_takeovers_are_blocked_calls_refused_and_all_heals_by_itself() {
    let rig = Rig::running(true, &["a", "b"]);
    keep_alive(&rig, "a");
    drive(&rig, 1_010);
    let away = rig.directory.path().with_extension("away");
    fs::rename(rig.directory.path(), &away).unwrap();
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_IO, "takeover");
    let (_, text) = rig.last_error();
    assert!(text.contains(rig.directory.path().to_str().unwrap()), "the path and the reason: {text}");
    drive(&rig, 1_025);
    assert_eq!(states(&rig, "b"), [] as [&str; 0], "a refused call changes nothing");
    drive(&rig, 1_100);
    assert_eq!(codes(&rig, "health").len(), 2, "monitoring goes on");
    assert_eq!(begins(&rig), [], "the intent is on disk before the host is asked");
    let blocked = codes(&rig, "takeover_blocked");
    let raised: Vec<_> = blocked.iter().filter(|entry| entry["severity"] == "alarm").collect();
    assert_eq!(raised.len(), 1, "once per reason: {blocked:#?}");
    assert!(raised[0].to_string().contains("state_not_writable"), "{raised:#?}");
    fs::rename(&away, rig.directory.path()).unwrap();
    drive(&rig, 1_111);
    let (_, flags, _, json) = begun(&rig);
    assert_eq!((flags, &json["server"]["id"], &json["actor"]), (0, &json!("a"), &json!("automatic")));
    let numbers = page(&rig, 0);
    let entries = numbers["entries"].as_array().unwrap();
    assert!(entries.iter().enumerate().all(|(n, entry)| entry["seq"] == n + 1), "the log has caught up");
    let again = killed(&rig);
    assert_eq!(begun(&again).1, abi::VMSF_OP_RESUMED);
}

// ---- the configuration ----

#[test]
fn a_configuration_that_drops_a_taken_over_server_is_accepted_and_the_server_kept() {
    let mut moved = config(&["a", "b"]);
    moved["monitored_servers"][0]["host"] = "elsewhere.example".into();
    for given in [config(&["b"]), moved] {
        let rig = going_on(left_by(&taken_over(&["a", "b"])), Some(&given));
        assert_eq!(codes(&rig, "config_kept").len(), 1);
        let servers = rig.config()["monitored_servers"].clone();
        let kept = servers.as_array().unwrap().iter().find(|server| server["id"] == "a").unwrap();
        assert_eq!(kept["host"], "a.example");
        expect(rig.restore(rig.server("a")), abi::VMSF_OK, "restore");
        drive(&rig, 2);
        complete(&rig, abi::VMSF_OUTCOME_OK);
        drive(&rig, 3);
        expect(rig.configure(&config(&["b"]).to_string(), 0).0, abi::VMSF_OK, "now it can go");
        let rig = killed(&rig);
        assert_eq!(rig.config()["monitored_servers"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn the_accepted_configuration_comes_back_at_the_next_start() {
    let first = Rig::running(true, &["a"]);
    expect(first.configure(&config(&["a", "b"]).to_string(), 0).0, abi::VMSF_OK, "configure");
    let rig = killed(&first);
    assert_eq!(rig.config(), first.config());
    rig.server("b");
}

/// A queue of one behind a taken over server.
fn queued_behind() -> Rig {
    let rig = taken_over(&["c", "a"]);
    keep_alive(&rig, "a");
    drive(&rig, 1_040);
    assert_eq!(states(&rig, "a"), ["queued"]);
    rig
}

fn moved() -> Value {
    let mut moved = config(&["c", "a"]);
    moved["monitored_servers"][1]["host"] = "elsewhere.example".into();
    moved
}

#[test]
fn a_server_at_another_address_is_another_machine_whatever_the_instant_of_a_kill() {
    // Given to `create`; accepted while running; and killed in `create` between the configuration and the state.
    let given = going_on(left_by(&queued_behind()), Some(&moved()));
    let configured = queued_behind();
    expect(configured.configure(&moved().to_string(), 0).0, abi::VMSF_OK, "configure");
    let between = left_by(&queued_behind());
    for file in ["config.a.json", "config.b.json"] {
        let _ = fs::copy(given.directory.path().join(file), between.path().join(file));
    }
    for rig in [given, killed(&configured), going_on(between, None)] {
        drive(&rig, UNSEEN * 2);
        assert_eq!(codes(&rig, "health").len(), 0, "it was never seen, so it cannot fail");
        assert_eq!(states(&rig, "a"), [] as [&str; 0]);
    }
}

#[test]
fn a_server_removed_and_added_again_is_a_server_never_seen() {
    let first = queued_behind();
    for ids in [&["c"][..], &["c", "a"]] {
        expect(first.configure(&config(ids).to_string(), 0).0, abi::VMSF_OK, "configure");
    }
    let rig = killed(&first);
    drive(&rig, UNSEEN * 2);
    assert_eq!(codes(&rig, "health").len(), 0);
    assert_eq!(states(&rig, "a"), [] as [&str; 0]);
}
