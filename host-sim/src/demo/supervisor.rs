//! The role of a supervisor: what a service manager is to a service.
//!
//! Starts one server as its child, tells the director its process id, waits for its end, and reports an exit with an error to
//! the failover host over a connection of its own. It never starts the server again: in this story, that takes a person.

use std::io::Write;
use std::os::unix::process::ExitStatusExt;

use anyhow::{Context, Result, bail};
use serde::{Deserialize, Serialize};

use super::process::{Process, bind_to_parent};
use super::protocol::{self, Message, Speaker};
use super::server::{ServerArgs, reach};

/// Arguments of the role, given by the director.
#[derive(Debug, Clone, clap::Args)]
pub struct SupervisorArgs {
    /// Id of the server.
    #[arg(long)]
    pub server: String,
    #[command(flatten)]
    args: ServerArgs,
}

/// What a supervisor tells the director, one JSON a line on its standard output.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// The server runs under this process id.
    Started(u32),
    /// The server has ended: exit status, or the signal that ended it.
    Exited {
        /// Its exit status, if it had one.
        code: Option<i32>,
        /// The signal that ended it, if one did.
        signal: Option<i32>,
    },
}

/// Runs the role until its server has ended.
///
/// # Errors
/// The server cannot be started, or the failover host not be reached.
pub fn run(supervisor: &SupervisorArgs) -> Result<()> {
    bind_to_parent(supervisor.args.parent)?;
    let Some(address) = supervisor.args.report_to else { bail!("no failover host to report to") };
    let mut command = std::process::Command::new(std::env::current_exe()?);
    command.args(["demo-server", "--parent"]).arg(std::process::id().to_string()).args(supervisor.args.words());
    // Of no use to the server: only the supervisor talks to the director.
    command.stdin(std::process::Stdio::null()).stdout(std::process::Stdio::null());
    let mut server = Process::start(&mut command)?;
    say(&Word::Started(server.pid()))?;
    let status = server.child().wait().context("cannot wait for the server")?;
    let (code, signal) = (status.code(), status.signal());
    if !status.success() {
        // Only now: the failover host may have gone and come back since the start.
        let mut line = reach(address, &supervisor.server, Speaker::Supervisor)?;
        protocol::write(&mut line, &Message::Exited { code, signal })?;
    }
    say(&Word::Exited { code, signal })
}

fn say(word: &Word) -> Result<()> {
    let mut line = serde_json::to_string(word)?;
    line.push('\n');
    std::io::stdout().lock().write_all(line.as_bytes()).context("the director is gone")
}
