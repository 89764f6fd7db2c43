//! Replacing and editing the configuration of a living instance: checked, kept on disk, then in force, in that order.
//!
//! Parsing and the disk come with no lock held. Called by `ffi` for `configure` and `edit`, one at a time.

use std::collections::HashMap;
use std::sync::Arc;

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
        let _configuring = self.configuring.lock();
        let next = Config::parse(json)?;
        let named: Vec<String> = next.monitored_servers.iter().map(|server| server.id.clone()).collect();
        self.bring_in(next, dry_run)?;
        if !dry_run {
            let mut core = self.core.lock();
            named.iter().for_each(|id| core.no_longer_leaves(id, false, self.now()));
        }
        Ok(())
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
        if next != *before && self.bring_in(next, false).is_err() {
            return;
        }
        let mut core = self.core.lock();
        gone.iter().for_each(|id| core.no_longer_leaves(id, true, self.now()));
    }

    /// Changes the configuration by the edit in `json`.
    pub fn edit(&self, json: &[u8], dry_run: bool) -> Result<(), Rejected> {
        let _configuring = self.configuring.lock();
        let edit = config::document(json)?;
        let next = self.config().edited(&edit).map_err(Rejected::Faults)?;
        self.bring_in(next, dry_run)
    }

    fn bring_in(&self, next: Config, dry_run: bool) -> Result<(), Rejected> {
        let before = self.config();
        let servers = Arc::new(self.servers.read().placed(&next));
        let next = Arc::new(next);
        {
            let mut core = self.core.lock();
            self.catch_up(&mut core);
            self.check_drops(&core, &before, &next)?;
        }
        if dry_run {
            return Ok(());
        }
        self.store.keep_config(&next.to_json())?;
        self.put_in_force(&before, &next, servers).inspect_err(|_| {
            // A takeover began while the file was written: what is kept is what is in force.
            if let Err(error) = self.store.keep_config(&before.to_json()) {
                log::error!("the configuration on disk is not the one in force: {error}");
            }
        })?;
        // What it removes is forgotten on disk, too, before it can be added again. Should that fail, it is said in the log and tried again.
        let _ = self.commit();
        Ok(())
    }

    fn put_in_force(&self, before: &Arc<Config>, next: &Arc<Config>, servers: Arc<Servers>) -> Result<(), Rejected> {
        let policy = servers::policy(next, Some(before), &servers, self.performs);
        let mut core = self.core.lock();
        self.catch_up(&mut core);
        self.check_drops(&core, before, next)?;
        let accepted = core.accept(Command::Configure(policy), Some((Arc::clone(&servers), Arc::clone(next))));
        let (call, _) = accepted.map_err(|refused| Rejected::Error(self.refused(refused)))?;
        core.send_at_once(&call);
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
