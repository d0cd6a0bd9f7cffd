//! `hookturn check`: checks the file of a store for damage and inconsistencies.

use std::path::PathBuf;
use std::process::ExitCode;

use super::progress::{ProgressReport, print};
use crate::cli::command_error::CommandError;
use crate::clock::SystemClock;
use crate::config::{MASTER_KEY, MasterKeysArg, SettingError};
use crate::store::sqlite::OpenError;
use crate::store::sqlite::check::{self, Summary};

/// The exit code when problems were found.
const PROBLEMS: u8 = 1;

#[derive(clap::Args)]
#[command(
    after_help = "It reads a backup, or the file of a running server, which is not disturbed, and changes \
    nothing. Each problem is one line on standard output that shows no data.\n\n\
    Exit codes: 0 no problems, 1 problems found, 2 the check could not run.\n\n\
    Example:\n  hookturn check /var/backups/hookturn.db"
)]
pub(super) struct CheckArgs {
    /// The file of a backup or a store; `sqlite:PATH` is the same
    #[arg(value_name = "PATH")]
    path: PathBuf,

    #[command(flatten)]
    master_keys: MasterKeysArg,
}

pub(super) fn run(args: CheckArgs) -> Result<ExitCode, CommandError> {
    let keys = args.master_keys.parse_some()?;
    let text = args.path.to_str().unwrap_or_default();
    let path = text.strip_prefix("sqlite:").map(PathBuf::from);
    let path = path.unwrap_or(args.path);
    let mut progress = ProgressReport::new();
    let checked = check::check(&path, &keys, &SystemClock, &mut progress);
    progress.end()?;
    let summary = checked.map_err(|error| match error {
        OpenError::KeyMissing { .. } | OpenError::WrongKey { .. } => {
            SettingError::new(MASTER_KEY, error.to_string()).into()
        }
        error => CommandError::new(&error.to_string()),
    })?;
    print(&in_words(&summary))?;
    Ok(match summary.problems {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(PROBLEMS),
    })
}

fn in_words(summary: &Summary) -> String {
    let sealed: Vec<_> = summary
        .sealed
        .iter()
        .map(|(key, count)| format!("{count} with {key}"))
        .collect();
    let sealed = if sealed.is_empty() {
        "none".to_owned()
    } else {
        sealed.join(", ")
    };
    let found = match summary.problems {
        0 => "no problems".to_owned(),
        1 => "1 problem".to_owned(),
        many => format!("{many} problems"),
    };
    let clock = match summary.clock_ahead.as_secs_f64().ceil() {
        0.0 => String::new(),
        seconds => format!(
            "; the test clock is {seconds} s ahead, so `hookturn serve` needs --dev, or once --end-test-clock"
        ),
    };
    format!(
        "{found}; endpoints: {}, key rings: {}, subscriptions: {}, answers: {}, events: {}, deliveries: {}; encrypted \
         values: {sealed}{clock}",
        summary.endpoints,
        summary.key_rings,
        summary.subscriptions,
        summary.answers,
        summary.events,
        summary.deliveries,
    )
}
