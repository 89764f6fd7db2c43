//! Texts out: the host's buffers, their ends, and the length that is told.

use vms_failover_abi as abi;

use super::calls::TEXT_OUT;
use super::case::{Case, Check, Done, name};
use super::rig::{Rig, SETTINGS};
use crate::plugin::raw::{Args, Member, Outputs, Room, UNWRITTEN};

pub const CHECKS: [Check; 4] = [
    Check {
        name: "text-out-within-cap",
        why: "Rule 3: \"Outputs go into the host's buffer.\" Every function that gives a text gets buffers of 0, 1, one too few, just enough \
              and more bytes, each with a guard behind it: no byte behind `cap` may be written, whatever the result.",
        cure: "Compare the length with cap, the NUL included, before the first byte is written.",
        limit_s: 20,
        run: |case| each_room(case, Look::Guard),
    },
    Check {
        name: "text-out-length",
        why: "Rule 3: \"VMSF_OK and VMSF_ERR_TOO_SMALL write `*len` (bytes without the NUL); what fits is NUL-terminated, TOO_SMALL leaves \
              \\\"\\\"; `buf` NULL with `cap` 0 asks for the size and gives TOO_SMALL.\" The length told must be the one of the text, for every \
              size of the buffer.",
        cure: "Tell the length of the whole text without its NUL; write all of it with a NUL, or only the NUL.",
        limit_s: 20,
        run: |case| each_room(case, Look::Length),
    },
    Check {
        name: "text-out-failure-writes-nothing",
        why: "Rule 3: \"No other failure writes anything.\" Every function that gives a text is called with a handle of nobody and, where it has \
              one, a bad text; buffer, length and the other outputs must be untouched.",
        cure: "Write outputs last, when nothing can fail any more.",
        limit_s: 20,
        run: failures,
    },
    Check {
        name: "last-error",
        why: "Rule 7: \"`last_error` holds the text, for people, at most 4 KiB, per instance; notify, TOO_SMALL, BUSY and HANDLE never set it, \
              success does not clear it.\"",
        cure: "Keep code and text of each instance's last failure, but for those four.",
        limit_s: 20,
        run: last_error,
    },
];

/// What is looked at.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Look {
    Guard,
    Length,
}

/// A stopped instance, whose texts do not change between two calls, with an error to tell.
fn still(case: &Case) -> Done<(Rig<'_>, u64)> {
    let rig = Rig::new(case, true, &["a", "b"])?;
    let s = rig.server("a")?;
    case.code("restore while stopped", rig.well(Member::Restore, s), &[abi::VMSF_ERR_STATE]);
    Ok((rig, s))
}

fn each_room(case: &Case, look: Look) -> Done {
    let (rig, s) = still(case)?;
    for member in TEXT_OUT {
        let text = rig.document();
        let give = |cap: usize, room: Room| {
            let mut to = Outputs { room, ..Outputs::with_room(0) };
            case.doing(format!("{}, cap {cap}", member.name()));
            (rig.raw.call(member, &rig.good(member, s, &text), &mut to), to)
        };
        let (code, to) = give(0, Room::null(0));
        let size = to.len.unwrap_or(0);
        if look == Look::Length {
            case.code(format!("{}, NULL with cap 0", member.name()), code, &[abi::VMSF_ERR_TOO_SMALL]);
        }
        case.needs(size > 0 && size < 1 << 20, format!("{}, NULL with cap 0", member.name()), "its size", size)?;
        for cap in [0, 1, 2, size - 1, size, size + 1, size + 9, size + 4096] {
            let (code, to) = give(cap, Room::of(cap));
            let what = format!("{}, a text of {size} bytes and cap {cap}", member.name());
            match look {
                Look::Guard => {
                    case.holds(to.room.guard_holds(), what, "nothing behind cap is written", "a byte behind it was")
                }
                Look::Length => length(case, &what, size, cap, code, &to),
            }
        }
    }
    reports(case, &rig, look);
    rig.end()
}

fn length(case: &Case, what: &str, size: usize, cap: usize, code: abi::vmsf_result, to: &Outputs) {
    let fits = cap > size;
    case.code(what, code, &[if fits { abi::VMSF_OK } else { abi::VMSF_ERR_TOO_SMALL }]);
    let len = to.len.unwrap_or(0);
    case.holds(len == size, what, format!("*len {size}, as it was told before"), len);
    let text = to.room.text().map(<[u8]>::len);
    let wanted = if fits { Some(size) } else { (cap > 0).then_some(0) };
    let said = |text: Option<usize>| text.map_or_else(|| "no text".into(), |len| format!("a NUL after {len} bytes"));
    case.holds(text == wanted, what, said(wanted), said(text));
}

