//! What an instance keeps in its state directory: the durable state, the accepted configuration and the tokens; beside them lies the log.
//!
//! Each is a document in two generations (`pair`), each file one checked line of JSON (`envelope`): whatever instant a process is killed
//! at, or the power fails, the old or the new is read again, and a damaged file costs one generation at most. Nothing is ever reset in
//! silence. Room for two generations is reserved, so that a full disk still lets state be written (`spare`). The directory is locked while
//! an instance lives (`lock`). Every operation on a file is a step of `disk`.
//!
//! Knows no clock and no thread. Never called with the core's lock held. Called by `runtime`, and by `ffi` for `create`.

mod disk;
pub mod document;
mod envelope;
mod lock;
mod migration;
mod pair;
mod spare;
#[cfg(test)]
pub mod tests;
pub mod tokens;

use std::path::Path;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use vms_failover_abi as abi;

use self::disk::Disk;
use self::envelope::Opened;
use self::lock::Lock;
use self::pair::Pair;
use self::tokens::Tokens;
use crate::error::Error;

/// Turns a payload of schema n (1 for the first of the table) into one of n + 1, or says what is wrong with it.
type Migration = fn(Value) -> Result<Value, String>;

/// The way of an older state to the schema of today. A new schema is one more line here.
const MIGRATIONS: &[Migration] = &[migration::from_1];

/// How much is asked of the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Durability {
    /// Everything is synced.
    Full,
    /// Nothing is synced: for simulation.
    None,
}

/// The state directory of one instance, locked while this lives.
#[derive(Debug)]
pub struct Store {
    lock: Arc<Lock>,
    disk: Arc<Disk>,
    state: Pair,
    config: Pair,
    migrations: &'static [Migration],
}

/// The durable state, as it was found.
#[derive(Clone, Debug, PartialEq)]
pub struct Loaded {
    /// What was saved last, in the schema of today; None in a fresh directory.
    pub payload: Option<Value>,
    /// Which generation it is; 0 in a fresh directory.
    pub generation: u64,
    /// Which file is damaged, why, and what is used instead: the text of the alarm `state_damaged`.
    pub damaged: Option<String>,
}

/// The kept configuration, as it was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptConfig {
    /// Its JSON; None where none was ever kept.
    pub json: Option<Vec<u8>>,
    /// As in [`Loaded`].
    pub damaged: Option<String>,
}

impl Store {
    /// Opens and locks the directory, making it where it is missing; clears up after a killed process and reserves room.
    ///
    /// VMSF_ERR_BUSY: another instance has it. VMSF_ERR_IO: path and reason.
    pub fn open(directory: &Path, durability: Durability) -> Result<Store, Error> {
        Store::open_with(directory, durability, MIGRATIONS)
    }

    fn open_with(directory: &Path, durability: Durability, migrations: &'static [Migration]) -> Result<Store, Error> {
        let disk = Disk::open(directory, durability)
            .map_err(|error| Error::io("cannot create the state directory", directory, &error))?;
        let lock = Lock::take(directory)?;
        let anew = "put one of them back, or give a new state directory";
        let schema = migrations.len() as u32 + 1;
        let store = Store {
            lock: Arc::new(lock),
            disk: Arc::new(disk),
            state: Pair::new("state", schema, anew),
            config: Pair::new("config", 1, "give a configuration in the options of create"),
            migrations,
        };
        for pair in [&store.state, &store.config, &tokens::pair()] {
            pair.clear(&store.disk)?;
        }
        store.reserve_at_open()?;
        Ok(store)
    }

    /// Lets another instance have the directory; from now on this one saves nothing and gives VMSF_ERR_STATE.
    pub fn unlock(&self) {
        self.lock.give_back();
    }

    /// The durable state: the newest whole generation.
    ///
    /// VMSF_ERR_STATE_DAMAGED: neither generation is whole, or a newer version wrote it; nothing is touched. VMSF_ERR_IO: path and reason.
    pub fn load(&self) -> Result<Loaded, Error> {
        let found = self.state.read(&self.disk)?;
        let generation = found.newest.as_ref().map_or(0, |newest| newest.generation);
        let payload = found.newest.map(|newest| self.migrated(newest)).transpose()?;
        Ok(Loaded { payload, generation, damaged: found.damaged })
    }

