//! A check in a process of its own: what the parent does to start, bound and judge it, and what the child does.

use std::fs::{self, File};
use std::io::{self, Read};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::case::{Break, Case, Check, Finding, Word};
use crate::commands::{BAD, OK};
use crate::plugin::Plugin;
use crate::storm::signals::Signals;

/// The hidden command that the child is.
pub const COMMAND: &str = "check-one";
/// How often the parent looks whether it is to end.
const LOOK: Duration = Duration::from_millis(50);
/// How long a process may take to be gone once its output has ended.
const LAST_STEPS: Duration = Duration::from_secs(2);
/// What is kept of what a plugin writes to standard error.
const LAST_WORDS: usize = 400;

/// What the child is told.
#[derive(Debug, Clone, clap::Args)]
pub struct ChildArgs {
    /// The plugin library
    #[arg(long)]
    pub library: PathBuf,
    /// Where it tells and makes its files
    #[arg(long)]
    pub folder: PathBuf,
    /// The check; none: only say who the plugin is
    pub name: Option<String>,
}

/// How a check ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The plugin keeps the rule.
    Passed,
    /// It does not.
    Failed,
    /// It brought the process down: how.
    Crashed(String),
    /// It hung.
    TimedOut(u64),
    /// The check cannot be made here: why.
    Skipped(String),
}

impl Verdict {
    /// One word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Failed => "failed",
            Self::Crashed(_) => "crashed",
            Self::TimedOut(_) => "timed out",
            Self::Skipped(_) => "skipped",
        }
    }

    /// What it says besides.
    #[must_use]
    pub fn detail(&self) -> Option<String> {
        match self {
            Self::Passed | Self::Failed => None,
            Self::Crashed(how) | Self::Skipped(how) => Some(how.clone()),
            Self::TimedOut(after_s) => Some(format!("after {after_s} s")),
        }
    }

    /// Whether the plugin is at fault.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        matches!(self, Self::Failed | Self::Crashed(_) | Self::TimedOut(_))
    }
}

/// What came of a check.
#[derive(Clone, Debug)]
pub struct Judged {
    /// How it ended.
    pub verdict: Verdict,
    /// What it found.
    pub findings: Vec<Finding>,
    /// What it notes.
    pub notes: Vec<String>,
    /// What was under way when it crashed or hung.
    pub doing: Option<String>,
    /// The end of what the plugin wrote to standard error when it crashed or hung.
    pub last_words: Option<String>,
    /// How long it took.
    pub took: Duration,
}

/// Who the plugin says it is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Identity {
    /// Its id, version and build.
    pub text: String,
    /// Major and minor of the ABI chosen; none where it refuses this host.
    pub abi: Option<(u32, u32)>,
}

// ---- the parent ----

/// Runs a check of the library. `None` where a signal ended it.
///
/// # Errors
/// No process or no folder can be had.
pub fn judge(check: &Check, library: &Path, signals: &Signals) -> Result<Option<Judged>> {
    let folder = tempfile::Builder::new().prefix("vms-failover-check-").tempdir()?;
    let began = Instant::now();
    let child = start(library, folder.path(), Some(check.name))?;
    let Some(end) = wait(child, Duration::from_secs(check.limit_s), signals)? else { return Ok(None) };
    let mut judged = read(&folder.path().join(TOLD), end, check.limit_s);
    judged.took = began.elapsed();
    if matches!(judged.verdict, Verdict::Crashed(_) | Verdict::TimedOut(_)) {
        judged.last_words = last_words(&folder.path().join(ERRORS));
    }
    Ok(Some(judged))
}

/// Asks the plugin who it is, in a process of its own.
///
/// # Errors
/// It cannot be loaded, or is no plugin: the text says so.
pub fn identify(library: &Path, signals: &Signals) -> Result<Option<Identity>> {
    let folder = tempfile::Builder::new().prefix("vms-failover-check-").tempdir()?;
    let child = start(library, folder.path(), None)?;
    let Some(_) = wait(child, Duration::from_secs(20), signals)? else { return Ok(None) };
    let said: Result<Identity, String> = match fs::read_to_string(folder.path().join(TOLD)) {
        Ok(text) if !text.is_empty() => serde_json::from_str(&text)?,
        _ => Ok(Identity { text: "does not live to say who it is".into(), abi: None }),
    };
    said.map(Some).map_err(anyhow::Error::msg)
}

