//! What has to hold over all lives, whatever instant each of them ended at. Knows nothing of the plugin but what a host is told.
//!
//! Facts are taken in one at a time, in the order told, which is that of the host; its threads and the plugin's tell side by side, so a rule that
//! needs a moment of rest holds only where nothing else was told meanwhile. What only the whole log can say is said at the end (`ledger`).

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::access::{Access, strangers};
use super::fact::{Begin, Fact};
use super::kind::Kind;
use super::ledger::Published;
use super::queue::Queue;

/// What no kill may bring about: nothing but a disk that fails, a loss of power or a host that does wrong.
const NEVER_TOLD: [&str; 9] = [
    "state_damaged",
    "backup_damaged",
    "backup_flaw",
    "backups_unreadable",
    "log_gap",
    "too_long",
    "config_kept",
    "poisoned",
    "clock_jump",
];

/// An operation that the host was asked for and that is not known to be over.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    op: u64,
    /// An answer was given; whether it counts is not known before `Answered`, or what comes next.
    answering: Option<bool>,
    /// The answer counts, whatever happens.
    settled: bool,
    /// The plugin has said in this life that it is over.
    over: bool,
}

/// Everything that was ever begun.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Operation {
    /// What it is.
    pub operation: String,
    /// For which server.
    pub server: String,
    /// Where a backup is written to.
    pub file: Option<String>,
    /// The life in which it was begun first.
    pub first_life: u32,
    /// The life in which it was begun last.
    pub life: u32,
    /// All answers given.
    pub answers: BTreeSet<bool>,
    /// The answer that was accepted for good.
    pub answered: Option<bool>,
    /// An answer was refused: it must have been given up.
    pub refused: bool,
}

impl Operation {
    fn moves_slot(&self) -> bool {
        matches!(self.operation.as_str(), "takeover" | "restore")
    }
}

/// A call of the host.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Call {
    /// Which.
    pub call: String,
    /// For which server.
    pub server: String,
    /// The life in which it was made.
    pub life: u32,
    /// It was accepted.
    pub accepted: bool,
    /// The id that it got.
    pub request: Option<u64>,
    /// When it was made: how often the slot had moved, and what was known of the cluster and the login.
    slot_moves: u64,
    access: (BTreeSet<bool>, BTreeSet<Option<u64>>),
}

/// How much was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Calls that returned VMSF_OK.
    pub accepted: u64,
    /// Answers that returned VMSF_OK outside a callback.
    pub answered: u64,
    /// Configurations accepted.
    pub configured: u64,
    /// Operations begun for the first time.
    pub begun: u64,
    /// Operations begun again after a kill.
    pub resumed: u64,
    /// Tokens handed with an operation, each the right one.
    pub tokens: u64,
    /// Backups published.
    pub published: u64,
    /// Events told.
    pub events: u64,
    /// Entries in the log at the end.
    pub logged: u64,
    /// How many kills hit what.
    pub hits: BTreeMap<Kind, u32>,
}

/// Reads the facts of all lives, in order.
#[derive(Debug, Default)]
pub struct Checker {
    /// So far.
    pub figures: Figures,
    faults: Vec<String>,
    pub(super) life: u32,
    /// The slot, and what else of the host's work goes on, by server; "" is the cluster.
    running: BTreeMap<String, Running>,
    holder: Option<String>,
    slot_moves: u64,
    /// A restore of the holder was accepted and has not been begun.
    restore_waits: bool,
    /// A restore is being called for; a kill in the call leaves open whether it was accepted.
    restore_called: bool,
    /// Everything that was ever given out as an id.
    ids: BTreeSet<u64>,
    pub(super) operations: BTreeMap<u64, Operation>,
    /// Operations that another one took the place of, unseen: the log has to say how they ended.
    pub(super) must_be_over: BTreeSet<u64>,
    begun_in_life: BTreeSet<u64>,
    pub(super) calls: BTreeMap<String, Call>,
    calling: Option<String>,
    pub(super) access: Access,
    /// The entries told, and in which life.
    pub(super) events: BTreeMap<u64, (u32, String)>,
    last_seq_of_life: Option<u64>,
    /// The last number in the log when the life began.
    last_seq_before: u64,
    started: bool,
    /// The status of this start was looked at.
    found: bool,
    queue: Queue,
    /// A restore may begin by itself, untold.
    restores: bool,
    config: Option<Vec<String>>,
    configuring: Option<Vec<String>>,
    logged: Vec<String>,
    /// By server and number; known at the end.
    pub(super) published: BTreeMap<String, BTreeMap<u64, Published>>,
    /// What takeovers went before; known at the end.
    pub(super) superseded: BTreeSet<u64>,
    ended: bool,
}

