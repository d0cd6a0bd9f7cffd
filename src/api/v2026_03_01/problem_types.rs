//! The kinds of problems: what the `type` of a problem document refers to, and the text of its
//! page.

use axum::http::StatusCode;

/// The path of the pages about problem types, below the public URL.
pub const PROBLEMS_PATH: &str = "/problems";

/// A kind of problem.
#[derive(Debug, PartialEq, Eq)]
pub struct ProblemType {
    /// The last part of its `type` URI.
    pub slug: &'static str,
    /// A short summary, the same for every occurrence (RFC 9457, section 3.1.3).
    pub title: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// What it means and what to do about it, for people.
    pub explanation: &'static str,
    /// The codes that occur with it, and what each means or what to do about it.
    pub codes: &'static [(&'static str, &'static str)],
}

/// The request could not be read.
pub const INVALID_REQUEST: ProblemType = ProblemType {
    slug: "invalid-request",
    title: "Invalid request",
    status: StatusCode::BAD_REQUEST,
    explanation: "The request could not be read: its body is not a JSON object of at most 64 KiB sent as \
                  application/json, its Idempotency-Key is malformed, or its Host header is missing, repeated or malformed. Nothing was changed. Mend the \
                  request and send it again.",
    codes: &[
        (
            "malformed_json",
            "the body is not JSON; the detail says where it breaks.",
        ),
        ("not_an_object", "the body is JSON, but not an object."),
        (
            "unsupported_content_type",
            "send the header Content-Type: application/json.",
        ),
        (
            "body_too_large",
            "make the body smaller; the detail says how long it may be.",
        ),
        (
            "invalid_idempotency_key",
            "send 1 to 255 visible ASCII characters, bare or as one quoted string.",
        ),
        (
            "invalid_host",
            "send one Host header: a host, and a port if any.",
        ),
    ],
};

/// There is no valid API key.
pub const AUTHENTICATION_FAILED: ProblemType = ProblemType {
    slug: "authentication-failed",
    title: "Authentication failed",
    status: StatusCode::UNAUTHORIZED,
    explanation: "The request carries no API key, or one that this server does not know. Send the key as \
                  \u{201c}Authorization: Bearer YOUR_KEY\u{201d}. Without a valid key the server says nothing \
                  else, not even whether a path exists.",
    codes: &[
        ("missing_token", "no API key was sent."),
        (
            "invalid_token",
            "the key is not one that this server knows.",
        ),
    ],
};

/// There is no such path or record.
pub const NOT_FOUND: ProblemType = ProblemType {
    slug: "not-found",
    title: "Not found",
    status: StatusCode::NOT_FOUND,
    explanation: "There is no such path, or no such record among those of the key\u{2019}s tenant. Records of other \
                  tenants look just like records that do not exist.",
    codes: &[
        (
            "webhook_endpoint_not_found",
            "the tenant has no endpoint with this id.",
        ),
        (
            "delivery_not_found",
            "the tenant has no delivery with this id, or it was forgotten by age.",
        ),
        ("route_not_found", "there is nothing at this path."),
    ],
};

/// The path exists, but not with this method.
pub const METHOD_NOT_ALLOWED: ProblemType = ProblemType {
    slug: "method-not-allowed",
    title: "Method not allowed",
    status: StatusCode::METHOD_NOT_ALLOWED,
    explanation: "The path exists, but not with this method. The Allow header lists the methods that it has.",
    codes: &[(
        "method_not_allowed",
        "use one of the methods in the Allow header.",
    )],
};

/// The body did not arrive in time.
pub const REQUEST_TIMEOUT: ProblemType = ProblemType {
    slug: "request-timeout",
    title: "Request timeout",
    status: StatusCode::REQUEST_TIMEOUT,
    explanation: "The body of the request did not come to its end within 20 seconds, and the server stopped \
                  waiting. Nothing was changed. Send the request again.",
    codes: &[("body_timeout", "send the whole body at once.")],
};

/// Fields or query parameters are invalid.
pub const VALIDATION_FAILED: ProblemType = ProblemType {
    slug: "validation-failed",
    title: "Validation failed",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    explanation: "Fields of the body, or query parameters, are not what they must be. All of them are in \
                  \u{201c}errors\u{201d}, each with its own code. Nothing was changed.",
    codes: &[
        (
            "validation_failed",
            "the code of the problem as a whole; those below are of single fields.",
        ),
        (
            "out_of_range",
            "a number, a length or a count is outside the bounds that the detail names.",
        ),
        (
            "invalid_type",
            "the value is of another JSON type than the field wants.",
        ),
        (
            "unknown_field",
            "the name is misspelt, or not one of this request: mend or remove it.",
        ),
        (
            "duplicate_field",
            "the name came more than once: send it once.",
        ),
        ("missing_field", "the field is required: add it."),
        (
            "invalid_format",
            "the text does not have the form that the detail describes.",
        ),
        (
            "invalid_cursor",
            "the cursor is not an id from this list; start again without it.",
        ),
    ],
};

/// The request is valid, but the state of the server does not allow it.
pub const UNPROCESSABLE: ProblemType = ProblemType {
    slug: "unprocessable",
    title: "Unprocessable",
    status: StatusCode::UNPROCESSABLE_ENTITY,
    explanation: "The request is sound but does not fit the state of things: its idempotency key was used for \
                  another request, the endpoint is disabled or has no signing secret, ten secrets are live \
                  already, the event id was used for another event, or a quota is used up. Sending it \
                  again unchanged does not help.",
    codes: &[
        (
            "idempotency_key_reused",
            "send a new Idempotency-Key for a new request.",
        ),
        ("signing_disabled", "enable signing first."),
        (
            "too_many_live_secrets",
            "wait until one expires, rotate with grace 0, or revoke the previous ones.",
        ),
        ("event_id_reused", "send a new id for a new event."),
        ("endpoint_disabled", "enable the endpoint first."),
        (
            "quota_exceeded",
            "make room as the detail says, or ask the operator for a higher quota.",
        ),
    ],
};

/// The tenant sent too many requests.
pub const RATE_LIMIT_EXCEEDED: ProblemType = ProblemType {
    slug: "rate-limit-exceeded",
    title: "Rate limit exceeded",
    status: StatusCode::TOO_MANY_REQUESTS,
    explanation: "The tenant sent more requests than its rate limit allows. Wait for as many seconds as the \
                  Retry-After header says. The request was not looked at.",
    codes: &[("rate_limit_exceeded", "wait as long as Retry-After says.")],
};

/// The server failed.
pub const INTERNAL: ProblemType = ProblemType {
    slug: "internal",
    title: "Internal server error",
    status: StatusCode::INTERNAL_SERVER_ERROR,
    explanation: "The server failed. Send the request again with the same Idempotency-Key: it is done once, \
                  whatever became of the first attempt. The X-Request-Id header names the occurrence in the \
                  server\u{2019}s log.",
    codes: &[(
        "internal_error",
        "send it again with the same Idempotency-Key.",
    )],
};

/// All kinds of problems, for the pages that explain them.
pub const PROBLEM_TYPES: [&ProblemType; 9] = [
    &INVALID_REQUEST,
    &AUTHENTICATION_FAILED,
    &NOT_FOUND,
    &METHOD_NOT_ALLOWED,
    &REQUEST_TIMEOUT,
    &VALIDATION_FAILED,
    &UNPROCESSABLE,
    &RATE_LIMIT_EXCEEDED,
    &INTERNAL,
];
