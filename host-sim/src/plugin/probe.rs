//! A host made of probes: notes every callback with the thread it came on, looks at what has to hold for all of them, and runs a hook inside
//! each. For a host that judges the plugin; it believes nothing that it is told.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicPtr, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{self, ThreadId};
use std::time::{Duration, Instant};

use serde_json::Value;
use vms_failover_abi as abi;

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One callback: an owned copy of what it was given.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the fields are those of the header")]
pub enum Callback {
    Event { kind: u32, seq: u64, mono_ns: u64, server: u64, json: Value },
    Begin { kind: u32, flags: u32, id: u64, deadline_ns: u64, server: u64, json: Value, secret: Vec<u8> },
    Log { level: u32, text: String },
    LogLevel,
    Wake(u64),
    Release,
    GetExtension(String),
    Store(String),
    Load(String),
    Remove(String),
}

impl Callback {
    /// As the header has it.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Event { .. } => "event",
            Self::Begin { .. } => "begin",
            Self::Log { .. } => "log",
            Self::LogLevel => "log_level",
            Self::Wake(_) => "wake",
            Self::Release => "release",
            Self::GetExtension(_) => "get_extension",
            Self::Store(_) => "store",
            Self::Load(_) => "load",
            Self::Remove(_) => "remove",
        }
    }

    /// Whether it is one of the two that come one at a time, in order, on one thread.
    #[must_use]
    pub fn is_delivery(&self) -> bool {
        matches!(self, Self::Event { .. } | Self::Begin { .. })
    }

    /// The code of an event; "" for everything else.
    #[must_use]
    pub fn code(&self) -> &str {
        match self {
            Self::Event { json, .. } => json["code"].as_str().unwrap_or_default(),
            _ => "",
        }
    }

    /// Whether it is an event with this code and this detail.
    #[must_use]
    pub fn says(&self, code: &str, key: &str, value: impl Into<Value>) -> bool {
        self.code() == code && matches!(self, Self::Event { json, .. } if json["details"][key] == value.into())
    }

    /// In a few words.
    #[must_use]
    pub fn brief(&self) -> String {
        match self {
            Self::Event { seq, json, .. } => format!("event {seq} ({})", json["code"].as_str().unwrap_or("no code")),
            Self::Begin { id, json, .. } => format!("begin {id} ({})", json["operation"].as_str().unwrap_or("?")),
            other => other.name().to_owned(),
        }
    }
}

/// A callback and where it came.
#[derive(Clone, Debug)]
pub struct Seen {
    /// What came.
    pub callback: Callback,
    /// On which thread.
    pub thread: ThreadId,
}

/// What has to hold for every callback.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Structs and texts are as the header says.
    Shape,
    /// `event` and `begin` come one at a time.
    OneAtATime,
    /// Neither comes after a stop.
    NotAfterStop,
    /// Nothing comes after `release`.
    NotAfterRelease,
}

type Hook = Arc<dyn Fn(&Callback) + Send + Sync>;

/// The host's side of one instance. Lives for ever, so that a late callback is a finding and no crash.
pub struct Probe {
    seen: Mutex<Vec<Seen>>,
    news: Condvar,
    hook: Mutex<Option<Hook>>,
    broken: Mutex<BTreeMap<Rule, Vec<String>>>,
    delivering: AtomicUsize,
    stopped: AtomicBool,
    released: AtomicUsize,
    extension: AtomicPtr<abi::vmsf_secrets>,
    tokens: Mutex<BTreeMap<String, Vec<u8>>>,
}

/// How often a function was called through a table that the host had overwritten.
static THROUGH_OVERWRITTEN: AtomicUsize = AtomicUsize::new(0);

