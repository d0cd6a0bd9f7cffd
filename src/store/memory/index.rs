//! Indexes the endpoints of a tenant: by their order, by name, and by what they subscribe to.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use crate::domain::{EndpointId, EventPattern, Settings};
use crate::store::CommitError;
use crate::store::pending_fan_outs::AT_ONCE;

/// The most audiences of one tenant that are kept ready.
const MOST_AUDIENCES: usize = 64;

#[derive(Default)]
pub(super) struct Index {
    next_position: u64,
    /// In the order of creation.
    pub by_position: BTreeMap<u64, EndpointId>,
    by_name: HashMap<Box<str>, EndpointId>,
    /// The active endpoints, by what they subscribe to.
    subscribers: HashMap<EventPattern, BTreeSet<EndpointId>>,
    /// The large audiences of events by their type, for as long as nobody subscribes or
    /// unsubscribes.
    audiences: HashMap<Box<str>, Arc<[EndpointId]>>,
}

impl Index {
    /// Adds a new endpoint at the end of the order. It gets events only after
    /// [`subscribe`](Self::subscribe).
    pub fn add(&mut self, id: EndpointId, settings: &Settings) -> Result<u64, CommitError> {
        self.claim_name(settings, id)?;
        let position = self.next_position;
        self.next_position += 1;
        self.by_position.insert(position, id);
        Ok(position)
    }

    /// Removes an endpoint.
    pub fn remove(&mut self, id: EndpointId, position: u64, settings: &Settings) {
        self.by_position.remove(&position);
        if let Some(name) = &settings.name {
            self.by_name.remove(name);
        }
        self.unsubscribe(id, settings);
    }

    /// Updates the entries of an endpoint whose settings change.
    pub fn replace(
        &mut self,
        id: EndpointId,
        before: &Settings,
        after: &Settings,
    ) -> Result<(), CommitError> {
        if before.name != after.name {
            self.claim_name(after, id)?;
            if let Some(name) = &before.name {
                self.by_name.remove(name);
            }
        }
        self.unsubscribe(id, before);
        self.subscribe(id, after);
        Ok(())
    }

    fn claim_name(&mut self, settings: &Settings, id: EndpointId) -> Result<(), CommitError> {
        let Some(name) = &settings.name else {
            return Ok(());
        };
        if self.by_name.contains_key(name) {
            return Err(CommitError::NameTaken);
        }
        self.by_name.insert(name.clone(), id);
        Ok(())
    }

    /// Adds an endpoint to the subscribers of what it subscribes to, if it is active.
    pub fn subscribe(&mut self, id: EndpointId, settings: &Settings) {
        if settings.active {
            self.audiences.clear();
            for pattern in settings.patterns() {
                self.subscribers
                    .entry(pattern.clone())
                    .or_default()
                    .insert(id);
            }
        }
    }

    fn unsubscribe(&mut self, id: EndpointId, settings: &Settings) {
        self.audiences.clear();
        for pattern in settings.patterns() {
            if let Some(subscribers) = self.subscribers.get_mut(pattern) {
                subscribers.remove(&id);
                if subscribers.is_empty() {
                    self.subscribers.remove(pattern);
                }
            }
        }
    }

    /// Returns the active endpoints that subscribe to `event_type`, each once.
    pub fn subscribers(&mut self, event_type: &str) -> Arc<[EndpointId]> {
        if let Some(audience) = self.audiences.get(event_type) {
            return Arc::clone(audience);
        }
        let subscribers: BTreeSet<EndpointId> = EventPattern::matching(event_type)
            .filter_map(|pattern| self.subscribers.get(&pattern))
            .flatten()
            .copied()
            .collect();
        let audience: Arc<[EndpointId]> = subscribers.into_iter().collect();
        if audience.len() > AT_ONCE {
            if self.audiences.len() >= MOST_AUDIENCES {
                self.audiences.clear();
            }
            self.audiences
                .insert(event_type.into(), Arc::clone(&audience));
        }
        audience
    }
}
