//! One instance of the plugin: every member of the table as a safe method.

use std::ffi::{CString, c_char};
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Serialize;
use serde_json::Value;
use vms_failover_abi as abi;

use super::callbacks::{Context, Host};
use super::{CallError, Plugin};

/// How long a dropped instance waits for its worker.
const DROP_STOP_MS: u32 = 10_000;
/// Room for a report of faults; no JSON is larger (header, rule 14).
const REPORT_BYTES: usize = 64 * 1024;

/// Instead of a handle, where a member has that.
const ALL_SERVERS: u64 = 0;
/// How often a text that grows between two calls is fetched again.
const TEXT_TRIES: u32 = 16;

/// Who moves time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// The plugin has a worker thread and real time.
    Worker,
    /// The host calls [`Instance::poll`] (`VMSF_HOST_DRIVES`); the plugin has no thread.
    HostDrives,
}

/// The options of `create`.
#[derive(Debug, Clone, Serialize)]
pub struct CreateOptions {
    schema: u32,
    /// Where the plugin keeps its state.
    pub state_directory: PathBuf,
    /// The configuration; none: the one kept in the state directory.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config: Option<Value>,
    /// The operations that this host performs; none: the plugin's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub operations: Option<Vec<String>>,
    /// `full` or, for simulation only, `none`; none: the plugin's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub durability: Option<String>,
}

impl CreateOptions {
    /// Options with a state directory and, if any, a configuration.
    #[must_use]
    pub fn new(state_directory: impl Into<PathBuf>, config: Option<Value>) -> Self {
        Self { schema: 1, state_directory: state_directory.into(), config, operations: None, durability: None }
    }
}

/// The members that any thread may call, also from inside a callback (but `wake`). Cheap to clone; it may outlive its
/// instance, and then gives `VMSF_ERR_HANDLE`.
#[derive(Clone)]
pub struct Caller {
    plugin: Arc<Plugin>,
    handle: abi::vmsf_plugin,
}

impl fmt::Debug for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Caller").field("handle", &self.handle).finish_non_exhaustive()
    }
}

type Outcome<T> = Result<T, CallError>;
/// A member that takes an optional JSON and gives a request id.
type RequestFn =
    unsafe extern "C" fn(abi::vmsf_plugin, abi::vmsf_server, *const c_char, usize, *mut u64) -> abi::vmsf_result;
/// A member that takes a configuration document or an edit and gives a report.
type DocumentFn = unsafe extern "C" fn(
    abi::vmsf_plugin,
    *const c_char,
    usize,
    u32,
    *mut c_char,
    usize,
    *mut usize,
) -> abi::vmsf_result;

impl Caller {
    fn api(&self) -> &abi::vmsf_api {
        self.plugin.api()
    }

    /// The plugin behind it.
    #[must_use]
    pub fn plugin(&self) -> &Arc<Plugin> {
        &self.plugin
    }

    fn check(&self, call: &'static str, code: abi::vmsf_result) -> Outcome<()> {
        if code == abi::VMSF_OK { Ok(()) } else { Err(self.error(call, code, String::new())) }
    }

    fn error(&self, call: &'static str, code: abi::vmsf_result, report: String) -> CallError {
        // The text is the last error's, which may be another call's: it is taken only when its code is this one's.
        let text = match self.last_error() {
            Ok((last, text)) if last == code => text,
            _ => String::new(),
        };
        CallError { call, code, name: self.plugin.result_name(code), text, report }
    }

    /// Fetches a text of unknown length. Its errors carry no text: `last_error` itself comes through here.
    fn text(
        &self,
        call: &'static str,
        fetch: impl Fn(*mut c_char, usize, &mut usize) -> abi::vmsf_result,
    ) -> Outcome<String> {
        self.bytes(call, fetch).map(|bytes| String::from_utf8_lossy(&bytes).into_owned())
    }

