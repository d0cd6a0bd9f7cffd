//! Renders every failure as an error body of Verbex v1.

use std::borrow::Cow;
use std::collections::BTreeMap;

use axum::http::StatusCode;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::failure::{Failure, Rendered};
use crate::api::quota;
use crate::domain::{Timestamp, TraceId};
use crate::service::Error;

/// The body of a 401: the request carries no valid key.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebhookAuthErrorResponse {
    /// Always `Authentication`.
    #[schema(value_type = String, example = "Authentication")]
    error: &'static str,
    /// Always `Authentication failed`.
    #[schema(value_type = String, example = "Authentication failed")]
    message: &'static str,
    /// The trace id of the request, which is also in the server's log.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    trace_id: String,
}

/// Every other error.
#[derive(Serialize, ToSchema)]
pub struct WebhookErrorResponse<'a> {
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599, example = 400)]
    status: u16,
    /// The kind of error, for programs.
    #[serde(rename = "type")]
    kind: ErrorType,
    /// What went wrong, for people.
    #[schema(value_type = String)]
    message: Cow<'a, str>,
    /// Details, if there are any.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    details: Option<ErrorDetails<'a>>,
    /// When it happened, by the server's clock.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    timestamp: Timestamp,
    /// The path of the request.
    path: &'a str,
    /// The trace id of the request, which is also in the server's log.
    #[schema(pattern = "^[0-9a-f]{32}$")]
    trace_id: String,
}

/// The kinds of errors.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ErrorType {
    /// 400: the request is invalid.
    ValidationError,
    /// 404: no such path or subscription.
    NotFound,
    /// 405: the path exists, but not with this method.
    MethodNotAllowed,
    /// 408: the body did not arrive in time.
    RequestTimeout,
    /// 409: the state of the subscription does not allow the request.
    Conflict,
    /// 429: too many requests.
    RateLimited,
    /// 500: the server failed.
    InternalServerError,
}

impl ErrorType {
    const fn status(self) -> StatusCode {
        match self {
            Self::ValidationError => StatusCode::BAD_REQUEST,
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::RequestTimeout => StatusCode::REQUEST_TIMEOUT,
            Self::Conflict => StatusCode::CONFLICT,
            Self::RateLimited => StatusCode::TOO_MANY_REQUESTS,
            Self::InternalServerError => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }
}

/// Details of an error.
#[derive(Default, Serialize, ToSchema)]
pub struct ErrorDetails<'a> {
    /// The fields that are wrong, each with what would be valid.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schema(value_type = BTreeMap<String, String>, required = false)]
    fields: BTreeMap<&'a str, Cow<'a, str>>,
    /// The reason of a conflict, for programs.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, nullable = false)]
    reason: Option<&'static str>,
    /// When the next live secret expires, if there are too many.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<String>, format = DateTime, nullable = false)]
    next_expires_at: Option<Timestamp>,
}

/// Renders `failure` of a request to `path`.
#[must_use]
pub fn render(failure: &Failure, path: &str, trace_id: TraceId, now: Timestamp) -> Rendered {
    let Some(words) = words(failure) else {
        let body = WebhookAuthErrorResponse {
            error: "Authentication",
            message: "Authentication failed",
            trace_id: trace_id.to_string(),
        };
        return rendered(StatusCode::UNAUTHORIZED, &body);
    };
    let body = WebhookErrorResponse {
        status: words.kind.status().as_u16(),
        kind: words.kind,
        message: words.message,
        details: words.details,
        timestamp: now,
        path,
        trace_id: trace_id.to_string(),
    };
    rendered(words.kind.status(), &body)
}

fn rendered(status: StatusCode, body: &impl Serialize) -> Rendered {
    Rendered {
        status,
        content_type: "application/json",
        // Structs of strings and numbers: serializing them cannot fail.
        body: serde_json::to_vec(body).unwrap_or_default(),
    }
}

struct Words<'a> {
    kind: ErrorType,
    message: Cow<'a, str>,
    details: Option<ErrorDetails<'a>>,
}

