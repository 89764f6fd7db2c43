//! The plugin and `host-sim` built for Windows, and wine to run them, with Debian's packages (`.ci/run` names them).

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tempfile::TempDir;

use crate::native;

/// A target without `bcryptprimitives.dll`, which that wine lacks; such a library runs on every Windows from 7 on.
const TARGET: &str = "x86_64-win7-windows-gnu";
const CARGO: &str = "/usr/bin/cargo";
const RUSTC: &str = "/usr/bin/rustc";
/// The target has no standard library to download: it is built from its source.
const RUST_SOURCE: &str = "/usr/lib/rustlib/src/rust/library/std/Cargo.toml";
const GCC: &str = "x86_64-w64-mingw32-gcc-posix";
const WINE: &str = "/usr/lib/wine/wine64";
const WINESERVER: &str = "/usr/lib/wine/wineserver";

/// A Windows of its own, with what was built; all tests that run at a time share it.
pub struct Windows {
    built: PathBuf,
    prefix: TempDir,
}

/// What is on `Z:`, as a program there is given it.
pub fn path(path: &Path) -> String {
    format!("Z:{}", path.display())
}

impl Windows {
    /// `None`, loudly, where a tool is missing.
    pub fn get() -> Option<Arc<Windows>> {
        static SHARED: Mutex<Weak<Windows>> = Mutex::new(Weak::new());
        // Whoever failed while it was made leaves nothing that could be half done.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(windows) = shared.upgrade() {
            return Some(windows);
        }
        let windows = Arc::new(Windows::make()?);
        *shared = Arc::downgrade(&windows);
        Some(windows)
    }

    fn make() -> Option<Windows> {
        let runs = |tool: &str| Command::new(tool).arg("--version").output().is_ok_and(|out| out.status.success());
        let there = |file: &str| Path::new(file).is_file();
        let tools = [
            (there(CARGO), CARGO, "cargo-web"),
            (there(RUSTC), RUSTC, "rustc-web"),
            (there(RUST_SOURCE), RUST_SOURCE, "rust-web-src"),
            (runs(GCC), GCC, "gcc-mingw-w64-x86-64-posix"),
            (there(WINE) && there(WINESERVER), WINE, "wine64"),
        ];
        let absent: Vec<_> = tools.iter().filter(|tool| !tool.0).collect();
        if !absent.is_empty() {
            let list: Vec<_> =
                absent.iter().map(|(_, file, package)| format!("{file} (Debian package {package})")).collect();
            native::missing(&format!("nothing was built or run for Windows, there is no {}", list.join(", no ")));
            return None;
        }
        Some(Windows { built: build(), prefix: tempfile::tempdir().expect("a directory") })
    }

    /// The plugin.
    pub fn library(&self) -> PathBuf {
        self.built.join("vms_failover.dll")
    }

    /// Compiles a C file for Windows, with all warnings as errors.
    pub fn compile(&self, standard: &str, source: &Path, program: &Path) {
        let mut command = Command::new(GCC);
        command.arg(format!("-std={standard}")).args(["-Wall", "-Wextra", "-Wpedantic", "-Werror"]);
        let include = Path::new(env!("CARGO_MANIFEST_DIR")).join("include");
        native::succeed(command.arg("-I").arg(include).arg("-o").arg(program).arg(source));
    }

    /// A program of Windows, with its arguments to come.
    pub fn command(&self, program: &Path) -> Command {
        let mut command = self.wine(WINE);
        command.arg(program);
        command
    }

    /// The emulated host.
    pub fn host_sim(&self) -> Command {
        self.command(&self.built.join("host-sim.exe"))
    }

    fn wine(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("WINEPREFIX", self.prefix.path()).env("WINEDEBUG", "-all");
        // It asks for neither a browser nor .NET, and puts nothing into a menu.
        command.env("WINEDLLOVERRIDES", "mscoree,mshtml=;winemenubuilder.exe=d").env_remove("DISPLAY");
        command
    }
}

impl Drop for Windows {
    fn drop(&mut self) {
        // Its processes end, and it has written its registry, before the directory goes; there may be none.
        for argument in ["-k", "-w"] {
            let _ = self.wine(WINESERVER).arg(argument).output();
        }
    }
}

/// Builds both as the tests here are built, only without what a debugger wants to know; gives their directory.
fn build() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).join("windows");
    let mut command = Command::new(CARGO);
    command.args(["build", "--locked", "-p", "vms-failover", "-p", "host-sim", "--target", TARGET]);
    command
        .arg("-Zbuild-std=std,panic_unwind")
        .arg("--target-dir")
        .arg(&target)
        .current_dir(env!("CARGO_MANIFEST_DIR"));
    command.env("RUSTC", RUSTC).env("RUSTC_BOOTSTRAP", "1").env("CARGO_TARGET_X86_64_WIN7_WINDOWS_GNU_LINKER", GCC);
    command.env("CARGO_PROFILE_DEV_DEBUG", "0").env("CARGO_INCREMENTAL", "0");
    // Of the cargo that runs these tests; some belong to its toolchain alone.
    for of_the_other in
        ["RUSTUP_TOOLCHAIN", "LD_LIBRARY_PATH", "RUSTFLAGS", "CARGO_ENCODED_RUSTFLAGS", "RUSTC_WRAPPER", "CARGO"]
    {
        command.env_remove(of_the_other);
    }
    native::succeed(&mut command);
    target.join(TARGET).join("debug")
}
