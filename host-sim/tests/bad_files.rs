//! What is no scenario is refused with the file, the line, the place and what is expected there.

#[path = "support/program.rs"]
mod program;

use std::process::Command;

use host_sim::scenario::{Action, Call, Mishap, Scenario};
use program::host_sim;

const GOOD: &str = r#"{
  "name": "n",
  "prepared": true,
  "config": { "schema": 1, "monitored_servers": [ { "id": "a" } ] },
  "host": { "takeover_ms": 5 },
  "steps": [
    { "at_ms": 0, "do": "connected", "server": "a" },
    { "at_ms": 5, "do": "pause", "ms": 1 }
  ],
  "until_ms": 10,
  "expect": [
    { "kind": "alarm", "code": "x", "server": "a" }
  ]
}"#;

/// Any good file: without one the library is not needed.
const SCENARIO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/scenarios/keep_alive_timeout.json");

/// What to replace in the good document, with what, and the whole fault that must come of it.
const BAD: &[(&str, &str, &str)] = &[
    ("\"until_ms\": 10,", "\"until_ms\": 10", "f:11: not JSON: expected `,` or `}` at line 11 column 3"),
    ("\"name\": \"n\"", "\"name\": 5", "f:2: /name: expected a text, got 5"),
    ("\"name\": \"n\",", "", "f:1: `name` is missing; expected a text"),
    (
        "\"name\": \"n\"",
        "\"nam\": \"n\", \"name\": \"n\"",
        "f:2: /nam: unknown key; expected one of name, start_utc, config, prepared, host, steps, until_ms, expect",
    ),
    (
        "\"name\": \"n\"",
        "\"name\": \"n\", \"start_utc\": \"noon\"",
        "f:2: /start_utc: expected a UTC time such as 2026-01-01T00:00:00Z, got \"noon\"",
    ),
    (
        "\"takeover_ms\": 5",
        "\"takeover_ms\": -5",
        "f:5: /host/takeover_ms: expected a whole number from 0 to 315360000000, got -5",
    ),
    (
        "\"takeover_ms\": 5",
        "\"fail\": [{\"operation\": \"dance\", \"server\": \"a\"}]",
        "f:5: /host/fail/0/operation: expected an operation: takeover, restore, backup, authorize, deauthorize, join_cluster, got \"dance\"",
    ),
    (
        "\"takeover_ms\": 5",
        "\"never_answer\": [{\"operation\": \"takeover\", \"server\": \"a\", \"error\": \"x\"}]",
        "f:5: /host/never_answer/0/error: unknown key; expected one of operation, server, times",
    ),
    (
        "\"do\": \"connected\", \"server\": \"a\"",
        "\"do\": \"connected\", \"server\": \"z\"",
        "f:7: /steps/0/server: no server \"z\" in `config.monitored_servers`; expected one of a",
    ),
    (
        "\"do\": \"connected\"",
        "\"do\": \"conected\"",
        "f:7: /steps/0/do: expected one of connected, disconnected, startup, keep_alive, shutdown_normal, \
         shutdown_abnormal, takeover, restore, cancel, backup, authorize, deauthorize, backup_all, cluster_joined, \
         cluster_left, configure, pause, utc_jump, restart, crash, corrupt_backup, corrupt_state, got \"conected\"",
    ),
    ("\"at_ms\": 0, ", "", "f:7: /steps/0: expected either `at_ms`, or `from_ms`, `every_ms` and `until_ms`; got none"),
    (
        "\"at_ms\": 0, ",
        "\"from_ms\": 5, \"every_ms\": 0, \"until_ms\": 9, ",
        "f:7: /steps/0/every_ms: expected a whole number from 1 to 315360000000, got 0",
    ),
    (
        "\"at_ms\": 0, ",
        "\"from_ms\": 5, \"every_ms\": 1, \"until_ms\": 4, ",
        "f:7: /steps/0/until_ms: expected a whole number from 5 to 315360000000, got 4",
    ),
    ("\"ms\": 1 }", "\"ms\": 0 }", "f:8: /steps/1/ms: expected a whole number from 1 to 315360000000, got 0"),
    ("\"ms\": 1 }", "\"ms\": 1, \"lost\": 1 }", "f:8: /steps/1/lost: expected true or false, got 1"),
    (
        "\"ms\": 1 }",
        "\"ms\": 1, \"server\": \"a\" }",
        "f:8: /steps/1/server: unknown key; expected one of do, ms, lost, at_ms, from_ms, every_ms, until_ms",
    ),
    (
        "\"code\": \"x\"",
        "\"cod\": \"x\"",
        "f:12: /expect/0/cod: unknown key; expected one of at_ms, kind, code, server",
    ),
    (
        "\"kind\": \"alarm\"",
        "\"kind\": \"alarms\"",
        "f:12: /expect/0/kind: expected one of health, takeover, operation, completed, alarm, refused, backup, ready, got \"alarms\"",
    ),
    ("\"prepared\": true", "\"prepared\": 1", "f:3: /prepared: expected true or false, got 1"),
    (
        "\"takeover_ms\": 5",
        "\"fail\": [{\"operation\": \"join_cluster\", \"server\": \"a\"}]",
        "f:5: /host/fail/0/server: unknown key; expected one of operation, times, error",
    ),
    (
        "\"takeover_ms\": 5",
        "\"never_answer\": [{\"operation\": \"backup\"}]",
        "f:5: /host/never_answer/0: `server` is missing; expected a text",
    ),
    (
        "\"pause\", \"ms\": 1",
        "\"restart\", \"server\": \"a\"",
        "f:8: /steps/1/server: unknown key; expected one of do, at_ms, from_ms, every_ms, until_ms",
    ),
    ("\"pause\", \"ms\": 1", "\"corrupt_backup\"", "f:8: /steps/1: `server` is missing; expected a text"),
    ("\"pause\", \"ms\": 1", "\"authorize\"", "f:8: /steps/1: `server` is missing; expected a text"),
    (
        "\"pause\", \"ms\": 1",
        "\"backup_all\", \"server\": \"a\"",
        "f:8: /steps/1/server: unknown key; expected one of do, actor, at_ms, from_ms, every_ms, until_ms",
    ),
    ("\"pause\", \"ms\": 1", "\"cluster_left\", \"actor\": 1", "f:8: /steps/1/actor: expected a text, got 1"),
];