impl Checker {
    /// Nothing was told yet; servers are restored automatically, or only when asked.
    pub fn new(restores: bool) -> Self {
        Self { restores, ..Self::default() }
    }

    /// Whether a configuration was ever accepted.
    pub fn was_configured(&self) -> bool {
        self.config.is_some()
    }

    /// A process begins.
    pub fn begin_life(&mut self) {
        self.life += 1;
        self.restore_waits |= std::mem::take(&mut self.restore_called);
        self.begun_in_life.clear();
        self.last_seq_of_life = None;
        self.calling = None;
        (self.started, self.found) = (false, false);
        self.access.begin_life();
        self.queue.begin_life();
        // What was told of without being on disk may not have been.
        self.running.values_mut().for_each(|running| running.over &= running.settled);
    }

    /// What a kill at this instant hits.
    #[must_use]
    pub fn in_flight(&self) -> BTreeSet<Kind> {
        let mut kinds = BTreeSet::new();
        if !self.started {
            return BTreeSet::from([Kind::Start]);
        }
        kinds.extend(self.calling.is_some().then_some(Kind::Call));
        kinds.extend(self.configuring.is_some().then_some(Kind::Reconfiguration));
        for running in self.running.values().filter(|running| !running.over && self.begun_in_life.contains(&running.op))
        {
            let operation = self.operations.get(&running.op).map_or("", |operation| operation.operation.as_str());
            let written = operation == "backup" && running.answering == Some(true);
            kinds.extend(if written { Some(Kind::Publish) } else { Kind::of(operation) });
        }
        kinds
    }

    /// The process was killed.
    pub fn killed(&mut self) {
        for kind in self.in_flight() {
            *self.figures.hits.entry(kind).or_default() += 1;
        }
    }

    /// What has been found wrong.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    /// Something is wrong.
    pub fn fault(&mut self, text: String) {
        self.faults.push(format!("life {}: {text}", self.life));
    }

