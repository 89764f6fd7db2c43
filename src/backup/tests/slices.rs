//! Each step is short: it hashes at most its budget and makes at most one sync.

use super::super::disk::SYNCS;
use super::*;

const MIB: u64 = 1 << 20;

fn syncs() -> u32 {
    SYNCS.with(|syncs| syncs.get())
}

#[test]
fn a_sparse_archive_of_256_mib_is_published_in_slices() {
    let place = Place::new(Syncing::Small);
    let incoming = place.folder.begin(7, 0).unwrap();
    File::create(&incoming).unwrap().set_len(256 * MIB).unwrap();
    let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
    let mut steps = 0;
    let published = loop {
        let (hashed, synced) = (publish.hashed(), syncs());
        let progress = publish.step(MIB);
        let (hashed, synced) = (publish.hashed() - hashed, syncs() - synced);
        assert!(hashed <= MIB && synced <= 1, "step {steps}: {hashed} bytes, {synced} syncs");
        assert!(hashed == 0 || synced == 0, "step {steps} hashes and syncs");
        steps += 1;
        if let Progress::Done(published) = progress {
            break published.unwrap();
        }
    };
    // Check, 256 slices, draft, manifest, archive.
    assert_eq!((steps, publish.hashed()), (260, 256 * MIB));
    assert_eq!(published.backup.size, 256 * MIB);
    // What sha256sum says of 256 MiB of zeroes.
    assert_eq!(published.backup.sha256, "a6d72ac7690f53be6ae46ba88506bd97302a093f7108472bd9efc3cefda06484");

    let mut verify = place.folder.verify(published.name);
    let slices = (1..).find(|_| verify.step(MIB) != Progress::More);
    assert_eq!(slices, Some(256));
}

#[test]
fn what_is_synced_is_what_was_asked_for() {
    // The folder's own name, then archive, draft, manifest's name, archive's name.
    for (syncing, expected) in [(Syncing::All, 5), (Syncing::Small, 4), (Syncing::None, 0)] {
        let mut place = Place::new(syncing);
        let before = syncs();
        place.back_up(b"archive");
        assert_eq!(syncs() - before, expected, "{syncing:?}");
    }
}

#[test]
fn every_other_call_makes_at_most_one_sync() {
    let mut place = Place::with(5);
    place.folder = Folder::new(place.root.path(), "cam-1", Syncing::All).unwrap();
    type Call = fn(&mut Place);
    let calls: [(Call, u32); 4] = [
        (|place| drop(place.folder.begin(1, 0).unwrap()), 0),
        (|place| drop(place.folder.clean(None).unwrap()), 0),
        (|place| drop(place.find()), 0),
        (|place| drop(place.folder.retain(1, &mut place.checks).unwrap()), 1),
    ];
    for (call, expected) in calls {
        let before = syncs();
        call(&mut place);
        assert_eq!(syncs() - before, expected);
    }
}

#[test]
fn a_budget_of_nothing_still_comes_to_an_end() {
    let place = Place::new(Syncing::None);
    let incoming = place.written(7, b"archive");
    let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
    assert!((0..20).any(|_| publish.step(0) != Progress::More));
    place.assert_only(&[1]);
}

#[test]
fn a_file_that_grows_for_ever_is_hashed_to_its_first_size_only() {
    let place = Place::new(Syncing::None);
    let incoming = place.written(7, &[7; 100]);
    let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
    let mut size = 100;
    let error = loop {
        size += 50;
        if incoming.exists() {
            damage(&incoming, &vec![7; size], size as u64);
        }
        if let Progress::Done(result) = publish.step(50) {
            break result.unwrap_err();
        }
    };
    assert!(error.text.contains("was written to"), "{}", error.text);
    assert!(publish.hashed() <= 150);
}
