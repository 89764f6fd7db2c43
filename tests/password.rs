//! Credentials are forgotten: after an authorization and a joined cluster the password is in no log line, event, status, file, trace and nowhere in the
//! memory of the process, whose host wipes its own copies.
//!
//! The one test of its file starts itself again: what is searched is a whole process, and it must hold no other copy. The parent gives it two
//! random halves; the password is what they make together, so that neither the search nor its needle is a copy.

#![cfg(target_os = "linux")]

#[path = "support/rig.rs"]
mod rig;

use std::ffi::{c_char, c_void};
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::Command;
use std::sync::{Condvar, Mutex};

use rig::{PATIENCE, abi, call, expect};
use zeroize::Zeroize;

const HALVES: &str = "VMSF_TEST_HALVES";
const LENGTH: usize = 32;
/// Where the calls of the searched process are traced, below its directory.
const TRACE: &str = "trace.jsonl";

/// Two halves of a password.
struct Halves([u8; LENGTH], [u8; LENGTH]);

impl Halves {
    fn read(text: &str) -> Halves {
        let byte = |n: usize| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).expect("hexadecimal digits");
        Halves(std::array::from_fn(byte), std::array::from_fn(|n| byte(LENGTH + n)))
    }

    /// The password, for as long as the caller leaves it there.
    fn join_into(&self, place: &mut [u8]) {
        for (n, byte) in place.iter_mut().enumerate() {
            *byte = self.0[n] ^ self.1[n];
        }
    }

    /// How often it stands in there, as it is or in hexadecimal digits.
    fn count(&self, bytes: &[u8]) -> usize {
        let plain = |at: &usize| (0..LENGTH).all(|n| bytes[at + n] ^ self.0[n] == self.1[n]);
        let digit = |nibble: u8| char::from_digit(nibble.into(), 16).map(|digit| digit as u8);
        let digits = |at: &usize| {
            (0..LENGTH).all(|n| {
                let byte = self.0[n] ^ self.1[n];
                let [high, low] = [bytes[at + 2 * n], bytes[at + 2 * n + 1]].map(|digit| digit.to_ascii_lowercase());
                digit(byte >> 4) == Some(high) && digit(byte & 15) == Some(low)
            })
        };
        let last = |length: usize| (bytes.len() + 1).saturating_sub(length);
        (0..last(LENGTH)).filter(plain).count() + (0..last(2 * LENGTH)).filter(digits).count()
    }

    /// How often it stands in what this process may write.
    fn count_in_memory(&self) -> usize {
        let memory = File::open("/proc/self/mem").expect("its memory");
        let maps = fs::read_to_string("/proc/self/maps").expect("its maps");
        let mut page = vec![0; 1 << 20];
        let mut found = 0;
        for line in maps.lines().filter(|line| line.split(' ').nth(1).is_some_and(|rights| rights.starts_with("rw"))) {
            let (from, to) = line.split(' ').next().and_then(|range| range.split_once('-')).expect("a range");
            let address = |text: &str| u64::from_str_radix(text, 16).expect("an address");
            let (mut at, end) = (address(from), address(to));
            while at < end {
                let want = page.len().min((end - at) as usize);
                // What cannot be read, such as a guard page, cannot hold anything.
                let read = memory.read_at(&mut page[..want], at).unwrap_or(0);
                found += self.count(&page[..read]);
                page[..read].zeroize();
                // Also what stands across two reads.
                at += if read == page.len() { (read - 2 * LENGTH) as u64 } else { want as u64 };
            }
        }
        found
    }

    fn count_in_files(&self, directory: &Path) -> usize {
        let entries = fs::read_dir(directory).expect("a directory").map(|entry| entry.expect("an entry").path());
        let count = |path: std::path::PathBuf| match path.is_dir() {
            true => self.count_in_files(&path),
            false => match fs::read(&path) {
                // The plugin writes on: a temporary file may have its name no longer.
                Err(gone) if gone.kind() == std::io::ErrorKind::NotFound => 0,
                read => self.count(&read.expect("a file")),
            },
        };
        entries.map(count).sum()
    }
}

/// What the host has heard. It keeps no secret, only whether it was the one expected.
#[derive(Default)]
struct Heard {
    begun: Vec<(u32, u64, bool)>,
    lines: Vec<String>,
}

struct Host {
    halves: Halves,
    heard: Mutex<Heard>,
    news: Condvar,
}

impl Host {
    fn note(&self, change: impl FnOnce(&mut Heard)) {
        change(&mut self.heard.lock().unwrap());
        self.news.notify_all();
    }

