//! The signature headers of a delivery: any bytes get a report, and all text in it is printable.

#![no_main]

use hookturn::domain::Timestamp;
use hookturn::domain::verification::{
    ReceiverSecret, WEBHOOK_ID, WEBHOOK_SIGNATURE, WEBHOOK_TIMESTAMP, X_WEBHOOK_SIGNATURE, verify,
};

// Three lines of header values, then the body.
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    let mut parts = data.splitn(4, |byte| *byte == b'\n');
    let [id, timestamp, signature, body] = [(); 4].map(|()| parts.next().unwrap_or_default());
    let secrets = [ReceiverSecret::new(
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD",
    )];
    let standard = [
        (WEBHOOK_ID, id),
        (WEBHOOK_TIMESTAMP, timestamp),
        (WEBHOOK_SIGNATURE, signature),
    ];
    let verbex = [(X_WEBHOOK_SIGNATURE, signature)];
    for headers in [
        &standard[..],
        &verbex[..],
        &[&standard[..], &verbex[..]].concat(),
    ] {
        let report = verify(headers, body, &secrets, Timestamp::from_millis(0), None);
        assert_eq!(report.verified(), report.matching_secrets().count() == 1);
        assert!(!report.id.is_some_and(|id| id.contains(char::is_control)));
        for failure in report.failures {
            assert!(!failure.to_string().contains(char::is_control));
        }
    }
});
