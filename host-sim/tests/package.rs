//! The release archive, used as whoever has nothing else would: by the commands of its guide, CMake, pkg-config and sha256sum. The variable
//! `VMSF_ARCHIVE` names the archive to be tested; else one is made of the library of this build.

#[path = "../../tests/support/native.rs"]
mod native;
#[path = "support/program.rs"]
mod program;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use flate2::read::GzDecoder;
use native::{compiler, succeed, text};
use program::host_sim;
use tempfile::TempDir;

const GUIDE: &str = "share/doc/vms_failover/README.md";
const PLUGIN: &str = "lib/vms_failover/libvms_failover.so";
const CONFIG: &str = "lib/cmake/vms_failover/vms_failover-config.cmake";
const VERSION: &str = env!("CARGO_PKG_VERSION");

/// Loads the library that it is told and prints what that is.
const MAIN: &str = r#"
#include <dlfcn.h>
#include <cstdio>
#include <cstring>
#include "vms_failover.h"

int main(int argc, char **argv) {
#ifdef PLUGIN
    const char *path = argc > 1 ? argv[1] : PLUGIN;
#else
    const char *path = argc > 1 ? argv[1] : "";
#endif
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library != nullptr ? dlsym(library, VMSF_ENTRY_SYMBOL) : nullptr;
    if (symbol == nullptr) return std::fprintf(stderr, "%s: %s\n", path, dlerror()), 1;
    vmsf_entry_fn entry;
    std::memcpy(&entry, &symbol, sizeof entry);
    vmsf_handshake shake = {};
    shake.struct_size = sizeof shake;
    shake.abi_min = shake.abi_max = VMSF_ABI_MAJOR;
    if (entry(&shake) != VMSF_OK) return 1;
    std::printf("%s %s, ABI %u.%u\n", shake.info->name, shake.info->version, shake.abi_chosen, shake.abi_minor);
    return 0;
}
"#;

/// What it prints.
fn greeting() -> String {
    let (major, minor) = (vms_failover_abi::VMSF_ABI_MAJOR, vms_failover_abi::VMSF_ABI_MINOR);
    format!("VMS failover {VERSION}, ABI {major}.{minor}\n")
}

/// Makes an archive of the library of this build.
fn make(file: &Path) {
    let library = native::plugin_library();
    let arguments = ["package", "--library", library.to_str().unwrap(), "--archive", file.to_str().unwrap()];
    let (status, _, complaint) = host_sim(&arguments);
    assert_eq!(status, 0, "{complaint}");
}

/// The archive to be tested.
fn archive() -> &'static Path {
    static ARCHIVE: OnceLock<PathBuf> = OnceLock::new();
    ARCHIVE.get_or_init(|| match std::env::var_os("VMSF_ARCHIVE") {
        Some(file) => file.into(),
        None => {
            let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("package/vms-failover-test-gnu.tar.gz");
            make(&file);
            file
        }
    })
}

fn unpack(archive: &Path, folder: &Path) -> PathBuf {
    let file = fs::File::open(archive).unwrap_or_else(|error| panic!("{}: {error}", archive.display()));
    tar::Archive::new(GzDecoder::new(file)).unpack(folder).unwrap();
    let tops: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(tops.len(), 1, "one folder in the archive: {tops:?}");
    tops[0].clone()
}

/// The archive, unpacked into a folder of its own.
fn unpacked() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let top = unpack(archive(), folder.path());
    (folder, top)
}

/// All files below a folder by their path from there, with `/`.
fn files(top: &Path) -> BTreeMap<String, Vec<u8>> {
    let (mut found, mut open) = (BTreeMap::new(), vec![top.to_owned()]);
    while let Some(folder) = open.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                open.push(path);
            } else {
                found.insert(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned(), fs::read(path).unwrap());
            }
        }
    }
    found
}

/// The blocks of code of one language in a section of the guide that lies in the archive.
fn blocks(top: &Path, section: &str, language: &str) -> Vec<String> {
    let guide = fs::read_to_string(top.join(GUIDE)).unwrap();
    let start =
        guide.find(&format!("\n## {section}\n")).unwrap_or_else(|| panic!("the guide has no section {section}"));
    let section = guide[start + 1..].split("\n## ").next().unwrap();
    let fence = format!("```{language}\n");
    section.split(&fence).skip(1).map(|rest| rest.split("```").next().unwrap().to_owned()).collect()
}

const SECTION: &str = "From the release archive";

/// Whether all of these are there; tells of those that are not.
fn have(programs: &[(&str, &str)]) -> bool {
    programs.iter().all(|(variable, name)| compiler(variable, name).is_some())
}

