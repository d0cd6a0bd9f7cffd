//! Proves that the given master keys are those that values are encrypted with.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::fault::{Fault, damaged};
use super::open_error::OpenError;
use super::sql::offline;
use crate::store::at_rest::MasterKeys;
use crate::store::at_rest::master_keys::Disproof;

/// Checks that every master key that values are encrypted with was given, and is the right one.
///
/// # Errors
///
/// [`OpenError`], also when the file has its tables but no proof: a store has the proof of its
/// first key from the moment on at which it is made.
pub(super) fn prove(db: &Connection, path: &Path, keys: &MasterKeys) -> Result<(), OpenError> {
    let proofs = || -> Result<Vec<(String, Vec<u8>)>, rusqlite::Error> {
        db.prepare(offline::PROOFS)?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    let path = || path.to_owned();
    let fault = |error: rusqlite::Error| OpenError::of(&path(), error.into());
    let proofs = proofs().map_err(fault)?;
    let state: Option<bool> = db
        .query_row(offline::HAS_STATE, [], |row| row.get(0))
        .optional()
        .map_err(fault)?;
    if proofs.is_empty() || state.is_none() {
        return Err(OpenError::of(
            &path(),
            damaged("the record of its master keys"),
        ));
    }
    for (id, proof) in proofs {
        keys.check_proof(&id, &proof)
            .map_err(|disproof| match disproof {
                Disproof::KeyMissing => OpenError::KeyMissing { path: path(), id },
                Disproof::WrongKey => OpenError::WrongKey { path: path(), id },
            })?;
    }
    Ok(())
}

/// Makes the first key the one that encrypts. Values that are encrypted with another key are then
/// encrypted again.
pub(super) fn adopt_first_key(db: &mut Connection, keys: &MasterKeys) -> Result<(), Fault> {
    let first = keys.first_id();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before: Option<String> = transaction
        .query_row(offline::SEALING_KEY, [], |row| row.get(0))
        .optional()?;
    let proof = keys.prove()?;
    transaction.execute(offline::ADD_PROOF, (first, proof))?;
    match before {
        None => {
            transaction.execute(offline::ADD_STATE, [first])?;
        }
        Some(before) if before != first => begin_rewrap(&transaction, first)?,
        Some(_) => {
            // Values that could not be decrypted the last time may be repaired or deleted by now.
            // Until then the other keys are kept.
            let is_unfinished: bool =
                transaction.query_row(offline::IS_REWRAP_UNFINISHED, [first], |row| row.get(0))?;
            if is_unfinished {
                begin_rewrap(&transaction, first)?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

/// Begins to encrypt all values with the first key.
fn begin_rewrap(db: &Connection, first: &str) -> Result<(), Fault> {
    db.execute(offline::BEGIN_REWRAP, [first])?;
    Ok(())
}
