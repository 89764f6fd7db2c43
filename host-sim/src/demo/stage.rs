//! What the director works with: the processes of the demo, the news from them, and waiting for something to become true.
//!
//! Waits are for conditions, never for a time; each has a generous limit of the machine's time beyond the simulated time that
//! it needs. All processes are started from the main thread (see `process`), and none is left when the stage is gone.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::process::Signal;
use serde::de::DeserializeOwned;
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use super::cast::{FAILOVER_SERVERS, Member, Pace, Settings};
use super::clock::{MS, SECOND, SimClock};
use super::failover::FailoverArgs;
use super::narrator::narrate;
use super::process::{self, Process, role};
use super::report::Stamped;
use super::server::ServerArgs;
use super::supervisor::Word;
use super::takeover::last_words;
use super::timeline::{Entry, Screen, clock, countdown, name};
use super::world::World;

/// The machine may be this much slower than the clock says before a wait is in vain.
const GRACE: Duration = Duration::from_secs(90);
/// How long to sleep between two looks at a condition.
const TICK: Duration = Duration::from_millis(20);
/// How long processes that were told to end may take.
const END: Duration = Duration::from_secs(30);
/// The longest line that a role may write to the director; a report holds a log entry of the plugin.
const MAX_LINE: u64 = 256 * 1024;

/// A signal asked the demo to end.
#[derive(Debug)]
pub struct Interrupted(pub i32);

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "interrupted by signal {}", self.0)
    }
}

impl std::error::Error for Interrupted {}

/// What comes in.
enum News {
    Failover(Stamped),
    FailoverGone,
    Supervisor(&'static str, Word),
    Interrupted(i32),
}

/// A monitored server's processes.
struct Running {
    supervisor: Process,
    /// The server's process id, once its supervisor said it, until it said that it has ended.
    server: Option<u32>,
    /// The end of the server belongs to the story.
    may_end: bool,
}

/// What is where.
#[derive(Debug, Clone)]
pub struct Places {
    /// The folder of everything.
    pub root: PathBuf,
    /// It stays when the demo is over.
    pub kept: bool,
    /// The port of all servers.
    pub port: u16,
    /// The plugin library.
    pub plugin: PathBuf,
}

impl Places {
    /// The failover server's folder.
    #[must_use]
    pub fn failover(&self) -> PathBuf {
        self.root.join("failover")
    }

    /// The folder of a monitored server's machine.
    #[must_use]
    pub fn machine(&self, member: &Member) -> PathBuf {
        self.root.join(member.id)
    }

    /// Where a monitored server records to.
    #[must_use]
    pub fn recordings(&self, member: &Member) -> PathBuf {
        self.machine(member).join("recordings")
    }

    /// Where a role's complaints go.
    fn log(&self, who: &str) -> PathBuf {
        self.root.join(format!("{who}.log"))
    }
}

/// The stage.
pub struct Stage {
    /// The common clock.
    pub clock: SimClock,
    /// The durations in force.
    pub pace: Pace,
    /// What is where.
    pub places: Places,
    /// What is known.
    pub world: World,
    /// Where the story is shown.
    pub screen: Screen,
    running: HashMap<&'static str, Running>,
    failover: Option<Process>,
    inbox: Receiver<News>,
    post: Sender<News>,
}

/// Where news comes in; signals that ask the demo to end come in from its making on.
pub struct Inbox {
    inbox: Receiver<News>,
    post: Sender<News>,
}

impl Inbox {
    /// Makes it. To be done before there is anything that a signal could leave behind.
    ///
    /// # Errors
    /// Signals cannot be watched.
    pub fn new() -> Result<Self> {
        let (post, inbox) = mpsc::channel();
        let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot wait for signals")?;
        let interrupts = post.clone();
        std::thread::spawn(move || {
            for signal in signals.forever() {
                let _ = interrupts.send(News::Interrupted(signal));
            }
        });
        Ok(Self { inbox, post })
    }
}

impl Stage {
    /// An empty stage.
    ///
    /// # Errors
    /// The system is too old to keep the demo's processes together.
    pub fn new(news: Inbox, clock: SimClock, pace: Pace, places: Places, screen: Screen) -> Result<Self> {
        process::adopt_orphans()?;
        let Inbox { inbox, post } = news;
        let world = World::new(clock, pace);
        let (running, failover) = (HashMap::new(), None);
        Ok(Self { clock, pace, places, world, screen, running, failover, inbox, post })
    }

    /// Simulated ms since the beginning.
    #[must_use]
    pub fn now_ms(&self) -> u64 {
        self.clock.since_start_ms(self.clock.now_ns())
    }

