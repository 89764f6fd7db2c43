//! A life: a real host process with the plugin in worker mode that does everything at once, until it is killed.
//!
//! One thread acts: it reports messages, calls and configures at random, by the seed; another performs what the plugin asks for (`work`).
//! Started by the storm, which reads its facts and ends it; it also ends when the storm does.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use serde_json::{Value, json};
use vms_failover_abi as abi;

use super::fact::Fact;
use super::work::{Work, credentials};
use super::{KEPT, last};
use crate::plugin::{CallError, Caller, CreateOptions, Event, Host, Instance, Mode, Operation, Plugin};

/// Older than the keep-alive timeout: a server last heard then has failed.
const LONG_AGO_NS: u64 = 31_000_000_000;
/// Nobody lets a life go on for so long.
const OVERLOOKED: Duration = Duration::from_secs(60);
const PAGE: u32 = 1_000;
const JOIN: &str = "join_cluster";

/// Arguments of a life, given by the storm.
#[derive(Debug, Clone, clap::Args)]
pub struct LifeArgs {
    /// Where `state` and `backups` are.
    #[arg(long)]
    pub folder: PathBuf,
    /// What it does.
    #[arg(long)]
    pub seed: u64,
    /// The plugin library.
    #[arg(long = "library")]
    pub plugin: PathBuf,
    /// The last one: brings everything to its end, tells the whole log, and ends.
    #[arg(long)]
    pub last: bool,
    /// A configuration was accepted before: it must be there.
    #[arg(long)]
    pub configured: bool,
    /// Servers are restored automatically.
    #[arg(long)]
    pub restores: bool,
}

/// Tells the storm.
pub fn tell(fact: &Fact) {
    let mut line = serde_json::to_string(fact).unwrap_or_default();
    line.push('\n');
    // Nobody reads any more: the storm is over.
    if io::stdout().lock().write_all(line.as_bytes()).is_err() {
        std::process::exit(1);
    }
}

/// A panic of another thread is told where it happens.
pub fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What callbacks and the host's threads share.
struct Shared {
    work: Work,
    caller: OnceLock<Caller>,
}

struct Told(Arc<Shared>);

impl Host for Told {
    fn event(&self, event: Event) {
        let over = (event.kind == abi::VMSF_EVENT_OPERATION_OVER).then(|| {
            let entry: Value = serde_json::from_str(&event.json).unwrap_or_default();
            entry["details"]["op"].as_u64()
        });
        tell(&Fact::Event { seq: event.seq, json: event.json });
        over.flatten().into_iter().for_each(|op| self.0.work.give_up(op));
    }

    fn begin(&self, operation: Operation) {
        self.0.work.begin(&operation, self.0.caller.get());
    }
}

/// A monitored server: its id, and the host it has.
pub type Place = (String, String);

fn configuration(args: &LifeArgs, servers: &[Place]) -> Value {
    let (folder, server) = (&args.folder, |(id, host): &Place| json!({ "id": id, "host": host }));
    json!({
        "schema": 1, "backup_directory": folder.join("backups"), "store_path": folder.join("video"),
        "takeover_timeout_s": 3600, "restore_timeout_s": 3600, "backup_timeout_s": 3600, "operation_timeout_s": 3600,
        "daily_backup": false, "backups_kept": KEPT, "automatic_restore": args.restores, "restore_stable_s": 0,
        "monitored_servers": servers.iter().map(server).collect::<Vec<_>>(),
    })
}

/// What makes the one list of servers the other.
fn edit(before: &[Place], after: &[Place]) -> Value {
    let server = |(id, host): &Place| json!({ "id": id, "host": host });
    let has = |all: &[Place], id: &String| all.iter().any(|(other, _)| other == id);
    let (changed, added): (Vec<&Place>, Vec<&Place>) =
        after.iter().filter(|place| !before.contains(place)).partition(|(id, _)| has(before, id));
    let removed: Vec<&String> = before.iter().map(|(id, _)| id).filter(|id| !has(after, id)).collect();
    let list = |places: Vec<&Place>| places.into_iter().map(server).collect::<Vec<_>>();
    json!({ "add": list(added), "change": list(changed), "remove": removed })
}

/// The servers of the storm; the last one comes and goes.
pub const ALL: [&str; 4] = ["a", "b", "c", "d"];
/// This one moves to another address now and then.
const MOVES: &str = "c";

/// `id@host`, as the facts have it.
fn named(servers: &[Place]) -> Vec<String> {
    servers.iter().map(|(id, host)| format!("{id}@{host}")).collect()
}

/// The place of a server, at its first or its second address.
fn place(id: &str, moved: bool) -> Place {
    (id.to_owned(), format!("{id}{}.example", if moved { "2" } else { "" }))
}

/// Runs one life.
#[must_use]
pub fn run(args: &LifeArgs) -> u8 {
    // The storm holds the other end: nobody outlives it.
    std::thread::spawn(|| {
        let _ = io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(1);
    });
    match live(args) {
        Ok(()) => super::OK,
        Err(error) => {
            tell(&Fact::Fault { text: format!("{error:#}") });
            super::MISSED
        }
    }
}