    fn bytes(
        &self,
        call: &'static str,
        fetch: impl Fn(*mut c_char, usize, &mut usize) -> abi::vmsf_result,
    ) -> Outcome<Vec<u8>> {
        let mut buffer = vec![0_u8; 1024];
        let mut code = abi::VMSF_ERR_TOO_SMALL;
        for _ in 0..TEXT_TRIES {
            let mut len = 0;
            code = fetch(buffer.as_mut_ptr().cast(), buffer.len(), &mut len);
            match code {
                abi::VMSF_OK => {
                    buffer.truncate(len);
                    return Ok(buffer);
                }
                abi::VMSF_ERR_TOO_SMALL => buffer.resize(buffer.len().max(len) + 1, 0),
                _ => break,
            }
        }
        let name = self.plugin.result_name(code);
        Err(CallError { call, code, name, text: String::new(), report: String::new() })
    }

    /// Reports an event of a monitored server, `VMSF_NOTIFY_…`; `mono_ns` 0 = now.
    ///
    /// # Errors
    /// As the header says.
    pub fn notify(&self, server: u64, event_kind: u32, mono_ns: u64) -> Outcome<()> {
        // SAFETY: class [any-thread]; numbers only, handles are checked (rule 4).
        let code = unsafe { (self.api().notify)(self.handle, server, event_kind, mono_ns) };
        self.check("notify", code)
    }

    /// The plugin's monotonic clock.
    ///
    /// # Errors
    /// As the header says.
    pub fn now_ns(&self) -> Outcome<u64> {
        let mut now = 0;
        // SAFETY: class [any-thread]; the output lives during the call.
        let code = unsafe { (self.api().now_ns)(self.handle, &raw mut now) };
        self.check("now_ns", code).map(|()| now)
    }

    /// The handle of a monitored server.
    ///
    /// # Errors
    /// As the header says.
    pub fn server(&self, id: &str) -> Outcome<u64> {
        let mut server = 0;
        // SAFETY: class [any-thread]; inputs and output live during the call, the text is counted (rule 3).
        let code = unsafe { (self.api().server)(self.handle, id.as_ptr().cast(), id.len(), &raw mut server) };
        self.check("server", code).map(|()| server)
    }

    /// The server after this one in configuration order, 0 = the first; `None` at the end.
    ///
    /// # Errors
    /// As the header says.
    pub fn next_server(&self, server: u64) -> Outcome<Option<u64>> {
        let mut next = 0;
        // SAFETY: class [any-thread]; the output lives during the call.
        let code = unsafe { (self.api().next_server)(self.handle, server, &raw mut next) };
        if code == abi::VMSF_ERR_NOT_FOUND {
            return Ok(None);
        }
        self.check("next_server", code).map(|()| Some(next))
    }

    /// The id of a monitored server.
    ///
    /// # Errors
    /// As the header says.
    pub fn server_id(&self, server: u64) -> Outcome<String> {
        self.text("server_id", |buf, cap, len| {
            // SAFETY: class [any-thread]; the buffer has `cap` bytes (rule 3).
            unsafe { (self.api().server_id)(self.handle, server, buf, cap, len) }
        })
    }

    /// The configuration in force.
    ///
    /// # Errors
    /// As the header says.
    pub fn config(&self) -> Outcome<String> {
        self.text("config", |buf, cap, len| {
            // SAFETY: class [any-thread]; the buffer has `cap` bytes (rule 3).
            unsafe { (self.api().config)(self.handle, buf, cap, len) }
        })
    }

    /// The status of one server, or of all (0).
    ///
    /// # Errors
    /// As the header says.
    pub fn status(&self, server: u64) -> Outcome<String> {
        self.text("status", |buf, cap, len| {
            // SAFETY: class [any-thread]; the buffer has `cap` bytes (rule 3).
            unsafe { (self.api().status)(self.handle, server, buf, cap, len) }
        })
    }

    /// Log entries from a number on.
    ///
    /// # Errors
    /// As the header says.
    pub fn log(&self, since_seq: u64, max_entries: u32) -> Outcome<String> {
        self.text("log", |buf, cap, len| {
            // SAFETY: class [any-thread]; the buffer has `cap` bytes (rule 3).
            unsafe { (self.api().log)(self.handle, since_seq, max_entries, buf, cap, len) }
        })
    }

