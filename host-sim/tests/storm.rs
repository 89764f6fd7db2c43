//! A short kill storm; the long one is `cargo run --release -p host-sim -- storm`.

use std::process::Command;

use serde_json::Value;

#[test]
fn twenty_five_kills_lose_double_damage_and_leave_nothing() {
    let output =
        Command::new(env!("CARGO_BIN_EXE_host-sim")).args(["storm", "--kills", "25", "--json"]).output().unwrap();
    let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
    assert!(output.status.success(), "{result:#}\n{}", String::from_utf8_lossy(&output.stderr));
    for figure in ["accepted", "answered", "begun", "events", "logged"] {
        assert!(result["figures"][figure].as_u64() > Some(0), "the storm did nothing: {result:#}");
    }
}

#[test]
fn the_storm_says_what_it_does() {
    let output = Command::new(env!("CARGO_BIN_EXE_host-sim")).args(["storm", "--help"]).output().unwrap();
    let help = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(help.contains("host-sim storm --kills 25 --seed 7") && help.contains("Exit status:"), "{help}");
}
