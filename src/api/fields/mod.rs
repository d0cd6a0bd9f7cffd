//! Declares the fields of requests, each in one row of one table.
//!
//! A row has the name of a field, its description in the document, whether it is required, its rule
//! and an example. From a table, `fields!` makes the struct that a handler gets, its reader, the
//! schema in the `OpenAPI` document, and the errors that the document shows as examples (the reader
//! itself makes these). Each limit is written once: its [`Rule`] serves the schema, the reader and
//! the message.

mod described;
mod presence;
mod rule;
mod rules;
pub mod settings;

pub use self::described::{Described, body_schema, query_parameters};
pub use self::presence::{default, optional, required};
pub use self::rule::{ReadFrom, Rule};
pub use self::rules::{
    AnyObject, Boolean, Choice, Cursor, Integer, List, Nullable, Parsed, Text, check_count,
};
pub use super::json::Object;
pub use super::query::Query;
use crate::api::failure::Failure;
use crate::service::Error;

/// Returns the failure of a reader that neither read nor refused a field, which never happens.
pub(crate) fn contradiction() -> Failure {
    Error::internal("a field was neither read nor refused").into()
}

/// Declares the fields of a request, one row each:
///
/// ```text
/// fields! {
///     /// What the document says of the body.
///     pub struct Name from Object with (context: Type = what the document assumes) {
///         /// What the document says of the field.
///         field as "name in the request": Type = presence(Rule { … }), example value;
///     }
/// }
/// ```
///
/// A body is read from an [`Object`], and parameters from a [`Query`]. The presence is
/// [`required`], [`optional`] or [`default`]; the last takes the default value after the rule. The
/// parts that begin with `with`, `as` and `example` may be left out.
macro_rules! fields {
    (
        $(#[doc = $about:literal])*
        $vis:vis struct $Name:ident from $Source:ident
        $(with ($context:ident: $Context:ty = $documented:expr))?
        {
            $(
                $(#[doc = $doc:literal])*
                $field:ident $(as $sent:literal)?: $Type:ty
                    = $presence:ident($rule:expr $(, $default:expr)?) $(, example $example:expr)?;
            )*
        }
    ) => {
        $(#[doc = $about])*
        $vis struct $Name {
            $( $(#[doc = $doc])* pub $field: $Type, )*
        }

        impl $Name {
            fn described() -> Vec<$crate::api::fields::Described> {
                $( let $context: $Context = $documented; )?
                vec![$(
                    $crate::api::fields::Described::new(
                        $crate::api::fields::fields!(@name $field $($sent)?),
                        &[$($doc),*],
                        $crate::api::fields::Rule::schema(&$rule),
                    )
                    .$presence($(serde_json::Value::from($default))?)
                    $(.example(serde_json::json!($example)))?
                ),*]
            }

            /// Reads the fields.
            ///
            /// # Errors
            ///
            /// Returns [`Failure::InvalidFields`](crate::api::failure::Failure::InvalidFields) with
            /// everything that is wrong.
            $vis fn read(
                mut source: $crate::api::fields::$Source<'_>
                $(, $context: $Context)?
            ) -> Result<Self, $crate::api::failure::Failure> {
                $(
                    let $field = $crate::api::fields::$presence(
                        &mut source,
                        $crate::api::fields::fields!(@name $field $($sent)?),
                        &$rule
                        $(, $default)?
                    );
                )*
                source.finish()?;
                let read = || Some(Self { $( $field: $field? ),* });
                read().ok_or_else($crate::api::fields::contradiction)
            }
        }

        $crate::api::fields::fields! {
            @document $Source $Name [$($about),*] $($documented)?
        }
    };

    (@document Object $Name:ident $about:tt $($documented:expr)?) => {
        impl $Name {
            /// Reads an invalid body, to show in an example how it is refused.
            #[must_use]
            pub fn refusal(body: &str) -> $crate::api::failure::Failure {
                let read = $crate::api::fields::Object::parse(body.as_bytes())
                    .and_then(|object| Self::read(object $(, $documented)?));
                read.err().unwrap_or_else($crate::api::fields::contradiction)
            }
        }

        impl utoipa::PartialSchema for $Name {
            fn schema() -> utoipa::openapi::RefOr<utoipa::openapi::schema::Schema> {
                $crate::api::fields::body_schema(&$about, Self::described())
            }
        }

        impl utoipa::ToSchema for $Name {
            fn name() -> std::borrow::Cow<'static, str> {
                stringify!($Name).into()
            }
        }
    };

    (@document Query $Name:ident $about:tt) => {
        impl $Name {
            /// Reads an invalid query, to show in an example how it is refused.
            #[must_use]
            pub fn refusal(target: &'static str) -> $crate::api::failure::Failure {
                let uri = axum::http::Uri::from_static(target);
                let read = Self::read($crate::api::fields::Query::of(&uri));
                read.err().unwrap_or_else($crate::api::fields::contradiction)
            }
        }

        impl utoipa::IntoParams for $Name {
            fn into_params(
                _: impl Fn() -> Option<utoipa::openapi::path::ParameterIn>,
            ) -> Vec<utoipa::openapi::path::Parameter> {
                $crate::api::fields::query_parameters(Self::described())
            }
        }
    };

    (@name $field:ident) => { stringify!($field) };
    (@name $field:ident $sent:literal) => { $sent };
}

pub(crate) use fields;
