//! Files that do not belong together, and files that are taken away: nothing that was answered is lost without a word.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::api::{Api, Request, text};
use crate::stage::{Setup, beside, scratch, try_run, until};

const OTHER_KEY: &str = "k1:hM8l9e8yC4n6dXG4vKqQWcVZ0mC0Z9o3Wl9x2fJrT5s=";

/// A store whose server was killed, so that what was written last is in its log alone.
struct Killed {
    directory: TempDir,
    setup: Setup,
    /// The ids of its endpoints.
    hooks: Vec<String>,
}

impl Killed {
    async fn new() -> Self {
        let directory = scratch();
        let setup = Setup::in_dir(directory.path());
        let program = block_in_place(|| setup.start());
        let api = Api::of(&program);
        let mut hooks = Vec::new();
        for _ in 0..3 {
            let hook = api.hook("http://127.0.0.1:9/", &["a.b"]).await;
            hooks.push(text(&hook, "id").to_owned());
        }
        block_in_place(|| program.kill());
        Self {
            directory,
            setup,
            hooks,
        }
    }

    fn file(&self, side: &str) -> PathBuf {
        beside(&self.setup.path, side)
    }

    /// Takes a file away, and returns where it is.
    fn take_away(&self, side: &str) -> PathBuf {
        let kept = self.directory.path().join("kept");
        fs::rename(self.file(side), &kept).expect("it is there");
        kept
    }

    /// Asserts that neither a server nor `check` takes the files, and that both leave all of them as they are.
    fn assert_refused(&self, parts: &[&str]) {
        let before = contents(self.directory.path());
        let (code, said) = self.setup.check();
        assert_eq!(code, Some(2), "{said}");
        let line = self.setup.refused();
        for part in parts {
            assert!(line.contains(part), "{part} is not in: {line}");
        }
        assert!(line.contains("--store (HOOKTURN_STORE)"), "{line}");
        let after = contents(self.directory.path());
        assert_eq!(
            before.keys().collect::<Vec<_>>(),
            after.keys().collect::<Vec<_>>(),
            "{line}"
        );
        assert!(before == after, "a file was changed: {line}");
    }

    /// Asserts that a server starts and has every endpoint.
    async fn assert_whole(&self) {
        let program = block_in_place(|| self.setup.start());
        let listed = Api::of(&program).all("/webhooks/endpoints").await;
        for hook in &self.hooks {
            let is_it = |listed: &&serde_json::Value| text(listed, "id") == hook;
            assert!(listed.iter().any(|listed| is_it(&listed)), "{listed:?}");
        }
        block_in_place(|| program.kill());
        self.setup.assert_sound();
    }
}

/// Every file in a directory, apart from locks, and what is in it.
fn contents(directory: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let files = fs::read_dir(directory).expect("a directory");
    let paths = files.map(|file| file.expect("a file").path());
    let paths = paths.filter(|path| !path.to_string_lossy().ends_with("-lock"));
    paths
        .map(|path| (path.clone(), fs::read(&path).expect("readable")))
        .collect()
}

fn cut(path: &Path, length: u64) {
    let file = OpenOptions::new().write(true).open(path).expect("a file");
    file.set_len(length).expect("a shorter file");
}

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
async fn a_database_that_is_cut_short_is_refused_unless_its_log_has_the_rest() {
    let killed = Killed::new().await;
    let whole = fs::read(&killed.setup.path).expect("a database");
    let length = whole.len() as u64;
    for short in [1, 99, 100, 511, 512, 4095, 4096, length / 2, length / 2 + 1] {
        cut(&killed.setup.path, short);
        let part = if short < 100 {
            "is not a database of Hookturn"
        } else {
            "is cut short"
        };
        killed.assert_refused(&[part]);
        fs::write(&killed.setup.path, &whole).expect("room");
    }
    killed.assert_whole().await;

    // Without a log, too.
    let program = block_in_place(|| killed.setup.start());
    block_in_place(|| program.stop());
    let length = fs::metadata(&killed.setup.path).expect("a database").len();
    cut(&killed.setup.path, length - 4096);
    killed.assert_refused(&["is cut short", "restore a backup"]);
}

