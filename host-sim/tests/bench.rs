//! `host-sim bench` as its user runs it: rows with figures, their floors and verdicts, and an exit status that says whether all are met.

#![cfg(target_os = "linux")]

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

#[test]
fn what_cannot_be_measured_is_told_with_exit_status_2() {
    for (args, why) in [(&["--library", "Cargo.toml"][..], "Cargo.toml"), (&["--only", "nothing"], "keep-alives")] {
        let (status, out, text) = host_sim(&[&["bench"], args].concat());
        assert!(status == 2 && out.is_empty() && text.contains(why), "{text}");
    }
}
