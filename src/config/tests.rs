//! What a document must be. The numbers are written out again here, from the specification, on purpose.

use proptest::prelude::*;
use serde_json::json;

use super::*;

const BACKUPS: &str = if cfg!(windows) { "C:\\vms\\backups" } else { "/vms/backups" };
const STORE: &str = if cfg!(windows) { "C:\\vms\\store" } else { "/vms/store" };

/// The smallest document, with more keys put in.
fn with(more: Value) -> Value {
    let mut document = json!({"schema": 1, "backup_directory": BACKUPS, "store_path": STORE});
    let (Value::Object(all), Value::Object(more)) = (&mut document, more) else { panic!("not objects") };
    all.extend(more);
    document
}

fn servers_of(list: Value) -> Value {
    with(json!({"monitored_servers": list}))
}

/// A document in which every optional part is there.
fn full() -> Config {
    accept(&with(json!({
        "server_communication": {"address": "10.0.0.9"},
        "client_communication": {"address": "fe80::1"},
        "open_api": {"host": "front.example"},
        "recordings_ini": {"section": "Fail over"},
        "monitored_servers": [
            {"id": "a", "host": "10.0.0.1"},
            {"id": "b", "name": "Büro \"2\"", "host": "b.example", "port": 1, "http_port": 65535, "priority": 1},
            {"id": "c", "host": "10.0.0.3"},
        ],
    })))
}

#[track_caller]
fn accept(document: &Value) -> Config {
    Config::check(document).unwrap_or_else(|faults| panic!("{faults:#?}"))
}

#[track_caller]
fn refuse(document: &Value) -> Vec<Fault> {
    Config::check(document).expect_err("accepted")
}

#[track_caller]
fn one(faults: Vec<Fault>) -> Fault {
    assert_eq!(faults.len(), 1, "{faults:#?}");
    faults.into_iter().next().expect("one")
}

fn pointers(faults: &[Fault]) -> Vec<&str> {
    faults.iter().map(|fault| fault.pointer.as_str()).collect()
}

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

// ---- numbers ----

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

// ---- the document ----

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

// ---- texts ----

#[test]
fn a_path_is_absolute_and_plain() {
    let long = format!("{STORE}/{}", "x".repeat(4096 - STORE.len()));
    for (path, problem) in [
        ("", "is not an absolute path"),
        ("vms/store", "is not an absolute path"),
        (&format!("{STORE}/../x"), "has a component \"..\""),
        (&format!("{STORE}\0"), "has a control character"),
        (&format!("{STORE}\n"), "has a control character"),
        (&long, "is longer than 4096 bytes"),
    ] {
        let fault = one(refuse(&with(json!({"store_path": path}))));
        assert_eq!(fault.pointer, "/store_path");
        assert!(fault.text.ends_with(problem), "{}", fault.text);
    }
    for path in [&long[..4096], &format!("{STORE}/a..b/.../Größe")] {
        accept(&with(json!({"store_path": path})));
    }
}

#[test]
fn neither_folder_may_lie_in_the_other() {
    for (backups, store) in
        [("/v", "/v"), ("/v", "/v/"), ("/v/b", "/v"), ("/v", "/v/s"), ("/v/./b", "/v//b/s"), ("/", "/v")]
    {
        let root = if cfg!(windows) { "C:" } else { "" };
        let (backups, store) = (format!("{root}{backups}"), format!("{root}{store}"));
        let fault = one(refuse(&with(json!({"backup_directory": backups, "store_path": store}))));
        assert_eq!(fault.pointer, "/store_path", "{backups} {store}");
    }
    accept(&with(json!({"backup_directory": format!("{STORE}s")})));
}

#[test]
fn a_time_of_day_has_four_digits() {
    for time in ["00:00", "23:59", "19:07", "09:30"] {
        assert_eq!(accept(&with(json!({"backup_time_utc": time}))).backup_time_utc, time);
    }
    for time in ["", "24:00", "23:60", "2:00", "02:0", "02.00", "02:00:00", " 02:00", "+2:00", "0２:00", "30:00"] {
        assert_eq!(one(refuse(&with(json!({"backup_time_utc": time})))).pointer, "/backup_time_utc", "{time}");
    }
}

