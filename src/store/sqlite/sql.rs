//! Every statement that the store runs while it serves, in one place, so that one test can ask SQLite how it would run
//! each of them: none may read a table from end to end, nor sort what an index has in order.
//!
//! Rows are named by a `number`, SQLite's own row id, which is also the order of creation. Numbers are never used twice
//! (`AUTOINCREMENT`), so what remembers one can never meet another record under it.

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

/// Declares the statements, and all of them as a list.
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
    /// The page of a list that begins before the number `?2`.
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
        WHERE subscription.tenant = ?1 AND pattern = ?2";

    ANSWER = "SELECT expires_at, sealed FROM answer WHERE tenant = ?1 AND key = ?2";
    /// One that expired and was not swept yet gives way.
    REMEMBER = "INSERT OR REPLACE INTO answer (tenant, key, expires_at, sealed) VALUES (?1, ?2, ?3, ?4)";
    FIRST_ANSWER_EXPIRY = "SELECT min(expires_at) FROM answer";
    SWEEP_ANSWERS = "DELETE FROM answer WHERE number IN
        (SELECT number FROM answer WHERE expires_at <= ?1 ORDER BY expires_at LIMIT ?2)";

    /// The event that the tenant published under an id, if its time is not over.
    PUBLISHED = "SELECT number FROM event
        WHERE tenant = ?1 AND id = ?2 AND remembered = 1 AND created_at > ?3 LIMIT 1";
    ADD_EVENT = "INSERT INTO event
        (tenant, id, type, trace_id, created_at, deliveries, kept, remembered, sealed)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?6, 1, ?7)";
    EVENT = "SELECT id, type, trace_id, created_at, sealed, deliveries FROM event WHERE number = ?1";
    FIRST_EVENT_AGE = "SELECT min(created_at) FROM event WHERE remembered = 1";
    OLD_EVENTS = "SELECT number, kept FROM event
        WHERE remembered = 1 AND created_at <= ?1 ORDER BY created_at LIMIT ?2";
    DELETE_EVENT = "DELETE FROM event WHERE number = ?1";
    /// Its id is free, and it goes with the last delivery of it.
    FORGET_EVENT_ID = "UPDATE event SET remembered = 0 WHERE number = ?1";
    LET_GO_OF_EVENT = "UPDATE event SET kept = kept - 1 WHERE number = ?1 RETURNING kept, remembered";

    DELIVERY = "SELECT number, id, endpoint, endpoint_id, event, status, created_at, next_attempt_at, finished_at,
            scheduled_at, failures, is_last_attempt, is_resend_wanted, attempts
        FROM delivery WHERE tenant = ?1 AND id = ?2";
    DELIVERY_OF_NUMBER = "SELECT number, id, endpoint, endpoint_id, event, status, created_at, next_attempt_at,
            finished_at, scheduled_at, failures, is_last_attempt, is_resend_wanted, attempts, tenant
        FROM delivery WHERE number = ?1";
    /// The page of the list of one status that begins before the number `?4`. By the id, since deliveries of an endpoint
    /// that is deleted can still be read.
    DELIVERIES = "SELECT number, id, endpoint, endpoint_id, event, status, created_at, next_attempt_at, finished_at,
            scheduled_at, failures, is_last_attempt, is_resend_wanted, attempts
        FROM delivery WHERE endpoint_id = ?1 AND status = ?2 AND tenant = ?3 AND number < ?4
        ORDER BY number DESC LIMIT ?5";
    ADD_DELIVERY = "INSERT INTO delivery (tenant, id, endpoint, endpoint_id, event, status, created_at,
            next_attempt_at, finished_at, scheduled_at, failures, is_last_attempt, is_resend_wanted, attempts)
        VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)";
    SET_DELIVERY = "UPDATE delivery SET status = ?2, next_attempt_at = ?3, finished_at = ?4, scheduled_at = ?5,
            failures = ?6, is_last_attempt = ?7, is_resend_wanted = ?8, attempts = ?9
        WHERE number = ?1";
    CANCEL_DELIVERIES = "UPDATE delivery SET status = ?2, next_attempt_at = NULL, scheduled_at = NULL,
            finished_at = ?3
        WHERE endpoint_id = ?4 AND status = 0 AND endpoint = ?1";
    END_DELIVERY = "UPDATE delivery SET status = ?2, next_attempt_at = NULL, scheduled_at = NULL, finished_at = ?3
        WHERE number = ?1";
    FIRST_FINISHED = "SELECT min(finished_at) FROM delivery WHERE finished_at IS NOT NULL";
    OLD_DELIVERIES = "SELECT number, event FROM delivery
        WHERE finished_at IS NOT NULL AND finished_at <= ?1 ORDER BY finished_at LIMIT ?2";
    DELETE_DELIVERY = "DELETE FROM delivery WHERE number = ?1";
    /// What waits for an attempt, the earliest first.
    WAITING = "SELECT next_attempt_at, number FROM delivery
        WHERE endpoint = ?1 AND next_attempt_at IS NOT NULL ORDER BY next_attempt_at, number";
    /// The next endpoint after `?1` with something that waits.
    NEXT_QUEUE = "SELECT endpoint FROM delivery
        WHERE endpoint > ?1 AND next_attempt_at IS NOT NULL ORDER BY endpoint LIMIT 1";
    QUEUE = "SELECT active, tenant FROM endpoint WHERE number = ?1";
    FAILURES = "SELECT failures FROM delivery WHERE number = ?1";

    SET_CLOCK = "UPDATE state SET clock_advance_ms = max(clock_advance_ms, ?1)";
    /// The number of a log; see `generation`.
    NUMBER_OF_LOG = "SELECT seq FROM sqlite_sequence WHERE name = ?1";
    SET_NUMBER_OF_LOG = "INSERT INTO sqlite_sequence (name, seq) VALUES (?1, ?2)";
    FORGET_NUMBER_OF_LOG = "DELETE FROM sqlite_sequence WHERE name = ?1";
    /// Writes so many bytes, to see whether that can be done. `CLEAR` takes them away again.
    FILL = "INSERT INTO master_key (id, proof) VALUES ('', zeroblob(?1))";
    CLEAR = "DELETE FROM master_key WHERE id = ''";
    READY = "SELECT clock_advance_ms FROM state";
}

