//! The file that an earlier version made, and what that version answered then.
//! `tests/fixtures/sqlite/README.md` says how it was made and what is in it.

use std::collections::HashMap;
use std::fs;
use std::path::Path;

use hookturn::clock::{Clock as _, SystemClock};
use hookturn_test::{ACME, Answer, GLOBEX, Program, Request, list, millis_of, text};
use reqwest::Method;
use serde::Deserialize;
use serde_json::Value;

use crate::api::Api;
use crate::stage::Setup;

const DIRECTORY: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/sqlite/schema-1"
);

/// A request that was answered, and the answer. With a key it is answered again from memory.
#[derive(Deserialize)]
pub struct Asked {
    pub tenant: String,
    method: String,
    path: String,
    #[serde(default)]
    pub key: Option<String>,
    pub body: String,
    status: u16,
    answered: String,
}

impl Asked {
    pub fn request(&self) -> Request {
        let request = self.without_key();
        match &self.key {
            Some(key) => request.with_key(key),
            None => request,
        }
    }

    /// The request without its `Idempotency-Key`.
    pub fn without_key(&self) -> Request {
        let method = Method::from_bytes(self.method.as_bytes()).expect("a method");
        Request::new(method, &self.path)
            .key(api_key(&self.tenant))
            .body(&*self.body)
    }

    /// The body of the answer.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.answered).expect("a JSON body")
    }

    /// Asserts that `answer` is the one that was given, to the byte, out of memory.
    pub fn assert_answers_again(&self, answer: &Answer) {
        assert!(answer.is_replayed(), "it ran again: {answer}");
        self.assert_same(answer);
    }

    /// Asserts that `answer` is the one that was given, to the byte, and that the request was
    /// handled to give it.
    pub fn assert_answers_anew(&self, answer: &Answer) {
        assert!(!answer.is_replayed(), "{answer}");
        self.assert_same(answer);
    }

    fn assert_same(&self, answer: &Answer) {
        assert_eq!(answer.status, self.status, "{answer}");
        assert_eq!(answer.body, self.answered.as_bytes(), "{answer}");
    }
}

/// What a `GET` was answered. `body` is null when it was refused.
#[derive(Deserialize)]
struct Read {
    tenant: String,
    path: String,
    status: u16,
    body: Value,
}

/// A page of a list.
#[derive(Deserialize)]
struct Listed {
    tenant: String,
    path: String,
    ids: Vec<String>,
    has_more: bool,
}

/// The live secrets of an endpoint, in signing order.
#[derive(Deserialize)]
pub struct Ring {
    pub tenant: String,
    pub endpoint: String,
    secrets: Vec<IssuedSecret>,
}

#[derive(Deserialize)]
struct IssuedSecret {
    secret: String,
    /// None for the current one.
    expires_at: Option<String>,
}

impl Ring {
    /// When its retiring secrets expire, in milliseconds.
    pub fn ends(&self) -> impl Iterator<Item = i64> {
        let ends = self
            .secrets
            .iter()
            .filter_map(|one| one.expires_at.as_deref());
        ends.map(millis_of)
    }

    /// The texts of the secrets that are live at `now`, in signing order.
    pub fn live(&self, now: i64) -> Vec<String> {
        let is_live = |one: &&IssuedSecret| match &one.expires_at {
            None => true,
            Some(at) => now < millis_of(at),
        };
        let live = self.secrets.iter().filter(is_live);
        live.map(|one| one.secret.clone()).collect()
    }
}

/// What the receiver of a delivery got.
#[derive(Deserialize)]
pub struct Message {
    pub tenant: String,
    pub endpoint: String,
    pub delivery: String,
    pub body: String,
}

/// To how many endpoints an event goes.
#[derive(Deserialize)]
pub struct Subscribers {
    pub tenant: String,
    pub r#type: String,
    pub deliveries: usize,
}

/// `expected.json`.
#[derive(Deserialize)]
pub struct Fixture {
    /// What the test clock said when the file was closed.
    saved_at: String,
    /// The ids of the endpoints that a test asks about by name.
    endpoints: HashMap<String, String>,
    /// When the schedule goes on of the delivery of `cut_scheduled`, which was to be resent before
    /// that.
    pub scheduled_at: String,
    pub answers: Vec<Asked>,
    pub published: Vec<Asked>,
    reads: Vec<Read>,
    lists: Vec<Listed>,
    pub rings: Vec<Ring>,
    pub messages: Vec<Message>,
    pub subscribers: Vec<Subscribers>,
}

