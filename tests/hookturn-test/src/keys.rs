//! The API keys that test servers know.

/// The API key of tenant `acme`, which most requests carry.
pub const ACME: &str = "key-of-acme-0123456789";

/// Another API key of tenant `acme`.
pub const ACME_TOO: &str = "another-key-of-acme-0123456789";

/// The API key of tenant `globex`.
pub const GLOBEX: &str = "key-of-globex-0123456789";
