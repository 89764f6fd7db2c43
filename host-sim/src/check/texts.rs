//! Texts in: too long, not UTF-8, with a NUL, deep, of no documented shape, and lengths that lie.

use vms_failover_abi as abi;
use vms_failover_abi::vmsf_result;

use super::calls::{Bad, TEXT_IN, in_each_state};
use super::case::Check;
use super::rig::{self, ROOM};
use crate::plugin::raw::{Args, Member, Outputs, Text};

pub const CHECKS: [Check; 5] = [
    Check {
        name: "texts-too-long",
        why: "Rule 14: \"configuration 256 MiB, edit 1 MiB, any other JSON 64 KiB in or out, ids 64 bytes. Past a limit VMSF_ERR_LIMIT or \
              VMSF_ERR_BUSY, never unbounded memory.\" Every function with a text is given one byte too many, and a few bytes that are said \
              to be 2^64 - 1: the length is looked at before the text. In each state.",
        cure: "Compare the length with the limit before a byte is read or copied.",
        limit_s: 20,
        run: |case| in_each_state(case, too_long),
    },
    Check {
        name: "texts-not-utf8",
        why: "Rule 3: \"Text inputs are UTF-8 with an explicit length\"; VMSF_ERR_UTF8 is for what is not. Every function with a text is given \
              bytes that are no UTF-8, a surrogate, and a character that is cut. In each state. (But recordings_ini, whose text may be in any \
              8-bit encoding.)",
        cure: "Check each text before it is used; do not trust the host.",
        limit_s: 20,
        run: |case| in_each_state(case, not_utf8),
    },
    Check {
        name: "texts-with-nul",
        why: "VMSF_ERR_UTF8: \"A text is not UTF-8, or holds a NUL.\" A text that ends early for C and late for others is two texts. Every \
              function with a text is given one with a NUL in it, in each state.",
        cure: "Refuse a NUL within the length of a text.",
        limit_s: 20,
        run: |case| in_each_state(case, with_nul),
    },
    Check {
        name: "texts-deep-json",
        why: "A JSON that is nested 10,000 deep overflows the stack of a careless reader, which ends the host. Every function with a JSON is \
              given arrays and objects so deep, closed and not, and must give VMSF_ERR_JSON (for a configuration VMSF_ERR_CONFIG, too). In \
              each state.",
        cure: "Bound the depth of what is read; a hundred levels are more than any document of the header has.",
        limit_s: 20,
        run: |case| in_each_state(case, deep),
    },
    Check {
        name: "texts-of-no-shape",
        why: "JSON: \"Unknown keys from the host are VMSF_ERR_JSON in calls\"; so are half a document, an array, a number, and an actor that is \
              empty, \"automatic\", too long or no text. In each state.",
        cure: "Read the documented keys strictly, and name the one that is wrong in last_error.",
        limit_s: 20,
        run: |case| in_each_state(case, of_no_shape),
    },
];

fn with<'t>(p: u64, s: u64, member: Member, what: &'static str, text: Text<'t>, code: vmsf_result) -> Bad<'t> {
    let args = Args { text, ..rig::good(member, p, s, "") };
    Bad { member, what, args, to: Outputs::with_room(ROOM), code }
}

/// As many bytes as the longest text has, and one more; made once.
fn spaces(bytes: usize) -> &'static [u8] {
    static SPACES: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
    &SPACES.get_or_init(|| vec![b' '; (1 << 20) + 1])[..bytes.min((1 << 20) + 1)]
}

fn too_long<'t>(p: u64, s: u64, _: &'t str) -> Vec<Bad<'t>> {
    let limit = abi::VMSF_ERR_LIMIT;
    let calls = TEXT_IN.into_iter().flat_map(|(member, max, _)| {
        let text = spaces(max + 1);
        let one_more = if text.len() == max + 1 { Text::Of(text) } else { Text::Claimed(text, max + 1) };
        [
            with(p, s, member, "a text one byte too long", one_more, limit),
            with(p, s, member, "a text said to have 2^64 - 1 bytes", Text::Claimed(b"{}", usize::MAX), limit),
            with(p, s, member, "a text said to have 2^63 bytes", Text::Claimed(b"{}", 1 << 63), limit),
        ]
    });
    calls.collect()
}

/// Members whose text must be UTF-8.
fn checked_texts() -> impl Iterator<Item = Member> {
    TEXT_IN.into_iter().map(|(member, ..)| member).filter(|member| *member != Member::RecordingsIni)
}

