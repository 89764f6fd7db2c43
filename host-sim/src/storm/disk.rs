//! What lies on the disk at the end: the published backups, the tokens, and nothing else.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use serde_json::Value;

use super::KEPT;
use super::check::Checker;
use super::host::ALL;
use super::last::temporary_files;
use super::work::{sha256, token};

/// What is in the state directory.
const STATE: [&str; 10] = [
    "state.a.json",
    "state.b.json",
    "config.a.json",
    "config.b.json",
    "tokens.a.json",
    "tokens.b.json",
    "spare.1",
    "spare.2",
    "lock",
    "log",
];

/// What is wrong with the files below the storm's folder.
///
/// # Errors
/// They cannot be read.
pub fn faults(folder: &Path, checker: &Checker) -> Result<Vec<String>> {
    let mut wrong: Vec<String> =
        temporary_files(folder)?.into_iter().map(|file| format!("{file} was left over")).collect();
    let (backups, state) = (folder.join("backups"), folder.join("state"));
    wrong.extend(strange_files(&backups, |name| ALL.contains(&name))?);
    wrong.extend(strange_files(&state, |name| STATE.contains(&name))?);
    wrong.extend(strange_files(&state.join("log"), is_of_log)?);
    for server in ALL {
        let files = names(&backups.join(server))?;
        wrong.extend(backup_faults(server, &backups.join(server), &files, checker)?);
    }
    wrong.extend(token_faults(&state, checker)?);
    Ok(wrong)
}

fn is_of_log(name: &str) -> bool {
    let number = name.strip_prefix("log-").and_then(|rest| rest.strip_suffix(".jsonl"));
    name == "boot.json" || number.is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
}

fn strange_files(folder: &Path, is_known: impl Fn(&str) -> bool) -> Result<Vec<String>> {
    let strange = names(folder)?.into_iter().filter(|name| !is_known(name));
    Ok(strange.map(|name| format!("{} is nothing that belongs there", folder.join(name).display())).collect())
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let cannot = || format!("cannot read {}", folder.display());
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).with_context(cannot)? {
        names.push(entry.with_context(cannot)?.file_name().to_string_lossy().into_owned());
    }
    names.sort_unstable();
    Ok(names)
}

fn backup_faults(server: &str, folder: &Path, files: &[String], checker: &Checker) -> Result<Vec<String>> {
    let mut wrong = Vec::new();
    let mut there = BTreeMap::new();
    for file in files {
        let number = file.strip_suffix(".backup").and_then(|stem| stem.split_once('-')?.1.parse::<u64>().ok());
        match number {
            Some(number) => {
                wrong.extend(archive_fault(server, number, &folder.join(file))?);
                there.insert(number, folder.join(file).display().to_string());
            }
            None if file.strip_suffix(".json").is_some_and(|stem| files.contains(&format!("{stem}.backup"))) => {}
            None => wrong.push(format!("{server}: {file} is neither a backup nor the manifest of one")),
        }
    }
    let none = BTreeMap::new();
    let published = checker.published.get(server).unwrap_or(&none);
    for (number, backup) in published {
        match there.get(number) {
            Some(path) if *path == backup.path => {}
            Some(path) => wrong.push(format!("{server}: backup {number} is {path}, published was {}", backup.path)),
            None if there.range(number + 1..).count() >= KEPT => {}
            None => wrong.push(format!("{server}: {backup:?} is gone, and fewer than {KEPT} are newer")),
        }
    }
    let unknown = there.keys().filter(|number| !published.contains_key(number));
    let unknown = unknown.filter(|number| !checker.may_be_published(server, **number));
    wrong.extend(unknown.map(|number| format!("{server}: nobody was told of backup {number}")));
    if there.len() > KEPT {
        wrong.push(format!("{server}: {} backups are there, {KEPT} are kept", there.len()));
    }
    Ok(wrong)
}

/// It must be what its manifest says.
fn archive_fault(server: &str, number: u64, path: &Path) -> Result<Option<String>> {
    let bytes = fs::read(path).with_context(|| format!("cannot read {}", path.display()))?;
    let manifest: Value = fs::read(path.with_extension("json"))
        .ok()
        .and_then(|text| serde_json::from_slice(&text).ok())
        .unwrap_or_default();
    let fits = manifest["sha256"] == sha256(&bytes)
        && manifest["size"] == bytes.len()
        && manifest["number"] == number
        && manifest["server"] == server;
    Ok((!fits).then(|| format!("{server}: {} is not what its manifest says: {manifest}", path.display())))
}

/// The newest generation holds one token for each server, the one that its last authorization brought, whole; all servers are authorized.
fn token_faults(state: &Path, checker: &Checker) -> Result<Vec<String>> {
    let mut newest = Value::Null;
    for name in ["tokens.a.json", "tokens.b.json"] {
        let text = fs::read(state.join(name)).with_context(|| format!("cannot read {name}"))?;
        let document: Value = serde_json::from_slice(&text).with_context(|| format!("{name} is damaged"))?;
        if document["generation"].as_u64() > newest["generation"].as_u64() {
            newest = document;
        }
    }
    let tokens = newest["state"]["tokens"].as_array().cloned().unwrap_or_default();
    let mut left = ALL.to_vec();
    let mut wrong = Vec::new();
    for kept in &tokens {
        let (server, op) = (kept["id"].as_str().unwrap_or_default(), kept["op"].as_u64().unwrap_or(0));
        let digits: String = token(server, op).iter().map(|byte| format!("{byte:02x}")).collect();
        let known = left.iter().position(|id| *id == server).map(|place| left.swap_remove(place)).is_some();
        if !known || !checker.access.may_have(server, op) || kept["token"] != digits {
            wrong.push(format!("a token of {server:?} by {op} is kept; that is not its own"));
        }
    }
    wrong.extend(left.iter().map(|server| format!("no token of {server} is kept, and it is authorized")));
    Ok(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whatever_does_not_belong_there_is_found_and_what_cannot_be_read_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        fs::create_dir(&log).unwrap();
        for name in ["boot.json", "log-00000000000000000001.jsonl", "log-1.jsonl.old"] {
            fs::write(log.join(name), "").unwrap();
        }
        let strange = strange_files(&log, is_of_log).unwrap();
        assert!(strange.len() == 1 && strange[0].contains("log-1.jsonl.old"), "{strange:?}");
        assert!(strange_files(folder.path(), |name| STATE.contains(&name)).unwrap().is_empty());
        fs::write(log.join("x.tmp"), "").unwrap();
        assert_eq!(temporary_files(folder.path()).unwrap().len(), 1);
        let nowhere = folder.path().join("nowhere");
        assert!(temporary_files(&nowhere).is_err() && strange_files(&nowhere, |_| true).is_err());
    }
}
