//! The examples in the `OpenAPI` documents, which mock servers answer with: one story, in which
//! everything agrees.

use hookturn_test::openapi::{DOCUMENTS, Document};
use serde_json::Value;

/// Every operation of a document: its path, with the examples of the parameters in it, and itself.
fn operations(document: &Document) -> Vec<(String, &Value)> {
    let members = |value: &'_ Value| value.as_object().cloned().unwrap_or_default();
    let mut operations = Vec::new();
    for path in members(&document.whole["paths"]).keys() {
        let item = document.whole["paths"][path].as_object().expect("an item");
        for operation in item.values() {
            let parameters = operation["parameters"].as_array().expect("parameters");
            let in_path = parameters.iter().filter(|one| one["in"] == "path");
            let filled = in_path.fold(path.clone(), |path, one| {
                let place = format!("{{{}}}", text(&one["name"]));
                path.replace(&place, text(&one["example"]))
            });
            operations.push((filled, operation));
        }
    }
    operations
}

fn text(value: &Value) -> &str {
    value
        .as_str()
        .unwrap_or_else(|| panic!("{value} is a text"))
}

/// The example of an operation's success, if it has a body.
fn success(operation: &Value) -> Option<&Value> {
    let responses = operation["responses"].as_object().expect("responses");
    let (_, response) = responses
        .iter()
        .find(|(status, _)| status.starts_with('2'))?;
    let (_, media) = response.get("content")?.as_object()?.iter().next()?;
    Some(media.get("example").expect("an example of each success"))
}

fn example<'a>(document: &'a Document, id: &str) -> &'a Value {
    let mut operations = operations(document).into_iter();
    let found = operations.find(|(_, operation)| operation["operationId"] == id);
    success(found.expect(id).1).expect("a body")
}

/// The examples of an operation's error answers: the status, and what is answered, in the order of
/// the document.
fn errors(operation: &Value) -> Vec<(&str, Vec<&Value>)> {
    let responses = operation["responses"].as_object().expect("responses");
    let errors = responses
        .iter()
        .filter(|(status, _)| !status.starts_with('2'));
    let examples = errors.map(|(status, response)| {
        let content = response["content"].as_object().expect("a body");
        let media = content.values().next().expect("a media type");
        let examples = media["examples"].as_object().expect("examples").values();
        (status.as_str(), examples.map(|one| &one["value"]).collect())
    });
    examples.collect()
}

