//! The API over a real socket, on a clock that stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::TestClock;
use hookturn::domain::{Endpoint, Timestamp};
use hookturn::store::{MemoryStore, Store};
use hookturn_test::{
    Answer, Client, RawReceiver, RequestBuilder, START, SUBSCRIPTIONS, Server, frozen, id,
};
use reqwest::Method;
use tokio::net::TcpStream;

use crate::support::acme;

/// A running server.
#[derive(Clone)]
pub struct TestServer {
    pub address: SocketAddr,
    /// What lies below whatever the server was started with: for a look past it.
    pub store: Arc<dyn Store>,
    client: Client,
    server: Arc<Server>,
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_over(|store| store).await
    }

    /// Starts a server on a store that `wrap` puts around an empty one.
    pub async fn start_over(wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let clock = frozen();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
        Self::start_with(clock, Arc::clone(&store), wrap(store)).await
    }

    /// Starts a server on `wrapped`, a store that tells the time by `clock` and has `store` below
    /// it.
    pub async fn start_with(
        clock: Arc<TestClock>,
        store: Arc<dyn Store>,
        wrapped: Arc<dyn Store>,
    ) -> Self {
        let server = Server::builder().clock(clock).store(wrapped).start().await;
        Self {
            address: server.address,
            store,
            client: Client::clone(&server),
            server: Arc::new(server),
        }
    }

    /// The same server, asked over connections that are reset when their client closes them. A mere
    /// close would leave the server in doubt whether somebody still waits for the answer.
    pub async fn behind_resets(self) -> Self {
        let server = self.address;
        let relay = RawReceiver::start(move |client| relay(client.socket, server)).await;
        Self {
            address: relay.address,
            client: self.client.at(relay.address),
            ..self
        }
    }

    /// A request with acme's key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, path)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.client.get(path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.client.post(path)
    }

    pub fn put(&self, path: &str) -> RequestBuilder {
        self.client.put(path)
    }

    pub async fn delete(&self, path: &str) {
        answer(self.request(Method::DELETE, path)).await.is(204);
    }

    /// A new 2026-03-01 endpoint's path.
    pub async fn endpoint(&self) -> String {
        self.client.endpoint_path().await
    }

    /// A new Verbex v1 subscription's path.
    pub async fn subscription(&self, name: &str, signed: bool) -> String {
        let created = self.client.subscription(name, signed).await;
        format!("{SUBSCRIPTIONS}/{}", id(&created))
    }

    pub async fn advance_clock(&self, by: Duration) {
        let body = format!("{{\"seconds\":{}}}", by.as_secs());
        let advanced = self.post("/dev/clock/advance").body(body);
        answer(advanced).await.is(200);
    }

    /// The record behind a path, past the API.
    pub async fn record(&self, path: &str) -> Endpoint {
        let id = path.rsplit('/').next().expect("a path");
        let id = id.parse().expect("a path that ends with an id");
        let found = self.store.endpoint(acme(), id).await;
        found.expect("the store works").expect("it exists")
    }

    /// How many secrets of an endpoint are retiring: how often it was rotated, with graces that are
    /// not over.
    pub async fn rotations(&self, path: &str) -> usize {
        let key_ring = self.record(path).await.key_ring.expect("signed");
        key_ring.live(Timestamp::from_millis(START)).count() - 1
    }

    /// Waits for all requests to end, also those whose clients are gone.
    pub async fn stop(self) {
        let Self { client, server, .. } = self;
        // Its idle connections would be waited for.
        drop(client);
        let server = Arc::into_inner(server).expect("no other handle");
        server.stop().await;
    }
}

/// Passes bytes on in both directions until either side closes, and resets the server's connection
/// then.
async fn relay(mut client: TcpStream, server: SocketAddr) {
    let Ok(mut server) = TcpStream::connect(server).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.split();
    let (mut from_server, mut to_server) = server.split();
    tokio::select! {
        _ = tokio::io::copy(&mut from_client, &mut to_server) => {}
        _ = tokio::io::copy(&mut from_server, &mut to_client) => {}
    }
    let _ = server.set_zero_linger();
}

/// What creates an endpoint.
pub const ENDPOINT: &str = r#"{"url":"https://example.com/hook"}"#;

/// What creates or replaces a subscription.
pub fn subscription_body(name: &str, signed: bool) -> String {
    hookturn_test::subscription(name, signed).to_string()
}

/// Sends a request and reads the answer.
pub async fn answer(request: RequestBuilder) -> Answer {
    request.await
}

/// Sends a request with an idempotency key.
pub async fn with_key(request: RequestBuilder, key: &str) -> Answer {
    request.with_key(key).await
}
