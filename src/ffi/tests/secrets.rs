//! What leaves the border with a secret in it: `begin` and the extension `vmsf.secrets/1`, with hosts that keep to the header and hosts that lie.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use vms_failover_abi as abi;
use zeroize::Zeroizing;

use super::freed::{MARK, holding_the_mark};
use crate::error::Error;
use crate::ffi::host::{HostTable, Inside, inside};
use crate::runtime::secrets::SecretStore;
use crate::runtime::{Begin, Host};
use crate::secret::{self, Secret};

/// A host that keeps tokens; `ctx` points to it. It lives for ever.
#[derive(Default)]
struct Keeper {
    /// What `get_extension` gives.
    table: Mutex<Option<Table>>,
    kept: Mutex<BTreeMap<String, Zeroizing<Vec<u8>>>>,
    /// What happened, in order.
    calls: Mutex<Vec<String>>,
    /// What `load` says instead of the truth: a code and a length.
    lie: Mutex<Option<(abi::vmsf_result, usize)>>,
    /// Where `remove` says that it was entered, and waits until it may go on.
    door: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

/// A table of the future, not aligned: what this plugin knows begins behind the first byte, and more follows.
#[repr(C, packed)]
#[derive(Clone, Copy)]
struct Table(u8, abi::vmsf_secrets, [u64; 2]);

const KNOWN: u32 = size_of::<abi::vmsf_secrets>() as u32;

fn table() -> abi::vmsf_secrets {
    abi::vmsf_secrets { struct_size: KNOWN, reserved: 0, store: Some(store), load: Some(load), remove: Some(remove) }
}

impl Keeper {
    fn new(table: Option<abi::vmsf_secrets>) -> &'static Keeper {
        let keeper = Keeper::default();
        *keeper.table.lock().unwrap() = table.map(|table| Table(0, table, [u64::MAX; 2]));
        Box::leak(Box::new(keeper))
    }

    fn host(&'static self, change: impl FnOnce(&mut abi::vmsf_host)) -> Result<Arc<HostTable>, Error> {
        let mut host = abi::vmsf_host {
            struct_size: size_of::<abi::vmsf_host>() as u32,
            flags: 0,
            ctx: std::ptr::from_ref(self).cast_mut().cast(),
            name: c"keeper".as_ptr(),
            version: c"1".as_ptr(),
            log: Some(log),
            log_level: None,
            event: Some(event),
            begin: Some(begin),
            wake: None,
            release: Some(release),
            get_extension: Some(get_extension),
            reserved: [0; 2],
        };
        change(&mut host);
        // SAFETY: a whole table of this frame (rule 2).
        unsafe { HostTable::read(&host) }.map(Arc::new)
    }

    fn say(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }

    fn said(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }
}

/// The keeper behind `ctx`; every callback is one.
fn keeper(ctx: *mut c_void) -> &'static Keeper {
    assert_eq!(inside(), Inside::Callback);
    // SAFETY: `ctx` is a `Keeper` that lives for ever (rule 3).
    unsafe { &*ctx.cast::<Keeper>() }
}

/// A text of the plugin, which is counted and ends with a NUL.
fn text(text: *const c_char, len: usize) -> String {
    // SAFETY: rule 3: texts in callbacks are NUL-terminated.
    let text = unsafe { CStr::from_ptr(text) };
    assert_eq!(text.count_bytes(), len);
    text.to_str().unwrap().to_owned()
}

unsafe extern "C" fn log(_: *mut c_void, _: u32, _: *const c_char, _: *const c_char, _: usize) {}
unsafe extern "C" fn event(_: *mut c_void, _: *const abi::vmsf_event) {}

unsafe extern "C" fn begin(ctx: *mut c_void, operation: *const abi::vmsf_operation) {
    // SAFETY: lives until the callback returns (rule 3).
    let operation = unsafe { &*operation };
    if operation.secret.is_null() {
        assert_eq!(operation.secret_len, 0);
        return keeper(ctx).say("begin without");
    }
    // SAFETY: lives until the callback returns (rules 3 and 10).
    let secret = unsafe { std::slice::from_raw_parts(operation.secret, operation.secret_len) };
    assert_eq!(secret, MARK);
    keeper(ctx).say("begin with the secret");
}

