//! The runner against a fake subject that records every call.

use std::collections::VecDeque;

use serde_json::{Value, json};

use super::*;

/// Records calls as text; gives prepared answers to `poll`, by time.
#[derive(Default)]
struct Fake {
    calls: Vec<String>,
    /// Due instant (ms) and what happens in the first poll from then on.
    script: VecDeque<(u64, Vec<Happening>)>,
    /// Instants (ms) that it asks for.
    wants: VecDeque<u64>,
    refuse: Option<&'static str>,
    refuse_answer: Option<&'static str>,
    /// Asks for another poll at once, always.
    stuck: bool,
}

impl Fake {
    fn ms(at_ns: u64) -> u64 {
        (at_ns - START_NS) / MS
    }
}

impl Subject for Fake {
    fn notify(&mut self, at_ns: u64, server: &str, event: EventKind) -> Result<(), Refusal> {
        self.calls.push(format!("{} {} {server}", Self::ms(at_ns), event.name()));
        self.refuse.map_or(Ok(()), |name| Err(name.to_owned()))
    }

    fn call(&mut self, at_ns: u64, call: &Call) -> Result<(), Refusal> {
        self.calls.push(format!("{} {} {}", Self::ms(at_ns), call.name(), call.server().unwrap_or("-")));
        self.refuse.map_or(Ok(()), |name| Err(name.to_owned()))
    }

    fn complete(&mut self, at_ns: u64, op: u64, failure: Option<&str>) -> Result<(), Refusal> {
        self.calls.push(format!("{} complete {op} {}", Self::ms(at_ns), failure.unwrap_or("ok")));
        self.refuse_answer.map_or(Ok(()), |name| Err(name.to_owned()))
    }

    fn poll(&mut self, now_ns: u64, utc_ms: i64) -> Result<Polled, String> {
        let now = Self::ms(now_ns);
        self.calls.push(format!("{now} poll {utc_ms}"));
        let mut happenings = Vec::new();
        while self.script.front().is_some_and(|(due, _)| *due <= now) {
            happenings.extend(self.script.pop_front().map(|(_, what)| what).unwrap_or_default());
        }
        while self.wants.front().is_some_and(|want| *want <= now) {
            self.wants.pop_front();
        }
        let next_ns = self.wants.front().map_or(u64::MAX, |want| instant_ns(*want));
        Ok(Polled { next_ns: if self.stuck { now_ns } else { next_ns }, happenings })
    }
}

fn scenario(host: Value, steps: Value) -> Scenario {
    let servers = json!([{"id": "a"}, {"id": "b"}]);
    let document = json!({
        "name": "test", "start_utc": "1970-01-01T00:00:00Z", "prepared": true, "until_ms": 1000, "host": host,
        "config": {"monitored_servers": servers}, "steps": steps,
    });
    Scenario::parse("test", &document.to_string()).unwrap()
}

fn calls(subject: &mut Fake, host: Value, steps: Value) -> Vec<String> {
    run(&scenario(host, steps), subject).unwrap();
    std::mem::take(&mut subject.calls)
}

fn begin(op: u64, operation: &str, server: &str) -> Happening {
    Happening::Begin { op, operation: operation.into(), server: server.into(), resumed: false }
}

#[test]
fn there_is_a_poll_at_time_zero_and_at_every_instant_asked_for() {
    let mut fake = Fake { wants: [5, 7, 1000, 1001].into(), ..Fake::default() };
    assert_eq!(calls(&mut fake, json!({}), json!([])), ["0 poll 0", "5 poll 5", "7 poll 7", "1000 poll 1000"]);
}

#[test]
fn steps_come_in_file_order_before_the_poll_and_repeat_up_to_their_end() {
    let steps = json!([
        {"from_ms": 10, "every_ms": 10, "until_ms": 30, "do": "keep_alive", "server": "b"},
        {"at_ms": 20, "do": "takeover", "server": "a"},
        {"at_ms": 10, "do": "connected", "server": "a"},
        {"at_ms": 1001, "do": "connected", "server": "a"},
    ]);
    let expected = [
        "0 poll 0",
        "10 keep_alive b",
        "10 connected a",
        "10 poll 10",
        "20 keep_alive b",
        "20 takeover a",
        "20 poll 20",
        "30 keep_alive b",
        "30 poll 30",
    ];
    assert_eq!(calls(&mut Fake::default(), json!({}), steps), expected);
}

#[test]
fn answers_come_after_their_delay_in_the_order_of_the_operations() {
    let script = [(0, vec![begin(7, "restore", "b"), begin(9, "takeover", "a")])].into();
    let mut fake = Fake { script, ..Fake::default() };
    let steps = json!([{"at_ms": 50, "do": "startup", "server": "a"}]);
    let expected = ["0 poll 0", "50 startup a", "50 complete 7 ok", "50 complete 9 ok", "50 poll 50"];
    assert_eq!(calls(&mut fake, json!({"takeover_ms": 50, "restore_ms": 50}), steps), expected);
}

#[test]
fn an_answer_without_delay_comes_in_the_same_instant() {
    let mut fake = Fake { script: [(0, vec![begin(7, "takeover", "a")])].into(), ..Fake::default() };
    assert_eq!(calls(&mut fake, json!({}), json!([])), ["0 poll 0", "0 complete 7 ok", "0 poll 0"]);
}

