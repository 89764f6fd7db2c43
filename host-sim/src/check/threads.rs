//! Sixteen threads at once, while an instance is started, stopped, changed and destroyed.

use std::sync::Barrier;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use vms_failover_abi as abi;
use vms_failover_abi::vmsf_result;

use super::case::{Case, Check, Done, name, names};
use super::rig::{self, PATIENCE_MS, Rig, SECOND, TOKEN};
use crate::plugin::probe::{Callback, Rule};
use crate::plugin::raw::{Args, Member, Outputs, Raw};

pub const CHECKS: [Check; 2] = [
    Check {
        name: "sixteen-threads-with-a-worker",
        why: "Rule 5: the any-thread members \"may overlap everything\". Sixteen threads report, read and command without a pause while the \
              instance is started, changed, stopped twelve times and destroyed, servers come and go, and the host answers inside begin. Only \
              documented codes may come, callbacks stay one at a time and numbered, and none comes behind stop or release.",
        cure: "Look handles up without a lock that a control member holds, and count who is inside before anything goes.",
        limit_s: 40,
        run: |case| storm(case, false),
    },
    Check {
        name: "sixteen-threads-with-polls",
        why: "The same with VMSF_HOST_DRIVES: one thread polls, sixteen others call.",
        cure: "As with a worker; and take in what was called at the poll.",
        limit_s: 40,
        run: |case| storm(case, true),
    },
];

const THREADS: usize = 16;
const LIVES: usize = 12;
/// What a life lasts at least, so that the threads meet every state.
const LIFE: Duration = Duration::from_millis(40);

/// What is called, and what it may give besides VMSF_OK, _STATE, _BUSY, and _HANDLE once the instance is gone.
const CALLS: [(Member, &[vmsf_result]); 16] = [
    (Member::Notify, &[]),
    (Member::Server, &[abi::VMSF_ERR_NOT_FOUND]),
    (Member::Notify, &[]),
    (Member::Status, &[abi::VMSF_ERR_TOO_SMALL]),
    (Member::NowNs, &[]),
    (Member::Takeover, &NEEDS),
    (Member::Config, &[abi::VMSF_ERR_TOO_SMALL]),
    (Member::Authorize, &[]),
    (Member::LastError, &[abi::VMSF_ERR_TOO_SMALL]),
    (Member::Backup, &NEEDS),
    (Member::NextServer, &[abi::VMSF_ERR_NOT_FOUND]),
    (Member::Restore, &[]),
    (Member::Cluster, &[]),
    (Member::Log, &[abi::VMSF_ERR_TOO_SMALL]),
    (Member::Cancel, &[]),
    (Member::Deauthorize, &[abi::VMSF_ERR_NOT_AUTHORIZED]),
];
const NEEDS: [vmsf_result; 3] = [abi::VMSF_ERR_NOT_IN_CLUSTER, abi::VMSF_ERR_NOT_AUTHORIZED, abi::VMSF_ERR_NO_BACKUP];

/// Tells the hammers to end, also when the check ends early.
struct Ending<'a>(&'a AtomicBool);

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn hammer(case: &Case, raw: &Raw, p: u64, servers: &[AtomicU64], seed: usize, ending: &AtomicBool) {
    let mut round = seed;
    let mut to = Outputs::with_room(512);
    while !ending.load(Ordering::Relaxed) {
        let s = servers[round % servers.len()].load(Ordering::Relaxed);
        let (member, further) = CALLS[round / 3 % CALLS.len()];
        let kind = if round.is_multiple_of(64) { abi::VMSF_NOTIFY_CONNECTED } else { abi::VMSF_NOTIFY_KEEP_ALIVE };
        let mut args = Args { p, ..rig::good(member, p, s, "{}") };
        if member == Member::Notify {
            args.number = kind;
        }
        if member == Member::Server {
            args.text = "new".into();
        }
        let code = raw.call(member, &args, &mut to);
        if member == Member::Server && code == abi::VMSF_OK {
            servers[0].store(to.word.unwrap_or(0), Ordering::Relaxed);
        }
        let documented = [abi::VMSF_OK, abi::VMSF_ERR_STATE, abi::VMSF_ERR_BUSY, abi::VMSF_ERR_HANDLE];
        if !documented.contains(&code) && !further.contains(&code) {
            case.found(
                format!("{}, beside fifteen other threads", member.name()),
                names(&[&documented, further].concat()),
                name(code),
            );
        }
        round += 1;
        // Every command is a durable write; the others need their turn, too.
        if round.is_multiple_of(16) {
            thread::yield_now();
        }
    }
}

