//! Hookturn.
