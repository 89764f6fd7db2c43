//! Nothing large delays anything prompt; slices are short; threads begin, rest and end as they should.

use super::*;

#[test]
fn a_search_is_answered_while_a_huge_archive_is_published() {
    let mut bench = Bench::new(Mode::Threads);
    let (huge, other) = (bench.server("cam-1"), bench.server("cam-2"));
    bench.back_up(&huge, b"archive 1");
    bench.back_up(&other, b"archive 1");
    bench.forget_checks(&other);
    let (op, file) = bench.written_sparse(&huge, 64 * GIB);
    bench.files.post(huge.publish(op, &file, 1));
    bench.files.seen.wait("slice", |counts| counts.hashed > 16 * MIB);
    assert_eq!(number(&bench.find(&other)), Some(1));
    assert_eq!(number(&bench.find(&huge)), Some(1));
    assert!(file.exists(), "it is still under way");
    assert!(bench.files.queue.lock().has_work() || bench.files.queue.lock().is_under_way());
}

#[test]
fn a_driving_host_has_its_search_within_a_few_polls_while_a_huge_archive_is_published() {
    let mut bench = Bench::new(Mode::Driven);
    let (huge, other) = (bench.server("cam-1"), bench.server("cam-2"));
    for server in [&huge, &other] {
        bench.back_up(server, b"archive 1");
        bench.forget_checks(server);
    }
    let (op, file) = bench.written_sparse(&huge, 64 * GIB);
    bench.files.post(huge.publish(op, &file, 1));
    bench.files.post(huge.survey(true));
    for server in [&huge, &other] {
        (0..10).for_each(|_| assert!(bench.files.step(MIB).is_some()));
        bench.files.post(server.find());
        let steps =
            (1..).find(|_| bench.files.step(MIB).unwrap().iter().any(|done| matches!(done, Done::Found { .. })));
        // It lists, hashes 9 bytes, looks at older ones.
        assert!(steps.unwrap() <= 4, "{steps:?}");
    }
    assert!(file.exists());
}

#[test]
fn a_search_that_need_not_hash_much_does_not_wait_for_those_that_do() {
    let mut bench = Bench::new(Mode::Driven);
    let huge: Vec<_> = (0..10).map(|n| bench.server(&format!("cam-{n}"))).collect();
    for server in &huge {
        let written = bench.written_sparse(server, 32 * MIB);
        bench.publish(server, written, 7).0.unwrap();
    }
    let quick = bench.server("quick");
    bench.back_up(&quick, b"archive 1");
    for server in &huge {
        bench.forget_checks(server);
        bench.files.post(server.find());
    }
    (0..20).for_each(|_| assert!(bench.files.step(MIB).unwrap().is_empty()));
    assert_eq!(number(&bench.find(&quick)), Some(1));
    assert!(bench.files.has_work());
}

#[test]
fn a_survey_and_a_prepare_do_not_wait_for_a_huge_archive_either() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        let (huge, other) = (bench.server("cam-1"), bench.server("cam-2"));
        bench.back_up(&other, b"archive 1");
        let (op, file) = bench.written_sparse(&huge, 64 * GIB);
        bench.files.post(huge.publish(op, &file, 1));
        assert_eq!(number(&bench.survey(&other, true)[0]), Some(1));
        assert!(bench.prepare(&other).1.is_ok());
        assert!(file.exists());
    }
}

#[test]
fn a_slice_hashes_no_more_than_its_budget_and_makes_at_most_one_sync() {
    let mut bench = Bench::new(Mode::Driven);
    let mut server = bench.server("cam-1");
    server.folder = Folder::new(bench.root.path(), "cam-1", Syncing::Small).unwrap();
    for keep in [7, 7, 1] {
        let written = bench.written_sparse(&server, 16 * MIB);
        bench.publish(&server, written, keep).0.unwrap();
    }
    bench.survey(&server, true);
    touch(&server.archive(3), 1);
    bench.find(&server);
    let counts = *bench.files.seen.counts.lock();
    assert_eq!((counts.hashed, counts.largest, counts.syncs), (5 * 16 * MIB, MIB, 1));
}

#[test]
fn the_threads_hash_in_slices_too() {
    let mut bench = Bench::new(Mode::Threads);
    let server = bench.server("cam-1");
    let written = bench.written_sparse(&server, 64 * MIB);
    bench.publish(&server, written, 7).0.unwrap();
    let counts = *bench.files.seen.counts.lock();
    assert_eq!((counts.hashed, counts.largest), (64 * MIB, 4 * MIB));
}

