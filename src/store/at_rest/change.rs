//! Decides which records of an endpoint a change writes. A rotation writes only the key ring.

use std::sync::Arc;

use crate::domain::{Endpoint, KeyRing};

/// The differences between two states of an endpoint, record by record.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) struct Rewrite<'a> {
    /// Whether to write the sealed settings and the columns beside them.
    pub settings: bool,
    /// Whether the name changes. A new name must be free.
    pub name: bool,
    /// Whether the subscriptions change.
    pub subscriptions: bool,
    /// Whether the endpoint is active from now on, if that changes.
    pub active: Option<bool>,
    /// The change of the key ring.
    pub key_ring: KeyRingChange<'a>,
}

/// The change of a key ring's record.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::store) enum KeyRingChange<'a> {
    /// It stays as it is, or there is none.
    Keep,
    /// It is added.
    Add(&'a KeyRing),
    /// It is replaced.
    Set(&'a KeyRing),
    /// It is deleted.
    Delete,
}

impl<'a> Rewrite<'a> {
    /// Returns what to write to replace `before` with `after`.
    pub fn between(before: &Endpoint, after: &'a Endpoint) -> Self {
        let (old, new) = (&before.settings, &after.settings);
        // A rotation shares the settings. The sealed settings say whether there is a key ring, so
        // that an endpoint whose key ring is lost is not taken for an unsigned one.
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::domain::{EndpointId, Format, Secret, Settings, Timestamp};

    fn endpoint() -> Endpoint {
        let now = Timestamp::from_millis(1);
        Endpoint {
            id: EndpointId::Object([7; 12]),
            format: Format::Verbex,
            created_at: now,
            updated_at: now,
            settings: Arc::new(Settings {
                url: "https://example.com/".into(),
                events: Box::default(),
                description: None,
                active: true,
                name: Some("name".into()),
                headers: Box::default(),
                agent_ids: Box::default(),
                workspace_ids: Box::default(),
            }),
            key_ring: Some(KeyRing::new(Secret::from_bytes(&[1; 30]), now)),
        }
    }

    fn changed(change: impl FnOnce(&mut Settings)) -> Endpoint {
        let mut changed = endpoint();
        change(Arc::make_mut(&mut changed.settings));
        changed
    }

    const NOTHING: Rewrite<'_> = Rewrite {
        settings: false,
        name: false,
        subscriptions: false,
        active: None,
        key_ring: KeyRingChange::Keep,
    };

    #[test]
    fn a_rotation_writes_the_key_ring_alone() {
        let before = endpoint();
        let fresh = Secret::from_bytes(&[2; 30]);
        let ring = before.key_ring.as_ref().expect("it is signed");
        let (ring, _) = ring
            .rotate(Timestamp::from_millis(2), Duration::from_secs(60), fresh)
            .expect("there is room");
        let after = Endpoint {
            key_ring: Some(ring.clone()),
            ..before.clone()
        };
        let key_ring = KeyRingChange::Set(&ring);
        assert_eq!(
            Rewrite::between(&before, &after),
            Rewrite {
                key_ring,
                ..NOTHING
            }
        );
        assert_eq!(Rewrite::between(&before, &before.clone()), NOTHING);
    }

    #[test]
    fn a_change_of_settings_writes_what_depends_on_them() {
        let before = endpoint();
        let settings = Rewrite {
            settings: true,
            ..NOTHING
        };
        let url = changed(|settings| settings.url = "https://example.com/new".into());
        assert_eq!(Rewrite::between(&before, &url), settings);
        let name = changed(|settings| settings.name = None);
        assert!(Rewrite::between(&before, &name).name);
        let off = changed(|settings| settings.active = false);
        let rewrite = Rewrite::between(&before, &off);
        assert_eq!((rewrite.subscriptions, rewrite.active), (true, Some(false)));
        let events = changed(|settings| settings.events = Box::new(["a".parse().expect("sound")]));
        let rewrite = Rewrite::between(&before, &events);
        assert_eq!((rewrite.subscriptions, rewrite.active), (true, None));
    }

    #[test]
    fn whether_an_endpoint_is_signed_is_part_of_its_settings() {
        let signed = endpoint();
        let unsigned = Endpoint {
            key_ring: None,
            ..signed.clone()
        };
        let off = Rewrite::between(&signed, &unsigned);
        assert_eq!((off.settings, off.key_ring), (true, KeyRingChange::Delete));
        let on = Rewrite::between(&unsigned, &signed);
        let ring = signed.key_ring.as_ref().expect("it is signed");
        assert_eq!((on.settings, on.key_ring), (true, KeyRingChange::Add(ring)));
    }
}
