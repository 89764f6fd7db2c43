//! What only a look at the core shows: what of it counts as a change, and what is asked of the file worker.

use std::sync::Arc;

use serde_json::json;

use super::{Core, Now, Numbers};
use crate::config::Config;
use crate::engine::Ran;
use crate::engine::command::Command;
use crate::engine::output::OperationKind;
use crate::runtime::servers::{Performs, Servers, policy};
use crate::time::{Mono, SECOND_NS};

/// 2026-01-01T00:00:00Z.
const NEW_YEAR_MS: i64 = 1_767_225_600_000;

fn config(ids: &[&str]) -> Config {
    let servers: Vec<_> = ids.iter().map(|id| json!({ "id": id, "host": format!("{id}.example") })).collect();
    let document = json!({ "schema": 1, "backup_directory": "/b", "store_path": "/s", "monitored_servers": servers });
    Config::check(&document).unwrap()
}

fn core(ids: &[&str]) -> Core {
    let config = config(ids);
    let servers = Arc::new(Servers::default().placed(&config));
    let policy = policy(&config, None, &servers, Performs::new(OperationKind::ALL));
    Core::new(policy, servers, Arc::new(config), Numbers { next_id: 1, next_seq: 1 })
}

/// So many hours after new year.
fn hour(hours: u64) -> Now {
    let utc_ms = NEW_YEAR_MS + i64::try_from(hours).unwrap() * 3_600_000;
    Now { mono: Mono((1 + hours * 3600) * SECOND_NS), utc_ms }
}

impl Core {
    fn turn(&mut self, now: Now) {
        self.take_in(now);
        self.advance(now, Ran::default());
    }

    fn save(&mut self, now: Now) {
        let snapshot = self.snapshot();
        self.was_saved(&snapshot, now);
        assert!(self.is_saved());
    }

    fn configure(&mut self, ids: &[&str], now: Now) {
        let next = config(ids);
        let servers = Arc::new(self.servers().placed(&next));
        let policy = policy(&next, Some(self.config()), &servers, Performs::new(OperationKind::ALL));
        let accepted = self.accept(Command::Configure(policy), Some((servers, Arc::new(next))));
        let Ok((call, _)) = accepted else { panic!("refused") };
        self.send(&call);
        self.take_in(now);
    }
}

#[test]
fn that_the_backups_were_hashed_today_is_a_change_though_no_daily_run_was_due() {
    let mut core = core(&["a"]);
    core.start(hour(12));
    // The second one knows that `a` was never seen.
    [hour(12), hour(13)].into_iter().for_each(|now| core.turn(now));
    core.save(hour(13));
    core.turn(hour(14));
    assert!(core.is_saved(), "the same day");
    // Not in the cluster, so there is no daily run.
    core.turn(hour(36));
    assert!(!core.is_saved());
}

#[test]
fn nothing_is_asked_of_the_file_worker_about_a_server_that_is_gone() {
    let mut core = core(&["a", "b"]);
    core.start(hour(12));
    let asked = |core: &Core| core.errands.asks.iter().map(|(whose, _)| whose.id.to_string()).collect::<Vec<_>>();
    assert_eq!(asked(&core), ["a", "b"], "to tidy up");
    core.configure(&["a", "c"], hour(12));
    assert_eq!(asked(&core), ["a", "c"]);
}
