//! What the tests here ask for most often.

use std::ops::Deref;

use hookturn_test::{Answer, Client, Program};
use serde_json::{Value, json};

/// A client of one running server. The tests here ask by the ten thousand, and of damaged files:
/// what answers look like is held against the documents elsewhere.
#[derive(Clone)]
pub struct Api(Client);

impl Deref for Api {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.0
    }
}

impl Api {
    pub fn of(program: &Program) -> Self {
        Self::at(&program.address)
    }

    /// A client of the server at this address.
    pub fn at(address: impl std::fmt::Display) -> Self {
        Self(Client::of(address).unchecked())
    }

    /// The same with another API key.
    pub fn key(self, key: &'static str) -> Self {
        Self(self.0.key(key))
    }

    pub async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.0.post(path).body(body.to_string()).await
    }

    pub async fn patch(&self, path: &str, body: impl ToString) -> Answer {
        self.0.patch(path).body(body.to_string()).await
    }

    /// Publishes `{"n":0}` under this type and id.
    pub async fn publish(&self, event_type: &str, id: &str) -> Answer {
        let event = json!({ "type": event_type, "id": id, "data": { "n": 0 } });
        self.post("/events", event).await
    }

    /// Moves the test clock.
    pub async fn advance(&self, seconds: u64) {
        let body = json!({ "seconds": seconds });
        self.post("/dev/clock/advance", body).await.is(200);
    }

    /// The live secrets of an endpoint.
    pub async fn secrets(&self, id: &str) -> Vec<Value> {
        self.live(id).await
    }
}

/// Asserts that this is a 500 that says nothing of the inside.
pub fn assert_mute_failure(answer: &Answer) {
    assert_eq!(answer.status, 500, "{answer}");
    let text = answer.text().to_lowercase();
    for inside in [
        "sql", "seal", "disk", "database", "key ring", "master", "file", ".rs",
    ] {
        assert!(!text.contains(inside), "{inside} in {text}");
    }
}
