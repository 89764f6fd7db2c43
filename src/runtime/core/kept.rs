//! What outlives the process: the durable state as the core stands, how far the disk has followed it, and going on from it in a later life. A part
//! of the core, under its lock; the disk is somebody else's. Called by `runtime`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::calls::{Call, Pending, Waits};
use super::{Core, Delivery, ID_MARGIN, Now, SEQ_BLOCK, SEQ_BLOCK_A_SERVER, Unwritten, WRITE_RETRY};
use crate::config::Config;
use crate::engine::command::{Command, Input};
use crate::engine::output::{Ask, Note, Operation, OperationKind, Outcome, What};
use crate::engine::policy::ServerKey;
use crate::log::{Entry, Named, Subject};
use crate::runtime::accepted;
use crate::state::document::{Accepted, Document};
use crate::time::Mono;

/// A version of the durable state, to be written with the lock dropped.
pub struct Snapshot {
    /// What is to be written.
    pub document: Document,
    version: u64,
}

impl Core {
    /// Goes on from what an earlier life left; only before the first start. An error says what does not fit together.
    /// `has_token`: of which server's authorizations the token is in the files.
    pub fn recall(&mut self, document: Document, has_token: impl Fn(&str, u64) -> bool) -> Result<(), String> {
        let (servers, config) = (Arc::clone(&self.servers), Arc::clone(&self.config));
        let addresses: BTreeMap<&str, (&str, u16)> =
            config.monitored_servers.iter().map(|s| (s.id.as_str(), (s.host.as_str(), s.port))).collect();
        let known = |id: &String| {
            document.addresses.get(id).is_none_or(|(host, port)| addresses.get(id.as_str()) == Some(&(host, *port)))
        };
        let key = |id: &String| servers.by_id(id).map(|entry| entry.mailbox.key()).filter(|_| known(id));
        // A server that went before its token did.
        let forgotten = document.memory.access().filter(|(id, _)| key(id).is_none());
        self.secrets.unwanted.extend(forgotten.map(|(id, op)| (op, id.as_str().into())));
        self.engine.recall(document.memory.renamed(key))?;
        self.leaving = document.leaving;
        for (id, op) in document.unwanted_tokens {
            self.secrets.unwanted.insert(op, id.into());
        }
        for accepted in document.accepted {
            let Some(command) = accepted::command(accepted, &self.servers) else { continue };
            if self.lost_its_token(&command, &has_token) {
                continue;
            }
            let interrupted = needs_credentials(&command);
            let call = Arc::new(Call { command, placement: None, interrupted });
            self.pending.push_back(Pending { call, waits: Waits::Turn });
        }
        self.send_in_order();
        Ok(())
    }

    /// An accepted answer to an authorization whose token was not kept, or, where the host keeps it, may not have been: that was cut off.
    fn lost_its_token(&self, command: &Command, has_token: impl Fn(&str, u64) -> bool) -> bool {
        let Command::Complete { op, outcome: Outcome::Ok, .. } = command else { return false };
        let operation = self.engine.operation(*op).filter(|operation| operation.kind == OperationKind::Authorize);
        let named = operation.and_then(|operation| operation.server).and_then(|server| self.named(server));
        named.is_some_and(|named| !has_token(&named.id, *op))
    }

    /// Whether all that was decided and accepted is on disk.
    pub fn is_saved(&self) -> bool {
        self.version == self.saved
    }

    /// Whether this call is on disk, though the write that it waited for failed: the next one may have taken it along.
    pub fn is_on_disk(&self, version: u64) -> bool {
        self.saved >= version
    }

    /// Whether a panic has left half a decision, or may have.
    pub fn is_torn(&self) -> bool {
        self.poisoned || self.deciding
    }

    /// Whether all log numbers given out are reserved on disk.
    pub fn is_all_reserved(&self) -> bool {
        self.next_seq <= self.reserved_seq
    }

