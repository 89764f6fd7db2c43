//! Calls of operators and answers of the host: accepted under the core's lock, on disk before they return, and only then taken in.
//!
//! Inside a callback nobody waits for the disk: the call returns at once, and an entry says when it is durable. Called by `ffi`, on any thread.

use std::sync::Arc;

use parking_lot::MutexGuard;
use vms_failover_abi as abi;

use super::core::{Call, Core, Refused};
use super::{Answer, Life, Runtime};
use crate::engine::command::{Command, Refusal};
use crate::engine::output::{OperationKind, Outcome};
use crate::engine::policy::ServerKey;
use crate::error::Error;
use crate::secret::Secret;

impl Runtime {
    /// Takes a server over by hand; gives the request id.
    pub fn takeover(&self, server: abi::vmsf_server, actor: String) -> Result<u64, Error> {
        self.command(|core| {
            let (server, request) = (self.key(server)?, core.new_id());
            Ok(Command::Takeover { server, actor, request })
        })
    }

    /// Restores a server by hand; gives the request id.
    pub fn restore(&self, server: abi::vmsf_server, actor: String) -> Result<u64, Error> {
        self.command(|core| {
            let (server, request) = (self.key(server)?, core.new_id());
            Ok(Command::Restore { server, actor, request })
        })
    }

    /// Takes a server out of the queue; possible while stopped, too.
    pub fn cancel(&self, server: abi::vmsf_server, actor: String) -> Result<(), Error> {
        let core = self.core.lock();
        self.accept(core, |core| {
            let (server, request) = (self.key(server)?, core.new_id());
            Ok(Command::Cancel { server, actor, request })
        })
        .map(|_| ())
    }

    /// Backs a server up, or all; gives the request id.
    pub fn backup(&self, server: Option<abi::vmsf_server>, actor: String) -> Result<u64, Error> {
        self.performs(OperationKind::Backup)?;
        self.command(|core| {
            let Some(server) = server else {
                return Ok(Command::BackupAll { actor, request: core.new_id() });
            };
            let (server, request) = (self.key(server)?, core.new_id());
            Ok(Command::Backup { server, actor, request })
        })
    }

    /// Has the host log in on a server; gives the request id.
    pub fn authorize(
        &self,
        server: abi::vmsf_server,
        actor: String,
        credentials: Option<Secret>,
    ) -> Result<u64, Error> {
        self.performs(OperationKind::Authorize)?;
        self.command(|core| {
            let (server, request) = (self.key(server)?, core.new_id());
            core.secrets.keep_credentials(request, credentials);
            Ok(Command::Authorize { server, actor, request })
        })
    }

    /// Has the host revoke the token of a server; gives the request id. Possible while stopped, too.
    pub fn deauthorize(&self, server: abi::vmsf_server, actor: String) -> Result<u64, Error> {
        let core = self.core.lock();
        self.accept(core, |core| {
            let (server, request) = (self.key(server)?, core.new_id());
            Ok(Command::Deauthorize { server, actor, request })
        })
    }

    /// Has the host join the cluster through a management server; gives the request id.
    pub fn join_cluster(
        &self,
        (host, port): (String, u16),
        actor: String,
        credentials: Option<Secret>,
    ) -> Result<u64, Error> {
        self.performs(OperationKind::JoinCluster)?;
        self.command(|core| {
            let request = core.new_id();
            core.secrets.keep_credentials(request, credentials);
            Ok(Command::JoinCluster { host, port, actor, request })
        })
    }

    /// Whether this failover server is part of the cluster; possible while stopped, too.
    pub fn cluster(&self, joined: bool, actor: String) -> Result<(), Error> {
        let core = self.core.lock();
        self.accept(core, |core| Ok(Command::Cluster { joined, actor, request: core.new_id() })).map(|_| ())
    }

    fn performs(&self, kind: OperationKind) -> Result<(), Error> {
        if self.performs.has(kind) {
            return Ok(());
        }
        let text = format!("the host does not perform '{0}': name it in the operations of create", kind.name());
        Err(Error::new(abi::VMSF_ERR_UNSUPPORTED, text))
    }

    /// The host's answer; a token comes with that to an `authorize` alone.
    pub fn complete(&self, op: u64, Answer { outcome, error, token }: Answer) -> Result<(), Error> {
        let core = self.running_core()?;
        let kind = core.engine().operation(op).map(|operation| operation.kind);
        let brings_token = kind == Some(OperationKind::Authorize) && outcome == Outcome::Ok;
        let fails = |why: String| Command::Complete { op, outcome: Outcome::Failed, error: Some(why) };
        let token = match (token, kind) {
            (Err(bad), _) if brings_token => {
                // It would hang until its deadline, and nobody would learn why.
                let why = format!("the host's answer was refused: {}", bad.text);
                self.accept(core, |_| Ok(fails(why)))?;
                return Err(bad);
            }
            (Ok(Some(_)), Some(kind)) if kind != OperationKind::Authorize => {
                let text = format!("secret: a token answers an authorize, not a {}", kind.name());
                return Err(Error::new(abi::VMSF_ERR_INVALID, text));
            }
            (Ok(None), _) if brings_token => {
                return self.accept(core, |_| Ok(fails("the host gave no token".to_owned()))).map(|_| ());
            }
            (token, _) => token?.filter(|_| brings_token),
        };
        self.accept_with(core, |_| Ok(Command::Complete { op, outcome, error }), token).map(|_| ())
    }

