//! A new first master key is brought to every record, through kills, and only then may the old one
//! go.

use std::collections::BTreeSet;
use std::time::Duration;

use hookturn::clock::real_sleep;
use hookturn::store::at_rest;
use hookturn_test::{
    Answer, Program, Receiver, Request, SUBSCRIPTIONS, fingerprint, scratch, signers, status, text,
    until,
};
use serde_json::json;
use tokio::task::block_in_place;

use crate::api::Api;
use crate::dice::{Dice, seed};
use crate::stage::{MASTER_KEY, Setup};

const SECOND_KEY: &str = "k2:hM8l9e8yC4n6dXG4vKqQWcVZ0mC0Z9o3Wl9x2fJrT5s=";
const THIRD_KEY: &str = "k3:0uXyJH2sY5m8Zq1bT7cVw4eR6pLk9NfGdSaHj3BxQoM=";

const TABLES: [&str; 4] = ["endpoint", "key_ring", "event", "answer"];

/// How many of the endpoints there are: enough that bringing a key to them takes several steps.
const MANY: usize = 400;

/// The ids of the keys under which the values of a file rest. No server may run on it.
fn keys_in(setup: &Setup) -> BTreeSet<String> {
    let db = setup.open();
    let mut found = BTreeSet::new();
    for table in TABLES {
        let mut statement = db
            .prepare(&format!("SELECT sealed FROM {table}"))
            .expect("a table");
        let values = statement.query_map([], |row| row.get::<_, Vec<u8>>(0));
        for value in values.expect("values") {
            let value = value.expect("a value");
            found.insert(at_rest::key_id(&value).expect("a key id").to_owned());
        }
    }
    found
}

fn is_under_way(setup: &Setup) -> bool {
    let stage: Option<i64> = setup
        .open()
        .query_row("SELECT rewrap_stage FROM state", [], |row| row.get(0))
        .expect("one row");
    stage.is_some()
}

/// A file with records of each kind, and everything that was answered.
struct Base {
    setup: Setup,
    receiver: Receiver,
    hook: String,
    secrets: Vec<String>,
    answered: Vec<(Request, Answer)>,
}

async fn base(setup: Setup) -> Base {
    let receiver = Receiver::that(status(500)).await;
    let program = block_in_place(|| setup.start());
    let api = Api::of(&program);
    let hook = api.hook(&receiver.url(), &["a.b"]).await;
    let mut requests = vec![
        Request::post(
            format!("/webhooks/endpoints/{}/secret/rotate", text(&hook, "id")),
            "",
        ),
        Request::post(
            "/events",
            json!({ "type": "a.b", "id": "event", "data": {} }),
        ),
    ];
    for number in 0..MANY {
        let body = json!({
            "name": format!("n{number}"), "url": "http://127.0.0.1:9/", "events": ["C.D"],
            "enable_signed_webhooks": true, "headers": { "X-Credential": format!("c{number}") },
        });
        requests.push(Request::post(SUBSCRIPTIONS, body));
    }
    let mut answered = Vec::new();
    for (number, request) in requests.into_iter().enumerate() {
        let request = request.with_key(format!("key-{number}"));
        let first = api.ask(&request).await;
        assert!(first.is_success(), "{first:?}");
        answered.push((request, first));
    }
    receiver.wait_for(1).await;
    block_in_place(|| program.stop());
    Base {
        setup,
        receiver,
        hook: text(&hook, "id").to_owned(),
        secrets: vec![
            text(&hook, "secret").to_owned(),
            answered[0].1.member("secret"),
        ],
        answered,
    }
}

/// Waits until no value is encrypted with an old key any more.
fn until_brought(program: Program) -> Program {
    block_in_place(|| {
        let said = |log: &str| log.contains("can be removed").then_some(());
        assert!(program.err.wait_for(said).is_some(), "{}", program.err);
        program
    })
}

impl Base {
    /// Starts with these keys and kills again and again until the log says that the old ones can be
    /// removed. Returns how often it was killed half-way. `half_way` is called each time.
    async fn bring(&self, keys: &str, dice: &mut Dice, half_way: impl Fn(&Setup)) -> usize {
        let setup = self.setup.with_keys(keys);
        let mut kills = 0;
        for kill in 0.. {
            let program = setup.spawn();
            if kill < 12 {
                real_sleep(Duration::from_millis(dice.below(120))).await;
                if !program.err.to_string().contains("can be removed") {
                    block_in_place(|| program.kill());
                    if is_under_way(&setup) && keys_in(&setup).len() > 1 {
                        kills += 1;
                        half_way(&setup);
                    }
                    continue;
                }
                block_in_place(|| program.kill());
                break;
            }
            let program = until_brought(program);
            block_in_place(|| program.stop());
            break;
        }
        assert!(!is_under_way(&setup));
        kills
    }