/// Types commands into a shell, in a folder.
fn sh(folder: &Path, commands: &str) -> String {
    let mut shell = Command::new("sh");
    text(&succeed(shell.args(["-e", "-c", commands]).current_dir(folder).env_remove("PKG_CONFIG_PATH")).stdout)
}

#[test]
fn two_runs_give_the_same_bytes() {
    let folder = tempfile::tempdir().unwrap();
    let made = ["a", "b"].map(|name| {
        make(&folder.path().join(name).join("one.tar.gz"));
        files(&folder.path().join(name))
    });
    let names: Vec<&String> = made[0].keys().collect();
    assert_eq!(names, ["one-debug.tar.gz", "one-debug.tar.gz.sha256", "one.tar.gz", "one.tar.gz.sha256"]);
    assert!(made[0] == made[1], "the same sources and library gave two archives");
}

#[test]
fn its_sums_are_right_and_name_every_file() {
    let (_folder, top) = unpacked();
    let sums = fs::read_to_string(top.join("SHA256SUMS")).unwrap();
    let named: BTreeSet<&str> = sums.lines().map(|line| line.split_once("  ").unwrap().1).collect();
    let files = files(&top);
    let there: BTreeSet<&str> = files.keys().map(String::as_str).filter(|path| *path != "SHA256SUMS").collect();
    assert_eq!(named, there);
    if have(&[("SHA256SUM", "sha256sum")]) {
        sh(&top, "sha256sum --check --strict --quiet SHA256SUMS");
        let sum = format!("{}.sha256", archive().file_name().unwrap().to_str().unwrap());
        sh(archive().parent().unwrap(), &format!("sha256sum --check --strict --quiet {sum}"));
    }
}

#[test]
fn entries_are_in_order_and_tell_nothing_of_the_machine() {
    let mut tar = tar::Archive::new(GzDecoder::new(fs::File::open(archive()).unwrap()));
    let mut before = String::new();
    for entry in tar.entries().unwrap() {
        let entry = entry.unwrap();
        let (header, path) = (entry.header(), entry.path().unwrap().to_str().unwrap().to_owned());
        assert!(before < path, "{path} comes after {before}");
        let of = (header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap());
        assert_eq!(of, (0, 0, 946_684_800), "{path}");
        assert_eq!((header.username().unwrap(), header.groupname().unwrap()), (Some(""), Some("")), "{path}");
        let mode = if path.ends_with(PLUGIN) { 0o755 } else { 0o644 };
        assert_eq!(header.mode().unwrap(), mode, "{path}");
        before = path;
    }
    assert!(before.contains("schema"), "the last entry is {before}");
}

#[test]
fn the_c_example_builds_and_runs_by_the_commands_of_the_guide_as_printed() {
    if !have(&[("CC", "cc"), ("SHA256SUM", "sha256sum")]) {
        return;
    }
    let (_elsewhere, top) = unpacked();
    let commands = blocks(&top, SECTION, "sh").into_iter().next().expect("the commands");
    let folder = tempfile::tempdir().unwrap();
    fs::copy(archive(), folder.path().join(format!("{}.tar.gz", top.file_name().unwrap().to_str().unwrap()))).unwrap();
    let said = sh(folder.path(), &commands);
    assert!(said.contains(&format!("plugin: {}", greeting().trim_end())), "{said}");
    assert!(said.contains("\"operation\":\"takeover\"") && said.ends_with("released\n"), "{said}");
}

/// A project of the guide's lines and `more` in a folder, configured with the archive at `prefix`; whether that went well, and what it said.
fn configure(project: &Path, prefix: &Path, lines: &str) -> (bool, String) {
    fs::create_dir_all(project).unwrap();
    fs::write(project.join("main.cpp"), MAIN).unwrap();
    fs::write(project.join("CMakeLists.txt"), lines).unwrap();
    let mut cmake = Command::new("cmake");
    cmake.args(["-S", ".", "-B", "build"]).arg(format!("-DCMAKE_PREFIX_PATH={}", prefix.display()));
    let output = cmake.current_dir(project).output().unwrap();
    (output.status.success(), text(&output.stdout) + &text(&output.stderr))
}

const CMAKE: [(&str, &str); 3] = [("CMAKE", "cmake"), ("CXX", "c++"), ("MAKE", "make")];

fn guides_project(top: &Path) -> String {
    blocks(top, SECTION, "cmake").into_iter().next().expect("the lines for CMake")
}

