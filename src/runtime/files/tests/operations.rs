//! Backups: prepared, published, kept, failed, given up.

use super::*;

#[test]
fn what_is_published_is_told_with_what_there_is_then_and_is_not_read_again() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        let written = bench.written(&server, b"archive 1");
        let (published, survey) = bench.publish(&server, written, 7);
        assert_eq!((published, number(&survey), survey.unchecked, survey.highest), (Ok(1), Some(1), false, 1));
        assert_eq!(bench.hashed(), 9);
        assert_eq!(bench.find(&server), survey);
        assert_eq!(bench.survey(&server, false), [survey]);
        assert_eq!(bench.hashed(), 9, "neither a takeover nor a survey reads it again");
        server.assert_only(&[1]);
    }
}

#[test]
fn a_publish_deletes_what_is_in_excess_even_if_that_is_much() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        for number in 1..=150 {
            assert_eq!(bench.back_up(&server, b"archive"), number);
        }
        let written = bench.written(&server, b"archive 151");
        let (published, survey) = bench.publish(&server, written, 3);
        assert_eq!((published, number(&survey), survey.damaged.len()), (Ok(151), Some(151), 0));
        server.assert_only(&[149, 150, 151]);
    }
}

#[test]
fn an_excess_that_cannot_be_deleted_is_no_failure_of_the_backup() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    for archive in ["archive 1", "archive 2"] {
        bench.back_up(&server, archive.as_bytes());
    }
    // The manifest of the one that goes can't be removed.
    let manifest = server.archive(1).with_extension("json");
    let written = bench.written(&server, b"archive 3");
    bench.files.post(server.publish(written.0, &written.1, 1));
    while server.folder.list().unwrap().len() < 3 {
        assert!(bench.files.step(MIB).unwrap().is_empty());
    }
    fs::remove_file(&manifest).unwrap();
    fs::create_dir(&manifest).unwrap();
    fs::write(manifest.join("precious"), "x").unwrap();
    let Done::Published { result: Ok(_), survey, .. } = bench.next() else { panic!() };
    assert_eq!(number(&survey), Some(3));
    assert!(manifest.join("precious").exists());
}

/// Two good backups; the third fails with this reason, and all is as before.
fn fails(spoil: impl Fn(&Path), reason: &str) {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        bench.back_up(&server, b"archive 1");
        bench.back_up(&server, b"archive 2");
        let written = bench.written(&server, b"archive 3");
        spoil(&written.1);
        let (published, survey) = bench.publish(&server, written.clone(), 1);
        let error = published.unwrap_err();
        assert!(error.text.contains(reason), "{} does not say {reason}", error.text);
        assert!(error.text.contains(written.1.to_str().unwrap()), "{} does not say where", error.text);
        assert_eq!((number(&survey), survey.unchecked, survey.damaged.len()), (Some(2), false, 0));
        server.assert_only(&[1, 2]);
        assert_eq!(bench.back_up(&server, b"archive 3"), 3);
    }
}

#[test]
fn a_failed_backup_says_why_and_leaves_the_earlier_ones_and_no_temporary_file() {
    fails(|path| fs::write(path, "").unwrap(), "is empty");
    fails(|path| fs::remove_file(path).unwrap(), "is not there");
    fails(
        |path| {
            fs::remove_file(path).unwrap();
            fs::create_dir(path).unwrap();
        },
        "is a directory",
    );
    #[cfg(unix)]
    fails(
        |path| {
            fs::remove_file(path).unwrap();
            std::os::unix::fs::symlink("/etc/hostname", path).unwrap();
        },
        "is a symbolic link",
    );
}

#[test]
fn a_missing_backup_directory_is_named_and_heals() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let mount = bench.root.path().join("volume");
        let mut server = bench.server("cam-1");
        server.folder = Folder::new(&mount, "cam-1", Syncing::Small).unwrap();
        let error = bench.prepare(&server).1.unwrap_err();
        assert!(error.text.contains(server.folder.path().to_str().unwrap()), "{}", error.text);
        assert_eq!(bench.find(&server), Survey::default(), "there are simply no backups");
        fs::create_dir(&mount).unwrap();
        assert_eq!(bench.back_up(&server, b"archive"), 1);
    }
}

#[test]
fn a_folder_that_is_none_is_an_error_of_every_job() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        fs::write(server.folder.path(), "x").unwrap();
        let reason = "is not a folder of its own";
        let says = |survey: Survey| survey.error.is_some_and(|error| error.text.contains(reason));
        assert!(bench.prepare(&server).1.unwrap_err().text.contains(reason));
        let file = server.folder.path().join("incoming-1-1.tmp");
        let (published, survey) = bench.publish(&server, (1, file), 7);
        assert!(published.unwrap_err().text.contains(reason) && says(survey));
        assert!(says(bench.find(&server)));
        assert!(bench.survey(&server, false).into_iter().all(says));
    }
}

