//! The one room that reads clocks.
//!
//! In worker mode the raw CLOCK_MONOTONIC and the wall clock; with VMSF_HOST_DRIVES whatever the last `poll` said. Never decides anything.

use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use rustix::time::{ClockId, clock_gettime};

use crate::time::{Mono, SECOND_NS, Span};

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
pub fn monotonic() -> Mono {
    to_mono(clock_gettime(ClockId::Monotonic))
}

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
        let ahead = boottime_ahead();
        let slept = Span(ahead.0.saturating_sub(self.ahead.0));
        if slept < SLEEP_NOISE {
            return Span::ZERO;
        }
        self.ahead = ahead;
        slept
    }
}

/// By how much CLOCK_BOOTTIME, which counts sleep, is ahead of the monotonic clock.
fn boottime_ahead() -> Span {
    let monotonic = monotonic();
    to_mono(clock_gettime(ClockId::Boottime)) - monotonic
}
