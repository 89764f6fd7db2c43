//! The built library as the [`Subject`] of a scenario: one instance in virtual time, in this process, with its files in a fresh
//! temporary folder that goes with it.
//!
//! `life` is the instance with the scenario's host around it, `work` what that host does, `prepare` what comes before time 0, `read` what
//! the plugin tells, `damage` what befalls its files. A scenario with more than one life is for [`crate::lives`].

mod damage;
mod life;
mod prepare;
mod read;
mod work;

use std::env;
use std::fmt;
use std::sync::Arc;

use tempfile::TempDir;

pub(crate) use self::damage::state as damage_state;
pub(crate) use self::life::{Birth, Life, STATE};
use crate::plugin::Plugin;
use crate::run::{Happening, Polled, Refusal, Subject};
use crate::scenario::{Call, EventKind, Mishap, Scenario};

/// Why a scenario could not begin.
#[derive(Debug)]
pub enum BeginError {
    /// The plugin refuses the scenario's configuration.
    Config(String),
    /// Anything else.
    Other(String),
}

impl fmt::Display for BeginError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(text) => write!(f, "/config: the plugin refuses it: {text}"),
            Self::Other(text) => f.write_str(text),
        }
    }
}

impl std::error::Error for BeginError {}

/// Where Linux has temporary files in memory.
const IN_MEMORY: &str = "/dev/shm";

/// A folder for the files of one scenario. In memory where that can be, unless the environment names a place: no scenario outlives the power,
/// and a disk writes out, synced or not, whatever is renamed over another file, which makes most scenarios five times as long.
pub(crate) fn fresh_folder() -> Result<TempDir, BeginError> {
    let mut builder = tempfile::Builder::new();
    builder.prefix("host-sim-");
    let anywhere = env::var_os("TMPDIR").is_none();
    let in_memory = anywhere.then(|| builder.tempdir_in(IN_MEMORY).ok()).flatten();
    let folder = in_memory.map_or_else(|| builder.tempdir(), Ok);
    folder.map_err(|e| BeginError::Other(format!("no temporary folder: {e}")))
}

/// Removes it.
pub(crate) fn remove(folder: TempDir) -> Result<(), String> {
    folder.close().map_err(|e| format!("the temporary folder cannot be removed: {e}"))
}

/// One instance of the built library, driven by the scenario's host.
pub struct LibrarySubject {
    // Before `folder`: the instance must be gone before its files go.
    life: Life,
    folder: TempDir,
}

impl fmt::Debug for LibrarySubject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LibrarySubject").field("instance", &self.life.instance).finish_non_exhaustive()
    }
}

impl LibrarySubject {
    /// Creates and starts an instance with the scenario's configuration, and prepares it if the scenario says so.
    ///
    /// # Errors
    /// The configuration is refused, or the plugin cannot begin.
    pub fn begin(plugin: &Arc<Plugin>, scenario: &Scenario) -> Result<Self, BeginError> {
        let folder = fresh_folder()?;
        let (story, config) = (scenario.name.clone(), Some(scenario.config.clone()));
        let mut life = Life::begin(plugin, Birth { folder: folder.path().to_owned(), story, config })?;
        if scenario.prepared {
            life.prepare(&scenario.servers(), scenario.start_utc_ms).map_err(BeginError::Other)?;
        }
        Ok(Self { life, folder })
    }

    /// Stops and destroys the instance and removes its files.
    ///
    /// # Errors
    /// The plugin broke a rule at its end.
    pub fn end(self) -> Result<(), String> {
        self.life.end()?;
        remove(self.folder)
    }
}

impl Subject for LibrarySubject {
    fn notify(&mut self, at_ns: u64, server: &str, event: EventKind) -> Result<(), Refusal> {
        self.life.notify(at_ns, server, event)
    }

    fn call(&mut self, at_ns: u64, call: &Call) -> Result<(), Refusal> {
        self.life.call(at_ns, call)
    }

    fn complete(&mut self, at_ns: u64, op: u64, failure: Option<&str>) -> Result<(), Refusal> {
        self.life.complete(at_ns, op, failure)
    }

    fn poll(&mut self, now_ns: u64, utc_ms: i64) -> Result<Polled, String> {
        self.life.poll(now_ns, utc_ms)
    }

    fn befall(&mut self, at_ns: u64, mishap: &Mishap) -> Result<Vec<Happening>, String> {
        self.life.befall(at_ns, mishap)
    }
}
