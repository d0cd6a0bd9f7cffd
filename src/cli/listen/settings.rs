//! The settings of `hookturn listen`, with their flags, variables and bounds.

use std::path::PathBuf;
use std::time::Duration;

use axum::http::StatusCode;

use super::forward::Target;
use crate::cli::secrets::{Names, SecretSource};
use crate::config::{SettingError, listen_address};
use crate::domain::verification::DEFAULT_TOLERANCE;

/// How `--listen` is named in errors.
pub(super) const LISTEN: &str = "--listen (HOOKTURN_LISTEN_ADDR)";
const STATUS: &str = "--status (HOOKTURN_LISTEN_STATUS)";
const DELAY: &str = "--delay (HOOKTURN_LISTEN_DELAY)";
const FAIL_RATE: &str = "--fail-rate (HOOKTURN_LISTEN_FAIL_RATE)";
const FORWARD: &str = "--forward (HOOKTURN_LISTEN_FORWARD)";
const TOLERANCE: &str = "--tolerance (HOOKTURN_LISTEN_TOLERANCE)";
const SECRETS: Names = Names {
    flag: "--secret (HOOKTURN_LISTEN_SECRETS)",
    file: "--secrets-file (HOOKTURN_LISTEN_SECRETS_FILE)",
};

/// The longest delay in seconds: an hour. Senders give up long before.
const MAX_DELAY: f64 = 3600.0;

/// The unparsed settings of `hookturn listen`. It is not `Debug`, since it holds secrets.
#[derive(clap::Args)]
pub(in crate::cli) struct ListenArgs {
    /// The address to listen on, HOST:PORT; port 0 takes a free port [default: 127.0.0.1:9000]
    #[arg(long, value_name = "ADDR", env = "HOOKTURN_LISTEN_ADDR")]
    listen: Option<String>,

    /// A signing secret, `whsec_…`; repeatable, comma-separated in the variable
    ///
    /// Give the old and the new secret to see which of them signs during a rotation. Prefer the
    /// variable or the file: other users of the machine can see flags.
    #[arg(
        long = "secret",
        value_name = "SECRET",
        env = "HOOKTURN_LISTEN_SECRETS",
        hide_env_values = true
    )]
    secrets: Vec<String>,

    /// A file of signing secrets, one per line, also as `NAME=whsec_…`; `#` starts a comment line
    ///
    /// It is read again for each delivery, so that you can edit it to rehearse a rotation.
    #[arg(long, value_name = "PATH", env = "HOOKTURN_LISTEN_SECRETS_FILE")]
    secrets_file: Option<PathBuf>,

    /// Answer every delivery with this status, 200 to 599 [default: 200 when verified, else 401]
    #[arg(long, value_name = "CODE", env = "HOOKTURN_LISTEN_STATUS")]
    status: Option<String>,

    /// Wait this many seconds before each answer, 0 to 3600, such as 0.5 [default: 0]
    #[arg(long, value_name = "SECONDS", env = "HOOKTURN_LISTEN_DELAY")]
    delay: Option<String>,

    /// Answer this percentage of deliveries with 500, spread evenly, to see retries [default: 0]
    #[arg(long, value_name = "PERCENT", env = "HOOKTURN_LISTEN_FAIL_RATE")]
    fail_rate: Option<String>,

    /// Forward every delivery to this local URL, verified or not, and return its answer
    ///
    /// The request keeps its method, headers and body, so that the server there can verify it too.
    /// Only http: URLs.
    #[arg(long, value_name = "URL", env = "HOOKTURN_LISTEN_FORWARD")]
    forward: Option<String>,

    /// How many seconds a timestamp may differ from this machine's clock [default: 300]
    #[arg(long, value_name = "SECONDS", env = "HOOKTURN_LISTEN_TOLERANCE")]
    tolerance: Option<String>,
}

