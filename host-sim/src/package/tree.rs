//! The files of a package by their paths in it, and the two ways to write them: into a prefix, or as an archive that is the same bytes
//! each time. Knows nothing of what the files are.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use flate2::{Compression, GzBuilder};
use sha2::{Digest, Sha256};

/// Names every other file of an archive, in the form that `sha256sum -c` reads.
pub const SUMS: &str = "SHA256SUMS";
/// 1 January 2000: an archive carries no time of its making, and some unpackers take 0 for "none".
const MTIME: u64 = 946_684_800;

/// The mode of a file that is no library.
pub const PLAIN: u32 = 0o644;

/// Content and mode of a file.
struct File {
    bytes: Vec<u8>,
    mode: u32,
}

/// Files by path: relative, with `/`, in order.
#[derive(Default)]
pub struct Tree(BTreeMap<String, File>);

impl Tree {
    /// Adds a file of text or data.
    ///
    /// # Errors
    /// The path is taken.
    pub fn add(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>) -> Result<()> {
        self.put(path.into(), bytes.into(), PLAIN)
    }

    /// Adds a library.
    ///
    /// # Errors
    /// The path is taken.
    pub fn add_library(&mut self, path: impl Into<String>, bytes: Vec<u8>) -> Result<()> {
        self.put(path.into(), bytes, 0o755)
    }

    fn put(&mut self, path: String, bytes: Vec<u8>, mode: u32) -> Result<()> {
        match self.0.insert(path.clone(), File { bytes, mode }) {
            None => Ok(()),
            Some(_) => bail!("two files of the package are to be {path}: rename one of them"),
        }
    }

    /// How many files there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Writes the files below `prefix`, over older ones.
    ///
    /// # Errors
    /// A folder or file cannot be written; the text names it.
    pub fn install(&self, prefix: &Path) -> Result<()> {
        for (path, file) in &self.0 {
            replace(&prefix.join(path), &file.bytes, file.mode)?;
        }
        Ok(())
    }

    /// The archive: one folder `top`, entries in order, without times, owners or names of the machine.
    ///
    /// # Errors
    /// A path is too long for the format.
    pub fn archive(&self, top: &str) -> Result<Vec<u8>> {
        let gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
        let mut tar = tar::Builder::new(gzip);
        for (path, file) in &self.0 {
            let mut header = tar::Header::new_ustar();
            header.set_size(file.bytes.len() as u64);
            header.set_mode(file.mode);
            header.set_mtime(MTIME);
            header.set_uid(0);
            header.set_gid(0);
            let path = format!("{top}/{path}");
            tar.append_data(&mut header, &path, file.bytes.as_slice()).with_context(|| path)?;
        }
        Ok(tar.into_inner()?.finish()?)
    }

    /// The lines of [`SUMS`].
    #[must_use]
    pub fn sums(&self) -> String {
        self.0.iter().map(|(path, file)| format!("{}  {path}\n", sha256(&file.bytes))).collect()
    }
}

/// In hexadecimal.
#[must_use]
pub fn sha256(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Writes a file beside its place and renames it there: a process that has the old library mapped keeps it whole.
///
/// # Errors
/// The folder or the file cannot be written.
pub fn replace(to: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let folder =
        to.parent().filter(|folder| !folder.as_os_str().is_empty()).map_or_else(|| PathBuf::from("."), Path::to_owned);
    fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
    let write = || -> Result<()> {
        let mut file = tempfile::NamedTempFile::new_in(&folder)?;
        file.write_all(bytes)?;
        set_mode(file.path(), mode)?;
        file.persist(to)?;
        Ok(())
    };
    write().with_context(|| format!("cannot write {}", to.display()))
}

#[cfg(unix)]
fn set_mode(path: &Path, mode: u32) -> std::io::Result<()> {
    fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode))
}

#[cfg(not(unix))]
fn set_mode(_: &Path, _: u32) -> std::io::Result<()> {
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_taken_once() {
        let mut tree = Tree::default();
        tree.add("a/b", "1").unwrap();
        let text = tree.add("a/b", "2").unwrap_err().to_string();
        assert!(text.contains("a/b"), "{text}");
    }

    #[test]
    fn the_order_of_adding_means_nothing() {
        let archive = |paths: [&str; 2]| {
            let mut tree = Tree::default();
            paths.iter().for_each(|path| tree.add(*path, *path).unwrap());
            (tree.archive("top").unwrap(), tree.sums())
        };
        assert_eq!(archive(["a", "b"]), archive(["b", "a"]));
    }

    #[test]
    fn what_is_installed_replaces_what_was_there_and_leaves_nothing_else() {
        let prefix = tempfile::tempdir().unwrap();
        for text in ["old", "new"] {
            let mut tree = Tree::default();
            tree.add("share/a", text).unwrap();
            tree.install(prefix.path()).unwrap();
        }
        let files: Vec<_> =
            fs::read_dir(prefix.path().join("share")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(files, ["a"]);
        assert_eq!(fs::read_to_string(prefix.path().join("share/a")).unwrap(), "new");
    }

    #[test]
    fn a_place_that_cannot_be_written_is_named() {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("file"), "").unwrap();
        let text = replace(&folder.path().join("file/a"), b"", PLAIN).unwrap_err().to_string();
        assert!(text.contains("cannot make the folder") && text.contains("file"), "{text}");
    }
}
