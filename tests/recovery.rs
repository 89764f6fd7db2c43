//! What outlives the process: one test per sentence of "Restarts, crashes, time" that a kill or a bad disk can put to the test.
//!
//! Here takeovers, the queue, the log, the configuration, and files that are damaged or cannot be written; what the host is asked for
//! besides is in `recovery_access` and `recovery_backups`. `host-sim storm` kills real processes with real signals.

#[path = "support/lives.rs"]
mod lives;
#[path = "support/rig.rs"]
mod rig;

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Stdio};

use lives::{Begun, Left, Life, TAKEOVER, UNSEEN, damage, damage_newest, files};
use rig::{KEEP_ALIVE, Probe, SECOND, abi, create, expect};
use serde_json::{Value, json};

/// One life in which these servers are watched and the first is taken over, by hand.
fn taken_over(ids: &[&str]) -> Life {
    let life = Life::ready(ids);
    life.take_over(ids[0]);
    life.drive_to(1_001);
    life.answer(abi::VMSF_OUTCOME_OK);
    life.drive_to(1_002);
    assert_eq!(life.states(ids[0]), ["queued", "taking_over", "taken_over"]);
    life
}

// ---- the takeover state ----

#[test]
fn a_taken_over_server_is_taken_over_after_a_kill() {
    let rig = taken_over(&["a", "b"]).killed();
    rig.drive_to(10);
    assert_eq!(rig.begins(), [], "nothing is begun again");
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_STATE, "the slot is held");
    expect(rig.restore(rig.server("a")), abi::VMSF_OK, "restore");
    rig.drive_to(11);
    assert_eq!(rig.begun().kind, abi::VMSF_OP_RESTORE);
    rig.answer(abi::VMSF_OUTCOME_OK);
    rig.drive_to(12);
    assert_eq!(rig.states("a"), ["restoring", "none"]);
}

#[test]
fn a_takeover_without_an_answer_is_begun_again_with_its_id_and_its_whole_time() {
    let first = Life::ready(&["a"]);
    first.take_over("a");
    first.drive_to(1_500);
    let asked = first.begun();
    let rig = first.killed();
    let again = rig.begun();
    assert_eq!((again.what(), again.id), ((abi::VMSF_OP_TAKEOVER, abi::VMSF_OP_RESUMED), asked.id));
    assert_eq!(again.json["resumed"], true);
    for key in ["actor", "attempt", "request", "reason", "supersedes", "server", "backup"] {
        assert_eq!(again.json[key], asked.json[key], "{key}");
    }
    assert_eq!((asked.secret.is_empty(), again.secret), (false, asked.secret), "the token goes along");
    rig.drive_to(TAKEOVER);
    assert_eq!(rig.codes("operation_over").len(), 0, "its whole time");
    rig.drive_to(TAKEOVER + 1);
    assert_eq!(rig.codes("operation_over").len(), 1);
}

#[test]
fn a_restore_without_an_answer_is_begun_again_with_its_id() {
    let first = taken_over(&["a"]);
    expect(first.restore(first.server("a")), abi::VMSF_OK, "restore");
    first.drive_to(1_003);
    let id = first.last_begun().id;
    let rig = first.killed().killed();
    let again = rig.begun();
    assert_eq!((again.what(), again.id), ((abi::VMSF_OP_RESTORE, abi::VMSF_OP_RESUMED), id));
    rig.answer(abi::VMSF_OUTCOME_OK);
    rig.drive_to(2);
    assert_eq!(rig.states("a"), ["none"]);
}

#[test]
fn an_operation_begun_again_is_not_forgotten_where_the_state_cannot_be_written() {
    let first = Life::ready(&["a"]);
    first.take_over("a");
    first.drive_to(1_001);
    let id = first.begun().id;
    let rig = first.left().created(None);
    let away = rig.take_state_away();
    expect(rig.start(), abi::VMSF_OK, "start");
    rig.drive_to(5);
    assert_eq!(rig.begun().id, id);
    assert_eq!(rig.states("a"), [] as [&str; 0], "it goes on being taken over");
    away.bring_back();
    rig.drive_to(20);
    rig.answer(abi::VMSF_OUTCOME_OK);
    rig.drive_to(21);
    assert_eq!(rig.states("a"), ["taken_over"]);
}

