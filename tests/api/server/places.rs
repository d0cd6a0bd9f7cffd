//! Who gets a place when there are too many connections, and who must read its answers.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Extension;
use axum::extract::Path;
use axum::routing::any;
use hookturn::api::auth::Authenticated;
use hookturn::domain::TenantId;
use hookturn_test::until;
use tokio::net::TcpSocket;

use super::*;
use crate::hostile::frames::{
    END_HEADERS, END_STREAM, HEADERS, PING, SETTINGS, WINDOW_UPDATE, frame, head,
};

/// Answers as if the request had a key of this tenant.
fn with_tenants() -> Router {
    let tenant = |Path(name): Path<String>| async move {
        (Extension(Authenticated(TenantId::new(&name))), "hello")
    };
    app().route("/as/{tenant}", get(tenant))
}

fn request_as(tenant: &str) -> Vec<u8> {
    format!("GET /as/{tenant} HTTP/1.1\r\nHost: test\r\n\r\n").into_bytes()
}

/// Opens a connection that the server has certainly accepted.
async fn served(server: &Serving, request: &[u8]) -> TcpStream {
    let mut socket = server.send(request).await;
    answer(&mut socket).await;
    socket
}

async fn is_open(socket: &mut TcpStream, request: &[u8]) -> bool {
    let mut byte = [0];
    if socket.write_all(request).await.is_err() {
        return false;
    }
    let is_answered = matches!(patiently(socket.peek(&mut byte)).await, Ok(1));
    if is_answered {
        answer(socket).await;
    }
    is_answered
}

fn places(max_connections: usize, per_address: Option<usize>) -> Limits {
    Limits {
        max_connections,
        max_connections_per_address: per_address,
        ..limits(LONG, LONG)
    }
}

#[tokio::test]
async fn the_connection_that_has_been_idle_longest_makes_room() {
    let server = Serving::start(app(), places(4, None)).await;
    let mut sockets = Vec::new();
    for _ in 0..3 {
        sockets.push(served(&server, REQUEST).await);
    }
    // The first is used again, so the second has been idle longest.
    assert!(is_open(&mut sockets[0], REQUEST).await);
    let mut new = served(&server, REQUEST).await;
    assert_eq!(until_closed(&mut sockets[1]).await, "");
    for socket in [&mut new, &mut sockets[0]] {
        assert!(is_open(socket, REQUEST).await);
    }
    server.stop().await;
}

#[tokio::test]
async fn connections_without_a_key_take_no_place_of_those_with_one() {
    let server = Serving::start(with_tenants(), places(8, None)).await;
    let mut keyed = Vec::new();
    for tenant in ["a", "b"] {
        keyed.push((tenant, served(&server, &request_as(tenant)).await));
    }
    // Three quarters are theirs at most, however many come.
    let mut keyless = Vec::new();
    for _ in 0..50 {
        keyless.push(served(&server, REQUEST).await);
    }
    for (tenant, socket) in &mut keyed {
        assert!(is_open(socket, &request_as(tenant)).await);
    }
    let mut open = 0;
    for socket in &mut keyless {
        open += usize::from(is_open(socket, REQUEST).await);
    }
    assert!(open <= 6, "{open}");
    server.stop().await;
}

#[tokio::test]
async fn one_tenant_gets_half_of_the_places_and_the_others_still_find_one() {
    let server = Serving::start(with_tenants(), places(8, None)).await;
    let mut sockets = Vec::new();
    for _ in 0..20 {
        sockets.push(served(&server, &request_as("greedy")).await);
    }
    let mut other = served(&server, &request_as("other")).await;
    let mut open = 0;
    for socket in &mut sockets {
        open += usize::from(is_open(socket, &request_as("greedy")).await);
    }
    assert_eq!(open, 4);
    assert!(is_open(&mut other, &request_as("other")).await);
    // If tenants have all places, an idle connection makes room for a health probe.
    for tenant in ["c", "d", "e", "f"] {
        sockets.push(served(&server, &request_as(tenant)).await);
        sockets.push(served(&server, &request_as(tenant)).await);
    }
    served(&server, REQUEST).await;
    server.stop().await;
}