/// Calls `visit` with every member of an object in `value`.
fn each_member<'a>(value: &'a Value, visit: &mut impl FnMut(&'a str, &'a Value)) {
    match value {
        Value::Object(members) => {
            for (name, member) in members {
                visit(name, member);
                each_member(member, visit);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| each_member(item, visit)),
        _ => {}
    }
}

fn fingerprint(secret: &Value) -> String {
    hookturn_test::fingerprint(text(secret))
}

#[test]
fn every_success_has_an_example_that_is_one() {
    for document in &*DOCUMENTS {
        for (path, operation) in operations(document) {
            let Some(example) = success(operation) else {
                continue;
            };
            let responses = operation["responses"].as_object().expect("responses");
            let (_, response) = responses.iter().next().expect("a response");
            let content = response["content"].as_object().expect("a body");
            let media = content.values().next().expect("a media type");
            let fault = document.validate_strictly(&media["schema"], example);
            assert_eq!(fault, Ok(()), "{path}: {example}");
        }
    }
}

#[test]
fn a_list_ends() {
    let mut count = 0;
    for document in &*DOCUMENTS {
        each_member(&document.whole, &mut |name, value| {
            if name == "has_more" && value.is_boolean() {
                count += 1;
                assert_eq!(value, false);
            } else if name == "has_more" {
                assert_eq!(value["example"], false);
            }
        });
    }
    assert!(count >= 4, "there are only {count} lists");
}

#[test]
fn what_is_shown_of_the_secrets_agrees() {
    let document = &DOCUMENTS[0];
    let example = |id| example(document, id);
    let [created, rotated] = ["createWebhookEndpoint", "rotateWebhookEndpointSecret"].map(example);
    assert_eq!(rotated, example("rotateWebhookEndpointSecretAlias"));
    let secrets = example("listWebhookEndpointSecrets")["data"].as_array();
    let [current, retiring] = &secrets.expect("a list")[..] else {
        panic!("one current secret and one that is replaced");
    };

    let told = |secret: &Value, status: &str, shown: &Value| {
        assert_eq!(
            (&secret["status"], &secret["fingerprint"]),
            (&status.into(), &fingerprint(shown).into())
        );
    };
    told(current, "current", &rotated["secret"]);
    told(retiring, "retiring", &created["secret"]);
    assert_eq!(current["expires_at"], Value::Null);
    assert_eq!(
        retiring["expires_at"],
        rotated["previous_secret_expires_at"]
    );
    assert_eq!(retiring["created_at"], created["created_at"]);
    // An hour, which is the default, from the rotation on.
    let hour = |time: &Value| {
        text(time)
            .parse::<chrono::DateTime<chrono::Utc>>()
            .expect("a time")
    };
    let grace = hour(&retiring["expires_at"]) - hour(&current["created_at"]);
    assert_eq!(grace, chrono::TimeDelta::hours(1));
    let left = &example("revokePreviousWebhookEndpointSecrets")["data"];
    assert_eq!(left, &Value::from(vec![current.clone()]));

    let delivery = example("getDelivery");
    assert_eq!(example("listDeliveries")["data"][0], *delivery);
    let signed_by = &delivery["attempts"][0]["signed_by"];
    let live = [&current["fingerprint"], &retiring["fingerprint"]].map(Clone::clone);
    assert_eq!(signed_by, &Value::from(live.to_vec()));
    assert_eq!(
        (&delivery["status"], &delivery["next_attempt_at"]),
        (&"succeeded".into(), &Value::Null)
    );
    let event = example("publishEvent");
    assert_eq!(
        (&delivery["event_id"], &delivery["event_type"]),
        (&event["id"], &event["type"])
    );
    let request = &document.whole["components"]["schemas"]["PublishEvent"]["properties"];
    for name in ["id", "type"] {
        assert_eq!(event[name], request[name]["example"]);
    }
}

#[test]
fn a_secret_is_shown_by_the_call_that_makes_it_and_no_other() {
    let makes_one = [
        "createWebhookEndpoint",
        "rotateWebhookEndpointSecret",
        "rotateWebhookEndpointSecretAlias",
        "create_webhook_subscription",
        "rotate_webhook_subscription_secret",
    ];
    let known = {
        let first = &example(&DOCUMENTS[0], makes_one[0])["secret"];
        let second = &example(&DOCUMENTS[0], makes_one[1])["secret"];
        assert_ne!(first, second);
        [fingerprint(first), fingerprint(second)]
    };
    for document in &*DOCUMENTS {
        for (_, operation) in operations(document) {
            let mut shown = 0;
            if let Some(example) = success(operation) {
                each_member(example, &mut |name, _| {
                    shown += usize::from(name == "secret");
                });
            }
            let id = text(&operation["operationId"]);
            assert_eq!(shown, usize::from(makes_one.contains(&id)), "{id}");
        }
        // Whatever is assembled of the properties' own examples names the same secrets.
        each_member(&document.whole, &mut |_, value| {
            if let Some(name) = value.as_str().filter(|text| text.starts_with("sha256:")) {
                assert!(known.iter().any(|known| known == name), "{name}");
            }
        });
    }
}

#[test]
fn ids_are_those_of_the_path() {
    for document in &*DOCUMENTS {
        for (path, operation) in operations(document) {
            if let Some(example) = success(operation) {
                for name in ["id", "webhook_endpoint_id"] {
                    let Some(id) = example.get(name) else {
                        continue;
                    };
                    let collection = text(&operation["operationId"]).starts_with("create");
                    let is_event = path == "/events";
                    let is_test = path.ends_with("/test") && name == "id";
                    let is_of_delivery = path.starts_with("/deliveries/") && name != "id";
                    assert!(
                        collection
                            || is_event
                            || is_test
                            || is_of_delivery
                            || path.contains(text(id)),
                        "{path} is answered with {name} {id}"
                    );
                }
            }
        }
    }
}

#[test]
fn the_commonest_error_is_the_first_example_of_its_status() {
    let expected_2026 = |status: &str, operation: &Value| match status {
        "400" if operation.get("requestBody").is_some() => "malformed_json",
        "400" => "invalid_host",
        "401" => "missing_token",
        "404" => match text(&operation["operationId"]) {
            "getDelivery" | "resendDelivery" => "delivery_not_found",
            "readProblemType" => "route_not_found",
            _ => "webhook_endpoint_not_found",
        },
        "408" => "body_timeout",
        "422" => match text(&operation["operationId"]) {
            "listWebhookEndpointSecrets" | "revokePreviousWebhookEndpointSecrets" => {
                "signing_disabled"
            }
            "sendTestEvent" | "resendDelivery" => "endpoint_disabled",
            _ => "validation_failed",
        },
        "429" => "rate_limit_exceeded",
        _ => "internal_error",
    };
    for (path, operation) in operations(&DOCUMENTS[0]) {
        for (status, examples) in errors(operation) {
            let first = examples[0];
            assert_eq!(
                first["code"],
                expected_2026(status, operation),
                "{path} {status}"
            );
            for example in examples {
                assert_eq!(example["instance"], path, "{status}");
            }
        }
    }
    for (path, operation) in operations(&DOCUMENTS[1]) {
        for (status, examples) in errors(operation) {
            let first = examples[0];
            match status {
                "400" => {
                    let (field, message) = match () {
                        () if operation.get("requestBody").is_some() => {
                            ("enable_signed_webhooks", "is required")
                        }
                        () if operation.to_string().contains("Idempotency-Key") => {
                            ("Idempotency-Key", "must be at most 255 characters")
                        }
                        () => ("Host", "is missing: send one"),
                    };
                    assert_eq!(first["details"]["fields"][field], message, "{path}");
                }
                "409" => {
                    let reason = &first["details"]["reason"];
                    let is_rotation = path.ends_with("/rotate/secret");
                    let expected = if is_rotation {
                        "signing_not_enabled"
                    } else {
                        "name_taken"
                    };
                    assert_eq!(reason, expected, "{path}");
                }
                _ => assert_eq!(examples.len(), 1, "{path} {status}"),
            }
            let with_path = examples.iter().filter(|_| status != "401");
            for example in with_path {
                assert_eq!(example["path"], path, "{status}");
            }
        }
    }
}

#[test]
fn an_answers_limits_are_those_of_the_request() {
    let [of_2026, of_verbex] = DOCUMENTS.each_ref().map(|document| {
        let schemas = &document.whole["components"]["schemas"];
        move |name: &str| &schemas[name]["properties"]
    });
    let limits = ["maxLength", "maxItems"];
    for (request, answer) in [
        (of_2026("CreateEndpoint"), of_2026("WebhookEndpoint")),
        (of_2026("PatchEndpoint"), of_2026("WebhookEndpoint")),
        (of_2026("PublishEvent"), of_2026("AcceptedEvent")),
        (of_verbex("SubscriptionInput"), of_verbex("Subscription")),
    ] {
        for (name, property) in answer.as_object().expect("properties") {
            for limit in limits {
                if let Some(told) = property.get(limit) {
                    assert_eq!(&request[name][limit], told, "{limit} of {name}");
                }
            }
        }
    }
    let id = &of_2026("PublishEvent")["id"]["pattern"];
    assert_eq!(&of_2026("AcceptedEvent")["id"]["pattern"], id);
    assert_eq!(&of_2026("Delivery")["event_id"]["pattern"], id);
}
