//! `host-sim bench` as its user runs it: rows with figures, their floors and verdicts, and an exit status that says whether all are met.

#![cfg(target_os = "linux")]

#[path = "../../tests/support/native.rs"]
mod native;
#[path = "support/program.rs"]
mod program;

use program::host_sim;
use serde_json::Value;

#[test]
fn a_group_is_measured_and_told_as_json_whose_verdict_is_the_exit_status() {
    let (status, out, _) = host_sim(&["bench", "--quick", "--only", "keep-alives", "--json"]);
    let said: Value = serde_json::from_str(&out).expect("JSON");
    let rows = said["rows"].as_array().expect("rows");
    assert_eq!((rows.len(), &said["quick"]), (4, &Value::Bool(true)));
    for row in rows {
        let number = |key: &str| row[key].as_f64().expect(key);
        assert!(number("value") > 0.0 && number("floor") > 0.0, "{row}");
        assert!((number("ratio") - number("value") / number("floor")).abs() < 1e-9, "{row}");
        assert_eq!(row["met"], number("ratio") <= number("at_most_times_the_floor"), "{row}");
    }
    let all_met = rows.iter().all(|row| row["met"] == true);
    assert_eq!(status, if all_met { 0 } else { 1 });
}

/// The rows of a quick run of one group.
fn rows_of(group: &str, more: &[&str]) -> Vec<Value> {
    let (status, out, text) = host_sim(&[&["bench", "--quick", "--only", group, "--json"], more].concat());
    assert!(status < 2, "{text}");
    let said: Value = serde_json::from_str(&out).expect("JSON");
    said["rows"].as_array().expect("rows").clone()
}

/// Instructions depend on the build, not on what else the machine does: the one figure that a test can judge.
#[test]
fn a_keep_alive_takes_no_more_instructions_than_when_it_was_last_looked_at() {
    let rows = rows_of("instructions", &[]);
    let Some(row) = rows.first() else {
        native::missing("there is no valgrind (package valgrind); instructions are not counted");
        return;
    };
    assert_eq!(row["met"], true, "{row}");
    assert!(row["value"].as_f64() > row["floor"].as_f64() && row["floor"].as_f64() > Some(5.0), "{row}");
}

#[test]
fn while_the_status_is_read_and_all_servers_fail_no_keep_alive_sleeps() {
    let rows = rows_of("many", &[]);
    let slept: Vec<_> = rows.iter().filter(|row| row["unit"] == "times").collect();
    assert!(slept.len() == 2 && slept.iter().all(|row| row["value"] == 0.0), "{rows:#?}");
}

#[test]
fn every_other_group_measures_something() {
    for (group, least) in [("decision", 2), ("start-stop", 3), ("virtual-time", 1), ("cost", 6)] {
        let rows = rows_of(group, &[]);
        assert!(rows.len() >= least, "{group}: {rows:#?}");
        assert!(rows.iter().all(|row| row["value"].as_f64() > Some(0.0)), "{group}: {rows:#?}");
    }
}

#[test]
fn what_was_measured_is_drawn() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("bench.svg");
    let rows = rows_of("keep-alives", &["--svg", file.to_str().expect("a path")]);
    assert_eq!(rows.len(), 4);
    let svg = std::fs::read_to_string(&file).expect("a picture");
    assert!(svg.starts_with("<svg") && svg.contains("notify(keep_alive)"), "{svg}");
}

#[test]
fn what_cannot_be_measured_is_told_with_exit_status_2() {
    for (args, why) in [(&["--library", "Cargo.toml"][..], "Cargo.toml"), (&["--only", "nothing"], "keep-alives")] {
        let (status, out, text) = host_sim(&[&["bench"], args].concat());
        assert!(status == 2 && out.is_empty() && text.contains(why), "{text}");
    }
}
