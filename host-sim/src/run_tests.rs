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
    /// What each life tells at its end.
    last_words: Vec<Happening>,
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

    fn befall(&mut self, at_ns: u64, mishap: &Mishap) -> Result<Vec<Happening>, String> {
        self.calls.push(format!("{} {}", Self::ms(at_ns), mishap.name()));
        Ok(if *mishap == Mishap::Restart { self.last_words.clone() } else { Vec::new() })
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
    Happening::Begin { op, operation: operation.into(), server: Some(server.into()), resumed: false }
}

fn resumed(op: u64, operation: &str, server: &str) -> Happening {
    Happening::Begin { op, operation: operation.into(), server: Some(server.into()), resumed: true }
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
        let (operation, server, outcome) = ("takeover".into(), Some("a".into()), "ok".into());
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

#[test]
fn a_new_life_drops_the_answers_still_due_and_is_polled_at_the_same_instant() {
    for life in ["restart", "crash"] {
        let script = [(0, vec![begin(7, "takeover", "a")]), (20, vec![resumed(7, "takeover", "a")])].into();
        let mut fake = Fake { script, wants: [500].into(), ..Fake::default() };
        let steps = json!([
            {"at_ms": 20, "do": "startup", "server": "a"},
            {"at_ms": 20, "do": life},
            {"at_ms": 20, "do": "connected", "server": "b"},
        ]);
        let restarted = format!("20 {life}");
        let expected = [
            "0 poll 0",
            "20 startup a",
            &restarted,
            "20 connected b",
            "20 poll 20",
            "40 complete 7 ok",
            "40 poll 40",
            "500 poll 500",
        ];
        assert_eq!(
            calls(&mut fake, json!({"takeover_ms": 20}), steps),
            expected,
            "an answer due at that instant is dropped"
        );
    }
}

#[test]
fn an_operation_keeps_its_number_over_all_lives() {
    let script = [
        (0, vec![begin(7, "takeover", "a"), begin(9, "backup", "b")]),
        (20, vec![resumed(9, "backup", "b"), resumed(7, "takeover", "a"), begin(50_000, "backup", "a")]),
    ];
    let mut fake = Fake { script: script.into(), ..Fake::default() };
    let trace =
        run(&scenario(json!({"takeover_ms": 900, "backup_ms": 900}), json!([{"at_ms": 20, "do": "crash"}])), &mut fake);
    let lines: Vec<String> = trace.unwrap().iter().map(TraceLine::to_json).collect();
    let expected = [
        r#"{"at_ms":0,"kind":"operation","operation":"takeover","op":1,"server":"a"}"#,
        r#"{"at_ms":0,"kind":"operation","operation":"backup","op":2,"server":"b"}"#,
        r#"{"at_ms":20,"kind":"operation","operation":"backup","op":2,"server":"b","resumed":true}"#,
        r#"{"at_ms":20,"kind":"operation","operation":"takeover","op":1,"server":"a","resumed":true}"#,
        r#"{"at_ms":20,"kind":"operation","operation":"backup","op":3,"server":"a"}"#,
    ];
    assert_eq!(lines, expected);
}

#[test]
fn last_words_stand_after_the_refused_calls_and_what_they_begin_is_never_answered() {
    let alarm = Happening::Line(What::Alarm { code: "x".into(), server: None });
    let mut fake =
        Fake { refuse: Some("VMSF_ERR_STATE"), last_words: vec![alarm, begin(7, "takeover", "a")], ..Fake::default() };
    let steps = json!([
        {"at_ms": 5, "do": "restart"},
        {"at_ms": 5, "do": "cancel", "server": "a"},
        {"at_ms": 5, "do": "pause", "ms": 100},
    ]);
    let trace = run(&scenario(json!({}), steps), &mut fake).unwrap();
    let lines: Vec<String> = trace.iter().map(TraceLine::to_json).collect();
    let expected = [
        r#"{"at_ms":5,"kind":"refused","do":"cancel","server":"a","error":"VMSF_ERR_STATE"}"#,
        r#"{"at_ms":5,"kind":"alarm","code":"x"}"#,
        r#"{"at_ms":5,"kind":"operation","operation":"takeover","op":1,"server":"a"}"#,
    ];
    assert_eq!(lines, expected);
    assert_eq!(fake.calls, ["0 poll 0", "5 restart", "5 cancel a", "105 poll 105"]);
}

#[test]
fn a_mishap_that_cannot_befall_the_subject_ends_the_run() {
    struct Plain;
    impl Subject for Plain {
        fn notify(&mut self, _: u64, _: &str, _: EventKind) -> Result<(), Refusal> {
            Ok(())
        }
        fn call(&mut self, _: u64, _: &Call) -> Result<(), Refusal> {
            Ok(())
        }
        fn complete(&mut self, _: u64, _: u64, _: Option<&str>) -> Result<(), Refusal> {
            Ok(())
        }
        fn poll(&mut self, _: u64, _: i64) -> Result<Polled, String> {
            Ok(Polled { next_ns: u64::MAX, happenings: Vec::new() })
        }
    }
    let error = run(&scenario(json!({}), json!([{"at_ms": 5, "do": "crash"}])), &mut Plain).unwrap_err();
    assert_eq!(error.to_string(), "at 5 ms: step 1: `crash` is nothing that can befall this subject");
}

#[test]
fn operations_on_no_server_have_their_exceptions_too() {
    let join = |op| Happening::Begin { op, operation: "join_cluster".into(), server: None, resumed: false };
    let script = [(0, vec![join(1)]), (10, vec![join(2)]), (20, vec![join(3)])].into();
    let mut fake = Fake { script, wants: [10, 20].into(), ..Fake::default() };
    let host = json!({
        "fail": [{"operation": "join_cluster", "error": "no such cluster"}],
        "never_answer": [{"operation": "join_cluster"}],
    });
    let expected = [
        "0 poll 0",
        "10 poll 10",
        "10 complete 2 no such cluster",
        "10 poll 10",
        "20 poll 20",
        "20 complete 3 ok",
        "20 poll 20",
    ];
    assert_eq!(calls(&mut fake, host, json!([])), expected);
}

#[test]
fn every_call_of_the_format_reaches_the_subject() {
    let steps = json!([
        {"at_ms": 1, "do": "cluster_joined", "actor": "alice"},
        {"at_ms": 2, "do": "authorize", "server": "a"},
        {"at_ms": 3, "do": "backup", "server": "b", "actor": "alice"},
        {"at_ms": 4, "do": "backup_all"},
        {"at_ms": 5, "do": "deauthorize", "server": "a"},
        {"at_ms": 6, "do": "cluster_left"},
        {"at_ms": 7, "do": "corrupt_backup", "server": "a"},
        {"at_ms": 8, "do": "corrupt_state"},
    ]);
    let made = calls(&mut Fake::default(), json!({}), steps);
    let made: Vec<&str> = made.iter().map(String::as_str).filter(|call| !call.contains("poll")).collect();
    let expected = [
        "1 cluster_joined -",
        "2 authorize a",
        "3 backup b",
        "4 backup_all -",
        "5 deauthorize a",
        "6 cluster_left -",
        "7 corrupt_backup",
        "8 corrupt_state",
    ];
    assert_eq!(made, expected);
}
