//! What all rows count with: the clock, medians, and what the system says of a thread.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result};
use rustix::time::{ClockId, clock_gettime};

/// Now on the raw monotonic clock, in ns: the plugin's own (header, rule 11).
pub fn now_ns() -> u64 {
    let time = clock_gettime(ClockId::Monotonic);
    u64::try_from(time.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(time.tv_nsec).unwrap_or(0)
}

/// The value below which this part (0.5: the median) of the samples lies.
pub fn quantile(samples: &mut [f64], part: f64) -> f64 {
    samples.sort_by(f64::total_cmp);
    let place = ((samples.len().saturating_sub(1)) as f64 * part).round() as usize;
    samples.get(place).copied().unwrap_or(f64::NAN)
}

/// What a thread of this process has used.
#[derive(Debug, Clone, Copy)]
pub struct Used {
    /// Time on a processor.
    pub cpu: Duration,
    /// How often it went to sleep by itself: as often it was woken.
    pub wake_ups: u64,
}

/// What the thread of this name has used so far. There is one of it.
pub fn used_by(thread: &str) -> Result<Used> {
    for task in fs::read_dir("/proc/self/task")? {
        let task = task?.path();
        if fs::read_to_string(task.join("comm"))?.trim_end() != thread {
            continue;
        }
        let ran = fs::read_to_string(task.join("schedstat"))?;
        let ran = ran.split_whitespace().next().and_then(|ns| ns.parse().ok()).context("no time in schedstat")?;
        let status = fs::read_to_string(task.join("status"))?;
        let switches = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        let wake_ups = switches.and_then(|text| text.trim().parse().ok()).context("no switches in status")?;
        return Ok(Used { cpu: Duration::from_nanos(ran), wake_ups });
    }
    anyhow::bail!("no thread '{thread}' in this process")
}

/// A figure of this process as the system tells it, such as `Threads` or, in kB, `VmRSS`.
pub fn status_of_process(key: &str) -> Result<u64> {
    let status = fs::read_to_string("/proc/self/status")?;
    let line = status.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(':'));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.with_context(|| format!("no {key} in /proc/self/status"))
}

/// Writes a file of so many bytes so that it outlives a power loss, in the place of an older one: a write, a sync, a rename, a sync of the folder. In ms.
pub fn durable_write(folder: &Path, bytes: usize) -> Result<f64> {
    let (text, fresh, file) = (vec![b'x'; bytes], folder.join("floor.tmp"), folder.join("floor"));
    let began = now_ns();
    let mut written = File::create(&fresh)?;
    written.write_all(&text)?;
    written.sync_all()?;
    fs::rename(&fresh, &file)?;
    File::open(folder)?.sync_all()?;
    Ok((now_ns() - began) as f64 / 1e6)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_one_of_the_samples() {
        let mut samples = [3.0, 1.0, 2.0];
        assert_eq!([0.0, 0.5, 1.0].map(|part| quantile(&mut samples, part)), [1.0, 2.0, 3.0]);
        assert!(quantile(&mut [], 0.5).is_nan());
    }

    #[test]
    fn a_thread_is_found_by_its_name_and_its_work_counts() {
        let found = std::thread::Builder::new().name("busy-one".into()).spawn(|| {
            let before = used_by("busy-one").expect("it is there");
            let began = now_ns();
            while now_ns() < began + 20_000_000 {}
            used_by("busy-one").expect("it is there").cpu - before.cpu
        });
        let used = found.expect("a thread").join().expect("no panic");
        assert!(used > Duration::from_millis(1), "{used:?}");
        assert!(used_by("nobody").is_err());
    }
}
