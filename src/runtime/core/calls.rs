//! Calls between being accepted and being taken in: whether there is room, what the rules say, what each waits for, and in which order they take
//! effect. A part of the core, under its lock. Called by `runtime`.

use std::sync::Arc;

use vms_failover_abi as abi;

use super::{CONFIGURES_MAX, Core, Message, PENDING_MAX};
use crate::config::Config;
use crate::engine::command::{Command, Refusal};
use crate::engine::policy::ServerKey;
use crate::runtime::accepted;
use crate::runtime::servers::Servers;

/// An accepted call, with the servers and the configuration that it brings.
pub struct Call {
    pub(super) command: Command,
    pub(super) placement: Option<(Arc<Servers>, Arc<Config>)>,
    /// An earlier life accepted it, and the credentials that it needs went with that life.
    pub(super) interrupted: bool,
}

impl Call {
    /// The operation that it answers; 0, which is none, for other calls.
    pub(super) fn op(&self) -> u64 {
        if let Command::Complete { op, .. } = &self.command { *op } else { 0 }
    }
}

/// An accepted call on its way to the engine.
pub(super) struct Pending {
    pub(super) call: Arc<Call>,
    pub(super) waits: Waits,
}

/// What an accepted call waits for. Each was accepted for what the earlier ones bring, so they take effect in that order.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Waits {
    /// For this version to be on disk.
    Disk(u64),
    /// For the host to have kept its token. That may take long: later ones go before it, and are accepted as if it had not come.
    Host,
    /// For its turn.
    Turn,
    /// It is in the inbox.
    Nothing,
}

impl Core {
    /// Accepts a call; it is taken in with the rest of the inbox once it is sent. False if it needs no place on disk.
    pub fn accept(
        &mut self,
        command: Command,
        placement: Option<(Arc<Servers>, Arc<Config>)>,
    ) -> Result<(Arc<Call>, bool), Refused> {
        if let Command::Complete { op, outcome, .. } = &command {
            if let Err(refusal) = self.check(&command) {
                if !self.engine.gave_up(*op) || !self.late.insert(*op) {
                    return Err(Refused::By(refusal));
                }
                // Never blocks: the channel has no bound of its own, the operations given up have.
                let _ = self.sender.send(Message::LateAnswer(*op, *outcome));
                return Err(Refused::Late);
            }
        } else if self.has_no_room(placement.is_some()) || command.request().is_some_and(|id| id >= self.reserved_id) {
            return Err(Refused::Full);
        } else {
            self.check(&command).map_err(Refused::By)?;
        }
        let durable = accepted::of(&command, &self.servers).is_some();
        // What a configuration removes is left out of the state from now on.
        self.version += u64::from(durable || placement.is_some());
        if let Command::Complete { op, .. } = &command {
            self.engine.awaits_answer(*op, true);
        }
        let call = Arc::new(Call { command, placement, interrupted: false });
        let waits = if durable { Waits::Disk(self.version) } else { Waits::Turn };
        self.pending.push_back(Pending { call: Arc::clone(&call), waits });
        Ok((call, durable))
    }

    /// An accepted call waits for nothing but those before it; if it still did.
    pub fn send(&mut self, call: &Arc<Call>) {
        if let Some(pending) = self.pending_mut(call).filter(|pending| pending.waits != Waits::Nothing) {
            pending.waits = Waits::Turn;
        }
        self.send_in_order();
    }

    /// An accepted call goes before those that wait still: nothing depends on their order.
    pub fn send_at_once(&mut self, call: &Arc<Call>) {
        self.pending_mut(call).into_iter().for_each(|pending| pending.waits = Waits::Nothing);
        // Also in the middle of taking in: then nobody else comes along to look. Here and below.
        self.look_again = true;
        let _ = self.sender.send(Message::Call(Arc::clone(call)));
    }

    /// Puts what waits for nothing any more behind what was reported before it.
    pub(super) fn send_in_order(&mut self) {
        for pending in &mut self.pending {
            match pending.waits {
                Waits::Disk(_) => break,
                Waits::Host | Waits::Nothing => continue,
                Waits::Turn => pending.waits = Waits::Nothing,
            }
            self.look_again = true;
            // Never blocks: the channel has no bound of its own, the accepted calls have.
            let _ = self.sender.send(Message::Call(Arc::clone(&pending.call)));
        }
    }

