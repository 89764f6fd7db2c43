//! A life as the storm sees it: started, listened to, ended at an instant that is aimed at, and judged by how it ended.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use fastrand::Rng;

use super::check::Checker;
use super::host::LifeArgs;
use super::kind::Kind;
use super::signals::Signals;

/// A life that is killed at any instant is killed at the latest so long after its start.
const LONGEST_LIFE: Duration = Duration::from_millis(150);
/// One that is killed while something goes on waits for that so long.
const LONGEST_WAIT: Duration = Duration::from_secs(5);
/// And is killed at the latest so long after it began.
const LONGEST_AIM: Duration = Duration::from_millis(10);
/// The last life ends by itself, within this.
const LAST_LIFE: Duration = Duration::from_secs(300);
/// So often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(100);

/// When a life is killed.
#[derive(Debug, Clone, Copy)]
pub struct Aim {
    /// While this goes on; none: whatever goes on.
    kind: Option<Kind>,
    /// So long after the start, or after it was seen to go on.
    after: Duration,
    /// At the latest so long after the start.
    latest: Duration,
}

impl Aim {
    /// One in three at any instant, the others at what was hit least: so a short storm visits every kind, too.
    pub fn of(kill: u32, rng: &mut Rng, hits: &BTreeMap<Kind, u32>) -> Self {
        if kill.is_multiple_of(3) {
            let after = LONGEST_LIFE.mul_f64(rng.f64());
            return Self { kind: None, after, latest: after };
        }
        let kind = Kind::ALL.into_iter().min_by_key(|kind| hits.get(kind).copied().unwrap_or(0));
        Self { kind, after: LONGEST_AIM.mul_f64(rng.f64()), latest: LONGEST_WAIT }
    }

    /// The last life ends by itself.
    pub fn at_nothing() -> Self {
        Self { kind: None, after: LAST_LIFE, latest: LAST_LIFE }
    }

    /// Nothing comes to its start a second time.
    fn is_missed(&self, seen: Option<Instant>) -> bool {
        self.kind == Some(Kind::Start) && seen.is_none()
    }
}

/// What is done with each line that a life tells.
pub struct Ear<'a> {
    /// Judges them.
    pub checker: &'a mut Checker,
    /// Keeps them.
    pub facts: &'a mut fs::File,
    /// Ask for an end before the end.
    pub signals: &'a Signals,
}

impl Ear<'_> {
    fn take(&mut self, line: &str) -> Result<()> {
        writeln!(self.facts, "{line}").context("a fact cannot be kept")?;
        self.checker.take(serde_json::from_str(line).with_context(|| format!("no fact: {line}"))?);
        Ok(())
    }

    /// Until it is time to kill, or nobody tells any more.
    fn listen(&mut self, lines: &Receiver<String>, mut aim: Aim) -> Result<()> {
        let began = Instant::now();
        let mut seen: Option<Instant> = None;
        loop {
            if let Some(kind) = aim.kind {
                let goes_on = self.checker.in_flight().contains(&kind);
                // It was over too soon: the next one is not given so long.
                aim.after = if seen.is_some() && !goes_on { aim.after / 2 } else { aim.after };
                seen = goes_on.then(|| seen.unwrap_or_else(Instant::now));
            }
            if aim.is_missed(seen) || self.signals.came() {
                return Ok(());
            }
            let since = if aim.kind.is_some() { seen } else { Some(began) };
            let latest = began + aim.latest;
            let due = since.map_or(latest, |since| (since + aim.after).min(latest));
            let left = due.saturating_duration_since(Instant::now());
            match lines.recv_timeout(left.min(LOOK)) {
                Ok(line) => self.take(&line)?,
                Err(RecvTimeoutError::Timeout) if left > LOOK => {}
                Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => return Ok(()),
            }
        }
    }
}

/// Starts the process of a life.
///
/// # Errors
/// None can be started.
pub fn start(life: &LifeArgs) -> Result<Child> {
    let mut command = Command::new(std::env::current_exe()?);
    command.arg("storm-host").arg("--folder").arg(&life.folder).arg("--library").arg(&life.plugin);
    command.arg(format!("--seed={}", life.seed)).stdin(Stdio::piped()).stdout(Stdio::piped());
    let flags = [(life.last, "--last"), (life.configured, "--configured"), (life.restores, "--restores")];
    command.args(flags.iter().filter(|(given, _)| *given).map(|(_, flag)| flag));
    command.spawn().context("cannot start a host")
}

