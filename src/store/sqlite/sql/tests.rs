//! Tests how SQLite runs the statements.

use rusqlite::{Connection, StatementStatus, ToSql};

use super::super::file;
use super::*;

fn empty() -> Connection {
    let db = Connection::open_in_memory().expect("a database");
    file::set_up(&db).expect("the store's settings");
    for part in [SCHEMA_1, SCHEMA_2_TENANTS, SCHEMA_2_DELIVERIES] {
        db.execute_batch(part).expect("a schema");
    }
    db
}

/// The store never has SQLite gather statistics, so a plan does not depend on what is in the
/// tables. This is how a statement runs at any size.
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
            // An index may be read from one end, and a table of one row may be scanned.
            let is_end =
                step.starts_with("SCAN") && step.contains("USING") && sql.contains("LIMIT");
            let is_small = matches!(&*step, "SCAN state" | "SCAN sqlite_sequence");
            let is_bad = step.starts_with("SCAN") || step.contains("TEMP B-TREE");
            assert!(!is_bad || is_end || is_small, "{name}: {step}");
        }
    }
}

/// Otherwise SQLite plans a statement again when the value of a parameter could make another plan
/// better, which costs more than running it.
#[test]
fn no_statement_is_planned_again_for_other_values() {
    let db = empty();
    for (name, sql) in ALL {
        let mut statement = db.prepare(sql).expect(name);
        let count = statement.parameter_count();
        for value in 0..3_i64 {
            let params = vec![&value as &dyn ToSql; count];
            // Some values do not fit the columns. Then the statement is planned and fails.
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

/// Makes a million deliveries of 1,000 endpoints, each with its event, and a million answers and
/// endpoints.
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
            DELIVERY_NUMBERS,
            &[&id, &1, &from, &21],
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
