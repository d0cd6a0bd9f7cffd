//! A real server on a real socket, and a client that holds every answer against the `OpenAPI` documents.

use std::{net::SocketAddr, num::NonZeroU32, sync::Arc, time::Duration};

use hookturn::{
    api::{App, AppConfig, auth::Tenants, body::BODY_TIMEOUT, router},
    clock::{Clock, TestClock},
    domain::Timestamp,
    server::{self, Limits},
    service::Service,
    store::{MemoryStore, Store},
};
use reqwest::{
    Method,
    header::{HeaderMap, HeaderName, HeaderValue},
    redirect::Policy,
};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{TcpListener, TcpStream},
    sync::oneshot,
    time::timeout,
};

use crate::client::lossy;
pub use crate::client::{Answer, Request};

/// The keys of tenant `acme`, which has two, and of tenant `globex`.
pub const ACME: &str = "key-of-acme";
pub const ACME_TOO: &str = "another-key-of-acme";
pub const GLOBEX: &str = "key-of-globex";

/// What the clock says when a server starts: `2026-06-09T10:15:00.000Z`.
pub const START: i64 = 1_781_000_100_000;

/// Longer than any answer takes, on however busy a machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// A clock that stands at [`START`].
pub fn frozen() -> Arc<TestClock> {
    Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)))
}

/// [`START`] and `seconds`, as answers show it.
pub fn after(seconds: i64) -> String {
    Timestamp::from_millis(START + seconds * 1000).to_string()
}

/// What a server is started with.
pub struct Builder {
    clock: Arc<TestClock>,
    store: Option<Arc<dyn Store>>,
    rate_limit: Option<NonZeroU32>,
    dev: bool,
    body_timeout: Duration,
}

impl Builder {
    /// Another clock than a new one that stands at [`START`].
    pub fn clock(self, clock: Arc<TestClock>) -> Self {
        Self { clock, ..self }
    }

    /// Another store than a new one in memory. It must tell the time by the clock of [`Self::clock`].
    pub fn store(self, store: Arc<dyn Store>) -> Self {
        Self {
            store: Some(store),
            ..self
        }
    }

    /// A limit of so many requests a second; without this there is none.
    pub fn rate_limit(self, per_second: u32) -> Self {
        Self {
            rate_limit: NonZeroU32::new(per_second),
            ..self
        }
    }

    /// As without `--dev`: the test moves the clock, but no client can.
    pub fn without_dev(self) -> Self {
        Self { dev: false, ..self }
    }

    /// Another patience with slow bodies than the usual 20 seconds.
    pub fn body_timeout(self, body_timeout: Duration) -> Self {
        Self {
            body_timeout,
            ..self
        }
    }

    /// Starts it.
    pub async fn start(self) -> Server {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let base = format!("http://{address}");
        let clock: Arc<dyn Clock> = self.clock.clone();
        let store = self
            .store
            .unwrap_or_else(|| Arc::new(MemoryStore::new(clock.clone())));
        let keys = [("acme", ACME), ("globex", GLOBEX), ("acme", ACME_TOO)];
        let app = App::new(AppConfig {
            service: Service::new(store, clock),
            tenants: Tenants::new(keys, self.rate_limit),
            public_url: base.clone(),
            test_clock: self.dev.then(|| self.clock.clone()),
            body_timeout: self.body_timeout,
        });
        let (stop, stopped) = oneshot::channel::<()>();
        tokio::spawn(server::serve(
            listener,
            router(app),
            Limits::default(),
            async {
                // Also when the sender is dropped, with the server's handle.
                let _ = stopped.await;
            },
        ));
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(PATIENCE);
        Server {
            address,
            base,
            clock: self.clock,
            client: client.build().expect("a client"),
            _stop: stop,
        }
    }
}

/// A running server. It stops when this is dropped.
pub struct Server {
    pub address: SocketAddr,
    /// The public URL: what problem types start with.
    pub base: String,
    pub clock: Arc<TestClock>,
    pub client: reqwest::Client,
    _stop: oneshot::Sender<()>,
}

impl Server {
    /// What to start a server with. By default a store in memory, a clock that stands, no rate limit, and `--dev`.
    pub fn builder() -> Builder {
        Builder {
            clock: frozen(),
            store: None,
            rate_limit: None,
            dev: true,
            body_timeout: BODY_TIMEOUT,
        }
    }

