use std::collections::HashSet;

use chacha20poly1305::{AeadInOut as _, KeyInit as _, XChaCha20Poly1305};
use proptest::prelude::*;

use super::*;
use crate::random::NONCE_BYTES;

const PLACE: Place<'_> = Place {
    kind: Kind::KeyRing,
    tenant: "tenant",
    record: b"record",
};

const KINDS: [Kind; 5] = [
    Kind::KeyRing,
    Kind::Settings,
    Kind::Answer,
    Kind::Event,
    Kind::Proof,
];

fn key(id: &str, byte: u8) -> MasterKey {
    MasterKey::new(id, &[byte; KEY_BYTES]).expect("a sound id")
}

fn keys<const N: usize>(keys: [MasterKey; N]) -> MasterKeys {
    MasterKeys::new(keys.into()).expect("distinct keys")
}

fn one() -> MasterKeys {
    keys([key("k1", 1)])
}

fn bytes_of(hex: &str) -> Vec<u8> {
    let digits: Vec<char> = hex.chars().filter(char::is_ascii_hexdigit).collect();
    let byte = |pair: &[char]| u8::from_str_radix(&pair.iter().collect::<String>(), 16);
    let bytes = digits.chunks(2).map(byte);
    bytes.collect::<Result<_, _>>().expect("hex")
}

/// draft-irtf-cfrg-xchacha-03, appendix A.3.1: this fixes which cipher is used, and how.
#[test]
fn the_cipher_agrees_with_the_draft() {
    let plain = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip for the future, \
        sunscreen would be it.";
    let data = bytes_of("50515253c0c1c2c3c4c5c6c7");
    let key: [u8; 32] = std::array::from_fn(|index| 0x80 + u8::try_from(index).expect("small"));
    let nonce: [u8; 24] = std::array::from_fn(|index| 0x40 + u8::try_from(index).expect("small"));
    let expected = bytes_of(
        "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb
         731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452
         2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9
         21f9664c97637da9768812f615c68b13b52e",
    );
    let mut buffer = plain.to_vec();
    let tag = XChaCha20Poly1305::new(&key.into())
        .encrypt_inout_detached(&nonce.into(), &data, buffer.as_mut_slice().into())
        .expect("it is short");
    assert_eq!(buffer, expected);
    assert_eq!(tag.to_vec(), bytes_of("c0875924c1c7987947deafd8780acf49"));
}

/// Every later version of the program must open what is stored, so the format cannot change.
#[test]
fn the_format_is_as_documented() {
    let nonce = [7; NONCE_BYTES];
    let sealed = key("k1", 1).seal(&nonce, &PLACE, b"plain");
    assert_eq!(sealed[..4], *b"\x01\x02k1");
    assert_eq!(sealed[4..28], nonce);
    assert_eq!(sealed.len(), 28 + 5 + 16);
    assert_eq!(
        PLACE.associated_data("k1"),
        b"\x01\0\0\0\0\0\0\0\x01\
          \x01\0\0\0\0\0\0\0\x01\
          \x06\0\0\0\0\0\0\0tenant\
          \x06\0\0\0\0\0\0\0record\
          \x02\0\0\0\0\0\0\0k1"
    );
    let data = PLACE.associated_data("k1");
    let mut cipher = b"plain".to_vec();
    let tag = XChaCha20Poly1305::new(&[1; 32].into())
        .encrypt_inout_detached(&nonce.into(), &data, cipher.as_mut_slice().into())
        .expect("it is short");
    assert_eq!(sealed[28..33], cipher);
    assert_eq!(sealed[33..], *tag);
    assert_eq!(KINDS.map(|kind| kind as u8), [1, 2, 3, 4, 5]);
}

/// Sealed by the first version of the format. The fuzzer starts from it, too.
#[test]
fn what_was_sealed_long_ago_opens() {
    let sealed = include_bytes!("../../../fuzz/seeds/sealed/opens");
    let plain = one().open(&PLACE, sealed).map(|plain| plain.to_vec());
    assert_eq!(plain, Ok(b"plain".to_vec()));
}

