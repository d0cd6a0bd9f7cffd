//! No tenant can see, change or infer the existence of another tenant's records.

use hookturn_test::{ACME_TOO, Answer, GLOBEX, SUBSCRIPTIONS, Server, id, subscription};
use reqwest::Method;
use serde_json::{Value, json};

/// An answer without what is of this one request.
fn comparable(answer: &Answer, id: &str) -> (u16, Vec<(String, String)>, String) {
    let mut headers: Vec<_> = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()))
        .map(|(name, value)| (name.to_string(), value.to_str().expect("ASCII").to_owned()))
        .collect();
    headers.sort();
    let mut body: Value = answer.json();
    if body.get("trace_id").is_some() {
        body["trace_id"] = json!("");
    }
    let text = body.to_string().replace(id, "{id}");
    (answer.status, headers, text)
}

#[tokio::test]
async fn another_tenants_record_answers_like_one_that_never_was_on_every_route() {
    let server = Server::start().await;
    let endpoint = server.endpoint().await;
    let record = server.subscription("one", true).await;
    let nothing = [
        "we_550e8400e29b41d4a716446655440000",
        "665f1c2ab8e4d90012ab34cd",
    ];
    for (foreign, nothing) in [&endpoint, &record].into_iter().map(id).zip(nothing) {
        let routes = |id: &str| {
            let endpoint = format!("/webhooks/endpoints/{id}");
            let path = format!("{SUBSCRIPTIONS}/{id}");
            let unchanged = json!({ "description": "mine now" });
            let replaced = subscription("mine now", false);
            [
                (Method::GET, endpoint.clone(), None),
                (Method::PATCH, endpoint.clone(), Some(unchanged)),
                (Method::DELETE, endpoint.clone(), None),
                (Method::GET, format!("{endpoint}/secrets"), None),
                (Method::POST, format!("{endpoint}/secret/rotate"), None),
                (Method::POST, format!("{endpoint}/rotate-secret"), None),
                (
                    Method::POST,
                    format!("{endpoint}/secret/revoke-previous"),
                    None,
                ),
                (
                    Method::GET,
                    format!("/webhooks/endpoints?starting_after={id}"),
                    None,
                ),
                (Method::GET, path.clone(), None),
                (Method::PUT, path.clone(), Some(replaced)),
                (Method::DELETE, path.clone(), None),
                (Method::POST, format!("{path}/rotate/secret"), None),
            ]
        };
        for (theirs, none) in routes(foreign).into_iter().zip(routes(nothing)) {
            let ask = |(method, target, body): (Method, String, Option<Value>)| {
                let request = server.request(method, &target).key(GLOBEX);
                match body {
                    Some(body) => request.json(&body),
                    None => request,
                }
            };
            let (theirs, none) = (ask(theirs).await, ask(none).await);
            assert!((400..500).contains(&theirs.status), "{theirs}");
            assert_eq!(
                comparable(&theirs, foreign),
                comparable(&none, nothing),
                "{theirs}{none}"
            );
        }
    }
    // Nothing has happened to them.
    for record in [&endpoint, &record] {
        assert_eq!(server.live(id(record)).await.len(), 1);
        let read = server
            .get(&format!("/webhooks/endpoints/{}", id(record)))
            .await
            .expect_json(200);
        assert_ne!(read["description"], "mine now");
    }
}

#[tokio::test]
async fn a_list_has_only_ones_own() {
    let server = Server::start().await;
    let mine = server.endpoint().await;
    let body = json!({ "url": "https://example.com" });
    let theirs = server.post("/webhooks/endpoints").key(GLOBEX).json(&body);
    let theirs = theirs.await.expect_json(201);
    for (key, own) in [(ACME_TOO, &mine), (GLOBEX, &theirs)] {
        let list = server
            .get("/webhooks/endpoints")
            .key(key)
            .await
            .expect_json(200);
        let ids: Vec<_> = list["data"]
            .as_array()
            .expect("a list")
            .iter()
            .map(id)
            .collect();
        assert_eq!(ids, [id(own)]);
    }
}

#[tokio::test]
async fn names_and_idempotency_keys_of_tenants_do_not_meet() {
    let server = Server::start().await;
    let create = |key: &'static str| {
        let request = server
            .post(SUBSCRIPTIONS)
            .key(key)
            .header("idempotency-key", "k");
        request.json(&subscription("one", true))
    };
    let mine = create(ACME_TOO).await;
    let theirs = create(GLOBEX).await;
    for answer in [&mine, &theirs] {
        assert_eq!(answer.status, 201, "{answer}");
        assert_eq!(answer.header("idempotent-replayed"), None);
    }
    assert_ne!(mine.json()["secret"], theirs.json()["secret"]);
    assert_ne!(mine.json()["id"], theirs.json()["id"]);
    assert_eq!(theirs.json()["organization_id"], "globex");
    // Another key of the same tenant finds the same record.
    let again = create(hookturn_test::ACME).await;
    assert_eq!(again.body, mine.body);
}
