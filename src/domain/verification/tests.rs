//! Examples of every failure, and properties: what was signed verifies, what was altered does not.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;
use crate::domain::secret::Secret;
use crate::domain::signature;

pub(super) const NOW: i64 = 1_700_000_000;

pub(super) fn secret(byte: u8) -> Secret {
    Secret::from_bytes(&[byte; 30])
}

pub(super) fn held(secrets: &[Secret]) -> Vec<ReceiverSecret> {
    let held = |secret: &Secret| ReceiverSecret::new(&secret.expose());
    secrets.iter().map(held).collect()
}

/// A request with owned headers, so that a test can alter them.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    headers: Vec<(&'static str, Vec<u8>)>,
    body: Vec<u8>,
}

impl Sent {
    pub(super) fn new(format: Format, secrets: &[Secret], timestamp: i64, body: &[u8]) -> Self {
        let signers: Vec<_> = secrets.iter().map(|secret| secret.signer(format)).collect();
        let headers = match format {
            Format::StandardWebhooks => vec![
                (WEBHOOK_ID, b"evt_1".to_vec()),
                (WEBHOOK_TIMESTAMP, timestamp.to_string().into_bytes()),
                (
                    WEBHOOK_SIGNATURE,
                    signature::standard_webhooks(&signers, "evt_1", timestamp, body).into_bytes(),
                ),
            ],
            Format::Verbex => vec![
                (
                    X_WEBHOOK_TRACEID,
                    b"0af7651916cd43dd8448eb211c80319c".to_vec(),
                ),
                (
                    X_WEBHOOK_SIGNATURE,
                    signature::verbex(&signers, timestamp, body).into_bytes(),
                ),
            ],
        };
        Self {
            headers,
            body: body.to_vec(),
        }
    }

    pub(super) fn standard(secrets: &[Secret]) -> Self {
        Self::new(Format::StandardWebhooks, secrets, NOW, b"{\"a\":1}")
    }

    pub(super) fn verbex(secrets: &[Secret]) -> Self {
        Self::new(Format::Verbex, secrets, NOW, b"{\"a\":1}")
    }

    pub(super) fn with(mut self, name: &'static str, value: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self.headers.push((name, value.as_bytes().to_vec()));
        self
    }

    pub(super) fn without(mut self, name: &str) -> Self {
        self.headers.retain(|(known, _)| *known != name);
        self
    }

    pub(super) fn body(mut self, body: &[u8]) -> Self {
        self.body = body.to_vec();
        self
    }

    pub(super) fn verify(&self, secrets: &[ReceiverSecret]) -> Report {
        self.verify_at(secrets, NOW)
    }

    pub(super) fn verify_at(&self, secrets: &[ReceiverSecret], now: i64) -> Report {
        let headers: Vec<(&str, &[u8])> = self
            .headers
            .iter()
            .map(|(name, value)| (*name, value.as_slice()))
            .collect();
        let now = Timestamp::from_millis(now * 1000);
        verify(&headers, &self.body, secrets, now, Some(DEFAULT_TOLERANCE))
    }
}

#[test]
fn a_grace_is_explained_secret_by_secret_and_signature_by_signature() {
    for format in [Format::StandardWebhooks, Format::Verbex] {
        let sent = Sent::new(format, &[secret(2), secret(1)], NOW, b"{}");
        let report = sent.verify(&held(&[secret(1), secret(3)]));
        assert!(report.verified(), "{report:?}");
        assert_eq!(report.format, Some(format));
        assert_eq!(
            report.signatures,
            [
                SignatureReport::NotMatched,
                SignatureReport::Matched(vec![1])
            ]
        );
        let outcomes: Vec<_> = report
            .secrets
            .iter()
            .map(|secret| &secret.outcome)
            .collect();
        assert_eq!(
            outcomes,
            [&SecretOutcome::Matched(vec![2]), &SecretOutcome::NotMatched]
        );
        assert_eq!(report.matching_secrets().collect::<Vec<_>>(), [1]);
        assert_eq!(report.secrets[0].fingerprint, secret(1).fingerprint());
    }
}

#[test]
fn names_of_headers_have_no_case() {
    let mut sent = Sent::verbex(&[secret(1)]);
    sent.headers[1].0 = "x-wEBHOOK-signature";
    assert!(sent.verify(&held(&[secret(1)])).verified());
}