    /// Shows something that the director does or finds.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn tell(&mut self, entry: &Entry) -> Result<()> {
        self.screen.show(entry).context("cannot write to standard output")
    }

    /// Waits until a condition holds; what it needs of simulated time is known.
    ///
    /// # Errors
    /// It does not, in time; or the demo was interrupted; or a process is gone that should not be.
    pub fn until(&mut self, what: &str, simulated_s: u64, done: impl Fn(&Self) -> bool) -> Result<()> {
        let limit = Instant::now() + self.clock.real(Duration::from_secs(simulated_s)) + GRACE;
        while !done(self) {
            if Instant::now() > limit {
                bail!("waited in vain until {what}");
            }
            self.look(what)?;
        }
        Ok(())
    }

    /// Lets simulated time pass.
    ///
    /// # Errors
    /// As [`Stage::until`].
    pub fn let_pass(&mut self, what: &str, simulated_s: u64) -> Result<()> {
        let at_ns = self.clock.now_ns() + simulated_s * SECOND;
        self.until(what, simulated_s, |stage| stage.clock.now_ns() >= at_ns)
    }

    /// Waits until something can be had.
    ///
    /// # Errors
    /// As [`Stage::until`]; with the last reason why it could not be had.
    pub fn obtain<T>(&mut self, what: &str, simulated_s: u64, get: impl Fn() -> Result<T>) -> Result<T> {
        let limit = Instant::now() + self.clock.real(Duration::from_secs(simulated_s)) + GRACE;
        loop {
            match get() {
                Ok(value) => return Ok(value),
                Err(e) if Instant::now() > limit => return Err(e.context(format!("waited in vain until {what}"))),
                Err(_) => self.look(what)?,
            }
        }
    }

    /// Takes in what has come, or waits a moment for it.
    fn look(&mut self, what: &str) -> Result<()> {
        match self.inbox.recv_timeout(TICK) {
            Ok(news) => self.take(news)?,
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => bail!("no news can come any more"),
        }
        let (world, now_ns) = (&self.world, self.clock.now_ns());
        self.screen.await_(|| awaited(world, now_ns, what)).context("cannot write to standard output")
    }

    fn take(&mut self, news: News) -> Result<()> {
        match news {
            News::Failover(stamped) => {
                self.world.take(&stamped);
                if let Some(entry) = narrate(&stamped, &self.world) {
                    self.tell(&entry)?;
                }
                Ok(())
            }
            News::FailoverGone if self.world.stopped => Ok(()),
            News::FailoverGone if self.failover.is_none() => {
                self.world.kills += 1;
                Ok(())
            }
            News::FailoverGone => bail!("the failover host has ended: {}", last_words(&self.places.log("failover"))),
            News::Supervisor(id, word) => self.take_word(id, &word),
            News::Interrupted(signal) => Err(Interrupted(signal).into()),
        }
    }

    fn take_word(&mut self, id: &'static str, word: &Word) -> Result<()> {
        let Some(running) = self.running.get_mut(id) else { return Ok(()) };
        match word {
            Word::Started(pid) => running.server = Some(*pid),
            Word::Exited { .. } if running.may_end => running.server = None,
            Word::Exited { .. } => {
                bail!("{} has ended unexpectedly: {}", name(Some(id)), last_words(&self.places.log(id)));
            }
        }
        Ok(())
    }

