//! What the failover host does when the plugin asks: backups before the losses, takeovers and restores.
//!
//! A takeover starts a server process with the lost server's settings, read from its backup, which records to the store folder
//! and answers clients at the failover server's address; it is answered with success only after that process answers. A
//! restore stops it. Everything runs on the host's main thread, one job after another: stand-ins are bound to the life of the
//! thread that starts them. It never begins anything on its own.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use vms_failover_abi as abi;

use super::cast::{FAILOVER, Pace, Settings, member};
use super::clock::SimClock;
use super::failover::FailoverArgs;
use super::process::{Process, role};
use super::report::{Report, Reporter};
use super::server::{ServerArgs, Status};
use super::{backup, http};
use crate::plugin::{Caller, Operation};

/// How long the machine may take to start or stop a stand-in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Work for the main thread.
#[derive(Debug)]
pub enum Job {
    /// Fetch a server's settings and keep them, unless that was done.
    Backup {
        /// The server's id.
        server: String,
    },
    /// What the plugin asks for.
    Operation(Operation),
    /// The plugin has given an operation up: undo it.
    Over {
        /// Its number.
        op: u64,
    },
    /// End.
    Stop,
}

/// The keys of a request that this host goes by.
#[derive(Debug, Deserialize)]
struct Request {
    operation: String,
    server: Server,
    store_folder: PathBuf,
    client_communication: Option<Client>,
    backup: Option<Archive>,
    #[serde(default)]
    supersedes: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Server {
    id: String,
    port: u16,
}

#[derive(Debug, Deserialize)]
struct Client {
    address: Ipv4Addr,
}

#[derive(Debug, Deserialize)]
struct Archive {
    path: PathBuf,
    sha256: String,
}

/// The process that stands in for a server.
struct StandIn {
    op: u64,
    process: Process,
}

/// Does the jobs.
pub struct Performer {
    caller: Caller,
    clock: SimClock,
    folder: PathBuf,
    reporter: Reporter,
    stand_ins: HashMap<String, StandIn>,
}

impl Performer {
    /// A performer without stand-ins.
    #[must_use]
    pub fn new(caller: Caller, args: &FailoverArgs, reporter: Reporter) -> Self {
        Self { caller, clock: args.clock, folder: args.folder.clone(), reporter, stand_ins: HashMap::new() }
    }

    /// Does one job after another until told to stop; then no stand-in is left.
    pub fn work(&mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            match job {
                Job::Backup { server } => self.back_up(&server),
                Job::Operation(operation) => self.operate(&operation),
                Job::Over { op } => self.undo(&[op]),
                Job::Stop => break,
            }
        }
        self.stand_ins.clear();
    }

    fn back_up(&self, server: &str) {
        match self.try_back_up(server) {
            Ok(None) => {}
            Ok(Some(done)) => {
                let (path, sha256) = (done.path, done.manifest.sha256);
                self.reporter.say(Report::BackedUp { server: server.to_owned(), path, sha256 });
            }
            Err(e) => self.reporter.say(Report::Fault { text: format!("{server}: no backup: {e:#}") }),
        }
    }

    fn try_back_up(&self, server: &str) -> Result<Option<backup::Backup>> {
        let directory = self.folder.join("backups");
        if backup::newest(&directory, server).is_ok() {
            return Ok(None);
        }
        let address = member(server).context("not a monitored server")?.address;
        let port = self.port_of(server)?;
        let settings: Settings = serde_json::from_value(http::get(SocketAddrV4::new(address, port), "/settings")?)?;
        settings.check()?;
        ensure!(settings.id == server, "{address}:{port} says that it is {}", settings.id);
        backup::publish(&directory, &settings, self.clock.utc_ms(self.clock.now_ns())).map(Some)
    }

    /// The port that the plugin's configuration gives a server.
    fn port_of(&self, server: &str) -> Result<u16> {
        let config: serde_json::Value = serde_json::from_str(&self.caller.config()?)?;
        let servers = config["monitored_servers"].as_array().into_iter().flatten();
        let port = servers.filter(|s| s["id"] == server).find_map(|s| s["port"].as_u64());
        port.and_then(|port| u16::try_from(port).ok()).with_context(|| format!("{server} has no port"))
    }

    fn operate(&mut self, operation: &Operation) {
        let request: Request = match serde_json::from_str(&operation.json) {
            Ok(request) => request,
            Err(e) => return self.complete(operation, abi::VMSF_OUTCOME_FAILED, Some(&format!("bad request: {e}"))),
        };
        let (op, server) = (operation.id, request.server.id.clone());
        self.reporter.say(Report::Asked { op, operation: request.operation.clone(), server: server.clone() });
        let outcome = match operation.kind {
            abi::VMSF_OP_TAKEOVER => self.take_over(op, &request),
            abi::VMSF_OP_RESTORE => self.restore(&request),
            _ => return self.complete(operation, abi::VMSF_OUTCOME_UNSUPPORTED, None),
        };
        let error = outcome.err().map(|e| format!("{e:#}"));
        // Reported first: what follows from the answer comes after it.
        self.reporter.say(Report::Answered { op, operation: request.operation, server, error: error.clone() });
        let code = if error.is_none() { abi::VMSF_OUTCOME_OK } else { abi::VMSF_OUTCOME_FAILED };
        self.complete(operation, code, error.as_deref());
    }

