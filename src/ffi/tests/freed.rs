//! The allocator of the unit tests: looks into every block of memory that is given back, whether it still holds a test's secret.
//!
//! Looks only on a thread that asked, while its run lasts; otherwise it is the system's. A block that grows is moved, so that the copy it leaves
//! is looked at, too. Called by the tests of whatever room handles secrets.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

/// What a secret of a test holds.
pub const MARK: &[u8; 16] = b"#secret-of-test#";
/// The same as hexadecimal digits.
const MARK_IN_HEX: [u8; 32] = hex(MARK);

const fn hex(bytes: &[u8; 16]) -> [u8; 32] {
    let mut digits = [0; 32];
    let mut at = 0;
    while at < digits.len() {
        let nibble = bytes[at / 2] >> (4 * (1 - at % 2)) & 15;
        digits[at] = b"0123456789abcdef"[nibble as usize];
        at += 1;
    }
    digits
}

thread_local! {
    /// How many blocks were found; None where nobody looks.
    static FOUND: Cell<Option<usize>> = const { Cell::new(None) };
}

/// Runs something; gives how many blocks of memory this thread gave back meanwhile with the mark in them, as bytes or digits.
pub fn holding_the_mark<T>(run: impl FnOnce() -> T) -> (usize, T) {
    FOUND.set(Some(0));
    let result = run();
    (FOUND.take().unwrap_or(0), result)
}

struct Looking;

#[global_allocator]
static ALLOCATOR: Looking = Looking;

// SAFETY: the rules of GlobalAlloc are kept by the system's allocator, which does all the work; nothing here panics or allocates.
unsafe impl GlobalAlloc for Looking {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        // SAFETY: the caller's layout, as the rules of GlobalAlloc ask. Zeroed, so that there is something to look at.
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Ok(Some(found)) = FOUND.try_with(Cell::get) {
            // SAFETY: the caller gives a living block of this size back, and nobody else has it (rules of GlobalAlloc).
            let bytes = unsafe { std::slice::from_raw_parts(block, layout.size()) };
            let holds = |mark: &[u8]| bytes.windows(mark.len()).any(|window| window == mark);
            FOUND.set(Some(found + usize::from(holds(MARK) || holds(&MARK_IN_HEX))));
        }
        // SAFETY: block and layout are the caller's (rules of GlobalAlloc).
        unsafe { System.dealloc(block, layout) }
    }
}

#[test]
fn a_copy_that_was_not_wiped_is_found() {
    let digits: String = MARK.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(holding_the_mark(|| drop(MARK.to_vec())).0, 1);
    assert_eq!(holding_the_mark(|| drop(digits.clone())).0, 1);
    // One left behind by growing, and the last.
    let grow = || {
        let mut bytes = MARK.to_vec();
        bytes.reserve_exact(100_000);
        bytes
    };
    assert_eq!(holding_the_mark(|| drop(grow())).0, 2);
    assert_eq!(holding_the_mark(|| drop(zeroize::Zeroizing::new(MARK.to_vec()))).0, 0);
}
