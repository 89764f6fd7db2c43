//! The example hosts in all languages, built and run by the commands of `examples/README.md`: each joins the cluster, is authorized at a server
//! and backs it up, takes it over when it is silent and gives it back, and fails in clear words.

#[path = "support/native.rs"]
mod native;

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use host_sim::contract::{self, read};
use serde_json::Value;
use tempfile::TempDir;

/// One example host: its heading in the document, and its tools, each with the variable that may name another one.
struct Example {
    heading: &'static str,
    tools: &'static [(&'static str, &'static str)],
}

const EXAMPLES: [Example; 6] = [
    Example { heading: "C", tools: &[("CC", "cc")] },
    Example { heading: "C++", tools: &[("CXX", "c++")] },
    Example { heading: "C#", tools: &[("MCS", "mcs"), ("MONO", "mono")] },
    Example { heading: "Python", tools: &[("PYTHON", "python3")] },
    Example { heading: "Rust", tools: &[] },
    Example { heading: "Rust, checked", tools: &[] },
];

/// An example that was built here, and the line of the document that runs it.
struct Built {
    heading: &'static str,
    line: String,
}

/// All that can be built here, once.
fn built() -> &'static [Built] {
    static BUILT: OnceLock<Vec<Built>> = OnceLock::new();
    BUILT.get_or_init(|| EXAMPLES.iter().filter_map(Example::build).collect())
}

impl Example {
    /// `None` where a tool is missing.
    fn build(&self) -> Option<Built> {
        if !self.tools.iter().all(|(variable, tool)| native::compiler(variable, tool).is_some()) {
            return None;
        }
        let mut lines = lines_below(self.heading);
        let line = lines.pop().unwrap_or_else(|| panic!("{}: no command", self.heading));
        lines.iter().for_each(|line| {
            native::succeed(&mut self.command(line, |word| word.to_owned()));
        });
        Some(Built { heading: self.heading, line })
    }

    /// A line of the document as a command: with the tools of this machine, what it builds in the directory of this test,
    /// and other words in the place of some.
    fn command(&self, line: &str, word: impl Fn(&str) -> String) -> Command {
        let built = format!("{}/", env!("CARGO_TARGET_TMPDIR"));
        let mut words = line.split(' ').map(|text| match word(text) {
            // `target/NAME` and `-out:target/NAME`
            same if same == text => same.replacen("target/", &built, 1),
            other => other,
        });
        let first = words.next().expect("a command");
        let tool = self.tools.iter().find(|(_, tool)| *tool == first);
        let mut command = match first.as_str() {
            "cargo" => cargo(),
            _ => Command::new(tool.and_then(|(variable, _)| std::env::var(variable).ok()).unwrap_or(first)),
        };
        // What the tests were built from is built already, a release build takes minutes.
        command.args(words.filter(|word| word != "--release")).current_dir(repository(""));
        command
    }
}

/// Cargo, into the target directory of this test, and silent on the host's standard error.
fn cargo() -> Command {
    let plugin = native::plugin_library(); // target/debug/deps/libvms_failover.so
    let mut command = Command::new(env!("CARGO"));
    command.env("CARGO_TARGET_DIR", plugin.ancestors().nth(3).expect("the target directory"));
    command.env("CARGO_TERM_QUIET", "true");
    command
}

/// The commands below a heading of the document.
fn lines_below(heading: &str) -> Vec<String> {
    let document =
        std::fs::read_to_string(repository("examples/README.md")).expect("the document").replace("\r\n", "\n");
    let section =
        document.split_once(&format!("\n### {heading}\n")).unwrap_or_else(|| panic!("no heading {heading}")).1;
    let block = section.split_once("```sh\n").and_then(|(_, rest)| rest.split_once("```")).expect("commands").0;
    block.lines().map(str::to_owned).collect()
}

impl Built {
    fn run(&self, library: &Path, configuration: &str, scratch: &Path, trace: Option<&Path>) -> Output {
        let line = self.line.replace("\"$(mktemp -d)\"", "SCRATCH");
        let example = EXAMPLES.iter().find(|example| example.heading == self.heading).expect("an example");
        let mut command = example.command(&line, |word| match word {
            "target/release/libvms_failover.so" => library.display().to_string(),
            "examples/config/minimal.json" => format!("examples/config/{configuration}"),
            "SCRATCH" => scratch.display().to_string(),
            other => other.to_owned(),
        });
        trace.map(|trace| command.env("VMSF_TRACE", trace));
        command.output().unwrap_or_else(|error| panic!("{}: {error}", self.heading))
    }
}

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

fn directory() -> TempDir {
    tempfile::tempdir().expect("a directory")
}

#[test]
fn the_template_is_short() {
    let path = "examples/c/failover_host.c";
    let lines = std::fs::read_to_string(repository(path)).expect("the example").lines().count();
    assert!(lines < 150, "{path} has {lines} lines; a template is read in one go");
}

#[test]
fn every_example_takes_a_silent_server_over_gives_it_back_and_tells_it_alike() {
    run_all_with("minimal.json", "recorder-1");
}

#[test]
fn every_example_runs_with_every_key_of_the_configuration() {
    run_all_with("full.json", "entrance");
}

