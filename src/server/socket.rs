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

/// A socket that records when bytes arrive, detects a reset, and adds texts to the responses by
/// which hyper itself refuses a request.
#[derive(Debug)]
pub(super) struct Watched {
    io: TcpStream,
    activity: Arc<Activity>,
    /// The rest of a response that replaces one of hyper's own. It is the last one on its
    /// connection.
    refusal: Bytes,
}

impl Watched {
    pub(super) fn new(io: TcpStream, activity: Arc<Activity>) -> Self {
        Self {
            io,
            activity,
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
        let polled = Pin::new(&mut self.io).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.activity.received();
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
