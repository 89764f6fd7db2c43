//! What the engine asks of files and of the keeper of the tokens, on its way to the file worker and back; and the secrets that wait meanwhile.
//!
//! Under the core's lock only lists are kept here; whoever turns the core takes the errands out and posts them with the lock given back.
//! Secrets are never put into an output, an entry or the durable state. Called by `core` and `runtime`.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;

use vms_failover_abi as abi;

use super::Runtime;
use super::core::{Call, Core, Message, Now};
use super::files::{self, Done, Job};
use super::secrets::Keeper;
use crate::backup::{Backup, Folder, Syncing};
use crate::config::Config;
use crate::engine::backup::Survey;
use crate::engine::command::{Command, Input};
use crate::engine::output::{Archive, Ask, Note, Operation, OperationKind, Outcome, Output, Stage, What};
use crate::engine::policy::ServerKey;
use crate::error::Error;
use crate::log::Named;
use crate::secret::Secret;

/// One slice of file work in `poll` hashes so much at most (header, rule 5).
const POLL_SLICE: u64 = 1024 * 1024;

/// What is to be posted to the file worker.
#[derive(Default)]
pub struct Errands {
    /// Work on backup files.
    pub asks: Vec<(Named, Ask)>,
    /// Handles of servers that are gone.
    forget: Vec<abi::vmsf_server>,
    /// Work of the keeper of the tokens.
    calls: Vec<(u64, Keeping)>,
    /// What was posted to the keeper, by its tag.
    kept: BTreeMap<u64, Keeping>,
    next_tag: u64,
}

/// What the keeper of the tokens is to do, each for one operation.
#[derive(Clone, Debug)]
enum Keeping {
    /// The host is to give the token of this server back, for the operation that waits.
    Load(Arc<str>, u64),
    /// The host is to keep the token that this operation brought.
    Store(Arc<str>, u64),
    /// The token that this operation had brought is to be deleted.
    Remove(Arc<str>, u64),
}

/// Credentials and tokens on their way.
#[derive(Default)]
pub struct Secrets {
    /// The host keeps the tokens.
    pub with_host: bool,
    /// By the call that brought them.
    credentials: BTreeMap<u64, Secret>,
    /// Tokens that are not on disk, by the operation that brought them: they have to be there before the state that speaks of them.
    due: BTreeMap<u64, (Arc<str>, Arc<Secret>)>,
    /// Tokens to be deleted, by the operation that had brought them.
    pub unwanted: BTreeMap<u64, Arc<str>>,
    /// Those of them that the state on disk does not speak of any more.
    may_go: BTreeSet<u64>,
    being_deleted: BTreeSet<u64>,
    /// Tokens whose answer has not taken effect, by the operation that brought them.
    on_trial: BTreeMap<u64, Arc<str>>,
    /// Operations whose token the host is asked for.
    waiting: BTreeMap<u64, Waiting>,
    loaded: BTreeMap<u64, Secret>,
    /// Answers that take effect once the host has kept their token.
    held: BTreeMap<u64, (Arc<Call>, Secret)>,
}

struct Waiting {
    operation: Operation,
    server: Named,
    config: Arc<Config>,
}

/// Where the secret of an operation is.
pub enum SecretOf {
    /// It has none.
    None,
    /// Here.
    Here(Secret),
    /// With the tokens on disk: of this server, brought by this operation.
    Token(Arc<str>, u64),
}

impl Errands {
    /// A server is gone: the file worker forgets it, and what is still to be asked of it would only be remembered there for ever.
    pub fn forget(&mut self, gone: abi::vmsf_server) {
        self.asks.retain(|(whose, _)| whose.handle != gone);
        self.forget.push(gone);
    }
}

impl Secrets {
    /// Keeps the credentials of a call until its operation begins.
    pub fn keep_credentials(&mut self, request: u64, credentials: Option<Secret>) {
        self.credentials.extend(credentials.map(|secret| (request, secret)));
    }