fn live(args: &LifeArgs) -> Result<()> {
    let plugin = Plugin::load(&args.plugin)?;
    let shared = Arc::new(Shared { work: Work::new(args.last), caller: OnceLock::new() });
    let create = |config| {
        let options = CreateOptions::new(args.folder.join("state"), config);
        Instance::create(&plugin, Mode::Worker, &options, Box::new(Told(Arc::clone(&shared))))
    };
    let first: Vec<Place> = ALL[..3].iter().map(|id| place(id, false)).collect();
    let mut instance = match create(None) {
        // Killed before the first configuration was kept.
        Err(error) if error.code == abi::VMSF_ERR_CONFIG && !args.configured => {
            create(Some(configuration(args, &first)))?
        }
        created => created?,
    };
    let _ = shared.caller.set(instance.caller());
    let mut doer = Doer::new(&instance, args)?;
    tell(&Fact::Started { servers: named(&doer.servers), last_seq: last_seq(&instance)? });
    instance.start()?;
    tell_status(&instance)?;
    let (caller, rng) = (instance.caller(), Rng::with_seed(!args.seed));
    std::thread::scope(|scope| {
        let work = &shared.work;
        scope.spawn(move || work.perform(&caller, rng));
        let done = if args.last { last::bring_to_an_end(&mut doer, &args.folder) } else { act(&mut doer, args.seed) };
        work.end();
        done
    })?;
    tell_status(&instance)?;
    instance.stop(10_000)?;
    tell_log(&instance)?;
    check_callbacks(&instance)?;
    instance.destroy()?;
    tell(&Fact::Ended {});
    Ok(())
}

/// The plugin goes on where a callback panics, so nobody else would tell of it.
fn check_callbacks(instance: &Instance) -> Result<()> {
    instance.host_panic().map_or(Ok(()), |panic| bail!("the host has panicked inside a callback: {panic}"))
}

/// The status as JSON.
pub fn status(caller: &Caller) -> Result<Value> {
    Ok(serde_json::from_str(&caller.status(0)?)?)
}

fn tell_status(instance: &Instance) -> Result<()> {
    let status = status(instance)?;
    let servers = status["servers"].as_array().context("a status without servers")?.iter();
    let authorized = servers.filter(|server| server["authorized"] == true).filter_map(|server| server["id"].as_str());
    let authorized = authorized.map(str::to_owned).collect();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let queue = status["queue"].as_array().context("a status without a queue")?.iter().filter_map(text).collect();
    let holder = text(&status["holder"]);
    tell(&Fact::Found { joined: status["cluster"]["joined"] == true, authorized, holder, queue });
    Ok(())
}

fn last_seq(instance: &Instance) -> Result<u64> {
    let page: Value = serde_json::from_str(&instance.log(1, 1)?)?;
    page["last_seq"].as_u64().context("a log without its last number")
}

/// The whole stored log.
fn tell_log(instance: &Instance) -> Result<()> {
    let mut since = 0;
    loop {
        let page: Value = serde_json::from_str(&instance.log(since, PAGE)?)?;
        let entries = page["entries"].as_array().context("a page without entries")?;
        entries.iter().for_each(|entry| tell(&Fact::Logged { json: entry.to_string() }));
        match page["next_seq"].as_u64() {
            Some(next) if !entries.is_empty() && next > since => since = next,
            _ => return Ok(()),
        }
    }
}

/// Calls and configures, and tells of it before and after.
pub struct Doer<'a> {
    /// The instance.
    pub instance: &'a Instance,
    args: &'a LifeArgs,
    calls: u32,
    configurations: u32,
    servers: Vec<Place>,
}

impl<'a> Doer<'a> {
    fn new(instance: &'a Instance, args: &'a LifeArgs) -> Result<Self> {
        let config: Value = serde_json::from_str(&instance.config()?)?;
        let servers = config["monitored_servers"].as_array().context("no servers")?.iter();
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let servers = servers.map(|server| (text(&server["id"]), text(&server["host"]))).collect();
        Ok(Self { instance, args, calls: 0, configurations: 0, servers })
    }

    /// Makes a call, for a server or, where its id is "", for none. A server that is not there is called nothing.
    ///
    /// # Errors
    /// As the plugin says.
    pub fn call(&mut self, call: &str, id: &str) -> Result<(), CallError> {
        let server = if id.is_empty() { 0 } else { self.instance.server(id)? };
        self.calls += 1;
        let actor = format!("{:x}-{}", self.args.seed, self.calls);
        tell(&Fact::Calling { call: call.into(), server: id.into(), actor: actor.clone() });
        let result = self.make(call, (id, server), &actor);
        tell(&match &result {
            Ok(request) => Fact::Accepted { actor, request: *request },
            Err(error) => Fact::Refused { actor, error: error.name.clone() },
        });
        result.map(drop)
    }

