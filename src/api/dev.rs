//! The test clock at `/dev`. These routes exist only with `--dev`.

use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::app::App;
use super::body::JsonBody;
use super::example;
use super::failure::{Failure, FieldCode, FieldError};
use super::fields::{Integer, fields};
use super::openapi::{Answers, Operations};
use super::respond::json;
use crate::clock::MAX_ADVANCE_SECONDS;
use crate::domain::Timestamp;
use crate::service::clock::AdvanceError;

/// The operations on the test clock.
pub fn operations() -> Operations {
    Operations::default()
        .with(routes!(read_clock), || {
            let now = example::now();
            Answers::new(&DevClock { now }, Vec::new())
        })
        .with(routes!(advance_clock), || {
            let now = example::now().plus(Duration::from_secs(EXAMPLE_SECONDS));
            Answers::new(&DevClock { now }, vec![AdvanceClock::refusal("{}")])
        })
}

/// Three days, in seconds.
const EXAMPLE_SECONDS: u64 = 259_200;

/// The server's time.
#[derive(Serialize, ToSchema)]
pub struct DevClock {
    /// What the server's clock shows.
    #[schema(value_type = String, format = DateTime, example = "2026-06-12T10:15:00.000Z")]
    now: Timestamp,
}

fields! {
    /// How far to advance the clock.
    pub struct AdvanceClock from Object {
        /// Whole seconds to advance by; 100 years at most in total.
        seconds: u64 = required(Integer { min: 0, max: MAX_ADVANCE_SECONDS }), example EXAMPLE_SECONDS;
    }
}

/// Read the test clock
///
/// Only with `--dev`.
#[utoipa::path(
    get, path = "/dev/clock", operation_id = "readClock", tag = "Test clock",
    responses((status = 200, description = "The server's time.", body = DevClock)),
)]
async fn read_clock(State(app): State<App>) -> Response {
    let now = app.service().now();
    json(&DevClock { now })
}

/// Advance the test clock
///
/// Only with `--dev`. Affects everything that the server decides by time: grace periods,
/// idempotency records and retries. The clock continues from there and cannot be moved back; a
/// durable store keeps the total advance across restarts. An `Idempotency-Key` is ignored here.
#[utoipa::path(
    post, path = "/dev/clock/advance", operation_id = "advanceClock", tag = "Test clock",
    request_body = AdvanceClock,
    responses((status = 200, description = "The server's new time.", body = DevClock)),
)]
async fn advance_clock(State(app): State<App>, body: JsonBody) -> Result<Response, Failure> {
    let request = AdvanceClock::read(body.object()?)?;

    let clock = app.test_clock().ok_or(Failure::RouteNotFound)?;
    let by = Duration::from_secs(request.seconds);
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
