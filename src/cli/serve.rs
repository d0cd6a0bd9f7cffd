//! `hookturn serve`: runs the server until it is told to stop.

use std::io::{self, Write as _};
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::{runtime, task};
use zeroize::Zeroizing;

use super::build::{BuiltServer, Parts};
use super::descriptors::{self, Shares};
use crate::api::pages;
use crate::cli::command_error::CommandError;
use crate::config::{ApiKey, ApiKeys, LISTEN, ServeArgs, ServeSettings, SettingError, local_url};
use crate::cores::{Cores, Threads};
use crate::delivery::SenderOptions;
use crate::server::Limits;
use crate::store::StoreLimits;
use crate::{random, telemetry};

/// The tenant of a generated key.
const DEFAULT_TENANT: &str = "default";

/// How long to wait at the end for tasks that are still blocked in a system call. Together with the
/// server's own drain timeout and the second for the last lines of the log it must be below 30 s,
/// within which the program promises to end.
pub(super) const LAST_WAIT: Duration = Duration::from_secs(1);

pub(super) fn run(args: ServeArgs) -> Result<(), CommandError> {
    let settings = ServeSettings::new(args)?;
    // Dropped last, so that the log has the last lines of everything else.
    let _log = telemetry::init(settings.log.clone(), settings.log_format)
        .map_err(|error| CommandError::new(&format!("cannot start logging: {error}")))?;
    let limit = descriptors::raise_limit()?;
    let no_threads = |error| CommandError::new(&format!("cannot start threads: {error}"));
    let threads = Threads::start().map_err(no_threads)?;
    // A separate runtime, so that accepting connections does not wait for the connections of one
    // core.
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_threads)?;
    let outcome = runtime.block_on(serve(settings, threads.cores().clone(), limit));
    threads.stop(LAST_WAIT);
    runtime.shutdown_timeout(LAST_WAIT);
    outcome
}

/// Starts the server and runs it.
///
/// `limit` is the limit of file descriptors. All steps that can fail come before the first request
/// is answered. A generated key is printed only when the server is ready, so that it can be used at
/// once.
async fn serve(
    settings: ServeSettings,
    cores: Cores,
    limit: Option<usize>,
) -> Result<(), CommandError> {
    let mut stop = Stop::install()?;
    let listener = bind(LISTEN, &settings.listen).await?;
    let address = listener.local_addr().map_err(|error| {
        CommandError::new(&format!("{LISTEN}: {error}; choose another address"))
    })?;
    let url = local_url(address);
    let generated = settings
        .api_keys
        .is_empty()
        .then(generate_key)
        .transpose()?;
    let keys = match &generated {
        Some(key) => ApiKeys::one(DEFAULT_TENANT, key.clone())
            .map_err(|problem| CommandError::new(&problem))?,
        None => settings.api_keys,
    };
    let wanted = Shares {
        connections: settings.max_connections,
        attempts: StoreLimits::default().in_flight,
        idle: SenderOptions::default().max_idle,
    };
    let shares = Shares::within(limit, wanted);
    let built = BuiltServer::new(Parts {
        max_idle: shares.idle,
        cores,
        store: settings.store,
        master_keys: settings.master_keys,
        keys: keys
            .iter()
            .map(|(tenant, key)| (tenant, key.expose()))
            .collect(),
        rate_limit: settings.rate_limit,
        public_url: settings.public_url.unwrap_or_else(|| url.clone()),
        dev: settings.dev,
        end_test_clock: settings.end_test_clock,
        store_limits: StoreLimits {
            retention: settings.delivery_retention,
            quotas: settings.quotas,
            in_flight: shares.attempts,
            ..StoreLimits::default()
        },
    })?;
    if let Some(key) = generated {
        let told = task::spawn_blocking(move || announce(&url, &key));
        tokio::select! {
            // A panic has been logged.
            told = told => told.unwrap_or(Ok(()))?,
            // The print may be blocked, when nobody reads standard output.
            () = stop.asked() => return Ok(()),
        }
    }
    let limits = Limits {
        max_connections: shares.connections,
        max_connections_per_address: settings.max_connections_per_address,
        probes: pages::PROBES,
        ..Limits::default()
    };

    tracing::info!(
        %address,
        dev = settings.dev,
        connections = shares.connections,
        attempts = shares.attempts,
        descriptors = limit,
        "listening"
    );
    shares.warn_if_less(limit, wanted);
    let stopping = async move {
        stop.asked().await;
        tracing::info!("stopping: requests in flight may finish");
    };
    built.run(listener, limits, stopping).await;
    tracing::info!("stopped");
    Ok(())
}

/// How many connections may wait to be accepted. The system may allow fewer. Further ones are tried
/// again by their clients only after a second, so thousands that come at once must have room.
const WAITING_CONNECTIONS: i32 = 4096;

/// Listens on `address`, the value of `setting`.
pub(super) async fn bind(
    setting: &'static str,
    address: &str,
) -> Result<TcpListener, SettingError> {
    let listener = TcpListener::bind(address).await;
    let listener = listener.and_then(|listener| {
        rustix::net::listen(&listener, WAITING_CONNECTIONS)?;
        Ok(listener)
    });
    listener.map_err(|error| {
        let mend = match error.kind() {
            io::ErrorKind::AddrInUse => {
                "stop the program that listens there, or choose another port"
            }
            io::ErrorKind::PermissionDenied => "choose a port above 1023",
            _ => "choose an address of this machine",
        };
        SettingError::new(
            setting,
            format!("cannot listen on {address}: {error}; {mend}"),
        )
    })
}

/// Prints the generated API key, once.
fn announce(url: &str, key: &ApiKey) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    let text = Zeroizing::new(format!(
        "Hookturn listens on {url} and is documented at {url}/docs\n\
         \n\
         No API key is configured, so this one was generated for tenant `{DEFAULT_TENANT}`. It is shown only here and ends\n\
         with this process:\n\
         \n    {key}\n\n\
         Register an endpoint:\n\
         \n    curl --json '{{\"url\":\"https://example.com/hook\"}}' -H 'Authorization: Bearer {key}' \
         {url}/webhooks/endpoints\n\n",
        key = key.expose(),
    ));
    out.write_all(text.as_bytes())
        .and_then(|()| out.flush())
        .map_err(|error| {
            CommandError::new(&format!(
                "--api-key (HOOKTURN_API_KEYS): no key is configured, and the generated one cannot be \
                 written to standard output: {error}; configure a key"
            ))
        })
}

fn generate_key() -> Result<ApiKey, CommandError> {
    let bytes = random::key().map_err(|error| CommandError::new(&error.to_string()))?;
    let text = Zeroizing::new(format!(
        "hk_{}",
        *Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(*bytes))
    ));
    ApiKey::parse(&text).map_err(|problem| CommandError::new(&problem))
}

/// The signals that stop the program: SIGTERM, from service managers, and SIGINT, from Ctrl-C.
pub(super) struct Stop {
    terminate: Signal,
    interrupt: Signal,
}

impl Stop {
    /// Takes over the signals, which no longer end the process by themselves.
    pub(super) fn install() -> Result<Self, CommandError> {
        let listen = |kind| {
            signal(kind)
                .map_err(|error| CommandError::new(&format!("cannot listen for signals: {error}")))
        };
        Ok(Self {
            terminate: listen(SignalKind::terminate())?,
            interrupt: listen(SignalKind::interrupt())?,
        })
    }

    /// Waits until the process is asked to stop.
    pub(super) async fn asked(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
