//! The table that the host is given: `api`'s, with a look at whether calls are traced in front of each member.
//!
//! Static members have no state and are not traced. What the host's pointers lead to is read once the call has been made, and only where the call
//! itself has read or written there. No policy.

use std::ffi::c_char;

use vms_failover_abi as abi;
use vms_failover_abi::{vmsf_plugin, vmsf_result, vmsf_server};

use super::api;
use super::instance::{self, Instance};
use super::text::JSON_MAX;
use super::trace::{self, Line, Opened};
use crate::diagnostics;
use crate::secret;

/// Shorter secrets stand in many a text by chance.
const SECRET_MIN: usize = 6;

/// The table of major 1.
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
    result_name: api::API.result_name,
    get_extension: api::API.get_extension,
};

/// A member that is traced: its arguments, and what is said of them besides the result.
macro_rules! member {
    ($name:ident($p:ident: vmsf_plugin $(, $arg:ident: $type:ty)* $(,)?), |$line:ident, $code:ident| $write:expr) => {
        unsafe extern "C" fn $name($p: vmsf_plugin $(, $arg: $type)*) -> vmsf_result {
            // SAFETY: what the host vouches for goes on as it is (rule 3).
            let run = || unsafe { (api::API.$name)($p $(, $arg)*) };
            if trace::is_on() { trace::call(stringify!($name), $p, run, |$line, $code| _ = $write) } else { run() }
        }
    };
}

/// What the call has written there, if it went well.
fn given<T: Copy>(from: *const T, code: vmsf_result) -> Option<T> {
    if code != abi::VMSF_OK || from.is_null() {
        return None;
    }
    // SAFETY: not NULL, and the plugin has just written there; it need not be aligned (rule 3).
    Some(unsafe { from.read_unaligned() })
}

/// The length that a call has written, which it does for two results.
fn len_of(from: *const usize, code: vmsf_result) -> usize {
    let is_written = matches!(code, abi::VMSF_OK | abi::VMSF_ERR_TOO_SMALL);
    given(from, if is_written { abi::VMSF_OK } else { code }).unwrap_or(0)
}

/// Whether the secret of a call stands in its JSON: looked at only where the call was not refused for what lies there.
fn is_in_json(json: *const c_char, len: usize, secret: *const u8, secret_len: usize, code: vmsf_result) -> bool {
    let is_read = matches!(code, abi::VMSF_OK | abi::VMSF_ERR_JSON | abi::VMSF_ERR_NOT_FOUND | abi::VMSF_ERR_STATE);
    let fits = len <= JSON_MAX && (SECRET_MIN..=secret::MAX.min(len)).contains(&secret_len);
    if !is_read || !fits || json.is_null() || secret.is_null() {
        return false;
    }
    // SAFETY: not NULL, and the host vouches for both until the call returns, which it has not yet (rule 3).
    let json = unsafe { std::slice::from_raw_parts(json.cast::<u8>(), len) };
    // SAFETY: as above (rule 3).
    let secret = unsafe { std::slice::from_raw_parts(secret, secret_len) };
    json.windows(secret_len).any(|window| window == secret)
}

/// What every call with a secret says of it.
fn say_secret(
    line: &mut Line,
    (json, len): (*const c_char, usize),
    (secret, secret_len): (*const u8, usize),
    code: i32,
) {
    line.number("json_len", len).number("secret_len", secret_len);
    if is_in_json(json, len, secret, secret_len, code) {
        line.number("secret_in_json", true);
    }
}

fn say_request(line: &mut Line, req: *const u64, code: vmsf_result) {
    if let Some(request) = given(req, code) {
        line.number("request", request);
    }
}

/// Says something in the host's log, on behalf of this instance.
fn say(p: vmsf_plugin, say: impl FnOnce()) {
    let Some(instance) = instance::get(p) else { return };
    let Instance { host, .. } = &*instance;
    let _log = diagnostics::enter(std::sync::Arc::clone(host) as _);
    say();
}

