//! Every function from inside every callback.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use vms_failover_abi as abi;
use vms_failover_abi::vmsf_result;

use super::calls::is_not_yet;
use super::case::{Case, Check, Done};
use super::rig::{self, MODES, ROOM, Rig, mode};
use crate::plugin::probe::Callback;
use crate::plugin::raw::{Args, Class, Member, Outputs, Raw, Room, Text};

pub const CHECKS: [Check; 3] = [
    Check {
        name: "reentry-refused",
        why: "Rule 5: inside a callback \"control and poll, of any instance, give VMSF_ERR_REENTRANT at once\" instead of dead-locking, create \
              included. Each is called inside the first event, begin, log, log_level, wake, release, get_extension, store, load and remove, \
              on the own instance and on another one.",
        cure: "Note on each thread that it is inside a callback, and look at that before anything else in control members and poll.",
        limit_s: 20,
        run: refused,
    },
    Check {
        name: "reentry-allowed",
        why: "Rule 5: \"From inside a callback any static or any-thread member may be called\", for callbacks come \"with no lock held\". Each is \
              called inside the first of each callback, and must come back, within 2 s and with a code of its own.",
        cure: "Hold no lock while a callback is called.",
        limit_s: 20,
        run: allowed,
    },
    Check {
        name: "reentry-from-wake",
        why: "Rule 5: \"(from wake: none)\". wake \"only signals\"; it is called on the thread of whoever brings work, so each function called \
              inside it gives VMSF_ERR_REENTRANT at once.",
        cure: "Note on each thread that it is inside wake, and refuse everything but the static members.",
        limit_s: 20,
        run: from_wake,
    },
];

/// A function called inside a callback: on which instance, and which.
type Key = (&'static str, &'static str, &'static str);
/// What it gave, and how long it took.
type Given = BTreeMap<Key, (vmsf_result, Duration)>;

/// What is called inside callbacks.
#[derive(Clone, Copy, PartialEq, Eq)]
enum What {
    Waiting,
    AnyThread,
    /// Everything, inside `wake` alone.
    InWake,
}

/// Calls that end nothing and begin nothing of the story that waits for the callback.
fn harmless<'t>(member: Member, p: u64, s: u64, text: &'t str) -> Args<'t> {
    let args = rig::good(member, p, s, text);
    match member {
        // A well-meant one could change what the story does next.
        Member::Takeover
        | Member::Restore
        | Member::Cancel
        | Member::Deauthorize
        | Member::Backup
        | Member::Authorize => Args { s: u64::MAX, ..args },
        Member::JoinCluster => Args { text: Text::Null(0), ..args },
        Member::Stop => Args { number: 1000, ..args },
        _ => args,
    }
}

/// What [`harmless`] gives where it may be called.
fn harmless_codes(member: Member) -> Vec<vmsf_result> {
    match member {
        Member::Takeover
        | Member::Restore
        | Member::Cancel
        | Member::Deauthorize
        | Member::Backup
        | Member::Authorize => {
            vec![abi::VMSF_ERR_HANDLE]
        }
        Member::JoinCluster => vec![abi::VMSF_ERR_JSON],
        Member::Complete | Member::Progress => vec![abi::VMSF_ERR_NOT_FOUND, abi::VMSF_ERR_STATE],
        // A list of transitions may be full by then.
        Member::Notify => vec![abi::VMSF_OK, abi::VMSF_ERR_STATE, abi::VMSF_ERR_BUSY],
        Member::NextServer => vec![abi::VMSF_OK, abi::VMSF_ERR_NOT_FOUND],
        _ => vec![abi::VMSF_OK, abi::VMSF_ERR_STATE],
    }
}

/// Plays the story of a host that keeps the tokens, and calls inside the first callback of each kind.
fn call_inside(case: &Case, drives: bool, what: What) -> Done<Given> {
    let raw = case.raw()?;
    let other = Rig::of(case, &raw, true, &["a"])?;
    let probe = crate::plugin::probe::Probe::new();
    probe.offer_secrets(|_| ());
    let given: Arc<Mutex<Given>> = Arc::default();
    let inside = Inside { case_folder: case.folder().to_owned(), other: other.p, what, given: Arc::clone(&given) };
    // The own instance is not known before create has returned; inside get_extension only the other one is.
    let own = Arc::new(Mutex::new((0, 0)));
    let (raw_inside, own_inside) = (Arc::clone(&raw), Arc::clone(&own));
    let once = Mutex::new(Vec::new());
    probe.hook(move |callback| {
        {
            let mut once = once.lock().unwrap_or_else(PoisonError::into_inner);
            if once.contains(&callback.name()) || (what == What::InWake && callback.name() != "wake") {
                return;
            }
            once.push(callback.name());
        }
        let (p, s) = *own_inside.lock().unwrap_or_else(PoisonError::into_inner);
        inside.call_all(&raw_inside, callback, p, s);
    });
    let folder = case.folder().join(mode(drives).replace(' ', "-"));
    let options = rig::options(&folder.join("state"), &rig::config(&folder, &["a"]));
    std::fs::create_dir_all(folder.join("backups")).or_else(|error| case.cannot("a folder", error))?;
    case.doing(format!("create, {}", mode(drives)));
    let p = rig::create(&raw, &probe.table(drives), &options);
    case.needs(p.is_ok(), format!("create, {}", mode(drives)), "VMSF_OK", format!("{p:?}"))?;
    let rig = Rig::around(case, &raw, p.unwrap_or(0), probe, drives)?;
    let s = rig.server("a")?;
    *own.lock().unwrap_or_else(PoisonError::into_inner) = (rig.p, s);
    rig.story()?;
    rig.begin()?;
    let (op, _) = rig.asked(rig.request(Member::Deauthorize, s)?)?;
    case.code("complete", rig.complete(op, abi::VMSF_OUTCOME_OK, b""), &[abi::VMSF_OK]);
    rig.wait("the end of the token", |c| matches!(c, Callback::Remove(_)))?;
    rig.end()?;
    other.end()?;
    let given = given.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(given.clone())
}

