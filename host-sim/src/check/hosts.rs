//! Hosts that misbehave: one that blocks, answers twice, never answers, lies about sizes, calls at the same time.

use std::thread;
use std::time::{Duration, Instant};

use vms_failover_abi as abi;

use super::case::{Case, Check, Done};
use super::rig::{MODES, PATIENCE_MS, Rig, SECOND, TOKEN, mode};
use crate::plugin::probe::Callback;
use crate::plugin::raw::{Args, Member, Outputs, Text};

pub const CHECKS: [Check; 6] = [
    Check {
        name: "host-blocks-two-seconds",
        why: "Rule 5: \"Only stop, destroy and poll ever wait for a callback\"; \"above 100 ms the alarm host_slow is raised\". A host stays in a \
              callback for two seconds: meanwhile every any-thread member answers, stop times out and stays in force, and what was reported is \
              delivered afterwards.",
        cure: "Let no call but those three wait for the worker; keep a stop in force and finish it when it is called again.",
        limit_s: 30,
        run: blocks,
    },
    Check {
        name: "host-answers-twice",
        why: "The header of complete: \"VMSF_ERR_NOT_FOUND no such operation runs: answered already, or given up\". Each operation is answered \
              twice, from inside begin and from outside, and an operation that never was is answered, too.",
        cure: "Take the first answer, and forget the id with it.",
        limit_s: 20,
        run: twice,
    },
    Check {
        name: "host-never-answers",
        why: "Rule 9: \"When one times out, the event VMSF_EVENT_OPERATION_OVER says so; complete for it then gives VMSF_ERR_NOT_FOUND, and a \
              late VMSF_OUTCOME_OK raises the alarm late_answer.\" A backup, an authorize and a takeover are never answered, in virtual time.",
        cure: "Give each operation a deadline, tell its end before anything follows from it, and remember ids that were given up.",
        limit_s: 20,
        run: never,
    },
    Check {
        name: "host-answers-nonsense",
        why: "The header of complete: an outcome, JSON or secret that cannot be is refused and not taken, \"answer again\"; but an authorize \
              whose token cannot be \"has failed by that\". A backup whose file was not written fails, and the server stays what it was.",
        cure: "Check an answer before it is taken, and a backup before it is published.",
        limit_s: 20,
        run: nonsense,
    },
    Check {
        name: "host-lies-about-sizes",
        why: "Rules 2 and 14: lengths are looked at before what they count. Texts, secrets and tables are said to be far longer than they are, \
              by every function that takes one; nothing behind them may be read. (A buffer said to be larger than it is cannot be told from \
              one that is.)",
        cure: "Compare each length with its limit first; read min(struct_size, known size) of a table.",
        limit_s: 20,
        run: lies,
    },
    Check {
        name: "host-overlaps-control",
        why: "Rule 5: \"the host serialises them per instance (an overlap gives VMSF_ERR_BUSY)\"; poll: \"VMSF_ERR_BUSY overlap\". While one \
              thread waits in stop, another calls the control members; while one is in poll, another polls.",
        cure: "Try the lock of control members and of poll, and give VMSF_ERR_BUSY where another has it.",
        limit_s: 20,
        run: overlaps,
    },
];

/// Members that may be called while the worker is held.
const ANY_THREAD: [Member; 8] = [
    Member::Notify,
    Member::NowNs,
    Member::Server,
    Member::NextServer,
    Member::Config,
    Member::Status,
    Member::LastError,
    Member::ServerId,
];
const BLOCKED: Duration = Duration::from_secs(2);

