//! The configuration document: the one place that knows its keys, defaults and bounds.
//!
//! What it does: turns a JSON text into a [`Config`], or into a list of every fault in it; applies an edit to a `Config`;
//! writes a `Config` out again. What it must never do: look at a clock, a file, a directory or a host name, start a thread,
//! or accept a document in part. Paths and names are judged by their text alone, so the same document is accepted or
//! refused on every start. Who calls it: `runtime`, for `create`, `configure`, `edit`, `config` and the kept document.
//!
//! How it works: `text` makes the text a [`Value`] and notes doubled keys on the way; `check` walks the value once, in the
//! order of the fields below; `edit` makes an edit a new value, which is then checked like any other. `object` reads one
//! key, `keys` knows which there are, `names` judges texts, and whatever does not fit goes to the one bounded list of
//! `faults`. Work is linear in the document.

use serde::Serialize;
use serde_json::Value;

use self::faults::Faults;
pub use self::faults::{Fault, MAX_FAULTS, ParseError};

mod check;
mod edit;
mod faults;
mod keys;
mod names;
mod object;
#[cfg(test)]
mod tests;
mod text;

/// The one document version that this plugin reads and writes.
pub const SCHEMA: u32 = 1;
/// How many monitored servers a document may list.
pub const MAX_SERVERS: usize = 1_000_000;

/// An accepted configuration, every default filled in. The field names are the keys of the document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Config {
    /// Version of the document: 1. Required.
    pub schema: u32,
    /// Folder of the monitored servers' settings backups: absolute, at most 4,096 bytes. Required.
    pub backup_directory: String,
    /// Root of the video storage while a takeover is active: absolute, at most 4,096 bytes, apart from `backup_directory`.
    /// Required.
    pub store_path: String,
    /// This failover server's adapter and port towards servers. Default: absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_communication: Option<ServerCommunication>,
    /// This failover server's adapter towards clients. Default: absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_communication: Option<ClientCommunication>,
    /// Address of the NGINX front. Default: absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub open_api: Option<OpenApi>,
    /// Back up every monitored server once a day. Default: true.
    pub daily_backup: bool,
    /// When, in UTC: `HH:MM`, `00:00` to `23:59`. Default: `02:00`.
    pub backup_time_utc: String,
    /// Take a failed server over without an operator. Default: true.
    pub automatic_takeover: bool,
    /// Restore a returned server without an operator. Default: false.
    pub automatic_restore: bool,
    /// How long each phase of health may last.
    pub timeouts: Timeouts,
    /// How long the host may take for a takeover, in seconds. Default 600, 10 to 3600.
    pub takeover_timeout_s: u32,
    /// How long the host may take for a restore, in seconds. Default 600, 10 to 3600.
    pub restore_timeout_s: u32,
    /// How long the host may take for a backup, in seconds. Default 600, 10 to 3600.
    pub backup_timeout_s: u32,
    /// How long the host may take for a drill, in seconds. Default 600, 10 to 3600.
    pub drill_timeout_s: u32,
    /// How long the host may take for any other operation, in seconds. Default 60, 10 to 3600.
    pub operation_timeout_s: u32,
    /// How long a returned server must stay in keep-alive before its automatic restore, in seconds. Default 30, 0 to 3600.
    pub restore_stable_s: u32,
    /// How late a planned wake-up may run before it counts as a pause, in seconds. Default 2, 1 to 60.
    pub pause_tolerance_s: u32,
    /// How many good backups are kept per server. Default 7, 1 to 1000.
    pub backups_kept: u32,
    /// Where and how the recordings parameter is written. Default: absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub recordings_ini: Option<RecordingsIni>,
    /// The servers that this failover server watches, at most 1,000,000, in configuration order. Default: none.
    pub monitored_servers: Vec<MonitoredServer>,
}

/// This failover server as other servers reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ServerCommunication {
    /// IP address or DNS name. Required.
    pub address: String,
    /// The port that the video manager listens on. Default 51410, 1 to 65535.
    pub port: u16,
}

/// This failover server as clients reach it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ClientCommunication {
    /// IP address or DNS name. Required.
    pub address: String,
}

