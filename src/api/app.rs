//! The state that all handlers share.

use std::sync::Arc;
use std::time::Duration;

use super::auth::Tenants;
use crate::clock::TestClock;
use crate::service::Service;

/// The parts that the API is made of.
pub struct AppConfig {
    /// The use cases.
    pub service: Service,
    /// The tenants and their API keys.
    pub tenants: Tenants,
    /// The URL at which clients reach this server, without a trailing slash. The `type` of every
    /// problem document starts with it.
    pub public_url: String,
    /// The clock that clients can move; present only with `--dev`. If it is present, endpoints of
    /// the 2026-03-01 API may also have `http:` URLs.
    pub test_clock: Option<Arc<TestClock>>,
    /// How long a request body may take to arrive: [`BODY_TIMEOUT`](super::body::BODY_TIMEOUT)
    /// outside tests.
    pub body_timeout: Duration,
}

/// The state of the API. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<AppConfig>);

impl App {
    /// Creates the state from `config`.
    #[must_use]
    pub fn new(config: AppConfig) -> Self {
        Self(Arc::new(config))
    }

    pub(super) fn service(&self) -> &Service {
        &self.0.service
    }

    pub(super) fn tenants(&self) -> &Tenants {
        &self.0.tenants
    }

    pub(super) fn public_url(&self) -> &str {
        &self.0.public_url
    }

    pub(super) fn test_clock(&self) -> Option<&Arc<TestClock>> {
        self.0.test_clock.as_ref()
    }

    pub(super) fn allows_http_urls(&self) -> bool {
        self.0.test_clock.is_some()
    }

    pub(super) fn body_timeout(&self) -> Duration {
        self.0.body_timeout
    }
}
