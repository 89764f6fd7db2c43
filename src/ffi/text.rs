//! Text and bytes in and out of the border (header, rule 3).

use std::ffi::c_char;

use serde::de::DeserializeOwned;
use serde_json::Value;
use vms_failover_abi as abi;

use crate::config::ParseError;
use crate::error::Error;
use crate::secret::{self, Secret};

/// Longest configuration, in bytes.
pub const CONFIG_MAX: usize = 256 * 1024 * 1024;
/// Longest edit, in bytes.
pub const EDIT_MAX: usize = 1024 * 1024;
/// Longest JSON of any other call, in bytes.
pub const JSON_MAX: usize = 64 * 1024;
/// Longest settings text, in bytes.
pub const INI_MAX: usize = 64 * 1024;
/// Longest id, in bytes.
pub const ID_MAX: usize = 64;

/// The text at `text`, `len` bytes; NULL with 0 is empty.
///
/// # Safety
/// `text` is NULL, or `len` bytes are readable there until the call of the host returns.
pub unsafe fn read<'a>(what: &str, text: *const c_char, len: usize, max: usize) -> Result<&'a str, Error> {
    // SAFETY: the caller vouches for it (rule 3).
    let bytes = unsafe { read_bytes(what, text, len, max) }?;
    let text = std::str::from_utf8(bytes).map_err(|error| {
        Error::new(abi::VMSF_ERR_UTF8, format!("{what} is not UTF-8 from byte {} on", error.valid_up_to()))
    })?;
    match text.find('\0') {
        Some(at) => Err(Error::new(abi::VMSF_ERR_UTF8, format!("{what} holds a NUL at byte {at}"))),
        None => Ok(text),
    }
}

/// The `len` bytes at `text`, whatever they are; NULL with 0 is empty.
///
/// # Safety
/// As `read`.
pub unsafe fn read_bytes<'a>(what: &str, text: *const c_char, len: usize, max: usize) -> Result<&'a [u8], Error> {
    if len > max {
        return Err(Error::new(abi::VMSF_ERR_LIMIT, format!("{what} has {len} bytes, allowed are {max}")));
    }
    if text.is_null() {
        return if len == 0 { Ok(&[]) } else { Err(Error::null(what)) };
    }
    // SAFETY: not NULL, and the caller vouches for `len` readable bytes (rule 3: inputs are read before the call returns).
    Ok(unsafe { std::slice::from_raw_parts(text.cast::<u8>(), len) })
}

/// A JSON object as a `T`. The derived readers would take an array of the values, too, which is no documented shape.
pub fn object<T: DeserializeOwned>(what: &str, value: Result<Value, ParseError>) -> Result<T, Error> {
    let json = |text: String| Error::new(abi::VMSF_ERR_JSON, format!("{what}: {text}"));
    match value {
        Ok(value @ Value::Object(_)) => serde_json::from_value(value).map_err(|error| json(error.to_string())),
        Ok(_) => Err(json("an object is expected".into())),
        Err(ParseError::Json(text)) => Err(json(text)),
        Err(ParseError::Faults(faults)) => {
            Err(json(faults.first().map_or_else(String::new, |fault| fault.text.clone())))
        }
    }
}

/// Checks a buffer that may be left out: NULL has no room.
pub fn check_room(what: &str, buf: *mut c_char, cap: usize) -> Result<(), Error> {
    if buf.is_null() && cap > 0 { Err(Error::null(what)) } else { Ok(()) }
}

/// The secret at `secret`, copied once into memory that is wiped; none where `len` is 0.
///
/// # Safety
/// `secret` is NULL, or `len` bytes are readable there until this returns.
pub unsafe fn read_secret(secret: *const u8, len: usize) -> Result<Option<Secret>, Error> {
    // SAFETY: the caller vouches for it (rule 3).
    let bytes = unsafe { read_bytes("the secret", secret.cast(), len, secret::MAX) }?;
    if bytes.is_empty() { Ok(None) } else { Secret::copied(bytes).map(Some) }
}

/// Writes a text into the host's buffer, whole or not at all.
///
/// # Safety
/// `buf` is NULL, or `cap` bytes are writable there; `len` is NULL, or one `usize` is writable there.
pub unsafe fn write(text: &str, buf: *mut c_char, cap: usize, len: *mut usize) -> Result<(), Error> {
    // SAFETY: the caller vouches for it (rule 3).
    unsafe { write_bytes(text.as_bytes(), buf, cap, len) }
}

/// As `write`, for a text in whatever encoding.
///
/// # Safety
/// As `write`.
pub unsafe fn write_bytes(text: &[u8], buf: *mut c_char, cap: usize, len: *mut usize) -> Result<(), Error> {
    if len.is_null() {
        return Err(Error::null("len"));
    }
    check_room("buf", buf, cap)?;
    // SAFETY: not NULL, and the caller vouches for it; it need not be aligned (rule 3).
    unsafe { len.write_unaligned(text.len()) };
    // SAFETY: the caller vouches for `cap` writable bytes (rule 3).
    if unsafe { fill(text, buf, cap) } { Ok(()) } else { Err(Error::new(abi::VMSF_ERR_TOO_SMALL, "")) }
}

