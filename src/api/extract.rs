//! Extracts what handlers need besides body and query: the tenant, the trace and the id in the
//! path.

use std::str::FromStr;

use axum::extract::{FromRequestParts, Path};
use axum::http::Extensions;
use axum::http::request::Parts;

use super::body_room::BodyRoom;
use super::failure::Failure;
use crate::domain::{DeliveryId, EndpointId, TenantId, TraceId};
use crate::service::Error;

/// What the middleware learned about a request to a protected path. It is an extension of the
/// request.
#[derive(Clone)]
pub(super) struct RequestContext {
    /// The tenant whose key the request carries.
    pub tenant: TenantId,
    /// The trace that the request is part of.
    pub trace_id: TraceId,
    /// The room for the bodies of the tenant.
    pub bodies: BodyRoom,
}

impl RequestContext {
    /// Returns the context from the extensions of a request.
    ///
    /// # Errors
    ///
    /// Returns [`Failure::MissingToken`] when there is none. Every route that asks for a tenant is
    /// under a protected prefix, where the middleware adds the context. If a route were left out
    /// there, this refuses the request instead of guessing a tenant.
    pub(super) fn of(extensions: &Extensions) -> Result<&Self, Failure> {
        extensions.get().ok_or(Failure::MissingToken)
    }
}

/// The tenant whose key the request carries.
pub struct Authenticated(pub TenantId);

/// The trace that a request to a protected path is part of.
pub struct Traced(pub TraceId);

impl<S: Sync> FromRequestParts<S> for Authenticated {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        let context = RequestContext::of(&parts.extensions)?;
        Ok(Self(context.tenant.clone()))
    }
}

impl<S: Sync> FromRequestParts<S> for Traced {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Failure> {
        Ok(Self(RequestContext::of(&parts.extensions)?.trace_id))
    }
}

/// The id in a path.
///
/// A text that is not a valid id names no record. The caller learns so only when the record is
/// looked up, after all that is wrong with the request itself.
pub struct IdPath<Id>(Option<Id>);

/// The id of an endpoint or subscription in a path.
pub type EndpointPath = IdPath<EndpointId>;

/// The id of a delivery in a path.
pub type DeliveryPath = IdPath<DeliveryId>;

impl IdPath<EndpointId> {
    pub(super) fn id(&self) -> Result<EndpointId, Failure> {
        self.0.ok_or(Failure::Service(Error::EndpointNotFound))
    }
}

impl IdPath<DeliveryId> {
    pub(super) fn id(&self) -> Result<DeliveryId, Failure> {
        self.0.ok_or(Failure::Service(Error::DeliveryNotFound))
    }
}

impl<Id: FromStr, S: Sync + Send> FromRequestParts<S> for IdPath<Id> {
    type Rejection = Failure;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Failure> {
        let text = Path::<String>::from_request_parts(parts, state).await;
        Ok(Self(text.ok().and_then(|Path(text)| text.parse().ok())))
    }
}
