//! What most servers run on: the DLL and `host-sim.exe` are built here and run under wine, with the scenarios, the C example, and what no scenario
//! can show: files that are open elsewhere, names, a kill, unloading.

#[path = "support/native.rs"]
mod native;
#[path = "support/windows.rs"]
mod windows;

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use object::Object;
use serde_json::Value;
use tempfile::TempDir;
use windows::{Windows, path};

/// `host-sim.exe` with these arguments, its exit status, and what it says among other things.
const COMMANDS: [(&[&str], i32, &str); 5] = [
    (&["--version"], 0, concat!("host-sim ", env!("CARGO_PKG_VERSION"))),
    (&["--help"], 0, "Run scenarios in virtual time"),
    (&["demo", "--speed", "60"], 2, "host-sim demo is not available on windows"),
    (&["bench"], 2, "host-sim bench is not available on windows"),
    (&["run", "nowhere.json"], 2, "nowhere.json: cannot be read"),
];

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn scratch() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn the_commands_of_host_sim_work_or_say_that_they_are_not_there() {
    let Some(windows) = Windows::get() else { return };
    for (arguments, status, says) in COMMANDS {
        let output = windows.host_sim().args(arguments).output().expect("wine runs");
        let said = native::text(&output.stdout) + &native::text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}: {said}");
        assert!(said.contains(says), "{arguments:?}: {said}");
    }
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn the_plugin_passes_every_check_of_the_validator_on_windows() {
    let Some(windows) = Windows::get() else { return };
    native::succeed(windows.host_sim().arg("check"));
}

/// That the expected lines are all lines of a trace, the scenarios' own test proves.
#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn every_scenario_passes_on_windows_with_exactly_its_lines() {
    let Some(windows) = Windows::get() else { return };
    let entries = std::fs::read_dir(repository("host-sim/scenarios")).expect("the scenarios");
    let files: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    let expected = files.iter().map(|file| {
        let text = std::fs::read_to_string(file).expect("a scenario");
        let scenario: Value = serde_json::from_str(&text).expect("JSON");
        scenario["expect"].as_array().expect("what is expected").len()
    });
    let expected: usize = expected.sum();
    let output = native::succeed(windows.host_sim().arg("run").args(&files));
    let (lines, said) = (native::text(&output.stdout).lines().count(), native::text(&output.stderr));
    let passed = said.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!((passed, lines), (files.len(), expected), "{said}");
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn the_layout_of_the_header_on_windows_is_the_list_of_the_abi() {
    let Some(windows) = Windows::get() else { return };
    let directory = scratch();
    let (source, program) = (directory.path().join("layout.c"), directory.path().join("layout.exe"));
    let list = std::fs::read_to_string(repository("include/abi.txt")).expect("the list").replace("\r\n", "\n");
    let (mut code, mut expected) = (String::new(), String::new());
    let mut of = "";
    for line in list.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words[..] {
            ["struct", name, "size", size, "alignment", _] => {
                of = name.trim_end_matches(':');
                let _ = writeln!(expected, "{of} {}", size.trim_end_matches(','));
                let _ = writeln!(code, "printf(\"{of} %u\\n\", (unsigned)sizeof({of}));");
            }
            [offset, size, ..] if !of.is_empty() && offset.parse::<u32>().is_ok() => {
                let member = member(line);
                let _ = writeln!(expected, "{of}.{member} {offset} {size}");
                let sizes = format!("(unsigned)offsetof({of}, {member}), (unsigned)sizeof((({of} *)0)->{member})");
                let _ = writeln!(code, "printf(\"{of}.{member} %u %u\\n\", {sizes});");
            }
            _ => {}
        }
    }
    assert!(expected.lines().count() > 80, "the list was not read: {expected}");
    let code = format!("#include \"vms_failover.h\"\n#include <stdio.h>\nint main(void) {{\n{code}return 0;\n}}\n");
    std::fs::write(&source, code).expect("the source");
    windows.compile("c11", &source, &program);
    let output = native::succeed(&mut windows.command(&program));
    assert_eq!(native::text(&output.stdout).replace('\r', ""), expected);
}

