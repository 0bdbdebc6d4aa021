//! The one table of what is served: [`Route`] declares an operation, [`RouteTable`] holds them all.
//!
//! The router, the OpenAPI document, the smoke test and the authorisation matrix are derived from it, so that none of
//! them can know a route the others do not. Says what an operation needs; [`crate::pipeline`] enforces it.

use crate::{AppState, error::Problem};
use axum::{
    Router,
    handler::Handler,
    http::Method,
    routing::{MethodFilter, MethodRouter, on},
};
use jobs::domain::session::Scope;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use std::{collections::BTreeMap, sync::Arc, time::Duration};

/// Enough for any JSON that is not a mail.
pub const BODY_LIMIT: usize = 256 * 1024;

/// For an operation that does not wait: body, transaction and answer.
const TIMEOUT: Duration = Duration::from_secs(15);

/// Writes the schema of a type into the document and refers to it.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// Who may call an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Anybody, without a session.
    Public,
    /// A session whose role carries this scope.
    Session(Scope),
    /// As [`Access::Session`], and only for users of the operators' tenant: what concerns all tenants.
    Fleet(Scope),
}

/// One operation: what it is, what it needs, what it takes and gives.
#[derive(Clone, Debug)]
pub struct Operation {
    pub method: Method,
    /// In axum's notation, which is OpenAPI's.
    pub path: &'static str,
    /// Unique; the label in metrics and traces, and part of an idempotency key's scope.
    pub name: &'static str,
    pub summary: &'static str,
    pub access: Access,
    /// Whether an `Idempotency-Key` must come with it.
    pub idempotent: bool,
    pub body_limit: usize,
    pub timeout: Duration,
    pub parameters: Vec<Parameter>,
    /// Accepted bodies by media type.
    pub bodies: Vec<(&'static str, SchemaOf)>,
    pub answers: Vec<Answer>,
}

/// A parameter beside the path's own.
#[derive(Clone, Debug)]
pub struct Parameter {
    pub place: Place,
    pub name: &'static str,
    pub required: bool,
    pub summary: &'static str,
    pub schema: SchemaOf,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    Query,
    Header,
}

/// A success; every operation may also answer with a [`Problem`].
#[derive(Clone, Debug)]
pub struct Answer {
    pub status: u16,
    pub summary: &'static str,
    /// The body's media type and schema.
    pub content: Option<(&'static str, SchemaOf)>,
}

/// An operation with its handler.
pub struct Route {
    pub operation: Operation,
    handler: MethodRouter<AppState>,
}

impl Route {
    /// There is no route without an access: it is an argument, not an option.
    ///
    /// # Panics
    /// If the method is one that axum cannot route.
    pub fn new<H, T>(
        method: Method,
        path: &'static str,
        name: &'static str,
        access: Access,
        handler: H,
    ) -> Self
    where
        H: Handler<T, AppState>,
        T: 'static,
    {
        let filter = MethodFilter::try_from(method.clone()).expect("a method that can be routed");
        let operation = Operation {
            method,
            path,
            name,
            summary: "",
            access,
            idempotent: false,
            body_limit: BODY_LIMIT,
            timeout: TIMEOUT,
            parameters: Vec::new(),
            bodies: Vec::new(),
            answers: Vec::new(),
        };
        Self {
            operation,
            handler: on(filter, handler),
        }
    }

    #[must_use]
    pub fn summary(mut self, summary: &'static str) -> Self {
        self.operation.summary = summary;
        self
    }

    /// Needs an `Idempotency-Key`.
    #[must_use]
    pub fn idempotent(mut self) -> Self {
        self.operation.idempotent = true;
        self.parameter::<String>(
            Place::Header,
            "Idempotency-Key",
            true,
            "Names this request: the same key and request give the same answer for 7 days. \
             1 to 255 visible ASCII characters, quoted or bare.",
        )
    }

    #[must_use]
    pub fn body_limit(mut self, bytes: usize) -> Self {
        self.operation.body_limit = bytes;
        self
    }

    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.operation.timeout = timeout;
        self
    }

    #[must_use]
    pub fn parameter<T: JsonSchema>(
        mut self,
        place: Place,
        name: &'static str,
        required: bool,
        summary: &'static str,
    ) -> Self {
        self.operation.parameters.push(Parameter {
            place,
            name,
            required,
            summary,
            schema: SchemaGenerator::subschema_for::<T>,
        });
        self
    }

    #[must_use]
    pub fn body<T: JsonSchema>(mut self, media_type: &'static str) -> Self {
        self.operation
            .bodies
            .push((media_type, SchemaGenerator::subschema_for::<T>));
        self
    }

