//! The `OpenAPI` documents themselves.

use std::collections::HashSet;

use hookturn_test::Server;
use hookturn_test::openapi::{Components, DOCUMENTS, Document};
use serde_json::{Map, Value};

const METHODS: [&str; 8] = [
    "get", "put", "post", "delete", "options", "head", "patch", "trace",
];

/// Every operation of a document: path, method, operation.
fn operations(document: &Document) -> Vec<(&str, &str, &Value)> {
    let paths = document.whole["paths"].as_object().expect("paths");
    let operations = paths.iter().flat_map(|(path, item)| {
        let item = item.as_object().expect("a path item");
        item.iter().map(move |(method, operation)| {
            assert!(METHODS.contains(&method.as_str()), "{path} has {method}");
            (path.as_str(), method.as_str(), operation)
        })
    });
    operations.collect()
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

fn members(value: &Value) -> impl Iterator<Item = (&String, &Value)> {
    value.as_object().into_iter().flatten()
}

/// Calls `visit` with every object in `value`, and where it is.
fn walk(value: &Value, place: &str, visit: &mut impl FnMut(&Map<String, Value>, &str)) {
    match value {
        Value::Object(object) => {
            visit(object, place);
            for (name, member) in object {
                walk(member, &format!("{place}/{name}"), visit);
            }
        }
        Value::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, &format!("{place}/{index}"), visit);
            }
        }
        _ => {}
    }
}

#[test]
fn the_committed_documents_are_the_generated_ones() {
    for document in &*DOCUMENTS {
        let path = format!(
            "{}/openapi/{}.json",
            env!("CARGO_MANIFEST_DIR"),
            document.name
        );
        let committed = std::fs::read_to_string(&path).expect("a committed document");
        let generated = hookturn::api::documents::document(document.name).expect("a document");
        assert!(
            committed.trim_end() == generated,
            "{path} differs from the code: run `make openapi`"
        );
    }
}

#[test]
fn each_document_has_the_outline_of_openapi_3_1() {
    for document in &*DOCUMENTS {
        let whole = &document.whole;
        assert!(
            whole["openapi"]
                .as_str()
                .is_some_and(|version| version.starts_with("3.1."))
        );
        assert!(whole["info"]["title"].is_string() && whole["info"]["version"].is_string());
        let tags: HashSet<_> = list(&whole["tags"]).map(|tag| &tag["name"]).collect();
        let mut ids = HashSet::new();
        for (path, method, operation) in operations(document) {
            let place = format!("{} {method} {path}", document.name);
            let id = operation["operationId"].as_str();
            assert!(
                ids.insert(id.expect("an operationId")),
                "{place}: {id:?} is not unique"
            );
            assert!(operation["summary"].is_string(), "{place} has no summary");
            assert!(list(&operation["tags"]).count() > 0, "{place} has no tag");
            assert!(
                list(&operation["tags"]).all(|tag| tags.contains(tag)),
                "{place}"
            );
            for security in list(&operation["security"]) {
                for (scheme, _) in members(security) {
                    let declared = &whole["components"]["securitySchemes"][scheme];
                    assert!(declared.is_object(), "{place}: {scheme}");
                }
            }
            for (status, response) in members(&operation["responses"]) {
                let response = document.resolve(response);
                assert!(status.parse::<u16>().is_ok(), "{place}: {status}");
                assert!(response["description"].is_string(), "{place}: {status}");
            }
        }
    }
}

#[test]
fn every_reference_leads_somewhere_and_no_component_is_left_over() {
    for document in &*DOCUMENTS {
        let mut used = HashSet::new();
        walk(&document.whole, "#", &mut |object, place| {
            if let Some(reference) = object.get("$ref").and_then(Value::as_str) {
                let pointer = reference.strip_prefix('#').expect("within the document");
                let found = document.whole.pointer(pointer);
                assert!(found.is_some(), "{place}: {reference} leads nowhere");
                used.insert(reference.to_owned());
            }
        });
        for kind in ["schemas", "headers"] {
            for (name, _) in members(&document.whole["components"][kind]) {
                let reference = format!("#/components/{kind}/{name}");
                assert!(
                    used.contains(&reference),
                    "{}: {reference} is not used",
                    document.name
                );
            }
        }
    }
}

#[test]
fn path_parameters_are_those_of_the_path() {
    for document in &*DOCUMENTS {
        for (path, method, operation) in operations(document) {
            let mut wanted: Vec<_> = path
                .split('/')
                .filter_map(|segment| segment.strip_prefix('{')?.strip_suffix('}'))
                .collect();
            let mut declared = Vec::new();
            let mut seen = HashSet::new();
            for parameter in list(&operation["parameters"]) {
                let name = parameter["name"].as_str().expect("a name");
                assert!(
                    seen.insert((&parameter["in"], name)),
                    "{method} {path}: {name} twice"
                );
                if parameter["in"] == "path" {
                    assert_eq!(parameter["required"], true, "{method} {path}: {name}");
                    declared.push(name);
                }
            }
            wanted.sort_unstable();
            declared.sort_unstable();
            assert_eq!(declared, wanted, "{method} {path}");
        }
    }
}