/// When the machine fails while the log is written back, the end of the database can be in the log alone.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_whose_end_is_in_its_log_is_served() {
    let killed = Killed::new().await;
    let before = fs::metadata(&killed.setup.path).expect("a database").len();
    // A large event makes the database longer, and all that is new is in the log.
    let program = block_in_place(|| killed.setup.start());
    let before = before.max(fs::metadata(&killed.setup.path).expect("a database").len());
    let data = serde_json::json!({ "type": "a.b", "data": { "long": "x".repeat(100_000) } });
    let published = Request::post("/events", data);
    Api::of(&program).ask(&published).await.is(202);
    block_in_place(|| program.kill());
    let with_log = killed.setup.copy_to(scratch().keep().as_path());
    let db = with_log.open();
    db.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))
        .expect("it is written back");
    drop(db);
    let written_back = fs::read(&with_log.path).expect("a database");
    assert!(written_back.len() as u64 > before + 90_000);
    // Half of what is new was written back.
    let half = usize::try_from(before).expect("small") + 50_000;
    fs::write(&killed.setup.path, &written_back[..half]).expect("room");
    killed.assert_whole().await;
    fs::remove_dir_all(with_log.path.parent().expect("a directory")).expect("it is there");
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
    let parts = ["is the log of another database", "put the files back"];
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

fn other_store(other: &Killed, log: PathBuf) -> crate::stage::Program {
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_proves_its_master_key_from_the_first_moment() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let program = block_in_place(|| setup.start());
    Api::of(&program).hook("http://127.0.0.1:9/", &[]).await;
    let elsewhere = scratch();
    let copy = Setup::in_dir(elsewhere.path());
    fs::copy(&setup.path, &copy.path).expect("a copy");
    block_in_place(|| program.kill());
    // What is in the log alone is not in it, and nothing else is amiss.
    copy.assert_sound();
    let line = copy.with_keys(OTHER_KEY).refused();
    assert!(line.contains("not the key"), "{line}");
    block_in_place(|| copy.start().stop());

    for lost in ["DELETE FROM master_key", "DELETE FROM state"] {
        let db = copy.open();
        db.execute_batch(lost).expect("it is there");
        drop(db);
        let line = copy.with_keys(OTHER_KEY).refused();
        assert!(line.contains("hookturn check"), "{line}");
    }
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
        killed.assert_refused(&["of another day", "put the files back that belong together"]);
    }
    for day in days {
        for side in ["", "-wal"] {
            fs::copy(beside(&day.path, side), killed.file(side)).expect("room");
        }
        let _ = fs::remove_file(killed.file("-shm"));
        killed.assert_whole().await;
    }
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
    killed.assert_refused(&["is the journal of another database", "take it away"]);
    fs::remove_file(killed.file("-journal")).expect("it is there");
    killed.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_not_copied_or_checked_by_a_name_beside_which_its_log_is_not() {
    let killed = Killed::new().await;
    let linked = killed.directory.path().join("linked.db");
    fs::hard_link(&killed.setup.path, &linked).expect("a name");
    let linked = Setup::on(linked);
    let (code, said) = linked.check();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("more than one name"), "{said}");
    fs::remove_file(linked.path).expect("it is there");
    killed.assert_whole().await;
}

/// Each file of a store that was made without room for all of it is gone, and the next start makes it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_that_cannot_be_made_wholly_is_not_there() {
    for kib in [1, 4, 8, 16, 32, 48, 64, 80, 96, 128] {
        let directory = scratch();
        let mut setup = Setup::in_dir(directory.path());
        let script = format!(
            r#"trap "" XFSZ; prlimit --fsize={}:unlimited --pid $$; exec "$@""#,
            kib * 1024
        );
        setup.through = ["sh", "-c", &script, "sh"].map(ToOwned::to_owned).into();
        let (code, log) = setup.spawn().ended_or_stopped();
        if code == Some(2) {
            let files = contents(directory.path());
            let is_left = files.keys().any(|file| !file.ends_with("hookturn.db"));
            assert!(!is_left, "{kib}: {log} {:?}", files.keys());
        }
        setup.through.clear();
        block_in_place(|| setup.start().stop());
        setup.assert_sound();
    }
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