#[tokio::test]
async fn requests_that_take_long_keep_no_one_out() {
    let (release, released) = tokio::sync::watch::channel(false);
    let hold = move || {
        let mut released = released.clone();
        async move {
            let _ = released.wait_for(|is| *is).await;
            "hello"
        }
    };
    let app = with_tenants().route("/hold", get(hold));
    let server = Serving::start(app, places(16, None)).await;
    let mut busy = Vec::new();
    for tenant in ["busy"; 8] {
        let mut socket = served(&server, &request_as(tenant)).await;
        let request = b"GET /hold HTTP/1.1\r\nHost: test\r\n\r\n";
        socket.write_all(request).await.expect("it is open");
        busy.push(socket);
    }
    let mut idle = Vec::new();
    for tenant in ["idle"; 7] {
        idle.push(served(&server, &request_as(tenant)).await);
    }
    // All places for connections with a key are taken. Health probes still find one, and the idle
    // tenant makes room for another, although the busy one has more.
    served(&server, REQUEST).await;
    let mut other = served(&server, &request_as("other")).await;
    served(&server, REQUEST).await;
    assert_eq!(until_closed(&mut idle[0]).await, "");
    for socket in &mut idle[1..] {
        assert!(is_open(socket, &request_as("idle")).await);
    }
    assert!(is_open(&mut other, &request_as("other")).await);
    // A tenant that has half of the places gets no more of them, and loses no request.
    let mut further = served(&server, &request_as("busy")).await;
    assert!(is_open(&mut further, &request_as("busy")).await);
    release.send_replace(true);
    for socket in &mut busy {
        answer(socket).await;
    }
    server.stop().await;
}

#[tokio::test]
async fn one_address_gets_its_share_of_the_connections_without_a_key() {
    let server = Serving::start(with_tenants(), places(100, Some(3))).await;
    let mut keyed = served(&server, &request_as("a")).await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(served(&server, REQUEST).await);
    }
    let mut open = 0;
    for socket in &mut sockets {
        open += usize::from(is_open(socket, REQUEST).await);
    }
    assert_eq!(open, 3);
    assert!(is_open(&mut keyed, &request_as("a")).await);
    server.stop().await;
}

#[tokio::test]
async fn an_address_that_opens_connections_without_end_ends_only_its_own() {
    let server = Serving::start(app(), places(8, None)).await;
    let mut probe = served(&server, REQUEST).await;
    let mut others = Vec::new();
    for _ in 0..50 {
        let socket = TcpSocket::new_v4().expect("a socket");
        let other = "127.0.0.2:0".parse().expect("an address");
        socket.bind(other).expect("another address of loopback");
        let mut socket = socket.connect(server.address).await.expect("a connection");
        assert!(is_open(&mut socket, REQUEST).await);
        others.push(socket);
    }
    // It has been idle longest, but the other address has more.
    assert!(is_open(&mut probe, REQUEST).await);
    server.stop().await;
}

/// How many requests of a client begin before another client is answered, when it sends these
/// bytes, which ask for `/count` a hundred times, just before the other one asks.
async fn begun_before_another(bytes: &[u8]) -> usize {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    let handler = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { "counted" }
    };
    let server = Serving::start(app().route("/count", any(handler)), limits(LONG, LONG)).await;
    let greedy = server.connect().await;
    let mut other = served(&server, REQUEST).await;
    // The server runs in this thread, so it sees both at once.
    assert_eq!(greedy.try_write(bytes).expect("room"), bytes.len());
    assert_eq!(other.try_write(REQUEST).expect("room"), REQUEST.len());
    answer(&mut other).await;
    let begun = count.load(Ordering::SeqCst);
    until(async || count.load(Ordering::SeqCst) == 100).await;
    server.stop().await;
    begun
}

#[tokio::test]
async fn requests_that_come_at_once_on_one_connection_take_turns_with_others() {
    let http1 = b"GET /count HTTP/1.1\r\nHost: test\r\n\r\n".repeat(100);
    let begun = begun_before_another(&http1).await;
    assert!(begun <= 10, "{begun}");

    let mut http2 = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    http2.extend(frame(SETTINGS, 0, 0, &[]));
    for n in 0..100 {
        let request = head("/count", &[]);
        http2.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * n + 1,
            &request,
        ));
    }
    let begun = begun_before_another(&http2).await;
    assert!(begun <= 10, "{begun}");
}

/// Settings of a client that takes no bytes of answers.
fn no_window() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[0, 4, 0, 0, 0, 0]));
    bytes
}

