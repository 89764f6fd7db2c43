//! The configuration document: the one place that knows its keys, defaults and bounds.
//!
//! What it does: turns a JSON text into a [`Config`], or into a list of every fault in it; applies an edit to a `Config`;
//! writes a `Config` out again. What it must never do: look at a clock, a file, a directory or a host name, start a thread,
//! or accept a document in part. Paths and names are judged by their text alone, so the same document is accepted or
//! refused on every start. Who calls it: `runtime`, for `create`, `configure`, `edit`, `config` and the kept document.
//!
//! How it works: the text becomes a [`Value`], with doubled keys noted on the way; the value is walked once, in the order of
//! the tables below; whatever does not fit goes to one bounded list. Work is linear in the document.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

use serde::Serialize;
use serde::de::{self, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

#[cfg(test)]
mod tests;

/// The one document version that this plugin reads and writes.
pub const SCHEMA: u32 = 1;
/// How many monitored servers a document may list.
pub const MAX_SERVERS: usize = 1_000_000;
/// How many faults are listed; one more then says how many were left out.
pub const MAX_FAULTS: usize = 1_000;

/// How many JSON values a text may hold. The largest document that can be accepted has about 7 per server; without a bound
/// 256 MiB of `{"a":0}` would take many GiB as a tree before the first check.
const MAX_VALUES: usize = 10_000_000;
const MAX_VALUE_CHARS: usize = 200;
const MAX_POINTER_CHARS: usize = 400;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the value; `""` is the document. Cut to 400 characters, which no known key comes near.
    pub pointer: String,
    /// The value as compact JSON, cut to 200 characters; `""` if the key is missing.
    pub value: String,
    /// What is allowed there.
    pub allowed: String,
    /// The whole fault in one line: `/timeouts/keep_alive_s: 10 is below the minimum of 30`.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It is not JSON; the text says why, with line and column.
    Json(String),
    /// It is JSON, with these faults; never empty.
    Faults(Vec<Fault>),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Json(text) => write!(f, "not JSON: {text}"),
            ParseError::Faults(faults) => {
                faults.iter().enumerate().try_for_each(|(i, x)| write!(f, "{}{x}", if i == 0 { "" } else { "\n" }))
            }
        }
    }
}

impl std::error::Error for ParseError {}

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

const KEYS: &[&str] = &[
    "schema",
    "backup_directory",
    "store_path",
    "server_communication",
    "client_communication",
    "open_api",
    "daily_backup",
    "backup_time_utc",
    "automatic_takeover",
    "automatic_restore",
    "timeouts",
    "takeover_timeout_s",
    "restore_timeout_s",
    "backup_timeout_s",
    "drill_timeout_s",
    "operation_timeout_s",
    "restore_stable_s",
    "pause_tolerance_s",
    "backups_kept",
    "recordings_ini",
    "monitored_servers",
];
const SERVER_KEYS: &[&str] = &["id", "name", "host", "port", "http_port", "priority"];
const EDIT_KEYS: &[&str] = &["set", "add", "change", "remove"];

/// The keys of the objects in the document; an edit merges into these.
const OBJECTS: &[(&str, &[&str])] = &[
    ("server_communication", &["address", "port"]),
    ("client_communication", &["address"]),
    ("open_api", &["host", "port"]),
    ("timeouts", &["connected_s", "started_s", "keep_alive_s", "normal_shutdown_s", "abnormal_shutdown_s"]),
    ("recordings_ini", &["section", "key", "separator"]),
];

/// Known to the specification, not to this version: naming them beats "unknown key".
const UNSUPPORTED: &[&str] =
    &["backup_max_age_s", "probe_timeout_s", "mass_failure_share", "mass_failure_hold_s", "takeovers_per_hour"];

fn keys_of(object: &str) -> &'static [&'static str] {
    OBJECTS.iter().find(|(name, _)| *name == object).map_or(&[], |(_, keys)| keys)
}

/// The default of a number and its bounds, both allowed.
#[derive(Clone, Copy)]
struct Bounds<N> {
    default: N,
    min: N,
    max: N,
}

const fn bounds<N>(default: N, min: N, max: N) -> Bounds<N> {
    Bounds { default, min, max }
}

/// A bounded number of the document, and where it goes.
struct Row<T> {
    key: &'static str,
    bounds: Bounds<u32>,
    field: fn(&mut T) -> &mut u32,
}

