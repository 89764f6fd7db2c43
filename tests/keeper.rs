//! Tokens kept by the host (`vmsf.secrets/1`), through the C ABI and with both kinds of time: when each function is called, what comes of one
//! that fails, and that the plugin itself keeps nothing.

#[path = "support/polite.rs"]
mod polite;

use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use host_sim::plugin::{CreateOptions, Event, Host, Mode, Operation, SecretsHost};
use polite::Checked;
use serde_json::{Value, json};
use tempfile::TempDir;
use vms_failover_abi as abi;

const MODES: [Mode; 2] = [Mode::Worker, Mode::HostDrives];
const PATIENCE: Duration = Duration::from_secs(20);
const SECOND: u64 = 1_000_000_000;
const POLLS_MAX: usize = 1_000;
const TOKEN: &[u8] = b"token-7f3a9c";

/// Where the host keeps its tokens, over all lives.
#[derive(Default)]
struct Vault {
    tokens: Mutex<BTreeMap<String, Vec<u8>>>,
    /// What was called and not looked at yet, in order.
    calls: Mutex<Vec<String>>,
    /// A function, and the code that it gives.
    fails: Mutex<Option<(&'static str, abi::vmsf_result)>>,
    /// Who is told of the next store and has to let it go on.
    holds: Mutex<Option<(Sender<()>, Receiver<()>)>>,
}

impl Vault {
    fn called(&self, function: &'static str, id: &str) -> Result<(), abi::vmsf_result> {
        self.calls.lock().unwrap().push(format!("{function} {id}"));
        match *self.fails.lock().unwrap() {
            Some((failing, code)) if failing == function => Err(code),
            _ => Ok(()),
        }
    }

    fn take_calls(&self) -> Vec<String> {
        std::mem::take(&mut self.calls.lock().unwrap())
    }

    fn fail(&self, function: &'static str, code: abi::vmsf_result) {
        *self.fails.lock().unwrap() = Some((function, code));
    }

    fn mend(&self) {
        *self.fails.lock().unwrap() = None;
    }

    fn has(&self, id: &str) -> bool {
        self.tokens.lock().unwrap().contains_key(id)
    }
}

/// What came to the host.
#[derive(Debug)]
enum Seen {
    Event(Value),
    Begin(Operation),
}

struct Keeper {
    vault: Arc<Vault>,
    seen: Mutex<Sender<Seen>>,
}

impl Host for Keeper {
    fn event(&self, event: Event) {
        assert!(!event.json.as_bytes().windows(TOKEN.len()).any(|window| window == TOKEN), "{}", event.json);
        let _ = self.seen.lock().unwrap().send(Seen::Event(serde_json::from_str(&event.json).unwrap()));
    }

    fn begin(&self, operation: Operation) {
        let _ = self.seen.lock().unwrap().send(Seen::Begin(operation));
    }

    fn log(&self, _: u32, _: &str, text: &str) {
        assert!(!text.as_bytes().windows(TOKEN.len()).any(|window| window == TOKEN), "{text}");
    }

    fn secrets(&self) -> Option<&dyn SecretsHost> {
        Some(self)
    }
}

impl SecretsHost for Keeper {
    fn store(&self, id: &str, secret: &[u8]) -> Result<(), abi::vmsf_result> {
        if let Some((entered, go_on)) = self.vault.holds.lock().unwrap().take() {
            let _ = entered.send(());
            let _ = go_on.recv_timeout(PATIENCE);
        }
        self.vault.called("store", id)?;
        self.vault.tokens.lock().unwrap().insert(id.to_owned(), secret.to_vec());
        Ok(())
    }

    fn load(&self, id: &str, give: &mut dyn FnMut(&[u8])) -> Result<(), abi::vmsf_result> {
        self.vault.called("load", id)?;
        give(self.vault.tokens.lock().unwrap().get(id).ok_or(abi::VMSF_ERR_NOT_FOUND)?);
        Ok(())
    }

