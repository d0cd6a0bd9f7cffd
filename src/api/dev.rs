//! `/dev`: the test clock. These routes exist with `--dev` only.

use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::response::Response;
use axum::routing::{get, post};
use serde::Serialize;
use utoipa::ToSchema;

use super::App;
use super::failure::{Failure, FieldCode, FieldError};
use super::submission::{JsonBody, json};
use crate::clock::MAX_ADVANCE_SECONDS;
use crate::domain::Timestamp;
use crate::service::clock::AdvanceError;

/// The routes of the test clock.
pub fn routes() -> Router<App> {
    Router::new()
        .route("/dev/clock", get(read_clock))
        .route("/dev/clock/advance", post(advance_clock))
}

/// The server's time.
#[derive(Serialize, ToSchema)]
pub struct DevClock {
    /// What the server's one clock says.
    #[schema(value_type = String, format = DateTime, example = "2026-06-12T10:15:00.000Z")]
    now: Timestamp,
}

/// How far to move the clock.
#[derive(ToSchema)]
pub struct AdvanceClock {
    /// Whole seconds to move ahead, 100 years at most in all.
    #[schema(minimum = 0, maximum = 3_162_240_000_i64, example = 259_200)]
    #[expect(dead_code, reason = "describes the body for the OpenAPI document")]
    seconds: u64,
}

/// Read the test clock
///
/// Only with `--dev`.
#[utoipa::path(
    get, path = "/dev/clock", operation_id = "readClock", tag = "Test clock",
    responses((status = 200, description = "The server's time.", body = DevClock)),
)]
pub(super) async fn read_clock(State(app): State<App>) -> Response {
    let now = app.service().now();
    json(&DevClock { now })
}

/// Advance the test clock
///
/// Only with `--dev`. Moves everything that the server decides by time: graces, idempotency records
/// and retries. The clock goes on running from there and cannot be moved back; a durable store keeps
/// what it was advanced by across restarts. An `Idempotency-Key` is not read here.
#[utoipa::path(
    post, path = "/dev/clock/advance", operation_id = "advanceClock", tag = "Test clock",
    request_body = AdvanceClock,
    responses((status = 200, description = "The server's new time.", body = DevClock)),
)]
pub(super) async fn advance_clock(
    State(app): State<App>,
    body: JsonBody,
) -> Result<Response, Failure> {
    let range = 0..=i64::try_from(MAX_ADVANCE_SECONDS).unwrap_or(i64::MAX);
    let mut object = body.object()?;
    let seconds = object.integer("seconds", &range);
    if seconds.is_none() {
        object.missing("seconds");
    }
    object.finish()?;

    let clock = app.test_clock().ok_or(Failure::RouteNotFound)?;
    let by = Duration::from_secs(seconds.unwrap_or_default().unsigned_abs());
    match app.service().advance_clock(clock, by).await {
        Ok(now) => Ok(json(&DevClock { now })),
        Err(AdvanceError::Service(error)) => Err(error.into()),
        Err(AdvanceError::TooFar(error)) => Err(Failure::InvalidFields(vec![FieldError {
            param: "seconds".to_owned(),
            code: FieldCode::OutOfRange,
            detail: error.to_string(),
        }])),
    }
}