    fn complete(&mut self, operation: &Operation, outcome: u32, error: Option<&str>) {
        let json = error.map(|text| serde_json::json!({"error": text}).to_string()).unwrap_or_default();
        if let Err(e) = self.caller.complete(operation.id, outcome, &json, &[]) {
            // Given up meanwhile: then nothing of it may stay.
            self.undo(&[operation.id]);
            self.reporter.say(Report::Fault { text: e.to_string() });
        }
    }

    fn undo(&mut self, ops: &[u64]) {
        self.stand_ins.retain(|_, stand_in| !ops.contains(&stand_in.op));
    }

    fn take_over(&mut self, op: u64, request: &Request) -> Result<()> {
        self.undo(&request.supersedes);
        let server = &request.server.id;
        let (backup, mut settings) = self.settings_from_backup(request)?;
        let client = request.client_communication.as_ref().context("no address for clients")?;
        settings.address = client.address;
        settings.port = request.server.port;
        settings.recordings.clone_from(&request.store_folder);
        let path = self.folder.join("active").join(format!("{server}.json"));
        std::fs::write(&path, serde_json::to_vec_pretty(&settings)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let process = self.start(&settings, path)?;
        let (pid, address, store) = (process.pid(), settings.clients(), settings.recordings.clone());
        self.stand_ins.insert(server.clone(), StandIn { op, process });
        self.reporter.say(Report::StandsIn { server: server.clone(), pid, address, backup, store });
        Ok(())
    }

    /// The settings in the backup that the request names, else in the newest one.
    fn settings_from_backup(&self, request: &Request) -> Result<(PathBuf, Settings)> {
        let server = &request.server.id;
        let (path, sha256) = match &request.backup {
            Some(archive) => (archive.path.clone(), archive.sha256.clone()),
            None => {
                let newest = backup::newest(&self.folder.join("backups"), server)?;
                (newest.path, newest.manifest.sha256)
            }
        };
        let settings = backup::open(&path, &sha256, server)?;
        Ok((path, settings))
    }

    /// Starts a stand-in and waits until it answers as the server it stands in for.
    fn start(&self, settings: &Settings, path: PathBuf) -> Result<Process> {
        let log = self.folder.join(format!("stand-in-{}.log", settings.id));
        let pace = Pace::at(self.clock.speed());
        let args = ServerArgs {
            parent: std::process::id(),
            settings: path,
            clock: self.clock,
            segment_ms: pace.segment_ms,
            keep_alive_ms: pace.keep_alive_every_ms,
            recorder: FAILOVER.to_owned(),
            report_to: None,
        };
        let mut process = Process::start(role("demo-server", &log)?.args(args.words()))?;
        let until = Instant::now() + PATIENCE;
        loop {
            if process.ended()?.is_some() {
                bail!("the stand-in has ended: {}", last_words(&log));
            }
            match answers(settings) {
                Ok(()) => return Ok(process),
                Err(e) if Instant::now() > until => return Err(e.context("the stand-in does not answer")),
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }

    fn restore(&mut self, request: &Request) -> Result<()> {
        // Without a stand-in there is nothing to give back but the role.
        let Some(mut stand_in) = self.stand_ins.remove(&request.server.id) else { return Ok(()) };
        let status = stand_in.process.stop(PATIENCE)?.ok_or_else(|| anyhow!("the stand-in had to be killed"))?;
        ensure!(status.success(), "the stand-in ended with {status}");
        Ok(())
    }
}

/// Whether a server with these settings answers clients with its name and cameras.
fn answers(settings: &Settings) -> Result<()> {
    let status: Status = serde_json::from_value(http::get(settings.clients(), "/status")?)?;
    let same = status.server == settings.id
        && status.cameras.iter().map(|camera| &camera.id).eq(settings.cameras.iter().map(|camera| &camera.id));
    ensure!(same, "{} answers as {}", settings.clients(), status.server);
    Ok(())
}

/// The last line of a role's log: why it ended.
#[must_use]
pub fn last_words(log: &Path) -> String {
    let text = std::fs::read_to_string(log).unwrap_or_default();
    text.lines().rev().find(|line| !line.is_empty()).unwrap_or("it left no word").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_read_with_and_without_a_backup_and_unknown_keys_are_ignored() {
        let text = r#"{"op":17,"operation":"takeover","actor":"automatic","server":{"id":"arena","name":"Arena","port":51410},
            "supersedes":[9],"store_folder":"/store/arena","client_communication":{"address":"127.0.0.20"},"new":1}"#;
        let request: Request = serde_json::from_str(text).unwrap();
        assert_eq!((request.server.id.as_str(), request.server.port), ("arena", 51410));
        assert_eq!(request.supersedes, [9]);
        assert!(request.backup.is_none());
        let text = text.replace("\"new\":1", r#""backup":{"path":"/b","sha256":"00"}"#);
        let request: Request = serde_json::from_str(&text).unwrap();
        assert_eq!(request.backup.unwrap().path, PathBuf::from("/b"));
    }

    #[test]
    fn last_words_are_the_last_line_that_says_something() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), "one\ntwo\n\n").unwrap();
        assert_eq!(last_words(file.path()), "two");
        assert_eq!(last_words(Path::new("/nowhere/at/all")), "it left no word");
    }
}
