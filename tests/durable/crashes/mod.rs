//! `kill -9` at random moments under load, again and again on the same file.
//!
//! Each lane has a file that lives through all of its rounds. A round is: clients ask for
//! everything at once; at a random moment the program is killed; it is started again, and what it
//! says now is held against what it answered before. `HOOKTURN_CRASH_ROUNDS` sets the number of
//! rounds, `HOOKTURN_CRASH_SEED` makes the same choices again.

mod load;
mod ring;

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use hookturn::clock::{Clock as _, SystemClock, real_sleep};
use hookturn_test::{
    PATIENCE, Program, Received, Receiver, SUBSCRIPTIONS, list, millis, patiently, scratch,
    signers, status, text,
};
use serde_json::json;
use tokio::task::block_in_place;

use self::load::{Asked, EVENT_TYPE, Load, Target, What};
use self::ring::Ring;
use crate::api::Api;
use crate::dice::{Dice, count, seed};
use crate::stage::Setup;

/// How many files there are, each with a server.
const LANES: u64 = 4;

/// A start that takes longer than this is too slow, on however busy a machine.
const READY: Duration = Duration::from_secs(15);

/// What has happened in all.
#[derive(Debug, Default)]
struct Count {
    rounds: u64,
    answered: u64,
    refused: u64,
    unanswered: u64,
    /// Of those, how many had happened all the same.
    happened: u64,
    resent: u64,
    deliveries: u64,
    /// Deliveries of what had come before, those that were wanted among them.
    duplicates: u64,
    slowest_start: Duration,
}

/// An endpoint that is rotated and delivered to.
struct Hook {
    target: Target,
    ring: Ring,
}

/// An event that was answered.
struct Published {
    /// For each hook, when the one secret was made that was live before the round in which it was
    /// published.
    signed_since: Vec<i64>,
    /// For each hook, how often it came.
    came: Vec<u64>,
}

/// A file with all that is known of it.
struct Lane {
    setup: Setup,
    receiver: Receiver,
    dice: Dice,
    hooks: Vec<Hook>,
    events: HashMap<String, Published>,
    created: HashSet<String>,
    /// Everything that succeeded and can be asked again.
    settled: Vec<Asked>,
    count: Count,
}

impl Lane {
    async fn set_up(&mut self, api: &Api) {
        for number in 0..3 {
            let url = format!("{}/{number}", self.receiver.url());
            let created = if number == 2 {
                let body = json!({
                    "name": "hook", "url": url, "events": [EVENT_TYPE], "enable_signed_webhooks": true,
                });
                api.post(SUBSCRIPTIONS, body).await.is(201).json()
            } else {
                api.hook(&url, &[EVENT_TYPE]).await
            };
            let id = text(&created, "id").to_owned();
            self.created.insert(id.clone());
            self.hooks.push(Hook {
                target: Target { id },
                ring: Ring::new(&created),
            });
        }
    }

    /// Starts the program, which must be quick.
    fn start(&mut self) -> Program {
        block_in_place(|| {
            let began = Instant::now();
            let program = self.setup.start();
            self.count.slowest_start = self.count.slowest_start.max(began.elapsed());
            assert!(began.elapsed() < READY, "{:?}", began.elapsed());
            program
        })
    }

    /// Kills it while it starts, or while it stops, which is when SQLite writes its log back to the
    /// database.
    async fn start_and_kill(&mut self) {
        let program = if self.dice.once_in(2) {
            self.setup.spawn()
        } else {
            let program = self.start();
            program.signal("TERM");
            program
        };
        real_sleep(Duration::from_millis(self.dice.below(120))).await;
        block_in_place(|| program.kill());
    }