#[test]
fn the_first_key_encrypts_and_all_decrypt() {
    let old = one();
    let both = keys([key("k2", 2), key("k1", 1)]);
    let before = old.seal(&PLACE, b"before").expect("randomness");
    let after = both.seal(&PLACE, b"after").expect("randomness");
    assert_eq!(key_id(&before), Some("k1"));
    assert_eq!(key_id(&after), Some("k2"));
    assert_eq!(both.first_id(), "k2");
    assert_eq!(both.ids().collect::<Vec<_>>(), ["k2", "k1"]);
    let opened = |keys: &MasterKeys, sealed| keys.open(&PLACE, sealed).map(|plain| plain.to_vec());
    assert_eq!(opened(&both, &before), Ok(b"before".to_vec()));
    assert_eq!(opened(&both, &after), Ok(b"after".to_vec()));
    let error = opened(&old, &after).expect_err("its key is not there");
    assert_eq!(error, CannotOpen::UnknownKey { id: "k2".into() });
    let text = error.to_string();
    assert!(text.contains("`k2`") && text.contains("HOOKTURN_MASTER_KEYS"));
}

#[test]
fn another_key_of_the_same_id_does_not_open() {
    let sealed = one().seal(&PLACE, b"plain").expect("randomness");
    let other = keys([key("k1", 2)]);
    assert_eq!(other.open(&PLACE, &sealed), Err(CannotOpen::Damaged));
}

#[test]
fn the_same_key_under_another_id_does_not_open() {
    let mut sealed = one().seal(&PLACE, b"plain").expect("randomness");
    sealed[3] = b'2';
    let same = keys([key("k2", 1)]);
    assert_eq!(same.open(&PLACE, &sealed), Err(CannotOpen::Damaged));
}

/// Nobody can write words of their own into the log with a sealed value.
#[test]
fn an_id_that_is_none_is_not_shown() {
    for id in [&b"k\n"[..], b"k`", b"\xff1", b"", &[b'k'; 65]] {
        let length = u8::try_from(id.len()).expect("short");
        let sealed = [&[1, length], id, &[0; 64]].concat();
        assert_eq!(key_id(&sealed), None, "{id:?}");
        assert_eq!(one().open(&PLACE, &sealed), Err(CannotOpen::Damaged));
    }
}

#[test]
fn a_master_key_is_an_id_and_32_bytes() {
    let base64 = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8";
    for good in [format!("k1:{base64}"), format!("k1:{base64}=")] {
        let parsed = MasterKey::parse(&good).expect("a sound key");
        assert_eq!(parsed.id(), "k1");
        let bytes = std::array::from_fn(|index| u8::try_from(index).expect("small"));
        let made = MasterKey::new("k1", &bytes).expect("a sound id");
        let sealed = parsed.seal(&[0; NONCE_BYTES], &PLACE, b"plain");
        assert_eq!(sealed, made.seal(&[0; NONCE_BYTES], &PLACE, b"plain"));
    }
    for (bad, why) in [
        (base64.to_owned(), NotAMasterKey::Form),
        (format!(":{base64}"), NotAMasterKey::Id),
        (format!("k 1:{base64}"), NotAMasterKey::Id),
        (format!("{}:{base64}", "k".repeat(65)), NotAMasterKey::Id),
        ("k1:".to_owned(), NotAMasterKey::Key),
        (format!("k1:{base64}AAAA"), NotAMasterKey::Key),
        (format!("k1:{}", base64.repeat(9)), NotAMasterKey::Key),
        (format!("k1:{}", &base64[..40]), NotAMasterKey::Key),
        (
            format!("k1:{}", base64.replace('A', "-")),
            NotAMasterKey::Key,
        ),
    ] {
        assert_eq!(MasterKey::parse(&bad).expect_err(&bad), why, "{bad}");
    }
}

#[test]
fn keys_are_some_and_distinct() {
    let made = |keys| MasterKeys::new(keys).expect_err("unfit");
    assert_eq!(made(vec![]), UnfitKeys::None);
    let twice = vec![key("a", 1), key("b", 2), key("a", 3)];
    assert_eq!(made(twice), UnfitKeys::Twice(3));
}

