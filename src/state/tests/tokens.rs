//! The tokens: kept and found again by their operation, gone from every file when they go, and damage, kills and full disks as for the state.

use std::fs;

use zeroize::Zeroizing;

use super::damage::all_damages;
use super::steps::{killed_at, on_a_full_disk};
use super::*;
use crate::ffi::tests::freed::{MARK, holding_the_mark};
use crate::secret::{self, Secret};
use crate::state::tokens::Tokens;

const A: &str = "tokens.a.json";
const B: &str = "tokens.b.json";

/// A secret of a test: the mark and a number.
fn secret(n: u64) -> Secret {
    Secret::copied(&Zeroizing::new([MARK, n.to_string().as_bytes()].concat())).unwrap()
}

fn put(tokens: &Tokens, id: &str, op: u64, secret: Secret) -> Result<(), Error> {
    tokens.put(&[(id, op, &Arc::new(secret))])
}

fn load(directory: &Path) -> Tokens {
    let (tokens, damaged) = Store::open_with(directory, Durability::Full, &[]).unwrap().tokens().unwrap();
    assert_eq!(damaged, None);
    tokens
}

/// A directory in which the tokens of the servers 1 to `last` were put one after another, each by the operation of its number.
fn kept(last: u64) -> tempfile::TempDir {
    let root = tempfile::tempdir().unwrap();
    let tokens = load(root.path());
    (1..=last).for_each(|n| put(&tokens, &format!("s{n}"), n, secret(n)).unwrap());
    root
}

/// Whether a token of this server is there, which is then the right one.
fn has(tokens: &Tokens, n: u64) -> bool {
    let found = tokens.get(&format!("s{n}"), n);
    assert!(found.as_ref().is_none_or(|found| found.as_bytes() == secret(n).as_bytes()));
    assert_eq!(tokens.has(&format!("s{n}"), n), found.is_some());
    found.is_some()
}

/// In how many files of the directory the token stands.
fn copies(directory: &Path, n: u64) -> usize {
    let digits: String = secret(n).as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    files(directory).values().filter(|text| String::from_utf8_lossy(text).contains(&format!("\"{digits}\""))).count()
}

#[test]
fn a_token_comes_back_byte_by_byte_in_this_life_and_the_next_for_its_operation_alone() {
    let root = tempfile::tempdir().unwrap();
    let longest: Vec<u8> = (0..secret::MAX).map(|n| n as u8).collect();
    for (op, bytes) in [(1, &b"\0"[..]), (2, &longest), ((1 << 53) - 1, b"\"}\n")] {
        let tokens = load(root.path());
        put(&tokens, "a", op, Secret::copied(bytes).unwrap()).unwrap();
        let check = |tokens: &Tokens| {
            assert_eq!(tokens.get("a", op).unwrap().as_bytes(), bytes);
            assert!(tokens.get("a", op + 1).is_none() && tokens.get("A", op).is_none());
        };
        check(&tokens);
        drop(tokens);
        check(&load(root.path()));
    }
    assert_eq!(files(root.path()).keys().collect::<Vec<_>>(), [A, B]);
}

#[test]
fn the_tokens_are_a_document_of_their_own() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (tokens, _) = store.tokens().unwrap();
    store.save(&1).unwrap();
    store.keep_config("{}").unwrap();
    let before = files(root.path());
    put(&tokens, "a", 7, Secret::copied(b"\x01\xfe").unwrap()).unwrap();
    let mut after = files(root.path());
    let text = String::from_utf8(after.remove(A).unwrap()).unwrap();
    assert_eq!(after, before);
    assert!(text.ends_with(",\"state\":{\"tokens\":[{\"id\":\"a\",\"op\":7,\"token\":\"01fe\"}]}}\n"), "{text}");
    assert_eq!(format!("{tokens:?}"), "Tokens of 1 servers");
}

#[test]
fn a_token_that_goes_is_in_no_file_any_more() {
    let root = kept(3);
    let tokens = load(root.path());
    assert_eq!(copies(root.path(), 1), 2);
    tokens.remove("s1", 1).unwrap();
    put(&tokens, "s2", 2, secret(22)).unwrap();
    assert_eq!((copies(root.path(), 1), copies(root.path(), 2), copies(root.path(), 22)), (0, 0, 2));
    assert_eq!(tokens.get("s2", 2).unwrap().as_bytes(), secret(22).as_bytes());
    let before = files(root.path());
    tokens.remove("s1", 1).unwrap();
    tokens.put(&[]).unwrap();
    tokens.keep_only(&[("s2", 2), ("s3", 3)]).unwrap();
    assert_eq!(files(root.path()), before, "nothing is written where nothing changes");
    drop(tokens);
    assert!(!has(&load(root.path()), 1));
}

