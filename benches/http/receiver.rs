//! The receiver: takes a delivery, counts its signatures and answers 200, and nothing more.
//!
//! It shares the machine with the measured server, so it is as small as possible: one thread, one
//! buffer for each connection, and three headers that it reads. A POST to any path is a delivery. A
//! GET asks about the deliveries so far, or holds back and releases answers.

use std::cell::RefCell;
use std::collections::HashSet;
use std::rc::Rc;

use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::LocalSet;

use crate::Fallible;

/// The first argument that makes this binary the receiver instead of the benchmark.
pub const ARGUMENT: &str = "receive-deliveries";

const TAKEN: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

/// What was received since the last `/forget`.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct Report {
    pub deliveries: usize,
    /// The number of different `webhook-id`s.
    pub ids: usize,
    /// The number of deliveries whose `webhook-signature` has two parts.
    pub signed_twice: usize,
}

#[derive(Default)]
struct Received {
    report: Report,
    ids: HashSet<Box<[u8]>>,
    /// The latest delivery as it was on the wire.
    latest: Vec<u8>,
    arrived: Rc<Notify>,
    /// The number of deliveries that a `/wait` waits for.
    awaited: Option<usize>,
    /// Whether answers are held back.
    held: bool,
    released: Rc<Notify>,
}

/// Serves on `127.0.0.1:port` until the process is killed.
pub fn serve(port: &str) -> Fallible<()> {
    let port: u16 = port.parse()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    let received = Rc::new(RefCell::new(Received::default()));
    LocalSet::new().block_on(&runtime, async {
        let listener = TcpListener::bind(("127.0.0.1", port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            let received = Rc::clone(&received);
            // The sender sees when a connection ends or a request is malformed.
            tokio::task::spawn_local(async move { converse(stream, &received).await });
        }
    })
}

async fn converse(mut stream: TcpStream, received: &RefCell<Received>) -> Fallible<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(8192);
    while stream.read_buf(&mut buffer).await? > 0 {
        let Some(request) = parse(&buffer)? else {
            continue;
        };
        if request.question.is_none() {
            received.borrow_mut().take(&buffer, &request);
            wait_until_released(received).await;
            stream.write_all(TAKEN).await?;
        } else if let Some(question) = request.question {
            let body = answer(question, received).await?;
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n", body.len());
            stream
                .write_all(&[head.into_bytes(), body].concat())
                .await?;
        }
        // The sender waits for the answer, so the buffer holds nothing else.
        buffer.clear();
    }
    Ok(())
}

async fn wait_until_released(received: &RefCell<Received>) {
    while received.borrow().held {
        let released = Rc::clone(&received.borrow().released);
        released.notified().await;
    }
}

struct Request<'a> {
    /// The path of a GET.
    question: Option<&'a str>,
    id: &'a [u8],
    signatures: usize,
}

/// Parses the request when all of it is there.
fn parse(bytes: &[u8]) -> Fallible<Option<Request<'_>>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else {
        return Ok(None);
    };
    let mut parsed = Request {
        question: request.path.filter(|_| request.method == Some("GET")),
        id: &[],
        signatures: 0,
    };
    let mut length = 0;
    for header in request.headers {
        if header.name.eq_ignore_ascii_case("content-length") {
            length = str::from_utf8(header.value)?.parse()?;
        } else if header.name.eq_ignore_ascii_case("webhook-id") {
            parsed.id = header.value;
        } else if header.name.eq_ignore_ascii_case("webhook-signature") {
            parsed.signatures = header.value.split(|byte| *byte == b' ').count();
        }
    }
    if bytes.len() > head + length {
        return Err("more bytes than one request has".into());
    }
    Ok((bytes.len() == head + length).then_some(parsed))
}

impl Received {
    fn take(&mut self, bytes: &[u8], request: &Request<'_>) {
        self.report.deliveries += 1;
        if self.ids.insert(request.id.into()) {
            self.report.ids += 1;
        }
        if request.signatures == 2 {
            self.report.signed_twice += 1;
        }
        bytes.clone_into(&mut self.latest);
        if self.awaited == Some(self.report.deliveries) {
            self.arrived.notify_one();
        }
    }
}

/// Answers a GET.
async fn answer(question: &str, received: &RefCell<Received>) -> Fallible<Vec<u8>> {
    let wanted = question.strip_prefix("/wait/").map(str::parse::<usize>);
    if let Some(wanted) = wanted.transpose()? {
        let arrived = {
            let mut received = received.borrow_mut();
            received.awaited = Some(wanted);
            Rc::clone(&received.arrived)
        };
        while received.borrow().report.deliveries < wanted {
            arrived.notified().await;
        }
    }
    let mut received = received.borrow_mut();
    match question {
        "/forget" => *received = Received::default(),
        "/hold" => received.held = true,
        "/release" => {
            received.held = false;
            received.released.notify_waiters();
        }
        _ => {}
    }
    match question {
        "/latest" => Ok(received.latest.clone()),
        _ => Ok(serde_json::to_vec(&received.report)?),
    }
}
