//! The authorization tokens of the monitored servers, in a document of their own: neither they nor the large state is written for the other's
//! sake. The durable state says of each server "authorized by operation n", and here each token stands with the operation that brought it:
//! where the two differ, an authorization was cut off, and the token is nobody's. So the token that a server had stays beside a new one until
//! the state speaks of that.
//!
//! The files hold the tokens in clear, for their owner alone (0600). In memory each token is wiped when it goes, and so is every buffer that a
//! document with tokens is made in, written from or read into. Not wiped: what the kernel and the disk keep of a file that was replaced, and
//! registers. A token that goes is written over in both generations, one after the other; where the second write fails or the process is killed
//! before it, the older generation holds it until the next change.
//!
//! On a full disk a change fails, and everything stays as it was: the spares are the state's (see `pair`). Never shows a token, and decides
//! nothing. Any thread may call it; `get` never waits for the disk. Called by `runtime`, with no lock of the core held.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use serde::Deserialize;
use serde_json::Value;
use vms_failover_abi as abi;
use zeroize::Zeroizing;

use super::disk::Disk;
use super::envelope::Opened;
use super::lock::Lock;
use super::pair::Pair;
use crate::error::Error;
use crate::secret::{self, Secret};

const SCHEMA: u32 = 1;
const CURE: &str = "put one of them back, or remove both and authorize the servers anew";

const DOCUMENT_START: &[u8] = b"{\"tokens\":[";
const LINE_END: &[u8] = b"\"}";
const DOCUMENT_END: &[u8] = b"]}";

/// By server id and the `authorize` operation that brought it. Shared, so that the next state of it is made without a copy of any token.
type Kept = BTreeMap<(String, u64), Arc<Secret>>;

/// What a change has done to the tokens, from less to more.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Effect {
    Added,
    /// One of those that were there is gone: it must not stay in the older generation either.
    Gone,
}

/// The kept tokens.
pub struct Tokens {
    lock: Arc<Lock>,
    disk: Arc<Disk>,
    pair: Pair,
    /// Held by whoever writes.
    writing: Mutex<()>,
    /// A file may hold a token that is not kept.
    leftovers: AtomicBool,
    /// The lock is held for an instant only: what is made of it is made outside.
    kept: Mutex<Arc<Kept>>,
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kept = self.kept();
        let servers: BTreeSet<&str> = kept.keys().map(|(id, _)| id.as_str()).collect();
        write!(f, "Tokens of {} servers", servers.len())
    }
}

/// The document of the tokens; touches nothing yet.
pub(super) fn pair() -> Pair {
    Pair::secret("tokens", SCHEMA, CURE)
}

impl Tokens {
    /// What is kept in the directory; which file of it is damaged, as in `Loaded`. Touches nothing.
    pub(super) fn load(lock: Arc<Lock>, disk: Arc<Disk>) -> Result<(Tokens, Option<String>), Error> {
        let pair = pair();
        let found = pair.read(&disk)?;
        let kept = found.newest.map(|newest| read(&disk, &newest)).transpose()?.unwrap_or_default();
        let kept = Mutex::new(Arc::new(kept));
        let tokens = Tokens { lock, disk, pair, writing: Mutex::new(()), leftovers: AtomicBool::new(false), kept };
        Ok((tokens, found.damaged))
    }

    fn kept(&self) -> Arc<Kept> {
        Arc::clone(&self.kept.lock())
    }

    /// The token that this operation brought for this server.
    pub fn get(&self, id: &str, op: u64) -> Option<Secret> {
        self.kept().get(&(id.to_owned(), op)).map(|secret| secret.duplicate())
    }

    /// Whether `get` gives one.
    pub fn has(&self, id: &str, op: u64) -> bool {
        self.kept().contains_key(&(id.to_owned(), op))
    }

    /// Keeps these tokens, each for a server and the `authorize` operation that brought it, beside those that other operations have brought. All
    /// in one write, or none of them; on disk when it returns. Where there is none and nothing to clear up, it waits for nobody.
    ///
    /// After an error nothing has changed here, and the next load gives the tokens before or these; the next change that succeeds settles it.
    /// VMSF_ERR_IO: path and reason. VMSF_ERR_STATE, VMSF_ERR_BUSY: the directory was given back, or is another instance's.
    pub fn put(&self, tokens: &[(&str, u64, &Arc<Secret>)]) -> Result<(), Error> {
        if tokens.is_empty() && !self.leftovers.load(Ordering::Acquire) {
            return Ok(());
        }
        self.change(|kept| {
            let put = tokens.iter().map(|(id, op, secret)| kept.insert(((*id).to_owned(), *op), Arc::clone(secret)));
            put.map(|before| if before.is_some() { Effect::Gone } else { Effect::Added }).max()
        })
    }

