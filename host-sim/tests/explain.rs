//! The golden text of `--explain`, from the expected lines of a scenario alone.

use std::fs;
use std::path::Path;

use host_sim::explain::explain;
use host_sim::scenario::Scenario;
use host_sim::trace::TraceLine;
use serde_json::{Map, Value};

/// A line that an expectation gives in full.
fn line(expected: &Map<String, Value>) -> TraceLine {
    serde_json::from_value(Value::Object(expected.clone())).unwrap()
}

fn explained(name: &str) -> String {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios").join(name);
    let scenario = Scenario::parse(name, &fs::read_to_string(file).unwrap()).unwrap();
    let trace: Vec<TraceLine> = scenario.expect.iter().map(line).collect();
    explain(&scenario, &trace, 80)
}

#[test]
fn the_story_of_a_takeover_is_the_golden_one() {
    let golden = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain.txt")).unwrap();
    let story = explained("two_failures_one_slot.json");
    assert_eq!(story, golden, "the new text:\n{story}");
}

#[test]
fn no_line_is_wider_than_asked_in_the_timeline() {
    for name in ["priorities.json", "cancel.json", "one_ordinary_day.json", "refused_calls.json"] {
        let story = explained(name);
        let (_, timeline) = story.rsplit_once("00:00:00  ").expect("a timeline");
        assert!(timeline.lines().count() > 1, "{name}:\n{story}");
        assert!(timeline.lines().all(|line| line.chars().count() <= 80), "{name}:\n{story}");
    }
}

#[test]
fn the_stories_of_a_run_of_backups_and_of_a_second_life_are_the_golden_ones() {
    let golden = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/explain_lives.txt")).unwrap();
    let stories = ["backup_all.json", "crash_in_backup.json", "restart_in_restore.json"].map(explained).join("\n");
    assert_eq!(stories, golden, "the new text:\n{stories}");
}
