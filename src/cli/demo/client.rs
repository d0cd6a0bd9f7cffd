//! The demo's client of the API, over plain HTTP on a socket, as any other client.

use axum::body::Bytes;
use axum::http::header::{AUTHORIZATION, CONTENT_TYPE};
use axum::http::{HeaderMap, Request, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper_util::client::legacy::Client as HyperClient;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

/// A client of the API, with its key.
pub(super) struct Client {
    http: HyperClient<HttpConnector, Full<Bytes>>,
    url: String,
    key: String,
}

/// What the API answered.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub bytes: Bytes,
}

impl Answer {
    /// Returns the text of a field of the answer; empty when the field is missing.
    pub fn text(&self, field: &str) -> String {
        let value: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        value[field].as_str().unwrap_or_default().to_owned()
    }

    /// Returns the number of entries in the answer, which is a list.
    pub fn entries(&self) -> usize {
        let value: Value = serde_json::from_slice(&self.bytes).unwrap_or_default();
        value["data"].as_array().map_or(0, Vec::len)
    }
}

impl Client {
    pub fn new(url: String, key: String) -> Self {
        Self {
            http: HyperClient::builder(TokioExecutor::new()).build_http(),
            url,
            key,
        }
    }

    pub async fn get(&self, path: &str) -> Result<Answer, String> {
        self.send("GET", path, None, "").await
    }

    pub async fn post(&self, path: &str, key: Option<&str>, body: &str) -> Result<Answer, String> {
        self.send("POST", path, key, body).await
    }

    pub async fn delete(&self, path: &str) -> Result<Answer, String> {
        self.send("DELETE", path, None, "").await
    }

    async fn send(
        &self,
        method: &str,
        path: &str,
        key: Option<&str>,
        body: &str,
    ) -> Result<Answer, String> {
        let told = |error: &dyn std::fmt::Display| format!("{method} {path}: {error}");
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.url))
            .header(AUTHORIZATION, format!("Bearer {}", self.key));
        if let Some(key) = key {
            request = request.header("idempotency-key", key);
        }
        if !body.is_empty() {
            request = request.header(CONTENT_TYPE, "application/json");
        }
        let request = request
            .body(Full::new(Bytes::copy_from_slice(body.as_bytes())))
            .map_err(|error| told(&error))?;
        let response = self
            .http
            .request(request)
            .await
            .map_err(|error| told(&error))?;
        let (parts, body) = response.into_parts();
        let bytes = body
            .collect()
            .await
            .map_err(|error| told(&error))?
            .to_bytes();
        if !parts.status.is_success() {
            return Err(told(&format_args!(
                "{} {}",
                parts.status,
                String::from_utf8_lossy(&bytes)
            )));
        }
        Ok(Answer {
            status: parts.status,
            headers: parts.headers,
            bytes,
        })
    }
}
