//! The `OpenAPI` 3.1 documents: what the code's annotations say, completed by what all operations share.
//!
//! Success bodies, parameters and constraints stand beside each handler. Error answers are not
//! written down anywhere: they are rendered here by the code that answers them, so that each example
//! in a document is what the server says.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::middleware;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use bytes::Bytes;
use serde_json::{Value, json};
use utoipa_swagger_ui::{Config, SwaggerUi, Url};

use super::browser::{DOCS_POLICY, guarded};
use super::failure::{Failure, FieldCode, FieldError, Rendered};
use super::host::InvalidHost;
use super::submission::{MAX_BODY, MAX_EVENT_BODY};
use super::v2026_03_01::errors::PROBLEMS_PATH;
use super::{App, v2026_03_01, verbex_v1};
use crate::idempotency::InvalidKey;
use crate::service::Error;

/// The names of the documents.
pub const NAMES: [&str; 2] = ["2026-03-01", "verbex-v1"];

/// The `OpenAPI` document called `name`, as JSON text for people to read; `None` when there is none.
#[must_use]
pub fn document(name: &str) -> Option<String> {
    let document = match name {
        "2026-03-01" => v2026_03_01::openapi::document(),
        "verbex-v1" => verbex_v1::openapi::document(),
        _ => return None,
    };
    serde_json::to_string_pretty(&document).ok()
}

/// The documents, and Swagger UI over them. All of it is in the program: nothing is loaded from
/// elsewhere.
pub(super) fn routes() -> Router<App> {
    // Made once, however many servers a process starts.
    static TEXTS: LazyLock<[Bytes; 2]> =
        LazyLock::new(|| NAMES.map(|name| document(name).unwrap_or_default().into()));
    let [v2026, verbex] = TEXTS
        .each_ref()
        .map(|text| get(async move || ([(CONTENT_TYPE, "application/json")], text.clone())));
    let urls = [
        Url::new("2026-03-01", "/openapi/2026-03-01.json"),
        Url::new("verbex-v1", "/openapi/verbex-v1.json"),
    ];
    // The badge of the online validator would send the document's address to a third party.
    let config = Config::new(urls)
        .validator_url("none")
        .try_it_out_enabled(true);
    let pages = Router::new()
        .route("/openapi/2026-03-01.json", v2026)
        .route("/openapi/verbex-v1.json", verbex)
        .merge(SwaggerUi::new("/docs").config(config));
    guarded(pages, DOCS_POLICY).layer(middleware::map_response(in_our_words))
}

/// Swagger UI says in its own words that it has no such file; here an unknown path has others.
async fn in_our_words(response: Response) -> Response {
    if response.status().is_client_error() {
        return Failure::RouteNotFound.into_response();
    }
    response
}

/// What completes one dialect's document.
pub(super) struct Completion {
    /// Gives a failure this dialect's words.
    pub render: fn(&Failure) -> Rendered,
    /// The machine's word in a rendered error body, to name its example by.
    pub name: fn(&Value) -> String,
    /// The schema of an error body with this status.
    pub schema: fn(u16) -> &'static str,
    /// What else can go wrong in the operation with this id.
    pub failures: fn(&str) -> Vec<Failure>,
    /// The name of the one security scheme, as the API's own document has it.
    pub security: &'static str,
    /// The operations that are asked for with a body that may be left out.
    pub optional_bodies: &'static [&'static str],
}

/// A field error, for an example.
pub(super) fn example_field(param: &str, code: FieldCode, detail: &str) -> Failure {
    Failure::InvalidFields(vec![FieldError {
        param: param.to_owned(),
        code,
        detail: detail.to_owned(),
    }])
}

/// Adds to every operation of `document` what all operations share.
pub(super) fn complete(document: utoipa::openapi::OpenApi, with: &Completion) -> Value {
    // The document is made of plain data, so this cannot fail.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    document["components"]["headers"] = headers();
    document["components"]["securitySchemes"] = json!({
        with.security: {
            "type": "http", "scheme": "bearer",
            "description": "An API key, as `Authorization: Bearer YOUR_KEY`.",
        }
    });
    refuse_unknown_fields(&mut document);
    let Some(paths) = document["paths"].as_object_mut() else {
        return document;
    };
    for (path, operations) in paths.iter_mut() {
        for (method, operation) in operations.as_object_mut().into_iter().flatten() {
            complete_operation(path, method, operation, with);
        }
    }
    document
}

