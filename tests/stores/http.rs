//! The API over a real socket, on a clock that stands still.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hookturn::api::auth::Tenants;
use hookturn::api::body::BODY_TIMEOUT;
use hookturn::api::{App, AppConfig, router};
use hookturn::clock::TestClock;
use hookturn::domain::{Endpoint, Timestamp};
use hookturn::server::{Limits, serve};
use hookturn::service::Service;
use hookturn::store::{MemoryStore, Store};
use reqwest::header::HeaderMap;
use reqwest::{Client, Method, RequestBuilder};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::support::{START, acme, patiently};

/// The API key of [`acme`].
pub const ACME_KEY: &str = "key-of-acme-0123456789";
/// The API key of [`crate::support::other`].
pub const OTHER_KEY: &str = "key-of-other-0123456789";

/// A running server.
#[derive(Clone)]
pub struct TestServer {
    pub address: SocketAddr,
    /// What lies below whatever the server was started with: for a look past it.
    pub store: Arc<dyn Store>,
    client: Client,
    running: Arc<Running>,
}

struct Running {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

/// An answer, read whole.
#[derive(Clone, Debug)]
pub struct Answered {
    pub status: u16,
    pub headers: HeaderMap,
    pub body: Bytes,
}

impl Answered {
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }

    /// A member of the body that is a text.
    pub fn text(&self, name: &str) -> String {
        let text = self.json()[name].as_str().map(ToOwned::to_owned);
        text.unwrap_or_else(|| panic!("{name} in {:?}", self.body))
    }

    pub fn is_replayed(&self) -> bool {
        let header = self.headers.get("idempotent-replayed");
        assert!(header.is_none_or(|value| value == "true"), "{header:?}");
        header.is_some()
    }

    /// Asserts the status and hands the answer on.
    pub fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.body);
        self
    }

    /// Asserts that this is `first` again, to the byte.
    pub fn repeats(&self, first: &Self) {
        assert!(self.is_replayed(), "{:?}", self.body);
        assert_eq!((self.status, &self.body), (first.status, &first.body));
        for name in ["content-type", "cache-control"] {
            assert_eq!(self.headers.get(name), first.headers.get(name));
        }
    }
}

impl TestServer {
    pub async fn start() -> Self {
        Self::start_over(|store| store).await
    }

    /// Starts a server on a store that `wrap` puts around an empty one.
    pub async fn start_over(wrap: impl FnOnce(Arc<dyn Store>) -> Arc<dyn Store>) -> Self {
        let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new(clock.clone()));
        Self::start_with(clock, Arc::clone(&store), wrap(store)).await
    }

    /// Starts a server on `wrapped`, a store that tells the time by `clock` and has `store` below it.
    pub async fn start_with(
        clock: Arc<TestClock>,
        store: Arc<dyn Store>,
        wrapped: Arc<dyn Store>,
    ) -> Self {
        let app = App::new(AppConfig {
            service: Service::new(wrapped, clock.clone()),
            tenants: Tenants::new([("acme", ACME_KEY), ("other", OTHER_KEY)], None),
            public_url: "http://hookturn.test".to_owned(),
            test_clock: Some(clock),
            body_timeout: BODY_TIMEOUT,
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let (stop, stopped) = oneshot::channel();
        let task = tokio::spawn(serve(listener, router(app), Limits::default(), async {
            let _ = stopped.await;
        }));
        Self {
            address,
            store,
            client: Client::builder().no_proxy().build().expect("a client"),
            running: Arc::new(Running { stop, task }),
        }
    }

    /// The same server, asked over connections that are reset when their client closes them. A mere close would leave
    /// the server in doubt whether somebody still waits for the answer.
    pub async fn behind_resets(self) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound socket");
        let server = self.address;
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(relay(client, server));
            }
        });
        Self { address, ..self }
    }

    /// A request with acme's key.
    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        let url = format!("http://{}{path}", self.address);
        self.client.request(method, url).bearer_auth(ACME_KEY)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str) -> RequestBuilder {
        self.request(Method::POST, path)
    }

    pub fn put(&self, path: &str) -> RequestBuilder {
        self.request(Method::PUT, path)
    }

    pub async fn delete(&self, path: &str) {
        answer(self.request(Method::DELETE, path)).await.is(204);
    }

    /// A new 2026-03-01 endpoint's path.
    pub async fn endpoint(&self) -> String {
        let created = self.post("/webhooks/endpoints").body(ENDPOINT);
        let id = answer(created).await.is(201).text("id");
        format!("/webhooks/endpoints/{id}")
    }

    /// A new Verbex v1 subscription's path.
    pub async fn subscription(&self, name: &str, signed: bool) -> String {
        let created = self
            .post(SUBSCRIPTIONS)
            .body(subscription_body(name, signed));
        let id = answer(created).await.is(201).text("id");
        format!("{SUBSCRIPTIONS}/{id}")
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

    /// How many secrets of an endpoint are retiring: how often it was rotated, with graces that are not over.
    pub async fn rotations(&self, path: &str) -> usize {
        let key_ring = self.record(path).await.key_ring.expect("signed");
        key_ring.live(Timestamp::from_millis(START)).count() - 1
    }

    /// Waits for all requests to end, also those whose clients are gone.
    pub async fn stop(self) {
        let Self {
            client, running, ..
        } = self;
        // Its idle connections would be waited for.
        drop(client);
        let running = Arc::into_inner(running).expect("no other handle");
        let _ = running.stop.send(());
        patiently(running.task).await.expect("serve does not panic");
    }
}

/// Passes bytes on in both directions until either side closes, and resets the server's connection then.
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

/// The path of Verbex v1 subscriptions.
pub const SUBSCRIPTIONS: &str = "/v1/public/webhook/subscription";

/// What creates an endpoint.
pub const ENDPOINT: &str = r#"{"url":"https://example.com/hook"}"#;

/// What creates or replaces a subscription.
pub fn subscription_body(name: &str, signed: bool) -> String {
    format!(
        r#"{{"name":"{name}","url":"https://example.com/hook","enable_signed_webhooks":{signed}}}"#
    )
}

/// Sends a request and reads the answer.
pub async fn answer(request: RequestBuilder) -> Answered {
    patiently(async {
        let response = request.send().await.expect("an answer");
        Answered {
            status: response.status().as_u16(),
            headers: response.headers().clone(),
            body: response.bytes().await.expect("a whole body"),
        }
    })
    .await
}

/// Sends a request with an idempotency key.
pub async fn with_key(request: RequestBuilder, key: &str) -> Answered {
    answer(request.header("Idempotency-Key", key)).await
}
