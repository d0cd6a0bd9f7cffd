//! Statements that do not run while the store serves: they open a file, check it, encrypt it with
//! another master key or end its test clock. They may scan whole tables.

/// The master keys and their proofs.
pub(in super::super) const PROOFS: &str = "SELECT id, proof FROM master_key ORDER BY id";
pub(in super::super) const ADD_PROOF: &str =
    "INSERT OR IGNORE INTO master_key (id, proof) VALUES (?1, ?2)";
pub(in super::super) const OTHER_KEYS: &str =
    "SELECT id FROM master_key WHERE id <> ?1 ORDER BY id";
pub(in super::super) const FORGET_OTHER_KEYS: &str = "DELETE FROM master_key WHERE id <> ?1";

pub(in super::super) const HAS_STATE: &str = "SELECT TRUE FROM state";
pub(in super::super) const STATE: &str =
    "SELECT clock_advance_ms, sealing_key, rewrap_stage, rewrap_failed FROM state";
pub(in super::super) const ADD_STATE: &str = "INSERT INTO state
        (one, clock_advance_ms, sealing_key, rewrap_stage, rewrap_after, rewrap_failed)
    VALUES (1, 0, ?1, NULL, 0, 0)";
pub(in super::super) const SEALING_KEY: &str = "SELECT sealing_key FROM state";

pub(in super::super) const BEGIN_REWRAP: &str = "UPDATE state
    SET sealing_key = ?1, rewrap_stage = 0, rewrap_after = 0, rewrap_failed = 0";
/// Whether the last rewrap ended with values that could not be decrypted, so that other keys are
/// kept.
pub(in super::super) const IS_REWRAP_UNFINISHED: &str = "SELECT rewrap_stage IS NULL
    AND EXISTS (SELECT 1 FROM master_key WHERE id <> ?1) FROM state";
pub(in super::super) const REWRAP_PROGRESS: &str =
    "SELECT rewrap_stage, rewrap_after, rewrap_failed FROM state";
pub(in super::super) const SET_REWRAP_PROGRESS: &str =
    "UPDATE state SET rewrap_stage = ?1, rewrap_after = ?2, rewrap_failed = ?3";
pub(in super::super) const END_REWRAP: &str = "UPDATE state SET rewrap_stage = NULL";

/// The statements that read and replace the sealed values of one stage of
/// [`STAGES`](crate::store::at_rest::rewrap::STAGES).
pub(in super::super) struct Rewrap {
    /// The rows after a number: number, value, the tenant's name, and the record of the value's
    /// place. Includes rows whose tenant or endpoint is missing.
    pub read: &'static str,
    pub write: &'static str,
    /// The last number.
    pub last: &'static str,
}

/// In the order of the stages.
pub(in super::super) const REWRAP: [Rewrap; 4] = [
    Rewrap {
        read: "SELECT endpoint.number, sealed, tenant.name, id FROM endpoint
             LEFT JOIN tenant ON tenant.number = endpoint.tenant
             WHERE endpoint.number > ?1 ORDER BY endpoint.number",
        write: SET_SETTINGS,
        last: "SELECT max(number) FROM endpoint",
    },
    Rewrap {
        read: "SELECT key_ring.endpoint, key_ring.sealed, tenant.name, id FROM key_ring
             LEFT JOIN endpoint ON endpoint.number = key_ring.endpoint
             LEFT JOIN tenant ON tenant.number = endpoint.tenant
             WHERE key_ring.endpoint > ?1 ORDER BY key_ring.endpoint",
        write: super::SET_KEY_RING,
        last: "SELECT max(endpoint) FROM key_ring",
    },
    Rewrap {
        read: "SELECT event.number, sealed, tenant.name, CAST(id AS BLOB) FROM event
             LEFT JOIN tenant ON tenant.number = event.tenant
             WHERE event.number > ?1 ORDER BY event.number",
        write: "UPDATE event SET sealed = ?2 WHERE number = ?1",
        last: "SELECT max(number) FROM event",
    },
    Rewrap {
        read: "SELECT answer.number, sealed, tenant.name, CAST(key AS BLOB) FROM answer
             LEFT JOIN tenant ON tenant.number = answer.tenant
             WHERE answer.number > ?1 ORDER BY answer.number",
        write: "UPDATE answer SET sealed = ?2 WHERE number = ?1",
        last: "SELECT max(number) FROM answer",
    },
];

