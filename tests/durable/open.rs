//! What a server does not start on: one line that names the file and the mend, exit code 2, and the
//! file is as it was.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::Path;
use std::process::Command;

use hookturn_test::{Request, beside, scratch, text};
use tokio::task::block_in_place;

use crate::api::Api;
use crate::stage::{MASTER_KEY, Setup, try_system};

const OTHER_KEY: &str = "k2:hM8l9e8yC4n6dXG4vKqQWcVZ0mC0Z9o3Wl9x2fJrT5s=";

/// Another key under the id of the first.
const WRONG_KEY: &str = "k1:hM8l9e8yC4n6dXG4vKqQWcVZ0mC0Z9o3Wl9x2fJrT5s=";

/// A file that was used and closed.
async fn used(directory: &Path) -> Setup {
    let setup = Setup::in_dir(directory);
    let program = block_in_place(|| setup.start());
    Api::of(&program).hook("http://127.0.0.1:9/", &[]).await;
    block_in_place(|| program.stop());
    setup
}

/// Asserts that a start is refused with a line that holds these texts, and leaves every file as it
/// was.
fn assert_refused(setup: &Setup, parts: &[&str]) {
    let before = fs::read(&setup.path).ok();
    let line = setup.refused();
    for part in parts {
        assert!(line.contains(part), "{part} is not in: {line}");
    }
    assert!(line.contains("; ") || line.contains(": "), "{line}");
    assert!(
        before == fs::read(&setup.path).ok(),
        "it was changed: {line}"
    );
    for suffix in ["-wal", "-shm"] {
        assert!(!beside(&setup.path, suffix).exists(), "{suffix} is left");
    }
    for key in [MASTER_KEY, OTHER_KEY, WRONG_KEY] {
        assert!(!line.contains(&key[3..]), "{line}");
    }
}

