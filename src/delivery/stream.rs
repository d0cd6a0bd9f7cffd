//! Wraps a connection to a receiver and limits what hyper sees of it.
//!
//! Rules:
//!
//! 1. **hyper reads a rewritten response head**, the one that [`head`] writes. All other bytes pass
//!    unchanged.
//! 2. **The bytes before the end of the response head are limited**: to [`MAX_HEAD`] bytes, interim
//!    responses included, and to [`MAX_INTERIM`] interim responses. Without these limits a receiver
//!    could keep a core busy.
//! 3. **A connection that is too old begins no new request.** Nothing of the request has been sent
//!    at that point, so it can be sent on a new connection. Without this rule a connection under
//!    steady traffic would never end, and a host name that moved to another address would not be
//!    followed.
//! 4. **A request must be written within the time of an attempt, or the connection ends.**
//!    Otherwise a receiver that responds early or never, and does not read, would keep a connection
//!    open for ever: nothing else waits for the rest of the request.
//!
//! A request begins with the first byte that is written after a flush. hyper flushes a connection
//! when it has written a whole request, and not before.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf as _, Bytes};
use hyper::rt::{Read, ReadBuf, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use tokio::time::{Instant, Sleep, sleep_until};

use super::head::{self, Parsed};

/// The maximum number of bytes up to the end of a response head, all interim responses included.
pub(super) const MAX_HEAD: usize = 64 * 1024;

/// The maximum number of interim responses (`100 Continue`, `103 Early Hints` and similar) to a
/// request.
pub(super) const MAX_INTERIM: usize = 32;

/// The reason why a connection cannot be used any longer. It prints as the text of the attempt's
/// `error`.
#[derive(Debug, thiserror::Error)]
pub(super) enum StreamError {
    #[error("response head too large")]
    HeadTooLarge,
    #[error("too many interim responses")]
    TooManyInterim,
    /// Nothing of the request was sent.
    #[error("connection too old")]
    Retired,
    #[error("request not taken in time")]
    NotTaken,
}

impl From<StreamError> for io::Error {
    fn from(error: StreamError) -> Self {
        io::Error::other(error)
    }
}

/// A connection that follows the rules of this module.
#[derive(Debug)]
pub(super) struct Stream<S> {
    inner: S,
    /// The time from which the connection begins no new request.
    end_of_life: Instant,
    /// How long it may take to write a request.
    patience: Duration,
    /// The time by which the current request must be written.
    write_by: Instant,
    /// The timer for `write_by`. Set while a write is pending.
    waiting: Option<Pin<Box<Sleep>>>,
    has_begun: bool,
    is_flushed: bool,
    /// The response that is awaited. Set until its head has arrived.
    awaited: Option<Awaited>,
    /// The bytes that have arrived and that hyper has not read yet.
    ready: Bytes,
}

/// A response whose head is incomplete.
#[derive(Debug, Default)]
struct Awaited {
    bytes: Vec<u8>,
    /// The number of bytes that are known to hold no complete head.
    scanned: usize,
    /// The number of bytes of interim responses that came before.
    dropped: usize,
    interim: usize,
}

impl Awaited {
    /// Adds `more` bytes. Returns what hyper is to read as soon as the head is complete.
    fn take(&mut self, more: &[u8]) -> Result<Option<Bytes>, StreamError> {
        self.bytes.extend_from_slice(more);
        loop {
            if self.scanned == 0 {
                self.skip_empty_lines();
            }
            match head::parse(&self.bytes, self.scanned) {
                Parsed::Whole(head, len) if head.is_interim() => {
                    self.interim += 1;
                    if self.interim > MAX_INTERIM {
                        return Err(StreamError::TooManyInterim);
                    }
                    self.drop_first(len);
                    self.scanned = 0;
                }
                Parsed::Whole(head, len) if self.dropped + len <= MAX_HEAD => {
                    let mut out = Vec::with_capacity(128 + self.bytes.len() - len);
                    head.render(&mut out);
                    out.extend_from_slice(&self.bytes[len..]);
                    return Ok(Some(out.into()));
                }
                Parsed::Partial if self.dropped + self.bytes.len() <= MAX_HEAD => {
                    self.scanned = self.bytes.len();
                    return Ok(None);
                }
                Parsed::Whole(..) | Parsed::Partial => return Err(StreamError::HeadTooLarge),
                // hyper reports what is wrong.
                Parsed::NotHttp => return Ok(Some(std::mem::take(&mut self.bytes).into())),
            }
        }
    }

    /// Skips empty lines before a status line (RFC 9112, section 2.2).
    fn skip_empty_lines(&mut self) {
        let is_line_end = |byte: &&u8| matches!(byte, b'\r' | b'\n');
        let len = self.bytes.iter().take_while(is_line_end).count();
        self.drop_first(len);
    }

    fn drop_first(&mut self, len: usize) {
        self.bytes.drain(..len);
        self.dropped += len;
    }
}

impl<S> Stream<S> {
    /// Wraps a new connection.
    ///
    /// Requests may begin on it for as long as `life`; the first one always may. Each request must
    /// be written within `patience`.
    pub(super) fn new(inner: S, life: Duration, patience: Duration) -> Self {
        let now = Instant::now();
        Self {
            inner,
            end_of_life: now + life,
            patience,
            write_by: now + patience,
            waiting: None,
            has_begun: false,
            is_flushed: true,
            awaited: None,
            ready: Bytes::new(),
        }
    }

    /// Notes the beginning of a request. Must be called before each write.
    fn before_write(&mut self) -> Result<(), StreamError> {
        if self.is_flushed {
            let now = Instant::now();
            if self.has_begun && now >= self.end_of_life {
                return Err(StreamError::Retired);
            }
            self.write_by = now + self.patience;
            self.has_begun = true;
            self.is_flushed = false;
            self.awaited.get_or_insert_default();
        }
        Ok(())
    }

    /// Fails a pending write whose time is up.
    fn in_time<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            return written;
        }
        let write_by = self.write_by;
        let waiting = self
            .waiting
            .get_or_insert_with(|| Box::pin(sleep_until(write_by)));
        ready!(waiting.as_mut().poll(cx));
        Poll::Ready(Err(StreamError::NotTaken.into()))
    }
}

