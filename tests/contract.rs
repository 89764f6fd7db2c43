//! What the header promises of every single call, on the real built library: negotiation, the host's table, options, handles, states, texts.

#[path = "support/rig.rs"]
mod rig;

use std::cell::{Cell, RefCell};
use std::ffi::{CStr, c_char, c_void};
use std::ptr::{null, null_mut};

use rig::{Callback, Probe, Rig, SECOND, abi, call, config, create, expect, handshake, name, options, shake};
use serde_json::{Value, json};

// ---- negotiation ----

#[test]
fn the_highest_common_major_wins_and_a_refusal_still_says_who_the_plugin_is() {
    let whole = size_of::<abi::vmsf_handshake>() as u32;
    let cases = [
        ("just this one", whole, 1, 1, 0, abi::VMSF_OK),
        ("a range around it", whole, 0, 9, 0, abi::VMSF_OK),
        ("a longer struct", whole + 64, 1, 1, 0, abi::VMSF_OK),
        ("newer majors only", whole, 2, 9, 0, abi::VMSF_ERR_ABI),
        ("older majors only", whole, 0, 0, 0, abi::VMSF_ERR_ABI),
        ("a range upside down", whole, 2, 1, 0, abi::VMSF_ERR_INVALID),
        ("an unknown flag", whole, 1, 1, 1 << 31, abi::VMSF_ERR_INVALID),
    ];
    for (what, struct_size, abi_min, abi_max, flags, code) in cases {
        let mut io = abi::vmsf_handshake { struct_size, abi_min, abi_max, flags, ..handshake() };
        expect(shake(rig::entry(), &mut io), code, what);
        assert_eq!(io.abi_chosen, u32::from(code == abi::VMSF_OK), "{what}");
        assert_eq!(io.api.is_null(), code != abi::VMSF_OK, "{what}");
        assert_eq!(io.flags, abi::VMSF_PLUGIN_RESIDENT, "{what}");
        assert!(!io.info.is_null(), "{what}: both sides can be printed");
    }
}

#[test]
fn a_short_handshake_or_none_is_refused_and_not_touched() {
    let mut io = abi::vmsf_handshake { struct_size: size_of::<abi::vmsf_handshake>() as u32 - 1, ..handshake() };
    expect(shake(rig::entry(), &mut io), abi::VMSF_ERR_INVALID, "short");
    assert_eq!((io.abi_chosen, io.abi_minor, io.info.is_null()), (77, 77, true));
    let entry = rig::entry();
    // SAFETY: NULL is refused before any use (header, the entry function).
    expect(unsafe { entry(null_mut()) }, abi::VMSF_ERR_INVALID, "NULL");
}

// ---- the host's table ----

#[test]
fn what_is_wrong_with_the_hosts_table_is_named() {
    type Change = fn(&mut abi::vmsf_host);
    let cases: [(Change, &str); 12] = [
        (|host| host.struct_size -= 1, "struct_size"),
        (|host| host.struct_size = 0, "struct_size"),
        (|host| host.flags |= 1 << 7, "flags"),
        (|host| host.reserved[0] = 1, "reserved"),
        (|host| host.reserved[1] = 1, "reserved"),
        (|host| host.log = None, "host.log"),
        (|host| host.event = None, "host.event"),
        (|host| host.begin = None, "host.begin"),
        (|host| host.wake = None, "host.wake"),
        (|host| host.flags = 0, "host.wake"),
        (|host| host.name = null(), "host.name"),
        (|host| host.version = null(), "host.version"),
    ];
    let directory = tempfile::tempdir().unwrap();
    for (change, named) in cases {
        let mut host = Probe::new().table(true);
        change(&mut host);
        let (code, text) = create(&host, &options(&directory, &config(&["a"]))).unwrap_err();
        assert_eq!(code, "VMSF_ERR_INVALID", "{named}");
        assert!(text.contains(named), "{named} is not in: {text}");
    }
    let host = abi::vmsf_host { name: c"\xff".as_ptr(), ..Probe::new().table(true) };
    assert_eq!(create(&host, &options(&directory, &config(&["a"]))).unwrap_err().0, "VMSF_ERR_UTF8");
}

#[test]
fn release_is_not_called_when_create_failed() {
    let directory = tempfile::tempdir().unwrap();
    let probe = Probe::new();
    for bad in ["{}", &options(&directory, &json!({ "schema": 7 }))] {
        assert!(create(&probe.table(false), bad).is_err());
    }
    assert_eq!(probe.released(), 0);
}

thread_local! {
    /// The extension that the host of this thread gives, and what it was asked for.
    static EXTENSION: Cell<*const c_void> = const { Cell::new(null()) };
    static ASKED: RefCell<Vec<String>> = const { RefCell::new(Vec::new()) };
}

