//! What the documents of the two APIs say of rotation, written down here, and held against ours: a
//! client that is generated from either has the same operations and types.

use hookturn_test::openapi::{DOCUMENTS, Document};
use serde_json::{Value, json};

/// One rotation as its API documents it.
struct Facts {
    document: &'static str,
    path: &'static str,
    operation_id: Option<&'static str>,
    tag: Option<&'static str>,
    security: &'static str,
    /// The one parameter in the path.
    path_parameter: &'static str,
    /// Others that are sent as headers.
    header_parameters: &'static [&'static str],
    /// The fields of the request with their types; none of them is required.
    request: &'static [(&'static str, &'static str)],
    /// The schema of each status: its name if it is named, its media type and its fields.
    responses: &'static [(&'static str, Schema)],
}

#[derive(Clone, Copy)]
struct Schema {
    name: Option<&'static str>,
    media_type: &'static str,
    fields: &'static [(&'static str, &'static str)],
}

const PROBLEM: Schema = Schema {
    name: None,
    media_type: "application/problem+json",
    fields: &[
        ("type", "string"),
        ("title", "string"),
        ("status", "integer"),
        ("detail", "string"),
        ("instance", "string"),
        ("code", "string"),
        ("param", "string"),
        ("errors", "array"),
    ],
};

const SERVICE_ERROR: Schema = Schema {
    name: Some("WebhookErrorResponse"),
    media_type: "application/json",
    fields: &[
        ("status", "integer"),
        ("type", "string"),
        ("message", "string"),
        ("details", "object"),
        ("timestamp", "string"),
        ("path", "string"),
        ("trace_id", "string"),
    ],
};

const ROTATIONS: [Facts; 2] = [
    Facts {
        document: "2026-03-01",
        path: "/webhooks/endpoints/{webhook_endpoint_id}/secret/rotate",
        operation_id: None,
        tag: None,
        security: "bearerAuth",
        path_parameter: "webhook_endpoint_id",
        header_parameters: &["Idempotency-Key"],
        request: &[("expire_current_in", "integer")],
        responses: &[
            (
                "200",
                Schema {
                    name: None,
                    media_type: "application/json",
                    fields: &[
                        ("id", "string"),
                        ("secret", "string"),
                        ("previous_secret_expires_at", "string"),
                    ],
                },
            ),
            ("400", PROBLEM),
            ("401", PROBLEM),
            ("404", PROBLEM),
            ("422", PROBLEM),
            ("429", PROBLEM),
            ("500", PROBLEM),
        ],
    },
    Facts {
        document: "verbex-v1",
        path: "/v1/public/webhook/subscription/{id}/rotate/secret",
        operation_id: Some("rotate_webhook_subscription_secret"),
        tag: Some("Webhook Subscriptions"),
        security: "BearerAuth",
        path_parameter: "id",
        header_parameters: &[],
        request: &[],
        responses: &[
            (
                "200",
                Schema {
                    name: Some("WebhookRotateSecretResponse"),
                    media_type: "application/json",
                    fields: &[
                        ("secret", "string"),
                        ("previous_secret_expires_at", "string"),
                    ],
                },
            ),
            (
                "401",
                Schema {
                    name: Some("WebhookAuthErrorResponse"),
                    media_type: "application/json",
                    fields: &[
                        ("error", "string"),
                        ("message", "string"),
                        ("traceId", "string"),
                    ],
                },
            ),
            ("404", SERVICE_ERROR),
            ("409", SERVICE_ERROR),
            ("500", SERVICE_ERROR),
        ],
    },
];

/// The schema that a value is or refers to.
fn resolved<'a>(document: &'a Document, schema: &'a Value) -> &'a Value {
    match schema["$ref"].as_str() {
        Some(reference) => {
            let place = reference.strip_prefix('#').expect("in the same document");
            let found = document.whole.pointer(place);
            resolved(document, found.expect("it is there"))
        }
        None => schema,
    }
}

/// Asserts that a schema has these fields and no others, each of its type.
fn assert_fields(document: &Document, schema: &Value, fields: &[(&str, &str)]) {
    let properties = schema["properties"].as_object().expect("an object");
    let mut names: Vec<_> = properties.keys().map(String::as_str).collect();
    let mut expected: Vec<_> = fields.iter().map(|(name, _)| *name).collect();
    names.sort_unstable();
    expected.sort_unstable();
    assert_eq!(names, expected);
    for (name, kind) in fields {
        let found = &resolved(document, &properties[*name])["type"];
        assert_eq!(found, kind, "{name}");
    }
}

#[test]
fn our_documents_have_the_names_and_types_of_the_apis_own() {
    for facts in &ROTATIONS {
        let document = DOCUMENTS
            .iter()
            .find(|document| document.name == facts.document)
            .expect("a document of each API");
        let operation = &document.whole["paths"][facts.path]["post"];
        if let Some(id) = facts.operation_id {
            assert_eq!(operation["operationId"], id);
        }
        if let Some(tag) = facts.tag {
            assert_eq!(operation["tags"], json!([tag]));
        }
        assert_eq!(operation["security"], json!([{ facts.security: [] }]));
        let scheme = &document.whole["components"]["securitySchemes"][facts.security];
        assert_eq!(
            (&scheme["type"], &scheme["scheme"]),
            (&json!("http"), &json!("bearer"))
        );

        let parameters = operation["parameters"].as_array().expect("parameters");
        let named = |place: &str, name: &str| {
            let mut found = parameters.iter();
            found
                .find(|one| one["in"] == place && one["name"] == name)
                .expect(name)
        };
        let id = named("path", facts.path_parameter);
        assert_eq!(
            (&id["required"], &id["schema"]["type"]),
            (&json!(true), &json!("string"))
        );
        for name in facts.header_parameters {
            let header = named("header", name);
            assert_ne!(header["required"], true);
            assert_eq!(header["schema"]["type"], "string");
        }
        // Nothing else has to be sent.
        let required = parameters.iter().filter(|one| one["required"] == true);
        assert_eq!(required.count(), 1);

        let body = &operation["requestBody"];
        if facts.request.is_empty() {
            assert!(body.is_null());
        } else {
            assert_ne!(body["required"], true);
            let schema = resolved(document, &body["content"]["application/json"]["schema"]);
            assert_fields(document, schema, facts.request);
            assert!(schema["required"].is_null());
        }
        for (status, expected) in facts.responses {
            let content = operation["responses"][status]["content"].as_object();
            let content = content.unwrap_or_else(|| panic!("no body for {status}"));
            assert_eq!(content.keys().collect::<Vec<_>>(), [expected.media_type]);
            let schema = &content[expected.media_type]["schema"];
            if let Some(name) = expected.name {
                let reference = format!("#/components/schemas/{name}");
                assert_eq!(schema["$ref"], *reference);
            }
            assert_fields(document, resolved(document, schema), expected.fields);
        }
    }
}
