//! Every function of the table × every state of an instance × arguments that are good, NULL, of nobody, out of range.
//!
//! The states are stopped, running and stopping. Poisoned is not among them: only a panic inside the plugin leads there, and no call that a
//! host can make causes one in a plugin without faults. In a state in which a well-meant call is refused a bad one may be refused for either
//! reason; while running the reason is the bad argument.

use vms_failover_abi as abi;
use vms_failover_abi::vmsf_result;

use super::case::{Case, Check, Done};
use super::rig::{self, Hold, MODES, PATIENCE_MS, ROOM, Rig, mode};
use crate::plugin::probe::Callback;
use crate::plugin::raw::{Args, Member, Outputs, Room, Text};

pub const CHECKS: [Check; 6] = [
    Check {
        name: "calls-in-every-state",
        why: "Rule 6: \"start only in stopped; stop in any; destroy only once stopped. While stopped, notify and whatever begins an operation \
              give VMSF_ERR_STATE; configure, edit, cluster, cancel, deauthorize and reading work.\" Every function is called, well-meant, on \
              an instance that is stopped, running, and stopping, with a worker and with VMSF_HOST_DRIVES.",
        cure: "Check the state in each function, and give the documented code.",
        limit_s: 40,
        run: every_state,
    },
    Check {
        name: "calls-with-null",
        why: "Common errors: \"VMSF_ERR_INVALID for a NULL argument that is not optional\". Each pointer of every function is NULL in turn: \
              texts and secrets with a length, outputs, buffers with a size; optional ones (`req`, `report`, `code`) are taken.",
        cure: "Look at each pointer before it is used; refuse the call with VMSF_ERR_INVALID, or leave out what is optional.",
        limit_s: 20,
        run: nulls,
    },
    Check {
        name: "calls-out-of-range",
        why: "VMSF_ERR_INVALID is for \"an unknown flag bit, a number out of range\", VMSF_ERR_UNSUPPORTED for an unknown kind of `notify`; a \
              secret has at most 4 KiB (rule 10). Each number of every function is one that it cannot be.",
        cure: "Check every number against what the header allows.",
        limit_s: 20,
        run: numbers,
    },
    Check {
        name: "handles-of-instances",
        why: "Rule 4: \"A stale, foreign, swapped or zero handle gives VMSF_ERR_HANDLE, never undefined behaviour.\" Every function is called \
              with an instance handle that is 0, destroyed (also while a new instance has its place), a server's, invented, and all ones.",
        cure: "Put kind, generation and instance into the handle, and check all of them first in every function.",
        limit_s: 20,
        run: instances,
    },
    Check {
        name: "handles-of-servers",
        why: "Rule 4, for the handles of servers, in each state: 0 where it means nothing, removed (also while a new server has its place), of \
              another instance, an instance's, all ones.",
        cure: "Put kind, generation and instance into the handle, and check all of them before anything else that may be wrong.",
        limit_s: 20,
        run: servers,
    },
    Check {
        name: "failed-calls-change-nothing",
        why: "Rule 6: \"A failed call changes nothing.\" Every bad call of the other checks is made on one running instance; afterwards its \
              configuration is the same, no operation was begun, and no event came but those that the host asked for.",
        cure: "Check all arguments before the first thing is changed.",
        limit_s: 20,
        run: nothing_changed,
    },
];

/// The states of an instance, with what is needed to leave them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Stopped,
    Running,
    Stopping,
}

pub const STATES: [State; 3] = [State::Stopped, State::Running, State::Stopping];

/// An instance in a state. A stopping one is held in a callback.
pub struct InState<'a> {
    pub rig: Rig<'a>,
    pub s: u64,
    pub state: State,
    hold: Option<Hold>,
}

impl<'a> InState<'a> {
    pub fn new(case: &'a Case, state: State, drives: bool) -> Done<Self> {
        let rig = Rig::new(case, drives, &["a", "b"])?;
        let s = rig.server("a")?;
        if state == State::Stopped {
            return Ok(Self { rig, s, state, hold: None });
        }
        rig.begin()?;
        // Of a stopping one the worker delivers; a driven one would need a thread that polls.
        let hold = if state == State::Stopping { Some(rig.stopping(s)?) } else { None };
        Ok(Self { rig, s, state, hold })
    }

    /// What it is, in words.
    pub fn words(&self) -> String {
        format!("{:?}, {}", self.state, mode(self.rig.drives))
            .to_lowercase()
            .replace("vmsf_host_drives", "VMSF_HOST_DRIVES")
    }

