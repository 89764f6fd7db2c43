//! The files of the log: their names, what their ends hold, and the one that is written.

use std::collections::VecDeque;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::line::{self, Next, SEQ_MAX};
use crate::error::Error;

/// An entry in memory. Shared, so that a reader takes it along without copying under its caller's lock.
pub type Line = (u64, Arc<str>);

/// First guess of what holds the newest entries; four times as much is tried until it does.
const TAIL_BYTES: u64 = 512 * 1024;

/// A file begun with this number. Sorted by name is sorted by number.
pub fn path(directory: &Path, first: u64) -> PathBuf {
    directory.join(format!("log-{first:020}.jsonl"))
}

fn first_of(name: &str) -> Option<u64> {
    let digits = name.strip_prefix("log-")?.strip_suffix(".jsonl")?;
    let all = digits.len() == 20 && digits.bytes().all(|byte| byte.is_ascii_digit());
    if all { digits.parse().ok().filter(|first| *first <= SEQ_MAX) } else { None }
}

/// The first numbers of all files, ascending. A file holds no number below its own first and none from the next file's on.
pub fn list(directory: &Path) -> io::Result<Vec<u64>> {
    let mut firsts = Vec::new();
    for entry in fs::read_dir(directory)? {
        firsts.extend(entry?.file_name().to_str().and_then(first_of));
    }
    firsts.sort_unstable();
    Ok(firsts)
}

/// Makes the directory, for its owner alone.
pub fn make_directory(directory: &Path) -> io::Result<()> {
    builder(true).create(directory)
}

/// Makes it again, where it went alone. Never what it lies in: a state directory that is gone has to come back as a whole.
fn remake_directory(directory: &Path) -> io::Result<()> {
    match builder(false).create(directory) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        made => made,
    }
}

fn builder(recursive: bool) -> DirBuilder {
    let mut builder = DirBuilder::new();
    builder.recursive(recursive);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder
}

/// Options for a file that only its owner may read.
pub fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no modes to set"))]
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// What the end of a file holds.
#[derive(Debug, Default)]
pub struct Tail {
    /// The newest entries, ascending.
    pub lines: VecDeque<Line>,
    /// Where the last whole line ends.
    pub end: u64,
    /// Damaged lines passed over.
    pub damaged: u64,
    /// Those of them behind the last good one: their numbers are not known.
    pub damaged_last: u64,
}

/// Reads the newest `want` entries of a file.
pub fn tail(path: &Path, want: usize) -> io::Result<Tail> {
    let mut file = File::open(path)?;
    let size = file.metadata()?.len();
    let mut window = TAIL_BYTES;
    loop {
        let from = size.saturating_sub(window);
        let tail = tail_from(&mut file, from, want)?;
        if tail.lines.len() >= want || from == 0 {
            return Ok(tail);
        }
        window = window.saturating_mul(4);
    }
}

fn tail_from(file: &mut File, from: u64, want: usize) -> io::Result<Tail> {
    let (mut reader, mut buffer) = (BufReader::new(file), Vec::new());
    let mut tail = Tail { end: skip_to_line(&mut reader, from)?, ..Tail::default() };
    loop {
        let (size, found) = match line::next(&mut reader, &mut buffer)? {
            Next::Whole(size) => (size, line::numbered(&buffer)),
            Next::TooLong(size) => (size, None),
            Next::Cut | Next::End => return Ok(tail),
        };
        tail.end += size;
        match found.filter(|(seq, _)| tail.lines.back().is_none_or(|(last, _)| seq > last)) {
            Some((seq, line)) => {
                tail.lines.push_back((seq, line.into()));
                tail.damaged_last = 0;
            }
            None => (tail.damaged, tail.damaged_last) = (tail.damaged + 1, tail.damaged_last + 1),
        }
        if tail.lines.len() > want {
            tail.lines.pop_front();
        }
    }
}

/// Goes to the first line that begins at `from` or later, and says where that is.
pub fn skip_to_line(reader: &mut BufReader<&mut File>, from: u64) -> io::Result<u64> {
    // From one byte before: a line that begins exactly at `from` is not skipped.
    let before = from.saturating_sub(1);
    reader.seek(SeekFrom::Start(before))?;
    if from == 0 {
        return Ok(0);
    }
    match line::next(reader, &mut Vec::new())? {
        Next::Whole(size) | Next::TooLong(size) => Ok(before + size),
        Next::Cut | Next::End => Ok(from),
    }
}

/// Entries as they go to the file, with where each of them ends.
#[derive(Debug, Default)]
pub struct Chunk {
    bytes: Vec<u8>,
    ends: Vec<usize>,
}

impl Chunk {
    /// Adds an entry.
    pub fn push(&mut self, line: &str) {
        line::encode(line, &mut self.bytes);
        self.ends.push(self.bytes.len());
    }

    /// Its size.
    pub fn size(&self) -> u64 {
        self.bytes.len() as u64
    }
}

#[derive(Debug)]
struct Current {
    file: File,
    path: PathBuf,
    /// Where its last whole line ends.
    size: u64,
    /// Part of a line stands behind `size` and could not be cut off yet.
    torn: bool,
}

impl Current {
    fn mend(&mut self) -> io::Result<()> {
        if self.torn {
            self.file.set_len(self.size)?;
            self.torn = false;
        }
        Ok(())
    }