#[test]
fn an_end_comes_soon_in_the_midst_of_a_huge_archive_which_is_published_after_the_next_start() {
    let mut bench = Bench::new(Mode::Threads);
    let server = bench.server("cam-1");
    let (op, file) = bench.written_sparse(&server, 4 * GIB);
    bench.files.post(server.publish(op, &file, 7));
    bench.files.seen.wait("slice", |counts| counts.hashed > 16 * MIB);
    let before = bench.hashed();
    bench.files.end();
    assert!(bench.files.ended_by(Instant::now() + PATIENCE));
    assert!(bench.hashed() - before <= 8 * MIB, "the slice it was in, and one that had just begun");
    assert_eq!(bench.results.try_iter().count(), 0);
    // Posted before the start, done after it.
    File::options().write(true).open(&file).unwrap().set_len(4 * MIB).unwrap();
    bench.files.post(server.publish(op, &file, 7));
    assert!(bench.files.has_work());
    bench.start();
    let Done::Published { result, .. } = bench.next() else { panic!() };
    assert_eq!(result.unwrap().backup.size, 4 * MIB);
}

#[test]
fn a_start_beside_threads_that_still_run_is_refused() {
    let bench = Bench::new(Mode::Threads);
    let again = bench.files.start(Arc::new(drop), Arc::new(drop), Arc::new(|| Box::new(())));
    assert_eq!(again.unwrap_err().kind(), std::io::ErrorKind::AlreadyExists);
    bench.stop();
    bench.start();
    bench.stop();
    assert!(bench.files.ended_by(Instant::now()), "twice is as once");
}

/// A call that waits until it is let go, and says when it has begun.
fn stuck(bench: &Bench, tag: u64) -> (Receiver<()>, Sender<()>) {
    let ((began, has_begun), (go, goes)) = (unbounded(), unbounded::<()>());
    let call = Box::new(move || {
        let _ = began.send(());
        let _ = goes.recv_timeout(PATIENCE);
        Ok(Secret::copied(b"token").ok())
    });
    bench.files.post(Job::Call { tag, call });
    (has_begun, go)
}

#[test]
fn a_call_that_blocks_in_the_host_holds_up_no_backup_and_no_stop_longer_than_it_takes() {
    let mut bench = Bench::new(Mode::Threads);
    let server = bench.server("cam-1");
    let (has_begun, go) = stuck(&bench, 5);
    has_begun.recv_timeout(PATIENCE).unwrap();
    assert_eq!(bench.back_up(&server, b"archive"), 1);
    bench.files.end();
    assert!(!bench.files.ended_by(Instant::now()), "the host has it");
    go.send(()).unwrap();
    assert!(bench.files.ended_by(Instant::now() + PATIENCE));
    // What it brought is told: the host has done it.
    let Done::Called { tag: 5, result: Ok(Some(token)) } = bench.next() else { panic!() };
    assert_eq!(token.as_bytes(), b"token");
}

#[test]
fn calls_are_made_in_order_with_no_lock_held_and_their_results_come_back() {
    for mode in MODES {
        let mut bench = Bench::new(mode);
        for tag in 0..20 {
            let files = Arc::clone(&bench.files);
            let call = move || {
                assert!(!files.queue.is_locked() || mode == Mode::Threads);
                files.has_work();
                files.cancel(1);
                match tag % 3 {
                    0 => Ok(None),
                    1 => Ok(Secret::copied(&[tag as u8]).ok()),
                    _ => Err(Error::new(vms_failover_abi::VMSF_ERR_IO, "no")),
                }
            };
            bench.files.post(Job::Call { tag, call: Box::new(call) });
        }
        for expected in 0..20 {
            let Done::Called { tag, result } = bench.next() else { panic!() };
            assert_eq!(tag, expected);
            assert_eq!(result.is_err(), tag % 3 == 2);
            let token = result.ok().flatten().map(|token| token.as_bytes().to_vec());
            assert_eq!(token, (tag % 3 == 1).then(|| vec![tag as u8]));
        }
    }
}

#[test]
fn a_result_shows_of_a_secret_its_length_alone() {
    let done = Done::Called { tag: 1, result: Ok(Secret::copied(b"secret").ok()) };
    assert_eq!(format!("{done:?}"), "Called { 1, Ok(Some(6)) }");
}

#[test]
fn the_sink_may_call_in() {
    let files = Files::new();
    let (sender, results) = unbounded();
    let inside = Arc::downgrade(&files);
    let sink = move |done: Done| {
        let files = inside.upgrade().unwrap();
        if let Done::Called { tag, .. } = done {
            if tag < 10 {
                files.post(Job::Call { tag: tag + 1, call: Box::new(|| Ok(None)) });
            }
            files.cancel(tag);
            files.forget(tag);
            let _ = sender.send(tag);
        }
    };
    files.start(Arc::new(sink), Arc::new(drop), Arc::new(|| Box::new(()))).unwrap();
    files.post(Job::Call { tag: 0, call: Box::new(|| Ok(None)) });
    for tag in 0..=10 {
        assert_eq!(results.recv_timeout(PATIENCE), Ok(tag));
    }
    files.end();
    assert!(files.ended_by(Instant::now() + PATIENCE));
}

