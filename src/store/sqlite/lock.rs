//! Who may write a store: one process at a time.

use std::fs::{self, File, TryLockError};
use std::io;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use super::open_error::OpenError;
use super::paths::{beside, private};

/// Held by the process that writes a store: the one server, or `keys rewrap`. The system lets go of it when the process
/// ends, however it ends.
///
/// It is on two files. One stands beside the database and is there before it. The other is the database itself, so that
/// no other path to it, such as a bind mount or a new name, leads around the lock. That one is an `flock`, which the
/// locks of SQLite (`fcntl`) do not meet. But those are dropped when the process closes any handle on the file: so this
/// one is opened before SQLite opens the file and closed after.
#[derive(Debug)]
pub struct Lock {
    #[expect(dead_code, reason = "held, and never asked")]
    beside: File,
    database: Option<File>,
}

impl Lock {
    /// Takes the lock beside the database at `real`, which is no link, and on the database if it is there.
    ///
    /// # Errors
    ///
    /// [`OpenError`] when another process has it, or it cannot be made.
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

    /// Takes the lock on the database itself, unless it is taken. SQLite must not have opened it yet.
    ///
    /// # Errors
    ///
    /// As for [`take`](Self::take).
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

    /// Which file the database is.
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

fn lock(file: &File, path: &Path) -> Result<(), OpenError> {
    match file.try_lock() {
        Ok(()) => Ok(()),
        Err(TryLockError::WouldBlock) => Err(OpenError::InUse(path.to_owned())),
        Err(TryLockError::Error(error)) => {
            Err(OpenError::System(path.to_owned(), error.to_string()))
        }
    }
}

/// Which file one is, whatever its name: its device and its number there.
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

/// The files of a store as they were when it was opened. What is written to a file that was removed, renamed or replaced
/// since then is not there when the server starts again.
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
    /// The database at `path` that was locked, and what SQLite has put beside it.
    ///
    /// # Errors
    ///
    /// When one of them is not there, or the system does not say.
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
            // By the path as it was given, too: it may be made to lead elsewhere.
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

    /// The first file that is not the one that was opened any more, or that is a log of fewer bytes than `log`.
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

/// Whether the system does not say now what is there, so that the file is not known to be gone.
fn is_passing(error: &io::Error) -> bool {
    /// An error of the device, which has no kind of its own (Linux's `EIO`).
    const DEVICE: i32 = 5;
    matches!(
        error.kind(),
        io::ErrorKind::PermissionDenied | io::ErrorKind::OutOfMemory | io::ErrorKind::Interrupted
    ) || error.raw_os_error() == Some(DEVICE)
}
