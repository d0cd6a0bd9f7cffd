//! Clients that go away: a key never stays stuck, and nothing is done twice (I5, I8).

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use hookturn::clock::TestClock;
use hookturn::domain::Timestamp;
use hookturn::store::StoreLimits;
use hookturn_test::{ACME, Call, Fault, FaultyStore, START, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::conformance;
use crate::http::{TestServer, answer, with_key};
use crate::support::at_once;

const BODY: &str = r#"{"expire_current_in":3600}"#;

/// A rotation as it goes over the wire.
fn rotation(path: &str, key: &str) -> Vec<u8> {
    format!(
        "POST {path}/secret/rotate HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {ACME}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{BODY}",
        BODY.len()
    )
    .into_bytes()
}

async fn connect(server: &TestServer) -> TcpStream {
    let socket = TcpStream::connect(server.address).await;
    socket.expect("it listens")
}

async fn retry(server: &TestServer, path: &str, key: &str) -> bytes::Bytes {
    let request = server.post(&format!("{path}/secret/rotate")).body(BODY);
    with_key(request, key).await.is(200).body
}

#[tokio::test]
async fn half_a_request_rotates_nothing_and_leaves_the_key_free() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let request = rotation(&path, "key");
    // Within the head, between head and body, within the body, and one byte short.
    for length in [
        40,
        request.len() - BODY.len(),
        request.len() - 10,
        request.len() - 1,
    ] {
        let mut socket = connect(&server).await;
        socket
            .write_all(&request[..length])
            .await
            .expect("it reads");
        socket.shutdown().await.expect("an open socket");
        // All that it has to say to this, until it closes; a reset is a way to close as well.
        let mut said = Vec::new();
        let _ = patiently(socket.read_to_end(&mut said)).await;
        assert!(!said.starts_with(b"HTTP/1.1 2"), "after {length} bytes");
        assert_eq!(server.rotations(&path).await, 0, "after {length} bytes");
    }
    let first = retry(&server, &path, "key").await;
    assert_eq!(retry(&server, &path, "key").await, first);
    assert_eq!(server.rotations(&path).await, 1);
    server.stop().await;
}

