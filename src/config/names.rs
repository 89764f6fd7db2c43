//! Names and other short texts: ids, hosts, paths, lines of an INI file, a time of day.
//!
//! What it does: judges one text by a [`Rule`]; compares two hosts or two folders. What it must never do: resolve a name or
//! touch the disk; a text is judged as it is written, with the same result on every start. Who calls it: `check`, through
//! the rules; `edit`, for ids that come twice.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::path::{Component, Path, PathBuf};

/// What a text must be, and what is wrong with one that is not.
pub(super) struct Rule {
    pub(super) allowed: &'static str,
    pub(super) problem: fn(&str) -> Option<&'static str>,
}

/// The first of these problems that there is.
fn first<const N: usize>(problems: [(bool, &'static str); N]) -> Option<&'static str> {
    problems.into_iter().find_map(|(there, problem)| there.then_some(problem))
}

pub(super) const PATH: Rule = Rule {
    allowed: "an absolute path of at most 4096 bytes, without control characters and without a component \"..\"",
    problem: |text| {
        let path = Path::new(text);
        first([
            (text.len() > 4096, "is longer than 4096 bytes"),
            (text.chars().any(char::is_control), "has a control character"),
            (!path.is_absolute(), "is not an absolute path"),
            (path.components().any(|part| part == Component::ParentDir), "has a component \"..\""),
        ])
    },
};

pub(super) const HOST: Rule = Rule {
    allowed: "an IP address (without brackets, port or zone) or a DNS name: at most 253 bytes, labels of 1 to 63 letters, \
              digits, - and _, not beginning or ending with -",
    problem: |text| {
        if text.parse::<IpAddr>().is_ok() {
            return None;
        }
        first([
            (text.len() > 253, "is longer than 253 bytes"),
            (!text.split('.').all(is_label), "is neither an IP address nor a DNS name"),
            // 10.0.0.256 would pass as a name, and resolvers read such names as addresses of their own liking.
            (text.bytes().all(|b| b.is_ascii_digit() || b == b'.'), "is not an IP address"),
        ])
    },
};

pub(super) const ID: Rule = Rule {
    allowed: "1 to 64 of A-Z a-z 0-9 . _ -, no final dot, no device name of Windows (CON, NUL, COM1, ...)",
    problem: |text| {
        first([
            (text.is_empty(), "is empty"),
            (text.len() > 64, "is longer than 64 bytes"),
            (
                !text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b)),
                "has a character that is not allowed",
            ),
            (text.ends_with('.'), "ends with a dot"),
            (is_device(text), "is a device name of Windows"),
        ])
    },
};

pub(super) const LINE: Rule = Rule {
    allowed: "1 to 256 bytes without control characters",
    problem: |text| first([(text.is_empty(), "is empty")]).or_else(|| (SEPARATOR.problem)(text)),
};

pub(super) const SEPARATOR: Rule = Rule {
    allowed: "at most 256 bytes without control characters",
    problem: |text| {
        first([
            (text.len() > 256, "is longer than 256 bytes"),
            (text.chars().any(char::is_control), "has a control character"),
        ])
    },
};

// A section or key that an INI file would read back as something else could never be found again.
pub(super) const INI_SECTION: Rule = Rule {
    allowed: "1 to 256 bytes without control characters, [ and ], and without blanks at the ends",
    problem: |text| {
        (LINE.problem)(text)
            .or(first([(text.contains(['[', ']']), "has a bracket"), (text.trim() != text, "has a blank at an end")]))
    },
};

pub(super) const INI_KEY: Rule = Rule {
    allowed: "1 to 256 bytes without control characters and =, not beginning with [ ; or #, and without blanks at the ends",
    problem: |text| {
        (LINE.problem)(text).or(first([
            (text.contains('='), "has a ="),
            (text.starts_with(['[', ';', '#']), "begins like a section or a comment"),
            (text.trim() != text, "has a blank at an end"),
        ]))
    },
};

pub(super) const TIME_OF_DAY: Rule = Rule {
    allowed: "\"HH:MM\", from \"00:00\" to \"23:59\"",
    problem: |text| {
        let fits = match *text.as_bytes() {
            [a @ b'0'..=b'2', b @ b'0'..=b'9', b':', b'0'..=b'5', b'0'..=b'9'] => a < b'2' || b <= b'3',
            _ => false,
        };
        (!fits).then_some("is not a time of day")
    },
};

fn is_label(text: &str) -> bool {
    (1..=63).contains(&text.len())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// An id names folders, also on Windows, where a device is meant whatever follows the first dot.
fn is_device(id: &str) -> bool {
    let stem = id.split('.').next().unwrap_or_default().to_ascii_uppercase();
    match stem.strip_prefix("COM").or(stem.strip_prefix("LPT")) {
        Some(number) => number.len() == 1 && number.bytes().all(|b| b.is_ascii_digit()),
        None => ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()),
    }
}

/// Whether one [`PATH`] is the other or lies inside it, by their texts: links are the administrator's business. Retention
/// of footage deletes below the store path and must never reach the backups.
pub(super) fn nested(a: &str, b: &str) -> bool {
    let path = |text: &str| PathBuf::from(if cfg!(windows) { text.to_lowercase() } else { text.to_owned() });
    let (a, b) = (path(a), path(b));
    a.starts_with(&b) || b.starts_with(&a)
}

/// A host as it is compared: two spellings of one address are one address.
#[derive(PartialEq, Eq, Hash)]
pub(super) enum Host {
    Ip(IpAddr),
    Name(String),
}

impl Host {
    pub(super) fn of(text: &str) -> Host {
        text.parse().map_or_else(|_| Host::Name(text.to_ascii_lowercase()), |ip: IpAddr| Host::Ip(ip.to_canonical()))
    }
}

/// The index at which the key was seen before; else it is remembered with this one, which is new.
pub(super) fn earlier<K: Eq + Hash>(seen: &mut HashMap<K, usize>, key: K, index: usize) -> Option<usize> {
    let first = *seen.entry(key).or_insert(index);
    (first != index).then_some(first)
}