unsafe extern "C" fn get_extension(_: *mut c_void, id: *const c_char) -> *const c_void {
    // SAFETY: rule 3: NUL-terminated, and lives until the callback returns.
    ASKED.with_borrow_mut(|asked| asked.push(unsafe { CStr::from_ptr(id) }.to_str().unwrap().to_owned()));
    EXTENSION.get()
}

unsafe extern "C" fn store(_: *mut c_void, _: *const c_char, _: usize, _: *const u8, _: usize) -> abi::vmsf_result {
    abi::VMSF_OK
}

unsafe extern "C" fn load(
    _: *mut c_void,
    _: *const c_char,
    _: usize,
    _: *mut u8,
    _: usize,
    _: *mut usize,
) -> abi::vmsf_result {
    abi::VMSF_ERR_NOT_FOUND
}

unsafe extern "C" fn remove(_: *mut c_void, _: *const c_char, _: usize) -> abi::vmsf_result {
    abi::VMSF_OK
}

/// A table for secrets, changed, as the extension of this thread's host.
fn offer_secrets(change: impl FnOnce(&mut abi::vmsf_secrets)) {
    let struct_size = size_of::<abi::vmsf_secrets>() as u32;
    let mut table =
        abi::vmsf_secrets { struct_size, reserved: 0, store: Some(store), load: Some(load), remove: Some(remove) };
    change(&mut table);
    EXTENSION.set(std::ptr::from_ref(Box::leak(Box::new(table))).cast());
}

#[test]
fn the_extension_for_secrets_is_asked_for_once_in_a_life_inside_create() {
    for offers in [false, true] {
        if offers {
            offer_secrets(|_| ());
        }
        let (directory, probe) = (tempfile::tempdir().unwrap(), Probe::new());
        let host = abi::vmsf_host { get_extension: Some(get_extension), ..probe.table(true) };
        let p = create(&host, &options(&directory, &config(&["a"]))).unwrap();
        assert_eq!(ASKED.take(), [abi::VMSF_EXT_SECRETS]);
        let rig = Rig { p, probe, directory, drives: true };
        expect(rig.start(), abi::VMSF_OK, "start");
        expect(rig.poll(SECOND).0, abi::VMSF_OK, "poll");
        drop(rig);
        assert_eq!(ASKED.take(), [""; 0]);
    }
}

#[test]
fn what_is_wrong_with_the_extension_for_secrets_is_named_by_create() {
    type Change = fn(&mut abi::vmsf_secrets);
    let cases: [(Change, &str); 5] = [
        (|table| table.struct_size -= 1, "vmsf_secrets.struct_size"),
        (|table| table.reserved = 1, "vmsf_secrets.reserved"),
        (|table| table.store = None, "vmsf_secrets.store"),
        (|table| table.load = None, "vmsf_secrets.load"),
        (|table| table.remove = None, "vmsf_secrets.remove"),
    ];
    let (directory, probe) = (tempfile::tempdir().unwrap(), Probe::new());
    let host = abi::vmsf_host { get_extension: Some(get_extension), ..probe.table(true) };
    for (change, named) in cases {
        offer_secrets(change);
        let (code, text) = create(&host, &options(&directory, &config(&["a"]))).unwrap_err();
        assert_eq!(code, "VMSF_ERR_INVALID", "{named}");
        assert!(text.contains(named), "{named} is not in: {text}");
    }
    assert_eq!((probe.released(), directory.path().read_dir().unwrap().count()), (0, 0));
}

/// A struct of the future: what this plugin knows, and more.
#[repr(C)]
struct Larger {
    host: abi::vmsf_host,
    more: [u64; 4],
}