    /// A settings text of the monitored server with the recordings parameter in it, both in whatever encoding.
    ///
    /// # Errors
    /// As the header says.
    pub fn recordings_ini(&self, server: u64, ini: &[u8]) -> Outcome<Vec<u8>> {
        self.bytes("recordings_ini", |buf, cap, len| {
            // SAFETY: class [any-thread]; the input is counted, the buffer has `cap` bytes (rule 3).
            unsafe { (self.api().recordings_ini)(self.handle, server, ini.as_ptr().cast(), ini.len(), buf, cap, len) }
        })
    }

    /// How far an operation is, 0 to 1000.
    ///
    /// # Errors
    /// As the header says.
    pub fn progress(&self, op: u64, permille: u32, text: &str) -> Outcome<()> {
        // SAFETY: class [any-thread]; the text is counted and lives during the call (rule 3).
        let code = unsafe { (self.api().progress)(self.handle, op, permille, text.as_ptr().cast(), text.len()) };
        self.check("progress", code)
    }

    /// Code and text of the last error.
    ///
    /// # Errors
    /// As the header says.
    pub fn last_error(&self) -> Outcome<(abi::vmsf_result, String)> {
        let last = std::cell::Cell::new(0);
        let text = self.text("last_error", |buf, cap, len| {
            // SAFETY: class [any-thread]; the buffer has `cap` bytes, the outputs live during the call (rule 3).
            unsafe { (self.api().last_error)(self.handle, last.as_ptr(), buf, cap, len) }
        })?;
        Ok((last.get(), text))
    }

    /// Tells whether this failover server has joined the cluster.
    ///
    /// # Errors
    /// As the header says.
    pub fn cluster(&self, joined: bool, json: &str) -> Outcome<()> {
        let (text, len) = optional(json);
        // SAFETY: class [any-thread, disk]; the text is counted, or NULL with 0 (rule 3).
        let code = unsafe { (self.api().cluster)(self.handle, u32::from(joined), text, len) };
        self.check("cluster", code)
    }