/// Takes in what a life tells, ends it (the last one ends by itself), and judges its end.
///
/// # Errors
/// It tells what is no fact, or facts cannot be kept.
pub fn live(mut child: Child, last: bool, aim: Aim, mut ear: Ear<'_>) -> Result<()> {
    let told = child.stdout.take().context("no standard output")?;
    let (send, lines) = mpsc::channel();
    let reader = thread::spawn(move || read(told, &send));
    let heard = ear.listen(&lines, aim);
    if last && heard.is_ok() {
        wait(&mut child, ear.signals);
    }
    // SIGKILL. One that has ended already is no error.
    let _ = child.kill();
    let status = child.wait().context("cannot wait for a host")?;
    heard?;
    lines.iter().try_for_each(|line| ear.take(&line))?;
    // A terminal sends its signal to the host, too.
    if !ear.signals.came() {
        judge(status, last, ear.checker);
    }
    reader.join().map_err(|_| anyhow!("the reader panicked"))
}

/// Only what the storm has killed was killed: a host that ends by itself, or is ended by its own fault, is a fault.
fn judge(status: ExitStatus, last: bool, checker: &mut Checker) {
    match (was_killed(status), last) {
        (true, false) => checker.killed(),
        (_, true) if status.success() => {}
        _ => checker.fault(format!("the host has ended by itself: {status}")),
    }
}

#[cfg(unix)]
fn was_killed(status: ExitStatus) -> bool {
    use std::os::unix::process::ExitStatusExt;
    const SIGKILL: i32 = 9;
    status.signal() == Some(SIGKILL)
}

/// Here whoever kills says with which status.
#[cfg(not(unix))]
fn was_killed(status: ExitStatus) -> bool {
    status.code() == Some(1)
}

/// Cut lines are no facts: a host that is killed while it writes has not told it.
fn read(told: impl Read, send: &Sender<String>) {
    let mut told = BufReader::new(told);
    let mut line = String::new();
    while told.read_line(&mut line).is_ok_and(|read| read > 0) && line.ends_with('\n') {
        let _ = send.send(line.trim_end().to_owned());
        line.clear();
    }
}

fn wait(child: &mut Child, signals: &Signals) {
    let until = Instant::now() + LAST_LIFE;
    while Instant::now() < until && !signals.came() && matches!(child.try_wait(), Ok(None)) {
        thread::sleep(Duration::from_millis(5));
    }
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    /// The faults and kills that are counted for a life that does this.
    fn lived(does: &str, last: bool) -> (usize, u32) {
        let child = Command::new("sh").args(["-c", does]).stdout(Stdio::piped()).spawn().unwrap();
        let (mut checker, signals) = (Checker::default(), Signals::default());
        let mut facts = tempfile::tempfile().unwrap();
        let aim = Aim { kind: None, after: LONGEST_WAIT, latest: LONGEST_WAIT };
        let aim = if does.starts_with("exec sleep") { Aim { after: LOOK, ..aim } } else { aim };
        checker.begin_life();
        live(child, last, aim, Ear { checker: &mut checker, facts: &mut facts, signals: &signals }).unwrap();
        (checker.faults().len(), checker.figures.hits.values().sum())
    }

    #[test]
    fn only_a_host_that_the_storm_has_killed_counts_as_killed() {
        assert_eq!(lived("exec sleep 60", false), (0, 1));
        for by_itself in ["kill -ABRT $$", "kill -SEGV $$", "exit 0", "exit 1"] {
            assert_eq!(lived(by_itself, false), (1, 0), "{by_itself}");
        }
        assert_eq!(lived("exit 0", true), (0, 0));
        assert_eq!(lived("exit 1", true), (1, 0));
    }

    #[test]
    fn what_was_hit_least_is_aimed_at() {
        let mut hits: BTreeMap<Kind, u32> = Kind::ALL.into_iter().map(|kind| (kind, 1)).collect();
        let aimed = |hits: &BTreeMap<Kind, u32>| Aim::of(1, &mut Rng::with_seed(1), hits).kind;
        assert_eq!(aimed(&hits), Some(Kind::Start));
        hits.remove(&Kind::Backup);
        assert_eq!(aimed(&hits), Some(Kind::Backup));
        assert_eq!(Aim::of(3, &mut Rng::with_seed(1), &hits).kind, None);
    }
}
