//! Decides which field is sealed, and for which place.
//!
//! Everything that a caller sent is sealed: settings (URLs contain credentials as often as headers
//! do), key rings, answers, the data of events. What a record is found by is not: ids, names, types
//! of events, times.

use std::str;

use super::codec::{self, Damaged};
use super::master_keys::MasterKeys;
use super::seal::{CannotOpen, Kind, Place};
use crate::domain::data_digest::DataDigest;
use crate::domain::{Endpoint, EndpointId, EventId, KeyRing, TenantId};
use crate::idempotency::{IdempotencyKey, Record};
use crate::random::NoRandomness;

/// Says why a field cannot be sealed or opened.
#[derive(Debug, thiserror::Error)]
pub(in crate::store) enum FieldError {
    /// There is no randomness for the nonce.
    #[error(transparent)]
    Randomness(#[from] NoRandomness),
    /// The sealed value cannot be opened.
    #[error(transparent)]
    Sealed(#[from] CannotOpen),
    /// The opened value is not one that this program writes.
    #[error(transparent)]
    Damaged(#[from] Damaged),
}

/// Seals and opens the fields of one tenant's records.
#[derive(Clone, Copy)]
pub(in crate::store) struct Fields<'a> {
    keys: &'a MasterKeys,
    tenant: &'a TenantId,
}

impl<'a> Fields<'a> {
    pub fn of(tenant: &'a TenantId, keys: &'a MasterKeys) -> Self {
        Self { keys, tenant }
    }

    fn place(&self, kind: Kind, record: &'a [u8]) -> Place<'a> {
        Place {
            kind,
            tenant: self.tenant.as_str(),
            record,
        }
    }

    /// Seals the settings of an endpoint.
    pub fn seal_settings(&self, endpoint: &'a Endpoint) -> Result<Vec<u8>, FieldError> {
        let place = self.place(Kind::Settings, codec::endpoint_id_bytes(&endpoint.id));
        let settings = codec::settings_to_bytes(endpoint)?;
        Ok(self.keys.seal(&place, &settings)?)
    }

    /// Seals the key ring of the endpoint `id`.
    pub fn seal_key_ring(&self, id: &'a EndpointId, ring: &KeyRing) -> Result<Vec<u8>, FieldError> {
        let place = self.place(Kind::KeyRing, codec::endpoint_id_bytes(id));
        Ok(self.keys.seal(&place, &codec::key_ring_to_bytes(ring))?)
    }

    /// Opens the endpoint with this id from its sealed settings and its sealed key ring, if it has
    /// one.
    pub fn open_endpoint(
        &self,
        id: &'a [u8],
        settings: &[u8],
        key_ring: Option<&[u8]>,
    ) -> Result<Endpoint, FieldError> {
        let settings = self.keys.open(&self.place(Kind::Settings, id), settings)?;
        let ring = match key_ring {
            Some(sealed) => {
                let opened = self.keys.open(&self.place(Kind::KeyRing, id), sealed)?;
                Some(codec::key_ring_from(&opened)?)
            }
            None => None,
        };
        let id = codec::endpoint_id_from(id)?;
        Ok(codec::endpoint_from(id, &settings, ring)?)
    }

    /// Seals the record of the answer to `key`.
    pub fn seal_record(
        &self,
        key: &'a IdempotencyKey,
        record: &Record,
    ) -> Result<Vec<u8>, FieldError> {
        let place = self.place(Kind::Answer, key.as_str().as_bytes());
        Ok(self.keys.seal(&place, &codec::record_to_bytes(record))?)
    }

    /// Opens what [`seal_record`](Self::seal_record) sealed.
    pub fn open_record(
        &self,
        key: &'a IdempotencyKey,
        sealed: &[u8],
    ) -> Result<Record, FieldError> {
        let place = self.place(Kind::Answer, key.as_str().as_bytes());
        Ok(codec::record_from(&self.keys.open(&place, sealed)?)?)
    }

    /// Seals the data of the event `id`.
    pub fn seal_data(&self, id: &'a EventId, data: &str) -> Result<Vec<u8>, FieldError> {
        let place = self.place(Kind::Event, id.as_str().as_bytes());
        Ok(self.keys.seal(&place, data.as_bytes())?)
    }

    /// Seals the digest of the data of the event `id`, in the place of the data.
    pub fn seal_digest(&self, id: &'a EventId, digest: DataDigest) -> Result<Vec<u8>, FieldError> {
        let place = self.place(Kind::Event, id.as_str().as_bytes());
        Ok(self.keys.seal(&place, &codec::digest_to_bytes(digest))?)
    }

    /// Opens what [`seal_data`](Self::seal_data) or [`seal_digest`](Self::seal_digest) sealed.
    pub fn open_data(&self, id: &'a str, sealed: &[u8]) -> Result<DataAtRest, FieldError> {
        let opened = self
            .keys
            .open(&self.place(Kind::Event, id.as_bytes()), sealed)?;
        if let Some(digest) = codec::digest_from(&opened) {
            return Ok(DataAtRest::Digest(digest));
        }
        let data = str::from_utf8(&opened).map_err(|_| Damaged("event"))?;
        Ok(DataAtRest::Text(data.into()))
    }
}

/// What is stored of the data of an event.
pub(in crate::store) enum DataAtRest {
    /// The data.
    Text(Box<str>),
    /// Only its digest, since the event has no deliveries.
    Digest(DataDigest),
}
