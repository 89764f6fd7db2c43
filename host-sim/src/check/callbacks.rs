//! What comes out of a whole life: order, numbers, threads, structs, and the end. One story is played, each check looks at one rule of it.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::json;
use vms_failover_abi as abi;

use super::case::{Case, Check, Done};
use super::process;
use super::rig::{self, MODES, PASSWORD, Rig, TOKEN, mode};
use crate::plugin::probe::{Callback, Probe, Rule, Seen};
use crate::plugin::raw::Member;

pub const CHECKS: [Check; 10] = [
    Check {
        name: "callbacks-one-at-a-time",
        why: "Rule 5: \"event and begin come one at a time.\" While the story of a server is played (join, authorize, back up, take over, \
              restore, stop), some callbacks stay a while; no other may come meanwhile.",
        cure: "Deliver events and operations from one thread, and return from one callback before the next is called.",
        limit_s: 30,
        run: one_at_a_time,
    },
    Check {
        name: "callbacks-on-one-thread",
        why: "Rule 5: \"on one thread from start to stop (or inside poll)\"; with VMSF_HOST_DRIVES \"stop delivers what is queued, on its own \
              thread\", and there is no thread of the plugin.",
        cure: "Deliver from the worker alone; with VMSF_HOST_DRIVES only inside poll and stop.",
        limit_s: 20,
        run: one_thread,
    },
    Check {
        name: "event-numbers",
        why: "The header of vmsf_event: \"seq: Number of the log entry: one more than the event before.\" A whole life, a second start, and a \
              second instance on the same state directory: no number is left out, and none is given twice.",
        cure: "Number entries when they are written, deliver every one, and go on from the last number on disk.",
        limit_s: 20,
        run: numbers,
    },
    Check {
        name: "callback-structs",
        why: "Rules 1 to 3: structs in callbacks say their size, reserved fields are 0, \"strings passed to callbacks are both NUL-terminated \
              and counted\", JSON is JSON and says the same as the fields (seq, op, resumed), ids are from 1 to 2^53 - 1, log lines have at \
              most 1,024 bytes and no control character.",
        cure: "Fill in every field, count and terminate each text, and write JSON and fields from one source.",
        limit_s: 20,
        run: structs,
    },
    Check {
        name: "no-callback-after-stop",
        why: "Rule 13 and the header of stop: \"No callback comes after it.\" After stop has returned VMSF_OK, and again after destroy, the host \
              listens for 0.4 s; then the thread and the memory behind ctx may be gone.",
        cure: "Join the threads in stop before it returns; start nothing that outlives it.",
        limit_s: 20,
        run: after_stop,
    },
    Check {
        name: "release-once",
        why: "Rule 3: \"ctx is borrowed until release(ctx), which is called exactly once, from destroy\": not before, not by stop, not by a \
              destroy that fails, and nothing comes after it.",
        cure: "Call release as the last thing of the destroy that succeeds.",
        limit_s: 20,
        run: release,
    },
    Check {
        name: "operations-once",
        why: "Rule 9: \"Operations are begun at most once per id and start of the plugin\"; \"VMSF_OP_RESUMED: the host did not answer before the \
              last stop; it goes on\", under the same id; one that was answered is never asked for again.",
        cure: "Keep each operation on disk until it is answered, begin it once per start, and set VMSF_OP_RESUMED the second time.",
        limit_s: 20,
        run: operations,
    },
    Check {
        name: "secrets-in-no-text",
        why: "Rule 10: secrets \"are never parsed and never put into JSON; logs, traces and dumps show their length alone\". Password and token \
              of the story are looked for in every event, operation, log line and status.",
        cure: "Keep secrets in a type that cannot be printed.",
        limit_s: 20,
        run: secrets,
    },
    Check {
        name: "threads-block-signals",
        why: "Rule 5: \"Threads of the plugin block all signals\", so that the host's own handlers run on the host's threads.",
        cure: "Block all signals around the start of each thread, so that it inherits the mask.",
        limit_s: 20,
        run: signals,
    },
    Check {
        name: "stop-ends-threads",
        why: "Rule 13: \"stop joins the threads\"; VMSF_HOST_DRIVES: \"the plugin starts no thread\". Ten lives on one instance: each stop leaves as \
              many threads as there were before the first start.",
        cure: "Join every thread in stop.",
        limit_s: 20,
        run: threads,
    },
];

