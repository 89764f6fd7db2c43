//! The scenario's host at work: what it does when the plugin asks for an operation, and what it hands back.
//!
//! It is as correct as a host can be: it begins at once, stops and undoes what is given up, leaves nothing of what fails, and answers what it
//! does not know as unsupported. And it believes nothing: the secret that it is handed must be the one it gave for that server, the backup
//! must be that server's and hash as said. *When* it answers, and whether well, is the runner's to say.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};
use vms_failover_abi as abi;

use super::read::Request;
use crate::plugin::Operation;

/// How often an archive says what it is: long enough to have a middle.
const REPEATED: usize = 16;

/// The administrator credentials of a server.
pub(super) fn credentials(server: &str) -> Vec<u8> {
    format!("credentials of {server}").into_bytes()
}

/// What this host hands out for them.
fn token(server: &str) -> Vec<u8> {
    format!("token of {server}").into_bytes()
}

/// The operations that were begun and are neither answered nor given up.
#[derive(Debug)]
pub(super) struct Work {
    story: String,
    sync: bool,
    open: BTreeMap<u64, Job>,
}

#[derive(Debug)]
enum Job {
    /// Nothing that a simulation could do.
    Plain,
    Backup {
        file: PathBuf,
        archive: Vec<u8>,
    },
    Authorize {
        server: String,
    },
    Unknown,
}

/// The answer to an operation.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Answer {
    /// VMSF_OUTCOME_.
    pub(super) outcome: u32,
    /// Why it failed.
    pub(super) error: Option<String>,
    /// The token of an authorization.
    pub(super) secret: Vec<u8>,
}

impl Work {
    /// A host without work. `sync`: what it writes is on disk before it answers.
    pub(super) fn new(story: &str, sync: bool) -> Self {
        Self { story: story.to_owned(), sync, open: BTreeMap::new() }
    }

    /// Begins an operation.
    ///
    /// # Errors
    /// The plugin broke a rule: the wrong secret, no file to write to, or no good backup.
    pub(super) fn begin(&mut self, operation: &Operation, request: &Request) -> Result<(), String> {
        check_secret(operation, request)?;
        let job = match operation.kind {
            abi::VMSF_OP_TAKEOVER => {
                check_backup(operation, request)?;
                Job::Plain
            }
            abi::VMSF_OP_RESTORE | abi::VMSF_OP_DEAUTHORIZE | abi::VMSF_OP_JOIN_CLUSTER => Job::Plain,
            abi::VMSF_OP_AUTHORIZE => Job::Authorize { server: request.server().unwrap_or_default().to_owned() },
            abi::VMSF_OP_BACKUP => {
                let file = request.file.as_ref().map(PathBuf::from).filter(|file| file.is_absolute());
                let file = file.ok_or_else(|| format!("no absolute `file` in the request {}", operation.json))?;
                let archive = self.archive(operation.id, request.server().unwrap_or_default());
                // One half now: a host that dies leaves it. Whatever is wrong with the disk comes out again at the end.
                let _ = fs::write(&file, &archive[..archive.len() / 2]);
                Job::Backup { file, archive }
            }
            _ => Job::Unknown,
        };
        self.open.insert(operation.id, job);
        Ok(())
    }

    /// The plugin has given it up: stops, and undoes what was done.
    pub(super) fn give_up(&mut self, op: u64) {
        if let Some(Job::Backup { file, .. }) = self.open.remove(&op) {
            remove(&file);
        }
    }

    /// Ends an operation, well or not, and gives the answer.
    pub(super) fn end(&mut self, op: u64, failure: Option<&str>) -> Answer {
        let failed =
            |error: String| Answer { outcome: abi::VMSF_OUTCOME_FAILED, error: Some(error), ..Answer::default() };
        match (self.open.remove(&op), failure) {
            (Some(Job::Unknown), _) => Answer { outcome: abi::VMSF_OUTCOME_UNSUPPORTED, ..Answer::default() },
            (Some(Job::Backup { file, .. }), Some(error)) => {
                remove(&file);
                failed(error.to_owned())
            }
            (_, Some(error)) => failed(error.to_owned()),
            (Some(Job::Backup { file, archive }), None) => match write(&file, &archive, self.sync) {
                Ok(()) => Answer::default(),
                Err(error) => {
                    remove(&file);
                    failed(format!("{}: {error}", file.display()))
                }
            },
            (Some(Job::Authorize { server }), None) => Answer { secret: token(&server), ..Answer::default() },
            // Given up: a host that answers all the same.
            (Some(Job::Plain) | None, None) => Answer::default(),
        }
    }

