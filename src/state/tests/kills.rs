//! A save killed before each of its steps, on a disk with and without room: the old state or the new is there, never neither.

use std::fs;

use serde_json::json;

use super::steps::{killed_at, on_a_full_disk, on_a_full_disk_killed_at};
use super::*;

fn full(directory: &Path) -> Store {
    Store::open_with(directory, Durability::Full, &[]).unwrap()
}

#[test]
fn the_steps_of_a_save_come_in_the_order_that_makes_it_safe() {
    let root = tempfile::tempdir().unwrap();
    let save = |durability| {
        let store = Store::open_with(root.path(), durability, &[]).unwrap();
        killed_at(usize::MAX, || store.save(&1).unwrap()).0
    };
    assert_eq!(save(Durability::Full), ["create", "write", "sync", "rename", "settle"]);
    assert_eq!(save(Durability::None), ["create", "write", "rename"]);
}

#[test]
fn a_save_without_room_goes_into_a_spare() {
    let root = saved(1);
    let store = full(root.path());
    let (steps, generation) = on_a_full_disk(|| store.save(&json!({"n": 2})).unwrap());
    let in_spare = ["create", "write", "remove", "rename", "overwrite", "cut", "sync", "rename", "settle", "append"];
    assert_eq!((&steps[..], generation), (&in_spare[..], 2));
    assert_eq!(store.load().unwrap().payload, Some(json!({"n": 2})));
    on_a_full_disk(|| store.save(&json!({"n": 3})).unwrap());
    // Both spares are used up, and nothing was freed for a new one: the error says so, and the state stays.
    let error = on_a_full_disk(|| store.save(&json!({"n": 4})).unwrap_err()).1;
    assert_eq!(error.code, abi::VMSF_ERR_IO);
    assert!(error.text.contains(root.path().join("state.b.json").to_str().unwrap()), "{}", error.text);
    assert_eq!(store.load().unwrap().payload, Some(json!({"n": 3})));
    assert_eq!(files(root.path()).len(), 2);
    // Room again: it heals, and the spares are back.
    assert_eq!(store.save(&json!({"n": 4})).unwrap(), 4);
    assert_eq!(fs::metadata(root.path().join("spare.1")).unwrap().len(), 64 * 1024);
    assert_eq!(fs::metadata(root.path().join("spare.2")).unwrap().len(), 64 * 1024);
}

/// Kills the save of generation `last` + 1 before each step, and looks at what the next life finds.
fn kill_before_each_step(last: u64, kill: impl Fn(usize, &Store) -> (Vec<&'static str>, Result<u64, Error>)) {
    for n in 0.. {
        let root = saved(last);
        let store = full(root.path());
        let (steps, result) = kill(n, &store);
        drop(store);
        let store = full(root.path());
        let loaded = store.load().unwrap();
        let renamed = steps.last() == Some(&"settle") || result.is_ok() || n > 0 && was_renamed(&steps);
        let wanted = if renamed { last + 1 } else { last };
        assert_eq!((loaded.generation, loaded.damaged), (wanted, None), "killed after {steps:?}");
        assert_eq!(loaded.payload, (wanted > 0).then(|| json!({ "n": wanted })));
        assert!(files(root.path()).keys().all(|name| !name.ends_with(".tmp")), "after {steps:?}");
        // The next life goes on.
        assert_eq!(store.save(&json!({ "n": wanted + 1 })).unwrap(), wanted + 1);
        assert_eq!(store.load().unwrap().generation, wanted + 1);
        if result.is_ok() {
            return;
        }
    }
}

/// Whether the step that puts the new generation in its place was taken: the rename after the sync.
fn was_renamed(steps: &[&str]) -> bool {
    steps.windows(2).any(|pair| pair == ["sync", "rename"])
}

#[test]
fn killed_before_any_step_of_a_save_the_old_or_the_new_state_is_there() {
    for last in 0..3 {
        kill_before_each_step(last, |n, store| killed_at(n, || store.save(&json!({ "n": last + 1 }))));
    }
}

#[test]
fn killed_before_any_step_of_a_save_without_room_the_old_or_the_new_state_is_there() {
    for last in 0..3 {
        kill_before_each_step(last, |n, store| on_a_full_disk_killed_at(n, || store.save(&json!({ "n": last + 1 }))));
    }
}

#[test]
fn a_temporary_file_cut_anywhere_is_removed_and_nothing_of_others_is() {
    let root = saved(3);
    let whole = fs::read(root.path().join("state.a.json")).unwrap();
    for other in ["state.c.json.tmp", "notes.tmp", "state.a.json.tmp.bak"] {
        fs::write(root.path().join(other), "").unwrap();
    }
    let before = files(root.path());
    for length in 0..=whole.len() {
        for name in ["state.b.json.tmp", "config.a.json.tmp"] {
            fs::write(root.path().join(name), &whole[..length]).unwrap();
        }
        assert_eq!(open(root.path()).load().unwrap().generation, 3);
        assert_eq!(files(root.path()), before);
    }
}

#[test]
fn killed_while_it_reserves_room_the_next_life_reserves_it() {
    let whole = killed_at(usize::MAX, || full(tempfile::tempdir().unwrap().path())).0.len();
    for n in 0..whole {
        let root = tempfile::tempdir().unwrap();
        killed_at(n, || Store::open_with(root.path(), Durability::Full, &[]).unwrap_err());
        let store = full(root.path());
        assert_eq!(fs::metadata(root.path().join("spare.2")).unwrap().len(), 64 * 1024);
        assert_eq!(store.load().unwrap().generation, 0);
    }
}

#[test]
fn a_save_that_fails_is_tried_again_in_the_same_life() {
    for n in 0..5 {
        let root = saved(3);
        let store = full(root.path());
        killed_at(n, || store.save(&json!({"n": 4}))).1.unwrap_err();
        let loaded = store.load().unwrap();
        assert!(loaded.damaged.is_none() && [3, 4].contains(&loaded.generation));
        store.save(&json!({"n": 5})).unwrap();
        assert_eq!(store.load().unwrap().payload, Some(json!({"n": 5})));
    }
}