#[test]
fn the_token_of_a_cut_off_authorization_is_dropped_at_the_start() {
    let root = kept(4);
    let tokens = load(root.path());
    // Of server 2 the state knows an earlier authorization, of server 3 none; server 5 has lost its token.
    let known = [("s1", 1), ("s2", 1), ("s4", 4), ("s5", 5)];
    tokens.keep_only(&known).unwrap();
    let check =
        |tokens: &Tokens| assert_eq!([1, 2, 3, 4, 5].map(|n| has(tokens, n)), [true, false, false, true, false]);
    check(&tokens);
    drop(tokens);
    check(&load(root.path()));
    assert_eq!((copies(root.path(), 2), copies(root.path(), 3)), (0, 0));
}

#[test]
fn the_token_that_a_server_has_outlives_an_authorization_that_is_cut_off() {
    let root = kept(2);
    let tokens = load(root.path());
    put(&tokens, "s1", 9, secret(9)).unwrap();
    assert!(has(&tokens, 1), "the state may speak of this one still");
    assert_eq!(tokens.get("s1", 9).unwrap().as_bytes(), secret(9).as_bytes());
    drop(tokens);
    let tokens = load(root.path());
    tokens.keep_only(&[("s1", 1), ("s2", 2)]).unwrap();
    assert!(has(&tokens, 1) && !tokens.has("s1", 9));
    assert_eq!((copies(root.path(), 1), copies(root.path(), 9)), (2, 0));
}

#[test]
fn the_token_of_a_later_operation_stays_when_that_of_an_earlier_one_goes() {
    let root = kept(2);
    let tokens = load(root.path());
    put(&tokens, "s1", 10, secret(10)).unwrap();
    tokens.remove("s1", 1).unwrap();
    assert!(!has(&tokens, 1) && has(&tokens, 2));
    assert_eq!(tokens.get("s1", 10).unwrap().as_bytes(), secret(10).as_bytes());
    assert_eq!((copies(root.path(), 1), copies(root.path(), 10)), (0, 2));
}

#[test]
fn several_tokens_are_one_write_and_all_or_none() {
    let root = tempfile::tempdir().unwrap();
    let tokens = load(root.path());
    let secrets = [Arc::new(secret(1)), Arc::new(secret(2))];
    let both = [("s1", 1, &secrets[0]), ("s2", 2, &secrets[1])];
    let (steps, result) = killed_at(2, || tokens.put(&both));
    assert_eq!((steps.len(), result.unwrap_err().code), (2, abi::VMSF_ERR_IO));
    assert!(!has(&tokens, 1) && !has(&tokens, 2));
    let (steps, result) = killed_at(usize::MAX, || tokens.put(&both));
    result.unwrap();
    // Twice, with what the failed one may have left written over.
    let once = ["create", "write", "sync", "rename", "settle"];
    assert_eq!(steps[steps.len() - 10..], [once, once].concat());
    assert!(has(&tokens, 1) && has(&tokens, 2));
    let (steps, _) = killed_at(usize::MAX, || put(&tokens, "s3", 3, secret(3)).unwrap());
    assert_eq!(steps, once);
}

#[test]
fn whatever_is_wrong_with_one_file_the_other_generation_is_used_and_it_is_said() {
    let root = kept(2);
    let whole = files(root.path());
    let store = open(root.path());
    for (name, newest) in [(B, 1), (A, 2)] {
        for bytes in all_damages(&whole[name]) {
            fs::write(root.path().join(name), &bytes).unwrap();
            let (tokens, damaged) = store.tokens().unwrap();
            assert!(has(&tokens, 1) && has(&tokens, 2) == (newest == 2));
            let damaged = damaged.unwrap();
            assert!(damaged.contains(root.path().join(name).to_str().unwrap()), "{damaged}");
            assert_eq!(fs::read(root.path().join(name)).unwrap(), bytes);
        }
        fs::write(root.path().join(name), &whole[name]).unwrap();
    }
    fs::remove_file(root.path().join(A)).unwrap();
    assert!(store.tokens().unwrap().1.unwrap().contains("is missing"));
}

#[test]
fn whatever_is_wrong_with_the_only_file_or_with_both_is_an_error_that_touches_nothing() {
    for (last, other) in [(1, None), (2, Some(&b"garbage"[..]))] {
        let root = kept(last);
        let whole = fs::read(root.path().join(A)).unwrap();
        other.inspect(|bytes| fs::write(root.path().join(B), bytes).unwrap());
        let store = open(root.path());
        for bytes in all_damages(&whole) {
            fs::write(root.path().join(A), &bytes).unwrap();
            let before = files(root.path());
            let error = store.tokens().unwrap_err();
            assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED);
            for part in [root.path().join(A).to_str().unwrap(), "nothing was changed", "authorize the servers anew"] {
                assert!(error.text.contains(part), "{}", error.text);
            }
            assert_eq!(files(root.path()), before);
        }
    }
}

