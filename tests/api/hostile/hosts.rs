//! Requests that name no host, several, or what is none.

use hookturn_test::patiently;
use tokio::io::AsyncReadExt as _;

use super::client::RawAnswer;
use super::frames::{END_HEADERS, END_STREAM, HEADERS, contains, field, frame, preface};
use super::server::{Hookturn, KEY};

/// The answer to a request on a connection of its own.
async fn ask(server: &Hookturn, line: &str, hosts: &str, key: &str) -> RawAnswer {
    let request = format!("{line}\r\n{hosts}{key}Content-Length: 0\r\n\r\n");
    let mut client = server.send(&request).await;
    client.end_sending().await;
    let answer = client.answer().await;
    answer.unwrap_or_else(|| panic!("no answer: {request}"))
}

#[tokio::test]
async fn a_request_that_does_not_name_one_host_is_refused_before_anything_else() {
    let server = Hookturn::start().await;
    let before = server.fingerprints().await;
    let key = format!("Authorization: Bearer {KEY}\r\n");
    let [rotation, verbex] = server.rotations();
    let targets = [
        format!("POST {rotation}"),
        format!("POST {verbex}"),
        "GET /webhooks/endpoints".to_owned(),
        "PATCH /v1/public/nowhere".to_owned(),
        "DELETE /nowhere".to_owned(),
        "GET /healthz".to_owned(),
        "GET /".to_owned(),
        "GET /docs/".to_owned(),
        format!("POST http://test{rotation}"),
    ];
    for target in &targets {
        let path = target.split_once(' ').expect("a target").1;
        let path = path.trim_start_matches("http://test");
        for hosts in [
            "",
            "Host: a\r\nHost: b\r\n",
            "Host: a\r\nhost: a\r\n",
            "Host: a\r\nX: y\r\nHOST:\r\n",
            "Host: a b\r\n",
            "Host: a, b\r\n",
            "Host: user@a\r\n",
            "Host: user:secret@a\r\n",
            "Host: http://a\r\n",
            "Host: a/b\r\n",
            "Host: a?b\r\n",
            "Host: a:b\r\n",
            "Host: a:65536\r\n",
            "Host: ::1\r\n",
            "Host: [::1\r\n",
            "Host: [a]\r\n",
            "Host: \u{e9}\r\n",
        ] {
            let mut bodies = Vec::new();
            for key in [key.as_str(), "Authorization: Bearer wrong\r\n", ""] {
                let answer = ask(&server, &format!("{target} HTTP/1.1"), hosts, key).await;
                answer.is_refusal(path, 400, "invalid_host", "VALIDATION_ERROR");
                // It says nothing of the key, the tenant, or what is there.
                for name in ["www-authenticate", "x-ratelimit-limit", "allow"] {
                    assert_eq!(answer.header(name), None, "{hosts}: {answer:?}");
                }
                let mut body = answer.json();
                body["timestamp"].take();
                body["trace_id"].take();
                bodies.push(body);
            }
            assert!(bodies.iter().all(|body| *body == bodies[0]), "{bodies:?}");
        }
    }
    assert_eq!(server.fingerprints().await, before);
    server.still_rotates().await;
}

#[tokio::test]
async fn a_request_that_names_one_host_is_served() {
    let server = Hookturn::start().await;
    for hosts in [
        "Host: a\r\n",
        "Host: my_service\r\n",
        "Host: A.Example.:8080\r\n",
        "Host: 127.0.0.1:80\r\n",
        "Host: [::1]:80\r\n",
        "Host: b%C3%BCcher.example\r\n",
        "Host: a:\r\n",
        "Host:\r\n",
        "hOST:   a  \r\n",
    ] {
        let answer = ask(&server, "GET /healthz HTTP/1.1", hosts, "").await;
        assert_eq!(answer.status, 200, "{hosts}: {answer:?}");
        let keyless = ask(&server, "GET /webhooks/endpoints HTTP/1.1", hosts, "").await;
        keyless.is_unauthenticated("/webhooks/endpoints");
    }
    // The host of an absolute target counts, whatever the header says.
    let target = "GET http://other.example/healthz HTTP/1.1";
    let answer = ask(&server, target, "Host: a\r\n", "").await;
    assert_eq!(answer.status, 200, "{answer:?}");
    // HTTP/1.0 came before the header.
    for (hosts, expected) in [
        ("", 200),
        ("Host: a\r\n", 200),
        ("Host: a\r\nHost: a\r\n", 400),
        ("Host: a b\r\n", 400),
    ] {
        let answer = ask(&server, "GET /healthz HTTP/1.0", hosts, "").await;
        assert_eq!(answer.status, expected, "{hosts}: {answer:?}");
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_connection_goes_on_after_a_request_without_a_host() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    for body in ["", "{}", &"x".repeat(100_000)] {
        let length = body.len();
        client
            .send(format!(
                "POST {} HTTP/1.1\r\nContent-Length: {length}\r\n\r\n{body}",
                server.rotation
            ))
            .await;
        let answer = client.answer().await.expect("an answer");
        assert_eq!(answer.status, 400, "{answer:?}");
        let body = r#"{"expire_current_in":0}"#;
        let rotated = client.post(&server.rotation, body).await;
        assert_eq!(rotated.status, 200, "{rotated:?}");
    }
}

#[tokio::test]
async fn over_http2_the_authority_or_a_host_that_agrees_with_it_will_do() {
    let server = Hookturn::start().await;
    for (fields, is_served) in [
        (&[(":authority", "test")][..], true),
        (&[("host", "test")], true),
        (&[(":authority", "test"), ("host", "TEST")], true),
        (&[], false),
        (&[(":authority", "test"), ("host", "other")], false),
        (&[(":authority", "test"), ("host", "")], false),
        (&[("host", "a"), ("host", "a")], false),
        (&[("host", "a b")], false),
        (&[(":authority", "user@test")], false),
    ] {
        let fields = [
            (":method", "GET"),
            (":scheme", "http"),
            (":path", "/healthz"),
        ]
        .iter()
        .chain(fields)
        .flat_map(|(name, value)| field(name, value))
        .collect::<Vec<u8>>();
        let mut request = preface();
        request.extend(frame(HEADERS, END_HEADERS | END_STREAM, 1, &fields));
        let mut client = server.connect().await;
        client.send(&request).await;
        let mut said = Vec::new();
        while !contains(&said, b"ok\n") && !contains(&said, b"\"invalid_host\"") {
            let read = patiently(client.socket.read_buf(&mut said)).await;
            assert_ne!(read.expect("an answer"), 0, "{fields:?}");
        }
        assert_eq!(contains(&said, b"ok\n"), is_served, "{fields:?}");
    }
    server.still_rotates().await;
}
