//! The runner: drives a [`Subject`] through a scenario in virtual time and gives the trace.
//!
//! It is deterministic and knows neither a clock nor the plugin. At one instant: the steps due, in file order; the host's
//! answers due, in the order in which their operations began; then `poll`; and answers and `poll` again until nothing is due
//! at this instant. Then time goes on to the next instant at which a step or an answer is due or that the subject asked for.
//!
//! A `restart` or `crash` step drops the answers still due; what a stop brings to light is told before anything else of that instant.
//! Operations keep their numbers over all lives.
//!
//! A `pause` step ends the instant where it stands: nothing reaches the subject, not even a `poll`, until the pause is over.
//! Then what was due meanwhile is given, steps first. Answers come at their time even when the subject has given the operation up
//! (this host does not heed it), so that late answers can be told; what the subject says to those is no part of the trace.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::scenario::{Action, Call, EventKind, Exception, HostAnswers, Mishap, Scenario, Step};
use crate::trace::{TraceLine, What};

/// The instant of time 0 on the subject's clock: an instant must be at least 1.
pub const START_NS: u64 = 1_000_000_000;
/// Nanoseconds of a millisecond.
pub const MS: u64 = 1_000_000;
/// More polls than this within one millisecond of virtual time mean that the subject never lets time go on.
pub const POLLS_PER_MS: u32 = 10_000;

/// The instant `at_ms` on the subject's clock.
#[must_use]
pub fn instant_ns(at_ms: u64) -> u64 {
    START_NS + at_ms * MS
}

/// The name of a result code, such as `VMSF_ERR_STATE`.
pub type Refusal = String;

/// What a scenario drives: the built library, or something that behaves like it.
///
/// Every call gets the instant at which the host makes it. Calls take effect in the `poll` that follows.
pub trait Subject {
    /// Reports an event of a monitored server, stamped `at_ns`.
    ///
    /// # Errors
    /// The name of the result code.
    fn notify(&mut self, at_ns: u64, server: &str, event: EventKind) -> Result<(), Refusal>;

    /// Makes another call.
    ///
    /// # Errors
    /// The name of the result code.
    fn call(&mut self, at_ns: u64, call: &Call) -> Result<(), Refusal>;

    /// Answers an operation: done (`None`, and the subject's host has really done it), or failed with an error text.
    ///
    /// # Errors
    /// The name of the result code; `VMSF_ERR_NOT_FOUND` when the operation was given up.
    fn complete(&mut self, at_ns: u64, op: u64, failure: Option<&str>) -> Result<(), Refusal>;

    /// Moves time and gives what happened, in order.
    ///
    /// # Errors
    /// What went wrong; it ends the run.
    fn poll(&mut self, now_ns: u64, utc_ms: i64) -> Result<Polled, String>;

    /// Something befalls the host's process or its files. Gives what a life that was stopped told at its end.
    ///
    /// # Errors
    /// What went wrong; it ends the run.
    fn befall(&mut self, at_ns: u64, mishap: &Mishap) -> Result<Vec<Happening>, String> {
        let _ = at_ns;
        Err(format!("`{}` is nothing that can befall this subject", mishap.name()))
    }
}

/// What a `poll` gives.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Polled {
    /// When to poll again; at or before now: at once; `u64::MAX`: never.
    pub next_ns: u64,
    /// What happened, in order.
    pub happenings: Vec<Happening>,
}

/// Something that a subject tells its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Happening {
    /// A line for the trace. Its `op`, where it has one, is the subject's number; the runner puts the trace's.
    Line(What),
    /// The host is asked for work.
    Begin {
        /// The subject's number, for `complete`.
        op: u64,
        /// The operation's name.
        operation: String,
        /// The server's id, if it concerns one.
        server: Option<String>,
        /// It was begun before the last stop.
        resumed: bool,
    },
}

/// The subject broke its rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunError {
    /// When.
    pub at_ms: u64,
    /// How.
    pub what: String,
    /// The trace up to then.
    pub trace: Vec<TraceLine>,
}

impl fmt::Display for RunError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at {} ms: {}", self.at_ms, self.what)
    }
}

impl std::error::Error for RunError {}

/// Runs a scenario.
///
/// # Errors
/// The subject broke its rules: a `poll` failed, time never went on, or an answer was refused that it had asked for.
pub fn run(scenario: &Scenario, subject: &mut dyn Subject) -> Result<Vec<TraceLine>, RunError> {
    let mut runner = Runner::new(scenario, subject);
    match runner.all() {
        Ok(()) => Ok(runner.trace),
        Err(what) => Err(RunError { at_ms: runner.at_ms(), what, trace: runner.trace }),
    }
}

