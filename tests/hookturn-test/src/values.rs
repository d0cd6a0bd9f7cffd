//! Reads parts of answers, and builds parts of requests.

use serde_json::{Value, json};

use crate::Answer;

/// The path of Verbex v1's subscriptions.
pub const SUBSCRIPTIONS: &str = "/v1/public/webhook/subscription";

/// Returns the smallest body that creates a subscription.
pub fn subscription(name: &str, signed: bool) -> Value {
    json!({ "name": name, "url": "https://example.com/hook", "enable_signed_webhooks": signed })
}

/// Returns the `id` of a record.
pub fn id(record: &Value) -> &str {
    text(record, "id")
}

/// Returns a member, which must be a string.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("{name} is not a string: {value}"))
}

/// Returns the names of the fields of `object`, sorted.
pub fn fields(object: &Value) -> Vec<&str> {
    let mut names: Vec<_> = object
        .as_object()
        .expect("an object")
        .keys()
        .map(String::as_str)
        .collect();
    names.sort_unstable();
    names
}

/// Returns the items of a list of 2026-03-01.
pub fn list(answer: &Answer) -> Vec<Value> {
    answer.json()["data"].as_array().expect("a list").clone()
}

/// Returns a time of an answer, in milliseconds since the Unix epoch.
pub fn millis(time: &Value) -> i64 {
    let text = time.as_str();
    millis_of(text.unwrap_or_else(|| panic!("not a time: {time}")))
}

/// Parses a time, and returns it in milliseconds since the Unix epoch.
pub fn millis_of(time: &str) -> i64 {
    let time = chrono::DateTime::parse_from_rfc3339(time);
    time.expect("RFC 3339").timestamp_millis()
}

/// Returns bytes as text, for people.
pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