// ---- accepted calls ----

#[test]
fn a_takeover_accepted_before_a_kill_is_begun_with_its_request() {
    let first = Life::ready(&["a"]);
    let request = first.take_over("a");
    let rig = first.killed();
    assert_eq!(rig.begun().what(), (abi::VMSF_OP_TAKEOVER, 0), "the host was never asked before");
    assert_eq!(rig.begun().json["request"], request);
    let told = rig.codes("takeover");
    assert!(told.iter().all(|entry| entry["utc"].as_str().unwrap().starts_with("2026-")), "{told:#?}");
}

#[test]
fn a_restore_accepted_before_a_kill_is_begun_once() {
    let first = taken_over(&["a"]);
    expect(first.restore(first.server("a")), abi::VMSF_OK, "restore");
    let rig = first.killed();
    rig.drive_to(5);
    assert_eq!(rig.begun().what(), (abi::VMSF_OP_RESTORE, 0));
    rig.drive_to(TAKEOVER);
    assert_eq!(rig.codes("operation_over").len(), 0, "it has its whole time");
}

#[test]
fn a_cancel_accepted_before_a_kill_takes_the_server_out_of_the_queue() {
    let first = taken_over(&["a", "b"]);
    first.keep_alive("b");
    first.drive_to(1_040);
    assert_eq!(first.states("b"), ["queued"]);
    expect(first.cancel(first.server("b")), abi::VMSF_OK, "cancel");
    let rig = first.killed();
    rig.drive_to(UNSEEN + 10);
    assert_eq!(rig.states("b"), ["none"]);
}

#[test]
fn an_operation_answered_before_a_kill_is_not_begun_again() {
    let first = Life::ready(&["a"]);
    first.take_over("a");
    first.drive_to(1_001);
    first.answer(abi::VMSF_OUTCOME_OK);
    let rig = first.killed();
    rig.drive_to(5);
    assert_eq!(rig.begins(), []);
    assert_eq!(rig.states("a"), ["taken_over"]);
}

#[test]
fn a_call_accepted_while_stopped_outlives_a_kill() {
    let first = taken_over(&["a", "b"]);
    first.keep_alive("b");
    first.drive_to(1_040);
    expect(first.stop(0), abi::VMSF_OK, "stop");
    expect(first.cancel(first.server("b")), abi::VMSF_OK, "cancel");
    let rig = first.killed();
    rig.drive_to(UNSEEN + 10);
    assert_eq!(rig.states("b"), ["none"]);
}

#[test]
fn ids_never_repeat() {
    let mut rig = Life::ready(&["a"]);
    let mut last = 0;
    for _ in 0..5 {
        let second = rig.now() / SECOND + 1;
        for _ in 0..3 {
            let request = rig.take_over("a");
            assert!(request > last, "{request} after {last}");
            // Refused calls use no ids up.
            (0..100).for_each(|_| expect(rig.restore(rig.server("a")), abi::VMSF_ERR_STATE, "restore"));
            rig.drive_to(second);
            let op = rig.last_begun().id;
            assert!(op > request, "{op} after {request}");
            last = last.max(op).max(request);
            rig.answer(abi::VMSF_OUTCOME_FAILED);
            rig.drive_to(second);
        }
        rig = rig.killed();
    }
}

// ---- the queue ----

#[test]
fn the_queue_keeps_its_order_by_time_of_failure() {
    let first = taken_over(&["c", "a", "b"]);
    first.keep_alive("b");
    first.drive_to(1_010);
    first.keep_alive("a");
    first.drive_to(1_060);
    assert_eq!((first.states("a"), first.states("b")), (vec!["queued".into()], vec!["queued".into()]));
    let rig = first.killed().killed();
    rig.drive_to(UNSEEN);
    expect(rig.restore(rig.server("c")), abi::VMSF_OK, "restore");
    rig.drive_to(UNSEEN + 10);
    assert_eq!(rig.codes("health").len(), 2, "they are failed again");
    rig.answer(abi::VMSF_OUTCOME_OK);
    rig.drive_to(UNSEEN + 11);
    let json = rig.last_begun().json;
    assert_eq!((&json["server"]["id"], &json["actor"]), (&json!("b"), &json!("automatic")), "it failed first");
}

