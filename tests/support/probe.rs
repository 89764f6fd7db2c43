//! The host's side of one instance: notes every callback, checks what holds for all of them, and runs a hook inside each. Part of `rig`, which
//! drives it.

use std::ffi::{CStr, c_char, c_void};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Instant;

use serde_json::Value;
use vms_failover_abi as abi;

use super::PATIENCE;

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

    /// Whether it begins an operation of this kind.
    pub fn begins_a(&self, wanted: u32) -> bool {
        matches!(self, Callback::Begin { kind, .. } if *kind == wanted)
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

    /// Holds the plugin in the first callback that is wanted, until it may go on or this is dropped. Takes the place of the hook.
    pub fn hold(&self, wanted: impl Fn(&Callback) -> bool + Send + Sync + 'static) -> Held {
        let ((go_on, wait), (inside, entered)) = (mpsc::channel(), mpsc::channel());
        let once = Mutex::new(Some((wait, inside)));
        self.hook(move |callback| {
            let first = if wanted(callback) { lock(&once).take() } else { None };
            if let Some((wait, inside)) = first {
                let _ = inside.send(());
                let _ = wait.recv_timeout(PATIENCE);
            }
        });
        Held { go_on, entered }
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

/// The plugin, held in a callback.
pub struct Held {
    go_on: mpsc::Sender<()>,
    entered: mpsc::Receiver<()>,
}

impl Held {
    /// Waits until the callback is entered.
    #[track_caller]
    pub fn wait(&self) {
        self.entered.recv_timeout(PATIENCE).expect("the callback is entered");
    }

    pub fn go_on(self) {
        let _ = self.go_on.send(());
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