    /// A call came to nothing.
    pub fn forget_credentials(&mut self, request: u64) {
        self.credentials.remove(&request);
    }

    /// Everything that waits for an operation is wiped: monitoring ends.
    pub fn forget_all_credentials(&mut self) {
        self.credentials.clear();
        self.waiting.clear();
        self.loaded.clear();
    }

    /// Tokens for the disk, by their operation. They stay due until they are there.
    pub fn due(&self) -> BTreeMap<u64, (Arc<str>, Arc<Secret>)> {
        self.due.clone()
    }

    /// These are on disk.
    pub fn are_on_disk<'a>(&mut self, ops: impl Iterator<Item = &'a u64>) {
        ops.for_each(|op| _ = self.due.remove(op));
    }

    /// An operation is not begun after all.
    pub fn forget_loaded(&mut self, op: u64) {
        self.loaded.remove(&op);
    }

    /// Whether the token of this answer is not on disk yet.
    pub fn is_due(&self, op: u64) -> bool {
        self.due.contains_key(&op)
    }

    /// The token of an answer that was refused after all, or came to nothing. It may be on disk.
    pub fn forget_token(&mut self, op: u64) {
        self.due.remove(&op);
        self.held.remove(&op);
        self.unwanted.extend(self.on_trial.remove(&op).map(|id| (op, id)));
    }

    /// An answer was taken in: either its token has an owner now, or something went before it.
    pub fn was_answered(&mut self, op: u64) {
        if self.on_trial.contains_key(&op) {
            self.forget_token(op);
        }
    }

    /// The state on disk says that these are unwanted.
    pub fn were_saved(&mut self, unwanted: impl Iterator<Item = u64>) {
        self.may_go.extend(unwanted);
    }
}

impl Core {
    /// What needs a file, a token or a secret goes its own way; the rest is an entry.
    pub(super) fn run_errand(&mut self, output: Output, server: Option<&Named>) -> Option<Output> {
        match (&output.what, server) {
            (What::Begin(operation), server) => {
                self.deliver_or_wait(operation.clone(), server.cloned());
                None
            }
            (What::Files(ask), Some(server)) => {
                self.errands.asks.push((server.clone(), ask.clone()));
                None
            }
            (What::Files(_), None) => None,
            (What::Access { by, was }, Some(server)) => {
                by.iter().for_each(|op| _ = self.secrets.on_trial.remove(op));
                if by.is_some() && self.secrets.with_host {
                    // A host keeps one token for a server: the new one is in the place of all that were to be deleted.
                    self.secrets.unwanted.retain(|_, id| *id != server.id);
                } else if let Some(was) = was {
                    self.secrets.unwanted.insert(*was, Arc::clone(&server.id));
                }
                Some(output)
            }
            (What::Completed { op, .. }, _) => {
                output.request.into_iter().for_each(|request| self.secrets.forget_credentials(request));
                self.secrets.waiting.remove(op);
                self.secrets.loaded.remove(op);
                Some(output)
            }
            // It came to nothing: nobody needs its credentials any more.
            (What::Note(Note::Overtaken { .. }), _) => {
                output.request.into_iter().for_each(|request| self.secrets.forget_credentials(request));
                Some(output)
            }
            _ => Some(output),
        }
    }

    fn deliver_or_wait(&mut self, operation: Operation, server: Option<Named>) {
        let config = Arc::clone(self.config());
        let needs_token = self.token_of(&operation).is_some() && self.secrets.with_host;
        match server {
            Some(server) if needs_token => {
                let (id, op) = (Arc::clone(&server.id), operation.id);
                self.secrets.waiting.insert(op, Waiting { operation, server, config });
                self.ask_keeper(Keeping::Load(id, op));
            }
            server => self.push_begin(operation, server, config),
        }
    }

    /// The operation that brought the token which goes with this one.
    fn token_of(&self, operation: &Operation) -> Option<u64> {
        if matches!(operation.kind, OperationKind::Authorize | OperationKind::JoinCluster) {
            return None;
        }
        self.engine().access(operation.server?)
    }