#[test]
fn a_newer_schema_and_a_document_that_cannot_be_understood_are_errors_that_show_no_token() {
    let token: String = MARK.iter().map(|byte| format!("{byte:02x}")).collect();
    let newer = (2, "[]".to_owned(), "schema 2");
    let others = [
        (format!("{{\"tokens\":\"{token}\"}}"), "its shape is wrong at byte"),
        (
            format!("{{\"tokens\":[{{\"id\":\"s1\",\"op\":\"{token}\",\"token\":\"00\"}}]}}"),
            "its shape is wrong at byte",
        ),
        (format!("{{\"tokens\":[{{\"id\":\"s1\",\"op\":1,\"token\":\"{token}0\"}}]}}"), "the token of 's1' is none"),
        (format!("{{\"tokens\":[{{\"id\":\"s1\",\"op\":1,\"token\":\"{token}xx\"}}]}}"), "the token of 's1' is none"),
        ("{\"tokens\":[{\"id\":\"s1\",\"op\":1,\"token\":\"\"}]}".to_owned(), "the token of 's1' is none"),
        (
            format!("{{\"tokens\":[{{\"id\":\"s1\",\"op\":1,\"token\":\"{}\"}}]}}", token.repeat(257)),
            "the token of 's1' is none",
        ),
    ];
    for (schema, payload, why) in others.into_iter().map(|(payload, why)| (1, payload, why)).chain([newer]) {
        let root = tempfile::tempdir().unwrap();
        let store = open(root.path());
        Pair::secret("tokens", schema, "").save(&store.disk, payload.as_bytes()).unwrap();
        let before = files(root.path());
        let error = store.tokens().unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_STATE_DAMAGED);
        assert!(error.text.contains(why) && error.text.contains(root.path().to_str().unwrap()), "{}", error.text);
        assert!(error.text.contains("nothing was changed") && !error.text.contains(&token[..8]), "{}", error.text);
        assert_eq!(files(root.path()), before);
    }
}

/// Kills a change before each of its steps; the next life finds what was before it or after it, and goes on.
fn kill_before_each_step(change: impl Fn(&Tokens) -> Result<(), Error>, after: impl Fn(&Tokens) -> bool) {
    let mut seen = [false, false];
    for n in 0.. {
        let root = kept(3);
        let tokens = load(root.path());
        let (steps, result) = killed_at(n, || change(&tokens));
        assert_eq!(after(&tokens), result.is_ok(), "after {steps:?} memory is what was told");
        drop(tokens);
        let tokens = load(root.path());
        let changed = after(&tokens);
        assert!(changed || result.is_err() && has(&tokens, 1) && has(&tokens, 2), "killed after {steps:?}");
        assert!(has(&tokens, 3), "killed after {steps:?}");
        assert!(files(root.path()).keys().all(|name| !name.ends_with(".tmp")), "after {steps:?}");
        put(&tokens, "s4", 4, secret(4)).unwrap();
        assert!(after(&tokens) == changed && has(&tokens, 4));
        seen[usize::from(changed)] = true;
        // The last step of the second write, if there is one, was taken.
        if result.is_ok() && steps.len() < n {
            break;
        }
    }
    assert_eq!(seen, [true, true]);
}

#[test]
fn killed_before_any_step_of_a_change_the_old_or_the_new_tokens_are_there() {
    kill_before_each_step(|tokens| put(tokens, "s9", 9, secret(9)), |tokens| has(tokens, 9));
    kill_before_each_step(|tokens| tokens.remove("s1", 1), |tokens| !has(tokens, 1));
    kill_before_each_step(|tokens| put(tokens, "s2", 8, secret(8)), |tokens| tokens.get("s2", 8).is_some());
    let both = |tokens: &Tokens| {
        let secrets = [Arc::new(secret(9)), Arc::new(secret(10))];
        tokens.put(&[("s9", 9, &secrets[0]), ("s10", 10, &secrets[1])])
    };
    kill_before_each_step(both, |tokens| {
        assert_eq!(has(tokens, 9), has(tokens, 10));
        has(tokens, 9)
    });
    kill_before_each_step(|tokens| tokens.keep_only(&[("s2", 2), ("s3", 3), ("s4", 4)]), |tokens| !has(tokens, 1));
}