    /// Keeps the whole durable state; gives its generation. On disk when it returns.
    ///
    /// After an error the next load gives the state before or this one; the next save that succeeds settles it. Where nothing was loaded
    /// yet, what is there is checked first, with the errors of `load`. VMSF_ERR_BUSY: a save is under way on another thread.
    pub fn save(&self, payload: &impl Serialize) -> Result<u64, Error> {
        let payload = serde_json::to_vec(payload)
            .map_err(|error| Error::new(abi::VMSF_ERR_INTERNAL, format!("the state cannot be written: {error}")))?;
        self.keep(&self.state, &payload)
    }

    /// Whether what is kept outlives a power loss.
    pub fn is_durable(&self) -> bool {
        self.disk.is_durable()
    }

    /// The tokens, read once, at `create`, and the damage as in [`Loaded`]. Errors as for `load`. Not asked for where the host keeps them.
    pub fn tokens(&self) -> Result<(Tokens, Option<String>), Error> {
        Tokens::load(Arc::clone(&self.lock), Arc::clone(&self.disk))
    }

    /// Whether files with tokens lie here.
    pub fn has_tokens(&self) -> bool {
        tokens::pair().length(&self.disk) > 0
    }

    /// The kept configuration. Errors as for `load`.
    pub fn config(&self) -> Result<KeptConfig, Error> {
        let found = self.config.read(&self.disk)?;
        // No secret: it leaves the buffer that would be wiped.
        let json = found.newest.map(|mut newest| std::mem::take(&mut *newest.payload));
        Ok(KeptConfig { json, damaged: found.damaged })
    }

    /// Keeps a configuration, unless it is the kept one already. Two damaged generations are replaced: the configuration given is the cure.
    pub fn keep_config(&self, json: &str) -> Result<(), Error> {
        match self.config() {
            Ok(kept) if kept.damaged.is_none() && kept.json.as_deref() == Some(json.as_bytes()) => return Ok(()),
            Ok(_) => {}
            Err(error) if self.config.is_damaged(&self.disk) => {
                log::error!("{}", error.text);
                self.config.forget();
            }
            Err(error) => return Err(error),
        }
        self.keep(&self.config, json.as_bytes()).map(|_| ())
    }

    fn keep(&self, pair: &Pair, payload: &[u8]) -> Result<u64, Error> {
        self.lock.hold()?;
        let saved = pair.save(&self.disk, payload);
        // Where the room cannot be reserved now, a later save tries again; what was saved is saved.
        let _ = self.reserve();
        saved
    }

    /// A fresh directory without the room is refused at once; a state that is there must be usable on a full disk too.
    fn reserve_at_open(&self) -> Result<(), Error> {
        let Err(error) = self.reserve() else { return Ok(()) };
        let error = Error::io("cannot reserve room in the state directory", self.disk.directory(), &error);
        if self.state.length(&self.disk) == 0 {
            return Err(error);
        }
        log::warn!("{}", error.text);
        Ok(())
    }

    fn reserve(&self) -> std::io::Result<()> {
        spare::reserve(&self.disk, self.state.length(&self.disk))
    }

    fn migrated(&self, opened: Opened) -> Result<Value, Error> {
        let broken = |why: String| {
            let text = format!(
                "generation {} of the state in {} (schema {}) cannot be read: {why}; nothing was changed; give a new state directory",
                opened.generation,
                self.disk.directory().display(),
                opened.schema
            );
            Error::new(abi::VMSF_ERR_STATE_DAMAGED, text)
        };
        let payload = serde_json::from_slice(&opened.payload).map_err(|error| broken(error.to_string()))?;
        let missed = self.migrations.iter().skip(opened.schema as usize - 1);
        missed.into_iter().try_fold(payload, |payload, migration| migration(payload)).map_err(broken)
    }
}
