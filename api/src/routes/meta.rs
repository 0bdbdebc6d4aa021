//! The API's description of itself: `GET /openapi.json` for programs, `GET /docs` for people.

use crate::{
    AppState,
    reference::Page,
    route_table::{Access, ResponseHeader, Route},
};
use axum::{
    extract::State,
    http::{HeaderMap, Method},
    response::Response,
};
use serde_json::Value;

const IF_NONE_MATCH: &str = "The ETag of the version that you have: 304 if it is the current one.";

pub fn routes() -> Vec<Route> {
    vec![
        served(
            Route::new(
                Method::GET,
                "/openapi.json",
                "get_openapi",
                Access::Public,
                get_openapi,
            )
            .summary("Get this document")
            .answer::<Value>(200, "The OpenAPI 3.1 document"),
        ),
        served(
            Route::new(Method::GET, "/docs", "get_docs", Access::Public, get_docs)
                .summary("Read this document as a page")
                .text_answer("text/html", 200, "The reference page"),
        ),
    ]
}

/// What both take and give.
fn served(route: Route) -> Route {
    route
        .headers(&[ResponseHeader::ETag])
        .header::<String>("If-None-Match", IF_NONE_MATCH)
        .empty_answer(304, "You have the current version")
        .headers(&[ResponseHeader::ETag])
}

async fn get_openapi(State(app): State<AppState>, headers: HeaderMap) -> Response {
    app.reference.openapi.respond(&headers)
}

async fn get_docs(State(app): State<AppState>, headers: HeaderMap) -> Response {
    let page: &Page = &app.reference.docs;
    page.respond(&headers)
}
