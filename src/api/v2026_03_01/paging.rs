//! Limits the pages of lists.

use crate::api::fields::Integer;

/// The number of entries on a page when the caller asks for none.
pub const DEFAULT_LIMIT: u64 = 20;

/// The rule for the number of entries on a page.
pub const LIMIT: Integer = Integer { min: 1, max: 100 };

/// Converts a value of [`LIMIT`] to a number of entries.
pub(super) fn count(limit: u64) -> usize {
    usize::try_from(limit).unwrap_or(usize::MAX)
}
