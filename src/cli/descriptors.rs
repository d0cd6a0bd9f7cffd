//! Shares out the file descriptors of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The descriptors for everything else: the store's files, the log and the runtimes.
const OTHERS: usize = 192;

/// How many descriptors are used for what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shares {
    /// The most connections of clients.
    pub connections: usize,
    /// The most attempts in flight.
    pub attempts: usize,
    /// The most idle connections to receivers.
    pub idle: usize,
}

/// Raises the limit of this process to the highest that it may have, and returns it. `None` means
/// that there is no limit.
pub(super) fn raise_limit() -> Option<usize> {
    let limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = Rlimit {
            current: limit.maximum,
            maximum: limit.maximum,
        };
        // If it fails, the limit is what it was.
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            tracing::debug!(%error, "cannot raise the limit of open files");
        }
    }
    let now = getrlimit(Resource::Nofile).current?;
    Some(usize::try_from(now).unwrap_or(usize::MAX))
}

impl Shares {
    /// Returns how many descriptors are used at most. An attempt has a connection, or two sockets
    /// while it looks up its host.
    fn descriptors(self) -> usize {
        self.connections + 2 * self.attempts + self.idle
    }

    /// Returns what fits into `limit` descriptors: the wanted shares, or less of each, in
    /// proportion.
    pub fn within(limit: Option<usize>, wanted: Self) -> Self {
        let Some(limit) = limit else {
            return wanted;
        };
        let all = wanted.descriptors();
        let room = limit.saturating_sub(OTHERS).max(limit / 2);
        if all <= room {
            return wanted;
        }
        let part = |wanted: usize| (wanted.saturating_mul(room) / all).max(1);
        Self {
            connections: part(wanted.connections),
            attempts: part(wanted.attempts),
            idle: part(wanted.idle),
        }
    }

    /// Warns if the shares are less than wanted, and says what to do.
    pub fn warn_if_less(self, limit: Option<usize>, wanted: Self) {
        let Self {
            connections,
            attempts,
            idle,
        } = self;
        if self != wanted {
            tracing::warn!(
                limit,
                connections,
                attempts,
                idle,
                "too few file descriptors for the settings; raise the limit (ulimit -Hn, LimitNOFILE) or lower --max-connections"
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WANTED: Shares = Shares {
        connections: 4096,
        attempts: 1024,
        idle: 512,
    };

    #[test]
    fn what_is_wanted_is_given_if_it_fits() {
        for limit in [None, Some(1 << 20), Some(4096 + 2 * 1024 + 512 + OTHERS)] {
            assert_eq!(Shares::within(limit, WANTED), WANTED, "{limit:?}");
        }
    }

    #[test]
    fn less_is_shared_out_in_proportion() {
        for limit in [16, 64, 256, 1024, 4096, 6000] {
            let shares = Shares::within(Some(limit), WANTED);
            let all = shares.descriptors();
            assert!(all <= limit && all * 3 >= limit, "{limit}: {shares:?}");
            assert!(shares.connections >= shares.attempts && shares.attempts >= shares.idle);
            assert!(shares.idle >= 1);
        }
    }
}
