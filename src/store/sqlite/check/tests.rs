//! Tests what nobody can do to a file from outside, since it is encrypted: only a bug in this
//! program could.

use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::clock::TestClock;
use crate::domain::key_ring::{Current, Retiring};
use crate::domain::{Endpoint, EndpointId, Format, KeyRing, Secret, Settings};
use crate::store::at_rest::{MasterKey, codec};
use crate::store::sqlite::Opening;

const NOW: i64 = 1_000_000;

#[derive(Default)]
struct Found(Vec<String>);

impl Progress for Found {
    fn found(&mut self, line: &str) {
        self.0.push(line.to_owned());
    }
}

/// Makes a ring of secrets from their numbers, times of creation and, except for the first,
/// expiries.
fn ring(secrets: &[(u8, i64, i64)]) -> KeyRing {
    let mut retiring = secrets.iter().map(|(number, made, expires)| Retiring {
        secret: Secret::from_bytes(&[*number; 30]),
        created_at: Timestamp::from_millis(*made),
        expires_at: Timestamp::from_millis(*expires),
    });
    let first = retiring.next().expect("a current secret");
    let current = Current {
        secret: first.secret,
        created_at: first.created_at,
    };
    KeyRing::from_parts(current, retiring.collect())
}

/// Returns what `check` finds in a file with one endpoint that has this ring, with a clock that
/// says `NOW`.
fn problems(ring: KeyRing, ahead: Duration) -> Vec<String> {
    let directory = tempfile::tempdir().expect("a directory");
    let path = directory.path().join("hookturn.db");
    let keys = MasterKeys::new(vec![MasterKey::new("k", &[1; 32]).expect("an id")]).expect("a key");
    let opening = Opening::new(&path, keys.clone()).expect("a new file");
    let id = [7; 12];
    let made = Timestamp::from_millis(0);
    let endpoint = Endpoint {
        id: EndpointId::Object(id),
        format: Format::Verbex,
        created_at: made,
        updated_at: made,
        settings: Arc::new(Settings {
            url: "https://example.com/".into(),
            events: Box::new([]),
            description: None,
            active: false,
            name: None,
            headers: Box::new([]),
            agent_ids: Box::new([]),
            workspace_ids: Box::new([]),
        }),
        key_ring: Some(ring),
    };
    let seal = |kind, bytes: &[u8]| {
        let place = Place {
            kind,
            tenant: "acme",
            record: &id,
        };
        keys.seal(&place, bytes).expect("randomness")
    };
    let settings = codec::settings_to_bytes(&endpoint).expect("settings");
    let ring = codec::key_ring_to_bytes(endpoint.key_ring.as_ref().expect("a ring"));
    let db = &opening.db;
    db.execute("INSERT INTO tenant VALUES (1, 'acme')", [])
        .expect("a tenant");
    db.execute("INSERT INTO usage VALUES (1, 1, 0, 0, 0)", [])
        .expect("its usage");
    db.execute(
        "INSERT INTO endpoint VALUES (1, 1, ?1, 0, NULL, ?2)",
        (&id[..], seal(Kind::Settings, &settings)),
    )
    .expect("an endpoint");
    db.execute(
        "INSERT INTO key_ring VALUES (1, ?1)",
        [seal(Kind::KeyRing, &ring)],
    )
    .expect("a ring");
    let ahead = i64::try_from(ahead.as_millis()).expect("small");
    db.execute("UPDATE state SET clock_advance_ms = ?1", [ahead])
        .expect("a state");
    drop(opening);
    let clock = TestClock::frozen_at(Timestamp::from_millis(NOW));
    let mut found = Found::default();
    let summary = check(&path, &keys, &clock, &mut found).expect("it can be looked at");
    assert_eq!(summary.problems, found.0.len() as u64);
    assert_eq!((summary.endpoints, summary.key_rings), (1, 1));
    found.0
}

/// Makes `count` secrets, all live at `NOW` and until 10 s later.
fn live(count: u8) -> Vec<(u8, i64, i64)> {
    (0..count)
        .map(|number| (number, NOW - i64::from(number), NOW + 10_000))
        .collect()
}

#[test]
fn ten_secrets_may_be_live_by_the_clock_of_the_file() {
    assert_eq!(problems(ring(&live(1)), Duration::ZERO), [""; 0]);
    assert_eq!(problems(ring(&live(10)), Duration::ZERO), [""; 0]);
    let found = problems(ring(&live(11)), Duration::from_millis(9_999));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(
        found[0].ends_with("more than 10 secrets are live"),
        "{found:?}"
    );
    assert_eq!(problems(ring(&live(11)), Duration::from_secs(10)), [""; 0]);
}

#[test]
fn secrets_are_newest_first_expire_after_they_were_made_and_differ() {
    for (wrong, told) in [
        (
            &[(1, 5, 0), (2, 3, NOW), (3, 4, NOW)][..],
            "not newest first",
        ),
        (&[(1, 5, 0), (2, 6, NOW)], "not newest first"),
        (&[(1, 5, 0), (2, 4, 3)], "expires before it was made"),
        (&[(1, 5, 0), (1, 4, NOW)], "it has a secret twice"),
        (
            &[(1, 5, 0), (2, 4, NOW), (2, 3, NOW)],
            "it has a secret twice",
        ),
    ] {
        let found = problems(ring(wrong), Duration::ZERO);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].contains(told), "{found:?}");
    }
}