unsafe extern "C" fn release(ctx: *mut c_void) {
    keeper(ctx).say("release");
}

unsafe extern "C" fn get_extension(ctx: *mut c_void, id: *const c_char) -> *const c_void {
    let keeper = keeper(ctx);
    keeper.say(text(id, abi::VMSF_EXT_SECRETS.len()));
    let table = keeper.table.lock().unwrap();
    table.as_ref().map_or(std::ptr::null(), |table| (&raw const table.1).cast())
}

unsafe extern "C" fn store(
    ctx: *mut c_void,
    id: *const c_char,
    len: usize,
    secret: *const u8,
    secret_len: usize,
) -> abi::vmsf_result {
    let id = text(id, len);
    keeper(ctx).say(format!("store {id} {secret_len}"));
    // SAFETY: lives until the function returns (rules 3 and 10).
    let secret = unsafe { std::slice::from_raw_parts(secret, secret_len) };
    keeper(ctx).kept.lock().unwrap().insert(id, Zeroizing::new(secret.to_vec()));
    abi::VMSF_OK
}

unsafe extern "C" fn load(
    ctx: *mut c_void,
    id: *const c_char,
    len: usize,
    buf: *mut u8,
    cap: usize,
    secret_len: *mut usize,
) -> abi::vmsf_result {
    let (keeper, id) = (keeper(ctx), text(id, len));
    keeper.say(format!("load {id}"));
    assert_eq!(cap, secret::MAX);
    if let Some((code, len)) = *keeper.lie.lock().unwrap() {
        // SAFETY: `cap` bytes are writable (rule 10 and the documentation of `load`).
        unsafe { buf.write_bytes(MARK[0], cap) };
        // SAFETY: one usize is writable (the same rule).
        unsafe { secret_len.write(len) };
        return code;
    }
    let kept = keeper.kept.lock().unwrap();
    let Some(secret) = kept.get(&id) else { return abi::VMSF_ERR_NOT_FOUND };
    // SAFETY: `cap` bytes are writable, and no token is longer (rule 10 and the documentation of `load`).
    unsafe { buf.copy_from_nonoverlapping(secret.as_ptr(), secret.len()) };
    // SAFETY: one usize is writable (the same rule).
    unsafe { secret_len.write(secret.len()) };
    abi::VMSF_OK
}

unsafe extern "C" fn remove(ctx: *mut c_void, id: *const c_char, len: usize) -> abi::vmsf_result {
    let (keeper, id) = (keeper(ctx), text(id, len));
    if let Some((entered, go_on)) = keeper.door.lock().unwrap().as_ref() {
        entered.send(()).unwrap();
        go_on.recv().unwrap();
    }
    keeper.say(format!("remove {id}"));
    match keeper.kept.lock().unwrap().remove(&id) {
        Some(_) => abi::VMSF_OK,
        None => abi::VMSF_ERR_NOT_FOUND,
    }
}

unsafe extern "C" fn fails(_: *mut c_void, _: *const c_char, _: usize) -> abi::vmsf_result {
    abi::VMSF_ERR_BUSY
}

unsafe extern "C" fn is_mad(_: *mut c_void, _: *const c_char, _: usize, _: *const u8, _: usize) -> abi::vmsf_result {
    4711
}

fn operation(secret: Option<Secret>) -> Begin {
    let json = "{}".to_owned();
    Begin { kind: 1, resumed: false, attempt: 0, id: 1, deadline_ns: 1, server: 1, json, secret }
}

