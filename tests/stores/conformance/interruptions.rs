//! Rules 3 and 6: all or nothing, also when a decision panics or whoever asked is gone.

use hookturn::domain::EndpointId;
use hookturn::idempotency::KeyUse;
use hookturn::store::{CommitError, Write};
use hookturn_test::patiently;

use super::{Stage, creation, live, update};
use crate::support::{Dropped, acme, at_once, key_use, settings};

/// Commits a decision that panics, and makes sure that this told in some way.
async fn commit_panic(stage: &Stage, claim: Option<KeyUse>, write: Write) {
    let stage = stage.clone();
    let task = tokio::spawn(async move { stage.store.commit(acme(), claim, write).await });
    // A store may have its own thread for commits, where the panic ends: then it is a failure.
    match patiently(task).await {
        Err(error) => assert!(error.is_panic()),
        Ok(outcome) => assert!(matches!(outcome, Err(CommitError::Store(_))), "{outcome:?}"),
    }
}

pub(super) async fn a_panicking_decision_leaves_no_trace(stage: Stage) {
    let endpoint = stage.create().await;
    let id = endpoint.id;
    for _ in 0..3 {
        for key in [Some(key_use("key", "rotate")), None] {
            let on_update = update(id, |_, _| panic!("a decision that panics"));
            commit_panic(&stage, key.clone(), on_update).await;
            let on_create = Write::Create(Box::new(|_| panic!("a decision that panics")));
            commit_panic(&stage, key, on_create).await;
        }
    }
    assert_eq!(stage.endpoint(id).await, endpoint);
    let record = stage.store.record(acme(), &key_use("key", "").key).await;
    assert!(record.expect("the store works").is_none());

    // Neither the key nor the endpoint nor the tenant's list is out of order now.
    let rotated = patiently(stage.rotate(id, 60, Some(key_use("key", "rotate")))).await;
    assert!(!rotated.expect("there is room").replayed);
    let named = patiently(stage.create_for(acme(), Some("name"))).await;
    named.expect("nothing is in the way");
    patiently(stage.delete(id)).await.expect("it exists");
}

async fn rotate_and_drop(stage: &Stage, id: EndpointId, polls: usize, key: &str) -> bool {
    let rotation = stage.rotate(id, 3600, Some(key_use(key, "rotate")));
    Dropped::after(polls, rotation).await.is_some()
}

pub(super) async fn a_commit_dropped_at_any_poll_happens_wholly_or_not_at_all(stage: Stage) {
    for polls in 0..50 {
        let id = stage.create().await.id;
        let key = format!("key-{polls}");
        let done = patiently(rotate_and_drop(&stage, id, polls, &key)).await;

        let retried = stage.rotate(id, 3600, Some(key_use(&key, "rotate")));
        let retried = patiently(retried).await.expect("there is room");
        assert!(retried.replayed || !done);
        let again = stage.rotate(id, 3600, Some(key_use(&key, "rotate"))).await;
        assert_eq!(again.expect("a replay").answer, retried.answer);
        assert_eq!(stage.rotations(id).await, 1, "after {polls} polls");

        let name = format!("name-{polls}");
        let create = async |key: &str| {
            let (_, write) = creation(settings(Some(&name)));
            let claim = key_use(key, "create");
            stage.store.commit(acme(), Some(claim), write).await
        };
        let key = format!("create-{polls}");
        patiently(Dropped::after(polls, create(&key))).await;
        // Were the name taken without its endpoint, this could not succeed.
        let created = patiently(create(&key)).await.expect("the name is free");
        let body = String::from_utf8(created.answer.body.to_vec()).expect("an id");
        let id = body.parse().expect("an id");
        stage.endpoint(id).await;

        if done && polls > 2 {
            return;
        }
    }
}

pub(super) async fn aborted_tasks_never_leave_a_key_stuck(stage: Stage) {
    for round in 0..20 {
        let id = stage.create().await.id;
        let key = format!("key-{round}");
        at_once(24, |number| {
            let (stage, key) = (stage.clone(), key.clone());
            async move {
                let commit = {
                    let key = key.clone();
                    let stage = stage.clone();
                    tokio::spawn(async move {
                        tokio::task::yield_now().await;
                        stage.rotate(id, 3600, Some(key_use(&key, "rotate"))).await
                    })
                };
                for _ in 0..number % 4 {
                    tokio::task::yield_now().await;
                }
                if number % 3 > 0 {
                    commit.abort();
                }
                if let Ok(outcome) = commit.await {
                    outcome.expect("who is not aborted is answered");
                }
            }
        })
        .await;
        let last = patiently(stage.rotate(id, 3600, Some(key_use(&key, "rotate")))).await;
        last.expect("there is room");
        let endpoint = stage.endpoint(id).await;
        let now = hookturn::clock::Clock::now(&*stage.clock);
        assert_eq!(live(&endpoint, now).len(), 2, "one rotation in all");
    }
}
