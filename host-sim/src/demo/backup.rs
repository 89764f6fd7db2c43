//! Settings backups: what the demo's host writes before the losses, and what a takeover starts from.
//!
//! Names and manifest are the plugin's: `<backup_directory>/<server id>/<YYYYMMDDTHHMMSSZ>-<n>.backup` with a `.json` beside
//! it; the newest is the highest `n`, never the clock's. A backup is used only if its bytes have the SHA-256 that is expected,
//! and is never changed once published. Called by `failover`.

use std::fs::{self, File};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail, ensure};
use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::cast::Settings;

/// The largest archive that is read.
const MAX_ARCHIVE: u64 = 1024 * 1024;

/// The archive: the server's settings files.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Archive {
    schema: u32,
    settings: Settings,
}

/// What stands beside a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// 1.
    pub schema: u32,
    /// The server's id.
    pub server: String,
    /// The number in the name; it only grows.
    pub number: u64,
    /// When it was made.
    pub time: String,
    /// Bytes of the archive.
    pub size: u64,
    /// SHA-256 of the archive, in hexadecimal.
    pub sha256: String,
}

/// A published backup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// The archive.
    pub path: PathBuf,
    /// What stands beside it.
    pub manifest: Manifest,
}

/// Publishes a server's settings as its next backup.
///
/// # Errors
/// The folder cannot be written.
pub fn publish(directory: &Path, settings: &Settings, utc_ms: u64) -> Result<Backup> {
    let folder = directory.join(&settings.id);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let number = numbers(&folder).last().map_or(1, |(last, _)| last + 1);
    let time = DateTime::<Utc>::from_timestamp_millis(utc_ms.cast_signed()).context("a time out of range")?;
    let archive = serde_json::to_vec_pretty(&Archive { schema: 1, settings: settings.clone() })?;
    let manifest = Manifest {
        schema: 1,
        server: settings.id.clone(),
        number,
        time: time.format("%Y-%m-%dT%H:%M:%SZ").to_string(),
        size: archive.len() as u64,
        sha256: sha256(&archive),
    };
    let path = folder.join(format!("{}-{number}.backup", time.format("%Y%m%dT%H%M%SZ")));
    // The manifest first: a backup is there once its archive is.
    write(&path.with_extension("json"), &serde_json::to_vec_pretty(&manifest)?)?;
    write(&path, &archive)?;
    Ok(Backup { path, manifest })
}

/// The newest backup of a server.
///
/// # Errors
/// There is none, or its manifest cannot be read.
pub fn newest(directory: &Path, server: &str) -> Result<Backup> {
    let folder = directory.join(server);
    let Some((_, path)) = numbers(&folder).pop() else { bail!("no backup in {}", folder.display()) };
    let beside = path.with_extension("json");
    let manifest = read(&beside).and_then(|text| Ok(serde_json::from_slice(&text)?));
    let manifest = manifest.with_context(|| format!("cannot use the manifest {}", beside.display()))?;
    Ok(Backup { path, manifest })
}

/// The settings in a backup whose archive must have this SHA-256.
///
/// # Errors
/// The archive is damaged, of another server, or cannot be read.
pub fn open(path: &Path, expected: &str, server: &str) -> Result<Settings> {
    let archive = read(path)?;
    let found = sha256(&archive);
    ensure!(found == expected, "{} is damaged: its SHA-256 is {found}, not {expected}", path.display());
    let archive: Archive =
        serde_json::from_slice(&archive).with_context(|| format!("{} is no settings archive", path.display()))?;
    ensure!(archive.schema == 1, "{}: schema {} is not known, 1 is", path.display(), archive.schema);
    ensure!(archive.settings.id == server, "{} is a backup of {}", path.display(), archive.settings.id);
    archive.settings.check()?;
    Ok(archive.settings)
}

/// SHA-256 in hexadecimal.
fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Number and path of each backup in a folder, lowest first.
fn numbers(folder: &Path) -> Vec<(u64, PathBuf)> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut found: Vec<(u64, PathBuf)> =
        entries.filter_map(|entry| Some((number(&entry.file_name().into_string().ok()?)?, entry.path()))).collect();
    found.sort_unstable();
    found
}

fn number(name: &str) -> Option<u64> {
    name.strip_suffix(".backup")?.split_once('-')?.1.parse().ok()
}

fn read(path: &Path) -> Result<Vec<u8>> {
    let mut bytes = Vec::new();
    let file = File::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    file.take(MAX_ARCHIVE + 1).read_to_end(&mut bytes).with_context(|| format!("cannot read {}", path.display()))?;
    ensure!(bytes.len() as u64 <= MAX_ARCHIVE, "{} is larger than {MAX_ARCHIVE} bytes", path.display());
    Ok(bytes)
}

/// Writes a file under another name until it is whole and on disk.
fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    let folder = path.parent().context("a path without a folder")?;
    let mut file = tempfile::NamedTempFile::new_in(folder)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::cast::CAST;
    use super::*;

    fn settings() -> Settings {
        Settings::of(&CAST[0], 51410, PathBuf::from("/recordings"))
    }

    #[test]
    fn a_backup_comes_back_as_it_was() {
        let top = tempfile::tempdir().unwrap();
        let made = publish(top.path(), &settings(), 1_767_225_600_000).unwrap();
        assert_eq!(made.path, top.path().join("arena/20260101T000000Z-1.backup"));
        assert_eq!(made.manifest.size, fs::metadata(&made.path).unwrap().len());
        let found = newest(top.path(), "arena").unwrap();
        assert_eq!(found, made);
        assert_eq!(open(&found.path, &found.manifest.sha256, "arena").unwrap(), settings());
        assert_eq!(fs::read_dir(top.path().join("arena")).unwrap().count(), 2, "no temporary file");
    }

    #[test]
    fn the_newest_is_the_highest_number_whatever_the_clock_says() {
        let top = tempfile::tempdir().unwrap();
        for (utc_ms, number) in (1..=11).rev().zip(1..) {
            let made = publish(top.path(), &settings(), utc_ms * 1_000_000_000).unwrap();
            assert_eq!(made.manifest.number, number);
            assert_eq!(newest(top.path(), "arena").unwrap(), made);
        }
    }

    #[test]
    fn a_damaged_or_foreign_backup_is_refused() {
        let top = tempfile::tempdir().unwrap();
        let made = publish(top.path(), &settings(), 0).unwrap();
        let foreign = open(&made.path, &made.manifest.sha256, "bridge").unwrap_err();
        assert!(foreign.to_string().contains("is a backup of arena"), "{foreign}");
        let mut bytes = fs::read(&made.path).unwrap();
        bytes[30] ^= 1;
        fs::write(&made.path, bytes).unwrap();
        let damaged = open(&made.path, &made.manifest.sha256, "arena").unwrap_err();
        assert!(damaged.to_string().contains("is damaged"), "{damaged}");
        assert!(newest(top.path(), "bridge").unwrap_err().to_string().contains("no backup in"));
    }
}
