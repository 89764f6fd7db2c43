//! Files cut, flipped, emptied, missing, of another schema: one generation at most is lost, and nothing in silence.

use std::fs;
use std::path::Path;

use proptest::prelude::*;
use serde_json::json;

use super::*;

const A: &str = "state.a.json";
const B: &str = "state.b.json";

/// Loads, and expects the generation, with or without damage to a file.
fn expect(directory: &Path, generation: u64, damaged: Option<&str>) {
    let loaded = open(directory).load().unwrap();
    assert_eq!((loaded.generation, loaded.payload), (generation, Some(json!({ "n": generation }))));
    match (damaged, loaded.damaged) {
        (None, None) => {}
        (Some(name), Some(text)) => assert!(text.contains(directory.join(name).to_str().unwrap()), "{text}"),
        (wanted, text) => panic!("{wanted:?}: {text:?}"),
    }
}

/// Every cut, and every flip of one bit and of all bits of one byte.
pub fn all_damages(whole: &[u8]) -> Vec<Vec<u8>> {
    let cuts = (0..whole.len()).map(|length| whole[..length].to_vec());
    let flips = (0..whole.len()).flat_map(|at| {
        (0..8).map(|bit| 1_u8 << bit).chain([0xff]).map(move |mask| {
            let mut bytes = whole.to_vec();
            bytes[at] ^= mask;
            bytes
        })
    });
    let others = ["garbage", "{}", "null", "\0\0\0\0", "{\"schema\":2}", "{\"schema\":99999999999,\"generation\":1,"];
    cuts.chain(flips)
        .chain(others.iter().map(|text| text.as_bytes().to_vec()))
        .chain([[whole, b"\n"].concat()])
        .collect()
}

#[test]
fn whatever_is_wrong_with_the_newest_file_the_previous_generation_is_used_and_it_is_said() {
    let root = saved(2);
    let whole = fs::read(root.path().join(B)).unwrap();
    let store = open(root.path());
    for bytes in all_damages(&whole) {
        fs::write(root.path().join(B), &bytes).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!((loaded.generation, loaded.payload), (1, Some(json!({"n": 1}))));
        let text = loaded.damaged.unwrap();
        assert!(text.contains(root.path().join(B).to_str().unwrap()) && text.contains("generation 1 in state.a.json"));
        assert_eq!(fs::read(root.path().join(B)).unwrap(), bytes);
    }
}

#[test]
fn whatever_is_wrong_with_the_older_file_the_newest_is_used_and_it_is_said() {
    let root = saved(2);
    let whole = fs::read(root.path().join(A)).unwrap();
    let store = open(root.path());
    for bytes in all_damages(&whole) {
        fs::write(root.path().join(A), &bytes).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!((loaded.generation, loaded.damaged.is_some()), (2, true));
    }
}

#[test]
fn whatever_is_wrong_with_the_only_file_is_an_error_that_touches_nothing() {
    let root = saved(1);
    let whole = fs::read(root.path().join(A)).unwrap();
    for bytes in all_damages(&whole) {
        fs::write(root.path().join(A), &bytes).unwrap();
        let store = open(root.path());
        let error = store.load().unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED);
        assert_eq!(store.save(&1).unwrap_err(), error);
        assert_eq!(files(root.path()), [(A.to_owned(), bytes)].into());
    }
}

#[test]
fn both_damaged_is_an_error_that_names_both_and_what_to_do_and_touches_nothing() {
    let root = saved(4);
    fs::write(root.path().join(A), "").unwrap();
    fs::write(root.path().join(B), "garbage").unwrap();
    let before = files(root.path());
    let store = open(root.path());
    let error = store.load().unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED);
    for part in [
        root.path().join(A).to_str().unwrap(),
        root.path().join(B).to_str().unwrap(),
        "it is empty",
        "it does not begin as a state document does",
        "put one of them back, or give a new state directory",
    ] {
        assert!(error.text.contains(part), "{}", error.text);
    }
    assert_eq!(store.save(&1).unwrap_err(), error);
    drop(store);
    assert_eq!(open(root.path()).load().unwrap_err(), error);
    assert_eq!(files(root.path()), before);
}