#[tokio::test]
async fn an_http2_peer_that_opens_no_window_is_cut_whatever_else_it_sends() {
    let app = Router::new().route("/", any(|| async { "hello" }));
    let server = Serving::start(app, limits(LONG, IDLE)).await;
    let begun = Instant::now();
    let mut socket = server.send(&no_window()).await;
    let request = frame(HEADERS, END_STREAM | END_HEADERS, 1, &head("/", &[]));
    socket.write_all(&request).await.expect("it is open");
    let mut said = Vec::new();
    let mut stream = 3;
    patiently(async {
        loop {
            let mut chunk = [0; 4096];
            match tokio::time::timeout(IDLE / 10, socket.read(&mut chunk)).await {
                Ok(Ok(0) | Err(_)) => break,
                Ok(Ok(read)) => said.extend_from_slice(&chunk[..read]),
                Err(_) => {
                    // Neither pings nor further requests put the end off.
                    let mut more = frame(PING, 0, 0, b"whatever");
                    let next = frame(HEADERS, END_STREAM | END_HEADERS, stream, &head("/", &[]));
                    more.extend(next);
                    stream += 2;
                    let _ = socket.write_all(&more).await;
                }
            }
        }
    })
    .await;
    assert!(begun.elapsed() >= IDLE);
    server.stop().await;
}

#[tokio::test]
async fn requests_wait_while_their_peer_does_not_read() {
    const BODY: usize = 256 * 1024;
    static BEGUN: AtomicUsize = AtomicUsize::new(0);
    let large = || async {
        BEGUN.fetch_add(1, Ordering::SeqCst);
        Bytes::from(vec![b'x'; BODY])
    };
    let app = Router::new().route("/", get(large));
    let server = Serving::start(app, limits(LONG, IDLE)).await;
    let mut socket = server.send(&REQUEST.repeat(2000)).await;
    // It is cut in the end, and had by far not all of its requests served: at most what the system
    // takes for it.
    let mut byte = [0];
    patiently(async {
        while let Ok(1..) = socket.peek(&mut byte).await {
            if socket.write_all(REQUEST).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
    })
    .await;
    let begun = BEGUN.load(Ordering::SeqCst);
    assert!((1..200).contains(&begun), "{begun}");
    server.stop().await;
}

#[tokio::test]
async fn requests_wait_while_their_peer_does_not_read_the_end_of_answers() {
    const BODY: usize = 256 * 1024;
    let begun = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&begun);
    let large = move || {
        counted.fetch_add(1, Ordering::SeqCst);
        async { Bytes::from(vec![b'x'; BODY]) }
    };
    let app = Router::new().route("/", any(large));
    let server = Serving::start(app, limits(LONG, IDLE)).await;
    // The windows have room for all of each answer but its last byte.
    let window = u32::try_from(BODY - 1).expect("a small window");
    let settings = [&[0, 4][..], &window.to_be_bytes()].concat();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &settings));
    let of_connection = (1_u32 << 30).to_be_bytes();
    bytes.extend(frame(WINDOW_UPDATE, 0, 0, &of_connection));
    for n in 0..100 {
        let request = head("/", &[]);
        bytes.extend(frame(
            HEADERS,
            END_STREAM | END_HEADERS,
            2 * n + 1,
            &request,
        ));
    }
    let mut socket = server.send(&bytes).await;
    // It is cut in the end, since it does not take what it asked for.
    let mut read = Vec::new();
    let _ = patiently(socket.read_to_end(&mut read)).await;
    let begun = begun.load(Ordering::SeqCst);
    assert!((1..=6).contains(&begun), "{begun}");
    server.stop().await;
}

#[tokio::test]
async fn answers_that_nobody_reads_have_a_limit_in_all() {
    const BODY: usize = 16 << 20;
    static BODIES: [u8; BODY] = [b'x'; BODY];
    let app = app().route("/large", get(|| async { Bytes::from_static(&BODIES) }));
    let server = Serving::start(app, limits(LONG, LONG)).await;
    let mut sockets = Vec::new();
    for _ in 0..16 {
        let request = b"GET /large HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n";
        let socket = server.send(request).await;
        // It has begun.
        let mut byte = [0];
        let _ = patiently(socket.peek(&mut byte)).await;
        sockets.push(socket);
    }
    // Who reads nothing never gets to the end of some of them, although no deadline is over. A
    // client that reads is served meanwhile.
    assert_serves(&server).await;
    let mut lengths = Vec::new();
    for socket in &mut sockets {
        lengths.push(until_closed(socket).await.len());
    }
    let whole = lengths.iter().filter(|length| **length > BODY).count();
    assert!((1..=4).contains(&whole), "{lengths:?}");
    server.stop().await;
}
