//! The first words: the entry function, who the plugin is, its table.

use std::thread;

use vms_failover_abi as abi;

use super::case::{Case, Check, Done, codes, name};
use super::process;
use crate::plugin::raw::{Image, Shake};

pub const CHECKS: [Check; 5] = [
    Check {
        name: "negotiation-ranges",
        why: "Rule 1: \"The host gives a range of majors, the highest common one wins; VMSF_ERR_ABI still fills in `info`, so that the host \
              can print both sides. Unknown flag bits give VMSF_ERR_INVALID.\" Ranges around, above, below and upside down, and flags that \
              nobody knows.",
        cure: "Choose the highest major within [abi_min, abi_max]; refuse with VMSF_ERR_ABI only where there is none; write info and flags in \
               every case, abi_chosen 0 and api NULL with a refusal.",
        limit_s: 20,
        run: ranges,
    },
    Check {
        name: "negotiation-struct-sizes",
        why: "Rule 2: \"a larger struct is accepted, a smaller one than the first release's is refused\". The reader copies \
              min(struct_size, known size), so nothing is written into a struct that is too short, nor behind one that is long.",
        cure: "Look at struct_size before anything else of the handshake is read or written; refuse NULL and less than the 40 bytes of the \
               first release with VMSF_ERR_INVALID, untouched.",
        limit_s: 20,
        run: sizes,
    },
    Check {
        name: "negotiation-is-pure",
        why: "Rule 1: \"The entry function is pure and may be called any number of times\": no thread, no allocation, no state. It is called \
              by sixteen threads at once and 10,000 times, with refusals in between; each answer must be the first one, and the process must \
              hold what it held.",
        cure: "Keep nothing between two calls of the entry function, count nothing and start nothing; give pointers to static tables.",
        limit_s: 20,
        run: pure,
    },
    Check {
        name: "plugin-info",
        why: "The header of vmsf_info: \"Who the plugin is. Static\", with id, name, version (semver) and build as NUL-terminated UTF-8, \
              struct_size as the plugin knows it, reserved 0, and the schemas that it reads and writes.",
        cure: "Fill in every field of vmsf_info from static text.",
        limit_s: 20,
        run: info,
    },
    Check {
        name: "plugin-table",
        why: "The header of vmsf_api: \"The table of major 1. Frozen: no member is ever added, moved or given another meaning\", so none is \
              NULL; result_name gives \"a static string, never NULL\", \"VMSF_ERR_?\" for a number that is none; get_extension gives NULL for \
              what it does not know.",
        cure: "Fill in every member of the table, and name every code of the header as it stands there.",
        limit_s: 20,
        run: table,
    },
];

const WHOLE: usize = size_of::<abi::vmsf_handshake>();

fn ranges(case: &Case) -> Done {
    let image = case.image()?;
    let cases = [
        ("majors 1 to 1", 1, 1, 0, abi::VMSF_OK),
        ("majors 0 to 9", 0, 9, 0, abi::VMSF_OK),
        ("majors 1 to 4294967295", 1, u32::MAX, 0, abi::VMSF_OK),
        ("majors 2 to 9", 2, 9, 0, abi::VMSF_ERR_ABI),
        ("majors 0 to 0", 0, 0, 0, abi::VMSF_ERR_ABI),
        ("majors 2 to 1, which is no range", 2, 1, 0, abi::VMSF_ERR_INVALID),
        ("flag bit 31", 1, 1, 1 << 31, abi::VMSF_ERR_INVALID),
    ];
    for (what, min, max, flags, expected) in cases {
        let mut shake = Shake::new(WHOLE, min, max);
        shake.io.flags = flags;
        case.doing(what);
        let code = image.shake(Some(&mut shake));
        case.code(what, code, &[expected]);
        let chosen = u32::from(expected == abi::VMSF_OK);
        case.holds(shake.io.abi_chosen == chosen, what, format!("abi_chosen {chosen}"), shake.io.abi_chosen);
        let has_table = !shake.io.api.is_null();
        let said = if has_table { "a table" } else { "NULL" };
        case.holds(has_table == (chosen > 0), what, if chosen > 0 { "a table" } else { "api NULL" }, said);
        case.holds(!shake.io.info.is_null(), what, "info filled in, also with a refusal", "NULL");
        let unknown = shake.io.flags & !abi::VMSF_PLUGIN_RESIDENT;
        case.holds(unknown == 0, what, "flags 0 or VMSF_PLUGIN_RESIDENT", format!("{:#x}", shake.io.flags));
        case.holds(shake.guard_holds(), what, "nothing written behind the struct", "bytes behind it were written");
    }
    Ok(())
}

