//! One check, from the inside: what it is, what it finds, and how that gets out of its process line by line, so that a crash or a hang still
//! tells what went before it and what was under way.

use std::fmt::Display;
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use vms_failover_abi as abi;

use crate::plugin::raw::{Image, Raw};

/// More findings of one check say nothing new.
const FINDINGS_MAX: usize = 20;

/// One check.
pub struct Check {
    /// Stable; never reused for something else.
    pub name: &'static str,
    /// A paragraph: the rule, and what is tried.
    pub why: &'static str,
    /// What whoever makes the plugin has to do when it fails.
    pub cure: &'static str,
    /// When it counts as hung.
    pub limit_s: u64,
    /// Does it.
    pub run: fn(&Case) -> Done,
}

/// What a plugin did instead of what the rule says.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What was tried.
    pub what: String,
    /// What the rule says.
    pub expected: String,
    /// What it did.
    pub came: String,
}

/// Why a check ends before its end.
#[derive(Debug)]
pub enum Break {
    /// It cannot go on after what it found.
    Failed,
    /// It cannot be made here.
    Skipped(String),
}

/// The result of a check or of a step of it.
pub type Done<T = ()> = Result<T, Break>;

/// A line of what a check tells while it runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Word {
    /// What is under way.
    Doing(String),
    /// What it found.
    Found(Finding),
    /// What a reader should know of a check that passes.
    Note(String),
    /// It has ended by itself; with the reason where it was skipped.
    Ended(Option<String>),
}

/// A check under way.
pub struct Case {
    library: PathBuf,
    folder: PathBuf,
    told: Mutex<Told>,
}

struct Told {
    to: File,
    findings: Vec<Finding>,
}

impl Case {
    /// Tells into this file and makes its own files in this folder.
    #[must_use]
    pub fn new(library: &Path, folder: &Path, to: File) -> Self {
        let told = Mutex::new(Told { to, findings: Vec::new() });
        Self { library: library.to_owned(), folder: folder.to_owned(), told }
    }

    /// The library that is checked.
    #[must_use]
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// A folder of this check alone, removed with everything in it when it has ended.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Tells a word.
    pub fn tell(&self, word: &Word) {
        let mut line = serde_json::to_string(word).unwrap_or_default();
        line.push('\n');
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        // Where nothing can be written the check counts as crashed, which is as good a word as any.
        let _ = told.to.write_all(line.as_bytes());
    }

    /// Says what is under way, for the case that it never ends.
    pub fn doing(&self, what: impl Display) {
        self.tell(&Word::Doing(what.to_string()));
    }

    /// What a reader should know although it passes.
    pub fn note(&self, text: impl Display) {
        self.tell(&Word::Note(text.to_string()));
    }

    /// Records what the plugin did instead of what the rule says; each once.
    pub fn found(&self, what: impl Display, expected: impl Display, came: impl Display) {
        let finding = Finding { what: what.to_string(), expected: expected.to_string(), came: came.to_string() };
        {
            let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
            if told.findings.len() == FINDINGS_MAX || told.findings.contains(&finding) {
                return;
            }
            told.findings.push(finding.clone());
        }
        self.tell(&Word::Found(finding));
    }

    /// Records a finding unless it holds.
    pub fn holds(&self, holds: bool, what: impl Display, expected: impl Display, came: impl Display) {
        if !holds {
            self.found(what, expected, came);
        }
    }

    /// Records a finding and ends unless it holds.
    ///
    /// # Errors
    /// It does not.
    pub fn needs(&self, holds: bool, what: impl Display, expected: impl Display, came: impl Display) -> Done {
        if holds {
            return Ok(());
        }
        self.found(what, expected, came);
        Err(Break::Failed)
    }

    /// Records a finding unless the code is one of those.
    pub fn code(&self, what: impl Display, code: abi::vmsf_result, allowed: &[abi::vmsf_result]) {
        self.holds(allowed.contains(&code), what, names(allowed), name(code));
    }

    /// As [`Case::code`], and ends unless it is the one.
    ///
    /// # Errors
    /// It is not.
    pub fn needs_code(&self, what: impl Display, code: abi::vmsf_result, wanted: abi::vmsf_result) -> Done {
        self.needs(code == wanted, what, name(wanted), name(code))
    }

    /// Records what was broken of a rule.
    pub fn all(&self, what: impl Display, expected: impl Display, broken: &[String]) {
        broken.iter().for_each(|came| self.found(&what, &expected, came));
    }