    pub fn end(mut self) -> Done {
        if let Some(hold) = self.hold.take() {
            hold.go_on();
        }
        self.rig.end()
    }
}

impl Drop for InState<'_> {
    fn drop(&mut self) {
        if let Some(hold) = self.hold.take() {
            hold.go_on();
        }
    }
}

/// The states that can be had in a mode.
pub fn states(drives: bool) -> impl Iterator<Item = State> {
    STATES.into_iter().filter(move |state| !(drives && *state == State::Stopping))
}

/// Members that the header marks "Not yet".
pub fn is_not_yet(member: Member) -> bool {
    matches!(member, Member::Maintenance | Member::Drill)
}

/// The codes of a well-meant call, of an instance in which nobody has joined, authorized or backed up anything.
pub fn documented(member: Member, state: State, drives: bool) -> Vec<vmsf_result> {
    use abi::*;
    let (stopped, running) = (state == State::Stopped, state == State::Running);
    let one = match member {
        // These may come with a later version of the plugin, without another ABI.
        Member::Maintenance | Member::Drill => {
            let later = [VMSF_OK, VMSF_ERR_INVALID, VMSF_ERR_STATE, VMSF_ERR_BUSY, VMSF_ERR_NOT_IN_CLUSTER];
            return [&[VMSF_ERR_UNSUPPORTED][..], &later, &[VMSF_ERR_JSON]].concat();
        }
        Member::Poll if !drives => VMSF_ERR_UNSUPPORTED,
        Member::Start => {
            if stopped {
                VMSF_OK
            } else {
                VMSF_ERR_STATE
            }
        }
        Member::Destroy => {
            if stopped {
                VMSF_OK
            } else {
                VMSF_ERR_STATE
            }
        }
        Member::Stop => {
            if state == State::Stopping {
                VMSF_ERR_TIMEOUT
            } else {
                VMSF_OK
            }
        }
        Member::Notify | Member::Poll | Member::JoinCluster | Member::Authorize => {
            if running {
                VMSF_OK
            } else {
                VMSF_ERR_STATE
            }
        }
        Member::Complete | Member::Progress => {
            if running {
                VMSF_ERR_NOT_FOUND
            } else {
                VMSF_ERR_STATE
            }
        }
        Member::Takeover | Member::Backup => {
            if running {
                VMSF_ERR_NOT_IN_CLUSTER
            } else {
                VMSF_ERR_STATE
            }
        }
        Member::Restore | Member::Cancel => VMSF_ERR_STATE,
        Member::Deauthorize => VMSF_ERR_NOT_AUTHORIZED,
        _ => VMSF_OK,
    };
    // What works while stopped and while running may be refused in between.
    if state == State::Stopping
        && one != VMSF_ERR_STATE
        && !matches!(member, Member::Stop | Member::NowNs | Member::LastError)
    {
        return vec![one, VMSF_ERR_STATE];
    }
    vec![one]
}

fn every_state(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        for state in states(drives) {
            for member in Member::ALL {
                let at = InState::new(case, state, drives)?;
                let what = format!("{}, {}", member.name(), at.words());
                let text = at.rig.document();
                let mut args = at.rig.good(member, at.s, &text);
                if state == State::Stopping && member == Member::Stop {
                    args.number = 10;
                }
                let code = at.rig.call(member, &args, &mut Outputs::with_room(ROOM));
                case.code(what, code, &documented(member, state, drives));
                if member == Member::Destroy && code == abi::VMSF_OK {
                    let stale = raw.call(Member::Destroy, &args, &mut Outputs::with_room(0));
                    case.code("destroy, twice", stale, &[abi::VMSF_ERR_HANDLE]);
                    case.holds(at.rig.probe.released() > 0, "destroy", "release is called", at.rig.probe.released());
                } else {
                    at.end()?;
                }
            }
        }
    }
    Ok(())
}

/// A call with one thing wrong.
pub struct Bad<'t> {
    pub member: Member,
    pub what: &'static str,
    pub args: Args<'t>,
    pub to: Outputs,
    pub code: vmsf_result,
}

fn room() -> Outputs {
    Outputs::with_room(ROOM)
}

/// Members that give a text of the plugin.
pub const TEXT_OUT: [Member; 6] =
    [Member::ServerId, Member::Config, Member::Status, Member::Log, Member::RecordingsIni, Member::LastError];
