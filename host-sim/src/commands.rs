//! The commands of the program: what `main` calls when the command line has been read. Trace on standard output, the rest on
//! standard error; the result is the exit status.

use std::fs;
use std::io::{self, IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::expect::{self, Missed};
use crate::explain;
use crate::library::{BeginError, LibrarySubject};
use crate::lives::{Lives, program};
use crate::plugin::{self, Plugin};
use crate::random;
use crate::run::{Subject, run};
use crate::scenario::Scenario;
use crate::trace::{TraceLine, to_json_lines};

/// Exit status: all went well.
pub const OK: u8 = 0;
/// Exit status: an expectation was missed, or the plugin misbehaved.
pub const MISSED: u8 = 1;
/// Exit status: a bad command line, a bad file, or no plugin.
pub const BAD: u8 = 2;

/// What `run` is told.
#[derive(Debug, Clone, Default)]
pub struct RunOptions {
    /// The scenario files.
    pub files: Vec<PathBuf>,
    /// `--library`.
    pub plugin: Option<PathBuf>,
    /// `--explain`.
    pub explain: bool,
    /// Columns of `--explain`; none: `COLUMNS`, else 80.
    pub width: Option<usize>,
}

/// Why a scenario gave no trace.
#[derive(Debug)]
pub struct Failure {
    /// [`MISSED`] or [`BAD`].
    pub status: u8,
    /// For people.
    pub text: String,
    /// The trace up to there.
    pub trace: Vec<TraceLine>,
}

/// Runs scenario files, one after another, and gives the worst exit status. The library is loaded when the first good file
/// needs it, so that a bad file is told even where there is no plugin.
#[must_use]
pub fn run_files(options: &RunOptions) -> u8 {
    let mut plugin = None;
    let mut worst = OK;
    for file in &options.files {
        let status = match (read(file), &mut plugin) {
            (Err(text), _) => {
                complain(&text);
                BAD
            }
            (Ok(scenario), Some(plugin)) => run_scenario(plugin, file, &scenario, options),
            (Ok(scenario), none) => match load(options.plugin.as_deref()) {
                Ok(loaded) => run_scenario(none.insert(loaded), file, &scenario, options),
                Err(text) => {
                    complain(&text);
                    return BAD;
                }
            },
        };
        worst = worst.max(status);
    }
    worst
}

/// Prints a random scenario, or its trace.
#[must_use]
pub fn run_random(seed: u64, troubled: bool, print: bool, library: Option<&Path>) -> u8 {
    if print {
        let document = if troubled { random::troubled_document(seed) } else { random::document(seed) };
        let document = serde_json::to_string_pretty(&document).unwrap_or_default();
        return show(&(document + "\n"), OK);
    }
    let scenario = if troubled { random::troubled(seed) } else { random::scenario(seed) };
    let trace = load(library).map_err(|text| Failure { status: BAD, text, trace: Vec::new() });
    match trace.and_then(|plugin| trace_of(&plugin, &scenario)) {
        Ok(trace) => show(&to_json_lines(&trace), OK),
        Err(failure) => {
            complain(&failure.text);
            show(&to_json_lines(&failure.trace), failure.status)
        }
    }
}

/// Drives the built library through a scenario and gives the trace. A scenario with several lives takes a process for each, of the program
/// `host-sim`: see [`program`].
///
/// # Errors
/// The plugin refuses the configuration, or misbehaves; or there is no such program.
pub fn trace_of(plugin: &Arc<Plugin>, scenario: &Scenario) -> Result<Vec<TraceLine>, Failure> {
    if scenario.has_several_lives() {
        let program = program::Places::of_process().find();
        let program = program.map_err(|text| Failure { status: BAD, text, trace: Vec::new() })?;
        through(scenario, Lives::begin(&program, plugin, scenario), Lives::end)
    } else {
        through(scenario, LibrarySubject::begin(plugin, scenario), LibrarySubject::end)
    }
}

fn through<S: Subject>(
    scenario: &Scenario,
    subject: Result<S, BeginError>,
    end: fn(S) -> Result<(), String>,
) -> Result<Vec<TraceLine>, Failure> {
    let fail = |status, text, trace| Failure { status, text, trace };
    let mut subject = subject.map_err(|error| {
        let status = if matches!(error, BeginError::Config(_)) { BAD } else { MISSED };
        fail(status, error.to_string(), Vec::new())
    })?;
    let trace = run(scenario, &mut subject).map_err(|error| fail(MISSED, error.to_string(), error.trace))?;
    match end(subject) {
        Ok(()) => Ok(trace),
        Err(text) => Err(fail(MISSED, format!("at the end: {text}"), trace)),
    }
}

/// Finds and loads the plugin: this library if one is named, else the built one.
///
/// # Errors
/// There is none, or it is none; the text is for people.
pub fn load(library: Option<&Path>) -> Result<Arc<Plugin>, String> {
    let path = plugin::find(library).map_err(|e| e.to_string())?;
    Plugin::load(&path).map_err(|e| e.to_string())
}

fn read(file: &Path) -> Result<Scenario, String> {
    let name = file.display().to_string();
    let text = fs::read_to_string(file).map_err(|error| format!("{name}: cannot be read: {error}"))?;
    Scenario::parse(&name, &text).map_err(|bad| bad.to_string())
}

fn run_scenario(plugin: &Arc<Plugin>, file: &Path, scenario: &Scenario, options: &RunOptions) -> u8 {
    match trace_of(plugin, scenario) {
        Ok(trace) => finish(scenario, &trace, options),
        Err(Failure { status: BAD, text, .. }) => {
            complain(&format!("{}: {text}", file.display()));
            BAD
        }
        Err(failure) => {
            let status = show(&story(scenario, &failure.trace, options), failure.status);
            complain(&format!("{} {}\n  {}", red("FAILED"), scenario.name, failure.text));
            status
        }
    }
}

fn finish(scenario: &Scenario, trace: &[TraceLine], options: &RunOptions) -> u8 {
    let status = show(&story(scenario, trace, options), OK);
    match expect::check(&scenario.expect, trace) {
        Ok(_) => {
            complain(&format!("{}  {}  ({} lines)", green("ok"), scenario.name, trace.len()));
            status
        }
        Err(Missed { index, total, text }) => {
            let text = text.replace('\n', "\n  ");
            complain(&format!(
                "{} {}  ({index} of {total} expected lines came)\n  {text}",
                red("MISSED"),
                scenario.name
            ));
            MISSED
        }
    }
}

fn story(scenario: &Scenario, trace: &[TraceLine], options: &RunOptions) -> String {
    if !options.explain {
        return to_json_lines(trace);
    }
    let columns = || std::env::var("COLUMNS").ok().and_then(|text| text.parse().ok());
    explain::explain(scenario, trace, options.width.or_else(columns).unwrap_or(80))
}

/// Writes to standard output; whoever closed it early wants no more, which is no fault.
fn show(text: &str, status: u8) -> u8 {
    let mut out = io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            complain(&format!("standard output: {error}"));
            MISSED
        }
        _ => status,
    }
}

fn complain(text: &str) {
    // There is nobody left to tell when standard error is gone.
    let _ = writeln!(io::stderr().lock(), "{text}");
}

fn green(text: &str) -> String {
    colour("32", text)
}

fn red(text: &str) -> String {
    colour("31", text)
}

fn colour(code: &str, text: &str) -> String {
    let wanted = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    if wanted { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
}
