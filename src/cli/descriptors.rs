//! Shares out the file descriptors of the process.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::cli::command_error::CommandError;

/// The descriptors for everything else: the store's files, the log and the runtimes.
const OTHERS: usize = 192;

/// The fewest descriptors with which the server starts.
const FEWEST: usize = 128;

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
///
/// # Errors
///
/// [`CommandError`] when the limit is too low for a server.
pub(super) fn raise_limit() -> Result<Option<usize>, CommandError> {
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
    let now = getrlimit(Resource::Nofile).current;
    let now = now.map(|now| usize::try_from(now).unwrap_or(usize::MAX));
    match now {
        Some(limit @ ..FEWEST) => Err(CommandError::new(&format!(
            "too few file descriptors: the limit of open files is {limit}, and the server needs at least {FEWEST}; raise \
             the limit (ulimit -Hn, LimitNOFILE=, --ulimit nofile=)"
        ))),
        enough => Ok(enough),
    }
}

impl Shares {
    /// Returns how many descriptors are used at most. An attempt has a connection, or two sockets
    /// while it looks up its host.
    fn descriptors(self) -> usize {
        self.connections + 2 * self.attempts + self.idle
    }

    /// Returns what fits into `limit` descriptors: the wanted shares, or less of each. Connections
    /// of clients get three fifths, and more if attempts leave it. The rest is for attempts and for
    /// idle connections, in proportion.
    pub fn within(limit: Option<usize>, wanted: Self) -> Self {
        let Some(limit) = limit else {
            return wanted;
        };
        let room = limit.saturating_sub(OTHERS).max(limit / 2);
        if wanted.descriptors() <= room {
            return wanted;
        }
        let for_receivers = wanted.descriptors() - wanted.connections;
        let most = (room - room * 2 / 5).max(room.saturating_sub(for_receivers));
        let connections = wanted.connections.min(most);
        let left = (room - connections).min(for_receivers);
        let part = |wanted: usize| (wanted * left / for_receivers).max(1);
        Self {
            connections,
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
                needed = wanted.descriptors() + OTHERS,
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
        for limit in [FEWEST, 256, 1024, 4096, 6000] {
            let shares = Shares::within(Some(limit), WANTED);
            let all = shares.descriptors();
            assert!(all <= limit && all * 3 >= limit, "{limit}: {shares:?}");
            assert!(shares.connections >= shares.attempts && shares.attempts >= shares.idle);
            assert!(shares.idle >= 1);
        }
    }

    #[test]
    fn few_connections_are_all_given_and_leave_the_rest_to_attempts() {
        let wanted = Shares {
            connections: 200,
            ..WANTED
        };
        let shares = Shares::within(Some(1024), wanted);
        assert_eq!(shares.connections, 200);
        let all = shares.descriptors() + OTHERS;
        assert!((1020..=1024).contains(&all), "{shares:?}");
    }
}
