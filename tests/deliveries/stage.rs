//! A server, its store and its worker, as one thing that a test drives.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::Clock;
use hookturn::delivery::sender::SenderOptions;
use hookturn::delivery::{EgressGuard, Sender, Worker};
use hookturn::store::{MemoryStore, Store, StoreLimits};
use hookturn_test::{PATIENCE, Receiver, SUBSCRIPTIONS, Server, frozen, id, patiently};
use serde_json::{Value, json};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// Everything, running but for the worker, which makes a step when it is asked to.
pub struct Stage {
    server: Server,
    pub store: Arc<dyn Store>,
    pub worker: Worker,
}

impl Deref for Stage {
    type Target = Server;

    fn deref(&self) -> &Server {
        &self.server
    }
}

/// A worker in the background. It is told to stop when this is dropped.
pub struct Running {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<()>,
}

impl Running {
    /// Tells it to stop and waits until it has.
    pub async fn stop(self) {
        drop(self.stop);
        patiently(self.worker).await.expect("it does not panic");
    }
}

impl Stage {
    /// With the limits of the server, and no hurry.
    pub async fn start() -> Self {
        Self::with(StoreLimits::default(), PATIENCE).await
    }

    /// With so much time for an attempt.
    pub async fn with_attempt_timeout(timeout: Duration) -> Self {
        Self::with(StoreLimits::default(), timeout).await
    }

    pub async fn with(limits: StoreLimits, attempt_timeout: Duration) -> Self {
        let options = SenderOptions {
            attempt_timeout,
            ..SenderOptions::default()
        };
        Self::sending(
            limits,
            Sender::with_options(EgressGuard::with_local(), options),
        )
        .await
    }

    pub async fn sending(limits: StoreLimits, sender: Sender) -> Self {
        let clock = frozen();
        let of_store: Arc<dyn Clock> = clock.clone();
        let store: Arc<dyn Store> = Arc::new(MemoryStore::with_limits(of_store.clone(), limits));
        let worker = Worker::new(Arc::clone(&store), of_store, sender);
        let server = Server::builder().clock(clock).store(Arc::clone(&store));
        Self {
            server: server.start().await,
            store,
            worker,
        }
    }

    /// One step of the worker.
    pub async fn step(&self) -> usize {
        let step = patiently(self.worker.step()).await;
        step.expect("a store in memory does not fail")
    }

    /// Steps of the worker until nothing is due.
    pub async fn settle(&self) -> usize {
        let mut sum = 0;
        loop {
            match self.step().await {
                0 => return sum,
                count => sum += count,
            }
        }
    }

    /// Lets the worker run by itself.
    pub fn run(&self) -> Running {
        let (stop, stopped) = oneshot::channel::<()>();
        let worker = self.worker.clone().run(async {
            let _ = stopped.await;
        });
        Running {
            stop,
            worker: tokio::spawn(worker),
        }
    }

    /// An endpoint of 2026-03-01 for this receiver and these events; its creation's answer.
    pub async fn hook(&self, receiver: &Receiver, events: &[&str]) -> Value {
        self.hook_at(&receiver.url(), events).await
    }

    pub async fn hook_at(&self, url: &str, events: &[&str]) -> Value {
        let body = json!({ "url": url, "events": events });
        let created = self.post("/webhooks/endpoints").json(&body).await;
        created.expect_json(201)
    }

    /// A subscription of Verbex v1 to all events; its creation's answer.
    pub async fn verbex(&self, receiver: &Receiver, signed: bool) -> Value {
        let body = json!({
            "name": receiver.url(), "url": receiver.url(), "enable_signed_webhooks": signed,
            "events": ["*"],
        });
        self.post(SUBSCRIPTIONS).json(&body).await.expect_json(201)
    }

    /// Publishes `{"n":1}` under this type.
    pub async fn publish(&self, event_type: &str) -> Value {
        self.publish_json(&json!({ "type": event_type, "data": { "n": 1 } }))
            .await
    }

    pub async fn publish_json(&self, event: &Value) -> Value {
        self.post("/events").json(event).await.expect_json(202)
    }

    /// Sets the status of an endpoint.
    pub async fn set_status(&self, endpoint: &Value, status: &str) {
        let path = format!("/webhooks/endpoints/{}", id(endpoint));
        let change = self.patch(&path).json(&json!({ "status": status }));
        change.await.expect_json(200);
    }

    /// Deletes an endpoint.
    pub async fn remove(&self, endpoint: &Value) {
        let path = format!("/webhooks/endpoints/{}", id(endpoint));
        assert_eq!(self.delete(&path).await.status, 204);
    }

    /// Rotates an endpoint's secret and answers the new one.
    pub async fn rotate(&self, endpoint: &Value, grace_seconds: u64) -> String {
        let path = format!("/webhooks/endpoints/{}/secret/rotate", id(endpoint));
        let body = json!({ "expire_current_in": grace_seconds });
        let rotated = self.post(&path).json(&body).await.expect_json(200);
        rotated["secret"].as_str().expect("a secret").to_owned()
    }

    /// The deliveries of an endpoint, newest first.
    pub async fn deliveries(&self, endpoint: &Value) -> Vec<Value> {
        let path = format!("/webhooks/endpoints/{}/deliveries?limit=100", id(endpoint));
        let list = self.get(&path).await.expect_json(200);
        list["data"].as_array().expect("a list").clone()
    }

    /// The one delivery of an endpoint.
    pub async fn only_delivery(&self, endpoint: &Value) -> Value {
        let mut deliveries = self.deliveries(endpoint).await;
        assert_eq!(deliveries.len(), 1, "{deliveries:?}");
        deliveries.remove(0)
    }

    /// A delivery by its id.
    pub async fn delivery(&self, delivery_id: &str) -> Value {
        let path = format!("/deliveries/{delivery_id}");
        self.get(&path).await.expect_json(200)
    }

    /// Asks for one more attempt.
    pub async fn resend(&self, delivery: &Value) -> Value {
        let path = format!("/deliveries/{}/resend", id(delivery));
        self.post(&path).await.expect_json(202)
    }
}

/// The attempts of a delivery.
pub fn attempts(delivery: &Value) -> &[Value] {
    delivery["attempts"].as_array().expect("attempts")
}

/// The secret that a creation answered.
pub fn secret(created: &Value) -> String {
    created["secret"].as_str().expect("a secret").to_owned()
}
