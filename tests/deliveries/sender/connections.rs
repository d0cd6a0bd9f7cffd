//! What becomes of connections, and of attempts when they break.

use std::time::Duration;

use hookturn::delivery::sender::SenderOptions;
use hookturn::delivery::{EgressGuard, Sender};
use hookturn_test::{PATIENCE, RawReceiver, patiently};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::sync::watch;

use super::attempt::{OK, failure, hasty_sender, send, sender, sender_with};

/// Makes attempts until the receiver has seen three connections, all with the status 200.
async fn assert_new_connections(receiver: &RawReceiver) {
    let sender = sender();
    patiently(async {
        while receiver.connections() < 3 {
            assert_eq!(send(&sender, &receiver.url()).await.status, Some(200));
        }
    })
    .await;
}

#[tokio::test]
async fn a_connection_carries_many_attempts() {
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n";
    let empty = "HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n";
    let longest = format!(
        "HTTP/1.1 200 OK\r\nContent-Length: 16384\r\n\r\n{}",
        "x".repeat(16384)
    );
    for answer in [OK, chunked.as_bytes(), empty.as_bytes(), longest.as_bytes()] {
        let receiver = RawReceiver::answering(answer).await;
        let sender = sender();
        for _ in 0..10 {
            assert!(
                send(&sender.clone(), &receiver.url())
                    .await
                    .status
                    .is_some()
            );
        }
        assert_eq!(receiver.connections(), 1);
    }
}

#[tokio::test]
async fn too_long_a_body_costs_the_connection_and_nothing_else() {
    // Much too long: where the rest is at hand already, hyper takes it and keeps the connection.
    let body = "x".repeat(1 << 20);
    let declared = format!("HTTP/1.1 200 OK\r\nContent-Length: 1048576\r\n\r\n{body}");
    let chunked = format!(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n100000\r\n{body}\r\n0\r\n\r\n"
    );
    for answer in [declared, chunked] {
        assert_new_connections(&RawReceiver::answering(answer).await).await;
    }
}

#[tokio::test]
async fn an_answer_without_end_is_cut_off() {
    let receiver = RawReceiver::start(|mut connection| async move {
        connection.request().await;
        connection.say(b"HTTP/1.1 200 OK\r\n\r\n").await;
        while connection.socket.write_all(&[b'x'; 1024]).await.is_ok() {}
    })
    .await;
    assert_new_connections(&receiver).await;
}

/// A receiver whose answers have a head and never a body. Counts the connections that are open.
async fn receiver_without_bodies(head: &'static [u8], open: watch::Sender<usize>) -> RawReceiver {
    RawReceiver::start(move |mut connection| {
        let open = open.clone();
        async move {
            open.send_modify(|count| *count += 1);
            connection.request().await;
            connection.say(head).await;
            connection.closed().await;
            open.send_modify(|count| *count -= 1);
        }
    })
    .await
}

#[tokio::test]
async fn the_head_of_an_answer_ends_the_attempt() {
    for (head, status) in [
        (&b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe"[..], 200),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n8\r\naccepted\r\n",
            200,
        ),
        (b"HTTP/1.1 202 Accepted\r\n\r\n", 202),
        (b"HTTP/1.1 410 Gone\r\nContent-Length: 5\r\n\r\n", 410),
    ] {
        let (open, opened) = watch::channel(0);
        let receiver = receiver_without_bodies(head, open).await;
        // Longer than the test waits: no attempt may wait for a body.
        let sender = sender_with(2 * PATIENCE);
        for connections in 1..=20 {
            let reply = send(&sender, &receiver.url()).await;
            assert_eq!((reply.status, reply.error), (Some(status), None));
            assert_eq!(receiver.connections(), connections);
        }
        assert_eq!(*opened.borrow(), 20, "bodies are waited for aside");
    }
}

#[tokio::test]
async fn a_body_that_does_not_come_costs_its_connection() {
    let (open, mut opened) = watch::channel(0);
    let receiver = receiver_without_bodies(b"HTTP/1.1 200 OK\r\n\r\n", open).await;
    let sender = hasty_sender();
    for _ in 0..3 {
        assert_eq!(send(&sender, &receiver.url()).await.status, Some(200));
    }
    let closed = opened.wait_for(|open| *open == 0);
    patiently(closed).await.expect("the receiver lives");
}

