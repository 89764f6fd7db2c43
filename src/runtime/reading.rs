//! What may be read of an instance: its clock, servers, configuration, recordings parameter, and its status: plain copies are taken under the
//! core's lock, words and JSON are made with it given back.
//!
//! Called by `ffi`, on any thread. `notify` needs none of these locks, so no keep-alive waits for a reader.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use vms_failover_abi as abi;

use super::core::Core;
use super::{Life, Runtime};
use crate::config::Config;
use crate::engine::policy::ServerKey;
use crate::error::Error;
use crate::recordings;
use crate::status::Picture;

impl Runtime {
    /// The plugin's clock.
    pub fn now_ns(&self) -> u64 {
        self.clock.now().0
    }

    /// The handle of the server with this id.
    pub fn server(&self, id: &str) -> Result<abi::vmsf_server, Error> {
        let handle = self.servers.read().by_id(id).map(|entry| entry.named.handle);
        handle.ok_or_else(|| Error::new(abi::VMSF_ERR_NOT_FOUND, format!("no monitored server has the id '{id}'")))
    }

    /// The server after this one in configuration order; the first for 0.
    pub fn next_server(&self, server: abi::vmsf_server) -> Result<abi::vmsf_server, Error> {
        let servers = self.servers.read();
        let before = match server {
            0 => None,
            handle => Some(servers.by_handle(handle).ok_or_else(|| Error::new(abi::VMSF_ERR_HANDLE, ""))?),
        };
        let next = servers.after(before).map(|entry| entry.named.handle);
        next.ok_or_else(|| Error::new(abi::VMSF_ERR_NOT_FOUND, "there is no further monitored server"))
    }

    /// The id of a server.
    pub fn server_id(&self, server: abi::vmsf_server) -> Result<Arc<str>, Error> {
        let id = self.servers.read().by_handle(server).map(|entry| Arc::clone(&entry.named.id));
        id.ok_or_else(|| Error::new(abi::VMSF_ERR_HANDLE, ""))
    }

    /// The configuration in force.
    pub fn config(&self) -> Arc<Config> {
        Arc::clone(&self.config.read())
    }

    /// The text of a settings file of this server with the recordings parameter in it.
    pub fn recordings_ini(&self, server: abi::vmsf_server, ini: &[u8]) -> Result<Vec<u8>, Error> {
        let (config, id) = {
            let servers = self.servers.read();
            let entry = servers.by_handle(server).ok_or_else(|| Error::new(abi::VMSF_ERR_HANDLE, ""))?;
            // Read under the lock of the servers, so that both are of one configuration.
            (self.config(), Arc::clone(&entry.named.id))
        };
        let monitored = config.monitored_servers.iter().find(|monitored| monitored.id == *id);
        let monitored = monitored.ok_or_else(|| Error::new(abi::VMSF_ERR_HANDLE, ""))?;
        let absent = |key, what| {
            Error::new(
                abi::VMSF_ERR_STATE,
                format!("the configuration has no {key}: set /{key}/{what} (configure, edit)"),
            )
        };
        let rule = config.recordings_ini.as_ref().ok_or_else(|| absent("recordings_ini", "section"))?;
        let here = config.server_communication.as_ref().ok_or_else(|| absent("server_communication", "address"))?;
        recordings::apply(ini, rule, &here.address, &monitored.host)
            .map_err(|problem| Error::new(abi::VMSF_ERR_UTF8, format!("ini_text: {problem}")))
    }

    /// The status of one server, or of all (0), as JSON.
    pub fn status(&self, server: abi::vmsf_server) -> Result<String, Error> {
        let mut core = self.core.lock();
        // Read under the core's lock, under which they change, so that both are of one configuration.
        let (servers, config) = (Arc::clone(&self.servers.read()), self.config());
        let name = |place: usize| config.monitored_servers.get(place).map_or("", |server| server.name.as_str());
        let one = (server != 0).then(|| servers.by_handle(server));
        let entries: Vec<_> = match one {
            None => servers.in_order().collect(),
            Some(Some(entry)) => vec![entry],
            Some(None) => return Err(Error::new(abi::VMSF_ERR_HANDLE, "")),
        };
        let asked: Vec<_> =
            entries.into_iter().map(|entry| (&entry.named, name(entry.place), entry.mailbox.key())).collect();
        let news = self.take_in_for_a_reader(&mut core, asked.iter().map(|(.., key)| *key));
        let now = self.now();
        let look = || core.look(&asked, now);
        let poisoned = self.poisoned_by();
        let picture = match poisoned {
            None => look(),
            // What a panic left behind may be anything.
            Some(_) => catch_unwind(AssertUnwindSafe(look)).unwrap_or_else(|_| Picture::blank(now.mono, now.utc_ms)),
        };
        drop(core);
        if news {
            self.rouse();
        }
        let state = match (poisoned, self.life()) {
            (Some(_), _) => "poisoned",
            (None, Life::Stopped) => "stopped",
            (None, Life::Running) => "running",
            (None, Life::Stopping) => "stopping",
        };
        Ok(Picture { state, poisoned: poisoned.map(str::to_owned), ..picture }.to_json())
    }

    /// Keep-alives wait for the worker's next look: a reader sees them all the same. Behind a stop nothing is taken in.
    fn take_in_for_a_reader(&self, core: &mut Core, asked: impl Iterator<Item = ServerKey>) -> bool {
        let reads = !self.is_driven() && self.life() == Life::Running && !self.is_poisoned();
        let news = reads && !core.inbox_is_empty();
        if news {
            self.catch_up(core);
        }
        if reads {
            core.hear_all(asked, self.now());
        }
        news
    }
}
