//! `hookturn backup`.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use hookturn::clock::real_sleep;
use hookturn_test::{Ended, PATIENCE, signal};
use rusqlite::Connection;

use super::support::{K1, Place, Server, check, command, run, store, text};

fn backup(place: &Place, target: &Path) -> Ended {
    run(
        &["backup", text(target), "--store", &store(&place.path)],
        "",
    )
}

impl Place {
    fn target(&self, name: &str) -> PathBuf {
        let directory = self.directory.path().join("backups");
        fs::create_dir_all(&directory).expect("a directory");
        directory.join(name)
    }

    fn backups(&self) -> Vec<String> {
        let entries = fs::read_dir(self.directory.path().join("backups")).expect("a directory");
        let name = |entry: std::io::Result<fs::DirEntry>| entry.expect("an entry").file_name();
        entries
            .map(|entry| name(entry).into_string().expect("UTF-8"))
            .collect()
    }
}

#[tokio::test]
async fn the_copy_is_one_file_that_is_served_and_checked() {
    let place = Place::furnished().await;
    let target = place.target("one.db");
    let files = place.files();
    let ended = backup(&place, &target);
    assert_eq!(ended.code, Some(0), "{ended:?}");
    let length = fs::metadata(&target).expect("a copy").len();
    assert_eq!(ended.out, format!("{}: {length} bytes\n", target.display()));
    assert_eq!(ended.err, "");
    assert_eq!(place.backups(), ["one.db"]);
    let mode = fs::metadata(&target).expect("a copy").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let mode: String = Connection::open(&target)
        .expect("a database")
        .query_row("PRAGMA journal_mode", [], |row| row.get(0))
        .expect("a mode");
    assert_eq!(mode, "delete");
    // Nothing is left beside the source either.
    assert_eq!(place.files(), files);
    let of_source = check(&place.path, K1);
    let of_copy = check(&target, K1);
    assert_eq!(of_copy.code, Some(0), "{of_copy:?}");
    assert_eq!(of_copy.out, of_source.out);
    assert_eq!(place.backups(), ["one.db"]);
    let server = Server::start(&target, K1);
    server.endpoint("http://127.0.0.1:9/").await;
    server.stop();
    assert_eq!(check(&target, K1).code, Some(0));
}

#[tokio::test]
async fn what_was_answered_before_a_backup_began_is_in_it_and_is_answered_again() {
    let place = Place::furnished().await;
    // Enough that much is written while it is read.
    place.filled(5_000);
    let server = Arc::new(Server::start(&place.path, K1));
    let mut ids = Vec::new();
    for _ in 0..4 {
        ids.push(server.endpoint("http://127.0.0.1:9/").await);
    }
    let is_over = Arc::new(AtomicBool::new(false));
    let (send, answered) = std::sync::mpsc::channel();
    let rotating = ids.clone().into_iter().map(|id| {
        let (server, is_over, send) = (Arc::clone(&server), Arc::clone(&is_over), send.clone());
        tokio::spawn(async move {
            let mut round = 0;
            while !is_over.load(Ordering::Relaxed) {
                let key = format!("{id}-{round}");
                let path = format!("/webhooks/endpoints/{id}/secret/rotate");
                let body = serde_json::json!({ "expire_current_in": 0 });
                let (status, answer) = server.send("POST", &path, &body, &key).await;
                assert_eq!(status, 200, "{answer}");
                send.send((path, key, answer)).expect("it is heard");
                let event = serde_json::json!({ "type": "a.b", "data": { "round": round } });
                server.post("/events", event).await;
                round += 1;
            }
        })
    });
    let rotating: Vec<_> = rotating.collect();
    let mut known = Vec::new();
    let mut backups = Vec::new();
    for number in 0..4 {
        let enough = known.len() + 20;
        let waiting = Instant::now();
        while known.len() < enough {
            known.extend(answered.try_iter());
            assert!(waiting.elapsed() < PATIENCE, "too few rotations");
            real_sleep(Duration::from_millis(2)).await;
        }
        let target = place.target(&format!("{number}.db"));
        let (arguments, to) = (store(&place.path), target.clone());
        let ended = tokio::task::spawn_blocking(move || {
            run(&["backup", text(&to), "--store", &arguments], "")
        });
        let ended = ended.await.expect("no panic");
        assert_eq!(ended.code, Some(0), "{ended:?}");
        backups.push((target, known.clone()));
        // A look at the file itself sees one instant of it, too.
        let path = place.path.clone();
        let ended = tokio::task::spawn_blocking(move || check(&path, K1)).await;
        let ended = ended.expect("no panic");
        assert_eq!(ended.code, Some(0), "{ended:?}");
    }
    is_over.store(true, Ordering::Relaxed);
    for rotating in rotating {
        rotating.await.expect("no panic");
    }
    Arc::into_inner(server).expect("the last one").stop();
    for (target, known) in backups {
        let ended = check(&target, K1);
        assert_eq!(ended.code, Some(0), "{ended:?}");
        let server = Server::start(&target, K1);
        let body = serde_json::json!({ "expire_current_in": 0 });
        for (path, key, answer) in known {
            let replayed = server.send("POST", &path, &body, &key).await;
            assert_eq!(replayed, (200, answer), "{key}");
        }
        server.stop();
    }
}