/// The NGINX front of this failover server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OpenApi {
    /// IP address or DNS name. Required.
    pub host: String,
    /// Default 443, 1 to 65535.
    pub port: u16,
}

/// How long each phase of health may last, in seconds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Timeouts {
    /// From the connection to the first startup message. Default 300, 300 to 3600.
    pub connected_s: u32,
    /// From the startup message to the first keep-alive. Default 300, 300 to 3600.
    pub started_s: u32,
    /// From one keep-alive to the next. Default 30, 30 to 300.
    pub keep_alive_s: u32,
    /// From a normal shutdown to the restart. Default 900, 300 to 3600.
    pub normal_shutdown_s: u32,
    /// From an exit with an error to the restart. Default 300, 300 to 3600.
    pub abnormal_shutdown_s: u32,
}

/// The line that tells a monitored server where its recordings are: `key=<failover address><separator><host>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RecordingsIni {
    /// Section of the INI file: 1 to 256 bytes, no control characters, no `[` or `]`. Required.
    pub section: String,
    /// Key: 1 to 256 bytes, no control characters, no `=`. Default `Value`.
    pub key: String,
    /// What stands between the two addresses: at most 256 bytes, no control characters. Default empty.
    pub separator: String,
}

/// A server that is watched.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MonitoredServer {
    /// 1 to 64 of `A-Z a-z 0-9 . _ -`, unique without regard to case, usable as a folder name everywhere. Required.
    pub id: String,
    /// For people: 1 to 256 bytes, no control characters. Default: the id.
    pub name: String,
    /// IP address or DNS name; unique together with `port`. Required.
    pub host: String,
    /// Default 51410, 1 to 65535.
    pub port: u16,
    /// Port of its NGINX front. Default 443, 1 to 65535.
    pub http_port: u16,
    /// Place in the takeover queue, 1 is the most important. Default 100, 1 to 1,000,000.
    pub priority: u32,
}

impl Config {
    /// Reads a document from its JSON text and checks it as a whole.
    ///
    /// # Errors
    /// [`ParseError::Json`] if it is not JSON, [`ParseError::Faults`] with every fault otherwise.
    pub fn parse(text: &[u8]) -> Result<Config, ParseError> {
        let mut faults = Faults::default();
        let document = text::read(text, &mut faults)?;
        let config = check::walk(&document, &mut faults);
        faults.finish(config).map_err(ParseError::Faults)
    }

    /// Checks a document as a whole.
    ///
    /// # Errors
    /// Every fault in it, in the order of the fields; the first [`MAX_FAULTS`], then one that counts the rest.
    pub fn check(document: &Value) -> Result<Config, Vec<Fault>> {
        let mut faults = Faults::default();
        let config = check::walk(document, &mut faults);
        faults.finish(config)
    }

    /// The configuration after an edit, `{"set":{…},"add":[…],"change":[…],"remove":[ids]}`, all or nothing.
    ///
    /// Servers are removed, then changed, then added. In `set`, an object is merged; `null` takes a key back to its
    /// default, in a merged object and in `change` too.
    ///
    /// # Errors
    /// If the edit cannot be applied, its faults, with pointers into the edit; else those of the resulting document, with
    /// pointers into that.
    pub fn edited(&self, edit: &Value) -> Result<Config, Vec<Fault>> {
        let mut faults = Faults::default();
        let document = edit::apply(self, edit, &mut faults);
        let document = faults.finish(document)?;
        Config::check(&Value::Object(document))
    }

    /// The document, compact, with every default written out. [`Config::parse`] takes it back to an equal `Config`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain structs of text and numbers always serialise")
    }
}

/// Whether a text may stand where the configuration wants a host.
pub fn is_host(text: &str) -> bool {
    (names::HOST.problem)(text).is_none()
}

/// Reads a JSON text whose objects hold no key twice; for edits, which [`Config::edited`] takes as a value.
///
/// # Errors
/// [`ParseError::Json`] if it is not JSON, [`ParseError::Faults`] for doubled keys.
pub fn document(text: &[u8]) -> Result<Value, ParseError> {
    let mut faults = Faults::default();
    let value = text::read(text, &mut faults)?;
    faults.finish(Some(value)).map_err(ParseError::Faults)
}
