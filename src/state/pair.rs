//! One document in two generations, in two files: odd generations in `<name>.a.json`, even ones in `<name>.b.json`. The highest whole one
//! counts.
//!
//! A save writes `<file>.tmp`, syncs it, renames it over the *older* generation, and syncs the directory. The newer one is not touched, so
//! that at any instant one file is whole:
//!
//! | killed, or without power, | leaves | is read as |
//! |---|---|---|
//! | before the rename | both generations, and a temporary file, cut off perhaps | old; `clear` removes the temporary file |
//! | after it, before the directory's sync | either of the two | old or new |
//! | in the first save of all | one file, generation 1, or none | new or fresh |
//!
//! Only there a missing file is right; beside a later generation it is damage like any other. Knows nothing of the payload, but that it may be
//! secret. Called by `state` and `tokens`, one call at a time for each document.

use std::io;
use std::sync::atomic::{AtomicU64, Ordering};

use vms_failover_abi as abi;
use zeroize::Zeroize;

use super::disk::{self, Disk};
use super::envelope::{self, Opened};
use super::spare;
use crate::error::Error;

/// Positions that are no generation: not read yet, and a save is under way.
const UNKNOWN: u64 = u64::MAX;
const BUSY: u64 = u64::MAX - 1;
/// The longest payload, and the longest file with its envelope.
const PAYLOAD_MAX: u64 = 1024 * 1024 * 1024;
const LENGTH_MAX: u64 = PAYLOAD_MAX + 1024;

/// One document of the state directory.
#[derive(Debug)]
pub struct Pair {
    files: [String; 2],
    /// The schema it is written in, and the newest that is read.
    schema: u32,
    /// What to do when both generations are damaged, for the error's text.
    cure: &'static str,
    /// Its text is wiped from memory once it is written, and never goes into a spare.
    is_secret: bool,
    /// The newest whole generation.
    position: AtomicU64,
}

/// What a pair of files holds.
pub struct Found {
    /// The newest whole generation; none in a fresh directory.
    pub newest: Option<Opened>,
    /// What is wrong with the other file.
    pub damaged: Option<String>,
}

/// One file of the two.
enum Slot {
    Missing,
    Whole(Opened),
    Damaged(String),
}

impl Pair {
    /// The document of this name; touches nothing yet.
    pub fn new(name: &str, schema: u32, cure: &'static str) -> Pair {
        let files = [format!("{name}.a.json"), format!("{name}.b.json")];
        Pair { files, schema, cure, is_secret: false, position: AtomicU64::new(UNKNOWN) }
    }

    /// One that holds secrets. It uses up no spare: they are there so that a full disk does not keep the state from being written.
    pub fn secret(name: &str, schema: u32, cure: &'static str) -> Pair {
        Pair { is_secret: true, ..Pair::new(name, schema, cure) }
    }

    /// Removes what a killed process left behind.
    pub fn clear(&self, disk: &Disk) -> Result<(), Error> {
        for file in &self.files {
            let name = temporary(file);
            disk.remove(&name).map_err(|error| Error::io("cannot remove", &disk.path(&name), &error))?;
        }
        Ok(())
    }

    /// How long its longer file is; 0 where there is none.
    pub fn length(&self, disk: &Disk) -> u64 {
        self.files.iter().filter_map(|file| disk.length(file).ok().flatten()).max().unwrap_or(0)
    }

