//! `host-sim check` as its user runs it: the built plugin passes, so does one that only forwards to it, and each plugin with a fault is caught by
//! the check that is named after the rule, while the other checks pass.

#[path = "../../tests/support/native.rs"]
mod native;
#[path = "support/program.rs"]
mod program;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use program::host_sim;
use serde_json::Value;
use tempfile::TempDir;

/// A plugin of `tests/bad`, how it is found, and the checks that find it: first the one that is named after the fault, then those that meet it
/// on their way.
type Bad = (&'static str, &'static str, &'static [&'static str]);

const BAD: [Bad; 34] = [
    ("accepts_short_handshake", "failed", &["negotiation-struct-sizes"]),
    ("refuses_a_good_range", "failed", &["negotiation-ranges"]),
    ("keeps_state_in_entry", "failed", &["negotiation-is-pure"]),
    ("names_no_unknown_code", "failed", &["plugin-table"]),
    ("accepts_short_host", "failed", &["host-table"]),
    ("keeps_host_table", "failed", &["host-table-freed-at-once"]),
    ("releases_on_failure", "failed", &["create-failure-leaves-nothing"]),
    ("starts_while_running", "failed", &["calls-in-every-state", "last-error"]),
    ("crashes_on_null", "crashed", &["calls-with-null", "failed-calls-change-nothing"]),
    ("ignores_unknown_flags", "failed", &["calls-out-of-range", "failed-calls-change-nothing"]),
    ("accepts_stale_handle", "failed", &["handles-of-instances"]),
    ("takes_any_server", "failed", &["handles-of-servers"]),
    ("reads_before_the_length", "crashed", &["texts-too-long", "failed-calls-change-nothing", "host-lies-about-sizes"]),
    ("accepts_any_bytes", "failed", &["texts-not-utf8"]),
    ("ends_texts_at_nul", "failed", &["texts-with-nul"]),
    ("overflows_on_deep_json", "crashed", &["texts-deep-json", "failed-calls-change-nothing"]),
    ("writes_past_cap", "failed", &["text-out-within-cap"]),
    ("counts_the_nul", "failed", &["text-out-length"]),
    ("writes_on_failure", "failed", &["text-out-failure-writes-nothing"]),
    ("two_at_once", "failed", &["callbacks-one-at-a-time", "callbacks-on-one-thread"]),
    ("gap_in_numbers", "failed", &["event-numbers"]),
    ("miscounts_json", "failed", &["callback-structs", "secrets-extension"]),
    ("event_after_stop", "failed", &["no-callback-after-stop"]),
    ("releases_twice", "failed", &["release-once"]),
    ("begins_twice", "failed", &["operations-once"]),
    ("logs_the_password", "failed", &["secrets-in-no-text"]),
    ("allows_control_in_callbacks", "failed", &["reentry-refused", "reentry-from-wake"]),
    ("holds_a_lock_in_callbacks", "timed out", &["reentry-allowed"]),
    ("takes_every_answer", "failed", &["host-answers-twice", "host-never-answers"]),
    ("time_goes_back", "failed", &["time-of-a-worker"]),
    ("asks_too_late", "failed", &["time-of-a-driving-host"]),
    ("leaks_thread", "failed", &["instances-give-everything-back", "load-unload-1000-rounds"]),
    ("leaks_descriptor", "failed", &["instances-give-everything-back", "load-unload-1000-rounds"]),
    ("leaks_memory", "failed", &["load-unload-1000-rounds"]),
];

/// Checks that take a second or more: made of a bad plugin only where they are to catch it.
const LONG: [&str; 10] = [
    "calls-in-every-state",
    "callbacks-one-at-a-time",
    "no-callback-after-stop",
    "release-once",
    "host-blocks-two-seconds",
    "sixteen-threads-with-a-worker",
    "sixteen-threads-with-polls",
    "load-unload-1000-rounds",
    "instances-give-everything-back",
    "two-libraries-side-by-side",
];

/// It calls through memory that the host has freed, so whatever lives long may end in any way.
const WILD: &str = "keeps_host_table";

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)
}

/// The plugins of `tests/bad`, built against the real one.
struct Workshop {
    compiler: String,
    folder: TempDir,
}

impl Workshop {
    /// `None` where there is no C compiler, or no shared library that this folder's loader knows.
    fn open() -> Option<Self> {
        if !cfg!(unix) {
            return None;
        }
        Some(Self { compiler: native::compiler("CC", "cc")?, folder: tempfile::tempdir().expect("a folder") })
    }

    fn build(&self, name: &str) -> PathBuf {
        let library = self.folder.path().join(format!("lib{name}.so"));
        let mut command = Command::new(&self.compiler);
        command.args([
            "-std=gnu99",
            "-Wall",
            "-Wextra",
            "-Werror",
            "-O1",
            "-shared",
            "-fPIC",
            "-fvisibility=hidden",
            "-pthread",
        ]);
        command.arg(format!("-DREAL=\"{}\"", native::plugin_library().display()));
        command.arg("-I").arg(repository("include")).arg("-o").arg(&library);
        native::succeed(command.arg(repository(&format!("tests/bad/{name}.c"))).arg("-ldl"));
        library
    }
}

/// Exit status and verdicts of `host-sim check --json` with these arguments.
fn check(library: &Path, arguments: &[&str]) -> (i32, Vec<Value>) {
    let library = library.to_str().expect("a path in UTF-8");
    let (status, out, errors) = host_sim(&[&["check", "--json", "--library", library], arguments].concat());
    let said: Value = serde_json::from_str(&out).unwrap_or_else(|error| panic!("{error}: {out}{errors}"));
    (status, said["checks"].as_array().expect("verdicts").clone())
}

