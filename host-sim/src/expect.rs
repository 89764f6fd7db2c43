//! Matches the expected lines of a scenario against its trace, and says readably what is missing.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use crate::trace::TraceLine;

/// The first expected line that is not in the trace where it must be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missed {
    /// Its index in `expect`.
    pub index: usize,
    /// How many lines are expected.
    pub total: usize,
    /// What is missing, and what is there instead, in lines of text.
    pub text: String,
}

/// How many candidates a difference shows.
const SHOWN: usize = 5;

/// Matches every expected line, in order, on the keys that it gives. Gives for each the index of its trace line.
///
/// # Errors
/// The first that is missing.
pub fn check(expect: &[Map<String, Value>], trace: &[TraceLine]) -> Result<Vec<usize>, Missed> {
    let lines: Vec<Map<String, Value>> = trace.iter().map(TraceLine::to_map).collect();
    let mut matched = Vec::with_capacity(expect.len());
    let mut from = 0;
    for (index, wanted) in expect.iter().enumerate() {
        match lines[from..].iter().position(|line| matches(wanted, line)) {
            Some(offset) => {
                matched.push(from + offset);
                from += offset + 1;
            }
            None => {
                let text = difference(index, wanted, &matched, trace, &lines);
                return Err(Missed { index, total: expect.len(), text });
            }
        }
    }
    Ok(matched)
}

fn matches(wanted: &Map<String, Value>, line: &Map<String, Value>) -> bool {
    wanted.iter().all(|(key, value)| line.get(key) == Some(value))
}

fn difference(
    index: usize,
    wanted: &Map<String, Value>,
    matched: &[usize],
    trace: &[TraceLine],
    lines: &[Map<String, Value>],
) -> String {
    let from = matched.last().map_or(0, |last| last + 1);
    let mut out = format!("/expect/{index} is missing: {}", Value::Object(wanted.clone()));
    match matched.last() {
        Some(last) => _ = write!(out, "\n  after line {}:        {}", last + 1, trace[*last].to_json()),
        None => _ = write!(out, "\n  among all {} lines", trace.len()),
    }
    if let Some(early) = lines[..from].iter().position(|line| matches(wanted, line)) {
        let taken = if matched.contains(&early) { ", where another expected line has it" } else { "" };
        _ = write!(out, "\n  it stands earlier, on line {}{taken}", early + 1);
    }
    let near = nearest(wanted, &lines[from..]);
    if near.is_empty() {
        _ = write!(out, "\n  nothing comes after it");
    }
    for offset in near {
        let at = from + offset;
        _ = write!(out, "\n  line {} differs in {}: {}", at + 1, differing(wanted, &lines[at]), trace[at].to_json());
    }
    out
}

/// The lines most like the wanted one, in trace order.
fn nearest(wanted: &Map<String, Value>, lines: &[Map<String, Value>]) -> Vec<usize> {
    let score = |line: &Map<String, Value>| {
        let shared = wanted.iter().filter(|(key, value)| line.get(*key) == Some(value)).count();
        let same_kind = usize::from(wanted.get("kind") == line.get("kind"));
        shared + 2 * same_kind
    };
    let mut order: Vec<usize> = (0..lines.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(score(&lines[*at])));
    order.truncate(SHOWN);
    order.sort_unstable();
    order
}

fn differing(wanted: &Map<String, Value>, line: &Map<String, Value>) -> String {
    let keys = wanted.iter().filter(|(key, value)| line.get(*key) != Some(value)).map(|(key, _)| key.as_str());
    keys.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trace::What;

    fn trace() -> Vec<TraceLine> {
        let health = |at_ms, to: &str| TraceLine {
            at_ms,
            what: What::Health { server: "a".into(), from: "x".into(), to: to.into(), reason: None },
        };
        let alarm = TraceLine { at_ms: 3, what: What::Alarm { code: "never_seen".into(), server: Some("b".into()) } };
        vec![health(1, "connected"), health(2, "started"), alarm, health(5, "failed")]
    }

    fn expect(lines: &str) -> Vec<Map<String, Value>> {
        serde_json::from_str(lines).unwrap()
    }

    #[test]
    fn lines_match_in_order_on_the_keys_given() {
        let all = expect(r#"[{"kind":"health","to":"started"},{"kind":"alarm"},{"at_ms":5}]"#);
        assert_eq!(check(&all, &trace()), Ok(vec![1, 2, 3]));
        assert_eq!(check(&[], &trace()), Ok(vec![]));
    }

    #[test]
    fn one_trace_line_serves_one_expected_line() {
        let twice = expect(r#"[{"kind":"alarm"},{"kind":"alarm"}]"#);
        let missed = check(&twice, &trace()).unwrap_err();
        assert_eq!((missed.index, missed.total), (1, 2));
        assert!(
            missed.text.contains("it stands earlier, on line 3, where another expected line has it"),
            "{}",
            missed.text
        );
    }

    #[test]
    fn a_miss_shows_where_it_looked_and_what_differs() {
        let wrong = expect(r#"[{"kind":"alarm"},{"kind":"health","at_ms":6,"to":"failed"}]"#);
        let text = check(&wrong, &trace()).unwrap_err().text;
        assert_eq!(
            text,
            "/expect/1 is missing: {\"at_ms\":6,\"kind\":\"health\",\"to\":\"failed\"}\n  \
             after line 3:        {\"at_ms\":3,\"kind\":\"alarm\",\"code\":\"never_seen\",\"server\":\"b\"}\n  \
             line 4 differs in at_ms: {\"at_ms\":5,\"kind\":\"health\",\"server\":\"a\",\"from\":\"x\",\"to\":\"failed\"}"
        );
    }

    #[test]
    fn a_line_out_of_order_is_missed() {
        let wrong = expect(r#"[{"to":"failed"},{"to":"connected"}]"#);
        let text = check(&wrong, &trace()).unwrap_err().text;
        assert!(text.contains("it stands earlier, on line 1\n"), "{text}");
        assert!(text.contains("nothing comes after it"), "{text}");
    }

    #[test]
    fn an_empty_trace_is_told() {
        let text = check(&expect(r#"[{"to":"failed"}]"#), &[]).unwrap_err().text;
        assert!(text.contains("among all 0 lines"), "{text}");
    }
}