    fn wait<T>(&self, what: &str, find: impl Fn(&Heard) -> Option<T>) -> T {
        let heard = self.heard.lock().unwrap();
        let (heard, _) = self.news.wait_timeout_while(heard, PATIENCE, |heard| find(heard).is_none()).unwrap();
        find(&heard).unwrap_or_else(|| panic!("no {what} in {:#?}", heard.lines))
    }
}

fn host<'a>(ctx: *mut c_void) -> &'a Host {
    // SAFETY: every table of this file has a `Host` that lives for ever as its ctx (header, rule 3).
    unsafe { &*ctx.cast::<Host>() }
}

fn text(text: *const c_char, len: usize) -> String {
    // SAFETY: the plugin's text lives until the callback returns (header, rule 3).
    String::from_utf8_lossy(unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) }).into_owned()
}

unsafe extern "C" fn on_event(ctx: *mut c_void, event: *const abi::vmsf_event) {
    // SAFETY: lives until the callback returns (header, rule 3).
    let event = unsafe { &*event };
    host(ctx).note(|heard| heard.lines.push(text(event.json, event.json_len)));
}

unsafe extern "C" fn on_log(ctx: *mut c_void, _: u32, _: *const c_char, line: *const c_char, len: usize) {
    host(ctx).note(|heard| heard.lines.push(text(line, len)));
}

unsafe extern "C" fn on_begin(ctx: *mut c_void, operation: *const abi::vmsf_operation) {
    // SAFETY: lives until the callback returns (header, rule 3).
    let operation = unsafe { &*operation };
    // SAFETY: as above; NULL only where there is none, which no operation here is.
    let secret = unsafe { std::slice::from_raw_parts(operation.secret, operation.secret_len) };
    let host = host(ctx);
    let right = secret.len() == LENGTH && host.halves.count(secret) == 1;
    host.note(|heard| {
        heard.lines.push(text(operation.json, operation.json_len));
        heard.begun.push((operation.kind, operation.id, right));
    });
}

#[test]
fn the_password_is_nowhere_once_it_was_used() {
    if let Some(halves) = std::env::var_os(HALVES) {
        return is_searched(Halves::read(halves.to_str().expect("text")));
    }
    let mut random = [0; 2 * LENGTH];
    File::open("/dev/urandom").and_then(|mut source| source.read_exact(&mut random)).expect("random bytes");
    let halves: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    let this = std::env::current_exe().expect("this program");
    let name = "the_password_is_nowhere_once_it_was_used";
    let traces = tempfile::tempdir().expect("a directory");
    for traced in [false, true] {
        let mut command = Command::new(&this);
        command.args(["--exact", name, "--nocapture"]).env(HALVES, &halves);
        if traced {
            command.env("VMSF_TRACE", traces.path().join(TRACE));
        }
        let output = command.output().expect("itself");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    }
    // It tells of every call with the password, and nothing of the password.
    let trace = fs::read_to_string(traces.path().join(TRACE)).expect("the trace");
    assert_eq!(Halves::read(&halves).count_in_files(traces.path()), 0, "in the trace");
    let told = trace.matches(&format!("\"secret_len\":{LENGTH}")).count();
    assert!(told >= 9, "{told} calls and requests with it in\n{trace}");
}

fn is_searched(halves: Halves) {
    let host: &'static Host = Box::leak(Box::new(Host { halves, heard: Mutex::default(), news: Condvar::new() }));
    let mut password = vec![0; LENGTH];
    // The search finds what there is to be found.
    host.halves.join_into(&mut password);
    assert_eq!(host.halves.count_in_memory(), 1, "planted");
    let directory = tempfile::tempdir().expect("a directory");
    let planted = directory.path().join("planted");
    fs::write(&planted, password.iter().map(|byte| format!("{byte:02X}")).collect::<String>()).expect("a file");
    assert_eq!(host.halves.count_in_files(directory.path()), 1, "planted");
    fs::remove_file(planted).expect("no file");
    let plugin = running(host, &directory);
    use_it(host, plugin, &password);
    password.zeroize();
    let status = rig::text(|buf, cap, len| call!(status(plugin, 0, buf, cap, len))).expect("a status");
    let log = rig::text(|buf, cap, len| call!(log(plugin, 0, 10_000, buf, cap, len))).expect("a log");
    let no_code = std::ptr::null_mut();
    let error = rig::text(|buf, cap, len| call!(last_error(plugin, no_code, buf, cap, len))).expect("a text");
    assert_eq!([status, log, error].map(|text| host.halves.count(text.as_bytes())), [0; 3]);
    let lines = std::mem::take(&mut host.heard.lock().unwrap().lines);
    assert!(lines.len() >= 6, "{lines:#?}");
    assert_eq!(lines.iter().map(|line| host.halves.count(line.as_bytes())).sum::<usize>(), 0, "{lines:#?}");
    assert_eq!(host.halves.count_in_files(directory.path()), 0, "in a file");
    assert_eq!(host.halves.count_in_memory(), 0, "in memory, while it runs");
    expect(call!(stop(plugin, 20_000)), abi::VMSF_OK, "stop");
    expect(call!(destroy(plugin)), abi::VMSF_OK, "destroy");
    assert_eq!(host.halves.count_in_files(directory.path()), 0, "in a file, after the end");
    assert_eq!(host.halves.count_in_memory(), 0, "in memory, after the end");
}

