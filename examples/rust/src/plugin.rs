//! The C ABI as safe Rust, as far as this host needs it: negotiation, an owner of an instance, the callbacks. All `unsafe` is here.

use std::ffi::{CStr, CString, c_char, c_void};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;
use std::sync::mpsc::{Receiver, Sender, channel};

use abi::{vmsf_api, vmsf_result, vmsf_server};
use serde_json::{Value, json};
use vms_failover_abi as abi;

/// What the plugin tells the host. The secret of an operation is not in it: a real host takes what it needs of it in the callback.
pub enum Told {
    /// Do this and complete it.
    Begin {
        /// The id to answer with.
        operation: u64,
        /// One of `VMSF_OP_...`
        kind: u32,
        /// What is asked.
        request: Value,
    },
    /// What was begun is given up.
    Over,
}

/// Prints both versions and gives the table of the plugin, which is static.
pub fn negotiate(entry: abi::vmsf_entry_fn) -> Result<&'static vmsf_api, String> {
    let mut shake = abi::vmsf_handshake {
        struct_size: size_of::<abi::vmsf_handshake>() as u32,
        abi_min: abi::VMSF_ABI_MAJOR,
        abi_max: abi::VMSF_ABI_MAJOR,
        abi_chosen: 0,
        abi_minor: 0,
        flags: 0,
        info: ptr::null(),
        api: ptr::null(),
    };
    // SAFETY: a whole handshake of this frame.
    let result = unsafe { entry(&mut shake) };
    println!("host: ABI {}.{}", abi::VMSF_ABI_MAJOR, abi::VMSF_ABI_MINOR);
    // SAFETY: NULL or static, and the image stays mapped.
    let info = unsafe { shake.info.as_ref() }.ok_or("negotiation: the plugin does not say who it is")?;
    let (name, version) = (text_of(info.name), text_of(info.version));
    println!("plugin: {name} {version}, ABI {}.{}", shake.abi_chosen, shake.abi_minor);
    if result != abi::VMSF_OK {
        return Err("negotiation: no common ABI major".to_owned());
    }
    // SAFETY: the table of the chosen major; static, and the image stays mapped.
    unsafe { shake.api.as_ref() }.ok_or("negotiation: no table".to_owned())
}

/// An instance; dropping it stops and destroys it.
pub struct Plugin {
    api: &'static vmsf_api,
    handle: abi::vmsf_plugin,
}

impl Plugin {
    /// Creates an instance, stopped, and the end on which it tells what it wants.
    pub fn create(
        api: &'static vmsf_api,
        name: &str,
        flags: u32,
        options: &Value,
    ) -> Result<(Plugin, Receiver<Told>), String> {
        let (sender, receiver) = channel::<Told>();
        let context = Box::into_raw(Box::new(sender)); // the plugin's until `on_release`
        let name = CString::new(name).map_err(|error| error.to_string())?;
        let host = abi::vmsf_host {
            struct_size: size_of::<abi::vmsf_host>() as u32,
            flags,
            ctx: context.cast(),
            name: name.as_ptr(),
            version: c"1".as_ptr(),
            log: Some(on_log),
            log_level: None,
            event: Some(on_event),
            begin: Some(on_begin),
            wake: (flags & abi::VMSF_HOST_DRIVES != 0).then_some(on_wake as unsafe extern "C" fn(*mut c_void, u64)),
            release: Some(on_release),
            get_extension: None,
            reserved: [0; 2],
        };
        let (options, mut handle, mut error) = (options.to_string(), 0, [0; 4097]);
        // SAFETY: pointers and lengths of this frame; `host` is copied.
        let result = unsafe {
            (api.create)(&host, options.as_ptr().cast(), options.len(), &mut handle, error.as_mut_ptr(), error.len())
        };
        if result == abi::VMSF_OK {
            return Ok((Plugin { api, handle }, receiver));
        }
        // SAFETY: from `into_raw` above; `release` does not come when `create` failed.
        drop(unsafe { Box::from_raw(context) });
        Err(format!("create: {}: {}", name_of(api, result), text_of(error.as_ptr())))
    }