fn not_utf8<'t>(p: u64, s: u64, _: &'t str) -> Vec<Bad<'t>> {
    let utf8 = abi::VMSF_ERR_UTF8;
    let calls = checked_texts().flat_map(|member| {
        [
            with(p, s, member, "bytes that are no UTF-8", Text::Of(b"\xff\xfe"), utf8),
            with(p, s, member, "a surrogate", Text::Of(b"{\"actor\":\"\xed\xa0\x80\"}"), utf8),
            with(p, s, member, "a character that is cut", Text::Of(b"\xe2\x82"), utf8),
        ]
    });
    calls.collect()
}

fn with_nul<'t>(p: u64, s: u64, _: &'t str) -> Vec<Bad<'t>> {
    let utf8 = abi::VMSF_ERR_UTF8;
    let calls = checked_texts().flat_map(|member| {
        [
            with(p, s, member, "a NUL within", Text::Of(b"a\0b"), utf8),
            with(p, s, member, "a NUL at the end", Text::Of(b"{}\0"), utf8),
        ]
    });
    calls.collect()
}

/// How deep.
const DEEP: usize = 10_000;

/// Deep documents, made once.
fn deep_documents() -> &'static [(&'static str, String); 4] {
    static DOCUMENTS: std::sync::OnceLock<[(&str, String); 4]> = std::sync::OnceLock::new();
    DOCUMENTS.get_or_init(|| {
        let closed =
            |open: &str, within: &str, close: &str| format!("{}{within}{}", open.repeat(DEEP), close.repeat(DEEP));
        [
            ("10,000 arrays, not closed", "[".repeat(DEEP)),
            ("10,000 arrays", closed("[", "", "]")),
            ("10,000 objects", closed("{\"a\":", "1", "}")),
            ("10,000 arrays in a known key", format!("{{\"actor\":{}}}", closed("[", "", "]"))),
        ]
    })
}

fn deep<'t>(p: u64, s: u64, _: &'t str) -> Vec<Bad<'t>> {
    let members = TEXT_IN.into_iter().filter(|(_, max, is_json)| *is_json && *max >= DEEP * 6);
    let calls = members.flat_map(|(member, ..)| {
        deep_documents()
            .iter()
            .map(move |(what, text)| with(p, s, member, what, text.as_str().into(), abi::VMSF_ERR_JSON))
    });
    calls.collect()
}

fn of_no_shape<'t>(p: u64, s: u64, _: &'t str) -> Vec<Bad<'t>> {
    const SHAPES: [(&str, &str); 8] = [
        ("half a JSON", "{"),
        ("two documents", "{}{}"),
        ("an array", r#"["bob"]"#),
        ("a number", "7"),
        ("null", "null"),
        ("an unknown key", r#"{"colour":1}"#),
        ("an actor that is a number", r#"{"actor":7,"error":7}"#),
        ("no JSON", "take over"),
    ];
    const ACTORS: [(&str, &str); 3] = [
        ("an empty actor", r#"{"actor":""}"#),
        ("the actor \"automatic\"", r#"{"actor":"automatic"}"#),
        ("an actor with a control character", r#"{"actor":"a\u0007b"}"#),
    ];
    let is_document = |member: Member| matches!(member, Member::Configure | Member::Edit);
    let json = abi::VMSF_ERR_JSON;
    let in_calls = TEXT_IN.into_iter().filter(|(member, _, is_json)| *is_json && !is_document(*member));
    let calls = in_calls.flat_map(|(member, ..)| {
        // The answer to an operation has no actor, so it is an unknown key there, and as wrong.
        SHAPES.into_iter().chain(ACTORS).map(move |(what, text)| with(p, s, member, what, text.into(), json))
    });
    let documents = [Member::Configure, Member::Edit].into_iter();
    let half = documents.map(|member| with(p, s, member, "half a JSON", "{".into(), json));
    calls.chain(half).collect()
}

/// All of them, for a check of what they leave behind.
pub fn bad_texts<'t>(p: u64, s: u64, document: &'t str) -> Vec<Bad<'t>> {
    let all = [too_long(p, s, document), not_utf8(p, s, document), with_nul(p, s, document), deep(p, s, document)];
    all.into_iter().flatten().chain(of_no_shape(p, s, document)).collect()
}
