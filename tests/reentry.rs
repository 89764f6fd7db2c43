//! Every member called from inside every callback: control and poll are refused at once, everything else works, and from `wake` nothing does.

#[path = "support/lives.rs"]
mod lives;
#[path = "support/rig.rs"]
mod rig;

use std::collections::BTreeMap;
use std::ptr::{null, null_mut};
use std::sync::{Arc, Mutex, mpsc};

use rig::{Callback, Probe, Rig, SECOND, abi, call, complete, complete_with, config, create, expect, name, options};
use serde_json::json;

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
const OTHERS: [(&str, Call, abi::vmsf_result); 18] = [
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
    ("cluster", |p, _| call!(cluster(p, 1, null(), 0)), abi::VMSF_OK),
    // What these do when nothing is wrong has tests of its own below.
    ("join_cluster", |p, _| call!(join_cluster(p, null(), 0, null(), 0, null_mut())), abi::VMSF_ERR_JSON),
    ("authorize", |p, s| call!(authorize(p, s, null(), 0, null(), 0, null_mut())), abi::VMSF_ERR_INVALID),
    ("deauthorize", |p, _| call!(deauthorize(p, 0, null(), 0, null_mut())), abi::VMSF_ERR_HANDLE),
    ("backup", |p, _| call!(backup(p, 7, null(), 0, null_mut())), abi::VMSF_ERR_HANDLE),
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
    let (rig, other) = (Rig::ready(drives, &["a"]), Rig::new(true, &["a"]));
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
    rig.wait("event", |callback| callback.is("health", "connected"));
    expect(rig.takeover(s).0, abi::VMSF_OK, "takeover");
    rig.wait("begin", |callback| matches!(callback, Callback::Begin { .. }));
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
        expect(rig.start(), abi::VMSF_OK, "start");
        rig.prepare();
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
        rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, rig.now() - rig::KEEP_ALIVE);
        if drives {
            rig.settle(rig.now());
        }
        probe.wait("taken_over", |callback| callback.is("takeover", "taken_over"));
        probe.assert_no_fault();
    }
}

/// Everything from joining to giving the token up, each step inside the callback that tells of the one before.
fn go_on(p: u64, s: u64, probe: &Probe, callback: &Callback) {
    let expect = |what: &str, code: abi::vmsf_result| {
        if code != abi::VMSF_OK {
            probe.fault(format!("{what} inside a callback: {}", name(code)));
        }
    };
    if let Callback::Begin { kind, id, json, .. } = callback {
        let token: &[u8] = if *kind == abi::VMSF_OP_AUTHORIZE { b"token" } else { b"" };
        if *kind == abi::VMSF_OP_BACKUP {
            std::fs::write(json["file"].as_str().expect("a file"), b"settings").expect("an archive");
        }
        return expect("complete", complete_with(p, *id, abi::VMSF_OUTCOME_OK, token));
    }
    let place = r#"{"host":"management.example"}"#;
    let (text, len) = (place.as_ptr().cast(), place.len());
    match callback.code() {
        "disconnected" => expect("join_cluster", call!(join_cluster(p, text, len, b"pw".as_ptr(), 2, null_mut()))),
        "cluster" if callback.says("joined", true) => {
            expect("authorize", call!(authorize(p, s, null(), 0, b"pw".as_ptr(), 2, null_mut())));
        }
        "authorized" => expect("backup", call!(backup(p, s, null(), 0, null_mut()))),
        "backup" if callback.says("number", 1) => expect("backup of all", call!(backup(p, 0, null(), 0, null_mut()))),
        "backup_run_ended" => expect("deauthorize", call!(deauthorize(p, s, null(), 0, null_mut()))),
        "deauthorized" => expect("cluster", call!(cluster(p, 0, null(), 0))),
        _ => {}
    }
}

#[test]
fn a_server_is_authorized_backed_up_and_deauthorized_from_inside_callbacks_alone() {
    for drives in [true, false] {
        let rig = Rig::running(drives, &["a"]);
        std::fs::create_dir(rig.directory.path().join("backups")).expect("a directory");
        let (p, s, probe) = (rig.p, rig.server("a"), rig.probe);
        probe.hook(move |callback| go_on(p, s, probe, callback));
        expect(rig.notify(s, abi::VMSF_NOTIFY_DISCONNECTED, 0), abi::VMSF_OK, "notify");
        rig.wait("the end", |callback| callback.code() == "cluster" && callback.says("joined", false));
        // The last call is accepted by its own event, which may come after what it brought.
        let accepted = |callback: &Callback| callback.code() == "accepted";
        rig.wait("accepted", |callback| accepted(callback) && callback.says("joined", false));
        let calls: Vec<String> = probe.seen().iter().filter(|callback| accepted(callback)).map(call_of).collect();
        let each = ["join_cluster", "authorize", "backup", "backup", "deauthorize"];
        let with_answers: Vec<&str> = each.into_iter().flat_map(|call| [call, "complete"]).chain(["cluster"]).collect();
        assert_eq!(calls, with_answers);
        probe.assert_no_fault();
    }
}

fn call_of(callback: &Callback) -> String {
    let Callback::Event { json, .. } = callback else { unreachable!() };
    json["text"].as_str().and_then(|text| text.split(' ').nth(1)).expect("the call").to_owned()
}

#[test]
fn a_token_given_inside_begin_is_on_disk_when_that_is_said() {
    for drives in [true, false] {
        let rig = Rig::running(drives, &["a"]);
        let (p, state, left) = (rig.p, rig.directory.path().to_owned(), tempfile::tempdir().expect("a directory"));
        let to = left.path().to_owned();
        rig.probe.hook(move |callback| {
            if let Callback::Begin { id, .. } = callback {
                complete_with(p, *id, abi::VMSF_OUTCOME_OK, b"the token");
            }
            if callback.code() == "accepted" {
                lives::copy(&state, &to);
            }
        });
        let (code, request) = rig.authorize(rig.server("a"), b"pw");
        expect(code, abi::VMSF_OK, "authorize");
        let id = rig.asked(request).id;
        rig.wait("accepted", |callback| callback.is_of("accepted", id));
        rig.wait("authorized", |callback| callback.code() == "authorized");
        drop(rig);
        // What a kill inside that event would have left.
        let probe = Probe::new();
        let options = json!({ "schema": 1, "state_directory": left.path() }).to_string();
        let later =
            Rig { p: create(&probe.table(true), &options).expect("a life"), probe, directory: left, drives: true };
        expect(later.start(), abi::VMSF_OK, "start");
        later.settle(SECOND);
        assert_eq!(later.status()["servers"][0]["authorized"], true);
        let (code, request) = later.deauthorize(later.server("a"));
        expect(code, abi::VMSF_OK, "deauthorize");
        let begin = later.wait("begin", |callback| callback.begins(request));
        assert!(matches!(&begin, Callback::Begin { secret, .. } if secret == b"the token"), "{begin:?}");
    }
}
