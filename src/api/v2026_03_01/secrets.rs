//! Rotates, lists and revokes signing secrets.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::Response;
use serde::Serialize;
use utoipa::ToSchema;
use utoipa_axum::routes;

use super::no_fields::NoFields;
use crate::api::app::App;
use crate::api::body::ChangeRequest;
use crate::api::example;
use crate::api::extract::{Authenticated, EndpointPath};
use crate::api::failure::Failure;
use crate::api::fields::{Integer, fields};
use crate::api::openapi::{Answers, Operations, also_at};
use crate::api::respond::{answer, json, respond};
use crate::api::secret_text::SecretText;
use crate::domain::{EndpointId, Fingerprint, Rotation, Timestamp};
use crate::service::Error;
use crate::service::rotation::SecretInfo;

/// Returns the operations on secrets.
pub fn operations() -> Operations {
    // The published client libraries of the API call this path.
    let alias = also_at(
        routes!(rotate_secret),
        "/webhooks/endpoints/{webhook_endpoint_id}/rotate-secret",
        "rotateWebhookEndpointSecretAlias",
        "Rotate the signing secret (the path that client libraries call)",
    );
    Operations::default()
        .with(routes!(rotate_secret), rotation_answers)
        .with(alias, rotation_answers)
        .with(routes!(list_secrets), || {
            let body = LiveSecretList::from(&example::live_secrets());
            Answers::new(&body, vec![Error::SigningDisabled.into()])
        })
        .with(routes!(revoke_previous), || {
            let mut left = example::live_secrets();
            left.retain(|live| live.expires_at.is_none());
            let body = LiveSecretList::from(&left);
            Answers::new(&body, vec![Error::SigningDisabled.into()])
        })
}

/// The grace period when the caller asks for none, in seconds.
const DEFAULT_GRACE: u64 = 3600;

