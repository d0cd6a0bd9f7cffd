//! Completes one operation with what all operations share.

use serde_json::{Value, json};

use super::answers::{Answers, Wording};
use super::headers::header_references;
use super::kind::Kind;
use super::parameters::{example_path, header_parameters, path_parameters};
use super::responses::error_responses;
use crate::api::failure::Failure;
use crate::api::host::InvalidHost;
use crate::api::json::Object;
use crate::idempotency::InvalidKey;
use crate::service::Error;

/// Adds the parameters, the errors and the headers of the answers to an operation.
pub(super) fn complete(
    path: &str,
    method: &str,
    operation: &mut Value,
    schemas: &Value,
    answers: Answers,
    wording: &Wording,
) {
    let kind = Kind::of(path, method, operation);
    add_parameters(path, &kind, operation);
    if kind.is_protected {
        operation["security"] = json!([{ wording.security: [] }]);
    }
    if kind.has_body {
        let body = &mut operation["requestBody"];
        // A POST without required fields needs no body.
        body["required"] = json!(method != "post" || needs_fields(body, schemas));
    }
    let responses = &mut operation["responses"];
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        response["headers"] = header_references(&kind, status, kind.takes_keys);
        if let Some(example) = &answers.example {
            add_example(response, example);
        }
    }
    let path = example_path(path);
    let failures = failures(&kind, answers);
    for (status, response) in error_responses(&kind, &path, &failures, wording) {
        responses[status] = response;
    }
}

fn add_parameters(path: &str, kind: &Kind, operation: &mut Value) {
    let mut parameters = match operation["parameters"].take() {
        Value::Array(parameters) => parameters,
        _ => Vec::new(),
    };
    parameters.extend(path_parameters(path));
    parameters.extend(header_parameters(kind.takes_keys));
    operation["parameters"] = parameters.into();
}

/// Returns whether a request body has required fields.
fn needs_fields(body: &Value, schemas: &Value) -> bool {
    let schema = &body["content"]["application/json"]["schema"]["$ref"];
    let name = schema.as_str().and_then(|name| name.rsplit('/').next());
    name.is_some_and(|name| schemas[name].get("required").is_some())
}

/// Adds an example to a response, if it has a body.
fn add_example(response: &mut Value, example: &Value) {
    let content = response.get_mut("content").and_then(Value::as_object_mut);
    for (_, media) in content.into_iter().flatten() {
        media["example"] = example.clone();
    }
}

/// Returns all failures of an operation, the most common first.
fn failures(kind: &Kind, answers: Answers) -> Vec<Failure> {
    let Answers {
        mut failures,
        max_body,
        ..
    } = answers;
    if kind.names_endpoint {
        failures.push(Error::EndpointNotFound.into());
    }
    if kind.has_body {
        failures.push(Failure::MalformedJson(
            "not valid JSON at line 1, column 8".to_owned(),
        ));
        failures.push(Failure::NotAnObject);
        failures.push(Failure::UnsupportedContentType);
        failures.extend(unknown_field());
    }
    if kind.is_protected {
        failures.push(Failure::MissingToken);
        failures.push(Failure::InvalidToken);
        failures.push(Failure::RateLimited {
            retry_after_seconds: 1,
        });
        failures.push(Failure::Panicked);
    }
    if kind.takes_keys {
        failures.push(Failure::InvalidIdempotencyKey(InvalidKey::TooLong));
        failures.push(Error::IdempotencyKeyReused.into());
    }
    if kind.is_write {
        failures.push(Failure::BodyTooLarge { limit: max_body });
        failures.push(Failure::BodyTimeout);
    }
    failures.push(Failure::InvalidHost(InvalidHost::Missing));
    failures
}

/// Returns the failure of a request with an unknown field.
fn unknown_field() -> Option<Failure> {
    let object = Object::parse(br#"{"colour":"red"}"#);
    object.and_then(Object::finish).err()
}
