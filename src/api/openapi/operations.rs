//! Collects operations: each is named once, for its route and for the document.

use std::collections::HashMap;

use axum::Router;
use serde_json::{Value, json};
use utoipa::openapi::OpenApi;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa_axum::router::{OpenApiRouter, UtoipaMethodRouter};

use super::answers::{Answers, Wording};
use super::{headers, operation};
use crate::api::app::App;

/// Operations: their routes and their part of the document.
#[derive(Default)]
pub struct Operations {
    router: OpenApiRouter<App>,
    /// The answers of each operation, by its id.
    answers: HashMap<String, fn() -> Answers>,
}

impl Operations {
    /// Adds the operation that [`routes!`](utoipa_axum::routes) makes of its handler.
    #[must_use]
    pub fn with(mut self, mut route: UtoipaMethodRouter<App>, answers: fn() -> Answers) -> Self {
        for operation in route.1.paths.values_mut().flat_map(operations) {
            let id = operation.operation_id.clone().unwrap_or_default();
            self.answers.insert(id, answers);
        }
        let router = self.router.routes(route);
        Self { router, ..self }
    }

    /// Adds all operations of `others`.
    #[must_use]
    pub fn merge(mut self, others: Self) -> Self {
        self.answers.extend(others.answers);
        let router = self.router.merge(others.router);
        Self { router, ..self }
    }

    /// Changes the routes that were added so far, but not their part of the document.
    #[must_use]
    pub fn map(self, change: impl FnOnce(Router<App>) -> Router<App>) -> Self {
        let (router, document) = self.router.split_for_parts();
        let mut router = OpenApiRouter::from(change(router));
        *router.get_openapi_mut() = document;
        Self { router, ..self }
    }

    /// Returns the routes.
    pub fn into_router(self) -> Router<App> {
        self.router.into()
    }

    /// Returns the whole document: `outline` with every operation, and with what all operations
    /// share.
    #[must_use]
    pub fn complete(self, mut outline: OpenApi, wording: &Wording) -> Value {
        outline.merge(self.router.into_openapi());
        // The document consists of plain data, so this cannot fail.
        let mut document = serde_json::to_value(outline).unwrap_or_default();
        document["components"]["headers"] = headers::headers();
        document["components"]["securitySchemes"] = json!({
            wording.security: {
                "type": "http", "scheme": "bearer",
                "description": "An API key, as `Authorization: Bearer YOUR_KEY`.",
            }
        });
        let schemas = document["components"]["schemas"].clone();
        let paths = document["paths"].as_object_mut().into_iter().flatten();
        for (path, operations) in paths {
            for (method, operation) in operations.as_object_mut().into_iter().flatten() {
                let id = operation["operationId"].as_str().unwrap_or_default();
                let answers = self.answers.get(id).map(|answers| answers());
                let answers = answers.unwrap_or_default();
                operation::complete(path, method, operation, &schemas, answers, wording);
            }
        }
        document
    }
}

/// Returns `route` under another path, as an operation with its own id and summary.
pub fn also_at(
    route: UtoipaMethodRouter<App>,
    path: &str,
    id: &str,
    summary: &str,
) -> UtoipaMethodRouter<App> {
    let (schemas, mut paths, handler) = route;
    let items = std::mem::take(&mut paths.paths).into_values();
    paths.paths.extend(items.map(|mut item| {
        for operation in operations(&mut item) {
            operation.operation_id = Some(id.to_owned());
            operation.summary = Some(summary.to_owned());
        }
        (path.to_owned(), item)
    }));
    (schemas, paths, handler)
}

fn operations(item: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    let methods = [
        &mut item.get,
        &mut item.post,
        &mut item.put,
        &mut item.patch,
        &mut item.delete,
    ];
    methods.into_iter().flatten()
}
