//! The client half of `support`: a request, and an answer that the `OpenAPI` documents allow.

use std::{fmt, future::IntoFuture, pin::Pin};

use reqwest::{
    Method,
    header::{HeaderMap, HeaderValue},
};
use serde_json::Value;

use crate::openapi_check::{Exchange, check};
use crate::support::{ACME, Server, fields};

/// A request that is sent when it is awaited.
pub struct Request<'a> {
    server: &'a Server,
    method: Method,
    target: String,
    headers: HeaderMap,
    key: Option<&'a str>,
    body: Option<Vec<u8>>,
}

impl<'a> Request<'a> {
    /// A request with `acme`'s key.
    pub fn new(server: &'a Server, method: Method, target: &str) -> Self {
        Self {
            server,
            method,
            target: target.to_owned(),
            headers: HeaderMap::new(),
            key: Some(ACME),
            body: None,
        }
    }

    /// With another API key.
    pub fn key(self, key: &'a str) -> Self {
        Self {
            key: Some(key),
            ..self
        }
    }

    /// Without an API key.
    pub fn no_key(self) -> Self {
        Self { key: None, ..self }
    }

    /// With one more header.
    pub fn header(mut self, name: &'static str, value: impl AsRef<[u8]>) -> Self {
        let value = HeaderValue::from_bytes(value.as_ref()).expect("a header's value");
        self.headers.append(name, value);
        self
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
            body: Some(body.into()),
            ..self
        }
    }

    async fn send(self) -> Answer {
        let url = format!("{}{}", self.server.base, self.target);
        let mut headers = self.headers;
        if let Some(key) = self.key {
            let value = HeaderValue::try_from(format!("Bearer {key}")).expect("a header's value");
            headers.append("authorization", value);
        }
        let sent = self.body.clone();
        let mut request = self.server.client.request(self.method.clone(), url);
        if let Some(body) = self.body {
            request = request.body(body);
        }
        let response = request.headers(headers).send().await;
        let response = response.expect("an answer");
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let body = response.bytes().await.expect("a whole body").to_vec();
        Answer {
            method: self.method.to_string(),
            target: self.target,
            status,
            headers,
            body,
            base: self.server.base.clone(),
        }
        .checked(sent.as_deref())
    }
}

impl<'a> IntoFuture for Request<'a> {
    type Output = Answer;
    type IntoFuture = Pin<Box<dyn Future<Output = Answer> + Send + 'a>>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.send())
    }
}

/// An answer that the `OpenAPI` documents allow.
pub struct Answer {
    pub method: String,
    pub target: String,
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Vec<u8>,
    /// The public URL of the server that answered.
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

    pub fn text(&self) -> String {
        lossy(&self.body)
    }

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

/// Bytes for people.
pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
