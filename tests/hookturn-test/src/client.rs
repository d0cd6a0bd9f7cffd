//! A client of a server, wherever that runs: requests, and answers that the `OpenAPI` documents allow.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect::Policy};
use serde_json::{Value, json};

use crate::keys::ACME;
use crate::openapi::{Exchange, check};
use crate::{PATIENCE, SUBSCRIPTIONS, fields, id, list, lossy, patiently, subscription, text};

/// A request that can be sent again, to whichever server. It comes with the API key of tenant `acme`.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    target: String,
    headers: HeaderMap,
    key: Option<String>,
    body: Option<Bytes>,
}

impl Request {
    /// A request for `target`, a path with or without a query.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            key: Some(ACME.to_owned()),
            body: None,
        }
    }

    /// A `GET`.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// A `POST` with this body, of no declared type.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a body is made where it is sent"
    )]
    pub fn post(target: impl Into<String>, body: impl ToString) -> Self {
        Self::new(Method::POST, target).body(body.to_string())
    }

    /// With another API key.
    pub fn key(self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self
        }
    }

    /// Without an API key.
    pub fn no_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// With one more header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a header's name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.headers.append(name, value);
        self
    }

    /// With this `Idempotency-Key`.
    pub fn with_key(self, key: impl AsRef<[u8]>) -> Self {
        self.header("idempotency-key", key)
    }

    /// Whether it has an `Idempotency-Key`.
    pub fn has_key(&self) -> bool {
        self.headers.contains_key("idempotency-key")
    }

    /// With `value` as `application/json`.
    pub fn json(self, value: &Value) -> Self {
        self.json_text(value.to_string())
    }

    /// With this text as `application/json`, whatever it is.
    pub fn json_text(self, text: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(text)
    }

    /// With this body, of no declared type.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: Some(body.into().into()),
            ..self
        }
    }
}

/// A request for one server, which is sent when this is awaited.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    client: Client,
    request: Request,
}

impl RequestBuilder {
    /// As [`Request::key`].
    pub fn key(self, key: &str) -> Self {
        self.with(|request| request.key(key))
    }

    /// As [`Request::no_key`].
    pub fn no_key(self) -> Self {
        self.with(Request::no_key)
    }

    /// As [`Request::header`].
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(|request| request.header(name, value))
    }

    /// As [`Request::with_key`].
    pub fn with_key(self, key: impl AsRef<[u8]>) -> Self {
        self.with(|request| request.with_key(key))
    }

    /// As [`Request::json`].
    pub fn json(self, value: &Value) -> Self {
        self.with(|request| request.json(value))
    }

    /// As [`Request::json_text`].
    pub fn json_text(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(|request| request.json_text(text))
    }

    /// As [`Request::body`].
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        self.with(|request| request.body(body))
    }

    fn with(self, change: impl FnOnce(Request) -> Request) -> Self {
        Self {
            request: change(self.request),
            ..self
        }
    }
}

impl IntoFuture for RequestBuilder {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move { self.client.ask(&self.request).await })
    }
}

/// A client of one server. Clones share its connections.
#[derive(Clone, Debug)]
pub struct Client {
    /// The URL of the server: what paths are put behind, and what the types of its problems start with.
    pub base: String,
    http: reqwest::Client,
    /// The API key that requests come with which are built with this client.
    key: &'static str,
    is_checked: bool,
}

impl Client {
    /// A client of the server at this address, `127.0.0.1:PORT`.
    pub fn of(address: impl fmt::Display) -> Self {
        Self::with(address, reqwest::Client::builder())
    }

    /// As [`Self::of`], over HTTP/2 without TLS.
    pub fn over_http2(address: impl fmt::Display) -> Self {
        let http = reqwest::Client::builder().http2_prior_knowledge();
        Self::with(address, http)
    }

    /// A client of the server at another address, which shares its settings and its connections with this one.
    pub fn at(&self, address: impl fmt::Display) -> Self {
        Self {
            base: format!("http://{address}"),
            ..self.clone()
        }
    }

