//! The role of the failover host: the VMS process that has loaded the plugin.
//!
//! It hears the monitored servers over TCP and calls `notify`; it moves the plugin's time (unless the plugin's own worker does,
//! at speed 1); and it hands what the plugin asks for to `takeover`, which does it. It never decides anything about a failure:
//! that is the plugin's work. Started by the director, which reads its reports and closes its standard input to end it.
//!
//! Threads: the main one performs operations and starts stand-ins; one drives the plugin; one accepts connections, with one
//! more per connection; one waits for the end of standard input; one writes the reports.

use std::io::{self, BufReader, Read};
use std::net::{SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::{self, Sender};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result, anyhow, ensure};
use vms_failover_abi as abi;

use super::PORT_ADVICE;
use super::cast::{FAILOVER_SERVERS, Pace, configuration};
use super::clock::SimClock;
use super::process::bind_to_parent;
use super::protocol::{self, Message, Speaker};
use super::report::{Report, Reporter};
use super::takeover::{Job, Performer};
use crate::plugin::{Caller, CreateOptions, Event, Host, Instance, Mode, Operation, Plugin};
use crate::scenario::EventKind;

/// More connections than this at a time are closed at once.
const MAX_CONNECTIONS: usize = 64;
/// How long the plugin may take to stop.
const STOP_MS: u32 = 10_000;

/// Arguments of the role, given by the director.
#[derive(Debug, Clone, clap::Args)]
pub struct FailoverArgs {
    /// Process id of the parent.
    #[arg(long)]
    pub parent: u32,
    /// The common clock.
    #[arg(long)]
    pub clock: SimClock,
    /// Where the failover server's files go.
    #[arg(long)]
    pub folder: PathBuf,
    /// The port of all servers.
    #[arg(long)]
    pub port: u16,
    /// The plugin library.
    #[arg(long = "library")]
    pub plugin: PathBuf,
    /// Do the takeover with this number, but never answer: the director kills this process in the middle of it.
    #[arg(long)]
    pub stall_in: Option<usize>,
}

impl FailoverArgs {
    /// The arguments as a command line, for a child of this process.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--clock={}", self.clock),
            format!("--folder={}", self.folder.display()),
            format!("--port={}", self.port),
            format!("--library={}", self.plugin.display()),
        ];
        words.extend(self.stall_in.map(|number| format!("--stall-in={number}")));
        words
    }
}

/// Runs the role until standard input ends.
///
/// # Errors
/// The plugin cannot be loaded, the port is in use, or the plugin breaks its contract; the director is told why.
pub fn run(args: &FailoverArgs) -> Result<()> {
    bind_to_parent(args.parent)?;
    let (reporter, written) = Reporter::to_stdout(args.clock);
    let outcome = host(args, &reporter);
    reporter.say(match &outcome {
        Ok(()) => Report::Stopped {},
        Err(e) => Report::Fault { text: format!("{e:#}") },
    });
    reporter.finish(written);
    outcome
}