/// Reports of `configure` and `edit`: empty where they do not fit, which changes no result.
fn reports(case: &Case, rig: &Rig<'_>, look: Look) {
    for member in [Member::Configure, Member::Edit] {
        let text = r#"{"monitored_servers":7}"#;
        for cap in [0, 1, 8, 13, 4096] {
            let mut to = Outputs::with_room(cap);
            let what = format!("{}, a report with cap {cap}", member.name());
            case.doing(&what);
            let args = Args { text: text.into(), ..rig.good(member, 0, "") };
            let code = rig.raw.call(member, &args, &mut to);
            let (len, has) = (to.len.unwrap_or(0), to.room.text().map(<[u8]>::len));
            match look {
                Look::Guard => {
                    case.holds(to.room.guard_holds(), what, "nothing behind cap is written", "a byte behind it was")
                }
                Look::Length => {
                    let refused = [abi::VMSF_ERR_CONFIG, abi::VMSF_ERR_JSON];
                    case.code(&what, code, &refused);
                    let wanted = if cap > len { Some(len) } else { (cap > 0).then_some(0) };
                    let holds = code != abi::VMSF_ERR_CONFIG || has == wanted;
                    case.holds(holds, what, format!("a text of {wanted:?} bytes"), format!("{has:?}"));
                }
            }
        }
    }
}

fn failures(case: &Case) -> Done {
    let (rig, s) = still(case)?;
    let text = rig.document();
    let untouched = |what: String, args: &Args<'_>, member: Member, expected: &[abi::vmsf_result]| {
        let mut to = Outputs::with_room(4096);
        case.doing(&what);
        let code = rig.raw.call(member, args, &mut to);
        case.code(&what, code, expected);
        case.holds(to.are_untouched(), what, "buffer, length and other outputs are untouched", "something was written");
    };
    let members = TEXT_OUT.into_iter().chain([
        Member::Configure,
        Member::Edit,
        Member::Server,
        Member::NextServer,
        Member::NowNs,
    ]);
    for member in members {
        for p in [0, u64::MAX] {
            let args = Args { p, ..rig.good(member, s, &text) };
            untouched(
                format!("{}, an instance handle of nobody", member.name()),
                &args,
                member,
                &[abi::VMSF_ERR_HANDLE],
            );
        }
    }
    for member in [Member::ServerId, Member::Status, Member::RecordingsIni, Member::NextServer] {
        let args = rig.good(member, u64::MAX, SETTINGS);
        untouched(format!("{}, a server handle of nobody", member.name()), &args, member, &[abi::VMSF_ERR_HANDLE]);
    }
    for member in [Member::Configure, Member::Edit, Member::Server] {
        let args = Args { text: crate::plugin::raw::Text::Of(b"\xff"), ..rig.good(member, s, "") };
        untouched(format!("{}, bytes that are no UTF-8", member.name()), &args, member, &[abi::VMSF_ERR_UTF8]);
    }
    for member in [Member::Takeover, Member::Restore, Member::Backup] {
        let args = rig.good(member, s, "");
        untouched(format!("{} while stopped", member.name()), &args, member, &[abi::VMSF_ERR_STATE]);
    }
    let args = Args { text: "nobody".into(), ..rig.good(Member::Server, 0, "") };
    untouched("server, an id of nobody".into(), &args, Member::Server, &[abi::VMSF_ERR_NOT_FOUND]);
    rig.end()
}

/// Code and text.
type Told = (abi::vmsf_result, String);

fn told(rig: &Rig<'_>) -> Done<Told> {
    let mut to = Outputs::with_room(8192);
    let code = rig.call(Member::LastError, &rig.good(Member::LastError, 0, ""), &mut to);
    rig.case.needs_code("last_error", code, abi::VMSF_OK)?;
    let text = String::from_utf8_lossy(to.room.text().unwrap_or_default()).into_owned();
    rig.case.holds(text.len() <= 4096, "last_error", "at most 4 KiB", format!("{} bytes", text.len()));
    Ok((to.code.unwrap_or(0), text))
}

fn last_error(case: &Case) -> Done {
    let raw = case.raw()?;
    let (rig, other) = (Rig::of(case, &raw, true, &["a"])?, Rig::of(case, &raw, true, &["a"])?);
    rig.begin()?;
    let s = rig.server("a")?;
    let fresh = told(&rig)?;
    case.holds(
        fresh == (abi::VMSF_OK, String::new()),
        "last_error before the first error",
        "VMSF_OK and \"\"",
        format!("{fresh:?}"),
    );
    case.code("start while running", rig.well(Member::Start, 0), &[abi::VMSF_ERR_STATE]);
    let kept = told(&rig)?;
    let good = kept.0 == abi::VMSF_ERR_STATE && !kept.1.is_empty();
    case.holds(
        good,
        "last_error after start while running",
        "VMSF_ERR_STATE and a text",
        format!("{}: {:?}", name(kept.0), kept.1),
    );
    rig.notify(s, 99, 0);
    rig.notify(s ^ (1 << 33), abi::VMSF_NOTIFY_CONNECTED, 0);
    (0..9).for_each(|_| {
        rig.notify(s, abi::VMSF_NOTIFY_CONNECTED, 0);
    });
    rig.raw.call(Member::ServerId, &rig.good(Member::ServerId, UNWRITTEN, ""), &mut Outputs::with_room(8));
    rig.raw.call(Member::Config, &rig.good(Member::Config, 0, ""), &mut Outputs::with_room(8));
    rig.text(Member::Config, 0)?;
    let still = told(&rig)?;
    let what = "last_error after notify, TOO_SMALL, HANDLE and successes";
    case.holds(still == kept, what, format!("still {}", name(kept.0)), format!("{}: {:?}", name(still.0), still.1));
    let apart = told(&other)?;
    case.holds(apart.0 == abi::VMSF_OK, "last_error of another instance", "VMSF_OK", name(apart.0));
    other.end()?;
    rig.end()
}
