//! Knows all open connections, and decides which one makes room for another.
//!
//! A connection is known by the caller whose key it has sent, or has no key. Connections without a
//! key are the ones that anybody can open. So they get at most three quarters of the places, and
//! each address gets a limited number of them. If there is no room for a new one, the address with
//! the most of them gives one up: the one that has been idle longest. A new client, such as a
//! health probe, is therefore accepted at once, and stays, however many connections others hold or
//! open.
//!
//! Connections with a key get all places but a sixteenth, and those of one caller half of the
//! places. A caller who comes when there is no room among them takes the place of an idle
//! connection of a caller who has as many. If all are busy, its connection stays among those
//! without a key.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use parking_lot::Mutex;

use super::activity::Activity;
use super::idleness::ByIdleness;
use super::limits::Limits;
use super::source::Source;
use crate::domain::TenantId;

/// The bytes of answers that may wait for their peers, in all.
const MOST_UNREAD: usize = 64 << 20;

/// All open connections. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Connections(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    limits: Limits,
    open: Mutex<Open>,
    /// The bytes of answers that wait for their peers.
    unread: Arc<AtomicUsize>,
}

#[derive(Debug, Default)]
struct Open {
    last: u64,
    by_number: HashMap<u64, Connection>,
    /// Those without a key, for each address.
    keyless: HashMap<Source, Keyless>,
    keyless_in_all: usize,
    /// The addresses of those. The last one has the most, and of equals it has had so many longest.
    ranks: BTreeSet<(Rank, Source)>,
    /// Those that have sent a key of each caller.
    by_caller: HashMap<TenantId, ByIdleness>,
}

/// How many connections an address has, and the number of the last one.
type Rank = (usize, Reverse<u64>);

/// The connections without a key from one address.
#[derive(Debug, Default)]
struct Keyless {
    last: u64,
    connections: ByIdleness,
}

impl Keyless {
    fn rank(&self) -> Rank {
        (self.connections.len(), Reverse(self.last))
    }
}

#[derive(Debug)]
struct Connection {
    source: Source,
    activity: Arc<Activity>,
    caller: Option<TenantId>,
}

/// The place of one connection. Dropping it frees the place.
#[derive(Debug)]
pub(super) struct Place {
    connections: Connections,
    number: u64,
    source: Source,
    /// Whether a request with a valid key came on the connection.
    has_key: AtomicBool,
}

impl Connections {
    pub fn new(limits: &Limits) -> Self {
        Self(Arc::new(Inner {
            limits: limits.clone(),
            open: Mutex::default(),
            unread: Arc::default(),
        }))
    }

    /// Returns a place for a new connection. If there is no room, ends a connection without a key.
    /// There always is one, since those with a key cannot have all places.
    pub fn enter(&self, address: IpAddr, activity: &Arc<Activity>) -> Place {
        let source = Source::of(address);
        let limits = &self.0.limits;
        let mut open = self.0.open.lock();
        if let Some(most) = limits.max_connections_per_address
            && let Some(of_source) = open.keyless.get_mut(&source)
            && of_source.connections.len() >= most.max(1)
        {
            let idlest = of_source.connections.idlest();
            open.end_if_any(idlest);
        }
        let most = limits.max_connections.max(1);
        // A quarter is kept for connections with a key.
        let is_keyless_full = open.keyless_in_all >= most - most / 4;
        if is_keyless_full || open.by_number.len() >= most {
            open.end_keyless();
        }
        Place {
            connections: self.clone(),
            number: open.add(source, activity),
            source,
            has_key: AtomicBool::new(false),
        }
    }

    /// Returns what counts the bytes of answers that wait for their peers.
    pub fn unread(&self) -> &Arc<AtomicUsize> {
        &self.0.unread
    }

    /// Ends the connection for whose peer most bytes of answers wait, if too many wait in all.
    pub fn limit_unread(&self) {
        if self.0.unread.load(Ordering::Relaxed) <= MOST_UNREAD {
            return;
        }
        let mut open = self.0.open.lock();
        // Those that were ended count until their tasks end, but they are not open any more.
        let unread = open.by_number.values().map(|one| one.activity.unread());
        if unread.sum::<usize>() <= MOST_UNREAD {
            return;
        }
        let greediest = open.by_number.iter();
        let greediest = greediest.max_by_key(|(_, one)| one.activity.unread());
        if let Some(number) = greediest.map(|(number, _)| *number) {
            open.end(number);
        }
    }