fn plain(kind: ErrorType, message: &'static str) -> Words<'static> {
    Words {
        kind,
        message: Cow::Borrowed(message),
        details: None,
    }
}

fn field<'a>(name: &'a str, message: impl Into<Cow<'a, str>>) -> Words<'a> {
    Words {
        details: Some(ErrorDetails {
            fields: BTreeMap::from([(name, message.into())]),
            ..ErrorDetails::default()
        }),
        ..plain(ErrorType::ValidationError, "Validation failed")
    }
}

fn conflict(reason: &'static str, message: impl Into<Cow<'static, str>>) -> Words<'static> {
    Words {
        kind: ErrorType::Conflict,
        message: message.into(),
        details: Some(ErrorDetails {
            reason: Some(reason),
            ..ErrorDetails::default()
        }),
    }
}

/// Words a failure; `None` for 401, which has a body of its own.
fn words(failure: &Failure) -> Option<Words<'_>> {
    Some(match failure {
        Failure::MissingToken | Failure::InvalidToken => return None,
        Failure::InvalidHost(error) => field("Host", error.to_string()),
        Failure::RateLimited { .. } => plain(ErrorType::RateLimited, "Too many requests"),
        Failure::RouteNotFound => plain(ErrorType::NotFound, "There is nothing at this path"),
        Failure::MethodNotAllowed => plain(
            ErrorType::MethodNotAllowed,
            "This path does not have this method; the Allow header lists those that it has",
        ),
        Failure::InvalidIdempotencyKey(error) => field("Idempotency-Key", error.to_string()),
        Failure::BodyTooLarge { limit } => field("body", format!("must be at most {limit} bytes")),
        Failure::BodyTimeout => plain(
            ErrorType::RequestTimeout,
            "The body did not come to its end in time",
        ),
        Failure::BodyUnreadable => field("body", "broke off before its end"),
        Failure::UnsupportedContentType => field(
            "Content-Type",
            "must be application/json (curl sends it with --json)",
        ),
        Failure::MalformedJson(place) => field("body", format!("is {place}")),
        Failure::NotAnObject => field("body", "must be a JSON object"),
        Failure::InvalidFields(errors) => Words {
            details: Some(ErrorDetails {
                fields: errors
                    .iter()
                    .map(|error| (error.param.as_str(), Cow::Borrowed(error.detail.as_str())))
                    .collect(),
                ..ErrorDetails::default()
            }),
            ..plain(ErrorType::ValidationError, "Validation failed")
        },
        Failure::Service(error) => service_words(error),
        Failure::Panicked => internal(),
    })
}

fn service_words(error: &Error) -> Words<'_> {
    match error {
        Error::EndpointNotFound => plain(
            ErrorType::NotFound,
            "No subscription exists for the given id",
        ),
        Error::SigningDisabled => conflict(
            "signing_not_enabled",
            "Signing is not enabled for this subscription, so it has no secret to rotate",
        ),
        Error::TooManyLiveSecrets { next_expires_at } => {
            let message =
                format!("Ten secrets are live; the next one expires at {next_expires_at}");
            let mut words = conflict("too_many_live_secrets", message);
            if let Some(details) = &mut words.details {
                details.next_expires_at = Some(*next_expires_at);
            }
            words
        }
        Error::QuotaExceeded(exceeded) => {
            conflict("quota_exceeded", quota::explain(exceeded, "subscriptions"))
        }
        // No request of this dialect causes these. This is what they would mean if one did.
        Error::DeliveryNotFound => {
            plain(ErrorType::NotFound, "No delivery exists for the given id")
        }
        Error::EventIdReused => conflict("event_id_reused", "The id was used for another event"),
        Error::EndpointDisabled => conflict("endpoint_disabled", "The subscription is not active"),
        Error::NameTaken => conflict("name_taken", "Another subscription has this name"),
        Error::IdempotencyKeyReused => field(
            "Idempotency-Key",
            "was used for another request; send a new one",
        ),
        // No list of this dialect has a cursor. This is what the error would mean if one had.
        Error::InvalidCursor => field("starting_after", "must be the id of a subscription"),
        Error::Internal(_) => internal(),
    }
}

fn internal() -> Words<'static> {
    plain(ErrorType::InternalServerError, "Internal server error")
}