impl Probe {
    /// A new one.
    #[must_use]
    pub fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            seen: Mutex::default(),
            news: Condvar::new(),
            hook: Mutex::default(),
            broken: Mutex::default(),
            delivering: AtomicUsize::new(0),
            stopped: AtomicBool::new(false),
            released: AtomicUsize::new(0),
            extension: AtomicPtr::new(std::ptr::null_mut()),
            tokens: Mutex::default(),
        }))
    }

    /// The table of a host of today, with every function.
    #[must_use]
    pub fn table(&'static self, drives: bool) -> abi::vmsf_host {
        abi::vmsf_host {
            struct_size: size_of::<abi::vmsf_host>() as u32,
            flags: if drives { abi::VMSF_HOST_DRIVES } else { 0 },
            ctx: std::ptr::from_ref(self).cast_mut().cast(),
            name: c"host-sim check".as_ptr(),
            version: c"1".as_ptr(),
            log: Some(on_log),
            log_level: Some(on_log_level),
            event: Some(on_event),
            begin: Some(on_begin),
            wake: drives.then_some(on_wake),
            release: Some(on_release),
            get_extension: Some(on_get_extension),
            reserved: [0; 2],
        }
    }

    /// Offers to keep the tokens, by a table that is changed first.
    pub fn offer_secrets(&self, change: impl FnOnce(&mut abi::vmsf_secrets)) {
        let struct_size = size_of::<abi::vmsf_secrets>() as u32;
        let mut table = abi::vmsf_secrets {
            struct_size,
            reserved: 0,
            store: Some(on_store),
            load: Some(on_load),
            remove: Some(on_remove),
        };
        change(&mut table);
        self.extension.store(Box::leak(Box::new(table)), Ordering::SeqCst);
    }

    /// The token that it keeps of a server.
    #[must_use]
    pub fn token(&self, server_id: &str) -> Option<Vec<u8>> {
        lock(&self.tokens).get(server_id).cloned()
    }

    /// Runs `hook` inside every callback from now on.
    pub fn hook(&self, hook: impl Fn(&Callback) + Send + Sync + 'static) {
        *lock(&self.hook) = Some(Arc::new(hook));
    }

    /// From now on no `event` or `begin` may come, or they may again.
    pub fn be_stopped(&self, stopped: bool) {
        self.stopped.store(stopped, Ordering::SeqCst);
    }

    /// How often `release` was called.
    #[must_use]
    pub fn released(&self) -> usize {
        self.released.load(Ordering::SeqCst)
    }

    /// How often anything was called through a table that [`overwrite`] had overwritten.
    #[must_use]
    pub fn through_overwritten() -> usize {
        THROUGH_OVERWRITTEN.load(Ordering::SeqCst)
    }

    /// What was broken of a rule.
    #[must_use]
    pub fn broken(&self, rule: Rule) -> Vec<String> {
        lock(&self.broken).get(&rule).cloned().unwrap_or_default()
    }

    /// All that came.
    #[must_use]
    pub fn seen(&self) -> Vec<Seen> {
        lock(&self.seen).clone()
    }

    /// Leaves out what came until now.
    pub fn forget(&self) {
        lock(&self.seen).clear();
    }

    /// The first callback that is wanted.
    pub fn find(&self, wanted: impl Fn(&Callback) -> bool) -> Option<Callback> {
        lock(&self.seen).iter().map(|seen| &seen.callback).find(|callback| wanted(callback)).cloned()
    }

    /// How many are wanted.
    pub fn count(&self, wanted: impl Fn(&Callback) -> bool) -> usize {
        lock(&self.seen).iter().filter(|seen| wanted(&seen.callback)).count()
    }

    /// The first callback that is wanted; waits for it so long.
    pub fn wait(&self, patience: Duration, wanted: impl Fn(&Callback) -> bool) -> Option<Callback> {
        let until = Instant::now() + patience;
        let mut seen = lock(&self.seen);
        loop {
            if let Some(found) = seen.iter().map(|seen| &seen.callback).find(|callback| wanted(callback)) {
                return Some(found.clone());
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return None;
            }
            seen = self.news.wait_timeout(seen, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    fn note(&self, rule: Rule, text: String) {
        lock(&self.broken).entry(rule).or_default().push(text);
    }

    fn take(&self, callback: Callback) {
        if self.released() > 0 {
            self.note(Rule::NotAfterRelease, format!("{} after release", callback.brief()));
        }
        lock(&self.seen).push(Seen { callback: callback.clone(), thread: thread::current().id() });
        self.news.notify_all();
        let hook = lock(&self.hook).clone();
        if let Some(hook) = hook {
            hook(&callback);
        }
    }

    fn deliver(&self, callback: Callback) {
        if self.delivering.fetch_add(1, Ordering::SeqCst) > 0 {
            self.note(Rule::OneAtATime, format!("{} while another event or begin had not returned", callback.brief()));
        }
        if self.stopped.load(Ordering::SeqCst) {
            self.note(Rule::NotAfterStop, format!("{} after stop had returned VMSF_OK", callback.brief()));
        }
        self.take(callback);
        self.delivering.fetch_sub(1, Ordering::SeqCst);
    }

    /// Looks at a text: there, counted, terminated and UTF-8.
    fn text(&self, what: &str, text: *const c_char, len: usize) -> String {
        if text.is_null() {
            self.note(Rule::Shape, format!("{what} is NULL"));
            return String::new();
        }
        // SAFETY: rule 3: strings passed to callbacks are NUL-terminated and live until the callback returns.
        let bytes = unsafe { CStr::from_ptr(text) }.to_bytes();
        if bytes.len() != len {
            self.note(Rule::Shape, format!("{what} has {} bytes up to its NUL, its length says {len}", bytes.len()));
        }
        std::str::from_utf8(bytes).map_or_else(
            |error| {
                self.note(Rule::Shape, format!("{what}: {error}"));
                String::from_utf8_lossy(bytes).into_owned()
            },
            str::to_owned,
        )
    }

    fn json(&self, what: &str, text: *const c_char, len: usize) -> Value {
        let text = self.text(what, text, len);
        serde_json::from_str(&text).unwrap_or_else(|error| {
            self.note(Rule::Shape, format!("{what} is no JSON: {error}"));
            Value::Null
        })
    }

    fn must(&self, holds: bool, text: impl FnOnce() -> String) {
        if !holds {
            self.note(Rule::Shape, text());
        }
    }

    fn counted_id(&self, what: &str, id: *const c_char, len: usize) -> String {
        self.text(&format!("{what}'s server_id"), id, len)
    }
}

/// Overwrites a table that was given to `create`, as a host may that has freed it: every call through it is counted and does nothing.
pub fn overwrite(table: &mut abi::vmsf_host) {
    *table = abi::vmsf_host {
        ctx: std::ptr::null_mut(),
        name: std::ptr::null(),
        version: std::ptr::null(),
        log: Some(late_log),
        log_level: Some(late_log_level),
        event: Some(late_event),
        begin: Some(late_begin),
        wake: Some(late_wake),
        release: Some(late_release),
        get_extension: Some(late_get_extension),
        ..*table
    };
}

fn late() {
    THROUGH_OVERWRITTEN.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn late_log(_: *mut c_void, _: u32, _: *const c_char, _: *const c_char, _: usize) {
    late();
}

unsafe extern "C" fn late_log_level(_: *mut c_void) -> u32 {
    late();
    abi::VMSF_SEVERITY_DEBUG
}

unsafe extern "C" fn late_event(_: *mut c_void, _: *const abi::vmsf_event) {
    late();
}

unsafe extern "C" fn late_begin(_: *mut c_void, _: *const abi::vmsf_operation) {
    late();
}

unsafe extern "C" fn late_wake(_: *mut c_void, _: u64) {
    late();
}

unsafe extern "C" fn late_release(_: *mut c_void) {
    late();
}

unsafe extern "C" fn late_get_extension(_: *mut c_void, _: *const c_char) -> *const c_void {
    late();
    std::ptr::null()
}

fn probe<'a>(ctx: *mut c_void) -> &'a Probe {
    // SAFETY: rule 3: the ctx of `table`, handed back as it was given; a probe lives for ever.
    unsafe { &*ctx.cast::<Probe>() }
}

unsafe extern "C" fn on_event(ctx: *mut c_void, event: *const abi::vmsf_event) {
    let probe = probe(ctx);
    if event.is_null() {
        return probe.note(Rule::Shape, "event is NULL".into());
    }
    // SAFETY: rule 3: not NULL, and lives until the callback returns; its size is frozen with the major (rule 1).
    let event = unsafe { event.read() };
    let abi::vmsf_event { struct_size, kind, severity, flags, seq, mono_ns, server, json, json_len, reserved, .. } =
        event;
    let json = probe.json("event.json", json, json_len);
    let size = size_of::<abi::vmsf_event>() as u32;
    probe.must(struct_size >= size, || format!("event.struct_size is {struct_size}, the header has {size}"));
    probe.must(flags == 0 && reserved == [0; 2], || format!("event {seq}: a reserved field is not 0"));
    probe.must(kind > 0, || format!("event {seq}: kind 0"));
    let severities = abi::VMSF_SEVERITY_DEBUG..=abi::VMSF_SEVERITY_ALARM;
    probe.must(severities.contains(&severity), || format!("event {seq}: severity {severity}"));
    probe.must(json["seq"] == seq, || format!("event {seq}: its JSON says seq {}", json["seq"]));
    for key in ["utc", "severity", "code", "text"] {
        probe.must(json[key].is_string(), || format!("event {seq}: its JSON has no \"{key}\""));
    }
    probe.deliver(Callback::Event { kind, seq, mono_ns, server, json });
}

/// Ids are numbers that JSON keeps.
const ID_MAX: u64 = (1 << 53) - 1;

unsafe extern "C" fn on_begin(ctx: *mut c_void, operation: *const abi::vmsf_operation) {
    let probe = probe(ctx);
    if operation.is_null() {
        return probe.note(Rule::Shape, "operation is NULL".into());
    }
    // SAFETY: rule 3: not NULL, and lives until the callback returns; its size is frozen with the major (rule 1).
    let operation = unsafe { operation.read() };
    let abi::vmsf_operation { struct_size, kind, flags, id, deadline_ns, server, json, json_len, .. } = operation;
    let json = probe.json("operation.json", json, json_len);
    let size = size_of::<abi::vmsf_operation>() as u32;
    probe.must(struct_size >= size, || format!("operation.struct_size is {struct_size}, the header has {size}"));
    probe.must(operation.reserved == [0; 2], || format!("begin {id}: a reserved field is not 0"));
    probe.must(flags & !abi::VMSF_OP_RESUMED == 0, || format!("begin {id}: unknown flags {flags:#x}"));
    probe.must((1..=ID_MAX).contains(&id), || format!("begin {id}: the id is not from 1 to 2^53 - 1"));
    probe.must(json["op"] == id, || format!("begin {id}: its JSON says op {}", json["op"]));
    let resumed = flags & abi::VMSF_OP_RESUMED != 0;
    probe.must(json["resumed"] == resumed, || format!("begin {id}: flags and \"resumed\" differ"));
    let (secret, len) = (operation.secret, operation.secret_len);
    probe
        .must(secret.is_null() == (len == 0), || format!("begin {id}: a secret of {len} bytes, or NULL with a length"));
    let secret = if secret.is_null() { &[] } else { borrowed(secret, len) }.to_vec();
    probe.deliver(Callback::Begin { kind, flags, id, deadline_ns, server, json, secret });
}

fn borrowed<'a>(secret: *const u8, len: usize) -> &'a [u8] {
    // SAFETY: rule 10: not NULL (the caller has looked), counted, and lives until the callback returns.
    unsafe { std::slice::from_raw_parts(secret, len) }
}

/// A line of the log has at most so many bytes.
const LINE_MAX: usize = 1024;

unsafe extern "C" fn on_log(ctx: *mut c_void, level: u32, target: *const c_char, text: *const c_char, len: usize) {
    let probe = probe(ctx);
    probe.must(!target.is_null(), || "log: target is NULL".into());
    let text = probe.text("log's text", text, len);
    probe.must(text.len() <= LINE_MAX, || format!("log: a line of {} bytes", text.len()));
    probe.must(!text.contains(|c: char| c.is_ascii_control()), || format!("log: a control character in {text:?}"));
    probe.take(Callback::Log { level, text });
}

unsafe extern "C" fn on_log_level(ctx: *mut c_void) -> u32 {
    probe(ctx).take(Callback::LogLevel);
    abi::VMSF_SEVERITY_DEBUG
}

unsafe extern "C" fn on_wake(ctx: *mut c_void, next_ns: u64) {
    probe(ctx).take(Callback::Wake(next_ns));
}

unsafe extern "C" fn on_release(ctx: *mut c_void) {
    let probe = probe(ctx);
    probe.take(Callback::Release);
    probe.released.fetch_add(1, Ordering::SeqCst);
}

unsafe extern "C" fn on_get_extension(ctx: *mut c_void, id: *const c_char) -> *const c_void {
    let probe = probe(ctx);
    if id.is_null() {
        probe.note(Rule::Shape, "get_extension: id is NULL".into());
        return std::ptr::null();
    }
    // SAFETY: rule 3: not NULL, NUL-terminated, and lives until the callback returns.
    let id = unsafe { CStr::from_ptr(id) }.to_string_lossy().into_owned();
    let known = id == abi::VMSF_EXT_SECRETS;
    probe.take(Callback::GetExtension(id));
    if known { probe.extension.load(Ordering::SeqCst).cast_const().cast() } else { std::ptr::null() }
}

unsafe extern "C" fn on_store(
    ctx: *mut c_void,
    server_id: *const c_char,
    len: usize,
    secret: *const u8,
    secret_len: usize,
) -> abi::vmsf_result {
    let probe = probe(ctx);
    let id = probe.counted_id("store", server_id, len);
    probe.must(!secret.is_null() && secret_len > 0, || "store: no secret".into());
    let secret = if secret.is_null() { &[] } else { borrowed(secret, secret_len) };
    lock(&probe.tokens).insert(id.clone(), secret.to_vec());
    probe.take(Callback::Store(id));
    abi::VMSF_OK
}

unsafe extern "C" fn on_load(
    ctx: *mut c_void,
    server_id: *const c_char,
    len: usize,
    buf: *mut u8,
    cap: usize,
    secret_len: *mut usize,
) -> abi::vmsf_result {
    let probe = probe(ctx);
    let id = probe.counted_id("load", server_id, len);
    probe.must(!buf.is_null() && !secret_len.is_null(), || "load: no place to write to".into());
    let token = probe.token(&id);
    probe.take(Callback::Load(id));
    match token {
        Some(token) if token.len() <= cap && !buf.is_null() && !secret_len.is_null() => {
            // SAFETY: rule 10: not NULL, and `cap` bytes are the plugin's promise.
            unsafe { buf.copy_from_nonoverlapping(token.as_ptr(), token.len()) };
            // SAFETY: rule 10: not NULL, and one usize is the plugin's promise.
            unsafe { secret_len.write(token.len()) };
            abi::VMSF_OK
        }
        Some(_) => abi::VMSF_ERR_TOO_SMALL,
        None => abi::VMSF_ERR_NOT_FOUND,
    }
}

unsafe extern "C" fn on_remove(ctx: *mut c_void, server_id: *const c_char, len: usize) -> abi::vmsf_result {
    let probe = probe(ctx);
    let id = probe.counted_id("remove", server_id, len);
    let was_there = lock(&probe.tokens).remove(&id).is_some();
    probe.take(Callback::Remove(id));
    if was_there { abi::VMSF_OK } else { abi::VMSF_ERR_NOT_FOUND }
}
