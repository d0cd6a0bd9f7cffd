//! A client of the API that survives the server: what it asked can be asked again.

use bytes::Bytes;
use reqwest::{Client, Method};
use serde_json::{Value, json};

use crate::stage::{API_KEY, Program, patiently};

/// The path of Verbex v1 subscriptions.
pub const SUBSCRIPTIONS: &str = "/v1/public/webhook/subscription";

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub path: String,
    /// Its `Idempotency-Key`.
    pub key: Option<String>,
    pub body: String,
}

impl Request {
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a body is made where it is sent"
    )]
    pub fn post(path: impl Into<String>, body: impl ToString) -> Self {
        Self {
            method: Method::POST,
            path: path.into(),
            key: None,
            body: body.to_string(),
        }
    }

    pub fn get(path: impl Into<String>) -> Self {
        Self {
            method: Method::GET,
            ..Self::post(path, "")
        }
    }

    pub fn with_key(mut self, key: impl Into<String>) -> Self {
        self.key = Some(key.into());
        self
    }
}

/// A whole answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    pub status: u16,
    pub is_replayed: bool,
    pub body: Bytes,
}

impl Answered {
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Asserts the status and hands the answer on.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.body);
        self
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// A member of the body that is a text.
    pub fn text(&self, name: &str) -> String {
        let text = self.json()[name].as_str().map(ToOwned::to_owned);
        text.unwrap_or_else(|| panic!("{name} in {:?}", self.body))
    }

    /// Asserts that this is `first` again, to the byte.
    pub fn repeats(&self, first: &Self) {
        assert!(self.is_replayed, "it ran again: {self:?} after {first:?}");
        assert_eq!((self.status, &self.body), (first.status, &first.body));
    }

    /// Asserts that this is a 500 that says nothing of the inside.
    pub fn is_mute_failure(&self) {
        assert_eq!(self.status, 500, "{:?}", self.body);
        let text = String::from_utf8_lossy(&self.body).to_lowercase();
        for inside in [
            "sql", "seal", "disk", "database", "key ring", "master", "file", ".rs",
        ] {
            assert!(!text.contains(inside), "{inside} in {text}");
        }
    }
}

/// A client of one running server.
#[derive(Clone)]
pub struct Api {
    client: Client,
    address: String,
    key: &'static str,
}

impl Api {
    pub fn of(program: &Program) -> Self {
        Self::at(program.address.clone())
    }

    /// A client of the server at this address.
    pub fn at(address: String) -> Self {
        Self {
            client: Client::builder().no_proxy().build().expect("a client"),
            address,
            key: API_KEY,
        }
    }

    /// The same with another API key.
    pub fn with_key(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// Sends a request. `None` when no whole answer came.
    pub async fn try_ask(&self, request: &Request) -> Option<Answered> {
        let url = format!("http://{}{}", self.address, request.path);
        let mut sent = self
            .client
            .request(request.method.clone(), url)
            .bearer_auth(self.key)
            .body(request.body.clone());
        if let Some(key) = &request.key {
            sent = sent.header("Idempotency-Key", key);
        }
        let response = sent.send().await.ok()?;
        let status = response.status().as_u16();
        let replayed = response.headers().get("idempotent-replayed");
        assert!(replayed.is_none_or(|value| value == "true"));
        let is_replayed = replayed.is_some();
        Some(Answered {
            status,
            is_replayed,
            body: response.bytes().await.ok()?,
        })
    }

    /// Sends a request that must be answered.
    pub async fn ask(&self, request: &Request) -> Answered {
        let answered = patiently(self.try_ask(request)).await;
        answered.unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    pub async fn get(&self, path: &str) -> Answered {
        self.ask(&Request::get(path)).await
    }

    pub async fn post(&self, path: &str, body: impl ToString) -> Answered {
        self.ask(&Request::post(path, body)).await
    }

    pub async fn patch(&self, path: &str, body: impl ToString) -> Answered {
        self.ask(&Request {
            method: Method::PATCH,
            ..Request::post(path, body)
        })
        .await
    }

    /// A new endpoint of 2026-03-01 for this URL and these events: the answer of its creation.
    pub async fn hook(&self, url: &str, events: &[&str]) -> Value {
        let body = json!({ "url": url, "events": events });
        self.post("/webhooks/endpoints", body).await.is(201).json()
    }

    /// Publishes `{"n":0}` under this type and id.
    pub async fn publish(&self, event_type: &str, id: &str) -> Answered {
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
        let path = format!("/webhooks/endpoints/{id}/secrets");
        list(&self.get(&path).await.is(200))
    }

    /// All items of a list, page by page.
    pub async fn all(&self, path: &str) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let and = if path.contains('?') { '&' } else { '?' };
            let after = match all.last() {
                Some(last) => format!("&starting_after={}", text(last, "id")),
                None => String::new(),
            };
            let page = self
                .get(&format!("{path}{and}limit=100{after}"))
                .await
                .is(200);
            all.extend(list(&page));
            if page.json()["has_more"] != true {
                return all;
            }
        }
    }
}

/// The items of a list.
pub fn list(answered: &Answered) -> Vec<Value> {
    answered.json()["data"].as_array().expect("a list").clone()
}

/// A member that is a text.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("{name} in {value}"))
}

/// A member that is a time, in milliseconds.
pub fn millis(value: &Value, name: &str) -> i64 {
    millis_of(text(value, name))
}

/// A time, in milliseconds.
pub fn millis_of(time: &str) -> i64 {
    let at = chrono::DateTime::parse_from_rfc3339(time);
    at.expect("RFC 3339").timestamp_millis()
}
