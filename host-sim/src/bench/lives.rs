//! What it takes to start and to stop: a fresh process for each sample, since the library stays in one that has had it; beside loading it and as many
//! threads that only wait.

use anyhow::Result;

use super::measure::quantile;
use super::part::{Part, Told, fresh};
use super::{Bench, Bound, Row};

const SERVERS: usize = 10;

/// The rows of this group.
pub fn rows(bench: &Bench) -> Result<Vec<Row>> {
    let count = bench.either(15, 100);
    let (mut lives, mut bare) = (Vec::new(), Vec::new());
    for n in 0..count {
        bench.progress.at("load, create and start; stop and destroy", n, count);
        let folder = tempfile::Builder::new().prefix("vms-failover-bench-").tempdir()?;
        let life = fresh(&bench.plugin, Part::Life, folder.path(), SERVERS, 0)?;
        let threads = usize::try_from(life.threads)?;
        bare.push(fresh(&bench.plugin, Part::Bare, folder.path(), threads, life.state_bytes)?);
        lives.push(life);
    }
    let median = |of: &[Told], part: fn(&Told) -> f64| quantile(&mut of.iter().map(part).collect::<Vec<f64>>(), 0.5);
    let write = median(&bare, |told| told.write_ms);
    let (start, floor) = (median(&lives, |told| told.start_ms), median(&bare, |told| told.start_ms));
    let (stop, end) = (median(&lives, |told| told.stop_ms), median(&bare, |told| told.stop_ms));
    let (threads, bytes) = lives.last().map_or((0, 0), |life| (life.threads, life.state_bytes));
    Ok(vec![
        Row::new("load + create + start, median", "ms", start)
            .beside(floor + 2.0 * write)
            .bound(Bound::AtMost(3.0 * floor + 2.0 * write))
            .note(format!(
                "{count} fresh processes; floor: dlopen + {threads} threads {floor:.2} ms, and 2 durable writes of {bytes} bytes of {write:.2} ms"
            )),
        Row::new("stop + destroy, median", "ms", stop)
            .beside(end + write)
            .bound(Bound::AtMost(2.0 * end + write))
            .note(format!("floor: signal + join of as many threads {end:.2} ms, and 1 such write")),
        Row::new("load alone (dlopen and handshake), median", "ms", median(&lives, |told| told.load_ms)),
    ])
}
