//! `hookturn check`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;

use super::support::{K1, K1_OTHER, K2, Place, Server, check, furnish, problems, run};

fn only(path: &std::path::Path) -> String {
    let problems = problems(path, K1);
    assert_eq!(problems.len(), 1, "{problems:?}");
    problems.into_iter().next().expect("one")
}

#[tokio::test]
async fn a_file_that_a_server_left_is_clean_and_stays_as_it_is() {
    let place = Place::furnished().await;
    // All of it is in the one file, beside the lock.
    assert_eq!(place.files(), ["hookturn.db", "hookturn.db-lock"]);
    let before = fs::read(&place.path).expect("a file");
    let ended = check(&place.path, K1);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.err, "");
    assert_eq!(
        ended.out.lines().collect::<Vec<_>>(),
        [
            "no problems; endpoints: 5, key rings: 4, subscriptions: 5, answers: 4, events: 3, deliveries: 15; encrypted \
             values: 16 with k1"
        ]
    );
    assert_eq!(place.files(), ["hookturn.db", "hookturn.db-lock"]);
    assert!(fs::read(&place.path).expect("a file") == before);
}

#[tokio::test]
async fn a_server_that_runs_is_not_disturbed_nor_is_one_that_was_killed() {
    let place = Place::new();
    let server = Server::start(&place.path, K1);
    furnish(&server).await;
    let ended = check(&place.path, K1);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    furnish_more(&server).await;
    assert_eq!(check(&place.path, K1).code, Some(0));
    server.kill();
    let log = fs::read(place.path.with_extension("db-wal")).expect("a log");
    let ended = check(&place.path, K1);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("endpoints: 6,"), "{}", ended.out);
    // What was not yet written back is still to be.
    assert!(fs::read(place.path.with_extension("db-wal")).expect("a log") == log);
    Server::start(&place.path, K1).stop();
    assert_eq!(check(&place.path, K1).code, Some(0));
}

