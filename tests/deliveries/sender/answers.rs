//! What comes of an attempt, by what the receiver answers.

use std::time::{Duration, Instant};

use bytes::Bytes;
use hookturn::domain::Timestamp;
use hookturn_test::{PATIENCE, RawReceiver, patiently};
use hyper::HeaderMap;
use hyper::header::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::attempt::{OK, SHORT, failure, hasty_sender, send, sender, sender_with};

#[tokio::test]
async fn a_request_arrives_as_it_was_given() {
    let receiver = RawReceiver::answering(OK).await;
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("evt_1"));
    headers.insert("user-agent", HeaderValue::from_static("Hookturn/0"));
    // As long as an event can be, and more than the connection's buffers hold.
    let body = Bytes::from("x".repeat(256 * 1024));
    let reply = patiently(sender().send(
        &receiver.url(),
        headers,
        body.clone(),
        Timestamp::from_millis(0),
    ))
    .await;
    assert_eq!((reply.status, reply.error), (Some(200), None));
    let [request] = &receiver.requests()[..] else {
        panic!("one request");
    };
    let (head, sent) = request.split_once("\r\n\r\n").expect("a whole head");
    assert!(sent.as_bytes() == body, "{} bytes", sent.len());
    let mut lines: Vec<&str> = head.lines().collect();
    lines[1..].sort_unstable();
    let host = format!("Host: {}", receiver.address);
    assert_eq!(
        lines,
        [
            "POST /hook?secret=hook HTTP/1.1",
            "Content-Length: 262144",
            &host,
            "User-Agent: Hookturn/0",
            "webhook-id: evt_1",
        ]
    );
}

#[tokio::test]
async fn a_url_goes_out_as_a_valid_target() {
    let receiver = RawReceiver::answering(OK).await;
    for (given, sent) in [
        ("/a|b", "/a%7Cb"),
        ("/a^b?a={b}", "/a%5Eb?a=%7Bb%7D"),
        ("/%zz?it's", "/%25zz?it's"),
    ] {
        send(&sender(), &format!("http://{}{given}", receiver.address)).await;
        let request = receiver.requests().pop().expect("a request");
        assert!(
            request.starts_with(&format!("POST {sent} HTTP/1.1\r\n")),
            "{request}"
        );
    }
}

#[tokio::test]
async fn every_status_is_told() {
    for (status, error) in [
        (200, None),
        (201, None),
        (299, None),
        (300, Some("redirects are not followed")),
        (304, Some("redirects are not followed")),
        (400, None),
        (410, None),
        (500, None),
        (599, None),
        (999, None),
    ] {
        let answer = format!("HTTP/1.1 {status} x\r\nContent-Length: 0\r\n\r\n");
        let receiver = RawReceiver::answering(answer).await;
        let reply = send(&sender(), &receiver.url()).await;
        assert_eq!(
            (reply.status, reply.error.as_deref()),
            (Some(status), error)
        );
    }
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = RawReceiver::answering(OK).await;
    let answer = format!(
        "HTTP/1.1 307 x\r\nLocation: {}\r\nContent-Length: 0\r\n\r\n",
        elsewhere.url()
    );
    let receiver = RawReceiver::answering(answer).await;
    let sender = sender();
    let reply = send(&sender, &receiver.url()).await;
    assert_eq!(reply.status, Some(307));
    assert_eq!(reply.error.as_deref(), Some("redirects are not followed"));
    // A connection that came before this one would have been accepted before it.
    send(&sender, &elsewhere.url()).await;
    assert_eq!(elsewhere.connections(), 1);
}

