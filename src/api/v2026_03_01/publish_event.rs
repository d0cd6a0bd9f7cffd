//! `POST /events`

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;

use crate::api::failure::{Failure, FieldCode};
use crate::api::json::Object;
use crate::api::submission::{MAX_EVENT_BODY, Submission, answer, respond};
use crate::api::{App, Traced};
use crate::domain::event::is_event_type;
use crate::domain::{EventId, Timestamp};
use crate::service::events::NewEvent;
use crate::store::Published;

/// The event to publish.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes the body for the OpenAPI document")]
pub struct PublishEvent {
    /// The type: words of letters, digits and underscores, joined by dots.
    #[schema(
        rename = "type",
        pattern = "^[A-Za-z0-9_]+(\\.[A-Za-z0-9_]+)*$",
        max_length = 128,
        example = "call.started"
    )]
    r#type: String,
    #[schema(schema_with = any_object)]
    data: (),
    /// An id of the caller's choice, to make the event safe to publish again; generated when it is not
    /// sent.
    #[schema(
        pattern = "^[A-Za-z0-9_-]{1,64}$",
        nullable = false,
        example = "call-c_1-started"
    )]
    id: Option<String>,
}

fn any_object() -> utoipa::openapi::schema::Object {
    utoipa::openapi::ObjectBuilder::new()
        .description(Some("What happened: any JSON object."))
        .examples([serde_json::json!({ "call_id": "c_1" })])
        .build()
}

/// An event that was accepted.
#[derive(Serialize, ToSchema)]
pub struct AcceptedEvent {
    /// Its id: `webhook-id` on each delivery.
    #[schema(value_type = String, pattern = "^[A-Za-z0-9_-]{1,64}$", example = "evt_550e8400e29b41d4a716446655440000")]
    id: EventId,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = String, example = "call.started")]
    event_type: Box<str>,
    /// When it was accepted.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    created_at: Timestamp,
    /// To how many endpoints it goes.
    #[schema(minimum = 0)]
    deliveries: usize,
}

/// Publish an event
///
/// Stores the event and a delivery to each active endpoint that subscribes to its type, each in that
/// endpoint's format. When this answers, the event is stored. The same event under the same `id` is
/// answered again and not sent again; another one is refused with `event_id_reused`. For this, white space,
/// the order of members and escapes in strings make no difference, and numbers are compared as they are
/// written.
#[utoipa::path(
    post, path = "/events", operation_id = "publishEvent", tag = "Events",
    request_body = PublishEvent,
    responses((status = 202, description = "The event is stored and on its way.", body = AcceptedEvent)),
)]
pub(super) async fn publish_event(
    State(app): State<App>,
    Traced(trace_id): Traced,
    submission: Submission<MAX_EVENT_BODY>,
) -> Result<Response, Failure> {
    let mut object = submission.body.object()?;
    let event_type = read_type(&mut object);
    let data = object.object("data");
    if data.is_none() {
        object.missing("data");
    }
    let id = read_id(&mut object);
    object.finish()?;
    let event = NewEvent {
        id,
        event_type: event_type.unwrap_or_default(),
        data: data.unwrap_or_default().into(),
        trace_id,
    };

    let render = |published: &Published| {
        let body = AcceptedEvent {
            id: published.event.id.clone(),
            event_type: published.event.event_type.clone(),
            created_at: published.event.created_at,
            deliveries: published.deliveries,
        };
        answer(StatusCode::ACCEPTED, &body)
    };
    let published = app.service().publish(submission.caller, event, render);
    Ok(respond(published.await?))
}

fn read_type(object: &mut Object<'_>) -> Option<Box<str>> {
    let Some(text) = object.string("type") else {
        object.missing("type");
        return None;
    };
    if !is_event_type(&text) {
        let detail = "must be words of letters, digits and underscores joined by dots, at most 128 characters";
        object.fail("type", FieldCode::InvalidFormat, detail);
    }
    Some(text.into())
}

fn read_id(object: &mut Object<'_>) -> Option<EventId> {
    let text = object.string("id")?;
    let id = text.parse().ok();
    if id.is_none() {
        let detail = "must be 1 to 64 letters, digits, underscores and dashes";
        object.fail("id", FieldCode::InvalidFormat, detail);
    }
    id
}
