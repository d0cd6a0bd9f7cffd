//! All statements. Those that the store runs while it serves are in one list, so that one test can
//! ask SQLite how it would run each of them: none may scan a whole table or sort what an index has
//! in order. The others are in [`offline`].
//!
//! Rows are identified by a `number`, SQLite's row id, which is also the order of creation. Where
//! other records refer to a number, it is never used twice (`AUTOINCREMENT`), so a reference never
//! leads to another record.

pub(super) mod offline;

/// Returns the number of rows to read for a page: one more shows whether more follow.
pub(super) fn one_more_than(limit: usize) -> i64 {
    i64::try_from(limit.saturating_add(1)).unwrap_or(i64::MAX)
}

/// The tables of schema 1.
pub(super) const SCHEMA_1: &str = "
CREATE TABLE state (
    one              INTEGER PRIMARY KEY CHECK (one = 1),
    clock_advance_ms INTEGER NOT NULL,
    sealing_key      TEXT NOT NULL,
    rewrap_stage     INTEGER,
    rewrap_after     INTEGER NOT NULL,
    rewrap_failed    INTEGER NOT NULL
) STRICT;

CREATE TABLE master_key (
    id    TEXT PRIMARY KEY,
    proof BLOB NOT NULL
) STRICT, WITHOUT ROWID;

CREATE TABLE tenant (
    number INTEGER PRIMARY KEY,
    name   TEXT NOT NULL UNIQUE
) STRICT;