const TIMEOUTS: &[Row<Timeouts>] = &[
    Row { key: "connected_s", bounds: bounds(300, 300, 3600), field: |t| &mut t.connected_s },
    Row { key: "started_s", bounds: bounds(300, 300, 3600), field: |t| &mut t.started_s },
    Row { key: "keep_alive_s", bounds: bounds(30, 30, 300), field: |t| &mut t.keep_alive_s },
    Row { key: "normal_shutdown_s", bounds: bounds(900, 300, 3600), field: |t| &mut t.normal_shutdown_s },
    Row { key: "abnormal_shutdown_s", bounds: bounds(300, 300, 3600), field: |t| &mut t.abnormal_shutdown_s },
];
const NUMBERS: &[Row<Config>] = &[
    Row { key: "takeover_timeout_s", bounds: bounds(600, 10, 3600), field: |c| &mut c.takeover_timeout_s },
    Row { key: "restore_timeout_s", bounds: bounds(600, 10, 3600), field: |c| &mut c.restore_timeout_s },
    Row { key: "backup_timeout_s", bounds: bounds(600, 10, 3600), field: |c| &mut c.backup_timeout_s },
    Row { key: "drill_timeout_s", bounds: bounds(600, 10, 3600), field: |c| &mut c.drill_timeout_s },
    Row { key: "operation_timeout_s", bounds: bounds(60, 10, 3600), field: |c| &mut c.operation_timeout_s },
    Row { key: "restore_stable_s", bounds: bounds(30, 0, 3600), field: |c| &mut c.restore_stable_s },
    Row { key: "pause_tolerance_s", bounds: bounds(2, 1, 60), field: |c| &mut c.pause_tolerance_s },
    Row { key: "backups_kept", bounds: bounds(7, 1, 1000), field: |c| &mut c.backups_kept },
];
const SERVER_PORT: Bounds<u16> = bounds(51410, 1, u16::MAX);
const HTTP_PORT: Bounds<u16> = bounds(443, 1, u16::MAX);
const PRIORITY: Bounds<u32> = bounds(100, 1, 1_000_000);

impl Config {
    /// Reads a document from its JSON text and checks it as a whole.
    ///
    /// # Errors
    /// [`ParseError::Json`] if it is not JSON, [`ParseError::Faults`] with every fault otherwise.
    pub fn parse(text: &[u8]) -> Result<Config, ParseError> {
        let mut faults = Faults::default();
        let document = read(text, &mut faults)?;
        let config = walk(&document, &mut faults);
        faults.finish(config).map_err(ParseError::Faults)
    }

    /// Checks a document as a whole.
    ///
    /// # Errors
    /// Every fault in it, in the order of the tables; the first [`MAX_FAULTS`], then one that counts the rest.
    pub fn check(document: &Value) -> Result<Config, Vec<Fault>> {
        let mut faults = Faults::default();
        let config = walk(document, &mut faults);
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
        let document = apply(self, edit, &mut faults);
        let document = faults.finish(document)?;
        Config::check(&Value::Object(document))
    }

    /// The document, compact, with every default written out. [`Config::parse`] takes it back to an equal `Config`.
    pub fn to_json(&self) -> String {
        serde_json::to_string(self).expect("plain structs of text and numbers always serialise")
    }
}

/// Reads a JSON text whose objects hold no key twice; for edits, which [`Config::edited`] takes as a value.
///
/// # Errors
/// [`ParseError::Json`] if it is not JSON, [`ParseError::Faults`] for doubled keys.
pub fn document(text: &[u8]) -> Result<Value, ParseError> {
    let mut faults = Faults::default();
    let value = read(text, &mut faults)?;
    faults.finish(Some(value)).map_err(ParseError::Faults)
}

// ---- faults ----

/// Where in the document we are: a chain on the stack, so that a pointer costs nothing until there is a fault.
#[derive(Clone, Copy)]
enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    fn write(&self, out: &mut String) {
        match *self {
            At::Root => {}
            At::Key(parent, key) => {
                parent.write(out);
                out.push('/');
                for c in key.chars().take(MAX_POINTER_CHARS) {
                    match c {
                        '~' => out.push_str("~0"),
                        '/' => out.push_str("~1"),
                        c => out.push(c),
                    }
                }
            }
            At::Item(parent, index) => {
                parent.write(out);
                out.push('/');
                out.push_str(&index.to_string());
            }
        }
    }

    fn pointer(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        cut(out, MAX_POINTER_CHARS)
    }
}

