//! When each server needs to be looked at again.
//!
//! Lazy: an entry is a lower bound of the server's next instant. What moves that instant later (every keep-alive does) touches nothing here;
//! the entry comes up, is found early, and is set anew. Called by `engine` alone; decides nothing.

use std::collections::BTreeSet;

use super::policy::ServerKey;
use crate::time::Mono;

#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    by_instant: BTreeSet<(Mono, ServerKey)>,
    armed: Vec<Option<Mono>>,
}

impl Timers {
    /// Makes sure that `key` comes up at `at` or earlier.
    pub(super) fn arm(&mut self, key: ServerKey, at: Mono) {
        if self.armed.len() <= key.index() {
            self.armed.resize(key.index() + 1, None);
        }
        let armed = &mut self.armed[key.index()];
        if armed.is_some_and(|armed| armed <= at) {
            return;
        }
        if let Some(later) = armed.replace(at) {
            self.by_instant.remove(&(later, key));
        }
        self.by_instant.insert((at, key));
    }

    pub(super) fn disarm(&mut self, key: ServerKey) {
        if let Some(at) = self.armed.get_mut(key.index()).and_then(Option::take) {
            self.by_instant.remove(&(at, key));
        }
    }

    /// Takes out one server whose entry lies at or before `now`.
    pub(super) fn pop(&mut self, now: Mono) -> Option<ServerKey> {
        let (at, key) = *self.by_instant.first()?;
        if at > now {
            return None;
        }
        self.disarm(key);
        Some(key)
    }

    /// Those whose entry lies at or before `now`.
    pub(super) fn due(&self, now: Mono) -> impl Iterator<Item = ServerKey> {
        self.by_instant.range(..=(now, ServerKey(u32::MAX))).map(|(_, key)| *key)
    }

    pub(super) fn next(&self) -> Option<Mono> {
        self.by_instant.first().map(|(at, _)| *at)
    }

    pub(super) fn clear(&mut self) {
        *self = Timers::default();
    }
}