fn running(host: &'static Host, directory: &tempfile::TempDir) -> abi::vmsf_plugin {
    let table = abi::vmsf_host {
        struct_size: size_of::<abi::vmsf_host>() as u32,
        flags: 0,
        ctx: std::ptr::from_ref(host).cast_mut().cast(),
        name: c"searched".as_ptr(),
        version: c"1".as_ptr(),
        log: Some(on_log),
        log_level: None,
        event: Some(on_event),
        begin: Some(on_begin),
        wake: None,
        release: None,
        get_extension: None,
        reserved: [0; 2],
    };
    let plugin = rig::create(&table, &rig::options(directory, &rig::config(&["a"]))).expect("an instance");
    expect(call!(start(plugin)), abi::VMSF_OK, "start");
    plugin
}

/// Every way that credentials go: used well, refused by the host, refused by the plugin.
fn use_it(host: &'static Host, plugin: abi::vmsf_plugin, password: &[u8]) {
    let (null, none) = (std::ptr::null(), std::ptr::null_mut());
    let mut server = 0;
    expect(call!(next_server(plugin, 0, &mut server)), abi::VMSF_OK, "next_server");
    let authorize = || call!(authorize(plugin, server, null, 0, password.as_ptr(), password.len(), none));
    expect(authorize(), abi::VMSF_OK, "authorize");
    expect(authorize(), abi::VMSF_ERR_BUSY, "a second one beside it");
    answer(host, plugin, abi::VMSF_OP_AUTHORIZE, abi::VMSF_OUTCOME_FAILED);
    expect(authorize(), abi::VMSF_OK, "authorize");
    answer(host, plugin, abi::VMSF_OP_AUTHORIZE, abi::VMSF_OUTCOME_OK);
    let json = r#"{"host":"management.example"}"#;
    let (text, len) = (json.as_ptr().cast(), json.len());
    let join = call!(join_cluster(plugin, text, len, password.as_ptr(), password.len(), none));
    expect(join, abi::VMSF_OK, "join_cluster");
    answer(host, plugin, abi::VMSF_OP_JOIN_CLUSTER, abi::VMSF_OUTCOME_OK);
    let bad = r#"{"host":"not a host"}"#;
    let join = call!(join_cluster(plugin, bad.as_ptr().cast(), bad.len(), password.as_ptr(), password.len(), none));
    expect(join, abi::VMSF_ERR_JSON, "a bad host");
    let wrong = call!(authorize(plugin, server ^ 1, null, 0, password.as_ptr(), password.len(), none));
    expect(wrong, abi::VMSF_ERR_HANDLE, "a wrong handle");
}

/// Answers the operation of this kind, and waits for its end.
fn answer(host: &'static Host, plugin: abi::vmsf_plugin, kind: u32, outcome: u32) {
    let begun = |heard: &Heard| heard.begun.iter().find(|(of, ..)| *of == kind).copied();
    let (_, op, right) = host.wait("begin", begun);
    assert!(right, "the host is given the credentials");
    host.note(|heard| heard.begun.clear());
    let token: &[u8] = if kind == abi::VMSF_OP_AUTHORIZE { b"token" } else { b"" };
    let code = call!(complete(plugin, op, outcome, std::ptr::null(), 0, token.as_ptr(), token.len()));
    expect(code, abi::VMSF_OK, "complete");
    let ended = format!("\"op\":{op},");
    host.wait("end", |heard| {
        heard.lines.iter().any(|line| line.contains("\"completed\"") && line.contains(&ended)).then_some(())
    });
}