#[test]
fn the_extension_is_asked_for_once_inside_create() {
    let without = Keeper::new(None);
    assert!(without.host(|_| ()).unwrap().secrets().is_none());
    assert_eq!(without.said(), ["vmsf.secrets/1"]);
    assert!(without.host(|host| host.get_extension = None).unwrap().secrets().is_none());
    assert_eq!(without.said(), [""; 0]);
    // Only a table that is in order is asked.
    assert!(without.host(|host| host.begin = None).is_err());
    assert_eq!(without.said(), [""; 0]);

    let with = Keeper::new(Some(table()));
    let host = with.host(|_| ()).unwrap();
    assert!(host.secrets().is_some() && host.secrets().is_some());
    assert_eq!((with.said(), inside()), (vec!["vmsf.secrets/1".to_owned()], Inside::Nothing));
}

#[test]
fn what_is_wrong_with_the_table_is_named_and_a_larger_one_is_accepted() {
    type Change = fn(&mut abi::vmsf_secrets);
    let cases: [(Change, &str); 6] = [
        (|table| table.struct_size = KNOWN - 1, "vmsf_secrets.struct_size is 31"),
        (|table| table.struct_size = 0, "vmsf_secrets.struct_size is 0"),
        (|table| table.reserved = 1, "vmsf_secrets.reserved"),
        (|table| table.store = None, "vmsf_secrets.store"),
        (|table| table.load = None, "vmsf_secrets.load"),
        (|table| table.remove = None, "vmsf_secrets.remove"),
    ];
    for (change, named) in cases {
        let mut table = table();
        change(&mut table);
        let keeper = Keeper::new(Some(table));
        let Err(error) = keeper.host(|_| ()) else { panic!("{named} is accepted") };
        assert_eq!(error.code, abi::VMSF_ERR_INVALID, "{named}");
        assert!(error.text.contains(named), "{named} is not in: {}", error.text);
    }
    let larger = Keeper::new(Some(abi::vmsf_secrets { struct_size: KNOWN + 16, ..table() }));
    let secrets = larger.host(|_| ()).unwrap().secrets().unwrap();
    // Copied: the host may free its own at once.
    *larger.table.lock().unwrap() = None;
    assert!(secrets.load("a").unwrap().is_none());
}

#[test]
fn tokens_go_to_the_host_and_come_back() {
    let keeper = Keeper::new(Some(table()));
    let secrets = keeper.host(|_| ()).unwrap().secrets().unwrap();
    let longest: Vec<u8> = (0..secret::MAX).map(|n| n as u8).collect();
    for bytes in [b"\0", &longest[..]] {
        secrets.store("a", &Secret::copied(bytes).unwrap()).unwrap();
        assert_eq!(secrets.load("a").unwrap().unwrap().as_bytes(), bytes);
    }
    assert!(secrets.load("b").unwrap().is_none());
    secrets.remove("a").unwrap();
    secrets.remove("a").unwrap();
    assert!(secrets.load("a").unwrap().is_none());
    let said = ["store a 1", "load a", "store a 4096", "load a", "load b", "remove a", "remove a", "load a"];
    assert_eq!(keeper.said()[1..], said);
    assert_eq!(inside(), Inside::Nothing);
}

