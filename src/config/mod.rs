//! Every setting of `hookturn serve`: its flag, its environment variable, its unit and its default.
//!
//! A flag takes precedence over its variable, and an empty value counts as not given, as container
//! set-ups pass on unset variables as empty ones. [`ServeArgs`] takes the texts from the command
//! line and [`ServeSettings::new`] parses them here rather than within clap, which quotes a bad
//! value in its errors: a setting's error must never show a key or a password, also not one that
//! was misplaced into the wrong flag.

mod api_keys;
mod parse;
mod store;

use std::num::NonZeroU32;
use std::time::Duration;

use tracing_subscriber::EnvFilter;
use zeroize::Zeroizing;

pub use self::api_keys::{ApiKey, ApiKeys};
pub use self::store::{MasterKeysArg, Store, StoreArg};
use crate::store::at_rest::MasterKeys;
use crate::telemetry::LogFormat;

/// The settings of `hookturn serve` as they stand on the command line and in the environment:
/// unparsed texts.
///
/// Not `Debug`, since it holds keys.
#[derive(clap::Args, Default)]
pub struct ServeArgs {
    /// Where to listen: HOST:PORT, port 0 for any free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDR", env = "HOOKTURN_LISTEN")]
    listen: Option<String>,

    /// A tenant and one of its API keys; repeatable, and in the variable comma-separated [default:
    /// one is generated for tenant `default` and printed once on start]
    ///
    /// A tenant is 1 to 64 of A-Z a-z 0-9 _ -, a key 8 to 256 visible ASCII characters without a
    /// comma. A tenant may have several keys. Prefer the variable: other users of the machine can
    /// see flags.
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

    /// Requests that each tenant may make a second, 1 to 1000000, or `off` [default: 100]
    #[arg(long, value_name = "N|off", env = "HOOKTURN_RATE_LIMIT")]
    rate_limit: Option<String>,

    /// The server's URL as clients see it, for links in answers [default: from --listen]
    #[arg(
        long,
        value_name = "URL",
        env = "HOOKTURN_PUBLIC_URL",
        hide_env_values = true
    )]
    public_url: Option<String>,

    /// What to log, such as `warn` or `info,hookturn::service=debug` [default: info]
    #[arg(long, value_name = "FILTER", env = "HOOKTURN_LOG")]
    log: Option<String>,

    /// `text` or `json` [default: text on a terminal, else json]
    #[arg(long, value_name = "FORMAT", env = "HOOKTURN_LOG_FORMAT")]
    log_format: Option<String>,

    /// For development: deliveries may go to loopback and private addresses, 2026-03-01 endpoints
    /// may have http: URLs, and the clock can be moved. The variable takes true, false, 1 or 0
    #[arg(long, env = "HOOKTURN_DEV", value_parser = parse::switch)]
    dev: bool,

    /// Serve a store in real time again after its test clock was moved: graces, remembered answers
    /// and retries keep the time that they had left. Needed only once; not with --dev
    #[arg(long, env = "HOOKTURN_END_TEST_CLOCK", value_parser = parse::switch)]
    end_test_clock: bool,

    /// Connections at a time, 1 to 1000000; more of them wait unaccepted [default: 4096]
    #[arg(long, value_name = "N", env = "HOOKTURN_MAX_CONNECTIONS")]
    max_connections: Option<String>,

    /// Days for which finished deliveries, and the ids of events, are kept, 1 to 365 [default: 7]
    #[arg(long, value_name = "DAYS", env = "HOOKTURN_DELIVERY_RETENTION")]
    delivery_retention: Option<String>,
}

