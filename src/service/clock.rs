//! Moving the test clock.

use std::panic;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, Service};
use crate::clock::{TestClock, TooFar};
use crate::domain::Timestamp;
use crate::store::StoreError;

/// Why the test clock stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// It would move too far.
    #[error(transparent)]
    TooFar(#[from] TooFar),
    /// A fault of the server.
    #[error(transparent)]
    Service(#[from] Error),
}

impl From<StoreError> for AdvanceError {
    fn from(error: StoreError) -> Self {
        Self::Service(error.into())
    }
}

impl Service {
    /// Moves `clock`, the one that the store tells the time by, `by` ahead and returns the new
    /// time. The store keeps the new total before the clock moves, so a time that anyone saw is not
    /// taken back by a restart. Advances that come at once are made one after the other.
    ///
    /// # Errors
    ///
    /// [`AdvanceError::TooFar`] and [`AdvanceError::Service`]; the clock has not moved then.
    ///
    /// # Panics
    ///
    /// When the store does.
    pub async fn advance_clock(
        &self,
        clock: &Arc<TestClock>,
        by: Duration,
    ) -> Result<Timestamp, AdvanceError> {
        let store = Arc::clone(&self.store);
        let clock = Arc::clone(clock);
        // A task of its own: a client that goes away must not leave a total kept and the clock
        // behind.
        let advance = tokio::spawn(async move {
            let _turn = clock.turn().await;
            let total = clock.total_after(by)?;
            store.keep_clock_advance(total).await?;
            Ok(clock.advance(by)?)
        });
        match advance.await {
            Ok(advanced) => advanced,
            Err(ended) => match ended.try_into_panic() {
                Ok(panic) => panic::resume_unwind(panic),
                Err(ended) => Err(Error::Internal(ended.to_string()).into()),
            },
        }
    }
}
