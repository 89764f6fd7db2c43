//! The host of the storm at work: what it hands out, what it believes, and a thread that performs what the plugin asks for.
//!
//! It is a correct host: what is given up it stops and undoes, what it writes is synced before it answers. Each life begins without memory, so
//! a token says whose it is: it names its server and the operation that brought it, and nothing but the whole of it counts.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Condvar, Mutex};
use std::thread;
use std::time::Duration;

use fastrand::Rng;
use serde_json::Value;
use sha2::{Digest, Sha256};
use vms_failover_abi as abi;

use super::fact::{Begin, Fact, Handed};
use super::host::{lock, tell};
use crate::plugin::{Caller, Operation};

/// An archive has at least and at most so many bytes.
const ARCHIVE: (f64, f64) = (10_000.0, 4_000_000.0);
const CHUNK: usize = 64 * 1024;
/// A secret is at most so much longer than the words that it begins with; 4,096 bytes are allowed.
const PADDING_MAX: usize = 3_000;
/// How long an operation that is left alone stays so.
const LEFT_ALONE: Duration = Duration::from_millis(5);

/// An operation that the host was asked for.
#[derive(Debug)]
pub struct Task {
    op: u64,
    kind: u32,
    server: String,
    file: Option<PathBuf>,
}

impl Task {
    fn archive(&self) -> Option<&Path> {
        self.file.as_deref()
    }
}

/// What the host was asked for and has not answered.
#[derive(Debug, Default)]
pub struct Work {
    /// It does everything well, and at once.
    obliging: bool,
    open: Mutex<Open>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Open {
    tasks: Vec<Task>,
    given_up: BTreeSet<u64>,
    ended: bool,
}

impl Work {
    /// A host that was asked for nothing yet.
    pub fn new(obliging: bool) -> Self {
        Self { obliging, ..Self::default() }
    }

    fn put(&self, task: Task) {
        lock(&self.open).tasks.push(task);
        self.changed.notify_all();
    }

    /// Any of them, once there is one; None at the end.
    fn next(&self, rng: &mut Rng) -> Option<Task> {
        let mut open = lock(&self.open);
        while open.tasks.is_empty() && !open.ended {
            open = self.changed.wait(open).unwrap_or_else(std::sync::PoisonError::into_inner);
        }
        if open.ended {
            return None;
        }
        let any = rng.usize(0..open.tasks.len());
        Some(open.tasks.swap_remove(any))
    }

    /// The plugin has given it up: stops, and leaves nothing of it.
    pub fn give_up(&self, op: u64) {
        let mut open = lock(&self.open);
        open.given_up.insert(op);
        let waits = open.tasks.iter().position(|task| task.op == op);
        if let Some(task) = waits.map(|place| open.tasks.swap_remove(place)) {
            remove(&task);
        }
    }

    fn is_given_up(&self, op: u64) -> bool {
        lock(&self.open).given_up.contains(&op)
    }

    /// Ends [`Work::perform`].
    pub fn end(&self) {
        lock(&self.open).ended = true;
        self.changed.notify_all();
    }

    /// Takes an operation in: tells of it, then answers at once, or leaves it to the other thread. Inside the plugin's callback.
    pub fn begin(&self, operation: &Operation, caller: Option<&Caller>) {
        let (begin, trouble) = look_at(operation);
        let file = begin.file.as_ref().map(PathBuf::from);
        let task = Task { op: begin.op, kind: operation.kind, server: begin.server.clone(), file };
        tell(&Fact::Begin(begin));
        trouble.into_iter().for_each(|text| tell(&Fact::Fault { text }));
        match caller {
            // An archive takes too long for a callback.
            Some(caller) if task.file.is_none() && task.op.is_multiple_of(5) => answer_inside(caller, &task, true),
            Some(caller) if task.op.is_multiple_of(15) && !self.obliging => answer_inside(caller, &task, false),
            _ => self.put(task),
        }
    }

    /// Performs one operation after another, well or badly or not yet.
    pub fn perform(&self, caller: &Caller, mut rng: Rng) {
        while let Some(task) = self.next(&mut rng) {
            match rng.u32(0..100) {
                0..60 => self.finish(caller, &task, &mut rng),
                _ if self.obliging => self.finish(caller, &task, &mut rng),
                60..75 => self.fail(caller, &task, &mut rng),
                _ => {
                    thread::sleep(LEFT_ALONE);
                    self.put(task);
                }
            }
        }
    }

