//! The log on disk: JSON Lines in the state directory, rotated by size, read page by page from a number on.
//!
//! Knows no clock, no thread and no lock, and syncs only when it is closed: after a killed process the page cache is still there, so the
//! numbering goes on without a gap; after a power loss it goes on behind the block of numbers that the state file had reserved. Which of
//! the two it was, `boot` tells. What the disk does not take waits in memory, bounded, and is written when the disk takes it again.
//! Never decides whether an entry is fit to be seen: no secret comes this far. Called by `runtime`, without the core's lock.

mod boot;
mod files;
mod line;
mod page;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};

use vms_failover_abi as abi;

use self::boot::{Boot, Mark};
use self::files::{Chunk, Line, Writer};
pub use self::line::LINE_MAX;
pub use self::page::{PAGE_BYTES_MAX, PAGE_ENTRIES_MAX, Page, Reading};
use crate::error::Error;

/// How much is kept, and where.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// A file takes so many bytes.
    pub file_bytes: u64,
    /// So many files are kept, the one being written among them.
    pub files: usize,
    /// So many of the newest entries are kept in memory.
    pub recent: usize,
    /// So many of them may wait for the disk; at most `recent`.
    pub backlog: usize,
    /// Whether anything is synced.
    pub sync: bool,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { file_bytes: 10 * 1024 * 1024, files: 5, recent: 1024, backlog: 1000, sync: true }
    }
}

/// How the log was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opened {
    /// The number of the next entry. May lie behind the reserved block: reserve from here on before giving it out.
    pub next_seq: u64,
    /// Numbers from the first to the second, both included, that may have been lost: to be told as the entry `log_gap`.
    pub gap: Option<(u64, u64)>,
    /// Damaged lines among the newest entries, in words. A line cut by a crash is none.
    pub damaged: Option<String>,
}

/// What waits for the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    /// Entries that are not on disk yet.
    pub waiting: usize,
    /// Entries that never will be, since the log was opened.
    pub dropped: u64,
}

/// The log on disk.
#[derive(Debug)]
pub struct LogStore {
    directory: PathBuf,
    settings: Settings,
    writer: Writer,
    boot: Boot,
    /// The newest entries; the last `waiting` of them are not on disk.
    recent: VecDeque<Line>,
    waiting: usize,
    dropped: u64,
    failing: bool,
    /// Numbers may have been lost and no entry has said so yet.
    gap_untold: bool,
    next_seq: u64,
}

impl LogStore {
    /// Opens the log in `directory`, which is made where it is missing.
    ///
    /// `boot_id` names the running boot of the machine; None if that is not known: then only a clean end avoids a gap. `reserved`: the
    /// state file had reserved the numbers below it *before* this life reserves any (1: none). So open the log first, then reserve.
    ///
    /// # Errors
    /// `VMSF_ERR_IO` with the path if the directory or its files cannot be made, read or written. A full disk is no error here.
    pub fn open(directory: &Path, boot_id: Option<&str>, reserved: u64) -> Result<(LogStore, Opened), Error> {
        LogStore::open_with(directory, boot_id, reserved, Settings::default())
    }

    /// The same, with other sizes.
    ///
    /// # Errors
    /// As `open`.
    pub fn open_with(
        directory: &Path,
        boot_id: Option<&str>,
        reserved: u64,
        settings: Settings,
    ) -> Result<(LogStore, Opened), Error> {
        let failed = |error: io::Error| Error::io("cannot open the log in", directory, &error);
        files::make_directory(directory).map_err(failed)?;
        let firsts = files::list(directory).map_err(failed)?;
        let found = Found::read(directory, &firsts, settings.recent)?;
        let (boot, mark) = Boot::open(directory, boot_id);
        let opened = found.number(&firsts, mark.as_ref(), boot_id, reserved);
        let sizes = (settings.file_bytes, settings.files);
        let writer = Writer::open(directory, sizes, firsts, found.end).map_err(failed)?;
        let mut store = LogStore {
            directory: directory.to_owned(),
            settings,
            writer,
            boot,
            recent: found.recent,
            waiting: 0,
            dropped: 0,
            failing: false,
            gap_untold: opened.gap.is_some(),
            next_seq: opened.next_seq,
        };
        store.begin_life(mark.is_some_and(|mark| mark.closed))?;
        Ok((store, opened))
    }

    fn begin_life(&mut self, was_closed: bool) -> Result<(), Error> {
        if self.writer.firsts().is_empty() {
            // So that a life without entries is told from files that somebody removed.
            match self.writer.begin(self.next_seq) {
                Err(error) if !is_full(&error) => {
                    return Err(Error::io("cannot begin the log in", &self.directory, &error));
                }
                _ => {}
            }
        }
        // Synced only after a clean end: one that outlived this life's entries would make numbers repeat.
        let revoked = if self.mark(was_closed && self.settings.sync) { Ok(()) } else { self.boot.revoke() };
        revoked.map_err(|error| Error::io("cannot remove", self.boot.path(), &error))
    }

