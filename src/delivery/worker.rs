//! From a delivery that is due to what became of it.
//!
//! One attempt is: claim, sign, send, settle. It signs with the key ring that came with the claim, read
//! by the store in the same step, and never from anything that could be older. What ends the process
//! before an attempt is settled leaves the delivery due, so an accepted event is delivered at least
//! once.
//!
//! A store that fails, panics or hangs is asked again for as long as it takes, and costs no delivery
//! anything but time.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tracing::Instrument as _;

use super::hand::Hand;
use super::message::Message;
use super::sender::{Reply, Sender};
use crate::clock::{Clock, real_sleep};
use crate::cores::Cores;
use crate::domain::{Attempt, Timestamp, Verdict};
use crate::random;
use crate::store::{Claimed, Settled, Store, StoreError};

/// How many deliveries are claimed at once.
const BATCH: usize = 64;

/// What may be set about a [`Worker`]. The default is what the server uses.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How long to wait before a store that failed is asked again: 1 s.
    pub pause: Duration,
    /// How long attempts under way may take to end when the program does: 20 s, longer than a whole
    /// attempt.
    pub drain: Duration,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(1),
            drain: Duration::from_secs(20),
        }
    }
}

/// Makes the attempts of all deliveries of a store. Cheap to clone.
#[derive(Clone)]
pub struct Worker {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sender: Sender,
    options: Options,
    /// Where attempts are made; `None` is where [`run`](Self::run) is called.
    cores: Option<Cores>,
}

