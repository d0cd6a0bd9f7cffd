//! Classifies operations.

use serde_json::Value;

use crate::api::auth::is_protected;

/// The properties that decide which shared parts of the document an operation has.
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is a question of its own"
)]
pub(super) struct Kind {
    /// It needs an API key.
    pub is_protected: bool,
    /// It changes something, so it reads a body, if only to ignore it.
    pub is_write: bool,
    /// It accepts an idempotency key.
    pub takes_keys: bool,
    /// It has fields in its body.
    pub has_body: bool,
    /// It answers with a page for people.
    pub is_page: bool,
    /// It is about one endpoint.
    pub names_endpoint: bool,
}

impl Kind {
    /// Classifies the operation at `path`.
    pub(super) fn of(path: &str, method: &str, operation: &Value) -> Self {
        let is_write = matches!(method, "post" | "put" | "patch");
        Self {
            is_protected: is_protected(path),
            is_write,
            takes_keys: is_write && !path.starts_with("/dev"),
            has_body: operation.get("requestBody").is_some(),
            is_page: operation["responses"]["200"]["content"]["text/html"].is_object(),
            names_endpoint: path.contains("{webhook_endpoint_id}") || path.contains("{id}"),
        }
    }
}
