//! What of the cluster and of the logins outlives a kill: the host's word, the tokens, and operations that were cut off.
//!
//! Credentials are kept nowhere, so an `authorize` or a `join_cluster` that a kill has cut off ends as `interrupted`; once it is answered, it
//! is done. Tokens are in the files of the state directory, or with a host that keeps them (`Vault`).

#[path = "support/lives.rs"]
mod lives;
#[path = "support/rig.rs"]
mod rig;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::ffi::{CStr, c_char, c_void};
use std::fs;
use std::path::Path;

use lives::{Left, Life, files};
use rig::{Rig, abi, call, complete_with, expect, token_of};
use serde_json::{Value, json};

const CREDENTIALS: &[u8] = b"alice:correct horse";
const TOKEN: &[u8] = b"a token of this test";

/// Whether a token stands in a file of the directory.
fn is_on_disk(directory: &Path, token: &[u8]) -> bool {
    let digits: String = token.iter().map(|byte| format!("{byte:02x}")).collect();
    let holds = |bytes: &[u8], what: &[u8]| bytes.windows(what.len()).any(|window| window == what);
    files(directory).values().any(|bytes| holds(bytes, token) || holds(bytes, digits.as_bytes()))
}

fn authorize(rig: &Rig, id: &str) -> u64 {
    let json = r#"{"actor":"alice"}"#;
    let (text, secret, mut request) = (json.as_ptr().cast(), CREDENTIALS.as_ptr(), 0);
    let code = call!(authorize(rig.p, rig.server(id), text, json.len(), secret, CREDENTIALS.len(), &mut request));
    expect(code, abi::VMSF_OK, id);
    request
}

fn join(rig: &Rig) -> u64 {
    let (code, request) = rig.join_cluster(r#"{"host":"management.example","actor":"alice"}"#, CREDENTIALS);
    expect(code, abi::VMSF_OK, "join_cluster");
    request
}

fn is_joined(life: &Life) -> bool {
    life.status()["cluster"]["joined"].as_bool().unwrap()
}

fn is_authorized(life: &Life, id: &str) -> bool {
    life.status_of(id)["authorized"].as_bool().unwrap()
}

/// One life, polled at second 1,000, that knows nothing of cluster and logins.
fn fresh(ids: &[&str]) -> Life {
    let left = Left::nothing();
    let config = left.config(ids);
    left.going_on(Some(&config))
}

// ---- the cluster ----

#[test]
fn the_hosts_word_of_the_cluster_is_kept_until_it_says_otherwise() {
    let mut life = fresh(&["a"]);
    assert!(!is_joined(&life), "before it has said anything");
    for joined in [true, true, false, true] {
        expect(life.cluster(joined), abi::VMSF_OK, joined);
        // Taken in or not: it was accepted.
        life = life.killed();
        assert_eq!(is_joined(&life), joined);
        life = life.killed();
        assert_eq!(is_joined(&life), joined);
    }
    expect(life.stop(0), abi::VMSF_OK, "stop");
    expect(life.cluster(false), abi::VMSF_OK, "while stopped");
    assert!(!is_joined(&life.killed()));
}

#[test]
fn a_join_that_was_cut_off_is_interrupted_and_one_that_was_answered_is_not() {
    // Accepted, and the host not asked; asked; answered.
    for (asked, answered) in [(false, false), (true, false), (true, true)] {
        let first = fresh(&["a"]);
        let request = join(&first);
        if asked {
            first.drive_to(2);
            let begun = first.begun();
            assert_eq!((begun.what(), &begun.secret[..]), ((abi::VMSF_OP_JOIN_CLUSTER, 0), CREDENTIALS));
            assert_eq!(begun.json["management_server"], json!({ "host": "management.example", "port": 443 }));
        }
        if answered {
            first.answer(abi::VMSF_OUTCOME_OK);
        }
        let left = first.left();
        assert!(!is_on_disk(left.state.path(), CREDENTIALS), "credentials are kept nowhere");
        let later = left.going_on(None);
        assert_eq!(later.begins(), [], "the host is not asked without credentials");
        let outcome = if answered { "ok" } else { "interrupted" };
        assert_eq!(later.outcomes(), [("join_cluster".to_owned(), outcome.to_owned())]);
        let completed = &later.codes("completed")[0];
        assert_eq!(json!([completed["request"], completed["actor"]]), json!([request, "alice"]));
        let over: Vec<Value> =
            later.codes("operation_over").iter().map(|entry| entry["details"]["reason"].clone()).collect();
        assert_eq!(over, if asked && !answered { vec![json!("interrupted")] } else { vec![] });
        assert_eq!(is_joined(&later), answered);
        // And said once.
        assert_eq!(later.killed().outcomes(), []);
        join(&later);
    }
}

// ---- authorize ----

/// How far an `authorize` is when the kill comes.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Cut {
    Accepted,
    Asked,
    Answered,
    Refused,
}