#[tokio::test]
async fn bodies_that_are_waited_for_are_bounded_in_number() {
    let (open, opened) = watch::channel(0);
    let receiver = receiver_without_bodies(b"HTTP/1.1 200 OK\r\n\r\n", open).await;
    let sender = sender();
    let mut most = 0;
    for _ in 0..20 {
        let attempts = (0..20).map(|_| {
            let (sender, url) = (sender.clone(), receiver.url());
            tokio::spawn(async move { send(&sender, &url).await.status })
        });
        for attempt in attempts.collect::<Vec<_>>() {
            assert_eq!(attempt.await.expect("no panic"), Some(200));
        }
        most = most.max(*opened.borrow());
    }
    // 256, those of the last attempts, and a few whose closing the receiver has not seen yet.
    assert!(most <= 320, "{most} connections wait for a body");
}

#[tokio::test]
async fn a_body_that_breaks_off_does_not_change_the_outcome() {
    for said in [
        "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhe",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n",
    ] {
        for reset in [false, true] {
            let receiver = RawReceiver::start(move |mut connection| async move {
                connection.request().await;
                connection.say(said.as_bytes()).await;
                if reset {
                    // This may overtake the head: then there was no status.
                    connection.socket.set_zero_linger().expect("a socket");
                }
            })
            .await;
            let reply = send(&sender(), &receiver.url()).await;
            if reset && reply.status.is_none() {
                assert_eq!(reply.error.as_deref(), Some("connection reset"));
            } else {
                assert_eq!((reply.status, reply.error), (Some(200), None));
            }
        }
    }
}