#[test]
fn a_larger_table_is_accepted_and_may_be_overwritten_right_after_create() {
    let (directory, probe) = (tempfile::tempdir().unwrap(), Probe::new());
    let mut larger = Box::new(Larger { host: probe.table(true), more: [u64::MAX; 4] });
    larger.host.struct_size = size_of::<Larger>() as u32;
    let mut options = options(&directory, &config(&["a"])).into_bytes();
    let p = create(&larger.host, std::str::from_utf8(&options).unwrap()).unwrap();
    options.fill(0xff);
    let bytes = (&raw mut *larger).cast::<u8>();
    // SAFETY: all of the box; none of its fields is looked at again, as the header promises (rule 3).
    unsafe { bytes.write_bytes(0xff, size_of::<Larger>()) };
    let rig = Rig { p, probe, directory, drives: true };
    expect(rig.start(), abi::VMSF_OK, "start");
    expect(rig.poll(SECOND).0, abi::VMSF_OK, "poll");
    expect(rig.notify(rig.server("a"), abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK, "notify");
    expect(rig.poll(2 * SECOND).0, abi::VMSF_OK, "poll");
    assert_eq!(probe.count(|callback| callback.is("health", "connected")), 1);
}

// ---- options ----

#[test]
fn options_that_are_wrong_give_the_documented_code_and_words() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap().to_owned();
    let file = directory.path().join("file");
    std::fs::write(&file, "").unwrap();
    let deep = format!("{{\"schema\":{}", "[".repeat(10_000));
    let cases = [
        ("".to_owned(), "VMSF_ERR_JSON", ""),
        ("nonsense".to_owned(), "VMSF_ERR_JSON", ""),
        (deep, "VMSF_ERR_JSON", ""),
        (json!([1, path]).to_string(), "VMSF_ERR_JSON", "object"),
        (json!({ "schema": 1 }).to_string(), "VMSF_ERR_JSON", "state_directory"),
        (json!({ "schema": 2, "state_directory": path }).to_string(), "VMSF_ERR_JSON", "schema is 2"),
        (json!({ "schema": 1, "state_directory": path, "colour": 1 }).to_string(), "VMSF_ERR_JSON", "colour"),
        (json!({ "schema": 1, "state_directory": "x/y" }).to_string(), "VMSF_ERR_INVALID", "absolute"),
        (json!({ "schema": 1, "state_directory": file }).to_string(), "VMSF_ERR_IO", "file"),
        (json!({ "schema": 1, "state_directory": path }).to_string(), "VMSF_ERR_CONFIG", "none is kept"),
        (
            json!({ "schema": 1, "state_directory": path, "operations": ["takeover"] }).to_string(),
            "VMSF_ERR_INVALID",
            "restore",
        ),
        (
            json!({ "schema": 1, "state_directory": path, "operations": ["takeover", "restore", "dance"] }).to_string(),
            "VMSF_ERR_INVALID",
            "dance",
        ),
    ];
    for (options, code, words) in cases {
        let error = create(&Probe::new().table(false), &options).unwrap_err();
        let shown: String = options.chars().take(80).collect();
        assert_eq!(error.0, code, "{shown}");
        assert!(error.1.contains(words), "{words} is not in: {}", error.1);
    }
}

#[test]
fn faults_of_the_configuration_in_err_are_cut_between_faults() {
    let directory = tempfile::tempdir().unwrap();
    let servers: Vec<Value> = (0..20).map(|n| json!({ "id": format!("s{n}") })).collect();
    let mut document = config(&[]);
    document["monitored_servers"] = servers.into();
    let options = options(&directory, &document);
    let host = Probe::new().table(false);
    let mut whole = 0;
    for cap in [0, 1, 5, 14, 300, 1000, 8000] {
        let (mut out, mut err) = (7, vec![b'x'; cap.max(1)]);
        let room = if cap == 0 { null_mut() } else { err.as_mut_ptr().cast() };
        let code = call!(create(&host, options.as_ptr().cast(), options.len(), &mut out, room, cap));
        expect(code, abi::VMSF_ERR_CONFIG, cap);
        assert_eq!(out, 7, "no other failure writes anything");
        let Some(end) = err.iter().position(|byte| *byte == 0).filter(|_| cap > 0) else {
            assert_eq!(cap, 0);
            continue;
        };
        if end == 0 {
            assert!(cap < 14, "an empty list fits {cap}");
            continue;
        }
        let report: Value = serde_json::from_slice(&err[..end]).unwrap_or_else(|error| panic!("{cap}: {error}"));
        let count = report["faults"].as_array().unwrap().len();
        assert!(count >= whole, "more room, more faults");
        whole = count;
    }
    assert_eq!(whole, 20);
}

#[test]
fn a_faulty_configuration_leaves_no_trace_on_disk() {
    let directory = tempfile::tempdir().unwrap();
    let inside = directory.path().join("state");
    let options = json!({ "schema": 1, "state_directory": inside, "config": { "schema": 1 } }).to_string();
    assert_eq!(create(&Probe::new().table(false), &options).unwrap_err().0, "VMSF_ERR_CONFIG");
    assert!(!inside.exists());
}

#[test]
fn the_kept_configuration_is_used_at_the_next_create_and_a_directory_in_use_is_busy() {
    let rig = Rig::new(true, &["kept"]);
    let again = json!({ "schema": 1, "state_directory": rig.directory.path() }).to_string();
    let (code, text) = create(&Probe::new().table(true), &again).unwrap_err();
    assert_eq!(code, "VMSF_ERR_BUSY");
    assert!(text.contains("in use"), "{text}");
    expect(rig.destroy(), abi::VMSF_OK, "destroy");
    let probe = Probe::new();
    let p = create(&probe.table(true), &again).unwrap();
    let next = Rig { p, probe, directory: tempfile::tempdir().unwrap(), drives: true };
    next.server("kept");
    expect(next.destroy(), abi::VMSF_OK, "destroy");
}

// ---- handles ----

