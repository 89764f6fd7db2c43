//! The recordings parameter: the one line of a monitored server's settings file that says where its footage of a takeover lies.
//!
//! A function of bytes: it touches that line and no other byte, twice is the same as once. The text may be in any 8-bit encoding, so only ASCII
//! is understood and everything else is carried over. It never guesses: a line that may be another failover server's is left alone, and one
//! more is added. It knows neither files nor clocks. Called by `runtime`.

#[cfg(test)]
mod tests;

use std::fmt;
use std::net::IpAddr;
use std::ops::Range;

use crate::config::RecordingsIni;

const UTF8_MARK: &[u8] = b"\xEF\xBB\xBF";
const UTF16_MARKS: [&[u8]; 2] = [b"\xFF\xFE", b"\xFE\xFF"];
/// The settings files are Windows' own.
const USUAL_LINE_END: &[u8] = b"\r\n";
/// Longest address and longest separator that a configuration can have, in bytes.
const ADDRESS_MAX: usize = 253;
const SEPARATOR_MAX: usize = 256;

/// Why nothing can be written into a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Problem {
    /// It is UTF-16.
    Utf16,
    /// It holds a NUL, at this byte.
    Nul(usize),
    /// It is not UTF-8, and what is to be written has letters outside ASCII.
    Encoding,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Problem::Utf16 => f.write_str("the text is UTF-16, allowed are UTF-8 and 8-bit encodings: convert it first"),
            Problem::Nul(at) => {
                write!(f, "the text holds a NUL at byte {at}, allowed are UTF-8 and 8-bit encodings without a NUL")
            }
            Problem::Encoding => f.write_str(
                "the text is not UTF-8, so /recordings_ini/section, key and separator of the configuration can be written \
                 into it only if they are ASCII",
            ),
        }
    }
}

/// `ini` with the line `<key>=<failover address><separator><monitored host>` in the section of `rule`.
///
/// The first section of that name counts, as Windows reads it; sections and keys are compared without regard to ASCII case and to blanks
/// around them. Is the line there, nothing changes. Else the first line that is certainly this failover server's gets the new value; else a
/// line is added behind the last one of the section that is neither blank nor a comment; else the section is added at the end. A new line ends
/// as the line before it.
///
/// # Errors
/// The text is UTF-16, holds a NUL, or has an encoding into which the words of `rule` cannot be written.
pub fn apply(
    ini: &[u8],
    rule: &RecordingsIni,
    failover_address: &str,
    monitored_host: &str,
) -> Result<Vec<u8>, Problem> {
    check(ini, rule)?;
    let wanted = Wanted { failover: failover_address.as_bytes(), rule, monitored: monitored_host.as_bytes() };
    Ok(match wanted.change(ini) {
        Change::None => ini.to_vec(),
        Change::Value(place) => spliced(ini, place, &[&wanted.value()]),
        Change::Line(spot) => {
            spliced(ini, spot.at..spot.at, &[spot.opening(), rule.key.as_bytes(), b"=", &wanted.value(), spot.line_end])
        }
        Change::Section(spot) => {
            let header = [spot.opening(), b"[", rule.section.as_bytes(), b"]", spot.line_end].concat();
            spliced(ini, spot.at..spot.at, &[&header, rule.key.as_bytes(), b"=", &wanted.value(), spot.line_end])
        }
    })
}

fn check(ini: &[u8], rule: &RecordingsIni) -> Result<(), Problem> {
    if UTF16_MARKS.iter().any(|mark| ini.starts_with(mark)) {
        return Err(Problem::Utf16);
    }
    if let Some(at) = ini.iter().position(|byte| *byte == 0) {
        return Err(Problem::Nul(at));
    }
    let ascii = [&rule.section, &rule.key, &rule.separator].iter().all(|words| words.is_ascii());
    if !ascii && std::str::from_utf8(ini).is_err() { Err(Problem::Encoding) } else { Ok(()) }
}

