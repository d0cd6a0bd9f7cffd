//! Encryption at rest: a durable store writes no secret that its master key does not cover.
//!
//! A value is sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03) and looks like this:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of this format, 1 |
//! | 1 | the length of the key's id, 1 to 64 |
//! | that many | the id of the master key, which is no secret |
//! | 24 | the nonce, random |
//! | as many as the value has | the ciphertext |
//! | 16 | the tag |
//!
//! A nonce of 192 bits may be random: that two of them are ever the same is out of the question, so no counter must
//! survive a crash or a restored backup.
//!
//! What the tag covers besides the value is where it belongs: the version, the kind of field, the tenant, the record
//! and the key's id, each with its length before it (8 bytes, the least significant first), so that no two places look
//! alike. A sealed value that somebody moves to another row, column or tenant does not open there. It does open where
//! it was before: that an old value of the same field is put back is not noticed.

use chacha20poly1305::{AeadInOut as _, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::random::NONCE_BYTES;

/// The most characters of a master key's id.
pub const MAX_ID_LENGTH: usize = 64;

/// The bytes of the tag (RFC 8439, section 2.8).
const TAG_BYTES: usize = 16;

/// The one version of the format so far.
const VERSION: u8 = 1;

/// Seals a value for one place, under the key `id`.
///
/// # Panics
///
/// If the value is longer than 256 GiB, where the cipher ends.
pub(super) fn seal(
    cipher: &XChaCha20Poly1305,
    id: &str,
    nonce: &[u8; NONCE_BYTES],
    place: &Place<'_>,
    plain: &[u8],
) -> Vec<u8> {
    let start = 2 + id.len() + NONCE_BYTES;
    let mut sealed = Vec::with_capacity(start + plain.len() + TAG_BYTES);
    sealed.push(VERSION);
    // `is_id` keeps it within a byte.
    sealed.extend(u8::try_from(id.len()));
    sealed.extend_from_slice(id.as_bytes());
    sealed.extend_from_slice(nonce);
    sealed.extend_from_slice(plain);
    let nonce: &XNonce = nonce.into();
    let tag = cipher
        .encrypt_inout_detached(
            nonce,
            &place.associated_data(id),
            (&mut sealed[start..]).into(),
        )
        .expect("a value is shorter than 256 GiB");
    sealed.extend_from_slice(&tag);
    sealed
}

/// Opens a value that was sealed for this place, with the cipher that `find` has for the id of its key.
///
/// # Errors
///
/// [`CannotOpen`] when there is none, or when the bytes are not those that were sealed, for this place.
pub(super) fn open<'a>(
    find: impl FnOnce(&str) -> Option<&'a XChaCha20Poly1305>,
    place: &Place<'_>,
    sealed: &[u8],
) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
    let parts = Parts::of(sealed).ok_or(CannotOpen::Damaged)?;
    let cipher = find(parts.id).ok_or_else(|| CannotOpen::UnknownKey {
        id: parts.id.to_owned(),
    })?;
    let nonce: &XNonce = parts.nonce.into();
    let tag: &Tag = parts.tag.into();
    let mut plain = Zeroizing::new(parts.ciphertext.to_vec());
    cipher
        .decrypt_inout_detached(
            nonce,
            &place.associated_data(parts.id),
            plain.as_mut_slice().into(),
            tag,
        )
        .map_err(|_| CannotOpen::Damaged)?;
    Ok(plain)
}

/// Which field of which record a value belongs to. It opens there and nowhere else.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The kind of field.
    pub kind: Kind,
    /// The tenant's name; empty for what belongs to the whole store.
    pub tenant: &'a str,
    /// What tells the record from others of its kind and tenant.
    pub record: &'a [u8],
}

/// The kinds of field that are sealed. Their numbers are part of what is at rest: they must not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The signing secrets of an endpoint.
    KeyRing = 1,
    /// The settings of an endpoint, among them its receiver's credentials.
    Settings = 2,
    /// The recorded answer to an idempotency key, which may show a secret.
    Answer = 3,
    /// The data of an event.
    Event = 4,
    /// What proves, when a store is opened, that its master key is the right one.
    Proof = 5,
}

impl Place<'_> {
    pub(super) fn associated_data(&self, key_id: &str) -> Vec<u8> {
        let parts = [
            &[VERSION][..],
            &[self.kind as u8],
            self.tenant.as_bytes(),
            self.record,
            key_id.as_bytes(),
        ];
        let length = parts.iter().map(|part| size_of::<u64>() + part.len());
        let mut data = Vec::with_capacity(length.sum());
        for part in parts {
            data.extend_from_slice(&(part.len() as u64).to_le_bytes());
            data.extend_from_slice(part);
        }
        data
    }
}

/// Whether these bytes can be the id of a master key.
pub(super) fn is_id(id: &[u8]) -> bool {
    (1..=MAX_ID_LENGTH).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// The id of the master key under which a value rests, without opening it; `None` if that cannot be a sealed value. Who
/// wrote it is not known before it is opened.
#[must_use]
pub fn key_id(sealed: &[u8]) -> Option<&str> {
    Parts::of(sealed).map(|parts| parts.id)
}

/// A sealed value, taken apart.
struct Parts<'a> {
    id: &'a str,
    nonce: &'a [u8; NONCE_BYTES],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_BYTES],
}

impl<'a> Parts<'a> {
    fn of(sealed: &'a [u8]) -> Option<Self> {
        let (&[version, length], rest) = sealed.split_first_chunk()?;
        let (id, rest) = rest.split_at_checked(usize::from(length))?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        if version != VERSION || !is_id(id) {
            return None;
        }
        Some(Self {
            id: std::str::from_utf8(id).ok()?,
            nonce,
            ciphertext,
            tag,
        })
    }
}

/// Why a sealed value does not open. Its texts are for whoever runs the server, and show nothing of the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// It rests under a master key that is not among the given ones.
    #[error(
        "it rests under the master key `{id}`, which is not given; add that key to --master-key (HOOKTURN_MASTER_KEYS)"
    )]
    UnknownKey {
        /// The id that the value names: 1 to [`MAX_ID_LENGTH`] of `[A-Za-z0-9_-]`, whatever was found.
        id: String,
    },
    /// It is not what was sealed, it is not where it was sealed for, or the key of that id has other bytes now.
    #[error(
        "it is damaged, was moved from another record, or its master key has other bytes than when it was written; \
         give the key of then, or restore the store from a backup"
    )]
    Damaged,
}
