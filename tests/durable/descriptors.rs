//! A program with few file descriptors: neither clients that say nothing nor receivers that do not
//! answer take those that others need.

use hookturn_test::{GLOBEX, Reaction, Receiver, id, list, scratch, until};
use tokio::net::TcpStream;
use tokio::task::block_in_place;

use crate::api::Api;
use crate::stage::Setup;

#[test]
fn a_start_with_far_too_few_descriptors_is_refused() {
    let directory = scratch();
    let mut setup = Setup::in_dir(directory.path());
    for few in ["20", "127"] {
        let script = format!(r#"ulimit -n {few}; exec "$@""#);
        setup.through = ["sh", "-c", &script, "sh"].map(ToOwned::to_owned).into();
        let line = setup.refused();
        assert!(line.contains(&format!("is {few}, and")), "{line}");
        assert!(line.contains("at least 128; raise the limit"), "{line}");
    }
    let script = r#"ulimit -n 128; exec "$@""#;
    setup.through = ["sh", "-c", script, "sh"].map(ToOwned::to_owned).into();
    setup.start().stop();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn few_descriptors_are_shared_out() {
    let directory = scratch();
    let mut setup = Setup::in_dir(directory.path());
    // The system allows no more, so the program cannot raise the limit.
    let script = r#"ulimit -n 300; exec "$@""#;
    setup.through = ["sh", "-c", script, "sh"].map(ToOwned::to_owned).into();
    let program = block_in_place(|| setup.start());
    program.err.line_with("too few file descriptors");

    let api = Api::of(&program);
    let (healthy, silent) = (
        Receiver::start().await,
        Receiver::that(Reaction::Hang).await,
    );
    let endpoint = api.hook(&healthy.url(), &["ping"]).await;
    let neighbour = api.clone().key(GLOBEX);
    for n in 0..100 {
        neighbour.hook(&silent.url_of(&n.to_string()), &[]).await;
    }
    let mut idle = Vec::new();
    for _ in 0..400 {
        idle.push(TcpStream::connect(&program.address).await.expect("a place"));
    }
    neighbour.publish("whatever", "e").await.is(202);
    silent.wait_for(1).await;
    for n in 1..=20 {
        // Over a connection of its own.
        let api = Api::of(&program);
        api.publish("ping", &n.to_string()).await.is(202);
        healthy.wait_for(n).await;
        api.get("/readyz").await.is(200);
    }
    // None of them failed for want of a descriptor.
    let path = format!("/webhooks/endpoints/{}/deliveries?limit=100", id(&endpoint));
    until(async || {
        let page = list(&api.get(&path).await);
        page.iter().all(|delivery| delivery["status"] != "pending")
    })
    .await;
    for delivery in list(&api.get(&path).await) {
        let attempts = delivery["attempts"].as_array().expect("attempts");
        assert_eq!(attempts.len(), 1, "{delivery}");
        assert_eq!(delivery["status"], "succeeded", "{delivery}");
    }
    drop(idle);
    block_in_place(|| program.stop());
}