    /// Answers with a JSON body.
    #[must_use]
    pub fn answer<T: JsonSchema>(self, status: u16, summary: &'static str) -> Self {
        self.answer_as::<T>("application/json", status, summary)
    }

    /// Answers with server-sent events, the data of each a JSON of this schema.
    #[must_use]
    pub fn streamed_answer<T: JsonSchema>(self, status: u16, summary: &'static str) -> Self {
        self.answer_as::<T>("text/event-stream", status, summary)
    }

    fn answer_as<T: JsonSchema>(
        mut self,
        media_type: &'static str,
        status: u16,
        summary: &'static str,
    ) -> Self {
        self.operation.answers.push(Answer {
            status,
            summary,
            content: Some((media_type, SchemaGenerator::subschema_for::<T>)),
        });
        self
    }

    /// Answers without a body.
    #[must_use]
    pub fn empty_answer(mut self, status: u16, summary: &'static str) -> Self {
        self.operation.answers.push(Answer {
            status,
            summary,
            content: None,
        });
        self
    }
}

/// Every operation, each once.
#[derive(Clone, Debug)]
pub struct RouteTable {
    operations: Vec<Arc<Operation>>,
}

impl RouteTable {
    /// The table and the router that serves exactly it.
    ///
    /// # Panics
    /// If an operation is declared twice, by method and path or by name: that is found when the process starts, not by
    /// a client.
    pub fn build(routes: Vec<Route>) -> (Self, Router<AppState>) {
        let mut operations: Vec<Arc<Operation>> = Vec::with_capacity(routes.len());
        let mut by_path: BTreeMap<&'static str, MethodRouter<AppState>> = BTreeMap::new();
        for Route { operation, handler } in routes {
            let twice = operations.iter().find(|other| {
                other.name == operation.name
                    || (other.path == operation.path && other.method == operation.method)
            });
            assert!(
                twice.is_none(),
                "operation {} ({} {}) is declared twice",
                operation.name,
                operation.method,
                operation.path
            );
            let at_path = by_path.remove(operation.path).unwrap_or_default();
            by_path.insert(operation.path, at_path.merge(handler));
            operations.push(Arc::new(operation));
        }
        let router = by_path
            .into_iter()
            .fold(Router::new(), |router, (path, methods)| {
                router.route(path, methods)
            });
        (Self { operations }, router)
    }

    pub fn operations(&self) -> impl Iterator<Item = &Operation> {
        self.operations.iter().map(Arc::as_ref)
    }

    /// The operation at a matched path; HEAD is GET without the body.
    pub fn find(&self, method: &Method, path: &str) -> Option<Arc<Operation>> {
        let method = if method == Method::HEAD {
            &Method::GET
        } else {
            method
        };
        self.operations
            .iter()
            .find(|operation| operation.path == path && operation.method == method)
            .cloned()
    }

    /// The value of `Allow` at a path.
    pub fn allowed(&self, path: &str) -> String {
        let methods: Vec<&str> = self
            .operations
            .iter()
            .filter(|operation| operation.path == path)
            .map(|operation| operation.method.as_str())
            .collect();
        methods.join(", ")
    }
}

impl Operation {
    /// Whether it may write: its request then runs where a disconnect cannot cancel it.
    pub fn is_mutation(&self) -> bool {
        self.method != Method::GET
    }

    /// The schema that describes every failure.
    pub fn problem_schema() -> SchemaOf {
        SchemaGenerator::subschema_for::<Problem>
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(method: Method, path: &'static str, name: &'static str) -> Route {
        Route::new(method, path, name, Access::Public, async || "")
    }

    #[test]
    #[should_panic(expected = "operation b (GET /a) is declared twice")]
    fn one_method_and_path_cannot_be_two_operations() {
        drop(RouteTable::build(vec![
            route(Method::GET, "/a", "a"),
            route(Method::GET, "/a", "b"),
        ]));
    }

    #[test]
    #[should_panic(expected = "operation a (POST /a) is declared twice")]
    fn one_name_cannot_be_two_operations() {
        drop(RouteTable::build(vec![
            route(Method::GET, "/a", "a"),
            route(Method::POST, "/a", "a"),
        ]));
    }

    #[test]
    fn a_path_knows_its_methods() {
        let (table, _) = RouteTable::build(vec![
            route(Method::GET, "/a", "a"),
            route(Method::PUT, "/a", "b"),
        ]);
        assert_eq!(table.allowed("/a"), "GET, PUT");
        assert_eq!(table.find(&Method::HEAD, "/a").unwrap().name, "a");
        assert!(table.find(&Method::POST, "/a").is_none());
    }
}