#[test]
fn debug_shows_the_ids_alone() {
    let keys = keys([key("k2", 0x5a), key("k1", 0xa5)]);
    assert_eq!(format!("{keys:?}"), "[MasterKey(k2), MasterKey(k1)]");
}

#[test]
fn no_two_nonces_are_the_same() {
    let keys = one();
    // Several threads, each of which draws more than it gets from the system at once.
    let drawn: Vec<Vec<u8>> = std::thread::scope(|scope| {
        let sealed = |_| keys.seal(&PLACE, b"").expect("randomness");
        let threads = [(); 4].map(|()| scope.spawn(move || (0..500).map(sealed).collect()));
        let joined: [Vec<_>; 4] = threads.map(|thread| thread.join().expect("no panic"));
        joined.concat()
    });
    let nonces: HashSet<&[u8]> = drawn.iter().map(|sealed| &sealed[4..28]).collect();
    assert_eq!(nonces.len(), 2000);
}

fn kind() -> impl Strategy<Value = Kind> {
    prop::sample::select(&KINDS[..])
}

proptest! {
    #[test]
    fn what_is_sealed_opens_where_it_belongs_and_nowhere_else(
        plain in prop::collection::vec(any::<u8>(), 0..300),
        here in (kind(), "[a-z]{0,3}", prop::collection::vec(any::<u8>(), 0..20)),
        there in (kind(), "[a-z]{0,3}", prop::collection::vec(any::<u8>(), 0..20)),
    ) {
        let place = |(kind, tenant, record): &(Kind, String, Vec<u8>), open: &dyn Fn(&Place<'_>)| {
            open(&Place { kind: *kind, tenant, record });
        };
        let keys = one();
        let mut places = vec![there];
        // Each part alone, and places that are equal when their parts are only concatenated.
        places.extend(KINDS.map(|kind| (kind, here.1.clone(), here.2.clone())));
        places.push((here.0, here.1.clone() + "x", here.2.clone()));
        places.push((here.0, here.1.clone(), [&here.2[..], b"x"].concat()));
        if let Some(first) = here.2.first().filter(|first| first.is_ascii()) {
            let tenant = here.1.clone() + &char::from(*first).to_string();
            places.push((here.0, tenant, here.2[1..].to_vec()));
        }
        place(&here, &|of| {
            let sealed = keys.seal(of, &plain).expect("randomness");
            assert_eq!(keys.open(of, &sealed).expect("it is here").as_slice(), plain);
            assert!(plain.len() < 8 || !sealed.windows(plain.len()).any(|part| part == plain));
            for other in places.iter().filter(|other| **other != here) {
                place(other, &|other| {
                    assert_eq!(keys.open(other, &sealed), Err(CannotOpen::Damaged));
                });
            }
        });
    }

    #[test]
    fn arbitrary_bytes_do_not_open(bytes in prop::collection::vec(any::<u8>(), 0..200), sound in any::<bool>()) {
        let bytes = if sound { [b"\x01\x02k1", &bytes[..]].concat() } else { bytes };
        let opened = one().open(&PLACE, &bytes);
        match key_id(&bytes) {
            None | Some("k1") => prop_assert_eq!(opened, Err(CannotOpen::Damaged)),
            Some(id) => prop_assert_eq!(opened, Err(CannotOpen::UnknownKey { id: id.to_owned() })),
        }
    }
}

proptest! {
    // Each case tries every bit.
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn a_changed_bit_and_a_missing_byte_are_noticed(plain in prop::collection::vec(any::<u8>(), 0..40)) {
        let keys = one();
        let sealed = keys.seal(&PLACE, &plain).expect("randomness");
        for bit in 0..sealed.len() * 8 {
            let mut changed = sealed.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            prop_assert!(keys.open(&PLACE, &changed).is_err(), "bit {bit}");
        }
        for length in 0..sealed.len() {
            prop_assert!(keys.open(&PLACE, &sealed[..length]).is_err(), "{length} bytes");
            prop_assert!(keys.open(&PLACE, &sealed[sealed.len() - length..]).is_err());
        }
        prop_assert!(keys.open(&PLACE, &[&sealed[..], b"\0"].concat()).is_err());
    }
}
