//! vms-failover: the C ABI of the failover plugin for video management systems (VMS).
//!
//! The *host* is the VMS process on the failover server that has loaded the plugin. It reports what it hears of the
//! monitored servers (`notify`); when one is lost, the plugin asks the host to take it over (`begin`), and the host
//! answers (`complete`). MUST, SHOULD and MAY are meant as in RFC 2119.
//!
//! RULES
//!
//!  1. Negotiation. A host needs one symbol, VMSF_ENTRY_SYMBOL; look it up at run time. The entry function is pure and
//!     may be called any number of times. The host gives a range of majors, the highest common one wins; VMSF_ERR_ABI
//!     still fills in `info`, so that the host can print both sides. The handshake is frozen for ever; the structs and
//!     the table of a major are frozen for its life. Growth comes as JSON keys, new event kinds (the host MUST ignore
//!     unknown ones) and extension tables. Unknown flag bits and non-zero `reserved` fields give VMSF_ERR_INVALID. An
//!     operation the host does not know it MUST complete with VMSF_OUTCOME_UNSUPPORTED.
//!  2. Every struct begins with `struct_size`, set by whoever fills the struct in. The reader copies min(struct_size,
//!     known size): a larger struct is accepted, a smaller one than the first release's is refused.
//!  3. Memory. Nothing crosses the border. Inputs are copied before the call returns; vmsf_host may be freed after
//!     `create`. Text inputs are UTF-8 (but that of recordings_ini) with an explicit length and need no NUL. Outputs go
//!     into the host's buffer: VMSF_OK and VMSF_ERR_TOO_SMALL write `*len` (bytes without the NUL); what fits is
//!     NUL-terminated, TOO_SMALL leaves ""; `buf` NULL with `cap` 0 asks for the size and gives TOO_SMALL. No other
//!     failure writes anything.
//!     Strings passed to callbacks live until the callback returns and are both NUL-terminated and counted. `ctx` is
//!     borrowed until `release(ctx)`, which is called exactly once, from `destroy`, and never when `create` failed.
//!  4. Handles are checked numbers. A stale, foreign, swapped or zero handle gives VMSF_ERR_HANDLE, never undefined
//!     behaviour.
//!  5. Threads.
//!       [static]    any time, no state.
//!       [control]   may block; the host serialises them per instance (an overlap gives VMSF_ERR_BUSY); not from a
//!                   callback.
//!       [poll]      one thread at a time; runs the callbacks; not from a callback.
//!       [any-thread]       may overlap everything; never waits for the host, the worker or the disk (but for `log`,
//!                          which MAY wait for the disk).
//!       [any-thread, disk] the same, but MAY wait for one durable write, so that VMSF_OK means on disk.
//!       [callback]  called by the plugin. `event` and `begin` come one at a time, in `seq` order, on one thread from
//!                   start to stop (or inside poll), with no lock held; `log` and `log_level` come from any thread.
//!                   Those of extensions say for themselves.
//!     From inside a callback any static or any-thread member may be called (from `wake`: none); control and poll, of
//!     any instance, give VMSF_ERR_REENTRANT at once. Callbacks MUST NOT throw, longjmp or end the thread, and SHOULD
//!     return within 10 ms; above 100 ms the alarm `host_slow` is raised. Threads of the plugin block all signals.
//!  6. States: stopped, running, stopping, poisoned. `start` only in stopped; `stop` in any; `destroy` only once
//!     stopped. While stopped, notify and whatever begins an operation give VMSF_ERR_STATE; configure, edit, cluster,
//!     cancel, deauthorize (the host is asked at the next start) and reading work. A failed call changes nothing. The
//!     exceptions: VMSF_ERR_TIMEOUT of `stop`, which stays in force, call it again; VMSF_ERR_BUSY of `notify` (rule 12);
//!     VMSF_ERR_PANIC (rule 8); of `complete`, VMSF_ERR_NOT_FOUND for the first late answer (rule 9), and VMSF_ERR_LIMIT
//!     or VMSF_ERR_INVALID for the token of an `authorize`, which fails by that (see there).
//!  7. Errors. Every member gives a vmsf_result. `last_error` holds the text, for people, at most 4 KiB, per instance;
//!     notify, TOO_SMALL, BUSY and HANDLE never set it, success does not clear it.
//!  8. Panics never reach the host: the instance is poisoned, one last event VMSF_EVENT_POISONED is sent, and only
//!     stop, destroy, status, log, now_ns and last_error still answer; the others give VMSF_ERR_POISONED
//!     (VMSF_ERR_PANIC for the call that panicked). Cure: stop, destroy, create. Out of memory and stack overflow still
//!     end the process.
//!  9. Operations are begun at most once per id and start of the plugin, each with a deadline. When one times out or is
//!     superseded, the event VMSF_EVENT_OPERATION_OVER says so: the host MUST stop it and undo what it did; `complete`
//!     for it then gives VMSF_ERR_NOT_FOUND, and a late VMSF_OUTCOME_OK raises the alarm `late_answer`. `complete` may
//!     be called from inside `begin`. VMSF_OP_RESUMED: the host did not answer before the last stop; it goes on or
//!     begins anew.
//! 10. Secrets (credentials, tokens) are opaque bytes, at most 4 KiB; length 0 is none. They are never parsed and
//!     never put into JSON; logs, traces and dumps show their length alone. What the host gives in `secret` is copied
//!     once; the plugin wipes its copy when the call fails, and what it hands on in vmsf_operation.secret when `begin`
//!     returns. Credentials go nowhere else. A token comes back in the `secret` of `complete` and is kept for later
//!     operations: in files of the state directory (tokens.a.json, tokens.b.json), in clear, for their owner alone, or
//!     by a host that offers a safer place, the extension VMSF_EXT_SECRETS, and then in no file of the plugin. What is
//!     the host's own, what it passed in and what it copied in a callback, the host MUST wipe itself.
//! 11. Time. In worker mode all instants are the raw CLOCK_MONOTONIC in ns, on Windows QueryPerformanceCounter in ns,
//!     rounded down, so that a host may stamp with its own reading; now_ns gives it. With VMSF_HOST_DRIVES the plugin
//!     has no thread and only `poll` moves time: at least 1, never back (an earlier one counts as the last). Unstamped
//!     calls use the last poll's time; calls take effect in the next `poll`, at its now_ns, to which later stamps are
//!     cut. Stamps in the past are honoured in both modes.
//!     `*next_ns` is the earliest instant with work: at or before now_ns = poll again at once, VMSF_NEVER = none; it
//!     may be too early, never too late.
//! 12. Life signs are never lost. Each server has its own list of 8 transitions; when it is full the newest stamp is
//!     kept, VMSF_ERR_BUSY returned, an entry `events_lost` written, and this server does not fail before that stamp +
//!     normal_shutdown_s.
//! 13. Unloading. `stop` joins the threads; after `destroy` no thread, pointer or callback is left, and dlclose is
//!     allowed, or FreeLibrary; the image stays mapped all the same (VMSF_PLUGIN_RESIDENT), on Windows from the first
//!     `create` on, so an upgrade in the same process needs another file name. The host MUST stop before exit or before
//!     `ctx` dies; killing the process is always safe. Never call in from a static destructor, atexit, a signal handler
//!     or a fork child.
//! 14. Limits: configuration 256 MiB, edit 1 MiB, any other JSON 64 KiB in or out (config, log and the status of all
//!     unlimited), ids 64 bytes, 1,000,000 monitored servers. Past a limit VMSF_ERR_LIMIT or VMSF_ERR_BUSY, never
//!     unbounded memory. At most 20 non-alarm entries a server a minute, then one `suppressed` with the count (health
//!     and takeover changes are never suppressed). More than 1,000 changes in one instant are an event each; in the
//!     log on disk they are a few entries `mass`, which list the servers.
//! 15. Files. Paths are absolute and UTF-8; on Windows with a drive or share, and with either separator. A file of the
//!     plugin that somebody has open there, so that it cannot be replaced, is tried again for 2 s.
//!
//! JSON. Unknown keys from the host are VMSF_ERR_JSON in calls and faults in configurations; the host MUST ignore keys
//! it does not know. A key marked ? may be absent. For programs the same is said in include/schema/: config.json,
//! status.json, log-entry.json, operation-<name>.json, call.json, call-join_cluster.json and answer.json.
//! Every event's JSON is one log entry:
//!   {"seq":12, "utc":"2026-01-01T00:00:00.000Z", "severity":"info", "code":"health", "text":"...",
//!    "server":"a", "details":{...}, "actor":"...", "request":7}
//!   server, details, actor and request stand where they apply.
//! `details` by kind:
//!   VMSF_EVENT_HEALTH          {"from", "to", "reason"?, "failed_at_ns"?}
//!                              phases: unknown, connected, started, keep_alive, normal_shutdown,
//!                              abnormal_shutdown, failed
//!   VMSF_EVENT_TAKEOVER        {"from", "to", "reason"}
//!                              states: none, queued, taking_over, taken_over, restoring
//!   VMSF_EVENT_COMPLETED       {"op", "operation", "outcome", "error"?}
//!                              outcomes: ok, failed, timeout, superseded (a takeover went before it), interrupted
//!                              (an authorize or join_cluster that a stop or a kill cut off: its credentials are gone)
//!   VMSF_EVENT_OPERATION_OVER  {"op", "operation", "reason"}
//!                              reasons: timeout, superseded, interrupted
//!   VMSF_EVENT_BACKUP          {"op", "result":"ok", "number", "size", "sha256", "path"}
//!                              {"op", "result":"failed", "error"}
//!   VMSF_EVENT_PROGRESS        {"op", "permille", "text"}
//!   VMSF_EVENT_ACCEPTED        {"request"?, "server"?, "op"?, "joined"?}, those of the call
//!   VMSF_EVENT_ALARM, VMSF_EVENT_ALARM_ENDED: `code` is the alarm's code; what else helps is in details
//!   VMSF_EVENT_LOG by its code, some of them:
//!     cluster                  {"joined"} the membership has changed
//!     authorized, deauthorized the plugin has a token of the server, or none any more
//!     backup_run_begun         {"daily"} backups of all servers begin, one after another
//!     backup_run_ended         {"daily", "ok", "failed"} they have ended; how many of each
//!     backup_seen              there is a good backup of the server now, or none any more (a warning)
//!     backup_flaw              {"number"} a backup is not what was published; the text says why
//!     backups_unreadable       nobody can look at the server's backups; the text says why
//!     configured               {"servers", "added", "removed"} another configuration is in force
//! The request of an operation (`begin`):
//!   {"op":17, "operation":"takeover", "actor":"automatic", "reason":"keep_alive_timeout", "attempt":0,
//!    "resumed":false, "request":12?, "server":{"id","name","host","port","http_port","priority"}, ...}
//!   and besides, with what is in `secret`:
//!   takeover      the token. "supersedes":[9], "backup":{"path","sha256"}, "store_folder":"<store_path>/<server id>",
//!                 "server_communication":{"address","port"}?, "client_communication":{"address"}?,
//!                 "open_api":{"host","port"}?
//!                 supersedes: takeovers, of whichever server, that the host never answered; it MUST undo them first.
//!                 backup is absent only from one that a version of the plugin without backups had begun.
//!   restore       the token. As a takeover, without supersedes and backup.
//!   backup        the token. "file": the host writes the settings archive there, then completes. The folder is there,
//!                 the file is not, unless VMSF_OP_RESUMED: then it holds what the host wrote before. The plugin checks
//!                 that it is a plain file and not empty, and publishes it; otherwise the backup fails.
//!   authorize     the credentials. The answer brings a token.
//!   deauthorize   the token.
//!   join_cluster  the credentials, if there are any. "management_server":{"host","port"}; there is no "server".
//!   An operation that goes on although the token of its server is lost comes without one: `secret` is NULL.
//!   reason: a reason of VMSF_EVENT_HEALTH, operator, returned (an automatic restore), daily, unknown.
//! The host's answer (`complete`) is {"error":"text"?}, read with VMSF_OUTCOME_FAILED alone. The JSON of calls is
//! {"actor":"name"?}, that of join_cluster {"host":"management server", "port":443?, "actor":"name"?}.
//! The status (`status`; instants to come are {"utc", "ns", "in_ms"}, past ones {"utc", "ns"}, both by the clocks as
//! they stand at the call):
//!   {"schema":1, "name", "version", "utc", "state":"running", "poisoned":"text"?, "state_writable":true,
//!    "mode":"standby", "holder":"id"?, "queue":["id"], "cluster":{"joined", "operation":{...}?},
//!    "backups":{"daily", "left"}?, "next_daily_backup":"utc"?, "alarms":["code"],
//!    "servers":[{"id", "name", "health", "since"?, "reason"?, "failed_at"?, "deadline"?, "next",
//!      "last_events":{"keep_alive":"utc"?, ...}, "link":"up", "authorized", "backup",
//!      "last_backup":{"utc", "result", "number"?, "size"?, "error"?}?, "operation":{...}?,
//!      "takeover":{"state", "actor"?, "reason"?, "attempt", "place"?, "not_before"?, "operation":{...}?},
//!      "waits_for_operator", "alarms":["code"], "ready":{"ready", "reasons":["word"]}}]}
//!   An operation is {"op", "operation", "actor", "resumed", "deadline"?, "progress":{"permille", "text"}?}.
//!   state: stopped, running, stopping, poisoned (then all else is what was known last). mode: standby, taking_over,
//!   taken_over, restoring; holder: the server that is so. next: a sentence for people, what happens at the deadline.
//!   link: up, down, unknown. last_events: since the plugin was created. attempt: failed ones, of the takeover, once it
//!   is taken over of the restore. place: in the queue, from 1. reasons: not_running, not_in_cluster, not_authorized,
//!   no_backup, state_not_writable, slot_busy. backup: there is a good one; last_backup: how the last one ended, ok or
//!   failed. backups: of all servers, under way, and how many are left. operation: that of a server is a backup, an
//!   authorize or a deauthorize, that of its takeover a takeover or a restore, that of the cluster a join_cluster. No
//!   deadline runs, and none is shown, while the plugin is stopped, nor while a backup is being published.