    /// The secret that goes with an operation about to begin. Credentials are handed out once.
    /// None for one that is over, or was answered: something went before it while it waited here.
    pub fn secret_of(&mut self, operation: &Operation, server: Option<&Named>) -> Option<SecretOf> {
        self.engine().operation(operation.id).filter(|now| now.stage == Stage::Asked)?;
        let secrets = &mut self.secrets;
        let credentials = operation.request.and_then(|request| secrets.credentials.remove(&request));
        if let Some(here) = credentials.or_else(|| secrets.loaded.remove(&operation.id)) {
            return Some(SecretOf::Here(here));
        }
        Some(match (self.token_of(operation), server) {
            (Some(by), Some(server)) if !self.secrets.with_host => match self.secrets.due.get(&by) {
                Some((_, token)) => SecretOf::Here(token.duplicate()),
                None => SecretOf::Token(Arc::clone(&server.id), by),
            },
            _ => SecretOf::None,
        })
    }

    fn ask_keeper(&mut self, keeping: Keeping) {
        self.errands.next_tag += 1;
        self.errands.calls.push((self.errands.next_tag, keeping));
    }

    /// An accepted answer with a token: on disk with the state, or with the host before it takes effect. True if the call has to wait.
    pub fn keep_token(&mut self, op: u64, call: &Arc<Call>, token: Secret) -> bool {
        let id = self.engine().operation(op).and_then(|operation| operation.server).and_then(|key| self.named(key));
        let Some(Named { id, .. }) = id else { return false };
        if !self.secrets.with_host {
            self.secrets.on_trial.insert(op, Arc::clone(&id));
            self.secrets.due.insert(op, (id, Arc::new(token)));
            return false;
        }
        self.waits_for_host(call);
        self.secrets.held.insert(op, (Arc::clone(call), token));
        self.ask_keeper(Keeping::Store(id, op));
        true
    }

    /// Tokens that are not wanted any more, each asked for once; one that its server has again was taken back meanwhile.
    fn ask_for_deletions(&mut self) {
        let Secrets { may_go, being_deleted, .. } = &self.secrets;
        let fresh = |op: &u64| may_go.contains(op) && !being_deleted.contains(op);
        let fresh = self.secrets.unwanted.iter().filter(|(op, _)| fresh(op));
        let fresh: Vec<(u64, Arc<str>)> = fresh.map(|(op, id)| (*op, Arc::clone(id))).collect();
        for (op, id) in fresh {
            self.secrets.being_deleted.insert(op);
            self.ask_keeper(Keeping::Remove(id, op));
        }
    }

    /// A start: what was asked of the file worker before was dropped at the stop, and is asked for anew. An answer whose token the host had
    /// not kept by then belongs to an authorization that is cut off.
    pub(super) fn forget_errands(&mut self) {
        self.errands.asks.clear();
        self.errands.calls.clear();
        self.errands.kept.clear();
        self.secrets.being_deleted.clear();
        for (_, (call, _)) in std::mem::take(&mut self.secrets.held) {
            self.withdraw(&call);
        }
    }

    /// The file worker has done something.
    pub(super) fn take_done(&mut self, done: Done, now: Now) {
        match done {
            Done::Surveyed { whose, survey, .. } => self.take_survey(&whose, survey, false, now),
            Done::Found { whose, survey } => self.take_survey(&whose, survey, true, now),
            Done::Prepared { op, result } => {
                let result =
                    result.map_err(|error| error.text).and_then(|path| match path.into_os_string().into_string() {
                        Ok(path) => Ok(path),
                        Err(path) => Err(format!("the path {} is not UTF-8", Path::new(&path).display())),
                    });
                self.feed(Input::Prepared { op, result }, now);
            }
            Done::Published { op, whose, result, survey } => {
                let result = result.map(|published| archive(&published.backup)).map_err(|error| error.text);
                self.feed(Input::Published { op, result }, now);
                self.take_survey(&whose, survey, false, now);
            }
            Done::Called { tag, result } => self.take_called(tag, result, now),
        }
    }

