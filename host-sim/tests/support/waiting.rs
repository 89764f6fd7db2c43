//! Waiting for what other processes do, which tell a test nothing.

use std::time::{Duration, Instant};

/// How long anything may take on a machine that is busy with other things.
pub const LIMIT: Duration = Duration::from_secs(300);

/// Waits until it is so: nobody tells of it, so it is looked for again and again.
pub fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let limit = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < limit, "in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}
