//! Checks exchanges against the `OpenAPI` document of their dialect.
//!
//! The check is stricter than the documents are for clients: an answer must not have undocumented
//! fields, and every time has milliseconds and `Z`.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, LazyLock};

use jsonschema::{Draft, Validator};
use parking_lot::Mutex;
use reqwest::header::{HeaderMap, HeaderValue};
use serde_json::{Value, json};

/// An `OpenAPI` document, prepared for checks.
pub struct Document {
    /// The name of its dialect.
    pub name: &'static str,
    /// The whole document.
    pub whole: Value,
    strict_components: Value,
    /// The compiled schemas, by their text and components. Each is used again and again, and takes
    /// longer to compile than to use.
    validators: Mutex<HashMap<(String, Components), Arc<Validator>>>,
}

/// The components that the references of a schema point to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Components {
    /// The components of the document.
    Own,
    /// The components of the document, with undocumented fields forbidden in every object.
    Strict,
    /// No components.
    None,
}

/// The documents of both dialects.
pub static DOCUMENTS: LazyLock<[Document; 2]> =
    LazyLock::new(|| ["2026-03-01", "verbex-v1"].map(Document::read));

/// The headers that HTTP itself defines.
const STANDARD: [&str; 4] = ["content-length", "content-type", "date", "connection"];

/// How the errors of either dialect begin when a field has the wrong type, is missing or is
/// unknown.
const ABOUT_TYPES: [&str; 9] = [
    "invalid_type",
    "unknown_field",
    "missing_field",
    "is required",
    "is not a field of this request",
    "must be a string",
    "must be true or false",
    "must be an array of strings",
    "must be an object of strings",
];

/// A request and its answer.
pub struct Exchange<'a> {
    /// The method of the request.
    pub method: &'a str,
    /// The target of the request: a path with or without a query.
    pub target: &'a str,
    /// The body of the request, if the client knows it.
    pub sent: Option<&'a [u8]>,
    /// The status of the answer.
    pub status: u16,
    /// The headers of the answer.
    pub headers: &'a HeaderMap,
    /// The body of the answer.
    pub body: &'a [u8],
}

/// Checks an exchange against the document of its path.
///
/// # Errors
///
/// Returns what is wrong with it.
pub fn check(exchange: &Exchange<'_>) -> Result<(), String> {
    let path = exchange.target.split('?').next().unwrap_or_default();
    let document = Document::of(path);
    let method = match exchange.method {
        "HEAD" => "get".to_owned(),
        other => other.to_ascii_lowercase(),
    };
    let operation = document.operation(path, &method);
    // Without --dev, the operations under /dev do not exist.
    let is_absent = exchange.status == 404 && path.starts_with("/dev/");
    match operation {
        Some((template, operation)) if !is_absent => {
            check_documented(exchange, document, operation)
                .map_err(|fault| format!("{method} {template} in {}: {fault}", document.name))
        }
        _ if is_page(path) && exchange.status != 404 && exchange.status != 405 => require(
            exchange.headers.contains_key("x-request-id"),
            "no X-Request-Id",
        ),
        _ => check_unlisted(exchange, document)
            .map_err(|fault| format!("{path} is in no document, and {fault}")),
    }
}

/// Returns whether a path belongs to the pages for people or to the documents.
fn is_page(path: &str) -> bool {
    path == "/" || path == "/docs" || path.starts_with("/docs/") || path.starts_with("/openapi/")
}

fn check_documented(
    exchange: &Exchange<'_>,
    document: &Document,
    operation: &Value,
) -> Result<(), String> {
    let status = exchange.status.to_string();
    let response = document.resolve(&operation["responses"][&status]);
    require(response.is_object(), "the status is not documented")?;
    check_headers(exchange, document, &response["headers"], &[])?;
    let content = response["content"].as_object();
    let Some(content) = content.filter(|content| !content.is_empty()) else {
        require(exchange.body.is_empty(), "a body, where none is documented")?;
        return require(
            !exchange.headers.contains_key("content-type"),
            "a Content-Type without a body",
        );
    };
    let essence = media_type(exchange.headers);
    let Some(media) = content.get(essence) else {
        return Err(format!("the content type {essence:?} is not documented"));
    };
    if exchange.method == "HEAD" {
        return require(exchange.body.is_empty(), "a body in answer to HEAD");
    }
    check_body(exchange, document, essence, &media["schema"])?;
    check_request(exchange, document, operation)
}