#[test]
#[cfg(unix)]
fn a_folder_that_may_not_be_written_fails_the_backup_and_heals() {
    use std::os::unix::fs::PermissionsExt;
    let mut bench = Bench::new(Mode::Threads);
    let server = bench.server("cam-1");
    bench.back_up(&server, b"archive 1");
    let written = bench.written(&server, b"archive 2");
    let mode = |mode| fs::set_permissions(server.folder.path(), fs::Permissions::from_mode(mode)).unwrap();
    mode(0o500);
    if File::create(server.folder.path().join("x")).is_ok() {
        eprintln!("skipped: this user may write everywhere");
        return;
    }
    let (published, survey) = bench.publish(&server, written, 7);
    assert!(published.unwrap_err().text.contains("ermission denied"));
    assert_eq!(number(&survey), Some(1));
    mode(0o700);
    assert_eq!(bench.back_up(&server, b"archive 2"), 2);
    server.assert_only(&[1, 2]);
}

#[test]
fn a_file_in_the_backup_directory_of_before_fails_and_is_removed_there_and_foreign_ones_stay() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        let written = bench.written(&server, b"archive");
        let now = tempfile::tempdir().unwrap();
        let moved = Server { folder: Folder::new(now.path(), "cam-1", Syncing::None).unwrap(), ..server.clone() };
        let (published, _) = bench.publish(&moved, written.clone(), 7);
        assert!(published.unwrap_err().text.contains(written.1.to_str().unwrap()));
        assert!(!written.1.exists());

        let foreign = bench.root.path().join("foreign");
        fs::write(&foreign, "x").unwrap();
        assert!(bench.publish(&moved, (1, foreign.clone()), 7).0.is_err());
        assert!(foreign.exists());
    }
}

#[test]
fn a_cancelled_operation_leaves_nothing_and_brings_no_result_however_far_it_was() {
    for (mode, steps) in MODES.into_iter().flat_map(|mode| (0..6).map(move |steps| (mode, steps))) {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        bench.back_up(&server, b"archive 1");
        let (op, file) = bench.written_sparse(&server, 64 * GIB);
        bench.files.post(server.publish(op, &file, 1));
        match mode {
            Mode::Driven => (0..steps).for_each(|_| assert!(bench.files.step(MIB).unwrap().is_empty())),
            Mode::Threads => bench.files.seen.wait("slices", |counts| counts.hashed >= steps * 16 * MIB),
        }
        bench.files.cancel(op);
        let rest = bench.rest();
        assert!(rest.is_empty(), "{mode:?} after {steps}: {rest:?}");
        server.assert_only(&[1]);
    }
}

#[test]
fn a_cancelled_prepare_brings_no_result_and_what_its_host_has_written_is_removed() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        bench.back_up(&server, b"archive 1");
        if mode == Mode::Driven {
            bench.files.post(server.prepare(1));
            bench.files.cancel(1);
        }
        let (op, _) = bench.written(&server, b"archive 2");
        bench.files.cancel(op);
        assert!(bench.rest().is_empty());
        server.assert_only(&[1]);
    }
}

#[test]
fn a_cancel_after_the_rename_leaves_the_backup_published_and_tells_of_it_as_of_a_survey() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    bench.back_up(&server, b"archive 1");
    let (op, file) = bench.written(&server, b"archive 2");
    bench.files.post(server.publish(op, &file, 1));
    while server.folder.list().unwrap().len() < 2 {
        assert!(bench.files.step(MIB).unwrap().is_empty());
    }
    bench.files.cancel(op);
    let rest = bench.rest();
    let [Done::Surveyed { survey, through: true, .. }] = &rest[..] else { panic!("{rest:?}") };
    assert_eq!((number(survey), survey.unchecked), (Some(2), false));
    // A takeover may want the older one at this moment.
    server.assert_only(&[1, 2]);
}

#[test]
fn a_clean_removes_leftovers_but_nothing_of_what_is_prepared_or_published() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let server = bench.server("cam-1");
        bench.back_up(&server, b"archive 1");
        let written = bench.written(&server, b"archive 2");
        let leftover = server.folder.path().join("incoming-9-9.tmp");
        fs::write(&leftover, "x").unwrap();
        bench.files.post(server.clean());
        bench.files.post(server.clean());
        assert_eq!(bench.publish(&server, written, 7).0, Ok(2));
        assert!(!leftover.exists());
        server.assert_only(&[1, 2]);
    }
}

#[test]
fn a_start_cleans_up_but_what_goes_on_is_no_leftover() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let (server, other) = (bench.server("cam-1"), bench.server("cam-2"));
        for server in [&server, &other] {
            // As an earlier life has left it.
            fs::create_dir(server.folder.path()).unwrap();
            fs::write(server.folder.path().join("incoming-1-7.tmp"), "archive").unwrap();
            fs::write(server.folder.path().join("manifest-1.tmp"), "{").unwrap();
        }
        bench.files.post(server.survey_at_start(Some(7)));
        bench.files.post(other.survey_at_start(None));
        for _ in 0..2 {
            assert!(matches!(bench.next(), Done::Surveyed { through: true, .. }));
        }
        assert_eq!(other.files(), [""; 0]);
        assert_eq!(server.files(), ["incoming-1-7.tmp"]);
        assert_eq!(bench.publish(&server, (7, server.folder.path().join("incoming-1-7.tmp")), 7).0, Ok(1));
    }
}

