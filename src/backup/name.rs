//! The names of everything in a server's folder, and the folder's own. Pure: touches no disk. Called by the rest of `backup`.

use std::path::{Path, PathBuf};

use chrono::{DateTime, NaiveDateTime};
use vms_failover_abi as abi;

use crate::error::Error;

/// The highest number: JSON readers keep it exactly.
pub const LAST_NUMBER: u64 = (1 << 53) - 1;
/// What Linux takes as a path, without the final NUL.
const PATH_MAX: usize = 4095;
/// No name of this module is longer.
const NAME_MAX: usize = 64;
/// Instants outside the years 0 to 9999 have no stamp of this form; the nearest one stands for them.
const STAMPS_S: (i64, i64) = (-62_167_219_200, 253_402_300_799);

/// Which backup of a server: the number decides, the stamp only tells copies with the same number apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name {
    /// Grows with each backup of the server.
    pub number: u64,
    utc_s: i64,
}

impl Name {
    /// Backup `number`, taken at this UTC time.
    pub fn new(number: u64, utc_ms: i64) -> Name {
        Name { number, utc_s: utc_ms.div_euclid(1000).clamp(STAMPS_S.0, STAMPS_S.1) }
    }

    /// The archive's file name.
    pub fn archive(self) -> String {
        format!("{}-{}.backup", self.format("%Y%m%dT%H%M%SZ"), self.number)
    }

    /// The manifest's file name.
    pub fn manifest(self) -> String {
        format!("{}-{}.json", self.format("%Y%m%dT%H%M%SZ"), self.number)
    }

    /// The time as RFC 3339, for the manifest.
    pub fn time(self) -> String {
        self.format("%Y-%m-%dT%H:%M:%SZ")
    }

    fn format(self, form: &str) -> String {
        DateTime::from_timestamp(self.utc_s, 0).unwrap_or_default().format(form).to_string()
    }

    /// `20260101T000000Z-12`
    fn parse(text: &str) -> Option<Name> {
        let (stamp, number) = text.split_once('-')?;
        let stamp = NaiveDateTime::parse_from_str(stamp, "%Y%m%dT%H%M%SZ").ok()?;
        Some(Name { number: number.parse().ok()?, utc_s: stamp.and_utc().timestamp() })
    }
}

/// A file name that is this module's. Everything else in a folder is foreign and never touched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Known {
    /// `20260101T000000Z-12.backup`
    Archive(Name),
    /// `20260101T000000Z-12.json`
    Manifest(Name),
    /// `incoming-12-4711.tmp`: the host writes there.
    Incoming {
        /// The number that the backup is to have.
        number: u64,
        /// The operation that the host does it for. So an attempt that was given up never writes into the next one's file.
        operation: u64,
    },
    /// `manifest-12.tmp`: a manifest on its way.
    Draft(u64),
}

impl Known {
    /// Its file name.
    pub fn file_name(self) -> String {
        match self {
            Known::Archive(name) => name.archive(),
            Known::Manifest(name) => name.manifest(),
            Known::Incoming { number, operation } => format!("incoming-{number}-{operation}.tmp"),
            Known::Draft(number) => format!("manifest-{number}.tmp"),
        }
    }

    /// The number in it.
    pub fn number(self) -> u64 {
        match self {
            Known::Archive(name) | Known::Manifest(name) => name.number,
            Known::Incoming { number, .. } | Known::Draft(number) => number,
        }
    }

    /// Reads a file name; none for a foreign one.
    pub fn parse(file_name: &str) -> Option<Known> {
        let known = if let Some(stem) = file_name.strip_suffix(".backup") {
            Known::Archive(Name::parse(stem)?)
        } else if let Some(stem) = file_name.strip_suffix(".json") {
            Known::Manifest(Name::parse(stem)?)
        } else if let Some(rest) = file_name.strip_prefix("incoming-") {
            let (number, operation) = rest.strip_suffix(".tmp")?.split_once('-')?;
            Known::Incoming { number: number.parse().ok()?, operation: operation.parse().ok()? }
        } else {
            Known::Draft(file_name.strip_prefix("manifest-")?.strip_suffix(".tmp")?.parse().ok()?)
        };
        // Only the one spelling that is written here: `+7`, `007` or a leap second is somebody else's.
        (known.number() <= LAST_NUMBER && known.file_name() == file_name).then_some(known)
    }
}

/// `<backup_directory>/<server id>`. The configuration has checked both; a file is never made on the strength of that alone.
pub fn folder(backup_directory: &Path, server_id: &str) -> Result<PathBuf, Error> {
    let refuse = |what: String| Err(Error::new(abi::VMSF_ERR_INVALID, what));
    if let Some(why) = id_problem(server_id) {
        return refuse(format!("the server id {:?} {why}, so it can't name a folder", shown(server_id)));
    }
    let path = backup_directory.join(server_id);
    let Some(text) = path.to_str() else {
        return refuse(format!("the path {} is not UTF-8", path.display()));
    };
    if !path.is_absolute() || text.contains('\0') || text.split(['/', '\\']).any(|part| part == "..") {
        return refuse(format!("the path {:?} is not absolute, or has .. or NUL in it", shown(text)));
    }
    if text.len() + 1 + NAME_MAX > PATH_MAX {
        let (is, max) = (text.len(), PATH_MAX - 1 - NAME_MAX);
        return refuse(format!("the path {:?} has {is} bytes; with the names in it at most {max} do", shown(text)));
    }
    Ok(path)
}

fn id_problem(id: &str) -> Option<&'static str> {
    // Windows means a device whatever follows the first dot.
    let stem = id.split('.').next().unwrap_or_default().to_ascii_uppercase();
    let device = match stem.strip_prefix("COM").or(stem.strip_prefix("LPT")) {
        Some(rest) => rest.len() == 1 && rest.bytes().all(|byte| byte.is_ascii_digit()),
        None => ["CON", "PRN", "AUX", "NUL"].contains(&stem.as_str()),
    };
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match id {
        "" => Some("is empty"),
        _ if id.len() > 64 => Some("is longer than 64 bytes"),
        _ if !id.bytes().all(allowed) => Some("has a character besides A-Z a-z 0-9 . _ -"),
        _ if id.ends_with('.') => Some("ends with a dot"),
        _ if device => Some("is a device name of Windows"),
        _ => None,
    }
}

/// Enough of a text to know it again.
fn shown(text: &str) -> String {
    text.chars().take(200).collect()
}
