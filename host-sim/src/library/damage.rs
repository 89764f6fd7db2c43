//! Damage to files of the plugin, as a bad disk does it. Goes by what is documented of them, as whoever administers the machine can see it:
//! `<backup_directory>/<server id>/<time>-<n>.backup`, the newest being the highest `n`; and two generations of the state, `state.a.json`
//! and `state.b.json`, each with its `"generation"`.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Deserialize;

const GENERATIONS: [&str; 2] = ["state.a.json", "state.b.json"];
/// Further than the coarsest file system counts, so that a file changed within the tick of its making shows it.
const LATER: Duration = Duration::from_secs(10);

#[derive(Deserialize)]
struct Envelope {
    generation: u64,
}

/// Changes a byte of the newest backup of a server.
///
/// # Errors
/// There is none, or it cannot be changed.
pub(crate) fn backup(backup_directory: &Path, server: &str) -> Result<(), String> {
    let folder = backup_directory.join(server);
    let newest = newest_backup(&folder).map_err(|e| format!("{}: {e}", folder.display()))?;
    flip(&newest.ok_or_else(|| format!("there is no backup of {server} in {}", folder.display()))?)
}

/// Changes a byte of the newest generation of the state.
///
/// # Errors
/// There is none, or it cannot be changed.
pub(crate) fn state(state_directory: &Path) -> Result<(), String> {
    let generation = |file: &PathBuf| {
        let envelope: Envelope = serde_json::from_slice(&fs::read(file).ok()?).ok()?;
        Some(envelope.generation)
    };
    let files = GENERATIONS.map(|name| state_directory.join(name));
    let newest = files.iter().filter_map(|file| Some((generation(file)?, file))).max();
    let (_, newest) = newest.ok_or_else(|| format!("there is no state in {}", state_directory.display()))?;
    flip(newest)
}

fn newest_backup(folder: &Path) -> io::Result<Option<PathBuf>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default();
        let number = stem.rsplit_once('-').and_then(|(_, number)| number.parse::<u64>().ok());
        if let Some(number) = number.filter(|_| path.extension().is_some_and(|extension| extension == "backup")) {
            newest = newest.max(Some((number, path)));
        }
    }
    Ok(newest.map(|(_, path)| path))
}

/// The size stays, the time of the last change does not.
fn flip(path: &Path) -> Result<(), String> {
    let flip = || {
        let mut bytes = fs::read(path)?;
        let middle = bytes.len() / 2;
        let byte = bytes.get_mut(middle).ok_or_else(|| io::Error::other("it is empty"))?;
        *byte ^= 1;
        let changed = fs::metadata(path)?.modified()? + LATER;
        fs::write(path, bytes)?;
        File::options().write(true).open(path)?.set_modified(changed)
    };
    flip().map_err(|e: io::Error| format!("{}: {e}", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How many bytes differ.
    fn differing(path: &Path, before: &str) -> usize {
        let after = fs::read(path).unwrap();
        assert_eq!(after.len(), before.len());
        after.iter().zip(before.as_bytes()).filter(|(a, b)| a != b).count()
    }

    #[test]
    fn the_backup_with_the_highest_number_changes_in_one_byte_and_its_time() {
        let folder = tempfile::tempdir().unwrap();
        let a = folder.path().join("a");
        fs::create_dir(&a).unwrap();
        let names = ["20990101T000000Z-9.backup", "20260101T000000Z-10.backup", "20260101T000000Z-11.json", "x-99.tmp"];
        names.iter().for_each(|name| fs::write(a.join(name), "settings").unwrap());
        let newest = a.join(names[1]);
        let before = fs::metadata(&newest).unwrap().modified().unwrap();
        backup(folder.path(), "a").unwrap();
        for name in names {
            assert_eq!(differing(&a.join(name), "settings"), usize::from(name == names[1]), "{name}");
        }
        assert!(fs::metadata(&newest).unwrap().modified().unwrap() > before);
    }

    #[test]
    fn the_newer_generation_of_the_state_changes_in_one_byte() {
        let folder = tempfile::tempdir().unwrap();
        let text = |generation| format!(r#"{{"schema":1,"generation":{generation},"state":{{"key":"value"}}}}"#);
        fs::write(folder.path().join("state.a.json"), text(11)).unwrap();
        fs::write(folder.path().join("state.b.json"), text(10)).unwrap();
        state(folder.path()).unwrap();
        assert_eq!(differing(&folder.path().join("state.a.json"), &text(11)), 1);
        assert_eq!(differing(&folder.path().join("state.b.json"), &text(10)), 0);
    }

    #[test]
    fn where_there_is_nothing_to_damage_that_is_said() {
        let folder = tempfile::tempdir().unwrap();
        assert!(backup(folder.path(), "a").is_err());
        fs::create_dir(folder.path().join("a")).unwrap();
        assert!(backup(folder.path(), "a").unwrap_err().contains("there is no backup of a"));
        assert!(state(folder.path()).unwrap_err().contains("there is no state"));
    }
}
