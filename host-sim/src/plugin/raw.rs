//! The C ABI as it is, for a host that breaks its rules on purpose: NULL where none is allowed, lengths that lie, handles of nobody.
//!
//! What a polite wrapper would not do is possible here, so a plugin with a fault may bring the process down: whoever uses this does it in a
//! process of its own. [`Image`] is the loaded library before negotiation, [`Raw`] its table, [`Member`] every function of it that takes an
//! instance, [`Args`] what it is given and [`Outputs`] where it writes. Buffers have a guard behind them, so that a byte too many is seen.

use std::ffi::CStr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use libloading::Library;
use vms_failover_abi as abi;

use super::{Info, LoadError};

/// Bytes behind each buffer that nobody may write.
const GUARD: usize = 64;
/// What a buffer holds before the plugin writes.
const FILL: u8 = 0xa5;
const GUARD_WORDS: [u64; 8] = [0xa5a5_a5a5_a5a5_a5a5; 8];

/// The loaded library, before anything was said.
pub struct Image {
    entry: abi::vmsf_entry_fn,
    path: PathBuf,
    library: Library,
}

impl Image {
    /// Loads the library and looks the entry symbol up.
    ///
    /// # Errors
    /// It is no library, or no plugin.
    pub fn open(path: &Path) -> Result<Self, LoadError> {
        let whole = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        // SAFETY: rule 13: running the library's initialisers is what loading a plugin means; whoever named the file trusts it so far.
        let library = unsafe { Library::new(&whole) }
            .map_err(|e| LoadError::Open { path: path.to_owned(), text: super::source_text(&e) })?;
        let entry = super::entry_of(&library, path)?;
        Ok(Self { entry, path: path.to_owned(), library })
    }

    /// Calls the entry function; `None` is NULL.
    pub fn shake(&self, io: Option<&mut Shake>) -> abi::vmsf_result {
        let io = io.map_or(std::ptr::null_mut(), |shake| std::ptr::from_mut(shake).cast());
        // SAFETY: rule 1: NULL, or a struct whose size says how much of it there is, with a guard behind it.
        unsafe { (self.entry)(io) }
    }

    /// Negotiates, and keeps the library loaded for as long as the table is.
    ///
    /// # Errors
    /// Host and plugin have no ABI in common, or the plugin breaks the rules of the handshake.
    pub fn negotiate(self) -> Result<Arc<Raw>, LoadError> {
        let (api, info, _) = super::negotiate(self.entry, &self.path)?;
        Ok(Arc::new(Raw { api, info, image: self }))
    }

    /// Unloads it.
    ///
    /// # Errors
    /// The system does not close it.
    pub fn close(self) -> Result<(), String> {
        self.library.close().map_err(|error| super::source_text(&error))
    }
}

/// The handshake, with a guard behind it.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Shake {
    /// What is shaken.
    pub io: abi::vmsf_handshake,
    guard: [u64; 8],
}

impl Shake {
    /// A host that says it has so many bytes and speaks these majors. Outputs hold what no plugin writes.
    #[must_use]
    pub fn new(struct_size: usize, abi_min: u32, abi_max: u32) -> Self {
        let io = abi::vmsf_handshake {
            struct_size: u32::try_from(struct_size).unwrap_or(u32::MAX),
            abi_min,
            abi_max,
            abi_chosen: 77,
            abi_minor: 77,
            ..super::empty_handshake()
        };
        Self { io, guard: GUARD_WORDS }
    }

    /// A host of today that speaks just this major.
    #[must_use]
    pub fn of_today() -> Self {
        Self::new(size_of::<abi::vmsf_handshake>(), abi::VMSF_ABI_MAJOR, abi::VMSF_ABI_MAJOR)
    }

    /// Whether no output was written.
    #[must_use]
    pub fn is_untouched(&self) -> bool {
        self.io.abi_chosen == 77 && self.io.abi_minor == 77 && self.io.info.is_null() && self.io.api.is_null()
    }