    /// What is kept. Fails where neither file is whole but one is there, and where the newest is of a newer schema.
    pub fn read(&self, disk: &Disk) -> Result<Found, Error> {
        let found = match [self.slot(disk, 0)?, self.slot(disk, 1)?] {
            [Slot::Missing, Slot::Missing] => Found { newest: None, damaged: None },
            [Slot::Whole(odd), Slot::Whole(even)] => {
                Found { newest: Some(if odd.generation > even.generation { odd } else { even }), damaged: None }
            }
            [Slot::Whole(odd), other] => self.beside(disk, odd, other),
            [other, Slot::Whole(even)] => self.beside(disk, even, other),
            [odd, even] => return Err(self.both_damaged(disk, &odd, &even)),
        };
        let newest = found.newest.as_ref();
        self.check_schema(disk, newest)?;
        // While a save is under way, it knows better.
        let generation = newest.map_or(0, |newest| newest.generation);
        let _ = self
            .position
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, |known| (known != BUSY).then_some(generation));
        Ok(found)
    }

    /// Whether something is there, and neither file is whole.
    pub fn is_damaged(&self, disk: &Disk) -> bool {
        let slots = [0, 1].map(|index| self.slot(disk, index));
        let whole = |slot: &Result<Slot, Error>| !matches!(slot, Ok(Slot::Missing | Slot::Damaged(_)));
        !slots.iter().any(whole) && slots.iter().any(|slot| matches!(slot, Ok(Slot::Damaged(_))))
    }

    /// Takes two damaged files for none: the next save begins anew.
    pub fn forget(&self) {
        self.position.store(0, Ordering::Release);
    }

    /// Keeps a payload; gives its generation. After an error the kept generation may be the one before or this one, until a save succeeds.
    pub fn save(&self, disk: &Disk, payload: &[u8]) -> Result<u64, Error> {
        if self.position.load(Ordering::Acquire) == UNKNOWN {
            self.read(disk)?;
        }
        if payload.len() as u64 > PAYLOAD_MAX {
            let text = format!("{} would be longer than {PAYLOAD_MAX} bytes", disk.path(&self.files[0]).display());
            return Err(Error::new(abi::VMSF_ERR_LIMIT, text));
        }
        let known = self.position.swap(BUSY, Ordering::AcqRel);
        if known == BUSY {
            let text = format!("{} is being written already", disk.path(&self.files[0]).display());
            return Err(Error::new(abi::VMSF_ERR_BUSY, text));
        }
        let generation = known + 1;
        let file = self.file(generation);
        let mut text = envelope::seal(self.schema, generation, payload);
        let saved = self.replace(disk, file, &text);
        if self.is_secret {
            text.zeroize();
        }
        self.position.store(if saved.is_ok() { generation } else { known }, Ordering::Release);
        saved.map_err(|error| Error::io("cannot write", &disk.path(file), &error))?;
        Ok(generation)
    }

    /// Puts a whole new file in the place of one.
    fn replace(&self, disk: &Disk, file: &str, text: &[u8]) -> io::Result<()> {
        let name = temporary(file);
        // An earlier save that failed may have left it.
        disk.remove(&name)?;
        let written = match disk.write(&name, text) {
            Err(full) if disk::is_full(&full) && !self.is_secret => {
                disk.remove(&name).and_then(|()| spare::write(disk, &name, text, full))
            }
            written => written,
        };
        if let Err(error) = written.and_then(|()| disk.rename(&name, file)) {
            // Nothing better can be done about a second error; the next save or open tries again.
            let _ = disk.remove(&name);
            return Err(error);
        }
        disk.settle(file)
    }

    fn file(&self, generation: u64) -> &str {
        &self.files[usize::from(generation.is_multiple_of(2))]
    }

    fn slot(&self, disk: &Disk, index: usize) -> Result<Slot, Error> {
        let file = &self.files[index];
        let text = match disk.read(file, LENGTH_MAX) {
            Ok(None) => return Ok(Slot::Missing),
            Ok(Some(text)) if text.len() as u64 > LENGTH_MAX => return Ok(Slot::Damaged("it is too long".into())),
            Ok(Some(text)) => text,
            Err(error) if is_bad_sector(&error) => return Ok(Slot::Damaged(error.to_string())),
            // Whatever else keeps it from being read may pass, and must not cost a generation.
            Err(error) => return Err(Error::io("cannot read", &disk.path(file), &error)),
        };
        Ok(match envelope::open(text) {
            Ok(opened) if self.file(opened.generation) == file => Slot::Whole(opened),
            Ok(opened) => Slot::Damaged(format!("generation {} belongs into the other file", opened.generation)),
            Err(why) => Slot::Damaged(why),
        })
    }

    /// One file is whole, the other is not.
    fn beside(&self, disk: &Disk, whole: Opened, other: Slot) -> Found {
        let path = disk.path(self.file(whole.generation + 1));
        let why = match other {
            Slot::Missing if whole.generation == 1 => None,
            Slot::Missing => Some(format!("{} is missing", path.display())),
            Slot::Damaged(why) => Some(format!("{} is damaged ({why})", path.display())),
            Slot::Whole(_) => None,
        };
        let damaged = why.map(|why| {
            let (generation, file) = (whole.generation, self.file(whole.generation));
            format!(
                "{why}; generation {generation} in {file} is used, and what was kept after it, if anything, is lost"
            )
        });
        Found { newest: Some(whole), damaged }
    }

    fn both_damaged(&self, disk: &Disk, odd: &Slot, even: &Slot) -> Error {
        let why = |slot: &Slot| match slot {
            Slot::Damaged(why) => why.clone(),
            _ => "it is missing".to_owned(),
        };
        let [odd_path, even_path] = [disk.path(&self.files[0]), disk.path(&self.files[1])];
        let text = format!(
            "neither generation can be used: {} ({}), {} ({}); nothing was changed; {}",
            odd_path.display(),
            why(odd),
            even_path.display(),
            why(even),
            self.cure
        );
        Error::new(abi::VMSF_ERR_STATE_DAMAGED, text)
    }

    fn check_schema(&self, disk: &Disk, newest: Option<&Opened>) -> Result<(), Error> {
        let Some(newest) = newest.filter(|newest| newest.schema > self.schema) else { return Ok(()) };
        let text = format!(
            "{} is of schema {}, this version {} reads up to {}; nothing was changed; use the newer version that wrote it, or another state \
             directory",
            disk.path(self.file(newest.generation)).display(),
            newest.schema,
            env!("CARGO_PKG_VERSION"),
            self.schema
        );
        Err(Error::new(abi::VMSF_ERR_STATE_DAMAGED, text))
    }
}

fn temporary(file: &str) -> String {
    format!("{file}.tmp")
}

/// The one error of a read that tells of the file and not of the moment: EIO; on Windows ERROR_CRC.
fn is_bad_sector(error: &io::Error) -> bool {
    error.raw_os_error() == Some(if cfg!(windows) { 23 } else { 5 })
}
