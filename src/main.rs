//! The `hookturn` program.
fn main() {}
