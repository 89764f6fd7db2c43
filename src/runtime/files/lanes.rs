//! The threads of the file worker, one for each lane: begun at a start, joined at a stop. A panic in a job, or in what takes its result, ends
//! its lane and is told once. Called by `runtime`, one call at a time.

use std::any::Any;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread::Builder;
use std::time::{Duration, Instant};

use super::queue::Taken;
use super::{Done, Files, Lane};
use crate::error::panic_text;

/// Hashed in one slice: some milliseconds.
const SLICE_BYTES: u64 = 4 << 20;
/// How long a lane rests when it waits for another process; whatever is posted ends it.
const REST: Duration = Duration::from_millis(20);

/// Takes the results, on the lanes' threads.
pub type Sink = Arc<dyn Fn(Done) + Send + Sync>;
/// Takes the words of a panic.
pub type Panicked = Arc<dyn Fn(String) + Send + Sync>;
/// Called first on each thread; what it gives is kept to the thread's end. So what is logged there goes to the right host.
pub type Enter = Arc<dyn Fn() -> Box<dyn Any> + Send + Sync>;

#[derive(Clone)]
struct Outside {
    sink: Sink,
    panicked: Panicked,
    enter: Enter,
}

impl Lane {
    /// As the system shows it: at most 15 bytes.
    fn thread_name(self) -> &'static str {
        match self {
            Lane::Prompt => "vms-failover-f1",
            Lane::Bulk => "vms-failover-f2",
        }
    }
}

/// Counts a thread out, however it ends.
struct Ended(Arc<Files>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.queue.lock().threads -= 1;
        self.0.ended.notify_all();
    }
}

impl Files {
    /// Begins the two threads, which do what waits. All signals stay with the host's own threads.
    ///
    /// An error if a thread cannot be had, or those of an earlier start are not joined yet; then there are none.
    pub fn start(self: &Arc<Self>, sink: Sink, panicked: Panicked, enter: Enter) -> io::Result<()> {
        {
            let mut queue = self.queue.lock();
            if queue.threads > 0 {
                return Err(io::Error::new(io::ErrorKind::AlreadyExists, "the file worker has its threads already"));
            }
            queue.ending = false;
        }
        let outside = Outside { sink, panicked, enter };
        for lane in Lane::ALL {
            if let Err(error) = self.spawn(lane, outside.clone()) {
                self.queue.lock().ending = true;
                Lane::ALL.into_iter().for_each(|lane| self.rouse(lane));
                self.join();
                return Err(error);
            }
        }
        Ok(())
    }

    fn spawn(self: &Arc<Self>, lane: Lane, outside: Outside) -> io::Result<()> {
        self.queue.lock().threads += 1;
        let ended = Ended(Arc::clone(self));
        let thread = crate::ffi::os::with_signals_blocked(|| {
            Builder::new().name(lane.thread_name().into()).spawn(move || {
                let Ended(files) = &ended;
                files.work_guarded(lane, &outside);
            })
        })?;
        self.threads.lock().push(thread);
        Ok(())
    }

    /// Has the threads end after the slice they are in, whose results are still told. All jobs are dropped, half done ones as by a crash: they
    /// are to be posted again. What is posted from now on waits for the next start. Waits for nothing.
    pub fn end(&self) {
        let dropped = {
            let mut queue = self.queue.lock();
            queue.ending = true;
            queue.clear()
        };
        Lane::ALL.into_iter().for_each(|lane| self.rouse(lane));
        // With the lock given back: what a call carries is not known here.
        drop(dropped);
    }

    /// Whether both threads have ended by then; if so they are joined. True where there are none.
    pub fn ended_by(&self, until: Instant) -> bool {
        {
            let mut queue = self.queue.lock();
            while queue.threads > 0 {
                if self.ended.wait_until(&mut queue, until).timed_out() && queue.threads > 0 {
                    return false;
                }
            }
        }
        self.join();
        true
    }

    fn join(&self) {
        let threads = std::mem::take(&mut *self.threads.lock());
        for thread in threads {
            // Its panics are caught inside.
            let _ = thread.join();
        }
    }

    fn work_guarded(&self, lane: Lane, outside: &Outside) {
        let _entered = (outside.enter)();
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| self.work(lane, outside))) {
            // If telling it panics too, there is nobody left to tell.
            let _ = catch_unwind(AssertUnwindSafe(|| (outside.panicked)(panic_text(&*panic))));
        }
    }

    fn work(&self, lane: Lane, outside: &Outside) {
        while let Some(taken) = self.wait_for_work(lane) {
            let (done, rests) = self.run(taken, SLICE_BYTES);
            done.into_iter().for_each(|done| (outside.sink)(done));
            if rests {
                self.rest(lane);
            }
        }
    }

    /// None at the end.
    fn wait_for_work(&self, lane: Lane) -> Option<Taken> {
        let mut queue = self.queue.lock();
        loop {
            #[cfg(test)]
            self.seen.turn(lane);
            if queue.ending {
                return None;
            }
            if let Some(taken) = queue.take(lane) {
                return Some(taken);
            }
            self.posted[lane as usize].wait(&mut queue);
        }
    }

    fn rest(&self, lane: Lane) {
        let mut queue = self.queue.lock();
        if !queue.ending {
            self.posted[lane as usize].wait_for(&mut queue, REST);
        }
    }
}
