//! What the system lists of this process: threads, descriptors, memory, blocked signals. Linux lists it in `/proc`; elsewhere there is no
//! answer, and the check says that it did not look.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

/// What a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// Threads.
    pub threads: usize,
    /// Open descriptors.
    pub descriptors: usize,
}

impl fmt::Display for Held {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} threads and {} descriptors", self.threads, self.descriptors)
    }
}

/// Why nothing was counted.
pub const UNLISTED: &str = "threads, descriptors and memory are listed on Linux alone; here they were not looked at";

/// Threads and descriptors of this process.
#[must_use]
pub fn held() -> Option<Held> {
    Some(Held { threads: entries("/proc/self/task")?, descriptors: entries("/proc/self/fd")? })
}

/// How long the system may go on listing a thread that was joined.
const LISTED: Duration = Duration::from_secs(2);

/// The same, once it is as wanted, or when that does not come: a thread is joined before the system has struck it off its list.
#[must_use]
pub fn held_when(wanted: impl Fn(Held) -> bool) -> Option<Held> {
    let until = Instant::now() + LISTED;
    loop {
        let now = held()?;
        if wanted(now) || Instant::now() > until {
            return Some(now);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// The same, once it is what it was before.
#[must_use]
pub fn held_again(before: Held) -> Option<Held> {
    held_when(|now| now == before)
}

/// Resident memory of this process, in KiB.
#[must_use]
pub fn memory_kib() -> Option<u64> {
    status_of("/proc/self/status", "VmRSS:")?.trim_end_matches("kB").trim().parse().ok()
}

/// Each thread of this process with the mask of the signals that it blocks, in hexadecimal.
#[must_use]
pub fn blocked_signals() -> Option<Vec<(String, String)>> {
    let tasks = listed("/proc/self/task", |path| std::fs::read_dir(path))?;
    let tasks = tasks.filter_map(|task| {
        let task = task.ok()?;
        let mask = status_of(&format!("{}/status", task.path().display()), "SigBlk:")?;
        Some((task.file_name().to_string_lossy().into_owned(), mask))
    });
    Some(tasks.collect())
}

fn entries(of: &str) -> Option<usize> {
    Some(listed(of, |path| std::fs::read_dir(path))?.count())
}

/// Reads a list of the system. Under wine there is a `/proc`, too: of the wrong system.
fn listed<T>(path: &str, read: impl Fn(&str) -> std::io::Result<T>) -> Option<T> {
    if cfg!(target_os = "linux") { read(path).ok() } else { None }
}

fn status_of(file: &str, key: &str) -> Option<String> {
    let text = listed(file, |path| std::fs::read_to_string(path))?;
    text.lines().find_map(|line| line.strip_prefix(key)).map(|value| value.trim().to_owned())
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_has_threads_descriptors_memory_and_masks() {
        assert!(held().is_some_and(|held| held.threads > 0 && held.descriptors > 2));
        assert!(memory_kib().is_some_and(|kib| kib > 100));
        assert!(blocked_signals().is_some_and(|tasks| tasks.iter().all(|(_, mask)| mask.len() == 16)));
    }
}
