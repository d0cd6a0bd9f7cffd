//! Describes the parameters that operations share, in paths and headers.

use serde_json::{Value, json};

/// The parameters of paths: name, description and example.
const IN_PATHS: [(&str, &str, &str); 4] = [
    (
        "webhook_endpoint_id",
        "The endpoint's id.",
        "we_550e8400e29b41d4a716446655440000",
    ),
    (
        "delivery_id",
        "The delivery's id.",
        "dlv_550e8400e29b41d4a716446655440000",
    ),
    ("id", "The subscription's id.", "665f1c2ab8e4d90012ab34cd"),
    ("slug", "The last part of a problem's type.", "not-found"),
];

/// Returns the parameters in `path`.
pub(super) fn path_parameters(path: &str) -> impl Iterator<Item = Value> {
    let named = |name: &str| path.contains(&format!("{{{name}}}"));
    let in_path = IN_PATHS.into_iter().filter(move |(name, ..)| named(name));
    in_path.map(|(name, description, example)| {
        json!({
            "name": name, "in": "path", "required": true, "description": description,
            "schema": { "type": "string" }, "example": example,
        })
    })
}

/// Returns `path` with an example in place of each parameter.
pub(super) fn example_path(path: &str) -> String {
    let fill = |path: String, (name, _, example): (&str, &str, &str)| {
        path.replace(&format!("{{{name}}}"), example)
    };
    IN_PATHS.into_iter().fold(path.to_owned(), fill)
}

/// Returns the request headers of every operation, and those for idempotency if it `takes_keys`.
pub(super) fn header_parameters(takes_keys: bool) -> Vec<Value> {
    let parameter = |name: &str, description: &str, schema: Value| {
        json!({
            "name": name, "in": "header", "required": false,
            "description": description, "schema": schema,
        })
    };
    let mut parameters = vec![
        parameter(
            "X-Request-Id",
            "An id for this request, which the response repeats: 1 to 128 visible ASCII characters. \
             Another value is replaced by a generated one.",
            json!({ "type": "string" }),
        ),
        parameter(
            "traceparent",
            "W3C Trace Context. The log shows the trace id of a valid one.",
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
