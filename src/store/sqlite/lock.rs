//! Locks a store, so that only one process writes it.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::open_error::OpenError;
use super::paths::{beside, private};

/// Held by the process that writes a store: the server, or `keys rewrap`. The system releases it
/// when the process ends, however it ends.
///
/// There are two locks:
///
/// - One is on a file beside the database, which exists before the database does.
/// - The other is on the database itself, so that no other path to it, such as a bind mount or a
///   new name, bypasses the lock. It is an `flock`, which does not conflict with the locks of
///   SQLite (`fcntl`). SQLite's locks are dropped when the process closes any handle on the file,
///   so this handle is opened before SQLite opens the file and closed after.
#[derive(Debug)]
pub struct Lock {
    #[expect(dead_code, reason = "held, and never asked")]
    beside: File,
    database: Option<File>,
}

impl Lock {
    /// Takes the lock beside the database at `real`, which is not a link, and the lock on the
    /// database if it exists.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when another process holds the lock, or it cannot be made.
    pub(super) fn take(real: &Path) -> Result<Self, OpenError> {
        let file = private().create(true).open(beside(real, "-lock"));
        let beside = file.map_err(|error| OpenError::System(real.to_owned(), error.to_string()))?;
        lock(&beside, real)?;
        let mut taken = Self {
            beside,
            database: None,
        };
        // An empty file is replaced by the database.
        if fs::metadata(real).is_ok_and(|found| found.is_file() && found.len() > 0) {
            taken.take_database(real)?;
        }
        Ok(taken)
    }

    /// Takes the lock on the database itself, unless it is held already. SQLite must not have
    /// opened the file yet.
    ///
    /// # Errors
    ///
    /// The same as [`take`](Self::take).
    pub(super) fn take_database(&mut self, real: &Path) -> Result<(), OpenError> {
        if self.database.is_none() {
            let file = private().open(real);
            let file =
                file.map_err(|error| OpenError::System(real.to_owned(), error.to_string()))?;
            lock(&file, real)?;
            self.database = Some(file);
        }
        Ok(())
    }

    /// Returns the identity of the database file.
    ///
    /// # Errors
    ///
    /// When the system does not say.
    pub(super) fn identity(&self) -> io::Result<Identity> {
        let database = self.database.as_ref();
        let metadata = database.ok_or_else(|| io::Error::other("there is no database yet"))?;
        Ok(Identity::from(&metadata.metadata()?))
    }
}

/// Locks an open file. Fails if another process has locked it.
fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => {
            Err(OpenError::System(path.to_owned(), error.to_string()))
        }
    }
}

/// Identifies a file independent of its name: its device and its inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Identity {
    device: u64,
    inode: u64,
}

impl From<&fs::Metadata> for Identity {
    fn from(found: &fs::Metadata) -> Self {
        Self {
            device: found.dev(),
            inode: found.ino(),
        }
    }
}

/// The files of a store as they were when it was opened. What is written to a file that was
/// removed, renamed or replaced since then is missing when the server starts again.
#[derive(Debug)]
pub(super) struct Files {
    files: Vec<OpenedFile>,
}

#[derive(Debug)]
struct OpenedFile {
    path: PathBuf,
    identity: Identity,
    /// Whether it was opened through a link.
    may_be_link: bool,
    is_log: bool,
}

impl Files {
    /// Notes the identity of the locked database at `path`, and of the files that SQLite has put
    /// beside it.
    ///
    /// # Errors
    ///
    /// When one of them does not exist, or the system does not say.
    pub(super) fn new(path: &Path, lock: &Lock) -> io::Result<Self> {
        let real = path.canonicalize()?;
        let database = |path: &Path, may_be_link| {
            Ok::<_, io::Error>(OpenedFile {
                path: path.to_owned(),
                identity: lock.identity()?,
                may_be_link,
                is_log: false,
            })
        };
        let mut files = vec![database(&real, false)?];
        if path != real {
            // Also by the path that was given: it may be changed to lead to another file.
            files.push(database(path, true)?);
        }
        for side in ["-wal", "-shm"] {
            let path = beside(&real, side);
            files.push(OpenedFile {
                identity: Identity::from(&fs::symlink_metadata(&path)?),
                path,
                may_be_link: false,
                is_log: side == "-wal",
            });
        }
        Ok(Self { files })
    }

    /// Returns the first file that is no longer the one that was opened, or a log that has become
    /// shorter than `log` bytes.
    pub(super) fn first_gone(&self, log: u64) -> Option<&Path> {
        let is_gone = |file: &&OpenedFile| {
            let found = if file.may_be_link {
                fs::metadata(&file.path)
            } else {
                fs::symlink_metadata(&file.path)
            };
            match found {
                Ok(found) => {
                    Identity::from(&found) != file.identity || (file.is_log && found.len() < log)
                }
                Err(error) => !is_passing(&error),
            }
        };
        let gone = self.files.iter().find(is_gone);
        gone.map(|file| file.path.as_path())
    }
}

/// Returns whether the system cannot say at the moment which file is there, so that the file may
/// still exist.
fn is_passing(error: &io::Error) -> bool {
    /// An error of the device, which has no kind of its own (Linux's `EIO`).
    const DEVICE: i32 = 5;
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted
    ) || error.raw_os_error() == Some(DEVICE)
}
