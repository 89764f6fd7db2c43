//! The licence texts of what is in the library: of each crate that is linked into it, from the crate's own source, and of Rust's standard
//! library. A crate that brings no text gets those of the licences that it declares; one that declares none fails the package.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::str::FromStr as _;

use anyhow::{Context, Result, bail};
use cargo_metadata::cargo_platform::Cfg;
use cargo_metadata::{DependencyKind, Metadata, Package, PackageId};
use spdx::{Expression, ParseMode};

use super::toolchain::Toolchain;
use super::tree::Tree;

/// What the names of files with licence texts hold.
const TEXTS: [&str; 3] = ["licen", "copying", "notice"];
/// The table of all of them.
const TABLE: &str = "third-party.txt";
const HEAD: &str = "\
What is in the library beside its own code, and under which licences. Their texts lie in third-party, the sources, which are used
unchanged, at the addresses.

";

/// Adds the texts of every crate in the library and of the standard library below `folder`.
///
/// # Errors
/// One has no text; the error names it and says what to do.
pub fn add(tree: &mut Tree, folder: &str, metadata: &Metadata, toolchain: &Toolchain) -> Result<()> {
    let mut table = String::from(HEAD);
    for package in linked(metadata, toolchain)? {
        let name = format!("{}-{}", package.name, package.version);
        for (file, text) in texts(package)? {
            tree.add(format!("{folder}/third-party/{name}/{file}"), text)?;
        }
        let licence = package.license.as_deref().unwrap_or("see its text");
        writeln!(table, "{name}: {licence}\n    https://crates.io/crates/{}/{}", package.name, package.version)?;
    }
    let name = format!("rust-std-{}", toolchain.release);
    for (file, text) in of_the_standard_library(toolchain)? {
        tree.add(format!("{folder}/third-party/{name}/{file}"), text)?;
    }
    writeln!(
        table,
        "{name}: MIT OR Apache-2.0, and what its COPYRIGHT-library.html lists\n    https://github.com/rust-lang/rust"
    )?;
    tree.add(format!("{folder}/{TABLE}"), table)
}

/// The crates from elsewhere whose code is linked into the plugin for this target, in order: its normal dependencies and theirs. A
/// procedural macro runs in the compiler, so neither it nor what it needs is among them.
fn linked<'a>(metadata: &'a Metadata, toolchain: &Toolchain) -> Result<Vec<&'a Package>> {
    let cfgs =
        toolchain.cfgs.iter().map(|line| Cfg::from_str(line).with_context(|| format!("rustc --print cfg: {line}")));
    let cfgs = cfgs.collect::<Result<Vec<_>>>()?;
    let resolve = metadata.resolve.as_ref().context("cargo metadata gives no graph: a newer cargo is needed")?;
    let packages: BTreeMap<&PackageId, &Package> =
        metadata.packages.iter().map(|package| (&package.id, package)).collect();
    let edges: BTreeMap<&PackageId, _> = resolve.nodes.iter().map(|node| (&node.id, &node.deps)).collect();
    let plugin =
        metadata.packages.iter().find(|package| package.name == super::PLUGIN_CRATE && package.source.is_none());
    let mut open = vec![&plugin.with_context(|| format!("there is no crate {} here", super::PLUGIN_CRATE))?.id];
    let mut seen = BTreeSet::new();
    while let Some(id) = open.pop() {
        let package = packages.get(id).with_context(|| format!("cargo metadata does not describe {id}"))?;
        if package.targets.iter().any(cargo_metadata::Target::is_proc_macro) || !seen.insert(id) {
            continue;
        }
        for edge in edges.get(id).into_iter().copied().flatten() {
            let is_linked = edge.dep_kinds.iter().any(|how| {
                let here = how.target.as_ref().is_none_or(|platform| platform.matches(&toolchain.target, &cfgs));
                here && how.kind == DependencyKind::Normal
            });
            open.extend(is_linked.then_some(&edge.pkg));
        }
    }
    let mut found: Vec<&Package> =
        seen.iter().map(|id| packages[*id]).filter(|package| package.source.is_some()).collect();
    found.sort_by_key(|package| (package.name.to_string(), package.version.clone()));
    Ok(found)
}

/// The licence files of a crate by name; if there is none, the texts of what it declares.
fn texts(package: &Package) -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = package.manifest_path.parent().context("a manifest lies in a folder")?;
    let mut found = files(folder.as_std_path())?;
    if let Some(path) = package.license_file() {
        let name = path.file_name().unwrap_or("LICENSE").to_owned();
        found.insert(
            name,
            fs::read(&path).with_context(|| format!("cannot read {path}, the licence of {}", package.name))?,
        );
    }
    if found.keys().any(|name| !name.to_lowercase().contains("notice")) {
        return Ok(found);
    }
    let declared = package.license.as_deref().unwrap_or_default();
    let declared = declared_texts(declared).with_context(|| {
        let (name, version) = (&package.name, &package.version);
        format!(
            "{name} {version} is in the library and brings no licence text: take a version that does, or another crate"
        )
    })?;
    found.extend(declared);
    Ok(found)
}

