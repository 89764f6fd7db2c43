//! Where the program `host-sim` lies, for the lives of a scenario: a test that links this library is another program.

use std::env;
use std::ffi::OsString;
use std::path::PathBuf;

/// Environment variable that names the program.
pub const ENV_PROGRAM: &str = "VMSF_HOST_SIM";

/// What the search goes by; apart from the process so that a test can give its own.
#[derive(Debug, Default, Clone)]
pub struct Places {
    /// The value of [`ENV_PROGRAM`]: taken as it is.
    pub variable: Option<OsString>,
    /// The folder of the running program.
    pub folder: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    #[must_use]
    pub fn of_process() -> Self {
        let folder = env::current_exe().ok().and_then(|exe| Some(exe.parent()?.to_owned()));
        Self { variable: env::var_os(ENV_PROGRAM), folder }
    }

    /// The first place that holds the program: the variable, else beside the running program (which finds itself there), else above it (for
    /// tests, which cargo puts into `deps/`).
    ///
    /// # Errors
    /// None does; the error says what was looked for where, and what to do.
    pub fn find(&self) -> Result<PathBuf, String> {
        let candidates = self.candidates();
        if let Some(found) = candidates.iter().find(|path| path.is_file()) {
            return Ok(found.clone());
        }
        let looked: String = candidates.iter().map(|path| format!("\n  {}", path.display())).collect();
        Err(format!(
            "each life of this scenario is a process of the program host-sim, which was not found; looked for{looked}\n\
             build it (cargo build -p host-sim) or name it with {ENV_PROGRAM}"
        ))
    }

    fn candidates(&self) -> Vec<PathBuf> {
        if let Some(path) = self.variable.as_ref().filter(|value| !value.is_empty()) {
            return vec![PathBuf::from(path)];
        }
        let name = format!("host-sim{}", env::consts::EXE_SUFFIX);
        let folders = self.folder.iter().flat_map(|folder| [Some(folder.as_path()), folder.parent()]).flatten();
        folders.map(|folder| folder.join(&name)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lies_beside_or_above_unless_the_variable_says_otherwise() {
        let top = tempfile::tempdir().unwrap();
        let deps = top.path().join("deps");
        std::fs::create_dir(&deps).unwrap();
        let name = format!("host-sim{}", env::consts::EXE_SUFFIX);
        let mut places = Places { variable: None, folder: Some(deps.clone()) };
        let text = places.find().unwrap_err();
        assert!(text.contains(ENV_PROGRAM) && text.lines().filter(|line| line.ends_with(&name)).count() == 2, "{text}");
        for folder in [top.path(), &deps] {
            let program = folder.join(&name);
            std::fs::write(&program, "").unwrap();
            assert_eq!(places.find(), Ok(program));
        }
        places.variable = Some(top.path().join("other").into());
        assert!(places.find().unwrap_err().contains("other"));
        places.variable = Some(OsString::new());
        assert!(places.find().is_ok(), "an empty variable counts as none");
    }
}
