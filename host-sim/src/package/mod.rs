//! The package: what an integrator takes home, into a prefix or as a release archive, made by one command.
//!
//! It is a command of this program because whoever has the sources has it, on every system and without further tools, and because what needs
//! crates stays out of the plugin. `toolchain` builds the library and splits its debug information off, `licences` gathers the texts of what
//! is in it, `guide` mends the links of a page that moves, `tree` writes files; this file says what lies where:
//!
//! ```text
//! include/                                 the headers
//! lib/vms_failover/libvms_failover.so      the plugin; not in lib/ itself, where a linker would find what is never linked
//! lib/cmake/vms_failover/                  find_package(vms_failover)
//! lib/pkgconfig/vms_failover.pc            pkg-config vms_failover
//! share/doc/vms_failover/                  the guide, abi.txt, examples
//! share/licenses/vms_failover/             ours, and those of what is in the library
//! share/vms_failover/schema/               the JSON schemas
//! SHA256SUMS                               of all files; in the archive alone
//! ```

mod guide;
mod licences;
mod toolchain;
mod tree;

use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use cargo_metadata::{Metadata, Package};
use vms_failover_abi::{VMSF_ABI_MAJOR, VMSF_ABI_MINOR};

use self::guide::Moved;
use self::toolchain::{Split, Toolchain, split};
use self::tree::{PLAIN, SUMS, Tree, replace, sha256};
use crate::commands::{BAD, OK};

/// The crate that becomes the library.
const PLUGIN_CRATE: &str = "vms-failover";
/// The package's name for CMake and pkg-config, and of its folders.
const NAME: &str = "vms_failover";
const DOC: &str = "share/doc/vms_failover";
const LICENCES: &str = "share/licenses/vms_failover";
const SCHEMAS: &str = "share/vms_failover/schema";

/// Folders of the repository whose files go along, and where to. Not the example in Rust, which is a crate of the workspace.
const FOLDERS: [(&str, &str); 6] = [
    ("include/schema", SCHEMAS),
    ("examples/c", "share/doc/vms_failover/examples/c"),
    ("examples/config", "share/doc/vms_failover/examples/config"),
    ("examples/cpp", "share/doc/vms_failover/examples/cpp"),
    ("examples/csharp", "share/doc/vms_failover/examples/csharp"),
    ("examples/python", "share/doc/vms_failover/examples/python"),
];
/// Single files that do, beside the headers.
const FILES: [(&str, &str); 3] = [("include/abi.txt", DOC), ("LICENSE-MIT", LICENCES), ("LICENSE-APACHE", LICENCES)];
const GUIDE: &str = "include/README.md";
/// Templates: what stands between two `@` is filled in.
const TEMPLATES: [(&str, &str); 3] = [
    ("include/cmake/vms_failover-config.cmake.in", "lib/cmake/vms_failover/vms_failover-config.cmake"),
    ("include/cmake/vms_failover-config-version.cmake.in", "lib/cmake/vms_failover/vms_failover-config-version.cmake"),
    ("include/pkgconfig/vms_failover.pc.in", "lib/pkgconfig/vms_failover.pc"),
];

/// Build the library as it ships, and make the release archive of it, or install it into a prefix
#[derive(Debug, Clone, clap::Args)]
#[command(after_help = "\
Examples:
  host-sim package                               target/package/vms-failover-<version>-<target>.tar.gz
  host-sim package --archive /tmp/release.tar.gz
  host-sim package --prefix /usr/local

Beside the archive it writes its SHA-256 sum (.sha256) and a second archive with the debug information (-debug.tar.gz): unpacked into the
same folder, debuggers find it. The same sources, compiler and target give the same bytes.

Exit status:
  0  it is made
  2  it could not be made: told on standard error")]
