//! `create`: the host's table, its options, and what is left of one that failed.

use std::ffi::CString;

use serde_json::json;
use vms_failover_abi as abi;

use super::case::{Break, Case, Check, Done, name};
use super::process;
use super::rig::{self, MODES, Rig, mode};
use crate::plugin::probe::{self, Callback, Probe, Rule};
use crate::plugin::raw::{Room, Text, UNWRITTEN};

pub const CHECKS: [Check; 6] = [
    Check {
        name: "host-table",
        why: "Rule 2 and the header of vmsf_host: a table smaller than the first release's is refused, a larger one accepted; unknown flag \
              bits and non-zero reserved fields give VMSF_ERR_INVALID; `log`, `event`, `begin`, `name` and `version` are required, and `wake` \
              exactly with VMSF_HOST_DRIVES. The error names what is wrong.",
        cure: "Copy min(struct_size, known size), then check flags, reserved and each required member by name; write the name into err.",
        limit_s: 20,
        run: table,
    },
    Check {
        name: "host-table-optional-members",
        why: "The header of vmsf_host: ctx \"MAY be NULL\", log_level, release and get_extension are optional. A host without them lives a \
              whole life.",
        cure: "Look at each optional pointer before calling it, and never at what ctx points to.",
        limit_s: 20,
        run: optional,
    },
    Check {
        name: "host-table-freed-at-once",
        why: "Rule 3: \"Inputs are copied before the call returns; vmsf_host may be freed after create\". Table, names and options are \
              overwritten as soon as create has returned; then the instance lives a whole life, and nothing may be called through the old table.",
        cure: "Copy the table, the names and the options inside create, and keep no pointer to them.",
        limit_s: 20,
        run: freed,
    },
    Check {
        name: "create-options",
        why: "The header of create: the options are JSON of at most 256 MiB, UTF-8 without a NUL, with schema 1 and an absolute \
              state_directory. What is not gives VMSF_ERR_JSON, _UTF8, _INVALID, _LIMIT, _IO or _CONFIG, `err` the text; \"No other failure \
              writes anything\", so `*out` is untouched.",
        cure: "Check length, UTF-8, NUL, depth and shape of the options before anything is done; write err, within err_cap, and nothing else.",
        limit_s: 20,
        run: options,
    },
    Check {
        name: "create-failure-leaves-nothing",
        why: "Rule 3: ctx is borrowed \"not at all on failure\", `release` is called \"never when create failed\". Rule 6: \"A failed call \
              changes nothing\": no thread, no descriptor, no file in the state directory, and the same directory works for the next create.",
        cure: "Undo everything on the way out of a create that fails, and do not call release.",
        limit_s: 20,
        run: failure,
    },
    Check {
        name: "secrets-extension",
        why: "The header of vmsf_secrets: get_extension \"of vmsf_host is asked for it once, inside create\"; all three functions are required; \
              a host that gives them keeps the tokens, and then they are in no file of the plugin.",
        cure: "Ask once, check size, reserved and members, and use store, load and remove instead of the plugin's own files.",
        limit_s: 20,
        run: secrets,
    },
];

type Change = fn(&mut abi::vmsf_host);