#[test]
fn silence_goes_before_failure_and_each_is_used_up() {
    let at = |ms, op| (ms, vec![begin(op, "takeover", "a")]);
    let mut fake = Fake { script: [at(0, 1), at(10, 2), at(20, 3)].into(), wants: [10, 20].into(), ..Fake::default() };
    let host = json!({
        "fail": [{"operation": "takeover", "server": "b"}, {"operation": "takeover", "server": "a", "error": "no"}],
        "never_answer": [{"operation": "takeover", "server": "a", "times": 1}],
    });
    let expected =
        ["0 poll 0", "10 poll 10", "10 complete 2 no", "10 poll 10", "20 poll 20", "20 complete 3 ok", "20 poll 20"];
    assert_eq!(calls(&mut fake, host, json!([])), expected);
}

#[test]
fn nothing_reaches_a_paused_subject_and_everything_at_the_end() {
    let mut fake =
        Fake { script: [(0, vec![begin(1, "takeover", "a")])].into(), wants: [30, 40].into(), ..Fake::default() };
    let steps = json!([
        {"at_ms": 20, "do": "startup", "server": "a"},
        {"at_ms": 20, "do": "pause", "ms": 50},
        {"at_ms": 20, "do": "connected", "server": "b"},
        {"from_ms": 25, "every_ms": 25, "until_ms": 75, "do": "keep_alive", "server": "a"},
    ]);
    let expected = [
        "0 poll 0",
        "20 startup a",
        "70 connected b",
        "70 keep_alive a",
        "70 keep_alive a",
        "70 complete 1 ok",
        "70 poll 70",
        "75 keep_alive a",
        "75 poll 75",
    ];
    assert_eq!(calls(&mut fake, json!({"takeover_ms": 60}), steps), expected);
}

#[test]
fn a_pause_that_loses_events_loses_no_calls_and_not_the_event_at_its_end() {
    let steps = json!([
        {"at_ms": 20, "do": "pause", "ms": 50, "lost": true},
        {"from_ms": 60, "every_ms": 10, "until_ms": 70, "do": "keep_alive", "server": "a"},
        {"at_ms": 65, "do": "takeover", "server": "a"},
    ]);
    let expected = ["0 poll 0", "70 takeover a", "70 keep_alive a", "70 poll 70"];
    assert_eq!(calls(&mut Fake::default(), json!({}), steps), expected);
}

#[test]
fn a_pause_past_the_end_ends_the_run() {
    let steps = json!([{"at_ms": 20, "do": "pause", "ms": 5000}, {"at_ms": 30, "do": "connected", "server": "a"}]);
    assert_eq!(calls(&mut Fake::default(), json!({}), steps), ["0 poll 0"]);
}

#[test]
fn a_jump_of_the_wall_clock_moves_only_utc() {
    let steps = json!([{"at_ms": 20, "do": "utc_jump", "ms": -500}]);
    assert_eq!(calls(&mut Fake::default(), json!({}), steps), ["0 poll 0", "20 poll -480"]);
}

#[test]
fn refused_calls_are_lines_and_come_first() {
    let alarm = Happening::Line(What::Alarm { code: "x".into(), server: None });
    let mut fake = Fake { refuse: Some("VMSF_ERR_STATE"), script: [(5, vec![alarm])].into(), ..Fake::default() };
    let steps = json!([{"at_ms": 5, "do": "cancel", "server": "a"}, {"at_ms": 5, "do": "configure", "config": {}}]);
    let trace = run(&scenario(json!({}), steps), &mut fake).unwrap();
    let lines: Vec<String> = trace.iter().map(TraceLine::to_json).collect();
    let expected = [
        r#"{"at_ms":5,"kind":"refused","do":"cancel","server":"a","error":"VMSF_ERR_STATE"}"#,
        r#"{"at_ms":5,"kind":"refused","do":"configure","error":"VMSF_ERR_STATE"}"#,
        r#"{"at_ms":5,"kind":"alarm","code":"x"}"#,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn operations_are_numbered_from_one_in_the_trace() {
    let completed = |op| {
        let (operation, server, outcome) = ("takeover".into(), "a".into(), "ok".into());
        Happening::Line(What::Completed { operation, op, server, outcome })
    };
    let happenings = vec![begin(4711, "takeover", "a"), completed(4711), begin(17, "restore", "a"), completed(4711)];
    let mut fake = Fake { script: [(0, happenings)].into(), ..Fake::default() };
    let trace = run(&scenario(json!({}), json!([])), &mut fake).unwrap();
    let ops: Vec<Value> = trace.iter().map(|line| line.to_map()["op"].clone()).collect();
    assert_eq!(ops, [1, 1, 2, 1]);
}

#[test]
fn an_answer_to_an_operation_that_was_given_up_is_no_fault_any_other_refusal_is() {
    let fake = |name| Fake {
        script: [(3, vec![begin(7, "takeover", "a")])].into(),
        wants: [3].into(),
        refuse_answer: Some(name),
        ..Fake::default()
    };
    assert!(run(&scenario(json!({}), json!([])), &mut fake("VMSF_ERR_NOT_FOUND")).is_ok());
    let error = run(&scenario(json!({}), json!([])), &mut fake("VMSF_ERR_PANIC")).unwrap_err();
    assert_eq!(error.to_string(), "at 3 ms: the answer to operation 7 was refused: VMSF_ERR_PANIC");
    assert_eq!(error.trace.len(), 1);
}

#[test]
fn a_subject_that_never_lets_time_go_on_is_found_out() {
    let mut fake = Fake { stuck: true, ..Fake::default() };
    let error = run(&scenario(json!({}), json!([])), &mut fake).unwrap_err();
    assert!(error.what.contains("10000 polls within one millisecond"), "{error}");
    assert_eq!(fake.calls.len(), POLLS_PER_MS as usize);
}
