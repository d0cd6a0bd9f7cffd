//! Prints the demo.

use std::io;

/// Prints a line. It ignores errors, since it does not matter when nobody reads any more.
pub(super) fn print_line(text: &str) {
    let _ = io::Write::write_fmt(&mut io::stdout().lock(), format_args!("{text}\n"));
}
