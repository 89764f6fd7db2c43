//! Raising and ending alarms: once per cause and occurrence, and said when the cause is gone. Called by `engine` alone.

use super::output::{Alarm, Cause, Output, What};
use super::policy::ServerKey;
use super::{Engine, Phase};
use crate::engine::output::TakeoverState;

impl Engine {
    /// Another cause of an alarm that stands is said anew; the same one is not.
    pub(super) fn raise(&mut self, key: ServerKey, code: Alarm, cause: Cause, out: &mut Vec<Output>) {
        let Some(server) = self.get_mut(key) else { return };
        if server.alarms.insert(code, cause) != Some(cause) {
            out.push(Output::plain(Some(key), What::Alarm { code, cause }));
        }
    }

    pub(super) fn end(&mut self, key: ServerKey, code: Alarm, out: &mut Vec<Output>) {
        let Some(server) = self.get_mut(key) else { return };
        if server.alarms.remove(&code).is_some() {
            out.push(Output::plain(Some(key), What::AlarmEnded { code }));
        }
    }

    pub(super) fn end_all(&mut self, key: ServerKey, out: &mut Vec<Output>) {
        let standing: Vec<Alarm> =
            self.get(key).map(|server| server.alarms.keys().copied().collect()).unwrap_or_default();
        standing.into_iter().for_each(|code| self.end(key, code, out));
    }

    /// Two owners of one role, unless the restore that ends it is only a matter of waiting.
    pub(super) fn evaluate_both_alive(&mut self, key: ServerKey, out: &mut Vec<Output>) {
        let automatic_restore = self.policy.automatic_restore;
        let Some(server) = self.get(key) else { return };
        let two_owners = server.takeover.state == TakeoverState::TakenOver && server.health.phase() == Phase::KeepAlive;
        if two_owners && !(automatic_restore && server.takeover.seen_down) {
            self.raise(key, Alarm::BothAlive, Cause::State, out);
        } else {
            self.end(key, Alarm::BothAlive, out);
        }
    }
}
