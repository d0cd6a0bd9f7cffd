//! Parts of answers, and of what is asked for.

use serde_json::{Value, json};

use crate::Answer;

/// The path of the subscriptions of Verbex v1.
pub const SUBSCRIPTIONS: &str = "/v1/public/webhook/subscription";

/// The least that makes a subscription.
pub fn subscription(name: &str, signed: bool) -> Value {
    json!({ "name": name, "url": "https://example.com/hook", "enable_signed_webhooks": signed })
}

/// The `id` of a record.
pub fn id(record: &Value) -> &str {
    text(record, "id")
}

/// A member that is a text.
pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    let text = value[name].as_str();
    text.unwrap_or_else(|| panic!("{name} in {value}"))
}

/// The names of the fields of `object`, sorted.
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

/// The items of a list of 2026-03-01.
pub fn list(answer: &Answer) -> Vec<Value> {
    answer.json()["data"].as_array().expect("a list").clone()
}

/// A time of an answer, in milliseconds since the Unix epoch.
pub fn millis(time: &Value) -> i64 {
    let text = time.as_str();
    millis_of(text.unwrap_or_else(|| panic!("no time: {time}")))
}

/// A time, in milliseconds since the Unix epoch.
pub fn millis_of(time: &str) -> i64 {
    let time = chrono::DateTime::parse_from_rfc3339(time);
    time.expect("RFC 3339").timestamp_millis()
}

/// Bytes for people.
pub fn lossy(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}
