//! A trace as spans: what each line says, whatever its order, and the line that says nothing.

use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;

/// The version of the format that is read.
const SCHEMA: u32 = 1;

/// Where a trace cannot be read, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bad {
    /// The line, from 1.
    pub line: usize,
    /// What is wrong and what to do.
    pub text: String,
}

impl fmt::Display for Bad {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.line, self.text)
    }
}

/// Which callback a call was made in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Inside {
    /// `wake`: nothing may be called.
    Wake,
    /// Another one.
    Callback,
}

/// A line as it stands there. What a later version adds is left out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub struct Line {
    trace: Option<u32>,
    process: Option<u64>,
    enter: Option<String>,
    call: Option<String>,
    callback: Option<String>,
    keep_alives: Option<u64>,
    lost: Option<u64>,
    cut: Option<String>,
    end: Option<String>,
    n: Option<u64>,
    thread: Option<u64>,
    at_ns: Option<u64>,
    begin_ns: Option<u64>,
    end_ns: Option<u64>,
    /// The handle of the instance.
    pub plugin: Option<String>,
    /// The handle of the server.
    pub server: Option<String>,
    /// Which callback it was called in.
    pub inside: Option<Inside>,
    /// The process that called, where it is not the one that has the plugin.
    pub fork: Option<u64>,
    /// Name of the result.
    pub result: Option<String>,
    /// Of an operation.
    pub op: Option<u64>,
    /// Of an event, a begin or a notify.
    pub kind: Option<u64>,
    /// Code of an event.
    pub code: Option<String>,
    /// Why.
    pub reason: Option<String>,
    /// VMSF_OUTCOME_ in a call, a word in an event.
    pub outcome: Option<serde_json::Value>,
    /// Bytes of the secret.
    pub secret_len: Option<u64>,
    /// The secret stands in the JSON of the same call.
    pub secret_in_json: bool,
    /// Stamp of a notify.
    pub stamp_ns: Option<u64>,
    /// Of a poll.
    pub now_ns: Option<u64>,
    /// Of a poll and of wake.
    pub next_ns: Option<u64>,
    /// Whether the host of a `create` drives.
    pub drives: bool,
}

/// A call or a callback.
#[derive(Debug, Clone)]
pub struct Span {
    /// Where it stands, from 1.
    pub at: usize,
    /// Whether the plugin called.
    pub is_callback: bool,
    /// The member.
    pub name: String,
    /// The thread's number.
    pub thread: u64,
    /// When it began.
    pub begin_ns: u64,
    /// When it returned, if it did.
    pub end_ns: Option<u64>,
    /// What else is said.
    pub line: Line,
}

/// What one process did.
#[derive(Debug, Clone, Default)]
pub struct Part {
    process: u64,
    /// In the order of their beginnings.
    pub spans: Vec<Span>,
    /// What was only counted.
    pub keep_alives: u64,
    /// The last instant that is told.
    pub last_ns: u64,
    /// The last line.
    pub last_line: usize,
}

/// A whole trace.
#[derive(Debug, Clone, Default)]
pub struct Read {
    /// By process.
    pub parts: Vec<Part>,
    /// Why not everything is there.
    pub incomplete: Option<String>,
}

/// Reads a trace.
///
/// # Errors
/// A line that is none of a trace: which one, and why.
pub fn read(bytes: &[u8]) -> Result<Read, Bad> {
    let bad = |line, text: String| Err(Bad { line, text });
    if bytes.is_empty() {
        return bad(1, "the trace is empty: was VMSF_TRACE set when the host called `create`?".into());
    }
    let mut read = Read::default();
    // By number: what has begun and not returned.
    let mut open: BTreeMap<u64, Span> = BTreeMap::new();
    let mut lines = bytes.split(|byte| *byte == b'\n').enumerate().peekable();
    while let Some((index, text)) = lines.next() {
        let at = index + 1;
        if lines.peek().is_none() {
            if text.is_empty() {
                break;
            }
            return bad(
                at,
                "the line is cut off: the trace was copied or written in part; delete this line to judge the rest"
                    .into(),
            );
        }
        let line = match serde_json::from_slice::<Line>(text) {
            Ok(line) => line,
            Err(error) => return bad(at, format!("no line of a trace: {error}")),
        };
        if let Err(text) = take(line, at, &mut read, &mut open) {
            return bad(at, text);
        }
    }
    flush(&mut read, &mut open);
    Ok(read)
}

