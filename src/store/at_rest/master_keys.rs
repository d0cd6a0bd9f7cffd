//! Defines master keys, and the proof that the right ones were given.

use std::fmt;
use std::sync::Arc;

use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use base64::{Engine as _, alphabet};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305};
use zeroize::Zeroizing;

use super::seal::{self, CannotOpen, Kind, Place, is_id};
use crate::random::{self, NONCE_BYTES, NoRandomness};

/// The length of a master key in bytes.
pub const KEY_BYTES: usize = 32;

/// Accepts base64 with or without padding: `openssl rand -base64 32` pads, many other tools do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that encrypts stored values, and the id that those values name.
///
/// `Debug` shows only the id. The bytes are on the heap, so that moving the key leaves no copy, and
/// they are wiped when the key is dropped.
pub struct MasterKey {
    id: Box<str>,
    cipher: Box<XChaCha20Poly1305>,
}

/// Says why a text is not a master key. The messages show nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAMasterKey {
    /// The text has no colon.
    #[error("write ID:BASE64")]
    Form,
    /// The id is empty, too long, or has other characters.
    #[error("the id must have 1 to 64 characters of A-Z a-z 0-9 _ -; write ID:BASE64")]
    Id,
    /// The key is not base64, or does not have [`KEY_BYTES`] bytes.
    #[error("the key must be 32 bytes in base64; `hookturn keys generate` makes a complete entry")]
    Key,
}

impl MasterKey {
    /// Makes the master key with this id and these bytes, which must come from the operating
    /// system's generator.
    ///
    /// # Errors
    ///
    /// [`NotAMasterKey::Id`] unless the id has 1 to [`MAX_ID_LENGTH`](super::MAX_ID_LENGTH)
    /// characters of `[A-Za-z0-9_-]`.
    pub fn new(id: &str, bytes: &[u8; KEY_BYTES]) -> Result<Self, NotAMasterKey> {
        if !is_id(id.as_bytes()) {
            return Err(NotAMasterKey::Id);
        }
        let key: &Key = bytes.into();
        Ok(Self {
            id: id.into(),
            cipher: Box::new(XChaCha20Poly1305::new(key)),
        })
    }

    /// Parses `ID:BASE64`. The base64 uses the standard alphabet, with or without padding.
    ///
    /// # Errors
    ///
    /// [`NotAMasterKey`] says which part is wrong.
    pub fn parse(text: &str) -> Result<Self, NotAMasterKey> {
        let (id, base64) = text.split_once(':').ok_or(NotAMasterKey::Form)?;
        if !is_id(id.as_bytes()) {
            return Err(NotAMasterKey::Id);
        }
        // Room for more than a key, so that a longer one is recognised as too long, and all of it
        // is wiped.
        let mut bytes = Zeroizing::new([0; 2 * KEY_BYTES]);
        match BASE64.decode_slice(base64, bytes.as_mut()) {
            Ok(KEY_BYTES) => {}
            _ => return Err(NotAMasterKey::Key),
        }
        match bytes.first_chunk() {
            Some(key) => Self::new(id, key),
            None => Err(NotAMasterKey::Key),
        }
    }

    /// Returns the id, which is not secret.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }
}

impl MasterKey {
    pub(super) fn seal(
        &self,
        nonce: &[u8; NONCE_BYTES],
        place: &Place<'_>,
        plain: &[u8],
    ) -> Vec<u8> {
        seal::seal(&self.cipher, &self.id, nonce, place, plain)
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "MasterKey({})", self.id)
    }
}

/// One or more master keys with distinct ids. The first one encrypts and all of them decrypt. So a
/// new key is put before the old one, and the old one stays until no value is encrypted with it.
///
/// Clones share the keys. `Debug` shows only the ids.
#[derive(Clone)]
pub struct MasterKeys(Arc<[MasterKey]>);

/// Says why keys cannot be used together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitKeys {
    /// There is no key.
    #[error("no key is given")]
    None,
    /// The key at this position, counted from 1, has the id of an earlier one.
    #[error("entry {0}: an earlier entry has the same id; give each key its own id")]
    Twice(usize),
}

impl MasterKeys {
    /// Takes the keys, of which the first encrypts.
    ///
    /// # Errors
    ///
    /// [`UnfitKeys`] when there is no key, or when two have the same id.
    pub fn new(keys: Vec<MasterKey>) -> Result<Self, UnfitKeys> {
        if keys.is_empty() {
            return Err(UnfitKeys::None);
        }
        for (index, key) in keys.iter().enumerate() {
            if keys[..index].iter().any(|before| before.id == key.id) {
                return Err(UnfitKeys::Twice(index + 1));
            }
        }
        Ok(Self(keys.into()))
    }

    /// Returns the id of the key that encrypts.
    #[must_use]
    pub fn first_id(&self) -> &str {
        &self.first().id
    }

    /// Returns all ids, that of the first key first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(MasterKey::id)
    }

    /// Returns the key that encrypts.
    fn first(&self) -> &MasterKey {
        // There is at least one: only `new` makes this type.
        &self.0[0]
    }

    /// Seals a value for one place, with the first key.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] when there is none for the nonce.
    ///
    /// # Panics
    ///
    /// If the value is longer than 256 GiB, the limit of the cipher.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let nonce = random::nonce()?;
        Ok(self.first().seal(&nonce, place, plain))
    }

    /// Opens a value that was sealed for this place, with the key that the value names.
    ///
    /// # Errors
    ///
    /// [`CannotOpen`] when that key was not given, or when the bytes are not those that were sealed
    /// for this place.
    pub fn open(&self, place: &Place<'_>, sealed: &[u8]) -> Result<Zeroizing<Vec<u8>>, CannotOpen> {
        let cipher = |id: &str| {
            let key = self.0.iter().find(|key| &*key.id == id);
            key.map(|key| &*key.cipher)
        };
        seal::open(cipher, place, sealed)
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.iter()).finish()
    }
}

/// The text that is sealed with each master key. It shows a key with the right id and wrong bytes
/// before anything is served.
pub(in crate::store) const PROOF: &[u8] = b"this master key opens this store";

/// Says why a proof fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Disproof {
    /// No key with this id was given.
    KeyMissing,
    /// The given key with this id has other bytes, or the proof is damaged.
    WrongKey,
}

impl MasterKeys {
    /// Makes the proof of the first key, which a store keeps under the key's id.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] when there is none for the nonce.
    pub(in crate::store) fn prove(&self) -> Result<Vec<u8>, NoRandomness> {
        self.seal(&proof_place(self.first_id()), PROOF)
    }

    /// Checks that the given key `id` is the one that made `proof`.
    pub(in crate::store) fn check_proof(&self, id: &str, proof: &[u8]) -> Result<(), Disproof> {
        match self.open(&proof_place(id), proof) {
            Ok(opened) if *opened == PROOF => Ok(()),
            Err(CannotOpen::UnknownKey { .. }) => Err(Disproof::KeyMissing),
            _ => Err(Disproof::WrongKey),
        }
    }
}

/// Returns the place of the proof of the key `id`.
pub(in crate::store) fn proof_place(id: &str) -> Place<'_> {
    Place {
        kind: Kind::Proof,
        tenant: "",
        record: id.as_bytes(),
    }
}