fn files(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let lower = name.to_lowercase();
        // Metadata of the file that a link leads to: some crates link the texts of their workspace.
        let is_text =
            TEXTS.iter().any(|text| lower.contains(text)) && !lower.ends_with(".rs") && entry.path().is_file();
        if is_text {
            let bytes = fs::read(entry.path()).with_context(|| format!("cannot read {}", entry.path().display()))?;
            found.insert(name, bytes);
        }
    }
    Ok(found)
}

/// The texts of the licences that an SPDX expression names.
fn declared_texts(expression: &str) -> Result<BTreeMap<String, Vec<u8>>> {
    let parsed = Expression::parse_mode(expression, ParseMode::LAX);
    let parsed = parsed.map_err(|error| anyhow::anyhow!("it declares \"{expression}\": {}", error.reason))?;
    let mut found = BTreeMap::new();
    for requirement in parsed.requirements() {
        let Some(licence) = requirement.req.license.id() else {
            bail!("it declares {}, which SPDX has no text of", requirement.req);
        };
        found.insert(format!("{}.txt", licence.name), licence.text().as_bytes().to_vec());
    }
    Ok(found)
}

/// The notices that come with the compiler, and the licences that they name.
fn of_the_standard_library(toolchain: &Toolchain) -> Result<BTreeMap<String, Vec<u8>>> {
    let folder = toolchain.sysroot.join("share/doc/rust");
    let notices = folder.join("COPYRIGHT-library.html");
    let text = fs::read_to_string(&notices).with_context(|| {
        let path = notices.display();
        format!("cannot read {path}, the licences of Rust's standard library: take the toolchain of rustup, 1.86 or later, which has it")
    })?;
    let mut found = BTreeMap::new();
    for (name, licence) in files_of(&folder.join("licenses"))? {
        let id = name.strip_suffix(".txt").unwrap_or(&name);
        if text.split(|c: char| !(c.is_ascii_alphanumeric() || "-.".contains(c))).any(|word| word == id) {
            found.insert(name, licence);
        }
    }
    found.insert("COPYRIGHT-library.html".to_owned(), text.into_bytes());
    Ok(found)
}

fn files_of(folder: &Path) -> Result<BTreeMap<String, Vec<u8>>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    entries
        .map(|entry| {
            let entry = entry?;
            Ok((entry.file_name().to_string_lossy().into_owned(), fs::read(entry.path())?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    /// A crate with these files and this licence.
    fn a_crate(folder: &Path, files: &[&str], licence: Option<&str>) -> Package {
        files.iter().for_each(|name| fs::write(folder.join(name), *name).unwrap());
        serde_json::from_value(json!({
            "name": "some", "version": "1.2.3", "id": "some", "dependencies": [], "targets": [], "features": {},
            "manifest_path": folder.join("Cargo.toml"), "license": licence
        }))
        .unwrap()
    }

    fn names(texts: &BTreeMap<String, Vec<u8>>) -> Vec<&str> {
        texts.keys().map(String::as_str).collect()
    }

    #[test]
    fn a_crate_brings_its_own_texts_however_it_names_them() {
        let folder = tempfile::tempdir().unwrap();
        let brought = ["APACHE_license", "COPYING", "LICENSE-MIT", "NOTICE", "UNLICENSE", "license-apache-2.0"];
        let some = a_crate(folder.path(), &[&brought[..], &["README.md", "license.rs"]].concat(), Some("MIT"));
        assert_eq!(names(&texts(&some).unwrap()), brought);
    }

    #[test]
    fn a_crate_without_a_text_gets_those_of_what_it_declares() {
        let folder = tempfile::tempdir().unwrap();
        let some = a_crate(folder.path(), &["NOTICE"], Some("MIT/Apache-2.0 WITH LLVM-exception"));
        let found = texts(&some).unwrap();
        assert_eq!(names(&found), ["Apache-2.0.txt", "MIT.txt", "NOTICE"]);
        assert!(String::from_utf8_lossy(&found["MIT.txt"]).contains("Permission is hereby granted"));
    }

    #[test]
    fn a_crate_without_text_and_licence_fails_by_name() {
        let folder = tempfile::tempdir().unwrap();
        for licence in [None, Some("LicenseRef-ours"), Some("whatever")] {
            let text = format!("{:#}", texts(&a_crate(folder.path(), &[], licence)).unwrap_err());
            assert!(text.contains("some 1.2.3") && text.contains("no licence text"), "{text}");
        }
    }
}
