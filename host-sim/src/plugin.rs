//! The border to the plugin: finds the built library, loads it, and wraps its C ABI so that the rest of host-sim is
//! safe Rust.
//!
//! This room holds every `unsafe` of host-sim and no policy. It goes only by what the header says, as any host would: it
//! names no item of the plugin's crate. Each `unsafe` block says which rule of the header it leans on.
//!
//! * [`find`]: where the library lies.
//! * [`Plugin`]: the loaded library, after negotiation. [`Instance`]: one instance, which stops and destroys itself.
//! * [`Caller`]: the members that any thread may call, also from inside a callback.
//! * [`Host`]: what the plugin calls; [`SecretsHost`]: what it calls of a host that keeps the tokens.
//! * [`raw`] and [`probe`]: the same two sides for `host-sim check`, which breaks the host's rules on purpose and trusts nothing.

mod callbacks;
mod find;
mod instance;
pub mod probe;
pub mod raw;
mod secrets;

use std::ffi::{CStr, c_char};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::Library;
use vms_failover_abi as abi;

pub use callbacks::{Event, Host, Operation, Secret};
pub use find::{ENV_LIBRARY, Places, find};
pub use instance::{Caller, CreateOptions, Instance, Mode};
pub use secrets::SecretsHost;

/// Why there is no plugin to talk to.
#[derive(Debug)]
pub enum LoadError {
    /// No library at any of the places looked at.
    NotFound {
        /// What was looked for, where, and why there: one line each.
        looked: Vec<String>,
    },
    /// The system's loader refused the file.
    Open {
        /// The file.
        path: PathBuf,
        /// What the loader says.
        text: String,
    },
    /// The file is a library, but no plugin.
    NotAPlugin {
        /// The file.
        path: PathBuf,
    },
    /// Host and plugin have no ABI in common, or the plugin breaks the rules of the handshake.
    Refused {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        what: String,
        /// The plugin's side, as far as it said.
        plugin: String,
    },
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound { looked } => {
                write!(f, "the plugin library was not found; looked for")?;
                looked.iter().try_for_each(|line| write!(f, "\n  {line}"))?;
                write!(f, "\n  host:   {}", host_side())?;
                write!(f, "\nbuild it (cargo build) or name it with --library PATH")
            }
            Self::Open { path, text } => {
                write!(f, "cannot load {}: {text}", path.display())?;
                both_sides(f, "does not load")
            }
            Self::NotAPlugin { path } => {
                write!(f, "not a plugin: no symbol {} in {}", abi::VMSF_ENTRY_SYMBOL, path.display())?;
                both_sides(f, "says nothing of its ABI")
            }
            Self::Refused { path, what, plugin } => {
                write!(f, "{}: {what}", path.display())?;
                both_sides(f, plugin)
            }
        }
    }
}

impl std::error::Error for LoadError {}

fn both_sides(f: &mut fmt::Formatter<'_>, plugin: &str) -> fmt::Result {
    write!(f, "\n  host:   {}\n  plugin: {plugin}", host_side())
}

/// A member of the table gave an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CallError {
    /// The member called.
    pub call: &'static str,
    /// Its result.
    pub code: abi::vmsf_result,
    /// The result's name, such as `VMSF_ERR_STATE`.
    pub name: String,
    /// What the plugin says for people: the text of `last_error`, or of `create`'s `err`.
    pub text: String,
    /// The report of `configure` and `edit`, as JSON; empty elsewhere.
    pub report: String,
}

impl fmt::Display for CallError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.call, self.name)?;
        if !self.text.is_empty() {
            write!(f, ": {}", self.text)?;
        }
        if !self.report.is_empty() {
            write!(f, ": {}", self.report)?;
        }
        Ok(())
    }
}

impl std::error::Error for CallError {}