struct Inside {
    case_folder: std::path::PathBuf,
    other: u64,
    what: What,
    given: Arc<Mutex<Given>>,
}

impl Inside {
    fn call_all(&self, raw: &Raw, callback: &Callback, p: u64, s: u64) {
        let kind = callback.name();
        for member in Member::ALL.into_iter().filter(|member| self.is_called(*member)) {
            let instances = [("its own instance", p), ("another instance", self.other)];
            let instances = instances.into_iter().filter(|(_, p)| *p != 0);
            for (whose, p) in instances {
                let (mut to, began) = (Outputs::with_room(ROOM), Instant::now());
                let code = raw.call(member, &harmless(member, p, s, "{}"), &mut to);
                self.note((kind, whose, member.name()), code, began);
            }
        }
        if self.what != What::AnyThread {
            let probe = crate::plugin::probe::Probe::new();
            let options = rig::options(&self.case_folder.join("inside"), &rig::config(&self.case_folder, &["a"]));
            let (mut out, began) = (Some(0), Instant::now());
            let code = raw.create(Some(&probe.table(true)), options.as_str().into(), &mut out, &mut Room::of(64));
            self.note((kind, "another instance", "create"), code, began);
        }
    }

    fn is_called(&self, member: Member) -> bool {
        match self.what {
            What::Waiting => member.class() != Class::AnyThread,
            What::AnyThread => member.class() == Class::AnyThread && !is_not_yet(member),
            What::InWake => true,
        }
    }

    fn note(&self, key: Key, code: vmsf_result, began: Instant) {
        let mut given = self.given.lock().unwrap_or_else(PoisonError::into_inner);
        given.insert(key, (code, began.elapsed()));
    }
}

/// The callbacks that a story has to bring, or nothing was shown.
fn brought(case: &Case, given: &Given, drives: bool) {
    let kinds = ["event", "begin", "log", "log_level", "release", "get_extension", "store", "load", "remove"];
    for kind in kinds.into_iter().chain(drives.then_some("wake")) {
        let came = given.keys().any(|(inside, ..)| *inside == kind);
        case.holds(came, format!("a story {}", mode(drives)), format!("the callback {kind}"), "it never came");
    }
}

/// What comes back at once has waited for nobody.
const AT_ONCE: Duration = Duration::from_millis(500);

fn refused(case: &Case) -> Done {
    for drives in MODES {
        let given = call_inside(case, drives, What::Waiting)?;
        brought(case, &given, drives);
        for ((kind, whose, member), (code, took)) in given {
            let what = format!("{member} on {whose}, inside {kind}, {}", mode(drives));
            case.code(&what, code, &[abi::VMSF_ERR_REENTRANT]);
            case.holds(took < AT_ONCE, what, "an answer at once", format!("after {} ms", took.as_millis()));
        }
    }
    Ok(())
}

/// Longer than one durable write, which a member of the class "any thread, disk" does not even wait for inside a callback.
const SOON: Duration = Duration::from_secs(2);

fn allowed(case: &Case) -> Done {
    for drives in MODES {
        let given = call_inside(case, drives, What::AnyThread)?;
        brought(case, &given, drives);
        for ((kind, whose, member), (code, took)) in given.into_iter().filter(|((kind, ..), _)| *kind != "wake") {
            let what = format!("{member} on {whose}, inside {kind}, {}", mode(drives));
            let known = Member::ALL.into_iter().find(|known| known.name() == member);
            let mut codes = known.map(harmless_codes).unwrap_or_default();
            // With release the handle is gone; a server's is not one of the other instance.
            if kind == "release" || whose == "another instance" {
                codes.push(abi::VMSF_ERR_HANDLE);
            }
            case.code(&what, code, &codes);
            case.holds(took < SOON, what, "an answer soon", format!("after {} ms", took.as_millis()));
        }
    }
    Ok(())
}

fn from_wake(case: &Case) -> Done {
    let inside_wake = call_inside(case, true, What::InWake)?;
    case.holds(!inside_wake.is_empty(), "a story with VMSF_HOST_DRIVES", "the callback wake", "it never came");
    for ((_, whose, member), (code, _)) in inside_wake {
        case.code(format!("{member} on {whose}, inside wake"), code, &[abi::VMSF_ERR_REENTRANT]);
    }
    Ok(())
}