#[test]
fn a_panic_ends_its_lane_is_told_once_and_the_other_lane_goes_on() {
    let mut bench = Bench::new(Mode::Threads);
    let server = bench.server("cam-1");
    for tag in 0..3 {
        bench.files.post(Job::Call { tag, call: Box::new(move || panic!("injected {tag}")) });
    }
    assert_eq!(bench.panics.recv_timeout(PATIENCE), Ok("injected 0".to_owned()));
    assert_eq!(bench.back_up(&server, b"archive"), 1);
    bench.stop();
    assert_eq!((bench.panics.try_iter().count(), bench.results.try_iter().count()), (0, 0));
}

#[test]
fn a_panic_of_a_driven_job_comes_out_and_the_rest_goes_on() {
    let mut bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    bench.files.post(Job::Call { tag: 1, call: Box::new(|| panic!("injected")) });
    bench.files.post(server.find());
    let step = std::panic::AssertUnwindSafe(|| bench.files.step(MIB));
    assert!(std::panic::catch_unwind(step).is_err());
    assert!(matches!(bench.next(), Done::Found { .. }));
    assert_eq!(bench.back_up(&server, b"archive"), 1);
}

#[test]
fn a_folder_is_free_again_after_a_panic_of_its_operation() {
    let bench = Bench::new(Mode::Driven);
    let server = bench.server("cam-1");
    bench.files.post(server.prepare(1));
    bench.files.post(server.prepare(2));
    let taken = bench.files.queue.lock().take(Lane::Bulk).unwrap();
    // As a panic in its slice would.
    drop(Unwinding { files: &bench.files, lane: taken.lane });
    let done = bench.files.step(MIB).unwrap();
    assert!(matches!(&done[..], [Done::Prepared { op: 2, result: Ok(_) }]), "{done:?}");
}

#[test]
fn idle_threads_do_not_wake() {
    let mut bench = Bench::new(Mode::Threads);
    let server = bench.server("cam-1");
    bench.files.seen.wait("first look of both", |counts| counts.turns == [1, 1]);
    let written = bench.written_sparse(&server, 64 * MIB);
    bench.publish(&server, written, 7).0.unwrap();
    assert_eq!(bench.files.seen.counts.lock().turns[Lane::Prompt as usize], 1, "its lane had nothing to do");
    let turns = |lane: Lane| bench.files.seen.counts.lock().turns[lane as usize];
    let (bulk, hashed) = (turns(Lane::Bulk), bench.hashed());
    bench.forget_checks(&server);
    bench.files.seen.wait("look after the forgetting", |counts| counts.turns[Lane::Bulk as usize] > bulk);
    let (bulk, prompt) = (turns(Lane::Bulk), turns(Lane::Prompt));
    bench.find(&server);
    assert_eq!(bench.hashed() - hashed, 64 * MIB);
    let turns = |lane: Lane| bench.files.seen.counts.lock().turns[lane as usize];
    assert_eq!(turns(Lane::Bulk), bulk, "the other lane slept through it");
    assert!(turns(Lane::Prompt) > prompt);
}

#[test]
#[cfg(target_os = "linux")]
fn the_threads_have_their_names_and_take_no_signals() {
    let bench = Bench::new(Mode::Threads);
    bench.files.seen.wait("first look of both", |counts| counts.turns == [1, 1]);
    let threads = fs::read_dir("/proc/self/task").unwrap().map(|task| task.unwrap().path());
    let status = threads.filter_map(|task| fs::read_to_string(task.join("status")).ok());
    let mut ours: Vec<_> = status.filter(|status| status.starts_with("Name:\tvms-failover-f")).collect();
    assert!(ours.len() >= 2);
    for name in ["f1", "f2"] {
        assert!(ours.iter().any(|status| status.starts_with(&format!("Name:\tvms-failover-{name}\n"))));
    }
    for status in ours.drain(..) {
        let blocked = status.lines().find_map(|line| line.strip_prefix("SigBlk:\t")).unwrap();
        let blocked = u64::from_str_radix(blocked, 16).unwrap();
        // All but SIGKILL and SIGSTOP, and the two that the C library keeps for itself.
        assert_eq!(blocked | 1 << 8 | 1 << 18 | 3 << 31, u64::MAX, "{blocked:x}");
    }
}
