//! Log entries: what the engine decided, in words and as JSON, and the limit on repetition.
//!
//! Pure: knows no clock and no file (those are in `store`). Called by `runtime` when an entry is numbered (`Limiter`) and when it is delivered (`Entry`).

pub mod mass;
pub mod store;

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};
use vms_failover_abi as abi;

use crate::engine::output::{Actor, Archive, Block, Cause, Note, Output, What};
use crate::engine::policy::ServerKey;
use crate::state::document::{self, Accepted};
use crate::time::{Mono, SECOND_NS, Span, utc};

/// Entries of one server a minute that change nothing; what comes beyond is counted, not written (header, rule 14).
const NOTES_A_MINUTE: u32 = 20;
const MINUTE: Span = Span(60 * SECOND_NS);
const HOST_WORDS_MAX: usize = 1024;

/// A server as the log names it.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its handle at the border.
    pub handle: abi::vmsf_server,
    /// Its id.
    pub id: std::sync::Arc<str>,
}

/// What an entry tells.
#[expect(clippy::large_enum_variant, reason = "nearly every entry is a decision of the engine")]
#[derive(Clone, Debug)]
pub enum Subject {
    /// A decision of the engine, with the server that a cause names.
    Engine(Output, Option<Named>),
    /// Entries of this server were left out.
    Suppressed(u32),
    /// The host kept a callback for so long.
    HostSlow(Span),
    /// The host is quick again.
    HostQuick,
    /// A call made inside a callback is on disk.
    Accepted(Accepted),
    /// A damaged file of the state directory, in words.
    StateDamaged(String),
    /// Log numbers that may have been given out and lost.
    LogGap(u64, u64),
    /// A server that the given configuration drops is kept until its takeover is over.
    ConfigKept(String),
    /// That takeover is over, and the server is gone from the configuration.
    ConfigFollowed(String),
    /// Another configuration is in force: how many servers it has, and how many of them are new and gone.
    Configured {
        /// All.
        servers: usize,
        /// New ones.
        added: usize,
        /// Gone ones.
        removed: usize,
    },
    /// The instance has panicked.
    Poisoned(String),
}

/// One entry, numbered; put into words when it is delivered.
#[derive(Clone, Debug)]
pub struct Entry {
    /// Its number.
    pub seq: u64,
    /// When.
    pub at: Mono,
    /// When, in ms since 1970.
    pub utc_ms: i64,
    /// The server concerned.
    pub server: Option<Named>,
    /// What it tells.
    pub subject: Subject,
}

/// An entry in words.
pub struct Words {
    /// VMSF_EVENT_.
    pub kind: u32,
    /// VMSF_SEVERITY_.
    pub severity: u32,
    /// The sentence, for the diagnostic log.
    pub text: String,
    /// The whole entry.
    pub json: String,
}

/// An entry as it is written.
#[derive(Serialize)]
struct Line<'a, D> {
    #[serde(skip_serializing_if = "Option::is_none")]
    actor: Option<&'a str>,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    details: Option<D>,
    #[serde(skip_serializing_if = "Option::is_none")]
    request: Option<u64>,
    seq: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    server: Option<&'a str>,
    severity: &'static str,
    text: &'a str,
    utc: &'a str,
}

struct Draft {
    kind: u32,
    severity: u32,
    code: &'static str,
    text: String,
    details: Value,
}

impl Entry {
    /// Puts it into words.
    pub fn words(&self) -> Words {
        let draft = self.draft();
        let output = match &self.subject {
            Subject::Engine(output, _) => Some(output),
            _ => None,
        };
        let line = Line {
            actor: output.and_then(|output| output.actor.as_ref()).map(Actor::name),
            code: draft.code,
            details: Some(&draft.details).filter(|details| !details.is_null()),
            request: output.and_then(|output| output.request),
            seq: self.seq,
            server: self.server.as_ref().map(|server| &*server.id),
            severity: severity_name(draft.severity),
            text: &draft.text,
            utc: &utc(self.utc_ms),
        };
        // Nothing in it can fail to be written.
        let json = serde_json::to_string(&line).unwrap_or_default();
        Words { kind: draft.kind, severity: draft.severity, text: draft.text, json }
    }