#[cfg(test)]
mod tests {
    use rusqlite::{Connection, StatementStatus, ToSql};

    use super::super::file;
    use super::*;

    fn empty() -> Connection {
        let db = Connection::open_in_memory().expect("a database");
        file::set_up(&db).expect("the store's settings");
        db.execute_batch(SCHEMA_1).expect("a schema");
        db
    }

    /// The store never has SQLite gather statistics, so that how a statement runs does not depend on what is in the
    /// tables: this is how it runs at any size.
    #[test]
    fn no_statement_reads_a_table_from_end_to_end_nor_sorts() {
        let db = empty();
        for (name, sql) in ALL {
            let mut plan = db
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            let count = plan.parameter_count();
            let params = vec![&0_i64 as &dyn ToSql; count];
            let steps: Vec<String> = plan
                .query_map(&params[..], |row| row.get(3))
                .and_then(Iterator::collect)
                .unwrap_or_else(|error| panic!("{name}: {error}"));
            for step in steps {
                // What is kept in order is read from one end, and the table of one row is read whole.
                let is_end =
                    step.starts_with("SCAN") && step.contains("USING") && sql.contains("LIMIT");
                let is_small = matches!(&*step, "SCAN state" | "SCAN sqlite_sequence");
                let is_bad = step.starts_with("SCAN") || step.contains("TEMP B-TREE");
                assert!(!is_bad || is_end || is_small, "{name}: {step}");
            }
        }
    }

