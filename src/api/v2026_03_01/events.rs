//! Publishes events.

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;
use utoipa_axum::routes;

use crate::api::app::App;
use crate::api::body::{ChangeRequest, MAX_EVENT_BODY};
use crate::api::example;
use crate::api::extract::Traced;
use crate::api::failure::Failure;
use crate::api::fields::{AnyObject, Parsed, fields};
use crate::api::openapi::{Answers, Operations};
use crate::api::respond::{answer, respond};
use crate::domain::event::{MAX_PATTERN_LENGTH, is_event_type};
use crate::domain::id::MAX_EVENT_ID;
use crate::domain::{EventHead, EventId, Timestamp};
use crate::service::Error;
use crate::service::events::NewEvent;
use crate::store::Published;

/// Returns the operations on events.
pub fn operations() -> Operations {
    Operations::default().with(routes!(publish_event), || {
        let failures = vec![
            PublishEvent::refusal(r#"{"data":{}}"#),
            Error::EventIdReused.into(),
            Error::QuotaExceeded(example::TOO_MANY_PENDING).into(),
        ];
        Answers {
            max_body: MAX_EVENT_BODY,
            ..Answers::new(&AcceptedEvent::new(&example::event(), 1), failures)
        }
    })
}

/// The rule for the type of an event.
const TYPE: Parsed<Box<str>> = Parsed {
    pattern: || r"^[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*$".to_owned(),
    max: Some(MAX_PATTERN_LENGTH),
    detail: || {
        format!(
            "must be words of letters, digits and underscores joined by dots, at most {MAX_PATTERN_LENGTH} characters"
        )
    },
    parse: |text| is_event_type(text).then(|| text.into()),
};

/// The rule for the id of an event.
const ID: Parsed<EventId> = Parsed {
    pattern: || format!("^[A-Za-z0-9_-]{{1,{MAX_EVENT_ID}}}$"),
    max: None,
    detail: || format!("must be 1 to {MAX_EVENT_ID} letters, digits, underscores and dashes"),
    parse: |text| text.parse().ok(),
};

fields! {
    /// The event to publish.
    pub struct PublishEvent from Object {
        /// The type: words of letters, digits and underscores, joined by dots.
        event_type as "type": Box<str> = required(TYPE), example example::EVENT_TYPE;
        /// What happened: any JSON object.
        data: Box<str> = required(AnyObject), example json!({ "call_id": "c_1" });
        /// An id that the caller chooses, which makes it safe to publish the event again. It is
        /// generated when it is not sent.
        id: Option<EventId> = optional(ID), example example::EVENT_ID;
    }
}

/// An event that was accepted.
#[derive(Serialize, ToSchema)]
pub struct AcceptedEvent {
    /// Its id: `webhook-id` on each delivery.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$", example = "call-c_1-started")]
    id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "call.started")]
    event_type: Box<str>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:20:00.000Z")]
    created_at: Timestamp,
    /// The number of endpoints that it is sent to.
    #[schema(minimum = 0, example = 1)]
    deliveries: usize,
}

impl AcceptedEvent {
    fn new(event: &EventHead, deliveries: usize) -> Self {
        Self {
            id: event.id.clone(),
            event_type: event.event_type.clone(),
            created_at: event.created_at,
            deliveries,
        }
    }
}

/// Publish an event
///
/// Stores the event and a delivery to each active endpoint that subscribes to its type, in the
/// format of that endpoint. When the server answers, the event is stored. The same event under the
/// same `id` gets the same answer and is not sent again; another event under that `id` is refused
/// with `event_id_reused`. In this comparison, white space, the order of members and escapes in
/// strings make no difference, and numbers are compared as they are written.
#[utoipa::path(
    post, path = "/events", operation_id = "publishEvent", tag = "Events",
    request_body = PublishEvent,
    responses((status = 202, description = "The event is stored and on its way.", body = AcceptedEvent)),
)]
async fn publish_event(
    State(app): State<App>,
    Traced(trace_id): Traced,
    ChangeRequest { caller, body }: ChangeRequest<MAX_EVENT_BODY>,
) -> Result<Response, Failure> {
    let request = PublishEvent::read(body.object()?)?;
    let event = NewEvent {
        id: request.id,
        event_type: request.event_type,
        data: request.data,
        trace_id,
    };

    let render = |published: &Published| {
        let body = AcceptedEvent::new(&published.event, published.deliveries);
        answer(StatusCode::ACCEPTED, &body)
    };
    let published = app.service().publish(caller, event, render);
    Ok(respond(published.await?))
}
