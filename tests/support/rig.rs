//! A host made of probes, on the real built library through the raw C ABI: what a polite wrapper would not do is possible here.
//!
//! A `Probe` is the host's side: it notes every callback, checks what holds for all of them (one `event` or `begin` at a time, `seq` without
//! gaps, nothing behind `stop` or `release`), and runs a hook inside each. A `Rig` is one instance; dropping it stops and destroys it and
//! fails the test if a check failed. Nothing here sleeps for a fixed time.

// Each test file uses its own part of it.
#![allow(dead_code, unused_imports)]

#[path = "native.rs"]
mod native;
#[path = "probe.rs"]
mod probe;

use std::ffi::{CStr, c_char};
use std::path::PathBuf;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
pub use vms_failover_abi as abi;

pub use probe::{Callback, Held, Probe};

/// Longer than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SECOND: u64 = 1_000_000_000;
/// A driven instance is first polled then.
const FIRST_POLL: u64 = 1_000 * SECOND;
/// More polls than any single thing takes.
const POLLS_MAX: usize = 10_000;
/// The keep-alive timeout of `config`.
pub const KEEP_ALIVE: u64 = 30 * SECOND;

/// Calls a member of the table.
macro_rules! call {
    ($member:ident($($argument:expr),* $(,)?)) => {{
        let member = crate::rig::api().$member;
        // SAFETY: the test vouches for its pointers and lengths (header, rule 3); handles are checked (rule 4).
        unsafe { member($($argument),*) }
    }};
}
pub(crate) use call;

fn library() -> &'static libloading::Library {
    static LIBRARY: OnceLock<libloading::Library> = OnceLock::new();
    LIBRARY.get_or_init(open)
}

/// Loads the library once more.
pub fn open() -> libloading::Library {
    // SAFETY: the project's own library; loading it runs nothing but Rust's start-up code (header, rule 1).
    unsafe { libloading::Library::new(native::plugin_library()) }.expect("the plugin loads")
}

pub fn entry_of(library: &libloading::Library) -> abi::vmsf_entry_fn {
    // SAFETY: the entry symbol has this type for ever (header, rule 1).
    *unsafe { library.get::<abi::vmsf_entry_fn>(abi::VMSF_ENTRY_SYMBOL.as_bytes()) }.expect("the entry symbol")
}

pub fn entry() -> abi::vmsf_entry_fn {
    entry_of(library())
}

pub fn shake(entry: abi::vmsf_entry_fn, io: &mut abi::vmsf_handshake) -> abi::vmsf_result {
    // SAFETY: a whole struct, or one whose size says how much of it there is (header, rule 1).
    unsafe { entry(io) }
}

pub fn handshake() -> abi::vmsf_handshake {
    abi::vmsf_handshake {
        struct_size: size_of::<abi::vmsf_handshake>() as u32,
        abi_min: abi::VMSF_ABI_MAJOR,
        abi_max: abi::VMSF_ABI_MAJOR,
        abi_chosen: 77,
        abi_minor: 77,
        flags: 0,
        info: std::ptr::null(),
        api: std::ptr::null(),
    }
}

/// The table of the library that all tests of a file share.
pub fn api() -> &'static abi::vmsf_api {
    let mut io = handshake();
    assert_eq!(shake(entry(), &mut io), abi::VMSF_OK);
    // SAFETY: static, and the library is never closed (header, rule 1).
    unsafe { &*io.api }
}

/// The name of a code, so that a failed test can be read.
pub fn name(code: abi::vmsf_result) -> String {
    let name = call!(result_name(code));
    // SAFETY: a static, NUL-terminated text (its documentation).
    unsafe { CStr::from_ptr(name) }.to_string_lossy().into_owned()
}

/// Asserts on a code by name.
#[track_caller]
pub fn expect(code: abi::vmsf_result, expected: abi::vmsf_result, what: impl std::fmt::Display) {
    assert_eq!(name(code), name(expected), "{what}");
}

/// Where `config` has its directories; `options` puts them below the directory of the instance.
const NOWHERE: &str = "/nowhere";

/// A configuration with these servers and every default but one: a daily run would come into any test that runs at its time.
pub fn config(ids: &[&str]) -> Value {
    let server = |id: &&str| json!({ "id": id, "name": format!("Recorder {id}"), "host": format!("{id}.example") });
    json!({
        "schema": 1, "backup_directory": "/nowhere/backups", "store_path": "/nowhere/video", "daily_backup": false,
        "timeouts": { "keep_alive_s": KEEP_ALIVE / SECOND },
        "monitored_servers": ids.iter().map(server).collect::<Vec<_>>(),
    })
}

