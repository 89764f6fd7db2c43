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

/// What is wrong with the files below the storm's folder.
///
/// # Errors
/// They cannot be read.
pub fn faults(folder: &Path, checker: &Checker) -> Result<Vec<String>> {
    let mut wrong: Vec<String> =
        temporary_files(folder).into_iter().map(|file| format!("{file} was left over")).collect();
    for server in ALL {
        let files = names(&folder.join("backups").join(server))?;
        wrong.extend(backup_faults(server, &folder.join("backups").join(server), &files, checker)?);
    }
    wrong.extend(token_faults(&folder.join("state"), checker)?);
    Ok(wrong)
}

fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names: Vec<String> = entries.flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
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
        let Ok(text) = fs::read(state.join(name)) else { continue };
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
