//! `hookturn listen` and `hookturn verify` as they are run: spawned, with real deliveries over
//! loopback.
//!
//! No test sleeps; each waits for a line, an answer or an exit, within [`PATIENCE`].

mod files;
mod listen;
mod rewritten;
mod verify;

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::Stdio;
use std::time::{Duration, Instant};
use std::{fs, thread};

use hookturn::clock::{Clock as _, SystemClock};
use hookturn::domain::{Format, Secret, signature};
use hookturn_test::{PATIENCE, Program, hookturn, run, scratch};
use tempfile::TempDir;

const BODY: &str = r#"{"type":"call.started","data":{}}"#;

fn secret(byte: u8) -> Secret {
    Secret::from_bytes(&[byte; 30])
}

/// A secret's text, as a flag.
fn text(byte: u8) -> String {
    secret(byte).expose().to_string()
}

fn now() -> i64 {
    SystemClock.wall().unix_seconds()
}

/// The headers of a delivery signed at `timestamp` with the secrets of these bytes.
fn headers(format: Format, secrets: &[u8], timestamp: i64, body: &str) -> String {
    let signers: Vec<_> = secrets
        .iter()
        .map(|byte| secret(*byte).signer(format))
        .collect();
    match format {
        Format::StandardWebhooks => format!(
            "webhook-id: evt_1\r\nwebhook-timestamp: {timestamp}\r\nwebhook-signature: {}\r\n",
            signature::standard_webhooks(&signers, "evt_1", timestamp, body.as_bytes())
        ),
        Format::Verbex => format!(
            "X-Webhook-Event: Call.Started\r\nX-Webhook-Traceid: 0af7651916cd43dd8448eb211c80319c\r\n\
             X-Webhook-Signature: {}\r\n",
            signature::verbex(&signers, timestamp, body.as_bytes())
        ),
    }
}

/// A directory of the test's own, removed with it.
struct Scratch(TempDir);

impl Scratch {
    fn new() -> Self {
        Self(scratch())
    }

    /// Writes a file and returns its path.
    fn file(&self, name: &str, content: impl AsRef<[u8]>) -> String {
        let path = self.0.path().join(name);
        fs::write(&path, content).expect("the scratch directory is writable");
        path.to_str().expect("UTF-8").to_owned()
    }
}

/// `hookturn listen`, ended with the test.
struct Listener {
    program: Program,
    address: String,
}

impl Listener {
    fn start(args: &[&str], variables: &[(&str, &str)]) -> Self {
        let args = [&["listen", "--listen", "127.0.0.1:0"], args].concat();
        let mut listener = Self {
            program: Program::start(&args, variables),
            address: String::new(),
        };
        let greeting = listener.block();
        let (_, rest) = greeting.split_once("http://").expect("a URL");
        let end = rest.find(' ').expect("a word after it");
        rest[..end].clone_into(&mut listener.address);
        listener
    }

    /// The lines up to the next blank one.
    fn block(&self) -> String {
        let mut block = String::new();
        loop {
            match self.program.out.line().as_str() {
                "" => return block,
                line => block = block + line + "\n",
            }
        }
    }

    /// Sends a delivery and returns the answer and the block that tells of it.
    fn deliver(&self, headers: &str, body: &str) -> (String, String) {
        let answer = post(&self.address, headers, body);
        (answer, self.block())
    }

    /// Presses Ctrl-C and returns what it says at the end, on standard output and on standard
    /// error.
    fn interrupt(self) -> (String, String) {
        self.program.signal("INT");
        let ended = self.program.ended();
        assert_eq!(ended.code, Some(0), "{ended:?}");
        (ended.out, ended.err)
    }
}

fn request(address: &str, head: &str, body: &[u8]) -> String {
    let mut socket = TcpStream::connect(address).expect("a connection");
    socket.set_read_timeout(Some(PATIENCE)).expect("open");
    let head = format!("{head}Host: {address}\r\nConnection: close\r\n\r\n");
    socket.write_all(head.as_bytes()).expect("it reads");
    // A refused body may be left unread.
    let _ = socket.write_all(body);
    let mut answer = Vec::new();
    let _ = socket.read_to_end(&mut answer);
    String::from_utf8(answer).expect("text")
}

fn post(address: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    let head = format!("POST /hook HTTP/1.1\r\n{headers}Content-Length: {length}\r\n");
    request(address, &head, body.as_bytes())
}

fn status(answer: &str) -> &str {
    answer.get(9..12).unwrap_or_default()
}

/// That a block fits a terminal and shows no secret.
fn assert_fit_to_show(block: &str) {
    for line in block.lines() {
        assert!(line.chars().count() <= 80, "{line}");
    }
    for byte in 0..10 {
        assert!(!block.contains(&text(byte)[6..]), "{block}");
    }
}

/// Asserts that each command line is refused with one line that holds the text, and no secret.
fn assert_refused(cases: &[(&[&str], &str)]) {
    for (args, expected) in cases {
        let ended = run(args, &[]);
        ended.refusal();
        let err = ended.err;
        assert!(err.contains(expected), "{args:?}: {err}");
        assert!(
            !err.contains("SECRET\n") && !err.contains("SECRET@"),
            "{err}"
        );
        assert!(!err.contains("whsec_S") && !err.contains(&text(1)), "{err}");
    }
}
