//! The files of the state directory: each operation on them, small enough to be a step that a test can stop before.
//!
//! Decides nothing. Files are for their owner alone. Called by `pair`, `spare` and `lock`.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Read, Seek, Write};
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::Durability;

/// The state directory and what is asked of its disk.
#[derive(Debug)]
pub struct Disk {
    directory: PathBuf,
    durability: Durability,
}

impl Disk {
    /// The directory, made where it is missing.
    pub fn open(directory: &Path, durability: Durability) -> io::Result<Disk> {
        let missing: Vec<&Path> = directory.ancestors().take_while(|path| !path.exists()).collect();
        let mut builder = fs::DirBuilder::new();
        // Windows: the folder inherits who may read it.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
        builder.recursive(true).create(directory)?;
        // A new folder is there after a power loss once the folder above it is synced.
        for parent in missing.iter().filter_map(|path| path.parent()).filter(|_| durability == Durability::Full) {
            sync_directory(parent)?;
        }
        Ok(Disk { directory: directory.to_owned(), durability })
    }

    /// Whether anything is synced.
    pub fn is_durable(&self) -> bool {
        self.durability == Durability::Full
    }

    /// Where it is.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Where a file of it is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.join(name)
    }

    /// The length of a file, if there is one.
    pub fn length(&self, name: &str) -> io::Result<Option<u64>> {
        or_missing(fs::metadata(self.path(name)).map(|metadata| metadata.len()))
    }

    /// A file's bytes, if there is one: one byte more than `max` where it is longer than that. They may be a secret, so they are wiped.
    pub fn read(&self, name: &str, max: u64) -> io::Result<Option<Zeroizing<Vec<u8>>>> {
        let path = self.path(name);
        let Some(metadata) = or_missing(fs::metadata(&path))? else { return Ok(None) };
        // A pipe in its place would block for ever.
        if !metadata.is_file() {
            return Err(io::Error::other("it is not a regular file"));
        }
        // With the room for one byte more it never grows.
        let mut bytes = Zeroizing::new(Vec::with_capacity(usize::try_from(metadata.len().min(max)).unwrap_or(0) + 1));
        let file = or_missing(patiently(|| File::open(&path)))?;
        file.map(|file| file.take(max + 1).read_to_end(&mut bytes)).transpose()?;
        Ok(Some(bytes))
    }

    /// Writes and syncs a file of a name that is free.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        step("create")?;
        let mut file = private().write(true).create_new(true).open(self.path(name))?;
        step("write")?;
        file.write_all(bytes)?;
        self.sync(&file)
    }

    /// Writes and syncs a file into the room of the one that is there, which is at least as long.
    pub fn overwrite(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        step("overwrite")?;
        let mut file = File::options().write(true).open(self.path(name))?;
        if file.write_all(bytes).as_ref().is_err_and(is_full) {
            // A file system that never writes in place: it takes back the old room first.
            file.set_len(0)?;
            file.rewind()?;
            file.write_all(bytes)?;
        }
        step("cut")?;
        file.set_len(bytes.len() as u64)?;
        self.sync(&file)
    }

    /// Makes a file longer by the given bytes, or makes it of them.
    pub fn append(&self, name: &str, bytes: &[u8]) -> io::Result<()> {
        step("append")?;
        private().append(true).create(true).open(self.path(name))?.write_all(bytes)
    }

    /// Puts a file in the place of another, which is replaced if it is there.
    pub fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        step("rename")?;
        patiently(|| replace(&self.path(from), &self.path(to)))
    }

    /// Makes what was last renamed to `name` outlive a power loss.
    pub fn settle(&self, name: &str) -> io::Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        step("settle")?;
        if cfg!(unix) {
            return sync_directory(&self.directory);
        }
        // Windows syncs no directory; flushing the renamed file writes the journal out with its new name in it.
        patiently(|| File::options().write(true).open(self.path(name)))?.sync_all()
    }

    /// Removes a file, if it is there.
    pub fn remove(&self, name: &str) -> io::Result<()> {
        let path = self.path(name);
        if or_missing(fs::symlink_metadata(&path))?.is_none() {
            return Ok(());
        }
        step("remove")?;
        patiently(|| fs::remove_file(&path))
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        if self.durability == Durability::None {
            return Ok(());
        }
        step("sync")?;
        file.sync_all()
    }
}

#[cfg(not(windows))]
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    fs::rename(from, to)
}

/// No directory can be synced here, so the rename itself has to come back from the disk.
#[cfg(windows)]
fn replace(from: &Path, to: &Path) -> io::Result<()> {
    crate::ffi::os::rename(from, to, true)
}

/// Whether an error says that there is no room.
pub fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::StorageFull | ErrorKind::QuotaExceeded)
}

/// Options for a file that its owner alone may read and write.
pub fn private() -> OpenOptions {
    #[cfg_attr(not(unix), expect(unused_mut, reason = "there are no modes to set"))]
    let mut options = File::options();
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
}

/// None instead of the error that a file is missing.
pub fn or_missing<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Does it; on Windows, where a virus scanner or a backup may have the file open just now, tries again for 2 s.
fn patiently<T>(operation: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    const ATTEMPTS: u32 = if cfg!(windows) { 100 } else { 1 };
    retry(ATTEMPTS, is_in_use, pause, operation)
}

/// ERROR_ACCESS_DENIED (a file about to vanish gives it too), ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION.
fn is_in_use(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(5 | 32 | 33))
}

fn pause() {
    #[cfg(windows)]
    {
        // No thread of ours: the one that saves waits.
        use std::thread;
        thread::sleep(std::time::Duration::from_millis(20));
    }
}

pub(super) fn retry<T>(
    attempts: u32,
    passes: impl Fn(&io::Error) -> bool,
    pause: impl Fn(),
    mut operation: impl FnMut() -> io::Result<T>,
) -> io::Result<T> {
    for _ in 1..attempts {
        match operation() {
            Err(error) if passes(&error) => pause(),
            result => return result,
        }
    }
    operation()
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    if cfg!(unix) { File::open(directory)?.sync_all() } else { Ok(()) }
}

#[cfg(test)]
use super::tests::steps::step;

/// A test may stop here.
#[cfg(not(test))]
fn step(_name: &'static str) -> io::Result<()> {
    Ok(())
}