// These comments are read in the C header, so they are laid out as plain text; the names are C's.
#![allow(clippy::doc_lazy_continuation, clippy::doc_overindented_list_items)]
#![allow(rustdoc::broken_intra_doc_links, rustdoc::invalid_html_tags)]
#![allow(non_camel_case_types)]
#![cfg_attr(not(feature = "checked"), no_std)]

#[cfg(feature = "checked")]
pub mod checked;

use core::ffi::{c_char, c_void};

/// The ABI major that this header describes. A host and a plugin without a common major refuse each other.
pub const VMSF_ABI_MAJOR: u32 = 1;
/// The ABI minor, for people and logs, never a gate.
pub const VMSF_ABI_MINOR: u32 = 0;
/// An instant that never comes.
pub const VMSF_NEVER: u64 = u64::MAX;
/// The symbol that a host looks up; its type is `vmsf_entry_fn`.
pub const VMSF_ENTRY_SYMBOL: &str = "vmsf_plugin_entry";

/// The id of the extension of a host that keeps the tokens itself; its table is a `vmsf_secrets`.
pub const VMSF_EXT_SECRETS: &str = "vmsf.secrets/1";

/// 0 is success, below 0 an error: one of the VMSF_ERR_... codes. Numbers are never reused.
pub type vmsf_result = i32;
/// A checked handle of a plugin instance; 0 is none.
pub type vmsf_plugin = u64;
/// A checked handle of a monitored server of one instance; 0 is none (or all, where a member says so).
pub type vmsf_server = u64;