    /// The host's progress.
    pub fn progress(&self, op: u64, permille: u32, text: &str) -> Result<(), Error> {
        let text = crate::log::host_words(text);
        self.command(|_| Ok(Command::Progress { op, permille, text })).map(|_| ())
    }

    /// Has a call accepted while running; gives its request id.
    fn command(&self, command: impl FnOnce(&mut Core) -> Result<Command, Error>) -> Result<u64, Error> {
        self.accept(self.running_core()?, command)
    }

    fn running_core(&self) -> Result<MutexGuard<'_, Core>, Error> {
        // Asked with the lock held, under which `stop` changes it: nothing comes in behind a stop.
        let core = self.core.lock();
        if self.life() != Life::Running {
            return Err(Error::new(abi::VMSF_ERR_STATE, "possible only while running: start first"));
        }
        Ok(core)
    }

    /// `command` is made with the lock held, so that a handle found there is still good when the call is accepted.
    fn accept<'a>(
        &'a self,
        core: MutexGuard<'a, Core>,
        command: impl FnOnce(&mut Core) -> Result<Command, Error>,
    ) -> Result<u64, Error> {
        self.accept_with(core, command, None)
    }

    /// The same for an answer that brings a token.
    fn accept_with<'a>(
        &'a self,
        mut core: MutexGuard<'a, Core>,
        command: impl FnOnce(&mut Core) -> Result<Command, Error>,
        token: Option<Secret>,
    ) -> Result<u64, Error> {
        self.catch_up(&mut core);
        let command = command(&mut core)?;
        let request = command.request();
        let answered = if let Command::Complete { op, .. } = &command { *op } else { 0 };
        let accepted = core.accept(command, None);
        if let (Err(_), Some(request)) = (&accepted, request) {
            core.secrets.forget_credentials(request);
            core.give_back_id(request);
        }
        let (call, durable) = match accepted {
            Ok(accepted) => accepted,
            Err(refused) => {
                drop(core);
                // A refused call brings a driving host no work; the worker delivers what catching up has brought.
                if !self.is_driven() || refused == Refused::Late {
                    self.rouse();
                }
                return Err(self.refused(refused));
            }
        };
        let waits = token.is_some_and(|token| core.keep_token(answered, &call, token));
        if durable && self.host.is_calling_back() {
            core.confirm_later(&call);
        } else if durable {
            let version = core.version();
            drop(core);
            core = self.on_disk(&call, version).inspect_err(|_| {
                request.into_iter().for_each(|request| self.core.lock().secrets.forget_credentials(request));
            })?;
        }
        if !waits {
            core.send(&call);
        }
        self.catch_up(&mut core);
        drop(core);
        self.rouse();
        Ok(request.unwrap_or(0))
    }

    /// Waits until an accepted call is on disk; one that cannot be written is refused after all.
    pub(super) fn on_disk(&self, call: &Arc<Call>, version: u64) -> Result<MutexGuard<'_, Core>, Error> {
        let written = self.write();
        let mut core = self.core.lock();
        let lacks = match written {
            Err(error) if !core.is_on_disk(version) => Err(error),
            Ok(Err(error)) | Err(error) if core.lacks_token(call) => Err(error),
            // Another thread has written the state, and could not write this token with it.
            Ok(Ok(())) if core.lacks_token(call) => Err(Error::new(abi::VMSF_ERR_IO, "the token cannot be written")),
            _ => Ok(()),
        };
        match lacks {
            Err(error) => {
                core.withdraw(call);
                drop(core);
                // The disk is tried again in a while, and it may hold what was refused just now.
                self.rouse();
                Err(error)
            }
            Ok(()) => Ok(core),
        }
    }

    pub(super) fn refused(&self, refused: Refused) -> Error {
        let text = match refused {
            Refused::By(Refusal::NoSuchServer) => "a configuration waits for the next poll: try again after it".into(),
            Refused::By(refusal) => refusal.text(|key| self.id_of(key)),
            Refused::Late => Refusal::NoSuchOperation.text(|key| self.id_of(key)),
            Refused::Full => "too much waits to be taken in: try again later".into(),
        };
        Error::new(refused.code(), text)
    }

    fn id_of(&self, key: ServerKey) -> String {
        self.servers.read().by_key(key).map_or_else(|| "?".into(), |entry| entry.named.id.to_string())
    }
}