    /// Notes that every number given out is in the files. Not while a gap is untold: a life killed before has to find it again.
    fn mark(&mut self, sync: bool) -> bool {
        !self.gap_untold && self.boot.raise(false, self.next_seq, sync).is_ok()
    }

    /// Writes one entry, see `append_all`.
    ///
    /// # Errors
    /// As `append_all`.
    pub fn append(&mut self, seq: u64, line: &str) -> Result<(), Error> {
        self.append_all(&[(seq, line.to_owned())])
    }

    /// Writes entries, each a JSON object with its `"seq"`, in one go (one write up to `backlog` entries and the end of a file); not synced.
    ///
    /// Without entries it tries what waits for the disk.
    ///
    /// # Errors
    /// `VMSF_ERR_IO` with path and reason if the disk does not take all: what is left waits in memory and is tried again with the next
    /// call; only the newest `backlog` are kept for that. `VMSF_ERR_LIMIT` for an entry above 64 KiB, `VMSF_ERR_INTERNAL` for one that
    /// is none or not in order: refused, the others are written. The number of a refused entry is not known to the log; write a shorter
    /// one with it, or it may be given out again after a crash.
    pub fn append_all(&mut self, entries: &[(u64, String)]) -> Result<(), Error> {
        let (mut refused, mut failed) = (None, None);
        for (seq, line) in entries {
            if let Err(error) = self.check(*seq, line) {
                refused.get_or_insert(error);
                continue;
            }
            if self.waiting == self.settings.backlog && failed.is_none() {
                failed = self.flush().err();
            }
            self.remember(*seq, line);
        }
        if failed.is_none() {
            failed = self.flush().err();
        }
        failed.or(refused).map_or(Ok(()), Err)
    }

    fn check(&self, seq: u64, line: &str) -> Result<(), Error> {
        if line.len() > LINE_MAX {
            let text = format!("log entry {seq} has {} bytes; at most {LINE_MAX} are allowed", line.len());
            return Err(Error::new(abi::VMSF_ERR_LIMIT, text));
        }
        if seq < self.next_seq {
            let text = format!("log entry {seq} comes after {}", self.next_seq.saturating_sub(1));
            return Err(Error::new(abi::VMSF_ERR_INTERNAL, text));
        }
        // What could not be read back is not written.
        if !line.starts_with('{') || line.contains('\n') || line::seq_of(line) != Some(seq) {
            let text = format!("log entry {seq} is not one line with a JSON object of that number");
            return Err(Error::new(abi::VMSF_ERR_INTERNAL, text));
        }
        Ok(())
    }

    fn remember(&mut self, seq: u64, line: &str) {
        self.next_seq = seq + 1;
        self.gap_untold = false;
        self.recent.push_back((seq, line.into()));
        self.waiting += 1;
        if self.waiting > self.settings.backlog {
            self.waiting -= 1;
            self.dropped += 1;
        }
        if self.recent.len() > self.settings.recent {
            self.recent.pop_front();
        }
    }

    fn flush(&mut self) -> Result<(), Error> {
        let written = self.write_waiting();
        self.failing = written.is_err();
        // While entries are missing on disk, their numbers must not be given out again after a kill. Where not even this can be
        // removed (a disk gone read-only), nothing can be done.
        let complete = written.is_ok() && (self.boot.stands() || self.mark(false));
        if !complete {
            let _ = self.boot.revoke();
        }
        written
    }

    fn write_waiting(&mut self) -> Result<(), Error> {
        // On a disk that took nothing the last time, one entry is tried, not all again and again.
        let mut most = if self.failing { 1 } else { usize::MAX };
        while self.waiting > 0 {
            let (seq, line) = &self.recent[self.recent.len() - self.waiting];
            if self.writer.ready(*seq, line::stored_len(line))? {
                self.boot.look();
            }
            let (lines, result) = self.writer.write(&self.chunk(most));
            self.waiting -= lines;
            result?;
            most = usize::MAX;
        }
        Ok(())
    }

    /// The entries that go into the file at hand: always one, more while there is room.
    fn chunk(&self, most: usize) -> Chunk {
        let (room, mut chunk) = (self.writer.room(), Chunk::default());
        for (_, line) in self.recent.range(self.recent.len() - self.waiting..).take(most) {
            if chunk.size() > 0 && chunk.size() + line::stored_len(line) > room {
                break;
            }
            chunk.push(line);
        }
        chunk
    }

    /// What waits for the disk.
    pub fn backlog(&self) -> Backlog {
        Backlog { waiting: self.waiting, dropped: self.dropped }
    }

