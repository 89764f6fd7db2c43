//! The `log` facade, bridged to the host of the instance on whose behalf a thread works.
//!
//! A thread outside the plugin has no such instance, and what it logs goes nowhere. What is logged on a thread while the host's `log` runs there
//! is dropped and counted, so that a host which calls in from its log cannot go round in circles. Never log with a lock held, since the host may
//! call in; where rooms below may log meanwhile, `hold_back` keeps their lines until the lock is given back.

use std::cell::{Cell, RefCell};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use log::{Level, LevelFilter, Log, Metadata, Record};
use vms_failover_abi as abi;

use crate::error::cut;
use crate::log::{Entry, Words};
use crate::runtime::Host;

const LINE_MAX: usize = 1024;
/// Where a line comes from that is no single room's.
const TARGET: &str = "vms_failover";

thread_local! {
    static CURRENT: RefCell<Option<Arc<dyn Host>>> = const { RefCell::new(None) };
    static LOGGING: Cell<bool> = const { Cell::new(false) };
    static HELD: RefCell<Option<Vec<Line>>> = const { RefCell::new(None) };
}

struct Line {
    level: Level,
    target: String,
    text: String,
}

static DROPPED: AtomicU64 = AtomicU64::new(0);

struct Bridge;

impl Log for Bridge {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        current().is_some_and(|host| metadata.level() <= host.log_level())
    }

    fn log(&self, record: &Record<'_>) {
        let Some(host) = current() else { return };
        if keeps_back(record) {
            return;
        }
        if LOGGING.replace(true) {
            DROPPED.fetch_add(1, Ordering::Relaxed);
            return;
        }
        if record.level() <= host.log_level() {
            let dropped = DROPPED.swap(0, Ordering::Relaxed);
            if dropped > 0 {
                host.log(
                    Level::Warn,
                    TARGET,
                    &format!("{dropped} lines were logged inside the host's log and dropped"),
                );
            }
            host.log(record.level(), record.target(), &line(&record.args().to_string()));
        }
        LOGGING.set(false);
    }

    fn flush(&self) {}
}

/// Whether this line waits. One that can't be kept, on a thread that is ending, is said at once.
fn keeps_back(record: &Record<'_>) -> bool {
    let waits = HELD.try_with(|held| held.try_borrow().is_ok_and(|lines| lines.is_some()));
    if waits != Ok(true) {
        return false;
    }
    // Made with the list given back: what shows itself here may log, too.
    let line = Line { level: record.level(), target: record.target().to_owned(), text: record.args().to_string() };
    let kept = HELD.try_with(|held| held.try_borrow_mut().ok()?.as_mut().map(|lines| lines.push(line)));
    kept.ok().flatten().is_some()
}

/// Sets the bridge up; once in a process, later calls do nothing.
pub fn install() {
    static BRIDGE: Bridge = Bridge;
    if log::set_logger(&BRIDGE).is_ok() {
        log::set_max_level(LevelFilter::Debug);
    }
}

/// While it lives, what the thread logs goes to this host.
pub struct Entered(Option<Arc<dyn Host>>);

/// Works on behalf of `host` from now on. On a thread that is ending (a host may call in from a thread-exit hook) nothing is logged.
pub fn enter(host: Arc<dyn Host>) -> Entered {
    Entered(CURRENT.try_with(|current| current.replace(Some(host))).ok().flatten())
}

impl Drop for Entered {
    fn drop(&mut self) {
        let before = self.0.take();
        let _ = CURRENT.try_with(|current| current.replace(before));
    }
}

/// While it lives, what the thread logs waits. Dropped after the lock that it was made for.
#[must_use]
pub struct HeldBack(());

/// Keeps what this thread logs from now on. Not one inside another.
pub fn hold_back() -> HeldBack {
    let _ = HELD.try_with(|held| held.replace(Some(Vec::new())));
    HeldBack(())
}

impl Drop for HeldBack {
    fn drop(&mut self) {
        let lines = HELD.try_with(RefCell::take).ok().flatten();
        for Line { level, target, text } in lines.into_iter().flatten() {
            log::log!(target: &target, level, "{text}");
        }
    }
}

fn current() -> Option<Arc<dyn Host>> {
    CURRENT.try_with(|current| current.borrow().clone()).ok().flatten()
}

/// Says an entry in the diagnostic log, too.
pub fn mirror(entry: &Entry, words: &Words) {
    let level = match words.severity {
        abi::VMSF_SEVERITY_DEBUG => Level::Debug,
        abi::VMSF_SEVERITY_INFO => Level::Info,
        abi::VMSF_SEVERITY_WARNING => Level::Warn,
        _ => Level::Error,
    };
    match &entry.server {
        Some(server) => log::log!(target: TARGET, level, "{}: {}", server.id, words.text),
        None => log::log!(target: TARGET, level, "{}", words.text),
    }
}

/// One line, control characters escaped, at most 1,024 bytes.
fn line(text: &str) -> String {
    let mut line = String::with_capacity(text.len());
    for character in text.chars() {
        if character.is_control() { line.extend(character.escape_default()) } else { line.push(character) }
    }
    cut(line, LINE_MAX)
}

#[cfg(test)]
mod tests {
    use std::fmt;

    use parking_lot::Mutex;

    use super::*;
    use crate::runtime::Begin;

    #[test]
    fn a_line_is_one_line_and_bounded() {
        assert_eq!(line("a\nb\0c\u{7f}"), "a\\nb\\u{0}c\\u{7f}");
        assert!(line(&"ä".repeat(4000)).len() <= LINE_MAX);
    }

    /// Logs while it is shown.
    struct Talkative;

    impl fmt::Display for Talkative {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            Bridge.log(&Record::builder().level(Level::Info).args(format_args!("inner")).build());
            f.write_str("outer")
        }
    }

    #[derive(Default)]
    struct Listening(Mutex<Vec<String>>);

    impl Host for Listening {
        fn event(&self, _: &Entry, _: &Words) {}
        fn begin(&self, _: Begin) {}
        fn wake(&self, _: u64) {}
        fn log_level(&self) -> LevelFilter {
            LevelFilter::Info
        }
        fn log(&self, _: Level, _: &str, text: &str) {
            self.0.lock().push(text.to_owned());
        }
        fn is_calling_back(&self) -> bool {
            false
        }
    }

    #[test]
    fn what_logs_while_its_line_is_held_back_is_held_back_before_it() {
        install();
        let host = Arc::new(Listening::default());
        let _entered = enter(Arc::clone(&host) as Arc<dyn Host>);
        let held = hold_back();
        Bridge.log(&Record::builder().level(Level::Info).args(format_args!("{Talkative}")).build());
        assert_eq!(*host.0.lock(), [""; 0]);
        drop(held);
        assert_eq!(*host.0.lock(), ["inner", "outer"]);
    }
}
