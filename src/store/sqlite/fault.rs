//! Defines what can fail below the store. The messages are for the log and contain no data of
//! records.

use std::path::PathBuf;

use rusqlite::ErrorCode;

use crate::random::NoRandomness;
use crate::store::at_rest::CannotOpen;
use crate::store::at_rest::codec::Damaged;
use crate::store::at_rest::fields::FieldError;
use crate::store::{CommitError, StoreError};

/// A failure of SQLite, of a stored value, or of the machine.
#[derive(Debug, thiserror::Error)]
pub(super) enum Fault {
    /// SQLite failed.
    #[error("{0}{mend}", mend = mend(.0))]
    Sqlite(#[from] rusqlite::Error),
    /// A value cannot be decrypted.
    #[error("cannot decrypt a value: {0}")]
    Sealed(#[from] CannotOpen),
    /// A value is not one that this program writes.
    #[error(transparent)]
    Damaged(#[from] Damaged),
    /// The file system does not support a log.
    #[error("its file system does not support SQLite's write-ahead log; use a local disk")]
    NoLog,
    /// A file of the store was removed while the store was served.
    #[error(
        "{} was removed, renamed, replaced or cut short while it was served: put the same file back; if it is lost, stop the \
         server and restore a backup; until then writes are answered 500", .0.display()
    )]
    FileGone(PathBuf),
    /// This program has a bug, and the file is not at fault.
    #[error(
        "this program panicked, which is a bug and not a fault of the file; the panic is logged above"
    )]
    Panicked,
    /// The transaction ended too early.
    #[error("SQLite ended the transaction early")]
    NoTransaction,
    /// The system cannot start a thread.
    #[error("cannot start a thread: {0}")]
    Thread(#[from] std::io::Error),
    /// There is no randomness.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
}

impl Fault {
    /// Returns whether the same call may succeed later: the machine fails, not the contents of the
    /// file.
    pub fn is_passing(&self) -> bool {
        match self {
            Self::Sqlite(error) => !matches!(
                error.sqlite_error_code(),
                None | Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase)
            ),
            Self::FileGone(_)
            | Self::Panicked
            | Self::NoTransaction
            | Self::Thread(_)
            | Self::Randomness(_) => true,
            Self::Sealed(_) | Self::Damaged(_) | Self::NoLog => false,
        }
    }
}

/// Returns what an operator can do about a failure of SQLite.
fn mend(error: &rusqlite::Error) -> &'static str {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => {
            "; make room on the disk; until then writes are answered 500 and change nothing"
        }
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            "; the file or its directory cannot be written: give this user write access or mount it writable"
        }
        Some(ErrorCode::SystemIoFailure) => "; check the disk and the system's log",
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            "; the file is damaged: run `hookturn check` and restore a backup"
        }
        _ => "",
    }
}

/// Returns the fault of a stored value that this program would not write. `what` names the kind of
/// value.
pub(super) const fn damaged(what: &'static str) -> Fault {
    Fault::Damaged(Damaged(what))
}

impl From<rusqlite::types::FromSqlError> for Fault {
    fn from(_: rusqlite::types::FromSqlError) -> Self {
        // The message of SQLite could quote the value.
        damaged("a column")
    }
}

impl From<FieldError> for Fault {
    fn from(error: FieldError) -> Self {
        match error {
            FieldError::Randomness(error) => error.into(),
            FieldError::Sealed(error) => error.into(),
            FieldError::Damaged(error) => error.into(),
        }
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        Self::new(fault)
    }
}

impl From<Fault> for CommitError {
    fn from(fault: Fault) -> Self {
        StoreError::from(fault).into()
    }
}