    fn remove(&self, id: &str) -> Result<(), abi::vmsf_result> {
        self.vault.called("remove", id)?;
        self.vault.tokens.lock().unwrap().remove(id).map(drop).ok_or(abi::VMSF_ERR_NOT_FOUND)
    }
}

/// One life with such a host.
struct Life {
    instance: Checked,
    vault: Arc<Vault>,
    seen: Receiver<Seen>,
    now_ns: Cell<u64>,
    mode: Mode,
}

impl Life {
    /// Running, in the cluster.
    fn new(mode: Mode, folder: &TempDir, vault: &Arc<Vault>) -> Life {
        let mut options = CreateOptions::new(folder.path().join("state"), Some(config(folder)));
        options.durability = Some("none".to_owned());
        let (sender, seen) = channel();
        let host = Keeper { vault: Arc::clone(vault), seen: Mutex::new(sender) };
        let instance = Checked::create(mode, &options, Box::new(host)).unwrap_or_else(|error| panic!("{error}"));
        instance.start().unwrap();
        instance.cluster(true, "").unwrap();
        Life { instance, vault: Arc::clone(vault), seen, now_ns: Cell::new(SECOND), mode }
    }

    /// The next thing of this kind that comes to the host; polls for it where the host drives.
    fn next<T>(&self, what: &str, wanted: impl Fn(Seen) -> Option<T>) -> T {
        for _ in 0..POLLS_MAX {
            let seen = match self.mode {
                Mode::Worker => Some(self.seen.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no {what}"))),
                Mode::HostDrives => self.seen.try_recv().ok().or_else(|| self.poll().map(|()| None)?),
            };
            if let Some(found) = seen.and_then(&wanted) {
                return found;
            }
        }
        panic!("no {what}");
    }

    fn poll(&self) -> Option<()> {
        let utc_ms = 1_767_225_600_000 + (self.now_ns.get() / 1_000_000) as i64;
        self.instance.poll(self.now_ns.get(), utc_ms).map(drop).map_err(|error| panic!("{error}")).ok()
    }

    fn event(&self, code: &str) -> Value {
        self.next(code, |seen| match seen {
            Seen::Event(event) if event["code"] == code => Some(event),
            _ => None,
        })
    }

    fn begun(&self) -> Operation {
        self.next("begin", |seen| match seen {
            Seen::Begin(operation) => Some(operation),
            Seen::Event(_) => None,
        })
    }

    /// How an operation ended: outcome and error.
    fn ended(&self) -> (String, String) {
        let event = self.event("completed");
        let text = |key: &str| event["details"][key].as_str().unwrap_or_default().to_owned();
        (text("outcome"), text("error"))
    }

    fn answer(&self, operation: &Operation, secret: &[u8]) {
        self.instance
            .complete(operation.id, abi::VMSF_OUTCOME_OK, "", secret)
            .unwrap_or_else(|error| panic!("{error}"));
    }

    fn server(&self, id: &str) -> u64 {
        self.instance.server(id).unwrap()
    }

    fn authorize(&self, id: &str) {
        self.instance.authorize(self.server(id), "", b"the password").unwrap();
        let operation = self.begun();
        assert_eq!(operation.secret.bytes(), b"the password");
        self.answer(&operation, TOKEN);
    }

    fn authorized(&self, id: &str) {
        self.authorize(id);
        assert_eq!(self.ended(), ("ok".into(), String::new()));
    }

    /// Begins a backup; the host has it written when this returns.
    fn back_up(&self, id: &str) -> Operation {
        self.instance.backup(self.server(id), "").unwrap();
        let operation = self.begun();
        let request: Value = serde_json::from_str(&operation.json).unwrap();
        std::fs::write(request["file"].as_str().unwrap(), b"settings").unwrap();
        operation
    }

    fn is_authorized(&self, id: &str) -> bool {
        let status = self.instance.status(self.server(id)).unwrap();
        assert!(!status.as_bytes().windows(TOKEN.len()).any(|window| window == TOKEN), "{status}");
        let status: Value = serde_json::from_str(&status).unwrap();
        status["servers"][0]["authorized"] == true
    }

    fn calls(&self) -> Vec<String> {
        self.vault.take_calls()
    }
}

fn config(folder: &TempDir) -> Value {
    let backups = folder.path().join("backups");
    std::fs::create_dir_all(&backups).unwrap();
    json!({
        "schema": 1, "backup_directory": backups, "store_path": folder.path().join("video"), "daily_backup": false,
        "monitored_servers": [{ "id": "a", "host": "a.example" }, { "id": "b", "host": "b.example" }],
    })
}

/// Every file below that holds a token.
fn files_with_the_token(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for path in std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
        if path.is_dir() {
            found.extend(files_with_the_token(&path));
        } else if std::fs::read(&path).unwrap().windows(TOKEN.len()).any(|window| window == TOKEN) {
            found.push(path.display().to_string());
        }
    }
    found
}

/// In both modes, each with an empty vault.
fn in_both_modes(test: impl Fn(&Life)) {
    for mode in MODES {
        let folder = tempfile::tempdir().unwrap();
        let life = Life::new(mode, &folder, &Arc::default());
        test(&life);
        drop(life);
        assert_eq!(files_with_the_token(folder.path()), [""; 0]);
    }
}

#[test]
fn a_token_is_stored_when_it_comes_loaded_for_each_operation_and_removed_when_it_is_given_up() {
    in_both_modes(|life| {
        life.authorized("a");
        assert_eq!((life.calls(), life.is_authorized("a")), (vec!["store a".to_owned()], true));
        let backup = life.back_up("a");
        assert_eq!((life.calls(), backup.secret.bytes()), (vec!["load a".to_owned()], TOKEN));
        life.answer(&backup, b"");
        assert_eq!(life.event("backup")["details"]["result"], "ok");
        for call in ["takeover", "restore"] {
            match call {
                "takeover" => life.instance.takeover(life.server("a"), "").unwrap(),
                _ => life.instance.restore(life.server("a"), "").unwrap(),
            };
            let operation = life.begun();
            assert_eq!((life.calls(), operation.secret.bytes()), (vec!["load a".to_owned()], TOKEN), "{call}");
            life.answer(&operation, b"");
            assert_eq!(life.ended().0, "ok", "{call}");
        }
        life.instance.deauthorize(life.server("a"), "").unwrap();
        let operation = life.begun();
        assert_eq!((life.calls(), operation.secret.bytes()), (vec!["load a".to_owned()], TOKEN));
        life.answer(&operation, b"");
        life.event("deauthorized");
        settle(life, || !life.vault.has("a"));
        assert_eq!((life.calls(), life.is_authorized("a")), (vec!["remove a".to_owned()], false));
    });
}

/// Waits until something is so; polls where the host drives.
fn settle(life: &Life, is_so: impl Fn() -> bool) {
    let until = std::time::Instant::now() + PATIENCE;
    while !is_so() {
        assert!(std::time::Instant::now() < until, "it never is so");
        match life.mode {
            Mode::Worker => std::thread::yield_now(),
            Mode::HostDrives => drop(life.poll()),
        }
    }
}

#[test]
fn a_token_that_the_host_cannot_store_fails_the_authorization_with_the_reason() {
    in_both_modes(|life| {
        life.vault.fail("store", abi::VMSF_ERR_IO);
        life.authorize("a");
        let (outcome, error) = life.ended();
        assert_eq!(outcome, "failed");
        let words = ["the host could not keep the token", "store", "'a'", "VMSF_ERR_IO"];
        words.iter().for_each(|word| assert!(error.contains(word), "{word} is not in: {error}"));
        assert!(!life.is_authorized("a"));
        life.vault.mend();
        life.authorized("a");
        assert!(life.is_authorized("a"));
    });
}

#[test]
fn a_token_that_the_host_cannot_load_fails_the_operation_alone() {
    in_both_modes(|life| {
        life.authorized("a");
        let backup = life.back_up("a");
        life.answer(&backup, b"");
        life.event("backup");
        life.vault.fail("load", abi::VMSF_ERR_BUSY);
        life.instance.backup(life.server("a"), "").unwrap();
        let failed = life.event("backup");
        let error = failed["details"]["error"].as_str().unwrap();
        ["load", "'a'", "VMSF_ERR_BUSY"].iter().for_each(|word| assert!(error.contains(word), "{error}"));
        assert!(life.is_authorized("a"), "it may be there the next time");
        life.instance.takeover(life.server("a"), "").unwrap();
        life.event("takeover_failed");
        let queued = life.event("takeover");
        assert_eq!((&queued["details"]["from"], &queued["details"]["to"]), (&json!("taking_over"), &json!("queued")));
        life.vault.mend();
        life.instance.takeover(life.server("a"), "").unwrap();
        assert_eq!(life.begun().secret.bytes(), TOKEN, "an operator begins again without a delay");
    });
}

#[test]
fn a_token_that_the_host_has_lost_is_said_once_and_the_server_is_not_authorized_any_more() {
    in_both_modes(|life| {
        life.authorized("a");
        life.vault.tokens.lock().unwrap().clear();
        life.instance.backup(life.server("a"), "").unwrap();
        let failed = life.event("backup");
        let error = failed["details"]["error"].as_str().unwrap();
        assert!(error.contains("no token of server 'a' any more: authorize it again"), "{error}");
        life.event("deauthorized");
        assert!(!life.is_authorized("a"));
        let refused = life.instance.backup(life.server("a"), "").unwrap_err();
        assert_eq!(refused.code, abi::VMSF_ERR_NOT_AUTHORIZED);
        life.authorized("a");
        assert!(life.is_authorized("a") && life.vault.has("a"));
    });
}

#[test]
fn the_token_of_a_server_that_is_removed_or_at_another_address_is_removed() {
    in_both_modes(|life| {
        life.authorized("a");
        life.authorized("b");
        life.calls();
        life.instance.edit(r#"{"remove":["a"],"change":[{"id":"b","host":"elsewhere.example"}]}"#, false).unwrap();
        settle(life, || !life.vault.has("a") && !life.vault.has("b"));
        let mut calls = life.calls();
        calls.sort_unstable();
        assert_eq!((calls, life.is_authorized("b")), (vec!["remove a".to_owned(), "remove b".to_owned()], false));
    });
}

#[test]
fn the_next_life_loads_what_an_earlier_one_stored_and_removes_what_it_could_not() {
    for mode in MODES {
        let (folder, vault) = (tempfile::tempdir().unwrap(), Arc::default());
        let first = Life::new(mode, &folder, &vault);
        first.authorized("a");
        first.authorized("b");
        vault.fail("remove", abi::VMSF_ERR_IO);
        first.instance.deauthorize(first.server("b"), "").unwrap();
        first.answer(&first.begun(), b"");
        settle(&first, || vault.calls.lock().unwrap().iter().any(|call| call == "remove b"));
        drop(first);
        assert!(vault.has("b"));
        vault.mend();
        vault.take_calls();
        let later = Life::new(mode, &folder, &vault);
        assert_eq!((later.is_authorized("a"), later.is_authorized("b")), (true, false));
        settle(&later, || !vault.has("b"));
        assert_eq!(later.calls(), ["remove b"], "and nothing is loaded before it is needed");
        assert_eq!(later.back_up("a").secret.bytes(), TOKEN);
        drop(later);
        assert_eq!(files_with_the_token(folder.path()), [""; 0]);
    }
}

#[test]
fn a_host_stuck_in_store_holds_up_the_authorization_and_a_stop_and_nothing_else() {
    let (folder, vault) = (tempfile::tempdir().unwrap(), Arc::<Vault>::default());
    let life = Life::new(Mode::Worker, &folder, &vault);
    let ((entered, inside), (go_on, wait)) = (channel(), channel());
    *vault.holds.lock().unwrap() = Some((entered, wait));
    life.authorize("a");
    inside.recv_timeout(PATIENCE).expect("the store is begun");
    assert!(!life.is_authorized("a"), "the token is not kept yet");
    life.instance.notify(life.server("a"), abi::VMSF_NOTIFY_CONNECTED, 0).unwrap();
    assert_eq!(life.event("health")["details"]["to"], "connected");
    assert_eq!(life.instance.stop(100).unwrap_err().code, abi::VMSF_ERR_TIMEOUT);
    assert_eq!(life.instance.start().unwrap_err().code, abi::VMSF_ERR_STATE, "the stop stays in force");
    go_on.send(()).unwrap();
    life.instance.stop(20_000).unwrap();
    life.instance.start().unwrap();
    // The host has kept it, and its answer was accepted.
    assert_eq!(life.ended().0, "ok");
    assert!(life.is_authorized("a"));
    assert_eq!(life.back_up("a").secret.bytes(), TOKEN);
}

/// Asserts in a callback what cannot be so.
struct Wrong;

impl Host for Wrong {
    fn event(&self, event: Event) {
        assert_eq!(event.json, "", "of no event");
    }

    fn begin(&self, _: Operation) {}
}

#[test]
#[should_panic(expected = "of no event")]
fn an_assertion_that_fails_in_a_callback_fails_the_test() {
    let folder = tempfile::tempdir().unwrap();
    let options = CreateOptions::new(folder.path().join("state"), Some(config(&folder)));
    let instance = Checked::create(Mode::HostDrives, &options, Box::new(Wrong)).unwrap();
    instance.cluster(true, "").unwrap();
    instance.start().unwrap();
    instance.poll(SECOND, 0).unwrap();
}