const CUTS: [Cut; 4] = [Cut::Accepted, Cut::Asked, Cut::Answered, Cut::Refused];

/// An `authorize` of server a that is so far, and its request.
fn authorize_up_to(first: &Life, cut: Cut) -> u64 {
    let request = authorize(first, "a");
    if cut != Cut::Accepted {
        first.settle(first.now());
        let begun = first.last_begun();
        assert_eq!((begun.what(), &begun.secret[..]), ((abi::VMSF_OP_AUTHORIZE, 0), CREDENTIALS));
        let (outcome, token) = match cut {
            Cut::Answered => (abi::VMSF_OUTCOME_OK, TOKEN),
            _ => (abi::VMSF_OUTCOME_FAILED, &[][..]),
        };
        if cut != Cut::Asked {
            expect(complete_with(first.p, begun.id, outcome, token), abi::VMSF_OK, "complete");
        }
    }
    request
}

#[test]
fn an_authorize_that_was_cut_off_is_interrupted_and_one_that_was_answered_is_not() {
    for cut in CUTS {
        let first = fresh(&["a"]);
        expect(first.cluster(true), abi::VMSF_OK, "cluster");
        let request = authorize_up_to(&first, cut);
        let left = first.left();
        assert!(!is_on_disk(left.state.path(), CREDENTIALS), "credentials are kept nowhere");
        assert_eq!(is_on_disk(left.state.path(), TOKEN), cut == Cut::Answered, "an accepted token is on disk");
        let later = left.going_on(None);
        assert_eq!(later.begins(), [], "{cut:?}: the host is not asked without credentials");
        let outcome = match cut {
            Cut::Answered => "ok",
            Cut::Refused => "failed",
            Cut::Accepted | Cut::Asked => "interrupted",
        };
        assert_eq!(later.outcomes(), [("authorize".to_owned(), outcome.to_owned())], "{cut:?}");
        let completed = &later.codes("completed")[0];
        assert_eq!(
            json!([completed["server"], completed["request"], completed["actor"]]),
            json!(["a", request, "alice"])
        );
        assert_eq!(is_authorized(&later, "a"), cut == Cut::Answered);
        if cut == Cut::Asked {
            // The host has given up what it is told to; where it has not, its token is no longer wanted.
            assert_eq!(later.codes("operation_over").len(), 1);
            let op = first.last_begun().id;
            expect(complete_with(later.p, op, abi::VMSF_OUTCOME_OK, TOKEN), abi::VMSF_ERR_NOT_FOUND, "late");
            later.drive_to(2);
            assert_eq!(later.codes("late_answer").len(), 1);
            assert!(!is_authorized(&later, "a"));
        }
        assert_eq!(later.killed().outcomes(), [], "it is said once");
        // And nothing is in the way of another.
        later.authorized(later.server("a"));
        assert!(is_authorized(&later.killed(), "a"));
    }
}

#[test]
fn a_stop_cuts_off_as_a_kill_does() {
    let rig = fresh(&["a"]);
    authorize_up_to(&rig, Cut::Asked);
    expect(rig.stop(0), abi::VMSF_OK, "stop");
    expect(rig.start(), abi::VMSF_OK, "start");
    rig.drive_to(2);
    assert_eq!(rig.outcomes(), [("authorize".to_owned(), "interrupted".to_owned())]);
    assert!(!is_authorized(&rig, "a"));
}

