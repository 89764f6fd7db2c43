//! The functions of the table: each reads its arguments, calls one method of `runtime`, and writes what comes back.
//!
//! No policy here. Every body runs inside `guard::call`, so that handles, threads and panics are dealt with in one place. A wrong handle of a
//! server is said before anything else that is wrong.

use std::ffi::{c_char, c_void};
use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use vms_failover_abi as abi;
use vms_failover_abi::{vmsf_plugin, vmsf_result, vmsf_server};

use super::guard::{self, Class};
use super::host::{HostTable, Inside, inside};
use super::instance::{self, Instance};
use super::{options, os, text};
use crate::config::{self, Fault};
use crate::diagnostics;
use crate::engine::health::EventKind;
use crate::engine::output::Outcome;
use crate::error::{self, Error};
use crate::runtime::Answer;
use crate::runtime::configure::Rejected;
use crate::runtime::life_signs;
use crate::time::Mono;

/// The table of major 1, before tracing: see `traced`.
pub static API: abi::vmsf_api = abi::vmsf_api {
    struct_size: size_of::<abi::vmsf_api>() as u32,
    reserved: 0,
    create,
    start,
    stop,
    destroy,
    configure,
    edit,
    poll,
    notify,
    now_ns,
    server,
    next_server,
    server_id,
    config,
    status,
    log,
    recordings_ini,
    progress,
    last_error,
    cluster,
    join_cluster,
    authorize,
    deauthorize,
    backup,
    takeover,
    restore,
    cancel,
    maintenance,
    drill,
    complete,
    result_name,
    get_extension,
};

const ACTOR_MAX: usize = 256;
/// Instead of a handle, where a member has that.
const ALL_SERVERS: vmsf_server = 0;
/// Of a call that nothing follows from which could name it.
const NO_REQUEST: u64 = 0;
/// The management server's port in the product.
const MANAGEMENT_PORT: u64 = 443;

