//! Bringing a new first master key to every record, in small steps: which values there are, in which order they are gone
//! through, and what one step does to the rows that a store has read.
//!
//! How far it has come rests in the store and is part of each step's transaction, so that it goes on after a crash where
//! it was, whoever goes on. What is written meanwhile is sealed under the new key anyway.

use super::master_keys::MasterKeys;
use super::seal::{self, Kind, Place};
use crate::random::NoRandomness;

/// The most records of one step.
pub(in crate::store) const MOST: usize = 64;

/// How many bytes of sealed values end a step before that: events can be large.
pub(in crate::store) const ENOUGH: usize = 128 << 10;

/// A kind of record with a sealed value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Stage {
    pub kind: Kind,
    /// As `hookturn check` names its records, and what is sealed of them.
    pub record: &'static str,
    pub value: &'static str,
}

/// All of them, in the order in which they are gone through. A store keeps the place of the one that it has come to.
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

/// How far it has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) struct Reached {
    /// The place in [`STAGES`]; past its end when every record has been seen.
    pub stage: usize,
    /// The number of the last record that was seen of it.
    pub after: i64,
    /// How many values do not open.
    pub failed: i64,
}

/// One record with a sealed value, as a store has read it.
pub(in crate::store) struct SealedRow {
    pub number: i64,
    pub value: Vec<u8>,
    /// What it belongs to: `None` when that is missing.
    pub tenant: Option<String>,
    pub record: Option<Vec<u8>>,
}

/// What one step comes to.
pub(in crate::store) struct Step {
    /// Where the next one begins.
    pub reached: Reached,
    /// The values to write, by the numbers of their records.
    pub resealed: Vec<(i64, Vec<u8>)>,
    /// What does not open: one line each, without data.
    pub unopened: Vec<String>,
}

/// Seals the values of `rows` under the first key: those of the records after `reached`, all that are left of the stage
/// if `is_end`. `is_long` says that the step has taken long enough: it ends then, with what it has done.
///
/// # Errors
///
/// [`NoRandomness`] when there is none for a nonce; nothing is to be written then.
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

/// The value under the first key, or why it does not open.
fn reseal(
    keys: &MasterKeys,
    kind: Kind,
    row: &SealedRow,
) -> Result<Result<Vec<u8>, String>, NoRandomness> {
    let (Some(tenant), Some(record)) = (&row.tenant, &row.record) else {
        return Ok(Err("it belongs to nothing".to_owned()));
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