    fn with(address: impl fmt::Display, http: reqwest::ClientBuilder) -> Self {
        let http = http.redirect(Policy::none()).no_proxy().timeout(PATIENCE);
        Self {
            base: format!("http://{address}"),
            http: http.build().expect("a client"),
            key: ACME,
            is_checked: true,
        }
    }

    /// The same for requests that come with another API key than tenant `acme`'s.
    pub fn key(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// The same without a look at the `OpenAPI` documents: for a test that asks so much that the look would take most
    /// of its time, and one that reads records that were damaged.
    pub fn unchecked(self) -> Self {
        Self {
            is_checked: false,
            ..self
        }
    }

    /// Starts a `GET` of `target`, a path with or without a query.
    pub fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    /// Starts a `POST`.
    pub fn post(&self, target: &str) -> RequestBuilder {
        self.request(Method::POST, target)
    }

    /// Starts a `PUT`.
    pub fn put(&self, target: &str) -> RequestBuilder {
        self.request(Method::PUT, target)
    }

    /// Starts a `PATCH`.
    pub fn patch(&self, target: &str) -> RequestBuilder {
        self.request(Method::PATCH, target)
    }

    /// Starts a `DELETE`.
    pub fn delete(&self, target: &str) -> RequestBuilder {
        self.request(Method::DELETE, target)
    }

    /// Starts a request for `target`, a path with or without a query.
    pub fn request(&self, method: Method, target: &str) -> RequestBuilder {
        RequestBuilder {
            client: self.clone(),
            request: Request::new(method, target).key(self.key),
        }
    }

    /// Sends a request, which must be answered.
    pub async fn ask(&self, request: &Request) -> Answer {
        let answer = patiently(self.try_ask(request)).await;
        answer.unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    /// Sends a request. `None` when no whole answer came.
    pub async fn try_ask(&self, request: &Request) -> Option<Answer> {
        let url = format!("{}{}", self.base, request.target);
        let mut headers = request.headers.clone();
        if let Some(key) = &request.key {
            let value = HeaderValue::try_from(format!("Bearer {key}")).expect("a header's value");
            headers.append("authorization", value);
        }
        let mut sent = self.http.request(request.method.clone(), url);
        if let Some(body) = &request.body {
            sent = sent.body(body.clone());
        }
        let response = sent.headers(headers).send().await.ok()?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let answer = Answer {
            method: request.method.to_string(),
            target: request.target.clone(),
            status,
            headers,
            body: response.bytes().await.ok()?,
            base: self.base.clone(),
        };
        Some(if self.is_checked {
            answer.checked(request.body.as_deref())
        } else {
            answer
        })
    }

    /// Makes an endpoint through 2026-03-01, and returns what its creation answered.
    pub async fn endpoint(&self) -> Value {
        let body = json!({ "url": "https://example.com/hook" });
        self.post("/webhooks/endpoints")
            .json(&body)
            .await
            .expect_json(201)
    }

    /// Makes an endpoint through 2026-03-01, and returns its path.
    pub async fn endpoint_path(&self) -> String {
        format!("/webhooks/endpoints/{}", id(&self.endpoint().await))
    }

    /// Makes an endpoint through 2026-03-01 for this URL and these events, and returns what its creation answered.
    pub async fn hook(&self, url: &str, events: &[&str]) -> Value {
        let body = json!({ "url": url, "events": events });
        self.post("/webhooks/endpoints")
            .json(&body)
            .await
            .expect_json(201)
    }

    /// Makes a subscription through Verbex v1, and returns what its creation answered.
    pub async fn subscription(&self, name: &str, signed: bool) -> Value {
        self.post(SUBSCRIPTIONS)
            .json(&subscription(name, signed))
            .await
            .expect_json(201)
    }

    /// The live secrets of an endpoint, in signing order.
    pub async fn live(&self, id: &str) -> Vec<Value> {
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

/// An answer, read whole, that the `OpenAPI` documents allow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    /// The method of the request.
    pub method: String,
    /// The target of the request.
    pub target: String,
    /// The status.
    pub status: u16,
    /// The headers.
    pub headers: HeaderMap,
    /// The body, byte for byte.
    pub body: Bytes,
    /// The URL of the server that answered.
    pub base: String,
}

impl Answer {
    /// Panics when the document does not allow this answer. `sent` is the request's body, where it is known.
    pub fn checked(self, sent: Option<&[u8]>) -> Self {
        let exchange = Exchange {
            method: &self.method,
            target: &self.target,
            sent,
            status: self.status,
            headers: &self.headers,
            body: &self.body,
        };
        if let Err(fault) = check(&exchange) {
            panic!("the OpenAPI document does not allow this answer: {fault}\n{self}");
        }
        self
    }

    /// A header's one value.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().expect("visible ASCII");
        assert!(values.next().is_none(), "{name} came twice\n{self}");
        Some(value)
    }

    /// The body as a text.
    pub fn text(&self) -> String {
        lossy(&self.body)
    }

    /// A member of the body that is a text.
    pub fn member(&self, name: &str) -> String {
        text(&self.json(), name).to_owned()
    }

    /// Whether it has a status of success.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Whether it says that it was given before.
    pub fn is_replayed(&self) -> bool {
        let value = self.header("idempotent-replayed");
        assert!(value.is_none_or(|value| value == "true"), "{self}");
        value.is_some()
    }

    /// Asserts the status, and hands the answer on.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Asserts that this is `first` again, to the byte.
    pub fn repeats(&self, first: &Self) {
        assert!(self.is_replayed(), "it ran again: {self} after {first}");
        assert_eq!((self.status, &self.body), (first.status, &first.body));
        for name in ["content-type", "cache-control"] {
            assert_eq!(self.headers.get(name), first.headers.get(name));
        }
    }

    /// The body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("no JSON: {error}\n{self}"))
    }

    /// The body of an answer that must have this status.
    pub fn expect_json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.json()
    }

