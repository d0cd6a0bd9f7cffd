//! Renders every failure as an RFC 9457 problem document.

use std::borrow::Cow;

use serde::Serialize;
use utoipa::ToSchema;

use super::instance::instance;
use super::problem_types::{
    AUTHENTICATION_FAILED, INTERNAL, INVALID_REQUEST, METHOD_NOT_ALLOWED, NOT_FOUND, PROBLEMS_PATH,
    ProblemType, RATE_LIMIT_EXCEEDED, REQUEST_TIMEOUT, UNPROCESSABLE, VALIDATION_FAILED,
};
use crate::api::failure::{Failure, FieldCode, FieldError, Rendered};
use crate::api::query::CURSOR_DETAIL;
use crate::api::quota;
use crate::service::Error;

/// A problem document (RFC 9457), with this API's extensions.
#[derive(Serialize, ToSchema)]
pub struct Problem<'a> {
    /// The kind of problem: a URI that answers with a page about it.
    #[serde(rename = "type")]
    #[schema(value_type = String, format = "uri")]
    kind: String,
    /// A short summary of the kind.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What went wrong this time.
    #[schema(value_type = String)]
    detail: Cow<'a, str>,
    /// The path of the request, percent-encoded: a URI reference, never one to another host.
    #[schema(value_type = String, format = "uri-reference")]
    instance: Cow<'a, str>,
    /// The code of the problem, for programs.
    code: &'a str,
    /// The parameter, field or header that is at fault, if there is exactly one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    param: Option<&'a str>,
    /// All fields that are wrong.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schema(required = false, max_items = 100)]
    errors: Vec<ProblemField<'a>>,
}

/// What is wrong with one field.
#[derive(Serialize, ToSchema)]
pub struct ProblemField<'a> {
    /// The field, with an index or a key if the fault is inside it.
    param: &'a str,
    /// What would be valid.
    detail: &'a str,
    /// The code of the fault, for programs.
    code: &'a str,
}

/// Renders `failure` as a problem document about a request to `path`.
#[must_use]
pub fn render(failure: &Failure, public_url: &str, path: &str) -> Rendered {
    let words = words(failure);
    let errors: Vec<_> = words.errors.iter().map(ProblemField::from).collect();
    let param = match &errors[..] {
        [only] => Some(only.param),
        _ => words.param,
    };
    let problem = Problem {
        kind: format!("{public_url}{PROBLEMS_PATH}/{}", words.kind.slug),
        title: words.kind.title,
        status: words.kind.status.as_u16(),
        detail: words.detail,
        instance: instance(path),
        code: words.code,
        param,
        errors,
    };
    Rendered {
        status: words.kind.status,
        content_type: "application/problem+json",
        // A struct of strings and numbers: serializing it cannot fail.
        body: serde_json::to_vec(&problem).unwrap_or_default(),
    }
}

impl<'a> From<&'a FieldError> for ProblemField<'a> {
    fn from(error: &'a FieldError) -> Self {
        Self {
            param: &error.param,
            detail: &error.detail,
            code: error.code.as_str(),
        }
    }
}

struct Words<'a> {
    kind: &'static ProblemType,
    code: &'static str,
    detail: Cow<'a, str>,
    param: Option<&'static str>,
    errors: Cow<'a, [FieldError]>,
}

fn plain<'a>(
    kind: &'static ProblemType,
    code: &'static str,
    detail: impl Into<Cow<'a, str>>,
) -> Words<'a> {
    Words {
        kind,
        code,
        detail: detail.into(),
        param: None,
        errors: Cow::Borrowed(&[]),
    }
}

fn about<'a>(param: &'static str, words: Words<'a>) -> Words<'a> {
    Words {
        param: Some(param),
        ..words
    }
}

