//! Reports why a command did not do what was asked.

use std::io;

use crate::config::SettingError;

/// Why a command failed: one line, without the program's name.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct CommandError(String);

impl CommandError {
    pub(super) fn new(problem: &str) -> Self {
        // It may contain texts of the system and of libraries, which may have several lines.
        Self(problem.lines().map(str::trim).collect::<Vec<_>>().join(" "))
    }
}

impl From<SettingError> for CommandError {
    fn from(error: SettingError) -> Self {
        Self::new(&error.to_string())
    }
}

/// Converts the outcome of writing to stdout. A reader that closed the pipe, such as `head`, is not
/// an error.
pub(super) fn written(outcome: io::Result<()>) -> Result<(), CommandError> {
    match outcome {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(CommandError::new(
            &format!("cannot write to standard output: {error}"),
        )),
        _ => Ok(()),
    }
}