    /// Joins the cluster through the management server; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn join_cluster(&self, json: &str, secret: &[u8]) -> Outcome<u64> {
        let (text, len) = optional(json);
        let mut request = 0;
        let (secret, secret_len) = optional_secret(secret);
        // SAFETY: class [any-thread, disk]; text and secret are counted, or NULL with 0, and live during the call (rules 3 and 10).
        let code = unsafe { (self.api().join_cluster)(self.handle, text, len, secret, secret_len, &raw mut request) };
        self.check("join_cluster", code).map(|()| request)
    }

    /// Authorizes this failover server at a monitored server; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn authorize(&self, server: u64, json: &str, secret: &[u8]) -> Outcome<u64> {
        let (text, len) = optional(json);
        let mut request = 0;
        let (secret, secret_len) = optional_secret(secret);
        // SAFETY: class [any-thread, disk]; text and secret are counted, or NULL with 0, and live during the call (rules 3 and 10).
        let code =
            unsafe { (self.api().authorize)(self.handle, server, text, len, secret, secret_len, &raw mut request) };
        self.check("authorize", code).map(|()| request)
    }

    /// Revokes the token of a monitored server; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn deauthorize(&self, server: u64, json: &str) -> Outcome<u64> {
        self.request("deauthorize", self.api().deauthorize, server, json)
    }

    /// Backs up one server; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn backup(&self, server: u64, json: &str) -> Outcome<u64> {
        self.request("backup", self.api().backup, server, json)
    }

    /// Backs up all servers, one after another; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn backup_all(&self, json: &str) -> Outcome<u64> {
        self.request("backup", self.api().backup, ALL_SERVERS, json)
    }

    /// Takes a server over by hand; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn takeover(&self, server: u64, json: &str) -> Outcome<u64> {
        self.request("takeover", self.api().takeover, server, json)
    }

    /// Restores a server by hand; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn restore(&self, server: u64, json: &str) -> Outcome<u64> {
        self.request("restore", self.api().restore, server, json)
    }

    /// Runs the takeover check of a server; gives the request id.
    ///
    /// # Errors
    /// As the header says.
    pub fn drill(&self, server: u64, json: &str) -> Outcome<u64> {
        self.request("drill", self.api().drill, server, json)
    }

    fn request(&self, call: &'static str, member: RequestFn, server: u64, json: &str) -> Outcome<u64> {
        let (text, len) = optional(json);
        let mut request = 0;
        // SAFETY: class [any-thread, disk]; the text is counted, or NULL with 0 (rule 3); handles are checked (rule 4).
        let code = unsafe { member(self.handle, server, text, len, &raw mut request) };
        self.check(call, code).map(|()| request)
    }

    /// Takes a queued server out of the queue.
    ///
    /// # Errors
    /// As the header says.
    pub fn cancel(&self, server: u64, json: &str) -> Outcome<()> {
        let (text, len) = optional(json);
        // SAFETY: class [any-thread, disk]; the text is counted, or NULL with 0 (rule 3).
        let code = unsafe { (self.api().cancel)(self.handle, server, text, len) };
        self.check("cancel", code)
    }

    /// Holds the takeover of a server until a UTC time.
    ///
    /// # Errors
    /// As the header says.
    pub fn maintenance(&self, server: u64, json: &str) -> Outcome<()> {
        let (text, len) = optional(json);
        // SAFETY: class [any-thread, disk]; the text is counted, or NULL with 0 (rule 3).
        let code = unsafe { (self.api().maintenance)(self.handle, server, text, len) };
        self.check("maintenance", code)
    }

    /// The answer to `begin`; `outcome` is `VMSF_OUTCOME_…`, `json` `{"error":"text"}` or "".
    ///
    /// # Errors
    /// As the header says.
    pub fn complete(&self, op: u64, outcome: u32, json: &str, secret: &[u8]) -> Outcome<()> {
        let (text, len) = optional(json);
        let (secret, secret_len) = optional_secret(secret);
        // SAFETY: class [any-thread, disk]; text and secret are counted, or NULL with 0, and live during the call (rules 3 and 10).
        let code = unsafe { (self.api().complete)(self.handle, op, outcome, text, len, secret, secret_len) };
        self.check("complete", code)
    }
}

/// One instance. Dropping it stops and destroys it; the library goes when its last user is gone.
pub struct Instance {
    caller: Caller,
    context: Arc<Context>,
    alive: bool,
}

impl fmt::Debug for Instance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Instance").field("caller", &self.caller).finish_non_exhaustive()
    }
}

impl Deref for Instance {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl Instance {
    /// Creates an instance in state stopped.
    ///
    /// # Errors
    /// As the header says; the text names the faults of the configuration.
    pub fn create(plugin: &Arc<Plugin>, mode: Mode, options: &CreateOptions, host: Box<dyn Host>) -> Outcome<Self> {
        let context = Context::new(host);
        let (name, version) = (c"host-sim", CString::new(env!("CARGO_PKG_VERSION")).unwrap_or_default());
        let table = context.table(mode, name, &version);
        let options = serde_json::to_string(options).unwrap_or_default();
        let mut handle = 0;
        let mut err = vec![0_u8; REPORT_BYTES];
        // SAFETY: class [control]; table, texts and outputs live during the call, the plugin copies them; `ctx` lives until
        // `destroy` has returned (rule 3).
        let code = unsafe {
            (plugin.api().create)(
                &raw const table,
                options.as_ptr().cast(),
                options.len(),
                &raw mut handle,
                err.as_mut_ptr().cast(),
                err.len(),
            )
        };
        if code != abi::VMSF_OK {
            let name = plugin.result_name(code);
            return Err(CallError { call: "create", code, name, text: until_nul(&err), report: String::new() });
        }
        Ok(Self { caller: Caller { plugin: plugin.clone(), handle }, context, alive: true })
    }

    /// A caller for other threads and for callbacks.
    #[must_use]
    pub fn caller(&self) -> Caller {
        self.caller.clone()
    }

