//! Sealed values: bytes open only if they were sealed, and the id of their key is printable.

#![no_main]

use std::sync::LazyLock;

use hookturn::store::at_rest::{CannotOpen, Kind, MasterKey, MasterKeys, Place, key_id};

static KEYS: LazyLock<MasterKeys> = LazyLock::new(|| {
    let key = |id, byte| MasterKey::new(id, &[byte; 32]).expect("a sound id");
    MasterKeys::new(vec![key("k1", 1), key("k2", 2)]).expect("distinct keys")
});

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let place = Place {
        kind: Kind::KeyRing,
        tenant: "tenant",
        record: b"record",
    };
    let id = key_id(data);
    let known = id.is_some_and(|id| KEYS.ids().any(|known| known == id));
    match KEYS.open(&place, data) {
        // Only the seeds open, since only they were sealed with these keys.
        Ok(plain) => assert_eq!((id, plain.as_slice()), (Some("k1"), &b"plain"[..])),
        Err(CannotOpen::UnknownKey { id: named }) => {
            assert!(!known && id == Some(named.as_str()));
            assert!(named.len() <= 64 && named.bytes().all(|byte| byte.is_ascii_graphic()));
        }
        Err(CannotOpen::Damaged) => assert!(id.is_none() || known),
    }
});
