//! Rules 2 and 5: once, for 24 hours (I5).

use std::collections::HashSet;
use std::time::Duration;

use hookturn::domain::Refusal;
use hookturn::idempotency::{Answer, RETENTION};
use hookturn::service::Error;
use hookturn::store::{Change, CommitError, Committed};

use super::{Stage, creation, must_not_run, update};
use crate::support::{Rotated, acme, at_once, key_use, other, says, settings};

const MILLISECOND: Duration = Duration::from_millis(1);

fn replayed(answer: &Answer) -> Committed {
    Committed {
        answer: answer.clone(),
        replayed: true,
        action: None,
    }
}

pub(super) async fn fifty_rotations_with_one_key_are_one_rotation_with_one_answer(stage: Stage) {
    let id = stage.create().await.id;
    let outcomes = at_once(50, |_| {
        let stage = stage.clone();
        async move { stage.rotate(id, 3600, Some(key_use("key", "rotate"))).await }
    });
    let outcomes: Vec<Committed> = outcomes.await.into_iter().flatten().collect();
    assert_eq!(outcomes.len(), 50);
    let fresh = outcomes.iter().filter(|outcome| !outcome.replayed);
    assert_eq!(fresh.count(), 1);
    for outcome in &outcomes {
        assert_eq!(outcome.answer, outcomes[0].answer);
    }
    assert_eq!(stage.rotations(id).await, 1);
    let current = super::current(&stage.endpoint(id).await);
    assert_eq!(Rotated::read(&outcomes[0].answer).current, current);
}

pub(super) async fn fifty_creations_with_one_key_are_one_endpoint(stage: Stage) {
    let outcomes = at_once(50, |_| {
        let stage = stage.clone();
        async move {
            let (_, write) = creation(settings(Some("one")));
            let claim = key_use("key", "create");
            stage.store.commit(acme(), Some(claim), write).await
        }
    });
    let ids: HashSet<String> = outcomes
        .await
        .into_iter()
        .map(|outcome| {
            let body = outcome.expect("each one is answered").answer.body;
            String::from_utf8(body.to_vec()).expect("an id")
        })
        .collect();
    let page = stage.store.endpoints(acme(), None, 10).await;
    let page = page.expect("the store works").expect("no cursor");
    assert_eq!(page.items.len(), 1);
    assert_eq!(ids, HashSet::from([page.items[0].id.to_string()]));
}

pub(super) async fn a_key_that_was_used_for_another_request_is_refused_and_disturbs_nothing(
    stage: Stage,
) {
    let endpoint = stage.create().await;
    let first = stage
        .rotate(endpoint.id, 60, Some(key_use("key", "rotate")))
        .await
        .expect("there is room");
    let before = stage.endpoint(endpoint.id).await;

    let another = key_use("key", "another request");
    let refused = stage.rotate(endpoint.id, 60, Some(another.clone())).await;
    assert!(matches!(refused, Err(Error::IdempotencyKeyReused)));
    let (_, creation) = creation(settings(None));
    for write in [must_not_run(endpoint.id), creation] {
        let refused = stage.store.commit(acme(), Some(another.clone()), write);
        assert!(matches!(refused.await, Err(CommitError::KeyReused)));
    }

    assert_eq!(stage.endpoint(endpoint.id).await, before);
    let page = stage.store.endpoints(acme(), None, 10).await;
    let page = page.expect("the store works").expect("no cursor");
    assert_eq!(page.items.len(), 1);
    let again = stage.store.commit(
        acme(),
        Some(key_use("key", "rotate")),
        must_not_run(endpoint.id),
    );
    assert_eq!(again.await.expect("a replay"), replayed(&first.answer));
}

pub(super) async fn of_two_requests_that_race_for_one_key_one_wins_for_all(stage: Stage) {
    let id = stage.create().await.id;
    let outcomes = at_once(50, |number| {
        let stage = stage.clone();
        async move {
            let request = if number % 2 == 0 { "even" } else { "odd" };
            let claim = key_use("key", request);
            (request, stage.rotate(id, 3600, Some(claim)).await)
        }
    });
    let outcomes = outcomes.await;
    let won = outcomes.iter().find(|(_, outcome)| outcome.is_ok());
    let (winner, Ok(first)) = won.expect("one of them wins") else {
        unreachable!("it was found for being right");
    };
    for (request, outcome) in &outcomes {
        match outcome {
            Ok(committed) => assert_eq!((request, &committed.answer), (winner, &first.answer)),
            Err(error) => {
                assert!(matches!(error, Error::IdempotencyKeyReused), "{error:?}");
                assert_ne!(request, winner);
            }
        }
    }
    assert_eq!(stage.rotations(id).await, 1);
}

pub(super) async fn whatever_is_refused_leaves_no_record(stage: Stage) {
    let taken = stage.create_for(acme(), Some("taken")).await;
    taken.expect("the name is free");
    let id = stage.create().await.id;
    let unknown = hookturn::random::endpoint_id().expect("randomness");
    let (_, same_name) = creation(settings(Some("taken")));
    let refusal = update(id, |_, _| Err(Refusal::SigningDisabled));
    let rename = update(id, |endpoint, _| {
        let renamed = hookturn::domain::Endpoint {
            settings: std::sync::Arc::new(settings(Some("taken"))),
            ..endpoint.clone()
        };
        Ok((Change::Replace(renamed), says("renamed")))
    });
    let refused = [
        ("a refusal", refusal),
        ("an unknown id", must_not_run(unknown)),
        ("a creation with a taken name", same_name),
        ("a rename to a taken name", rename),
    ];
    for (number, (case, write)) in refused.into_iter().enumerate() {
        let before = stage.endpoint(id).await;
        let key = format!("key-{number}");
        let outcome = stage
            .store
            .commit(acme(), Some(key_use(&key, case)), write)
            .await;
        assert!(outcome.is_err(), "{case}: {outcome:?}");
        let record = stage.store.record(acme(), &key_use(&key, case).key).await;
        assert!(record.expect("the store works").is_none(), "{case}");
        assert_eq!(stage.endpoint(id).await, before, "{case}");
        // The key is free, also for another request.
        let next = stage.rotate(id, 60, Some(key_use(&key, "rotate"))).await;
        assert!(!next.expect("there is room").replayed, "{case}");
    }
}

