//! `hookturn verify`: verifies a saved request, without a server.

mod saved;

use std::fs;
use std::io::{self, Read as _, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use chrono::DateTime;

use super::listen::tolerance;
use super::report_text::{Rows, headline};
use super::secrets::{Names, SecretSource};
use super::text_file;
use crate::cli::command_error::{CommandError, written};
use crate::clock::{Clock as _, SystemClock};
use crate::config::SettingError;
use crate::domain::Timestamp;
use crate::domain::verification::{DEFAULT_TOLERANCE, verify};

const HEADERS: &str = "--headers";
const BODY: &str = "--body";
const AT: &str = "--at";
const TOLERANCE: &str = "--tolerance";
const SECRETS: Names = Names {
    flag: "--secret (HOOKTURN_VERIFY_SECRETS)",
    file: "--secrets-file",
};

/// The exit code when the request does not verify.
const NOT_VERIFIED: u8 = 1;

/// The unparsed arguments of `hookturn verify`. It is not `Debug`, since it holds secrets.
#[derive(clap::Args)]
#[command(
    after_help = "Exit codes: 0 verified, 1 not verified, 2 the arguments or files cannot be used.\n\n\
    Example:\n  hookturn verify --headers request.txt --body body.json --secrets-file secrets --at delivery"
)]
pub(super) struct VerifyArgs {
    /// The request's headers as `Name: value` lines; `-` for standard input
    ///
    /// There may be a request line before them, and lines may end with CRLF. The body may follow
    /// after a blank line, as in a whole saved request; then --body is not needed.
    #[arg(long, value_name = "FILE")]
    headers: PathBuf,

    /// The request's body, byte for byte as it came; `-` for standard input [default: the rest of
    /// the file of headers]
    #[arg(long, value_name = "FILE")]
    body: Option<PathBuf>,

    /// A signing secret, `whsec_…`; repeatable, comma-separated in the variable
    ///
    /// Prefer the variable or the file: other users of the machine can see flags.
    #[arg(
        long = "secret",
        value_name = "SECRET",
        env = "HOOKTURN_VERIFY_SECRETS",
        hide_env_values = true
    )]
    secrets: Vec<String>,

    /// A file of signing secrets, one per line, also as `NAME=whsec_…`; `#` starts a comment line
    #[arg(long, value_name = "PATH")]
    secrets_file: Option<PathBuf>,

    /// When the request came: `now`, Unix seconds, RFC 3339, or `delivery` for the time in the
    /// request [default: now]
    #[arg(long, value_name = "TIME")]
    at: Option<String>,

    /// How many seconds the request's timestamp may differ from that time [default: 300]
    #[arg(long, value_name = "SECONDS")]
    tolerance: Option<String>,

    /// Ignore the age of the request, as `--at delivery` does
    #[arg(long)]
    no_tolerance: bool,
}

/// When the request came.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum At {
    Now,
    Delivery,
    Time(Timestamp),
}

pub(super) fn run(args: VerifyArgs) -> Result<ExitCode, CommandError> {
    let at = match args.at.as_deref() {
        None => At::Now,
        Some(text) => parse_at(text).map_err(|problem| SettingError::new(AT, problem))?,
    };
    let given = match args.tolerance.as_deref() {
        None => DEFAULT_TOLERANCE,
        Some(text) => tolerance(text).map_err(|problem| SettingError::new(TOLERANCE, problem))?,
    };
    let (now, tolerance): (_, Option<Duration>) = match at {
        At::Time(at) => (at, Some(given)),
        At::Now => (SystemClock.now(), Some(given)),
        At::Delivery => (SystemClock.now(), None),
    };
    let tolerance = tolerance.filter(|_| !args.no_tolerance);
    let secrets = SecretSource::new(&SECRETS, args.secrets, args.secrets_file)?.read();
    if secrets.all.is_empty() {
        return Err(
            SettingError::new(SECRETS.flag, "give a secret, or a --secrets-file with one").into(),
        );
    }

    let stdin = |path: &PathBuf| path.as_os_str() == "-";
    if stdin(&args.headers) && args.body.as_ref().is_some_and(stdin) {
        let problem = "only one of --headers and --body can be standard input";
        return Err(SettingError::new(BODY, problem).into());
    }
    let unfit = |problem: &str| {
        SettingError::new(
            HEADERS,
            format!("{}: {problem}", text_file::shown(&args.headers)),
        )
    };
    let file = text_file::read(read(HEADERS, &args.headers)?).map_err(unfit)?;
    let notice = file
        .notice
        .map(|notice| format!("{} {notice}", args.headers.display()));
    let saved = saved::parse(&file.bytes).map_err(|problem| unfit(&problem))?;
    let body = match (&args.body, saved.body) {
        (Some(path), _) => read(BODY, path)?,
        (None, Some(body)) => body.to_vec(),
        (None, None) => {
            let problem = "give the file of the body, since no body follows the headers";
            return Err(SettingError::new(BODY, problem).into());
        }
    };

    let report = verify(&saved.headers, &body, &secrets.all, now, tolerance);
    let mut rows = Rows::default();
    for notice in notice.iter().chain(&secrets.notice) {
        rows.row("note", notice);
    }
    rows.explain(&report, &secrets.places);
    let text = format!("{}\n{}", headline(&report), rows.into_text());
    let mut out = io::stdout().lock();
    written(out.write_all(text.as_bytes()).and_then(|()| out.flush()))?;
    Ok(if report.verified() {
        ExitCode::SUCCESS
    } else {
        ExitCode::from(NOT_VERIFIED)
    })
}

fn parse_at(text: &str) -> Result<At, String> {
    match text {
        "now" => return Ok(At::Now),
        "delivery" => return Ok(At::Delivery),
        _ => {}
    }
    if let Ok(seconds) = text.parse::<u32>() {
        return Ok(At::Time(Timestamp::from_millis(i64::from(seconds) * 1000)));
    }
    DateTime::parse_from_rfc3339(text)
        .map(|at| At::Time(Timestamp::from_millis(at.timestamp_millis())))
        .map_err(|_| {
            "write now, delivery, Unix seconds, or RFC 3339 such as 2026-06-12T10:15:00Z".to_owned()
        })
}

fn read(flag: &'static str, path: &PathBuf) -> Result<Vec<u8>, SettingError> {
    let bytes = if path.as_os_str() == "-" {
        let mut bytes = Vec::new();
        io::stdin().lock().read_to_end(&mut bytes).map(|_| bytes)
    } else {
        fs::read(path)
    };
    bytes.map_err(|error| {
        SettingError::new(
            flag,
            format!("cannot read {}: {error}", text_file::shown(path)),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_told_in_three_ways() {
        let at = |millis| Ok(At::Time(Timestamp::from_millis(millis)));
        assert_eq!(parse_at("now"), Ok(At::Now));
        assert_eq!(parse_at("delivery"), Ok(At::Delivery));
        assert_eq!(parse_at("1700000000"), at(1_700_000_000_000));
        assert_eq!(parse_at("2023-11-14T22:13:20Z"), at(1_700_000_000_000));
        assert_eq!(
            parse_at("2023-11-14T23:13:20.5+01:00"),
            at(1_700_000_000_500)
        );
        for bad in ["", "yesterday", "2023-11-14", "-1", "99999999999"] {
            assert!(parse_at(bad).is_err(), "{bad}");
        }
    }
}