impl Fixture {
    pub fn load() -> Self {
        let text = fs::read_to_string(Path::new(DIRECTORY).join("expected.json"));
        serde_json::from_str(&text.expect("a file")).expect("what is expected")
    }

    /// A copy of the file in `directory`, to the byte.
    pub fn copy(directory: &Path) -> Setup {
        let key = fs::read_to_string(Path::new(DIRECTORY).join("master-key")).expect("a file");
        let setup = Setup::in_dir(directory).with_keys(key.trim());
        fs::copy(Path::new(DIRECTORY).join("store.db"), &setup.path).expect("a copy");
        setup
    }

    /// A copy whose test clock will say what it said when the file was closed, whatever the date
    /// is: all that is in the file has as much of its time left as it had then.
    pub fn copy_at_its_time(&self, directory: &Path) -> Setup {
        let setup = Self::copy(directory);
        let ahead = millis_of(&self.saved_at) - SystemClock.now().as_millis();
        assert!(ahead > 0, "the test clock cannot be behind real time");
        let set = setup
            .open()
            .execute("UPDATE state SET clock_advance_ms = ?1", [ahead]);
        assert_eq!(set, Ok(1));
        setup
    }

    /// The id of the endpoint that has this name in the fixture.
    pub fn id(&self, name: &str) -> &str {
        &self.endpoints[name]
    }

    /// The answer that was given under this key to tenant `acme`.
    pub fn answer(&self, key: &str) -> &Asked {
        let mut answers = self.answers.iter();
        let found = answers.find(|one| one.tenant == "acme" && one.key.as_deref() == Some(key));
        found.unwrap_or_else(|| panic!("nothing was answered under {key}"))
    }

    /// Asserts that every record reads as it did, and that every list has the same pages.
    pub async fn assert_reads_as_before(&self, tenants: &Tenants) {
        for read in &self.reads {
            let answered = tenants.of(&read.tenant).get(&read.path).await;
            assert_eq!(answered.status, read.status, "{}", read.path);
            if read.status == 200 {
                let mut body = answered.json();
                // That version kept no reasons.
                if let Some(reason) = body
                    .as_object_mut()
                    .and_then(|it| it.remove("failure_reason"))
                {
                    assert_eq!(reason, Value::Null, "{}", read.path);
                }
                assert_eq!(body, read.body, "{}", read.path);
            }
        }
        for listed in &self.lists {
            let page = tenants.of(&listed.tenant).get(&listed.path).await.is(200);
            let items = list(&page);
            let ids: Vec<_> = items.iter().map(|item| text(item, "id")).collect();
            assert_eq!(ids, listed.ids, "{}", listed.path);
            assert_eq!(page.json()["has_more"], listed.has_more, "{}", listed.path);
        }
    }

    /// Asserts that every request with a key is answered as it was, to the byte.
    pub async fn assert_answers_as_before(&self, tenants: &Tenants) {
        for asked in &self.answers {
            let again = tenants.of(&asked.tenant).ask(&asked.request()).await;
            asked.assert_answers_again(&again);
        }
    }
}

fn api_key(tenant: &str) -> &'static str {
    match tenant {
        "acme" => ACME,
        "globex" => GLOBEX,
        _ => panic!("no tenant {tenant}"),
    }
}

/// A client for each tenant.
pub struct Tenants {
    pub acme: Api,
    globex: Api,
}

impl Tenants {
    pub fn of_program(program: &Program) -> Self {
        Self {
            acme: Api::of(program),
            globex: Api::of(program).key(GLOBEX),
        }
    }

    pub fn of(&self, tenant: &str) -> &Api {
        match tenant {
            "acme" => &self.acme,
            "globex" => &self.globex,
            _ => panic!("no tenant {tenant}"),
        }
    }

    /// What the test clock says, in milliseconds.
    pub async fn now(&self) -> i64 {
        millis_of(&self.acme.get("/dev/clock").await.is(200).member("now"))
    }

    /// Moves the test clock so that it says `at` or up to a second later. It must not say more yet.
    pub async fn advance_to(&self, at: i64) {
        let left = u64::try_from(at - self.now().await).expect("a time to come");
        self.acme.advance(left.div_ceil(1000)).await;
    }
}
