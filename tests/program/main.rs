//! Tests the program as users start, use and stop it: its command line, its output, the commands in
//! the README, and the operator's commands on files. `architecture` tests which modules may use
//! which, and `style` how the sources are written.

mod architecture;
mod cli;
mod demo;
mod operate;
mod readme;
mod receive;
mod style;
