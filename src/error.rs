//! The one error of the plugin: a code of the header and the words for people. Made everywhere, turned into a `vmsf_result` by `ffi` alone.

use std::fmt;

use vms_failover_abi as abi;

/// The longest text of an error, in bytes.
const TEXT_MAX: usize = 4096;

/// What went wrong, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    /// A VMSF_ERR_ code.
    pub code: abi::vmsf_result,
    /// The words, at most 4 KiB.
    pub text: String,
}

impl Error {
    /// An error with this code and text.
    pub fn new(code: abi::vmsf_result, text: impl Into<String>) -> Error {
        Error { code, text: cut(text.into(), TEXT_MAX) }
    }

    /// A NULL argument that is not optional.
    pub fn null(what: &str) -> Error {
        Error::new(abi::VMSF_ERR_INVALID, format!("{what} is NULL"))
    }

    /// A file operation failed.
    pub fn io(doing: &str, path: &std::path::Path, error: &std::io::Error) -> Error {
        Error::new(abi::VMSF_ERR_IO, format!("{doing} {}: {error}", path.display()))
    }

    /// Whether `last_error` keeps it (header, rule 7).
    pub fn is_kept(&self) -> bool {
        !matches!(self.code, abi::VMSF_ERR_TOO_SMALL | abi::VMSF_ERR_BUSY | abi::VMSF_ERR_HANDLE)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", name(self.code), self.text)
    }
}

impl std::error::Error for Error {}

/// The words of a caught panic.
pub fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().copied().or_else(|| panic.downcast_ref::<String>().map(String::as_str));
    cut(text.unwrap_or("a panic without words").to_owned(), TEXT_MAX)
}

/// `text`, cut to at most `max` bytes between two characters.
pub fn cut(mut text: String, max: usize) -> String {
    if text.len() > max {
        let end = (0..=max).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
        text.truncate(end);
    }
    text
}

const NAMES: &[(abi::vmsf_result, &str)] = &[
    (abi::VMSF_OK, "VMSF_OK\0"),
    (abi::VMSF_ERR_INVALID, "VMSF_ERR_INVALID\0"),
    (abi::VMSF_ERR_UTF8, "VMSF_ERR_UTF8\0"),
    (abi::VMSF_ERR_JSON, "VMSF_ERR_JSON\0"),
    (abi::VMSF_ERR_CONFIG, "VMSF_ERR_CONFIG\0"),
    (abi::VMSF_ERR_STATE, "VMSF_ERR_STATE\0"),
    (abi::VMSF_ERR_HANDLE, "VMSF_ERR_HANDLE\0"),
    (abi::VMSF_ERR_ABI, "VMSF_ERR_ABI\0"),
    (abi::VMSF_ERR_TOO_SMALL, "VMSF_ERR_TOO_SMALL\0"),
    (abi::VMSF_ERR_BUSY, "VMSF_ERR_BUSY\0"),
    (abi::VMSF_ERR_TIMEOUT, "VMSF_ERR_TIMEOUT\0"),
    (abi::VMSF_ERR_REENTRANT, "VMSF_ERR_REENTRANT\0"),
    (abi::VMSF_ERR_UNSUPPORTED, "VMSF_ERR_UNSUPPORTED\0"),
    (abi::VMSF_ERR_NOT_FOUND, "VMSF_ERR_NOT_FOUND\0"),
    (abi::VMSF_ERR_LIMIT, "VMSF_ERR_LIMIT\0"),
    (abi::VMSF_ERR_PANIC, "VMSF_ERR_PANIC\0"),
    (abi::VMSF_ERR_POISONED, "VMSF_ERR_POISONED\0"),
    (abi::VMSF_ERR_INTERNAL, "VMSF_ERR_INTERNAL\0"),
    (abi::VMSF_ERR_IO, "VMSF_ERR_IO\0"),
    (abi::VMSF_ERR_NOT_AUTHORIZED, "VMSF_ERR_NOT_AUTHORIZED\0"),
    (abi::VMSF_ERR_NO_BACKUP, "VMSF_ERR_NO_BACKUP\0"),
    (abi::VMSF_ERR_NOT_IN_CLUSTER, "VMSF_ERR_NOT_IN_CLUSTER\0"),
    (abi::VMSF_ERR_STATE_DAMAGED, "VMSF_ERR_STATE_DAMAGED\0"),
];

/// The name of a code with its final NUL, for C.
pub fn name_z(code: abi::vmsf_result) -> &'static str {
    NAMES.iter().find(|(number, _)| *number == code).map_or("VMSF_ERR_?\0", |(_, name)| name)
}

/// Whether it is a code of the header.
pub fn is_known(code: abi::vmsf_result) -> bool {
    NAMES.iter().any(|(number, _)| *number == code)
}

/// The name of a code.
pub fn name(code: abi::vmsf_result) -> &'static str {
    name_z(code).trim_end_matches('\0')
}
