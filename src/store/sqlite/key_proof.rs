//! The proof that the master keys which were given are those that values are encrypted under.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension as _, TransactionBehavior};

use super::fault::{Fault, damaged};
use super::open_error::OpenError;
use crate::store::seal::{CannotOpen, Kind, MasterKeys, Place};

/// What is sealed under each master key, to find out whether a key of the same id is the same key.
pub(super) const PROOF: &[u8] = b"this master key opens this store";

/// Checks that every master key that values are encrypted under was given and is the right one.
///
/// # Errors
///
/// [`OpenError`], also when the file proves no key, although it has its tables: a store proves its first key from the
/// moment on at which it is made.
pub(super) fn prove(db: &Connection, path: &Path, keys: &MasterKeys) -> Result<(), OpenError> {
    let proofs = || -> Result<Vec<(String, Vec<u8>)>, rusqlite::Error> {
        db.prepare("SELECT id, proof FROM master_key ORDER BY id")?
            .query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?
            .collect()
    };
    let path = || path.to_owned();
    let fault = |error: rusqlite::Error| OpenError::of(&path(), error.into());
    let proofs = proofs().map_err(fault)?;
    let state: Option<bool> = db
        .query_row("SELECT TRUE FROM state", [], |row| row.get(0))
        .optional()
        .map_err(fault)?;
    if proofs.is_empty() || state.is_none() {
        return Err(OpenError::of(
            &path(),
            damaged("the record of its master keys"),
        ));
    }
    for (id, proof) in proofs {
        let opened = keys.open(&proof_place(&id), &proof);
        match opened {
            Ok(proof) if *proof == PROOF => {}
            Err(CannotOpen::UnknownKey { .. }) => {
                return Err(OpenError::KeyMissing { path: path(), id });
            }
            _ => return Err(OpenError::WrongKey { path: path(), id }),
        }
    }
    Ok(())
}

pub(super) fn proof_place(id: &str) -> Place<'_> {
    Place {
        kind: Kind::Proof,
        tenant: "",
        record: id.as_bytes(),
    }
}

/// Makes the first key the one that encrypts. What is encrypted under another is then encrypted anew.
pub(super) fn adopt_first_key(db: &mut Connection, keys: &MasterKeys) -> Result<(), Fault> {
    let first = keys.first_id();
    let transaction = db.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let before: Option<String> = transaction
        .query_row("SELECT sealing_key FROM state", [], |row| row.get(0))
        .optional()?;
    let proof = keys.seal(&proof_place(first), PROOF)?;
    transaction.execute(
        "INSERT OR IGNORE INTO master_key (id, proof) VALUES (?1, ?2)",
        (first, proof),
    )?;
    match before {
        None => {
            transaction.execute(
                "INSERT INTO state (one, clock_advance_ms, sealing_key, rewrap_stage, rewrap_after, rewrap_failed)
                 VALUES (1, 0, ?1, NULL, 0, 0)",
                [first],
            )?;
        }
        Some(before) if before != first => begin_rewrap(&transaction, first)?,
        Some(_) => {
            // What did not open the last time may be mended or deleted by now; until then the other keys are kept.
            let is_unfinished: bool = transaction.query_row(
                "SELECT rewrap_stage IS NULL AND EXISTS (SELECT 1 FROM master_key WHERE id <> ?1) FROM state",
                [first],
                |row| row.get(0),
            )?;
            if is_unfinished {
                begin_rewrap(&transaction, first)?;
            }
        }
    }
    transaction.commit()?;
    Ok(())
}

fn begin_rewrap(db: &Connection, first: &str) -> Result<(), Fault> {
    db.execute(
        "UPDATE state SET sealing_key = ?1, rewrap_stage = 0, rewrap_after = 0, rewrap_failed = 0",
        [first],
    )?;
    Ok(())
}
