//! The golden text of `--explain`, from the expected lines of a scenario alone.

use std::fs;
use std::path::Path;

use host_sim::explain::explain;
use host_sim::scenario::Scenario;
use host_sim::trace::{TraceLine, What};
use serde_json::{Map, Value};

fn line(expected: &Map<String, Value>) -> TraceLine {
    let text = |key: &str| expected.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
    let maybe = |key: &str| expected.get(key).and_then(Value::as_str).map(str::to_owned);
    let number = |key: &str| expected.get(key).and_then(Value::as_u64).unwrap_or_default();
    let server = text("server");
    let what = match text("kind").as_str() {
        "health" => What::Health { server, from: text("from"), to: text("to"), reason: maybe("reason") },
        "takeover" => What::Takeover {
            server,
            from: text("from"),
            to: text("to"),
            reason: maybe("reason"),
            actor: maybe("actor"),
        },
        "operation" => What::Operation { operation: text("operation"), op: number("op"), server, resumed: false },
        "completed" => {
            What::Completed { operation: text("operation"), op: number("op"), server, outcome: text("outcome") }
        }
        "alarm" => What::Alarm { code: text("code"), server: maybe("server") },
        _ => What::Refused { step: text("do"), server: maybe("server"), error: text("error") },
    };
    TraceLine { at_ms: number("at_ms"), what }
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
        let timeline = story.rsplit_once("00:00:00  ").map_or("", |(_, timeline)| timeline);
        assert!(timeline.lines().all(|line| line.chars().count() <= 80), "{name}:\n{story}");
    }
}
