//! Rule 1, order (I1, I2, I4).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hookturn::clock::Clock as _;
use hookturn::domain::EndpointId;
use hookturn::domain::key_ring::MAX_LIVE;
use hookturn::service::Error;
use hookturn::service::endpoints::SettingsPatch;

use super::{Stage, current, live};
use crate::support::{Rotated, acme, at_once, caller, chain, says};

/// Rotates at once, `count` times, and puts the rotations that succeeded in their order.
async fn rotations(
    stage: &Stage,
    id: EndpointId,
    count: usize,
    grace_seconds: u64,
) -> (Vec<Rotated>, Vec<Error>) {
    let first = current(&stage.endpoint(id).await);
    let outcomes = at_once(count, |_| {
        let stage = stage.clone();
        async move { stage.rotate(id, grace_seconds, None).await }
    });
    let (succeeded, failed): (Vec<_>, Vec<_>) = outcomes.await.into_iter().partition(Result::is_ok);
    let succeeded = succeeded.into_iter().flatten();
    let rotated = succeeded.map(|committed| Rotated::read(&committed.answer));
    let failed = failed.into_iter().filter_map(Result::err).collect();
    (chain(&first, rotated.collect()), failed)
}

pub(super) async fn concurrent_rotations_form_one_chain(stage: Stage) {
    let id = stage.create().await.id;
    let first = current(&stage.endpoint(id).await);
    let outcomes = at_once(64, |_| {
        let stage = stage.clone();
        async move {
            stage.advance(Duration::from_millis(1));
            stage.rotate(id, 0, None).await
        }
    });
    let rotated = outcomes.await.into_iter().map(|outcome| {
        let committed = outcome.expect("a grace of 0 is never refused");
        assert!(!committed.replayed);
        Rotated::read(&committed.answer)
    });
    let chain = chain(&first, rotated.collect());

    assert_eq!(chain.len(), 64);
    let mut secrets: Vec<&str> = chain.iter().map(|link| link.secret.as_str()).collect();
    secrets.sort_unstable();
    secrets.dedup();
    assert_eq!(secrets.len(), 64, "the secrets differ");
    assert!(
        chain.is_sorted_by_key(|link| link.previous_expires_at),
        "times follow the order of commits"
    );
    let last = stage.endpoint(id).await;
    assert_eq!(live(&last, stage.clock.now()), [chain[63].current.as_str()]);
}

pub(super) async fn exactly_as_many_concurrent_rotations_succeed_as_there_is_room_for(
    stage: Stage,
) {
    let id = stage.create().await.id;
    let first = current(&stage.endpoint(id).await);
    let (chain, refused) = rotations(&stage, id, 32, 3600).await;

    assert_eq!(chain.len(), MAX_LIVE - 1);
    let next = chain[0].previous_expires_at;
    for refusal in refused {
        assert!(
            matches!(&refusal, Error::TooManyLiveSecrets { next_expires_at }
                if next_expires_at.as_millis() == next),
            "{refusal:?}"
        );
    }
    let mut expected = vec![first];
    expected.extend(chain.into_iter().map(|link| link.current));
    expected.reverse();
    let now = stage.clock.now();
    assert_eq!(live(&stage.endpoint(id).await, now), expected);

    // One with a grace of 0 adds none, so it is never refused.
    let (chain, refused) = rotations(&stage, id, 16, 0).await;
    assert_eq!((chain.len(), refused.len()), (16, 0));
    let live = live(&stage.endpoint(id).await, now);
    assert_eq!(live[1..], expected[1..]);
}

pub(super) async fn a_reader_sees_one_current_secret_at_every_instant(stage: Stage) {
    let id = stage.create().await.id;
    let first = current(&stage.endpoint(id).await);
    let over = Arc::new(AtomicBool::new(false));
    let reader = tokio::spawn({
        let (stage, over) = (stage.clone(), Arc::clone(&over));
        async move {
            let mut seen: Vec<String> = Vec::new();
            while !over.load(Ordering::SeqCst) {
                let secrets = stage.service.live_secrets(acme(), id).await;
                let secrets = secrets.expect("it is signed");
                let without_expiry = secrets.iter().filter(|live| live.expires_at.is_none());
                assert_eq!(without_expiry.count(), 1);
                assert_eq!(secrets[0].expires_at, None, "the current one comes first");
                let current = secrets[0].fingerprint.to_string();
                if seen.last() != Some(&current) {
                    seen.push(current);
                }
                tokio::task::yield_now().await;
            }
            seen
        }
    });
    let (chain, _) = rotations(&stage, id, 64, 0).await;
    over.store(true, Ordering::SeqCst);
    let seen = reader.await.expect("every read was sound");

    let order: Vec<&str> = std::iter::once(first.as_str())
        .chain(chain.iter().map(|link| link.current.as_str()))
        .collect();
    let places = seen.iter().map(|seen| {
        let place = order.iter().position(|name| name == seen);
        place.expect("only secrets that were answered are seen")
    });
    assert!(places.is_sorted(), "no reader goes back in time");
}

pub(super) async fn a_later_rotation_never_shortens_an_earlier_expiry(stage: Stage) {
    let id = stage.create().await.id;
    let first = current(&stage.endpoint(id).await);
    stage.rotate(id, 3600, None).await.expect("there is room");
    for grace in [0, 1, 0, 60, 86_400] {
        stage.rotate(id, grace, None).await.expect("there is room");
    }
    let is_live = async || {
        let endpoint = stage.endpoint(id).await;
        live(&endpoint, stage.clock.now()).contains(&first)
    };
    stage.advance(Duration::from_millis(3_599_999));
    assert!(is_live().await, "it is live in its last millisecond");
    stage.rotate(id, 0, None).await.expect("there is room");
    assert!(is_live().await, "nor does a rotation in that millisecond");
    stage.advance(Duration::from_millis(1));
    assert!(!is_live().await, "and not at its expiry");
}

pub(super) async fn rotations_and_changes_of_settings_do_not_undo_each_other(stage: Stage) {
    let id = stage.create().await.id;
    let first = current(&stage.endpoint(id).await);
    let outcomes = at_once(48, |number| {
        let stage = stage.clone();
        async move {
            if number % 2 == 0 {
                let committed = stage.rotate(id, 0, None).await.expect("never refused");
                return Some(Rotated::read(&committed.answer));
            }
            let patch = if number == 1 {
                // One changes another setting than all the rest.
                SettingsPatch {
                    active: Some(false),
                    ..SettingsPatch::default()
                }
            } else {
                SettingsPatch {
                    description: Some(Some(number.to_string().into())),
                    ..SettingsPatch::default()
                }
            };
            let patched = stage
                .service
                .patch_endpoint(caller(acme(), None), id, patch, |_| says("patched"));
            patched.await.expect("nothing refuses it");
            None
        }
    });
    let rotated = outcomes.await.into_iter().flatten().collect();
    let chain = chain(&first, rotated);
    assert_eq!(chain.len(), 24);
    let endpoint = stage.endpoint(id).await;
    assert_eq!(current(&endpoint), chain[23].current);
    assert!(!endpoint.settings.active);
    assert!(endpoint.settings.description.is_some());
}