/// A configuration with its directories below this one.
pub fn placed(directory: &TempDir, config: &Value) -> Value {
    let mut placed = config.clone();
    for key in ["backup_directory", "store_path"] {
        let below = config[key].as_str().and_then(|path| path.strip_prefix(NOWHERE)?.strip_prefix('/'));
        below.into_iter().for_each(|below| placed[key] = json!(directory.path().join(below)));
    }
    placed
}

pub fn options(directory: &TempDir, config: &Value) -> String {
    let config = placed(directory, config);
    json!({ "schema": 1, "state_directory": directory.path(), "config": config, "durability": "none" }).to_string()
}

/// `create` with a table; the handle or the code with the text of `err`.
pub fn create(host: &abi::vmsf_host, options: &str) -> Result<abi::vmsf_plugin, (String, String)> {
    let (mut plugin, mut err) = (0, [b'x'; 8192]);
    let text = options.as_ptr().cast();
    let code = call!(create(host, text, options.len(), &mut plugin, err.as_mut_ptr().cast(), err.len()));
    if code == abi::VMSF_OK {
        return Ok(plugin);
    }
    let text = CStr::from_bytes_until_nul(&err).expect("a terminated text").to_string_lossy().into_owned();
    Err((name(code), text))
}

/// A text out of the plugin, whatever its size.
pub fn text(fetch: impl Fn(*mut c_char, usize, *mut usize) -> abi::vmsf_result) -> Result<String, abi::vmsf_result> {
    let mut buffer = vec![0_u8; 64];
    loop {
        let mut len = 0;
        match fetch(buffer.as_mut_ptr().cast(), buffer.len(), &mut len) {
            abi::VMSF_OK => return Ok(String::from_utf8(buffer[..len].to_vec()).expect("UTF-8")),
            abi::VMSF_ERR_TOO_SMALL => buffer.resize(len + 1, 0),
            code => return Err(code),
        }
    }
}

/// An operation that the host was asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Begun {
    pub kind: u32,
    pub flags: u32,
    pub id: u64,
    pub json: Value,
    pub secret: Vec<u8>,
}

impl Begun {
    pub fn of(callback: Callback) -> Option<Begun> {
        match callback {
            Callback::Begin { kind, flags, id, json, secret, .. } => Some(Begun { kind, flags, id, json, secret }),
            _ => None,
        }
    }

    /// What it is, and whether it is begun once more.
    pub fn what(&self) -> (u32, u32) {
        (self.kind, self.flags)
    }

    /// Where a backup is to be written.
    #[track_caller]
    pub fn file(&self) -> PathBuf {
        PathBuf::from(self.json["file"].as_str().expect("a file"))
    }
}

/// One instance.
pub struct Rig {
    pub p: abi::vmsf_plugin,
    pub probe: &'static Probe,
    pub directory: TempDir,
    pub drives: bool,
}

impl Rig {
    /// An instance in state stopped that watches these servers.
    pub fn new(drives: bool, ids: &[&str]) -> Rig {
        Rig::with(drives, &config(ids))
    }

    pub fn with(drives: bool, config: &Value) -> Rig {
        let directory = tempfile::tempdir().expect("a directory");
        let probe = Probe::new();
        let p = create(&probe.table(drives), &options(&directory, config)).expect("an instance");
        Rig { p, probe, directory, drives }
    }

    /// A running one; a driven one is polled once, at second 1,000.
    pub fn running(drives: bool, ids: &[&str]) -> Rig {
        let rig = Rig::new(drives, ids);
        expect(rig.start(), abi::VMSF_OK, "start");
        if drives {
            expect(rig.poll(FIRST_POLL).0, abi::VMSF_OK, "poll");
        }
        rig
    }

    /// A running one whose servers can be taken over.
    pub fn ready(drives: bool, ids: &[&str]) -> Rig {
        let rig = Rig::running(drives, ids);
        rig.prepare();
        rig
    }

    /// Prepares every server of a running instance as a host does it: in the cluster, authorized, backed up. A driven one is polled at the
    /// instant that it has reached, or at second 1,000 if there was none. Of all that the probe has seen nothing afterwards.
    pub fn prepare(&self) {
        let backups = self.config()["backup_directory"].as_str().map(std::path::PathBuf::from).expect("a path");
        std::fs::create_dir_all(backups).expect("the directory for backups");
        expect(self.cluster(true), abi::VMSF_OK, "cluster");
        let mut server = 0;
        while call!(next_server(self.p, server, &mut server)) == abi::VMSF_OK {
            self.authorized(server);
            self.backed_up(server);
        }
        self.probe.forget();
    }

