//! One life of the built library: an instance in virtual time, from `create` to its end, with the scenario's host around it.
//!
//! Knows neither scenario nor trace, only a folder for its files; whoever begins it says whether the folder is fresh. Called by the
//! in-process subject and by the host process of `lives`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use vms_failover_abi as abi;

use super::read::{self, Request};
use super::work::{self, Answer, Work};
use super::{BeginError, damage};
use crate::plugin::{CallError, CreateOptions, Event, Host, Instance, Mode, Operation, Plugin};
use crate::run::{Happening, Polled, Refusal, Subject};
use crate::scenario::{Call, EventKind, Mishap};

/// How long the last `stop` may take, in real time.
const STOP_MS: u32 = 10_000;
/// Paths of the configuration that lie in the folder when they are relative.
const PATHS: [&str; 2] = ["backup_directory", "store_path"];
/// Where the plugin keeps its state, in the folder.
pub(crate) const STATE: &str = "state";
/// Virtual time outlives no power: nothing is synced.
const DURABILITY: &str = "none";

/// What a life begins with.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Birth {
    /// Where all its files lie.
    pub(crate) folder: PathBuf,
    /// The scenario's name, for the settings of its servers.
    pub(crate) story: String,
    /// The configuration; none: the one kept in the folder.
    pub(crate) config: Option<Value>,
}

/// A life, from its start to its end.
pub(crate) struct Life {
    pub(super) instance: Instance,
    inbox: Arc<Inbox>,
    last_seq: Option<u64>,
    work: Work,
    folder: PathBuf,
}

/// What the callbacks brought since the last look.
#[derive(Default)]
struct Inbox(Mutex<Vec<Arrival>>);

enum Arrival {
    Event(Event),
    Operation(Operation),
}

impl Inbox {
    fn push(&self, arrival: Arrival) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(arrival);
    }

    fn take(&self) -> Vec<Arrival> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Collector(Arc<Inbox>);

impl Host for Collector {
    fn event(&self, event: Event) {
        self.0.push(Arrival::Event(event));
    }

    fn begin(&self, operation: Operation) {
        self.0.push(Arrival::Operation(operation));
    }
}

impl Life {
    /// Creates and starts an instance.
    ///
    /// # Errors
    /// The configuration is refused, or the plugin cannot begin.
    pub(crate) fn begin(plugin: &Arc<Plugin>, birth: Birth) -> Result<Self, BeginError> {
        let Birth { folder, story, config } = birth;
        let config = config.map(|config| in_folder(&config, &folder)).transpose().map_err(BeginError::Other)?;
        let mut options = CreateOptions::new(folder.join(STATE), config);
        options.durability = Some(DURABILITY.to_owned());
        let inbox = Arc::new(Inbox::default());
        let host = Box::new(Collector(inbox.clone()));
        let instance =
            Instance::create(plugin, Mode::HostDrives, &options, host).map_err(|error| match error.code {
                abi::VMSF_ERR_CONFIG => BeginError::Config(faults(&error.text)),
                _ => BeginError::Other(error.to_string()),
            })?;
        instance.start().map_err(|e| BeginError::Other(e.to_string()))?;
        let work = Work::new(&story, DURABILITY != "none");
        Ok(Self { instance, inbox, last_seq: None, work, folder })
    }

    /// Stops and destroys the instance; gives what it told in that.
    ///
    /// # Errors
    /// The plugin broke a rule at its end.
    pub(crate) fn end(mut self) -> Result<Vec<Happening>, String> {
        self.instance.stop(STOP_MS).map_err(|e| e.to_string())?;
        let last_words = self.happenings()?;
        let released = self.instance.destroy().map_err(|e| e.to_string())?;
        if released != 1 {
            return Err(format!("`release` was called {released} times, not once"));
        }
        Ok(last_words)
    }

    /// Stops and starts the instance; what it told in that is dropped.
    pub(super) fn begin_again(&mut self) -> Result<(), String> {
        self.instance.stop(STOP_MS).map_err(|e| e.to_string())?;
        self.happenings()?;
        self.instance.start().map_err(|e| e.to_string())
    }

    /// What the callbacks have brought.
    fn happenings(&mut self) -> Result<Vec<Happening>, String> {
        let arrivals = self.inbox.take();
        let mut happenings = Vec::new();
        for arrival in arrivals {
            happenings.extend(self.happening(arrival)?);
        }
        self.instance.host_panic().map_or(Ok(happenings), Err)
    }

    fn happening(&mut self, arrival: Arrival) -> Result<Option<Happening>, String> {
        match arrival {
            Arrival::Operation(operation) => {
                let request = Request::of(&operation)?;
                self.work.begin(&operation, &request)?;
                Ok(Some(request.happening(&operation)))
            }
            Arrival::Event(event) => {
                let in_order = self.last_seq.is_none_or(|last| event.seq == last + 1);
                if !in_order {
                    return Err(format!("event {} came after event {:?}", event.seq, self.last_seq));
                }
                self.last_seq = Some(event.seq);
                if let Some(op) = read::given_up(&event)? {
                    self.work.give_up(op);
                }
                Ok(read::line_of(&event)?.map(Happening::Line))
            }
        }
    }