fn name(check: &Value) -> &str {
    check["name"].as_str().expect("a name")
}

/// The names of all checks.
fn names() -> Vec<String> {
    let (status, out, _) = host_sim(&["check", "--list", "--json"]);
    assert_eq!(status, 0);
    let all: Vec<Value> = serde_json::from_str(&out).expect("JSON");
    all.iter().map(|check| name(check).to_owned()).collect()
}

fn assert_passes_every_check(library: &Path) {
    let (status, checks) = check(library, &[]);
    let bad: Vec<&Value> = checks.iter().filter(|check| check["verdict"] != "passed").collect();
    assert!(bad.is_empty() || !cfg!(target_os = "linux"), "{bad:#?}");
    assert_eq!((status, checks.len()), (0, names().len()), "{bad:#?}");
}

#[test]
fn the_built_plugin_passes_every_check() {
    assert_passes_every_check(&native::plugin_library());
}

#[test]
fn a_plugin_that_only_forwards_passes_every_check() {
    let Some(workshop) = Workshop::open() else { return };
    assert_passes_every_check(&workshop.build("faithful"));
}

/// What is made of a bad plugin: its own checks and all that are short.
fn made_of(bad: &Bad, all: &[String]) -> Vec<String> {
    let (plugin, _, expected) = bad;
    let is_made =
        |check: &&String| expected.contains(&check.as_str()) || (*plugin != WILD && !LONG.contains(&check.as_str()));
    all.iter().filter(is_made).cloned().collect()
}

/// What went otherwise than the table says.
fn misjudged(workshop: &Workshop, bad: &Bad, all: &[String]) -> Option<String> {
    let (plugin, how, expected) = bad;
    let made = made_of(bad, all);
    let only: Vec<&str> = std::iter::once("--only").chain(made.iter().map(String::as_str)).collect();
    let (status, checks) = check(&workshop.build(plugin), &only);
    let found: Vec<&Value> = checks.iter().filter(|check| check["verdict"] != "passed").collect();
    let names: BTreeSet<&str> = found.iter().map(|check| name(check)).collect();
    let right = found.iter().find(|check| name(check) == expected[0]);
    let is_right = right.is_some_and(|check| check["verdict"] == *how && check["cure"].is_string());
    let good = status == 1 && is_right && names == expected.iter().copied().collect();
    (!good).then(|| format!("{plugin}: {how} by {expected:?} and by no other, but: {found:#?}"))
}

#[test]
fn each_bad_plugin_is_caught_by_the_check_of_its_fault_and_by_no_other() {
    let Some(workshop) = Workshop::open() else { return };
    let all = names();
    let wrong: Vec<String> = BAD.iter().filter_map(|bad| misjudged(&workshop, bad, &all)).collect();
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_file_of_the_folder_is_in_the_table_and_every_check_in_it_is_one() {
    let files =
        std::fs::read_dir(repository("tests/bad")).expect("the folder").map(|entry| entry.expect("a file").path());
    let files = files.filter(|path| path.extension().is_some_and(|extension| extension == "c"));
    let files: BTreeSet<String> = files.map(|path| path.file_stem().unwrap().to_string_lossy().into_owned()).collect();
    let table: BTreeSet<String> =
        BAD.iter().map(|(plugin, ..)| (*plugin).to_owned()).chain(["faithful".into()]).collect();
    assert_eq!(files, table);
    let all = names();
    for check in BAD.iter().flat_map(|(_, _, checks)| *checks).chain(&LONG) {
        assert!(all.iter().any(|name| name == check), "there is no check {check}");
    }
}

#[test]
fn what_each_check_proves_is_listed_for_people_and_programs() {
    let (status, out, _) = host_sim(&["check", "--list", "--only", "release-once"]);
    assert!(status == 0 && out.starts_with("release-once\n") && out.contains("exactly once, from destroy"), "{out}");
    let (status, out, _) = host_sim(&["check", "--list", "--json", "--only", "release-once"]);
    let all: Value = serde_json::from_str(&out).expect("JSON");
    assert_eq!((status, all.as_array().map(Vec::len), &all[0]["name"]), (0, Some(1), &Value::from("release-once")));
}

#[test]
fn a_verdict_for_people_has_no_colour_in_a_file_and_says_what_to_do() {
    let Some(workshop) = Workshop::open() else { return };
    let library = workshop.build("crashes_on_null");
    let only = ["--only", "calls-with-null", "plugin-info"];
    let (status, out, _) = host_sim(&[&["check", "--library", library.to_str().expect("UTF-8")], &only[..]].concat());
    assert_eq!(status, 1, "{out}");
    assert!(!out.contains('\x1b'), "{out}");
    for words in
        ["passed     plugin-info", "CRASHED    calls-with-null", "crashed: signal 11", "in: now_ns, NULL", "to do: "]
    {
        assert!(out.contains(words), "{words:?} is not in:\n{out}");
    }
}

#[test]
fn what_cannot_be_judged_is_told_with_exit_status_2() {
    for (arguments, words) in [
        (&["--library", "/nowhere/libnone.so"][..], "/nowhere/libnone.so"),
        (&["--library", "Cargo.toml"], "Cargo.toml"),
        (&["--only", "nothing"], "release-once"),
        (&["--jobs", "0"], "--jobs"),
    ] {
        let (status, out, errors) = host_sim(&[&["check"], arguments].concat());
        assert!(status == 2 && out.is_empty() && errors.contains(words), "{errors}");
    }
}
