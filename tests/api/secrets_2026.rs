//! `…/secrets` and `…/secret/revoke-previous`: what is live, by fingerprint, and ending what
//! retires.

use hookturn_test::{Server, after, fields, id};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// `sha256:` and the first 16 hex digits of SHA-256 of a secret's text.
fn fingerprint(answer: &Value) -> Value {
    let digest = Sha256::digest(answer["secret"].as_str().expect("a secret"));
    let hex = digest[..8].iter().map(|byte| format!("{byte:02x}"));
    json!(format!("sha256:{}", hex.collect::<String>()))
}

fn live(answer: &Value, created: i64, expires: Option<i64>) -> Value {
    json!({
        "fingerprint": fingerprint(answer),
        "status": if expires.is_some() { "retiring" } else { "current" },
        "created_at": after(created),
        "expires_at": expires.map(after),
    })
}

#[tokio::test]
async fn the_list_has_the_current_secret_first_and_then_the_retiring_ones_newest_first() {
    let server = Server::start().await;
    let first = server.endpoint().await;
    let path = format!("/webhooks/endpoints/{}", id(&first));
    let rotate = format!("{path}/secret/rotate");
    server.advance(10);
    // The newest one retires first: the order is not that of expiry.
    let second = server
        .post(&rotate)
        .json(&json!({ "expire_current_in": 500 }))
        .await
        .expect_json(200);
    server.advance(10);
    let third = server
        .post(&rotate)
        .json(&json!({ "expire_current_in": 100 }))
        .await
        .expect_json(200);
    let list = server
        .get(&format!("{path}/secrets"))
        .await
        .expect_json(200);
    assert_eq!(fields(&list), ["data", "has_more", "object"]);
    assert_eq!(list["object"], "list");
    assert_eq!(list["has_more"], false);
    let (third, second, first) = (
        live(&third, 20, None),
        live(&second, 10, Some(120)),
        live(&first, 0, Some(510)),
    );
    assert_eq!(list["data"], json!([third, second, first]));
    server.advance(100);
    assert_eq!(
        server.live(path.rsplit('/').next().expect("an id")).await,
        [third, first]
    );
}

#[tokio::test]
async fn a_later_rotation_never_shortens_or_lengthens_a_grace() {
    let server = Server::start().await;
    let first = server.endpoint().await;
    let rotate = format!("/webhooks/endpoints/{}/secret/rotate", id(&first));
    server
        .post(&rotate)
        .json(&json!({ "expire_current_in": 7200 }))
        .await
        .expect_json(200);
    for seconds in [0, 1, 86_400, 0] {
        server
            .post(&rotate)
            .json(&json!({ "expire_current_in": seconds }))
            .await
            .expect_json(200);
        let ring = server.live(id(&first)).await;
        let kept = ring
            .iter()
            .find(|secret| secret["fingerprint"] == fingerprint(&first));
        assert_eq!(kept.expect("still live")["expires_at"], after(7200));
    }
    server.advance_millis(7_199_999);
    let last = server.live(id(&first)).await;
    assert!(
        last.iter()
            .any(|secret| secret["fingerprint"] == fingerprint(&first))
    );
    server.advance_millis(1);
    let last = server.live(id(&first)).await;
    assert!(
        last.iter()
            .all(|secret| secret["fingerprint"] != fingerprint(&first))
    );
}

#[tokio::test]
async fn grace_0_retires_the_current_secret_at_once() {
    let server = Server::start().await;
    let first = server.endpoint().await;
    let rotate = format!("/webhooks/endpoints/{}/secret/rotate", id(&first));
    let second = server
        .post(&rotate)
        .json(&json!({ "expire_current_in": 0 }))
        .await
        .expect_json(200);
    assert_eq!(second["previous_secret_expires_at"], after(0));
    assert_eq!(server.live(id(&first)).await, [live(&second, 0, None)]);
}

#[tokio::test]
async fn revoking_ends_all_retiring_secrets_now_and_twice_is_once() {
    let server = Server::start().await;
    let endpoint = server.endpoint().await;
    let path = format!("/webhooks/endpoints/{}", id(&endpoint));
    let rotate = || server.post(&format!("{path}/secret/rotate"));
    rotate().await.expect_json(200);
    rotate().await.expect_json(200);
    let current = rotate().await.expect_json(200);
    let revoke = || server.post(&format!("{path}/secret/revoke-previous"));
    for answer in [
        revoke().await,
        revoke().json(&json!({})).await,
        revoke().body("").await,
    ] {
        assert_eq!(answer.header("cache-control"), Some("no-store"));
        let expected =
            json!({ "object": "list", "data": [live(&current, 0, None)], "has_more": false });
        assert_eq!(answer.expect_json(200), expected);
        assert_eq!(
            server.get(&format!("{path}/secrets")).await.json(),
            expected
        );
    }
    revoke()
        .json(&json!({ "all": true }))
        .await
        .one_field_error("all", "unknown_field");
    revoke()
        .json_text("[]")
        .await
        .problem(400, "invalid-request", "not_an_object");
    // There is room for ten again.
    for _ in 0..9 {
        rotate().await.expect_json(200);
    }
}
