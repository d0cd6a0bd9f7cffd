//! HTTP/2 by hand (RFC 9113): frames that no client library would send.

use hookturn_test::patiently;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use super::client::RawClient;

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PING: u8 = 6;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const END_HEADERS: u8 = 4;

/// The greeting of a client, with empty settings.
pub fn preface() -> Vec<u8> {
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    bytes
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("below 2^24");
    let mut bytes = length.to_be_bytes()[1..].to_vec();
    bytes.extend([kind, flags]);
    bytes.extend(stream.to_be_bytes());
    bytes.extend(payload);
    bytes
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).expect("below 256")
}

/// One header, as text, added to no table (RFC 7541, section 6.2.2).
pub fn field(name: &str, value: &str) -> Vec<u8> {
    let mut bytes = vec![0];
    for text in [name, value] {
        // A prefix of seven bits, then seven more in each byte (RFC 7541, section 5.1).
        let mut rest = text.len();
        if rest < 127 {
            bytes.push(byte(rest));
        } else {
            bytes.push(127);
            rest -= 127;
            while rest >= 128 {
                bytes.push(byte(rest % 128) | 128);
                rest /= 128;
            }
            bytes.push(byte(rest));
        }
        bytes.extend(text.bytes());
    }
    bytes
}

/// The head of a POST with these fields beside the ones that HTTP/2 wants.
pub fn head(path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    [
        (":method", "POST"),
        (":scheme", "http"),
        (":authority", "test"),
        (":path", path),
    ]
    .iter()
    .chain(fields)
    .flat_map(|(name, value)| field(name, value))
    .collect()
}

/// What the last ping carries.
pub const LAST: &[u8] = b"the end.";

pub fn contains(said: &[u8], part: &[u8]) -> bool {
    said.windows(part.len()).any(|window| window == part)
}

/// Sends all of it while reading what comes, until the server closes or has answered a ping that is
/// sent at the end: all that it said.
pub async fn attack(client: RawClient, bytes: &[u8]) -> Vec<u8> {
    let (mut reader, mut writer) = client.socket.into_split();
    let writing = async {
        let _ = writer.write_all(bytes).await;
        let _ = writer.write_all(&frame(PING, 0, 0, LAST)).await;
    };
    let reading = async {
        let mut said = Vec::new();
        while !contains(&said, LAST) && reader.read_buf(&mut said).await.unwrap_or(0) > 0 {}
        said
    };
    patiently(async { tokio::join!(writing, reading) }).await.1
}