#[test]
fn an_automatic_entry_is_not_begun_until_its_server_is_failed_again() {
    let first = taken_over(&["c", "a"]);
    first.keep_alive("a");
    first.drive_to(1_060);
    expect(first.restore(first.server("c")), abi::VMSF_OK, "restore");
    first.drive_to(1_061);
    let rig = first.killed();
    rig.answer(abi::VMSF_OUTCOME_OK);
    rig.drive_to(UNSEEN);
    assert_eq!(rig.begins().len(), 1, "only the restore");
    rig.drive_to(UNSEEN + 1);
    assert_eq!(rig.last_begun().json["server"]["id"], "a");
}

#[test]
fn an_operators_entry_keeps_actor_and_attempts_and_its_delay_runs_anew() {
    let first = Life::ready(&["a"]);
    let request = first.take_over("a");
    first.drive_to(1_001);
    first.answer(abi::VMSF_OUTCOME_FAILED);
    first.drive_to(1_020);
    let rig = first.killed();
    rig.drive_to(30);
    assert_eq!(rig.begins(), [], "30 s from the start on");
    rig.drive_to(31);
    let Begun { flags, id, json, .. } = rig.begun();
    assert_eq!((flags, &json["attempt"], &json["actor"]), (0, &json!(1), &json!("operator")));
    assert_eq!(json["request"], request);
    assert_ne!(id, first.begun().id, "another attempt has another id");
}

#[test]
fn a_server_that_waits_for_an_operator_waits_until_it_keeps_alive() {
    let first = taken_over(&["c", "a"]);
    first.keep_alive("a");
    first.drive_to(1_040);
    expect(first.cancel(first.server("a")), abi::VMSF_OK, "cancel");
    first.drive_to(1_041);
    let rig = first.killed();
    rig.drive_to(UNSEEN + 10);
    assert_eq!(rig.codes("health").len(), 1, "it is found failed, which is no new failure");
    assert_eq!(rig.states("a"), [] as [&str; 0]);
    rig.keep_alive("a");
    rig.drive_to(UNSEEN + 10 + KEEP_ALIVE / SECOND);
    assert_eq!(rig.states("a"), ["queued"], "this one is");
}

#[test]
fn what_the_host_never_answered_is_superseded_after_a_kill() {
    let first = Life::ready(&["a"]);
    first.take_over("a");
    first.drive_to(1_001 + TAKEOVER);
    let lost = first.begun().id;
    let rig = first.killed().killed();
    rig.drive_to(40);
    assert_eq!(rig.begun().json["supersedes"], json!([lost]));
    expect(rig.complete(lost, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "complete");
    rig.drive_to(41);
    assert_eq!(rig.codes("late_answer").len(), 1);
    rig.answer(abi::VMSF_OUTCOME_OK);
    rig.drive_to(42);
    assert_eq!(rig.states("a"), ["taking_over", "taken_over"]);
}

// ---- the log ----

#[test]
fn the_log_goes_on_with_its_numbers_over_kills() {
    let mut rig = taken_over(&["a"]);
    for _ in 0..3 {
        let before = rig.page(0);
        rig = rig.killed();
        rig.keep_alive("a");
        rig.drive_to(2);
        let after = rig.page(0);
        let (old, new) = (before["entries"].as_array().unwrap(), after["entries"].as_array().unwrap());
        assert_eq!(new[..old.len()], old[..], "what was told stays told");
        assert!(new.len() > old.len());
        let numbers: Vec<u64> = new.iter().map(|entry| entry["seq"].as_u64().unwrap()).collect();
        assert_eq!(numbers, (1..=new.len() as u64).collect::<Vec<_>>(), "no gap, no repeat");
        let second = &rig.page(old.len() as u64 + 1)["entries"];
        assert_eq!(second.as_array().unwrap()[..], new[old.len()..]);
    }
}

// ---- damage ----

#[test]
fn of_a_damaged_state_file_the_previous_generation_is_used_and_an_alarm_raised() {
    let first = taken_over(&["a", "b"]);
    for file in ["state.a.json", "state.b.json"] {
        let left = first.left();
        damage(left.state.path(), file);
        let rig = left.going_on(None);
        let alarms = rig.codes("state_damaged");
        assert_eq!(alarms.len(), 1, "{alarms:#?}");
        assert!(alarms[0]["text"].as_str().unwrap().contains(file), "{alarms:#?}");
        expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_STATE, "a holds the slot in both generations");
        // What is damaged is written anew.
        rig.drive_to(2);
        assert_eq!(rig.killed().codes("state_damaged").len(), 0);
    }
}

