//! The program itself under thousands of hostile requests: what it holds afterwards is what it held
//! before.

use std::net::SocketAddr;
use std::time::Duration;

use hookturn_test::{Program, patiently};
use tokio::io::AsyncReadExt as _;

use super::client::{RawClient, head, post};
use super::frames::{self, END_HEADERS, HEADERS, RST_STREAM, frame, preface};
use super::server::{Hookturn, KEY};

const MIB: u64 = 1 << 20;

/// `hookturn serve` in a process of its own, and a victim in it.
async fn start() -> (Program, Hookturn) {
    let key = format!("acme={KEY}");
    let program = Program::serve(
        &[
            "--api-key",
            &key,
            "--rate-limit",
            "off",
            "--log",
            "warn,hookturn::cli=info",
            "--log-format",
            "json",
        ],
        &[],
    );
    let address = program.address.parse().expect("an address");
    (program, Hookturn::at(address).await)
}

/// Bytes that were sent to or from `address` and that no one has read yet.
fn on_its_way(address: SocketAddr) -> u64 {
    let port = format!(":{:04X}", address.port());
    let table = std::fs::read_to_string("/proc/net/tcp").expect("the system tells");
    let queued = table.lines().filter_map(|line| {
        // Its number, both ends, its state, what waits to be sent and to be read.
        let mut columns = line.split_whitespace().skip(1);
        let (local, remote) = (columns.next()?, columns.next()?);
        let (sending, reading) = columns.nth(1)?.split_once(':')?;
        // A listener's queue is one of connections.
        let ours =
            (local.ends_with(&port) || remote.ends_with(&port)) && !remote.ends_with(":0000");
        let queued = [sending, reading].map(|hex| u64::from_str_radix(hex, 16).unwrap_or(0));
        ours.then(|| queued.iter().sum::<u64>())
    });
    queued.sum()
}

/// Some forty hostile requests.
async fn attacks(server: &Hookturn) {
    let big = "x".repeat(60_000);
    let deep = "[".repeat(30_000);
    let http2: Vec<u8> = {
        let block = frames::head(&server.rotation, &[("authorization", "Bearer wrong")]);
        let streams = (1..400).step_by(2).flat_map(|stream| {
            let opened = frame(HEADERS, END_HEADERS, stream, &block);
            [opened, frame(RST_STREAM, 0, stream, &8_u32.to_be_bytes())].concat()
        });
        preface().into_iter().chain(streams).collect()
    };
    for path in server.rotations() {
        let keyless = format!("POST {path} HTTP/1.1\r\nHost: test\r\nX-Request-Id: {big:.100}\r\n");
        let not_found = format!("/webhooks/endpoints/{big:.8000}/secret/rotate");
        for request in [
            head(path, &format!("X: {big}\r\n")).into_bytes(),
            head(path, &"X: y\r\n".repeat(200)).into_bytes(),
            head(path, "Content-Length: 10000000000\r\n").into_bytes(),
            (head(path, "Content-Length: 65536\r\n") + &big).into_bytes(),
            (head(path, "Transfer-Encoding: chunked\r\n") + "ea60\r\n" + &big + "\r\n")
                .into_bytes(),
            (head(path, "Transfer-Encoding: chunked\r\n") + "zz\r\n").into_bytes(),
            post(&server.rotation, format!("{{\"expire_current_in\":{deep}")),
            post(&server.rotation, format!("{{\"{big}\":1}}")),
            post(
                &server.rotation,
                format!("{{\"a\":0{}}}", ",\"a\":0".repeat(9000)),
            ),
            post(
                "/webhooks/endpoints",
                format!("{{\"url\":\"https://{big}\"}}"),
            ),
            post(
                "/v1/public/webhook/subscription",
                format!("{{\"headers\":{{\"{big}\":\"\"}}}}"),
            ),
            head(&not_found, "Content-Length: 0\r\n").into_bytes(),
            head(
                path,
                &format!("Idempotency-Key: {big:.300}\r\nContent-Length: 0\r\n"),
            )
            .into_bytes(),
            head(path, &format!("Authorization: Bearer {big:.9000}\r\n")).into_bytes(),
            format!("{keyless}Authorization: Bearer {big:.9000}\r\n\r\n").into_bytes(),
            format!("{keyless}Content-Length: 60000\r\n\r\n{big}").into_bytes(),
            b"\x16\x03\x01\0\0\0\r\n\r\n".to_vec(),
            b"GET /\r\n\r\n".to_vec(),
            keyless.as_bytes().to_vec(),
            http2.clone(),
        ] {
            let mut client = server.send(request).await;
            // Every connection ends: what is not refused at once is left half-sent.
            client.end_sending().await;
            let mut said = Vec::new();
            let _ = patiently(client.socket.read_to_end(&mut said)).await;
        }
    }
}

#[tokio::test]
async fn thousands_of_hostile_requests_leave_no_memory_behind() {
    let (program, server) = start().await;
    // Buffers, thread stacks and the allocator's pools reach their size at some point; what leaks
    // goes on growing.
    let mut held = vec![program.resident()];
    loop {
        // A thousand.
        for _ in 0..25 {
            attacks(&server).await;
        }
        server.still_rotates().await;
        held.push(program.resident());
        let [.., before, after] = held[..] else {
            continue;
        };
        if after < before + MIB / 2 {
            break;
        }
        assert!(
            held.len() <= 8,
            "a thousand requests more take more each time: {held:?}"
        );
    }
    println!("resident after each thousand hostile requests: {held:?}");
    assert!(held[held.len() - 1] < held[0] + 24 * MIB, "{held:?}");
}

#[tokio::test]
async fn a_body_of_tiny_chunks_takes_no_more_memory_than_its_bytes() {
    const CLIENTS: u64 = 10;
    let (program, server) = start().await;
    let body =
        head(&server.rotation, "Transfer-Encoding: chunked\r\n") + &"1\r\n \r\n".repeat(30_000);
    let before = program.resident();
    let mut clients: Vec<RawClient> = Vec::new();
    for _ in 0..CLIENTS {
        // Whole but for its end, so that the server holds it.
        clients.push(server.send(&body).await);
    }
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    patiently(async {
        while on_its_way(server.address) > 0 {
            tick.tick().await;
        }
    })
    .await;
    server.still_rotates().await;
    let held = program.resident();
    println!(
        "resident {} KiB before {CLIENTS} bodies, {} KiB with them",
        before >> 10,
        held >> 10
    );
    // 64 KiB of body and what a connection needs to read it.
    assert!(
        held < before + CLIENTS * MIB / 2,
        "grew from {before} to {held} bytes"
    );
    for client in &mut clients {
        client.send("0\r\n\r\n").await;
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(400));
    }
    server.still_rotates().await;
}
