//! Replacing and editing the configuration of a living instance: checked, kept on disk, then in force, in that order.
//!
//! Parsing comes with no lock held, the disk with that of the writers alone, which no keep-alive and no reading takes. Called by `ffi` for `configure` and `edit`, one at a time.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::MutexGuard;

use super::Runtime;
use super::core::Core;
use super::servers::{self, Servers};
use crate::config::{self, Config, Fault, ParseError};
use crate::engine::command::{Command, Refusal};
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

    /// Removes the servers that a configuration dropped while they were taken over, once that is over. Where it fails, the next turn tries again.
    pub(super) fn follow_the_configuration(&self) {
        let gone = self.core.lock().gone_servers();
        if gone.is_empty() {
            return;
        }
        let Some(_configuring) = self.configuring.try_lock() else { return };
        let (before, mut next) = (self.config(), Config::clone(&self.config()));
        next.monitored_servers.retain(|server| !gone.contains(&server.id));
        if next != *before && self.bring_in(next, false, Stays::AsBefore).is_err() {
            return;
        }
        let mut core = self.core.lock();
        gone.iter().for_each(|id| core.no_longer_leaves(id, true, self.now()));
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
        let servers = Arc::new(self.servers.read().placed(&next));
        let next = Arc::new(next);
        self.may_drop(&before, &next)?;
        if dry_run {
            return Ok(());
        }
        // What has ended is on disk before a file that does not bring its server any more.
        let _ = self.commit();
        {
            // No takeover that begins meanwhile gets to disk, and none is begun before it is there: a kill finds a state that this file fits.
            let _writing = self.writing();
            self.may_drop(&before, &next)?;
            self.store.keep_config(&next.to_json())?;
            self.put_in_force(&before, &next, servers, stays).inspect_err(|_| {
                // A takeover began while the file was written: what is kept is what is in force.
                if let Err(error) = self.store.keep_config(&before.to_json()) {
                    log::error!("the configuration on disk is not the one in force: {error}");
                }
            })?;
        }
        // What it removes is forgotten on disk, too, before it can be added again. Should that fail, it is said in the log and tried again.
        let _ = self.commit();
        Ok(())
    }

    fn may_drop(&self, before: &Config, next: &Config) -> Result<(), Rejected> {
        let mut core = self.core.lock();
        self.catch_up(&mut core);
        self.check_drops(&core, before, next)
    }

    fn put_in_force(
        &self,
        before: &Arc<Config>,
        next: &Arc<Config>,
        servers: Arc<Servers>,
        stays: Stays,
    ) -> Result<(), Rejected> {
        let policy = servers::policy(next, Some(before), &servers, self.performs);
        let mut core = self.core.lock();
        self.catch_up(&mut core);
        self.check_drops(&core, before, next)?;
        let accepted = core.accept(Command::Configure(policy), Some((Arc::clone(&servers), Arc::clone(next))));
        let (call, _) = accepted.map_err(|refused| Rejected::Error(self.refused(refused)))?;
        core.send_at_once(&call);
        if stays == Stays::Named {
            // With the lock held, so that the state which is written next says so.
            let now = self.now();
            next.monitored_servers.iter().for_each(|server| core.no_longer_leaves(&server.id, false, now));
        }
        // Whoever reads both holds the lock of the servers, and sees both old or both new. The old ones are dropped with the locks
        // given back: a million servers take a while.
        let old = {
            let mut shown = self.servers.write();
            let config = std::mem::replace(&mut *self.config.write(), Arc::clone(next));
            (std::mem::replace(&mut *shown, servers), config)
        };
        self.catch_up(&mut core);
        drop(core);
        drop(old);
        self.rouse();
        Ok(())
    }

    /// A server that is taken over, or in an operation, can be neither removed nor readdressed.
    fn check_drops(&self, core: &Core, before: &Config, next: &Config) -> Result<(), Rejected> {
        let places: HashMap<&str, usize> =
            next.monitored_servers.iter().enumerate().map(|(place, server)| (server.id.as_str(), place)).collect();
        let servers = self.servers.read();
        let mut faults = Vec::new();
        for old in &before.monitored_servers {
            let place = places.get(old.id.as_str());
            let new = place.map(|place| &next.monitored_servers[*place]);
            if new.is_some_and(|new| (&new.host, new.port) == (&old.host, old.port)) {
                continue;
            }
            let Some(entry) = servers.by_id(&old.id) else { continue };
            match core.check_drop(entry.mailbox.key()) {
                Err(Refusal::WrongState(state)) => {
                    faults.push(drop_fault(&old.id, place.copied(), state.name(), "restore it first"));
                }
                Err(Refusal::Running(kind)) => {
                    faults.push(drop_fault(
                        &old.id,
                        place.copied(),
                        &format!("in operation {}", kind.name()),
                        "wait for its end",
                    ));
                }
                _ => {}
            }
        }
        if faults.is_empty() { Ok(()) } else { Err(Rejected::Faults(faults)) }
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
