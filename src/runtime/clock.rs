//! The one room that reads clocks.
//!
//! In worker mode the raw CLOCK_MONOTONIC (on Windows the performance counter) and the wall clock; with VMSF_HOST_DRIVES whatever the last `poll` said. Never decides anything.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

#[cfg(unix)]
use rustix::time::{ClockId, clock_gettime};

#[cfg(unix)]
use crate::time::SECOND_NS;
use crate::time::{Mono, Span};

/// A sleep of the system shorter than this is the two clocks being read one after the other.
const SLEEP_NOISE: Span = Span(100_000_000);

/// Where an instance has its time from.
#[derive(Debug)]
pub enum Clock {
    /// The operating system's.
    System,
    /// The host's polls.
    Driven {
        /// Instant of the last poll, in ns; 0 before the first.
        now_ns: AtomicU64,
        /// Wall clock of the last poll, in ms since 1970.
        utc_ms: AtomicI64,
    },
}

impl Clock {
    /// A clock that only polls move.
    pub fn driven() -> Clock {
        Clock::Driven { now_ns: AtomicU64::new(0), utc_ms: AtomicI64::new(0) }
    }

    /// Now, on the host's monotonic clock.
    pub fn now(&self) -> Mono {
        match self {
            Clock::System => monotonic(),
            Clock::Driven { now_ns, .. } => Mono(now_ns.load(Ordering::Acquire)),
        }
    }

    /// Now, in ms since 1970.
    pub fn utc_ms(&self) -> i64 {
        match self {
            Clock::System => wall_ms(),
            Clock::Driven { utc_ms, .. } => utc_ms.load(Ordering::Acquire),
        }
    }

    /// Moves a driven clock, never back; gives the time it stands at.
    pub fn drive(&self, to: Mono, utc: i64) -> Mono {
        let Clock::Driven { now_ns, utc_ms } = self else { return self.now() };
        utc_ms.store(utc, Ordering::Release);
        Mono(now_ns.fetch_max(to.0, Ordering::AcqRel).max(to.0))
    }
}

/// Now, on the operating system's monotonic clock.
#[cfg(unix)]
pub fn monotonic() -> Mono {
    to_mono(clock_gettime(ClockId::Monotonic))
}

/// Now, on the performance counter.
#[cfg(windows)]
pub fn monotonic() -> Mono {
    Mono(crate::ffi::os::counter_ns())
}

#[cfg(unix)]
fn to_mono(time: rustix::time::Timespec) -> Mono {
    let (seconds, nanos) = (u64::try_from(time.tv_sec).unwrap_or(0), u64::try_from(time.tv_nsec).unwrap_or(0));
    Mono(seconds.saturating_mul(SECOND_NS).saturating_add(nanos))
}

fn wall_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// Notices that the system slept, which the monotonic clock does not count.
#[derive(Debug)]
pub struct SleepWatch {
    ahead: Span,
}

impl Default for SleepWatch {
    /// Watches from now on.
    fn default() -> SleepWatch {
        SleepWatch { ahead: boottime_ahead() }
    }
}

impl SleepWatch {
    /// How long the system slept since the last call.
    pub fn slept(&mut self) -> Span {
        self.slept_if_ahead_by(boottime_ahead())
    }

    fn slept_if_ahead_by(&mut self, ahead: Span) -> Span {
        let slept = Span(ahead.0.saturating_sub(self.ahead.0));
        if slept < SLEEP_NOISE {
            return Span::ZERO;
        }
        self.ahead = ahead;
        slept
    }
}

/// By how much CLOCK_BOOTTIME, which counts sleep, is ahead of the monotonic clock.
#[cfg(target_os = "linux")]
fn boottime_ahead() -> Span {
    let monotonic = monotonic();
    to_mono(clock_gettime(ClockId::Boottime)) - monotonic
}

/// Where the monotonic clock counts sleep, as on Windows, a sleep is a wake-up that comes too late.
#[cfg(not(target_os = "linux"))]
fn boottime_ahead() -> Span {
    Span::ZERO
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sleep_is_told_once_and_two_readings_apart_are_none() {
        let ms = |ms: u64| Span(ms * 1_000_000);
        let mut watch = SleepWatch { ahead: ms(5_000) };
        // A little later, a little earlier, asleep for 3 s, and awake since; a sleep that is too short adds up with the next.
        let readings = [5_001, 4_999, 8_000, 8_002, 8_090, 8_110];
        let told = readings.map(|ahead| watch.slept_if_ahead_by(ms(ahead)));
        assert_eq!(told, [0, 0, 3_000, 0, 0, 110].map(ms));
    }

    /// Set where the test runs again, with that many seconds added to the clock that counts sleep.
    #[cfg(target_os = "linux")]
    const AHEAD: &str = "VMSF_TEST_AHEAD_S";

    #[cfg(target_os = "linux")]
    #[test]
    fn the_clock_that_counts_sleep_is_read() {
        if let Ok(seconds) = std::env::var(AHEAD) {
            let added = Span::seconds(seconds.parse().unwrap());
            assert!(boottime_ahead() >= added, "{:?}", boottime_ahead());
            return;
        }
        let here = std::env::current_exe().unwrap();
        // A name space of its own for time: as if the system had slept for so long.
        let unshare = |seconds: &str, program: &std::path::Path, arguments: &[&str]| {
            let mut command = std::process::Command::new("unshare");
            command.args(["--time", "--boottime", seconds]).arg(program).args(arguments).env(AHEAD, seconds);
            command.output().ok().filter(|output| output.status.success())
        };
        let ahead = "100000";
        if unshare(ahead, std::path::Path::new("true"), &[]).is_none() {
            return eprintln!("SKIPPED: the clock that counts sleep is not moved here (unshare --time)");
        }
        let name = "runtime::clock::tests::the_clock_that_counts_sleep_is_read";
        let again = unshare(ahead, &here, &["--exact", name]).expect("it passes there, too");
        assert!(String::from_utf8_lossy(&again.stdout).contains("1 passed"));
    }
}
