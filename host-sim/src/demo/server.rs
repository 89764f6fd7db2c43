//! The role of a recording server: records its cameras, answers clients, and tells the failover host that it lives.
//!
//! The same role serves for the original on its own machine (started by a supervisor, reports to the failover host) and for the
//! stand-in on the failover server (started by `failover`, reports to nobody): a server is its settings. It knows nothing
//! of failover and never looks at another server's files.

use std::io::{self, ErrorKind};
use std::net::{Shutdown, SocketAddrV4, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};
use signal_hook::consts::SIGTERM;
use signal_hook::iterator::Signals;

use super::archive::{Archive, sha256};
use super::cast::Settings;
use super::clock::{MS, SimClock};
use super::http::Answer;
use super::process::bind_to_parent;
use super::protocol::{self, Message, Speaker};
use super::recording::{self, Recorder, Segment};
use super::{PORT_ADVICE, http};

/// How long a server or supervisor tries to reach the failover host.
const REACH: Duration = Duration::from_secs(30);

/// Arguments of the role, given by `supervisor` or `failover`.
#[derive(Debug, Clone, clap::Args)]
pub struct ServerArgs {
    /// Process id of the parent.
    #[arg(long)]
    pub parent: u32,
    /// The settings file.
    #[arg(long)]
    pub settings: PathBuf,
    /// The common clock.
    #[arg(long)]
    pub clock: SimClock,
    /// How much a segment holds.
    #[arg(long)]
    pub segment_ms: u64,
    /// How often to send a keep-alive.
    #[arg(long)]
    pub keep_alive_ms: u64,
    /// The name of this machine in recordings.
    #[arg(long)]
    pub recorder: String,
    /// Where the failover host listens; none: no life signs are sent.
    #[arg(long)]
    pub report_to: Option<SocketAddrV4>,
}

impl ServerArgs {
    /// The arguments as a command line, for a child of this process.
    #[must_use]
    pub fn words(&self) -> Vec<String> {
        let mut words = vec![
            format!("--settings={}", self.settings.display()),
            format!("--clock={}", self.clock),
            format!("--segment-ms={}", self.segment_ms),
            format!("--keep-alive-ms={}", self.keep_alive_ms),
            format!("--recorder={}", self.recorder),
        ];
        words.extend(self.report_to.map(|address| format!("--report-to={address}")));
        words
    }
}

/// What a client gets for `GET /status`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Id of the server that answers.
    pub server: String,
    /// Its name for people.
    pub name: String,
    /// The machine that does the work.
    pub recorder: String,
    /// Its cameras, each with the newest segment.
    pub cameras: Vec<CameraStatus>,
}

/// One camera in a [`Status`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CameraStatus {
    /// Its id.
    pub id: String,
    /// Its name for people.
    pub name: String,
    /// What was recorded last.
    pub newest: Option<Segment>,
}

/// Runs the role until it is told to stop (SIGTERM).
///
/// # Errors
/// The settings cannot be used, the port is in use, or recordings cannot be written.
pub fn run(args: &ServerArgs) -> Result<()> {
    bind_to_parent(args.parent)?;
    let mut terminate = Signals::new([SIGTERM]).context("cannot wait for signals")?;
    let settings = read_settings(args)?;
    let listener = TcpListener::bind(settings.clients())
        .with_context(|| format!("cannot listen at {}; {PORT_ADVICE}", settings.clients()))?;
    let recorder = Recorder::new(&settings, &args.recorder, args.clock, args.segment_ms)?;
    let (stop_recording, stopped) = mpsc::channel();
    let recording = std::thread::spawn(move || recorder.run(&stopped));
    let desk = Desk::new(settings.clone(), args.recorder.clone());
    std::thread::spawn(move || http::serve(&listener, |request| desk.answer(request)));
    let life = args.report_to.map(|address| LifeSigns::begin(args, &settings.id, address)).transpose()?;

    terminate.forever().next();
    drop(stop_recording);
    let recorded = recording.join().map_err(|_| anyhow::anyhow!("the recorder panicked"))?;
    if let Some(life) = life {
        life.say_goodbye();
    }
    recorded
}

