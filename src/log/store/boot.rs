//! The small file beside the log that says whether its numbers can be trusted to the last: by the boot it was written in, or by a clean end.
//!
//! It stands only while every number given out is in the files. What is missing, unreadable or of another boot is "not known": the
//! numbering then goes on behind the reserved block. So losing this file is always safe; a wrong one never is.

use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::{files, line};

const NAME: &str = "boot.json";
const SIZE_MAX: u64 = 4096;

/// What the file says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The boot it was written in.
    pub boot_id: Option<String>,
    /// Whether the log was closed after the last entry.
    pub closed: bool,
    /// No number from here on had been given out when it was written.
    pub next_seq: u64,
}

impl Mark {
    /// Whether nothing that was written can have been lost since.
    pub fn covers(&self, boot_id: Option<&str>) -> bool {
        self.closed || (boot_id.is_some() && self.boot_id.as_deref() == boot_id)
    }
}

/// The file, and whether it stands.
#[derive(Debug)]
pub struct Boot {
    path: PathBuf,
    boot_id: Option<String>,
    stands: bool,
}

impl Boot {
    /// Of the log in this directory, with what the file says so far.
    pub fn open(directory: &Path, boot_id: Option<&str>) -> (Boot, Option<Mark>) {
        let path = directory.join(NAME);
        let mark = read(&path);
        // Taken to stand until it was removed: an unreadable file must not come back to life.
        let stands = path.exists();
        (Boot { path, boot_id: boot_id.map(str::to_owned), stands }, mark)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Whether it stands.
    pub fn stands(&self) -> bool {
        self.stands
    }

    /// Looks again: the whole directory may have been taken away.
    pub fn look(&mut self) {
        self.stands = self.path.exists();
    }

    /// Writes it. In place and in one write: a file put beside and renamed would need a second sync.
    pub fn raise(&mut self, closed: bool, next_seq: u64, sync: bool) -> io::Result<()> {
        let mark = Mark { boot_id: self.boot_id.clone(), closed, next_seq };
        let mut bytes = Vec::new();
        line::encode(&serde_json::to_string(&mark)?, &mut bytes);
        self.stands = true;
        let mut file = files::private().create(true).write(true).truncate(false).open(&self.path)?;
        file.write_all(&bytes)?;
        if sync { file.sync_data() } else { Ok(()) }
    }

    /// Takes it away. Not synced: after a power loss the boot is another one anyway.
    pub fn revoke(&mut self) -> io::Result<()> {
        if self.stands {
            match fs::remove_file(&self.path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => self.stands = false,
            }
        }
        Ok(())
    }
}

/// Its first line; what an earlier, longer one left behind it does not count.
fn read(path: &Path) -> Option<Mark> {
    let mut bytes = Vec::new();
    File::open(path).ok()?.take(SIZE_MAX).read_to_end(&mut bytes).ok()?;
    let end = bytes.iter().position(|byte| *byte == b'\n')?;
    serde_json::from_str(&line::decode(&bytes[..end])?).ok()
}
