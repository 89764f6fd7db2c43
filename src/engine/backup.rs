//! Backups of the monitored servers' settings: one by hand, all of them one after another, and every day at a UTC time.
//!
//! A backup is prepared (its file is named), asked of the host, and published. What touches files is asked for by `What::Files` and comes
//! back as an input. Knows of the files only what it was told. Called by `engine` alone.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

use super::health::Phase;
use super::output::{
    Actor, Alarm, Archive, Ask, Cause, Note, Operation, OperationKind, Outcome, Output, Stage, TakeoverState, What,
    With,
};
use super::policy::ServerKey;
use super::takeover::Unsettled;
use super::{Engine, Server};
use crate::time::{Mono, Span};

/// So often it is looked whether a backup has come for a queued server that has none.
const LOOK_AGAIN: Span = Span::seconds(60);
/// The wall clock is read at least so often for the daily run: it may be set at any time.
const CLOCK_CHECK: Span = Span::seconds(60);
const DAY_MS: i64 = 86_400_000;
/// The end of the year 9999.
pub(super) const LAST_UTC_MS: i64 = 253_402_300_799_999;
/// A search that has not ended by then lets the next server have its turn: the volume of the backups may hang.
pub(super) const SEARCH_LIMIT: Span = Span::seconds(60);

/// What there is of a server's backups.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Survey {
    /// The newest that is good, as far as is known.
    pub newest: Option<Archive>,
    /// Those that are not what was published: number, and why in words.
    pub damaged: Vec<(u64, String)>,
    /// The highest number in use.
    pub highest: u64,
    /// Why nobody can look, if so: then the rest says nothing.
    pub error: Option<String>,
}

/// What is known of a server's backups.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Backups {
    /// There is a good one.
    pub(super) good: bool,
    /// The highest number that was ever in use.
    pub(super) highest: u64,
    pub(super) last: Option<LastBackup>,
}

/// How the last backup of a server ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LastBackup {
    /// When, in ms since 1970.
    pub utc_ms: i64,
    /// What was published.
    pub archive: Option<Archive>,
    /// Why nothing was.
    pub error: Option<String>,
}

/// Backups of several servers, one after another.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) daily: bool,
    pub(super) actor: Actor,
    pub(super) request: Option<u64>,
    pub(super) left: VecDeque<ServerKey>,
    /// The one that runs.
    pub(super) op: Option<u64>,
    pub(super) ok: u32,
    pub(super) failed: u32,
}

/// What the daily run goes by.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Daily {
    /// The date of the last run, in days since 1970; at first that before which none was due.
    pub(super) date: Option<i64>,
    /// The last date on which all backups were hashed again.
    pub(super) hashed: Option<i64>,
    /// The alarm `clock_jump` stands.
    pub(super) clock_jump: bool,
}

