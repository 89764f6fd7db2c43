//! SHA-256 of a file, a slice at a time. Called by the jobs of `backup`.

use std::fs::File;
use std::io::{self, Read};

use sha2::{Digest as _, Sha256};

/// Read at once: small enough to lie on the heap for a job's life, large enough that reading costs nothing beside hashing.
const BUFFER: usize = 64 * 1024;

/// A hash under way.
pub struct Digest {
    /// The file, open for reading.
    pub file: File,
    hasher: Sha256,
    size: u64,
    hashed: u64,
    buffer: Box<[u8]>,
}

impl Digest {
    /// Begins to hash the first `size` bytes of a file: one that grows for ever is still hashed in bounded time.
    pub fn new(file: File, size: u64) -> Digest {
        Digest { file, hasher: Sha256::new(), size, hashed: 0, buffer: vec![0; BUFFER].into() }
    }

    /// Hashes at most `budget` bytes, at least one. True at the end, which comes early in a file that has shrunk.
    pub fn step(&mut self, budget: u64) -> io::Result<bool> {
        let mut left = budget.max(1).min(self.size - self.hashed);
        while left > 0 {
            let want = usize::try_from(left).unwrap_or(BUFFER).min(BUFFER);
            let read = match self.file.read(&mut self.buffer[..want]) {
                Ok(0) => return Ok(true),
                Ok(read) => read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            self.hasher.update(&self.buffer[..read]);
            self.hashed += read as u64;
            count_hashed(read as u64);
            left -= read as u64;
        }
        Ok(self.hashed == self.size)
    }

    /// How many bytes are in the hash.
    pub fn hashed(&self) -> u64 {
        self.hashed
    }

    /// The hash of what was read, as 64 hexadecimal digits.
    pub fn hex(&self) -> String {
        self.hasher.clone().finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(not(test))]
fn count_hashed(_: u64) {}

#[cfg(test)]
thread_local! {
    /// How many bytes this thread has hashed.
    pub static HASHED: std::cell::Cell<u64> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count_hashed(bytes: u64) {
    HASHED.with(|hashed| hashed.set(hashed.get() + bytes));
}

impl std::fmt::Debug for Digest {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Digest").field("size", &self.size).field("hashed", &self.hashed).finish_non_exhaustive()
    }
}
