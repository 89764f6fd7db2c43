//! The one clock of all the demo's processes: simulated time, `speed` times faster than the machine's monotonic clock.
//!
//! Every role is given the same origin, so that a time stamp means the same in each process. At speed 1 it *is* the raw
//! monotonic clock, which is also what the plugin's worker uses. It never reads the wall clock after the start.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// A nanosecond count's worth of a millisecond.
pub const MS: u64 = 1_000_000;
/// A nanosecond count's worth of a second.
pub const SECOND: u64 = 1_000_000_000;

/// Simulated time; cheap to copy and handed to every role as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SimClock {
    origin_ns: u64,
    speed: u64,
    origin_utc_ms: u64,
}

/// The machine's raw monotonic clock in ns.
fn machine_ns() -> u64 {
    let now = clock_gettime(ClockId::Monotonic);
    u64::try_from(now.tv_sec).unwrap_or(0) * SECOND + u64::try_from(now.tv_nsec).unwrap_or(0)
}

impl SimClock {
    /// A clock whose time begins now and runs `speed` times faster.
    #[must_use]
    pub fn starting_now(speed: u64) -> Self {
        let utc = clock_gettime(ClockId::Realtime);
        let origin_utc_ms =
            u64::try_from(utc.tv_sec).unwrap_or(0) * 1000 + u64::try_from(utc.tv_nsec).unwrap_or(0) / MS;
        Self { origin_ns: machine_ns(), speed: speed.max(1), origin_utc_ms }
    }

    /// How many times faster than life.
    #[must_use]
    pub fn speed(&self) -> u64 {
        self.speed
    }

    /// The simulated monotonic time in ns.
    #[must_use]
    pub fn now_ns(&self) -> u64 {
        self.origin_ns + machine_ns().saturating_sub(self.origin_ns) * self.speed
    }

    /// Simulated ms from the beginning to an instant.
    #[must_use]
    pub fn since_start_ms(&self, at_ns: u64) -> u64 {
        at_ns.saturating_sub(self.origin_ns) / MS
    }

    /// The simulated UTC time of an instant, in ms since 1970.
    #[must_use]
    pub fn utc_ms(&self, at_ns: u64) -> u64 {
        self.origin_utc_ms + self.since_start_ms(at_ns)
    }

    /// How long the machine has to wait until a simulated instant; zero when it is past.
    #[must_use]
    pub fn until(&self, at_ns: u64) -> Duration {
        let left = at_ns.saturating_sub(self.now_ns());
        // Rounded up: waking a moment before the instant would mean waking twice.
        Duration::from_nanos(left.div_ceil(self.speed))
    }

    /// How long the machine takes for a simulated duration.
    #[must_use]
    pub fn real(&self, simulated: Duration) -> Duration {
        simulated / u32::try_from(self.speed).unwrap_or(u32::MAX)
    }
}

impl fmt::Display for SimClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{},{},{}", self.origin_ns, self.speed, self.origin_utc_ms)
    }
}

impl FromStr for SimClock {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let numbers: Vec<u64> = text.split(',').map_while(|n| n.parse().ok()).collect();
        match numbers[..] {
            [origin_ns, speed, origin_utc_ms] if speed > 0 => Ok(Self { origin_ns, speed, origin_utc_ms }),
            _ => Err(format!("`{text}` is not ORIGIN,SPEED,UTC")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_runs_faster_than_the_machine_and_never_back() {
        let clock = SimClock::starting_now(60);
        let first = clock.now_ns();
        let machine = machine_ns();
        while machine_ns() < machine + 2 * MS {}
        let second = clock.now_ns();
        assert!(second >= first + 120 * MS, "{first} {second}");
        assert!(clock.utc_ms(second) >= clock.utc_ms(first) + 120);
    }

    #[test]
    fn at_speed_one_it_is_the_machines_clock() {
        let clock = SimClock::starting_now(1);
        let (before, now, after) = (machine_ns(), clock.now_ns(), machine_ns());
        assert!(before <= now && now <= after);
    }

    #[test]
    fn a_wait_is_the_simulated_time_divided_by_the_speed_and_none_for_the_past() {
        let clock = SimClock::starting_now(60);
        let wait = clock.until(clock.now_ns() + 60 * SECOND);
        assert!(wait <= Duration::from_secs(1) && wait > Duration::from_millis(500), "{wait:?}");
        assert_eq!(clock.until(1), Duration::ZERO);
    }

    #[test]
    fn it_survives_the_way_through_a_command_line() {
        let clock = SimClock::starting_now(60);
        assert_eq!(clock.to_string().parse(), Ok(clock));
        for bad in ["", "1,2", "1,0,3", "1,2,3,4", "a,1,2"] {
            assert!(bad.parse::<SimClock>().is_err(), "{bad}");
        }
    }
}
