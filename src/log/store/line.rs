//! One entry as it stands in a file: its JSON with a checksum put in front, so that a flipped bit is found wherever it is.
//!
//! Still JSON Lines, for `jq` and people: `{"crc":"0123abcd","seq":7,…}`. Readers of the log get the entry without the checksum.

use std::io::{self, BufRead, Read};

use serde::Deserialize;

/// The longest entry, in bytes.
pub const LINE_MAX: usize = 64 * 1024;
/// The last number there is.
pub const SEQ_MAX: u64 = (1 << 53) - 1;
const HEAD: &str = "{\"crc\":\"";
const HEX: usize = 8;
const AFTER: &str = "\",";
/// What the checksum and the newline add to an entry; its own `{` is in the head.
const ADDED: usize = HEAD.len() + HEX + AFTER.len();
/// The longest line of a file, with its newline.
pub const STORED_MAX: usize = LINE_MAX + ADDED;

/// How many bytes an entry takes in a file.
pub fn stored_len(line: &str) -> u64 {
    (line.len() + ADDED) as u64
}

/// Adds `line`, a JSON object, to `bytes` as it stands in a file.
pub fn encode(line: &str, bytes: &mut Vec<u8>) {
    let rest = line.strip_prefix('{').unwrap_or(line);
    bytes.extend_from_slice(format!("{HEAD}{:08x}{AFTER}{rest}\n", crc(line.as_bytes())).as_bytes());
}

/// The entry in a line of a file (without its newline); None if it is damaged.
pub fn decode(stored: &[u8]) -> Option<String> {
    let (hex, rest) = std::str::from_utf8(stored).ok()?.strip_prefix(HEAD)?.split_at_checked(HEX)?;
    let line = format!("{{{}", rest.strip_prefix(AFTER)?);
    (format!("{:08x}", crc(line.as_bytes())) == hex).then_some(line)
}

/// The number an entry carries.
pub fn seq_of(line: &str) -> Option<u64> {
    #[derive(Deserialize)]
    struct Numbered {
        seq: u64,
    }
    serde_json::from_str::<Numbered>(line).ok().map(|numbered| numbered.seq).filter(|seq| *seq <= SEQ_MAX)
}

/// The entry in a line of a file, with its number.
pub fn numbered(stored: &[u8]) -> Option<(u64, String)> {
    let line = decode(stored)?;
    Some((seq_of(&line)?, line))
}

const TABLE: [u32; 256] = table();

const fn table() -> [u32; 256] {
    let mut table = [0; 256];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { 0xEDB8_8320 ^ (value >> 1) } else { value >> 1 };
            bit += 1;
        }
        table[byte] = value;
        byte += 1;
    }
    table
}

/// CRC-32 as in zip and PNG.
fn crc(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| TABLE[((crc ^ u32::from(*byte)) & 0xFF) as usize] ^ (crc >> 8))
}

/// What the next line of a file is.
#[derive(Debug, PartialEq, Eq)]
pub enum Next {
    /// A whole line of so many bytes with its newline; those before the newline are in the buffer.
    Whole(u64),
    /// A line of so many bytes that no entry can have; it was passed over.
    TooLong(u64),
    /// Bytes without a newline, up to the end of the file.
    Cut,
    /// The end of the file.
    End,
}

/// Reads one line into `buffer`, never more than an entry can have.
pub fn next(reader: &mut impl BufRead, buffer: &mut Vec<u8>) -> io::Result<Next> {
    let mut passed = 0;
    loop {
        buffer.clear();
        let read = reader.by_ref().take(STORED_MAX as u64).read_until(b'\n', buffer)? as u64;
        if buffer.last() == Some(&b'\n') {
            buffer.pop();
            return Ok(if passed == 0 { Next::Whole(read) } else { Next::TooLong(passed + read) });
        }
        passed += read;
        if read < STORED_MAX as u64 {
            return Ok(if passed == 0 { Next::End } else { Next::Cut });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_the_well_known_one() {
        assert_eq!(crc(b"123456789"), 0xCBF4_3926);
    }

    #[test]
    fn an_entry_comes_back_as_it_was_and_its_stored_form_is_json() {
        let line = r#"{"seq":7,"text":"Büro \"2\"\n"}"#;
        let mut bytes = Vec::new();
        encode(line, &mut bytes);
        assert_eq!(bytes.len() as u64, stored_len(line));
        assert_eq!(bytes.pop(), Some(b'\n'));
        assert_eq!(numbered(&bytes), Some((7, line.to_owned())));
        let value: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
        assert_eq!(value["seq"], 7);
    }

    #[test]
    fn lines_are_told_apart_and_a_long_one_is_passed_over() {
        let long = "x".repeat(3 * STORED_MAX);
        let longest = "y".repeat(STORED_MAX - 1);
        let text = format!("a\n\n{long}\n{longest}\ncut");
        let (mut reader, mut buffer) = (text.as_bytes(), Vec::new());
        let mut read = || next(&mut reader, &mut buffer).unwrap();
        assert_eq!(read(), Next::Whole(2));
        assert_eq!(read(), Next::Whole(1));
        assert_eq!(read(), Next::TooLong(long.len() as u64 + 1));
        assert_eq!(read(), Next::Whole(STORED_MAX as u64));
        assert_eq!(read(), Next::Cut);
        assert_eq!(read(), Next::End);
    }
}
