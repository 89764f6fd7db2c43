//! The trace file of the border: a bounded queue of lines and the one thread that writes them.
//!
//! `ffi::trace` says what stands in a line; this room sees to it that no call waits for the disk: what the queue has no room for is dropped and
//! counted, what is more than the file may hold is cut, and a disk that takes nothing ends the trace, not the host. The thread is there while a
//! trace is open, in a driven instance, too. Never looks into a line. Called by `ffi::trace` alone.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Duration;

use crossbeam_channel::{Receiver, RecvTimeoutError, Sender, bounded};

use super::clock::{self, Clock};

/// The largest trace, in bytes.
pub const LIMIT: u64 = 64 * 1024 * 1024;
/// Lines that may wait for the disk.
const QUEUE: usize = 16_384;
/// Room that is kept for the last line of a trace that is cut.
const LAST_LINE: u64 = 256;
/// How often what was summed up is written.
const TICK: Duration = Duration::from_secs(1);
/// How long `destroy` waits for a disk that hangs.
const PATIENCE: Duration = Duration::from_secs(5);

enum Message {
    Line(String),
    /// What came before it is to be on disk; then, at the end of the trace, the thread ends.
    Flush {
        ends: bool,
        done: Sender<()>,
    },
}

#[derive(Default)]
struct Shared {
    lost: AtomicU64,
    keep_alives: AtomicU64,
    failed: OnceLock<String>,
}

