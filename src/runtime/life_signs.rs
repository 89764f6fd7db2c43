//! The hot path: a keep-alive of a server that keeps alive is a clock read and one atomic operation on the server's slot. It wakes nobody, takes
//! no lock, counts nothing and allocates nothing; the worker reads the slot when the server's old deadline comes.
//!
//! Slots lie in chunks that are never freed, since a thread may stall in the middle of a keep-alive for as long as it likes. The table of an
//! instance that ended is given to a later one, whose servers have other handles. A driving host's keep-alives go the way of all other messages:
//! only its next poll knows what time it is.
//!
//! Written by any thread; which slot is open for whom is decided by the mailbox of the server. Called by `ffi` (`keep_alive`) and `runtime`.

mod slot;

use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use vms_failover_abi as abi;

pub use self::slot::Slot;
use super::clock;
use crate::handle::{self, Kind};
use crate::time::Mono;

/// Instances of one process that have the hot path; the keep-alives of more go the way of all other messages.
const TABLES: usize = 64;
/// Instances with higher indexes have no door to a table.
const DOORS_MAX: usize = 4_096;
/// Slots in the first chunk; each further one has twice as many as the one before.
const FIRST_CHUNK: usize = 256;
const CHUNKS: usize = 15;

/// The slots of one instance.
#[derive(Debug)]
struct Table {
    is_leased: AtomicBool,
    /// The handle of the instance while keep-alives are welcome; 0 while it does not run, or is poisoned.
    open_for: AtomicU64,
    chunks: [OnceLock<Box<[Slot]>>; CHUNKS],
}

static ALL: [Table; TABLES] = [const {
    Table {
        is_leased: AtomicBool::new(false),
        open_for: AtomicU64::new(0),
        chunks: [const { OnceLock::new() }; CHUNKS],
    }
}; TABLES];

/// Which table the instance of each index has. What is left of an earlier one, or the 0 of none, leads to a table that is open for another.
static DOORS: [AtomicUsize; DOORS_MAX] = [const { AtomicUsize::new(0) }; DOORS_MAX];

/// Takes a keep-alive in, stamped with `mono_ns`, 0 for now. False if that did nothing: it is to be reported as any other message.
#[inline]
pub fn keep_alive(plugin: abi::vmsf_plugin, server: abi::vmsf_server, mono_ns: u64) -> bool {
    take(plugin, server, mono_ns).unwrap_or(false)
}

#[inline]
fn take(plugin: abi::vmsf_plugin, server: abi::vmsf_server, mono_ns: u64) -> Option<bool> {
    let door = DOORS.get(handle::index(plugin, Kind::Plugin)?)?;
    let table = ALL.get(door.load(Ordering::Acquire))?;
    if table.open_for.load(Ordering::Acquire) != plugin {
        return None;
    }
    let slot = table.slot(handle::index(server, Kind::Server)?)?;
    // What is stamped later than now counts from now.
    let now = clock::monotonic();
    let at = if mono_ns == 0 { now } else { now.min(Mono(mono_ns)) };
    Some(slot.keep_alive(server, at))
}

/// The chunk of a slot, and its place in there.
fn place(index: usize) -> (usize, usize) {
    let chunk = (index / FIRST_CHUNK + 1).ilog2();
    (chunk as usize, index - FIRST_CHUNK * ((1 << chunk) - 1))
}

impl Table {
    fn slot(&self, index: usize) -> Option<&Slot> {
        let (chunk, place) = place(index);
        self.chunks.get(chunk)?.get()?.get(place)
    }
}

/// A table, for as long as an instance has it.
#[derive(Debug)]
pub struct Slots {
    table: &'static Table,
    number: usize,
    /// The handle of the instance; 0 until it is known.
    plugin: AtomicU64,
}

impl Slots {
    /// A table that is free, if there is one.
    pub fn lease() -> Option<Slots> {
        let lease = |(number, table): (usize, &'static Table)| {
            let free = !table.is_leased.swap(true, Ordering::AcqRel);
            free.then(|| Slots { table, number, plugin: AtomicU64::new(0) })
        };
        ALL.iter().enumerate().find_map(lease)
    }

