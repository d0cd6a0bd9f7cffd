//! Reads the requests that change something: their idempotency key and their body.
//!
//! Every `POST`, `PUT` and `PATCH` is checked in the same order, which is part of the API's
//! contract: the form of the key, the size of the body, **whether the key already has an answer**,
//! and only then the type and content of the body. So a repeated request gets its first answer,
//! even if the server has become stricter since.

use std::time::Duration;

use axum::body::{Body, Bytes, HttpBody as _};
use axum::extract::{FromRequest, Request};
use axum::http::header::{CONTENT_LENGTH, CONTENT_TYPE, EXPECT};
use axum::http::{HeaderMap, HeaderValue};
use axum::response::{IntoResponse, Response};
use bytes::BytesMut;
use http_body_util::{BodyExt as _, Limited};

use super::app::App;
use super::body_room::{BodyRoom, RoomOfBody};
use super::extract::RequestContext;
use super::failure::Failure;
use super::json::Object;
use super::respond::respond;
use crate::domain::TenantId;
use crate::idempotency::{Answer, IdempotencyKey, KeyUse, RequestFingerprint};
use crate::service::{Caller, Error};
use crate::store::Committed;

/// The longest request body, in bytes: 64 KiB.
pub const MAX_BODY: usize = 64 * 1024;

/// The longest request body for an event, in bytes: 256 KiB.
pub const MAX_EVENT_BODY: usize = 256 * 1024;

/// How long a request body may take to arrive completely.
pub const BODY_TIMEOUT: Duration = Duration::from_secs(20);

/// How much of the rest of a too long body is read and discarded, in bytes, and for how long.
/// Closing the connection while the client is still sending resets it, and the client sees the
/// reset instead of the answer.
const MAX_DISCARDED: usize = 1024 * 1024;
const DISCARD_TIMEOUT: Duration = Duration::from_secs(1);

/// The two headers that may carry an idempotency key: the standard one, and one that some client
/// libraries send.
const KEY_HEADERS: [&str; 2] = ["idempotency-key", "x-idempotency-key"];

/// A request body, read completely.
pub struct JsonBody {
    bytes: Bytes,
    is_json: bool,
    _room: RoomOfBody,
}

impl JsonBody {
    /// Parses the body as an object. An empty body counts as an object without fields.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::UnsupportedContentType`], [`Failure::MalformedJson`] or
    /// [`Failure::NotAnObject`].
    pub fn object(&self) -> Result<Object<'_>, Failure> {
        if !self.bytes.is_empty() && !self.is_json {
            return Err(Failure::UnsupportedContentType);
        }
        Object::parse(&self.bytes)
    }
}

impl FromRequest<App> for JsonBody {
    type Rejection = Failure;

    async fn from_request(request: Request, app: &App) -> Result<Self, Failure> {
        let (parts, body) = request.into_parts();
        let room = RequestContext::of(&parts.extensions)?.bodies.clone();
        Self::read(&parts.headers, body, &room, (app.body_timeout(), MAX_BODY)).await
    }
}

/// A request that changes something, with a body of at most `LIMIT` bytes.
///
/// The body is part of what the idempotency key stands for.
///
/// As an extractor, it rejects with the failure, or with the stored answer of the key.
pub struct ChangeRequest<const LIMIT: usize = MAX_BODY> {
    /// The tenant and the idempotency key.
    pub caller: Caller,
    /// The body.
    pub body: JsonBody,
}

impl<const LIMIT: usize> FromRequest<App> for ChangeRequest<LIMIT> {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (caller, body) = read(request, app, true, LIMIT).await?;
        Ok(Self { caller, body })
    }
}

/// A request that changes something and whose body is ignored.
///
/// The body may be anything, and is not part of what the idempotency key stands for.
pub struct BodilessChangeRequest(pub Caller);

impl FromRequest<App> for BodilessChangeRequest {
    type Rejection = Response;

    async fn from_request(request: Request, app: &App) -> Result<Self, Response> {
        let (caller, _) = read(request, app, false, MAX_BODY).await?;
        Ok(Self(caller))
    }
}

