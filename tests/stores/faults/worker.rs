//! A worker whose store fails while an attempt is under way, or while it stops.

use std::sync::Arc;
use std::time::Duration;

use hookturn::clock::Clock;
use hookturn::delivery::worker::WorkerOptions;
use hookturn::domain::{Delivery, DeliveryStatus, EndpointId};
use hookturn::store::{StoreLimits, Write};
use hookturn_test::{Fault, until};
use serde_json::json;

use super::run;
use super::stage::{HURRIED, Stage};
use crate::conformance::Opened;
use crate::http::answer;
use crate::support::{acme, decided, says};

/// A stage on a sound store, with an attempt under way that ends when the receiver is told to let
/// go.
async fn under_way(
    open: &impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened,
    options: WorkerOptions,
) -> (Stage, EndpointId) {
    let stage = Stage::open(open, &[], options, |_| None).await;
    let body = json!({ "url": stage.receiver.url("held") }).to_string();
    let created = stage.server.post("/webhooks/endpoints").body(body);
    let id = answer(created).await.is(201).member("id");
    let event = stage.server.post("/events");
    let event = event.body(r#"{"type":"a","data":{}}"#);
    answer(event).await.is(202);
    until(async || stage.receiver.counts().contains_key("/held")).await;
    (stage, id.parse().expect("an id"))
}

/// Waits until the one delivery has succeeded, with one attempt.
async fn assert_recorded(stage: &Stage, endpoint: EndpointId) {
    let found = stage.wait_for(endpoint, |deliveries| {
        deliveries[0].status == DeliveryStatus::Succeeded
    });
    assert_eq!(found.await[0].attempts.len(), 1);
    assert_eq!(stage.receiver.counts()["/held"], 1);
}

pub fn claims_fail(open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened) {
    for fault in [Fault::ErrorBefore, Fault::PanicBefore] {
        run(async {
            let (stage, endpoint) = under_way(&open, HURRIED).await;
            stage.faulty.set(Some(fault));
            // Whatever wakes it, it claims.
            stage.store().work().notify_one();
            until(async || stage.faulty.faults() > 2).await;
            stage.faulty.set(None);
            stage.receiver.let_go.add_permits(1);
            assert_recorded(&stage, endpoint).await;
            stage.end().await;
        });
    }
}

pub fn a_resend_comes_between(open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened) {
    run(async {
        let (stage, endpoint) = under_way(&open, HURRIED).await;
        stage.faulty.set(Some(Fault::ErrorAfter));
        stage.receiver.let_go.add_permits(2);
        let written = stage.wait_for(endpoint, |deliveries| {
            deliveries[0].status == DeliveryStatus::Succeeded
        });
        let id = written.await[0].id;
        // It is written, but the worker was told that it is not, and tries again. That must not
        // settle the attempt that comes next.
        let resend = Box::new(|delivery: &Delivery, is_in_flight: bool, now| {
            let resent = delivery.resend(now, is_in_flight);
            Ok(decided(resent, says("resent")))
        });
        let write = Write::UpdateDelivery(id, resend);
        let resent = stage.store().commit(acme(), None, write).await;
        resent.expect("its endpoint is active");
        stage.faulty.set(None);
        let twice = stage.wait_for(endpoint, |deliveries| {
            deliveries[0].status == DeliveryStatus::Succeeded && deliveries[0].attempts.len() == 2
        });
        twice.await;
        stage.end().await;
    });
}

pub fn stops_amid_faults(open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened) {
    for fault in [
        Fault::ErrorBefore,
        Fault::ErrorAfter,
        Fault::PanicBefore,
        Fault::PanicAfter,
    ] {
        run(async {
            let (mut stage, endpoint) = under_way(&open, HURRIED).await;
            stage.stop_worker();
            stage.faulty.set(Some(fault));
            stage.receiver.let_go.add_permits(1);
            until(async || stage.faulty.faults() > 2).await;
            stage.faulty.set(None);
            assert_recorded(&stage, endpoint).await;
            stage.end().await;
        });
    }
}

pub fn stops_all_the_same(open: impl AsyncFn(Arc<dyn Clock>, StoreLimits) -> Opened) {
    let options = WorkerOptions {
        drain: Duration::from_millis(10),
        ..HURRIED
    };
    for fault in [Fault::ErrorBefore, Fault::PanicBefore, Fault::HangBefore] {
        run(async {
            let (stage, _) = under_way(&open, options).await;
            stage.faulty.set(Some(fault));
            // Both of its calls: the claim, and the settlement.
            stage.store().work().notify_one();
            until(async || stage.faulty.faults() > 0).await;
            stage.receiver.let_go.add_permits(1);
            until(async || stage.faulty.faults() > 1).await;
            stage.end().await;
        });
    }
}
