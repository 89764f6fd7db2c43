//! The options of `create`: read, checked, and turned into an instance.

use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::{Value, json};
use vms_failover_abi as abi;

use super::host::HostTable;
use super::instance::Instance;
use super::text;
use crate::config::{self, Config, Fault, MonitoredServer, ParseError};
use crate::engine::output::OperationKind;
use crate::error::Error;
use crate::log::Subject;
use crate::log::store::{LogStore, Settings};
use crate::runtime::clock::Clock;
use crate::runtime::configure::Rejected;
use crate::runtime::secrets::Keeper;
use crate::runtime::{Kept, Numbers, Performs, Runtime};
use crate::state::document::Document;
use crate::state::{Durability, Store};

/// Operations that a host may name, and that this version never begins.
const NOT_YET: [&str; 2] = ["probe", "drill"];
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

/// Makes an instance in state stopped, going on from what an earlier life left in the state directory.
pub fn create(host: Arc<HostTable>, options: &str) -> Result<Instance, Rejected> {
    let options = read(options)?;
    // First, so that a faulty document leaves no trace on disk.
    let given = options.config.map(|document| Config::check(&document)).transpose().map_err(Rejected::Faults)?;
    let durability = options.durability.unwrap_or(Durability::Full);
    let store = Store::open(&options.state_directory, durability)?;
    let mut first_words = Vec::new();
    let keeper = keeper(&host, &store, &mut first_words)?;
    let document = load(&store, &mut first_words)?;
    // A configuration that is given is the cure for a damaged one.
    let before = kept_config(&store, given.is_none(), &mut first_words)?;
    let was_given = given.is_some();
    let mut config = match (given, &before) {
        (Some(given), _) => given,
        (None, Some(before)) => before.clone(),
        (None, None) => return Err(no_config()),
    };
    let mut document = document;
    if let Some(document) = &mut document {
        let before = before.as_ref().map_or(&[][..], |before| &before.monitored_servers);
        let named = |id: &String| config.monitored_servers.iter().any(|server| server.id == *id);
        if was_given {
            // The word of an earlier configuration is taken back by the new one.
            document.leaving.retain(|id| !named(id));
        }
        let kept = keep_what_is_taken_over(&mut config, before, document, &mut first_words)?;
        document.leaving.extend(kept);
    }
    let reserved = document.as_ref().map_or(1, |document| document.reserved_seq);
    let settings = Settings { sync: durability == Durability::Full, ..Settings::default() };
    let (log, opened) =
        LogStore::open_with(&options.state_directory.join("log"), boot_id().as_deref(), reserved, settings)?;
    first_words.extend(opened.damaged.map(Subject::StateDamaged));
    if let Some((first, last)) = opened.gap {
        first_words.insert(0, Subject::LogGap(first, last));
    }
    let next_id = document.as_ref().map_or(1, |document| document.next_id);
    let numbers = Numbers { next_id, next_seq: opened.next_seq };
    let clock = if host.drives() { Clock::driven() } else { Clock::System };
    log::info!(
        "vms-failover {} created for {}, {} monitored servers, state in {}",
        env!("CARGO_PKG_VERSION"),
        host.title(),
        config.monitored_servers.len(),
        options.state_directory.display()
    );
    store.keep_config(&config.to_json())?;
    let kept = Kept { store, keeper, log, numbers, document, first_words };
    let performs = performs(options.operations.as_deref());
    let runtime = Runtime::new(Arc::clone(&host) as _, clock, kept, config, performs)?;
    Ok(Instance::new(runtime, host))
}

/// Files with tokens are looked at only where they count: with a host that keeps the tokens, no damage of theirs matters.
fn keeper(host: &Arc<HostTable>, store: &Store, first_words: &mut Vec<Subject>) -> Result<Keeper, Error> {
    if let Some(host) = host.secrets() {
        if store.has_tokens() {
            log::warn!(
                "the host keeps the tokens, so those in the state directory (tokens.a.json, tokens.b.json) are not used any more: authorize the servers anew and delete these files"
            );
        }
        return Ok(Keeper::Host(host));
    }
    let (tokens, damaged) = store.tokens()?;
    first_words.extend(damaged.map(Subject::StateDamaged));
    Ok(Keeper::Files(Arc::new(tokens)))
}

