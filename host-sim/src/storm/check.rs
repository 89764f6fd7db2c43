//! What has to hold over all lives, whatever instant each of them ended at. Knows nothing of the plugin but what a host is told.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;
use serde_json::Value;

use super::fact::Fact;

/// An operation that the host was asked for and has not seen ended.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Running {
    op: u64,
    takeover: bool,
    server: String,
    /// An answer was given; whether it counts is not known before `Answered`, or what comes next.
    answering: Option<bool>,
}

/// How much was done.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Figures {
    /// Calls that returned VMSF_OK: takeovers, restores, cancels.
    pub accepted: u64,
    /// Answers that returned VMSF_OK outside a callback.
    pub answered: u64,
    /// Configurations accepted.
    pub configured: u64,
    /// Operations begun for the first time.
    pub begun: u64,
    /// Operations begun again after a kill.
    pub resumed: u64,
    /// Events told.
    pub events: u64,
    /// Entries in the log at the end.
    pub logged: u64,
}

/// Reads the facts of all lives, in order.
#[derive(Debug, Default)]
pub struct Checker {
    /// So far.
    pub figures: Figures,
    faults: Vec<String>,
    life: u32,
    running: Option<Running>,
    holder: Option<String>,
    /// A restore of the holder was accepted and has not been begun.
    restore_waits: bool,
    /// A restore is being called for; a kill in the call leaves open whether it was accepted.
    restore_called: bool,
    /// Everything that was ever given out as an id.
    ids: BTreeSet<u64>,
    answered: BTreeSet<u64>,
    begun_in_life: BTreeSet<u64>,
    calls: BTreeMap<String, (String, String)>,
    accepted: BTreeSet<String>,
    events: BTreeMap<u64, String>,
    last_seq_of_life: Option<u64>,
    config: Option<Vec<String>>,
    configuring: Option<Vec<String>>,
    logged: Vec<String>,
    ended: bool,
}

impl Checker {
    /// A process begins.
    pub fn begin_life(&mut self) {
        self.life += 1;
        self.restore_waits |= std::mem::take(&mut self.restore_called);
        self.begun_in_life.clear();
        self.last_seq_of_life = None;
    }

    /// What has been found wrong.
    #[must_use]
    pub fn faults(&self) -> &[String] {
        &self.faults
    }

    fn fault(&mut self, text: String) {
        self.faults.push(format!("life {}: {text}", self.life));
    }

    /// One more fact.
    pub fn take(&mut self, fact: Fact) {
        match fact {
            Fact::Started { servers } => self.started(servers),
            Fact::Calling { call, server, actor } => {
                self.restore_called = call == "restore";
                self.calls.insert(actor, (call, server));
            }
            Fact::Accepted { actor, request } => self.accepted(actor, request),
            Fact::Refused { actor, error } => self.refused(&actor, &error),
            Fact::Configuring { servers } => self.configuring = Some(servers),
            Fact::Configured { accepted } => {
                let given = self.configuring.take();
                if accepted {
                    self.figures.configured += 1;
                    self.config = given;
                }
            }
            Fact::Answering { op, ok } => match &mut self.running {
                Some(running) if running.op == op => running.answering = Some(ok),
                other => {
                    let text = format!("the host answers {op} while {other:?} runs");
                    self.fault(text);
                }
            },
            Fact::Answered { op } => {
                self.figures.answered += 1;
                self.answered.insert(op);
                // Something begun since has settled it already.
                if self.running.as_ref().is_some_and(|running| running.op == op) {
                    self.settle();
                }
            }
            Fact::AnswerRefused { op, error } => {
                self.fault(format!("the answer to operation {op} was refused: {error}"))
            }
            Fact::Begin { op, operation, server, resumed } => self.begin(op, operation == "takeover", server, resumed),
            Fact::Event { seq, json } => self.event(seq, json),
            Fact::Logged { json } => self.logged.push(json),
            Fact::Ended {} => self.ended = true,
            Fact::Fault { text } => self.fault(text),
        }
    }

    fn started(&mut self, servers: Vec<String>) {
        let maybe = self.configuring.take();
        if self.config.as_ref().is_some_and(|config| *config != servers) && maybe.as_ref() != Some(&servers) {
            let text = format!("the configuration is {servers:?}; accepted was {:?}, asked {maybe:?}", self.config);
            self.fault(text);
        }
        self.config = Some(servers);
    }