    /// A server with the defaults.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Moves the clock, as `POST /dev/clock/advance` does.
    pub fn advance(&self, seconds: u64) {
        self.advance_millis(seconds * 1000);
    }

    /// Moves the clock by its smallest steps.
    pub fn advance_millis(&self, millis: u64) {
        let by = Duration::from_millis(millis);
        self.clock.advance(by).expect("not too far");
    }

    pub fn get(&self, target: &str) -> Request<'_> {
        self.request(Method::GET, target)
    }

    pub fn post(&self, target: &str) -> Request<'_> {
        self.request(Method::POST, target)
    }

    pub fn put(&self, target: &str) -> Request<'_> {
        self.request(Method::PUT, target)
    }

    pub fn patch(&self, target: &str) -> Request<'_> {
        self.request(Method::PATCH, target)
    }

    pub fn delete(&self, target: &str) -> Request<'_> {
        self.request(Method::DELETE, target)
    }

    /// A request for `target`, a path with or without a query, with `acme`'s key.
    pub fn request(&self, method: Method, target: &str) -> Request<'_> {
        Request::new(self, method, target)
    }

    /// Sends `bytes` as they are, for what no client library would send, and reads all that comes back. They must ask
    /// for `Connection: close`.
    pub async fn raw_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let exchange = async {
            let mut socket = TcpStream::connect(self.address).await.expect("connected");
            socket.write_all(bytes).await.expect("sent");
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.expect("read");
            answer
        };
        timeout(PATIENCE, exchange).await.expect("an answer")
    }

    /// One answer to [`Self::raw_bytes`], checked like every other.
    pub async fn raw(&self, bytes: &[u8]) -> Answer {
        let read = self.raw_bytes(bytes).await;
        let mut headers = [httparse::EMPTY_HEADER; 64];
        let mut head = httparse::Response::new(&mut headers);
        let length = match head.parse(&read) {
            Ok(httparse::Status::Complete(length)) => length,
            other => panic!("no response head: {other:?} in {}", lossy(&read)),
        };
        let mut map = HeaderMap::new();
        for header in head.headers.iter() {
            let name = HeaderName::from_bytes(header.name.as_bytes()).expect("a name");
            map.append(
                name,
                HeaderValue::from_bytes(header.value).expect("a value"),
            );
        }
        let line = lossy(
            bytes
                .split(|byte| *byte == b'\r')
                .next()
                .unwrap_or_default(),
        );
        let mut words = line.split(' ');
        Answer {
            method: words.next().unwrap_or_default().to_owned(),
            target: words.next().unwrap_or_default().to_owned(),
            status: head.code.expect("a status"),
            headers: map,
            body: read[length..].to_vec(),
            base: self.base.clone(),
        }
        .checked(None)
    }

    /// Makes an endpoint through 2026-03-01 and answers what its creation answered.
    pub async fn endpoint(&self) -> Value {
        let body = json!({ "url": "https://example.com/hook" });
        self.post("/webhooks/endpoints")
            .json(&body)
            .await
            .expect_json(201)
    }

    /// Makes an endpoint through 2026-03-01 and answers its path.
    pub async fn endpoint_path(&self) -> String {
        format!("/webhooks/endpoints/{}", id(&self.endpoint().await))
    }

    /// Makes a subscription through Verbex v1 and answers what its creation answered.
    pub async fn subscription(&self, name: &str, signed: bool) -> Value {
        self.post(SUBSCRIPTIONS)
            .json(&subscription(name, signed))
            .await
            .expect_json(201)
    }

    /// The fingerprints of an endpoint's live secrets, in signing order.
    pub async fn live(&self, id: &str) -> Vec<Value> {
        let path = format!("/webhooks/endpoints/{id}/secrets");
        let list = self.get(&path).await.expect_json(200);
        list["data"].as_array().expect("a list").clone()
    }
}

/// Where subscriptions are.
pub const SUBSCRIPTIONS: &str = "/v1/public/webhook/subscription";

/// The least that makes a subscription.
pub fn subscription(name: &str, signed: bool) -> Value {
    json!({ "name": name, "url": "https://example.com/hook", "enable_signed_webhooks": signed })
}

/// The `id` of a record.
pub fn id(record: &Value) -> &str {
    record["id"].as_str().expect("an id")
}

/// The names of the fields of `object`, sorted.
pub fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}