fn blocks(case: &Case) -> Done {
    let rig = Rig::running(case, false, &["a", "b"])?;
    let s = rig.server("a")?;
    let hold = rig.hold(|c| c.says("health", "to", "connected"));
    case.needs_code("notify", rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK)?;
    hold.entered(case)?;
    let began = Instant::now();
    let mut stopped = false;
    while began.elapsed() < BLOCKED {
        for member in ANY_THREAD {
            let called = Instant::now();
            let code = rig.well(member, s);
            let took = called.elapsed();
            let mut allowed = vec![abi::VMSF_OK, abi::VMSF_ERR_STATE];
            if member == Member::Notify {
                allowed.push(abi::VMSF_ERR_BUSY);
            }
            let what = format!("{}, while a callback blocks", member.name());
            case.code(&what, code, &allowed);
            case.holds(
                took < BLOCKED / 2,
                what,
                "an answer that waits for nobody",
                format!("after {} ms", took.as_millis()),
            );
        }
        if !stopped && began.elapsed() > BLOCKED / 2 {
            case.code("stop within 100 ms, while a callback blocks", rig.stop_within(100), &[abi::VMSF_ERR_TIMEOUT]);
            case.code("start while stopping", rig.well(Member::Start, 0), &[abi::VMSF_ERR_STATE]);
            case.code("destroy while stopping", rig.well(Member::Destroy, 0), &[abi::VMSF_ERR_STATE]);
            case.code("stop within 0 ms, while a callback blocks", rig.stop_within(0), &[abi::VMSF_ERR_TIMEOUT]);
            stopped = true;
        }
        thread::sleep(Duration::from_millis(50));
    }
    hold.go_on();
    case.needs_code("stop, called again", rig.stop_within(PATIENCE_MS), abi::VMSF_OK)?;
    let slow = rig.probe.count(|c| c.code() == "host_slow");
    case.holds(slow == 1, "two seconds in a callback", "the alarm host_slow, once", format!("{slow} times"));
    rig.destroy()
}

fn twice(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let rig = Rig::of(case, &raw, drives, &["a"])?;
        rig.story()?;
        let ids: Vec<u64> = rig.probe.seen().iter().filter_map(|seen| id_of(&seen.callback)).collect();
        rig.begin()?;
        for id in ids.into_iter().chain([0, super::rig::NO_OPERATION, u64::MAX]) {
            for outcome in [abi::VMSF_OUTCOME_OK, abi::VMSF_OUTCOME_FAILED] {
                let what = format!("complete for an operation that is over, {}", mode(drives));
                case.code(what, rig.complete(id, outcome, b""), &[abi::VMSF_ERR_NOT_FOUND]);
            }
        }
        let (p, inside, raw_inside) = (rig.p, std::sync::mpsc::channel(), std::sync::Arc::clone(&raw));
        let told = std::sync::Mutex::new(inside.0);
        rig.probe.hook(move |callback| {
            if let Some(id) = id_of(callback) {
                let answer = || super::rig::complete(&raw_inside, p, id, abi::VMSF_OUTCOME_OK, b"");
                let codes = [answer(), answer()];
                let _ = told.lock().unwrap_or_else(std::sync::PoisonError::into_inner).send(codes);
            }
        });
        let s = rig.server("a")?;
        rig.probe.forget();
        rig.request(Member::Takeover, s)?;
        rig.wait("taken_over", |c| c.says("takeover", "to", "taken_over"))?;
        let codes = inside.1.try_recv().unwrap_or([abi::VMSF_ERR_INTERNAL; 2]);
        case.code(format!("complete inside begin, {}", mode(drives)), codes[0], &[abi::VMSF_OK]);
        case.code(format!("complete inside begin, again, {}", mode(drives)), codes[1], &[abi::VMSF_ERR_NOT_FOUND]);
        let taken = rig.probe.count(|c| c.says("takeover", "to", "taken_over"));
        case.holds(taken == 1, "an operation answered twice", "it takes effect once", format!("{taken} times"));
        rig.end()?;
    }
    Ok(())
}

fn id_of(callback: &Callback) -> Option<u64> {
    if let Callback::Begin { id, .. } = callback { Some(*id) } else { None }
}

