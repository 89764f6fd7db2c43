//! What the trace of the border says (VMSF_TRACE): a line of JSON for each call of the host and each callback, see include/README.md.
//!
//! No line holds a secret, nor any text that a person or the host wrote: of secrets, JSON and log lines only the length, of the plugin's own JSON the
//! stable words and numbers. What goes wrong in here is nobody's error: the call is made all the same. `traced` and `host` are the callers,
//! `runtime::trace` writes the lines.

use std::cell::Cell;
use std::fmt::{Display, Write};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};
use serde_json::Value;
use vms_failover_abi as abi;

use super::host::{Inside, inside};
use crate::error;
use crate::runtime::clock;
use crate::runtime::trace::{self, LIMIT, Trace};

/// The environment variable that names the file.
const ENV: &str = "VMSF_TRACE";
/// Version of the format.
const SCHEMA: u32 = 1;
/// Calls with stale handles that are written after the last `destroy`.
const LATE_MAX: u32 = 100;

/// Whether calls are traced: the one thing that an untraced call looks at.
static ON: AtomicBool = AtomicBool::new(false);
static OPEN: RwLock<Option<Trace>> = RwLock::new(None);
static LIFE: Mutex<Life> = Mutex::new(Life { path: None, instances: Vec::new(), creating: 0, told: false });
/// The process that opened the file; the fork child of it is another one.
static OWNER: AtomicU32 = AtomicU32::new(0);
static LATE: AtomicU32 = AtomicU32::new(0);
static SPANS: AtomicU64 = AtomicU64::new(1);

/// Who needs the trace.
struct Life {
    /// The file that was opened last.
    path: Option<PathBuf>,
    instances: Vec<abi::vmsf_plugin>,
    /// Calls of `create` under way.
    creating: usize,
    /// Whether a failure of the disk was told.
    told: bool,
}

/// Whether calls are traced.
#[inline]
pub fn is_on() -> bool {
    ON.load(Ordering::Relaxed)
}

/// Does what tracing needs; nothing of it reaches the host's call.
fn quietly<T>(work: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(work)).ok()
}

// ---- the life of the trace ----

/// What `create` has to say of the trace once there is a host to say it to.
pub enum Opened {
    /// Nothing: there is none, or it was open already.
    Nothing,
    /// It is written to this file.
    To(PathBuf),
    /// It cannot be written.
    Failed(String),
}

/// A `create` begins: opens the trace that the environment names. Each is followed by `created`.
pub fn creating() -> Opened {
    quietly(|| {
        let mut life = LIFE.lock();
        life.creating += 1;
        if OPEN.read().is_some() || inside() != Inside::Nothing {
            return Opened::Nothing;
        }
        let Some(path) = wanted() else { return Opened::Nothing };
        // A later instance of this process goes on with its own trace; what an earlier process left is not of this one.
        let empty = life.path.as_ref() != Some(&path);
        match Trace::open(&path, empty, LIMIT) {
            Ok(trace) => {
                OWNER.store(std::process::id(), Ordering::Release);
                LATE.store(0, Ordering::Release);
                trace.push(head());
                *OPEN.write() = Some(trace);
                life.path = Some(path.clone());
                life.told = false;
                ON.store(true, Ordering::Release);
                Opened::To(path)
            }
            Err(why) => Opened::Failed(why),
        }
    })
    .unwrap_or(Opened::Nothing)
}

/// What `create` gave; 0 for none.
pub fn created(plugin: abi::vmsf_plugin) {
    quietly(|| {
        let mut life = LIFE.lock();
        life.creating = life.creating.saturating_sub(1);
        if plugin != 0 && OPEN.read().is_some() {
            life.instances.push(plugin);
        }
        rest(&mut life);
    });
}

/// The instance is destroyed: its trace is complete on disk when this returns.
pub fn destroyed(plugin: abi::vmsf_plugin) {
    quietly(|| {
        let mut life = LIFE.lock();
        life.instances.retain(|known| *known != plugin);
        rest(&mut life);
    });
}

/// Ends the trace where nobody needs it any more; else sees to it that it is on disk.
fn rest(life: &mut Life) {
    if life.creating > 0 || !life.instances.is_empty() {
        if life.creating == 0
            && let Some(trace) = &*OPEN.read()
        {
            trace.flush();
        }
        return;
    }
    let Some(trace) = OPEN.write().take() else { return };
    trace.push(Line::new("end", "no instance is left").at().end());
    trace.close();
}