#[test]
fn a_host_is_an_ip_address_or_a_dns_name() {
    let label = "l".repeat(63);
    let longest = format!("{label}.{label}.{label}.{}", "l".repeat(61));
    for host in ["10.0.0.1", "::1", "fe80::1", "::ffff:10.0.0.1", "a", "A-1_b.example", "1a", "1.a", "a.1", &longest] {
        accept(&with(json!({"open_api": {"host": host}})));
    }
    for host in [
        "",
        ".",
        "a.",
        ".a",
        "a..b",
        "-a",
        "a-",
        "a b",
        "a/b",
        "[::1]",
        "::1%eth0",
        "10.0.0.1:80",
        "ä",
        "a\0",
        "10.0.0.256",
        "10.0.1",
        "7",
        "http://a",
        &format!("{longest}l"),
        &format!("{label}l"),
    ] {
        assert_eq!(one(refuse(&with(json!({"open_api": {"host": host}})))).pointer, "/open_api/host", "{host:?}");
    }
}

#[test]
fn an_id_names_a_folder_everywhere() {
    for id in ["a", "A-1_b.c", ".hidden", "con1", "com", "com10", "xcon.txt", "COMA", &"x".repeat(64)] {
        let config = accept(&servers_of(json!([{"id": id, "host": "h"}])));
        assert_eq!(config.monitored_servers[0].id, id);
    }
    for id in [
        "",
        ".",
        "..",
        "a.",
        "a b",
        "a/b",
        "a\\b",
        "ä",
        "a:b",
        "con",
        "Prn",
        "AUX",
        "nul.backup",
        "COM0",
        "com9.a.b",
        "lPt1",
        &"x".repeat(65),
    ] {
        let fault = one(refuse(&servers_of(json!([{"id": id, "host": "h"}]))));
        assert_eq!(fault.pointer, "/monitored_servers/0/id", "{id:?}");
    }
}

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
fn recordings_ini_is_one_line_of_an_ini_file() {
    let config = accept(&with(json!({"recordings_ini": {"section": "S"}})));
    let ini = RecordingsIni { section: "S".into(), key: "Value".into(), separator: String::new() };
    assert_eq!(config.recordings_ini, Some(ini));
    for (key, value) in [
        ("section", ""),
        ("section", "a]b"),
        ("section", "a\nb"),
        ("section", " a"),
        ("key", ""),
        ("key", "a=b"),
        ("key", "#a"),
        ("key", &"x".repeat(257)),
        ("separator", "\t"),
        ("separator", &"x".repeat(257)),
    ] {
        let mut ini = json!({"section": "S"});
        ini[key] = json!(value);
        let fault = one(refuse(&with(json!({"recordings_ini": ini}))));
        assert_eq!(fault.pointer, format!("/recordings_ini/{key}"), "{value:?}");
    }
}

// ---- size ----

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

#[test]
fn more_servers_than_allowed_are_one_fault() {
    let fault = one(refuse(&servers_of(json!(vec![Value::Null; 1_000_001]))));
    assert_eq!(fault.text, "/monitored_servers: 1000001 servers are more than the maximum of 1000000");
}

#[test]
fn a_text_with_too_many_values_is_refused_while_reading() {
    let mut text = "[0".to_owned();
    text.push_str(&",0".repeat(MAX_VALUES));
    text.push(']');
    let Err(ParseError::Json(error)) = Config::parse(text.as_bytes()) else { panic!("read") };
    assert!(error.starts_with("more than 10000000 values"), "{error}");
}

// ---- JSON ----

#[test]
fn a_text_that_is_not_json_gives_line_and_column() {
    for text in ["", "{", "{\"a\":1,}", "{} {}", "{\"a\":1e999}", "\u{feff}{}", &"[".repeat(1_000)] {
        let Err(ParseError::Json(error)) = Config::parse(text.as_bytes()) else { panic!("read {text}") };
        assert!(error.contains(" at line ") && error.contains(" column "), "{error}");
    }
    assert!(matches!(Config::parse(b"{\"\xff\":1}"), Err(ParseError::Json(_))));
}

#[test]
fn a_doubled_key_is_a_fault() {
    let text = format!(
        r#"{{"schema":1,"backup_directory":{},"store_path":{},"monitored_servers":[{{"id":"a","host":"h","id":"b"}}]}}"#,
        json!(BACKUPS),
        json!(STORE)
    );
    let Err(ParseError::Faults(faults)) = Config::parse(text.as_bytes()) else { panic!("accepted") };
    let fault = one(faults);
    assert_eq!((fault.pointer.as_str(), fault.value.as_str()), ("/monitored_servers/0/id", "\"b\""));
    assert!(fault.text.ends_with("this key is there more than once"), "{}", fault.text);
}

#[test]
fn an_edit_text_may_not_double_a_key_either() {
    assert_eq!(document(b"{\"set\":{}}"), Ok(json!({"set": {}})));
    let Err(ParseError::Faults(faults)) = document(b"{\"set\":{},\"set\":{}}") else { panic!("accepted") };
    assert_eq!(one(faults).pointer, "/set");
}

// ---- edits ----

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

// ---- any input ----

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
