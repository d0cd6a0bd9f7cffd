//! Files that get their name when they are whole and on the disk: whatever has the name is whole.

use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::paths::{beside, directory_of, private};
use crate::random;

/// What SQLite puts beside a database.
pub(super) const SIDES: [&str; 3] = ["-wal", "-shm", "-journal"];

/// A file that is not whole, under a name of its own. It is gone when this is.
pub(super) struct Partial(PathBuf);

impl Partial {
    /// Makes one in the directory of `target`, so that it can get that name.
    ///
    /// # Errors
    ///
    /// When that cannot be done.
    pub fn beside(target: &Path) -> io::Result<Self> {
        let mut name = OsString::from(".");
        let wrong = || io::Error::other("it has no name");
        name.push(target.file_name().ok_or_else(wrong)?);
        name.push(format!(".{}.partial", random::correlation_id().simple()));
        let path = directory_of(target).join(name);
        private().create_new(true).open(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Gives it its name, unless another file has that, and sees to it that it has it on the disk.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::AlreadyExists`] when there is another, and others when it cannot be done.
    pub fn name(self, target: &Path) -> io::Result<()> {
        match fs::hard_link(&self.0, target) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => return Err(error),
            // Not every file system has links.
            Err(_) => fs::rename(&self.0, target)?,
            Ok(()) => {}
        }
        drop(self);
        sync_directory_of(target)
    }

    /// As [`name`](Self::name), in place of a file that may be there.
    ///
    /// # Errors
    ///
    /// When it cannot be done.
    pub fn replace(self, target: &Path) -> io::Result<()> {
        fs::rename(&self.0, target)?;
        sync_directory_of(target)
    }
}

fn sync_directory_of(path: &Path) -> io::Result<()> {
    File::open(directory_of(path))?.sync_all()
}

impl Drop for Partial {
    fn drop(&mut self) {
        // It may have its name by now, and what is beside it is rarely there.
        for side in SIDES.iter().copied().chain([""]) {
            let _ = fs::remove_file(beside(&self.0, side));
        }
    }
}