/// An answer that the host owes.
struct Answer {
    due_ns: u64,
    op: u64,
    failure: Option<String>,
}

struct Runner<'a> {
    subject: &'a mut dyn Subject,
    steps: &'a [Step],
    /// Time and index of the next occurrence of each step.
    queue: BinaryHeap<Reverse<(u64, usize)>>,
    host: ScriptedHost,
    /// In the order in which the operations began.
    answers: Vec<Answer>,
    /// The subject's numbers of operations, in the order in which they began: the trace counts from 1.
    ops: Vec<u64>,
    now_ns: u64,
    next_ns: u64,
    end_ns: u64,
    utc_at_start_ms: i64,
    paused_until_ns: u64,
    /// Events due before this instant never arrive.
    lost_before_ns: u64,
    /// What lives that were stopped at this instant told at their end.
    last_words: Vec<Happening>,
    polls: u32,
    trace: Vec<TraceLine>,
}

impl<'a> Runner<'a> {
    fn new(scenario: &'a Scenario, subject: &'a mut dyn Subject) -> Self {
        let first = scenario.steps.iter().enumerate().map(|(n, step)| Reverse((instant_ns(step.from_ms), n)));
        Self {
            subject,
            steps: &scenario.steps,
            queue: first.collect(),
            host: ScriptedHost::new(&scenario.host),
            answers: Vec::new(),
            ops: Vec::new(),
            now_ns: START_NS,
            next_ns: u64::MAX,
            end_ns: instant_ns(scenario.until_ms),
            utc_at_start_ms: scenario.start_utc_ms,
            paused_until_ns: 0,
            lost_before_ns: 0,
            last_words: Vec::new(),
            polls: 0,
            trace: Vec::new(),
        }
    }

    fn at_ms(&self) -> u64 {
        (self.now_ns - START_NS) / MS
    }

    fn all(&mut self) -> Result<(), String> {
        while self.now_ns <= self.end_ns {
            self.steps_due()?;
            self.say_last_words();
            if !self.paused() {
                self.settle()?;
            }
            self.advance();
        }
        Ok(())
    }

    fn paused(&self) -> bool {
        self.now_ns < self.paused_until_ns
    }

    /// To the next instant at which there is something to do.
    fn advance(&mut self) {
        let step = self.queue.peek().map_or(u64::MAX, |Reverse((due, _))| *due);
        let answer = self.answers.iter().map(|answer| answer.due_ns).min().unwrap_or(u64::MAX);
        let next = step.min(answer).min(self.next_ns).max(self.paused_until_ns).max(self.now_ns);
        if next / MS != self.now_ns / MS {
            self.polls = 0;
        }
        self.now_ns = next;
    }

    fn steps_due(&mut self) -> Result<(), String> {
        while let Some(Reverse((due, index))) = self.queue.peek().copied() {
            if due > self.now_ns || self.paused() {
                break;
            }
            self.queue.pop();
            let step = &self.steps[index];
            let again = due + step.every_ms * MS;
            if step.every_ms > 0 && again <= instant_ns(step.until_ms) {
                self.queue.push(Reverse((again, index)));
            }
            self.act(&step.action, due).map_err(|e| format!("step {}: {e}", index + 1))?;
        }
        Ok(())
    }

    fn act(&mut self, action: &Action, due_ns: u64) -> Result<(), String> {
        match action {
            Action::Event { .. } if due_ns < self.lost_before_ns => {}
            Action::Event { server, event } => {
                let result = self.subject.notify(self.now_ns, server, *event);
                self.refused(event.name(), Some(server), result);
            }
            Action::Call(call) => {
                let result = self.subject.call(self.now_ns, call);
                self.refused(call.name(), call.server(), result);
            }
            Action::Pause { ms, lost } => {
                self.paused_until_ns = self.now_ns.saturating_add(ms * MS);
                if *lost {
                    self.lost_before_ns = self.paused_until_ns;
                }
            }
            Action::UtcJump { ms } => self.utc_at_start_ms += ms,
            Action::Mishap(mishap) => {
                self.last_words.extend(self.subject.befall(self.now_ns, mishap)?);
                if mishap.ends_a_life() {
                    self.answers.clear();
                    // The new one has asked for nothing yet, and begins with its first poll.
                    self.next_ns = self.now_ns;
                }
            }
        }
        Ok(())
    }

