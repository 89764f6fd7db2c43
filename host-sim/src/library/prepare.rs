//! What a prepared scenario has behind it at time 0: the cluster is joined, every server is authorized and has a backup.
//!
//! All of it by real calls, with a host that answers at once, at one instant just before time 0. Then the instance is stopped and started
//! again, so that time 0 is the start that everything counts from. Nothing of it comes into the trace; whatever goes wrong ends the run.

use super::life::Life;
use crate::run::{Happening, MS, POLLS_PER_MS, START_NS, Subject};
use crate::scenario::Call;
use crate::trace::What;

/// When it is done.
const PREPARED_NS: u64 = START_NS - MS;
const MINUTE_MS: i64 = 60_000;

/// The wall clock then. Daily backups are due at whole minutes: one that is due at time 0 must not be due here yet.
fn utc_before(start_utc_ms: i64) -> i64 {
    if start_utc_ms.rem_euclid(MINUTE_MS) == 0 { start_utc_ms - 1 } else { start_utc_ms }
}

impl Life {
    /// Joins the cluster, and authorizes and backs up these servers.
    ///
    /// # Errors
    /// The plugin did not let it, or broke a rule.
    pub(crate) fn prepare(&mut self, servers: &[String], start_utc_ms: i64) -> Result<(), String> {
        self.prepared(servers, utc_before(start_utc_ms)).map_err(|e| format!("the preparation failed: {e}"))
    }

    fn prepared(&mut self, servers: &[String], utc_ms: i64) -> Result<(), String> {
        // The first poll begins everything.
        self.settled(utc_ms)?;
        self.asked(&Call::Cluster { joined: true, actor: None })?;
        for server in servers {
            self.asked(&Call::Authorize { server: server.clone(), actor: None })?;
        }
        self.settled(utc_ms)?;
        for server in servers {
            self.asked(&Call::Backup { server: server.clone(), actor: None })?;
        }
        let backups = self.settled(utc_ms)?;
        if backups != servers.len() {
            return Err(format!("{backups} backups of {} servers", servers.len()));
        }
        self.begin_again()
    }

    fn asked(&mut self, call: &Call) -> Result<(), String> {
        let whom = call.server().map(|server| format!(" of {server}")).unwrap_or_default();
        self.call(PREPARED_NS, call).map_err(|e| format!("`{}`{whom}: {e}", call.name()))
    }

    /// Polls and answers until nothing is left to do; gives how many backups were published.
    fn settled(&mut self, utc_ms: i64) -> Result<usize, String> {
        let mut backups = 0;
        for _ in 0..POLLS_PER_MS {
            let polled = self.poll(PREPARED_NS, utc_ms)?;
            let mut answered = false;
            for happening in polled.happenings {
                match happening {
                    Happening::Begin { op, .. } => {
                        self.complete(PREPARED_NS, op, None).map_err(|e| format!("operation {op}: {e}"))?;
                        answered = true;
                    }
                    Happening::Line(What::Backup { result, .. }) if result == "ok" => backups += 1,
                    Happening::Line(What::Completed { outcome, .. }) if outcome == "ok" => {}
                    Happening::Line(what) => return Err(format!("{what:?}")),
                }
            }
            if polled.next_ns > PREPARED_NS && !answered {
                return Ok(backups);
            }
        }
        Err(format!("{POLLS_PER_MS} polls, and it still asks for another"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_backup_can_be_due_between_the_preparation_and_time_0_but_one_at_time_0() {
        for start in [0, 60_000, -60_000, 1_767_225_600_000] {
            assert_eq!(utc_before(start), start - 1);
        }
        for start in [1, 59_999, 60_001, -1] {
            assert_eq!(utc_before(start), start);
        }
    }
}
