//! Every scenario file passes through the built library, with the same bytes each time.

#[path = "../../tests/support/polite.rs"]
mod polite;
#[path = "support/program.rs"]
mod program;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use host_sim::commands::trace_of;
use host_sim::scenario::Scenario;
use host_sim::trace::to_json_lines;
use host_sim::{expect, random};
use polite::plugin;
use program::host_sim;

fn files() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
    let mut files: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn scenario(file: &Path) -> Scenario {
    let text = fs::read_to_string(file).unwrap();
    Scenario::parse(&file.display().to_string(), &text).unwrap_or_else(|bad| panic!("{bad}"))
}

/// A library of files whose expectations cover the whole trace: a line too many is as wrong as one too few.
#[test]
fn every_scenario_gives_exactly_its_expected_lines_and_twice_the_same_bytes() {
    let plugin = plugin();
    let mut wrong = Vec::new();
    for file in files() {
        let scenario = scenario(&file);
        let name = file.file_name().unwrap().to_string_lossy().into_owned();
        let trace = match trace_of(&plugin, &scenario) {
            Ok(trace) => trace,
            Err(failure) => {
                wrong.push(format!("{name}: {}", failure.text));
                continue;
            }
        };
        let bytes = to_json_lines(&trace);
        match expect::check(&scenario.expect, &trace) {
            Err(missed) => wrong.push(format!("{name}: {}\nthe whole trace:\n{bytes}", missed.text)),
            Ok(matched) if matched.len() != trace.len() => {
                let extra: String = trace
                    .iter()
                    .enumerate()
                    .filter(|(n, _)| !matched.contains(n))
                    .map(|(_, l)| l.to_json() + "\n")
                    .collect();
                wrong.push(format!("{name}: lines that nobody expects:\n{extra}the whole trace:\n{bytes}"));
            }
            Ok(_) => {}
        }
        let again = trace_of(&plugin, &scenario).map(|trace| to_json_lines(&trace)).unwrap_or_default();
        if again != bytes {
            wrong.push(format!("{name}: two runs differ:\n{bytes}---\n{again}"));
        }
    }
    assert!(wrong.is_empty(), "{} scenarios are wrong:\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn there_are_many_scenarios_each_with_a_name_of_its_own_and_expectations() {
    let mut names = BTreeMap::new();
    for file in files() {
        let scenario = scenario(&file);
        assert!(!scenario.expect.is_empty(), "{}", file.display());
        if let Some(other) = names.insert(scenario.name, file.clone()) {
            panic!("{} and {} have one name", file.display(), other.display());
        }
    }
    assert!(names.len() >= 80, "{}", names.len());
}

#[test]
fn random_scenarios_run_and_give_twice_the_same_bytes() {
    let plugin = plugin();
    for seed in 0..25 {
        let scenario = random::scenario(seed);
        let run = || match trace_of(&plugin, &scenario) {
            Ok(trace) => to_json_lines(&trace),
            Err(failure) => panic!("host-sim random --seed {seed}: {}", failure.text),
        };
        assert_eq!(run(), run(), "host-sim random --seed {seed}");
    }
}

fn file_named(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name)
}

#[test]
fn the_program_prints_the_trace_and_the_summary_and_leaves_no_files() {
    let file = file_named("keep_alive_timeout.json");
    let temp = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_host-sim"))
        .args([Path::new("run"), &file, &file])
        .env("TMPDIR", temp.path())
        .env("TMP", temp.path())
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(0));
    let trace = to_json_lines(&trace_of(&plugin(), &scenario(&file)).unwrap());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), format!("{trace}{trace}"));
    let summary = format!("ok  {}  ({} lines)\n", scenario(&file).name, trace.lines().count());
    assert_eq!(String::from_utf8(output.stderr).unwrap(), format!("{summary}{summary}"));
    assert_eq!(fs::read_dir(temp.path()).unwrap().count(), 0);
}

#[test]
fn a_missed_expectation_gives_exit_status_1_and_the_trace_all_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(file_named("keep_alive_timeout.json")).unwrap();
    let file = folder.path().join("missed.json");
    fs::write(
        &file,
        text.replace("\"at_ms\": 132000, \"kind\": \"health\"", "\"at_ms\": 131999, \"kind\": \"health\""),
    )
    .unwrap();
    let (status, out, err) = host_sim(&["run", file.to_str().unwrap()]);
    assert_eq!(status, 1);
    assert!(out.contains("\"to\":\"failed\""), "{out}");
    assert!(err.starts_with("MISSED ") && err.contains("differs in at_ms: {\"at_ms\":132000"), "{err}");
}

#[test]
fn a_configuration_that_the_plugin_refuses_gives_exit_status_2() {
    let folder = tempfile::tempdir().unwrap();
    let text = fs::read_to_string(file_named("keep_alive_timeout.json")).unwrap();
    let file = folder.path().join("config.json");
    fs::write(&file, text.replace("\"schema\": 1,", "\"schema\": 1, \"timeouts\": {\"keep_alive_s\": 10},")).unwrap();
    let (status, out, err) = host_sim(&["run", file.to_str().unwrap()]);
    assert_eq!((status, out.as_str()), (2, ""));
    assert!(err.contains("config.json: /config: the plugin refuses it: ") && err.contains("keep_alive_s"), "{err}");
}

#[test]
fn explain_prints_the_story_of_the_trace() {
    let file = file_named("two_failures_one_slot.json");
    let (status, out, _) = host_sim(&["run", "--explain", "--width", "80", file.to_str().unwrap()]);
    assert_eq!(status, 0);
    assert_eq!(out, fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain.txt")).unwrap());
}

#[test]
fn a_seed_is_replayed_by_one_command() {
    let (status, document, _) = host_sim(&["random", "--seed", "3", "--print"]);
    assert_eq!(status, 0);
    assert_eq!(Scenario::parse("seed", &document).unwrap(), random::scenario(3));
    let (status, trace, _) = host_sim(&["random", "--seed", "3"]);
    assert_eq!(status, 0);
    assert_eq!(trace, to_json_lines(&trace_of(&plugin(), &random::scenario(3)).unwrap()));
}
