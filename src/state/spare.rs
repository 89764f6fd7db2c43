//! Room kept for when the disk is full: two spare files, each as long as a generation may become.
//!
//! A document that finds no room is written *into* a spare file, which then takes the temporary file's name: no neighbour can snatch the
//! room between giving it up and using it, as it could if the spare were removed first. What the replaced generation frees then becomes a
//! spare again. The files hold noise, because a file system may store zeros in no room at all. Called by `pair` and `state`.

use std::io;

use super::disk::Disk;

const NAMES: [&str; 2] = ["spare.1", "spare.2"];
/// The shortest spare.
const LENGTH_MIN: u64 = 64 * 1024;

/// Writes a document into the room of a spare, under the name given. `full` is why: the error where no spare is long enough.
pub fn write(disk: &Disk, name: &str, bytes: &[u8], full: io::Error) -> io::Result<()> {
    for spare in NAMES {
        if disk.length(spare)?.is_some_and(|length| length >= bytes.len() as u64) {
            disk.rename(spare, name)?;
            return disk.overwrite(name, bytes);
        }
    }
    Err(full)
}

/// Makes the spares long enough for documents up to twice as long as this one. What fits stays, also where it fails.
pub fn reserve(disk: &Disk, document: u64) -> io::Result<()> {
    let wanted = document.saturating_mul(2).next_power_of_two().max(LENGTH_MIN);
    for spare in NAMES {
        let length = disk.length(spare)?.unwrap_or(0);
        if length < wanted {
            append_noise(disk, spare, wanted - length)?;
        }
    }
    Ok(())
}

fn append_noise(disk: &Disk, name: &str, length: u64) -> io::Result<()> {
    let mut left = length;
    let mut seed = length | 1;
    while left > 0 {
        let part = noise(&mut seed, left.min(LENGTH_MIN));
        disk.append(name, &part)?;
        left -= part.len() as u64;
    }
    Ok(())
}

/// Bytes that no file system shortens (xorshift).
fn noise(seed: &mut u64, length: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(length as usize + 8);
    while (bytes.len() as u64) < length {
        *seed ^= *seed << 13;
        *seed ^= *seed >> 7;
        *seed ^= *seed << 17;
        bytes.extend(seed.to_le_bytes());
    }
    bytes.truncate(length as usize);
    bytes
}
