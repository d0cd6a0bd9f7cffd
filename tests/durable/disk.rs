//! A disk that is full: at the start, and while the program serves.
//!
//! It is made in two ways. A limit on the length of files works on every machine, and fails with
//! another code than a full disk does. A small file system in memory is really full; where it may
//! not be mounted, the test says so on stderr.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use hookturn_test::{Program, Receiver, Request, beside, scratch, signers, text, until};
use serde_json::json;
use tokio::task::block_in_place;

use crate::api::{Api, assert_mute_failure};
use crate::stage::{Setup, system, try_system};

/// What writes fail by, and what takes it away again.
trait Disk {
    fn fill(&self, program: &Program, setup: &Setup);
    fn make_room(&self, program: &Program);
    /// What the log says of it.
    fn is_told_as(&self) -> &'static str;
}

/// Files may not become longer.
struct Limited;

impl Limited {
    fn setup(directory: &Path) -> Setup {
        let mut setup = Setup::in_dir(directory);
        // Else the signal would end it, which a full disk does not send.
        let script = r#"trap "" XFSZ; exec "$@""#;
        setup.through = ["sh", "-c", script, "sh"].map(ToOwned::to_owned).into();
        setup
    }

    fn limit(program: &Program, most: &str) {
        let id = program.id().to_string();
        let limit = format!("--fsize={most}:unlimited");
        system("prlimit", &["--pid", &id, &limit]);
    }
}

impl Disk for Limited {
    fn fill(&self, program: &Program, setup: &Setup) {
        let wal = fs::metadata(beside(&setup.path, "-wal")).expect("a log");
        // Half a frame still fits.
        Self::limit(program, &(wal.len() + 2000).to_string());
    }

    fn make_room(&self, program: &Program) {
        Self::limit(program, "unlimited");
    }

    fn is_told_as(&self) -> &'static str {
        "disk I/O error"
    }
}

/// A file system of one megabyte that only the program sees.
struct Small {
    directory: PathBuf,
}

impl Small {
    /// A setup on such a file system, after `script` has run on it with its directory as `$0`.
    /// `None` where none can be mounted.
    fn setup(directory: &Path, script: &str) -> Option<(Self, Setup)> {
        let mount = r#"mount -t tmpfs -o size=1m tmpfs "$0""#;
        let at = directory.to_str().expect("UTF-8");
        // With privileges, and without where users may have name spaces of their own.
        let shares = [&["-m"][..], &["-rm"]];
        let share = shares.into_iter().find(|share| {
            let try_mount = [*share, &["sh", "-c", mount, at]].concat();
            try_system("unshare", &try_mount).is_ok()
        });
        let Some(share) = share else {
            let told = writeln!(
                io::stderr(),
                "NOT TESTED HERE: a disk that is really full, since no file system may be mounted"
            );
            told.expect("stderr");
            return None;
        };
        let script = format!(r#"{mount} && {script} && exec "$@""#);
        let through = [&["unshare"], share, &["sh", "-c", &script, at]].concat();
        let mut setup = Setup::in_dir(directory);
        setup.through = through.into_iter().map(ToOwned::to_owned).collect();
        let directory = directory.to_owned();
        Some((Self { directory }, setup))
    }

    /// A path as the program sees it.
    fn seen_by(&self, program: &Program, name: &str) -> PathBuf {
        let root = format!("/proc/{}/root{}", program.id(), self.directory.display());
        PathBuf::from(root).join(name)
    }
}

impl Disk for Small {
    fn fill(&self, program: &Program, _: &Setup) {
        let mut filler = File::create(self.seen_by(program, "filler")).expect("it is there");
        for block in [4096, 1] {
            while filler.write_all(&vec![7; block]).is_ok() {}
        }
    }

    fn make_room(&self, program: &Program) {
        fs::remove_file(self.seen_by(program, "filler")).expect("it is there");
    }

    fn is_told_as(&self) -> &'static str {
        "make room on the disk"
    }
}