    pub(super) fn pending_mut(&mut self, call: &Arc<Call>) -> Option<&mut Pending> {
        self.pending.iter_mut().find(|pending| Arc::ptr_eq(&pending.call, call))
    }

    /// An accepted answer takes effect once the host has kept its token.
    pub(in crate::runtime) fn waits_for_host(&mut self, call: &Arc<Call>) {
        self.pending_mut(call).into_iter().for_each(|pending| pending.waits = Waits::Host);
    }

    /// An accepted call is refused after all: it could not be written.
    pub fn withdraw(&mut self, call: &Arc<Call>) {
        self.pending.retain(|pending| !Arc::ptr_eq(&pending.call, call));
        self.send_in_order();
        self.version += 1;
        if let Command::Complete { op, .. } = &call.command {
            self.engine.awaits_answer(*op, false);
            self.secrets.forget_token(*op);
        }
    }

    /// Says it when this call is on disk: its caller could not wait.
    pub fn confirm_later(&mut self, call: &Call) {
        if let Some(accepted) = accepted::of(&call.command, &self.servers) {
            self.unconfirmed.push((self.version, accepted));
        }
    }

    fn has_no_room(&self, for_configure: bool) -> bool {
        let configures = || self.pending.iter().filter(|pending| pending.call.placement.is_some()).count();
        self.is_full() || self.pending.len() >= PENDING_MAX || (for_configure && configures() >= CONFIGURES_MAX)
    }

    /// The commands of accepted calls that wait for this.
    pub(super) fn commands(&self, counts: fn(Waits) -> bool) -> impl Iterator<Item = &Command> + Clone {
        let pending = self.pending.iter().filter(move |pending| counts(pending.waits));
        pending.map(|pending| &pending.call.command)
    }

    /// Whether a call would be accepted.
    pub fn check(&self, command: &Command) -> Result<(), Refusal> {
        match command {
            Command::Complete { .. } | Command::Progress { .. } => {
                self.engine.accepts(self.commands(|_| true), command)
            }
            // It takes effect at once, before those that wait, and they after it.
            Command::Configure(_) => {
                self.engine.accepts(self.commands(|waits| waits == Waits::Nothing), command)?;
                self.engine.accepts(self.commands(|_| true), command)
            }
            _ => self.engine.accepts(self.commands(|waits| waits != Waits::Host), command),
        }
    }

    /// Whether this server may be removed or readdressed.
    pub fn check_drop(&self, server: ServerKey) -> Result<(), Refusal> {
        self.engine.accepts_drop(server, self.commands(|waits| waits == Waits::Nothing))?;
        self.engine.accepts_drop(server, self.commands(|_| true))
    }

    /// Puts another call in the place of an accepted one, and sends it.
    pub(in crate::runtime) fn replace(&mut self, call: &Arc<Call>, command: Command) {
        let other = Arc::new(Call { command, placement: None, interrupted: false });
        if let Some(pending) = self.pending_mut(call) {
            pending.call = Arc::clone(&other);
        }
        self.has_changed();
        self.send(&other);
    }
}

/// Why a call was not accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// By the rules.
    By(Refusal),
    /// Too much waits already.
    Full,
    /// The operation was given up; its late answer is taken in all the same.
    Late,
}

impl Refused {
    /// The result code.
    pub fn code(self) -> abi::vmsf_result {
        use crate::engine::output::Block;
        match self {
            Refused::Full | Refused::By(Refusal::Running(_) | Refusal::BackingUpAll) => abi::VMSF_ERR_BUSY,
            Refused::By(Refusal::SlotHeld(_) | Refusal::WrongState(_)) => abi::VMSF_ERR_STATE,
            Refused::By(Refusal::Blocked(Block::NotInCluster)) => abi::VMSF_ERR_NOT_IN_CLUSTER,
            Refused::By(Refusal::Blocked(Block::NotAuthorized)) => abi::VMSF_ERR_NOT_AUTHORIZED,
            Refused::By(Refusal::Blocked(Block::StateNotWritable)) => abi::VMSF_ERR_IO,
            Refused::By(Refusal::Blocked(Block::NoBackup)) => abi::VMSF_ERR_NO_BACKUP,
            Refused::Late | Refused::By(Refusal::NoSuchOperation) => abi::VMSF_ERR_NOT_FOUND,
            // Its handle was good, so the configuration that brings it has not been taken in yet.
            Refused::By(Refusal::NoSuchServer) => abi::VMSF_ERR_BUSY,
        }
    }
}
