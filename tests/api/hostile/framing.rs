//! Where one request ends and the next begins: two lengths, none, wrong ones, and many requests at
//! once.

use super::client::{head, post};
use super::server::Hookturn;

#[tokio::test]
async fn two_framings_of_one_body_are_one_request_and_the_last_one() {
    let server = Hookturn::start().await;
    let smuggled = post(&server.rotation, "");
    let length = "0\r\n\r\n".len() + smuggled.len();
    for lines in [
        format!("Content-Length: {length}\r\nTransfer-Encoding: chunked\r\n"),
        format!("Transfer-Encoding: chunked\r\nContent-Length: {length}\r\n"),
        format!(
            "Content-Length: {length}\r\nTransfer-Encoding: Chunked\r\nContent-Length: {length}\r\n"
        ),
        "Transfer-Encoding: chunked\r\nContent-Length: 10000000000\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\nContent-Length: nonsense\r\n".to_owned(),
    ] {
        let mut request = head(&server.rotation, &lines).into_bytes();
        request.extend(b"0\r\n\r\n");
        request.extend(&smuggled);
        let answers = server.send(&request).await.answers().await;
        assert!(answers.len() <= 1, "{lines}: {answers:?}");
        assert!(
            answers
                .iter()
                .all(|answer| [200, 400].contains(&answer.status)),
            "{answers:?}"
        );
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn a_length_that_is_none_ends_the_connection() {
    let server = Hookturn::start().await;
    let smuggled = post(&server.rotation, "");
    for lines in [
        "Content-Length: 0\r\nContent-Length: 5\r\n",
        "Content-Length: 5\r\nContent-Length: 0\r\n",
        "Content-Length: 0, 5\r\n",
        "Content-Length: -1\r\n",
        "Content-Length: +5\r\n",
        "Content-Length: 0x5\r\n",
        "Content-Length: 1e3\r\n",
        "Content-Length: 5 5\r\n",
        "Content-Length:\r\n",
        "Content-Length: 18446744073709551615\r\n",
        "Content-Length: 99999999999999999999\r\n",
        "Transfer-Encoding: gzip\r\n",
        "Transfer-Encoding: chunked, gzip\r\n",
        "Transfer-Encoding: xchunked\r\n",
        "Transfer-Encoding: \"chunked\"\r\n",
        "Transfer-Encoding:\r\n",
        "Transfer-Encoding: identity\r\n",
    ] {
        let mut request = head(&server.rotation, lines).into_bytes();
        request.extend(&smuggled);
        let answers = server.send(&request).await.answers().await;
        let refused = matches!(&answers[..], [] | [_])
            && answers
                .iter()
                // A length that fits no integer of hyper's counts as too large a head.
                .all(|answer| [400, 431].contains(&answer.status));
        assert!(refused, "{lines}: {answers:?}");
    }
    // HTTP/1.0 knows no chunks.
    let old =
        head(&server.rotation, "Transfer-Encoding: chunked\r\n").replace("HTTP/1.1", "HTTP/1.0");
    let answers = server.send(old + "0\r\n\r\n").await.answers().await;
    assert!(
        answers.iter().all(|answer| answer.status == 400),
        "{answers:?}"
    );
    server.still_rotates().await;
}

#[tokio::test]
async fn the_same_length_twice_is_one_length() {
    let server = Hookturn::start().await;
    let lines = "Content-Length: 23\r\nContent-Length: 23\r\n";
    let request = head(&server.rotation, lines) + r#"{"expire_current_in":0}"#;
    let mut client = server.send(request).await;
    let answer = client.answer().await.expect("an answer");
    assert!([200, 400].contains(&answer.status), "{answer:?}");
    server.still_rotates().await;
}

#[tokio::test]
async fn pipelined_requests_are_answered_each_in_its_turn() {
    let server = Hookturn::start().await;
    let body = r#"{"expire_current_in":0}"#;
    let mut requests = String::new();
    for number in 0..50 {
        let lines = format!(
            "X-Request-Id: {number}\r\nContent-Length: {}\r\n",
            body.len()
        );
        requests += &(head(&server.rotation, &lines) + body);
        // Between them, what is refused at once: without reading its body, which is not another
        // request.
        let keyless = format!(
            "POST {} HTTP/1.1\r\nHost: test\r\nX-Request-Id: {number}-keyless\r\nContent-Length: {}\r\n\r\n{body}",
            server.verbex_rotation,
            body.len()
        );
        requests += &keyless;
    }
    let mut client = server.send(requests).await;
    for number in 0..50 {
        let answer = client.answer().await.expect("an answer");
        assert_eq!(
            (answer.status, answer.header("x-request-id")),
            (200, Some(number.to_string().as_str()))
        );
        let answer = client.answer().await.expect("an answer");
        assert_eq!(
            answer.header("x-request-id"),
            Some(format!("{number}-keyless").as_str())
        );
        answer.is_unauthenticated(&server.verbex_rotation);
    }
    server.still_rotates().await;
}

#[tokio::test]
async fn nothing_is_served_behind_a_request_that_broke_the_framing() {
    let server = Hookturn::start().await;
    let mut requests = post(&server.rotation, r#"{"expire_current_in":0}"#);
    requests.extend(head(&server.rotation, "Content-Length: x\r\n").bytes());
    requests.extend(post(&server.rotation, ""));
    let answers = server.send(requests).await.answers().await;
    let statuses: Vec<u16> = answers.iter().map(|answer| answer.status).collect();
    assert!(matches!(&statuses[..], [200] | [200, 400]), "{answers:?}");
    server.still_rotates().await;
}

#[tokio::test]
async fn who_asks_before_sending_is_told_to_go_on_or_why_not() {
    let server = Hookturn::start().await;
    let body = r#"{"expire_current_in":0}"#;
    for path in server.rotations() {
        let lines = format!("Expect: 100-continue\r\nContent-Length: {}\r\n", body.len());
        let mut client = server.send(head(path, &lines)).await;
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(100));
        client.send(body).await;
        assert_eq!(client.answer().await.map(|answer| answer.status), Some(200));

        let mut keyless = server
            .send(format!("POST {path} HTTP/1.1\r\nHost: test\r\n{lines}\r\n"))
            .await;
        keyless
            .answer()
            .await
            .expect("an answer")
            .is_unauthenticated(path);

        let lines = "Expect: 100-continue\r\nContent-Length: 10000000000\r\n";
        let mut client = server.send(head(path, lines)).await;
        let answer = client.answer().await.expect("an answer");
        answer.is_refusal(path, 400, "body_too_large", "VALIDATION_ERROR");

        let lines = format!(
            "Expect: the-unexpected\r\nContent-Length: {}\r\n",
            body.len()
        );
        let mut client = server.send(head(path, &lines) + body).await;
        let answer = client.answer().await.expect("an answer");
        assert!([200, 417].contains(&answer.status), "{answer:?}");
    }
    server.still_rotates().await;
}
