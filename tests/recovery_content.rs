//! A state directory whose files are whole, with anything in them: an instance goes on or refuses, and never panics.
//!
//! The hash of a file says that it is what was written; what a later version, a fault or a person has written is told by its content alone.

#[path = "support/lives.rs"]
mod lives;
#[path = "support/rig.rs"]
mod rig;

use std::fs;
use std::path::Path;

use lives::{Left, files};
use rig::{Probe, Rig, SECOND, abi, call, expect};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

const IDS: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

/// A state with everything in it that it can hold.
fn full() -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/state/schema-2/full.json");
    serde_json::from_str(&fs::read_to_string(path).expect("the state")).expect("JSON")
}

/// A file of the state directory with this content: the hash is right.
fn sealed(state: &Value) -> String {
    let (head, state) = ("{\"schema\":2,\"generation\":1,", state.to_string());
    let hash = Sha256::digest(format!("{head}\"state\":{state}}}\n"));
    let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
    format!("{head}\"sha256\":\"{hash}\",\"state\":{state}}}\n")
}

fn left_with(state: &Value) -> Left {
    let left = Left::nothing();
    fs::write(left.state.path().join("state.a.json"), sealed(state)).expect("a state");
    left
}

/// Goes on from this state for a while, or is refused and touches nothing; gives the refusal.
#[track_caller]
fn go_on(state: &Value, what: &str) -> Option<String> {
    let left = left_with(state);
    let mut config = left.config(&IDS);
    config["daily_backup"] = json!(true);
    let probe = Probe::new();
    let p = match left.try_create(probe, Some(&config)) {
        Ok(p) => p,
        Err((code, text)) => {
            assert_eq!(code, "VMSF_ERR_STATE_DAMAGED", "{what}: {text}");
            assert_eq!(fs::read_to_string(left.state.path().join("state.a.json")).unwrap(), sealed(state), "{what}");
            return Some(text);
        }
    };
    let rig = Rig { p, probe, directory: left.state, drives: true };
    read_status(&rig, what);
    expect(rig.start(), abi::VMSF_OK, what);
    read_status(&rig, what);
    for second in (1..400).step_by(40) {
        expect(rig.poll(second * SECOND).0, abi::VMSF_OK, what);
    }
    rig.settle(400 * SECOND);
    read_status(&rig, what);
    assert_eq!(rig.probe.count(|callback| callback.code() == "poisoned"), 0, "{what}");
    None
}

fn read_status(rig: &Rig, what: &str) {
    let status = rig::text(|buf, cap, len| call!(status(rig.p, 0, buf, cap, len)));
    assert!(status.is_ok_and(|text| serde_json::from_str::<Value>(&text).is_ok()), "{what}");
}

#[test]
fn a_state_with_everything_in_it_goes_on() {
    let left = left_with(&full());
    let config = left.config(&IDS);
    let life = left.going_on(Some(&config));
    life.drive_to(2);
    let mut resumed: Vec<u64> = life.begins().iter().filter(|begun| begun.flags > 0).map(|begun| begun.id).collect();
    resumed.sort_unstable();
    // The others were answered, are being published, were never asked for, or need credentials.
    assert_eq!(resumed, [50], "{:#?}", life.begins());
    let status = life.status();
    assert_eq!(json!([status["mode"], status["holder"]]), json!(["taken_over", "a"]), "40 was answered: ok");
    assert_eq!(status["cluster"]["joined"], false, "the last word");
    assert_eq!(life.codes("deauthorized").len(), 6, "no token lies in the directory");
    assert!(life.page(0)["entries"].as_array().unwrap().len() > 20);
    let again = life.killed();
    assert_eq!(again.status()["holder"], "a");
}

/// Other values of the same type that might stand there, and some that might not.
fn others(value: &Value) -> Vec<Value> {
    let words =
        ["none", "queued", "taken_over", "backup", "takeover", "preparing", "publishing", "nothing", "a", "h", ""];
    match value {
        Value::Bool(is) => vec![json!(!is), json!(null)],
        Value::Number(_) => {
            vec![json!(0), json!(1), json!(42), json!(u64::MAX), json!(i64::MAX), json!(i64::MIN), json!(null)]
        }
        Value::String(_) => {
            words.iter().map(|word| json!(word)).chain([json!(null), json!("x".repeat(5_000))]).collect()
        }
        Value::Null => vec![json!(1), json!("a"), json!({})],
        Value::Array(list) => {
            vec![json!([]), json!([list.clone(), list.clone()].concat()), json!(list.iter().rev().collect::<Vec<_>>())]
        }
        Value::Object(_) => vec![json!({}), json!(null)],
    }
}

