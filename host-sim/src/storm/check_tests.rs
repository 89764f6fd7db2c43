//! The checker by itself: facts as a host would tell them, and the faults that it must find in them.

use super::*;

fn begin(op: u64, operation: &str, server: &str, resumed: bool) -> Fact {
    use super::super::fact::Handed;
    let secret = match operation {
        "authorize" | "join_cluster" => Handed::Credentials("x".into()),
        _ => Handed::Token(100),
    };
    let folder = |wanted: &str| (operation == wanted).then(|| format!("/backups/{server}/file"));
    Fact::Begin(Begin {
        op,
        operation: operation.into(),
        server: server.into(),
        resumed,
        actor: "x".into(),
        secret,
        file: folder("backup"),
        archive: folder("takeover"),
    })
}

/// Servers a and b have been authorized by operation 100.
fn checker() -> Checker {
    let mut checker = Checker::default();
    checker.access.calling("join");
    checker.access.called("join");
    for server in ["a", "b"] {
        checker.access.answering(100, "authorize", server);
    }
    checker
}

fn faults(lives: &[&[Fact]]) -> Vec<String> {
    let mut checker = checker();
    for life in lives {
        checker.begin_life();
        life.iter().cloned().for_each(|fact| checker.take(fact));
    }
    checker.faults().to_vec()
}

fn answered(op: u64) -> [Fact; 2] {
    [Fact::Answering { op, ok: true }, Fact::Answered { op }]
}