async fn read(
    request: Request,
    app: &App,
    body_counts: bool,
    limit: usize,
) -> Result<(Caller, JsonBody), Response> {
    let fail = IntoResponse::into_response;
    let (parts, body) = request.into_parts();
    let context = RequestContext::of(&parts.extensions).map_err(fail)?;
    let tenant = context.tenant.clone();
    let key = idempotency_key(&parts.headers).map_err(fail)?;
    let limits = (app.body_timeout(), limit);
    let body = JsonBody::read(&parts.headers, body, &context.bodies, limits);
    let body = body.await.map_err(fail)?;

    let key_use = key.map(|key| {
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        let counted: &[u8] = if body_counts { &body.bytes } else { &[] };
        KeyUse {
            fingerprint: RequestFingerprint::of(parts.method.as_str(), path, counted),
            key,
        }
    });
    if let Some(key_use) = &key_use
        && let Some(answer) = remembered(app, &tenant, key_use).await.map_err(fail)?
    {
        return Err(respond(Committed::replay(answer)));
    }
    Ok((Caller { tenant, key_use }, body))
}

async fn remembered(
    app: &App,
    tenant: &TenantId,
    key_use: &KeyUse,
) -> Result<Option<Answer>, Failure> {
    let record = app.service().store().record(tenant, &key_use.key).await;
    let Some(record) = record.map_err(Error::from)? else {
        return Ok(None);
    };
    let answer = record.replay(key_use);
    Ok(Some(answer.map_err(|_| Error::IdempotencyKeyReused)?))
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<IdempotencyKey>, Failure> {
    let values = KEY_HEADERS.iter().flat_map(|name| headers.get_all(*name));
    IdempotencyKey::parse_all(values.map(HeaderValue::as_bytes))
        .map_err(Failure::InvalidIdempotencyKey)
}

impl JsonBody {
    async fn read(
        headers: &HeaderMap,
        mut body: Body,
        room: &BodyRoom,
        (timeout, limit): (Duration, usize),
    ) -> Result<Self, Failure> {
        let announced = headers
            .get(CONTENT_LENGTH)
            .and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
        if announced.is_some_and(|length| length > limit as u64) {
            discard_unasked(headers, body).await;
            return Err(Failure::BodyTooLarge { limit });
        }
        let read = async {
            let most = announced.map_or(limit, |length| {
                usize::try_from(length).unwrap_or(limit).min(limit)
            });
            let is_empty = body.is_end_stream();
            let room = if is_empty {
                None
            } else {
                room.take(most).await
            };
            whole(&mut body, limit).await.map(|bytes| (bytes, room))
        };
        let (bytes, room) = match tokio::time::timeout(timeout, read).await {
            Err(_) => return Err(Failure::BodyTimeout),
            Ok(Err(too_large @ Failure::BodyTooLarge { .. })) => {
                discard(body).await;
                return Err(too_large);
            }
            Ok(read) => read?,
        };
        Ok(Self {
            bytes,
            is_json: is_json(headers),
            _room: room,
        })
    }
}

/// Reads the body into one buffer.
///
/// The pieces are copied together as they arrive: kept apart, a body that is sent one byte at a
/// time would take forty times its size.
async fn whole(body: &mut Body, limit: usize) -> Result<Bytes, Failure> {
    let mut whole = BytesMut::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|_| Failure::BodyUnreadable)?;
        // A frame without data holds trailers, which mean nothing here.
        let Some(data) = frame.data_ref() else {
            continue;
        };
        if whole.len() + data.len() > limit {
            return Err(Failure::BodyTooLarge { limit });
        }
        whole.extend_from_slice(data);
    }
    Ok(whole.freeze())
}

/// Reads and discards a body that no handler reads, within the limits of [`discard`].
///
/// Closing a connection while the client is still sending resets it, and the client would not see
/// the answer.
pub(super) async fn discard_unasked(headers: &HeaderMap, body: Body) {
    // A client that asked first whether to send (RFC 9110, section 10.1.1) has not begun.
    if !body.is_end_stream() && !headers.contains_key(EXPECT) {
        discard(body).await;
    }
}

/// Reads and discards the rest of a body: at most [`MAX_DISCARDED`] bytes, for at most
/// [`DISCARD_TIMEOUT`].
async fn discard(body: Body) {
    let mut body = Limited::new(body, MAX_DISCARDED);
    let rest = async { while let Some(Ok(_)) = body.frame().await {} };
    // A client that takes longer or sends more is cut off.
    let _ = tokio::time::timeout(DISCARD_TIMEOUT, rest).await;
}

/// Returns whether the body is declared as JSON, with any parameters, or has no declared type.
fn is_json(headers: &HeaderMap) -> bool {
    headers.get_all(CONTENT_TYPE).iter().all(|value| {
        let essence = value.as_bytes().split(|byte| *byte == b';').next();
        essence
            .unwrap_or_default()
            .trim_ascii()
            .eq_ignore_ascii_case(b"application/json")
    })
}
