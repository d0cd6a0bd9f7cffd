//! Reads fields that are required, optional or have a default.
//!
//! Each function reads one field. It returns `None` when the value that was sent cannot be used;
//! the reason is then recorded in the source.

use super::rule::ReadFrom;
use crate::api::json::Object;

/// Reads a required field.
pub fn required<'a, R>(object: &mut Object<'a>, name: &str, rule: &R) -> Option<R::Value>
where
    R: ReadFrom<Object<'a>>,
{
    let value = rule.read(object, name);
    if value.is_none() {
        object.missing(name);
    }
    value
}

/// Reads an optional field.
pub fn optional<S, R: ReadFrom<S>>(
    source: &mut S,
    name: &str,
    rule: &R,
) -> Option<Option<R::Value>> {
    Some(rule.read(source, name))
}

/// Reads a field that has the value `default` when it is not sent.
pub fn default<S, R: ReadFrom<S>>(
    source: &mut S,
    name: &str,
    rule: &R,
    default: R::Value,
) -> Option<R::Value> {
    Some(rule.read(source, name).unwrap_or(default))
}