/// Writes only the sealed settings, not the columns that repeat parts of them.
pub(in super::super) const SET_SETTINGS: &str = "UPDATE endpoint SET sealed = ?2 WHERE number = ?1";

/// The statements that end a test clock.
pub(in super::super) mod clock {
    pub(in super::super::super) const ENDPOINTS: &str =
        "SELECT endpoint.number, tenant.name FROM endpoint
        LEFT JOIN tenant ON tenant.number = endpoint.tenant";
    pub(in super::super::super) const DELIVERIES: &str = "SELECT
        number, created_at, next_attempt_at, finished_at, scheduled_at, attempts, first_due_at FROM delivery";
    pub(in super::super::super) const SET_DELIVERY: &str = "UPDATE delivery SET created_at = ?2,
        next_attempt_at = ?3, finished_at = ?4, scheduled_at = ?5, attempts = ?6, first_due_at = ?7
        WHERE number = ?1";
    pub(in super::super::super) const SET_EVENTS: &str =
        "UPDATE event SET created_at = ?1 WHERE created_at > ?1";
    pub(in super::super::super) const SET_ANSWERS: &str = "UPDATE answer
        SET expires_at = CASE WHEN expires_at > ?1 + ?2 THEN expires_at - ?2 ELSE ?1 END
        WHERE expires_at > ?1";
    pub(in super::super::super) const SET_DELETIONS: &str =
        "UPDATE deletion SET deleted_at = ?1 WHERE deleted_at > ?1";
    pub(in super::super::super) const STOP: &str = "UPDATE state
        SET clock_advance_ms = 0, overdue_after = 0, waited_after = 0";
}

/// The statements of `hookturn check`.
pub(in super::super) mod check {
    pub(in super::super::super) const INTEGRITY: &str = "PRAGMA integrity_check(1000)";
    pub(in super::super::super) const TENANTS: &str = "SELECT number, name FROM tenant";
    pub(in super::super::super) const SETTINGS: &str =
        "SELECT endpoint.sealed, endpoint.id, tenant.name
        FROM endpoint JOIN tenant ON tenant.number = endpoint.tenant";
    pub(in super::super::super) const ENDPOINTS: &str = "SELECT
            endpoint.number, tenant, id, active, name, endpoint.sealed, key_ring.sealed
        FROM endpoint LEFT JOIN key_ring ON key_ring.endpoint = endpoint.number ORDER BY endpoint.number";
    pub(in super::super::super) const STRAY_RINGS: &str = "SELECT key_ring.endpoint FROM key_ring
        LEFT JOIN endpoint ON endpoint.number = key_ring.endpoint WHERE endpoint.number IS NULL";
    pub(in super::super::super) const IS_SUBSCRIBED: &str =
        "SELECT 1 FROM subscription WHERE tenant = ?1 AND pattern = ?2 AND endpoint = ?3";
    pub(in super::super::super) const COUNT_SUBSCRIPTIONS: &str =
        "SELECT count(*) FROM subscription";
    pub(in super::super::super) const SUBSCRIPTIONS: &str = "SELECT
            subscription.endpoint, subscription.tenant, pattern, endpoint.tenant, id, sealed
        FROM subscription LEFT JOIN endpoint ON endpoint.number = subscription.endpoint";
    pub(in super::super::super) const ANSWERS: &str =
        "SELECT number, tenant, key, expires_at, sealed FROM answer ORDER BY number";
    pub(in super::super::super) const EVENTS: &str = "SELECT
            number, tenant, id, type, trace_id, deliveries, kept, remembered, sealed
        FROM event ORDER BY number";
    pub(in super::super::super) const KEPT: &str = "SELECT number, kept FROM event ORDER BY number";
    pub(in super::super::super) const DELIVERIES: &str = "SELECT
            delivery.number, delivery.id, delivery.endpoint, endpoint_id, event, delivery.status,
            delivery.created_at, next_attempt_at, finished_at, scheduled_at, failures, is_last_attempt,
            is_resend_wanted, attempts, delivery.tenant, first_due_at, failure_reason, endpoint.id, endpoint.tenant,
            event.tenant, deletion.tenant
        FROM delivery LEFT JOIN endpoint ON endpoint.number = delivery.endpoint
        LEFT JOIN deletion ON deletion.endpoint = delivery.endpoint
        LEFT JOIN event ON event.number = delivery.event ORDER BY delivery.number";

