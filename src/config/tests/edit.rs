//! Edits: what they change, and which are refused.

use super::*;
use crate::config::OpenApi;

#[track_caller]
fn edit(edit: Value) -> Config {
    full().edited(&edit).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

#[track_caller]
fn refuse_edit(edit: Value) -> Vec<Fault> {
    full().edited(&edit).expect_err("accepted")
}

#[test]
fn an_empty_edit_changes_nothing() {
    assert_eq!(edit(json!({})), full());
    assert_eq!(edit(json!({"set": {}, "add": [], "change": [], "remove": []})), full());
}

#[test]
fn set_merges_objects_and_leaves_their_other_keys() {
    let config =
        edit(json!({"set": {"timeouts": {"keep_alive_s": 60}, "open_api": {"port": 8443}, "daily_backup": false}}));
    let mut expected = full();
    expected.timeouts.keep_alive_s = 60;
    expected.open_api = Some(OpenApi { host: "front.example".into(), port: 8443 });
    expected.daily_backup = false;
    assert_eq!(config, expected);
}

#[test]
fn set_makes_an_object_that_was_absent() {
    let config = accept(&with(json!({}))).edited(&json!({"set": {"open_api": {"host": "h", "port": null}}}));
    assert_eq!(config.expect("accepted").open_api, Some(OpenApi { host: "h".into(), port: 443 }));
}

#[test]
fn null_takes_a_key_back_to_its_default() {
    let changed = edit(json!({
        "set": {"backups_kept": 9, "timeouts": {"keep_alive_s": 60, "started_s": 900}, "recordings_ini": {"key": "K"}},
        "change": [{"id": "b", "priority": 7}],
    }));
    let back = changed.edited(&json!({
        "set": {"backups_kept": null, "timeouts": {"keep_alive_s": null}, "recordings_ini": {"key": null}, "open_api": null},
        "change": [{"id": "b", "priority": null, "name": null}],
    }));
    let mut expected = full();
    expected.timeouts.started_s = 900;
    expected.open_api = None;
    expected.monitored_servers[1].priority = 100;
    expected.monitored_servers[1].name = "b".into();
    assert_eq!(back, Ok(expected));
}

#[test]
fn servers_are_removed_changed_and_added() {
    let config = edit(json!({
        "add": [{"id": "d", "host": "10.0.0.1"}],
        "change": [{"id": "c", "host": "c.example", "name": "C"}],
        "remove": ["a"],
    }));
    let found: Vec<_> = config.monitored_servers.iter().map(|s| (&*s.id, &*s.name, &*s.host, s.port)).collect();
    assert_eq!(
        found,
        [("b", "Büro \"2\"", "b.example", 1), ("c", "C", "c.example", 51410), ("d", "d", "10.0.0.1", 51410)]
    );
}

#[test]
fn an_edit_that_cannot_be_applied_points_into_itself() {
    for (edit, expected) in [
        (json!([]), vec![""]),
        (json!({"sets": {}}), vec!["/sets"]),
        (json!({"set": [], "add": {}, "change": 1, "remove": "a"}), vec!["/set", "/remove", "/change", "/add"]),
        (json!({"set": {"schema": 1, "monitored_servers": []}}), vec!["/set/monitored_servers", "/set/schema"]),
        (json!({"set": {"bogus": null}}), vec!["/set/bogus"]),
        (json!({"set": {"probe_timeout_s": 5}}), vec!["/set/probe_timeout_s"]),
        (
            json!({"remove": ["x", "A", 7], "change": [{"id": "y"}]}),
            vec!["/remove/2", "/remove/0", "/remove/1", "/change/0/id"],
        ),
        (json!({"change": [{"id": "a"}, {"id": "a"}]}), vec!["/change/1/id"]),
        (json!({"change": [{}, 1, {"id": null}]}), vec!["/change/0/id", "/change/1", "/change/2/id"]),
        (json!({"remove": ["a", "a"], "change": [{"id": "a"}]}), vec!["/remove/1", "/change/0/id"]),
        (json!({"remove": ["a"], "add": [{"id": "a", "host": "h"}]}), vec!["/add/0/id"]),
        (json!({"add": [{"id": "n", "host": "h"}, {"id": "n", "host": "i"}]}), vec!["/add/1/id"]),
    ] {
        assert_eq!(pointers(&refuse_edit(edit.clone())), expected, "{edit}");
    }
}

#[test]
fn the_result_of_an_edit_is_checked_as_a_whole() {
    for (edit, expected) in [
        (json!({"set": {"store_path": BACKUPS}}), vec!["/store_path"]),
        (json!({"set": {"store_path": null}}), vec!["/store_path"]),
        (
            json!({"set": {"timeouts": {"keep_alive_s": 1, "bogus": null}}}),
            vec!["/timeouts/bogus", "/timeouts/keep_alive_s"],
        ),
        (json!({"set": {"timeouts": 3}}), vec!["/timeouts"]),
        (json!({"set": {"daily_backup": {"a": 1}}}), vec!["/daily_backup"]),
        (json!({"add": [{"id": "A", "host": "h"}]}), vec!["/monitored_servers/3/id"]),
        (
            json!({"remove": ["a"], "add": [7, {}]}),
            vec!["/monitored_servers/2", "/monitored_servers/3/id", "/monitored_servers/3/host"],
        ),
        (
            json!({"change": [{"id": "c", "host": "10.0.0.1", "x": null}]}),
            vec!["/monitored_servers/2/x", "/monitored_servers/2/host"],
        ),
        (json!({"change": [{"id": "c", "host": null}]}), vec!["/monitored_servers/2/host"]),
    ] {
        assert_eq!(pointers(&refuse_edit(edit.clone())), expected, "{edit}");
    }
}

#[test]
fn a_huge_id_in_an_edit_makes_no_huge_fault() {
    let id = "x".repeat(1_000_000);
    for fault in refuse_edit(json!({"remove": [id, id], "change": [{"id": id}]})) {
        assert!(fault.text.chars().count() < 2_000);
    }
}