#[test]
fn a_missing_file_is_damage_unless_the_other_holds_the_first_generation() {
    expect(saved(1).path(), 1, None);
    for (last, gone, used) in [(2, A, 2), (2, B, 1), (3, A, 2), (3, B, 3), (4, A, 4), (4, B, 3)] {
        let root = saved(last);
        fs::remove_file(root.path().join(gone)).unwrap();
        // Generation 1 alone is what a crash in the second save leaves; nothing tells the two apart.
        expect(root.path(), used, (used > 1).then_some(gone));
    }
}

#[test]
fn a_file_copied_over_the_other_is_damage() {
    let root = saved(4);
    fs::copy(root.path().join(A), root.path().join(B)).unwrap();
    expect(root.path(), 3, Some(B));
}

#[test]
fn after_damage_the_next_save_replaces_the_damaged_file_and_keeps_the_whole_one() {
    let root = saved(4);
    fs::write(root.path().join(B), "x").unwrap();
    let whole = fs::read(root.path().join(A)).unwrap();
    assert_eq!(open(root.path()).save(&json!({"n": 4})).unwrap(), 4);
    expect(root.path(), 4, None);
    assert_eq!(fs::read(root.path().join(A)).unwrap(), whole);
}

#[test]
fn a_file_that_cannot_be_read_just_now_costs_no_generation() {
    let root = saved(2);
    let kept = root.path().join("kept");
    fs::rename(root.path().join(B), &kept).unwrap();
    fs::create_dir(root.path().join(B)).unwrap();
    let store = open(root.path());
    let error = store.load().unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_IO);
    assert!(error.text.contains(root.path().join(B).to_str().unwrap()), "{}", error.text);
    assert_eq!(store.save(&1).unwrap_err(), error);
    fs::remove_dir(root.path().join(B)).unwrap();
    fs::rename(&kept, root.path().join(B)).unwrap();
    assert_eq!(store.load().unwrap().generation, 2);
}

/// Schema 1 holds {"n"}, schema 2 {"number"}, schema 3 [number].
const TWO_MIGRATIONS: &[Migration] = &[
    |old| old.get("n").map(|n| json!({ "number": n })).ok_or_else(|| "n is missing".to_owned()),
    |old| Ok(json!([old["number"]])),
];

#[test]
fn a_newer_schema_is_an_error_that_names_the_versions_and_touches_nothing() {
    let root = saved(2);
    let newer = Store::open_with(root.path(), Durability::None, TWO_MIGRATIONS).unwrap();
    newer.save(&json!([3])).unwrap();
    drop(newer);
    let before = files(root.path());
    let store = open(root.path());
    let error = store.load().unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED);
    for part in [root.path().join(A).to_str().unwrap(), "schema 3", "up to 1", "nothing was changed"] {
        assert!(error.text.contains(part), "{}", error.text);
    }
    assert_eq!(store.save(&1).unwrap_err(), error);
    assert_eq!(files(root.path()), before);
}

#[test]
fn an_older_schema_is_migrated_step_by_step_and_saved_in_the_new_one() {
    for (migrations, payload) in [(&TWO_MIGRATIONS[..1], json!({"number": 2})), (TWO_MIGRATIONS, json!([2]))] {
        let root = saved(2);
        let before = files(root.path());
        let store = Store::open_with(root.path(), Durability::None, migrations).unwrap();
        let loaded = store.load().unwrap();
        assert_eq!((loaded.payload, loaded.generation, loaded.damaged), (Some(payload.clone()), 2, None));
        assert_eq!(files(root.path()), before);
        store.save(&payload).unwrap();
        assert_eq!(store.load().unwrap().payload, Some(payload));
        // The previous generation is still the one of the old schema, for as long as it is kept.
        fs::write(root.path().join(A), "").unwrap();
        assert_eq!(store.load().unwrap().generation, 2);
    }
}

