//! Describes error answers with the code that renders them for requests.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::answers::Wording;
use super::headers::header_references;
use super::kind::Kind;
use crate::api::failure::{Failure, Rendered};

/// Returns the responses for `failures` of a request to `path`, by status, with an example of each.
pub(super) fn error_responses(
    kind: &Kind,
    path: &str,
    failures: &[Failure],
    wording: &Wording,
) -> BTreeMap<String, Value> {
    let mut responses: BTreeMap<String, Value> = BTreeMap::new();
    for failure in failures {
        let Rendered {
            status,
            content_type,
            body,
        } = (wording.render)(failure, path);
        let body: Value = serde_json::from_slice(&body).unwrap_or_default();
        let key = status.as_str().to_owned();
        let response = responses.entry(key.clone()).or_insert_with(|| {
            let schema = (wording.schema)(status.as_u16());
            json!({
                "description": status.canonical_reason().unwrap_or_default(),
                "headers": header_references(kind, &key, false),
                "content": { content_type: {
                    "schema": { "$ref": format!("#/components/schemas/{schema}") },
                    "examples": {},
                }},
            })
        });
        let name = (wording.name)(&body);
        response["content"][content_type]["examples"][name] = json!({ "value": body });
    }
    responses
}