    fn draft(&self) -> Draft {
        let alarm = |code, text: String, details| Draft {
            kind: abi::VMSF_EVENT_ALARM,
            severity: abi::VMSF_SEVERITY_ALARM,
            code,
            text,
            details,
        };
        match &self.subject {
            Subject::Engine(output, named) => draft(&output.what, named.as_ref(), self.at),
            Subject::Suppressed(count) => note(
                abi::VMSF_SEVERITY_WARNING,
                "suppressed",
                format!("{count} entries of this server were left out within a minute"),
                json!({ "count": count }),
            ),
            Subject::HostSlow(span) => {
                let ms = span.whole_ms();
                let text = format!("the host kept a callback for {ms} ms; everything else waited");
                alarm("host_slow", text, json!({ "ms": ms }))
            }
            Subject::HostQuick => ended("host_slow"),
            Subject::Accepted(accepted) => accepted_words(accepted),
            Subject::StateDamaged(text) => alarm("state_damaged", text.clone(), Value::Null),
            Subject::LogGap(first, last) => note(
                abi::VMSF_SEVERITY_WARNING,
                "log_gap",
                format!("entries {first} to {last} may have been lost with the power; numbering goes on behind them"),
                json!({ "first": first, "last": last }),
            ),
            Subject::ConfigKept(id) => alarm(
                "config_kept",
                format!(
                    "server '{id}' is taken over and stays in the configuration as it was until its takeover is over"
                ),
                json!({ "server": id }),
            ),
            Subject::ConfigFollowed(id) => Draft { details: json!({ "server": id }), ..ended("config_kept") },
            Subject::Configured { servers, added, removed } => note(
                abi::VMSF_SEVERITY_INFO,
                "configured",
                format!("another configuration is in force: {servers} servers, {added} of them new, {removed} gone"),
                json!({ "servers": servers, "added": added, "removed": removed }),
            ),
            Subject::Poisoned(why) => Draft {
                kind: abi::VMSF_EVENT_POISONED,
                severity: abi::VMSF_SEVERITY_ALARM,
                code: "poisoned",
                text: format!(
                    "the plugin has panicked and watches nothing any more: stop, destroy and create it again ({why})"
                ),
                details: Value::Null,
            },
        }
    }
}

fn note(severity: u32, code: &'static str, text: String, details: Value) -> Draft {
    Draft { kind: abi::VMSF_EVENT_LOG, severity, code, text, details }
}

fn accepted_words(accepted: &Accepted) -> Draft {
    let of_one = |call: &document::Call| json!({ "request": call.request, "server": call.server });
    let (call, details) = match accepted {
        Accepted::Takeover(call) => ("takeover", of_one(call)),
        Accepted::Restore(call) => ("restore", of_one(call)),
        Accepted::Cancel(call) => ("cancel", of_one(call)),
        Accepted::Backup(call) => ("backup", of_one(call)),
        Accepted::BackupAll { request, .. } => ("backup", json!({ "request": request })),
        Accepted::Authorize(call) => ("authorize", of_one(call)),
        Accepted::Deauthorize(call) => ("deauthorize", of_one(call)),
        Accepted::JoinCluster { request, .. } => ("join_cluster", json!({ "request": request })),
        Accepted::Cluster { joined, .. } => ("cluster", json!({ "joined": joined })),
        Accepted::Complete { op, .. } => ("complete", json!({ "op": op })),
    };
    let text = format!("the {call} that was called inside a callback is on disk");
    Draft { kind: abi::VMSF_EVENT_ACCEPTED, ..note(abi::VMSF_SEVERITY_DEBUG, "accepted", text, details) }
}

fn ended(code: &'static str) -> Draft {
    Draft {
        kind: abi::VMSF_EVENT_ALARM_ENDED,
        severity: abi::VMSF_SEVERITY_INFO,
        code,
        text: format!("the cause of the alarm {code} is gone"),
        details: Value::Null,
    }
}