    /// What waits to be delivered and was not given to the log yet.
    pub fn take_unlogged(&mut self, also_unreserved: bool) -> Vec<Arc<Entry>> {
        let until = if also_unreserved { self.next_seq } else { self.reserved_seq.min(self.next_seq) };
        let fresh = self.logged_seq..until;
        let entries = self.outbox.iter().rev().filter_map(|delivery| match delivery {
            Delivery::Entry(entry) => Some(entry),
            Delivery::Begin(..) => None,
        });
        // The new ones are at the end.
        let entries = entries.skip_while(|entry| entry.seq >= until).take_while(|entry| fresh.contains(&entry.seq));
        let mut entries: Vec<Arc<Entry>> = entries.cloned().collect();
        entries.reverse();
        self.logged_seq = self.logged_seq.max(until);
        entries
    }

    /// The durable state as it stands.
    pub fn snapshot(&self) -> Snapshot {
        // A configuration that waits to be taken in is on disk already: what it removes is forgotten, also if it is added again.
        let placements = || self.pending.iter().filter_map(|pending| pending.call.placement.as_ref());
        let stays = |key| placements().all(|(to, _)| to.has(key));
        let id =
            |key: &ServerKey| self.servers.by_key(*key).filter(|_| stays(*key)).map(|entry| entry.named.id.to_string());
        let memory = self.engine.remember().renamed(id);
        let unwanted = self.secrets.unwanted.iter().map(|(op, id)| (id.to_string(), *op));
        let gone = placements().flat_map(|(to, _)| self.access().into_iter().filter(|(key, ..)| !to.has(*key)));
        let gone = gone.map(|(_, id, op)| (id.to_string(), op));
        let known: BTreeSet<&str> = memory.servers().map(String::as_str).collect();
        let known = self.config.monitored_servers.iter().filter(|server| known.contains(server.id.as_str()));
        let document = Document {
            addresses: known.map(|server| (server.id.clone(), (server.host.clone(), server.port))).collect(),
            next_id: self.engine.next_free_id() + ID_MARGIN,
            reserved_seq: self.next_seq + SEQ_BLOCK.max(SEQ_BLOCK_A_SERVER * self.servers.count() as u64),
            accepted: self.commands(|_| true).filter_map(|command| accepted::of(command, &self.servers)).collect(),
            leaving: self.leaving.clone(),
            unwanted_tokens: unwanted.chain(gone).collect(),
            memory,
        };
        Snapshot { document, version: self.version }
    }

    /// This version is on disk now.
    pub fn was_saved(&mut self, snapshot: &Snapshot, now: Now) {
        self.saved = self.saved.max(snapshot.version);
        self.secrets.were_saved(snapshot.document.unwanted_tokens.iter().map(|(_, op)| *op));
        self.reserved_seq = self.reserved_seq.max(snapshot.document.reserved_seq);
        self.reserved_id = self.reserved_id.max(snapshot.document.next_id);
        if self.write_again_at.take().is_some() {
            self.feed(Input::Writable, now);
            // Whoever was blocked by that has its turn now, whether or not a timer runs.
            self.look_again = true;
        }
        let (saved, due) = (self.saved, |accepted: &Accepted| match accepted {
            Accepted::Complete { op, .. } => self.secrets.is_due(*op),
            _ => false,
        });
        let (durable, later) = std::mem::take(&mut self.unconfirmed)
            .into_iter()
            .partition(|(at, accepted)| *at <= saved && !due(accepted));
        self.unconfirmed = later;
        for (_, accepted) in durable {
            self.number(None, Subject::Accepted(accepted), now);
        }
        let saved = self.saved;
        for pending in &mut self.pending {
            pending.waits = match pending.waits {
                Waits::Disk(version) if version <= saved && !self.secrets.is_due(pending.call.op()) => Waits::Turn,
                waits => waits,
            };
        }
        self.send_in_order();
    }

    /// Tokens could not be written, though the state could: when they are tried again.
    pub fn tokens_wait(&mut self, now: Now) {
        self.tokens_again_at = Some(now.mono + WRITE_RETRY);
    }