#[test]
fn a_start_that_cleans_late_leaves_an_operation_alone_that_has_begun_meanwhile() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    let written = bench.written(&server, b"archive 1");
    bench.files.post(server.survey_at_start(None));
    assert!(matches!(bench.next(), Done::Surveyed { .. }));
    assert!(written.1.exists(), "prepared");
    bench.files.post(server.publish(written.0, &written.1, 7));
    loop {
        bench.files.post(server.survey_at_start(None));
        if let Done::Published { result, .. } = bench.next() {
            assert_eq!(result.unwrap().backup.number, 1);
            break;
        }
    }
    bench.rest();
    server.assert_only(&[1]);
}

#[test]
fn a_file_that_another_process_holds_is_tried_again_and_given_up_in_the_end() {
    for mode in MODES {
        for lets_go in [true, false] {
            let patience = if lets_go { PATIENCE } else { Duration::from_millis(100) };
            let mut bench = Bench::with_patience(mode, patience);
            let (server, other) = (bench.server("cam-1"), bench.server("cam-2"));
            bench.back_up(&server, b"archive 1");
            let held = server.folder.path().join("held");
            fs::write(&held, "").unwrap();
            let (op, file) = bench.written(&server, b"archive 2");
            let draft = server.folder.path().join("manifest-2.tmp");
            bench.files.post(server.publish(op, &file, 7));
            // Others are served meanwhile.
            assert_eq!(bench.find(&server).highest, 1);
            if lets_go {
                assert_eq!(bench.back_up(&other, b"archive"), 1);
                bench.files.seen.wait("draft", |_| mode == Mode::Driven || draft.exists());
                fs::remove_file(&held).unwrap();
            }
            let Done::Published { result, survey, .. } = bench.next() else { panic!() };
            let newest = if lets_go { 2 } else { 1 };
            assert_eq!((result.is_ok(), number(&survey)), (lets_go, Some(newest)));
            if let Err(error) = result {
                assert!(error.text.contains("held by another process"), "{}", error.text);
                fs::remove_file(&held).unwrap();
            }
            server.assert_only(if lets_go { &[1, 2] } else { &[1] });
        }
    }
}

#[test]
fn a_clean_that_comes_before_what_an_earlier_life_has_left_to_publish_leaves_it() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    fs::create_dir(server.folder.path()).unwrap();
    let file = server.folder.path().join("incoming-1-7.tmp");
    fs::write(&file, "archive").unwrap();
    bench.files.post(server.clean());
    assert_eq!(bench.publish(&server, (7, file), 7).0, Ok(1));
}

#[test]
fn a_cancelled_attempt_leaves_nothing_of_an_earlier_life_s_and_nothing_of_the_next_one_s_is_touched() {
    for publishes in [true, false] {
        let mut bench = Bench::new(Mode::Driven);
        let server = bench.server("cam-1");
        let next = server.folder.path().join("incoming-1-8.tmp");
        fs::create_dir(server.folder.path()).unwrap();
        for file in ["incoming-1-7.tmp", "manifest-1.tmp", "20260102T030405Z-1.json"] {
            fs::write(server.folder.path().join(file), "x").unwrap();
        }
        fs::write(&next, "archive").unwrap();
        bench.files.post(server.publish(7, &server.folder.path().join("incoming-1-7.tmp"), 7));
        if publishes {
            bench.files.post(server.publish(8, &next, 7));
        }
        bench.files.cancel(7);
        let rest = bench.rest();
        assert!(matches!((publishes, &rest[..]), (true, [Done::Published { op: 8, result: Ok(_), .. }]) | (false, [])));
        server.assert_only(if publishes { &[1] } else { &[] });
    }
}

#[test]
fn a_cancel_knows_whether_it_cleans_up_itself() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    bench.back_up(&server, b"archive 1");
    let leftover = server.folder.path().join("incoming-9-9.tmp");
    // Prepared; waiting to be published; half published.
    for slices in [None, Some(0), Some(1)] {
        let (op, file) = bench.written(&server, b"archive 2");
        if let Some(slices) = slices {
            bench.files.post(server.publish(op, &file, 7));
            (0..slices).for_each(|_| drop(bench.files.step(1)));
        }
        fs::write(&leftover, "x").unwrap();
        assert!(bench.files.cancel(op), "{slices:?}");
        assert!(bench.rest().is_empty());
        assert!(!leftover.exists(), "{slices:?}");
        server.assert_only(&[1]);
        assert!(!bench.files.cancel(op), "nothing of it is left");
    }
}
