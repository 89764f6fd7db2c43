//! The walk over a document: every key with its kind, default and bounds, in the order of the fields of [`Config`].
//!
//! What it does: makes a [`Value`] a [`Config`], or notes every fault of it. What it must never do: stop at the first fault,
//! or let one fault bring another. Who calls it: `Config::parse` and `Config::check`, through which every edit goes too.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::faults::{At, Faults};
use super::keys::{KEYS, SERVER_KEYS};
use super::names::{HOST, Host, ID, INI_KEY, INI_SECTION, LINE, PATH, SEPARATOR, TIME_OF_DAY, earlier, nested};
use super::object::{Bounds, Object, bounds};
use super::{
    ClientCommunication, Config, MAX_SERVERS, MonitoredServer, OpenApi, RecordingsIni, SCHEMA, ServerCommunication,
    Timeouts,
};

const SERVER_PORT: Bounds<u16> = bounds(51410, 1, u16::MAX);
const HTTP_PORT: Bounds<u16> = bounds(443, 1, u16::MAX);
const PRIORITY: Bounds<u32> = bounds(100, 1, 1_000_000);

/// Walks a document. After a fault what it returns is a stand-in, which [`Faults::finish`] throws away.
pub(super) fn walk(document: &Value, faults: &mut Faults) -> Option<Config> {
    let top = Object::open(document, &At::Root, KEYS, faults)?;
    schema(&top, faults);
    let (backup_directory, store_path) = folders(&top, faults);
    Some(Config {
        schema: SCHEMA,
        backup_directory,
        store_path,
        server_communication: top.child("server_communication", faults, server_communication),
        client_communication: top.child("client_communication", faults, client_communication),
        open_api: top.child("open_api", faults, open_api),
        daily_backup: top.flag("daily_backup", true, faults),
        backup_time_utc: owned(top.text("backup_time_utc", Some("02:00"), &TIME_OF_DAY, faults)),
        automatic_takeover: top.flag("automatic_takeover", true, faults),
        automatic_restore: top.flag("automatic_restore", false, faults),
        timeouts: top.child("timeouts", faults, |object, faults| Some(timeouts(object, faults))).unwrap_or_default(),
        takeover_timeout_s: number(&top, "takeover_timeout_s", bounds(600, 10, 3600), faults),
        restore_timeout_s: number(&top, "restore_timeout_s", bounds(600, 10, 3600), faults),
        backup_timeout_s: number(&top, "backup_timeout_s", bounds(600, 10, 3600), faults),
        drill_timeout_s: number(&top, "drill_timeout_s", bounds(600, 10, 3600), faults),
        operation_timeout_s: number(&top, "operation_timeout_s", bounds(60, 10, 3600), faults),
        restore_stable_s: number(&top, "restore_stable_s", bounds(30, 0, 3600), faults),
        pause_tolerance_s: number(&top, "pause_tolerance_s", bounds(2, 1, 60), faults),
        backups_kept: number(&top, "backups_kept", bounds(7, 1, 1000), faults),
        recordings_ini: top.child("recordings_ini", faults, recordings_ini),
        monitored_servers: servers(&top, faults),
    })
}

/// A number of the document, or a stand-in after a fault.
fn number(object: &Object<'_>, key: &str, bounds: Bounds<u32>, faults: &mut Faults) -> u32 {
    object.number(key, bounds, faults).unwrap_or_default()
}

/// A text of the document, or a stand-in after a fault.
fn owned(text: Option<&str>) -> String {
    text.unwrap_or_default().to_owned()
}

fn schema(top: &Object<'_>, faults: &mut Faults) {
    match top.map.get("schema") {
        None => faults.missing(&At::Key(top.at, "schema"), SCHEMA),
        Some(value) if value.as_u64() == Some(SCHEMA.into()) => {}
        Some(_) => top.wrong("schema", SCHEMA, "is not a schema of this version", faults),
    }
}

/// The folder of the backups and that of the video, which must lie apart.
fn folders(top: &Object<'_>, faults: &mut Faults) -> (String, String) {
    let backups = top.text("backup_directory", None, &PATH, faults);
    let store = top.text("store_path", None, &PATH, faults);
    if backups.zip(store).is_some_and(|(backups, store)| nested(backups, store)) {
        top.wrong(
            "store_path",
            "a folder that is not backup_directory, not inside it and not around it",
            "and backup_directory are the same, or one is inside the other",
            faults,
        );
    }
    (owned(backups), owned(store))
}

