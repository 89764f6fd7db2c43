//! A complete host: joins the cluster, is authorized at a server and backs it up, takes it over when it falls silent and gives it back. It
//! drives the plugin in virtual time, so that all this takes milliseconds. A real host lets the plugin run its own thread: flags 0, no
//! wake, no poll. The two programs in `bin` differ only in how they come to the entry function.

mod plugin;

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::mpsc::Receiver;
use std::{env, io};

use plugin::{Plugin, Told, negotiate};
use serde_json::{Value, json};
use vms_failover_abi as abi;

const SECOND: u64 = 1_000_000_000;

/// Runs the host; `entry` opens the library.
pub fn main(entry: fn(&Path) -> Result<abi::vmsf_entry_fn, String>) -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let outcome = match &arguments[..] {
        [library, config, directory] => entry(Path::new(library)).and_then(|entry| story(entry, config, directory)),
        _ => Err("usage: failover_host <plugin library> <configuration file> <absolute scratch directory>".to_owned()),
    };
    outcome.map_or_else(
        |why| {
            eprintln!("failed: {why}");
            ExitCode::FAILURE
        },
        |()| ExitCode::SUCCESS,
    )
}

fn story(entry: abi::vmsf_entry_fn, config: &str, directory: &str) -> Result<(), String> {
    let text = fs::read_to_string(config).map_err(|error| format!("{config}: {error}"))?;
    let config: Value = serde_json::from_str(&text).map_err(|error| format!("{config}: {error}"))?;
    let options = json!({"schema": 1, "state_directory": format!("{directory}/state"), "config": config});
    let (plugin, told) = Plugin::create(negotiate(entry)?, "failover_host.rs", abi::VMSF_HOST_DRIVES, &options)?;
    let backups = format!("{directory}/b");
    // The plugin does not make it: what is missing may be a mount.
    fs::create_dir(&backups).map_err(|error| format!("{backups}: {error}"))?;
    plugin.edit(&json!({"set": {"backup_directory": backups, "store_path": format!("{directory}/v")}}))?;
    plugin.start()?;
    let server = plugin.next_server(0)?; // the first of the configuration
    let mut host = Host { plugin, told, begun: None, now_ns: SECOND };
    host.prepare(server)?;
    host.watch(server)?;
    host.plugin.stop(1000)
} // the plugin is destroyed here, which calls `release`

/// The plugin, what it tells, and the virtual clock.
struct Host {
    plugin: Plugin,
    told: Receiver<Told>,
    /// Operation and kind, begun and not answered, with the request.
    begun: Option<(u64, u32, Value)>,
    now_ns: u64,
}

impl Host {
    /// Once for all: it is kept in the state directory.
    fn prepare(&mut self, server: abi::vmsf_server) -> Result<(), String> {
        let mut password = *b"admin:1234"; // from a person; the plugin wipes its copies, the host its own
        self.plugin.join_cluster(&json!({"host": "management.example"}), &password)?;
        self.run(1)?;
        self.plugin.authorize(server, &password)?;
        self.run(1)?;
        password.fill(0); // better with the crate zeroize, which the compiler never leaves out
        self.plugin.backup(server)?;
        self.run(1)
    }

    fn watch(&mut self, server: abi::vmsf_server) -> Result<(), String> {
        self.plugin.cluster(true)?; // at every start, and when it changes
        self.run(1)?;
        self.hear(server, abi::VMSF_NOTIFY_CONNECTED, 1)?;
        self.hear(server, abi::VMSF_NOTIFY_STARTUP, 1)?;
        for _ in 0..3 {
            self.hear(server, abi::VMSF_NOTIFY_KEEP_ALIVE, 10)?;
        }
        self.run(60)?; // silence: the server fails and is taken over
        self.hear(server, abi::VMSF_NOTIFY_STARTUP, 1)?;
        self.hear(server, abi::VMSF_NOTIFY_KEEP_ALIVE, 1)?;
        self.plugin.restore(server)?;
        self.run(1)?;
        self.plugin.deauthorize(server)?; // when it is watched no longer
        self.run(1)
    }

    fn hear(&mut self, server: abi::vmsf_server, kind: u32, seconds: u64) -> Result<(), String> {
        self.plugin.notify(server, kind, self.now_ns)?;
        self.run(seconds)
    }

    /// Answers what was begun, else moves the clock to the next work.
    fn run(&mut self, seconds: u64) -> Result<(), String> {
        let end = self.now_ns + seconds * SECOND;
        let mut next = 0;
        while next <= end {
            next = self.plugin.poll(self.now_ns, 1_767_225_600_000 + (self.now_ns / 1_000_000) as i64)?;
            self.listen();
            if let Some((operation, kind, request)) = self.begun.take() {
                self.perform(operation, kind, &request)?;
                next = 0;
            } else if next > self.now_ns && next <= end {
                self.now_ns = next;
            }
        }
        self.now_ns = end;
        Ok(())
    }

    fn listen(&mut self) {
        for told in self.told.try_iter() {
            match told {
                Told::Begin { operation, kind, request } => self.begun = Some((operation, kind, request)),
                Told::Over => self.begun = None, // a real host stops and undoes it
            }
        }
    }

    /// A real host logs in, revokes, takes over and restores on threads of its own.
    fn perform(&self, operation: u64, kind: u32, request: &Value) -> Result<(), String> {
        let written = match kind {
            abi::VMSF_OP_BACKUP => write_archive(request["file"].as_str().unwrap_or_default()),
            _ => Ok(()),
        };
        let (outcome, why) = match written {
            Err(error) => (abi::VMSF_OUTCOME_FAILED, format!("the archive cannot be written: {error}")),
            Ok(()) if kind <= abi::VMSF_OP_JOIN_CLUSTER => (abi::VMSF_OUTCOME_OK, String::new()),
            Ok(()) => (abi::VMSF_OUTCOME_UNSUPPORTED, String::new()),
        };
        // The token comes with every later operation on the server.
        let token: &[u8] = if kind == abi::VMSF_OP_AUTHORIZE { b"session 1" } else { b"" };
        self.plugin.complete(operation, outcome, &why, token)
    }
}

fn write_archive(path: &str) -> io::Result<()> {
    let mut file = File::create(path)?;
    file.write_all(b"settings")?;
    file.sync_all() // on disk before the host says that it is
}
