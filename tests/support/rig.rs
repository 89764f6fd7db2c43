//! A host made of probes, on the real built library through the raw C ABI: what a polite wrapper would not do is possible here.
//!
//! A `Probe` is the host's side: it notes every callback, checks what holds for all of them (one `event` or `begin` at a time, `seq` without
//! gaps, nothing behind `stop` or `release`), and runs a hook inside each. A `Rig` is one instance; dropping it stops and destroys it and
//! fails the test if a check failed. Nothing here sleeps for a fixed time.

// Each test file uses its own part of it.
#![allow(dead_code, unused_imports)]

#[path = "native.rs"]
mod native;

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tempfile::TempDir;
pub use vms_failover_abi as abi;

/// Longer than anything here takes; a test that waits so long has failed.
pub const PATIENCE: Duration = Duration::from_secs(20);
pub const SECOND: u64 = 1_000_000_000;
/// A driven instance is first polled then.
const FIRST_POLL: u64 = 1_000 * SECOND;
/// More polls than any single thing takes.
const POLLS_MAX: usize = 1_000;
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
    // SAFETY: the one exported symbol has this type for ever (header, rule 1).
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

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One callback.
#[derive(Clone, Debug, PartialEq)]
pub enum Callback {
    Event { kind: u32, seq: u64, mono_ns: u64, server: u64, json: Value },
    Begin { kind: u32, flags: u32, id: u64, server: u64, json: Value, secret: Vec<u8> },
    Log { text: String },
    LogLevel,
    Wake(u64),
    Release,
}

impl Callback {
    /// The code of an event; "" for everything else.
    pub fn code(&self) -> &str {
        match self {
            Callback::Event { json, .. } => json["code"].as_str().unwrap_or_default(),
            _ => "",
        }
    }

    /// Whether it is an event with this code and this new state.
    pub fn is(&self, code: &str, to: &str) -> bool {
        matches!(self, Callback::Event { json, .. } if json["code"] == code && json["details"]["to"] == to)
    }

    /// Whether it is an event with this code that is about this operation.
    pub fn is_of(&self, code: &str, op: u64) -> bool {
        matches!(self, Callback::Event { json, .. } if json["code"] == code && json["details"]["op"] == op)
    }

    /// Whether it is an event with this detail.
    pub fn says(&self, key: &str, value: impl Into<Value>) -> bool {
        matches!(self, Callback::Event { json, .. } if json["details"][key] == value.into())
    }

    /// Whether it begins what this call asked for.
    pub fn begins(&self, request: u64) -> bool {
        matches!(self, Callback::Begin { json, .. } if json["request"] == request)
    }
}

type Hook = Arc<dyn Fn(&Callback) + Send + Sync>;

/// The host's side of one instance.
pub struct Probe {
    seen: Mutex<Vec<Callback>>,
    news: Condvar,
    hook: Mutex<Option<Hook>>,
    faults: Mutex<Vec<String>>,
    delivering: AtomicUsize,
    last_seq: AtomicU64,
    quiet: AtomicBool,
    released: AtomicUsize,
}

