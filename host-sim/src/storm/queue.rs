//! Who must still wait for the slot, or have it, at a start, for `check`: those whose place is on disk for certain and that nothing can have
//! taken out of the queue since. Whoever is in doubt is left out.

use std::collections::BTreeMap;

use serde_json::Value;

/// The actor of an entry that a failure has made.
const AUTOMATIC: &str = "automatic";

/// A server in the queue, or one that was begun for.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Entry {
    actor: String,
    /// It is on disk.
    certain: bool,
}

/// The queue, as far as it can be known.
#[derive(Debug, Default)]
pub struct Queue {
    entries: BTreeMap<String, Entry>,
    /// The last accepted takeover of each server, unless something came since that undoes it.
    asked: BTreeMap<String, String>,
}

impl Queue {
    /// A process begins: what was only told may never have been written.
    pub fn begin_life(&mut self) {
        self.entries.retain(|_, entry| entry.certain);
    }

    /// A takeover was accepted.
    pub fn asked(&mut self, server: &str, actor: &str) {
        self.asked.insert(server.into(), actor.into());
        if let Some(entry) = self.entries.get_mut(server) {
            entry.certain |= entry.actor == actor;
        }
    }

    /// This server may leave the queue, or has left it.
    pub fn may_leave(&mut self, server: &str) {
        self.entries.remove(server);
        self.asked.remove(server);
    }

    /// It may keep alive: then it needs no takeover, unless an operator wants it.
    pub fn heard(&mut self, server: &str) {
        self.entries.retain(|id, entry| id != server || entry.actor != AUTOMATIC);
    }

    /// The plugin tells an entry of its log.
    pub fn told(&mut self, entry: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let (server, actor) = (text(&entry["server"]), text(&entry["actor"]));
        match (entry["code"].as_str(), entry["details"]["to"].as_str()) {
            (Some("claimed"), _) | (Some("takeover"), Some("queued")) => self.queued(server, actor),
            // It may come back.
            (Some("takeover"), Some("taking_over")) => {}
            (Some("takeover"), _) => self.may_leave(&server),
            _ => {}
        }
    }

    fn queued(&mut self, server: String, actor: String) {
        let known = self.entries.get(&server).is_some_and(|entry| entry.certain && entry.actor == actor);
        let certain = known || self.asked.get(&server) == Some(&actor);
        self.entries.insert(server, Entry { actor, certain });
    }

    /// At a start the status says so; who is missing.
    pub fn found(&mut self, holder: Option<&str>, queue: &[String]) -> Vec<String> {
        let is_there = |server: &String| queue.contains(server) || holder == Some(server);
        let missing = self.entries.iter().filter(|(server, entry)| entry.certain && !is_there(server));
        let missing = missing.map(|(server, entry)| format!("{server} has lost its place in the queue: {entry:?}"));
        let missing = missing.collect();
        for server in queue {
            let unknown = || Entry { actor: AUTOMATIC.into(), certain: true };
            self.entries.entry(server.clone()).or_insert_with(unknown).certain = true;
        }
        missing
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn told(queue: &mut Queue, to: &str, actor: &str) {
        queue.told(&json!({ "code": "takeover", "server": "a", "actor": actor, "details": { "to": to } }));
    }

    fn is_missed(queue: &mut Queue) -> bool {
        queue.begin_life();
        !queue.found(None, &[]).is_empty()
    }

    #[test]
    fn an_accepted_takeover_that_was_queued_stays_until_something_ends_it() {
        let queued = || {
            let mut queue = Queue::default();
            told(&mut queue, "queued", "x");
            queue.asked("a", "x");
            queue
        };
        assert!(is_missed(&mut queued()));
        assert!(queued().found(Some("a"), &[]).is_empty(), "it is taken over");
        assert!(queued().found(None, &["a".into()]).is_empty());
        let mut heard = queued();
        heard.heard("a");
        assert!(is_missed(&mut heard), "an operator wants it");
        let mut tried = queued();
        told(&mut tried, "taking_over", "x");
        told(&mut tried, "queued", "x");
        assert!(is_missed(&mut tried), "a failed attempt is tried again");
        let mut over = queued();
        told(&mut over, "none", "x");
        assert!(!is_missed(&mut over));
    }

    #[test]
    fn what_was_only_told_or_only_accepted_may_have_gone_another_way() {
        let mut only_told = Queue::default();
        told(&mut only_told, "queued", "x");
        assert!(!is_missed(&mut only_told));
        let mut only_accepted = Queue::default();
        only_accepted.asked("a", "x");
        assert!(!is_missed(&mut only_accepted), "it may have been overtaken");
        let mut cancelled = Queue::default();
        cancelled.asked("a", "x");
        cancelled.may_leave("a");
        told(&mut cancelled, "queued", "x");
        assert!(!is_missed(&mut cancelled), "told late, and cancelled since");
    }

    #[test]
    fn whoever_is_found_in_the_queue_stays_there_in_silence() {
        let mut queue = Queue::default();
        assert!(queue.found(None, &["a".into()]).is_empty());
        assert!(is_missed(&mut queue));
        queue.heard("a");
        assert!(!is_missed(&mut queue), "it may keep alive");
    }
}
