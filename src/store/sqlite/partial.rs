//! Makes files that get their name when they are complete and on the disk: a file with the name is
//! always complete.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::paths::{beside, directory_of, private};
use crate::random;

/// The endings of the files that SQLite puts beside a database.
pub(super) const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file that is not complete yet, with a temporary name. It is deleted on drop.
pub(super) struct Partial(PathBuf);

impl Partial {
    /// Makes a file in the directory of `target`, so that it can get that name.
    ///
    /// # Errors
    ///
    /// When it cannot be made.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let mut name = OsString::from(".");
        let wrong = || io::Error::other("the path has no file name");
        name.push(target.file_name().ok_or_else(wrong)?);
        name.push(format!(".{}.partial", random::correlation_id().simple()));
        let path = directory_of(target).join(name);
        private().create_new(true).open(&path)?;
        Ok(Self(path))
    }

    /// Returns the path of the file.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives the file the name `target`, unless another file has that name, and syncs the name to
    /// the disk.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when another file has the name, and others when it cannot
    /// be done.
    pub fn name(self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.0, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Not every file system supports links.
            Err(_) => fs::rename(&self.0, target)?,
            Ok(()) => {}
        }
        drop(self);
        sync_directory_of(target)
    }

    /// Gives the file the name `target`, as [`name`](Self::name) does, and replaces a file that has
    /// it.
    ///
    /// # Errors
    ///
    /// When it cannot be done.
    pub fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)?;
        sync_directory_of(target)
    }
}

/// Syncs the directory of a file to the disk.
fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

impl Drop for Partial {
    fn drop(&mut self) {
        // The file may have its name by now, and there is rarely a file beside it.
        for side in SIDES.iter().copied().chain([""]) {
            let _ = fs::remove_file(beside(&self.0, side));
        }
    }
}
