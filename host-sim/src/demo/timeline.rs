//! How the story is shown: entries in words, one below the other, with a line at the bottom that says what is awaited.
//!
//! Colour and the bottom line appear only on a terminal, colour not where `NO_COLOR` is set. With `--json` an entry is a line of
//! JSON instead. It formats and writes; what the entries say comes from `narrator` and `director`.

use std::fmt::Write as _;
use std::io::{self, IsTerminal, Write as _};
use std::time::{Duration, Instant};

use anstyle::{AnsiColor, Style};
use serde::Serialize;
use serde_json::{Map, Value};

use super::cast::CAST;

/// How often the bottom line is drawn anew.
const REDRAW: Duration = Duration::from_millis(100);
/// Width of a terminal that does not say.
const WIDTH: usize = 80;

/// How serious an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// A detail.
    Note,
    /// Ordinary.
    Info,
    /// Something went well that was hoped for.
    Good,
    /// Worth a look.
    Warning,
    /// Somebody is without recordings.
    Alarm,
}

impl Severity {
    /// How it looks on a terminal.
    #[must_use]
    pub fn style(self) -> Style {
        match self {
            Self::Note => Style::new().dimmed(),
            Self::Info => Style::new(),
            Self::Good => AnsiColor::Green.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default(),
            Self::Alarm => AnsiColor::Red.on_default().bold(),
        }
    }
}

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Simulated ms since the beginning.
    pub at_ms: u64,
    /// What kind of thing, for programs.
    pub kind: &'static str,
    /// The server concerned.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server: Option<String>,
    /// How serious.
    pub severity: Severity,
    /// In words.
    pub text: String,
    /// Only for programs: people would have too much to read.
    #[serde(skip)]
    pub quiet: bool,
    /// For programs: the same in numbers.
    #[serde(flatten)]
    pub details: Map<String, Value>,
}

impl Entry {
    /// An ordinary entry about the demo as a whole.
    #[must_use]
    pub fn new(at_ms: u64, kind: &'static str, text: impl Into<String>) -> Self {
        let (server, severity, quiet) = (None, Severity::Info, false);
        Self { at_ms, kind, server, severity, text: text.into(), quiet, details: Map::new() }
    }

    /// The same, about a server.
    #[must_use]
    pub fn of(mut self, server: &str) -> Self {
        self.server = Some(server.to_owned());
        self
    }

    /// The same, as serious as this.
    #[must_use]
    pub fn as_(mut self, severity: Severity) -> Self {
        self.severity = severity;
        self
    }

    /// The same, for programs alone.
    #[must_use]
    pub fn quiet(mut self) -> Self {
        self.quiet = true;
        self
    }

    /// The same, with a detail.
    #[must_use]
    pub fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.details.insert(key.to_owned(), value.into());
        self
    }
}

