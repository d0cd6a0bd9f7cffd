//! Limits the memory that the request bodies of one tenant take.

use std::sync::Arc;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The bytes of the bodies of one tenant that are in memory at a time: 32 MiB. Bodies that find no
/// room wait unread.
const ROOM: usize = 32 << 20;

/// The unit in which room is counted, in bytes.
const UNIT: usize = 1024;

/// The room for the request bodies of one tenant. Cheap to clone.
#[derive(Clone, Debug)]
pub struct BodyRoom(Arc<Semaphore>);

/// The room of one body, until it is dropped.
pub(super) type RoomOfBody = Option<OwnedSemaphorePermit>;

impl Default for BodyRoom {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(ROOM / UNIT)))
    }
}

impl BodyRoom {
    /// Waits until there is room for a body of at most this many bytes.
    pub(super) async fn take(&self, bytes: usize) -> RoomOfBody {
        let units = u32::try_from(bytes.div_ceil(UNIT).max(1)).unwrap_or(u32::MAX);
        // It is never closed.
        Arc::clone(&self.0).acquire_many_owned(units).await.ok()
    }
}
