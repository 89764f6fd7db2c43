//! The process ends between any two steps. What is left is recognised at the next start, and nothing published is lost.

use super::*;

/// The folder as after `steps` steps. True if the backup was published by then.
fn cut_off(place: &Place, steps: usize) -> (PathBuf, bool) {
    let incoming = place.written(7, b"archive 3");
    let mut publish = place.folder.publish(&incoming, UTC_MS).unwrap();
    let over = (0..steps).any(|_| publish.step(4) != Progress::More);
    (incoming, over)
}

/// More than a job has, of 9 bytes in slices of 4.
const STEPS: usize = 10;

#[test]
fn after_a_crash_at_any_step_a_clean_leaves_whole_backups_alone() {
    let mut published = 0;
    for syncing in [Syncing::All, Syncing::Small, Syncing::None] {
        for steps in 0..STEPS {
            let mut place = Place::with(2);
            place.folder = Folder::new(place.root.path(), "cam-1", syncing).unwrap();
            let (_, over) = cut_off(&place, steps);
            assert_eq!(place.newest_good(), Some(if over { 3 } else { 2 }), "before the clean, {steps}");
            place.folder.clean(None).unwrap();
            place.assert_only(if over { &[1, 2, 3] } else { &[1, 2] });
            assert_eq!(place.folder.clean(None).unwrap(), Removed::default(), "twice is as once");
            published += usize::from(over);
        }
    }
    assert!((3..3 * STEPS).contains(&published));
}

#[test]
fn after_a_crash_at_any_step_a_new_job_ends_with_the_same_one_backup() {
    for (steps, begins_again) in (0..STEPS).flat_map(|steps| [(steps, false), (steps, true)]) {
        let mut place = Place::with(2);
        let (incoming, over) = cut_off(&place, steps);
        place.folder.clean(Some(&incoming)).unwrap();
        if begins_again && !over {
            assert_eq!(place.folder.begin(7, 2).unwrap(), incoming);
        }
        // An hour later.
        let published = finish(&mut place.folder.publish(&incoming, UTC_MS + 3_600_000).unwrap()).unwrap();
        assert_eq!(published.backup.number, 3, "{steps}");
        place.assert_only(&[1, 2, 3]);
        assert_eq!(place.newest_good(), Some(3));
        assert_eq!(place.find().newest, Some(published.backup));
    }
}

#[test]
fn a_manifest_that_was_cut_while_it_was_written_is_removed() {
    let place = Place::with(2);
    cut_off(&place, 5);
    let draft = place.folder.path().join("manifest-3.tmp");
    let whole = fs::read(&draft).unwrap();
    for cut in 0..whole.len() {
        fs::write(&draft, &whole[..cut]).unwrap();
        place.folder.clean(None).unwrap();
        place.assert_only(&[1, 2]);
    }
}

#[test]
fn a_deletion_that_was_cut_off_is_finished() {
    let mut place = Place::with(4);
    fs::remove_file(place.archive(1)).unwrap();
    place.folder.clean(None).unwrap();
    place.assert_only(&[2, 3, 4]);
    assert_eq!(place.newest_good(), Some(4));
}

#[test]
fn an_archive_without_its_manifest_is_no_backup_but_is_kept() {
    let mut place = Place::with(2);
    fs::remove_file(place.manifest(2)).unwrap();
    place.folder.clean(None).unwrap();
    assert_eq!(place.numbers(), [1, 2]);
    let choice = place.find();
    assert_eq!(choice.newest.map(|backup| backup.number), Some(1));
    assert_eq!(choice.skipped[0].path, place.archive(2));
    assert!(choice.skipped[0].flaw.text().contains("its manifest is not there"));
}

#[test]
fn leftovers_of_any_kind_go_and_foreign_files_stay() {
    let place = Place::with(1);
    let path = |name: &str| place.folder.path().join(name);
    let elsewhere = tempfile::NamedTempFile::new().unwrap();
    fs::create_dir(path("incoming-5-1.tmp")).unwrap();
    fs::write(path("incoming-5-2.tmp"), "x").unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), path("incoming-5-3.tmp")).unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), path("manifest-5.tmp")).unwrap();
    for name in ["notes.txt", "incoming.tmp", "x.json", "20260102T030405Z-1.backup~", "20260102T030405Z-1.txt"] {
        fs::write(path(name), "foreign").unwrap();
    }
    fs::create_dir(path("folder")).unwrap();
    let removed = place.folder.clean(None).unwrap();
    assert_eq!((removed.paths.len(), removed.failed.len()), (4, 0));
    assert!(elsewhere.path().exists());
    assert_eq!(place.files().len(), 2 + 6);
}
