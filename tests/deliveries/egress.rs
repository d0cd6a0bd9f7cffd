//! Deliveries go to public addresses alone, unless the server is for development.

use std::net::TcpListener;

use hookturn::delivery::{EgressGuard, Sender};
use hookturn::store::StoreLimits;
use hookturn_test::Receiver;
use serde_json::{Value, json};

use crate::stage::{Stage, attempts};

/// What is recorded of a delivery to `url`.
async fn recorded(stage: &Stage, url: &str) -> Value {
    let endpoint = stage.hook_at(url, &[]).await;
    stage.publish("a").await;
    assert_eq!(stage.settle().await, 1);
    let delivery = stage.only_delivery(&endpoint).await;
    assert_eq!(delivery["status"], "pending");
    stage.remove(&endpoint).await;
    attempts(&delivery)[0].clone()
}

#[tokio::test]
async fn without_dev_no_spelling_of_this_machine_is_connected_to() {
    let sender = Sender::new(EgressGuard::public_only());
    let stage = Stage::sending(StoreLimits::default(), sender).await;
    let receiver = Receiver::start().await;
    let port = receiver.port;
    for host in [
        "127.0.0.1",
        "127.0.0.2",
        "localhost",
        "LOCALHOST",
        "[::1]",
        "2130706433",
        "0x7f000001",
        "0x7f.1",
        "0177.0.0.1",
        "127.1",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::7f00:1]",
    ] {
        let attempt = recorded(&stage, &format!("http://{host}:{port}/")).await;
        assert_eq!(attempt["status_code"], Value::Null, "{host}");
        assert_eq!(attempt["error"], "address not allowed: loopback", "{host}");
        // It was made and signed all the same, and counts.
        assert_eq!(attempt["signed_by"].as_array().map(Vec::len), Some(1));
    }
    for (host, class) in [
        ("0.0.0.0", "unspecified"),
        ("[::]", "unspecified"),
        ("10.0.0.1", "private"),
        ("192.168.1.1", "private"),
        ("169.254.169.254", "link-local"),
        ("[::127.0.0.1]", "transition"),
        ("[fe80::1]", "link-local"),
        ("[fd00:ec2::254]", "cloud metadata"),
    ] {
        let attempt = recorded(&stage, &format!("http://{host}:{port}/")).await;
        let expected = format!("address not allowed: {class}");
        assert_eq!(attempt["error"], json!(expected), "{host}");
    }
    assert_eq!(receiver.connections(), 0);
}

#[tokio::test]
async fn with_dev_metadata_services_stay_closed() {
    let stage = Stage::start().await;
    for host in ["169.254.169.254", "[::ffff:169.254.169.254]", "2852039166"] {
        let attempt = recorded(&stage, &format!("http://{host}/latest/meta-data/")).await;
        assert_eq!(
            attempt["error"], "address not allowed: link-local",
            "{host}"
        );
    }
    // An IPv6 loopback is open, if this machine has one.
    if let Ok(listener) = TcpListener::bind("[::1]:0") {
        let port = listener.local_addr().expect("bound").port();
        drop(listener);
        let attempt = recorded(&stage, &format!("http://[::1]:{port}/")).await;
        assert_eq!(attempt["error"], "connection refused");
    }
}
