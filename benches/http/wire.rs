//! A keep-alive HTTP/1.1 connection that does only what is needed to see every status.
//!
//! The generator runs on the same cores as the server that it measures. The time that it takes for
//! a request slows both servers equally and moves their ratio towards 1, which favours the slower
//! one. So it uses no HTTP client: requests are bytes made beforehand, and only the status and the
//! length of an answer are read.

use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::Fallible;

/// A connection with at most one request under way.
pub struct Connection {
    stream: TcpStream,
    received: Vec<u8>,
}

/// A server's answer.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// Returns an error unless the answer has the wanted status. It shows the body, since the body
    /// of an error answer says what was wrong and holds no secret.
    pub fn expect_status(&self, wanted: u16) -> Fallible<()> {
        if self.status == wanted {
            return Ok(());
        }
        let body = String::from_utf8_lossy(self.body);
        Err(format!(
            "a request was answered {} instead of {wanted}: {body}",
            self.status
        )
        .into())
    }
}

impl Connection {
    pub async fn open(address: SocketAddr) -> Fallible<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            received: Vec::with_capacity(4096),
        })
    }

    /// Sends one whole request and reads one whole answer.
    pub async fn call(&mut self, request: &[u8]) -> Fallible<Answer<'_>> {
        self.stream.write_all(request).await?;
        self.received.clear();
        let (status, body) = loop {
            if self.stream.read_buf(&mut self.received).await? == 0 {
                return Err("the server closed a connection instead of answering".into());
            }
            if let Some(complete) = parse(&self.received)? {
                break complete;
            }
        };
        Ok(Answer {
            status,
            body: &self.received[body],
        })
    }
}

/// Returns the status and the range of the body when the whole answer is there.
fn parse(received: &[u8]) -> Fallible<Option<(u16, Range<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(received)? else {
        return Ok(None);
    };
    let status = response.code.ok_or("an answer without a status")?;
    let length = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length: usize = match length {
        Some(length) => str::from_utf8(length.value)?.parse()?,
        None if status == 204 => 0,
        None => return Err("an answer without a Content-Length: chunked ones are not read".into()),
    };
    let end = head + length;
    if received.len() > end {
        return Err(
            "more bytes than the answer has: the next request would get the wrong answer".into(),
        );
    }
    Ok((received.len() == end).then_some((status, head..end)))
}

/// Makes a whole POST request with a JSON body.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    post_as(API_KEY, path, body)
}

/// Makes a whole POST request with a JSON body and this API key.
pub fn post_as(key: &str, path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\
         User-Agent: hookturn-bench\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// Makes a whole GET request.
pub fn get(path: &str) -> Vec<u8> {
    get_as(API_KEY, path)
}

/// Makes a whole GET request with this API key.
pub fn get_as(key: &str, path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n\r\n")
        .into_bytes()
}

/// Makes a whole GET request without an API key, as a health probe does.
pub fn probe(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n").into_bytes()
}

/// The API key of every server under load. The floor does not check it but has to parse its header.
pub const API_KEY: &str = "bench-key-0123456789";

/// The API key of the tenant that attacks its neighbour.
pub const NEIGHBOUR_KEY: &str = "neighbour-key-0123456789";