    /// Whether nothing was written behind the struct.
    #[must_use]
    pub fn guard_holds(&self) -> bool {
        self.guard == GUARD_WORDS
    }

    /// Who the plugin says it is, with the struct's own size and its reserved field.
    #[must_use]
    pub fn info(&self) -> Option<(Info, u32, u32)> {
        let info = super::read_info(&self.io)?;
        // SAFETY: rule 2: `read_info` has looked at size and alignment.
        let record = unsafe { self.io.info.read() };
        Some((info, record.struct_size, record.reserved))
    }

    /// Size and reserved field of the table.
    ///
    /// # Errors
    /// There is none, it is too small, or a member is NULL.
    pub fn table(&self) -> Result<(u32, u32), String> {
        super::read_api(self.io.api).map(|api| (api.struct_size, api.reserved))
    }
}

/// A text or secret that a call is given.
#[derive(Clone, Copy, Debug)]
pub enum Text<'a> {
    /// NULL, with a length that should be 0.
    Null(usize),
    /// What it is.
    Of(&'a [u8]),
    /// This, said to be longer than it is: a plugin that looks at the length first never reads it.
    Claimed(&'a [u8], usize),
}

impl Text<'_> {
    fn parts(self) -> (*const u8, usize) {
        match self {
            Self::Null(len) => (std::ptr::null(), len),
            Self::Of(bytes) => (bytes.as_ptr(), bytes.len()),
            Self::Claimed(bytes, len) => (bytes.as_ptr(), len),
        }
    }
}

impl<'a> From<&'a str> for Text<'a> {
    fn from(text: &'a str) -> Self {
        Self::Of(text.as_bytes())
    }
}

/// A buffer of the host, with a guard behind it.
#[derive(Clone, Debug)]
pub struct Room {
    bytes: Vec<u8>,
    cap: usize,
    is_null: bool,
}

impl Room {
    /// So many bytes.
    #[must_use]
    pub fn of(cap: usize) -> Self {
        Self { bytes: vec![FILL; cap + GUARD], cap, is_null: false }
    }

    /// NULL, said to have so many bytes.
    #[must_use]
    pub fn null(cap: usize) -> Self {
        Self { bytes: Vec::new(), cap, is_null: true }
    }

    /// The text, if there is a NUL within the room.
    #[must_use]
    pub fn text(&self) -> Option<&[u8]> {
        let room = self.bytes.get(..self.cap)?;
        room.iter().position(|byte| *byte == 0).map(|end| &room[..end])
    }

    /// The last byte written and all before it.
    #[must_use]
    pub fn written(&self) -> usize {
        self.bytes.iter().rposition(|byte| *byte != FILL).map_or(0, |last| last + 1)
    }

    /// Whether nothing was written behind its end.
    #[must_use]
    pub fn guard_holds(&self) -> bool {
        self.is_null || self.bytes[self.cap..].iter().all(|byte| *byte == FILL)
    }

    fn pointer(&mut self) -> *mut u8 {
        if self.is_null { std::ptr::null_mut() } else { self.bytes.as_mut_ptr() }
    }
}

/// What a member is given; each takes what it has a place for.
#[derive(Clone, Copy, Debug)]
pub struct Args<'a> {
    /// The instance.
    pub p: abi::vmsf_plugin,
    /// The server.
    pub s: abi::vmsf_server,
    /// JSON, id, words or settings.
    pub text: Text<'a>,
    /// Credentials or token.
    pub secret: Text<'a>,
    /// Timeout, flags, kind, permille, outcome, `joined` or `max_entries`.
    pub number: u32,
    /// Operation id, first entry, stamp or `now_ns`.
    pub long: u64,
    /// For `poll`.
    pub utc_ms: i64,
}

/// Where a member may write; `None` is NULL.
#[derive(Clone, Debug)]
pub struct Outputs {
    /// A handle, an instant or a request.
    pub word: Option<u64>,
    /// Bytes of the text.
    pub len: Option<usize>,
    /// For the text.
    pub room: Room,
    /// The code of `last_error`.
    pub code: Option<abi::vmsf_result>,
}