/// The parsed settings of `hookturn serve`.
#[derive(Debug)]
pub struct ServeSettings {
    /// `--listen`: where to listen, `HOST:PORT`; the host may be a name that is yet to be resolved.
    pub listen: String,
    /// `--api-key`: who may call. Empty when none was given: then the caller must make one.
    pub api_keys: ApiKeys,
    /// `--store`: where records are kept.
    pub store: Store,
    /// `--master-key`: what encrypts at rest. There is one unless the store is [`Store::Memory`].
    pub master_keys: Option<MasterKeys>,
    /// `--rate-limit`: requests a second for each tenant, at most 1,000,000; `None` for no limit.
    pub rate_limit: Option<NonZeroU32>,
    /// `--public-url`: absolute, `http` or `https`, without a trailing slash. `None` when it is to
    /// follow from the address that was bound: see [`local_url`].
    pub public_url: Option<String>,
    /// `--log`: which events are logged.
    pub log: EnvFilter,
    /// `--log-format`: how they are written.
    pub log_format: LogFormat,
    /// `--dev`: whether the aids for development are on.
    pub dev: bool,
    /// `--end-test-clock`: whether a store whose test clock is ahead is brought back to real time.
    /// Never with `dev`.
    pub end_test_clock: bool,
    /// `--max-connections`: connections at a time, 1 to 1,000,000.
    pub max_connections: usize,
    /// `--delivery-retention`: for how long finished deliveries are kept, 1 to 365 days.
    pub delivery_retention: Duration,
}

/// A setting that cannot be used. Its text is one line, names the flag and the variable and says
/// how to mend it; it never shows the value of a setting that can hold a secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting}: {problem}")]
pub struct SettingError {
    setting: &'static str,
    problem: String,
}

impl SettingError {
    /// An error of `setting`, which is written `--flag (VARIABLE)`.
    #[must_use]
    pub fn new(setting: &'static str, problem: impl Into<String>) -> Self {
        Self {
            setting,
            problem: problem.into(),
        }
    }

    /// A durable store, and no master key for it: never is a secret at rest that is not encrypted.
    #[must_use]
    pub fn no_master_key() -> Self {
        Self::new(
            MASTER_KEY,
            "a store that outlives the program needs a master key, to encrypt what it keeps; `hookturn keys generate` \
             makes one",
        )
    }
}

/// How `--listen` is named in errors.
pub const LISTEN: &str = "--listen (HOOKTURN_LISTEN)";

/// How `--store` is named in errors.
pub const STORE: &str = "--store (HOOKTURN_STORE)";

/// How `--master-key` is named in errors.
pub const MASTER_KEY: &str = "--master-key (HOOKTURN_MASTER_KEYS)";

impl ServeSettings {
    /// Parses the settings.
    ///
    /// # Errors
    ///
    /// [`SettingError`] for the first setting, in the order of `--help`, that cannot be used; a
    /// durable store without a master key is told when all else is sound.
    pub fn new(args: ServeArgs) -> Result<Self, SettingError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let or =
            |text: Option<String>, default: &str| given(text).unwrap_or_else(|| default.to_owned());
        let api_keys: Vec<_> = args.api_keys.into_iter().map(Zeroizing::new).collect();
        let settings = Self {
            listen: named(LISTEN, parse::listen(or(args.listen, "127.0.0.1:8080")))?,
            api_keys: named("--api-key (HOOKTURN_API_KEYS)", ApiKeys::parse(&api_keys))?,
            store: args.store.parse()?,
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
            delivery_retention: named(
                "--delivery-retention (HOOKTURN_DELIVERY_RETENTION)",
                parse::days(&or(args.delivery_retention, "7")),
            )?,
        };
        if settings.dev && settings.end_test_clock {
            return Err(SettingError::new(
                "--end-test-clock (HOOKTURN_END_TEST_CLOCK)",
                "with --dev (HOOKTURN_DEV) the test clock goes on; give one of the two",
            ));
        }
        if settings.store != Store::Memory && settings.master_keys.is_none() {
            return Err(SettingError::no_master_key());
        }
        Ok(settings)
    }
}

fn named<T>(setting: &'static str, parsed: Result<T, String>) -> Result<T, SettingError> {
    parsed.map_err(|problem| SettingError { setting, problem })
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