/// A simulated time of day: `HH:MM:SS` since the beginning.
#[must_use]
pub fn clock(at_ms: u64) -> String {
    let s = at_ms / 1000;
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

/// A duration as people say it: `850 ms`, `12.3 s`, `20 s`, `5 min 03 s`.
#[must_use]
pub fn duration(ms: u64) -> String {
    match ms {
        0..1000 => format!("{ms} ms"),
        1000..60_000 if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        1000..60_000 => format!("{}.{} s", ms / 1000, ms / 100 % 10),
        _ if (ms / 1000).is_multiple_of(60) => format!("{} min", ms / 60_000),
        _ => format!("{} min {:02} s", ms / 60_000, ms / 1000 % 60),
    }
}

/// How fast time runs.
#[must_use]
pub fn pace(speed: u64) -> String {
    if speed == 1 { "in real time".to_owned() } else { format!("{speed} times faster than life") }
}

/// What is left of a wait, `M:SS`.
#[must_use]
pub fn countdown(ms: u64) -> String {
    let s = ms.div_ceil(1000);
    format!("{}:{:02}", s / 60, s % 60)
}

/// The name of a server for people; of the failover server when there is none.
#[must_use]
pub fn name(server: Option<&str>) -> &str {
    match server {
        Some(id) => CAST.iter().find(|member| member.id == id).map_or(id, |member| member.name),
        None => "failover",
    }
}

/// An entry as a line for people, with escape sequences for colour.
#[must_use]
pub fn line(entry: &Entry) -> String {
    let style = entry.severity.style();
    let dim = Style::new().dimmed();
    let bold = Style::new().bold();
    let who = name(entry.server.as_deref());
    let mut line = String::new();
    let _ = write!(line, "{dim}{}{dim:#}  {bold}{who:<8}{bold:#}  {style}{}{style:#}", clock(entry.at_ms), entry.text);
    line
}

/// Where the story goes.
#[derive(Debug)]
pub struct Screen {
    json: bool,
    out: anstream::AutoStream<io::Stdout>,
    live: bool,
    drawn: Option<Instant>,
}

impl Screen {
    /// Standard output, for people or as JSON Lines.
    #[must_use]
    pub fn new(json: bool) -> Self {
        let terminal = io::stdout().is_terminal() && std::env::var_os("TERM").is_none_or(|term| term != "dumb");
        Self { json, out: anstream::AutoStream::auto(io::stdout()), live: terminal && !json, drawn: None }
    }

    /// Whether it is JSON Lines.
    #[must_use]
    pub fn is_json(&self) -> bool {
        self.json
    }

    /// Shows an entry.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn show(&mut self, entry: &Entry) -> io::Result<()> {
        if self.json {
            return self.json(entry);
        }
        if entry.quiet { Ok(()) } else { self.print(&line(entry)) }
    }

    /// Writes one line of JSON.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn json(&mut self, value: &impl Serialize) -> io::Result<()> {
        let mut line = serde_json::to_string(value)?;
        line.push('\n');
        self.out.write_all(line.as_bytes())?;
        self.out.flush()
    }

    /// Writes text for people, which may hold escape sequences for colour.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn print(&mut self, text: &str) -> io::Result<()> {
        self.clear()?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    /// Draws the bottom line, now and then.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn await_(&mut self, text: impl FnOnce() -> String) -> io::Result<()> {
        if !self.live || self.drawn.is_some_and(|drawn| drawn.elapsed() < REDRAW) {
            return Ok(());
        }
        let width = rustix::termios::tcgetwinsize(io::stdout()).map_or(WIDTH, |size| usize::from(size.ws_col));
        let dim = Style::new().dimmed();
        write!(self.out, "\r\x1b[K{dim}{}{dim:#}", cut(&text(), width.saturating_sub(1)))?;
        self.drawn = Some(Instant::now());
        self.out.flush()
    }

    /// Takes the bottom line away.
    ///
    /// # Errors
    /// Standard output is closed.
    pub fn clear(&mut self) -> io::Result<()> {
        if self.drawn.take().is_some() {
            write!(self.out, "\r\x1b[K")?;
            self.out.flush()?;
        }
        Ok(())
    }
}

/// At most so many characters, so that the bottom line stays one line.
fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(entry: &Entry) -> String {
        anstream::adapter::strip_str(&line(entry)).to_string()
    }

    #[test]
    fn lines_look_like_this() {
        let entries = [
            Entry::new(0, "ready", "is ready"),
            Entry::new(61_999, "health", "FAILED: no keep-alive for 2 min").of("arena").as_(Severity::Alarm),
            Entry::new(3_600_000, "restored", "has its role back").of("bridge").as_(Severity::Good),
            Entry::new(90_000_000, "note", "…").of("nobody"),
        ];
        let golden = "\
            00:00:00  failover  is ready\n\
            00:01:01  Arena     FAILED: no keep-alive for 2 min\n\
            01:00:00  Bridge    has its role back\n\
            25:00:00  nobody    …";
        assert_eq!(entries.iter().map(plain).collect::<Vec<_>>().join("\n"), golden);
    }

    #[test]
    fn an_alarm_is_red_and_an_ordinary_entry_has_no_colour_of_its_own() {
        let alarm = line(&Entry::new(0, "x", "text").as_(Severity::Alarm));
        assert!(alarm.contains("\x1b[31m") && alarm.ends_with("\x1b[0m"), "{alarm:?}");
        assert!(line(&Entry::new(0, "x", "text")).ends_with("  text"));
    }

    #[test]
    fn an_entry_as_json_is_flat() {
        let entry = Entry::new(5, "health", "text").of("arena").as_(Severity::Alarm).with("reason", "x").quiet();
        let golden = r#"{"at_ms":5,"kind":"health","server":"arena","severity":"alarm","text":"text","reason":"x"}"#;
        assert_eq!(serde_json::to_string(&entry).unwrap(), golden);
    }

    #[test]
    fn durations_read_well() {
        let read = [0, 999, 1000, 12_345, 59_999, 60_000, 303_000, 3_600_000].map(duration);
        let golden = ["0 ms", "999 ms", "1 s", "12.3 s", "59.9 s", "1 min", "5 min 03 s", "60 min"];
        assert_eq!(read, golden);
        assert_eq!([1, 60].map(pace), ["in real time", "60 times faster than life"]);
        assert_eq!([0, 1, 59_001, 185_000].map(countdown), ["0:00", "0:01", "1:00", "3:05"]);
    }

    #[test]
    fn the_bottom_line_never_becomes_two() {
        assert_eq!(cut("äöü", 3), "äöü");
        assert_eq!(cut("äöüß", 3), "äö…");
        assert_eq!(cut("abc", 0), "…");
    }
}
