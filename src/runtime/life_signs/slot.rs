//! The newest keep-alive of one server, in one word that any thread advances and one thread at a time opens and closes.
//!
//! `generation (24 bits) | ns since just before the base (40 bits)`. The base is the stamp of the server's last message before: no keep-alive
//! counts from earlier, and one that is stamped so is still told from none. A keep-alive is `fetch_max` on that word, with the generation that was
//! read before the tenant was compared. Closing begins the next generation with the very operation that takes the newest keep-alive out, so each keep-alive is
//! either in what was taken out, or finds a higher generation, changes nothing and is told so. Hence a thread that stalls here while its server is
//! removed never touches the next tenant, a newer stamp is never undone, and none is lost between the two.
//!
//! Why `fetch_max` on the whole word is enough, step by step: the closing thread takes the tenant away before it begins the next generation, and
//! the opening one sets the base before the tenant. Whoever has read generation g and then finds the tenant his own has read the base of g, or g is
//! over by then; and what is over is lower than anything that the word can hold. `tests/life_signs.rs` has every interleaving tried.
//!
//! Waits for nothing and allocates nothing. Knows no mailbox, no engine and no clock.

use crate::atomics::{AtomicU64, Ordering};
use crate::time::Mono;

const SINCE_BITS: u32 = 40;
/// The latest keep-alive after the base that fits: 1,099 s. The slot is looked at once in a keep-alive timeout (300 s at most), and opened anew
/// with another base when half of that is over.
const SINCE_MAX: u64 = (1 << SINCE_BITS) - 1;
/// After so many generations a slot stays closed: its keep-alives go the way of all other messages.
const GENERATION_MAX: u64 = u64::MAX >> SINCE_BITS;

/// The slot of one server; one tenant after another has it. In a cache line of its own: with several in one, two threads that report
/// different servers take the line from each other at every keep-alive.
#[derive(Debug)]
#[repr(align(64))]
pub struct Slot {
    word: AtomicU64,
    /// The handle of the server that has it; 0 while it is closed.
    tenant: AtomicU64,
    /// The instant before the base, in ns. Set while it is closed.
    start: AtomicU64,
}

impl Default for Slot {
    fn default() -> Slot {
        Slot { word: AtomicU64::new(0), tenant: AtomicU64::new(0), start: AtomicU64::new(0) }
    }
}

impl Slot {
    /// A keep-alive of this server. False if the slot is closed, another's, or its base too old: then nothing has changed, and it has to be
    /// reported as any other message. Any thread.
    #[inline]
    pub fn keep_alive(&self, server: u64, at: Mono) -> bool {
        let generation = self.word.load(Ordering::Acquire) & !SINCE_MAX;
        if self.tenant.load(Ordering::Acquire) != server {
            return false;
        }
        let since = at.0.saturating_sub(self.start.load(Ordering::Acquire)).max(1);
        since <= SINCE_MAX && self.word.fetch_max(generation | since, Ordering::AcqRel) & !SINCE_MAX == generation
    }

    /// Opens it for this server, from whose last message on keep-alives count. False if it is used up. Only while it is closed; one thread.
    pub fn open(&self, server: u64, base: Mono) -> bool {
        if self.word.load(Ordering::Acquire) >> SINCE_BITS == GENERATION_MAX {
            return false;
        }
        self.start.store(base.0.saturating_sub(1), Ordering::Release);
        self.tenant.store(server, Ordering::Release);
        true
    }

    /// Closes it; gives the newest keep-alive since it was opened. Nothing changes it from now on. One thread.
    pub fn close(&self) -> Option<Mono> {
        if self.tenant.load(Ordering::Acquire) == 0 {
            return None;
        }
        self.tenant.store(0, Ordering::Release);
        // Only whoever closes changes the generation, so it stays as it is read here.
        let generation = self.word.load(Ordering::Acquire) >> SINCE_BITS;
        self.stamp(self.word.swap((generation + 1) << SINCE_BITS, Ordering::AcqRel))
    }

    /// The newest keep-alive since it was opened. On the thread that opens it.
    pub fn newest(&self) -> Option<Mono> {
        self.stamp(self.word.load(Ordering::Acquire))
    }

    /// Whether half of what fits after the base is over. On the thread that opens it.
    pub fn needs_another_base(&self) -> bool {
        self.word.load(Ordering::Acquire) & SINCE_MAX > SINCE_MAX / 2
    }

    fn stamp(&self, word: u64) -> Option<Mono> {
        let since = word & SINCE_MAX;
        (since > 0).then(|| Mono(self.start.load(Ordering::Acquire) + since))
    }

    /// Leaves this many generations, for a test of the end of them.
    #[cfg(test)]
    pub fn age(&self, left: u64) {
        self.word.store((GENERATION_MAX - left) << SINCE_BITS, Ordering::Release);
    }
}