fn spliced(ini: &[u8], place: Range<usize>, new: &[&[u8]]) -> Vec<u8> {
    [&ini[..place.start], &new.concat(), &ini[place.end..]].concat()
}

/// What is to be done to a text.
enum Change<'a> {
    None,
    /// The value that stands here is replaced.
    Value(Range<usize>),
    /// A line is added.
    Line(Spot<'a>),
    /// A section with a line is added.
    Section(Spot<'a>),
}

/// A place between two lines.
#[derive(Clone, Copy)]
struct Spot<'a> {
    at: usize,
    /// The nearest one before it.
    line_end: &'a [u8],
    /// The line before it has no end.
    open: bool,
}

impl<'a> Spot<'a> {
    fn behind(self, line: &Line<'a>) -> Spot<'a> {
        let open = line.end.is_empty();
        let line_end = if open { self.line_end } else { line.end };
        Spot { at: line.at + line.text.len() + line.end.len(), line_end, open }
    }

    /// What goes before a line that is put here.
    fn opening(&self) -> &'a [u8] {
        if self.open { self.line_end } else { b"" }
    }
}

struct Line<'a> {
    at: usize,
    text: &'a [u8],
    end: &'a [u8],
}

fn start_of(ini: &[u8]) -> usize {
    if ini.starts_with(UTF8_MARK) { UTF8_MARK.len() } else { 0 }
}

/// The lines behind the mark; a lone CR ends a line, too.
fn lines(ini: &[u8]) -> impl Iterator<Item = Line<'_>> {
    let mut at = start_of(ini);
    std::iter::from_fn(move || {
        let rest = ini.get(at..).filter(|rest| !rest.is_empty())?;
        let len = rest.iter().position(|byte| matches!(byte, b'\r' | b'\n')).unwrap_or(rest.len());
        let (text, behind) = rest.split_at(len);
        let end = match behind {
            [] => 0,
            [b'\r', b'\n', ..] => 2,
            _ => 1,
        };
        let line = Line { at, text, end: &behind[..end] };
        at += len + end;
        Some(line)
    })
}

enum Kind<'a> {
    /// A blank line or a comment.
    Idle,
    /// The name, if the bracket is closed; readers disagree about one that is not, so it ends a section and begins none.
    Header(Option<&'a [u8]>),
    /// Key, and where in the line the value begins to be looked for.
    Entry(&'a [u8], usize),
    Other,
}

fn kind(text: &[u8]) -> Kind<'_> {
    match text.trim_ascii() {
        [] | [b';' | b'#', ..] => Kind::Idle,
        [b'[', name @ ..] => {
            Kind::Header(name.iter().position(|byte| *byte == b']').map(|end| name[..end].trim_ascii()))
        }
        _ => match text.iter().position(|byte| *byte == b'=') {
            Some(equals) => Kind::Entry(text[..equals].trim_ascii(), equals + 1),
            None => Kind::Other,
        },
    }
}

/// The line to be written.
struct Wanted<'a> {
    failover: &'a [u8],
    rule: &'a RecordingsIni,
    monitored: &'a [u8],
}

