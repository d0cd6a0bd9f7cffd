//! The command line: parses arguments, runs commands and reports failures.
//!
//! A command that cannot start writes one line to stderr, which names the flag or variable and how
//! to fix it, and exits with code 2. clap's own errors take several lines and quote what was typed,
//! which may be a key in the wrong place, so they are reworded here.

mod backup;
mod build;
mod check;
mod command_error;
mod demo;
mod descriptors;
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
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::{CommandFactory as _, Parser, Subcommand};

pub use self::command_error::CommandError;
use self::command_error::written;
use crate::config::ServeArgs;

/// Rotates webhook signing secrets without dropping an event.
#[derive(Parser)]
#[command(name = "hookturn", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve the APIs until SIGTERM or Ctrl-C
    Serve(Box<ServeArgs>),
    /// Show a whole rotation in both dialects, with a receiver that verifies
    Demo(demo::DemoArgs),
    /// Receive deliveries, verify each and explain the result
    Listen(Box<listen::ListenArgs>),
    /// Verify a saved request and explain the result
    Verify(Box<verify::VerifyArgs>),
    /// Print the OpenAPI document of one dialect on stdout
    Openapi(openapi::OpenapiArgs),
    /// Generate and change the master keys that encrypt a store
    Keys(keys::KeysArgs),
    /// Copy the file of a store, even while a server uses it
    Backup(backup::BackupArgs),
    /// Check the file of a store for problems, even while a server uses it
    Check(check::CheckArgs),
}

/// Runs the command in `args`, the first of which is the program's name.
///
/// Returns the exit code when the command is done. It is 0, except when `verify` gets a request
/// that does not verify, `demo` fails, or `check` or `keys rewrap` finds problems.
///
/// # Errors
///
/// [`CommandError`] when the command cannot start or cannot write its output.
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
        Err(error) => Err(CommandError::new(&usage::problem(
            Cli::command(),
            &error,
            &args,
        ))),
    }
}