    /// Ends a connection without a key, to free its descriptor. Returns whether there was one.
    pub fn end_one(&self) -> bool {
        self.0.open.lock().end_keyless()
    }
}

impl Open {
    fn add(&mut self, source: Source, activity: &Arc<Activity>) -> u64 {
        self.last += 1;
        let connection = Connection {
            source,
            activity: Arc::clone(activity),
            caller: None,
        };
        self.by_number.insert(self.last, connection);
        let of_source = self.keyless.entry(source).or_default();
        self.ranks.remove(&(of_source.rank(), source));
        of_source.last = self.last;
        let activity = Arc::clone(activity);
        of_source.connections.add(self.last, activity);
        self.ranks.insert((of_source.rank(), source));
        self.keyless_in_all += 1;
        self.last
    }

    fn remove(&mut self, number: u64) {
        let Some(connection) = self.by_number.remove(&number) else {
            return;
        };
        match connection.caller {
            None => self.leave_keyless(connection.source, number),
            Some(caller) => {
                if let Some(of_caller) = self.by_caller.get_mut(&caller) {
                    of_caller.remove(number);
                    if of_caller.len() == 0 {
                        self.by_caller.remove(&caller);
                    }
                }
            }
        }
    }

    /// Moves a connection without a key to those of a caller.
    fn give_to(&mut self, caller: &TenantId, number: u64) {
        let Some(connection) = self.by_number.get_mut(&number) else {
            return;
        };
        connection.caller = Some(caller.clone());
        let (source, activity) = (connection.source, Arc::clone(&connection.activity));
        self.leave_keyless(source, number);
        let of_caller = self.by_caller.entry(caller.clone()).or_default();
        of_caller.add(number, activity);
    }

    fn leave_keyless(&mut self, source: Source, number: u64) {
        self.keyless_in_all -= 1;
        if let Some(of_source) = self.keyless.get_mut(&source) {
            self.ranks.remove(&(of_source.rank(), source));
            of_source.connections.remove(number);
            if of_source.connections.len() == 0 {
                self.keyless.remove(&source);
            } else {
                self.ranks.insert((of_source.rank(), source));
            }
        }
    }

    /// Ends the connection without a key that has been idle longest, of the address that has the
    /// most. Returns whether there was one.
    fn end_keyless(&mut self) -> bool {
        let largest = self.ranks.last().map(|(_, source)| *source);
        let largest = largest.and_then(|source| self.keyless.get_mut(&source));
        let idlest = largest.and_then(|of_source| of_source.connections.idlest());
        self.end_if_any(idlest)
    }

    /// Ends an idle connection of the caller that has the most, but of no caller that has fewer
    /// than `least`. Returns whether there was one.
    fn end_idle_of_largest(&mut self, least: usize) -> bool {
        let callers = self.by_caller.values_mut();
        let mut callers: Vec<_> = callers.filter(|one| one.len() >= least).collect();
        callers.sort_by_key(|one| Reverse(one.len()));
        let idle = callers.into_iter().find_map(ByIdleness::idle);
        self.end_if_any(idle)
    }

    fn end_if_any(&mut self, number: Option<u64>) -> bool {
        if let Some(number) = number {
            self.end(number);
        }
        number.is_some()
    }

    fn end(&mut self, number: u64) {
        if let Some(connection) = self.by_number.get(&number) {
            connection.activity.cut_now();
        }
        // It counts no more, although its task has yet to end.
        self.remove(number);
    }
}

impl Place {
    /// Returns all connections.
    pub fn connections(&self) -> &Connections {
        &self.connections
    }

