//! Files that are taken away while they are served, and who may serve them.

use std::fs;
use std::os::unix::fs::symlink;

use hookturn_test::{Request, scratch, text, until};
use tokio::task::block_in_place;

use super::{Killed, cut};
use crate::api::{Api, assert_mute_failure};
use crate::stage::{Setup, try_system};

/// Probes ask before anything is written.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_probe_and_the_end_of_a_server_say_that_its_file_is_gone() {
    for is_asked in [true, false] {
        let killed = Killed::new().await;
        let program = block_in_place(|| killed.setup.start());
        let api = Api::of(&program);
        let kept = killed.take_away("");
        if is_asked {
            assert_mute_failure(&api.get("/readyz").await);
            let path = format!("/webhooks/endpoints/{}", killed.hooks[0]);
            api.get(&path).await.is(200);
            api.all("/webhooks/endpoints").await;
        }
        let log = block_in_place(|| program.stop());
        assert_eq!(log.matches("file of the store is gone").count(), 1, "{log}");
        fs::rename(kept, &killed.setup.path).expect("a name");
        killed.assert_whole().await;
    }
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
            assert_mute_failure(&api.ask(&rotate).await);
            assert_mute_failure(&api.get("/readyz").await);
        }
        if fs::metadata(killed.file("-wal")).is_ok_and(|log| log.len() > 100) {
            // Reads need the log too, and go on with the one that was opened.
            api.get(&path).await.is(200);
        }
        assert_eq!(program.err.errors_with("file of the store is gone"), 1);
        let name = killed.file(side).display().to_string();
        assert!(program.err.errors_with(&format!("{name} was removed")) > 0);

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
        assert!(log.contains("files of the store are back"), "{log}");
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
            "is a mount point itself"
        } else {
            "in use"
        };
        let mount = format!(r#"mount --bind "{}" "{}""#, from.display(), to.display());
        let shares = [&["-m"][..], &["-rm"]];
        let share = shares.into_iter().find(|share| {
            let try_mount = [*share, &["sh", "-c", &mount]].concat();
            try_system("unshare", &try_mount).is_ok()
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
