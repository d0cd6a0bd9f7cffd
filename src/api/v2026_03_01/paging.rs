//! Pages of lists.

use crate::api::fields::Integer;

/// The entries of a page when no number is asked for.
pub const DEFAULT_LIMIT: u64 = 20;

/// How many entries a page may have at most.
pub const LIMIT: Integer = Integer { min: 1, max: 100 };

/// A [`LIMIT`] as a number of entries.
pub(super) fn count(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