#[test]
fn of_a_damaged_token_file_the_previous_generation_is_used_and_who_lost_a_token_has_to_be_authorized_again() {
    let first = Life::ready(&["a", "b"]);
    let left = first.left();
    let file = damage_newest(left.state.path(), "tokens");
    let rig = left.going_on(None);
    let alarms = rig.codes("state_damaged");
    assert!(alarms.len() == 1 && alarms[0]["text"].as_str().unwrap().contains(&file), "{alarms:#?}");
    // The token of b came last.
    let authorized = |rig: &Life| ["a", "b"].map(|id| rig.status_of(id)["authorized"] == true);
    assert_eq!(authorized(&rig), [true, false]);
    let told = rig.codes("deauthorized");
    assert!(told.len() == 1 && told[0]["server"] == "b", "{told:#?}");
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_NOT_AUTHORIZED, "b");
    rig.authorized(rig.server("b"));
    let later = rig.killed();
    assert_eq!((later.codes("state_damaged").len(), authorized(&later)), (0, [true, true]));
    // The older one costs nothing but the alarm.
    let left = first.left();
    let older = if file == "tokens.a.json" { "tokens.b.json" } else { "tokens.a.json" };
    damage(left.state.path(), older);
    let rig = left.going_on(None);
    assert_eq!((rig.codes("state_damaged").len(), authorized(&rig)), (1, [true, true]));
}

#[test]
fn both_generations_damaged_create_fails_and_touches_nothing() {
    for document in ["state", "tokens"] {
        let left = taken_over(&["a", "b"]).left();
        let names = ["a", "b"].map(|letter| format!("{document}.{letter}.json"));
        names.iter().for_each(|name| damage(left.state.path(), name));
        let before = files(left.state.path());
        for config in [None, Some(left.config(&["a"]))] {
            let (code, text) = left.try_create(Probe::new(), config.as_ref()).unwrap_err();
            assert_eq!(code, "VMSF_ERR_STATE_DAMAGED");
            assert!(names.iter().all(|name| text.contains(name)), "{text}");
            assert!(files(left.state.path()) == before, "a file was changed");
        }
    }
}

#[test]
fn a_state_directory_in_use_is_busy() {
    let rig = Life::ready(&["a"]);
    let options = rig::options(&rig.directory, &rig.config_of(&["a"]));
    let (code, _) = create(&Probe::new().table(true), &options).unwrap_err();
    assert_eq!(code, "VMSF_ERR_BUSY");
}

const HELD: &str = "VMSF_TEST_HOLDS_THIS";

/// The lock of a process: it is seen by another one, and goes with its process, however that ends.
#[test]
fn a_state_directory_in_use_by_another_process_is_busy_until_that_ends() {
    if let Some(folder) = std::env::var_os(HELD) {
        return hold(Path::new(&folder));
    }
    let left = Life::ready(&["a"]).left();
    let name = "a_state_directory_in_use_by_another_process_is_busy_until_that_ends";
    let mut other = Command::new(std::env::current_exe().unwrap());
    other.args(["--exact", name, "--nocapture"]).env(HELD, left.state.path());
    // It ends with its input, so also when this test fails.
    let mut other = other.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(other.stdout.take().unwrap()).lines().map_while(Result::ok);
    assert!(lines.any(|line| line.contains(HELD)), "the other process has an instance");
    let (code, text) = left.try_create(Probe::new(), None).unwrap_err();
    assert_eq!(code, "VMSF_ERR_BUSY", "{text}");
    other.kill().unwrap();
    other.wait().unwrap();
    assert_eq!(left.going_on(None).begins(), []);
}