    fn take_survey(&mut self, whose: &Named, survey: files::Survey, found: bool, now: Now) {
        // Of a server that is gone, or is another one by now, nothing is known.
        let Some(server) = self.key_of(whose.handle) else { return };
        let survey = Survey {
            newest: survey.newest.as_ref().map(archive),
            damaged: survey.damaged.iter().map(|skipped| (skipped.number, skipped.flaw.text().to_owned())).collect(),
            highest: survey.highest,
            error: survey.error.map(|error| error.text),
        };
        self.feed(Input::Surveyed { server, survey, found }, now);
    }

    fn take_called(&mut self, tag: u64, result: Result<Option<Secret>, Error>, now: Now) {
        match self.errands.kept.remove(&tag) {
            Some(Keeping::Load(id, op)) => self.take_token(&id, op, result, now),
            Some(Keeping::Store(_, op)) => self.take_kept(op, result.map(|_| ())),
            // One that could not be deleted is tried again at the next start.
            Some(Keeping::Remove(_, op)) if result.is_ok() && self.secrets.unwanted.remove(&op).is_some() => {
                self.secrets.may_go.remove(&op);
                self.secrets.being_deleted.remove(&op);
                self.has_changed();
            }
            Some(Keeping::Remove(..)) | None => {}
        }
    }

    fn take_token(&mut self, id: &str, op: u64, result: Result<Option<Secret>, Error>, now: Now) {
        let Some(Waiting { operation, server, config }) = self.secrets.waiting.remove(&op) else { return };
        match result {
            Ok(Some(token)) => {
                self.secrets.loaded.insert(op, token);
                self.push_begin(operation, Some(server), config);
            }
            Ok(None) => {
                let why = format!("the host has no token of server '{id}' any more: authorize it again");
                self.feed(Input::Unready { op, why }, now);
                // Nothing else that needs it is begun in vain.
                let by = None;
                operation.server.into_iter().for_each(|server| self.feed(Input::Token { server, by }, now));
            }
            Err(error) => self.feed(Input::Unready { op, why: error.text }, now),
        }
    }

    /// The host has kept a token, or not: its answer takes effect now.
    fn take_kept(&mut self, op: u64, result: Result<(), Error>) {
        let Some((call, _)) = self.secrets.held.remove(&op) else { return };
        match result {
            Ok(()) => self.send(&call),
            Err(error) => {
                let error = Some(format!("the host could not keep the token: {}", error.text));
                self.replace(&call, Command::Complete { op, outcome: Outcome::Failed, error });
            }
        }
    }

    fn key_of(&self, handle: abi::vmsf_server) -> Option<ServerKey> {
        self.servers().by_handle(handle).map(|entry| entry.mailbox.key())
    }
}

fn archive(backup: &Backup) -> Archive {
    Archive {
        number: backup.number,
        // The directory is UTF-8 by the configuration, the file's name by its form.
        path: backup.path.to_string_lossy().into_owned(),
        size: backup.size,
        sha256: backup.sha256.clone(),
        time: backup.time.clone(),
    }
}

impl Runtime {
    /// Posts what the core has asked for. Never waits for the disk.
    pub(super) fn post_errands(&self) {
        let (errands, config) = {
            let mut core = self.core.lock();
            core.ask_for_deletions();
            let errands = &mut core.errands;
            if errands.asks.is_empty() && errands.forget.is_empty() && errands.calls.is_empty() {
                return;
            }
            let asks = std::mem::take(&mut errands.asks);
            let (forget, calls) = (std::mem::take(&mut errands.forget), std::mem::take(&mut errands.calls));
            let mut jobs = Vec::new();
            for (tag, keeping) in calls {
                jobs.push(self.keeper_job(tag, &keeping, &core.secrets));
                core.errands.kept.insert(tag, keeping);
            }
            let config = Arc::clone(core.config());
            ((asks, forget, jobs), config)
        };
        let (asks, forget, jobs) = errands;
        forget.into_iter().for_each(|handle| self.files.forget(handle));
        jobs.into_iter().for_each(|job| self.files.post(job));
        for (whose, ask) in asks {
            match Folder::new(Path::new(&config.backup_directory), &whose.id, self.syncing) {
                Ok(folder) => self.post_ask(whose, folder, ask, config.backups_kept as usize),
                Err(error) => self.no_folder(whose, &ask, error),
            }
        }
    }

