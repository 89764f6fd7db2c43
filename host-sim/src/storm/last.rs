//! The end of the last life: whatever the kills have left open is brought to its end, then everything has to work once more.
//!
//! First what is found is answered and comes to rest; then leftovers must be gone; then all servers are there, authorized and backed up, and one
//! is taken over and restored.

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::host::{ALL, Doer, status};

/// How long anything may take.
const LIMIT: Duration = Duration::from_secs(60);

/// Brings everything to its end.
///
/// # Errors
/// Something does not come to its end; the text says what, with the status.
pub fn bring_to_an_end(doer: &mut Doer<'_>, folder: &Path) -> Result<()> {
    until(doer, "all that was begun is over", |_, status| is_at_rest(status))?;
    let backups = folder.join("backups");
    until(doer, "no temporary file is left", |_, _| temporary_files(&backups).is_ok_and(|files| files.is_empty()))?;
    until(doer, "all servers are configured", |doer, _| doer.has_all() || doer.configure(doer.with_all()))?;
    until(doer, "it is part of the cluster", |doer, _| doer.call("join", "").is_ok())?;
    until(doer, "the slot is free", |doer, status| {
        let held = ALL.iter().find(|id| status["holder"] == **id);
        held.into_iter().for_each(|id| _ = doer.call("restore", id));
        status["queue"].as_array().into_iter().flatten().filter_map(Value::as_str).for_each(|id| {
            let _ = doer.call("cancel", id);
        });
        is_at_rest(status) && held.is_none() && status["queue"] == Value::Array(Vec::new())
    })?;
    for id in ALL {
        if server(&status(doer.instance)?, id)["authorized"] != true {
            until(doer, "a server is authorized", |doer, _| doer.call("authorize", id).is_ok())?;
        }
    }
    until(doer, "all servers are authorized", |_, status| {
        ALL.iter().all(|id| server(status, id)["authorized"] == true)
    })?;
    until(doer, "all servers are backed up", |doer, _| doer.call("backup_all", "").is_ok())?;
    until(doer, "the backups are over", |_, status| is_at_rest(status))?;
    until(doer, "every last backup is good", |_, status| {
        ALL.iter().all(|id| server(status, id)["last_backup"]["result"] == "ok")
    })?;
    until(doer, "a takeover is accepted", |doer, _| doer.call("takeover", "a").is_ok())?;
    until(doer, "it is taken over", |_, status| status["mode"] == "taken_over")?;
    until(doer, "a restore is accepted", |doer, _| doer.call("restore", "a").is_ok())?;
    until(doer, "it is restored", |_, status| status["mode"] == "standby" && is_at_rest(status))
}

fn until(doer: &mut Doer<'_>, what: &str, mut done: impl FnMut(&mut Doer<'_>, &Value) -> bool) -> Result<()> {
    let limit = Instant::now() + LIMIT;
    loop {
        let status = status(doer.instance)?;
        if done(doer, &status) {
            return Ok(());
        }
        if Instant::now() > limit {
            bail!("waited in vain until {what}: {status}");
        }
        std::thread::sleep(Duration::from_millis(2));
    }
}

/// Nothing is under way that the host or the files have to be waited for.
fn is_at_rest(status: &Value) -> bool {
    let idle = |server: &Value| server["operation"].is_null() && server["takeover"]["operation"].is_null();
    status["backups"].is_null() && status["servers"].as_array().into_iter().flatten().all(idle)
}

fn server<'a>(status: &'a Value, id: &str) -> &'a Value {
    let servers = status["servers"].as_array().map_or(&[][..], Vec::as_slice);
    servers.iter().find(|server| server["id"] == id).unwrap_or(&Value::Null)
}

/// Files that are only there while something is written, at any depth.
///
/// # Errors
/// A directory cannot be read.
pub fn temporary_files(directory: &Path) -> Result<Vec<String>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).with_context(|| format!("cannot read {}", directory.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            found.extend(temporary_files(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "tmp") {
            found.push(path.display().to_string());
        }
    }
    Ok(found)
}