fn table(case: &Case) -> Done {
    let raw = case.raw()?;
    let changes: [(&str, Change, &str); 13] = [
        ("a table one byte short", |host| host.struct_size -= 1, "struct_size"),
        ("struct_size 0", |host| host.struct_size = 0, "struct_size"),
        ("struct_size 48", |host| host.struct_size = 48, "struct_size"),
        ("flag bit 7", |host| host.flags |= 1 << 7, "flags"),
        ("reserved[0] 1", |host| host.reserved[0] = 1, "reserved"),
        ("reserved[1] 1", |host| host.reserved[1] = 1, "reserved"),
        ("log NULL", |host| host.log = None, "log"),
        ("event NULL", |host| host.event = None, "event"),
        ("begin NULL", |host| host.begin = None, "begin"),
        ("wake NULL with VMSF_HOST_DRIVES", |host| host.wake = None, "wake"),
        ("wake without VMSF_HOST_DRIVES", |host| host.flags = 0, "wake"),
        ("name NULL", |host| host.name = std::ptr::null(), "name"),
        ("version NULL", |host| host.version = std::ptr::null(), "version"),
    ];
    let options = rig::options(&case.folder().join("state"), &rig::config(case.folder(), &["a"]));
    for (what, change, named) in changes {
        let mut host = Probe::new().table(true);
        change(&mut host);
        case.doing(format!("create, {what}"));
        let (code, text) = rig::create(&raw, &host, &options).err().unwrap_or((abi::VMSF_OK, String::new()));
        case.code(format!("create, {what}"), code, &[abi::VMSF_ERR_INVALID]);
        case.holds(
            text.contains(named),
            format!("err of create, {what}"),
            format!("a text that names {named}"),
            format!("{text:?}"),
        );
    }
    let host = abi::vmsf_host { name: c"\xff\xfe".as_ptr(), ..Probe::new().table(true) };
    let code = rig::create(&raw, &host, &options).err().map_or(abi::VMSF_OK, |(code, _)| code);
    case.code("create, name not UTF-8", code, &[abi::VMSF_ERR_UTF8]);
    case.doing("create, NULL for the table");
    let code = raw.create(None, options.as_str().into(), &mut Some(0), &mut Room::of(64));
    case.code("create, NULL for the table", code, &[abi::VMSF_ERR_INVALID]);
    for size in [size_of::<abi::vmsf_host>() as u32 + 8, u32::MAX] {
        let grow = |host: &mut abi::vmsf_host, _: &mut serde_json::Value| host.struct_size = size;
        Rig::with(case, &raw, true, &["a"], grow)?.end()?;
    }
    Ok(())
}

fn optional(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let bare = |host: &mut abi::vmsf_host, _: &mut serde_json::Value| {
            (host.log_level, host.release, host.get_extension) = (None, None, None);
        };
        let rig = Rig::with(case, &raw, drives, &["a"], bare)?;
        rig.story()?;
        rig.destroy()?;
        let called =
            rig.probe.count(|c| matches!(c, Callback::LogLevel | Callback::Release | Callback::GetExtension(_)));
        case.holds(called == 0, "a host without optional members", "none of them is called", called);
    }
    Ok(())
}

fn freed(case: &Case) -> Done {
    let raw = case.raw()?;
    for drives in MODES {
        let (probe, what) = (Probe::new(), mode(drives));
        let (name, version) = (CString::from(c"a name on the heap"), CString::from(c"1"));
        let mut table =
            Box::new(abi::vmsf_host { name: name.as_ptr(), version: version.as_ptr(), ..probe.table(drives) });
        let state = case.folder().join(what.replace(' ', "-"));
        let folder = state.join("files");
        let mut options = rig::options(&state.join("state"), &rig::config(&folder, &["a"])).into_bytes();
        case.doing(format!("create, {what}"));
        let mut out = Some(0);
        let code = raw.create(Some(&table), Text::Of(&options), &mut out, &mut Room::of(4096));
        probe::overwrite(&mut table);
        options.fill(0xff);
        drop((name, version));
        case.needs_code(format!("create, {what}"), code, abi::VMSF_OK)?;
        let rig = Rig::around(case, &raw, out.unwrap_or(0), probe, drives)?;
        std::fs::create_dir_all(folder.join("backups")).or_else(|error| case.cannot("a folder", error))?;
        let lived = rig.story().and_then(|()| rig.destroy());
        let late = Probe::through_overwritten();
        case.holds(
            late == 0,
            format!("a table freed after create, {what}"),
            "no call through it",
            format!("{late} calls"),
        );
        lived?;
        case.holds(probe.released() > 0, "release", "the function that create was given", "it was not called");
    }
    Ok(())
}

