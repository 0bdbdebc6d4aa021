//! The one table of what is served: a [`Route`] declares an operation, [`RouteTable`] holds them all.
//!
//! The router, the OpenAPI document, the reference page, the smoke test and the authorisation matrix derive from it, so
//! that none of them can know a route the others do not. Says what an operation needs; [`crate::pipeline`] enforces it.

mod operation;
mod response;
mod route;
mod tag;

pub use operation::{Access, Operation, Parameter, ParameterIn, Precondition};
pub use response::{ResponseHeader, SchemaOf, SuccessResponse};
pub use route::Route;
pub use tag::Tag;

use crate::AppState;
use axum::{Router, http::Method, routing::MethodRouter};
use std::{collections::BTreeMap, sync::Arc};

/// Every operation, each once.
#[derive(Clone, Debug)]
pub struct RouteTable {
    operations: Vec<Arc<Operation>>,
}

impl RouteTable {
    /// Builds the table and the router that serves exactly it.
    ///
    /// # Panics
    /// If an operation is declared twice, by method and path or by name: the process then fails at its start, not at a
    /// client's request.
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

    /// Finds the operation at a matched path; HEAD is GET without the body.
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

    /// Lists the methods of a path, as `Allow` names them: with GET goes HEAD.
    pub fn allowed(&self, path: &str) -> String {
        let methods: Vec<&str> = self
            .operations
            .iter()
            .filter(|operation| operation.path == path)
            .flat_map(|operation| match operation.method.as_str() {
                "GET" => vec!["GET", "HEAD"],
                other => vec![other],
            })
            .collect();
        methods.join(", ")
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
    fn method_and_path_cannot_be_two_operations() {
        drop(RouteTable::build(vec![
            route(Method::GET, "/a", "a"),
            route(Method::GET, "/a", "b"),
        ]));
    }

    #[test]
    #[should_panic(expected = "operation a (POST /a) is declared twice")]
    fn name_cannot_be_two_operations() {
        drop(RouteTable::build(vec![
            route(Method::GET, "/a", "a"),
            route(Method::POST, "/a", "a"),
        ]));
    }

    #[test]
    fn path_knows_its_methods() {
        let (table, _) = RouteTable::build(vec![
            route(Method::GET, "/a", "a"),
            route(Method::PUT, "/a", "b"),
        ]);
        assert_eq!(table.allowed("/a"), "GET, HEAD, PUT");
        assert_eq!(table.find(&Method::HEAD, "/a").unwrap().name, "a");
        assert!(table.find(&Method::POST, "/a").is_none());
    }
}
