//! What the failover host does when the plugin asks: log in at servers, fetch their settings, take them over, give them back.
//!
//! A takeover starts a server process with the lost server's settings, read from its backup, which records to the store folder
//! and answers clients at the failover server's address; it is answered with success only after that process answers. A
//! restore stops it. Everything runs on the host's main thread, one job after another: stand-ins are bound to the life of the
//! thread that starts them. On its own it only has the plugin begin what an operator would: let the failover server in, and
//! take the first backup.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::path::{Path, PathBuf};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use serde::Deserialize;
use vms_failover_abi as abi;

use super::archive::{self, Archive};
use super::cast::{FAILOVER, Pace, Settings, credentials};
use super::clock::SimClock;
use super::failover::FailoverArgs;
use super::http;
use super::process::{Process, role};
use super::report::{Report, Reporter};
use super::server::{ServerArgs, Status};
use crate::plugin::{CallError, Caller, Operation, Secret};

/// How long the machine may take to start or stop a stand-in.
const PATIENCE: Duration = Duration::from_secs(60);

/// Work for the main thread.
#[derive(Debug)]
pub enum Job {
    /// A server has started: let the failover server in there, unless that was done.
    Authorize {
        /// The server's id.
        server: String,
        /// Its handle.
        handle: u64,
    },
    /// The failover server was let in there: take the first backup.
    BackUp {
        /// The server's handle.
        handle: u64,
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
    store_folder: Option<PathBuf>,
    client_communication: Option<Client>,
    backup: Option<Named>,
    file: Option<PathBuf>,
    #[serde(default)]
    supersedes: Vec<u64>,
}

#[derive(Debug, Deserialize)]
struct Server {
    id: String,
    host: Ipv4Addr,
    port: u16,
}

impl Server {
    fn address(&self) -> SocketAddrV4 {
        SocketAddrV4::new(self.host, self.port)
    }
}

#[derive(Debug, Deserialize)]
struct Client {
    address: Ipv4Addr,
}

/// The backup to use.
#[derive(Debug, Deserialize)]
struct Named {
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
    stall_in: Option<usize>,
    takeovers: usize,
    reporter: Reporter,
    stand_ins: HashMap<String, StandIn>,
}

impl Performer {
    /// A performer without stand-ins.
    #[must_use]
    pub fn new(caller: Caller, args: &FailoverArgs, reporter: Reporter) -> Self {
        let (clock, folder, stall_in) = (args.clock, args.folder.clone(), args.stall_in);
        Self { caller, clock, folder, stall_in, takeovers: 0, reporter, stand_ins: HashMap::new() }
    }

    /// Does one job after another until told to stop; then no stand-in is left.
    pub fn work(&mut self, jobs: &Receiver<Job>) {
        for job in jobs {
            match job {
                Job::Authorize { server, handle } => self.have_authorized(&server, handle),
                Job::BackUp { handle } => self.fault_if(self.caller.backup(handle, "").map(drop)),
                Job::Operation(operation) => self.operate(&operation),
                Job::Over { op } => self.undo(&[op]),
                Job::Stop => break,
            }
        }
        self.stand_ins.clear();
    }

    /// The credentials are those that an operator would type.
    fn have_authorized(&self, server: &str, handle: u64) {
        match self.is_authorized(handle) {
            Ok(true) => {}
            Ok(false) => {
                let accepted = self.caller.authorize(handle, "", credentials(server).as_bytes());
                self.fault_if(accepted.map(drop));
            }
            Err(e) => self.reporter.say(Report::Fault { text: format!("{server}: {e:#}") }),
        }
    }

    fn is_authorized(&self, handle: u64) -> Result<bool> {
        let status: serde_json::Value = serde_json::from_str(&self.caller.status(handle)?)?;
        Ok(status["servers"][0]["authorized"] == true)
    }

    fn fault_if(&self, outcome: Result<(), CallError>) {
        if let Err(e) = outcome {
            self.reporter.say(Report::Fault { text: e.to_string() });
        }
    }

