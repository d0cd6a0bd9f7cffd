//! A client of a server. It checks every answer against the `OpenAPI` documents.

use std::fmt;
use std::future::IntoFuture;
use std::pin::Pin;

use bytes::Bytes;
use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::redirect::Policy;
use serde_json::{Value, json};

use crate::keys::ACME;
use crate::openapi::{Exchange, check};
use crate::{PATIENCE, SUBSCRIPTIONS, fields, id, list, lossy, patiently, subscription, text};

/// A request that can be sent to any server, more than once. By default it carries the API key of
/// tenant `acme`.
#[derive(Clone, Debug)]
pub struct Request {
    method: Method,
    target: String,
    headers: HeaderMap,
    key: Option<String>,
    body: Option<Bytes>,
}

impl Request {
    /// Creates a request for `target`, a path with or without a query.
    pub fn new(method: Method, target: impl Into<String>) -> Self {
        Self {
            method,
            target: target.into(),
            headers: HeaderMap::new(),
            key: Some(ACME.to_owned()),
            body: None,
        }
    }

    /// Creates a `GET`.
    pub fn get(target: impl Into<String>) -> Self {
        Self::new(Method::GET, target)
    }

    /// Creates a `POST` with this body, without a content type.
    #[expect(
        clippy::needless_pass_by_value,
        reason = "a body is made where it is sent"
    )]
    pub fn post(target: impl Into<String>, body: impl ToString) -> Self {
        Self::new(Method::POST, target).body(body.to_string())
    }

    /// Sets another API key.
    pub fn key(self, key: &str) -> Self {
        Self {
            key: Some(key.to_owned()),
            ..self
        }
    }

    /// Removes the API key.
    pub fn no_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// Adds a header.
    pub fn header(mut self, name: &str, value: impl AsRef<[u8]>) -> Self {
        let name = HeaderName::from_bytes(name.as_bytes()).expect("a valid header name");
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a valid header value");
        self.headers.append(name, value);
        self
    }

    /// Adds this `Idempotency-Key`.
    pub fn with_key(self, key: impl AsRef<[u8]>) -> Self {
        self.header("idempotency-key", key)
    }

    /// Returns whether it has an `Idempotency-Key`.
    pub fn has_key(&self) -> bool {
        self.headers.contains_key("idempotency-key")
    }

    /// Sets `value` as the body, as `application/json`.
    pub fn json(self, value: &Value) -> Self {
        self.json_text(value.to_string())
    }

    /// Sets this text as the body, as `application/json`, even if it is not valid JSON.
    pub fn json_text(self, text: impl Into<Vec<u8>>) -> Self {
        self.header("content-type", "application/json").body(text)
    }

    /// Sets this body, without a content type.
    pub fn body(self, body: impl Into<Vec<u8>>) -> Self {
        Self {
            body: Some(body.into().into()),
            ..self
        }
    }
}

/// A request to one server. Awaiting it sends it.
#[derive(Clone, Debug)]
pub struct RequestBuilder {
    client: Client,
    request: Request,
}

impl RequestBuilder {
    /// See [`Request::key`].
    pub fn key(self, key: &str) -> Self {
        self.with(|request| request.key(key))
    }

    /// See [`Request::no_key`].
    pub fn no_key(self) -> Self {
        self.with(Request::no_key)
    }

    /// See [`Request::header`].
    pub fn header(self, name: &str, value: impl AsRef<[u8]>) -> Self {
        self.with(|request| request.header(name, value))
    }

    /// See [`Request::with_key`].
    pub fn with_key(self, key: impl AsRef<[u8]>) -> Self {
        self.with(|request| request.with_key(key))
    }

    /// See [`Request::json`].
    pub fn json(self, value: &Value) -> Self {
        self.with(|request| request.json(value))
    }

    /// See [`Request::json_text`].
    pub fn json_text(self, text: impl Into<Vec<u8>>) -> Self {
        self.with(|request| request.json_text(text))
    }

    /// See [`Request::body`].
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
    /// The URL of the server, without a trailing slash. The types of its problems start with it.
    pub base: String,
    http: reqwest::Client,
    /// The API key of the requests that this client builds.
    key: &'static str,
    is_checked: bool,
}

impl Client {
    /// Creates a client of the server at this address, `127.0.0.1:PORT`.
    pub fn of(address: impl fmt::Display) -> Self {
        Self::with(address, reqwest::Client::builder())
    }

    /// Creates a client that uses HTTP/2 without TLS.
    pub fn over_http2(address: impl fmt::Display) -> Self {
        let http = reqwest::Client::builder().http2_prior_knowledge();
        Self::with(address, http)
    }

    /// Returns a client of the server at another address, with the same settings and connections.
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

    /// Sets the API key of the requests that this client builds.
    pub fn key(self, key: &'static str) -> Self {
        Self { key, ..self }
    }

    /// Turns off the check against the `OpenAPI` documents: for tests that send so many requests
    /// that the check would take most of their time, and for tests that read damaged records.
    pub fn unchecked(self) -> Self {
        Self {
            is_checked: false,
            ..self
        }
    }

