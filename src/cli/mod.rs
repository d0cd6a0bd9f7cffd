//! The command line: what was asked for, and how a failure is told.
//!
//! Whatever keeps a command from starting is one line on stderr that names the flag or variable and
//! the mend, and exit code 2. clap's own errors are several lines long and quote what was typed,
//! which may be a key in the wrong place, so they are told in words of our own.

mod assembly;
mod backup;
mod check;
mod demo;
mod keys;
mod listen;
mod openapi;
mod progress;
mod report_text;
mod secrets;
mod serve;
mod text_file;
mod usage;
mod verify;

use std::ffi::OsString;
use std::io;
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{Parser, Subcommand};

use crate::config::{ServeArgs, SettingError};

/// Rotates webhook signing secrets without dropping an event.
#[derive(Parser)]
#[command(name = "hookturn", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the API until SIGTERM or Ctrl-C
    Serve(Box<ServeArgs>),
    /// Watch a whole rotation, in both dialects, with a receiver that verifies
    Demo(demo::DemoArgs),
    /// Receive deliveries and say of each whether and why it verifies
    Listen(Box<listen::ListenArgs>),
    /// Check a saved request and say whether and why it verifies
    Verify(Box<verify::VerifyArgs>),
    /// Print the OpenAPI document of one dialect on stdout
    Openapi(openapi::OpenapiArgs),
    /// Make the keys that encrypt what a durable store keeps, and change to new ones
    Keys(keys::KeysArgs),
    /// Copy the file of a store, also while a server writes it
    Backup(backup::BackupArgs),
    /// Look for anything wrong in the file of a store, also while a server writes it
    Check(check::CheckArgs),
}

/// Why a command did not do what was asked: one line, without the program's name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);

impl CommandError {
    fn new(problem: &str) -> Self {
        // Texts of the system and of libraries go into it, which promise no single line.
        Self(problem.lines().map(str::trim).collect::<Vec<_>>().join(" "))
    }
}

impl From<SettingError> for CommandError {
    fn from(error: SettingError) -> Self {
        Self::new(&error.to_string())
    }
}

/// Runs the command that `args` ask for, the first of which is the program's name. Returns when it
/// is done, with the exit code: 0, save for a `verify` of a request that does not, or a `check` or
/// `keys rewrap` that finds something.
///
/// # Errors
///
/// [`CommandError`] when it cannot start, or cannot write what it was asked for.
pub fn run(args: impl IntoIterator<Item = OsString>) -> Result<ExitCode, CommandError> {
    let done = |()| ExitCode::SUCCESS;
    let args: Vec<_> = args.into_iter().collect();
    match Cli::try_parse_from(&args).map(|cli| cli.command) {
        Ok(Command::Serve(args)) => serve::run(*args).map(done),
        Ok(Command::Demo(args)) => demo::run(&args),
        Ok(Command::Listen(args)) => listen::run(*args).map(done),
        Ok(Command::Verify(args)) => verify::run(*args),
        Ok(Command::Openapi(args)) => openapi::run(&args).map(done),
        Ok(Command::Keys(args)) => keys::run(args),
        Ok(Command::Backup(args)) => backup::run(args).map(done),
        Ok(Command::Check(args)) => check::run(args),
        Err(error)
            if matches!(
                error.kind(),
                ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
            ) =>
        {
            written(error.print()).map(done)
        }
        Err(error) => Err(CommandError::new(&usage::problem(&error, &args))),
    }
}

/// The outcome of writing to stdout. A reader that has gone away, such as `head`, has what it
/// wanted.
fn written(outcome: io::Result<()>) -> Result<(), CommandError> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::new(
            &format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
