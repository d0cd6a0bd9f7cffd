//! What receivers get is what the `OpenAPI` documents say that they get.

use hookturn_test::{Received, Receiver};
use jsonschema::Draft;
use serde_json::{Value, json};

use crate::stage::Stage;

fn assert_valid(schema: &Value, value: &Value, what: &str) {
    let validator = jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(schema)
        .expect("the schema is one");
    let faults: Vec<String> = validator
        .iter_errors(value)
        .map(|fault| fault.to_string())
        .collect();
    assert!(faults.is_empty(), "{what}: {faults:?} in {value}");
}

/// Holds a delivery against the `webhooks` of the document called `name`.
fn assert_documented(received: &Received, name: &str, is_signed: bool) {
    let document = hookturn::api::documents::document(name).expect("there is such a document");
    let document: Value = serde_json::from_str(&document).expect("it is JSON");
    let operation = &document["webhooks"]["event"]["post"];
    let parameters = operation["parameters"].as_array().expect("it has headers");
    for parameter in parameters {
        let header = parameter["name"].as_str().expect("a name").to_lowercase();
        match received.headers.get(header.as_str()) {
            Some(value) => {
                let value = json!(value.to_str().expect("a text"));
                assert_valid(&parameter["schema"], &value, &header);
            }
            None => assert!(!is_signed && header.ends_with("signature"), "no {header}"),
        }
    }
    for header in received.headers.keys() {
        let is_documented = |parameter: &Value| {
            let name = parameter["name"].as_str().unwrap_or_default();
            name.eq_ignore_ascii_case(header.as_str())
        };
        let goes_without_saying = ["accept", "host", "content-type", "content-length"];
        assert!(
            goes_without_saying.contains(&header.as_str()) || parameters.iter().any(is_documented),
            "{header} is not documented"
        );
    }
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    assert_valid(schema, &received.json(), "the body");
}

#[tokio::test]
async fn deliveries_are_what_the_documents_say() {
    let stage = Stage::start().await;
    let receiver = Receiver::start().await;
    let endpoint = stage.hook(&receiver, &[]).await;
    stage.rotate(&endpoint, 60).await;
    stage.publish("call.started").await;
    stage.settle().await;
    assert_documented(&receiver.take_one(), "2026-03-01", true);
    stage.remove(&endpoint).await;

    for is_signed in [true, false] {
        let subscription = stage.verbex(&receiver, is_signed).await;
        stage.publish("Call.Started").await;
        stage.settle().await;
        assert_documented(&receiver.take_one(), "verbex-v1", is_signed);
        stage.remove(&subscription).await;
    }
}