/// How long a callback stays, so that another that comes meanwhile is seen, and how long is listened after the end.
const STAY: Duration = Duration::from_millis(20);
const LISTEN: Duration = Duration::from_millis(400);

/// Plays the story in both modes, and looks at what came.
fn each_story(case: &Case, look: impl Fn(&Rig<'_>, &str) -> Done) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let rig = Rig::of(case, &raw, drives, &["a"])?;
        rig.story()?;
        look(&rig, mode(drives))?;
        rig.destroy()?;
    }
    Ok(())
}

fn one_at_a_time(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let rig = Rig::of(case, &raw, drives, &["a"])?;
        let probe = rig.probe;
        // A callback that stays until a second one comes, or a while.
        probe.hook(move |callback| {
            if callback.is_delivery() {
                probe.wait(STAY, |_| !probe.broken(Rule::OneAtATime).is_empty());
            }
        });
        rig.story()?;
        case.all(mode(drives), "event and begin one at a time", &rig.probe.broken(Rule::OneAtATime));
        rig.destroy()?;
    }
    Ok(())
}

fn one_thread(case: &Case) -> Done {
    let here = std::thread::current().id();
    each_story(case, |rig, what| {
        let deliveries: Vec<Seen> = rig.probe.seen().into_iter().filter(|seen| seen.callback.is_delivery()).collect();
        let threads: Vec<_> = deliveries.iter().map(|seen| seen.thread).fold(Vec::new(), |mut all, thread| {
            if !all.contains(&thread) {
                all.push(thread);
            }
            all
        });
        case.holds(
            threads.len() == 1,
            what,
            "event and begin on one thread from start to stop",
            format!("on {}", threads.len()),
        );
        if rig.drives {
            case.holds(threads == [here], what, "callbacks on the thread that polls and stops", "on another");
        } else {
            case.holds(!threads.contains(&here), what, "callbacks on the worker's thread", "on the one that calls");
        }
        Ok(())
    })
}

/// The numbers of the events that came, in order.
fn seqs(probe: &Probe) -> Vec<u64> {
    let seq = |seen: Seen| if let Callback::Event { seq, .. } = seen.callback { Some(seq) } else { None };
    probe.seen().into_iter().filter_map(seq).collect()
}

fn gapless(case: &Case, what: &str, numbers: &[u64]) {
    case.holds(!numbers.is_empty(), what, "events", "none");
    for pair in numbers.windows(2) {
        case.holds(pair[1] == pair[0] + 1, what, format!("seq {} after {}", pair[0] + 1, pair[0]), pair[1]);
    }
}

fn numbers(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let rig = Rig::of(case, &raw, drives, &["a"])?;
        rig.story()?;
        let s = rig.server("a")?;
        rig.begin()?;
        case.code("notify", rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), &[abi::VMSF_OK]);
        rig.stop()?;
        let numbers = seqs(rig.probe);
        gapless(case, &format!("two starts {}", mode(drives)), &numbers);
        let state = rig.folder().join("state");
        let config = rig.document();
        rig.destroy()?;
        let options = json!({ "schema": 1, "state_directory": state, "durability": "none" }).to_string();
        let probe = Probe::new();
        let p = rig::create(&raw, &probe.table(drives), &options);
        case.needs(
            p.is_ok(),
            "create on the state directory of another, without a configuration",
            "VMSF_OK",
            format!("{p:?} ({config})"),
        )?;
        let next = Rig::around(case, &raw, p.unwrap_or(0), probe, drives)?;
        next.begin()?;
        let s = next.server("a")?;
        case.code("notify", next.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), &[abi::VMSF_OK]);
        next.end()?;
        let later = seqs(probe);
        gapless(case, &format!("a second instance {}", mode(drives)), &later);
        let (last, first) = (numbers.last().copied().unwrap_or(0), later.first().copied().unwrap_or(0));
        case.holds(
            first > last,
            "a second instance on the same state directory",
            format!("numbers above {last}"),
            first,
        );
    }
    Ok(())
}

