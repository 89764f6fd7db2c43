//! The published schemas against what the built library hands out and takes: requests of operations, log entries, answers, calls.
//!
//! What the schemas say of configuration and status is held against the library in `status`.

#[path = "support/lives.rs"]
mod lives;
#[path = "support/rig.rs"]
mod rig;
#[path = "support/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::fs;

use lives::{Begun, Left, Life, damage, files};
use rig::{Callback, SECOND, abi, call, complete_with, expect};
use schema::{read, schema, validate};
use serde_json::{Value, json};

const OPERATIONS: [(u32, &str); 6] = [
    (abi::VMSF_OP_TAKEOVER, "takeover"),
    (abi::VMSF_OP_RESTORE, "restore"),
    (abi::VMSF_OP_BACKUP, "backup"),
    (abi::VMSF_OP_AUTHORIZE, "authorize"),
    (abi::VMSF_OP_DEAUTHORIZE, "deauthorize"),
    (abi::VMSF_OP_JOIN_CLUSTER, "join_cluster"),
];

fn name_of(kind: u32) -> &'static str {
    OPERATIONS.iter().find(|(number, _)| *number == kind).expect("an operation").1
}

// ---- the schemas themselves ----

#[test]
fn there_is_a_schema_for_each_operation_and_none_besides() {
    let mut names: Vec<String> = files(&schema::folder()).into_keys().collect();
    let mut expected: Vec<String> = OPERATIONS.iter().map(|(_, name)| format!("operation-{name}.json")).collect();
    let others = ["answer", "call", "call-join_cluster", "config", "log-entry", "status", "trace"];
    expected.extend(others.map(|name| format!("{name}.json")));
    names.sort();
    expected.sort();
    assert_eq!(names, expected);
}

/// Every key that a schema describes has words for people, here or where it refers to.
fn check_words(root: &Value, schema: &Value, at: &str) {
    let Some(map) = schema.as_object() else { return };
    for (key, property) in map.get("properties").and_then(Value::as_object).into_iter().flatten() {
        // Without a type it is a condition.
        if schema["type"] == "object" {
            let refers = property["$ref"].as_str().and_then(|reference| root.pointer(reference.strip_prefix('#')?));
            let says =
                |schema: &Value| schema["description"].as_str().is_some_and(|text| text.ends_with(['.', '>', ')']));
            assert!(says(property) || refers.is_some_and(says), "{at}/{key} has no description");
        }
        check_words(root, property, &format!("{at}/{key}"));
    }
    for key in ["items", "then", "else"] {
        check_words(root, &schema[key], &format!("{at}/{key}"));
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        check_words(root, part, at);
    }
    for (key, part) in schema["$defs"].as_object().into_iter().flatten() {
        check_words(root, part, &format!("{at}/$defs/{key}"));
    }
}

#[test]
fn every_key_is_described() {
    for name in files(&schema::folder()).into_keys() {
        let schema = read(&name);
        assert_eq!(schema["$id"].as_str().and_then(|id| id.rsplit('/').next()), Some(&*name));
        assert!(schema["title"].is_string() && schema["description"].is_string(), "{name}");
        check_words(&schema, &schema, &name);
    }
}

// ---- requests ----

/// A life whose configuration has everything that a request can carry, or nothing.
fn configured(full: bool) -> Life {
    let left = Left::nothing();
    let mut config = left.config(&["a", "b"]);
    if full {
        config["server_communication"] = json!({ "address": "10.0.0.10" });
        config["client_communication"] = json!({ "address": "10.1.0.10" });
        config["open_api"] = json!({ "host": "front.example" });
    }
    left.going_on(Some(&config))
}

