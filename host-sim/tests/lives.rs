//! Lives in processes of their own: the same trace as in one process, and nothing left of them.

#[path = "../../tests/support/polite.rs"]
mod polite;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use host_sim::commands::trace_of;
use host_sim::lives::Lives;
use host_sim::plugin::Plugin;
use host_sim::run::run;
use host_sim::scenario::Scenario;
use host_sim::trace::to_json_lines;
use polite::plugin;
use serde_json::{Value, json};

const PROGRAM: &str = env!("CARGO_BIN_EXE_host-sim");
/// Longer stories take long in two processes, and show nothing more.
const SHORT_MS: u64 = 700_000;

fn scenario(document: &Value) -> Scenario {
    Scenario::parse("test", &document.to_string()).unwrap_or_else(|bad| panic!("{bad}"))
}

/// Not prepared, without takeovers: what health says of crashes and restarts.
fn watched(steps: Value) -> Value {
    json!({
        "name": "test", "until_ms": 60_000, "steps": steps,
        "config": {
            "schema": 1, "backup_directory": "backups", "store_path": "store", "automatic_takeover": false,
            "monitored_servers": [{"id": "a", "name": "A", "host": "10.0.0.1"}],
        },
    })
}

/// Driven in a host process, whether or not it has more than one life.
fn in_a_process(plugin: &Plugin, scenario: &Scenario) -> String {
    let mut lives = Lives::begin(Path::new(PROGRAM), plugin, scenario).unwrap_or_else(|e| panic!("{e}"));
    let trace = run(scenario, &mut lives).unwrap_or_else(|e| panic!("'{}': {e}", scenario.name));
    lives.end().unwrap_or_else(|e| panic!("'{}': {e}", scenario.name));
    to_json_lines(&trace)
}

#[test]
fn one_life_in_a_process_of_its_own_gives_the_same_bytes() {
    let plugin = plugin();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut compared = 0;
    for file in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        let scenario = Scenario::parse("file", &fs::read_to_string(&file).unwrap()).unwrap();
        if scenario.has_several_lives() || scenario.until_ms > SHORT_MS {
            continue;
        }
        let here = trace_of(&plugin, &scenario).unwrap_or_else(|e| panic!("{}: {}", file.display(), e.text));
        assert_eq!(in_a_process(&plugin, &scenario), to_json_lines(&here), "{}", file.display());
        compared += 1;
    }
    assert!(compared >= 40, "{compared}");
}

/// The state directory is locked by whoever lives, so each has to be gone before the next begins.
#[test]
fn a_hundred_lives_come_and_go_and_each_knows_what_the_one_before_knew() {
    let steps = json!([
        {"at_ms": 0, "do": "keep_alive", "server": "a"},
        {"from_ms": 100, "every_ms": 200, "until_ms": 10_000, "do": "crash"},
        {"from_ms": 200, "every_ms": 200, "until_ms": 10_000, "do": "restart"},
        {"at_ms": 10_000, "do": "keep_alive", "server": "a"},
    ]);
    let trace = trace_of(&plugin(), &scenario(&watched(steps))).unwrap_or_else(|e| panic!("{}", e.text));
    let alive =
        |at_ms| format!(r#"{{"at_ms":{at_ms},"kind":"health","server":"a","from":"unknown","to":"keep_alive"}}"#);
    let failed = r#"{"at_ms":40000,"kind":"health","server":"a","from":"keep_alive","to":"failed","reason":"keep_alive_timeout"}"#;
    let required = r#"{"at_ms":40000,"kind":"alarm","code":"takeover_required","server":"a"}"#;
    assert_eq!(to_json_lines(&trace), format!("{}\n{}\n{failed}\n{required}\n", alive(0), alive(10_000)));
}

#[test]
fn damage_to_the_newest_state_is_found_by_the_next_life_however_it_begins() {
    for life in ["crash", "restart"] {
        let steps = json!([
            {"at_ms": 0, "do": "keep_alive", "server": "a"},
            {"at_ms": 1000, "do": "corrupt_state"},
            {"at_ms": 5000, "do": life},
            {"at_ms": 6000, "do": life},
        ]);
        let trace = trace_of(&plugin(), &scenario(&watched(steps))).unwrap_or_else(|e| panic!("{}", e.text));
        let trace = to_json_lines(&trace);
        assert_eq!(trace.matches(r#"{"at_ms":5000,"kind":"alarm","code":"state_damaged"}"#).count(), 1, "{trace}");
        assert_eq!(trace.matches("state_damaged").count(), 1, "{life}: {trace}");
    }
}

fn file(folder: &Path, document: &Value) -> PathBuf {
    let file = folder.join("scenario.json");
    fs::write(&file, document.to_string()).unwrap();
    file
}

/// The program on a scenario file, with `temp` for its temporary files.
fn program(file: &Path, temp: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    command.arg("run").arg(file).env("TMPDIR", temp).env("TMP", temp).output().unwrap()
}

#[test]
fn nothing_is_left_of_the_lives() {
    let (folder, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let steps = json!([{"at_ms": 1000, "do": "crash"}, {"at_ms": 2000, "do": "restart"}]);
    let output = program(&file(folder.path(), &watched(steps)), temp.path());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_configuration_that_the_plugin_refuses_gives_exit_status_2_here_too() {
    let (folder, temp) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let mut document = watched(json!([{"at_ms": 1000, "do": "crash"}]));
    document["config"]["timeouts"] = json!({"keep_alive_s": 10});
    let output = program(&file(folder.path(), &document), temp.path());
    let err = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("/config: the plugin refuses it: ") && err.contains("keep_alive_s"), "{err}");
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

/// What one host process says to these lines, until it has ended by itself.
fn host_process(lines: &str) -> (Output, Vec<Value>) {
    let mut command = Command::new(PROGRAM);
    command.arg("scenario-host").arg("--library").arg(plugin().path());
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(lines.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    let replies = String::from_utf8(output.stdout.clone()).unwrap();
    (output, replies.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn a_host_process_ends_with_whoever_started_it() {
    let (output, replies) = host_process("");
    assert!(output.status.success() && replies.is_empty(), "{replies:?}");
}

#[test]
fn a_host_process_says_what_it_does_not_understand() {
    let (output, replies) =
        host_process("{\"do\":\"dance\"}\n{\"do\":\"poll\",\"now_ns\":1,\"utc_ms\":0}\n{\"do\":\"end\"}\n");
    assert!(output.status.success());
    let texts: Vec<&str> = replies.iter().filter_map(|reply| reply["text"].as_str()).collect();
    assert_eq!(texts.len(), 3, "{replies:?}");
    assert!(texts[0].contains("dance") && texts[1].contains("no life") && texts[2].contains("no life"), "{texts:?}");
}

#[test]
fn a_host_process_of_another_build_says_so() {
    let birth = json!({"folder": "/nowhere", "story": "s", "config": null});
    let (_, replies) =
        host_process(&format!("{}\n", json!({"do": "begin", "build": 1, "birth": birth, "preparation": null})));
    assert!(replies[0]["text"].as_str().unwrap().contains("build it again"), "{replies:?}");
}

#[test]
fn a_program_that_is_no_host_is_told() {
    let scenario = scenario(&watched(json!([])));
    let error = Lives::begin(Path::new("no/such/program"), &plugin(), &scenario).unwrap_err().to_string();
    assert!(error.contains("no/such/program"), "{error}");
    // Itself: a test program, which knows no command of that name and ends.
    let error = Lives::begin(&std::env::current_exe().unwrap(), &plugin(), &scenario).unwrap_err().to_string();
    assert!(error.contains("host process"), "{error}");
}