/// The file that the environment names; %p in it is the number of the process.
fn wanted() -> Option<PathBuf> {
    let name = std::env::var_os(ENV).filter(|name| !name.is_empty())?;
    match name.to_str() {
        Some(text) => Some(text.replace("%p", &std::process::id().to_string()).into()),
        None => Some(name.into()),
    }
}

/// Why the disk takes no more lines; once.
pub fn failure() -> Option<String> {
    quietly(|| {
        let why = OPEN.read().as_ref()?.failed()?.to_owned();
        let mut life = LIFE.lock();
        let path = life.path.as_ref().map(|path| path.display().to_string()).unwrap_or_default();
        let told = std::mem::replace(&mut life.told, true);
        (!told).then(|| format!("the trace {path} ends before its time: {why}"))
    })
    .flatten()
}

fn head() -> String {
    let mut line = Line(String::new());
    line.number("trace", SCHEMA).text("version", env!("CARGO_PKG_VERSION"));
    line.text("abi", &format!("{}.{}", abi::VMSF_ABI_MAJOR, abi::VMSF_ABI_MINOR));
    line.number("process", std::process::id()).text("utc", &trace::utc()).at().number("bytes_max", LIMIT);
    line.end()
}

// ---- lines ----

/// A line that is being written.
pub struct Line(String);

impl Line {
    fn new(key: &str, value: &str) -> Line {
        let mut line = Line(String::with_capacity(256));
        line.text(key, value);
        line
    }

    fn key(&mut self, key: &str) -> &mut String {
        self.0.push(if self.0.is_empty() { '{' } else { ',' });
        let _ = write!(self.0, "\"{key}\":");
        &mut self.0
    }

    /// A number, or true or false.
    pub fn number(&mut self, key: &str, value: impl Display) -> &mut Line {
        let _ = write!(self.key(key), "{value}");
        self
    }

    /// A text.
    pub fn text(&mut self, key: &str, value: &str) -> &mut Line {
        let value = serde_json::to_string(value).unwrap_or_else(|_| "null".into());
        self.key(key).push_str(&value);
        self
    }

    /// A handle: as text, for it has more digits than JSON's readers keep.
    pub fn handle(&mut self, key: &str, handle: u64) -> &mut Line {
        let _ = write!(self.key(key), "\"{handle:x}\"");
        self
    }

    /// A result, by its name.
    pub fn result(&mut self, code: abi::vmsf_result) -> &mut Line {
        self.text("result", error::name(code))
    }

    /// The stable words and numbers of one of the plugin's own documents. Its texts may repeat what a person wrote, and stay out.
    pub fn words(&mut self, document: &str) -> &mut Line {
        let document: Value = serde_json::from_str(document).unwrap_or_default();
        for (from, key) in [(&document["code"], "code"), (&document["request"], "request")] {
            self.value(key, from);
        }
        // Of an event in its details, of a request at the top.
        let top = if document["details"].is_object() { &document["details"] } else { &document };
        for key in ["operation", "outcome", "reason", "op"] {
            self.value(key, &top[key]);
        }
        self
    }

    fn value(&mut self, key: &str, value: &Value) {
        if value.is_string() || value.is_u64() {
            let text = value.to_string();
            self.key(key).push_str(&text);
        }
    }

    fn at(&mut self) -> &mut Line {
        self.number("at_ns", clock::monotonic().0)
    }

    fn end(&mut self) -> String {
        self.0.push('}');
        std::mem::take(&mut self.0)
    }
}

fn thread() -> u32 {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    thread_local! { static NUMBER: Cell<u32> = const { Cell::new(0) } }
    let number = NUMBER.get();
    if number != 0 {
        return number;
    }
    NUMBER.set(NEXT.fetch_add(1, Ordering::Relaxed));
    NUMBER.get()
}

/// A call or a callback under way.
struct Span {
    what: &'static str,
    name: &'static str,
    plugin: u64,
    number: u64,
    begin_ns: u64,
    inside: Inside,
}

