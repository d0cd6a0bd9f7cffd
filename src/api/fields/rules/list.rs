//! Rules for lists of texts.

use utoipa::openapi::schema::Schema;
use utoipa::openapi::{ArrayBuilder, RefOr};

use super::text::Text;
use crate::api::failure::FieldCode;
use crate::api::fields::rule::{ReadFrom, Rule};
use crate::api::json::Object;

/// The rule for a list of at most `max` texts.
pub struct List {
    /// The maximum number of texts.
    pub max: usize,
    /// The rule for each text.
    pub item: Text,
}

/// Returns whether `count` is at most `max`, and records an error for the field `name` if not.
pub fn check_count(object: &mut Object<'_>, name: &str, count: usize, max: usize) -> bool {
    let is_right = count <= max;
    if !is_right {
        let detail = format!("must have at most {max} entries");
        object.fail(name, FieldCode::OutOfRange, &detail);
    }
    is_right
}

impl Rule for List {
    type Value = Box<[Box<str>]>;

    fn schema(&self) -> RefOr<Schema> {
        let list = ArrayBuilder::new().items(self.item.schema());
        list.max_items(Some(self.max)).into()
    }
}

impl ReadFrom<Object<'_>> for List {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<Box<[Box<str>]>> {
        let texts = object.strings(name)?;
        if !check_count(object, name, texts.len(), self.max) {
            return None;
        }
        let checked = texts.into_iter().filter_map(|(place, text)| {
            let is_right = self.item.check(object, &format!("{name}[{place}]"), &text);
            is_right.then(|| text.into())
        });
        Some(checked.collect())
    }
}