    /// SQLite would otherwise plan a statement anew when the value of a parameter could make another plan better, and
    /// that costs more than to run it.
    #[test]
    fn no_statement_is_planned_anew_for_other_values() {
        let db = empty();
        for (name, sql) in ALL {
            let mut statement = db.prepare(sql).expect(name);
            let count = statement.parameter_count();
            for value in 0..3_i64 {
                let params = vec![&value as &dyn ToSql; count];
                // Some values do not fit the columns: then it is planned and fails.
                if let Ok(mut rows) = statement.query(&params[..]) {
                    while let Ok(Some(_)) = rows.next() {}
                }
            }
            assert_eq!(
                statement.get_status(StatementStatus::RePrepare),
                0,
                "{name}"
            );
        }
    }

    /// A million deliveries of 1,000 endpoints, each with its event, and a million answers.
    fn million() -> Connection {
        let db = empty();
        db.execute_batch(
            "BEGIN;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
             INSERT INTO delivery (tenant, id, endpoint, endpoint_id, event, status, created_at, next_attempt_at,
                 finished_at, failures, is_last_attempt, is_resend_wanted, attempts)
             SELECT 1, randomblob(16), i % 1000, CAST(i % 1000 AS BLOB), i, i % 4, i,
                 CASE i % 4 WHEN 0 THEN i END, CASE i % 4 WHEN 0 THEN NULL ELSE i END, 0, 0, 0, '' FROM n;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
             INSERT INTO event (tenant, id, type, trace_id, created_at, deliveries, kept, remembered, sealed)
             SELECT 1, 'evt_' || i, 'a', x'00', i, 1, 1, 1, x'00' FROM n;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
             INSERT INTO answer (tenant, key, expires_at, sealed) SELECT 1, 'key-' || i, i, x'00' FROM n;
             WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 1000000)
             INSERT INTO endpoint (tenant, id, active, name, sealed) SELECT 1, randomblob(16), 1, 'name-' || i, x'00' FROM n;
             COMMIT;",
        )
        .expect("a million rows of each");
        db
    }

    #[test]
    fn at_a_million_rows_a_step_costs_no_more_than_what_it_finds() {
        let db = million();
        let id = 7_i64.to_string().into_bytes();
        let (from, most) = (500_000_i64, 64_i64);
        let steps: [(&str, &str, &[&dyn ToSql]); 13] = [
            ("a page of endpoints", ENDPOINTS, &[&1, &from, &21]),
            (
                "a page of deliveries",
                DELIVERIES,
                &[&id, &1, &1, &from, &21],
            ),
            ("what waits for an endpoint", WAITING, &[&8]),
            ("the next queue", NEXT_QUEUE, &[&500]),
            ("the first answer to expire", FIRST_ANSWER_EXPIRY, &[]),
            ("the first delivery to forget", FIRST_FINISHED, &[]),
            ("the first event to forget", FIRST_EVENT_AGE, &[]),
            ("old events", OLD_EVENTS, &[&from, &most]),
            ("old deliveries", OLD_DELIVERIES, &[&from, &most]),
            ("a name", NAME, &[&1, &"name-7"]),
            ("an answer", ANSWER, &[&1, &"key-7"]),
            ("an event by its id", PUBLISHED, &[&1, &"evt_7", &0]),
            ("the sweep of answers", SWEEP_ANSWERS, &[&from, &most]),
        ];
        for (name, sql, params) in steps {
            let mut statement = db.prepare(sql).expect(name);
            let mut rows = statement.query(params).expect(name);
            let mut found = 0;
            while found < 64 && rows.next().expect(name).is_some() {
                found += 1;
            }
            drop(rows);
            assert_eq!(
                statement.get_status(StatementStatus::FullscanStep),
                0,
                "{name}"
            );
            assert_eq!(statement.get_status(StatementStatus::Sort), 0, "{name}");
            assert_eq!(
                statement.get_status(StatementStatus::AutoIndex),
                0,
                "{name}"
            );
            let steps = statement.get_status(StatementStatus::VmStep);
            assert!(steps < 64 * 60, "{name}: {steps} steps");
        }
    }
}
