//! A receiver that runs a test's script on each connection.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::lossy;
use crate::serving::listener;

/// A socket that runs a script on each connection. It listens until the test ends.
pub struct RawReceiver {
    /// The address that it listens on.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// One connection to a [`RawReceiver`].
pub struct Connection {
    /// The socket.
    pub socket: TcpStream,
    /// The number of the connection, counted from 0.
    pub number: usize,
    requests: Arc<Mutex<Vec<String>>>,
}

impl RawReceiver {
    /// Starts a receiver that runs `script` on each connection.
    pub async fn start<F, T>(script: F) -> Self
    where
        F: Fn(Connection) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let (listener, address) = listener().await;
        let receiver = Self {
            address,
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (receiver.connections.clone(), receiver.requests.clone());
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    continue;
                };
                let number = connections.fetch_add(1, Ordering::SeqCst);
                let requests = requests.clone();
                tokio::spawn(script(Connection {
                    socket,
                    number,
                    requests,
                }));
            }
        });
        receiver
    }

    /// Starts a receiver that answers each request with these bytes.
    pub async fn answering(answer: impl Into<Vec<u8>>) -> Self {
        let answer = Bytes::from(answer.into());
        Self::start(move |mut connection| {
            let answer = answer.clone();
            async move {
                while connection.request().await.is_some() {
                    connection.say(&answer).await;
                }
            }
        })
        .await
    }

    /// Returns the URL of the receiver. Its query contains a text that no error may reveal.
    pub fn url(&self) -> String {
        format!("http://{}/hook?secret=hook", self.address)
    }

    /// Returns how many connections were opened since the start.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// Returns the requests that [`Connection::request`] has read.
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

impl Connection {
    /// Reads one request. Returns `None` when the sender closes the connection first.
    pub async fn request(&mut self) -> Option<String> {
        let request = read_request(&mut self.socket).await?;
        self.requests.lock().push(request.clone());
        Some(request)
    }

    /// Writes bytes, and ignores whether the sender still reads.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    /// Waits until the sender closes the connection.
    pub async fn closed(&mut self) {
        // A close and a reset both end the connection. What the sender still writes does not
        // matter.
        let _ = self.socket.read_to_end(&mut Vec::new()).await;
    }
}

/// Reads a request with a `Content-Length`. Returns `None` when no complete request arrives.
pub async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map_or(0, |length| length.parse().expect("a length"));
            if body.len() >= length {
                return Some(text);
            }
        }
        if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}