impl Probe {
    /// Lives for ever, so that a late callback is a failed check and no crash.
    pub fn new() -> &'static Probe {
        Box::leak(Box::new(Probe {
            seen: Mutex::default(),
            news: Condvar::new(),
            hook: Mutex::default(),
            faults: Mutex::default(),
            delivering: AtomicUsize::new(0),
            last_seq: AtomicU64::new(0),
            quiet: AtomicBool::new(false),
            released: AtomicUsize::new(0),
        }))
    }

    pub fn table(&'static self, drives: bool) -> abi::vmsf_host {
        abi::vmsf_host {
            struct_size: size_of::<abi::vmsf_host>() as u32,
            flags: if drives { abi::VMSF_HOST_DRIVES } else { 0 },
            ctx: std::ptr::from_ref(self).cast_mut().cast(),
            name: c"probe".as_ptr(),
            version: c"1".as_ptr(),
            log: Some(on_log),
            log_level: Some(on_log_level),
            event: Some(on_event),
            begin: Some(on_begin),
            wake: drives.then_some(on_wake),
            release: Some(on_release),
            get_extension: None,
            reserved: [0; 2],
        }
    }

    /// Runs `hook` inside every callback from now on.
    pub fn hook(&self, hook: impl Fn(&Callback) + Send + Sync + 'static) {
        *lock(&self.hook) = Some(Arc::new(hook));
    }

    /// No `event` or `begin` may come from now on.
    pub fn be_quiet(&self, quiet: bool) {
        self.quiet.store(quiet, Ordering::SeqCst);
    }

    pub fn released(&self) -> usize {
        self.released.load(Ordering::SeqCst)
    }

    pub fn seen(&self) -> Vec<Callback> {
        lock(&self.seen).clone()
    }

    /// Leaves out what was seen until now.
    pub fn forget(&self) {
        lock(&self.seen).clear();
    }

    pub fn find(&self, wanted: impl Fn(&Callback) -> bool) -> Option<Callback> {
        lock(&self.seen).iter().find(|callback| wanted(callback)).cloned()
    }

    pub fn count(&self, wanted: impl Fn(&Callback) -> bool) -> usize {
        lock(&self.seen).iter().filter(|callback| wanted(callback)).count()
    }

    /// The first callback that is wanted; waits for it.
    #[track_caller]
    pub fn wait(&self, what: &str, wanted: impl Fn(&Callback) -> bool) -> Callback {
        let until = Instant::now() + PATIENCE;
        let mut seen = lock(&self.seen);
        loop {
            if let Some(found) = seen.iter().find(|callback| wanted(callback)) {
                return found.clone();
            }
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "no {what} among {seen:#?}");
            seen = self.news.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    pub fn fault(&self, text: impl Into<String>) {
        lock(&self.faults).push(text.into());
    }

    #[track_caller]
    pub fn assert_no_fault(&self) {
        assert_eq!(*lock(&self.faults), Vec::<String>::new());
    }

    fn take(&self, callback: Callback) {
        if self.released() > 0 {
            self.fault(format!("after release: {callback:?}"));
        }
        lock(&self.seen).push(callback.clone());
        self.news.notify_all();
        let hook = lock(&self.hook).clone();
        if let Some(hook) = hook {
            hook(&callback);
        }
    }

    /// `event` and `begin`: one at a time, and not behind a stop.
    fn deliver(&self, callback: Callback) {
        if self.delivering.fetch_add(1, Ordering::SeqCst) > 0 {
            self.fault(format!("two at a time: {callback:?}"));
        }
        if self.quiet.load(Ordering::SeqCst) {
            self.fault(format!("behind stop: {callback:?}"));
        }
        if let Callback::Event { seq, json, .. } = &callback {
            let last = self.last_seq.swap(*seq, Ordering::SeqCst);
            if (last != 0 && *seq != last + 1) || json["seq"] != *seq {
                self.fault(format!("{seq} after {last}: {callback:?}"));
            }
        }
        self.take(callback);
        self.delivering.fetch_sub(1, Ordering::SeqCst);
    }
}

fn probe<'a>(ctx: *mut c_void) -> &'a Probe {
    // SAFETY: the ctx of `table`, handed back as it was given; a probe lives for ever (header, rule 3).
    unsafe { &*ctx.cast::<Probe>() }
}

fn counted(text: *const c_char, len: usize) -> String {
    // SAFETY: texts in callbacks are NUL-terminated and live until the callback returns (header, rule 3).
    let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
    assert_eq!(bytes.len(), len, "counted and terminated are the same text");
    String::from_utf8(bytes.to_vec()).expect("UTF-8")
}

unsafe extern "C" fn on_event(ctx: *mut c_void, event: *const abi::vmsf_event) {
    // SAFETY: lives until the callback returns (header, rule 3).
    let event = unsafe { &*event };
    let json = serde_json::from_str(&counted(event.json, event.json_len)).expect("JSON");
    let abi::vmsf_event { kind, seq, mono_ns, server, .. } = *event;
    probe(ctx).deliver(Callback::Event { kind, seq, mono_ns, server, json });
}

unsafe extern "C" fn on_begin(ctx: *mut c_void, operation: *const abi::vmsf_operation) {
    // SAFETY: lives until the callback returns (header, rule 3).
    let operation = unsafe { &*operation };
    let json = serde_json::from_str(&counted(operation.json, operation.json_len)).expect("JSON");
    let abi::vmsf_operation { kind, flags, id, server, secret, secret_len, .. } = *operation;
    let secret = match secret_len {
        0 => Vec::new(),
        // SAFETY: counted, and lives until the callback returns (header, rule 10).
        len => unsafe { std::slice::from_raw_parts(secret, len) }.to_vec(),
    };
    probe(ctx).deliver(Callback::Begin { kind, flags, id, server, json, secret });
}

unsafe extern "C" fn on_log(ctx: *mut c_void, _level: u32, _target: *const c_char, text: *const c_char, len: usize) {
    probe(ctx).take(Callback::Log { text: counted(text, len) });
}

unsafe extern "C" fn on_log_level(ctx: *mut c_void) -> u32 {
    probe(ctx).take(Callback::LogLevel);
    abi::VMSF_SEVERITY_INFO
}

unsafe extern "C" fn on_wake(ctx: *mut c_void, next_ns: u64) {
    probe(ctx).take(Callback::Wake(next_ns));
}

unsafe extern "C" fn on_release(ctx: *mut c_void) {
    let probe = probe(ctx);
    probe.take(Callback::Release);
    probe.released.fetch_add(1, Ordering::SeqCst);
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
        let Callback::Begin { id, .. } = self.wait("begin", |callback| callback.begins(request)) else {
            unreachable!()
        };
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
        let begin = self.wait("begin", |callback| callback.begins(request));
        let Callback::Begin { id, json, .. } = begin else { unreachable!() };
        std::fs::write(json["file"].as_str().expect("a file"), b"settings").expect("an archive");
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
