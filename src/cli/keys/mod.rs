//! `hookturn keys`: generates and changes master keys, which encrypt durable stores.

mod generate;
mod rewrap;

use std::process::ExitCode;

use crate::cli::command_error::CommandError;

#[derive(clap::Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print a new master key, as --master-key and `HOOKTURN_MASTER_KEYS` take it
    Generate(generate::GenerateArgs),
    /// Encrypt a store again with a new master key, while no server runs
    Rewrap(rewrap::RewrapArgs),
}

pub(super) fn run(args: KeysArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        Command::Generate(args) => generate::run(args).map(|()| ExitCode::SUCCESS),
        Command::Rewrap(args) => rewrap::run(args),
    }
}