fn over(seq: u64, op: u64) -> Fact {
    Fact::Event { seq, json: format!(r#"{{"seq":{seq},"code":"completed","details":{{"op":{op},"outcome":"ok"}}}}"#) }
}

#[test]
fn a_takeover_resumed_answered_and_restored_is_right() {
    let [answering, done] = answered(1);
    let [restoring, restored] = answered(2);
    let second = [begin(1, "takeover", "a", true), answering, done, over(1, 1), begin(2, "restore", "a", false)];
    let third = [started(1), restoring, restored, over(2, 2), begin(3, "takeover", "b", false)];
    assert_eq!(faults(&[&[begin(1, "takeover", "a", false)], &second, &third]), [] as [&str; 0]);
}

#[test]
fn an_answer_cut_off_by_a_kill_may_count_or_not() {
    let first = [begin(1, "takeover", "a", false), Fact::Answering { op: 1, ok: true }];
    assert_eq!(faults(&[&first, &[begin(1, "takeover", "a", true)]]), [] as [&str; 0]);
    assert_eq!(faults(&[&first, &[begin(2, "restore", "a", false)]]), [] as [&str; 0]);
    assert_eq!(faults(&[&first, &[begin(2, "takeover", "b", false)]]).len(), 1, "a is taken over");
}

#[test]
fn operations_of_different_servers_run_side_by_side_and_those_of_one_do_not() {
    let side_by_side =
        [begin(1, "takeover", "a", false), begin(2, "backup", "b", false), begin(3, "join_cluster", "", false)];
    assert_eq!(faults(&[&side_by_side]), [] as [&str; 0]);
    let one = [begin(1, "backup", "a", false), begin(2, "authorize", "a", false)];
    assert_eq!(faults(&[&one]).len(), 1);
    let [answering, answered] = answered(1);
    let published = [
        begin(1, "backup", "a", false),
        answering.clone(),
        answered.clone(),
        over(1, 1),
        begin(2, "backup", "a", false),
    ];
    assert_eq!(faults(&[&published]), [] as [&str; 0]);
    let not_yet = [begin(1, "backup", "a", false), answering, answered, begin(2, "backup", "a", false)];
    assert_eq!(faults(&[&not_yet]).len(), 1, "it is not published");
}

#[test]
fn what_must_never_be_is_found() {
    let [answering, done] = answered(1);
    let answered = [begin(1, "takeover", "a", false), answering, done];
    let event = |seq| Fact::Event { seq, json: "{}".into() };
    let refused = |op| Fact::AnswerRefused { op, error: "VMSF_ERR_NOT_FOUND".into() };
    let elsewhere = |fact| match fact {
        Fact::Begin(begin) => Fact::Begin(Begin { file: Some("/backups/b/file".into()), ..begin }),
        other => other,
    };
    let calling = |call: &str| Fact::Calling { call: call.into(), server: "c".into(), actor: "x".into() };
    let accepted = Fact::Accepted { actor: "x".into(), request: Some(7) };
    let alarm = Fact::Event { seq: 1, json: r#"{"seq":1,"code":"state_damaged"}"#.into() };
    let wrong: [(&[&[Fact]], &str); 15] = [
        (&[&[begin(1, "takeover", "a", false), begin(2, "takeover", "b", false)]], "has the slot"),
        (&[&answered, &[begin(1, "takeover", "a", true)]], "after its answer"),
        (&[&answered, &[begin(2, "takeover", "b", false)]], "is taken over"),
        (&[&[begin(1, "takeover", "a", false)], &[begin(1, "takeover", "a", false)]], "begun again as"),
        (&[&[begin(1, "backup", "a", false)], &[begin(1, "backup", "b", true)]], "begun again as"),
        (&[&[begin(1, "authorize", "a", false)], &[begin(1, "authorize", "a", true)]], "begun again as"),
        (&[&[event(1)], &[event(1)]], "given before"),
        (&[&[event(1), event(3)]], "came after"),
        (&[&[started(4), event(6)]], "came after"),
        (&[&[alarm]], "no kill may"),
        (&[&[begin(1, "takeover", "a", false), refused(1)]], "refused"),
        (&[&[begin(1, "backup", "c", false)]], "came with the token"),
        (&[&[elsewhere(begin(1, "backup", "a", false))]], "has the file"),
        (&[&[calling("backup"), accepted]], "lacks the cluster"),
        (&[&[calling("cancel"), Fact::Refused { actor: "x".into(), error: "VMSF_ERR_IO".into() }]], "was refused with"),
    ];
    for (lives, expected) in wrong {
        let found = faults(lives);
        assert!(found.iter().any(|fault| fault.contains(expected)), "{expected}: {found:?}");
    }
}

fn started(last_seq: u64) -> Fact {
    Fact::Started { servers: Vec::new(), last_seq }
}

/// What a start finds: who has the slot, and who waits for it.
fn found(holder: Option<&str>, queue: &[&str]) -> Fact {
    let authorized = vec!["a".into(), "b".into()];
    let queue = queue.iter().map(|id| (*id).to_owned()).collect();
    Fact::Found { joined: true, authorized, holder: holder.map(str::to_owned), queue }
}

#[test]
fn whoever_has_the_slot_still_has_it_at_the_next_start() {
    let begun = [begin(1, "takeover", "a", false)];
    let [answering, done] = answered(1);
    let taken_over = [begin(1, "takeover", "a", false), answering.clone(), done];
    let open = [begin(1, "takeover", "a", false), answering];
    let starts = |first: &[Fact], holder| faults(&[first, &[started(0), found(holder, &[])]]).len();
    for first in [&begun[..], &taken_over] {
        assert_eq!((starts(first, Some("a")), starts(first, None), starts(first, Some("b"))), (0, 1, 1));
    }
    assert_eq!((starts(&open, Some("a")), starts(&open, None)), (0, 0), "the answer may count or not");
    assert_eq!(starts(&[], Some("b")), 0, "a takeover may have begun that nobody was told of");
    let later = [started(0), found(Some("a"), &[]), found(None, &[])];
    assert_eq!(faults(&[&begun, &later]).len(), 0, "only at a start");
}

#[test]
fn whoever_waits_for_the_slot_still_waits_at_the_next_start() {
    let queued = r#"{"seq":1,"code":"takeover","server":"a","actor":"x","details":{"from":"none","to":"queued"}}"#;
    let mut first = accepted("takeover", "x");
    first.push(Fact::Event { seq: 1, json: queued.into() });
    let starts = |between: &[Fact], queue: &[&str]| {
        let first: Vec<Fact> = first.iter().chain(between).cloned().collect();
        faults(&[&first, &[started(1), found(None, queue)]]).len()
    };
    assert_eq!((starts(&[], &["a"]), starts(&[], &[])), (0, 1));
    let heard = Fact::Heard { server: "a".into() };
    assert_eq!(starts(&[heard], &[]), 1, "an operator wants it");
    assert_eq!(starts(&accepted("cancel", "y"), &[]), 0);
    assert_eq!(starts(&accepted("cancel", "y")[..1], &[]), 0, "a kill in the call leaves it open");
}

#[test]
fn a_kill_hits_what_has_been_told_of_and_is_not_over() {
    let mut checker = checker();
    checker.begin_life();
    assert_eq!(checker.in_flight(), [Kind::Start].into());
    checker.take(started(0));
    for fact in [begin(1, "takeover", "a", false), begin(2, "backup", "b", false)] {
        checker.take(fact);
    }
    assert_eq!(checker.in_flight(), [Kind::Backup, Kind::Takeover].into());
    answered(2).into_iter().for_each(|fact| checker.take(fact));
    checker.take(Fact::Configuring { servers: Vec::new() });
    checker.killed();
    checker.take(over(1, 1));
    checker.take(over(2, 2));
    assert_eq!(checker.in_flight(), [Kind::Reconfiguration].into());
    let hits = &checker.figures.hits;
    assert_eq!(hits.keys().copied().collect::<Vec<_>>(), [Kind::Reconfiguration, Kind::Publish, Kind::Takeover]);
}

/// The faults at the end of one life with these facts and this log.
fn faults_at_the_end(facts: Vec<Fact>, log: &[&str]) -> Vec<String> {
    let mut checker = checker();
    checker.begin_life();
    facts.into_iter().for_each(|fact| checker.take(fact));
    let numbered = |(n, rest): (usize, &&str)| Fact::Logged { json: format!(r#"{{"seq":{},{rest}}}"#, n + 1) };
    log.iter().enumerate().map(numbered).for_each(|fact| checker.take(fact));
    checker.take(Fact::Ended {});
    checker.end();
    checker.faults().to_vec()
}

fn accepted(call: &str, actor: &str) -> Vec<Fact> {
    let (server, actor) = ("a".to_owned(), actor.to_owned());
    vec![Fact::Calling { call: call.into(), server, actor: actor.clone() }, Fact::Accepted { actor, request: None }]
}

#[test]
fn a_lost_call_and_a_lost_entry_are_found_at_the_end() {
    let mut facts = accepted("cancel", "x");
    facts.push(started(1));
    facts.push(Fact::Event { seq: 2, json: r#"{"seq":2}"#.into() });
    assert_eq!(faults_at_the_end(facts, &[r#""code":"other""#]).len(), 2);
    let gone = faults_at_the_end(Vec::new(), &[r#""code":"other""#, r#""seq":7"#]);
    assert_eq!(gone.len(), 1, "{gone:?}");
}

#[test]
fn an_accepted_call_has_its_own_end_or_was_overtaken() {
    let queued = r#""code":"takeover","actor":"x","details":{"from":"none","to":"queued"}"#;
    assert_eq!(faults_at_the_end(accepted("takeover", "x"), &[queued]), [""; 0]);
    assert_eq!(faults_at_the_end(accepted("restore", "x"), &[queued]).len(), 1);
    assert_eq!(faults_at_the_end(accepted("restore", "x"), &[r#""code":"overtaken","actor":"x""#]), [""; 0]);
}

#[test]
fn an_operation_ends_as_it_was_answered() {
    let ended = |outcome: &str| format!(r#""code":"completed","details":{{"op":1,"outcome":"{outcome}"}}"#);
    let answered =
        |ok| vec![begin(1, "authorize", "a", false), Fact::Answering { op: 1, ok }, Fact::Answered { op: 1 }];
    for (ok, outcome, fits) in [
        (true, "ok", true),
        (true, "failed", false),
        (true, "superseded", true),
        (true, "interrupted", false),
        (false, "failed", true),
        (false, "ok", false),
    ] {
        let found = faults_at_the_end(answered(ok), &[&ended(outcome)]);
        assert_eq!(found.is_empty(), fits, "{ok} {outcome}: {found:?}");
    }
    assert_eq!(faults_at_the_end(answered(true), &[]).len(), 1, "it has no end");
    let unanswered = vec![begin(1, "authorize", "a", false)];
    assert_eq!(faults_at_the_end(unanswered.clone(), &[&ended("interrupted")]), [""; 0]);
    assert_eq!(faults_at_the_end(unanswered, &[&ended("ok")]).len(), 1);
}

#[test]
fn numbers_of_backups_grow_and_the_same_may_be_told_twice() {
    let published = |op, number| {
        format!(
            r#""code":"backup","server":"a","details":{{"op":{op},"result":"ok","number":{number},"sha256":"0","path":"/f"}}"#
        )
    };
    let log = |all: &[(u64, u64)]| {
        let log: Vec<String> = all.iter().map(|(op, number)| published(*op, *number)).collect();
        faults_at_the_end(Vec::new(), &log.iter().map(String::as_str).collect::<Vec<_>>()).len()
    };
    assert_eq!(log(&[(1, 1), (1, 1), (2, 2), (5, 4)]), 0);
    assert_eq!(log(&[(1, 1), (2, 1)]), 1);
    assert_eq!(log(&[(1, 2), (2, 1)]), 1);
    assert_eq!(log(&[(1, 1), (1, 2)]), 1, "one operation, two backups");
}
