//! The complete server in the test's own process, on a real socket.

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hookturn::api::auth::Tenants;
use hookturn::api::body::BODY_TIMEOUT;
use hookturn::api::{App, AppConfig, router};
use hookturn::clock::{Clock, TestClock};
use hookturn::domain::Timestamp;
use hookturn::server::Limits;
use hookturn::service::Service;
use hookturn::store::{MemoryStore, Store};
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::keys::{ACME, ACME_TOO, GLOBEX};
use crate::serving::listener;
use crate::{Answer, Client, Serving, lossy, patiently};

/// The time when a server starts: `2026-06-09T10:15:00.000Z`, in milliseconds since the Unix epoch.
pub const START: i64 = 1_781_000_100_000;

/// Creates a clock that stands still at [`START`].
pub fn frozen() -> Arc<TestClock> {
    Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)))
}

/// Returns [`START`] plus `seconds`, in the format of answers.
pub fn after(seconds: i64) -> String {
    Timestamp::from_millis(START + seconds * 1000).to_string()
}

/// The settings of a server. It knows the tenant `acme` by [`ACME`] and [`ACME_TOO`], and the
/// tenant `globex` by [`GLOBEX`].
pub struct Builder {
    clock: Arc<TestClock>,
    store: Option<Arc<dyn Store>>,
    rate_limit: Option<NonZeroU32>,
    dev: bool,
    body_timeout: Duration,
    limits: Limits,
}

impl Builder {
    /// Sets the clock. The default is a new one that stands still at [`START`].
    pub fn clock(self, clock: Arc<TestClock>) -> Self {
        Self { clock, ..self }
    }

    /// Sets the store. The default is a new one in memory. The store must use the same clock as the
    /// server; see [`Self::clock`].
    pub fn store(self, store: Arc<dyn Store>) -> Self {
        Self {
            store: Some(store),
            ..self
        }
    }

    /// Sets the rate limit, in requests per second. The default is no limit.
    pub fn rate_limit(self, per_second: u32) -> Self {
        Self {
            rate_limit: NonZeroU32::new(per_second),
            ..self
        }
    }

    /// Starts the server without `--dev`: the test can move the clock, but no client can.
    pub fn without_dev(self) -> Self {
        Self { dev: false, ..self }
    }

    /// Sets how long a request body may take to arrive. The default is 20 seconds.
    pub fn body_timeout(self, body_timeout: Duration) -> Self {
        Self {
            body_timeout,
            ..self
        }
    }

    /// Sets the limits of connections.
    pub fn limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Starts the server.
    pub async fn start(self) -> Server {
        let (listener, address) = listener().await;
        let client = Client::of(address);
        let clock: Arc<dyn Clock> = self.clock.clone();
        let store = self
            .store
            .unwrap_or_else(|| Arc::new(MemoryStore::new(clock.clone())));
        let keys = [("acme", ACME), ("globex", GLOBEX), ("acme", ACME_TOO)];
        let app = App::new(AppConfig {
            service: Service::new(store, clock),
            tenants: Tenants::new(keys, self.rate_limit),
            public_url: client.base.clone(),
            test_clock: self.dev.then(|| self.clock.clone()),
            body_timeout: self.body_timeout,
        });
        Server {
            address,
            clock: self.clock,
            client,
            serving: Serving::on(listener, address, router(app), self.limits),
        }
    }
}

/// A running server and a client of it. The server stops when this is dropped.
pub struct Server {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The clock of the server.
    pub clock: Arc<TestClock>,
    client: Client,
    serving: Serving,
}

impl Deref for Server {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Server {
    /// Returns the default settings: a store in memory, a clock that stands still, no rate limit,
    /// and `--dev`.
    pub fn builder() -> Builder {
        Builder {
            clock: frozen(),
            store: None,
            rate_limit: None,
            dev: true,
            body_timeout: BODY_TIMEOUT,
            limits: Limits::default(),
        }
    }

    /// Starts a server with the default settings.
    pub async fn start() -> Self {
        Self::builder().start().await
    }

    /// Advances the clock, as `POST /dev/clock/advance` does.
    pub fn advance(&self, seconds: u64) {
        self.advance_millis(seconds * 1000);
    }

    /// Advances the clock by milliseconds, its smallest steps.
    pub fn advance_millis(&self, millis: u64) {
        let by = Duration::from_millis(millis);
        self.clock.advance(by).expect("not too far");
    }

    /// Waits until all requests have ended, also those whose clients are gone, and stops the
    /// server.
    pub async fn stop(self) {
        // The server would wait for the client's idle connections.
        drop(self.client);
        self.serving.stop().await;
    }

    /// Sends `bytes` on a new connection, and reads everything that comes back. It is for requests
    /// that no client library would send. They must ask for `Connection: close`.
    pub async fn raw_bytes(&self, bytes: &[u8]) -> Vec<u8> {
        let exchange = async {
            let mut socket = TcpStream::connect(self.address).await.expect("connected");
            socket.write_all(bytes).await.expect("sent");
            let mut answer = Vec::new();
            socket.read_to_end(&mut answer).await.expect("read");
            answer
        };
        patiently(exchange).await
    }

    /// Sends `bytes` as [`Self::raw_bytes`] does, and returns the checked answer.
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
            body: read[length..].to_vec().into(),
            base: self.base.clone(),
        }
        .checked(None)
    }
}