pub struct PackageArgs {
    /// The archive to write, its name ending in .tar.gz
    #[arg(long, value_name = "FILE", conflicts_with = "prefix")]
    pub archive: Option<PathBuf>,
    /// Install into this folder instead
    #[arg(long, value_name = "DIR")]
    pub prefix: Option<PathBuf>,
    /// The target to build for [default: this machine]
    #[arg(long, value_name = "TRIPLE")]
    pub target: Option<String>,
    /// Take this library instead of building one
    #[arg(long, value_name = "PATH")]
    pub library: Option<PathBuf>,
}

/// Makes the package; gives the exit status.
#[must_use]
pub fn run(args: &PackageArgs) -> u8 {
    match package(args) {
        Ok(()) => OK,
        Err(error) => {
            let _ = writeln!(io::stderr(), "error: {error:#}");
            BAD
        }
    }
}

fn package(args: &PackageArgs) -> Result<()> {
    // A name that cannot be right is told before the library is built.
    args.archive.as_deref().map(stem).transpose()?;
    let toolchain = Toolchain::find(args.target.as_deref())?;
    let metadata = toolchain.metadata(&root()?)?;
    let library = match &args.library {
        Some(library) => library.clone(),
        None => toolchain.build(&metadata)?,
    };
    let Split { library, debug } = split(&library, toolchain.library_name())?;
    let place = format!("lib/{NAME}/{}", toolchain.library_name());
    let mut tree = contents(&metadata, &toolchain, &place)?;
    tree.add_library(&place, library)?;
    if let Some(prefix) = &args.prefix {
        tree.install(prefix)?;
        return say(&format!("{} files below {}", tree.count(), prefix.display()));
    }
    let top = format!("{PLUGIN_CRATE}-{}-{}", plugin(&metadata)?.version, toolchain.target);
    let default = || metadata.target_directory.as_std_path().join("package").join(format!("{top}.tar.gz"));
    let file = args.archive.clone().unwrap_or_else(default);
    tree.add(SUMS, tree.sums())?;
    write(&file, &tree.archive(&top)?)?;
    let mut symbols = Tree::default();
    symbols.add(format!("{place}.debug"), debug)?;
    write(&file.with_file_name(format!("{}-debug.tar.gz", stem(&file)?)), &symbols.archive(&top)?)
}

/// Everything but the library, which is to lie at `place`.
fn contents(metadata: &Metadata, toolchain: &Toolchain, place: &str) -> Result<Tree> {
    let (root, mut tree, mut moved) = (metadata.workspace_root.as_std_path(), Tree::default(), Moved::new());
    for (from, to) in sources(root)? {
        tree.add(&to, read(&root.join(&from))?)?;
        moved.insert(from, to);
    }
    let guide = format!("{DOC}/README.md");
    moved.insert(GUIDE.to_owned(), guide.clone());
    tree.add(guide, guide::relink(&text(&root.join(GUIDE))?, GUIDE, &moved))?;
    let values = values(plugin(metadata)?, toolchain, place);
    for (from, to) in TEMPLATES {
        tree.add(to, fill(&text(&root.join(from))?, &values).with_context(|| from)?)?;
    }
    licences::add(&mut tree, LICENCES, metadata, toolchain)?;
    Ok(tree)
}

/// The files that go along as they are: from where in the repository to where in the package.
fn sources(root: &Path) -> Result<Vec<(String, String)>> {
    let mut found = Vec::new();
    let name_of = |file: &str| file.rsplit('/').next().unwrap_or(file).to_owned();
    found.extend(FILES.map(|(file, to)| (file.to_owned(), format!("{to}/{}", name_of(file)))));
    for (folder, to) in FOLDERS {
        found.extend(
            names(&root.join(folder))?.into_iter().map(|name| (format!("{folder}/{name}"), format!("{to}/{name}"))),
        );
    }
    let is_header = |name: &String| [".h", ".hpp"].iter().any(|end| name.ends_with(end));
    let headers = names(&root.join("include"))?.into_iter().filter(is_header);
    found.extend(headers.map(|name| format!("include/{name}")).map(|path| (path.clone(), path)));
    Ok(found)
}

