//! The settings of `hookturn serve`, with their flags, environment variables, units and defaults.
//!
//! A flag takes precedence over its variable. An empty value counts as not set, since container
//! tools often pass unset variables on as empty.
//!
//! [`ServeArgs`] takes the texts from the command line and [`ServeSettings::new`] parses them. clap
//! does not parse them, because its errors quote bad values, and an error must never show a key or
//! a password, not even one in the wrong flag.

mod api_keys;
mod error;
mod parse;
mod quotas;
mod store;
mod store_url;

use std::num::NonZeroU32;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

pub use self::api_keys::{ApiKey, ApiKeys};
use self::error::named;
pub use self::error::{LISTEN, MASTER_KEY, STORE, SettingError};
pub use self::quotas::QuotaArgs;
pub use self::store::{MasterKeysArg, StoreArg, StoreFileArg};
pub use self::store_url::StoreUrl;
use crate::store::Quotas;
use crate::store::at_rest::MasterKeys;
use crate::telemetry::LogFormat;

/// The unparsed settings of `hookturn serve`, from the command line and the environment.
///
/// It is not `Debug`, since it holds keys.
#[derive(clap::Args, Default)]
pub struct ServeArgs {
    /// The address to listen on, HOST:PORT; port 0 takes a free port [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "HOOKTURN_LISTEN")]
    listen: Option<String>,

    /// A tenant and one of its API keys; repeatable, comma-separated in the variable [default: a
    /// key for tenant `default` is generated and printed once on start]
    ///
    /// A tenant is 1 to 64 characters of A-Z a-z 0-9 _ -, and a key 8 to 256 visible ASCII
    /// characters without a comma. A tenant may have several keys. Prefer the variable: other users
    /// of the machine can see flags.
    #[arg(
        long = "api-key",
        value_name = "TENANT=KEY",
        env = "HOOKTURN_API_KEYS",
        hide_env_values = true
    )]
    api_keys: Vec<String>,

    #[command(flatten)]
    store: StoreArg,

    #[command(flatten)]
    master_keys: MasterKeysArg,

    /// The number of requests per second for each tenant, 1 to 1000000, or `off` [default: 100]
    #[arg(long, value_name = "N|off", env = "HOOKTURN_RATE_LIMIT")]
    rate_limit: Option<String>,

    /// The URL that clients use for the server, for links in answers [default: from --listen]
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKTURN_PUBLIC_URL",
        hide_env_values = true
    )]
    public_url: Option<String>,

    /// The filter of log lines, such as `warn` or `info,hookturn::service=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "HOOKTURN_LOG")]
    log: Option<String>,

    /// The format of log lines, `text` or `json` [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT", env = "HOOKTURN_LOG_FORMAT")]
    log_format: Option<String>,

    /// Development mode: deliveries may go to loopback and private addresses, 2026-03-01 endpoints
    /// may have http: URLs, and the clock can be moved. The variable takes true, false, 1 or 0
    #[arg(long, env = "HOOKTURN_DEV", value_parser = parse::switch)]
    dev: bool,

    /// Serve a store in real time again after its test clock was moved. Grace periods, kept answers
    /// and retries keep the time that they had left. Needed only once; excludes --dev
    #[arg(long, env = "HOOKTURN_END_TEST_CLOCK", value_parser = parse::switch)]
    end_test_clock: bool,

    /// The most connections at a time, 1 to 1000000. If there are more, those that have been idle
    /// longest are closed, first those without a key [default: 4096]
    #[arg(long, value_name = "N", env = "HOOKTURN_MAX_CONNECTIONS")]
    max_connections: Option<String>,

    /// The most connections without a key from one address, 1 to 1000000, or `off`. Behind a proxy
    /// all connections come from its address [default: 1024]
    #[arg(
        long,
        value_name = "N|off",
        env = "HOOKTURN_MAX_CONNECTIONS_PER_ADDRESS"
    )]
    max_connections_per_address: Option<String>,

    /// How many days finished deliveries and the ids of events are kept, 1 to 365 [default: 7]
    #[arg(long, value_name = "DAYS", env = "HOOKTURN_DELIVERY_RETENTION")]
    delivery_retention: Option<String>,

    #[command(flatten)]
    quotas: QuotaArgs,
}