#[test]
fn a_cmake_project_finds_header_and_plugin_wherever_the_archive_lies() {
    if !have(&CMAKE) {
        return;
    }
    let (folder, mut top) = unpacked();
    let lines = blocks(&top, SECTION, "cmake").concat();
    for place in ["here", "a place/with spaces"] {
        let moved = folder.path().join(place);
        fs::create_dir_all(moved.parent().unwrap()).unwrap();
        fs::rename(&top, &moved).unwrap();
        top = moved;
        let project = tempfile::tempdir().unwrap();
        let (is_found, said) = configure(project.path(), &top, &lines);
        assert!(is_found, "{said}");
        succeed(Command::new("cmake").args(["--build", "build"]).current_dir(project.path()));
        let output = succeed(&mut Command::new(project.path().join("build/my_host")));
        assert_eq!(text(&output.stdout), greeting(), "in {place}");
        // Shipped beside the host, by the guide's other line.
        succeed(
            Command::new("cmake").args(["--install", "build", "--prefix", "build/out"]).current_dir(project.path()),
        );
        let beside = fs::read(project.path().join("build/out/plugins/libvms_failover.so")).unwrap();
        assert!(beside == fs::read(top.join(PLUGIN)).unwrap(), "in {place}");
    }
}

#[test]
fn cmake_is_told_what_the_plugin_is_and_where() {
    if !have(&CMAKE) {
        return;
    }
    let (_folder, top) = unpacked();
    let project = tempfile::tempdir().unwrap();
    let names = ["VERSION", "ABI_MAJOR", "ABI_MINOR", "PLUGIN", "INCLUDE_DIR", "SCHEMA_DIR"];
    let shown: String = names.map(|name| format!("message(STATUS \"{name}=${{vms_failover_{name}}}\")\n")).concat();
    // Twice: a second find_package in one project must not define the targets again.
    let twice = "find_package(vms_failover REQUIRED)\n";
    let (is_found, said) = configure(project.path(), &top, &(guides_project(&top) + twice + &shown));
    assert!(is_found, "{said}");
    let value =
        |name: &str| said.lines().find_map(|line| line.strip_prefix(&format!("-- {name}="))).unwrap_or_default();
    assert_eq!(value("VERSION"), VERSION);
    assert_eq!(value("ABI_MAJOR"), vms_failover_abi::VMSF_ABI_MAJOR.to_string());
    assert_eq!(value("ABI_MINOR"), vms_failover_abi::VMSF_ABI_MINOR.to_string());
    assert_eq!(Path::new(value("PLUGIN")).canonicalize().unwrap(), top.join(PLUGIN).canonicalize().unwrap());
    assert!(Path::new(value("INCLUDE_DIR")).join("vms_failover.h").is_file(), "{said}");
    assert!(Path::new(value("SCHEMA_DIR")).join("config.json").is_file(), "{said}");
}

#[test]
fn cmake_refuses_another_version_a_torn_package_and_linking_the_plugin() {
    if !have(&CMAKE) {
        return;
    }
    let (_folder, top) = unpacked();
    let project = |find: &str, rest: &str| {
        let project = tempfile::tempdir().unwrap();
        let lines = format!(
            "cmake_minimum_required(VERSION 3.19)\nproject(p CXX)\nfind_package(vms_failover {find} REQUIRED)\n{rest}"
        );
        let (is_configured, said) = configure(project.path(), &top, &lines);
        // CMake breaks its lines anywhere.
        (is_configured, said.split_whitespace().collect::<Vec<_>>().join(" "))
    };
    for fits in ["", "0.1", &format!("{VERSION} EXACT"), "0.1...0.99", "0.0.1...<2"] {
        let (is_found, said) = project(fits, "");
        assert!(is_found, "{fits}: {said}");
    }
    for asked in ["0.99", "1.0", "0.0.1 EXACT", "0.2...0.99", "0.0.1...<0.1"] {
        let (is_found, said) = project(asked, "");
        assert!(!is_found && said.contains(&format!("version: {VERSION}")), "{asked}: {said}");
    }
    let (is_linked, said) =
        project("", concat!("add_executable(p main.cpp)\ntarget_link_libraries(p vms_failover", "::plugin)\n"));
    assert!(!is_linked && said.contains("loaded_at_run_time_never_linked"), "{said}");
    fs::remove_file(top.join(PLUGIN)).unwrap();
    let (is_found, said) = project("", "");
    assert!(!is_found && said.contains("libvms_failover.so is not there"), "{said}");
}