fn fields(errors: Cow<'_, [FieldError]>) -> Words<'_> {
    let detail = match errors.len() {
        1 => {
            let end = if errors[0].detail.ends_with('?') {
                ""
            } else {
                "."
            };
            format!("{} {}{end}", errors[0].param, errors[0].detail)
        }
        count => format!("{count} fields are not what they must be; see errors."),
    };
    Words {
        errors,
        ..plain(&VALIDATION_FAILED, "validation_failed", detail)
    }
}

fn words(failure: &Failure) -> Words<'_> {
    match failure {
        Failure::InvalidHost(error) => {
            let detail = format!("The Host header {error}.");
            about("Host", plain(&INVALID_REQUEST, "invalid_host", detail))
        }
        Failure::MissingToken => plain(
            &AUTHENTICATION_FAILED,
            "missing_token",
            "Send an API key as \u{201c}Authorization: Bearer YOUR_KEY\u{201d}.",
        ),
        Failure::InvalidToken => plain(
            &AUTHENTICATION_FAILED,
            "invalid_token",
            "The API key is not one that this server knows.",
        ),
        Failure::RateLimited {
            retry_after_seconds,
        } => plain(
            &RATE_LIMIT_EXCEEDED,
            "rate_limit_exceeded",
            format!("Too many requests; try again in {retry_after_seconds} s."),
        ),
        Failure::RouteNotFound => plain(
            &NOT_FOUND,
            "route_not_found",
            "There is nothing at this path.",
        ),
        Failure::MethodNotAllowed => plain(
            &METHOD_NOT_ALLOWED,
            "method_not_allowed",
            "This path does not have this method; the Allow header lists those that it has.",
        ),
        Failure::InvalidIdempotencyKey(error) => about(
            "Idempotency-Key",
            plain(
                &INVALID_REQUEST,
                "invalid_idempotency_key",
                format!("The Idempotency-Key header {error}."),
            ),
        ),
        Failure::BodyTooLarge { limit } => plain(
            &INVALID_REQUEST,
            "body_too_large",
            format!("The body is longer than {limit} bytes."),
        ),
        Failure::BodyTimeout => plain(
            &REQUEST_TIMEOUT,
            "body_timeout",
            "The body did not come to its end in time.",
        ),
        Failure::BodyUnreadable => plain(
            &INVALID_REQUEST,
            "malformed_json",
            "The body broke off before its end.",
        ),
        Failure::UnsupportedContentType => about(
            "Content-Type",
            plain(
                &INVALID_REQUEST,
                "unsupported_content_type",
                "Send the body with the header \u{201c}Content-Type: application/json\u{201d} (curl does with --json).",
            ),
        ),
        Failure::MalformedJson(place) => plain(
            &INVALID_REQUEST,
            "malformed_json",
            format!("The body is {place}."),
        ),
        Failure::NotAnObject => plain(
            &INVALID_REQUEST,
            "not_an_object",
            "The body must be a JSON object.",
        ),
        Failure::InvalidFields(errors) => fields(Cow::Borrowed(errors)),
        Failure::Service(error) => service_words(error),
        Failure::Panicked => internal(),
    }
}

fn service_words(error: &Error) -> Words<'_> {
    match error {
        Error::EndpointNotFound => about(
            "webhook_endpoint_id",
            plain(
                &NOT_FOUND,
                "webhook_endpoint_not_found",
                "There is no webhook endpoint with this id.",
            ),
        ),
        Error::DeliveryNotFound => about(
            "delivery_id",
            plain(
                &NOT_FOUND,
                "delivery_not_found",
                "There is no delivery with this id.",
            ),
        ),
        Error::EventIdReused => about(
            "id",
            plain(
                &UNPROCESSABLE,
                "event_id_reused",
                "This event id was used for another event; send a new one.",
            ),
        ),
        Error::EndpointDisabled => plain(
            &UNPROCESSABLE,
            "endpoint_disabled",
            "The endpoint is disabled; enable it first.",
        ),
        Error::SigningDisabled => plain(
            &UNPROCESSABLE,
            "signing_disabled",
            "Signing is not enabled for this endpoint, so it has no secret.",
        ),
        Error::TooManyLiveSecrets { next_expires_at } => plain(
            &UNPROCESSABLE,
            "too_many_live_secrets",
            format!(
                "Ten secrets are live; the next one expires at {next_expires_at}. Rotate then, rotate with \
                 expire_current_in 0, or revoke the previous ones."
            ),
        ),
        Error::IdempotencyKeyReused => about(
            "Idempotency-Key",
            plain(
                &UNPROCESSABLE,
                "idempotency_key_reused",
                "This Idempotency-Key was used for another request; send a new one.",
            ),
        ),
        Error::QuotaExceeded(exceeded) => plain(
            &UNPROCESSABLE,
            "quota_exceeded",
            quota::explain(exceeded, "endpoints"),
        ),
        Error::InvalidCursor => fields(Cow::Owned(vec![FieldError {
            param: "starting_after".to_owned(),
            code: FieldCode::InvalidCursor,
            detail: CURSOR_DETAIL.to_owned(),
        }])),
        // No request of this dialect has a name. This is what the error would mean if one had.
        Error::NameTaken => fields(Cow::Owned(vec![FieldError {
            param: "name".to_owned(),
            code: FieldCode::InvalidFormat,
            detail: "is the name of another endpoint".to_owned(),
        }])),
        Error::Internal(_) => internal(),
    }
}

fn internal() -> Words<'static> {
    plain(
        &INTERNAL,
        "internal_error",
        "The server failed to serve this request.",
    )
}
