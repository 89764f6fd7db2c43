//! What a survey and a search say, and what they read for it.

use super::*;

/// Three backups of 9 bytes each, as the process finds them when it starts.
fn after_a_start(mode: Mode) -> (Bench, Server) {
    let mut bench = Bench::new(mode);
    let server = bench.server("cam-1");
    for archive in ["archive 1", "archive 2", "archive 3"] {
        bench.back_up(&server, archive.as_bytes());
    }
    bench.forget_checks(&server);
    (bench, server)
}

#[test]
fn a_survey_says_what_there_is_first_and_that_it_is_good_once_it_is_hashed() {
    for mode in MODES {
        let (mut bench, server) = after_a_start(mode);
        let before = bench.hashed();
        let surveys = bench.survey(&server, false);
        let said: Vec<_> = surveys.iter().map(|survey| (number(survey), survey.unchecked)).collect();
        assert_eq!(said, [(Some(3), true), (Some(3), false), (Some(3), false)]);
        assert_eq!(surveys[0].newest, surveys[1].newest);
        assert!(surveys.iter().all(|survey| survey.damaged.is_empty() && survey.highest == 3));
        assert_eq!(bench.hashed() - before, 27);
    }
}

#[test]
fn a_survey_finds_a_flipped_byte_and_says_so_at_once() {
    for mode in MODES {
        let (mut bench, server) = after_a_start(mode);
        flip(&server.archive(3));
        let surveys = bench.survey(&server, false);
        let said: Vec<_> = surveys.iter().map(|survey| (number(survey), survey.unchecked)).collect();
        assert_eq!(said, [(Some(3), true), (Some(2), true), (Some(2), false), (Some(2), false)]);
        for survey in &surveys[1..] {
            let [damaged] = &survey.damaged[..] else { panic!("{survey:?}") };
            assert_eq!(damaged.path, server.archive(3));
            assert!(matches!(&damaged.flaw, Flaw::Damaged(why) if why.contains("has the SHA-256")));
            assert_eq!(survey.highest, 3);
        }
        assert_eq!(bench.find(&server), surveys[2]);
    }
}

#[test]
fn a_thorough_survey_finds_a_byte_flipped_behind_size_time_and_inode() {
    for mode in MODES {
        let (mut bench, server) = after_a_start(mode);
        bench.survey(&server, false);
        flip(&server.archive(2));
        let (before, untouched) = (bench.hashed(), bench.survey(&server, false));
        assert_eq!((bench.hashed(), untouched.len(), untouched[0].damaged.len()), (before, 1, 0));
        let surveys = bench.survey(&server, true);
        assert_eq!(bench.hashed() - before, 27);
        assert_eq!(surveys[0], untouched[0], "the newest is good until it is found not to be");
        let last = surveys.last().unwrap();
        assert_eq!((number(last), last.damaged.len()), (Some(3), 1));
        assert_eq!(last.damaged[0].path, server.archive(2));
    }
}

#[test]
fn a_search_reads_again_what_was_touched_and_nothing_else() {
    for mode in MODES {
        let (mut bench, server) = after_a_start(mode);
        let mut read = || {
            let before = bench.hashed();
            let found = bench.find(&server);
            assert!(!found.unchecked && found.damaged.is_empty());
            (number(&found), bench.hashed() - before)
        };
        assert_eq!(read(), (Some(3), 9), "after a start the newest alone");
        assert_eq!(read(), (Some(3), 0));
        touch(&server.archive(2), 1);
        assert_eq!(read(), (Some(3), 0), "an older one does not matter");
        touch(&server.archive(3), 1);
        assert_eq!(read(), (Some(3), 9));
        assert_eq!(read(), (Some(3), 0));
    }
}

#[test]
fn a_search_takes_the_next_good_one_and_tells_of_all_that_are_damaged() {
    for mode in MODES {
        let (mut bench, server) = after_a_start(mode);
        bench.survey(&server, false);
        fs::write(server.archive(3), "x").unwrap();
        fs::write(server.archive(1), "x").unwrap();
        let found = bench.find(&server);
        assert_eq!((number(&found), found.highest), (Some(2), 3));
        let damaged: Vec<_> = found.damaged.iter().map(|skipped| skipped.path.clone()).collect();
        assert_eq!(damaged, [server.archive(3), server.archive(1)]);
        assert_eq!(bench.survey(&server, false)[0], found);
        fs::write(server.archive(2), "x").unwrap();
        let found = bench.find(&server);
        assert_eq!((number(&found), found.damaged.len()), (None, 3));
    }
}

