//! What of backups outlives a kill: one goes on under its id into its file and is published once, a run goes on with the servers left.
//!
//! A driven instance does one slice of file work a poll, so a kill between any two polls is a kill between any two steps on the disk.

#[path = "support/lives.rs"]
mod lives;
#[path = "support/rig.rs"]
mod rig;

use std::fs;
use std::path::PathBuf;

use lives::{Begun, Life, TAKEOVER, damage};
use rig::{SECOND, abi, call, expect};
use serde_json::{Value, json};

/// More than a poll hashes in two slices.
const LARGE: usize = (5 << 20) / 2;
/// 2026-01-01T00:00:00Z, in ms: what the polls of a rig begin with.
const NEW_YEAR_MS: i64 = 1_767_225_600_000;
const DAY_MS: i64 = 86_400_000;

fn back_up(life: &Life, id: &str) -> u64 {
    let (code, request) = life.backup(life.server(id));
    expect(code, abi::VMSF_OK, id);
    request
}

/// The host writes so many bytes into the file of a backup.
fn write(begun: &Begun, bytes: usize) {
    fs::write(begun.file(), vec![7; bytes]).expect("an archive");
}

/// What the last backup of a server came to, by the status.
fn last_backup(life: &Life, id: &str) -> Value {
    life.status_of(id)["last_backup"].clone()
}

/// The results that this life told of backups.
fn results(life: &Life) -> Vec<String> {
    let backups = life.codes("backup");
    backups.iter().map(|entry| entry["details"]["result"].as_str().unwrap().to_owned()).collect()
}

// ---- one backup ----

#[test]
fn a_backup_accepted_before_a_kill_is_begun_once() {
    let first = Life::ready(&["a"]);
    let request = back_up(&first, "a");
    let later = first.killed();
    let begun = later.begun();
    assert_eq!((begun.what(), &begun.json["request"]), ((abi::VMSF_OP_BACKUP, 0), &json!(request)));
    write(&begun, 3);
    later.answer(abi::VMSF_OUTCOME_OK);
    later.drive_to(2);
    assert_eq!((results(&later), later.backups("a")), (vec!["ok".to_owned()], vec![1, 2]));
}

#[test]
fn a_backup_named_and_not_begun_is_begun_for_the_first_time() {
    // Killed in the poll that takes it in and in those that name its file.
    for polls in 0..6 {
        let first = Life::ready(&["a"]);
        back_up(&first, "a");
        (0..polls).for_each(|_| expect(first.poll(first.now()).0, abi::VMSF_OK, "poll"));
        let asked = first.begins().pop();
        let later = first.killed();
        let begun = later.begun();
        let flags = if asked.is_some() { abi::VMSF_OP_RESUMED } else { 0 };
        assert_eq!(begun.what(), (abi::VMSF_OP_BACKUP, flags), "{polls}");
        assert!(asked.is_none_or(|asked| (asked.id, asked.file()) == (begun.id, begun.file())), "{polls}");
        write(&begun, 3);
        later.answer(abi::VMSF_OUTCOME_OK);
        later.drive_to(2);
        assert_eq!((results(&later), later.backups("a")), (vec!["ok".to_owned()], vec![1, 2]), "{polls}");
    }
}

#[test]
fn a_backup_without_an_answer_goes_on_under_its_id_into_its_file_with_its_whole_time() {
    let first = Life::ready(&["a"]);
    let request = back_up(&first, "a");
    first.drive_to(1_001);
    let asked = first.begun();
    write(&asked, 2);
    // What an attempt before has left is no file of this one.
    fs::write(first.folder("a").join("incoming-1-1.tmp"), "left").unwrap();
    let later = first.killed().killed();
    let again = later.begun();
    assert_eq!((again.what(), again.id), ((abi::VMSF_OP_BACKUP, abi::VMSF_OP_RESUMED), asked.id));
    assert_eq!((again.file(), &again.json["request"]), (asked.file(), &json!(request)));
    assert_eq!(fs::read(asked.file()).unwrap(), [7, 7], "the host goes on where it was");
    assert_eq!(later.backup_files("a").len(), 3, "{:#?}", later.backup_files("a"));
    later.drive_to(TAKEOVER);
    assert_eq!(results(&later), [""; 0], "its whole time");
    later.drive_to(TAKEOVER + 1);
    assert_eq!((results(&later), later.backups("a")), (vec!["failed".to_owned()], vec![1]));
    assert_eq!(
        json!([last_backup(&later, "a")["result"], last_backup(&later, "a")["error"]]),
        json!(["failed", "timeout"])
    );
    // The alarm and the result stand over further lives, until one succeeds.
    let last = later.killed();
    let status = last.status_of("a");
    assert_eq!(json!([status["alarms"], status["last_backup"]["result"]]), json!([["backup_failed"], "failed"]));
    last.backed_up(last.server("a"));
    assert_eq!((last.status_of("a")["alarms"].clone(), last.backups("a")), (json!([]), vec![1, 2]));
}

