//! The host's table of callbacks: with `secrets`, its extension, the only room that calls a pointer of the host.
//!
//! Copied in `create`, so the host may free its own at once. `event` and `begin` are called by whoever delivers, with no lock held. `log`,
//! `log_level`, `wake` and the extension's come from other threads, too; they are counted, so that `close` can wait for the last one before
//! `release`. A secret that is handed to `begin` is wiped when it returns.

use std::cell::Cell;
use std::ffi::{CStr, CString, c_char, c_void};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::{Level, LevelFilter};
use parking_lot::{Condvar, Mutex};
use vms_failover_abi as abi;

use super::secrets::{Functions, HostSecrets};
use super::trace::{self, Line};
use crate::error::Error;
use crate::log::{Entry, Words};
use crate::runtime::secrets::SecretStore;
use crate::runtime::{Begin, Host};
use crate::secret::Secret;

const KNOWN_FLAGS: u32 = abi::VMSF_HOST_DRIVES;

/// What runs on this thread, as far as the host's own code is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Inside {
    /// No callback.
    Nothing,
    /// `wake`: nothing may be called.
    Wake,
    /// Another callback: static and any-thread members may be called.
    Callback,
}

thread_local! {
    static INSIDE: Cell<Inside> = const { Cell::new(Inside::Nothing) };
}

/// Which callback this thread is in, of whichever instance.
pub fn inside() -> Inside {
    INSIDE.get()
}

/// A checked copy of the host's table.
pub struct HostTable {
    table: abi::vmsf_host,
    name: String,
    version: String,
    secrets: Option<Functions>,
    calls: Mutex<Calls>,
    idle: Condvar,
    /// The handle of its instance, for the trace; 0 until there is one.
    known_as: AtomicU64,
}

/// Calls under way of what may come from any thread.
#[derive(Default)]
struct Calls {
    running: usize,
    closed: bool,
}

// SAFETY: `ctx` and the name pointers are never looked at, only handed back, and the header lets the plugin call the functions from any thread (rule 5).
unsafe impl Send for HostTable {}
// SAFETY: as above; `event` and `begin` come from one thread at a time, which whoever delivers sees to (rule 5).
unsafe impl Sync for HostTable {}

/// Copies a struct that begins with its size: a larger one is of a later release and read as far as it is known here, a smaller one is refused.
///
/// # Safety
/// `from` is NULL or points to a readable u32 and to as many bytes as that says, which are a `T` as far as they are known.
pub unsafe fn read_sized<T: Copy>(what: &str, from: *const T) -> Result<T, Error> {
    if from.is_null() {
        return Err(Error::null(what));
    }
    // SAFETY: the caller vouches for a u32 there; it need not be aligned (rule 2).
    let size = unsafe { from.cast::<u32>().read_unaligned() } as usize;
    let known = std::mem::size_of::<T>();
    if size < known {
        let text = format!("{what}.struct_size is {size}, the first release has {known}");
        return Err(Error::new(abi::VMSF_ERR_INVALID, text));
    }
    // SAFETY: the caller vouches for `size` bytes, of which `known` are read; it need not be aligned (rule 2).
    Ok(unsafe { from.read_unaligned() })
}

impl HostTable {
    /// Copies and checks the host's table, and asks for its extension, once.
    ///
    /// # Safety
    /// `host` is NULL or points to a `vmsf_host` as the header describes it.
    pub unsafe fn read(host: *const abi::vmsf_host) -> Result<HostTable, Error> {
        // SAFETY: the caller vouches for it; a vmsf_host is integers, pointers and optional functions (rule 2).
        let table = unsafe { read_sized("host", host) }?;
        let invalid = |text: String| Err(Error::new(abi::VMSF_ERR_INVALID, text));
        if table.flags & !KNOWN_FLAGS != 0 {
            return invalid(format!("host.flags has unknown bits {:#x}", table.flags & !KNOWN_FLAGS));
        }
        if table.reserved != [0, 0] {
            return invalid("host.reserved is not zero".into());
        }
        let missing =
            [("log", table.log.is_none()), ("event", table.event.is_none()), ("begin", table.begin.is_none())];
        if let Some((name, _)) = missing.iter().find(|(_, missing)| *missing) {
            return invalid(format!("host.{name} is NULL; it is required"));
        }
        if table.wake.is_some() != (table.flags & abi::VMSF_HOST_DRIVES != 0) {
            return invalid("host.wake is required with VMSF_HOST_DRIVES and must be NULL without".into());
        }
        // SAFETY: the header requires NUL-terminated names that live until `create` returns (rule 3).
        let name = unsafe { read_name("host.name", table.name) }?;
        // SAFETY: as above (rule 3).
        let version = unsafe { read_name("host.version", table.version) }?;
        let calls = Mutex::default();
        let (idle, known_as) = (Condvar::new(), AtomicU64::new(0));
        let mut host = HostTable { table, name, version, secrets: None, calls, idle, known_as };
        // SAFETY: what the header lets a host give for this id (rule 2).
        host.secrets = unsafe { Functions::read(host.extension(abi::VMSF_EXT_SECRETS)) }?;
        Ok(host)
    }