/// What an output holds before the plugin writes.
pub const UNWRITTEN: u64 = 0x00a5_a5a5_a5a5_a5a5;

impl Outputs {
    /// Everything is there, with so many bytes for the text.
    #[must_use]
    pub fn with_room(cap: usize) -> Self {
        Self { word: Some(UNWRITTEN), len: Some(UNWRITTEN as usize), room: Room::of(cap), code: Some(77) }
    }

    /// Whether nothing was written.
    #[must_use]
    pub fn are_untouched(&self) -> bool {
        let (word, len) = (self.word.unwrap_or(UNWRITTEN), self.len.unwrap_or(UNWRITTEN as usize));
        word == UNWRITTEN && len == UNWRITTEN as usize && self.code.unwrap_or(77) == 77 && self.room.written() == 0
    }
}

fn pointer<T>(output: &mut Option<T>) -> *mut T {
    output.as_mut().map_or(std::ptr::null_mut(), std::ptr::from_mut)
}

/// The thread class of a member (header, rule 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// May block; not from a callback.
    Control,
    /// Runs the callbacks; not from a callback.
    Poll,
    /// May overlap everything; some wait for one durable write.
    AnyThread,
}

/// Every function of the table that takes an instance.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs, reason = "they are named after what the header documents")]
pub enum Member {
    Start,
    Stop,
    Destroy,
    Configure,
    Edit,
    Poll,
    Notify,
    NowNs,
    Server,
    NextServer,
    ServerId,
    Config,
    Status,
    Log,
    RecordingsIni,
    Progress,
    LastError,
    Cluster,
    JoinCluster,
    Authorize,
    Deauthorize,
    Backup,
    Takeover,
    Restore,
    Cancel,
    Maintenance,
    Drill,
    Complete,
}

impl Member {
    /// In the order of the table.
    pub const ALL: [Self; 28] = [
        Self::Start,
        Self::Stop,
        Self::Destroy,
        Self::Configure,
        Self::Edit,
        Self::Poll,
        Self::Notify,
        Self::NowNs,
        Self::Server,
        Self::NextServer,
        Self::ServerId,
        Self::Config,
        Self::Status,
        Self::Log,
        Self::RecordingsIni,
        Self::Progress,
        Self::LastError,
        Self::Cluster,
        Self::JoinCluster,
        Self::Authorize,
        Self::Deauthorize,
        Self::Backup,
        Self::Takeover,
        Self::Restore,
        Self::Cancel,
        Self::Maintenance,
        Self::Drill,
        Self::Complete,
    ];

    /// As the header has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        const NAMES: [&str; 28] = [
            "start",
            "stop",
            "destroy",
            "configure",
            "edit",
            "poll",
            "notify",
            "now_ns",
            "server",
            "next_server",
            "server_id",
            "config",
            "status",
            "log",
            "recordings_ini",
            "progress",
            "last_error",
            "cluster",
            "join_cluster",
            "authorize",
            "deauthorize",
            "backup",
            "takeover",
            "restore",
            "cancel",
            "maintenance",
            "drill",
            "complete",
        ];
        NAMES[self as usize]
    }

    /// As the header has it.
    #[must_use]
    pub fn class(self) -> Class {
        match self {
            Self::Start | Self::Stop | Self::Destroy | Self::Configure | Self::Edit => Class::Control,
            Self::Poll => Class::Poll,
            _ => Class::AnyThread,
        }
    }
}

/// The table of the plugin, after negotiation.
pub struct Raw {
    api: abi::vmsf_api,
    /// Who the plugin is.
    pub info: Info,
    image: Image,
}

/// Calls a member of the table.
macro_rules! call {
    ($raw:expr, $member:ident($($argument:expr),* $(,)?)) => {{
        let member = $raw.api.$member;
        // SAFETY: rules 3 and 4: handles are checked; pointers are NULL or good for what is read and written there as the rules allow. What a
        // rule forbids is tried on purpose, in a process of its own.
        unsafe { member($($argument),*) }
    }};
}