    /// One round, on a program that runs. Returns the one that runs after it.
    async fn round(&mut self, program: Program, round: u64) -> Program {
        let api = Api::of(&program);
        let targets: Vec<_> = self.hooks.iter().map(|hook| hook.target.clone()).collect();
        let since: Vec<_> = self.hooks.iter().map(|hook| hook.ring.since()).collect();
        for _ in 0..self.dice.below(3) {
            self.receiver.once(status(500));
        }
        let load = Load::start(&api, &targets, &mut self.dice, round);
        let answers = self.dice.below(60);
        let more = Duration::from_micros(self.dice.below(3000));
        tokio::time::timeout(PATIENCE, load.journal.answers(answers))
            .await
            .expect("the program answers");
        real_sleep(more).await;
        let log = block_in_place(|| program.kill());
        assert!(!log.contains(r#""level":"ERROR""#), "{log}");
        let asked = load.end().await;

        while self.dice.once_in(4) {
            self.start_and_kill().await;
        }
        let restarted_at = SystemClock.wall().as_millis();
        let program = self.start();
        let api = Api::of(&program);
        api.get("/readyz").await.is(200);
        for asked in asked {
            self.settle(&api, asked, restarted_at, &since).await;
        }
        self.check_rings(&api).await;
        self.check_deliveries();
        self.count.rounds += 1;
        program
    }

    /// Finds out what became of a request.
    async fn settle(&mut self, api: &Api, mut asked: Asked, restarted_at: i64, since: &[i64]) {
        let again = api.ask(&asked.request).await;
        let first = match &asked.answered {
            Some(first) if first.is_success() => {
                self.count.answered += 1;
                first.clone()
            }
            Some(refused) => {
                assert!([409, 422].contains(&refused.status), "{asked:?}");
                self.count.refused += 1;
                // It may have succeeded now.
                again.clone()
            }
            None => {
                self.count.unanswered += 1;
                again.clone()
            }
        };
        if !again.is_success() {
            assert!([409, 422].contains(&again.status), "{asked:?}: {again:?}");
            assert!(!first.is_success(), "{asked:?}: {again:?}");
            return;
        }
        let is_first_known = asked.answered.as_ref() == Some(&first);
        let again = if is_first_known {
            again
        } else {
            api.ask(&asked.request).await
        };
        if asked.request.has_key() {
            again.repeats(&first);
        } else {
            assert_eq!((again.status, &again.body), (first.status, &first.body));
        }
        let answer = first.json();
        let mut had_happened = first.is_replayed();
        match &asked.what {
            What::Rotation {
                hook,
                grace_seconds,
            } => {
                self.hooks[*hook].ring.learn(&first, *grace_seconds);
            }
            What::Creation => {
                let id = text(&answer, "id");
                let path = format!("/webhooks/endpoints/{id}");
                api.get(&path).await.is(200);
                self.created.insert(id.to_owned());
            }
            What::Event(id) => {
                assert_eq!(answer["deliveries"], 3, "{answer}");
                had_happened = millis(&answer["created_at"]) < restarted_at;
                let published = || Published {
                    signed_since: since.to_vec(),
                    came: vec![0; 3],
                };
                self.events.entry(id.clone()).or_insert_with(published);
            }
            What::Resend => self.count.resent += 1,
        }
        if asked.answered.is_none() && had_happened {
            self.count.happened += 1;
        }
        asked.answered = Some(first);
        self.settled.push(asked);
    }

    async fn check_rings(&mut self, api: &Api) {
        for hook in &mut self.hooks {
            let id = &hook.target.id;
            hook.ring.assert_is(&api.secrets(id).await);
            if self.dice.once_in(3) {
                // Rotations of the next round meet the most that may be live.
                continue;
            }
            let path = format!("/webhooks/endpoints/{id}/secret/revoke-previous");
            hook.ring.revoked(&list(&api.post(&path, "").await.is(200)));
        }
    }

    /// Looks at what came since the last time. Every secret must be known by now.
    fn check_deliveries(&mut self) {
        for received in self.receiver.take() {
            let (number, id) = whose(&received);
            let ring = &self.hooks[number].ring;
            // Newest first: it is found soon.
            let known: Vec<_> = ring.secrets.iter().rev().cloned().collect();
            let signers = signers(&received, &known);
            let published = self.events.get_mut(&id);
            let published = published.unwrap_or_else(|| panic!("nobody has published {id}"));
            // When it was published, the others were revoked.
            let not_before = published.signed_since[number];
            assert!(!signers.is_empty(), "{received:?}");
            for signer in signers {
                assert!(
                    ring.made_at(signer) >= not_before,
                    "signed by one that was revoked"
                );
            }
            published.came[number] += 1;
            self.count.deliveries += 1;
        }
    }

    /// What must hold in the end.
    async fn end(&mut self, program: Program) {
        let api = Api::of(&program);
        for asked in &self.settled {
            let first = asked.answered.as_ref().expect("it is settled");
            let again = api.ask(&asked.request).await;
            assert_eq!((again.status, &again.body), (first.status, &first.body));
            assert_eq!(again.is_replayed(), asked.request.has_key());
        }
        let endpoints = api.all("/webhooks/endpoints").await;
        let endpoints: HashSet<_> = endpoints
            .iter()
            .map(|endpoint| text(endpoint, "id").to_owned())
            .collect();
        assert_eq!(endpoints, self.created);

        self.receiver.always(status(204));
        for hook in &self.hooks {
            let deliveries = format!("/webhooks/endpoints/{}/deliveries", hook.target.id);
            let pending = format!("{deliveries}?status=pending");
            patiently(async {
                while !api.all(&pending).await.is_empty() {
                    // Those that failed are retried after minutes.
                    api.advance(60).await;
                    real_sleep(Duration::from_millis(5)).await;
                }
            })
            .await;
            let all = api.all(&deliveries).await;
            assert_eq!(all.len(), self.events.len());
            // One that had succeeded and was resent may have failed then: that is not tried again.
            for delivery in &all {
                let attempts = delivery["attempts"].as_array().expect("a list");
                let has_succeeded = attempts.iter().any(|one| one["status_code"] == 204);
                assert!(has_succeeded, "{delivery}");
            }
        }
        self.check_deliveries();
        for (id, published) in &self.events {
            for (hook, came) in published.came.iter().enumerate() {
                assert!(*came > 0, "{id} never came to hook {hook}");
                self.count.duplicates += came - 1;
            }
        }
        let log = block_in_place(|| program.stop());
        assert!(!log.contains(r#""level":"ERROR""#), "{log}");
        self.setup.assert_sound();
    }
}

/// The hook that a delivery came to, and the event that it carries.
fn whose(received: &Received) -> (usize, String) {
    let (_, number) = received.path.rsplit_once('/').expect("a path");
    let body = received.json();
    let id = text(&body["data"], "id").to_owned();
    (number.parse().expect("a number"), id)
}

async fn lane(seed: u64, number: u64, rounds: u64) -> Count {
    let directory = scratch();
    let mut lane = Lane {
        setup: Setup {
            log: "warn,hookturn::cli=info",
            ..Setup::in_dir(directory.path())
        },
        receiver: Receiver::start().await,
        dice: Dice::new(seed, number),
        hooks: Vec::new(),
        events: HashMap::new(),
        created: HashSet::new(),
        settled: Vec::new(),
        count: Count::default(),
    };
    let mut program = lane.start();
    lane.set_up(&Api::of(&program)).await;
    for round in 0..rounds {
        program = lane.round(program, round).await;
    }
    lane.end(program).await;
    lane.count
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_kill_loses_nothing_that_was_answered_and_leaves_nothing_half_done() {
    let rounds = count("HOOKTURN_CRASH_ROUNDS", 200);
    let seed = seed();
    let began = Instant::now();
    let lanes = (0..LANES).map(|number| {
        let rounds = (rounds + number) / LANES;
        tokio::spawn(lane(seed, number, rounds))
    });
    let mut sum = Count::default();
    for lane in lanes.collect::<Vec<_>>() {
        let count = lane.await.expect("a lane that holds");
        sum.rounds += count.rounds;
        sum.answered += count.answered;
        sum.refused += count.refused;
        sum.unanswered += count.unanswered;
        sum.happened += count.happened;
        sum.resent += count.resent;
        sum.deliveries += count.deliveries;
        sum.duplicates += count.duplicates;
        sum.slowest_start = sum.slowest_start.max(count.slowest_start);
    }
    println!("{sum:?} in {:?}", began.elapsed());
    assert_eq!(sum.rounds, rounds);
    assert!(sum.answered > 0 && sum.unanswered > 0 && sum.deliveries > 0);
}
