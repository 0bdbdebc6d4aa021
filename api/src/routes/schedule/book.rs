//! Blocks in the user's calendar: putting one in, and giving its time free again. A worker does both; the block's approval
//! says how it goes.

use super::{Block, Versioned, versioned};
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    extract::{CurrentSession, IfMatch},
    route_table::{Access, Place, Route},
};
use axum::{
    extract::{Path, State},
    http::{Method, StatusCode},
};
use chrono::{DateTime, Utc};
use jobs::{
    commands::{
        approvals::decide::RequestMeta,
        blocks::{BookError, book_block, cancel_block},
    },
    domain::{BlockId, blocks::Status, session::Scope},
};

pub(super) fn routes() -> Vec<Route> {
    let access = Access::Session(Scope::ScheduleWrite);
    let seen = |route: Route| {
        route.parameter::<String>(
            Place::Header,
            "If-Match",
            true,
            "The ETag of the block as you have seen it",
        )
    };
    vec![
        seen(Route::new(
            Method::POST,
            "/v1/schedule/{id}/book",
            "book_block",
            access,
            book,
        ))
        .summary("Have a block that was agreed to put into your calendar")
        .answer::<Block>(202, "The block; it is `booked` when its event is there")
        .answer::<Block>(200, "The block, which is there already"),
        seen(Route::new(
            Method::POST,
            "/v1/schedule/{id}/cancel",
            "cancel_block",
            access,
            cancel,
        ))
        .summary("Give the time of a block free that was agreed to; its event is taken out of the calendar")
        .answer::<Block>(200, "The block as it is now")
        .answer::<Block>(202, "The block; it is `cancelled` when its event is gone"),
    ]
}

async fn book(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<(StatusCode, Versioned), ApiError> {
    let which = (block_id(&id)?, version);
    let asking = asking(&context, app.clock.now());
    let block = book_block(&app.pool, &app.notifier, &session, which, asking).await?;
    let status = match block.status {
        Status::Booked => success::OK,
        _ => success::ACCEPTED,
    };
    Ok((status, versioned(block)))
}

async fn cancel(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Path(id): Path<String>,
    IfMatch(version): IfMatch,
) -> Result<(StatusCode, Versioned), ApiError> {
    let which = (block_id(&id)?, version);
    let asking = asking(&context, app.clock.now());
    let block = cancel_block(&app.pool, &app.notifier, &session, which, asking).await?;
    let status = match block.status {
        Status::Booked => success::ACCEPTED,
        _ => success::OK,
    };
    Ok((status, versioned(block)))
}

fn block_id(text: &str) -> Result<BlockId, ApiError> {
    text.parse().map_err(|_| ApiError::not_found())
}

fn asking(context: &RequestContext, at: DateTime<Utc>) -> RequestMeta<'_> {
    RequestMeta {
        request_id: &context.request_id,
        traceparent: &context.traceparent,
        at,
    }
}

impl From<BookError> for ApiError {
    fn from(error: BookError) -> Self {
        match error {
            BookError::Schedule(error) => error.into(),
            BookError::Decide(error) => error.into(),
            BookError::NoCalendar => Self::new(
                Code::Conflict,
                "You have no calendar here. Connect one with POST /v1/connections.",
            ),
            BookError::UnderWay => Self::new(
                Code::Conflict,
                "The block is on its way into your calendar, or out of it. Try again in a moment.",
            )
            .retry_after(2),
        }
    }
}
