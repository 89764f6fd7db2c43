//! A large archive delays nobody: while 2 GiB are hashed and published, a server fails at its deadline and is taken over at once, whether the
//! plugin has threads of its own or the host drives.

#[path = "support/rig.rs"]
mod rig;

use std::fs::File;
use std::sync::{Mutex, PoisonError};

use rig::{Callback, KEEP_ALIVE, Rig, SECOND, abi, expect};

const ARCHIVE: u64 = 2 << 30;
const SLICE: u64 = 1 << 20;
/// When the other server fails, while the archive is hashed.
const FAILS_IN: u64 = SECOND / 4;
/// A wake-up of a busy machine. Hashing takes several times as long.
const LATE_MAX: u64 = SECOND / 2;

/// Each of them takes a processor for itself.
static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());

/// The host has written 2 GiB of settings; they are being published. Gives the operation.
fn publishing(rig: &Rig) -> u64 {
    let (code, request) = rig.backup(rig.server("a"));
    expect(code, abi::VMSF_OK, "backup");
    let begun = rig.asked(request);
    // Holes are read and hashed like anything else.
    File::create(begun.file()).and_then(|file| file.set_len(ARCHIVE)).expect("an archive");
    expect(rig.complete(begun.id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    begun.id
}

fn takes_over(callback: &Callback, server: u64) -> bool {
    matches!(callback, Callback::Begin { kind, server: of, .. } if *kind == abi::VMSF_OP_TAKEOVER && *of == server)
}

fn size_of(backup: &Callback) -> u64 {
    let Callback::Event { json, .. } = backup else { panic!("{backup:?}") };
    assert_eq!(json["details"]["result"], "ok", "{json}");
    json["details"]["size"].as_u64().expect("a size")
}

#[test]
fn while_the_file_worker_publishes_2_gib_a_server_fails_at_its_deadline_and_is_taken_over() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let rig = Rig::ready(false, &["a", "b"]);
    let b = rig.server("b");
    let backup = publishing(&rig);
    let stamp = rig.now() - KEEP_ALIVE + FAILS_IN;
    expect(rig.notify(b, abi::VMSF_NOTIFY_KEEP_ALIVE, stamp), abi::VMSF_OK, "notify");
    let failed = rig.wait("failed", |callback| callback.is("health", "failed"));
    rig.wait("takeover", |callback| takes_over(callback, b));
    let begun_at = rig.now();
    assert_eq!(rig.probe.count(|callback| callback.is_of("backup", backup)), 0, "2 GiB were hashed by then");
    let Callback::Event { mono_ns, .. } = failed else { unreachable!() };
    let deadline = stamp + KEEP_ALIVE;
    assert!(mono_ns >= deadline, "early");
    assert!(begun_at - deadline < LATE_MAX, "the takeover began {} ms late", (begun_at - deadline) / 1_000_000);
    let published = rig.wait("backup", |callback| callback.is_of("backup", backup));
    assert_eq!(size_of(&published), ARCHIVE);
}

#[test]
fn inside_poll_2_gib_are_hashed_in_slices_and_a_deadline_is_met_at_its_instant() {
    let _alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let rig = Rig::ready(true, &["a", "b"]);
    let b = rig.server("b");
    let deadline = rig.now() + KEEP_ALIVE;
    expect(rig.notify(b, abi::VMSF_NOTIFY_KEEP_ALIVE, rig.now()), abi::VMSF_OK, "notify");
    let backup = publishing(&rig);
    // A host that polls once a second, though it is asked to poll at once.
    for second in (1..=KEEP_ALIVE / SECOND).rev() {
        expect(rig.poll(deadline + SECOND - second * SECOND).0, abi::VMSF_OK, "poll");
    }
    assert_eq!(rig.probe.count(|callback| callback.is("health", "failed")), 1, "in the first poll at its deadline");
    let mut polls = KEEP_ALIVE / SECOND;
    while rig.probe.find(|callback| takes_over(callback, b)).is_none() {
        expect(rig.poll(deadline).0, abi::VMSF_OK, "poll");
        polls += 1;
        assert!(polls <= KEEP_ALIVE / SECOND + 10, "a look at its own backup takes a few polls");
    }
    let published = loop {
        let (code, next) = rig.poll(deadline);
        expect(code, abi::VMSF_OK, "poll");
        polls += 1;
        match rig.probe.find(|callback| callback.is_of("backup", backup)) {
            Some(published) => break published,
            None => assert!(next <= deadline, "there is work"),
        }
    };
    assert!(polls >= ARCHIVE / SLICE, "{polls} polls: some hashed more than 1 MiB");
    assert_eq!(size_of(&published), ARCHIVE);
}