/// The log that a crash left would be written over the backup that is put in the place of the file.
#[tokio::test]
async fn a_backup_is_not_opened_beside_the_log_of_the_file_that_was_there() {
    let place = Place::furnished().await;
    let target = place.target("one.db");
    assert_eq!(backup(&place, &target).code, Some(0));
    let server = Server::start(&place.path, K1);
    server.endpoint("http://127.0.0.1:9/").await;
    server.kill();
    fs::copy(&target, &place.path).expect("a restored backup");

    let url = store(&place.path);
    let started = run(&["serve", "--listen", "127.0.0.1:0", "--store", &url], K1);
    let copied = run(
        &["backup", text(&place.target("two.db")), "--store", &url],
        "",
    );
    for ended in [started, check(&place.path, K1), copied] {
        let refusal = ended.refusal();
        assert!(
            refusal.contains("-wal beside it is left from the file that was there"),
            "{refusal}"
        );
    }
    assert_eq!(fs::read(&place.path).ok(), fs::read(&target).ok());

    for ending in ["-wal", "-shm"] {
        fs::remove_file(format!("{}{ending}", text(&place.path))).expect("what was left");
    }
    Server::start(&place.path, K1).stop();
    assert_eq!(check(&place.path, K1).code, Some(0));
}

#[tokio::test]
async fn nothing_is_overwritten() {
    let place = Place::furnished().await;
    let target = place.target("there.db");
    for (name, is_told) in [
        ("there.db", "there.db exists"),
        ("there.db-wal", "there.db-wal exists"),
    ] {
        let there = place.target(name);
        fs::write(&there, "mine").expect("writable");
        let refused = backup(&place, &target);
        assert!(refused.refusal().contains(is_told), "{refused:?}");
        assert_eq!(fs::read(&there).expect("it is there"), b"mine");
        fs::remove_file(&there).expect("it is there");
    }
    assert_eq!(place.backups(), [""; 0]);
    assert!(
        backup(&place, &place.path)
            .refusal()
            .contains("exists already: choose another name")
    );
}

#[tokio::test]
async fn what_cannot_be_copied_is_one_line_and_leaves_nothing() {
    let place = Place::new();
    let target = place.target("never.db");
    let missing = backup(&place, &target);
    let line = missing.refusal();
    assert!(
        line.starts_with("hookturn: --store (HOOKTURN_STORE): ")
            && line.ends_with("does not exist: check the path")
    );
    let memory = run(&["backup", text(&target)], "");
    assert!(
        memory
            .refusal()
            .starts_with("hookturn: --store (HOOKTURN_STORE): the store `memory:` has no file")
    );
    fs::write(&place.path, [7; 9000]).expect("writable");
    let foreign = backup(&place, &target);
    assert!(foreign.refusal().contains("is not a database of Hookturn"));
    fs::remove_file(&place.path).expect("it is there");
    assert_eq!(place.backups(), [""; 0]);
    assert_eq!(place.files(), ["backups"]);

    let place = Place::furnished().await;
    let nowhere = place.directory.path().join("no/such/directory.db");
    let refused = backup(&place, &nowhere);
    assert!(
        refused.refusal().starts_with("hookturn: TARGET: "),
        "{refused:?}"
    );
    assert!(run(&["backup"], "").refusal().contains("missing argument"));
}

#[tokio::test]
async fn one_that_is_stopped_leaves_nothing() {
    let place = Place::furnished().await;
    // Enough that it takes a while.
    place.tamper(
        "WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM n WHERE x < 200)
         INSERT INTO answer (tenant, key, expires_at, sealed) SELECT 1, 'filler' || x, 0, zeroblob(1000000) FROM n",
    );
    let target = place.target("half.db");
    for name in ["INT", "TERM"] {
        let child = command(
            &["backup", text(&target), "--store", &store(&place.path)],
            "",
        )
        .spawn()
        .expect("the program starts");
        let begun = Instant::now();
        while place.backups().is_empty() {
            assert!(begun.elapsed() < PATIENCE, "it does not begin");
            real_sleep(Duration::from_millis(1)).await;
        }
        signal(name, child.id());
        let output = child.wait_with_output().expect("it ends");
        let err = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{err}");
        assert_eq!(
            err,
            "hookturn: stopped before the backup was complete; nothing is left of it\n"
        );
        assert_eq!(place.backups(), [""; 0]);
    }
}