    /// Starts monitoring.
    ///
    /// # Errors
    /// As the header says.
    pub fn start(&self) -> Outcome<()> {
        // SAFETY: class [control]; handles are checked (rule 4).
        let code = unsafe { (self.api().start)(self.handle) };
        self.check("start", code)
    }

    /// Stops monitoring; no callback comes after it has returned well.
    ///
    /// # Errors
    /// As the header says.
    pub fn stop(&self, timeout_ms: u32) -> Outcome<()> {
        // SAFETY: class [control]; handles are checked (rule 4).
        let code = unsafe { (self.api().stop)(self.handle, timeout_ms) };
        self.check("stop", code)
    }

    /// Ends the instance. Gives how often `release` was called, which must be once.
    ///
    /// # Errors
    /// As the header says; dropping it tries again.
    pub fn destroy(&mut self) -> Outcome<u32> {
        self.end().map(|()| self.context.released())
    }

    fn end(&mut self) -> Outcome<()> {
        // SAFETY: class [control]; handles are checked (rule 4).
        let code = unsafe { (self.api().destroy)(self.handle) };
        self.check("destroy", code)?;
        self.alive = false;
        Ok(())
    }

    /// Replaces the configuration; `dry_run` only checks. Gives the report.
    ///
    /// # Errors
    /// As the header says; the report is in the error.
    pub fn configure(&self, json: &str, dry_run: bool) -> Outcome<String> {
        self.document("configure", self.api().configure, json, dry_run)
    }

    /// Changes the configuration; `dry_run` only checks. Gives the report.
    ///
    /// # Errors
    /// As the header says; the report is in the error.
    pub fn edit(&self, json: &str, dry_run: bool) -> Outcome<String> {
        self.document("edit", self.api().edit, json, dry_run)
    }

    fn document(&self, call: &'static str, member: DocumentFn, json: &str, dry_run: bool) -> Outcome<String> {
        let flags = if dry_run { abi::VMSF_DRY_RUN } else { 0 };
        let mut report = vec![0_u8; REPORT_BYTES];
        let mut len = 0;
        let room = report.as_mut_ptr().cast();
        // SAFETY: class [control]; the text is counted, the report has as many bytes as said (rule 3).
        let code =
            unsafe { member(self.handle, json.as_ptr().cast(), json.len(), flags, room, report.len(), &raw mut len) };
        let report = until_nul(&report);
        if code == abi::VMSF_OK { Ok(report) } else { Err(self.error(call, code, report)) }
    }

    /// Moves time, runs the callbacks and gives when to poll next.
    ///
    /// # Errors
    /// As the header says.
    pub fn poll(&self, now_ns: u64, utc_ms: i64) -> Outcome<u64> {
        let mut next = 0;
        // SAFETY: class [poll]; the output lives during the call.
        let code = unsafe { (self.api().poll)(self.handle, now_ns, utc_ms, &raw mut next) };
        self.check("poll", code).map(|()| next)
    }

    /// The first panic of this host inside a callback, if there was one.
    #[must_use]
    pub fn host_panic(&self) -> Option<String> {
        self.context.panicked()
    }
}

impl Drop for Instance {
    fn drop(&mut self) {
        if !self.alive {
            return;
        }
        // A worker that does not end goes on calling back, so its context and its library must stay for ever.
        if self.stop(DROP_STOP_MS).and_then(|()| self.end()).is_err() {
            std::mem::forget(self.context.clone());
            std::mem::forget(self.plugin.clone());
        }
    }
}

/// An optional JSON argument: "" is NULL with 0.
fn optional(json: &str) -> (*const c_char, usize) {
    if json.is_empty() { (std::ptr::null(), 0) } else { (json.as_ptr().cast(), json.len()) }
}

/// An optional secret: an empty one is NULL with 0.
fn optional_secret(secret: &[u8]) -> (*const u8, usize) {
    if secret.is_empty() { (std::ptr::null(), 0) } else { (secret.as_ptr(), secret.len()) }
}

fn until_nul(bytes: &[u8]) -> String {
    let end = bytes.iter().position(|b| *b == 0).unwrap_or(bytes.len());
    String::from_utf8_lossy(&bytes[..end]).into_owned()
}
