//! Whether a field must be sent, and what it is when it is not.
//!
//! Each function reads one field and answers `None` when what was sent cannot be used, which is noted then.

use super::rule::ReadFrom;
use crate::api::json::Object;

/// Reads a field that must be sent.
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

/// Reads a field that may be left out.
pub fn optional<S, R: ReadFrom<S>>(
    source: &mut S,
    name: &str,
    rule: &R,
) -> Option<Option<R::Value>> {
    Some(rule.read(source, name))
}

/// Reads a field that is `default` when it is left out.
pub fn default<S, R: ReadFrom<S>>(
    source: &mut S,
    name: &str,
    rule: &R,
    default: R::Value,
) -> Option<R::Value> {
    Some(rule.read(source, name).unwrap_or(default))
}