/// What was saved last; damage that cost one generation is said at the start.
fn load(store: &Store, first_words: &mut Vec<Subject>) -> Result<Option<Document>, Error> {
    let loaded = store.load()?;
    first_words.extend(loaded.damaged.map(Subject::StateDamaged));
    let read = |payload| {
        let document: Document = serde_json::from_value(payload).map_err(|error| error.to_string())?;
        document.check().map(|()| document)
    };
    loaded.payload.map(read).transpose().map_err(|why| {
        let text = format!("the durable state cannot be read: {why}; give a new state directory");
        Error::new(abi::VMSF_ERR_STATE_DAMAGED, text)
    })
}

/// The given configuration may drop or readdress a server that is taken over: it stays as it is until that is over. Gives those dropped.
fn keep_what_is_taken_over(
    config: &mut Config,
    before: &[MonitoredServer],
    document: &Document,
    first_words: &mut Vec<Subject>,
) -> Result<Vec<String>, Rejected> {
    let (mut stay, mut leaving) = (Vec::new(), Vec::new());
    for id in document.memory.undroppable() {
        let new = config.monitored_servers.iter().find(|server| server.id == *id);
        let address = document.addresses.get(id).map(|(host, port)| (host, *port));
        if new.is_some_and(|new| address.is_none_or(|address| address == (&new.host, new.port))) {
            continue;
        }
        // Where the configuration before is damaged, nobody knows its settings; forgetting the takeover would be worse than asking.
        let old = before.iter().find(|server| server.id == *id).ok_or_else(|| {
            let at = address.map_or_else(String::new, |(host, port)| format!(" at {host}:{port}"));
            let text = format!(
                "server '{id}'{at} is taken over: the configuration given has to bring it, the kept one does not"
            );
            Error::new(abi::VMSF_ERR_STATE_DAMAGED, text)
        })?;
        if new.is_some() {
            stay.push(old)
        } else {
            leaving.push(old)
        }
        first_words.push(Subject::ConfigKept(id.clone()));
    }
    if !(stay.is_empty() && leaving.is_empty()) {
        // Both were checked alone; together they may still name a machine twice.
        *config = config.edited(&json!({ "change": stay, "add": leaving })).map_err(Rejected::Faults)?;
    }
    Ok(leaving.into_iter().map(|server| server.id.clone()).collect())
}

/// Names the running boot of the machine, where the system has a name for it.
fn boot_id() -> Option<String> {
    let text = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    Some(text.trim().to_owned()).filter(|id| !id.is_empty())
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

/// The kinds that the host performs; by default those of the product.
fn performs(operations: Option<&[String]>) -> Performs {
    let named = |kind: &OperationKind| operations.is_none_or(|names| names.iter().any(|name| name == kind.name()));
    Performs::new(OperationKind::ALL.into_iter().filter(named))
}

fn check_operations(operations: &[String]) -> Result<(), Error> {
    let invalid = |text: String| Err(Error::new(abi::VMSF_ERR_INVALID, format!("options: operations: {text}")));
    let all: Vec<&str> = OperationKind::ALL.iter().map(|kind| kind.name()).chain(NOT_YET).collect();
    if let Some(unknown) = operations.iter().find(|name| !all.contains(&name.as_str())) {
        return invalid(format!("'{unknown}' is none of {}", all.join(", ")));
    }
    match REQUIRED_OPERATIONS.iter().find(|name| !operations.iter().any(|known| known == *name)) {
        Some(missing) => invalid(format!("'{missing}' is missing: a host that cannot do it cannot use this plugin")),
        None => Ok(()),
    }
}

fn no_config() -> Rejected {
    let pointer = "/config".to_owned();
    let allowed = "a configuration; later starts may leave it out".to_owned();
    let text = format!("{pointer}: missing, and none is kept in the state directory");
    Rejected::Faults(vec![Fault { pointer, value: String::new(), allowed, text }])
}

fn kept_config(store: &Store, needed: bool, first_words: &mut Vec<Subject>) -> Result<Option<Config>, Rejected> {
    let kept = match store.config() {
        Err(error) if !needed => {
            first_words.push(Subject::StateDamaged(error.text));
            return Ok(None);
        }
        kept => kept?,
    };
    first_words.extend(kept.damaged.map(Subject::StateDamaged));
    let Some(text) = kept.json else { return Ok(None) };
    match Config::parse(&text) {
        Ok(config) => Ok(Some(config)),
        Err(_) if !needed => Ok(None),
        Err(ParseError::Faults(faults)) => Err(Rejected::Faults(faults)),
        Err(ParseError::Json(why)) => {
            let text = format!("the kept configuration is damaged: {why}; give one in the options");
            Err(Rejected::Error(Error::new(abi::VMSF_ERR_STATE_DAMAGED, text)))
        }
    }
}
