//! Clients that end their sending after their request, and clients whose connections are reset.

use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::Bytes;
use axum::routing::get;
use hookturn_test::{Serving, patiently};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::{Notify, oneshot};

use super::{LONG, REQUEST, app, assert_serves, limits, until_closed};

/// Serves `/`, which says that it has begun and is done when it is let.
fn slow(begun: &Arc<Notify>, release: &Arc<Notify>) -> Router {
    let (begun, release) = (Arc::clone(begun), Arc::clone(release));
    Router::new().route(
        "/",
        get(async move || {
            begun.notify_one();
            release.notified().await;
            "hello"
        }),
    )
}

#[tokio::test]
async fn a_client_that_half_closes_is_answered_and_the_connection_ends() {
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let app = slow(&begun, &release).route("/quick", get(|| async { "quick" }));
    let server = Serving::start(app, limits(LONG, LONG)).await;
    let mut socket = server.send(REQUEST).await;
    patiently(begun.notified()).await;
    socket.shutdown().await.expect("an open socket");
    // By the time that others have been served, the server has seen the end.
    for _ in 0..3 {
        let mut other = server
            .send(b"GET /quick HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n")
            .await;
        assert!(until_closed(&mut other).await.ends_with("quick"));
    }
    release.notify_one();
    // No timeout ends it: they are all too long.
    let said = until_closed(&mut socket).await;
    assert!(said.starts_with("HTTP/1.1 200 OK\r\n"), "{said}");
    assert!(said.ends_with("hello"), "{said}");
}

#[tokio::test]
async fn all_requests_before_the_end_are_answered() {
    let server = Serving::start(app(), limits(LONG, LONG)).await;
    for count in [1, 2, 7] {
        let mut socket = server.send(&REQUEST.repeat(count)).await;
        socket.shutdown().await.expect("an open socket");
        let said = until_closed(&mut socket).await;
        assert_eq!(said.matches("HTTP/1.1 200 OK").count(), count, "{said}");
        assert_eq!(said.matches("hello").count(), count, "{said}");
    }
    // One that breaks off is none.
    let mut socket = server
        .send(&[REQUEST, b"GET / HTTP/1.1\r\nHo"].concat())
        .await;
    socket.shutdown().await.expect("an open socket");
    let said = until_closed(&mut socket).await;
    assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{said}");
    server.stop().await;
}

#[tokio::test]
async fn a_long_answer_comes_whole() {
    // More than the buffers of both sides hold.
    let body = Bytes::from(vec![b'x'; 32 * 1024 * 1024]);
    let length = body.len();
    let app = app().route("/long", get(async move || body.clone()));
    let server = Serving::start(app, limits(LONG, LONG)).await;
    let mut socket = server
        .send(b"GET /long HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    socket.shutdown().await.expect("an open socket");
    // The server has written what fits, and waits.
    assert_serves(&server).await;
    let said = until_closed(&mut socket).await;
    let (head, said) = said.split_once("\r\n\r\n").expect("a head");
    assert_eq!(said.len(), length, "{head}");
}

#[tokio::test]
async fn stopping_finishes_what_a_half_closed_connection_asked_for() {
    let (begun, release) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let server = Serving::start(slow(&begun, &release), limits(LONG, LONG)).await;
    let mut socket = server.send(REQUEST).await;
    socket.shutdown().await.expect("an open socket");
    patiently(begun.notified()).await;
    let _ = server.stop.send(());
    release.notify_one();
    assert!(until_closed(&mut socket).await.ends_with("hello"));
    patiently(server.task).await.expect("serve does not panic");
}

#[tokio::test]
async fn what_a_reset_connection_asked_for_is_dropped() {
    let begun = Arc::new(Notify::new());
    let begins = Arc::clone(&begun);
    let (gone, is_gone) = oneshot::channel::<()>();
    let gone = Arc::new(Mutex::new(Some(gone)));
    let app = Router::new().route(
        "/",
        get(async move || {
            let _held = gone.lock().expect("no panic").take();
            begins.notify_one();
            std::future::pending::<&str>().await
        }),
    );
    let server = Serving::start(app, limits(LONG, LONG)).await;
    let socket = server.send(REQUEST).await;
    patiently(begun.notified()).await;
    socket.set_zero_linger().expect("an open socket");
    drop(socket);
    patiently(is_gone).await.expect_err("dropped, not sent");
    server.stop().await;
}
