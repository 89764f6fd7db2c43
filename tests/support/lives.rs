//! Several lives of one driven instance: killed at any instant, damaged, and going on from what was left.
//!
//! A kill is played by copying the state directory of a living instance, in which nothing happens between two polls, and going on from the
//! copy: that is what kill -9 leaves. The backups lie in a directory of their own, as with a host, which all lives share.

// Each test file uses its own part of it.
#![allow(dead_code)]

use std::collections::BTreeMap;
use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::rc::Rc;

use serde_json::{Value, json};
use tempfile::TempDir;

pub use crate::rig::Begun;
use crate::rig::{self, Callback, Probe, Rig, SECOND, abi, call, config, create, expect};

/// A server that was seen before a start fails so long after it.
pub const UNSEEN: u64 = 300;
/// How long the host may take for a takeover, a restore or a backup.
pub const TAKEOVER: u64 = 600;

/// What an instance leaves when it is killed.
pub struct Left {
    pub state: TempDir,
    pub backups: Rc<TempDir>,
}

/// One life.
pub struct Life {
    rig: Rig,
    backups: Rc<TempDir>,
}

impl Deref for Life {
    type Target = Rig;

    fn deref(&self) -> &Rig {
        &self.rig
    }
}

impl Left {
    /// A fresh place.
    pub fn nothing() -> Left {
        Left { state: directory(), backups: Rc::new(directory()) }
    }

    /// A configuration with these servers, and the backups of this place.
    pub fn config(&self, ids: &[&str]) -> Value {
        with_backups(config(ids), &self.backups)
    }

    pub fn try_create(&self, probe: &'static Probe, config: Option<&Value>) -> Result<u64, (String, String)> {
        self.try_create_with(&probe.table(true), config)
    }

    fn try_create_with(&self, host: &abi::vmsf_host, config: Option<&Value>) -> Result<u64, (String, String)> {
        let mut options = json!({ "schema": 1, "state_directory": self.state.path(), "durability": "none" });
        if let Some(config) = config {
            options["config"] = rig::placed(&self.state, config);
        }
        create(host, &options.to_string())
    }

    /// A later life, created and not started.
    pub fn created(self, config: Option<&Value>) -> Life {
        self.created_with(config, |_| ())
    }

    /// The same with another table of the host.
    pub fn created_with(self, config: Option<&Value>, change: impl FnOnce(&mut abi::vmsf_host)) -> Life {
        let probe = Probe::new();
        let mut host = probe.table(true);
        change(&mut host);
        let p = self.try_create_with(&host, config).expect("an instance");
        Life { rig: Rig { p, probe, directory: self.state, drives: true }, backups: self.backups }
    }

    /// A later life, polled at second 1 until it rests: clocks begin anew with the machine.
    pub fn going_on(self, config: Option<&Value>) -> Life {
        let life = self.created(config);
        life.begin();
        life
    }
}

fn with_backups(mut config: Value, backups: &TempDir) -> Value {
    config["backup_directory"] = json!(backups.path());
    config
}

impl Life {
    /// The first, polled at second 1,000, with these servers in a cluster, authorized and backed up.
    pub fn ready(ids: &[&str]) -> Life {
        let left = Left::nothing();
        let config = left.config(ids);
        let life = left.created(Some(&config));
        life.begin_at(1_000);
        life.prepare();
        life
    }

    pub fn begin(&self) {
        self.begin_at(1);
    }

    pub fn begin_at(&self, second: u64) {
        expect(self.start(), abi::VMSF_OK, "start");
        self.settle(second * SECOND);
    }

    /// What a kill at this instant leaves.
    pub fn left(&self) -> Left {
        let state = directory();
        copy(self.directory.path(), state.path());
        Left { state, backups: Rc::clone(&self.backups) }
    }

    /// Takes the state directory away from under it.
    pub fn take_state_away(&self) -> Away {
        Away::take(self.directory.path())
    }

    /// Killed, and started again with what it kept.
    pub fn killed(&self) -> Life {
        self.left().going_on(None)
    }

    /// A configuration with these servers, and the backups of this place.
    pub fn config_of(&self, ids: &[&str]) -> Value {
        with_backups(config(ids), &self.backups)
    }

    /// The folder of a server's backups.
    pub fn folder(&self, id: &str) -> PathBuf {
        self.backups.path().join(id)
    }

    /// The names of what lies there.
    pub fn backup_files(&self, id: &str) -> Vec<String> {
        files(&self.folder(id)).into_keys().collect()
    }

