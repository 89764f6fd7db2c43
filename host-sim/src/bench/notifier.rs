//! A thread that reports keep-alives of one server without a pause, to see whether something else holds it up.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::ScopedJoinHandle;

use anyhow::{Result, anyhow};

use super::measure::{now_ns, used_by};

const NAME: &str = "bench-notify";

/// What the thread and whoever looks at it share.
#[derive(Debug, Default)]
pub struct Notifier {
    ending: AtomicBool,
    calls: AtomicU64,
    longest_ns: AtomicU64,
}

impl Notifier {
    /// While `measure` runs, `call` is made again and again on another thread. Gives what was measured, and how often the thread went to sleep in
    /// a call: a call that waits for a lock does so, one that loses its processor does not.
    pub fn beside<T>(call: impl Fn() + Send, measure: impl FnOnce(&Notifier) -> Result<T>) -> Result<(T, u64)> {
        let notifier = Notifier::default();
        std::thread::scope(|scope| {
            let builder = std::thread::Builder::new().name(NAME.into());
            let thread: ScopedJoinHandle<'_, Result<u64>> = builder.spawn_scoped(scope, || notifier.work(call))?;
            let measured = measure(&notifier);
            notifier.ending.store(true, Ordering::Release);
            let slept = thread.join().map_err(|_| anyhow!("the thread that reports keep-alives panicked"))??;
            Ok((measured?, slept))
        })
    }

    fn work(&self, call: impl Fn()) -> Result<u64> {
        let before = used_by(NAME)?.wake_ups;
        while !self.ending.load(Ordering::Acquire) {
            let began = now_ns();
            call();
            self.longest_ns.fetch_max(now_ns() - began, Ordering::AcqRel);
            self.calls.fetch_add(1, Ordering::AcqRel);
        }
        Ok(used_by(NAME)?.wake_ups - before)
    }

    /// The longest call, in ms, of those that overlapped this.
    pub fn longest_during<T>(&self, work: impl FnOnce() -> T) -> (T, f64) {
        self.settle();
        self.longest_ns.store(0, Ordering::Release);
        let done = work();
        self.settle();
        (done, self.longest_ns.load(Ordering::Acquire) as f64 / 1e6)
    }

    /// Until the call that is being made is over and counted.
    fn settle(&self) {
        let until = self.calls.load(Ordering::Acquire) + 2;
        while self.calls.load(Ordering::Acquire) < until && !self.ending.load(Ordering::Acquire) {
            std::thread::yield_now();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_call_that_waits_for_a_lock_is_seen_by_its_length_and_its_sleep() {
        let lock = Mutex::new(());
        let (longest, slept) = Notifier::beside(
            || drop(lock.lock().unwrap()),
            |notifier| {
                let held = || {
                    let _held = lock.lock().unwrap();
                    std::thread::sleep(Duration::from_millis(20));
                };
                Ok(notifier.longest_during(held).1)
            },
        )
        .unwrap();
        assert!(longest > 10.0 && slept > 0, "{longest} ms, {slept}");
    }
}