#[tokio::test]
async fn a_body_that_goes_on_after_its_length_is_not_taken_for_an_answer() {
    let receiver = RawReceiver::start(|mut connection| async move {
        while connection.request().await.is_some() {
            let lie = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok\
                       HTTP/1.1 500 x\r\nContent-Length: 0\r\n\r\n";
            connection.say(lie.as_bytes()).await;
        }
    })
    .await;
    assert_new_connections(&receiver).await;
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer_fails_the_attempt_once() {
    for said in ["", "HTTP/1.1 200 OK\r\nContent-"] {
        for reset in [false, true] {
            let receiver = RawReceiver::start(move |mut connection| async move {
                connection.request().await;
                connection.say(said.as_bytes()).await;
                if reset {
                    connection.socket.set_zero_linger().expect("a socket");
                }
            })
            .await;
            let error = failure(&sender(), &receiver.url()).await;
            let expected = ["connection closed before an answer", "connection reset"];
            assert_eq!(error, expected[usize::from(reset)], "{said:?}");
            assert_eq!(receiver.requests().len(), 1, "a new connection is no race");
        }
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_while_idle_is_replaced() {
    let receiver = RawReceiver::start(|mut connection| async move {
        connection.request().await;
        connection.say(OK).await;
    })
    .await;
    assert_new_connections(&receiver).await;
    assert_eq!(receiver.requests().len(), 3);
}

#[tokio::test]
async fn a_request_that_met_the_closing_of_its_idle_connection_is_sent_again() {
    for reset in [false, true] {
        let receiver = RawReceiver::start(move |mut connection| async move {
            connection.request().await;
            connection.say(OK).await;
            if connection.number == 0 {
                connection.request().await;
                if reset {
                    connection.socket.set_zero_linger().expect("a socket");
                }
            } else {
                connection.closed().await;
            }
        })
        .await;
        let sender = sender();
        for _ in 0..2 {
            assert_eq!(send(&sender, &receiver.url()).await.status, Some(200));
        }
        assert_eq!((receiver.connections(), receiver.requests().len()), (2, 3));
    }
}

#[tokio::test]
async fn a_request_that_met_the_time_out_of_its_idle_connection_is_sent_again() {
    for farewell in [
        "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\nContent-Length: 0\r\n\r\n",
        "HTTP/1.0 408 Request Time-out\r\nCache-Control: no-cache\r\nConnection: close\r\n\r\nslow",
        "HTTP/1.0 408 Request Time-out\r\n\r\n",
        "HTTP/1.1 408 x\r\n\r\n",
    ] {
        let receiver = RawReceiver::start(move |mut connection| async move {
            connection.request().await;
            connection.say(OK).await;
            if connection.number < 2 {
                connection.request().await;
                connection.say(farewell.as_bytes()).await;
            }
            connection.closed().await;
        })
        .await;
        let sender = sender();
        let url = receiver.url();
        // Two connections at a time, so that another idle one is at hand when the first ends.
        let (one, other) = tokio::join!(send(&sender, &url), send(&sender, &url));
        assert_eq!((one.status, other.status), (Some(200), Some(200)));
        assert_eq!(send(&sender, &url).await.status, Some(200), "{farewell:?}");
        assert_eq!((receiver.connections(), receiver.requests().len()), (3, 4));
    }
}

#[tokio::test]
async fn a_408_is_an_answer_like_others_on_a_connection_that_goes_on_or_is_new() {
    // Again and again on old and new connections: one repetition, and then it counts.
    let receiver = RawReceiver::start(|mut connection| async move {
        connection.request().await;
        if connection.number == 0 {
            connection.say(OK).await;
            connection.request().await;
        }
        let closing = b"HTTP/1.1 408 x\r\nConnection: close\r\nContent-Length: 0\r\n\r\n";
        connection.say(closing).await;
    })
    .await;
    let sender = sender();
    for (status, requests) in [(200, 1), (408, 3), (408, 4)] {
        let reply = send(&sender, &receiver.url()).await;
        assert_eq!((reply.status, reply.error), (Some(status), None));
        assert_eq!(receiver.requests().len(), requests);
    }

    let staying = RawReceiver::answering("HTTP/1.1 408 x\r\nContent-Length: 0\r\n\r\n").await;
    for requests in 1..=3 {
        assert_eq!(send(&sender, &staying.url()).await.status, Some(408));
        assert_eq!(staying.requests().len(), requests);
    }
}

#[tokio::test]
async fn a_connection_that_is_too_old_begins_no_request() {
    let receiver = RawReceiver::answering(OK).await;
    let options = SenderOptions {
        connection_life: Duration::ZERO,
        ..SenderOptions::default()
    };
    let sender = Sender::with_options(EgressGuard::with_local(), options);
    for count in 1..=5 {
        assert_eq!(send(&sender, &receiver.url()).await.status, Some(200));
        assert_eq!(receiver.connections(), count);
        assert_eq!(receiver.requests().len(), count, "each was sent once");
    }
}

#[tokio::test]
async fn a_closed_port_is_told_so() {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    let address = listener.local_addr().expect("a bound socket");
    drop(listener);
    let error = failure(&sender(), &format!("http://{address}/")).await;
    assert_eq!(error, "connection refused");
}

#[tokio::test]
async fn a_name_that_is_none_is_not_found() {
    // A label of more than 63 bytes (RFC 1035, section 2.3.4): no resolver asks the network for it.
    let url = format!("http://{}.invalid/", "x".repeat(64));
    assert_eq!(failure(&sender(), &url).await, "host not found");
}

#[tokio::test]
async fn many_attempts_at_a_time_all_arrive() {
    let receiver = RawReceiver::answering(OK).await;
    let sender = sender();
    let attempts = (0..200).map(|_| {
        let (sender, url) = (sender.clone(), receiver.url());
        tokio::spawn(async move { send(&sender, &url).await.status })
    });
    for attempt in attempts.collect::<Vec<_>>() {
        assert_eq!(attempt.await.expect("no panic"), Some(200));
    }
    assert_eq!(receiver.requests().len(), 200);
}

/// Whether a connection to this port of this machine is open for sending, as the system lists it.
fn is_open_to(port: u16) -> bool {
    const ESTABLISHED: &str = "01";
    let connections = std::fs::read_to_string("/proc/net/tcp").expect("Linux lists them");
    connections.lines().skip(1).any(|line| {
        let mut fields = line.split_whitespace().skip(2);
        let peer = fields.next().and_then(|peer| peer.rsplit_once(':'));
        let is_it = peer.is_some_and(|(_, hex)| u16::from_str_radix(hex, 16) == Ok(port));
        is_it && fields.next() == Some(ESTABLISHED)
    })
}

/// It answers early, or never, and does not read the rest of a request that no buffer holds.
#[tokio::test]
async fn a_receiver_that_stops_reading_costs_its_connection_in_time() {
    for answers in [true, false] {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let port = listener.local_addr().expect("it is bound").port();
        let url = format!("http://127.0.0.1:{port}/");
        let sender = sender_with(Duration::from_millis(300));
        let attempt = tokio::spawn(async move {
            let body = bytes::Bytes::from(vec![b'x'; 64 << 20]);
            let wall = hookturn::domain::Timestamp::from_millis(0);
            let headers = hyper::HeaderMap::new();
            sender.send(&url, headers, body, wall).await
        });
        let (mut socket, _) = patiently(listener.accept()).await.expect("a connection");
        if answers {
            socket.write_all(OK).await.expect("it is open");
        }
        let reply = patiently(attempt).await.expect("it does not panic");
        assert_eq!(reply.status, answers.then_some(200));
        patiently(async {
            while is_open_to(port) {
                hookturn::clock::real_sleep(Duration::from_millis(5)).await;
            }
        })
        .await;
        drop(socket);
    }
}