/// A host to copy from breaks no rule of the contract, nor does it need advice; a busy machine may hold a callback up.
fn check_trace(heading: &str, trace: &Path) {
    let trace = std::fs::read(trace).expect("the trace");
    let verdict = contract::judge(&read::read(&trace).expect("a trace"), false);
    let broken = verdict.broken().into_iter().map(|(rule, _)| rule.name);
    let broken: Vec<_> = broken.filter(|name| !["callback-slow", "callback-blocks"].contains(name)).collect();
    assert!(broken.is_empty() && verdict.incomplete.is_none(), "{heading}: {:#?}", verdict.findings);
    assert!(verdict.calls > 20 && verdict.callbacks > 20);
}

fn run_all_with(configuration: &str, server: &str) {
    let mut first: Option<(&str, String)> = None;
    for example in built() {
        let scratch = directory();
        let traces = directory();
        let trace = traces.path().join("trace.jsonl");
        let output = example.run(&native::plugin_library(), configuration, scratch.path(), Some(&trace));
        let (shown, errors) = (native::text(&output.stdout), native::text(&output.stderr));
        assert!(output.status.success(), "{}: {}\n{shown}{errors}", example.heading, output.status);
        let log = errors.lines().filter(|line| line.starts_with("log ")).count();
        assert!(log > 20 && log == errors.lines().count(), "{}: more than log lines\n{errors}", example.heading);
        check_trace(example.heading, &trace);
        let lines = shown.replace("\r\n", "\n").replace(&scratch.path().display().to_string(), "SCRATCH");
        match &first {
            Some((heading, told)) => assert_eq!(&lines, told, "{} and {heading}", example.heading),
            None => check_story(scratch.path(), &shown, server),
        }
        check_password(scratch.path(), &shown);
        first.get_or_insert((example.heading, lines));
    }
}

fn check_story(scratch: &Path, shown: &str, server: &str) {
    check_versions(shown);
    check_operations(&lines(shown, "begin "), server);
    check_events(&lines(shown, "event "), server);
    check_backup(scratch, shown);
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

/// What it was taken over with is what was backed up.
fn check_backup(scratch: &Path, shown: &str) {
    let takeover = &lines(shown, "begin ")[3];
    let path = Path::new(takeover["backup"]["path"].as_str().expect("a path"));
    assert!(path.starts_with(scratch), "{} is outside of the scratch directory", path.display());
    assert_eq!(std::fs::read(path).expect("the archive"), b"settings");
}

/// The password is nowhere.
fn check_password(scratch: &Path, shown: &str) {
    assert!(!shown.contains("admin:1234"));
    let state = std::fs::read_dir(scratch.join("state")).expect("the state directory");
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
fn every_example_names_a_missing_library() {
    let directory = directory();
    let missing = directory.path().join("missing.so");
    built().iter().for_each(|example| assert_fails(example, &missing, &["the plugin does not load", "missing.so"]));
}

#[test]
fn every_example_names_a_library_that_is_no_plugin() {
    let Some(compiler) = native::compiler("CC", "cc") else { return };
    let directory = directory();
    let (source, library) = (directory.path().join("other.c"), directory.path().join("libother.so"));
    std::fs::write(&source, "int other(void);\nint other(void) { return 1; }\n").expect("a source");
    native::succeed(Command::new(compiler).args(["-shared", "-fPIC", "-o"]).arg(&library).arg(source));
    for example in built() {
        let symbol = match example.heading {
            "Rust, checked" => vms_failover_abi::checked::LOADER_SYMBOL,
            _ => vms_failover_abi::VMSF_ENTRY_SYMBOL,
        };
        assert_fails(example, &library, &["not a vms-failover plugin", symbol, "libother.so"]);
    }
}

fn assert_fails(example: &Built, library: &Path, words: &[&str]) {
    let output = example.run(library, "minimal.json", directory().path(), None);
    let errors = native::text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{}: {errors}", example.heading);
    words.iter().for_each(|word| assert!(errors.contains(word), "{}: {word} is not in: {errors}", example.heading));
    let lines = errors.lines().filter(|line| line.starts_with("failed: ")).count();
    assert_eq!(lines, 1, "{}: one line says what failed: {errors}", example.heading);
}

/// What mono has no `NativeLibrary` for, compiled with a stand-in that has the signatures of .NET's.
#[test]
fn the_branch_of_the_c_sharp_example_for_dotnet_compiles() {
    let Some(compiler) = native::compiler("MCS", "mcs") else { return };
    let directory = directory();
    let stand_in = directory.path().join("NativeLibrary.cs");
    std::fs::write(&stand_in, NATIVE_LIBRARY).expect("a source");
    let mut command = Command::new(compiler);
    command.args(["-d:NETCOREAPP", "-target:library", "-warn:4", "-warnaserror"]);
    command.arg(format!("-out:{}", directory.path().join("Abi.dll").display()));
    native::succeed(command.arg(stand_in).arg(repository("examples/csharp/Abi.cs")));
}

const NATIVE_LIBRARY: &str = "
namespace System.Runtime.InteropServices {
    public static class NativeLibrary {
        public static IntPtr Load(string path) { throw new Exception(path); }
        public static bool TryGetExport(IntPtr handle, string name, out IntPtr address) { address = handle; return name == null; }
        public static void Free(IntPtr handle) { }
    }
}
";