/// Every member with an instance handle and a server handle; the rest of its arguments is good.
type Member = (&'static str, fn(u64, u64) -> abi::vmsf_result);

/// Where to join the cluster.
const PLACE: &str = r#"{"host":"management.example"}"#;

const SERVERLESS: [Member; 15] = [
    ("start", |p, _| call!(start(p))),
    ("stop", |p, _| call!(stop(p, 1000))),
    ("destroy", |p, _| call!(destroy(p))),
    ("configure", |p, _| rig::document(rig::api().configure, p, "{}", abi::VMSF_DRY_RUN).0),
    ("edit", |p, _| rig::document(rig::api().edit, p, "{}", abi::VMSF_DRY_RUN).0),
    ("poll", |p, _| call!(poll(p, 5, 5, &mut 0))),
    ("now_ns", |p, _| call!(now_ns(p, &mut 0))),
    ("server", |p, _| call!(server(p, c"a".as_ptr(), 1, &mut 0))),
    ("config", |p, _| buffer(|buf, cap, len| call!(config(p, buf, cap, len)))),
    ("log", |p, _| buffer(|buf, cap, len| call!(log(p, 0, 1, buf, cap, len)))),
    ("progress", |p, _| call!(progress(p, 1, 1, null(), 0))),
    ("last_error", |p, _| buffer(|buf, cap, len| call!(last_error(p, null_mut(), buf, cap, len)))),
    ("cluster", |p, _| call!(cluster(p, 1, null(), 0))),
    ("join_cluster", |p, _| call!(join_cluster(p, PLACE.as_ptr().cast(), PLACE.len(), null(), 0, &mut 0))),
    ("complete", |p, _| rig::complete(p, 1, abi::VMSF_OUTCOME_OK)),
];
const WITH_SERVER: [Member; 13] = [
    ("notify", |p, s| call!(notify(p, s, abi::VMSF_NOTIFY_CONNECTED, 0))),
    ("next_server", |p, s| call!(next_server(p, s, &mut 0))),
    ("server_id", |p, s| buffer(|buf, cap, len| call!(server_id(p, s, buf, cap, len)))),
    ("status", |p, s| buffer(|buf, cap, len| call!(status(p, s, buf, cap, len)))),
    ("recordings_ini", |p, s| buffer(|buf, cap, len| call!(recordings_ini(p, s, null(), 0, buf, cap, len)))),
    ("authorize", |p, s| call!(authorize(p, s, null(), 0, b"x".as_ptr(), 1, &mut 0))),
    ("deauthorize", |p, s| call!(deauthorize(p, s, null(), 0, &mut 0))),
    ("backup", |p, s| call!(backup(p, s, null(), 0, null_mut()))),
    ("takeover", |p, s| call!(takeover(p, s, null(), 0, null_mut()))),
    ("restore", |p, s| call!(restore(p, s, null(), 0, null_mut()))),
    ("cancel", |p, s| call!(cancel(p, s, null(), 0))),
    ("maintenance", |p, s| call!(maintenance(p, s, null(), 0))),
    ("drill", |p, s| call!(drill(p, s, null(), 0, &mut 0))),
];
/// What later versions do.
const UNSUPPORTED: [&str; 2] = ["maintenance", "drill"];

fn buffer(fetch: impl Fn(*mut c_char, usize, *mut usize) -> abi::vmsf_result) -> abi::vmsf_result {
    let (mut room, mut len) = (vec![0_u8; 65536], 0);
    fetch(room.as_mut_ptr().cast(), room.len(), &mut len)
}

#[test]
fn a_wrong_instance_handle_is_refused_by_every_member() {
    let rig = Rig::running(true, &["a"]);
    let server = rig.server("a");
    let stale = {
        let gone = Rig::new(true, &["a"]);
        gone.p
    };
    let wrong = [("zero", 0), ("stale", stale), ("swapped", server), ("invented", rig.p ^ 1 << 30), ("all", u64::MAX)];
    for (member, call) in SERVERLESS.iter().chain(&WITH_SERVER) {
        for (what, handle) in wrong {
            expect(call(handle, server), abi::VMSF_ERR_HANDLE, format_args!("{member}, {what}"));
        }
    }
}

#[test]
fn a_wrong_server_handle_is_refused_by_every_member_that_looks_at_it() {
    let (rig, other) = (Rig::running(true, &["a", "b"]), Rig::running(true, &["a"]));
    let stale = rig.server("b");
    expect(rig.edit(r#"{"remove":["b"]}"#, 0).0, abi::VMSF_OK, "edit");
    // A new tenant in the place of the old one, under another number.
    expect(rig.poll(1_001 * SECOND).0, abi::VMSF_OK, "poll");
    expect(rig.edit(r#"{"add":[{"id":"c","host":"c.example"}]}"#, 0).0, abi::VMSF_OK, "edit");
    assert_ne!(rig.server("c"), stale);
    let wrong = [("zero", 0), ("stale", stale), ("foreign", other.server("a")), ("swapped", rig.p), ("all", u64::MAX)];
    for (member, call) in WITH_SERVER {
        for (what, handle) in wrong {
            let code = match member {
                member if UNSUPPORTED.contains(&member) => abi::VMSF_ERR_UNSUPPORTED,
                // The first, or all.
                "next_server" | "status" if handle == 0 => abi::VMSF_OK,
                "backup" if handle == 0 => abi::VMSF_ERR_NOT_IN_CLUSTER,
                _ => abi::VMSF_ERR_HANDLE,
            };
            expect(call(rig.p, handle), code, format_args!("{member}, {what}"));
        }
    }
}

#[test]
fn a_wrong_server_handle_is_said_before_anything_else_that_is_wrong() {
    type Takes = fn(u64, *const c_char, usize) -> abi::vmsf_result;
    const BAD: u64 = 1 << 40;
    let takes: [(&str, Takes); 7] = [
        ("recordings_ini", |p, t, l| call!(recordings_ini(p, BAD, t, l, null_mut(), 0, null_mut()))),
        ("authorize", |p, t, l| call!(authorize(p, BAD, t, l, null(), 0, null_mut()))),
        ("deauthorize", |p, t, l| call!(deauthorize(p, BAD, t, l, null_mut()))),
        ("backup", |p, t, l| call!(backup(p, BAD, t, l, null_mut()))),
        ("takeover", |p, t, l| call!(takeover(p, BAD, t, l, null_mut()))),
        ("restore", |p, t, l| call!(restore(p, BAD, t, l, null_mut()))),
        ("cancel", |p, t, l| call!(cancel(p, BAD, t, l))),
    ];
    for running in [true, false] {
        let rig = if running { Rig::running(true, &["a"]) } else { Rig::new(true, &["a"]) };
        for (member, take) in takes {
            for (text, len) in [(null(), 3), (c"{".as_ptr(), 1), (c"x".as_ptr(), 1 << 20)] {
                expect(take(rig.p, text, len), abi::VMSF_ERR_HANDLE, format_args!("{member}, {len} bytes"));
            }
        }
    }
}

// ---- states ----

#[test]
fn every_member_gives_the_documented_code_in_every_state() {
    use abi::*;
    let codes = |member: &str, running: bool, drives: bool| match member {
        member if UNSUPPORTED.contains(&member) => VMSF_ERR_UNSUPPORTED,
        "start" if running => VMSF_ERR_STATE,
        "destroy" if running => VMSF_ERR_STATE,
        "configure" => VMSF_ERR_CONFIG,
        "poll" if !drives => VMSF_ERR_UNSUPPORTED,
        "notify" | "poll" | "takeover" | "backup" | "authorize" | "join_cluster" if !running => VMSF_ERR_STATE,
        "takeover" | "backup" => VMSF_ERR_NOT_IN_CLUSTER,
        "deauthorize" => VMSF_ERR_NOT_AUTHORIZED,
        "complete" | "progress" => {
            if running {
                VMSF_ERR_NOT_FOUND
            } else {
                VMSF_ERR_STATE
            }
        }
        // Nothing to restore or cancel; and this configuration does not say where the recordings are.
        "restore" | "cancel" | "recordings_ini" => VMSF_ERR_STATE,
        "next_server" => VMSF_ERR_NOT_FOUND,
        _ => VMSF_OK,
    };
    for (running, drives) in [(false, true), (true, true), (false, false), (true, false)] {
        for (member, call) in SERVERLESS.iter().chain(&WITH_SERVER) {
            let rig = if running { Rig::running(drives, &["a"]) } else { Rig::new(drives, &["a"]) };
            let expected = codes(member, running, drives);
            expect(call(rig.p, rig.server("a")), expected, format_args!("{member}, running {running}, {drives}"));
            if expected != VMSF_OK && *member != "notify" {
                assert_eq!(rig.last_error().0, name(expected), "{member}");
            }
        }
    }
}

#[test]
fn stop_works_in_every_state_and_start_again_after_it() {
    for drives in [true, false] {
        let rig = Rig::new(drives, &["a"]);
        for _ in 0..3 {
            expect(rig.stop(1000), abi::VMSF_OK, "stop when stopped");
            expect(rig.start(), abi::VMSF_OK, "start");
            expect(rig.stop(1000), abi::VMSF_OK, "stop");
        }
    }
}

// ---- text in ----

#[test]
fn texts_in_are_checked_for_null_length_utf8_nul_depth_and_shape() {
    let rig = Rig::running(true, &["a"]);
    let (p, s) = (rig.p, rig.server("a"));
    type Takes<'a> = &'a dyn Fn(*const c_char, usize) -> abi::vmsf_result;
    let takes: [(&str, usize, bool, Takes<'_>); 13] = [
        ("configure", 256 << 20, true, &|t, l| call!(configure(p, t, l, 0, null_mut(), 0, null_mut()))),
        ("edit", 1 << 20, true, &|t, l| call!(edit(p, t, l, 0, null_mut(), 0, null_mut()))),
        ("server", 64, false, &|t, l| call!(server(p, t, l, &mut 0))),
        ("progress", 65536, false, &|t, l| call!(progress(p, 1, 1, t, l))),
        ("takeover", 65536, true, &|t, l| call!(takeover(p, s, t, l, null_mut()))),
        ("restore", 65536, true, &|t, l| call!(restore(p, s, t, l, null_mut()))),
        ("cancel", 65536, true, &|t, l| call!(cancel(p, s, t, l))),
        ("cluster", 65536, true, &|t, l| call!(cluster(p, 1, t, l))),
        ("join_cluster", 65536, true, &|t, l| call!(join_cluster(p, t, l, null(), 0, null_mut()))),
        ("authorize", 65536, true, &|t, l| call!(authorize(p, s, t, l, b"x".as_ptr(), 1, null_mut()))),
        ("deauthorize", 65536, true, &|t, l| call!(deauthorize(p, s, t, l, null_mut()))),
        ("backup", 65536, true, &|t, l| call!(backup(p, s, t, l, null_mut()))),
        ("complete", 65536, true, &|t, l| call!(complete(p, 1, 0, t, l, null(), 0))),
    ];
    let deep = "[".repeat(10_000);
    for (member, max, is_json, take) in takes {
        let of = |text: &[u8]| take(text.as_ptr().cast(), text.len());
        expect(take(null(), 3), abi::VMSF_ERR_INVALID, format_args!("{member}: NULL with a length"));
        // Only the length is looked at: nothing is read of what is too long.
        expect(take(c"x".as_ptr(), max + 1), abi::VMSF_ERR_LIMIT, format_args!("{member}: too long"));
        expect(of(b"\xff\xfe"), abi::VMSF_ERR_UTF8, format_args!("{member}: not UTF-8"));
        expect(of(b"a\0b"), abi::VMSF_ERR_UTF8, format_args!("{member}: a NUL"));
        if !is_json {
            continue;
        }
        expect(of(deep.as_bytes()), abi::VMSF_ERR_JSON, format_args!("{member}: deep"));
        expect(of(b"{"), abi::VMSF_ERR_JSON, format_args!("{member}: half"));
        if !matches!(member, "configure" | "edit") {
            for shape in [r#"["bob"]"#, r#"{"colour":1}"#, r#"{"actor":7,"error":7}"#, "7", "null"] {
                expect(of(shape.as_bytes()), abi::VMSF_ERR_JSON, format_args!("{member}: {shape}"));
            }
        }
    }
    for actor in ["", "automatic", "a\u{7}b", &"x".repeat(257)] {
        let json = json!({ "actor": actor }).to_string();
        expect(call!(takeover(p, s, json.as_ptr().cast(), json.len(), null_mut())), abi::VMSF_ERR_JSON, actor);
    }
    rig.settle(1_001 * SECOND);
    let heard = |callback: &Callback| matches!(callback, Callback::Event { .. } | Callback::Begin { .. });
    assert_eq!(rig.probe.count(heard), 0, "a failed call changes nothing");
}

#[test]
fn numbers_out_of_range_and_null_outputs_are_invalid() {
    use abi::VMSF_ERR_INVALID;
    let rig = Rig::running(true, &["a"]);
    let (p, s) = (rig.p, rig.server("a"));
    let long = [0_u8; 4097];
    let authorize = |secret: *const u8, len: usize| call!(authorize(p, s, null(), 0, secret, len, null_mut()));
    let join = |secret: *const u8, len: usize| {
        call!(join_cluster(p, PLACE.as_ptr().cast(), PLACE.len(), secret, len, null_mut()))
    };
    let cases = [
        ("configure flags", call!(configure(p, c"{}".as_ptr(), 2, 2, null_mut(), 0, null_mut())), VMSF_ERR_INVALID),
        ("edit flags", call!(edit(p, c"{}".as_ptr(), 2, 1 << 31, null_mut(), 0, null_mut())), VMSF_ERR_INVALID),
        ("edit report", call!(edit(p, c"{}".as_ptr(), 2, 0, null_mut(), 9, null_mut())), VMSF_ERR_INVALID),
        ("poll next", call!(poll(p, 5, 5, null_mut())), VMSF_ERR_INVALID),
        ("poll 0", call!(poll(p, 0, 5, &mut 0)), VMSF_ERR_INVALID),
        ("notify kind 0", call!(notify(p, s, 0, 0)), abi::VMSF_ERR_UNSUPPORTED),
        ("notify kind 7", call!(notify(p, s, 7, 0)), abi::VMSF_ERR_UNSUPPORTED),
        ("now_ns", call!(now_ns(p, null_mut())), VMSF_ERR_INVALID),
        ("server", call!(server(p, c"a".as_ptr(), 1, null_mut())), VMSF_ERR_INVALID),
        ("next_server", call!(next_server(p, 0, null_mut())), VMSF_ERR_INVALID),
        ("progress", call!(progress(p, 1, 1001, null(), 0)), VMSF_ERR_INVALID),
        ("cluster", call!(cluster(p, 2, null(), 0)), VMSF_ERR_INVALID),
        ("authorize without a secret", authorize(null(), 0), VMSF_ERR_INVALID),
        ("authorize with an empty one", authorize(long.as_ptr(), 0), VMSF_ERR_INVALID),
        ("authorize with NULL for one", authorize(null(), 1), VMSF_ERR_INVALID),
        ("authorize with a long one", authorize(long.as_ptr(), 4097), abi::VMSF_ERR_LIMIT),
        ("join_cluster with NULL for one", join(null(), 1), VMSF_ERR_INVALID),
        ("join_cluster with a long one", join(long.as_ptr(), 4097), abi::VMSF_ERR_LIMIT),
        ("outcome", call!(complete(p, 1, 3, null(), 0, null(), 0)), VMSF_ERR_INVALID),
        ("secret", call!(complete(p, 1, 0, null(), 0, null(), 1)), VMSF_ERR_INVALID),
        ("secret", call!(complete(p, 1, 0, null(), 0, long.as_ptr(), 4097)), abi::VMSF_ERR_LIMIT),
    ];
    for (what, code, expected) in cases {
        expect(code, expected, what);
    }
}

// ---- text out ----

#[test]
fn texts_out_are_written_whole_with_their_nul_or_not_at_all() {
    let rig = Rig::new(true, &["a-server"]);
    let (p, s) = (rig.p, rig.server("a-server"));
    type Gives<'a> = &'a dyn Fn(*mut c_char, usize, *mut usize) -> abi::vmsf_result;
    expect(call!(start(p)), abi::VMSF_OK, "start");
    expect(call!(start(p)), abi::VMSF_ERR_STATE, "an error with words");
    let gives: [(&str, Gives<'_>); 3] = [
        ("server_id", &|buf, cap, len| call!(server_id(p, s, buf, cap, len))),
        ("config", &|buf, cap, len| call!(config(p, buf, cap, len))),
        ("last_error", &|buf, cap, len| call!(last_error(p, null_mut(), buf, cap, len))),
    ];
    for (member, give) in gives {
        let mut size = 0;
        expect(give(null_mut(), 0, &mut size), abi::VMSF_ERR_TOO_SMALL, format_args!("{member} asks"));
        assert!(size > 0, "{member}");
        for cap in [1, size, size + 1, size + 9] {
            let (mut room, mut len) = (vec![b'x'; cap], 0);
            let code = give(room.as_mut_ptr().cast(), cap, &mut len);
            expect(
                code,
                if cap > size { abi::VMSF_OK } else { abi::VMSF_ERR_TOO_SMALL },
                format_args!("{member} {cap}"),
            );
            assert_eq!(len, size, "{member} {cap}");
            let end = if cap > size { size } else { 0 };
            assert_eq!(room.iter().position(|byte| *byte == 0), Some(end), "{member} {cap}");
            assert!(room[end + 1..].iter().all(|byte| *byte == b'x'), "{member} {cap}: beyond the text");
        }
    }
    let (mut room, mut len) = ([b'x'; 64], 77);
    let buf = room.as_mut_ptr().cast();
    expect(call!(server_id(p, s, buf, 64, null_mut())), abi::VMSF_ERR_INVALID, "no len");
    expect(call!(server_id(p, s, null_mut(), 64, &mut len)), abi::VMSF_ERR_INVALID, "NULL with a size");
    expect(call!(server_id(p, 0, buf, 64, &mut len)), abi::VMSF_ERR_HANDLE, "a wrong handle");
    assert_eq!((room, len), ([b'x'; 64], 77), "no other failure writes anything");
}

// ---- last_error ----

#[test]
fn the_last_error_stays_until_the_next_that_is_kept() {
    let rig = Rig::running(true, &["a"]);
    let s = rig.server("a");
    assert_eq!(rig.last_error(), ("VMSF_OK".into(), String::new()));
    expect(rig.start(), abi::VMSF_ERR_STATE, "start");
    let kept = rig.last_error();
    assert_eq!(kept.0, "VMSF_ERR_STATE");
    assert!(kept.1.contains("stop first"), "{}", kept.1);
    expect(rig.notify(s, 99, 0), abi::VMSF_ERR_UNSUPPORTED, "notify");
    expect(rig.notify(7, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_ERR_HANDLE, "notify");
    for _ in 0..9 {
        rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0);
    }
    expect(rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_ERR_BUSY, "notify");
    expect(call!(server_id(rig.p, 7, null_mut(), 0, &mut 0)), abi::VMSF_ERR_HANDLE, "server_id");
    expect(call!(server_id(rig.p, s, null_mut(), 0, &mut 0)), abi::VMSF_ERR_TOO_SMALL, "server_id");
    expect(rig.poll(1_001 * SECOND).0, abi::VMSF_OK, "poll");
    assert_eq!(rig.last_error(), kept, "success does not clear it");
    expect(rig.restore(s), abi::VMSF_ERR_STATE, "restore");
    assert_ne!(rig.last_error(), kept, "the next replaces it");
}

// ---- configure and edit ----

#[test]
fn all_faults_are_reported_and_the_old_configuration_stays() {
    for drives in [true, false] {
        let rig = Rig::running(drives, &["a"]);
        let before = rig.config();
        let mut document = config(&["b", "b"]);
        document["timeouts"]["keep_alive_s"] = 1.into();
        document["colour"] = "red".into();
        for flags in [0, abi::VMSF_DRY_RUN] {
            let (code, report) = rig.configure(&document.to_string(), flags);
            expect(code, abi::VMSF_ERR_CONFIG, "configure");
            let report: Value = serde_json::from_str(&report).unwrap();
            let faults = report["faults"].as_array().unwrap();
            let keys = |fault: &Value| fault.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
            assert!(faults.iter().all(|fault| keys(fault) == ["allowed", "pointer", "text", "value"]), "{faults:?}");
            for pointer in ["/timeouts/keep_alive_s", "/colour", "/monitored_servers/1/id"] {
                assert!(faults.iter().any(|fault| fault["pointer"] == pointer), "{pointer} is not in {report}");
            }
        }
        assert_eq!(rig.config(), before);
        let (code, report) = rig.edit(r#"{"set":{"timeouts":{"keep_alive_s":1}},"remove":["zzz"]}"#, 0);
        expect(code, abi::VMSF_ERR_CONFIG, "edit");
        assert!(report.contains("/remove/0"), "{report}");
        assert_eq!(rig.config(), before, "all or nothing");
    }
}

#[test]
fn a_dry_run_changes_nothing_and_the_same_call_without_it_does() {
    for (drives, running) in [(true, true), (true, false), (false, true), (false, false)] {
        let rig = if running { Rig::running(drives, &["a"]) } else { Rig::new(drives, &["a"]) };
        let (before, next) = (rig.config(), config(&["a", "b"]).to_string());
        let a = rig.server("a");
        assert_eq!(rig.configure(&next, abi::VMSF_DRY_RUN), (abi::VMSF_OK, r#"{"faults":[]}"#.into()));
        assert_eq!(rig.config(), before);
        assert_eq!(rig.configure(&next, 0), (abi::VMSF_OK, r#"{"faults":[]}"#.into()));
        assert_eq!(rig.config()["monitored_servers"].as_array().unwrap().len(), 2);
        assert_eq!(rig.server("a"), a, "its handle stays");
        rig.server("b");
    }
}

#[test]
fn a_report_that_does_not_fit_is_empty_and_changes_no_result() {
    let rig = Rig::new(true, &["a"]);
    let (mut report, mut len) = ([b'x'; 4], 0);
    let room = report.as_mut_ptr().cast();
    expect(call!(configure(rig.p, c"{}".as_ptr(), 2, 0, room, 4, &mut len)), abi::VMSF_ERR_CONFIG, "configure");
    assert_eq!(&report, b"\0xxx");
    assert!(len > 4);
    report = [b'x'; 4];
    expect(call!(edit(rig.p, c"{}".as_ptr(), 2, 0, room, 4, null_mut())), abi::VMSF_OK, "edit");
    assert_eq!(&report, b"\0xxx", "the report is a text even where nobody asks for its length");
}

#[test]
fn a_taken_over_server_can_be_neither_removed_nor_readdressed() {
    for drives in [true, false] {
        let rig = Rig::ready(drives, &["a", "b"]);
        let before = rig.config();
        expect(rig.takeover(rig.server("a")).0, abi::VMSF_OK, "takeover");
        rig.wait("begin", |callback| matches!(callback, Callback::Begin { .. }));
        let removed = rig.edit(r#"{"remove":["a","b"]}"#, 0);
        let readdressed = rig.edit(r#"{"change":[{"id":"a","host":"elsewhere.example"}]}"#, 0);
        for ((code, report), pointer) in [(removed, "/monitored_servers"), (readdressed, "/monitored_servers/0")] {
            expect(code, abi::VMSF_ERR_CONFIG, pointer);
            let report: Value = serde_json::from_str(&report).unwrap();
            assert_eq!(report["faults"][0]["pointer"], pointer);
            assert_eq!(report["faults"].as_array().unwrap().len(), 1, "b may go: {report}");
        }
        assert_eq!(rig.config(), before);
    }
}