    fn finish(&self, caller: &Caller, task: &Task, rng: &mut Rng) {
        if task.archive().is_none_or(|file| self.write_whole(task, file, rng)) {
            answer(caller, task, true);
        }
    }

    fn fail(&self, caller: &Caller, task: &Task, rng: &mut Rng) {
        // What a failed attempt leaves half-written is the plugin's to remove.
        if task.archive().is_none_or(|file| rng.bool() || self.write_whole(task, file, rng)) {
            answer(caller, task, false);
        }
    }

    /// True once it is on disk.
    fn write_whole(&self, task: &Task, file: &Path, rng: &mut Rng) -> bool {
        let written = self.write(task, file, rng);
        if let Err(error) = &written {
            tell(&Fact::Fault { text: format!("{}: {error}", file.display()) });
        }
        if self.is_given_up(task.op) {
            remove(task);
            return false;
        }
        written.is_ok()
    }

    fn write(&self, task: &Task, path: &Path, rng: &mut Rng) -> io::Result<()> {
        let mut left = archive_size(rng);
        let mut file = {
            // Not after it was given up: nobody would remove it.
            let open = lock(&self.open);
            if open.given_up.contains(&task.op) {
                return Ok(());
            }
            File::create(path)?
        };
        let mut chunk = vec![0; CHUNK];
        file.write_all(heading(&task.server).as_bytes())?;
        while left > 0 && !self.is_given_up(task.op) {
            let length = left.min(CHUNK);
            rng.fill(&mut chunk[..length]);
            file.write_all(&chunk[..length])?;
            left -= length;
        }
        file.sync_all()
    }
}

/// Small ones are as likely as large ones.
fn archive_size(rng: &mut Rng) -> usize {
    let (least, most) = ARCHIVE;
    (least * (most / least).powf(rng.f64())) as usize
}

fn heading(server: &str) -> String {
    format!("settings of {server}\n")
}

/// The plugin may have been quicker.
fn remove(task: &Task) {
    task.archive().into_iter().for_each(|file| _ = fs::remove_file(file));
}

fn answer(caller: &Caller, task: &Task, ok: bool) {
    let op = task.op;
    tell(&Fact::Answering { op, ok });
    tell(&match complete(caller, task, ok) {
        Ok(()) => Fact::Answered { op },
        Err(error) => Fact::AnswerRefused { op, error },
    });
}

/// Promises nothing about the disk.
fn answer_inside(caller: &Caller, task: &Task, ok: bool) {
    tell(&Fact::Answering { op: task.op, ok });
    if let Err(error) = complete(caller, task, ok) {
        tell(&Fact::AnswerRefused { op: task.op, error });
    }
}

fn complete(caller: &Caller, task: &Task, ok: bool) -> Result<(), String> {
    let brings_token = ok && task.kind == abi::VMSF_OP_AUTHORIZE;
    let secret = if brings_token { token(&task.server, task.op) } else { Vec::new() };
    let outcome = if ok { abi::VMSF_OUTCOME_OK } else { abi::VMSF_OUTCOME_FAILED };
    let why = if ok { "" } else { r#"{"error":"the host would not"}"# };
    caller.complete(task.op, outcome, why, &secret).map_err(|error| error.name)
}

/// The token that this authorization of a server brings.
#[must_use]
pub fn token(server: &str, op: u64) -> Vec<u8> {
    padded(&format!("token of {server} by {op}:"))
}

/// The administrator credentials that come with the call of this actor; "" for the cluster.
#[must_use]
pub fn credentials(server: &str, actor: &str) -> Vec<u8> {
    padded(&format!("credentials of {server} by {actor}:"))
}

/// These words, and bytes of any value that follow from them.
fn padded(words: &str) -> Vec<u8> {
    let seed = words.bytes().fold(17_u64, |seed, byte| seed.wrapping_mul(31).wrapping_add(byte.into()));
    let mut rng = Rng::with_seed(seed);
    let mut secret = words.as_bytes().to_vec();
    secret.resize(words.len() + rng.usize(0..=PADDING_MAX), 0);
    rng.fill(&mut secret[words.len()..]);
    secret
}

/// Whose secret of this server it is.
#[must_use]
pub fn handed(server: &str, secret: &[u8]) -> Handed {
    let words = secret.split(|byte| *byte == b':').next().unwrap_or_default();
    let words = String::from_utf8_lossy(words);
    let of = |what: &str| words.strip_prefix(&format!("{what} of {server} by ")).map(str::to_owned);
    let token_of = of("token").and_then(|op| op.parse().ok());
    match (token_of, of("credentials")) {
        _ if secret.is_empty() => Handed::Nothing,
        (Some(op), _) if token(server, op) == secret => Handed::Token(op),
        (_, Some(actor)) if credentials(server, &actor) == secret => Handed::Credentials(actor),
        _ => Handed::Rubbish,
    }
}

/// What is asked for, and what is wrong with the backup that comes with it.
fn look_at(operation: &Operation) -> (Begin, Option<String>) {
    let request: Value = serde_json::from_str(&operation.json).unwrap_or_default();
    let text = |value: &Value| value.as_str().map(str::to_owned);
    let server = text(&request["server"]["id"]).unwrap_or_default();
    let begin = Begin {
        op: operation.id,
        operation: text(&request["operation"]).unwrap_or_default(),
        resumed: operation.flags & abi::VMSF_OP_RESUMED != 0,
        actor: text(&request["actor"]).unwrap_or_default(),
        secret: handed(&server, operation.secret.bytes()),
        file: text(&request["file"]),
        archive: text(&request["backup"]["path"]),
        server,
    };
    let trouble = (operation.kind == abi::VMSF_OP_TAKEOVER).then(|| {
        let expected = request["backup"]["sha256"].as_str().unwrap_or_default();
        check_archive(&begin.server, begin.archive.as_deref().unwrap_or_default(), expected).err()
    });
    let trouble = trouble.flatten().map(|why| format!("operation {}, takeover of {}: {why}", begin.op, begin.server));
    (begin, trouble)
}

/// A takeover needs the server's settings, as they were backed up.
fn check_archive(server: &str, path: &str, expected: &str) -> Result<(), String> {
    let archive = fs::read(path).map_err(|error| format!("{path}: {error}"))?;
    if sha256(&archive) != expected {
        return Err(format!("{path} does not hash as said"));
    }
    if archive.starts_with(heading(server).as_bytes()) { Ok(()) } else { Err(format!("{path} is another server's")) }
}

/// In hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_counts_only_as_a_whole_and_for_its_server() {
        let (one, two) = (token("a", 7), token("a", 8));
        assert_eq!((handed("a", &one), handed("a", &two)), (Handed::Token(7), Handed::Token(8)));
        assert_eq!(handed("b", &one), Handed::Rubbish);
        let mut bent = one.clone();
        bent[one.len() - 1] ^= 1;
        assert_eq!(handed("a", &bent), Handed::Rubbish);
        assert_eq!(handed("a", &one[..one.len() - 1]), Handed::Rubbish);
        assert_eq!(handed("a", &credentials("a", "1f-3")), Handed::Credentials("1f-3".into()));
        assert_eq!(handed("", &credentials("", "1f-3")), Handed::Credentials("1f-3".into()));
        assert_eq!(handed("a", b""), Handed::Nothing);
        assert!((1..100).all(|op| token("a", op).len() <= 4096));
    }

    #[test]
    fn an_archive_is_looked_at() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        fs::write(&path, heading("a") + "and more").unwrap();
        let (path, hash) = (path.to_str().unwrap(), sha256((heading("a") + "and more").as_bytes()));
        assert_eq!(check_archive("a", path, &hash), Ok(()));
        for (server, path, hash, why) in
            [("b", path, &*hash, "another server's"), ("a", path, "00", "hash"), ("a", "/nowhere", &*hash, "/nowhere")]
        {
            assert!(check_archive(server, path, hash).unwrap_err().contains(why), "{why}");
        }
    }

    #[test]
    fn what_is_given_up_is_not_written() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        let task = Task { op: 3, kind: abi::VMSF_OP_BACKUP, server: "a".into(), file: Some(file.clone()) };
        let work = Work::default();
        assert!(work.write_whole(&task, &file, &mut Rng::with_seed(1)) && file.exists());
        work.put(task);
        work.give_up(3);
        assert!(!file.exists() && lock(&work.open).tasks.is_empty());
        let task = Task { op: 3, kind: abi::VMSF_OP_BACKUP, server: "a".into(), file: Some(file.clone()) };
        assert!(!work.write_whole(&task, &file, &mut Rng::with_seed(1)) && !file.exists());
    }
}