    /// Reads a page from the entry `since_seq` on (0: the oldest), of at most so many entries and bytes.
    ///
    /// The newest entries (1,024) are answered from memory; a page that begins further back reads files and waits for the disk. A caller
    /// that keeps the log under a lock takes a `reading` under it and runs that without.
    ///
    /// # Errors
    /// `VMSF_ERR_IO` if a file cannot be read.
    pub fn read(&self, since_seq: u64, max_entries: usize, max_bytes: usize) -> Result<Page, Error> {
        self.reading(since_seq, max_entries, max_bytes).run()
    }

    /// Prepares a page without touching the disk, see `read`.
    pub fn reading(&self, since_seq: u64, max_entries: usize, max_bytes: usize) -> Reading {
        let last_seq = self.recent.back().map_or(self.next_seq - 1, |(seq, _)| *seq);
        let until = self.recent.front().map_or(self.next_seq, |(seq, _)| *seq);
        let firsts = self.writer.firsts();
        let first_seq = firsts.first().map_or(until, |first| until.min(*first));
        let since = since_seq.max(first_seq);
        let max_entries = max_entries.min(PAGE_ENTRIES_MAX);
        let skip = firsts.partition_point(|first| *first <= since).saturating_sub(1);
        let older = firsts[skip..].iter().take_while(|first| since < until && **first < until);
        let newer = self.recent.partition_point(|(seq, _)| *seq < since);
        Reading {
            since,
            first_seq,
            last_seq,
            max_entries,
            max_bytes: max_bytes.min(PAGE_BYTES_MAX),
            files: older.map(|first| files::path(&self.directory, *first)).collect(),
            until,
            // One more than asked for: it tells a full page from the last one.
            recent: self.recent.range(newer..).take(max_entries + 1).cloned().collect(),
        }
    }

    /// Writes what waits, syncs it, and notes the clean end, after which numbering goes on exactly, whatever happened to the files.
    ///
    /// # Errors
    /// `VMSF_ERR_IO` if entries could not be written or synced; the end is noted all the same where that is possible.
    pub fn close(mut self) -> Result<(), Error> {
        let flushed = self.flush();
        let synced = if self.settings.sync { self.writer.sync() } else { Ok(()) };
        let ended = if self.gap_untold { Ok(()) } else { self.boot.raise(true, self.next_seq, self.settings.sync) };
        let ended = ended.map_err(|error| Error::io("cannot write", self.boot.path(), &error));
        flushed.and(synced).and(ended)
    }
}

fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// What the files hold at their ends.
struct Found {
    recent: VecDeque<Line>,
    /// Where the last whole line of the newest file ends.
    end: u64,
    damaged: u64,
    /// Damaged lines behind the last good entry.
    damaged_last: u64,
    words: Option<String>,
}

impl Found {
    fn read(directory: &Path, firsts: &[u64], want: usize) -> Result<Found, Error> {
        let mut found = Found { recent: VecDeque::new(), end: 0, damaged: 0, damaged_last: 0, words: None };
        for (index, first) in firsts.iter().enumerate().rev() {
            if found.recent.len() >= want {
                break;
            }
            let path = files::path(directory, *first);
            let tail = files::tail(&path, want - found.recent.len());
            let tail = tail.map_err(|error| Error::io("cannot read the log", &path, &error))?;
            if index + 1 == firsts.len() {
                found.end = tail.end;
            }
            found.add(&path, tail);
        }
        Ok(found)
    }

    fn add(&mut self, path: &Path, tail: files::Tail) {
        if self.recent.is_empty() {
            self.damaged_last += tail.damaged_last;
        }
        self.damaged += tail.damaged;
        if tail.damaged > 0 {
            self.words = Some(format!("{} damaged lines, some in {}", self.damaged, path.display()));
        }
        for line in tail.lines.into_iter().rev() {
            if self.recent.front().is_none_or(|(next, _)| line.0 < *next) {
                self.recent.push_front(line);
            }
        }
    }

    /// Where the numbering goes on.
    fn number(&self, firsts: &[u64], mark: Option<&Mark>, boot_id: Option<&str>, reserved: u64) -> Opened {
        let last = self.recent.back().map_or(0, |(seq, _)| *seq);
        let marked = mark.map_or(1, |mark| mark.next_seq);
        // A number that was given out is in a line, in the name of a file, below the mark, or was in a line now damaged.
        let seen = (last + 1).max(marked).max(firsts.last().copied().unwrap_or(1));
        let whole = self.damaged_last == 0 && !firsts.is_empty();
        let exact = mark.is_some_and(|mark| mark.covers(boot_id) && (mark.closed || whole));
        let next_seq = if exact { seen } else { reserved.max(seen + self.damaged_last) };
        let gap = (next_seq > seen).then(|| (seen, next_seq - 1));
        Opened { next_seq, gap, damaged: self.words.clone() }
    }
}