fn structs(case: &Case) -> Done {
    each_story(case, |rig, what| {
        case.all(what, "structs and texts as the header says", &rig.probe.broken(Rule::Shape));
        let times: Vec<u64> = rig.probe.seen().iter().filter_map(|seen| time(&seen.callback)).collect();
        case.holds(times.windows(2).all(|pair| pair[0] <= pair[1]), what, "event.mono_ns never goes back", "it does");
        let s = rig.server("a")?;
        for seen in rig.probe.seen() {
            let (server, id) = match &seen.callback {
                Callback::Event { server, json, .. } => (*server, json["server"].as_str()),
                Callback::Begin { server, json, .. } => (*server, json["server"]["id"].as_str()),
                _ => continue,
            };
            let wanted = if id.is_some() { s } else { 0 };
            case.holds(
                server == wanted,
                seen.callback.brief(),
                "the handle of the server that its JSON names, or 0",
                server,
            );
        }
        Ok(())
    })
}

fn time(callback: &Callback) -> Option<u64> {
    if let Callback::Event { mono_ns, .. } = callback { Some(*mono_ns) } else { None }
}

fn after_stop(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let rig = Rig::of(case, &raw, drives, &["a"])?;
        rig.story()?;
        let probe = rig.probe;
        case.doing("listening after stop");
        let late = |rule| probe.wait(LISTEN, |_| !probe.broken(rule).is_empty());
        late(Rule::NotAfterStop);
        rig.destroy()?;
        case.doing("listening after destroy");
        late(Rule::NotAfterRelease);
        case.all(mode(drives), "no event and no begin after stop", &probe.broken(Rule::NotAfterStop));
        let after_destroy = probe.broken(Rule::NotAfterRelease);
        let others: Vec<String> = after_destroy.into_iter().filter(|text| !text.starts_with("release")).collect();
        case.all(mode(drives), "no callback after destroy", &others);
    }
    Ok(())
}

fn release(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let rig = Rig::running(case, drives, &["a"])?;
        let what = mode(drives);
        case.code("destroy while running", rig.well(Member::Destroy, 0), &[abi::VMSF_ERR_STATE]);
        rig.stop()?;
        rig.start()?;
        rig.stop()?;
        case.holds(
            rig.probe.released() == 0,
            what,
            "no release before destroy",
            format!("{} calls", rig.probe.released()),
        );
        rig.destroy()?;
        let at_once = rig.probe.released();
        case.holds(
            at_once == 1,
            what,
            "one release inside destroy",
            format!("{at_once} calls when destroy had returned"),
        );
        case.code("destroy, twice", rig.well(Member::Destroy, 0), &[abi::VMSF_ERR_HANDLE]);
        // The table of another instance, so that a release that comes late has been seen.
        Rig::of(case, &raw, drives, &["a"])?.end()?;
        rig.probe.wait(LISTEN, |_| rig.probe.released() > 1);
        case.holds(
            rig.probe.released() == at_once,
            what,
            "no further release",
            format!("{} calls", rig.probe.released()),
        );
        case.all(what, "release is the last call for ctx", &rig.probe.broken(Rule::NotAfterRelease));
    }
    Ok(())
}

/// The ids of the operations that were begun, with their flags.
fn begun(probe: &Probe) -> Vec<(u64, u32)> {
    let begin =
        |seen: Seen| if let Callback::Begin { id, flags, .. } = seen.callback { Some((id, flags)) } else { None };
    probe.seen().into_iter().filter_map(begin).collect()
}

fn operations(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let (rig, what) = (Rig::of(case, &raw, drives, &["a"])?, mode(drives));
        rig.story()?;
        let first = begun(rig.probe);
        once(case, what, &first);
        case.holds(
            first.iter().all(|(_, flags)| *flags == 0),
            what,
            "no VMSF_OP_RESUMED in a first life",
            "there is one",
        );
        rig.probe.forget();
        rig.begin()?;
        let s = rig.server("a")?;
        let (op, _) = rig.asked(rig.request(Member::Takeover, s)?)?;
        rig.stop()?;
        case.code("complete while stopped", rig.complete(op, abi::VMSF_OUTCOME_OK, b""), &[abi::VMSF_ERR_STATE]);
        once(case, what, &begun(rig.probe));
        rig.probe.forget();
        rig.begin()?;
        rig.wait("the takeover that was not answered", |c| matches!(c, Callback::Begin { id, .. } if *id == op))?;
        case.code("complete", rig.complete(op, abi::VMSF_OUTCOME_OK, b""), &[abi::VMSF_OK]);
        rig.wait("taken_over", |c| c.says("takeover", "to", "taken_over"))?;
        rig.stop()?;
        let again = begun(rig.probe);
        let expected = [(op, abi::VMSF_OP_RESUMED)];
        let came = format!("{again:?}");
        case.holds(
            again == expected,
            what,
            format!("after a start the one without an answer, resumed: {expected:?}"),
            came,
        );
        rig.probe.forget();
        rig.begin()?;
        rig.stop()?;
        let third = begun(rig.probe);
        case.holds(third.is_empty(), what, "nothing that was answered is begun again", format!("{third:?}"));
        rig.destroy()?;
    }
    Ok(())
}