fn never(case: &Case) -> Done {
    for member in [Member::Authorize, Member::Backup, Member::Takeover] {
        let rig = Rig::running(case, true, &["a"])?;
        let s = rig.server("a")?;
        rig.prepare(s)?;
        let (op, _) = rig.asked(rig.request(member, s)?)?;
        let begun = rig.wait("begin", |c| id_of(c) == Some(op))?;
        let Callback::Begin { deadline_ns, .. } = begun else { return Ok(()) };
        let now = rig.now()?;
        let what = format!("{} without an answer", member.name());
        case.needs(
            deadline_ns > now && deadline_ns < now + 3_600 * SECOND,
            &what,
            "a deadline within the hour",
            deadline_ns,
        )?;
        rig.drive_to(deadline_ns - 1)?;
        let over = |c: &Callback| c.says("operation_over", "op", op) || is_over(c, op);
        case.holds(rig.probe.find(over).is_none(), &what, "not given up before its deadline", "it is");
        rig.drive_to(deadline_ns)?;
        let told = rig.wait("VMSF_EVENT_OPERATION_OVER", over)?;
        let reason = matches!(&told, Callback::Event { json, .. } if json["details"]["reason"] == "timeout");
        case.holds(reason, &what, "reason \"timeout\"", told.brief());
        rig.wait("completed", |c| c.says("completed", "op", op) && c.says("completed", "outcome", "timeout"))?;
        let late = rig.complete(op, abi::VMSF_OUTCOME_OK, if member == Member::Authorize { TOKEN } else { b"" });
        case.code(format!("complete after the deadline of {}", member.name()), late, &[abi::VMSF_ERR_NOT_FOUND]);
        rig.wait("the alarm late_answer", |c| c.code() == "late_answer")?;
        rig.end()?;
    }
    Ok(())
}

fn is_over(callback: &Callback, op: u64) -> bool {
    matches!(callback, Callback::Event { kind, json, .. } if *kind == abi::VMSF_EVENT_OPERATION_OVER && json["details"]["op"] == op)
}

