//! Texts: paths, times, hosts, ids, lines of an INI file.

use super::*;
use crate::config::RecordingsIni;

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
