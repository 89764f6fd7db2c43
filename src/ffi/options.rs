//! The options of `create`: read, checked, and turned into an instance.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use vms_failover_abi as abi;

use super::host::HostTable;
use super::instance::Instance;
use super::text;
use crate::config::{self, Config, Fault, ParseError};
use crate::error::Error;
use crate::runtime::Runtime;
use crate::runtime::clock::Clock;
use crate::runtime::configure::Rejected;
use crate::state::{Durability, Store};

const OPERATIONS: [&str; 8] =
    ["takeover", "restore", "backup", "authorize", "deauthorize", "join_cluster", "probe", "drill"];
const REQUIRED_OPERATIONS: [&str; 2] = ["takeover", "restore"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Options {
    schema: u32,
    state_directory: PathBuf,
    config: Option<Value>,
    operations: Option<Vec<String>>,
    durability: Option<Durability>,
}

/// Makes an instance in state stopped.
pub fn create(host: Arc<HostTable>, options: &str) -> Result<Instance, Rejected> {
    let options = read(options)?;
    // First, so that a faulty document leaves no trace on disk.
    let given = options.config.map(|document| Config::check(&document)).transpose().map_err(Rejected::Faults)?;
    let store = Store::open(&options.state_directory, options.durability.unwrap_or(Durability::Full))?;
    let config = given.map_or_else(|| kept_config(&store), Ok)?;
    let numbers = store.take_numbers()?;
    store.keep_config(&config.to_json())?;
    let clock = if host.drives() { Clock::driven() } else { Clock::System };
    log::info!(
        "vms-failover {} created for {}, {} monitored servers, state in {}",
        env!("CARGO_PKG_VERSION"),
        host.title(),
        config.monitored_servers.len(),
        options.state_directory.display()
    );
    let runtime = Runtime::new(Arc::clone(&host) as _, clock, store, config, numbers);
    Ok(Instance::new(runtime, host))
}

fn read(text: &str) -> Result<Options, Rejected> {
    let document = config::document(text.as_bytes())?;
    let json = |text: String| Error::new(abi::VMSF_ERR_JSON, format!("options: {text}"));
    let options: Options = text::object("options", Ok(document))?;
    if options.schema != 1 {
        return Err(json(format!("schema is {}, this plugin reads 1", options.schema)).into());
    }
    if !options.state_directory.is_absolute() {
        let text = format!("options: state_directory {:?} is not an absolute path", options.state_directory);
        return Err(Error::new(abi::VMSF_ERR_INVALID, text).into());
    }
    if let Some(operations) = &options.operations {
        check_operations(operations)?;
    }
    Ok(options)
}

fn check_operations(operations: &[String]) -> Result<(), Error> {
    let invalid = |text: String| Err(Error::new(abi::VMSF_ERR_INVALID, format!("options: operations: {text}")));
    if let Some(unknown) = operations.iter().find(|name| !OPERATIONS.contains(&name.as_str())) {
        return invalid(format!("'{unknown}' is none of {}", OPERATIONS.join(", ")));
    }
    match REQUIRED_OPERATIONS.iter().find(|name| !operations.iter().any(|known| known == *name)) {
        Some(missing) => invalid(format!("'{missing}' is missing: a host that cannot do it cannot use this plugin")),
        None => Ok(()),
    }
}

fn kept_config(store: &Store) -> Result<Config, Rejected> {
    let kept = store.config()?;
    if let Some(damaged) = kept.damaged {
        log::error!("{damaged}");
    }
    let Some(text) = kept.json else {
        let pointer = "/config".to_owned();
        let allowed = "a configuration; later starts may leave it out".to_owned();
        let text = format!("{pointer}: missing, and none is kept in the state directory");
        return Err(Rejected::Faults(vec![Fault { pointer, value: String::new(), allowed, text }]));
    };
    Config::parse(&text).map_err(|error| match error {
        ParseError::Faults(faults) => Rejected::Faults(faults),
        ParseError::Json(why) => {
            let text = format!("the kept configuration is damaged: {why}; give one in the options");
            Rejected::Error(Error::new(abi::VMSF_ERR_STATE_DAMAGED, text))
        }
    })
}