    /// Starts the failover host; with `stall_in` it never answers the takeover with that number.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_failover(&mut self, stall_in: Option<usize>) -> Result<()> {
        let Places { port, plugin, .. } = self.places.clone();
        let folder = self.places.failover();
        std::fs::create_dir_all(&folder)?;
        let (parent, clock) = (std::process::id(), self.clock);
        let args = FailoverArgs { parent, clock, folder, port, plugin, stall_in };
        let mut command = role("demo-failover", &self.places.log("failover"))?;
        let mut host = Process::start(command.args(args.words()).stdin(Stdio::piped()).stdout(Stdio::piped()))?;
        let (news, gone) = (self.post.clone(), self.post.clone());
        let output = host.child().stdout.take().context("the failover host has no output")?;
        std::thread::spawn(move || {
            lines(output, |stamped| _ = news.send(News::Failover(stamped)));
            let _ = gone.send(News::FailoverGone);
        });
        self.failover = Some(host);
        Ok(())
    }

    /// Kills the failover host; ends when it and its stand-in for this server are gone and its last reports are read.
    ///
    /// # Errors
    /// It does not run.
    pub fn kill_failover(&mut self, member: &Member) -> Result<()> {
        let mut host = self.failover.take().context("the failover host does not run")?;
        process::signal(host.pid(), Signal::KILL)?;
        host.wait(END)?;
        let stand_in = self.world.machine(member.id).and_then(|machine| machine.stand_in.as_ref());
        // The system kills it with its parent; its address is free once it is gone.
        stand_in.map(|it| it.pid).into_iter().for_each(|pid| process::reap(pid, END));
        let kills = self.world.kills + 1;
        self.until("the failover host is gone", 60, |stage| stage.world.kills == kills)
    }

    /// Ends the failover host in good order; it must end well.
    ///
    /// # Errors
    /// It does not.
    pub fn stop_failover(&mut self) -> Result<()> {
        let Some(mut host) = self.failover.take() else { return Ok(()) };
        drop(host.child().stdin.take());
        let outcome = self.until("the failover host has ended", 60, |stage| stage.world.stopped);
        let status = host.wait(END)?;
        outcome?;
        match status {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("the failover host ended with {status}"),
            None => bail!("the failover host did not end"),
        }
    }

    /// Starts a monitored server under a supervisor.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start_server(&mut self, member: &'static Member) -> Result<()> {
        self.running.remove(member.id);
        let settings = self.places.machine(member).join("settings.json");
        if !settings.exists() {
            std::fs::create_dir_all(self.places.machine(member))?;
            let text = Settings::of(member, self.places.port, self.places.recordings(member));
            serde_json::to_writer_pretty(File::create(&settings)?, &text)?;
        }
        let args = ServerArgs {
            parent: std::process::id(),
            settings,
            clock: self.clock,
            segment_ms: self.pace.segment_ms,
            keep_alive_ms: self.pace.keep_alive_every_ms,
            recorder: member.id.to_owned(),
            report_to: Some((FAILOVER_SERVERS, self.places.port)).map(|(a, p)| std::net::SocketAddrV4::new(a, p)),
        };
        let mut command = role("demo-supervisor", &self.places.log(member.id))?;
        command.arg(format!("--server={}", member.id)).args(args.words()).stdout(Stdio::piped());
        let mut supervisor = Process::start(&mut command)?;
        let (news, id) = (self.post.clone(), member.id);
        let output = supervisor.child().stdout.take().context("the supervisor has no output")?;
        std::thread::spawn(move || lines(output, |word| _ = news.send(News::Supervisor(id, word))));
        self.running.insert(member.id, Running { supervisor, server: None, may_end: false });
        Ok(())
    }

    /// Whether a server's process has ended, as its supervisor says.
    #[must_use]
    pub fn has_ended(&self, member: &Member) -> bool {
        self.running.get(member.id).is_none_or(|running| running.server.is_none())
    }

    /// Signals a server's process; whether it then ends is part of the story.
    ///
    /// # Errors
    /// It does not run.
    pub fn signal_server(&mut self, member: &Member, signal: Signal) -> Result<()> {
        let running = self.running.get_mut(member.id);
        let pid = running.and_then(|running| {
            running.may_end = true;
            running.server
        });
        process::signal(pid.with_context(|| format!("{} does not run", member.name))?, signal)
    }

    /// Ends server and supervisor at once, without a word of either.
    ///
    /// # Errors
    /// They do not run.
    pub fn cut_power(&mut self, member: &Member) -> Result<()> {
        let mut running = self.running.remove(member.id).with_context(|| format!("{} does not run", member.name))?;
        // The supervisor first: it must not see its server end.
        running.supervisor.kill();
        if let Some(pid) = running.server {
            process::signal(pid, Signal::KILL)?;
            process::reap(pid, END);
        }
        Ok(())
    }

    /// Ends every process, at once, and waits until all are gone.
    pub fn clear(&mut self) {
        let _ = self.screen.clear();
        // Each is killed where it goes out of scope, and its own children with it, by the system.
        self.failover = None;
        self.running.clear();
        process::reap_everything(END);
    }
}