/// What most calls may say about themselves.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct By {
    actor: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct Join {
    host: Option<String>,
    port: Option<u64>,
    actor: Option<String>,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct AnswerWords {
    error: Option<String>,
}

unsafe extern "C" fn create(
    host: *const abi::vmsf_host,
    options_json: *const c_char,
    len: usize,
    out: *mut vmsf_plugin,
    err: *mut c_char,
    err_cap: usize,
) -> vmsf_result {
    guard::without_instance(|| {
        // SAFETY: the host vouches for its arguments (rules 2 and 3).
        let result = unsafe { try_create(host, options_json, len, out) };
        let (code, text) = match result {
            Ok(()) => return abi::VMSF_OK,
            Err(Rejected::Error(error)) => (error.code, error::cut(error.text, err_cap.saturating_sub(1))),
            // Where not even an empty list fits, "" is written: half a JSON is none.
            Err(Rejected::Faults(faults)) => (abi::VMSF_ERR_CONFIG, report_cut(&faults, err_cap)),
        };
        if !err.is_null() {
            // SAFETY: not NULL, and the host vouches for `err_cap` bytes (rule 3).
            unsafe { text::fill(text.as_bytes(), err, err_cap) };
        }
        code
    })
}

/// # Safety
/// As `vmsf_api.create`.
unsafe fn try_create(
    host: *const abi::vmsf_host,
    options_json: *const c_char,
    len: usize,
    out: *mut vmsf_plugin,
) -> Result<(), Rejected> {
    if inside() != Inside::Nothing {
        return Err(guard::reentrant_error().into());
    }
    if out.is_null() {
        return Err(Error::null("out").into());
    }
    // SAFETY: the host vouches for it (rule 2).
    let host = Arc::new(unsafe { HostTable::read(host) }?);
    // SAFETY: the host vouches for it (rule 3).
    let options = unsafe { text::read("options", options_json, len, text::CONFIG_MAX) }?;
    os::stay_loaded().map_err(|error| {
        let text = format!("the system does not keep the library of the plugin loaded: {error}; try again");
        Error::new(abi::VMSF_ERR_INTERNAL, text)
    })?;
    diagnostics::install();
    let _log = diagnostics::enter(Arc::clone(&host) as _);
    let handle = instance::insert(options::create(host, options)?);
    // SAFETY: not NULL, and the host vouches for it (rule 3).
    unsafe { text::put("out", out, handle) }?;
    Ok(())
}

unsafe extern "C" fn start(p: vmsf_plugin) -> vmsf_result {
    guard::call(Class::Control, p, |instance| instance.runtime.start())
}

unsafe extern "C" fn stop(p: vmsf_plugin, timeout_ms: u32) -> vmsf_result {
    let timeout = Duration::from_millis(timeout_ms.into());
    guard::call(Class::Ending, p, |instance| instance.runtime.stop(timeout))
}

unsafe extern "C" fn destroy(p: vmsf_plugin) -> vmsf_result {
    guard::call(Class::Ending, p, |instance| {
        if !instance.runtime.is_stopped() {
            return Err(Error::new(abi::VMSF_ERR_STATE, "destroy is possible only in state stopped: stop first"));
        }
        instance.end();
        instance::remove(p);
        instance.runtime.close();
        instance.host.close();
        Ok(())
    })
}

unsafe extern "C" fn configure(
    p: vmsf_plugin,
    json: *const c_char,
    len: usize,
    flags: u32,
    report: *mut c_char,
    cap: usize,
    report_len: *mut usize,
) -> vmsf_result {
    guard::call(Class::Control, p, |instance| {
        let dry_run = dry_run(flags)?;
        text::check_room("report", report, cap)?;
        // SAFETY: the host vouches for it (rule 3).
        let json = unsafe { text::read("configuration", json, len, text::CONFIG_MAX) }?;
        let result = instance.runtime.configure(json.as_bytes(), dry_run);
        // SAFETY: the host vouches for it (rule 3).
        unsafe { write_report(result, report, cap, report_len) }
    })
}

unsafe extern "C" fn edit(
    p: vmsf_plugin,
    json: *const c_char,
    len: usize,
    flags: u32,
    report: *mut c_char,
    cap: usize,
    report_len: *mut usize,
) -> vmsf_result {
    guard::call(Class::Control, p, |instance| {
        let dry_run = dry_run(flags)?;
        text::check_room("report", report, cap)?;
        // SAFETY: the host vouches for it (rule 3).
        let json = unsafe { text::read("edit", json, len, text::EDIT_MAX) }?;
        let result = instance.runtime.edit(json.as_bytes(), dry_run);
        // SAFETY: the host vouches for it (rule 3).
        unsafe { write_report(result, report, cap, report_len) }
    })
}

fn dry_run(flags: u32) -> Result<bool, Error> {
    match flags & !abi::VMSF_DRY_RUN {
        0 => Ok(flags & abi::VMSF_DRY_RUN != 0),
        unknown => Err(Error::new(abi::VMSF_ERR_INVALID, format!("flags has unknown bits {unknown:#x}"))),
    }
}

/// # Safety
/// `report` is NULL or has `cap` writable bytes; `report_len` is NULL or one usize.
unsafe fn write_report(
    result: Result<(), Rejected>,
    report: *mut c_char,
    cap: usize,
    report_len: *mut usize,
) -> Result<(), Error> {
    let (faults, result) = match result {
        Ok(()) => (Vec::new(), Ok(())),
        Err(Rejected::Faults(faults)) => {
            let text = faults.iter().map(|fault| fault.text.as_str()).collect::<Vec<_>>().join("; ");
            (faults, Err(Error::new(abi::VMSF_ERR_CONFIG, text)))
        }
        Err(Rejected::Error(error)) => return Err(error),
    };
    // A report that does not fit is empty; the result stands whatever becomes of it.
    let text = report_of(&faults);
    if !report_len.is_null() {
        // SAFETY: not NULL, and the caller vouches for it (rule 3).
        unsafe { text::put("report_len", report_len, text.len()) }?;
    }
    if !report.is_null() {
        // SAFETY: not NULL, and the caller vouches for `cap` bytes (rule 3).
        unsafe { text::fill(text.as_bytes(), report, cap) };
    }
    result
}

fn report_of(faults: &[Fault]) -> String {
    json!({ "faults": faults }).to_string()
}

/// As many faults as fit; a binary search, since the report may be long.
fn report_cut(faults: &[Fault], cap: usize) -> String {
    let all: Vec<usize> = (1..=faults.len()).collect();
    let fit = all.partition_point(|count| report_of(&faults[..*count]).len() < cap);
    report_of(&faults[..fit])
}

unsafe extern "C" fn poll(p: vmsf_plugin, now_ns: u64, utc_ms: i64, next_ns: *mut u64) -> vmsf_result {
    guard::call(Class::Poll, p, |instance| {
        if next_ns.is_null() {
            return Err(Error::null("next_ns"));
        }
        let next = instance.runtime.poll(now_ns, utc_ms)?;
        // SAFETY: not NULL, and the host vouches for it (rule 3).
        unsafe { text::put("next_ns", next_ns, next) }
    })
}

/// See `vmsf_api.notify` in the header; called by name, since it is the hot path.
///
/// # Safety
/// None: handles are checked.
#[inline]
pub unsafe extern "C" fn notify(p: vmsf_plugin, s: vmsf_server, event_kind: u32, mono_ns: u64) -> vmsf_result {
    if event_kind == abi::VMSF_NOTIFY_KEEP_ALIVE && guard::hot(|| life_signs::keep_alive(p, s, mono_ns)) {
        return abi::VMSF_OK;
    }
    guard::call(Class::Hot, p, |instance| {
        let kind = EVENTS.iter().find(|(number, _)| *number == event_kind).map(|(_, kind)| *kind);
        let kind = kind.ok_or_else(|| Error::new(abi::VMSF_ERR_UNSUPPORTED, ""))?;
        instance.runtime.notify(s, kind, (mono_ns != 0).then_some(Mono(mono_ns)))
    })
}

const EVENTS: [(u32, EventKind); 6] = [
    (abi::VMSF_NOTIFY_CONNECTED, EventKind::Connected),
    (abi::VMSF_NOTIFY_DISCONNECTED, EventKind::Disconnected),
    (abi::VMSF_NOTIFY_STARTUP, EventKind::Startup),
    (abi::VMSF_NOTIFY_KEEP_ALIVE, EventKind::KeepAlive),
    (abi::VMSF_NOTIFY_SHUTDOWN_NORMAL, EventKind::ShutdownNormal),
    (abi::VMSF_NOTIFY_SHUTDOWN_ABNORMAL, EventKind::ShutdownAbnormal),
];

unsafe extern "C" fn now_ns(p: vmsf_plugin, now: *mut u64) -> vmsf_result {
    // SAFETY: the host vouches for `now` (rule 3).
    guard::call(Class::Reading, p, |instance| unsafe { text::put("now", now, instance.runtime.now_ns()) })
}

unsafe extern "C" fn server(p: vmsf_plugin, id: *const c_char, len: usize, out: *mut vmsf_server) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        // SAFETY: the host vouches for it (rule 3).
        let id = unsafe { text::read("id", id, len, text::ID_MAX) }?;
        let handle = instance.runtime.server(id)?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::put("out", out, handle) }
    })
}

