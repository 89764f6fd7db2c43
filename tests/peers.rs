//! The comparison with other failover programs: what can be shown without them, so that it works when somebody wants it.

#![cfg(target_os = "linux")]

#[path = "support/native.rs"]
mod native;

use std::path::Path;
use std::process::{Command, Output};

use native::{compiler, succeed, text};

/// The script with these arguments; `None`, loudly, where there is no Python.
fn peers(args: &[&str]) -> Option<Command> {
    let mut command = Command::new(compiler("PYTHON", "python3")?);
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/peers.py")).args(args);
    Some(command)
}

fn run(args: &[&str]) -> Option<Output> {
    Some(peers(args)?.output().expect("it runs"))
}

#[test]
fn the_comparison_with_peers_explains_itself_with_examples() {
    let Some(mut command) = peers(&["--help"]) else { return };
    let said = text(&succeed(&mut command).stdout);
    for word in ["examples:", "exit status:", "apt-get install", "--hogs", "--json", "--runs"] {
        assert!(said.contains(word), "no {word} in:\n{said}");
    }
}

#[test]
fn logs_and_packets_of_peers_are_read_as_they_were_recorded() {
    let Some(mut command) = peers(&["--self-test"]) else { return };
    let said = text(&succeed(&mut command).stdout);
    let recorded: usize = said.split(' ').next().and_then(|n| n.parse().ok()).unwrap_or_else(|| panic!("{said}"));
    assert!(recorded >= 20 && said.contains(" 0 wrong"), "{said}");
}

#[test]
fn a_program_that_is_missing_is_a_row_that_says_why() {
    for (json, sign) in [(&["--json"][..], "\"skipped\": \""), (&[], "skipped: ")] {
        let args = [&["--only", "plugin", "--host-sim", "/nowhere/host-sim"], json].concat();
        let Some(output) = run(&args) else { return };
        let said = text(&output.stdout);
        assert_eq!(output.status.code(), Some(1), "{said}{}", text(&output.stderr));
        assert!(said.contains(sign) && said.contains("cargo build --release -p host-sim"), "{said}");
    }
}

#[test]
fn a_bad_command_line_of_the_comparison_is_refused() {
    for args in [&["--runs", "1"][..], &["--only", "nobody"], &["--hogs", "-1"]] {
        let Some(output) = run(args) else { return };
        assert!(output.status.code() == Some(2) && text(&output.stderr).contains(args[0]), "{}", text(&output.stderr));
    }
}