#[test]
fn the_token_goes_with_each_operation_of_every_later_life() {
    let first = Life::ready(&["a"]);
    let token = token_of(first.server("a"));
    let backs_up = first.killed();
    expect(backs_up.backup(backs_up.server("a")).0, abi::VMSF_OK, "backup");
    backs_up.drive_to(2);
    let takes_over = backs_up.killed();
    // A backup that goes on has it, too.
    assert_eq!(takes_over.begun().what(), (abi::VMSF_OP_BACKUP, abi::VMSF_OP_RESUMED));
    takes_over.take_over("a");
    takes_over.drive_to(2);
    takes_over.answer(abi::VMSF_OUTCOME_OK);
    let restores = takes_over.killed();
    expect(restores.restore(restores.server("a")), abi::VMSF_OK, "restore");
    restores.drive_to(2);
    restores.answer(abi::VMSF_OUTCOME_OK);
    let revokes = restores.killed();
    expect(revokes.deauthorize(revokes.server("a")).0, abi::VMSF_OK, "deauthorize");
    revokes.drive_to(2);
    let begins = [&backs_up, &takes_over, &restores, &revokes].map(|life| life.begins()).concat();
    let kinds: Vec<u32> = begins.iter().map(|begun| begun.kind).collect();
    let (backup, takeover) = (abi::VMSF_OP_BACKUP, abi::VMSF_OP_TAKEOVER);
    assert_eq!(kinds, [backup, backup, takeover, abi::VMSF_OP_RESTORE, abi::VMSF_OP_DEAUTHORIZE]);
    assert!(begins.iter().all(|begun| begun.secret == token), "{begins:#?}");
}

#[test]
fn a_later_token_takes_the_place_of_the_earlier_one() {
    let first = Life::ready(&["a", "b"]);
    let tokens = ["a", "b"].map(|id| token_of(first.server(id)));
    authorize_up_to(&first, Cut::Answered);
    let later = first.killed();
    assert_eq!(tokens.map(|token| is_on_disk(later.directory.path(), &token)), [false, true]);
    later.take_over("a");
    later.drive_to(2);
    assert_eq!(later.last_begun().secret, TOKEN);
}

// ---- deauthorize ----

#[test]
fn a_deauthorize_accepted_before_a_kill_is_done_once() {
    let first = Life::ready(&["a"]);
    let token = token_of(first.server("a"));
    let (code, request) = first.deauthorize(first.server("a"));
    expect(code, abi::VMSF_OK, "deauthorize");
    let asks = first.killed();
    assert_eq!(
        (asks.begun().what(), &asks.begun().secret),
        ((abi::VMSF_OP_DEAUTHORIZE, 0), &token),
        "never asked before"
    );
    assert_eq!(asks.begun().json["request"], request);
    let asks_again = asks.killed();
    assert_eq!(asks_again.begun().what(), (abi::VMSF_OP_DEAUTHORIZE, abi::VMSF_OP_RESUMED));
    assert_eq!((asks_again.begun().id, &asks_again.begun().secret), (asks.begun().id, &token));
    asks_again.answer(abi::VMSF_OUTCOME_OK);
    let answered = asks_again.killed();
    assert_eq!((answered.begins(), answered.outcomes()), (vec![], vec![("deauthorize".to_owned(), "ok".to_owned())]));
    assert_eq!((is_authorized(&answered, "a"), is_on_disk(answered.directory.path(), &token)), (false, false));
    assert_eq!(answered.killed().outcomes(), []);
}