    fn check(&self, what: &str, result: vmsf_result) -> Result<(), String> {
        if result == abi::VMSF_OK {
            return Ok(());
        }
        let (mut text, mut len) = ([0; 4097], 0);
        // SAFETY: a buffer of this frame with its length; the code may be NULL.
        unsafe { (self.api.last_error)(self.handle, ptr::null_mut(), text.as_mut_ptr(), text.len(), &mut len) };
        Err(format!("{what}: {}: {}", name_of(self.api, result), text_of(text.as_ptr())))
    }

    /// Changes the configuration.
    pub fn edit(&self, edit: &Value) -> Result<(), String> {
        let (json, no_report) = (edit.to_string(), ptr::null_mut());
        // SAFETY: a text with its length; the report may be NULL.
        let result =
            unsafe { (self.api.edit)(self.handle, json.as_ptr().cast(), json.len(), 0, no_report, 0, ptr::null_mut()) };
        self.check("edit", result)
    }

    /// Starts monitoring.
    pub fn start(&self) -> Result<(), String> {
        // SAFETY: a number alone, which the plugin checks; so below.
        self.check("start", unsafe { (self.api.start)(self.handle) })
    }

    /// Stops monitoring.
    pub fn stop(&self, timeout_ms: u32) -> Result<(), String> {
        // SAFETY: numbers alone.
        self.check("stop", unsafe { (self.api.stop)(self.handle, timeout_ms) })
    }

    /// Moves time; gives the instant of the next work.
    pub fn poll(&self, now_ns: u64, utc_ms: i64) -> Result<u64, String> {
        let mut next = 0;
        // SAFETY: numbers, and a place of this frame.
        self.check("poll", unsafe { (self.api.poll)(self.handle, now_ns, utc_ms, &mut next) })?;
        Ok(next)
    }

    /// Reports an event of a server.
    pub fn notify(&self, server: vmsf_server, kind: u32, mono_ns: u64) -> Result<(), String> {
        // SAFETY: numbers alone.
        self.check("notify", unsafe { (self.api.notify)(self.handle, server, kind, mono_ns) })
    }

    /// The server after `server`; 0 = the first.
    pub fn next_server(&self, server: vmsf_server) -> Result<vmsf_server, String> {
        let mut found = 0;
        // SAFETY: numbers, and a place of this frame.
        self.check("next_server", unsafe { (self.api.next_server)(self.handle, server, &mut found) })?;
        Ok(found)
    }

    /// Tells whether this failover server is part of the cluster.
    pub fn cluster(&self, joined: bool) -> Result<(), String> {
        // SAFETY: numbers; the JSON may be NULL.
        self.check("cluster", unsafe { (self.api.cluster)(self.handle, joined.into(), ptr::null(), 0) })
    }

    /// Joins the cluster.
    pub fn join_cluster(&self, place: &Value, secret: &[u8]) -> Result<(), String> {
        let (json, no_request) = (place.to_string(), ptr::null_mut());
        let (text, len) = (json.as_ptr().cast(), json.len());
        // SAFETY: a text and a secret with their lengths; the request id may be NULL.
        let result =
            unsafe { (self.api.join_cluster)(self.handle, text, len, secret.as_ptr(), secret.len(), no_request) };
        self.check("join_cluster", result)
    }

    /// Authorizes this failover server at a server.
    pub fn authorize(&self, server: vmsf_server, secret: &[u8]) -> Result<(), String> {
        let (no_json, no_request) = (ptr::null(), ptr::null_mut());
        // SAFETY: a secret with its length; the rest may be NULL.
        let result =
            unsafe { (self.api.authorize)(self.handle, server, no_json, 0, secret.as_ptr(), secret.len(), no_request) };
        self.check("authorize", result)
    }

    /// Revokes the token of a server.
    pub fn deauthorize(&self, server: vmsf_server) -> Result<(), String> {
        // SAFETY: numbers; the rest may be NULL.
        let result = unsafe { (self.api.deauthorize)(self.handle, server, ptr::null(), 0, ptr::null_mut()) };
        self.check("deauthorize", result)
    }

