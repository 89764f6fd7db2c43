//! Child processes that cannot outlive the demo.
//!
//! Each role asks the system, as its first act, to be killed when its parent goes ([`bind_to_parent`]); the director takes in
//! whatever loses its parent ([`adopt_orphans`]) and waits for all of it at the end ([`reap_everything`]). The system ties the
//! promise to the *thread* that started the child, so children are only ever started from a thread that lives as long as its
//! process: the main one. It never signals a process that the demo did not start.

use std::fs::File;
use std::io;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::io::Errno;
use rustix::process::{self, Pid, Signal, WaitOptions};

/// First act of every role: be killed when the parent goes, whatever the reason.
///
/// # Errors
/// The parent is gone already, or the system refuses.
pub fn bind_to_parent(parent: u32) -> Result<()> {
    process::set_parent_process_death_signal(Some(Signal::KILL)).context("cannot bind this process to its parent")?;
    // The parent may have gone before the line above.
    let now = process::getppid().map(|pid| pid.as_raw_nonzero().get().unsigned_abs());
    if now != Some(parent) {
        bail!("the parent {parent} is gone");
    }
    Ok(())
}

/// Makes this process the one that inherits grandchildren whose parent was killed.
///
/// # Errors
/// The system refuses.
pub fn adopt_orphans() -> Result<()> {
    process::set_child_subreaper(Some(process::getpid())).context("cannot become the reaper of the demo's processes")
}

/// Waits for every remaining child, adopted ones too, until none is left. They must have been told to end.
pub fn reap_everything(limit: Duration) {
    let until = Instant::now() + limit;
    loop {
        match process::wait(WaitOptions::NOHANG) {
            Ok(Some(_)) | Err(Errno::INTR) => {}
            Ok(None) if Instant::now() < until => std::thread::sleep(Duration::from_millis(2)),
            _ => return,
        }
    }
}

/// Waits until one adopted process has ended, so that its number is free for others only from here on.
pub fn reap(pid: u32, limit: Duration) {
    let until = Instant::now() + limit;
    while Instant::now() < until {
        match process::waitpid(to_pid(pid), WaitOptions::NOHANG) {
            Ok(None) => std::thread::sleep(Duration::from_millis(1)),
            // ECHILD: not adopted yet, or ended and reaped by its own parent.
            Err(Errno::CHILD) if is_there(pid) => std::thread::sleep(Duration::from_millis(1)),
            _ => return,
        }
    }
}

/// Signals a process that the demo started. One that has ended already is no error.
///
/// # Errors
/// The system refuses.
pub fn signal(pid: u32, signal: Signal) -> Result<()> {
    let Some(target) = to_pid(pid) else { bail!("{pid} is no process id") };
    match process::kill_process(target, signal) {
        Ok(()) | Err(Errno::SRCH) => Ok(()),
        Err(e) => Err(io::Error::from(e)).with_context(|| format!("cannot signal process {pid}")),
    }
}

fn is_there(pid: u32) -> bool {
    to_pid(pid).is_some_and(|pid| process::test_kill_process(pid).is_ok())
}

fn to_pid(pid: u32) -> Option<Pid> {
    i32::try_from(pid).ok().and_then(Pid::from_raw)
}

/// What a role is started with: this program again, in a process group of its own (so that Ctrl-C reaches the director
/// alone), with its complaints in a file.
///
/// # Errors
/// This program's path is unknown, or the log file cannot be made.
pub fn role(subcommand: &str, log: &Path) -> Result<Command> {
    let program = std::env::current_exe().context("cannot tell where this program lies")?;
    let log = File::options()
        .create(true)
        .append(true)
        .open(log)
        .with_context(|| format!("cannot write the log {}", log.display()))?;
    let mut command = Command::new(program);
    command.arg(subcommand).arg("--parent").arg(std::process::id().to_string());
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).process_group(0);
    Ok(command)
}

/// A child process that is killed, and waited for, when it goes out of scope.
#[derive(Debug)]
pub struct Process {
    child: Child,
}

impl Process {
    /// Starts a role. Call it on a thread that lives as long as this process.
    ///
    /// # Errors
    /// The system cannot start it.
    pub fn start(command: &mut Command) -> Result<Self> {
        let child = command.spawn().with_context(|| format!("cannot start {}", command.get_program().display()))?;
        Ok(Self { child })
    }

    /// Its process id.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The underlying child, for its pipes.
    pub fn child(&mut self) -> &mut Child {
        &mut self.child
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        self.child.try_wait()
    }

    /// Kills it and waits until it is gone.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    /// Asks it to end and waits; kills it after the limit. Tells how it ended, or `None` if it had to be killed.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn stop(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        if self.ended()?.is_none() {
            signal(self.pid(), Signal::TERM)?;
        }
        self.wait(limit)
    }

    /// Waits for its end; kills it after the limit. Tells how it ended, or `None` if it had to be killed.
    ///
    /// # Errors
    /// The system cannot tell.
    pub fn wait(&mut self, limit: Duration) -> Result<Option<ExitStatus>> {
        let until = Instant::now() + limit;
        while Instant::now() < until {
            if let Some(status) = self.ended()? {
                return Ok(Some(status));
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.kill();
        Ok(None)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_out_of_scope_is_gone() {
        let mut command = Command::new("sleep");
        let process = Process::start(command.arg("600")).unwrap();
        let pid = process.pid();
        assert!(is_there(pid));
        drop(process);
        assert!(!is_there(pid));
    }

    #[test]
    fn a_stop_is_an_end_by_request_and_who_does_not_end_is_killed_after_the_limit() {
        let mut command = Command::new("sleep");
        command.arg("600");
        let mut process = Process::start(&mut command).unwrap();
        let status = process.stop(Duration::from_secs(60)).unwrap().unwrap();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&status), Some(15));

        let mut process = Process::start(&mut command).unwrap();
        assert!(process.wait(Duration::from_millis(20)).unwrap().is_none());
        assert!(process.ended().unwrap().is_some());
    }

    #[test]
    fn a_wrong_parent_is_refused() {
        // In a thread of its own: the system's promise is per thread.
        let refused = std::thread::spawn(|| bind_to_parent(u32::MAX)).join().unwrap();
        assert!(refused.unwrap_err().to_string().contains("is gone"));
        std::thread::spawn(|| process::set_parent_process_death_signal(None)).join().unwrap().unwrap();
    }
}