#[test]
fn of_many_damaged_ones_the_newest_are_listed_and_a_look_at_many_is_sliced() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        bench.back_up(&server, b"archive 1");
        for at in 2..=100 {
            bench.back_up(&server, b"archive");
            fs::write(server.archive(at), "x").unwrap();
        }
        let before = bench.files.seen.counts.lock().slices;
        let surveys = bench.survey(&server, false);
        assert_eq!((surveys.len(), number(&surveys[0]), surveys[0].damaged.len()), (1, Some(1), DAMAGED_MAX));
        assert_eq!(surveys[0].damaged[0].path, server.archive(100));
        assert!(bench.files.seen.counts.lock().slices - before >= 100 / 32);
        assert_eq!(bench.find(&server), surveys[0]);
    }
}

#[test]
#[cfg(unix)]
fn what_could_not_be_read_is_read_again_by_the_next_survey() {
    use std::os::unix::fs::PermissionsExt;
    let (mut bench, server) = after_a_start(Mode::Threads);
    let mode = |mode| fs::set_permissions(server.archive(3), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o000);
    if File::open(server.archive(3)).is_ok() {
        eprintln!("skipped: this user may read everything");
        return;
    }
    let last = bench.survey(&server, false).pop().unwrap();
    assert_eq!(number(&last), Some(2));
    assert!(matches!(last.damaged[0].flaw, Flaw::Unreadable(_)));
    mode(0o600);
    let last = bench.survey(&server, false).pop().unwrap();
    assert_eq!((number(&last), last.damaged.len()), (Some(3), 0));
}

#[test]
fn the_checks_of_one_folder_are_not_taken_for_another_s() {
    let (mut bench, server) = after_a_start(Mode::Driven);
    bench.survey(&server, false);
    let elsewhere = tempfile::tempdir().unwrap();
    let moved = Server { folder: Folder::new(elsewhere.path(), "cam-1", Syncing::None).unwrap(), ..server.clone() };
    // Hard links: alike in inode, size and time.
    fs::create_dir(moved.folder.path()).unwrap();
    for name in server.files() {
        if fs::hard_link(server.folder.path().join(&name), moved.folder.path().join(&name)).is_err() {
            return;
        }
    }
    let before = bench.hashed();
    assert_eq!(number(&bench.find(&moved)), Some(3));
    assert_eq!(bench.hashed() - before, 9);
}

#[test]
fn what_a_later_survey_finds_to_be_hashed_an_earlier_one_that_hashes_takes_on() {
    let (mut bench, server) = after_a_start(Mode::Driven);
    bench.files.post(server.survey(false));
    for unchecked in [true, false] {
        let Done::Surveyed { survey, through: false, .. } = bench.next() else { panic!() };
        assert_eq!(survey.unchecked, unchecked);
    }
    // It is busy with the older ones.
    touch(&server.archive(3), 1);
    bench.files.post(server.survey(false));
    let rest = bench.rest();
    let Some(Done::Surveyed { survey, through: true, .. }) = rest.last() else { panic!("{rest:?}") };
    assert_eq!((number(survey), survey.unchecked), (Some(3), false), "{rest:?}");
}

#[test]
fn a_survey_does_not_hash_what_a_search_has_hashed_meanwhile() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    for _ in 0..2 {
        let written = bench.written_sparse(&server, 16 * MIB);
        bench.publish(&server, written, 7).0.unwrap();
    }
    flip(&server.archive(2));
    bench.forget_checks(&server);
    let before = bench.hashed();
    bench.files.post(server.survey(false));
    let Done::Surveyed { through: false, .. } = bench.next() else { panic!() };
    (0..4).for_each(|_| drop(bench.files.step(MIB)));
    assert_eq!(number(&bench.find(&server)), Some(1));
    let rest = bench.rest();
    assert!(
        matches!(rest.last(), Some(Done::Surveyed { survey, .. }) if number(survey) == Some(1) && !survey.unchecked)
    );
    assert_eq!(bench.hashed() - before, 3 * 16 * MIB, "the damaged one twice, for both had begun with it");
}
