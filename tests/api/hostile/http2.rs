//! HTTP/2 with prior knowledge: many streams, streams given up, and floods of frames.

use hookturn_test::patiently;
use reqwest::header::AUTHORIZATION;
use tokio::io::AsyncReadExt as _;

use super::client::RawClient;
use super::frames::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, HEADERS, LAST, PING, RST_STREAM, SETTINGS,
    WINDOW_UPDATE, attack, contains, field, frame, head, preface,
};
use super::server::{Hookturn, KEY, LONG, SHORT};

fn bearer() -> String {
    format!("Bearer {KEY}")
}

/// The head of a rotation, with its key.
fn rotation(server: &Hookturn) -> Vec<u8> {
    head(&server.rotation, &[("authorization", &bearer())])
}

#[tokio::test]
async fn five_hundred_rotations_at_once_on_one_connection_are_all_served() {
    let server = Hookturn::start().await;
    let client = reqwest::Client::builder()
        .http2_prior_knowledge()
        .no_proxy()
        .build()
        .expect("a client");
    let url = format!("http://{}{}", server.address, server.rotation);
    let requests: Vec<_> = (0..500)
        .map(|_| {
            let request = client
                .post(&url)
                .header(AUTHORIZATION, bearer())
                .body(r#"{"expire_current_in":0}"#);
            tokio::spawn(request.send())
        })
        .collect();
    for request in requests {
        let answer = patiently(request)
            .await
            .expect("no panic")
            .expect("an answer");
        assert_eq!(
            (answer.status().as_u16(), answer.version()),
            (200, reqwest::Version::HTTP_2)
        );
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn streams_opened_and_given_up_at_once_end_the_connection() {
    let server = Hookturn::start().await;
    let block = rotation(&server);
    let mut bytes = preface();
    for stream in (1..40_000).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &block));
        bytes.extend(frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes()));
    }
    let said = attack(server.connect().await, &bytes).await;
    assert!(
        !contains(&said, LAST),
        "twenty thousand resets were put up with"
    );
    server.still_rotates().await;
}

#[tokio::test]
async fn more_streams_than_are_allowed_are_refused_and_the_allowed_ones_served() {
    let server = Hookturn::start().await;
    let block = rotation(&server);
    let mut bytes = preface();
    // None of them sends its body, so all of them stay open.
    for stream in (1..2000).step_by(2) {
        bytes.extend(frame(HEADERS, END_HEADERS, stream, &block));
    }
    attack(server.connect().await, &bytes).await;
    server.still_rotates().await;
}

#[tokio::test]
async fn a_flood_of_frames_harms_nobody_else() {
    let server = Hookturn::start().await;
    let block = rotation(&server);
    let opened = frame(HEADERS, END_HEADERS, 1, &block);
    let settings: Vec<u8> = (0..300).flat_map(|_| [0, 4, 0, 1, 0, 0]).collect();
    let long = field("x", &"y".repeat(16_000));
    for (first, repeated) in [
        (vec![], frame(PING, 0, 0, b"12345678")),
        (vec![], frame(SETTINGS, 0, 0, &[])),
        (vec![], frame(SETTINGS, 0, 0, &settings)),
        (vec![], frame(WINDOW_UPDATE, 0, 0, &1_u32.to_be_bytes())),
        (
            vec![],
            frame(WINDOW_UPDATE, 0, 0, &0x7fff_ffff_u32.to_be_bytes()),
        ),
        (vec![], frame(2, 0, 1, &[0, 0, 0, 0, 16])),
        (vec![], frame(0xee, 0xff, 7, b"an unknown type")),
        (vec![], frame(RST_STREAM, 0, 1, &[0; 4])),
        (vec![], frame(DATA, 0, 1, b"of no stream")),
        (opened.clone(), frame(DATA, 0, 1, &[])),
        (opened.clone(), frame(DATA, 0, 1, b"x")),
        (opened.clone(), frame(DATA, 8, 1, &[255; 256])),
        (opened.clone(), opened.clone()),
        (frame(HEADERS, 0, 1, &block), frame(CONTINUATION, 0, 1, &[])),
        (
            frame(HEADERS, 0, 1, &block),
            frame(CONTINUATION, 0, 1, &long),
        ),
        (frame(HEADERS, 0, 1, &block), frame(PING, 0, 0, b"12345678")),
    ] {
        let mut bytes = preface();
        bytes.extend(first);
        // At most 4 MiB of it.
        bytes.extend(repeated.repeat((4 << 20) / repeated.len().max(100)));
        attack(server.connect().await, &bytes).await;
        server.still_rotates().await;
    }
}

