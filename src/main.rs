//! The `hookturn` program.

use std::{env, process::ExitCode};

/// The exit code of a command that could not start.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    match hookturn::cli::run(env::args_os()) {
        Ok(code) => code,
        Err(failure) => {
            tell(&failure);
            ExitCode::from(CANNOT_START)
        }
    }
}

/// Writes the one line that a failure is worth. If even that fails, there is nobody left to tell.
fn tell(failure: &hookturn::cli::Failure) {
    use std::io::Write as _;
    let _ = std::io::stderr().write_all(format!("hookturn: {failure}\n").as_bytes());
}