CREATE TABLE endpoint (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant INTEGER NOT NULL,
    id     BLOB NOT NULL,
    active INTEGER NOT NULL,
    name   TEXT,
    sealed BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX endpoint_id ON endpoint (tenant, id);
CREATE UNIQUE INDEX endpoint_name ON endpoint (tenant, name) WHERE name IS NOT NULL;
CREATE INDEX endpoint_order ON endpoint (tenant);

CREATE TABLE key_ring (
    endpoint INTEGER PRIMARY KEY,
    sealed   BLOB NOT NULL
) STRICT;

CREATE TABLE subscription (
    tenant   INTEGER NOT NULL,
    pattern  TEXT NOT NULL,
    endpoint INTEGER NOT NULL,
    PRIMARY KEY (tenant, pattern, endpoint)
) STRICT, WITHOUT ROWID;

CREATE TABLE answer (
    number     INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL,
    key        TEXT NOT NULL,
    expires_at INTEGER NOT NULL,
    sealed     BLOB NOT NULL
) STRICT;
CREATE UNIQUE INDEX answer_key ON answer (tenant, key);
CREATE INDEX answer_expiry ON answer (expires_at);

CREATE TABLE event (
    number     INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant     INTEGER NOT NULL,
    id         TEXT NOT NULL,
    type       TEXT NOT NULL,
    trace_id   BLOB NOT NULL,
    created_at INTEGER NOT NULL,
    deliveries INTEGER NOT NULL,
    kept       INTEGER NOT NULL,
    remembered INTEGER NOT NULL,
    sealed     BLOB NOT NULL
) STRICT;
CREATE INDEX event_id ON event (tenant, id);
CREATE INDEX event_age ON event (created_at) WHERE remembered = 1;

CREATE TABLE delivery (
    number             INTEGER PRIMARY KEY AUTOINCREMENT,
    tenant             INTEGER NOT NULL,
    id                 BLOB NOT NULL,
    endpoint           INTEGER NOT NULL,
    endpoint_id        BLOB NOT NULL,
    event              INTEGER NOT NULL,
    status             INTEGER NOT NULL,
    created_at         INTEGER NOT NULL,
    next_attempt_at    INTEGER,
    finished_at        INTEGER,
    scheduled_at       INTEGER,
    failures           INTEGER NOT NULL,
    is_last_attempt    INTEGER NOT NULL,
    is_resend_wanted   INTEGER NOT NULL,
    attempts           TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX delivery_id ON delivery (tenant, id);
CREATE INDEX delivery_list ON delivery (endpoint_id, status);
CREATE INDEX delivery_due ON delivery (endpoint, next_attempt_at) WHERE next_attempt_at IS NOT NULL;
CREATE INDEX delivery_age ON delivery (finished_at) WHERE finished_at IS NOT NULL;
";

/// What schema 2 adds so that no tenant makes another one wait.
///
/// - An event for many endpoints has a row in `fan_out` until all its deliveries are made. Its
///   `audience` has the numbers of the endpoints that get it.
/// - A deleted endpoint has a row in `deletion` until all its pending deliveries are canceled.
/// - `usage` has what each tenant uses of its quotas. An event of before has no `bytes` and counts
///   none.
pub(super) const SCHEMA_2_TENANTS: &str = "
CREATE TABLE audience (
    number  INTEGER PRIMARY KEY,
    members BLOB NOT NULL
) STRICT;

CREATE TABLE fan_out (
    event    INTEGER PRIMARY KEY,
    tenant   INTEGER NOT NULL,
    audience INTEGER NOT NULL,
    done     INTEGER NOT NULL
) STRICT;
CREATE INDEX fan_out_audience ON fan_out (audience);

CREATE TABLE deletion (
    endpoint   INTEGER PRIMARY KEY,
    tenant     INTEGER NOT NULL,
    deleted_at INTEGER NOT NULL
) STRICT;

CREATE TABLE usage (
    tenant             INTEGER PRIMARY KEY,
    endpoints          INTEGER NOT NULL,
    pending_deliveries INTEGER NOT NULL,
    event_bytes        INTEGER NOT NULL,
    idempotency_keys   INTEGER NOT NULL
) STRICT;
INSERT INTO usage SELECT number,
    (SELECT count(*) FROM endpoint WHERE endpoint.tenant = tenant.number), 0, 0,
    (SELECT count(*) FROM answer WHERE answer.tenant = tenant.number) FROM tenant;
UPDATE usage SET pending_deliveries = found.pending, event_bytes = found.bytes
    FROM (SELECT tenant, sum(status = 0) AS pending, 512 * count(*) AS bytes FROM delivery GROUP BY tenant) AS found
    WHERE found.tenant = usage.tenant;

ALTER TABLE event ADD COLUMN bytes INTEGER;
";

/// What schema 2 adds so that a backlog has an end.
///
/// - `first_due_at` is the time of creation if it is null.
/// - The index of what waits for an endpoint has the retries before the first attempts.
/// - `overdue_after` and `waited_after` are the numbers of the last deliveries that have come of
///   age; see `sweep`.
pub(super) const SCHEMA_2_DELIVERIES: &str = "
ALTER TABLE delivery ADD COLUMN first_due_at INTEGER;
ALTER TABLE delivery ADD COLUMN failure_reason INTEGER;
DROP INDEX delivery_due;
CREATE INDEX delivery_due ON delivery (endpoint, failures = 0 AND is_last_attempt = 0, next_attempt_at)
    WHERE next_attempt_at IS NOT NULL;
ALTER TABLE state ADD COLUMN overdue_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE state ADD COLUMN waited_after INTEGER NOT NULL DEFAULT 0;
";

/// Declares the statements, and a list of all of them.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* pub(super) const $name: &str = $sql;)+

        /// All of them.
        #[cfg(test)]
        pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

statements! {
    TENANT = "SELECT number FROM tenant WHERE name = ?1";
    ADD_TENANT = "INSERT INTO tenant (name) VALUES (?1) RETURNING number";
    TENANT_NAME = "SELECT name FROM tenant WHERE number = ?1";

    ENDPOINT = "SELECT endpoint.number, endpoint.sealed, key_ring.sealed, endpoint.id FROM endpoint
        LEFT JOIN key_ring ON key_ring.endpoint = endpoint.number
        WHERE tenant = ?1 AND id = ?2";
    ENDPOINT_OF_NUMBER = "SELECT endpoint.number, endpoint.sealed, key_ring.sealed, endpoint.id FROM endpoint
        LEFT JOIN key_ring ON key_ring.endpoint = endpoint.number
        WHERE endpoint.number = ?1";
    /// A page of endpoints that were created before the number `?2`.
    ENDPOINTS = "SELECT endpoint.number, endpoint.sealed, key_ring.sealed, endpoint.id
        FROM endpoint LEFT JOIN key_ring ON key_ring.endpoint = endpoint.number
        WHERE tenant = ?1 AND endpoint.number < ?2 ORDER BY endpoint.number DESC LIMIT ?3";
    ENDPOINT_NUMBER = "SELECT number, active FROM endpoint WHERE tenant = ?1 AND id = ?2";
    NAME = "SELECT number FROM endpoint WHERE tenant = ?1 AND name = ?2";
    ADD_ENDPOINT = "INSERT INTO endpoint (tenant, id, active, name, sealed) VALUES (?1, ?2, ?3, ?4, ?5)";
    SET_ENDPOINT = "UPDATE endpoint SET active = ?2, name = ?3, sealed = ?4 WHERE number = ?1";
    DELETE_ENDPOINT = "DELETE FROM endpoint WHERE number = ?1";
    ADD_KEY_RING = "INSERT INTO key_ring (endpoint, sealed) VALUES (?1, ?2)";
    SET_KEY_RING = "UPDATE key_ring SET sealed = ?2 WHERE endpoint = ?1";
    DELETE_KEY_RING = "DELETE FROM key_ring WHERE endpoint = ?1";
    SUBSCRIBE = "INSERT OR IGNORE INTO subscription (tenant, pattern, endpoint) VALUES (?1, ?2, ?3)";
    UNSUBSCRIBE = "DELETE FROM subscription WHERE tenant = ?1 AND pattern = ?2 AND endpoint = ?3";
    SUBSCRIBERS = "SELECT subscription.endpoint, endpoint.id FROM subscription
        JOIN endpoint ON endpoint.number = subscription.endpoint
        WHERE subscription.tenant = ?1 AND pattern = ?2 LIMIT ?3";

    ANSWER = "SELECT expires_at, sealed FROM answer WHERE tenant = ?1 AND key = ?2";
    /// Replaces an expired answer that was not swept yet.
    REMEMBER = "INSERT OR REPLACE INTO answer (tenant, key, expires_at, sealed) VALUES (?1, ?2, ?3, ?4)";
    FIRST_ANSWER_EXPIRY = "SELECT min(expires_at) FROM answer";
    SWEEP_ANSWERS = "DELETE FROM answer WHERE number IN
        (SELECT number FROM answer WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)
        RETURNING tenant";

    /// The event that the tenant published with this id, if its retention has not ended.
    PUBLISHED = "SELECT number FROM event
        WHERE tenant = ?1 AND id = ?2 AND remembered = 1 AND created_at > ?3 LIMIT 1";
    ADD_EVENT = "INSERT INTO event
        (tenant, id, type, trace_id, created_at, deliveries, kept, remembered, sealed, bytes)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1, ?7, ?8)";
    EVENT = "SELECT id, type, trace_id, created_at, deliveries, sealed FROM event WHERE number = ?1";
    /// An event without its data, which may be long.
    EVENT_HEAD = "SELECT id, type, trace_id, created_at FROM event WHERE number = ?1";
    FIRST_EVENT_AGE = "SELECT min(created_at) FROM event WHERE remembered = 1";
    OLD_EVENTS = "SELECT number, kept FROM event
        WHERE remembered = 1 AND created_at <= ?1 ORDER BY created_at LIMIT ?2";
    DELETE_EVENT = "DELETE FROM event WHERE number = ?1 RETURNING tenant, coalesce(bytes, 0)";
    /// Frees the id of an event. The event is deleted with its last delivery.
    FORGET_EVENT_ID = "UPDATE event SET remembered = 0 WHERE number = ?1";
    RELEASE_EVENT = "UPDATE event SET kept = kept - ?2 WHERE number = ?1 RETURNING kept, remembered";

    DELIVERY = "SELECT number, id, endpoint, endpoint_id, event, status, created_at, next_attempt_at, finished_at,
            scheduled_at, failures, is_last_attempt, is_resend_wanted, attempts, tenant, first_due_at, failure_reason
        FROM delivery WHERE tenant = ?1 AND id = ?2";
    DELIVERY_OF_NUMBER = "SELECT number, id, endpoint, endpoint_id, event, status, created_at, next_attempt_at,
            finished_at, scheduled_at, failures, is_last_attempt, is_resend_wanted, attempts, tenant, first_due_at,
            failure_reason
        FROM delivery WHERE number = ?1";
    /// The numbers of deliveries with one status that were created before the number `?3`. Searches
    /// by the id of the endpoint, since the deliveries of a deleted endpoint can still be read.
    /// Reads only the index.
    DELIVERY_NUMBERS = "SELECT number FROM delivery
        WHERE endpoint_id = ?1 AND status = ?2 AND number < ?3 ORDER BY number DESC LIMIT ?4";
    ADD_DELIVERY = "INSERT INTO delivery (tenant, id, endpoint, endpoint_id, event, status, created_at,
            next_attempt_at, failures, is_last_attempt, is_resend_wanted, attempts)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, 0, 0, ?8)";
    SET_DELIVERY = "UPDATE delivery SET status = ?2, next_attempt_at = ?3, finished_at = ?4, scheduled_at = ?5,
            failures = ?6, is_last_attempt = ?7, is_resend_wanted = ?8, attempts = ?9, first_due_at = ?10,
            failure_reason = ?11
        WHERE number = ?1";
    /// Cancels some of the pending deliveries of an endpoint.
    CANCEL_SOME = "UPDATE delivery SET status = ?2, next_attempt_at = NULL, scheduled_at = NULL, finished_at = ?3
        WHERE number IN (SELECT number FROM delivery WHERE endpoint = ?1 AND next_attempt_at IS NOT NULL LIMIT ?4)";
    FAIL_DELIVERY = "UPDATE delivery SET status = ?2, next_attempt_at = NULL, scheduled_at = NULL, finished_at = ?3,
            failure_reason = ?4
        WHERE number = ?1";
    /// The deliveries after a number, in the order of creation.
    DELIVERIES_AFTER = "SELECT number, status, created_at, first_due_at, tenant, endpoint FROM delivery
        WHERE number > ?1 ORDER BY number LIMIT ?2";
    SET_OVERDUE_AFTER = "UPDATE state SET overdue_after = ?1";
    SET_WAITED_AFTER = "UPDATE state SET waited_after = ?1";
    FIRST_FINISHED = "SELECT min(finished_at) FROM delivery WHERE finished_at IS NOT NULL";
    OLD_DELIVERIES = "SELECT number, event, tenant FROM delivery
        WHERE finished_at IS NOT NULL AND finished_at <= ?1 ORDER BY finished_at LIMIT ?2";
    DELETE_DELIVERY = "DELETE FROM delivery WHERE number = ?1";
    /// The deliveries of an endpoint that wait for their first attempt, the earliest first.
    WAITING = "SELECT next_attempt_at, number FROM delivery
        WHERE endpoint = ?1 AND (failures = 0 AND is_last_attempt = 0) = 1 AND next_attempt_at IS NOT NULL
        ORDER BY next_attempt_at, number";
    /// Those that wait for another attempt.
    WAITING_AGAIN = "SELECT next_attempt_at, number FROM delivery
        WHERE endpoint = ?1 AND (failures = 0 AND is_last_attempt = 0) = 0 AND next_attempt_at IS NOT NULL
        ORDER BY next_attempt_at, number";
    /// The next endpoint after `?1` that has waiting deliveries.
    NEXT_QUEUE = "SELECT endpoint FROM delivery
        WHERE endpoint > ?1 AND next_attempt_at IS NOT NULL ORDER BY endpoint LIMIT 1";
    QUEUE = "SELECT active, tenant FROM endpoint WHERE number = ?1";
    FAILURES = "SELECT failures FROM delivery WHERE number = ?1";

    /// The numbers of the endpoints that subscribe to a pattern.
    SUBSCRIBER_NUMBERS = "SELECT endpoint FROM subscription WHERE tenant = ?1 AND pattern = ?2";
    ENDPOINT_ID = "SELECT id FROM endpoint WHERE number = ?1";
    ADD_AUDIENCE = "INSERT INTO audience (members) VALUES (?1)";
    /// Deletes an audience that no event needs any more.
    DELETE_AUDIENCE = "DELETE FROM audience WHERE number = ?1
        AND NOT EXISTS (SELECT 1 FROM fan_out WHERE fan_out.audience = ?1)";
    ADD_FAN_OUT = "INSERT INTO fan_out (event, tenant, audience, done) VALUES (?1, ?2, ?3, 0)";
    SET_FAN_OUT = "UPDATE fan_out SET done = ?2 WHERE event = ?1";
    DELETE_FAN_OUT = "DELETE FROM fan_out WHERE event = ?1";
    ADD_DELETION = "INSERT INTO deletion (endpoint, tenant, deleted_at) VALUES (?1, ?2, ?3)";
    DELETION = "SELECT deleted_at FROM deletion WHERE endpoint = ?1";
    DELETE_DELETION = "DELETE FROM deletion WHERE endpoint = ?1";

    ADD_USAGE = "INSERT INTO usage (tenant, endpoints, pending_deliveries, event_bytes, idempotency_keys)
        VALUES (?1, ?2, ?3, ?4, ?5)
        ON CONFLICT (tenant) DO UPDATE SET endpoints = endpoints + ?2,
            pending_deliveries = pending_deliveries + ?3, event_bytes = event_bytes + ?4,
            idempotency_keys = idempotency_keys + ?5";

    SET_CLOCK = "UPDATE state SET clock_advance_ms = max(clock_advance_ms, ?1)";
    /// The number of a log; see `generation`.
    NUMBER_OF_LOG = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    SET_NUMBER_OF_LOG = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
    FORGET_NUMBER_OF_LOG = "DELETE FROM sqlite_sequence WHERE name = ?1";
    /// Writes this many bytes, to test whether the store can be written. `CLEAR` deletes them
    /// again.
    FILL = "INSERT INTO master_key (id, proof) VALUES ('', zeroblob(?1))";
    CLEAR = "DELETE FROM master_key WHERE id = ''";
    READY = "SELECT clock_advance_ms FROM state";
}

#[cfg(test)]
mod tests;