/// The name in a line such as `64   16  uint64_t reserved[2]` or `8  8  vmsf_result (*create)(...)`.
fn member(line: &str) -> &str {
    let name = line.split_once("(*").map(|(_, rest)| rest.split(')').next());
    let plain = || line.split('[').next().and_then(|declared| declared.rsplit([' ', '*']).next());
    name.unwrap_or_else(plain).expect("a name")
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn the_dll_exports_what_the_library_of_linux_does_and_needs_nothing_that_windows_lacks() {
    let Some(windows) = Windows::get() else { return };
    let bytes = std::fs::read(windows.library()).expect("the DLL");
    let file = object::File::parse(&*bytes).expect("it is an object file");
    let mut exports: Vec<_> =
        file.exports().expect("exports").iter().map(|export| native::text(export.name())).collect();
    exports.sort();
    assert_eq!(exports, [vms_failover_abi::checked::LOADER_SYMBOL, vms_failover_abi::VMSF_ENTRY_SYMBOL]);
    let of_windows = ["kernel32", "ntdll", "msvcrt", "advapi32", "ws2_32", "userenv", "bcrypt"];
    let imports = file.imports().expect("imports");
    assert!(!imports.is_empty());
    for import in imports {
        let library = native::text(import.library()).to_lowercase();
        let is_known =
            library.starts_with("api-ms-win-") || of_windows.iter().any(|name| library == format!("{name}.dll"));
        assert!(is_known, "the plugin needs {library}");
    }
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn the_c_example_takes_a_server_over_and_gives_it_back_on_windows() {
    let Some(windows) = Windows::get() else { return };
    let directory = scratch();
    let program = directory.path().join("failover_host.exe");
    windows.compile("c99", &repository("examples/c/failover_host.c"), &program);
    for name in ["minimal", "full"] {
        let place = directory.path().join(name);
        std::fs::create_dir(&place).expect("a directory");
        let text =
            std::fs::read_to_string(repository(&format!("examples/config/{name}.json"))).expect("a configuration");
        let configuration = place.join("configuration.json");
        std::fs::write(&configuration, text.replace("\"/var/", "\"C:/var/")).expect("a configuration");
        let mut command = windows.command(&program);
        let output = native::succeed(command.args([&windows.library(), &configuration, &place].map(|file| path(file))));
        check_example(&native::text(&output.stdout).replace('\r', ""));
    }
    let missing = directory.path().join("missing.dll");
    let output = windows.command(&program).args([&missing; 3].map(|file| path(file))).output().expect("wine runs");
    let said = native::text(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("the plugin does not load"), "{said}");
}

fn check_example(shown: &str) {
    let begun = shown.lines().filter_map(|line| line.strip_prefix("begin "));
    let begun: Vec<Value> = begun.map(|json| serde_json::from_str(json).expect("JSON")).collect();
    let kinds: Vec<_> = begun.iter().map(|operation| operation["operation"].as_str().expect("a kind")).collect();
    assert_eq!(kinds, ["join_cluster", "authorize", "backup", "takeover", "restore", "deauthorize"], "{shown}");
    let archive = begun[3]["backup"]["path"].as_str().expect("the path of the backup");
    let archive = archive.strip_prefix("Z:").expect("an absolute path").replace('\\', "/");
    assert_eq!(std::fs::read_to_string(archive).expect("the archive"), "settings");
    assert_eq!(shown.lines().last(), Some("released"), "{shown}");
}

/// `tests/windows/probe.c`, with a directory of its own.
struct Probe {
    windows: std::sync::Arc<Windows>,
    directory: TempDir,
}

impl Probe {
    fn build() -> Option<Probe> {
        let probe = Probe { windows: Windows::get()?, directory: scratch() };
        probe.windows.compile("c11", &repository("tests/windows/probe.c"), &probe.program());
        Some(probe)
    }

    fn program(&self) -> PathBuf {
        self.directory.path().join("probe.exe")
    }

    fn part(&self, part: &str) -> Command {
        let mut command = self.windows.command(&self.program());
        command.arg(path(&self.windows.library())).arg(path(&self.directory.path().join("state"))).arg(part);
        command
    }

    fn passes(&self, part: &str) {
        native::succeed(&mut self.part(part));
    }
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn a_directory_in_use_is_busy_until_its_process_is_terminated_and_what_was_accepted_is_there() {
    let Some(probe) = Probe::build() else { return };
    let mut holder = probe.part("hold").stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("wine runs");
    let mut said = String::new();
    let told = BufReader::new(holder.stdout.as_mut().expect("its output")).read_line(&mut said);
    assert!(told.is_ok() && said.trim_end() == "holding", "{said}");
    probe.passes("busy");
    holder.stdin.take().expect("its input").write_all(b"now\n").expect("it listens");
    assert_eq!(holder.wait().expect("it ends").code(), Some(7), "it was to be terminated");
    probe.passes("survived");
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn a_file_that_is_open_elsewhere_is_replaced_within_two_seconds_or_named() {
    let Some(probe) = Probe::build() else { return };
    probe.passes("open_files");
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn ids_that_windows_reads_as_something_else_are_refused_by_windows_too() {
    let Some(probe) = Probe::build() else { return };
    probe.passes("names");
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn long_paths_and_both_separators_work() {
    let Some(probe) = Probe::build() else { return };
    probe.passes("paths");
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn a_host_may_stamp_with_its_own_reading_of_the_performance_counter() {
    let Some(probe) = Probe::build() else { return };
    probe.passes("clock");
}

#[test]
#[ignore = "not steady under wine yet: cargo test --test windows -- --ignored"]
fn from_the_first_create_on_the_library_stays_loaded() {
    let Some(probe) = Probe::build() else { return };
    probe.passes("rounds");
}
