//! The compiler, cargo and objcopy as this package uses them: what they say of themselves, and the library that they build.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use cargo_metadata::{Message, Metadata, MetadataCommand};

/// The Cargo profile of what ships.
const PROFILE: &str = "dist";
/// Paths of the machine end up in the library for messages and debug information; there they get these names.
const REMAPPED: [&str; 3] = ["/vms-failover", "/cargo", "/target"];

/// What builds the library.
pub struct Toolchain {
    /// As `--target` names it.
    pub target: String,
    /// The compiler's version.
    pub release: String,
    /// Where the compiler's own files lie.
    pub sysroot: PathBuf,
    /// What is set when it compiles for the target.
    pub cfgs: Vec<String>,
    commit: String,
    is_native: bool,
}

impl Toolchain {
    /// Asks the compiler; without a target for its own machine.
    ///
    /// # Errors
    /// There is none, or it does not know the target.
    pub fn find(target: Option<&str>) -> Result<Self> {
        let about = output(&mut rustc(&["-vV"]))?;
        let of = |key: &str| {
            let line = about.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix(": "));
            line.map(str::to_owned).with_context(|| format!("rustc -vV says no {key}"))
        };
        let (host, release, commit) = (of("host")?, of("release")?, of("commit-hash")?);
        let target = target.unwrap_or(&host).to_owned();
        let cfgs = output(&mut rustc(&["--print", "cfg", "--target", &target]))?.lines().map(str::to_owned).collect();
        let sysroot = PathBuf::from(output(&mut rustc(&["--print", "sysroot"]))?.trim_end());
        Ok(Self { is_native: target == host, target, release, sysroot, cfgs, commit })
    }

    /// Whether something is set for the target, as `windows`.
    #[must_use]
    pub fn has(&self, cfg: &str) -> bool {
        self.cfgs.iter().any(|line| line == cfg)
    }

    /// The file name of the plugin on the target.
    #[must_use]
    pub fn library_name(&self) -> &'static str {
        match () {
            () if self.has("windows") => "vms_failover.dll",
            () if self.has("target_vendor=\"apple\"") => "libvms_failover.dylib",
            () => "libvms_failover.so",
        }
    }

    /// The graph of the workspace at `root`, for the target.
    ///
    /// # Errors
    /// Cargo fails; the text is cargo's.
    pub fn metadata(&self, root: &Path) -> Result<Metadata> {
        let mut command = MetadataCommand::new();
        command.cargo_path(cargo()).current_dir(root);
        command.other_options(["--locked", "--filter-platform", &self.target].map(str::to_owned));
        command.exec().context("cargo metadata")
    }

    /// Builds the plugin as it ships: alone, since cargo does no link-time optimization where an rlib is made beside it, and with no path
    /// of this machine in it, so that the same sources and compiler give the same bytes elsewhere.
    ///
    /// # Errors
    /// It does not compile, or holds a path of this machine.
    pub fn build(&self, metadata: &Metadata) -> Result<PathBuf> {
        let root = metadata.workspace_root.as_std_path();
        let places = [root.to_owned(), cargo_home()?, metadata.target_directory.clone().into_std_path_buf()];
        let mut command = Command::new(cargo());
        command.args(["rustc", "--locked", "--lib", "--crate-type", "cdylib", "--package", super::PLUGIN_CRATE]);
        command.args(["--profile", PROFILE, "--message-format", "json-render-diagnostics"]);
        if !self.is_native {
            command.args(["--target", &self.target]);
        }
        command.current_dir(root).env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", self.flags(&places));
        let output = command.stderr(Stdio::inherit()).output().context("cannot run cargo")?;
        ensure!(output.status.success(), "cargo could not build the library, see above");
        let library = artifact(&output.stdout)?;
        let bytes = fs::read(&library).with_context(|| format!("cannot read {}", library.display()))?;
        for place in &places {
            let place = place.to_string_lossy();
            let is_in = bytes.windows(place.len()).any(|window| window == place.as_bytes());
            ensure!(
                !is_in,
                "{} holds a path of this machine, {place}: map it in host-sim/src/package",
                library.display()
            );
        }
        Ok(library)
    }

    /// The flags that the environment asks for, and one for each place that gets another name; of several that fit the last one counts.
    fn flags(&self, places: &[PathBuf; 3]) -> OsString {
        let mut flags: Vec<OsString> = match env::var("RUSTFLAGS") {
            Ok(asked) => asked.split_whitespace().map(OsString::from).collect(),
            Err(_) => Vec::new(),
        };
        let mut map = |from: &Path, to: &str| {
            let mut flag = OsString::from("--remap-path-prefix=");
            flag.push(from);
            flag.push(format!("={to}"));
            flags.push(flag);
        };
        map(&self.sysroot.join("lib/rustlib/src/rust"), &format!("/rustc/{}", self.commit));
        places.iter().zip(REMAPPED).for_each(|(from, to)| map(from, to));
        flags.join(&OsString::from("\u{1f}"))
    }
}