    /// Asserts that a server with these keys knows everything.
    async fn assert_whole(&self, keys: &str) {
        let setup = self.setup.with_keys(keys);
        let program = block_in_place(|| setup.start());
        let api = Api::of(&program);
        for (request, first) in &self.answered {
            api.ask(request).await.repeats(first);
        }
        assert_eq!(api.all("/webhooks/endpoints").await.len(), MANY + 1);
        assert_eq!(api.secrets(&self.hook).await.len(), 2);
        self.receiver.take();
        let resend = api
            .all(&format!("/webhooks/endpoints/{}/deliveries", self.hook))
            .await;
        let resend = format!("/deliveries/{}/resend", text(&resend[0], "id"));
        let before = self.receiver.count();
        api.post(&resend, "").await.is(202);
        self.receiver.wait_for(before + 1).await;
        for received in self.receiver.take() {
            assert_eq!(signers(&received, &self.secrets).len(), 2);
        }
        let log = block_in_place(|| program.stop());
        assert!(!log.contains(r#""level":"ERROR""#), "{log}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_new_first_key_reaches_everything_through_kills() {
    let mut dice = Dice::new(seed(), 0);
    let directory = scratch();
    let base = base(Setup::in_dir(directory.path())).await;
    assert_eq!(keys_in(&base.setup), BTreeSet::from(["k1".to_owned()]));
    let both = format!("{SECOND_KEY},{MASTER_KEY}");
    let half_way = |setup: &Setup| {
        // The old key is still needed, and so is the new one.
        let line = setup.with_keys(SECOND_KEY).refused();
        assert!(line.contains("`k1` is missing"), "{line}");
        let line = setup.with_keys(MASTER_KEY).refused();
        assert!(line.contains("`k2` is missing"), "{line}");
    };
    let kills = base.bring(&both, &mut dice, half_way).await;
    println!("killed {kills} times half-way");
    assert_eq!(keys_in(&base.setup), BTreeSet::from(["k2".to_owned()]));
    base.assert_whole(SECOND_KEY).await;
    let line = base.setup.with_keys(MASTER_KEY).refused();
    assert!(line.contains("`k2` is missing"), "{line}");

    // Back again, and elsewhere before it is done.
    let back = base.setup.with_keys(&format!("{MASTER_KEY},{SECOND_KEY}"));
    let program = block_in_place(|| back.start());
    block_in_place(|| program.kill());
    let third = format!("{THIRD_KEY},{MASTER_KEY},{SECOND_KEY}");
    base.bring(&third, &mut dice, |_| ()).await;
    assert_eq!(keys_in(&base.setup), BTreeSet::from(["k3".to_owned()]));
    base.assert_whole(THIRD_KEY).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_served_while_a_key_is_brought() {
    let directory = scratch();
    let base = base(Setup::in_dir(directory.path())).await;
    let both = base.setup.with_keys(&format!("{SECOND_KEY},{MASTER_KEY}"));
    let program = block_in_place(|| both.start());
    let api = Api::of(&program);
    let path = format!("/webhooks/endpoints/{}/secret/rotate", base.hook);
    let rotated = api.post(&path, r#"{"expire_current_in":0}"#).await.is(200);
    let (request, first) = &base.answered[5];
    api.ask(request).await.repeats(first);
    let program = until_brought(program);
    let current = &api.secrets(&base.hook).await[0];
    let secret = fingerprint(&rotated.member("secret"));
    assert_eq!(text(current, "fingerprint"), secret);
    until(async || api.get("/readyz").await.status == 200).await;
    block_in_place(|| program.kill());
    assert_eq!(keys_in(&base.setup), BTreeSet::from(["k2".to_owned()]));
}

/// A value that does not open keeps the old key from being dropped, and is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_old_key_stays_while_something_does_not_open() {
    let directory = scratch();
    let base = base(Setup::in_dir(directory.path())).await;
    let broken = base.setup.open().execute(
        "UPDATE key_ring SET sealed = zeroblob(length(sealed)) WHERE endpoint = 7",
        [],
    );
    assert_eq!(broken, Ok(1));
    let both = base.setup.with_keys(&format!("{SECOND_KEY},{MASTER_KEY}"));
    let program = block_in_place(|| both.start());
    let told = block_in_place(|| {
        let said = |log: &str| log.contains("cannot decrypt some values").then_some(());
        program.err.wait_for(said)
    });
    assert!(told.is_some(), "{}", program.err);
    let log = block_in_place(|| program.stop());
    assert!(!log.contains("can be removed"), "{log}");
    let line = base.setup.with_keys(SECOND_KEY).refused();
    assert!(line.contains("`k1` is missing"), "{line}");
}