/// What takes a file of a running server away, and what puts it back.
type Theft = fn(&Killed);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_is_taken_away_while_it_is_served_fails_what_would_be_lost() {
    let thefts: [(&str, Theft); 6] = [
        ("", |killed| drop(killed.take_away(""))),
        ("", |killed| {
            // Replaced by a copy, as an editor or a restore does.
            let kept = killed.take_away("");
            fs::copy(kept, &killed.setup.path).expect("room");
        }),
        ("-wal", |killed| drop(killed.take_away("-wal"))),
        ("-shm", |killed| drop(killed.take_away("-shm"))),
        ("", |killed| {
            // Moved, with a link to where it is: its log would be looked for beside that.
            let kept = killed.take_away("");
            symlink(kept, &killed.setup.path).expect("a link");
        }),
        ("-wal", |killed| {
            fs::copy(killed.file("-wal"), killed.directory.path().join("kept")).expect("room");
            cut(&killed.file("-wal"), 100);
        }),
    ];
    for (side, theft) in thefts {
        let mut killed = Killed::new().await;
        let program = block_in_place(|| killed.setup.start());
        let api = Api::of(&program);
        let path = format!("/webhooks/endpoints/{}", killed.hooks[0]);
        let rotate = Request::post(format!("{path}/secret/rotate"), "");
        api.ask(&rotate).await.is(200);
        api.get("/readyz").await.is(200);

        theft(&killed);
        for _ in 0..3 {
            api.ask(&rotate).await.is_mute_failure();
            api.get("/readyz").await.is_mute_failure();
        }
        if fs::metadata(killed.file("-wal")).is_ok_and(|log| log.len() > 100) {
            // Reads need the log too, and go on with the one that was opened.
            api.get(&path).await.is(200);
        }
        assert_eq!(program.log.errors_with("a file of the store is gone"), 1);
        let name = killed.file(side).display().to_string();
        assert!(program.log.errors_with(&format!("{name} was removed")) > 0);

        let kept = killed.directory.path().join("kept");
        if fs::metadata(killed.file(side)).is_ok_and(|log| log.len() == 100) {
            // Its contents cannot be put back under a server that goes on.
            block_in_place(|| program.kill());
            fs::copy(&kept, killed.file(side)).expect("room");
            killed.assert_whole().await;
            continue;
        }
        fs::rename(&kept, killed.file(side)).expect("a name");
        until(async || api.get("/readyz").await.status == 200).await;
        let hook = api.hook("http://127.0.0.1:9/", &[]).await;
        killed.hooks.push(text(&hook, "id").to_owned());
        api.ask(&rotate).await.is(200);
        let log = block_in_place(|| program.stop());
        assert!(log.contains("the files of the store are back"), "{log}");
        killed.assert_whole().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_that_stops_without_its_file_leaves_what_was_written_to_be_put_together() {
    let killed = Killed::new().await;
    let program = block_in_place(|| killed.setup.start());
    let kept = killed.take_away("");
    block_in_place(|| program.stop());
    killed.assert_refused(&["missing or empty"]);
    fs::rename(kept, &killed.setup.path).expect("a name");
    killed.assert_whole().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_server_at_a_time_writes_a_file_whatever_path_leads_to_it() {
    let killed = Killed::new().await;
    let first = block_in_place(|| killed.setup.start());

    // Another name, and none of the files beside it.
    let moved = scratch();
    let moved = Setup::in_dir(moved.path());
    fs::rename(&killed.setup.path, &moved.path).expect("a name");
    let line = moved.refused();
    assert!(line.contains("in use"), "{line}");
    fs::rename(&moved.path, &killed.setup.path).expect("a name");

    // Without the lock beside it.
    fs::remove_file(killed.file("-lock")).expect("it is there");
    let line = killed.setup.refused();
    assert!(line.contains("in use"), "{line}");

    // The file or its directory, bound to another place.
    let elsewhere = scratch();
    let bound = elsewhere.path().join("bound.db");
    fs::write(&bound, "").expect("room");
    let directory = elsewhere.path().join("directory");
    fs::create_dir(&directory).expect("room");
    for (from, to, path) in [
        (killed.setup.path.clone(), bound.clone(), bound.clone()),
        (
            killed.directory.path().to_owned(),
            directory.clone(),
            directory.join("hookturn.db"),
        ),
    ] {
        let part = if path == bound {
            "is a mount by itself"
        } else {
            "in use"
        };
        let mount = format!(r#"mount --bind "{}" "{}""#, from.display(), to.display());
        let shares = [&["-m"][..], &["-rm"]];
        let share = shares.into_iter().find(|share| {
            let try_mount = [*share, &["sh", "-c", &mount]].concat();
            try_run("unshare", &try_mount).is_ok()
        });
        let Some(share) = share else {
            eprintln!("NOT TESTED HERE: a file in two places, since nothing may be mounted");
            break;
        };
        let script = format!(r#"{mount} && exec "$@""#);
        let through = [&["unshare"], share, &["sh", "-c", &script, "sh"]].concat();
        let mut setup = Setup::on(path);
        setup.through = through.into_iter().map(ToOwned::to_owned).collect();
        let line = setup.refused();
        assert!(line.contains(part), "{line}");
    }
    Api::of(&first).hook("http://127.0.0.1:9/", &[]).await;
    block_in_place(|| first.stop());
    killed.assert_whole().await;
}
