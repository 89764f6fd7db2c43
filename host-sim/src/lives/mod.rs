//! A scenario with more than one life of the plugin: each life is a process of its own, so that SIGKILL is a real one and nothing of a life
//! but its files comes into the next.
//!
//! [`Lives`] is the [`Subject`] that the runner drives; it hands every call to the host process that lives at the time (`host`, the program's
//! hidden command `scenario-host`) in the words of `talk`, and waits for the answer, so that virtual time stands still meanwhile. `program`
//! says where that program lies.
//!
//! Only such scenarios are run this way. A process costs 2 ms and each call 8 µs (measured on two cores): nothing for a short story, but the
//! hundred thousand polls of a day, 30 ms in the runner's own process, take 0.7 s, and so would a thousand random scenarios together a minute.

pub mod host;
pub mod program;
mod talk;

use std::fmt;
use std::io::{BufRead, BufReader, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::Value;
use tempfile::TempDir;

use self::talk::{BUILD, Preparation, Reply, Request};
use crate::library::{self, BeginError, Birth};
use crate::plugin::Plugin;
use crate::run::{Happening, Polled, Refusal, Subject};
use crate::scenario::{Call, EventKind, Mishap, Scenario};

/// The lives of the built library in a scenario, one after another, over the files of one temporary folder.
pub struct Lives {
    program: PathBuf,
    plugin: PathBuf,
    story: String,
    /// None between two lives, and when there can be no further one.
    life: Option<HostProcess>,
    /// The next life finds the newest state damaged.
    state_damaged: bool,
    /// Why the host process is lost; the next `poll` tells it.
    lost: Option<String>,
    folder: TempDir,
}

impl fmt::Debug for Lives {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Lives").field("folder", &self.folder.path()).finish_non_exhaustive()
    }
}

impl Lives {
    /// Begins the first life, with the scenario's configuration, and prepares it if the scenario says so. `program` is `host-sim`.
    ///
    /// # Errors
    /// The configuration is refused, the plugin cannot begin, or there can be no process.
    pub fn begin(program: &Path, plugin: &Plugin, scenario: &Scenario) -> Result<Self, BeginError> {
        let library = std::path::absolute(plugin.path()).unwrap_or_else(|_| plugin.path().to_owned());
        let mut lives = Self {
            program: program.to_owned(),
            plugin: library,
            story: scenario.name.clone(),
            life: None,
            state_damaged: false,
            lost: None,
            folder: library::fresh_folder()?,
        };
        let preparation =
            scenario.prepared.then(|| Preparation { servers: scenario.servers(), start_utc_ms: scenario.start_utc_ms });
        lives.begin_life(Some(scenario.config.clone()), preparation)?;
        Ok(lives)
    }

    /// Ends the last life and removes the files of all.
    ///
    /// # Errors
    /// The plugin broke a rule at its end.
    pub fn end(mut self) -> Result<(), String> {
        self.end_life()?;
        library::remove(self.folder)
    }

    /// Without a configuration it goes on with the kept one.
    fn begin_life(&mut self, config: Option<Value>, preparation: Option<Preparation>) -> Result<(), BeginError> {
        let birth = Birth { folder: self.folder.path().to_owned(), story: self.story.clone(), config };
        let mut process = HostProcess::start(&self.program, &self.plugin).map_err(BeginError::Other)?;
        match process.ask(&Request::Begin { build: BUILD, birth, preparation }).map_err(BeginError::Other)? {
            Reply::Done => self.life = Some(process),
            Reply::BadConfig { text } => return Err(BeginError::Config(text)),
            other => return Err(BeginError::Other(other.fault())),
        }
        Ok(())
    }

    /// Stops and unloads the plugin; gives what it told in that.
    fn end_life(&mut self) -> Result<Vec<Happening>, String> {
        let last_words = match self.ask(&Request::End)? {
            Reply::Told { happenings } => happenings,
            other => return Err(other.fault()),
        };
        self.life.take().map_or(Ok(()), HostProcess::wait)?;
        Ok(last_words)
    }