    /// Settings that say whose they are: the same for the same scenario, server and operation.
    fn archive(&self, op: u64, server: &str) -> Vec<u8> {
        format!("settings of {server}, operation {op}, in: {}\n", self.story).repeat(REPEATED).into_bytes()
    }
}

fn write(file: &Path, archive: &[u8], sync: bool) -> io::Result<()> {
    let mut file = File::create(file)?;
    file.write_all(archive)?;
    if sync { file.sync_all() } else { Ok(()) }
}

/// The plugin may have been quicker.
fn remove(file: &Path) {
    let _ = fs::remove_file(file);
}

/// Credentials for an authorization, the server's token for everything else.
fn check_secret(operation: &Operation, request: &Request) -> Result<(), String> {
    let Some(server) = request.server() else { return Ok(()) };
    let (what, expected) = match operation.kind {
        abi::VMSF_OP_AUTHORIZE => ("credentials", credentials(server)),
        _ => ("token", token(server)),
    };
    if operation.secret.bytes() == expected {
        return Ok(());
    }
    let (name, op) = (&request.operation, operation.id);
    Err(format!("operation {op}, {name} of {server}, came without its {what}: {:?}", operation.secret))
}

/// A takeover needs the server's settings, as they were backed up.
fn check_backup(operation: &Operation, request: &Request) -> Result<(), String> {
    // What has begun goes on, whatever has become of its backup since.
    if operation.flags & abi::VMSF_OP_RESUMED != 0 {
        return Ok(());
    }
    let server = request.server().unwrap_or_default();
    let bad = |what: &str| format!("operation {}, takeover of {server}: {what}: {}", operation.id, operation.json);
    let backup = request.backup.as_ref().ok_or_else(|| bad("no backup"))?;
    let archive = fs::read(&backup.path).map_err(|e| bad(&format!("the backup cannot be read ({e})")))?;
    if hex(&Sha256::digest(&archive)) != backup.sha256 {
        return Err(bad("the backup does not hash as said"));
    }
    if !archive.starts_with(format!("settings of {server},").as_bytes()) {
        return Err(bad("the backup is another server's"));
    }
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::plugin::Secret;

    fn operation(id: u64, kind: u32, file: &Path, secret: &[u8]) -> (Operation, Request) {
        let name = match kind {
            abi::VMSF_OP_BACKUP => "backup",
            abi::VMSF_OP_AUTHORIZE => "authorize",
            _ => "other",
        };
        let json = json!({"operation": name, "server": {"id": "a"}, "file": file}).to_string();
        let secret = Secret::new(secret.to_vec());
        let operation = Operation { kind, flags: 0, attempt: 0, id, deadline_ns: 0, server: 1, json, secret };
        let request = Request::of(&operation).unwrap();
        (operation, request)
    }

    fn begun(work: &mut Work, id: u64, file: &Path) {
        let (operation, request) = operation(id, abi::VMSF_OP_BACKUP, file, b"token of a");
        work.begin(&operation, &request).unwrap();
    }

    #[test]
    fn an_archive_is_half_there_until_it_is_answered_and_the_same_for_the_same_operation() {
        let folder = tempfile::tempdir().unwrap();
        let (one, two) = (folder.path().join("1"), folder.path().join("2"));
        let mut work = Work::new("story", true);
        begun(&mut work, 7, &one);
        let half = fs::metadata(&one).unwrap().len();
        assert_eq!(work.end(7, None), Answer::default());
        let whole = fs::read_to_string(&one).unwrap();
        assert!(whole.starts_with("settings of a, operation 7, in: story\n"), "{whole}");
        assert_eq!(half, whole.len() as u64 / 2);
        begun(&mut work, 7, &two);
        work.end(7, None);
        assert_eq!(fs::read_to_string(&two).unwrap(), whole);
    }

    #[test]
    fn nothing_is_left_of_a_backup_that_fails_or_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("f");
        let mut work = Work::new("story", false);
        begun(&mut work, 1, &file);
        let answer = work.end(1, Some("no room"));
        assert_eq!((answer.outcome, answer.error.as_deref()), (abi::VMSF_OUTCOME_FAILED, Some("no room")));
        assert!(!file.exists());
        begun(&mut work, 2, &file);
        work.give_up(2);
        assert!(!file.exists());
        assert_eq!(work.end(2, None), Answer::default(), "it answers all the same, and writes nothing");
        assert!(!file.exists());
        work.give_up(3);
    }

    #[test]
    fn a_file_that_cannot_be_written_is_a_failure_with_its_path() {
        let folder = tempfile::tempdir().unwrap();
        let mut work = Work::new("story", false);
        begun(&mut work, 1, &folder.path().join("missing").join("f"));
        let answer = work.end(1, None);
        assert_eq!(answer.outcome, abi::VMSF_OUTCOME_FAILED);
        assert!(answer.error.is_some_and(|error| error.contains("missing")));
    }

    #[test]
    fn credentials_give_a_token_and_what_is_unknown_is_unsupported() {
        let mut work = Work::new("story", false);
        let (authorize, request) = operation(1, abi::VMSF_OP_AUTHORIZE, Path::new("/f"), b"credentials of a");
        work.begin(&authorize, &request).unwrap();
        assert_eq!(work.end(1, None).secret, b"token of a");
        let (probe, request) = operation(2, abi::VMSF_OP_PROBE, Path::new("/f"), b"token of a");
        work.begin(&probe, &request).unwrap();
        assert_eq!(work.end(2, None).outcome, abi::VMSF_OUTCOME_UNSUPPORTED);
    }

    #[test]
    fn a_takeover_is_begun_with_a_good_backup_of_that_server_alone() {
        let folder = tempfile::tempdir().unwrap();
        let (file, other) = (folder.path().join("f"), folder.path().join("other"));
        let mut work = Work::new("story", false);
        begun(&mut work, 1, &file);
        work.end(1, None);
        fs::write(&other, "settings of b, ").unwrap();
        let of = |path: &Path| json!({"path": path, "sha256": hex(&Sha256::digest(fs::read(path).unwrap()))});
        let mut take_over = |backup: Value, flags| {
            let (operation, _) = operation(2, abi::VMSF_OP_TAKEOVER, &file, b"token of a");
            let json = json!({"operation": "takeover", "server": {"id": "a"}, "backup": backup}).to_string();
            let operation = Operation { json, flags, ..operation };
            work.begin(&operation, &Request::of(&operation).unwrap())
        };
        assert_eq!(take_over(of(&file), 0), Ok(()));
        let damaged = json!({"path": file, "sha256": "0"});
        assert_eq!(take_over(damaged.clone(), abi::VMSF_OP_RESUMED), Ok(()), "what has begun goes on");
        for (backup, what) in [(Value::Null, "no backup"), (damaged, "does not hash"), (of(&other), "another server's")]
        {
            let text = take_over(backup, 0).unwrap_err();
            assert!(text.contains(what), "{text}");
        }
    }

    #[test]
    fn a_wrong_secret_is_a_fault_that_shows_none() {
        let mut work = Work::new("story", false);
        for (kind, secret) in [
            (abi::VMSF_OP_BACKUP, &b""[..]),
            (abi::VMSF_OP_TAKEOVER, b"token of b"),
            (abi::VMSF_OP_AUTHORIZE, b"token of a"),
        ] {
            let (operation, request) = operation(1, kind, Path::new("/f"), secret);
            let text = work.begin(&operation, &request).unwrap_err();
            assert!(text.contains("came without its") && !text.contains("token of"), "{text}");
        }
    }
}