/// Members that are given JSON, an id, words or settings, with the most bytes of it and whether it is JSON.
pub const TEXT_IN: [(Member, usize, bool); 14] = [
    (Member::Configure, 256 << 20, true),
    (Member::Edit, 1 << 20, true),
    (Member::Server, 64, false),
    (Member::RecordingsIni, 64 << 10, false),
    (Member::Progress, 64 << 10, false),
    (Member::Cluster, 64 << 10, true),
    (Member::JoinCluster, 64 << 10, true),
    (Member::Authorize, 64 << 10, true),
    (Member::Deauthorize, 64 << 10, true),
    (Member::Backup, 64 << 10, true),
    (Member::Takeover, 64 << 10, true),
    (Member::Restore, 64 << 10, true),
    (Member::Cancel, 64 << 10, true),
    (Member::Complete, 64 << 10, true),
];

/// Every call with a pointer that is NULL where it may not be.
fn null_calls(p: u64, s: u64, text: &str) -> Vec<Bad<'_>> {
    let good = |member| rig::good(member, p, s, text);
    let mut bad = Vec::new();
    let mut add = |member, what, args, to| bad.push(Bad { member, what, args, to, code: abi::VMSF_ERR_INVALID });
    for (member, ..) in TEXT_IN {
        add(member, "NULL for the text, with a length", Args { text: Text::Null(3), ..good(member) }, room());
    }
    for member in [Member::JoinCluster, Member::Authorize, Member::Complete] {
        add(member, "NULL for the secret, with a length", Args { secret: Text::Null(3), ..good(member) }, room());
    }
    add(Member::Authorize, "no secret", Args { secret: Text::Null(0), ..good(Member::Authorize) }, room());
    add(Member::Authorize, "an empty secret", Args { secret: "".into(), ..good(Member::Authorize) }, room());
    for member in [Member::NowNs, Member::Server, Member::NextServer] {
        let s = if member == Member::NextServer { 0 } else { s };
        add(member, "NULL for the output", Args { s, ..good(member) }, Outputs { word: None, ..room() });
    }
    for member in TEXT_OUT {
        add(member, "NULL for the length", good(member), Outputs { len: None, ..room() });
        add(member, "NULL for the buffer, with a size", good(member), Outputs { room: Room::null(64), ..room() });
    }
    for member in [Member::Configure, Member::Edit] {
        add(member, "NULL for the report, with a size", good(member), Outputs { room: Room::null(64), ..room() });
    }
    bad
}

/// Every call with a number that it cannot be.
fn number_calls(p: u64, s: u64, text: &str) -> Vec<Bad<'_>> {
    use abi::{VMSF_ERR_INVALID, VMSF_ERR_LIMIT, VMSF_ERR_UNSUPPORTED};
    const LONG: [u8; 4097] = [7; 4097];
    let good = |member| rig::good(member, p, s, text);
    let mut bad = Vec::new();
    let numbers: [(Member, &'static str, u32, vmsf_result); 11] = [
        (Member::Configure, "flag bit 1", 2, VMSF_ERR_INVALID),
        (Member::Configure, "flag bit 31", 1 << 31, VMSF_ERR_INVALID),
        (Member::Edit, "flag bit 31", 1 << 31, VMSF_ERR_INVALID),
        (Member::Notify, "kind 0", 0, VMSF_ERR_UNSUPPORTED),
        (Member::Notify, "kind 7", 7, VMSF_ERR_UNSUPPORTED),
        (Member::Notify, "kind 4294967295", u32::MAX, VMSF_ERR_UNSUPPORTED),
        (Member::Progress, "permille 1001", 1001, VMSF_ERR_INVALID),
        (Member::Cluster, "joined 2", 2, VMSF_ERR_INVALID),
        (Member::Complete, "outcome 3", 3, VMSF_ERR_INVALID),
        (Member::Complete, "outcome 4294967295", u32::MAX, VMSF_ERR_INVALID),
        (Member::Cluster, "joined 4294967295", u32::MAX, VMSF_ERR_INVALID),
    ];
    for (member, what, number, code) in numbers {
        bad.push(Bad { member, what, args: Args { number, ..good(member) }, to: room(), code });
    }
    for member in [Member::JoinCluster, Member::Authorize, Member::Complete] {
        let args = Args { secret: Text::Of(&LONG), ..good(member) };
        bad.push(Bad { member, what: "a secret of 4,097 bytes", args, to: room(), code: VMSF_ERR_LIMIT });
        let args = Args { secret: Text::Claimed(&LONG, usize::MAX), ..good(member) };
        bad.push(Bad { member, what: "a secret said to have 2^64 - 1 bytes", args, to: room(), code: VMSF_ERR_LIMIT });
    }
    bad
}

