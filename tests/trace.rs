//! The trace of the border, and what `host-sim check --host` says of the hosts that it was written of: real hosts, good and bad ones, each in a
//! process of its own with VMSF_TRACE set.
//!
//! A test starts itself again; there it is the host. What no host can bring the plugin to is in the tests of `host-sim/src/contract`.

#[path = "support/rig.rs"]
mod rig;
#[path = "support/schema.rs"]
mod schema;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use host_sim::contract::rules::{self, Level};
use host_sim::contract::{self, Verdict, read};
use rig::{Callback, PATIENCE, Rig, SECOND, abi, call, complete, complete_with, expect};
use serde_json::Value;

/// Set in the process that is the host.
const HOST: &str = "VMSF_TEST_HOST";
/// A busy machine breaks these for the host.
const OF_THE_MACHINE: [&str; 2] = ["callback-slow", "callback-blocks"];

/// Runs the host in a process of its own; gives its trace. In that process it does not return.
fn trace_of(test: &str, host: fn(), prepare: impl FnOnce(&mut Command)) -> String {
    if std::env::var_os(HOST).is_some() {
        host();
        std::process::exit(0);
    }
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("trace.jsonl");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture"]).env(HOST, "1").env("VMSF_TRACE", &file);
    prepare(&mut command);
    let output = command.output().expect("itself");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::read_to_string(&file).unwrap_or_default()
}

/// The lines, each as the schema describes it.
#[track_caller]
fn lines(trace: &str) -> Vec<Value> {
    let schema = schema::schema("trace.json");
    let lines: Vec<Value> = trace.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    lines.iter().for_each(|line| schema::validate(&schema, line));
    lines
}

#[track_caller]
fn judged(trace: &str) -> Verdict {
    lines(trace);
    contract::judge(&read::read(trace.as_bytes()).expect("a trace"), false)
}

fn names(verdict: &Verdict) -> BTreeSet<&'static str> {
    verdict.broken().into_iter().map(|(rule, _)| rule.name).collect()
}

/// This host breaks these rules, and none besides that MUST be kept.
#[track_caller]
fn caught(test: &str, expected: &[&str], host: fn()) {
    let trace = trace_of(test, host, |_| ());
    let verdict = judged(&trace);
    let found = names(&verdict);
    for rule in expected {
        assert!(rules::named(rule).is_some() && found.contains(rule), "{rule} is not among {found:?}:\n{trace}");
    }
    let besides = found.iter().filter(|name| rules::named(name).is_some_and(|rule| rule.level == Level::Must));
    let besides: Vec<_> = besides.filter(|name| !expected.contains(name)).collect();
    assert!(besides.is_empty(), "{:#?}", verdict.findings);
}

/// In the host: waits until the trace says it, for the file is written by another thread.
fn wait_for_line(words: &str) {
    let file = PathBuf::from(std::env::var_os("VMSF_TRACE").expect("a trace"));
    let until = Instant::now() + PATIENCE;
    while !fs::read_to_string(&file).unwrap_or_default().contains(words) {
        assert!(Instant::now() < until, "no {words} in {}", file.display());
        std::thread::yield_now();
    }
}