unsafe extern "C" fn next_server(p: vmsf_plugin, s: vmsf_server, out: *mut vmsf_server) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        let handle = instance.runtime.next_server(s)?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::put("out", out, handle) }
    })
}

unsafe extern "C" fn server_id(
    p: vmsf_plugin,
    s: vmsf_server,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        let id = instance.runtime.server_id(s)?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::write(&id, buf, cap, len) }
    })
}

unsafe extern "C" fn config(p: vmsf_plugin, buf: *mut c_char, cap: usize, len: *mut usize) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        let json = instance.runtime.config().to_json();
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::write(&json, buf, cap, len) }
    })
}

unsafe extern "C" fn status(
    p: vmsf_plugin,
    s: vmsf_server,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> vmsf_result {
    guard::call(Class::Reading, p, |instance| {
        let status = instance.runtime.status(s)?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::write(&status, buf, cap, len) }
    })
}

unsafe extern "C" fn recordings_ini(
    p: vmsf_plugin,
    s: vmsf_server,
    ini_text: *const c_char,
    len: usize,
    buf: *mut c_char,
    cap: usize,
    out_len: *mut usize,
) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        instance.runtime.check_server(s)?;
        // SAFETY: the host vouches for it (rule 3).
        let ini = unsafe { text::read_bytes("ini_text", ini_text, len, text::INI_MAX) }?;
        let ini = instance.runtime.recordings_ini(s, ini)?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::write_bytes(&ini, buf, cap, out_len) }
    })
}