    pub(in super::super::super) const FAN_OUTS: &str = "SELECT
            fan_out.event, fan_out.tenant, done, members, event.tenant
        FROM fan_out LEFT JOIN audience ON audience.number = fan_out.audience
        LEFT JOIN event ON event.number = fan_out.event ORDER BY fan_out.event";
    pub(in super::super::super) const STRAY_AUDIENCES: &str = "SELECT number FROM audience
        WHERE NOT EXISTS (SELECT 1 FROM fan_out WHERE audience = audience.number)";
    pub(in super::super::super) const DELETIONS: &str = "SELECT
            deletion.endpoint, deletion.tenant, endpoint.number
        FROM deletion LEFT JOIN endpoint ON endpoint.number = deletion.endpoint";
    /// What each tenant uses: by its own count, and counted.
    pub(in super::super::super) const USAGES: &str = "SELECT tenant.number,
            coalesce(usage.endpoints, 0), coalesce(pending_deliveries, 0),
            coalesce(event_bytes, 0), coalesce(idempotency_keys, 0),
            (SELECT count(*) FROM endpoint WHERE endpoint.tenant = tenant.number),
            (SELECT count(*) FROM delivery WHERE delivery.tenant = tenant.number AND status = 0),
            (SELECT coalesce(sum(bytes), 0) FROM event WHERE event.tenant = tenant.number),
            (SELECT count(*) FROM delivery WHERE delivery.tenant = tenant.number),
            (SELECT count(*) FROM answer WHERE answer.tenant = tenant.number)
        FROM tenant LEFT JOIN usage ON usage.tenant = tenant.number ORDER BY tenant.number";

    /// The greatest number in a table, which shows how much there is to do.
    pub(in super::super::super) fn greatest(table: &str) -> String {
        format!("SELECT max(rowid) FROM {table}")
    }
}

/// What each tenant uses of its quotas.
pub(in super::super) const USAGES: &str =
    "SELECT tenant, endpoints, pending_deliveries, event_bytes, idempotency_keys FROM usage";
/// The events whose deliveries are not all made, in the order of publication.
pub(in super::super) const FAN_OUTS: &str =
    "SELECT fan_out.event, fan_out.tenant, audience, done, event.created_at
    FROM fan_out JOIN event ON event.number = fan_out.event ORDER BY fan_out.event";
pub(in super::super) const AUDIENCE: &str = "SELECT members FROM audience WHERE number = ?1";
/// The deleted endpoints whose pending deliveries are not all canceled.
pub(in super::super) const DELETIONS: &str = "SELECT endpoint, tenant, deleted_at FROM deletion";

/// How far the deliveries have come of age.
pub(in super::super) const AGES: &str = "SELECT overdue_after, waited_after FROM state";

/// All parts of the schema of a file.
pub(in super::super) const PARTS: &str =
    "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name";
pub(in super::super) const COUNT_PARTS: &str = "SELECT count(*) FROM sqlite_schema";
/// The page that has the numbers of logs.
pub(in super::super) const PAGE_OF_NUMBERS: &str =
    "SELECT rootpage FROM sqlite_schema WHERE name = 'sqlite_sequence'";