    fn accepted(&mut self, actor: String, request: Option<u64>) {
        self.figures.accepted += 1;
        if let Some(request) = request
            && !self.ids.insert(request)
        {
            self.fault(format!("the request id {request} was given before"));
        }
        let (call, server) = self.calls.get(&actor).cloned().unwrap_or_default();
        if call == "takeover"
            && self.running.is_none()
            && let Some(holder) = self.holder.clone().filter(|holder| *holder != server)
        {
            self.fault(format!("a takeover of {server} was accepted while {holder} is taken over"));
        }
        self.restore_waits |= call == "restore";
        self.restore_called = false;
        self.accepted.insert(actor);
    }

    fn refused(&mut self, actor: &str, error: &str) {
        self.restore_called = false;
        let (call, server) = self.calls.get(actor).cloned().unwrap_or_default();
        if !matches!(error, "VMSF_ERR_STATE" | "VMSF_ERR_HANDLE") {
            self.fault(format!("{call} {server} was refused with {error}"));
        }
        if call == "restore" && self.running.is_none() && !self.restore_waits && self.holder.as_ref() == Some(&server) {
            self.fault(format!("{server} is taken over and its restore was refused with {error}"));
        }
    }

    fn begin(&mut self, op: u64, takeover: bool, server: String, resumed: bool) {
        if !self.begun_in_life.insert(op) {
            self.fault(format!("operation {op} was begun twice in one life"));
        }
        if self.answered.contains(&op) {
            self.fault(format!("operation {op} was begun again after its answer was accepted"));
        }
        if let Some(running) = self.running.as_mut().filter(|running| running.op == op) {
            // Its answer, if one was given, did not get through before the kill.
            running.answering = None;
            let same = (running.takeover, &running.server) == (takeover, &server);
            self.figures.resumed += 1;
            if !resumed || !same {
                self.fault(format!("operation {op} was begun again as another one, or without VMSF_OP_RESUMED"));
            }
            return;
        }
        match self.running.clone() {
            Some(running) if running.answering.is_some() => self.settle(),
            Some(running) => self.fault(format!("{op} for {server} is begun while {running:?} runs")),
            None => {}
        }
        if !self.ids.insert(op) {
            self.fault(format!("the operation id {op} was given before"));
        }
        let holder = self.holder.clone();
        if takeover && holder.is_some() {
            self.fault(format!("a takeover of {server} is begun while {holder:?} is taken over"));
        }
        if !takeover && holder.as_ref() != Some(&server) {
            self.fault(format!("a restore of {server} is begun while {holder:?} is taken over"));
        }
        self.restore_waits &= takeover;
        self.figures.begun += 1;
        self.running = Some(Running { op, takeover, server, answering: None });
    }

    /// The answer counts.
    fn settle(&mut self) {
        let Some(Running { takeover, server, answering, .. }) = self.running.take() else { return };
        match (takeover, answering) {
            (true, Some(true)) => self.holder = Some(server),
            (false, Some(true)) => self.holder = None,
            _ => {}
        }
    }

    fn event(&mut self, seq: u64, json: String) {
        self.figures.events += 1;
        if self.last_seq_of_life.is_some_and(|last| last + 1 != seq) {
            self.fault(format!("event {seq} came after {:?}", self.last_seq_of_life));
        }
        self.last_seq_of_life = Some(seq);
        if self.events.insert(seq, json).is_some() {
            self.fault(format!("the number {seq} was given before"));
        }
    }

