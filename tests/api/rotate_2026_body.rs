//! The body of `POST /webhooks/endpoints/{webhook_endpoint_id}/secret/rotate`.

use hookturn_test::ACME_TOO;
use serde_json::json;

use crate::rotate_2026::{assert_grace, with_endpoint};

#[tokio::test]
async fn without_a_body_or_with_an_empty_one_the_grace_is_an_hour() {
    let (server, path) = with_endpoint().await;
    assert_grace(&server.post(&path).await, 3600);
    assert_grace(&server.post(&path).body("").await, 3600);
    // An empty body is no body, whatever it is called.
    let called = server
        .post(&path)
        .header("content-type", "text/plain")
        .body("");
    assert_grace(&called.await, 3600);
    assert_grace(&server.post(&path).json(&json!({})).await, 3600);
    assert_grace(&server.post(&path).json_text(" \n{\t} ").await, 3600);
}

#[tokio::test]
async fn an_integer_in_any_spelling_is_the_grace_in_seconds() {
    let (server, path) = with_endpoint().await;
    for (text, seconds) in [
        ("0", 0),
        ("-0", 0),
        ("0.0", 0),
        ("1", 1),
        ("3600.0", 3600),
        ("3.6e3", 3600),
        ("3.6E+3", 3600),
        ("36000e-1", 3600),
        ("86400", 86_400),
        ("8.64e4", 86_400),
        ("86400.000", 86_400),
    ] {
        let body = format!("{{\"expire_current_in\":{text}}}");
        assert_grace(&server.post(&path).json_text(body).await, seconds);
    }
}

