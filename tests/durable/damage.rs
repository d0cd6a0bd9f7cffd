//! Bits of the file that turned over: what needs them fails clearly, and everything else goes on.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use hookturn_test::{
    Answer, Ended, Program, Received, Receiver, Request, fingerprint, scratch, signers, status,
    text, until,
};
use rusqlite::types::ToSqlOutput;
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::api::{Api, assert_mute_failure};
use crate::dice::{Dice, count, seed};
use crate::stage::Setup;

/// Two endpoints, each rotated once with a key, and an event that neither has taken yet.
struct Base {
    setup: Setup,
    receiver: Receiver,
    hooks: Vec<Value>,
    rotations: Vec<(Request, Answer)>,
    /// The secrets of each hook, by its number.
    secrets: HashMap<String, Vec<String>>,
}

impl Base {
    async fn new(directory: &Path) -> Self {
        let setup = Setup::in_dir(directory);
        let receiver = Receiver::that(status(500)).await;
        let program = block_in_place(|| setup.start());
        let api = Api::of(&program);
        let mut base = Self {
            setup,
            receiver,
            hooks: Vec::new(),
            rotations: Vec::new(),
            secrets: HashMap::new(),
        };
        for number in 0..2 {
            let url = format!("{}/{number}", base.receiver.url());
            let hook = api.hook(&url, &["a.b"]).await;
            let path = format!("/webhooks/endpoints/{}/secret/rotate", text(&hook, "id"));
            let request = Request::post(path, "").with_key(format!("rotation-{number}"));
            let answered = api.ask(&request).await.is(200);
            let secrets = vec![text(&hook, "secret").to_owned(), answered.member("secret")];
            base.secrets.insert(number.to_string(), secrets);
            base.hooks.push(hook);
            base.rotations.push((request, answered));
        }
        // So that most of the file is records.
        for number in 0..60 {
            let body = json!({ "url": "http://127.0.0.1:9/", "events": ["c.d"] });
            let creation = Request::post("/webhooks/endpoints", body);
            api.ask(&creation.with_key(format!("creation-{number}")))
                .await
                .is(201);
        }
        api.publish("a.b", "first").await.is(202);
        base.receiver.wait_for(2).await;
        until(async || {
            let first = base.deliveries(&api, 0).await;
            let second = base.deliveries(&api, 1).await;
            [first, second]
                .iter()
                .all(|all| all[0]["attempts"][0].is_object())
        })
        .await;
        base.receiver.always(status(204));
        base.receiver.take();
        block_in_place(|| program.stop());
        base
    }

    fn id(&self, hook: usize) -> &str {
        text(&self.hooks[hook], "id")
    }

    async fn deliveries(&self, api: &Api, hook: usize) -> Vec<Value> {
        api.all(&format!("/webhooks/endpoints/{}/deliveries", self.id(hook)))
            .await
    }

    /// A server on a copy in which one bit of a sealed value of the row that `which` names is
    /// turned.
    fn with_flipped(&self, directory: &Path, table: &str, which: &str) -> (Program, Api) {
        let copy = self.setup.copy_to(directory);
        let db = copy.open();
        let of = format!("FROM {table} WHERE {which}");
        let mut sealed: Vec<u8> = db
            .query_row(&format!("SELECT sealed {of}"), [], |row| row.get(0))
            .expect("one row");
        let place = sealed.len() - 20;
        sealed[place] ^= 1;
        let changed = db.execute(
            &format!("UPDATE {table} SET sealed = ?1 WHERE {which}"),
            [ToSqlOutput::from(sealed)],
        );
        assert_eq!(changed, Ok(1));
        drop(db);
        let (code, said) = block_in_place(|| copy.check());
        assert_eq!(code, Some(1), "{said}");
        let program = block_in_place(|| copy.start());
        let api = Api::of(&program);
        (program, api)
    }

    /// Who came, after whoever came was found to be signed by secrets of its hook alone.
    fn came(&self) -> Vec<(String, String)> {
        let received = self.receiver.take();
        received
            .iter()
            .map(|received| self.whose(received))
            .collect()
    }

    fn whose(&self, received: &Received) -> (String, String) {
        let (_, number) = received.path.rsplit_once('/').expect("a path");
        let signers = signers(received, &self.secrets[number]);
        assert!(!signers.is_empty(), "{received:?}");
        let event = received.header("webhook-id").to_owned();
        (number.to_owned(), event)
    }