#[test]
fn pkg_config_finds_header_and_plugin_wherever_the_archive_lies() {
    if !have(&[("PKG_CONFIG", "pkg-config"), ("CXX", "c++")]) {
        return;
    }
    let (folder, top) = unpacked();
    let commands =
        blocks(&top, SECTION, "sh").into_iter().find(|block| block.contains("pkg-config")).expect("commands");
    let moved = folder.path().join("elsewhere");
    fs::rename(&top, &moved).unwrap();
    fs::write(moved.join("main.cpp"), MAIN).unwrap();
    assert_eq!(sh(&moved, &commands), greeting());
    let example = r#"export PKG_CONFIG_PATH="$PWD/lib/pkgconfig"
        c++ -std=c++17 $(pkg-config --cflags vms_failover) -o example share/doc/vms_failover/examples/cpp/failover_host.cpp -ldl
        ./example "$(pkg-config --variable=plugin vms_failover)" share/doc/vms_failover/examples/config/full.json "$(mktemp -d)""#;
    let said = sh(&moved, example);
    assert!(said.contains(VERSION) && said.contains("\"operation\":\"takeover\""), "the example in C++: {said}");
    let ask =
        |what: &str| sh(&moved, &format!("PKG_CONFIG_PATH=\"$PWD/lib/pkgconfig\" pkg-config {what} vms_failover"));
    assert_eq!(ask("--modversion").trim_end(), VERSION);
    assert_eq!(ask("--variable=abi_major").trim_end(), vms_failover_abi::VMSF_ABI_MAJOR.to_string());
    assert_eq!(ask("--libs").trim_end(), "-ldl", "the plugin is never linked");
    assert!(Path::new(ask("--variable=schemadir").trim_end()).join("config.json").is_file());
}

#[test]
fn every_crate_in_the_library_has_its_licence_texts_there() {
    let (_folder, top) = unpacked();
    let target = archive_target();
    let mut tree = Command::new(env!("CARGO"));
    tree.args(["tree", "--locked", "--offline", "--package", "vms-failover", "--edges", "normal,no-proc-macro"]);
    tree.args(["--prefix", "none", "--format", "{p}", "--target", &target]).current_dir(env!("CARGO_MANIFEST_DIR"));
    let said = text(&succeed(&mut tree).stdout);
    let mut crates = BTreeSet::new();
    for line in said.lines().filter(|line| !line.contains("(/")) {
        let mut words = line.split(' ');
        crates.insert(format!("{}-{}", words.next().unwrap(), words.next().unwrap().trim_start_matches('v')));
    }
    assert!(crates.len() > 20, "{crates:?}");
    let licences = top.join("share/licenses/vms_failover");
    let table = fs::read_to_string(licences.join("third-party.txt")).unwrap();
    for name in crates {
        let texts = files(&licences.join("third-party").join(&name));
        assert!(texts.values().any(|text| text.len() > 500), "{name} has no licence text");
        assert!(table.lines().any(|line| line.starts_with(&format!("{name}: "))), "{name} is not in third-party.txt");
    }
    let own = |name: &str| fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)).unwrap();
    for name in ["LICENSE-MIT", "LICENSE-APACHE"] {
        assert_eq!(fs::read(licences.join(name)).unwrap(), own(name));
    }
    let std = files(&licences.join("third-party")).into_keys().filter(|path| path.starts_with("rust-std-"));
    let std: Vec<String> = std.map(|path| path.rsplit('/').next().unwrap().to_owned()).collect();
    for text in ["Apache-2.0.txt", "COPYRIGHT-library.html", "MIT.txt"] {
        assert!(std.iter().any(|name| name == text), "{text} of the standard library: {std:?}");
    }
}

/// The target that the name of the archive's folder ends with.
fn archive_target() -> String {
    let (_folder, top) = unpacked();
    let name = top.file_name().unwrap().to_str().unwrap();
    name.strip_prefix(&format!("vms-failover-{VERSION}-")).expect("name, version and target").to_owned()
}

