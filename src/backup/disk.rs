//! What the rest of `backup` asks of the file system, and where the systems differ. Never follows a symbolic link at the end of a path,
//! never blocks in opening a pipe or a device.

use std::fs::{self, File, FileType, Metadata};
use std::io;
use std::path::Path;

use vms_failover_abi as abi;

use crate::error::Error;

/// By what a file is known again without reading it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// In bytes.
    pub size: u64,
    mtime_ns: i128,
    /// On Windows, where the standard library has none, the time of its making.
    inode: u64,
}

#[cfg(unix)]
impl Stamp {
    /// The stamp in these metadata.
    pub fn of(metadata: &Metadata) -> Stamp {
        use std::os::unix::fs::MetadataExt;
        let mtime_ns = i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec());
        Stamp { size: metadata.len(), mtime_ns, inode: metadata.ino() }
    }
}

#[cfg(windows)]
impl Stamp {
    /// The stamp in these metadata.
    pub fn of(metadata: &Metadata) -> Stamp {
        use std::os::windows::fs::MetadataExt;
        let mtime_ns = i128::from(metadata.last_write_time()) * 100;
        Stamp { size: metadata.len(), mtime_ns, inode: metadata.creation_time() }
    }
}

/// Why a rename did not happen.
#[derive(Debug)]
pub enum Fault {
    /// Another process has the file open; Windows only. To be tried again.
    Busy(Error),
    /// It is over.
    Final(Error),
}

impl From<Error> for Fault {
    fn from(error: Error) -> Fault {
        Fault::Final(error)
    }
}

/// An error about a file that is not as it has to be.
pub fn wrong(path: &Path, why: impl std::fmt::Display) -> Error {
    Error::new(abi::VMSF_ERR_IO, format!("{} {why}", path.display()))
}

/// The stamp of a plain file, or in words why it is none. `Err` where the system doesn't say.
pub fn plain(path: &Path) -> io::Result<Result<Stamp, String>> {
    match fs::symlink_metadata(path) {
        Ok(metadata) if metadata.is_file() => Ok(Ok(Stamp::of(&metadata))),
        Ok(metadata) => Ok(Err(format!("is {}, not a plain file", kind(metadata.file_type())))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Err("is not there".into())),
        Err(error) => Err(error),
    }
}

/// Whether anything has this name.
pub fn exists(path: &Path) -> Result<bool, Error> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(Error::io("cannot look at", path, &error)),
    }
}

/// Opens a plain file for reading.
pub fn open_plain(path: &Path) -> Result<(File, Stamp), Error> {
    // Looked at before it is opened: opening alone may already do something to a device.
    let looked = plain(path).map_err(|error| Error::io("cannot look at", path, &error))?;
    let before = looked.map_err(|why| wrong(path, why))?;
    let opened = open_itself(path).and_then(|file| file.metadata().map(|metadata| (file, metadata)));
    let (file, metadata) = opened.map_err(|error| Error::io("cannot open", path, &error))?;
    if !metadata.is_file() || Stamp::of(&metadata) != before {
        return Err(wrong(path, "was exchanged or written to while it was opened"));
    }
    Ok((file, before))
}

#[cfg(unix)]
fn open_itself(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK).open(path)
}

#[cfg(windows)]
fn open_itself(path: &Path) -> io::Result<File> {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_FLAG_OPEN_REPARSE_POINT: u32 = 0x0020_0000;
    File::options().read(true).custom_flags(FILE_FLAG_OPEN_REPARSE_POINT).open(path)
}

#[cfg(unix)]
fn kind(of: FileType) -> &'static str {
    use std::os::unix::fs::FileTypeExt;
    match of {
        _ if of.is_symlink() => "a symbolic link",
        _ if of.is_dir() => "a directory",
        _ if of.is_fifo() => "a pipe",
        _ if of.is_socket() => "a socket",
        _ => "a device",
    }
}

#[cfg(windows)]
fn kind(of: FileType) -> &'static str {
    match of {
        _ if of.is_symlink() => "a symbolic link",
        _ if of.is_dir() => "a directory",
        _ => "a device",
    }
}

/// Gives a file its final name. The target must be free: nothing of anybody is ever replaced.
pub fn rename(from: &Path, to: &Path) -> Result<(), Fault> {
    if exists(to)? {
        return Err(Fault::Final(wrong(to, "is already there")));
    }
    if is_held(to) {
        return Err(Fault::Busy(wrong(to, "is held by another process")));
    }
    rename_to_free(from, to).map_err(|error| {
        let text = Error::io(&format!("cannot rename {} to", from.display()), to, &error);
        // ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION: a virus scanner, most often.
        let shared = cfg!(windows) && matches!(error.raw_os_error(), Some(32 | 33));
        if shared { Fault::Busy(text) } else { Fault::Final(text) }
    })
}

#[cfg(not(windows))]
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// On disk when it comes back, since no folder can be synced here.
#[cfg(windows)]
fn rename_to_free(from: &Path, to: &Path) -> io::Result<()> {
    crate::ffi::os::rename(from, to, false)
}

#[cfg(not(test))]
fn is_held(_: &Path) -> bool {
    false
}

/// For tests: in a folder in which a file `held` lies, every rename finds the file held by another process.
#[cfg(test)]
fn is_held(path: &Path) -> bool {
    path.with_file_name("held").exists()
}

/// Removes a file, link or pipe itself; of a directory only an empty one. What is not there is removed.
pub fn remove(path: &Path) -> Result<(), Error> {
    let directory = fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_dir());
    let removed = if directory { fs::remove_dir(path) } else { fs::remove_file(path) };
    match removed {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(Error::io("cannot remove", path, &error)),
        _ => Ok(()),
    }
}

/// Syncs a file's content.
pub fn sync_file(file: &File, path: &Path) -> Result<(), Error> {
    count_sync();
    // Windows flushes only through a handle that may write.
    let synced =
        if cfg!(windows) { File::options().write(true).open(path).and_then(|f| f.sync_all()) } else { file.sync_all() };
    synced.map_err(|error| Error::io("cannot sync", path, &error))
}

/// Syncs the names in a folder. Windows has no such thing.
pub fn sync_folder(folder: &Path) -> Result<(), Error> {
    count_sync();
    if cfg!(windows) {
        return Ok(());
    }
    let synced = File::open(folder).and_then(|folder| folder.sync_all());
    synced.map_err(|error| Error::io("cannot sync", folder, &error))
}

#[cfg(not(test))]
fn count_sync() {}

#[cfg(test)]
thread_local! {
    /// How many syncs this thread has made: a test holds it against the limit of one a step.
    pub static SYNCS: std::cell::Cell<u32> = const { std::cell::Cell::new(0) };
}

#[cfg(test)]
fn count_sync() {
    SYNCS.with(|syncs| syncs.set(syncs.get() + 1));
}