/// Has an instance there until its input ends.
fn hold(folder: &Path) {
    let options = json!({ "schema": 1, "state_directory": folder, "durability": "none" });
    create(&Probe::new().table(true), &options.to_string()).expect("an instance");
    println!("{HELD}");
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
}

#[test]
fn a_takeover_is_not_forgotten_with_a_damaged_configuration() {
    let left = taken_over(&["a", "b"]).left();
    for file in ["config.a.json", "config.b.json"] {
        fs::write(left.state.path().join(file), "{").unwrap();
    }
    let (code, text) = left.try_create(Probe::new(), Some(&left.config(&["b"]))).unwrap_err();
    assert_eq!(code, "VMSF_ERR_STATE_DAMAGED", "{text}");
    assert!(text.contains("'a' at a.example:"), "{text}");
    let both = left.config(&["a", "b"]);
    let rig = left.going_on(Some(&both));
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_STATE, "a holds the slot");
}

// ---- a disk that takes nothing ----

#[test]
fn without_a_state_directory_takeovers_are_blocked_calls_refused_and_all_heals_by_itself() {
    let rig = Life::ready(&["a", "b"]);
    rig.keep_alive("a");
    rig.drive_to(1_010);
    let away = rig.take_state_away();
    expect(rig.takeover(rig.server("b")).0, abi::VMSF_ERR_IO, "takeover");
    let (_, text) = rig.last_error();
    assert!(text.contains(rig.directory.path().to_str().unwrap()), "the path and the reason: {text}");
    rig.drive_to(1_025);
    assert_eq!(rig.states("b"), [] as [&str; 0], "a refused call changes nothing");
    rig.drive_to(1_100);
    assert_eq!(rig.codes("health").len(), 2, "monitoring goes on");
    assert_eq!(rig.begins(), [], "the intent is on disk before the host is asked");
    let blocked = rig.codes("takeover_blocked");
    let raised: Vec<_> = blocked.iter().filter(|entry| entry["severity"] == "alarm").collect();
    assert_eq!(raised.len(), 1, "once per reason: {blocked:#?}");
    assert!(raised[0].to_string().contains("state_not_writable"), "{raised:#?}");
    away.bring_back();
    rig.drive_to(1_111);
    let Begun { flags, json, .. } = rig.begun();
    assert_eq!((flags, &json["server"]["id"], &json["actor"]), (0, &json!("a"), &json!("automatic")));
    let numbers = rig.page(0);
    let entries = numbers["entries"].as_array().unwrap();
    assert!(entries.iter().enumerate().all(|(n, entry)| entry["seq"] == n + 1), "the log has caught up");
    let again = rig.killed();
    assert_eq!(again.begun().flags, abi::VMSF_OP_RESUMED);
}

// ---- the configuration ----