/// Answers at once, inside `begin`.
fn answer(raw: &Raw, p: u64, callback: &Callback) {
    let Callback::Begin { kind, id, json, .. } = callback else { return };
    if *kind == abi::VMSF_OP_BACKUP {
        // Its directory may be gone, with its server.
        let _ = std::fs::write(json["file"].as_str().unwrap_or_default(), b"settings");
    }
    let token = if *kind == abi::VMSF_OP_AUTHORIZE { TOKEN } else { b"" };
    rig::complete(raw, p, *id, abi::VMSF_OUTCOME_OK, token);
}

fn storm(case: &Case, drives: bool) -> Done {
    let rig = Rig::new(case, drives, &["a", "b"])?;
    std::fs::create_dir_all(rig.backups()).or_else(|error| case.cannot("a folder for backups", error))?;
    let servers = [AtomicU64::new(0), AtomicU64::new(rig.server("a")?), AtomicU64::new(rig.server("b")?)];
    let (raw, p) = (std::sync::Arc::clone(&rig.raw), rig.p);
    rig.probe.hook(move |callback| answer(&raw, p, callback));
    let (ending, ready) = (AtomicBool::new(false), Barrier::new(THREADS + 1));
    let done = thread::scope(|scope| {
        for seed in 0..THREADS {
            let (rig, servers, ending, ready) = (&rig, &servers, &ending, &ready);
            let raw = &rig.raw;
            scope.spawn(move || {
                ready.wait();
                hammer(case, raw, p, servers, seed, ending);
            });
        }
        ready.wait();
        let _end = Ending(&ending);
        (0..LIVES).try_for_each(|round| live(&rig, round))?;
        rig.destroy()
    });
    done?;
    let what = format!("{THREADS} threads");
    case.all(&what, "event and begin one at a time", &rig.probe.broken(Rule::OneAtATime));
    case.all(&what, "no event and no begin after stop", &rig.probe.broken(Rule::NotAfterStop));
    case.all(&what, "no callback after release", &rig.probe.broken(Rule::NotAfterRelease));
    case.holds(rig.probe.released() > 0, &what, "release", "it was not called");
    let seqs: Vec<u64> = rig.probe.seen().iter().filter_map(|seen| seq(&seen.callback)).collect();
    let gapless = seqs.windows(2).all(|pair| pair[1] == pair[0] + 1);
    case.holds(gapless && !seqs.is_empty(), what, "events without a gap", format!("{} events", seqs.len()));
    Ok(())
}

fn seq(callback: &Callback) -> Option<u64> {
    if let Callback::Event { seq, .. } = callback { Some(*seq) } else { None }
}

/// From a start to a stop.
fn live(rig: &Rig<'_>, round: usize) -> Done {
    rig.start()?;
    let began = Instant::now();
    let mut step = round;
    while began.elapsed() < LIFE || step < round + 2 {
        let ids: &[&str] = if step.is_multiple_of(2) { &["a", "b", "new"] } else { &["a", "b"] };
        let text = rig::config(rig.folder(), ids).to_string();
        let args = Args { text: text.as_str().into(), number: 0, ..rig.good(Member::Configure, 0, "") };
        let code = rig.call(Member::Configure, &args, &mut Outputs::with_room(4096));
        // A server that is taken over cannot be removed.
        rig.case.code(
            "configure, beside sixteen threads",
            code,
            &[abi::VMSF_OK, abi::VMSF_ERR_CONFIG, abi::VMSF_ERR_BUSY],
        );
        if rig.drives {
            let now = rig.now()? + SECOND;
            (0..4).for_each(|_| rig.case.code("poll, beside sixteen threads", rig.poll(now).0, &[abi::VMSF_OK]));
        }
        step += 1;
    }
    rig.case.needs_code("stop, beside sixteen threads", rig.stop_within(PATIENCE_MS), abi::VMSF_OK)
}
