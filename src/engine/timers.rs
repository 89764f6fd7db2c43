//! When each server needs to be looked at again.
//!
//! Lazy: an entry is a lower bound of the server's next instant. What moves that instant later (every keep-alive does) touches nothing here;
//! the entry comes up, is found early, and is set anew. Called by `engine` alone; decides nothing.
//!
//! Buckets of 67 ms, only those that hold something, in order; each server knows its place in its bucket, so that setting anew costs much the
//! same however many there are. Chosen by measurement (2-core virtual machine, 30 s and a keep-alive every 5 s, one look ahead a second; the cost of
//! a second, and of all being due at once):
//!
//! | servers | buckets in order | ordered set of entries | heap, stale entries left in | scan of all | wheel of 4,096 buckets |
//! |---|---|---|---|---|---|
//! | 1,000 | 2 µs, 0.01 ms | 4 µs, 0.01 ms | 2 µs, 0.03 ms | 1 µs, 0.01 ms | 1 µs, 0.02 ms |
//! | 100,000 | 157 µs, 0.3 ms | 535 µs, 0.5 ms | 472 µs, 8 ms | 114 µs, 0.1 ms | 34 µs, 0.2 ms |
//! | 1,000,000 | 1.9 ms, 8.5 ms | 6.0 ms, 22 ms | 9.0 ms, 217 ms | 1.1 ms, 1.4 ms | 0.3 ms, 2.6 ms |
//!
//! The scan is paid again by every message that wakes the worker; the wheel holds 100 kB where there is one server, and entries of later rounds and
//! stale ones have to be told apart; a heap grows with each entry that is set earlier.

use std::cell::Cell;
use std::collections::BTreeMap;

use super::policy::ServerKey;
use crate::time::Mono;

/// A bucket spans two to the power of this, in ns.
const SPAN_BITS: u32 = 26;

#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    buckets: BTreeMap<u64, Vec<(Mono, ServerKey)>>,
    armed: Vec<Option<Armed>>,
    /// None: not known; it is in the first bucket.
    earliest: Cell<Option<Mono>>,
}

#[derive(Clone, Copy, Debug)]
struct Armed {
    at: Mono,
    /// In its bucket.
    place: usize,
}

fn bucket_of(at: Mono) -> u64 {
    at.0 >> SPAN_BITS
}

impl Timers {
    /// Makes sure that `key` comes up at `at` or earlier.
    pub(super) fn arm(&mut self, key: ServerKey, at: Mono) {
        if self.armed.len() <= key.index() {
            self.armed.resize(key.index() + 1, None);
        }
        if self.armed[key.index()].is_some_and(|armed| armed.at <= at) {
            return;
        }
        self.disarm(key);
        if self.buckets.is_empty() {
            self.earliest.set(Some(at));
        }
        self.earliest.set(self.earliest.get().map(|earliest| earliest.min(at)));
        let bucket = self.buckets.entry(bucket_of(at)).or_default();
        self.armed[key.index()] = Some(Armed { at, place: bucket.len() });
        bucket.push((at, key));
    }

    pub(super) fn disarm(&mut self, key: ServerKey) {
        let Some(Armed { at, place }) = self.armed.get_mut(key.index()).and_then(Option::take) else { return };
        if self.earliest.get() == Some(at) {
            self.earliest.set(None);
        }
        let Some(bucket) = self.buckets.get_mut(&bucket_of(at)) else { return };
        bucket.swap_remove(place);
        if let Some((_, moved)) = bucket.get(place)
            && let Some(armed) = &mut self.armed[moved.index()]
        {
            armed.place = place;
        }
        if bucket.is_empty() {
            self.buckets.remove(&bucket_of(at));
        }
    }

    /// Takes out the servers whose entry lies at or before `now`, the earliest first.
    pub(super) fn take_due(&mut self, now: Mono) -> Vec<ServerKey> {
        let mut due = Vec::new();
        // Whole buckets first, without care for the places in them.
        while let Some(first) = self.buckets.first_entry().filter(|first| *first.key() < bucket_of(now)) {
            let mut bucket = first.remove();
            bucket.sort_unstable();
            for (_, key) in bucket {
                self.armed[key.index()] = None;
                due.push(key);
            }
            self.earliest.set(None);
        }
        let last = self.due(now);
        last.iter().for_each(|key| self.disarm(*key));
        due.extend(last);
        due
    }

    /// Those whose entry lies at or before `now`, the earliest first.
    pub(super) fn due(&self, now: Mono) -> Vec<ServerKey> {
        let entries = self.buckets.range(..=bucket_of(now)).flat_map(|(_, bucket)| bucket);
        let mut due: Vec<(Mono, ServerKey)> = entries.copied().filter(|(at, _)| *at <= now).collect();
        due.sort_unstable();
        due.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn next(&self) -> Option<Mono> {
        let (_, first) = self.buckets.first_key_value()?;
        if self.earliest.get().is_none() {
            self.earliest.set(first.iter().map(|(at, _)| *at).min());
        }
        self.earliest.get()
    }

    pub(super) fn clear(&mut self) {
        *self = Timers::default();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    /// One ordered set does the same, slower.
    #[derive(Default)]
    struct Plain(BTreeSet<(Mono, ServerKey)>);

    impl Plain {
        fn arm(&mut self, key: ServerKey, at: Mono) {
            let armed = self.0.iter().find(|(_, armed)| *armed == key).copied();
            if armed.is_none_or(|(armed, _)| at < armed) {
                self.disarm(key);
                self.0.insert((at, key));
            }
        }

        fn disarm(&mut self, key: ServerKey) {
            self.0.retain(|(_, armed)| *armed != key);
        }

        fn due(&self, now: Mono) -> Vec<ServerKey> {
            self.0.iter().filter(|(at, _)| *at <= now).map(|(_, key)| *key).collect()
        }
    }

    proptest! {
        #[test]
        fn whatever_is_armed_comes_up_once_in_order_and_the_next_is_known(
            steps in prop::collection::vec((0..4_u8, 0..6_u32, 0..12_u64, any::<bool>()), 1..200),
        ) {
            let (mut timers, mut plain) = (Timers::default(), Plain::default());
            for (what, key, at, fine) in steps {
                // Within a bucket and across some, and at the end of time.
                let at = if at == 11 { u64::MAX } else { at << if fine { SPAN_BITS - 2 } else { SPAN_BITS + 1 } };
                let (key, at) = (ServerKey(key), Mono(at));
                match what {
                    0 | 1 => {
                        timers.arm(key, at);
                        plain.arm(key, at);
                    }
                    2 => {
                        timers.disarm(key);
                        plain.disarm(key);
                    }
                    _ => {
                        let due = plain.due(at);
                        prop_assert_eq!(timers.due(at), due.clone());
                        prop_assert_eq!(timers.take_due(at), due.clone());
                        due.into_iter().for_each(|key| plain.disarm(key));
                    }
                }
                prop_assert_eq!(timers.next(), plain.0.first().map(|(at, _)| *at));
            }
        }
    }
}
