//! A receiver of webhooks on a real socket. It records requests and reacts as a test says.

mod raw;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, watch};

pub use self::raw::{Connection, RawReceiver, read_request};
use crate::patiently;

/// What a receiver does after it has read a request.
#[derive(Clone)]
pub enum Reaction {
    /// Answers with this status and these headers.
    Answer(u16, Vec<(&'static str, String)>),
    /// Waits for a permit, and then answers with this status.
    Held(Arc<Semaphore>, u16),
    /// Never answers, and keeps the connection open.
    Hang,
    /// Closes the connection.
    Close,
    /// Resets the connection.
    Reset,
    /// Sends these bytes and closes the connection.
    Bytes(Vec<u8>),
    /// Sends the first bytes, and then the second ones again and again as long as the sender reads.
    Endless(Vec<u8>, Vec<u8>),
    /// Sends these bytes one at a time, and then keeps the connection open.
    Drip(Vec<u8>),
}

/// Returns the reaction that answers with this status and no headers.
pub fn status(status: u16) -> Reaction {
    Reaction::Answer(status, Vec::new())
}

/// A request as it was received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The method.
    pub method: String,
    /// The path, with the query if there is one.
    pub path: String,
    /// The headers.
    pub headers: HeaderMap,
    /// The names of the headers, in the case in which they were sent.
    pub names: Vec<String>,
    /// The body, as it was received.
    pub body: Vec<u8>,
}

impl Received {
    /// Returns the only value of a header. Panics when there is none or several.
    pub fn header(&self, name: &str) -> &str {
        let mut values = self.headers.get_all(name).iter();
        let value = values
            .next()
            .unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert!(values.next().is_none(), "{name} was sent twice: {self:?}");
        value.to_str().expect("visible ASCII")
    }

    /// Returns the body, which must be JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

/// The reactions to the requests for one path, or for all other paths. Those in `once` come first.
#[derive(Default)]
struct Reactions {
    once: VecDeque<Reaction>,
    always: Option<Reaction>,
}

impl Reactions {
    fn next(&mut self) -> Option<Reaction> {
        self.once.pop_front().or_else(|| self.always.clone())
    }
}

#[derive(Default)]
struct State {
    reactions: Mutex<Reactions>,
    by_path: Mutex<HashMap<String, Reactions>>,
    received: Mutex<Vec<Received>>,
    counts: Mutex<BTreeMap<String, usize>>,
    count: watch::Sender<usize>,
}

/// A receiver, which listens until the test ends.
pub struct Receiver {
    /// The port on 127.0.0.1 that it listens on.
    pub port: u16,
    raw: RawReceiver,
    state: Arc<State>,
}

impl Receiver {
    /// Starts a receiver that answers every request with 204.
    pub async fn start() -> Self {
        let state = Arc::new(State::default());
        let of_script = Arc::clone(&state);
        let raw = RawReceiver::start(move |connection| {
            let state = Arc::clone(&of_script);
            async move { serve(connection.socket, &state).await }
        })
        .await;
        Self {
            port: raw.address.port(),
            raw,
            state,
        }
    }

    /// Starts a receiver that reacts to every request in this way.
    pub async fn that(reaction: Reaction) -> Self {
        let receiver = Self::start().await;
        receiver.always(reaction);
        receiver
    }

    /// Starts a receiver that answers every request with 204, on its own thread, until the process
    /// of the tests ends. It is for tests that block their thread while they wait.
    pub fn in_background() -> Self {
        let (send, receive) = std::sync::mpsc::channel();
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build();
            runtime.expect("a runtime").block_on(async {
                let _ = send.send(Self::start().await);
                std::future::pending::<()>().await;
            });
        });
        receive.recv().expect("it starts")
    }

    /// Returns the URL of the receiver.
    pub fn url(&self) -> String {
        self.url_of("hook")
    }

    /// Returns the URL of a path on the receiver. The path has no leading slash, and may have a
    /// query.
    pub fn url_of(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}/{path}", self.port)
    }

    /// Sets the reaction to all requests from now on.
    pub fn always(&self, reaction: Reaction) {
        self.state.reactions.lock().always = Some(reaction);
    }

    /// Adds a reaction to one request. Earlier reactions of this kind come first.
    pub fn once(&self, reaction: Reaction) {
        self.state.reactions.lock().once.push_back(reaction);
    }

    /// Sets the reaction to all requests for this path from now on.
    pub fn always_at(&self, path: &str, reaction: Reaction) {
        let mut by_path = self.state.by_path.lock();
        by_path.entry(path.to_owned()).or_default().always = Some(reaction);
    }

    /// Adds a reaction to one request for this path. Earlier reactions of this kind come first.
    pub fn once_at(&self, path: &str, reaction: Reaction) {
        let mut by_path = self.state.by_path.lock();
        let reactions = by_path.entry(path.to_owned()).or_default();
        reactions.once.push_back(reaction);
    }

    /// Returns the requests that were received since the last call.
    pub fn take(&self) -> Vec<Received> {
        std::mem::take(&mut *self.state.received.lock())
    }

    /// Returns the request that was received since the last call. Panics unless there is exactly
    /// one.
    pub fn take_one(&self) -> Received {
        let mut received = self.take();
        assert_eq!(received.len(), 1, "{received:?}");
        received.remove(0)
    }

    /// Returns how many requests were received since the start.
    pub fn count(&self) -> usize {
        *self.state.count.borrow()
    }

    /// Returns how many connections were opened since the start.
    pub fn connections(&self) -> usize {
        self.raw.connections()
    }

    /// Returns how many requests were received since the start, by path.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        self.state.counts.lock().clone()
    }

    /// Waits until at least `count` requests were received since the start.
    pub async fn wait_for(&self, count: usize) {
        let mut counts = self.state.count.subscribe();
        let reached = counts.wait_for(|now| *now >= count);
        patiently(reached).await.expect("the receiver lives");
    }
}

async fn serve(mut socket: TcpStream, state: &State) {
    let mut buffer = Vec::new();
    while let Some(request) = read(&mut socket, &mut buffer).await {
        let path = request.path.clone();
        let of_path = state
            .by_path
            .lock()
            .get_mut(&path)
            .and_then(Reactions::next);
        let reaction = of_path.or_else(|| state.reactions.lock().next());
        state.received.lock().push(request);
        *state.counts.lock().entry(path).or_default() += 1;
        state.count.send_modify(|count| *count += 1);
        let reaction = reaction.unwrap_or_else(|| status(204));
        if react(&mut socket, reaction).await.is_none() {
            return;
        }
    }
}

/// Reacts to a request. Returns `None` when the connection is over.
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
            // Without this, the kernel resets the connection if not all of the request was read.
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
    // A 204 or 304 never has a body, so it needs no length.
    if status != 204 && status != 304 {
        head += "content-length: 0\r\n";
    }
    head += "\r\n";
    socket.write_all(head.as_bytes()).await.ok()
}

/// Keeps the connection open until the other side closes it.
async fn hang(socket: &mut TcpStream) -> Option<()> {
    let mut rest = [0; 1024];
    while socket.read(&mut rest).await.ok()? > 0 {}
    None
}

/// Reads the next request. Returns `None` when there is none.
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

/// Parses a complete request, and returns it with its length.
fn parse(bytes: &[u8]) -> Option<(Received, usize)> {
    let mut headers = [httparse::EMPTY_HEADER; 64];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(start) = head.parse(bytes).expect("a valid request") else {
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
