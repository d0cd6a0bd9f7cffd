//! A receiver of webhooks on a real socket, which records what comes and does what a test says.

use std::collections::VecDeque;
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};

use crate::stage::patiently;

/// What a receiver does with a request, once it has read it.
#[derive(Clone)]
pub enum Reaction {
    /// Answers with this status and these headers.
    Answer(u16, Vec<(&'static str, String)>),
    /// Takes a permit, and then answers with this status.
    Held(Arc<Semaphore>, u16),
    /// Never answers, and keeps the connection.
    Hang,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Sends these bytes and closes.
    Bytes(Vec<u8>),
    /// Sends the first bytes, then the others again and again for as long as they are read.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends these bytes one at a time, and then no more, and keeps the connection.
    Drip(Vec<u8>),
}

/// An answer without headers.
pub fn status(status: u16) -> Reaction {
    Reaction::Answer(status, Vec::new())
}

/// A request as it came.
#[derive(Clone, Debug)]
pub struct Received {
    pub method: String,
    pub path: String,
    pub headers: HeaderMap,
    /// The names of the headers, in their case.
    pub names: Vec<String>,
    pub body: Vec<u8>,
}

impl Received {
    /// The one value of a header that must be there.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values
            .next()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert!(values.next().is_none(), "{name} came twice: {self:?}");
        value.to_str().expect("visible ASCII")
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

struct State {
    reactions: Mutex<(VecDeque<Reaction>, Reaction)>,
    received: Mutex<Vec<Received>>,
    count: watch::Sender<usize>,
    connections: watch::Sender<usize>,
}

/// A receiver. It listens until the test ends.
pub struct Receiver {
    pub port: u16,
    state: Arc<State>,
}

impl Receiver {
    /// One that answers 204 to all that comes.
    pub async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let port = listener.local_addr().expect("a bound socket").port();
        let state = Arc::new(State {
            reactions: Mutex::new((VecDeque::new(), status(204))),
            received: Mutex::default(),
            count: watch::Sender::new(0),
            connections: watch::Sender::new(0),
        });
        let of_task = Arc::clone(&state);
        tokio::spawn(async move {
            loop {
                let Ok((socket, _)) = listener.accept().await else {
                    continue;
                };
                of_task.connections.send_modify(|count| *count += 1);
                tokio::spawn(serve(socket, Arc::clone(&of_task)));
            }
        });
        Self { port, state }
    }

    /// One that does this to all that comes.
    pub async fn that(reaction: Reaction) -> Self {
        let receiver = Self::start().await;
        receiver.always(reaction);
        receiver
    }

    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook", self.port)
    }

    /// From now on it does this.
    pub fn always(&self, reaction: Reaction) {
        self.state.reactions.lock().1 = reaction;
    }

    /// It does this to the next request that has nothing else before it.
    pub fn once(&self, reaction: Reaction) {
        self.state.reactions.lock().0.push_back(reaction);
    }

    /// What came since the last call.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock())
    }

    /// The one request that came since the last call.
    pub fn take_one(&self) -> Received {
        let mut received = self.take();
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// How many requests have come since the start.
    pub fn count(&self) -> usize {
        *self.state.count.borrow()
    }

    /// How many connections have been opened since the start.
    pub fn connections(&self) -> usize {
        *self.state.connections.borrow()
    }

    /// Waits until so many requests have come since the start.
    pub async fn wait_for(&self, count: usize) {
        let mut counts = self.state.count.subscribe();
        let reached = counts.wait_for(|now| *now >= count);
        patiently(reached).await.expect("the receiver lives");
    }
}

async fn serve(mut socket: TcpStream, state: Arc<State>) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut socket, &mut buffer).await {
        let reaction = {
            let mut reactions = state.reactions.lock();
            let next = reactions.0.pop_front();
            next.unwrap_or_else(|| reactions.1.clone())
        };
        state.received.lock().push(request);
        state.count.send_modify(|count| *count += 1);
        if react(&mut socket, reaction).await.is_none() {
            return;
        }
    }
}

/// `None` when the connection is at its end.
async fn react(socket: &mut TcpStream, reaction: Reaction) -> Option<()> {
    match reaction {
        Reaction::Answer(status, headers) => answer(socket, status, &headers).await,
        Reaction::Held(released, status) => {
            released.acquire().await.ok()?.forget();
            answer(socket, status, &[]).await
        }
        Reaction::Hang => hang(socket).await,
        Reaction::Close => None,
        Reaction::Reset => {
            socket.set_zero_linger().ok()?;
            None
        }
        Reaction::Bytes(bytes) => {
            socket.write_all(&bytes).await.ok()?;
            // Else the kernel resets the connection if it has not read all there is.
            socket.shutdown().await.ok()?;
            None
        }
        Reaction::Endless(first, others) => {
            socket.write_all(&first).await.ok()?;
            loop {
                socket.write_all(&others).await.ok()?;
            }
        }
        Reaction::Drip(bytes) => {
            socket.set_nodelay(true).ok()?;
            for byte in bytes {
                socket.write_all(&[byte]).await.ok()?;
                tokio::task::yield_now().await;
            }
            hang(socket).await
        }
    }
}

async fn answer(
    socket: &mut TcpStream,
    status: u16,
    headers: &[(&'static str, String)],
) -> Option<()> {
    let mut head = format!("HTTP/1.1 {status} X\r\n");
    for (name, value) in headers {
        for part in [name, ": ", value, "\r\n"] {
            head += part;
        }
    }
    // A 204 and a 304 have no body, and need not say so.
    if status != 204 && status != 304 {
        head += "content-length: 0\r\n";
    }
    head += "\r\n";
    socket.write_all(head.as_bytes()).await.ok()
}

/// Holds the connection until the other side lets go of it.
async fn hang(socket: &mut TcpStream) -> Option<()> {
    let mut rest = [0; 1024];
    while socket.read(&mut rest).await.ok()? > 0 {}
    None
}

/// The next request; `None` when there is none.
async fn read(socket: &mut TcpStream, buffer: &mut Vec<u8>) -> Option<Received> {
    loop {
        if let Some((request, length)) = parse(buffer) {
            buffer.drain(..length);
            return Some(request);
        }
        if socket.read_buf(buffer).await.ok()? == 0 {
            return None;
        }
    }
}

/// A whole request, and how long it is.
fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(bytes).expect("a sound request") else {
        return None;
    };
    let (mut map, mut names) = (HeaderMap::new(), Vec::new());
    for header in head.headers.iter() {
        let name = HeaderName::from_bytes(header.name.as_bytes()).expect("a name");
        let value = HeaderValue::from_bytes(header.value).expect("a value");
        map.append(name, value);
        names.push(header.name.to_owned());
    }
    let length = map.get("content-length").expect("a length");
    let length: usize = length.to_str().ok()?.parse().expect("a number");
    let body = bytes.get(start..start + length)?.to_vec();
    let request = Received {
        method: head.method?.to_owned(),
        path: head.path?.to_owned(),
        headers: map,
        names,
        body,
    };
    Some((request, start + length))
}
