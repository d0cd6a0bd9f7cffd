//! Assembles the server from its parts: store, clock, API and delivery worker.

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;

use crate::api::auth::Tenants;
use crate::api::body::BODY_TIMEOUT;
use crate::api::{self, App, AppConfig};
use crate::cli::command_error::CommandError;
use crate::clock::{Clock, SystemClock, TestClock, real_sleep};
use crate::config::{MASTER_KEY, STORE, SettingError, StoreUrl};
use crate::cores::Cores;
use crate::delivery::{EgressGuard, Sender, SenderOptions, Worker};
use crate::server::{self, Limits};
use crate::service::Service;
use crate::store::at_rest::MasterKeys;
use crate::store::sqlite::{OpenError, Opening};
use crate::store::{self, MemoryStore, StoreLimits};

/// The settings and parts of a server.
pub(super) struct Parts<'a> {
    /// The cores that serve connections and make deliveries.
    pub cores: Cores,
    pub store: StoreUrl,
    /// Needed by every durable store.
    pub master_keys: Option<MasterKeys>,
    /// Pairs of a tenant's name and a key.
    pub keys: Vec<(&'a str, &'a str)>,
    pub rate_limit: Option<NonZeroU32>,
    pub public_url: String,
    pub dev: bool,
    /// Whether to bring a store whose test clock is ahead back to real time.
    pub end_test_clock: bool,
    pub store_limits: StoreLimits,
    /// The most idle connections to receivers.
    pub max_idle: usize,
}

/// A server that is ready to run.
pub(super) struct BuiltServer {
    cores: Cores,
    router: api::Routes,
    worker: Worker,
}

impl BuiltServer {
    /// Opens the store, which may take a while, and assembles the server.
    ///
    /// # Errors
    ///
    /// [`CommandError`] when the store cannot be opened.
    pub fn new(parts: Parts<'_>) -> Result<Self, CommandError> {
        let mut opening = match parts.store {
            StoreUrl::Memory => None,
            StoreUrl::Sqlite { path } => {
                let keys = parts.master_keys.ok_or_else(SettingError::no_master_key)?;
                Some(Opening::new(&path, keys).map_err(|error| unopenable(&error))?)
            }
        };
        if let Some(opening) = opening.as_mut().filter(|_| !parts.dev) {
            let real = if parts.end_test_clock {
                opening.end_test_clock(SystemClock.now())
            } else {
                opening.expect_real_time()
            };
            real.map_err(|error| unopenable(&error))?;
        }
        // A clock that was moved must not go back, since the records in the store have its times.
        let ahead = opening
            .as_ref()
            .map_or(Duration::ZERO, Opening::clock_advance);
        let test_clock = parts
            .dev
            .then(|| Arc::new(TestClock::running_ahead_by(ahead)));
        let clock: Arc<dyn Clock> = match &test_clock {
            Some(clock) => Arc::clone(clock) as Arc<dyn Clock>,
            None => Arc::new(SystemClock),
        };
        let of_store = Arc::clone(&clock);
        let store: Arc<dyn store::Store> = match opening {
            None => Arc::new(MemoryStore::with_limits(of_store, parts.store_limits)),
            Some(opening) => {
                // The store's answers come from the runtime in which it is opened.
                let _entered = parts.cores.first().handle().enter();
                let store = opening.serve(of_store, parts.store_limits);
                Arc::new(store.map_err(|error| unopenable(&error))?)
            }
        };
        let guard = if parts.dev {
            EgressGuard::with_local()
        } else {
            EgressGuard::public_only()
        };
        let options = SenderOptions {
            max_idle: parts.max_idle,
            ..SenderOptions::default()
        };
        let sender = Sender::with_options(guard, options);
        let worker = Worker::new(Arc::clone(&store), Arc::clone(&clock), sender)
            .spread_over(parts.cores.clone());
        let app = App::new(AppConfig {
            service: Service::new(store, clock),
            tenants: Tenants::new(parts.keys, parts.rate_limit),
            public_url: parts.public_url,
            test_clock,
            body_timeout: BODY_TIMEOUT,
        });
        Ok(Self {
            cores: parts.cores,
            router: api::router(app),
            worker,
        })
    }

    /// Serves and delivers until `stop`, and then finishes requests and attempts at the same time,
    /// so that neither adds to the other's time.
    pub async fn run(
        self,
        listener: TcpListener,
        limits: Limits,
        stop: impl Future<Output = ()> + Send + 'static,
    ) {
        let stop = futures_util::FutureExt::shared(stop);
        // On a core that makes attempts, since the worker is notified of the end of each.
        let delivering = self.cores.first().spawn(deliver(self.worker, stop.clone()));
        server::serve_on(&self.cores, listener, self.router, limits, stop).await;
        // The task ends by itself and cannot fail.
        let _ = delivering.await;
    }
}

/// Converts the error of a store that cannot be opened to an error of the setting that causes it.
pub(super) fn unopenable(error: &OpenError) -> SettingError {
    let setting = match error {
        OpenError::KeyMissing { .. } | OpenError::WrongKey { .. } => MASTER_KEY,
        _ => STORE,
    };
    SettingError::new(setting, error.to_string())
}

/// Delivers until `stop`. If the worker panics, it is started again, so that deliveries do not end
/// while the server accepts events.
async fn deliver(worker: Worker, stop: impl Future<Output = ()> + Clone + Send + 'static) {
    while let Err(error) = tokio::spawn(worker.clone().run(stop.clone())).await {
        tracing::error!(
            panicked = error.is_panic(),
            "delivery worker ended; starting it again"
        );
        real_sleep(Duration::from_secs(1)).await;
    }
}