/// The names of the files in a folder.
fn names(folder: &Path) -> Result<Vec<String>> {
    let entries = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut names = Vec::new();
    for entry in entries {
        let entry = entry?;
        if entry.path().is_file() {
            let name = entry.file_name().into_string();
            names.push(name.map_err(|name| anyhow::anyhow!("{}: {} is not UTF-8", folder.display(), name.display()))?);
        }
    }
    Ok(names)
}

/// What the templates are filled with.
fn values(plugin: &Package, toolchain: &Toolchain, place: &str) -> [(&'static str, String); 8] {
    [
        ("PLUGIN", place.to_owned()),
        ("SCHEMAS", SCHEMAS.to_owned()),
        ("VERSION", plugin.version.to_string()),
        ("VERSION_MAJOR", plugin.version.major.to_string()),
        ("ABI_MAJOR", VMSF_ABI_MAJOR.to_string()),
        ("ABI_MINOR", VMSF_ABI_MINOR.to_string()),
        ("DESCRIPTION", plugin.description.clone().unwrap_or_default()),
        ("DL_LIBS", if toolchain.has("windows") { String::new() } else { "-ldl".to_owned() }),
    ]
}

fn fill(template: &str, values: &[(&str, String)]) -> Result<String> {
    let mut text = template.to_owned();
    for (name, value) in values {
        text = text.replace(&format!("@{name}@"), value);
    }
    match text.split_once('@') {
        None => Ok(text),
        Some((_, rest)) => bail!(
            "@{} is not filled in: host-sim/src/package knows no such value",
            rest.lines().next().unwrap_or_default()
        ),
    }
}

fn plugin(metadata: &Metadata) -> Result<&Package> {
    let found = metadata.packages.iter().find(|package| package.name == PLUGIN_CRATE && package.source.is_none());
    found.with_context(|| format!("there is no crate {PLUGIN_CRATE} here"))
}

/// The repository that this program was built from.
fn root() -> Result<PathBuf> {
    let above = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/"));
    above
        .canonicalize()
        .with_context(|| format!("the sources are not in {} any more: build host-sim where they are", above.display()))
}

/// An archive and its sum beside it.
fn write(file: &Path, bytes: &[u8]) -> Result<()> {
    replace(file, bytes, PLAIN)?;
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    replace(&file.with_file_name(format!("{name}.sha256")), format!("{}  {name}\n", sha256(bytes)).as_bytes(), PLAIN)?;
    say(&format!("{}  {} ({} kB)", sha256(bytes), file.display(), bytes.len() / 1000))
}

/// The name of an archive without its ending.
fn stem(file: &Path) -> Result<String> {
    let name = file.file_name().and_then(|name| name.to_str()?.strip_suffix(".tar.gz"));
    name.filter(|stem| !stem.is_empty())
        .map(str::to_owned)
        .with_context(|| format!("--archive {}: its name has to end in .tar.gz", file.display()))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn text(path: &Path) -> Result<String> {
    fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))
}

fn say(line: &str) -> Result<()> {
    writeln!(io::stdout(), "{line}").context("standard output")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_that_nobody_knows_fails_by_name() {
        let values = [("A", "1".to_owned())];
        assert_eq!(fill("x @A@ y", &values).unwrap(), "x 1 y");
        let text = fill("x @A@ @B@", &values).unwrap_err().to_string();
        assert!(text.contains("@B@"), "{text}");
    }

    #[test]
    fn an_archive_has_the_ending_of_one() {
        assert_eq!(stem(Path::new("/a/b.tar.gz")).unwrap(), "b");
        for name in ["/a/b.zip", "/a/.tar.gz", "/", "b.tgz"] {
            assert!(stem(Path::new(name)).unwrap_err().to_string().contains(".tar.gz"), "{name}");
        }
    }
}
