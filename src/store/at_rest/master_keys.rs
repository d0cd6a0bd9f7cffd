//! Master keys: which of them there are, and the proof that the right ones were given.

use std::fmt;
use std::sync::Arc;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use chacha20poly1305::{Key, KeyInit as _, XChaCha20Poly1305};
use zeroize::Zeroizing;

use super::seal::{self, CannotOpen, Kind, Place, is_id};
use crate::random::{self, NONCE_BYTES, NoRandomness};

/// The bytes of a master key.
pub const KEY_BYTES: usize = 32;

/// Either padding: `openssl rand -base64 32` pads, many other tools do not.
const BASE64: GeneralPurpose = GeneralPurpose::new(
    &alphabet::STANDARD,
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent),
);

/// A key that encrypts what is at rest, and the id by which sealed values name it.
///
/// `Debug` shows the id alone. The bytes are on the heap, so that moving it leaves no copy, and wiped when it is dropped.
pub struct MasterKey {
    id: Box<str>,
    cipher: Box<XChaCha20Poly1305>,
}

/// Why a text is no master key. None of its texts shows anything of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAMasterKey {
    /// There is no colon in it.
    #[error("write ID:BASE64")]
    Form,
    /// The id is too long, empty, or has other characters.
    #[error("the id must be 1 to 64 of A-Z a-z 0-9 _ -; write ID:BASE64")]
    Id,
    /// The key is not base64, or not of [`KEY_BYTES`].
    #[error("the key must be 32 bytes in base64; `hookturn keys generate` makes a whole entry")]
    Key,
}

impl MasterKey {
    /// The master key with this id and these bytes, which must come from the operating system's generator.
    ///
    /// # Errors
    ///
    /// [`NotAMasterKey::Id`] unless the id is 1 to [`MAX_ID_LENGTH`](super::MAX_ID_LENGTH) of `[A-Za-z0-9_-]`.
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

    /// Parses `ID:BASE64`: base64 of the standard alphabet, padded or not.
    ///
    /// # Errors
    ///
    /// [`NotAMasterKey`] says which part cannot be used.
    pub fn parse(text: &str) -> Result<Self, NotAMasterKey> {
        let (id, base64) = text.split_once(':').ok_or(NotAMasterKey::Form)?;
        if !is_id(id.as_bytes()) {
            return Err(NotAMasterKey::Id);
        }
        // Room for more than a key: what is too long is then told as such, and all of it is wiped.
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

    /// Its id, which is no secret.
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

/// One or more master keys with distinct ids. The first encrypts, all decrypt: so a new key is put before the old one,
/// which stays until nothing rests under it.
///
/// Clones share the keys. `Debug` shows the ids alone.
#[derive(Clone)]
pub struct MasterKeys(Arc<[MasterKey]>);

/// Why keys cannot be used together.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnfitKeys {
    /// There is none.
    #[error("there is no key")]
    None,
    /// The id of the key at this place, counted from 1, is that of one before it.
    #[error("entry {0}: its id is given twice; give each key its own")]
    Twice(usize),
}

impl MasterKeys {
    /// Keys of which the first encrypts.
    ///
    /// # Errors
    ///
    /// [`UnfitKeys`] when there is none, or an id is given twice.
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

    /// The id of the key that encrypts.
    #[must_use]
    pub fn first_id(&self) -> &str {
        &self.first().id
    }

    /// The ids of all, the first one first.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(MasterKey::id)
    }

    /// The key that encrypts.
    fn first(&self) -> &MasterKey {
        // There is one: `new` is the only way to make this.
        &self.0[0]
    }

    /// Seals a value for one place, under the first key.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] when there is none for the nonce.
    ///
    /// # Panics
    ///
    /// If the value is longer than 256 GiB, where the cipher ends.
    pub fn seal(&self, place: &Place<'_>, plain: &[u8]) -> Result<Vec<u8>, NoRandomness> {
        let nonce = random::nonce()?;
        Ok(self.first().seal(&nonce, place, plain))
    }

    /// Opens a value that was sealed for this place, under whichever key.
    ///
    /// # Errors
    ///
    /// [`CannotOpen`] when its key is not among these, or when the bytes are not those that were sealed, for this place.
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

/// What is sealed under each master key, so that a key of the same id and other bytes is known before anything is served.
pub(in crate::store) const PROOF: &[u8] = b"this master key opens this store";

/// Why a proof is not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Disproof {
    /// There is no key of that id.
    KeyMissing,
    /// The key of that id has other bytes, or the proof is damaged.
    WrongKey,
}

impl MasterKeys {
    /// The proof of the first key, for a store to keep under its id.
    ///
    /// # Errors
    ///
    /// [`NoRandomness`] when there is none for the nonce.
    pub(in crate::store) fn prove(&self) -> Result<Vec<u8>, NoRandomness> {
        self.seal(&proof_place(self.first_id()), PROOF)
    }

    /// Checks that the key `id` is the one that `proof` was made with.
    pub(in crate::store) fn check_proof(&self, id: &str, proof: &[u8]) -> Result<(), Disproof> {
        match self.open(&proof_place(id), proof) {
            Ok(opened) if *opened == PROOF => Ok(()),
            Err(CannotOpen::UnknownKey { .. }) => Err(Disproof::KeyMissing),
            _ => Err(Disproof::WrongKey),
        }
    }
}

/// Where the proof of the key `id` belongs.
pub(in crate::store) fn proof_place(id: &str) -> Place<'_> {
    Place {
        kind: Kind::Proof,
        tenant: "",
        record: id.as_bytes(),
    }
}
