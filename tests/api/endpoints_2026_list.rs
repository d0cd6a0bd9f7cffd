//! `GET /webhooks/endpoints`: pages, and what asks for them.

use hookturn_test::{Server, fields, id};
use serde_json::json;

use crate::endpoints_2026::{ENDPOINTS, ids, make};

#[tokio::test]
async fn the_list_is_newest_first_over_all_pages() {
    let server = Server::start().await;
    // All in the same millisecond: the order is that of creation all the same.
    let all = make(&server, 47).await;
    let first = server.get(ENDPOINTS).await.expect_json(200);
    assert_eq!(fields(&first), ["data", "has_more", "object"]);
    assert_eq!(first["object"], "list");
    assert_eq!(ids(&first), all[..20], "20 by default");
    for limit in [1, 7, 46, 47, 48, 100] {
        let mut seen: Vec<String> = Vec::new();
        loop {
            let cursor = seen.last().map(|id| format!("&starting_after={id}"));
            let target = format!("{ENDPOINTS}?limit={limit}{}", cursor.unwrap_or_default());
            let page = server.get(&target).await.expect_json(200);
            seen.extend(ids(&page).into_iter().map(str::to_owned));
            assert_eq!(
                page["has_more"],
                seen.len() < all.len(),
                "limit {limit}, {} seen",
                seen.len()
            );
            assert!(ids(&page).len() <= limit);
            if page["has_more"] == false {
                break;
            }
        }
        assert_eq!(seen, all, "limit {limit}");
    }
    let past = server
        .get(&format!("{ENDPOINTS}?starting_after={}", all[46]))
        .await
        .expect_json(200);
    assert_eq!(
        past,
        json!({ "object": "list", "data": [], "has_more": false })
    );
}

#[tokio::test]
async fn a_list_shows_endpoints_as_a_read_does_and_those_of_the_other_dialect_too() {
    let server = Server::start().await;
    let subscription = server.subscription("from the other side", false).await;
    let endpoint = server.endpoint_path().await;
    let list = server.get(ENDPOINTS).await.expect_json(200);
    assert_eq!(list["data"][0], server.get(&endpoint).await.json());
    let other = format!("{ENDPOINTS}/{}", id(&subscription));
    assert_eq!(list["data"][1], server.get(&other).await.json());
}

#[tokio::test]
async fn a_limit_is_an_integer_from_1_to_100() {
    let server = Server::start().await;
    for (limit, code) in [
        ("0", "out_of_range"),
        ("101", "out_of_range"),
        ("-1", "out_of_range"),
        ("99999999999999999999", "out_of_range"),
        (
            "-99999999999999999999999999999999999999999999",
            "out_of_range",
        ),
        ("%2B1", "invalid_type"),
        ("-", "invalid_type"),
        ("", "invalid_type"),
        ("ten", "invalid_type"),
        ("1.5", "invalid_type"),
        ("%31%30x", "invalid_type"),
    ] {
        let answer = server.get(&format!("{ENDPOINTS}?limit={limit}")).await;
        answer.one_field_error("limit", code);
    }
    for limit in ["1", "100", "%31"] {
        server
            .get(&format!("{ENDPOINTS}?limit={limit}"))
            .await
            .expect_json(200);
    }
}

#[tokio::test]
async fn a_cursor_names_an_endpoint_that_the_tenant_has() {
    let server = Server::start().await;
    let path = server.endpoint_path().await;
    let gone = path.rsplit('/').next().expect("an id");
    assert_eq!(server.delete(&path).await.status, 204);
    for cursor in ["", "x", "%ff", "we_550e8400e29b41d4a716446655440000", gone] {
        let answer = server
            .get(&format!("{ENDPOINTS}?starting_after={cursor}"))
            .await;
        answer.one_field_error("starting_after", "invalid_cursor");
    }
}

#[tokio::test]
async fn query_parameters_that_are_unknown_or_repeated_are_told_together() {
    let server = Server::start().await;
    let target = format!("{ENDPOINTS}?limit=1&limit=2&page=3&starting_after=x&Limit=1");
    let told = server.get(&target).await.field_errors();
    let told: Vec<_> = told
        .iter()
        .map(|(param, code)| (&**param, &**code))
        .collect();
    let expected = [
        ("Limit", "unknown_field"),
        ("limit", "duplicate_field"),
        ("page", "unknown_field"),
        ("starting_after", "invalid_cursor"),
    ];
    assert_eq!(told, expected);
}
