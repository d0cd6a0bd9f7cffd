//! Rules for the words of an enumeration, and for the ids of records.

use std::marker::PhantomData;
use std::str::FromStr;

use serde::Deserialize;
use serde::de::IntoDeserializer as _;
use serde::de::value::{Error as NoneOfThem, StrDeserializer};
use utoipa::ToSchema;
use utoipa::openapi::schema::{Schema, Type};
use utoipa::openapi::{Ref, RefOr};

use super::value::typed;
use crate::api::failure::FieldCode;
use crate::api::fields::rule::{ReadFrom, Rule};
use crate::api::json::Object;
use crate::api::query::{CURSOR_DETAIL, Query};

/// The rule for a word of an enumeration. The words are those of its schema.
pub struct Choice<T>(PhantomData<T>);

impl<T> Default for Choice<T> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<T: ToSchema + for<'de> Deserialize<'de>> Choice<T> {
    fn read(text: &str) -> Result<T, String> {
        let word: StrDeserializer<'_, NoneOfThem> = text.into_deserializer();
        T::deserialize(word).map_err(|_| {
            let RefOr::T(Schema::Object(words)) = T::schema() else {
                return "must be another word".to_owned();
            };
            let words: Vec<_> = words.enum_values.iter().flatten().collect();
            let words: Vec<_> = words.iter().filter_map(|word| word.as_str()).collect();
            match words[..] {
                [one, other] => format!("must be {one} or {other}"),
                _ => format!("must be one of {}", words.join(", ")),
            }
        })
    }
}

impl<T: ToSchema> Rule for Choice<T> {
    type Value = T;

    fn schema(&self) -> RefOr<Schema> {
        Ref::from_schema_name(T::name()).into()
    }
}

impl<T: ToSchema + for<'de> Deserialize<'de>> ReadFrom<Object<'_>> for Choice<T> {
    fn read(&self, object: &mut Object<'_>, name: &str) -> Option<T> {
        let text = object.string(name)?;
        let choice = Self::read(&text);
        choice
            .map_err(|detail| object.fail(name, FieldCode::InvalidFormat, &detail))
            .ok()
    }
}

impl<T: ToSchema + for<'de> Deserialize<'de>> ReadFrom<Query<'_>> for Choice<T> {
    fn read(&self, query: &mut Query<'_>, name: &str) -> Option<T> {
        query.parsed(name, FieldCode::InvalidFormat, Self::read)
    }
}

/// The rule for a cursor: the id of the last entry of the previous page.
pub struct Cursor<Id>(PhantomData<Id>);

impl<Id> Default for Cursor<Id> {
    fn default() -> Self {
        Self(PhantomData)
    }
}

impl<Id> Rule for Cursor<Id> {
    type Value = Id;

    fn schema(&self) -> RefOr<Schema> {
        typed(Type::String).into()
    }
}

impl<Id: FromStr> ReadFrom<Query<'_>> for Cursor<Id> {
    fn read(&self, query: &mut Query<'_>, name: &str) -> Option<Id> {
        query.parsed(name, FieldCode::InvalidCursor, |text| {
            text.parse().map_err(|_| CURSOR_DETAIL.to_owned())
        })
    }
}