fn options(case: &Case) -> Done {
    let raw = case.raw()?;
    let state = case.folder().join("state");
    let file = case.folder().join("file");
    std::fs::write(&file, "").or_else(|error| case.cannot("a file", error))?;
    let whole = rig::options(&state, &rig::config(case.folder(), &["a"])).into_bytes();
    let with_nul = [&whole[..whole.len() - 1], b"\0}"].concat();
    let deep = format!("{{\"schema\":1,\"state_directory\":{}", "[".repeat(10_000));
    let deep_config = format!("{{\"schema\":1,\"state_directory\":{:?},\"config\":{}", state, "{\"a\":".repeat(10_000));
    let json = |value: serde_json::Value| value.to_string().into_bytes();
    let invalid = [abi::VMSF_ERR_INVALID];
    let cases: [(&str, Vec<u8>, &[abi::vmsf_result]); 11] = [
        ("empty", Vec::new(), &[abi::VMSF_ERR_JSON]),
        ("no JSON", b"nonsense".to_vec(), &[abi::VMSF_ERR_JSON]),
        ("10,000 deep", deep.into_bytes(), &[abi::VMSF_ERR_JSON]),
        ("a configuration 10,000 deep", deep_config.into_bytes(), &[abi::VMSF_ERR_JSON, abi::VMSF_ERR_CONFIG]),
        ("not UTF-8", [&whole[..], b"\xff\xfe"].concat(), &[abi::VMSF_ERR_UTF8]),
        ("with a NUL", with_nul, &[abi::VMSF_ERR_UTF8]),
        ("no state_directory", json(json!({ "schema": 1 })), &[abi::VMSF_ERR_JSON]),
        ("schema 2", json(json!({ "schema": 2, "state_directory": state })), &[abi::VMSF_ERR_JSON]),
        ("a relative path", json(json!({ "schema": 1, "state_directory": "x/y" })), &invalid),
        ("a file for a directory", json(json!({ "schema": 1, "state_directory": file })), &[abi::VMSF_ERR_IO]),
        ("no configuration at all", json(json!({ "schema": 1, "state_directory": state })), &[abi::VMSF_ERR_CONFIG]),
    ];
    for (what, bytes, allowed) in &cases {
        refused(case, &raw, what, Text::Of(bytes), allowed);
    }
    refused(case, &raw, "NULL with a length", Text::Null(8), &invalid);
    refused(case, &raw, "257 MiB", Text::Claimed(b"{}", 257 << 20), &[abi::VMSF_ERR_LIMIT]);
    let host = Probe::new().table(true);
    case.doing("create, NULL for out");
    let code = raw.create(Some(&host), Text::Of(&whole), &mut None, &mut Room::of(64));
    case.code("create, NULL for out", code, &invalid);
    case.doing("create, NULL for err");
    let code = raw.create(Some(&host), "nonsense".into(), &mut Some(0), &mut Room::null(0));
    case.code("create, NULL for err", code, &[abi::VMSF_ERR_JSON]);
    Ok(())
}

fn refused(case: &Case, raw: &crate::plugin::raw::Raw, what: &str, options: Text<'_>, allowed: &[abi::vmsf_result]) {
    for cap in [0, 1, 20, 4096] {
        let (host, mut out, mut err) = (Probe::new().table(true), Some(UNWRITTEN), Room::of(cap));
        let what = format!("create, options: {what}, err_cap {cap}");
        case.doing(&what);
        case.code(&what, raw.create(Some(&host), options, &mut out, &mut err), allowed);
        case.holds(out == Some(UNWRITTEN), &what, "an untouched *out", format!("{out:?}"));
        case.holds(err.guard_holds(), &what, "nothing written behind err_cap", "bytes behind it were written");
        case.holds(cap == 0 || err.text().is_some(), &what, "a NUL-terminated err", "no NUL");
    }
}