fn sizes(case: &Case) -> Done {
    let image = case.image()?;
    for size in [0, 4, 12, 24, 32, WHOLE - 1] {
        let (mut shake, what) = (Shake::new(size, 1, 1), format!("struct_size {size}"));
        case.doing(&what);
        case.code(&what, image.shake(Some(&mut shake)), &[abi::VMSF_ERR_INVALID]);
        case.holds(shake.is_untouched(), &what, "an untouched struct", "fields were written");
    }
    for size in [WHOLE, WHOLE + 64, u32::MAX as usize] {
        let (mut shake, what) = (Shake::new(size, 1, 1), format!("struct_size {size}"));
        case.doing(&what);
        case.code(&what, image.shake(Some(&mut shake)), &[abi::VMSF_OK]);
        case.holds(
            shake.guard_holds(),
            &what,
            "nothing written behind the known fields",
            "bytes behind them were written",
        );
        case.holds(
            shake.io.struct_size as usize == size,
            &what,
            "struct_size as the host set it",
            shake.io.struct_size,
        );
    }
    case.doing("the entry function with NULL");
    case.code("NULL", image.shake(None), &[abi::VMSF_ERR_INVALID]);
    Ok(())
}

/// Everything that a handshake gives.
type Answer = (abi::vmsf_result, u32, u32, u32, usize, usize);

fn answer(image: &Image, min: u32, max: u32) -> Answer {
    let mut shake = Shake::new(WHOLE, min, max);
    let code = image.shake(Some(&mut shake));
    let io = shake.io;
    (code, io.abi_chosen, io.abi_minor, io.flags, io.info.addr(), io.api.addr())
}

const CALLS: usize = 10_000;
const THREADS: usize = 16;

fn pure(case: &Case) -> Done {
    let image = case.image()?;
    case.doing("the entry function");
    let (first, refused) = (answer(&image, 1, 1), answer(&image, 2, 2));
    case.needs_code("the entry function", first.0, abi::VMSF_OK)?;
    let before = process::held();
    let same = |nth: usize| {
        let (again, refused_again) = (answer(&image, 1, 1), answer(&image, 2, 2));
        case.holds(
            again == first,
            "the entry function again",
            "the first answer",
            format!("another one at call {nth}"),
        );
        case.holds(
            refused_again == refused,
            "a refusal again",
            "the first answer",
            format!("another one at call {nth}"),
        );
        again == first && refused_again == refused
    };
    case.doing(format!("the entry function, {CALLS} times"));
    if !(0..CALLS).all(same) {
        return Ok(());
    }
    case.doing("the entry function from sixteen threads");
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| (0..CALLS / THREADS).all(same));
        }
    });
    match (before, before.and_then(process::held_again)) {
        (Some(before), Some(after)) => {
            case.holds(after == before, "the process after it", before, after);
        }
        _ => case.note(process::UNLISTED),
    }
    Ok(())
}

fn info(case: &Case) -> Done {
    let image = case.image()?;
    let mut shake = Shake::of_today();
    case.doing("the entry function");
    image.shake(Some(&mut shake));
    let Some((info, size, reserved)) = shake.info() else {
        return case.needs(false, "info", "a vmsf_info of at least 48 bytes", "NULL, unaligned or too small");
    };
    case.holds(reserved == 0, "info.reserved", 0, reserved);
    case.holds(size as usize >= size_of::<abi::vmsf_info>(), "info.struct_size", "48 or more", size);
    for (what, text) in [("id", &info.id), ("name", &info.name), ("version", &info.version), ("build", &info.build)] {
        let good = !text.is_empty() && !text.contains(char::REPLACEMENT_CHARACTER) && !text.contains(char::is_control);
        case.holds(good, format!("info.{what}"), "a line of UTF-8 text", format!("{text:?}"));
    }
    let numbers = info.version.split(['-', '+']).next().unwrap_or_default().split('.');
    let is_semver = numbers.clone().count() == 3 && numbers.clone().all(|number| number.parse::<u64>().is_ok());
    case.holds(is_semver, "info.version", "MAJOR.MINOR.PATCH", format!("{:?}", info.version));
    case.holds(info.config_schema >= 1, "info.config_schema", "1 or more", info.config_schema);
    case.holds(info.status_schema >= 1, "info.status_schema", "1 or more", info.status_schema);
    Ok(())
}

fn table(case: &Case) -> Done {
    let image = case.image()?;
    let mut shake = Shake::of_today();
    case.doing("the entry function");
    image.shake(Some(&mut shake));
    match shake.table() {
        Ok((_, reserved)) => case.holds(reserved == 0, "api.reserved", 0, reserved),
        Err(text) => return case.needs(false, "api", "a whole table", text),
    }
    case.doing("negotiating ABI major 1");
    let raw = image.negotiate().or_else(|error| case.cannot("negotiating ABI major 1", error))?;
    for code in codes() {
        let given = raw.result_name(code);
        case.holds(
            given.as_deref() == Some(&name(code)),
            format!("result_name of {code}"),
            name(code),
            format!("{given:?}"),
        );
    }
    for code in [1, 77, -23, -1000, i32::MIN, i32::MAX] {
        let given = raw.result_name(code);
        case.holds(
            given.as_deref() == Some("VMSF_ERR_?"),
            format!("result_name of {code}"),
            "VMSF_ERR_?",
            format!("{given:?}"),
        );
    }
    case.doing("get_extension");
    for id in [c"", c"nobody.knows/1"] {
        case.holds(!raw.has_extension(id), format!("get_extension of {id:?}"), "NULL", "a table");
    }
    Ok(())
}
