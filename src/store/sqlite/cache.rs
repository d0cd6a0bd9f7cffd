//! Caches what the writer reads from the file, so that an endpoint that is often rotated, and an
//! event that is claimed soon after it was published, are not read and decrypted each time.
//!
//! Only the writer writes, so the cache is never older than the file. It would be newer after a
//! failed commit, so it is cleared then. Nothing is signed from it: a claim reads the key ring from
//! the file.

use std::collections::HashMap;
use std::sync::Arc;

use super::fault::{Fault, damaged};
use super::read::{Reader, Tenant};
use super::sql;
use crate::domain::{Endpoint, EndpointId, Event, TenantId};

/// The most bytes of text in the settings of a cached endpoint: few endpoints have more.
const MOST_TEXT: usize = 4096;

/// The most cached endpoints.
const MOST_ENDPOINTS: usize = 8192;

/// How many bytes of event data are cached in total, and of one event at most. Most events are
/// claimed soon after they are published.
const MOST_DATA: usize = 4 << 20;
const MOST_DATA_OF_ONE: usize = 64 << 10;

/// The most cached audiences.
const MOST_AUDIENCES: usize = 64;

/// The number and the members of an audience.
type Audience = (i64, Arc<[i64]>);

/// See the module documentation.
#[derive(Default)]
pub(super) struct Cache {
    events: HashMap<i64, Arc<Event>>,
    /// The total bytes of their data.
    bytes_of_data: usize,
    /// By tenant and type of event: the number and the members of the audience that was written
    /// last, for as long as nobody subscribes or unsubscribes.
    audiences: HashMap<(i64, Box<str>), Audience>,
    endpoints: HashMap<(i64, EndpointId), (i64, Endpoint)>,
    tenants: HashMap<TenantId, i64>,
    names: HashMap<i64, TenantId>,
    /// How many tenants were added: the only write that a refused job may leave behind.
    tenants_added: u64,
}

impl Cache {
    /// Clears the cache.
    pub fn clear(&mut self) {
        self.endpoints.clear();
        self.forget_events();
        self.audiences.clear();
        self.tenants.clear();
        self.names.clear();
    }

    /// Returns how many tenants were added to the file so far.
    pub fn tenants_added(&self) -> u64 {
        self.tenants_added
    }

    /// Returns the tenant, and adds it to the file if it is new.
    pub fn tenant(&mut self, reader: Reader<'_>, id: &TenantId) -> Result<Tenant, Fault> {
        let number = match self.tenants.get(id) {
            Some(number) => *number,
            None => self.enter_tenant(reader, id)?,
        };
        Ok(Tenant {
            number,
            id: id.clone(),
        })
    }

    fn enter_tenant(&mut self, reader: Reader<'_>, id: &TenantId) -> Result<i64, Fault> {
        let number = if let Some(known) = reader.tenant(id)? {
            known.number
        } else {
            let mut add = reader.db.prepare_cached(sql::ADD_TENANT)?;
            let added = add.query_row([id.as_str()], |row| row.get(0))?;
            self.tenants_added += 1;
            added
        };
        self.tenants.insert(id.clone(), number);
        Ok(number)
    }

    /// Returns the tenant with this number.
    pub fn tenant_of_number(&mut self, reader: Reader<'_>, number: i64) -> Result<Tenant, Fault> {
        if let Some(id) = self.names.get(&number) {
            let id = id.clone();
            return Ok(Tenant { number, id });
        }
        let name = reader.row(sql::TENANT_NAME, &[&number], |row| {
            Ok(TenantId::new(row.get_ref(0)?.as_str()?))
        })?;
        let id = name.ok_or_else(|| damaged("a tenant"))?;
        self.names.insert(number, id.clone());
        Ok(Tenant { number, id })
    }

    /// Returns an endpoint with its number, as the last write left it.
    pub fn endpoint(
        &mut self,
        reader: Reader<'_>,
        tenant: &Tenant,
        id: EndpointId,
    ) -> Result<Option<(i64, Endpoint)>, Fault> {
        if let Some(known) = self.endpoints.get(&(tenant.number, id)) {
            return Ok(Some(known.clone()));
        }
        let read = reader.endpoint(tenant, id)?;
        if let Some((number, endpoint)) = &read {
            self.keep(tenant, *number, endpoint.clone());
        }
        Ok(read)
    }

    /// Returns the event with this number, if it is cached. An event never changes.
    pub fn event(&self, number: i64) -> Option<&Arc<Event>> {
        self.events.get(&number)
    }

    /// Caches an event that was written.
    pub fn keep_event(&mut self, number: i64, event: &Arc<Event>) {
        let bytes = event.data.len();
        if bytes > MOST_DATA_OF_ONE {
            return;
        }
        if self.bytes_of_data + bytes > MOST_DATA || self.events.len() >= MOST_ENDPOINTS {
            self.forget_events();
        }
        self.bytes_of_data += bytes;
        self.events.insert(number, Arc::clone(event));
    }

    /// Returns the audience of a type of event, if it is stored and has not changed since.
    pub fn audience(&self, tenant: &Tenant, event_type: &str) -> Option<&Audience> {
        // Most events have no stored audience, and then the type is not copied.
        if self.audiences.is_empty() {
            return None;
        }
        self.audiences.get(&(tenant.number, event_type.into()))
    }

    /// Caches an audience that was written.
    pub fn keep_audience(
        &mut self,
        tenant: &Tenant,
        event_type: &str,
        number: i64,
        members: &Arc<[i64]>,
    ) {
        if self.audiences.len() >= MOST_AUDIENCES {
            self.audiences.clear();
        }
        let key = (tenant.number, event_type.into());
        self.audiences.insert(key, (number, Arc::clone(members)));
    }

    /// Removes an audience that was deleted from the file.
    pub fn forget_audience(&mut self, number: i64) {
        self.audiences.retain(|_, (of, _)| *of != number);
    }

    /// Removes the audiences of a tenant whose subscriptions change.
    pub fn forget_audiences(&mut self, tenant: &Tenant) {
        self.audiences.retain(|(of, _), _| *of != tenant.number);
    }

    fn forget_events(&mut self) {
        self.events.clear();
        self.bytes_of_data = 0;
    }

    /// Caches an endpoint that was written.
    pub fn keep(&mut self, tenant: &Tenant, number: i64, endpoint: Endpoint) {
        let key = (tenant.number, endpoint.id);
        if endpoint.settings.text_bytes() > MOST_TEXT {
            self.endpoints.remove(&key);
            return;
        }
        if self.endpoints.len() >= MOST_ENDPOINTS {
            self.endpoints.clear();
        }
        self.endpoints.insert(key, (number, endpoint));
    }

    /// Removes an endpoint that was deleted.
    pub fn forget(&mut self, tenant: &Tenant, id: EndpointId) {
        self.endpoints.remove(&(tenant.number, id));
    }
}
