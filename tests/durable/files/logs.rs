//! Logs that are not the database's own, or not whole.

use std::fs;
use std::path::PathBuf;

use hookturn_test::{Program, beside, run, scratch};
use tokio::task::block_in_place;

use super::Killed;
use crate::api::Api;
use crate::stage::Setup;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_without_its_database_is_left_alone() {
    let killed = Killed::new().await;
    let name = killed.setup.path.to_str().expect("UTF-8").to_owned();
    let kept = killed.take_away("");
    let wal = format!("{name}-wal");
    killed.assert_refused(&[&name, "missing or empty", &wal, "put the database back"]);
    fs::write(&killed.setup.path, "").expect("room");
    killed.assert_refused(&[&name, "missing or empty", &wal, "put the database back"]);
    fs::remove_file(&killed.setup.path).expect("it is there");

    // Any of what SQLite puts beside a database, though there is nothing in it.
    let [wal, shm] = ["-wal", "-shm"].map(|side| {
        let moved = killed.directory.path().join(format!("kept{side}"));
        fs::rename(killed.file(side), &moved).expect("it is there");
        moved
    });
    for side in ["-wal", "-shm", "-journal"] {
        fs::write(killed.file(side), "").expect("room");
        killed.assert_refused(&["missing or empty", side]);
        fs::remove_file(killed.file(side)).expect("it is there");
    }
    fs::rename(shm, killed.file("-shm")).expect("a name");
    killed.assert_refused(&["missing or empty", "-shm"]);

    fs::rename(wal, killed.file("-wal")).expect("a name");
    fs::rename(kept, &killed.setup.path).expect("a name");
    killed.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_of_another_store_is_refused() {
    let [one, other] = [Killed::new().await, Killed::new().await];
    let [own, foreign] = [&one, &other].map(|killed| {
        let moved = killed.directory.path().join("kept-wal");
        fs::rename(killed.file("-wal"), &moved).expect("it is there");
        moved
    });
    fs::copy(&foreign, one.file("-wal")).expect("room");
    let parts = ["belongs to another database", "put the files back"];
    one.assert_refused(&parts);
    // Also the other way round.
    fs::copy(&own, other.file("-wal")).expect("room");
    other.assert_refused(&parts);
    fs::rename(own, one.file("-wal")).expect("a name");
    one.assert_whole().await;

    // Of a store that has been served for long, and of one whose log SQLite has begun anew.
    let program = block_in_place(|| other_store(&other, foreign));
    block_in_place(|| program.kill());
    fs::copy(other.file("-wal"), one.file("-wal")).expect("room");
    one.assert_refused(&parts);
}

fn other_store(other: &Killed, log: PathBuf) -> Program {
    fs::rename(log, other.file("-wal")).expect("a name");
    other.setup.start()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_beside_the_file_of_another_program_is_left_alone() {
    let killed = Killed::new().await;
    let kept = killed.take_away("");
    let log = fs::read(killed.file("-wal")).expect("a log");
    for mode in ["WAL", "DELETE"] {
        let theirs = scratch();
        let theirs = Setup::in_dir(theirs.path());
        let db = theirs.open();
        db.execute_batch(&format!(
            "PRAGMA journal_mode = {mode}; CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)"
        ))
        .expect("a table");
        drop(db);
        fs::copy(&theirs.path, &killed.setup.path).expect("room");
        killed.assert_refused(&["is not a database of Hookturn"]);
    }
    fs::write(&killed.setup.path, "notes ".repeat(1000)).expect("room");
    killed.assert_refused(&["is not a database of Hookturn"]);
    assert!(fs::read(killed.file("-wal")).expect("a log") == log);
    fs::rename(kept, &killed.setup.path).expect("a name");
    killed.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_log_was_taken_away_is_refused() {
    let killed = Killed::new().await;
    let kept = killed.take_away("-wal");
    killed.assert_refused(&["-wal is missing", "put ", "-shm"]);
    fs::rename(kept, killed.file("-wal")).expect("a name");
    killed.assert_whole().await;
}

/// A log of another day: the database is from before the log, or from after it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_and_a_database_of_different_days_are_refused() {
    let killed = Killed::new().await;
    let kept = scratch();
    let rotate = format!("/webhooks/endpoints/{}/secret/rotate", killed.hooks[0]);
    let mut days = Vec::new();
    for day in 0..4 {
        let program = block_in_place(|| killed.setup.start());
        Api::of(&program)
            .post(&rotate, r#"{"expire_current_in":0}"#)
            .await
            .is(200);
        block_in_place(|| program.kill());
        let folder = kept.path().join(day.to_string());
        fs::create_dir(&folder).expect("room");
        days.push(killed.setup.copy_to(&folder));
    }
    for (database, log) in [(0_usize, 2_usize), (0, 3), (2, 0), (3, 0), (3, 1)] {
        for (day, side) in [(database, ""), (log, "-wal")] {
            let from = beside(&days[day].path, side);
            fs::copy(from, killed.file(side)).expect("room");
        }
        let _ = fs::remove_file(killed.file("-shm"));
        killed.assert_refused(&[
            "an older or newer copy",
            "put the files back that belong together",
        ]);
    }
    for day in days {
        for side in ["", "-wal"] {
            fs::copy(beside(&day.path, side), killed.file(side)).expect("room");
        }
        let _ = fs::remove_file(killed.file("-shm"));
        killed.assert_whole().await;
    }
}

/// The log is older than what came after it: a clean stop, or new master keys.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_was_copied_before_its_server_stopped_is_refused() {
    let killed = Killed::new().await;
    let program = block_in_place(|| killed.setup.start());
    let api = Api::of(&program);
    api.hook("http://127.0.0.1:9/", &[]).await;
    let old = fs::read(killed.file("-wal")).expect("a log");
    let path = format!("/webhooks/endpoints/{}", killed.hooks[0]);
    api.delete(&path).await.is(204);
    block_in_place(|| program.stop());
    let refused = ["belongs to another database", "an older or newer copy"];
    fs::write(killed.file("-wal"), &old).expect("room");
    killed.assert_refused(&refused);
    fs::remove_file(killed.file("-wal")).expect("it is there");
    killed.setup.assert_sound();

    let store = format!("sqlite:{}", killed.setup.path.display());
    let keys = [("HOOKTURN_MASTER_KEYS", &*killed.setup.master_keys)];
    let rewrapped = run(&["keys", "rewrap", "--store", &store], &keys);
    assert_eq!(rewrapped.code, Some(0), "{rewrapped:?}");
    fs::write(killed.file("-wal"), &old).expect("room");
    killed.assert_refused(&refused);
    fs::remove_file(killed.file("-wal")).expect("it is there");
    killed.setup.assert_sound();
}

/// What the log held is in neither file any more, and its index knows.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_that_has_lost_what_was_answered_is_refused() {
    let killed = Killed::new().await;
    let whole = fs::read(killed.file("-wal")).expect("a log");
    let half = whole.len() / 2;
    let turned = |at: usize| {
        let mut log = whole.clone();
        log[at] ^= 1;
        log
    };
    for log in [
        Vec::new(),
        whole[..20].to_vec(),
        whole[..half].to_vec(),
        whole[..whole.len() - 1].to_vec(),
        turned(3),
        turned(half),
        vec![0; whole.len()],
    ] {
        fs::write(killed.file("-wal"), log).expect("room");
        killed.assert_refused(&["-wal is cut short or damaged", "put the whole file back"]);
    }
    fs::write(killed.file("-wal"), &whole).expect("room");
    killed.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_journal_of_another_database_is_not_played_back() {
    let killed = Killed::new().await;
    let theirs = scratch();
    let theirs = Setup::in_dir(theirs.path());
    let db = theirs.open();
    db.execute_batch(
        "CREATE TABLE theirs (x); INSERT INTO theirs VALUES (zeroblob(20000));
         BEGIN; UPDATE theirs SET x = zeroblob(30000); PRAGMA cache_spill = 1; PRAGMA cache_size = 1;
         INSERT INTO theirs VALUES (zeroblob(50000))",
    )
    .expect("a change that is not committed");
    fs::copy(beside(&theirs.path, "-journal"), killed.file("-journal")).expect("a journal");
    drop(db);
    killed.assert_refused(&["is the journal of another database", "move it elsewhere"]);
    fs::remove_file(killed.file("-journal")).expect("it is there");
    killed.assert_whole().await;
}

/// Before this version the tables were in the log alone for a while.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_empty_without_its_log_is_refused() {
    let killed = Killed::new().await;
    let empty = scratch();
    let empty = Setup::in_dir(empty.path());
    let db = empty.open();
    db.execute_batch("PRAGMA journal_mode = WAL; VACUUM")
        .expect("a database");
    drop(db);
    for side in ["-wal", "-shm"] {
        fs::remove_file(killed.file(side)).expect("it is there");
    }
    fs::copy(&empty.path, &killed.setup.path).expect("room");
    killed.assert_refused(&["is empty without its log"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_whose_tables_are_in_its_log_alone_is_served() {
    // As older versions left one that was killed soon after it was made.
    let killed = Killed::new().await;
    let program = block_in_place(|| killed.setup.start());
    block_in_place(|| program.stop());
    let all = fs::read(&killed.setup.path).expect("a database");
    let old = scratch();
    let old = Setup::in_dir(old.path());
    let db = old.open();
    db.execute_batch("PRAGMA journal_mode = WAL; VACUUM; PRAGMA wal_autocheckpoint = 0")
        .expect("a database");
    let empty = fs::read(&old.path).expect("a database");
    let source = rusqlite::Connection::open_in_memory().expect("a database");
    drop(source);
    fs::write(beside(&old.path, "-copy"), all).expect("room");
    let from = rusqlite::Connection::open(beside(&old.path, "-copy")).expect("a database");
    let mut to = db;
    rusqlite::backup::Backup::new(&from, &mut to)
        .and_then(|copying| copying.step(-1))
        .expect("it is copied");
    let log = fs::read(beside(&old.path, "-wal")).expect("a log");
    drop((from, to));
    for side in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(killed.file(side));
    }
    fs::write(&killed.setup.path, empty).expect("room");
    fs::write(killed.file("-wal"), log).expect("room");
    killed.assert_whole().await;
}