/// The parsed settings of `hookturn serve`.
#[derive(Debug)]
pub struct ServeSettings {
    /// `--listen`: the address to listen on, `HOST:PORT`. The host may be a name that is not
    /// resolved yet.
    pub listen: String,
    /// `--api-key`: the tenants and their keys. When it is empty, the command must generate a key.
    pub api_keys: ApiKeys,
    /// `--store`: where records are kept.
    pub store: StoreUrl,
    /// `--master-key`: the keys that encrypt the store. There is at least one unless the store is
    /// [`StoreUrl::Memory`].
    pub master_keys: Option<MasterKeys>,
    /// `--rate-limit`: requests per second for each tenant, at most 1,000,000; `None` for no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// `--public-url`: absolute, `http` or `https`, without a trailing slash. `None` means that it
    /// follows from the bound address; see [`local_url`].
    pub public_url: Option<String>,
    /// `--log`: the filter of log events.
    pub log: EnvFilter,
    /// `--log-format`: the format of log lines.
    pub log_format: LogFormat,
    /// `--dev`: whether development mode is on.
    pub dev: bool,
    /// `--end-test-clock`: whether to bring a store whose test clock is ahead back to real time.
    /// Never true with `dev`.
    pub end_test_clock: bool,
    /// `--max-connections`: the most connections at a time, 1 to 1,000,000.
    pub max_connections: usize,
    /// `--max-connections-per-address`: the most connections without a key from one address; `None`
    /// for no limit.
    pub max_connections_per_address: Option<usize>,
    /// `--delivery-retention`: how long finished deliveries are kept, 1 to 365 days.
    pub delivery_retention: Duration,
    /// `--quota-endpoints` and the other quotas: what each tenant may keep.
    pub quotas: Quotas,
}

impl ServeSettings {
    /// Parses the settings.
    ///
    /// # Errors
    ///
    /// [`SettingError`] for the first setting, in the order of `--help`, that cannot be used.
    /// Conflicts between settings, such as a durable store without a master key, come last.
    pub fn new(args: ServeArgs) -> Result<Self, SettingError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let or =
            |text: Option<String>, default: &str| given(text).unwrap_or_else(|| default.to_owned());
        let api_keys: Vec<_> = args.api_keys.into_iter().map(Zeroizing::new).collect();
        let listen = named(LISTEN, parse::listen(or(args.listen, "127.0.0.1:8080")))?;
        let api_keys = named("--api-key (HOOKTURN_API_KEYS)", ApiKeys::parse(&api_keys))?;
        let store = args.store.parse()?;
        let settings = Self {
            listen,
            api_keys,
            master_keys: args.master_keys.parse()?,
            rate_limit: named(
                "--rate-limit (HOOKTURN_RATE_LIMIT)",
                parse::rate_limit(&or(args.rate_limit, "100")),
            )?,
            public_url: named(
                "--public-url (HOOKTURN_PUBLIC_URL)",
                given(args.public_url)
                    .as_deref()
                    .map(parse::public_url)
                    .transpose(),
            )?,
            log: named("--log (HOOKTURN_LOG)", parse::log(&or(args.log, "info")))?,
            log_format: named(
                "--log-format (HOOKTURN_LOG_FORMAT)",
                given(args.log_format)
                    .as_deref()
                    .map_or_else(|| Ok(LogFormat::for_stderr()), parse::log_format),
            )?,
            dev: args.dev,
            end_test_clock: args.end_test_clock,
            max_connections: named(
                "--max-connections (HOOKTURN_MAX_CONNECTIONS)",
                parse::max_connections(&or(args.max_connections, "4096")),
            )?,
            max_connections_per_address: named(
                "--max-connections-per-address (HOOKTURN_MAX_CONNECTIONS_PER_ADDRESS)",
                match &*or(args.max_connections_per_address, "1024") {
                    "off" => Ok(None),
                    text => parse::max_connections(text)
                        .map(Some)
                        .map_err(|mend| format!("{mend}, or off")),
                },
            )?,
            delivery_retention: named(
                "--delivery-retention (HOOKTURN_DELIVERY_RETENTION)",
                parse::days(&or(args.delivery_retention, "7")),
            )?,
            quotas: args.quotas.parse(&store)?,
            store,
        };
        if settings.dev && settings.end_test_clock {
            return Err(SettingError::new(
                "--end-test-clock (HOOKTURN_END_TEST_CLOCK)",
                "it cannot be used with --dev (HOOKTURN_DEV), which keeps the test clock; give one of the two",
            ));
        }
        if settings.store != StoreUrl::Memory && settings.master_keys.is_none() {
            return Err(SettingError::no_master_key());
        }
        Ok(settings)
    }
}

pub(crate) use parse::listen as listen_address;
pub use parse::local_url;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_store_that_outlives_the_program_needs_a_master_key() {
        let settings = |store: &str, master_keys: &[&str]| {
            ServeSettings::new(ServeArgs {
                store: StoreArg {
                    store: Some(store.to_owned()),
                },
                master_keys: MasterKeysArg {
                    master_keys: master_keys.iter().map(|&key| key.to_owned()).collect(),
                },
                ..ServeArgs::default()
            })
        };
        let key = "k1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=";
        for none in [&[][..], &[""]] {
            let refused = settings("sqlite:hookturn.db", none).map(|_| ());
            assert_eq!(refused, Err(SettingError::no_master_key()));
        }
        let taken = settings("sqlite:hookturn.db", &[key]).expect("sound settings");
        let first = taken.master_keys.as_ref().map(MasterKeys::first_id);
        assert_eq!(first, Some("k1"));
        assert!(!format!("{taken:?}").contains("AAECAw"));
        assert!(settings("memory:", &[]).is_ok() && settings("memory:", &[key]).is_ok());
    }
}