/// Makes bad calls of an instance in each state.
pub fn in_each_state(case: &Case, calls: impl for<'t> Fn(u64, u64, &'t str) -> Vec<Bad<'t>>) -> Done {
    for drives in MODES {
        for state in states(drives) {
            let at = InState::new(case, state, drives)?;
            let text = at.rig.document();
            for mut bad in calls(at.rig.p, at.s, &text) {
                let mut allowed = vec![bad.code];
                if state != State::Running {
                    allowed
                        .extend(documented(bad.member, state, drives).into_iter().filter(|code| *code != abi::VMSF_OK));
                }
                let what = format!("{}, {}, {}", bad.member.name(), bad.what, at.words());
                case.doing(&what);
                let code = at.rig.raw.call(bad.member, &bad.args, &mut bad.to);
                case.code(&what, code, &allowed);
                let writes = bad.to.are_untouched();
                case.holds(
                    writes || code == abi::VMSF_OK,
                    what,
                    "no output is written by a call that fails",
                    "one was",
                );
            }
            at.end()?;
        }
    }
    Ok(())
}

fn nulls(case: &Case) -> Done {
    in_each_state(case, null_calls)?;
    let rig = Rig::running(case, true, &["a", "b"])?;
    let s = rig.server("a")?;
    let none = || Outputs { word: None, len: None, room: Room::null(0), code: None };
    let with_len = || Outputs { len: Some(0), ..none() };
    let optional = [
        (Member::Configure, none(), abi::VMSF_OK),
        (Member::Edit, none(), abi::VMSF_OK),
        (Member::Authorize, none(), abi::VMSF_OK),
        (Member::JoinCluster, none(), abi::VMSF_OK),
        (Member::LastError, Outputs { code: None, ..room() }, abi::VMSF_OK),
        (Member::Config, with_len(), abi::VMSF_ERR_TOO_SMALL),
        (Member::Status, with_len(), abi::VMSF_ERR_TOO_SMALL),
    ];
    for (member, mut to, expected) in optional {
        let what = format!("{}, NULL for all that is optional", member.name());
        let text = rig.document();
        let code = rig.call(member, &rig.good(member, s, &text), &mut to);
        case.code(what, code, &[expected]);
    }
    rig.end()
}

fn numbers(case: &Case) -> Done {
    in_each_state(case, number_calls)?;
    let rig = Rig::running(case, true, &["a"])?;
    case.code("poll, now_ns 0", rig.poll(0).0, &[abi::VMSF_ERR_INVALID]);
    let args = rig.good(Member::Poll, 0, "");
    let code = rig.call(Member::Poll, &args, &mut Outputs { word: None, ..room() });
    case.code("poll, NULL for next_ns", code, &[abi::VMSF_ERR_INVALID]);
    for s in [0, rig.server("a")?] {
        let args = Args { number: u32::MAX, long: u64::MAX, ..rig.good(Member::Log, s, "") };
        let code = rig.call(Member::Log, &args, &mut room());
        case.code("log, 4294967295 entries from 2^64 - 1 on", code, &[abi::VMSF_OK]);
    }
    rig.end()
}

fn instances(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let gone = Rig::of(case, &raw, drives, &["a", "b"])?;
        let (stale, server_of_gone) = (gone.p, gone.server("a")?);
        gone.end()?;
        for state in states(drives) {
            // The first one created after a destroy may have the place of the old one.
            let at = InState::new(case, state, drives)?;
            let text = at.rig.document();
            let wrong = [
                ("0", 0, at.s),
                ("of a destroyed instance", stale, server_of_gone),
                ("of a destroyed instance, with a server that is there", stale, at.s),
                ("of a server", at.s, at.s),
                ("invented", at.rig.p ^ (1 << 30), at.s),
                ("of the generation before", at.rig.p.wrapping_sub(1 << 32), at.s),
                ("of all ones", u64::MAX, at.s),
            ];
            for member in Member::ALL {
                for (handle, p, s) in wrong.iter().filter(|(_, p, _)| *p != at.rig.p) {
                    let what = format!("{}, an instance handle {handle}, while one is {}", member.name(), at.words());
                    case.doing(&what);
                    let mut to = room();
                    let code = raw.call(member, &rig::good(member, *p, *s, &text), &mut to);
                    case.code(&what, code, &[abi::VMSF_ERR_HANDLE]);
                    case.holds(to.are_untouched(), what, "no output is written by a call that fails", "one was");
                }
            }
            at.end()?;
        }
    }
    Ok(())
}