    /// Builds a `GET` of `target`, a path with or without a query.
    pub fn get(&self, target: &str) -> RequestBuilder {
        self.request(Method::GET, target)
    }

    /// Builds a `POST`.
    pub fn post(&self, target: &str) -> RequestBuilder {
        self.request(Method::POST, target)
    }

    /// Builds a `PUT`.
    pub fn put(&self, target: &str) -> RequestBuilder {
        self.request(Method::PUT, target)
    }

    /// Builds a `PATCH`.
    pub fn patch(&self, target: &str) -> RequestBuilder {
        self.request(Method::PATCH, target)
    }

    /// Builds a `DELETE`.
    pub fn delete(&self, target: &str) -> RequestBuilder {
        self.request(Method::DELETE, target)
    }

    /// Builds a request for `target`, a path with or without a query.
    pub fn request(&self, method: Method, target: &str) -> RequestBuilder {
        RequestBuilder {
            client: self.clone(),
            request: Request::new(method, target).key(self.key),
        }
    }

    /// Sends a request. Panics when there is no answer.
    pub async fn ask(&self, request: &Request) -> Answer {
        let answer = patiently(self.try_ask(request)).await;
        answer.unwrap_or_else(|| panic!("no answer to {request:?}"))
    }

    /// Sends a request. Returns `None` when no complete answer arrived.
    pub async fn try_ask(&self, request: &Request) -> Option<Answer> {
        let url = format!("{}{}", self.base, request.target);
        let mut headers = request.headers.clone();
        if let Some(key) = &request.key {
            let value =
                HeaderValue::try_from(format!("Bearer {key}")).expect("a valid header value");
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

    /// Creates an endpoint through 2026-03-01, and returns the answer.
    pub async fn endpoint(&self) -> Value {
        let body = json!({ "url": "https://example.com/hook" });
        self.post("/webhooks/endpoints")
            .json(&body)
            .await
            .expect_json(201)
    }

    /// Creates an endpoint through 2026-03-01, and returns its path.
    pub async fn endpoint_path(&self) -> String {
        format!("/webhooks/endpoints/{}", id(&self.endpoint().await))
    }

    /// Creates an endpoint through 2026-03-01 with this URL and these events, and returns the
    /// answer.
    pub async fn hook(&self, url: &str, events: &[&str]) -> Value {
        let body = json!({ "url": url, "events": events });
        self.post("/webhooks/endpoints")
            .json(&body)
            .await
            .expect_json(201)
    }

    /// Creates a subscription through Verbex v1, and returns the answer.
    pub async fn subscription(&self, name: &str, signed: bool) -> Value {
        self.post(SUBSCRIPTIONS)
            .json(&subscription(name, signed))
            .await
            .expect_json(201)
    }

    /// Reads the live secrets of an endpoint, in signing order.
    pub async fn live(&self, id: &str) -> Vec<Value> {
        let path = format!("/webhooks/endpoints/{id}/secrets");
        list(&self.get(&path).await.is(200))
    }

    /// Reads all items of a list, page by page.
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

/// An answer, read completely and checked against the `OpenAPI` documents.
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
    /// The body, as it was received.
    pub body: Bytes,
    /// The URL of the server that answered.
    pub base: String,
}

impl Answer {
    /// Checks the answer against the `OpenAPI` document, and panics when the document does not
    /// allow it. `sent` is the body of the request, if it is known.
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

    /// Returns the only value of a header. Panics when there are several.
    pub fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next()?.to_str().expect("visible ASCII");
        assert!(values.next().is_none(), "{name} was sent twice\n{self}");
        Some(value)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        lossy(&self.body)
    }

    /// Returns a member of the body, which must be a string.
    pub fn member(&self, name: &str) -> String {
        text(&self.json(), name).to_owned()
    }

    /// Returns whether the status is 2xx.
    pub fn is_success(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns whether the answer is marked as a repetition of an earlier one.
    pub fn is_replayed(&self) -> bool {
        let value = self.header("idempotent-replayed");
        assert!(value.is_none_or(|value| value == "true"), "{self}");
        value.is_some()
    }

    /// Asserts the status, and returns the answer.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{self}");
        self
    }

    /// Asserts that this repeats the answer `first`, byte for byte.
    pub fn repeats(&self, first: &Self) {
        assert!(
            self.is_replayed(),
            "this is not a repeated answer: {self}\nThe first was: {first}"
        );
        assert_eq!((self.status, &self.body), (first.status, &first.body));
        for name in ["content-type", "cache-control"] {
            assert_eq!(self.headers.get(name), first.headers.get(name));
        }
    }

    /// Returns the body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("invalid JSON: {error}\n{self}"))
    }

    /// Asserts the status, and returns the body, which must be JSON.
    pub fn expect_json(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{self}");
        self.json()
    }

    /// Asserts that this is the given problem of 2026-03-01, and returns the body.
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

    /// Asserts that this is a 422 about fields, and returns the `param` and `code` of each field
    /// error, sorted.
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

    /// Asserts that this is the given error of Verbex v1, and returns the body.
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

    /// Asserts that this is a 400 of Verbex v1 about fields, and returns their names.
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
