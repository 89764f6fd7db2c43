//! The threads of an instance that is not driven by its host: the worker, which waits for the next instant or a wake-up and delivers, and the
//! writer, which writes the state for it, so that no deadline waits for the disk.
//!
//! Messages come through the channel, but the timed wait is a condition variable: crossbeam's timed receive yields its time slice a few times before it
//! looks at the clock, and wakes 10 ms late on a busy machine. Never holds a lock across a callback. A panic ends the thread's work, not the process.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::Runtime;
use crate::diagnostics;
use crate::engine::Ran;
use crate::error::panic_text;
use crate::time::{Mono, Span};

/// A timed wait ends so much early, and the rest is spent spinning: a thread that sleeps comes 30 to 100 µs late, and its caches are cold then.
/// Costs at most this per wake-up that time brings, of which there are few a second.
const AWAKE_EARLY: Duration = Duration::from_micros(100);

/// Rouses the worker; a call that comes while it is awake is not lost.
#[derive(Debug, Default)]
pub struct Waker {
    called: Mutex<bool>,
    changed: Condvar,
}

impl Waker {
    /// Ends the current wait, or the next.
    pub fn wake(&self) {
        let mut called = self.called.lock();
        if !*called {
            *called = true;
            self.changed.notify_one();
        }
    }

    /// Waits until called, or at most `most`; for ever with None.
    fn wait(&self, most: Option<Duration>) {
        let mut called = self.called.lock();
        let until = most.map(|most| Instant::now() + most);
        let asleep_until = until.map(|until| until.checked_sub(AWAKE_EARLY).unwrap_or(until));
        while !*called {
            match asleep_until {
                Some(until) if self.changed.wait_until(&mut called, until).timed_out() => break,
                Some(_) => {}
                None => self.changed.wait(&mut called),
            }
        }
        if std::mem::take(&mut *called) {
            return;
        }
        // Who calls now is heard in the turn that follows.
        drop(called);
        while until.is_some_and(|until| Instant::now() < until) {
            std::hint::spin_loop();
        }
    }
}

/// What a thread does until it is asked to end.
pub type Work = fn(&Runtime, &AtomicBool);

/// A thread, and what is known of it.
pub struct Worker {
    thread: JoinHandle<()>,
    shared: Arc<Shared>,
}

#[derive(Default)]
struct Shared {
    ending: AtomicBool,
    ended: Mutex<bool>,
    changed: Condvar,
}

struct Ended<'a>(&'a Shared);

impl Drop for Ended<'_> {
    fn drop(&mut self) {
        *self.0.ended.lock() = true;
        self.0.changed.notify_all();
    }
}

impl Worker {
    /// Starts a thread; all signals stay with the host's own threads.
    pub fn spawn(name: &str, runtime: Arc<Runtime>, work: Work) -> std::io::Result<Worker> {
        let shared = Arc::new(Shared::default());
        let mine = Arc::clone(&shared);
        let thread = crate::ffi::os::with_signals_blocked(|| {
            std::thread::Builder::new().name(name.into()).spawn(move || {
                // Says so even if a panic gets this far, or `stop` would wait for ever.
                let _ended = Ended(&mine);
                let _current = diagnostics::enter(Arc::clone(&runtime.host));
                work(&runtime, &mine.ending);
            })
        })?;
        Ok(Worker { thread, shared })
    }

    /// Asks it to end once what is queued is delivered.
    pub fn end(&self) {
        self.shared.ending.store(true, Ordering::Release);
    }

    /// Waits for its end.
    pub fn ended_by(&self, until: Instant) -> bool {
        let mut ended = self.shared.ended.lock();
        while !*ended {
            if self.shared.changed.wait_until(&mut ended, until).timed_out() {
                return *ended;
            }
        }
        true
    }

    /// Joins a thread that has ended.
    pub fn join(self) {
        // Its panics are caught inside.
        let _ = self.thread.join();
    }
}

impl Runtime {
    /// The worker: works until asked to end. A panic poisons the instance; the last event is still tried, then the thread only waits for its end.
    pub(super) fn work_guarded(&self, ending: &AtomicBool) {
        crate::ffi::os::wait_precisely();
        while !ending.load(Ordering::Acquire) || self.core.lock().outbox_len() > 0 {
            match catch_unwind(AssertUnwindSafe(|| self.work(ending))) {
                Ok(()) => break,
                Err(panic) => {
                    // The flag is set first, so if saying it panics, nothing more is decided at least.
                    let _ = catch_unwind(AssertUnwindSafe(|| self.poison(&panic_text(&*panic))));
                }
            }
        }
    }

    /// The writer: whenever the worker has something for the disk. A panic poisons the instance.
    pub(super) fn write_guarded(&self, ending: &AtomicBool) {
        loop {
            self.writer_waker.wait(None);
            if ending.load(Ordering::Acquire) {
                return self.core.lock().was_handed_back();
            }
            let written = catch_unwind(AssertUnwindSafe(|| {
                self.follow_the_configuration();
                self.commit_what_changed();
            }));
            if let Err(panic) = written {
                let _ = catch_unwind(AssertUnwindSafe(|| self.poison(&panic_text(&*panic))));
            }
            self.core.lock().was_handed_back();
            self.waker.wake();
        }
    }

    fn work(&self, ending: &AtomicBool) {
        let mut delivering = self.delivering.lock();
        let mut ran = Ran::default();
        loop {
            let last = ending.load(Ordering::Acquire);
            if !last && !self.is_poisoned() {
                ran.slept = delivering.slept();
                self.turn(ran);
            }
            if last {
                // Nothing else is due any more, and what was begun has to be on disk.
                let _ = self.commit();
                self.deliver_all();
                return;
            }
            self.deliver_what_waits();
            if self.core.lock().hands_over(self.now()) {
                self.writer_waker.wake();
            }
            let (wait, planned) = self.until_next_turn();
            // Callbacks may have put the wake-up off beyond what the engine planned: only what comes after it is a pause.
            ran.busy_until = planned;
            self.waker.wait(wait);
        }
    }

    /// How long nothing needs to be done, None for ever; and the instant of the next turn.
    fn until_next_turn(&self) -> (Option<Duration>, Mono) {
        let core = self.core.lock();
        let now = self.now();
        if core.outbox_len() > 0 {
            return (Some(Duration::ZERO), now.mono);
        }
        if self.is_poisoned() {
            return (None, now.mono);
        }
        if core.must_look_again() || core.has_begins_to_release() {
            return (Some(Duration::ZERO), now.mono);
        }
        let at = core.next_wake(now);
        let wait = at.map(|at| {
            let Span(ns) = at - now.mono;
            Duration::from_nanos(ns)
        });
        (wait, at.unwrap_or(now.mono))
    }
}
