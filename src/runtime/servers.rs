//! The monitored servers as handles and names: which number is which server, in which order, and where its messages go.
//!
//! A handle's serial number is never given twice in a process, so a stale or foreign handle matches nothing. Knows nothing of health.
//! Read by any thread; written by `configure` alone.

use std::collections::HashMap;
use std::sync::Arc;

use vms_failover_abi as abi;

use super::inbox::Mailbox;
use super::life_signs::Slots;
use crate::config::Config;
use crate::engine::output::OperationKind;
use crate::engine::policy::{Policy, ServerKey, ServerPolicy, Timeouts};
use crate::handle;
use crate::log::Named;
use crate::time::Span;

/// One monitored server.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Handle and id.
    pub named: Named,
    /// Its messages.
    pub mailbox: Arc<Mailbox>,
    /// Place in the configuration.
    pub place: usize,
}

/// All monitored servers of an instance.
#[derive(Clone, Debug, Default)]
pub struct Servers {
    slots: Vec<Option<Entry>>,
    by_id: HashMap<Arc<str>, ServerKey>,
    order: Vec<ServerKey>,
}

impl Servers {
    /// The server behind a handle, unless it is stale or foreign.
    pub fn by_handle(&self, handle: abi::vmsf_server) -> Option<&Entry> {
        let index = handle::index(handle, handle::Kind::Server)?;
        self.slots.get(index)?.as_ref().filter(|entry| entry.named.handle == handle)
    }

    /// The server with this id.
    pub fn by_id(&self, id: &str) -> Option<&Entry> {
        self.by_key(*self.by_id.get(id)?)
    }

    /// The server with this key.
    pub fn by_key(&self, key: ServerKey) -> Option<&Entry> {
        self.slots.get(key.0 as usize)?.as_ref()
    }

    /// Whether the server with this key is there.
    pub fn has(&self, key: ServerKey) -> bool {
        self.by_key(key).is_some()
    }

    /// The server after this one in configuration order; the first for None.
    pub fn after(&self, entry: Option<&Entry>) -> Option<&Entry> {
        let place = entry.map_or(0, |entry| entry.place + 1);
        self.by_key(*self.order.get(place)?)
    }

    /// All of them, in configuration order.
    pub fn in_order(&self) -> impl Iterator<Item = &Entry> {
        self.order.iter().filter_map(|key| self.by_key(*key))
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.order.len()
    }

    /// The servers of `config`: those that stay keep handle and key, new ones get their own, and a slot where there are any. Keys of removed servers are given again
    /// only by a later call.
    pub fn placed(&self, config: &Config, slots: Option<&Slots>) -> Servers {
        let mut next = Servers { slots: vec![None; self.slots.len()], ..Servers::default() };
        let mut free = (0..self.slots.len()).filter(|index| self.slots[*index].is_none());
        for (place, server) in config.monitored_servers.iter().enumerate() {
            let key = match self.by_id.get(server.id.as_str()) {
                Some(key) => *key,
                None => ServerKey(free.next().unwrap_or(next.slots.len().max(self.slots.len())) as u32),
            };
            let entry = match self.by_key(key) {
                Some(entry) => Entry { place, ..entry.clone() },
                None => {
                    let (index, id) = (key.0 as usize, server.id.as_str().into());
                    let handle = handle::new(handle::Kind::Server, index);
                    let mailbox = Mailbox::new(key, handle, slots.and_then(|slots| slots.slot(index)));
                    Entry { named: Named { handle, id }, mailbox, place }
                }
            };
            next.put(key, entry);
        }
        next
    }

    fn put(&mut self, key: ServerKey, entry: Entry) {
        let index = key.0 as usize;
        if self.slots.len() <= index {
            self.slots.resize(index + 1, None);
        }
        self.by_id.insert(Arc::clone(&entry.named.id), key);
        self.order.push(key);
        self.slots[index] = Some(entry);
    }
}

/// What the host performs when it is asked to (`operations` in the options of `create`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Performs(u32);

impl Performs {
    /// These.
    pub fn new(kinds: impl IntoIterator<Item = OperationKind>) -> Performs {
        Performs(kinds.into_iter().fold(0, |all, kind| all | 1 << kind as u32))
    }

    /// Whether this one is among them.
    pub fn has(self, kind: OperationKind) -> bool {
        self.0 & 1 << kind as u32 != 0
    }
}

/// The rules of `config` for the engine; what was another address in `before` is another machine now.
pub fn policy(config: &Config, before: Option<&Config>, servers: &Servers, performs: Performs) -> Policy {
    let addresses: HashMap<&str, (&str, u16)> = before
        .iter()
        .flat_map(|before| &before.monitored_servers)
        .map(|s| (s.id.as_str(), (s.host.as_str(), s.port)))
        .collect();
    let entries = config.monitored_servers.iter().filter_map(|server| {
        let readdressed =
            addresses.get(server.id.as_str()).is_some_and(|old| *old != (server.host.as_str(), server.port));
        let key = *servers.by_id.get(server.id.as_str())?;
        Some(ServerPolicy { key, priority: server.priority, readdressed })
    });
    let timeouts = &config.timeouts;
    Policy {
        timeouts: Timeouts {
            connected: Span::seconds(timeouts.connected_s),
            started: Span::seconds(timeouts.started_s),
            keep_alive: Span::seconds(timeouts.keep_alive_s),
            normal_shutdown: Span::seconds(timeouts.normal_shutdown_s),
            abnormal_shutdown: Span::seconds(timeouts.abnormal_shutdown_s),
        },
        automatic_takeover: config.automatic_takeover,
        automatic_restore: config.automatic_restore,
        takeover_timeout: Span::seconds(config.takeover_timeout_s),
        restore_timeout: Span::seconds(config.restore_timeout_s),
        backup_timeout: Span::seconds(config.backup_timeout_s),
        operation_timeout: Span::seconds(config.operation_timeout_s),
        daily_backup: config.daily_backup && performs.has(OperationKind::Backup),
        backup_time_ms: ms_after_midnight(&config.backup_time_utc),
        host_revokes: performs.has(OperationKind::Deauthorize),
        restore_stable: Span::seconds(config.restore_stable_s),
        pause_tolerance: Span::seconds(config.pause_tolerance_s),
        servers: entries.collect(),
    }
}

/// Of a time `HH:MM` that was checked.
fn ms_after_midnight(time: &str) -> i64 {
    let number = |text: &str| text.parse::<i64>().unwrap_or(0);
    time.split_once(':').map_or(0, |(hours, minutes)| (number(hours) * 60 + number(minutes)) * 60_000)
}