fn draft(what: &What, named: Option<&Named>, at: Mono) -> Draft {
    match what {
        What::Health { from, to, reason, failed_at } => {
            let mut details = json!({ "from": from.name(), "to": to.name() });
            let mut text = format!("health changed from {} to {}", from.name(), to.name());
            if let (Some(reason), Some(failed_at)) = (reason, failed_at) {
                details["reason"] = reason.name().into();
                details["failed_at_ns"] = failed_at.0.into();
                text = format!("failed: {} ran out {} ms ago", reason.name(), (at - *failed_at).whole_ms());
            }
            let severity = if reason.is_some() { abi::VMSF_SEVERITY_WARNING } else { abi::VMSF_SEVERITY_INFO };
            Draft { kind: abi::VMSF_EVENT_HEALTH, severity, code: "health", text, details }
        }
        What::Takeover { from, to, reason } => Draft {
            kind: abi::VMSF_EVENT_TAKEOVER,
            severity: abi::VMSF_SEVERITY_INFO,
            code: "takeover",
            text: format!("takeover state changed from {} to {} ({reason})", from.name(), to.name()),
            details: json!({ "from": from.name(), "to": to.name(), "reason": reason }),
        },
        What::Completed { op, kind, outcome, error } => {
            let mut details = json!({ "op": op, "operation": kind.name(), "outcome": outcome.name() });
            let mut text = format!("the {} ended: {}", kind.name(), outcome.name());
            if let Some(error) = error {
                details["error"] = error.as_str().into();
                text = format!("{text} ({error})");
            }
            Draft {
                kind: abi::VMSF_EVENT_COMPLETED,
                severity: abi::VMSF_SEVERITY_INFO,
                code: "completed",
                text,
                details,
            }
        }
        What::OperationOver { op, kind, reason } => Draft {
            kind: abi::VMSF_EVENT_OPERATION_OVER,
            severity: abi::VMSF_SEVERITY_WARNING,
            code: "operation_over",
            text: format!("the {} was given up ({reason}): the host must stop it and undo what it did", kind.name()),
            details: json!({ "op": op, "operation": kind.name(), "reason": reason }),
        },
        What::Backup { op, result } => backup_words(*op, result),
        What::Access { by, .. } => {
            let (code, text) = match by {
                Some(_) => ("authorized", "the failover server can log in on the server"),
                None => ("deauthorized", "the token of the server is deleted: the failover server cannot log in on it"),
            };
            note(abi::VMSF_SEVERITY_INFO, code, text.to_owned(), Value::Null)
        }
        What::Cluster { joined } => {
            let now = if *joined { "is part of the cluster" } else { "is not part of the cluster any more" };
            let text = format!("this failover server {now}");
            note(abi::VMSF_SEVERITY_INFO, "cluster", text, json!({ "joined": joined }))
        }
        // Never an entry: `runtime` runs them as errands, and what comes of that is one.
        What::Begin(_) | What::Files(_) => note(abi::VMSF_SEVERITY_DEBUG, "errand", String::new(), Value::Null),
        What::Alarm { code, cause } => {
            let (text, details) = alarm_words(code.code(), cause, named);
            Draft { kind: abi::VMSF_EVENT_ALARM, severity: abi::VMSF_SEVERITY_ALARM, code: code.code(), text, details }
        }
        What::AlarmEnded { code } => ended(code.code()),
        What::Note(kind) => note_words(kind),
    }
}