    /// The body of an answer that must be this problem of 2026-03-01.
    pub fn problem(&self, status: u16, slug: &str, code: &str) -> Value {
        let problem = self.expect_json(status);
        let path = self.target.split('?').next();
        assert_eq!(
            self.header("content-type"),
            Some("application/problem+json")
        );
        assert_eq!(
            problem["type"],
            format!("{}/problems/{slug}", self.base),
            "{self}"
        );
        assert_eq!(problem["status"], status, "{self}");
        assert_eq!(problem["code"], code, "{self}");
        assert_eq!(problem["instance"].as_str(), path, "{self}");
        problem
    }

    /// The `param` and `code` of each field error of an answer that must be a 422 about fields.
    pub fn field_errors(&self) -> Vec<(String, String)> {
        let problem = self.problem(422, "validation-failed", "validation_failed");
        let errors = problem["errors"].as_array().expect("errors");
        let text = |value: &Value| value.as_str().expect("a text").to_owned();
        let mut errors: Vec<_> = errors
            .iter()
            .map(|error| (text(&error["param"]), text(&error["code"])))
            .collect();
        errors.sort();
        errors
    }

    /// Asserts that this is a 422 about exactly one field.
    pub fn one_field_error(&self, param: &str, code: &str) {
        let expected = [(param.to_owned(), code.to_owned())];
        assert_eq!(self.field_errors(), expected, "{self}");
        assert_eq!(self.json()["param"], param, "{self}");
    }

    /// The body of an answer that must be this error of Verbex v1.
    pub fn verbex_error(&self, status: u16, kind: &str) -> Value {
        let error = self.expect_json(status);
        assert_eq!(self.header("content-type"), Some("application/json"));
        assert_eq!(error["status"], status, "{self}");
        assert_eq!(error["type"], kind, "{self}");
        assert_eq!(
            error["path"].as_str(),
            self.target.split('?').next(),
            "{self}"
        );
        error
    }

    /// The fields that a 400 of Verbex v1 tells something about.
    pub fn verbex_fields(&self) -> Vec<String> {
        let error = self.verbex_error(400, "VALIDATION_ERROR");
        let names = fields(&error["details"]["fields"]);
        names.into_iter().map(str::to_owned).collect()
    }
}

impl fmt::Display for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} {} -> {}", self.method, self.target, self.status)?;
        for (name, value) in &self.headers {
            writeln!(f, "{name}: {}", lossy(value.as_bytes()))?;
        }
        let start: String = self.text().chars().take(2000).collect();
        writeln!(f, "\n{start}")
    }
}