fn once(case: &Case, what: &str, begun: &[(u64, u32)]) {
    let mut ids = BTreeSet::new();
    for (id, _) in begun {
        case.holds(ids.insert(*id), what, format!("operation {id} is begun once"), "twice");
    }
}

fn secrets(case: &Case) -> Done {
    each_story(case, |rig, what| {
        let status = rig.text(Member::Status, 0)?;
        let texts = rig.probe.seen().into_iter().filter_map(|seen| match seen.callback {
            Callback::Event { json, .. } | Callback::Begin { json, .. } => Some(json.to_string()),
            Callback::Log { text, .. } => Some(text),
            _ => None,
        });
        let (token, texts) = (String::from_utf8_lossy(TOKEN), texts.chain([status]));
        for text in texts {
            let tells = text.contains(&*token) || text.contains(PASSWORD);
            case.holds(!tells, what, "no secret in any text", text.chars().take(120).collect::<String>());
        }
        let handed: Vec<Vec<u8>> = rig.probe.seen().into_iter().filter_map(secret_of).collect();
        let handed_on =
            handed.iter().any(|secret| secret == PASSWORD.as_bytes()) && handed.iter().any(|secret| secret == TOKEN);
        case.holds(handed_on, what, "password and token are handed on in vmsf_operation.secret", "they are not");
        Ok(())
    })
}

fn secret_of(seen: Seen) -> Option<Vec<u8>> {
    if let Callback::Begin { secret, .. } = seen.callback { Some(secret) } else { None }
}

/// Signals that a process can block; SIGKILL and SIGSTOP cannot be, and 32 and 33 are the C library's own.
const BLOCKABLE: u64 = !((1 << (9 - 1)) | (1 << (19 - 1)) | (1 << (32 - 1)) | (1 << (33 - 1)));

fn signals(case: &Case) -> Done {
    let Some(before) = process::blocked_signals() else {
        return Err(super::case::Break::Skipped(
            "signals are blocked by thread on Unix alone, and listed on Linux".into(),
        ));
    };
    let rig = Rig::running(case, false, &["a"])?;
    let after = process::blocked_signals().unwrap_or_default();
    let new: Vec<_> = after.iter().filter(|(task, _)| before.iter().all(|(known, _)| known != task)).collect();
    case.holds(!new.is_empty(), "start", "threads of the plugin", "none");
    for (_, mask) in new {
        let blocked = u64::from_str_radix(mask, 16).unwrap_or(0);
        case.holds(
            blocked & BLOCKABLE == BLOCKABLE,
            "a thread of the plugin",
            "all signals blocked",
            format!("mask {mask}"),
        );
    }
    rig.end()
}

fn threads(case: &Case) -> Done {
    for drives in MODES {
        let Some(at_first) = process::held() else {
            return Err(super::case::Break::Skipped(process::UNLISTED.into()));
        };
        let rig = Rig::new(case, drives, &["a"])?;
        let mut most = 0;
        for _ in 0..10 {
            rig.begin()?;
            most = most.max(process::held().map_or(0, |held| held.threads));
            rig.stop()?;
            let left = process::held_when(|held| held.threads <= at_first.threads).unwrap_or(at_first).threads;
            let what = format!("stop, {}", mode(drives));
            let expected = format!("{} threads, as before start", at_first.threads);
            case.needs(left <= at_first.threads, what, expected, left)?;
        }
        let started = most.saturating_sub(at_first.threads);
        let (holds, expected) = if drives { (started == 0, "no thread") } else { (started > 0, "threads of its own") };
        case.holds(holds, format!("start, {}", mode(drives)), expected, format!("{started} threads"));
        rig.destroy()?;
    }
    Ok(())
}