fn read_settings(args: &ServerArgs) -> Result<Settings> {
    let path = &args.settings;
    let text = std::fs::read(path).with_context(|| format!("cannot read the settings {}", path.display()))?;
    let settings: Settings =
        serde_json::from_slice(&text).with_context(|| format!("{} holds no settings", path.display()))?;
    settings.check()?;
    Ok(settings)
}

/// What answers: the status to everybody, a token to who has the credentials, the settings to who has a token.
struct Desk {
    settings: Settings,
    recorder: String,
    /// A login is worth as much as this process lives.
    tokens: Mutex<Vec<String>>,
}

impl Desk {
    fn new(settings: Settings, recorder: String) -> Self {
        Self { settings, recorder, tokens: Mutex::default() }
    }

    fn answer(&self, request: &http::Request) -> Answer {
        match request.path.as_str() {
            "/" | "/status" => document(&status(&self.settings, &self.recorder)),
            "/login" => self.log_in(&request.secret),
            "/settings" if self.knows(&request.secret) => document(&Archive::of(self.settings.clone())),
            "/settings" => Answer::Unauthorized,
            _ => Answer::Unknown,
        }
    }

    fn log_in(&self, credentials: &str) -> Answer {
        if sha256(credentials.as_bytes()) != self.settings.login_sha256 {
            return Answer::Unauthorized;
        }
        let Ok(token) = new_token() else { return Answer::Unknown };
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).push(token.clone());
        document(&token)
    }

    fn knows(&self, token: &str) -> bool {
        self.tokens.lock().unwrap_or_else(PoisonError::into_inner).iter().any(|known| known == token)
    }
}

fn document(value: &impl Serialize) -> Answer {
    serde_json::to_value(value).map_or(Answer::Unknown, Answer::Document)
}

/// A token that nobody can guess.
fn new_token() -> io::Result<String> {
    let mut bytes = [0; 32];
    io::Read::read_exact(&mut std::fs::File::open("/dev/urandom")?, &mut bytes)?;
    Ok(sha256(&bytes))
}

fn status(settings: &Settings, recorder: &str) -> Status {
    let camera = |camera: &super::cast::Camera| CameraStatus {
        id: camera.id.clone(),
        name: camera.name.clone(),
        newest: recording::newest(&settings.recordings.join(&camera.id)),
    };
    Status {
        server: settings.id.clone(),
        name: settings.name.clone(),
        recorder: recorder.to_owned(),
        cameras: settings.cameras.iter().map(camera).collect(),
    }
}

/// Connects to the failover host, which may still be starting, and says who speaks.
///
/// # Errors
/// It cannot be reached for a long time.
pub fn reach(address: SocketAddrV4, server: &str, speaker: Speaker) -> Result<TcpStream> {
    let until = Instant::now() + REACH;
    loop {
        match TcpStream::connect_timeout(&address.into(), REACH) {
            Ok(mut stream) => {
                stream.set_nodelay(true)?;
                protocol::write(&mut stream, &Message::Hello { server: server.to_owned(), speaker })?;
                return Ok(stream);
            }
            Err(e) if e.kind() == ErrorKind::ConnectionRefused && Instant::now() < until => {
                std::thread::sleep(Duration::from_millis(20));
            }
            Err(e) => return Err(e).with_context(|| format!("cannot reach the failover host at {address}")),
        }
    }
}

/// The thread that sends startup, keep-alive and shutdown messages and does nothing else.
struct LifeSigns {
    stop: mpsc::Sender<()>,
    thread: std::thread::JoinHandle<Result<()>>,
}

impl LifeSigns {
    fn begin(args: &ServerArgs, server: &str, address: SocketAddrV4) -> Result<Self> {
        let mut stream = reach(address, server, Speaker::Server)?;
        let (stop, stopped) = mpsc::channel();
        let (clock, every_ns) = (args.clock, args.keep_alive_ms * MS);
        let server = server.to_owned();
        let anew = move || reach(address, &server, Speaker::Server);
        let thread = std::thread::spawn(move || send(&mut stream, anew, clock, every_ns, &stopped));
        Ok(Self { stop, thread })
    }

    fn say_goodbye(self) {
        drop(self.stop);
        // Nobody is left to be told when it fails.
        let _ = self.thread.join();
    }
}