    /// The host's table of this id, or NULL. Inside `create` alone.
    fn extension(&self, id: &str) -> *const c_void {
        let Some(get_extension) = self.table.get_extension else { return std::ptr::null() };
        let id = c_text(id);
        // SAFETY: the id lives until the callback returns (rule 3).
        let call = || self.inside(Inside::Callback, |ctx| unsafe { get_extension(ctx, id.as_ptr()) });
        self.traced("get_extension", call, |line, table| _ = line.number("given", !table.is_null()))
    }

    /// Where the host keeps tokens, if it offers to.
    pub fn secrets(self: &Arc<Self>) -> Option<Arc<dyn SecretStore>> {
        self.secrets.map(|functions| Arc::new(HostSecrets::new(Arc::clone(self), functions)) as _)
    }

    /// Whether the host drives.
    pub fn drives(&self) -> bool {
        self.table.flags & abi::VMSF_HOST_DRIVES != 0
    }

    /// Name and version, for logs.
    pub fn title(&self) -> String {
        format!("{} {}", self.name, self.version)
    }

    /// No call comes after it; waits for those under way, then releases `ctx`.
    pub fn close(&self) {
        let mut calls = self.calls.lock();
        calls.closed = true;
        while calls.running > 0 {
            self.idle.wait(&mut calls);
        }
        drop(calls);
        if let Some(release) = self.table.release {
            // SAFETY: the last call for `ctx`, made once: `close` is called by `destroy` alone, which removes the instance first (rule 3).
            let call = || self.inside(Inside::Callback, |ctx| unsafe { release(ctx) });
            self.traced("release", call, |_, ()| ());
        }
    }

    /// Its instance has this handle.
    pub fn is_known_as(&self, plugin: abi::vmsf_plugin) {
        self.known_as.store(plugin, Ordering::Release);
    }

    /// Makes a callback, with a line in the trace where there is one.
    pub fn traced<T>(&self, name: &'static str, call: impl FnOnce() -> T, write: impl FnOnce(&mut Line, &T)) -> T {
        trace::callback(name, self.known_as.load(Ordering::Acquire), call, write)
    }

    fn inside<T>(&self, which: Inside, call: impl FnOnce(*mut c_void) -> T) -> T {
        let before = INSIDE.replace(which);
        let result = call(self.table.ctx);
        INSIDE.set(before);
        result
    }

    /// Makes a call that may come from any thread, unless the table is closed.
    pub fn counted<T>(&self, which: Inside, call: impl FnOnce(*mut c_void) -> T) -> Option<T> {
        {
            let mut calls = self.calls.lock();
            if calls.closed {
                return None;
            }
            calls.running += 1;
        }
        let result = self.inside(which, call);
        let mut calls = self.calls.lock();
        calls.running -= 1;
        if calls.running == 0 {
            self.idle.notify_all();
        }
        Some(result)
    }
}

impl Host for HostTable {
    fn event(&self, entry: &Entry, words: &Words) {
        let Some(event) = self.table.event else { return };
        let json = c_text(&words.json);
        let record = abi::vmsf_event {
            struct_size: size_of::<abi::vmsf_event>() as u32,
            kind: words.kind,
            severity: words.severity,
            flags: 0,
            seq: entry.seq,
            mono_ns: entry.at.0,
            utc_ms: entry.utc_ms,
            server: entry.server.as_ref().map_or(0, |server| server.handle),
            json: json.as_ptr(),
            json_len: json.as_bytes().len(),
            reserved: [0; 2],
        };
        // SAFETY: `record` and its text live until the callback returns; one delivery at a time (rules 3 and 5).
        let call = || self.inside(Inside::Callback, |ctx| unsafe { event(ctx, &record) });
        self.traced("event", call, |line, ()| {
            line.number("seq", record.seq).number("kind", record.kind).handle("server", record.server);
            line.words(&words.json).number("json_len", record.json_len);
        });
    }

