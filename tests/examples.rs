//! The C example builds without a warning, joins the cluster, is authorized at a server and backs it up, takes it over when it is silent and
//! gives it back, and fails in clear words.

#[path = "support/native.rs"]
mod native;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;
use tempfile::TempDir;

const SOURCE: &str = "examples/c/failover_host.c";

/// The built example, in its own directory.
struct Example {
    compiler: String,
    directory: TempDir,
}

impl Example {
    /// `None` where there is no C compiler.
    fn build() -> Option<Example> {
        let compiler = native::compiler("CC", "cc")?;
        let example = Example { compiler, directory: tempfile::tempdir().expect("a directory") };
        let mut command = Command::new(&example.compiler);
        command.args(["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        command.arg("-I").arg(repository("include")).arg("-o").arg(example.path("failover_host"));
        native::succeed(command.arg(repository(SOURCE)).arg("-ldl"));
        Some(example)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn run(&self, library: &Path, configuration: &str) -> Output {
        let scratch = self.path("scratch");
        std::fs::create_dir_all(&scratch).expect("a scratch directory");
        let mut command = Command::new(self.path("failover_host"));
        command.arg(library).arg(repository(configuration)).arg(scratch);
        command.output().expect("the example runs")
    }

    /// A shared library that is no plugin.
    fn other_library(&self) -> PathBuf {
        let (source, library) = (self.path("other.c"), self.path("libother.so"));
        std::fs::write(&source, "int other(void);\nint other(void) { return 1; }\n").expect("a source");
        native::succeed(Command::new(&self.compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source));
        library
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn it_is_short() {
    let lines = std::fs::read_to_string(repository(SOURCE)).expect("the example").lines().count();
    assert!(lines < 150, "{SOURCE} has {lines} lines; a template is read in one go");
}

#[test]
fn it_takes_a_silent_server_over_and_gives_it_back() {
    run_with("examples/config/minimal.json", "recorder-1");
}

#[test]
fn it_runs_with_every_key_of_the_configuration() {
    run_with("examples/config/full.json", "entrance");
}

fn run_with(configuration: &str, server: &str) {
    let Some(example) = Example::build() else { return };
    let output = example.run(&native::plugin_library(), configuration);
    let (shown, errors) = (native::text(&output.stdout), native::text(&output.stderr));
    assert!(output.status.success(), "{}\n{shown}{errors}", output.status);
    check_versions(&shown);
    check_operations(&lines(&shown, "begin "), server);
    check_events(&lines(&shown, "event "), server);
    check_backup(&example, &shown);
    assert_eq!(shown.lines().last(), Some("released"), "release is the last callback\n{shown}");
}

fn check_versions(shown: &str) {
    let abi = format!("ABI {}.{}", vms_failover_abi::VMSF_ABI_MAJOR, vms_failover_abi::VMSF_ABI_MINOR);
    let mut lines = shown.lines();
    assert_eq!(lines.next(), Some(format!("host: {abi}").as_str()));
    let plugin = lines.next().unwrap_or_default();
    assert!(plugin.starts_with("plugin: "), "{plugin}");
    assert!(plugin.ends_with(&format!(" {}, {abi}", env!("CARGO_PKG_VERSION"))), "{plugin}");
}

/// The JSON of the lines that begin with `prefix`.
fn lines(shown: &str, prefix: &str) -> Vec<Value> {
    let found = shown.lines().filter_map(|line| line.strip_prefix(prefix));
    found.map(|json| serde_json::from_str(json).unwrap_or_else(|error| panic!("{error}: {json}"))).collect()
}

fn check_operations(operations: &[Value], server: &str) {
    let asked = operations.iter().map(|operation| (&operation["operation"], &operation["server"]["id"]));
    let asked: Vec<_> = asked.map(|(kind, id)| (kind.as_str().expect("a kind"), id.as_str())).collect();
    let of_it = ["authorize", "backup", "takeover", "restore", "deauthorize"].map(|kind| (kind, Some(server)));
    assert_eq!(asked, [&[("join_cluster", None)], &of_it[..]].concat());
    assert_eq!(operations[0]["management_server"], serde_json::json!({ "host": "management.example", "port": 443 }));
    assert_eq!(operations[3]["actor"], "automatic");
    assert_eq!(operations[3]["reason"], "keep_alive_timeout");
}

/// What it was taken over with is what was backed up, and the password is nowhere.
fn check_backup(example: &Example, shown: &str) {
    let takeover = &lines(shown, "begin ")[3];
    let archive = std::fs::read(takeover["backup"]["path"].as_str().expect("a path")).expect("the archive");
    assert_eq!(archive, b"settings");
    assert!(!shown.contains("admin:1234"));
    let state = std::fs::read_dir(example.path("scratch/state")).expect("the state directory");
    for path in state.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()) {
        let bytes = std::fs::read(&path).expect("a file");
        assert!(!bytes.windows(10).any(|window| window == b"admin:1234"), "{}", path.display());
    }
}

fn check_events(events: &[Value], server: &str) {
    let of = |code: &'static str| events.iter().filter(move |event| event["code"] == code && event["server"] == server);
    let failed = of("health").find(|event| event["details"]["to"] == "failed").expect("the server failed");
    assert_eq!(failed["details"]["reason"], "keep_alive_timeout");
    let states: Vec<_> = of("takeover").map(|event| event["details"]["to"].as_str().unwrap_or("?")).collect();
    assert_eq!(states, ["queued", "taking_over", "taken_over", "restoring", "none"]);
    let numbers: Vec<_> = events.iter().map(|event| event["seq"].as_u64().expect("a number")).collect();
    assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap in {numbers:?}");
}

#[test]
fn a_missing_library_is_named() {
    let Some(example) = Example::build() else { return };
    let missing = example.path("missing.so");
    assert_fails(&example, &missing, &["the plugin does not load", "missing.so"]);
}

#[test]
fn a_library_that_is_no_plugin_is_named() {
    let Some(example) = Example::build() else { return };
    let other = example.other_library();
    assert_fails(&example, &other, &["not a vms-failover plugin", vms_failover_abi::VMSF_ENTRY_SYMBOL, "libother.so"]);
}

fn assert_fails(example: &Example, library: &Path, words: &[&str]) {
    let output = example.run(library, "examples/config/minimal.json");
    let errors = native::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    words.iter().for_each(|word| assert!(errors.contains(word), "{word} is not in: {errors}"));
}