/// Writes text and NUL if they fit, else "" where there is room for that.
///
/// # Safety
/// `cap` bytes are writable at `buf`, which may be NULL if `cap` is 0.
pub unsafe fn fill(text: &[u8], buf: *mut c_char, cap: usize) -> bool {
    let fits = text.len() < cap;
    let text = if fits { text } else { b"" };
    if cap > 0 {
        let buf = buf.cast::<u8>();
        // SAFETY: the text with its NUL is at most `cap` bytes, which are writable; the host's buffer is not the plugin's text (rule 3).
        unsafe { std::ptr::copy_nonoverlapping(text.as_ptr(), buf, text.len()) };
        // SAFETY: text.len() < cap (rule 3).
        let end = unsafe { buf.add(text.len()) };
        // SAFETY: one of the `cap` writable bytes (rule 3).
        unsafe { end.write(0) };
    }
    fits
}

/// Writes a value to the host.
///
/// # Safety
/// `out` is NULL, or one `T` is writable there.
pub unsafe fn put<T>(what: &str, out: *mut T, value: T) -> Result<(), Error> {
    if out.is_null() {
        return Err(Error::null(what));
    }
    // SAFETY: not NULL, and the caller vouches for it; it need not be aligned (rule 3).
    unsafe { out.write_unaligned(value) };
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ffi::tests::freed::{MARK, holding_the_mark};

    fn write_into(text: &str, cap: usize) -> (Result<(), Error>, usize, Vec<u8>) {
        let mut buf = vec![b'x'; cap];
        let mut len = 99;
        // SAFETY: the buffer has `cap` bytes (rule 3).
        let result = unsafe { write(text, buf.as_mut_ptr().cast(), cap, &mut len) };
        (result, len, buf)
    }

    #[test]
    fn a_text_is_written_whole_with_its_nul_or_not_at_all() {
        assert_eq!(write_into("abc", 4), (Ok(()), 3, b"abc\0".to_vec()));
        let (result, len, buf) = write_into("abc", 3);
        assert_eq!((result.unwrap_err().code, len, buf), (abi::VMSF_ERR_TOO_SMALL, 3, b"\0xx".to_vec()));
        let (result, len, _) = write_into("abc", 0);
        assert_eq!((result.unwrap_err().code, len), (abi::VMSF_ERR_TOO_SMALL, 3));
        assert_eq!(write_into("", 1), (Ok(()), 0, b"\0".to_vec()));
    }

    #[test]
    fn null_asks_for_the_size_and_null_with_a_size_is_invalid() {
        let mut len = 0;
        // SAFETY: NULL with 0 is allowed (rule 3).
        let result = unsafe { write("abc", std::ptr::null_mut(), 0, &mut len) };
        assert_eq!((result.unwrap_err().code, len), (abi::VMSF_ERR_TOO_SMALL, 3));
        // SAFETY: NULL is checked before any use (rule 3).
        let result = unsafe { write("abc", std::ptr::null_mut(), 7, &mut len) };
        assert_eq!(result.unwrap_err().code, abi::VMSF_ERR_INVALID);
    }

    #[test]
    fn a_secret_in_is_checked_and_copied_once() {
        let bytes = [7; secret::MAX + 1];
        let read = |secret: *const u8, len| {
            // SAFETY: NULL, or at least `len` bytes are there (rule 3).
            let secret = unsafe { read_secret(secret, len) };
            secret.map(|secret| secret.map(|secret| secret.len())).map_err(|error| error.code)
        };
        assert_eq!(read(bytes.as_ptr(), 1), Ok(Some(1)));
        assert_eq!(read(bytes.as_ptr(), secret::MAX), Ok(Some(secret::MAX)));
        assert_eq!(read(bytes.as_ptr(), secret::MAX + 1), Err(abi::VMSF_ERR_LIMIT));
        assert_eq!((read(bytes.as_ptr(), 0), read(std::ptr::null(), 0)), (Ok(None), Ok(None)));
        assert_eq!(read(std::ptr::null(), 1), Err(abi::VMSF_ERR_INVALID));
        // SAFETY: the bytes are there (rule 3).
        let (left, copy) = holding_the_mark(|| unsafe { read_secret(MARK.as_ptr(), MARK.len()) });
        let copy = copy.unwrap().unwrap();
        assert_eq!(left, 0, "on its way here it was nowhere else");
        assert_eq!(copy.as_bytes(), MARK);
        assert_ne!(copy.as_bytes().as_ptr(), MARK.as_ptr());
    }

    #[test]
    fn texts_in_are_checked_for_place_length_utf8_and_nul() {
        let cases: [(&[u8], usize, abi::vmsf_result); 4] = [
            (b"ok", 2, abi::VMSF_OK),
            (b"long", 2, abi::VMSF_ERR_LIMIT),
            (b"a\0b", 9, abi::VMSF_ERR_UTF8),
            (b"\xff", 9, abi::VMSF_ERR_UTF8),
        ];
        for (bytes, max, code) in cases {
            // SAFETY: the bytes are there (rule 3).
            let result = unsafe { read("text", bytes.as_ptr().cast(), bytes.len(), max) };
            assert_eq!(result.map_or_else(|error| error.code, |_| abi::VMSF_OK), code, "{bytes:?}");
        }
        // SAFETY: NULL is checked before any use (rule 3).
        assert_eq!(unsafe { read("text", std::ptr::null(), 0, 9) }, Ok(""));
        // SAFETY: NULL is checked before any use (rule 3).
        assert_eq!(unsafe { read("text", std::ptr::null(), 1, 9) }.unwrap_err().code, abi::VMSF_ERR_INVALID);
    }
}
