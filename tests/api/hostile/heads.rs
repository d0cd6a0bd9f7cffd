//! Request heads: cut off, never ended, far too large, or no HTTP at all.

use super::client::head;
use super::server::{Hookturn, LONG, SHORT};

#[tokio::test]
async fn a_client_that_hangs_up_anywhere_in_a_head_harms_nobody() {
    let server = Hookturn::start().await;
    let head = head(
        &server.rotation,
        "Content-Length: 2\r\nX-Request-Id: cut\r\n",
    );
    for end in (0..head.len()).step_by(3) {
        drop(server.send(&head[..end]).await);
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_client_that_falls_silent_in_a_head_is_cut_off() {
    let server = Hookturn::with(SHORT, LONG).await;
    let head = head(&server.rotation, "X: y\r\n");
    let mut silent = Vec::new();
    for end in (0..head.len()).step_by(7) {
        silent.push(server.send(&head[..end]).await);
    }
    for client in silent {
        client.ends().await;
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_head_that_is_too_large_is_refused_before_it_is_whole() {
    let server = Hookturn::start().await;
    let many = "X: y\r\n".repeat(10_000);
    let wide = format!("X: {}\r\n", "y".repeat(10 << 20));
    let named = format!("{}: y\r\n", "x".repeat(100_000));
    let path = format!("/webhooks/{}", "a".repeat(100_000));
    for bomb in [
        head(&server.rotation, &many),
        head(&server.rotation, &wide),
        head(&server.rotation, &named),
        head(&path, ""),
        // Without an end: no line break, no space.
        "A".repeat(1 << 20),
        "\r\n".repeat(1 << 20),
    ] {
        let mut client = server.connect().await;
        client.send(&bomb).await;
        for answer in client.answers().await {
            assert!([400, 414, 431].contains(&answer.status), "{answer:?}");
            assert!(answer.header("x-request-id").is_some(), "{answer:?}");
            assert!(answer.body.ends_with(b".\n"), "{answer:?}");
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_hundred_headers_of_a_head_within_bounds_are_read() {
    let server = Hookturn::start().await;
    let value = "y".repeat(200);
    // With the two that every head here has, and the length.
    let lines = format!("X: {value}\r\n").repeat(97) + "Content-Length: 0\r\n";
    let mut client = server.send(head(&server.rotation, &lines)).await;
    let answer = client.answer().await.expect("an answer");
    assert_eq!(answer.status, 200, "{answer:?}");
}

#[tokio::test]
async fn what_is_no_http_is_refused_and_closed() {
    let server = Hookturn::start().await;
    let before = server.fingerprints().await;
    let rotation = head(&server.rotation, "Content-Length: 0\r\n");
    let get = |line: &str| format!("{line}\r\nHost: test\r\n\r\n").into_bytes();
    let after = |garbage: &[u8]| [garbage, rotation.as_bytes()].concat();
    let with = |line: &str| head(&server.rotation, line).into_bytes();
    for garbage in [
        // TLS, a proxy's preamble, another protocol, noise.
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n".to_vec(),
        after(b"PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n"),
        after(b"\r\n\0\r\n"),
        after(b"\xff\xfe"),
        after(b"{\"a\":1}\n"),
        b"SSH-2.0-OpenSSH_9.6\r\n\r\n".to_vec(),
        (0..=255).collect(),
        // HTTP/0.9 and other versions.
        b"GET /\r\n\r\n".to_vec(),
        get("GET / HTTP/0.9"),
        get("GET / HTTP/1.2"),
        get("GET / HTTP/2.0"),
        get("GET / HTTP/3"),
        get("GET / http/1.1"),
        get("GET / HTTP/1.1 more"),
        get("GET  / HTTP/1.1"),
        get("GET\t/ HTTP/1.1"),
        get(" GET / HTTP/1.1"),
        get("G\0T / HTTP/1.1"),
        get("G\u{e9}T / HTTP/1.1"),
        get("GET /\x01 HTTP/1.1"),
        get("GET /a b HTTP/1.1"),
        // Lines that are no header fields.
        with("no colon\r\n"),
        with(": no name\r\n"),
        with("Space : before the colon\r\n"),
        with("X: y\r\n folded: z\r\n"),
        with("X: a\0b\r\n"),
        with("X: a\x01b\r\n"),
        with("X: a\x7fb\r\n"),
        with("X: a\rContent-Length: 0\r\n"),
        with("X\u{e9}: y\r\n"),
    ] {
        let mut client = server.send(&garbage).await;
        // What waits for more is told that there is none.
        let shown = String::from_utf8_lossy(&garbage).into_owned();
        client.end_sending().await;
        if let Some(answer) = client.answer().await {
            assert!([400, 505].contains(&answer.status), "{shown:?}: {answer:?}");
            assert!(answer.header("x-request-id").is_some(), "{answer:?}");
            assert!(!answer.body.is_empty(), "{answer:?}");
            assert!(
                !answer.body.starts_with(b"{\"id\""),
                "{shown:?}: {answer:?}"
            );
            client.ends().await;
        }
    }
    assert_eq!(server.fingerprints().await, before);
    server.still_rotates().await;
}