#[test]
fn it_holds_what_the_repository_has_and_its_pages_link_to_what_is_there() {
    let (_folder, top) = unpacked();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (here, there) in [
        ("include/vms_failover.h", "include/vms_failover.h"),
        ("include/abi.txt", "share/doc/vms_failover/abi.txt"),
        ("include/schema/status.json", "share/vms_failover/schema/status.json"),
        ("examples/c/failover_host.c", "share/doc/vms_failover/examples/c/failover_host.c"),
        ("examples/config/full.json", "share/doc/vms_failover/examples/config/full.json"),
    ] {
        assert_eq!(fs::read(root.join(here)).unwrap(), fs::read(top.join(there)).unwrap(), "{here}");
    }
    for entry in fs::read_dir(root.join("include")).unwrap().map(|entry| entry.unwrap()) {
        let name = entry.file_name().into_string().unwrap();
        let is_header = name.ends_with(".h") || name.ends_with(".hpp");
        assert_eq!(is_header, top.join("include").join(&name).exists(), "{name}");
    }
    let guide = fs::read_to_string(top.join(GUIDE)).unwrap();
    let targets = guide.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    let paths: Vec<&str> =
        targets.map(|target| target.split('#').next().unwrap()).filter(|path| !path.is_empty()).collect();
    for path in paths.iter().filter(|path| !path.contains("://")) {
        assert!(top.join(GUIDE).parent().unwrap().join(path).exists(), "the guide links to {path}");
    }
    assert!(paths.contains(&"../../../include/vms_failover.h"), "{paths:?}");
}

#[test]
fn the_library_is_stripped_and_its_debug_information_fits_beside_it() {
    if !have(&[("READELF", "readelf")]) {
        return;
    }
    let (folder, top) = unpacked();
    let sections =
        |library: &Path| text(&succeed(Command::new("readelf").args(["--wide", "--sections"]).arg(library)).stdout);
    let library = sections(&top.join(PLUGIN));
    assert!(library.contains(".gnu_debuglink") && library.contains(".dynsym"), "{library}");
    assert!(!library.contains(".symtab") && !library.contains(".debug_"), "{library}");
    let name = archive().file_name().unwrap().to_str().unwrap().replace(".tar.gz", "-debug.tar.gz");
    // Into the same folder, as the guide says.
    unpack(&archive().with_file_name(name), folder.path());
    let debug = sections(&top.join(format!("{PLUGIN}.debug")));
    assert!(debug.contains(".symtab") && debug.contains(".debug_line"), "{debug}");
    let build_id = |file: &str| {
        let notes = text(&succeed(Command::new("readelf").arg("--notes").arg(top.join(file))).stdout);
        notes.lines().find_map(|line| line.trim().strip_prefix("Build ID: ").map(str::to_owned))
    };
    assert_eq!(build_id(PLUGIN), build_id(&format!("{PLUGIN}.debug")));
}

#[test]
fn a_prefix_gets_the_files_of_the_archive_and_keeps_what_it_had() {
    let folder = tempfile::tempdir().unwrap();
    let (file, prefix) = (folder.path().join("a.tar.gz"), folder.path().join("usr/local"));
    make(&file);
    let mut archived = files(&unpack(&file, &folder.path().join("unpacked")));
    archived.remove("SHA256SUMS").expect("the sums");
    fs::create_dir_all(prefix.join("include")).unwrap();
    fs::write(prefix.join("include/other.h"), "other").unwrap();
    fs::write(prefix.join("include/vms_failover.h"), "an older one").unwrap();
    let library = native::plugin_library();
    let arguments = ["package", "--library", library.to_str().unwrap(), "--prefix", prefix.to_str().unwrap()];
    for _ in 0..2 {
        let (status, said, complaint) = host_sim(&arguments);
        assert_eq!(status, 0, "{complaint}");
        assert!(said.contains(&format!("{} files below {}", archived.len(), prefix.display())), "{said}");
    }
    let mut installed = files(&prefix);
    assert_eq!(installed.remove("include/other.h").unwrap(), b"other");
    assert!(installed == archived, "{:?} and {:?}", installed.keys(), archived.keys());
    assert!(prefix.join(CONFIG).is_file());
}

#[test]
fn what_cannot_be_packaged_is_said() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(path("text.so"), "no library").unwrap();
    let library = native::plugin_library().to_str().unwrap().to_owned();
    for (arguments, words) in [
        (vec!["--archive", "a.zip"], "has to end in .tar.gz"),
        (vec!["--library", &path("text.so"), "--archive", &path("a.tar.gz")], "cannot read"),
        (vec!["--library", &path("missing.so"), "--archive", &path("a.tar.gz")], "missing.so"),
        (vec!["--library", &library, "--prefix", &path("text.so")], "cannot make the folder"),
        (vec!["--library", &library, "--target", "none-such", "--archive", &path("a.tar.gz")], "none-such"),
    ] {
        let (status, _, complaint) = host_sim(&[&["package"], &arguments[..]].concat());
        assert_eq!(status, 2, "{arguments:?}: {complaint}");
        assert!(complaint.starts_with("error: ") && complaint.contains(words), "{arguments:?}: {complaint}");
    }
    assert!(!folder.path().join("a.tar.gz").exists());
}