fn host(args: &FailoverArgs, reporter: &Reporter) -> Result<()> {
    let address = SocketAddrV4::new(FAILOVER_SERVERS, args.port);
    let listener = TcpListener::bind(address).with_context(|| format!("cannot listen at {address}; {PORT_ADVICE}"))?;
    let drives = args.clock.speed() > 1;
    let (jobs, work) = mpsc::channel();
    let pulse = Arc::new(Pulse::default());
    let mut instance = create(args, drives, reporter, &jobs, &pulse)?;
    // This failover server has joined; said before the start, so that nothing is held up for it.
    instance.cluster(true, "").context("the plugin does not take the membership in")?;
    instance.start().context("the plugin does not start")?;
    reporter.say(Report::Ready { plugin: instance.plugin().info().to_string(), address });

    let gate = Arc::new(Mutex::new(Gate::default()));
    let ear = Ear::new(instance.caller(), args.clock, gate.clone(), reporter.clone(), jobs.clone())?;
    std::thread::spawn(move || accept(&listener, &Arc::new(ear)));
    let end = jobs.clone();
    std::thread::spawn(move || {
        // The end of the pipe, and nothing else, is the director's word.
        let _ = io::copy(&mut io::stdin().lock().by_ref(), &mut io::sink());
        let _ = end.send(Job::Stop);
    });
    let mut performer = Performer::new(instance.caller(), args, reporter.clone());
    std::thread::scope(|scope| {
        let driver = drives.then(|| {
            let (instance, pulse, gate, jobs) = (&instance, &pulse, &gate, jobs.clone());
            scope.spawn(move || {
                let outcome = drive(instance, args.clock, gate, pulse);
                let _ = jobs.send(Job::Stop);
                outcome
            })
        });
        performer.work(&work);
        pulse.stop();
        driver.map_or(Ok(()), |driver| driver.join().map_err(|_| anyhow!("the driver panicked"))?)
    })?;
    // The servers go on talking until they are gone, but not to an instance that ends.
    lock(&gate).closed = true;
    end_of(&mut instance)
}

