//! The rules that `hookturn check` applies to records, independent of the database. Each rule
//! returns its problems as phrases that follow the name of the record. They contain no data of the
//! record.

use std::collections::{BTreeSet, HashSet};
use std::time::Duration;

use serde::Deserialize;

use super::codec;
use crate::domain::event::is_event_type;
use crate::domain::key_ring::MAX_LIVE;
use crate::domain::{Endpoint, EventId, KeyRing, Settings, Timestamp};
use crate::idempotency::{RETENTION, Record};

/// How far the clock of this machine may be behind that of the machine that wrote the store.
const CLOCKS_DIFFER: Duration = Duration::from_secs(3600);

/// The problems of one record.
pub(in crate::store) type Problems = Vec<String>;

/// Checks an endpoint without its key ring: the sealed settings must agree with the columns, and
/// with whether there is a key ring.
pub(in crate::store) fn endpoint(
    endpoint: &Endpoint,
    is_signed: bool,
    has_ring: bool,
    active: bool,
    name: Option<&str>,
) -> Problems {
    let mut problems = Vec::new();
    match (is_signed, has_ring) {
        (true, false) => problems.push("it is signed, but its key ring is missing".to_owned()),
        (false, true) => problems.push("it is not signed, but has a key ring".to_owned()),
        _ => {}
    }
    if active != endpoint.settings.active {
        problems.push("the column active differs from the encrypted settings".to_owned());
    }
    if name != endpoint.settings.name.as_deref() {
        problems.push("the column name differs from the encrypted settings".to_owned());
    }
    problems
}

/// Checks a key ring at `now`: its order, its times, and how many of its secrets are live.
pub(in crate::store) fn key_ring(ring: &KeyRing, now: Timestamp) -> Problems {
    let mut problems = Vec::new();
    if ring.live(now).count() > MAX_LIVE {
        problems.push(format!("more than {MAX_LIVE} secrets are live"));
    }
    let retiring = ring.retiring();
    let made = std::iter::once(ring.current().created_at)
        .chain(retiring.iter().map(|retiring| retiring.created_at));
    if !made.is_sorted_by(|newer, older| newer >= older) {
        problems
            .push("its secrets are not newest first (unless the clock was set back)".to_owned());
    }
    if retiring
        .iter()
        .any(|retiring| retiring.expires_at < retiring.created_at)
    {
        problems
            .push("a secret expires before it was made (unless the clock was set back)".to_owned());
    }
    let names = std::iter::once(&ring.current().secret)
        .chain(retiring.iter().map(|retiring| &retiring.secret))
        .map(|secret| secret.fingerprint().bytes());
    if names.collect::<HashSet<_>>().len() <= retiring.len() {
        problems.push("it has a secret twice".to_owned());
    }
    problems
}

/// Returns what the index of subscriptions must contain for an endpoint with these settings.
pub(in crate::store) fn subscriptions(settings: &Settings) -> BTreeSet<String> {
    let patterns = settings.patterns().iter().map(ToString::to_string);
    patterns.filter(|_| settings.active).collect()
}

/// Checks when a recorded answer expires.
pub(in crate::store) fn answer_expiry(expires_at: Timestamp, now: Timestamp) -> Problems {
    if expires_at > now.plus(RETENTION).plus(CLOCKS_DIFFER) {
        vec!["it expires more than 24 hours from now".to_owned()]
    } else {
        Vec::new()
    }
}

/// Checks a recorded answer.
pub(in crate::store) fn answer(record: &Record) -> Problems {
    if (200..300).contains(&record.answer.status) {
        Vec::new()
    } else {
        vec!["it is recorded, but is not a success".to_owned()]
    }
}

/// The columns of an event.
pub(in crate::store) struct EventColumns<'a> {
    pub id: &'a str,
    pub event_type: &'a str,
    pub trace_id: &'a [u8],
    /// The number of endpoints that it was published to.
    pub deliveries: i64,
    /// How many of those deliveries are still stored, by its own count.
    pub kept: i64,
    /// Whether its id is still remembered.
    pub remembered: bool,
}

