//! `hookturn keys rewrap`: encrypts a store again with the first master key.

use std::process::ExitCode;

use crate::cli::build::unopenable;
use crate::cli::command_error::CommandError;
use crate::cli::progress::{ProgressReport, print};
use crate::config::{MasterKeysArg, STORE, SettingError, StoreFileArg};
use crate::store::sqlite::rewrap::{Rewrapped, rewrap};
use crate::store::sqlite::{OpenError, Opening};

/// The exit code when a value cannot be decrypted.
const UNOPENED: u8 = 1;

#[derive(clap::Args)]
#[command(
    after_help = "A server that is started with a new key before the old one does the same while it serves. \
    Use this command when no server runs, or when a key leaked: it also rewrites the file, so that \
    nothing in it is encrypted with the old key. For that it needs as much free space as the file \
    takes, beside the file and in the directory for temporary files (SQLITE_TMPDIR). It can be \
    stopped at any time; the next run continues.\n\n\
    Older backups still need the old key. If somebody may have both, rotate the secrets.\n\n\
    Exit codes: 0 done, 1 some values cannot be decrypted, 2 could not start or finish.\n\n\
    Example:\n  hookturn keys rewrap --store sqlite:hookturn.db --master-key \"$NEW\" --master-key \"$OLD\""
)]
pub(super) struct RewrapArgs {
    #[command(flatten)]
    store: StoreFileArg,

    #[command(flatten)]
    master_keys: MasterKeysArg,
}

pub(super) fn run(args: RewrapArgs) -> Result<ExitCode, CommandError> {
    let path = args.store.parse_path()?;
    let keys = args.master_keys.parse_some()?;
    let opening = Opening::existing(&path, keys.clone()).map_err(|error| match error {
        OpenError::InUse(path) => SettingError::new(
            STORE,
            format!(
                "{} is in use by a server, which does this itself while it serves: restart it with the \
                 new key before the old one, or stop it first",
                path.display()
            ),
        ),
        error => unopenable(&error),
    })?;
    let mut progress = ProgressReport::new();
    let rewrapped = rewrap(opening, &mut progress);
    progress.end()?;
    let rewrapped = rewrapped.map_err(|error| unopenable(&error))?;
    print(&in_words(keys.first_id(), &rewrapped))?;
    Ok(match rewrapped.unopened {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::from(UNOPENED),
    })
}

fn in_words(first: &str, rewrapped: &Rewrapped) -> String {
    let Rewrapped {
        sealed,
        unopened,
        may_be_dropped,
    } = rewrapped;
    if *unopened > 0 {
        return format!(
            "encrypted again: {sealed}; cannot be decrypted: {unopened}; keep all master keys and \
             run `hookturn check`"
        );
    }
    let dropped = if may_be_dropped.is_empty() {
        "no other master key is needed".to_owned()
    } else {
        format!(
            "these master keys can be removed when no backup needs them: {}",
            may_be_dropped.join(", ")
        )
    };
    format!("encrypted again: {sealed}; everything is encrypted with {first}; {dropped}")
}
