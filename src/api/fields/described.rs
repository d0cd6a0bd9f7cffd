//! Describes the fields of requests in the `OpenAPI` documents.

use serde_json::Value;
use utoipa::openapi::path::{Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{AdditionalProperties, Schema, SchemaType, Type};
use utoipa::openapi::{ObjectBuilder, RefOr, Required};

/// The description of one field: one row of a table.
pub struct Described {
    name: &'static str,
    description: String,
    schema: RefOr<Schema>,
    is_required: bool,
    example: Option<Value>,
}

impl Described {
    /// Describes the field `name`, with the lines of its documentation.
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

    /// Marks the field as required.
    #[must_use]
    pub fn required(self) -> Self {
        Self {
            is_required: true,
            ..self
        }
    }

    /// Marks the field as optional, which it is from the start.
    #[must_use]
    pub fn optional(self) -> Self {
        self
    }

    /// Sets the value that the field has when it is not sent.
    #[must_use]
    pub fn default(mut self, value: Value) -> Self {
        match &mut self.schema {
            RefOr::T(Schema::Object(object)) => object.default = Some(value),
            RefOr::T(Schema::Array(array)) => array.default = Some(value),
            _ => {}
        }
        self
    }

    /// Sets an example of the field.
    #[must_use]
    pub fn example(self, value: Value) -> Self {
        Self {
            example: Some(value),
            ..self
        }
    }

    /// Returns the field as a property of a body. Its schema carries the description and the
    /// example.
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

    /// Returns the field as a query parameter, which carries the description and the example beside
    /// its schema.
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

/// Returns the schema of a body with these fields and no others.
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

/// Returns the parameters of a query.
#[must_use]
pub fn query_parameters(fields: Vec<Described>) -> Vec<Parameter> {
    fields.into_iter().map(Described::parameter).collect()
}

/// Joins lines of documentation. Each of them has a leading space, which followed the slashes.
fn joined(lines: &[&str]) -> String {
    let lines: Vec<&str> = lines.iter().map(|line| line.trim()).collect();
    lines.join("\n")
}
