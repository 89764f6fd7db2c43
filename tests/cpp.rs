//! `include/vms_failover.hpp`: compiles as C++17 and C++20 without a warning, reaches every member of the table, and keeps on the built plugin
//! what it promises beyond the C header (`tests/cpp`).

#[path = "support/native.rs"]
mod native;

use std::path::{Path, PathBuf};
use std::process::Command;

fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

#[test]
fn the_cpp_header_keeps_what_it_promises_as_cpp17_and_cpp20() {
    let Some(compiler) = native::compiler("CXX", "c++") else { return };
    ["c++17", "c++20"].iter().for_each(|standard| check(&compiler, standard));
}

/// Two units that both include the header twice, so that what is defined in it is defined once.
fn check(compiler: &str, standard: &str) {
    let directory = tempfile::tempdir().expect("a directory");
    let program = directory.path().join("wrapper");
    let mut command = Command::new(compiler);
    command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
    command.args(["-Wshadow", "-Wconversion", "-Wsign-conversion", "-Wnon-virtual-dtor", "-Woverloaded-virtual"]);
    command.arg("-I").arg(repository("include")).arg("-o").arg(&program);
    command.args(["tests/cpp/wrapper.cpp", "tests/cpp/other.cpp"].map(repository)).arg("-ldl");
    native::succeed(&mut command);
    let output = native::succeed(Command::new(program).arg(native::plugin_library()).arg(directory.path()));
    let shown = native::text(&output.stdout);
    let words: Vec<_> = shown.lines().collect();
    assert_eq!(words, ["errors", "texts", "exceptions", "tokens", "owners"], "{standard}");
}

#[test]
fn the_cpp_header_reaches_every_member_of_the_table() {
    let header = std::fs::read_to_string(repository("include/vms_failover.hpp")).expect("the header");
    let list = std::fs::read_to_string(repository("include/abi.txt")).expect("the list of the ABI");
    let table = list.split_once("struct vmsf_api:").expect("the table").1;
    let members = table.lines().filter_map(|line| line.split_once("(*")?.1.split(')').next());
    let (found, missing): (Vec<_>, Vec<_>) = members.partition(|name| {
        [format!("api_->{name}("), format!("api_->{name},")].iter().any(|use_| header.contains(use_))
    });
    assert_eq!((found.len(), missing), (31, vec![]));
}