#[test]
fn every_schema_is_one() {
    for document in &*DOCUMENTS {
        for (name, schema) in members(&document.whole["components"]["schemas"]) {
            if let Err(error) = jsonschema::draft202012::meta::validate(schema) {
                panic!("{} {name}: {error}", document.name);
            }
        }
    }
}

/// Holds the examples and the default of a schema, and of all schemas in it, against it.
fn check_schema_examples(document: &Document, schema: &Value, place: &str, count: &mut usize) {
    if !schema.is_object() {
        return;
    }
    let own = [schema.get("example"), schema.get("default")];
    for example in own.into_iter().flatten().chain(list(&schema["examples"])) {
        *count += 1;
        if let Err(fault) = document.validate(Components::Own, schema, example) {
            panic!(
                "{} {place}: the example {example} is none: {fault}",
                document.name
            );
        }
    }
    for (name, property) in members(&schema["properties"]) {
        check_schema_examples(document, property, &format!("{place}.{name}"), count);
    }
    for word in ["items", "additionalProperties"] {
        check_schema_examples(document, &schema[word], &format!("{place}.{word}"), count);
    }
    for word in ["allOf", "anyOf", "oneOf"] {
        for part in list(&schema[word]) {
            check_schema_examples(document, part, &format!("{place}.{word}"), count);
        }
    }
}

#[test]
fn every_example_is_one() {
    for document in &*DOCUMENTS {
        let components = &document.whole["components"];
        let mut count = 0;
        let mut check = |schema: &Value, value: &Value, place: &str| {
            count += 1;
            if let Err(fault) = document.validate(Components::Own, schema, value) {
                panic!(
                    "{} {place}: the example {value} is none: {fault}",
                    document.name
                );
            }
        };
        for (path, method, operation) in operations(document) {
            for parameter in list(&operation["parameters"]) {
                if let Some(example) = parameter.get("example") {
                    check(&parameter["schema"], example, &format!("{method} {path}"));
                }
            }
            let answers = members(&operation["responses"]).map(|(_, response)| response);
            for with_content in answers.chain([&operation["requestBody"]]) {
                for (_, media) in members(&document.resolve(with_content)["content"]) {
                    let place = format!("{method} {path}");
                    let named = members(&media["examples"]).map(|(_, example)| &example["value"]);
                    for example in named.chain(media.get("example")) {
                        check(&media["schema"], example, &place);
                    }
                }
            }
        }
        for (name, schema) in members(&components["schemas"]) {
            check_schema_examples(document, schema, name, &mut count);
        }
        assert!(count > 50, "{} has only {count} examples", document.name);
    }
}

/// A body made of the examples of a schema's properties.
fn example_body(schema: &Value) -> Value {
    let example = |(name, property): (&String, &Value)| {
        let value = property.get("example").or(property.get("default"));
        let value = value.or(property["examples"].get(0));
        let value = value
            .cloned()
            .or((property["type"] == "boolean").then_some(Value::Bool(true)))?;
        Some((name.clone(), value))
    };
    members(&schema["properties"]).filter_map(example).collect()
}

#[tokio::test]
async fn every_documented_operation_is_there_and_takes_the_documented_example() {
    for document in &*DOCUMENTS {
        for (path, method, operation) in operations(document) {
            // Each on a server of its own, so that no example is in the way of another.
            let server = Server::start().await;
            let record = match document.name {
                "2026-03-01" => server.endpoint().await,
                _ => {
                    server
                        .subscription(&format!("for {method} {path}"), true)
                        .await
                }
            };
            let id = record["id"].as_str().expect("an id");
            let delivery = if path.contains("{delivery_id}") {
                let test = format!("/webhooks/endpoints/{id}/test");
                server.post(&test).await.json()["id"].clone()
            } else {
                Value::Null
            };
            let target = path
                .replace("{delivery_id}", delivery.as_str().unwrap_or_default())
                .replace("{webhook_endpoint_id}", id)
                .replace("{id}", id)
                .replace("{slug}", "internal");
            let method = reqwest::Method::from_bytes(method.to_ascii_uppercase().as_bytes());
            let mut request = server.request(method.expect("a method"), &target);
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            if !schema.is_null() {
                request = request.json(&example_body(document.resolve(schema)));
            }
            let answer = request.await;
            assert!((200..300).contains(&answer.status), "{answer}");
        }
    }
}
