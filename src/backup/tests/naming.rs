//! Names, numbers, paths, and what is refused by name.

use vms_failover_abi as abi;

use super::super::name::{Known, LAST_NUMBER};
use super::*;

#[test]
fn a_backup_has_the_documented_names_and_manifest() {
    let mut place = Place::new(Syncing::All);
    let published = place.back_up(b"abc");
    assert_eq!(published.backup.path, place.root.path().join("cam-1/20260102T030405Z-1.backup"));
    let text = fs::read(place.root.path().join("cam-1/20260102T030405Z-1.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_slice(&text).unwrap();
    let sha256 = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    let expected = serde_json::json!({
        "schema": 1, "server": "cam-1", "number": 1, "time": "2026-01-02T03:04:05Z", "size": 3, "sha256": sha256,
    });
    assert_eq!(manifest, expected);
    let Backup { number, size, time, .. } = published.backup;
    assert_eq!((number, size, time.as_str()), (1, 3, "2026-01-02T03:04:05Z"));
    place.assert_only(&[1]);
}

#[test]
fn only_the_one_spelling_is_ours() {
    let ours = [
        "20260102T030405Z-1.backup",
        "20260102T030405Z-9007199254740991.json",
        "00000101T000000Z-10.backup",
        "incoming-12-4711.tmp",
        "manifest-12.tmp",
    ];
    for name in ours {
        assert_eq!(Known::parse(name).unwrap().file_name(), name);
    }
    let foreign = [
        "notes.backup",
        "20260102T030405Z-.backup",
        "20260102T030405Z-+1.backup",
        "20260102T030405Z-01.backup",
        "20260102T030405Z--1.backup",
        "20260102T030405Z-1.BACKUP",
        "20260102T030405Z-1.backup.old",
        "20260102T030460Z-1.backup",
        "20261302T030405Z-1.backup",
        "20260102T030405-1.backup",
        "20260102T030405Z-9007199254740992.backup",
        "20260102T030405Z-18446744073709551616.backup",
        "+20260102T030405Z-1.backup",
        "incoming-12.tmp",
        "incoming-012-1.tmp",
        "incoming-1-2.tmp~",
        "manifest-x.tmp",
        "",
        ".backup",
    ];
    for name in foreign {
        assert_eq!(Known::parse(name), None, "{name}");
    }
}

#[test]
fn every_instant_has_a_name_that_is_read_back() {
    for utc_ms in [0, -1, 999, UTC_MS, 1_709_164_800_000, i64::MIN, i64::MAX] {
        let name = Name::new(5, utc_ms);
        assert_eq!(Known::parse(&name.archive()), Some(Known::Archive(name)), "{utc_ms}");
        assert_eq!(Known::parse(&name.manifest()), Some(Known::Manifest(name)), "{utc_ms}");
    }
}

#[test]
fn the_newest_is_the_highest_number_whatever_the_clock_said() {
    let mut place = Place::with(9);
    let incoming = place.written(1, b"taken with the clock set back");
    let back = finish(&mut place.folder.publish(&incoming, UTC_MS - 86_400_000).unwrap()).unwrap();
    assert_eq!(back.backup.number, 10);
    assert_eq!(place.newest_good(), Some(10));
}

#[test]
fn numbers_grow_even_if_the_newest_were_deleted_by_hand() {
    let mut place = Place::with(3);
    fs::remove_file(place.archive(3)).unwrap();
    let incoming = place.folder.begin(1, 3).unwrap();
    fs::write(&incoming, "x").unwrap();
    let published = finish(&mut place.folder.publish(&incoming, UTC_MS).unwrap()).unwrap();
    assert_eq!(published.backup.number, 4);
    place.assert_only(&[1, 2, 4]);
    assert_eq!(place.newest_good(), Some(4));
}

#[test]
fn used_up_numbers_are_an_error() {
    let place = Place::new(Syncing::None);
    let error = place.folder.begin(1, LAST_NUMBER).unwrap_err();
    assert!(error.text.contains("used up"), "{}", error.text);
}

#[test]
fn ids_that_are_no_folder_names_are_refused_by_name() {
    let long = "x".repeat(65);
    let ids = [
        "", ".", "..", "a.", "../a", "a/b", "a\\b", "/etc", "C:", "a\0b", "a b", "é", "CON", "nul", "com1", "Lpt9.x",
        "aux.txt", &long,
    ];
    for id in ids {
        let error = Folder::new(Path::new("/backups"), id, Syncing::All).unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_INVALID, "{id:?}");
        assert!(error.text.contains("the server id"), "{}", error.text);
    }
    for id in ["a", "Cam-1", "a.b", "console", "com", "com10", "x_y-z.9"] {
        assert!(Folder::new(Path::new("/backups"), id, Syncing::All).is_ok(), "{id}");
    }
}

#[test]
fn paths_that_lead_astray_are_refused_by_name() {
    let long = format!("/{}", "d/".repeat(2040));
    for path in ["backups", "", "/a/../b", "/a/..", "/a\0b", &long] {
        let error = Folder::new(Path::new(path), "cam-1", Syncing::All).unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_INVALID, "{path:?}");
        assert!(error.text.contains("path"), "{}", error.text);
        assert!(error.text.len() < 1000);
    }
}

#[test]
fn an_operation_has_the_same_file_again_and_another_one_another() {
    let place = Place::with(2);
    let first = place.written(7, b"half of it");
    assert_eq!(place.folder.begin(7, 0).unwrap(), first);
    assert_eq!(fs::read(&first).unwrap(), b"half of it");
    let second = place.folder.begin(8, 0).unwrap();
    assert_ne!(second, first);
    assert!(!first.exists() && !second.exists());
    place.assert_only(&[1, 2]);
}

#[test]
fn no_folder_is_no_backup() {
    let mut place = Place::new(Syncing::All);
    assert_eq!(place.find(), Choice { newest: None, skipped: Vec::new() });
    assert_eq!(place.folder.clean(None).unwrap(), Removed::default());
    assert_eq!(place.folder.retain(1, &mut place.checks).unwrap(), Removed::default());
}

#[test]
fn the_file_of_an_operation_is_found_again_once_its_host_has_begun_to_write() {
    let place = Place::with(1);
    let incoming = place.folder.begin(7, 0).unwrap();
    assert_eq!(place.folder.incoming(7).unwrap(), None);
    fs::write(&incoming, "x").unwrap();
    assert_eq!(place.folder.incoming(7).unwrap(), Some(incoming));
    assert_eq!(place.folder.incoming(8).unwrap(), None);
}