impl Engine {
    pub(super) fn begin_backup(
        &mut self,
        now: Mono,
        key: ServerKey,
        (actor, request, reason): (Actor, Option<u64>, &'static str),
        out: &mut Vec<Output>,
    ) -> u64 {
        let id = self.new_id();
        let deadline = now + self.policy.backup_timeout;
        let last_number = self.get(key).map_or(0, |server| server.backups.highest);
        let operation = Operation {
            deadline,
            stage: Stage::Preparing,
            ..Operation::new(id, OperationKind::Backup, Some(key), (actor, request, reason))
        };
        out.push(operation.says(What::Files(Ask::Prepare { op: id, last_number })));
        self.operations.insert(id, operation);
        id
    }

    /// The file is named: the host can be asked, and has its whole time.
    pub(super) fn prepared(&mut self, now: Mono, op: u64, result: Result<String, String>, out: &mut Vec<Output>) {
        let deadline = now + self.policy.backup_timeout;
        let Some(operation) = self.operations.get_mut(&op).filter(|op| op.stage == Stage::Preparing) else { return };
        match result {
            Ok(file) => {
                (operation.stage, operation.with, operation.deadline) = (Stage::Asked, With::File(file), deadline);
                let operation = operation.clone();
                self.begin(operation, out);
            }
            Err(why) => {
                if let Some(operation) = self.operations.remove(&op) {
                    self.backed_up(now, &operation, Err(why), out);
                }
            }
        }
    }

    /// The host says that it has written the archive.
    pub(super) fn publish(&mut self, op: u64, out: &mut Vec<Output>) {
        let Some(operation) = self.operations.get_mut(&op) else { return };
        let With::File(file) = operation.with.clone() else { return };
        operation.stage = Stage::Publishing;
        let says = operation.says(What::Files(Ask::Publish { op, file }));
        out.push(says);
    }

    pub(super) fn published(&mut self, now: Mono, op: u64, result: Result<Archive, String>, out: &mut Vec<Output>) {
        if !self.operations.get(&op).is_some_and(|operation| operation.stage == Stage::Publishing) {
            return;
        }
        let (outcome, error) = match &result {
            Ok(_) => (Outcome::Ok, None),
            Err(why) => (Outcome::Failed, Some(why.clone())),
        };
        let Some(operation) = self.end_operation(op, outcome, error, out) else { return };
        self.backed_up(now, &operation, result, out);
    }

    /// A backup ended otherwise than by being published.
    pub(super) fn backup_failed(&mut self, now: Mono, operation: &Operation, why: String, out: &mut Vec<Output>) {
        out.push(operation.says(What::Files(Ask::Discard { op: operation.id })));
        self.backed_up(now, operation, Err(why), out);
    }

    fn backed_up(&mut self, now: Mono, operation: &Operation, result: Result<Archive, String>, out: &mut Vec<Output>) {
        let utc_ms = self.utc_ms(now).unwrap_or(0);
        let ok = result.is_ok();
        self.count_in_run(operation.id, ok);
        let Some(key) = operation.server else { return };
        let Some(server) = self.get_mut(key) else { return };
        let backups = &mut server.backups;
        backups.last = Some(match &result {
            Ok(archive) => LastBackup { utc_ms, archive: Some(archive.clone()), error: None },
            Err(why) => LastBackup { utc_ms, archive: None, error: Some(why.clone()) },
        });
        if let Ok(archive) = &result {
            (backups.good, backups.highest) = (true, backups.highest.max(archive.number));
            self.unsettled.mark(key);
        }
        out.push(operation.says(What::Backup { op: operation.id, result }));
        if ok {
            self.end(key, Alarm::BackupFailed, out);
        } else {
            self.raise(key, Alarm::BackupFailed, Cause::Operation(operation.id), out);
        }
    }

    /// What there is of a server's backups, seen just now.
    pub(super) fn surveyed(&mut self, now: Mono, key: ServerKey, survey: Survey, found: bool, out: &mut Vec<Output>) {
        let answers = found && self.is_examined(key);
        if answers {
            self.examined = None;
            self.found = survey.newest.clone().map(|archive| (key, archive));
            // Where it has none, whoever comes next has its turn.
            self.unsettled = Unsettled::All;
        }
        let Some(server) = self.get_mut(key) else { return };
        let news = survey.error.is_some() && !server.backups_unreadable;
        server.backups_unreadable = survey.error.is_some();
        if let Some(why) = survey.error.filter(|_| news) {
            out.push(Output::plain(Some(key), What::Note(Note::BackupsUnreadable { why })));
        }
        let Some(server) = self.get_mut(key).filter(|server| answers || !server.backups_unreadable) else { return };
        let unreadable = server.backups_unreadable;
        let backups = &mut server.backups;
        let good = survey.newest.is_some();
        let changed = std::mem::replace(&mut backups.good, good) != good;
        backups.highest = backups.highest.max(survey.highest);
        if changed {
            self.unsettled.mark(key);
            out.push(Output::plain(Some(key), What::Note(Note::BackupSeen { good })));
        }
        if !good && self.queue.contains(&key) {
            self.look_again_at.get_or_insert(now + LOOK_AGAIN);
        }
        if !unreadable {
            self.judge_damage(key, &survey.damaged, out);
        }
    }

    fn judge_damage(&mut self, key: ServerKey, damaged: &[(u64, String)], out: &mut Vec<Output>) {
        let Some(server) = self.get(key) else { return };
        let worst = damaged.iter().max_by_key(|(number, _)| *number);
        match worst {
            Some((number, why)) => {
                let cause = Cause::Archive(*number);
                if server.alarms.get(&Alarm::BackupDamaged) != Some(&cause) {
                    let note = Note::Damaged { number: *number, why: why.clone() };
                    out.push(Output::plain(Some(key), What::Note(note)));
                }
                self.raise(key, Alarm::BackupDamaged, cause, out);
            }
            None => self.end(key, Alarm::BackupDamaged, out),
        }
    }

    pub(super) fn is_examined(&self, key: ServerKey) -> bool {
        self.examined.is_some_and(|(examined, _)| examined == key)
    }

    /// Nobody knows when a search for a backup ends; what it finds in the end is news like any other.
    pub(super) fn give_up_the_search(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some((key, _)) = self.examined.filter(|(_, since)| *since + SEARCH_LIMIT <= now) else { return };
        let why = format!("the search for a backup has not ended within {} s", SEARCH_LIMIT.whole_ms() / 1000);
        self.surveyed(now, key, Survey { error: Some(why), ..Survey::default() }, true, out);
    }

    /// Queued servers without a backup: somebody may have put one back.
    pub(super) fn look_for_backups(&mut self, now: Mono, out: &mut Vec<Output>) {
        if self.queue.is_empty() {
            self.look_again_at = None;
            return;
        }
        if *self.look_again_at.get_or_insert(now + LOOK_AGAIN) > now {
            return;
        }
        self.look_again_at = Some(now + LOOK_AGAIN);
        let lacking = |key: &ServerKey| self.get(*key).is_some_and(|server| !server.backups.good);
        let lacking: Vec<ServerKey> = self.queue.iter().copied().filter(lacking).collect();
        for key in lacking {
            out.push(Output::plain(Some(key), What::Files(Ask::Survey { thorough: false })));
        }
    }

    /// Begins backups of all servers by hand. Those that cannot be backed up are left out when their turn comes.
    pub(super) fn back_up_all(&mut self, actor: String, request: u64, out: &mut Vec<Output>) {
        self.begin_run(false, Actor::Operator(actor), Some(request), out);
    }

    fn begin_run(&mut self, daily: bool, actor: Actor, request: Option<u64>, out: &mut Vec<Output>) {
        let what = What::Note(Note::RunBegun { daily });
        out.push(Output { server: None, actor: Some(actor.clone()), request, what });
        let left = self.keys_in_order().into();
        self.runs.push_back(Run { daily, actor, request, left, op: None, ok: 0, failed: 0 });
    }

    fn count_in_run(&mut self, op: u64, ok: bool) {
        let Some(run) = self.runs.iter_mut().find(|run| run.op == Some(op)) else { return };
        run.op = None;
        if ok {
            run.ok += 1;
        } else {
            run.failed += 1;
        }
    }

    /// Begins the next backup of a run, or ends it.
    pub(super) fn go_on_with_runs(&mut self, now: Mono, out: &mut Vec<Output>) {
        while let Some(mut run) = self.runs.pop_front() {
            if !self.joined {
                // Only in the cluster: what was begun ends, the rest is left out.
                run.left.clear();
            }
            if run.op.is_some() || self.begin_next_of(&mut run, now, out) {
                self.runs.push_front(run);
                return;
            }
            let Run { daily, actor, request, ok, failed, .. } = run;
            let what = What::Note(Note::RunEnded { daily, ok, failed });
            out.push(Output { server: None, actor: Some(actor), request, what });
        }
    }

    /// False where nothing is left to do.
    fn begin_next_of(&mut self, run: &mut Run, now: Mono, out: &mut Vec<Output>) -> bool {
        let mut busy = VecDeque::new();
        while let Some(key) = run.left.pop_front() {
            if !self.get(key).is_some_and(Server::is_backed_up_in_runs) {
                continue;
            }
            // One that is about to be taken over is soon left out.
            if self.operation_of(key).is_some() || self.is_examined(key) {
                busy.push_back(key);
                continue;
            }
            let reason = if run.daily { "daily" } else { "operator" };
            run.op = Some(self.begin_backup(now, key, (run.actor.clone(), run.request, reason), out));
            // Whoever was busy has its turn after the others.
            run.left.append(&mut busy);
            return true;
        }
        run.left = busy;
        !run.left.is_empty()
    }

    /// The daily run and the daily hashing, by the wall clock.
    pub(super) fn go_by_the_clock(&mut self, now: Mono, out: &mut Vec<Output>) {
        let Some(utc_ms) = self.utc_ms(now) else { return };
        let due = self.latest_due_date(utc_ms);
        let last = match self.daily.date {
            Some(last) if utc_ms.div_euclid(DAY_MS) + 1 < last => {
                self.daily.clock_jump = true;
                out.push(Output::plain(None, What::Alarm { code: Alarm::ClockJump, cause: Cause::State }));
                None
            }
            last => last,
        };
        let Some(last) = last else {
            // What is past already is not made up for: nobody knows whether it was run.
            (self.daily.date, self.daily.hashed) = (Some(due), Some(due));
            return;
        };
        if self.daily.hashed.is_none_or(|hashed| hashed != due) {
            self.daily.hashed = Some(due);
            for key in self.keys_in_order() {
                out.push(Output::plain(Some(key), What::Files(Ask::Survey { thorough: true })));
            }
        }
        if due > last && self.policy.daily_backup && self.joined {
            self.daily.date = Some(due);
            if std::mem::take(&mut self.daily.clock_jump) {
                out.push(Output::plain(None, What::AlarmEnded { code: Alarm::ClockJump }));
            }
            self.begin_run(true, Actor::Automatic, None, out);
        }
    }

    /// The last date whose time for the run has come.
    fn latest_due_date(&self, utc_ms: i64) -> i64 {
        (utc_ms - self.policy.backup_time_ms).div_euclid(DAY_MS)
    }

    /// When `go_by_the_clock` has something to do, as far as the wall clock tells now.
    pub(super) fn next_by_the_clock(&self, now: Mono) -> Option<Mono> {
        let utc_ms = self.utc_ms(now)?;
        let next = (self.latest_due_date(utc_ms) + 1) * DAY_MS + self.policy.backup_time_ms;
        let until = u64::try_from(next - utc_ms).unwrap_or(0).saturating_mul(1_000_000);
        Some((now + Span(until)).min(now + CLOCK_CHECK))
    }

    /// The dates that the clock is counted from: of the last daily run and of the last daily hashing, in days since 1970.
    pub fn daily_dates(&self) -> [Option<i64>; 2] {
        [self.daily.date, self.daily.hashed]
    }

    /// When the next daily run is due, in ms since 1970.
    pub fn next_daily_ms(&self, now: Mono) -> Option<i64> {
        let utc_ms = self.utc_ms(now).filter(|_| self.policy.daily_backup)?;
        let date = self.latest_due_date(utc_ms).max(self.daily.date.unwrap_or(i64::MIN)) + 1;
        Some(date * DAY_MS + self.policy.backup_time_ms)
    }

    /// The backups under way that were asked for together: the servers left, those of the run of now first.
    pub fn backups_left(&self) -> Option<(bool, usize)> {
        self.runs.front().map(|run| (run.daily, run.left.len() + usize::from(run.op.is_some())))
    }
}

impl Server {
    /// A server that is failed or taken over is left out of a run.
    fn is_backed_up_in_runs(&self) -> bool {
        let here = matches!(self.takeover.state, TakeoverState::None | TakeoverState::Queued);
        self.access.is_some() && here && self.health.phase() != Phase::Failed
    }
}
