//! Receivers that do their worst: each costs one attempt, which is recorded, and the worker goes
//! on.

use std::time::Duration;

use hookturn_test::{Reaction, Receiver, patiently};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::stage::{Stage, attempts};

/// Long enough for a machine that is busy, when the receiver answers at once.
const SHORT: Duration = Duration::from_secs(2);

/// What is recorded when a receiver does this: the status code and the error.
async fn recorded(stage: &Stage, reaction: Reaction) -> (Value, Value) {
    let receiver = Receiver::that(reaction).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.publish("a").await;
    assert_eq!(stage.settle().await, 1);
    let delivery = stage.only_delivery(&endpoint).await;
    let attempt = &attempts(&delivery)[0];
    assert!(attempt["duration_ms"].as_u64() <= Some(60_000));
    let is_success = attempt["status_code"] == 200;
    let expected = if is_success { "succeeded" } else { "pending" };
    assert_eq!(delivery["status"], expected);
    stage.remove(&endpoint).await;
    (attempt["status_code"].clone(), attempt["error"].clone())
}

fn bytes(text: &str) -> Vec<u8> {
    text.as_bytes().to_vec()
}

#[tokio::test]
async fn whatever_a_receiver_does_is_one_recorded_attempt() {
    let stage = Stage::with_attempt_timeout(SHORT).await;
    let endless_head = Reaction::Endless(bytes("HTTP/1.1 200 OK\r\n"), bytes("x-y: z\r\n"));
    let endless_hints = Reaction::Endless(
        Vec::new(),
        bytes("HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"),
    );
    let endless_chunks = Reaction::Endless(
        bytes("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"),
        bytes("1\r\nx\r\n"),
    );
    let endless_body = Reaction::Endless(bytes("HTTP/1.1 200 OK\r\n\r\n"), vec![b'x'; 64 * 1024]);
    let timed_out = (Value::Null, json!("timed out"));
    let cut_off = (Value::Null, json!("connection closed before an answer"));
    let too_many_hints = (Value::Null, json!("too many interim responses"));
    let malformed = (Value::Null, json!("malformed response"));
    let ok = (json!(200), Value::Null);
    for (name, reaction, expected) in [
        ("never answers", Reaction::Hang, &timed_out),
        (
            "byte by byte, without end",
            Reaction::Drip(bytes("HTTP/1.1 200 OK\r\nx:")),
            &timed_out,
        ),
        ("endless hints", endless_hints, &too_many_hints),
        ("closes", Reaction::Close, &cut_off),
        (
            "closes in the head",
            Reaction::Bytes(bytes("HTTP/1.1 200 OK\r\nx: y")),
            &cut_off,
        ),
        (
            "no HTTP",
            Reaction::Bytes(bytes("SSH-2.0-OpenSSH_9.9\r\n")),
            &malformed,
        ),
        ("zeros", Reaction::Bytes(vec![0; 1000]), &malformed),
        // Once the head is there, it decides.
        ("endless body", endless_body, &ok),
        ("endless chunks", endless_chunks, &ok),
        (
            "promises more than it sends",
            Reaction::Bytes(bytes(
                "HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\nshort",
            )),
            &ok,
        ),
        (
            "promises more than anybody has",
            Reaction::Bytes(bytes(
                "HTTP/1.1 200 OK\r\ncontent-length: 1000000000000\r\n\r\n",
            )),
            &ok,
        ),
        (
            "promises more than can be counted",
            Reaction::Bytes(bytes(
                "HTTP/1.1 200 OK\r\ncontent-length: 18446744073709551616\r\n\r\n",
            )),
            &malformed,
        ),
        (
            "sends more than it promises",
            Reaction::Bytes(bytes(
                "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nlong, long",
            )),
            &ok,
        ),
        (
            "byte by byte, to the end",
            Reaction::Drip(bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")),
            &ok,
        ),
        (
            "body never comes",
            Reaction::Drip(bytes("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")),
            &ok,
        ),
    ] {
        assert_eq!(recorded(&stage, reaction).await, *expected, "{name}");
    }
    let (code, error) = recorded(&stage, Reaction::Reset).await;
    let told = ["connection reset", "connection closed before an answer"];
    assert!(
        code.is_null() && told.contains(&error.as_str().expect("a text")),
        "{error}"
    );
    let (code, error) = recorded(&stage, endless_head).await;
    let told = ["response head too large", "malformed response"];
    assert!(
        code.is_null() && told.contains(&error.as_str().expect("a text")),
        "{error}"
    );

    let well = Receiver::start().await;
    let endpoint = stage.hook(&well, &[]).await;
    stage.publish("a").await;
    assert_eq!(stage.settle().await, 1);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "succeeded");
}

#[tokio::test]
async fn an_answer_that_is_not_for_us_does_not_answer_the_next_delivery() {
    // Two answers to one request: the second must not be taken for the answer to the next one.
    let stage = Stage::with_attempt_timeout(SHORT).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await;
    let listener = listener.expect("a free port");
    let url = format!("http://{}/", listener.local_addr().expect("bound"));
    let receiver = tokio::spawn(async move {
        let (mut first, _) = listener.accept().await.expect("a connection");
        let mut request = [0; 4096];
        let read = first.read(&mut request).await.expect("a request");
        assert!(read > 0);
        let smuggled = "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n".repeat(2);
        first.write_all(smuggled.as_bytes()).await.expect("sent");
        let (mut second, _) = listener.accept().await.expect("a connection");
        let read = second.read(&mut request).await.expect("a request");
        assert!(read > 0);
        let refusal = "HTTP/1.1 500 X\r\ncontent-length: 0\r\n\r\n";
        second.write_all(refusal.as_bytes()).await.expect("sent");
    });
    let endpoint = stage.hook_at(&url, &[]).await;
    for _ in 0..2 {
        stage.publish("a").await;
        assert_eq!(stage.settle().await, 1);
    }
    patiently(receiver).await.expect("both were sent");
    let deliveries = stage.deliveries(&endpoint).await;
    assert_eq!(attempts(&deliveries[0])[0]["status_code"], 500);
    assert_eq!(attempts(&deliveries[1])[0]["status_code"], 200);
}

#[tokio::test]
async fn an_answer_is_settled_by_its_head() {
    // An attempt may take longer than the test waits, so none of them may wait for the body.
    let stage = Stage::start().await;
    let endless = |head: &str| {
        let head = format!("HTTP/1.1 {head}\r\ntransfer-encoding: chunked\r\n\r\n");
        Reaction::Drip((head + "8\r\naccepted\r\n").into())
    };
    let receiver = Receiver::that(endless("200 OK")).await;
    let endpoint = stage.hook(&receiver, &[]).await;
    for _ in 0..60 {
        stage.publish("a").await;
    }
    assert_eq!(patiently(stage.settle()).await, 60);
    for delivery in stage.deliveries(&endpoint).await {
        assert_eq!(delivery["status"], "succeeded");
        assert_eq!(attempts(&delivery).len(), 1);
    }
    assert_eq!(receiver.count(), 60);
    stage.remove(&endpoint).await;

    let gone = Receiver::that(endless("410 Gone")).await;
    let endpoint = stage.hook(&gone, &[]).await;
    stage.publish("a").await;
    assert_eq!(patiently(stage.settle()).await, 1);
    assert_eq!(stage.only_delivery(&endpoint).await["status"], "failed");
    let path = format!("/webhooks/endpoints/{}", hookturn_test::id(&endpoint));
    assert_eq!(
        stage.get(&path).await.expect_json(200)["status"],
        "disabled"
    );
}