fn note_words(kind: &Note) -> Draft {
    let (debug, info, warning) = (abi::VMSF_SEVERITY_DEBUG, abi::VMSF_SEVERITY_INFO, abi::VMSF_SEVERITY_WARNING);
    match kind {
        Note::Unmoved { event, why, phase } => note(
            debug,
            why,
            format!("{} in {}: {why}, the deadline stays", event.name(), phase.name()),
            json!({ "event": event.name(), "phase": phase.name() }),
        ),
        Note::Disconnected => {
            note(info, "disconnected", "the connection ended; no deadline moves for that".into(), Value::Null)
        }
        Note::Paused(span) => note(
            warning,
            "paused",
            format!("the plugin did not run for {} ms; running deadlines were moved by that", span.whole_ms()),
            json!({ "ms": span.whole_ms() }),
        ),
        Note::EventsLost => note(
            warning,
            "events_lost",
            "more messages than the plugin could take in; the server is given a normal restart's time".into(),
            Value::Null,
        ),
        Note::Claimed => note(info, "claimed", "the place in the queue is the operator's now".to_owned(), Value::Null),
        Note::Overtaken { call } => {
            note(info, "overtaken", format!("an accepted {call} found nothing to do any more"), json!({ "call": call }))
        }
        Note::RunBegun { daily } => {
            let text = format!("the {} of all servers begins", run_name(*daily));
            note(info, "backup_run_begun", text, json!({ "daily": daily }))
        }
        Note::RunEnded { daily, ok, failed } => {
            let severity = if *failed == 0 { info } else { warning };
            let text = format!("the {} of all servers has ended: {ok} ok, {failed} failed", run_name(*daily));
            note(severity, "backup_run_ended", text, json!({ "daily": daily, "ok": ok, "failed": failed }))
        }
        Note::BackupSeen { good: true } => note(info, "backup_seen", "there is a good backup".into(), Value::Null),
        Note::BackupSeen { good: false } => {
            note(warning, "backup_seen", "there is no good backup any more: back the server up".into(), Value::Null)
        }
        Note::BackupsUnreadable { why } => note(
            warning,
            "backups_unreadable",
            host_words(&format!("nobody can look at the backups: {why}")),
            Value::Null,
        ),
        Note::Damaged { number, why } => {
            let text = format!("backup {number} is not what was published and is not used: {why}");
            note(warning, "backup_flaw", host_words(&text), json!({ "number": number }))
        }
        Note::Progress { op, permille, text } => Draft {
            kind: abi::VMSF_EVENT_PROGRESS,
            ..note(info, "progress", text.clone(), json!({ "op": op, "permille": permille, "text": text }))
        },
    }
}

fn run_name(daily: bool) -> &'static str {
    if daily { "daily backup" } else { "backup by hand" }
}

fn backup_words(op: u64, result: &Result<Archive, String>) -> Draft {
    let (severity, text, details) = match result {
        Ok(archive) => (
            abi::VMSF_SEVERITY_INFO,
            format!("backup {} is published: {} bytes", archive.number, archive.size),
            json!({ "op": op, "result": "ok", "number": archive.number, "size": archive.size,
                    "sha256": archive.sha256, "path": archive.path }),
        ),
        Err(why) => (
            abi::VMSF_SEVERITY_WARNING,
            format!("the backup failed: {why}"),
            json!({ "op": op, "result": "failed", "error": why }),
        ),
    };
    Draft { kind: abi::VMSF_EVENT_BACKUP, severity, code: "backup", text, details }
}

fn alarm_words(code: &str, cause: &Cause, named: Option<&Named>) -> (String, Value) {
    let holder = named.map_or("?", |named| named.id.as_ref());
    match (code, cause) {
        ("not_covered", _) => (
            format!(
                "not covered: the failover server is taken by '{holder}'; this server has its turn when that one is restored"
            ),
            json!({ "holder": holder }),
        ),
        (_, Cause::Block(block)) => {
            let todo = match block {
                Block::NotInCluster => "join the cluster",
                Block::NotAuthorized => "authorize the failover server at this server",
                Block::NoBackup => "back the server up",
                Block::StateNotWritable => "make room in the state directory, or make it writable",
            };
            (format!("the takeover cannot start ({}): {todo}", block.name()), json!({ "reason": block.name() }))
        }
        ("takeover_required", Cause::Failure(at)) => (
            "the server has failed and waits for an operator: take it over, or bring it back".into(),
            json!({ "failed_at_ns": at.0 }),
        ),
        ("late_answer", Cause::Operation(op)) => {
            ("the host did what had been given up: it must undo it".into(), json!({ "op": op }))
        }
        ("backup_failed", Cause::Operation(op)) => (
            "the last backup failed; earlier ones are untouched: see its entry, and back the server up".into(),
            json!({ "op": op }),
        ),
        (_, Cause::Archive(number)) => {
            (format!("backup {number} is damaged and is not used: back the server up"), json!({ "number": number }))
        }
        ("clock_jump", _) => (
            "the wall clock was set back by more than a day: daily backups are counted anew from its date".into(),
            Value::Null,
        ),
        (_, Cause::Operation(op)) => {
            ("the host could not do it; it is tried again after a delay".into(), json!({ "op": op }))
        }
        ("restore_possible", _) => ("the server is back and stable: restore it".into(), Value::Null),
        ("both_alive", _) => {
            ("the server keeps alive while it is taken over: it has two owners; restore it".into(), Value::Null)
        }
        ("never_seen", _) => {
            ("nothing was heard of this server yet: check its address and its link".into(), Value::Null)
        }
        _ => (code.replace('_', " "), Value::Null),
    }
}