/// Checks an event without its data.
pub(in crate::store) fn event(columns: &EventColumns<'_>) -> Problems {
    let mut problems = Vec::new();
    let mut expect = |holds: bool, problem: &str| {
        if !holds {
            problems.push(problem.to_owned());
        }
    };
    expect(columns.id.parse::<EventId>().is_ok(), "its id is not valid");
    expect(is_event_type(columns.event_type), "its type is not valid");
    expect(columns.trace_id.len() == 16, "its trace id is not valid");
    expect(
        (0..=columns.deliveries).contains(&columns.kept),
        "it counts more deliveries than it was published to",
    );
    expect(
        columns.kept != 0 || columns.remembered,
        "it has expired, but is still there",
    );
    problems
}

/// Returns whether the data of an event is a JSON object, or a digest of one.
pub(in crate::store) fn is_event_data(data: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Object {}
    codec::digest_from(data).is_some() || serde_json::from_slice::<Object>(data).is_ok()
}

/// Facts about a delivery and the records that it names by their numbers.
#[expect(
    clippy::struct_excessive_bools,
    reason = "facts of one row, each with its name"
)]
pub(in crate::store) struct DeliveryFacts {
    pub is_pending: bool,
    /// Whether it has a time for the next attempt.
    pub is_due: bool,
    /// Whether it has a time at which it ended.
    pub is_finished: bool,
    pub tenant: i64,
    pub has_tenant: bool,
    /// The number of its event, and that event's tenant if the event exists.
    pub event: (i64, Option<i64>),
    /// The number of its endpoint, and that endpoint's tenant if the endpoint exists.
    pub endpoint: (i64, Option<i64>),
    /// Whether that endpoint has the id that the delivery names.
    pub is_endpoints_id: bool,
    /// Whether its endpoint was deleted, and its pending deliveries are still being canceled.
    pub is_deleted: bool,
}

/// Checks a delivery.
pub(in crate::store) fn delivery(facts: &DeliveryFacts) -> Problems {
    let mut problems = Vec::new();
    let mut expect = |holds: bool, problem: &dyn Fn() -> String| {
        if !holds {
            problems.push(problem());
        }
    };
    let DeliveryFacts {
        is_pending, tenant, ..
    } = *facts;
    expect(is_pending == facts.is_due, &|| {
        "it is pending without a next attempt, or has one and is not pending".to_owned()
    });
    expect(is_pending != facts.is_finished, &|| {
        "it is both pending and finished, or neither".to_owned()
    });
    let (event, of_event) = facts.event;
    expect(of_event.is_some(), &|| {
        format!("its event {event} is missing")
    });
    expect(of_event.is_none_or(|of| of == tenant), &|| {
        "its event belongs to another tenant".to_owned()
    });
    // A missing endpoint was deleted, and its pending deliveries are canceled soon.
    let (endpoint, of_endpoint) = facts.endpoint;
    expect(
        of_endpoint.is_some() || !is_pending || facts.is_deleted,
        &|| format!("it is pending, but its endpoint {endpoint} is missing"),
    );
    expect(
        of_endpoint.is_none_or(|of| of == tenant && facts.is_endpoints_id),
        &|| "its endpoint id is not that of the endpoint with its number".to_owned(),
    );
    expect(facts.has_tenant, &|| {
        format!("its tenant {tenant} is missing")
    });
    problems
}

/// Checks which master key a value is encrypted with. `known` has the ids that the store knows.
/// `only` is the id of the key that all values are encrypted with, unless a rewrap is in progress.
pub(in crate::store) fn master_key(
    key: &str,
    known: &HashSet<String>,
    only: Option<&str>,
) -> Problems {
    if !known.contains(key) {
        vec![format!(
            "it is encrypted with the master key `{key}`, which the file does not name: keep that key and run \
             `hookturn keys rewrap`"
        )]
    } else if only.is_some_and(|only| only != key) {
        vec![format!(
            "it is still encrypted with the master key `{key}`: keep that key and run `hookturn keys rewrap`"
        )]
    } else {
        Vec::new()
    }
}
