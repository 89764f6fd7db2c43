//! The list of monitored servers: what must be unique in it, and how long it may be.

use super::*;

#[test]
fn an_id_is_unique_without_regard_to_case() {
    let fault = one(refuse(&servers_of(json!([
        {"id": "x", "host": "h0"}, {"id": "Cam", "host": "h1"}, {"id": "cAM", "host": "h2"},
    ]))));
    assert_eq!(
        fault.text,
        "/monitored_servers/2/id: \"cAM\" is the same as /monitored_servers/1/id, without regard to case"
    );
}

#[test]
fn an_address_is_watched_once() {
    for (first, second) in [("a.example", "A.Example"), ("::1", "0:0::0:1"), ("10.0.0.1", "::ffff:10.0.0.1")] {
        let fault =
            one(refuse(&servers_of(json!([{"id": "a", "host": first}, {"id": "b", "host": second, "port": 51410}]))));
        assert_eq!(fault.pointer, "/monitored_servers/1/host");
        assert!(fault.text.ends_with("the same as /monitored_servers/0/host"), "{}", fault.text);
    }
    accept(&servers_of(json!([{"id": "a", "host": "h"}, {"id": "b", "host": "h", "port": 51411}])));
}

#[test]
fn a_name_is_the_id_unless_given() {
    let config = full();
    assert_eq!(config.monitored_servers[0].name, "a");
    assert_eq!(config.monitored_servers[1].name, "Büro \"2\"");
    for name in [json!(""), json!("a\u{7f}"), json!("x".repeat(257)), json!(null)] {
        let fault = one(refuse(&servers_of(json!([{"id": "a", "host": "h", "name": name}]))));
        assert_eq!(fault.pointer, "/monitored_servers/0/name");
    }
}

#[test]
fn more_servers_than_allowed_are_one_fault() {
    let fault = one(refuse(&servers_of(json!(vec![Value::Null; 1_000_001]))));
    assert_eq!(fault.text, "/monitored_servers: 1000001 servers are more than the maximum of 1000000");
}
