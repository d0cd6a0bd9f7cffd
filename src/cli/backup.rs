//! `hookturn backup`: copies the file of a store, even while a server uses it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::runtime;

use super::build::unopenable;
use super::progress::{ProgressReport, print};
use super::serve::Stop;
use crate::cli::command_error::CommandError;
use crate::config::{SettingError, StoreFileArg};
use crate::store::sqlite::backup::{BackupError, backup};

/// How errors name the copy.
const TARGET: &str = "TARGET";

#[derive(clap::Args)]
#[command(
    after_help = "The copy is one file, with the state of the store when the command began. It stays \
    encrypted: making it needs no master key, and using it needs the same keys. To restore it, stop \
    the server, remove the store's file and the files beside it (-wal, -shm, -journal), put a copy \
    of the backup in their place, and start the server.\n\n\
    Exit codes: 0 copied, 2 not copied.\n\n\
    Example:\n  hookturn backup /var/backups/hookturn.db --store sqlite:/var/lib/hookturn/hookturn.db"
)]
pub(super) struct BackupArgs {
    /// The file to create; it must not exist
    #[arg(value_name = "TARGET")]
    target: PathBuf,

    #[command(flatten)]
    store: StoreFileArg,
}

pub(super) fn run(args: BackupArgs) -> Result<(), CommandError> {
    let source = args.store.parse_path()?;
    let target = args.target;
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| CommandError::new(&format!("cannot start threads: {error}")))?;
    runtime.block_on(async {
        let mut asked = Stop::install()?;
        let stop = Arc::new(AtomicBool::new(false));
        let mut copying = tokio::task::spawn_blocking({
            let stop = Arc::clone(&stop);
            move || {
                let mut progress = ProgressReport::new();
                let copied = backup(&source, &target, &stop, &mut progress);
                progress.end()?;
                let length = copied.map_err(failure)?;
                print(&format!("{}: {length} bytes", target.display()))
            }
        });
        loop {
            tokio::select! {
                done = &mut copying => {
                    return done.unwrap_or_else(|_| Err(CommandError::new("the copy failed: the program panicked")));
                }
                () = asked.asked() => stop.store(true, Ordering::Relaxed),
            }
        }
    })
}

fn failure(error: BackupError) -> CommandError {
    match error {
        BackupError::Source(error) => unopenable(&error).into(),
        BackupError::Stopped => CommandError::new(&error.to_string()),
        error => SettingError::new(TARGET, error.to_string()).into(),
    }
}