#[test]
fn a_host_that_fails_or_talks_nonsense_is_an_error_that_says_so() {
    let keeper = Keeper::new(Some(abi::vmsf_secrets { store: Some(is_mad), remove: Some(fails), ..table() }));
    let secrets = keeper.host(|_| ()).unwrap().secrets().unwrap();
    let expect = |error: Error, code, text: &str| assert_eq!((error.code, error.text.as_str()), (code, text));
    let secret = Secret::copied(MARK).unwrap();
    let text = "the host's vmsf_secrets.store for 'a' gave 4711, which is no result code";
    expect(secrets.store("a", &secret).unwrap_err(), abi::VMSF_ERR_INVALID, text);
    let text = "the host's vmsf_secrets.remove for 'a' gave VMSF_ERR_BUSY";
    expect(secrets.remove("a").unwrap_err(), abi::VMSF_ERR_IO, text);

    let behind = "bytes: a token has 1 to 4096, and there was room for it";
    let lies = [
        (abi::VMSF_OK, 0, abi::VMSF_ERR_INVALID, &*format!("VMSF_OK and says 0 {behind}")),
        (abi::VMSF_OK, secret::MAX + 1, abi::VMSF_ERR_INVALID, &*format!("VMSF_OK and says 4097 {behind}")),
        (abi::VMSF_OK, usize::MAX, abi::VMSF_ERR_INVALID, &*format!("VMSF_OK and says {} {behind}", usize::MAX)),
        (abi::VMSF_ERR_TOO_SMALL, 9000, abi::VMSF_ERR_INVALID, &*format!("VMSF_ERR_TOO_SMALL and says 9000 {behind}")),
        (abi::VMSF_ERR_IO, 7, abi::VMSF_ERR_IO, "VMSF_ERR_IO"),
        (1, 7, abi::VMSF_ERR_INVALID, "1, which is no result code"),
        (i32::MIN, 7, abi::VMSF_ERR_INVALID, "-2147483648, which is no result code"),
    ];
    for (said, len, code, text) in lies {
        *keeper.lie.lock().unwrap() = Some((said, len));
        let text = format!("the host's vmsf_secrets.load for 'a' gave {text}");
        expect(secrets.load("a").unwrap_err(), code, &text);
    }
    *keeper.lie.lock().unwrap() = Some((abi::VMSF_ERR_NOT_FOUND, usize::MAX));
    assert!(secrets.load("a").unwrap().is_none());
}

#[test]
fn release_waits_for_a_call_and_none_comes_after_it() {
    let keeper = Keeper::new(Some(table()));
    let host = keeper.host(|_| ()).unwrap();
    let secrets = host.secrets().unwrap();
    let (entered, is_inside) = channel();
    let (go_on, may_go_on) = channel();
    *keeper.door.lock().unwrap() = Some((entered, may_go_on));
    keeper.said();
    std::thread::scope(|scope| {
        scope.spawn(|| secrets.remove("a").unwrap());
        is_inside.recv().unwrap();
        let (closed, is_closed) = channel();
        let host = &host;
        scope.spawn(move || {
            host.close();
            closed.send(()).unwrap();
        });
        let early = is_closed.recv_timeout(Duration::from_millis(200));
        // First of all, so that a close which did not wait fails the test and does not hang it.
        go_on.send(()).unwrap();
        assert_eq!(early, Err(RecvTimeoutError::Timeout));
        is_closed.recv().unwrap();
    });
    assert_eq!(keeper.said(), ["remove a", "release"]);
    let secret = Secret::copied(MARK).unwrap();
    let late = [secrets.store("a", &secret), secrets.load("a").map(drop), secrets.remove("a")];
    assert!(late.into_iter().all(|result| result.unwrap_err().code == abi::VMSF_ERR_STATE));
    assert_eq!(keeper.said(), [""; 0]);
}

#[test]
fn begin_gets_the_secret_and_no_memory_keeps_it() {
    let keeper = Keeper::new(None);
    let host = keeper.host(|_| ()).unwrap();
    keeper.said();
    let (left, ()) = holding_the_mark(|| {
        host.begin(operation(Some(Secret::copied(MARK).unwrap())));
        host.begin(operation(None));
    });
    assert_eq!((left, keeper.said()), (0, ["begin with the secret", "begin without"].map(String::from).to_vec()));
    let shown = format!("{:?}", operation(Some(Secret::copied(MARK).unwrap())));
    assert!(shown.contains("secret: Some(Secret(16 bytes))"), "{shown}");
}

#[test]
fn no_memory_keeps_a_token_that_went_to_the_host_or_came_from_it() {
    let keeper = Keeper::new(Some(table()));
    let secrets: Arc<dyn SecretStore> = keeper.host(|_| ()).unwrap().secrets().unwrap();
    let (left, ()) = holding_the_mark(|| {
        secrets.store("a", &Secret::copied(MARK).unwrap()).unwrap();
        assert_eq!(secrets.load("a").unwrap().unwrap().as_bytes(), MARK);
        secrets.remove("a").unwrap();
    });
    assert_eq!(left, 0);
}
