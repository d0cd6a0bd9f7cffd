//! Encrypts stored values: a durable store writes every secret encrypted with a master key.
//!
//! A value is sealed with XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha-03). A sealed value has this
//! format:
//!
//! | bytes | what |
//! |---|---|
//! | 1 | the version of this format, 1 |
//! | 1 | the length of the key's id, 1 to 64 |
//! | that many | the id of the master key, which is not secret |
//! | 24 | the nonce, random |
//! | as many as the value has | the ciphertext |
//! | 16 | the tag |
//!
//! A nonce of 192 bits can be random: two of them are never the same in practice. So no counter has
//! to survive a crash or a restored backup.
//!
//! The tag also covers the place of the value: the version, the kind of field, the tenant, the
//! record and the key's id, each with its length before it (8 bytes, little-endian), so that no two
//! places look alike. A sealed value that is moved to another row, column or tenant cannot be
//! opened there. An old value of the same field can: putting it back is not noticed.

use chacha20poly1305::{AeadInOut as _, Tag, XChaCha20Poly1305, XNonce};
use zeroize::Zeroizing;

use crate::random::NONCE_BYTES;

/// The most characters of a master key's id.
pub const MAX_ID_LENGTH: usize = 64;

/// The bytes of the tag (RFC 8439, section 2.8).
const TAG_BYTES: usize = 16;

/// The only version of the format so far.
const VERSION: u8 = 1;

/// Seals a value for one place, with the key `id`.
///
/// # Panics
///
/// If the value is longer than 256 GiB, the limit of the cipher.
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
    // `is_id` limits the length, so that it fits into one byte.
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

/// Opens a value that was sealed for this place. `find` returns the cipher of a key's id.
///
/// # Errors
///
/// [`CannotOpen`] when `find` returns none, or when the bytes are not those that were sealed for
/// this place.
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

/// The place of a value: which field of which record it is. The value can be opened only for this
/// place.
#[derive(Clone, Copy, Debug)]
pub struct Place<'a> {
    /// The kind of field.
    pub kind: Kind,
    /// The tenant's name; empty for a value of the whole store.
    pub tenant: &'a str,
    /// Identifies the record among those of its kind and tenant.
    pub record: &'a [u8],
}

/// The kinds of field that are sealed. Their numbers are part of the stored format and must not
/// change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// The signing secrets of an endpoint.
    KeyRing = 1,
    /// The settings of an endpoint, which include the credentials of its receiver.
    Settings = 2,
    /// The recorded answer for an idempotency key, which may contain a secret.
    Answer = 3,
    /// The data of an event.
    Event = 4,
    /// The proof of a master key, which is checked when a store is opened.
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

/// Returns whether these bytes can be the id of a master key.
pub(super) fn is_id(id: &[u8]) -> bool {
    (1..=MAX_ID_LENGTH).contains(&id.len())
        && id
            .iter()
            .all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'))
}

/// Returns the id of the master key that a value is encrypted with, without opening it. Returns
/// `None` if the bytes cannot be a sealed value. The id is not authenticated until the value is
/// opened.
#[must_use]
pub fn key_id(sealed: &[u8]) -> Option<&str> {
    Parts::of(sealed).map(|parts| parts.id)
}

/// The parts of a sealed value.
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

/// Says why a sealed value cannot be opened. The messages are for the operator and show nothing of
/// the value.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CannotOpen {
    /// It is encrypted with a master key that was not given.
    #[error(
        "it is encrypted with the master key `{id}`, which was not given; add that key to --master-key \
         (HOOKTURN_MASTER_KEYS)"
    )]
    UnknownKey {
        /// The id that the value names: always 1 to [`MAX_ID_LENGTH`] of `[A-Za-z0-9_-]`.
        id: String,
    },
    /// The bytes are not what was sealed, the value was sealed for another place, or the key with
    /// that id has other bytes now.
    #[error(
        "it is damaged, was moved from another record, or its master key has other bytes than when it was written; \
         give the original key or restore a backup"
    )]
    Damaged,
}
