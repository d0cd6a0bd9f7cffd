//! The whole server in this process, with short deadlines, and the rotations of its victim.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookturn::clock::TestClock;
use hookturn::server::Limits;
use hookturn_test::{ACME, Server};

use super::client::{RawAnswer, RawClient};

/// The key of the tenant whose records are created here.
pub const KEY: &str = ACME;

/// For a deadline that a test waits for.
pub const SHORT: Duration = Duration::from_millis(200);

/// For a deadline that must not end what a test is about.
pub const LONG: Duration = Duration::from_secs(600);

/// A server with an endpoint of each dialect.
pub struct Hookturn {
    pub address: SocketAddr,
    /// The path of the endpoint's rotation, 2026-03-01.
    pub rotation: String,
    /// The path of the subscription's rotation, Verbex v1.
    pub verbex_rotation: String,
    /// The path that ends the subscription's retiring secrets, so that it can be rotated any number
    /// of times.
    revocation: String,
    /// Where the live secrets of both are listed.
    secrets: [String; 2],
    seen: Mutex<HashSet<String>>,
    /// What is attacked, unless it runs elsewhere.
    _server: Option<Server>,
}

impl Hookturn {
    /// With deadlines that nothing here waits for.
    pub async fn start() -> Self {
        Self::with(LONG, LONG).await
    }

    pub async fn with(header_timeout: Duration, body_timeout: Duration) -> Self {
        let limits = Limits {
            header_timeout,
            ..Limits::default()
        };
        let server = Server::builder()
            .clock(Arc::new(TestClock::running()))
            .without_dev()
            .body_timeout(body_timeout)
            .limits(limits)
            .start()
            .await;
        let hookturn = Self::at(server.address).await;
        Self {
            _server: Some(server),
            ..hookturn
        }
    }

    /// A server that runs already, whose key is [`KEY`] too.
    pub async fn at(address: SocketAddr) -> Self {
        let mut client = RawClient::connect(address).await;
        let endpoint = client
            .post(
                "/webhooks/endpoints",
                r#"{"url":"https://example.com/hook"}"#,
            )
            .await;
        let endpoint = id_of(&endpoint);
        let subscription = client
            .post(
                "/v1/public/webhook/subscription",
                r#"{"name":"s","url":"https://example.com/hook","enable_signed_webhooks":true}"#,
            )
            .await;
        let subscription = id_of(&subscription);
        Self {
            address,
            rotation: format!("/webhooks/endpoints/{endpoint}/secret/rotate"),
            verbex_rotation: format!(
                "/v1/public/webhook/subscription/{subscription}/rotate/secret"
            ),
            revocation: format!("/webhooks/endpoints/{subscription}/secret/revoke-previous"),
            secrets: [endpoint, subscription].map(|id| format!("/webhooks/endpoints/{id}/secrets")),
            seen: Mutex::default(),
            _server: None,
        }
    }

    /// Both rotations; a request that is refused in one dialect is refused in the other.
    pub fn rotations(&self) -> [&str; 2] {
        [&self.rotation, &self.verbex_rotation]
    }

    /// The fingerprints of the live secrets of both, which change when one is rotated.
    pub async fn fingerprints(&self) -> Vec<String> {
        let mut client = self.connect().await;
        let mut fingerprints = Vec::new();
        for path in &self.secrets {
            let key = format!("Authorization: Bearer {KEY}");
            client
                .send(format!(
                    "GET {path} HTTP/1.1\r\nHost: test\r\n{key}\r\n\r\n"
                ))
                .await;
            let listed = client.answer().await.expect("an answer").json();
            let secrets = listed["data"].as_array().expect("a list");
            fingerprints.extend(
                secrets
                    .iter()
                    .map(|secret| secret["fingerprint"].to_string()),
            );
        }
        fingerprints
    }

    pub async fn connect(&self) -> RawClient {
        RawClient::connect(self.address).await
    }

    /// Sends these bytes on a new connection.
    pub async fn send(&self, bytes: impl AsRef<[u8]>) -> RawClient {
        let mut client = self.connect().await;
        client.send(bytes).await;
        client
    }

    /// A new client's rotations in both dialects give a new secret each.
    pub async fn still_rotates(&self) {
        let mut client = self.connect().await;
        let rotated = client.post(&self.rotation, r#"{"expire_current_in":0}"#);
        self.has_new_secret(&rotated.await);
        // Its cap on live secrets may have been reached.
        assert_eq!(client.post(&self.revocation, "").await.status, 200);
        let rotated = client.post(&self.verbex_rotation, "").await;
        self.has_new_secret(&rotated);
    }

    fn has_new_secret(&self, rotated: &RawAnswer) {
        assert_eq!(rotated.status, 200, "{rotated:?}");
        let secret = rotated.json()["secret"]
            .as_str()
            .expect("a secret")
            .to_owned();
        assert!(secret.starts_with("whsec_"));
        let mut seen = self.seen.lock().expect("no test panics while it is held");
        assert!(seen.insert(secret), "an old secret");
    }
}

fn id_of(created: &RawAnswer) -> String {
    assert_eq!(created.status, 201, "{created:?}");
    created.json()["id"].as_str().expect("an id").to_owned()
}
