//! A receiver that does on each connection what a test tells it to.

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
    /// Where it listens.
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// One connection to a [`RawReceiver`].
pub struct Connection {
    /// Its socket.
    pub socket: TcpStream,
    /// Which connection it is, from 0.
    pub number: usize,
    requests: Arc<Mutex<Vec<String>>>,
}

impl RawReceiver {
    /// Runs `script` on each connection.
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

    /// Gives each request the same answer.
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

    /// Where it is reached, with something in the query that no error may tell.
    pub fn url(&self) -> String {
        format!("http://{}/hook?secret=hook", self.address)
    }

    /// How many connections have been opened since the start.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    /// What came and was read by [`Connection::request`].
    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().clone()
    }
}

impl Connection {
    /// Reads one request, or nothing when the sender closed the connection before one.
    pub async fn request(&mut self) -> Option<String> {
        let request = read_request(&mut self.socket).await?;
        self.requests.lock().push(request.clone());
        Some(request)
    }

    /// Writes, whether or not somebody still reads.
    pub async fn say(&mut self, bytes: &[u8]) {
        let _ = self.socket.write_all(bytes).await;
    }

    /// Waits until the sender closes the connection.
    pub async fn closed(&mut self) {
        // Whether it is closed or reset, it ends; what is still said does not matter.
        let _ = self.socket.read_to_end(&mut Vec::new()).await;
    }
}

/// Reads a request whose length is in its head. `None` when there is no whole one.
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
