//! What the plugin calls: the callbacks of `vmsf_host`, turned into the safe trait [`Host`].

use std::ffi::{CStr, c_char, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use vms_failover_abi as abi;

use super::Mode;
use super::secrets::{SecretsHost, on_get_extension};

/// A log entry, change or alarm that the plugin reports: an owned copy of `vmsf_event`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `VMSF_EVENT_…`.
    pub kind: u32,
    /// `VMSF_SEVERITY_…`.
    pub severity: u32,
    /// Number of the log entry.
    pub seq: u64,
    /// When, on the host's monotonic clock.
    pub mono_ns: u64,
    /// When, in ms since 1970.
    pub utc_ms: i64,
    /// Handle of the server concerned, or 0.
    pub server: u64,
    /// The log entry.
    pub json: String,
}

/// A token or credentials, which show no more of themselves than their length.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// Keeps these bytes to itself.
    #[must_use]
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }

    /// What it is.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} secret bytes", self.0.len())
    }
}

/// Work that the plugin asks of the host: an owned copy of `vmsf_operation`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Operation {
    /// `VMSF_OP_…`.
    pub kind: u32,
    /// `VMSF_OP_RESUMED` or 0.
    pub flags: u32,
    /// Failed attempts before this one.
    pub attempt: u32,
    /// For `complete` and `progress`.
    pub id: u64,
    /// When the plugin gives it up.
    pub deadline_ns: u64,
    /// Handle of the server concerned.
    pub server: u64,
    /// The request.
    pub json: String,
    /// The credentials to authorize or join with, or the token that was given for the server; empty: none.
    pub secret: Secret,
}

/// What the plugin calls. The header's rules for callbacks hold: be quick, and call no control member and no `poll`.
pub trait Host: Send + Sync {
    /// A log entry, change or alarm; in `seq` order, one at a time with `begin`.
    fn event(&self, event: Event);
    /// Do this, then call `complete`, from here or later.
    fn begin(&self, operation: Operation);
    /// A line of the plugin's diagnostic log; from any thread.
    fn log(&self, level: u32, target: &str, text: &str) {
        let _ = (level, target, text);
    }
    /// Call `poll` at `next_ns` (0 = now) instead of later; must only signal.
    fn wake(&self, next_ns: u64) {
        let _ = next_ns;
    }
    /// This host as a keeper of tokens, if it is one; asked in `create` and before every call of it.
    fn secrets(&self) -> Option<&dyn SecretsHost> {
        None
    }
}

/// What `ctx` points to.
pub(super) struct Context {
    host: Box<dyn Host>,
    panic: Mutex<Option<String>>,
    released: AtomicU32,
}

impl Context {
    pub(super) fn new(host: Box<dyn Host>) -> Arc<Self> {
        Arc::new(Self { host, panic: Mutex::new(None), released: AtomicU32::new(0) })
    }

    /// The text of the first panic of the host inside a callback.
    pub(super) fn panicked(&self) -> Option<String> {
        self.panic.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn released(&self) -> u32 {
        self.released.load(Ordering::SeqCst)
    }

    /// The table of callbacks, with `self` as `ctx`.
    pub(super) fn table(self: &Arc<Self>, mode: Mode, name: &CStr, version: &CStr) -> abi::vmsf_host {
        let drives = mode == Mode::HostDrives;
        abi::vmsf_host {
            struct_size: size_of::<abi::vmsf_host>() as u32,
            flags: if drives { abi::VMSF_HOST_DRIVES } else { 0 },
            ctx: Arc::as_ptr(self).cast_mut().cast(),
            name: name.as_ptr(),
            version: version.as_ptr(),
            log: Some(on_log),
            log_level: None,
            event: Some(on_event),
            begin: Some(on_begin),
            wake: if drives { Some(on_wake) } else { None },
            release: Some(on_release),
            get_extension: Some(on_get_extension),
            reserved: [0; 2],
        }
    }

    /// Runs a callback; a panic of the host stays on the host's side of the border.
    pub(super) fn guard<T>(&self, what: &'static str, body: impl FnOnce(&dyn Host) -> T) -> Option<T> {
        let panic = match catch_unwind(AssertUnwindSafe(|| body(self.host.as_ref()))) {
            Ok(result) => return Some(result),
            Err(panic) => panic,
        };
        let text = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let text = text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_default();
        let mut first = self.panic.lock().unwrap_or_else(PoisonError::into_inner);
        first.get_or_insert_with(|| format!("the host panicked in `{what}`: {text}"));
        None
    }
}

/// Borrows the context behind `ctx` for the length of a callback.
///
/// # Safety
/// `ctx` is the pointer given in [`Context::table`] and the instance has not been destroyed.
pub(super) unsafe fn context<'a>(ctx: *mut c_void) -> &'a Context {
    // SAFETY: the caller's promise; `Instance` keeps the context alive until `destroy` has returned (rule 13).
    unsafe { &*ctx.cast::<Context>().cast_const() }
}

/// Copies a counted text of the plugin; NULL gives "".
///
/// # Safety
/// `text` is NULL or points to `len` bytes.
pub(super) unsafe fn counted(text: *const c_char, len: usize) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: rule 3: the caller's promise.
    let bytes = unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) };
    String::from_utf8_lossy(bytes).into_owned()
}