    /// Backs a server up.
    pub fn backup(&self, server: vmsf_server) -> Result<(), String> {
        // SAFETY: numbers; the rest may be NULL.
        let result = unsafe { (self.api.backup)(self.handle, server, ptr::null(), 0, ptr::null_mut()) };
        self.check("backup", result)
    }

    /// Gives a server its role back.
    pub fn restore(&self, server: vmsf_server) -> Result<(), String> {
        // SAFETY: numbers; the rest may be NULL.
        let result = unsafe { (self.api.restore)(self.handle, server, ptr::null(), 0, ptr::null_mut()) };
        self.check("restore", result)
    }

    /// Answers an operation.
    pub fn complete(&self, operation: u64, outcome: u32, why: &str, token: &[u8]) -> Result<(), String> {
        let json = if why.is_empty() { String::new() } else { json!({ "error": why }).to_string() };
        let (text, len) = (json.as_ptr().cast(), json.len());
        // SAFETY: a text and a secret with their lengths.
        let result =
            unsafe { (self.api.complete)(self.handle, operation, outcome, text, len, token.as_ptr(), token.len()) };
        self.check("complete", result)
    }
}

impl Drop for Plugin {
    fn drop(&mut self) {
        // SAFETY: a number alone; stopped already is OK.
        while unsafe { (self.api.stop)(self.handle, 1000) } == abi::VMSF_ERR_TIMEOUT {}
        // SAFETY: as above; `ctx` is freed in `on_release`.
        unsafe { (self.api.destroy)(self.handle) };
    }
}

fn name_of(api: &vmsf_api, result: vmsf_result) -> String {
    // SAFETY: a static text, never NULL.
    text_of(unsafe { (api.result_name)(result) })
}

/// A NUL-terminated text of the plugin, never NULL.
fn text_of(text: *const c_char) -> String {
    // SAFETY: everything given to this function is terminated and alive (rule 3).
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// A counted text of the plugin.
fn counted(text: *const c_char, len: usize) -> String {
    // SAFETY: it is alive until the callback returns, and this long (rule 3).
    String::from_utf8_lossy(unsafe { slice::from_raw_parts(text.cast(), len) }).into_owned()
}

/// A panic must not leave a callback: Rust would end the process.
fn guarded(callback: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(callback)).is_err() {
        eprintln!("a callback panicked");
    }
}

unsafe extern "C" fn on_log(_: *mut c_void, level: u32, target: *const c_char, text: *const c_char, len: usize) {
    guarded(|| eprintln!("log {level} {}: {}", text_of(target), counted(text, len)));
}

unsafe extern "C" fn on_event(ctx: *mut c_void, event: *const abi::vmsf_event) {
    guarded(|| {
        // SAFETY: alive until this returns.
        let event = unsafe { &*event };
        println!("event {}", counted(event.json, event.json_len));
        if event.kind == abi::VMSF_EVENT_OPERATION_OVER {
            tell(ctx, Told::Over);
        }
    });
}

/// Copies what it needs; the host works elsewhere and answers later.
unsafe extern "C" fn on_begin(ctx: *mut c_void, operation: *const abi::vmsf_operation) {
    guarded(|| {
        // SAFETY: alive until this returns.
        let operation = unsafe { &*operation };
        let request = counted(operation.json, operation.json_len);
        println!("begin {request}"); // never the secret: the credentials given, or the token of the server
        let request = serde_json::from_str(&request).expect("the plugin writes JSON");
        tell(ctx, Told::Begin { operation: operation.id, kind: operation.kind, request });
    });
}

fn tell(ctx: *mut c_void, told: Told) {
    // SAFETY: the box of `create`, alive until `release`; a Sender may be used from any thread.
    let sender = unsafe { &*ctx.cast::<Sender<Told>>() };
    let _ = sender.send(told); // the host may have gone; its plugin goes, too, then
}

/// The host polls after every call anyway.
unsafe extern "C" fn on_wake(_: *mut c_void, _next_ns: u64) {}

/// The last call.
unsafe extern "C" fn on_release(ctx: *mut c_void) {
    guarded(|| println!("released"));
    // SAFETY: the box of `create`; nobody calls with it any more.
    drop(unsafe { Box::from_raw(ctx.cast::<Sender<Told>>()) });
}
