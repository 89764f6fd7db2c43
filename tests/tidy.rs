//! The rules of the house, read off its own files: where unsafe may live, what the engine may not know, what every file says first.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Longer files hold more than one concern.
const LINES_MAX: usize = 700;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below these folders, by its path from the root, with its text.
fn rust_files(folders: &[&str]) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = folders.iter().map(|folder| root().join(folder)).collect();
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().replace('\\', "/");
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    assert!(!found.is_empty(), "no Rust files below {folders:?}");
    found.sort();
    found
}

fn all() -> Vec<(String, String)> {
    rust_files(&["src", "include/rust/src", "host-sim", "tests", "benches"])
}

fn is_test(name: &str) -> bool {
    name.contains("tests")
}

/// The lines of code: no comments.
fn code(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(n, line)| (n + 1, line))
}

#[test]
fn every_file_says_first_what_it_is_and_holds_one_concern() {
    for (name, text) in all() {
        assert!(text.starts_with("//!"), "{name} does not begin with a comment that says what it is");
        let lines = text.lines().count();
        // The whole C ABI stands in one file, on purpose.
        assert!(lines <= LINES_MAX || name == "include/rust/src/lib.rs", "{name} has {lines} lines");
    }
}

/// Whether it begins an unsafe function, trait or foreign block; the type of one is none.
fn declares_unsafe(line: &str) -> bool {
    let is_foreign = |rest: &str| rest.contains(" fn ") || !rest.contains(" fn(");
    line.contains("unsafe fn ")
        || line.contains("unsafe trait")
        || line.split_once("unsafe extern").is_some_and(|(_, rest)| is_foreign(rest))
}

#[test]
fn what_declares_something_unsafe_is_told_from_its_type() {
    for line in ["pub unsafe fn a(", "unsafe extern \"C\" fn a(b: u8) {", "unsafe extern \"C\" {", "unsafe trait A {}"]
    {
        assert!(declares_unsafe(line), "{line}");
    }
    for line in ["type A = unsafe extern \"C\" fn(", "entry_fn = unsafe extern \"C\" fn(io: u8);", "unsafe { a() }"] {
        assert!(!declares_unsafe(line), "{line}");
    }
}

#[test]
fn unsafe_lives_in_the_border_rooms_alone_and_names_its_rule() {
    let border = |name: &str| {
        let rooms = ["src/ffi/", "host-sim/src/plugin", "include/rust/src/checked.rs"];
        rooms.iter().any(|room| name.starts_with(room))
    };
    for (name, text) in all() {
        for (number, line) in code(&text) {
            let uses = line.contains("unsafe {") || line.contains("unsafe impl");
            if name == "tests/tidy.rs" || !(uses || declares_unsafe(line)) {
                continue;
            }
            assert!(border(&name) || is_test(&name), "{name}:{number}: unsafe outside the border");
            // What is declared says under "Safety" what its caller promises.
            if !uses || !border(&name) || is_test(&name) {
                continue;
            }
            let before: Vec<&str> = text.lines().take(number - 1).collect();
            let comment: String = before.iter().rev().take(8).rev().copied().collect::<Vec<_>>().join(" ");
            let said = comment.rfind("SAFETY:").map(|at| &comment[at..]);
            assert!(
                said.is_some_and(|said| said.contains("rule") || said.contains("class [")),
                "{name}:{number}: no SAFETY line that names a rule"
            );
        }
    }
}

#[test]
fn the_engine_knows_no_clock_thread_lock_file_json_hash_order_or_float() {
    let forbidden = [
        "std::time",
        "std::thread",
        "std::sync",
        "std::fs",
        "std::io",
        "std::net",
        "std::env",
        "parking_lot",
        "crossbeam",
        "HashMap",
        "HashSet",
        "serde_json",
        "chrono",
        "log::",
        "f32",
        "f64",
        "println!",
        "crate::runtime",
        "crate::ffi",
        "crate::config",
    ];
    for (name, text) in rust_files(&["src/engine"]) {
        for (number, line) in code(&text).filter(|_| !is_test(&name)) {
            let found = forbidden.iter().find(|word| line.contains(**word));
            assert!(found.is_none(), "{name}:{number} knows {}", found.unwrap());
        }
    }
}

#[test]
fn only_the_runtime_knows_threads_and_channels() {
    for (name, text) in rust_files(&["src"]) {
        if name.starts_with("src/runtime/") || is_test(&name) {
            continue;
        }
        for (number, line) in code(&text) {
            for word in
                ["std::thread::", "crossbeam", "Condvar::wait_until", "clock_gettime", "SystemTime", "Instant::now"]
            {
                assert!(!line.contains(word), "{name}:{number} knows {word}");
            }
        }
    }
}

#[test]
fn the_simulated_host_names_nothing_of_the_plugin() {
    for (name, text) in rust_files(&["host-sim"]) {
        for (number, line) in code(&text) {
            assert!(!line.contains("vms_failover::"), "{name}:{number} names the plugin's crate");
        }
    }
}

#[test]
fn one_file_names_the_crate_of_the_second_door() {
    let folders = ["src", "include/rust/src", "host-sim", "tests", "examples"];
    let files = rust_files(&folders).into_iter().filter(|(name, _)| name != "tests/tidy.rs");
    let naming = files.filter(|(_, text)| code(text).any(|(_, line)| line.contains("abi_stable")));
    assert_eq!(naming.map(|(name, _)| name).collect::<Vec<_>>(), ["include/rust/src/checked.rs"]);
    let wanting = ["Cargo.toml", "include/rust/Cargo.toml", "host-sim/Cargo.toml", "examples/rust/Cargo.toml"];
    let wanting: Vec<_> = wanting
        .into_iter()
        .filter(|file| {
            fs::read_to_string(root().join(file)).unwrap().lines().any(|line| line.starts_with("abi_stable"))
        })
        .collect();
    assert_eq!(wanting, ["include/rust/Cargo.toml"]);
}

