//! The receiver of both tenants: it notes when an event arrives, and answers as its path says.

use std::cell::RefCell;
use std::collections::HashMap;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use crate::Fallible;

/// A path that begins with this is answered after [`SLOW`], and others at once.
pub const SLOW_PATH: &str = "/slow";

/// The time that a slow receiver takes: nearly the time that an attempt may take.
const SLOW: Duration = Duration::from_secs(14);

const TAKEN: &[u8] = b"HTTP/1.1 204 No Content\r\n\r\n";

/// The events that arrived, by the number after the last `-` of their id.
#[derive(Clone, Default)]
pub struct Arrivals(Rc<RefCell<HashMap<u64, Instant>>>, Rc<Notify>);

impl Arrivals {
    /// Waits for an event. Returns when it arrived.
    pub async fn wait_for(&self, number: u64) -> Instant {
        loop {
            if let Some(at) = self.0.borrow_mut().remove(&number) {
                return at;
            }
            self.1.notified().await;
        }
    }
}

/// Serves as long as the local tasks of this thread run. Listens on all addresses, so that each
/// address of loopback is a host of its own. Returns the address on 127.0.0.1.
pub async fn serve(arrivals: Option<Arrivals>) -> Fallible<SocketAddr> {
    let listener = TcpListener::bind(("0.0.0.0", 0)).await?;
    let port = listener.local_addr()?.port();
    tokio::task::spawn_local(async move {
        loop {
            match listener.accept().await {
                // The sender sees when a connection ends.
                Ok((stream, _)) => {
                    tokio::task::spawn_local(converse(stream, arrivals.clone()));
                }
                // There are no descriptors until some of the others end.
                Err(_) => tokio::task::yield_now().await,
            }
        }
    });
    Ok(SocketAddr::from(([127, 0, 0, 1], port)))
}

async fn converse(mut stream: TcpStream, arrivals: Option<Arrivals>) -> Fallible<()> {
    stream.set_nodelay(true)?;
    let mut buffer = Vec::with_capacity(1024);
    while stream.read_buf(&mut buffer).await? > 0 {
        let Some(slow) = read(&buffer, arrivals.as_ref())? else {
            continue;
        };
        buffer.clear();
        if slow {
            be_slow().await;
        }
        stream.write_all(TAKEN).await?;
    }
    Ok(())
}

#[expect(
    clippy::disallowed_methods,
    reason = "this is what the attack is about"
)]
async fn be_slow() {
    tokio::time::sleep(SLOW).await;
}

/// Reads a request when all of it is there. Returns whether it is answered slowly.
fn read(bytes: &[u8], arrivals: Option<&Arrivals>) -> Fallible<Option<bool>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = request.parse(bytes)? else {
        return Ok(None);
    };
    let header = |name: &str| {
        let mut headers = request.headers.iter();
        let found = headers.find(|header| header.name.eq_ignore_ascii_case(name))?;
        str::from_utf8(found.value).ok()
    };
    let length: usize = header("content-length").unwrap_or("0").parse()?;
    if bytes.len() < head + length {
        return Ok(None);
    }
    let number = header("webhook-id").and_then(|id| id.rsplit_once('-')?.1.parse().ok());
    if let (Some(Arrivals(arrived, notify)), Some(number)) = (arrivals, number) {
        arrived
            .borrow_mut()
            .entry(number)
            .or_insert_with(Instant::now);
        notify.notify_one();
    }
    Ok(Some(
        request.path.is_some_and(|path| path.starts_with(SLOW_PATH)),
    ))
}
