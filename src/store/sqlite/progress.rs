//! Whoever watches a long piece of work for an operator.

/// Is told how far a piece of work has come, and what it finds. The default is not to look.
pub trait Progress {
    /// The next part of the work begins: its name, and how much of it there is, if that is known.
    fn begin(&mut self, _part: &'static str, _all: Option<u64>) {}

    /// So much of the part is done in all.
    fn reach(&mut self, _done: u64) {}

    /// Something was found: one line, without data of records.
    fn found(&mut self, _line: &str) {}
}
