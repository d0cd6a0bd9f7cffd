//! A command line that cannot be understood, in one line.

use std::ffi::OsString;

use clap::CommandFactory as _;
use clap::error::{ContextKind, ErrorKind};

use super::Cli;
use crate::nearest::nearest;

/// What is wrong with `args`, of which clap says `error`: one line. Of what was typed it quotes no
/// more than the name of a flag.
pub(super) fn problem(error: &clap::Error, args: &[OsString]) -> String {
    let mut program = Cli::command();
    program.build();
    let mut command = &program;
    let mut path = program.get_name().to_owned();
    for word in args.iter().skip(1).map_while(|word| word.to_str()) {
        let Some(found) = command.find_subcommand(word) else {
            break;
        };
        // Its own help is of no help.
        if found.get_name() == "help" {
            break;
        }
        command = found;
        path = format!("{path} {}", command.get_name());
    }
    let fault = fault(error, command);
    let see = if fault.ends_with('?') {
        " See"
    } else {
        "; see"
    };
    format!("{fault}{see} `{path} --help`")
}

/// Without the hint to the help of `command`, which is the one that was asked for.
fn fault(error: &clap::Error, command: &clap::Command) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let flag = context(ContextKind::InvalidArg)
        // One that was run together with a secret is not shown.
        .filter(|text| text.starts_with("--") && !text.contains("whsec_"))
        .and_then(|text| text.split(['=', ' ']).next().map(str::to_owned));
    let flag = flag.as_deref();
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let Some(flag) = flag else {
                return "unexpected argument".to_owned();
            };
            let known = command.get_arguments().filter_map(clap::Arg::get_long);
            match nearest(flag.trim_start_matches('-'), known) {
                Some(meant) => format!("unknown flag {flag}; did you mean --{meant}?"),
                None => format!("unknown flag {flag}"),
            }
        }
        ErrorKind::InvalidSubcommand => {
            let typed = context(ContextKind::InvalidSubcommand).unwrap_or_default();
            match nearest(&typed, commands(command)) {
                Some(meant) => format!("unknown command; did you mean {meant}?"),
                None => format!("unknown command; there is {}", listed(command)),
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("no command is named; there is {}", listed(command))
        }
        ErrorKind::MissingRequiredArgument => match context(ContextKind::InvalidArg) {
            // Here these are the names of what is missing.
            Some(missing) => format!("missing argument {missing}"),
            None => "missing argument".to_owned(),
        },
        ErrorKind::ValueValidation => {
            // `--dev`'s variable is all that clap itself parses.
            let variable = flag.map(|flag| {
                flag.trim_start_matches('-')
                    .replace('-', "_")
                    .to_ascii_uppercase()
            });
            match (flag, variable) {
                (Some(flag), Some(variable)) => {
                    format!("{flag} (HOOKTURN_{variable}): write true or false")
                }
                _ => "a value cannot be used".to_owned(),
            }
        }
        ErrorKind::InvalidValue | ErrorKind::TooFewValues | ErrorKind::NoEquals => {
            format!("{} needs a value", flag.unwrap_or("a flag"))
        }
        ErrorKind::TooManyValues => format!("{} takes no value", flag.unwrap_or("a flag")),
        ErrorKind::ArgumentConflict => {
            format!("{} can be given only once", flag.unwrap_or("a flag"))
        }
        ErrorKind::InvalidUtf8 => "an argument or a HOOKTURN_ variable is not UTF-8".to_owned(),
        _ => "the command line cannot be understood".to_owned(),
    }
}

/// The names of the commands of `command`, save `help`.
fn commands(command: &clap::Command) -> impl Iterator<Item = &str> {
    let names = command.get_subcommands().map(clap::Command::get_name);
    names.filter(|name| *name != "help")
}

/// The same as a list in a sentence.
fn listed(command: &clap::Command) -> String {
    let names: Vec<_> = commands(command).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
