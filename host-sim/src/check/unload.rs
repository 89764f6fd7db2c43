//! Loading and unloading: a thousand rounds with threads that stay alive, and two libraries side by side.

use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

use serde_json::json;
use vms_failover_abi as abi;

use super::case::{Case, Check, Done};
use super::process::{self, Held};
use super::rig::{self, Rig};
use crate::plugin::probe::{Callback, Probe};
use crate::plugin::raw::{Member, Outputs, Raw};

pub const CHECKS: [Check; 3] = [
    Check {
        name: "load-unload-1000-rounds",
        why: "Rule 13: \"after destroy no thread, pointer or callback is left, and dlclose is allowed\". A thousand times the library is loaded, \
              an instance created, started, called by four threads that live through all rounds, stopped and destroyed, and the library closed. \
              Threads and descriptors must be the same after every round, memory after the last as after the hundredth.",
        cure: "Give back in destroy all that create and start took; leave nothing behind on the host's own threads.",
        limit_s: 90,
        run: rounds,
    },
    Check {
        name: "instances-give-everything-back",
        why: "Rule 13 for one instance: thirty lives in one loaded library, of a worker and of a driving host, each with an authorized server, \
              leave threads and descriptors as they were.",
        cure: "Give back in destroy all that create and start took.",
        limit_s: 30,
        run: instances,
    },
    Check {
        name: "two-libraries-side-by-side",
        why: "Rule 13: \"An upgrade in the same process needs another file name.\" A copy of the library under another name is loaded beside it; \
              an instance of each lives a whole life, the one while the other runs, and they do not hear of each other.",
        cure: "Keep no state outside the library's own image: no symbol that others can take the place of, no name in the process.",
        limit_s: 30,
        run: side_by_side,
    },
];

const ROUNDS: usize = 1000;
const CALLERS: usize = 4;
/// From then on nothing is done for the first time.
const WARM: usize = 100;
/// What an allocator may keep; 900 rounds that leave 16 KiB each are above it.
const MEMORY_KIB: u64 = 8 * 1024;

/// A thread of the host that lives through all rounds.
struct Caller {
    work: Sender<(Arc<Raw>, u64, u64)>,
    done: Receiver<()>,
}

impl Caller {
    fn new() -> Self {
        let ((work, to_do), (told, done)) = (channel::<(Arc<Raw>, u64, u64)>(), channel());
        thread::spawn(move || {
            while let Ok((raw, p, s)) = to_do.recv() {
                for member in [Member::Notify, Member::NowNs, Member::Status, Member::LastError, Member::Cluster] {
                    raw.call(member, &rig::good(member, p, s, ""), &mut Outputs::with_room(4096));
                }
                // Its share of the library goes before anybody is told.
                drop(raw);
                let _ = told.send(());
            }
        });
        Self { work, done }
    }
}

fn round(case: &Case, callers: &[Caller], options: &str, nth: usize) -> Done {
    let raw = case.raw()?;
    let probe = Probe::new();
    case.doing(format!("round {nth}"));
    let p = rig::create(&raw, &probe.table(false), options);
    case.needs(p.is_ok(), format!("create, round {nth}"), "VMSF_OK", format!("{p:?}"))?;
    let p = p.unwrap_or(0);
    let call = |member: Member| raw.call(member, &rig::good(member, p, 0, ""), &mut Outputs::with_room(0));
    case.needs_code(format!("start, round {nth}"), call(Member::Start), abi::VMSF_OK)?;
    let mut to = Outputs::with_room(0);
    raw.call(Member::Server, &rig::good(Member::Server, p, 0, ""), &mut to);
    let s = to.word.unwrap_or(0);
    for caller in callers {
        let _ = caller.work.send((Arc::clone(&raw), p, s));
    }
    for caller in callers {
        let _ = caller.done.recv();
    }
    case.needs_code(format!("stop, round {nth}"), call(Member::Stop), abi::VMSF_OK)?;
    case.needs_code(format!("destroy, round {nth}"), call(Member::Destroy), abi::VMSF_OK)?;
    let Some(raw) = Arc::into_inner(raw) else {
        return case.cannot("closing the library", "a thread still has it");
    };
    raw.into_image().close().or_else(|error| case.cannot("closing the library", error))
}

