//! `host-sim demo`, the real program with real processes: it plays its story to the end, and whatever ends it leaves nothing.
//!
//! One demo at a time: its servers, and what they promise in time, are enough for a small machine. Every one has a temporary folder and a
//! port of its own; a process belongs to a demo if its environment names that folder. Nothing waits for a time, only for conditions, each
//! with a generous limit.
#![cfg(target_os = "linux")]

#[path = "support/waiting.rs"]
mod waiting;

use std::ffi::OsString;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::mpsc::{self, Receiver};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use waiting::{LIMIT, wait_until};

/// A running demo, the only one.
struct Demo {
    child: Child,
    lines: Receiver<Value>,
    folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

impl Demo {
    fn start() -> Self {
        Self::with(|_| Vec::new())
    }

    /// One with further arguments, which may name its folder.
    fn with(arguments: impl FnOnce(&Path) -> Vec<OsString>) -> Self {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let alone = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::Builder::new().prefix("demo-test-").tempdir().unwrap();
        let mut command = command(&folder, free_port());
        command.arg("--json").args(arguments(folder.path())).stdout(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let (send, lines) = mpsc::channel();
        let output = BufReader::new(child.stdout.take().unwrap());
        std::thread::spawn(move || {
            for line in output.lines().map_while(Result::ok) {
                let line = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
                let _ = send.send(line);
            }
        });
        Self { child, lines, folder, _alone: alone }
    }

    /// The lines up to the first that fits.
    fn until(&self, fits: impl Fn(&Value) -> bool) -> Vec<Value> {
        let limit = Instant::now() + LIMIT;
        let mut seen = Vec::new();
        loop {
            let line = self.lines.recv_timeout(limit.saturating_duration_since(Instant::now()));
            let line = line.unwrap_or_else(|e| panic!("{e}, after {seen:#?}"));
            seen.push(line);
            if seen.last().is_some_and(&fits) {
                return seen;
            }
        }
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_raw(self.child.id().cast_signed()).unwrap(), signal).unwrap();
    }

    /// How it ended, once it did and its output was read.
    fn end(&mut self) -> (ExitStatus, Vec<Value>) {
        let limit = Instant::now() + LIMIT;
        let mut rest = Vec::new();
        while let Ok(line) = self.lines.recv_timeout(limit.saturating_duration_since(Instant::now())) {
            rest.push(line);
        }
        (self.child.wait().unwrap(), rest)
    }

