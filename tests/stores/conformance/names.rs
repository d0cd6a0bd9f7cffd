//! Names given by a tenant are unique among its own.

use hookturn::service::Error;
use hookturn::store::{CommitError, Committed};

use super::Stage;
use crate::support::{acme, at_once, other};

fn is_taken<T: std::fmt::Debug>(outcome: &Result<T, CommitError>) -> bool {
    matches!(outcome, Err(CommitError::NameTaken))
}

pub(super) async fn a_name_is_unique_for_each_tenant_alone(stage: Stage) {
    let create = async |tenant, name| stage.create_for(tenant, name).await;
    create(acme(), Some("name")).await.expect("it is free");
    assert!(is_taken(&create(acme(), Some("name")).await));
    create(other(), Some("name")).await.expect("it is free");
    // Letters of another case, and no name at all, are no clash.
    create(acme(), Some("Name")).await.expect("it is free");
    for _ in 0..2 {
        create(acme(), None).await.expect("it has no name");
    }
    let page = stage.store.endpoints(acme(), None, 10).await;
    let page = page.expect("the store works").expect("no cursor");
    assert_eq!(page.items.len(), 4, "what was refused is not listed");
}

pub(super) async fn a_name_is_freed_by_a_rename_and_by_a_deletion(stage: Stage) {
    let create = async || stage.create_for(acme(), Some("name")).await;
    let first = create().await.expect("it is free");
    stage
        .rename(first.id, Some("new"))
        .await
        .expect("it is free");
    let second = create().await.expect("it was freed by the rename");
    assert!(is_taken(&stage.rename(second.id, Some("new")).await));
    stage.delete(second.id).await.expect("it exists");
    let third = create().await.expect("it was freed by the deletion");
    stage.delete(first.id).await.expect("it exists");
    let renamed = stage.rename(third.id, Some("new")).await;
    renamed.expect("the new name was freed too");
}

pub(super) async fn a_refused_rename_leaves_both_as_they_were(stage: Stage) {
    let one = stage.create_for(acme(), Some("one")).await.expect("free");
    let two = stage.create_for(acme(), Some("two")).await.expect("free");
    assert!(is_taken(&stage.rename(one.id, Some("two")).await));
    assert_eq!(stage.endpoint(one.id).await, one);
    assert_eq!(stage.endpoint(two.id).await, two);
    // Both names are still held, and by whom they were.
    for name in ["one", "two"] {
        assert!(is_taken(&stage.create_for(acme(), Some(name)).await));
    }
    stage.delete(one.id).await.expect("it exists");
    let renamed = stage.rename(two.id, Some("one")).await;
    renamed.expect("the deletion freed it");
}

pub(super) async fn an_endpoint_may_keep_its_name_or_give_it_up(stage: Stage) {
    let endpoint = stage.create_for(acme(), Some("name")).await.expect("free");
    let same = stage.rename(endpoint.id, Some("name")).await;
    same.expect("it is its own");
    assert!(is_taken(&stage.create_for(acme(), Some("name")).await));
    stage.rename(endpoint.id, None).await.expect("no clash");
    let next = stage.create_for(acme(), Some("name")).await;
    next.expect("it was given up");
    assert!(is_taken(&stage.rename(endpoint.id, Some("name")).await));
}

pub(super) async fn one_of_many_concurrent_creations_gets_a_name(stage: Stage) {
    let outcomes = at_once(32, |_| {
        let stage = stage.clone();
        async move { stage.create_for(acme(), Some("name")).await }
    });
    let (won, lost): (Vec<_>, Vec<_>) = outcomes.await.into_iter().partition(Result::is_ok);
    assert_eq!(won.len(), 1);
    assert!(lost.iter().all(is_taken));
    let page = stage.store.endpoints(acme(), None, 100).await;
    let page = page.expect("the store works").expect("no cursor");
    assert_eq!(page.items.len(), 1);
}

pub(super) async fn one_of_many_concurrent_renames_gets_a_name(stage: Stage) {
    let mut ids = Vec::new();
    for number in 0..16 {
        let name = format!("name-{number}");
        let endpoint = stage.create_for(acme(), Some(&name)).await;
        ids.push(endpoint.expect("it is free").id);
    }
    let outcomes = at_once(16, |number| {
        let (stage, id) = (stage.clone(), ids[number]);
        async move { stage.rename(id, Some("wanted")).await }
    });
    let outcomes: Vec<Result<Committed, CommitError>> = outcomes.await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1);
    for (number, outcome) in outcomes.iter().enumerate() {
        let name = stage.endpoint(ids[number]).await.settings.name.clone();
        let old = format!("name-{number}");
        let expected = if outcome.is_ok() { "wanted" } else { &old };
        assert_eq!(name.as_deref(), Some(expected));
        assert!(outcome.is_ok() || is_taken(outcome));
        // Who lost holds its old name still; the old name of who won is free.
        let taken = is_taken(&stage.create_for(acme(), Some(&old)).await);
        assert_eq!(taken, outcome.is_err());
    }
}

pub(super) async fn a_name_that_is_passed_on_is_never_held_twice(stage: Stage) {
    // Each one takes the name, gives it up, and tries again, while some are deleted with it.
    let held = at_once(16, |number| {
        let stage = stage.clone();
        async move {
            let mut held = 0;
            for _ in 0..20 {
                match stage.create_for(acme(), Some("baton")).await {
                    Err(CommitError::NameTaken) => tokio::task::yield_now().await,
                    Err(error) => panic!("{error}"),
                    Ok(endpoint) => {
                        held += 1;
                        // Nobody else can get it now.
                        let again = stage.create_for(acme(), Some("baton")).await;
                        assert!(is_taken(&again));
                        if number % 2 == 0 {
                            stage.delete(endpoint.id).await.expect("it exists");
                        } else {
                            let renamed = stage.rename(endpoint.id, None).await;
                            renamed.expect("giving up is no clash");
                        }
                    }
                }
            }
            held
        }
    });
    assert!(held.await.into_iter().sum::<i32>() > 0);
    let deleted = stage.create_for(acme(), Some("baton")).await;
    let deleted = deleted.expect("everybody gave it up").id;
    stage.delete(deleted).await.expect("it exists");
    let gone = stage.delete(deleted).await;
    assert!(matches!(gone, Err(Error::EndpointNotFound)));
}