/// The six operations of a life, each with its schema; where they can be resumed, killed and begun again first.
fn all_operations(full: bool, kills: bool) -> Vec<Begun> {
    let mut life = configured(full);
    let mut begun = Vec::new();
    let mut done = |life: &mut Life, token: &[u8]| {
        life.settle(life.now());
        begun.push(life.last_begun());
        let resumes = !matches!(life.last_begun().kind, abi::VMSF_OP_AUTHORIZE | abi::VMSF_OP_JOIN_CLUSTER);
        if kills && resumes {
            *life = life.killed();
            begun.push(life.last_begun());
        }
        let operation = life.last_begun();
        if operation.kind == abi::VMSF_OP_BACKUP {
            fs::write(operation.file(), "settings").unwrap();
        }
        expect(complete_with(life.p, operation.id, abi::VMSF_OUTCOME_OK, token), abi::VMSF_OK, "complete");
        life.settle(life.now());
    };
    let place = r#"{"host":"management.example","port":8443,"actor":"eve"}"#;
    expect(life.join_cluster(place, b"").0, abi::VMSF_OK, "join");
    done(&mut life, b"");
    expect(life.authorize(life.server("a"), b"x").0, abi::VMSF_OK, "authorize");
    done(&mut life, b"token");
    expect(life.backup(life.server("a")).0, abi::VMSF_OK, "backup");
    done(&mut life, b"");
    life.take_over("a");
    done(&mut life, b"");
    expect(life.restore(life.server("a")), abi::VMSF_OK, "restore");
    done(&mut life, b"");
    expect(life.deauthorize(life.server("a")).0, abi::VMSF_OK, "deauthorize");
    done(&mut life, b"");
    begun
}

#[test]
fn every_request_is_what_its_schema_describes() {
    for full in [true, false] {
        for kills in [true, false] {
            let begun = all_operations(full, kills);
            let kinds: BTreeSet<u32> = begun.iter().map(|begun| begun.kind).collect();
            assert_eq!((kinds.len(), begun.len()), (6, if kills { 10 } else { 6 }));
            for Begun { kind, flags, json, id, .. } in begun {
                validate(&schema(&format!("operation-{}.json", name_of(kind))), &json);
                assert_eq!(json["op"], id);
                assert_eq!(json["resumed"], flags & abi::VMSF_OP_RESUMED != 0);
                let moves = matches!(kind, abi::VMSF_OP_TAKEOVER | abi::VMSF_OP_RESTORE);
                assert_eq!(json.get("open_api").is_some(), full && moves, "{json:#}");
                assert_eq!(json.get("server").is_none(), kind == abi::VMSF_OP_JOIN_CLUSTER);
            }
        }
    }
}