/// Ends the sending after a rotation, as Node's `socket.end(request)` does, and reads until the
/// server closes too.
async fn rotated_by_half_closing(server: &TestServer, path: &str, key: &str) -> String {
    let mut socket = connect(server).await;
    let sent = socket.write_all(&rotation(path, key)).await;
    sent.expect("it reads");
    socket.shutdown().await.expect("an open socket");
    let mut said = String::new();
    // The server's idle timeout is longer than this patience.
    let read = patiently(socket.read_to_string(&mut said)).await;
    read.expect("an answer, and an orderly end");
    said
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_half_close_after_their_request_get_their_answer() {
    let memory = TestServer::start().await;
    let clock = Arc::new(TestClock::frozen_at(Timestamp::from_millis(START)));
    let sqlite = conformance::sqlite(clock.clone(), StoreLimits::default());
    let store = Arc::clone(&sqlite.store);
    let sqlite_server = TestServer::start_with(clock, Arc::clone(&store), store).await;
    for server in [memory, sqlite_server] {
        let answers = at_once(40, |number| {
            let server = server.clone();
            async move {
                let (path, key) = (server.endpoint().await, format!("key-{number}"));
                let said = rotated_by_half_closing(&server, &path, &key).await;
                assert_eq!(server.rotations(&path).await, 1);
                // It is the answer that the key is remembered with.
                let first = retry(&server, &path, &key).await;
                let first = std::str::from_utf8(&first).expect("JSON").to_owned();
                (said, first)
            }
        });
        let answers = answers.await;
        assert_eq!(answers.len(), 40);
        for (said, first) in answers {
            assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
            assert!(said.ends_with(&format!("\r\n\r\n{first}")), "{said}");
        }
        server.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_half_closes_within_its_body_is_told_so() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let request = rotation(&path, "key");
    let mut socket = connect(&server).await;
    let sent = socket.write_all(&request[..request.len() - 1]).await;
    sent.expect("it reads");
    socket.shutdown().await.expect("an open socket");
    let mut said = String::new();
    let read = patiently(socket.read_to_string(&mut said)).await;
    read.expect("an answer, and an orderly end");
    assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
    assert!(
        said.contains("The body broke off before its end."),
        "{said}"
    );
    assert_eq!(server.rotations(&path).await, 0);
    server.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn clients_that_leave_without_reading_never_cause_a_second_rotation() {
    let server = TestServer::start().await;
    let mut paths = Vec::new();
    for round in 0..20 {
        let path = server.endpoint().await;
        let key = format!("key-{round}");
        let answers = at_once(12, |number| {
            let (server, path, key) = (server.clone(), path.clone(), key.clone());
            async move {
                // Most leave as soon as all is sent; some of those do not even close in an orderly
                // way.
                if number % 4 == 0 {
                    return Some(retry(&server, &path, &key).await);
                }
                let mut socket = connect(&server).await;
                let sent = socket.write_all(&rotation(&path, &key)).await;
                sent.expect("it reads");
                if number % 2 == 0 {
                    socket.set_zero_linger().expect("an open socket");
                }
                None
            }
        });
        let mut answers: Vec<_> = answers.await.into_iter().flatten().collect();
        answers.push(retry(&server, &path, &key).await);
        assert!(answers.iter().all(|body| *body == answers[0]));
        paths.push(path);
    }
    // Whoever was still waiting for a turn has had it when the server has stopped.
    let store = Arc::clone(&server.store);
    server.stop().await;
    for path in paths {
        let id = path.rsplit('/').next().expect("a path").parse();
        let endpoint = store.endpoint(crate::support::acme(), id.expect("an id"));
        let key_ring = endpoint
            .await
            .expect("it works")
            .expect("it exists")
            .key_ring;
        let now = hookturn::domain::Timestamp::from_millis(START);
        let live = key_ring.expect("a signed endpoint").live(now).count();
        assert_eq!(live, 2, "one rotation");
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_store_works_gets_its_answer_on_retry() {
    // The second call of the request is the commit; a client leaves while it waits for either.
    for (fault, call) in [
        (Fault::HangBefore, 0),
        (Fault::HangAfter, 0),
        (Fault::HangBefore, 1),
        (Fault::HangAfter, 1),
    ] {
        let faulty = OnceLock::new();
        let server = TestServer::start_over(|inner| {
            // The creation of the endpoint is call 0.
            let plan = move |Call { number, .. }| (number == 1 + call).then_some(fault);
            let store = faulty.get_or_init(|| FaultyStore::new(inner, plan));
            Arc::clone(store) as _
        })
        .await;
        let faulty = faulty.get().expect("the server was started over it");
        let path = server.endpoint().await;

        let mut socket = connect(&server).await;
        let sent = socket.write_all(&rotation(&path, "key")).await;
        sent.expect("it reads");
        let hangs = patiently(faulty.hanging.acquire()).await;
        hangs.expect("never closed").forget();
        // Another with this key does not wait for one that hangs.
        let committed = (fault, call) == (Fault::HangAfter, 1);
        assert_eq!(server.rotations(&path).await, usize::from(committed));
        let first = retry(&server, &path, "key").await;
        assert_eq!(server.rotations(&path).await, 1);

        socket.set_zero_linger().expect("an open socket");
        drop(socket);
        // The work of a client whose connection is reset is dropped where it is.
        let dropped = patiently(faulty.dropped.acquire()).await;
        dropped.expect("never closed").forget();
        assert_eq!(retry(&server, &path, "key").await, first);
        assert_eq!(server.rotations(&path).await, 1, "{fault:?} in call {call}");
        server.stop().await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_while_the_clock_is_advanced_leaves_it_where_the_store_says() {
    for fault in [Fault::HangBefore, Fault::HangAfter] {
        let faulty = OnceLock::new();
        let server = TestServer::start_over(|inner| {
            let plan = move |Call { number, .. }| (number == 0).then_some(fault);
            let store = faulty.get_or_init(|| FaultyStore::new(inner, plan));
            Arc::clone(store) as _
        })
        .await;
        let faulty = faulty.get().expect("the server was started over it");

        let mut socket = connect(&server).await;
        let body = r#"{"seconds":100}"#;
        let request = format!(
            "POST /dev/clock/advance HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {ACME}\r\n\
             Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let sent = socket.write_all(request.as_bytes()).await;
        sent.expect("it reads");
        let hangs = patiently(faulty.hanging.acquire()).await;
        hangs.expect("never closed").forget();
        socket.set_zero_linger().expect("an open socket");
        drop(socket);
        // Long enough for the server to see it go.
        for _ in 0..100 {
            assert_eq!(answer(server.get("/dev/clock")).await.member("now"), at(0));
        }
        // One that comes next waits for its turn.
        let next = tokio::spawn({
            let next = server.post("/dev/clock/advance").body(r#"{"seconds":1}"#);
            async move { answer(next).await.is(200).member("now") }
        });
        faulty.go_on.add_permits(1);
        assert_eq!(next.await.expect("an answer"), at(101), "{fault:?}");
        assert_eq!(faulty.kept(), [100, 101].map(Duration::from_secs));
        server.stop().await;
    }
}

/// The time of the clock's start and so many seconds, as answers show it.
fn at(seconds: i64) -> String {
    Timestamp::from_millis(START + seconds * 1000).to_string()
}

#[tokio::test]
async fn a_client_that_sends_too_much_can_send_it_all_and_sees_the_answer() {
    let server = TestServer::start().await;
    let path = server.endpoint().await;
    let chunk = [&b"2710\r\n"[..], &[b'x'; 10_000], b"\r\n"].concat();
    for (framing, piece, end) in [
        ("Content-Length: 1000000", &chunk[6..10_006], &b""[..]),
        ("Transfer-Encoding: chunked", &chunk, b"0\r\n\r\n"),
    ] {
        let mut socket = connect(&server).await;
        let head = format!(
            "POST {path}/secret/rotate HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {ACME}\r\n\
             Idempotency-Key: key\r\nConnection: close\r\n{framing}\r\n\r\n"
        );
        let pieces = std::iter::repeat_n(piece, 100);
        for bytes in std::iter::once(head.as_bytes()).chain(pieces).chain([end]) {
            let sent = patiently(socket.write_all(bytes)).await;
            sent.expect("it reads on");
            // The server's turn: it runs on this thread.
            tokio::task::yield_now().await;
        }
        let mut said = String::new();
        let read = patiently(socket.read_to_string(&mut said)).await;
        read.expect("an answer, and an orderly end");
        assert!(said.starts_with("HTTP/1.1 400 "), "{said}");
        assert!(said.contains("\"body_too_large\""), "{said}");
    }
    assert_eq!(server.rotations(&path).await, 0);
    server.stop().await;
}
