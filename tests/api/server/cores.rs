//! Connections that are spread over several cores, each with a thread of its own.

use std::collections::HashMap;
use std::sync::{Mutex, mpsc};
use std::thread;

use hookturn::cores::{Cores, Threads};

use super::*;

/// As many as this, however many the machine has.
const CORES: usize = 2;

/// How many connections there are to each core.
const EACH: usize = 4;

fn threads() -> Threads {
    Threads::start_some(CORES).expect("threads")
}

async fn start(cores: &Cores, app: Router, limits: Limits) -> Serving {
    Serving::start_on(cores, app, limits).await
}

/// Answers which thread it runs on, and `hello`.
fn telling_threads() -> Router {
    let name = || format!("{:?} hello", thread::current().id());
    app().route("/thread", get(async move || name()))
}

const WHICH_THREAD: &[u8] = b"GET /thread HTTP/1.1\r\nHost: test\r\n\r\n";

async fn thread_of(socket: &mut TcpStream) -> String {
    socket
        .write_all(WHICH_THREAD)
        .await
        .expect("the server reads");
    let answer = answer(socket).await;
    let (_, body) = answer.split_once("\r\n\r\n").expect("a body");
    body.to_owned()
}

#[tokio::test]
async fn connections_are_spread_evenly_and_stay_where_they_are() {
    let threads = threads();
    let server = start(threads.cores(), telling_threads(), limits(LONG, LONG)).await;
    let mut sockets = Vec::new();
    let mut counts = HashMap::new();
    for _ in 0..CORES * EACH {
        let mut socket = server.connect().await;
        let thread = thread_of(&mut socket).await;
        *counts.entry(thread.clone()).or_insert(0) += 1;
        sockets.push((socket, thread));
    }
    assert_eq!(
        counts.values().copied().collect::<Vec<_>>(),
        [EACH; CORES],
        "{counts:?}"
    );
    for (socket, thread) in &mut sockets {
        assert_eq!(thread_of(socket).await, *thread);
    }
    // Where the connections of one core have ended, the next ones go there.
    let (gone, kept): (Vec<_>, Vec<_>) = sockets
        .into_iter()
        .partition(|(_, thread)| counts.keys().next() == Some(thread));
    let emptied = gone[0].1.clone();
    for (mut socket, _) in gone {
        socket
            .write_all(b"no HTTP\r\n\r\n")
            .await
            .expect("it reads");
        until_closed(&mut socket).await;
    }
    for _ in 0..EACH - 1 {
        let mut socket = server.connect().await;
        assert_eq!(thread_of(&mut socket).await, emptied);
    }
    drop(kept);
    server.stop().await;
}

#[tokio::test]
async fn a_core_that_is_stuck_holds_up_no_new_connection() {
    let (stuck, mut is_stuck) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = mpsc::channel::<()>();
    let released = Arc::new(Mutex::new(released));
    let app = app().route(
        "/stuck",
        get(async move || {
            stuck.send(()).expect("the test waits");
            // What no handler may do.
            let _ = released.lock().expect("nobody panics").recv();
            "hello"
        }),
    );
    let threads = threads();
    let server = start(threads.cores(), app, limits(LONG, LONG)).await;
    let mut slow = server
        .send(b"GET /stuck HTTP/1.1\r\nHost: test\r\n\r\n")
        .await;
    patiently(is_stuck.recv()).await.expect("the handler runs");
    let mut sockets = Vec::new();
    for _ in 0..CORES * EACH {
        let mut socket = server.send(REQUEST).await;
        answer(&mut socket).await;
        sockets.push(socket);
    }
    drop(release);
    answer(&mut slow).await;
    server.stop().await;
}

#[tokio::test]
async fn the_limit_of_connections_is_for_all_cores_together() {
    let limits = Limits {
        max_connections: CORES,
        ..limits(LONG, LONG)
    };
    let threads = threads();
    let server = start(threads.cores(), telling_threads(), limits).await;
    let mut sockets = Vec::new();
    for _ in 0..CORES {
        let mut socket = server.connect().await;
        thread_of(&mut socket).await;
        sockets.push(socket);
    }
    // The one that has been idle longest makes room, whichever core it is on.
    let mut next = server.send(REQUEST).await;
    answer(&mut next).await;
    assert_eq!(until_closed(&mut sockets[0]).await, "");
    server.stop().await;
}

#[tokio::test]
async fn stopping_waits_for_all_cores() {
    let (begins, mut begun) = tokio::sync::mpsc::unbounded_channel();
    let (release, released) = tokio::sync::watch::channel(());
    let app = app().route(
        "/slow",
        get(async move || {
            let mut released = released.clone();
            begins.send(()).expect("the test waits");
            released.changed().await.expect("the test still runs");
            "hello"
        }),
    );
    let threads = threads();
    let server = start(threads.cores(), app, limits(LONG, LONG)).await;
    let mut slow = Vec::new();
    for _ in 0..CORES {
        slow.push(
            server
                .send(b"GET /slow HTTP/1.1\r\nHost: test\r\n\r\n")
                .await,
        );
        patiently(begun.recv()).await.expect("the handler runs");
    }
    let address = server.address;
    let stopping = tokio::spawn(server.stop());
    // From then on its connections know that it stops.
    patiently(async { while TcpStream::connect(address).await.is_ok() {} }).await;
    release.send_replace(());
    for socket in &mut slow {
        answer(socket).await;
    }
    patiently(stopping).await.expect("it does not panic");
}

#[tokio::test]
async fn a_panic_ends_its_connection_and_no_core() {
    let app = telling_threads().route("/panic", get(async || -> &str { panic!("of a handler") }));
    let threads = threads();
    let server = start(threads.cores(), app, limits(LONG, LONG)).await;
    let mut socket = server.connect().await;
    let thread = thread_of(&mut socket).await;
    socket
        .write_all(b"GET /panic HTTP/1.1\r\nHost: test\r\n\r\n")
        .await
        .expect("the server reads");
    assert_eq!(until_closed(&mut socket).await, "");
    let mut seen = Vec::new();
    let mut sockets = Vec::new();
    for _ in 0..CORES {
        let mut socket = server.connect().await;
        seen.push(thread_of(&mut socket).await);
        sockets.push(socket);
    }
    assert!(seen.contains(&thread), "{seen:?} without {thread}");
    server.stop().await;
}
