//! The work of the load generator: rotations for a time, or a number of new endpoints or events.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::Fallible;
use crate::load::Work;
use crate::wire::{Answer, post};

/// Makes the request that rotates one endpoint. The grace period is 0, so that the ring keeps one
/// secret and never reaches the limit of live secrets.
pub fn rotation_of(id: &str) -> Vec<u8> {
    post(
        &format!("/webhooks/endpoints/{id}/secret/rotate"),
        r#"{"expire_current_in":0}"#,
    )
}

/// Prepared requests, sent in turn until the time is over. Each must be answered 200.
pub struct Timed {
    requests: Rc<[Vec<u8>]>,
    turn: usize,
    now: Instant,
    opens: Instant,
    closes: Instant,
    /// In microseconds, of the requests answered between `opens` and `closes`.
    pub latencies: Histogram<u32>,
    /// The number of those requests.
    pub measured: u32,
    /// The number of all requests, warm-up included.
    pub answered: u32,
}

impl Timed {
    pub fn start(requests: Rc<[Vec<u8>]>, warm_up: Duration, measured: Duration) -> Fallible<Self> {
        let now = Instant::now();
        let opens = now + warm_up;
        Ok(Self {
            requests,
            turn: 0,
            now,
            opens,
            closes: opens + measured,
            // With a precision of one part in a thousand, up to a minute.
            latencies: Histogram::new_with_bounds(1, 60_000_000, 3)?,
            measured: 0,
            answered: 0,
        })
    }
}

impl Work for Timed {
    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        if self.now >= self.closes {
            return false;
        }
        request.extend_from_slice(&self.requests[self.turn]);
        self.turn = (self.turn + 1) % self.requests.len();
        true
    }

    fn answered(&mut self, answer: &Answer<'_>, sent: Instant, received: Instant) -> Fallible<()> {
        answer.expect_status(200)?;
        self.now = received;
        self.answered += 1;
        if self.opens <= received && received < self.closes {
            self.measured += 1;
            let micros = u64::try_from((received - sent).as_micros())?;
            self.latencies.saturating_record(micros);
        }
        Ok(())
    }
}

/// New endpoints, created through the API.
pub struct Creation {
    request: Vec<u8>,
    left: usize,
    /// The ids of the endpoints created so far, in the order of the answers.
    pub ids: Vec<String>,
}

/// The part of the answer to a creation that is read.
#[derive(Deserialize)]
pub struct Created {
    pub id: String,
}

impl Creation {
    pub fn of(count: usize) -> Self {
        Self {
            request: post(
                "/webhooks/endpoints",
                r#"{"url":"https://receiver.example/hook"}"#,
            ),
            left: count,
            ids: Vec::with_capacity(count),
        }
    }
}

impl Work for Creation {
    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        request.extend_from_slice(&self.request);
        true
    }

    fn answered(
        &mut self,
        answer: &Answer<'_>,
        _sent: Instant,
        _received: Instant,
    ) -> Fallible<()> {
        answer.expect_status(201)?;
        let Created { id } = serde_json::from_slice(answer.body)?;
        self.ids.push(id);
        Ok(())
    }
}

/// A number of new events, each of which must be accepted.
pub struct Publishing {
    request: Vec<u8>,
    left: usize,
}

impl Publishing {
    pub fn of(count: usize) -> Self {
        // About 200 bytes.
        let body = r#"{"type":"order.created","data":{"order":"ord_550e8400e29b41d4a716446655440000","customer":"Bärbel Ödegård","total":{"amount":"129.90","currency":"EUR"},"lines":3,"paid":true,"channel":"web"}}"#;
        Self {
            request: post("/events", body),
            left: count,
        }
    }
}

impl Work for Publishing {
    fn next(&mut self, request: &mut Vec<u8>) -> bool {
        if self.left == 0 {
            return false;
        }
        self.left -= 1;
        request.extend_from_slice(&self.request);
        true
    }

    fn answered(
        &mut self,
        answer: &Answer<'_>,
        _sent: Instant,
        _received: Instant,
    ) -> Fallible<()> {
        answer.expect_status(202)
    }
}