    /// Keeps no token that this operation brought for this server; one that came later stays. Gone from both generations when it returns, or it
    /// is said in the log. Errors as for `put`.
    pub fn remove(&self, id: &str, op: u64) -> Result<(), Error> {
        self.change(|kept| kept.remove(&(id.to_owned(), op)).map(|_| Effect::Gone))
    }

    /// Removes all but these, `(server id, operation)`. Errors as for `put`.
    pub fn keep_only(&self, wanted: &[(&str, u64)]) -> Result<(), Error> {
        let wanted: BTreeSet<_> = wanted.iter().copied().collect();
        self.change(|kept| {
            let before = kept.len();
            kept.retain(|(id, op), _| wanted.contains(&(id.as_str(), *op)));
            (kept.len() < before).then_some(Effect::Gone)
        })
    }

    fn change(&self, edit: impl FnOnce(&mut Kept) -> Option<Effect>) -> Result<(), Error> {
        let writing = self.writing.lock();
        let mut next = Kept::clone(&self.kept());
        // What an earlier change left behind is cleared up by any later one, even by one that changes nothing.
        let left = self.leftovers.load(Ordering::Acquire).then_some(Effect::Gone);
        let Some(effect) = edit(&mut next).max(left) else { return Ok(()) };
        self.leftovers.store(true, Ordering::Release);
        self.save(&next)?;
        let next = Arc::new(next);
        let before = std::mem::replace(&mut *self.kept.lock(), Arc::clone(&next));
        let wiped = if effect == Effect::Gone { self.save(&next) } else { Ok(()) };
        self.leftovers.store(wiped.is_err(), Ordering::Release);
        // The host may call in from its log, so no lock is held.
        drop((writing, before));
        if let Err(error) = wiped {
            log::warn!("a token that is gone stays in the older generation until the next change: {}", error.text);
        }
        Ok(())
    }

    fn save(&self, kept: &Kept) -> Result<(), Error> {
        self.lock.hold()?;
        self.pair.save(&self.disk, &payload(kept)).map(|_| ())
    }
}

/// The document, in one buffer of its length.
fn payload(kept: &Kept) -> Zeroizing<Vec<u8>> {
    let head = |(n, (id, op)): (usize, &(String, u64))| {
        let comma = if n > 0 { "," } else { "" };
        format!("{comma}{{\"id\":{},\"op\":{op},\"token\":\"", Value::from(id.as_str()))
    };
    let heads: Vec<String> = kept.keys().enumerate().map(head).collect();
    let lengths = heads.iter().zip(kept.values()).map(|(head, secret)| head.len() + 2 * secret.len() + LINE_END.len());
    let length = DOCUMENT_START.len() + lengths.sum::<usize>() + DOCUMENT_END.len();
    let mut text = Zeroizing::new(Vec::with_capacity(length));
    text.extend(DOCUMENT_START);
    for (head, secret) in heads.iter().zip(kept.values()) {
        text.extend(head.bytes());
        text.extend(secret.as_bytes().iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]));
        text.extend(LINE_END);
    }
    text.extend(DOCUMENT_END);
    text
}

fn digit(nibble: u8) -> u8 {
    b"0123456789abcdef"[usize::from(nibble)]
}

/// The document as it is read: the digits are looked at where they stand.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<'a> {
    #[serde(borrow)]
    tokens: Vec<Line<'a>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Line<'a> {
    id: String,
    op: u64,
    token: &'a str,
}

fn read(disk: &Disk, newest: &Opened) -> Result<Kept, Error> {
    let broken = |why: String| {
        let text = format!(
            "generation {} of the tokens in {} cannot be read: {why}; nothing was changed; remove its files and authorize the servers anew",
            newest.generation,
            disk.directory().display()
        );
        Error::new(abi::VMSF_ERR_STATE_DAMAGED, text)
    };
    // The words of the JSON reader may cite what it found.
    let document: Document<'_> = serde_json::from_slice(&newest.payload)
        .map_err(|error| broken(format!("its shape is wrong at byte {}", error.column())))?;
    let token = |line: Line<'_>| {
        let secret = from_digits(line.token).ok_or_else(|| broken(format!("the token of '{}' is none", line.id)))?;
        Ok(((line.id, line.op), Arc::new(secret)))
    };
    document.tokens.into_iter().map(token).collect()
}

fn from_digits(digits: &str) -> Option<Secret> {
    if digits.len() > 2 * secret::MAX {
        return None;
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(secret::MAX));
    for pair in digits.as_bytes().chunks(2) {
        let &[high, low] = pair else { return None };
        bytes.push(nibble(high)? << 4 | nibble(low)?);
    }
    Secret::copied(&bytes).ok()
}

fn nibble(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}