/// Who the plugin says it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Info {
    /// Stable id.
    pub id: String,
    /// Name for people.
    pub name: String,
    /// Version, semver.
    pub version: String,
    /// What was built: profile, target.
    pub build: String,
    /// Highest `"schema"` of a configuration that it reads.
    pub config_schema: u32,
    /// `"schema"` of the status that it writes.
    pub status_schema: u32,
}

impl fmt::Display for Info {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} ({})", self.id, self.version, self.build)
    }
}

/// The loaded library. It is unloaded when the last [`Instance`] and [`Caller`] that came from it are gone.
pub struct Plugin {
    // The table is a copy of function pointers into the library, which `library` keeps loaded.
    api: abi::vmsf_api,
    info: Info,
    abi: (u32, u32),
    path: PathBuf,
    _library: Library,
}

impl fmt::Debug for Plugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plugin").field("path", &self.path).field("info", &self.info).field("abi", &self.abi).finish()
    }
}

impl Plugin {
    /// Loads the library and negotiates the ABI.
    ///
    /// # Errors
    /// The file is no library, no plugin, or refuses this host; the text names both sides.
    pub fn load(path: &Path) -> Result<Arc<Self>, LoadError> {
        // The loader would look for a name without a slash in the system's folders, not here.
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // SAFETY: rule 13: running the library's initialisers is what loading a plugin means; whoever named the file trusts it. The
        // header, rule 1: it is made to be looked up at run time.
        let library = unsafe { Library::new(&whole) }
            .map_err(|e| LoadError::Open { path: path.to_owned(), text: source_text(&e) })?;
        let (api, info, abi) = negotiate(entry_of(&library, path)?, path)?;
        Ok(Arc::new(Self { api, info, abi, path: path.to_owned(), _library: library }))
    }

    /// Who the plugin is.
    #[must_use]
    pub fn info(&self) -> &Info {
        &self.info
    }

    /// Major and minor of the ABI chosen.
    #[must_use]
    pub fn abi(&self) -> (u32, u32) {
        self.abi
    }

    /// The file it was loaded from.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The name of a result code, such as `VMSF_ERR_STATE`.
    #[must_use]
    pub fn result_name(&self, code: abi::vmsf_result) -> String {
        // SAFETY: class [static], any number is allowed.
        let name = unsafe { (self.api.result_name)(code) };
        static_text(name)
    }

    /// Whether the plugin has an extension table of that name.
    #[must_use]
    pub fn has_extension(&self, id: &CStr) -> bool {
        // SAFETY: class [static]; the id is NUL-terminated and lives during the call.
        let table = unsafe { (self.api.get_extension)(id.as_ptr()) };
        !table.is_null()
    }

    pub(crate) fn api(&self) -> &abi::vmsf_api {
        &self.api
    }
}

fn entry_of(library: &Library, path: &Path) -> Result<abi::vmsf_entry_fn, LoadError> {
    // SAFETY: rule 1: the entry symbol has this type, for ever.
    let symbol = unsafe { library.get::<abi::vmsf_entry_fn>(abi::VMSF_ENTRY_SYMBOL.as_bytes()) };
    symbol.map(|entry| *entry).map_err(|_| LoadError::NotAPlugin { path: path.to_owned() })
}

/// Table, self-description and ABI of the plugin behind `entry`.
fn negotiate(entry: abi::vmsf_entry_fn, path: &Path) -> Result<(abi::vmsf_api, Info, (u32, u32)), LoadError> {
    let mut shake = empty_handshake();
    // SAFETY: rule 1: the entry function is pure and fills in the struct, whose size it is told.
    let code = unsafe { entry(&raw mut shake) };
    let info = read_info(&shake);
    let refused =
        |what: String| LoadError::Refused { path: path.to_owned(), what, plugin: plugin_side(info.as_ref(), &shake) };
    match code {
        abi::VMSF_OK => {}
        abi::VMSF_ERR_ABI => return Err(refused("host and plugin have no ABI major in common".to_owned())),
        other => return Err(refused(format!("the entry function gave {other}"))),
    }
    if shake.abi_chosen != abi::VMSF_ABI_MAJOR {
        return Err(refused(format!("the plugin chose ABI major {}, which was not offered", shake.abi_chosen)));
    }
    let api = read_api(shake.api).map_err(&refused)?;
    let info = info.clone().ok_or_else(|| refused("the plugin does not say who it is".to_owned()))?;
    Ok((api, info, (shake.abi_chosen, shake.abi_minor)))
}

