//! Which events are accepted, and that their data arrives as it was sent.

use hookturn_test::Receiver;
use serde_json::json;

use crate::stage::Stage;

#[tokio::test]
async fn an_event_needs_a_type_and_data() {
    let stage = Stage::start().await;
    for (body, param, code) in [
        (json!({ "data": {} }), "type", "missing_field"),
        (json!({ "type": null, "data": {} }), "type", "invalid_type"),
        (json!({ "type": 1, "data": {} }), "type", "invalid_type"),
        (json!({ "type": "a" }), "data", "missing_field"),
        (json!({ "type": "a", "data": null }), "data", "invalid_type"),
        (json!({ "type": "a", "data": [] }), "data", "invalid_type"),
        (json!({ "type": "a", "data": "{}" }), "data", "invalid_type"),
        (json!({ "type": "a", "data": 1 }), "data", "invalid_type"),
        (
            json!({ "type": "a", "data": {}, "id": 1 }),
            "id",
            "invalid_type",
        ),
        (
            json!({ "type": "a", "data": {}, "x": 1 }),
            "x",
            "unknown_field",
        ),
    ] {
        let answer = stage.post("/events").json(&body).await;
        // What is of the wrong type is not there: both are told.
        let told = answer.field_errors();
        let wanted = (param.to_owned(), code.to_owned());
        assert!(told.contains(&wanted), "{body}: {answer}");
        assert!(told.iter().all(|(name, _)| name == param), "{answer}");
    }
    let twice = r#"{"type":"a","data":{},"data":{}}"#;
    let answer = stage.post("/events").json_text(twice).await;
    answer.one_field_error("data", "duplicate_field");
    let both = stage.post("/events").json(&json!({ "id": "" })).await;
    let expected = [
        ("data", "missing_field"),
        ("id", "invalid_format"),
        ("type", "missing_field"),
    ];
    let expected = expected.map(|(param, code)| (param.to_owned(), code.to_owned()));
    assert_eq!(both.field_errors(), expected);
    assert_eq!(stage.post("/events").await.status, 422);
}

#[tokio::test]
async fn a_type_is_made_of_dotted_words() {
    let stage = Stage::start().await;
    let longest = "a".repeat(128);
    for sound in ["a", "A_9", "_", "a.b.c", "9.9", &longest] {
        stage.publish(sound).await;
    }
    let too_long = "a".repeat(129);
    for unsound in [
        "", ".", "a.", ".a", "a..b", "a b", "a-b", "a.*", "*", "é", "a\n", "a/b", &too_long,
    ] {
        let event = json!({ "type": unsound, "data": {} });
        let answer = stage.post("/events").json(&event).await;
        answer.one_field_error("type", "invalid_format");
    }
}

#[tokio::test]
async fn an_id_has_1_to_64_letters_digits_underscores_and_dashes() {
    let stage = Stage::start().await;
    let longest = "x".repeat(64);
    for sound in ["a", "0", "-", "_", "A-z_9", &longest] {
        let event = json!({ "type": "a", "data": {}, "id": sound });
        assert_eq!(stage.publish_json(&event).await["id"], sound);
    }
    let too_long = "x".repeat(65);
    for unsound in ["", "a.b", "a b", "é", "a\0", "a\r\nb: c", "a/b", &too_long] {
        let event = json!({ "type": "a", "data": {}, "id": unsound });
        let answer = stage.post("/events").json(&event).await;
        answer.one_field_error("id", "invalid_format");
    }
}

/// An event of this many bytes.
fn event_of(length: usize) -> String {
    let frame = r#"{"type":"a","data":{"text":""}}"#;
    let text = "x".repeat(length - frame.len());
    format!(r#"{{"type":"a","data":{{"text":"{text}"}}}}"#)
}

#[tokio::test]
async fn an_event_has_at_most_256_kib_and_no_other_body_grows_with_it() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    stage.hook(&receiver, &[]).await;
    for length in [200 * 1024, 256 * 1024] {
        let answer = stage.post("/events").json_text(event_of(length)).await;
        answer.expect_json(202);
        assert_eq!(stage.settle().await, 1);
        assert!(receiver.take_one().body.len() > length);
    }
    for length in [256 * 1024 + 1, 300 * 1024] {
        let answer = stage.post("/events").json_text(event_of(length)).await;
        answer.problem(400, "invalid-request", "body_too_large");
    }
    let large = event_of(65 * 1024);
    let answer = stage.post("/webhooks/endpoints").json_text(large).await;
    answer.problem(400, "invalid-request", "body_too_large");
}

#[tokio::test]
async fn data_arrives_byte_for_byte_as_it_was_sent() {
    let stage = Stage::start().await;
    let standard = Receiver::start().await;
    stage.hook(&standard, &[]).await;
    let verbex = Receiver::start().await;
    stage.verbex(&verbex, true).await;
    for data in [
        r#"{"z":1,"a":2,"m":{"y":1,"b":2}}"#,
        r#"{"n":[12345678901234567890.12345678901234567890,1e400,-0,1.0,1.50,0.1E+2]}"#,
        r#"{"big":99999999999999999999999999999999}"#,
        r#"{"escapes":"\u00e9\/\u2028é\ud83d\ude00","\u0061":1}"#,
        "{ \"spaced\" :\t[ 1 ,\n2 ] }",
        r#"{"twice":1,"twice":2}"#,
        "{}",
    ] {
        let event = format!(r#"{{"data":{data},"type":"a"}}"#);
        let answer = stage.post("/events").json_text(event).await;
        answer.expect_json(202);
        assert_eq!(stage.settle().await, 2);
        for receiver in [&standard, &verbex] {
            let body = String::from_utf8(receiver.take_one().body).expect("UTF-8");
            let wanted = format!("\"data\":{data}");
            assert!(body.contains(&wanted), "{body}");
        }
    }
}

#[tokio::test]
async fn data_may_be_nested_as_deeply_as_it_fits() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    stage.hook(&receiver, &[]).await;
    let deep = format!("{}1{}", "[".repeat(5000), "]".repeat(5000));
    let event = format!(r#"{{"id":"deep","type":"a","data":{{"d":{deep}}}}}"#);
    for attempts in [1, 0] {
        let answer = stage.post("/events").json_text(event.clone()).await;
        answer.expect_json(202);
        assert_eq!(stage.settle().await, attempts);
    }
    let body = String::from_utf8(receiver.take_one().body).expect("UTF-8");
    assert!(body.contains(&deep));
}