fn failure(case: &Case) -> Done {
    let raw = case.raw()?;
    let state = case.folder().join("state");
    let (probe, config) = (Probe::new(), rig::config(case.folder(), &["a"]));
    // The first call of all may set up what stays for the life of the process.
    let bad = rig::options(&state, &json!({ "schema": 1, "monitored_servers": 7 }));
    case.doing("create with a faulty configuration");
    let first = rig::create(&raw, &probe.table(false), &bad);
    case.code(
        "create with a faulty configuration",
        first.err().map_or(abi::VMSF_OK, |(code, _)| code),
        &[abi::VMSF_ERR_CONFIG],
    );
    let before = process::held();
    for _ in 0..20 {
        let _ = rig::create(&raw, &probe.table(false), &bad);
    }
    match (before, before.and_then(process::held_again)) {
        (Some(before), Some(after)) => case.holds(after == before, "twenty creates that fail", before, after),
        _ => case.note(process::UNLISTED),
    }
    case.holds(probe.released() == 0, "create failed", "release is not called", format!("{} calls", probe.released()));
    let deliveries = probe.count(Callback::is_delivery);
    case.holds(deliveries == 0, "create failed", "no event and no begin", format!("{deliveries} of them"));
    case.holds(!state.exists(), "a faulty configuration", "no state directory is made", "it is there");
    // Another instance has the directory: busy, and free again with its end.
    let options = rig::options(&state, &config);
    let p = rig::create(&raw, &probe.table(false), &options).map_err(|(code, text)| {
        case.found("create after one that failed", "VMSF_OK", format!("{}: {text}", name(code)));
        Break::Failed
    })?;
    let second = rig::create(&raw, &Probe::new().table(false), &options).err().map_or(abi::VMSF_OK, |(code, _)| code);
    case.code("create on a state directory in use", second, &[abi::VMSF_ERR_BUSY]);
    Rig::around(case, &raw, p, probe, false)?.end()?;
    let again = rig::create(&raw, &probe.table(false), &options);
    case.needs(again.is_ok(), "create on the same directory after destroy", "VMSF_OK", format!("{again:?}"))?;
    Rig::around(case, &raw, again.unwrap_or(0), probe, false)?.end()
}

type SecretsChange = fn(&mut abi::vmsf_secrets);

fn secrets(case: &Case) -> Done {
    let raw = case.raw()?;
    let changes: [(&str, SecretsChange); 5] = [
        ("struct_size", |table| table.struct_size -= 1),
        ("reserved", |table| table.reserved = 1),
        ("store", |table| table.store = None),
        ("load", |table| table.load = None),
        ("remove", |table| table.remove = None),
    ];
    let options = rig::options(&case.folder().join("state"), &rig::config(case.folder(), &["a"]));
    for (named, change) in changes {
        let probe = Probe::new();
        probe.offer_secrets(change);
        case.doing(format!("create, vmsf_secrets.{named} is wrong"));
        let (code, text) =
            rig::create(&raw, &probe.table(true), &options).err().unwrap_or((abi::VMSF_OK, String::new()));
        case.code(format!("create, vmsf_secrets.{named} is wrong"), code, &[abi::VMSF_ERR_INVALID]);
        case.holds(text.contains(named), "err of create", format!("a text that names {named}"), format!("{text:?}"));
    }
    for drives in MODES {
        keeps_tokens(case, &raw, drives)?;
    }
    Ok(())
}

fn keeps_tokens(case: &Case, raw: &std::sync::Arc<crate::plugin::raw::Raw>, drives: bool) -> Done {
    let (probe, folder) = (Probe::new(), case.folder().join(if drives { "driven" } else { "worker" }));
    probe.offer_secrets(|_| ());
    let options = rig::options(&folder.join("state"), &rig::config(&folder, &["a"]));
    let p = rig::create(raw, &probe.table(drives), &options);
    case.needs(p.is_ok(), format!("create with vmsf_secrets, {}", mode(drives)), "VMSF_OK", format!("{p:?}"))?;
    let rig = Rig::around(case, raw, p.unwrap_or(0), probe, drives)?;
    std::fs::create_dir_all(folder.join("backups")).or_else(|error| case.cannot("a folder", error))?;
    rig.story()?;
    let asked = probe.count(|c| matches!(c, Callback::GetExtension(id) if id == abi::VMSF_EXT_SECRETS));
    case.holds(asked == 1, "get_extension of vmsf.secrets/1", "once in a life", format!("{asked} times"));
    case.holds(probe.token("a").as_deref() == Some(rig::TOKEN), "the token", "kept by the host", "it has none");
    rig.destroy()?;
    let files = std::fs::read_dir(folder.join("state")).into_iter().flatten().flatten();
    let kept = files.filter_map(|entry| std::fs::read(entry.path()).ok().map(|bytes| (entry.file_name(), bytes)));
    for (file, bytes) in kept {
        let holds_it = bytes.windows(rig::TOKEN.len()).any(|window| window == rig::TOKEN);
        case.holds(!holds_it, "a host that keeps the tokens", "none in a file of the plugin", file.to_string_lossy());
    }
    case.all("a text or struct in a callback", "as the header says", &probe.broken(Rule::Shape));
    Ok(())
}
