//! Verdicts for people and for programs: a line for each check while they come in, what was found below it, and a count at the end.

use std::collections::BTreeSet;
use std::io::{self, IsTerminal, Write};
use std::path::Path;
use std::time::Duration;

use anstyle::{AnsiColor, Style};
use anyhow::Result;
use serde_json::{Value, json};

use super::case::Check;
use super::child::{Identity, Judged, Verdict};

/// Columns of a paragraph.
const WIDTH: usize = 100;

/// Prints what each check proves.
///
/// # Errors
/// Standard output is closed.
pub fn list(checks: &[&'static Check], as_json: bool) -> Result<()> {
    let mut out = anstream::AutoStream::auto(io::stdout());
    if as_json {
        let all: Vec<Value> = checks.iter().map(|check| described(check)).collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&all)?)?;
        return Ok(());
    }
    let bold = Style::new().bold();
    for check in checks {
        writeln!(out, "{bold}{}{bold:#}", check.name)?;
        wrapped(check.why, WIDTH - 2).iter().try_for_each(|line| writeln!(out, "  {line}"))?;
    }
    Ok(())
}

fn described(check: &Check) -> Value {
    json!({ "name": check.name, "why": check.why, "cure": check.cure, "limit_s": check.limit_s })
}

/// Shows verdicts as they come.
pub struct Report<'a> {
    json: bool,
    checks: &'a [&'static Check],
    library: &'a Path,
    identity: &'a Identity,
    judged: Vec<Judged>,
    running: BTreeSet<usize>,
    out: anstream::AutoStream<io::Stdout>,
    draws: bool,
    drawn: bool,
}

impl<'a> Report<'a> {
    pub fn new(json: bool, checks: &'a [&'static Check], library: &'a Path, identity: &'a Identity) -> Self {
        let out = anstream::AutoStream::auto(io::stdout());
        let draws = io::stderr().is_terminal();
        Self { json, checks, library, identity, judged: Vec::new(), running: BTreeSet::new(), out, draws, drawn: false }
    }

    pub fn begin(&mut self) -> io::Result<()> {
        if self.json {
            return Ok(());
        }
        let Identity { text, abi } = self.identity;
        let abi = abi.map_or_else(|| "no common ABI".to_owned(), |(major, minor)| format!("ABI {major}.{minor}"));
        writeln!(self.out, "{}: {text}, {abi}; {} checks", self.library.display(), self.checks.len())
    }

    /// A check begins: its name is drawn where somebody looks.
    pub fn begins(&mut self, nth: usize) -> io::Result<()> {
        self.running.insert(nth);
        self.draw()
    }

    pub fn ended(&mut self, nth: usize) {
        self.running.remove(&nth);
    }

    fn draw(&mut self) -> io::Result<()> {
        if !self.draws {
            return Ok(());
        }
        let names: Vec<&str> = self.running.iter().map(|nth| self.checks[*nth].name).collect();
        let text = format!("{} of {}: {} …", self.judged.len(), self.checks.len(), names.join(", "));
        let text: String = text.chars().take(WIDTH - 22).collect();
        self.drawn = true;
        write!(io::stderr(), "\r\x1b[K{text}")
    }

    fn clear(&mut self) -> io::Result<()> {
        if std::mem::take(&mut self.drawn) { write!(io::stderr(), "\r\x1b[K") } else { Ok(()) }
    }

    pub fn show(&mut self, nth: usize, judged: Judged) -> io::Result<()> {
        self.clear()?;
        if !self.json {
            let text = lines(self.checks[nth], &judged);
            self.out.write_all(text.as_bytes())?;
            self.out.flush()?;
        }
        self.judged.push(judged);
        self.draw()
    }

    pub fn is_good(&self) -> bool {
        !self.judged.iter().any(|judged| judged.verdict.is_bad())
    }

    pub fn end(&mut self, took: Duration) -> Result<()> {
        self.clear()?;
        if self.json {
            let document = self.document(took);
            writeln!(self.out, "{}", serde_json::to_string_pretty(&document)?)?;
            return Ok(());
        }
        let counts = self.counts();
        let counts: Vec<String> = counts.iter().map(|(word, count)| format!("{count} {word}")).collect();
        writeln!(self.out, "{} in {:.1} s", counts.join(", "), took.as_secs_f64())?;
        Ok(())
    }

    /// How many of each verdict; those that never came are left out, but for `passed`.
    fn counts(&self) -> Vec<(&'static str, usize)> {
        let words = ["passed", "failed", "crashed", "timed out", "skipped"];
        let count = |word: &str| self.judged.iter().filter(|judged| judged.verdict.word() == word).count();
        words
            .map(|word| (word, count(word)))
            .into_iter()
            .filter(|(word, count)| *count > 0 || *word == "passed")
            .collect()
    }

    fn document(&self, took: Duration) -> Value {
        let checks = self.checks.iter().zip(&self.judged);
        let checks: Vec<Value> = checks.map(|(check, judged)| verdict(check, judged)).collect();
        let Identity { text, abi } = self.identity;
        json!({
            "library": self.library, "plugin": text, "abi": abi.map(|(major, minor)| format!("{major}.{minor}")),
            "seconds": took.as_secs_f64(), "good": self.is_good(), "checks": checks,
        })
    }
}

