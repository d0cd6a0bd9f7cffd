//! Decides which dialect a path belongs to.

/// One of the two APIs that this server speaks.
///
/// It decides the format and wording of an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The 2026-03-01 API, and all paths that belong to neither dialect.
    V2026,
    /// Verbex v1.
    Verbex,
}

impl Dialect {
    /// Returns the dialect of a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/public") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Verbex,
            _ => Self::V2026,
        }
    }
}
