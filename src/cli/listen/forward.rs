//! Forwards a delivery to a server on this machine.
//!
//! Each delivery has its own connection. Deliveries are few, and the other side might close a kept
//! connection just when it is used again. Only http is supported, since the target is local.

use std::error::Error as _;
use std::io;
use std::time::Duration;

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, Request, StatusCode, header};
use bytes::Bytes;
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;
use tokio::time::timeout;
use url::{Position, Url};

/// The time limit of the whole exchange. It is longer than the 15 s that Hookturn waits for a
/// receiver, so that the sender gives up first.
const TIMEOUT: Duration = Duration::from_secs(30);

/// The most bytes in an answer's body.
const MAX_ANSWER: usize = 1024 * 1024;

/// The headers that belong to a connection and not to the message (RFC 9110, section 7.6.1).
/// `Connection` may name others.
const HOP_BY_HOP: [HeaderName; 7] = [
    header::CONNECTION,
    header::PROXY_AUTHENTICATE,
    header::PROXY_AUTHORIZATION,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
];

/// The server to which deliveries are forwarded.
pub(super) struct Target {
    /// The URL as a delivery's block shows it.
    shown: String,
    host: String,
    port: u16,
    /// The value of `Host`.
    authority: HeaderValue,
    /// Path and query.
    path: String,
}

/// The target's answer.
pub(super) struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Target {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        const WRITE: &str = "write a URL such as http://127.0.0.1:3000/webhooks";
        let url = Url::parse(text).map_err(|error| format!("{error}; {WRITE}"))?;
        let fault = if url.scheme() != "http" {
            "the scheme must be http"
        } else if !url.username().is_empty() || url.password().is_some() {
            "it must have no user information"
        } else if url.fragment().is_some() {
            "it must have no fragment"
        } else {
            let (host, port) = (url.host_str(), url.port_or_known_default());
            let authority = &url[Position::BeforeHost..Position::AfterPort];
            if let (Some(host), Some(port), Ok(value)) = (host, port, authority.parse()) {
                return Ok(Self {
                    shown: format!("http://{authority}{}", url.path()),
                    host: host.trim_matches(['[', ']']).to_owned(),
                    port,
                    authority: value,
                    path: url[Position::BeforePath..Position::AfterQuery].to_owned(),
                });
            }
            "it must have a host"
        };
        Err(format!("{fault}; {WRITE}"))
    }

    /// Returns the URL for people, without its query.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Forwards the request and reads the whole answer.
    ///
    /// # Errors
    ///
    /// Why there is no answer.
    pub(super) async fn send(&self, head: &Parts, body: Bytes) -> Result<Answer, String> {
        match timeout(TIMEOUT, self.exchange(head, body)).await {
            Ok(outcome) => outcome,
            Err(_) => Err(format!("no answer within {} s", TIMEOUT.as_secs())),
        }
    }

    async fn exchange(&self, head: &Parts, body: Bytes) -> Result<Answer, String> {
        let socket = TcpStream::connect((self.host.as_str(), self.port))
            .await
            .map_err(|error| match error.kind() {
                io::ErrorKind::ConnectionRefused => "no server listens there".to_owned(),
                _ => error.to_string(),
            })?;
        // hyper's own message does not say what happened to the socket.
        let broken = |error: hyper::Error| match error.source() {
            Some(source) => format!("the connection broke: {source}"),
            None => format!("the connection broke: {error}"),
        };
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(broken)?;
        // It ends when the sender is dropped, and the sender returns its errors too.
        tokio::spawn(connection);
        let request = self.request(head, body)?;
        let (head, body) = sender
            .send_request(request)
            .await
            .map_err(broken)?
            .into_parts();
        let body = Limited::new(body, MAX_ANSWER)
            .collect()
            .await
            .map_err(|error| format!("cannot read its answer: {error}"))?
            .to_bytes();
        let mut headers = head.headers;
        end_to_end(&mut headers);
        Ok(Answer {
            status: head.status,
            headers,
            body,
        })
    }

    fn request(&self, head: &Parts, body: Bytes) -> Result<Request<Body>, String> {
        let mut request = Request::builder()
            .method(Method::clone(&head.method))
            .uri(&self.path)
            .body(Body::new(Full::new(body)))
            .map_err(|error| error.to_string())?;
        *request.headers_mut() = head.headers.clone();
        end_to_end(request.headers_mut());
        let authority = self.authority.clone();
        request.headers_mut().insert(header::HOST, authority);
        Ok(request)
    }
}

/// Removes the headers of the connection, and the length, which is set again from the body.
fn end_to_end(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(header::CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|list| list.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    for name in named.iter().chain(&HOP_BY_HOP) {
        headers.remove(name);
    }
    headers.remove(header::CONTENT_LENGTH);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_a_local_http_url() {
        for (text, host, port, path) in [
            ("http://127.0.0.1:3000", "127.0.0.1", 3000, "/"),
            ("http://localhost/hook?x=1", "localhost", 80, "/hook?x=1"),
            ("http://[::1]:81/a", "::1", 81, "/a"),
        ] {
            let target = Target::parse(text).expect(text);
            let found = (target.host.as_str(), target.port, target.path.as_str());
            assert_eq!(found, (host, port, path));
            assert!(!target.shown().contains('?'));
        }
        for bad in [
            "",
            "localhost:3000",
            "https://localhost",
            "http://u:SECRET@localhost",
            "http://localhost/#SECRET",
        ] {
            let problem = Target::parse(bad).err().expect(bad);
            assert!(!problem.contains("SECRET"), "{problem}");
        }
    }

    #[test]
    fn what_belongs_to_a_connection_stays_with_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "close, X-Own"),
            ("x-own", "1"),
            ("transfer-encoding", "chunked"),
            ("content-length", "3"),
            ("webhook-id", "evt_1"),
        ] {
            headers.insert(name, HeaderValue::from_static(value));
        }
        end_to_end(&mut headers);
        assert_eq!(headers.len(), 1);
        assert!(headers.contains_key("webhook-id"));
    }
}
