//! Clients that ask for everything at once, and write down what they asked and what they were
//! answered.

use std::sync::Arc;

use hookturn_test::{Answer, Request, SUBSCRIPTIONS, list, text};
use parking_lot::Mutex;
use serde_json::json;
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::api::Api;
use crate::dice::Dice;

/// The type of the events that the hooks want.
pub const EVENT_TYPE: &str = "Load.Event";

/// How much one client asks at most.
const MOST: u64 = 40;

/// The grace of every Verbex rotation, in seconds.
const VERBEX_GRACE: u64 = 72 * 3600;

/// What was asked for.
#[derive(Clone, Debug)]
pub enum What {
    /// A new secret for this hook.
    Rotation { hook: usize, grace_seconds: u64 },
    /// A new endpoint.
    Creation,
    /// An event with this id.
    Event(String),
    /// One more attempt of a delivery.
    Resend,
}

/// A request, and its answer if one came.
#[derive(Clone, Debug)]
pub struct Asked {
    pub request: Request,
    pub what: What,
    pub answered: Option<Answer>,
}

/// An endpoint as clients name it.
#[derive(Clone)]
pub struct Target {
    pub id: String,
}

/// What was asked so far. Clones share it.
#[derive(Clone)]
pub struct Journal {
    asked: Arc<Mutex<Vec<Asked>>>,
    answers: Arc<watch::Sender<u64>>,
}

impl Journal {
    fn new() -> Self {
        Self {
            asked: Arc::default(),
            answers: Arc::new(watch::Sender::new(0)),
        }
    }

    /// Waits until so many requests were answered.
    pub async fn answers(&self, count: u64) {
        let mut answers = self.answers.subscribe();
        let reached = answers.wait_for(|now| *now >= count).await;
        reached.expect("the journal lives");
    }

    /// Asks, and writes both down. `None` when the server is gone.
    async fn ask(&self, api: &Api, request: Request, what: What) -> Option<Answer> {
        let place = {
            let mut asked = self.asked.lock();
            asked.push(Asked {
                request: request.clone(),
                what,
                answered: None,
            });
            asked.len() - 1
        };
        let answered = api.try_ask(&request).await?;
        self.asked.lock()[place].answered = Some(answered.clone());
        self.answers.send_modify(|count| *count += 1);
        Some(answered)
    }

    /// All of it.
    pub fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.asked.lock())
    }
}

/// Clients at work.
pub struct Load {
    pub journal: Journal,
    clients: JoinSet<()>,
}

/// One client.
struct Client {
    api: Api,
    journal: Journal,
    dice: Dice,
    /// What its keys and ids begin with.
    name: String,
    targets: Vec<Target>,
}

impl Load {
    /// Starts them. `round` must differ from all others on the same file.
    pub fn start(api: &Api, targets: &[Target], dice: &mut Dice, round: u64) -> Self {
        let journal = Journal::new();
        let mut clients = JoinSet::new();
        let mut next = 0;
        let mut client = || {
            next += 1;
            Client {
                api: api.clone(),
                journal: journal.clone(),
                dice: Dice::new(dice.seed(), next),
                name: format!("r{round}-c{next}"),
                targets: targets.to_vec(),
            }
        };
        // Two on the same hook, each hook by both dialects.
        for (hook, is_verbex) in [(0, false), (0, true), (1, false), (2, false), (2, true)] {
            clients.spawn(client().rotate(hook, is_verbex));
        }
        clients.spawn(client().create(false));
        clients.spawn(client().create(true));
        clients.spawn(client().publish());
        clients.spawn(client().publish());
        clients.spawn(client().resend());
        Self { journal, clients }
    }

    /// Waits until all of them have noticed that the server is gone, or are done. Returns what they
    /// asked.
    pub async fn end(mut self) -> Vec<Asked> {
        while let Some(ended) = self.clients.join_next().await {
            ended.expect("a client does not panic");
        }
        self.journal.take()
    }
}

impl Client {
    fn key(&self, number: u64) -> String {
        format!("{}-{number}", self.name)
    }

    async fn rotate(mut self, hook: usize, is_verbex: bool) {
        let id = self.targets[hook].id.clone();
        for number in 0..MOST {
            let (request, grace_seconds) = if is_verbex {
                let path = format!("{SUBSCRIPTIONS}/{id}/rotate/secret");
                (Request::post(path, ""), VERBEX_GRACE)
            } else {
                let grace = if self.dice.once_in(2) { 3600 } else { 0 };
                let path = format!("/webhooks/endpoints/{id}/secret/rotate");
                let body = json!({ "expire_current_in": grace });
                (Request::post(path, body), grace)
            };
            let request = request.with_key(self.key(number));
            let what = What::Rotation {
                hook,
                grace_seconds,
            };
            let first = self.journal.ask(&self.api, request.clone(), what.clone());
            let answered = if self.dice.once_in(4) {
                // Twice at the same time: one of them waits for the other.
                let second = self.journal.ask(&self.api, request, what);
                let (first, second) = tokio::join!(first, second);
                first.and(second)
            } else {
                first.await
            };
            if answered.is_none() {
                return;
            }
        }
    }

    async fn create(self, is_verbex: bool) {
        for number in 0..MOST {
            let key = self.key(number);
            let request = if is_verbex {
                let body = json!({
                    "name": key, "url": "http://127.0.0.1:9/none", "events": ["Never.Event"],
                    "enable_signed_webhooks": true, "headers": { "X-Credential": key },
                });
                Request::post(SUBSCRIPTIONS, body)
            } else {
                let body = json!({
                    "url": "http://127.0.0.1:9/none", "events": ["never.*"], "description": key,
                });
                Request::post("/webhooks/endpoints", body)
            };
            let asked = self
                .journal
                .ask(&self.api, request.with_key(key), What::Creation);
            if asked.await.is_none() {
                return;
            }
        }
    }

    async fn publish(mut self) {
        for number in 0..MOST {
            let id = self.key(number);
            let body = json!({ "type": EVENT_TYPE, "id": id, "data": { "id": id } });
            let mut request = Request::post("/events", body);
            // Its id alone is enough to be done once.
            if self.dice.once_in(2) {
                request = request.with_key(&id);
            }
            let asked = self.journal.ask(&self.api, request, What::Event(id));
            if asked.await.is_none() {
                return;
            }
        }
    }

    async fn resend(mut self) {
        for number in 0..MOST {
            let hook = usize::try_from(self.dice.below(3)).expect("small");
            let path = format!("/webhooks/endpoints/{}/deliveries", self.targets[hook].id);
            let Some(recent) = self.api.try_ask(&Request::get(path)).await else {
                return;
            };
            let recent = list(&recent.is(200));
            if recent.is_empty() {
                tokio::task::yield_now().await;
                continue;
            }
            let delivery = self.dice.below(recent.len() as u64);
            let delivery = &recent[usize::try_from(delivery).expect("small")];
            let path = format!("/deliveries/{}/resend", text(delivery, "id"));
            let request = Request::post(path, "").with_key(self.key(number));
            let asked = self.journal.ask(&self.api, request, What::Resend);
            if asked.await.is_none() {
                return;
            }
        }
    }
}
