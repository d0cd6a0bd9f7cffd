//! The limits on connections.

use std::time::Duration;

/// The limits on connections.
#[derive(Clone, Debug)]
pub struct Limits {
    /// The maximum number of connections at a time. Default 4096; at least 1.
    ///
    /// Connections that have sent no valid key get at most three quarters of them, those that have
    /// sent one get all but a sixteenth, and those with a key of one tenant get half. When there is
    /// no room for a new connection, the one without a key that has been idle longest is ended.
    /// When there is no room among those with a key, an idle one is ended, of this tenant if it has
    /// half, or else of a tenant that has as many. If all of them are busy, the connection stays
    /// among those without a key.
    pub max_connections: usize,
    /// The maximum number of connections at a time that come from one address (or one /64 network
    /// of IPv6) and have sent no valid key. Beyond it, the one that has been idle longest is ended.
    /// `None` means that there is no such limit. Default: 1024.
    pub max_connections_per_address: Option<usize>,
    /// How long a request head may take to complete.
    ///
    /// For the first head of a connection, the time begins when the connection is accepted. For
    /// later heads on HTTP/1 it begins with their first byte. Later heads on HTTP/2 have no such
    /// limit: they arrive in frames that hyper counts, and those frames look like the PING of an
    /// idle peer. Default 10 s.
    pub header_timeout: Duration,
    /// How long a connection may have no request in flight. Also how long a peer may take to read
    /// the last response. Default 75 s.
    pub idle_timeout: Duration,
    /// How long requests in flight may take to finish when the server stops. Default 25 s.
    pub drain_timeout: Duration,
    /// The paths of health probes, which do not wait for the turns of other requests. Default:
    /// none.
    pub probes: &'static [&'static str],
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 4096,
            max_connections_per_address: Some(1024),
            header_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(75),
            drain_timeout: Duration::from_secs(25),
            probes: &[],
        }
    }
}