unsafe extern "C" fn progress(
    p: vmsf_plugin,
    op_id: u64,
    permille: u32,
    words: *const c_char,
    len: usize,
) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        if permille > 1000 {
            return Err(Error::new(abi::VMSF_ERR_INVALID, format!("permille is {permille}, allowed are 0 to 1000")));
        }
        // SAFETY: the host vouches for it (rule 3).
        let words = unsafe { text::read("text", words, len, text::JSON_MAX) }?;
        instance.runtime.progress(op_id, permille, words)
    })
}

unsafe extern "C" fn last_error(
    p: vmsf_plugin,
    code: *mut vmsf_result,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> vmsf_result {
    guard::call(Class::Reading, p, |instance| {
        let last = instance.last_error().unwrap_or(Error { code: abi::VMSF_OK, text: String::new() });
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::write(&last.text, buf, cap, len) }?;
        if code.is_null() {
            return Ok(());
        }
        // SAFETY: not NULL, and the host vouches for it (rule 3).
        unsafe { text::put("code", code, last.code) }
    })
}

unsafe extern "C" fn log(
    p: vmsf_plugin,
    since_seq: u64,
    max_entries: u32,
    buf: *mut c_char,
    cap: usize,
    len: *mut usize,
) -> vmsf_result {
    guard::call(Class::Reading, p, |instance| {
        let page = instance.runtime.log_page(since_seq, max_entries)?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { text::write(&page, buf, cap, len) }
    })
}

unsafe extern "C" fn takeover(
    p: vmsf_plugin,
    s: vmsf_server,
    json: *const c_char,
    len: usize,
    req: *mut u64,
) -> vmsf_result {
    // SAFETY: the host vouches for its arguments (rule 3).
    unsafe { operate(p, Some(s), json, len, req, |instance, actor| instance.runtime.takeover(s, actor)) }
}

unsafe extern "C" fn restore(
    p: vmsf_plugin,
    s: vmsf_server,
    json: *const c_char,
    len: usize,
    req: *mut u64,
) -> vmsf_result {
    // SAFETY: the host vouches for its arguments (rule 3).
    unsafe { operate(p, Some(s), json, len, req, |instance, actor| instance.runtime.restore(s, actor)) }
}

/// # Safety
/// `json` has `len` readable bytes or is NULL; `req` is NULL or one u64.
unsafe fn operate(
    p: vmsf_plugin,
    s: Option<vmsf_server>,
    json: *const c_char,
    len: usize,
    req: *mut u64,
    call: impl FnOnce(&Instance, String) -> Result<u64, Error>,
) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        s.map_or(Ok(()), |s| instance.runtime.check_server(s))?;
        // SAFETY: the caller vouches for it (rule 3).
        let actor = unsafe { read_actor(json, len) }?;
        let request = call(instance, actor)?;
        // SAFETY: the caller vouches for it (rule 3).
        unsafe { put_request(req, request) }
    })
}

/// # Safety
/// `req` is NULL or one u64.
unsafe fn put_request(req: *mut u64, request: u64) -> Result<(), Error> {
    if req.is_null() {
        return Ok(());
    }
    // SAFETY: not NULL, and the caller vouches for it (rule 3).
    unsafe { text::put("req", req, request) }
}

