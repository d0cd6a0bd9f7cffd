//! The accept loop, on real sockets, with limits short enough to watch.
//!
//! No test sleeps: each waits for the server to do something, within
//! [`PATIENCE`](hookturn_test::PATIENCE). That time has passed is proved by a connection that the
//! server ended for it.

mod cores;
mod half_close;
mod places;
mod refusals;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::routing::get;
use futures_util::{StreamExt as _, stream};
use hookturn::server::Limits;
use hookturn_test::{Serving, patiently};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::{Notify, oneshot};

use crate::hostile::frames::{END_HEADERS, END_STREAM, HEADERS, frame, head, preface};

const HEADER: Duration = Duration::from_millis(200);
const IDLE: Duration = Duration::from_millis(600);
/// For a test which the timeout in question is not to end.
const LONG: Duration = Duration::from_secs(600);
const REQUEST: &[u8] = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n";

fn app() -> Router {
    Router::new().route("/", get(|| async { "hello" }))
}

fn limits(header_timeout: Duration, idle_timeout: Duration) -> Limits {
    Limits {
        header_timeout,
        idle_timeout,
        ..Limits::default()
    }
}

/// Reads one answer to [`REQUEST`], whose body is `hello`.
async fn answer(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    patiently(async {
        while !answer.ends_with(b"hello") {
            let read = socket.read_buf(&mut answer).await.expect("an answer");
            assert_ne!(
                read,
                0,
                "closed after {:?}",
                String::from_utf8_lossy(&answer)
            );
        }
    })
    .await;
    String::from_utf8(answer).expect("ASCII")
}

/// All that the server says until it closes.
async fn until_closed(socket: &mut TcpStream) -> String {
    let mut said = Vec::new();
    // A reset is a way to close as well: it happens when the server has not read all that was sent.
    let _ = patiently(socket.read_to_end(&mut said)).await;
    String::from_utf8_lossy(&said).into_owned()
}

async fn assert_serves(server: &Serving) {
    let mut socket = server.send(REQUEST).await;
    assert!(answer(&mut socket).await.starts_with("HTTP/1.1 200 OK\r\n"));
}

#[tokio::test]
async fn a_head_that_never_completes_is_cut() {
    let server = Serving::start(app(), limits(HEADER, LONG)).await;
    let begun = Instant::now();
    let mut socket = server.send(b"GET / HTTP/1.1\r\nHost:").await;
    assert_eq!(until_closed(&mut socket).await, "");
    assert!(begun.elapsed() >= HEADER);
}

#[tokio::test]
async fn a_later_head_that_never_completes_is_cut() {
    let server = Serving::start(app(), limits(HEADER, LONG)).await;
    let mut socket = server.send(REQUEST).await;
    answer(&mut socket).await;
    let begun = Instant::now();
    socket
        .write_all(b"GET / HT")
        .await
        .expect("the server reads");
    assert_eq!(until_closed(&mut socket).await, "");
    assert!(begun.elapsed() >= HEADER);
}

#[tokio::test]
async fn a_head_that_arrives_in_time_in_pieces_is_answered() {
    let server = Serving::start(app(), limits(LONG, LONG)).await;
    let mut socket = server.connect().await;
    socket.set_nodelay(true).expect("an open socket");
    for byte in REQUEST {
        socket.write_all(&[*byte]).await.expect("the server reads");
        tokio::task::yield_now().await;
    }
    answer(&mut socket).await;
}

#[tokio::test]
async fn a_silent_connection_is_cut() {
    let server = Serving::start(app(), limits(HEADER, LONG)).await;
    let begun = Instant::now();
    let mut socket = server.connect().await;
    assert_eq!(until_closed(&mut socket).await, "");
    assert!(begun.elapsed() >= HEADER);
}

#[tokio::test]
async fn the_beginning_of_an_http2_preface_buys_no_time() {
    let server = Serving::start(app(), limits(HEADER, LONG)).await;
    let mut socket = server.send(b"PRI * HTTP/2.0").await;
    assert_eq!(until_closed(&mut socket).await, "");
    // The whole preface and no request: the same, after the server's own frames.
    let mut socket = server
        .send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0")
        .await;
    until_closed(&mut socket).await;
}

