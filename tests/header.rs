//! The header and the list of the ABI are generated, current, complete, and compile everywhere.

#[path = "support/header.rs"]
mod header;
#[path = "support/layout.rs"]
mod layout;
#[path = "support/native.rs"]
mod native;

use std::process::Command;

use header::{Documented, Source, generate, repository};
use object::Object;

const HEADER: &str = "include/vms_failover.h";
const ABI: &str = "include/abi.txt";

/// The thread class of every member of the table, in the order of the table.
const CLASSES: [(&str, &[&str]); 5] = [
    ("[control]", &["create", "start", "stop", "destroy", "configure", "edit"]),
    ("[poll]", &["poll"]),
    (
        "[any-thread]",
        &[
            "notify",
            "now_ns",
            "server",
            "next_server",
            "server_id",
            "config",
            "status",
            "log",
            "recordings_ini",
            "progress",
            "last_error",
        ],
    ),
    (
        "[any-thread, disk]",
        &[
            "cluster",
            "join_cluster",
            "authorize",
            "deauthorize",
            "backup",
            "takeover",
            "restore",
            "cancel",
            "maintenance",
            "drill",
            "complete",
        ],
    ),
    ("[static]", &["result_name", "get_extension"]),
];

/// The members that answer VMSF_ERR_UNSUPPORTED in this release.
const NOT_YET: [&str; 2] = ["maintenance", "drill"];

/// The rules at the top of the header are numbered from 1 to this.
const RULES: usize = 15;

#[test]
fn the_header_is_current() {
    assert_current(HEADER, &generate().header);
}

#[test]
fn the_list_of_the_abi_is_current() {
    assert_current(ABI, &generate().abi);
}

fn assert_current(path: &str, generated: &str) {
    let file = repository(path);
    if std::env::var_os("UPDATE").is_some_and(|value| value == "1") {
        std::fs::write(&file, generated).unwrap_or_else(|error| panic!("{path}: {error}"));
        return;
    }
    let committed = std::fs::read_to_string(&file).unwrap_or_default().replace("\r\n", "\n");
    let difference = difference(&committed, generated);
    assert!(
        difference.is_empty(),
        "{path} is not what include/rust/src/lib.rs gives (- committed, + generated):\n{difference}\
         UPDATE=1 cargo test --test header rewrites it; a changed layout or signature needs a reason"
    );
}

/// The lines that differ, without the common beginning and end; empty when nothing does.
fn difference(committed: &str, generated: &str) -> String {
    let (old, new): (Vec<_>, Vec<_>) = (committed.split('\n').collect(), generated.split('\n').collect());
    if old == new {
        return String::new();
    }
    let start = old.iter().zip(&new).take_while(|(a, b)| a == b).count();
    let rest = old.len().min(new.len()) - start;
    let end = old.iter().rev().zip(new.iter().rev()).take(rest).take_while(|(a, b)| a == b).count();
    let lines = |sign: char, lines: &[&str]| lines.iter().take(40).map(|line| format!("{sign} {line}\n")).collect();
    let (minus, plus): (String, String) =
        (lines('-', &old[start..old.len() - end]), lines('+', &new[start..new.len() - end]));
    format!("line {}:\n{minus}{plus}", start + 1)
}

#[test]
fn a_difference_is_shown_by_its_lines() {
    assert_eq!(difference("a\nb\nc\n", "a\nb\nc\n"), "");
    assert_eq!(difference("a\nb\nc\n", "a\nx\ny\nc\n"), "line 2:\n- b\n+ x\n+ y\n");
    assert_eq!(difference("a\na\n", "a\n"), "line 2:\n- a\n");
}

#[test]
fn the_header_compiles_as_c() {
    let Some(compiler) = native::compiler("CC", "cc") else { return };
    ["c99", "c11", "c17"].iter().for_each(|standard| compile_header(&compiler, standard, "c"));
}

#[test]
fn the_header_compiles_as_cpp() {
    let Some(compiler) = native::compiler("CXX", "c++") else { return };
    ["c++11", "c++17", "c++20"].iter().for_each(|standard| compile_header(&compiler, standard, "cpp"));
}

/// Alone and first in the file, twice, with the constants used where an unsigned number is wanted. What is compiled is
/// the text generated now, so that UPDATE=1 in the test beside this one does no harm.
fn compile_header(compiler: &str, standard: &str, extension: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let file = directory.path().join(format!("header.{extension}"));
    std::fs::write(directory.path().join("vms_failover.h"), generate().header).expect("the header");
    std::fs::write(&file, C_USER).expect("the file");
    let mut command = Command::new(compiler);
    command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command.args(["-Wconversion", "-Wsign-conversion", "-Wsign-compare", "-fsyntax-only"]);
    native::succeed(command.arg(&file));
}

