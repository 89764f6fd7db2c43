//! Replacing and editing the configuration of a living instance: checked, kept on disk, then in force, in that order.
//!
//! Parsing comes with no lock held, the disk with that of the writers alone, which no keep-alive and no reading takes. Called by `ffi` for `configure` and `edit`, one at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::Runtime;
use super::core::Core;
use super::durable::Writing;
use super::servers::{self, Servers};
use crate::config::{self, Config, Fault, MonitoredServer, ParseError};
use crate::engine::command::{Command, Refusal};
use crate::engine::policy::ServerKey;
use crate::error::Error;

/// Why a configuration is not in force.
#[derive(Debug)]
pub enum Rejected {
    /// It has faults.
    Faults(Vec<Fault>),
    /// Something else is wrong.
    Error(Error),
}

/// Which servers a configuration says are to stay, though an earlier one dropped them while they were taken over.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Stays {
    /// Those that it names: it is a whole document.
    Named,
    /// None that did not before.
    AsBefore,
}

impl From<Error> for Rejected {
    fn from(error: Error) -> Rejected {
        Rejected::Error(error)
    }
}

impl From<ParseError> for Rejected {
    fn from(error: ParseError) -> Rejected {
        match error {
            ParseError::Json(text) => Rejected::Error(Error::new(vms_failover_abi::VMSF_ERR_JSON, text)),
            ParseError::Faults(faults) => Rejected::Faults(faults),
        }
    }
}

impl Runtime {
    /// Replaces the configuration by the one in `json`.
    pub fn configure(&self, json: &[u8], dry_run: bool) -> Result<(), Rejected> {
        let _configuring = self.configuring()?;
        self.bring_in(Config::parse(json)?, dry_run, Stays::Named)
    }

    /// Never waited for: whoever holds it may be in the host's log.
    fn configuring(&self) -> Result<MutexGuard<'_, ()>, Error> {
        let busy = || Error::new(vms_failover_abi::VMSF_ERR_BUSY, "the configuration is being changed");
        self.configuring.try_lock().ok_or_else(busy)
    }

    /// Removes the servers that a configuration dropped while they were taken over, once that is over. Where it fails, it is tried again later.
    pub(super) fn follow_the_configuration(&self) {
        let gone = || self.core.lock().gone_servers(self.now());
        if gone().is_empty() {
            return;
        }
        let Some(_configuring) = self.configuring.try_lock() else {
            return self.core.lock().follows_later(self.now());
        };
        // Asked again: a configuration that was accepted meanwhile may have named one of them.
        let gone = gone();
        let (before, mut next) = (self.config(), Config::clone(&self.config()));
        next.monitored_servers.retain(|server| !gone.contains(&server.id));
        let followed = next == *before || self.bring_in(next, false, Stays::AsBefore).is_ok();
        let (mut core, now) = (self.core.lock(), self.now());
        if followed {
            gone.iter().for_each(|id| core.no_longer_leaves(id, true, now));
        } else {
            core.follows_later(now);
        }
    }

    /// Changes the configuration by the edit in `json`.
    pub fn edit(&self, json: &[u8], dry_run: bool) -> Result<(), Rejected> {
        let _configuring = self.configuring()?;
        let edit = config::document(json)?;
        let next = self.config().edited(&edit).map_err(Rejected::Faults)?;
        self.bring_in(next, dry_run, Stays::AsBefore)
    }

    fn bring_in(&self, next: Config, dry_run: bool, stays: Stays) -> Result<(), Rejected> {
        let before = self.config();
        let servers = Arc::new(self.servers.read().placed(&next, self.slots.as_ref()));
        let change = Change {
            drops: self.drops(&before, &next),
            json: next.to_json(),
            before,
            next: Arc::new(next),
            servers,
            stays,
        };
        if dry_run {
            let mut core = self.core.lock();
            self.catch_up(&mut core);
            return change.check(&core);
        }
        let replaced = self.keep_and_put_in_force(&change);
        // Forgotten on disk, too, before it can be added again. Should that fail, it is said in the log and tried again.
        let _ = self.commit();
        self.rouse();
        replaced.map(drop)
    }

    /// Gives what it replaces: a million servers take a while to drop.
    fn keep_and_put_in_force(&self, change: &Change) -> Result<(Arc<Servers>, Arc<Config>), Rejected> {
        // No takeover that begins meanwhile gets to disk, and none is begun before it is there: a kill finds a state that this file fits.
        let writing = self.writing();
        let saved = self.save(&writing, |core| {
            self.catch_up(core);
            change.check(core)
        });
        match saved {
            // What is on disk may still need a server that this file does not bring any more.
            Err(refused) if !change.drops.is_empty() || self.is_poisoned() => return Err(refused),
            _ => {}
        }
        self.store.keep_config(&change.json)?;
        self.put_in_force(&writing, change).inspect_err(|_| {
            // A takeover began while the file was written: what is kept is what is in force.
            if let Err(error) = self.store.keep_config(&change.before.to_json()) {
                log::error!("the configuration on disk is not the one in force: {error}");
            }
        })
    }

    fn put_in_force(&self, _: &Writing<'_>, change: &Change) -> Result<(Arc<Servers>, Arc<Config>), Rejected> {
        let Change { before, next, servers, stays, .. } = change;
        let policy = servers::policy(next, Some(before), servers, self.performs);
        let mut core = self.core.lock();
        self.catch_up(&mut core);
        change.check(&core)?;
        let accepted = core.accept(Command::Configure(policy), Some((Arc::clone(servers), Arc::clone(next))));
        let (call, _) = accepted.map_err(|refused| Rejected::Error(self.refused(refused)))?;
        core.send_at_once(&call);
        if *stays == Stays::Named {
            // With the lock held, so that the state which is written next says so.
            let now = self.now();
            next.monitored_servers.iter().for_each(|server| core.no_longer_leaves(&server.id, false, now));
        }
        // Whoever reads both holds the lock of the servers, and sees both old or both new.
        let replaced = {
            let mut shown = self.servers.write();
            let config = std::mem::replace(&mut *self.config.write(), Arc::clone(next));
            (std::mem::replace(&mut *shown, Arc::clone(servers)), config)
        };
        // From now on their handles are stale.
        let removed = change.drops.iter().filter(|dropped| dropped.place.is_none());
        removed.filter_map(|gone| replaced.0.by_key(gone.key)).for_each(|gone| gone.mailbox.retire());
        self.catch_up(&mut core);
        Ok(replaced)
    }

    /// The servers that are removed or readdressed.
    fn drops(&self, before: &Config, next: &Config) -> Vec<Dropped> {
        let places: HashMap<&str, usize> =
            next.monitored_servers.iter().enumerate().map(|(place, server)| (server.id.as_str(), place)).collect();
        let servers = self.servers.read();
        let dropped = |old: &MonitoredServer| {
            let place = places.get(old.id.as_str()).copied();
            let new = place.map(|place| &next.monitored_servers[place]);
            let stays = new.is_some_and(|new| (&new.host, new.port) == (&old.host, old.port));
            let entry = servers.by_id(&old.id).filter(|_| !stays)?;
            Some(Dropped { key: entry.mailbox.key(), id: old.id.clone(), place })
        };
        before.monitored_servers.iter().filter_map(dropped).collect()
    }
}