    /// Ends with what the machine, not the plugin, could not do.
    ///
    /// # Errors
    /// Always.
    pub fn cannot<T>(&self, what: impl Display, why: impl Display) -> Done<T> {
        self.found(what, "the machine lets it be tried", why);
        Err(Break::Failed)
    }

    /// The library, before negotiation.
    ///
    /// # Errors
    /// It does not load.
    pub fn image(&self) -> Done<Image> {
        self.image_of(&self.library)
    }

    /// Another library, before negotiation.
    ///
    /// # Errors
    /// It does not load.
    pub fn image_of(&self, library: &Path) -> Done<Image> {
        self.doing("loading the library");
        Image::open(library).map_err(|error| {
            self.found("loading the library", "a plugin", error.to_string().lines().next().unwrap_or_default());
            Break::Failed
        })
    }

    /// Its table.
    ///
    /// # Errors
    /// It does not load or refuses this host.
    pub fn raw(&self) -> Done<Arc<Raw>> {
        let image = self.image()?;
        self.doing("negotiating ABI major 1");
        image.negotiate().map_err(|error| {
            self.found("negotiating ABI major 1", "VMSF_OK and a whole table", error.to_string().replace('\n', "; "));
            Break::Failed
        })
    }
}

/// The names of the codes, as the header has them; not asked of the plugin, which is on trial.
const NAMES: [&str; 23] = [
    "OK",
    "ERR_INVALID",
    "ERR_UTF8",
    "ERR_JSON",
    "ERR_CONFIG",
    "ERR_STATE",
    "ERR_HANDLE",
    "ERR_ABI",
    "ERR_TOO_SMALL",
    "ERR_BUSY",
    "ERR_TIMEOUT",
    "ERR_REENTRANT",
    "ERR_UNSUPPORTED",
    "ERR_NOT_FOUND",
    "ERR_LIMIT",
    "ERR_PANIC",
    "ERR_POISONED",
    "ERR_INTERNAL",
    "ERR_IO",
    "ERR_NOT_AUTHORIZED",
    "ERR_NO_BACKUP",
    "ERR_NOT_IN_CLUSTER",
    "ERR_STATE_DAMAGED",
];

/// Every code that the header knows.
pub fn codes() -> impl Iterator<Item = abi::vmsf_result> {
    (0..NAMES.len()).filter_map(|n| abi::vmsf_result::try_from(n).ok()).map(|n| -n)
}

/// The name of a code.
#[must_use]
pub fn name(code: abi::vmsf_result) -> String {
    let known = code.checked_neg().and_then(|n| NAMES.get(usize::try_from(n).ok()?));
    known.map_or_else(|| format!("{code}, which is no code"), |name| format!("VMSF_{name}"))
}

/// The names of codes of which one is allowed.
#[must_use]
pub fn names(codes: &[abi::vmsf_result]) -> String {
    codes.iter().map(|code| name(*code)).collect::<Vec<_>>().join(" or ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_names_of_codes_are_those_of_the_header() {
        for (code, text) in [
            (abi::VMSF_OK, "VMSF_OK"),
            (abi::VMSF_ERR_TOO_SMALL, "VMSF_ERR_TOO_SMALL"),
            (abi::VMSF_ERR_PANIC, "VMSF_ERR_PANIC"),
            (abi::VMSF_ERR_STATE_DAMAGED, "VMSF_ERR_STATE_DAMAGED"),
            (1, "1, which is no code"),
            (-23, "-23, which is no code"),
            (i32::MIN, "-2147483648, which is no code"),
        ] {
            assert_eq!(name(code), text);
        }
        assert_eq!(codes().last(), Some(abi::VMSF_ERR_STATE_DAMAGED));
    }

    #[test]
    fn a_finding_is_told_once_and_what_is_under_way_before_it() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("told");
        let case = Case::new(Path::new("x"), folder.path(), File::create(&path).unwrap());
        case.doing("a call");
        case.code("a call", abi::VMSF_OK, &[abi::VMSF_ERR_STATE, abi::VMSF_ERR_BUSY]);
        case.code("a call", abi::VMSF_OK, &[abi::VMSF_ERR_STATE, abi::VMSF_ERR_BUSY]);
        case.code("a call", abi::VMSF_OK, &[abi::VMSF_OK]);
        let text = std::fs::read_to_string(path).unwrap();
        let words: Vec<Word> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let finding = Finding {
            what: "a call".into(),
            expected: "VMSF_ERR_STATE or VMSF_ERR_BUSY".into(),
            came: "VMSF_OK".into(),
        };
        assert_eq!(words, [Word::Doing("a call".into()), Word::Found(finding)]);
    }
}