unsafe extern "C" fn create(
    host: *const abi::vmsf_host,
    options_json: *const c_char,
    len: usize,
    out: *mut vmsf_plugin,
    err: *mut c_char,
    err_cap: usize,
) -> vmsf_result {
    // SAFETY: what the host vouches for goes on as it is (rules 2 and 3).
    let run = || unsafe { (api::API.create)(host, options_json, len, out, err, err_cap) };
    let opened = trace::creating();
    let code = if trace::is_on() {
        trace::call("create", 0, run, |line, code| {
            line.number("options_len", len);
            let Some(plugin) = given(out, code) else { return };
            line.handle("plugin", plugin);
            if let Some(instance) = instance::get(plugin) {
                line.text("host", &instance.host.title()).number("drives", instance.host.drives());
            }
        })
    } else {
        run()
    };
    let plugin = given(out, code).unwrap_or(0);
    match opened {
        Opened::Nothing => {}
        Opened::To(path) => say(plugin, || log::info!("the calls of this process are traced in {}", path.display())),
        Opened::Failed(why) => {
            say(plugin, || log::warn!("VMSF_TRACE: nothing is traced: {why}; name a file that can be written"));
        }
    }
    trace::created(plugin);
    code
}

unsafe extern "C" fn destroy(p: vmsf_plugin) -> vmsf_result {
    // SAFETY: handles are checked (rule 4).
    let run = || unsafe { (api::API.destroy)(p) };
    if !trace::is_on() {
        return run();
    }
    let code = trace::call("destroy", p, run, |_, _| ());
    if code == abi::VMSF_OK {
        trace::destroyed(p);
    }
    code
}

unsafe extern "C" fn stop(p: vmsf_plugin, timeout_ms: u32) -> vmsf_result {
    // SAFETY: handles are checked (rule 4).
    let run = || unsafe { (api::API.stop)(p, timeout_ms) };
    if !trace::is_on() {
        return run();
    }
    if let Some(why) = trace::failure() {
        say(p, || log::warn!("VMSF_TRACE: {why}"));
    }
    trace::call("stop", p, run, |line, _| _ = line.number("timeout_ms", timeout_ms))
}

unsafe extern "C" fn notify(p: vmsf_plugin, s: vmsf_server, event_kind: u32, mono_ns: u64) -> vmsf_result {
    if trace::is_on() {
        return traced_notify(p, s, event_kind, mono_ns);
    }
    // SAFETY: handles are checked (rule 4).
    unsafe { api::notify(p, s, event_kind, mono_ns) }
}

#[cold]
fn traced_notify(p: vmsf_plugin, s: vmsf_server, event_kind: u32, mono_ns: u64) -> vmsf_result {
    // SAFETY: handles are checked (rule 4).
    trace::notify(p, s, event_kind, mono_ns, || unsafe { api::notify(p, s, event_kind, mono_ns) })
}