    /// Whether the file under this name is still ours as we left it. An open file that somebody removed takes writes without a word.
    fn is_as_left(&self) -> io::Result<bool> {
        match fs::metadata(&self.path) {
            Ok(found) => Ok(found.len() == self.size),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// The file that is written, and how many there are.
#[derive(Debug)]
pub struct Writer {
    directory: PathBuf,
    file_bytes: u64,
    keep: usize,
    firsts: Vec<u64>,
    current: Option<Current>,
    /// Files from this one on were written in this life.
    written_from: u64,
    names_changed: bool,
}

impl Writer {
    /// Goes on in the newest file behind `end`, where its last whole line ends.
    pub fn open(directory: &Path, (file_bytes, keep): (u64, usize), firsts: Vec<u64>, end: u64) -> io::Result<Writer> {
        let newest = firsts.last().copied();
        let mut writer = Writer {
            directory: directory.to_owned(),
            file_bytes,
            keep,
            firsts,
            current: None,
            written_from: newest.unwrap_or(0),
            names_changed: false,
        };
        if let Some(first) = newest {
            let path = path(directory, first);
            let file = private().write(true).open(&path)?;
            let torn = file.metadata()?.len() != end;
            let mut current = Current { file, path, size: end, torn };
            current.mend()?;
            writer.current = Some(current);
        }
        Ok(writer)
    }

    /// The first numbers of all files.
    pub fn firsts(&self) -> &[u64] {
        &self.firsts
    }

    /// Makes sure that there is a file with room for a line of `size` bytes. True if one had to be begun.
    pub fn ready(&mut self, seq: u64, size: u64) -> Result<bool, Error> {
        if let Some(current) = &mut self.current {
            let as_left = current.mend().and_then(|()| current.is_as_left());
            let as_left = as_left.map_err(|error| Error::io("cannot write the log", &current.path, &error))?;
            if as_left && (current.size == 0 || current.size + size <= self.file_bytes) {
                return Ok(false);
            }
            self.current = None;
        }
        self.begin(seq).map_err(|error| Error::io("cannot begin the log file", &path(&self.directory, seq), &error))?;
        Ok(true)
    }

    /// Begins a file, and removes the oldest beyond those kept.
    pub fn begin(&mut self, seq: u64) -> io::Result<()> {
        remake_directory(&self.directory)?;
        let mut firsts = list(&self.directory)?;
        let path = path(&self.directory, seq);
        let file = private().create(true).write(true).truncate(true).open(&path)?;
        if firsts.last() != Some(&seq) {
            firsts.push(seq);
        }
        let surplus = firsts.len().saturating_sub(self.keep);
        // What cannot be removed now is tried again with the next file.
        let stays = |first: &u64| fs::remove_file(self::path(&self.directory, *first)).is_err();
        self.firsts = firsts.drain(..surplus).filter(stays).collect();
        self.firsts.append(&mut firsts);
        self.names_changed = true;
        self.current = Some(Current { file, path, size: 0, torn: false });
        Ok(())
    }

    /// How many bytes the file still takes.
    pub fn room(&self) -> u64 {
        self.current.as_ref().map_or(0, |current| self.file_bytes.saturating_sub(current.size))
    }

    /// Writes a chunk: how many of its lines are in the file now, and why not all. Part of a line is cut off again.
    pub fn write(&mut self, chunk: &Chunk) -> (usize, Result<(), Error>) {
        let Some(current) = &mut self.current else { return (0, Ok(())) };
        let (done, result) = write_at(&current.file, current.size, &chunk.bytes);
        let lines = chunk.ends.partition_point(|end| *end <= done);
        let whole = lines.checked_sub(1).map_or(0, |last| chunk.ends[last]);
        current.size += whole as u64;
        current.torn = done > whole;
        // Cutting needs no room on the disk; if it fails, the next write tries again first.
        let _ = current.mend();
        (lines, result.map_err(|error| Error::io("cannot write the log", &current.path, &error)))
    }

    /// Syncs what was written in this life.
    pub fn sync(&self) -> Result<(), Error> {
        for first in self.firsts.iter().filter(|first| **first >= self.written_from) {
            let path = path(&self.directory, *first);
            let synced = private().write(true).open(&path).and_then(|file| file.sync_data());
            synced.map_err(|error| Error::io("cannot sync the log", &path, &error))?;
        }
        let synced = if self.names_changed { sync_directory(&self.directory) } else { Ok(()) };
        synced.map_err(|error| Error::io("cannot sync the log's directory", &self.directory, &error))
    }
}

fn write_at(file: &File, at: u64, bytes: &[u8]) -> (usize, io::Result<()>) {
    // Not opened for appending: such a file cannot be cut on Windows.
    let mut done = 0;
    while done < bytes.len() {
        match write_some_at(file, at + done as u64, &bytes[done..]) {
            Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
            Ok(size) => done += size,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return (done, Err(error)),
        }
    }
    (done, Ok(()))
}

#[cfg(unix)]
fn write_some_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::unix::fs::FileExt::write_at(file, bytes, at)
}

#[cfg(windows)]
fn write_some_at(file: &File, at: u64, bytes: &[u8]) -> io::Result<usize> {
    std::os::windows::fs::FileExt::seek_write(file, bytes, at)
}

#[cfg(unix)]
fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Windows has no such thing.
#[cfg(not(unix))]
fn sync_directory(_directory: &Path) -> io::Result<()> {
    Ok(())
}
