//! Load, run, stop, destroy, close, many times in one process. The one test of its file: it counts the threads of the process.

#![cfg(target_os = "linux")]

#[path = "support/rig.rs"]
mod rig;

use rig::{Probe, abi, config, entry_of, expect, handshake, open, options, shake};

const ROUNDS: usize = 50;

fn entries(of: &str) -> usize {
    std::fs::read_dir(of).expect("the list of this process").count()
}

fn round() {
    let library = open();
    let mut io = handshake();
    expect(shake(entry_of(&library), &mut io), abi::VMSF_OK, "entry");
    // SAFETY: static as long as the library is loaded (header, rule 1).
    let api = unsafe { *io.api };
    let (directory, probe) = (tempfile::tempdir().expect("a directory"), Probe::new());
    let (table, options, mut p) = (probe.table(false), options(&directory, &config(&["a"])), 0);
    let text = options.as_ptr().cast();
    // SAFETY: table and text live during the call, which copies them (header, rule 3).
    let code = unsafe { (api.create)(&table, text, options.len(), &mut p, std::ptr::null_mut(), 0) };
    expect(code, abi::VMSF_OK, "create");
    // SAFETY: handles are checked (header, rule 4).
    expect(unsafe { (api.start)(p) }, abi::VMSF_OK, "start");
    // SAFETY: as above (header, rule 4).
    expect(unsafe { (api.stop)(p, 20_000) }, abi::VMSF_OK, "stop");
    // SAFETY: as above (header, rule 4).
    expect(unsafe { (api.destroy)(p) }, abi::VMSF_OK, "destroy");
    assert_eq!(probe.released(), 1);
    probe.assert_no_fault();
    library.close().expect("it can be closed");
}

#[test]
fn load_and_unload_leave_no_thread_and_no_file_behind() {
    round();
    let counted = || (entries("/proc/self/task"), entries("/proc/self/fd"));
    let before = counted();
    for _ in 0..ROUNDS {
        round();
        assert_eq!(counted(), before);
    }
}
