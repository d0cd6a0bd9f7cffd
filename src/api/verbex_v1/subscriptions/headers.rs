//! Checks the headers that an owner adds to deliveries.

use std::borrow::Cow;
use std::collections::HashSet;

use axum::http::{HeaderName, HeaderValue};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr};
use zeroize::Zeroizing;

use crate::api::failure::FieldCode;
use crate::api::fields::settings::MAX_ENTRIES;
use crate::api::fields::{ReadFrom, Rule, check_count};
use crate::api::json::{Object, echo};
use crate::delivery::headers;
use crate::domain::HeaderEntry;

/// The longest name or value of a header, in bytes.
const MAX_LENGTH: usize = 4096;

/// The rule for an object of headers: at most [`MAX_ENTRIES`], without those that frame or sign
/// deliveries.
pub(super) struct Headers;

impl Rule for Headers {
    type Value = Box<[HeaderEntry]>;

    fn schema(&self) -> RefOr<Schema> {
        let value = ObjectBuilder::new().schema_type(SchemaType::new(Type::String));
        let headers = ObjectBuilder::new().schema_type(SchemaType::new(Type::Object));
        headers
            .additional_properties(Some(value))
            .max_properties(Some(MAX_ENTRIES))
            .into()
    }
}

impl ReadFrom<Object<'_>> for Headers {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<Box<[HeaderEntry]>> {
        let entries = object.string_map(name)?;
        if !check_count(object, name, entries.len(), MAX_ENTRIES) {
            return None;
        }
        let mut seen = HashSet::new();
        let checked = entries.into_iter().map(|(header, value)| {
            let mut fail = |code, detail: &str| {
                object.fail(&format!("{name}.{}", echo(&header)), code, detail);
            };
            match check(&header, &value) {
                Err((code, detail)) => fail(code, &detail),
                Ok(()) if !seen.insert(headers::folded(&header)) => fail(
                    FieldCode::DuplicateField,
                    "must be sent once: receivers may not tell upper from lower case, or \"_\" from \"-\"",
                ),
                Ok(()) => {}
            }
            HeaderEntry {
                name: header.into(),
                value: Zeroizing::new(value.into()),
            }
        });
        Some(checked.collect())
    }
}

/// Checks that a header may be sent with deliveries, and does not frame or sign them.
fn check(name: &str, value: &str) -> Result<(), (FieldCode, Cow<'static, str>)> {
    let malformed = |detail| Err((FieldCode::InvalidFormat, Cow::Borrowed(detail)));
    if name.len() > MAX_LENGTH || value.len() > MAX_LENGTH {
        let detail = format!("must be at most {MAX_LENGTH} bytes");
        return Err((FieldCode::OutOfRange, detail.into()));
    }
    if HeaderName::from_bytes(name.as_bytes()).is_err() {
        return malformed("must have the name of a header");
    }
    if headers::is_reserved(name) {
        return malformed(
            "must be another name: the server sets this one, where \"_\" is read as \"-\"",
        );
    }
    // Visible ASCII characters, spaces and tabs: all receivers read these in the same way.
    let plain = value
        .bytes()
        .all(|byte| byte == b'\t' || (b' '..=b'~').contains(&byte));
    if !plain || HeaderValue::from_str(value).is_err() || value.trim() != value {
        return malformed("must be visible ASCII characters, with spaces only between them");
    }
    Ok(())
}
