//! Where the built library lies.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::LoadError;

/// Environment variable that names the library.
pub const ENV_LIBRARY: &str = "VMSF_LIBRARY";

/// What the search goes by; apart from the process so that a test can give its own.
#[derive(Debug, Default, Clone)]
pub struct Places {
    /// `--library PATH`: taken as it is.
    pub option: Option<PathBuf>,
    /// The value of [`ENV_LIBRARY`]: taken as it is.
    pub variable: Option<OsString>,
    /// The folder of this program.
    pub program: Option<PathBuf>,
}

impl Places {
    /// The places of this process.
    #[must_use]
    pub fn of_process(option: Option<&Path>) -> Self {
        let program = env::current_exe().ok().and_then(|exe| exe.parent().map(Path::to_owned));
        Self { option: option.map(Path::to_owned), variable: env::var_os(ENV_LIBRARY), program }
    }

    /// The first place that holds the library: the option, else the variable, else `deps/` beside the program (where cargo
    /// puts it), beside the program, and above it (for tests, which lie in `deps/` themselves).
    ///
    /// # Errors
    /// None does; the error lists what was looked for where.
    pub fn find(&self) -> Result<PathBuf, LoadError> {
        let candidates = self.candidates();
        if let Some((path, _)) = candidates.iter().find(|(path, _)| path.is_file()) {
            return Ok(path.clone());
        }
        let looked = candidates.iter().map(|(path, why)| format!("{} ({why})", path.display())).collect();
        Err(LoadError::NotFound { looked })
    }

    fn candidates(&self) -> Vec<(PathBuf, &'static str)> {
        if let Some(path) = &self.option {
            return vec![(path.clone(), "--library")];
        }
        if let Some(path) = self.variable.as_ref().filter(|value| !value.is_empty()) {
            return vec![(PathBuf::from(path), ENV_LIBRARY)];
        }
        let name = libloading::library_filename("vms_failover");
        let Some(folder) = &self.program else {
            return vec![(PathBuf::from(name), "the folder of this program is unknown")];
        };
        let mut found = vec![
            (folder.join("deps").join(&name), "deps beside this program"),
            (folder.join(&name), "beside this program"),
        ];
        if let Some(above) = folder.parent() {
            found.push((above.join(&name), "above this program"));
        }
        found
    }
}

/// Finds the library; `option` is what `--library` says.
///
/// # Errors
/// There is none; the error lists what was looked for where.
pub fn find(option: Option<&Path>) -> Result<PathBuf, LoadError> {
    Places::of_process(option).find()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn touch(path: &Path) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, b"x").unwrap();
    }

    #[test]
    fn the_option_wins_and_is_never_replaced() {
        let places = Places {
            option: Some(PathBuf::from("/nowhere/a.so")),
            variable: Some("/nowhere/b.so".into()),
            program: None,
        };
        let text = places.find().unwrap_err().to_string();
        assert!(text.contains("/nowhere/a.so (--library)"), "{text}");
        assert!(!text.contains("b.so"), "{text}");
    }

    #[test]
    fn beside_the_program_deps_comes_first_then_the_folder_then_the_one_above() {
        let top = tempfile::tempdir().unwrap();
        let folder = top.path().join("debug");
        let name = libloading::library_filename("vms_failover");
        let places = Places { program: Some(folder.clone()), ..Places::default() };
        let text = places.find().unwrap_err().to_string();
        assert_eq!(text.matches(name.to_str().unwrap()).count(), 3, "{text}");
        for place in [top.path().join(&name), folder.join(&name), folder.join("deps").join(&name)] {
            touch(&place);
            assert_eq!(places.find().unwrap(), place);
        }
    }

    #[test]
    fn an_empty_variable_counts_as_none() {
        let places = Places { variable: Some(OsString::new()), ..Places::default() };
        assert!(places.find().unwrap_err().to_string().contains("unknown"));
    }
}