    /// Refused calls of the instant stand before. What was begun in a stop is never answered.
    fn say_last_words(&mut self) {
        for happening in std::mem::take(&mut self.last_words) {
            match happening {
                Happening::Line(what) => self.told(what),
                Happening::Begin { op, operation, server, resumed } => self.begun(op, operation, server, resumed),
            }
        }
    }

    fn refused(&mut self, step: &str, server: Option<&str>, result: Result<(), Refusal>) {
        if let Err(error) = result {
            self.line(What::Refused { step: step.to_owned(), server: server.map(str::to_owned), error });
        }
    }

    /// Answers and polls until nothing is due at this instant.
    fn settle(&mut self) -> Result<(), String> {
        loop {
            self.answers_due()?;
            self.polls += 1;
            if self.polls > POLLS_PER_MS {
                return Err(format!("{POLLS_PER_MS} polls within one millisecond, and it still asks for another"));
            }
            let utc_ms = self.utc_at_start_ms.saturating_add_unsigned(self.at_ms());
            let polled = self.subject.poll(self.now_ns, utc_ms).map_err(|e| format!("poll: {e}"))?;
            self.next_ns = polled.next_ns;
            for happening in polled.happenings {
                self.happened(happening);
            }
            let answer_due = self.answers.iter().any(|answer| answer.due_ns <= self.now_ns);
            if self.next_ns > self.now_ns && !answer_due {
                return Ok(());
            }
        }
    }

    fn answers_due(&mut self) -> Result<(), String> {
        let now = self.now_ns;
        let due: Vec<Answer> = self.answers.extract_if(.., |answer| answer.due_ns <= now).collect();
        for Answer { op, failure, .. } in due {
            match self.subject.complete(now, op, failure.as_deref()) {
                Ok(()) => {}
                Err(given_up) if given_up == "VMSF_ERR_NOT_FOUND" => {}
                Err(error) => return Err(format!("the answer to operation {op} was refused: {error}")),
            }
        }
        Ok(())
    }

    fn happened(&mut self, happening: Happening) {
        match happening {
            Happening::Line(what) => self.told(what),
            Happening::Begin { op, operation, server, resumed } => {
                if let Some((delay_ms, failure)) = self.host.answer(&operation, server.as_deref()) {
                    let due_ns = self.now_ns.saturating_add(delay_ms.saturating_mul(MS));
                    self.answers.push(Answer { due_ns, op, failure });
                }
                self.begun(op, operation, server, resumed);
            }
        }
    }

    fn told(&mut self, mut what: What) {
        if let What::Completed { op, .. } | What::Operation { op, .. } = &mut what {
            *op = self.number(*op);
        }
        self.line(what);
    }

    fn begun(&mut self, op: u64, operation: String, server: Option<String>, resumed: bool) {
        self.told(What::Operation { operation, op, server, resumed });
    }

    /// The trace's number of an operation.
    fn number(&mut self, op: u64) -> u64 {
        let known = self.ops.iter().rposition(|seen| *seen == op);
        let index = known.unwrap_or_else(|| {
            self.ops.push(op);
            self.ops.len() - 1
        });
        index as u64 + 1
    }

    fn line(&mut self, what: What) {
        self.trace.push(TraceLine { at_ms: self.at_ms(), what });
    }
}

/// The host's side of the scenario: how it answers which operation.
struct ScriptedHost {
    delays_ms: Vec<(String, u64)>,
    fail: Vec<Exception>,
    never_answer: Vec<Exception>,
}

impl ScriptedHost {
    fn new(answers: &HostAnswers) -> Self {
        let HostAnswers { delays_ms, fail, never_answer } = answers.clone();
        Self { delays_ms, fail, never_answer }
    }

    /// Delay and failure of the answer, or none if it never comes.
    fn answer(&mut self, operation: &str, server: Option<&str>) -> Option<(u64, Option<String>)> {
        if use_up(&mut self.never_answer, operation, server).is_some() {
            return None;
        }
        let delay = self.delays_ms.iter().find(|(name, _)| name == operation).map_or(0, |(_, ms)| *ms);
        Some((delay, use_up(&mut self.fail, operation, server)))
    }
}

/// Takes one of the exceptions for this operation on this server (none: for no server), if there is one left, and gives its error text.
fn use_up(exceptions: &mut [Exception], operation: &str, server: Option<&str>) -> Option<String> {
    let fits = |e: &&mut Exception| e.times > 0 && e.operation == operation && e.server.as_deref() == server;
    let exception = exceptions.iter_mut().find(fits)?;
    exception.times -= 1;
    Some(exception.error.clone())
}

#[cfg(test)]
#[path = "run_tests.rs"]
mod tests;
