//! `hookturn keys rewrap`, and what a server does of it by itself.

use std::fs;
use std::path::Path;
use std::time::Instant;

use hookturn::clock::real_sleep;
use hookturn_test::{Ended, PATIENCE};
use rusqlite::Connection;

use super::support::{K1, K2, Place, Server, check, command, furnish, problems, run, store};

fn both(first: &str, second: &str) -> String {
    format!("{first},{second}")
}

fn rewrap(path: &Path, keys: &str) -> Ended {
    run(&["keys", "rewrap", "--store", &store(path)], keys)
}

/// Every sealed value of the file.
fn values(path: &Path) -> Vec<Vec<u8>> {
    let db = Connection::open(path).expect("a database");
    let sql = "SELECT sealed FROM endpoint UNION ALL SELECT sealed FROM key_ring
        UNION ALL SELECT sealed FROM event UNION ALL SELECT sealed FROM answer";
    let mut statement = db.prepare(sql).expect("sound");
    let values = statement.query_map([], |row| row.get(0)).expect("rows");
    values.collect::<Result<_, _>>().expect("blobs")
}

/// How many values under `key` are in the bytes of the file, wherever.
fn remains(path: &Path, key: &str) -> usize {
    let id = key.split(':').next().expect("an id").as_bytes();
    let mut start = vec![1, u8::try_from(id.len()).expect("short")];
    start.extend_from_slice(id);
    let bytes = fs::read(path).expect("a file");
    bytes
        .windows(start.len())
        .filter(|window| *window == start)
        .count()
}

impl Place {
    fn state(&self) -> (Option<i64>, i64) {
        let db = self.open();
        let sql = "SELECT rewrap_stage, rewrap_after FROM state";
        db.query_row(sql, [], |row| Ok((row.get(0)?, row.get(1)?)))
            .expect("a state")
    }
}

#[tokio::test]
async fn every_value_is_brought_to_the_first_key_and_nothing_is_left_under_the_old_one() {
    let place = Place::furnished().await;
    // What was deleted without care lies in free pages.
    place.tamper(
        "INSERT INTO answer (tenant, key, expires_at, sealed)
         SELECT 1, 'filler', 0, unhex(replace(hex(zeroblob(5000)), '00', '01026b31'));
         DELETE FROM answer WHERE key = 'filler'",
    );
    assert!(remains(&place.path, K1) > 4000);
    let ended = rewrap(&place.path, &both(K2, K1));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert_eq!(ended.err, "");
    assert_eq!(
        ended.out,
        "encrypted again: 16; everything is encrypted with k2-new; these master keys can be removed when no \
         backup needs them: k1\n"
    );
    assert_eq!(remains(&place.path, K1), 0);
    assert_eq!(place.files(), ["hookturn.db", "hookturn.db-lock"]);
    let checked = check(&place.path, K2);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    assert!(
        checked.out.ends_with("encrypted values: 16 with k2-new\n"),
        "{}",
        checked.out
    );
    // And once more.
    let before = values(&place.path);
    let again = rewrap(&place.path, K2);
    assert_eq!(again.code, Some(0), "{again:?}");
    assert_eq!(
        again.out,
        "encrypted again: 0; everything is encrypted with k2-new; no other master key is needed\n"
    );
    assert!(values(&place.path) == before);
    let server = Server::start(&place.path, K2);
    server.endpoint("http://127.0.0.1:9/").await;
    server.stop();
    assert!(
        check(&place.path, K1)
            .refusal()
            .contains("the master key `k2-new` is missing")
    );
}

#[tokio::test]
async fn a_running_server_does_it_itself() {
    let place = Place::new();
    let server = Server::start(&place.path, K1);
    furnish(&server).await;
    let refused = rewrap(&place.path, &both(K2, K1));
    let line = refused.refusal();
    assert!(
        line.contains("is in use by a server, which does this itself while it serves"),
        "{line}"
    );
    // Nor by another name of the file.
    let link = place.directory.path().join("link.db");
    std::os::unix::fs::symlink(&place.path, &link).expect("a link");
    let refused = rewrap(&link, &both(K2, K1));
    assert!(
        refused.refusal().contains("is in use by a server"),
        "{refused:?}"
    );
    server.stop();
    place.filled(1000);
    let server = Server::start(&place.path, &both(K2, K1));
    // What is written in the middle of it is under the new key.
    let id = server.endpoint("http://127.0.0.1:9/").await;
    let (_, answer) = server.rotate(&id, "meanwhile").await;
    let line = server.wait_for("the others can be removed");
    assert!(line.contains("\"may_be_dropped\":\"k1\""), "{line}");
    assert_eq!(server.rotate(&id, "meanwhile").await.1, answer);
    server.stop();
    let checked = check(&place.path, K2);
    assert_eq!(checked.code, Some(0), "{checked:?}");
    let server = Server::start(&place.path, K2);
    assert_eq!(server.rotate(&id, "meanwhile").await.1, answer);
    server.stop();
}

