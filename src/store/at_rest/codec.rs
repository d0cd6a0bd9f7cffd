//! Encodes records as bytes and numbers. Every version must be able to read what older versions
//! wrote.
//!
//! A column holds what the store needs to find a record, and nothing else. Everything else that a
//! caller sent is sealed: settings (URLs contain credentials as often as headers do), key rings,
//! answers, the data of events.

use std::borrow::Cow;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use uuid::Uuid;
use zeroize::Zeroizing;

use crate::domain::data_digest::DataDigest;
use crate::domain::key_ring::{Current, Retiring};
use crate::domain::secret::SECRET_BYTES;
use crate::domain::{
    Attempt, DeliveryStatus, Endpoint, EndpointId, EventPattern, FailureReason, Fingerprint,
    Format, HeaderEntry, KeyRing, Secret, Settings, Timestamp,
};
use crate::idempotency::{Answer, Record, RequestFingerprint};

/// A stored value that this program would not write. The field names the kind of value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "{0} in the database cannot be read: run `hookturn check` and restore a backup if it finds damage"
)]
pub(in crate::store) struct Damaged(pub &'static str);

/// An endpoint without its id and its key ring, as the JSON that is sealed.
#[derive(Serialize, Deserialize)]
struct SettingsAtRest<'a> {
    format: u8,
    created_at: i64,
    updated_at: i64,
    /// Whether the endpoint has a key ring. An endpoint whose key ring is lost must not be taken
    /// for an unsigned one.
    signed: bool,
    #[serde(borrow)]
    url: Cow<'a, str>,
    events: Vec<String>,
    description: Option<Box<str>>,
    active: bool,
    name: Option<Box<str>>,
    headers: Vec<(Box<str>, Zeroizing<Box<str>>)>,
    agent_ids: Box<[Box<str>]>,
    workspace_ids: Box<[Box<str>]>,
}

/// Returns the number of a reason of failure.
pub(in crate::store) fn failure_reason_to_number(reason: FailureReason) -> i64 {
    match reason {
        FailureReason::AttemptsExhausted => 0,
        FailureReason::EndpointGone => 1,
        FailureReason::TimeOver => 2,
        FailureReason::EndpointDisabled => 3,
    }
}

/// Returns the reason of failure with this number.
pub(in crate::store) fn failure_reason_from(
    number: Option<i64>,
) -> Result<Option<FailureReason>, Damaged> {
    let Some(number) = number else {
        return Ok(None);
    };
    let mut all = FailureReason::ALL.into_iter();
    let known = all.find(|reason| failure_reason_to_number(*reason) == number);
    known.map(Some).ok_or(Damaged("reason of a failure"))
}

/// The first byte of a digest. The data of an event, which is a JSON object, begins with another.
const DIGEST: u8 = 0;

/// Encodes the digest of an event's data, before it is sealed in the place of the data.
pub(in crate::store) fn digest_to_bytes(DataDigest(digest): DataDigest) -> [u8; 33] {
    let mut bytes = [DIGEST; 33];
    bytes[1..].copy_from_slice(&digest);
    bytes
}

/// Decodes a digest. Returns `None` if the bytes are the data of an event.
pub(in crate::store) fn digest_from(bytes: &[u8]) -> Option<DataDigest> {
    match bytes {
        [DIGEST, digest @ ..] => digest.try_into().ok().map(DataDigest),
        _ => None,
    }
}

/// Encodes the settings of an endpoint, before they are sealed.
pub(in crate::store) fn settings_to_bytes(
    endpoint: &Endpoint,
) -> Result<Zeroizing<Vec<u8>>, Damaged> {
    let settings = &*endpoint.settings;
    let at_rest = SettingsAtRest {
        format: match endpoint.format {
            Format::StandardWebhooks => 0,
            Format::Verbex => 1,
        },
        created_at: endpoint.created_at.as_millis(),
        updated_at: endpoint.updated_at.as_millis(),
        signed: endpoint.key_ring.is_some(),
        url: (&*settings.url).into(),
        events: settings.events.iter().map(ToString::to_string).collect(),
        description: settings.description.clone(),
        active: settings.active,
        name: settings.name.clone(),
        headers: settings
            .headers
            .iter()
            .map(|header| (header.name.clone(), header.value.clone()))
            .collect(),
        agent_ids: settings.agent_ids.clone(),
        workspace_ids: settings.workspace_ids.clone(),
    };
    // Large enough that it rarely grows: growing would leave a copy of the old contents in memory.
    let mut bytes = Zeroizing::new(Vec::with_capacity(4096));
    serde_json::to_writer(&mut *bytes, &at_rest).map_err(|_| Damaged("settings"))?;
    Ok(bytes)
}