#[test]
fn a_deauthorize_accepted_while_stopped_is_done_at_the_next_start() {
    let first = Life::ready(&["a"]);
    expect(first.stop(0), abi::VMSF_OK, "stop");
    expect(first.deauthorize(first.server("a")).0, abi::VMSF_OK, "deauthorize");
    let later = first.killed();
    assert_eq!(later.begun().what(), (abi::VMSF_OP_DEAUTHORIZE, 0));
    // Without a kill, too.
    expect(first.start(), abi::VMSF_OK, "start");
    first.settle(first.now());
    assert_eq!(first.begun().what(), (abi::VMSF_OP_DEAUTHORIZE, 0));
}

#[test]
fn whatever_the_instant_of_a_kill_a_token_that_was_revoked_is_gone_from_disk() {
    for polls in 0..6 {
        let first = Life::ready(&["a", "b"]);
        let tokens = ["a", "b"].map(|id| token_of(first.server(id)));
        expect(first.deauthorize(first.server("a")).0, abi::VMSF_OK, "deauthorize");
        first.settle(first.now());
        first.answer(abi::VMSF_OUTCOME_OK);
        (0..polls).for_each(|_| expect(first.poll(first.now()).0, abi::VMSF_OK, "poll"));
        let later = first.killed();
        let (left, kept) = (later.directory.path(), [false, true]);
        assert_eq!(["a", "b"].map(|id| is_authorized(&later, id)), kept, "{polls}");
        assert_eq!(tokens.map(|token| is_on_disk(left, &token)), kept, "{polls}");
    }
}

// ---- servers that go, or become others ----

/// Three ways in which another configuration comes: given to a later `create`; accepted while running; and that cut off by a kill.
fn lives_with(ids: &[&str], change: fn(Value) -> Value) -> [Life; 3] {
    let left = Life::ready(ids).left();
    let config = change(left.config(ids));
    let given = left.going_on(Some(&config));
    let configure = || {
        let life = Life::ready(ids);
        let config = change(life.config_of(ids));
        expect(life.configure(&config.to_string(), 0).0, abi::VMSF_OK, "configure");
        life
    };
    let (running, cut_off) = (configure(), configure());
    running.settle(running.now());
    [given, running, cut_off.killed()]
}

#[test]
fn the_token_of_a_removed_server_is_gone_and_its_backups_stay() {
    let removed = |mut config: Value| {
        config["monitored_servers"].as_array_mut().unwrap().remove(0);
        config
    };
    for life in lives_with(&["a", "b"], removed) {
        assert_tokens(&life, 1);
        assert_eq!((life.backups("a"), life.backups("b")), (vec![1], vec![1]));
        // Added again it is a server never seen, that has backups.
        expect(life.configure(&life.config_of(&["a", "b"]).to_string(), 0).0, abi::VMSF_OK, "configure");
        life.settle(life.now());
        let a = life.status_of("a");
        assert_eq!(json!([a["authorized"], a["backup"], a["health"]]), json!([false, true, "unknown"]));
    }
}

#[test]
fn the_token_of_a_server_at_another_address_is_gone() {
    let moved = |mut config: Value| {
        config["monitored_servers"][0]["port"] = json!(4711);
        config
    };
    for life in lives_with(&["a", "b"], moved) {
        assert_tokens(&life, 1);
        assert_eq!((is_authorized(&life, "a"), is_authorized(&life, "b")), (false, true));
    }
}