/// An open trace file.
pub struct Trace {
    queue: Sender<Message>,
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl Trace {
    /// Opens the file, emptied or at its end, and starts the thread. The error is for people.
    pub fn open(path: &Path, empty: bool, limit: u64) -> Result<Trace, String> {
        let failed = |error: io::Error| format!("{}: {error}", path.display());
        let file = open(path, empty).map_err(failed)?;
        let written = file.metadata().map_err(failed)?.len();
        let (queue, lines) = bounded(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer { file, written, limit, is_over: false, shared: Arc::clone(&shared) };
        let thread = crate::ffi::os::with_signals_blocked(|| {
            std::thread::Builder::new().name("vms-trace".into()).spawn(move || writer.work(&lines))
        });
        Ok(Trace { queue, shared, thread: thread.map_err(failed)? })
    }

    /// Writes a line soon; never waits.
    pub fn push(&self, line: String) {
        if self.queue.try_send(Message::Line(line)).is_err() {
            self.shared.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// One more of what is only counted.
    pub fn count_keep_alive(&self) {
        self.shared.keep_alives.fetch_add(1, Ordering::Relaxed);
    }

    /// Why nothing is written any more.
    pub fn failed(&self) -> Option<&str> {
        self.shared.failed.get().map(String::as_str)
    }

    /// Waits until what was pushed is on disk, for as long as a disk may take that does not hang. False if it did not.
    pub fn flush(&self) -> bool {
        self.request(false)
    }

    /// Writes what is left and ends the thread, which a disk that hangs keeps.
    pub fn close(self) {
        if self.request(true) {
            let _ = self.thread.join();
        }
    }

    fn request(&self, ends: bool) -> bool {
        let (done, is_done) = bounded(1);
        let sent = self.queue.send_timeout(Message::Flush { ends, done }, PATIENCE);
        sent.is_ok() && is_done.recv_timeout(PATIENCE).is_ok()
    }
}

/// Writes one line to a trace that nobody has open, or from a process that has not opened it: at once, and only where there is room.
pub fn append(path: &Path, line: &str, limit: u64) -> io::Result<()> {
    let mut file = open(path, false)?;
    if file.metadata()?.len() + line.len() as u64 + LAST_LINE > limit {
        return Ok(());
    }
    // One write, so that it stays one line whoever writes beside.
    file.write_all(format!("{line}\n").as_bytes())
}

/// A pipe or a device could hold the host up, so only a plain file is one.
fn open(path: &Path, empty: bool) -> io::Result<File> {
    if fs::metadata(path).is_ok_and(|found| !found.is_file()) {
        return Err(io::Error::other("it is no plain file"));
    }
    let mut options = OpenOptions::new();
    options.append(true).create(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let file = options.open(path)?;
    if empty {
        file.set_len(0)?;
    }
    Ok(file)
}

struct Writer {
    file: File,
    written: u64,
    limit: u64,
    /// Cut or failed: what comes is thrown away.
    is_over: bool,
    shared: Arc<Shared>,
}

impl Writer {
    fn work(&mut self, lines: &Receiver<Message>) {
        loop {
            let first = match lines.recv_timeout(TICK) {
                Ok(message) => Some(message),
                Err(RecvTimeoutError::Timeout) => None,
                Err(RecvTimeoutError::Disconnected) => return,
            };
            let (mut batch, mut flushes, mut is_last) = (Vec::new(), Vec::new(), false);
            for message in first.into_iter().chain(lines.try_iter().take(QUEUE)) {
                match message {
                    Message::Line(line) => batch.push(line),
                    Message::Flush { ends, done } => {
                        is_last |= ends;
                        flushes.push(done);
                    }
                }
            }
            self.add_counts(&mut batch);
            self.write(&batch);
            flushes.into_iter().for_each(|done| _ = done.send(()));
            if is_last {
                return;
            }
        }
    }

    fn add_counts(&self, batch: &mut Vec<String>) {
        let keep_alives = self.shared.keep_alives.swap(0, Ordering::Relaxed);
        if keep_alives > 0 {
            batch.push(format!(r#"{{"keep_alives":{keep_alives},"at_ns":{}}}"#, clock::monotonic().0));
        }
        let lost = self.shared.lost.swap(0, Ordering::Relaxed);
        if lost > 0 {
            batch.push(format!(r#"{{"lost":{lost},"at_ns":{}}}"#, clock::monotonic().0));
        }
    }

    fn write(&mut self, batch: &[String]) {
        if self.is_over || batch.is_empty() {
            return;
        }
        let room = self.limit.saturating_sub(self.written + LAST_LINE);
        let mut bytes = String::new();
        let fit = batch.iter().take_while(|line| {
            let fits = (bytes.len() + line.len() + 1) as u64 <= room;
            if fits {
                bytes.push_str(line);
                bytes.push('\n');
            }
            fits
        });
        if fit.count() < batch.len() {
            bytes.push_str(&format!("{{\"cut\":\"a trace has at most {} bytes\"}}\n", self.limit));
            self.is_over = true;
        }
        match self.file.write_all(bytes.as_bytes()) {
            Ok(()) => self.written += bytes.len() as u64,
            Err(error) => {
                // No half line stays, as far as the disk lets it.
                let _ = self.file.set_len(self.written);
                self.is_over = true;
                let _ = self.shared.failed.set(error.to_string());
            }
        }
    }
}

/// The wall clock, for the first line of a trace.
pub fn utc() -> String {
    crate::time::utc(Clock::System.utc_ms())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(path: &Path) -> Vec<String> {
        fs::read_to_string(path).unwrap().lines().map(str::to_owned).collect()
    }

    #[test]
    fn what_was_pushed_is_there_after_a_flush_and_a_later_opening_goes_on_behind_it() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("trace");
        fs::write(&path, "of an earlier process\n").unwrap();
        let trace = Trace::open(&path, true, LIMIT).unwrap();
        (0..1_000).for_each(|n| trace.push(n.to_string()));
        assert!(trace.flush());
        assert_eq!(lines(&path), (0..1_000).map(|n| n.to_string()).collect::<Vec<_>>());
        trace.push("last".into());
        trace.count_keep_alive();
        trace.close();
        append(&path, "late", LIMIT).unwrap();
        Trace::open(&path, false, LIMIT).unwrap().close();
        let lines = lines(&path);
        assert_eq!((lines.len(), lines[1_000].as_str(), lines[1_002].as_str()), (1_003, "last", "late"));
        assert!(lines[1_001].starts_with(r#"{"keep_alives":1,"#), "{}", lines[1_001]);
    }

    #[test]
    fn a_trace_that_is_full_ends_with_a_line_that_says_so_and_stays_within_its_bound() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("trace");
        let trace = Trace::open(&path, true, 4_096).unwrap();
        for n in 0..500 {
            trace.push(format!("{{\"line\":{n}}}"));
            // A batch of one line now and then, too.
            assert!(n % 50 != 0 || trace.flush());
        }
        trace.close();
        assert!(append(&path, "late", 4_096).is_ok());
        let lines = lines(&path);
        assert_eq!(lines.last().map(String::as_str), Some(r#"{"cut":"a trace has at most 4096 bytes"}"#));
        assert!(lines.len() > 100 && fs::metadata(&path).unwrap().len() <= 4_096);
        assert_eq!(lines[..100], (0..100).map(|n| format!("{{\"line\":{n}}}")).collect::<Vec<_>>());
    }

    #[test]
    fn what_the_queue_has_no_room_for_is_counted_and_the_count_is_written() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("trace");
        let (queue, receiver) = bounded(2);
        let shared = Arc::new(Shared::default());
        let file = open(&path, true).unwrap();
        let mut writer = Writer { file, written: 0, limit: LIMIT, is_over: false, shared: Arc::clone(&shared) };
        // The disk is slow: the writer begins to work when five lines have come.
        let (go, gate) = bounded::<()>(1);
        let thread = std::thread::spawn(move || {
            let _ = gate.recv();
            writer.work(&receiver);
        });
        let trace = Trace { queue, shared, thread };
        (0..5).for_each(|n| trace.push(n.to_string()));
        go.send(()).unwrap();
        assert!(trace.flush());
        trace.close();
        let lines = lines(&path);
        assert_eq!(lines[..2], ["0", "1"]);
        assert!(lines[2].starts_with(r#"{"lost":3,"#), "{lines:?}");
    }

    #[test]
    fn what_is_no_plain_file_or_cannot_be_made_is_refused_by_its_path() {
        let root = tempfile::tempdir().unwrap();
        for path in [root.path().to_owned(), root.path().join("none/trace"), std::path::PathBuf::from("/dev/full")] {
            let Err(text) = Trace::open(&path, true, LIMIT) else { panic!("{} is opened", path.display()) };
            assert!(text.starts_with(&path.display().to_string()), "{text}");
        }
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_disk_that_takes_nothing_ends_the_trace_and_says_why() {
        // A device that is always full, by the door behind the check for plain files.
        let file = OpenOptions::new().append(true).open("/dev/full").unwrap();
        let (queue, receiver) = bounded(QUEUE);
        let shared = Arc::new(Shared::default());
        let mut writer = Writer { file, written: 0, limit: LIMIT, is_over: false, shared: Arc::clone(&shared) };
        let thread = std::thread::spawn(move || writer.work(&receiver));
        let trace = Trace { queue, shared, thread };
        trace.push("a line".into());
        assert!(trace.flush());
        assert!(trace.failed().is_some_and(|why| why.contains("space")), "{:?}", trace.failed());
        trace.push("another".into());
        trace.close();
    }
}
