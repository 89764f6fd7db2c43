//! `host-sim check --host` as from a shell: exit statuses, words, JSON. Which rule is broken by what is shown in `tests/trace.rs` by real hosts.

#[path = "support/program.rs"]
mod program;

use std::fs;

use program::host_sim;
use serde_json::Value;

const CREATED: &str = r#"{"trace":1,"process":7,"at_ns":1}
{"call":"create","n":1,"thread":1,"begin_ns":2,"end_ns":3,"result":"VMSF_OK","plugin":"5a"}
"#;
const DESTROYED: &str = r#"{"call":"destroy","n":2,"plugin":"5a","thread":1,"begin_ns":4,"end_ns":5,"result":"VMSF_OK"}
{"end":"no instance is left","at_ns":6}
"#;
const AFTER: &str = r#"{"call":"now_ns","n":3,"plugin":"5a","thread":2,"begin_ns":7,"end_ns":8,"result":"VMSF_ERR_HANDLE"}
"#;

/// Exit status and both outputs for a trace.
fn check(trace: &str, more: &[&str]) -> (i32, String, String) {
    let root = tempfile::tempdir().unwrap();
    let file = root.path().join("trace.jsonl");
    fs::write(&file, trace).unwrap();
    host_sim(&[&["check", "--host", file.to_str().unwrap()], more].concat())
}

#[test]
fn the_exit_status_tells_good_advised_broken_and_unreadable_apart() {
    let cases = [
        ([CREATED, DESTROYED].concat(), 0, "0 broken, 0 advised"),
        (CREATED.into(), 0, "0 broken, 1 advised"),
        ([CREATED, DESTROYED, AFTER].concat(), 1, "1 broken, 0 advised"),
    ];
    for (trace, expected, words) in cases {
        let (status, shown, errors) = check(&trace, &[]);
        assert!(status == expected && shown.contains(words) && errors.is_empty(), "{status}: {shown}{errors}");
    }
    let (status, shown, errors) = check(&[CREATED, "no line\n", DESTROYED].concat(), &[]);
    assert!(status == 2 && shown.is_empty() && errors.contains("trace.jsonl:3: no line of a trace"), "{errors}");
    let (status, _, errors) = host_sim(&["check", "--host", "/none/trace.jsonl"]);
    assert!(status == 2 && errors.contains("/none/trace.jsonl: cannot be read"), "{errors}");
}

#[test]
fn a_broken_rule_is_told_with_its_line_and_its_reason() {
    let (_, shown, _) = check(&[CREATED, DESTROYED, AFTER].concat(), &[]);
    assert!(shown.starts_with("MUST   call-after-destroy\n       line 5: `now_ns` on thread 2"), "{shown}");
    let paragraph = shown.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(paragraph.contains("end or join those threads before destroy"), "{shown}");
}

#[test]
fn the_json_holds_what_the_words_say() {
    let (status, shown, _) = check(&[CREATED, DESTROYED, AFTER].concat(), &["--json"]);
    let report: Value = serde_json::from_str(&shown).unwrap();
    let rule = &report["broken"][0];
    assert_eq!((status, &report["ok"], &report["calls"]), (1, &false.into(), &3.into()));
    assert_eq!((&rule["rule"], &rule["level"]), (&"call-after-destroy".into(), &"MUST".into()));
    assert_eq!((&rule["times"], &rule["places"][0]["line"]), (&1.into(), &5.into()));
    assert!(rule["why"].as_str().is_some_and(|why| why.contains("stale")));
}

#[test]
fn a_host_that_was_killed_on_purpose_need_not_have_ended() {
    assert!(check(CREATED, &[]).1.contains("not-destroyed"));
    let (status, shown, _) = check(CREATED, &["--killed"]);
    assert!(status == 0 && shown.contains("0 broken, 0 advised"), "{shown}");
}