#[tokio::test]
async fn what_is_no_integer_is_an_invalid_type() {
    let (server, path) = with_endpoint().await;
    for text in [
        "\"3600\"", "\"\"", "true", "false", "null", "1.5", "3600.5", "0.1", "1e-1", "15e-1", "[]",
        "[3600]", "{}", "-0.5",
    ] {
        let body = format!("{{\"expire_current_in\":{text}}}");
        let answer = server.post(&path).json_text(body).await;
        answer.one_field_error("expire_current_in", "invalid_type");
    }
    assert_eq!(
        server
            .live(path.split('/').nth(3).expect("an id"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn an_integer_outside_of_0_to_86400_is_out_of_range() {
    let (server, path) = with_endpoint().await;
    for text in [
        "86401",
        "-1",
        "-1.0",
        "1e400",
        "-1e400",
        "99999999999999999999",
        "9223372036854775808",
        "18446744073709551616",
        "4294967296",
        "86401.0",
        "1e99999999999999999999",
    ] {
        let body = format!("{{\"expire_current_in\":{text}}}");
        let answer = server.post(&path).json_text(body).await;
        answer.one_field_error("expire_current_in", "out_of_range");
    }
}

#[tokio::test]
async fn a_field_that_does_not_exist_or_comes_twice_is_an_error() {
    let (server, path) = with_endpoint().await;
    for (body, param, code) in [
        (
            r#"{"expire_curent_in":0}"#,
            "expire_curent_in",
            "unknown_field",
        ),
        (
            r#"{"Expire_current_in":0}"#,
            "Expire_current_in",
            "unknown_field",
        ),
        (r#"{"":0}"#, "", "unknown_field"),
        (
            r#"{"expire_current_in":0,"expire_current_in":0}"#,
            "expire_current_in",
            "duplicate_field",
        ),
        // The same name, written with an escape.
        (
            r#"{"expire_current_in":0,"expire_current\u005fin":60}"#,
            "expire_current_in",
            "duplicate_field",
        ),
    ] {
        let answer = server.post(&path).json_text(body).await;
        answer.one_field_error(param, code);
    }
    assert_eq!(
        server
            .live(path.split('/').nth(3).expect("an id"))
            .await
            .len(),
        1
    );
}

#[tokio::test]
async fn all_field_errors_are_told_together() {
    let (server, path) = with_endpoint().await;
    let body = r#"{"a":1,"expire_current_in":"x","b":null,"b":2}"#;
    let answer = server.post(&path).json_text(body).await;
    let told = answer.field_errors();
    let told: Vec<_> = told
        .iter()
        .map(|(param, code)| (&**param, &**code))
        .collect();
    let expected = [
        ("a", "unknown_field"),
        ("b", "duplicate_field"),
        ("b", "unknown_field"),
        ("expire_current_in", "invalid_type"),
    ];
    assert_eq!(told, expected);
    assert!(
        answer.json().get("param").is_none(),
        "no one param is at fault\n{answer}"
    );
}

#[tokio::test]
async fn what_is_not_json_is_malformed() {
    let (server, path) = with_endpoint().await;
    for body in [
        &b"{"[..],
        b"{}{}",
        b"{\"expire_current_in\":}",
        b"{\"expire_current_in\":01}",
        b"{\"expire_current_in\":+1}",
        b"{\"expire_current_in\":0,}",
        b"{'expire_current_in':0}",
        b"nul",
        b" ",
        b"\xef\xbb\xbf{}",
        b"{\"\xff\":0}",
        b"{\"expire_current_in\":NaN}",
        b"\"\\ud800",
    ] {
        let answer = server.post(&path).json_text(body).await;
        answer.problem(400, "invalid-request", "malformed_json");
    }
}

#[tokio::test]
async fn json_that_is_no_object_is_told_apart() {
    let (server, path) = with_endpoint().await;
    for body in ["[]", "[{}]", "null", "0", "3600", "\"{}\"", "true", "1e400"] {
        let answer = server.post(&path).json_text(body).await;
        answer.problem(400, "invalid-request", "not_an_object");
    }
}

#[tokio::test]
async fn a_body_is_json_with_any_parameters_or_of_no_declared_type() {
    let (server, path) = with_endpoint().await;
    assert_grace(
        &server.post(&path).body(r#"{"expire_current_in":60}"#).await,
        60,
    );
    for good in [
        "application/json; charset=utf-8",
        "APPLICATION/JSON",
        "application/json ;x=y",
    ] {
        let answer = server.post(&path).header("content-type", good);
        assert_grace(&answer.body(r#"{"expire_current_in":0}"#).await, 0);
    }
    for bad in [
        "text/plain",
        "application/x-www-form-urlencoded",
        "application/problem+json",
        "application/jsonp",
        "json",
        "",
        "text/json; application/json",
    ] {
        // Also when the body itself is not JSON: the type is what is wrong first.
        for body in ["{}", "expire_current_in=0"] {
            let answer = server
                .post(&path)
                .header("content-type", bad)
                .body(body)
                .await;
            let problem = answer.problem(400, "invalid-request", "unsupported_content_type");
            assert_eq!(problem["param"], "Content-Type");
        }
    }
}

#[tokio::test]
async fn a_body_may_be_64_kib_and_not_a_byte_more() {
    let (server, path) = with_endpoint().await;
    let padded = |length: usize| "{}".to_owned() + &" ".repeat(length - 2);
    assert_grace(&server.post(&path).json_text(padded(65_536)).await, 3600);
    let answer = server.post(&path).json_text(padded(65_537)).await;
    answer.problem(400, "invalid-request", "body_too_large");
    // Where no length is announced, the bytes are counted as they come.
    let chunked = |length: usize| {
        let body = padded(length);
        format!(
            "POST {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\nAuthorization: Bearer {ACME_TOO}\r\n\
             Transfer-Encoding: chunked\r\n\r\n{length:x}\r\n{body}\r\n0\r\n\r\n"
        )
    };
    assert_grace(&server.raw(chunked(65_536).as_bytes()).await, 3600);
    let answer = server.raw(chunked(65_537).as_bytes()).await;
    answer.problem(400, "invalid-request", "body_too_large");
}
