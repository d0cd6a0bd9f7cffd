//! Explains in one line what is wrong with a command line.

use std::ffi::OsString;

use clap::error::{ContextKind, ErrorKind};

use crate::nearest::nearest;

/// Returns one line that says what is wrong with `args`, which `program` rejected with `error`. It
/// quotes nothing of what was typed but the name of a flag.
pub(super) fn problem(
    mut program: clap::Command,
    error: &clap::Error,
    args: &[OsString],
) -> String {
    program.build();
    let mut command = &program;
    let mut path = program.get_name().to_owned();
    for word in args.iter().skip(1).map_while(|word| word.to_str()) {
        let Some(found) = command.find_subcommand(word) else {
            break;
        };
        // The help of `help` would not help.
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

/// Returns what is wrong, without the hint to the help of `command`.
fn fault(error: &clap::Error, command: &clap::Command) -> String {
    let context = |kind| error.get(kind).map(ToString::to_string);
    let flag = context(ContextKind::InvalidArg)
        // A flag that was joined with a secret is not shown.
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
                None => format!("unknown command; the commands are {}", listed(command)),
            }
        }
        ErrorKind::MissingSubcommand | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            format!("no command is given; the commands are {}", listed(command))
        }
        ErrorKind::MissingRequiredArgument => match context(ContextKind::InvalidArg) {
            // In this case clap gives the names of the missing arguments.
            Some(missing) => format!("missing argument {missing}"),
            None => "missing argument".to_owned(),
        },
        ErrorKind::ValueValidation => {
            // clap itself parses only the variables of flags without a value.
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

/// Returns the names of the commands of `command`, except `help`.
fn commands(command: &clap::Command) -> impl Iterator<Item = &str> {
    let names = command.get_subcommands().map(clap::Command::get_name);
    names.filter(|name| *name != "help")
}

/// Returns those names as a list for a sentence.
fn listed(command: &clap::Command) -> String {
    let names: Vec<_> = commands(command).collect();
    match names.split_last() {
        Some((last, [])) => (*last).to_owned(),
        Some((last, others)) => format!("{} and {last}", others.join(", ")),
        None => String::new(),
    }
}