/// The faults found so far. Past the bound they are counted and not even formatted: garbage must stay cheap.
#[derive(Default)]
struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// The value is wrong: `<pointer>: <value> <problem>`.
    fn wrong(&mut self, at: &At<'_>, value: &Value, allowed: impl fmt::Display, problem: impl fmt::Display) {
        self.add(at, Some(value), true, &allowed, &problem);
    }

    /// Something else is wrong: `<pointer>: <problem>`.
    fn note(&mut self, at: &At<'_>, value: Option<&Value>, allowed: impl fmt::Display, problem: impl fmt::Display) {
        self.add(at, value, false, &allowed, &problem);
    }

    fn add(
        &mut self,
        at: &At<'_>,
        value: Option<&Value>,
        value_in_text: bool,
        allowed: &dyn fmt::Display,
        problem: &dyn fmt::Display,
    ) {
        if self.list.len() >= MAX_FAULTS {
            self.more += 1;
            return;
        }
        let pointer = at.pointer();
        let value = value.map(compact).unwrap_or_default();
        let place = if pointer.is_empty() { "the document" } else { &pointer };
        let text = if value_in_text { format!("{place}: {value} {problem}") } else { format!("{place}: {problem}") };
        self.list.push(Fault { pointer, value, allowed: allowed.to_string(), text });
    }

    fn finish<T>(mut self, result: Option<T>) -> Result<T, Vec<Fault>> {
        if self.more > 0 {
            self.list.push(Fault {
                pointer: String::new(),
                value: String::new(),
                allowed: format!("at most {MAX_FAULTS} faults are listed"),
                text: format!("the document: {} more faults are not listed", self.more),
            });
        }
        match result {
            Some(result) if self.list.is_empty() => Ok(result),
            _ => Err(self.list),
        }
    }
}

fn cut(mut text: String, max_chars: usize) -> String {
    if let Some((end, _)) = text.char_indices().nth(max_chars) {
        let last = text[..end].char_indices().next_back().map_or(0, |(at, _)| at);
        text.truncate(last);
        text.push('…');
    }
    text
}