impl Span {
    /// `shown`: a line at the beginning, too, so that one that never returns is seen.
    fn enter(what: &'static str, name: &'static str, plugin: u64, shown: bool) -> Span {
        let number = SPANS.fetch_add(1, Ordering::Relaxed);
        let span = Span { what, name, plugin, number, begin_ns: clock::monotonic().0, inside: inside() };
        if shown || is_forked() {
            let mut line = Line::new("enter", name);
            span.common(&mut line).number("at_ns", span.begin_ns);
            push(line.end());
        }
        span
    }

    fn common<'a>(&self, line: &'a mut Line) -> &'a mut Line {
        line.number("n", self.number);
        if self.plugin != 0 {
            line.handle("plugin", self.plugin);
        }
        line.number("thread", thread());
        match self.inside {
            Inside::Nothing => {}
            Inside::Wake => _ = line.text("inside", "wake"),
            Inside::Callback => _ = line.text("inside", "callback"),
        }
        if is_forked() {
            line.number("fork", std::process::id());
        }
        line
    }

    fn leave(self, write: impl FnOnce(&mut Line)) {
        let end_ns = clock::monotonic().0;
        let mut line = Line::new(self.what, self.name);
        self.common(&mut line).number("begin_ns", self.begin_ns).number("end_ns", end_ns);
        write(&mut line);
        push(line.end());
    }
}

fn is_forked() -> bool {
    OWNER.load(Ordering::Acquire) != std::process::id()
}

fn push(line: String) {
    if is_forked() {
        return push_late(&line);
    }
    match &*OPEN.read() {
        Some(trace) => trace.push(line),
        None => push_late(&line),
    }
}

/// After the last `destroy`, or in a fork child, where there is no thread that writes.
fn push_late(line: &str) {
    if LATE.fetch_add(1, Ordering::AcqRel) >= LATE_MAX {
        return;
    }
    // In a fork child somebody may have had the lock who is not there any more.
    let path = LIFE.try_lock().and_then(|life| life.path.clone());
    let _ = path.map(|path| trace::append(&path, line, LIMIT));
}

/// Traces a call of the host that `run` makes; `write` adds what it was given and what it gave.
pub fn call(
    name: &'static str,
    plugin: abi::vmsf_plugin,
    run: impl FnOnce() -> abi::vmsf_result,
    write: impl FnOnce(&mut Line, abi::vmsf_result),
) -> abi::vmsf_result {
    let shown = matches!(name, "create" | "start" | "stop" | "destroy" | "configure" | "edit");
    let span = quietly(|| Span::enter("call", name, plugin, shown));
    let code = run();
    quietly(|| {
        span.map(|span| {
            span.leave(|line| {
                line.result(code);
                write(line, code);
            })
        })
    });
    code
}

/// Traces a `notify`. What a host does all day, and rightly, is only counted.
pub fn notify(
    p: abi::vmsf_plugin,
    s: abi::vmsf_server,
    kind: u32,
    stamp_ns: u64,
    run: impl FnOnce() -> abi::vmsf_result,
) -> abi::vmsf_result {
    const A_MINUTE: u64 = 60_000_000_000;
    let span = quietly(|| Span::enter("call", "notify", p, false));
    let code = run();
    quietly(|| {
        let now = clock::monotonic().0;
        let is_recent = stamp_ns == 0 || (stamp_ns <= now && now - stamp_ns < A_MINUTE);
        let is_usual = code == abi::VMSF_OK && kind == abi::VMSF_NOTIFY_KEEP_ALIVE && is_recent;
        if is_usual
            && inside() == Inside::Nothing
            && !is_forked()
            && let Some(trace) = &*OPEN.read()
        {
            return trace.count_keep_alive();
        }
        if let Some(span) = span {
            span.leave(|line| {
                line.result(code).handle("server", s).number("kind", kind).number("stamp_ns", stamp_ns);
            });
        }
    });
    code
}

/// Traces a callback that `run` makes; `write` adds what the host was given and what it gave.
#[inline]
pub fn callback<T>(
    name: &'static str,
    plugin: abi::vmsf_plugin,
    run: impl FnOnce() -> T,
    write: impl FnOnce(&mut Line, &T),
) -> T {
    if !is_on() {
        return run();
    }
    let shown = !matches!(name, "log" | "log_level" | "wake");
    let span = quietly(|| Span::enter("callback", name, plugin, shown));
    let given = run();
    quietly(|| span.map(|span| span.leave(|line| write(line, &given))));
    given
}
