//! Searches and surveys beside a publish and its retention: what they see meanwhile.

use super::*;

#[test]
fn a_search_beside_publishes_that_keep_one_always_finds_one_and_sees_no_damage() {
    const ROUNDS: u64 = 200;
    let mut bench = Bench::new(Mode::Threads);
    let server = bench.server("cam-1");
    bench.back_up(&server, b"archive");
    let (mut published, mut surveyed, mut found_last, mut found) = (1, 1, 1, 0);
    bench.files.post(server.find());
    bench.files.post(server.survey(false));
    bench.files.post(server.prepare(1));
    while published < ROUNDS {
        match bench.next() {
            Done::Prepared { op, result } => {
                let file = result.unwrap();
                fs::write(&file, "archive").unwrap();
                bench.files.post(server.publish(op, &file, 1));
            }
            Done::Published { op, result, survey, .. } => {
                published = result.unwrap().backup.number;
                assert_eq!((number(&survey), survey.unchecked), (Some(published), false));
                bench.files.post(server.prepare(op + 1));
            }
            Done::Found { survey, .. } => {
                // One from just before a publish may be told after it.
                let number = number(&survey).unwrap();
                assert!(number >= found_last, "{number} after {found_last}");
                assert_eq!((survey.unchecked, survey.damaged.len()), (false, 0), "{survey:?}");
                (found_last, found) = (number, found + 1);
                bench.files.post(server.find());
            }
            Done::Surveyed { survey, through, .. } => {
                assert_eq!(survey.damaged, []);
                let number = number(&survey).unwrap();
                // One may be told before the retention of its publish is through; never one of before after it.
                assert!(number >= surveyed.max(published) && number <= published + 1, "{number} after {published}");
                surveyed = number;
                if through {
                    bench.files.post(server.survey(true));
                }
            }
            Done::Called { .. } => panic!(),
        }
    }
    assert!(found > 0);
}

#[test]
fn after_the_cancel_of_a_backup_a_search_finds_what_no_retention_deletes() {
    for cancel_after in [0, 1, 4, 16, 64] {
        let mut bench = Bench::new(Mode::Threads);
        let server = bench.server("cam-1");
        bench.back_up(&server, b"archive 1");
        let (op, file) = bench.written_sparse(&server, 4 * cancel_after * MIB + 1);
        let before = bench.hashed();
        bench.files.post(server.publish(op, &file, 1));
        bench.files.seen.wait("slices", |counts| counts.hashed - before >= cancel_after * MIB);
        bench.files.cancel(op);
        bench.files.post(server.find());
        let found = std::iter::from_fn(|| Some(bench.next())).find_map(|done| match done {
            Done::Found { survey, .. } => Some(survey),
            _ => None,
        });
        let newest = found.unwrap().newest.unwrap();
        bench.rest();
        assert!(newest.path.exists());
        assert!(!file.exists());
    }
}

#[test]
fn a_search_does_not_read_what_a_publish_has_just_hashed() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    bench.back_up(&server, b"archive 1");
    let (op, file) = bench.written_sparse(&server, 16 * MIB);
    bench.files.post(server.publish(op, &file, 7));
    let before = bench.hashed();
    // At each step of the publish.
    let mut found = Vec::new();
    loop {
        bench.files.post(server.find());
        let done = bench.next();
        let Done::Found { survey, .. } = done else { panic!("{done:?}") };
        found.push(number(&survey).unwrap());
        let done = bench.files.step(MIB).unwrap();
        if let [Done::Published { result: Ok(_), .. }] = &done[..] {
            break;
        }
    }
    assert_eq!(bench.hashed() - before, 16 * MIB);
    assert!(found.is_sorted() && found[0] == 1 && found.last() == Some(&2), "{found:?}");
}

#[test]
fn a_survey_that_hashes_lets_a_backup_of_the_same_server_pass() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    for bytes in [64 * MIB, 64 * MIB] {
        let written = bench.written_sparse(&server, bytes);
        bench.publish(&server, written, 7).0.unwrap();
    }
    bench.files.post(server.survey(true));
    let Done::Surveyed { through: false, .. } = bench.next() else { panic!() };
    (0..4).for_each(|_| drop(bench.files.step(MIB)));
    // The retention deletes one of those that wait to be hashed.
    let (op, file) = bench.written(&server, b"archive 3");
    bench.files.post(server.publish(op, &file, 1));
    let done = bench.next();
    assert!(matches!(&done, Done::Published { result: Ok(_), .. }), "{done:?}");
    let rest = bench.rest();
    let Some(Done::Surveyed { survey, through: true, .. }) = rest.last() else { panic!("{rest:?}") };
    assert_eq!((number(survey), survey.damaged.len()), (Some(3), 0));
    server.assert_only(&[3]);
}

#[test]
fn a_long_look_that_a_publish_overtakes_begins_anew() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    fs::create_dir(server.folder.path()).unwrap();
    for number in 1..=1000 {
        // Damaged ones, for they lack their manifest.
        fs::write(server.folder.path().join(format!("20260102T030405Z-{number}.backup")), "x").unwrap();
    }
    let (op, file) = bench.written(&server, b"archive 1001");
    bench.files.post(server.survey(false));
    bench.files.post(server.publish(op, &file, 1000));
    let done = bench.rest();
    let told = done.iter().map(|done| match done {
        Done::Published { survey, .. } | Done::Surveyed { survey, .. } => (number(survey), survey.damaged.len()),
        other => panic!("{other:?}"),
    });
    assert_eq!(told.collect::<Vec<_>>(), [(Some(1001), DAMAGED_MAX); 2]);
}

#[test]
fn a_search_misses_no_backup_while_retention_deletes_what_it_has_listed() {
    let mut bench = Bench::new(Mode::Threads);
    for round in 0..5 {
        let server = bench.server(&format!("cam-{round}"));
        bench.back_up(&server, b"archive 1");
        for number in 2..=500 {
            // Damaged ones, for they lack their manifest. They have a search take long between its list and the one good backup.
            fs::write(server.folder.path().join(format!("20260102T030405Z-{number}.backup")), "x").unwrap();
        }
        let (op, file) = bench.written(&server, b"archive 501");
        bench.files.post(server.find());
        bench.files.post(server.publish(op, &file, 1));
        loop {
            match bench.next() {
                Done::Published { result, .. } => break assert_eq!(result.unwrap().backup.number, 501),
                Done::Found { survey, .. } => assert!(number(&survey).is_some(), "{survey:?}"),
                other => panic!("{other:?}"),
            }
            bench.files.post(server.find());
        }
        assert!(matches!(bench.next(), Done::Found { .. }));
    }
}
