//! From a failure told to the takeover asked for, with a state that outlives a power loss: beside one write of a file as large as the state's. And
//! whether another server's deadline, which falls into that write, is met meanwhile.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use vms_failover_abi as abi;

use super::measure::{durable_write, now_ns, quantile};
use super::rig::{Begun, Rig, TIMEOUT_NS};
use super::{Bench, Bound, Row};
use crate::plugin::Mode;

/// From the keep-alives to the first deadline, in ns.
const AHEAD_NS: u64 = 20_000_000;
const PATIENCE: Duration = Duration::from_secs(60);
const TOKEN: &[u8] = b"token";

/// The rows of this group.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.either(40, 150);
    // The first half is taken over, one after another; each one's partner fails while that is being written.
    let rig = Rig::start_as(&bench.plugin, 2 * count, Mode::Worker, "full")?;
    prepare(bench, &rig, count)?;
    let (mut decided, mut late, mut floors) = (Vec::new(), Vec::new(), Vec::new());
    let mut bytes = state_bytes(&rig.folder().join("state"))?;
    for n in 0..count {
        bench.progress.at("takeover begun after the failure was told", n, count);
        for _ in 0..2 {
            floors.push(durable_write(rig.folder(), bytes)?);
        }
        let (decision, partner) = sample(&rig, n, n + count, quantile(&mut floors.clone(), 0.5))?;
        decided.push(decision);
        late.push(partner);
        bytes = state_bytes(&rig.folder().join("state"))?;
    }
    let (value, floor) = (quantile(&mut decided, 0.5), quantile(&mut floors, 0.5));
    let note = format!("{count} samples; floor: one durable write of the state's {bytes} bytes; bound: floor + 0.2 ms");
    let other = "failure told after its deadline, which falls into that write, median";
    let worst = format!("p90 {:.2} ms", quantile(&mut late, 0.9));
    Ok(vec![
        Row::new("takeover begun after the failure was told, median", "ms", value)
            .beside(floor)
            .bound(Bound::AtMost(floor + 0.2))
            .note(note),
        Row::new(other, "ms", quantile(&mut late, 0.5)).bound(Bound::AtMost(0.3)).note(worst),
    ])
}

/// In the cluster, and the first so many servers are authorized and backed up.
fn prepare(bench: &Bench, rig: &Rig, count: usize) -> Result<()> {
    fs::create_dir_all(rig.folder().join("backups"))?;
    rig.caller.cluster(true, "")?;
    for (n, server) in rig.servers.iter().take(count).enumerate() {
        bench.progress.at("servers backed up for takeovers", n, count);
        rig.caller.authorize(*server, "", b"password")?;
        rig.done(&expect(rig, abi::VMSF_OP_AUTHORIZE, *server)?.operation, TOKEN)?;
        rig.caller.backup(*server, "")?;
        let backup = expect(rig, abi::VMSF_OP_BACKUP, *server)?.operation;
        let request: Value = serde_json::from_str(&backup.json)?;
        fs::write(request["file"].as_str().context("a backup without a file")?, b"settings")?;
        rig.done(&backup, b"")?;
    }
    let until = Instant::now() + PATIENCE;
    for server in rig.servers.iter().take(count) {
        while !is_backed_up(&rig.caller.status(*server)?)? {
            ensure!(Instant::now() < until, "a server is not backed up");
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    Ok(())
}

fn is_backed_up(status: &str) -> Result<bool> {
    let status: Value = serde_json::from_str(status)?;
    Ok(status["servers"][0]["last_backup"]["result"] == "ok")
}

fn expect(rig: &Rig, kind: u32, server: u64) -> Result<Begun> {
    let begun = rig.begun()?;
    if (begun.operation.kind, begun.operation.server) != (kind, server) {
        bail!("the host was asked for something else: {}", begun.operation.json);
    }
    Ok(begun)
}

/// Two servers fail, the second in the middle of the write that the first one's takeover waits for. Gives, in ms, how long that waits, and by how much
/// the second failure is told late.
fn sample(rig: &Rig, first: usize, second: usize, write_ms: f64) -> Result<(f64, f64)> {
    let (first, second) = (rig.servers[first], rig.servers[second]);
    let deadline = now_ns() + AHEAD_NS;
    let other = deadline + (write_ms * 0.5e6) as u64;
    rig.keep_alive(first, deadline - TIMEOUT_NS)?;
    rig.keep_alive(second, other - TIMEOUT_NS)?;
    let failed = rig.change()?;
    ensure!(failed.server == first, "another server failed first: {}", failed.json);
    let begun = expect(rig, abi::VMSF_OP_TAKEOVER, first)?;
    let later = rig.change()?;
    ensure!(later.server == second && later.entered_ns >= other, "told early, or another server: {}", later.json);
    rig.done(&begun.operation, b"")?;
    rig.caller.cancel(second, "")?;
    rig.caller.restore(first, "")?;
    rig.done(&expect(rig, abi::VMSF_OP_RESTORE, first)?.operation, b"")?;
    Ok(((begun.entered_ns - failed.entered_ns) as f64 / 1e6, (later.entered_ns - other) as f64 / 1e6))
}

/// How large the state is on disk.
pub fn state_bytes(folder: &Path) -> Result<usize> {
    let lengths =
        ["state.a.json", "state.b.json"].map(|name| fs::metadata(folder.join(name)).map_or(0, |file| file.len()));
    let [longer, _] = if lengths[0] > lengths[1] { lengths } else { [lengths[1], lengths[0]] };
    ensure!(longer > 0, "no state in {}", folder.display());
    Ok(usize::try_from(longer)?)
}
