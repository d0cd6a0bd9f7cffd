//! Request targets: other forms, broken encodings, and paths that try to pass for others.

use super::client::{RawClient, head};
use super::server::{Hookturn, KEY};

async fn ask(client: &mut RawClient, request: String) -> super::client::RawAnswer {
    client.send(&request).await;
    client
        .answer()
        .await
        .unwrap_or_else(|| panic!("no answer: {request}"))
}

#[tokio::test]
async fn an_absolute_target_is_its_path_and_needs_the_key_all_the_same() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    for path in server.rotations() {
        for origin in ["http://test", "http://other.example:99", "HTTPS://[::1]"] {
            let target = format!("{origin}{path}");
            let rotated = ask(&mut client, head(&target, "Content-Length: 0\r\n")).await;
            assert_eq!(rotated.status, 200, "{rotated:?}");
            let keyless =
                format!("POST {target} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
            ask(&mut client, keyless).await.is_unauthenticated(path);
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_target_that_is_no_path_leads_nowhere() {
    let server = Hookturn::start().await;
    for line in [
        "OPTIONS * HTTP/1.1",
        "GET * HTTP/1.1",
        "CONNECT 127.0.0.1:80 HTTP/1.1",
        "CONNECT /webhooks/endpoints HTTP/1.1",
        "GET webhooks/endpoints HTTP/1.1",
        "GET http:// HTTP/1.1",
        "GET http://test HTTP/1.1",
        "GET ?x HTTP/1.1",
        "GET # HTTP/1.1",
        "POST ../../webhooks/endpoints HTTP/1.1",
    ] {
        let request = format!(
            "{line}\r\nHost: test\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\n\r\n"
        );
        for answer in server.send(request).await.answers().await {
            let home = line.starts_with("GET http://test ") && answer.status == 200;
            assert!(
                home || [400, 404, 405].contains(&answer.status),
                "{line}: {answer:?}"
            );
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_path_that_names_no_record_is_not_found_in_its_dialect_once_the_key_is_known() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let long = "a".repeat(20_000);
    for id in [
        "%",
        "%2",
        "%zz",
        "%00",
        "%ff%fe",
        "%c3%28",
        "%ed%a0%80",
        "%2e%2e",
        "..",
        "%2F",
        "%252F",
        "a%0d%0aX:%20y",
        "\u{e9}",
        "'",
        "%3Cscript%3E",
        "{id}",
        "*",
        "we_",
        "we_%35",
        "%EF%BB%BF",
        ";",
        "a;b=c",
        "~",
        long.as_str(),
    ] {
        for (path, is_known) in [
            (format!("/webhooks/endpoints/{id}/secret/rotate"), true),
            (
                format!("/v1/public/webhook/subscription/{id}/rotate/secret"),
                true,
            ),
            (format!("/webhooks/{id}"), false),
            (format!("/v1/public/{id}/x"), false),
        ] {
            let code = if is_known {
                "webhook_endpoint_not_found"
            } else {
                "route_not_found"
            };
            let with_key = ask(&mut client, head(&path, "Content-Length: 0\r\n")).await;
            with_key.is_refusal(&path, 404, code, "NOT_FOUND");
            let keyless =
                format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
            ask(&mut client, keyless).await.is_unauthenticated(&path);
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn bytes_that_no_path_may_hold_are_refused() {
    let server = Hookturn::start().await;
    for bytes in [
        &b"\xff"[..],
        b"\xc3\x28",
        b"\xed\xa0\x80",
        b"\x80\x80",
        b"\xf5\x80\x80\x80",
        b"<script>",
    ] {
        let mut request = b"POST /webhooks/endpoints/".to_vec();
        request.extend(bytes);
        request.extend(format!("/secret/rotate HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {KEY}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n").bytes());
        let answers = server.send(request).await.answers().await;
        assert_eq!(answers.len(), 1, "{bytes:?}");
        assert!([400, 404].contains(&answers[0].status), "{answers:?}");
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn another_spelling_of_a_protected_path_is_no_way_around_the_key() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let [rotation, verbex] = server.rotations();
    let mut spellings = Vec::new();
    for path in [rotation, verbex] {
        let rest = &path[1..];
        spellings.extend([
            format!("//{rest}"),
            format!("/./{rest}"),
            format!("/x/../{rest}"),
            format!("/%2e/{rest}"),
            format!("/%2F{rest}"),
            format!("/%{:02x}{}", rest.as_bytes()[0], &rest[1..]),
            path.to_uppercase(),
            format!("{path}/"),
            format!("{path}?key={KEY}"),
            format!("{path}%00"),
            format!("{path};x"),
            format!("http://{KEY}@test{path}"),
        ]);
    }
    for path in &spellings {
        let keyless = format!("POST {path} HTTP/1.1\r\nHost: test\r\nContent-Length: 0\r\n\r\n");
        let answer = ask(&mut client, keyless).await;
        assert!(
            [400, 401, 404].contains(&answer.status),
            "{path}: {answer:?}"
        );
    }
    server.still_rotates().await;
}
