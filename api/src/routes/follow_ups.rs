//! Your emails that wait for an answer: `/v1/follow-ups`. `/v1/users/me/preferences` says whether and how you are reminded.

use crate::{
    AppState,
    context::RequestContext,
    error::ApiError,
    extract::{CurrentSession, Id, Paged, PagedList},
    route_table::{Access, Route},
};
use axum::{Json, extract::State, http::Method, response::NoContent};
use chrono::{DateTime, Utc};
use jobs::{
    commands::follow_ups::cancel_follow_up,
    domain::{
        FollowUpId, InboxItemId, MessageId,
        follow_up::{FollowUpStatus, Reminder},
        session::Scope,
    },
    store::follow_ups::{self, StoredFollowUp},
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

pub fn routes() -> Vec<Route> {
    vec![
        Route::new(
            Method::GET,
            "/v1/follow-ups",
            "list_follow_ups",
            Access::Session(Scope::RecordsRead),
            list,
        )
        .summary("List your emails that wait or waited for an answer, newest first")
        .paged::<FollowUpsQuery>()
        .answer::<PagedList<FollowUp>>(200, "A page of follow-ups"),
        Route::new(
            Method::DELETE,
            "/v1/follow-ups/{id}",
            "cancel_follow_up",
            Access::Session(Scope::RecordsWrite),
            cancel,
        )
        .summary("Cancel a follow-up")
        .description(
            "Postroom waits no longer for an answer to the email, and completes the inbox item.",
        )
        .empty_answer(204, "The follow-up is cancelled"),
    ]
}

#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct FollowUpsQuery {
    /// Only follow-ups with this status.
    status: Option<FollowUpStatus>,
}

/// An email of yours that waits or waited for an answer.
#[derive(Serialize, JsonSchema)]
struct FollowUp {
    id: FollowUpId,
    /// The email that waits.
    message_id: MessageId,
    /// Its subject.
    title: String,
    /// How you are reminded.
    reminder: Reminder,
    status: FollowUpStatus,
    sent_at: DateTime<Utc>,
    /// When you are reminded.
    due_at: DateTime<Utc>,
    /// The inbox item that reminded you.
    item_id: Option<InboxItemId>,
}

async fn list(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    Paged { filter, page }: Paged<FollowUpsQuery>,
) -> Result<Json<PagedList<FollowUp>>, ApiError> {
    let (tenant, user) = (session.tenant, session.user);
    let mut conn = app.pool.acquire().await?;
    let before = page.after.map(FollowUpId);
    let rows = page.rows();
    let found = follow_ups::list(&mut conn, tenant, user, filter.status, before, rows).await?;
    Ok(page.list(found, |one| one.id.0))
}

async fn cancel(
    State(app): State<AppState>,
    CurrentSession(session): CurrentSession,
    context: RequestContext,
    Id(id): Id<FollowUpId>,
) -> Result<NoContent, ApiError> {
    if cancel_follow_up(&app.pool, &session, id, &context.request_id).await? {
        Ok(NoContent)
    } else {
        Err(ApiError::not_found())
    }
}

impl From<StoredFollowUp> for FollowUp {
    fn from(stored: StoredFollowUp) -> Self {
        Self {
            id: stored.id,
            message_id: stored.message,
            title: stored.title,
            reminder: stored.reminder,
            status: stored.status,
            sent_at: stored.sent_at,
            due_at: stored.due_at,
            item_id: stored.item,
        }
    }
}
