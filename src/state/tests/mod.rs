//! Tests of the state directory: keeping and finding again (here), damage, killed saves, disks that refuse.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use serde_json::json;

use super::*;

mod damage;
mod documents;
mod kills;
mod refusals;
pub mod steps;
mod tokens;

/// Every file of a directory with its bytes, but the lock and the spares.
fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap());
    let named = entries.map(|entry| (entry.file_name().into_string().unwrap(), entry.path()));
    named
        .filter(|(name, _)| name != "lock" && !name.starts_with("spare."))
        .map(|(name, path)| (name, fs::read(path).unwrap()))
        .collect()
}

/// As in schema 1: these tests are of the files, whatever the payload.
fn open(directory: &Path) -> Store {
    Store::open_with(directory, Durability::None, &[]).unwrap()
}

/// A directory with generations 1 to `last`, whose payloads are {"n":generation}.
fn saved(last: u64) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    for n in 1..=last {
        assert_eq!(store.save(&json!({ "n": n })).unwrap(), n);
    }
    root
}

#[test]
fn a_directory_in_use_is_busy_and_free_again_afterwards() {
    let root = tempfile::tempdir().unwrap();
    let first = open(root.path());
    assert_eq!(Store::open_with(root.path(), Durability::None, &[]).unwrap_err().code, abi::VMSF_ERR_BUSY);
    drop(first);
    let second = open(root.path());
    second.unlock();
    let third = open(root.path());
    assert_eq!(second.save(&1).unwrap_err().code, abi::VMSF_ERR_STATE);
    third.save(&1).unwrap();
}

#[cfg(unix)]
#[test]
fn a_child_process_does_not_keep_the_directory_busy() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    // A second descriptor of the open file, as a forked child has it.
    let inherited = store.lock.duplicate();
    drop(store);
    open(root.path());
    drop(inherited);
}

#[test]
fn a_fresh_directory_holds_nothing() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    assert_eq!(store.load().unwrap(), Loaded { payload: None, generation: 0, damaged: None });
    assert_eq!(store.config().unwrap(), KeptConfig { json: None, damaged: None });
}

#[test]
fn what_was_saved_last_comes_back_in_this_life_and_the_next() {
    let root = tempfile::tempdir().unwrap();
    for n in 1..=5_u64 {
        let store = Store::open_with(root.path(), Durability::Full, &[]).unwrap();
        let payload = json!({"n": n, "name": "Zürich \"7\"\n", "third": 1.0 / 3.0});
        assert_eq!(store.save(&payload).unwrap(), n);
        let loaded = Loaded { payload: Some(payload), generation: n, damaged: None };
        assert_eq!(store.load().unwrap(), loaded);
        drop(store);
        assert_eq!(open(root.path()).load().unwrap(), loaded);
    }
    assert_eq!(files(root.path()).keys().collect::<Vec<_>>(), ["state.a.json", "state.b.json"]);
}

#[test]
fn a_document_is_one_line_of_json_with_a_hash_that_can_be_checked_by_hand() {
    let root = saved(1);
    let text = fs::read_to_string(root.path().join("state.a.json")).unwrap();
    // printf '{"schema":1,"generation":1,"state":{"n":1}}\n' | sha256sum
    let hash = "6b3aab475590d4e662e249628dbdf5d8e91ddf9a2d5372f988469faed1424353";
    assert_eq!(text, format!("{{\"schema\":1,\"generation\":1,\"sha256\":\"{hash}\",\"state\":{{\"n\":1}}}}\n"));
    serde_json::from_str::<Value>(&text).unwrap();
}

#[test]
fn the_kept_configuration_comes_back_byte_by_byte_and_is_written_only_when_it_changes() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    for json in ["{\"a\":1}", "{ \"a\": 2 }", "{ \"a\": 2 }"] {
        store.keep_config(json).unwrap();
        assert_eq!(store.config().unwrap().json.as_deref(), Some(json.as_bytes()));
    }
    assert!(files(root.path())["config.b.json"].starts_with(b"{\"schema\":1,\"generation\":2,"));
    assert!(files(root.path())["config.a.json"].starts_with(b"{\"schema\":1,\"generation\":1,"));
}

#[test]
fn two_spares_are_kept_that_hold_a_state_twice_as_long() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let length = |name: &str| fs::metadata(root.path().join(name)).unwrap().len();
    assert_eq!((length("spare.1"), length("spare.2")), (64 * 1024, 64 * 1024));
    store.save(&"x".repeat(100_000)).unwrap();
    assert!(length("spare.1") >= 200_000 && length("spare.2") >= 200_000);
}

#[cfg(unix)]
#[test]
fn everything_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let root = tempfile::tempdir().unwrap();
    let directory = root.path().join("new/state");
    let store = Store::open_with(&directory, Durability::Full, &[]).unwrap();
    store.save(&1).unwrap();
    store.keep_config("{}").unwrap();
    store.save(&1).unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&directory), 0o700);
    let entries: Vec<_> = fs::read_dir(&directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(entries.len(), 6, "{entries:?}");
    for path in entries {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}