    /// At the end of the last life.
    pub fn end(&mut self) {
        if !self.ended {
            self.fault("the last life did not come to its end".into());
        }
        if let Some(Running { op, answering: None, .. }) = self.running
            && !self.begun_in_life.contains(&op)
        {
            self.fault(format!("operation {op} was never answered, and was not begun again"));
        }
        let entries: Vec<Value> =
            self.logged.iter().map(|json| serde_json::from_str(json).unwrap_or_default()).collect();
        self.figures.logged = entries.len() as u64;
        for (index, entry) in entries.iter().enumerate() {
            if entry["seq"] != index as u64 + 1 {
                return self.fault(format!("entry {} of the log has the number {}", index + 1, entry["seq"]));
            }
        }
        for (seq, told) in std::mem::take(&mut self.events) {
            let told: Value = serde_json::from_str(&told).unwrap_or_default();
            if usize::try_from(seq - 1).ok().and_then(|index| entries.get(index)) != Some(&told) {
                self.fault(format!("event {seq} is not in the log as it was told: {told}"));
            }
        }
        let actors: BTreeSet<&str> = entries.iter().filter_map(|entry| entry["actor"].as_str()).collect();
        for actor in self.accepted.clone() {
            if !actors.contains(actor.as_str()) {
                let call = self.calls.get(&actor).cloned();
                self.fault(format!("the accepted call {call:?} of {actor} is nowhere in the log"));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn begin(op: u64, operation: &str, server: &str, resumed: bool) -> Fact {
        Fact::Begin { op, operation: operation.into(), server: server.into(), resumed }
    }

    fn faults(lives: &[&[Fact]]) -> Vec<String> {
        let mut checker = Checker::default();
        for life in lives {
            checker.begin_life();
            life.iter().cloned().for_each(|fact| checker.take(fact));
        }
        checker.faults().to_vec()
    }

    fn answered(op: u64) -> [Fact; 2] {
        [Fact::Answering { op, ok: true }, Fact::Answered { op }]
    }

    #[test]
    fn a_takeover_resumed_answered_and_restored_is_right() {
        let [answering, done] = answered(1);
        let [restoring, restored] = answered(2);
        let second = [begin(1, "takeover", "a", true), answering, done, begin(2, "restore", "a", false)];
        let third = [restoring, restored, begin(3, "takeover", "b", false)];
        assert_eq!(faults(&[&[begin(1, "takeover", "a", false)], &second, &third]), [] as [&str; 0]);
    }

    #[test]
    fn an_answer_cut_off_by_a_kill_may_count_or_not() {
        let first = [begin(1, "takeover", "a", false), Fact::Answering { op: 1, ok: true }];
        assert_eq!(faults(&[&first, &[begin(1, "takeover", "a", true)]]), [] as [&str; 0]);
        assert_eq!(faults(&[&first, &[begin(2, "restore", "a", false)]]), [] as [&str; 0]);
        assert_eq!(faults(&[&first, &[begin(2, "takeover", "b", false)]]).len(), 1, "a is taken over");
    }

    #[test]
    fn what_must_never_be_is_found() {
        let [answering, done] = answered(1);
        let answered = [begin(1, "takeover", "a", false), answering, done];
        let event = |seq| Fact::Event { seq, json: "{}".into() };
        let wrong: [(&[&[Fact]], &str); 7] = [
            (&[&[begin(1, "takeover", "a", false), begin(2, "takeover", "b", false)]], "while"),
            (&[&answered, &[begin(1, "takeover", "a", true)]], "after its answer"),
            (&[&answered, &[begin(2, "takeover", "b", false)]], "is taken over"),
            (&[&[begin(1, "takeover", "a", false)], &[begin(1, "takeover", "a", false)]], "without VMSF_OP_RESUMED"),
            (&[&[event(1)], &[event(1)]], "given before"),
            (&[&[event(1), event(3)]], "came after"),
            (&[&[begin(1, "takeover", "a", false), Fact::AnswerRefused { op: 1, error: "E".into() }]], "refused"),
        ];
        for (lives, expected) in wrong {
            let found = faults(lives);
            assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
        }
    }

    #[test]
    fn a_lost_call_and_a_lost_entry_are_found_at_the_end() {
        let mut checker = Checker::default();
        checker.begin_life();
        checker.take(Fact::Calling { call: "cancel".into(), server: "a".into(), actor: "x".into() });
        checker.take(Fact::Accepted { actor: "x".into(), request: None });
        checker.take(Fact::Event { seq: 2, json: r#"{"seq":2}"#.into() });
        checker.take(Fact::Logged { json: r#"{"seq":1}"#.into() });
        checker.take(Fact::Ended {});
        checker.end();
        assert_eq!(checker.faults().len(), 2, "{:?}", checker.faults());
    }
}