#[test]
fn a_backup_is_published_exactly_once_whatever_the_instant_of_a_kill() {
    for polls in 0.. {
        let first = Life::ready(&["a"]);
        back_up(&first, "a");
        first.settle(first.now());
        let asked = first.begun();
        write(&asked, LARGE);
        first.answer(abi::VMSF_OUTCOME_OK);
        (0..polls).for_each(|_| expect(first.poll(first.now()).0, abi::VMSF_OK, "poll"));
        let told = results(&first).len();
        let later = first.killed();
        assert_eq!(later.begins(), [], "{polls}: the host has answered");
        // Told before the kill is told once: nothing is delivered in a poll but what its end has written.
        assert_eq!(results(&later).len() + told, 1, "{polls}");
        assert_eq!(later.outcomes().len() + first.outcomes().len(), 1, "{polls}");
        assert_eq!(later.backups("a"), [1, 2], "{polls}");
        let last = last_backup(&later, "a");
        assert_eq!(json!([last["result"], last["number"], last["size"]]), json!(["ok", 2, LARGE]), "{polls}");
        assert_eq!(later.status_of("a").get("operation"), None, "{polls}");
        if told == 1 {
            assert!(polls > 5, "it takes some steps: {polls}");
            return;
        }
    }
}

#[test]
fn an_answer_that_is_no_archive_fails_in_a_later_life_too() {
    let first = Life::ready(&["a"]);
    back_up(&first, "a");
    first.settle(first.now());
    write(&first.begun(), 0);
    first.answer(abi::VMSF_OUTCOME_OK);
    let later = first.killed();
    assert_eq!((results(&later), later.backups("a")), (vec!["failed".to_owned()], vec![1]));
    assert!(last_backup(&later, "a")["error"].as_str().unwrap().contains("is empty"), "{}", last_backup(&later, "a"));
}

#[test]
fn a_backup_that_a_takeover_supersedes_leaves_no_file_whatever_the_instant_of_a_kill() {
    for polls in 0..8 {
        let first = Life::ready(&["a"]);
        back_up(&first, "a");
        first.settle(first.now());
        let asked = first.begun();
        write(&asked, LARGE);
        first.take_over("a");
        (0..polls).for_each(|_| expect(first.poll(first.now()).0, abi::VMSF_OK, "poll"));
        let later = first.killed();
        later.drive_to(2);
        let takeovers = later.begins().into_iter().filter(|begun| begun.kind == abi::VMSF_OP_TAKEOVER);
        assert_eq!(takeovers.count(), 1, "{polls}");
        assert_eq!(later.backups("a"), [1], "{polls}: the host's file is gone");
        let over = [&first, &later].map(|life| life.codes("operation_over")).concat();
        assert!(over.iter().all(|entry| entry["details"]["reason"] == "superseded"), "{over:#?}");
        assert!(!over.is_empty() && over.len() <= 2, "{polls}: {over:#?}");
        expect(later.complete(asked.id, abi::VMSF_OUTCOME_OK), abi::VMSF_ERR_NOT_FOUND, "the backup");
    }
}

#[test]
fn numbers_grow_even_if_the_newest_is_deleted_between_two_lives() {
    let first = Life::ready(&["a"]);
    first.backed_up(first.server("a"));
    let left = first.left();
    for name in first.backup_files("a").iter().filter(|name| name.contains("-2.")) {
        fs::remove_file(first.folder("a").join(name)).unwrap();
    }
    let later = left.going_on(None);
    assert_eq!(later.backups("a"), [1]);
    later.backed_up(later.server("a"));
    assert_eq!(later.backups("a"), [1, 3]);
}

