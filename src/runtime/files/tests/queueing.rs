//! What waits: merged, in turn, dropped.

use super::*;

#[test]
fn surveys_of_one_server_that_wait_are_one_and_do_all_that_was_asked() {
    let mut bench = Bench::new(Mode::Driven);
    let (server, other) = (bench.server("cam-1"), bench.server("cam-2"));
    bench.back_up(&server, b"archive 1");
    fs::write(server.folder.path().join("incoming-9-9.tmp"), "x").unwrap();
    bench.files.post(server.survey_at_start(None));
    for _ in 0..100 {
        bench.files.post(server.survey(true));
        bench.files.post(other.survey(false));
        bench.files.post(server.survey(false));
    }
    let before = bench.hashed();
    let done = bench.rest();
    let of =
        |id: &str| done.iter().filter(|done| matches!(done, Done::Surveyed { whose, .. } if &*whose.id == id)).count();
    // Before hashing, and at the end.
    assert_eq!((of("cam-1"), of("cam-2"), done.len()), (2, 1, 3));
    assert_eq!(bench.hashed() - before, 9, "thorough");
    server.assert_only(&[1]);
}

#[test]
fn surveys_posted_while_one_hashes_look_at_once_and_hash_with_it() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    let written = bench.written_sparse(&server, 64 * MIB);
    bench.publish(&server, written, 7).0.unwrap();
    bench.forget_checks(&server);
    let before = bench.hashed();
    let mut surveyed = 0;
    for _ in 0..20 {
        bench.files.post(server.survey(false));
        // One is looking, the hash goes on.
        for _ in 0..2 {
            surveyed += bench.files.step(MIB).unwrap().len();
        }
    }
    assert_eq!(surveyed, 20, "each said what there is");
    let rest = bench.rest();
    assert!(matches!(&rest[..], [Done::Surveyed { through: true, survey, .. }] if !survey.unchecked), "{rest:?}");
    assert_eq!(bench.hashed() - before, 64 * MIB, "and it was hashed once");
}

#[test]
fn searches_of_one_server_that_wait_are_one() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    let written = bench.written_sparse(&server, 8 * MIB);
    bench.publish(&server, written, 7).0.unwrap();
    bench.forget_checks(&server);
    let before = bench.hashed();
    for _ in 0..10 {
        bench.files.post(server.find());
    }
    bench.files.step(MIB);
    bench.files.step(MIB);
    bench.files.post(server.find());
    let found = bench.rest();
    assert!(matches!(&found[..], [Done::Found { survey, .. }] if number(survey) == Some(1)), "{found:?}");
    assert_eq!(bench.hashed() - before, 8 * MIB);
}

#[test]
fn operations_of_one_folder_come_one_after_another_those_of_others_in_between() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let (server, other) = (bench.server("cam-1"), bench.server("cam-2"));
        let (op, file) = bench.written_sparse(&server, 64 * MIB);
        bench.files.post(server.publish(op, &file, 7));
        bench.files.post(server.prepare(1));
        bench.files.post(other.prepare(2));
        let of = |done: &Done| match done {
            Done::Published { op, .. } | Done::Prepared { op, .. } => *op,
            other => panic!("{other:?}"),
        };
        let order: Vec<_> = (0..3).map(|_| of(&bench.next())).collect();
        assert_eq!(order, [2, op, 1]);
        server.assert_only(&[1]);
    }
}

#[test]
fn folders_whose_names_differ_in_case_alone_are_taken_for_one() {
    let mut bench = Bench::new(Mode::Driven);
    let (server, other) = (bench.server("cam-1"), bench.server("CAM-1"));
    let written = bench.written_sparse(&server, 8 * MIB);
    bench.files.post(server.publish(written.0, &written.1, 7));
    bench.files.post(other.prepare(1));
    let order = bench.rest();
    assert!(matches!(order[..], [Done::Published { .. }, Done::Prepared { .. }]), "{order:?}");
}

#[test]
fn archives_take_turns_but_few_are_open_at_a_time() {
    let mut bench = Bench::new(Mode::Driven);
    let servers: Vec<_> = (0..30).map(|n| bench.server(&format!("cam-{n}"))).collect();
    for server in &servers {
        let (op, file) = bench.written_sparse(server, 4 * MIB);
        bench.files.post(server.publish(op, &file, 7));
    }
    let mut most = 0;
    let mut published = Vec::new();
    while let Some(done) = bench.files.step(MIB) {
        published.extend(done.into_iter().map(|done| match done {
            Done::Published { whose, result: Ok(_), .. } => whose.id.to_string(),
            other => panic!("{other:?}"),
        }));
        most = most.max(open_below(bench.root.path()));
    }
    assert_eq!(published, servers.iter().map(|server| server.whose.id.to_string()).collect::<Vec<_>>());
    assert!(most == 4 || cfg!(not(target_os = "linux")), "{most} were open");
}

