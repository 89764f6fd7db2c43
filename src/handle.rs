//! Checked handles: kind, a serial number that is never given twice in a process, and an index.
//!
//! `kind (4 bits) | serial (38 bits) | index (22 bits)`. Whoever keeps the things stores the whole handle beside each and compares, so a stale,
//! foreign, swapped or invented number matches nothing. Called by `ffi` (instances) and `runtime` (servers).

use std::sync::atomic::{AtomicU64, Ordering};

const INDEX_BITS: u32 = 22;
const SERIAL_BITS: u32 = 38;

/// What a handle stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A plugin instance.
    Plugin = 5,
    /// A monitored server.
    Server = 6,
}

/// A handle that was never given before. `index` below 2^22.
pub fn new(kind: Kind, index: usize) -> u64 {
    static SERIAL: AtomicU64 = AtomicU64::new(1);
    let serial = SERIAL.fetch_add(1, Ordering::Relaxed) & ((1 << SERIAL_BITS) - 1);
    let index = (index as u64) & ((1 << INDEX_BITS) - 1);
    (kind as u64) << (INDEX_BITS + SERIAL_BITS) | serial << INDEX_BITS | index
}

/// The index in a handle of this kind.
pub fn index(handle: u64, kind: Kind) -> Option<usize> {
    let is_kind = handle >> (INDEX_BITS + SERIAL_BITS) == kind as u64;
    is_kind.then_some((handle & ((1 << INDEX_BITS) - 1)) as usize)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_handle_carries_its_index_and_kind_and_is_never_given_twice() {
        let (first, second) = (new(Kind::Server, 1_000_000), new(Kind::Server, 1_000_000));
        assert_ne!(first, second);
        assert_eq!(index(first, Kind::Server), Some(1_000_000));
        assert_eq!(index(first, Kind::Plugin), None);
        assert_eq!(index(0, Kind::Plugin), None);
        assert_eq!(index(u64::MAX, Kind::Plugin), None);
    }
}