impl<S: Connection> Connection for Stream<S> {
    fn connected(&self) -> Connected {
        self.inner.connected()
    }
}

impl<S: Read + Unpin> Read for Stream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        mut to: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        while this.ready.is_empty() {
            let Some(awaited) = &mut this.awaited else {
                return Pin::new(&mut this.inner).poll_read(cx, to);
            };
            let mut chunk = [MaybeUninit::uninit(); 2048];
            let mut chunk = ReadBuf::uninit(&mut chunk);
            ready!(Pin::new(&mut this.inner).poll_read(cx, chunk.unfilled()))?;
            if chunk.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
            if let Some(bytes) = awaited.take(chunk.filled())? {
                this.ready = bytes;
                this.awaited = None;
            }
        }
        let len = this.ready.len().min(to.remaining());
        to.put_slice(&this.ready[..len]);
        this.ready.advance(len);
        Poll::Ready(Ok(()))
    }
}

impl<S: Write + Unpin> Write for Stream<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.before_write()?;
        let written = Pin::new(&mut self.inner).poll_write(cx, buf);
        self.in_time(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.before_write()?;
        let written = Pin::new(&mut self.inner).poll_write_vectored(cx, bufs);
        self.in_time(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.inner).poll_flush(cx);
        ready!(self.in_time(cx, flushed))?;
        self.is_flushed = true;
        self.waiting = None;
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.inner).poll_shutdown(cx);
        self.in_time(cx, shut)
    }
}
