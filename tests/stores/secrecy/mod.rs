//! A secret leaves in the answer that made it, and nowhere else (I6): the program's output is
//! searched for each one.

mod joined;
mod log;
mod needles;
mod start;

use hookturn::config::{ApiKey, ApiKeys};
use hookturn::domain::{HeaderEntry, KeyRing, Secret, Timestamp};
use hookturn::store::Page;
use hookturn::store::at_rest::{MasterKey, MasterKeys};
use hookturn_test::{Program, SUBSCRIPTIONS};
use reqwest::Method;
use serde_json::Value;

use self::needles::Needles;
use crate::http::{TestServer, answer, with_key};

const KEY_OF_A: &str = "hk_kB3v9QxTz7RfW2mN8sLpYd5JhGc4";
const CREDENTIALS: [&str; 3] = [
    "Bearer receiver-credential-5b1f0e",
    "second receiver credential 9a8c",
    "credential-of-a-refused-request-21d7",
];

fn has_secret(value: &Value) -> bool {
    match value {
        Value::Object(members) => members
            .iter()
            .any(|(name, value)| name == "secret" || has_secret(value)),
        Value::Array(items) => items.iter().any(has_secret),
        Value::String(text) => text.contains("whsec_"),
        _ => false,
    }
}

#[tokio::test]
async fn only_the_answer_that_makes_a_secret_shows_one() {
    let server = TestServer::start().await;
    let endpoint = server.endpoint().await;
    let subscription = server.subscription("name", true).await;
    let renamed = crate::http::subscription_body("renamed", true);
    let silent = [
        server.get("/webhooks/endpoints"),
        server.get(&endpoint),
        server.get(&subscription),
        server.get(&format!("{endpoint}/secrets")),
        server.get(&format!("{subscription}/rotate/secret")),
        // Either dialect shows the other's.
        server.get(&endpoint.replace("/webhooks/endpoints", SUBSCRIPTIONS)),
        server.get(&subscription.replace(SUBSCRIPTIONS, "/webhooks/endpoints")),
        server.request(Method::PATCH, &endpoint).body("{}"),
        server.post(&format!("{endpoint}/secret/revoke-previous")),
        // Signing stays on, so the key ring stays as it is.
        server.put(&subscription).body(renamed),
    ];
    for request in silent {
        let answered = answer(request).await;
        assert!(!has_secret(&answered.json()), "{answered:?}");
    }
    let rotated = with_key(server.post(&format!("{endpoint}/rotate-secret")), "key").await;
    assert!(has_secret(&rotated.is(200).json()), "the search finds one");
    server.stop().await;
}

#[tokio::test]
async fn debug_shows_no_secret_of_anything_that_holds_one() {
    let now = Timestamp::from_millis(0);
    let secret = Secret::from_bytes(&[0x5a; 30]);
    let (ring, rotation) = KeyRing::new(secret.clone(), now)
        .rotate(
            now,
            std::time::Duration::from_secs(1),
            Secret::from_bytes(&[0xa5; 30]),
        )
        .expect("there is room");
    let server = TestServer::start().await;
    let path = server.subscription("name", true).await;
    let mut endpoint = server.record(&path).await;
    let issued = endpoint
        .key_ring
        .as_ref()
        .expect("signed")
        .current()
        .secret
        .expose();
    std::sync::Arc::make_mut(&mut endpoint.settings).headers = Box::new([HeaderEntry {
        name: "X-Credential".into(),
        value: zeroize::Zeroizing::new(CREDENTIALS[0].into()),
    }]);
    let key = ApiKey::parse(KEY_OF_A).expect("a sound key");
    let answer = crate::support::Rotated::render(&rotation);
    let record = hookturn::idempotency::Record {
        fingerprint: crate::support::key_use("key", "request").fingerprint,
        answer: answer.clone(),
    };
    let committed = hookturn::store::Committed {
        answer: answer.clone(),
        replayed: false,
        action: None,
    };
    let page = Page {
        items: vec![endpoint.clone()],
        has_more: false,
    };
    let change = hookturn::store::Change::Replace(endpoint.clone());
    let master_keys = vec![
        MasterKey::new("k2", &[0x5a; 32]).expect("a sound id"),
        MasterKey::new("k1", &[0xa5; 32]).expect("a sound id"),
    ];
    let master_keys = MasterKeys::new(master_keys).expect("distinct ids");
    let shown = [
        format!("{endpoint:?} {:?}", endpoint.settings),
        format!("{ring:?} {:?} {secret:?}", ring.current()),
        format!("{:?}", ring.live(now).collect::<Vec<_>>()),
        format!("{rotation:?} {change:?} {page:?}"),
        format!("{answer:?} {record:?} {committed:?}"),
        format!("{key:?} {:?}", ApiKeys::one("a", key.clone())),
        format!("{master_keys:?}"),
    ]
    .join("\n");
    let mut needles = Needles::default();
    needles.add_secret(&issued);
    needles.add_secret(&secret.expose());
    needles.add_secret(&rotation.secret.expose());
    needles.add(KEY_OF_A);
    needles.add(CREDENTIALS[0]);
    needles.add_bytes(&[0x5a; 32]);
    needles.add_bytes(&[0xa5; 32]);
    needles.assert_absent(&shown);
    // Bytes as a list of numbers would be a secret in another spelling.
    assert!(
        !shown.contains("90, 90, 90") && !shown.contains("165, 165"),
        "{shown}"
    );
    server.stop().await;
}

/// The API key that a server made, as it told it.
fn generated_key(program: &Program) -> String {
    let key = program.out.wait_for(|out| {
        let mut lines = out
            .split_inclusive('\n')
            .filter(|line| line.ends_with('\n'));
        let line = lines.find(|line| line.trim().starts_with("hk_"))?;
        Some(line.trim().to_owned())
    });
    key.expect("it tells a key")
}
