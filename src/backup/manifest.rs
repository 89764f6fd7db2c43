//! The manifest beside an archive: what it is and its hash. The only JSON of `backup`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::check::Flaw;
use super::disk;
use super::name::Name;
use crate::error::Error;

/// A manifest is small; a larger file is none.
const SIZE_MAX: u64 = 64 * 1024;
const SCHEMA: u32 = 1;

/// What is known of a published archive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    schema: u32,
    server: String,
    number: u64,
    /// RFC 3339, UTC.
    pub time: String,
    /// In bytes.
    pub size: u64,
    /// 64 hexadecimal digits.
    pub sha256: String,
}

impl Manifest {
    /// The manifest of a server's backup.
    pub fn new(server: &str, name: Name, size: u64, sha256: String) -> Manifest {
        Manifest { schema: SCHEMA, server: server.to_owned(), number: name.number, time: name.time(), size, sha256 }
    }

    /// Writes it to a new file, synced if asked.
    pub fn write(&self, path: &Path, sync: bool) -> Result<(), Error> {
        let failed = |error| Error::io("cannot write", path, &error);
        // A new file only: whatever lies there, a link above all, is not written through.
        let mut file = File::options().write(true).create_new(true).open(path).map_err(failed)?;
        let mut text = serde_json::to_string_pretty(self).unwrap_or_default();
        text.push('\n');
        let mut written = file.write_all(text.as_bytes()).map_err(failed);
        if sync {
            written = written.and_then(|()| disk::sync_file(&file, path));
        }
        if written.is_err() {
            // On a full disk above all. If even that fails, the next `clean` does it.
            let _ = disk::remove(path);
        }
        written
    }

    /// Reads the manifest of this backup of this server, or says why there is none.
    pub fn read(path: &Path, server: &str, name: Name) -> Result<Manifest, Flaw> {
        let damaged = |why| Flaw::Damaged(format!("its manifest {why}"));
        let manifest = Manifest::parse(&read(path)?).map_err(damaged)?;
        // On Windows the folder is the same however its name is spelled.
        let same_server = manifest.server.eq_ignore_ascii_case(server);
        if manifest.schema == SCHEMA && same_server && manifest.number == name.number && manifest.time == name.time() {
            return Ok(manifest);
        }
        let Manifest { schema, server, number, time, .. } = &manifest;
        let is = format!("schema {schema}, server {server:?}, number {number}, time {time:?}");
        Err(damaged(format!("is of another backup: {is}")))
    }

    fn parse(text: &[u8]) -> Result<Manifest, String> {
        let manifest: Manifest = serde_json::from_slice(text).map_err(|error| format!("can't be read: {error}"))?;
        let digits = |byte: u8| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte);
        let hash = manifest.sha256.len() == 64 && manifest.sha256.bytes().all(digits);
        if hash { Ok(manifest) } else { Err("has no SHA-256 of 64 lower-case hexadecimal digits".into()) }
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Flaw> {
    let unreadable = |why: String| Flaw::Unreadable(format!("its manifest can't be read: {why}"));
    let looked = disk::plain(path).map_err(|error| unreadable(error.to_string()))?;
    let stamp = looked.map_err(|why| Flaw::Damaged(format!("its manifest {why}")))?;
    if stamp.size > SIZE_MAX {
        return Err(Flaw::Damaged(format!("its manifest has {} bytes, more than {SIZE_MAX}", stamp.size)));
    }
    let (file, _) = disk::open_plain(path).map_err(|error| unreadable(error.text))?;
    let mut text = Vec::new();
    file.take(SIZE_MAX).read_to_end(&mut text).map_err(|error| unreadable(error.to_string()))?;
    Ok(text)
}
