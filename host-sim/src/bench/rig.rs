//! An instance in worker mode with so many servers, in a folder of its own.

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

/// A host that looks at the clock when it is called, and does nothing else.
struct Watch {
    changes: Mutex<Sender<Change>>,
    alive: Arc<AtomicUsize>,
}

impl Host for Watch {
    fn event(&self, event: Event) {
        let entered_ns = now_ns();
        if event.kind != abi::VMSF_EVENT_HEALTH {
            return;
        }
        if event.json.contains("\"to\":\"keep_alive\"") {
            self.alive.fetch_add(1, Ordering::Release);
            return;
        }
        let change = Change { server: event.server, entered_ns, json: event.json };
        // Whoever measured may be through.
        let _ = self.changes.lock().unwrap_or_else(PoisonError::into_inner).send(change);
    }

    fn begin(&self, _: Operation) {}
}

/// The instance, its servers, and what its host saw. Ends with this.
pub struct Rig {
    /// What any thread may call.
    pub caller: Caller,
    /// Changes of health but those to `keep_alive`, in order.
    pub changes: Receiver<Change>,
    /// By place in the configuration.
    pub servers: Vec<u64>,
    alive: Arc<AtomicUsize>,
    // In this order: the instance uses the folder.
    _instance: Instance,
    _folder: TempDir,
}

impl Rig {
    /// Starts an instance with so many servers, none of which was ever seen.
    pub fn start(plugin: &Arc<Plugin>, servers: usize) -> Result<Rig> {
        let folder = tempfile::Builder::new().prefix("vms-failover-bench-").tempdir()?;
        let server = |n: usize| json!({ "id": format!("s{n}"), "host": format!("s{n}.example") });
        let config = json!({
            "schema": 1, "backup_directory": folder.path().join("backups"), "store_path": folder.path().join("video"),
            "daily_backup": false, "monitored_servers": (0..servers).map(server).collect::<Vec<Value>>(),
        });
        let mut options = CreateOptions::new(folder.path().join("state"), Some(config));
        options.durability = Some("none".into());
        let ((sender, changes), alive) = (channel(), Arc::new(AtomicUsize::new(0)));
        let watch = Watch { changes: Mutex::new(sender), alive: Arc::clone(&alive) };
        let instance = Instance::create(plugin, Mode::Worker, &options, Box::new(watch))?;
        instance.start()?;
        let caller = instance.caller();
        let mut handles = Vec::with_capacity(servers);
        while let Some(next) = caller.next_server(handles.last().copied().unwrap_or(0))? {
            handles.push(next);
        }
        if handles.len() != servers {
            bail!("the plugin has {} servers and was given {servers}", handles.len());
        }
        Ok(Rig { caller, changes, servers: handles, alive, _instance: instance, _folder: folder })
    }

    /// Reports a first keep-alive of each server, stamped by its place, and waits until all are known to keep alive.
    pub fn revive(&self, stamp: impl Fn(usize) -> u64) -> Result<()> {
        for (place, server) in self.servers.iter().enumerate() {
            self.keep_alive(*server, stamp(place))?;
        }
        let until = Instant::now() + PATIENCE;
        while self.alive.load(Ordering::Acquire) < self.servers.len() {
            if Instant::now() > until {
                bail!("only {} of {} servers keep alive", self.alive.load(Ordering::Acquire), self.servers.len());
            }
            std::thread::sleep(Duration::from_millis(1));
        }
        Ok(())
    }

    /// Reports one keep-alive.
    pub fn keep_alive(&self, server: u64, stamp_ns: u64) -> Result<()> {
        Ok(self.caller.notify(server, abi::VMSF_NOTIFY_KEEP_ALIVE, stamp_ns)?)
    }

    /// The next change of health.
    pub fn change(&self) -> Result<Change> {
        self.changes.recv_timeout(PATIENCE).context("no change of health came")
    }
}
