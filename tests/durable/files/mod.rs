//! Files that do not belong together, and files that are taken away: nothing that was answered is
//! lost without a word.

mod logs;
mod served;

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};

use hookturn_test::{Ended, Request, beside, scratch, text};
use tempfile::TempDir;
use tokio::task::block_in_place;

use crate::api::Api;
use crate::stage::Setup;

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

    /// Asserts that neither a server nor `check` takes the files, and that both leave all of them
    /// as they are.
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

/// When the machine fails while the log is written back, the end of the database can be in the log
/// alone.
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

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_is_not_copied_or_checked_by_a_name_beside_which_its_log_is_not() {
    let killed = Killed::new().await;
    let linked = killed.directory.path().join("linked.db");
    fs::hard_link(&killed.setup.path, &linked).expect("a name");
    let linked = Setup::on(linked);
    let (code, said) = linked.check();
    assert_eq!(code, Some(2), "{said}");
    assert!(said.contains("several hard links"), "{said}");
    fs::remove_file(linked.path).expect("it is there");
    killed.assert_whole().await;
}

/// Each file of a store that was made without room for all of it is gone, and the next start makes
/// it.
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
        let Ended { code, err: log, .. } = setup.ended_or_stopped();
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