member!(start(p: vmsf_plugin), |_line, _code| ());
member!(
    configure(p: vmsf_plugin, json: *const c_char, len: usize, flags: u32, report: *mut c_char, cap: usize, report_len: *mut usize),
    |line, code| line.number("json_len", len).number("flags", flags).number("len", given(report_len, code).unwrap_or(0))
);
member!(
    edit(p: vmsf_plugin, json: *const c_char, len: usize, flags: u32, report: *mut c_char, cap: usize, report_len: *mut usize),
    |line, code| line.number("json_len", len).number("flags", flags).number("len", given(report_len, code).unwrap_or(0))
);
member!(poll(p: vmsf_plugin, now_ns: u64, utc_ms: i64, next_ns: *mut u64), |line, code| {
    line.number("now_ns", now_ns).number("utc_ms", utc_ms);
    given(next_ns, code).map(|next| line.number("next_ns", next))
});
member!(now_ns(p: vmsf_plugin, now: *mut u64), |line, code| given(now, code).map(|now| line.number("now_ns", now)));
member!(server(p: vmsf_plugin, id: *const c_char, len: usize, out: *mut vmsf_server), |line, code| {
    line.number("json_len", len);
    given(out, code).map(|server| line.handle("server", server))
});
member!(next_server(p: vmsf_plugin, s: vmsf_server, out: *mut vmsf_server), |line, code| {
    line.handle("server", s);
    given(out, code).map(|server| line.handle("next", server))
});
member!(server_id(p: vmsf_plugin, s: vmsf_server, buf: *mut c_char, cap: usize, len: *mut usize), |line, code| {
    line.handle("server", s).number("cap", cap).number("len", len_of(len, code))
});
member!(config(p: vmsf_plugin, buf: *mut c_char, cap: usize, len: *mut usize), |line, code| {
    line.number("cap", cap).number("len", len_of(len, code))
});
member!(status(p: vmsf_plugin, s: vmsf_server, buf: *mut c_char, cap: usize, len: *mut usize), |line, code| {
    line.handle("server", s).number("cap", cap).number("len", len_of(len, code))
});
member!(
    log(p: vmsf_plugin, since_seq: u64, max_entries: u32, buf: *mut c_char, cap: usize, len: *mut usize),
    |line, code| line.number("seq", since_seq).number("entries", max_entries).number("cap", cap).number("len", len_of(len, code))
);
member!(
    recordings_ini(p: vmsf_plugin, s: vmsf_server, ini: *const c_char, len: usize, buf: *mut c_char, cap: usize, out: *mut usize),
    |line, code| line.handle("server", s).number("json_len", len).number("cap", cap).number("len", len_of(out, code))
);
member!(progress(p: vmsf_plugin, op_id: u64, permille: u32, text: *const c_char, len: usize), |line, _code| {
    line.number("op", op_id).number("permille", permille).number("json_len", len)
});
member!(
    last_error(p: vmsf_plugin, last: *mut vmsf_result, buf: *mut c_char, cap: usize, len: *mut usize),
    |line, code| line.number("cap", cap).number("len", len_of(len, code))
);
member!(cluster(p: vmsf_plugin, joined: u32, json: *const c_char, len: usize), |line, _code| {
    line.number("joined", joined).number("json_len", len)
});
member!(
    join_cluster(p: vmsf_plugin, json: *const c_char, len: usize, secret: *const u8, secret_len: usize, req: *mut u64),
    |line, code| {
        say_secret(line, (json, len), (secret, secret_len), code);
        say_request(line, req, code);
    }
);
member!(
    authorize(p: vmsf_plugin, s: vmsf_server, json: *const c_char, len: usize, secret: *const u8, secret_len: usize, req: *mut u64),
    |line, code| {
        line.handle("server", s);
        say_secret(line, (json, len), (secret, secret_len), code);
        say_request(line, req, code);
    }
);
member!(
    complete(p: vmsf_plugin, op_id: u64, outcome: u32, json: *const c_char, len: usize, secret: *const u8, secret_len: usize),
    |line, code| {
        line.number("op", op_id).number("outcome", outcome);
        say_secret(line, (json, len), (secret, secret_len), code);
    }
);
member!(cancel(p: vmsf_plugin, s: vmsf_server, json: *const c_char, len: usize), |line, _code| {
    line.handle("server", s).number("json_len", len)
});
member!(maintenance(p: vmsf_plugin, s: vmsf_server, json: *const c_char, len: usize), |line, _code| {
    line.handle("server", s).number("json_len", len)
});

/// A member that begins something on a server, or on all.
macro_rules! beginning {
    ($($name:ident),*) => {
        $(member!(
            $name(p: vmsf_plugin, s: vmsf_server, json: *const c_char, len: usize, req: *mut u64),
            |line, code| {
                line.handle("server", s).number("json_len", len);
                say_request(line, req, code);
            }
        );)*
    };
}
beginning!(deauthorize, backup, takeover, restore, drill);
