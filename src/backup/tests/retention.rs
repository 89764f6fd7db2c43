//! What is kept, what is deleted.

use super::*;

fn retain(place: &mut Place, kept: usize) -> Removed {
    let removed = place.folder.retain(kept, &mut place.checks).unwrap();
    assert_eq!(removed.failed, []);
    removed
}

#[test]
fn the_newest_good_ones_are_kept() {
    let table: [(usize, &[u64]); 6] =
        [(0, &[5]), (1, &[5]), (2, &[4, 5]), (4, &[2, 3, 4, 5]), (5, &[1, 2, 3, 4, 5]), (1000, &[1, 2, 3, 4, 5])];
    for (kept, left) in table {
        let mut place = Place::with(5);
        let removed = retain(&mut place, kept);
        assert_eq!(removed.paths.len(), 2 * (5 - left.len()));
        place.assert_only(left);
        assert_eq!(retain(&mut place, kept), Removed::default(), "twice is as once");
    }
}

#[test]
fn damaged_ones_do_not_count_and_go_when_they_are_old() {
    // Damaged, kept, left.
    let table: [(&[u64], usize, &[u64]); 8] = [
        (&[5], 2, &[3, 4, 5]),
        (&[4, 5], 1, &[3, 5]),
        (&[4, 5], 2, &[2, 3, 4, 5]),
        (&[2], 2, &[4, 5]),
        (&[1], 4, &[2, 3, 4, 5]),
        (&[2, 3, 4, 5], 1, &[1, 5]),
        (&[2, 3, 4, 5], 3, &[1, 3, 4, 5]),
        (&[1, 2, 3, 4, 5], 1, &[1, 2, 3, 4, 5]),
    ];
    for (damaged, kept, left) in table {
        let mut place = Place::with(5);
        for number in damaged {
            fs::write(place.archive(*number), "damaged").unwrap();
        }
        retain(&mut place, kept);
        assert_eq!(place.numbers(), left, "{damaged:?} damaged, {kept} kept");
    }
}

#[test]
fn nothing_goes_while_nothing_is_known_to_be_good() {
    let mut place = Place::with(5);
    place.checks = Checks::default();
    assert_eq!(retain(&mut place, 1), Removed::default());
    // One was checked: what is newer may be good too, what is older is in excess.
    let name = place.name(3);
    let Verified::Checked(checked) = verify(&place.folder, name) else { panic!() };
    place.checks.note(name, checked);
    retain(&mut place, 1);
    place.assert_only(&[3, 4, 5]);
}

#[test]
fn one_that_has_changed_since_its_check_is_not_good() {
    let mut place = Place::with(3);
    damage(&place.archive(3), b"archive X", 1);
    retain(&mut place, 1);
    assert_eq!(place.numbers(), [2, 3]);
    assert_eq!(place.newest_good(), Some(2));
}

#[test]
fn the_next_number_is_never_one_that_was_deleted() {
    let mut place = Place::with(3);
    fs::write(place.archive(3), "damaged").unwrap();
    retain(&mut place, 1);
    assert_eq!(place.back_up(b"next").backup.number, 4);
}

#[test]
fn links_and_folders_with_an_archive_s_name_are_not_deleted() {
    let mut place = Place::with(3);
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    let archive = place.archive(1);
    fs::remove_file(&archive).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), &archive).unwrap();
    let archive = place.archive(2);
    fs::remove_file(&archive).unwrap();
    fs::create_dir(&archive).unwrap();
    retain(&mut place, 1);
    assert_eq!(place.numbers(), [1, 2, 3]);
    assert!(elsewhere.path().exists());
}

#[test]
fn many_go_in_several_calls_the_oldest_first() {
    let mut place = Place::with(150);
    let removed = retain(&mut place, 10);
    assert!(removed.more);
    assert_eq!(place.numbers()[0], 65);
    assert!(retain(&mut place, 10).more);
    assert!(!retain(&mut place, 10).more);
    place.assert_only(&(141..=150).collect::<Vec<_>>());
}
