//! Makes the attempts of all deliveries that are due.
//!
//! One attempt has four steps: claim, sign, send, settle. It signs with the key ring that the store
//! reads in the same step as the claim, and never with anything that could be older. If the process
//! ends before an attempt is settled, the delivery is still due. So every accepted event is
//! delivered at least once.
//!
//! If the store fails, panics or hangs, the worker retries until the store works again. This delays
//! deliveries but loses none.

use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::join_all;
use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tracing::Instrument as _;

use super::hand::Hand;
use super::message::Message;
use super::sender::{Reply, Sender};
use crate::clock::{Clock, real_sleep};
use crate::cores::Cores;
use crate::domain::{Attempt, Timestamp, Verdict};
use crate::random;
use crate::store::{Claimed, Settled, Store, StoreError};

/// The maximum number of deliveries in one claim.
const BATCH: usize = 64;

/// The shortest time between two warnings that attempts cannot be made.
const WARN_AT_MOST_EVERY: Duration = Duration::from_secs(60);

/// The settings of a [`Worker`]. The server uses the default.
#[derive(Clone, Copy, Debug)]
pub struct WorkerOptions {
    /// How long to wait before a failed store is called again: 1 s.
    pub pause: Duration,
    /// How long attempts in flight may take to end when the program stops: 20 s, which is longer
    /// than a whole attempt.
    pub drain: Duration,
}

impl Default for WorkerOptions {
    fn default() -> Self {
        Self {
            pause: Duration::from_secs(1),
            drain: Duration::from_secs(20),
        }
    }
}

/// Makes the attempts of all deliveries in a store. Cloning it is cheap.
#[derive(Clone)]
pub struct Worker {
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    sender: Sender,
    options: WorkerOptions,
    /// The cores that make the attempts. `None` means the runtime on which [`run`](Self::run) is
    /// called.
    cores: Option<Cores>,
    /// When it last warned that attempts cannot be made.
    warned: Arc<Mutex<Option<Instant>>>,
}

