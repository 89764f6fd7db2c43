//! The document as a whole: defaults, and that what is written is what is read.

use super::*;
use crate::config::Timeouts;
use crate::config::keys::{KEYS, OBJECTS, SERVER_KEYS};

#[test]
fn the_smallest_document_has_every_default() {
    let config = accept(&with(json!({})));
    assert_eq!((config.daily_backup, config.automatic_takeover, config.automatic_restore), (true, true, false));
    assert_eq!(config.backup_time_utc, "02:00");
    assert_eq!(config.timeouts, Timeouts::default());
    assert_eq!((config.server_communication, config.client_communication), (None, None));
    assert_eq!((config.open_api, config.recordings_ini), (None, None));
    assert_eq!(config.monitored_servers, []);
}

#[test]
fn to_json_writes_the_keys_that_the_checker_knows() {
    let config = serde_json::to_value(full()).expect("json");
    let sorted = |keys: &[&str]| {
        let mut keys: Vec<String> = keys.iter().map(|key| key.to_string()).collect();
        keys.sort();
        keys
    };
    let keys = |value: &Value| value.as_object().expect("object").keys().cloned().collect::<Vec<_>>();
    assert_eq!(keys(&config), sorted(KEYS));
    assert_eq!(keys(&config["monitored_servers"][0]), sorted(SERVER_KEYS));
    for (object, known) in OBJECTS {
        assert_eq!(keys(&config[object]), sorted(known), "{object}");
    }
}

#[test]
fn to_json_comes_back_equal() {
    assert_eq!(Config::parse(full().to_json().as_bytes()), Ok(full()));
}