#[tokio::test]
async fn frames_that_break_the_rules_are_never_served() {
    let server = Hookturn::start().await;
    let key = ("authorization", &*bearer());
    let path = server.rotation.as_str();
    let long = "y".repeat(40_000);
    let with = |fields: &[(&str, &str)]| {
        let block = head(path, &[&[key][..], fields].concat());
        let (first, rest) = block.split_at(block.len().min(16_000));
        let mut bytes = frame(HEADERS, END_STREAM, 1, first);
        for part in rest.chunks(16_000) {
            bytes.extend(frame(CONTINUATION, 0, 1, part));
        }
        bytes.extend(frame(CONTINUATION, END_HEADERS, 1, &[]));
        bytes
    };
    let whole = |block: &[u8]| frame(HEADERS, END_HEADERS | END_STREAM, 1, block);
    for attempt in [
        with(&[("x", &long)]),
        with(&[("X-Upper", "y")]),
        with(&[("connection", "close")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("x", "a\r\nb: c")]),
        with(&[("x", "a\0b")]),
        with(&[("a b", "c")]),
        with(&[("", "c")]),
        with(&[(":path", "/")]),
        with(&[(":unknown", "/")]),
        with(&[("content-length", "5")]),
        with(&[("content-length", "x")]),
        with(&[("te", "gzip")]),
        whole(&head("no-slash", &[key])),
        whole(&head("", &[key])),
        whole(&field(":method", "POST")),
        whole(&[0xff; 100]),
        whole(&[0x3f, 0xff, 0xff, 0xff, 0xff, 0xff]),
        whole(&[]),
        frame(HEADERS, END_HEADERS | END_STREAM, 2, &rotation(&server)),
        frame(HEADERS, END_HEADERS | END_STREAM, 0, &rotation(&server)),
        frame(HEADERS, END_HEADERS | 8, 1, &[255, 0]),
        frame(SETTINGS, 0, 0, &[0; 5]),
        frame(PING, 0, 0, &[0; 5]),
        frame(DATA, 0, 0, &[0; 5]),
        vec![0xff; 1000],
        b"GET / HTTP/1.1\r\nHost: test\r\n\r\n".to_vec(),
    ] {
        let bytes = [preface(), attempt.clone()].concat();
        let said = attack(server.connect().await, &bytes).await;
        let start = &attempt[..attempt.len().min(300)];
        assert!(
            !contains(&said, b"whsec_"),
            "{:?}",
            String::from_utf8_lossy(start)
        );
    }
    // The same request within the rules, so that the above is refused for what it is.
    let sound = [preface(), with(&[("x", "y")])].concat();
    let mut client = server.send(sound).await;
    let said = until_said(&mut client, b"previous_secret_expires_at").await;
    assert!(contains(&said, b"whsec_"));
    server.still_rotates().await;
}

#[tokio::test]
async fn a_body_that_stalls_is_timed_out_and_one_that_is_too_large_is_refused() {
    let server = Hookturn::with(LONG, SHORT).await;
    let opened = frame(HEADERS, END_HEADERS, 1, &rotation(&server));
    let stalled = [preface(), opened.clone(), frame(DATA, 0, 1, b"{")].concat();
    until_said(&mut server.send(stalled).await, b"body_timeout").await;

    let mut client = server.send(preface()).await;
    // The windows that HTTP/2 begins with are narrower than the limit: the server has to widen
    // both.
    until_said(&mut client, &frame(WINDOW_UPDATE, 0, 0, &[0; 4])[..9]).await;
    client.send(frame(SETTINGS, 1, 0, &[])).await;
    client.send(opened).await;
    client
        .send(frame(DATA, 0, 1, &[b' '; 16_000]).repeat(5))
        .await;
    until_said(&mut client, b"body_too_large").await;
    server.still_rotates().await;
}

/// All that the server says, up to bytes that have to come.
async fn until_said(client: &mut RawClient, wanted: &[u8]) -> Vec<u8> {
    let mut said = Vec::new();
    while !contains(&said, wanted) {
        let read = patiently(client.socket.read_buf(&mut said)).await;
        let wanted = String::from_utf8_lossy(wanted);
        assert_ne!(read.expect("it is said"), 0, "closed before {wanted}");
    }
    said
}
