//! Defines why a file cannot be opened.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::ErrorCode;

use super::fault::Fault;

/// Says why a file cannot be opened: one line, which names the file and says what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process writes the file.
    #[error("{} is in use by another Hookturn process: stop that process or choose another file", .0.display())]
    InUse(PathBuf),
    /// The file does not exist.
    #[error("{} does not exist: check the path", .0.display())]
    Missing(PathBuf),
    /// The system does not permit it.
    #[error("{} cannot be opened: {}; check that its directory exists and that this user may write there", .0.display(), .1)]
    System(PathBuf, String),
    /// The file is something else.
    #[error("{} is not a database of Hookturn: choose another file", .0.display())]
    Foreign(PathBuf),
    /// The database is missing or empty, and a file beside it may hold everything that was written
    /// last.
    #[error("{} is missing or empty, but {} beside it may contain the last writes: put the database back where it was; if you do not need its contents, delete {} and start again", path.display(), first(left), all(left))]
    OrphanedLog {
        /// The file.
        path: PathBuf,
        /// What lies beside it: at least one.
        left: Vec<PathBuf>,
    },
    /// The database is a copy that needs no log, and the log of another file lies beside it.
    #[error("{} is a copy, and {} beside it is left from the file that was there before: delete {} and start again", path.display(), first(left), all(left))]
    StrayLog {
        /// The file.
        path: PathBuf,
        /// What lies beside it: at least one.
        left: Vec<PathBuf>,
    },
    /// The log of another database lies beside the file.
    #[error("{path}-wal belongs to another database than {path}, or to an older or newer copy of it: put the files back that belong together; if the right log is lost, delete {path}-wal and {path}-shm, and start again without the last writes", path = .0.display())]
    AnotherLog(PathBuf),
    /// Less of the log can be read than was committed to it.
    #[error("{}-wal is cut short or damaged: only {found} of the {expected} pages that were written to it can be read; put the whole file back; if it is lost, delete {}-shm and start again without the last writes", path.display(), path.display())]
    LogCutShort {
        /// The file.
        path: PathBuf,
        /// How many pages can be read.
        found: usize,
        /// How many were written.
        expected: u32,
    },
    /// A journal lies beside the file, which SQLite would play back into it.
    #[error("{path}-journal is the journal of another database than {path}: move it elsewhere and start again", path = .0.display())]
    StrayJournal(PathBuf),
    /// The file is only read, and a server has to complete what it began.
    #[error("{} was being opened for the first time when its server was killed: start a server on it, stop it, and run this command again", .0.display())]
    Unfinished(PathBuf),
    /// The log is missing.
    #[error("{path}-wal is missing, and may contain the last writes, since {path}-shm is left from a server that was killed: put {path}-wal back; if it is lost, delete {path}-shm and start again without the last writes", path = .0.display())]
    LostLog(PathBuf),
    /// Everything in the file is in its log, which is missing.
    #[error("{path} is empty without its log {path}-wal: copy the log, too, or make the copy with `hookturn backup`; if you do not need its contents, delete {path}", path = .0.display())]
    WithoutLog(PathBuf),
    /// The end of the file is missing.
    #[error("{} is cut short: only {found} of its {expected} pages are there; put the whole file back or restore a backup", path.display())]
    CutShort {
        /// The file.
        path: PathBuf,
        /// How many pages there are.
        found: u64,
        /// How many there were.
        expected: u32,
    },
    /// The file has other names, and by each of them it would have another lock and another log.
    #[error("{} has several hard links, so two servers could write it: remove the other links or copy it to a new file", .0.display())]
    Linked(PathBuf),
    /// The file is a mount point itself, so the files beside it are not those beside the file that
    /// was mounted.
    #[error("{} is a mount point itself, but its log must be beside it: mount the directory instead", .0.display())]
    Mounted(PathBuf),
    /// A newer version wrote the file.
    #[error("{} was written by a newer version of Hookturn (schema {found}; this version knows {known}): use that version or a newer one", path.display())]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// An older version wrote the file, and this command may not change it.
    #[error("{} was written by an older version of Hookturn (schema {found}; this version reads {known}): use that version, or first serve a copy of the file with this version, which upgrades it", path.display())]
    Older {
        /// The file.
        path: PathBuf,
        /// Its schema.
        found: usize,
        /// Ours.
        known: usize,
    },
    /// A server began to write the file after the reading of it began.
    #[error("a server began to write {} while it was being read: try again", .0.display())]
    Changed(PathBuf),
    /// Old contents cannot be removed, since another process reads them.
    #[error("{} is being read by another process, such as a backup: run this again when that process has ended", .0.display())]
    BeingRead(PathBuf),
    /// The disk is full.
    #[error("{} cannot be written: the disk is full; make room and start again", .0.display())]
    Full(PathBuf),
    /// The disk fails. It may also be full where SQLite does not say so.
    #[error("{} cannot be used: {}; make room if the disk is full, otherwise check the disk and the system's log", .0.display(), .1)]
    Disk(PathBuf, String),
    /// The test clock of the file is ahead, and it would be served in real time.
    #[error("{} was served with a test clock that is {} s ahead, so in real time expired secrets would sign again: start with --dev, or once with --end-test-clock, which moves all later times back by as much", path.display(), ahead.as_secs_f64().ceil())]
    TestClock {
        /// The file.
        path: PathBuf,
        /// By how much.
        ahead: Duration,
    },
    /// Values are encrypted with a master key that was not given.
    #[error("the master key `{id}` is missing, and values in {} are encrypted with it: give that key, too, with the newest key first", path.display())]
    KeyMissing {
        /// The file.
        path: PathBuf,
        /// The key's id.
        id: String,
    },
    /// A given key has the right id, and is another key.
    #[error("the master key `{id}` cannot decrypt {}: it is not the key that had this id; give the right key", path.display())]
    WrongKey {
        /// The file.
        path: PathBuf,
        /// The key's id.
        id: String,
    },
    /// The file is damaged, or SQLite failed otherwise.
    #[error("{} cannot be read: {}; run `hookturn check` on it and restore a backup if it finds damage", .0.display(), .1)]
    Damaged(PathBuf, String),
}

impl OpenError {
    /// Returns what `fault` means for the opening of `path`.
    pub(super) fn of(path: &Path, fault: Fault) -> Self {
        let path = path.to_owned();
        match fault {
            Fault::Sqlite(error) => match error.sqlite_error_code() {
                Some(ErrorCode::NotADatabase) => Self::Foreign(path),
                Some(ErrorCode::DiskFull) => Self::Full(path),
                Some(ErrorCode::SystemIoFailure) => Self::Disk(path, error.to_string()),
                Some(ErrorCode::CannotOpen | ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => {
                    Self::System(path, error.to_string())
                }
                _ => Self::Damaged(path, error.to_string()),
            },
            Fault::NoLog => Self::System(path, fault.to_string()),
            fault => Self::Damaged(path, fault.to_string()),
        }
    }
}

/// Displays the first of these files.
fn first(files: &[PathBuf]) -> std::path::Display<'_> {
    files
        .first()
        .map_or(Path::new(""), PathBuf::as_path)
        .display()
}

/// Lists all of these files.
fn all(files: &[PathBuf]) -> String {
    let files: Vec<_> = files
        .iter()
        .map(|file| file.display().to_string())
        .collect();
    files.join(" and ")
}
