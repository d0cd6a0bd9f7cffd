//! `/webhooks/endpoints`: creating, reading, changing and deleting.

use hookturn_test::{Server, after, fields, id};
use serde_json::{Value, json};

pub const ENDPOINTS: &str = "/webhooks/endpoints";

const READ_FIELDS: [&str; 7] = [
    "created_at",
    "description",
    "events",
    "id",
    "status",
    "updated_at",
    "url",
];

/// Makes `count` endpoints and answers their ids, newest first.
pub async fn make(server: &Server, count: usize) -> Vec<String> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(id(&server.endpoint().await).to_owned());
    }
    ids.reverse();
    ids
}

/// The ids on a page.
pub fn ids(page: &Value) -> Vec<&str> {
    page["data"]
        .as_array()
        .expect("a list")
        .iter()
        .map(id)
        .collect()
}

#[tokio::test]
async fn a_new_endpoint_answers_all_its_fields_and_its_secret_this_once() {
    let server = Server::start().await;
    let body = json!({
        "url": "https://example.com/hook?a=b", "events": ["call.started", "agent.*", "*"], "description": "Ünï ✓",
    });
    let answer = server.post(ENDPOINTS).json(&body).await;
    let created = answer.expect_json(201);
    let mut names = READ_FIELDS.to_vec();
    names.insert(5, "secret");
    names.sort_unstable();
    assert_eq!(fields(&created), names);
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let digits = id(&created).strip_prefix("we_").expect("we_ and a UUID");
    assert_eq!(digits.len(), 32);
    for name in ["url", "events", "description"] {
        assert_eq!(created[name], body[name]);
    }
    assert_eq!(created["status"], "active");
    assert_eq!(created["created_at"], after(0));
    assert_eq!(created["updated_at"], after(0));

    let read = server
        .get(&format!("{ENDPOINTS}/{}", id(&created)))
        .await
        .expect_json(200);
    assert_eq!(fields(&read), READ_FIELDS);
    for name in READ_FIELDS {
        assert_eq!(read[name], created[name], "{name}");
    }
}

#[tokio::test]
async fn events_and_description_may_be_left_out() {
    let server = Server::start().await;
    for extra in [json!({}), json!({ "events": [], "description": null })] {
        let mut body = json!({ "url": "https://example.com" });
        body.as_object_mut()
            .expect("an object")
            .extend(extra.as_object().expect("an object").clone());
        let created = server.post(ENDPOINTS).json(&body).await.expect_json(201);
        assert_eq!(created["events"], json!([]));
        assert_eq!(created["description"], Value::Null);
    }
}

#[tokio::test]
async fn no_read_ever_returns_a_secret() {
    let server = Server::start().await;
    let created = server.endpoint().await;
    let path = format!("{ENDPOINTS}/{}", id(&created));
    let rotated = server
        .post(&format!("{path}/secret/rotate"))
        .await
        .expect_json(200);
    for answer in [
        server.get(&path).await,
        server.get(ENDPOINTS).await,
        server.get(&format!("{path}/secrets")).await,
        server
            .patch(&path)
            .json(&json!({ "description": "x" }))
            .await,
        server.post(&format!("{path}/secret/revoke-previous")).await,
        server
            .get(&format!("/v1/public/webhook/subscription/{}", id(&created)))
            .await,
    ] {
        assert_eq!(answer.status, 200, "{answer}");
        assert!(!answer.text().contains("whsec_"), "{answer}");
        for secret in [&created["secret"], &rotated["secret"]] {
            let random = &secret.as_str().expect("a secret")[6..];
            assert!(!answer.text().contains(random), "{answer}");
        }
    }
}

