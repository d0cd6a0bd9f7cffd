//! `hookturn keys`: the master keys, under which durable stores encrypt what they keep.

mod generate;

use super::Failure;

#[derive(clap::Args)]
pub(super) struct KeysArgs {
    #[command(subcommand)]
    command: Command,
}

#[derive(clap::Subcommand)]
enum Command {
    /// Print a new master key on stdout, as --master-key and `HOOKTURN_MASTER_KEYS` take it
    Generate(generate::GenerateArgs),
}

/// The names of its commands, for errors.
pub(super) const COMMANDS: &str = "generate";

pub(super) fn run(args: KeysArgs) -> Result<(), Failure> {
    match args.command {
        Command::Generate(args) => generate::run(args),
    }
}