/// Takes a server over and gives it back.
fn plays(rig: &Rig) {
    expect(rig.cluster(true), abi::VMSF_OK, "cluster");
    let a = rig.server("a");
    expect(rig.notify(a, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK, "connected");
    expect(rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, rig.now()), abi::VMSF_OK, "keep alive");
    (0..100).for_each(|_| expect(rig.notify(a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, "keep alive"));
    let (code, request) = rig.takeover(a);
    expect(code, abi::VMSF_OK, "takeover");
    expect(rig.complete(rig.asked(request).id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    rig.wait("taken over", |callback| callback.is("takeover", "taken_over"));
    expect(rig.restore(a), abi::VMSF_OK, "restore");
    let restore = rig.asked_for(abi::VMSF_OP_RESTORE);
    expect(rig.complete(restore.id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
    rig.wait("restored", |callback| callback.is("takeover", "none"));
}

fn plays_in_both_modes() {
    for drives in [false, true] {
        plays(&Rig::ready(drives, &["a"]));
    }
}

#[test]
fn a_good_host_breaks_no_rule_and_its_trace_tells_every_call_and_callback_up_to_the_end() {
    let test = "a_good_host_breaks_no_rule_and_its_trace_tells_every_call_and_callback_up_to_the_end";
    let trace = trace_of(test, plays_in_both_modes, |_| ());
    let lines = lines(&trace);
    let verdict = judged(&trace);
    let broken: Vec<_> = names(&verdict).into_iter().filter(|name| !OF_THE_MACHINE.contains(name)).collect();
    assert!(broken.is_empty() && verdict.incomplete.is_none(), "{:#?}", verdict.findings);
    assert_eq!(verdict.instances, 2);
    // In worker mode all but the first, and a hundred more of the driven one, in whose first instant they have no other way.
    assert!(verdict.keep_alives >= 101, "{}", verdict.keep_alives);
    for (key, name) in [
        ("call", "create"),
        ("call", "start"),
        ("call", "notify"),
        ("call", "authorize"),
        ("call", "complete"),
        ("call", "poll"),
        ("call", "stop"),
        ("call", "destroy"),
        ("enter", "stop"),
        ("enter", "begin"),
        ("callback", "event"),
        ("callback", "begin"),
        ("callback", "log"),
        ("callback", "log_level"),
        ("callback", "wake"),
        ("callback", "release"),
    ] {
        assert!(lines.iter().any(|line| line[key] == name), "no {key} {name}");
    }
    let begin = lines.iter().find(|line| line["callback"] == "begin" && line["operation"] == "takeover").expect("one");
    let complete = lines.iter().find(|line| line["call"] == "complete" && line["op"] == begin["op"]).expect("one");
    assert_eq!((&begin["kind"], &complete["outcome"], &complete["result"]), (&1.into(), &0.into(), &"VMSF_OK".into()));
    let of = |key: &str, name: &str| lines.iter().position(|line| line[key] == name).expect("a line");
    assert!(of("enter", "destroy") < of("callback", "release") && of("callback", "release") < of("call", "destroy"));
    assert!(lines[0]["trace"] == 1 && lines.last().is_some_and(|line| line["end"].is_string()));
}

#[test]
fn a_trace_holds_no_text_of_the_host_and_nothing_of_an_answer() {
    let test = "a_trace_holds_no_text_of_the_host_and_nothing_of_an_answer";
    let trace = trace_of(
        test,
        || {
            let rig = Rig::running(false, &["a"]);
            let a = rig.server("a");
            let by = r#"{"actor":"Mallory"}"#;
            let (text, len, none) = (by.as_ptr().cast(), by.len(), std::ptr::null_mut());
            expect(call!(cluster(rig.p, 1, text, len)), abi::VMSF_OK, "cluster");
            expect(
                call!(authorize(rig.p, a, text, len, b"hunter2-hunter2".as_ptr(), 15, none)),
                abi::VMSF_OK,
                "authorize",
            );
            let op = rig.asked_for(abi::VMSF_OP_AUTHORIZE).id;
            let why = r#"{"error":"hunter2-hunter2 was refused"}"#;
            let code = call!(complete(rig.p, op, 1, why.as_ptr().cast(), why.len(), std::ptr::null(), 0));
            expect(code, abi::VMSF_OK, "complete");
            rig.wait("end", |callback| callback.is_of("completed", op));
        },
        |_| (),
    );
    assert!(trace.contains("\"authorize\"") && trace.contains("\"secret_len\":15") && trace.contains("\"failed\""));
    for private in ["Mallory", "hunter2", "refused", "a.example", "nowhere", "settings"] {
        assert!(!trace.contains(private), "{private} is in\n{trace}");
    }
}

#[test]
fn a_trace_that_cannot_be_written_is_a_warning_in_the_log_and_nothing_else() {
    let test = "a_trace_that_cannot_be_written_is_a_warning_in_the_log_and_nothing_else";
    let trace = trace_of(
        test,
        || {
            let rig = Rig::running(false, &["a"]);
            let warned =
                |callback: &Callback| matches!(callback, Callback::Log { text } if text.contains("VMSF_TRACE"));
            let Some(Callback::Log { text }) = rig.probe.find(warned) else { panic!("{:#?}", rig.probe.seen()) };
            assert!(text.contains("/dev/null/trace") && text.contains("name a file"), "{text}");
            expect(rig.notify(rig.server("a"), abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, "it works");
        },
        |command| _ = command.env("VMSF_TRACE", "/dev/null/trace"),
    );
    assert_eq!(trace, "");
}

#[test]
fn a_killed_process_leaves_a_trace_that_can_be_judged() {
    let test = "a_killed_process_leaves_a_trace_that_can_be_judged";
    if std::env::var_os(HOST).is_some() {
        let rig = Rig::running(false, &["a"]);
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        // Until it is killed.
        std::thread::sleep(2 * PATIENCE);
        std::process::exit(1);
    }
    let root = tempfile::tempdir().expect("a directory");
    let file = root.path().join("trace-%p.jsonl");
    let mut command = Command::new(std::env::current_exe().expect("this program"));
    command.args(["--exact", test, "--nocapture"]).env(HOST, "1").env("VMSF_TRACE", &file);
    let mut host = command.spawn().expect("itself");
    let file = root.path().join(format!("trace-{}.jsonl", host.id()));
    let until = Instant::now() + PATIENCE;
    // The next line comes after what is looked for, so all before it is whole.
    while !fs::read_to_string(&file).unwrap_or_default().contains("\"call\":\"cluster\"") {
        assert!(Instant::now() < until, "no line in {}", file.display());
        std::thread::yield_now();
    }
    host.kill().expect("a signal");
    host.wait().expect("its end");
    let trace = fs::read_to_string(&file).expect("the trace");
    let read = read::read(trace.as_bytes()).expect("whole lines");
    let must = |killed| {
        let verdict = contract::judge(&read, killed);
        verdict
            .broken()
            .iter()
            .filter(|(rule, _)| rule.level == Level::Must)
            .map(|(rule, _)| rule.name)
            .collect::<Vec<_>>()
    };
    assert_eq!((must(false), must(true)), (vec!["not-stopped"], vec![]));
}

#[test]
fn many_threads_over_several_lives_leave_whole_lines_and_no_thread() {
    let test = "many_threads_over_several_lives_leave_whole_lines_and_no_thread";
    let trace = trace_of(
        test,
        || {
            let rig = Rig::new(false, &["a"]);
            let (p, a) = (rig.p, rig.server("a"));
            let mut threads = Vec::new();
            for kind in [abi::VMSF_NOTIFY_CONNECTED, abi::VMSF_NOTIFY_KEEP_ALIVE].repeat(4) {
                threads.push(std::thread::spawn(move || {
                    let report = |_| _ = (call!(notify(p, a, kind, 0)), call!(now_ns(p, &mut 0)));
                    (0..1_000).for_each(report);
                }));
            }
            expect(rig.start(), abi::VMSF_OK, "start");
            expect(rig.stop(20_000), abi::VMSF_OK, "stop");
            drop(rig);
            threads.into_iter().for_each(|thread| thread.join().unwrap());
            (0..20).for_each(|_| drop(Rig::running(true, &["a"])));
            let tasks = fs::read_dir("/proc/self/task").map(|tasks| tasks.flatten().map(|task| task.path()).collect());
            let tasks: Vec<PathBuf> = tasks.unwrap_or_default();
            let names = tasks.iter().filter_map(|task| fs::read_to_string(task.join("comm")).ok());
            assert_eq!(names.filter(|name| name.starts_with("vms-")).count(), 0);
        },
        |_| (),
    );
    let (lines, verdict) = (lines(&trace), judged(&trace));
    assert_eq!(verdict.instances, 21);
    // All lives are those of one process: the first line comes again at each.
    assert_eq!(lines.iter().filter(|line| line["trace"] == 1).count(), 21);
    assert!(lines.len() > 500, "{}", lines.len());
}

// ---- bad hosts ----

#[test]
fn a_host_that_calls_control_members_from_a_callback_is_told() {
    caught("a_host_that_calls_control_members_from_a_callback_is_told", &["control-in-callback"], || {
        let rig = Rig::new(true, &["a"]);
        let p = rig.p;
        rig.probe.hook(move |callback| {
            if matches!(callback, Callback::Event { .. }) {
                expect(call!(stop(p, 5)), abi::VMSF_ERR_REENTRANT, "stop");
            }
        });
        plays(started(&rig));
    });
}

/// The same rig, running and with a server that can be taken over.
fn started(rig: &Rig) -> &Rig {
    expect(rig.start(), abi::VMSF_OK, "start");
    rig.prepare();
    rig
}

#[test]
fn a_host_that_calls_anything_from_wake_is_told() {
    caught("a_host_that_calls_anything_from_wake_is_told", &["call-in-wake"], || {
        let rig = Rig::running(true, &["a"]);
        rig.settle(rig.now());
        let p = rig.p;
        rig.probe.hook(move |callback| {
            if matches!(callback, Callback::Wake(_)) {
                expect(call!(now_ns(p, &mut 0)), abi::VMSF_ERR_REENTRANT, "now_ns");
            }
        });
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        assert!(rig.probe.find(|callback| matches!(callback, Callback::Wake(_))).is_some());
    });
}

#[test]
fn a_host_with_two_threads_in_control_members_is_told() {
    caught("a_host_with_two_threads_in_control_members_is_told", &["control-overlap"], || {
        let rig = Rig::running(false, &["a"]);
        let held = rig.probe.hold(|callback| callback.code() == "cluster");
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        held.wait();
        let p = rig.p;
        let stopping = std::thread::spawn(move || {
            // It may come while the edit below runs.
            loop {
                let code = call!(stop(p, 20_000));
                if code != abi::VMSF_ERR_BUSY {
                    return code;
                }
            }
        });
        let until = Instant::now() + PATIENCE;
        while rig.edit("{}", abi::VMSF_DRY_RUN).0 != abi::VMSF_ERR_BUSY {
            assert!(Instant::now() < until, "stop has control");
            std::thread::yield_now();
        }
        held.go_on();
        expect(stopping.join().unwrap(), abi::VMSF_OK, "stop");
    });
}

#[test]
fn a_host_that_polls_on_two_threads_at_once_is_told() {
    caught("a_host_that_polls_on_two_threads_at_once_is_told", &["poll-overlap"], || {
        let rig = Rig::running(true, &["a"]);
        let held = rig.probe.hold(|callback| callback.code() == "cluster");
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        let p = rig.p;
        let first = std::thread::spawn(move || call!(poll(p, 1_001 * SECOND, 0, &mut 0)));
        held.wait();
        expect(rig.poll(1_001 * SECOND).0, abi::VMSF_ERR_BUSY, "the second poll");
        held.go_on();
        expect(first.join().unwrap(), abi::VMSF_OK, "the first poll");
    });
}

#[cfg(unix)]
#[test]
fn a_host_that_calls_in_from_a_fork_child_is_told() {
    caught("a_host_that_calls_in_from_a_fork_child_is_told", &["fork-child"], || {
        let rig = Rig::new(true, &["a"]);
        let p = rig.p;
        // SAFETY: the child makes one call, which takes no lock that anybody else uses meanwhile, and ends at once.
        let child = unsafe { libc::fork() };
        if child == 0 {
            let code = call!(now_ns(p, &mut 0));
            // SAFETY: ends the process without its exit handlers.
            unsafe { libc::_exit(i32::from(code != abi::VMSF_OK)) };
        }
        let mut status = 1;
        // SAFETY: the child of this process, and an integer of this frame.
        assert_eq!(unsafe { libc::waitpid(child, &mut status, 0) }, child);
        assert_eq!(status, 0, "the child's call");
    });
}

#[test]
fn a_host_whose_callbacks_take_their_time_is_told() {
    caught("a_host_whose_callbacks_take_their_time_is_told", &["callback-slow", "callback-blocks"], || {
        let rig = Rig::running(true, &["a"]);
        rig.probe.hook(|callback| match callback.code() {
            "cluster" => std::thread::sleep(Duration::from_millis(20)),
            "takeover" => std::thread::sleep(Duration::from_millis(120)),
            _ => {}
        });
        rig.prepare();
        plays(&rig);
    });
}

#[test]
fn a_host_that_uses_an_instance_after_its_end_or_none_at_all_is_told() {
    let rules = ["call-after-destroy", "unknown-instance", "destroy-before-stop", "call-while-stopped"];
    caught("a_host_that_uses_an_instance_after_its_end_or_none_at_all_is_told", &rules, || {
        let rig = Rig::new(false, &["a"]);
        let (p, a) = (rig.p, rig.server("a"));
        expect(rig.notify(a, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_ERR_STATE, "before start");
        expect(call!(now_ns(7, &mut 0)), abi::VMSF_ERR_HANDLE, "no handle");
        expect(rig.start(), abi::VMSF_OK, "start");
        expect(rig.destroy(), abi::VMSF_ERR_STATE, "destroy");
        drop(rig);
        expect(call!(notify(p, a, abi::VMSF_NOTIFY_KEEP_ALIVE, 0)), abi::VMSF_ERR_HANDLE, "after destroy");
    });
}

#[test]
fn a_host_that_does_not_stop_again_after_a_timeout_is_told() {
    caught("a_host_that_does_not_stop_again_after_a_timeout_is_told", &["stop-not-repeated"], || {
        let rig = Rig::running(false, &["a"]);
        let held = rig.probe.hold(|callback| callback.code() == "cluster");
        expect(rig.cluster(true), abi::VMSF_OK, "cluster");
        held.wait();
        expect(rig.stop(1), abi::VMSF_ERR_TIMEOUT, "stop");
        rig.edit("{}", abi::VMSF_DRY_RUN);
        held.go_on();
    });
}

#[test]
fn a_host_that_exits_without_a_stop_is_told() {
    caught("a_host_that_exits_without_a_stop_is_told", &["not-stopped", "cluster-never-told"], || {
        std::mem::forget(Rig::running(false, &["a"]));
        wait_for_line(r#""call":"start""#);
    });
}

#[test]
fn a_host_that_never_destroys_is_told() {
    caught("a_host_that_never_destroys_is_told", &["not-destroyed"], || {
        let rig = Rig::running(false, &["a"]);
        expect(rig.stop(20_000), abi::VMSF_OK, "stop");
        std::mem::forget(rig);
        wait_for_line(r#""call":"stop""#);
    });
}

#[test]
fn a_host_that_answers_twice_or_to_nothing_or_what_it_need_not_be_asked_is_told() {
    let rules = ["answered-twice", "answer-to-nothing", "operation-not-named"];
    caught("a_host_that_answers_twice_or_to_nothing_or_what_it_need_not_be_asked_is_told", &rules, || {
        let rig = Rig::running(true, &["a"]);
        rig.prepare();
        let (_, request) = rig.backup(rig.server("a"));
        let op = rig.asked(request).id;
        expect(rig.complete(op, abi::VMSF_OUTCOME_UNSUPPORTED), abi::VMSF_OK, "complete");
        expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "again");
        expect(rig.complete(999_999, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "of none");
    });
}

#[test]
fn a_host_that_works_on_after_its_time_is_told() {
    let rules = ["late-ok", "work-after-over", "operation-timed-out"];
    caught("a_host_that_works_on_after_its_time_is_told", &rules, || {
        let rig = Rig::ready(true, &["a"]);
        let (_, request) = rig.takeover(rig.server("a"));
        let op = rig.asked(request).id;
        rig.drive_to(1_601);
        rig.wait("over", |callback| callback.is_of("operation_over", op));
        let code = call!(progress(rig.p, op, 900, c"almost".as_ptr(), 6));
        expect(code, abi::VMSF_ERR_NOT_FOUND, "progress");
        expect(rig.complete(op, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "late");
    });
}

#[test]
fn a_host_that_does_the_wrong_thing_with_secrets_is_told() {
    let rules = ["token-missing", "token-unasked", "secret-too-long", "secret-in-json"];
    caught("a_host_that_does_the_wrong_thing_with_secrets_is_told", &rules, || {
        let rig = Rig::running(true, &["a"]);
        let a = rig.server("a");
        let null = std::ptr::null();
        let (_, request) = rig.authorize(a, b"the password");
        expect(complete(rig.p, rig.asked(request).id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "no token");
        rig.settle(rig.now());
        rig.prepare();
        let (_, request) = rig.backup(a);
        let op = rig.asked(request).id;
        expect(complete_with(rig.p, op, abi::VMSF_OUTCOME_OK, b"a token"), abi::VMSF_ERR_INVALID, "a token");
        expect(rig.complete(op, abi::VMSF_OUTCOME_FAILED), abi::VMSF_OK, "complete");
        rig.settle(rig.now());
        let long = [7; 4_097];
        let code = call!(authorize(rig.p, a, null, 0, long.as_ptr(), long.len(), std::ptr::null_mut()));
        expect(code, abi::VMSF_ERR_LIMIT, "too long");
        let (json, secret) = (r#"{"password":"the password"}"#, b"the password");
        let (text, len) = (json.as_ptr().cast(), json.len());
        let code = call!(authorize(rig.p, a, text, len, secret.as_ptr(), secret.len(), std::ptr::null_mut()));
        expect(code, abi::VMSF_ERR_JSON, "in the JSON");
    });
}

#[test]
fn a_host_whose_clocks_are_wrong_is_told() {
    caught("a_host_whose_clocks_are_wrong_is_told", &["stamp-in-future", "poll-late", "poll-back"], || {
        let rig = Rig::running(true, &["a"]);
        let a = rig.server("a");
        expect(rig.notify(a, abi::VMSF_NOTIFY_CONNECTED, 5_000 * SECOND), abi::VMSF_OK, "of tomorrow");
        rig.settle(1_000 * SECOND);
        expect(rig.poll(1_900 * SECOND).0, abi::VMSF_OK, "late");
        expect(rig.poll(1_800 * SECOND).0, abi::VMSF_OK, "back");
    });
}

#[test]
fn a_host_that_does_not_listen_is_told() {
    let rules = ["error-never-read", "busy-ignored", "too-small-ignored", "stale-server-handle", "bad-argument"];
    caught("a_host_that_does_not_listen_is_told", &rules, || {
        let rig = Rig::running(true, &["a", "b"]);
        let b = rig.server("b");
        expect(rig.authorize(rig.server("a"), b"the password").0, abi::VMSF_OK, "authorize");
        expect(rig.authorize(rig.server("a"), b"the password").0, abi::VMSF_ERR_BUSY, "beside it");
        expect(call!(status(rig.p, 0, std::ptr::null_mut(), 0, &mut 0)), abi::VMSF_ERR_TOO_SMALL, "status");
        expect(call!(cluster(rig.p, 2, std::ptr::null(), 0)), abi::VMSF_ERR_INVALID, "cluster");
        expect(rig.edit(r#"{"remove":["b"]}"#, 0).0, abi::VMSF_OK, "edit");
        rig.settle(rig.now());
        for _ in 0..2 {
            expect(rig.notify(b, abi::VMSF_NOTIFY_STARTUP, 0), abi::VMSF_ERR_HANDLE, "of b");
        }
    });
}

/// The guide names the rules as the program does.
#[test]
fn the_guide_lists_every_rule_with_its_level() {
    let guide = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("include/README.md")).expect("the guide");
    let listed: Vec<(&str, &str)> = guide
        .lines()
        .filter_map(|line| {
            let mut cells = line.strip_prefix("| `")?.split('|').map(str::trim);
            let (name, level) = (cells.next()?.strip_suffix('`')?, cells.next()?);
            ["MUST", "SHOULD"].contains(&level).then_some((name, level))
        })
        .collect();
    let known: Vec<(&str, &str)> = rules::ALL.iter().map(|rule| (rule.name, rule.level.name())).collect();
    assert_eq!(listed, known);
}
