//! A receiver that does on each connection what a test tells it to.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use hookturn::{
    delivery::{EgressGuard, Reply, Sender, sender::Options},
    domain::Timestamp,
};
use hyper::HeaderMap;
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    time::timeout,
};

/// Longer than anything here takes, on however busy a machine.
pub const PATIENCE: Duration = Duration::from_secs(30);
/// For a test which is to see an attempt time out.
pub const SHORT: Duration = Duration::from_millis(300);
/// The answer of a receiver that is content.
pub const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

pub struct Receiver {
    pub address: SocketAddr,
    connections: Arc<AtomicUsize>,
    requests: Arc<Mutex<Vec<String>>>,
}

/// One connection to a [`Receiver`].
pub struct Connection {
    pub socket: TcpStream,
    /// Which connection it is, from 0.
    pub number: usize,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Receiver {
    /// Runs `script` on each connection.
    pub async fn start<F, T>(script: F) -> Self
    where
        F: Fn(Connection) -> T + Send + 'static,
        T: Future<Output = ()> + Send + 'static,
    {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let receiver = Self {
            address: listener.local_addr().expect("a bound socket"),
            connections: Arc::default(),
            requests: Arc::default(),
        };
        let (connections, requests) = (receiver.connections.clone(), receiver.requests.clone());
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
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

    pub fn url(&self) -> String {
        format!("http://{}/hook?secret=hook", self.address)
    }

    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::SeqCst)
    }

    pub fn requests(&self) -> Vec<String> {
        self.requests.lock().expect("not poisoned").clone()
    }
}

impl Connection {
    /// Reads one request, or nothing when the sender closed the connection before one.
    pub async fn request(&mut self) -> Option<String> {
        let request = read_request(&mut self.socket).await?;
        let mut requests = self.requests.lock().expect("not poisoned");
        requests.push(request.clone());
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

/// Reads a request whose length is in its head.
pub async fn read_request(socket: &mut (impl AsyncRead + Unpin)) -> Option<String> {
    let mut request = Vec::new();
    loop {
        let text = String::from_utf8_lossy(&request);
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length = head
                .lines()
                .find_map(|line| line.strip_prefix("Content-Length: "))
                .map_or(0, |length| length.parse().expect("a length"));
            if body.len() >= length {
                return Some(text.into_owned());
            }
        }
        if socket.read_buf(&mut request).await.unwrap_or(0) == 0 {
            return None;
        }
    }
}

pub fn sender() -> Sender {
    Sender::new(EgressGuard::with_local())
}

/// A sender whose attempts end after [`SHORT`].
pub fn hasty_sender() -> Sender {
    sender_with(SHORT)
}

/// A sender whose attempts end after that time.
pub fn sender_with(attempt_timeout: Duration) -> Sender {
    let options = Options {
        attempt_timeout,
        ..Options::default()
    };
    Sender::with_options(EgressGuard::with_local(), options)
}

/// Makes one attempt, and checks what holds for all of them.
pub async fn send(sender: &Sender, url: &str) -> Reply {
    let body = Bytes::from_static(b"{\"hello\":\"world\"}");
    let attempt = sender.send(url, HeaderMap::new(), body, Timestamp::from_millis(0));
    let reply = patiently(attempt).await;
    if let Some(error) = &reply.error {
        for told in ["127", "localhost", "hook", "://"] {
            assert!(!error.contains(told), "{error:?} tells {told:?}");
        }
    } else {
        assert!(
            reply.status.is_some(),
            "an attempt has a status or an error"
        );
    }
    reply
}

/// The text of an attempt that got no answer.
pub async fn failure(sender: &Sender, url: &str) -> String {
    let reply = send(sender, url).await;
    assert_eq!((reply.status, reply.retry_after), (None, None));
    reply
        .error
        .expect("an attempt has a status or an error")
        .into()
}

pub async fn patiently<F: Future>(future: F) -> F::Output {
    timeout(PATIENCE, future)
        .await
        .expect("nothing here takes that long")
}
