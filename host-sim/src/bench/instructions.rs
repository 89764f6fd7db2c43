//! How many instructions a keep-alive takes, counted by valgrind: the one figure that no other work on the machine moves.

use std::fs;
use std::io::{self, Write};
use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::part::{Part, arguments};
use super::{Bench, Bound, Row};

/// Calls in the shorter of two runs; what the longer one takes more is theirs alone.
const CALLS: usize = 200_000;
/// What a release build took when it was last looked at, and a fifth more.
const MOST_RELEASE: f64 = 208.0;
/// The same of a build for debugging, as the tests have it.
const MOST_DEBUG: f64 = 250.0;

/// The row of this group; none, loudly, without valgrind.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    if Command::new("valgrind").arg("--version").output().is_err() {
        ensure!(std::env::var_os("CI").is_none(), "CI needs valgrind (package valgrind)");
        writeln!(io::stderr(), "SKIPPED: no valgrind (package valgrind); instructions are not counted")?;
        return Ok(Vec::new());
    }
    let what = "instructions of notify(keep_alive) through the C ABI";
    bench.progress.at(what, 0, 2);
    let value = each(bench, Part::KeepAlives)?;
    bench.progress.at(what, 1, 2);
    let floor = each(bench, Part::Stores)?;
    let is_release = bench.plugin.info().build.starts_with("release");
    let most = if is_release { MOST_RELEASE } else { MOST_DEBUG };
    let note = "callgrind; floor: reading the clock and a store; both as a Rust host does it, the system's part of the clock is not counted";
    Ok(vec![Row::new(what, "instr.", value).beside(floor).bound(Bound::AtMost(most)).note(note)])
}

/// Instructions of a call.
fn each(bench: &Bench, part: Part) -> Result<f64> {
    Ok((counted(bench, part, 2 * CALLS)? - counted(bench, part, CALLS)?) / CALLS as f64)
}

/// Instructions of a whole process that makes so many calls.
fn counted(bench: &Bench, part: Part, calls: usize) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("callgrind.out");
    let mut command = Command::new("valgrind");
    command.args(["--tool=callgrind", "--quiet"]).arg(format!("--callgrind-out-file={}", file.display()));
    command.arg(std::env::current_exe()?);
    let output = arguments(&mut command, &bench.plugin, part, folder.path(), calls).output()?;
    ensure!(output.status.success(), "under valgrind: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    let text = fs::read_to_string(&file)?;
    let total = text.lines().find_map(|line| line.strip_prefix("totals:")?.trim().parse().ok());
    total.context("callgrind told no total")
}