fn empty_handshake() -> abi::vmsf_handshake {
    abi::vmsf_handshake {
        struct_size: size_of::<abi::vmsf_handshake>() as u32,
        abi_min: abi::VMSF_ABI_MAJOR,
        abi_max: abi::VMSF_ABI_MAJOR,
        abi_chosen: 0,
        abi_minor: 0,
        flags: 0,
        info: std::ptr::null(),
        api: std::ptr::null(),
    }
}

fn host_side() -> String {
    format!("host-sim {}, ABI {}.{}", env!("CARGO_PKG_VERSION"), abi::VMSF_ABI_MAJOR, abi::VMSF_ABI_MINOR)
}

fn plugin_side(info: Option<&Info>, shake: &abi::vmsf_handshake) -> String {
    let who = info.map_or_else(|| "does not say who it is".to_owned(), Info::to_string);
    match shake.abi_chosen {
        0 => format!("{who}, refuses ABI {}", abi::VMSF_ABI_MAJOR),
        major => format!("{who}, ABI {major}.{}", shake.abi_minor),
    }
}

fn read_info(shake: &abi::vmsf_handshake) -> Option<Info> {
    if shake.info.is_null() || !shake.info.is_aligned() {
        return None;
    }
    // SAFETY: every struct begins with its size (rule 2), and `info` is static (its documentation).
    let size = unsafe { shake.info.cast::<u32>().read() };
    if (size as usize) < size_of::<abi::vmsf_info>() {
        return None;
    }
    // SAFETY: the plugin's struct is at least as large as the one known here (just checked, rule 2).
    let info = unsafe { shake.info.read() };
    Some(Info {
        id: static_text(info.id),
        name: static_text(info.name),
        version: static_text(info.version),
        build: static_text(info.build),
        config_schema: info.config_schema,
        status_schema: info.status_schema,
    })
}

fn read_api(table: *const abi::vmsf_api) -> Result<abi::vmsf_api, String> {
    const WORDS: usize = size_of::<abi::vmsf_api>() / size_of::<usize>();
    if table.is_null() || !table.is_aligned() {
        return Err("the plugin gave no table of functions".to_owned());
    }
    // SAFETY: every struct begins with its size (rule 2).
    let size = unsafe { table.cast::<u32>().read() };
    if (size as usize) < size_of::<abi::vmsf_api>() {
        let needed = size_of::<abi::vmsf_api>();
        return Err(format!("the plugin's table has {size} bytes, the one of ABI major 1 has {needed}"));
    }
    // SAFETY: rule 2: the table is at least this large (just checked); read as words so that a NULL member can be refused.
    let words = unsafe { table.cast::<[usize; WORDS]>().read() };
    if let Some(at) = words.iter().skip(1).position(|word| *word == 0) {
        return Err(format!("member {} of the plugin's table is NULL", at + 1));
    }
    // SAFETY: rule 2: large enough and no member NULL (both just checked).
    Ok(unsafe { table.read() })
}

/// A static, NUL-terminated text of the plugin; NULL gives "".
fn static_text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: rule 3: texts of `info` and `result_name` are static and NUL-terminated (their documentation).
    let text = unsafe { CStr::from_ptr(text) };
    text.to_string_lossy().into_owned()
}

/// The innermost text of an error: the loader's own words.
fn source_text(error: &dyn std::error::Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    inner.to_string()
}

#[cfg(test)]
#[path = "plugin/tests.rs"]
mod tests;
