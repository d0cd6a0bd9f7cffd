//! Describes the headers of responses.

use serde_json::{Value, json};

use super::kind::Kind;

/// Returns references to the headers of a response, by name.
pub(super) fn header_references(kind: &Kind, status: &str, takes_keys: bool) -> Value {
    let mut names = vec!["X-Request-Id", "X-Content-Type-Options"];
    if kind.is_protected {
        names.push("Cache-Control");
        if status != "401" {
            names.extend([
                "X-RateLimit-Limit",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
            ]);
        }
    }
    match status {
        "401" => names.push("WWW-Authenticate"),
        "429" => names.push("Retry-After"),
        _ if takes_keys => names.push("Idempotent-Replayed"),
        _ => {}
    }
    let mut references: Value = names
        .into_iter()
        .map(|name| {
            let reference = json!({ "$ref": format!("#/components/headers/{name}") });
            (name.to_owned(), reference)
        })
        .collect();
    if kind.is_page {
        let mut page = |name: &str, description: &str| {
            references[name] =
                json!({ "description": description, "schema": { "type": "string" } });
        };
        page(
            "Content-Security-Policy",
            "A page loads nothing from elsewhere and runs no script.",
        );
        page("X-Frame-Options", "A page cannot be shown in a frame.");
        page(
            "Referrer-Policy",
            "A browser does not tell other pages the address of this one.",
        );
    }
    references
}

/// Returns all headers of responses, as the components that [`header_references`] refers to.
pub(super) fn headers() -> Value {
    let header = |description: &str, required: bool, schema: Value| json!({ "description": description, "required": required, "schema": schema });
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "X-Request-Id": header(
            "The id of the request: the caller's own, or a generated one.",
            true,
            json!({ "type": "string", "minLength": 1, "maxLength": 128 }),
        ),
        "X-Content-Type-Options": header(
            "A browser must not guess another type than `Content-Type`.",
            true,
            json!({ "type": "string", "const": "nosniff" }),
        ),
        "Cache-Control": header(
            "Answers may carry secrets and must not be cached.",
            true,
            json!({ "type": "string", "const": "no-store" }),
        ),
        "WWW-Authenticate": header(
            "`Bearer`, with `error=\"invalid_token\"` when a token was sent (RFC 6750).",
            true,
            json!({ "type": "string", "pattern": "^Bearer" }),
        ),
        "Retry-After": header(
            "Seconds to wait.",
            true,
            json!({ "type": "integer", "minimum": 1 }),
        ),
        "Idempotent-Replayed": header(
            "Present when an earlier answer is repeated: nothing was done this time.",
            false,
            json!({ "type": "string", "const": "true" }),
        ),
        "X-RateLimit-Limit": header(
            "The size of the tenant's bucket. The three headers are absent when the rate limit is off, and when a \
             request is refused before its key is checked.",
            false,
            count.clone(),
        ),
        "X-RateLimit-Remaining": header("The number of requests that can be made now.", false, count.clone()),
        "X-RateLimit-Reset": header("The Unix second when the bucket is full again.", false, count),
    })
}