/// What is wrong with an answer.
type Spoil = fn(Args<'static>) -> Args<'static>;

fn nonsense(case: &Case) -> Done {
    for drives in MODES {
        let rig = Rig::running(case, drives, &["a"])?;
        let s = rig.server("a")?;
        rig.prepare(s)?;
        let (op, _) = rig.asked(rig.request(Member::Takeover, s)?)?;
        let answer = |change: Spoil| {
            let args = Args { long: op, ..rig.good(Member::Complete, 0, "") };
            rig.call(Member::Complete, &change(args), &mut Outputs::with_room(0))
        };
        let answers: [(&str, Spoil, abi::vmsf_result); 5] = [
            ("outcome 9", |args| Args { number: 9, ..args }, abi::VMSF_ERR_INVALID),
            ("no JSON", |args| Args { text: "done".into(), ..args }, abi::VMSF_ERR_JSON),
            ("an unknown key", |args| Args { text: r#"{"done":1}"#.into(), ..args }, abi::VMSF_ERR_JSON),
            ("a token to a takeover", |args| Args { secret: "x".into(), ..args }, abi::VMSF_ERR_INVALID),
            ("a secret too long", |args| Args { secret: Text::Claimed(b"x", 5000), ..args }, abi::VMSF_ERR_LIMIT),
        ];
        for (what, change, expected) in answers {
            case.code(format!("complete, {what}, {}", mode(drives)), answer(change), &[expected]);
        }
        case.code(
            "complete, after answers that were refused",
            rig.complete(op, abi::VMSF_OUTCOME_FAILED, b""),
            &[abi::VMSF_OK],
        );
        rig.wait("completed", |c| c.says("completed", "op", op) && c.says("completed", "outcome", "failed"))?;
        rig.end()?;
        bad_token_and_no_archive(case, drives)?;
    }
    Ok(())
}

fn bad_token_and_no_archive(case: &Case, drives: bool) -> Done {
    let rig = Rig::running(case, drives, &["a"])?;
    let s = rig.server("a")?;
    let (op, _) = rig.asked(rig.request(Member::Authorize, s)?)?;
    let long = [7; 5000];
    case.code("complete an authorize, a token of 5,000 bytes", rig.complete(op, 0, &long), &[abi::VMSF_ERR_LIMIT]);
    rig.wait("the end of authorize", |c| c.says("completed", "op", op) && c.says("completed", "outcome", "failed"))?;
    rig.prepare(s)?;
    let (op, _) = rig.asked(rig.request(Member::Backup, s)?)?;
    case.code("complete a backup that was not written", rig.complete(op, 0, b""), &[abi::VMSF_OK]);
    rig.wait("the backup's end", |c| c.says("backup", "op", op) && c.says("backup", "result", "failed"))?;
    rig.end()
}

fn lies(case: &Case) -> Done {
    for drives in MODES {
        let rig = Rig::running(case, drives, &["a"])?;
        let s = rig.server("a")?;
        for (member, max, _) in super::calls::TEXT_IN {
            for len in [max + 1, 1 << 40, usize::MAX] {
                let args = Args { text: Text::Claimed(b"{", len), ..rig.good(member, s, "") };
                let what = format!("{}, a text of 1 byte said to have {len}", member.name());
                case.doing(&what);
                let code = rig.raw.call(member, &args, &mut Outputs::with_room(64));
                case.code(what, code, &[abi::VMSF_ERR_LIMIT]);
            }
        }
        for member in [Member::Authorize, Member::JoinCluster, Member::Complete] {
            for len in [4097, 1 << 40, usize::MAX] {
                let args = Args { secret: Text::Claimed(b"x", len), ..rig.good(member, s, "") };
                let what = format!("{}, a secret of 1 byte said to have {len}", member.name());
                case.doing(&what);
                let code = rig.raw.call(member, &args, &mut Outputs::with_room(64));
                case.code(what, code, &[abi::VMSF_ERR_LIMIT]);
            }
        }
        rig.end()?;
    }
    let raw = case.raw()?;
    let grow = |host: &mut abi::vmsf_host, _: &mut serde_json::Value| host.struct_size = u32::MAX;
    Rig::with(case, &raw, false, &["a"], grow)?.end()
}

fn overlaps(case: &Case) -> Done {
    let rig = Rig::running(case, false, &["a"])?;
    let s = rig.server("a")?;
    let hold = rig.hold(|c| c.says("health", "to", "connected"));
    case.needs_code("notify", rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK)?;
    hold.entered(case)?;
    let (raw, p) = (std::sync::Arc::clone(&rig.raw), rig.p);
    let waits = thread::spawn(move || {
        let args = Args { number: PATIENCE_MS, ..super::rig::good(Member::Stop, p, 0, "") };
        raw.call(Member::Stop, &args, &mut Outputs::with_room(0))
    });
    // Once the stop is under way, which its first sign shows.
    let until = Instant::now() + BLOCKED;
    while rig.notify(s, abi::VMSF_NOTIFY_KEEP_ALIVE, 0) != abi::VMSF_ERR_STATE && Instant::now() < until {
        thread::yield_now();
    }
    for member in [Member::Start, Member::Stop, Member::Destroy, Member::Configure, Member::Edit] {
        case.code(format!("{}, while stop waits", member.name()), rig.well(member, s), &[abi::VMSF_ERR_BUSY]);
    }
    hold.go_on();
    case.code("the stop that waited", waits.join().unwrap_or(abi::VMSF_ERR_INTERNAL), &[abi::VMSF_OK]);
    rig.probe.be_stopped(true);
    rig.end()?;
    polls(case)
}

fn polls(case: &Case) -> Done {
    let rig = Rig::running(case, true, &["a"])?;
    let s = rig.server("a")?;
    let hold = rig.hold(|c| c.says("health", "to", "connected"));
    case.needs_code("notify", rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK)?;
    let (raw, p, at) = (std::sync::Arc::clone(&rig.raw), rig.p, rig.now()? + SECOND);
    let polls = thread::spawn(move || {
        let args = Args { long: at, ..super::rig::good(Member::Poll, p, 0, "") };
        raw.call(Member::Poll, &args, &mut Outputs::with_room(0))
    });
    hold.entered(case)?;
    case.code("poll, while another is under way", rig.poll(at).0, &[abi::VMSF_ERR_BUSY]);
    case.code("stop within 10 ms, while a poll is under way", rig.stop_within(10), &[abi::VMSF_ERR_TIMEOUT]);
    hold.go_on();
    case.code("the poll that was stuck", polls.join().unwrap_or(abi::VMSF_ERR_INTERNAL), &[abi::VMSF_OK]);
    case.code("poll while stopping", rig.poll(at).0, &[abi::VMSF_ERR_STATE]);
    rig.end()
}