/// Copies a counted secret of the plugin; NULL gives none.
///
/// # Safety
/// `secret` is NULL or points to `len` bytes.
unsafe fn counted_secret(secret: *const u8, len: usize) -> Secret {
    if secret.is_null() {
        return Secret::default();
    }
    // SAFETY: rule 10: the caller's promise.
    Secret(unsafe { std::slice::from_raw_parts(secret, len) }.to_vec())
}

unsafe extern "C" fn on_event(ctx: *mut c_void, event: *const abi::vmsf_event) {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    // SAFETY: rule 3: the struct lives until the callback returns; its size is frozen with the major (rule 1).
    let event = unsafe { event.read() };
    // SAFETY: rule 3: strings passed to callbacks are counted and live until the callback returns.
    let json = unsafe { counted(event.json, event.json_len) };
    let abi::vmsf_event { kind, severity, seq, mono_ns, utc_ms, server, .. } = event;
    context.guard("event", |host| host.event(Event { kind, severity, seq, mono_ns, utc_ms, server, json }));
}

unsafe extern "C" fn on_begin(ctx: *mut c_void, operation: *const abi::vmsf_operation) {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    // SAFETY: rule 3: the struct lives until the callback returns; its size is frozen with the major (rule 1).
    let operation = unsafe { operation.read() };
    // SAFETY: rule 3: strings passed to callbacks are counted and live until the callback returns.
    let json = unsafe { counted(operation.json, operation.json_len) };
    // SAFETY: rule 10: the secret is counted and lives until the callback returns; this host needs it longer, so it is copied.
    let secret = unsafe { counted_secret(operation.secret, operation.secret_len) };
    let abi::vmsf_operation { kind, flags, attempt, id, deadline_ns, server, .. } = operation;
    context
        .guard("begin", |host| host.begin(Operation { kind, flags, attempt, id, deadline_ns, server, json, secret }));
}

unsafe extern "C" fn on_log(ctx: *mut c_void, level: u32, target: *const c_char, text: *const c_char, len: usize) {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    // SAFETY: rule 3: strings passed to callbacks are counted and live until the callback returns.
    let text = unsafe { counted(text, len) };
    // SAFETY: rule 3: strings passed to callbacks are NUL-terminated.
    let target = (!target.is_null()).then(|| unsafe { CStr::from_ptr(target) });
    let target = target.map(|t| t.to_string_lossy().into_owned()).unwrap_or_default();
    context.guard("log", |host| host.log(level, &target, &text));
}

unsafe extern "C" fn on_wake(ctx: *mut c_void, next_ns: u64) {
    // SAFETY: rule 3: `ctx` is handed back as given, never after `release`.
    let context = unsafe { context(ctx) };
    context.guard("wake", |host| host.wake(next_ns));
}

unsafe extern "C" fn on_release(ctx: *mut c_void) {
    // SAFETY: rule 3: called once, from `destroy`, while `Instance` still holds the context.
    let context = unsafe { context(ctx) };
    context.released.fetch_add(1, Ordering::SeqCst);
}