pub(super) async fn a_record_counts_until_24_hours_after_its_commit_to_the_millisecond(
    stage: Stage,
) {
    let id = stage.create().await.id;
    let claim = key_use("key", "rotate");
    let record = async || {
        let record = stage.store.record(acme(), &claim.key).await;
        record.expect("the store works")
    };
    assert!(record().await.is_none());
    let first = stage.rotate(id, 0, Some(claim.clone())).await;
    let first = first.expect("never refused");

    stage.advance(RETENTION.checked_sub(MILLISECOND).expect("longer"));
    let kept = record().await.expect("it is remembered");
    assert_eq!(kept.answer, first.answer);
    assert_eq!(kept.fingerprint, claim.fingerprint);
    let again = stage.rotate(id, 0, Some(claim.clone())).await;
    assert_eq!(again.expect("a replay"), replayed(&first.answer));

    stage.advance(MILLISECOND);
    assert!(record().await.is_none(), "a replay does not prolong it");
    let anew = stage.rotate(id, 0, Some(claim.clone())).await;
    let anew = anew.expect("never refused");
    assert!(!anew.replayed);
    assert_ne!(anew.answer, first.answer);
}

pub(super) async fn a_key_that_expired_is_free_for_another_request_and_another_24_hours(
    stage: Stage,
) {
    let id = stage.create().await.id;
    let commit = async |request: &str| {
        let outcome = stage.rotate(id, 0, Some(key_use("key", request))).await;
        outcome.map(|committed| (committed.replayed, committed.answer))
    };
    commit("one").await.expect("never refused");
    stage.advance(RETENTION);
    let (replayed, second) = commit("two").await.expect("the key is free");
    assert!(!replayed);
    stage.advance(RETENTION.checked_sub(MILLISECOND).expect("longer"));
    assert_eq!(commit("two").await.expect("a replay"), (true, second));
    let refused = commit("one").await;
    assert!(matches!(refused, Err(Error::IdempotencyKeyReused)));
}

pub(super) async fn forgetting_old_records_spares_a_renewed_one(stage: Stage) {
    let id = stage.create().await.id;
    let rotate = async |key: &str| {
        let outcome = stage.rotate(id, 0, Some(key_use(key, "rotate"))).await;
        outcome.expect("never refused")
    };
    // A thousand, so that a store that sweeps a little with each commit, here and there, gets
    // around.
    for number in 0..1000 {
        rotate(&format!("old-{number}")).await;
    }
    stage.advance(RETENTION);
    let renewed = rotate("old-999").await;
    assert!(!renewed.replayed);
    for number in 0..1000 {
        rotate(&format!("new-{number}")).await;
    }
    assert_eq!(rotate("old-999").await, replayed(&renewed.answer));
    assert!(!rotate("old-0").await.replayed);
    assert!(rotate("new-0").await.replayed);
}

pub(super) async fn a_key_of_one_tenant_is_not_anothers(stage: Stage) {
    let of_acme = stage.create().await.id;
    let of_other = stage.create_for(other(), None).await.expect("created").id;
    let claim = key_use("key", "rotate");
    let first = stage.rotate(of_acme, 60, Some(claim.clone())).await;
    first.expect("there is room");

    let record = stage.store.record(other(), &claim.key).await;
    assert!(record.expect("the store works").is_none());
    // Not even a request that is the same to the byte.
    let keep = update(of_other, |_, _| Ok((Change::Keep, says("of the other"))));
    let of_other = stage.store.commit(other(), Some(claim), keep).await;
    let of_other = of_other.expect("the key is free for it");
    assert_eq!(
        (of_other.answer, of_other.replayed),
        (says("of the other"), false)
    );
}

pub(super) async fn an_answer_outlives_its_endpoint(stage: Stage) {
    let id = stage.create().await.id;
    let claim = key_use("key", "rotate");
    let first = stage.rotate(id, 60, Some(claim.clone())).await;
    let first = first.expect("there is room");
    stage.delete(id).await.expect("it exists");
    let again = stage.rotate(id, 60, Some(claim)).await;
    assert_eq!(again.expect("a replay"), replayed(&first.answer));
}

pub(super) async fn a_change_of_nothing_is_remembered_too(stage: Stage) {
    let id = stage.create().await.id;
    let kept = key_use("keep", "keep");
    let deleted = key_use("delete", "delete");
    let keep = update(id, |_, _| Ok((Change::Keep, says("kept"))));
    let delete = update(id, |_, _| Ok((Change::Delete, says("deleted"))));
    for (claim, write) in [(&kept, keep), (&deleted, delete)] {
        let outcome = stage.store.commit(acme(), Some(claim.clone()), write);
        assert!(!outcome.await.expect("nothing refuses it").replayed);
    }
    for (claim, text) in [(kept, "kept"), (deleted, "deleted")] {
        let again = stage.store.commit(acme(), Some(claim), must_not_run(id));
        assert_eq!(again.await.expect("a replay"), replayed(&says(text)));
    }
}