fn server_communication(object: &Object<'_>, faults: &mut Faults) -> Option<ServerCommunication> {
    let address = object.text("address", None, &HOST, faults);
    let port = object.number("port", SERVER_PORT, faults);
    Some(ServerCommunication { address: address?.to_owned(), port: port? })
}

fn client_communication(object: &Object<'_>, faults: &mut Faults) -> Option<ClientCommunication> {
    Some(ClientCommunication { address: object.text("address", None, &HOST, faults)?.to_owned() })
}

fn open_api(object: &Object<'_>, faults: &mut Faults) -> Option<OpenApi> {
    let host = object.text("host", None, &HOST, faults);
    let port = object.number("port", HTTP_PORT, faults);
    Some(OpenApi { host: host?.to_owned(), port: port? })
}

fn timeouts(object: &Object<'_>, faults: &mut Faults) -> Timeouts {
    Timeouts {
        connected_s: number(object, "connected_s", bounds(300, 300, 3600), faults),
        started_s: number(object, "started_s", bounds(300, 300, 3600), faults),
        keep_alive_s: number(object, "keep_alive_s", bounds(30, 30, 300), faults),
        normal_shutdown_s: number(object, "normal_shutdown_s", bounds(900, 300, 3600), faults),
        abnormal_shutdown_s: number(object, "abnormal_shutdown_s", bounds(300, 300, 3600), faults),
    }
}

impl Default for Timeouts {
    /// What an empty object means.
    fn default() -> Timeouts {
        timeouts(&Object { at: &At::Root, map: &Map::new() }, &mut Faults::default())
    }
}

fn recordings_ini(object: &Object<'_>, faults: &mut Faults) -> Option<RecordingsIni> {
    let section = object.text("section", None, &INI_SECTION, faults);
    let key = object.text("key", Some("Value"), &INI_KEY, faults);
    let separator = object.text("separator", Some(""), &SEPARATOR, faults);
    Some(RecordingsIni { section: section?.to_owned(), key: key?.to_owned(), separator: separator?.to_owned() })
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
    let mut seen = Seen { ids: HashMap::with_capacity(list.len()), endpoints: HashMap::with_capacity(list.len()) };
    let mut servers = Vec::with_capacity(list.len());
    for (index, value) in list.iter().enumerate() {
        let at = At::Item(&at, index);
        let object = Object::open(value, &at, SERVER_KEYS, faults);
        servers.extend(object.and_then(|object| server(&object, index, &mut seen, faults)));
    }
    servers
}

/// What is taken by the servers so far, with the index of each: ids in lower case, and addresses.
struct Seen {
    ids: HashMap<String, usize>,
    endpoints: HashMap<(Host, u16), usize>,
}

fn server(object: &Object<'_>, index: usize, seen: &mut Seen, faults: &mut Faults) -> Option<MonitoredServer> {
    let id = object.text("id", None, &ID, faults);
    if let Some(first) = id.and_then(|id| earlier(&mut seen.ids, id.to_ascii_lowercase(), index)) {
        let problem = format_args!("is the same as /monitored_servers/{first}/id, without regard to case");
        object.wrong("id", "unique without regard to case", problem, faults);
    }
    // An id that is wrong has been faulted already; its name need not be given for that.
    let name = object.text("name", Some(id.unwrap_or_default()), &LINE, faults);
    let host = object.text("host", None, &HOST, faults);
    let port = object.number("port", SERVER_PORT, faults);
    let endpoint = host.zip(port).map(|(host, port)| (Host::of(host), port));
    if let Some(first) = endpoint.and_then(|endpoint| earlier(&mut seen.endpoints, endpoint, index)) {
        let problem = format_args!("is, with its port, the same as /monitored_servers/{first}/host");
        object.wrong("host", "each host and port once", problem, faults);
    }
    let http_port = object.number("http_port", HTTP_PORT, faults);
    let priority = object.number("priority", PRIORITY, faults);
    Some(MonitoredServer {
        id: id?.to_owned(),
        name: name?.to_owned(),
        host: host?.to_owned(),
        port: port?,
        http_port: http_port?,
        priority: priority?,
    })
}