impl Drop for Stage {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Hands on every line that can be read; ends with the pipe, or at a line that no role writes.
fn lines<T: DeserializeOwned>(pipe: impl Read, hand_on: impl Fn(T)) {
    let mut pipe = BufReader::new(pipe);
    loop {
        let mut line = Vec::new();
        let read = pipe.by_ref().take(MAX_LINE).read_until(b'\n', &mut line);
        if !matches!(read, Ok(1..)) {
            return;
        }
        match serde_json::from_slice(&line) {
            Ok(value) => hand_on(value),
            Err(_) => return,
        }
    }
}

/// The bottom line: whose time runs out when, soonest first, else what is awaited.
fn awaited(world: &World, now_ns: u64, what: &str) -> String {
    let mut text = format!("{}  ", clock(world.clock.since_start_ms(now_ns)));
    let left = |at_ns: u64| countdown(at_ns.saturating_sub(now_ns) / MS);
    // A keep-alive that is not overdue yet is no news.
    let silent_ns = world.pace.keep_alive_every_ms * 3 / 2 * MS;
    let fresh_ns = (world.pace.keep_alive_s * SECOND).saturating_sub(silent_ns);
    let mut due: Vec<(u64, &str)> = Vec::new();
    let mut stable = None;
    for machine in &world.machines {
        match (machine.due_ns(&world.pace), machine.returned_ns) {
            (_, Some(back)) if machine.takeover == "taken_over" => {
                stable = Some((machine.member.name, back + world.pace.restore_stable_s * SECOND));
            }
            (Some(at), _) if machine.health == "keep_alive" && at.saturating_sub(now_ns) > fresh_ns => {}
            (Some(at), _) => due.push((at, machine.member.name)),
            (None, _) => {}
        }
    }
    due.sort_unstable();
    let due: Vec<String> = due.iter().map(|(at, name)| format!("{name} {}", left(*at))).collect();
    match stable {
        Some((name, at)) => text.push_str(&format!("{name} is stable in {}", left(at))),
        None if due.is_empty() => text.push_str(&format!("until {what}")),
        None => text.push_str(&format!("counts as failed in: {}", due.join(", "))),
    }
    text
}

/// Whether every address of the demo can be listened at.
///
/// # Errors
/// One cannot; the text names it and says what to change.
pub fn check_addresses(port: u16) -> Result<()> {
    use super::cast::{CAST, FAILOVER_CLIENTS};
    let others = [FAILOVER_SERVERS, FAILOVER_CLIENTS];
    for address in others.into_iter().chain(CAST.iter().map(|member| member.address)) {
        std::net::TcpListener::bind((address, port))
            .with_context(|| format!("cannot listen at {address}:{port}; {}", super::PORT_ADVICE))?;
    }
    Ok(())
}

/// Opens a folder to keep: it must not be there yet, or be empty.
///
/// # Errors
/// It is not empty, or cannot be made.
pub fn open_kept(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let folder = folder.canonicalize()?;
    if std::fs::read_dir(&folder)?.next().is_some() {
        bail!("the folder {} is not empty", folder.display());
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::report::Report;
    use crate::scenario::EventKind;

    #[test]
    fn the_bottom_line_counts_down_for_those_who_are_silent() {
        let mut world = World::new("0,60,0".parse().unwrap(), Pace::at(60));
        for (id, at_ns) in [("arena", 10 * SECOND), ("bridge", 100 * SECOND)] {
            let report = Report::Heard { server: id.into(), sign: EventKind::KeepAlive, detail: None };
            world.take(&Stamped { at_ns, report });
            world.note(id, |machine| machine.health = "keep_alive".to_owned());
        }
        let text = awaited(&world, 105 * SECOND, "all is well");
        assert_eq!(text, "00:01:45  counts as failed in: Arena 0:25");
    }

    #[test]
    fn the_bottom_line_counts_down_to_the_restore_else_says_what_is_awaited() {
        let mut world = World::new("0,60,0".parse().unwrap(), Pace::at(60));
        assert_eq!(awaited(&world, 5 * SECOND, "all is well"), "00:00:05  until all is well");
        world.note("depot", |machine| {
            (machine.takeover, machine.returned_ns) = ("taken_over".to_owned(), Some(60 * SECOND));
        });
        assert_eq!(awaited(&world, 65 * SECOND, "all is well"), "00:01:05  Depot is stable in 0:15");
    }

    #[test]
    fn lines_are_handed_on_until_one_is_no_message() {
        let got = std::cell::RefCell::new(Vec::new());
        lines(
            &b"{\"started\":7}\n{\"exited\":{\"code\":0,\"signal\":null}}\nrubbish\n{\"started\":8}\n"[..],
            |word: Word| {
                got.borrow_mut().push(word);
            },
        );
        assert_eq!(got.into_inner(), [Word::Started(7), Word::Exited { code: Some(0), signal: None }]);
    }

    #[test]
    fn a_port_in_use_is_named_with_what_to_change() {
        let taken = std::net::TcpListener::bind("127.0.0.13:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let text = format!("{:#}", check_addresses(port).unwrap_err());
        assert!(text.contains(&format!("127.0.0.13:{port}")) && text.contains("--port"), "{text}");
    }

    #[test]
    fn a_folder_with_something_in_it_is_not_used() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("new");
        open_kept(&folder).unwrap();
        std::fs::write(folder.join("x"), "").unwrap();
        assert!(open_kept(&folder).unwrap_err().to_string().contains("is not empty"));
    }
}