impl Worker {
    /// Creates a worker that takes deliveries from `store` and the time from `clock`.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, sender: Sender) -> Self {
        Self::with_options(store, clock, sender, WorkerOptions::default())
    }

    /// Creates a worker with the given options.
    #[must_use]
    pub fn with_options(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        sender: Sender,
        options: WorkerOptions,
    ) -> Self {
        Self {
            store,
            clock,
            sender,
            options,
            cores: None,
            warned: Arc::default(),
        }
    }

    /// Makes the attempts on `cores`, each on the core with the fewest attempts in flight. Each
    /// core uses only connections that it opened itself.
    #[must_use]
    pub fn spread_over(self, cores: Cores) -> Self {
        Self {
            cores: Some(cores),
            ..self
        }
    }

    /// Runs one bounded step: sweeps the store, claims some deliveries that are due, makes one
    /// attempt of each, and returns when all of them are settled.
    ///
    /// Returns the number of attempts. 0 means that nothing is due now.
    ///
    /// # Errors
    ///
    /// Returns a [`StoreError`] when the store cannot be swept or the claim fails.
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

    /// Makes attempts and sweeps the store until `stop` completes. Then waits for the attempts in
    /// flight, for at most [`WorkerOptions::drain`].
    ///
    /// Does not panic, whatever the store does: a panic would end all attempts in flight and leave
    /// their deliveries held for ever. Dropping the future ends the attempts in flight.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let cores = self.cores.clone().unwrap_or_else(Cores::current);
        let (ended, begun) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let hand = |core| {
            let worker = Arc::new(self.for_another_core());
            let attempt = move |claimed| Arc::clone(&worker).attempt(claimed);
            Hand::start(core, attempt, Arc::clone(&ended), Arc::clone(&begun))
        };
        let mut hands: Vec<Hand> = cores.iter().map(hand).collect();
        tokio::select! {
            biased;
            () = self.attempt_all(&mut hands, [&ended, &begun], stop) => {}
            () = self.sweep_all() => {}
        }
        let all_end = join_all(hands.into_iter().map(Hand::end));
        if tokio::time::timeout(self.options.drain, all_end)
            .await
            .is_err()
        {
            tracing::warn!("drain timeout reached; the attempts in flight will be made again");
        }
    }

    /// Sweeps the store whenever something expires, for as long as the future is polled.
    async fn sweep_all(&self) {
        loop {
            match unpanicking(self.store.sweep()).await {
                Ok(next) if next > self.clock.now() => self.clock.sleep_until(next).await,
                // There is more to do. Other tasks run in between.
                Ok(_) => tokio::task::yield_now().await,
                Err(error) => {
                    tracing::error!(%error, "cannot sweep the store; retrying");
                    real_sleep(self.options.pause).await;
                }
            }
        }
    }

    /// Makes attempts until `stop` completes. `ended` is notified when attempts have ended, and
    /// `begun` when a hand has begun all of its attempts.
    async fn attempt_all(
        &self,
        hands: &mut [Hand],
        [ended, begun]: [&Notify; 2],
        stop: impl Future<Output = ()>,
    ) {
        tokio::pin!(stop);
        loop {
            // Cores that are busy get no more than they can begin. Otherwise the attempts of a
            // tenant that sends very much would fill them, and everybody's requests and attempts
            // would wait for their turns among hundreds of others.
            while hands.iter().all(|hand| hand.waiting() > 0) {
                tokio::select! {
                    () = begun.notified() => {}
                    () = &mut stop => return,
                }
            }
            let claims = tokio::select! {
                biased;
                claims = unpanicking(self.store.claim(BATCH)) => claims,
                // A store that hangs must not keep the program from stopping.
                () = &mut stop => break,
            };
            let claims = match claims {
                Ok(claims) => claims,
                Err(error) => {
                    tracing::error!(%error, "cannot claim deliveries; retrying");
                    tokio::select! {
                        () = &mut stop => break,
                        () = real_sleep(self.options.pause) => continue,
                    }
                }
            };
            let found = claims.claimed.len();
            let wait = self.until(claims.next_due);
            for claimed in claims.claimed {
                let hands = hands.iter_mut();
                let idlest = hands.min_by_key(|hand| (hand.waiting() >= BATCH, hand.under_way()));
                if let Some(idlest) = idlest {
                    idlest.take(claimed);
                }
            }
            hands.iter_mut().for_each(Hand::begin);
            if found == BATCH {
                // There may be more deliveries. Other tasks run in between.
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

    /// Returns the same worker for another core, with its own connections.
    fn for_another_core(&self) -> Self {
        Self {
            sender: self.sender.with_own_connections(),
            ..self.clone()
        }
    }

    /// Waits until the next delivery is due, as far as the last claim knew.
    async fn until(&self, next_due: Option<Timestamp>) {
        match next_due {
            Some(at) if at > self.clock.now() => self.clock.sleep_until(at).await,
            // There is more to do now. Other tasks run in between.
            Some(_) => tokio::task::yield_now().await,
            None => std::future::pending().await,
        }
    }

    /// Makes one attempt in its own span, so that every log line names the delivery.
    fn attempt(self: Arc<Self>, claimed: Claimed) -> impl Future<Output = ()> {
        // Not of this module: see the span of a request.
        let span = tracing::info_span!(
            target: "hookturn",
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
        // A panic here is a bug in this program. It must not leave the delivery held for ever.
        let sent = AssertUnwindSafe(sent).catch_unwind().await;
        let (reply, signed_by) = sent.unwrap_or_else(|_| {
            let reply = Reply {
                status: None,
                error: Some("internal error".into()),
                retry_after: None,
                duration: Duration::ZERO,
                is_own_fault: false,
            };
            (reply, Box::default())
        });
        let verdict = if reply.is_own_fault {
            self.warn_of_own_fault();
            Verdict::NotMade
        } else {
            Verdict::of(reply.status, reply.retry_after, random::jitter())
        };
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

    /// Warns, at most once a minute, that attempts cannot be made.
    fn warn_of_own_fault(&self) {
        let now = Instant::now();
        let mut warned = self.warned.lock();
        if warned.is_none_or(|at| now.saturating_duration_since(at) >= WARN_AT_MOST_EVERY) {
            *warned = Some(now);
            tracing::warn!(
                "no file descriptor or memory for attempts; they are made later. Raise the limit of open files (ulimit -n)"
            );
        }
    }

    /// Settles the attempt and retries until this succeeds. Nothing else can settle the delivery
    /// while it is held.
    async fn settle(&self, claimed: &Claimed, attempt: &Attempt, verdict: Verdict) {
        let mut has_failed = false;
        loop {
            let settled = self.store.settle(claimed, attempt, verdict);
            match unpanicking(settled).await {
                Ok(Settled::Recorded) => return,
                Ok(Settled::HoldLost) => {
                    // After a failed call this is expected: the store recorded the attempt all the
                    // same.
                    tracing::debug!(
                        has_failed,
                        "attempt not recorded: its delivery is no longer held"
                    );
                    return;
                }
                Err(error) => {
                    if !has_failed {
                        tracing::error!(%error, "cannot record the attempt; retrying");
                    }
                    has_failed = true;
                    real_sleep(self.options.pause).await;
                }
            }
        }
    }
}

/// Calls the store and turns a panic into [`StoreError::Panicked`].
async fn unpanicking<T>(
    call: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    let done = AssertUnwindSafe(call).catch_unwind().await;
    done.unwrap_or_else(|_| Err(StoreError::Panicked))
}