#[test]
fn a_configuration_that_drops_a_taken_over_server_is_accepted_and_the_server_kept() {
    for drops in [true, false] {
        let left = taken_over(&["a", "b"]).left();
        let mut given = left.config(if drops { &["b"] } else { &["a", "b"] });
        if !drops {
            given["monitored_servers"][0]["host"] = "elsewhere.example".into();
        }
        let rig = left.going_on(Some(&given));
        assert_eq!(rig.codes("config_kept").len(), 1);
        let servers = rig.config()["monitored_servers"].clone();
        let kept = servers.as_array().unwrap().iter().find(|server| server["id"] == "a").unwrap();
        assert_eq!(kept["host"], "a.example");
        expect(rig.restore(rig.server("a")), abi::VMSF_OK, "restore");
        rig.drive_to(2);
        rig.answer(abi::VMSF_OUTCOME_OK);
        rig.drive_to(3);
        expect(rig.configure(&rig.config_of(&["b"]).to_string(), 0).0, abi::VMSF_OK, "now it can go");
        let rig = rig.killed();
        assert_eq!(rig.config()["monitored_servers"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn the_accepted_configuration_comes_back_at_the_next_start() {
    let first = Life::ready(&["a"]);
    expect(first.configure(&first.config_of(&["a", "b"]).to_string(), 0).0, abi::VMSF_OK, "configure");
    let rig = first.killed();
    assert_eq!(rig.config(), first.config());
    rig.server("b");
}

/// A queue of one behind a taken over server.
fn queued_behind() -> Life {
    let rig = taken_over(&["c", "a"]);
    rig.keep_alive("a");
    rig.drive_to(1_040);
    assert_eq!(rig.states("a"), ["queued"]);
    rig
}

fn moved(mut moved: Value) -> Value {
    moved["monitored_servers"][1]["host"] = "elsewhere.example".into();
    moved
}

#[test]
fn a_server_at_another_address_is_another_machine_whatever_the_instant_of_a_kill() {
    // Given to `create`; accepted while running; and killed in `create` between the configuration and the state.
    let left = queued_behind().left();
    let config = moved(left.config(&["c", "a"]));
    let given = left.going_on(Some(&config));
    let configured = queued_behind();
    let config = moved(configured.config_of(&["c", "a"]));
    expect(configured.configure(&config.to_string(), 0).0, abi::VMSF_OK, "configure");
    let between = queued_behind().left();
    for file in ["config.a.json", "config.b.json"] {
        let _ = fs::copy(given.directory.path().join(file), between.state.path().join(file));
    }
    for rig in [given, configured.killed(), between.going_on(None)] {
        rig.drive_to(UNSEEN * 2);
        assert_eq!(rig.codes("health").len(), 0, "it was never seen, so it cannot fail");
        assert_eq!(rig.states("a"), [] as [&str; 0]);
    }
}

#[test]
fn a_server_removed_and_added_again_is_a_server_never_seen() {
    let first = queued_behind();
    for ids in [&["c"][..], &["c", "a"]] {
        expect(first.configure(&first.config_of(ids).to_string(), 0).0, abi::VMSF_OK, "configure");
    }
    let rig = first.killed();
    rig.drive_to(UNSEEN * 2);
    assert_eq!(rig.codes("health").len(), 0);
    assert_eq!(rig.states("a"), [] as [&str; 0]);
}

// ---- a state that an earlier version wrote ----

/// As version 0.1.0 left it when it knew schema 1: a is being taken over for the second time, b is queued behind it and its cancel accepted,
/// c waits for an operator.
fn of_schema_1() -> Left {
    let left = Left::nothing();
    for file in ["state.a.json", "state.b.json"] {
        let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state/schema-1").join(file);
        // One that git has given other line ends would be damaged.
        let text = fs::read_to_string(kept).expect("the state of schema 1").replace("\r\n", "\n");
        fs::write(left.state.path().join(file), text).expect("the state of schema 1");
    }
    left
}

fn schema_on_disk(life: &Life) -> [Value; 2] {
    ["state.a.json", "state.b.json"].map(|file| {
        let text = fs::read_to_string(life.directory.path().join(file)).expect("the state");
        serde_json::from_str::<Value>(&text).expect("JSON")["schema"].clone()
    })
}

#[test]
fn a_state_of_schema_1_is_migrated_and_its_takeover_goes_on() {
    let left = of_schema_1();
    let config = left.config(&["a", "b", "c"]);
    let life = left.going_on(Some(&config));
    let again = life.begun();
    assert_eq!((again.what(), again.id), ((abi::VMSF_OP_TAKEOVER, abi::VMSF_OP_RESUMED), 3));
    let json = &again.json;
    assert_eq!(json!([json["attempt"], json["request"], json["supersedes"]]), json!([1, 1, [2]]));
    // What it did not know nobody makes up: the host was given its backup before, and the token was its own.
    assert_eq!((json.get("backup"), &again.secret[..]), (None, &[][..]));
    assert_eq!(life.states("b"), ["none"], "the accepted cancel");
    assert_eq!(
        (life.status_of("c")["waits_for_operator"].clone(), schema_on_disk(&life)),
        (json!(true), [json!(2), json!(2)])
    );

    let life = life.killed();
    assert_eq!((life.begun().id, life.begun().flags), (3, abi::VMSF_OP_RESUMED));
    life.answer(abi::VMSF_OUTCOME_OK);
    life.drive_to(2);
    expect(life.restore(life.server("a")), abi::VMSF_OK, "restore");
    life.drive_to(3);
    assert!(life.last_begun().id > 20_000, "ids never repeat: {}", life.last_begun().id);
    life.answer(abi::VMSF_OUTCOME_OK);
    life.drive_to(4);
    assert_eq!(life.states("a"), ["taken_over", "restoring", "none"]);
}

#[test]
fn after_a_migration_everything_new_has_to_be_told_and_then_all_is_as_ever() {
    let left = of_schema_1();
    let config = left.config(&["a", "b", "c"]);
    let life = left.going_on(Some(&config));
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.drive_to(2);
    // Once it is queued again, what it lacks is asked for.
    life.drive_to(100);
    let blocked = life.codes("takeover_blocked");
    assert_eq!((blocked.len(), &blocked[0]["details"]["reason"]), (1, &json!("not_in_cluster")), "{blocked:#?}");
    let ready = json!({ "ready": false, "reasons": ["not_in_cluster", "not_authorized", "no_backup"] });
    assert_eq!(life.status_of("a")["ready"], ready);
    expect(life.cluster(true), abi::VMSF_OK, "cluster");
    life.authorized(life.server("a"));
    life.backed_up(life.server("a"));
    life.drive_to(101);
    let begun = life.last_begun();
    assert_eq!((begun.kind, &begun.json["supersedes"]), (abi::VMSF_OP_TAKEOVER, &json!([2])));
    assert!(begun.json["backup"]["path"].as_str().unwrap().ends_with("-1.backup"), "{}", begun.json);
}

#[test]
fn a_state_of_schema_1_of_which_one_generation_is_damaged_is_migrated_from_the_other() {
    for (file, states) in [("state.a.json", vec![]), ("state.b.json", vec!["none".to_owned()])] {
        let left = of_schema_1();
        damage(left.state.path(), file);
        let config = left.config(&["a", "b", "c"]);
        let life = left.going_on(Some(&config));
        // The accepted cancel is in the later of the two alone.
        assert_eq!((life.codes("state_damaged").len(), life.begun().id, life.states("b")), (1, 3, states), "{file}");
    }
}

#[test]
fn what_is_not_on_disk_is_not_asked_of_the_host_whatever_the_call() {
    let rig = taken_over(&["a", "b"]);
    let (a, b, begun) = (rig.server("a"), rig.server("b"), rig.begins().len());
    type Asks = fn(&Life, u64, u64) -> abi::vmsf_result;
    let calls: [(&str, Asks); 4] = [
        ("restore", |rig, a, _| rig.restore(a)),
        ("backup", |rig, _, b| rig.backup(b).0),
        ("authorize", |rig, _, b| rig.authorize(b, b"the password").0),
        ("deauthorize", |rig, _, b| rig.deauthorize(b).0),
    ];
    let away = rig.take_state_away();
    for (call, ask) in calls {
        expect(ask(&rig, a, b), abi::VMSF_ERR_IO, call);
    }
    rig.drive_to(1_010);
    assert_eq!((rig.begins().len(), rig.states("a").len()), (begun, 3), "a refused call changes nothing");
    away.bring_back();
    rig.drive_to(1_030);
    assert_eq!(rig.begins().len(), begun, "nor does it later");
    for (call, ask) in calls {
        let begun = rig.begins().len();
        expect(ask(&rig, a, b), abi::VMSF_OK, call);
        // Before the host is asked, what it will be asked is what another life finds.
        let found = rig.killed();
        let outcome = found.outcomes();
        let interrupted = outcome == [(call.to_owned(), "interrupted".to_owned())];
        assert!(found.begins().len() == 1 || interrupted, "{call}: {outcome:?}");
        rig.settle(rig.now());
        assert_eq!(rig.begins().len(), begun + 1, "{call}");
        match call {
            "backup" => fs::write(rig.last_begun().file(), "settings").unwrap(),
            "authorize" => {
                expect(rig::complete_with(rig.p, rig.last_begun().id, abi::VMSF_OUTCOME_OK, b"t"), abi::VMSF_OK, call);
                rig.settle(rig.now());
                continue;
            }
            _ => {}
        }
        rig.answer(abi::VMSF_OUTCOME_OK);
        rig.settle(rig.now());
    }
}