fn create(
    args: &FailoverArgs,
    drives: bool,
    reporter: &Reporter,
    jobs: &Sender<Job>,
    pulse: &Arc<Pulse>,
) -> Result<Instance> {
    let plugin = Plugin::load(&args.plugin)?;
    let pace = Pace::at(args.clock.speed());
    // Once it has been given, the plugin keeps its configuration itself.
    let config = (!args.folder.join("state").exists()).then(|| configuration(&args.folder, args.port, &pace));
    for folder in ["state", "backups", "store", "active"] {
        let folder = args.folder.join(folder);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    let mut options = CreateOptions::new(args.folder.join("state"), config);
    options.operations = Some(["takeover", "restore", "authorize", "backup"].map(str::to_owned).to_vec());
    let mode = if drives { Mode::HostDrives } else { Mode::Worker };
    let callbacks = Callbacks { reporter: reporter.clone(), jobs: Mutex::new(jobs.clone()), pulse: pulse.clone() };
    Ok(Instance::create(&plugin, mode, &options, Box::new(callbacks))?)
}

fn end_of(instance: &mut Instance) -> Result<()> {
    instance.stop(STOP_MS).context("the plugin does not stop")?;
    let released = instance.destroy().context("the plugin does not let itself be destroyed")?;
    ensure!(released == 1, "the plugin let go of its host {released} times, not once");
    instance.host_panic().map_or(Ok(()), |text| Err(anyhow!(text)))
}

/// What the plugin calls. Each only hands on: callbacks must be quick.
struct Callbacks {
    reporter: Reporter,
    jobs: Mutex<Sender<Job>>,
    pulse: Arc<Pulse>,
}

impl Callbacks {
    fn job(&self, job: Job) {
        let _ = lock(&self.jobs).send(job);
    }
}

impl Host for Callbacks {
    fn event(&self, event: Event) {
        let Event { kind, severity, seq, mono_ns, .. } = event;
        let entry: serde_json::Value = serde_json::from_str(&event.json).unwrap_or_default();
        if kind == abi::VMSF_EVENT_OPERATION_OVER
            && let Some(op) = entry["details"]["op"].as_u64()
        {
            self.job(Job::Over { op });
        }
        if kind == abi::VMSF_EVENT_COMPLETED
            && entry["details"]["operation"] == "authorize"
            && entry["details"]["outcome"] == "ok"
        {
            self.job(Job::BackUp { handle: event.server });
        }
        self.reporter.say(Report::Event { kind, severity, seq, mono_ns, entry });
    }

    fn begin(&self, operation: Operation) {
        self.job(Job::Operation(operation));
    }

    fn log(&self, level: u32, target: &str, text: &str) {
        if level >= abi::VMSF_SEVERITY_WARNING {
            self.reporter.say(Report::Log { text: format!("{target}: {text}") });
        }
    }

    fn wake(&self, next_ns: u64) {
        self.pulse.wake(next_ns);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// When the driver has to poll next.
#[derive(Debug, Default)]
struct Pulse {
    state: Mutex<Beat>,
    changed: Condvar,
}

#[derive(Debug)]
struct Beat {
    due_ns: u64,
    stop: bool,
}

impl Default for Beat {
    fn default() -> Self {
        Self { due_ns: abi::VMSF_NEVER, stop: false }
    }
}

impl Pulse {
    fn wake(&self, next_ns: u64) {
        let mut beat = lock(&self.state);
        beat.due_ns = beat.due_ns.min(next_ns);
        self.changed.notify_all();
    }

    fn stop(&self) {
        lock(&self.state).stop = true;
        self.changed.notify_all();
    }

    /// To be called before a poll: what wakes from here on is not lost.
    fn forget(&self) {
        lock(&self.state).due_ns = abi::VMSF_NEVER;
    }

    /// Waits until `next_ns`, or earlier if woken for it; whether to go on.
    fn wait(&self, clock: SimClock, next_ns: u64) -> bool {
        let mut beat = lock(&self.state);
        beat.due_ns = beat.due_ns.min(next_ns);
        while !beat.stop && clock.now_ns() < beat.due_ns {
            let pause = clock.until(beat.due_ns);
            beat = self.changed.wait_timeout(beat, pause).unwrap_or_else(PoisonError::into_inner).0;
        }
        !beat.stop
    }
}

/// Moves the plugin's time until told to stop.
fn drive(instance: &Instance, clock: SimClock, gate: &Mutex<Gate>, pulse: &Pulse) -> Result<()> {
    loop {
        pulse.forget();
        let next_ns = {
            let _gate = lock(gate);
            let now = clock.now_ns();
            instance.poll(now, clock.utc_ms(now).cast_signed()).context("the plugin's poll failed")?
        };
        if !pulse.wait(clock, next_ns) {
            return Ok(());
        }
    }
}

/// Held during `poll`, so that no event is stamped later than the poll that takes it in and has its stamp cut.
#[derive(Default)]
struct Gate {
    /// The host is leaving: what is still heard is nobody's any more.
    closed: bool,
}

/// What hears the monitored servers.
struct Ear {
    caller: Caller,
    clock: SimClock,
    gate: Arc<Mutex<Gate>>,
    reporter: Reporter,
    jobs: Mutex<Sender<Job>>,
    servers: Vec<(String, u64)>,
    open: AtomicUsize,
}

impl Ear {
    fn new(
        caller: Caller,
        clock: SimClock,
        gate: Arc<Mutex<Gate>>,
        reporter: Reporter,
        jobs: Sender<Job>,
    ) -> Result<Self> {
        let mut servers = Vec::new();
        let mut last = 0;
        while let Some(handle) = caller.next_server(last)? {
            servers.push((caller.server_id(handle)?, handle));
            last = handle;
        }
        Ok(Self { caller, clock, gate, reporter, jobs: Mutex::new(jobs), servers, open: AtomicUsize::new(0) })
    }

    fn fault(&self, text: String) {
        self.reporter.say(Report::Fault { text });
    }

    /// One connection, from its hello to its end.
    fn hear(&self, stream: &TcpStream) -> Result<()> {
        let mut input = BufReader::new(stream);
        let Some(Message::Hello { server, speaker }) = protocol::read(&mut input)? else {
            return Err(anyhow!("the first line is no hello"));
        };
        let handle = self.servers.iter().find(|(id, _)| *id == server).map(|(_, handle)| *handle);
        let handle = handle.with_context(|| format!("{server:?} is not monitored here"))?;
        if speaker == Speaker::Supervisor {
            return self.hear_supervisor(&mut input, &server, handle);
        }
        self.notify(&server, handle, EventKind::Connected, None);
        let outcome = self.hear_server(&mut input, &server, handle);
        self.notify(&server, handle, EventKind::Disconnected, None);
        outcome
    }

    fn hear_server(&self, input: &mut BufReader<&TcpStream>, server: &str, handle: u64) -> Result<()> {
        // A machine that loses power resets its connections at best: that is an end, not a fault.
        while let Some(message) = ended(protocol::read(input))? {
            match message {
                Message::Startup {} => {
                    self.notify(server, handle, EventKind::Startup, None);
                    let _ = lock(&self.jobs).send(Job::Authorize { server: server.to_owned(), handle });
                }
                Message::KeepAlive { .. } => self.notify(server, handle, EventKind::KeepAlive, None),
                Message::ShutdownNormal {} => self.notify(server, handle, EventKind::ShutdownNormal, None),
                other => return Err(anyhow!("a server does not say {other:?}")),
            }
        }
        Ok(())
    }

    fn hear_supervisor(&self, input: &mut BufReader<&TcpStream>, server: &str, handle: u64) -> Result<()> {
        while let Some(message) = ended(protocol::read(input))? {
            let Message::Exited { code, signal } = message else {
                return Err(anyhow!("a supervisor does not say {message:?}"));
            };
            let detail = match (code, signal) {
                (Some(code), _) => format!("exit status {code}"),
                (None, Some(signal)) => format!("signal {signal}"),
                (None, None) => "unknown".to_owned(),
            };
            self.notify(server, handle, EventKind::ShutdownAbnormal, Some(detail));
        }
        Ok(())
    }

    fn notify(&self, server: &str, handle: u64, sign: EventKind, detail: Option<String>) {
        let at_ns = self.clock.now_ns();
        let outcome = {
            let gate = lock(&self.gate);
            if gate.closed {
                return;
            }
            self.caller.notify(handle, sign.number(), at_ns)
        };
        self.reporter.say_at(at_ns, Report::Heard { server: server.to_owned(), sign, detail });
        if let Err(e) = outcome {
            self.fault(format!("{server}: {e}"));
        }
    }
}

/// The end of a connection, however it came, is an end.
fn ended(read: Result<Option<Message>, protocol::Broken>) -> Result<Option<Message>, protocol::Broken> {
    match read {
        Err(protocol::Broken::Io(_) | protocol::Broken::CutOff) => Ok(None),
        other => other,
    }
}

fn accept(listener: &TcpListener, ear: &Arc<Ear>) {
    for stream in listener.incoming().flatten() {
        if ear.open.fetch_add(1, Ordering::SeqCst) >= MAX_CONNECTIONS {
            ear.open.fetch_sub(1, Ordering::SeqCst);
            ear.fault(format!("more than {MAX_CONNECTIONS} connections; one was closed"));
            continue;
        }
        let ear = ear.clone();
        std::thread::spawn(move || {
            if let Err(e) = ear.hear(&stream) {
                ear.fault(format!("a connection was closed: {e:#}"));
            }
            ear.open.fetch_sub(1, Ordering::SeqCst);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::demo::clock::SECOND;

    #[test]
    fn a_wake_before_or_during_the_wait_shortens_it() {
        let clock = SimClock::starting_now(1);
        let pulse = Arc::new(Pulse::default());
        pulse.wake(0);
        assert!(pulse.wait(clock, clock.now_ns() + 3600 * SECOND));
        pulse.forget();
        let other = pulse.clone();
        let thread = std::thread::spawn(move || other.wait(clock, abi::VMSF_NEVER));
        pulse.wake(clock.now_ns());
        assert!(thread.join().unwrap());
    }

    #[test]
    fn a_stop_ends_the_wait() {
        let pulse = Pulse::default();
        pulse.stop();
        assert!(!pulse.wait(SimClock::starting_now(1), abi::VMSF_NEVER));
    }
}