/// The failover host may go and come back: then the connection is made `anew`.
fn send(
    stream: &mut TcpStream,
    anew: impl Fn() -> Result<TcpStream>,
    clock: SimClock,
    every_ns: u64,
    stop: &Receiver<()>,
) -> Result<()> {
    protocol::write(stream, &Message::Startup {})?;
    let mut due = clock.now_ns() + every_ns / 5;
    let mut number = 0;
    while matches!(stop.recv_timeout(clock.until(due)), Err(RecvTimeoutError::Timeout)) {
        number += 1;
        let message = Message::KeepAlive { number };
        if protocol::write(stream, &message).is_err() {
            *stream = anew()?;
            protocol::write(stream, &message)?;
        }
        due = (due + every_ns).max(clock.now_ns());
    }
    protocol::write(stream, &Message::ShutdownNormal {})?;
    Ok(stream.shutdown(Shutdown::Write)?)
}

#[cfg(test)]
mod tests {
    use super::super::cast::{CAST, credentials};
    use super::*;

    #[test]
    fn clients_are_told_who_answers_which_cameras_and_what_was_recorded_last() {
        let folder = tempfile::tempdir().unwrap();
        let settings = Settings::of(&CAST[1], 51410, folder.path().to_owned());
        let gate = folder.path().join("ramp-east");
        std::fs::create_dir(&gate).unwrap();
        let (server, camera, recorder) = ("bridge".to_owned(), "ramp-east".to_owned(), "failover".to_owned());
        Segment { server, camera, recorder, from_ms: 5, to_ms: 9 }.write(&gate).unwrap();
        let desk = Desk::new(settings.clone(), "failover".to_owned());
        let ask = |path: &str, secret: &str| desk.answer(&http::Request { path: path.into(), secret: secret.into() });
        let Answer::Document(status) = ask("/status", "") else { panic!("no status") };
        let status: Status = serde_json::from_value(status).unwrap();
        assert_eq!((status.server.as_str(), status.recorder.as_str()), ("bridge", "failover"));
        let newest: Vec<Option<u64>> =
            status.cameras.iter().map(|camera| camera.newest.as_ref().map(|segment| segment.to_ms)).collect();
        assert_eq!(newest, [Some(9), None]);
        assert_eq!(ask("/etc/passwd", ""), Answer::Unknown);
    }

    #[test]
    fn settings_go_only_to_who_has_logged_in_with_the_right_credentials() {
        let settings = Settings::of(&CAST[1], 51410, PathBuf::new());
        let desk = Desk::new(settings.clone(), "bridge".to_owned());
        let ask = |path: &str, secret: &str| desk.answer(&http::Request { path: path.into(), secret: secret.into() });
        assert_eq!(ask("/login", &credentials("arena")), Answer::Unauthorized);
        let Answer::Document(token) = ask("/login", &credentials("bridge")) else { panic!("no token") };
        for wrong in ["", &credentials("bridge")] {
            assert_eq!(ask("/settings", wrong), Answer::Unauthorized);
        }
        let served = ask("/settings", token.as_str().unwrap());
        assert_eq!(served, document(&Archive::of(settings)));
    }

    #[test]
    fn life_signs_come_in_order_and_end_with_a_goodbye() {
        let mut bytes: Vec<Message> = Vec::new();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let std::net::SocketAddr::V4(address) = listener.local_addr().unwrap() else { panic!("not IPv4") };
        let args = ServerArgs {
            parent: 0,
            settings: PathBuf::new(),
            clock: SimClock::starting_now(60),
            segment_ms: 1000,
            keep_alive_ms: 1000,
            recorder: "arena".into(),
            report_to: Some(address),
        };
        let life = LifeSigns::begin(&args, "arena", address).unwrap();
        let mut input = io::BufReader::new(listener.accept().unwrap().0);
        while bytes.len() < 5 {
            bytes.push(protocol::read(&mut input).unwrap().unwrap());
        }
        life.say_goodbye();
        assert_eq!(bytes[0], Message::Hello { server: "arena".into(), speaker: Speaker::Server });
        assert_eq!(bytes[1], Message::Startup {});
        assert_eq!(bytes[2..], [1, 2, 3].map(|number| Message::KeepAlive { number }));
        let mut last = None;
        while let Some(message) = protocol::read(&mut input).unwrap() {
            last = Some(message);
        }
        assert_eq!(last, Some(Message::ShutdownNormal {}));
    }
}
