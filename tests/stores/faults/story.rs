//! The story: all that clients, worker and receivers do with a store.

use DeliveryStatus::{Failed, Pending, Succeeded};
use hookturn::domain::{Delivery, DeliveryStatus, Endpoint, EndpointId, Timestamp};
use hookturn_test::{Answer, START, SUBSCRIPTIONS};
use reqwest::Method;
use serde_json::json;

use super::stage::Stage;
use crate::support::acme;

const ENDPOINTS: &str = "/webhooks/endpoints";

/// An endpoint that a client made.
struct Made {
    name: &'static str,
    id: EndpointId,
    path: String,
}

/// Tells the story, from an empty store to its end. Returns what came of it, without what is
/// random.
pub async fn tell(stage: &Stage) -> Vec<String> {
    let server = &stage.server;
    let get = async |path: &str| stage.ask(|| server.get(path)).await;

    get("/readyz").await.is(200);
    let well = create(stage, "well").await;
    let failing = create(stage, "failing").await;
    let gone = create(stage, "gone").await;
    let verbex = create_verbex(stage).await;
    let made = [&well, &failing, &gone, &verbex];
    let list = get(ENDPOINTS).await.is(200).json();
    assert_eq!(list["data"].as_array().map(Vec::len), Some(4), "{list}");

    // A rotation, and what it answered.
    let rotate = format!("{}/secret/rotate", well.path);
    let rotated = stage
        .keyed("rotate", || server.post(&rotate).body("{}"))
        .await
        .is(200)
        .member("secret");
    let secrets = format!("{}/secrets", well.path);
    let live = get(&secrets).await.is(200).json();
    assert_eq!(live["data"].as_array().map(Vec::len), Some(2), "{live}");
    assert_eq!(current(&well.record(stage).await), rotated);

    // An event with an id needs no key.
    let event = json!({ "id": "first", "type": "a", "data": { "n": 1 } }).to_string();
    let publish = || server.post("/events").body(event.clone());
    let published = stage.ask(publish).await.is(202);
    assert_eq!(published.json()["deliveries"], 4);
    assert_eq!(stage.ask(publish).await.is(202).body, published.body);

    for one in [&well, &verbex] {
        stage.wait_for(one.id, are(&[(Succeeded, 1)])).await;
    }
    stage.wait_for(gone.id, are(&[(Failed, 1)])).await;
    let disabled = get(&gone.path).await.is(200);
    assert_eq!(disabled.member("status"), "disabled");
    let first = stage.wait_for(failing.id, are(&[(Pending, 1)])).await;
    let pending = format!("{}/deliveries?status=pending", failing.path);
    let pending = get(&pending).await.is(200).json();
    assert_eq!(pending["data"][0]["id"], first[0].id.to_string());

    // The retry is due after 5 s and a little.
    stage.advance(6).await;
    stage.wait_for(failing.id, are(&[(Succeeded, 2)])).await;

    let sent = stage.wait_for(well.id, are(&[(Succeeded, 1)])).await;
    let resend = format!("/deliveries/{}/resend", sent[0].id);
    let resent = stage.keyed("resend", || server.post(&resend)).await.is(202);
    assert_eq!(resent.member("id"), sent[0].id.to_string());
    stage.wait_for(well.id, are(&[(Succeeded, 2)])).await;
    let test = format!("{}/test", well.path);
    stage.keyed("test", || server.post(&test)).await.is(202);
    let two = [(Succeeded, 1), (Succeeded, 2)];
    stage.wait_for(well.id, are(&two)).await;

    // One without an id needs a key.
    let event = json!({ "type": "a", "data": {} }).to_string();
    let publish = || server.post("/events").body(event.clone());
    let published = stage.keyed("publish", publish).await.is(202);
    assert_eq!(published.json()["deliveries"], 3, "one is disabled");
    let three = [(Succeeded, 1), (Succeeded, 1), (Succeeded, 2)];
    stage.wait_for(well.id, are(&three)).await;
    let two = [(Succeeded, 1), (Succeeded, 1)];
    stage.wait_for(verbex.id, are(&two)).await;
    let two = [(Succeeded, 1), (Succeeded, 2)];
    let retried = stage.wait_for(failing.id, are(&two)).await;

    let enable = || server.request(reqwest::Method::PATCH, &gone.path);
    let enable = || enable().body(r#"{"status":"active"}"#);
    let enabled = stage.keyed("enable", enable).await.is(200);
    assert_eq!(enabled.member("status"), "active");
    let revoke = format!("{}/secret/revoke-previous", well.path);
    let revoked = stage.keyed("revoke", || server.post(&revoke)).await.is(200);
    assert_eq!(revoked.json()["data"].as_array().map(Vec::len), Some(1));
    assert_eq!(current(&well.record(stage).await), rotated);

    // Nothing more is on its way.
    stage.advance(86_400).await;
    let came = came_of(stage, &made).await;
    // When the answer to the first deletion was lost, there is nothing left to delete.
    let deleted = stage.ask(|| server.request(Method::DELETE, &failing.path));
    let deleted = deleted.await.status;
    assert!([204, 404].contains(&deleted), "{deleted}");
    get(&failing.path).await.is(404);
    let kept = format!("/deliveries/{}", retried[0].id);
    assert_eq!(get(&kept).await.is(200).member("status"), "succeeded");
    get("/readyz").await.is(200);
    came
}

impl Made {
    fn of(name: &'static str, created: &Answer, paths: &str) -> Self {
        let id = created.member("id");
        Self {
            name,
            path: format!("{paths}/{id}"),
            id: id.parse().expect("an id"),
        }
    }

    /// It, past the faults.
    async fn record(&self, stage: &Stage) -> Endpoint {
        let found = stage.store().endpoint(acme(), self.id).await;
        found.expect("it works").expect("it exists")
    }
}

/// An endpoint whose receiver is as its name says.
async fn create(stage: &Stage, name: &'static str) -> Made {
    let body = json!({ "url": stage.receiver.url(name), "events": ["a"] }).to_string();
    let create = || stage.server.post(ENDPOINTS).body(body.clone());
    let created = stage.keyed(name, create).await.is(201);
    let made = Made::of(name, &created, ENDPOINTS);
    let read = stage.ask(|| stage.server.get(&made.path)).await.is(200);
    assert_eq!(read.member("url"), stage.receiver.url(name));
    assert_eq!(current(&made.record(stage).await), created.member("secret"));
    made
}

/// A subscription that is signed only from its second version on.
async fn create_verbex(stage: &Stage) -> Made {
    let url = stage.receiver.url("verbex");
    let body = |signed: bool| {
        json!({ "name": "n", "url": url, "events": ["*"], "enable_signed_webhooks": signed })
            .to_string()
    };
    let create = || stage.server.post(SUBSCRIPTIONS).body(body(false));
    let created = stage.keyed("verbex", create).await.is(201);
    let made = Made::of("verbex", &created, SUBSCRIPTIONS);
    let sign = || stage.server.put(&made.path).body(body(true));
    let signed = stage.keyed("sign", sign).await.is(200);
    assert_eq!(current(&made.record(stage).await), signed.member("secret"));
    made
}

fn current(endpoint: &Endpoint) -> String {
    let key_ring = endpoint.key_ring.as_ref().expect("a signed endpoint");
    key_ring.current().secret.expose().to_string()
}

/// Whether deliveries stand like this, each after so many attempts.
fn are(wanted: &[(DeliveryStatus, usize)]) -> impl Fn(&[Delivery]) -> bool {
    move |deliveries| {
        let stand = |delivery: &Delivery| (delivery.status, delivery.attempts.len());
        deliveries.iter().map(stand).eq(wanted.iter().copied())
    }
}

/// What became of everything, past the faults, once no delivery is held any more.
async fn came_of(stage: &Stage, made: &[&Made]) -> Vec<String> {
    let mut came = Vec::new();
    for made in made {
        let endpoint = made.record(stage).await;
        let active = endpoint.settings.active;
        let key_ring = endpoint.key_ring.expect("a signed endpoint");
        let live = key_ring.live(Timestamp::from_millis(START)).count();
        came.push(format!("{}: active {active}, {live} live", made.name));
        for delivery in stage.wait_for(made.id, |_| true).await {
            stage.wait_until_let_go(delivery.id).await;
            let attempts = delivery.attempts.iter();
            let codes: Vec<_> = attempts.map(|attempt| attempt.status_code).collect();
            let (event, status) = (&delivery.event.event_type, delivery.status);
            came.push(format!("{}: {event} {status:?} {codes:?}", made.name));
        }
    }
    came.push(format!("{:?}", stage.receiver.counts()));
    came
}