const C_USER: &str = r#"
#include "vms_failover.h"
#include "vms_failover.h"
const char *symbol(void);
uint32_t mask(const vmsf_host *host);
int refused(vmsf_result result);
const char *symbol(void) { return VMSF_ENTRY_SYMBOL; }
uint32_t mask(const vmsf_host *host) { return host->flags == VMSF_HOST_DRIVES ? ~VMSF_HOST_DRIVES : VMSF_EVENT_POISONED; }
int refused(vmsf_result result) { return result - VMSF_ERR_ABI == 0 && VMSF_NEVER > 0; }
"#;

#[test]
fn every_function_has_its_tag_its_errors_and_its_since() {
    let source = Source::read();
    let callbacks = source.fields_of("vmsf_host").iter().chain(source.fields_of("vmsf_secrets"));
    let entry = source.aliases.iter();
    let functions: Vec<_> =
        source.fields_of("vmsf_api").iter().chain(callbacks).chain(entry).filter(|item| item.is_function).collect();
    assert_eq!(functions.len(), 42, "31 members, 7 callbacks, 3 of the secrets and the entry function");
    functions.into_iter().for_each(check_comment);
}

fn check_comment(function: &Documented) {
    let name = &function.name;
    let tags = function.tags();
    let known = CLASSES.iter().map(|(tag, _)| *tag).chain(["[callback]"]);
    assert!(tags.len() == 1 && known.into_iter().any(|tag| tag == tags[0]), "{name}: one thread tag, not {tags:?}");
    let fails = !matches!(tags[0], "[static]" | "[callback]");
    assert!(!fails || function.line("Errors:").is_some_and(|text| !text.is_empty()), "{name}: no line Errors:");
    assert!(function.line("Since:").is_some_and(|text| !text.is_empty()), "{name}: no line Since:");
}

#[test]
fn the_tags_are_those_of_the_class_table() {
    let source = Source::read();
    let members = source.fields_of("vmsf_api").iter().filter(|member| member.is_function);
    let tagged: Vec<_> = members.map(|member| (member.tags()[0], member.name.as_str())).collect();
    let classes = CLASSES.iter().flat_map(|(tag, members)| members.iter().map(|member| (*tag, *member)));
    assert_eq!(tagged, classes.collect::<Vec<_>>());
    let callbacks = source.fields_of("vmsf_host").iter().filter(|callback| callback.is_function);
    callbacks.for_each(|callback| assert_eq!(callback.tags(), ["[callback]"], "{}", callback.name));
}

#[test]
fn the_members_that_do_nothing_yet_say_so() {
    let source = Source::read();
    let not_yet =
        source.fields_of("vmsf_api").iter().filter_map(|member| Some((&member.name, member.line("Not yet:")?)));
    let names = not_yet.map(|(name, text)| {
        assert!(text.starts_with("VMSF_ERR_UNSUPPORTED"), "{name}: Not yet: {text}");
        name.as_str()
    });
    assert_eq!(names.collect::<Vec<_>>(), NOT_YET);
}

#[test]
fn the_header_holds_every_rule_and_every_comment() {
    let header = generate().header;
    for number in 1..=RULES {
        assert!(header.contains(&format!("\n * {number:2}. ")), "rule {number} is missing");
    }
    assert!(!header.contains(&format!("\n * {:2}. ", RULES + 1)), "RULES in this test is behind");
    let source = Source::read();
    let fields = source.structs.iter().flat_map(|(_, fields)| fields.iter().map(|field| &field.doc));
    let constants = source.constants.iter().map(|constant| &constant.doc);
    let lines =
        fields.chain(constants).chain(source.aliases.iter().map(|alias| &alias.doc)).flat_map(|doc| doc.lines());
    lines.for_each(|line| assert!(header.contains(line), "a comment is missing: {line}"));
}

#[test]
fn the_header_is_no_wider_than_the_source() {
    let header = generate().header;
    header.lines().for_each(|line| assert!(line.len() <= 120, "longer than 120: {line}"));
}

#[test]
fn the_plugin_exports_the_entry_symbol_and_the_loader_symbol_and_nothing_else() {
    let library = native::plugin_library();
    let bytes = std::fs::read(&library).expect("the plugin");
    let file = object::File::parse(&*bytes).expect("the plugin is an object file");
    let exports = file.exports().expect("its exports");
    let mut names: Vec<_> = exports.iter().map(|export| native::text(export.name())).collect();
    names.sort();
    let symbol = names.iter().map(|name| name.strip_prefix('_').filter(|_| cfg!(target_os = "macos")).unwrap_or(name));
    let expected = [vms_failover_abi::checked::LOADER_SYMBOL, vms_failover_abi::VMSF_ENTRY_SYMBOL];
    assert_eq!(symbol.collect::<Vec<_>>(), expected, "{}", library.display());
}
