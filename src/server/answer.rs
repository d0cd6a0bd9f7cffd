//! Follows an answer until its peer has taken it.
//!
//! hyper keeps an answer in memory for as long as its peer does not take it. So answers that may
//! wait are counted in bytes, for each connection and in all, and the connection knows since when
//! its peer has taken nothing of one of them.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use axum::body::{Body, Bytes, HttpBody};
use axum::http::{Response, Version};
use hyper::body::{Frame, SizeHint};

use super::activity::{Activity, Waiting};

/// The size of the pieces in which an answer is passed to hyper.
const PIECE: usize = 16 * 1024;

/// The size from which an HTTP/1.1 answer is followed. There is one answer at a time, and smaller
/// ones fit into the buffers of the connection.
const LARGE: u64 = 64 * 1024;

/// The body of an answer that may wait for its peer.
struct Followed {
    body: Body,
    /// What `body` has yielded and hyper has not taken.
    rest: Bytes,
    waiting: Arc<Waiting>,
}

/// A part of an answer. hyper drops it when the socket has taken it, which is when the peer has
/// made room for it.
struct Piece {
    bytes: Bytes,
    waiting: Arc<Waiting>,
}

impl AsRef<[u8]> for Piece {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Drop for Piece {
    fn drop(&mut self) {
        self.waiting.note_progress();
    }
}

/// Follows the answer, if it may wait for its peer.
pub(super) fn followed(
    response: Response<Body>,
    version: Version,
    activity: &Arc<Activity>,
) -> Response<Body> {
    let bytes = response.body().size_hint().lower();
    let may_wait = version == Version::HTTP_2 && bytes > 0 || bytes >= LARGE;
    if !may_wait {
        return response;
    }
    let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
    response.map(|body| {
        Body::new(Followed {
            body,
            rest: Bytes::new(),
            waiting: Arc::new(activity.begin_answer(bytes)),
        })
    })
}

impl HttpBody for Followed {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        if self.rest.is_empty() {
            match ready!(Pin::new(&mut self.body).poll_frame(cx)) {
                Some(Ok(frame)) => match frame.into_data() {
                    Ok(data) => self.rest = data,
                    Err(trailers) => return Poll::Ready(Some(Ok(trailers))),
                },
                other => return Poll::Ready(other),
            }
        }
        let length = self.rest.len().min(PIECE);
        let piece = Piece {
            bytes: self.rest.split_to(length),
            waiting: Arc::clone(&self.waiting),
        };
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_owner(piece)))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty() && self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        let rest = self.rest.len() as u64;
        let body = self.body.size_hint();
        let mut hint = SizeHint::new();
        hint.set_lower(body.lower() + rest);
        if let Some(upper) = body.upper() {
            hint.set_upper(upper + rest);
        }
        hint
    }
}