/// The places of all values in a document.
fn pointers(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(list) => {
            list.iter().enumerate().for_each(|(n, inner)| pointers(inner, &format!("{at}/{n}"), found))
        }
        Value::Object(map) => map.iter().for_each(|(key, inner)| pointers(inner, &format!("{at}/{key}"), found)),
        _ => {}
    }
}

#[test]
fn whatever_stands_in_a_whole_state_it_goes_on_or_is_refused() {
    let mut places = Vec::new();
    pointers(&full(), "", &mut places);
    let (mut refused, mut accepted) = (0, 0);
    for (n, place) in places.iter().enumerate() {
        let others = others(full().pointer(place).unwrap());
        // Another one at each place, so that over them all each kind has its turn many times.
        for other in others.iter().skip(n % 3).step_by(3) {
            let mut state = full();
            *state.pointer_mut(place).unwrap() = other.clone();
            let shown: String = other.to_string().chars().take(100).collect();
            match go_on(&state, &format!("{place}: {shown}")) {
                Some(_) => refused += 1,
                None => accepted += 1,
            }
        }
    }
    println!("{accepted} went on, {refused} were refused");
    assert!(accepted > 100 && refused > 100, "{accepted} {refused}");
}

#[test]
fn what_contradicts_itself_is_refused_by_name() {
    let cases: [(&str, Value, &str); 9] = [
        ("/next_id", json!(1_u64 << 53), "next_id is 9007199254740992"),
        ("/reserved_seq", json!(u64::MAX), "reserved_seq is 18446744073709551615"),
        ("/memory/operations/3/id", json!(20_100), "operation 20100 has a number that was never given out"),
        ("/memory/servers/1/takeover", json!("taken_over"), "two servers hold the one slot"),
        ("/memory/servers/0/takeover", json!("queued"), "operation 40 is a takeover that does not fit its server"),
        ("/memory/operations/1/id", json!(40), "operation 40 is there twice"),
        ("/memory/operations/6/server", json!("h"), "operation 52 is a join_cluster that does not fit its server"),
        ("/memory/operations/2/server", json!("b"), "operation 44 is a backup that does not fit its server"),
        ("/memory/operations", json!([]), "0 operations move the slot where 1 should"),
    ];
    for (place, value, why) in cases {
        let mut state = full();
        *state.pointer_mut(place).unwrap() = value;
        let text = go_on(&state, place).expect(place);
        assert!(text.contains(why) && text.contains("give a new state directory"), "{text}");
    }
}

#[test]
fn tokens_of_a_whole_file_that_are_no_tokens_are_refused() {
    let left = left_with(&full());
    let before = files(left.state.path());
    for tokens in [json!({}), json!({ "tokens": [{ "id": "a", "op": 11, "token": "0" }] }), json!([1]), json!(null)] {
        let text = sealed(&tokens).replace("{\"schema\":2", "{\"schema\":1");
        let head = "{\"schema\":1,\"generation\":1,";
        let hash = Sha256::digest(format!("{head}\"state\":{tokens}}}\n"));
        let hash: String = hash.iter().map(|byte| format!("{byte:02x}")).collect();
        assert!(!text.contains(&hash), "the schema is under the hash, too");
        let whole = format!("{head}\"sha256\":\"{hash}\",\"state\":{tokens}}}\n");
        for (file, why) in [(text, "its hash does not match"), (whole, "cannot be read")] {
            fs::write(left.state.path().join("tokens.a.json"), file).unwrap();
            let config = left.config(&IDS);
            let (code, said) = left.try_create(Probe::new(), Some(&config)).unwrap_err();
            assert_eq!(code, "VMSF_ERR_STATE_DAMAGED", "{said}");
            assert!(said.contains(why) && said.contains("authorize the servers anew"), "{said}");
        }
    }
    fs::remove_file(left.state.path().join("tokens.a.json")).unwrap();
    let state = |files: &std::collections::BTreeMap<String, Vec<u8>>| files["state.a.json"].clone();
    assert_eq!(state(&files(left.state.path())), state(&before));
}