/// A server whose disk becomes full goes on answering what it knows, refuses what it would have to
/// write, wholly, and recovers by itself.
async fn fills_up(disk: &dyn Disk, setup: &Setup) {
    let receiver = Receiver::start().await;
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    let mut secrets = vec![text(&hook, "secret").to_owned()];
    let path = format!("/webhooks/endpoints/{}", text(&hook, "id"));
    let rotate = |key: &str| Request::post(format!("{path}/secret/rotate"), "").with_key(key);
    let first = api.ask(&rotate("before")).await.is(200);
    secrets.push(first.member("secret"));
    api.publish("a.b", "before").await.is(202);
    until(async || {
        api.all(&format!("{path}/deliveries?status=succeeded"))
            .await
            .len()
            == 1
    })
    .await;
    receiver.take();
    let listed = api.secrets(text(&hook, "id")).await;

    disk.fill(&program, setup);
    let refused = [
        rotate("meanwhile"),
        Request::post("/webhooks/endpoints", r#"{"url":"http://127.0.0.1:9/"}"#),
        Request::post(
            "/events",
            json!({ "type": "a.b", "id": "meanwhile", "data": {} }),
        ),
    ];
    for _ in 0..3 {
        for request in &refused {
            assert_mute_failure(&api.ask(request).await);
        }
        assert_mute_failure(&api.get("/readyz").await);
        api.get("/healthz").await.is(200);
        api.ask(&rotate("before")).await.repeats(&first);
        assert_eq!(api.secrets(text(&hook, "id")).await, listed);
        assert_eq!(api.all("/webhooks/endpoints").await.len(), 1);
    }
    assert_eq!(receiver.take().len(), 0);
    assert_eq!(program.err.errors_with("cannot write to the store"), 1);
    let errors = program.err.errors();
    assert!(
        errors.iter().any(|line| line.contains(disk.is_told_as())),
        "{errors:?}"
    );

    disk.make_room(&program);
    until(async || api.get("/readyz").await.status == 200).await;
    for request in &refused {
        let answered = api.ask(request).await;
        assert!(
            answered.is_success() && !answered.is_replayed(),
            "{answered:?}"
        );
        if request.has_key() {
            api.ask(request).await.repeats(&answered);
            secrets.push(answered.member("secret"));
        }
    }
    assert!(
        program
            .err
            .to_string()
            .contains("can write to the store again")
    );
    assert_eq!(program.err.errors_with("cannot write to the store"), 1);
    receiver.wait_for(2).await;
    for received in receiver.take() {
        let signers = signers(&received, &secrets);
        assert_eq!(signers.first(), secrets.last().map(String::as_str).as_ref());
    }
    assert_eq!(api.secrets(text(&hook, "id")).await.len(), 3);
    assert_eq!(api.all("/webhooks/endpoints").await.len(), 2);
    block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_grow_while_it_is_served() {
    let directory = scratch();
    let setup = Limited::setup(directory.path());
    fills_up(&Limited, &setup).await;
    setup.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fills_up_while_it_is_served() {
    let directory = scratch();
    if let Some((disk, setup)) = Small::setup(directory.path(), "true") {
        fills_up(&disk, &setup).await;
    }
}

/// There is room for a little more, and not for what requests write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_server_is_ready_again_only_when_there_is_room_for_what_requests_write() {
    let directory = scratch();
    let setup = Limited::setup(directory.path());
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    api.hook("http://127.0.0.1:9/", &[]).await;
    let wal = fs::metadata(beside(&setup.path, "-wal")).expect("a log");
    // Two pages still fit.
    Limited::limit(&program, &(wal.len() + 9000).to_string());
    let creation = Request::post("/webhooks/endpoints", r#"{"url":"http://127.0.0.1:9/"}"#);
    for _ in 0..10 {
        assert_mute_failure(&api.ask(&creation).await);
        assert_mute_failure(&api.get("/readyz").await);
    }
    // Now there is room for a creation, and not for an event of the largest size.
    Limited::limit(&program, &(wal.len() + 400_000).to_string());
    for _ in 0..5 {
        api.ask(&creation).await.is(201);
        assert_mute_failure(&api.get("/readyz").await);
    }
    assert!(
        !program
            .err
            .to_string()
            .contains("can write to the store again")
    );
    Limited.make_room(&program);
    // Also when nobody asks whether it is ready.
    until(async || {
        api.ask(&creation).await.is(201);
        program
            .err
            .to_string()
            .contains("can write to the store again")
    })
    .await;
    api.get("/readyz").await.is(200);
    assert_eq!(program.err.errors_with("cannot write to the store"), 1);
    block_in_place(|| program.stop());
    setup.assert_sound();
}

/// What was sent before the disk was full, and could not be noted, is noted when there is room, or
/// sent again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delivery_that_could_not_be_noted_is_noted_later() {
    let directory = scratch();
    let setup = Limited::setup(directory.path());
    let receiver = Receiver::start().await;
    let release = std::sync::Arc::new(tokio::sync::Semaphore::new(0));
    receiver.always(hookturn_test::Reaction::Held(release.clone(), 204));
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    api.publish("a.b", "event").await.is(202);
    receiver.wait_for(1).await;
    Limited.fill(&program, &setup);
    release.add_permits(10);
    until(async || program.err.errors_with("cannot record the attempt") > 0).await;
    Limited.make_room(&program);
    let path = format!("/webhooks/endpoints/{}/deliveries", text(&hook, "id"));
    until(async || api.all(&format!("{path}?status=succeeded")).await.len() == 1).await;
    // It was held all the time, so it was not sent again.
    assert_eq!(receiver.count(), 1);
    block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_start_without_room_is_refused_and_leaves_nothing_in_the_way() {
    let directory = scratch();
    let mut setup = Limited::setup(directory.path());
    let script = r#"trap "" XFSZ; ulimit -f 0; exec "$@""#;
    setup.through[2] = script.to_owned();
    let line = setup.refused();
    assert!(line.contains(setup.path.to_str().expect("UTF-8")), "{line}");
    let setup = Setup::in_dir(directory.path());
    block_in_place(|| setup.start().stop());

    let full = r#"(cat /dev/zero > "$0/filler" 2> /dev/null || true)"#;
    let directory = scratch();
    if let Some((_, setup)) = Small::setup(directory.path(), full) {
        let line = setup.refused();
        assert!(line.contains("the disk is full; make room"), "{line}");
    }
    // With a file that is there already, and its log: it cannot be read without room for the index
    // of the log.
    let directory = scratch();
    let used = Setup::in_dir(directory.path());
    let program = block_in_place(|| used.start());
    Api::of(&program).hook("http://127.0.0.1:9/", &[]).await;
    block_in_place(|| program.kill());
    let disk = scratch();
    let copy = format!(
        r#"cp {path} {path}-wal "$0" && {full}"#,
        path = used.path.display()
    );
    if let Some((_, setup)) = Small::setup(disk.path(), &copy) {
        let line = setup.refused();
        assert!(line.contains("make room if the disk is full"), "{line}");
    }
}