/// How many files of this process below a folder are open. 0 where the system doesn't tell.
fn open_below(folder: &Path) -> usize {
    let Ok(open) = fs::read_dir("/proc/self/fd") else { return 0 };
    open.flatten().filter(|fd| fs::read_link(fd.path()).is_ok_and(|path| path.starts_with(folder))).count()
}

#[test]
fn a_removed_server_s_results_do_not_come_and_its_operation_s_file_goes() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let (server, other) = (bench.server("cam-1"), bench.server("cam-2"));
        bench.back_up(&server, b"archive 1");
        bench.forget_checks(&server);
        let (op, file) = bench.written_sparse(&server, 64 * GIB);
        bench.files.post(server.publish(op, &file, 7));
        match mode {
            Mode::Driven => (0..5).for_each(|_| assert!(bench.files.step(MIB).unwrap().is_empty())),
            Mode::Threads => bench.files.seen.wait("slice", |counts| counts.hashed > 16 * MIB),
        }
        bench.files.post(server.prepare(1));
        bench.files.post(server.clean());
        if mode == Mode::Driven {
            bench.files.post(server.survey(true));
            bench.files.post(server.find());
        }
        bench.files.forget(server.whose.handle);
        bench.files.post(other.find());
        let rest = bench.rest();
        assert!(matches!(&rest[..], [Done::Found { whose, .. }] if whose.handle == other.whose.handle), "{rest:?}");
        server.assert_only(&[1]);
    }
}

#[test]
fn a_server_added_again_waits_for_what_is_left_of_the_one_before_in_its_folder() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    let (op, file) = bench.written_sparse(&server, 64 * GIB);
    bench.files.post(server.publish(op, &file, 7));
    bench.files.step(MIB);
    bench.files.step(MIB);
    bench.files.forget(server.whose.handle);
    let again = Server { whose: bench.server("cam-1").whose, ..server.clone() };
    bench.files.post(again.prepare(op + 1));
    let Done::Prepared { result: Ok(next), .. } = bench.next() else { panic!() };
    assert!(!file.exists() && next != file, "{next:?}");
    server.assert_only(&[]);
}

#[test]
fn clearing_drops_all_jobs_and_keeps_what_was_checked_and_written() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    bench.back_up(&server, b"archive 1");
    let (op, file) = bench.written(&server, b"archive 2");
    bench.files.post(server.publish(op, &file, 7));
    bench.files.step(MIB);
    bench.files.post(server.survey(true));
    bench.files.post(server.find());
    bench.files.post(server.prepare(1));
    bench.files.post(Job::Call { tag: 1, call: Box::new(|| panic!("called")) });
    bench.files.clear();
    assert!(!bench.files.has_work() && bench.files.step(MIB).is_none());
    // The next start goes on with it.
    let before = bench.hashed();
    assert_eq!(number(&bench.find(&server)), Some(1));
    assert_eq!(bench.hashed(), before);
    assert_eq!(bench.publish(&server, (op, file), 7).0, Ok(2));
}

/// What a slice tells that is under way on another thread while this is done.
fn meanwhile(bench: &Bench, job: Job, lane: Lane, act: impl Fn(&Files)) -> Vec<Done> {
    bench.files.post(job);
    let taken = bench.files.queue.lock().take(lane).unwrap();
    act(&bench.files);
    bench.files.run(taken, MIB).0
}

#[test]
fn a_slice_under_way_tells_nothing_of_a_removed_server_or_a_cancelled_operation_but_what_an_end_cuts_off() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    let (handle, bulk, prompt) = (server.whose.handle, Lane::Bulk, Lane::Prompt);
    assert!(meanwhile(&bench, server.survey(false), bulk, |files| files.forget(handle)).is_empty());
    assert!(meanwhile(&bench, server.prepare(1), bulk, |files| files.forget(handle)).is_empty());
    assert!(meanwhile(&bench, server.prepare(2), bulk, |files| _ = files.cancel(2)).is_empty());
    let told = meanwhile(&bench, server.prepare(3), bulk, Files::clear);
    assert!(matches!(&told[..], [Done::Prepared { op: 3, result: Ok(_) }]), "{told:?}");
    assert!(meanwhile(&bench, server.find(), prompt, Files::clear).is_empty());
    assert!(!bench.files.has_work(), "and nothing is left of it");
    assert_eq!(bench.back_up(&server, b"archive 1"), 1, "its folder is free");
    bench.files.post(server.find());
    assert!(meanwhile(&bench, server.find(), prompt, |files| files.forget(handle)).is_empty());
    assert!(bench.rest().is_empty());
}
