//! Every interleaving of threads on the slot of a server (`src/runtime/life_signs/slot.rs`, the very file), tried by a model checker: no keep-alive
//! is lost, none touches the next tenant, and no newer stamp is undone.
//!
//! What the mailbox does under its lock is done here by one thread; the others are in the middle of a keep-alive.

use loom::sync::Arc;
use loom::thread;

mod atomics {
    pub use loom::sync::atomic::{AtomicU64, Ordering};
}

#[path = "../src/runtime/life_signs/slot.rs"]
#[expect(dead_code, reason = "a model opens what it needs")]
mod slot;
#[path = "../src/time.rs"]
#[expect(dead_code, reason = "the whole room of time, for one type of it")]
mod time;

use slot::Slot;
use time::Mono;

const OLD: u64 = 7;
const NEXT: u64 = 8;

/// A slot that is open for `OLD` with the base 100.
fn opened() -> Arc<Slot> {
    let slot = Arc::new(Slot::default());
    assert!(slot.open(OLD, Mono(100)));
    slot
}

fn keeps_alive(slot: &Arc<Slot>, server: u64, at: u64) -> thread::JoinHandle<bool> {
    let slot = Arc::clone(slot);
    thread::spawn(move || slot.keep_alive(server, Mono(at)))
}

#[test]
fn a_keep_alive_beside_the_closing_is_in_what_was_taken_out_or_is_told_that_it_is_not() {
    loom::model(|| {
        let slot = opened();
        let keeps = keeps_alive(&slot, OLD, 110);
        let taken = slot.close();
        let was_taken = keeps.join().expect("no panic");
        assert_eq!(taken, was_taken.then_some(Mono(110)));
        assert_eq!(slot.newest(), None, "nothing comes behind it");
    });
}

#[test]
fn of_two_keep_alives_the_newer_stands_whichever_comes_last() {
    loom::model(|| {
        let slot = opened();
        let (older, newer) = (keeps_alive(&slot, OLD, 110), keeps_alive(&slot, OLD, 120));
        assert!(older.join().expect("no panic") && newer.join().expect("no panic"));
        assert_eq!(slot.close(), Some(Mono(120)));
    });
}

#[test]
fn a_thread_that_stalls_in_a_keep_alive_never_touches_the_next_tenant() {
    loom::model(|| {
        let slot = opened();
        let stalls = keeps_alive(&slot, OLD, 110);
        let taken = slot.close();
        // Its base is earlier, so that what is meant for the old one would count for more.
        assert!(slot.open(NEXT, Mono(50)));
        let was_taken = stalls.join().expect("no panic");
        assert_eq!(taken, was_taken.then_some(Mono(110)));
        assert_eq!(slot.close(), None);
    });
}

#[test]
fn opened_again_for_the_same_server_a_keep_alive_counts_by_the_right_base_or_not_at_all() {
    loom::model(|| {
        let slot = opened();
        let keeps = keeps_alive(&slot, OLD, 160);
        let first = slot.close();
        assert!(slot.open(OLD, Mono(150)));
        let was_taken = keeps.join().expect("no panic");
        let second = slot.close();
        assert_eq!(first.or(second), was_taken.then_some(Mono(160)), "{first:?} {second:?}");
        assert!(first.is_none() || second.is_none());
    });
}

#[test]
fn two_threads_of_the_same_server_and_a_closing_lose_nothing() {
    loom::model(|| {
        let slot = opened();
        let (one, other) = (keeps_alive(&slot, OLD, 110), keeps_alive(&slot, OLD, 120));
        let taken = slot.close();
        let taken_in =
            [(one, 110), (other, 120)].map(|(keeps, at)| keeps.join().expect("no panic").then_some(Mono(at)));
        assert_eq!(taken, taken_in.into_iter().flatten().max());
    });
}
