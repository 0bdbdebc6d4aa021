//! A block for an inbox item: `POST /v1/inbox/{id}/add-to-today`.

use super::{
    Block, Versioned, versioned,
    write::{JSON, minutes},
};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, success},
    extract::{CurrentSession, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    extract::{Path, State},
    http::{Method, StatusCode},
};
use jobs::{
    commands::blocks::add_to_today,
    domain::{InboxItemId, session::Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ScheduleWrite);
    vec![
        Route::new(
            Method::POST,
            "/v1/inbox/{id}/add-to-today",
            "add_inbox_item_to_today",
            access,
            add,
        )
        .summary("Propose a block for an item, in your next free working time; while one is open, it is that one")
        .body::<AddToToday>(JSON)
        .answer::<Block>(201, "The block, proposed")
        .answer::<Block>(200, "The block that is there for it already"),
    ]
}

/// How much time an item is to have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AddToToday {
    #[serde(default = "half_an_hour")]
    #[schemars(range(min = 5, max = 480))]
    minutes: i64,
}

const fn half_an_hour() -> i64 {
    30
}

async fn add(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    StrictJson(body): StrictJson<AddToToday>,
) -> Result<(StatusCode, Versioned), ApiError> {
    let id: InboxItemId = id.parse().map_err(|_| ApiError::not_found())?;
    let length = minutes(body.minutes)?;
    let (request_id, now) = (&context.request_id, app.clock.now());
    let (block, new) = add_to_today(&app.pool, &session, id, length, request_id, now).await?;
    let status = if new { success::CREATED } else { success::OK };
    Ok((status, versioned(block)))
}
