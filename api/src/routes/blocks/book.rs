//! Blocks in the user's calendar: putting one in, and giving its time free again. A worker does both; the block's approval
//! says how it goes.

use super::Block;
use crate::{
    AppState,
    context::RequestContext,
    error::{ApiError, Code, success},
    etag::Versioned,
    extract::{CurrentSession, Id, IfMatch},
    route_table::{Access, Route},
};
use axum::{
    extract::State,
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
    let access = Access::Session(Scope::BlocksWrite);
    let seen = |route: Route| route.if_match().errors(&[Code::Conflict, Code::Gone]);
    vec![
        seen(Route::new(
            Method::POST,
            "/v1/blocks/{id}/book",
            "book_block",
            access,
            book,
        ))
        .summary("Book an accepted block in your calendar")
        .versioned::<Block>(202, "The block; it is `booked` when its event is there")
        .versioned::<Block>(200, "The block, which is there already"),
        seen(Route::new(
            Method::POST,
            "/v1/blocks/{id}/cancel",
            "cancel_block",
            access,
            cancel,
        ))
        .summary("Cancel an accepted block and remove its calendar event")
        .versioned::<Block>(200, "The block as it is now")
        .versioned::<Block>(202, "The block; it is `cancelled` when its event is gone"),
    ]
}

async fn book(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<BlockId>,
    IfMatch(seen): IfMatch,
) -> Result<(StatusCode, Versioned<Block>), ApiError> {
    let which = (id, &seen);
    let asking = asking(&context, app.clock.now());
    let block = book_block(&app.pool, &app.notifier, &session, which, asking).await?;
    let status = match block.status {
        Status::Booked => success::OK,
        _ => success::ACCEPTED,
    };
    Ok((status, Versioned(block.into())))
}

async fn cancel(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<BlockId>,
    IfMatch(seen): IfMatch,
) -> Result<(StatusCode, Versioned<Block>), ApiError> {
    let which = (id, &seen);
    let asking = asking(&context, app.clock.now());
    let block = cancel_block(&app.pool, &app.notifier, &session, which, asking).await?;
    let status = match block.status {
        Status::Booked => success::ACCEPTED,
        _ => success::OK,
    };
    Ok((status, Versioned(block.into())))
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
            BookError::Block(error) => error.into(),
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
