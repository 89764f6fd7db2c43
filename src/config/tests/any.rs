//! Any input: no panic, and the laws that hold for all.

use std::net::IpAddr;

use proptest::prelude::*;

use super::*;
use crate::config::document;
use crate::config::keys::{EDIT_KEYS, KEYS, SERVER_KEYS, UNSUPPORTED, keys_of};

fn any_json() -> impl Strategy<Value = Value> {
    let key = prop_oneof![
        4 => prop::sample::select([KEYS, SERVER_KEYS, EDIT_KEYS, UNSUPPORTED, keys_of("timeouts"), keys_of("recordings_ini")].concat())
            .prop_map(str::to_owned),
        1 => any::<String>(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        (0..4_000_u32).prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec![BACKUPS, STORE, "a", "b", "con", "10.0.0.1", "02:00"]).prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 48, 8, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            prop::collection::btree_map(key.clone(), inner, 0..8)
                .prop_map(|map| Value::Object(map.into_iter().collect())),
        ]
    })
}

fn any_good() -> impl Strategy<Value = Value> {
    let server = ("[A-Za-z0-9_-]{1,20}", "[^\\p{Cc}]{1,20}", any::<[u8; 4]>(), 1..=u16::MAX, 1..=1_000_000_u32);
    let servers = prop::collection::vec(server, 0..20);
    (servers, 30..=300_u32, any::<[bool; 3]>(), 0..24_u8, 0..60_u8, "[^\\p{Cc}]{0,9}").prop_map(
        |(servers, keep_alive_s, flags, hour, minute, separator)| {
            let servers: Vec<Value> = servers
                .into_iter()
                .enumerate()
                .map(|(index, (id, name, ip, port, priority))| {
                    let host = IpAddr::from(ip).to_string();
                    // The index keeps ids and addresses apart.
                    json!({"id": format!("{index}-{id}"), "name": name, "host": format!("h{index}-{host}"), "port": port, "priority": priority})
                })
                .collect();
            with(json!({
                "timeouts": {"keep_alive_s": keep_alive_s},
                "daily_backup": flags[0], "automatic_takeover": flags[1], "automatic_restore": flags[2],
                "backup_time_utc": format!("{hour:02}:{minute:02}"),
                "recordings_ini": {"section": "s", "separator": separator},
                "monitored_servers": servers,
            }))
        },
    )
}

proptest! {
    #[test]
    fn no_document_or_edit_panics(value in any_json()) {
        let _ = Config::check(&value);
        let _ = full().edited(&value);
        if value.is_object() {
            let _ = Config::check(&with(value.clone()));
            let _ = full().edited(&json!({"set": value, "change": [value], "add": [value]}));
        }
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = Config::parse(&bytes);
    }

    #[test]
    fn reading_builds_what_serde_json_builds(value in any_json()) {
        let text = value.to_string();
        prop_assert_eq!(document(text.as_bytes()).expect("no doubled key"), serde_json::from_str::<Value>(&text).expect("json"));
    }

    #[test]
    fn every_accepted_document_round_trips(value in any_good()) {
        let config = Config::check(&value).expect("accepted");
        prop_assert_eq!(Config::parse(config.to_json().as_bytes()), Ok(config));
    }

    #[test]
    fn every_fault_is_whole_and_bounded(value in any_json()) {
        for fault in Config::check(&value).err().into_iter().flatten() {
            prop_assert!(fault.value.chars().count() <= 200 && !fault.allowed.is_empty());
            prop_assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'));
            let place = if fault.pointer.is_empty() { "the document" } else { &fault.pointer };
            prop_assert!(fault.text.starts_with(place));
        }
    }
}