/// Where cargo put the library that it has built.
fn artifact(messages: &[u8]) -> Result<PathBuf> {
    for message in Message::parse_stream(messages) {
        if let Message::CompilerArtifact(artifact) = message.context("what cargo said")?
            && artifact.target.is_cdylib()
            && let Some(library) = artifact.filenames.iter().find(|path| path.file_name().is_some_and(is_library))
        {
            return Ok(library.clone().into_std_path_buf());
        }
    }
    bail!("cargo has built no dynamic library: [lib] of Cargo.toml has to say so")
}

/// No import library and no debug information beside it.
fn is_library(name: &str) -> bool {
    [".so", ".dll", ".dylib"].iter().any(|end| name.ends_with(end))
}

/// A library without symbols that are for people alone, and what was taken out of it: function names and lines, for debuggers.
pub struct Split {
    /// The library.
    pub library: Vec<u8>,
    /// What a debugger finds beside it by the library's name and `.debug`.
    pub debug: Vec<u8>,
}

/// Splits a library that is to be named `name`.
///
/// # Errors
/// There is no objcopy, or it cannot read the library.
pub fn split(library: &Path, name: &str) -> Result<Split> {
    let folder = tempfile::tempdir().context("no folder for temporary files")?;
    let debug = folder.path().join(format!("{name}.debug"));
    let stripped = folder.path().join(name);
    objcopy(&["--only-keep-debug", "--compress-debug-sections"], library, &debug)?;
    let mut link = OsString::from("--add-gnu-debuglink=");
    link.push(&debug);
    objcopy(&[OsString::from("--strip-all"), link], library, &stripped)?;
    let read = |path: &Path| fs::read(path).with_context(|| format!("objcopy has written no {}", path.display()));
    Ok(Split { library: read(&stripped)?, debug: read(&debug)? })
}

fn objcopy(options: &[impl AsRef<std::ffi::OsStr>], from: &Path, to: &Path) -> Result<()> {
    let program = env::var_os("OBJCOPY").unwrap_or_else(|| "objcopy".into());
    let mut command = Command::new(&program);
    command.args(options).arg(from).arg(to);
    let hint = || format!("{} (of binutils; the variable OBJCOPY names another one)", Path::new(&program).display());
    let output = command.output().with_context(|| format!("cannot run {}", hint()))?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{} cannot read {}: {}", hint(), from.display(), said.trim_end());
    Ok(())
}

/// The cargo that has started this program, else the one of the path.
fn cargo() -> PathBuf {
    env::var_os("CARGO").map_or_else(|| PathBuf::from("cargo"), PathBuf::from)
}

fn cargo_home() -> Result<PathBuf> {
    let home = env::var_os("CARGO_HOME").map(PathBuf::from);
    home.or_else(|| Some(env::home_dir()?.join(".cargo")))
        .context("neither CARGO_HOME nor a home directory is known: set CARGO_HOME")
}

fn rustc(arguments: &[&str]) -> Command {
    let mut command = Command::new(env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.args(arguments);
    command
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    ensure!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    String::from_utf8(output.stdout).with_context(|| format!("{command:?} does not speak UTF-8"))
}
