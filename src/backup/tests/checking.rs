//! Hashing again, what is known without hashing, and the choice at a takeover.

use std::os::unix::fs::{PermissionsExt, symlink};

use super::*;

#[test]
fn a_published_backup_is_not_read_again_while_it_is_as_it_was() {
    let mut place = Place::with(3);
    assert_eq!(found_by_hashing(&mut place), (Some(3), 0));
    assert_eq!(place.find().skipped, []);
}

/// What a search finds, and how many bytes it hashes for that.
fn found_by_hashing(place: &mut Place) -> (Option<u64>, u64) {
    let before = counted().0;
    (place.newest_good(), counted().0 - before)
}

#[test]
fn what_was_never_checked_or_has_changed_is_hashed_before_a_takeover_and_no_older_one_taken_instead() {
    let mut place = Place::with(2);
    let newest = "archive 2".len() as u64;
    place.checks.forget(place.name(2));
    assert_eq!(found_by_hashing(&mut place), (Some(2), newest), "never checked");
    // The same bytes, written anew.
    damage(&place.archive(2), b"archive 2", 1);
    assert_eq!(found_by_hashing(&mut place), (Some(2), newest), "changed");
    assert_eq!(found_by_hashing(&mut place), (Some(2), 0), "as at its last check");
}

#[test]
fn damage_of_each_kind_is_found_and_the_next_good_one_taken() {
    type Damage = fn(&Place);
    let kinds: [(&str, Damage); 9] = [
        ("has the SHA-256", |place| damage(&place.archive(3), b"archive 4", 1)),
        ("has 3 bytes, by its manifest 9", |place| fs::write(place.archive(3), "arc").unwrap()),
        ("has 0 bytes", |place| fs::write(place.archive(3), "").unwrap()),
        ("its manifest is not there", |place| fs::remove_file(place.manifest(3)).unwrap()),
        ("its manifest can't be read", |place| fs::write(place.manifest(3), "{").unwrap()),
        ("is of another backup", |place| assert!(fs::copy(place.manifest(2), place.manifest(3)).is_ok())),
        ("more than 65536", |place| fs::write(place.manifest(3), " ".repeat(65_537)).unwrap()),
        ("is a symbolic link", |place| {
            let path = place.archive(3);
            fs::remove_file(&path).unwrap();
            symlink(place.archive(2), path).unwrap();
        }),
        ("its manifest is a directory", |place| {
            fs::remove_file(place.manifest(3)).unwrap();
            fs::create_dir(place.manifest(3)).unwrap();
        }),
    ];
    for (reason, spoil) in kinds {
        let mut place = Place::with(3);
        spoil(&place);
        let choice = place.find();
        assert!(matches!(&choice.newest, Some(backup) if backup.number == 2), "{reason}: {choice:?}");
        assert_eq!(choice.skipped.len(), 1);
        assert_eq!(choice.skipped[0].path, place.archive(3));
        assert!(matches!(&choice.skipped[0].flaw, Flaw::Damaged(why) if why.contains(reason)), "{choice:?}");
        let before = counted().0;
        assert_eq!((place.find(), counted().0), (choice, before), "and is known from then on");
    }
}

#[test]
fn every_flipped_byte_of_a_manifest_is_noticed_or_harmless() {
    let mut place = Place::with(2);
    let whole = fs::read(place.manifest(2)).unwrap();
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 1 << (at % 8);
        fs::write(place.manifest(2), &flipped).unwrap();
        place.checks = Checks::default();
        let Some(good) = place.find().newest else { panic!("{at}") };
        // White space, and the case of the server's id, say nothing.
        let same = serde_json::from_slice::<serde_json::Value>(&flipped).is_ok();
        assert!(good.number == 1 || (good.number == 2 && same), "byte {at}");
    }
}

#[test]
fn another_manifest_asks_for_another_check() {
    let mut place = Place::with(1);
    let text = fs::read_to_string(place.manifest(1)).unwrap();
    let good = place.find().newest.unwrap();
    fs::write(place.manifest(1), text.replace(&good.sha256, &"0".repeat(64))).unwrap();
    assert_eq!(found_by_hashing(&mut place), (None, good.size));
}

#[test]
fn an_archive_that_changes_while_it_is_verified_is_not_noted() {
    let place = Place::with(1);
    let mut verify = place.folder.verify(place.name(1));
    assert_eq!(verify.step(3), Progress::More);
    damage(&place.archive(1), b"archive 9", 1);
    assert_eq!(verify.step(3), Progress::More);
    let Progress::Done(Verified::Not(Flaw::Unreadable(why))) = verify.step(3) else { panic!() };
    assert!(why.contains("changed while it was read"), "{why}");
}

#[test]
fn a_search_ends_though_somebody_goes_on_writing() {
    let mut place = Place::with(2);
    place.checks = Checks::default();
    let mut find = place.folder.find();
    for age in 0..100 {
        damage(&place.archive(2), b"archive 2", age);
        if let Progress::Done(choice) = find.step(4, &mut place.checks) {
            let choice = choice.unwrap();
            assert_eq!(choice.newest.map(|backup| backup.number), Some(1));
            assert!(matches!(choice.skipped[0].flaw, Flaw::Unreadable(_)));
            return;
        }
    }
    panic!("no end");
}

#[test]
fn what_may_not_be_read_is_skipped_and_heals() {
    let mut place = Place::with(2);
    let mode = |mode| fs::set_permissions(place.archive(2), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    if File::open(place.archive(2)).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let name = place.name(2);
    let Verified::Checked(checked) = verify(&place.folder, name) else { panic!() };
    assert!(matches!(checked.flaw(), Some(Flaw::Unreadable(_))));
    mode(0o600);
    place.checks.note(name, checked);
    assert_eq!(place.newest_good(), Some(1), "until the next check");
    let Verified::Checked(checked) = verify(&place.folder, name) else { panic!() };
    place.checks.note(name, checked);
    assert_eq!(place.newest_good(), Some(2));
}

#[test]
fn a_backup_that_is_gone_is_not_verified() {
    let place = Place::with(1);
    let name = place.name(1);
    fs::remove_file(place.archive(1)).unwrap();
    let Verified::Not(Flaw::Damaged(why)) = verify(&place.folder, name) else { panic!() };
    assert_eq!(why, "is not there");
}

#[test]
fn a_search_does_not_read_on_what_another_job_has_checked_meanwhile() {
    let mut place = Place::with(1);
    let checks = std::mem::take(&mut place.checks);
    let mut find = place.folder.find();
    for _ in 0..3 {
        assert_eq!(find.step(1, &mut place.checks), Progress::More);
    }
    let before = counted().0;
    let Progress::Done(choice) = find.step(1, &mut checks.clone()) else { panic!("it reads on") };
    assert_eq!(choice.unwrap().newest.map(|backup| backup.number), Some(1));
    assert_eq!(counted().0, before);
}

#[test]
fn one_that_is_deleted_after_it_was_listed_is_gone_not_damaged() {
    let mut place = Place::with(2);
    let name = place.name(1);
    fs::remove_file(place.manifest(1)).unwrap();
    assert!(matches!(place.folder.look(name, &place.checks), Condition::Flawed(Flaw::Damaged(_))));
    fs::remove_file(place.archive(1)).unwrap();
    assert_eq!(place.folder.look(name, &place.checks), Condition::Gone);
    assert_eq!(place.find().skipped, []);
}
