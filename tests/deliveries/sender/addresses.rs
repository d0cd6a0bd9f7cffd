//! Hosts with several addresses, some of which lead nowhere, and hosts that move.

use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hookturn::delivery::dialer::Resolve;
use hookturn::delivery::sender::SenderOptions;
use hookturn::delivery::{EgressGuard, Sender};
use hookturn_test::{PATIENCE, RawReceiver};
use tokio::net::{TcpListener, TcpSocket, TcpStream};

use super::attempt::{OK, SHORT, failure, send};

const URL: &str = "http://receiver.test/hook";

/// Names that have whatever addresses a test gives them.
#[derive(Debug, Default)]
struct Names(Mutex<Vec<SocketAddr>>);

#[async_trait::async_trait]
impl Resolve for Names {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        assert_eq!((host, port), ("receiver.test", 80));
        Ok(self.0.lock().expect("not poisoned").clone())
    }
}

fn at(addresses: &[SocketAddr]) -> SenderOptions {
    SenderOptions {
        // Longer than the tests wait.
        connect_timeout: 2 * PATIENCE,
        resolver: Arc::new(Names(Mutex::new(addresses.to_vec()))),
        ..SenderOptions::default()
    }
}

fn sender(options: SenderOptions) -> Sender {
    Sender::with_options(EgressGuard::with_local(), options)
}

/// An address at which no connection comes about, as at one that leads nowhere.
struct Dead {
    address: SocketAddr,
    _full: (tokio::net::TcpListener, TcpStream),
}

impl Dead {
    async fn new() -> Self {
        let socket = TcpSocket::new_v4().expect("a socket");
        let local = SocketAddr::from(([127, 0, 0, 1], 0));
        socket.bind(local).expect("a free port");
        let listener = socket.listen(0).expect("a bound socket");
        let address = listener.local_addr().expect("a bound socket");
        // The one connection that waits to be accepted; for others there is no room.
        let waiting = TcpStream::connect(address).await.expect("room for one");
        Self {
            address,
            _full: (listener, waiting),
        }
    }
}

async fn refusing() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
    listener.local_addr().expect("a bound socket")
}

#[tokio::test]
async fn an_address_that_leads_nowhere_costs_no_attempt() {
    let receiver = RawReceiver::answering(OK).await;
    let dead = [Dead::new().await, Dead::new().await, Dead::new().await];
    let mut addresses: Vec<_> = dead.iter().map(|dead| dead.address).collect();
    addresses.push(refusing().await);
    addresses.push(receiver.address);
    let reply = send(&sender(at(&addresses)), URL).await;
    assert_eq!((reply.status, reply.error), (Some(200), None));
    assert!(
        reply.duration < Duration::from_secs(5),
        "{:?}",
        reply.duration
    );
}

#[tokio::test]
async fn an_address_that_refuses_is_passed_at_once() {
    let receiver = RawReceiver::answering(OK).await;
    let mut addresses = Vec::new();
    for _ in 0..7 {
        addresses.push(refusing().await);
    }
    addresses.push(receiver.address);
    let reply = send(&sender(at(&addresses)), URL).await;
    assert_eq!((reply.status, reply.error), (Some(200), None));
    // Far less than the time for seven addresses that do not answer.
    assert!(
        reply.duration < Duration::from_secs(1),
        "{:?}",
        reply.duration
    );
}

#[tokio::test]
async fn the_last_failure_is_told_when_no_address_works() {
    let dead = Dead::new().await;
    let mut options = at(&[refusing().await, dead.address]);
    options.connect_timeout = SHORT;
    assert_eq!(failure(&sender(options), URL).await, "connection timed out");
    assert_eq!(failure(&sender(at(&[])), URL).await, "host not found");
}

#[tokio::test]
async fn no_more_than_eight_addresses_are_dialled() {
    let receiver = RawReceiver::answering(OK).await;
    let mut addresses = Vec::new();
    for _ in 0..8 {
        addresses.push(refusing().await);
    }
    addresses.push(receiver.address);
    let error = failure(&sender(at(&addresses)), URL).await;
    assert_eq!(error, "connection refused");
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn the_guard_is_asked_for_each_address() {
    let receiver = RawReceiver::answering(OK).await;
    let port = receiver.address.port();
    let closed = [
        "169.254.169.254",
        "::ffff:169.254.169.254",
        "0.0.0.0",
        "fe80::1",
    ];
    let mut addresses: Vec<_> = closed
        .iter()
        .map(|address| SocketAddr::new(address.parse().expect("an address"), port))
        .collect();
    let error = failure(&sender(at(&addresses)), URL).await;
    assert_eq!(error, "address not allowed: link-local");
    // Closed ones are not dialled, so they do not count.
    addresses.extend((1..=10).map(|last| SocketAddr::from(([169, 254, 0, last], port))));
    let mapped = "::ffff:127.0.0.1".parse().expect("an address");
    addresses.push(SocketAddr::new(mapped, port));
    assert_eq!(send(&sender(at(&addresses)), URL).await.status, Some(200));
    let guarded = Sender::with_options(EgressGuard::public_only(), at(&addresses));
    let error = failure(&guarded, URL).await;
    assert_eq!(error, "address not allowed: link-local");
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_name_that_moved_is_followed_when_its_connection_is_old() {
    for (connection_life, requests) in [(Duration::ZERO, [1, 1]), (PATIENCE, [2, 0])] {
        let (old, new) = (
            RawReceiver::answering(OK).await,
            RawReceiver::answering(OK).await,
        );
        let names = Arc::new(Names(Mutex::new(vec![old.address])));
        let sender = sender(SenderOptions {
            connection_life,
            resolver: Arc::clone(&names) as Arc<dyn Resolve>,
            ..SenderOptions::default()
        });
        assert_eq!(send(&sender, URL).await.status, Some(200));
        *names.0.lock().expect("not poisoned") = vec![new.address];
        assert_eq!(send(&sender, URL).await.status, Some(200));
        assert_eq!([old.requests().len(), new.requests().len()], requests);
    }
}