#[test]
fn a_migration_that_fails_is_an_error_that_touches_nothing() {
    let root = tempfile::tempdir().unwrap();
    open(root.path()).save(&json!({"m": 1})).unwrap();
    let before = files(root.path());
    let store = Store::open_with(root.path(), Durability::None, TWO_MIGRATIONS).unwrap();
    let error = store.load().unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED);
    assert!(error.text.contains("n is missing") && error.text.contains("schema 1"), "{}", error.text);
    assert_eq!(files(root.path()), before);
}

#[test]
fn a_damaged_configuration_is_the_previous_one_and_two_damaged_are_cured_by_giving_one() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    store.keep_config("{\"a\":1}").unwrap();
    store.keep_config("{\"a\":2}").unwrap();
    fs::write(root.path().join("config.b.json"), "x").unwrap();
    let kept = store.config().unwrap();
    assert_eq!(kept.json.as_deref(), Some(&b"{\"a\":1}"[..]));
    assert!(kept.damaged.unwrap().contains("config.b.json"));
    // Kept again although it is the one in use: the damaged file is replaced.
    store.keep_config("{\"a\":1}").unwrap();
    assert_eq!(store.config().unwrap().damaged, None);

    fs::write(root.path().join("config.a.json"), "x").unwrap();
    fs::write(root.path().join("config.b.json"), "x").unwrap();
    let error = store.config().unwrap_err();
    assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED);
    assert!(error.text.contains("give a configuration in the options of create"), "{}", error.text);
    store.keep_config("{\"a\":3}").unwrap();
    assert_eq!(store.config().unwrap().json.as_deref(), Some(&b"{\"a\":3}"[..]));
}

#[derive(Clone, Debug)]
enum Act {
    Save,
    Restart,
    /// Cuts or flips one file, if the other is whole.
    Damage {
        odd: bool,
        cut: bool,
        at: prop::sample::Index,
    },
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let damage = (any::<bool>(), any::<bool>(), any::<prop::sample::Index>()).prop_map(|(odd, cut, at)| Act::Damage {
        odd,
        cut,
        at,
    });
    prop::collection::vec(prop_oneof![3 => Just(Act::Save), 1 => Just(Act::Restart), 2 => damage], 0..40)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damage_to_one_file_at_a_time_never_costs_more_than_the_newest_generation(acts in acts()) {
        let root = tempfile::tempdir().unwrap();
        let mut store = Some(open(root.path()));
        // What each file holds, and whether it is whole: the model. `next` is the number to be saved next.
        let mut held: [Option<(u64, bool)>; 2] = [None, None];
        let mut next = 1;
        for act in acts {
            match act {
                Act::Save => {
                    // A life that loads first knows of the damage; the file of the older or the damaged generation is replaced.
                    let living = store.as_ref().unwrap();
                    living.load().unwrap();
                    let whole = |held: &Option<(u64, bool)>| held.filter(|(_, whole)| *whole).map_or(0, |(n, _)| n);
                    let index = usize::from(whole(&held[1]) <= whole(&held[0]) && held[0].is_some());
                    living.save(&json!({ "n": next })).unwrap();
                    held[index] = Some((next, true));
                    next += 1;
                }
                Act::Restart => {
                    drop(store.take());
                    store = Some(open(root.path()));
                }
                Act::Damage { odd, cut, at } => {
                    let index = usize::from(!odd);
                    // A second flip in the same place would mend a file.
                    let (Some((n, true)), Some((_, true))) = (held[index], held[1 - index]) else { continue };
                    let path = root.path().join([A, B][index]);
                    let mut bytes = fs::read(&path).unwrap();
                    let at = at.index(bytes.len());
                    bytes[at] ^= 1;
                    bytes.truncate(if cut { at } else { bytes.len() });
                    fs::write(&path, &bytes).unwrap();
                    held[index] = Some((n, false));
                }
            }
            let newest = held.iter().flatten().filter(|(_, whole)| *whole).map(|(n, _)| *n).max();
            let loaded = store.as_ref().unwrap().load().unwrap();
            prop_assert_eq!(loaded.payload, newest.map(|n| json!({ "n": n })));
            prop_assert_eq!(loaded.damaged.is_some(), held.iter().flatten().any(|(_, whole)| !whole));
        }
    }
}
