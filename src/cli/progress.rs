//! Shows the progress of a command on a terminal and its findings on stdout.

use std::io::{self, IsTerminal as _, Write as _};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::cli::command_error::{CommandError, written};
use crate::store::sqlite::Progress;

/// The most findings that are printed.
const MOST: u64 = 100;

/// How often the spinner moves when progress is not counted.
const TICK: Duration = Duration::from_millis(200);

/// The [`Progress`] of the operator's commands: a bar on stderr, if that is a terminal, and
/// findings on stdout.
pub(super) struct ProgressReport {
    bar: ProgressBar,
    found: u64,
    outcome: io::Result<()>,
}

impl ProgressReport {
    pub fn new() -> Self {
        let target = if io::stderr().is_terminal() {
            ProgressDrawTarget::stderr()
        } else {
            ProgressDrawTarget::hidden()
        };
        let bar = ProgressBar::with_draw_target(None, target);
        if !bar.is_hidden() {
            bar.enable_steady_tick(TICK);
        }
        Self {
            bar,
            found: 0,
            outcome: Ok(()),
        }
    }

    /// Removes the bar and prints how many more findings there were than were printed.
    ///
    /// # Errors
    ///
    /// [`CommandError`] when a finding could not be written.
    pub fn end(self) -> Result<(), CommandError> {
        self.bar.finish_and_clear();
        written(self.outcome)?;
        match self.found.checked_sub(MOST) {
            Some(more @ 1..) => print(&format!("and {more} more")),
            _ => Ok(()),
        }
    }
}

/// Writes a line to stdout.
pub(super) fn print(line: &str) -> Result<(), CommandError> {
    let mut out = io::stdout().lock();
    written(writeln!(out, "{line}").and_then(|()| out.flush()))
}

fn style(is_counted: bool) -> ProgressStyle {
    let template = if is_counted {
        "{msg} {wide_bar} {percent} %"
    } else {
        "{spinner} {msg}"
    };
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar())
}

impl Progress for ProgressReport {
    fn begin(&mut self, part: &'static str, all: Option<u64>) {
        self.bar.set_style(style(all.is_some()));
        self.bar.set_position(0);
        match all {
            Some(all) => self.bar.set_length(all),
            None => self.bar.unset_length(),
        }
        self.bar.set_message(part);
    }

    fn reach(&mut self, done: u64) {
        self.bar.set_position(done);
    }

    fn found(&mut self, line: &str) {
        self.found += 1;
        if self.found <= MOST && self.outcome.is_ok() {
            self.outcome = self.bar.suspend(|| writeln!(io::stdout().lock(), "{line}"));
        }
    }
}
