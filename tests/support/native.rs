//! The built plugin, and the compilers and interpreters of this machine.

// Each test file uses its own part of it.
#![allow(dead_code)]

use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Output};

/// The built plugin: cargo puts it beside the test executables.
pub fn plugin_library() -> PathBuf {
    let test = std::env::current_exe().expect("this test's path");
    let name = format!("{}vms_failover{}", std::env::consts::DLL_PREFIX, std::env::consts::DLL_SUFFIX);
    let library = test.parent().expect("its directory").join(name);
    assert!(library.is_file(), "{}: the plugin is not built", library.display());
    library
}

/// The compiler or interpreter that `variable` names, else `default`. `None`, loudly, where there is none; in CI that is a failure.
pub fn compiler(variable: &str, default: &str) -> Option<String> {
    let name = std::env::var(variable).unwrap_or_else(|_| default.to_owned());
    if Command::new(&name).arg("--version").output().is_ok_and(|output| output.status.success()) {
        return Some(name);
    }
    missing(&format!("there is no {name} ({variable}); nothing was tried with it"));
    None
}

/// Something that a test needs is not on this machine: it says so, loudly; in CI that is a failure.
pub fn missing(what: &str) {
    assert!(std::env::var_os("CI").is_none(), "CI needs what is not here: {what}");
    // Not eprintln!: the test runner would keep that to itself, because the test passes.
    let _ = writeln!(std::io::stderr(), "\nSKIPPED: {what}");
}

/// Runs a command; panics with its output unless it succeeds.
pub fn succeed(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}",
        output.status,
        text(&output.stdout) + &text(&output.stderr)
    );
    output
}

/// Bytes that a program wrote, as text.
pub fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