    /// The numbers of the published backups of a server, each of which has its manifest and nothing beside it.
    #[track_caller]
    pub fn backups(&self, id: &str) -> Vec<u64> {
        let names = self.backup_files(id);
        let stems = names.iter().filter_map(|name| name.strip_suffix(".backup"));
        let mut numbers: Vec<u64> = stems.map(|stem| stem.split_once('-').unwrap().1.parse().unwrap()).collect();
        numbers.sort_unstable();
        assert_eq!(names.len(), 2 * numbers.len(), "archives and manifests, and nothing else: {names:#?}");
        numbers
    }

    pub fn begins(&self) -> Vec<Begun> {
        self.probe.seen().into_iter().filter_map(Begun::of).collect()
    }

    /// The one operation begun in this life so far.
    #[track_caller]
    pub fn begun(&self) -> Begun {
        let begins = self.begins();
        assert_eq!(begins.len(), 1, "{begins:#?}");
        begins.into_iter().next().unwrap()
    }

    #[track_caller]
    pub fn last_begun(&self) -> Begun {
        self.begins().pop().expect("an operation")
    }

    pub fn codes(&self, code: &str) -> Vec<Value> {
        let event = |callback| match callback {
            Callback::Event { json, .. } if json["code"] == code => Some(json),
            _ => None,
        };
        self.probe.seen().into_iter().filter_map(event).collect()
    }

    /// The takeover states that this life told of a server.
    pub fn states(&self, server: &str) -> Vec<String> {
        let of = self.codes("takeover").into_iter().filter(|entry| entry["server"] == server);
        of.map(|entry| entry["details"]["to"].as_str().unwrap().to_owned()).collect()
    }

    /// How the operations that ended in this life did: which, and the outcome.
    pub fn outcomes(&self) -> Vec<(String, String)> {
        let text = |entry: &Value, key: &str| entry["details"][key].as_str().unwrap().to_owned();
        self.codes("completed").iter().map(|entry| (text(entry, "operation"), text(entry, "outcome"))).collect()
    }

    #[track_caller]
    pub fn take_over(&self, id: &str) -> u64 {
        let (code, request) = self.takeover(self.server(id));
        expect(code, abi::VMSF_OK, id);
        request
    }

    /// Answers what was begun last.
    #[track_caller]
    pub fn answer(&self, outcome: u32) {
        let op = self.last_begun().id;
        expect(self.complete(op, outcome), abi::VMSF_OK, op);
    }

    pub fn keep_alive(&self, id: &str) {
        expect(self.notify(self.server(id), abi::VMSF_NOTIFY_KEEP_ALIVE, 0), abi::VMSF_OK, id);
    }

    /// A page of the log.
    pub fn page(&self, since: u64) -> Value {
        let text = rig::text(|buf, cap, len| call!(log(self.p, since, 1000, buf, cap, len))).expect("a page");
        serde_json::from_str(&text).expect("JSON")
    }
}

/// Where a directory is while it is away; it goes with this if it is not brought back.
pub struct Away {
    from: PathBuf,
    to: TempDir,
}

impl Away {
    pub fn take(from: &Path) -> Away {
        let away = Away { from: from.to_owned(), to: directory() };
        fs::rename(from, away.place()).unwrap();
        away
    }

    fn place(&self) -> PathBuf {
        self.to.path().join("away")
    }

    pub fn bring_back(self) {
        fs::rename(self.place(), &self.from).unwrap();
    }
}

/// In memory where the system has a place for that: hundreds of lives are led here, and none of them waits for a disk.
fn directory() -> TempDir {
    let anywhere = cfg!(target_os = "linux") && std::env::var_os("TMPDIR").is_none();
    let in_memory = anywhere.then(|| tempfile::tempdir_in("/dev/shm").ok()).flatten();
    in_memory.unwrap_or_else(|| tempfile::tempdir().expect("a directory"))
}

/// A directory, with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let (path, to) = { (entry.as_ref().unwrap().path(), to.join(entry.unwrap().file_name())) };
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, &to).unwrap();
        }
    }
}

/// Every file below, with its bytes; none where there is no such directory.
pub fn files(directory: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).into_iter().flatten() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            found.extend(files(&path).into_iter().map(|(inner, bytes)| (format!("{name}/{inner}"), bytes)));
        } else {
            found.insert(name, fs::read(&path).unwrap());
        }
    }
    found
}

/// Flips a bit in the middle of a file.
pub fn damage(directory: &Path, name: &str) {
    let path = directory.join(name);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&path, bytes).unwrap();
}

/// The same with the newest generation of a document, given by the beginning of its files' names. Gives the file's name.
pub fn damage_newest(directory: &Path, name: &str) -> String {
    let newest = ["a", "b"].map(|letter| format!("{name}.{letter}.json")).into_iter().max_by_key(|file| {
        let text = fs::read(directory.join(file)).unwrap_or_default();
        serde_json::from_slice::<Value>(&text).map_or(0, |value| value["generation"].as_u64().unwrap())
    });
    let newest = newest.unwrap();
    damage(directory, &newest);
    newest
}
