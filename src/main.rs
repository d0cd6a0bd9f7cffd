//! The `hookturn` program.

use std::env;
use std::process::ExitCode;

use hookturn::telemetry;

/// The exit code when a command cannot start.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    match hookturn::cli::run(env::args_os()) {
        Ok(code) => code,
        Err(failure) => {
            telemetry::say_last(&format!("hookturn: {failure}"));
            ExitCode::from(CANNOT_START)
        }
    }
}