unsafe extern "C" fn cancel(p: vmsf_plugin, s: vmsf_server, json: *const c_char, len: usize) -> vmsf_result {
    let cancel = |instance: &Instance, actor| instance.runtime.cancel(s, actor).map(|()| NO_REQUEST);
    // SAFETY: the host vouches for its arguments (rule 3); it wants no request id.
    unsafe { operate(p, Some(s), json, len, std::ptr::null_mut(), cancel) }
}

unsafe extern "C" fn complete(
    p: vmsf_plugin,
    op_id: u64,
    outcome: u32,
    json: *const c_char,
    len: usize,
    secret: *const u8,
    secret_len: usize,
) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        // SAFETY: the host vouches for it (rule 3).
        let words: AnswerWords = unsafe { read_json(json, len) }?;
        let (outcome, error) = match outcome {
            abi::VMSF_OUTCOME_OK => (Outcome::Ok, None),
            abi::VMSF_OUTCOME_FAILED => {
                (Outcome::Failed, words.error.or_else(|| Some("the host gave no reason".into())))
            }
            abi::VMSF_OUTCOME_UNSUPPORTED => (Outcome::Failed, Some("the host does not know this operation".into())),
            other => {
                return Err(Error::new(abi::VMSF_ERR_INVALID, format!("outcome is {other}, allowed are 0, 1 and 2")));
            }
        };
        let error = error.map(|error| crate::log::host_words(&error));
        // SAFETY: the host vouches for it (rule 3).
        let token = unsafe { text::read_secret(secret, secret_len) };
        instance.runtime.complete(op_id, Answer { outcome, error, token })
    })
}

/// # Safety
/// `json` has `len` readable bytes or is NULL.
unsafe fn read_json<T: DeserializeOwned + Default>(json: *const c_char, len: usize) -> Result<T, Error> {
    // SAFETY: the caller vouches for it (rule 3).
    let json = unsafe { text::read("json", json, len, text::JSON_MAX) }?;
    if json.is_empty() {
        return Ok(T::default());
    }
    text::object("json", config::document(json.as_bytes()))
}

/// # Safety
/// `json` has `len` readable bytes or is NULL.
unsafe fn read_actor(json: *const c_char, len: usize) -> Result<String, Error> {
    // SAFETY: the caller vouches for it (rule 3).
    let by: By = unsafe { read_json(json, len) }?;
    checked_actor(by.actor)
}

fn checked_actor(actor: Option<String>) -> Result<String, Error> {
    let actor = actor.unwrap_or_else(|| "operator".into());
    if actor.is_empty() || actor.len() > ACTOR_MAX || actor == "automatic" || actor.contains(char::is_control) {
        let text =
            format!("json: actor must have 1 to {ACTOR_MAX} bytes, no control characters, and not be \"automatic\"");
        return Err(Error::new(abi::VMSF_ERR_JSON, text));
    }
    Ok(actor)
}

unsafe extern "C" fn result_name(code: vmsf_result) -> *const c_char {
    error::name_z(code).as_ptr().cast()
}

unsafe extern "C" fn get_extension(_id: *const c_char) -> *const c_void {
    std::ptr::null()
}

unsafe extern "C" fn cluster(p: vmsf_plugin, joined: u32, json: *const c_char, len: usize) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        if joined > 1 {
            return Err(Error::new(abi::VMSF_ERR_INVALID, format!("joined is {joined}, allowed are 0 and 1")));
        }
        // SAFETY: the host vouches for it (rule 3).
        let actor = unsafe { read_actor(json, len) }?;
        instance.runtime.cluster(joined == 1, actor)
    })
}

unsafe extern "C" fn join_cluster(
    p: vmsf_plugin,
    json: *const c_char,
    len: usize,
    secret: *const u8,
    secret_len: usize,
    req: *mut u64,
) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        // SAFETY: the host vouches for it (rule 3).
        let join: Join = unsafe { read_json(json, len) }?;
        let place = management_server(join.host, join.port)?;
        let actor = checked_actor(join.actor)?;
        // SAFETY: the host vouches for it (rule 3).
        let secret = unsafe { text::read_secret(secret, secret_len) }?;
        let request = instance.runtime.join_cluster(place, actor, secret)?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { put_request(req, request) }
    })
}