    /// Nothing of it may be there any more.
    fn assert_nothing_left(&self) {
        assert_eq!(processes(self.folder.path()), [""; 0]);
        let files: Vec<PathBuf> = fs::read_dir(self.folder.path()).unwrap().map(|e| e.unwrap().path()).collect();
        assert!(files.is_empty(), "{files:?}");
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn command(folder: &tempfile::TempDir, port: u16) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_host-sim"));
    command.args(["demo", "--port", &port.to_string()]).env("TMPDIR", folder.path());
    command.stdin(Stdio::null()).stdout(Stdio::null());
    command
}

/// The command lines of all processes whose environment or command line names a folder.
fn processes(folder: &Path) -> Vec<String> {
    let folder = folder.to_str().unwrap();
    let read = |path: PathBuf| {
        let mut bytes = Vec::new();
        // A process may end while it is looked at.
        let _ = fs::File::open(path).and_then(|mut file| file.read_to_end(&mut bytes));
        String::from_utf8_lossy(&bytes).replace('\0', " ")
    };
    let entries = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
    entries
        .filter_map(|process| {
            let (line, environment) = (read(process.join("cmdline")), read(process.join("environ")));
            (line.contains(folder) || environment.contains(folder)).then_some(line)
        })
        .collect()
}

/// A port that is free at every address of the demo, and given once. Not one of the system's choice: it chooses those for
/// others, too, before the demo listens there.
fn free_port() -> u16 {
    static GIVEN: AtomicU32 = AtomicU32::new(0);
    let addresses = [10, 20, 11, 12, 13, 14].map(|last| std::net::Ipv4Addr::new(127, 0, 0, last));
    let is_free = |port: &u16| addresses.iter().all(|address| TcpListener::bind((*address, *port)).is_ok());
    let next = || {
        let given = GIVEN.fetch_add(1, Ordering::SeqCst);
        // Below the system's own; another run of these tests begins elsewhere.
        u16::try_from(10_000 + std::process::id().wrapping_mul(97).wrapping_add(given) % 20_000).unwrap()
    };
    std::iter::repeat_with(next).take(20_000).find(is_free).expect("a free port")
}

fn is_taken_over(line: &Value) -> bool {
    line["kind"] == "takeover" && line["to"] == "taken_over"
}

#[test]
fn it_plays_its_story_to_the_end_and_leaves_nothing() {
    let mut demo = Demo::start();
    let lines = demo.until(|line| line["kind"] == "summary");
    let (status, rest) = demo.end();
    let summary = &lines[lines.len() - 1];
    assert!(status.success(), "{status}: {summary:#}");
    assert_eq!(rest, [Value::Null; 0], "the summary is the last line");
    demo.assert_nothing_left();

    assert_eq!((&summary["ok"], &summary["missing"]), (&Value::Bool(true), &Value::Array(Vec::new())));
    let reasons: Vec<(&str, &str)> = lines
        .iter()
        .filter(|line| line["kind"] == "health" && line["to"] == "failed")
        .map(|line| (line["server"].as_str().unwrap(), line["reason"].as_str().unwrap()))
        .collect();
    let mut sorted = reasons.clone();
    sorted.sort_unstable();
    let expected = [
        ("arena", "abnormal_shutdown_timeout"),
        ("bridge", "keep_alive_timeout"),
        ("campus", "normal_shutdown_timeout"),
        ("depot", "keep_alive_timeout"),
    ];
    assert_eq!(sorted, expected, "{reasons:?}");
    assert_setup(&lines);
    assert_story(&lines);
    assert_killed_and_resumed(&lines, summary);
    assert_recordings(summary);
}

/// Before the first loss: in the cluster, let in at each server, each backed up where its takeover then finds it.
fn assert_setup(lines: &[Value]) {
    let first_loss = lines.iter().position(|line| line.get("loss").is_some()).unwrap();
    let (before, after) = lines.split_at(first_loss);
    let told = |kind: &str| before.iter().filter(|line| line["kind"] == kind).collect::<Vec<_>>();
    assert_eq!((told("cluster").len(), told("authorized").len()), (1, 4));
    let backups = told("backup");
    assert_eq!(backups.len(), 4);
    for backup in backups {
        let used = after.iter().find(|line| line["kind"] == "stands_in" && line["server"] == backup["server"]).unwrap();
        assert_eq!(used["backup"], backup["path"]);
    }
}

/// One after another: nobody is taken over before the one before has its role back.
fn assert_story(lines: &[Value]) {
    let changes: Vec<(&str, &str)> = lines
        .iter()
        .filter(|line| line["kind"] == "takeover" && line["to"] != "queued")
        .map(|line| (line["server"].as_str().unwrap(), line["to"].as_str().unwrap()))
        .collect();
    let order: Vec<&str> = changes.chunks(4).map(|turn| turn[0].0).collect();
    assert_eq!(order.len(), 4, "{changes:?}");
    for (turn, server) in changes.chunks(4).zip(&order) {
        assert_eq!(turn, ["taking_over", "taken_over", "restoring", "none"].map(|state| (*server, state)));
    }
    for server in &order[1..] {
        let waits = |line: &&Value| line["code"] == "not_covered" && line["server"] == *server;
        assert!(lines.iter().any(|line| waits(&line)), "{server} was not reported as not covered");
    }
    let clients = lines.iter().filter(|line| line["kind"] == "client" && line["recorder"] == "failover");
    assert_eq!(clients.count(), 4);
}

/// The host is killed once, between the question and the answer, and a new process is asked for the same operation.
fn assert_killed_and_resumed(lines: &[Value], summary: &Value) {
    let kills = lines.iter().filter(|line| line["killed"] == "failover").count();
    assert_eq!((kills, &summary["kills"]), (1, &Value::from(1)));
    let (before, after) = lines.split_at(lines.iter().position(|line| line["killed"] == "failover").unwrap());
    let asked = |line: &&Value| line["kind"] == "asked" && line["operation"] == "takeover";
    let first = before.iter().rfind(asked).unwrap();
    let answered = |line: &&Value| line["kind"] == "answered" && line["op"] == first["op"];
    assert_eq!(before.iter().filter(answered).count(), 0, "answered before the kill");
    let again: Vec<&Value> = after.iter().filter(asked).collect();
    assert_eq!(again.len(), 1, "{again:?}");
    for (line, resumed) in [(first, false), (again[0], true)] {
        assert_eq!((&line["op"], &line["server"]), (&first["op"], &first["server"]));
        assert_eq!(line["resumed"], resumed);
    }
    assert_eq!(summary["resumed"], Value::Array(vec![first["op"].clone()]));
    assert_eq!(after.iter().filter(|line| is_taken_over(line)).count(), 1);
    // Those that live find the new process by themselves.
    let heard_again =
        |id: &&str| after.iter().any(|it| it["server"] == *id && it["kind"] == "health" && it["to"] == "keep_alive");
    let others = ["arena", "bridge", "campus", "depot"].into_iter().filter(|id| first["server"] != *id);
    assert_eq!(others.filter(heard_again).count(), 3);
}

fn assert_recordings(summary: &Value) {
    for server in summary["servers"].as_array().unwrap() {
        for camera in server["cameras"].as_array().unwrap() {
            assert!(camera["at_loss_ms"].as_i64().unwrap() > 0, "{camera}");
            assert!(camera["at_return_ms"].as_i64().unwrap() <= 0, "{camera}");
        }
    }
}

#[test]
fn an_interrupted_demo_leaves_nothing() {
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        let mut demo = Demo::start();
        // Director, failover host, stand-in, and the last server with its supervisor.
        demo.until(is_taken_over);
        assert!(processes(demo.folder.path()).len() >= 5);
        demo.signal(signal);
        let (status, rest) = demo.end();
        assert_eq!(status.code(), Some(code), "{rest:#?}");
        assert_eq!(rest[rest.len() - 1]["kind"], "interrupted");
        demo.assert_nothing_left();
    }
}

#[test]
fn when_the_director_is_killed_its_processes_go_with_it() {
    let mut demo = Demo::start();
    demo.until(|line| line["loss"] == "hang");
    demo.signal(Signal::KILL);
    demo.child.wait().unwrap();
    wait_until("its processes are gone", || processes(demo.folder.path()).is_empty());
}

#[test]
fn a_port_in_use_is_named_with_the_option_that_changes_it() {
    let folder = tempfile::tempdir().unwrap();
    let port = free_port();
    let _taken = TcpListener::bind(("127.0.0.12", port)).unwrap();
    let output = command(&folder, port).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(&format!("127.0.0.12:{port}")) && text.contains("--port"), "{text}");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn what_cannot_be_used_is_refused_before_anything_begins() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("something"), "").unwrap();
    let full = folder.path().to_str().unwrap();
    let cases: [(&[&str], &str); 4] = [
        (&["--speed", "0"], "0 is not in 1..=120"),
        (&["--speed", "121"], "121 is not in 1..=120"),
        (&["--keep", full], "is not empty"),
        (&["--library", "/nowhere/libvms_failover.so"], "/nowhere/libvms_failover.so (--library)"),
    ];
    for (arguments, expected) in cases {
        let output = command(&folder, free_port()).args(arguments).output().unwrap();
        let text = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {text}");
        assert!(text.contains(expected), "{arguments:?}: {text}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_library_that_is_no_plugin_is_refused_with_its_name() {
    let folder = tempfile::tempdir().unwrap();
    let output =
        command(&folder, free_port()).args(["--library", "/proc/self/exe"]).stdout(Stdio::piped()).output().unwrap();
    let text = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains("/proc/self/exe"), "{text}");
    assert_eq!(output.stdout, b"", "nothing has begun");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    assert_eq!(processes(folder.path()), [""; 0]);
}

#[test]
fn everything_can_be_kept_to_look_at() {
    let mut demo = Demo::with(|folder| vec!["--keep".into(), folder.join("kept").into()]);
    let kept = demo.folder.path().join("kept");
    let camera = kept.join("arena/recordings/pitch");
    wait_until("three segments are recorded", || fs::read_dir(&camera).map_or(0, Iterator::count) >= 3);
    demo.signal(Signal::INT);
    assert_eq!(demo.end().0.code(), Some(130));
    assert!(fs::read_dir(&camera).unwrap().count() >= 3);
    assert_eq!(processes(demo.folder.path()), [""; 0]);
}