/// The name of a severity.
pub fn severity_name(severity: u32) -> &'static str {
    match severity {
        abi::VMSF_SEVERITY_DEBUG => "debug",
        abi::VMSF_SEVERITY_INFO => "info",
        abi::VMSF_SEVERITY_WARNING => "warning",
        _ => "alarm",
    }
}

/// The words of a host, cut to what an entry may carry.
pub fn host_words(text: &str) -> String {
    crate::error::cut(text.to_owned(), HOST_WORDS_MAX)
}

/// Counts entries that change nothing, per server.
#[derive(Debug, Default)]
pub struct Limiter {
    windows: BTreeMap<ServerKey, Window>,
}

#[derive(Clone, Copy, Debug)]
struct Window {
    since: Mono,
    written: u32,
    left_out: u32,
}

/// What to do with an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Write it.
    Write,
    /// First say how many were left out, then write it.
    WriteAfter(u32),
    /// Leave it out.
    LeaveOut,
}

impl Limiter {
    /// Judges an entry about to be numbered.
    pub fn judge(&mut self, output: &Output, at: Mono) -> Verdict {
        let (Some(server), What::Note(_)) = (output.server, &output.what) else { return Verdict::Write };
        let fresh = Window { since: at, written: 0, left_out: 0 };
        let window = self.windows.entry(server).or_insert(fresh);
        let left_out = if at - window.since >= MINUTE { std::mem::replace(window, fresh).left_out } else { 0 };
        if window.written == NOTES_A_MINUTE {
            window.left_out += 1;
            return Verdict::LeaveOut;
        }
        window.written += 1;
        if left_out == 0 { Verdict::Write } else { Verdict::WriteAfter(left_out) }
    }

    /// Forgets a removed server.
    pub fn forget(&mut self, server: ServerKey) {
        self.windows.remove(&server);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn note_of(server: u32) -> Output {
        let what = What::Note(Note::Disconnected);
        Output { server: Some(ServerKey(server)), actor: None, request: None, what }
    }

    #[test]
    fn beyond_twenty_a_minute_entries_are_counted_and_the_count_is_said() {
        let mut limiter = Limiter::default();
        let second = |s: u64| Mono(s * SECOND_NS);
        for _ in 0..20 {
            assert_eq!(limiter.judge(&note_of(1), second(1)), Verdict::Write);
        }
        for _ in 0..7 {
            assert_eq!(limiter.judge(&note_of(1), second(60)), Verdict::LeaveOut);
        }
        assert_eq!(limiter.judge(&note_of(2), second(60)), Verdict::Write, "another server has its own count");
        assert_eq!(limiter.judge(&note_of(1), second(61)), Verdict::WriteAfter(7));
        assert_eq!(limiter.judge(&note_of(1), second(62)), Verdict::Write);
    }

    #[test]
    fn changes_and_alarms_are_never_left_out() {
        let mut limiter = Limiter::default();
        let alarm = What::Alarm { code: crate::engine::output::Alarm::BothAlive, cause: Cause::State };
        let output = Output { what: alarm, ..note_of(1) };
        for _ in 0..100 {
            assert_eq!(limiter.judge(&output, Mono(1)), Verdict::Write);
        }
    }

    #[test]
    fn an_entry_is_one_json_object_with_its_number_time_and_server() {
        let server = Named { handle: 7, id: "a".into() };
        let entry = Entry {
            seq: 3,
            at: Mono(5),
            utc_ms: 1_767_225_600_123,
            server: Some(server),
            subject: Subject::Suppressed(2),
        };
        let value: Value = serde_json::from_str(&entry.words().json).unwrap();
        assert_eq!(value["seq"], 3);
        assert_eq!(value["utc"], "2026-01-01T00:00:00.123Z");
        assert_eq!(value["severity"], "warning");
        assert_eq!(value["server"], "a");
        assert_eq!(value["details"]["count"], 2);
    }

    #[test]
    fn a_time_outside_the_calendar_does_no_harm() {
        assert_eq!(utc(i64::MAX), "1970-01-01T00:00:00.000Z");
    }
}