    /// The slot of this index, made where it is missing.
    pub fn slot(&self, index: usize) -> Option<&'static Slot> {
        let (chunk, place) = place(index);
        let make = || (0..FIRST_CHUNK << chunk).map(|_| Slot::default()).collect();
        self.table.chunks.get(chunk)?.get_or_init(make).get(place)
    }

    /// The instance is known by this handle from now on.
    pub fn belong_to(&self, plugin: abi::vmsf_plugin) {
        if let Some(door) = handle::index(plugin, Kind::Plugin).and_then(|index| DOORS.get(index)) {
            door.store(self.number, Ordering::Release);
            self.plugin.store(plugin, Ordering::Release);
        }
    }

    /// Keep-alives are welcome.
    pub fn open(&self) {
        self.table.open_for.store(self.plugin.load(Ordering::Acquire), Ordering::Release);
    }

    /// No keep-alive that comes from now on is taken in.
    pub fn close(&self) {
        self.table.open_for.store(0, Ordering::Release);
    }
}

impl Drop for Slots {
    fn drop(&mut self) {
        self.close();
        // The next one finds them as they were made. Nobody else opens or closes them by now.
        self.table.chunks.iter().filter_map(OnceLock::get).flatten().for_each(|slot| _ = slot.close());
        self.table.is_leased.store(false, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_index_of_a_handle_has_a_place_of_its_own() {
        let mut expected = (0, 0);
        for index in 0..1 << 22 {
            assert_eq!(place(index), expected, "{index}");
            expected.1 += 1;
            if expected.1 == FIRST_CHUNK << expected.0 {
                expected = (expected.0 + 1, 0);
            }
        }
        assert!(expected.0 < CHUNKS);
    }

    #[test]
    fn a_slot_keeps_the_newest_stamp_of_its_tenant_alone() {
        let slot = Slot::default();
        assert!(!slot.keep_alive(7, Mono(5)), "closed");
        assert!(slot.open(7, Mono(100)));
        assert_eq!(slot.newest(), None);
        assert!(slot.keep_alive(7, Mono(130)) && slot.keep_alive(7, Mono(120)) && slot.keep_alive(7, Mono(3)));
        assert!(!slot.keep_alive(8, Mono(150)));
        assert_eq!(slot.newest(), Some(Mono(130)));
        assert_eq!(slot.close(), Some(Mono(130)));
        assert!(slot.open(7, Mono(140)) && slot.keep_alive(7, Mono(3)));
        assert_eq!(slot.close(), Some(Mono(140)), "not before the base");
        assert_eq!((slot.newest(), slot.close()), (None, None));
        assert!(slot.open(8, Mono(140)));
        assert!(!slot.keep_alive(7, Mono(150)));
        assert_eq!(slot.close(), None);
    }

    #[test]
    fn a_keep_alive_too_long_after_the_base_and_one_in_a_slot_that_is_used_up_go_the_other_way() {
        let slot = Slot::default();
        slot.age(1);
        assert!(slot.open(7, Mono(100)));
        assert!(slot.keep_alive(7, Mono(100 + (1 << 39) - 2)) && !slot.needs_another_base());
        assert!(slot.keep_alive(7, Mono(100 + (1 << 39))) && slot.needs_another_base());
        assert!(!slot.keep_alive(7, Mono(99 + (1 << 40))));
        assert!(slot.keep_alive(7, Mono(98 + (1 << 40))));
        assert_eq!(slot.close(), Some(Mono(98 + (1 << 40))));
        assert!(!slot.open(7, Mono(100)), "the last generation");
        assert!(!slot.keep_alive(7, Mono(101)));
    }

    #[test]
    fn no_table_is_leased_twice_and_all_come_back() {
        let (one, other) = (Slots::lease().unwrap(), Slots::lease().unwrap());
        assert_ne!(one.number, other.number);
        assert!(!std::ptr::eq(one.slot(300).unwrap(), other.slot(300).unwrap()));
        assert!(std::ptr::eq(one.slot(300).unwrap(), one.table.slot(300).unwrap()));
        let table = one.table;
        assert!(table.is_leased.load(Ordering::Acquire));
        drop(one);
        // Another test of this process may have it at once.
        assert!(table.slot(300).is_some(), "the chunk stays");
        assert!((0..2 * TABLES).all(|_| Slots::lease().is_some()), "all come back");
    }
}