/// A value as compact JSON, cut. The writer gives up once it has enough, so a huge or deep value costs no more than a small one.
fn compact(value: &Value) -> String {
    const ENOUGH: usize = (MAX_VALUE_CHARS + 1) * 4;
    struct Head(Vec<u8>);
    impl io::Write for Head {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let take = bytes.len().min(ENOUGH - self.0.len());
            if take == 0 && !bytes.is_empty() {
                return Err(io::ErrorKind::WriteZero.into());
            }
            self.0.extend_from_slice(&bytes[..take]);
            Ok(take)
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let mut head = Head(Vec::new());
    // The only error is our own "enough".
    let _ = serde_json::to_writer(&mut head, value);
    cut(String::from_utf8_lossy(&head.0).into_owned(), MAX_VALUE_CHARS)
}

fn unknown_key(at: &At<'_>, key: &str, value: &Value, known: &[&str], faults: &mut Faults) {
    if faults.list.len() >= MAX_FAULTS {
        faults.more += 1;
        return;
    }
    let at = At::Key(at, key);
    if UNSUPPORTED.contains(&key) {
        faults.note(&at, Some(value), "absent", "this key is not supported by this version; leave it out");
        return;
    }
    let near = known.iter().map(|known| (distance(key, known), known)).min().filter(|(d, k)| *d <= 1 + k.len() / 6);
    let allowed = format!("one of {}", known.join(", "));
    match near {
        Some((_, near)) => faults.note(&at, Some(value), &allowed, format_args!("unknown key; did you mean {near}?")),
        None => faults.note(&at, Some(value), &allowed, format_args!("unknown key; {allowed}")),
    }
}

/// Edit distance, for near misses only: what is much longer than any key is simply far.
fn distance(a: &str, b: &str) -> usize {
    if a.len() > 64 {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let replaced = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

// ---- text to value ----

fn read(text: &[u8], faults: &mut Faults) -> Result<Value, ParseError> {
    let mut left = MAX_VALUES;
    let mut json = serde_json::Deserializer::from_slice(text);
    let tree = Tree { at: &At::Root, left: &mut left, faults };
    tree.deserialize(&mut json)
        .and_then(|value| json.end().map(|()| value))
        .map_err(|error| ParseError::Json(error.to_string()))
}

/// Builds a [`Value`] as serde_json does, but notes keys that are there twice (of which it would drop one unseen) and
/// stops at [`MAX_VALUES`].
struct Tree<'a> {
    at: &'a At<'a>,
    left: &'a mut usize,
    faults: &'a mut Faults,
}

impl<'de> DeserializeSeed<'de> for Tree<'_> {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.left.checked_sub(1) {
            Some(left) => *self.left = left,
            None => return Err(de::Error::custom(format_args!("more than {MAX_VALUES} values"))),
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Tree<'_> {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON value")
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        loop {
            let at = At::Item(self.at, list.len());
            match items.next_element_seed(Tree { at: &at, left: &mut *self.left, faults: &mut *self.faults })? {
                Some(item) => list.push(item),
                None => return Ok(Value::Array(list)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut map = Map::new();
        while let Some(key) = entries.next_key::<String>()? {
            let at = At::Key(self.at, &key);
            let value = entries.next_value_seed(Tree { at: &at, left: &mut *self.left, faults: &mut *self.faults })?;
            if map.contains_key(&key) {
                self.faults.note(&at, Some(&value), "each key once", "this key is there more than once");
            }
            map.insert(key, value);
        }
        Ok(Value::Object(map))
    }
}

// ---- value to configuration ----

/// What a text must be, and what is wrong with one that is not.
struct Rule {
    allowed: &'static str,
    problem: fn(&str) -> Option<&'static str>,
}

/// The first of these problems that there is.
fn first<const N: usize>(problems: [(bool, &'static str); N]) -> Option<&'static str> {
    problems.into_iter().find_map(|(there, problem)| there.then_some(problem))
}

const PATH: Rule = Rule {
    allowed: "an absolute path of at most 4096 bytes, without control characters and without a component \"..\"",
    problem: |text| {
        let path = Path::new(text);
        first([
            (text.len() > 4096, "is longer than 4096 bytes"),
            (text.chars().any(char::is_control), "has a control character"),
            (!path.is_absolute(), "is not an absolute path"),
            (path.components().any(|part| part == Component::ParentDir), "has a component \"..\""),
        ])
    },
};

const HOST: Rule = Rule {
    allowed: "an IP address (without brackets, port or zone) or a DNS name: at most 253 bytes, labels of 1 to 63 letters, \
              digits, - and _, not beginning or ending with -",
    problem: |text| {
        if text.parse::<IpAddr>().is_ok() {
            return None;
        }
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        first([
            (text.len() > 253, "is longer than 253 bytes"),
            (!text.split('.').all(label), "is neither an IP address nor a DNS name"),
            // 10.0.0.256 would pass as a name, and resolvers read such names as addresses of their own liking.
            (text.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "is not an IP address"),
        ])
    },
};

const ID: Rule = Rule {
    allowed: "1 to 64 of A-Z a-z 0-9 . _ -, no final dot, no device name of Windows (CON, NUL, COM1, ...)",
    problem: |text| {
        // The id names folders, also on Windows, where a device is meant whatever follows the first dot.
        let stem = text.split('.').next().unwrap_or_default().to_ascii_uppercase();
        let device = match stem.strip_prefix("COM").or(stem.strip_prefix("LPT")) {
            Some(number) => number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()),
            None => ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()),
        };
        first([
            (text.is_empty(), "is empty"),
            (text.len() > 64, "is longer than 64 bytes"),
            (
                !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
                "has a character that is not allowed",
            ),
            (text.ends_with('.'), "ends with a dot"),
            (device, "is a device name of Windows"),
        ])
    },
};

const LINE: Rule = Rule {
    allowed: "1 to 256 bytes without control characters",
    problem: |text| first([(text.is_empty(), "is empty")]).or_else(|| (SEPARATOR.problem)(text)),
};

const SEPARATOR: Rule = Rule {
    allowed: "at most 256 bytes without control characters",
    problem: |text| {
        first([
            (text.len() > 256, "is longer than 256 bytes"),
            (text.chars().any(char::is_control), "has a control character"),
        ])
    },
};

// A section or key that an INI file would read back as something else could never be found again.
const INI_SECTION: Rule = Rule {
    allowed: "1 to 256 bytes without control characters, [ and ], and without blanks at the ends",
    problem: |text| {
        (LINE.problem)(text)
            .or(first([(text.contains(['[', ']']), "has a bracket"), (text.trim() != text, "has a blank at an end")]))
    },
};

const INI_KEY: Rule = Rule {
    allowed: "1 to 256 bytes without control characters and =, not beginning with [ ; or #, and without blanks at the ends",
    problem: |text| {
        (LINE.problem)(text).or(first([
            (text.contains('='), "has a ="),
            (text.starts_with(['[', ';', '#']), "begins like a section or a comment"),
            (text.trim() != text, "has a blank at an end"),
        ]))
    },
};

const TIME_OF_DAY: Rule = Rule {
    allowed: "\"HH:MM\", from \"00:00\" to \"23:59\"",
    problem: |text| {
        let fits = match *text.as_bytes() {
            [a @ b'0'..=b'2', b @ b'0'..=b'9', b':', b'0'..=b'5', b'0'..=b'9'] => a < b'2' || b <= b'3',
            _ => false,
        };
        if fits { None } else { Some("is not a time of day") }
    },
};

/// An object of the document whose keys have been looked at.
struct Object<'a> {
    at: &'a At<'a>,
    map: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    fn open(value: &'a Value, at: &'a At<'a>, known: &[&str], faults: &mut Faults) -> Option<Object<'a>> {
        let Value::Object(map) = value else {
            faults.wrong(at, value, "an object", "is not an object");
            return None;
        };
        for (key, value) in map {
            if !known.contains(&key.as_str()) {
                unknown_key(at, key, value, known, faults);
            }
        }
        Some(Object { at, map })
    }

    fn list(&self, key: &str, faults: &mut Faults) -> &'a [Value] {
        match self.map.get(key) {
            None => &[],
            Some(Value::Array(list)) => list,
            Some(value) => {
                faults.wrong(&At::Key(self.at, key), value, "a list", "is not a list");
                &[]
            }
        }
    }

    fn flag(&self, key: &str, default: bool, faults: &mut Faults) -> bool {
        match self.map.get(key) {
            None => default,
            Some(Value::Bool(flag)) => *flag,
            Some(value) => {
                faults.wrong(&At::Key(self.at, key), value, "true or false", "is not a boolean");
                default
            }
        }
    }

    /// A text; without a default it is required. `None` after a fault.
    fn text(&self, key: &str, default: Option<&'a str>, rule: &Rule, faults: &mut Faults) -> Option<&'a str> {
        let at = At::Key(self.at, key);
        match self.map.get(key) {
            None if default.is_none() => faults.note(&at, None, rule.allowed, "this key is required and missing"),
            None => return default,
            Some(Value::String(text)) => match (rule.problem)(text) {
                None => return Some(text),
                Some(problem) => faults.wrong(&at, &self.map[key], rule.allowed, problem),
            },
            Some(value) => faults.wrong(&at, value, rule.allowed, "is not a string"),
        }
        None
    }

    /// A number, which must be written as a JSON integer. `None` after a fault.
    fn number<N>(&self, key: &str, bounds: Bounds<N>, faults: &mut Faults) -> Option<N>
    where
        N: Copy + fmt::Display + TryFrom<u64> + Into<u64>,
    {
        let Bounds { default, min, max } = bounds;
        let Some(value) = self.map.get(key) else { return Some(default) };
        let mut wrong = |problem: fmt::Arguments<'_>| {
            faults.wrong(&At::Key(self.at, key), value, format_args!("an integer from {min} to {max}"), problem);
        };
        match (value.as_u64(), value.as_i64()) {
            (None, None) => wrong(format_args!("is not an integer")),
            (Some(n), _) if n > max.into() => wrong(format_args!("is above the maximum of {max}")),
            (Some(n), _) if n >= min.into() => return N::try_from(n).ok(),
            _ => wrong(format_args!("is below the minimum of {min}")),
        }
        None
    }
}

/// Opens the object `key` of `parent`, if it is there, and reads it.
fn child<T>(
    parent: &Object<'_>,
    key: &str,
    faults: &mut Faults,
    read: impl FnOnce(&Object<'_>, &mut Faults) -> Option<T>,
) -> Option<T> {
    let at = At::Key(parent.at, key);
    let object = Object::open(parent.map.get(key)?, &at, keys_of(key), faults)?;
    read(&object, faults)
}

/// Walks a document. After a fault what it returns is a stand-in, which [`Faults::finish`] throws away.
fn walk(document: &Value, faults: &mut Faults) -> Option<Config> {
    let top = Object::open(document, &At::Root, KEYS, faults)?;
    match top.map.get("schema") {
        None => faults.note(&At::Key(top.at, "schema"), None, SCHEMA, "this key is required and missing"),
        Some(value) if value.as_u64() == Some(SCHEMA.into()) => {}
        Some(value) => faults.wrong(&At::Key(top.at, "schema"), value, SCHEMA, "is not a schema of this version"),
    }
    let mut config = Config {
        schema: SCHEMA,
        backup_directory: top.text("backup_directory", None, &PATH, faults).unwrap_or_default().to_owned(),
        store_path: top.text("store_path", None, &PATH, faults).unwrap_or_default().to_owned(),
        server_communication: None,
        client_communication: None,
        open_api: None,
        daily_backup: true,
        backup_time_utc: String::new(),
        automatic_takeover: true,
        automatic_restore: false,
        timeouts: Timeouts::default(),
        takeover_timeout_s: 0,
        restore_timeout_s: 0,
        backup_timeout_s: 0,
        drill_timeout_s: 0,
        operation_timeout_s: 0,
        restore_stable_s: 0,
        pause_tolerance_s: 0,
        backups_kept: 0,
        recordings_ini: None,
        monitored_servers: Vec::new(),
    };
    if nested(&config.backup_directory, &config.store_path) {
        faults.wrong(
            &At::Key(top.at, "store_path"),
            &top.map["store_path"],
            "a folder that is not backup_directory, not inside it and not around it",
            "and backup_directory are the same, or one is inside the other",
        );
    }
    config.server_communication = child(&top, "server_communication", faults, |object, faults| {
        let address = object.text("address", None, &HOST, faults);
        let port = object.number("port", SERVER_PORT, faults);
        Some(ServerCommunication { address: address?.to_owned(), port: port? })
    });
    config.client_communication = child(&top, "client_communication", faults, |object, faults| {
        Some(ClientCommunication { address: object.text("address", None, &HOST, faults)?.to_owned() })
    });
    config.open_api = child(&top, "open_api", faults, |object, faults| {
        let host = object.text("host", None, &HOST, faults);
        let port = object.number("port", HTTP_PORT, faults);
        Some(OpenApi { host: host?.to_owned(), port: port? })
    });
    config.daily_backup = top.flag("daily_backup", true, faults);
    let time = top.text("backup_time_utc", Some("02:00"), &TIME_OF_DAY, faults);
    config.backup_time_utc = time.unwrap_or_default().to_owned();
    config.automatic_takeover = top.flag("automatic_takeover", true, faults);
    config.automatic_restore = top.flag("automatic_restore", false, faults);
    child(&top, "timeouts", faults, |object, faults| {
        for row in TIMEOUTS {
            *(row.field)(&mut config.timeouts) = object.number(row.key, row.bounds, faults).unwrap_or_default();
        }
        Some(())
    });
    for row in NUMBERS {
        *(row.field)(&mut config) = top.number(row.key, row.bounds, faults).unwrap_or_default();
    }
    config.recordings_ini = child(&top, "recordings_ini", faults, |object, faults| {
        let section = object.text("section", None, &INI_SECTION, faults);
        let key = object.text("key", Some("Value"), &INI_KEY, faults);
        let separator = object.text("separator", Some(""), &SEPARATOR, faults);
        Some(RecordingsIni { section: section?.to_owned(), key: key?.to_owned(), separator: separator?.to_owned() })
    });
    config.monitored_servers = servers(&top, faults);
    Some(config)
}

impl Default for Timeouts {
    fn default() -> Timeouts {
        let mut timeouts =
            Timeouts { connected_s: 0, started_s: 0, keep_alive_s: 0, normal_shutdown_s: 0, abnormal_shutdown_s: 0 };
        for row in TIMEOUTS {
            *(row.field)(&mut timeouts) = row.bounds.default;
        }
        timeouts
    }
}

/// Whether one folder is the other or lies inside it, by their texts: links are the administrator's business. Retention
/// of footage deletes below the store path and must never reach the backups.
fn nested(a: &str, b: &str) -> bool {
    let path = |text: &str| PathBuf::from(if cfg!(windows) { text.to_lowercase() } else { text.to_owned() });
    let (a, b) = (path(a), path(b));
    // Empty: faulted already, and everything starts with it.
    a.is_absolute() && b.is_absolute() && (a.starts_with(&b) || b.starts_with(&a))
}

fn servers(top: &Object<'_>, faults: &mut Faults) -> Vec<MonitoredServer> {
    let at = At::Key(top.at, "monitored_servers");
    let list = top.list("monitored_servers", faults);
    if list.len() > MAX_SERVERS {
        faults.note(
            &at,
            top.map.get("monitored_servers"),
            format_args!("at most {MAX_SERVERS} servers"),
            format_args!("{} servers are more than the maximum of {MAX_SERVERS}", list.len()),
        );
        return Vec::new();
    }
    let mut servers = Vec::with_capacity(list.len());
    let mut ids = HashMap::with_capacity(list.len());
    let mut endpoints = HashMap::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let at = At::Item(&at, index);
        let Some(object) = Object::open(value, &at, SERVER_KEYS, faults) else { continue };
        let id = object.text("id", None, &ID, faults);
        if let Some(first) = id.and_then(|id| earlier(&mut ids, id.to_ascii_lowercase(), index)) {
            faults.wrong(
                &At::Key(&at, "id"),
                &object.map["id"],
                "unique without regard to case",
                format_args!("is the same as /monitored_servers/{first}/id, without regard to case"),
            );
        }
        // An id that is wrong has been faulted already; its name need not be given for that.
        let name = object.text("name", Some(id.unwrap_or_default()), &LINE, faults);
        let host = object.text("host", None, &HOST, faults);
        let port = object.number("port", SERVER_PORT, faults);
        let endpoint = host.zip(port).map(|(host, port)| (Host::of(host), port));
        if let Some(first) = endpoint.and_then(|endpoint| earlier(&mut endpoints, endpoint, index)) {
            faults.wrong(
                &At::Key(&at, "host"),
                &object.map["host"],
                "each host and port once",
                format_args!("is, with its port, the same as /monitored_servers/{first}/host"),
            );
        }
        let http_port = object.number("http_port", HTTP_PORT, faults);
        let priority = object.number("priority", PRIORITY, faults);
        let server = || {
            Some(MonitoredServer {
                id: id?.to_owned(),
                name: name?.to_owned(),
                host: host?.to_owned(),
                port: port?,
                http_port: http_port?,
                priority: priority?,
            })
        };
        servers.extend(server());
    }
    servers
}

/// A host as it is compared: two spellings of one address are one address.
#[derive(PartialEq, Eq, Hash)]
enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Host {
    fn of(text: &str) -> Host {
        text.parse().map_or_else(|_| Host::Name(text.to_ascii_lowercase()), |ip: IpAddr| Host::Ip(ip.to_canonical()))
    }
}

/// The index at which the key was seen before; else it is remembered with this one.
fn earlier<K: Eq + std::hash::Hash>(seen: &mut HashMap<K, usize>, key: K, index: usize) -> Option<usize> {
    match seen.entry(key) {
        Entry::Occupied(first) => Some(*first.get()),
        Entry::Vacant(free) => {
            free.insert(index);
            None
        }
    }
}

// ---- edits ----

/// A server that an edit names: `/<list>/<index>` of the edit is `item`, in which `value` is the id.
struct Named<'a> {
    list: &'static str,
    index: usize,
    value: &'a Value,
    item: &'a Value,
    found: bool,
}

impl Named<'_> {
    fn wrong(&self, edit: &At<'_>, allowed: &str, problem: impl fmt::Display, faults: &mut Faults) {
        let list = At::Key(edit, self.list);
        let item = At::Item(&list, self.index);
        let id = At::Key(&item, "id");
        faults.wrong(if self.list == "remove" { &item } else { &id }, self.value, allowed, problem);
    }
}

/// The document after an edit. With faults noted it is not to be used.
fn apply(config: &Config, edit: &Value, faults: &mut Faults) -> Option<Map<String, Value>> {
    let edit = Object::open(edit, &At::Root, EDIT_KEYS, faults)?;
    let mut document = match serde_json::to_value(config) {
        Ok(Value::Object(document)) => document,
        _ => unreachable!("a struct of text and numbers always becomes an object"),
    };
    set(&mut document, &edit, faults);

    let mut named: Vec<Named<'_>> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    let lists = ["remove", "change", "add"].map(|list| (list, edit.list(list, faults)));
    for (list, items) in lists {
        let list_at = At::Key(edit.at, list);
        for (index, item) in items.iter().enumerate() {
            let Some((id, value)) = id_of(list, item, &At::Item(&list_at, index), faults) else { continue };
            let this = Named { list, index, value, item, found: list == "add" };
            match earlier(&mut places, id, named.len()) {
                None => named.push(this),
                Some(first) => {
                    let Named { list, index, .. } = named[first];
                    this.wrong(
                        edit.at,
                        "each id once in an edit",
                        format_args!("is named by /{list}/{index} of this edit already"),
                        faults,
                    );
                }
            }
        }
    }

    let mut servers = Vec::with_capacity(config.monitored_servers.len());
    if let Some(Value::Array(old)) = document.remove("monitored_servers") {
        for (mut value, server) in old.into_iter().zip(&config.monitored_servers) {
            let place = places.get(server.id.as_str()).and_then(|place| named.get_mut(*place));
            if let Some(named) = place.filter(|named| named.list != "add") {
                named.found = true;
                match (&mut value, named.item) {
                    (Value::Object(server), Value::Object(change)) => merge(server, change, SERVER_KEYS),
                    _ => continue, // removed
                }
            }
            servers.push(value);
        }
    }
    for named in named.iter().filter(|named| !named.found) {
        let problem = "is not the id of a monitored server";
        named.wrong(edit.at, "the id of a monitored server, case matters", problem, faults);
    }
    // Not from `named`: an added server without an id is a fault of the resulting document.
    let [_, _, (_, added)] = lists;
    servers.extend_from_slice(added);
    document.insert("monitored_servers".to_owned(), Value::Array(servers));
    Some(document)
}

/// The id that an item of an edit's list names, as text and as value. What is added is checked later, with the resulting
/// document.
fn id_of<'a>(list: &str, item: &'a Value, at: &At<'_>, faults: &mut Faults) -> Option<(&'a str, &'a Value)> {
    let allowed = "the id of a monitored server";
    let id_at = At::Key(at, "id");
    let (at, value) = match (list, item) {
        ("remove", _) => (at, item),
        ("add", _) => return item.get("id").and_then(|value| Some((value.as_str()?, value))),
        (_, Value::Object(change)) => match change.get("id") {
            Some(value) => (&id_at, value),
            None => {
                faults.note(&id_at, None, allowed, "this key is required and missing");
                return None;
            }
        },
        _ => {
            faults.wrong(at, item, "an object", "is not an object");
            return None;
        }
    };
    let Value::String(id) = value else {
        faults.wrong(at, value, allowed, "is not a string");
        return None;
    };
    Some((id, value))
}

