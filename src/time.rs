//! Instants and durations as the engine counts them: whole nanoseconds of the host's monotonic clock.
//!
//! Knows no clock; `runtime` reads one. Called by everybody. Never wraps: what lies past the end of time is the end of time.

use std::ops::{Add, Sub};

use serde::{Deserialize, Serialize};

/// Nanoseconds in a second.
pub const SECOND_NS: u64 = 1_000_000_000;

/// An instant of the host's monotonic clock, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Mono(pub u64);

/// A length of time, in ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Span(pub u64);

impl Span {
    /// No time at all.
    pub const ZERO: Span = Span(0);

    /// `seconds` s.
    pub const fn seconds(seconds: u32) -> Span {
        Span(seconds as u64 * SECOND_NS)
    }

    /// Whole milliseconds, rounded down.
    pub const fn whole_ms(self) -> u64 {
        self.0 / 1_000_000
    }
}

/// `2026-01-01T00:00:00.000Z`; what lies outside the calendar is the epoch.
pub fn utc(utc_ms: i64) -> String {
    let time = chrono::DateTime::from_timestamp_millis(utc_ms).unwrap_or_default();
    time.to_rfc3339_opts(chrono::SecondsFormat::Millis, true)
}

impl Add<Span> for Mono {
    type Output = Mono;
    fn add(self, span: Span) -> Mono {
        Mono(self.0.saturating_add(span.0))
    }
}

impl Sub<Mono> for Mono {
    type Output = Span;
    /// Zero where `earlier` is the later one.
    fn sub(self, earlier: Mono) -> Span {
        Span(self.0.saturating_sub(earlier.0))
    }
}

impl Add for Span {
    type Output = Span;
    fn add(self, other: Span) -> Span {
        Span(self.0.saturating_add(other.0))
    }
}
