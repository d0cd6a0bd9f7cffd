//! Header values with any bytes in them, and headers that come twice.

use super::client::{RawAnswer, head};
use super::server::{Hookturn, KEY};

/// Bytes that HTTP lets pass in a header value and that no header here means.
fn odd_values() -> Vec<Vec<u8>> {
    let mut values: Vec<Vec<u8>> = [
        &b"\xff\xfe"[..],
        b"\x80",
        b"\xc3\x28",
        b"a\tb",
        b"a b",
        b"\"",
        b"\"a",
        b"\\",
        b",",
        b";=",
        b"'; DROP TABLE endpoints; --",
        b"${jndi:ldap://127.0.0.1/a}",
        b"<script>alert(1)</script>",
        b"%0d%0aX-Injected: y",
        b"\xe2\x80\xae",
    ]
    .map(<[u8]>::to_vec)
    .into();
    values.push(Vec::new());
    values.push(vec![b'a'; 8000]);
    values.push(vec![0xff; 8000]);
    values
}

async fn ask(server: &Hookturn, path: &str, fields: &[(&str, &[u8])], body: &str) -> RawAnswer {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: {}\r\n",
        body.len()
    )
    .into_bytes();
    for (name, value) in fields {
        request.extend(name.bytes());
        request.extend(b": ");
        request.extend(*value);
        request.extend(b"\r\n");
    }
    request.extend(b"\r\n");
    request.extend(body.bytes());
    let mut client = server.send(request).await;
    let answer = client.answer().await.expect("an answer");
    let request_id = answer.header("x-request-id").expect("always there");
    assert!((1..=128).contains(&request_id.len()));
    assert!(
        request_id.bytes().all(|byte| byte.is_ascii_graphic()),
        "{answer:?}"
    );
    answer
}

fn bearer() -> String {
    format!("Bearer {KEY}")
}

#[tokio::test]
async fn no_bytes_in_authorization_are_a_key() {
    let server = Hookturn::start().await;
    let mut values = odd_values();
    for odd in odd_values() {
        values.push([b"Bearer ", &odd[..]].concat());
        values.push([b"Bearer ", KEY.as_bytes(), b" ", &odd[..], b"x"].concat());
    }
    values.push(format!("Bearer {KEY},Bearer {KEY}").into());
    values.push(format!("Basic {KEY}").into());
    values.push(format!("Bearer\t{KEY}").into());
    values.push(format!("Bearer {}", KEY.to_uppercase()).into());
    for path in server.rotations() {
        for value in &values {
            ask(&server, path, &[("Authorization", value)], "")
                .await
                .is_unauthenticated(path);
        }
        let twice = [("Authorization", bearer()), ("authorization", bearer())];
        let twice = twice
            .each_ref()
            .map(|(name, value)| (*name, value.as_bytes()));
        ask(&server, path, &twice, "")
            .await
            .is_unauthenticated(path);
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn an_idempotency_key_is_visible_ascii_or_an_error() {
    let server = Hookturn::start().await;
    let bearer = bearer();
    for path in server.rotations() {
        for name in ["Idempotency-Key", "X-Idempotency-Key"] {
            for value in odd_values() {
                let fields = [("Authorization", bearer.as_bytes()), (name, &value)];
                let answer = ask(&server, path, &fields, "").await;
                let bare = !value.starts_with(b"\"") && value.iter().all(u8::is_ascii_graphic);
                if bare && (1..=255).contains(&value.len()) {
                    assert!([200, 422, 400].contains(&answer.status), "{answer:?}");
                } else {
                    answer.is_refusal(path, 400, "invalid_idempotency_key", "VALIDATION_ERROR");
                }
            }
            let twice = [
                ("Authorization", bearer.as_bytes()),
                (name, b"one"),
                ("Idempotency-Key", b"two"),
            ];
            let answer = ask(&server, path, &twice, "").await;
            answer.is_refusal(path, 400, "invalid_idempotency_key", "VALIDATION_ERROR");
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn names_of_a_request_that_are_none_are_replaced() {
    let server = Hookturn::start().await;
    let bearer = bearer();
    for path in server.rotations() {
        for value in odd_values() {
            for name in [
                "X-Request-Id",
                "traceparent",
                "tracestate",
                "Accept",
                "Cookie",
                "X-Forwarded-For",
            ] {
                let fields = [("Authorization", bearer.as_bytes()), (name, &value)];
                let answer = ask(&server, path, &fields, "").await;
                // The tenth Verbex v1 rotation is one too many.
                assert!(
                    [200, 409, 422].contains(&answer.status),
                    "{name}: {answer:?}"
                );
                let plain =
                    value.iter().all(u8::is_ascii_graphic) && (1..=128).contains(&value.len());
                if name == "X-Request-Id" && plain {
                    assert_eq!(
                        answer.header("x-request-id").map(str::as_bytes),
                        Some(&value[..])
                    );
                }
            }
        }
        let both = [
            ("Authorization", bearer.as_bytes()),
            ("traceparent", b"00-x"),
            ("traceparent", b"00-y"),
        ];
        assert!(ask(&server, path, &both, "").await.status < 500);
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_content_type_of_any_bytes_is_not_json() {
    let server = Hookturn::start().await;
    let bearer = bearer();
    let path = server.rotation.as_str();
    for value in odd_values() {
        let fields = [
            ("Authorization", bearer.as_bytes()),
            ("Content-Type", &value),
        ];
        let answer = ask(&server, path, &fields, r#"{"expire_current_in":0}"#).await;
        answer.is_refusal(path, 400, "unsupported_content_type", "");
        // Nothing is said of a body that is not there. The tenth rotation with a grace is one too
        // many.
        let answer = ask(&server, path, &fields, "").await;
        assert!(
            answer.status == 200 || answer.json()["code"] == "too_many_live_secrets",
            "{answer:?}"
        );
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_header_of_no_value_that_http_has_ends_the_connection() {
    let server = Hookturn::start().await;
    for name in [
        "Authorization",
        "Idempotency-Key",
        "X-Request-Id",
        "traceparent",
        "Content-Type",
    ] {
        for value in ["a\0b", "a\x01b", "a\x7fb", "a\rb", "\x1b[2J"] {
            let request = head(
                &server.rotation,
                &format!("Content-Length: 0\r\n{name}: {value}\r\n"),
            );
            for answer in server.send(request).await.answers().await {
                assert_eq!(answer.status, 400, "{answer:?}");
            }
        }
    }
    server.still_rotates().await;
}
