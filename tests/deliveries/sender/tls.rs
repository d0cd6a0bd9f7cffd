//! TLS: whom the sender trusts, and how failures are told.

use std::sync::Arc;

use hookturn::delivery::sender::SenderOptions;
use hookturn::delivery::{EgressGuard, Sender};
use hookturn_test::{RawReceiver, read_request};
use rcgen::{CertificateParams, CertifiedKey, KeyPair, date_time_ymd};
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::version::TLS13;
use rustls::{RootCertStore, ServerConfig};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::TlsAcceptor;

use super::attempt::{OK, failure, hasty_sender, send, sender};

type Identity = CertifiedKey<KeyPair>;

fn identity(name: &str) -> Identity {
    rcgen::generate_simple_self_signed([name.to_owned()]).expect("a certificate")
}

fn expired_identity() -> Identity {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(2020, 1, 1);
    params.not_after = date_time_ymd(2021, 1, 1);
    let signing_key = KeyPair::generate().expect("a key");
    let cert = params.self_signed(&signing_key).expect("a certificate");
    CertifiedKey { cert, signing_key }
}

/// A receiver that is content, over TLS 1.3 with this certificate.
async fn receiver(identity: &Identity) -> RawReceiver {
    let key = PrivateKeyDer::Pkcs8(identity.signing_key.serialize_der().into());
    let config = ServerConfig::builder_with_provider(ring::default_provider().into())
        .with_protocol_versions(&[&TLS13])
        .expect("ring has ciphers for it")
        .with_no_client_auth()
        .with_single_cert(vec![identity.cert.der().clone()], key)
        .expect("a certificate and its key");
    let acceptor = TlsAcceptor::from(Arc::new(config));
    RawReceiver::start(move |connection| {
        let acceptor = acceptor.clone();
        async move {
            let Ok(mut socket) = acceptor.accept(connection.socket).await else {
                return;
            };
            while read_request(&mut socket).await.is_some() {
                let _ = socket.write_all(OK).await;
            }
        }
    })
    .await
}

/// A sender that trusts nobody but `root`.
fn trusting(root: &CertificateDer<'static>) -> Sender {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).expect("a certificate");
    let options = SenderOptions {
        roots,
        ..SenderOptions::default()
    };
    Sender::with_options(EgressGuard::with_local(), options)
}

fn url(host: &str, receiver: &RawReceiver) -> String {
    format!("https://{host}:{}/hook", receiver.address.port())
}

#[tokio::test]
async fn a_trusted_receiver_gets_all_attempts_over_one_connection() {
    let identity = identity("localhost");
    let receiver = receiver(&identity).await;
    let sender = trusting(identity.cert.der());
    for _ in 0..5 {
        let reply = send(&sender, &url("localhost", &receiver)).await;
        assert_eq!((reply.status, reply.error), (Some(200), None));
    }
    assert_eq!(receiver.connections(), 1);
}

#[tokio::test]
async fn a_receiver_with_an_address_for_a_name_can_be_trusted_too() {
    let identity = identity("127.0.0.1");
    let receiver = receiver(&identity).await;
    let sender = trusting(identity.cert.der());
    let reply = send(&sender, &url("127.0.0.1", &receiver)).await;
    assert_eq!((reply.status, reply.error), (Some(200), None));
}

#[tokio::test]
async fn a_receiver_that_cannot_be_trusted_is_told_why() {
    let identity = identity("localhost");
    let honest = receiver(&identity).await;
    let stranger = failure(&sender(), &url("localhost", &honest)).await;
    assert_eq!(stranger, "tls: certificate not trusted");

    let trusting_it = trusting(identity.cert.der());
    let misnamed = failure(&trusting_it, &url("127.0.0.1", &honest)).await;
    assert_eq!(misnamed, "tls: certificate for another name");

    let identity = expired_identity();
    let expired = receiver(&identity).await;
    let expired = failure(&trusting(identity.cert.der()), &url("localhost", &expired)).await;
    assert_eq!(expired, "tls: certificate expired");
}

#[tokio::test]
async fn a_receiver_without_tls_is_told_so() {
    let plain = RawReceiver::start(|mut connection| async move {
        connection.say(b"HTTP/1.1 400 Bad Request\r\n\r\n").await;
        connection.closed().await;
    })
    .await;
    let error = failure(&sender(), &url("localhost", &plain)).await;
    assert_eq!(error, "tls: malformed message");

    let mute = RawReceiver::start(|mut connection| async move { connection.closed().await }).await;
    let error = failure(&hasty_sender(), &url("localhost", &mute)).await;
    assert!(error.ends_with("timed out"), "{error}");

    let closing = RawReceiver::start(|mut connection| async move {
        let mut hello = [0; 1];
        let _ = tokio::io::AsyncReadExt::read(&mut connection.socket, &mut hello).await;
        let _ = connection.socket.shutdown().await;
        connection.closed().await;
    })
    .await;
    let error = failure(&sender(), &url("localhost", &closing)).await;
    assert_eq!(error, "tls: connection closed in the handshake");
}