/// Checks that the request body of a success is documented, and that one refused for the types of
/// its fields is not.
fn check_request(
    exchange: &Exchange<'_>,
    document: &Document,
    operation: &Value,
) -> Result<(), String> {
    let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
    let sent = exchange.sent.filter(|sent| !sent.is_empty());
    // Bodies with numbers that serde_json cannot hold are not checked.
    let Some(Ok(sent)) = sent.map(serde_json::from_slice::<Value>) else {
        return Ok(());
    };
    if schema.is_null() || exchange.headers.contains_key("idempotent-replayed") {
        return Ok(());
    }
    let verdict = document.validate(Components::Own, schema, &sent);
    if exchange.status < 300 {
        return verdict.map_err(|fault| format!("an undocumented request was accepted: {fault}"));
    }
    let answer: Value = serde_json::from_slice(exchange.body).unwrap_or_default();
    let codes = answer["errors"].as_array().into_iter().flatten();
    let codes = codes.filter_map(|error| error["code"].as_str());
    let messages = answer["details"]["fields"]
        .as_object()
        .into_iter()
        .flatten();
    let messages = messages.filter_map(|(_, message)| message.as_str());
    let refused_for_type = codes
        .chain(messages)
        .any(|told| ABOUT_TYPES.iter().any(|about| told.starts_with(about)));
    require(
        !(refused_for_type && verdict.is_ok()),
        "a request that the document allows was refused for the types of its fields",
    )
}

/// Checks the error answer of a path or method without an operation, which has the dialect's format
/// and headers.
fn check_unlisted(exchange: &Exchange<'_>, document: &Document) -> Result<(), String> {
    let schema = match (document.name, exchange.status) {
        (_, 401 | 404 | 405 | 429 | 500) if document.name == "2026-03-01" => "Problem",
        (_, 401) => "WebhookAuthErrorResponse",
        (_, 404 | 405 | 429 | 500) => "WebhookErrorResponse",
        _ => return Err("such a path must not answer with this status".to_owned()),
    };
    let names = document.whole["components"]["headers"].as_object();
    let headers: Value = names
        .into_iter()
        .flatten()
        .filter(|(name, _)| match name.as_str() {
            "WWW-Authenticate" => exchange.status == 401,
            "Retry-After" => exchange.status == 429,
            "Cache-Control" => exchange.headers.contains_key("cache-control"),
            _ => true,
        })
        .map(|(name, header)| (name.clone(), header.clone()))
        .collect();
    check_headers(exchange, document, &headers, &["allow"])?;
    require(
        (exchange.status == 405) == exchange.headers.contains_key("allow"),
        "405 must have Allow, and no other status may have it",
    )?;
    let wanted = match schema {
        "Problem" => "application/problem+json",
        _ => "application/json",
    };
    let essence = media_type(exchange.headers);
    require(essence == wanted, "its content type is not the dialect's")?;
    if exchange.method == "HEAD" {
        return require(exchange.body.is_empty(), "a body in answer to HEAD");
    }
    let schema = json!({ "$ref": format!("#/components/schemas/{schema}") });
    check_body(exchange, document, essence, &schema)
}

fn check_headers(
    exchange: &Exchange<'_>,
    document: &Document,
    documented: &Value,
    also: &[&str],
) -> Result<(), String> {
    let documented = documented.as_object().into_iter().flatten();
    let documented: Vec<_> = documented
        .map(|(name, header)| (name.to_ascii_lowercase(), document.resolve(header)))
        .collect();
    for (name, header) in &documented {
        let values: Vec<_> = exchange.headers.get_all(name).iter().collect();
        match values[..] {
            [] if header["required"] == true => {
                return Err(format!("the documented header {name} is missing"));
            }
            [] => {}
            [value] => check_header(document, &header["schema"], value)
                .map_err(|fault| format!("header {name}: {fault}"))?,
            _ => return Err(format!("the header {name} came more than once")),
        }
    }
    let known = |name: &str| {
        STANDARD.contains(&name)
            || also.contains(&name)
            || documented.iter().any(|(documented, _)| documented == name)
    };
    let stray = exchange.headers.keys().find(|name| !known(name.as_str()));
    stray.map_or(Ok(()), |name| {
        Err(format!("the header {name} is not documented"))
    })
}

fn check_header(document: &Document, schema: &Value, value: &HeaderValue) -> Result<(), String> {
    let text = value.to_str().map_err(|error| error.to_string())?;
    let value = match schema["type"].as_str() {
        Some("integer") => text.parse().map(|number: u64| json!(number)),
        _ => Ok(json!(text)),
    };
    let value = value.map_err(|_| format!("{text:?} is not a number"))?;
    document.validate(Components::Own, schema, &value)
}

fn check_body(
    exchange: &Exchange<'_>,
    document: &Document,
    essence: &str,
    schema: &Value,
) -> Result<(), String> {
    let body = std::str::from_utf8(exchange.body).map_err(|error| error.to_string())?;
    if !essence.ends_with("json") {
        return document.validate(Components::None, schema, &json!(body));
    }
    let body = serde_json::from_str(body).map_err(|error| format!("invalid JSON: {error}"))?;
    document.validate_strictly(schema, &body)
}

/// Checks that times have milliseconds and `Z`.
fn check_times(name: &str, value: &Value) -> Result<(), String> {
    match value {
        Value::Object(members) => members
            .iter()
            .try_for_each(|(name, value)| check_times(name, value)),
        Value::Array(items) => items.iter().try_for_each(|item| check_times(name, item)),
        Value::String(text) if name.ends_with("_at") || name == "timestamp" || name == "now" => {
            let bytes = text.as_bytes();
            let is_exact = bytes.len() == 24 && bytes[19] == b'.' && bytes[23] == b'Z';
            require(is_exact, &format!("{name} is {text}"))
        }
        _ => Ok(()),
    }
}