fn flush(read: &mut Read, open: &mut BTreeMap<u64, Span>) {
    if let Some(part) = read.parts.last_mut() {
        part.spans.extend(std::mem::take(open).into_values());
        part.spans.sort_by_key(|span| (span.begin_ns, span.at));
    }
}

fn take(line: Line, at: usize, read: &mut Read, open: &mut BTreeMap<u64, Span>) -> Result<(), String> {
    if let Some(schema) = line.trace {
        return begin(&line, schema, at, read, open);
    }
    let Some(part) = read.parts.last_mut() else {
        return Err("the first line of a trace is {\"trace\":1,...}, which this is not".into());
    };
    part.last_line = at;
    part.last_ns = part.last_ns.max(line.end_ns.or(line.at_ns).unwrap_or(0));
    if let Some(count) = line.keep_alives {
        part.keep_alives += count;
    } else if let Some(lost) = line.lost {
        read.incomplete = Some(format!("the trace is not complete: {lost} lines were dropped before line {at}"));
    } else if let Some(why) = line.cut {
        read.incomplete = Some(format!("the trace is cut at line {at} ({why})"));
    } else if line.end.is_none() {
        let (number, span) = span(line, at)?;
        let entered = open.remove(&number);
        match span.end_ns {
            Some(_) => part.spans.push(Span { at: entered.map_or(span.at, |entered| entered.at), ..span }),
            None => _ = open.insert(number, span),
        }
    }
    Ok(())
}

fn begin(line: &Line, schema: u32, at: usize, read: &mut Read, open: &mut BTreeMap<u64, Span>) -> Result<(), String> {
    if schema != SCHEMA {
        return Err(format!(
            "the trace has format {schema}, this program reads {SCHEMA}: use the host-sim of that plugin"
        ));
    }
    let process = line.process.ok_or("`process` is missing")?;
    if read.parts.last().is_none_or(|part| part.process != process) {
        flush(read, open);
        read.parts.push(Part { process, last_line: at, ..Part::default() });
    }
    Ok(())
}

/// The span of a line, with its number.
fn span(mut line: Line, at: usize) -> Result<(u64, Span), String> {
    let missing = |key: &str| format!("`{key}` is missing");
    let (is_callback, name, enters) = match (line.enter.take(), line.call.take(), line.callback.take()) {
        (Some(name), None, None) => (false, name, true),
        (None, Some(name), None) => (false, name, false),
        (None, None, Some(name)) => (true, name, false),
        _ => {
            return Err(
                "a line has one of `trace`, `enter`, `call`, `callback`, `keep_alives`, `lost`, `cut` and `end`".into(),
            );
        }
    };
    let number = line.n.ok_or_else(|| missing("n"))?;
    let thread = line.thread.ok_or_else(|| missing("thread"))?;
    let begin_ns = if enters {
        line.at_ns.ok_or_else(|| missing("at_ns"))?
    } else {
        line.begin_ns.ok_or_else(|| missing("begin_ns"))?
    };
    let end_ns = if enters { None } else { Some(line.end_ns.ok_or_else(|| missing("end_ns"))?) };
    if end_ns.is_some_and(|end| end < begin_ns) {
        return Err("it ends before it begins".into());
    }
    if !enters && !is_callback && line.result.is_none() {
        return Err(missing("result"));
    }
    let is_callback = is_callback || (enters && CALLBACKS.contains(&&*name));
    Ok((number, Span { at, is_callback, name, thread, begin_ns, end_ns, line }))
}

/// The callbacks that are told when they begin.
const CALLBACKS: [&str; 7] = ["event", "begin", "release", "get_extension", "store", "load", "remove"];