/// Decodes the endpoint with this id from its opened settings, and adds its key ring.
pub(in crate::store) fn endpoint_from(
    id: EndpointId,
    settings: &[u8],
    key_ring: Option<KeyRing>,
) -> Result<Endpoint, Damaged> {
    let (endpoint, is_signed) = settings_from(id, settings)?;
    if is_signed != key_ring.is_some() {
        return Err(Damaged("key ring"));
    }
    Ok(Endpoint {
        key_ring,
        ..endpoint
    })
}

/// Decodes the endpoint with this id, without its key ring. Also returns whether it has one.
pub(in crate::store) fn settings_from(
    id: EndpointId,
    settings: &[u8],
) -> Result<(Endpoint, bool), Damaged> {
    let wrong = || Damaged("settings");
    let at_rest: SettingsAtRest<'_> = serde_json::from_slice(settings).map_err(|_| wrong())?;
    let events: Result<Box<[EventPattern]>, _> =
        at_rest.events.iter().map(|event| event.parse()).collect();
    let endpoint = Endpoint {
        id,
        format: match at_rest.format {
            0 => Format::StandardWebhooks,
            1 => Format::Verbex,
            _ => return Err(wrong()),
        },
        created_at: Timestamp::from_millis(at_rest.created_at),
        updated_at: Timestamp::from_millis(at_rest.updated_at),
        settings: Arc::new(Settings {
            url: at_rest.url.into(),
            events: events.map_err(|_| wrong())?,
            description: at_rest.description,
            active: at_rest.active,
            name: at_rest.name,
            headers: at_rest
                .headers
                .into_iter()
                .map(|(name, value)| HeaderEntry { name, value })
                .collect(),
            agent_ids: at_rest.agent_ids,
            workspace_ids: at_rest.workspace_ids,
        }),
        key_ring: None,
    };
    Ok((endpoint, at_rest.signed))
}

/// The bytes of one secret in a key ring: its bytes, its time of creation and its expiry, both in
/// milliseconds.
const SECRET_AT_REST: usize = SECRET_BYTES + 8 + 8;

/// Encodes a key ring, before it is sealed: the current secret, then the retiring ones in their
/// order.
pub(in crate::store) fn key_ring_to_bytes(ring: &KeyRing) -> Zeroizing<Vec<u8>> {
    let count = 1 + ring.retiring().len();
    let mut bytes = Zeroizing::new(Vec::with_capacity(count * SECRET_AT_REST));
    let mut put = |secret: &Secret, created_at: Timestamp, expires_at: i64| {
        bytes.extend_from_slice(secret.as_bytes());
        bytes.extend_from_slice(&created_at.as_millis().to_le_bytes());
        bytes.extend_from_slice(&expires_at.to_le_bytes());
    };
    let current = ring.current();
    put(&current.secret, current.created_at, 0);
    for retiring in ring.retiring() {
        put(
            &retiring.secret,
            retiring.created_at,
            retiring.expires_at.as_millis(),
        );
    }
    bytes
}

/// Decodes a key ring.
pub(in crate::store) fn key_ring_from(bytes: &[u8]) -> Result<KeyRing, Damaged> {
    let wrong = || Damaged("key ring");
    let (secrets, rest) = bytes.as_chunks::<SECRET_AT_REST>();
    if !rest.is_empty() {
        return Err(wrong());
    }
    let mut secrets = secrets.iter().map(|at_rest| {
        let (secret, times) = at_rest.split_first_chunk::<SECRET_BYTES>()?;
        let (created_at, expires_at) = times.split_first_chunk::<8>()?;
        let time = |bytes: [u8; 8]| Timestamp::from_millis(i64::from_le_bytes(bytes));
        let expires_at = time(expires_at.try_into().ok()?);
        Some((Secret::from_bytes(secret), time(*created_at), expires_at))
    });
    let (secret, created_at, _) = secrets.next().flatten().ok_or_else(wrong)?;
    let retiring = secrets.map(|secret| {
        let (secret, created_at, expires_at) = secret?;
        Some(Retiring {
            secret,
            created_at,
            expires_at,
        })
    });
    let retiring: Option<Vec<_>> = retiring.collect();
    let current = Current { secret, created_at };
    Ok(KeyRing::from_parts(current, retiring.ok_or_else(wrong)?))
}

