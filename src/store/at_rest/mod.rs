//! What rests on a disk, whichever database keeps it: a durable store adds its statements and transactions to this.

pub(in crate::store) mod change;
pub(in crate::store) mod sweeps;
