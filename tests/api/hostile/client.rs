//! A client that sends any bytes at all, and reads what HTTP/1 comes back.

use std::net::SocketAddr;

use hookturn_test::patiently;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::server::KEY;

/// The head of a POST with a key and these header lines, each ended by `\r\n`.
pub fn head(path: &str, lines: &str) -> String {
    format!("POST {path} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {KEY}\r\n{lines}\r\n")
}

/// A whole POST with a key and a body of JSON.
pub fn post(path: &str, body: impl AsRef<[u8]>) -> Vec<u8> {
    let body = body.as_ref();
    let mut request = head(path, &format!("Content-Length: {}\r\n", body.len())).into_bytes();
    request.extend_from_slice(body);
    request
}

/// One connection.
pub struct RawClient {
    pub socket: TcpStream,
    received: Vec<u8>,
}

impl RawClient {
    pub async fn connect(address: SocketAddr) -> Self {
        let socket = patiently(TcpStream::connect(address)).await;
        let socket = socket.expect("a connection");
        socket.set_nodelay(true).expect("an open socket");
        Self {
            socket,
            received: Vec::new(),
        }
    }

    /// Sends, unless the server has closed the connection already, which a test sees when it reads.
    pub async fn send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        patiently(self.socket.write_all(bytes.as_ref()))
            .await
            .is_ok()
    }

    /// Sends no more: the server reads the end, and can still answer.
    pub async fn end_sending(&mut self) {
        let _ = self.socket.shutdown().await;
    }

    /// A POST as any client sends it.
    pub async fn post(&mut self, path: &str, body: impl AsRef<[u8]>) -> RawAnswer {
        self.send(post(path, body)).await;
        self.answer().await.expect("an answer")
    }

    /// The next answer, or `None` when the connection ends instead.
    pub async fn answer(&mut self) -> Option<RawAnswer> {
        loop {
            if let Some(answer) = self.next() {
                return Some(answer);
            }
            if patiently(self.socket.read_buf(&mut self.received))
                .await
                // A reset is a way to close as well: it happens when the server has not read all
                // that was sent.
                .unwrap_or(0)
                == 0
            {
                assert!(
                    self.received.is_empty(),
                    "half an answer: {:?}",
                    self.text()
                );
                return None;
            }
        }
    }

    /// All further answers until the connection ends.
    pub async fn answers(mut self) -> Vec<RawAnswer> {
        let mut answers = Vec::new();
        while let Some(answer) = self.answer().await {
            answers.push(answer);
        }
        answers
    }

    /// The server ends the connection without another answer.
    pub async fn ends(mut self) {
        if let Some(answer) = self.answer().await {
            panic!("{answer:?}");
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    /// Takes a whole answer out of what was received, if there is one.
    fn next(&mut self) -> Option<RawAnswer> {
        let mut fields = [httparse::EMPTY_HEADER; 32];
        let mut response = httparse::Response::new(&mut fields);
        let parsed = response.parse(&self.received).expect("HTTP");
        let httparse::Status::Complete(start) = parsed else {
            return None;
        };
        let status = response.code.expect("a status");
        let headers: Vec<(String, String)> = response
            .headers
            .iter()
            .map(|field| {
                let value = std::str::from_utf8(field.value).expect("ASCII");
                (field.name.to_ascii_lowercase(), value.to_owned())
            })
            .collect();
        let length = headers.iter().find(|(name, _)| name == "content-length");
        let end = match length {
            Some((_, length)) => start + length.parse::<usize>().expect("a length"),
            None => start,
        };
        let body = self.received.get(start..end)?.to_vec();
        self.received.drain(..end);
        Some(RawAnswer {
            status,
            headers,
            body,
        })
    }
}

/// One answer. Every answer of the server has a length.
pub struct RawAnswer {
    pub status: u16,
    headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl std::fmt::Debug for RawAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let body = String::from_utf8_lossy(&self.body);
        write!(f, "{} {:?} {body}", self.status, self.headers)
    }
}

impl RawAnswer {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(other, _)| other == name);
        found.map(|(_, value)| value.as_str())
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_else(|_| panic!("no JSON: {self:?}"))
    }

    /// It is an error of this status in the words of the dialect of `path`: `code` in 2026-03-01,
    /// `kind` in Verbex v1.
    pub fn is_refusal(&self, path: &str, status: u16, code: &str, kind: &str) {
        assert_eq!(self.status, status, "{self:?}");
        let (media_type, member, word) = if path.starts_with("/v1/public") {
            ("application/json", "type", kind)
        } else {
            ("application/problem+json", "code", code)
        };
        assert_eq!(self.header("content-type"), Some(media_type), "{self:?}");
        assert_eq!(self.json()[member], word, "{self:?}");
        assert_eq!(self.json()["status"], status, "{self:?}");
        assert!(self.header("x-request-id").is_some(), "{self:?}");
    }

    /// It is the 401 of the dialect of `path`, and says nothing else.
    pub fn is_unauthenticated(&self, path: &str) {
        assert_eq!(self.status, 401, "{self:?}");
        let challenge = self.header("www-authenticate").unwrap_or_default();
        assert!(challenge.starts_with("Bearer"), "{self:?}");
        let (member, word) = if path.starts_with("/v1/public") {
            ("error", "Authentication")
        } else {
            ("title", "Authentication failed")
        };
        assert_eq!(self.json()[member], word, "{self:?}");
    }
}