#[tokio::test]
async fn an_idle_connection_outlives_the_header_timeout_but_not_the_idle_timeout() {
    let server = Serving::start(app(), limits(HEADER, IDLE)).await;
    let mut socket = server.send(REQUEST).await;
    let asked = Instant::now();
    answer(&mut socket).await;
    // One that is silent from now on ends when the header timeout has passed; this one is then
    // still good.
    until_closed(&mut server.connect().await).await;
    if asked.elapsed() < IDLE / 2 {
        socket.write_all(REQUEST).await.expect("still open");
        answer(&mut socket).await;
    }
    let idle = Instant::now();
    assert_eq!(until_closed(&mut socket).await, "");
    assert!(
        asked.elapsed() >= IDLE,
        "closed {:?} after the last answer",
        idle.elapsed()
    );
}

#[tokio::test]
async fn a_request_in_flight_has_no_deadline() {
    let release = Arc::new(Notify::new());
    let handler = Arc::clone(&release);
    let app = app().route(
        "/slow",
        get(async move || {
            handler.notified().await;
            "hello"
        }),
    );
    let server = Serving::start(app, limits(HEADER, IDLE)).await;
    let mut slow = server
        .send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    // Twice the idle timeout, proved by connections that it ended.
    for _ in 0..2 {
        let mut idle = server.send(REQUEST).await;
        answer(&mut idle).await;
        until_closed(&mut idle).await;
    }
    release.notify_one();
    answer(&mut slow).await;
    // And the connection goes on.
    slow.write_all(REQUEST).await.expect("still open");
    answer(&mut slow).await;
}

#[tokio::test]
async fn three_hundred_slow_clients_do_not_stop_another() {
    let server = Serving::start(app(), limits(LONG, LONG)).await;
    let mut slow = Vec::new();
    for _ in 0..300 {
        slow.push(server.send(b"GET / HTTP/1.1\r\nX: ").await);
    }
    for _ in 0..20 {
        assert_serves(&server).await;
    }
    // Nor do they hold the server up when it ends, although their time is far from over.
    server.stop().await;
    for mut socket in slow {
        assert_eq!(until_closed(&mut socket).await, "");
    }
}

#[tokio::test]
async fn garbage_is_refused_and_the_server_goes_on() {
    let server = Serving::start(app(), limits(LONG, LONG)).await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 is TLS\r\n\r\n"[..],
        b"\0\0\0\0\0\0\0\0\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nand no frames whatever follow here",
    ] {
        let mut socket = server.send(garbage).await;
        let said = until_closed(&mut socket).await;
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 400") || garbage.starts_with(b"PRI"),
            "{said:?}"
        );
        assert_serves(&server).await;
    }
}

#[tokio::test]
async fn an_oversized_head_is_refused() {
    let server = Serving::start(app(), limits(LONG, LONG)).await;
    let mut long = b"GET / HTTP/1.1\r\nHost: test\r\nX: ".to_vec();
    long.resize(40 * 1024, b'x');
    let mut many = b"GET / HTTP/1.1\r\nHost: test\r\n".to_vec();
    many.extend(b"X: y\r\n".repeat(101));
    many.extend(b"\r\n");
    for head in [long, many] {
        let mut socket = server.connect().await;
        // The server may close before it has read all of it.
        let _ = socket.write_all(&head).await;
        let said = until_closed(&mut socket).await;
        assert!(
            said.is_empty() || said.starts_with("HTTP/1.1 431"),
            "{said:?}"
        );
    }
    assert_serves(&server).await;
}

fn http2() -> reqwest::Client {
    reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .expect("a client")
}