/// Request bodies have the fields that are listed, and no others: the reader refuses what it does not
/// know.
fn refuse_unknown_fields(document: &mut Value) {
    let operations = document["paths"].as_object().into_iter().flatten();
    let operations = operations.flat_map(|(_, path)| path.as_object().into_iter().flatten());
    let schemas: Vec<String> = operations
        .filter_map(|(_, operation)| {
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            Some(schema["$ref"].as_str()?.rsplit('/').next()?.to_owned())
        })
        .collect();
    for schema in schemas {
        document["components"]["schemas"][schema]["additionalProperties"] = json!(false);
    }
}

fn complete_operation(path: &str, method: &str, operation: &mut Value, with: &Completion) {
    let id = operation["operationId"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let is_protected = super::auth::is_protected(path);
    let is_write = matches!(method, "post" | "put" | "patch");
    let takes_keys = is_write && !path.starts_with("/dev");

    let mut parameters = operation["parameters"].take();
    let parameters_list = match &mut parameters {
        Value::Array(list) => list,
        other => {
            *other = json!([]);
            // It was just made an array.
            let Value::Array(list) = other else { return };
            list
        }
    };
    parameters_list.extend(path_parameters(path));
    parameters_list.extend(header_parameters(takes_keys));
    operation["parameters"] = parameters;
    if is_protected {
        operation["security"] = json!([{ with.security: [] }]);
    }
    if operation.get("requestBody").is_some() {
        operation["requestBody"]["required"] = json!(!with.optional_bodies.contains(&id.as_str()));
    }

    let mut failures = (with.failures)(&id);
    failures.push(Failure::InvalidHost(InvalidHost::Missing));
    if is_protected {
        failures.extend([Failure::MissingToken, Failure::InvalidToken]);
        failures.push(Failure::RateLimited {
            retry_after_seconds: 1,
        });
    }
    if path.contains("{webhook_endpoint_id}") || path.contains("{id}") {
        failures.push(Error::EndpointNotFound.into());
    }
    if is_write {
        let limit = match path {
            "/events" => MAX_EVENT_BODY,
            _ => MAX_BODY,
        };
        failures.push(Failure::BodyTooLarge { limit });
        failures.push(Failure::BodyTimeout);
    }
    if takes_keys {
        failures.push(Failure::InvalidIdempotencyKey(InvalidKey::TooLong));
        failures.push(Error::IdempotencyKeyReused.into());
    }
    if operation.get("requestBody").is_some() {
        failures.extend([
            Failure::MalformedJson("not valid JSON at line 1, column 8".to_owned()),
            Failure::NotAnObject,
            Failure::UnsupportedContentType,
            example_field(
                "colour",
                FieldCode::UnknownField,
                "is not a field of this request",
            ),
        ]);
    }
    if is_protected || path == "/readyz" {
        failures.push(Failure::Panicked);
    }

    let mut responses = operation["responses"].take();
    for (status, response) in responses.as_object_mut().into_iter().flatten() {
        response["headers"] = header_references(path, status, takes_keys);
    }
    for (status, response) in error_responses(path, &failures, with) {
        responses[status] = response;
    }
    operation["responses"] = responses;
}

fn error_responses(path: &str, failures: &[Failure], with: &Completion) -> BTreeMap<String, Value> {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for failure in failures {
        let Rendered {
            status,
            content_type,
            body,
        } = (with.render)(failure);
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let key = status.as_str().to_owned();
        let response = responses.entry(key.clone()).or_insert_with(|| {
            let schema = (with.schema)(status.as_u16());
            json!({
                "description": status.canonical_reason().unwrap_or_default(),
                "headers": header_references(path, &key, false),
                "content": { content_type: {
                    "schema": { "$ref": format!("#/components/schemas/{schema}") },
                    "examples": {},
                }},
            })
        });
        let name = (with.name)(&body);
        response["content"][content_type]["examples"][name] = json!({ "value": body });
    }
    responses
}

fn path_parameters(path: &str) -> Vec<Value> {
    let parameter = |name: &str, description: &str, example: &str| {
        json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": { "type": "string" }, "example": example,
        })
    };
    let mut parameters = Vec::new();
    if path.contains("{webhook_endpoint_id}") {
        parameters.push(parameter(
            "webhook_endpoint_id",
            "The endpoint's id.",
            "we_550e8400e29b41d4a716446655440000",
        ));
    }
    if path.contains("{delivery_id}") {
        parameters.push(parameter(
            "delivery_id",
            "The delivery's id.",
            "dlv_550e8400e29b41d4a716446655440000",
        ));
    }
    if path.contains("{id}") {
        parameters.push(parameter(
            "id",
            "The subscription's id.",
            "665f1c2ab8e4d90012ab34cd",
        ));
    }
    if path.contains("{slug}") {
        parameters.push(parameter(
            "slug",
            "The last part of a problem's type.",
            "not-found",
        ));
    }
    parameters
}