#[test]
fn a_backup_damaged_between_two_lives_is_found_at_the_start_and_the_one_before_is_used() {
    let first = Life::ready(&["a"]);
    first.backed_up(first.server("a"));
    let left = first.left();
    let newest = first.backup_files("a").into_iter().find(|name| name.ends_with("-2.backup")).unwrap();
    damage(&first.folder("a"), &newest);
    let later = left.going_on(None);
    later.drive_to(2);
    assert_eq!(later.codes("backup_damaged").len(), 1);
    assert!(later.codes("backup_flaw")[0]["text"].as_str().unwrap().contains("backup 2"));
    later.take_over("a");
    later.drive_to(3);
    let used = later.begun().json["backup"]["path"].as_str().unwrap().to_owned();
    assert!(used.ends_with("-1.backup"), "{used}");
}

#[test]
fn where_all_backups_are_gone_after_a_kill_the_takeover_waits_and_they_can_be_put_back() {
    let first = Life::ready(&["a"]);
    first.take_over("a");
    let left = first.left();
    let away = first.folder("a").with_extension("away");
    fs::rename(first.folder("a"), &away).unwrap();
    let later = left.going_on(None);
    later.drive_to(5);
    assert_eq!((later.begins(), later.codes("takeover_blocked").len()), (vec![], 1));
    assert_eq!(later.status_of("a")["next"], "cannot be taken over: it has no good backup (place 1 of 1)");
    fs::rename(&away, first.folder("a")).unwrap();
    later.drive_to(70);
    assert_eq!(later.begun().kind, abi::VMSF_OP_TAKEOVER, "it is looked at again every 60 s");
}

// ---- several ----

/// Answers every backup that is asked for, until none is; gives their servers in order.
fn answer_all(life: &Life, second: u64) -> Vec<String> {
    let mut answered = Vec::new();
    loop {
        life.drive_to(second);
        let begins = life.begins();
        let Some(begun) = begins.get(answered.len()) else { return answered };
        write(begun, 3);
        expect(life.complete(begun.id, abi::VMSF_OUTCOME_OK), abi::VMSF_OK, "complete");
        answered.push(begun.json["server"]["id"].as_str().unwrap().to_owned());
    }
}

#[test]
fn a_backup_of_all_goes_on_with_the_servers_left() {
    // The kill comes before it is taken in, with the second asked for, and with the second answered.
    for (asked, answered) in [(0, 0), (2, 1), (2, 2)] {
        let first = Life::ready(&["a", "b", "c"]);
        let (code, request) = first.backup(0);
        expect(code, abi::VMSF_OK, "backup of all");
        for n in 0..asked {
            first.settle(first.now());
            let begun = first.last_begun();
            write(&begun, 3);
            if n < answered {
                first.answer(abi::VMSF_OUTCOME_OK);
            }
        }
        let later = first.killed();
        assert_eq!(answer_all(&later, 2), ["a", "b", "c"][answered..], "{asked} {answered}");
        let ended = later.codes("backup_run_ended");
        assert_eq!(ended.len(), 1, "{ended:#?}");
        assert_eq!(ended[0]["details"], json!({ "daily": false, "ok": 3, "failed": 0 }));
        assert_eq!(ended[0]["request"], request);
        let ids = ["a", "b", "c"];
        assert!(ids.iter().all(|id| later.backups(id) == [1, 2]), "{asked} {answered}");
        if answered == 1 {
            let (again, before) = (&later.begins()[0], first.last_begun());
            assert_eq!((again.what(), again.id), ((abi::VMSF_OP_BACKUP, abi::VMSF_OP_RESUMED), before.id));
        }
        // Over is over.
        let last = later.killed();
        assert_eq!((answer_all(&last, 2), last.status().get("backups")), (vec![], None));
    }
}

#[test]
fn a_server_that_is_gone_after_a_kill_is_left_out_of_the_run() {
    let first = Life::ready(&["a", "b", "c"]);
    expect(first.backup(0).0, abi::VMSF_OK, "backup of all");
    first.settle(first.now());
    let left = first.left();
    let config = left.config(&["a", "c"]);
    let later = left.going_on(Some(&config));
    assert_eq!(answer_all(&later, 2), ["a", "c"]);
    // The one that runs may go, too.
    let left = first.left();
    let config = left.config(&["c"]);
    let later = left.going_on(Some(&config));
    assert_eq!(answer_all(&later, 2), ["c"]);
    assert_eq!(later.codes("backup_run_ended").len(), 1);
}