#[tokio::test]
async fn http2_without_tls_is_served() {
    let server = Serving::start(app(), limits(HEADER, IDLE)).await;
    let client = http2();
    let url = format!("http://{}/", server.address);
    let first = patiently(client.get(&url).send()).await.expect("an answer");
    assert_eq!(first.version(), reqwest::Version::HTTP_2);
    assert_eq!(first.text().await.expect("a body"), "hello");
    // Past the header timeout, the connection or (if this machine is that slow) a new one serves.
    until_closed(&mut server.connect().await).await;
    let second = patiently(client.get(&url).send()).await.expect("an answer");
    assert_eq!(second.status(), 200);
    server.stop().await;
}

#[tokio::test]
async fn an_idle_http2_connection_is_closed_in_time() {
    let server = Serving::start(app(), limits(LONG, IDLE)).await;
    let begun = Instant::now();
    let mut socket = server.send(&preface()).await;
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("/", &[]));
    socket.write_all(&request).await.expect("it is open");
    until_closed(&mut socket).await;
    assert!(begun.elapsed() >= IDLE);
    server.stop().await;
}

#[tokio::test]
async fn stopping_finishes_what_runs_and_ends_what_is_idle() {
    let begun = Arc::new(Notify::new());
    let (release, released) = tokio::sync::watch::channel(());
    let begins = Arc::clone(&begun);
    let app = app().route(
        "/slow",
        get(async move || {
            let mut released = released.clone();
            begins.notify_one();
            released.changed().await.expect("the test still runs");
            "hello"
        }),
    );
    let server = Serving::start(app, limits(LONG, LONG)).await;
    let mut idle = server.send(REQUEST).await;
    answer(&mut idle).await;
    let mut silent = server.connect().await;
    let mut half = server.send(REQUEST).await;
    answer(&mut half).await;
    half.write_all(b"GET / HT").await.expect("the server reads");
    let mut slow = server
        .send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    patiently(begun.notified()).await;
    let over_http2 = tokio::spawn(
        http2()
            .get(format!("http://{}/slow", server.address))
            .send(),
    );
    patiently(begun.notified()).await;

    let _ = server.stop.send(());
    assert_eq!(until_closed(&mut idle).await, "");
    assert_eq!(until_closed(&mut silent).await, "");
    assert_eq!(until_closed(&mut half).await, "");
    TcpStream::connect(server.address)
        .await
        .expect_err("the port is closed");
    assert!(!server.task.is_finished());

    release.send_replace(());
    let said = answer(&mut slow).await;
    assert!(said.contains("connection: close\r\n"), "{said}");
    assert_eq!(until_closed(&mut slow).await, "");
    let said = patiently(over_http2)
        .await
        .expect("no panic")
        .expect("an answer");
    assert_eq!(said.text().await.expect("a body"), "hello");
    patiently(server.task).await.expect("serve does not panic");
}

#[tokio::test]
async fn stopping_has_an_end() {
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let app = Router::new().route(
        "/",
        get(async move || {
            begins.notify_one();
            std::future::pending::<&str>().await
        }),
    );
    let drain_timeout = HEADER;
    let server = Serving::start(
        app,
        Limits {
            drain_timeout,
            ..Limits::default()
        },
    )
    .await;
    let mut endless = server.send(REQUEST).await;
    patiently(begun.notified()).await;
    server.stop().await;
    assert_eq!(until_closed(&mut endless).await, "");
}

#[tokio::test]
async fn a_client_that_never_reads_is_cut() {
    let (gone, is_gone) = oneshot::channel::<()>();
    let gone = Arc::new(Mutex::new(Some(gone)));
    let app = Router::new().route(
        "/",
        get(async move || {
            // Dropped with the response that nobody reads, which is dropped with its connection.
            let held = gone.lock().expect("no panic").take();
            let chunk = Bytes::from_static(&[b'x'; 16 * 1024]);
            Body::from_stream(stream::repeat(chunk).map(move |chunk| {
                let _ = &held;
                Ok::<_, Infallible>(chunk)
            }))
        }),
    );
    let server = Serving::start(app, limits(HEADER, HEADER)).await;
    let unread = server.send(REQUEST).await;
    patiently(is_gone).await.expect_err("dropped, not sent");
    drop(unread);
    server.stop().await;
}