fn name(setup: &Setup) -> &str {
    setup.path.to_str().expect("UTF-8")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_second_server_is_refused_until_the_first_is_gone_however_it_went() {
    let directory = scratch();
    let setup = Setup::in_dir(directory.path());
    let first = block_in_place(|| setup.start());
    Api::of(&first).hook("http://127.0.0.1:9/", &[]).await;
    let in_use = [name(&setup), "in use", "--store (HOOKTURN_STORE)"];
    for _ in 0..2 {
        let line = setup.refused();
        for part in in_use {
            assert!(line.contains(part), "{line}");
        }
    }
    // By whatever name: it is the same file.
    let link = directory.path().join("link.db");
    symlink(&setup.path, &link).expect("a link");
    let line = Setup::on(link.clone()).refused();
    assert!(line.contains("in use"), "{line}");
    let created = Api::of(&first).hook("http://127.0.0.1:9/", &[]).await;
    block_in_place(|| first.kill());

    let second = block_in_place(|| Setup::on(link).start());
    let id = text(&created, "id");
    let path = format!("/webhooks/endpoints/{id}");
    Api::of(&second).get(&path).await.is(200);
    assert!(setup.refused().contains("in use"));
    block_in_place(|| second.stop());
    block_in_place(|| setup.start().stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_a_newer_version_is_refused() {
    let directory = scratch();
    let setup = used(directory.path()).await;
    let db = setup.open();
    db.pragma_update(None, "user_version", 1000)
        .expect("a change");
    drop(db);
    assert_refused(&setup, &[name(&setup), "newer version", "schema 1000"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_of_something_else_is_refused_and_left_alone() {
    let directory = scratch();
    let theirs = Setup::on(directory.path().join("theirs.db"));
    let db = theirs.open();
    db.execute_batch("CREATE TABLE theirs (x); INSERT INTO theirs VALUES (1)")
        .expect("a table");
    drop(db);
    assert_refused(&theirs, &[name(&theirs), "not a database of Hookturn"]);

    let notes = Setup::on(directory.path().join("notes.txt"));
    for content in ["a line that somebody wrote\n".repeat(1000), "x".to_owned()] {
        fs::write(&notes.path, content).expect("room");
        assert_refused(&notes, &[name(&notes), "not a database of Hookturn"]);
    }
    // One that is empty is nobody's.
    fs::write(&notes.path, "").expect("room");
    block_in_place(|| notes.start().stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_its_master_key_a_file_is_not_opened() {
    let directory = scratch();
    let setup = used(directory.path()).await;
    let flag = "--master-key (HOOKTURN_MASTER_KEYS)";
    assert_refused(&setup.with_keys(""), &[flag, "keys generate"]);
    assert_refused(&setup.with_keys(WRONG_KEY), &[flag, "`k1`", "not the key"]);
    assert_refused(&setup.with_keys(OTHER_KEY), &[flag, "`k1`", "missing"]);
    let both = format!("{OTHER_KEY},{WRONG_KEY}");
    assert_refused(&setup.with_keys(&both), &[flag, "`k1`", "not the key"]);
    // Nor a new one, where nothing rests yet.
    let new = Setup::on(directory.path().join("new.db"));
    assert_refused(&new.with_keys(""), &[flag]);
    assert!(!new.path.exists());

    let program = block_in_place(|| setup.start());
    let listed = Api::of(&program).all("/webhooks/endpoints").await;
    assert_eq!(listed.len(), 1);
    block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_path_where_no_file_can_be_is_refused() {
    let directory = scratch();
    let at = |path: &str| Setup::on(directory.path().join(path));
    fs::write(directory.path().join("file"), "").expect("room");
    for path in ["file/hookturn.db", "nowhere/hookturn.db", ""] {
        let setup = at(path);
        let line = setup.refused();
        assert!(line.contains(name(&setup)), "{line}");
    }
}

/// By each name a file would have another lock and another log.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_has_one_lock_by_whatever_name() {
    let directory = scratch();
    let real = directory.path().join("real.db");
    let link = directory.path().join("link.db");
    // It leads to nothing yet.
    symlink(&real, &link).expect("a link");
    let first = block_in_place(|| Setup::on(link.clone()).start());
    for path in [&link, &real] {
        let line = Setup::on(path.clone()).refused();
        assert!(line.contains("in use"), "{line}");
    }
    block_in_place(|| first.stop());

    let other = directory.path().join("other.db");
    fs::hard_link(&real, &other).expect("another name");
    for path in [real, other] {
        let line = Setup::on(path).refused();
        assert!(line.contains("has several hard links"), "{line}");
    }
    let pipe = directory.path().join("pipe");
    let made = Command::new("mkfifo").arg(&pipe).status().expect("mkfifo");
    assert!(made.success());
    let line = Setup::on(pipe).refused();
    assert!(line.contains("is not a database"), "{line}");
}

/// How a program is run to whom the modes of files apply, though this is run by root.
fn without_privileges(setup: &Setup) -> Setup {
    let is_root = try_system("id", &["-u"]).expect("an id").trim() == "0";
    let mut setup = setup.clone();
    if is_root {
        let drop = "--bounding-set=-dac_override,-dac_read_search";
        setup.through = ["setpriv", drop].map(ToOwned::to_owned).into();
    }
    setup
}

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("its owner may");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_may_not_be_written_is_refused_and_served_once_it_may() {
    let directory = scratch();
    let setup = used(directory.path()).await;
    let setup = without_privileges(&setup);
    let parts = [name(&setup), "--store (HOOKTURN_STORE)", "may write there"];

    set_mode(&setup.path, 0o400);
    assert_refused(&setup, &parts);
    set_mode(&setup.path, 0o000);
    assert_refused(&setup, &parts);
    set_mode(&setup.path, 0o600);

    // With its lock from before, and then without.
    set_mode(directory.path(), 0o500);
    assert_refused(&setup, &parts);
    set_mode(directory.path(), 0o700);
    fs::remove_file(beside(&setup.path, "-lock")).expect("a lock");
    set_mode(directory.path(), 0o500);
    assert_refused(&setup, &parts);
    set_mode(directory.path(), 0o700);

    let program = block_in_place(|| setup.start());
    let created = Request::post("/webhooks/endpoints", r#"{"url":"http://127.0.0.1:9/"}"#);
    Api::of(&program).ask(&created).await.is(201);
    block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn its_files_are_for_their_owner_alone() {
    let directory = scratch();
    let mut setup = Setup::in_dir(directory.path());
    let script = r#"umask 000; exec "$@""#;
    setup.through = ["sh", "-c", script, "sh"].map(ToOwned::to_owned).into();
    let program = block_in_place(|| setup.start());
    Api::of(&program).hook("http://127.0.0.1:9/", &[]).await;
    for suffix in ["", "-wal", "-shm", "-lock"] {
        let found = fs::metadata(beside(&setup.path, suffix)).expect("a file");
        assert_eq!(found.permissions().mode() & 0o777, 0o600, "{suffix}");
    }
    block_in_place(|| program.kill());
}
