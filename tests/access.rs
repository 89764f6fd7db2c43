//! What a takeover needs, through the raw C ABI and in both modes: the cluster, a token and a backup of the server, and what each call for
//! them refuses.

#[path = "support/rig.rs"]
mod rig;

use std::ptr::null;
use std::time::SystemTime;

use chrono::{DateTime, TimeDelta, Utc};
use rig::{
    Begun, Callback, Probe, Rig, SECOND, abi, call, complete_with, config, create, expect, name, options, token_of,
};
use serde_json::{Value, json};

/// How an operation ended: outcome and error.
fn ended(rig: &Rig, op: u64) -> (String, Option<String>) {
    let completed = rig.wait("completed", |callback| callback.is_of("completed", op));
    let Callback::Event { json, .. } = completed else { unreachable!() };
    let text = |key: &str| json["details"][key].as_str().map(str::to_owned);
    (text("outcome").unwrap(), text("error"))
}

fn ok((code, request): (abi::vmsf_result, u64)) -> u64 {
    expect(code, abi::VMSF_OK, "a call");
    request
}

// ---- the cluster ----

#[test]
fn whether_it_is_in_the_cluster_may_be_said_at_any_time_and_a_change_is_an_entry() {
    for drives in [true, false] {
        let rig = Rig::new(drives, &["a"]);
        let joined = || rig.status()["cluster"]["joined"].clone();
        assert_eq!(joined(), false);
        for _ in 0..2 {
            expect(rig.cluster(true), abi::VMSF_OK, "while stopped");
            assert_eq!(joined(), true);
        }
        expect(rig.start(), abi::VMSF_OK, "start");
        let is = |joined: bool| move |callback: &Callback| matches!(callback, Callback::Event { json, .. } if callback.code() == "cluster" && json["details"]["joined"] == joined);
        rig.wait("cluster", is(true));
        expect(rig.cluster(false), abi::VMSF_OK, "while running");
        rig.wait("cluster", is(false));
        assert_eq!(joined(), false);
        // It can be configured all the same; what it is not ready for is shown.
        expect(rig.edit(r#"{"add":[{"id":"b","host":"b.example"}]}"#, 0).0, abi::VMSF_OK, "edit");
        for server in rig.status()["servers"].as_array().expect("servers") {
            let reasons = server["ready"]["reasons"].as_array().expect("reasons");
            assert!(server["ready"]["ready"] == false && reasons.contains(&json!("not_in_cluster")), "{server}");
        }
        assert_eq!(rig.probe.count(|callback| callback.code() == "cluster"), 2);
    }
}

#[test]
fn joining_needs_a_host_and_a_port_that_can_be_ones() {
    let rig = Rig::running(true, &["a"]);
    let documents = [
        ("", "host is missing"),
        (r#"{"port":443}"#, "host is missing"),
        (r#"{"host":""}"#, "host \"\""),
        (r#"{"host":"a b"}"#, "host \"a b\""),
        (r#"{"host":7}"#, "string"),
        (r#"{"host":"m.example","port":0}"#, "port"),
        (r#"{"host":"m.example","port":65536}"#, "port"),
        (r#"{"host":"m.example","port":-1}"#, "u64"),
        (r#"{"host":"m.example","actor":""}"#, "actor"),
    ];
    for (document, word) in documents {
        expect(rig.join_cluster(document, b"").0, abi::VMSF_ERR_JSON, document);
        let (_, text) = rig.last_error();
        assert!(text.contains(word), "{word} is not in: {text}");
    }
    rig.settle(1_001 * SECOND);
    assert_eq!(rig.probe.count(|callback| matches!(callback, Callback::Begin { .. })), 0);
}

#[test]
fn joining_works_once_at_a_time_while_running_and_hands_the_credentials_on() {
    for drives in [true, false] {
        let rig = Rig::new(drives, &["a"]);
        let document = r#"{"host":"management.example","actor":"eve"}"#;
        expect(rig.join_cluster(document, b"x").0, abi::VMSF_ERR_STATE, "while stopped");
        expect(rig.start(), abi::VMSF_OK, "start");
        let Begun { id: op, json, secret, .. } = rig.asked(ok(rig.join_cluster(document, b"the password")));
        assert_eq!(json["management_server"], json!({ "host": "management.example", "port": 443 }));
        assert_eq!((&json["operation"], &json["actor"]), (&json!("join_cluster"), &json!("eve")));
        assert_eq!(secret, b"the password");
        expect(rig.join_cluster(document, b"").0, abi::VMSF_ERR_BUSY, "another");
        expect(rig.complete(op, abi::VMSF_OUTCOME_FAILED), abi::VMSF_OK, "complete");
        assert_eq!(ended(&rig, op).0, "failed");
        assert_eq!(rig.status()["cluster"]["joined"], false);
        let document = r#"{"host":"192.0.2.7","port":65535}"#;
        let Begun { id: op, json, secret, .. } = rig.asked(ok(rig.join_cluster(document, b"")));
        assert_eq!(json["management_server"], json!({ "host": "192.0.2.7", "port": 65535 }));
        assert_eq!(secret, b"");
        expect(complete_with(rig.p, op, abi::VMSF_OUTCOME_OK, b"token"), abi::VMSF_ERR_INVALID, "a token");
        expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
        assert_eq!(ended(&rig, op), ("ok".into(), None));
        assert_eq!(rig.status()["cluster"]["joined"], true);
    }
}

// ---- tokens ----

#[test]
fn authorizing_hands_the_credentials_on_once_and_the_token_with_what_follows() {
    for drives in [true, false] {
        let rig = Rig::new(drives, &["a", "b"]);
        let (a, b) = (rig.server("a"), rig.server("b"));
        expect(rig.authorize(a, b"x").0, abi::VMSF_ERR_STATE, "while stopped");
        expect(rig.start(), abi::VMSF_OK, "start");
        expect(rig.deauthorize(a).0, abi::VMSF_ERR_NOT_AUTHORIZED, "deauthorize");
        let Begun { id: op, json, secret, .. } = rig.asked(ok(rig.authorize(a, b"the password")));
        assert_eq!((&json["operation"], &json["server"]["id"]), (&json!("authorize"), &json!("a")));
        assert_eq!(secret, b"the password");
        expect(rig.authorize(a, b"x").0, abi::VMSF_ERR_BUSY, "another of this server");
        let other = rig.asked(ok(rig.authorize(b, b"x"))).id;
        expect(complete_with(rig.p, op, abi::VMSF_OUTCOME_OK, b"token"), abi::VMSF_OK, "complete");
        expect(complete_with(rig.p, other, abi::VMSF_OUTCOME_FAILED, b"token"), abi::VMSF_OK, "complete");
        assert_eq!(ended(&rig, op), ("ok".into(), None));
        assert_eq!(ended(&rig, other).0, "failed");
        let authorized = ["a", "b"].map(|id| rig.status_of(id)["authorized"] == true);
        assert_eq!(authorized, [true, false]);
        let Begun { id: op, json, secret, .. } = rig.asked(ok(rig.deauthorize(a)));
        assert_eq!((&json["operation"], secret.as_slice()), (&json!("deauthorize"), &b"token"[..]));
        expect(rig.deauthorize(a).0, abi::VMSF_ERR_BUSY, "another");
        expect(rig.complete(op, abi::VMSF_OUTCOME_FAILED), abi::VMSF_OK, "complete");
        assert_eq!(ended(&rig, op).0, "failed");
        assert_eq!(rig.status_of("a")["authorized"], true, "the host could not revoke it");
        let op = rig.asked(ok(rig.deauthorize(a))).id;
        expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
        assert_eq!(ended(&rig, op).0, "ok");
        assert_eq!(rig.status_of("a")["authorized"], false);
        expect(rig.deauthorize(a).0, abi::VMSF_ERR_NOT_AUTHORIZED, "deauthorize");
    }
}

#[test]
fn an_answer_without_a_usable_token_fails_the_authorization_with_the_reason() {
    let long = [7; 4097];
    for drives in [true, false] {
        let rig = Rig::running(drives, &["a"]);
        let a = rig.server("a");
        let answers: [(*const u8, usize, abi::vmsf_result, &str); 4] = [
            (null(), 0, abi::VMSF_OK, "the host gave no token"),
            (long.as_ptr(), 0, abi::VMSF_OK, "the host gave no token"),
            (long.as_ptr(), 4097, abi::VMSF_ERR_LIMIT, "4097 bytes, allowed are 4096"),
            (null(), 3, abi::VMSF_ERR_INVALID, "NULL"),
        ];
        for (token, len, code, reason) in answers {
            let op = rig.asked(ok(rig.authorize(a, b"x"))).id;
            expect(call!(complete(rig.p, op, abi::VMSF_OUTCOME_OK, null(), 0, token, len)), code, reason);
            if code != abi::VMSF_OK {
                let (last, text) = rig.last_error();
                assert!(last == name(code) && text.contains(reason), "{last}: {text}");
            }
            let (outcome, error) = ended(&rig, op);
            let error = error.unwrap();
            assert!(outcome == "failed" && error.contains(reason), "{reason} is not in: {error}");
            expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "it is answered");
            assert_eq!(rig.status_of("a")["authorized"], false);
        }
        let op = rig.asked(ok(rig.authorize(a, b"x"))).id;
        expect(complete_with(rig.p, op, abi::VMSF_OUTCOME_OK, &long[..4096]), abi::VMSF_OK, "the longest token");
        assert_eq!(ended(&rig, op), ("ok".into(), None));
    }
}

#[test]
fn a_token_for_another_operation_is_refused_and_the_operation_goes_on() {
    for drives in [true, false] {
        let rig = Rig::ready(drives, &["a"]);
        let Begun { id: op, json, secret, .. } = rig.asked(ok(rig.takeover(rig.server("a"))));
        assert_eq!((&json["operation"], secret), (&json!("takeover"), token_of(rig.server("a"))));
        for (token, code) in [(&b"token"[..], abi::VMSF_ERR_INVALID), (&[7; 4097], abi::VMSF_ERR_LIMIT)] {
            expect(complete_with(rig.p, op, abi::VMSF_OUTCOME_OK, token), code, "complete");
        }
        expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
        rig.wait("taken_over", |callback| callback.is("takeover", "taken_over"));
        assert_eq!(ended(&rig, op), ("ok".into(), None));
    }
}

#[test]
fn a_token_may_be_given_up_while_stopped_and_the_host_hears_of_it_at_the_start() {
    for drives in [true, false] {
        let rig = Rig::ready(drives, &["a"]);
        let a = rig.server("a");
        expect(rig.stop(20_000), abi::VMSF_OK, "stop");
        let request = ok(rig.deauthorize(a));
        expect(rig.deauthorize(a).0, abi::VMSF_ERR_BUSY, "another");
        expect(rig.start(), abi::VMSF_OK, "start");
        let Begun { id: op, json, secret, .. } = rig.asked(request);
        assert_eq!((&json["operation"], &json["resumed"], secret), (&json!("deauthorize"), &json!(false), token_of(a)));
        expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
        assert_eq!(ended(&rig, op).0, "ok");
        assert_eq!(rig.status_of("a")["authorized"], false);
    }
}

#[test]
fn a_taken_over_server_keeps_its_token() {
    let rig = Rig::ready(true, &["a"]);
    let a = rig.server("a");
    let op = rig.asked(ok(rig.takeover(a))).id;
    expect(rig.deauthorize(a).0, abi::VMSF_ERR_STATE, "while it is being taken over");
    expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    expect(rig.deauthorize(a).0, abi::VMSF_ERR_STATE, "once it is taken over");
    assert_eq!(ended(&rig, op).0, "ok");
    expect(rig.stop(0), abi::VMSF_OK, "stop");
    expect(rig.deauthorize(a).0, abi::VMSF_ERR_STATE, "while stopped");
}

// ---- backups ----

#[test]
fn a_backup_needs_the_cluster_and_a_token_and_is_one_at_a_time() {
    for drives in [true, false] {
        let rig = Rig::running(drives, &["a", "b"]);
        let (a, b) = (rig.server("a"), rig.server("b"));
        for server in [a, 0] {
            expect(rig.backup(server).0, abi::VMSF_ERR_NOT_IN_CLUSTER, "backup");
        }
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        expect(rig.backup(a).0, abi::VMSF_ERR_NOT_AUTHORIZED, "backup");
        rig.prepare();
        let Begun { id: op, json, secret, .. } = rig.asked(ok(rig.backup(a)));
        assert_eq!((&json["operation"], &json["reason"], secret), (&json!("backup"), &json!("operator"), token_of(a)));
        expect(rig.backup(a).0, abi::VMSF_ERR_BUSY, "another of this server");
        expect(rig.deauthorize(a).0, abi::VMSF_ERR_BUSY, "anything else of this server");
        rig.backed_up(b);
        expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
        let backup = rig.wait("backup", |callback| callback.is_of("backup", op));
        let Callback::Event { json, .. } = backup else { unreachable!() };
        assert_eq!(json["details"]["result"], "failed", "the host wrote nothing: {json}");
        expect(rig.cluster(false), abi::VMSF_OK, "cluster");
        expect(rig.backup(a).0, abi::VMSF_ERR_NOT_IN_CLUSTER, "backup");
    }
}

#[test]
fn all_are_backed_up_one_after_another_and_once_at_a_time() {
    for drives in [true, false] {
        let rig = Rig::ready(drives, &["a", "b"]);
        // The plugin's times have milliseconds.
        let begun_at = DateTime::<Utc>::from(SystemTime::now()) - TimeDelta::milliseconds(1);
        let polled_at: DateTime<Utc> = "2026-01-01T00:16:40Z".parse().unwrap();
        let request = ok(rig.backup(0));
        expect(rig.backup(0).0, abi::VMSF_ERR_BUSY, "all, once more");
        for id in ["a", "b"] {
            let mine = |callback: &Callback| {
                callback.begins(request)
                    && matches!(callback, Callback::Begin { json, .. } if json["server"]["id"] == id)
            };
            let Callback::Begin { id, json, .. } = rig.wait("begin", mine) else { unreachable!() };
            std::fs::write(json["file"].as_str().unwrap(), b"settings").unwrap();
            expect(rig.complete(id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
            rig.wait("backup", |callback| callback.is_of("backup", id));
        }
        let end = rig.wait("the end", |callback| callback.code() == "backup_run_ended");
        let Callback::Event { json, .. } = end else { unreachable!() };
        assert_eq!(json["details"], json!({ "daily": false, "ok": 2, "failed": 0 }));
        for server in rig.status()["servers"].as_array().expect("servers") {
            let last = &server["last_backup"];
            assert_eq!((&last["result"], &last["size"], &last["number"]), (&json!("ok"), &json!(8), &json!(2)));
            // By the host's clock where it drives.
            let utc: DateTime<Utc> = last["utc"].as_str().and_then(|utc| utc.parse().ok()).expect("a time");
            let expected = if drives { polled_at..=polled_at } else { begun_at..=SystemTime::now().into() };
            assert!(expected.contains(&utc), "{utc} is not in {expected:?}");
        }
        ok(rig.backup(0));
    }
}

// ---- all of it ----

#[test]
fn a_takeover_names_what_it_lacks_until_it_lacks_nothing() {
    for drives in [true, false] {
        let rig = Rig::running(drives, &["a"]);
        let a = rig.server("a");
        let refused = |code: abi::vmsf_result| {
            expect(rig.takeover(a).0, code, "takeover");
            assert_eq!(rig.last_error().0, name(code));
        };
        refused(abi::VMSF_ERR_NOT_IN_CLUSTER);
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        refused(abi::VMSF_ERR_NOT_AUTHORIZED);
        rig.authorized(a);
        refused(abi::VMSF_ERR_NO_BACKUP);
        rig.prepare();
        let Begun { json, secret, .. } = rig.asked(ok(rig.takeover(a)));
        let path = json["backup"]["path"].as_str().unwrap();
        assert_eq!(std::fs::read(path).unwrap(), b"settings");
        assert_eq!(json["backup"]["sha256"].as_str().unwrap().len(), 64);
        assert_eq!(secret, token_of(a));
    }
}

/// A running instance of a host that performs no more than these.
fn performing(drives: bool, operations: &[&str]) -> Rig {
    let (directory, probe) = (tempfile::tempdir().unwrap(), Probe::new());
    let mut document: Value = serde_json::from_str(&options(&directory, &config(&["a"]))).unwrap();
    document["operations"] = json!(operations);
    let p = create(&probe.table(drives), &document.to_string()).unwrap();
    let rig = Rig { p, probe, directory, drives };
    expect(rig.start(), abi::VMSF_OK, "start");
    rig
}

#[test]
fn what_a_host_does_not_perform_is_unsupported() {
    type Call = fn(&Rig) -> abi::vmsf_result;
    let calls: [(&str, Call); 4] = [
        ("'authorize'", |rig| rig.authorize(rig.server("a"), b"x").0),
        ("'backup'", |rig| rig.backup(rig.server("a")).0),
        ("'backup'", |rig| rig.backup(0).0),
        ("'join_cluster'", |rig| rig.join_cluster(r#"{"host":"management.example"}"#, b"").0),
    ];
    for drives in [true, false] {
        let rig = performing(drives, &["takeover", "restore"]);
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        for (operation, call) in calls {
            expect(call(&rig), abi::VMSF_ERR_UNSUPPORTED, operation);
            let (_, text) = rig.last_error();
            assert!(text.contains(operation), "{operation} is not in: {text}");
        }
        expect(rig.deauthorize(rig.server("a")).0, abi::VMSF_ERR_NOT_AUTHORIZED, "deauthorize");
    }
}

#[test]
fn a_host_that_does_not_revoke_tokens_is_not_asked_to() {
    for drives in [true, false] {
        let rig = performing(drives, &["takeover", "restore", "authorize"]);
        rig.authorized(rig.server("a"));
        let request = ok(rig.deauthorize(rig.server("a")));
        let event = rig.wait("deauthorized", |callback| callback.code() == "deauthorized");
        assert!(matches!(&event, Callback::Event { json, .. } if json["request"] == request), "{event:?}");
        assert_eq!(rig.status_of("a")["authorized"], false);
        assert_eq!(rig.probe.count(|callback| callback.begins(request)), 0);
    }
}
