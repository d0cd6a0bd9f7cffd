//! Defines the jobs of the writer and their answers.

use std::any::Any;

use tokio::sync::oneshot;

use crate::domain::{Attempt, TenantId, Timestamp, Verdict};
use crate::idempotency::KeyUse;
use crate::store::repeats::{Digests, Tried};
use crate::store::{Claimed, Claims, CommitError, Settled, StoreError, Write};

/// The panic of a decision, which is passed on to the caller.
pub(in super::super) type Panic = Box<dyn Any + Send>;

/// How a write ended.
pub(in super::super) type Ended<T> = Result<Result<T, CommitError>, Panic>;

/// Sends the result of a write to its caller.
pub(in super::super) type Reply<T> = oneshot::Sender<Ended<T>>;

/// A job for the writer. The first four are writes, which share the commit of a batch.
pub(in super::super) enum Job {
    /// Makes a change for a caller.
    Commit {
        tenant: TenantId,
        key_use: Option<KeyUse>,
        write: Write,
        digests: Digests,
        reply: Reply<Tried>,
    },
    /// Records the end of an attempt.
    Settle {
        claimed: Box<Claimed>,
        attempt: Attempt,
        verdict: Verdict,
        reply: Reply<Settled>,
    },
    /// Stores that the test clock is ahead by this many milliseconds in total.
    KeepClockAdvance { millis: i64, reply: Reply<()> },
    /// Finds out whether the store can be written.
    Try { reply: Reply<()> },
    /// Claims at most `most` deliveries.
    Claim {
        most: usize,
        reply: oneshot::Sender<Result<Claims, StoreError>>,
    },
    /// Does a step of the sweep.
    Sweep { reply: oneshot::Sender<Timestamp> },
}

/// A write that has run. Its caller gets the result when the batch is committed.
pub(in super::super) enum Answered {
    Commit(Reply<Tried>, Ended<Tried>),
    Settle(Reply<Settled>, Ended<Settled>),
    Done(Reply<()>, Ended<()>),
}

impl Answered {
    /// Sends the result to the caller, given whether the batch was committed.
    pub fn send(self, committed: Result<(), &StoreError>) {
        match self {
            Self::Commit(reply, ended) => send(reply, ended, committed),
            Self::Settle(reply, ended) => send(reply, ended, committed),
            Self::Done(reply, ended) => send(reply, ended, committed),
        }
    }
}

/// Sends the result of one write, or the error of its batch.
fn send<T>(reply: Reply<T>, ended: Ended<T>, committed: Result<(), &StoreError>) {
    // A refusal is not valid either, since what it was decided on is not committed.
    let ended = match (ended, committed) {
        (Ok(_), Err(error)) => Ok(Err(error.clone().into())),
        (ended, _) => ended,
    };
    // If the result cannot be sent, nobody waits for it any more.
    let _ = reply.send(ended);
}
