//! Opens a TCP connection to a host: resolves the host, checks each address with the guard, dials.
//!
//! Host names and IP addresses in URLs take the same way. So addresses are checked in one place,
//! and no spelling of an address avoids the check. (hyper's own connector does not pass IP
//! addresses to its resolver. So a guarded resolver is not enough, and its version of RFC 8305
//! cannot be used.)
//!
//! An address that leads nowhere must not cost an attempt if another address works. So the
//! addresses are dialled one after the other, without waiting for each to fail (RFC 8305, "Happy
//! Eyeballs").

use std::collections::HashSet;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use std::{fmt, io};

use async_trait::async_trait;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use hyper::Uri;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tower::Service;

use super::blocks::Blocked;
use super::egress::EgressGuard;
use super::socket::{OpenSockets, Socket};

/// The maximum number of addresses of one host that are dialled, so that the DNS response of one
/// host cannot make this server connect to hundreds of addresses.
const MAX_ADDRESSES: usize = 8;

/// How long the look-up of a host may take. It leaves time to tell that it was the look-up that
/// took the time of the attempt.
const LOOKUP_TIMEOUT: Duration = Duration::from_secs(10);

/// How long to wait for a connection before the next address is dialled as well (RFC 8305, section
/// 8).
const NEXT_ADDRESS: Duration = Duration::from_millis(250);

/// Finds the addresses of hosts.
#[async_trait]
pub trait Resolve: fmt::Debug + Send + Sync {
    /// Returns the addresses of `host`, best first. `host` is a name or an IP address without
    /// brackets.
    ///
    /// # Errors
    ///
    /// Returns an error when no address was found: of the kind
    /// [`NotFound`](io::ErrorKind::NotFound) if the host has none, so that the attempt fails with
    /// `host not found`, and of another kind if the look-up failed.
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>>;
}

/// The reason why no connection was opened. It prints as the text of the attempt's `error`.
#[derive(Debug, thiserror::Error)]
pub(super) enum DialError {
    #[error("host not found")]
    HostNotFound,
    #[error("host lookup failed")]
    LookupFailed(#[source] io::Error),
    #[error("address not allowed: {0}")]
    NotAllowed(Blocked),
    #[error("connection timed out")]
    TimedOut,
    #[error("connection failed")]
    Io(#[source] io::Error),
}

/// Opens TCP connections to permitted addresses.
#[derive(Clone, Debug)]
pub(super) struct Dialer {
    pub(super) guard: EgressGuard,
    pub(super) resolver: Arc<dyn Resolve>,
    /// The time limit for each address of a host.
    pub(super) timeout: Duration,
    /// Counts the connections.
    pub(super) open: OpenSockets,
}

impl Dialer {
    async fn dial(self, uri: Uri) -> Result<Socket, DialError> {
        let host = uri.host().unwrap_or_default();
        // Only a URL has brackets around an IPv6 address (RFC 3986, section 3.2.2).
        let host = host
            .strip_prefix('[')
            .and_then(|host| host.strip_suffix(']'))
            .unwrap_or(host);
        let default_port = if uri.scheme_str() == Some("https") {
            443
        } else {
            80
        };
        let port = uri.port_u16().unwrap_or(default_port);
        let addresses = timeout(LOOKUP_TIMEOUT, self.resolver.resolve(host, port)).await;
        let addresses = addresses.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()));
        let addresses = addresses.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => DialError::HostNotFound,
            _ => DialError::LookupFailed(error),
        })?;
        let stream = self.dial_first_of(addresses).await?;
        Socket::new(stream, &self.open).map_err(DialError::Io)
    }

    /// Returns a connection to the address that connects first. The other connections are dropped.
    async fn dial_first_of(&self, addresses: Vec<SocketAddr>) -> Result<TcpStream, DialError> {
        // If no address connects, the last failure is reported. A closed address is reported only
        // if nothing else failed.
        let mut closed = None;
        let mut failure = None;
        let mut permitted = in_turn(addresses)
            .into_iter()
            .filter(|address| match self.guard.check(address.ip()) {
                Ok(()) => true,
                Err(class) => {
                    closed.get_or_insert(class);
                    false
                }
            })
            .take(MAX_ADDRESSES);
        let mut dialled = FuturesUnordered::new();
        loop {
            let next = permitted.next();
            let is_last = next.is_none();
            dialled.extend(next.map(|address| self.connect(address)));
            let ended = if is_last {
                dialled.next().await
            } else {
                let Ok(ended) = timeout(NEXT_ADDRESS, dialled.next()).await else {
                    continue;
                };
                ended
            };
            match ended {
                Some(Ok(stream)) => return Ok(stream),
                Some(Err(error)) => failure = Some(error),
                None => break,
            }
        }
        let not_dialled = || closed.map_or(DialError::HostNotFound, DialError::NotAllowed);
        Err(failure.unwrap_or_else(not_dialled))
    }

    async fn connect(&self, address: SocketAddr) -> Result<TcpStream, DialError> {
        let connected = timeout(self.timeout, TcpStream::connect(address)).await;
        connected
            .map_err(|_| DialError::TimedOut)?
            .map_err(DialError::Io)
    }
}

impl Service<Uri> for Dialer {
    type Response = Socket;
    type Error = DialError;
    type Future = Pin<Box<dyn Future<Output = Result<Socket, DialError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        Box::pin(self.clone().dial(uri))
    }
}

/// Returns the addresses in the order in which they are dialled: the two address families
/// alternate, beginning with the family of the first address, and within a family the resolver's
/// order is kept (RFC 8305, section 4). Each address appears once, in the form in which it is
/// checked and dialled.
fn in_turn(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let mut seen = HashSet::new();
    let (mut first, mut second) = (Vec::new(), Vec::new());
    for address in addresses {
        let address = SocketAddr::new(address.ip().to_canonical(), address.port());
        if seen.insert(address) {
            let is_first = first
                .first()
                .is_none_or(|first: &SocketAddr| first.is_ipv4() == address.is_ipv4());
            if is_first { &mut first } else { &mut second }.push(address);
        }
    }
    let mut ordered = Vec::with_capacity(first.len() + second.len());
    let mut second = second.into_iter();
    for address in first {
        ordered.push(address);
        ordered.extend(second.next());
    }
    ordered.extend(second);
    ordered
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_come_in_turn_and_each_address_once() {
        let addresses = |texts: &[&str]| -> Vec<SocketAddr> {
            let parse = |text: &&str| SocketAddr::new(text.parse().expect("an address"), 80);
            texts.iter().map(parse).collect()
        };
        for (found, expected) in [
            (&[][..], &[][..]),
            (
                &["::1", "::2", "::3", "1.1.1.1"],
                &["::1", "1.1.1.1", "::2", "::3"],
            ),
            (
                &["1.1.1.1", "::1", "::2", "::3"],
                &["1.1.1.1", "::1", "::2", "::3"],
            ),
            (
                &["::1", "::1", "::2", "1.1.1.1", "1.1.1.2"],
                &["::1", "1.1.1.1", "::2", "1.1.1.2"],
            ),
            (&["::ffff:1.1.1.1", "1.1.1.1", "::1"], &["1.1.1.1", "::1"]),
        ] {
            assert_eq!(in_turn(addresses(found)), addresses(expected), "{found:?}");
        }
    }
}