    /// The next life, on the files of the one before.
    fn go_on(&mut self) -> Result<(), String> {
        if std::mem::take(&mut self.state_damaged) {
            library::damage_state(&self.folder.path().join(library::STATE))?;
        }
        self.begin_life(None, None).map_err(|e| e.to_string())
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, String> {
        self.life.as_mut().ok_or_else(|| "there is no host process".to_owned())?.ask(request)
    }

    /// A call that is done, or refused with the name of a code.
    fn called(&mut self, request: &Request) -> Result<(), Refusal> {
        let fault = match self.ask(request) {
            Ok(Reply::Done) => return Ok(()),
            Ok(Reply::Refused { error }) => return Err(error),
            Ok(other) => other.fault(),
            Err(fault) => fault,
        };
        // No refusal, and no line: it ends the run.
        self.lost.get_or_insert(fault);
        Ok(())
    }
}

impl Subject for Lives {
    fn notify(&mut self, at_ns: u64, server: &str, event: EventKind) -> Result<(), Refusal> {
        self.called(&Request::Notify { at_ns, server: server.to_owned(), event })
    }

    fn call(&mut self, at_ns: u64, call: &Call) -> Result<(), Refusal> {
        self.called(&Request::Call { at_ns, call: call.clone() })
    }

    fn complete(&mut self, at_ns: u64, op: u64, failure: Option<&str>) -> Result<(), Refusal> {
        self.called(&Request::Complete { at_ns, op, failure: failure.map(str::to_owned) })
    }

    fn poll(&mut self, now_ns: u64, utc_ms: i64) -> Result<Polled, String> {
        if let Some(fault) = self.lost.take() {
            return Err(fault);
        }
        match self.ask(&Request::Poll { now_ns, utc_ms })? {
            Reply::Polled { polled } => Ok(polled),
            other => Err(other.fault()),
        }
    }

    fn befall(&mut self, _at_ns: u64, mishap: &Mishap) -> Result<Vec<Happening>, String> {
        match mishap {
            Mishap::Restart => {
                let last_words = self.end_life()?;
                self.go_on()?;
                Ok(last_words)
            }
            Mishap::Crash => {
                self.life.take().map_or(Ok(()), HostProcess::kill)?;
                self.go_on()?;
                Ok(Vec::new())
            }
            Mishap::CorruptState => {
                self.state_damaged = true;
                Ok(Vec::new())
            }
            Mishap::CorruptBackup { server } => match self.ask(&Request::CorruptBackup { server: server.clone() })? {
                Reply::Done => Ok(Vec::new()),
                other => Err(other.fault()),
            },
        }
    }
}

/// A process that is told what its host does, a line a call. It is killed when it is dropped.
struct HostProcess {
    child: Child,
    to: BufWriter<ChildStdin>,
    from: BufReader<ChildStdout>,
}

impl HostProcess {
    fn start(program: &Path, library: &Path) -> Result<Self, String> {
        let mut command = Command::new(program);
        command.arg(host::COMMAND).arg("--library").arg(library).stdin(Stdio::piped()).stdout(Stdio::piped());
        let failed = |what: &str| format!("no host process ({}): {what}", program.display());
        let mut child = command.spawn().map_err(|e| failed(&e.to_string()))?;
        match (child.stdin.take(), child.stdout.take()) {
            (Some(to), Some(from)) => Ok(Self { child, to: BufWriter::new(to), from: BufReader::new(from) }),
            _ => Err(failed("it has no standard input or output")),
        }
    }

    fn ask(&mut self, request: &Request) -> Result<Reply, String> {
        let mut line = serde_json::to_string(request).map_err(|e| e.to_string())?;
        line.push('\n');
        let sent = self.to.write_all(line.as_bytes()).and_then(|()| self.to.flush());
        line.clear();
        match sent.and_then(|()| self.from.read_line(&mut line)) {
            Ok(read) if read > 0 => {
                serde_json::from_str(&line).map_err(|e| format!("the host process said {line}: {e}"))
            }
            _ => Err(self.ended()),
        }
    }

    fn ended(&mut self) -> String {
        match self.child.wait() {
            Ok(status) => format!("the host process has ended: {status}"),
            Err(error) => format!("the host process is lost: {error}"),
        }
    }

    /// Until it has ended by itself.
    fn wait(mut self) -> Result<(), String> {
        match self.child.wait() {
            Ok(status) if status.success() => Ok(()),
            Ok(status) => Err(format!("the host process ended with {status}")),
            Err(error) => Err(format!("the host process is lost: {error}")),
        }
    }

    /// SIGKILL, and gone when this returns.
    fn kill(mut self) -> Result<(), String> {
        let killed = self.child.kill().and_then(|()| self.child.wait());
        killed.map(drop).map_err(|e| format!("the host process cannot be killed: {e}"))
    }
}

impl Drop for HostProcess {
    fn drop(&mut self) {
        // One that has ended is no error.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
