//! Rule 4: nothing of one tenant can be reached with another's id (I7).

use hookturn::service::{Error, Service};
use hookturn::store::{Change, CommitError};

use super::{Stage, must_not_run};
use crate::support::{Rotated, acme, caller, ids, key_use, other, says};

pub(super) async fn an_endpoint_cannot_be_read_with_anothers_tenant(stage: Stage) {
    let id = stage.create().await.id;
    assert_eq!(stage.endpoint_of(other(), id).await, None);
    let service: &Service = &stage.service;
    let read = service.endpoint(other(), id).await;
    assert!(matches!(read, Err(Error::EndpointNotFound)));
    let read = service.live_secrets(other(), id).await;
    assert!(matches!(read, Err(Error::EndpointNotFound)));
}

pub(super) async fn an_endpoint_cannot_be_changed_with_anothers_tenant(stage: Stage) {
    let endpoint = stage.create().await;
    let id = endpoint.id;
    for claim in [None, Some(key_use("key", "change"))] {
        let refused = stage.store.commit(other(), claim, must_not_run(id)).await;
        assert!(matches!(refused, Err(CommitError::NotFound)), "{refused:?}");
    }
    let service = &stage.service;
    let grace = std::time::Duration::ZERO;
    let rotated = service.rotate(caller(other(), None), id, grace, Rotated::render);
    assert!(matches!(rotated.await, Err(Error::EndpointNotFound)));
    let revoked = service.revoke_previous(caller(other(), None), id, |_| says("revoked"));
    assert!(matches!(revoked.await, Err(Error::EndpointNotFound)));
    let deleted = service.delete_endpoint(other(), id).await;
    assert!(matches!(deleted, Err(Error::EndpointNotFound)));
    assert_eq!(stage.endpoint(id).await, endpoint);

    // An id that nobody has is refused in the same words.
    let nobodys = hookturn::random::endpoint_id().expect("randomness");
    let refused = stage.store.commit(other(), None, must_not_run(nobodys));
    assert!(matches!(refused.await, Err(CommitError::NotFound)));
}

pub(super) async fn a_list_shows_and_takes_as_cursor_only_the_tenants_own(stage: Stage) {
    let mut of = (Vec::new(), Vec::new());
    for _ in 0..3 {
        of.0.insert(0, stage.create().await.id);
        let endpoint = stage.create_for(other(), None).await;
        of.1.insert(0, endpoint.expect("created").id);
    }
    for (tenant, own, others) in [(acme(), &of.0, &of.1), (other(), &of.1, &of.0)] {
        let page = stage.store.endpoints(tenant, None, 10).await;
        let page = page.expect("the store works").expect("no cursor");
        assert_eq!(&ids(&page.items), own);
        assert!(!page.has_more, "others' endpoints do not count");
        let page = stage.store.endpoints(tenant, Some(others[0]), 10).await;
        assert_eq!(page.expect("the store works"), None);
        let page = stage.store.endpoints(tenant, Some(own[0]), 10).await;
        let page = page.expect("the store works").expect("its own cursor");
        assert_eq!(ids(&page.items), own[1..]);
    }
    // One tenant's changes leave the other's list alone.
    let write = super::update(of.0[1], |_, _| Ok((Change::Delete, says("deleted"))));
    let deleted = stage.store.commit(acme(), None, write).await;
    deleted.expect("it exists");
    let page = stage.store.endpoints(other(), None, 10).await;
    let page = page.expect("the store works").expect("no cursor");
    assert_eq!(ids(&page.items), of.1);
}
