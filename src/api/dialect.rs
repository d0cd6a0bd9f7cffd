//! Which dialect a path belongs to.

/// A dialect: whose words a path is answered in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// The 2026-03-01 API, and all that belongs to none.
    V2026,
    /// Verbex v1.
    Verbex,
}

impl Dialect {
    /// The dialect of a path.
    #[must_use]
    pub fn of(path: &str) -> Self {
        match path.strip_prefix("/v1/public") {
            Some(rest) if rest.is_empty() || rest.starts_with('/') => Self::Verbex,
            _ => Self::V2026,
        }
    }
}
