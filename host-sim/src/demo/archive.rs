//! Settings archives: what a recording server hands out, the file that a backup is, and what a takeover starts from.
//!
//! Where backups lie, their names and manifests are the plugin's affair: it names the file to write and the file to use. An
//! archive is used only if its bytes have the SHA-256 that is expected. Called by `server` (handing out) and `takeover`.

use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cast::Settings;

/// The largest archive that is read.
const MAX_ARCHIVE: u64 = 1024 * 1024;

/// The archive: the server's settings files.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Archive {
    schema: u32,
    settings: Settings,
}

impl Archive {
    /// The archive of these settings.
    #[must_use]
    pub fn of(settings: Settings) -> Self {
        Self { schema: 1, settings }
    }

    /// The settings in it, which must be this server's.
    ///
    /// # Errors
    /// They are another server's, or cannot be used.
    pub fn settings(self, server: &str) -> Result<Settings> {
        ensure!(self.schema == 1, "schema {} is not known, 1 is", self.schema);
        ensure!(self.settings.id == server, "it is an archive of {}", self.settings.id);
        self.settings.check()?;
        Ok(self.settings)
    }

    /// Writes it, and returns when it is on disk. What an earlier life may have left there is overwritten.
    ///
    /// # Errors
    /// The file cannot be written.
    pub fn write(&self, path: &Path) -> Result<()> {
        let write = || -> Result<()> {
            let mut file = File::create(path)?;
            file.write_all(&serde_json::to_vec_pretty(self)?)?;
            Ok(file.sync_all()?)
        };
        write().with_context(|| format!("cannot write {}", path.display()))
    }
}

/// The settings in a backup whose archive must have this SHA-256.
///
/// # Errors
/// The archive is damaged, of another server, or cannot be read.
pub fn open(path: &Path, expected: &str, server: &str) -> Result<Settings> {
    let bytes = read(path)?;
    let found = sha256(&bytes);
    ensure!(found == expected, "{} is damaged: its SHA-256 is {found}, not {expected}", path.display());
    let archive: Archive =
        serde_json::from_slice(&bytes).with_context(|| format!("{} is no settings archive", path.display()))?;
    archive.settings(server).with_context(|| format!("cannot use {}", path.display()))
}

/// SHA-256 in hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(MAX_ARCHIVE + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() as u64 <= MAX_ARCHIVE, "{} is larger than {MAX_ARCHIVE} bytes", path.display());
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::path::PathBuf;

    use super::super::cast::CAST;
    use super::*;

    fn settings() -> Settings {
        Settings::of(&CAST[0], 51410, PathBuf::from("/recordings"))
    }

    #[test]
    fn an_archive_comes_back_as_it_was_also_over_what_a_killed_host_left() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("incoming-1-2.tmp");
        fs::write(&path, vec![b'x'; 5000]).unwrap();
        Archive::of(settings()).write(&path).unwrap();
        let hash = sha256(&fs::read(&path).unwrap());
        assert_eq!(open(&path, &hash, "arena").unwrap(), settings());
    }

    #[test]
    fn a_damaged_or_foreign_archive_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let path = top.path().join("a.backup");
        Archive::of(settings()).write(&path).unwrap();
        let mut bytes = fs::read(&path).unwrap();
        let hash = sha256(&bytes);
        let foreign = format!("{:#}", open(&path, &hash, "bridge").unwrap_err());
        assert!(foreign.contains("an archive of arena"), "{foreign}");
        bytes[30] ^= 1;
        fs::write(&path, bytes).unwrap();
        let damaged = open(&path, &hash, "arena").unwrap_err();
        assert!(damaged.to_string().contains("is damaged"), "{damaged}");
    }
}
