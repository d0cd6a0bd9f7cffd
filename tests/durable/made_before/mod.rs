//! A file that an earlier version made: this version opens it, and takes everything in it for what
//! it was.
//!
//! What one version writes and the same version reads may be wrong in both. Here the two versions
//! differ.

mod deliveries;
mod fixture;
mod rings;

use fixture::{Fixture, Tenants};
use hookturn_test::{millis, run, scratch, until};
use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::stage::Setup;

const NEW_KEY: &str = "k2:hM8l9e8yC4n6dXG4vKqQWcVZ0mC0Z9o3Wl9x2fJrT5s=";

const MINUTE: i64 = 60_000;
const DAY: i64 = 24 * 60 * MINUTE;

/// The number of the schema, and the making of everything in it. No server may run.
fn schema(setup: &Setup) -> (i64, Vec<String>) {
    let db = setup.open();
    let version = db.pragma_query_value(None, "user_version", |row| row.get(0));
    let mut parts = db
        .prepare("SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL ORDER BY name")
        .expect("a schema");
    let parts = parts.query_map([], |row| row.get(0)).expect("parts");
    (
        version.expect("a version"),
        parts.collect::<Result<_, _>>().expect("statements"),
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_is_sound_and_reads_as_it_was_written() {
    let directory = scratch();
    let untouched = Fixture::copy(directory.path());
    let before = schema(&untouched);
    assert_eq!(before.0, 1);

    let fixture = Fixture::load();
    let setup = fixture.copy_at_its_time(directory.path());
    for _ in 0..2 {
        let program = block_in_place(|| setup.start());
        let tenants = Tenants::of_program(&program);
        fixture.assert_answers_as_before(&tenants).await;
        fixture.assert_reads_as_before(&tenants).await;
        let log = block_in_place(|| program.stop());
        assert!(!log.contains(r#""level":"ERROR""#), "{log}");
    }
    // It was brought to the schema that a new file has.
    let directory = scratch();
    let new = Setup::in_dir(directory.path());
    block_in_place(|| new.start().stop());
    assert_eq!(schema(&setup), schema(&new));
    setup.assert_sound();
}

/// Ids of events, names of subscriptions, and who subscribes to what.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_taken_stays_taken_and_events_go_to_the_same_endpoints() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let program = block_in_place(|| setup.start());
    let tenants = Tenants::of_program(&program);
    for asked in &fixture.published {
        let api = tenants.of(&asked.tenant);
        asked.assert_answers_anew(&api.ask(&asked.without_key()).await);
        let mut other: Value = serde_json::from_str(&asked.body).expect("JSON");
        other["data"] = json!({ "other": 1 });
        let refused = api.post("/events", other).await.is(422);
        assert_eq!(refused.member("code"), "event_id_reused");
    }
    fixture.assert_reads_as_before(&tenants).await;
    let named = fixture.answer("create-full").without_key();
    tenants.acme.ask(&named).await.is(409);
    for subscribers in &fixture.subscribers {
        let event = json!({ "type": subscribers.r#type, "data": {} });
        let api = tenants.of(&subscribers.tenant);
        let answered = api.post("/events", event).await.is(202).json();
        assert_eq!(
            answered["deliveries"], subscribers.deliveries,
            "{}",
            subscribers.r#type
        );
    }
    block_in_place(|| program.stop());
    setup.assert_sound();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn it_can_be_brought_to_a_new_master_key() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let store = format!("sqlite:{}", setup.path.display());
    let keys = format!("{NEW_KEY},{}", setup.master_keys);
    let variables = [("HOOKTURN_STORE", &*store), ("HOOKTURN_MASTER_KEYS", &keys)];
    let rewrapped = run(&["keys", "rewrap"], &variables);
    assert_eq!(rewrapped.code, Some(0), "{rewrapped:?}");
    let said = rewrapped.out;
    assert!(said.contains("everything is encrypted with k2"), "{said}");
    assert!(said.contains("can be removed"), "{said}");

    let setup = setup.with_keys(NEW_KEY);
    setup.assert_sound();
    let program = block_in_place(|| setup.start());
    let tenants = Tenants::of_program(&program);
    fixture.assert_answers_as_before(&tenants).await;
    fixture.assert_reads_as_before(&tenants).await;
    block_in_place(|| program.stop());
}

/// An answer is given again for a day after it was first given, and an id of an event is known for
/// a week.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_it_remembers_is_forgotten_at_its_time() {
    let fixture = Fixture::load();
    let directory = scratch();
    let setup = fixture.copy_at_its_time(directory.path());
    let program = block_in_place(|| setup.start());
    let tenants = Tenants::of_program(&program);
    let api = &tenants.acme;

    let created = fixture.answer("create-one");
    let at = millis(&created.json()["created_at"]);
    tenants.advance_to(at + DAY - 2 * MINUTE).await;
    created.assert_answers_again(&api.ask(&created.request()).await);
    tenants.advance_to(at + DAY).await;
    let again = api.ask(&created.request()).await.is(201);
    assert!(!again.is_replayed());
    assert_ne!(again.json()["id"], created.json()["id"]);

    let published = fixture.published.first().expect("events with an id");
    let at = millis(&published.json()["created_at"]);
    tenants.advance_to(at + 7 * DAY - 2 * MINUTE).await;
    published.assert_answers_anew(&api.ask(&published.request()).await);
    tenants.advance_to(at + 7 * DAY).await;
    let again = api.ask(&published.request()).await.is(202);
    assert_ne!(again.json()["created_at"], published.json()["created_at"]);

    // One that ended by its last failure, days after it was made. The old one of `early` ended at
    // once, and is swept before; the new one is of the event that was just published.
    let of = |name| format!("/webhooks/endpoints/{}/deliveries", fixture.id(name));
    let delivery = api.all(&of("exhausted")).await.remove(0);
    let attempts = delivery["attempts"].as_array().expect("attempts");
    assert_eq!(attempts.len(), 10);
    let at = millis(&attempts[9]["at"]);
    tenants.advance_to(at + 7 * DAY - 2 * MINUTE).await;
    until(async || api.all(&of("early")).await.len() == 1).await;
    assert_eq!(api.all(&of("exhausted")).await.len(), 1);
    tenants.advance_to(at + 7 * DAY + MINUTE).await;
    until(async || api.all(&of("exhausted")).await.is_empty()).await;
    block_in_place(|| program.stop());
}
