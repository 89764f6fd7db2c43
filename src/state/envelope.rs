//! The envelope of every document of the state directory, as one line of JSON:
//! `{"schema":1,"generation":7,"sha256":"<64 hex digits>","state":<payload>}`.
//!
//! The hash is taken of the same line without its `sha256` member, byte by byte, so that it covers the schema and the generation too: a
//! flipped digit there would otherwise let the wrong file win. The envelope itself never changes; `schema` numbers the payload, so that an
//! old plugin still tells a newer document from a damaged one. The payload may be a secret: no buffer grows, and what was read stays in the one
//! buffer it was read into, which is wiped. Touches no file. Called by `pair`.

use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

/// The highest generation, as JSON's readers have it.
const GENERATION_MAX: u64 = (1 << 53) - 1;
const HASH_DIGITS: usize = 64;
const END: &[u8] = b"}\n";

/// What an envelope says.
pub struct Opened {
    /// Of the payload.
    pub schema: u32,
    /// Which of the generations it is, from 1.
    pub generation: u64,
    /// The payload's bytes, as they were given.
    pub payload: Zeroizing<Vec<u8>>,
}

/// The text of a document, in one buffer of its length.
pub fn seal(schema: u32, generation: u64, payload: &[u8]) -> Vec<u8> {
    let before = before_payload(schema, generation, payload);
    [before.as_bytes(), payload, END].concat()
}

/// What was sealed, or in a few words why the text is not what `seal` gives.
pub fn open(mut text: Zeroizing<Vec<u8>>) -> Result<Opened, String> {
    if text.is_empty() {
        return Err("it is empty".into());
    }
    let (schema, generation) = numbers(&text).ok_or("it does not begin as a state document does")?;
    let start = head(schema, generation).len() + "\"sha256\":\"\",\"state\":".len() + HASH_DIGITS;
    let end = text.len().saturating_sub(END.len());
    if start > end || !text.ends_with(END) {
        return Err("it is cut off".into());
    }
    if before_payload(schema, generation, &text[start..end]).as_bytes() != &text[..start] {
        return Err("its hash does not match".into());
    }
    if !(1..=GENERATION_MAX).contains(&generation) || schema == 0 {
        return Err("its numbers are out of range".into());
    }
    text.truncate(end);
    // Moved within the buffer: a copy would have to be wiped, too.
    text.drain(..start);
    Ok(Opened { schema, generation, payload: text })
}

/// What stands before the payload.
fn before_payload(schema: u32, generation: u64, payload: &[u8]) -> String {
    format!("{}\"sha256\":\"{}\",\"state\":", head(schema, generation), hash(schema, generation, payload))
}

fn head(schema: u32, generation: u64) -> String {
    format!("{{\"schema\":{schema},\"generation\":{generation},")
}

/// The schema and the generation that the text begins with.
fn numbers(text: &[u8]) -> Option<(u32, u64)> {
    // Both numbers and all between them are shorter than this; the payload may be very long.
    let text = &text[..text.len().min(80)];
    let rest = text.strip_prefix(b"{\"schema\":")?;
    let (schema, rest) = rest.split_at_checked(rest.iter().position(|byte| *byte == b',')?)?;
    let rest = rest.strip_prefix(b",\"generation\":")?;
    let generation = &rest[..rest.iter().position(|byte| *byte == b',')?];
    let number = |digits| std::str::from_utf8(digits).ok();
    Some((number(schema)?.parse().ok()?, number(generation)?.parse().ok()?))
}

fn hash(schema: u32, generation: u64, payload: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(head(schema, generation));
    hash.update("\"state\":");
    hash.update(payload);
    hash.update(END);
    hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
}