#[test]
fn missing_and_repeated_headers_are_named() {
    let secrets = held(&[secret(1)]);
    let failures = |sent: Sent| sent.verify(&secrets).failures;
    let standard = || Sent::standard(&[secret(1)]);
    let bare = Sent {
        headers: Vec::new(),
        body: Vec::new(),
    };
    assert_eq!(failures(bare), [Rejection::NotSigned { format: None }]);
    for header in [WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE] {
        let missing = [Rejection::MissingHeader { header }];
        assert_eq!(failures(standard().without(header)), missing);
        let mut twice = standard();
        twice.headers.push((header, b"1".to_vec()));
        assert_eq!(failures(twice), [Rejection::RepeatedHeader { header }]);
    }
    let unsigned = Sent::verbex(&[]).without(X_WEBHOOK_SIGNATURE);
    let format = Some(Format::Verbex);
    assert_eq!(failures(unsigned), [Rejection::NotSigned { format }]);
    let both = standard().with(X_WEBHOOK_SIGNATURE, "t=1,v1=ff");
    assert_eq!(failures(both), [Rejection::TwoFormats]);
}

#[test]
fn a_malformed_header_is_named_with_the_place() {
    let hex = "ab".repeat(32);
    let base64 = STANDARD.encode([7; 32]);
    let cases: [(&'static str, String, usize, &str); 21] = [
        (WEBHOOK_ID, String::new(), 1, "visible"),
        (WEBHOOK_ID, "evt 1".to_owned(), 1, "visible"),
        (WEBHOOK_ID, "evt.1".to_owned(), 4, "full stop"),
        (WEBHOOK_TIMESTAMP, String::new(), 1, "digits"),
        (WEBHOOK_TIMESTAMP, "-1".to_owned(), 1, "digits"),
        (WEBHOOK_TIMESTAMP, "1700000000.5".to_owned(), 1, "digits"),
        (
            WEBHOOK_TIMESTAMP,
            "01700000000".to_owned(),
            1,
            "leading zero",
        ),
        (
            WEBHOOK_TIMESTAMP,
            "1700000000000".to_owned(),
            1,
            "milliseconds",
        ),
        (WEBHOOK_SIGNATURE, String::new(), 1, "empty"),
        (WEBHOOK_SIGNATURE, base64.clone(), 1, "v1,<base64>"),
        (
            WEBHOOK_SIGNATURE,
            format!("v1,{}", &base64[..43]),
            1,
            "44 characters",
        ),
        (
            WEBHOOK_SIGNATURE,
            format!("v0,x v1,{hex}"),
            6,
            "44 characters",
        ),
        (WEBHOOK_SIGNATURE, format!("v1={hex}"), 1, "v1,<base64>"),
        (
            X_WEBHOOK_SIGNATURE,
            format!("v1={hex}"),
            1,
            "t=<Unix seconds> is missing",
        ),
        (
            X_WEBHOOK_SIGNATURE,
            "t=1700000000".to_owned(),
            13,
            "no v1=<hex>",
        ),
        (X_WEBHOOK_SIGNATURE, format!("t=1,t=1,v1={hex}"), 5, "twice"),
        (X_WEBHOOK_SIGNATURE, format!("t=now,v1={hex}"), 3, "digits"),
        (
            X_WEBHOOK_SIGNATURE,
            format!("t=1700000000000,v1={hex}"),
            3,
            "milliseconds",
        ),
        (
            X_WEBHOOK_SIGNATURE,
            format!("t=1700000000,v1={}", &hex[1..]),
            14,
            "64 hex",
        ),
        (
            X_WEBHOOK_SIGNATURE,
            format!("t=1700000000,v1={}", hex.to_uppercase()),
            14,
            "lower case",
        ),
        (
            X_WEBHOOK_SIGNATURE,
            format!("t=1700000000, v1={hex}"),
            14,
            "its scheme",
        ),
    ];
    for (header, value, place, expected) in cases {
        let sent = match header {
            X_WEBHOOK_SIGNATURE => Sent::verbex(&[]),
            _ => Sent::standard(&[secret(1)]),
        };
        let report = sent.with(header, &value).verify(&held(&[secret(1)]));
        let found = report.failures.iter().any(|failure| {
            matches!(failure, Rejection::MalformedHeader { header: named, at, problem }
                if *named == header && *at == place && problem.contains(expected))
        });
        assert!(found, "{header}: {value:?}: {:?}", report.failures);
    }
}

#[test]
fn a_malformed_or_foreign_signature_does_not_hide_a_good_one() {
    let sent = Sent::standard(&[secret(1)]);
    let good = String::from_utf8(sent.headers[2].1.clone()).expect("ASCII");
    let report = sent
        .with(WEBHOOK_SIGNATURE, &format!("v1a,abc= v1,??? {good}"))
        .verify(&held(&[secret(1)]));
    assert!(report.verified(), "{report:?}");
    assert_eq!(
        report.signatures[0],
        SignatureReport::OtherScheme("v1a".to_owned())
    );
    assert!(matches!(
        report.signatures[1],
        SignatureReport::Malformed(_)
    ));
    assert_eq!(report.signatures[2], SignatureReport::Matched(vec![1]));
}

#[test]
fn unknown_schemes_alone_are_named() {
    let secrets = held(&[secret(1)]);
    let standard = Sent::standard(&[secret(1)]).with(WEBHOOK_SIGNATURE, "v1a,AA== v1a,AB== v2,x");
    let schemes = vec!["v1a".to_owned(), "v2".to_owned()];
    assert_eq!(
        standard.verify(&secrets).failures,
        [Rejection::UnknownScheme { schemes }]
    );
    let verbex = Sent::verbex(&[]).with(X_WEBHOOK_SIGNATURE, "t=1700000000,v0=ab");
    let schemes = vec!["v0".to_owned()];
    assert_eq!(
        verbex.verify(&secrets).failures,
        [Rejection::UnknownScheme { schemes }]
    );
}

#[test]
fn the_tolerance_is_tolerated_and_a_second_more_is_not() {
    let secrets = held(&[secret(1)]);
    for sent in [Sent::standard(&[secret(1)]), Sent::verbex(&[secret(1)])] {
        for now in [NOW - 300, NOW, NOW + 300] {
            assert!(sent.verify_at(&secrets, now).verified());
        }
        let distance = Duration::from_secs(301);
        let tolerance = DEFAULT_TOLERANCE;
        let old = sent.verify_at(&secrets, NOW + 301);
        let age = distance;
        assert_eq!(old.failures, [Rejection::TooOld { age, tolerance }]);
        // It is old but genuine, and the report says both.
        assert_eq!(old.matching_secrets().collect::<Vec<_>>(), [1]);
        let new = sent.verify_at(&secrets, NOW - 301);
        let ahead = distance;
        assert_eq!(new.failures, [Rejection::TooNew { ahead, tolerance }]);
        assert_eq!(new.age, Some(-301));
    }
}

#[test]
fn a_malformed_secret_is_told_and_the_others_still_verify() {
    let sent = Sent::standard(&[secret(1)]);
    let text = secret(1).expose();
    let malformed = ReceiverSecret::new(&text["whsec_".len()..]);
    let outcome = SecretOutcome::Malformed(MalformedSecret::Prefix);

    let report = sent.verify(&[malformed.clone(), ReceiverSecret::new(&text)]);
    assert!(report.verified());
    assert_eq!(report.secrets[0].outcome, outcome);
    assert_eq!(report.signatures, [SignatureReport::Matched(vec![2])]);

    let report = sent.verify(&[malformed]);
    assert_eq!(report.failures, [Rejection::NoSecret]);
    assert_eq!(sent.verify(&[]).failures, [Rejection::NoSecret]);
}

#[test]
fn time_spans_have_two_units_at_most() {
    for (seconds, expected) in [
        (0, "0 s"),
        (59, "59 s"),
        (60, "1 min"),
        (3599, "59 min 59 s"),
        (7200, "2 h"),
        (86_399, "23 h 59 min"),
        (90_000, "1 d 1 h"),
    ] {
        assert_eq!(span(Duration::from_secs(seconds)), expected);
    }
}

fn formats() -> impl Strategy<Value = Format> {
    prop_oneof![Just(Format::StandardWebhooks), Just(Format::Verbex)]
}

fn secrets(count: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Secret>> {
    prop::collection::hash_set(any::<[u8; 30]>(), count)
        .prop_map(|all| all.iter().map(Secret::from_bytes).collect())
}

proptest! {
    /// I9: a receiver with any one of the live secrets can verify, and the signatures are in the
    /// order of the key ring.
    #[test]
    fn any_live_secret_verifies(
        format in formats(),
        live in secrets(1..11),
        timestamp in 0..99_999_999_999_i64,
        body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        let sent = Sent::new(format, &live, timestamp, &body);
        for (place, secret) in (1..).zip(&live) {
            let report = sent.verify_at(&held(std::slice::from_ref(secret)), timestamp);
            prop_assert!(report.verified(), "{:?}", report);
            prop_assert_eq!(&report.secrets[0].outcome, &SecretOutcome::Matched(vec![place]));
        }
        let all = sent.verify_at(&held(&live), timestamp);
        prop_assert_eq!(all.matching_secrets().count(), live.len());
    }

    #[test]
    fn a_secret_that_is_not_live_does_not(format in formats(), all in secrets(2..6)) {
        let sent = Sent::new(format, &all[1..], NOW, b"{}");
        let report = sent.verify(&held(&all[..1]));
        prop_assert_eq!(report.failures, [Rejection::NoMatch { hints: Vec::new() }]);
    }

    /// Any bit of the headers or of the body.
    #[test]
    fn a_flipped_bit_anywhere_fails(
        format in formats(),
        secret in any::<[u8; 30]>(),
        body in prop::collection::vec(any::<u8>(), 1..60),
        place in any::<prop::sample::Index>(),
        bit in 0..8_u8,
    ) {
        let secret = Secret::from_bytes(&secret);
        let mut sent = Sent::new(format, std::slice::from_ref(&secret), NOW, &body);
        if format == Format::Verbex {
            // This format does not sign it.
            sent = sent.without(X_WEBHOOK_TRACEID);
        }
        let bytes = sent.headers.iter_mut().map(|(_, value)| value).chain([&mut sent.body]);
        let mut bytes: Vec<&mut u8> = bytes.flatten().collect();
        let place = place.index(bytes.len());
        *bytes[place] ^= 1 << bit;
        prop_assert!(!sent.verify(&held(std::slice::from_ref(&secret))).verified());
    }

    /// For any headers there is a report, and all text in it is printable.
    #[test]
    fn no_header_value_makes_it_panic(
        names in prop::collection::vec(prop::sample::select(vec![
            WEBHOOK_ID, WEBHOOK_TIMESTAMP, WEBHOOK_SIGNATURE,
            X_WEBHOOK_SIGNATURE, X_WEBHOOK_TRACEID, X_WEBHOOK_EVENT,
        ]), 0..5),
        values in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..80),
            "((t|v1|v0|v1a|)(=|,|)[0-9a-f]{0,66}( |,|)){0,4}".prop_map(String::into_bytes),
            "[0-9]{0,30}".prop_map(String::into_bytes),
        ], 5),
        body in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let sent = Sent { headers: names.into_iter().zip(values).collect(), body };
        let report = sent.verify(&held(&[secret(1)]));
        prop_assert!(!report.verified());
        for failure in &report.failures {
            prop_assert!(!failure.to_string().contains(char::is_control));
        }
        prop_assert!(!report.id.unwrap_or_default().contains(char::is_control));
    }

    /// What the reference library signs verifies here, with a secret of any valid length. The other
    /// direction needs the wall clock and is in `tests/deliveries/example_receivers.rs`.
    #[test]
    fn the_reference_library_is_verified(
        key in prop::collection::vec(any::<u8>(), 24..65),
        id in "[A-Za-z0-9_-]{1,64}",
        body in "\\PC{0,40}",
    ) {
        let text = format!("whsec_{}", STANDARD.encode(&key));
        let oracle = standardwebhooks::Webhook::new(&text).expect("a valid secret");
        let header = oracle.sign(&id, NOW, body.as_bytes()).expect("signs");
        let sent = Sent::standard(&[])
            .with(WEBHOOK_ID, &id)
            .with(WEBHOOK_SIGNATURE, &header)
            .body(body.as_bytes());
        prop_assert!(sent.verify(&[ReceiverSecret::new(&text)]).verified());
    }
}
