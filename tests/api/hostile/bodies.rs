//! Request bodies: cut off, stalled, endless, and badly chunked.

use futures_util::FutureExt as _;
use hookturn_test::{GLOBEX, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::{RawClient, head};
use super::server::{Hookturn, LONG, SHORT};

/// More than all the buffers of a loopback connection hold. Who can send this much is being read.
const MORE_THAN_BUFFERS: usize = 64 << 20;

#[tokio::test]
async fn a_body_that_is_cut_off_rotates_nothing() {
    let server = Hookturn::start().await;
    let before = server.fingerprints().await;
    for path in server.rotations() {
        let sized = ["", "{", "{\"expire_current_in\":0}"];
        let chunked = [
            "",
            "1",
            "17\r\n{",
            "17\r\n{\"expire_current_in\":0}\r\n0\r\n",
        ];
        for (lines, parts) in [
            ("Content-Length: 24\r\n", &sized[..]),
            ("Transfer-Encoding: chunked\r\n", &chunked[..]),
        ] {
            for part in parts {
                // Once with no one left to tell, once with.
                drop(server.send(head(path, lines) + part).await);
                let mut client = server.send(head(path, lines) + part).await;
                client.end_sending().await;
                for answer in client.answers().await {
                    answer.is_refusal(path, 400, "malformed_json", "VALIDATION_ERROR");
                }
            }
        }
    }
    assert_eq!(server.fingerprints().await, before);
    server.still_rotates().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_timed_out_in_the_words_of_its_dialect() {
    let server = Hookturn::with(LONG, SHORT).await;
    let before = server.fingerprints().await;
    for path in server.rotations() {
        for request in [
            head(path, "Content-Length: 10\r\n"),
            head(path, "Content-Length: 10\r\n") + "{",
            head(path, "Transfer-Encoding: chunked\r\n"),
            head(path, "Transfer-Encoding: chunked\r\n") + "a\r\n{",
            head(path, "Transfer-Encoding: chunked\r\n") + "2\r\n{}\r\n",
            head(path, "Expect: 100-continue\r\nContent-Length: 10\r\n"),
        ] {
            let mut client = server.send(&request).await;
            let mut answer = client.answer().await.expect("an answer");
            if answer.status == 100 {
                answer = client.answer().await.expect("an answer");
            }
            answer.is_refusal(path, 408, "body_timeout", "REQUEST_TIMEOUT");
            client.ends().await;
        }
    }
    assert_eq!(server.fingerprints().await, before);
    server.still_rotates().await;
}

#[tokio::test]
async fn a_body_that_is_announced_as_too_large_is_refused_unread() {
    let server = Hookturn::start().await;
    for path in server.rotations() {
        for length in ["65537", "10000000000", "18446744073709551613"] {
            let mut client = server
                .send(head(path, &format!("Content-Length: {length}\r\n")))
                .await;
            let answer = client.answer().await.expect("an answer");
            answer.is_refusal(path, 400, "body_too_large", "VALIDATION_ERROR");
            client.ends().await;
        }
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_body_that_never_ends_is_refused_and_read_no_further() {
    let server = Hookturn::start().await;
    let chunk = format!("400\r\n{}\r\n", "x".repeat(0x400));
    for path in server.rotations() {
        for (lines, part) in [
            ("Content-Length: 10000000000\r\n", "x".repeat(0x400)),
            ("Transfer-Encoding: chunked\r\n", chunk.clone()),
            ("Transfer-Encoding: chunked\r\n", "1\r\nx\r\n".repeat(200)),
        ] {
            let client = server.send(head(path, lines)).await;
            let (sent, said) = send_without_end(client, part.as_bytes()).await;
            assert!(sent < MORE_THAN_BUFFERS, "{sent} bytes were read");
            // A reset may overtake the answer, since there is more to read than the server wants.
            if let Some(said) = said {
                assert!(said.starts_with("HTTP/1.1 400"), "{said}");
                let word = if path.starts_with("/v1") {
                    "VALIDATION_ERROR"
                } else {
                    "body_too_large"
                };
                assert!(said.contains(word), "{said}");
            }
        }
    }
    server.still_rotates().await;
}

/// Sends `part` over and over until the server closes: how many bytes, and what it said, if that
/// was still readable.
async fn send_without_end(client: RawClient, part: &[u8]) -> (usize, Option<String>) {
    let (mut reader, mut writer) = client.socket.into_split();
    let reading = async {
        let mut said = Vec::new();
        let _ = reader.read_to_end(&mut said).await;
        (!said.is_empty()).then(|| String::from_utf8_lossy(&said).into_owned())
    };
    let writing = async {
        let mut sent = 0;
        while sent < MORE_THAN_BUFFERS && writer.write_all(part).await.is_ok() {
            sent += part.len();
        }
        sent
    };
    patiently(async { tokio::join!(writing, reading) }).await
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_and_not_a_byte_further() {
    let server = Hookturn::start().await;
    let mut client = server.connect().await;
    let full = format!("{{\"expire_current_in\":0}}{}", " ".repeat(64 * 1024 - 23));
    assert_eq!(client.post(&server.rotation, &full).await.status, 200);
    let refused = client.post(&server.rotation, full.clone() + " ").await;
    refused.is_refusal(&server.rotation, 400, "body_too_large", "");

    let chunked = |body: &str| {
        let head = head(&server.rotation, "Transfer-Encoding: chunked\r\n");
        format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
    };
    let mut client = server.send(chunked(&full)).await;
    assert_eq!(client.answer().await.map(|answer| answer.status), Some(200));
    let mut client = server.send(chunked(&(full + " "))).await;
    let refused = client.answer().await.expect("an answer");
    refused.is_refusal(&server.rotation, 400, "body_too_large", "");
    server.still_rotates().await;
}

#[tokio::test]
async fn chunks_that_are_none_are_refused_and_nothing_behind_them_is_served() {
    let server = Hookturn::start().await;
    let big = "a".repeat(1 << 20);
    for path in server.rotations() {
        for garbage in [
            "zz\r\n",
            "-1\r\n{}\r\n",
            "0x2\r\n{}\r\n",
            " 2\r\n{}\r\n",
            "FFFFFFFFFFFFFFFF\r\n{}\r\n",
            "10000000000000000\r\n{}\r\n",
            "fffffffffffffffffffffffff2\r\n{}\r\n",
            "2\r\n{}0\r\n\r\n",
            "2\r\n{}xx\r\n0\r\n\r\n",
            "2\n{}\n0\n\n",
            "\r\n\r\n",
            "2;\0\r\n{}\r\nq\r\n",
            &format!("2;{big}"),
            &format!("2\r\n{{}}\r\n0\r\nX: {big}"),
            &format!("2\r\n{{}}\r\n0\r\n{}", "X: y\r\n".repeat(200_000)),
            &format!("{}2", "0".repeat(1 << 20)),
        ] {
            let mut client = server
                .send(head(path, "Transfer-Encoding: chunked\r\n"))
                .await;
            client.send(garbage).await;
            client.send(head(path, "Content-Length: 0\r\n")).await;
            client.end_sending().await;
            let shown = &garbage[..garbage.len().min(40)];
            for answer in client.answers().await {
                let status = answer.status;
                assert!(status == 400, "{shown:?}: {answer:?}");
                if !answer.body.is_empty() {
                    answer.is_refusal(path, 400, "malformed_json", "VALIDATION_ERROR");
                }
            }
        }
    }
    server.still_rotates().await;
}

/// A tenant may have 32 MiB of bodies on their way. Whoever has more of them waits for itself.
#[tokio::test]
async fn the_bodies_of_one_tenant_leave_room_for_those_of_others() {
    const LARGE: usize = 256 << 10;
    let server = Hookturn::start().await;
    let announced = format!("Content-Length: {LARGE}\r\nExpect: 100-continue\r\n");
    let upload = head("/events", &announced);
    let mut uploads = Vec::new();
    for _ in 0..(32 << 20) / LARGE {
        let mut upload = server.send(&upload).await;
        // It is asked for when there is room for it.
        assert_eq!(upload.answer().await.expect("an answer").status, 100);
        uploads.push(upload);
    }
    let mut waiting = server.send(upload).await;
    let of_other = "POST /events HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer ".to_owned()
        + GLOBEX
        + "\r\nContent-Length: 22\r\n\r\n{\"type\":\"a\",\"data\":{}}";
    for _ in 0..20 {
        let mut other = server.send(&of_other).await;
        assert_eq!(other.answer().await.expect("an answer").status, 202);
    }
    let mut byte = [0];
    let peeked = waiting.socket.peek(&mut byte).now_or_never();
    assert!(peeked.is_none(), "there was room for one more");
    drop(uploads.pop());
    assert_eq!(waiting.answer().await.expect("an answer").status, 100);
    drop((uploads, waiting));
    server.still_rotates().await;
}
