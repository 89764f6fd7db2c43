//! What is in the host's process because of the plugin: threads, resident memory with ever more servers, and the library itself.

use std::process::Command;

use anyhow::{Context, Result, ensure};

use super::part::{Part, Told, fresh};
use super::{Bench, Bound, Row};

/// Bytes of the id and the host name of a server, as the rig names them.
fn string_bytes(servers: usize) -> f64 {
    let total: usize = (0..servers).map(|n| format!("s{n}s{n}.example").len()).sum();
    total as f64 / servers as f64
}

/// The rows of this group.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let sizes = bench.either([0, 1_000, 10_000], [0, 1_000, 1_000_000]);
    let mut rows = Vec::new();
    let mut told = Vec::new();
    for (n, size) in sizes.into_iter().enumerate() {
        let what = format!("resident memory with {size} servers");
        bench.progress.at(&what, n, sizes.len());
        let folder = tempfile::Builder::new().prefix("vms-failover-bench-").tempdir()?;
        fresh(&bench.plugin, Part::Keep, folder.path(), size, 0)?;
        let at: Told = fresh(&bench.plugin, Part::Memory, folder.path(), size, 0)?;
        let mb = |kb: u64| kb as f64 / 1e3;
        let note = format!("all keep alive; the host itself is in it; {:.1} MB at most so far", mb(at.peak_kb));
        rows.push(Row::new(what, "MB", mb(at.resident_kb)).note(note));
        told.push((size, at));
    }
    if let [(_, none), .., (size, most)] = told[..] {
        let more = (most.resident_kb - none.resident_kb.min(most.resident_kb)) as f64 * 1024.0 / size as f64;
        let strings = string_bytes(size);
        let note = format!("of {more:.0} bytes, {strings:.0} are its id and host name");
        let what = format!("memory for each of {size} servers, beyond its strings");
        rows.push(Row::new(what, "B", more - strings).bound(Bound::AtMost(512.0)).note(note));
        rows.push(Row::new("threads that the plugin starts", "threads", most.threads as f64));
    }
    rows.push(Row::new("library, stripped", "MB", stripped_bytes(bench)? / 1e6).note(bench.plugin.info().to_string()));
    Ok(rows)
}

fn stripped_bytes(bench: &Bench) -> Result<f64> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("stripped");
    let strip = Command::new("strip").arg("-o").arg(&file).arg(bench.plugin.path()).status();
    let stripped = strip.context("cannot run strip: it comes with the linker (binutils)")?;
    ensure!(stripped.success(), "strip: {stripped}");
    Ok(std::fs::metadata(&file)?.len() as f64)
}
