//! Decides whether an event repeats an earlier one with the same id.
//!
//! Data that is written differently is compared by digests (`domain::data_digest`). To compute one
//! takes milliseconds for the largest events, so no store computes it in a transaction or in the
//! thread of a core. The transaction asks for digests instead, they are computed in another thread,
//! and the write is tried again with them.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest as _, Sha256};
use tokio::sync::Semaphore;

use super::writes::Written;
use super::{CommitError, Committed, Publish, Published, StoreError};
use crate::domain::data_digest::{DataDigest, data_digest};
use crate::domain::{Event, EventHead, TenantId, Timestamp};

/// What a store keeps of an event, to recognise a repetition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum KeptEvent {
    /// The data, which is also what is delivered.
    Data(Arc<Event>),
    /// Only the digest of the data, since nobody subscribes to the event.
    Digest(Arc<EventHead>, DataDigest),
}

impl KeptEvent {
    /// Returns the event without its data.
    pub fn head(&self) -> &Arc<EventHead> {
        match self {
            Self::Data(event) => &event.head,
            Self::Digest(head, _) => head,
        }
    }
}

/// The digests that were computed for a write so far.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Digests {
    /// That of the data to publish.
    own: Option<DataDigest>,
    /// That of the earlier event, which was created at this time.
    first: Option<(Timestamp, DataDigest)>,
}

impl Digests {
    /// Answers a publication whose id was used before. It gets the first answer again if it is the
    /// same event.
    ///
    /// # Errors
    ///
    /// [`CommitError::EventIdReused`] if it is another event.
    pub fn answer_again(
        &self,
        publish: Publish,
        (first, deliveries): (KeptEvent, usize),
        now: Timestamp,
    ) -> Result<Result<Written, Box<NeedsDigests>>, CommitError> {
        match self.is_same(&publish, &first) {
            Some(true) => {
                let published = Published {
                    event: Arc::clone(first.head()),
                    deliveries,
                    delivery: None,
                };
                Ok(Ok(Written {
                    at: now,
                    action: None,
                    answer: (publish.answer)(&published),
                }))
            }
            Some(false) => Err(CommitError::EventIdReused),
            None => Ok(Err(Box::new(NeedsDigests {
                publish,
                first: Some(first),
            }))),
        }
    }

    /// Returns whether an event is the same as the earlier one, or `None` if digests are needed to
    /// tell.
    fn is_same(&self, publish: &Publish, first: &KeptEvent) -> Option<bool> {
        let head = first.head();
        if *head.event_type != *publish.event_type {
            return Some(false);
        }
        let of_first = match first {
            // Most callers repeat the very same text.
            KeptEvent::Data(event) if *event.data == *publish.data => return Some(true),
            KeptEvent::Data(_) => {
                let known = self.first.filter(|(of, _)| *of == head.created_at);
                known.map(|(_, digest)| digest)?
            }
            KeptEvent::Digest(_, digest) => *digest,
        };
        Some(self.own? == of_first)
    }

    /// Decides what to keep of a new event that goes to this many endpoints: its data, or only the
    /// digest if there are none, since the data is then never needed.
    pub fn of_new(
        &self,
        publish: Publish,
        deliveries: usize,
    ) -> Result<(Publish, Option<DataDigest>), Box<NeedsDigests>> {
        match self.own {
            _ if deliveries > 0 => Ok((publish, None)),
            Some(own) => Ok((publish, Some(own))),
            None => Err(Box::new(NeedsDigests {
                publish,
                first: None,
            })),
        }
    }
}

/// A write that needs digests before it can be made.
pub(super) struct NeedsDigests {
    /// The write.
    pub publish: Publish,
    /// The earlier event, if its digest is needed, too.
    pub first: Option<KeptEvent>,
}

/// The result of a try.
pub(super) enum Tried {
    /// The write was made.
    Done(Committed),
    /// Nothing was written. The write is tried again with digests.
    NeedsDigests(Box<NeedsDigests>),
}

impl From<Committed> for Tried {
    fn from(committed: Committed) -> Self {
        Self::Done(committed)
    }
}

/// Returns the digest of data. Every caller checks that it is JSON, so the text alone never counts.
fn digest(data: &str) -> DataDigest {
    data_digest(data).unwrap_or_else(|| DataDigest(Sha256::digest(data).into()))
}

/// Computes digests in threads of their own: one at a time, and each tenant in turn.
#[derive(Debug)]
pub(super) struct Comparisons {
    /// One at a time, so that the other cores are free for everything else.
    all: Arc<Semaphore>,
    /// One for each tenant, so that a tenant that compares very much waits for itself.
    by_tenant: Mutex<HashMap<TenantId, Arc<Semaphore>>>,
}

impl Default for Comparisons {
    fn default() -> Self {
        Self {
            all: Arc::new(Semaphore::new(1)),
            by_tenant: Mutex::default(),
        }
    }
}

impl Comparisons {
    /// Computes the digests that a write needs. Returns them with the write.
    pub async fn digests(
        &self,
        tenant: &TenantId,
        needs: NeedsDigests,
    ) -> Result<(Publish, Digests), CommitError> {
        let own_turn = {
            let mut by_tenant = self.by_tenant.lock();
            let turn = by_tenant.entry(tenant.clone());
            Arc::clone(turn.or_insert_with(|| Arc::new(Semaphore::new(1))))
        };
        let closed = |_| StoreError::Closed;
        let of_tenant = own_turn.acquire_owned().await.map_err(closed)?;
        let all = Arc::clone(&self.all);
        let of_all = all.acquire_owned().await.map_err(closed)?;
        let compute = move || {
            // Held here, since the thread goes on when nobody waits for it any more.
            let _turns = (of_tenant, of_all);
            let digests = Digests {
                own: Some(digest(&needs.publish.data)),
                first: needs.first.as_ref().and_then(|first| match first {
                    KeptEvent::Data(event) => Some((event.head.created_at, digest(&event.data))),
                    KeptEvent::Digest(..) => None,
                }),
            };
            (needs.publish, digests)
        };
        let computed = tokio::task::spawn_blocking(compute).await;
        Ok(computed.map_err(StoreError::new)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::TraceId;
    use crate::store::Audience;

    fn needs() -> NeedsDigests {
        NeedsDigests {
            publish: Publish {
                id: "e1".parse().expect("an id"),
                event_type: "a.b".into(),
                data: "{}".into(),
                trace_id: TraceId::EXAMPLE,
                audience: Audience::Subscribers,
                answer: Box::new(|_| unreachable!("nothing is published")),
            },
            first: None,
        }
    }

    #[test]
    fn one_comparison_runs_at_a_time_even_if_nobody_waits_for_it_any_more() {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .max_blocking_threads(1)
            .build()
            .expect("a runtime");
        runtime.block_on(async {
            let (release, released) = std::sync::mpsc::channel::<()>();
            let busy = tokio::task::spawn_blocking(move || released.recv());
            let comparisons = Comparisons::default();
            let tenant = TenantId::new("acme");
            let mut first = Box::pin(comparisons.digests(&tenant, needs()));
            assert!(futures_util::poll!(&mut first).is_pending());
            drop(first);
            assert_eq!(comparisons.all.available_permits(), 0);
            drop(release);
            let _ = busy.await;
            let second = comparisons.digests(&tenant, needs()).await;
            assert!(second.is_ok());
        });
    }
}
