//! The status of an instance: plain copies are taken under the core's lock, words and JSON are made with it given back.
//!
//! Called by `ffi` for `status`, on any thread. `notify` needs none of these locks, so no keep-alive waits for a reader.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use vms_failover_abi as abi;

use super::core::Core;
use super::{Life, Runtime};
use crate::error::Error;
use crate::status::Picture;

impl Runtime {
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
        let news = self.take_in_for_a_reader(&mut core);
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
    fn take_in_for_a_reader(&self, core: &mut Core) -> bool {
        let news = !self.is_driven() && self.life() == Life::Running && !core.inbox_is_empty();
        if news {
            self.catch_up(core);
        }
        news
    }
}