/// Success.
pub const VMSF_OK: vmsf_result = 0;
/// An argument is wrong: NULL where none is allowed, an unknown flag bit, a non-zero reserved field, a number out of
/// range.
pub const VMSF_ERR_INVALID: vmsf_result = -1;
/// A text is not UTF-8, or holds a NUL.
pub const VMSF_ERR_UTF8: vmsf_result = -2;
/// A text is not JSON, or not of the documented shape.
pub const VMSF_ERR_JSON: vmsf_result = -3;
/// The configuration has faults; each is in the report.
pub const VMSF_ERR_CONFIG: vmsf_result = -4;
/// Not allowed in this state of the instance or of the server; last_error says which.
pub const VMSF_ERR_STATE: vmsf_result = -5;
/// The handle is zero, stale, of another kind or of another instance.
pub const VMSF_ERR_HANDLE: vmsf_result = -6;
/// No common ABI major.
pub const VMSF_ERR_ABI: vmsf_result = -7;
/// The buffer is too small; `*len` holds the size needed, without the NUL.
pub const VMSF_ERR_TOO_SMALL: vmsf_result = -8;
/// Another call or operation is in the way; try again later.
pub const VMSF_ERR_BUSY: vmsf_result = -9;
/// The time given did not suffice.
pub const VMSF_ERR_TIMEOUT: vmsf_result = -10;
/// A control or poll member was called from inside a callback.
pub const VMSF_ERR_REENTRANT: vmsf_result = -11;
/// This plugin does not do that (yet).
pub const VMSF_ERR_UNSUPPORTED: vmsf_result = -12;
/// No such server, operation or entry.
pub const VMSF_ERR_NOT_FOUND: vmsf_result = -13;
/// A limit of rule 14 is exceeded.
pub const VMSF_ERR_LIMIT: vmsf_result = -14;
/// This call panicked inside the plugin; the instance is poisoned now.
pub const VMSF_ERR_PANIC: vmsf_result = -15;
/// The instance was poisoned by an earlier panic: stop, destroy, create.
pub const VMSF_ERR_POISONED: vmsf_result = -16;
/// A fault of the plugin that is not a panic.
pub const VMSF_ERR_INTERNAL: vmsf_result = -17;
/// A file or directory could not be read or written; last_error names it.
pub const VMSF_ERR_IO: vmsf_result = -18;
/// The server is not authorized.
pub const VMSF_ERR_NOT_AUTHORIZED: vmsf_result = -19;
/// The server has no good backup.
pub const VMSF_ERR_NO_BACKUP: vmsf_result = -20;
/// This failover server is not part of the cluster.
pub const VMSF_ERR_NOT_IN_CLUSTER: vmsf_result = -21;
/// A document of the state directory cannot be used: both generations are damaged, its content cannot be read or
/// contradicts itself, or a newer plugin wrote it. Or a server is taken over that neither the configuration given nor the
/// kept one brings. The document is left as it is; the text says what to do.
pub const VMSF_ERR_STATE_DAMAGED: vmsf_result = -22;

/// `vmsf_handshake.flags`, out: the image stays mapped after it was closed.
pub const VMSF_PLUGIN_RESIDENT: u32 = 1;
/// `vmsf_host.flags`: the host calls `poll`; the plugin starts no thread.
pub const VMSF_HOST_DRIVES: u32 = 1;
/// `configure` and `edit`: check and report only.
pub const VMSF_DRY_RUN: u32 = 1;
/// `vmsf_operation.flags`: begun before the last stop and not answered; go on, or begin anew.
pub const VMSF_OP_RESUMED: u32 = 1;

/// Event of a monitored server: a network connection was made.
pub const VMSF_NOTIFY_CONNECTED: u32 = 1;
/// Event of a monitored server: the network connection ended. Recorded; moves no deadline.
pub const VMSF_NOTIFY_DISCONNECTED: u32 = 2;
/// Event of a monitored server: its startup message came.
pub const VMSF_NOTIFY_STARTUP: u32 = 3;
/// Event of a monitored server: a keep-alive message came.
pub const VMSF_NOTIFY_KEEP_ALIVE: u32 = 4;
/// Event of a monitored server: it was shut down normally.
pub const VMSF_NOTIFY_SHUTDOWN_NORMAL: u32 = 5;
/// Event of a monitored server: it exited with an error.
pub const VMSF_NOTIFY_SHUTDOWN_ABNORMAL: u32 = 6;