const TOLD: &str = "told.jsonl";
const ERRORS: &str = "errors.txt";

fn start(library: &Path, folder: &Path, name: Option<&str>) -> Result<Child> {
    let program = std::env::current_exe().context("this program's own path is unknown")?;
    let mut command = Command::new(program);
    command.arg(COMMAND).arg("--library").arg(library).arg("--folder").arg(folder).args(name);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(File::create(folder.join(ERRORS))?);
    command.spawn().context("a check needs a process of its own, which cannot be started")
}

/// How the process ended; none: it was killed when its time was over.
type End = Option<ExitStatus>;

/// Waits until the process has ended, or ends it: when its time is over, or when a signal came (`None`).
fn wait(mut child: Child, limit: Duration, signals: &Signals) -> Result<Option<End>> {
    let (ended, end) = mpsc::channel::<()>();
    // The output ends with the process; what a plugin prints is not looked at.
    if let Some(mut out) = child.stdout.take() {
        thread::spawn(move || {
            let _ = io::copy(&mut out, &mut io::sink());
            drop(ended);
        });
    }
    let until = Instant::now() + limit;
    while Instant::now() < until {
        if signals.came() {
            kill(&mut child)?;
            return Ok(None);
        }
        if end.recv_timeout(LOOK) == Err(RecvTimeoutError::Disconnected) {
            return Ok(Some(last_steps(&mut child, until.max(Instant::now() + LAST_STEPS))?));
        }
    }
    let late = child.try_wait()?;
    kill(&mut child)?;
    Ok(Some(late))
}

/// A process may close its output before it ends.
fn last_steps(child: &mut Child, until: Instant) -> Result<End> {
    loop {
        match child.try_wait()? {
            Some(status) => return Ok(Some(status)),
            None if Instant::now() < until => thread::sleep(Duration::from_millis(1)),
            None => {
                kill(child)?;
                return Ok(None);
            }
        }
    }
}

fn kill(child: &mut Child) -> Result<()> {
    // One that has ended by itself is no error.
    let _ = child.kill();
    child.wait().map(drop).context("the process of a check cannot be waited for")
}

/// What a child told, and how it ended, as a verdict.
fn read(told: &Path, end: End, limit_s: u64) -> Judged {
    let text = fs::read_to_string(told).unwrap_or_default();
    let (mut findings, mut notes, mut doing, mut ended) = (Vec::new(), Vec::new(), None, None);
    for word in text.lines().filter_map(|line| serde_json::from_str(line).ok()) {
        match word {
            Word::Doing(what) => doing = Some(what),
            Word::Found(finding) => findings.push(finding),
            Word::Note(text) => notes.push(text),
            Word::Ended(skipped) => ended = Some(skipped),
        }
    }
    let verdict = match (end, ended) {
        (None, _) => Verdict::TimedOut(limit_s),
        (Some(status), Some(skipped)) if status.success() => match skipped {
            _ if !findings.is_empty() => Verdict::Failed,
            Some(why) => Verdict::Skipped(why),
            None => Verdict::Passed,
        },
        (Some(status), _) => Verdict::Crashed(how(status)),
    };
    let doing = doing.filter(|_| matches!(verdict, Verdict::Crashed(_) | Verdict::TimedOut(_)));
    Judged { verdict, findings, notes, doing, last_words: None, took: Duration::ZERO }
}

#[cfg(unix)]
fn how(status: ExitStatus) -> String {
    use std::os::unix::process::ExitStatusExt;
    status.signal().map_or_else(|| how_by_code(status), |signal| format!("signal {signal}"))
}

#[cfg(not(unix))]
fn how(status: ExitStatus) -> String {
    how_by_code(status)
}

