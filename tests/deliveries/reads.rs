//! Reading deliveries: one, or a list; and that no tenant sees another's (I7).

use hookturn_test::{GLOBEX, Receiver, fields, id, status};
use serde_json::{Value, json};

use crate::stage::Stage;

#[tokio::test]
async fn a_delivery_shows_what_was_tried_and_nothing_else() {
    let stage = Stage::start().await;
    let receiver = Receiver::that(status(503)).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let published = stage.publish("a.b").await;
    stage.advance(2);
    stage.settle().await;
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(stage.delivery(id(&delivery)).await, delivery);
    assert_eq!(
        fields(&delivery),
        [
            "attempts",
            "created_at",
            "event_id",
            "event_type",
            "failure_reason",
            "id",
            "next_attempt_at",
            "status",
            "webhook_endpoint_id",
        ]
    );
    assert_eq!(delivery["event_id"], published["id"]);
    assert_eq!(delivery["event_type"], "a.b");
    assert_eq!(delivery["webhook_endpoint_id"], endpoint["id"]);
    assert_eq!(delivery["created_at"], hookturn_test::after(0));
    let attempt = &delivery["attempts"][0];
    assert_eq!(
        fields(attempt),
        ["at", "duration_ms", "error", "signed_by", "status_code"]
    );
    assert_eq!(attempt["at"], hookturn_test::after(2));
    assert_eq!(stage.get("/deliveries/x").await.status, 404);
    let unknown = "/deliveries/dlv_00000000000000000000000000000000";
    let unknown = stage.get(unknown).await;
    unknown.problem(404, "not-found", "delivery_not_found");
}

async fn page(stage: &Stage, endpoint: &Value, query: &str) -> (Vec<String>, bool) {
    let path = format!("/webhooks/endpoints/{}/deliveries?{query}", id(endpoint));
    let page = stage.get(&path).await.expect_json(200);
    assert_eq!(page["object"], "list");
    let ids = page["data"].as_array().expect("a list").iter();
    let ids = ids.map(|delivery| id(delivery).to_owned()).collect();
    (ids, page["has_more"].as_bool().expect("a boolean"))
}

#[tokio::test]
async fn a_list_is_newest_first_and_pages_through_all_with_or_without_a_status() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let mut by_status: [Vec<String>; 3] = Default::default();
    // Every third is delivered, fails for good, waits; the last of them first.
    for number in 0..9 {
        let published = stage.publish("a").await;
        let newest = stage.deliveries(&endpoint).await.remove(0);
        assert_eq!(newest["event_id"], published["id"]);
        by_status[number % 3].insert(0, id(&newest).to_owned());
        match number % 3 {
            0 => {
                stage.settle().await;
            }
            1 => {
                receiver.once(status(410));
                stage.settle().await;
                stage.set_status(&endpoint, "active").await;
            }
            _ => {
                receiver.once(status(500));
                stage.settle().await;
            }
        }
    }
    let (all, has_more) = page(&stage, &endpoint, "").await;
    assert_eq!((all.len(), has_more), (9, false));
    let [succeeded, failed, pending] = by_status;
    for (query, wanted) in [
        ("", &all),
        ("status=succeeded&", &succeeded),
        ("status=failed&", &failed),
        ("status=pending&", &pending),
        ("status=canceled&", &Vec::new()),
    ] {
        assert_eq!(
            page(&stage, &endpoint, query).await,
            (wanted.clone(), false)
        );
        let mut seen: Vec<String> = Vec::new();
        loop {
            let after = seen.last().map(|last| format!("&starting_after={last}"));
            let query = format!("{query}limit=2{}", after.unwrap_or_default());
            let (ids, has_more) = page(&stage, &endpoint, &query).await;
            assert!(ids.len() == 2 || !has_more);
            seen.extend(ids);
            if !has_more {
                break;
            }
        }
        assert_eq!(seen, *wanted, "{query}");
    }
    // A cursor need not have the status that is asked for.
    let query = format!("status=succeeded&starting_after={}", pending[0]);
    assert_eq!(page(&stage, &endpoint, &query).await, (succeeded, false));
}

