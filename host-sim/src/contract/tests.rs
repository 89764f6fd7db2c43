//! Traces written by hand: what no real host can bring the plugin to, and what is no trace.

use super::*;
use read::Bad;

const HEAD: &str = r#"{"trace":1,"process":7,"at_ns":1}"#;
const END: &str = r#"{"end":"no instance is left","at_ns":99000000000}"#;
/// An instance: created, told of the cluster, started.
const CREATED: &str = r#"{"call":"create","n":1,"thread":1,"begin_ns":2,"end_ns":3,"result":"VMSF_OK","plugin":"5a"}
{"call":"cluster","n":2,"plugin":"5a","thread":1,"begin_ns":4,"end_ns":5,"result":"VMSF_OK"}
{"call":"start","n":3,"plugin":"5a","thread":1,"begin_ns":6,"end_ns":7,"result":"VMSF_OK"}"#;
const ENDED: &str = r#"{"call":"stop","n":90,"plugin":"5a","thread":1,"begin_ns":90000000000,"end_ns":90000000001,"result":"VMSF_OK"}
{"call":"destroy","n":91,"plugin":"5a","thread":1,"begin_ns":90000000002,"end_ns":90000000003,"result":"VMSF_OK"}"#;

fn verdict(parts: &[&str], killed: bool) -> Verdict {
    let text = parts.join("\n") + "\n";
    judge(&read::read(text.as_bytes()).unwrap(), killed)
}

fn broken(parts: &[&str]) -> Vec<(&'static str, usize)> {
    let verdict = verdict(parts, false);
    verdict.broken().into_iter().map(|(rule, places)| (rule.name, places[0].line)).collect()
}

#[test]
fn a_life_without_a_fault_breaks_nothing() {
    assert_eq!(broken(&[HEAD, CREATED, ENDED, END]), []);
}

#[test]
fn a_callback_that_never_returns_is_told_and_one_that_had_just_begun_is_not() {
    let entered = r#"{"enter":"event","n":9,"plugin":"5a","thread":4,"at_ns":9000000000}"#;
    let stuck = [("callback-never-returned", 5)];
    assert_eq!(broken(&[HEAD, CREATED, entered, ENDED, END]), stuck);
    let returned = r#"{"callback":"event","n":9,"plugin":"5a","thread":4,"begin_ns":9000000000,"end_ns":9000000001}"#;
    assert_eq!(broken(&[HEAD, CREATED, entered, returned, ENDED, END]), []);
    let late = r#"{"enter":"event","n":9,"plugin":"5a","thread":4,"at_ns":98900000000}"#;
    assert_eq!(broken(&[HEAD, CREATED, ENDED, late, END]), []);
}

#[test]
fn an_operation_of_an_unknown_kind_is_to_be_answered_as_unsupported() {
    let begun = r#"{"callback":"begin","n":9,"plugin":"5a","thread":4,"begin_ns":10,"end_ns":11,"kind":77,"op":3}"#;
    let answer = |outcome: u32| {
        format!(
            r#"{{"call":"complete","n":10,"plugin":"5a","thread":4,"begin_ns":12,"end_ns":13,"result":"VMSF_OK","op":3,"outcome":{outcome},"secret_len":0}}"#
        )
    };
    let unknown = [("unknown-operation", 5)];
    assert_eq!(broken(&[HEAD, CREATED, begun, ENDED, END]), unknown);
    assert_eq!(broken(&[HEAD, CREATED, begun, &answer(0), ENDED, END]), unknown);
    assert_eq!(broken(&[HEAD, CREATED, begun, &answer(2), ENDED, END]), []);
}

#[test]
fn a_poisoned_instance_is_to_be_replaced() {
    let event =
        r#"{"callback":"event","n":9,"plugin":"5a","thread":4,"begin_ns":10,"end_ns":11,"kind":12,"code":"poisoned"}"#;
    let call = r#"{"call":"config","n":9,"plugin":"5a","thread":4,"begin_ns":10,"end_ns":11,"result":"VMSF_ERR_PANIC"}
{"call":"last_error","n":10,"plugin":"5a","thread":4,"begin_ns":12,"end_ns":13,"result":"VMSF_OK"}"#;
    let another = r#"{"call":"create","n":92,"thread":1,"begin_ns":90000000004,"end_ns":90000000005,"result":"VMSF_OK","plugin":"5b"}
{"call":"destroy","n":93,"plugin":"5b","thread":1,"begin_ns":90000000006,"end_ns":90000000007,"result":"VMSF_OK"}"#;
    for poisoned in [event, call] {
        assert_eq!(broken(&[HEAD, CREATED, poisoned, ENDED, END]), [("poisoned-not-replaced", 5)]);
        assert_eq!(broken(&[HEAD, CREATED, poisoned, ENDED, another, END]), []);
    }
}

