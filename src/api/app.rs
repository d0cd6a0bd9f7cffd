//! What all handlers share.

use std::sync::Arc;
use std::time::Duration;

use super::auth::Tenants;
use crate::clock::TestClock;
use crate::service::Service;

/// What the API is made of.
pub struct AppConfig {
    /// The use cases.
    pub service: Service,
    /// Who may ask.
    pub tenants: Tenants,
    /// Where this server is reached, without a slash at the end: what problem types start with.
    pub public_url: String,
    /// With `--dev`: the clock that can be moved. Its presence also lets 2026-03-01 endpoints have
    /// `http:` URLs.
    pub test_clock: Option<Arc<TestClock>>,
    /// How long a body may take: [`BODY_TIMEOUT`](super::body::BODY_TIMEOUT) outside tests.
    pub body_timeout: Duration,
}

/// The API's state. Cheap to clone.
#[derive(Clone)]
pub struct App(Arc<AppConfig>);

impl App {
    /// The API made of `config`.
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
