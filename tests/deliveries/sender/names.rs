//! Host names: found, missing, and never answered for.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hookturn::delivery::sender::SenderOptions;
use hookturn::delivery::{EgressGuard, Sender, SystemResolver};
use hookturn_test::{RawReceiver, alone, patiently};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::net::UdpSocket;
use tokio::task::JoinSet;

use super::attempt::{OK, failure, send};

/// Starts a name server (RFC 1035). It knows the address 127.0.0.1 for each name that begins with
/// `known`, and says of names that begin with `missing` that they do not exist. It answers nothing
/// else.
async fn name_server() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").await.expect("a free port");
    let address = socket.local_addr().expect("a bound socket");
    tokio::spawn(async move {
        let mut query = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut query).await {
            if let Some(answer) = answer(&query[..length]) {
                let _ = socket.send_to(&answer, from).await;
            }
        }
    });
    address
}

fn answer(query: &[u8]) -> Option<Vec<u8>> {
    let name = query.get(12..)?;
    let label = name.get(1..)?.get(..usize::from(*name.first()?))?;
    let end = 12 + name.iter().position(|byte| *byte == 0)? + 5;
    let is_address = query.get(end - 4..end - 2)? == [0, 1];
    let is_known = label.starts_with(b"known");
    if !is_known && !label.starts_with(b"missing") {
        return None;
    }
    let has_answer = is_known && is_address;
    let mut answer = query[..2].to_vec();
    answer.extend([0x81, if is_known { 0x80 } else { 0x83 }]);
    answer.extend([0, 1, 0, u8::from(has_answer), 0, 0, 0, 0]);
    answer.extend(&query[12..end]);
    if has_answer {
        answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 127, 0, 0, 1]);
    }
    Some(answer)
}

async fn sender(attempt_timeout: Duration) -> Sender {
    let resolver = SystemResolver::asking(name_server().await).expect("a resolver");
    let options = SenderOptions {
        attempt_timeout,
        resolver: Arc::new(resolver),
        ..SenderOptions::default()
    };
    Sender::with_options(EgressGuard::with_local(), options)
}

#[tokio::test]
async fn a_name_is_found_or_missing_or_not_answered_for() {
    let receiver = RawReceiver::answering(OK).await;
    let sender = sender(Duration::from_secs(15)).await;
    let port = receiver.address.port();
    for host in ["known.test", "known.test.", "localhost", "127.0.0.1"] {
        let reply = send(&sender, &format!("http://{host}:{port}/")).await;
        assert_eq!(reply.status, Some(200), "{host}: {reply:?}");
    }
    let missing = failure(&sender, "http://missing.test/").await;
    assert_eq!(missing, "host not found");
    let silent = failure(&sender, "http://silent.test/").await;
    assert_eq!(silent, "host lookup failed");
}

#[tokio::test]
async fn names_that_nobody_answers_for_delay_no_others() {
    let receiver = RawReceiver::answering(OK).await;
    let sender = sender(Duration::from_secs(15)).await;
    let port = receiver.address.port();
    let mut silent = JoinSet::new();
    for number in 0..300 {
        let sender = sender.clone();
        silent.spawn(async move { send(&sender, &format!("http://silent{number}.test/")).await });
    }
    for number in 0..40 {
        let url = format!("http://known{number}.test:{port}/");
        let reply = patiently(send(&sender, &url)).await;
        assert_eq!(reply.status, Some(200), "{reply:?}");
    }
    assert!(silent.try_join_next().is_none());
    silent.shutdown().await;
}

/// Takes all descriptors of the process.
#[test]
fn an_attempt_without_a_descriptor_is_not_the_receivers_failure() {
    alone(
        "sender::names::an_attempt_without_a_descriptor_is_not_the_receivers_failure",
        without_descriptors,
    );
}

#[tokio::main(flavor = "current_thread")]
async fn without_descriptors() {
    let receiver = RawReceiver::answering(OK).await;
    let port = receiver.address.port();
    let sender = sender(Duration::from_secs(15)).await;
    let few = Rlimit {
        current: Some(256),
        ..getrlimit(Resource::Nofile)
    };
    setrlimit(Resource::Nofile, few).expect("a lower limit");
    let mut all = Vec::new();
    while let Ok(file) = std::fs::File::open("/dev/null") {
        all.push(file);
    }
    for host in ["127.0.0.1", "known.test"] {
        let reply = send(&sender, &format!("http://{host}:{port}/")).await;
        assert!(reply.is_own_fault, "{host}: {reply:?}");
        assert_eq!(reply.status, None);
    }
    drop(all);
    for host in ["127.0.0.1", "known.test"] {
        let reply = send(&sender, &format!("http://{host}:{port}/")).await;
        assert_eq!(reply.status, Some(200), "{host}: {reply:?}");
    }
}
