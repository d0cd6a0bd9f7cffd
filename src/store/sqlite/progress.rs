//! Defines how a long task reports to an operator.

/// Receives the progress of a long task and what it finds. The default methods do nothing.
pub trait Progress {
    /// The next part begins: its name, and how much there is to do, if that is known.
    fn begin(&mut self, _part: &'static str, _all: Option<u64>) {}

    /// This much of the part is done in total.
    fn reach(&mut self, _done: u64) {}

    /// The task found something: one line, without data of records.
    fn found(&mut self, _line: &str) {}
}
