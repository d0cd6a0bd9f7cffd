//! What the writer keeps of the file in memory, so that an endpoint that is often rotated, and an event that is claimed
//! soon after it was published, are not read and opened each time.
//!
//! Nobody else writes, so this cannot be behind the file. Where it could be ahead, because a commit failed, it is emptied.
//! Nothing is signed from it: a claim reads the key ring from the file.

use std::collections::HashMap;
use std::sync::Arc;

use super::fault::{Fault, damaged};
use super::read::{Reader, Tenant};
use super::sql;
use crate::domain::{Endpoint, EndpointId, Event, Settings, TenantId};

/// The most bytes of text in the settings of an endpoint that is kept: few have as much.
const MOST_TEXT: usize = 4096;

/// How many endpoints are kept.
const MOST_ENDPOINTS: usize = 8192;

/// How many bytes of data of events are kept, and of one event at most. Most events are claimed soon after they are
/// published.
const MOST_DATA: usize = 4 << 20;
const MOST_DATA_OF_ONE: usize = 64 << 10;

/// See the module.
#[derive(Default)]
pub(super) struct Cache {
    events: HashMap<i64, Arc<Event>>,
    /// How many bytes of data they hold.
    bytes_of_data: usize,
    endpoints: HashMap<(i64, EndpointId), (i64, Endpoint)>,
    tenants: HashMap<TenantId, i64>,
    names: HashMap<i64, TenantId>,
    /// How many tenants were entered: the one write that a job that refuses may leave behind.
    tenants_added: u64,
}

impl Cache {
    /// Forgets all of it.
    pub fn clear(&mut self) {
        self.endpoints.clear();
        self.forget_events();
        self.tenants.clear();
        self.names.clear();
    }

    /// How many tenants were entered in the file so far.
    pub fn tenants_added(&self) -> u64 {
        self.tenants_added
    }

    /// The tenant, which is entered in the file if it is new.
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

    /// The tenant with this number.
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

    /// An endpoint with its number, as the last write left it.
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

    /// The event with this number, if it is kept. It never changes.
    pub fn event(&self, number: i64) -> Option<&Arc<Event>> {
        self.events.get(&number)
    }

    /// Keeps an event that was written.
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

    fn forget_events(&mut self) {
        self.events.clear();
        self.bytes_of_data = 0;
    }

    /// Keeps an endpoint as it was written.
    pub fn keep(&mut self, tenant: &Tenant, number: i64, endpoint: Endpoint) {
        let key = (tenant.number, endpoint.id);
        if text_of(&endpoint.settings) > MOST_TEXT {
            self.endpoints.remove(&key);
            return;
        }
        if self.endpoints.len() >= MOST_ENDPOINTS {
            self.endpoints.clear();
        }
        self.endpoints.insert(key, (number, endpoint));
    }

    /// Forgets an endpoint that was deleted.
    pub fn forget(&mut self, tenant: &Tenant, id: EndpointId) {
        self.endpoints.remove(&(tenant.number, id));
    }
}

/// How many bytes of text its owner gave an endpoint.
fn text_of(settings: &Settings) -> usize {
    let headers = settings.headers.iter();
    let headers = headers.map(|header| header.name.len() + header.value.len());
    let ids = settings.agent_ids.iter().chain(&settings.workspace_ids);
    let patterns = settings.events.iter().map(size_of_val);
    settings.url.len()
        + settings.description.as_ref().map_or(0, |text| text.len())
        + headers
            .chain(ids.map(|id| id.len()))
            .chain(patterns)
            .sum::<usize>()
}