impl Worker {
    /// A worker on `store`, which tells the time by `clock`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, sender: Sender) -> Self {
        Self::with_options(store, clock, sender, Options::default())
    }

    /// A worker with other options than the default ones.
    #[must_use]
    pub fn with_options(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        sender: Sender,
        options: Options,
    ) -> Self {
        Self {
            store,
            clock,
            sender,
            options,
            cores: None,
        }
    }

    /// Has the attempts made on `cores`, each on the one that has fewest under way. A core uses the connections that it
    /// opened itself.
    #[must_use]
    pub fn spread_over(self, cores: Cores) -> Self {
        Self {
            cores: Some(cores),
            ..self
        }
    }

    /// One bounded step: sweeps the store, makes one attempt of each of some deliveries that are due, and ends when all
    /// of them are settled. Returns how many there were; 0 means that nothing is due now.
    ///
    /// # Errors
    ///
    /// [`StoreError`] when the store could not be swept, or nothing be claimed.
    pub async fn step(&self) -> Result<usize, StoreError> {
        unpanicking(self.store.sweep()).await?;
        let mut attempts = JoinSet::new();
        let worker = Arc::new(self.clone());
        for claimed in unpanicking(self.store.claim(BATCH)).await?.claimed {
            attempts.spawn(Arc::clone(&worker).attempt(claimed));
        }
        let count = attempts.len();
        attempts.join_all().await;
        Ok(count)
    }

    /// Makes attempts until `stop`, and then waits for those under way, for at most [`Options::drain`]. Has the store
    /// swept meanwhile. Does not panic, whatever the store does: that would end all attempts under way, and leave their
    /// deliveries held for ever. Dropping it ends the attempts under way.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let cores = self.cores.clone().unwrap_or_else(Cores::current);
        let ended = Arc::new(Notify::new());
        let hand = |core| {
            let worker = Arc::new(self.for_another_core());
            let attempt = move |claimed| Arc::clone(&worker).attempt(claimed);
            Hand::start(core, attempt, Arc::clone(&ended))
        };
        let mut hands: Vec<Hand> = cores.iter().map(hand).collect();
        tokio::select! {
            biased;
            () = self.attempt_all(&mut hands, &ended, stop) => {}
            () = self.sweep_all() => {}
        }
        let all_end = join_all(hands.into_iter().map(Hand::end));
        if tokio::time::timeout(self.options.drain, all_end)
            .await
            .is_err()
        {
            tracing::warn!("attempts that were under way will be made again");
        }
    }

    /// Has the store take away what expires, for as long as this is polled.
    async fn sweep_all(&self) {
        loop {
            match unpanicking(self.store.sweep()).await {
                Ok(next) if next > self.clock.now() => self.clock.sleep_until(next).await,
                // There is more to do. The others get their turn in between.
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::error!(%error, "cannot sweep the store; trying again");
                    real_sleep(self.options.pause).await;
                }
            }
        }
    }

    /// Makes attempts until `stop`. `ended` is told when some have ended.
    async fn attempt_all(
        &self,
        hands: &mut [Hand],
        ended: &Notify,
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        loop {
            let claims = tokio::select! {
                biased;
                claims = unpanicking(self.store.claim(BATCH)) => claims,
                // A store that hangs must not keep the program from ending.
                () = &mut stop => break,
            };
            let claims = match claims {
                Ok(claims) => claims,
                Err(error) => {
                    tracing::error!(%error, "cannot claim deliveries; trying again");
                    tokio::select! {
                        () = &mut stop => break,
                        () = real_sleep(self.options.pause) => continue,
                    }
                }
            };
            let found = claims.claimed.len();
            let wait = self.until(claims.next_due);
            for claimed in claims.claimed {
                if let Some(idlest) = hands.iter_mut().min_by_key(|hand| hand.under_way()) {
                    idlest.take(claimed);
                }
            }
            hands.iter_mut().for_each(Hand::begin);
            if found == BATCH {
                // There may be more of them. The others get their turn in between.
                tokio::select! {
                    biased;
                    () = &mut stop => break,
                    () = tokio::task::yield_now() => continue,
                }
            }
            tokio::select! {
                () = &mut stop => break,
                () = self.store.work().notified() => {}
                () = ended.notified() => {}
                () = wait => {}
            }
        }
    }

    /// The same for a core: with connections of its own.
    fn for_another_core(&self) -> Self {
        Self {
            sender: self.sender.with_own_connections(),
            ..self.clone()
        }
    }

    /// Waits until there is something to do, as far as a claim could tell.
    async fn until(&self, next_due: Option<Timestamp>) {
        match next_due {
            Some(at) if at > self.clock.now() => self.clock.sleep_until(at).await,
            // There is more to do now. The others get their turn in between.
            Some(_) => tokio::task::yield_now().await,
            None => std::future::pending().await,
        }
    }

    /// One attempt, in a span of its own: what is logged meanwhile tells which delivery it is about.
    fn attempt(self: Arc<Self>, claimed: Claimed) -> impl Future<Output = ()> {
        let span = tracing::info_span!(
            "attempt",
            tenant = claimed.tenant.as_str(),
            endpoint = %claimed.endpoint.id,
            delivery = %claimed.delivery.id,
            trace_id = %claimed.delivery.event.trace_id,
        );
        self.make_attempt(claimed).instrument(span)
    }

    async fn make_attempt(self: Arc<Self>, claimed: Claimed) {
        let sent = async {
            let wall = self.clock.wall();
            let (claimed, url) = (&claimed, &claimed.endpoint.settings.url);
            let make = move || {
                let message = Message::new(claimed, wall);
                ((message.headers, message.body), message.signed_by)
            };
            let (message, signed_by) = make();
            let sent = self.sender.send_made(url, message, move || make().0, wall);
            (sent.await, signed_by)
        };
        // A panic in there is a fault of ours, and must not leave the delivery held for ever.
        let sent = AssertUnwindSafe(sent).catch_unwind().await;
        let (reply, signed_by) = sent.unwrap_or_else(|_| {
            let reply = Reply {
                status: None,
                error: Some("internal error".into()),
                retry_after: None,
                duration: Duration::ZERO,
            };
            (reply, Box::default())
        });
        let verdict = Verdict::of(reply.status, reply.retry_after, random::jitter());
        let attempt = Attempt {
            at: claimed.at,
            status_code: reply.status,
            duration_ms: u64::try_from(reply.duration.as_millis()).unwrap_or(u64::MAX),
            error: reply.error,
            signed_by,
        };
        tracing::debug!(
            status = attempt.status_code,
            error = attempt.error.as_deref(),
            duration_ms = attempt.duration_ms,
            "delivery attempted"
        );
        self.settle(&claimed, &attempt, verdict).await;
    }

    /// Settles, as often as it takes: nobody else can, while the delivery is held.
    async fn settle(&self, claimed: &Claimed, attempt: &Attempt, verdict: Verdict) {
        let mut has_failed = false;
        loop {
            let settled = self.store.settle(claimed, attempt, verdict);
            match unpanicking(settled).await {
                Ok(Settled::Recorded) => return,
                Ok(Settled::HoldLost) => {
                    // After a failure this is the rule: it was written all the same.
                    tracing::debug!(delivery = %claimed.delivery.id, has_failed, "the attempt is not recorded: its delivery is held no more");
                    return;
                }
                Err(error) => {
                    if !has_failed {
                        tracing::error!(%error, delivery = %claimed.delivery.id, "cannot record an attempt; retrying until it is recorded");
                    }
                    has_failed = true;
                    real_sleep(self.options.pause).await;
                }
            }
        }
    }
}

/// What a call of the store comes to, when a panic in it is a failure like any other.
async fn unpanicking<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let done = AssertUnwindSafe(call).catch_unwind().await;
    done.unwrap_or_else(|_| Err(StoreError::Panicked))
}
