//! What the failover host tells the director: one JSON object a line on its standard output, each with the simulated instant.
//!
//! It says what the host heard, what the plugin said and asked, and what the host did, in the host's order and without
//! judgement: `world` keeps it, `narrator` puts it into words, `summary` judges.

use std::io::Write;
use std::net::SocketAddrV4;
use std::path::PathBuf;
use std::sync::mpsc::{self, Sender};
use std::thread::JoinHandle;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::clock::SimClock;
use crate::scenario::EventKind;

/// What happened at the failover host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "report", rename_all = "snake_case")]
pub enum Report {
    /// The plugin is loaded and started, and the host listens.
    Ready {
        /// Who the plugin says it is.
        plugin: String,
        /// Where the host hears the monitored servers.
        address: SocketAddrV4,
    },
    /// Something was heard of a server and handed to the plugin with the instant of this report.
    Heard {
        /// The server's id.
        server: String,
        /// What.
        sign: EventKind,
        /// The signal or exit status that a supervisor reported.
        detail: Option<String>,
    },
    /// The plugin reported an event.
    Event {
        /// `VMSF_EVENT_…`.
        kind: u32,
        /// `VMSF_SEVERITY_…`.
        severity: u32,
        /// Number of the log entry.
        seq: u64,
        /// The instant that the plugin gives it.
        mono_ns: u64,
        /// The log entry.
        entry: Value,
    },
    /// The plugin asked for an operation.
    Asked {
        /// Its number.
        op: u64,
        /// `takeover`, `restore`, …
        operation: String,
        /// The server's id.
        server: String,
        /// An earlier life of the host was asked for it already.
        resumed: bool,
    },
    /// A stand-in for a lost server was started from its backup and answers.
    StandsIn {
        /// The server's id.
        server: String,
        /// Process id of the stand-in.
        pid: u32,
        /// Where it answers clients.
        address: SocketAddrV4,
        /// The backup that its settings are from.
        backup: PathBuf,
        /// Where it records to.
        store: PathBuf,
    },
    /// The host answered an operation.
    Answered {
        /// Its number.
        op: u64,
        /// `takeover`, `restore`, …
        operation: String,
        /// The server's id.
        server: String,
        /// Why it failed, if it did.
        error: Option<String>,
    },
    /// A line of the plugin's diagnostic log at warning level or above.
    Log {
        /// The line.
        text: String,
    },
    /// Something went wrong at the host; it may go on.
    Fault {
        /// What.
        text: String,
    },
    /// The plugin was stopped, destroyed and let go of its host.
    Stopped {},
}

/// A report with its instant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamped {
    /// On the common clock.
    pub at_ns: u64,
    /// What happened.
    #[serde(flatten)]
    pub report: Report,
}

/// Hands reports to a thread that writes them, so that nobody waits for the pipe, least of all the plugin's callbacks.
#[derive(Debug, Clone)]
pub struct Reporter {
    clock: SimClock,
    out: Sender<Option<Stamped>>,
}

impl Reporter {
    /// A reporter onto standard output, and the thread that writes.
    #[must_use]
    pub fn to_stdout(clock: SimClock) -> (Self, JoinHandle<()>) {
        let (out, reports) = mpsc::channel::<Option<Stamped>>();
        let thread = std::thread::spawn(move || {
            // Ends at the last report, or when the director is gone, and this process with it.
            while let Ok(Some(stamped)) = reports.recv() {
                if write(&stamped).is_err() {
                    return;
                }
            }
        });
        (Self { clock, out }, thread)
    }

    /// Reports something that happened now.
    pub fn say(&self, report: Report) {
        self.say_at(self.clock.now_ns(), report);
    }

    /// Reports something that happened at an instant.
    pub fn say_at(&self, at_ns: u64, report: Report) {
        // When the director is gone, this process is about to be killed.
        let _ = self.out.send(Some(Stamped { at_ns, report }));
    }

    /// Waits until everything is written. What is reported later is lost.
    pub fn finish(self, thread: JoinHandle<()>) {
        let _ = self.out.send(None);
        let _ = thread.join();
    }
}

fn write(stamped: &Stamped) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(stamped)?;
    line.push(b'\n');
    let mut stdout = std::io::stdout().lock();
    stdout.write_all(&line)?;
    stdout.flush()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reports_survive_the_pipe() {
        let report = Report::Heard { server: "arena".into(), sign: EventKind::KeepAlive, detail: None };
        let line = serde_json::to_string(&Stamped { at_ns: 7, report }).unwrap();
        assert_eq!(line, r#"{"at_ns":7,"report":"heard","server":"arena","sign":"keep_alive","detail":null}"#);
        let back: Stamped = serde_json::from_str(&line).unwrap();
        assert_eq!(back.at_ns, 7);
        let stopped: Stamped = serde_json::from_str(r#"{"at_ns":8,"report":"stopped"}"#).unwrap();
        assert_eq!(stopped.report, Report::Stopped {});
    }
}