fn header_parameters(takes_keys: bool) -> Vec<Value> {
    let parameter = |name: &str, description: &str, schema: Value| {
        json!({
            "name": name, "in": "header", "required": false,
            "description": description, "schema": schema,
        })
    };
    let mut parameters = vec![
        parameter(
            "X-Request-Id",
            "A name for this request, which the response repeats: 1 to 128 visible ASCII characters. \
             Another value is replaced by a generated one.",
            json!({ "type": "string" }),
        ),
        parameter(
            "traceparent",
            "W3C Trace Context. The trace id of a valid one is taken over into the log.",
            json!({ "type": "string" }),
        ),
    ];
    if takes_keys {
        let key = json!({ "type": "string", "minLength": 1, "maxLength": 512 });
        parameters.push(parameter(
            "Idempotency-Key",
            "Makes the request safe to repeat: for 24 hours the same key with the same request gets the \
             same answer, and nothing is done twice. 1 to 255 visible ASCII characters, bare or as a \
             quoted structured-field string.",
            key.clone(),
        ));
        parameters.push(parameter(
            "X-Idempotency-Key",
            "The same, under the name that some client libraries use. Both may be sent when they agree.",
            key,
        ));
    }
    parameters
}

/// The headers of a response, by name.
fn header_references(path: &str, status: &str, takes_keys: bool) -> Value {
    let mut names = vec!["X-Request-Id", "X-Content-Type-Options"];
    if super::auth::is_protected(path) {
        names.push("Cache-Control");
        if status != "401" {
            names.extend([
                "X-RateLimit-Limit",
                "X-RateLimit-Remaining",
                "X-RateLimit-Reset",
            ]);
        }
    }
    match status {
        "401" => names.push("WWW-Authenticate"),
        "429" => names.push("Retry-After"),
        _ if takes_keys => names.push("Idempotent-Replayed"),
        _ => {}
    }
    let mut references: Value = names
        .into_iter()
        .map(|name| {
            let reference = json!({ "$ref": format!("#/components/headers/{name}") });
            (name.to_owned(), reference)
        })
        .collect();
    if path.starts_with(PROBLEMS_PATH) {
        let mut page = |name: &str, description: &str| {
            references[name] =
                json!({ "description": description, "schema": { "type": "string" } });
        };
        page(
            "Content-Security-Policy",
            "A page loads nothing from elsewhere and runs no script.",
        );
        page("X-Frame-Options", "A page is in no frame of another page.");
        page("Referrer-Policy", "A page is not named to where it leads.");
    }
    references
}

fn headers() -> Value {
    let header = |description: &str, required: bool, schema: Value| json!({ "description": description, "required": required, "schema": schema });
    let count = json!({ "type": "integer", "minimum": 0 });
    json!({
        "X-Request-Id": header(
            "The request's name: the caller's own, or a generated one.",
            true,
            json!({ "type": "string", "minLength": 1, "maxLength": 128 }),
        ),
        "X-Content-Type-Options": header(
            "The body is of the type that `Content-Type` says, and of no other that a browser may guess.",
            true,
            json!({ "type": "string", "const": "nosniff" }),
        ),
        "Cache-Control": header(
            "Answers may carry secrets and must not be kept.",
            true,
            json!({ "type": "string", "const": "no-store" }),
        ),
        "WWW-Authenticate": header(
            "`Bearer`, with `error=\"invalid_token\"` when a token was sent (RFC 6750).",
            true,
            json!({ "type": "string", "pattern": "^Bearer" }),
        ),
        "Retry-After": header(
            "Seconds to wait.",
            true,
            json!({ "type": "integer", "minimum": 1 }),
        ),
        "Idempotent-Replayed": header(
            "Present on a repeated answer: nothing was done this time.",
            false,
            json!({ "type": "string", "const": "true" }),
        ),
        "X-RateLimit-Limit": header(
            "The size of the tenant's bucket. The three headers are absent when the rate limit is off, and when a \
             request is refused before its key is looked at.",
            false,
            count.clone(),
        ),
        "X-RateLimit-Remaining": header("Requests that can be made at once.", false, count.clone()),
        "X-RateLimit-Reset": header("The Unix second when the bucket is full again.", false, count),
    })
}