#[tokio::test]
async fn each_field_of_a_new_endpoint_has_its_rules() {
    let server = Server::start().await;
    let long_url = format!("https://example.com/{}", "a".repeat(2029));
    let long_text = "ä".repeat(1501);
    let many: Vec<_> = (0..101).map(|number| format!("a{number}")).collect();
    for (name, value, param, code) in [
        ("url", json!("example.com"), "url", "invalid_format"),
        ("url", json!(""), "url", "invalid_format"),
        ("url", json!("ftp://example.com"), "url", "invalid_format"),
        (
            "url",
            json!("https://user@example.com"),
            "url",
            "invalid_format",
        ),
        (
            "url",
            json!("https://user:pw@example.com"),
            "url",
            "invalid_format",
        ),
        (
            "url",
            json!("https://example.com/#part"),
            "url",
            "invalid_format",
        ),
        (
            "url",
            json!("https://example.com/\u{7}"),
            "url",
            "invalid_format",
        ),
        (
            "url",
            json!("https://exam\tple.com/"),
            "url",
            "invalid_format",
        ),
        (
            "url",
            json!("https://example.com/a b"),
            "url",
            "invalid_format",
        ),
        ("url", json!(long_url), "url", "out_of_range"),
        ("url", json!(1), "url", "invalid_type"),
        ("url", json!(null), "url", "invalid_type"),
        ("url", json!(["https://example.com"]), "url", "invalid_type"),
        ("events", json!("call.started"), "events", "invalid_type"),
        ("events", json!(null), "events", "invalid_type"),
        ("events", json!({}), "events", "invalid_type"),
        ("events", json!(["a", 1]), "events[1]", "invalid_type"),
        ("events", json!(["a..b"]), "events[0]", "invalid_format"),
        ("events", json!(["a.*.b"]), "events[0]", "invalid_format"),
        ("events", json!([".*"]), "events[0]", "invalid_format"),
        ("events", json!(["a-b"]), "events[0]", "invalid_format"),
        ("events", json!([""]), "events[0]", "invalid_format"),
        (
            "events",
            json!(["a".repeat(129)]),
            "events[0]",
            "out_of_range",
        ),
        ("events", json!(many), "events", "out_of_range"),
        ("description", json!(1), "description", "invalid_type"),
        (
            "description",
            json!(long_text),
            "description",
            "out_of_range",
        ),
        ("status", json!("active"), "status", "unknown_field"),
        ("secret", json!("whsec_x"), "secret", "unknown_field"),
    ] {
        let mut body = json!({ "url": "https://example.com" });
        body[name] = value;
        server
            .post(ENDPOINTS)
            .json(&body)
            .await
            .one_field_error(param, code);
    }
    for body in ["", "{}"] {
        server
            .post(ENDPOINTS)
            .json_text(body)
            .await
            .one_field_error("url", "missing_field");
    }
    let list = server.get(ENDPOINTS).await.expect_json(200);
    assert_eq!(list["data"], json!([]), "nothing was made");
}

#[tokio::test]
async fn values_at_the_bounds_are_taken() {
    let server = Server::start().await;
    let many: Vec<_> = (0..100).map(|number| format!("a{number}.*")).collect();
    let body = json!({
        "url": format!("https://example.com/{}", "a".repeat(2028)),
        "events": many, "description": "ä".repeat(1500),
    });
    server.post(ENDPOINTS).json(&body).await.expect_json(201);
}

#[tokio::test]
async fn all_faults_of_a_body_are_told_together() {
    let server = Server::start().await;
    let body = json!({ "events": ["ok", 3, "not ok"], "description": 1, "colour": "red" });
    let told = server.post(ENDPOINTS).json(&body).await.field_errors();
    let told: Vec<_> = told
        .iter()
        .map(|(param, code)| (&**param, &**code))
        .collect();
    let expected = [
        ("colour", "unknown_field"),
        ("description", "invalid_type"),
        ("events[1]", "invalid_type"),
        ("events[2]", "invalid_format"),
        ("url", "missing_field"),
    ];
    assert_eq!(told, expected);
}