fn rotation_answers() -> Answers {
    let rotation = example::rotation(Duration::from_secs(DEFAULT_GRACE));
    let body = rotation.map(|rotation| RotatedSecret::new(example::endpoint().id, &rotation));
    let too_many = Error::TooManyLiveSecrets {
        next_expires_at: example::now().plus(Duration::from_secs(DEFAULT_GRACE)),
    };
    let failures = vec![
        RotateSecret::refusal(r#"{"expire_current_in":-1}"#),
        RotateSecret::refusal(r#"{"expire_current_in":"1 h"}"#),
        Error::SigningDisabled.into(),
        too_many.into(),
    ];
    Answers::new(&body, failures)
}

fields! {
    /// How to rotate.
    pub struct RotateSecret from Object {
        /// Seconds until the current secret expires; 0 retires it at once. An integer by the rule
        /// of JSON Schema, so `3600.0` is valid.
        expire_current_in: u64 = default(Integer { min: 0, max: 86_400 }, DEFAULT_GRACE), example 3600;
    }
}

/// The outcome of a rotation. The new secret is shown only in this answer.
#[derive(Serialize, ToSchema)]
pub struct RotatedSecret {
    /// The endpoint's id.
    #[schema(value_type = String, example = "we_550e8400e29b41d4a716446655440000")]
    id: EndpointId,
    secret: SecretText,
    /// When the replaced secret stops being included in signatures.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T11:15:00.000Z")]
    previous_secret_expires_at: Timestamp,
}

impl RotatedSecret {
    fn new(id: EndpointId, rotation: &Rotation) -> Self {
        Self {
            id,
            secret: (&rotation.secret).into(),
            previous_secret_expires_at: rotation.previous_secret_expires_at,
        }
    }
}

/// A live secret without its text.
#[derive(Serialize, ToSchema)]
pub struct LiveSecret {
    /// `sha256:` and the first 16 hex digits of SHA-256 of the secret's text.
    #[schema(value_type = String, pattern = "^sha256:[0-9a-f]{16}$", example = "sha256:057e571ddc1299cb")]
    fingerprint: Fingerprint,
    /// Whether it is the current secret or a retiring one.
    status: SecretStatus,
    /// When it was made.
    #[schema(value_type = String, format = DateTime, example = "2026-06-09T10:15:00.000Z")]
    created_at: Timestamp,
    /// When it stops signing; null for the current one.
    #[schema(value_type = Option<String>, required, format = DateTime, example = json!(null))]
    expires_at: Option<Timestamp>,
}

/// The role of a live secret in the key ring.
#[derive(Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretStatus {
    /// It signs until it is replaced.
    Current,
    /// It was replaced, and signs until it expires.
    Retiring,
}

/// The live secrets of an endpoint, in signing order.
#[derive(Serialize, ToSchema)]
pub struct LiveSecretList {
    /// Always `list`.
    #[schema(value_type = String, pattern = "^list$", example = "list")]
    object: &'static str,
    /// The current secret first, then the retiring ones, newest first.
    #[schema(min_items = 1, max_items = 10)]
    data: Vec<LiveSecret>,
    /// Always false: the list is complete.
    #[schema(example = false)]
    has_more: bool,
}

impl From<&Vec<SecretInfo>> for LiveSecretList {
    fn from(secrets: &Vec<SecretInfo>) -> Self {
        let data = secrets
            .iter()
            .map(|secret| LiveSecret {
                fingerprint: secret.fingerprint,
                status: match secret.expires_at {
                    None => SecretStatus::Current,
                    Some(_) => SecretStatus::Retiring,
                },
                created_at: secret.created_at,
                expires_at: secret.expires_at,
            })
            .collect();
        Self {
            object: "list",
            data,
            has_more: false,
        }
    }
}

/// Rotate the signing secret
///
/// Creates a new current secret and returns it. It is shown only in this answer. The replaced
/// secret keeps signing, beside the new one, until `previous_secret_expires_at`: deliveries carry a
/// signature of each live secret, so a receiver that holds any of them can verify every delivery. A
/// later rotation never shortens that time.
#[utoipa::path(
    post, path = "/webhooks/endpoints/{webhook_endpoint_id}/secret/rotate",
    operation_id = "rotateWebhookEndpointSecret", tag = "Secrets",
    request_body = RotateSecret,
    responses((status = 200, description = "The secret was rotated.", body = RotatedSecret)),
)]
async fn rotate_secret(
    State(app): State<App>,
    path: EndpointPath,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    let request = RotateSecret::read(body.object()?)?;

    let id = path.id()?;
    let grace = Duration::from_secs(request.expire_current_in);
    let render =
        move |rotation: &Rotation| answer(StatusCode::OK, &RotatedSecret::new(id, rotation));
    let rotated = app.service().rotate(caller, id, grace, render);
    Ok(respond(rotated.await?))
}

/// List the live secrets
///
/// Lists the secrets that sign deliveries now, in signing order, by their fingerprints. Their text
/// is never shown again.
#[utoipa::path(
    get, path = "/webhooks/endpoints/{webhook_endpoint_id}/secrets",
    operation_id = "listWebhookEndpointSecrets", tag = "Secrets",
    responses((status = 200, description = "The live secrets.", body = LiveSecretList)),
)]
async fn list_secrets(
    State(app): State<App>,
    Authenticated(tenant): Authenticated,
    path: EndpointPath,
) -> Result<Response, Failure> {
    let secrets = app.service().live_secrets(&tenant, path.id()?).await?;
    Ok(json(&LiveSecretList::from(&secrets)))
}

/// Revoke the retiring secrets
///
/// Ends every retiring secret now, before its grace period is over: use it when a secret has
/// leaked. From now on only the current secret signs. Doing it again changes nothing.
#[utoipa::path(
    post, path = "/webhooks/endpoints/{webhook_endpoint_id}/secret/revoke-previous",
    operation_id = "revokePreviousWebhookEndpointSecrets", tag = "Secrets",
    request_body = NoFields,
    responses((status = 200, description = "The current secret is the only live one.", body = LiveSecretList)),
)]
async fn revoke_previous(
    State(app): State<App>,
    path: EndpointPath,
    ChangeRequest { caller, body }: ChangeRequest,
) -> Result<Response, Failure> {
    NoFields::read(body.object()?)?;

    let id = path.id()?;
    let revoked = app.service().revoke_previous(caller, id, |left| {
        answer(StatusCode::OK, &LiveSecretList::from(left))
    });
    Ok(respond(revoked.await?))
}