    fn begin(&self, operation: Begin) {
        let Some(begin) = self.table.begin else { return };
        let json = c_text(&operation.json);
        let secret = operation.secret.as_ref().map(Secret::as_bytes);
        let record = abi::vmsf_operation {
            struct_size: size_of::<abi::vmsf_operation>() as u32,
            kind: operation.kind,
            flags: if operation.resumed { abi::VMSF_OP_RESUMED } else { 0 },
            attempt: operation.attempt,
            id: operation.id,
            deadline_ns: operation.deadline_ns,
            server: operation.server,
            json: json.as_ptr(),
            json_len: json.as_bytes().len(),
            secret: secret.map_or(std::ptr::null(), <[u8]>::as_ptr),
            secret_len: secret.map_or(0, <[u8]>::len),
            reserved: [0; 2],
        };
        // SAFETY: `record`, its text and its secret live until the callback returns; one delivery at a time (rules 3 and 5).
        let call = || self.inside(Inside::Callback, |ctx| unsafe { begin(ctx, &record) });
        self.traced("begin", call, |line, ()| {
            line.number("kind", record.kind).handle("server", record.server).number("deadline_ns", record.deadline_ns);
            line.number("resumed", operation.resumed).words(&operation.json);
            line.number("json_len", record.json_len).number("secret_len", record.secret_len);
        });
        // Wiped here and now (rule 10).
        drop(operation.secret);
    }

    fn wake(&self, next_ns: u64) {
        let Some(wake) = self.table.wake else { return };
        // SAFETY: the header lets the plugin call it from any thread until `release` (rule 5).
        let call = || self.counted(Inside::Wake, |ctx| unsafe { wake(ctx, next_ns) });
        self.traced("wake", call, |line, _| _ = line.number("next_ns", next_ns));
    }

    fn is_calling_back(&self) -> bool {
        inside() != Inside::Nothing
    }

    fn log_level(&self) -> LevelFilter {
        let Some(log_level) = self.table.log_level else { return LevelFilter::Debug };
        // SAFETY: the header lets the plugin call it from any thread until `release` (rule 5).
        let call = || self.counted(Inside::Callback, |ctx| unsafe { log_level(ctx) });
        let level = self.traced("log_level", call, |_, _| ());
        match level.unwrap_or(u32::MAX) {
            0 | abi::VMSF_SEVERITY_DEBUG => LevelFilter::Debug,
            abi::VMSF_SEVERITY_INFO => LevelFilter::Info,
            abi::VMSF_SEVERITY_WARNING => LevelFilter::Warn,
            abi::VMSF_SEVERITY_ALARM => LevelFilter::Error,
            _ => LevelFilter::Off,
        }
    }

    fn log(&self, level: Level, target: &str, text: &str) {
        let Some(log) = self.table.log else { return };
        let severity = match level {
            Level::Error => abi::VMSF_SEVERITY_ALARM,
            Level::Warn => abi::VMSF_SEVERITY_WARNING,
            Level::Info => abi::VMSF_SEVERITY_INFO,
            Level::Debug | Level::Trace => abi::VMSF_SEVERITY_DEBUG,
        };
        let (target, text) = (c_text(target), c_text(text));
        let len = text.as_bytes().len();
        // SAFETY: both texts live until the callback returns; any thread may call it until `release` (rules 3 and 5).
        let call =
            || self.counted(Inside::Callback, |ctx| unsafe { log(ctx, severity, target.as_ptr(), text.as_ptr(), len) });
        self.traced("log", call, |line, _| _ = line.number("level", severity).number("len", len));
    }
}

/// # Safety
/// `name` is NULL or a NUL-terminated text.
unsafe fn read_name(what: &str, name: *const c_char) -> Result<String, Error> {
    if name.is_null() {
        return Err(Error::null(what));
    }
    // SAFETY: not NULL, and the caller vouches for the NUL (rule 3).
    let name = unsafe { CStr::from_ptr(name) };
    let name = name.to_str().map_err(|_| Error::new(abi::VMSF_ERR_UTF8, format!("{what} is not UTF-8")))?;
    Ok(crate::error::cut(name.to_owned(), 256))
}

/// A text for C. The plugin's own texts hold no NUL: control characters are escaped in logs and in JSON.
pub fn c_text(text: &str) -> CString {
    CString::new(text).unwrap_or_else(|_| CString::new(text.replace('\0', "\u{fffd}")).unwrap_or_default())
}