    fn make(&self, call: &str, (id, server): (&str, u64), actor: &str) -> Result<Option<u64>, CallError> {
        let by = json!({ "actor": actor }).to_string();
        let instance = self.instance;
        match call {
            "takeover" => instance.takeover(server, &by).map(Some),
            "restore" => instance.restore(server, &by).map(Some),
            "authorize" => instance.authorize(server, &by, &credentials(id, actor)).map(Some),
            "deauthorize" => instance.deauthorize(server, &by).map(Some),
            "backup" => instance.backup(server, &by).map(Some),
            "backup_all" => instance.backup_all(&by).map(Some),
            JOIN => {
                let through = json!({ "actor": actor, "host": "management.example" }).to_string();
                instance.join_cluster(&through, &credentials(id, actor)).map(Some)
            }
            "join" => instance.cluster(true, &by).map(|()| None),
            "leave" => instance.cluster(false, &by).map(|()| None),
            _ => instance.cancel(server, &by).map(|()| None),
        }
    }

    /// Gives a configuration, whole or as an edit in turn; whether it was accepted.
    pub fn configure(&mut self, servers: Vec<Place>) -> bool {
        tell(&Fact::Configuring { servers: named(&servers) });
        self.configurations += 1;
        let given = if self.configurations.is_multiple_of(2) {
            self.instance.edit(&edit(&self.servers, &servers).to_string(), false)
        } else {
            self.instance.configure(&configuration(self.args, &servers).to_string(), false)
        };
        let accepted = given.is_ok();
        tell(&Fact::Configured { accepted });
        // Servers that the host works for stay as they are; nothing else is wrong with what is given.
        if let Err(error) = given.as_ref()
            && error.code != abi::VMSF_ERR_CONFIG
        {
            tell(&Fact::Fault { text: format!("a configuration was refused: {error}") });
        }
        if accepted {
            self.servers = servers;
        }
        accepted
    }

    /// Whether all servers are there.
    pub fn has_all(&self) -> bool {
        self.servers.len() == ALL.len()
    }

    /// All servers, each where it is.
    pub fn with_all(&self) -> Vec<Place> {
        let here = |id: &&str| self.servers.iter().find(|(known, _)| known == id).cloned();
        ALL.iter().map(|id| here(id).unwrap_or_else(|| place(id, false))).collect()
    }

    /// The server that comes and goes does, or the one that moves does.
    fn configure_anew(&mut self, comes_or_goes: bool) {
        let mut servers = self.with_all();
        if comes_or_goes && self.has_all() {
            servers.pop();
        } else if !comes_or_goes {
            let is_moved = servers.contains(&place(MOVES, true));
            servers.iter_mut().filter(|(id, _)| id == MOVES).for_each(|it| *it = place(MOVES, !is_moved));
            servers.truncate(self.servers.len());
        }
        self.configure(servers);
    }
}

/// Does one thing after another, until it is killed.
fn act(doer: &mut Doer<'_>, seed: u64) -> Result<()> {
    let mut rng = Rng::with_seed(seed);
    let began = Instant::now();
    while began.elapsed() < OVERLOOKED {
        check_callbacks(doer.instance)?;
        let id = ALL[rng.usize(0..ALL.len())];
        // What is refused, and whether it may be, is the checker's to say.
        match rng.u32(0..100) {
            0..14 => _ = doer.call("takeover", id),
            14..25 => _ = doer.call("restore", id),
            25..30 => _ = doer.call("cancel", id),
            30..42 => _ = doer.call("authorize", id),
            42..47 => _ = doer.call("deauthorize", id),
            47..62 => _ = doer.call("backup", id),
            62..65 => _ = doer.call("backup_all", ""),
            65..69 => _ = doer.call(JOIN, ""),
            69..73 => _ = doer.call("join", ""),
            73..74 => _ = doer.call("leave", ""),
            74..85 => report(doer.instance, id, rng.u8(0..4) == 0)?,
            85..90 => doer.configure_anew(rng.bool()),
            _ => std::thread::sleep(Duration::from_micros(rng.u64(0..2_000))),
        }
    }
    bail!("nobody killed it")
}

/// A message of a server, heard just now or so long ago that it has failed since.
fn report(instance: &Instance, id: &str, long_ago: bool) -> Result<()> {
    let Ok(server) = instance.server(id) else { return Ok(()) };
    let at = if long_ago { instance.now_ns()?.saturating_sub(LONG_AGO_NS).max(1) } else { 0 };
    tell(&Fact::Heard { server: id.into() });
    // A list that is full says so; the newest is kept.
    let _ = instance.notify(server, abi::VMSF_NOTIFY_KEEP_ALIVE, at);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_edit_says_only_what_is_different() {
        let before: Vec<Place> = ["a", "c"].map(|id| place(id, false)).into();
        let after = vec![place("c", true), place("d", false)];
        let expected = json!({
            "add": [{ "id": "d", "host": "d.example" }], "change": [{ "id": "c", "host": "c2.example" }], "remove": ["a"]
        });
        assert_eq!(edit(&before, &after), expected);
        assert_eq!(edit(&after, &after), json!({ "add": [], "change": [], "remove": [] }));
    }
}