#[test]
fn requests_that_nobody_called_for_are_what_their_schemas_describe() {
    let life = Life::ready(&["a", "b"]);
    let settings =
        r#"{"set":{"automatic_restore":true,"restore_stable_s":0,"daily_backup":true,"backup_time_utc":"00:17"}}"#;
    expect(life.edit(settings, 0).0, abi::VMSF_OK, "edit");
    // 00:17 is second 1,020.
    life.drive_to(1_020);
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.settle(life.now());
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.keep_alive("a");
    life.drive_to(1_051);
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.drive_to(1_100);
    // Not answered this time: the next one supersedes it.
    life.drive_to(1_700);
    life.drive_to(1_800);
    life.answer(abi::VMSF_OUTCOME_OK);
    life.settle(life.now());
    life.keep_alive("a");
    life.drive_to(1_801);
    let begins = life.begins();
    let reasons: BTreeSet<&str> = begins.iter().map(|begun| begun.json["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons.into_iter().collect::<Vec<_>>(), ["daily", "keep_alive_timeout", "returned"]);
    for begun in &begins {
        validate(&schema(&format!("operation-{}.json", name_of(begun.kind))), &begun.json);
        assert_eq!((&begun.json["actor"], begun.json.get("request")), (&json!("automatic"), None));
    }
    let superseding =
        begins.iter().filter(|begun| begun.json["supersedes"].as_array().is_some_and(|list| !list.is_empty()));
    assert_eq!(superseding.count(), 1, "{begins:#?}");
}

// ---- answers and calls ----

/// Whether the library takes a JSON, and whether the schema does.
#[track_caller]
fn assert_agree(schema_name: &str, json: &Value, taken: abi::vmsf_result) {
    let published = jsonschema::validator_for(&read(schema_name)).expect("a schema").is_valid(json);
    let code = rig::name(taken);
    assert_eq!(published, code != "VMSF_ERR_JSON", "{schema_name}: {json} gives {code}");
}

#[test]
fn the_library_takes_the_calls_that_their_schemas_describe_and_no_others() {
    let life = Life::ready(&["a", "b"]);
    let a = life.server("a");
    let calls = [
        json!({}),
        json!({ "actor": "eve" }),
        json!({ "actor": "x".repeat(256) }),
        json!({ "actor": "Žofie" }),
        json!({ "actor": "x".repeat(257) }),
        json!({ "actor": "" }),
        json!({ "actor": "automatic" }),
        json!({ "actor": "a\nb" }),
        json!({ "actor": 7 }),
        json!({ "actors": "eve" }),
        json!({ "actor": "eve", "server": "a" }),
        json!([]),
        json!("eve"),
        json!(7),
    ];
    for json in calls {
        let text = json.to_string();
        let (text, len, none) = (text.as_ptr().cast(), text.len(), std::ptr::null_mut());
        let secret = b"x".as_ptr();
        // Refused by their state, most of them: the text is read first.
        let codes = [
            call!(cluster(life.p, 1, text, len)),
            call!(restore(life.p, a, text, len, none)),
            call!(cancel(life.p, a, text, len)),
            call!(takeover(life.p, a, text, len, none)),
            call!(backup(life.p, life.server("b"), text, len, none)),
            call!(backup(life.p, 0, text, len, none)),
            call!(deauthorize(life.p, a, text, len, none)),
            call!(authorize(life.p, a, text, len, secret, 1, none)),
        ];
        codes.into_iter().for_each(|code| assert_agree("call.json", &json, code));
    }
    let joins = [
        json!({ "host": "m" }),
        json!({ "host": "10.0.0.1", "port": 1, "actor": "eve" }),
        json!({ "host": "m", "port": 65_535 }),
        json!({}),
        json!({ "host": "" }),
        json!({ "host": "x".repeat(254) }),
        json!({ "host": "m", "port": 0 }),
        json!({ "host": "m", "port": 65_536 }),
        json!({ "host": "m", "port": "443" }),
        json!({ "host": "m", "actor": "automatic" }),
        json!({ "host": "m", "address": "m" }),
        json!({ "host": 7 }),
    ];
    for json in joins {
        let text = json.to_string();
        let (text, len) = (text.as_ptr().cast(), text.len());
        let code = call!(join_cluster(life.p, text, len, std::ptr::null(), 0, std::ptr::null_mut()));
        assert_agree("call-join_cluster.json", &json, code);
    }
    for json in [
        json!({}),
        json!({ "error": "no" }),
        json!({ "error": "" }),
        json!({ "error": 1 }),
        json!({ "reason": "no" }),
        json!([]),
    ] {
        let text = json.to_string();
        let code = call!(complete(life.p, 7, 1, text.as_ptr().cast(), text.len(), std::ptr::null(), 0));
        assert_agree("answer.json", &json, code);
    }
}

// ---- the log ----

/// The codes of a life's log, each entry as the schema describes it.
#[track_caller]
fn codes_of(life: &Life) -> BTreeSet<String> {
    let schema = schema("log-entry.json");
    let page = life.page(0);
    let entries = page["entries"].as_array().expect("a list");
    entries.iter().for_each(|entry| validate(&schema, entry));
    entries.iter().map(|entry| entry["code"].as_str().unwrap().to_owned()).collect()
}

/// Takeovers, the queue, and everything that is said of messages.
fn of_takeovers() -> BTreeSet<String> {
    let life = Life::ready(&["a", "b", "c", "never"]);
    let mut codes = codes_of(&life);
    use abi::{VMSF_NOTIFY_SHUTDOWN_ABNORMAL as ABNORMAL, VMSF_NOTIFY_SHUTDOWN_NORMAL as NORMAL};
    let c = life.server("c");
    for kind in
        [abi::VMSF_NOTIFY_CONNECTED, abi::VMSF_NOTIFY_CONNECTED, NORMAL, abi::VMSF_NOTIFY_KEEP_ALIVE, ABNORMAL, NORMAL]
    {
        expect(life.notify(c, kind, 0), abi::VMSF_OK, kind);
        life.settle(life.now());
    }
    // More than its list holds, and more than are written in a minute.
    let codes_of_posts: Vec<_> = (0..9).map(|_| life.notify(c, abi::VMSF_NOTIFY_DISCONNECTED, 0)).collect();
    expect(codes_of_posts[8], abi::VMSF_ERR_BUSY, "the list is full");
    for second in 1_001..1_030 {
        expect(
            life.notify(c, abi::VMSF_NOTIFY_DISCONNECTED, 0),
            if second == 1_001 { abi::VMSF_ERR_BUSY } else { abi::VMSF_OK },
            second,
        );
        life.drive_to(second);
    }
    // Both fail. The takeover of a fails, so b has the slot, and a is not covered.
    ["a", "b"].iter().for_each(|id| life.keep_alive(id));
    life.drive_to(1_061);
    expect(life.notify(c, abi::VMSF_NOTIFY_DISCONNECTED, 0), abi::VMSF_OK, "a minute later");
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.settle(life.now());
    life.answer(abi::VMSF_OUTCOME_OK);
    // b is back, for long enough; its restore fails.
    for second in 1_062..1_095 {
        life.keep_alive("b");
        life.drive_to(second);
    }
    let restore = |life: &Life| {
        expect(life.restore(life.server("b")), abi::VMSF_OK, "restore");
        life.settle(life.now());
        life.last_begun().id
    };
    expect(call!(progress(life.p, restore(&life), 5, c"x".as_ptr(), 1)), abi::VMSF_OK, "progress");
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.settle(life.now());
    // After a pause it succeeds, and a has its turn, which is not answered in time.
    expect(life.poll(1_200 * SECOND).0, abi::VMSF_OK, "poll");
    restore(&life);
    life.answer(abi::VMSF_OUTCOME_OK);
    life.settle(life.now());
    let takeover = life.last_begun();
    assert_eq!((takeover.kind, &takeover.json["server"]["id"]), (abi::VMSF_OP_TAKEOVER, &json!("a")));
    life.drive_to(1_801);
    expect(life.complete(takeover.id, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "late");
    // Neither has b success. An operator makes the place of a his, and who fails now waits for him.
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.settle(life.now());
    life.take_over("a");
    expect(life.edit(r#"{"set":{"automatic_takeover":false}}"#, 0).0, abi::VMSF_OK, "edit");
    life.keep_alive("never");
    life.drive_to(1_840);
    codes.extend(codes_of(&life));
    codes
}

/// Cluster, logins, backups, and what lies on the disk.
fn of_backups() -> BTreeSet<String> {
    let life = Life::ready(&["a", "b"]);
    expect(life.backup(0).0, abi::VMSF_OK, "backup of all");
    life.settle(life.now());
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.settle(life.now());
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.settle(life.now());
    // A call from inside a callback.
    let (p, b) = (life.p, life.server("b"));
    life.probe.hook(move |callback| {
        if callback.code() == "cluster" {
            let _ = call!(deauthorize(p, b, std::ptr::null(), 0, std::ptr::null_mut()));
        }
    });
    expect(life.cluster(false), abi::VMSF_OK, "cluster");
    life.drive_to(1_001);
    life.answer(abi::VMSF_OUTCOME_OK);
    expect(life.takeover(b).0, abi::VMSF_ERR_NOT_IN_CLUSTER, "blocked");
    life.keep_alive("a");
    life.drive_to(1_040);
    let archive = life.backup_files("a").into_iter().find(|name| name.ends_with(".backup")).unwrap();
    damage(&life.folder("a"), &archive);
    let mut codes = codes_of(&life);
    let left = life.left();
    damage(left.state.path(), "state.a.json");
    let later = left.going_on(None);
    fs::rename(later.folder("b"), later.folder("b").with_extension("away")).unwrap();
    fs::write(later.folder("b"), "no folder").unwrap();
    expect(later.configure(&later.config_of(&["a", "b", "c"]).to_string(), 0).0, abi::VMSF_OK, "configure");
    expect(later.cluster(true), abi::VMSF_OK, "cluster");
    later.drive_to(2);
    let day =
        |life: &Life, utc_ms| expect(call!(poll(life.p, life.now() + SECOND, utc_ms, &mut 0)), abi::VMSF_OK, "poll");
    expect(later.edit(r#"{"set":{"daily_backup":true}}"#, 0).0, abi::VMSF_OK, "edit");
    for utc_ms in [1_767_441_600_000, 1_767_441_600_000, 1_767_182_400_000, 1_767_182_400_000] {
        day(&later, utc_ms);
        later.settle(later.now());
    }
    codes.extend(codes_of(&later));
    codes
}

/// What is said of calls and configurations that come at the wrong moment.
fn of_mishaps() -> BTreeSet<String> {
    let life = Life::ready(&["a", "b"]);
    life.take_over("a");
    life.settle(life.now());
    life.answer(abi::VMSF_OUTCOME_OK);
    life.settle(life.now());
    // b waits for a, and is back before its cancel is taken in.
    life.keep_alive("b");
    life.drive_to(1_040);
    life.keep_alive("b");
    expect(life.cancel(life.server("b")), abi::VMSF_OK, "cancel");
    life.settle(life.now());
    // Accepted, and then the server goes.
    expect(life.backup(life.server("b")).0, abi::VMSF_OK, "backup");
    expect(life.cluster(false), abi::VMSF_OK, "cluster");
    let left = life.left();
    let config = left.config(&["b"]);
    let later = left.going_on(Some(&config));
    let mut codes = codes_of(&later);
    expect(later.restore(later.server("a")), abi::VMSF_OK, "restore");
    later.settle(later.now());
    later.answer(abi::VMSF_OUTCOME_OK);
    later.drive_to(3);
    fs::remove_dir_all(later.directory.path().join("log")).unwrap();
    codes.extend(codes_of(&later));
    codes.extend(codes_of(&later.killed()));
    codes
}

/// More than 1,000 fail in one instant: the host hears of each, the log on disk tells of all together.
fn of_a_mass_failure() -> BTreeSet<String> {
    let ids: Vec<String> = (0..1_001).map(|n| format!("s{n}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let left = Left::nothing();
    let config = left.config(&ids);
    let life = left.created(Some(&config));
    life.begin_at(1_000);
    ids.iter().for_each(|id| life.keep_alive(id));
    life.drive_to(1_029);
    life.probe.forget();
    life.drive_to(1_031);
    let seq = |callback: Callback| if let Callback::Event { seq, .. } = callback { Some(seq) } else { None };
    let seqs: Vec<u64> = life.probe.seen().into_iter().filter_map(seq).collect();
    assert_eq!(life.probe.count(|callback| callback.is("health", "failed")), 1_001);
    assert!(seqs.is_sorted_by(|one, next| one + 1 == *next), "without a gap");
    let page = life.page(seqs[0]);
    let masses: Vec<&Value> =
        page["entries"].as_array().unwrap().iter().filter(|entry| entry["code"] == "mass").collect();
    let failed = masses.iter().flat_map(|mass| mass["details"]["changes"].as_array().unwrap());
    let failed = failed.filter(|change| change["code"] == "health" && change["details"]["to"] == "failed");
    let told: Vec<&str> =
        failed.flat_map(|change| change["servers"].as_array().unwrap()).filter_map(Value::as_str).collect();
    assert_eq!(told, ids);
    assert_eq!(masses[0]["details"]["first_seq"], seqs[0]);
    let last = page["entries"].as_array().unwrap().last().unwrap();
    assert_eq!((&last["seq"], &page["next_seq"]), (&json!(seqs[seqs.len() - 1]), &json!(seqs[seqs.len() - 1] + 1)));
    codes_of(&life)
}

#[test]
fn every_entry_is_what_the_schema_describes_and_every_code_stands_in_it() {
    let seen = [of_takeovers(), of_backups(), of_mishaps(), of_a_mass_failure()];
    let seen: BTreeSet<String> = seen.into_iter().flatten().collect();
    let known = &read("log-entry.json")["properties"]["code"]["anyOf"][0]["enum"];
    let known: BTreeSet<String> =
        known.as_array().unwrap().iter().map(|code| code.as_str().unwrap().to_owned()).collect();
    let unknown: Vec<_> = seen.difference(&known).collect();
    assert!(unknown.is_empty(), "not in the schema: {unknown:?}");
    let unseen: Vec<_> = known.difference(&seen).map(String::as_str).collect();
    assert_eq!(unseen, ["host_slow", "poisoned", "too_long"], "these are provoked in other tests");
}