#[tokio::test]
async fn interim_answers_are_passed_over() {
    let receiver = RawReceiver::answering(
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n\
         HTTP/1.1 204 No Content\r\n\r\n",
    )
    .await;
    let sender = sender();
    for _ in 0..2 {
        assert_eq!(send(&sender, &receiver.url()).await.status, Some(204));
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_switch_of_protocols_is_no_success() {
    let receiver = RawReceiver::answering(
        "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    )
    .await;
    let sender = sender();
    for connections in 1..=2 {
        let reply = send(&sender, &receiver.url()).await;
        assert_eq!((reply.status, reply.error), (Some(101), None));
        assert_eq!(receiver.connections(), connections);
    }
}

#[tokio::test]
async fn retry_after_is_read_in_both_forms() {
    for (status, value, expected) in [
        (503, "120", Some(Duration::from_secs(120))),
        (
            429,
            "Sun, 06 Nov 1994 08:49:37 GMT",
            Some(Duration::from_secs(37)),
        ),
        (301, "3", Some(Duration::from_secs(3))),
        (503, "soon", None),
        (503, "\u{e4}", None),
        (200, "120", None),
    ] {
        let answer =
            format!("HTTP/1.1 {status} x\r\nRetry-After: {value}\r\nContent-Length: 0\r\n\r\n");
        let receiver = RawReceiver::answering(answer).await;
        let wall = Timestamp::from_millis(784_111_740_000);
        let (sender, url) = (sender(), receiver.url());
        let attempt = sender.send(&url, HeaderMap::new(), Bytes::new(), wall);
        let reply = patiently(attempt).await;
        assert_eq!((reply.status, reply.retry_after), (Some(status), expected));
    }
}

#[tokio::test]
async fn an_answer_may_come_byte_by_byte() {
    let receiver = RawReceiver::start(|mut connection| async move {
        connection.socket.set_nodelay(true).expect("a socket");
        while connection.request().await.is_some() {
            for byte in OK {
                connection.say(&[*byte]).await;
                tokio::task::yield_now().await;
            }
        }
    })
    .await;
    assert_eq!(send(&sender(), &receiver.url()).await.status, Some(200));
}

#[tokio::test]
async fn a_receiver_that_never_answers_is_left_in_time() {
    for said in [
        "",
        "HTTP/1.1 200 OK\r\nX-Half: ",
        "HTTP/1.1 100 Continue\r\n\r\n",
    ] {
        let (left, has_left) = std::sync::mpsc::channel();
        let receiver = RawReceiver::start(move |mut connection| {
            let left = left.clone();
            async move {
                connection.request().await;
                connection.say(said.as_bytes()).await;
                connection.closed().await;
                let _ = left.send(());
            }
        })
        .await;
        let begun = Instant::now();
        assert_eq!(failure(&hasty_sender(), &receiver.url()).await, "timed out");
        assert!(begun.elapsed() >= SHORT);
        // Not only is the attempt over, so is the connection.
        let waiting = tokio::task::spawn_blocking(move || has_left.recv());
        patiently(waiting).await.expect("no panic").expect("closed");
    }
}

#[tokio::test]
async fn interim_answers_are_bounded() {
    for interim in [
        "HTTP/1.1 100 Continue\r\n\r\n".to_owned(),
        "HTTP/1.1 102\n\n".to_owned(),
        format!(
            "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
            "x".repeat(10_000)
        ),
    ] {
        let is_long = interim.len() > 1000;
        let bytes = Bytes::from(interim);
        let receiver = RawReceiver::start(move |mut connection| {
            let bytes = bytes.clone();
            async move {
                connection.request().await;
                while connection.socket.write_all(&bytes).await.is_ok() {}
            }
        })
        .await;
        // Longer than the test waits.
        let error = failure(&sender_with(2 * PATIENCE), &receiver.url()).await;
        let expected = ["too many interim responses", "response head too large"];
        assert_eq!(error, expected[usize::from(is_long)]);
    }
    let some = "HTTP/1.1 102 Processing\r\n\r\n".repeat(32) + "HTTP/1.1 200\r\n\r\n";
    let receiver = RawReceiver::answering(some).await;
    assert_eq!(send(&sender(), &receiver.url()).await.status, Some(200));
}

#[tokio::test]
async fn what_is_not_http_is_told_so() {
    for garbage in [
        "SSH-2.0-OpenSSH_9.6\r\n",
        "\0\u{1}\u{2}\u{3}",
        "HTTP/9.9 200 OK\r\n\r\n",
        "HTTP/1.1 20 OK\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
    ] {
        let receiver = RawReceiver::answering(garbage).await;
        let error = failure(&sender(), &receiver.url()).await;
        assert_eq!(error, "malformed response", "{garbage:?}");
    }
}

#[tokio::test]
async fn whatever_else_is_in_a_head_the_status_counts() {
    let many = |count| "X-Many: x\r\n".repeat(count);
    for (lines, is_kept) in [
        (
            "Content-Security-Policy: default-src x;\r\n\timg-src y\r\n",
            true,
        ),
        (" Folded: first\r\n", true),
        ("X-A : b\r\n", true),
        ("Content-Length \t: 0\r\n", true),
        ("no colon\r\n", true),
        (": no name\r\n", true),
        ("bad\u{1}name: x\r\n", true),
        ("Set-Cookie: a=\u{1}b\r\n", true),
        ("Set-Cookie: a=\0b\rc\u{7f}\r\n", true),
        ("X: \u{fc}\nY: bare line ends\n", true),
        ("Content-Length: 0\r\nContent-Length: 0\r\n", true),
        ("Transfer-Encoding: chunked\r\n", false),
        (&many(101), true),
        (&many(4000), true),
    ] {
        let answer = format!("HTTP/1.1 200 OK\r\n{lines}Content-Length: 0\r\n\r\n");
        let receiver = RawReceiver::answering(answer).await;
        let sender = sender();
        for _ in 0..2 {
            let reply = send(&sender, &receiver.url()).await;
            assert_eq!((reply.status, reply.error), (Some(200), None), "{lines:?}");
        }
        assert_eq!(receiver.connections() == 1, is_kept, "{lines:?}");
    }
    for status_line in [
        "HTTP/1.1 200",
        "HTTP/1.1 200 ",
        "\r\n\r\nHTTP/1.1 200 OK",
        "HTTP/1.1  200  OK",
        "HTTP/1.1 200 \u{fc}\u{1}\0",
        "HTTP/1.0 200 OK",
        "HTTP/1.2 200 OK",
    ] {
        let receiver = RawReceiver::answering(format!("{status_line}\r\n\r\n")).await;
        let reply = send(&sender(), &receiver.url()).await;
        assert_eq!(
            (reply.status, reply.error),
            (Some(200), None),
            "{status_line:?}"
        );
    }
}

#[tokio::test]
async fn an_enormous_head_is_refused() {
    let long = format!("HTTP/1.1 200 OK\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "X: x\r\n".repeat(20_000));
    let no_line_end = "HTTP/1.1 200 ".to_owned() + &"x".repeat(1 << 20);
    for head in [long, many, no_line_end] {
        let receiver = RawReceiver::answering(head).await;
        let error = failure(&sender(), &receiver.url()).await;
        assert_eq!(error, "response head too large");
    }
}

#[tokio::test]
async fn an_answer_may_come_before_the_request_is_sent() {
    let receiver = RawReceiver::start(|mut connection| async move {
        // More than the buffers of both sides hold, so that the rest is written after the answer
        // came.
        let mut begin = [0; 512];
        let _ = connection.socket.read_exact(&mut begin).await;
        connection
            .say(b"HTTP/1.1 413 x\r\nContent-Length: 9\r\n\r\ntoo long\n")
            .await;
        connection.closed().await;
    })
    .await;
    let body = Bytes::from(vec![b'x'; 16 << 20]);
    let (sender, url) = (sender(), receiver.url());
    let attempt = sender.send(&url, HeaderMap::new(), body, Timestamp::from_millis(0));
    let reply = patiently(attempt).await;
    assert_eq!((reply.status, reply.error), (Some(413), None));
}

#[tokio::test]
async fn a_url_that_cannot_be_dialled_is_told_so() {
    for url in [
        "",
        "/hook",
        "ftp://127.0.0.1/",
        "http://",
        "mailto:hook@localhost",
    ] {
        assert_eq!(failure(&sender(), url).await, "invalid URL", "{url:?}");
    }
}