    /// Whether tokens that could not be written are to be tried now; then there is something to be written.
    pub fn tries_tokens_again(&mut self, now: Now) -> bool {
        let due = self.tokens_again_at.take_if(|at| *at <= now.mono).is_some();
        self.version += u64::from(due);
        due
    }

    /// It could not be written. True if that is news.
    pub fn was_not_saved(&mut self, now: Now) -> bool {
        self.failed_writes += 1;
        self.write_again_at.replace(now.mono + WRITE_RETRY).is_none()
    }

    /// Has the host asked once the intent is on disk: a driving host waits for that when it comes to it.
    pub fn push_begin(&mut self, operation: Operation, server: Option<Named>, config: Arc<Config>) {
        let operation = Box::new(operation);
        if !self.has_worker {
            return self.push(Delivery::Begin(operation, server, config));
        }
        // Tried at once, whatever failed before.
        self.write_again_at = self.write_again_at.and(Some(Mono(0)));
        let (version, failed_writes) = (self.version, self.failed_writes);
        self.unwritten.push_back(Unwritten { version, failed_writes, operation, server, config });
    }

    /// Whether an intent is on disk, or is known not to be, whose host was not asked yet.
    pub fn has_begins_to_release(&self) -> bool {
        self.unwritten.iter().any(|begin| self.is_decided(begin))
    }

    fn is_decided(&self, begin: &Unwritten) -> bool {
        begin.version <= self.saved || begin.failed_writes < self.failed_writes
    }

    /// Delivers the begins whose intent is on disk; one that could not be written is taken back. One that is resumed was on disk before.
    pub fn release_begins(&mut self, now: Now) {
        for begin in std::mem::take(&mut self.unwritten) {
            if !self.is_decided(&begin) {
                self.unwritten.push_back(begin);
            } else if begin.version <= self.saved || begin.operation.resumed {
                self.push(Delivery::Begin(begin.operation, begin.server, begin.config));
            } else {
                self.take_back(begin.operation.id, now);
            }
        }
    }

    /// The host is not asked for what waits: it is over, or begins anew with the next start.
    pub fn forget_begins(&mut self) {
        self.outbox.retain(|delivery| matches!(delivery, Delivery::Entry(_)));
        self.unwritten.clear();
    }

    /// When what failed is tried again. Tokens are written with the state alone.
    pub(super) fn retries(&self) -> [Option<Mono>; 3] {
        let tokens = self.tokens_again_at.map(|at| self.write_again_at.map_or(at, |state| at.max(state)));
        [self.write_again_at, tokens, self.follow_again_at]
    }

    /// Whether there is something for the writer, who is at rest; it is not from now on.
    pub fn hands_over(&mut self, now: Now) -> bool {
        // Also where nobody is to leave any more: what is due and never done would keep the worker awake.
        self.follow_again_at.take_if(|at| *at <= now.mono);
        let retried = self.tokens_again_at.is_some_and(|at| at <= now.mono);
        let writes = (retried || !self.is_saved()) && self.may_write(now);
        let follows = self.follow_again_at.is_none() && self.gone().next().is_some();
        let hands_over = !self.is_writing && !self.is_torn() && (writes || follows);
        self.is_writing |= hands_over;
        hands_over
    }

    /// The writer has done what it could.
    pub fn was_handed_back(&mut self) {
        self.is_writing = false;
    }

    /// Whether a write is worth trying: always, but for one that failed a moment ago.
    pub fn may_write(&self, now: Now) -> bool {
        self.write_again_at.is_none_or(|at| at <= now.mono)
    }
}

/// Whether a later life has to know of it. The rest is seen again from what lies on the disk.
pub(super) fn is_kept(what: &What) -> bool {
    match what {
        What::Note(note) => {
            matches!(note, Note::Claimed | Note::RunBegun { .. } | Note::RunEnded { .. } | Note::BackupSeen { .. })
        }
        What::Files(ask) => matches!(ask, Ask::Prepare { .. } | Ask::Publish { .. }),
        _ => true,
    }
}

fn needs_credentials(command: &Command) -> bool {
    matches!(command, Command::Authorize { .. } | Command::JoinCluster { .. })
}
