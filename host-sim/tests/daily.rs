//! Daily backups by the calendar, for four hundred days without a gap: what the plugin does against what `chrono` says.

#[path = "../../tests/support/polite.rs"]
mod polite;

use chrono::{DateTime, Days, NaiveTime, TimeDelta, Utc};
use host_sim::commands::trace_of;
use host_sim::scenario::Scenario;
use host_sim::trace::{TraceLine, What};
use serde_json::{Value, json};

const DAYS: u64 = 400;
const DAY_MS: u64 = 86_400_000;

fn trace(document: &Value) -> Vec<TraceLine> {
    let scenario = Scenario::parse("test", &document.to_string()).unwrap();
    trace_of(&polite::plugin(), &scenario).unwrap_or_else(|failure| panic!("{}", failure.text))
}

/// Servers of which nobody ever heard have no deadlines, so that time goes in long steps.
fn days(start: DateTime<Utc>, time: &str, steps: Value) -> Value {
    json!({
        "name": "daily", "start_utc": start.to_rfc3339(), "prepared": true, "until_ms": DAYS * DAY_MS,
        "config": {
            "schema": 1, "backup_directory": "backups", "store_path": "store", "backup_time_utc": time,
            "monitored_servers": [{"id": "a", "name": "A", "host": "10.0.0.1"}],
        },
        "steps": steps,
    })
}

/// When backups were asked for, in ms since the start; each has to be published.
fn backups(trace: &[TraceLine]) -> Vec<u64> {
    let published =
        trace.iter().filter(|line| matches!(&line.what, What::Backup { result, .. } if result == "ok")).count();
    let begun = |line: &TraceLine| matches!(&line.what, What::Operation { operation, .. } if operation == "backup");
    let begun: Vec<u64> = trace.iter().filter(|line| begun(line)).map(|line| line.at_ms).collect();
    assert_eq!(begun.len(), published);
    begun
}

fn utc(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn each_of_four_hundred_dates_has_one_run_at_its_time() {
    let start = utc("2027-12-30T00:00:00Z");
    let at = |day: u64| start.date_naive().checked_add_days(Days::new(day)).unwrap().and_time(NaiveTime::MIN);
    let run = |day: u64| at(day).and_utc() + TimeDelta::minutes(2 * 60 + 17) - start;
    let expected: Vec<u64> = (0..DAYS).map(|day| run(day).num_milliseconds().unsigned_abs()).collect();
    assert!((0..DAYS).any(|day| at(day).to_string().starts_with("2028-02-29")));
    assert_eq!(backups(&trace(&days(start, "02:17", json!([])))), expected);
}

/// A wall clock that loses an hour a day and has it all back once a week, now and then across the time of the run.
#[test]
fn a_wall_clock_that_is_set_again_and_again_gives_no_date_two_runs_and_none_without() {
    const HOUR_MS: u64 = 3_600_000;
    let start = utc("2026-01-01T01:30:00Z");
    let until = DAYS * DAY_MS;
    let steps = json!([
        {"from_ms": HOUR_MS, "every_ms": DAY_MS, "until_ms": until, "do": "utc_jump", "ms": -3_600_000},
        {"from_ms": 6 * DAY_MS, "every_ms": 7 * DAY_MS, "until_ms": until, "do": "utc_jump", "ms": 7 * HOUR_MS},
    ]);
    let begun = backups(&trace(&days(start, "02:00", steps)));
    let wall = |at_ms: u64| {
        let lost = (at_ms + DAY_MS - HOUR_MS) / DAY_MS;
        let gained = 7 * ((at_ms + DAY_MS) / (7 * DAY_MS));
        let hours = TimeDelta::hours(gained as i64 - lost as i64);
        (start + TimeDelta::milliseconds(at_ms as i64) + hours).date_naive()
    };
    let dates: Vec<_> = begun.iter().map(|at_ms| wall(*at_ms)).collect();
    let first = start.date_naive();
    let expected: Vec<_> = (0..dates.len() as u64).map(|day| first.checked_add_days(Days::new(day)).unwrap()).collect();
    assert_eq!(dates, expected);
    assert!(dates.len() as u64 >= DAYS - 1, "{}", dates.len());
}
