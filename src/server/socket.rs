//! Wraps the socket of a connection, which hyper reads and writes.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Buf as _, Bytes};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::activity::Activity;
use super::refusal::explained;
use super::turns::Turn;

/// The first line of every HTTP/2 connection (RFC 9113, section 3.4), which no HTTP/1 request has.
const HTTP2: &[u8] = b"PRI * HTTP/2.0\r\n";

/// The most bytes of an HTTP/2 connection that are read in one turn. hyper begins all requests in
/// what it has read, and this is room for twenty usual ones.
const MOST_PER_TURN: usize = 2048;

/// A socket that records when bytes arrive, detects a reset, and adds texts to the responses by
/// which hyper itself refuses a request.
pub(super) struct Watched {
    io: TcpStream,
    activity: Arc<Activity>,
    protocol: Protocol,
    /// For reads of HTTP/2.
    turn: Turn,
    /// The rest of a response that replaces one of hyper's own. It is the last one on its
    /// connection.
    refusal: Bytes,
}

/// What the first bytes say.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Protocol {
    /// So many bytes are those of [`HTTP2`].
    Unknown(usize),
    Http1,
    Http2,
}

impl Protocol {
    /// Looks at the next bytes.
    fn look_at(&mut self, bytes: &[u8]) {
        let Self::Unknown(known) = *self else {
            return;
        };
        let expected = HTTP2.get(known..).unwrap_or_default();
        let length = expected.len().min(bytes.len());
        *self = if expected[..length] != bytes[..length] {
            Self::Http1
        } else if length == expected.len() {
            Self::Http2
        } else {
            Self::Unknown(known + length)
        };
    }
}

impl Watched {
    pub(super) fn new(io: TcpStream, activity: Arc<Activity>, turn: Turn) -> Self {
        Self {
            io,
            activity,
            protocol: Protocol::Unknown(0),
            turn,
            refusal: Bytes::new(),
        }
    }

    /// Replaces `head` if it is a refusal of hyper's own. Returns the number of bytes that count as
    /// written for hyper.
    fn refuse(&mut self, head: &[u8]) -> Option<usize> {
        self.refusal = explained(head)?.into();
        Some(head.len())
    }

    fn poll_refusal(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let written = ready!(Pin::new(&mut self.io).poll_write(cx, &self.refusal))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.refusal.advance(written);
        }
        Poll::Ready(Ok(()))
    }

    /// Records whether the peer takes what is written.
    fn note(&self, written: &Poll<io::Result<usize>>) {
        match written {
            Poll::Pending => self.activity.note_blocked(),
            Poll::Ready(_) => self.activity.note_written(),
        }
    }

    /// Reads at most [`MOST_PER_TURN`] bytes, when it is the turn of this connection.
    fn poll_read_in_turn(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ready!(self.turn.poll_begun(cx));
        let mut bytes = [0; MOST_PER_TURN];
        let most = buf.remaining().min(MOST_PER_TURN);
        let mut read = ReadBuf::new(&mut bytes[..most]);
        // While nothing comes, the turn is kept for what comes next.
        ready!(Pin::new(&mut self.io).poll_read(cx, &mut read))?;
        self.turn.end();
        buf.put_slice(read.filled());
        Poll::Ready(Ok(()))
    }

    /// Returns the error if the socket was reset. Peeks without taking bytes, because hyper reads
    /// them.
    ///
    /// A peer that closed its socket looks like a peer that closed only its sending side and waits
    /// for the response. They differ only when the peer's system refuses the data that is written
    /// to it. So the work on the request continues in both cases.
    fn reset(&self, cx: &mut Context<'_>) -> Option<io::Error> {
        let mut byte = [0];
        match self.io.poll_peek(cx, &mut ReadBuf::new(&mut byte)) {
            Poll::Ready(Err(error)) => Some(error),
            Poll::Ready(Ok(_)) | Poll::Pending => None,
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let polled = match self.protocol {
            Protocol::Http2 => self.poll_read_in_turn(cx, buf),
            _ => Pin::new(&mut self.io).poll_read(cx, buf),
        };
        let read = &buf.filled()[before..];
        if !read.is_empty() {
            self.activity.received();
            self.protocol.look_at(read);
        }
        polled
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        if let Some(taken) = self.refuse(buf) {
            return Poll::Ready(Ok(taken));
        }
        let polled = Pin::new(&mut self.io).poll_write(cx, buf);
        self.note(&polled);
        polled
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let [head] = bufs
            && let Some(taken) = self.refuse(head)
        {
            return Poll::Ready(Ok(taken));
        }
        let polled = Pin::new(&mut self.io).poll_write_vectored(cx, bufs);
        self.note(&polled);
        polled
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // While a request is in flight, hyper does not read, because it would take the end of the
        // client's sending side for the end of the connection. So it does not see a reset either.
        // But it flushes whenever it is woken.
        if self.activity.is_busy()
            && let Some(error) = self.reset(cx)
        {
            return Poll::Ready(Err(error));
        }
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}