fn set(document: &mut Map<String, Value>, edit: &Object<'_>, faults: &mut Faults) {
    let at = At::Key(edit.at, "set");
    let Some(value) = edit.map.get("set") else { return };
    let Some(set) = Object::open(value, &at, KEYS, faults) else { return };
    for (key, value) in set.map {
        match (key.as_str(), value) {
            ("schema", _) => {
                faults.note(&At::Key(&at, key), Some(value), "absent", "the schema cannot be edited");
            }
            ("monitored_servers", _) => {
                let problem = "servers are edited with add, change and remove";
                faults.note(&At::Key(&at, key), Some(value), "absent", problem);
            }
            (object, Value::Object(changes)) if !keys_of(object).is_empty() => {
                let old = document.entry(object).or_insert_with(|| Map::new().into());
                if let Value::Object(old) = old {
                    merge(old, changes, keys_of(object));
                }
            }
            (_, Value::Null) => drop(document.remove(key)),
            _ => drop(document.insert(key.clone(), value.clone())),
        }
    }
}

/// Puts changes into an object. A `null` takes a known key away, which is its default; at an unknown one it stays, to be
/// faulted with the rest of the document.
fn merge(object: &mut Map<String, Value>, changes: &Map<String, Value>, known: &[&str]) {
    for (key, value) in changes {
        if value.is_null() && known.contains(&key.as_str()) {
            object.remove(key);
        } else {
            object.insert(key.clone(), value.clone());
        }
    }
}