#[test]
fn a_second_write_that_fails_leaves_the_old_token_in_the_older_file_until_the_next_change() {
    let root = kept(3);
    let tokens = load(root.path());
    let (steps, result) = killed_at(6, || tokens.remove("s1", 1));
    assert_eq!(steps[5], "create");
    result.unwrap();
    assert!(!has(&tokens, 1) && copies(root.path(), 1) == 1);
    // Whatever the next change is; here one of nothing, as each write of the state makes.
    tokens.put(&[]).unwrap();
    assert_eq!(copies(root.path(), 1), 0);
}

#[test]
fn a_full_disk_is_an_error_that_changes_nothing_leaves_the_room_of_the_state_alone_and_heals() {
    let root = kept(2);
    let tokens = load(root.path());
    let before = files(root.path());
    for change in [|tokens: &Tokens| put(tokens, "s3", 3, secret(3)), |tokens: &Tokens| tokens.remove("s1", 1)] {
        let (steps, result) = on_a_full_disk(|| change(&tokens));
        assert_eq!(steps, ["create", "write", "remove"]);
        let error = result.unwrap_err();
        assert_eq!(error.code, abi::VMSF_ERR_IO);
        assert!(error.text.contains(root.path().join(A).to_str().unwrap()), "{}", error.text);
        assert!(has(&tokens, 1) && has(&tokens, 2) && !has(&tokens, 3));
        assert_eq!(files(root.path()), before);
    }
    for spare in ["spare.1", "spare.2"] {
        assert_eq!(fs::metadata(root.path().join(spare)).unwrap().len(), 64 * 1024);
    }
    put(&tokens, "s3", 3, secret(3)).unwrap();
    tokens.remove("s1", 1).unwrap();
    drop(tokens);
    let tokens = load(root.path());
    assert!(!has(&tokens, 1) && has(&tokens, 2) && has(&tokens, 3));
}

#[test]
fn a_directory_that_was_given_back_is_not_written() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (tokens, _) = store.tokens().unwrap();
    store.unlock();
    assert_eq!(put(&tokens, "a", 1, secret(1)).unwrap_err().code, abi::VMSF_ERR_STATE);
    assert!(tokens.get("a", 1).is_none());
    put(&load(root.path()), "a", 1, secret(1)).unwrap();
}

#[test]
fn changes_from_many_threads_are_all_kept() {
    let root = tempfile::tempdir().unwrap();
    let store = open(root.path());
    let (tokens, _) = store.tokens().unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let tokens = &tokens;
            scope.spawn(move || {
                for n in (thread * 20..).take(20) {
                    put(tokens, &format!("s{n}"), n, secret(n)).unwrap();
                    assert!(has(tokens, n));
                    if n % 2 == 0 {
                        tokens.remove(&format!("s{n}"), n).unwrap();
                    }
                }
            });
        }
    });
    for tokens in [&tokens, &store.tokens().unwrap().0] {
        assert!((0..80).all(|n| has(tokens, n) == (n % 2 == 1)));
    }
}

#[cfg(unix)]
#[test]
fn they_are_for_their_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let root = kept(2);
    for name in [A, B] {
        assert_eq!(fs::metadata(root.path().join(name)).unwrap().permissions().mode() & 0o777, 0o600, "{name}");
    }
}

#[test]
fn no_memory_that_held_a_token_is_given_back_with_it() {
    // Enough of them that a buffer which grows would leave some behind.
    let root = kept(12);
    let (left, ()) = holding_the_mark(|| {
        let tokens = load(root.path());
        for n in 13..30 {
            put(&tokens, &format!("s{n}"), n, secret(n)).unwrap();
        }
        tokens.remove("s1", 1).unwrap();
        tokens.keep_only(&[("s2", 2), ("s3", 3), ("s5", 5)]).unwrap();
        drop(tokens.get("s2", 2));
        for n in 0..8 {
            killed_at(n, || put(&tokens, "s2", 2, secret(22))).1.ok();
        }
        on_a_full_disk(|| put(&tokens, "s6", 6, secret(6))).1.unwrap_err();
    });
    assert_eq!(left, 0, "while they are changed");
    for name in [A, B] {
        let mut text = fs::read(root.path().join(name)).unwrap();
        text.pop();
        fs::write(root.path().join(name), text).unwrap();
        let read = || open(root.path()).tokens().map(drop).map_err(|error| error.code);
        let (left, result) = holding_the_mark(read);
        assert_eq!((left, result), (0, if name == A { Ok(()) } else { Err(abi::VMSF_ERR_STATE_DAMAGED) }));
    }
}