    fn operate(&mut self, operation: &Operation) {
        let request: Request = match serde_json::from_str(&operation.json) {
            Ok(request) => request,
            Err(e) => return self.complete(operation, Err(&format!("bad request: {e}")), ""),
        };
        let (op, server) = (operation.id, request.server.id.clone());
        let (asked, resumed) = (request.operation.clone(), operation.flags & abi::VMSF_OP_RESUMED != 0);
        self.reporter.say(Report::Asked { op, operation: asked, server: server.clone(), resumed });
        let mut token = String::new();
        let outcome = match operation.kind {
            abi::VMSF_OP_TAKEOVER => self.take_over(op, &request),
            abi::VMSF_OP_RESTORE => self.restore(&request),
            abi::VMSF_OP_AUTHORIZE => log_in(&request, &operation.secret).map(|issued| token = issued),
            abi::VMSF_OP_BACKUP => fetch(&request, &operation.secret),
            _ => return self.answer(operation, abi::VMSF_OUTCOME_UNSUPPORTED, "", ""),
        };
        let error = outcome.err().map(|e| format!("{e:#}"));
        // Reported first: what follows from the answer comes after it.
        self.reporter.say(Report::Answered { op, operation: request.operation, server, error: error.clone() });
        self.complete(operation, error.as_deref().map_or(Ok(()), Err), &token);
    }

    fn complete(&mut self, operation: &Operation, outcome: Result<(), &str>, token: &str) {
        match outcome {
            Ok(()) => self.answer(operation, abi::VMSF_OUTCOME_OK, "", token),
            Err(text) => {
                let json = serde_json::json!({"error": text}).to_string();
                self.answer(operation, abi::VMSF_OUTCOME_FAILED, &json, "");
            }
        }
    }

    fn answer(&mut self, operation: &Operation, outcome: u32, json: &str, token: &str) {
        if let Err(e) = self.caller.complete(operation.id, outcome, json, token.as_bytes()) {
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
        let Named { path: backup, sha256 } = request.backup.as_ref().context("the request names no backup")?;
        let mut settings = archive::open(backup, sha256, server)?;
        let client = request.client_communication.as_ref().context("no address for clients")?;
        settings.address = client.address;
        settings.port = request.server.port;
        settings.recordings.clone_from(request.store_folder.as_ref().context("no folder for recordings")?);
        let path = self.folder.join("active").join(format!("{server}.json"));
        std::fs::write(&path, serde_json::to_vec_pretty(&settings)?)
            .with_context(|| format!("cannot write {}", path.display()))?;
        let process = self.start(&settings, path)?;
        let (pid, address, store) = (process.pid(), settings.clients(), settings.recordings.clone());
        self.stand_ins.insert(server.clone(), StandIn { op, process });
        let backup = backup.clone();
        self.reporter.say(Report::StandsIn { server: server.clone(), pid, address, backup, store });
        self.takeovers += 1;
        while self.stall_in == Some(self.takeovers) {
            std::thread::park();
        }
        Ok(())
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

/// Logs in at the server; gives the token that it issues.
fn log_in(request: &Request, credentials: &Secret) -> Result<String> {
    let token = http::get_with(request.server.address(), "/login", text(credentials)?).context("not let in")?;
    Ok(serde_json::from_value(token)?)
}

/// Fetches the server's settings into the file that the request names.
fn fetch(request: &Request, token: &Secret) -> Result<()> {
    let file = request.file.as_ref().context("the request names no file")?;
    let archive = http::get_with(request.server.address(), "/settings", text(token)?)?;
    let archive: Archive = serde_json::from_value(archive)?;
    // What would be of no use in a takeover is no backup.
    archive.clone().settings(&request.server.id)?;
    archive.write(file)
}

/// The demo's secrets are text.
fn text(secret: &Secret) -> Result<&str> {
    std::str::from_utf8(secret.bytes()).context("the secret is no text")
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
        let text = r#"{"op":17,"operation":"takeover","actor":"automatic","server":{"id":"arena","host":"127.0.0.11","port":51410},
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
