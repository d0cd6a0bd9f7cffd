//! Moving the test clock.

use std::panic;
use std::sync::Arc;
use std::time::Duration;

use super::{Error, Service};
use crate::clock::{TestClock, TooFar};
use crate::domain::Timestamp;
use crate::store::StoreError;

/// Why the test clock was not moved.
#[derive(Debug, thiserror::Error)]
pub enum AdvanceError {
    /// The clock would be too far ahead.
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
    /// Moves `clock` ahead by `by` and returns the new time. `clock` must be the store's clock.
    ///
    /// The store saves the new total before the clock moves, so that a restart never takes back a
    /// time that a caller saw. Simultaneous advances run one after the other.
    ///
    /// # Errors
    ///
    /// [`AdvanceError::TooFar`] and [`AdvanceError::Service`]; the clock has not moved then.
    ///
    /// # Panics
    ///
    /// When the store panics.
    pub async fn advance_clock(
        &self,
        clock: &Arc<TestClock>,
        by: Duration,
    ) -> Result<Timestamp, AdvanceError> {
        let store = Arc::clone(&self.store);
        let clock = Arc::clone(clock);
        // A separate task, so that a client that disconnects cannot leave the total saved and the
        // clock unmoved.
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
                Err(ended) => Err(Error::internal(ended).into()),
            },
        }
    }
}