/// The parsed settings.
pub(super) struct ListenSettings {
    pub listen: String,
    pub secrets: SecretSource,
    pub status: Option<StatusCode>,
    pub delay: Duration,
    /// 0 to 100.
    pub fail_rate: u64,
    pub forward: Option<Target>,
    pub tolerance: Duration,
}

impl ListenSettings {
    pub(super) fn new(args: ListenArgs) -> Result<Self, SettingError> {
        let given = |text: Option<String>| text.filter(|text| !text.is_empty());
        let listen = given(args.listen).unwrap_or_else(|| "127.0.0.1:9000".to_owned());
        let settings = Self {
            listen: named(LISTEN, listen_address(listen))?,
            secrets: SecretSource::new(&SECRETS, args.secrets, args.secrets_file)?,
            status: named(
                STATUS,
                given(args.status).as_deref().map(status).transpose(),
            )?,
            delay: match given(args.delay) {
                None => Duration::ZERO,
                Some(text) => named(DELAY, delay(&text))?,
            },
            fail_rate: match given(args.fail_rate) {
                None => 0,
                Some(text) => named(FAIL_RATE, fail_rate(&text))?,
            },
            forward: named(
                FORWARD,
                given(args.forward)
                    .as_deref()
                    .map(Target::parse)
                    .transpose(),
            )?,
            tolerance: match given(args.tolerance) {
                None => DEFAULT_TOLERANCE,
                Some(text) => named(TOLERANCE, tolerance(&text))?,
            },
        };
        if settings.forward.is_some() && settings.status.is_some() {
            let problem = "it cannot be used with --status, since the target decides the status; leave one out";
            return Err(SettingError::new(FORWARD, problem));
        }
        Ok(settings)
    }
}

fn named<T>(setting: &'static str, parsed: Result<T, String>) -> Result<T, SettingError> {
    parsed.map_err(|problem| SettingError::new(setting, problem))
}

fn status(text: &str) -> Result<StatusCode, String> {
    text.parse::<u16>()
        .ok()
        .filter(|code| (200..=599).contains(code))
        .and_then(|code| StatusCode::from_u16(code).ok())
        .ok_or_else(|| "write a status, 200 to 599".to_owned())
}

fn delay(text: &str) -> Result<Duration, String> {
    text.parse::<f64>()
        .ok()
        .filter(|seconds| (0.0..=MAX_DELAY).contains(seconds))
        .and_then(|seconds| Duration::try_from_secs_f64(seconds).ok())
        .ok_or_else(|| "write seconds, 0 to 3600, such as 0.5".to_owned())
}

fn fail_rate(text: &str) -> Result<u64, String> {
    text.parse()
        .ok()
        .filter(|percent| *percent <= 100)
        .ok_or_else(|| "write a whole number of percent, 0 to 100".to_owned())
}

/// Parses a tolerance in whole seconds, the unit of timestamps.
pub(in crate::cli) fn tolerance(text: &str) -> Result<Duration, String> {
    text.parse::<u32>()
        .map(|seconds| Duration::from_secs(seconds.into()))
        .map_err(|_| "write a whole number of seconds, such as 300".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_bounds() {
        assert_eq!(status("204"), Ok(StatusCode::NO_CONTENT));
        for bad in ["", "99", "100", "600", "+200x", "ok"] {
            assert!(status(bad).is_err(), "{bad}");
        }
        assert_eq!(delay("0.5"), Ok(Duration::from_millis(500)));
        for bad in ["", "-1", "3601", "NaN", "inf", "soon"] {
            assert!(delay(bad).is_err(), "{bad}");
        }
        assert_eq!(fail_rate("100"), Ok(100));
        for bad in ["", "101", "-1", "50%", "0.5"] {
            assert!(fail_rate(bad).is_err(), "{bad}");
        }
        assert_eq!(tolerance("0"), Ok(Duration::ZERO));
        assert!(tolerance("-1").is_err() && tolerance("5m").is_err());
    }
}
