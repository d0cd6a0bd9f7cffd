//! What hyper refuses before the application sees a request: each refusal says what is wrong, and
//! under which name.

use axum::Router;
use axum::http::StatusCode;
use axum::routing::get;
use hookturn_test::Serving;
use tokio::io::AsyncWriteExt as _;

use super::{LONG, REQUEST, app, assert_serves, limits, until_closed};

/// Asserts that `said` ends with a refusal in words, and nothing after it.
fn assert_refusal(said: &str, status: &str) {
    let start = said.rfind("HTTP/1.").expect("an answer");
    let (head, body) = said[start..].split_once("\r\n\r\n").expect("a head");
    assert!(
        head.starts_with(&format!("HTTP/1.1 {status}\r\n")),
        "{said}"
    );
    let header = |name: &str| {
        let line = head
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
        line.unwrap_or_else(|| panic!("{name} in {said}"))
    };
    assert_eq!(header("content-type"), "text/plain; charset=utf-8");
    assert_eq!(header("connection"), "close");
    assert_eq!(header("content-length"), body.len().to_string());
    assert_eq!(header("x-request-id").len(), 32);
    assert!(body.ends_with(".\n") && body.lines().count() == 1, "{said}");
}

#[tokio::test]
async fn what_is_no_request_is_refused_in_words() {
    let server = Serving::start(app(), limits(LONG, LONG)).await;
    let many = format!(
        "GET / HTTP/1.1\r\nHost: t\r\n{}\r\n",
        "X: y\r\n".repeat(101)
    );
    for (head, status) in [
        ("\x16\x03\x01 is TLS\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/9.9\r\n\r\n", "400 Bad Request"),
        ("G@T / HTTP/1.1\r\nHost: t\r\n\r\n", "400 Bad Request"),
        ("GET  / HTTP/1.1\r\nHost: t\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nno colon\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nX : y\r\n\r\n", "400 Bad Request"),
        ("GET / HTTP/1.1\r\nX: \0\r\n\r\n", "400 Bad Request"),
        (
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: x\r\n\r\n",
            "400 Bad Request",
        ),
        (
            "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
            "400 Bad Request",
        ),
        (
            "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: gzip\r\n\r\n",
            "400 Bad Request",
        ),
        (
            "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n",
            "400 Bad Request",
        ),
        (&many, "431 Request Header Fields Too Large"),
    ] {
        let mut socket = server.send(head.as_bytes()).await;
        socket.shutdown().await.expect("an open socket");
        assert_refusal(&until_closed(&mut socket).await, status);
        // As the second request on its connection too.
        let mut socket = server.send(&[REQUEST, head.as_bytes()].concat()).await;
        let said = until_closed(&mut socket).await;
        assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
        assert_refusal(&said, status);
    }
    assert_serves(&server).await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused_in_words() {
    let server = Serving::start(app(), limits(LONG, LONG)).await;
    // No longer than the server reads before it refuses, lest a reset take the answer away.
    let mut head = b"GET / HTTP/1.1\r\nHost: test\r\nX: ".to_vec();
    head.resize(32 * 1024, b'x');
    let mut socket = server.send(&head).await;
    let said = until_closed(&mut socket).await;
    assert_refusal(&said, "431 Request Header Fields Too Large");
}

#[tokio::test]
async fn an_answer_of_the_application_stays_as_it_is() {
    let app = Router::new()
        .route("/bad", get(|| async { (StatusCode::BAD_REQUEST, "bad") }))
        .route(
            "/named",
            get(|| async { (StatusCode::BAD_REQUEST, [("x-request-id", "1")]) }),
        );
    let server = Serving::start(app, limits(LONG, LONG)).await;
    for (path, end) in [
        ("/bad", "\r\n\r\nbad"),
        ("/named", "\r\n\r\n"),
        ("/nothing", "\r\n\r\n"),
    ] {
        let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n");
        let mut socket = server.send(request.as_bytes()).await;
        let said = until_closed(&mut socket).await;
        assert!(said.ends_with(end) && !said.contains("malformed"), "{said}");
    }
}