/// Encodes a recorded answer, before it is sealed: the fingerprint of the request, the status, the
/// body.
pub(in crate::store) fn record_to_bytes(record: &Record) -> Zeroizing<Vec<u8>> {
    let body = &record.answer.body;
    let mut bytes = Zeroizing::new(Vec::with_capacity(32 + 2 + body.len()));
    bytes.extend_from_slice(record.fingerprint.as_bytes());
    bytes.extend_from_slice(&record.answer.status.to_le_bytes());
    bytes.extend_from_slice(body);
    bytes
}

/// Decodes a recorded answer.
pub(in crate::store) fn record_from(bytes: &[u8]) -> Result<Record, Damaged> {
    let parts = || {
        let (fingerprint, rest) = bytes.split_first_chunk::<32>()?;
        let (status, body) = rest.split_first_chunk::<2>()?;
        Some((*fingerprint, u16::from_le_bytes(*status), body))
    };
    let (fingerprint, status, body) = parts().ok_or(Damaged("answer"))?;
    Ok(Record {
        fingerprint: RequestFingerprint::from_bytes(fingerprint),
        answer: Answer {
            status,
            body: body.to_vec().into(),
        },
    })
}

/// Returns the bytes that an endpoint is found by.
pub(in crate::store) fn endpoint_id_bytes(id: &EndpointId) -> &[u8] {
    match id {
        EndpointId::Uuid(uuid) => uuid.as_bytes(),
        EndpointId::Object(bytes) => bytes,
    }
}

/// Decodes the id of an endpoint. The two kinds of id differ in length.
pub(in crate::store) fn endpoint_id_from(bytes: &[u8]) -> Result<EndpointId, Damaged> {
    if let Ok(uuid) = Uuid::from_slice(bytes) {
        return Ok(EndpointId::Uuid(uuid));
    }
    let object = bytes.try_into().map_err(|_| Damaged("endpoint id"))?;
    Ok(EndpointId::Object(object))
}

pub(in crate::store) const fn status_to_number(status: DeliveryStatus) -> i64 {
    match status {
        DeliveryStatus::Pending => 0,
        DeliveryStatus::Succeeded => 1,
        DeliveryStatus::Failed => 2,
        DeliveryStatus::Canceled => 3,
    }
}

/// Every status, in the order of its number.
pub(in crate::store) const STATUSES: [DeliveryStatus; 4] = [
    DeliveryStatus::Pending,
    DeliveryStatus::Succeeded,
    DeliveryStatus::Failed,
    DeliveryStatus::Canceled,
];

#[derive(Serialize, Deserialize)]
struct AttemptAtRest {
    at: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<u16>,
    ms: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<Box<str>>,
    signed_by: Vec<[u8; 8]>,
}

/// Encodes the attempts of a delivery as JSON.
pub(in crate::store) fn attempts_to_text(attempts: &[Attempt]) -> Result<String, Damaged> {
    if attempts.is_empty() {
        return Ok(String::new());
    }
    let at_rest: Vec<_> = attempts
        .iter()
        .map(|attempt| AttemptAtRest {
            at: attempt.at.as_millis(),
            status: attempt.status_code,
            ms: attempt.duration_ms,
            error: attempt.error.clone(),
            signed_by: attempt.signed_by.iter().map(Fingerprint::bytes).collect(),
        })
        .collect();
    serde_json::to_string(&at_rest).map_err(|_| Damaged("attempts"))
}

/// Decodes the attempts of a delivery.
pub(in crate::store) fn attempts_from(text: &str) -> Result<Vec<Attempt>, Damaged> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let at_rest: Vec<AttemptAtRest> =
        serde_json::from_str(text).map_err(|_| Damaged("attempts"))?;
    let attempts = at_rest.into_iter().map(|attempt| Attempt {
        at: Timestamp::from_millis(attempt.at),
        status_code: attempt.status,
        duration_ms: attempt.ms,
        error: attempt.error,
        signed_by: attempt
            .signed_by
            .into_iter()
            .map(Fingerprint::from_bytes)
            .collect(),
    });
    Ok(attempts.collect())
}