/// From one configuration to the next, made with no lock held.
struct Change {
    before: Arc<Config>,
    next: Arc<Config>,
    /// As it is written.
    json: String,
    servers: Arc<Servers>,
    drops: Vec<Dropped>,
    stays: Stays,
}

/// A server that is removed, or that comes back at another address, in this place.
struct Dropped {
    key: ServerKey,
    id: String,
    place: Option<usize>,
}

impl Change {
    /// A server that is taken over, or in an operation, can be neither removed nor readdressed.
    fn check(&self, core: &Core) -> Result<(), Rejected> {
        let faults: Vec<Fault> = self.drops.iter().filter_map(|dropped| dropped.fault(core)).collect();
        if faults.is_empty() { Ok(()) } else { Err(Rejected::Faults(faults)) }
    }
}

impl Dropped {
    fn fault(&self, core: &Core) -> Option<Fault> {
        match core.check_drop(self.key) {
            Err(Refusal::WrongState(state)) => Some(drop_fault(&self.id, self.place, state.name(), "restore it first")),
            Err(Refusal::Running(kind)) => {
                let doing = format!("in operation {}", kind.name());
                Some(drop_fault(&self.id, self.place, &doing, "wait for its end"))
            }
            _ => None,
        }
    }
}

fn drop_fault(id: &str, place: Option<usize>, state: &str, cure: &str) -> Fault {
    let (pointer, doing) = match place {
        Some(place) => (format!("/monitored_servers/{place}"), "readdressed"),
        None => ("/monitored_servers".to_owned(), "removed"),
    };
    let text = format!("{pointer}: server '{id}' is {state} and cannot be {doing}; {cure}");
    Fault {
        pointer,
        value: format!("\"{id}\""),
        allowed: "a server whose takeover state is none or queued, and in no operation".into(),
        text,
    }
}