/// Polls at these instants until it rests.
fn poll_at(life: &Life, second: u64, utc_ms: i64) {
    let mut next = 0;
    while next <= second * SECOND {
        expect(call!(poll(life.p, second * SECOND, utc_ms, &mut next)), abi::VMSF_OK, "poll");
    }
}

#[test]
fn the_daily_run_is_made_once_a_day_over_kills_and_caught_up_at_a_start() {
    let first = Life::ready(&["a", "b"]);
    let daily = r#"{"set":{"daily_backup":true,"backup_time_utc":"02:00"}}"#;
    expect(first.edit(daily, 0).0, abi::VMSF_OK, "edit");
    first.drive_to(1_001);
    assert_eq!(first.begins(), [], "not yet");
    // Off at 02:00 of the next day, and on at 09:00.
    let nine = NEW_YEAR_MS + DAY_MS + 9 * 3_600_000;
    let caught_up = first.left().created(None);
    expect(caught_up.start(), abi::VMSF_OK, "start");
    poll_at(&caught_up, 1, nine);
    assert_eq!((caught_up.begun().kind, &caught_up.begun().json["reason"]), (abi::VMSF_OP_BACKUP, &json!("daily")));
    // Killed in the run: it goes on. Killed after it: it is not made again.
    let goes_on = caught_up.left().created(None);
    expect(goes_on.start(), abi::VMSF_OK, "start");
    poll_at(&goes_on, 1, nine);
    for _ in ["a", "b"] {
        write(&goes_on.last_begun(), 3);
        goes_on.answer(abi::VMSF_OUTCOME_OK);
        poll_at(&goes_on, 1, nine);
    }
    assert_eq!(goes_on.codes("backup_run_ended")[0]["details"], json!({ "daily": true, "ok": 2, "failed": 0 }));
    let rests = goes_on.left().created(None);
    expect(rests.start(), abi::VMSF_OK, "start");
    poll_at(&rests, 1, nine);
    assert_eq!(rests.begins(), []);
    assert_eq!(rests.status()["next_daily_backup"], "2026-01-03T02:00:00.000Z");
}

// ---- numbers ----

#[test]
fn ids_of_whatever_kind_never_repeat() {
    let mut life = Life::ready(&["a"]);
    let mut last = 0;
    let mut is_new = |id: u64| {
        assert!(id > last, "{id} after {last}");
        last = id;
    };
    for _ in 0..4 {
        let server = life.server("a");
        let (code, request) = life.authorize(server, b"x");
        expect(code, abi::VMSF_OK, "authorize");
        is_new(request);
        // The interrupted one has an id of its own.
        life = life.killed();
        let completed = &life.codes("completed")[0]["details"]["op"];
        is_new(completed.as_u64().unwrap());
        is_new(back_up(&life, "a"));
        life = life.killed();
        is_new(life.begun().id);
        life.answer(abi::VMSF_OUTCOME_FAILED);
        life.drive_to(2);
        is_new(life.take_over("a"));
        life.drive_to(3);
        is_new(life.last_begun().id);
        life.answer(abi::VMSF_OUTCOME_OK);
        life = life.killed();
        expect(life.restore(life.server("a")), abi::VMSF_OK, "restore");
        life = life.killed();
        is_new(life.begun().id);
        life.answer(abi::VMSF_OUTCOME_OK);
        life.drive_to(2);
    }
}

#[test]
fn a_backup_directory_that_was_changed_meanwhile_fails_the_backup_and_leaves_nothing_in_either() {
    let first = Life::ready(&["a"]);
    back_up(&first, "a");
    first.settle(first.now());
    let asked = first.begun();
    write(&asked, 3);
    let left = first.left();
    let mut config = left.config(&["a"]);
    let elsewhere: PathBuf = left.state.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    config["backup_directory"] = json!(elsewhere);
    let later = left.going_on(Some(&config));
    assert_eq!(later.begun().file(), asked.file(), "the host goes on into its file");
    later.answer(abi::VMSF_OUTCOME_OK);
    later.drive_to(2);
    assert_eq!((results(&later), later.backups("a")), (vec!["failed".to_owned()], vec![1]));
    assert_eq!(lives::files(&elsewhere).len(), 0);
    later.backed_up(later.server("a"));
    assert_eq!(lives::files(&elsewhere).len(), 2);
}
