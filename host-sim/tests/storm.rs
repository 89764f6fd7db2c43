//! A short kill storm; the long one is `cargo run --release -p host-sim -- storm`.

#[cfg(target_os = "linux")]
#[path = "support/waiting.rs"]
mod waiting;

use std::process::{Child, Command, Output, Stdio};

use serde_json::Value;

/// Ends with the test.
struct Ends(Child);

impl Drop for Ends {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn storm(options: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_host-sim")).arg("storm").args(options).output().unwrap()
}

#[test]
fn twenty_five_kills_lose_double_damage_and_leave_nothing() {
    // An even seed has servers restored automatically.
    for seed in ["1", "2"] {
        let output = storm(&["--kills", "25", "--seed", seed, "--json"]);
        let result: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert!(output.status.success(), "{result:#}\n{}", String::from_utf8_lossy(&output.stderr));
        // The last life is not killed: it alone would do all of this.
        let figures = &result["before_the_last_life"];
        for figure in ["accepted", "answered", "begun", "events", "configured", "resumed", "published", "tokens"] {
            assert!(figures[figure].as_u64() > Some(0), "the storm did too little, see {figure}: {result:#}");
        }
        for kind in ["call", "reconfiguration", "authorize", "join_cluster", "backup", "publish", "takeover"] {
            assert!(figures["hits"][kind].as_u64() > Some(0), "no kill has hit {kind}: {result:#}");
        }
    }
}

#[test]
fn a_library_that_is_no_plugin_is_told_before_the_storm_begins() {
    let file = tempfile::NamedTempFile::new().unwrap();
    let output = storm(&["--library", file.path().to_str().unwrap()]);
    let words = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{words}");
    assert!(words.contains(file.path().to_str().unwrap()), "{words}");
}

#[cfg(target_os = "linux")]
#[test]
fn a_signal_ends_the_storm_and_leaves_nothing_behind() {
    let files = tempfile::tempdir().unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-sim"));
    command.args(["storm", "--kills", "1000000"]).env("TMPDIR", files.path());
    let mut storm = Ends(command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let lives = || std::fs::read_dir(files.path()).unwrap().flatten().any(|it| it.path().join("state").exists());
    waiting::wait_until("a life has a state directory", lives);
    assert!(Command::new("kill").arg(storm.0.id().to_string()).status().unwrap().success());
    assert_eq!(storm.0.wait().unwrap().code(), Some(128 + 15));
    assert_eq!(std::fs::read_dir(files.path()).unwrap().count(), 0);
}

#[test]
fn the_storm_says_what_it_does_and_how_many_kills_there_may_be() {
    let help = String::from_utf8_lossy(&storm(&["--help"]).stdout).into_owned();
    assert!(help.contains("host-sim storm --kills 25 --seed 7") && help.contains("Exit status:"), "{help}");
    for kills in ["0", "1000001", "4294967295"] {
        let words = String::from_utf8_lossy(&storm(&["--kills", kills]).stderr).into_owned();
        assert!(words.contains("1..=1000000"), "{words}");
    }
}