    fn make(&self, call: &Call) -> Result<(), CallError> {
        let instance = &self.instance;
        match call {
            Call::Takeover { server, actor } => instance.takeover(instance.server(server)?, &by(actor)).map(drop),
            Call::Restore { server, actor } => instance.restore(instance.server(server)?, &by(actor)).map(drop),
            Call::Cancel { server, actor } => instance.cancel(instance.server(server)?, &by(actor)),
            Call::Backup { server, actor } => instance.backup(instance.server(server)?, &by(actor)).map(drop),
            Call::BackupAll { actor } => instance.backup_all(&by(actor)).map(drop),
            Call::Authorize { server, actor } => {
                let credentials = work::credentials(server);
                instance.authorize(instance.server(server)?, &by(actor), &credentials).map(drop)
            }
            Call::Deauthorize { server, actor } => instance.deauthorize(instance.server(server)?, &by(actor)).map(drop),
            Call::Cluster { joined, actor } => instance.cluster(*joined, &by(actor)),
            Call::Configure { config } => instance.configure(&config.to_string(), false).map(drop),
        }
    }

    /// The directory of the backups, by the configuration in force.
    fn backup_directory(&self) -> Result<PathBuf, String> {
        let config = self.instance.config().map_err(|e| e.to_string())?;
        let config: Value = serde_json::from_str(&config).map_err(|e| format!("the configuration: {e}"))?;
        let directory = config["backup_directory"].as_str();
        directory.map(PathBuf::from).ok_or_else(|| "the configuration has no `backup_directory`".to_owned())
    }
}

impl Subject for Life {
    fn notify(&mut self, at_ns: u64, server: &str, event: EventKind) -> Result<(), Refusal> {
        let handle = self.instance.server(server).map_err(|e| e.name)?;
        self.instance.notify(handle, event.number(), at_ns).map_err(|e| e.name)
    }

    fn call(&mut self, _at_ns: u64, call: &Call) -> Result<(), Refusal> {
        let made = match call {
            Call::Configure { config } => self.make(&Call::Configure { config: in_folder(config, &self.folder)? }),
            call => self.make(call),
        };
        made.map_err(|e| e.name)
    }

    fn complete(&mut self, _at_ns: u64, op: u64, failure: Option<&str>) -> Result<(), Refusal> {
        let Answer { outcome, error, secret } = self.work.end(op, failure);
        let json = error.map(|error| json!({ "error": error }).to_string()).unwrap_or_default();
        self.instance.complete(op, outcome, &json, &secret).map_err(|e| e.name)
    }

    fn poll(&mut self, now_ns: u64, utc_ms: i64) -> Result<Polled, String> {
        let next_ns = self.instance.poll(now_ns, utc_ms).map_err(|e| e.to_string())?;
        Ok(Polled { next_ns, happenings: self.happenings()? })
    }

    fn befall(&mut self, _at_ns: u64, mishap: &Mishap) -> Result<Vec<Happening>, String> {
        match mishap {
            Mishap::CorruptBackup { server } => damage::backup(&self.backup_directory()?, server)?,
            // No life after this one: nobody reads it.
            Mishap::CorruptState => {}
            Mishap::Restart | Mishap::Crash => {
                return Err(format!("`{}` takes a process of its own for each life", mishap.name()));
            }
        }
        Ok(Vec::new())
    }
}

fn by(actor: &Option<String>) -> String {
    actor.as_ref().map(|actor| json!({ "actor": actor }).to_string()).unwrap_or_default()
}

/// The texts of a report of faults; what is no such report (it may be cut) stays as it is.
fn faults(report: &str) -> String {
    let parsed: Value = serde_json::from_str(report).unwrap_or_default();
    let list = parsed.get("faults").and_then(Value::as_array);
    let texts: Vec<&str> = list.into_iter().flatten().filter_map(|fault| fault.get("text")?.as_str()).collect();
    if texts.is_empty() { report.to_owned() } else { texts.join("\n  ") }
}

/// The configuration with relative paths in the folder, where they are made: the plugin makes neither of the two.
fn in_folder(config: &Value, folder: &Path) -> Result<Value, String> {
    let mut config = config.clone();
    for key in PATHS {
        let Some(path) = config.get(key).and_then(Value::as_str) else { continue };
        if !path.is_empty() {
            let (relative, path) = (!Path::new(path).has_root(), folder.join(path));
            if relative {
                fs::create_dir_all(&path).map_err(|e| format!("{}: {e}", path.display()))?;
            }
            // On Windows `/nowhere` has a root and is not absolute: it gets the drive of the folder.
            config[key] = json!(path);
        }
    }
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_paths_lie_in_the_folder_are_made_and_nothing_else_is_touched() {
        let folder = tempfile::tempdir().unwrap();
        let absolute = folder.path().join("elsewhere");
        let config = json!({"backup_directory": "b", "store_path": absolute, "name": "b"});
        let expected = json!({"backup_directory": folder.path().join("b"), "store_path": absolute, "name": "b"});
        assert_eq!(in_folder(&config, folder.path()), Ok(expected));
        assert!(folder.path().join("b").is_dir() && !absolute.exists());
    }

    #[test]
    fn faults_are_told_one_a_line() {
        assert_eq!(faults(r#"{"faults":[{"text":"x"},{"text":"y"}]}"#), "x\n  y");
        assert_eq!(faults("cut off"), "cut off");
    }
}
