//! What a durable store writes to a disk, independent of its database. A durable store adds its
//! statements and transactions to this.
//!
//! - How values are encoded (`codec`), and which of them are sealed for which place (`fields`,
//!   [`seal`]).
//! - Master keys ([`master_keys`]), and how every value is encrypted with a new one (`rewrap`).
//! - What a change writes (`change`), when to sweep (`sweeps`), and the rules that `hookturn check`
//!   applies to records (`check`).

pub(in crate::store) mod audience;
pub(in crate::store) mod change;
pub(in crate::store) mod check;
pub(in crate::store) mod codec;
pub(in crate::store) mod fields;
pub mod master_keys;
pub(in crate::store) mod rewrap;
pub mod seal;
pub(in crate::store) mod sweeps;

pub use master_keys::{KEY_BYTES, MasterKey, MasterKeys, NotAMasterKey, UnfitKeys};
pub use seal::{CannotOpen, Kind, MAX_ID_LENGTH, Place, key_id};

#[cfg(test)]
mod tests;