    fn post_ask(&self, whose: Named, folder: Folder, ask: Ask, keep: usize) {
        let job = match ask {
            Ask::Prepare { op, last_number } => Job::Prepare { op, whose, folder, last_number },
            Ask::Publish { op, file } => {
                Job::Publish { op, whose, folder, file: file.into(), utc_ms: self.clock.utc_ms(), keep }
            }
            // Whoever is cancelled cleans up after itself.
            Ask::Discard { op } if self.files.cancel(op) => return,
            Ask::Discard { .. } => Job::Clean { whose, folder },
            Ask::Find => Job::Find { whose, folder },
            Ask::Survey { thorough } => Job::Survey { whose, folder, thorough, clean: false, resumed: None },
            Ask::TidyUp { resumed } => Job::Survey { whose, folder, thorough: false, clean: true, resumed },
        };
        self.files.post(job);
    }

    /// The id or the directory cannot name a folder.
    fn no_folder(&self, whose: Named, ask: &Ask, error: Error) {
        let survey = || files::Survey { error: Some(error.clone()), ..files::Survey::default() };
        let done = match ask {
            Ask::Prepare { op, .. } => Done::Prepared { op: *op, result: Err(error) },
            Ask::Publish { op, .. } => Done::Published { op: *op, result: Err(error.clone()), survey: survey(), whose },
            Ask::Find => Done::Found { survey: survey(), whose },
            Ask::Discard { .. } | Ask::Survey { .. } | Ask::TidyUp { .. } => return,
        };
        self.file_work_done(done);
    }

    fn keeper_job(&self, tag: u64, keeping: &Keeping, secrets: &Secrets) -> Job {
        let (keeper, keeping) = (self.keeper.clone(), keeping.clone());
        let token = match &keeping {
            Keeping::Store(_, op) => secrets.held.get(op).map(|(_, token)| token.duplicate()),
            _ => None,
        };
        let call = move || match (&keeping, keeper) {
            (Keeping::Load(id, _), Keeper::Host(host)) => host.load(id),
            (Keeping::Store(id, _), Keeper::Host(host)) => match &token {
                Some(token) => host.store(id, token).map(|()| None),
                None => Ok(None),
            },
            (Keeping::Remove(id, _), Keeper::Host(host)) => host.remove(id).map(|()| None),
            (Keeping::Remove(id, op), Keeper::Files(tokens)) => tokens.remove(id, *op).map(|()| None),
            (Keeping::Load(..) | Keeping::Store(..), Keeper::Files(_)) => Ok(None),
        };
        Job::Call { tag, call: Box::new(call) }
    }

    /// Hands a result of the file worker in, from whichever thread.
    pub(super) fn file_work_done(&self, done: Done) {
        // Never blocks: the channel has no bound of its own, the jobs have.
        let _ = self.sender.send(Message::Files(Box::new(done)));
        if !self.is_driven() {
            self.waker.wake();
        }
    }

    /// One slice of file work inside `poll`.
    pub(super) fn file_slice(&self) {
        for done in self.files.step(POLL_SLICE).into_iter().flatten() {
            self.file_work_done(done);
        }
    }

    /// What is synced of the backups.
    pub(super) fn syncing(driven: bool, durable: bool) -> Syncing {
        match (durable, driven) {
            (false, _) => Syncing::None,
            // The host has synced the archive before it completed.
            (true, true) => Syncing::Small,
            (true, false) => Syncing::All,
        }
    }
}