async fn furnish_more(server: &Server) {
    let id = server.endpoint("http://127.0.0.1:9/").await;
    let (status, _) = server.rotate(&id, "more").await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn a_file_on_a_medium_that_cannot_be_written_is_read() {
    let place = Place::furnished().await;
    let set = |mode| fs::set_permissions(place.directory.path(), fs::Permissions::from_mode(mode));
    fs::remove_file(place.path.with_extension("db-lock")).expect("a lock");
    set(0o500).expect("ours");
    let ended = check(&place.path, K1);
    set(0o700).expect("ours");
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(place.files(), ["hookturn.db"]);
}

#[tokio::test]
async fn a_flipped_bit_of_a_value_is_found_and_named() {
    let place = Place::furnished().await;
    for (table, number, found) in [
        ("key_ring", 1, "endpoint 1 (we_"),
        ("endpoint", 1, "endpoint 1 (we_"),
        ("event", 2, "event 2: data: "),
        ("answer", 1, "answer 1: answer: "),
    ] {
        let good = fs::read(&place.path).expect("a file");
        place.flip(table, number);
        let problem = only(&place.path);
        assert!(problem.starts_with(found), "{problem}");
        assert!(problem.contains("it is damaged, was moved"), "{problem}");
        fs::write(&place.path, good).expect("writable");
    }
}

#[tokio::test]
async fn a_flipped_bit_of_a_page_is_found() {
    let place = Place::furnished().await;
    let mut bytes = fs::read(&place.path).expect("a file");
    // The count of cells of each page but the first, which begins with the header of the file.
    let pages = bytes.len() / 4096;
    assert!(pages > 10, "{pages}");
    for page in 1..pages {
        let at = page * 4096 + 4;
        bytes[at] ^= 1;
        fs::write(&place.path, &bytes).expect("writable");
        let ended = check(&place.path, K1);
        assert_eq!(ended.code, Some(1), "page {page}: {ended:?}");
        assert!(ended.out.contains("the file: "), "page {page}: {ended:?}");
        bytes[at] ^= 1;
    }
}

#[tokio::test]
async fn a_value_that_was_moved_to_another_record_is_found() {
    let place = Place::furnished().await;
    place.tamper("UPDATE key_ring SET sealed = (SELECT sealed FROM key_ring WHERE endpoint = 1) WHERE endpoint = 2");
    let problem = only(&place.path);
    assert!(
        problem.starts_with("endpoint 2 (we_") && problem.contains("was moved from another record"),
        "{problem}"
    );
}

#[tokio::test]
async fn what_was_lost_is_found() {
    for (sql, found) in [
        (
            "DELETE FROM key_ring WHERE endpoint = 2",
            &["its key ring is missing"][..],
        ),
        (
            "DELETE FROM subscription WHERE endpoint = 2",
            &["a subscription of it is missing"],
        ),
        (
            "DELETE FROM endpoint WHERE number = 2",
            &[
                "endpoint 2: it has a key ring, but does not exist",
                "endpoint 2: it has a subscription, but does not exist",
                "it is pending, but its endpoint 2 is missing",
                "it is pending, but its endpoint 2 is missing",
                "it is pending, but its endpoint 2 is missing",
                "endpoints, but the file says",
            ],
        ),
        (
            "DELETE FROM event WHERE number = 3",
            &[
                "its event 3 is missing",
                "its event 3 is missing",
                "its event 3 is missing",
                "its event 3 is missing",
                "its event 3 is missing",
                "event 3: it has more deliveries than it counts, by 5",
                "bytes of events, but the file says",
            ],
        ),
        (
            "DELETE FROM delivery WHERE event = 3",
            &[
                "event 3: it has fewer deliveries than it counts, by 5",
                "pending deliveries, but the file says",
                "bytes of events, but the file says",
            ],
        ),
        (
            "DELETE FROM delivery WHERE number = 7",
            &[
                "event 2: it has fewer deliveries than it counts, by 1",
                "pending deliveries, but the file says",
                "bytes of events, but the file says",
            ],
        ),
        ("DELETE FROM state", &["the state: its row is missing"]),
        (
            "DROP INDEX endpoint_name; DELETE FROM answer WHERE number = 1",
            &[
                "the index endpoint_name is missing",
                "idempotency keys, but the file says",
            ],
        ),
    ] {
        let place = Place::furnished().await;
        place.tamper(sql);
        let problems = problems(&place.path, K1);
        assert_eq!(problems.len(), found.len(), "{sql}: {problems:#?}");
        for (problem, found) in problems.iter().zip(found) {
            assert!(problem.contains(found), "{sql}: {problem}");
        }
    }
}

#[tokio::test]
async fn what_does_not_fit_together_is_found() {
    for (sql, found) in [
        (
            "UPDATE endpoint SET active = 0 WHERE number = 1",
            "the column active differs from the encrypted settings",
        ),
        (
            "UPDATE endpoint SET name = 'uno' WHERE name = 'one'",
            "the column name differs from the encrypted settings",
        ),
        (
            "UPDATE delivery SET next_attempt_at = NULL WHERE status = 0 AND number = 2",
            "delivery 2: it is pending without a next attempt",
        ),
        (
            "UPDATE delivery SET finished_at = 1 WHERE number = 2",
            "delivery 2: it is both pending and finished",
        ),
        (
            "UPDATE event SET kept = 4 WHERE number = 1",
            "event 1: it has more deliveries than it counts, by 1",
        ),
        (
            "UPDATE answer SET expires_at = expires_at + 7200000 WHERE number = 1",
            "answer 1: it expires more than 24 hours",
        ),
        (
            "UPDATE delivery SET attempts = '[1]' WHERE number = 2",
            "delivery 2: attempts cannot be read",
        ),
        (
            "UPDATE state SET sealing_key = 'k9'",
            "the state: the file does not name the master key",
        ),
        (
            "UPDATE subscription SET pattern = 'x.*' WHERE pattern = 'a.b'",
            "a subscription",
        ),
        (
            "UPDATE master_key SET proof = zeroblob(40)",
            "the master keys: the proof of k1 is damaged",
        ),
        (
            "INSERT INTO subscription VALUES (1, 'x.y', 1)",
            "endpoint 1: a subscription of it is not in its settings",
        ),
    ] {
        let place = Place::furnished().await;
        place.tamper(sql);
        let problems = problems(&place.path, K1);
        assert!(
            problems.iter().any(|problem| problem.contains(found)),
            "{sql}: {problems:#?}"
        );
    }
}

#[tokio::test]
async fn a_hundred_problems_are_told_and_the_rest_counted() {
    let place = Place::furnished().await;
    place.tamper(
        "WITH RECURSIVE n(x) AS (SELECT 100 UNION ALL SELECT x + 1 FROM n WHERE x < 349)
         INSERT INTO key_ring SELECT x, x'00' FROM n",
    );
    let lines = problems(&place.path, K1);
    assert_eq!(lines.len(), 101);
    assert_eq!(
        lines[99],
        "endpoint 199: it has a key ring, but does not exist"
    );
    assert_eq!(lines[100], "and 150 more");
}

#[tokio::test]
async fn what_cannot_be_checked_is_one_line() {
    let place = Place::new();
    let missing = check(&place.path, K1);
    assert!(
        missing
            .refusal()
            .ends_with("does not exist: check the path")
    );
    assert_eq!(place.files(), [""; 0]);
    assert!(run(&["check"], K1).refusal().contains("missing argument"));
    let directory = check(place.directory.path(), K1);
    assert!(
        directory
            .refusal()
            .contains("is not a database of Hookturn")
    );
    for bytes in [&b""[..], b"SQLite format 3\0", &[7; 9000]] {
        fs::write(&place.path, bytes).expect("writable");
        let foreign = check(&place.path, K1);
        assert!(
            foreign.refusal().contains("is not a database of Hookturn"),
            "{foreign:?}"
        );
    }
    fs::remove_file(&place.path).expect("it is there");

    let place = Place::furnished().await;
    let none = check(&place.path, "");
    assert!(
        none.refusal()
            .starts_with("hookturn: --master-key (HOOKTURN_MASTER_KEYS): ")
    );
    let missing = check(&place.path, K2);
    assert!(
        missing.refusal().contains("the master key `k1` is missing"),
        "{missing:?}"
    );
    let wrong = check(&place.path, K1_OTHER);
    assert!(
        wrong
            .refusal()
            .contains("the master key `k1` cannot decrypt"),
        "{wrong:?}"
    );
    place
        .open()
        .execute_batch("PRAGMA user_version = 99")
        .expect("ours");
    let newer = check(&place.path, K1);
    assert!(
        newer
            .refusal()
            .contains("was written by a newer version of Hookturn (schema 99"),
        "{newer:?}"
    );
    place
        .open()
        .execute_batch("PRAGMA user_version = 1; PRAGMA application_id = 1")
        .expect("ours");
    let foreign = check(&place.path, K1);
    assert!(
        foreign.refusal().contains("is not a database of Hookturn"),
        "{foreign:?}"
    );
}