/// Event kind: a log entry without a kind of its own.
pub const VMSF_EVENT_LOG: u32 = 1;
/// Event kind: the health of a server changed.
pub const VMSF_EVENT_HEALTH: u32 = 2;
/// Event kind: the takeover state of a server changed.
pub const VMSF_EVENT_TAKEOVER: u32 = 3;
/// Event kind: an alarm was raised.
pub const VMSF_EVENT_ALARM: u32 = 4;
/// Event kind: the cause of an alarm ended.
pub const VMSF_EVENT_ALARM_ENDED: u32 = 5;
/// Event kind: the plugin gave an operation up. The host MUST stop it and undo what it did.
pub const VMSF_EVENT_OPERATION_OVER: u32 = 6;
/// Event kind: an operation ended, with its outcome.
pub const VMSF_EVENT_COMPLETED: u32 = 7;
/// Event kind: progress of an operation, as told by the host.
pub const VMSF_EVENT_PROGRESS: u32 = 8;
/// Event kind: a call made inside a callback is durable now.
pub const VMSF_EVENT_ACCEPTED: u32 = 9;
/// Event kind: a backup ended: published, or failed. The `completed` of its operation comes before it; a backup that ended
/// before its file was named has none, for the host was never asked.
pub const VMSF_EVENT_BACKUP: u32 = 10;
/// Event kind: the readiness of a server changed. (Not sent yet.)
pub const VMSF_EVENT_READY: u32 = 11;
/// Event kind: the instance is poisoned; the last event.
pub const VMSF_EVENT_POISONED: u32 = 12;

/// Severity of an event, and level of a log line: for developers.
pub const VMSF_SEVERITY_DEBUG: u32 = 1;
/// Severity of an event, and level of a log line: ordinary.
pub const VMSF_SEVERITY_INFO: u32 = 2;
/// Severity of an event, and level of a log line: worth a look.
pub const VMSF_SEVERITY_WARNING: u32 = 3;
/// Severity of an event, and level of a log line: a person is needed.
pub const VMSF_SEVERITY_ALARM: u32 = 4;

/// Operation kind: run with this server's settings and record to the store folder.
pub const VMSF_OP_TAKEOVER: u32 = 1;
/// Operation kind: give the server its role back.
pub const VMSF_OP_RESTORE: u32 = 2;
/// Operation kind: write the server's settings archive into the file that the request names.
pub const VMSF_OP_BACKUP: u32 = 3;
/// Operation kind: log in on the server with the secret, which is credentials, and answer with a token.
pub const VMSF_OP_AUTHORIZE: u32 = 4;
/// Operation kind: revoke the token, which is the secret; it is forgotten when the answer is VMSF_OUTCOME_OK.
pub const VMSF_OP_DEAUTHORIZE: u32 = 5;
/// Operation kind: join the cluster through the management server that the request names.
pub const VMSF_OP_JOIN_CLUSTER: u32 = 6;
/// Operation kind: look at a failed server on a second path. (Not begun yet.)
pub const VMSF_OP_PROBE: u32 = 7;
/// Operation kind: validate a backup without taking over. (Not begun yet.)
pub const VMSF_OP_DRILL: u32 = 8;

/// Outcome of an operation: done.
pub const VMSF_OUTCOME_OK: u32 = 0;
/// Outcome of an operation: not done, and undone.
pub const VMSF_OUTCOME_FAILED: u32 = 1;
/// Outcome of an operation: the host does not know it.
pub const VMSF_OUTCOME_UNSUPPORTED: u32 = 2;

/// Who the plugin is. Static: valid as long as the library is loaded.
#[repr(C)]
#[cfg_attr(feature = "checked", derive(checked::StableAbi))]
#[derive(Clone, Copy)]
pub struct vmsf_info {
    /// Size of this struct as the plugin knows it.
    pub struct_size: u32,
    /// Highest `"schema"` of a configuration that the plugin reads.
    pub config_schema: u32,
    /// `"schema"` of the status that the plugin writes.
    pub status_schema: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Stable id, never translated.
    pub id: *const c_char,
    /// Name for people.
    pub name: *const c_char,
    /// Version, semver.
    pub version: *const c_char,
    /// What was built: profile, target.
    pub build: *const c_char,
}

/// What host and plugin tell each other first. Frozen for ever.
#[repr(C)]
#[cfg_attr(feature = "checked", derive(checked::StableAbi))]
#[derive(Clone, Copy)]
pub struct vmsf_handshake {
    /// In: size of this struct as the host knows it.
    pub struct_size: u32,
    /// In: lowest major that the host speaks.
    pub abi_min: u32,
    /// In: highest major that the host speaks.
    pub abi_max: u32,
    /// Out: the major chosen; 0 when refused.
    pub abi_chosen: u32,
    /// Out: the minor of the plugin, for people.
    pub abi_minor: u32,
    /// In: 0. Out: VMSF_PLUGIN_RESIDENT.
    pub flags: u32,
    /// Out: who the plugin is; also when refused.
    pub info: *const vmsf_info,
    /// Out: the table of the chosen major; NULL when refused.
    pub api: *const vmsf_api,
}

/// The entry function: negotiates (rule 1).
/// [static]
/// Errors: VMSF_ERR_INVALID NULL, a struct too small, flags. VMSF_ERR_ABI no common major; `info` is filled in all the
/// same.
/// Since: the handshake, which no major changes.
pub type vmsf_entry_fn = unsafe extern "C" fn(io: *mut vmsf_handshake) -> vmsf_result;

/// What the plugin reports to the host. Lives until the callback returns.
#[repr(C)]
#[cfg_attr(feature = "checked", derive(checked::StableAbi))]
#[derive(Clone, Copy)]
pub struct vmsf_event {
    /// Size of this struct as the plugin knows it.
    pub struct_size: u32,
    /// One of VMSF_EVENT_...; the host MUST ignore kinds it does not know.
    pub kind: u32,
    /// One of VMSF_SEVERITY_...
    pub severity: u32,
    /// Reserved: 0.
    pub flags: u32,
    /// Number of the log entry: one more than the event before.
    pub seq: u64,
    /// When, on the host's monotonic clock.
    pub mono_ns: u64,
    /// When, in ms since 1970-01-01T00:00:00Z.
    pub utc_ms: i64,
    /// The server concerned, or 0.
    pub server: vmsf_server,
    /// The log entry as JSON, see the top of this file.
    pub json: *const c_char,
    /// Bytes of `json` without the NUL.
    pub json_len: usize,
    /// Reserved: 0.
    pub reserved: [u64; 2],
}