    /// One more fact.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Started { servers, last_seq } => self.started(servers, last_seq),
            Fact::Found { joined, authorized, holder, queue } => {
                let wrong = self.access.found(joined, &authorized);
                wrong.into_iter().for_each(|text| self.fault(text));
                self.found(holder.as_deref(), &queue);
            }
            Fact::Heard { server } => self.queue.heard(&server),
            Fact::Calling { call, server, actor } => self.calling(call, server, actor),
            Fact::Accepted { actor, request } => self.accepted(&actor, request),
            Fact::Refused { actor, error } => self.refused(&actor, &error),
            Fact::Configuring { servers } => {
                let before = self.config.as_deref().unwrap_or_default();
                self.access.configuring(before, &servers);
                strangers(before, &servers).for_each(|server| self.queue.may_leave(server));
                self.configuring = Some(servers);
            }
            Fact::Configured { accepted } => self.configured(accepted),
            Fact::Answering { op, ok } => self.answering(op, ok),
            Fact::Answered { op } => self.answered(op),
            Fact::AnswerRefused { op, error } => self.answer_refused(op, &error),
            Fact::Begin(begin) => self.begin(begin),
            Fact::Event { seq, json } => self.event(seq, json),
            Fact::Logged { json } => self.logged.push(json),
            Fact::Ended {} => self.ended = true,
            Fact::Fault { text } => self.fault(text),
        }
    }

    fn started(&mut self, servers: Vec<String>, last_seq: u64) {
        (self.started, self.last_seq_before) = (true, last_seq);
        let maybe = self.configuring.take();
        if self.config.as_ref().is_some_and(|config| *config != servers) && maybe.as_ref() != Some(&servers) {
            let text = format!("the configuration is {servers:?}; accepted was {:?}, asked {maybe:?}", self.config);
            self.fault(text);
        }
        let before = self.config.replace(servers.clone()).unwrap_or_default();
        self.access.configured(&before, &servers);
    }

    /// The slot and the queue, by the status. Only at a start: later, what was told may be behind it.
    fn found(&mut self, holder: Option<&str>, queue: &[String]) {
        if std::mem::replace(&mut self.found, true) {
            return;
        }
        self.queue.found(holder, queue).into_iter().for_each(|text| self.fault(text));
        if let Some(expected) = self.certain_holder().filter(|expected| Some(*expected) != holder) {
            self.fault(format!("the status says that {holder:?} has the slot; {expected} must have it"));
        }
    }

    /// None where nobody must have the slot: a takeover may have begun that nobody was told of, an answer may count or not.
    fn certain_holder(&self) -> Option<&str> {
        let Some(running) = self.slot_operation() else { return self.holder.as_deref() };
        let operation = self.operations.get(&running.op)?;
        let is_new = operation.operation == "takeover" && operation.first_life == self.life;
        (running.answering.is_none() && !is_new).then_some(&operation.server)
    }

    fn configured(&mut self, accepted: bool) {
        let Some(given) = self.configuring.take() else { return };
        if accepted {
            self.figures.configured += 1;
            let before = self.config.replace(given.clone()).unwrap_or_default();
            self.access.configured(&before, &given);
        } else {
            self.access.not_configured();
        }
    }

    fn calling(&mut self, call: String, server: String, actor: String) {
        self.restore_called = call == "restore";
        self.access.calling(&call);
        if call == "cancel" {
            self.queue.may_leave(&server);
        }
        self.calling = Some(actor.clone());
        let (slot_moves, access) = (self.slot_moves, self.access.known(&server));
        let call = Call { call, server, life: self.life, slot_moves, access, ..Call::default() };
        self.calls.insert(actor, call);
    }

    fn accepted(&mut self, actor: &str, request: Option<u64>) {
        self.figures.accepted += 1;
        if let Some(request) = request
            && !self.ids.insert(request)
        {
            self.fault(format!("the request id {request} was given before"));
        }
        self.calling = None;
        self.restore_called = false;
        let Some(call) = self.calls.get_mut(actor) else { return };
        (call.accepted, call.request) = (true, request);
        let Call { call, server, slot_moves, access, .. } = call.clone();
        self.restore_waits |= call == "restore";
        if call == "takeover" {
            self.queue.asked(&server, actor);
        }
        self.access.called(&call);
        let still = slot_moves == self.slot_moves && self.slot_operation().is_none();
        if let Some(holder) = self.holder.clone().filter(|holder| still && call == "takeover" && *holder != server) {
            self.fault(format!("a takeover of {server} was accepted while {holder} is taken over"));
        }
        let lacks = match call.as_str() {
            "takeover" | "backup" => access.0 == [false].into() || access.1 == [None].into(),
            "backup_all" => access.0 == [false].into(),
            "deauthorize" => access.1 == [None].into(),
            _ => false,
        };
        if lacks && access == self.access.known(&server) {
            self.fault(format!("{call} {server} was accepted while it lacks the cluster or the login: {access:?}"));
        }
    }

    fn refused(&mut self, actor: &str, error: &str) {
        self.calling = None;
        self.restore_called = false;
        let Some(Call { call, server, slot_moves, access, .. }) = self.calls.get(actor).cloned() else { return };
        let allowed: &[&str] = match call.as_str() {
            "takeover" => &["STATE", "HANDLE", "BUSY", "NOT_IN_CLUSTER", "NOT_AUTHORIZED", "NO_BACKUP"],
            "restore" | "authorize" => &["STATE", "HANDLE", "BUSY"],
            "cancel" => &["STATE", "HANDLE"],
            "backup" => &["STATE", "HANDLE", "BUSY", "NOT_IN_CLUSTER", "NOT_AUTHORIZED"],
            "backup_all" => &["BUSY", "NOT_IN_CLUSTER"],
            "deauthorize" => &["STATE", "HANDLE", "BUSY", "NOT_AUTHORIZED"],
            "join_cluster" => &["BUSY"],
            _ => &[],
        };
        let code = error.strip_prefix("VMSF_ERR_").unwrap_or(error);
        let known = access == self.access.known(&server);
        let still = slot_moves == self.slot_moves && self.slot_operation().is_none() && !self.restore_waits;
        let unfounded = match code {
            "NOT_IN_CLUSTER" => known && access.0 == [true].into(),
            "NOT_AUTHORIZED" => known && access.1.iter().all(Option::is_some),
            "STATE" => call == "restore" && !self.restores && still && self.holder.as_ref() == Some(&server),
            _ => false,
        };
        if !allowed.contains(&code) || unfounded {
            self.fault(format!(
                "{call} {server} was refused with {error}; holder {:?}, access {access:?}",
                self.holder
            ));
        }
    }

    /// The takeover or restore that goes on.
    fn slot_operation(&self) -> Option<&Running> {
        let moves = |running: &&Running| self.operations.get(&running.op).is_some_and(Operation::moves_slot);
        self.running.values().find(|running| moves(running) && !running.settled)
    }

    fn running_mut(&mut self, op: u64) -> Option<&mut Running> {
        self.running.values_mut().find(|running| running.op == op)
    }

    fn answering(&mut self, op: u64, ok: bool) {
        if let Some(operation) = self.operations.get_mut(&op) {
            operation.answers.insert(ok);
            self.slot_moves += u64::from(operation.moves_slot());
            if ok {
                self.access.answering(op, &operation.operation, &operation.server);
            }
            if ok && operation.moves_slot() {
                self.queue.may_leave(&operation.server);
            }
        }
        if !self.operations.contains_key(&op) {
            self.fault(format!("the host answers {op}, which was never begun"));
        }
        if let Some(running) = self.running_mut(op) {
            running.answering = Some(ok);
        }
    }

    fn answered(&mut self, op: u64) {
        self.figures.answered += 1;
        let running = self.running_mut(op).cloned();
        let answer = running.as_ref().and_then(|running| running.answering);
        if let Some(operation) = self.operations.get_mut(&op) {
            // Something begun since may have settled it already; then its only answer counts.
            operation.answered = answer.or(operation.answers.last().copied());
            let (kind, answered) = (operation.operation.clone(), operation.answered);
            self.access.answered(op, &kind, answered == Some(true));
        }
        if running.is_some_and(|running| !running.settled) {
            self.settle(op);
        }
    }

    fn answer_refused(&mut self, op: u64, error: &str) {
        let Some(operation) = self.operations.get_mut(&op) else { return };
        operation.refused = true;
        // Nothing goes before a takeover or a restore, and nothing of the cluster's is given up.
        let may_be = error == "VMSF_ERR_NOT_FOUND" && !operation.moves_slot() && !operation.server.is_empty();
        if may_be {
            self.must_be_over.insert(op);
        } else {
            self.fault(format!("the answer to operation {op} was refused: {error}"));
        }
    }

    /// The answer counts.
    fn settle(&mut self, op: u64) {
        let Some(operation) = self.operations.get(&op).cloned() else { return };
        let Some(running) = self.running_mut(op) else { return };
        running.settled = true;
        match (operation.operation.as_str(), running.answering) {
            ("takeover", Some(true)) => self.holder = Some(operation.server),
            ("restore", Some(true)) => self.holder = None,
            _ => return,
        }
        self.slot_moves += 1;
    }

    fn begin(&mut self, begin: Begin) {
        let (op, server) = (begin.op, begin.server.clone());
        if !self.begun_in_life.insert(op) {
            self.fault(format!("operation {op} was begun twice in one life"));
        }
        self.check_what_comes_with(&begin);
        match self.operations.get(&op).cloned() {
            Some(known) => self.begin_again(&begin, &known),
            None => self.begin_anew(&begin),
        }
        let life = self.life;
        let operation =
            self.operations.entry(op).or_insert_with(|| Operation { first_life: life, ..Operation::default() });
        let Begin { operation: kind, file, .. } = begin;
        (operation.operation, operation.server, operation.file, operation.life) = (kind, server.clone(), file, life);
        self.slot_moves += u64::from(operation.moves_slot());
        self.running.insert(server, Running { op, answering: None, settled: false, over: false });
    }

    fn begin_again(&mut self, begin: &Begin, known: &Operation) {
        self.figures.resumed += 1;
        let op = begin.op;
        if known.answered.is_some() {
            self.fault(format!("operation {op} was begun again after its answer was accepted"));
        }
        let same = (&known.operation, &known.server, &known.file) == (&begin.operation, &begin.server, &begin.file);
        let may_be = !matches!(begin.operation.as_str(), "authorize" | "join_cluster");
        if !begin.resumed || !same || !may_be {
            self.fault(format!("operation {op} was {known:?} and is begun again as {begin:?}"));
        }
        if self.running.get(&begin.server).is_none_or(|running| running.op != op) {
            self.fault(format!("operation {op} is begun again after others of {:?}", begin.server));
        }
    }

    fn begin_anew(&mut self, begin: &Begin) {
        let (op, server) = (begin.op, &begin.server);
        self.figures.begun += 1;
        if !self.ids.insert(op) {
            self.fault(format!("the operation id {op} was given before"));
        }
        if let Some(before) = self.running.get(server).cloned() {
            self.end_unseen(op, &before);
        }
        let (takeover, restore) = (begin.operation == "takeover", begin.operation == "restore");
        if !takeover && !restore {
            return;
        }
        if let Some(Running { op: other, answering, .. }) = self.slot_operation().cloned() {
            match answering {
                Some(_) => self.settle(other),
                None => self.fault(format!("{op} for {server} is begun while operation {other} has the slot")),
            }
        }
        let holder = self.holder.clone();
        if takeover && holder.is_some() {
            self.fault(format!("a takeover of {server} is begun while {holder:?} is taken over"));
        }
        if restore && holder.as_ref() != Some(server) {
            self.fault(format!("a restore of {server} is begun while {holder:?} is taken over"));
        }
        self.restore_waits &= takeover;
    }

    /// Another operation of the same server begins: the one before must be over, and if it was begun in this life, that was said.
    fn end_unseen(&mut self, op: u64, before: &Running) {
        if !before.over && self.begun_in_life.contains(&before.op) {
            return self.fault(format!("{op} is begun while operation {before:?} of the same server goes on"));
        }
        // What is begun now is on disk together with what came before it.
        if before.answering.is_some() && !before.settled {
            self.settle(before.op);
        }
        if !before.over {
            self.must_be_over.insert(before.op);
        }
    }

    fn check_what_comes_with(&mut self, begin: &Begin) {
        let Begin { op, server, operation, .. } = begin;
        match self.access.handed(begin) {
            Ok(token) => self.figures.tokens += u64::from(token),
            Err(why) => self.fault(format!("operation {op}, {operation} of {server}: {why}")),
        }
        let file = match operation.as_str() {
            "backup" => &begin.file,
            "takeover" => &begin.archive,
            _ => return,
        };
        let folder = file.as_deref().map(std::path::Path::new).and_then(std::path::Path::parent);
        if folder.and_then(std::path::Path::file_name) != Some(server.as_ref()) {
            self.fault(format!("operation {op}, {operation} of {server}, has the file {file:?}"));
        }
    }

    fn event(&mut self, seq: u64, json: String) {
        self.figures.events += 1;
        let last = self.last_seq_of_life.replace(seq);
        // What a kill left untold is in the log already, but nothing is told before it is there.
        if last.map_or(seq > self.last_seq_before + 1, |last| last + 1 != seq) {
            self.fault(format!("event {seq} came after {last:?}; in the log were {}", self.last_seq_before));
        }
        let entry: Value = serde_json::from_str(&json).unwrap_or_default();
        let code = entry["code"].as_str().unwrap_or_default();
        if NEVER_TOLD.contains(&code) {
            self.fault(format!("no kill may lead to this: {json}"));
        }
        self.figures.published += u64::from(code == "backup" && entry["details"]["result"] == "ok");
        self.queue.told(&entry);
        let is_over = matches!(code, "completed" | "operation_over");
        if let Some(running) = entry["details"]["op"].as_u64().filter(|_| is_over).and_then(|op| self.running_mut(op)) {
            running.over = true;
        }
        if self.events.insert(seq, (self.life, json)).is_some() {
            self.fault(format!("the number {seq} was given before"));
        }
    }

    /// Whether a takeover went before a backup of this server after its archive had got this number: then it stays, though nobody was told.
    pub(super) fn may_be_published(&self, server: &str, number: u64) -> bool {
        let name = format!("/incoming-{number}-");
        let its = |operation: &Operation| {
            let named = operation.file.as_ref().is_some_and(|file| file.contains(&name));
            named && operation.server == server && operation.answers.contains(&true)
        };
        self.superseded.iter().filter_map(|op| self.operations.get(op)).any(its)
    }

    /// At the end of the last life.
    pub fn end(&mut self) {
        if !self.ended {
            self.fault("the last life did not come to its end".into());
        }
        let entries: Vec<Value> =
            self.logged.iter().map(|json| serde_json::from_str(json).unwrap_or_default()).collect();
        self.figures.logged = entries.len() as u64;
        self.check_log(&entries);
    }
}

#[cfg(test)]
#[path = "check_tests.rs"]
mod tests;
