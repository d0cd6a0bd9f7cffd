//! JSON bodies that are legal to send and hostile to read.

use serde_json::Value;

use super::client::{RawAnswer, RawClient};
use super::server::Hookturn;

/// Where each dialect reads bodies: its creation. (The Verbex v1 rotation reads none.)
const CREATIONS: [&str; 2] = ["/webhooks/endpoints", "/v1/public/webhook/subscription"];

/// The code of the one field error of a 2026-03-01 rotation with this body.
async fn field_error(client: &mut RawClient, server: &Hookturn, body: &str) -> String {
    let answer: RawAnswer = client.post(&server.rotation, body).await;
    answer.is_refusal(&server.rotation, 422, "validation_failed", "");
    let errors = &answer.json()["errors"];
    assert_eq!(errors.as_array().map(Vec::len), Some(1), "{answer:?}");
    errors[0]["code"].as_str().expect("a code").to_owned()
}

#[tokio::test]
async fn a_field_that_comes_twice_is_refused_whichever_of_them_is_right() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    for body in [
        r#"{"expire_current_in":0,"expire_current_in":0}"#,
        r#"{"expire_current_in":0,"expire_current_in":86400}"#,
        r#"{"expire_current_in":0,"expire\u005fcurrent_in":1}"#,
    ] {
        assert_eq!(
            field_error(&mut client, &server, body).await,
            "duplicate_field"
        );
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_number_of_any_size_is_judged_exactly() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let digits = "9".repeat(60_000);
    let zeros = "0".repeat(60_000);
    for (number, code) in [
        ("18446744073709551616", "out_of_range"),
        ("-9223372036854775809", "out_of_range"),
        // 2^64 and 2^32: what a careless cast makes 0 of.
        ("4294967296", "out_of_range"),
        ("1e400", "out_of_range"),
        ("-1e-400", "invalid_type"),
        ("86400.0000000000000000000000001", "invalid_type"),
        ("86400.9e-0", "invalid_type"),
        ("1e-99999999999999999999", "invalid_type"),
        (&digits, "out_of_range"),
        (&format!("0.{zeros}1"), "invalid_type"),
        (&format!("1{zeros}e-59999"), "out_of_range_not"),
    ] {
        let body = format!("{{\"expire_current_in\":{number}}}");
        if code == "out_of_range_not" {
            assert_eq!(client.post(&server.rotation, body).await.status, 200);
        } else {
            assert_eq!(
                field_error(&mut client, &server, &body).await,
                code,
                "{number:.40}"
            );
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn depth_is_no_threat() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let deep = |open: &str, inner: &str, close: &str| {
        let depth = 60_000 / (open.len() + close.len());
        format!("{}{inner}{}", open.repeat(depth), close.repeat(depth))
    };
    for value in [
        deep("[", "", "]"),
        deep("{\"a\":", "0", "}"),
        deep("[{\"\":", "[]", "}]"),
    ] {
        let body = format!("{{\"expire_current_in\":{value}}}");
        assert_eq!(
            field_error(&mut client, &server, &body).await,
            "invalid_type"
        );
        let body = format!("{{\"other\":{value}}}");
        assert_eq!(
            field_error(&mut client, &server, &body).await,
            "unknown_field"
        );
        for path in CREATIONS {
            for field in [
                "url",
                "name",
                "events",
                "headers",
                "description",
                "enable_signed_webhooks",
            ] {
                let answer = client.post(path, format!("{{\"{field}\":{value}}}")).await;
                let status = if path == CREATIONS[0] { 422 } else { 400 };
                answer.is_refusal(path, status, "validation_failed", "VALIDATION_ERROR");
            }
        }
    }
    let unclosed = "[".repeat(60_000);
    for path in CREATIONS {
        let answer = client.post(path, &unclosed).await;
        answer.is_refusal(path, 400, "malformed_json", "VALIDATION_ERROR");
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn what_is_no_json_text_is_malformed_and_what_is_no_object_is_named_so() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let malformed: [&[u8]; 14] = [
        b" ",
        b"{",
        b"{}{}",
        b"{}\0",
        b"\0",
        b"\xef\xbb\xbf{}",
        b"\xff\xfe{\0}\0",
        b"{\"\xff\":1}",
        b"{\"a\":\"\xc3\"}",
        b"{\"a\":\"\x01\"}",
        b"{'a':1}",
        b"{\"a\":01}",
        b"{\"a\":NaN}",
        b"{\"\\ud800\":1}",
    ];
    for path in CREATIONS.into_iter().chain([server.rotation.as_str()]) {
        for body in malformed {
            client.post(path, body).await.is_refusal(
                path,
                400,
                "malformed_json",
                "VALIDATION_ERROR",
            );
        }
        for body in ["[]", "0", "\"{}\"", "null", "true", "[{}]"] {
            client.post(path, body).await.is_refusal(
                path,
                400,
                "not_an_object",
                "VALIDATION_ERROR",
            );
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn an_error_never_grows_with_the_request() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let many: Vec<String> = (0..6000).map(|n| format!("\"{n}\":0")).collect();
    let many = format!("{{{}}}", many.join(","));
    let twice = format!("{{{}}}", vec!["\"a\":0"; 10_000].join(","));
    let long = format!("{{\"{}\":0}}", "a".repeat(60_000));
    let wide = format!("{{\"events\":[{}]}}", vec!["0"; 30_000].join(","));
    let keys: Vec<String> = (0..1000)
        .map(|n| format!("\"{n}{}\":0", "k".repeat(50)))
        .collect();
    let keys = format!("{{\"headers\":{{{}}}}}", keys.join(","));
    for path in CREATIONS {
        for body in [&many, &twice, &long, &wide, &keys] {
            let answer = client.post(path, body).await;
            assert!([400, 422].contains(&answer.status), "{answer:?}");
            assert!(answer.body.len() < 32 * 1024, "{} bytes", answer.body.len());
            assert!(matches!(answer.json(), Value::Object(_)));
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_verbex_rotation_ignores_whatever_body_comes() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let deep = "[".repeat(60_000);
    for body in [
        &b"\xff\0"[..],
        b"{\"expire_current_in\":0",
        b"null",
        deep.as_bytes(),
    ] {
        let rotated = client.post(&server.verbex_rotation, body).await;
        assert_eq!(rotated.status, 200, "{rotated:?}");
    }
    server.still_rotates().await;
}
