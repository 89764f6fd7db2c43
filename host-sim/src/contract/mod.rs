//! `host-sim check --host`: reads the trace that the plugin has written of a host (VMSF_TRACE) and tells which rules of the contract the host broke.
//!
//! [`read`] makes spans of lines, [`rules`] lists what can be broken and why it matters, the rooms below it look for each; nothing is loaded and
//! nothing is called. The format stands in include/README.md and include/schema/trace.json.

mod habits;
mod life;
mod operations;
pub mod read;
pub mod rules;
mod secrets;
mod section;
mod threads;
mod time;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::commands::{BAD, MISSED, OK};
use read::Read;
use rules::{ALL, Level, Rule};
use section::Section;

/// How many places of one broken rule are told.
const PLACES: usize = 5;

/// What the command line says.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The trace.
    pub trace: PathBuf,
    /// One JSON object instead of sentences.
    pub json: bool,
    /// The process was killed on purpose: that something did not end is no fault.
    pub killed: bool,
}

/// One place where a rule was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// Name of the rule.
    pub rule: &'static str,
    /// The line of the trace, from 1.
    pub line: usize,
    /// What happened there.
    pub text: String,
}

/// What a trace says of its host.
#[derive(Debug, Clone, Default)]
pub struct Verdict {
    /// What was broken, by line.
    pub findings: Vec<Finding>,
    /// Calls that are told one by one.
    pub calls: usize,
    /// Callbacks.
    pub callbacks: usize,
    /// Keep-alives that were only counted.
    pub keep_alives: u64,
    /// Instances created.
    pub instances: usize,
    /// Why not all of it is there, where it is not.
    pub incomplete: Option<String>,
}

impl Verdict {
    /// The broken rules in the order of the list, each with its places.
    #[must_use]
    pub fn broken(&self) -> Vec<(&'static Rule, Vec<&Finding>)> {
        let places = |rule: &'static Rule| -> Vec<&Finding> {
            self.findings.iter().filter(|finding| finding.rule == rule.name).collect()
        };
        ALL.iter().map(|rule| (rule, places(rule))).filter(|(_, places)| !places.is_empty()).collect()
    }

    /// Whether a rule that MUST be kept was broken.
    #[must_use]
    pub fn is_bad(&self) -> bool {
        self.broken().iter().any(|(rule, _)| rule.level == Level::Must)
    }
}

/// Judges a trace.
#[must_use]
pub fn judge(read: &Read, killed: bool) -> Verdict {
    let mut verdict = Verdict { incomplete: read.incomplete.clone(), ..Verdict::default() };
    for part in &read.parts {
        let section = Section::new(part, read.incomplete.is_none() && !killed);
        verdict.calls += section.calls().count();
        verdict.callbacks += section.callbacks().count();
        verdict.keep_alives += part.keep_alives;
        verdict.instances += section.instances().len();
        for look in [threads::look, life::look, operations::look, secrets::look, time::look, habits::look] {
            look(&section, &mut verdict.findings);
        }
    }
    verdict.findings.sort_by_key(|finding| finding.line);
    verdict
}

/// Runs `check --host` and gives the exit status.
#[must_use]
pub fn run(options: &Options) -> u8 {
    let text =
        fs::read(&options.trace).map_err(|error| format!("{}: cannot be read: {error}", options.trace.display()));
    let read = text.and_then(|text| read::read(&text).map_err(|bad| format!("{}:{bad}", options.trace.display())));
    let verdict = match read {
        Ok(read) => judge(&read, options.killed),
        Err(text) => {
            let _ = writeln!(io::stderr().lock(), "{text}");
            return BAD;
        }
    };
    let status = if verdict.is_bad() { MISSED } else { OK };
    let shown = if options.json { in_json(&options.trace, &verdict) } else { in_words(&verdict) };
    match io::stdout().lock().write_all(shown.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            let _ = writeln!(io::stderr().lock(), "standard output: {error}");
            BAD
        }
        _ => status,
    }
}

fn in_json(trace: &Path, verdict: &Verdict) -> String {
    let rule = |(rule, places): &(&Rule, Vec<&Finding>)| -> Value {
        let shown = places.iter().take(PLACES).map(|place| json!({ "line": place.line, "text": place.text }));
        json!({ "rule": rule.name, "level": rule.level.name(), "why": rule.why, "times": places.len(),
            "places": shown.collect::<Vec<_>>() })
    };
    let mut report = json!({
        "trace": trace, "ok": !verdict.is_bad(), "instances": verdict.instances, "calls": verdict.calls,
        "callbacks": verdict.callbacks, "keep_alives": verdict.keep_alives,
        "broken": verdict.broken().iter().map(rule).collect::<Vec<_>>(),
    });
    if let Some(why) = &verdict.incomplete {
        report["incomplete"] = json!(why);
    }
    format!("{report:#}\n")
}

fn in_words(verdict: &Verdict) -> String {
    let mut text = String::new();
    let broken = verdict.broken();
    for (rule, places) in &broken {
        let times = if places.len() == 1 { String::new() } else { format!(", {} times", places.len()) };
        text += &format!("{:6} {}{times}\n", rule.level.name(), rule.name);
        for place in places.iter().take(PLACES) {
            text += &format!("       line {}: {}\n", place.line, place.text);
        }
        text += &format!("{}\n", fold(rule.why));
    }
    let count = |level| broken.iter().filter(|(rule, _)| rule.level == level).count();
    text += &format!(
        "{} instances, {} calls, {} callbacks, {} keep-alives: {} broken, {} advised, of {} rules\n",
        verdict.instances,
        verdict.calls,
        verdict.callbacks,
        verdict.keep_alives,
        count(Level::Must),
        count(Level::Should),
        ALL.len()
    );
    if let Some(why) = &verdict.incomplete {
        text += &format!("{why}: what a host left out cannot be told from what is missing, and was not looked for\n");
    }
    text
}

/// A paragraph, indented.
fn fold(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + word.len() < 90 => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(format!(" {word}")),
        }
    }
    lines.iter().map(|line| format!("      {line}\n")).collect()
}

#[cfg(test)]
mod tests;
