//! Every member called from inside every callback: control and poll are refused at once, everything else works, and from `wake` nothing does.

#[path = "support/rig.rs"]
mod rig;

use std::collections::BTreeMap;
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, mpsc};

use rig::{Callback, Rig, SECOND, abi, call, complete, config, expect, name, options};

type Call = fn(u64, u64) -> abi::vmsf_result;
type Member = (&'static str, Call);

/// The members that wait for callbacks.
const WAITING: [Member; 7] = [
    ("start", |p, _| call!(start(p))),
    ("stop", |p, _| call!(stop(p, 1000))),
    ("destroy", |p, _| call!(destroy(p))),
    ("configure", |p, _| rig::document(rig::api().configure, p, "{}", 0).0),
    ("edit", |p, _| rig::document(rig::api().edit, p, "{}", 0).0),
    ("poll", |p, _| call!(poll(p, 5, 5, &mut 0))),
    ("create", |_, _| {
        let directory = tempfile::tempdir().expect("a directory");
        let (table, options) = (rig::Probe::new().table(true), options(&directory, &config(&[])));
        call!(create(&table, options.as_ptr().cast(), options.len(), &mut 0, null_mut(), 0))
    }),
];
/// Some of the others, with what they give for a running instance.
const OTHERS: [(&str, Call, abi::vmsf_result); 14] = [
    ("notify", |p, s| call!(notify(p, s, abi::VMSF_NOTIFY_DISCONNECTED, 0)), abi::VMSF_OK),
    ("now_ns", |p, _| call!(now_ns(p, &mut 0)), abi::VMSF_OK),
    ("server", |p, _| call!(server(p, c"a".as_ptr(), 1, &mut 0)), abi::VMSF_OK),
    ("next_server", |p, s| call!(next_server(p, s, &mut 0)), abi::VMSF_ERR_NOT_FOUND),
    ("server_id", |p, s| call!(server_id(p, s, null_mut(), 0, &mut 0)), abi::VMSF_ERR_TOO_SMALL),
    ("config", |p, _| call!(config(p, null_mut(), 0, &mut 0)), abi::VMSF_ERR_TOO_SMALL),
    ("last_error", |p, _| call!(last_error(p, null_mut(), null_mut(), 0, &mut 0)), abi::VMSF_ERR_TOO_SMALL),
    ("progress", |p, _| call!(progress(p, 1 << 50, 1, null(), 0)), abi::VMSF_ERR_NOT_FOUND),
    ("complete", |p, _| complete(p, 1 << 50, 0), abi::VMSF_ERR_NOT_FOUND),
    ("restore", |p, s| call!(restore(p, s, null(), 0, null_mut())), abi::VMSF_ERR_STATE),
    // Not of the server: from a log line about the queue it would work, and end the takeover waited for.
    ("cancel", |p, _| call!(cancel(p, 0, null(), 0)), abi::VMSF_ERR_HANDLE),
    ("status", |p, _| call!(status(p, 0, null_mut(), 0, &mut 0)), abi::VMSF_ERR_TOO_SMALL),
    ("log", |p, _| call!(log(p, 0, 1, null_mut(), 0, &mut 0)), abi::VMSF_ERR_TOO_SMALL),
    ("cluster", |p, _| call!(cluster(p, 1, null(), 0)), abi::VMSF_ERR_UNSUPPORTED),
];

fn kind(callback: &Callback) -> &'static str {
    match callback {
        Callback::Event { .. } => "event",
        Callback::Begin { .. } => "begin",
        Callback::Log { .. } => "log",
        Callback::LogLevel => "log_level",
        Callback::Wake(_) => "wake",
        Callback::Release => "release",
    }
}

