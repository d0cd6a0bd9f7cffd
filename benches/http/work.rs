//! What the load generator asks: rotations for a time, or new endpoints or events up to a number.

use std::rc::Rc;
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use serde::Deserialize;

use crate::Fallible;
use crate::load::Work;
use crate::wire::{Answer, post};

/// The request that rotates one endpoint. Grace 0: the ring stays at one secret however often it is
/// rotated, and no cap on live secrets is ever met.
pub fn rotation_of(id: &str) -> Vec<u8> {
    post(
        &format!("/webhooks/endpoints/{id}/secret/rotate"),
        r#"{"expire_current_in":0}"#,
    )
}

/// Prepared requests, each answered 200, one after the other and over again until the time is up.
pub struct Timed {
    requests: Rc<[Vec<u8>]>,
    turn: usize,
    now: Instant,
    opens: Instant,
    closes: Instant,
    /// Microseconds, of the requests answered between `opens` and `closes`.
    pub latencies: Histogram<u32>,
    /// Those, counted.
    pub measured: u32,
    /// All, warm-up included.
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
            // To one part in a thousand, up to a minute.
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

/// New endpoints, through the API as anyone would make them.
pub struct Creation {
    request: Vec<u8>,
    left: usize,
    /// The ids of those made so far, in the order of the answers.
    pub ids: Vec<String>,
}

/// What is read of the answer to a creation.
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

/// New events, as many as that, each accepted.
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