#[test]
fn an_operation_that_comes_again_after_a_start_may_be_answered_again() {
    let begun = |n: u32, at: u32| {
        format!(
            r#"{{"callback":"begin","n":{n},"plugin":"5a","thread":4,"begin_ns":{at},"end_ns":{at},"kind":1,"op":3}}"#
        )
    };
    let answer = |n: u32, at: u32| {
        format!(
            r#"{{"call":"complete","n":{n},"plugin":"5a","thread":4,"begin_ns":{at},"end_ns":{at},"result":"VMSF_OK","op":3,"outcome":0}}"#
        )
    };
    assert_eq!(
        broken(&[HEAD, CREATED, &begun(9, 10), &answer(10, 12), &begun(11, 14), &answer(12, 16), ENDED, END]),
        []
    );
    let twice = broken(&[HEAD, CREATED, &begun(9, 10), &answer(10, 12), &answer(12, 16), ENDED, END]);
    assert_eq!(twice, [("answered-twice", 7)]);
}

#[test]
fn a_driving_host_that_never_polls_is_told() {
    let driven = CREATED.replace(r#""plugin":"5a"}"#, r#""plugin":"5a","drives":true}"#);
    assert_eq!(broken(&[HEAD, &driven, ENDED, END]), [("poll-late", 4)]);
}

#[test]
fn what_is_missing_from_a_trace_that_is_not_whole_is_no_fault() {
    assert_eq!(broken(&[HEAD, CREATED]), [("not-stopped", 4)]);
    for gap in [r#"{"lost":5,"at_ns":8}"#, r#"{"cut":"a trace has at most 67108864 bytes"}"#] {
        let verdict = verdict(&[HEAD, CREATED, gap], false);
        assert!(verdict.findings.is_empty() && verdict.incomplete.is_some(), "{verdict:?}");
        let shown = in_words(&verdict);
        assert!(shown.contains("line 5"), "{shown}");
    }
    assert!(verdict(&[HEAD, CREATED], true).findings.is_empty(), "killed on purpose");
}

#[test]
fn each_process_of_a_file_is_judged_for_itself() {
    let other = HEAD.replace(":7", ":8");
    assert_eq!(broken(&[HEAD, CREATED, ENDED, END, &other, CREATED]), [("not-stopped", 11)]);
    // The same process goes on.
    assert_eq!(broken(&[HEAD, CREATED, END, HEAD, ENDED, END]), []);
}

#[test]
fn what_is_no_trace_is_refused_with_its_line() {
    let bad = |text: &str| read::read(text.as_bytes()).unwrap_err();
    let cases = [
        ("", 1, "is empty"),
        ("\n", 1, "no line of a trace"),
        ("garbage\n", 1, "no line of a trace"),
        ("{\"trace\":2,\"process\":1,\"at_ns\":1}\n", 1, "has format 2"),
        ("{\"trace\":1}\n", 1, "`process` is missing"),
        ("{\"end\":\"x\"}\n", 1, "the first line"),
    ];
    for (text, line, words) in cases {
        let Bad { line: at, text: said } = bad(text);
        assert!(at == line && said.contains(words), "{text:?}: {at}: {said}");
    }
    let lines = [
        (r#"{"call":"stop","n":1,"thread":1,"begin_ns":5,"end_ns":4,"result":"VMSF_OK"}"#, "ends before it begins"),
        (r#"{"call":"stop","n":1,"thread":1,"begin_ns":5,"end_ns":6}"#, "`result` is missing"),
        (r#"{"call":"stop","callback":"event","n":1}"#, "one of"),
        (r#"{"call":"stop","n":-1}"#, "no line of a trace"),
        (r#"{"enter":"stop","n":1,"thread":1}"#, "`at_ns` is missing"),
        ("\u{0}\u{1}", "no line of a trace"),
        ("[]", "one of"),
    ];
    for (line, words) in lines {
        let Bad { line: at, text: said } = bad(&format!("{HEAD}\n{line}\n{END}\n"));
        assert!(at == 2 && said.contains(words), "{line}: {at}: {said}");
    }
    let cut = bad(&format!("{HEAD}\n{}", &CREATED[..40]));
    assert!(cut.line == 2 && cut.text.contains("cut off"), "{cut}");
}

#[test]
fn every_rule_has_a_name_of_its_own_and_says_why_and_what_to_do() {
    for (index, rule) in ALL.iter().enumerate() {
        let word = |name: &str| name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'-');
        assert!(word(rule.name) && rule.why.len() > 80 && rule.why.ends_with(['.', ')']), "{}", rule.name);
        assert!(ALL[..index].iter().all(|other| other.name != rule.name), "{}", rule.name);
        assert!(std::ptr::eq(rules::named(rule.name).unwrap(), rule));
    }
}