    /// Returns where the connection comes from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Notes that a request with a valid key of this caller came on the connection. If there is no
    /// room among the connections with a key, an idle one makes room. If none is idle, this one
    /// stays among those without a key.
    pub fn has_key_of(&self, caller: &TenantId) {
        // Nearly every request after the first ends here.
        if self.has_key.load(Ordering::Relaxed) {
            return;
        }
        let most = self.connections.0.limits.max_connections;
        let mut open = self.connections.0.open.lock();
        if !open.by_number.contains_key(&self.number) {
            return;
        }
        let has_room = match open.by_caller.get_mut(caller) {
            Some(own) if own.len() >= (most / 2).max(1) => {
                let idle = own.idle();
                open.end_if_any(idle)
            }
            own => {
                let least = own.map_or(1, |own| own.len());
                let keyed = open.by_number.len() - open.keyless_in_all;
                keyed < most.saturating_sub((most / 16).max(1)) || open.end_idle_of_largest(least)
            }
        };
        if has_room {
            open.give_to(caller, self.number);
            self.has_key.store(true, Ordering::Relaxed);
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.connections.0.open.lock().remove(self.number);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What happens next. The numbers choose an address, a caller and a connection.
    #[derive(Clone, Copy, Debug)]
    enum Happening {
        Enters(u8),
        SendsKey(usize, u8),
        BecomesBusy(usize),
        Ends(usize),
    }

    fn happening() -> impl Strategy<Value = Happening> {
        prop_oneof![
            (0..4u8).prop_map(Happening::Enters),
            (0..32usize, 0..3u8).prop_map(|(which, caller)| Happening::SendsKey(which, caller)),
            (0..32usize).prop_map(Happening::BecomesBusy),
            (0..32usize).prop_map(Happening::Ends),
        ]
    }

    /// Checks that all that is known about the open connections agrees.
    fn check(open: &Open, limits: &Limits) -> Result<(), TestCaseError> {
        let most = limits.max_connections;
        prop_assert!(open.by_number.len() <= most);
        prop_assert!(open.keyless_in_all <= most - most / 4);
        let keyless = open.by_number.values().filter(|one| one.caller.is_none());
        prop_assert_eq!(keyless.count(), open.keyless_in_all);
        let mut ranks = BTreeSet::new();
        for (source, of_source) in &open.keyless {
            let own = open.by_number.values();
            let own = own.filter(|one| one.caller.is_none() && one.source == *source);
            prop_assert_eq!(own.count(), of_source.connections.len());
            prop_assert!(
                of_source.connections.len() <= limits.max_connections_per_address.unwrap_or(most)
            );
            ranks.insert((of_source.rank(), *source));
        }
        prop_assert_eq!(&ranks, &open.ranks);
        for (caller, of_caller) in &open.by_caller {
            let own = open.by_number.values();
            let own = own.filter(|one| one.caller.as_ref() == Some(caller));
            prop_assert_eq!(own.count(), of_caller.len());
            prop_assert!((1..=most / 2).contains(&of_caller.len()));
        }
        prop_assert!(open.by_number.len() - open.keyless_in_all < most);
        Ok(())
    }

    proptest! {
        #[test]
        fn places_are_counted_right_whatever_happens(
            happenings in prop::collection::vec(happening(), 0..120),
            per_address in proptest::option::of(1..6usize),
        ) {
            let limits = Limits {
                max_connections: 12,
                max_connections_per_address: per_address,
                ..Limits::default()
            };
            let connections = Connections::new(&limits);
            let mut places: Vec<(Place, Arc<Activity>)> = Vec::new();
            let mut requests = Vec::new();
            for happening in happenings {
                match happening {
                    Happening::Enters(last) => {
                        let activity = Activity::new(Arc::clone(connections.unread()));
                        let address = IpAddr::from([127, 0, 0, last]);
                        places.push((connections.enter(address, &activity), activity));
                    }
                    Happening::SendsKey(which, caller) => {
                        let caller = TenantId::new(&format!("tenant-{caller}"));
                        let which = which.checked_rem(places.len());
                        if let Some((place, _)) = which.and_then(|which| places.get(which)) {
                            place.has_key_of(&caller);
                        }
                    }
                    Happening::BecomesBusy(which) => {
                        let which = which.checked_rem(places.len());
                        if let Some((_, activity)) = which.and_then(|which| places.get(which)) {
                            requests.push(activity.begin(axum::http::Version::HTTP_11));
                        }
                    }
                    Happening::Ends(which) => {
                        if let Some(which) = which.checked_rem(places.len()) {
                            places.swap_remove(which);
                        }
                    }
                }
                check(&connections.0.open.lock(), &limits)?;
            }
        }
    }
}
