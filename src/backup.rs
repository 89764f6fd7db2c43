//! The settings backups of the monitored servers, as they lie on disk: `<backup_directory>/<server id>/<YYYYMMDDTHHMMSSZ>-<n>.backup`
//! with a `.json` manifest beside each.
//!
//! In this version the host writes them; here the newest is found for a takeover's request. The newest is the highest `n`, never by the
//! clock. Changes nothing. Called by `runtime`, with no lock held.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

/// A manifest is small; a larger file is none.
const MANIFEST_MAX: u64 = 64 * 1024;

/// One backup.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backup {
    /// The archive.
    pub path: PathBuf,
    /// Its hash by the manifest, if there is a readable one.
    pub sha256: Option<String>,
}

/// The newest backup of a server. None where there is none, or the folder can't be read.
pub fn newest(backup_directory: &Path, server_id: &str) -> Option<Backup> {
    let folder = backup_directory.join(server_id);
    let archives =
        fs::read_dir(folder).ok()?.flatten().filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_file()));
    let numbered = archives.filter_map(|entry| Some((number(entry.file_name().to_str()?)?, entry.path())));
    let (_, path) = numbered.max()?;
    let sha256 = sha256_of(&path.with_extension("json"));
    Some(Backup { path, sha256 })
}

/// `20260101T000000Z-12.backup` → 12.
fn number(file_name: &str) -> Option<u64> {
    let (stamp, number) = file_name.strip_suffix(".backup")?.split_once('-')?;
    chrono::NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ").ok()?;
    number.parse().ok()
}

fn sha256_of(manifest: &Path) -> Option<String> {
    let mut text = Vec::new();
    File::open(manifest).ok()?.take(MANIFEST_MAX).read_to_end(&mut text).ok()?;
    let manifest: serde_json::Value = serde_json::from_slice(&text).ok()?;
    let sha256 = manifest.get("sha256")?.as_str()?;
    (sha256.len() == 64 && sha256.bytes().all(|byte| byte.is_ascii_hexdigit())).then(|| sha256.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_is_the_highest_number_whatever_the_clock_said() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("a");
        fs::create_dir(&folder).unwrap();
        for name in
            ["20260102T000000Z-9.backup", "20260101T000000Z-10.backup", "notes.backup", "20260103T000000Z-11.tmp"]
        {
            fs::write(folder.join(name), "x").unwrap();
        }
        let hash = "ab".repeat(32);
        fs::write(folder.join("20260101T000000Z-10.json"), format!("{{\"sha256\":\"{hash}\"}}")).unwrap();
        let newest = newest(root.path(), "a").unwrap();
        assert_eq!(newest.path, folder.join("20260101T000000Z-10.backup"));
        assert_eq!(newest.sha256.as_deref(), Some(hash.as_str()));
    }

    #[test]
    fn no_folder_is_no_backup() {
        assert_eq!(newest(Path::new("/nonexistent"), "a"), None);
    }

    #[test]
    fn a_manifest_that_is_none_leaves_the_hash_out() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("a")).unwrap();
        fs::write(root.path().join("a/20260101T000000Z-1.backup"), "x").unwrap();
        for manifest in ["", "[]", "{\"sha256\":7}", "{\"sha256\":\"zz\"}"] {
            fs::write(root.path().join("a/20260101T000000Z-1.json"), manifest).unwrap();
            assert_eq!(newest(root.path(), "a").unwrap().sha256, None, "{manifest}");
        }
    }
}
