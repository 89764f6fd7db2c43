//! Faults: all are found, each names its place, and none grows with the input.

use super::*;
use crate::config::MAX_FAULTS;

#[test]
fn what_is_no_object_is_one_fault_at_the_root() {
    for value in [json!(null), json!([]), json!("x"), json!(1)] {
        let fault = one(refuse(&value));
        assert_eq!((fault.pointer.as_str(), fault.allowed.as_str()), ("", "an object"));
        assert_eq!(fault.text, format!("the document: {value} is not an object"));
    }
}

#[test]
fn missing_required_keys_are_named() {
    let faults = refuse(&json!({
        "server_communication": {}, "client_communication": {}, "open_api": {}, "recordings_ini": {},
        "monitored_servers": [{}],
    }));
    assert_eq!(
        pointers(&faults),
        [
            "/schema",
            "/backup_directory",
            "/store_path",
            "/server_communication/address",
            "/client_communication/address",
            "/open_api/host",
            "/recordings_ini/section",
            "/monitored_servers/0/id",
            "/monitored_servers/0/host",
        ]
    );
    assert!(faults.iter().all(|fault| fault.value.is_empty() && fault.text.ends_with("is required and missing")));
}

#[test]
fn every_fault_of_a_document_is_reported() {
    let faults = refuse(&json!({
        "schema": 2, "backup_directory": "b", "store_path": 3, "daily_backup": 1, "backup_time_utc": "24:00",
        "timeouts": {"started_s": 1, "connected_s": 1}, "backups_kept": 0, "zzz": 1,
        "monitored_servers": [{"id": "a.", "host": "-", "port": 0}, 7],
    }));
    assert_eq!(
        pointers(&faults),
        [
            "/zzz",
            "/schema",
            "/backup_directory",
            "/store_path",
            "/daily_backup",
            "/backup_time_utc",
            "/timeouts/connected_s",
            "/timeouts/started_s",
            "/backups_kept",
            "/monitored_servers/0/id",
            "/monitored_servers/0/host",
            "/monitored_servers/0/port",
            "/monitored_servers/1",
        ]
    );
}

#[test]
fn a_wrong_type_names_the_type_expected() {
    for (key, value, text) in [
        ("daily_backup", json!("true"), "/daily_backup: \"true\" is not a boolean"),
        ("automatic_takeover", json!(0), "/automatic_takeover: 0 is not a boolean"),
        ("automatic_restore", json!(null), "/automatic_restore: null is not a boolean"),
        ("store_path", json!(1), "/store_path: 1 is not a string"),
        ("backup_time_utc", json!(200), "/backup_time_utc: 200 is not a string"),
        ("timeouts", json!([]), "/timeouts: [] is not an object"),
        ("open_api", json!(null), "/open_api: null is not an object"),
        ("monitored_servers", json!({}), "/monitored_servers: {} is not a list"),
        ("schema", json!(1.0), "/schema: 1.0 is not a schema of this version"),
    ] {
        assert_eq!(one(refuse(&with(json!({ key: value })))).text, text);
    }
}

#[test]
fn an_unknown_key_is_a_fault_and_a_near_miss_is_named() {
    for (document, pointer, hint) in [
        (json!({"store_pth": 1}), "/store_pth", "did you mean store_path?"),
        (json!({"timeouts": {"keep_alive": 30}}), "/timeouts/keep_alive", "did you mean keep_alive_s?"),
        (json!({"timeouts": {"sleep": 30}}), "/timeouts/sleep", "unknown key; one of connected_s, started_s,"),
        (json!({"a/b~c": {}}), "/a~1b~0c", "unknown key; one of schema,"),
        (json!({"": 1}), "/", "unknown key"),
    ] {
        let fault = one(refuse(&with(document)));
        assert_eq!(fault.pointer, pointer);
        assert!(fault.text.contains(hint), "{}", fault.text);
    }
}

#[test]
fn keys_of_a_later_version_are_said_to_be_that() {
    for key in
        ["backup_max_age_s", "probe_timeout_s", "mass_failure_share", "mass_failure_hold_s", "takeovers_per_hour"]
    {
        let fault = one(refuse(&with(json!({ key: 1 }))));
        assert_eq!(fault.text, format!("/{key}: this key is not supported by this version; leave it out"));
    }
}

#[test]
fn faults_are_listed_to_a_bound_and_then_counted() {
    let faults = refuse(&servers_of(json!(vec![0; 2_500])));
    assert_eq!(faults.len(), MAX_FAULTS + 1);
    assert_eq!(faults[MAX_FAULTS - 1].pointer, "/monitored_servers/999");
    assert_eq!(faults[MAX_FAULTS].text, "the document: 1500 more faults are not listed");
}

#[test]
fn a_fault_stays_small_whatever_the_key_and_value() {
    let key = "ä~".repeat(100_000);
    let mut deep = json!(0);
    for _ in 0..1_000 {
        deep = json!([deep]);
    }
    for value in [json!("ü".repeat(100_000)), json!(vec![1; 100_000]), deep] {
        let fault = one(refuse(&with(json!({ key.as_str(): value }))));
        assert_eq!(fault.value.chars().count(), 200);
        assert!(fault.value.ends_with('…'));
        assert!(fault.pointer.chars().count() <= 400 && fault.text.chars().count() < 2_000);
    }
    let value = format!("\"{}\"", "x".repeat(198));
    assert_eq!(one(refuse(&with(json!({ "zzz": "x".repeat(198) })))).value, value);
}