#[tokio::test]
async fn an_http_url_is_for_dev_only() {
    let body = json!({ "url": "http://127.0.0.1:9000/hook" });
    let dev = Server::start().await;
    let path = format!(
        "{ENDPOINTS}/{}",
        id(&dev.post(ENDPOINTS).json(&body).await.expect_json(201))
    );
    dev.patch(&path).json(&body).await.expect_json(200);

    let plain = Server::builder().without_dev().start().await;
    plain
        .post(ENDPOINTS)
        .json(&body)
        .await
        .one_field_error("url", "invalid_format");
    let path = plain.endpoint_path().await;
    plain
        .patch(&path)
        .json(&body)
        .await
        .one_field_error("url", "invalid_format");
}

#[tokio::test]
async fn patch_changes_the_sent_fields_and_no_others() {
    let server = Server::start().await;
    let body = json!({ "url": "https://example.com/a", "events": ["a.*"], "description": "first" });
    let created = server.post(ENDPOINTS).json(&body).await.expect_json(201);
    let path = format!("{ENDPOINTS}/{}", id(&created));
    let mut expected = server.get(&path).await.json();
    let ring = server.live(id(&created)).await;
    for (seconds, name, value) in [
        (1, "url", json!("https://example.com/b")),
        (2, "events", json!(["b", "c.*"])),
        (3, "events", json!([])),
        (4, "description", json!("second")),
        (5, "description", json!(null)),
        (6, "status", json!("disabled")),
        (7, "status", json!("active")),
    ] {
        server.advance(1);
        expected[name] = value.clone();
        expected["updated_at"] = json!(after(seconds));
        let patched = server
            .patch(&path)
            .json(&json!({ name: value }))
            .await
            .expect_json(200);
        assert_eq!(patched, expected);
        assert_eq!(server.get(&path).await.json(), expected);
    }
    assert_eq!(
        server.live(id(&created)).await,
        ring,
        "the secrets stay as they are"
    );
    for empty in ["", "{}"] {
        let answer = server.patch(&path).json_text(empty).await.expect_json(200);
        assert_eq!(answer["url"], expected["url"]);
    }
}

#[tokio::test]
async fn patch_refuses_what_is_wrong_and_then_changes_nothing() {
    let server = Server::start().await;
    let path = server.endpoint_path().await;
    let before = server.get(&path).await.json();
    for (body, param, code) in [
        (json!({ "url": "http:/x" }), "url", "invalid_format"),
        (json!({ "url": null }), "url", "invalid_type"),
        (json!({ "events": null }), "events", "invalid_type"),
        (json!({ "status": "paused" }), "status", "invalid_format"),
        (json!({ "status": "Active" }), "status", "invalid_format"),
        (json!({ "status": true }), "status", "invalid_type"),
        (json!({ "status": null }), "status", "invalid_type"),
        (json!({ "description": [] }), "description", "invalid_type"),
        (
            json!({ "id": "we_1", "description": "x" }),
            "id",
            "unknown_field",
        ),
        (json!({ "secret": "whsec_x" }), "secret", "unknown_field"),
    ] {
        server
            .patch(&path)
            .json(&body)
            .await
            .one_field_error(param, code);
    }
    assert_eq!(server.get(&path).await.json(), before);
}

#[tokio::test]
async fn delete_answers_204_once_and_then_the_endpoint_is_nowhere() {
    let server = Server::start().await;
    let all = make(&server, 3).await;
    let path = format!("{ENDPOINTS}/{}", all[1]);
    let answer = server.delete(&path).await;
    assert_eq!(answer.status, 204, "{answer}");
    assert!(answer.body.is_empty());
    for answer in [
        server.delete(&path).await,
        server.get(&path).await,
        server.patch(&path).json(&json!({})).await,
        server.post(&format!("{path}/secret/rotate")).await,
        server.get(&format!("{path}/secrets")).await,
    ] {
        answer.problem(404, "not-found", "webhook_endpoint_not_found");
    }
    let list = server.get(ENDPOINTS).await.expect_json(200);
    assert_eq!(ids(&list), [&all[0], &all[2]]);
}