fn media_type(headers: &HeaderMap) -> &str {
    let value = headers
        .get("content-type")
        .and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    essence.unwrap_or_default().trim()
}

fn require(holds: bool, otherwise: &str) -> Result<(), String> {
    if holds {
        Ok(())
    } else {
        Err(otherwise.to_owned())
    }
}

impl Document {
    fn read(name: &'static str) -> Self {
        let text = hookturn::api::documents::document(name).expect("a document");
        let whole: Value = serde_json::from_str(&text).expect("JSON");
        let strict_components = strict(&whole["components"]);
        Self {
            name,
            whole,
            strict_components,
            validators: Mutex::default(),
        }
    }

    /// Returns the document of a path.
    pub fn of(path: &str) -> &'static Self {
        let is_verbex = path == "/v1/public" || path.starts_with("/v1/public/");
        &DOCUMENTS[usize::from(is_verbex)]
    }

    fn operation(&self, path: &str, method: &str) -> Option<(&str, &Value)> {
        let paths = self.whole["paths"].as_object()?;
        let (template, item) = paths.iter().find(|(template, _)| fits(template, path))?;
        Some((template, item.get(method)?))
    }

    /// Returns what a reference points to, or `value` itself if it is not a reference.
    pub fn resolve<'a>(&'a self, value: &'a Value) -> &'a Value {
        match value["$ref"].as_str() {
            Some(reference) => self
                .whole
                .pointer(reference.trim_start_matches('#'))
                .unwrap_or_else(|| panic!("{}: nothing is at {reference}", self.name)),
            None => value,
        }
    }

    /// Checks the JSON body of an answer against `schema`. It must not have undocumented fields,
    /// and times have milliseconds and `Z`.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the body or the schema.
    pub fn validate_strictly(&self, schema: &Value, body: &Value) -> Result<(), String> {
        let strict = json!({ "allOf": [schema], "unevaluatedProperties": false });
        self.validate(Components::Strict, &strict, body)?;
        check_times("", body)
    }

    /// Checks `value` against `schema`, whose references point to `components`.
    ///
    /// # Errors
    ///
    /// Returns what is wrong with the value or the schema.
    pub fn validate(
        &self,
        components: Components,
        schema: &Value,
        value: &Value,
    ) -> Result<(), String> {
        let validator = self.validator(components, schema)?;
        let faults: Vec<_> = validator
            .iter_errors(value)
            .map(|error| format!("{}: {error}", error.instance_path()))
            .collect();
        require(faults.is_empty(), &faults.join("; "))
    }

    /// Returns the compiled `schema`.
    fn validator(&self, components: Components, schema: &Value) -> Result<Arc<Validator>, String> {
        let key = (schema.to_string(), components);
        if let Some(validator) = self.validators.lock().get(&key) {
            return Ok(Arc::clone(validator));
        }
        let components = match components {
            Components::Own => &self.whole["components"],
            Components::Strict => &self.strict_components,
            Components::None => &json!({}),
        };
        let whole =
            json!({ "components": components, "allOf": [schema], "unevaluatedProperties": true });
        let validator = validator(&whole).map_err(|fault| format!("{}: {fault}", self.name))?;
        let validator = Arc::new(validator);
        self.validators.lock().insert(key, Arc::clone(&validator));
        Ok(validator)
    }
}

fn validator(schema: &Value) -> Result<Validator, String> {
    jsonschema::options()
        .with_draft(Draft::Draft202012)
        .should_validate_formats(true)
        .build(schema)
        .map_err(|error| format!("not a schema: {error}"))
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(wanted), Some(segment)) if wanted.starts_with('{') && !segment.is_empty() => {}
            (Some(wanted), Some(segment)) if wanted == segment => {}
            _ => return false,
        }
    }
}

/// Returns the components with undocumented fields forbidden in every object that is not part of
/// another through `allOf`.
fn strict(components: &Value) -> Value {
    let mut components = components.clone();
    let mut parts = HashSet::new();
    find_parts(&components, &mut parts);
    let schemas = components["schemas"].as_object_mut().expect("schemas");
    for (name, schema) in schemas {
        let is_open = schema.get("properties").is_some()
            && schema.get("additionalProperties").is_none()
            && !parts.contains(&format!("#/components/schemas/{name}"));
        if is_open {
            schema["unevaluatedProperties"] = json!(false);
        }
    }
    components
}

fn find_parts(value: &Value, parts: &mut HashSet<String>) {
    match value {
        Value::Object(members) => {
            let all_of = members.get("allOf").and_then(Value::as_array);
            let references = all_of.into_iter().flatten().map(|part| &part["$ref"]);
            parts.extend(references.filter_map(|part| part.as_str().map(str::to_owned)));
            members
                .values()
                .for_each(|member| find_parts(member, parts));
        }
        Value::Array(items) => items.iter().for_each(|item| find_parts(item, parts)),
        _ => {}
    }
}
