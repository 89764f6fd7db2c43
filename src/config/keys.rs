//! Which keys there are, and what is said of one that is not among them.
//!
//! What it does: lists the keys of the document, its objects and an edit; finds the key that was meant. What it must never
//! do: look at a value. Who calls it: `object` for every object it opens, `check` and `edit` for the lists.

use serde_json::Value;

use super::faults::{At, Faults};

pub(super) const KEYS: &[&str] = &[
    "schema",
    "backup_directory",
    "store_path",
    "server_communication",
    "client_communication",
    "open_api",
    "daily_backup",
    "backup_time_utc",
    "automatic_takeover",
    "automatic_restore",
    "timeouts",
    "takeover_timeout_s",
    "restore_timeout_s",
    "backup_timeout_s",
    "drill_timeout_s",
    "operation_timeout_s",
    "restore_stable_s",
    "pause_tolerance_s",
    "backups_kept",
    "recordings_ini",
    "monitored_servers",
];
pub(super) const SERVER_KEYS: &[&str] = &["id", "name", "host", "port", "http_port", "priority"];
pub(super) const EDIT_KEYS: &[&str] = &["set", "add", "change", "remove"];

/// The keys of the objects in the document; an edit merges into these.
pub(super) const OBJECTS: &[(&str, &[&str])] = &[
    ("server_communication", &["address", "port"]),
    ("client_communication", &["address"]),
    ("open_api", &["host", "port"]),
    ("timeouts", &["connected_s", "started_s", "keep_alive_s", "normal_shutdown_s", "abnormal_shutdown_s"]),
    ("recordings_ini", &["section", "key", "separator"]),
];

/// Known to the specification, not to this version: naming them beats "unknown key".
pub(super) const UNSUPPORTED: &[&str] =
    &["backup_max_age_s", "probe_timeout_s", "mass_failure_share", "mass_failure_hold_s", "takeovers_per_hour"];

/// The keys of an object of the document; none if it has no such object.
pub(super) fn keys_of(object: &str) -> &'static [&'static str] {
    OBJECTS.iter().find(|(name, _)| *name == object).map_or(&[], |(_, keys)| keys)
}

/// Notes a key that is not `known`, with the one that was probably meant.
pub(super) fn unknown(at: &At<'_>, key: &str, value: &Value, known: &[&str], faults: &mut Faults) {
    if !faults.room() {
        return;
    }
    let at = At::Key(at, key);
    if UNSUPPORTED.contains(&key) {
        faults.note(&at, Some(value), "absent", "this key is not supported by this version; leave it out");
        return;
    }
    let near = known.iter().map(|known| (distance(key, known), known)).min().filter(|(d, k)| *d <= 1 + k.len() / 6);
    let allowed = format!("one of {}", known.join(", "));
    match near {
        Some((_, near)) => faults.note(&at, Some(value), &allowed, format_args!("unknown key; did you mean {near}?")),
        None => faults.note(&at, Some(value), &allowed, format_args!("unknown key; {allowed}")),
    }
}

/// Edit distance, for near misses only: what is much longer than any key is simply far.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