#[test]
fn a_server_in_an_operation_can_be_neither_removed_nor_readdressed_and_a_refusal_leaves_nothing_on_disk() {
    let life = Life::ready(&["a", "b"]);
    expect(life.backup(life.server("a")).0, abi::VMSF_OK, "backup");
    life.settle(life.now());
    let before = files(life.directory.path());
    let edits = [r#"{"remove":["a"]}"#, r#"{"change":[{"id":"a","port":4711}]}"#];
    for (edit, pointer) in edits.into_iter().zip(["/monitored_servers", "/monitored_servers/0"]) {
        for flags in [abi::VMSF_DRY_RUN, 0] {
            let (code, report) = life.edit(edit, flags);
            expect(code, abi::VMSF_ERR_CONFIG, edit);
            let report: Value = serde_json::from_str(&report).expect("JSON");
            let fault = &report["faults"][0];
            assert_eq!(fault["pointer"], pointer);
            assert!(fault["text"].as_str().unwrap().contains("'a' is in operation backup"), "{report}");
        }
    }
    assert!(files(life.directory.path()) == before, "a file was changed");
    life.answer(abi::VMSF_OUTCOME_FAILED);
    life.settle(life.now());
    edits.iter().rev().for_each(|edit| expect(life.edit(edit, 0).0, abi::VMSF_OK, edit));
}

/// So many tokens stand in each generation.
#[track_caller]
fn assert_tokens(life: &Life, expected: usize) {
    for name in ["tokens.a.json", "tokens.b.json"] {
        let text = fs::read_to_string(life.directory.path().join(name)).expect("the tokens");
        let document: Value = serde_json::from_str(&text).expect("JSON");
        assert_eq!(document["state"]["tokens"].as_array().map(Vec::len), Some(expected), "{name}: {document:#}");
    }
}

// ---- a host that keeps the tokens ----

/// What the host of this thread keeps: over all lives, as a vault of the system does.
#[derive(Default)]
struct Vault {
    kept: BTreeMap<String, Vec<u8>>,
    remove_fails: bool,
}

thread_local! {
    static VAULT: RefCell<Vault> = RefCell::default();
}

fn id_of(text: *const c_char) -> String {
    // SAFETY: rule 3: NUL-terminated, and lives until the callback returns.
    unsafe { CStr::from_ptr(text) }.to_str().unwrap().to_owned()
}

unsafe extern "C" fn store(
    _: *mut c_void,
    id: *const c_char,
    _: usize,
    secret: *const u8,
    len: usize,
) -> abi::vmsf_result {
    // SAFETY: rule 10: counted, and lives until the function returns.
    let secret = unsafe { std::slice::from_raw_parts(secret, len) };
    VAULT.with_borrow_mut(|vault| vault.kept.insert(id_of(id), secret.to_vec()));
    abi::VMSF_OK
}

unsafe extern "C" fn load(
    _: *mut c_void,
    id: *const c_char,
    _: usize,
    buf: *mut u8,
    cap: usize,
    len: *mut usize,
) -> abi::vmsf_result {
    let Some(token) = VAULT.with_borrow(|vault| vault.kept.get(&id_of(id)).cloned()) else {
        return abi::VMSF_ERR_NOT_FOUND;
    };
    assert!(token.len() <= cap);
    // SAFETY: the documentation of `load`: `cap` bytes are writable.
    unsafe { std::slice::from_raw_parts_mut(buf, token.len()) }.copy_from_slice(&token);
    // SAFETY: the documentation of `load`: one usize is writable.
    unsafe { len.write(token.len()) };
    abi::VMSF_OK
}

unsafe extern "C" fn remove(_: *mut c_void, id: *const c_char, _: usize) -> abi::vmsf_result {
    VAULT.with_borrow_mut(|vault| match vault.remove_fails {
        true => abi::VMSF_ERR_IO,
        false => vault.kept.remove(&id_of(id)).map_or(abi::VMSF_ERR_NOT_FOUND, |_| abi::VMSF_OK),
    })
}

static TABLE: abi::vmsf_secrets = abi::vmsf_secrets {
    struct_size: size_of::<abi::vmsf_secrets>() as u32,
    reserved: 0,
    store: Some(store),
    load: Some(load),
    remove: Some(remove),
};

unsafe extern "C" fn get_extension(_: *mut c_void, _: *const c_char) -> *const c_void {
    (&raw const TABLE).cast()
}

fn in_vault(id: &str) -> Option<Vec<u8>> {
    VAULT.with_borrow(|vault| vault.kept.get(id).cloned())
}

/// A later life with a host that keeps tokens.
fn with_vault(left: Left, config: Option<&Value>) -> Life {
    let life = left.created_with(config, |host| host.get_extension = Some(get_extension));
    life.begin();
    life
}

fn first_with_vault(ids: &[&str]) -> Life {
    let left = Left::nothing();
    let config = left.config(ids);
    let life = with_vault(left, Some(&config));
    expect(life.cluster(true), abi::VMSF_OK, "cluster");
    life
}

#[test]
fn a_host_that_keeps_tokens_has_them_over_kills_and_no_file_does() {
    let first = first_with_vault(&["a"]);
    first.authorized(first.server("a"));
    let token = token_of(first.server("a"));
    assert_eq!((in_vault("a"), is_on_disk(first.directory.path(), &token)), (Some(token.clone()), false));
    let later = with_vault(first.left(), None);
    expect(later.backup(later.server("a")).0, abi::VMSF_OK, "backup");
    later.drive_to(2);
    assert_eq!(later.begun().secret, token);
    // One that is gone there is said when it is needed.
    VAULT.with_borrow_mut(|vault| vault.kept.clear());
    let robbed = with_vault(later.left(), None);
    robbed.drive_to(2);
    let backup = &robbed.codes("backup")[0]["details"];
    assert!(backup["error"].as_str().unwrap().contains("no token of server 'a'"), "{backup}");
    assert_eq!(robbed.begins(), []);
}

#[test]
fn an_answer_whose_token_the_host_may_not_have_kept_is_interrupted_by_a_kill() {
    for polls in 0..4 {
        let first = first_with_vault(&["a"]);
        authorize_up_to(&first, Cut::Answered);
        (0..polls).for_each(|_| expect(first.poll(first.now()).0, abi::VMSF_OK, "poll"));
        let was_done = is_authorized(&first, "a");
        let later = with_vault(first.left(), None);
        // Either is whole: the plugin never counts on a token that nobody has promised.
        assert_eq!(is_authorized(&later, "a"), was_done, "{polls}");
        let outcome = |outcome: &str| vec![("authorize".to_owned(), outcome.to_owned())];
        assert_eq!(later.outcomes(), if was_done { vec![] } else { outcome("interrupted") }, "{polls}");
        authorize_up_to(&later, Cut::Answered);
        later.drive_to(2);
        assert!(is_authorized(&later, "a") && in_vault("a").as_deref() == Some(TOKEN));
    }
}

#[test]
fn a_token_that_was_brought_after_a_failed_removal_is_not_removed_in_its_place() {
    let first = first_with_vault(&["a"]);
    first.authorized(first.server("a"));
    VAULT.with_borrow_mut(|vault| vault.remove_fails = true);
    expect(first.deauthorize(first.server("a")).0, abi::VMSF_OK, "deauthorize");
    first.settle(first.now());
    first.answer(abi::VMSF_OUTCOME_OK);
    first.settle(first.now());
    assert!(!is_authorized(&first, "a") && in_vault("a").is_some(), "it stays with the host");
    VAULT.with_borrow_mut(|vault| vault.remove_fails = false);
    // A later start tries again, unless the server has a token again.
    let without = with_vault(first.left(), None);
    assert_eq!((in_vault("a"), is_authorized(&without, "a")), (None, false));
    authorize_up_to(&first, Cut::Answered);
    first.settle(first.now());
    let later = with_vault(first.left(), None);
    assert_eq!((in_vault("a").as_deref(), is_authorized(&later, "a")), (Some(TOKEN), true));
}

#[test]
fn the_host_is_told_to_forget_the_token_of_a_removed_server_whatever_the_instant_of_a_kill() {
    for polls in 0..4 {
        let first = first_with_vault(&["a", "b"]);
        for id in ["a", "b"] {
            first.authorized(first.server(id));
        }
        expect(first.configure(&first.config_of(&["b"]).to_string(), 0).0, abi::VMSF_OK, "configure");
        (0..polls).for_each(|_| expect(first.poll(first.now()).0, abi::VMSF_OK, "poll"));
        let later = with_vault(first.left(), None);
        later.drive_to(2);
        assert_eq!((in_vault("a"), in_vault("b").is_some()), (None, true), "{polls}");
        // And through a configuration that is given to `create`.
        let left = later.left();
        let config = left.config(&["c"]);
        with_vault(left, Some(&config)).drive_to(2);
        assert_eq!(in_vault("b"), None, "{polls}");
    }
}