impl Wanted<'_> {
    fn value(&self) -> Vec<u8> {
        [self.failover, self.rule.separator.as_bytes(), self.monitored].concat()
    }

    fn change<'a>(&self, ini: &'a [u8]) -> Change<'a> {
        let value = self.value();
        let mut spot = Spot { at: start_of(ini), line_end: USUAL_LINE_END, open: false };
        // Where the next line of the section goes, once the section has begun.
        let mut section = None;
        let mut outdated = None;
        for line in lines(ini) {
            spot = spot.behind(&line);
            match kind(line.text) {
                Kind::Header(_) if section.is_some() => break,
                Kind::Header(Some(name)) if name.eq_ignore_ascii_case(self.rule.section.as_bytes()) => {
                    section = Some(spot);
                }
                Kind::Entry(key, from) if section.is_some() => {
                    section = Some(spot);
                    if !key.eq_ignore_ascii_case(self.rule.key.as_bytes()) {
                        continue;
                    }
                    let place = self.place_of_value(line.text, from);
                    let found = &line.text[place.clone()];
                    if found == value {
                        return Change::None;
                    }
                    if outdated.is_none() && self.is_ours(found) {
                        outdated = Some(line.at + place.start..line.at + place.end);
                    }
                }
                Kind::Other if section.is_some() => section = Some(spot),
                Kind::Header(_) | Kind::Entry(..) | Kind::Other | Kind::Idle => {}
            }
        }
        match (outdated, section) {
            (Some(place), _) => Change::Value(place),
            (None, Some(spot)) => Change::Line(spot),
            (None, None) => Change::Section(spot),
        }
    }

    /// The value without the blanks around it, and without a comment behind it unless the separator could be taken for one.
    fn place_of_value(&self, text: &[u8], from: usize) -> Range<usize> {
        let whole = &text[from..];
        let start = from + whole.len() - whole.trim_ascii_start().len();
        let mut value = &text[start..];
        if !self.rule.separator.contains([';', '#']) {
            let comment = |two: &[u8]| matches!(two, [b' ' | b'\t', b';' | b'#']);
            let end = value.windows(2).position(comment).unwrap_or(value.len());
            value = &value[..end];
        }
        start..start + value.trim_ascii_end().len()
    }

    /// Whether a value is this failover server's beyond doubt, with another separator or for an earlier address of the monitored server.
    ///
    /// It begins with this failover server's address, it cannot be read as another address, the separator and the rest, and
    /// - nothing follows that an address could go on with; or
    /// - what follows is the monitored server's address, behind marks that would be no part of an address: only the separator has changed; or
    /// - what follows is the separator and another address.
    ///
    /// Without a separator `10.0.0.1192.168.1.9` may be 10.0.0.1 and 192.168.1.9, or 10.0.0.11 and 92.168.1.9: nobody can tell.
    fn is_ours(&self, value: &[u8]) -> bool {
        let Some((address, rest)) = value.split_at_checked(self.failover.len()) else { return false };
        if !address.eq_ignore_ascii_case(self.failover) {
            return false;
        }
        let ends_here = !rest.first().is_some_and(|byte| is_of_an_address(*byte));
        (ends_here || self.differs_by_its_separator(rest) || self.is_pair(value, address.len()))
            && !self.is_pair_of_another(value)
    }

    fn differs_by_its_separator(&self, rest: &[u8]) -> bool {
        let Some(len) = rest.len().checked_sub(self.monitored.len()) else { return false };
        let (marks, monitored) = rest.split_at(len);
        let longer = || is_address(&[self.failover, marks].concat());
        monitored.eq_ignore_ascii_case(self.monitored)
            && !marks.iter().any(u8::is_ascii_alphanumeric)
            && (marks.is_empty() || !longer())
    }

    fn is_pair_of_another(&self, value: &[u8]) -> bool {
        value.len() <= 2 * ADDRESS_MAX + SEPARATOR_MAX
            && (0..value.len()).any(|at| at != self.failover.len() && self.is_pair(value, at))
    }

    /// Whether it is an address of `at` bytes, the separator, and an address.
    fn is_pair(&self, value: &[u8], at: usize) -> bool {
        let (address, rest) = value.split_at(at);
        let monitored = rest.strip_prefix(self.rule.separator.as_bytes());
        monitored.is_some_and(|monitored| is_address(monitored) && is_address(address))
    }
}

fn is_of_an_address(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b".-_:".contains(&byte)
}

/// Whether this may be an IP address or a DNS name; wider than the configuration's rule, since in doubt a line is left alone.
fn is_address(text: &[u8]) -> bool {
    let Some(text) = std::str::from_utf8(text).ok().filter(|text| text.len() <= ADDRESS_MAX) else { return false };
    let label = |label: &str| {
        label.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
            && !label.is_empty()
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let number = || text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    text.parse::<IpAddr>().is_ok() || (text.split('.').all(label) && !number())
}
