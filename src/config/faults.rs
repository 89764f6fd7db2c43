//! What is wrong with a document, as a bounded list.
//!
//! What it does: builds each [`Fault`] with its JSON pointer, cuts long values, counts what goes past the bound. What it must
//! never do: judge a value, or spend on a fault that is not listed: garbage must stay cheap. Who calls it: every other room
//! of `config` notes faults here; the outside sees [`Fault`] and [`ParseError`].

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// How many faults are listed; one more then says how many were left out.
pub const MAX_FAULTS: usize = 1_000;

const MAX_VALUE_CHARS: usize = 200;
const MAX_POINTER_CHARS: usize = 400;

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fault {
    /// JSON pointer (RFC 6901) to the value; `""` is the document. Cut to 400 characters, which no known key comes near.
    pub pointer: String,
    /// The value as compact JSON, cut to 200 characters; `""` if the key is missing.
    pub value: String,
    /// What is allowed there.
    pub allowed: String,
    /// The whole fault in one line: `/timeouts/keep_alive_s: 10 is below the minimum of 30`.
    pub text: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// Why a text is not a configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// It is not JSON; the text says why, with line and column.
    Json(String),
    /// It is JSON, with these faults; never empty.
    Faults(Vec<Fault>),
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ParseError::Json(text) => write!(f, "not JSON: {text}"),
            ParseError::Faults(faults) => {
                faults.iter().enumerate().try_for_each(|(i, x)| write!(f, "{}{x}", if i == 0 { "" } else { "\n" }))
            }
        }
    }
}

impl std::error::Error for ParseError {}

/// Where in the document we are: a chain on the stack, so that a pointer costs nothing until there is a fault.
#[derive(Clone, Copy)]
pub(super) enum At<'a> {
    Root,
    Key(&'a At<'a>, &'a str),
    Item(&'a At<'a>, usize),
}

impl At<'_> {
    fn write(&self, out: &mut String) {
        match *self {
            At::Root => {}
            At::Key(parent, key) => {
                parent.write(out);
                out.push('/');
                for c in key.chars().take(MAX_POINTER_CHARS) {
                    match c {
                        '~' => out.push_str("~0"),
                        '/' => out.push_str("~1"),
                        c => out.push(c),
                    }
                }
            }
            At::Item(parent, index) => {
                parent.write(out);
                out.push('/');
                out.push_str(&index.to_string());
            }
        }
    }

    fn pointer(&self) -> String {
        let mut out = String::new();
        self.write(&mut out);
        cut(out, MAX_POINTER_CHARS)
    }
}

/// The faults found so far. Past the bound they are counted and not even formatted.
#[derive(Default)]
pub(super) struct Faults {
    list: Vec<Fault>,
    more: usize,
}

impl Faults {
    /// The value is wrong: `<pointer>: <value> <problem>`.
    pub(super) fn wrong(&mut self, at: &At<'_>, value: &Value, allowed: impl fmt::Display, problem: impl fmt::Display) {
        if self.room() {
            self.note(at, Some(value), allowed, format_args!("{} {problem}", compact(value)));
        }
    }

    /// A required key is missing.
    pub(super) fn missing(&mut self, at: &At<'_>, allowed: impl fmt::Display) {
        self.note(at, None, allowed, "this key is required and missing");
    }

    /// Something else is wrong: `<pointer>: <problem>`.
    pub(super) fn note(
        &mut self,
        at: &At<'_>,
        value: Option<&Value>,
        allowed: impl fmt::Display,
        problem: impl fmt::Display,
    ) {
        if !self.room() {
            return;
        }
        let pointer = at.pointer();
        let place = if pointer.is_empty() { "the document" } else { &pointer };
        let text = format!("{place}: {problem}");
        let value = value.map(compact).unwrap_or_default();
        self.list.push(Fault { pointer, value, allowed: allowed.to_string(), text });
    }

    /// Whether one more fault will be listed; if not, it is counted here, and there is nothing else to do for it.
    pub(super) fn room(&mut self) -> bool {
        let room = self.list.len() < MAX_FAULTS;
        self.more += usize::from(!room);
        room
    }

    /// The result if there is no fault, else every fault.
    pub(super) fn finish<T>(mut self, result: Option<T>) -> Result<T, Vec<Fault>> {
        if self.more > 0 {
            self.list.push(Fault {
                pointer: String::new(),
                value: String::new(),
                allowed: format!("at most {MAX_FAULTS} faults are listed"),
                text: format!("the document: {} more faults are not listed", self.more),
            });
        }
        match result {
            Some(result) if self.list.is_empty() => Ok(result),
            _ => Err(self.list),
        }
    }
}

fn cut(text: String, max_chars: usize) -> String {
    if text.chars().nth(max_chars).is_none() {
        return text;
    }
    text.chars().take(max_chars - 1).chain(['…']).collect()
}

/// A value as compact JSON, cut. The writer gives up when its buffer is full, so a huge or deep value costs no more than a
/// small one.
fn compact(value: &Value) -> String {
    let mut buffer = [0; (MAX_VALUE_CHARS + 1) * 4];
    let mut free = &mut buffer[..];
    // The only error is a full buffer.
    let _ = serde_json::to_writer(&mut free, value);
    let free = free.len();
    let head = &buffer[..buffer.len() - free];
    cut(String::from_utf8_lossy(head).into_owned(), MAX_VALUE_CHARS)
}