fn fault(text: &str) -> String {
    Scenario::parse("f", text).map(|_| String::new()).unwrap_or_else(|bad| bad.to_string())
}

#[test]
fn the_good_document_is_good() {
    assert_eq!(fault(GOOD), "");
}

#[test]
fn each_fault_is_told_with_file_line_pointer_and_what_is_expected() {
    for (good, bad, expected) in BAD {
        assert!(GOOD.contains(good), "{good}");
        assert_eq!(fault(&GOOD.replacen(good, bad, 1)), *expected, "{bad}");
    }
}

#[test]
fn all_faults_are_told_at_once_in_the_order_of_the_file() {
    let text =
        GOOD.replace("\"n\"", "7").replace("\"until_ms\": 10", "\"until_ms\": 1.5").replace("\"pause\"", "\"nap\"");
    let lines: Vec<String> = fault(&text).lines().map(|line| line[..4].to_owned()).collect();
    assert_eq!(lines, ["f:2:", "f:8:", "f:8:", "f:10"]);
}

#[test]
fn steps_for_which_the_library_has_nothing_yet_are_refused_by_name() {
    for (step, what) in [("maintenance", "maintenance"), ("drill", "drills")] {
        let text = GOOD.replace("\"pause\", \"ms\": 1", &format!("\"{step}\", \"server\": \"a\""));
        let expected = format!("f:8: /steps/1/do: step 2: `{step}`: this version of the library has no {what}");
        assert_eq!(fault(&text), expected);
    }
}

/// The good document with another second step.
fn with_step(step: &str) -> Scenario {
    let text = GOOD.replace("\"do\": \"pause\", \"ms\": 1", step);
    Scenario::parse("f", &text).unwrap_or_else(|bad| panic!("{bad}"))
}

#[test]
fn every_other_step_of_the_format_is_read() {
    let (server, alice) = (|| "a".to_owned(), || Some("alice".to_owned()));
    let expected = [
        ("\"backup\", \"server\": \"a\"", Action::Call(Call::Backup { server: server(), actor: None })),
        ("\"backup_all\", \"actor\": \"alice\"", Action::Call(Call::BackupAll { actor: alice() })),
        (
            "\"authorize\", \"server\": \"a\", \"actor\": \"alice\"",
            Action::Call(Call::Authorize { server: server(), actor: alice() }),
        ),
        ("\"deauthorize\", \"server\": \"a\"", Action::Call(Call::Deauthorize { server: server(), actor: None })),
        ("\"cluster_joined\"", Action::Call(Call::Cluster { joined: true, actor: None })),
        ("\"cluster_left\", \"actor\": \"alice\"", Action::Call(Call::Cluster { joined: false, actor: alice() })),
        ("\"restart\"", Action::Mishap(Mishap::Restart)),
        ("\"crash\"", Action::Mishap(Mishap::Crash)),
        ("\"corrupt_backup\", \"server\": \"a\"", Action::Mishap(Mishap::CorruptBackup { server: server() })),
        ("\"corrupt_state\"", Action::Mishap(Mishap::CorruptState)),
    ];
    for (step, action) in expected {
        let scenario = with_step(&format!("\"do\": {step}"));
        let several = matches!(&action, Action::Mishap(mishap) if mishap.ends_a_life());
        assert_eq!(scenario.has_several_lives(), several, "{step}");
        assert_eq!(scenario.steps[1].action, action, "{step}");
    }
}