    /// Authorizes a server; the host answers with this token. Gives the operation.
    pub fn authorized(&self, server: u64) -> u64 {
        let (code, request) = self.authorize(server, b"the password");
        expect(code, abi::VMSF_OK, "authorize");
        let id = self.asked(request).id;
        expect(complete_with(self.p, id, abi::VMSF_OUTCOME_OK, &token_of(server)), abi::VMSF_OK, "complete");
        let completed = self.wait("completed", |callback| callback.is_of("completed", id));
        let ok = matches!(&completed, Callback::Event { json, .. } if json["details"]["outcome"] == "ok");
        assert!(ok, "{completed:?}");
        id
    }

    /// Backs a server up. Gives the operation.
    pub fn backed_up(&self, server: u64) -> u64 {
        let (code, request) = self.backup(server);
        expect(code, abi::VMSF_OK, "backup");
        let begun = self.asked(request);
        let id = begun.id;
        std::fs::write(begun.file(), b"settings").expect("an archive");
        expect(self.complete(id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
        let backup = self.wait("backup", |callback| callback.is_of("backup", id));
        let ok = matches!(&backup, Callback::Event { json, .. } if json["details"]["result"] == "ok");
        assert!(ok, "{backup:?}");
        id
    }

    /// The first callback that is wanted: waits for it, or polls for it at the instant that was reached.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&Callback) -> bool) -> Callback {
        if !self.drives {
            return self.probe.wait(what, wanted);
        }
        for _ in 0..POLLS_MAX {
            match self.probe.find(&wanted) {
                Some(found) => return found,
                None => self.poll_again(),
            }
        }
        panic!("no {what} among {:#?}", self.probe.seen());
    }

    /// What the host is asked for because of a call; waits for it.
    #[track_caller]
    pub fn asked(&self, request: u64) -> Begun {
        Begun::of(self.wait("begin", |callback| callback.begins(request))).expect("a begin")
    }

    /// The first operation of this kind that the host is asked for; waits for it.
    #[track_caller]
    pub fn asked_for(&self, kind: u32) -> Begun {
        Begun::of(self.wait("begin", |callback| callback.begins_a(kind))).expect("a begin")
    }

    /// Polls as asked for until that second, and there until it rests; larger steps would be pauses.
    pub fn drive_to(&self, second: u64) {
        self.drive_to_ns(second * SECOND);
    }

    pub fn drive_to_ns(&self, to: u64) {
        let mut next = self.now().max(SECOND);
        while next < to {
            let (code, asked) = self.poll(next);
            expect(code, abi::VMSF_OK, next);
            next = asked;
        }
        self.settle(to);
    }

    fn poll_again(&self) {
        let now = match self.now() {
            0 => FIRST_POLL,
            now => now,
        };
        expect(self.poll(now).0, abi::VMSF_OK, "poll");
    }

    /// Polls at an instant until nothing is left to do at it.
    pub fn settle(&self, now_ns: u64) {
        let asks_again = |_: &usize| {
            let (code, next) = self.poll(now_ns);
            expect(code, abi::VMSF_OK, now_ns);
            next <= now_ns
        };
        assert!((0..POLLS_MAX).take_while(asks_again).count() < POLLS_MAX, "it comes to rest");
    }

    pub fn start(&self) -> abi::vmsf_result {
        self.probe.be_quiet(false);
        call!(start(self.p))
    }

    /// No event may come once it has ended well.
    pub fn stop(&self, timeout_ms: u32) -> abi::vmsf_result {
        let code = call!(stop(self.p, timeout_ms));
        if code == abi::VMSF_OK {
            self.probe.be_quiet(true);
        }
        code
    }

    pub fn destroy(&self) -> abi::vmsf_result {
        call!(destroy(self.p))
    }

    pub fn poll(&self, now_ns: u64) -> (abi::vmsf_result, u64) {
        let mut next = 0;
        let code = call!(poll(self.p, now_ns, 1_767_225_600_000 + (now_ns / 1_000_000) as i64, &mut next));
        (code, next)
    }

    pub fn notify(&self, server: u64, kind: u32, at: u64) -> abi::vmsf_result {
        call!(notify(self.p, server, kind, at))
    }

    pub fn now(&self) -> u64 {
        let mut now = 0;
        expect(call!(now_ns(self.p, &mut now)), abi::VMSF_OK, "now_ns");
        now
    }

    pub fn server(&self, id: &str) -> u64 {
        let mut server = 0;
        let code = call!(server(self.p, id.as_ptr().cast(), id.len(), &mut server));
        expect(code, abi::VMSF_OK, format_args!("server {id}"));
        server
    }

    pub fn configure(&self, json: &str, flags: u32) -> (abi::vmsf_result, String) {
        document(api().configure, self.p, json, flags)
    }

    pub fn edit(&self, json: &str, flags: u32) -> (abi::vmsf_result, String) {
        document(api().edit, self.p, json, flags)
    }

    pub fn config(&self) -> Value {
        let text = text(|buf, cap, len| call!(config(self.p, buf, cap, len))).expect("the configuration");
        serde_json::from_str(&text).expect("JSON")
    }

    pub fn status(&self) -> Value {
        let text = text(|buf, cap, len| call!(status(self.p, 0, buf, cap, len))).expect("the status");
        serde_json::from_str(&text).expect("JSON")
    }

    /// What the status says of a server.
    #[track_caller]
    pub fn status_of(&self, id: &str) -> Value {
        let status = self.status();
        let servers = status["servers"].as_array().expect("a list");
        servers.iter().find(|server| server["id"] == id).expect("the server").clone()
    }

    pub fn last_error(&self) -> (String, String) {
        let mut code = 1;
        let text = text(|buf, cap, len| call!(last_error(self.p, &mut code.clone(), buf, cap, len))).expect("a text");
        let mut room = vec![0_u8; text.len() + 1];
        let mut len = 0;
        call!(last_error(self.p, &mut code, room.as_mut_ptr().cast(), room.len(), &mut len));
        (name(code), text)
    }

    pub fn takeover(&self, server: u64) -> (abi::vmsf_result, u64) {
        let mut request = 0;
        (call!(takeover(self.p, server, std::ptr::null(), 0, &mut request)), request)
    }

    pub fn restore(&self, server: u64) -> abi::vmsf_result {
        call!(restore(self.p, server, std::ptr::null(), 0, std::ptr::null_mut()))
    }

    pub fn cancel(&self, server: u64) -> abi::vmsf_result {
        call!(cancel(self.p, server, std::ptr::null(), 0))
    }

    pub fn cluster(&self, joined: bool) -> abi::vmsf_result {
        call!(cluster(self.p, joined.into(), std::ptr::null(), 0))
    }

    pub fn join_cluster(&self, json: &str, secret: &[u8]) -> (abi::vmsf_result, u64) {
        let mut request = 0;
        let (text, len) = (json.as_ptr().cast(), json.len());
        (call!(join_cluster(self.p, text, len, secret.as_ptr(), secret.len(), &mut request)), request)
    }

    pub fn authorize(&self, server: u64, secret: &[u8]) -> (abi::vmsf_result, u64) {
        let mut request = 0;
        let (secret, len) = (secret.as_ptr(), secret.len());
        (call!(authorize(self.p, server, std::ptr::null(), 0, secret, len, &mut request)), request)
    }

    pub fn deauthorize(&self, server: u64) -> (abi::vmsf_result, u64) {
        let mut request = 0;
        (call!(deauthorize(self.p, server, std::ptr::null(), 0, &mut request)), request)
    }

    pub fn backup(&self, server: u64) -> (abi::vmsf_result, u64) {
        let mut request = 0;
        (call!(backup(self.p, server, std::ptr::null(), 0, &mut request)), request)
    }

    pub fn complete(&self, op: u64, outcome: u32) -> abi::vmsf_result {
        complete(self.p, op, outcome)
    }
}

pub fn complete(p: abi::vmsf_plugin, op: u64, outcome: u32) -> abi::vmsf_result {
    complete_with(p, op, outcome, &[])
}

pub fn complete_with(p: abi::vmsf_plugin, op: u64, outcome: u32, token: &[u8]) -> abi::vmsf_result {
    call!(complete(p, op, outcome, std::ptr::null(), 0, token.as_ptr(), token.len()))
}

/// What the host answers to an `authorize` of this server.
pub fn token_of(server: u64) -> Vec<u8> {
    format!("token of {server:x}").into_bytes()
}

pub type Document = unsafe extern "C" fn(
    abi::vmsf_plugin,
    *const c_char,
    usize,
    u32,
    *mut c_char,
    usize,
    *mut usize,
) -> abi::vmsf_result;

/// `configure` or `edit`, with the report.
pub fn document(member: Document, p: abi::vmsf_plugin, json: &str, flags: u32) -> (abi::vmsf_result, String) {
    let (mut report, mut len) = (vec![0_u8; 1 << 20], 0);
    // SAFETY: the text is counted, the report has as many bytes as said (header, rule 3).
    let code = unsafe {
        member(p, json.as_ptr().cast(), json.len(), flags, report.as_mut_ptr().cast(), report.len(), &mut len)
    };
    (code, String::from_utf8(report[..len].to_vec()).expect("UTF-8"))
}

impl Drop for Rig {
    fn drop(&mut self) {
        let stopped = self.stop(PATIENCE.as_millis() as u32);
        let destroyed = self.destroy();
        if !std::thread::panicking() && destroyed != abi::VMSF_ERR_HANDLE {
            expect(stopped, abi::VMSF_OK, "stop");
            expect(destroyed, abi::VMSF_OK, "destroy");
            assert_eq!(self.probe.released(), 1, "release is called once");
            self.probe.assert_no_fault();
        }
    }
}
