//! Virtual time: a host that drives plays days of a thousand servers.

use anyhow::{Result, ensure};

use super::measure::now_ns;
use super::rig::Rig;
use super::{Bench, Bound, Row};
use crate::plugin::Mode;

const SERVERS: usize = 1_000;
const SECOND_NS: u64 = 1_000_000_000;
/// Between two keep-alives of a server.
const PERIOD_NS: u64 = 10 * SECOND_NS;
const DAY_NS: u64 = 86_400 * SECOND_NS;
/// 2026-01-01, noon.
const UTC_MS: i64 = 1_767_268_800_000;

/// The rows of this group.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let what = "simulated server-days a second, on one thread";
    let rig = Rig::start_as(&bench.plugin, SERVERS, Mode::HostDrives, "none")?;
    let until = bench.either(DAY_NS / 8, DAY_NS);
    let (began, mut now, mut next) = (now_ns(), SECOND_NS, 0);
    while now < until {
        bench.progress.at(what, (now / SECOND_NS) as usize, (until / SECOND_NS) as usize);
        for server in &rig.servers {
            rig.keep_alive(*server, 0)?;
        }
        let due = now + PERIOD_NS;
        while now < due {
            next = rig.poll(now, UTC_MS + (now / 1_000_000) as i64)?;
            now = next.clamp(now, due);
        }
    }
    let seconds = (now_ns() - began) as f64 / 1e9;
    ensure!(rig.changed() == 0, "a server failed, though all keep alive: {}", rig.change()?.json);
    ensure!(rig.alive() == SERVERS && next > 0, "only {} of {SERVERS} keep alive", rig.alive());
    let days = SERVERS as f64 * until as f64 / DAY_NS as f64;
    let note = format!(
        "{SERVERS} servers, a keep-alive per 10 s, no backup; {:.0} ns a keep-alive, in all",
        seconds * 1e9 / (SERVERS as f64 * (until / PERIOD_NS) as f64)
    );
    Ok(vec![Row::new(what, "/s", days / seconds).bound(Bound::AtLeast(1_000.0)).note(note)])
}