#[tokio::test]
async fn one_that_was_killed_goes_on_where_it_was() {
    let place = Place::furnished().await;
    place.filled(40_000);
    let keys = both(K2, K1);
    let mut child = command(&["keys", "rewrap", "--store", &store(&place.path)], &keys)
        .spawn()
        .expect("the program starts");
    let begun = Instant::now();
    while place.state() < (Some(2), 1000) {
        assert!(begun.elapsed() < PATIENCE, "it does not begin");
        real_sleep(std::time::Duration::from_millis(1)).await;
    }
    child.kill().expect("it runs");
    child.wait().expect("a child");
    let (stage, after) = place.state();
    assert!(
        stage == Some(2) && (1000..40_000).contains(&after),
        "{stage:?} {after}"
    );
    let needed = rewrap(&place.path, K2);
    assert!(
        needed.refusal().contains("the master key `k1` is missing"),
        "{needed:?}"
    );
    let ended = rewrap(&place.path, &keys);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let again = ended
        .out
        .strip_prefix("encrypted again: ")
        .expect("a count");
    let again: i64 = again
        .split(';')
        .next()
        .expect("a count")
        .parse()
        .expect("a number");
    // The rest of the events, and the answers.
    assert_eq!(again, 40_003 - after + 4);
    assert_eq!(check(&place.path, K2).code, Some(0));
    assert_eq!(remains(&place.path, K1), 0);
}

#[tokio::test]
async fn keys_can_be_changed_back_in_the_middle() {
    let place = Place::furnished().await;
    place.filled(40_000);
    let server = Server::start(&place.path, &both(K2, K1));
    server.kill();
    assert!(
        place.state().0.is_some(),
        "it was done before it was killed"
    );
    let under = |key: &str| {
        let id = key.split(':').next().expect("an id").as_bytes();
        let is_under = |value: &&Vec<u8>| value[2..].starts_with(id);
        values(&place.path).iter().filter(is_under).count()
    };
    let ended = check(&place.path, &both(K1, K2));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let ended = rewrap(&place.path, &both(K1, K2));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.ends_with("them: k2-new\n"), "{ended:?}");
    assert_eq!(under(K2), 0);
    assert_eq!(check(&place.path, K1).code, Some(0));
}

#[tokio::test]
async fn what_does_not_open_is_told_and_keeps_the_old_keys() {
    let place = Place::furnished().await;
    place.flip("key_ring", 2);
    place.tamper("INSERT INTO key_ring VALUES (999, x'01026b31')");
    let keys = both(K2, K1);
    for _ in 0..2 {
        let ended = rewrap(&place.path, &keys);
        assert_eq!(ended.code, Some(1), "{ended:?}");
        let lines: Vec<_> = ended.out.lines().collect();
        assert_eq!(lines.len(), 3, "{ended:?}");
        assert!(
            lines[0].starts_with("endpoint 2: key ring: it is damaged"),
            "{ended:?}"
        );
        assert!(
            lines[1]
                .starts_with("endpoint 999: key ring: the record that it belongs to is missing"),
            "{ended:?}"
        );
        assert!(
            lines[2]
                .ends_with("cannot be decrypted: 2; keep all master keys and run `hookturn check`")
        );
    }
    assert_eq!(problems(&place.path, &keys).len(), 2);
    assert!(
        rewrap(&place.path, K2)
            .refusal()
            .contains("the master key `k1` is missing")
    );
    // A server that finds it mended ends it.
    let server = Server::start(&place.path, &keys);
    server.wait_for("cannot decrypt some values");
    server.stop();
    place.flip("key_ring", 2);
    place.tamper("DELETE FROM key_ring WHERE endpoint = 999");
    let server = Server::start(&place.path, &keys);
    server.wait_for("the others can be removed");
    server.stop();
    assert_eq!(check(&place.path, K2).code, Some(0));
}

#[tokio::test]
async fn what_cannot_begin_is_one_line() {
    let place = Place::new();
    let missing = rewrap(&place.path, K1);
    assert!(
        missing
            .refusal()
            .ends_with("does not exist: check the path")
    );
    // Not even the lock was made.
    assert_eq!(place.files(), [""; 0]);
    let memory = run(&["keys", "rewrap"], K1);
    assert!(
        memory
            .refusal()
            .starts_with("hookturn: --store (HOOKTURN_STORE): ")
    );
    let keyless = rewrap(&place.path, "");
    assert!(
        keyless
            .refusal()
            .starts_with("hookturn: --master-key (HOOKTURN_MASTER_KEYS): ")
    );
}

#[tokio::test]
async fn old_values_that_somebody_reads_are_told() {
    let place = Place::furnished().await;
    let reader = place.open();
    reader
        .execute_batch("BEGIN; SELECT count(*) FROM event")
        .expect("a snapshot");
    let ended = rewrap(&place.path, &both(K2, K1));
    let line = ended.refusal();
    assert!(line.contains("is being read by another process"), "{line}");
    reader.execute_batch("END").expect("its end");
    drop(reader);
    let ended = rewrap(&place.path, &both(K2, K1));
    assert_eq!(ended.code, Some(0), "{ended:?}");
    assert!(ended.out.contains("can be removed"), "{ended:?}");
    assert_eq!(remains(&place.path, K1), 0);
}
