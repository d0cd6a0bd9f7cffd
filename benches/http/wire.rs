//! One keep-alive HTTP/1.1 connection, as lean as it can be and still see every status.
//!
//! The generator runs on the same cores as the server it measures. Whatever it spends on a request
//! is taken from both servers alike and pulls their ratio towards 1, which flatters the slower one.
//! Hence no HTTP client: the request is bytes made beforehand, and of the answer only the status
//! and the length are read.

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

/// What the server said.
pub struct Answer<'a> {
    pub status: u16,
    pub body: &'a [u8],
}

impl Answer<'_> {
    /// An error unless the status is the one that was wanted. The body is shown: an error's says
    /// what was wrong, and carries no secret.
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

/// The status and where the body lies, once all of it is there.
fn parse(received: &[u8]) -> Fallible<Option<(u16, Range<usize>)>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut response = httparse::Response::new(&mut headers);
    let httparse::Status::Complete(head) = response.parse(received)? else {
        return Ok(None);
    };
    let status = response.code.ok_or("an answer without a status")?;
    let length: usize = response
        .headers
        .iter()
        .find(|header| header.name.eq_ignore_ascii_case("content-length"))
        .ok_or("an answer without a Content-Length: chunked ones are not read here")
        .and_then(|header| {
            str::from_utf8(header.value).map_err(|_| "a Content-Length that is not text")
        })?
        .parse()?;
    let end = head + length;
    if received.len() > end {
        return Err(
            "more bytes than the answer has: the next request would get the wrong answer".into(),
        );
    }
    Ok((received.len() == end).then_some((status, head..end)))
}

/// A whole POST request with a JSON body, ready to be sent any number of times.
pub fn post(path: &str, body: &str) -> Vec<u8> {
    format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {API_KEY}\r\n\
         User-Agent: hookturn-bench\r\nAccept: application/json\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        body.len()
    )
    .into_bytes()
}

/// A whole GET request.
pub fn get(path: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {API_KEY}\r\n\r\n")
        .into_bytes()
}

/// The key that every server under load is started with (the floor does not look at it, but has to
/// read past it).
pub const API_KEY: &str = "bench-key-0123456789";
