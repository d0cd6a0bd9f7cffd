//! `hookturn keys`: the master keys, under which durable stores encrypt what they keep.

mod generate;
mod rewrap;

use std::process::ExitCode;

use super::CommandError;

#[derive(clap::Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print a new master key on stdout, as --master-key and `HOOKTURN_MASTER_KEYS` take it
    Generate(generate::GenerateArgs),
    /// Encrypt what a store keeps anew under a new master key, while no server runs
    Rewrap(rewrap::RewrapArgs),
}

pub(super) fn run(args: KeysArgs) -> Result<ExitCode, CommandError> {
    match args.command {
        Command::Generate(args) => generate::run(args).map(|()| ExitCode::SUCCESS),
        Command::Rewrap(args) => rewrap::run(args),
    }
}
