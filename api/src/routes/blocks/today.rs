//! A block for an inbox item: `POST /v1/inbox/{id}/add-to-today`.

use super::{
    Block,
    write::{JSON, minutes},
};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    etag::Versioned,
    extract::{CurrentSession, Id, StrictJson},
    route_table::{Access, Route},
};
use axum::{
    extract::State,
    http::{Method, StatusCode},
};
use jobs::{
    commands::blocks::add_to_today,
    domain::{InboxItemId, session::Scope},
};
use schemars::JsonSchema;
use serde::Deserialize;

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::BlocksWrite);
    vec![
        Route::new(
            Method::POST,
            "/v1/inbox/{id}/add-to-today",
            "add_inbox_item_to_today",
            access,
            add,
        )
        .summary("Propose a block for an inbox item in your next free working time. Idempotent")
        .body::<AddToToday>(JSON)
        .versioned::<Block>(201, "The proposed block")
        .versioned::<Block>(200, "The block that already exists for the item")
        .errors(&[Code::Conflict]),
    ]
}

/// How long the block is, in minutes.
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
    Id(id): Id<InboxItemId>,
    StrictJson(body): StrictJson<AddToToday>,
) -> Result<(StatusCode, Versioned<Block>), ApiError> {
    let length = minutes(body.minutes)?;
    let (request_id, now) = (&context.request_id, app.clock.now());
    let (block, new) = add_to_today(&app.pool, &session, id, length, request_id, now).await?;
    let status = if new { success::CREATED } else { success::OK };
    Ok((status, Versioned(block.into())))
}