fn rounds(case: &Case) -> Done {
    let callers: Vec<Caller> = (0..CALLERS).map(|_| Caller::new()).collect();
    let options = rig::options(&case.folder().join("state"), &rig::config(case.folder(), &["a"]));
    round(case, &callers, &options, 0)?;
    let first = process::held();
    let mut warm = None;
    for nth in 1..=ROUNDS {
        round(case, &callers, &options, nth)?;
        if nth == WARM {
            warm = process::memory_kib();
        }
        flat(case, &format!("round {nth}"), first)?;
    }
    let (Some(warm), Some(last)) = (warm, process::memory_kib()) else {
        case.note(process::UNLISTED);
        return Ok(());
    };
    let what = format!("memory from round {WARM} to round {ROUNDS}");
    case.holds(
        last <= warm + MEMORY_KIB,
        what,
        format!("at most {MEMORY_KIB} KiB more"),
        format!("{} KiB more", last.saturating_sub(warm)),
    );
    Ok(())
}

fn flat(case: &Case, what: &str, before: Option<Held>) -> Done {
    match (before, before.and_then(process::held_again)) {
        (Some(before), Some(after)) => case.needs(after == before, format!("{what}, at its end"), before, after),
        _ => Ok(()),
    }
}

fn instances(case: &Case) -> Done {
    let raw = case.raw()?;
    let life = |drives| -> Done {
        let rig = Rig::of(case, &raw, drives, &["a"])?;
        rig.story()?;
        rig.destroy()
    };
    life(false)?;
    life(true)?;
    let before = process::held();
    if before.is_none() {
        case.note(process::UNLISTED);
    }
    for nth in 0..15 {
        life(false)?;
        flat(case, &format!("life {nth} with a worker"), before)?;
        life(true)?;
        flat(case, &format!("life {nth} with VMSF_HOST_DRIVES"), before)?;
    }
    Ok(())
}

fn side_by_side(case: &Case) -> Done {
    let name = case.library().file_name().unwrap_or_default().to_string_lossy().into_owned();
    let copy = case.folder().join(format!("copy-of-{name}"));
    std::fs::copy(case.library(), &copy).or_else(|error| case.cannot("a copy of the library", error))?;
    let (one, other) = (case.raw()?, case.image_of(&copy)?.negotiate());
    let other = other.or_else(|error| case.cannot("negotiating with the copy", error))?;
    let (rig, twin) = (Rig::of(case, &one, false, &["a", "b"])?, Rig::of(case, &other, false, &["a", "b"])?);
    rig.begin()?;
    twin.story()?;
    let strange = rig.probe.count(|c| c.code() == "takeover");
    case.holds(strange == 0, "a takeover by one library", "the other does not hear of it", format!("{strange} events"));
    twin.destroy()?;
    let s = rig.server("a")?;
    case.needs_code("notify, when the other has gone", rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK)?;
    rig.wait("connected", |c| c.says("health", "to", "connected"))?;
    locked_for_both(case, &rig, &other)?;
    rig.end()?;
    case.holds(twin.probe.released() > 0, "release of the copy's instance", "it is called", "it is not");
    let deliveries = rig.probe.count(Callback::is_delivery);
    case.holds(deliveries > 0, "the first library's instance", "events of its own", deliveries);
    Ok(())
}

/// The lock of a state directory holds between the two, too.
fn locked_for_both(case: &Case, rig: &Rig<'_>, other: &Raw) -> Done {
    let options =
        json!({ "schema": 1, "state_directory": rig.folder().join("state"), "durability": "none" }).to_string();
    case.doing("create by one library on a state directory that the other uses");
    let code = rig::create(other, &Probe::new().table(true), &options).err().map_or(abi::VMSF_OK, |(code, _)| code);
    case.needs_code("create on a state directory that the other library uses", code, abi::VMSF_ERR_BUSY)
}