/// Work that the plugin asks of the host. Lives until the callback returns.
#[repr(C)]
#[cfg_attr(feature = "checked", derive(checked::StableAbi))]
#[derive(Clone, Copy)]
pub struct vmsf_operation {
    /// Size of this struct as the plugin knows it.
    pub struct_size: u32,
    /// One of VMSF_OP_...; what the host does not know it MUST complete with VMSF_OUTCOME_UNSUPPORTED.
    pub kind: u32,
    /// 0 or VMSF_OP_RESUMED.
    pub flags: u32,
    /// Failed attempts before this one.
    pub attempt: u32,
    /// Its id, for `complete` and `progress`.
    pub id: u64,
    /// When the plugin gives it up, on the host's monotonic clock.
    pub deadline_ns: u64,
    /// The server concerned; 0 for VMSF_OP_JOIN_CLUSTER.
    pub server: vmsf_server,
    /// The request as JSON, see the top of this file.
    pub json: *const c_char,
    /// Bytes of `json` without the NUL.
    pub json_len: usize,
    /// Credentials or token, see the top of this file; NULL where there is none. Zeroized after the callback.
    pub secret: *const u8,
    /// Bytes of `secret`.
    pub secret_len: usize,
    /// Reserved: 0.
    pub reserved: [u64; 2],
}

/// What the host gives the plugin in `create`; copied there. The functions MUST stay callable until `release`.
#[repr(C)]
#[cfg_attr(feature = "checked", derive(checked::StableAbi))]
#[derive(Clone, Copy)]
pub struct vmsf_host {
    /// Size of this struct as the host knows it.
    pub struct_size: u32,
    /// 0 or VMSF_HOST_DRIVES.
    pub flags: u32,
    /// Handed to every callback; never looked at. May be NULL.
    pub ctx: *mut c_void,
    /// Name of the host, for logs; NUL-terminated UTF-8. Required.
    pub name: *const c_char,
    /// Version of the host, for logs; NUL-terminated UTF-8. Required.
    pub version: *const c_char,
    /// A line of the plugin's diagnostic log, at most 1,024 bytes, control characters escaped. Required.
    /// From any thread; what is logged on a thread inside it is dropped and counted. `level` is one of
    /// VMSF_SEVERITY_...
    /// [callback]
    /// Since: major 1.
    pub log: Option<
        unsafe extern "C" fn(ctx: *mut c_void, level: u32, target: *const c_char, text: *const c_char, len: usize),
    >,
    /// The lowest level wanted (VMSF_SEVERITY_...). Optional: NULL wants all. From any thread.
    /// [callback]
    /// Since: major 1.
    pub log_level: Option<unsafe extern "C" fn(ctx: *mut c_void) -> u32>,
    /// A log entry, change or alarm. Required. In `seq` order, one at a time with `begin`.
    /// [callback]
    /// Since: major 1.
    pub event: Option<unsafe extern "C" fn(ctx: *mut c_void, event: *const vmsf_event)>,
    /// Do this, then call `complete`, from here or later from any thread. Required.
    /// [callback]
    /// Since: major 1.
    pub begin: Option<unsafe extern "C" fn(ctx: *mut c_void, operation: *const vmsf_operation)>,
    /// Call `poll` at `next_ns` (0 = now) instead of later. Required with VMSF_HOST_DRIVES, else NULL. On the
    /// thread of the call that brings the work, at most once until the next `poll`; MUST only signal and call nothing.
    /// [callback]
    /// Since: major 1.
    pub wake: Option<unsafe extern "C" fn(ctx: *mut c_void, next_ns: u64)>,
    /// The last call for `ctx`, from `destroy`. Optional.
    /// [callback]
    /// Since: major 1.
    pub release: Option<unsafe extern "C" fn(ctx: *mut c_void)>,
    /// An extension table of the host (VMSF_EXT_...), or NULL. Optional. Asked only inside `create`, once for each id.
    /// [callback]
    /// Since: major 1.
    pub get_extension: Option<unsafe extern "C" fn(ctx: *mut c_void, id: *const c_char) -> *const c_void>,
    /// Reserved: 0.
    pub reserved: [u64; 2],
}

/// The extension VMSF_EXT_SECRETS: the host keeps the tokens of the monitored servers, in a vault of the system for one.
/// `get_extension` of `vmsf_host` is asked for it once, inside `create`, and gives this table or NULL; the table is
/// copied, so it need not outlive `create`. All three functions are required; `ctx` is that of `vmsf_host`, borrowed
/// until `release`.
///
/// The functions come one at a time, on the plugin's file worker or inside `poll`, with no lock held, beside `event` and
/// `begin`. They MAY block, and SHOULD NOT for long: no deadline and no callback waits for them (with VMSF_HOST_DRIVES
/// `poll` does), but each other does, and so does the search for a backup before a takeover. From
/// inside them the same members may be called as from other callbacks. The host MUST keep a token across starts of the
/// plugin, for each state directory apart; `server_id` is unique in one. A result below 0 is a failure, of which the
/// plugin shows the name; a number that is no result code counts as one, too.
#[repr(C)]
#[cfg_attr(feature = "checked", derive(checked::StableAbi))]
#[derive(Clone, Copy)]
pub struct vmsf_secrets {
    /// Size of this struct as the host knows it.
    pub struct_size: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Keeps the token of a server, in the place of the one it had. VMSF_OK MUST mean that it outlives a power loss.
    /// On the plugin's file worker, or inside `poll`; MAY block.
    /// [callback]
    /// Memory: id and token live until the function returns; the plugin wipes the token then, the host MUST wipe every
    /// copy of its own but the kept one.
    /// Errors: any VMSF_ERR_...; then the token that was there MUST be there still. The operation fails.
    /// Since: vmsf.secrets/1.
    pub store: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            server_id: *const c_char,
            len: usize,
            secret: *const u8,
            secret_len: usize,
        ) -> vmsf_result,
    >,
    /// Gives the token of a server: writes it into `buf` and its length into `*secret_len`.
    /// On the plugin's file worker, or inside `poll`; MAY block.
    /// [callback]
    /// Memory: the host MUST NOT write behind `cap` bytes, which is room for every token. The plugin wipes `buf`.
    /// Errors: VMSF_ERR_NOT_FOUND there is none, which is an answer and no failure. VMSF_ERR_TOO_SMALL it has more than
    /// `cap` bytes: nothing is written but `*secret_len`. Any other VMSF_ERR_...; the operation fails.
    /// Since: vmsf.secrets/1.
    pub load: Option<
        unsafe extern "C" fn(
            ctx: *mut c_void,
            server_id: *const c_char,
            len: usize,
            buf: *mut u8,
            cap: usize,
            secret_len: *mut usize,
        ) -> vmsf_result,
    >,
    /// Deletes the token of a server. VMSF_OK MUST mean that a power loss does not bring it back.
    /// On the plugin's file worker, or inside `poll`; MAY block.
    /// [callback]
    /// Memory: the id lives until the function returns.
    /// Errors: VMSF_ERR_NOT_FOUND there is none, which is as good as VMSF_OK. Any other VMSF_ERR_...; the plugin MAY try
    /// again.
    /// Since: vmsf.secrets/1.
    pub remove: Option<unsafe extern "C" fn(ctx: *mut c_void, server_id: *const c_char, len: usize) -> vmsf_result>,
}

