//! What is known of a tenant's endpoints as a set: their order, their names, and who subscribes to
//! what.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::domain::{EndpointId, EventPattern, Settings};
use crate::store::CommitError;

#[derive(Default)]
pub(super) struct Index {
    next_position: u64,
    /// In the order of creation.
    pub by_position: BTreeMap<u64, EndpointId>,
    by_name: HashMap<Box<str>, EndpointId>,
    /// The active endpoints, by what they subscribe to.
    subscribers: HashMap<EventPattern, BTreeSet<EndpointId>>,
}

impl Index {
    /// Enters a new endpoint at the end of the order. It gets events only once it is
    /// [subscribed](Self::subscribe).
    pub fn add(&mut self, id: EndpointId, settings: &Settings) -> Result<u64, CommitError> {
        self.claim_name(settings, id)?;
        let position = self.next_position;
        self.next_position += 1;
        self.by_position.insert(position, id);
        Ok(position)
    }

    /// Takes an endpoint out.
    pub fn remove(&mut self, id: EndpointId, position: u64, settings: &Settings) {
        self.by_position.remove(&position);
        if let Some(name) = &settings.name {
            self.by_name.remove(name);
        }
        self.unsubscribe(id, settings);
    }

    /// Changes what is known of an endpoint.
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

    /// From now on an endpoint gets the events that it subscribes to, if it is active.
    pub fn subscribe(&mut self, id: EndpointId, settings: &Settings) {
        if settings.active {
            for pattern in settings.patterns() {
                self.subscribers
                    .entry(pattern.clone())
                    .or_default()
                    .insert(id);
            }
        }
    }

    fn unsubscribe(&mut self, id: EndpointId, settings: &Settings) {
        for pattern in settings.patterns() {
            if let Some(subscribers) = self.subscribers.get_mut(pattern) {
                subscribers.remove(&id);
                if subscribers.is_empty() {
                    self.subscribers.remove(pattern);
                }
            }
        }
    }

    /// The active endpoints that subscribe to `event_type`, each once.
    pub fn subscribers(&self, event_type: &str) -> BTreeSet<EndpointId> {
        EventPattern::matching(event_type)
            .filter_map(|pattern| self.subscribers.get(&pattern))
            .flatten()
            .copied()
            .collect()
    }
}
