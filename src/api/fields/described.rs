//! Tables of fields, as the `OpenAPI` documents have them.

use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Required};

/// One row of a table.
pub struct Described {
    name: &'static str,
    description: String,
    schema: RefOr<Schema>,
    is_required: bool,
    example: Option<Value>,
}

impl Described {
    /// The field `name`, with the lines of its documentation.
    #[must_use]
    pub fn new(name: &'static str, lines: &[&str], schema: RefOr<Schema>) -> Self {
        Self {
            name,
            description: joined(lines),
            schema,
            is_required: false,
            example: None,
        }
    }

    /// The field must be sent.
    #[must_use]
    pub fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    /// The field may be left out.
    #[must_use]
    pub fn optional(self) -> Self {
        self
    }

    /// The field is `value` when it is left out.
    #[must_use]
    pub fn default(mut self, value: Value) -> Self {
        match &mut self.schema {
            RefOr::T(Schema::Object(object)) => object.default = Some(value),
            RefOr::T(Schema::Array(array)) => array.default = Some(value),
            _ => {}
        }
        self
    }

    /// What may be sent, for example.
    #[must_use]
    pub fn example(self, value: Value) -> Self {
        Self {
            example: Some(value),
            ..self
        }
    }

    /// The schema of a property, which carries the description and the example.
    fn property(self) -> RefOr<Schema> {
        let (description, example) = (self.description, self.example);
        let mut schema = self.schema;
        match &mut schema {
            RefOr::T(Schema::Object(object)) => {
                object.description = Some(description);
                object.example = example;
            }
            RefOr::T(Schema::Array(array)) => {
                array.description = Some(description);
                array.example = example;
            }
            RefOr::Ref(reference) => reference.description = description,
            RefOr::T(_) => {}
        }
        schema
    }

    /// The parameter of a query, which carries the description and the example beside its schema.
    fn parameter(self) -> Parameter {
        ParameterBuilder::new()
            .name(self.name)
            .parameter_in(ParameterIn::Query)
            .required(if self.is_required {
                Required::True
            } else {
                Required::False
            })
            .description(Some(self.description))
            .schema(Some(self.schema))
            .example(self.example)
            .build()
    }
}

/// The schema of a body with these fields and no others.
#[must_use]
pub fn body_schema(about: &[&str], fields: Vec<Described>) -> RefOr<Schema> {
    let body = ObjectBuilder::new()
        .schema_type(SchemaType::new(Type::Object))
        .description(Some(joined(about)))
        .additional_properties(Some(AdditionalProperties::FreeForm(false)));
    let body = fields.into_iter().fold(body, |body, field| {
        let body = if field.is_required {
            body.required(field.name)
        } else {
            body
        };
        body.property(field.name, field.property())
    });
    body.build().into()
}

/// The parameters of a query.
#[must_use]
pub fn query_parameters(fields: Vec<Described>) -> Vec<Parameter> {
    fields.into_iter().map(Described::parameter).collect()
}

/// Lines of documentation as one text: each has a space before it, after the slashes.
fn joined(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}