/// A host and a port under the rules of the configuration.
fn management_server(host: Option<String>, port: Option<u64>) -> Result<(String, u16), Error> {
    let json = |text: String| Error::new(abi::VMSF_ERR_JSON, format!("json: {text}"));
    let host = host.ok_or_else(|| json("host is missing: the management server's IP address or DNS name".into()))?;
    if !config::is_host(&host) {
        return Err(json(format!("host {host:?} is neither an IP address nor a DNS name")));
    }
    let port = port.unwrap_or(MANAGEMENT_PORT);
    let port = u16::try_from(port).ok().filter(|port| *port > 0);
    Ok((host, port.ok_or_else(|| json("port must be from 1 to 65535".into()))?))
}

unsafe extern "C" fn authorize(
    p: vmsf_plugin,
    s: vmsf_server,
    json: *const c_char,
    len: usize,
    secret: *const u8,
    secret_len: usize,
    req: *mut u64,
) -> vmsf_result {
    guard::call(Class::AnyThread, p, |instance| {
        instance.runtime.check_server(s)?;
        // SAFETY: the host vouches for it (rule 3).
        let actor = unsafe { read_actor(json, len) }?;
        // SAFETY: the host vouches for it (rule 3).
        let secret = unsafe { text::read_secret(secret, secret_len) }?;
        let secret =
            secret.ok_or_else(|| Error::new(abi::VMSF_ERR_INVALID, "secret is empty: give the credentials"))?;
        let request = instance.runtime.authorize(s, actor, Some(secret))?;
        // SAFETY: the host vouches for it (rule 3).
        unsafe { put_request(req, request) }
    })
}

unsafe extern "C" fn deauthorize(
    p: vmsf_plugin,
    s: vmsf_server,
    json: *const c_char,
    len: usize,
    req: *mut u64,
) -> vmsf_result {
    // SAFETY: the host vouches for its arguments (rule 3).
    unsafe { operate(p, Some(s), json, len, req, |instance, actor| instance.runtime.deauthorize(s, actor)) }
}

unsafe extern "C" fn backup(
    p: vmsf_plugin,
    s: vmsf_server,
    json: *const c_char,
    len: usize,
    req: *mut u64,
) -> vmsf_result {
    let one = (s != ALL_SERVERS).then_some(s);
    // SAFETY: the host vouches for its arguments (rule 3).
    unsafe { operate(p, one, json, len, req, |instance, actor| instance.runtime.backup(one, actor)) }
}

/// What later versions do.
fn unsupported(class: Class, p: vmsf_plugin, member: &str) -> vmsf_result {
    guard::call(class, p, |_| {
        Err(Error::new(abi::VMSF_ERR_UNSUPPORTED, format!("this version of the plugin does not do '{member}' yet")))
    })
}

unsafe extern "C" fn maintenance(p: vmsf_plugin, _: vmsf_server, _: *const c_char, _: usize) -> vmsf_result {
    unsupported(Class::AnyThread, p, "maintenance")
}

unsafe extern "C" fn drill(p: vmsf_plugin, _: vmsf_server, _: *const c_char, _: usize, _: *mut u64) -> vmsf_result {
    unsupported(Class::AnyThread, p, "drill")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_report_of_create_is_cut_between_faults() {
        let fault = |n: usize| Fault {
            pointer: format!("/{n}"),
            value: "1".into(),
            allowed: "2".into(),
            text: format!("/{n}: fault"),
        };
        let faults: Vec<Fault> = (0..50).map(fault).collect();
        for cap in [0, 20, 200, 1000, 100_000] {
            let report = report_cut(&faults, cap);
            let value: serde_json::Value = serde_json::from_str(&report).unwrap();
            assert!(report.len() < cap.max(14), "{cap}: {}", report.len());
            assert!(value["faults"].is_array());
        }
        assert_eq!(report_cut(&faults, 100_000), report_of(&faults));
    }

    #[test]
    fn an_unknown_event_kind_has_no_meaning() {
        assert_eq!(EVENTS.map(|(_, kind)| kind), EventKind::ALL);
    }
}