/// The codes of Windows' exceptions are known by their hexadecimal form.
fn how_by_code(status: ExitStatus) -> String {
    match status.code() {
        Some(0) => "the process ended in the middle of the check".into(),
        Some(code) if code < 0 => format!("exception {code:#010x}"),
        Some(code) => format!("exit status {code}"),
        None => status.to_string(),
    }
}

fn last_words(errors: &Path) -> Option<String> {
    let mut bytes = Vec::new();
    File::open(errors).and_then(|mut file| file.read_to_end(&mut bytes)).ok()?;
    let text = String::from_utf8_lossy(&bytes[bytes.len().saturating_sub(LAST_WORDS)..]).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

// ---- the child ----

/// Makes one check, as the hidden command; gives the exit status.
#[must_use]
pub fn run(args: &ChildArgs, checks: &[&'static Check]) -> u8 {
    let done = File::create(args.folder.join(TOLD)).map_err(anyhow::Error::from).and_then(|told| match &args.name {
        None => Ok(serde_json::to_writer(told, &identity(&args.library))?),
        Some(name) => {
            let check = checks.iter().find(|check| check.name == name).context("no such check")?;
            make(check, &Case::new(&args.library, &args.folder, told));
            Ok(())
        }
    });
    match done {
        Ok(()) => OK,
        Err(error) => {
            eprintln!("error: {error:#}");
            BAD
        }
    }
}

fn make(check: &Check, case: &Case) {
    let done = catch_unwind(AssertUnwindSafe(|| (check.run)(case)));
    let skipped = match done {
        Ok(Ok(()) | Err(Break::Failed)) => None,
        Ok(Err(Break::Skipped(why))) => Some(why),
        Err(_) => {
            case.found("the check", "its end", "a panic in the host's own code, which the plugin's answers led to");
            None
        }
    };
    case.tell(&Word::Ended(skipped));
}

fn identity(library: &Path) -> Result<Identity, String> {
    match Plugin::load(library) {
        Ok(plugin) => Ok(Identity { text: plugin.info().to_string(), abi: Some(plugin.abi()) }),
        Err(crate::plugin::LoadError::Refused { plugin, .. }) => Ok(Identity { text: plugin, abi: None }),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    use std::os::unix::process::ExitStatusExt;

    fn judged(words: &[Word], end: End) -> Judged {
        let folder = tempfile::tempdir().unwrap();
        let told = folder.path().join(TOLD);
        let lines: Vec<String> = words.iter().map(|word| serde_json::to_string(word).unwrap()).collect();
        fs::write(&told, lines.join("\n")).unwrap();
        read(&told, end, 7)
    }

    #[test]
    fn a_verdict_needs_the_end_of_the_check_and_of_its_process() {
        let (ok, killed) = (ExitStatus::from_raw(0), ExitStatus::from_raw(11));
        let doing = || Word::Doing("notify".into());
        let finding = || Finding { what: "a".into(), expected: "b".into(), came: "c".into() };
        let ended = || Word::Ended(None);
        assert_eq!(judged(&[doing(), ended()], Some(ok)).verdict, Verdict::Passed);
        assert_eq!(judged(&[Word::Found(finding()), ended()], Some(ok)).verdict, Verdict::Failed);
        assert_eq!(judged(&[Word::Ended(Some("no".into()))], Some(ok)).verdict, Verdict::Skipped("no".into()));
        assert_eq!(judged(&[ended()], None).verdict, Verdict::TimedOut(7));
        assert_eq!(judged(&[ended()], Some(killed)).verdict, Verdict::Crashed("signal 11".into()));
        assert!(matches!(judged(&[doing()], Some(ok)).verdict, Verdict::Crashed(how) if how.contains("middle")));
        let crashed = judged(&[doing(), Word::Found(finding())], Some(killed));
        assert_eq!((crashed.doing.as_deref(), crashed.findings.len()), (Some("notify"), 1));
        assert_eq!(judged(&[], Some(ExitStatus::from_raw(3 << 8))).verdict, Verdict::Crashed("exit status 3".into()));
    }
}
