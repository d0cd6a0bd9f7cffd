//! Where a store is.

use std::path::PathBuf;

/// A store that this version can open.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `memory:`. The records end with the process.
    Memory,
    /// `sqlite:PATH`. The records are in a file, and their secret parts are encrypted with a master
    /// key.
    Sqlite {
        /// The file's path: not empty, and absolute or relative to the working directory.
        path: PathBuf,
    },
}