impl Raw {
    /// The library behind it, once nobody else has it.
    #[must_use]
    pub fn into_image(self) -> Image {
        self.image
    }

    /// The name of a code; none where the plugin gives NULL.
    #[must_use]
    pub fn result_name(&self, code: abi::vmsf_result) -> Option<String> {
        let name = call!(self, result_name(code));
        (!name.is_null()).then(|| super::static_text(name))
    }

    /// Whether the plugin has an extension of that name.
    #[must_use]
    pub fn has_extension(&self, id: &CStr) -> bool {
        !call!(self, get_extension(id.as_ptr())).is_null()
    }

    /// `create`, with whatever is given; `None` is NULL.
    pub fn create(
        &self,
        host: Option<&abi::vmsf_host>,
        options: Text<'_>,
        out: &mut Option<u64>,
        err: &mut Room,
    ) -> abi::vmsf_result {
        let host = host.map_or(std::ptr::null(), std::ptr::from_ref);
        let (text, len) = options.parts();
        call!(self, create(host, text.cast(), len, pointer(out), err.pointer().cast(), err.cap))
    }

    /// Calls a member with whatever is given.
    pub fn call(&self, member: Member, args: &Args<'_>, to: &mut Outputs) -> abi::vmsf_result {
        let (text, len) = args.text.parts();
        let (text, (secret, secret_len)) = (text.cast(), args.secret.parts());
        let &Args { p, s, number, long, utc_ms, .. } = args;
        let (word, out_len, code) = (pointer(&mut to.word), pointer(&mut to.len), pointer(&mut to.code));
        let (room, cap) = (to.room.pointer().cast(), to.room.cap);
        match member {
            Member::Start => call!(self, start(p)),
            Member::Stop => call!(self, stop(p, number)),
            Member::Destroy => call!(self, destroy(p)),
            Member::Configure => call!(self, configure(p, text, len, number, room, cap, out_len)),
            Member::Edit => call!(self, edit(p, text, len, number, room, cap, out_len)),
            Member::Poll => call!(self, poll(p, long, utc_ms, word)),
            Member::Notify => call!(self, notify(p, s, number, long)),
            Member::NowNs => call!(self, now_ns(p, word)),
            Member::Server => call!(self, server(p, text, len, word)),
            Member::NextServer => call!(self, next_server(p, s, word)),
            Member::ServerId => call!(self, server_id(p, s, room, cap, out_len)),
            Member::Config => call!(self, config(p, room, cap, out_len)),
            Member::Status => call!(self, status(p, s, room, cap, out_len)),
            Member::Log => call!(self, log(p, long, number, room, cap, out_len)),
            Member::RecordingsIni => call!(self, recordings_ini(p, s, text, len, room, cap, out_len)),
            Member::Progress => call!(self, progress(p, long, number, text, len)),
            Member::LastError => call!(self, last_error(p, code, room, cap, out_len)),
            Member::Cluster => call!(self, cluster(p, number, text, len)),
            Member::JoinCluster => call!(self, join_cluster(p, text, len, secret, secret_len, word)),
            Member::Authorize => call!(self, authorize(p, s, text, len, secret, secret_len, word)),
            Member::Deauthorize => call!(self, deauthorize(p, s, text, len, word)),
            Member::Backup => call!(self, backup(p, s, text, len, word)),
            Member::Takeover => call!(self, takeover(p, s, text, len, word)),
            Member::Restore => call!(self, restore(p, s, text, len, word)),
            Member::Cancel => call!(self, cancel(p, s, text, len)),
            Member::Maintenance => call!(self, maintenance(p, s, text, len)),
            Member::Drill => call!(self, drill(p, s, text, len, word)),
            Member::Complete => call!(self, complete(p, long, number, text, len, secret, secret_len)),
        }
    }
}