#[test]
fn only_what_says_so_is_prepared() {
    let scenario = |text: &str| Scenario::parse("f", text).unwrap_or_else(|bad| panic!("{bad}"));
    assert!(scenario(GOOD).prepared);
    assert!(!scenario(&GOOD.replace("\"prepared\": true", "\"prepared\": false")).prepared);
    assert!(!scenario(&GOOD.replace("\"prepared\": true,", "")).prepared);
}

#[test]
fn servers_of_a_later_configuration_are_known() {
    let text = GOOD
        .replace("\"pause\", \"ms\": 1", "\"configure\", \"config\": {\"monitored_servers\": [{\"id\": \"late\"}]}");
    let text = text.replace("\"code\": \"x\", \"server\": \"a\"", "\"code\": \"x\", \"server\": \"late\"");
    assert_eq!(fault(&text), "");
}

#[test]
fn the_program_gives_exit_status_2_and_says_why_on_standard_error_alone() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("bad.json");
    let name = file.to_str().unwrap();
    for (text, expected) in [
        (GOOD.replace("\"pause\"", "\"drill\""), format!("{name}:8: /steps/1/do: step 2: `drill`: this version of")),
        (GOOD.replace("{ \"id\": \"a\" }", "{ \"id\": \"a\" "), format!("{name}:4: not JSON: ")),
    ] {
        std::fs::write(&file, text).unwrap();
        let (status, out, err) = host_sim(&["run", name]);
        assert_eq!((status, out.as_str()), (2, ""), "{err}");
        assert!(err.starts_with(&expected), "{err}");
    }
}

#[test]
fn a_file_that_cannot_be_read_and_a_bad_command_line_give_exit_status_2() {
    let (status, out, err) = host_sim(&["run", "no/such/file.json"]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.starts_with("no/such/file.json: cannot be read: "), "{err}");
    for arguments in [&["run"][..], &["runn"], &["run", "--explian", "x"], &["random", "--seed", "x"]] {
        assert_eq!(host_sim(arguments).0, 2, "{arguments:?}");
    }
}

#[test]
fn a_missing_library_names_what_was_looked_for() {
    let (status, out, err) = host_sim(&["run", SCENARIO, "--library", "no/such/library.so"]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("\n  no/such/library.so (--library)\n") && err.contains("host-sim 0.1.0, ABI 1.0"), "{err}");
}

/// In the folder of the library: the system's loader alone would look elsewhere.
#[test]
fn a_library_is_found_by_its_bare_name() {
    let library = host_sim::plugin::find(None).unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_host-sim"))
        .args(["run", SCENARIO, "--library"])
        .arg(library.file_name().unwrap())
        .current_dir(library.parent().unwrap())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_file_that_is_no_library_is_told() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("not-a-library.so");
    std::fs::write(&file, "not a library").unwrap();
    let (status, _, err) = host_sim(&["run", SCENARIO, "--library", file.to_str().unwrap()]);
    assert_eq!(status, 2);
    assert!(err.starts_with(&format!("cannot load {}: ", file.display())), "{err}");
    assert!(err.ends_with("\n  host:   host-sim 0.1.0, ABI 1.0\n  plugin: does not load\n"), "{err}");
}

/// Any other library of the system will do.
#[cfg(target_os = "linux")]
#[test]
fn a_library_that_is_no_plugin_is_told() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().filter_map(|line| line.split_whitespace().nth(5)).find(|path| path.contains("/libc."));
    let libc = libc.expect("this program is linked with a C library");
    let (status, _, err) = host_sim(&["run", SCENARIO, "--library", libc]);
    assert_eq!(status, 2);
    assert_eq!(
        err,
        format!(
            "not a plugin: no symbol vmsf_plugin_entry in {libc}\n  host:   host-sim 0.1.0, ABI 1.0\n  \
             plugin: says nothing of its ABI\n"
        )
    );
}

#[test]
fn help_shows_examples_and_exit_statuses() {
    let (status, out, _) = host_sim(&["run", "--help"]);
    assert_eq!(status, 0);
    assert!(out.contains("host-sim run --explain") && out.contains("Exit status:"), "{out}");
}
