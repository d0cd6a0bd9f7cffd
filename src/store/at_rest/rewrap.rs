//! Encrypts every value with a new first master key, in small steps. This module knows which values
//! there are, their order, and what one step does to the rows that a store has read.
//!
//! The progress is stored, and each step commits it with its values. So after a crash the work goes
//! on where it stopped, in a server or in `hookturn keys rewrap`. New values are encrypted with the
//! new key anyway.

use super::master_keys::MasterKeys;
use super::seal::{self, Kind, Place};
use crate::random::NoRandomness;

/// The most records of one step.
pub(in crate::store) const MOST: usize = 64;

/// The bytes of sealed values that end a step early: events can be large.
pub(in crate::store) const ENOUGH: usize = 128 << 10;

/// A kind of record with a sealed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Stage {
    pub kind: Kind,
    /// The name of the record in the output of `hookturn check`, and the name of its sealed value.
    pub record: &'static str,
    pub value: &'static str,
}

/// All stages, in their order. A store stores its progress as an index into this list, so the order
/// must not change.
pub(in crate::store) const STAGES: [Stage; 4] = [
    Stage {
        kind: Kind::Settings,
        record: "endpoint",
        value: "settings",
    },
    Stage {
        kind: Kind::KeyRing,
        record: "endpoint",
        value: "key ring",
    },
    Stage {
        kind: Kind::Event,
        record: "event",
        value: "data",
    },
    Stage {
        kind: Kind::Answer,
        record: "answer",
        value: "answer",
    },
];

/// The progress of the rewrap.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Reached {
    /// The index in [`STAGES`]; its length when every record was seen.
    pub stage: usize,
    /// The number of the last record that was seen in this stage.
    pub after: i64,
    /// How many values could not be decrypted.
    pub failed: i64,
}

/// One record with a sealed value, as a store has read it.
pub(in crate::store) struct SealedRow {
    pub number: i64,
    pub value: Vec<u8>,
    /// The place of the value. `None` when the record that it belongs to is missing.
    pub tenant: Option<String>,
    pub record: Option<Vec<u8>>,
}

/// The result of one step.
pub(in crate::store) struct Step {
    /// Where the next step begins.
    pub reached: Reached,
    /// The values to write, with the numbers of their records.
    pub resealed: Vec<(i64, Vec<u8>)>,
    /// The values that could not be decrypted: one line each, without data.
    pub unopened: Vec<String>,
}

/// Seals the values of `rows` with the first key. `rows` are the records after `reached`; with
/// `is_end` they are all that are left of the stage. When `is_long` returns true, the step ends
/// with what it has done so far.
///
/// # Errors
///
/// [`NoRandomness`] when there is none for a nonce. Then nothing may be written.
pub(in crate::store) fn step(
    keys: &MasterKeys,
    stage: &Stage,
    reached: Reached,
    rows: &[SealedRow],
    mut is_end: bool,
    is_long: impl Fn() -> bool,
) -> Result<Step, NoRandomness> {
    let mut step = Step {
        reached,
        resealed: Vec::new(),
        unopened: Vec::new(),
    };
    for row in rows {
        if step.reached.after > reached.after && is_long() {
            is_end = false;
            break;
        }
        step.reached.after = row.number;
        if seal::key_id(&row.value) == Some(keys.first_id()) {
            continue;
        }
        match reseal(keys, stage.kind, row)? {
            Ok(sealed) => step.resealed.push((row.number, sealed)),
            Err(problem) => {
                step.reached.failed += 1;
                let Stage { record, value, .. } = stage;
                step.unopened
                    .push(format!("{record} {}: {value}: {problem}", row.number));
            }
        }
    }
    if is_end {
        step.reached.stage += 1;
        step.reached.after = 0;
    }
    Ok(step)
}

/// Returns the value, sealed with the first key, or why it cannot be decrypted.
fn reseal(
    keys: &MasterKeys,
    kind: Kind,
    row: &SealedRow,
) -> Result<Result<Vec<u8>, String>, NoRandomness> {
    let (Some(tenant), Some(record)) = (&row.tenant, &row.record) else {
        return Ok(Err("the record that it belongs to is missing".to_owned()));
    };
    let place = Place {
        kind,
        tenant,
        record,
    };
    match keys.open(&place, &row.value) {
        Ok(opened) => keys.seal(&place, &opened).map(Ok),
        Err(error) => Ok(Err(error.to_string())),
    }
}
