//! Keep, replace and delete.

use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::Clock as _;
use hookturn::domain::Action;
use hookturn::service::Error;
use hookturn::store::{Change, CommitError};
use hookturn_test::patiently;

use super::{Stage, must_not_run, update};
use crate::support::{Rotated, acme, at_once, ids, key_use, says};

async fn listed(stage: &Stage) -> Vec<hookturn::domain::EndpointId> {
    let page = stage.store.endpoints(acme(), None, 100).await;
    ids(&page.expect("the store works").expect("no cursor").items)
}

pub(super) async fn keep_leaves_the_endpoint_as_it_is(stage: Stage) {
    let endpoint = stage.create().await;
    stage.advance(Duration::from_secs(1));
    let seen = endpoint.clone();
    let keep = update(endpoint.id, move |before, _| {
        assert_eq!(*before, seen);
        Ok((Change::Keep, says("kept")))
    });
    let committed = stage.store.commit(acme(), None, keep).await;
    let committed = committed.expect("nothing refuses it");
    assert_eq!(
        (committed.answer, committed.replayed),
        (says("kept"), false)
    );
    assert_eq!(stage.endpoint(endpoint.id).await, endpoint);
}

pub(super) async fn replace_is_seen_by_the_next_read_and_keeps_its_place(stage: Stage) {
    let [one, two] = [stage.create().await, stage.create().await];
    stage.advance(Duration::from_secs(1));
    let mut wanted = one.clone();
    wanted.updated_at = stage.clock.now();
    wanted.key_ring = None;
    let settings = Arc::make_mut(&mut wanted.settings);
    settings.url = "http://example.com/other?a=b".into();
    settings.description = Some("a text\nof two lines, and ünïcode".into());
    settings.active = false;
    settings.events = Box::new([
        "a.b".parse().expect("a pattern"),
        "c.*".parse().expect("a pattern"),
    ]);
    settings.headers = Box::new([hookturn::domain::HeaderEntry {
        name: "X-Token".into(),
        value: zeroize::Zeroizing::new("s3cret, with = signs".into()),
    }]);
    settings.agent_ids = Box::new(["agent".into()]);
    settings.workspace_ids = Box::new(["workspace".into(), "another".into()]);
    let replacement = wanted.clone();
    let write = update(one.id, move |_, _| {
        Ok((Change::Replace(replacement.clone()), says("replaced")))
    });
    let committed = stage.store.commit(acme(), None, write).await;
    committed.expect("nothing refuses it");
    assert_eq!(stage.endpoint(one.id).await, wanted);
    assert_eq!(stage.endpoint(two.id).await, two);
    assert_eq!(listed(&stage).await, [two.id, one.id]);
}

pub(super) async fn a_deleted_endpoint_is_gone_everywhere(stage: Stage) {
    let id = stage.create().await.id;
    let stays = stage.create().await.id;
    stage.delete(id).await.expect("it exists");
    assert_eq!(stage.endpoint_of(acme(), id).await, None);
    let refused = stage.store.commit(acme(), None, must_not_run(id)).await;
    assert!(matches!(refused, Err(CommitError::NotFound)));
    let rotated = stage.rotate(id, 0, None).await;
    assert!(matches!(rotated, Err(Error::EndpointNotFound)));
    assert_eq!(listed(&stage).await, [stays]);
}

pub(super) async fn one_of_many_concurrent_deletions_succeeds(stage: Stage) {
    let id = stage.create().await.id;
    let outcomes = at_once(32, |_| {
        let stage = stage.clone();
        async move { stage.delete(id).await }
    });
    let outcomes = outcomes.await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for error in outcomes.into_iter().filter_map(Result::err) {
        assert!(matches!(error, Error::EndpointNotFound), "{error:?}");
    }
}

pub(super) async fn no_rotation_brings_a_deleted_endpoint_back(stage: Stage) {
    for _ in 0..30 {
        let id = stage.create().await.id;
        let outcomes = at_once(16, |number| {
            let stage = stage.clone();
            async move {
                if number == 8 {
                    stage.delete(id).await
                } else {
                    stage.rotate(id, 0, None).await.map(|_| ())
                }
            }
        });
        for outcome in patiently(outcomes).await {
            assert!(matches!(outcome, Ok(()) | Err(Error::EndpointNotFound)));
        }
        assert_eq!(stage.endpoint_of(acme(), id).await, None);
    }
    assert_eq!(listed(&stage).await, []);
}

pub(super) async fn a_decision_sees_the_time_of_its_commit(stage: Stage) {
    let id = stage.create().await.id;
    stage.advance(Duration::from_millis(1234));
    let expected = stage.clock.now();
    let write = update(id, move |_, now| {
        assert_eq!(now, expected);
        Ok((Change::Keep, says("in time")))
    });
    let committed = stage.store.commit(acme(), None, write).await;
    committed.expect("the time was right");
}

pub(super) async fn a_store_that_works_says_so(stage: Stage) {
    stage.store.ready().await.expect("it works");
}

pub(super) async fn a_commit_says_what_it_did_and_a_replay_that_it_did_nothing(stage: Stage) {
    let one = stage.create().await;
    let before = super::current(&one);
    let claim = key_use("key", "rotate");
    let rotated = stage.rotate(one.id, 60, Some(claim.clone())).await;
    let rotated = rotated.expect("there is room");
    let answer = Rotated::read(&rotated.answer);
    let Some(Action::SecretRotated {
        previous,
        current,
        previous_secret_expires_at,
    }) = &rotated.action
    else {
        panic!("a rotation: {:?}", rotated.action);
    };
    assert_eq!(previous.to_string(), before);
    assert_eq!(current.to_string(), answer.current);
    assert_eq!(
        previous_secret_expires_at.as_millis(),
        answer.previous_expires_at
    );

    let again = stage.rotate(one.id, 60, Some(claim)).await;
    let again = again.expect("it is answered again");
    assert_eq!((again.replayed, again.action), (true, None));

    let kept = update(one.id, |_, _| Ok((Change::Keep, says("kept"))));
    let kept = stage.store.commit(acme(), None, kept).await;
    let kept = kept.expect("it exists");
    assert_eq!((kept.replayed, kept.action), (false, None));
}