#[test]
fn what_the_deny_list_lets_through_has_a_reason_and_is_still_there() {
    let (list, lock) =
        (fs::read_to_string(root().join("deny.toml")).unwrap(), fs::read_to_string(root().join("Cargo.lock")).unwrap());
    let entries: Vec<_> = list.lines().map(str::trim).filter(|line| line.starts_with("{ ")).collect();
    assert!(entries.iter().any(|entry| entry.contains("\"abi_stable\"")), "deny.toml does not speak of abi_stable");
    for entry in entries {
        let reason = entry.split_once("reason = \"").map_or("", |(_, reason)| reason);
        let says_why = entry.starts_with("{ crate = ") && entry.contains(" # ");
        assert!(says_why || reason.len() > 20, "deny.toml: no reason: {entry}");
        // The advisory says in the first word of its reason of which crate it is.
        let name = match entry.strip_prefix("{ crate = \"") {
            Some(rest) => rest.split('"').next(),
            None => reason.split(' ').next(),
        };
        let name = name.unwrap_or_default();
        assert!(lock.contains(&format!("name = \"{name}\"\n")), "deny.toml: {name} is in the tree no longer: {entry}");
    }
}

#[test]
fn every_room_stands_in_the_code_map() {
    let map = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for line in map.lines().filter_map(|line| line.strip_prefix("pub mod ")) {
        let room = line.trim_end_matches(';');
        assert!(map.contains(&format!("[`{room}`]")), "src/lib.rs: the code map does not show {room}");
    }
}

#[test]
fn ci_runs_the_two_commands_of_the_readme() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    let ci = fs::read_to_string(root().join(".ci/run")).unwrap();
    for command in ["cargo run --release -p host-sim -- demo", "cargo test --workspace"] {
        assert!(readme.lines().any(|line| line.trim_end() == command), "README.md does not give `{command}`");
        assert!(ci.lines().any(|line| line == format!("step {command}")), ".ci/run does not run `{command}`");
    }
}

#[test]
fn every_file_that_the_documents_name_is_there() {
    for document in ["README.md", "examples/README.md", "include/README.md", "tests/README.md", "benches/README.md"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        let folder = root().join(document).parent().unwrap().to_owned();
        for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let path = target.split('#').next().unwrap_or_default();
            if !path.is_empty() && !path.contains("://") {
                assert!(folder.join(path).exists(), "{document} names {path}, which is not there");
            }
        }
    }
}

#[test]
fn no_document_holds_what_a_merge_has_left() {
    for document in ["README.md", "examples/README.md", "include/README.md", "tests/README.md", ".ci/run"] {
        let text = fs::read_to_string(root().join(document)).unwrap();
        for (number, line) in text.lines().enumerate() {
            let is_mark = line == "=======" || line.starts_with("<<<<<<< ") || line.starts_with(">>>>>>> ");
            assert!(!is_mark, "{document}:{}: two versions stand here, choose one", number + 1);
        }
    }
}

/// The names of all test functions.
fn test_names(files: &[(String, String)]) -> BTreeSet<&str> {
    let mut names = BTreeSet::new();
    for (_, text) in files {
        let mut is_test = false;
        for line in text.lines().map(str::trim) {
            is_test |= line == "#[test]";
            if let Some(name) = line.strip_prefix("fn ").and_then(|rest| rest.split('(').next())
                && std::mem::take(&mut is_test)
            {
                names.insert(name);
            }
        }
    }
    names
}

#[test]
fn every_sentence_of_the_behaviour_names_tests_that_are_there() {
    let (readme, files) = (fs::read_to_string(root().join("tests/README.md")).unwrap(), all());
    let tests = test_names(&files);
    let mut faults = Vec::new();
    let mut last = (0_u32, 0_u32);
    for row in readme.lines().filter_map(|line| line.strip_prefix("| ")) {
        let cells: Vec<&str> = row.trim_end().trim_end_matches('|').split('|').map(str::trim).collect();
        let number: Option<(u32, u32)> =
            cells[0].split_once('.').and_then(|(section, n)| Some((section.parse().ok()?, n.parse().ok()?)));
        let Some(number) = number else { continue };
        if number != (last.0, last.1 + 1) && !(number.0 > last.0 && number.1 == 1) {
            faults.push(format!("{} does not follow {}.{}", cells[0], last.0, last.1));
        }
        last = number;
        let [_, sentence, proof] = cells[..] else {
            faults.push(format!("{} has {} cells", cells[0], cells.len()));
            continue;
        };
        let names: Vec<&str> = proof.split('`').skip(1).step_by(2).collect();
        if sentence.is_empty() || names.is_empty() {
            faults.push(format!("{}: nothing proves \"{sentence}\"", cells[0]));
        }
        for name in names {
            let is_there = match name.strip_suffix(".json") {
                Some(_) => root().join("host-sim/scenarios").join(name).exists(),
                None => tests.contains(name),
            };
            if !is_there {
                faults.push(format!("{}: there is no `{name}`", cells[0]));
            }
        }
    }
    assert_eq!(last.0, 9, "the table ends with section 9");
    assert!(faults.is_empty(), "tests/README.md:\n{}", faults.join("\n"));
}
