//! An instance in worker mode with so many servers, in a folder of its own.

use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tempfile::TempDir;
use vms_failover_abi as abi;

use super::measure::now_ns;
use crate::plugin::{Caller, CreateOptions, Event, Host, Instance, Mode, Operation, Plugin};

/// `keep_alive_s` of the benchmark, in ns: the default.
pub const TIMEOUT_NS: u64 = 30_000_000_000;
const PATIENCE: Duration = Duration::from_secs(300);

/// A change of health, as it comes to the host.
pub struct Change {
    /// Of which server.
    pub server: u64,
    /// When the callback was entered, in ns.
    pub entered_ns: u64,
    /// The entry.
    pub json: String,
}

/// Work that the host is asked for.
pub struct Begun {
    /// What it is.
    pub operation: Operation,
    /// When the callback was entered, in ns.
    pub entered_ns: u64,
}

#[derive(Debug, Default)]
struct Counts {
    alive: AtomicUsize,
    changes: AtomicUsize,
}

/// A host that looks at the clock when it is called, and does nothing else.
struct Watch {
    changes: Mutex<Sender<Change>>,
    begun: Mutex<Sender<Begun>>,
    counts: Arc<Counts>,
}

impl Host for Watch {
    fn event(&self, event: Event) {
        let entered_ns = now_ns();
        if event.kind != abi::VMSF_EVENT_HEALTH {
            return;
        }
        if event.json.contains("\"to\":\"keep_alive\"") {
            self.counts.alive.fetch_add(1, Ordering::Release);
            return;
        }
        let change = Change { server: event.server, entered_ns, json: event.json };
        // Whoever measured may be through.
        let _ = self.changes.lock().unwrap_or_else(PoisonError::into_inner).send(change);
        self.counts.changes.fetch_add(1, Ordering::Release);
    }

    fn begin(&self, operation: Operation) {
        let begun = Begun { operation, entered_ns: now_ns() };
        let _ = self.begun.lock().unwrap_or_else(PoisonError::into_inner).send(begun);
    }
}

/// The instance, its servers, and what its host saw. Ends with this.
pub struct Rig {
    /// What any thread may call.
    pub caller: Caller,
    /// By place in the configuration.
    pub servers: Vec<u64>,
    /// Changes of health but those to `keep_alive`, in order.
    changes: Receiver<Change>,
    begun: Receiver<Begun>,
    counts: Arc<Counts>,
    // In this order: the instance uses the folder.
    instance: Instance,
    folder: TempDir,
}

/// A configuration with so many servers, all else by default.
pub fn config(folder: &Path, servers: usize) -> Value {
    let server = |n: usize| json!({ "id": format!("s{n}"), "host": format!("s{n}.example") });
    json!({
        "schema": 1, "backup_directory": folder.join("backups"), "store_path": folder.join("video"),
        "daily_backup": false, "monitored_servers": (0..servers).map(server).collect::<Vec<Value>>(),
    })
}

impl Rig {
    /// Starts an instance with so many servers, none of which was ever seen.
    pub fn start(plugin: &Arc<Plugin>, servers: usize) -> Result<Rig> {
        Rig::start_as(plugin, servers, Mode::Worker, "none")
    }

    /// The same, driven by whom, and as durable as said.
    pub fn start_as(plugin: &Arc<Plugin>, servers: usize, mode: Mode, durability: &str) -> Result<Rig> {
        let folder = tempfile::Builder::new().prefix("vms-failover-bench-").tempdir()?;
        let mut options = CreateOptions::new(folder.path().join("state"), Some(config(folder.path(), servers)));
        options.durability = Some(durability.into());
        let ((sender, changes), (begins, begun), counts) = (channel(), channel(), Arc::new(Counts::default()));
        let watch = Watch { changes: Mutex::new(sender), begun: Mutex::new(begins), counts: Arc::clone(&counts) };
        let instance = Instance::create(plugin, mode, &options, Box::new(watch))?;
        instance.start()?;
        let caller = instance.caller();
        let mut handles = Vec::with_capacity(servers);
        while let Some(next) = caller.next_server(handles.last().copied().unwrap_or(0))? {
            handles.push(next);
        }
        if handles.len() != servers {
            bail!("the plugin has {} servers and was given {servers}", handles.len());
        }
        Ok(Rig { caller, servers: handles, changes, begun, counts, instance, folder })
    }

    /// The folder of all its files.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Moves the time of one that is driven; gives when to do that again at the latest.
    pub fn poll(&self, now_ns: u64, utc_ms: i64) -> Result<u64> {
        Ok(self.instance.poll(now_ns, utc_ms)?)
    }

    /// How many were told to keep alive so far.
    pub fn alive(&self) -> usize {
        self.counts.alive.load(Ordering::Acquire)
    }

    /// How many other changes of health were told so far.
    pub fn changed(&self) -> usize {
        self.counts.changes.load(Ordering::Acquire)
    }

    /// Waits for so many changes of health, and tells how far it is.
    pub fn wait_for_changes(&self, count: usize, told: impl Fn(usize)) -> Result<()> {
        wait_until("changes of health", count, || self.changed(), told)
    }

    /// Reports a first keep-alive of each server, stamped by its place, and waits until all are known to keep alive.
    pub fn revive(&self, stamp: impl Fn(usize) -> u64) -> Result<()> {
        for (place, server) in self.servers.iter().enumerate() {
            self.keep_alive(*server, stamp(place))?;
        }
        wait_until("servers that keep alive", self.servers.len(), || self.alive(), |_| ())
    }

    /// Reports one keep-alive.
    pub fn keep_alive(&self, server: u64, stamp_ns: u64) -> Result<()> {
        Ok(self.caller.notify(server, abi::VMSF_NOTIFY_KEEP_ALIVE, stamp_ns)?)
    }

    /// The next change of health.
    pub fn change(&self) -> Result<Change> {
        self.changes.recv_timeout(PATIENCE).context("no change of health came")
    }

    /// The next thing that the host is asked for.
    pub fn begun(&self) -> Result<Begun> {
        self.begun.recv_timeout(PATIENCE).context("the host was asked for nothing")
    }

    /// Answers that it is done.
    pub fn done(&self, operation: &Operation, secret: &[u8]) -> Result<()> {
        Ok(self.caller.complete(operation.id, abi::VMSF_OUTCOME_OK, "", secret)?)
    }
}

/// Waits until there are so many, and tells how many there are.
fn wait_until(what: &str, count: usize, so_many: impl Fn() -> usize, told: impl Fn(usize)) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    loop {
        let there = so_many();
        if there >= count {
            return Ok(());
        }
        if Instant::now() > until {
            bail!("only {there} of {count} {what}");
        }
        told(there);
        std::thread::sleep(Duration::from_millis(1));
    }
}
