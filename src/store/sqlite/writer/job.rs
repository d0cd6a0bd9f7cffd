//! What the writer is asked for, and how it answers.

use std::any::Any;

use tokio::sync::oneshot;

use crate::domain::{Attempt, TenantId, Timestamp, Verdict};
use crate::idempotency::KeyUse;
use crate::store::{Claimed, Claims, CommitError, Committed, Settled, StoreError, Write};

/// The panic of a decision, which is its caller's.
pub(in super::super) type Panic = Box<dyn Any + Send>;

/// How a write ended.
pub(in super::super) type Ended<T> = Result<Result<T, CommitError>, Panic>;

/// Where a write's caller waits.
pub(in super::super) type Reply<T> = oneshot::Sender<Ended<T>>;

/// What the writer is asked for. The first four are writes: they share the commit of a batch.
pub(in super::super) enum Job {
    /// A change on a caller's behalf.
    Commit {
        tenant: TenantId,
        key_use: Option<KeyUse>,
        write: Write,
        reply: Reply<Committed>,
    },
    /// The end of an attempt.
    Settle {
        claimed: Box<Claimed>,
        attempt: Attempt,
        verdict: Verdict,
        reply: Reply<Settled>,
    },
    /// The test clock is ahead by so many milliseconds in all.
    KeepClockAdvance { millis: i64, reply: Reply<()> },
    /// A write that only finds out whether there can be one.
    Try { reply: Reply<()> },
    /// Deliveries to hand out, at most so many.
    Claim {
        most: usize,
        reply: oneshot::Sender<Result<Claims, StoreError>>,
    },
    /// A step of the sweep.
    Sweep { reply: oneshot::Sender<Timestamp> },
}

/// A write that has run, and whose caller is told when its batch is committed.
pub(in super::super) enum Answered {
    Commit(Reply<Committed>, Ended<Committed>),
    Settle(Reply<Settled>, Ended<Settled>),
    Done(Reply<()>, Ended<()>),
}

impl Answered {
    /// Tells the caller, given whether the batch was committed.
    pub fn send(self, committed: Result<(), &StoreError>) {
        match self {
            Self::Commit(reply, ended) => send(reply, ended, committed),
            Self::Settle(reply, ended) => send(reply, ended, committed),
            Self::Done(reply, ended) => send(reply, ended, committed),
        }
    }
}

fn send<T>(reply: Reply<T>, ended: Ended<T>, committed: Result<(), &StoreError>) {
    // What a refusal was decided on is not committed either, so that it means nothing.
    let ended = match (ended, committed) {
        (Ok(_), Err(error)) => Ok(Err(error.clone().into())),
        (ended, _) => ended,
    };
    // Nobody waits any more if it cannot be sent.
    let _ = reply.send(ended);
}
