//! One page of the log: from memory where it can be, from the files where it must be.

use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;

use super::files::{Line, skip_to_line};
use super::line::{self, Next, STORED_MAX};
use crate::error::Error;

/// The most entries of a page.
pub const PAGE_ENTRIES_MAX: usize = 10_000;
/// The most bytes of a page; one entry is given whatever its size, or reading would not get on.
pub const PAGE_BYTES_MAX: usize = 16 * 1024 * 1024;
/// How near the search in a file comes before lines are read one by one.
const NEAR: u64 = 64 * 1024;

/// A page of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The entries, one JSON object each, ascending.
    pub entries: Vec<String>,
    /// Where the next page begins. Behind `last_seq`: there is no more yet.
    pub next_seq: u64,
    /// The oldest number kept; behind `last_seq` if there is no entry.
    pub first_seq: u64,
    /// The newest number.
    pub last_seq: u64,
    /// Damaged lines passed over in the files; those among the newest entries were told when the log was opened.
    pub damaged: u64,
}

/// A page about to be read: everything that the log knows about it, so that reading needs the log no more.
#[derive(Debug)]
pub struct Reading {
    pub(super) since: u64,
    pub(super) first_seq: u64,
    pub(super) last_seq: u64,
    pub(super) max_entries: usize,
    pub(super) max_bytes: usize,
    /// Files that hold entries older than those in memory; the first may hold some before `since`.
    pub(super) files: Vec<PathBuf>,
    /// The first number in memory.
    pub(super) until: u64,
    pub(super) recent: Vec<Line>,
}

impl Reading {
    /// Whether `run` reads files, and so may wait for the disk.
    pub fn needs_disk(&self) -> bool {
        !self.files.is_empty()
    }

    /// Reads the page. A file that is gone is passed over.
    pub fn run(self) -> Result<Page, Error> {
        let mut gather = Gather::new(&self);
        for (index, path) in self.files.iter().enumerate() {
            let file = match File::open(path) {
                Err(error) if is_gone(&error) => continue,
                file => file,
            };
            let read = file.and_then(|mut file| self.read_file(&mut file, index == 0, &mut gather));
            read.map_err(|error| Error::io("cannot read the log", path, &error))?;
        }
        for (seq, line) in &self.recent {
            gather.take(*seq, || line.as_ref().to_owned());
        }
        Ok(gather.page(self.last_seq))
    }

    fn read_file(&self, file: &mut File, search: bool, gather: &mut Gather) -> io::Result<()> {
        let from = if search { find(file, self.since)? } else { 0 };
        let (mut reader, mut buffer) = (BufReader::new(file), Vec::new());
        skip_to_line(&mut reader, from)?;
        while !gather.full {
            match line::next(&mut reader, &mut buffer)? {
                Next::Whole(_) => match line::numbered(&buffer) {
                    Some((seq, _)) if seq >= self.until => return Ok(()),
                    Some((seq, line)) => gather.take(seq, || line),
                    None => gather.page.damaged += 1,
                },
                Next::TooLong(_) => gather.page.damaged += 1,
                // Somebody may be writing just there; what is missing is in memory.
                Next::Cut | Next::End => return Ok(()),
            }
        }
        Ok(())
    }
}

/// Rotated away, or the directory was: what is left of the page is still worth having.
fn is_gone(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory)
}

/// A place in the file at or before the first number from `since` on, where a line begins.
pub(super) fn find(file: &mut File, since: u64) -> io::Result<u64> {
    let (mut low, mut high) = (0, file.metadata()?.len());
    while high.saturating_sub(low) > NEAR {
        let middle = low + (high - low) / 2;
        match first_number(file, middle)? {
            Some((at, seq)) if seq < since && at > low => low = at,
            // Nothing readable around there: looking further up could miss entries, so read on from below.
            _ => high = middle,
        }
    }
    Ok(low)
}

/// The first good line that begins at `from` or soon after it.
fn first_number(file: &mut File, from: u64) -> io::Result<Option<(u64, u64)>> {
    let (mut reader, mut buffer) = (BufReader::new(file), Vec::new());
    let mut at = skip_to_line(&mut reader, from)?;
    while at < from + 2 * STORED_MAX as u64 {
        match line::next(&mut reader, &mut buffer)? {
            Next::Whole(size) => match line::numbered(&buffer) {
                Some((seq, _)) => return Ok(Some((at, seq))),
                None => at += size,
            },
            Next::TooLong(size) => at += size,
            Next::Cut | Next::End => break,
        }
    }
    Ok(None)
}

/// A page being filled.
struct Gather {
    page: Page,
    max_entries: usize,
    max_bytes: usize,
    bytes: usize,
    full: bool,
}

impl Gather {
    fn new(reading: &Reading) -> Gather {
        let page = Page {
            entries: Vec::new(),
            next_seq: reading.since,
            first_seq: reading.first_seq,
            last_seq: reading.last_seq,
            damaged: 0,
        };
        Gather { page, max_entries: reading.max_entries, max_bytes: reading.max_bytes, bytes: 0, full: false }
    }

    /// Takes an entry if it is new to the page and has room there.
    fn take(&mut self, seq: u64, line: impl FnOnce() -> String) {
        if self.full || seq < self.page.next_seq {
            return;
        }
        if self.page.entries.len() == self.max_entries {
            self.full = true;
            return;
        }
        let line = line();
        self.bytes += line.len() + 1;
        if self.bytes > self.max_bytes && !self.page.entries.is_empty() {
            self.full = true;
            return;
        }
        self.page.entries.push(line);
        self.page.next_seq = seq + 1;
    }

    fn page(mut self, last_seq: u64) -> Page {
        if !self.full {
            self.page.next_seq = self.page.next_seq.max(last_seq + 1);
        }
        self.page
    }
}