    /// Waits until an event came to this hook, and asserts that nothing came to the other.
    async fn arrives_only_at(&self, hook: usize, event: &str) {
        let wanted = (hook.to_string(), event.to_owned());
        let mut came = Vec::new();
        until(async || {
            came.extend(self.came());
            came.contains(&wanted)
        })
        .await;
        assert!(came.iter().all(|(at, _)| *at == wanted.0), "{came:?}");
    }

    /// Ends a server on which nothing more came to a hook than to the other one.
    fn end_with_nothing_at(&self, hook: usize, program: Program) -> String {
        let log = block_in_place(|| program.stop());
        let none = hook.to_string();
        assert!(self.came().iter().all(|(at, _)| *at != none));
        log
    }
}

/// Asserts that a request fails without a word about the inside, and with one line in the log.
async fn assert_fails(program: &Program, api: &Api, request: &Request) {
    let before = program.err.errors_with("cannot decrypt a value");
    assert_mute_failure(&api.ask(request).await);
    until(async || program.err.errors_with("cannot decrypt a value") > before).await;
    let after = program.err.errors_with("cannot decrypt a value");
    assert_eq!(after, before + 1, "{:?}", program.err.errors());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_endpoint_that_does_not_open_fails_alone() {
    let directory = scratch();
    let base = Base::new(directory.path()).await;
    for (table, which) in [("key_ring", "endpoint = 1"), ("endpoint", "number = 1")] {
        let directory = scratch();
        let (program, api) = base.with_flipped(directory.path(), table, which);
        // Its delivery, which is due when the clock has moved, waits; the other's is made.
        api.advance(10).await;
        base.arrives_only_at(1, "first").await;
        until(async || program.err.errors_with("cannot read an endpoint") == 1).await;

        let path = format!("/webhooks/endpoints/{}", base.id(0));
        for request in [
            Request::get(&path),
            Request::get(format!("{path}/secrets")),
            Request::post(format!("{path}/secret/rotate"), ""),
            Request::post(format!("{path}/secret/revoke-previous"), ""),
        ] {
            assert_fails(&program, &api, &request).await;
        }
        // What was answered is known without it.
        let (request, first) = &base.rotations[0];
        api.ask(request).await.repeats(first);

        let other = format!("/webhooks/endpoints/{}", base.id(1));
        api.get(&other).await.is(200);
        api.publish("a.b", "second").await.is(202);
        base.arrives_only_at(1, "second").await;
        api.hook("http://127.0.0.1:9/", &["c.d"]).await;
        api.get("/readyz").await.is(200);
        let log = base.end_with_nothing_at(0, program);
        assert!(!log.contains("whsec_"), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_answer_that_does_not_open_fails_alone() {
    let directory = scratch();
    let base = Base::new(directory.path()).await;
    let directory = scratch();
    let (program, api) = base.with_flipped(directory.path(), "answer", "key = 'rotation-0'");
    let (request, _) = &base.rotations[0];
    for _ in 0..2 {
        // Not made again: whoever asks has been told the secret that is current.
        assert_fails(&program, &api, request).await;
    }
    let current = &api.secrets(base.id(0)).await[0];
    let known = fingerprint(&base.secrets["0"][1]);
    assert_eq!(text(current, "fingerprint"), known);
    let (request, first) = &base.rotations[1];
    api.ask(request).await.repeats(first);
    let path = format!("/webhooks/endpoints/{}/secret/rotate", base.id(0));
    api.post(&path, "").await.is(200);
    block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_event_that_does_not_open_fails_alone() {
    let directory = scratch();
    let base = Base::new(directory.path()).await;
    let directory = scratch();
    let (program, api) = base.with_flipped(directory.path(), "event", "id = 'first'");
    api.advance(10).await;
    // Once for each delivery of it, and not again.
    until(async || program.err.errors_with("cannot read a delivery") == 2).await;
    api.publish("a.b", "second").await.is(202);
    let mut came = Vec::new();
    until(async || {
        came.extend(base.came());
        came.len() == 2
    })
    .await;
    assert!(came.iter().all(|(_, event)| event == "second"), "{came:?}");

    let again = json!({ "type": "a.b", "id": "first", "data": { "n": 0 } });
    assert_fails(&program, &api, &Request::post("/events", again)).await;
    let path = format!("/webhooks/endpoints/{}", base.id(0));
    // A list does not read the data of events.
    assert_eq!(api.all(&format!("{path}/deliveries")).await.len(), 2);
    let succeeded = format!("{path}/deliveries?status=succeeded");
    until(async || api.all(&succeeded).await.len() == 1).await;
    api.get(&path).await.is(200);
    api.advance(3600).await;
    api.get("/readyz").await.is(200);
    assert_eq!(program.err.errors_with("cannot read a delivery"), 2);
    block_in_place(|| program.stop());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_bits_turn_it_works_or_fails_clearly() {
    let seed = seed();
    let files = count("HOOKTURN_DAMAGED_FILES", 60);
    let directory = scratch();
    let base = Base::new(directory.path()).await;
    let sound = fs::read(&base.setup.path).expect("a file");
    let (mut found, mut refused, mut failed) = (0, 0, 0);
    // The rest is room that nothing uses.
    let used: Vec<usize> = (0..sound.len())
        .filter(|place| sound[*place] != 0)
        .collect();
    for case in 0..files {
        let mut dice = Dice::new(seed, case);
        let directory = scratch();
        let copy = base.setup.copy_to(directory.path());
        let mut bytes = sound.clone();
        // The first page is the one with the most that can go wrong.
        let first = used.iter().filter(|place| **place < 4096).count();
        let reach = if dice.once_in(8) { first } else { used.len() };
        for _ in 0..=dice.below(3) {
            let place = usize::try_from(dice.below(reach as u64)).expect("small");
            bytes[used[place]] ^= 1 << dice.below(8);
        }
        fs::write(&copy.path, &bytes).expect("room");
        let (code, said) = block_in_place(|| copy.check());
        assert!(matches!(code, Some(0..=2)), "{case}: {said}");
        let is_found = code != Some(0);
        found += u64::from(is_found);
        let program = copy.spawn();
        match block_in_place(|| program.listening()) {
            Err(Ended { code, err: log, .. }) => {
                let last = log.lines().last().unwrap_or_default();
                assert!(
                    code == Some(2) && last.starts_with("hookturn: "),
                    "{case}: {log}"
                );
                assert!(is_found, "{case}: {log}");
                refused += 1;
            }
            Ok(program) => {
                let fail = base.use_damaged(program, case).await;
                assert!(
                    fail == 0 || is_found,
                    "{case}: {fail} failed, and the check says: {said}"
                );
                failed += fail;
            }
        }
    }
    println!(
        "{files} files: {found} found by the check, {refused} refused, {failed} requests failed on the others"
    );
}

impl Base {
    /// Asks a server on a damaged file for everything. Returns how many requests failed.
    async fn use_damaged(&self, program: Program, case: u64) -> usize {
        let api = Api::of(&program);
        api.get("/healthz").await.is(200);
        let mut failed = 0;
        let mut check = |answered: &Answer| {
            if answered.status >= 500 {
                assert_mute_failure(answered);
                failed += 1;
            }
        };
        let mut secrets = self.secrets.clone();
        for (number, (request, first)) in self.rotations.iter().enumerate() {
            let again = api.ask(request).await;
            check(&again);
            if again.is_replayed() {
                again.repeats(first);
            } else if again.is_success() {
                // The key is lost with what was damaged: it ran again, and what it answers must be
                // what is current.
                let secret = again.member("secret");
                let path = format!("/webhooks/endpoints/{}/secrets", self.id(number));
                let listed = api.get(&path).await;
                check(&listed);
                if listed.status == 200 {
                    let current = &listed.json()["data"][0];
                    assert_eq!(text(current, "fingerprint"), fingerprint(&secret));
                }
                secrets
                    .get_mut(&number.to_string())
                    .expect("a hook")
                    .push(secret);
            }
        }
        for hook in &self.hooks {
            let path = format!("/webhooks/endpoints/{}", text(hook, "id"));
            for request in [
                Request::get(&path),
                Request::get(format!("{path}/secrets")),
                Request::get(format!("{path}/deliveries")),
                Request::post(format!("{path}/test"), ""),
            ] {
                check(&api.ask(&request).await);
            }
        }
        for request in [
            Request::get("/webhooks/endpoints?limit=100"),
            Request::post("/webhooks/endpoints", r#"{"url":"http://127.0.0.1:9/"}"#),
            Request::post("/dev/clock/advance", r#"{"seconds":400}"#),
            Request::post("/events", r#"{"type":"a.b","id":"second","data":{}}"#),
        ] {
            check(&api.ask(&request).await);
        }
        api.get("/healthz").await.is(200);
        let log = block_in_place(|| program.stop());
        assert!(!log.contains("whsec_"), "{case}: {log}");
        for received in self.receiver.take() {
            let (_, number) = received.path.rsplit_once('/').expect("a path");
            assert!(!signers(&received, &secrets[number]).is_empty());
        }
        failed
    }
}
