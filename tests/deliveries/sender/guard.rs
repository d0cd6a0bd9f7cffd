//! Addresses that are closed are not dialled, however they are written.

use hookturn::delivery::{EgressGuard, Sender};
use hookturn_test::RawReceiver;

use super::attempt::{OK, failure, send, sender};

#[tokio::test]
async fn no_spelling_of_loopback_goes_around_the_guard() {
    let receiver = RawReceiver::answering(OK).await;
    let port = receiver.address.port();
    let guarded = Sender::new(EgressGuard::public_only());
    for host in [
        "127.0.0.1",
        "127.1",
        "0x7f.1",
        "0177.0.0.1",
        "2130706433",
        "0x7f000001",
        "127.0.0.1.",
        "%31%32%37.0.0.1",
        "１２７.０.０.１",
        "127。0。0。1",
        "[::1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[64:ff9b::127.0.0.1]",
        "localhost",
        "LOCALHOST",
        "localhost.",
        "user@127.0.0.1",
    ] {
        for scheme in ["http", "https"] {
            let error = failure(&guarded, &format!("{scheme}://{host}:{port}/hook")).await;
            // Some resolvers do not know `localhost.`, with its dot; none may give it another
            // address.
            let expected = ["address not allowed: loopback", "host not found"];
            let any = usize::from(host == "localhost.");
            assert!(expected[..=any].contains(&&*error), "{host}: {error}");
        }
    }
    // A connection that came before this one would have been accepted before it.
    send(&sender(), &receiver.url()).await;
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn closed_addresses_are_told_by_their_class() {
    for (host, class) in [
        ("10.0.0.1", "private"),
        ("[fd00::1]", "private"),
        ("100.64.0.1", "shared address space"),
        ("192.0.2.1", "documentation"),
    ] {
        let guarded = Sender::new(EgressGuard::public_only());
        let error = failure(&guarded, &format!("http://{host}/")).await;
        assert_eq!(error, format!("address not allowed: {class}"));
    }
}

#[tokio::test]
async fn metadata_services_stay_closed_to_dev() {
    for (host, class) in [
        ("169.254.169.254", "link-local"),
        ("0xa9fea9fe", "link-local"),
        ("2852039166", "link-local"),
        ("[::ffff:169.254.169.254]", "link-local"),
        ("[64:ff9b::a9fe:a9fe]", "link-local"),
        ("[fe80::1]", "link-local"),
        ("[fd00:ec2::254]", "cloud metadata"),
        ("168.63.129.16", "cloud metadata"),
        ("0.0.0.0", "unspecified"),
        ("0", "unspecified"),
        ("[::]", "unspecified"),
        ("224.0.0.1", "multicast"),
        ("255.255.255.255", "broadcast"),
    ] {
        let error = failure(&sender(), &format!("http://{host}/latest/meta-data/")).await;
        assert_eq!(error, format!("address not allowed: {class}"), "{host}");
    }
}

#[tokio::test]
async fn dev_reaches_loopback_by_name_and_by_every_spelling() {
    let receiver = RawReceiver::answering(OK).await;
    let port = receiver.address.port();
    // Where `localhost` is ::1 first, nobody listens there, and the next address is tried.
    for host in ["localhost", "2130706433", "[::ffff:127.0.0.1]"] {
        let reply = send(&sender(), &format!("http://{host}:{port}/")).await;
        assert_eq!(reply.status, Some(200), "{host}");
    }
}
