//! Every number: its default and bounds, written out again from the specification, on purpose.

use super::*;

const NUMBERS_OF_THE_SPEC: &[(&str, u64, u64, u64)] = &[
    ("/timeouts/connected_s", 300, 300, 3600),
    ("/timeouts/started_s", 300, 300, 3600),
    ("/timeouts/keep_alive_s", 30, 30, 300),
    ("/timeouts/normal_shutdown_s", 900, 300, 3600),
    ("/timeouts/abnormal_shutdown_s", 300, 300, 3600),
    ("/takeover_timeout_s", 600, 10, 3600),
    ("/restore_timeout_s", 600, 10, 3600),
    ("/backup_timeout_s", 600, 10, 3600),
    ("/drill_timeout_s", 600, 10, 3600),
    ("/operation_timeout_s", 60, 10, 3600),
    ("/restore_stable_s", 30, 0, 3600),
    ("/pause_tolerance_s", 2, 1, 60),
    ("/backups_kept", 7, 1, 1000),
    ("/server_communication/port", 51410, 1, 65535),
    ("/open_api/port", 443, 1, 65535),
    ("/monitored_servers/0/port", 51410, 1, 65535),
    ("/monitored_servers/0/http_port", 443, 1, 65535),
    ("/monitored_servers/0/priority", 100, 1, 1_000_000),
];

/// A document with `value` at a pointer such as `/timeouts/keep_alive_s`.
fn put(pointer: &str, value: Value) -> Value {
    let mut document = servers_of(json!([{"id": "a", "host": "h"}]));
    let mut place = &mut document;
    for key in pointer.split('/').skip(1) {
        place = match key.parse::<usize>() {
            Ok(index) => &mut place[index],
            Err(_) => &mut place[key],
        };
    }
    *place = value;
    // The objects that the pointer leads through need their required keys.
    for (object, key) in [("server_communication", "address"), ("open_api", "host")] {
        if let Some(Value::Object(object)) = document.get_mut(object) {
            object.entry(key).or_insert("h".into());
        }
    }
    document
}

#[test]
fn every_number_has_the_default_of_the_specification() {
    let config = serde_json::to_value(full()).expect("json");
    for (pointer, default, ..) in NUMBERS_OF_THE_SPEC {
        assert_eq!(config.pointer(pointer), Some(&json!(default)), "{pointer}");
    }
}

#[test]
fn every_number_is_accepted_at_both_bounds() {
    for (pointer, _, min, max) in NUMBERS_OF_THE_SPEC {
        for bound in [min, max] {
            let config = accept(&put(pointer, json!(bound)));
            let config = serde_json::to_value(config).expect("json");
            assert_eq!(config.pointer(pointer), Some(&json!(bound)), "{pointer}");
        }
    }
}

#[test]
fn every_number_is_refused_one_past_either_bound() {
    for (pointer, _, min, max) in NUMBERS_OF_THE_SPEC {
        let (min, max) = (*min as i64, *max as i64);
        for (number, problem) in
            [(min - 1, format!("is below the minimum of {min}")), (max + 1, format!("is above the maximum of {max}"))]
        {
            assert_eq!(
                one(refuse(&put(pointer, json!(number)))),
                Fault {
                    pointer: pointer.to_string(),
                    value: number.to_string(),
                    allowed: format!("an integer from {min} to {max}"),
                    text: format!("{pointer}: {number} {problem}"),
                }
            );
        }
    }
}

#[test]
fn the_sentence_of_the_specification() {
    let fault = one(refuse(&with(json!({"timeouts": {"keep_alive_s": 10}}))));
    assert_eq!(fault.text, "/timeouts/keep_alive_s: 10 is below the minimum of 30");
}

#[test]
fn a_number_is_a_json_integer() {
    for value in ["30.0", "\"30\"", "3e1", "null", "true", "[30]", "{}", "99999999999999999999", "-0"] {
        let value: Value = serde_json::from_str(value).expect("json");
        let fault = one(refuse(&with(json!({"restore_stable_s": value}))));
        assert_eq!(fault.pointer, "/restore_stable_s");
        assert!(fault.text.ends_with(" is not an integer"), "{}", fault.text);
    }
}

#[test]
fn the_largest_integers_are_out_of_bounds_not_out_of_mind() {
    for (number, side) in
        [(json!(u64::MAX), "above"), (json!(i64::MIN), "below"), (json!(u64::from(u32::MAX) + 31), "above")]
    {
        let fault = one(refuse(&with(json!({"restore_stable_s": number}))));
        assert!(fault.text.contains(side), "{}", fault.text);
    }
}
