//! The API's description of itself: `GET /openapi.json`.

use crate::{
    AppState, openapi,
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method};
use serde_json::Value;

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/openapi.json",
            "get_openapi",
            Access::Public,
            get_openapi,
        )
        .summary("This document")
        .answer::<Value>(200, "The OpenAPI 3.1 document"),
    ]
}

async fn get_openapi(State(app): State<AppState>) -> Json<Value> {
    Json(openapi::document(&app.table))
}