fn verdict(check: &Check, judged: &Judged) -> Value {
    let mut value = json!({
        "name": check.name, "verdict": judged.verdict.word(), "seconds": judged.took.as_secs_f64(),
        "findings": judged.findings, "notes": judged.notes,
    });
    let details = [
        ("detail", judged.verdict.detail()),
        ("doing", judged.doing.clone()),
        ("last_words", judged.last_words.clone()),
        ("cure", judged.verdict.is_bad().then(|| check.cure.to_owned())),
    ];
    details.into_iter().filter_map(|(key, text)| Some((key, text?))).for_each(|(key, text)| value[key] = text.into());
    value
}

/// A check in lines, with escape sequences for colour.
fn lines(check: &Check, judged: &Judged) -> String {
    let colour = match &judged.verdict {
        Verdict::Passed => AnsiColor::Green,
        Verdict::Skipped(_) => AnsiColor::Yellow,
        _ => AnsiColor::Red,
    };
    let (style, dim) = (Style::new().fg_color(Some(colour.into())), Style::new().dimmed());
    let word = judged.verdict.word();
    let word = if judged.verdict.is_bad() { word.to_uppercase() } else { word.to_owned() };
    let took = format!("{:.1} s", judged.took.as_secs_f64());
    let mut text = format!("{style}{word:<9}{style:#}  {:<34} {dim}{took:>7}{dim:#}\n", check.name);
    let mut add = |label: &str, words: &str| {
        let indent = " ".repeat(label.len());
        for (nth, line) in wrapped(words, WIDTH - 12).iter().enumerate() {
            let label = if nth == 0 { label } else { &indent };
            text.push_str(&format!("           {label}{line}\n"));
        }
    };
    if let Some(detail) = judged.verdict.detail() {
        add(&format!("{}: ", judged.verdict.word()), &detail);
    }
    if let Some(doing) = &judged.doing {
        add("in: ", doing);
    }
    for finding in &judged.findings {
        add("", &finding.what);
        add("  expected: ", &finding.expected);
        add("  came:     ", &finding.came);
    }
    if let Some(words) = &judged.last_words {
        add("it said: ", words);
    }
    judged.notes.iter().for_each(|note| add("note: ", note));
    if judged.verdict.is_bad() {
        add("to do: ", check.cure);
    }
    text
}

/// A paragraph in lines of so many columns.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().map_or(0, |line| line.chars().count());
        if line > 0 && line + 1 + word.chars().count() > width {
            lines.push(String::new());
        }
        if let Some(line) = lines.last_mut() {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    use crate::check::case::Finding;

    #[test]
    fn a_failed_check_says_what_was_expected_what_came_and_what_to_do() {
        let check = super::super::checks()[0];
        let finding = Finding { what: "majors 0 to 9".into(), expected: "VMSF_OK".into(), came: "VMSF_ERR_ABI".into() };
        let mut judged = Judged {
            verdict: Verdict::Failed,
            findings: vec![finding],
            notes: Vec::new(),
            doing: None,
            last_words: None,
            took: Duration::from_millis(340),
        };
        let text = anstream::adapter::strip_str(&lines(check, &judged)).to_string();
        let expected = [
            "FAILED     negotiation-ranges",
            "0.3 s",
            "majors 0 to 9",
            "expected: VMSF_OK",
            "came:     VMSF_ERR_ABI",
            "to do: Choose",
        ];
        expected.iter().for_each(|words| assert!(text.contains(words), "{words:?} is not in:\n{text}"));
        judged.verdict = Verdict::Crashed("signal 11".into());
        judged.doing = Some("notify".into());
        let text = anstream::adapter::strip_str(&lines(check, &judged)).to_string();
        assert!(text.contains("crashed: signal 11") && text.contains("in: notify"), "{text}");
        assert_eq!(verdict(check, &judged)["detail"], "signal 11");
    }

    #[test]
    fn a_paragraph_is_wrapped_between_words() {
        assert_eq!(wrapped("one two  three", 8), ["one two", "three"]);
        assert_eq!(wrapped("", 8), [""]);
    }
}