/// Members that look at a server.
const WITH_SERVER: [Member; 11] = [
    Member::Notify,
    Member::NextServer,
    Member::ServerId,
    Member::Status,
    Member::RecordingsIni,
    Member::Authorize,
    Member::Deauthorize,
    Member::Backup,
    Member::Takeover,
    Member::Restore,
    Member::Cancel,
];

fn servers(case: &Case) -> Done {
    let raw = case.raw()?;
    let other = Rig::of(case, &raw, true, &["x", "y", "z"])?;
    let foreign = other.server("y")?;
    for drives in MODES {
        for state in states(drives) {
            let at = InState::new(case, state, drives)?;
            let stale = removed(&at)?;
            let wrong = [
                ("0", 0),
                ("of a removed server", stale),
                ("of another instance", foreign),
                ("of an instance", at.rig.p),
                ("of the generation before", at.s.wrapping_sub(1 << 32)),
                ("of all ones", u64::MAX),
            ];
            for member in WITH_SERVER {
                for (handle, s) in wrong {
                    let means_all = s == 0 && matches!(member, Member::NextServer | Member::Status | Member::Backup);
                    if means_all || (stale == 0 && handle == "of a removed server") {
                        continue;
                    }
                    let mut allowed = vec![abi::VMSF_ERR_HANDLE];
                    if state != State::Running && member == Member::Notify {
                        allowed.push(abi::VMSF_ERR_STATE);
                    }
                    let what = format!("{}, a server handle {handle}, {}", member.name(), at.words());
                    case.doing(&what);
                    let mut to = room();
                    let text = at.rig.document();
                    let code = raw.call(member, &rig::good(member, at.rig.p, s, &text), &mut to);
                    case.code(&what, code, &allowed);
                    case.holds(to.are_untouched(), what, "no output is written by a call that fails", "one was");
                }
            }
            at.end()?;
        }
    }
    other.end()
}

/// The handle of a server that was removed, and in whose place there is another; 0 where nothing can be removed now.
fn removed(at: &InState<'_>) -> Done<u64> {
    if at.state == State::Stopping {
        return Ok(0);
    }
    let stale = at.rig.server("b")?;
    at.rig.change(Member::Edit, r#"{"remove":["b"]}"#)?;
    if at.state == State::Running && at.rig.drives {
        at.rig.settle(at.rig.now()?)?;
    }
    at.rig.change(Member::Edit, r#"{"add":[{"id":"c","host":"c.example"}]}"#)?;
    let next = at.rig.server("c")?;
    at.rig.case.holds(next != stale, "server", "another handle than that of the server removed before", "the same one");
    Ok(stale)
}

fn nothing_changed(case: &Case) -> Done {
    for drives in MODES {
        let rig = Rig::running(case, drives, &["a", "b"])?;
        let s = rig.server("a")?;
        let (before, text) = (rig.text(Member::Config, 0)?, rig.document());
        let bad = null_calls(rig.p, s, &text).into_iter().chain(number_calls(rig.p, s, &text));
        for mut bad in bad.chain(super::texts::bad_texts(rig.p, s, &text)) {
            case.doing(format!("{}, {}", bad.member.name(), bad.what));
            rig.raw.call(bad.member, &bad.args, &mut bad.to);
        }
        case.holds(
            rig.text(Member::Config, 0)? == before,
            "the configuration after calls that failed",
            "as before",
            "another",
        );
        // An event that comes now is the one that is asked for, and nothing stands before it.
        case.needs_code("notify", rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0), abi::VMSF_OK)?;
        rig.wait("connected", |c| c.says("health", "to", "connected"))?;
        let asked_for = |c: &Callback| c.code() == "health" || !c.is_delivery();
        let others: Vec<String> =
            rig.probe.seen().iter().map(|seen| &seen.callback).filter(|c| !asked_for(c)).map(Callback::brief).collect();
        case.holds(
            others.is_empty(),
            format!("calls that fail, {}", mode(drives)),
            "no event and no begin",
            others.join(", "),
        );
        case.code("stop", rig.stop_within(PATIENCE_MS), &[abi::VMSF_OK]);
        rig.destroy()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_member_with_a_text_a_server_or_an_output_is_tried_with_null() {
        let calls = null_calls(1, 2, rig::SETTINGS);
        let tried = |member: Member| calls.iter().any(|bad| bad.member == member);
        for (member, ..) in TEXT_IN {
            assert!(tried(member), "{member:?}");
        }
        assert!(TEXT_OUT.into_iter().all(tried));
    }
}
