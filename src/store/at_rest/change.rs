//! Which of an endpoint's records a change writes: a rotation writes the key ring alone.

use std::sync::Arc;

use crate::domain::{Endpoint, KeyRing};

/// What differs between two states of an endpoint, record by record.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Rewrite<'a> {
    /// The sealed settings, with the columns beside them.
    pub settings: bool,
    /// The name, which must be free if there is one.
    pub name: bool,
    /// What it subscribes to.
    pub subscriptions: bool,
    /// Whether deliveries are made from now on, if that changes.
    pub active: Option<bool>,
    /// The key ring.
    pub key_ring: KeyRingChange<'a>,
}

/// What becomes of the record of a key ring.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum KeyRingChange<'a> {
    /// It stays, or there is none.
    Keep,
    /// It is there from now on.
    Add(&'a KeyRing),
    /// It is written over.
    Set(&'a KeyRing),
    /// It is gone from now on.
    Delete,
}

impl<'a> Rewrite<'a> {
    /// What to write so that `after` takes the place of `before`.
    pub fn between(before: &Endpoint, after: &'a Endpoint) -> Self {
        let (old, new) = (&before.settings, &after.settings);
        // A rotation shares the settings. The sealed settings say whether there is a key ring, so that one whose record
        // is lost is not taken for one that is not signed.
        let is_same = Arc::ptr_eq(old, new)
            && before.updated_at == after.updated_at
            && before.key_ring.is_some() == after.key_ring.is_some();
        Self {
            settings: !is_same,
            name: old.name != new.name,
            subscriptions: (old.active, &old.events) != (new.active, &new.events),
            active: (old.active != new.active).then_some(new.active),
            key_ring: match (&before.key_ring, &after.key_ring) {
                (Some(old), Some(new)) if old == new => KeyRingChange::Keep,
                (Some(_), Some(new)) => KeyRingChange::Set(new),
                (None, Some(new)) => KeyRingChange::Add(new),
                (Some(_), None) => KeyRingChange::Delete,
                (None, None) => KeyRingChange::Keep,
            },
        }
    }
}