/// What each member gave inside the first callback of each kind, on the instance itself and on another one.
type Given = BTreeMap<(&'static str, &'static str, &'static str), String>;

fn call_from_every_callback(drives: bool) -> Given {
    let (rig, other) = (Rig::running(drives, &["a"]), Rig::new(true, &["a"]));
    let (p, s, q) = (rig.p, rig.server("a"), other.p);
    let given: Arc<Mutex<Given>> = Arc::default();
    let (notes, (finished, kinds)) = (Arc::clone(&given), mpsc::channel());
    let done: Mutex<Vec<&'static str>> = Mutex::default();
    rig.probe.hook(move |callback| {
        let kind = kind(callback);
        {
            let mut done = done.lock().unwrap();
            if done.contains(&kind) {
                return;
            }
            done.push(kind);
        }
        for (member, call) in WAITING {
            let (own, foreign) = (name(call(p, s)), name(call(q, s)));
            notes.lock().unwrap().extend([((kind, "own", member), own), ((kind, "other", member), foreign)]);
        }
        for (member, call, _) in OTHERS {
            let own = name(call(p, s));
            notes.lock().unwrap().insert((kind, "own", member), own);
        }
        let _ = finished.send(kind);
    });
    expect(rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK, "notify");
    if drives {
        expect(rig.poll(1_001 * SECOND).0, abi::VMSF_OK, "poll");
    }
    rig.probe.wait("event", |callback| callback.is("health", "connected"));
    expect(rig.takeover(s).0, abi::VMSF_OK, "takeover");
    if drives {
        expect(rig.poll(1_002 * SECOND).0, abi::VMSF_OK, "poll");
    }
    while kinds.recv_timeout(rig::PATIENCE).expect("begin comes to its end") != "begin" {}
    drop(rig);
    drop(other);
    let given = given.lock().unwrap();
    given.clone()
}

#[test]
fn inside_a_callback_control_and_poll_are_refused_and_the_rest_works() {
    for drives in [true, false] {
        let given = call_from_every_callback(drives);
        let kinds: &[&str] = if drives {
            &["event", "begin", "log", "log_level", "wake", "release"]
        } else {
            &["event", "begin", "log", "log_level", "release"]
        };
        for kind in kinds {
            for (member, _) in WAITING {
                for whose in ["own", "other"] {
                    let code = given.get(&(*kind, whose, member)).map(String::as_str);
                    assert_eq!(code, Some("VMSF_ERR_REENTRANT"), "{whose} {member} inside {kind}, drives {drives}");
                }
            }
            for (member, _, code) in OTHERS {
                let given = given.get(&(*kind, "own", member)).expect("called");
                match *kind {
                    "wake" => assert_eq!(given, "VMSF_ERR_REENTRANT", "{member} inside wake"),
                    "release" => assert_eq!(given, "VMSF_ERR_HANDLE", "{member} inside release"),
                    // A takeover may run by then, or the call that logs be a stop.
                    "begin" if member == "restore" => assert_eq!(given, "VMSF_ERR_STATE"),
                    "log" | "log_level" => assert_ne!(given, "VMSF_ERR_REENTRANT", "{member} inside {kind}"),
                    _ => assert_eq!(given, &name(code), "{member} inside {kind}, drives {drives}"),
                }
            }
        }
    }
}

#[test]
fn a_reentrant_call_is_the_last_error() {
    let rig = Rig::running(true, &["a"]);
    let p = rig.p;
    rig.probe.hook(move |callback| {
        if kind(callback) == "event" {
            call!(stop(p, 1000));
        }
    });
    rig.notify(rig.server("a"), abi::VMSF_NOTIFY_CONNECTED, 0);
    expect(rig.poll(1_001 * SECOND).0, abi::VMSF_OK, "poll");
    let (code, text) = rig.last_error();
    assert_eq!(code, "VMSF_ERR_REENTRANT");
    assert!(text.contains("callback"), "{text}");
    rig.probe.hook(|_| ());
}

#[test]
fn a_takeover_inside_event_and_its_answer_inside_begin_take_the_server_over() {
    for drives in [true, false] {
        let mut document = config(&["a"]);
        document["automatic_takeover"] = false.into();
        let rig = Rig::with(drives, &document);
        let (p, s, probe) = (rig.p, rig.server("a"), rig.probe);
        probe.hook(move |callback| match callback {
            Callback::Event { .. } if callback.is("health", "failed") => {
                let code = call!(takeover(p, s, null(), 0, null_mut()));
                if code != abi::VMSF_OK {
                    probe.fault(format!("takeover inside event: {}", name(code)));
                }
            }
            Callback::Begin { id, .. } => {
                let codes = [complete(p, *id, abi::VMSF_OUTCOME_OK), complete(p, *id, abi::VMSF_OUTCOME_OK)];
                if codes != [abi::VMSF_OK, abi::VMSF_ERR_NOT_FOUND] {
                    probe.fault(format!("complete inside begin: {codes:?}"));
                }
            }
            _ => {}
        });
        expect(rig.start(), abi::VMSF_OK, "start");
        if drives {
            expect(rig.poll(1_000 * SECOND).0, abi::VMSF_OK, "poll");
        }
        let now = rig.now();
        rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, now - rig::KEEP_ALIVE);
        if drives {
            let mut next = rig.poll(now).1;
            let polls = (0..20).take_while(|_| {
                let again = next <= now;
                next = rig.poll(now).1;
                again
            });
            assert!(polls.count() < 20, "it comes to rest");
        }
        probe.wait("taken_over", |callback| callback.is("takeover", "taken_over"));
        probe.assert_no_fault();
    }
}
