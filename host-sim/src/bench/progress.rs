//! What is being measured just now, for whoever watches.

use std::cell::Cell;
use std::io::{self, IsTerminal, Write};
use std::time::{Duration, Instant};

/// A screen needs no more, and the measured need less.
const PAUSE: Duration = Duration::from_millis(200);

/// One line on standard error, where that is a screen.
#[derive(Debug)]
pub struct Progress {
    is_shown: bool,
    last: Cell<Option<Instant>>,
}

impl Progress {
    /// Shown on a screen.
    pub fn new() -> Progress {
        Progress { is_shown: io::stderr().is_terminal(), last: Cell::new(None) }
    }

    /// So many of so many are done of what a row tells.
    pub fn at(&self, row: &str, done: usize, of: usize) {
        if !self.is_shown || self.last.get().is_some_and(|last| last.elapsed() < PAUSE) {
            return;
        }
        self.last.set(Some(Instant::now()));
        // Who closes standard error wants none.
        let _ = write!(io::stderr(), "\r\x1b[Kmeasuring: {row}, {done} of {of}");
    }

    /// The line is empty again.
    pub fn clear(&self) {
        if self.is_shown {
            let _ = write!(io::stderr(), "\r\x1b[K");
        }
        self.last.set(None);
    }
}