/// The table of major 1. Frozen: no member is ever added, moved or given another meaning.
///
/// Common errors, not repeated below: VMSF_ERR_HANDLE for a wrong handle, VMSF_ERR_INVALID for a NULL argument that is
/// not optional, VMSF_ERR_UTF8, VMSF_ERR_JSON and VMSF_ERR_LIMIT for texts, VMSF_ERR_POISONED and VMSF_ERR_PANIC
/// (rule 8). `json` of a call MAY be NULL with `len` 0, which is `{}`; where a call has an actor it is
/// `{"actor":"name"}`, 1 to 256 bytes, not "automatic"; without one it is "operator".
#[repr(C)]
#[cfg_attr(feature = "checked", derive(checked::StableAbi))]
#[derive(Clone, Copy)]
pub struct vmsf_api {
    /// Size of this table as the plugin knows it.
    pub struct_size: u32,
    /// Reserved: 0.
    pub reserved: u32,
    /// Creates an instance in state stopped. `options_json` is {"schema":1, "state_directory":path, "config":{...},
    /// "operations":["takeover",...], "durability":"full"}; without `config` the kept one is used. `err` gets the text of
    /// a failure (for faults of the configuration {"faults":[...]}, cut between faults), NUL-terminated; it MAY be NULL
    /// with `err_cap` 0.
    /// [control]
    /// Memory: `host` and the options are copied; `ctx` is borrowed until `release`, not at all on failure.
    /// Errors: VMSF_ERR_CONFIG faults, VMSF_ERR_IO state directory, VMSF_ERR_BUSY state directory in use,
    /// VMSF_ERR_STATE_DAMAGED a document in it cannot be used.
    /// Since: major 1.
    pub create: unsafe extern "C" fn(
        host: *const vmsf_host,
        options_json: *const c_char,
        len: usize,
        out: *mut vmsf_plugin,
        err: *mut c_char,
        err_cap: usize,
    ) -> vmsf_result,
    /// Starts monitoring; unless the host drives, starts four threads: the worker, which runs `event` and `begin`,
    /// one that writes the state, and two for files. Operations not answered before are begun again with
    /// VMSF_OP_RESUMED; servers seen before begin in `unknown` with a deadline.
    /// [control]
    /// Errors: VMSF_ERR_STATE unless stopped, VMSF_ERR_INTERNAL no thread to be had.
    /// Since: major 1.
    pub start: unsafe extern "C" fn(p: vmsf_plugin) -> vmsf_result,
    /// Stops monitoring: delivers what is queued, then joins the threads. Waits for callbacks under way, those of
    /// VMSF_EXT_SECRETS too, and for the piece of work that a thread for files has under way on the disk. No callback
    /// comes after it. Stopped already: VMSF_OK.
    /// [control]
    /// Errors: VMSF_ERR_TIMEOUT a callback, or the disk, did not return within `timeout_ms`; the stop stays in force,
    /// call it again.
    /// Since: major 1.
    pub stop: unsafe extern "C" fn(p: vmsf_plugin, timeout_ms: u32) -> vmsf_result,
    /// Ends the instance; its handles are stale from then on. Calls `release`.
    /// [control]
    /// Errors: VMSF_ERR_STATE unless stopped.
    /// Since: major 1.
    pub destroy: unsafe extern "C" fn(p: vmsf_plugin) -> vmsf_result,
    /// Replaces the configuration as a whole; `flags` is 0 or VMSF_DRY_RUN. `report` gets
    /// {"faults":[{"pointer","value","allowed","text"}]}, also with VMSF_ERR_CONFIG; it MAY be NULL with `cap` 0 and
    /// `report_len` NULL. A report that does not fit is empty; it never changes the result.
    /// [control]
    /// Errors: VMSF_ERR_CONFIG faults; the old configuration stays. VMSF_ERR_IO not kept, so not in force.
    /// Since: major 1.
    pub configure: unsafe extern "C" fn(
        p: vmsf_plugin,
        json: *const c_char,
        len: usize,
        flags: u32,
        report: *mut c_char,
        cap: usize,
        report_len: *mut usize,
    ) -> vmsf_result,
    /// Changes the configuration, all or nothing: {"set":{key:value}, "add":[server], "change":[{"id",...}],
    /// "remove":[id]}. In `set` an object (timeouts) is merged, null takes a key back to its default.
    /// [control]
    /// Errors: as `configure`; pointers are those of the resulting document, or of the edit where it cannot be applied.
    /// Since: major 1.
    pub edit: unsafe extern "C" fn(
        p: vmsf_plugin,
        json: *const c_char,
        len: usize,
        flags: u32,
        report: *mut c_char,
        cap: usize,
        report_len: *mut usize,
    ) -> vmsf_result,
    /// Moves time to `now_ns` (ns, monotonic) and `utc_ms` (ms since 1970), takes in what was called, runs the
    /// callbacks and says when to poll next. A spurious poll does no harm.
    /// [poll]
    /// Errors: VMSF_ERR_UNSUPPORTED without VMSF_HOST_DRIVES, VMSF_ERR_STATE unless running, VMSF_ERR_INVALID `now_ns`
    /// 0, VMSF_ERR_BUSY overlap.
    /// Since: major 1.
    pub poll: unsafe extern "C" fn(p: vmsf_plugin, now_ns: u64, utc_ms: i64, next_ns: *mut u64) -> vmsf_result,
    /// Reports an event of a monitored server. `mono_ns` is when it happened, 0 = now. The hot path.
    /// [any-thread]
    /// Errors: VMSF_ERR_UNSUPPORTED unknown kind, VMSF_ERR_STATE stopped, VMSF_ERR_BUSY list full (the newest stamp is
    /// kept, rule 12).
    /// Since: major 1.
    pub notify: unsafe extern "C" fn(p: vmsf_plugin, s: vmsf_server, event_kind: u32, mono_ns: u64) -> vmsf_result,
    /// The plugin's monotonic clock in ns; with VMSF_HOST_DRIVES the last poll's (0 before the first).
    /// [any-thread]
    /// Errors: none of its own.
    /// Since: major 1.
    pub now_ns: unsafe extern "C" fn(p: vmsf_plugin, now: *mut u64) -> vmsf_result,
    /// The handle of a monitored server by its id (case matters). It stays valid until the server is removed.
    /// [any-thread]
    /// Errors: VMSF_ERR_NOT_FOUND.
    /// Since: major 1.
    pub server:
        unsafe extern "C" fn(p: vmsf_plugin, id: *const c_char, len: usize, out: *mut vmsf_server) -> vmsf_result,
    /// The server after `s` in configuration order; 0 = the first.
    /// [any-thread]
    /// Errors: VMSF_ERR_NOT_FOUND there is none.
    /// Since: major 1.
    pub next_server: unsafe extern "C" fn(p: vmsf_plugin, s: vmsf_server, out: *mut vmsf_server) -> vmsf_result,
    /// The id of a monitored server, at most 64 bytes.
    /// [any-thread]
    /// Memory: text out, rule 3.
    /// Errors: VMSF_ERR_TOO_SMALL.
    /// Since: major 1.
    pub server_id: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        buf: *mut c_char,
        cap: usize,
        len: *mut usize,
    ) -> vmsf_result,
    /// The configuration in force, with every default written out.
    /// [any-thread]
    /// Memory: text out, rule 3.
    /// Errors: VMSF_ERR_TOO_SMALL.
    /// Since: major 1.
    pub config: unsafe extern "C" fn(p: vmsf_plugin, buf: *mut c_char, cap: usize, len: *mut usize) -> vmsf_result,
    /// The status of one server, or of all (`s` 0), in the JSON described at the top (include/schema/status.json).
    /// In worker mode it knows all that was reported before the call, with VMSF_HOST_DRIVES what the last poll took
    /// in.
    /// [any-thread]
    /// Memory: text out, rule 3. It may grow between two calls: on VMSF_ERR_TOO_SMALL give more and try again.
    /// Errors: VMSF_ERR_TOO_SMALL.
    /// Since: major 1.
    pub status: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        buf: *mut c_char,
        cap: usize,
        len: *mut usize,
    ) -> vmsf_result,
    /// Log entries from `since_seq` on (0: the oldest kept), at most `max_entries`, at most 10,000:
    /// {"first_seq", "last_seq", "next_seq", "entries":[...]}. The next page begins at `next_seq`; there is none when that
    /// is above `last_seq`. The newest 1,024 entries come from memory; a page that begins further back is read from disk.
    /// Also waits while entries are written.
    /// [any-thread]
    /// Memory: text out, rule 3.
    /// Errors: VMSF_ERR_TOO_SMALL, VMSF_ERR_IO an older page cannot be read.
    /// Since: major 1.
    pub log: unsafe extern "C" fn(
        p: vmsf_plugin,
        since_seq: u64,
        max_entries: u32,
        buf: *mut c_char,
        cap: usize,
        len: *mut usize,
    ) -> vmsf_result,
    /// Writes the recordings parameter, <key>=<server_communication.address><separator><host of the server>, into the
    /// text of a settings file of the monitored server (DivaServer.ini, SenseVideoManager.ini) and gives the new text.
    /// No other byte is touched, and twice is the same as once. `recordings_ini` of the configuration names section,
    /// key and separator. The first section of that name counts. A line is corrected only if it is certainly this
    /// failover server's; else one is added, at the end of the section, which is added itself if it is missing. With
    /// an empty separator the end of an address often cannot be told: then a line for an earlier address stays.
    /// In and out the text is bytes in whatever 8-bit encoding, not checked to be UTF-8 (a byte order mark of UTF-8 is
    /// kept), at most 64 KiB in. Reading and writing the file is the host's.
    /// [any-thread]
    /// Memory: text out, rule 3, as bytes.
    /// Errors: VMSF_ERR_TOO_SMALL. VMSF_ERR_LIMIT. VMSF_ERR_STATE the configuration has no recordings_ini or no
    /// server_communication; last_error names the key to set. VMSF_ERR_UTF8 the text is UTF-16 or holds a NUL, or it is
    /// not UTF-8 while section, key or separator have letters outside ASCII.
    /// Since: major 1.
    pub recordings_ini: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        ini_text: *const c_char,
        len: usize,
        buf: *mut c_char,
        cap: usize,
        out_len: *mut usize,
    ) -> vmsf_result,
    /// How far an operation is, 0 to 1000, with a text. Shown; moves no deadline.
    /// [any-thread]
    /// Errors: VMSF_ERR_NOT_FOUND no such operation runs, VMSF_ERR_INVALID permille above 1000, VMSF_ERR_STATE stopped.
    /// Since: major 1.
    pub progress:
        unsafe extern "C" fn(p: vmsf_plugin, op_id: u64, permille: u32, text: *const c_char, len: usize) -> vmsf_result,
    /// Code and text of the last error of this instance; VMSF_OK and "" before the first. `code` MAY be NULL.
    /// [any-thread]
    /// Memory: text out, rule 3.
    /// Errors: VMSF_ERR_TOO_SMALL.
    /// Since: major 1.
    pub last_error: unsafe extern "C" fn(
        p: vmsf_plugin,
        code: *mut vmsf_result,
        buf: *mut c_char,
        cap: usize,
        len: *mut usize,
    ) -> vmsf_result,
    /// Tells whether this failover server has joined the cluster (0 or 1). The last word is kept, over starts, too; before
    /// the first it counts as not joined. Until it has joined, takeovers and backups are refused; what has begun goes on.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_INVALID `joined`. VMSF_ERR_IO not on disk, so not taken in.
    /// Since: major 1.
    pub cluster: unsafe extern "C" fn(p: vmsf_plugin, joined: u32, json: *const c_char, len: usize) -> vmsf_result,
    /// Joins the cluster through the management server: the host is asked by VMSF_OP_JOIN_CLUSTER, and its
    /// VMSF_OUTCOME_OK is as good as `cluster(1)`. `json` is {"host", "port":443?, "actor"?}. The secret is the
    /// credentials for it, if it needs any. Cut off by a stop or a kill it ends as `interrupted`. `*req` as for
    /// `takeover`.
    /// [any-thread, disk]
    /// Memory: the secret is copied once and zeroized.
    /// Errors: VMSF_ERR_JSON no such host or port, VMSF_ERR_BUSY it is being joined already, VMSF_ERR_STATE stopped,
    /// VMSF_ERR_UNSUPPORTED not among the `operations` of create, VMSF_ERR_LIMIT secret. VMSF_ERR_IO as for `cluster`.
    /// Since: major 1.
    pub join_cluster: unsafe extern "C" fn(
        p: vmsf_plugin,
        json: *const c_char,
        len: usize,
        secret: *const u8,
        secret_len: usize,
        req: *mut u64,
    ) -> vmsf_result,
    /// Authorizes this failover server at a monitored server: the secret, administrator credentials, is handed to the host
    /// in VMSF_OP_AUTHORIZE and forgotten; the host answers with a token, which takes the place of the one before. Cut off
    /// by a stop or a kill it ends as `interrupted`, and has to be called again. `*req` as for `takeover`.
    /// [any-thread, disk]
    /// Memory: the secret is copied once and zeroized.
    /// Errors: VMSF_ERR_INVALID no secret, VMSF_ERR_BUSY another operation of this server runs, VMSF_ERR_STATE it is being
    /// taken over or restored, or stopped, VMSF_ERR_UNSUPPORTED not among the `operations` of create, VMSF_ERR_LIMIT
    /// secret. VMSF_ERR_IO as for `cluster`.
    /// Since: major 1.
    pub authorize: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        json: *const c_char,
        len: usize,
        secret: *const u8,
        secret_len: usize,
        req: *mut u64,
    ) -> vmsf_result,
    /// Has the host revoke the token of a monitored server (VMSF_OP_DEAUTHORIZE) and deletes it; where the host fails, the
    /// token stays. Without that among the `operations` of create it is deleted here alone. While stopped it is accepted,
    /// and the host asked at the next start. `*req` as for `takeover`.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_NOT_AUTHORIZED there is no token, VMSF_ERR_BUSY another operation of this server runs,
    /// VMSF_ERR_STATE its takeover state is neither none nor queued. VMSF_ERR_IO as for `cluster`.
    /// Since: major 1.
    pub deauthorize: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        json: *const c_char,
        len: usize,
        req: *mut u64,
    ) -> vmsf_result,
    /// Backs up the settings of one server (VMSF_OP_BACKUP), or of all (`s` 0), one after another, without those that are
    /// failed, taken over or not authorized when their turn comes. What the host writes is published as
    /// <backup_directory>/<server id>/<UTC>-<number>.backup with a manifest beside it. `*req` as for `takeover`.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_NOT_IN_CLUSTER, VMSF_ERR_NOT_AUTHORIZED, VMSF_ERR_BUSY another operation of this server runs; for
    /// all: a run by hand is under way (a daily one is not in the way). VMSF_ERR_STATE it is being taken over, or about to
    /// be, or restored, or stopped, VMSF_ERR_UNSUPPORTED not among the `operations` of create. VMSF_ERR_IO as for
    /// `cluster`.
    /// Since: major 1.
    pub backup: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        json: *const c_char,
        len: usize,
        req: *mut u64,
    ) -> vmsf_result,
    /// Takes a server over by hand, whatever its health. `*req` is what everything that follows carries as "request";
    /// `req` MAY be NULL. A backup, authorize or deauthorize of this server that runs is superseded.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_STATE the slot is held by another server, this one is neither in none nor queued, or stopped;
    /// VMSF_ERR_NOT_IN_CLUSTER, VMSF_ERR_NOT_AUTHORIZED, VMSF_ERR_NO_BACKUP blocked. VMSF_ERR_IO as for `cluster`.
    /// Since: major 1.
    pub takeover: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        json: *const c_char,
        len: usize,
        req: *mut u64,
    ) -> vmsf_result,
    /// Restores a taken over server by hand, whatever its health. `*req` as for `takeover`.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_STATE unless taken_over, or stopped. VMSF_ERR_BUSY another operation of this server runs.
    /// VMSF_ERR_IO as for `cluster`.
    /// Since: major 1.
    pub restore: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        json: *const c_char,
        len: usize,
        req: *mut u64,
    ) -> vmsf_result,
    /// Takes a queued server out of the queue, for this failure only.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_STATE unless queued. VMSF_ERR_IO as for `cluster`.
    /// Since: major 1.
    pub cancel: unsafe extern "C" fn(p: vmsf_plugin, s: vmsf_server, json: *const c_char, len: usize) -> vmsf_result,
    /// Holds the takeover of a server until a UTC time.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_INVALID.
    /// Not yet: VMSF_ERR_UNSUPPORTED.
    /// Since: major 1.
    pub maintenance:
        unsafe extern "C" fn(p: vmsf_plugin, s: vmsf_server, json: *const c_char, len: usize) -> vmsf_result,
    /// Runs the whole takeover check of a server without taking it over.
    /// [any-thread, disk]
    /// Errors: VMSF_ERR_STATE, VMSF_ERR_BUSY.
    /// Not yet: VMSF_ERR_UNSUPPORTED.
    /// Since: major 1.
    pub drill: unsafe extern "C" fn(
        p: vmsf_plugin,
        s: vmsf_server,
        json: *const c_char,
        len: usize,
        req: *mut u64,
    ) -> vmsf_result,
    /// The host's answer to `begin`. `outcome` is one of VMSF_OUTCOME_...; `json` {"error":"text"} says why it failed;
    /// `secret` is the token that an `authorize` brings, and its VMSF_OUTCOME_OK without one is a failure. A backup is
    /// checked and published after its VMSF_OUTCOME_OK, and may still fail.
    /// [any-thread, disk]
    /// Memory: the secret is copied once; what is not kept is zeroized.
    /// Errors: VMSF_ERR_NOT_FOUND no such operation runs: answered already, or given up (rule 9). VMSF_ERR_INVALID
    /// outcome, or a secret to anything but an `authorize`. VMSF_ERR_LIMIT a secret of more than 4 KiB, VMSF_ERR_INVALID
    /// one that is NULL with a length: an `authorize` answered with VMSF_OUTCOME_OK has failed by that; any other answer
    /// is not taken, answer again. VMSF_ERR_STATE stopped. VMSF_ERR_IO not on disk, so not taken: answer again.
    /// Since: major 1.
    pub complete: unsafe extern "C" fn(
        p: vmsf_plugin,
        op_id: u64,
        outcome: u32,
        json: *const c_char,
        len: usize,
        secret: *const u8,
        secret_len: usize,
    ) -> vmsf_result,
    /// The name of a result code, such as "VMSF_ERR_STATE"; "VMSF_ERR_?" for a number that is none.
    /// [static]
    /// Memory: a static string, never NULL.
    /// Since: major 1.
    pub result_name: unsafe extern "C" fn(code: vmsf_result) -> *const c_char,
    /// An extension table of the plugin, or NULL.
    /// [static]
    /// Memory: a static table.
    /// Since: major 1.
    pub get_extension: unsafe extern "C" fn(id: *const c_char) -> *const c_void,
}
