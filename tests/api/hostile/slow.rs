//! Clients that take their time, in numbers.

use std::time::{Duration, Instant};

use super::client::{head, post};
use super::server::Hookturn;

/// Far more than a rotation takes, far less than any client here would wait if it stood in line
/// behind the slow ones.
const PROMPT: Duration = Duration::from_secs(5);

const SLOW: usize = 300;

#[tokio::test]
async fn three_hundred_slow_clients_do_not_keep_another_waiting() {
    let server = Hookturn::start().await;
    let head = head(&server.rotation, "Content-Length: 2\r\n");
    let mut slow = Vec::new();
    for number in 0..SLOW {
        let begun = match number % 4 {
            // Nothing at all, half a head, a head without its body, half of HTTP/2's greeting.
            0 => "",
            1 => &head[..20],
            2 => head.as_str(),
            _ => "PRI * HTT",
        };
        slow.push(server.send(begun).await);
    }
    let body = r#"{"expire_current_in":0}"#;
    let mut client = server.connect().await;
    for round in 0..30 {
        // One more byte of each half head, now and then.
        for client in slow
            .iter_mut()
            .skip(1)
            .step_by(4)
            .skip(round % 3)
            .step_by(3)
        {
            client.send(&head[20 + round / 3..][..1]).await;
        }
        let asked = Instant::now();
        assert_eq!(client.post(&server.rotation, body).await.status, 200);
        assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    }
    let asked = Instant::now();
    server.still_rotates().await;
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    drop(slow);
    server.still_rotates().await;
}

#[tokio::test]
async fn clients_that_never_read_their_answers_do_not_keep_another_waiting() {
    let server = Hookturn::start().await;
    let request = post(&server.rotation, r#"{"expire_current_in":0}"#).repeat(20);
    let mut deaf = Vec::new();
    for _ in 0..50 {
        deaf.push(server.send(&request).await);
    }
    let asked = Instant::now();
    server.still_rotates().await;
    assert!(asked.elapsed() < PROMPT, "{:?}", asked.elapsed());
    // All of them were served, and can still be told.
    for mut client in deaf {
        for _ in 0..20 {
            assert_eq!(client.answer().await.map(|answer| answer.status), Some(200));
        }
    }
    server.still_rotates().await;
}
