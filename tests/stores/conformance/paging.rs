//! Lists: newest first, a page at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hookturn::domain::{Endpoint, EndpointId};
use hookturn::store::Page;
use hookturn_test::patiently;

use super::{Stage, creation};
use crate::support::{acme, at_once, ids, settings};

async fn page(stage: &Stage, after: Option<EndpointId>, limit: usize) -> Option<Page<Endpoint>> {
    let page = stage.store.endpoints(acme(), after, limit).await;
    page.expect("the store works")
}

/// All endpoints, by pages of `limit`. Begins anew when the last of a page is deleted before the
/// next is asked for.
async fn all(stage: &Stage, limit: usize) -> Vec<EndpointId> {
    'anew: loop {
        let mut seen = Vec::new();
        let mut after = None;
        loop {
            let Some(page) = page(stage, after, limit).await else {
                continue 'anew;
            };
            assert!(page.items.len() <= limit);
            seen.extend(ids(&page.items));
            if !page.has_more {
                return seen;
            }
            after = Some(seen.last().copied().expect("more follow something"));
        }
    }
}

async fn created(stage: &Stage, count: usize) -> Vec<EndpointId> {
    let mut ids = Vec::new();
    for _ in 0..count {
        ids.push(stage.create().await.id);
    }
    ids.reverse();
    ids
}

pub(super) async fn a_list_is_newest_first_and_pages_through_all(stage: Stage) {
    assert_eq!(all(&stage, 5).await, []);
    let expected = created(&stage, 23).await;
    for limit in [1, 2, 7, 22, 23, 24, 100] {
        assert_eq!(all(&stage, limit).await, expected, "by {limit}");
    }
    // A list shows what a read shows.
    let page = page(&stage, None, 100).await.expect("no cursor");
    for endpoint in page.items {
        assert_eq!(stage.endpoint(endpoint.id).await, endpoint);
    }
}

pub(super) async fn a_page_tells_whether_more_follow(stage: Stage) {
    let ids = created(&stage, 3).await;
    let has_more = async |after: Option<usize>, limit| {
        let after = after.map(|place| ids[place]);
        let page = page(&stage, after, limit).await.expect("a known cursor");
        (page.items.len(), page.has_more)
    };
    assert_eq!(has_more(None, 2).await, (2, true));
    assert_eq!(has_more(None, 3).await, (3, false));
    assert_eq!(has_more(Some(0), 1).await, (1, true));
    assert_eq!(has_more(Some(0), 2).await, (2, false));
    assert_eq!(has_more(Some(2), 2).await, (0, false));
}

pub(super) async fn a_page_of_long_entries_is_shorter_than_its_limit(stage: Stage) {
    let mut expected = Vec::new();
    for _ in 0..30 {
        let mut long = settings(None);
        long.description = Some("a".repeat(60_000).into());
        let (id, write) = creation(long);
        let created = stage.store.commit(acme(), None, write).await;
        created.expect("nothing is in the way");
        expected.insert(0, id);
    }
    let first = page(&stage, None, 100).await.expect("no cursor");
    assert!(first.has_more && first.items.len() > 5);
    let bytes: usize = first
        .items
        .iter()
        .map(|one| one.settings.text_bytes())
        .sum();
    assert!(bytes <= 1 << 20, "{bytes}");
    assert_eq!(all(&stage, 100).await, expected);

    // One entry is on a page, however long it is.
    let mut enormous = settings(None);
    enormous.description = Some("a".repeat(2_000_000).into());
    let (id, write) = creation(enormous);
    let created = stage.store.commit(acme(), None, write).await;
    created.expect("nothing is in the way");
    let first = page(&stage, None, 100).await.expect("no cursor");
    assert_eq!((ids(&first.items), first.has_more), (vec![id], true));
}

pub(super) async fn an_unknown_or_deleted_cursor_is_told(stage: Stage) {
    let ids = created(&stage, 3).await;
    let unknown = hookturn::random::endpoint_id().expect("randomness");
    assert_eq!(page(&stage, Some(unknown), 10).await, None);
    stage.delete(ids[1]).await.expect("it exists");
    assert_eq!(page(&stage, Some(ids[1]), 10).await, None);
    assert_eq!(all(&stage, 1).await, [ids[0], ids[2]]);
}

pub(super) async fn times_of_creation_follow_the_order_of_a_list(stage: Stage) {
    at_once(64, |_| {
        let stage = stage.clone();
        async move {
            for _ in 0..8 {
                stage.advance(Duration::from_millis(1));
                stage.create().await;
            }
        }
    })
    .await;
    let page = page(&stage, None, 1000).await.expect("no cursor");
    assert_eq!(page.items.len(), 64 * 8);
    let times: Vec<_> = page.items.iter().map(|item| item.created_at).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older));
}

/// Creates and deletes endpoints beside `listing`, until that is done.
async fn amid_churn(stage: &Stage, listing: impl Future<Output = ()>) {
    let over = Arc::new(AtomicBool::new(false));
    let churn: Vec<_> = (0..3)
        .map(|_| {
            let (stage, over) = (stage.clone(), Arc::clone(&over));
            tokio::spawn(async move {
                while !over.load(Ordering::SeqCst) {
                    let id = stage.create().await.id;
                    tokio::task::yield_now().await;
                    stage.delete(id).await.expect("it exists");
                }
            })
        })
        .collect();
    listing.await;
    over.store(true, Ordering::SeqCst);
    for task in churn {
        patiently(task).await.expect("the task does not panic");
    }
}

pub(super) async fn what_stays_is_listed_once_while_others_come_and_go(stage: Stage) {
    let stays = created(&stage, 40).await;
    amid_churn(&stage, async {
        for _ in 0..100 {
            let mut seen = patiently(all(&stage, 3)).await;
            seen.retain(|id| stays.contains(id));
            assert_eq!(seen, stays);
        }
    })
    .await;
    assert_eq!(all(&stage, 3).await, stays);
}

pub(super) async fn a_page_before_others_is_full_while_the_newest_come_and_go(stage: Stage) {
    let stays = created(&stage, 3).await;
    amid_churn(&stage, async {
        for _ in 0..5000 {
            for limit in 1..=3 {
                let page = page(&stage, None, limit).await.expect("no cursor");
                // A page that is short, or even empty, would have no last entry to go on from.
                assert_eq!(page.items.len(), limit);
                assert!(page.has_more || page.items.last().map(|item| item.id) == Some(stays[2]));
            }
        }
    })
    .await;
}
