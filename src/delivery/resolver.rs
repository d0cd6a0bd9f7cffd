//! Looks up host names as the system is configured to, without a thread for each look-up.
//!
//! The look-up of the C library blocks its thread until the name server answers. So a few hundred
//! names that nobody answers for would take all threads that look-ups can have, and every other
//! name would wait. Here a look-up is a task: it costs two sockets while it lasts, and ends with
//! its attempt. The attempts in flight limit the look-ups, in all and for each tenant.

use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::time::{Duration, SystemTime};

use async_trait::async_trait;
use hickory_resolver::TokioResolver;
use hickory_resolver::config::{
    LookupIpStrategy, NameServerConfig, ResolveHosts, ResolverConfig, ResolverOpts,
};
use hickory_resolver::net::NetError;
use hickory_resolver::net::runtime::TokioRuntimeProvider;
use parking_lot::Mutex;
use tokio::time::Instant;

use super::dialer::Resolve;

/// The files that say how names are looked up.
const FILES: [&str; 2] = ["/etc/resolv.conf", "/etc/hosts"];

/// How often to look whether the files have changed.
const LOOK_AT_MOST_EVERY: Duration = Duration::from_secs(5);

/// How long an address may be used after it was looked up, whatever its record says. The same as
/// the age of a connection.
const LONGEST_TTL: Duration = Duration::from_secs(5 * 60);

/// How long the answer that a name does not exist is used.
const LONGEST_NEGATIVE_TTL: Duration = Duration::from_secs(10);

/// The resolver that `/etc/resolv.conf` and `/etc/hosts` describe.
#[derive(Default)]
pub struct SystemResolver(Mutex<Option<Configured>>);

/// A resolver, and the state of the files from which it was made.
struct Configured {
    resolver: TokioResolver,
    files: [Option<SystemTime>; 2],
    looked_at: Instant,
}

impl std::fmt::Debug for SystemResolver {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("SystemResolver")
    }
}

impl SystemResolver {
    /// Returns a resolver that asks only the name server at this address, besides `/etc/hosts`.
    ///
    /// # Errors
    ///
    /// When the resolver cannot be made.
    pub fn asking(server: SocketAddr) -> io::Result<Self> {
        let mut of_server = NameServerConfig::udp_and_tcp(server.ip());
        for connection in &mut of_server.connections {
            connection.port = server.port();
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![of_server]);
        let resolver = build(config, ResolverOpts::default())?;
        Ok(Self(Mutex::new(Some(Configured {
            resolver,
            files: stamps(),
            // Never again.
            looked_at: Instant::now() + Duration::from_secs(86_400 * 365),
        }))))
    }

    fn current(&self) -> io::Result<TokioResolver> {
        let mut configured = self.0.lock();
        let now = Instant::now();
        if let Some(known) = &mut *configured {
            if now.saturating_duration_since(known.looked_at) < LOOK_AT_MOST_EVERY {
                return Ok(known.resolver.clone());
            }
            known.looked_at = now;
            if known.files == stamps() {
                return Ok(known.resolver.clone());
            }
        }
        let files = stamps();
        let (config, options) = match hickory_resolver::system_conf::read_system_conf() {
            Ok(system) => system,
            Err(error) => {
                // The C library asks the name server of this machine then.
                tracing::debug!(%error, "cannot read /etc/resolv.conf; asking the name server of this machine");
                let local = NameServerConfig::udp_and_tcp(IpAddr::V4(Ipv4Addr::LOCALHOST));
                let config = ResolverConfig::from_parts(None, Vec::new(), vec![local]);
                (config, ResolverOpts::default())
            }
        };
        let resolver = build(config, options)?;
        *configured = Some(Configured {
            resolver: resolver.clone(),
            files,
            looked_at: now,
        });
        Ok(resolver)
    }
}

fn build(config: ResolverConfig, mut options: ResolverOpts) -> io::Result<TokioResolver> {
    options.ip_strategy = LookupIpStrategy::Ipv6AndIpv4;
    options.use_hosts_file = ResolveHosts::Always;
    options.positive_max_ttl = Some(LONGEST_TTL);
    options.negative_max_ttl = Some(LONGEST_NEGATIVE_TTL);
    let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
    *builder.options_mut() = options;
    builder.build().map_err(io::Error::other)
}

fn stamps() -> [Option<SystemTime>; 2] {
    let stamp = |path: &str| Path::new(path).metadata().and_then(|file| file.modified());
    FILES.map(|path| stamp(path).ok())
}

#[async_trait]
impl Resolve for SystemResolver {
    async fn resolve(&self, host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
        if let Ok(address) = host.parse::<IpAddr>() {
            return Ok(vec![SocketAddr::new(address, port)]);
        }
        // The name server may not know that these names never exist (RFC 6761, section 6.4).
        let name = host.trim_end_matches('.').to_ascii_lowercase();
        if name == "invalid" || name.ends_with(".invalid") {
            return Err(io::ErrorKind::NotFound.into());
        }
        let resolver = self.current()?;
        let found = resolver.lookup_ip(host).await.map_err(as_io)?;
        let addresses = found.iter().map(|address| SocketAddr::new(address, port));
        Ok(addresses.collect())
    }
}

/// Turns the error of a look-up into one that tells whether the host exists.
fn as_io(error: NetError) -> io::Error {
    if error.is_nx_domain() || error.is_no_records_found() {
        return io::Error::new(io::ErrorKind::NotFound, error);
    }
    // The error does not say whether there was a descriptor for the question.
    match UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)) {
        Err(own) => own,
        Ok(_) => io::Error::new(io::ErrorKind::TimedOut, error),
    }
}