#[tokio::test]
async fn twenty_are_listed_unless_more_or_fewer_are_asked_for() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    for _ in 0..21 {
        stage.publish("a").await;
    }
    let (ids, has_more) = page(&stage, &endpoint, "").await;
    assert_eq!((ids.len(), has_more), (20, true));
    let (ids, has_more) = page(&stage, &endpoint, "limit=21").await;
    assert_eq!((ids.len(), has_more), (21, false));
}

#[tokio::test]
async fn a_list_tells_what_is_wrong_with_its_query() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let [endpoint, other] = [
        stage.hook(&receiver, &[]).await,
        stage.hook(&receiver, &[]).await,
    ];
    stage.publish("a").await;
    let others = stage.only_delivery(&other).await;
    let path = format!("/webhooks/endpoints/{}/deliveries", id(&endpoint));
    let of_other = format!("starting_after={}", id(&others));
    for (query, param, code) in [
        ("limit=0", "limit", "out_of_range"),
        ("limit=101", "limit", "out_of_range"),
        ("limit=x", "limit", "invalid_type"),
        ("status=lost", "status", "invalid_format"),
        ("status=", "status", "invalid_format"),
        ("status=pending&status=failed", "status", "duplicate_field"),
        ("state=failed", "state", "unknown_field"),
        ("starting_after=x", "starting_after", "invalid_cursor"),
        (
            "starting_after=dlv_00000000000000000000000000000000",
            "starting_after",
            "invalid_cursor",
        ),
        (&of_other, "starting_after", "invalid_cursor"),
    ] {
        let answer = stage.get(&format!("{path}?{query}")).await;
        let told = answer.field_errors();
        assert_eq!(told.len(), 1, "{answer}");
        assert_eq!(told[0].0, param, "{answer}");
        assert_eq!(told[0].1, code, "{query}: {answer}");
    }
}

#[tokio::test]
async fn no_tenant_reads_repeats_or_lists_anothers_deliveries() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    let event = json!({ "type": "a", "data": {}, "id": "shared" });
    stage.publish_json(&event).await;
    stage.settle().await;
    let delivery = stage.only_delivery(&endpoint).await;

    let path = format!("/deliveries/{}", id(&delivery));
    let answer = stage.get(&path).key(GLOBEX).await;
    answer.problem(404, "not-found", "delivery_not_found");
    let answer = stage.post(&format!("{path}/resend")).key(GLOBEX).await;
    answer.problem(404, "not-found", "delivery_not_found");
    let of_endpoint = format!("/webhooks/endpoints/{}", id(&endpoint));
    for (answer, what) in [
        (
            stage
                .get(&format!("{of_endpoint}/deliveries"))
                .key(GLOBEX)
                .await,
            "list",
        ),
        (
            stage.post(&format!("{of_endpoint}/test")).key(GLOBEX).await,
            "test",
        ),
    ] {
        let problem = answer.problem(404, "not-found", "webhook_endpoint_not_found");
        assert!(problem["detail"].is_string(), "{what}");
    }
    // Their own endpoint does not make the delivery a cursor of theirs.
    let body = json!({ "url": receiver.url() });
    let theirs = stage.post("/webhooks/endpoints").key(GLOBEX).json(&body);
    let theirs = theirs.await.expect_json(201);
    let list = format!(
        "/webhooks/endpoints/{}/deliveries?starting_after={}",
        id(&theirs),
        id(&delivery)
    );
    let answer = stage.get(&list).key(GLOBEX).await;
    answer.one_field_error("starting_after", "invalid_cursor");
    // The same event id is another event there, and goes to their own endpoint alone.
    let event = json!({ "type": "b", "data": { "theirs": true }, "id": "shared" });
    let published = stage.post("/events").key(GLOBEX).json(&event).await;
    assert_eq!(published.expect_json(202)["deliveries"], 1);
    stage.settle().await;
    assert_eq!(receiver.count(), 2);
    assert_eq!(stage.only_delivery(&endpoint).await, delivery);
}

#[tokio::test]
async fn deliveries_and_events_need_a_key() {
    let stage = Stage::start().await;
    for path in [
        "/deliveries/x",
        "/deliveries",
        "/events",
        "/webhooks/endpoints/x/deliveries",
    ] {
        assert_eq!(stage.get(path).no_key().await.status, 401, "{path}");
        assert_eq!(stage.post(path).no_key().await.status, 401, "{path}");
    }
}
